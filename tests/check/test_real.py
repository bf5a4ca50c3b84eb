# SPDX-License-Identifier: GPL-2.0-or-later
"""Patches to real trees; set GENPATCH_KERNEL_SOURCES to trees, separated as in PATH."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from genpatch.check.patches import read_patches
from genpatch.check.run import check_patches
from genpatch.emit.run import find_recipe, make_series
from genpatch.emit.tree import open_tree
from tests.check.trees import BPF, FTRACE, HEADER, KCONFIG, MAKEFILE, PATCH, diff_of
from tests.emit.trees import copied, real

JIT_HEADER, JIT_CORE = "arch/riscv/net/bpf_jit.h", "arch/riscv/net/bpf_jit_core.c"
LOCK = "	guard(mutex)(&text_mutex);\n\n	ret = ftrace_rec_set_nop_ops(rec);\n	if (ret)\n		return ret;\n"
LATE = "	ret = ftrace_rec_set_nop_ops(rec);\n	if (ret)\n		return ret;\n\n	guard(mutex)(&text_mutex);\n"
FLUSH = "	if (!ret)\n		flush_icache_range((uintptr_t)addr, (uintptr_t)addr + len);\n"


def found(root: Path, data: str) -> list[tuple[str, str]]:
    checked = check_patches(read_patches(data.encode(), "p"), open_tree(root))
    return [(each.rule, each.file) for each in checked.findings]


def broken(root: Path, path: str, *swaps: tuple[str, str]) -> list[tuple[str, str]]:
    """What is found in a patch that replaces parts of a real file."""
    old = new = (root / path).read_text(encoding="utf-8")
    for was, becomes in swaps:
        assert was in new
        new = new.replace(was, becomes)
    return found(root, diff_of(path, old, new))


@pytest.mark.parametrize("name", ["hi20-check", "cfi-prefix"])
def test_series_for_7_2(tmp_path: Path, name: str) -> None:
    root = copied("7.2", tmp_path)
    series = make_series(open_tree(root), find_recipe(name))
    assert found(root, "".join(mail.text for mail in series.mails)) == []


def test_no_preempt_and_what_it_guards_against(tmp_path: Path) -> None:
    root = copied("6.1", tmp_path)
    assert broken(root, KCONFIG, ("!XIP_KERNEL && !PREEMPTION", "!XIP_KERNEL")) == [("GP513", KCONFIG)]
    text = (root / KCONFIG).read_text(encoding="utf-8").replace("!XIP_KERNEL && !PREEMPTION", "!XIP_KERNEL")
    (root / KCONFIG).write_text(text, encoding="utf-8")
    series = make_series(open_tree(root), find_recipe("no-preempt"))
    assert found(root, "".join(mail.text for mail in series.mails)) == []


def test_bpf_sled_and_what_it_mends(tmp_path: Path) -> None:
    root = copied("6.12", tmp_path)
    longer = broken(root, BPF, ("#define RV_FENTRY_NINSNS 2", "#define RV_FENTRY_NINSNS 4"))
    assert longer == [("GP511", BPF), ("GP535", BPF)]  # and more of live code is written as one
    text = (root / BPF).read_text(encoding="utf-8").replace("#define RV_FENTRY_NINSNS 2", "#define RV_FENTRY_NINSNS 4")
    (root / BPF).write_text(text, encoding="utf-8")
    series = make_series(open_tree(root), find_recipe("bpf-sled"))
    assert found(root, "".join(mail.text for mail in series.mails)) == []


@pytest.mark.parametrize("version", ["6.12", "7.2"])
def test_bpf_poke_and_what_it_counts(tmp_path: Path, version: str) -> None:
    root = copied(version, tmp_path)
    for path in (JIT_HEADER, JIT_CORE):
        shutil.copy(real(version) / path, root / path)
    series = make_series(open_tree(root), find_recipe("bpf-poke"))
    assert found(root, "".join(mail.text for mail in series.mails)) == []
    for change in series.patches[0].changes:
        (root / change.path).write_text(change.new, encoding="utf-8")
    skipped = ("RV_FENTRY_NINSNS + 1) * 4 : 0", "RV_FENTRY_NINSNS + 2) * 4 : 0")
    assert broken(root, BPF, skipped) == [("GP533", BPF)]
    assert ("GP533", BPF) in broken(root, JIT_HEADER, ("	u64 target;\n", "	u32 target;\n"))
    assert ("GP533", BPF) in broken(root, BPF, ("	emit(rv_auipc(RV_REG_T0, 0), ctx);\n", ""))


def test_prefix_nops_in_every_build(tmp_path: Path) -> None:
    root = copied("7.2", tmp_path)
    old = (root / MAKEFILE).read_text(encoding="utf-8")
    (patch,) = make_series(open_tree(root), find_recipe("cfi-prefix")).patches
    (change,) = patch.changes
    (root / MAKEFILE).write_text(change.new, encoding="utf-8")
    assert found(root, diff_of(MAKEFILE, change.new, old)) == [("GP512", MAKEFILE)]


@pytest.mark.parametrize(
    ("version", "path", "swap", "rule"),
    [
        ("7.2", FTRACE, (LOCK, LATE), "GP514"),
        ("7.2", FTRACE, ("	flush_icache_all();\n", ""), "GP515"),
        ("7.2", FTRACE, ("return fentry_ip - MCOUNT_AUIPC_SIZE", "return fentry_ip"), "GP511"),
        ("7.2", FTRACE, ("return addr + 8 + MCOUNT_AUIPC_SIZE", "return addr + 16 + MCOUNT_AUIPC_SIZE"), "GP511"),
        ("7.2", HEADER, ("MCOUNT_INSN_SIZE	4", "MCOUNT_INSN_SIZE	8"), "GP513"),
        ("6.12", FTRACE, ("		local_flush_icache_all();\n", ""), "GP515"),
        ("6.12", FTRACE, ("	mutex_lock(&text_mutex);\n	out =", "	out ="), "GP514"),
        ("6.12", MAKEFILE, ("entry=4\n", "entry=8\n"), "GP511"),
        ("6.12", HEADER, ("MCOUNT_INSN_SIZE 8", "MCOUNT_INSN_SIZE 16"), "GP511"),
        ("6.1", PATCH, ("		flush_icache_range((uintptr_t) tp, (uintptr_t) tp + len);", "		;"), "GP515"),
        (
            "6.1",
            FTRACE,
            ("if (patch_text_nosync((void *)rec->ip, nops", "if (patch_insn_write((void *)rec->ip, nops"),
            "GP515",
        ),
        ("6.1", FTRACE, ("	mutex_lock(&text_mutex);\n	out =", "	out ="), "GP514"),
    ],
)
def test_what_was_broken_before(tmp_path: Path, version: str, path: str, swap: tuple[str, str], rule: str) -> None:
    assert rule in {rule for rule, _ in broken(copied(version, tmp_path), path, swap)}


def test_the_flush_of_both_writers(tmp_path: Path) -> None:
    assert broken(copied("7.2", tmp_path), PATCH, (FLUSH, "")) == [("GP515", PATCH)] * 2


@pytest.mark.parametrize("version", ["6.1", "6.12", "7.2"])
@pytest.mark.parametrize(
    ("path", "swap"),
    [
        (FTRACE, ("#include <linux/memory.h>\n", "#include <linux/memory.h>\n#include <linux/mm.h>\n")),
        (FTRACE, ("/*\n * Most of this function is copied from arm64.\n */\n", "")),
        (FTRACE, ("unsigned long old;\n", "unsigned long before;\n")),
        (FTRACE, ("int ret;\n", "int ret = 0;\n")),
        (PATCH, ("	int ret;\n", "	int ret = 0;\n")),
        (PATCH, ("lockdep_assert_held(&text_mutex);\n", "lockdep_assert_held(&text_mutex);\n	might_patch(addr);\n")),
        (PATCH, ("static void patch_unmap(int fixmap)\n", "static void __patch patch_unmap(int fixmap)\n")),
        (HEADER, ("#define MCOUNT_INSN_SIZE", "/* bytes */\n#define MCOUNT_INSN_SIZE")),
        (HEADER, ("#define JALR_SIGN_MASK		(0x00000800)", "#define JALR_SIGN_MASK		BIT(11)")),
        (KCONFIG, ("config RISCV\n	def_bool y\n", "config RISCV\n	def_bool y\n	select ARCH_HAS_NOTHING\n")),
        (
            MAKEFILE,
            ("	KBUILD_CPPFLAGS += -DCC_USING", "	# said to the headers\n	KBUILD_CPPFLAGS += -DCC_USING"),
        ),
        (BPF, ("#include <linux/bpf.h>\n", "#include <linux/bpf.h>\n#include <linux/mm.h>\n")),
    ],
)
def test_harmless_patches(tmp_path: Path, version: str, path: str, swap: tuple[str, str]) -> None:
    assert broken(copied(version, tmp_path), path, swap) == []
