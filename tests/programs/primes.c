/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A sieve, trial division, and the test of Miller and Rabin on numbers of 31 bits; Euclid; integer roots. */
#include "rt.h"

#ifndef SIZE
#define SIZE 1000
#endif

static u8 composite[SIZE];

static u32 sieve(u32 *last)
{
	u32 count = 0;

	for (u32 i = 2; i < SIZE; i++) {
		if (composite[i])
			continue;
		count++;
		*last = i;
		for (u64 multiple = (u64)i * i; multiple < SIZE; multiple += i)
			composite[multiple] = 1;
	}
	return count;
}

static u32 smallest_factor(u32 n)
{
	if (n % 2 == 0)
		return 2;
	for (u32 divisor = 3; divisor * divisor <= n; divisor += 2)
		if (n % divisor == 0)
			return divisor;
	return n;
}

static int passes(u32 n, u32 base)
{
	u32 odd = n - 1, twos = 0;
	u64 x = 1, power = base % n;

	if (!power)
		return 1;
	for (; odd % 2 == 0; odd /= 2)
		twos++;
	for (; odd; odd >>= 1) {
		if (odd & 1)
			x = x * power % n;
		power = power * power % n;
	}
	if (x == 1 || x == n - 1)
		return 1;
	while (--twos) {
		x = x * x % n;
		if (x == n - 1)
			return 1;
	}
	return 0;
}

static u64 gcd(u64 a, u64 b)
{
	while (b) {
		u64 t = a % b;

		a = b;
		b = t;
	}
	return a;
}

static u64 root(u64 n)
{
	u64 result = 0;

	for (u64 bit = 1ull << 31; bit; bit >>= 1)
		if ((result | bit) * (result | bit) <= n)
			result |= bit;
	return result;
}

int run(const u64 *stack)
{
	u64 state = 8;
	u32 last = 0, count = sieve(&last), n_primes = 0;

	(void)stack;
	line("primes", count);
	line("last", last);
	line("factor", smallest_factor(8051));
	line("factor", smallest_factor(10007));
	for (int i = 0; i < 12; i++) {
		u32 n = (u32)(random_next(&state) >> 33) | 1;
		int prime = passes(n, 2) && passes(n, 3) && passes(n, 5) && passes(n, 7);

		put_number(n);
		put(prime ? " prime " : " composite ");
		put_number(gcd(random_next(&state), (u64)n * 5040));
		put_char(' ');
		put_number(root(random_next(&state)));
		put_char('\n');
		n_primes += (u32)prime;
	}
	line("prime", (u64)(passes(2147483647, 2) && passes(2147483647, 3) && passes(2147483647, 5)));
	return (int)((count + n_primes) & 127);
}
