/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Code that changes itself: an immediate that is rewritten, a call site whose second half is toggled between nop and
 * jalr as ftrace does, a function made at run time, and, with C, a halfword. Each change is followed by fence.i.
 */
	.option norelax
	.equ	ROUNDS, 40

	/* An instruction that is data to the assembler: addi a0, zero, 0; its immediate is bits 20..31. */
	.equ	LI_A0, 0x00000513
	.equ	ADDI_A0, 0x00050513
	.equ	RET, 0x00008067
	.equ	NOP, 0x00000013

	.section .patched, "awx", @progbits
	.balign	8
constant:
	.word	LI_A0
	.word	RET

	/* As a traced function of the kernel: auipc stays, jalr t0, low(t0) comes and goes. */
	.balign	8
traced:
.Lsite:
	.word	0x00000297			/* auipc t0, 0: its immediate is filled in at the start */
	.word	NOP
	addi	s3, s3, 1
	ret

	.balign	8
made:
	.space	4 * (ROUNDS + 1)

#ifdef __riscv_compressed
	.balign	4
	.option push
	.option rvc
halfword:
	.half	0x4501				/* c.li a0, 0 */
	.half	0x8082				/* c.jr ra */
	.option pop
#endif

	.text
	/* What the call site calls: returns to behind it by t0, must leave ra alone. */
	.balign	8
tracer:
	addi	s2, s2, 1
	jr	t0

	.globl	run
	.type	run, @function
run:
	addi	sp, sp, -64
	sd	ra, 0(sp)
	sd	s0, 8(sp)
	sd	s1, 16(sp)
	sd	s2, 24(sp)
	sd	s3, 32(sp)
	sd	s4, 40(sp)
	sd	s5, 48(sp)

	/* 1: a constant, rewritten 40 times: sum of i * 50 - 1000 */
	li	s0, 0
	li	s1, 0
1:	li	t0, 50
	mul	t0, t0, s0
	addi	t0, t0, -1000
	slli	t0, t0, 52
	srli	t0, t0, 32
	li	t1, LI_A0
	or	t0, t0, t1
	la	t1, constant
	sw	t0, 0(t1)
	fence.i
	jalr	t1
	add	s1, s1, a0
	addi	s0, s0, 1
	li	t0, ROUNDS
	bne	s0, t0, 1b
	la	a0, constant_name
	mv	a1, s1
	call	line

	/* 2: a call site: s2 counts what the tracer sees, s3 what is called; on in 2 of 3 rounds */
	la	s4, .Lsite
	la	t0, tracer
	sub	t0, t0, s4
	li	t1, 0x800
	add	t1, t0, t1
	li	t2, -4096
	and	t1, t1, t2			/* the upper part, rounded */
	sub	t0, t0, t1			/* the lower part */
	sext.w	t1, t1
	ori	t1, t1, 0x297
	sw	t1, 0(s4)			/* auipc t0, upper */
	slli	s5, t0, 20
	li	t1, 0x000282e7			/* jalr t0, 0(t0) */
	or	s5, s5, t1
	fence.i
	li	s0, 0
	li	s2, 0
	li	s3, 0
2:	li	t0, 3
	remu	t0, s0, t0
	li	t1, NOP
	beqz	t0, 3f
	mv	t1, s5
3:	sw	t1, 4(s4)
	fence.i
	call	traced
	call	traced
	addi	s0, s0, 1
	li	t0, ROUNDS
	bne	s0, t0, 2b
	la	a0, traced_name
	mv	a1, s2
	call	line
	la	a0, called_name
	mv	a1, s3
	call	line

	/* 3: a function made at run time: addi a0, a0, i for i below 40, and ret */
	la	t1, made
	mv	t3, t1
	li	s0, 0
	li	t2, ADDI_A0
4:	slli	t0, s0, 20
	or	t0, t0, t2
	sw	t0, 0(t1)
	addi	t1, t1, 4
	addi	s0, s0, 1
	li	t0, ROUNDS
	bne	s0, t0, 4b
	li	t0, RET
	sw	t0, 0(t1)
	fence.i
	li	a0, 5
	jalr	t3
	mv	s1, a0
	la	a0, made_name
	mv	a1, s1
	call	line

	/* 4: a halfword, or the same by a word: li a0, i for i below 32, with c.li's immediate in bits 2..6 */
	li	s0, 0
	li	s1, 0
5:
#ifdef __riscv_compressed
	slli	t0, s0, 2
	li	t1, 0x4501
	or	t0, t0, t1
	la	t1, halfword
	sh	t0, 0(t1)
#else
	slli	t0, s0, 20
	li	t1, LI_A0
	or	t0, t0, t1
	la	t1, constant
	sw	t0, 0(t1)
#endif
	fence.i
	jalr	t1
	add	s1, s1, a0
	addi	s0, s0, 1
	li	t0, 32
	bne	s0, t0, 5b
	la	a0, halfword_name
	mv	a1, s1
	call	line

	mv	a0, s2
	ld	ra, 0(sp)
	ld	s0, 8(sp)
	ld	s1, 16(sp)
	ld	s2, 24(sp)
	ld	s3, 32(sp)
	ld	s4, 40(sp)
	ld	s5, 48(sp)
	addi	sp, sp, 64
	ret
	.size	run, . - run

	.section .rodata
constant_name:
	.asciz	"constant"
traced_name:
	.asciz	"traced"
called_name:
	.asciz	"called"
made_name:
	.asciz	"made"
halfword_name:
	.asciz	"halfword"
