/* SPDX-License-Identifier: GPL-2.0-or-later */
/* 128-bit products, quotients and modular powers. Division is our own: nothing of libgcc is linked. */
#include "rt.h"

#ifndef SIZE
#define SIZE 5
#endif

static void put_wide(const char *name, u128 value)
{
	put(name);
	put_char(' ');
	put_hex((u64)(value >> 64), 16);
	put_hex((u64)value, 16);
	put_char('\n');
}

/* The quotient, bit by bit; the remainder through a pointer. */
static u128 divide(u128 a, u128 b, u128 *rest)
{
	u128 quotient = 0, r = 0;

	for (int i = 0; i < 128; i++) {
		u64 carry = (u64)(r >> 127);

		r = r << 1 | a >> 127;
		a <<= 1;
		quotient <<= 1;
		if (carry || r >= b) {
			r -= b;
			quotient |= 1;
		}
	}
	*rest = r;
	return quotient;
}

/* A 128-bit number modulo a 64-bit one. */
static u64 modulo(u128 a, u64 m)
{
	u64 r = (u64)(a >> 64) % m, low = (u64)a;

	for (int i = 0; i < 64; i++) {
		u64 carry = r >> 63;

		r = r << 1 | low >> 63;
		low <<= 1;
		if (carry || r >= m)
			r -= m;
	}
	return r;
}

static u64 power(u64 base, u64 exponent, u64 m)
{
	u64 result = 1 % m;

	for (base %= m; exponent; exponent >>= 1) {
		if (exponent & 1)
			result = modulo((u128)result * base, m);
		base = modulo((u128)base * base, m);
	}
	return result;
}

int run(const u64 *stack)
{
	static const u64 edges[][2] = {
		{ 0, 0 }, { 1, ~0ull }, { ~0ull, ~0ull }, { 1ull << 63, 1ull << 63 }, { 1ull << 63, ~0ull },
	};
	u64 state = 4, sum = MIX_START;

	(void)stack;
	for (u64 i = 0; i < LENGTH(edges); i++) {
		u64 a = edges[i][0], b = edges[i][1];

		put_wide("unsigned", (u128)a * b);
		put_wide("signed", (u128)((__int128)(s64)a * (s64)b));
		put_wide("mixed", (u128)((__int128)(s64)a * (__int128)(u128)b));
	}
	for (int i = 0; i < SIZE; i++) {
		u64 a = random_next(&state), b = random_next(&state) >> (i * 11 % 64), m = random_next(&state) | 1;
		u128 wide = (u128)a << 64 | random_next(&state), narrow = (u128)(b | 1) << (i % 2 ? 40 : 0), rest;
		u128 quotient = divide(wide, narrow, &rest);

		put_wide("product", wide * (u128)b);
		put_wide("quotient", quotient);
		put_wide("rest", rest);
		if (quotient * narrow + rest != wide)
			put("the quotient is wrong\n");
		line_hex("modulo", modulo(wide, m));
		line_hex("power", power(a, b >> 48 | 5, m));
		sum = mix(sum, (u64)rest);
	}
	line("fermat", power(3, 1000002, 1000003));
	return (int)(sum & 127);
}
