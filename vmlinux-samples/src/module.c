// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A module of three functions that can be traced.
 *
 * RELEASE     the kernel it is for
 * LOST_SLOTS  two slots of the table have no relocation
 * WRONG_LINK  a second table is tied to a section other than that of its entry
 */
#include "sample.h"

#ifndef RELEASE
#define RELEASE "7.2.0-sample"
#endif

__section(".modinfo") __attribute__((used, aligned(1))) static const char modinfo[] =
	"name=sample\0license=GPL\0depends=\0vermagic=" RELEASE " SMP preempt mod_unload riscv";

__section(".gnu.linkonce.this_module") __attribute__((used)) struct module __this_module = { .name = "sample" };

u64 module_counter;

u64 noinline module_count(u64 amount)
{
	return module_counter += amount;
}

u64 noinline module_parity(u64 value)
{
	u64 odd = 0;

	for (; value; value &= value - 1)
		odd ^= 1;
	return odd;
}

int init_module(void)
{
	return module_count(module_parity(3)) > 1;
}

#ifdef LOST_SLOTS
__asm__(".pushsection __patchable_function_entries, \"awo\", @progbits, .text\n\t"
	".dword 0\n\t.dword 0\n\t.popsection");
#endif

#ifdef WRONG_LINK
__asm__(".pushsection .text.other, \"ax\"\n\tret\n\t.popsection\n\t"
	".pushsection __patchable_function_entries, \"awo\", @progbits, .text.other\n\t.balign 8\n\t"
	".dword tied_elsewhere - 8\n\t.popsection\n\t"
	".pushsection .text\n\t.balign 8\n\t.rept 4\n\tc.nop\n\t.endr\n\t"
	".globl tied_elsewhere\n\t.type tied_elsewhere, @function\ntied_elsewhere:\n\t"
	".rept 4\n\tc.nop\n\t.endr\n\tret\n\t.size tied_elsewhere, . - tied_elsewhere\n\t.popsection");
#endif
