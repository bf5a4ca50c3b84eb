// SPDX-License-Identifier: GPL-2.0-or-later
/* What BPF trampolines call before and behind programs and functions, and what their maker asks for. No sleds. */
#include "jit.h"

#define POOL_SIZE 4096
#define NOP 0x00000013U
#define EFAULT 14
#define EOPNOTSUPP 95

extern struct mutex text_mutex;

static u64 entered, in_trampolines, clock;
static u8 pool[POOL_SIZE] __attribute__((aligned(16)));
static size_t used;

u64 noinline __bpf_prog_enter(struct bpf_prog *prog, struct bpf_tramp_run_ctx *run_ctx)
{
	run_ctx->saved_run_ctx = NULL;
	entered++;
	return ++clock;
}

void noinline __bpf_prog_exit(struct bpf_prog *prog, u64 start, struct bpf_tramp_run_ctx *run_ctx)
{
	entered--;
}

u64 noinline __bpf_prog_enter_sleepable(struct bpf_prog *prog, struct bpf_tramp_run_ctx *run_ctx)
{
	run_ctx->saved_run_ctx = NULL;
	entered += 2;
	return ++clock;
}

void noinline __bpf_prog_exit_sleepable(struct bpf_prog *prog, u64 start, struct bpf_tramp_run_ctx *run_ctx)
{
	entered -= 2;
}

bpf_trampoline_enter_t noinline bpf_trampoline_enter(const struct bpf_prog *prog)
{
	return prog->sleepable ? __bpf_prog_enter_sleepable : __bpf_prog_enter;
}

bpf_trampoline_exit_t noinline bpf_trampoline_exit(const struct bpf_prog *prog)
{
	return prog->sleepable ? __bpf_prog_exit_sleepable : __bpf_prog_exit;
}

void noinline __bpf_tramp_enter(struct bpf_tramp_image *tr)
{
	in_trampolines++;
}

void noinline __bpf_tramp_exit(struct bpf_tramp_image *tr)
{
	in_trampolines--;
}

void *noinline kvmalloc_node(size_t size, u32 flags, int node)
{
	void *found = pool + used;

	if (size > POOL_SIZE - used)
		return NULL;
	used += (size + 15) & ~15UL;
	return found;
}

void noinline kvfree(const void *addr)
{
	used = (const u8 *)addr - pool;
}

void *noinline bpf_arch_text_copy(void *dst, void *src, size_t len)
{
	int ret;

	mutex_lock(&text_mutex);
	ret = (mistake == MISTAKE_NOT_FLUSHED ? patch_insn_write : patch_text_nosync)(dst, src, len);
	mutex_unlock(&text_mutex);
	return ret ? (void *)(long)ret : dst;
}

/* jumps over programs alone, of one instruction: a task may be preempted anywhere */
int noinline bpf_arch_text_poke(void *ip, enum bpf_text_poke_type type, void *old_addr, void *new_addr)
{
	u32 distance = (u32)(new_addr - ip), insn;
	int ret;

	if (type != BPF_MOD_JUMP || old_addr || !new_addr)
		return -EOPNOTSUPP;
	if (*(volatile u32 *)ip != NOP)
		return -EFAULT;
	insn = 0x6f | (distance & 0xff000) | (distance >> 11 & 1) << 20 | (distance >> 1 & 0x3ff) << 21;
	mutex_lock(&text_mutex);
	ret = patch_text_nosync(ip, &insn, 4);
	mutex_unlock(&text_mutex);
	return ret;
}
