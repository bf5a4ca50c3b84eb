/* SPDX-License-Identifier: GPL-2.0-or-later */
	.text
	.option	norelax

/*
 * u64 called(void *target, const u64 args[12], u64 *broken, u64 link): call target with everything that it must
 * keep set to something of its own, and with t0 to t6 poisoned; count in *broken what comes back otherwise.
 */
	.globl	called
called:
	addi	sp, sp, -160
	sd	ra, 152(sp)
	sd	a2, 144(sp)
	.irp	n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11
	sd	s\n, 40 + 8 * \n(sp)
	li	s\n, 0x5a5a0000 + \n
	.endr
	mv	t0, a0
	mv	t1, a1
	ld	t2, 64(t1)
	sd	t2, 0(sp)
	ld	t2, 72(t1)
	sd	t2, 8(sp)
	ld	t2, 80(t1)
	sd	t2, 16(sp)
	ld	t2, 88(t1)
	sd	t2, 24(sp)
	.irp	n, 0, 2, 3, 4, 5, 6, 7, 1
	ld	a\n, 8 * \n(t1)
	.endr
	sd	sp, 32(sp)
	mv	t1, t0
	li	t0, 0xbad0
	li	t2, 0x7200
	li	t3, 0x7300
	li	t4, 0x7400
	li	t5, 0x7500
	li	t6, 0x7600
	jalr	t1
	li	t2, 0
	ld	t0, 32(sp)
	beq	t0, sp, 1f
	addi	t2, t2, 1
1:
	.irp	n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11
	li	t0, 0x5a5a0000 + \n
	beq	t0, s\n, 1f
	addi	t2, t2, 1
1:	ld	s\n, 40 + 8 * \n(sp)
	.endr
	ld	t0, 144(sp)
	sd	t2, 0(t0)
	ld	ra, 152(sp)
	addi	sp, sp, 160
	ret

/* Functions that are traced: a sled, and then what tells that each of their instructions ran once. */
	.macro	traced name
	.balign	4
	.globl	\name
\name:
	.option	push
	.option	norvc
	nop
	nop
	.option	pop
	.endm

	/* u64 sum(12 values): their sum with weights 1 to 12, and 13 if t2 to t6 are as the caller has set them */
	traced	sum
	addi	sp, sp, -16
	sd	ra, 8(sp)
	la	t0, sums
	ld	t1, 0(t0)
	addi	t1, t1, 1
	sd	t1, 0(t0)
	mv	t0, a0
	.macro	weigh reg, weight
	li	t1, \weight
	mul	t1, t1, \reg
	add	t0, t0, t1
	.endm
	weigh	a1, 2
	weigh	a2, 3
	weigh	a3, 4
	weigh	a4, 5
	weigh	a5, 6
	weigh	a6, 7
	weigh	a7, 8
	ld	a1, 16(sp)
	weigh	a1, 9
	ld	a1, 24(sp)
	weigh	a1, 10
	ld	a1, 32(sp)
	weigh	a1, 11
	ld	a1, 40(sp)
	weigh	a1, 12
	mv	a0, t0
	la	t0, temps
	sd	t2, 0(t0)
	sd	t3, 8(t0)
	sd	t4, 16(t0)
	sd	t5, 24(t0)
	sd	t6, 32(t0)
	andi	t0, sp, 15
	la	t1, misaligned
	sd	t0, 0(t1)
	ld	ra, 8(sp)
	addi	sp, sp, 16
	ret

	/* As a BPF program leaves its result: R0 in a5, and in a0 as an int. */
	traced	as_program
	li	a5, 0x1234567
	slli	a5, a5, 32
	li	a4, 0x7fffffff
	slli	a4, a4, 1
	or	a5, a5, a4
	addiw	a0, a5, 0
	ret

/* u64 both(u64 (*call)(void)): what a caller that is a program sees of a call, a5; a0 goes to last_a0 */
	.globl	r0_of
r0_of:
	addi	sp, sp, -16
	sd	ra, 8(sp)
	jalr	a0
	la	t0, last_a0
	sd	a0, 0(t0)
	mv	a0, a5
	ld	ra, 8(sp)
	addi	sp, sp, 16
	ret

/* A program that was compiled: R0 = wide_r0 in a5, and in a0 as an int. */
	.globl	wide
wide:
	la	t0, wide_r0
	ld	a5, 0(t0)
	addiw	a0, a5, 0
	ret

	.bss
	.balign	8
	.globl	sums, temps, misaligned, last_a0
sums:	.zero	8
temps:	.zero	40
misaligned:	.zero	8
last_a0:	.zero	8
	.section .note.GNU-stack, "", @progbits
