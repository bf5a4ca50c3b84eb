/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The configuration as CONFIG_IKCONFIG embeds it; config.gz is made by the recipe. */

	.section .rodata, "a"
	.ascii	"IKCFG_ST"
	.globl	kernel_config_data
	.type	kernel_config_data, @object
kernel_config_data:
	.incbin	"config.gz"
	.size	kernel_config_data, . - kernel_config_data
	.ascii	"IKCFG_ED"
