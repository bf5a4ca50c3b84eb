/* SPDX-License-Identifier: GPL-2.0-or-later */
/* pair-t0: both instructions of the site are written, t0 is func + 8, the site is func. */
#include "frame.h"

	.section .text.trampoline, "ax"
	.balign	16
	ROUTINE	ftrace_caller
	SAVE_FRAME t0
	addi	a0, t0, -8
	mv	a1, ra
	la	a2, ftrace_list_ops
	mv	a3, sp
	.globl	ftrace_call
ftrace_call:
	call	arch_ftrace_ops_list_func
	RESTORE_FRAME t0
	jr	t0
	ROUTINE_END ftrace_caller
	STUB
