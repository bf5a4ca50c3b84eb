/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The first bytes of the image: the 64-byte header that boot loaders read, then the jump to start_kernel.
   GP_NEAR: gp is set. */

	.section .head.text, "ax"
	.globl	_start
	.type	_start, @function
_start:
	.option push
	.option norvc
	j	1f			/* code0 */
	nop				/* code1 */
	.option pop
	.dword	0x200000		/* text_offset */
	.dword	0x10000			/* image_size: more than any sample has */
	.dword	0			/* flags: little endian */
	.word	2			/* version 0.2 */
	.word	0
	.dword	0
	.ascii	"RISCV\0\0\0"
	.ascii	"RSC\x05"
	.word	0
1:
#ifdef GP_NEAR
	la	gp, __global_pointer$
#endif
	la	sp, boot_stack_top
	tail	start_kernel
	.size	_start, . - _start

	.bss
	.balign	16
	.zero	1024
boot_stack_top:
