// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * How a sled of a BPF program is patched, and what its trampolines call. scheme.h is made from the record of the BPF
 * scheme, as for live.c. Built without sleds.
 */
#include "sample.h"
#include "scheme.h"

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

static inline void make_sled(u32 *words, u64 target, u64 ip)
{
	static const u32 disabled[] = { DISABLED }, enabled[] = { ENABLED };
	u64 distance = target - (ip + HI20_AT);

#pragma GCC unroll 4
	for (int i = 0; i < AFTER / 4; i++)
		words[i] = target ? enabled[i] : disabled[i];
	if (target) {
		words[HI20_AT / 4] |= (u32)(distance + 0x800) & 0xfffff000U;
		words[LO12_AT / 4] |= (u32)distance << 20;
	}
}

int bpf_arch_text_poke(void *ip, int type, void *old_addr, void *new_addr)
{
	u32 old_insns[AFTER / 4], new_insns[AFTER / 4] __attribute__((aligned(8)));
	int ret = 0;

	make_sled(old_insns, (u64)old_addr, (u64)ip);
	if (memcmp(ip, old_insns, AFTER))
		return -EFAULT;
	make_sled(new_insns, (u64)new_addr, (u64)ip);
	mutex_lock(&text_mutex);
	if (memcmp(ip, new_insns, AFTER))
		ret = patch_text(ip, new_insns, AFTER);
	mutex_unlock(&text_mutex);
	return ret;
}
