/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a maker of BPF trampolines is told, with the members that ours reads: names and order are those of the kernel's
 * interface. Also how it can be made to make mistakes.
 */
#ifndef JIT_H
#define JIT_H

#include "sample.h"

#define MAX_ARGUMENTS 12
#define MAX_LINKS 38
#define MAX_SLOTS (2 * MAX_ARGUMENTS)

typedef unsigned char u8;

enum bpf_tramp_prog_type { BPF_TRAMP_FENTRY, BPF_TRAMP_FEXIT, BPF_TRAMP_MODIFY_RETURN, BPF_TRAMP_MAX };
enum bpf_prog_type { BPF_PROG_TYPE_UNSPEC, BPF_PROG_TYPE_TRACING = 26, BPF_PROG_TYPE_STRUCT_OPS = 27 };

#define BPF_TRAMP_F_RESTORE_REGS 1
#define BPF_TRAMP_F_CALL_ORIG 2
#define BPF_TRAMP_F_SKIP_FRAME 4
#define BPF_TRAMP_F_IP_ARG 8
#define BPF_TRAMP_F_RET_FENTRY_RET 16
#define BPF_TRAMP_F_INDIRECT 256
#define KNOWN_FLAGS (BPF_TRAMP_F_INDIRECT | 31)

#define BTF_FMODEL_SIGNED_ARG 2

struct bpf_prog;

struct bpf_prog_aux {
	u64 refcnt;
	struct bpf_prog *prog;
};

struct bpf_insn {
	u8 code;
	u8 registers;
	u16 off;
	u32 imm;
};

struct bpf_prog {
	u16 pages;
	u16 jited : 1;
	u16 gpl_compatible : 1;
	u16 sleepable : 1;
	enum bpf_prog_type type;
	u32 len;
	struct bpf_prog_aux *aux;
	u64 (*bpf_func)(const void *ctx, const struct bpf_insn *insns);
	struct bpf_insn insnsi[];
};

struct bpf_link {
	u64 refcnt;
	struct bpf_prog *prog;
};

struct bpf_tramp_link {
	struct bpf_link link;
	struct bpf_tramp_link *next;
	u64 cookie;
};

struct bpf_tramp_links {
	struct bpf_tramp_link *links[MAX_LINKS];
	int nr_links;
};

struct bpf_run_ctx;

struct bpf_tramp_run_ctx {
	u64 bpf_cookie;
	struct bpf_run_ctx *saved_run_ctx;
};

struct bpf_tramp_image {
	void *image;
	int size;
	void *ip_after_call;
	void *ip_epilogue;
};

struct btf_func_model {
	u8 ret_size;
	u8 ret_flags;
	u8 nr_args;
	u8 arg_size[MAX_ARGUMENTS];
	u8 arg_flags[MAX_ARGUMENTS];
};

/* Nothing is wrong while `mistake` is MISTAKE_NONE. Each of the others does one thing wrong. */
enum mistake {
	MISTAKE_NONE,
	MISTAKE_SLED_16,	/* the function is called 16 bytes behind its beginning */
	MISTAKE_RA_FOR_T0,	/* ra is taken for the address in the function that the site left in t0 */
	MISTAKE_SLOT_OVERLAP,	/* run_ctx covers the number of arguments and the first of them */
	MISTAKE_LOST_ARGUMENT,	/* one argument too few is loaded again */
	MISTAKE_LOST_S1,	/* s1 is not loaded again */
	MISTAKE_WRONG_FP,	/* the frame pointer of the trampoline's own frame is that of the frame above it */
	MISTAKE_VALUE_NOT_CLEARED, /* the return value is not cleared at first */
	MISTAKE_NO_BRANCH,	/* an fmod_ret program's error does not skip the function */
	MISTAKE_UNALIGNED,	/* the frame is no multiple of 16 bytes */
	MISTAKE_OTHER_EXIT,	/* the first program is the one that exits, whichever it was */
	MISTAKE_OTHER_PAIR,	/* the exit function of a sleepable program is that of others */
	MISTAKE_ONE_PAIR,	/* every program is entered and exited as one that sleeps */
	MISTAKE_LOST_COOKIE,	/* no cookie is stored */
	MISTAKE_SMALL_DRY_RUN,	/* arguments on the stack are left out when the size is asked for */
	MISTAKE_STACK_IN,	/* arguments on the caller's stack are looked for 8 bytes above */
	MISTAKE_STACK_OUT,	/* arguments on the trampoline's stack are 8 bytes above */
	MISTAKE_SKIP_BY_T0,	/* the caller's frame is not skipped */
	MISTAKE_INDIRECT_BY_T0,	/* what was called through a pointer is left as if through a site */
	MISTAKE_NOT_EXTENDED,	/* a narrow value is returned as the program left it */
	MISTAKE_ZERO_BYTE,	/* a signed byte is extended with zeros */
	MISTAKE_ZERO_WORD,	/* an unsigned word is extended with zeros: its own sign, but not the register's */
	MISTAKE_LOW_VALUE,	/* 64 bits of a value are those that 32 extend to */
	MISTAKE_BEHIND_IMAGE,	/* one word is written behind what was allocated */
	MISTAKE_COPIES_MORE,	/* one word is copied behind the image */
	MISTAKE_WARNS,		/* three fexit programs are warned about */
	MISTAKE_REFUSES,	/* no trampoline is made */
	MISTAKE_LOST_LOCAL,	/* t2 is not kept */
	MISTAKE_WRONG_IP,	/* programs are told the address behind the sled */
	MISTAKE_NO_TRAMP_EXIT,	/* __bpf_tramp_exit() is not called */
	MISTAKE_NO_WAY_OUT,	/* the image does not say where the way out of it begins */
	MISTAKE_OTHER_START,	/* the exit function gets no start time */
	MISTAKE_LOST_RUN_CTX,	/* the exit function gets no run_ctx */
	MISTAKE_RUNS_ANYWAY,	/* a program is run even if it may not be entered */
	MISTAKE_AT_SLED,	/* the function is called at its sled */
	MISTAKE_ARGUMENTS_AFTER, /* programs behind the function see what it left of its arguments on the stack */
	MISTAKE_LOST_SAVED_CTX,	/* what the enter function saved in run_ctx is overwritten */
	MISTAKE_START_LOW,	/* a start time is taken for none if its low 32 bits are 0 */
	MISTAKE_START_HIGH,	/* the same of its high 32 bits */
	MISTAKE_FIRST_PAIR,	/* the enter and exit functions are those of the first program */
	MISTAKE_STALE_COOKIE,	/* a program without a cookie finds that of the one before */
	MISTAKE_SIGNED_COOKIE,	/* a cookie of 32 bits is extended by its sign */
	MISTAKE_EARLY_SP,	/* the frame is freed before registers are loaded from it */
	MISTAKE_LATE_SP,	/* registers are stored before there is a frame */
	MISTAKE_SHORT_SIZE,	/* what is returned for the size does not count the numbers */
	MISTAKE_WRITES_IMAGE,	/* struct bpf_tramp_image is written even where there is none */
	MISTAKE_WAY_OUT_ALWAYS,	/* it says where a jump may be written where no function is called */
	MISTAKE_WAY_OUT_LATE,	/* the second of the two nops is said to be where a jump may be written */
	MISTAKE_ERROR_EARLY,	/* an fmod_ret program's error leads to that second nop */
	MISTAKE_PAGE_BASE,	/* distances are counted from the beginning of a page */
	MISTAKE_LOST_INSNS,	/* the interpreter is not told which program to run */
	MISTAKE_NOT_FLUSHED,	/* no other hart is told that there is new code */
};

extern volatile enum mistake mistake;

typedef u64 (*bpf_trampoline_enter_t)(struct bpf_prog *prog, struct bpf_tramp_run_ctx *run_ctx);
typedef void (*bpf_trampoline_exit_t)(struct bpf_prog *prog, u64 start, struct bpf_tramp_run_ctx *run_ctx);

bpf_trampoline_enter_t bpf_trampoline_enter(const struct bpf_prog *prog);
bpf_trampoline_exit_t bpf_trampoline_exit(const struct bpf_prog *prog);
u64 __bpf_prog_enter(struct bpf_prog *prog, struct bpf_tramp_run_ctx *run_ctx);
void __bpf_prog_exit(struct bpf_prog *prog, u64 start, struct bpf_tramp_run_ctx *run_ctx);
u64 __bpf_prog_enter_sleepable(struct bpf_prog *prog, struct bpf_tramp_run_ctx *run_ctx);
void __bpf_prog_exit_sleepable(struct bpf_prog *prog, u64 start, struct bpf_tramp_run_ctx *run_ctx);
void __bpf_tramp_enter(struct bpf_tramp_image *tr);
void __bpf_tramp_exit(struct bpf_tramp_image *tr);

void *kvmalloc_node(size_t size, u32 flags, int node);
void kvfree(const void *addr);
void *bpf_arch_text_copy(void *dst, void *src, size_t len);

enum bpf_text_poke_type { BPF_MOD_CALL, BPF_MOD_JUMP };

int bpf_arch_text_poke(void *ip, enum bpf_text_poke_type type, void *old_addr, void *new_addr);

#endif /* JIT_H */
