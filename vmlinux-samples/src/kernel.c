// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The core that every sample has: the records, the callback, stop_machine. Built without sleds.
 *
 * LATE_TEST     an entry of the table is tested for zero behind its adjustment
 * PREEMPT       tasks can be preempted in kernel code: there is a preempt_schedule
 * KPROBES       there is a register_kprobe
 * DIRECT_CALLS  there is a register_ftrace_direct
 * TRACED_WAIT   what harts call while they wait has a sled (sites.c defines it)
 */
#include "sample.h"

#ifndef RELEASE
#define RELEASE "7.2.0-sample"
#endif
#ifdef __clang__
#define COMPILER "clang version " __clang_version__ ", LLD"
#else
#define COMPILER "riscv64-linux-gnu-gcc " __VERSION__ ", GNU ld"
#endif
#define MAX_RECORDS 64

const char linux_banner[] = "Linux version " RELEASE " (genpatch@samples) (" COMPILER ") #1 SMP\n";

struct ftrace_ops ftrace_list_ops = { .func = arch_ftrace_ops_list_func };
struct ftrace_ops ftrace_nop_ops = { .func = ftrace_stub };

static struct dyn_ftrace records[MAX_RECORDS];
static int record_count;
u64 last_ip, last_argument;

void arch_ftrace_ops_list_func(u64 ip, u64 parent_ip, struct ftrace_ops *op, struct ftrace_regs *fregs)
{
	struct __arch_ftrace_regs *regs = (struct __arch_ftrace_regs *)fregs;

	last_ip = ip;
	last_argument = regs->a0;
	for (op = op->next; op; op = op->next)
		op->func(ip, parent_ip, op, fregs);
}

void noinline ftrace_modify_all_code(int command)
{
	for (int i = 0; i < record_count; i++) {
		if (command)
			ftrace_make_call(&records[i], (u64)ftrace_caller);
		else
			ftrace_make_nop(NULL, &records[i], (u64)ftrace_caller);
	}
}

int noinline ftrace_process_locs(struct module *mod, u64 *start, u64 *end)
{
	u64 addr;

	if (__builtin_expect(mod != NULL, 1)) /* the kernel's own table was sorted when it was linked */
		sort(start, end - start);
	while (start < end && record_count < MAX_RECORDS) {
#ifdef LATE_TEST
		addr = ftrace_call_adjust(*start++);
		if (!addr)
			continue;
#else
		addr = *start++;
		if (!addr)
			continue;
		addr = ftrace_call_adjust(addr);
#endif
		records[record_count].ip = addr;
		ftrace_init_nop(mod, &records[record_count++]);
	}
	return record_count;
}

int noinline stop_machine(int (*fn)(void *data), void *data, const void *cpus)
{
	struct multi_stop stop = { fn, data, 1 };

	return multi_cpu_stop(&stop);
}

int noinline multi_cpu_stop(void *data)
{
	struct multi_stop *stop = data;
	int ret = 0;

	while (stop->state) {
		if (stop->state == 1)
			ret = stop->fn(stop->data);
		else
			rcu_momentary_eqs();
		stop->state = 0;
	}
	return ret;
}

#ifndef TRACED_WAIT
u64 quiescent;

void noinline rcu_momentary_eqs(void)
{
	quiescent++;
}
#endif

#ifdef PREEMPT
volatile int need_resched;

void preempt_schedule(void)
{
	need_resched = 0;
}
#endif

#ifdef KPROBES
int register_kprobe(u64 *addr)
{
	for (int i = 0; i < record_count; i++)
		if (records[i].ip == *addr)
			return -22;
	return 0;
}
#endif

#ifdef DIRECT_CALLS
int register_ftrace_direct(struct ftrace_ops *ops, u64 addr)
{
	ops->direct_call = addr;
	arch_ftrace_update_code(1);
	return 0;
}
#endif
