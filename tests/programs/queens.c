/* SPDX-License-Identifier: GPL-2.0-or-later */
/* In how many ways do n queens stand on a board, none attacking another? Recursion and little else. */
#include "rt.h"

#ifndef SIZE
#define SIZE 6
#endif

static u64 placed;

static u64 place(u32 all, u32 columns, u32 left, u32 right)
{
	u64 ways = 0;

	if (columns == all)
		return 1;
	for (u32 free = all & ~(columns | left | right); free; free &= free - 1) {
		u32 one = free & -free;

		placed++;
		ways += place(all, columns | one, (left | one) << 1, (right | one) >> 1);
	}
	return ways;
}

int run(const u64 *stack)
{
	u64 ways = 0;

	(void)stack;
	for (u32 n = SIZE > 8 ? SIZE : 1; n <= SIZE; n++) {
		ways = place((1u << n) - 1, 0, 0, 0);
		put("queens ");
		put_number(n);
		put_char(' ');
		put_number(ways);
		put_char('\n');
	}
	line("placed", placed);
	return (int)(ways & 127);
}
