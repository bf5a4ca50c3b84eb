// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * What writes text, in place of patch.c, for a kernel in which a site can be in every state: text is written
 * through a second mapping, a site can have an ops of its own, and change it. call-ops only. Built without sleds.
 */
#include "sample.h"

#define NOP 0x00000013U
#define EBREAK 0x00100073U
#define AUIPC_T0 0x00000297U
#define JALR_T0 0x000282e7U
#define EINVAL 22
#define EFAULT 14

enum record_flag { FTRACE_FL_CALL_OPS_EN = 1 << 20 };

volatile enum record_flag own_ops = FTRACE_FL_CALL_OPS_EN;
struct mutex text_mutex;
u64 slots[4];
struct ftrace_ops *only_ops = &ftrace_nop_ops;
u64 return_address;

void return_to_handler(void);

#include "window.h"

u64 noinline ftrace_call_adjust(u64 addr)
{
	return addr + 12;
}

u64 noinline arch_ftrace_get_symaddr(u64 ip)
{
	return ip - 4;
}

void ftrace_arch_code_modify_prepare(void)
{
	mutex_lock(&text_mutex);
}

void ftrace_arch_code_modify_post_process(void)
{
	mutex_unlock(&text_mutex);
}

struct ftrace_ops *noinline ftrace_find_unique_ops(struct dyn_ftrace *rec)
{
	return rec->flags ? only_ops : NULL;
}

static inline int set_ops(struct dyn_ftrace *rec, struct ftrace_ops *ops)
{
	return patch_text_nosync((void *)((rec->ip - 12) & ~7UL), &ops, 8);
}

static inline int update_ops(struct dyn_ftrace *rec)
{
	struct ftrace_ops *ops = NULL;

	if (rec->flags & FTRACE_FL_CALL_OPS_EN)
		ops = ftrace_find_unique_ops(rec);
	return set_ops(rec, ops ? ops : &ftrace_list_ops);
}

static inline u32 auipc(struct dyn_ftrace *rec)
{
	return AUIPC_T0 | (((u32)((u64)ftrace_caller - (rec->ip - 4)) + 0x800) & 0xfffff000U);
}

static inline int write_jalr(struct dyn_ftrace *rec)
{
	u32 jalr = JALR_T0 | (u32)((u64)ftrace_caller - (rec->ip - 4)) << 20;

	return patch_insn_write((void *)rec->ip, &jalr, 4);
}

int ftrace_init_nop(struct module *mod, struct dyn_ftrace *rec)
{
	u32 insns[2] __attribute__((aligned(8))) = { auipc(rec), NOP };
	int ret;

	mutex_lock(&text_mutex);
	ret = set_ops(rec, &ftrace_nop_ops);
	if (!ret)
		ret = patch_text_nosync((void *)(rec->ip - 4), insns, 8);
	mutex_unlock(&text_mutex);
	return ret;
}

int ftrace_make_call(struct dyn_ftrace *rec, u64 addr)
{
	if (update_ops(rec))
		return -EFAULT;
	return write_jalr(rec);
}

int ftrace_modify_call(struct dyn_ftrace *rec, u64 old_addr, u64 addr)
{
	u32 now = *(volatile u32 *)(rec->ip - 4);

	if (now != auipc(rec) && now != EBREAK)
		return -EINVAL;
	if (update_ops(rec))
		return -EFAULT;
	return write_jalr(rec);
}

int ftrace_make_nop(struct module *mod, struct dyn_ftrace *rec, u64 addr)
{
	u32 nop = NOP;

	if (set_ops(rec, &ftrace_nop_ops))
		return -EFAULT;
	return patch_insn_write((void *)rec->ip, &nop, 4);
}

int noinline ftrace_update_ftrace_func(ftrace_func_t func)
{
	return 0;
}

void arch_ftrace_update_code(int command)
{
	ftrace_modify_all_code(command);
	flush_icache_all();
}

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
