/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Products of integer matrices, modulo 2^64 and modulo a prime, and powers of a small one. */
#include "rt.h"

#ifndef SIZE
#define SIZE 9
#endif
#define PRIME 2147483647ull

static u64 a[SIZE][SIZE], b[SIZE][SIZE], c[SIZE][SIZE];

static void multiply(void)
{
	for (int i = 0; i < SIZE; i++)
		for (int j = 0; j < SIZE; j++) {
			u64 sum = 0;

			for (int k = 0; k < SIZE; k++)
				sum += a[i][k] * b[k][j];
			c[i][j] = sum;
		}
}

static void multiply_modulo(void)
{
	for (int i = 0; i < SIZE; i++)
		for (int j = 0; j < SIZE; j++)
			c[i][j] = 0;
	for (int i = 0; i < SIZE; i++)
		for (int k = 0; k < SIZE; k++)
			for (int j = 0; j < SIZE; j++)
				c[i][j] = (c[i][j] + a[i][k] % PRIME * (b[k][j] % PRIME)) % PRIME;
}

static u64 show(const char *name)
{
	u64 sum = MIX_START, trace = 0;

	for (int i = 0; i < SIZE; i++) {
		trace += c[i][i];
		for (int j = 0; j < SIZE; j++)
			sum = mix(sum, c[i][j]);
	}
	put(name);
	put_char(' ');
	put_hex(trace, 16);
	line_hex("", sum);
	return sum;
}

/* Fibonacci's n-th number modulo the prime: by the powers of { 1, 1; 1, 0 }. */
static u64 fibonacci(u64 n)
{
	u64 power[3] = { 1, 1, 0 }, result[3] = { 1, 0, 1 };

	for (; n; n >>= 1) {
		u64 x = power[0], y = power[1], z = power[2], p = result[0], q = result[1], r = result[2];

		if (n & 1) {
			result[0] = (p * x + q * y) % PRIME;
			result[1] = (p * y + q * z) % PRIME;
			result[2] = (q * y + r * z) % PRIME;
		}
		power[0] = (x * x + y * y) % PRIME;
		power[1] = (x * y + y * z) % PRIME;
		power[2] = (y * y + z * z) % PRIME;
	}
	return result[1];
}

int run(const u64 *stack)
{
	u64 state = 7, sum;

	(void)stack;
	for (int i = 0; i < SIZE; i++)
		for (int j = 0; j < SIZE; j++) {
			a[i][j] = random_next(&state);
			b[i][j] = random_next(&state);
		}
	multiply();
	sum = show("product");
	multiply_modulo();
	sum ^= show("modulo");
	line("fibonacci", fibonacci(90));
	line("fibonacci", fibonacci(1000000007));
	return (int)(sum & 127);
}
