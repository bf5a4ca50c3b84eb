/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "rt.h"

static char waiting[256];
static u64 n_waiting;

long call_kernel(long number, long a, long b, long c)
{
	register long a0 __asm__("a0") = a;
	register long a1 __asm__("a1") = b;
	register long a2 __asm__("a2") = c;
	register long a7 __asm__("a7") = number;

	__asm__ volatile("ecall" : "+r"(a0) : "r"(a1), "r"(a2), "r"(a7) : "memory");
	return a0;
}

static void flush(void)
{
	u64 done = 0;

	while (done < n_waiting) {
		long n = call_kernel(64, 1, (long)(waiting + done), (long)(n_waiting - done));

		if (n <= 0)
			break;
		done += (u64)n;
	}
	n_waiting = 0;
}

void leave(int status)
{
	flush();
	for (;;)
		call_kernel(93, status, 0, 0);
}

void put_char(char c)
{
	waiting[n_waiting++] = c;
	if (c == '\n' || n_waiting == sizeof(waiting))
		flush();
}

void put(const char *text)
{
	while (*text)
		put_char(*text++);
}

void put_number(u64 value)
{
	char digits[20];
	int n = 0;

	do {
		digits[n++] = (char)('0' + value % 10);
		value /= 10;
	} while (value);
	while (n)
		put_char(digits[--n]);
}

void put_signed(s64 value)
{
	if (value < 0)
		put_char('-');
	put_number(value < 0 ? -(u64)value : (u64)value);
}

void put_hex(u64 value, int digits)
{
	while (digits--)
		put_char("0123456789abcdef"[value >> (4 * digits) & 15]);
}

void line(const char *name, u64 value)
{
	put(name);
	put_char(' ');
	put_number(value);
	put_char('\n');
}

void line_hex(const char *name, u64 value)
{
	put(name);
	put_char(' ');
	put_hex(value, 16);
	put_char('\n');
}

typedef u64 __attribute__((may_alias)) word_t;

/* As memmove needs it: from below, so that an overlap is no harm where `to` is below `from`. */
void *memcpy(void *to, const void *from, u64 n)
{
	u8 *t = to;
	const u8 *f = from;

	if (!(((u64)to | (u64)from) % 8))
		for (; n >= 8; n -= 8, t += 8, f += 8)
			*(word_t *)t = *(const word_t *)f;
	while (n--)
		*t++ = *f++;
	return to;
}

void *memmove(void *to, const void *from, u64 n)
{
	u8 *t = to;
	const u8 *f = from;

	if (t <= f)
		return memcpy(to, from, n);
	while (n--)
		t[n] = f[n];
	return to;
}

void *memset(void *to, int byte, u64 n)
{
	u8 *t = to;

	while (n--)
		*t++ = (u8)byte;
	return to;
}

int memcmp(const void *a, const void *b, u64 n)
{
	const u8 *x = a, *y = b;

	for (; n; n--, x++, y++)
		if (*x != *y)
			return *x < *y ? -1 : 1;
	return 0;
}

u64 random_next(u64 *state)
{
	u64 x = *state += 0x9e3779b97f4a7c15ull;

	x ^= x >> 32;
	x *= 0xd6e8feb86659fd93ull;
	x ^= x >> 29;
	x *= 0xff51afd7ed558ccdull;
	return x ^ x >> 32;
}
