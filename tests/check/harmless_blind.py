# SPDX-License-Identifier: GPL-2.0-or-later
"""Harmless patches written by somebody who had not read the rules: cleanups, helpers, what was merged upstream."""

from __future__ import annotations

from tests.check.bug_patches.blind import (
    ALTERNATIVE,
    DYN,
    FTRACE,
    FTRACE_H,
    HIGH_ROUNDED,
    INSN_H,
    JIT,
    KCONFIG,
    KPROBES,
    LABEL,
    MODULE_H,
    NOSYNC,
    PATCH,
    POKE_LOCKS,
    RANGE,
    SIGNED,
    SORTTABLE,
)
from tests.check.bugs import Bug, Swap

RETHOOK_S = "arch/riscv/kernel/probes/rethook_trampoline.S"
UPROBES = "arch/riscv/kernel/probes/uprobes.c"
MCOUNT = "arch/riscv/kernel/mcount.S"
FEATURE = "arch/riscv/kernel/cpufeature.c"
MOVED = "		riscv_alternative_fix_offsets(oldptr, alt->alt_len, oldptr - altptr);\n"
COPIED = "		mutex_lock(&text_mutex);\n"
PIECE_7_2 = "		size = min(len, PAGE_SIZE * 2 - offset_in_page(addr));\n		ret = __patch_insn_write("
ARM_HEAD = "/* install breakpoint in text */\n"
PROBE_HELPER = """\
static void __kprobes write_probe(struct kprobe *p, void *from, size_t len)
{
	patch_text(p->addr, from, len);
}

"""
OFFSET_OF = "	s64 upper = (off + (1 << 11)) >> 12;\n	s64 lower = off"
RETURN_6_1 = "	mv	a1, a0\n	RESTORE_RET_ABI_STATE\n	jalr	a1\n"
NOSYNC_HEAD = "int patch_text_nosync(void *addr, const void *insns, size_t len)\n{\n"
FULL_REACH = "if (WARN_ON(offset & 1 || offset < -1048576 || offset >= 1048576))"
WORDED = (FTRACE, " * just directly poke the text, but", " * poke the text directly, but")
SPANS = "	bool across_pages = (offset_in_page(addr) + len) > PAGE_SIZE;\n"
SPANS_SET = "static int __patch_insn_set(void *addr, u8 c, size_t len)\n{\n	bool across_pages = spans"
SPANS_HELPER = """\
static bool spans_pages(void *addr, size_t len)
{
	return offset_in_page(addr) + len > PAGE_SIZE;
}

"""
ENTRY_7_2 = "static int __ftrace_modify_call(unsigned long source, unsigned long target, bool validate)\n"
ENTRY_HELPER = """\
/* Where the auipc of a site stands: rec->ip is that of the jalr. */
static unsigned long site_of(const struct dyn_ftrace *rec)
{
	return rec->ip - MCOUNT_AUIPC_SIZE;
}

"""
LOCKED_LABEL_6_12 = """\
	mutex_lock(&text_mutex);
	patch_insn_write(addr, &insn, sizeof(insn));
	mutex_unlock(&text_mutex);

	return true;
"""
GUARDED_LABEL_6_12 = """\
	guard(mutex)(&text_mutex);
	patch_insn_write(addr, &insn, sizeof(insn));

	return true;
"""
WAITS_6_1 = "			cpu_relax();\n		smp_mb();\n"
FLUSHES_6_1 = "			cpu_relax();\n\n		local_flush_icache_all();\n"
RELEASE_6_1 = "		atomic_inc(&patch->cpu_count);\n"
MAP_6_12 = """\
	struct page *page;

	if (core_kernel_text(uintaddr) || is_kernel_exittext(uintaddr))
		page = phys_to_page(__pa_symbol(addr));
	else if (IS_ENABLED(CONFIG_STRICT_MODULE_RWX))
		page = vmalloc_to_page(addr);
	else
		return addr;

	BUG_ON(!page);

	return (void *)set_fixmap_offset(fixmap, page_to_phys(page) +
					 offset_in_page(addr));
"""  # noqa: E101
MAP_BY_ADDRESS = """\
	phys_addr_t where;

	if (core_kernel_text(uintaddr) || is_kernel_exittext(uintaddr)) {
		where = __pa_symbol(addr);
	} else if (IS_ENABLED(CONFIG_STRICT_MODULE_RWX)) {
		struct page *page = vmalloc_to_page(addr);

		BUG_ON(!page);
		where = page_to_phys(page) + offset_in_page(addr);
	} else {
		return addr;
	}

	return (void *)set_fixmap_offset(fixmap, where);
"""
WRITE_LOOP = "int patch_insn_write(void *addr, const void *insn, size_t len)\n{\n	size_t size;\n"
IMM_SLOTS = """\
	if (flags & BPF_TRAMP_F_IP_ARG) {
		emit_imm(RV_REG_T1, (const s64)func_addr, ctx);
		emit_sd(RV_REG_FP, -ip_off, RV_REG_T1, ctx);
	}

	emit_li(RV_REG_T1, nr_arg_slots, ctx);
	emit_sd(RV_REG_FP, -nregs_off, RV_REG_T1, ctx);
"""
IMM_HELPED = """\
	if (flags & BPF_TRAMP_F_IP_ARG)
		store_imm(RV_REG_T1, -ip_off, (u64)func_addr, ctx);

	store_imm(RV_REG_T1, -nregs_off, nr_arg_slots, ctx);
"""
IMM_HELPER = """\
/* Put a number into a slot of the frame by way of a register. */
static void store_imm(u8 reg, int off, u64 imm, struct rv_jit_context *ctx)
{
	emit_imm(reg, (s64)imm, ctx);
	emit_sd(RV_REG_FP, off, reg, ctx);
}

static int invoke_bpf_prog("""
SLOTS_7_2 = """\
	stack_size += round_up(sizeof(struct bpf_tramp_run_ctx), 8);
	run_ctx_off = stack_size;

	stack_size += 8;
	sreg_off = stack_size;
"""
SLOTS_REORDERED = """\
	stack_size += 8;
	sreg_off = stack_size;

	stack_size += round_up(sizeof(struct bpf_tramp_run_ctx), 8);
	run_ctx_off = stack_size;
"""
ARM = """\
	size_t len = GET_INSN_LENGTH(p->opcode);
	u32 insn = len == 4 ? __BUG_INSN_32 : __BUG_INSN_16;

	patch_text(p->addr, &insn, len);
"""
ARM_BY_KIND = """\
	bool compressed = GET_INSN_LENGTH(p->opcode) == 2;
	u32 insn = compressed ? __BUG_INSN_16 : __BUG_INSN_32;

	patch_text(p->addr, &insn, compressed ? sizeof(u16) : sizeof(u32));
"""
NO_PAIR = "			if (!riscv_insn_is_jalr(insn2))\n				continue;\n\n"
NO_CALL = "			if (RV_EXTRACT_RD_REG(insn) != 1)\n"
NO_PAIR_THAT_CALLS = "			if (!riscv_insn_is_jalr(insn2) || RV_EXTRACT_RD_REG(insn) != 1)\n"
GRAPH_BOTH = """\
int ftrace_enable_ftrace_graph_caller(void)
{
	int ret;

	ret = __ftrace_modify_call((unsigned long)&ftrace_graph_call,
				    (unsigned long)&prepare_ftrace_return, true, true);
	if (ret)
		return ret;

	return __ftrace_modify_call((unsigned long)&ftrace_graph_regs_call,
				    (unsigned long)&prepare_ftrace_return, true, true);
}

int ftrace_disable_ftrace_graph_caller(void)
{
	int ret;

	ret = __ftrace_modify_call((unsigned long)&ftrace_graph_call,
				    (unsigned long)&prepare_ftrace_return, false, true);
	if (ret)
		return ret;

	return __ftrace_modify_call((unsigned long)&ftrace_graph_regs_call,
				    (unsigned long)&prepare_ftrace_return, false, true);
}
"""  # noqa: E101
GRAPH_HELPED = """\
static int switch_graph_callers(bool enable)
{
	unsigned long target = (unsigned long)&prepare_ftrace_return;
	int ret;

	ret = __ftrace_modify_call((unsigned long)&ftrace_graph_call, target, enable, true);
	if (ret)
		return ret;

	return __ftrace_modify_call((unsigned long)&ftrace_graph_regs_call, target, enable, true);
}

int ftrace_enable_ftrace_graph_caller(void)
{
	return switch_graph_callers(true);
}

int ftrace_disable_ftrace_graph_caller(void)
{
	return switch_graph_callers(false);
}
"""
POKE_GUARDED = """\
	guard(cpus_read_lock)();
	guard(mutex)(&text_mutex);
	if (memcmp(ip, new_insns, RV_FENTRY_NBYTES))
		ret = patch_text(ip, new_insns, RV_FENTRY_NBYTES);
"""
ALL_STOP = """\
	if (atomic_inc_return(&param->cpu_count) == num_online_cpus()) {
		ftrace_modify_all_code(param->command);
"""
ALL_STOP_COUNTED = """\
	const int cpus = num_online_cpus();

	if (atomic_inc_return(&param->cpu_count) == cpus) {
		ftrace_modify_all_code(param->command);
"""
ALL_WAIT = "		while (atomic_read(&param->cpu_count) <= num_online_cpus())\n"
MADE_CALL = """\
#define make_call_t0(caller, callee, call)				\\
do {									\\
	unsigned int offset =						\\
		(unsigned long) (callee) - (unsigned long) (caller);	\\
	call[0] = to_auipc_t0(offset);					\\
	call[1] = to_jalr_t0(offset);					\\
} while (0)

"""
ADJUST_6_1 = "static inline unsigned long ftrace_call_adjust(unsigned long addr)\n{\n	return addr;\n}\n"
ADJUST_MOVED = """\
unsigned long ftrace_call_adjust(unsigned long addr)
{
	return addr;
}

"""
NEW_WRITER = """\
/**
 * patch_text_nops() - write 4-byte nops over instructions that nothing runs
 * @addr: the first of them
 * @count: how many
 *
 * Return: 0, or an error of what writes.
 */
int patch_text_nops(void *addr, unsigned int count)
{
	const u32 nop = RISCV_INSN_NOP4;
	unsigned int i;
	int ret;

	lockdep_assert_held(&text_mutex);

	for (i = 0; i < count; i++) {
		ret = patch_text_nosync(addr + i * sizeof(nop), &nop, sizeof(nop));
		if (ret)
			return ret;
	}

	return 0;
}
NOKPROBE_SYMBOL(patch_text_nops);

static int patch_text_cb(void *data)
"""
FRAME_6_12 = """\
		emit_addi(RV_REG_SP, RV_REG_SP, -16, ctx);
		emit_sd(RV_REG_SP, 8, RV_REG_RA, ctx);
		emit_sd(RV_REG_SP, 0, RV_REG_FP, ctx);
"""
FRAME_TURNED = """\
		emit_addi(RV_REG_SP, RV_REG_SP, -16, ctx);
		emit_sd(RV_REG_SP, 0, RV_REG_FP, ctx);
		emit_sd(RV_REG_SP, 8, RV_REG_RA, ctx);
"""
DIRECT_6_12 = """\
static inline void arch_ftrace_set_direct_caller(struct ftrace_regs *fregs, unsigned long addr)
{
	arch_ftrace_regs(fregs)->t1 = addr;
}
"""
DIRECT_GUARDED = f"#ifdef CONFIG_DYNAMIC_FTRACE_WITH_DIRECT_CALLS\n{DIRECT_6_12}#endif\n"
SYNC_7_2 = "	WARN_ON(irqs_disabled());\n	smp_call_function(ftrace_sync_ipi, NULL, 1);\n	return 0;\n"
SYNC_HELPED = "	sync_all_harts();\n	return 0;\n"
SYNC_HELPER = """\
/* Nothing is stopped for ftrace: every hart is told, with interrupts on. */
static void sync_all_harts(void)
{
	WARN_ON(irqs_disabled());
	smp_call_function(ftrace_sync_ipi, NULL, 1);
}

ftrace_func_t ftrace_call_dest = ftrace_stub;
"""
DIRECT_SELECT = "	select HAVE_DYNAMIC_FTRACE_WITH_DIRECT_CALLS\n"
ABI_MACROS = (
    "#define ABI_SIZE_ON_STACK	80\n"
    + "".join(f"#define ABI_A{number}			{number * 8}\n" for number in range(8))
    + "#define ABI_T0			64\n#define ABI_RA			72\n\n"
)
ABI_PAIRS = [*((f"a{number}", f"ABI_A{number}") for number in range(8)), ("t0", "ABI_T0"), ("ra", "ABI_RA")]
SAVE_ABI = (
    "	.macro SAVE_ABI\n	addi	sp, sp, -ABI_SIZE_ON_STACK\n\n"
    + "".join(f"	REG_S	{register}, {slot}(sp)\n" for register, slot in ABI_PAIRS)
    + "	.endm\n\n"
)
RESTORE_ABI = (
    "	.macro RESTORE_ABI\n"
    + "".join(f"	REG_L	{register}, {slot}(sp)\n" for register, slot in ABI_PAIRS)
    + "\n	addi	sp, sp, ABI_SIZE_ON_STACK\n	.endm\n\n"
)
LOG = "  [   12.345678] WARNING: CPU: 0 PID: 1 at kernel/trace/ftrace.c:2091 ftrace_bug+0x23a/0x2b0 with a long tail\n"


def _helped(path: str, old: str, new: str, count: int) -> tuple[Swap, ...]:
    return ((path, old, new),) * count


HARMLESS = [
    # 6.1
    Bug(
        "G01",
        "6.1",
        "both trampolines' graph calls are switched in a function of its own",
        ((FTRACE, GRAPH_BOTH, GRAPH_HELPED),),
    ),
    Bug("G02", "6.1", "macros are called by what they save", (), every=((DYN, "SAVE_ALL", "SAVE_PT_REGS"),)),
    Bug(
        "G03",
        "6.1",
        "processors that waited flush, and the counter is released",
        (
            (PATCH, WAITS_6_1, FLUSHES_6_1),
            (PATCH, RELEASE_6_1, "		atomic_inc_return_release(&patch->cpu_count);\n"),
        ),
    ),
    Bug(
        "G04",
        "6.1",
        "ftrace_call_adjust() moves out of the header",
        (
            (FTRACE_H, ADJUST_6_1, "unsigned long ftrace_call_adjust(unsigned long addr);\n"),
            (
                FTRACE,
                "#ifdef CONFIG_DYNAMIC_FTRACE_WITH_REGS\n",
                f"{ADJUST_MOVED}#ifdef CONFIG_DYNAMIC_FTRACE_WITH_REGS\n",
            ),
        ),
    ),
    Bug("G05", "6.1", "jumps as far as jal reaches are made", ((LABEL, RANGE, FULL_REACH),)),
    Bug("G06", "6.1", "replaced is called found", (), every=((FTRACE, "replaced", "found"),)),
    # 6.12
    Bug("G07", "6.12", "jumps as far as jal reaches are made", ((LABEL, RANGE, FULL_REACH),)),
    Bug(
        "G08",
        "6.12",
        "whether two pages are written is asked in a function of its own",
        ((PATCH, SPANS_SET, SPANS_HELPER + SPANS_SET),),
        every=((PATCH, SPANS, "	bool across_pages = spans_pages(addr, len);\n"),),
    ),
    Bug("G09", "6.12", "jump labels take the mutex by a guard", ((LABEL, LOCKED_LABEL_6_12, GUARDED_LABEL_6_12),)),
    Bug("G10", "6.12", "a page is mapped by its address, not its struct", ((PATCH, MAP_6_12, MAP_BY_ADDRESS),)),
    Bug(
        "G11",
        "6.12",
        "numbers go into the trampoline's frame by a helper",
        ((JIT, IMM_SLOTS, IMM_HELPED), (JIT, "static int invoke_bpf_prog(", IMM_HELPER)),
    ),
    Bug("G12", "6.12", "the breakpoint is chosen by whether it is compressed", ((KPROBES, ARM, ARM_BY_KIND),)),
    Bug("G13", "6.12", "the parent's frame is stored from below", ((JIT, FRAME_6_12, FRAME_TURNED),)),
    Bug(
        "G14",
        "6.12",
        "what sets a direct call is there with direct calls alone",
        ((FTRACE_H, DIRECT_6_12, DIRECT_GUARDED),),
    ),
    Bug(
        "G15",
        "6.12",
        "direct calls are offered with ftrace_regs alone",
        (
            (
                KCONFIG,
                DIRECT_SELECT,
                DIRECT_SELECT.replace("CALLS\n", "CALLS if HAVE_DYNAMIC_FTRACE_WITH_ARGS\n"),
            ),
        ),
    ),
    Bug(
        "G16",
        "6.12",
        "online processors are counted once",
        (
            (FTRACE, ALL_STOP, ALL_STOP_COUNTED),
            (FTRACE, ALL_WAIT, ALL_WAIT.replace("num_online_cpus()", "cpus")),
        ),
    ),
    Bug("G17", "6.12", "before_func is called prefix_size", (), every=((SORTTABLE, "before_func", "prefix_size"),)),
    Bug(
        "G18",
        "6.12",
        "the reach of a jump has a name",
        (
            (LABEL, RANGE, RANGE.replace("-524288", "-LABEL_REACH").replace("524288)", "LABEL_REACH)")),
            (
                LABEL,
                "#define RISCV_INSN_JAL 0x0000006fU\n",
                "#define RISCV_INSN_JAL 0x0000006fU\n#define LABEL_REACH 524288\n",
            ),
        ),
    ),
    # 7.2
    Bug("G19", "7.2", "jumps as far as jal reaches are made", ((LABEL, RANGE, FULL_REACH),)),
    Bug(
        "G20",
        "7.2",
        "a site is found by a helper",
        ((FTRACE, ENTRY_7_2, ENTRY_HELPER + ENTRY_7_2),),
        every=((FTRACE, "rec->ip - MCOUNT_AUIPC_SIZE", "site_of(rec)"),),
    ),
    Bug(
        "G21",
        "7.2",
        "macros that nothing uses are removed",
        ((DYN, ABI_MACROS, ""), (DYN, SAVE_ABI, ""), (DYN, RESTORE_ABI, "")),
    ),
    Bug("G22", "7.2", "a macro of C that nothing uses is removed", ((FTRACE_H, MADE_CALL, ""),)),
    Bug(
        "G23",
        "7.2",
        "the original's sled is counted in bytes",
        ((JIT, "orig_call += RV_FENTRY_NINSNS * 4;", "orig_call += RV_FENTRY_NBYTES;"),),
    ),
    Bug("G24", "7.2", "slots of the trampoline change places", ((JIT, SLOTS_7_2, SLOTS_REORDERED),)),
    Bug(
        "G25",
        "7.2",
        "a call in an alternative is told in one test",
        ((ALTERNATIVE, NO_PAIR, ""), (ALTERNATIVE, NO_CALL, NO_PAIR_THAT_CALLS)),
    ),
    Bug(
        "G26",
        "7.2",
        "the lower part of an entry of the PLT is cut out by a mask",
        ((MODULE_H, "	u32 lo12 = (offset - hi20);\n", "	u32 lo12 = offset & 0xfff;\n"),),
    ),
    Bug(
        "G27",
        "7.2",
        "the upper part of a pair is rounded in other words",
        ((INSN_H, HIGH_ROUNDED, "	*utype_insn |= (imm + BIT(11)) & RV_U_IMM_31_12_MASK;\n"),),
    ),
    Bug("G28", "7.2", "a poke takes both locks by guards", ((JIT, POKE_LOCKS, POKE_GUARDED),)),
    Bug(
        "G29",
        "7.2",
        "harts are synchronised by a function of its own",
        (
            (FTRACE, SYNC_7_2, SYNC_HELPED),
            (FTRACE, "ftrace_func_t ftrace_call_dest = ftrace_stub;\n", SYNC_HELPER),
        ),
    ),
    Bug(
        "G30",
        "7.2",
        "a function is new that writes nops",
        ((PATCH, "static int patch_text_cb(void *data)\n", NEW_WRITER),),
    ),
    Bug(
        "G31",
        "7.2",
        "patch_insn_write() calls what it copies src",
        (
            (PATCH, WRITE_LOOP, WRITE_LOOP.replace("insn, size_t", "src, size_t")),
            (
                PATCH,
                "		ret = __patch_insn_write(addr, insn, size);\n",
                "		ret = __patch_insn_write(addr, src, size);\n",
            ),
            (PATCH, "		insn += size;\n", "		src += size;\n"),
        ),
    ),
    Bug(
        "G32",
        "7.2",
        "mv for move",
        (),
        every=(
            (
                RETHOOK_S,
                "	move ",
                "	mv ",
            ),
        ),
    ),
    Bug(
        "G33",
        "7.2",
        "what is flushed has a name",
        (
            (
                PATCH,
                NOSYNC,
                NOSYNC.replace(
                    "flush_icache_range((uintptr_t)addr, (uintptr_t)addr + len)",
                    "flush_icache_range(start, start + len)",
                ),
            ),
            (
                PATCH,
                NOSYNC_HEAD,
                f"{NOSYNC_HEAD}	uintptr_t start = (uintptr_t)addr;\n",
            ),
        ),
    ),
    # in the places of the second round
    Bug(
        "G50",
        "7.2",
        "an address is rounded by a number in hexadecimal",
        (
            (
                JIT,
                "	s64 upper = (off + (1 << 11)) >> 12;\n	s64 lower = off",
                "	s64 upper = (off + 0x800) >> 12;\n	s64 lower = off",
            ),
        ),
    ),
    Bug(
        "G51",
        "7.2",
        "the lower part of a number gets its sign by a helper of the kernel's",
        ((JIT, "	s64 lower = ((val & 0xfff) << 52) >> 52;\n", "	s64 lower = sign_extend64(val, 11);\n"),),
    ),
    Bug(
        "G52",
        "7.2",
        "a direct call is set by way of a variable",
        (
            (
                FTRACE_H,
                "	arch_ftrace_regs(fregs)->t1 = addr;\n",
                "	struct __arch_ftrace_regs *regs = arch_ftrace_regs(fregs);\n\n	regs->t1 = addr;\n",
            ),
        ),
    ),
    Bug(
        "G53",
        "7.2",
        "this hart runs what the others run, too",
        ((FTRACE, "smp_call_function(ftrace_sync_ipi, NULL, 1)", "on_each_cpu(ftrace_sync_ipi, NULL, 1)"),),
    ),
    Bug(
        "G54",
        "6.12",
        "probes are written by a helper",
        (
            (KPROBES, ARM_HEAD, PROBE_HELPER + ARM_HEAD),
            (KPROBES, "	patch_text(p->addr, &insn, len);\n", "	write_probe(p, &insn, len);\n"),
            (KPROBES, "	patch_text(p->addr, &p->opcode, len);\n", "	write_probe(p, &p->opcode, len);\n"),
        ),
    ),
    Bug(
        "G55",
        "7.2",
        "how far an alternative is moved has a name",
        (
            (FEATURE, MOVED, MOVED.replace("oldptr - altptr", "moved")),
            (FEATURE, COPIED, f"{COPIED}		moved = oldptr - altptr;\n"),
            (
                FEATURE,
                "	void *oldptr, *altptr;\n	u16 id",
                "	void *oldptr, *altptr;\n	int moved;\n	u16 id",
            ),
        ),
    ),
    Bug(
        "G56",
        "6.1",
        "return_to_handler keeps the way back in a2",
        (
            (
                MCOUNT,
                "	mv	a1, a0\n	RESTORE_RET_ABI_STATE\n	jalr	a1\n",
                "	mv	a2, a0\n	RESTORE_RET_ABI_STATE\n	jalr	a2\n",
            ),
        ),
    ),
    Bug(
        "G57",
        "7.2",
        "pieces are written in another kind of loop",
        (
            (PATCH, f"	while (len) {{\n{PIECE_7_2}", f"	for (; len; len -= size) {{\n{PIECE_7_2}"),
            (PATCH, "		insn += size;\n		len -= size;\n", "		insn += size;\n"),
        ),
    ),
    # messages
    Bug(
        "G40",
        "7.2",
        "a message with a fix, a stable tag and a change log behind its end",
        (WORDED,),
        body=(
            'Say why.\n\nFixes: b2137c3b6d7a ("riscv: ftrace: prepare ftrace for atomic code patching")\n'
            f"Cc: stable@vger.kernel.org # 6.16+\n{SIGNED}---\nChanges in v2:\n - reword\n"
        ),
    ),
    Bug(
        "G41",
        "7.2",
        "a message with a log and a link longer than its lines",
        (WORDED,),
        body=(
            f"A boot says:\n\n{LOG}\nSay why.\n\n"
            f"Link: https://lore.kernel.org/linux-riscv/20260101000000.12345-1-somebody-with-a-long-name@example.org/\n{SIGNED}"
        ),
    ),
    Bug(
        "G42",
        "7.2",
        "a message by two people",
        (WORDED,),
        body=(
            "Say why.\n\nCo-developed-by: B. Friend <b@example.org>\nSigned-off-by: B. Friend <b@example.org>\n"
            + SIGNED
        ),
    ),
    Bug("G43", "7.2", "a patch of a series", (WORDED,), subject="[PATCH v3 02/10] riscv: ftrace: correct a comment"),
]
