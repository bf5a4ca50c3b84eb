// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * What writes text, in place of patch.c, for any ftrace scheme of the catalog: patching.c is rendered from its record,
 * and has all that writes its sites; scheme.h says what else there is. Built without sleds.
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

/* --- what a tracer has --- */

#ifdef OWN_OPS_FLAG
enum record_flag { FTRACE_FL_CALL_OPS_EN = 1 << 20 };

volatile enum record_flag own_ops = FTRACE_FL_CALL_OPS_EN;
struct ftrace_ops *only_ops = &ftrace_nop_ops;

struct ftrace_ops *noinline ftrace_find_unique_ops(struct dyn_ftrace *rec)
{
	return rec->flags ? only_ops : NULL;
}
#endif

#ifdef IN_SLOT
struct ftrace_ops *volatile function_trace_op = &ftrace_nop_ops;
#endif

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

u64 trampoline_at(u64 addr)
{
	return (u64)ftrace_trampolines + (addr == (u64)ftrace_regs_caller ? TRAMPOLINE_SIZE : 0);
}
#else
int noinline ftrace_update_ftrace_func(ftrace_func_t func)
{
	return 0;
}
#endif

#include "patching.c"

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
