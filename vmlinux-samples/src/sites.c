// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Twelve functions that can be traced.
 *
 * JUMP_LABELS   one of them contains a jump label
 * ODD_LABEL     it stands at 2 modulo 4
 * TRACED_FLUSH  flush_icache_all is here, with a sled
 * TRACED_WAIT   rcu_momentary_eqs is here, with a sled
 * KCFI          the last one makes three indirect calls
 */
#include "sample.h"

u64 counter, quiescent_states;

u64 noinline add_to_counter(u64 amount)
{
	return counter += amount;
}

u64 noinline read_counter(void)
{
	return counter;
}

u64 noinline count_bits(u64 value)
{
	u64 bits = 0;

	for (; value; value &= value - 1)
		bits++;
	return bits;
}

u64 noinline is_power_of_two(u64 value)
{
	return count_bits(value) == 1;
}

u64 noinline largest(u64 a, u64 b, u64 c, u64 d)
{
	u64 left = a > b ? a : b, right = c > d ? c : d;

	return left > right ? left : right;
}

u64 noinline sum_of_range(u64 from, u64 to)
{
	u64 sum = 0;

	while (from < to)
		sum += from++;
	return sum;
}

u64 noinline checksum(const unsigned char *data, size_t len)
{
	u64 sum = 5381;

	while (len--)
		sum = sum * 33 + *data++;
	return sum;
}

void noinline fill(unsigned char *data, int value, size_t len)
{
	while (len--)
		*(volatile unsigned char *)data++ = value;
}

size_t noinline length(const char *text)
{
	const char *end = text;

	while (*(volatile const char *)end)
		end++;
	return end - text;
}

u64 noinline eight_arguments(u64 a, u64 b, u64 c, u64 d, u64 e, u64 f, u64 g, u64 h)
{
	return add_to_counter(a + b * 2 + c * 3 + d * 5 + e * 7 + f * 11 + g * 13 + h * 17);
}

#ifdef JUMP_LABELS
#ifdef ODD_LABEL
#define LABEL_ALIGNMENT ".balign 4\n\tc.nop\n\t"
#else
#define LABEL_ALIGNMENT ".balign 4\n\t"
#endif
u64 debug_key;

u64 noinline maybe_count(u64 value)
{
	__asm__ goto(LABEL_ALIGNMENT
		     ".option push\n\t.option norvc\n1:\tnop\n\t.option pop\n\t"
		     ".pushsection __jump_table, \"aw\"\n\t.balign 8\n\t"
		     ".long 1b - .\n\t.long %l[yes] - .\n\t.dword debug_key - .\n\t.popsection"
		     : : : : yes);
	return value;
yes:
	return add_to_counter(value);
}
#else
u64 noinline maybe_count(u64 value)
{
	return value > 100 ? add_to_counter(value) : value;
}
#endif

#ifdef KCFI
ftrace_func_t hooks[3] = { ftrace_stub, ftrace_stub, ftrace_stub };
#endif

u64 noinline run_all(const char *text)
{
	u64 result = checksum((const unsigned char *)text, length(text));

#ifdef KCFI
	hooks[0](0, 0, NULL, NULL);
	hooks[1](1, 0, NULL, NULL);
	hooks[2](2, 0, NULL, NULL);
#endif
	result += largest(result, read_counter(), is_power_of_two(result), sum_of_range(1, 10));
	return maybe_count(eight_arguments(result, 1, 2, 3, 4, 5, 6, 7));
}

#ifdef TRACED_FLUSH
void noinline flush_icache_all(void)
{
	__asm__ volatile("fence.i\n\tfence rw, rw" ::: "memory"); /* visible before anybody is told */
	sbi_remote_fence_i();
}
#endif

#ifdef TRACED_WAIT
void noinline rcu_momentary_eqs(void)
{
	quiescent_states++;
}
#endif
