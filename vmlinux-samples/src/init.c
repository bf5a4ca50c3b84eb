// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Two functions of .init.text that can be traced; linked last, so that the table is in ascending order.
 *
 * EXIT_SITE  a third one lies in .exit.text without being marked notrace
 * WEAK       the strong namesake of a weak function of driver.c
 */
#include "sample.h"

u64 run_all(const char *text);

__init int noinline early_setup(void)
{
	return ftrace_process_locs(NULL, __start_mcount_loc, __stop_mcount_loc);
}

__init void start_kernel(void)
{
	if (early_setup())
		arch_ftrace_update_code(1);
	for (;;)
		run_all("genpatch");
}

#ifdef EXIT_SITE
u64 left;

__section(".exit.text") void leave(void)
{
	left = 1;
}
#endif

#ifdef WEAK
notrace u64 driver_write(u64 number, u64 value)
{
	return value;
}
#endif
