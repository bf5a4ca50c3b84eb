/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * call-ops: the site is auipc t0 + jalr t0, the ops pointer stands at func - 8, and t0 is func + 8.
 *
 * DIRECT: an ops with a direct target is taken before a frame is made, and the callback may choose one.
 * STUB_DIRECT: a routine for direct calls beside ftrace_caller, 0x100 bytes behind it.
 * WRONG_ARGUMENTS: ip is the function instead of the site, the parent is the function too.
 */
#include "frame.h"

	.section .text.trampoline, "ax"
	.balign	256
	ROUTINE	ftrace_caller
#ifdef DIRECT
	ld	t1, -16(t0)
	ld	t1, OPS_DIRECT_CALL(t1)
	bnez	t1, 1f
#endif
	SAVE_FRAME t0
#ifdef WRONG_ARGUMENTS
	addi	a0, t0, -8
	mv	a1, t0
#else
	addi	a0, t0, -4
	mv	a1, ra
#endif
	ld	a2, -16(t0)
	mv	a3, sp
	ld	ra, OPS_FUNC(a2)
	jalr	ra
	RESTORE_FRAME t0
#ifdef DIRECT
	bnez	t1, 1f
#endif
	jr	t0
#ifdef DIRECT
1:	jr	t1
#endif
	ROUTINE_END ftrace_caller
	STUB

#ifdef STUB_DIRECT
	.balign	256
	ROUTINE	ftrace_stub_direct_tramp
	jr	t0
	ROUTINE_END ftrace_stub_direct_tramp
#endif
