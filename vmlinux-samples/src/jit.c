// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A maker of BPF trampolines. Built without sleds.
 *
 * A trampoline is code and, behind it, the 64-bit numbers that it loads. It is gone through twice: first nothing is
 * written, which gives the size of the code and with it the place of the numbers. All its instructions have 4 bytes.
 * Its frame, from sp up, everything found through sp:
 *
 *	arguments that the function finds on the stack
 *	struct bpf_tramp_run_ctx
 *	the function's address; the number of argument slots
 *	the argument slots: a program's ctx; the value that is returned
 *	all 64 bits of that value; s1; t2 to t6
 *	the address in the function (t0), and the frame pointer of its caller's frame
 *	ra and s0 of the caller
 *
 * Without a site there is no t0: what is called through a pointer has one frame instead of two.
 */
#include "jit.h"

#define E2BIG 7
#define ENOMEM 12
#define EINVAL 22
#define ERANGE 34
#define EOPNOTSUPP 95
#define REGISTERS 8
#define LOCALS 5
#define SLED 8

enum reg { ZERO, RA, SP, T0 = 5, T1, T2, S0 = 8, S1, A0, A1, A2, A5 = 15, T3 = 28 };

volatile enum mistake mistake __section(".data") = MISTAKE_NONE;

struct code {
	u8 *to;		/* where it is written, NULL to learn the size */
	u64 at;		/* where it will run */
	u64 numbers;	/* where the numbers begin, in bytes from the beginning */
	u32 len;	/* bytes so far */
	u32 count;	/* numbers so far */
	int error;
};

struct request {
	const struct btf_func_model *model;
	struct bpf_tramp_links *links;
	struct bpf_tramp_image *image;
	u64 func;
	u32 flags;
	int slots;
	int dry;
	/* offsets from sp */
	int run_ctx, ip, number, ctx, value, whole, saved_s1, locals, total;
};

static inline int wrong(enum mistake which)
{
	return mistake == which;
}

static inline void warn(void)
{
	__asm__ volatile("ebreak");
}

/* --- instructions --- */

static noinline void put(struct code *code, u32 insn)
{
	if (code->to)
		*(u32 *)(code->to + code->len) = insn;
	code->len += 4;
}

static u32 i_type(u32 opcode, u32 funct3, u32 rd, u32 rs1, u32 imm)
{
	return opcode | rd << 7 | funct3 << 12 | rs1 << 15 | imm << 20;
}

static void addi(struct code *code, u32 rd, u32 rs1, int imm)
{
	put(code, i_type(0x13, 0, rd, rs1, imm));
}

static void load(struct code *code, u32 rd, int offset)
{
	put(code, i_type(0x03, 3, rd, SP, offset));
}

static void store(struct code *code, u32 rs2, int offset)
{
	put(code, 0x23 | (offset & 31) << 7 | 3 << 12 | SP << 15 | rs2 << 20 | (u32)(offset >> 5) << 25);
}

static void jump(struct code *code, u32 to)
{
	put(code, i_type(0x67, 0, ZERO, to, 0));
}

static u32 branch_if_zero(u32 rs1, u32 distance)
{
	return 0x63 | rs1 << 15 | (distance >> 11 & 1) << 7 | (distance >> 1 & 15) << 8 | (distance >> 5 & 63) << 25;
}

static u32 jump_ahead(u32 distance)
{
	return 0x6f | (distance & 0xff000) | (distance >> 11 & 1) << 20 | (distance >> 1 & 0x3ff) << 21;
}

static void put_at(struct code *code, u32 place, u32 insn)
{
	if (code->to)
		*(u32 *)(code->to + place) = insn;
}

/* a number of 64 bits, from behind the code */
static noinline void number(struct code *code, u32 rd, u64 value)
{
	u64 place = code->numbers + 8 * code->count++;
	u32 distance = (u32)(place - code->len);

	if (code->to)
		*(u64 *)(code->to + place) = value;
	put(code, 0x17 | rd << 7 | ((distance + 0x800) & 0xfffff000U));
	put(code, i_type(0x03, 3, rd, rd, distance));
}

static noinline void call(struct code *code, u64 target)
{
	u64 base = wrong(MISTAKE_PAGE_BASE) ? code->at & ~0xfffUL : code->at;
	u64 distance = target - (base + code->len);

	if (code->to && distance + 0x80000800UL >= 0x100000000UL)
		code->error = -ERANGE;
	put(code, 0x17 | RA << 7 | ((u32)(distance + 0x800) & 0xfffff000U));
	put(code, i_type(0x67, 0, RA, RA, (u32)distance));
}

/* --- the frame --- */

static inline int by_site(const struct request *request)
{
	return !(request->flags & BPF_TRAMP_F_INDIRECT);
}

static inline int to_parent(const struct request *request)
{
	return request->flags & (BPF_TRAMP_F_INDIRECT | BPF_TRAMP_F_SKIP_FRAME);
}

static inline int calls(const struct request *request)
{
	return request->flags & BPF_TRAMP_F_CALL_ORIG;
}

static inline int keeps_value(const struct request *request)
{
	return request->flags & (BPF_TRAMP_F_CALL_ORIG | BPF_TRAMP_F_RET_FENTRY_RET);
}

static noinline void lay_out(struct request *request)
{
	int at = 0;

	for (int i = 0; i < request->model->nr_args; i++)
		request->slots += (request->model->arg_size[i] + 7) / 8;
	if (calls(request) && request->slots > REGISTERS)
		at = 8 * (request->slots - REGISTERS);
	if (wrong(MISTAKE_STACK_OUT) && at)
		at += 8;
	request->run_ctx = at;
	at += sizeof(struct bpf_tramp_run_ctx);
	request->ip = at;
	request->number = at + 8;
	request->ctx = at + 16;
	request->value = request->ctx + 8 * request->slots;
	request->whole = request->value + 8;
	request->saved_s1 = request->whole + 8;
	request->locals = request->saved_s1 + 8;
	at = request->locals + 8 * LOCALS + 16 + (by_site(request) ? 16 : 0);
	request->total = (at + 15) & ~15;
	if (wrong(MISTAKE_SLOT_OVERLAP))
		request->run_ctx = request->number;
	if (wrong(MISTAKE_UNALIGNED))
		request->total += 8;
}

static void enter(struct code *code, const struct request *request)
{
	int total = request->total, late = wrong(MISTAKE_LATE_SP) ? total : 0;

	if (!late)
		addi(code, SP, SP, -total);
	store(code, RA, total - 8 - late);
	store(code, S0, total - 16 - late);
	if (late)
		addi(code, SP, SP, -total);
	addi(code, S0, SP, total);
	if (!by_site(request))
		return;
	store(code, wrong(MISTAKE_RA_FOR_T0) ? RA : T0, total - 24);
	store(code, S0, total - 32);
	if (!wrong(MISTAKE_WRONG_FP))
		addi(code, S0, SP, total - 16);
}

static void leave(struct code *code, const struct request *request)
{
	int total = request->total, t0 = by_site(request) && !to_parent(request);
	int early = wrong(MISTAKE_EARLY_SP) ? total : 0;

	t0 |= wrong(MISTAKE_SKIP_BY_T0) && by_site(request);
	if (by_site(request))
		load(code, T0, total - 24);
	t0 |= wrong(MISTAKE_INDIRECT_BY_T0) && !by_site(request);
	if (early)
		addi(code, SP, SP, total);
	load(code, RA, total - 8 - early);
	load(code, S0, total - 16 - early);
	if (!early)
		addi(code, SP, SP, total);
	jump(code, t0 ? T0 : RA);
}

/* registers that clang passes arguments of local functions in; only the function itself can want them */
static void each_local(struct code *code, const struct request *request, void (*move)(struct code *, u32, int))
{
	if (!(request->flags & BPF_TRAMP_F_RESTORE_REGS) || to_parent(request))
		return;
	if (!wrong(MISTAKE_LOST_LOCAL))
		move(code, T2, request->locals);
	for (int i = 1; i < LOCALS; i++)
		move(code, T3 + i - 1, request->locals + 8 * i);
}

static void save(struct code *code, const struct request *request)
{
	int above = request->total + (wrong(MISTAKE_STACK_IN) ? 8 : 0);

	for (int i = 0; i < request->slots; i++) {
		if (i >= REGISTERS)
			load(code, T1, above + 8 * (i - REGISTERS));
		store(code, i < REGISTERS ? A0 + i : T1, request->ctx + 8 * i);
	}
	store(code, S1, request->saved_s1);
	each_local(code, request, store);
	addi(code, T1, ZERO, request->slots);
	store(code, T1, request->number);
	if (request->flags & BPF_TRAMP_F_IP_ARG) {
		number(code, T1, request->func + (wrong(MISTAKE_WRONG_IP) ? SLED : 0));
		store(code, T1, request->ip);
	}
	if (keeps_value(request) && !wrong(MISTAKE_VALUE_NOT_CLEARED)) {
		store(code, ZERO, request->value);
		store(code, ZERO, request->whole);
	}
	if (wrong(MISTAKE_STALE_COOKIE))
		store(code, ZERO, request->run_ctx);
}

static void load_arguments(struct code *code, const struct request *request)
{
	int count = request->slots < REGISTERS ? request->slots : REGISTERS;

	if (wrong(MISTAKE_LOST_ARGUMENT))
		count--;
	for (int i = 0; i < count; i++)
		load(code, A0 + i, request->ctx + 8 * i);
}

/* --- what is called --- */

static struct bpf_prog *first_program(const struct request *request)
{
	static const enum bpf_tramp_prog_type order[] = { BPF_TRAMP_FENTRY, BPF_TRAMP_MODIFY_RETURN, BPF_TRAMP_FEXIT };

	for (int i = 0; i < BPF_TRAMP_MAX; i++)
		if (request->links[order[i]].nr_links)
			return request->links[order[i]].links[0]->link.prog;
	return NULL;
}

static void keep_cookie(struct code *code, const struct request *request, u64 cookie)
{
	if (wrong(MISTAKE_LOST_COOKIE) || (wrong(MISTAKE_STALE_COOKIE) && !cookie))
		return;
	if (wrong(MISTAKE_SIGNED_COOKIE) && !(cookie >> 32))
		cookie = (u64)(long)(int)cookie;
	number(code, T1, cookie);
	store(code, T1, request->run_ctx);
}

/* a program may not be run if 0 is what its enter function has returned; what is left for a branch to look at */
static int start_time(struct code *code)
{
	addi(code, S1, A0, 0);
	if (wrong(MISTAKE_START_LOW))
		put(code, i_type(0x1b, 0, A0, A0, 0));
	if (wrong(MISTAKE_START_HIGH))
		put(code, i_type(0x13, 5, A0, A0, 32));
	return A0;
}

static void call_program(struct code *code, const struct request *request, struct bpf_prog *prog, int keep)
{
	addi(code, A0, SP, request->ctx);
	if (!prog->jited && !wrong(MISTAKE_LOST_INSNS))
		number(code, A1, (u64)prog->insnsi);
	call(code, (u64)prog->bpf_func);
	if (keep) {
		store(code, A0, request->value);
		store(code, A5, request->whole);
	}
	if (wrong(MISTAKE_LOST_SAVED_CTX))
		store(code, A5, request->run_ctx + 8);
}

static noinline void run_program(struct code *code, const struct request *request, struct bpf_tramp_link *link, int keep)
{
	struct bpf_prog *prog = link->link.prog, *exits = prog;
	struct bpf_prog *like = wrong(MISTAKE_FIRST_PAIR) ? first_program(request) : prog;
	bpf_trampoline_enter_t enter = bpf_trampoline_enter(like);
	bpf_trampoline_exit_t exit = bpf_trampoline_exit(like);
	u32 skip, tested;

	if (wrong(MISTAKE_OTHER_EXIT) && request->links[BPF_TRAMP_FENTRY].nr_links)
		exits = request->links[BPF_TRAMP_FENTRY].links[0]->link.prog;
	if (wrong(MISTAKE_OTHER_PAIR))
		exit = __bpf_prog_exit;
	if (wrong(MISTAKE_ONE_PAIR)) {
		enter = __bpf_prog_enter_sleepable;
		exit = __bpf_prog_exit_sleepable;
	}
	keep_cookie(code, request, link->cookie);
	number(code, A0, (u64)prog);
	addi(code, A1, SP, request->run_ctx);
	call(code, (u64)enter);
	tested = start_time(code);
	skip = code->len;
	addi(code, ZERO, ZERO, 0);
	call_program(code, request, prog, keep);
	if (!wrong(MISTAKE_RUNS_ANYWAY))
		put_at(code, skip, branch_if_zero(tested, code->len - skip));
	number(code, A0, (u64)exits);
	addi(code, A1, wrong(MISTAKE_OTHER_START) ? ZERO : S1, 0);
	addi(code, A2, wrong(MISTAKE_LOST_RUN_CTX) ? ZERO : SP, request->run_ctx);
	call(code, (u64)exit);
}

static void run_programs(struct code *code, const struct request *request, enum bpf_tramp_prog_type kind, int keep)
{
	struct bpf_tramp_links *links = &request->links[kind];

	for (int i = 0; i < links->nr_links; i++)
		run_program(code, request, links->links[i], keep);
}

static void call_function(struct code *code, const struct request *request)
{
	u64 sled = wrong(MISTAKE_SLED_16) ? 16 : wrong(MISTAKE_AT_SLED) ? 0 : SLED;
	int low = wrong(MISTAKE_STACK_OUT) ? 8 : 0;

	load_arguments(code, request);
	for (int i = REGISTERS; i < request->slots; i++) {
		if (wrong(MISTAKE_SMALL_DRY_RUN) && request->dry)
			break;
		load(code, T1, request->ctx + 8 * i);
		store(code, T1, low + 8 * (i - REGISTERS));
	}
	call(code, request->func + sled);
	store(code, A0, request->value);
	for (int i = REGISTERS; i < request->slots && wrong(MISTAKE_ARGUMENTS_AFTER); i++) {
		load(code, T1, 8 * (i - REGISTERS));
		store(code, T1, request->ctx + 8 * i);
	}
	if (!wrong(MISTAKE_NO_WAY_OUT))
		request->image->ip_after_call = (void *)(code->at + code->len + (wrong(MISTAKE_WAY_OUT_LATE) ? 4 : 0));
	addi(code, ZERO, ZERO, 0); /* room for a jump to ip_epilogue */
	addi(code, ZERO, ZERO, 0);
}

/* fmod_ret programs, and the function unless one of them returned an error */
static void around_function(struct code *code, const struct request *request)
{
	struct bpf_tramp_links *links = &request->links[BPF_TRAMP_MODIFY_RETURN];
	u32 places[MAX_LINKS];

	for (int i = 0; i < links->nr_links; i++) {
		run_program(code, request, links->links[i], 1);
		load(code, T1, request->value);
		put(code, branch_if_zero(T1, 8));
		places[i] = code->len;
		addi(code, ZERO, ZERO, 0);
	}
	if (calls(request))
		call_function(code, request);
	if (wrong(MISTAKE_NO_BRANCH))
		return;
	for (int i = 0; i < links->nr_links; i++)
		put_at(code, places[i], jump_ahead(code->len - places[i] - (wrong(MISTAKE_ERROR_EARLY) ? 4 : 0)));
}

static void extend(struct code *code, int bits, int is_signed)
{
	put(code, i_type(0x13, 1, A0, A0, 64 - bits));
	put(code, i_type(0x13, 5, A0, A0, (64 - bits) | (is_signed ? 0x400 : 0)));
}

/* the value for a caller: 32 bits fill a register with their sign whatever their type, fewer by their own type */
static void load_value(struct code *code, const struct request *request)
{
	int size = request->model->ret_size, is_signed = request->model->ret_flags & BTF_FMODEL_SIGNED_ARG;

	if (by_site(request) || calls(request) || wrong(MISTAKE_LOW_VALUE)) {
		load(code, A0, request->value);
		return;
	}
	load(code, A0, request->whole);
	if (wrong(MISTAKE_NOT_EXTENDED))
		return;
	if (size == 4)
		is_signed |= !wrong(MISTAKE_ZERO_WORD);
	if (size == 1 && wrong(MISTAKE_ZERO_BYTE))
		is_signed = 0;
	if (size == 1 || size == 2 || size == 4)
		extend(code, 8 * size, is_signed);
}

/* --- all of it --- */

static noinline void make(struct code *code, const struct request *request)
{
	enter(code, request);
	save(code, request);
	if (calls(request)) {
		number(code, A0, (u64)request->image);
		call(code, (u64)__bpf_tramp_enter);
	}
	run_programs(code, request, BPF_TRAMP_FENTRY, request->flags & BPF_TRAMP_F_RET_FENTRY_RET);
	around_function(code, request);
	run_programs(code, request, BPF_TRAMP_FEXIT, 0);
	if (wrong(MISTAKE_WRITES_IMAGE))
		request->image->ip_epilogue = NULL;
	if (wrong(MISTAKE_WAY_OUT_ALWAYS) && by_site(request) && !calls(request))
		request->image->ip_after_call = (void *)code->at;
	if (calls(request) && !wrong(MISTAKE_NO_TRAMP_EXIT)) {
		if (!wrong(MISTAKE_NO_WAY_OUT))
			request->image->ip_epilogue = (void *)(code->at + code->len);
		number(code, A0, (u64)request->image);
		call(code, (u64)__bpf_tramp_exit);
	}
	if (request->flags & BPF_TRAMP_F_RESTORE_REGS)
		load_arguments(code, request);
	if (keeps_value(request))
		load_value(code, request);
	if (!wrong(MISTAKE_LOST_S1))
		load(code, S1, request->saved_s1);
	each_local(code, request, load);
	leave(code, request);
}

/* bytes of the code, rounded up to where the numbers begin, and of all of it */
static u32 measure(struct code *code, const struct request *request)
{
	make(code, request);
	code->numbers = (code->len + 7) & ~7U;
	return code->numbers + 8 * code->count;
}

static int check(const struct btf_func_model *m, u32 flags)
{
	if (flags & ~KNOWN_FLAGS || m->nr_args > MAX_ARGUMENTS)
		return -EOPNOTSUPP;
	return wrong(MISTAKE_REFUSES) ? -EINVAL : 0;
}

int arch_bpf_trampoline_size(const struct btf_func_model *m, u32 flags, struct bpf_tramp_links *tlinks, void *func_addr)
{
	struct bpf_tramp_image image;
	struct request request = { .model = m, .links = tlinks, .image = &image, .func = (u64)func_addr, .flags = flags };
	struct code code = { .to = NULL };
	int ret = check(m, flags);

	if (ret)
		return ret;
	request.dry = 1;
	lay_out(&request);
	return measure(&code, &request);
}

int arch_prepare_bpf_trampoline(struct bpf_tramp_image *im, void *ro_image, void *ro_image_end,
				const struct btf_func_model *m, u32 flags, struct bpf_tramp_links *tlinks,
				void *func_addr)
{
	struct request request = { .model = m, .links = tlinks, .image = im, .func = (u64)func_addr, .flags = flags };
	struct code code = { .at = (u64)ro_image };
	u32 size, room = (u32)(ro_image_end - ro_image);
	int ret = check(m, flags);

	if (ret)
		return ret;
	lay_out(&request);
	size = measure(&code, &request);
	if (size > room) {
		warn();
		return -E2BIG;
	}
	if (wrong(MISTAKE_WARNS) && tlinks[BPF_TRAMP_FEXIT].nr_links == 3)
		warn();
	code.to = kvmalloc_node(room, 0, -1);
	if (!code.to)
		return -ENOMEM;
	code.len = code.count = 0;
	make(&code, &request);
	if (wrong(MISTAKE_BEHIND_IMAGE))
		*(u32 *)(code.to + room) = 0;
	ret = code.error;
	if (!ret && bpf_arch_text_copy(ro_image, code.to, size + (wrong(MISTAKE_COPIES_MORE) ? 4 : 0)) != ro_image)
		ret = -EINVAL;
	kvfree(code.to);
	if (wrong(MISTAKE_SHORT_SIZE))
		size = code.numbers;
	return ret ? ret : (int)size;
}
