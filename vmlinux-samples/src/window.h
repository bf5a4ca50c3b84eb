/* SPDX-License-Identifier: GPL-2.0-or-later */
/* How text is written through a second mapping, and what all harts then do. Wants `slots`. */
#ifndef WINDOW_H
#define WINDOW_H

#include "sample.h"

#define PAGE 0x1000UL
#define WINDOW 0xffffffc6fee00000UL
#define SLOT_FIRST 2
#define SLOT_SECOND 1
#define WRITABLE 7

extern u64 slots[4];

void noinline __set_fixmap(int slot, u64 physical, u64 protection)
{
	slots[slot] = physical | protection;
}

static inline u64 window(int slot)
{
	return WINDOW - slot * PAGE;
}

int noinline patch_insn_write(void *addr, const void *insn, size_t len)
{
	u64 first = (u64)addr & -PAGE, second = ((u64)addr + len - 1) & -PAGE;
	u64 to = window(SLOT_FIRST) + ((u64)addr & (PAGE - 1)), from = (u64)insn;

	__set_fixmap(SLOT_FIRST, (u64)addr, WRITABLE);
	if (second != first)
		__set_fixmap(SLOT_SECOND, second, WRITABLE);
	for (; len && !((to | from | len) & 7); to += 8, from += 8, len -= 8)
		*(volatile u64 *)to = *(const u64 *)from;
	for (; len; to += 4, from += 4, len -= 4)
		*(volatile u32 *)to = *(const u32 *)from;
	__asm__ volatile("fence.i" ::: "memory");
	__set_fixmap(SLOT_FIRST, 0, 0);
	if (second != first)
		__set_fixmap(SLOT_SECOND, 0, 0);
	return 0;
}

int noinline patch_text_nosync(void *addr, const void *insns, size_t len)
{
	int ret = patch_insn_write(addr, insns, len);

	if (!ret)
		flush_icache_all();
	return ret;
}

void noinline sbi_remote_fence_i(void)
{
	register u64 mask __asm__("a0") = 0;
	register u64 base __asm__("a1") = -1UL;
	register u64 function __asm__("a6") = 0;
	register u64 extension __asm__("a7") = 0x52464e43;

	__asm__ volatile("ecall" : "+r"(mask), "+r"(base) : "r"(function), "r"(extension) : "memory");
}

void noinline flush_icache_all(void)
{
	__asm__ volatile("fence.i\n\tfence rw, rw" ::: "memory"); /* visible before anybody is told */
	sbi_remote_fence_i();
}

#endif /* WINDOW_H */
