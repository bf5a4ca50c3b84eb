/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What Zba, Zbb, Zbs and Zicond are for, written so that a compiler which may use them does; without them it emits
 * shifts and masks, and the output must be the same.
 */
#include "rt.h"

#ifndef SIZE
#define SIZE 14
#endif

#ifndef __riscv_zbb
/* What gcc calls for its builtins when there is no instruction. */
int __clzdi2(u64 x);
int __ctzdi2(u64 x);
int __popcountdi2(u64 x);
u64 __bswapdi2(u64 x);
u32 __bswapsi2(u32 x);

int __clzdi2(u64 x)
{
	int n = 0;

	for (int by = 32; by; by /= 2)
		if (!(x >> (64 - by))) {
			n += by;
			x <<= by;
		}
	return n;
}

int __ctzdi2(u64 x)
{
	int n = 0;

	for (int by = 32; by; by /= 2)
		if (!(x << (64 - by))) {
			n += by;
			x >>= by;
		}
	return n;
}

int __popcountdi2(u64 x)
{
	int n = 0;

	for (int i = 0; i < 64; i++)
		n += (int)(x >> i & 1);
	return n;
}

u64 __bswapdi2(u64 x)
{
	x = x >> 32 | x << 32;
	x = (x >> 16 & 0x0000ffff0000ffffull) | (x & 0x0000ffff0000ffffull) << 16;
	return (x >> 8 & 0x00ff00ff00ff00ffull) | (x & 0x00ff00ff00ff00ffull) << 8;
}

u32 __bswapsi2(u32 x)
{
	x = x >> 16 | x << 16;
	return (x >> 8 & 0x00ff00ff) | (x & 0x00ff00ff) << 8;
}
#endif

#define NOINLINE __attribute__((noinline))
#define BINARY(name, expression) \
	static NOINLINE u64 name(u64 a, u64 b) { return (u64)(expression); }

#define A32 ((u32)a)
#define B32 ((u32)b)

/* Zbb */
BINARY(clz, a ? __builtin_clzll(a) : 64)
BINARY(ctz, a ? __builtin_ctzll(a) : 64)
BINARY(clzw, A32 ? __builtin_clz(A32) : 32)
BINARY(ctzw, A32 ? __builtin_ctz(A32) : 32)
BINARY(popcount, __builtin_popcountll(a))
BINARY(popcountw, __builtin_popcount(A32))
BINARY(rol, a << (b & 63) | a >> (-b & 63))
BINARY(ror, a >> (b & 63) | a << (-b & 63))
BINARY(rori, a >> 21 | a << 43)
BINARY(rolw, (s64)(s32)(A32 << (b & 31) | A32 >> (-b & 31)))
BINARY(rorw, (s64)(s32)(A32 >> (b & 31) | A32 << (-b & 31)))
BINARY(roriw, (s64)(s32)(A32 >> 9 | A32 << 23))
BINARY(bswap, __builtin_bswap64(a))
BINARY(bswapw, __builtin_bswap32(A32))
BINARY(andn, a & ~b)
BINARY(orn, a | ~b)
BINARY(xnor, ~(a ^ b))
BINARY(minimum, (s64)a < (s64)b ? a : b)
BINARY(maximum, (s64)a > (s64)b ? a : b)
BINARY(minimumu, a < b ? a : b)
BINARY(maximumu, a > b ? a : b)
BINARY(sextb, (s64)(__INT8_TYPE__)a)
BINARY(sexth, (s64)(__INT16_TYPE__)a)
BINARY(zexth, (u16)a)
/* Zba */
BINARY(sh1add, (a << 1) + b)
BINARY(sh2add, (a << 2) + b)
BINARY(sh3add, (a << 3) + b)
BINARY(adduw, (u64)A32 + b)
BINARY(sh1adduw, ((u64)A32 << 1) + b)
BINARY(sh2adduw, ((u64)A32 << 2) + b)
BINARY(sh3adduw, ((u64)A32 << 3) + b)
BINARY(slliuw, (u64)A32 << 7)
/* Zbs */
BINARY(bset, a | 1ull << (b & 63))
BINARY(bclr, a & ~(1ull << (b & 63)))
BINARY(binv, a ^ 1ull << (b & 63))
BINARY(bext, a >> (b & 63) & 1)
BINARY(bseti, a | 1ull << 40)
BINARY(bclri, a & ~(1ull << 41))
BINARY(binvi, a ^ 1ull << 42)
BINARY(bexti, a >> 43 & 1)
/* Zicond */
BINARY(keep_if, b & 1 ? a : 0)
BINARY(keep_unless, b & 1 ? 0 : a)
BINARY(select_either, (s64)b < 0 ? a * 3 : b + 5)
BINARY(add_if, b & 4 ? a + 77 : a)

#define ENTRY(name) { #name, name }
static const struct {
	const char *name;
	u64 (*function)(u64, u64);
} functions[] = {
	ENTRY(clz), ENTRY(ctz), ENTRY(clzw), ENTRY(ctzw), ENTRY(popcount), ENTRY(popcountw), ENTRY(rol), ENTRY(ror),
	ENTRY(rori), ENTRY(rolw), ENTRY(rorw), ENTRY(roriw), ENTRY(bswap), ENTRY(bswapw), ENTRY(andn), ENTRY(orn),
	ENTRY(xnor), ENTRY(minimum), ENTRY(maximum), ENTRY(minimumu), ENTRY(maximumu), ENTRY(sextb), ENTRY(sexth),
	ENTRY(zexth), ENTRY(sh1add), ENTRY(sh2add), ENTRY(sh3add), ENTRY(adduw), ENTRY(sh1adduw), ENTRY(sh2adduw),
	ENTRY(sh3adduw), ENTRY(slliuw), ENTRY(bset), ENTRY(bclr), ENTRY(binv), ENTRY(bext), ENTRY(bseti), ENTRY(bclri),
	ENTRY(binvi), ENTRY(bexti), ENTRY(keep_if), ENTRY(keep_unless), ENTRY(select_either), ENTRY(add_if),
};

int run(const u64 *stack)
{
	static const u64 edges[] = { 0, 1, ~0ull, 1ull << 63, 1ull << 31, 0xffffffff };
	u64 total = 0;

	(void)stack;
	for (u64 i = 0; i < LENGTH(functions); i++) {
		u64 state = 9, sum = MIX_START, first = 0;

		for (u64 n = 0; n < SIZE; n++) {
			u64 a = random_next(&state) >> (n * 13 & 63), b = random_next(&state);
			u64 value;

			if (n < LENGTH(edges))
				a = edges[n];
			value = functions[i].function(a, b);
			if (n == LENGTH(edges))
				first = value;
			sum = mix(sum, value);
		}
		put(functions[i].name);
		put_char(' ');
		put_hex(first, 16);
		line_hex("", sum);
		total ^= sum;
	}
	return (int)(total & 127);
}
