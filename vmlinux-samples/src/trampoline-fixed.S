/* SPDX-License-Identifier: GPL-2.0-or-later */
/* auipc-fixed: the site is auipc t0 + jalr t0 as in call-ops, but one dispatcher serves all and no literal is read. */
#include "frame.h"

	.section .text.trampoline, "ax"
	.balign	16
	ROUTINE	ftrace_caller
	SAVE_FRAME t0
	addi	a0, t0, -4
	mv	a1, ra
	la	a2, ftrace_list_ops
	mv	a3, sp
	call	arch_ftrace_ops_list_func
	RESTORE_FRAME t0
	jr	t0
	ROUTINE_END ftrace_caller
	STUB
