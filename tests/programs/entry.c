/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a program finds when it starts, and what an ecall does: run with an empty environment. */
#include "rt.h"

#define AT_NULL 0
#define AT_PAGESZ 6

u64 zeros[600];
static u64 initialized[2] = { 0x0123456789abcdef, 42 };
static char block[3 * 4096];

/* An unknown ecall: returns the number of registers other than a0 that it changed, and a0 through the pointer. */
u64 preserves(s64 *result);
__asm__(".text\n"
	".globl preserves\n"
	".type preserves, @function\n"
	".option push\n"
	".option norelax\n" /* gp is one of those that change */
	"preserves:\n"
	"	addi	sp, sp, -128\n"
	"	sd	a0, 0(sp)\n"
	"	sd	s0, 8(sp)\n"
	"	sd	s1, 16(sp)\n"
	"	sd	s2, 24(sp)\n"
	"	sd	s11, 32(sp)\n"
	"	sd	ra, 40(sp)\n"
	"	sd	gp, 48(sp)\n"
	"	sd	tp, 56(sp)\n"
	"	sd	sp, 64(sp)\n"
	"	.irp reg, t0, t1, t2, t3, t4, t5, s0, s1, s2, s11, a1, a2, a3, a4, a5, a6, ra, gp, tp\n"
	"	la	\\reg, zeros\n"
	"	addi	\\reg, \\reg, 1337\n"
	"	.endr\n"
	"	li	a7, 1999\n"
	"	li	a0, 5\n"
	"	ecall\n"
	"	mv	t6, a0\n"
	"	li	a0, 0\n"
	"	addi	a7, a7, -1999\n"
	"	snez	a7, a7\n"
	"	add	a0, a0, a7\n"
	"	la	a7, zeros\n"
	"	addi	a7, a7, 1337\n"
	"	.irp reg, t0, t1, t2, t3, t4, t5, s0, s1, s2, s11, a1, a2, a3, a4, a5, a6, ra, gp, tp\n"
	"	sub	\\reg, \\reg, a7\n"
	"	snez	\\reg, \\reg\n"
	"	add	a0, a0, \\reg\n"
	"	.endr\n"
	"	ld	t0, 64(sp)\n"
	"	sub	t0, t0, sp\n"
	"	snez	t0, t0\n"
	"	add	a0, a0, t0\n"
	"	ld	tp, 56(sp)\n"
	"	ld	gp, 48(sp)\n"
	"	ld	ra, 40(sp)\n"
	"	ld	s11, 32(sp)\n"
	"	ld	s2, 24(sp)\n"
	"	ld	s1, 16(sp)\n"
	"	ld	s0, 8(sp)\n"
	"	ld	t0, 0(sp)\n"
	"	sd	t6, 0(t0)\n"
	"	addi	sp, sp, 128\n"
	"	ret\n"
	".option pop\n"
	".size preserves, . - preserves\n");

int run(const u64 *stack)
{
	static const char message[] = "to the other stream\n";
	const u64 *at = stack + 1 + stack[0] + 1;
	u64 page = 0, sum = 0;
	u8 here[20000];
	s64 result;

	line("stack aligned", (u64)stack % 16 == 0);
	line("argc", stack[0]);
	line("argv[0] is a string", *(const char *)stack[1] != 0);
	line("argv ends", stack[1 + stack[0]] == 0);
	line("envp is empty", *at == 0);
	while (*at++)
		;
	for (; at[0] != AT_NULL; at += 2)
		if (at[0] == AT_PAGESZ)
			page = at[1];
	line("page", page);
	for (u64 i = 0; i < LENGTH(zeros); i++)
		sum |= zeros[i];
	line("bss is zero", sum == 0);
	initialized[1]++;
	line_hex("data", initialized[0]);
	line("data", initialized[1]);
	for (u64 i = 0; i < sizeof(here); i += 512)
		((volatile u8 *)here)[i] = (u8)i;
	line("the stack has room", ((volatile u8 *)here)[512] == 0);

	line("registers changed", preserves(&result));
	put("unknown call ");
	put_signed(result);
	put_char('\n');
	line("written", (u64)call_kernel(64, 2, (long)message, sizeof(message) - 1));
	line("written", (u64)call_kernel(64, 1, (long)message, 0));
	line("written elsewhere", call_kernel(64, 77, (long)message, 1) < 0);
	for (u64 i = 0; i < sizeof(block); i++)
		block[i] = (char)(i % 64 == 63 ? '\n' : '!' + i % 61);
	line("written", (u64)call_kernel(64, 1, (long)block, sizeof(block)));
	call_kernel(94, 300 + 11, 0, 0);
	return 1;
}
