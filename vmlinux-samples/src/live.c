// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * What writes text, in place of patch.c, for any ftrace scheme of the catalog: scheme.h is made from its record, and
 * says which words a site has and which stores lead from one state to another. Built without sleds.
 *
 * DIRECT_CALLS  there is a register_ftrace_direct (in kernel.c)
 */
#include "sample.h"
#include "scheme.h"

#define EINVAL 22
#define EFAULT 14
#define TRACERS 2
#define TRAMPOLINE_SIZE 384

u64 slots[4];
struct mutex text_mutex;
u64 return_address;

void ftrace_regs_caller(void);

#include "window.h"

/* --- where a site is --- */

#ifdef ADJUST
u64 noinline ftrace_call_adjust(u64 addr)
{
	return addr + ENTRY_TO_IP;
}
#endif

#ifdef OWN_OPS_FLAG
enum record_flag { FTRACE_FL_CALL_OPS_EN = 1 << 20 };

volatile enum record_flag own_ops = FTRACE_FL_CALL_OPS_EN;
struct ftrace_ops *only_ops = &ftrace_nop_ops;

struct ftrace_ops *noinline ftrace_find_unique_ops(struct dyn_ftrace *rec)
{
	return rec->flags ? only_ops : NULL;
}

static inline struct ftrace_ops *ops_of(struct dyn_ftrace *rec)
{
	struct ftrace_ops *ops = NULL;

	if (rec->flags & FTRACE_FL_CALL_OPS_EN)
		ops = ftrace_find_unique_ops(rec);
	return ops ? ops : &ftrace_list_ops;
}
#else
#define ops_of(rec) (&ftrace_list_ops)
#endif

#ifdef IN_SLOT
struct ftrace_ops *volatile function_trace_op = &ftrace_nop_ops;
#endif

/* --- where its call goes --- */

#ifdef ALLOCATED
/*
 * Each tracer's trampoline is a copy of ftrace_caller that knows other ops. It is written when the tracer comes, and
 * calls are led to it only then.
 */
extern char ftrace_caller_end[], ftrace_trampolines[];

struct ftrace_ops tracers[TRACERS];

int noinline ftrace_update_ftrace_func(ftrace_func_t func)
{
	u64 to = (u64)ftrace_trampolines, size = (u64)ftrace_caller_end - (u64)ftrace_caller - 8;
	int ret = 0;

	mutex_lock(&text_mutex);
	for (int i = 0; i < TRACERS && !ret; i++, to += TRAMPOLINE_SIZE) {
		struct ftrace_ops *ops = &tracers[i];

		ops->func = func;
		ret = patch_insn_write((void *)to, ftrace_caller, size);
		if (!ret)
			ret = patch_text_nosync((void *)(to + size), &ops, 8);
	}
	mutex_unlock(&text_mutex);
	return ret;
}

static inline u64 trampoline_at(u64 addr)
{
	return (u64)ftrace_trampolines + (addr == (u64)ftrace_regs_caller ? TRAMPOLINE_SIZE : 0);
}
#else
#ifdef OWN
#define trampoline_at(addr) (addr)
#else /* one for all */
#define trampoline_at(addr) ((u64)ftrace_caller)
#endif

int noinline ftrace_update_ftrace_func(ftrace_func_t func)
{
	return 0;
}
#endif

/* --- what a site is in a state --- */

struct site {
	unsigned char bytes[BEFORE + AFTER] __attribute__((aligned(8)));
};

#if defined(HI20_AT) || defined(DISPATCHER)
static inline u32 hi20(u64 distance)
{
	return (u32)(distance + 0x800) & 0xfffff000U;
}
#endif

#if defined(LO12_AT) || defined(DISPATCHER)
static inline u32 lo12(u64 distance)
{
	return (u32)distance << 20;
}
#endif

#ifdef JAL_AT
static inline u32 jal20(u64 distance)
{
	return (u32)(distance >> 20 & 1) << 31 | (u32)(distance >> 1 & 0x3ff) << 21 |
	       (u32)(distance >> 11 & 1) << 20 | (u32)(distance >> 12 & 0xff) << 12;
}
#endif

static inline void put(struct site *site, int at, u32 word)
{
	*(u32 *)__builtin_assume_aligned(site->bytes + BEFORE + at, 4) = word;
}

#ifdef DISPATCHER
extern const u32 ftrace_dispatcher[-DISPATCHER / 4];

static inline void add_dispatcher(struct site *site, u64 func, u64 target)
{
	u64 distance = target - (func - 8); /* its last two words go on to the trampoline */
	int i;

	for (i = 0; i < -DISPATCHER / 4 - 2; i++)
		put(site, DISPATCHER + 4 * i, ftrace_dispatcher[i]);
	put(site, -8, (ftrace_dispatcher[i] & 0xfff) | hi20(distance));
	put(site, -4, (ftrace_dispatcher[i + 1] & 0xfffff) | lo12(distance));
}
#endif

static inline int make_site(struct site *site, u64 func, u64 target, struct ftrace_ops *ops, int on)
{
	static const u32 disabled[] = { DISABLED }, enabled[] = { ENABLED };

#pragma GCC unroll 8
	for (unsigned int i = 0; i < sizeof(enabled) / 4; i++)
		put(site, 4 * i, on ? enabled[i] : disabled[i]);
#ifdef LITERAL
	*(struct ftrace_ops **)__builtin_assume_aligned(site->bytes + BEFORE + LITERAL, 8) = ops;
#endif
#ifdef DISPATCHER
	add_dispatcher(site, func, target);
	target = func + DISPATCHER;
#endif
#ifdef HI20_AT
	if (on || FROZEN)
		put(site, HI20_AT, enabled[HI20_AT / 4] | hi20(target - (func + HI20_AT)));
#endif
#ifdef LO12_AT
#ifdef HI20_AT
	target -= func + HI20_AT;
#else
	extern char gp[] __asm__("__global_pointer$");

	target -= (u64)gp;
	if (target + 0x800 >= 0x1000)
		return -EINVAL;
#endif
	if (on)
		put(site, LO12_AT, enabled[LO12_AT / 4] | lo12(target));
#endif
#ifdef JAL_AT
	target -= func + JAL_AT;
	if (target + 0x100000 >= 0x200000)
		return -EINVAL;
	if (on)
		put(site, JAL_AT, enabled[JAL_AT / 4] | jal20(target));
#endif
#ifdef DWORD_AT
	if (on)
		*(u64 *)__builtin_assume_aligned(site->bytes + BEFORE + DWORD_AT, 8) = target;
#endif
	return 0;
}

/* --- the stores of the record: into the site, the slot, a trampoline --- */

#ifdef STOPPED /* nobody runs meanwhile, so what is published is published at the end */
#define WRITE(published) patch_text_nosync
#else
#define WRITE(published) ((published) ? patch_text_nosync : patch_insn_write)
#endif

#define SITE(at, width, published) \
	if (!ret) \
		ret = WRITE(published)((void *)(func + (at)), site.bytes + BEFORE + (at), width);
#define SLOT(published) \
	if (!ret) { \
		function_trace_op = ops; \
		if (published) \
			flush_icache_all(); \
	}
#define TRAMPOLINE /* was written when the tracer came */

#define MOVE(stores, target, on, now) \
	do { \
		u64 func = rec->ip - IP_OFFSET; \
		struct ftrace_ops *ops = (now); \
		struct site site; \
		\
		ret = make_site(&site, func, target, ops, on); \
		stores \
		(void)ops; \
	} while (0)

int ftrace_init_nop(struct module *mod, struct dyn_ftrace *rec)
{
	int ret;

	mutex_lock(&text_mutex);
	MOVE(INIT, trampoline_at((u64)ftrace_caller), 0, &ftrace_nop_ops);
	mutex_unlock(&text_mutex);
	flush_icache_all();
	return ret ? -EFAULT : 0;
}

int ftrace_make_call(struct dyn_ftrace *rec, u64 addr)
{
	int ret;

	MOVE(ENABLE, trampoline_at(addr), 1, ops_of(rec));
	return ret ? -EFAULT : 0;
}

int ftrace_modify_call(struct dyn_ftrace *rec, u64 old_addr, u64 addr)
{
	int ret;

	MOVE(CHANGE, trampoline_at(addr), 1, ops_of(rec));
	return ret ? -EFAULT : 0;
}

int ftrace_make_nop(struct module *mod, struct dyn_ftrace *rec, u64 addr)
{
	int ret;

	MOVE(DISABLE, trampoline_at(addr), 0, &ftrace_nop_ops);
	return ret ? -EFAULT : 0;
}

/* --- when it may be written --- */

void ftrace_arch_code_modify_prepare(void)
{
	mutex_lock(&text_mutex);
}

void ftrace_arch_code_modify_post_process(void)
{
	mutex_unlock(&text_mutex);
}

#ifdef STOPPED
static int update_code(void *data)
{
	ftrace_modify_all_code(*(int *)data);
	return 0;
}

void arch_ftrace_update_code(int command)
{
	stop_machine(update_code, &command, NULL);
}
#else
void arch_ftrace_update_code(int command)
{
	ftrace_modify_all_code(command);
	flush_icache_all();
}
#endif

/* --- the way back, of what the callback has made return elsewhere --- */

#ifndef LINK_RA /* the sled itself loads ra again, so no callback can change it */
void return_to_handler(void);

void ftrace_graph_func(u64 ip, u64 parent_ip, struct ftrace_ops *op, struct ftrace_regs *fregs)
{
	struct __arch_ftrace_regs *regs = (struct __arch_ftrace_regs *)fregs;

	return_address = regs->ra;
	regs->ra = (u64)return_to_handler;
}

u64 ftrace_return_to_handler(struct ftrace_regs *fregs)
{
	return return_address;
}
#endif
