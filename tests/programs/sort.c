/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Six ways to sort the same signed numbers; all must print the same. */
#include "rt.h"

#ifndef SIZE
#define SIZE 60
#endif

static s64 original[SIZE], array[SIZE], spare[SIZE];

static void swap(s64 *a, s64 *b)
{
	s64 t = *a;

	*a = *b;
	*b = t;
}

static void insertion(s64 *a, s64 n)
{
	for (s64 i = 1; i < n; i++) {
		s64 key = a[i], at = i;

		for (; at > 0 && a[at - 1] > key; at--)
			a[at] = a[at - 1];
		a[at] = key;
	}
}

static void shell(s64 *a, s64 n)
{
	s64 gap = 1;

	while (gap < n / 3)
		gap = 3 * gap + 1;
	for (; gap; gap /= 3)
		for (s64 i = gap; i < n; i++)
			for (s64 at = i; at >= gap && a[at - gap] > a[at]; at -= gap)
				swap(a + at, a + at - gap);
}

static void sink(s64 *a, s64 root, s64 n)
{
	for (s64 child; (child = 2 * root + 1) < n; root = child) {
		if (child + 1 < n && a[child + 1] > a[child])
			child++;
		if (a[root] >= a[child])
			return;
		swap(a + root, a + child);
	}
}

static void heap(s64 *a, s64 n)
{
	for (s64 root = n / 2; root--;)
		sink(a, root, n);
	while (n-- > 1) {
		swap(a, a + n);
		sink(a, 0, n);
	}
}

static void merge(s64 *a, s64 n)
{
	for (s64 width = 1; width < n; width *= 2) {
		for (s64 low = 0; low < n; low += 2 * width) {
			s64 mid = low + width < n ? low + width : n;
			s64 high = mid + width < n ? mid + width : n;
			s64 left = low, right = mid;

			for (s64 at = low; at < high; at++)
				spare[at] = left < mid && (right == high || a[left] <= a[right]) ? a[left++] : a[right++];
		}
		memcpy(a, spare, (u64)n * sizeof(*a));
	}
}

static void quick(s64 *a, s64 n)
{
	while (n > 1) {
		s64 pivot = a[n / 2], low = 0, high = n - 1;

		while (low <= high) {
			while (a[low] < pivot)
				low++;
			while (a[high] > pivot)
				high--;
			if (low <= high)
				swap(a + low++, a + high--);
		}
		quick(a, high + 1);
		a += low;
		n -= low;
	}
}

static void radix(s64 *a, s64 n)
{
	s64 *from = a, *to = spare;

	for (int shift = 0; shift < 64; shift += 8) {
		u32 place[257] = { 0 };

		for (s64 i = 0; i < n; i++)
			place[(((u64)from[i] ^ 1ull << 63) >> shift & 255) + 1]++;
		for (int i = 0; i < 256; i++)
			place[i + 1] += place[i];
		for (s64 i = 0; i < n; i++)
			to[place[((u64)from[i] ^ 1ull << 63) >> shift & 255]++] = from[i];
		from = to;
		to = to == a ? spare : a;
	}
}

static const struct {
	const char *name;
	void (*sort)(s64 *, s64);
} sorts[] = {
	{ "insertion", insertion }, { "shell", shell }, { "heap", heap },
	{ "merge", merge },	    { "quick", quick }, { "radix", radix },
};

int run(const u64 *stack)
{
	u64 state = 1, sum = 0;

	(void)stack;
	for (int i = 0; i < SIZE; i++)
		original[i] = (s64)random_next(&state) >> (i % 3 * 20);
	for (u64 which = 0; which < LENGTH(sorts); which++) {
		memcpy(array, original, sizeof(array));
		sorts[which].sort(array, SIZE);
		sum = MIX_START;
		for (int i = 0; i < SIZE; i++)
			sum = mix(sum, (u64)array[i]);
		put(sorts[which].name);
		put_char(' ');
		put_hex(sum, 16);
		for (int i = 0; i < 3; i++) {
			put_char(' ');
			put_signed(array[i * (SIZE - 1) / 2]);
		}
		put_char('\n');
	}
	return (int)(sum & 127);
}
