/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Where a program starts. run(stack) gets the stack pointer as it was at entry and returns the exit status; a
 * program may also end by leave(status).
 */
	.section .text.start, "ax", @progbits
	.globl _start
	.type _start, @function
_start:
	.option push
	.option norelax
	la	gp, __global_pointer$
	.option pop
	mv	a0, sp
	andi	sp, sp, -16
	call	run
	tail	leave
	.size _start, . - _start
