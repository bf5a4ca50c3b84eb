/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the C and the assembly of the samples share: names, the frame that a trampoline passes to its
 * callback, and struct ftrace_ops. The names are those of the kernel's interfaces; the code is our own.
 *
 * Switches (-D): CALL_OPS, FIXED, PAIR or RA16 name the scheme; FRAME_REGS or FRAME_ARGS the frame of a trampoline
 * that is rendered from templates/, and ADJUST says that an entry is not the site. All others are described where
 * they are used.
 */
#ifndef SAMPLE_H
#define SAMPLE_H

/* struct __arch_ftrace_regs, as the trampolines fill it */
#define FREGS_EPC 0
#define FREGS_RA 8
#define FREGS_SP 16
#if defined(FRAME_REGS) /* every register, as in struct pt_regs */
#define FREGS_S0 64
#define FREGS_A0 80
#define FREGS_SIZE 288
#define FRAME_SIZE FREGS_SIZE
#elif defined(FRAME_ARGS) /* what a callback may ask for */
#define FREGS_S0 24
#define FREGS_A0 40
#define FREGS_SIZE 112
#define FRAME_SIZE FREGS_SIZE
#else
#define FREGS_S0 24
#ifdef DIRECT
#define FREGS_T1 32
#define FREGS_DIRECT_TRAMP 40
#define FREGS_A0 48
#else
#define FREGS_A0 32
#endif
#define FREGS_T2 (FREGS_A0 + 64)
#ifdef FASTCC /* clang passes arguments of local functions in t2 to t6 */
#define FREGS_SIZE (FREGS_T2 + 40)
#else
#define FREGS_SIZE FREGS_T2
#endif
#define FRAME_SIZE ((FREGS_SIZE + 15) & ~15)
#endif

/* struct ftrace_ops */
#define OPS_FUNC 0
#define OPS_DIRECT_CALL 32

#ifdef RA16
#define SLED_SIZE 16
#else
#define SLED_SIZE 8
#endif

#ifndef __ASSEMBLER__

typedef unsigned int u32;
typedef unsigned short u16;
typedef unsigned long u64;
typedef unsigned long size_t;

#ifdef __clang__
#define noinline __attribute__((noinline))
#else
#define noinline __attribute__((noipa))
#endif
#define notrace __attribute__((patchable_function_entry(0, 0)))
#define __section(name) __attribute__((section(name)))
#define __init __section(".init.text")
#define __weak __attribute__((weak))
#define __cold __attribute__((cold))
#define NULL ((void *)0)

struct ftrace_regs;
struct ftrace_ops;
typedef void (*ftrace_func_t)(u64 ip, u64 parent_ip, struct ftrace_ops *op, struct ftrace_regs *fregs);

#if defined(FRAME_REGS)
struct __arch_ftrace_regs {
	u64 epc, ra, sp, gp, tp, t0, t1, t2, s0, s1, a0, a1, a2, a3, a4, a5, a6, a7;
	u64 s2, s3, s4, s5, s6, s7, s8, s9, s10, s11, t3, t4, t5, t6;
	u64 status, badaddr, cause, orig_a0;
};
#elif defined(FRAME_ARGS)
struct __arch_ftrace_regs {
	u64 epc, ra, sp, s0, t1, a0, a1, a2, a3, a4, a5, a6, a7;
};
#else
struct __arch_ftrace_regs {
	u64 epc;
	u64 ra;
	u64 sp;
	u64 s0;
#ifdef DIRECT
	u64 t1;
	u64 direct_tramp;
#endif
	u64 a0;
	u64 a1;
	u64 a2;
	u64 a3;
	u64 a4;
	u64 a5;
	u64 a6;
	u64 a7;
#ifdef FASTCC
	u64 t2;
	u64 t3;
	u64 t4;
	u64 t5;
	u64 t6;
#endif
#ifdef TALL_REGS /* the struct grew, the assembly did not */
	u64 orig_a0;
	u64 status;
#endif
};
#endif

struct ftrace_ops {
	ftrace_func_t func;
	struct ftrace_ops *next;
	u64 flags;
	void *private;
#ifdef TALL_OPS /* the struct grew, the assembly did not */
	void *subops;
#endif
	u64 direct_call;
};

struct dyn_ftrace {
	u64 ip;
	u64 flags;
};

struct module {
	char name[16];
	u64 sites;
};

struct multi_stop {
	int (*fn)(void *data);
	void *data;
	volatile int state;
};

struct mutex {
	volatile int taken;
};

extern struct mutex text_mutex;
extern struct ftrace_ops ftrace_list_ops;
extern struct ftrace_ops ftrace_nop_ops;
extern u64 __start_mcount_loc[], __stop_mcount_loc[];

void ftrace_caller(void);
void ftrace_stub(u64 ip, u64 parent_ip, struct ftrace_ops *op, struct ftrace_regs *fregs);
void arch_ftrace_ops_list_func(u64 ip, u64 parent_ip, struct ftrace_ops *op, struct ftrace_regs *fregs);

int patch_insn_write(void *addr, const void *insn, size_t len);
int patch_text_nosync(void *addr, const void *insns, size_t len);
int patch_text(void *addr, const void *insns, size_t len);
void flush_icache_all(void);
void sbi_remote_fence_i(void);

int ftrace_init_nop(struct module *mod, struct dyn_ftrace *rec);
int ftrace_make_call(struct dyn_ftrace *rec, u64 addr);
int ftrace_make_nop(struct module *mod, struct dyn_ftrace *rec, u64 addr);
void arch_ftrace_update_code(int command);
u64 arch_ftrace_get_symaddr(u64 ip);

#if defined(CALL_OPS) || defined(FIXED) || defined(ADJUST)
u64 ftrace_call_adjust(u64 addr);
#else
static inline u64 ftrace_call_adjust(u64 addr)
{
	return addr;
}
#endif

void ftrace_modify_all_code(int command);
int ftrace_process_locs(struct module *mod, u64 *start, u64 *end);
int stop_machine(int (*fn)(void *data), void *data, const void *cpus);
int multi_cpu_stop(void *data);
void rcu_momentary_eqs(void);

void mutex_lock(struct mutex *lock);
void mutex_unlock(struct mutex *lock);
void ftrace_arch_code_modify_prepare(void);
void ftrace_arch_code_modify_post_process(void);

void sort(u64 *base, size_t num);
int memcmp(const void *left, const void *right, size_t len);

void start_kernel(void);

#endif /* !__ASSEMBLER__ */
#endif /* SAMPLE_H */
