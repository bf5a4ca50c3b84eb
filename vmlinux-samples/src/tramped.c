// SPDX-License-Identifier: GPL-2.0-or-later
/* A function that BPF programs are attached to: one that goes on for more than 16 bytes. */
#include "sample.h"

volatile u64 seen[4];

int noinline bpf_fentry_test1(int a)
{
	seen[0] += a;
	seen[1] += 3 * a;
	seen[2] += 5 * a;
	seen[3] += 7 * a;
	return a + 1;
}

void noinline call_traced(void)
{
	bpf_fentry_test1(41);
}
