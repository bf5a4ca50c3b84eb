# SPDX-License-Identifier: GPL-2.0-or-later
"""What the rules that run small parts of the kernel, and those about marks, units, orders and errors, say of toys."""

from __future__ import annotations

from pathlib import Path

import pytest

from genpatch.check.patches import read_patches
from genpatch.check.run import check_patches
from genpatch.emit.tree import open_tree
from tests.check.trees import FILES, HEADER, MAKEFILE, PATCH, diff_of, mail, toy

LABEL = "arch/riscv/kernel/jump_label.c"
ALTERNATIVE = "arch/riscv/kernel/alternative.c"
MODULE = "arch/riscv/include/asm/module.h"
KPROBES = "arch/riscv/kernel/probes/kprobes.c"
JIT = "arch/riscv/net/bpf_jit_comp64.c"
JIT_H = "arch/riscv/net/bpf_jit.h"
KERNEL_MAKEFILE = "arch/riscv/kernel/Makefile"
DYN = "arch/riscv/kernel/mcount-dyn.S"
FTRACE = "arch/riscv/kernel/ftrace.c"

WRITER = """\
static void *patch_map(void *addr, const unsigned int slot)
{
	if (core_kernel_text((uintptr_t)addr))
		return (void *)set_fixmap_offset(slot, __pa_symbol(addr));
	return (void *)set_fixmap_offset(slot, page_to_phys(vmalloc_to_page(addr)) + offset_in_page(addr));
}

static int __patch_insn_write(void *addr, const void *insn, size_t len)
{
	bool two = offset_in_page(addr) + len > PAGE_SIZE;
	void *waddr;
	int ret;

	lockdep_assert_held(&text_mutex);
	if (two)
		patch_map(addr + PAGE_SIZE, FIX_TEXT_POKE1);
	waddr = patch_map(addr, FIX_TEXT_POKE0);
	ret = copy_to_kernel_nofault(waddr, insn, len);
	local_flush_icache_range((unsigned long)waddr, (unsigned long)waddr + len);
	clear_fixmap(FIX_TEXT_POKE0);
	if (two)
		clear_fixmap(FIX_TEXT_POKE1);

	return ret;
}

int patch_insn_write(void *addr, const void *insn, size_t len)
{
	size_t size;
	int ret;

	while (len) {
		size = min(len, PAGE_SIZE * 2 - offset_in_page(addr));
		ret = __patch_insn_write(addr, insn, size);
		if (ret)
			return ret;
		addr += size;
		insn += size;
		len -= size;
	}

	return 0;
}
NOKPROBE_SYMBOL(patch_insn_write);

int patch_text_nosync(void *addr, const void *insns, size_t len)
{
	int ret;

	ret = patch_insn_write(addr, insns, len);
	if (!ret)
		flush_icache_range((uintptr_t)addr, (uintptr_t)addr + len);

	return ret;
}
NOKPROBE_SYMBOL(patch_text_nosync);

int patch_both(void *one, void *other, u32 insn)
{
	int ret;

	ret = patch_insn_write(one, &insn, sizeof(insn));
	if (ret)
		return ret;
	ret = patch_insn_write(other, &insn, sizeof(insn));

	return ret;
}

#ifdef CONFIG_TOY
static int toy_write(void *addr, u32 insn)
{
	return patch_insn_write(addr, &insn, sizeof(insn));
}
#else
static int toy_write(void *addr, u32 insn) { return 0; }
#endif
"""
COPY = "	ret = copy_to_kernel_nofault(waddr, insn, len);\n"
FLUSH = "flush_icache_range((uintptr_t)addr, (uintptr_t)addr + len);\n\n"
JUMPS = """\
#define JAL 0x6fU
#define NOP 0x13U

void arch_jump_label_transform(struct jump_entry *entry, enum jump_label_type type)
{
	void *addr = (void *)jump_entry_code(entry);
	u32 insn = NOP;

	if (type == JUMP_LABEL_JMP) {
		long offset = jump_entry_target(entry) - jump_entry_code(entry);

		if (WARN_ON(offset & 1 || offset < -1048576 || offset >= 1048576))
			return;
		insn = JAL | (((u32)offset & GENMASK(19, 12)) << 0) | (((u32)offset & GENMASK(11, 11)) << 9) |
			(((u32)offset & GENMASK(10, 1)) << 20) | (((u32)offset & GENMASK(20, 20)) << 11);
	}
	mutex_lock(&text_mutex);
	patch_text_nosync(addr, &insn, sizeof(insn));
	mutex_unlock(&text_mutex);
}
"""
MOVES = """\
#define UPPER(x) ((x) & 0xfffff000)
#define FIELD(x) ({typeof(x) x_ = (x); (x_ >> 7) & 31; })

static void move_pair(void *at, u32 first, u32 second, int by)
{
	u32 call[2] = { first, second };
	s32 imm = (s32)UPPER(first) + ((s32)second >> 20);

	imm -= by;
	call[0] = (first & 0xfff) | UPPER(imm + 0x800);
	call[1] = (second & 0xfffff) | ((u32)imm << 20);
	patch_text_nosync(at, call, sizeof(u32) * 2);
}

static void move_jal(void *at, u32 insn, s32 imm, int by)
{
	imm -= by;
	insn &= 0xfff;
	insn |= (imm & 0xff000) | ((imm & 0x800) << 9) | ((imm & 0x7fe) << 20) | ((u32)(imm & 0x100000) << 11);
	patch_text_nosync(at, &insn, sizeof(u32));
}

void riscv_alternative_fix_offsets(void *ptr, unsigned int len, int by)
{
	int i;

	for (i = 0; i < len / 4; i++) {
		u32 insn = riscv_instruction_at(ptr + i * 4);

		if (riscv_insn_is_auipc(insn) && FIELD(insn) == 1 && i < len / 4 - 1) {
			move_pair(ptr + i * 4, insn, riscv_instruction_at(ptr + (i + 1) * 4), by);
			i++;
		} else if (riscv_insn_is_jal(insn)) {
			s32 imm = (s32)(insn & 0x80000000) >> 11 | (insn & 0xff000);

			imm |= ((insn >> 9) & 0x800) | ((insn >> 20) & 0x7fe);
			if (i * 4 + imm >= 0 && i * 4 + imm < (int)len)
				continue;
			move_jal(ptr + i * 4, insn, imm, by);
		}
	}
}
"""
ENTRY = """\
static inline struct plt_entry emit_plt_entry(unsigned long val, unsigned long plt, unsigned long got_plt)
{
	unsigned long offset = got_plt - plt;
	u32 hi20 = (offset + 0x800) & 0xfffff000;
	u32 lo12 = offset & 0xfff;

	return (struct plt_entry) {
		0x17 | (5 << 7) | hi20,
		0x3003 | (lo12 << 20) | (5 << 15) | (6 << 7),
		0x67 | (6 << 15)
	};
}
"""
PROBES = """\
struct toy {
	u32 *insn;
	void *addr;
};

static void __kprobes toy_slot(struct toy *p, size_t len)
{
	u32 insn = 0x00100073;

	patch_text_nosync((void *)p->insn + len, &insn, 4);
}
"""
SKIPS = """\
int arch_bpf_trampoline_skip(void *nop, void *target)
{
	u32 insn = rv_jal(0, (target - nop) >> 1);
	int ret;

	cpus_read_lock();
	mutex_lock(&text_mutex);
	ret = patch_text(nop, &insn, sizeof(insn));
	mutex_unlock(&text_mutex);
	cpus_read_unlock();

	return ret;
}

int toy_poke(void *at, u32 *insns)
{
	int ret;

	cpus_read_lock();
	mutex_lock(&text_mutex);
	ret = patch_text(at, insns, 8);
	mutex_unlock(&text_mutex);
	cpus_read_unlock();

	return ret;
}
"""
MAKES_JAL = """\
static inline u32 rv_jal(u8 rd, u32 imm)
{
	u32 bits = ((imm & 0x80000) << 12) | ((imm & 0x3ff) << 21) | ((imm & 0x400) << 10) | ((imm & 0x7f800) << 1);

	return bits | rd << 7 | 0x6f;
}
"""
EMITS = """\
static bool in_reach(s64 val)
{
	return -(1L << 31) - (1L << 11) <= val && val < (1L << 31) - (1L << 11);
}

static void emit_imm(u8 rd, s64 val, struct rv_jit_context *ctx)
{
	s64 upper = (val + (1 << 11)) >> 12;
	s64 lower = ((val & 0xfff) << 52) >> 52;

	if (-(1L << 31) <= val && val < (1L << 31)) {
		if (!upper) {
			emit_li(rd, lower, ctx);
			return;
		}
		emit_lui(rd, upper, ctx);
		emit_addiw(rd, rd, lower, ctx);
		return;
	}
	emit_imm(rd, upper, ctx);
	emit_slli(rd, rd, 12, ctx);
	emit_addi(rd, rd, lower, ctx);
}

static int emit_addr(u8 rd, u64 addr, bool extra_pass, struct rv_jit_context *ctx)
{
	s64 off = addr - (u64)(ctx->ro_insns + ctx->ninsns);

	if (extra_pass && !in_reach(off))
		return -ERANGE;
	emit(rv_auipc(rd, (off + (1 << 11)) >> 12), ctx);
	emit(rv_addi(rd, rd, off & 0xfff), ctx);
	return 0;
}

static int emit_jump_and_link(u8 rd, s64 rvoff, bool fixed_addr, struct rv_jit_context *ctx)
{
	if (rvoff && fixed_addr && is_21b_int(rvoff)) {
		emit(rv_jal(rd, rvoff >> 1), ctx);
		return 0;
	} else if (in_reach(rvoff)) {
		emit(rv_auipc(RV_REG_T1, (rvoff + (1 << 11)) >> 12), ctx);
		emit(rv_jalr(rd, RV_REG_T1, rvoff & 0xfff), ctx);
		return 0;
	}
	return -ERANGE;
}

static void emit_bcc(u8 cond, u8 rd, u8 rs, int rvoff, struct rv_jit_context *ctx)
{
	switch (cond) {
	case BPF_JGT:
		emit(rv_bltu(rs, rd, rvoff >> 1), ctx);
		return;
	case BPF_JSLE:
		emit(rv_bge(rs, rd, rvoff >> 1), ctx);
		return;
	}
}
"""
REGISTERS = "enum {\n	RV_REG_ZERO =	0,\n	RV_REG_T1 =	6,\n};\n"
ACCESSORS = """\
#define arch_ftrace_regs(fregs) ((struct __arch_ftrace_regs *)(fregs))

static inline unsigned long ftrace_regs_get_instruction_pointer(const struct ftrace_regs *fregs)
{
	return arch_ftrace_regs(fregs)->epc;
}

static inline void ftrace_regs_set_return_value(struct ftrace_regs *fregs, unsigned long ret)
{
	arch_ftrace_regs(fregs)->a0 = ret;
}

static inline void ftrace_override_function_with_return(struct ftrace_regs *fregs)
{
	arch_ftrace_regs(fregs)->epc = arch_ftrace_regs(fregs)->ra;
}
"""
GRAPH = """\
#define arch_ftrace_regs(fregs) ((struct __arch_ftrace_regs *)(fregs))

void ftrace_graph_func(unsigned long ip, unsigned long parent_ip, struct ftrace_ops *op, struct ftrace_regs *fregs)
{
	unsigned long *parent = &arch_ftrace_regs(fregs)->ra;
	unsigned long old = *parent;

	if (!function_graph_enter_regs(old, ip, arch_ftrace_regs(fregs)->s0, parent, fregs))
		*parent = (unsigned long)&return_to_handler;
}
"""
RETURNS_EPC = "	return arch_ftrace_regs(fregs)->epc;\n"
SETS_A0 = "	arch_ftrace_regs(fregs)->a0 = ret;"
SETS_BY_NAME = "	struct regs *r = arch_ftrace_regs(fregs);\n\n	r->a0 = ret;"
ASKS = """\
static int ask(void)
{
	WRITE_ONCE(text_asked, patch_text_nosync);
	smp_call_function(answer, NULL, 1);
	riscv_alternative_fix_offsets(there, 8, there - here);
	return 0;
}
"""
ARMS = """\
void __kprobes arch_disarm_kprobe(struct kprobe *p)
{
	size_t len = GET_INSN_LENGTH(p->opcode);

	patch_text(p->addr, &p->opcode, len);
}
"""
JUMPED = "arch/riscv/kernel/asked.c"
TOY_LOCKS = """\
	cpus_read_lock();
	mutex_lock(&text_mutex);
	ret = patch_text(at, insns, 8);
	mutex_unlock(&text_mutex);
	cpus_read_unlock();
"""


def _found(root: Path, path: str, old: str, swap: tuple[str, str], **others: str) -> list[str]:
    """Return the rules that find something in a patch; what is not judged is no pass."""
    assert old.count(swap[0]) == 1, swap[0]
    others_at = {"header": JIT_H, "assembly": DYN, "source": FTRACE}
    for name, text in (*((others_at[name], text) for name, text in others.items()), (path, old)):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text, encoding="utf-8")
    new = old.replace(*swap)
    checked = check_patches(read_patches(diff_of(path, old, new).encode(), "p"), open_tree(root))
    assert checked.findings or not checked.skipped, checked.skipped
    return sorted({each.rule for each in checked.findings})


@pytest.mark.parametrize(
    ("swap", "rule"),
    [
        (("addr + PAGE_SIZE", "addr + len"), "GP548"),
        (("	if (two)\n		clear_fixmap(FIX_TEXT_POKE1);\n", ""), "GP548"),
        (("clear_fixmap(FIX_TEXT_POKE1)", "clear_fixmap(FIX_TEXT_POKE0)"), "GP548"),
        ((COPY, f"{COPY}	if (ret)\n		return ret;\n"), "GP548"),
        (("		insn += size;\n", ""), "GP548"),
        (("PAGE_SIZE * 2 - offset_in_page(addr)", "PAGE_SIZE * 2"), "GP548"),
        (("return ret;\n		addr", "return 0;\n		addr"), "GP548"),
        (("(uintptr_t)addr, (uintptr_t)addr + len", "(uintptr_t)insns, (uintptr_t)insns + len"), "GP548"),
        (
            ("(uintptr_t)addr + len);\n\n	return ret;\n}\nNOK", "(uintptr_t)addr + 2);\n\n	return ret;\n}\nNOK"),
            "GP548",
        ),
        (
            ("	if (ret)\n		return ret;\n	ret = patch_insn_write(other", "	ret = patch_insn_write(other"),
            "GP554",
        ),
        (("	ret = patch_insn_write(other", "	patch_insn_write(other"), "GP554"),
        (("NOKPROBE_SYMBOL(patch_insn_write);\n", ""), "GP556"),
        (
            ("static int toy_write(void *addr, u32 insn)\n{", "static int toy_write(void *addr, u32 insn, int n)\n{"),
            "GP555",
        ),
        (("toy_write(void *addr, u32 insn) {", "toy_write(void *addr) {"), "GP555"),
    ],
)
def test_a_writer_that_is_wrong(tmp_path: Path, swap: tuple[str, str], rule: str) -> None:
    assert rule in _found(toy(tmp_path), PATCH, WRITER, swap)


@pytest.mark.parametrize(
    "swap",
    [
        ("offset_in_page(addr) + len > PAGE_SIZE", "offset_in_page(addr) > PAGE_SIZE - len"),
        ("addr + PAGE_SIZE", "(void *)((uintptr_t)addr + PAGE_SIZE)"),
        (
            "		addr += size;\n		insn += size;\n		len -= size;\n",
            "		len -= size;\n		insn += size;\n		addr += size;\n",
        ),
        (
            "	if (ret)\n		return ret;\n	ret = patch_insn_write(other",
            "	if (!ret)\n		ret = patch_insn_write(other",
        ),
        (FLUSH, FLUSH.replace("_range((uintptr_t)addr, (uintptr_t)addr + len)", "_all()")),
        (
            "static int toy_write(void *addr, u32 insn) { return 0; }",
            "static int toy_write(void *a, u32 n) { return -1; }",
        ),
    ],
)
def test_a_writer_that_is_right(tmp_path: Path, swap: tuple[str, str]) -> None:
    assert _found(toy(tmp_path), PATCH, WRITER, swap) == []


@pytest.mark.parametrize(
    ("path", "text", "swap", "rule"),
    [
        (LABEL, JUMPS, ("offset >= 1048576", "offset > 1048576"), "GP549"),
        (LABEL, JUMPS, ("offset < -1048576", "offset < -1048578"), "GP549"),
        (LABEL, JUMPS, ("GENMASK(10, 1)", "GENMASK(9, 1)"), "GP549"),
        (LABEL, JUMPS, ("<< 9)", "<< 8)"), "GP549"),
        (LABEL, JUMPS, ("u32 insn = NOP;", "u32 insn = 0;"), "GP549"),
        (LABEL, JUMPS, ("offset & 1 ||", "offset & 7 ||"), "GP549"),
        (ALTERNATIVE, MOVES, ("imm + 0x800", "imm"), "GP550"),
        (ALTERNATIVE, MOVES, ("	imm -= by;\n	call", "	imm += by;\n	call"), "GP550"),
        (ALTERNATIVE, MOVES, ("	imm -= by;\n	insn", "	insn"), "GP550"),
        (ALTERNATIVE, MOVES, (" && FIELD(insn) == 1", ""), "GP550"),
        (ALTERNATIVE, MOVES, (">> 7) & 31", ">> 8) & 31"), "GP550"),
        (ALTERNATIVE, MOVES, ("i * 4 + imm >= 0 && i * 4 + imm < (int)len", "imm < 0"), "GP550"),
        (MODULE, ENTRY, ("(offset + 0x800) & ", "offset & "), "GP551"),
        (MODULE, ENTRY, ("| (5 << 15)", "| (6 << 15)"), "GP551"),
        (MODULE, ENTRY, ("0x67 | (6 << 15)", "0x67 | (5 << 15)"), "GP551"),
        (KPROBES, PROBES, ("(void *)p->insn + len", "p->insn + len"), "GP552"),
        (KPROBES, PROBES, ("(void *)p->insn + len", "p->insn + sizeof(insn)"), "GP552"),
        (KPROBES, PROBES, ("__kprobes ", ""), "GP556"),
        (JIT, EMITS, ("	s64 upper = (val + (1 << 11)) >> 12;", "	s64 upper = val >> 12;"), "GP559"),
        (JIT, EMITS, ("emit_slli(rd, rd, 12, ctx)", "emit_slli(rd, rd, 11, ctx)"), "GP559"),
        (JIT, EMITS, ("rv_auipc(rd, (off + (1 << 11)) >> 12)", "rv_auipc(rd, off >> 12)"), "GP559"),
        (JIT, EMITS, ("< (1L << 31) - (1L << 11)", "< (1L << 31)"), "GP559"),
        (JIT, EMITS, ("rv_jal(rd, rvoff >> 1)", "rv_jal(rd, rvoff)"), "GP559"),
        (JIT, EMITS, ("is_21b_int(rvoff)", "is_22b_int(rvoff)"), "GP559"),
        (JIT, EMITS, ("rv_bltu(rs, rd", "rv_bltu(rd, rs"), "GP559"),
        (JIT, EMITS, ("rv_bge(rs, rd", "rv_bgeu(rs, rd"), "GP559"),
        (HEADER, ACCESSORS, (RETURNS_EPC, RETURNS_EPC.replace("epc", "ra")), "GP560"),
        (HEADER, ACCESSORS, ("->a0 = ret;", "->a1 = ret;"), "GP560"),
        (HEADER, ACCESSORS, ("->epc = arch_ftrace_regs(fregs)->ra;", "->ra = arch_ftrace_regs(fregs)->epc;"), "GP560"),
        (FTRACE, GRAPH, ("&arch_ftrace_regs(fregs)->ra;", "&arch_ftrace_regs(fregs)->epc;"), "GP560"),
        (FTRACE, GRAPH, ("(old, ip, ", "(old, parent_ip, "), "GP560"),
        (FTRACE, GRAPH, ("	if (!function", "	if (function"), "GP560"),
        (JUMPED, ASKS, ("answer, NULL, 1)", "answer, NULL, 0)"), "GP541"),
        (JUMPED, ASKS, ("there - here", "here - there"), "GP550"),
        (KPROBES, ARMS, ("patch_text(p->addr", "patch_text_nosync(p->addr"), "GP536"),
        (JIT, SKIPS, ("(target - nop) >> 1", "target - nop"), "GP547"),
        (JIT, SKIPS, ("(target - nop) >> 1", "(nop - target) >> 1"), "GP547"),
        (
            JIT,
            SKIPS,
            (TOY_LOCKS, "\n".join(TOY_LOCKS.split("\n")[at] for at in (1, 0, 2, 4, 3)) + "\n"),
            "GP553",
        ),
        (
            JIT,
            SKIPS,
            (
                TOY_LOCKS,
                "	guard(mutex)(&text_mutex);\n	guard(cpus_read_lock)();\n	ret = patch_text(at, insns, 8);\n",
            ),
            "GP553",
        ),
    ],
)
def test_what_is_run_and_wrong(tmp_path: Path, path: str, text: str, swap: tuple[str, str], rule: str) -> None:
    assert rule in _found(toy(tmp_path), path, text, swap, header=MAKES_JAL + REGISTERS)


@pytest.mark.parametrize(
    ("path", "text", "swap"),
    [
        (LABEL, JUMPS, ("-1048576 || offset >= 1048576", "-524288 || offset >= 524288")),
        (LABEL, JUMPS, ("	u32 insn = NOP;\n", "	u32 insn;\n\n	insn = 0x00000013;\n")),
        (
            LABEL,
            JUMPS,
            ("	mutex_lock(&text_mutex);\n", "	/* nobody else writes text now */\n	mutex_lock(&text_mutex);\n"),
        ),
        (ALTERNATIVE, MOVES, ("UPPER(imm + 0x800)", "(UPPER(imm) + ((imm & 0x800) << 1))")),
        (ALTERNATIVE, MOVES, ("	imm -= by;\n	call", "	imm = imm - by;\n	call")),
        (MODULE, ENTRY, ("offset & 0xfff;", "offset - hi20;")),
        (KPROBES, PROBES, ("(void *)p->insn + len", "(void *)((unsigned long)p->insn + len)")),
        (KPROBES, PROBES, ("(void *)p->insn + len", "p->insn + len / 4")),
        (KPROBES, PROBES, ("(void *)p->insn + len", "p->addr + len")),
        (JIT, EMITS, ("	s64 upper = (val + (1 << 11)) >> 12;", "	s64 upper = (val + 0x800) >> 12;")),
        (JIT, EMITS, ("rv_addi(rd, rd, off & 0xfff)", "rv_addi(rd, rd, off % 4096)")),
        (JIT, EMITS, ("rv_bltu(rs, rd", "rv_bltu(rs, (u8)rd")),
        (HEADER, ACCESSORS, (SETS_A0, SETS_BY_NAME)),
        (FTRACE, GRAPH, ("	if (!function", "	if (0 == function")),
        (JUMPED, ASKS, ("smp_call_function(answer", "on_each_cpu(answer")),
        (KPROBES, ARMS, ("	patch_text(p->addr", "	/* others are stopped */\n	patch_text(p->addr")),
        (JIT, SKIPS, ("(target - nop) >> 1", "(target - nop) / 2")),
        (
            JIT,
            SKIPS,
            (
                TOY_LOCKS,
                "	guard(cpus_read_lock)();\n	guard(mutex)(&text_mutex);\n	ret = patch_text(at, insns, 8);\n",
            ),
        ),
    ],
)
def test_what_is_run_and_right(tmp_path: Path, path: str, text: str, swap: tuple[str, str]) -> None:
    assert _found(toy(tmp_path), path, text, swap, header=MAKES_JAL + REGISTERS) == []


def test_what_cannot_be_run_is_said(tmp_path: Path) -> None:
    root = toy(tmp_path)
    path = root / LABEL
    path.write_text(JUMPS, encoding="utf-8")
    new = JUMPS.replace("	mutex_lock", "	unheard_of(&insn);\n	mutex_lock")
    checked = check_patches(read_patches(diff_of(LABEL, JUMPS, new).encode(), "p"), open_tree(root))
    assert not checked.findings
    assert any("GP549 was not judged" in each and "unheard_of" in each for each in checked.skipped)


def test_an_object_that_writes_text_is_traced(tmp_path: Path) -> None:
    old = (
        "CFLAGS_REMOVE_patch.o = $(CC_FLAGS_FTRACE)\nCFLAGS_REMOVE_irq.o = $(CC_FLAGS_FTRACE)\nobj-y += patch.o irq.o\n"
    )
    line = "CFLAGS_REMOVE_patch.o = $(CC_FLAGS_FTRACE)\n"
    assert _found(toy(tmp_path), KERNEL_MAKEFILE, old, (line, "")) == ["GP557"]
    assert _found(toy(tmp_path), KERNEL_MAKEFILE, old, (line.replace("patch", "irq"), "")) == []
    moved = f"ifdef CONFIG_FTRACE\n{line}endif\n"
    assert _found(toy(tmp_path), KERNEL_MAKEFILE, old, (line, moved)) == []
    assert _found(toy(tmp_path), KERNEL_MAKEFILE, old, (line, "ccflags-remove-y += $(CC_FLAGS_FTRACE)\n")) == []


def test_a_call_that_the_linker_may_shorten(tmp_path: Path) -> None:
    make = FILES[MAKEFILE].replace("ifeq ($(CONFIG_D", "LDFLAGS_vmlinux += --no-relax\nifeq ($(CONFIG_D", 1)
    assembly = "	.text\nftrace_call:\n	.global ftrace_call\n	call	ftrace_stub\n	jr	t0\n"
    source = FILES[FTRACE] + "\nvoid *patched(void)\n{\n	return &ftrace_call;\n}\n"
    gone = ("LDFLAGS_vmlinux += --no-relax\n", "")
    assert _found(toy(tmp_path), MAKEFILE, make, gone, assembly=assembly, source=source) == ["GP558"]
    kept = assembly.replace("	.text\n", "	.text\n	.option norelax\n")
    assert _found(toy(tmp_path), MAKEFILE, make, gone, assembly=kept, source=source) == []
    assert _found(toy(tmp_path), MAKEFILE, make, gone, assembly=assembly, source=FILES[FTRACE]) == []


SIGNED = "Signed-off-by: A. Hacker <a@example.org>\n"
FRIEND = "Co-developed-by: B. Friend <b@example.org>\n"


@pytest.mark.parametrize(
    ("body", "rules"),
    [
        (f"Why.\n\n{FRIEND}{SIGNED}", ["GP505"]),
        (f"Why.\n\n{FRIEND}Signed-off-by: B. Friend <B@example.org>\n{SIGNED}", []),
        (f"Why.\n\n{SIGNED}{FRIEND}", ["GP505"]),
        (f"Why.\n\nChanges in v3:\n- less\n\n{SIGNED}", ["GP506"]),
        (f"Why.\n\nv1 -> v2:\n- less\n\n{SIGNED}", ["GP506"]),
        (f"Why.\n\nChangelog:\n- less\n\n{SIGNED}", ["GP506"]),
        (f"Changes in how text is patched need a fence.\n\n{SIGNED}", []),
        (f"Why.\n\n{SIGNED}---\nChanges in v3:\n- less\n", []),
        (f"Changes since v6.12 made this wrong: fix it.\n\n{SIGNED}", []),
        (SIGNED, ["GP507"]),
        ('Fixes: 0123456789ab ("a thing")\n' + SIGNED, ["GP507"]),
        ("", ["GP507"]),
        (f"Why: because.\n\n{SIGNED}", []),
    ],
)
def test_messages(body: str, rules: list[str]) -> None:
    text = mail(diff_of(PATCH, FILES[PATCH], f"{FILES[PATCH]}\n"), body=body)
    assert [each.rule for each in check_patches(read_patches(text.encode(), "p"), None).findings] == rules


def test_a_file_that_no_rule_looks_at(tmp_path: Path) -> None:
    root = toy(tmp_path)
    path = "scripts/recordmcount.pl"
    (root / path).parent.mkdir(exist_ok=True)
    (root / path).write_text("a\n", encoding="utf-8")
    checked = check_patches(read_patches(diff_of(path, "a\n", "b\n").encode(), "p"), open_tree(root))
    assert [each for each in checked.skipped if path in each]
