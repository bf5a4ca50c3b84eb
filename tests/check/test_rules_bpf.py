# SPDX-License-Identifier: GPL-2.0-or-later
"""What the rules about the BPF JIT say of patches to a JIT of a few lines, and what they leave alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from genpatch.check.bpf import faults_of
from genpatch.check.change import Texts
from genpatch.check.patches import read_patches
from genpatch.check.run import check_patches
from genpatch.emit.tree import open_tree
from tests.check.trees import BPF, diff_of, toy

JIT_H = "arch/riscv/net/bpf_jit.h"
REGISTERS = "".join(
    f"	RV_REG_{name} =	{number},\n"
    for number, name in (
        *enumerate(("ZERO", "RA", "SP")),
        *((5, "T0"), (6, "T1"), (8, "FP"), (9, "S1")),
        *((10 + n, f"A{n}") for n in range(8)),
        *((22, "S6"), (28, "T3")),
    )
)
HEADER = f"enum {{\n{REGISTERS}}};\n"
JIT = """\
#define RV_FENTRY_NINSNS 2
#define RV_FENTRY_NBYTES (RV_FENTRY_NINSNS * 4)
#define LONGEST 0x7FFF7FF7FF7FF7FF
#define RV_REG_TCC RV_REG_A6

static void emit_imm(u8 rd, s64 val, struct rv_jit_context *ctx)
{
	emit_lui(rd, val >> 12, ctx);
	if (val > 0x7fffffff || val < -0x7fffffff) {
		emit_slli(rd, rd, 12, ctx);
		emit_addi(rd, rd, val & 0xfff, ctx);
	}
}

static int emit_pair(u8 rd, s64 off, bool fixed, struct rv_jit_context *ctx)
{
	if (off && fixed && is_21b_int(off)) {
		emit(rv_jal(rd, off >> 1), ctx);
		return 0;
	}
	emit(rv_auipc(RV_REG_T1, off >> 12), ctx);
	emit(rv_jalr(rd, RV_REG_T1, off & 0xfff), ctx);
	return 0;
}

static int emit_call(u64 addr, bool fixed, struct rv_jit_context *ctx)
{
	s64 off = 0;

	if (ctx->insns)
		off = addr - (u64)(long)(ctx->ro_insns + ctx->ninsns);
	return emit_pair(RV_REG_RA, off, fixed, ctx);
}

static int gen_jump_or_nops(void *target, void *ip, u32 *insns, bool is_call)
{
	struct rv_jit_context ctx;

	ctx.ninsns = 0;
	ctx.insns = (u16 *)insns;
	if (!target) {
		emit(rv_nop(), &ctx);
		emit(rv_nop(), &ctx);
		return 0;
	}
	return emit_pair(is_call ? RV_REG_T0 : RV_REG_ZERO, (s64)(target - ip), false, &ctx);
}

static void run_one(struct prog *p, int args_off, int run_off, int ret_off, bool keep, struct rv_jit_context *ctx)
{
	int branch;

	emit_imm(RV_REG_A0, (s64)p, ctx);
	emit_addi(RV_REG_A1, RV_REG_FP, -run_off, ctx);
	emit_call((u64)prog_enter(p), true, ctx);
	emit_mv(RV_REG_S1, RV_REG_A0, ctx);
	branch = ctx->ninsns;
	emit(rv_nop(), ctx);
	emit_addi(RV_REG_A0, RV_REG_FP, -args_off, ctx);
	emit_call((u64)p->bpf_func, true, ctx);
	if (keep)
		emit_sd(RV_REG_FP, -ret_off, RV_REG_A0, ctx);
	if (ctx->insns)
		*(u32 *)(ctx->insns + branch) = rv_beq(RV_REG_A0, RV_REG_ZERO, ctx->ninsns - branch);
	emit_imm(RV_REG_A0, (s64)p, ctx);
	emit_mv(RV_REG_A1, RV_REG_S1, ctx);
	emit_addi(RV_REG_A2, RV_REG_FP, -run_off, ctx);
	emit_call((u64)prog_exit(p), true, ctx);
}

static int
__arch_prepare_bpf_trampoline(struct bpf_tramp_image *im, const struct btf_func_model *m,
	struct bpf_tramp_nodes *tnodes, void *func_addr, u32 flags, struct rv_jit_context *ctx)
{
	int i, size = 16, ret_off, args_off, count_off, run_off, s1_off, stack_off;
	bool direct = flags & BPF_TRAMP_F_INDIRECT;
	int slots = 0, on_stack;

	for (i = 0; i < m->nr_args; i++)
		slots += round_up(m->arg_size[i], 8) / 8;
	on_stack = slots > 8 ? slots - 8 : 0;

	size += 16;
	ret_off = size;
	size += slots * 8;
	args_off = size;
	size += 8;
	count_off = size;
	size += 8;
	size += sizeof(struct bpf_tramp_run_ctx);
	run_off = size;
	size += 8;
	s1_off = size;
	size = round_up(size + on_stack * 8, 16);
	stack_off = size;

	if (!direct) {
		emit_addi(RV_REG_SP, RV_REG_SP, -16, ctx);
		emit_sd(RV_REG_SP, 8, RV_REG_RA, ctx);
		emit_sd(RV_REG_SP, 0, RV_REG_FP, ctx);
		emit_addi(RV_REG_FP, RV_REG_SP, 16, ctx);
	}
	emit_addi(RV_REG_SP, RV_REG_SP, -size, ctx);
	emit_sd(RV_REG_SP, size - 8, direct ? RV_REG_RA : RV_REG_T0, ctx);
	emit_sd(RV_REG_SP, size - 16, RV_REG_FP, ctx);
	emit_addi(RV_REG_FP, RV_REG_SP, size, ctx);
	emit_sd(RV_REG_FP, -s1_off, RV_REG_S1, ctx);
	emit_imm(RV_REG_T1, (s64)func_addr, ctx);
	emit_sd(RV_REG_FP, -(count_off + 8), RV_REG_T1, ctx);
	emit_li(RV_REG_T1, slots, ctx);
	emit_sd(RV_REG_FP, -count_off, RV_REG_T1, ctx);
	for (i = 0; i < slots; i++) {
		if (i < 8) {
			emit_sd(RV_REG_FP, -args_off + i * 8, RV_REG_A0 + i, ctx);
			continue;
		}
		emit_ld(RV_REG_T1, 16 + (i - 8) * 8, RV_REG_FP, ctx);
		emit_sd(RV_REG_FP, -args_off + i * 8, RV_REG_T1, ctx);
	}

	if (flags & BPF_TRAMP_F_CALL_ORIG) {
		emit_imm(RV_REG_A0, ctx->insns ? (s64)im : LONGEST, ctx);
		emit_call((u64)image_enter, true, ctx);
	}
	run_one(m->progs, args_off, run_off, ret_off, flags & BPF_TRAMP_F_RET_FENTRY_RET, ctx);
	if (flags & BPF_TRAMP_F_CALL_ORIG) {
		for (i = 0; i < min(slots, 8); i++)
			emit_ld(RV_REG_A0 + i, -args_off + i * 8, RV_REG_FP, ctx);
		for (i = 0; i < on_stack; i++) {
			emit_ld(RV_REG_T1, -args_off + (8 + i) * 8, RV_REG_FP, ctx);
			emit_sd(RV_REG_FP, -stack_off + i * 8, RV_REG_T1, ctx);
		}
		emit_call((u64)func_addr + RV_FENTRY_NBYTES, true, ctx);
		emit_sd(RV_REG_FP, -ret_off, RV_REG_A0, ctx);
		emit_sd(RV_REG_FP, -ret_off + 8, RV_REG_A5, ctx);
		emit_imm(RV_REG_A0, ctx->insns ? (s64)im : LONGEST, ctx);
		emit_call((u64)image_exit, true, ctx);
	}
	if (flags & BPF_TRAMP_F_RESTORE_REGS)
		for (i = 0; i < min(slots, 8); i++)
			emit_ld(RV_REG_A0 + i, -args_off + i * 8, RV_REG_FP, ctx);
	if (flags & (BPF_TRAMP_F_CALL_ORIG | BPF_TRAMP_F_RET_FENTRY_RET)) {
		emit_ld(RV_REG_A0, -ret_off, RV_REG_FP, ctx);
		emit_ld(RV_REG_A5, -ret_off + 8, RV_REG_FP, ctx);
	}
	emit_ld(RV_REG_S1, -s1_off, RV_REG_FP, ctx);
	emit_ld(direct ? RV_REG_RA : RV_REG_T0, size - 8, RV_REG_SP, ctx);
	emit_ld(RV_REG_FP, size - 16, RV_REG_SP, ctx);
	emit_addi(RV_REG_SP, RV_REG_SP, size, ctx);
	if (!direct) {
		emit_ld(RV_REG_RA, 8, RV_REG_SP, ctx);
		emit_ld(RV_REG_FP, 0, RV_REG_SP, ctx);
		emit_addi(RV_REG_SP, RV_REG_SP, 16, ctx);
	}
	if (direct || flags & BPF_TRAMP_F_SKIP_FRAME)
		emit_jalr(RV_REG_ZERO, RV_REG_RA, 0, ctx);
	else
		emit_jalr(RV_REG_ZERO, RV_REG_T0, 0, ctx);
	return ctx->ninsns;
}

static void __build_epilogue(bool is_tail_call, struct rv_jit_context *ctx)
{
	emit_ld(RV_REG_RA, 24, RV_REG_SP, ctx);
	emit_ld(RV_REG_FP, 16, RV_REG_SP, ctx);
	emit_ld(RV_REG_S1, 8, RV_REG_SP, ctx);
	emit_addi(RV_REG_SP, RV_REG_SP, 32, ctx);
	emit_jalr(RV_REG_ZERO, is_tail_call ? RV_REG_T3 : RV_REG_RA,
			is_tail_call ? (RV_FENTRY_NINSNS + 1) * 4 : 0, ctx);
}

void bpf_jit_build_prologue(struct rv_jit_context *ctx)
{
	int i;

	for (i = 0; i < RV_FENTRY_NINSNS; i++)
		emit(rv_nop(), ctx);
	emit(rv_addi(RV_REG_TCC, RV_REG_ZERO, MAX_TAIL_CALL_CNT), ctx);
	emit_addi(RV_REG_SP, RV_REG_SP, -32, ctx);
	emit_sd(RV_REG_SP, 24, RV_REG_RA, ctx);
	emit_sd(RV_REG_SP, 16, RV_REG_FP, ctx);
	emit_sd(RV_REG_SP, 8, RV_REG_S1, ctx);
}
"""


def tree(tmp_path: Path) -> Path:
    root = toy(tmp_path)
    (root / BPF).parent.mkdir(parents=True, exist_ok=True)
    (root / BPF).write_text(JIT, encoding="utf-8")
    (root / JIT_H).write_text(HEADER, encoding="utf-8")
    return root


def said(tmp_path: Path, *swaps: tuple[str, str]) -> list[tuple[str, str]]:
    """(rule, text of the line that is named) of what is found in a patch."""
    new = JIT
    for was, becomes in swaps:
        assert new.count(was) == 1, was
        new = new.replace(was, becomes)
    checked = check_patches(read_patches(diff_of(BPF, JIT, new).encode(), "p"), open_tree(tree(tmp_path)))
    assert not checked.skipped
    return [(each.rule, new.split("\n")[each.line - 1].strip()) for each in checked.findings]


def test_the_toy_is_right(tmp_path: Path) -> None:
    assert faults_of(Texts(open_tree(tree(tmp_path)))) == ((), {})


@pytest.mark.parametrize(
    ("swap", "rule", "line"),
    [
        (("func_addr + RV_FENTRY_NBYTES", "func_addr + 4"), "GP530", "emit_call((u64)func_addr + 4, true, ctx);"),
        (("func_addr + RV_FENTRY_NBYTES", "func_addr"), "GP530", "emit_call((u64)func_addr, true, ctx);"),
        (
            ("func_addr + RV_FENTRY_NBYTES", "(flags & BPF_TRAMP_F_ORIG_STACK ? func_addr + 8 : func_addr)"),
            "GP530",
            "emit_call((u64)(flags & BPF_TRAMP_F_ORIG_STACK ? func_addr + 8 : func_addr), true, ctx);",
        ),
        (
            ("bool direct = flags & BPF_TRAMP_F_INDIRECT;", "bool direct = 0;"),
            "GP531",
            "bool direct = 0;",
        ),
        (
            ("	emit_ld(RV_REG_S1, -s1_off, RV_REG_FP, ctx);\n", "	emit_ld(RV_REG_S1, -run_off, RV_REG_FP, ctx);\n"),
            "GP531",
            "emit_ld(RV_REG_S1, -run_off, RV_REG_FP, ctx);",
        ),
        (("	size += 8;\n	s1_off = size;\n", "	s1_off = size - 8;\n"), "GP531", "s1_off = size - 8;"),
        (("round_up(size + on_stack * 8, 16)", "size"), "GP531", "size = size;"),
        (
            ("emit_jalr(RV_REG_ZERO, RV_REG_T0, 0, ctx)", "emit_jalr(RV_REG_ZERO, RV_REG_RA, 0, ctx)"),
            "GP531",
            "emit_jalr(RV_REG_ZERO, RV_REG_RA, 0, ctx);",
        ),
        (
            ("	emit_mv(RV_REG_A1, RV_REG_S1, ctx);\n", "	emit_mv(RV_REG_A1, RV_REG_A0, ctx);\n"),
            "GP531",
            "emit_mv(RV_REG_A1, RV_REG_A0, ctx);",
        ),
        (
            ("rv_beq(RV_REG_A0, RV_REG_ZERO, ctx->ninsns - branch)", "rv_beq(RV_REG_A0, RV_REG_ZERO, 3)"),
            "GP531",
            "*(u32 *)(ctx->insns + branch) = rv_beq(RV_REG_A0, RV_REG_ZERO, 3);",
        ),
        (
            ("is_call ? RV_REG_T0 : RV_REG_ZERO", "is_call ? RV_REG_RA : RV_REG_ZERO"),
            "GP531",
            "return emit_pair(is_call ? RV_REG_RA : RV_REG_ZERO, (s64)(target - ip), false, &ctx);",
        ),
        (
            ("		emit_imm(RV_REG_A0, ctx->insns ? (s64)im : LONGEST, ctx);\n		emit_call((u64)image_exit",
             "		emit_imm(RV_REG_A0, (s64)im, ctx);\n		emit_call((u64)image_exit"),
            "GP532",
            "emit_imm(RV_REG_A0, (s64)im, ctx);",
        ),
        (("	if (off && fixed &&", "	if (fixed &&"), "GP532", "if (fixed && is_21b_int(off)) {"),
        (("(RV_FENTRY_NINSNS + 1) * 4", "RV_FENTRY_NBYTES"), "GP533", "is_tail_call ? RV_FENTRY_NBYTES : 0, ctx);"),
        (
            ("emit_ld(RV_REG_S1, 8, RV_REG_SP", "emit_ld(RV_REG_S1, 0, RV_REG_SP"),
            "GP533",
            "emit_ld(RV_REG_S1, 0, RV_REG_SP, ctx);",
        ),
        (
            ("(s64)(target - ip), false, &ctx)", "(s64)(target - ip), true, &ctx)"),
            "GP534",
            "return emit_pair(is_call ? RV_REG_T0 : RV_REG_ZERO, (s64)(target - ip), true, &ctx);",
        ),
    ],
)  # fmt: skip
def test_what_is_found(tmp_path: Path, swap: tuple[str, str], rule: str, line: str) -> None:
    assert (rule, line) in said(tmp_path, swap)
    assert {each for each, _ in said(tmp_path, swap)} == {rule}


@pytest.mark.parametrize(
    "swaps",
    [
        [("func_addr + RV_FENTRY_NBYTES", "func_addr + RV_FENTRY_NINSNS * 4")],
        [("	size += 8;\n	s1_off = size;\n", "	size += 24;\n	s1_off = size;\n")],
        [("bool direct = flags & BPF_TRAMP_F_INDIRECT;", "bool direct = !!(flags & BPF_TRAMP_F_INDIRECT);")],
        [
            ("	emit_sd(RV_REG_SP, size - 16, RV_REG_FP, ctx);\n", ""),
            ("	emit_sd(RV_REG_SP, size - 8, direct",
             "	emit_sd(RV_REG_SP, size - 16, RV_REG_FP, ctx);\n	emit_sd(RV_REG_SP, size - 8, direct"),
        ],
        [("(RV_FENTRY_NINSNS + 1) * 4", "RV_FENTRY_NBYTES + 4")],
        [("	emit_ld(RV_REG_RA, 24, RV_REG_SP, ctx);\n", ""),
         ("	emit_addi(RV_REG_SP, RV_REG_SP, 32, ctx);\n",
          "	emit_ld(RV_REG_RA, 24, RV_REG_SP, ctx);\n	emit_addi(RV_REG_SP, RV_REG_SP, 32, ctx);\n")],
        [("		emit(rv_nop(), &ctx);\n		emit(rv_nop(), &ctx);\n",
          "		int i;\n\n		for (i = 0; i < RV_FENTRY_NINSNS; i++)\n			emit(rv_nop(), &ctx);\n")],
        [("	int branch;\n", "	int branch = 0;\n")],
    ],
)  # fmt: skip
def test_what_is_left_alone(tmp_path: Path, swaps: list[tuple[str, str]]) -> None:
    assert said(tmp_path, *swaps) == []


def test_what_is_no_longer_understood_is_said(tmp_path: Path) -> None:
    new = JIT.replace("	size += 16;\n	ret_off", "	size += frames->first.size[2]->of(m);\n	ret_off")
    checked = check_patches(read_patches(diff_of(BPF, JIT, new).encode(), "p"), open_tree(tree(tmp_path)))
    assert not checked.findings
    assert any("GP531" in each and "not understood" in each for each in checked.skipped)


def test_what_was_wrong_before_is_not_the_patch_s(tmp_path: Path) -> None:
    root = tree(tmp_path)
    old = JIT.replace("func_addr + RV_FENTRY_NBYTES", "func_addr")
    (root / BPF).write_text(old, encoding="utf-8")
    diff = diff_of(BPF, old, old.replace("	int branch;\n", "	int branch = 0;\n"))
    assert check_patches(read_patches(diff.encode(), "p"), open_tree(root)).findings == ()
