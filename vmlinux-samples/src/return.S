/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Where a function returns to whose return address a tracer has replaced: asks for the right one and goes there. */
#include "frame.h"

	.text
	.balign	8
	ROUTINE	return_to_handler
	addi	sp, sp, -FRAME_SIZE
	sd	s0, FREGS_S0(sp)
	sd	a0, FREGS_A0(sp)
	sd	a1, FREGS_A0+8(sp)
	mv	a0, sp
	call	ftrace_return_to_handler
	mv	a2, a0
	ld	s0, FREGS_S0(sp)
	ld	a0, FREGS_A0(sp)
	ld	a1, FREGS_A0+8(sp)
	addi	sp, sp, FRAME_SIZE
	jr	a2
	ROUTINE_END return_to_handler
