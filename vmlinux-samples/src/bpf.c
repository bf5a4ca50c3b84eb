// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * How a sled of a BPF program is patched, and what its trampolines call. patching.c is rendered from the record of the
 * BPF scheme, as for live.c. Built without sleds.
 */
#include "sample.h"

#define EFAULT 14

struct text_patch {
	void *addr;
	const void *insns;
	size_t len;
};

static int patch_text_cb(void *data)
{
	struct text_patch *patch = data;

	return patch_text_nosync(patch->addr, patch->insns, patch->len);
}

int noinline patch_text(void *addr, const void *insns, size_t len)
{
	struct text_patch patch = { addr, insns, len };

	return stop_machine(patch_text_cb, &patch, NULL);
}

/* what a trampoline has in place of ops: where its program is, first of all */
struct bpf_tramp_run {
	void (*program)(const u64 *arguments, u64 unused, const struct bpf_tramp_run *run);
	u64 seen;
};

void bpf_program_first(const u64 *arguments, u64 unused, const struct bpf_tramp_run *run);
void bpf_program_second(const u64 *arguments, u64 unused, const struct bpf_tramp_run *run);

struct bpf_tramp_run bpf_run_first = { bpf_program_first, 0 }, bpf_run_second = { bpf_program_second, 0 };

void noinline bpf_program_first(const u64 *arguments, u64 unused, const struct bpf_tramp_run *run)
{
	bpf_run_first.seen = arguments[0];
}

void noinline bpf_program_second(const u64 *arguments, u64 unused, const struct bpf_tramp_run *run)
{
	bpf_run_second.seen = arguments[0];
}

enum bpf_text_poke_type { BPF_MOD_CALL, BPF_MOD_JUMP };

#include "patching.c"
