/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Functions with a landing pad, below it a kCFI hash, and below that the room that the scheme wants; the table's entry
 * stands behind the pad, as that of a compiler does.
 */
#include "scheme.h"
#include "frame.h"

	.option norvc

	.macro	PADDED name, hash
	.balign	8
	.rept	-LITERAL / 4 - 1
	nop
	.endr
	.word	\hash
	ROUTINE	\name
	auipc	zero, 0			/* lpad */
9:	.rept	AFTER / 4 - 1
	nop
	.endr
	.pushsection __patchable_function_entries, "awo", @progbits, .text
	.balign	8
	.dword	9b
	.popsection
	.endm

	.text
	PADDED	sum_of_two, 0x5f3c21d7
	add	a0, a0, a1
	ret
	ROUTINE_END sum_of_two

	PADDED	sum_of_eight, 0x0badcf1e
	add	a0, a0, a1
	add	a2, a2, a3
	add	a4, a4, a5
	add	a6, a6, a7
	add	a0, a0, a2
	add	a4, a4, a6
	add	a0, a0, a4
	ret
	ROUTINE_END sum_of_eight

	PADDED	calls_another, 0x5f3c21d7
	addi	sp, sp, -16
	sd	ra, 8(sp)
	call	sum_of_two
	ld	ra, 8(sp)
	addi	sp, sp, 16
	ret
	ROUTINE_END calls_another

	PADDED	returns_its_argument, 0x21d75f3c
	ret
	ROUTINE_END returns_its_argument
