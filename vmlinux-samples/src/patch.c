// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * What writes text, for every scheme. Built without sleds, as such code must be.
 *
 * Switches that break it:
 * WRONG_SYMADDR   arch_ftrace_get_symaddr subtracts 8, the size of the sled, instead of 4
 * LOCAL_FLUSH     patch_text_nosync makes only its own hart execute fence.i
 * NO_FLUSH        arch_ftrace_update_code makes nobody do so
 * LIVE            several words are rewritten without stopping the machine
 * STRANGE_WIDTH   ftrace_make_call writes three words, as no known scheme does
 * ODD_ADJUST      ftrace_call_adjust depends on more than its argument
 * TRACED_FLUSH    flush_icache_all has a sled (sites.c defines it)
 * UNLOCKED        ftrace_init_nop takes text_mutex behind its first write, and the prepare hook not at all
 *
 * Others: TEXT_MUTEX, text is written under a lock; BPF_SIZE, the bytes that bpf_arch_text_poke takes for a
 * sled. Without them there is no lock, and no such routine.
 */
#include "sample.h"

#define NOP 0x00000013U
#define AUIPC_T0 0x00000297U
#define JALR_T0 0x000282e7U
#define AUIPC_RA 0x00000097U
#define JALR_RA 0x000080e7U
#define SAVE_RA 0xfe113c23U
#define LOAD_RA 0xff813083U
#define EFAULT 14

static inline u32 hi20(u64 distance)
{
	return (u32)(distance + 0x800) & 0xfffff000U;
}

static inline u32 lo12(u64 distance)
{
	return (u32)distance << 20;
}

int noinline patch_insn_write(void *addr, const void *insn, size_t len)
{
	u64 to = (u64)addr, from = (u64)insn;

	while (len) {
		if (!((to | from | len) & 7)) {
			*(volatile u64 *)to = *(const u64 *)from;
			to += 8, from += 8, len -= 8;
		} else if (!((to | from | len) & 3)) {
			*(volatile u32 *)to = *(const u32 *)from;
			to += 4, from += 4, len -= 4;
		} else {
			*(volatile u16 *)to = *(const u16 *)from;
			to += 2, from += 2, len -= 2;
		}
	}
	return 0;
}

int noinline patch_text_nosync(void *addr, const void *insns, size_t len)
{
	int ret = patch_insn_write(addr, insns, len);

#ifdef LOCAL_FLUSH
	__asm__ volatile("fence.i" ::: "memory");
#else
	flush_icache_all();
#endif
	return ret;
}

void noinline sbi_remote_fence_i(void)
{
	register u64 mask __asm__("a0") = 0;
	register u64 base __asm__("a1") = -1UL;
	register u64 function __asm__("a6") = 0;
	register u64 extension __asm__("a7") = 0x52464e43;

	__asm__ volatile("ecall" : "+r"(mask), "+r"(base) : "r"(function), "r"(extension) : "memory");
}

#ifndef TRACED_FLUSH
void noinline flush_icache_all(void)
{
	__asm__ volatile("fence.i\n\tfence rw, rw" ::: "memory"); /* visible before anybody is told */
	sbi_remote_fence_i();
}
#endif

/* --- where a site is --- */

#if defined(CALL_OPS) || defined(FIXED)
#ifdef CALL_OPS
#define ENTRY_TO_IP 12
#else
#define ENTRY_TO_IP 4
#endif
#ifdef ODD_ADJUST
u64 adjust_by = ENTRY_TO_IP;
#endif

u64 noinline ftrace_call_adjust(u64 addr)
{
#ifdef ODD_ADJUST
	return addr + *(volatile u64 *)&adjust_by;
#else
	return addr + ENTRY_TO_IP;
#endif
}

u64 noinline arch_ftrace_get_symaddr(u64 ip)
{
#ifdef WRONG_SYMADDR
	return ip - 8;
#else
	return ip - 4;
#endif
}
#endif

/* --- what holds off other writers --- */

#ifdef TEXT_MUTEX
struct mutex text_mutex;

void ftrace_arch_code_modify_prepare(void)
{
#ifndef UNLOCKED
	mutex_lock(&text_mutex);
#endif
}

void ftrace_arch_code_modify_post_process(void)
{
#ifndef UNLOCKED
	mutex_unlock(&text_mutex);
#endif
}
#else
#define mutex_lock(lock) do { } while (0)
#define mutex_unlock(lock) do { } while (0)
#endif

/* --- what a site becomes --- */

#ifdef CALL_OPS
static inline int set_ops(struct dyn_ftrace *rec, struct ftrace_ops *ops)
{
	return patch_text_nosync((void *)((rec->ip - 12) & ~7UL), &ops, 8);
}
#else
#define set_ops(rec, ops) 0
#endif

#if defined(CALL_OPS) || defined(FIXED)
int ftrace_init_nop(struct module *mod, struct dyn_ftrace *rec)
{
	u32 insns[2] = { AUIPC_T0 | hi20((u64)ftrace_caller - (rec->ip - 4)), NOP };
	int ret;

#ifndef UNLOCKED
	mutex_lock(&text_mutex);
#endif
	ret = set_ops(rec, &ftrace_nop_ops);
#ifdef UNLOCKED
	mutex_lock(&text_mutex);
#endif
	if (!ret)
		ret = patch_text_nosync((void *)(rec->ip - 4), insns, 8);
	mutex_unlock(&text_mutex);
	return ret;
}

int ftrace_make_call(struct dyn_ftrace *rec, u64 addr)
{
#ifdef STUB_DIRECT /* a distance that jalr covers does not mean that the auipc fits */
	u64 caller = (u64)ftrace_caller;
	u64 distance = addr > caller ? addr - caller : caller - addr;

	if (distance > 0x7ff)
		addr = caller;
#else
	addr = (u64)ftrace_caller;
#endif
	if (set_ops(rec, &ftrace_list_ops))
		return -EFAULT;
#ifdef STRANGE_WIDTH
	u32 insns[3] = { JALR_T0 | lo12(addr - (rec->ip - 4)), NOP, NOP };

	return patch_insn_write((void *)rec->ip, insns, 12);
#else
	u32 jalr = JALR_T0 | lo12(addr - (rec->ip - 4));

	return patch_insn_write((void *)rec->ip, &jalr, 4);
#endif
}

int ftrace_make_nop(struct module *mod, struct dyn_ftrace *rec, u64 addr)
{
	u32 nop = NOP;

	if (set_ops(rec, &ftrace_nop_ops))
		return -EFAULT;
	return patch_insn_write((void *)rec->ip, &nop, 4);
}
#else
int ftrace_init_nop(struct module *mod, struct dyn_ftrace *rec)
{
	return ftrace_make_nop(mod, rec, (u64)ftrace_caller);
}

int ftrace_make_call(struct dyn_ftrace *rec, u64 addr)
{
#ifdef RA16
	u64 distance = addr - (rec->ip + 4);
	u32 insns[4] = { SAVE_RA, AUIPC_RA | hi20(distance), JALR_RA | lo12(distance), LOAD_RA };
#else
	u64 distance = addr - rec->ip;
	u32 insns[2] = { AUIPC_T0 | hi20(distance), JALR_T0 | lo12(distance) };
#endif

	return patch_text_nosync((void *)rec->ip, insns, SLED_SIZE);
}

int ftrace_make_nop(struct module *mod, struct dyn_ftrace *rec, u64 addr)
{
	u32 nops[4] = { NOP, NOP, NOP, NOP };

	return patch_text_nosync((void *)rec->ip, nops, SLED_SIZE);
}
#endif

/* --- when it may be written --- */

#if defined(CALL_OPS) || defined(FIXED) || defined(LIVE)
void arch_ftrace_update_code(int command)
{
	ftrace_modify_all_code(command);
#ifndef NO_FLUSH
	flush_icache_all();
#endif
}
#else
static int update_code(void *data)
{
	ftrace_modify_all_code(*(int *)data);
	return 0;
}

void arch_ftrace_update_code(int command)
{
	stop_machine(update_code, &command, NULL);
}
#endif

/* --- BPF --- */

#ifdef BPF_SIZE
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

static inline void call_or_nops(u32 *insns, u64 target, u64 ip)
{
	for (int i = 0; i < BPF_SIZE / 4; i++)
		insns[i] = NOP;
	if (target) {
		insns[0] = AUIPC_T0 | hi20(target - ip);
		insns[1] = JALR_T0 | lo12(target - ip);
	}
}

int bpf_arch_text_poke(void *ip, int type, void *old_addr, void *new_addr)
{
	u32 old_insns[BPF_SIZE / 4], new_insns[BPF_SIZE / 4];

	call_or_nops(old_insns, (u64)old_addr, (u64)ip);
	if (memcmp(ip, old_insns, BPF_SIZE))
		return -EFAULT;
	call_or_nops(new_insns, (u64)new_addr, (u64)ip);
	if (memcmp(ip, new_insns, BPF_SIZE))
		return patch_text(ip, new_insns, BPF_SIZE);
	return 0;
}
#endif
