/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Sites that no compiler makes, each behind its switch:
 *
 * ODD_FOREIGN    a function whose entry is in the table, but that starts with instructions instead of nops
 * ODD_PATCHED    a function that already holds a call (pair-t0)
 * ODD_MIXED      a sled of c.nop, c.nop, nop (pair-t0)
 * ODD_ALIAS      a second function symbol within a sled
 * ODD_DUPLICATE  an entry that stands in the table twice
 * ODD_DATA       an entry that points to data
 * ODD_ZERO       two entries that were zeroed, as for overridden weak functions; linked first
 */
#include "sample.h"

#ifdef CALL_OPS
#define PREFIX 8
#else
#define PREFIX 0
#endif

	.macro	ENTRY_AT address, section=.text
	.pushsection __patchable_function_entries, "awo", @progbits, \section
	.balign	8
	.dword	\address
	.popsection
	.endm

	.macro	NOPS size
	.rept	\size / 2
	c.nop
	.endr
	.endm

	.macro	SITE name
	.balign	8
9:	NOPS	PREFIX
	.globl	\name
	.type	\name, @function
\name:
	ENTRY_AT 9b
	.endm

	.macro	SITE_END name
	.size	\name, . - \name
	.endm

	.text
#ifdef ODD_FOREIGN
	SITE	odd_foreign
	addi	sp, sp, -16
	sd	ra, 8(sp)
	sd	s0, 0(sp)
	ld	s0, 0(sp)
	addi	sp, sp, 16
	ret
	SITE_END odd_foreign
#endif

#ifdef ODD_PATCHED
	SITE	odd_patched
	.option push
	.option norvc
	auipc	t0, 0
	jalr	t0, 0(t0)
	.option pop
	ret
	SITE_END odd_patched
#endif

#ifdef ODD_MIXED
	SITE	odd_mixed
	NOPS	4
	.option push
	.option norvc
	nop
	.option pop
	ret
	SITE_END odd_mixed
#endif

#ifdef ODD_ALIAS
	SITE	odd_alias
	NOPS	4
	.globl	odd_alias_inside
	.type	odd_alias_inside, @function
odd_alias_inside:
	NOPS	4
	ret
	SITE_END odd_alias_inside
	SITE_END odd_alias
#endif

#ifdef ODD_DUPLICATE
	SITE	odd_twice
	ENTRY_AT 9b
	NOPS	8
	ret
	SITE_END odd_twice
#endif

#ifdef ODD_DATA
	.data
	.balign	8
odd_data:
	.ascii	"some data, sixteen and more"
	.text
	ENTRY_AT odd_data, .data
#endif

#ifdef ODD_ZERO
	ENTRY_AT 0
	ENTRY_AT 0
#endif
