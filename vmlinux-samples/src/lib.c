// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Routines that the core calls. Built without sleds.
 *
 * TEXT_MUTEX  there are locks
 */
#include "sample.h"

void sort(u64 *base, size_t num)
{
	for (size_t i = 1; i < num; i++) {
		u64 value = base[i];
		size_t j = i;

		for (; j && base[j - 1] > value; j--)
			base[j] = base[j - 1];
		base[j] = value;
	}
}

int memcmp(const void *left, const void *right, size_t len)
{
	const unsigned char *a = left, *b = right;

	for (; len; a++, b++, len--)
		if (*a != *b)
			return *a - *b;
	return 0;
}

#ifdef TEXT_MUTEX
void mutex_lock(struct mutex *lock)
{
	while (__atomic_exchange_n(&lock->taken, 1, __ATOMIC_ACQUIRE))
		;
}

void mutex_unlock(struct mutex *lock)
{
	__atomic_store_n(&lock->taken, 0, __ATOMIC_RELEASE);
}
#endif
