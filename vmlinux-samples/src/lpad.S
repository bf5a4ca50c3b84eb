/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Five functions that start with a landing pad, as forward-edge protection wants it, and one that does not. */
#include "sample.h"

	.macro	SITE name, pad
	.balign	8
	.globl	\name
	.type	\name, @function
\name:
	.ifnb	\pad
	.option push
	.option norvc
	auipc	zero, 0			/* lpad */
	.option pop
	.endif
9:	.rept	4
	c.nop
	.endr
	.pushsection __patchable_function_entries, "awo", @progbits, .text
	.balign	8
	.dword	9b
	.popsection
	addi	a0, a0, 1
	ret
	.size	\name, . - \name
	.endm

	.text
	SITE	padded_one, pad
	SITE	padded_two, pad
	SITE	padded_three, pad
	SITE	bare
	SITE	padded_four, pad
	SITE	padded_five, pad
