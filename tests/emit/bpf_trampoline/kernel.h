/* SPDX-License-Identifier: GPL-2.0-or-later */
/* As much of a kernel as the JIT's trampolines take: what they use, in a process. */
#ifndef GENPATCH_TEST_KERNEL_H
#define GENPATCH_TEST_KERNEL_H

#include <assert.h>
#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef uint8_t u8;
typedef uint16_t u16;
typedef uint32_t u32;
typedef uint64_t u64;
typedef int16_t s16;
typedef int32_t s32;
typedef int64_t s64;

#ifndef __riscv_xlen
#error "for riscv64"
#endif
#define IS_ENABLED(option) (option)
#define BIT(n) (1UL << (n))
#define BUILD_BUG_ON(test) ((void)0)
#define DIV_ROUND_UP(n, by) (((n) + (by) - 1) / (by))
#define round_up(n, by) (((n) + (by) - 1) / (by) * (by))
#define ARRAY_SIZE(array) ((int)(sizeof(array) / sizeof((array)[0])))
#define min(a, b) ((a) < (b) ? (a) : (b))
#define max(a, b) ((a) > (b) ? (a) : (b))
#define WARN_ON_ONCE(test) ((test) ? (printf("# warning: %s\n", #test), true) : false)
#define pr_err printf
#define BPF_JEQ 0x10
#define BPF_JGT 0x20
#define BPF_JGE 0x30
#define BPF_JNE 0x50
#define BPF_JSGT 0x60
#define BPF_JSGE 0x70
#define BPF_JLT 0xa0
#define BPF_JLE 0xb0
#define BPF_JSLT 0xc0
#define BPF_JSLE 0xd0
#define BPF_JSET 0x40
#define BPF_REG_0 0
#define MAX_BPF_FUNC_ARGS 12
#define BPF_MAX_TRAMP_LINKS 38
#define BPF_TRAMP_F_RESTORE_REGS BIT(0)
#define BPF_TRAMP_F_CALL_ORIG BIT(1)
#define BPF_TRAMP_F_SKIP_FRAME BIT(2)
#define BPF_TRAMP_F_IP_ARG BIT(3)
#define BPF_TRAMP_F_RET_FENTRY_RET BIT(4)
#define BPF_TRAMP_F_ORIG_STACK BIT(5)
#define BPF_TRAMP_F_SHARE_IPMODIFY BIT(6)
#define BPF_TRAMP_F_TAIL_CALL_CTX BIT(7)

enum { BPF_TRAMP_FENTRY, BPF_TRAMP_FEXIT, BPF_TRAMP_MODIFY_RETURN, BPF_TRAMP_MAX };

struct bpf_insn {
	u64 raw;
};

struct bpf_binary_header {
	u32 size;
};

struct bpf_prog {
	bool jited;
	void *bpf_func;
	struct bpf_insn insnsi[1];
};

struct bpf_tramp_run_ctx {
	void *run_ctx;
	u64 bpf_cookie;
	void *saved_run_ctx;
};

struct bpf_tramp_link {
	struct {
		struct bpf_prog *prog;
	} link;
	u64 cookie;
};

struct bpf_tramp_links {
	struct bpf_tramp_link *links[BPF_MAX_TRAMP_LINKS];
	int nr_links;
};

struct bpf_tramp_image {
	void *ip_after_call, *ip_epilogue;
};

struct btf_func_model {
	u8 ret_size, nr_args, arg_size[MAX_BPF_FUNC_ARGS], arg_flags[MAX_BPF_FUNC_ARGS];
};

typedef u64 (*bpf_trampoline_enter_t)(struct bpf_prog *, struct bpf_tramp_run_ctx *);
typedef void (*bpf_trampoline_exit_t)(struct bpf_prog *, u64, struct bpf_tramp_run_ctx *);

bpf_trampoline_enter_t bpf_trampoline_enter(const struct bpf_prog *prog);
bpf_trampoline_exit_t bpf_trampoline_exit(const struct bpf_prog *prog);
void __bpf_tramp_enter(struct bpf_tramp_image *im);
void __bpf_tramp_exit(struct bpf_tramp_image *im);
bool is_bpf_text_address(unsigned long at);

static inline void flush_icache_range(unsigned long start, unsigned long end)
{
	__builtin___clear_cache((char *)start, (char *)end);
}

static inline int __ffs(u64 n)
{
	return __builtin_ctzll(n);
}

#endif
