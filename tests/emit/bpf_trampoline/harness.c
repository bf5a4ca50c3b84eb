// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Trampolines made by the code that is emitted, and run: in a process, on functions with sleds of their own.
 * "jit.inc" is cut out of a patched tree. One line for each test: "ok name" or "not ok name: why".
 */
#include "kernel.h"

#include <sys/mman.h>

#include "bpf_jit.h"
#include "jit.inc"

extern u64 called(void *target, const u64 *args, u64 *broken, u64 unused);
extern u64 r0_of(void *call);
extern u64 sum(void), as_program(void), wide(void);
extern u64 sums, temps[5], misaligned, last_a0;

u64 wide_r0 = 0xfedcba9876543210;
static int refs, entered, left, skipping;
static u64 cookies[64], seen[64][16], ips[64];
static int runs, traced_is_bpf;
static u64 given;

static u64 enter(struct bpf_prog *prog, struct bpf_tramp_run_ctx *run)
{
	cookies[entered++ % 64] = run->bpf_cookie;
	(void)prog;
	return skipping ? 0 : 77;
}

static void leave(struct bpf_prog *prog, u64 start, struct bpf_tramp_run_ctx *run)
{
	(void)prog;
	(void)run;
	left += start == (skipping ? 0u : 77u);
}

bpf_trampoline_enter_t bpf_trampoline_enter(const struct bpf_prog *prog)
{
	(void)prog;
	return enter;
}

bpf_trampoline_exit_t bpf_trampoline_exit(const struct bpf_prog *prog)
{
	(void)prog;
	return leave;
}

void __bpf_tramp_enter(struct bpf_tramp_image *im)
{
	refs += im != NULL;
}

void __bpf_tramp_exit(struct bpf_tramp_image *im)
{
	refs -= im != NULL;
}

bool is_bpf_text_address(unsigned long at)
{
	(void)at;
	return traced_is_bpf;
}

/* A program that is interpreted: it gets its instructions too. */
static u64 program(u64 *ctx, struct bpf_insn *insns)
{
	u64 *to = seen[runs % 64];

	ips[runs++ % 64] = ctx[-2];
	to[0] = ctx[-1];
	for (u64 i = 0; i <= ctx[-1] && i < 15; i++)
		to[i + 1] = ctx[i];
	/* what a function may leave behind */
	__asm__ volatile("li t2, 1; li t3, 2; li t4, 3; li t5, 4; li t6, 5" ::: "t2", "t3", "t4", "t5", "t6");
	return insns->raw == 0x600d ? given : 0xbad;
}

static struct bpf_prog interpreted = { .jited = false, .bpf_func = program, .insnsi = { { 0x600d } } };
static struct bpf_prog compiled = { .jited = true, .bpf_func = wide };
static struct bpf_tramp_links links[BPF_TRAMP_MAX];
static struct bpf_tramp_image image;
static char *page;
static const char *failed;
static char why[200];

#define EQUAL(got, wanted) equal(#got, (u64)(got), (u64)(wanted))

static void equal(const char *what, u64 got, u64 wanted)
{
	if (got == wanted || failed)
		return;
	failed = why;
	snprintf(why, sizeof(why), "%s is %#llx, expected %#llx", what, (unsigned long long)got, (unsigned long long)wanted);
}

static void add(int kind, struct bpf_prog *prog, u64 cookie)
{
	struct bpf_tramp_link *link = calloc(1, sizeof(*link));

	link->link.prog = prog;
	link->cookie = cookie;
	links[kind].links[links[kind].nr_links++] = link;
}

static void start(void)
{
	memset(links, 0, sizeof(links));
	memset(seen, 0, sizeof(seen));
	memset(&image, 0, sizeof(image));
	refs = entered = left = skipping = runs = traced_is_bpf = 0;
	sums = 0;
	given = 0;
}

static const u64 args[12] = { 11, 22, 33, 44, 55, 66, 77, 88, 99, 110, 121, 132 };

static u64 weighed(void)
{
	u64 total = 0;

	for (int i = 0; i < 12; i++)
		total += args[i] * (u64)(i + 1);
	return total;
}

static int make(u32 flags, int count, int ret_size, void *func)
{
	struct btf_func_model model = { .ret_size = (u8)ret_size, .nr_args = (u8)count };

	memset(model.arg_size, 8, sizeof(model.arg_size));
	memset(page, 0, 8192);
	return arch_prepare_bpf_trampoline(&image, page, page + 4096, &model, flags, links, func);
}

/* Write a sled; with no target, nops. */
static void poke(void *sled, void *target)
{
	u32 insns[RV_FENTRY_NINSNS];

	EQUAL(gen_branch_or_nops(insns, sled, target, true), 0);
	memcpy(sled, insns, sizeof(insns));
	__builtin___clear_cache(sled, (char *)sled + sizeof(insns));
}

static u64 call_traced(void *func)
{
	u64 broken = 1, result;

	poke(func, page);
	result = called(func, args, &broken, 0);
	poke(func, NULL);
	EQUAL(broken, 0);
	return result;
}

static void saw(int run, int count)
{
	EQUAL(seen[run][0], count);
	for (int i = 0; i < count; i++)
		EQUAL(seen[run][i + 1], args[i]);
}

static void kept_temps(void)
{
	for (int i = 0; CONFIG_CC_IS_CLANG && i < 5; i++)
		EQUAL(temps[i], 0x7200 + 0x100 * i);
}

enum { ENTRY = BPF_TRAMP_F_RESTORE_REGS, AROUND = BPF_TRAMP_F_CALL_ORIG | BPF_TRAMP_F_SKIP_FRAME };

static void test_entry(void)
{
	for (int count = 0; count <= 12; count++) {
		start();
		add(BPF_TRAMP_FENTRY, &interpreted, 5);
		add(BPF_TRAMP_FENTRY, &interpreted, 0);
		EQUAL(make(ENTRY | BPF_TRAMP_F_IP_ARG, count, 8, sum) > 0, 1);
		/* registers that the model does not name are nobody's */
		if (count >= 8)
			EQUAL(call_traced(sum), weighed());
		else
			call_traced(sum);
		EQUAL(runs, 2);
		EQUAL(sums, 1);
		EQUAL(misaligned, 0);
		EQUAL(cookies[0], 5);
		EQUAL(cookies[1], 0);
		EQUAL(ips[0], (u64)sum);
		saw(0, count);
		saw(1, count);
		kept_temps();
		EQUAL(left, 2);
	}
}

static void test_around(void)
{
	start();
	add(BPF_TRAMP_FENTRY, &interpreted, 0);
	add(BPF_TRAMP_MODIFY_RETURN, &interpreted, 0);
	add(BPF_TRAMP_FEXIT, &interpreted, -1ULL);
	EQUAL(make(AROUND, 12, 8, sum) > 0, 1);
	EQUAL(call_traced(sum), weighed());
	EQUAL(runs, 3);
	EQUAL(sums, 1);
	EQUAL(refs, 0);
	EQUAL(misaligned, 0);
	for (int i = 0; i < 3; i++)
		saw(i, 12);
	EQUAL(seen[1][13], 0);
	EQUAL(seen[2][13], weighed());
	EQUAL(cookies[2], -1ULL);
	kept_temps();
	/* what freeing it makes of it: the programs behind the function are left out, the count is not */
	poke(image.ip_after_call, NULL);
	u32 insns[RV_FENTRY_NINSNS];
	EQUAL(gen_branch_or_nops(insns, image.ip_after_call, image.ip_epilogue, false), 0);
	memcpy(image.ip_after_call, insns, sizeof(insns));
	__builtin___clear_cache(page, page + 4096);
	runs = 0;
	EQUAL(call_traced(sum), weighed());
	EQUAL(runs, 2);
	EQUAL(refs, 0);
}

static void test_replaced(void)
{
	for (int first = 0; first < 2; first++) {
		start();
		given = (u64)-7;
		if (first)
			add(BPF_TRAMP_MODIFY_RETURN, &compiled, 0);
		add(BPF_TRAMP_MODIFY_RETURN, &interpreted, 0);
		add(BPF_TRAMP_FEXIT, &interpreted, 0);
		EQUAL(make(AROUND, 9, first ? 8 : 4, sum) > 0, 1);
		EQUAL(call_traced(sum), first ? wide_r0 : (u64)-7);
		EQUAL(sums, 0);
		EQUAL(runs, first ? 1 : 2);
		EQUAL(refs, 0);
		EQUAL(seen[first ? 0 : 1][10], first ? wide_r0 : (u64)-7);
	}
}

static void test_skipped(void)
{
	start();
	skipping = 1;
	given = 9;
	add(BPF_TRAMP_FENTRY, &interpreted, 0);
	add(BPF_TRAMP_MODIFY_RETURN, &interpreted, 0);
	add(BPF_TRAMP_FEXIT, &interpreted, 0);
	EQUAL(make(AROUND, 12, 8, sum) > 0, 1);
	EQUAL(call_traced(sum), weighed());
	EQUAL(runs, 0);
	EQUAL(entered, 3);
	EQUAL(left, 3);
}

/* A plain function: t0 is poisoned, and nothing may be read from it. */
static void test_called(void)
{
	u64 broken = 1;

	for (int size = 4; size <= 8; size += 4) {
		start();
		add(BPF_TRAMP_FENTRY, &compiled, 0);
		EQUAL(make(BPF_TRAMP_F_RET_FENTRY_RET, 5, size, NULL) > 0, 1);
		EQUAL(called(page, args, &broken, 0), size == 8 ? wide_r0 : (u64)(s32)wide_r0);
		EQUAL(broken, 0);
	}
	start();
	add(BPF_TRAMP_FENTRY, &interpreted, 0);
	EQUAL(make(0, 12, 0, NULL) > 0, 1);
	called(page, args, &broken, 0);
	EQUAL(broken, 0);
	EQUAL(runs, 1);
	saw(0, 12);
	start();
	skipping = 1;
	add(BPF_TRAMP_FENTRY, &compiled, 0);
	EQUAL(make(BPF_TRAMP_F_RET_FENTRY_RET, 1, 4, NULL) > 0, 1);
	EQUAL(called(page, args, &broken, 0), 0);
	/* a function called through its pointer and not through its sled is called whole */
	start();
	add(BPF_TRAMP_FEXIT, &interpreted, 0);
	EQUAL(make(BPF_TRAMP_F_CALL_ORIG, 12, 8, sum) > 0, 1);
	EQUAL(called(page, args, &broken, 0), weighed());
	EQUAL(broken, 0);
	EQUAL(sums, 1);
}

/* Where the sled's t0 leads to is what is called, wherever that is. */
static void test_redirected(void)
{
	start();
	add(BPF_TRAMP_FEXIT, &interpreted, 0);
	EQUAL(make(AROUND | BPF_TRAMP_F_ORIG_STACK | BPF_TRAMP_F_SHARE_IPMODIFY, 12, 8, as_program) > 0, 1);
	EQUAL(call_traced(sum), weighed());
	EQUAL(sums, 1);
	EQUAL(seen[0][13], weighed());
}

static void test_traced_program(void)
{
	const u64 r0 = 0x1234567fffffffe;

	start();
	traced_is_bpf = 1;
	add(BPF_TRAMP_FEXIT, &interpreted, 0);
	EQUAL(make(AROUND | BPF_TRAMP_F_TAIL_CALL_CTX, 1, 4, as_program) > 0, 1);
	poke(as_program, page);
	EQUAL(r0_of(as_program), r0);
	EQUAL(last_a0, (u64)-2);
	EQUAL(seen[0][2], r0);
	poke(as_program, NULL);
}

static void test_wide_arguments(void)
{
	struct btf_func_model model = { .ret_size = 8, .nr_args = 5, .arg_size = { 16, 16, 8, 16, 16 } };

	start();
	add(BPF_TRAMP_FEXIT, &interpreted, 0);
	/* slots 0-1, 2-3, 4, 5-6, and 7 with the first on the stack */
	EQUAL(arch_prepare_bpf_trampoline(&image, page, page + 4096, &model, AROUND, links, sum) > 0, 1);
	call_traced(sum);
	saw(0, 9);
	/* on the stack behind an odd one, it may be aligned or not */
	model = (struct btf_func_model){ .nr_args = 10, .arg_size = { 8, 8, 8, 8, 8, 8, 8, 8, 8, 16 } };
	EQUAL(arch_prepare_bpf_trampoline(&image, page, page + 4096, &model, AROUND, links, sum), -EOPNOTSUPP);
	model.arg_size[8] = 16;
	EQUAL(arch_prepare_bpf_trampoline(&image, page, page + 4096, &model, AROUND, links, sum) > 0, 1);
}

/* As many programs as there may be; no byte beyond what is given, and nothing written if it is too little. */
static void test_sizes(void)
{
	int size = 0, more;

	start();
	for (int i = 0; i < BPF_MAX_TRAMP_LINKS; i++) {
		add(i % 2 ? BPF_TRAMP_FEXIT : BPF_TRAMP_FENTRY, &compiled, 0);
		more = make(AROUND, 12, 8, sum);
		EQUAL(more > size, 1);
		size = more;
		for (int at = size; at < 8192; at++)
			EQUAL(page[at], 0);
	}
	EQUAL(call_traced(sum), weighed());
	EQUAL(entered, BPF_MAX_TRAMP_LINKS);
	start();
	add(BPF_TRAMP_FEXIT, &compiled, 0);
	size = make(AROUND, 12, 8, sum);
	for (int room = 0; room <= size; room += 2) {
		struct btf_func_model model = { .ret_size = 8, .nr_args = 12 };
		int got;

		memset(model.arg_size, 8, sizeof(model.arg_size));
		memset(page, 0, 4096);
		got = arch_prepare_bpf_trampoline(&image, page, page + room, &model, AROUND, links, sum);
		EQUAL(got, room < size ? -E2BIG : size);
		EQUAL(page[0] != 0, room >= size);
	}
}

static void test_refused(void)
{
	struct btf_func_model model = { .nr_args = MAX_BPF_FUNC_ARGS + 1 };

	start();
	add(BPF_TRAMP_FENTRY, &compiled, 0);
	EQUAL(make(ENTRY | BIT(8), 1, 8, sum), -EOPNOTSUPP);
	EQUAL(make(BPF_TRAMP_F_ORIG_STACK, 1, 8, sum), -EINVAL);
	EQUAL(arch_prepare_bpf_trampoline(&image, page, page + 4096, &model, ENTRY, links, sum), -EOPNOTSUPP);
}

static const struct {
	const char *name;
	void (*test)(void);
} all[] = {
	{ "entry", test_entry }, { "around", test_around }, { "replaced", test_replaced }, { "skipped", test_skipped },
	{ "called", test_called }, { "redirected", test_redirected }, { "traced program", test_traced_program },
	{ "wide arguments", test_wide_arguments }, { "sizes", test_sizes }, { "refused", test_refused },
};

int main(void)
{
	uintptr_t text = (uintptr_t)sum & ~4095UL;

	page = mmap((void *)0x30000000, 8192, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (page == MAP_FAILED || mprotect((void *)text, 8192, PROT_READ | PROT_WRITE | PROT_EXEC))
		return 2;
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		failed = NULL;
		all[i].test();
		printf(failed ? "not ok %s: %s\n" : "ok %s\n", all[i].name, failed);
	}
	return 0;
}
