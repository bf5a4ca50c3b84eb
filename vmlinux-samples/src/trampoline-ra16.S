/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * mcount-ra16: the site saves ra at sp - 8, calls through ra (which is then func + 12) and loads ra again.
 * The frame starts below that slot.
 */
#include "frame.h"

	.section .text.trampoline, "ax"
	.balign	16
	ROUTINE	ftrace_caller
	addi	sp, sp, -16
	SAVE_FRAME ra, 16
	addi	a0, ra, -12
	ld	a1, FRAME_SIZE+8(sp)
	la	a2, ftrace_list_ops
	mv	a3, sp
	call	arch_ftrace_ops_list_func
	RESTORE_FRAME ra
	addi	sp, sp, 16
	ret
	ROUTINE_END ftrace_caller
	STUB
