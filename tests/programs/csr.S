/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The counters that a program may read: they never go back, and between two readings of instret instructions retire. */
	.option norelax

	/* NAME LABEL: read a counter before and after a loop; say whether it did not go back and whether it moved. */
	.macro	watch csr, label
	csrr	s0, \csr
	li	t0, 2000
1:	addi	t0, t0, -1
	bnez	t0, 1b
	csrr	s1, \csr
	sgtu	a1, s0, s1
	xori	a1, a1, 1
	la	a0, \label
	call	line
	.endm

	.text
	.globl	run
	.type	run, @function
run:
	addi	sp, sp, -32
	sd	ra, 0(sp)
	sd	s0, 8(sp)
	sd	s1, 16(sp)

	watch	cycle, cycle_name
	watch	time, time_name
	watch	instret, instret_name

	sltu	a1, s0, s1			/* of instret: 4000 instructions lie between */
	la	a0, moved_name
	call	line

	/* Forms that read and do not write. */
	li	t0, 0
	csrrs	s0, cycle, x0
	csrrsi	s1, cycle, 0
	sltu	t0, s1, s0
	csrrc	s0, cycle, x0
	sltu	t1, s0, s1
	or	t0, t0, t1
	csrrci	s1, cycle, 0
	sltu	t1, s1, s0
	or	a1, t0, t1
	xori	a1, a1, 1
	la	a0, forms_name
	call	line

	fence
	fence	r, w
	fence.tso
	fence.i
	li	a0, 5
	ld	ra, 0(sp)
	ld	s0, 8(sp)
	ld	s1, 16(sp)
	addi	sp, sp, 32
	ret
	.size	run, . - run

	.section .rodata
cycle_name:
	.asciz	"cycle does not go back"
time_name:
	.asciz	"time does not go back"
instret_name:
	.asciz	"instret does not go back"
moved_name:
	.asciz	"instret moved"
forms_name:
	.asciz	"all forms read"
