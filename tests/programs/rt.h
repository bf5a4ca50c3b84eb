/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What every test program uses: numbers of a fixed size, output by the line, pseudo-random numbers. */
#ifndef RT_H
#define RT_H

typedef __UINT8_TYPE__ u8;
typedef __UINT16_TYPE__ u16;
typedef __UINT32_TYPE__ u32;
typedef __UINT64_TYPE__ u64;
typedef __INT32_TYPE__ s32;
typedef __INT64_TYPE__ s64;
typedef unsigned __int128 u128;

#define LENGTH(array) (sizeof(array) / sizeof((array)[0]))

int run(const u64 *stack);

long call_kernel(long number, long a, long b, long c);
void leave(int status) __attribute__((noreturn));

/* Output is kept until the end of a line, or until 256 bytes are waiting. */
void put_char(char c);
void put(const char *text);
void put_number(u64 value);
void put_signed(s64 value);
void put_hex(u64 value, int digits);
/* "name value" and the same with 16 hexadecimal digits, as a line. */
void line(const char *name, u64 value);
void line_hex(const char *name, u64 value);

void *memcpy(void *to, const void *from, u64 n);
void *memmove(void *to, const void *from, u64 n);
void *memset(void *to, int byte, u64 n);
int memcmp(const void *a, const void *b, u64 n);

/* A Weyl sequence, mixed twice; tests/programs/expected.py has the same. */
u64 random_next(u64 *state);

/* One step of a checksum over 64-bit words. */
static inline u64 mix(u64 sum, u64 word)
{
	return (sum ^ word) * 0x100000001b3ull;
}

#define MIX_START 0xcbf29ce484222325ull

#endif
