// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Four more functions in an object (and a section) of their own: the one that some samples build with
 * other flags, put elsewhere, or mark in a way that the rest of the kernel is not.
 *
 * COLD  the last two are cold, so gcc does not align them
 * WEAK  the second is weak, and init.c overrides it
 */
#include "sample.h"

#define __driver __section(".text.driver")
#ifdef COLD
#define __rare __cold
#else
#define __rare
#endif
#ifdef WEAK
#define __maybe_weak __weak
#else
#define __maybe_weak
#endif

__section(".data.driver") u64 registers[4];

__driver u64 noinline driver_read(u64 number)
{
	return registers[number & 3];
}

__driver __maybe_weak u64 noinline driver_write(u64 number, u64 value)
{
	return registers[number & 3] = value;
}

__driver __rare u64 noinline driver_reset(void)
{
	registers[0] = 0;
	return 0;
}

__driver __rare u64 noinline driver_error(u64 code)
{
	registers[3] |= code;
	return code;
}
