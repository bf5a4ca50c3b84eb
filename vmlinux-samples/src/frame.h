/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The frame of every trampoline, as macros.
 *
 * Switches that break it: NO_S0, SWAPPED_A0_A1, LOST_A3, UNBALANCED.
 */
#include "sample.h"

#ifdef UNBALANCED /* lowered by a size that is no multiple of 16, raised by the right one */
#define LOWERED (FRAME_SIZE + 8)
#else
#define LOWERED FRAME_SIZE
#endif

#ifdef SWAPPED_A0_A1 /* two slots the wrong way round, consistently */
#define SLOT_A0 (FREGS_A0 + 8)
#define SLOT_A1 FREGS_A0
#else
#define SLOT_A0 FREGS_A0
#define SLOT_A1 (FREGS_A0 + 8)
#endif

	.macro	SAVE_FRAME link, below=0	/* sp is that many bytes below what the function had */
	addi	sp, sp, -LOWERED
	sd	\link, FREGS_EPC(sp)
	sd	ra, FREGS_RA(sp)
#ifndef NO_S0 /* without frame pointers s0 "need not" be stored */
	sd	s0, FREGS_S0(sp)
#endif
#ifdef DIRECT
	sd	zero, FREGS_T1(sp)
#endif
	sd	a0, SLOT_A0(sp)
	sd	a1, SLOT_A1(sp)
	sd	a2, FREGS_A0+16(sp)
	sd	a3, FREGS_A0+24(sp)
	sd	a4, FREGS_A0+32(sp)
	sd	a5, FREGS_A0+40(sp)
	sd	a6, FREGS_A0+48(sp)
	sd	a7, FREGS_A0+56(sp)
#ifdef FASTCC
	sd	t2, FREGS_T2(sp)
	sd	t3, FREGS_T2+8(sp)
	sd	t4, FREGS_T2+16(sp)
	sd	t5, FREGS_T2+24(sp)
	sd	t6, FREGS_T2+32(sp)
#endif
	addi	a0, sp, LOWERED + \below
	sd	a0, FREGS_SP(sp)
	.endm

	.macro	RESTORE_FRAME link
	ld	\link, FREGS_EPC(sp)
	.ifnc	\link, ra
	ld	ra, FREGS_RA(sp)
	.endif
#ifndef NO_S0
	ld	s0, FREGS_S0(sp)
#endif
#ifdef DIRECT
	ld	t1, FREGS_T1(sp)
#endif
	ld	a0, SLOT_A0(sp)
	ld	a1, SLOT_A1(sp)
	ld	a2, FREGS_A0+16(sp)
#ifndef LOST_A3 /* the fourth argument of every traced function */
	ld	a3, FREGS_A0+24(sp)
#endif
	ld	a4, FREGS_A0+32(sp)
	ld	a5, FREGS_A0+40(sp)
	ld	a6, FREGS_A0+48(sp)
	ld	a7, FREGS_A0+56(sp)
#ifdef FASTCC
	ld	t2, FREGS_T2(sp)
	ld	t3, FREGS_T2+8(sp)
	ld	t4, FREGS_T2+16(sp)
	ld	t5, FREGS_T2+24(sp)
	ld	t6, FREGS_T2+32(sp)
#endif
	addi	sp, sp, FRAME_SIZE
	.endm

	.macro	ROUTINE name
	.globl	\name
	.type	\name, @function
\name:
	.endm

	.macro	ROUTINE_END name
	.size	\name, . - \name
	.endm

/* ftrace_stub is called through a pointer, so a kCFI build looks for its hash: right below the symbol */
	.macro	STUB
	.balign	8
#ifdef KCFI
	.word	__kcfi_typeid_ftrace_stub
#endif
	ROUTINE	ftrace_stub
	ret
	ROUTINE_END ftrace_stub
	.endm
