/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A generic sort and a generic search, with callbacks; all orders are total, so that the result is one. */
#include "rt.h"

#ifndef SIZE
#define SIZE 30
#endif

typedef int compare_t(const void *, const void *);

static void exchange(u8 *a, u8 *b, u64 size)
{
	for (; size; size--, a++, b++) {
		u8 t = *a;

		*a = *b;
		*b = t;
	}
}

static void sort(void *base, u64 n, u64 size, compare_t *compare)
{
	u8 *a = base;

	while (n > 1) {
		u64 store = 0;

		exchange(a, a + n / 2 * size, size);
		for (u64 i = 1; i < n; i++)
			if (compare(a + i * size, a) < 0)
				exchange(a + i * size, a + ++store * size, size);
		exchange(a, a + store * size, size);
		sort(a, store, size, compare);
		a += (store + 1) * size;
		n -= store + 1;
	}
}

static const void *search(const void *key, const void *base, u64 n, u64 size, compare_t *compare)
{
	const u8 *a = base;

	while (n) {
		const u8 *middle = a + n / 2 * size;
		int order = compare(key, middle);

		if (!order)
			return middle;
		if (order > 0) {
			a = middle + size;
			n -= n / 2 + 1;
		} else {
			n /= 2;
		}
	}
	return 0;
}

static int up(const void *a, const void *b)
{
	s32 x = *(const s32 *)a, y = *(const s32 *)b;

	return (x > y) - (x < y);
}

static int down(const void *a, const void *b)
{
	return up(b, a);
}

static int as_unsigned(const void *a, const void *b)
{
	u32 x = *(const u32 *)a, y = *(const u32 *)b;

	return x < y ? -1 : x > y;
}

static int by_last_byte(const void *a, const void *b)
{
	int difference = ((const u8 *)a)[0] - ((const u8 *)b)[0];

	return difference ? difference : as_unsigned(a, b);
}

struct record {
	char name[5];
	u8 age;
	u16 id;
};

static int by_name(const void *a, const void *b)
{
	const struct record *x = a, *y = b;
	int order = memcmp(x->name, y->name, sizeof(x->name));

	return order ? order : x->id - y->id;
}

static int by_age(const void *a, const void *b)
{
	const struct record *x = a, *y = b;

	return x->age != y->age ? y->age - x->age : by_name(a, b);
}

static int by_target(const void *a, const void *b)
{
	return by_name(*(const struct record *const *)a, *(const struct record *const *)b);
}

static s32 numbers[SIZE];
static struct record records[SIZE], *pointers[SIZE];

static void show_record(const struct record *record)
{
	for (u64 i = 0; i < sizeof(record->name); i++)
		put_char(record->name[i]);
	put_char(' ');
	put_number(record->age);
	put_char(' ');
	put_number(record->id);
	put_char('\n');
}

int run(const u64 *stack)
{
	static compare_t *const orders[] = { up, down, as_unsigned, by_last_byte };
	u64 state = 5, sum = 0;

	(void)stack;
	for (u64 order = 0; order < LENGTH(orders); order++) {
		u64 hits = 0;

		for (int i = 0; i < SIZE; i++)
			numbers[i] = (s32)random_next(&state);
		sort(numbers, SIZE, sizeof(numbers[0]), orders[order]);
		sum = MIX_START;
		for (int i = 0; i < SIZE; i++) {
			const s32 *hit = search(numbers + i, numbers, SIZE, sizeof(numbers[0]), orders[order]);
			s32 missing = numbers[i] + 1;

			hits += hit == numbers + i;
			hits += search(&missing, numbers, SIZE, sizeof(numbers[0]), orders[order]) != 0;
			sum = mix(sum, (u64)numbers[i]);
		}
		put_signed(numbers[0]);
		put_char(' ');
		put_signed(numbers[SIZE - 1]);
		put_char(' ');
		put_number(hits);
		line_hex("", sum);
	}
	for (int i = 0; i < SIZE; i++) {
		for (u64 c = 0; c < sizeof(records[i].name); c++)
			records[i].name[c] = (char)('a' + random_next(&state) % 3);
		records[i].age = (u8)(random_next(&state) % 7);
		records[i].id = (u16)i;
		pointers[i] = records + i;
	}
	sort(pointers, SIZE, sizeof(pointers[0]), by_target);
	for (int i = 0; i < 3; i++)
		show_record(pointers[i]);
	sort(records, SIZE, sizeof(records[0]), by_age);
	for (int i = 0; i < 3; i++)
		show_record(records + i);
	show_record(records + SIZE - 1);
	return (int)(sum & 127);
}
