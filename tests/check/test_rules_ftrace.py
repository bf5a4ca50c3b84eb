# SPDX-License-Identifier: GPL-2.0-or-later
"""What the rules about ftrace say of a small tree, and of whole steps between real ones.

Set GENPATCH_KERNEL_SOURCES to trees, separated as in PATH.
"""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import pytest

from genpatch.check.change import Texts, apply_patch
from genpatch.check.model import Skip
from genpatch.check.patches import read_patches
from genpatch.check.registry import all_rules
from genpatch.check.run import check_patches
from genpatch.emit.run import find_recipe, make_series
from genpatch.emit.series import Change, file_diff
from genpatch.emit.tree import open_tree
from tests.check.ftrace_toy import (
    ALIGNMENTS,
    CORE,
    DYN,
    MCOUNT,
    OFFSETS,
    SORT,
    TOY,
    TRACERS,
    WRAPPERS,
    planted,
)
from tests.check.trees import BPF, FTRACE, HEADER, KCONFIG, MAKEFILE, edited, mail
from tests.emit.trees import real

CODES = tuple(f"GP{number}" for number in range(516, 529))
SOURCES = (
    *(MAKEFILE, KCONFIG, HEADER, FTRACE, DYN, MCOUNT, OFFSETS, "arch/riscv/include/asm/ptrace.h"),
    *(TRACERS, ALIGNMENTS, SORT, BPF, CORE),
)


def found(root: Path, path: str, *swaps: tuple[str, str], **changes: str) -> list[str]:
    """Findings of these rules on the small tree, as FILE:LINE: RULE: TEXT."""
    diff = edited(path, *swaps, text=changes.get(path, TOY[path]))
    checked = check_patches(read_patches(mail(diff).encode(), "p"), open_tree(planted(root, **changes)))
    named = [each for each in checked.findings if each.rule in CODES]
    return [f"{each.file.split('/')[-1]}:{each.line}: {each.rule}: {each.message}" for each in named]


def test_the_rules_are_there() -> None:
    assert set(CODES) <= set(all_rules())


@pytest.mark.parametrize(
    ("path", "swaps", "said"),
    [
        (
            DYN,
            [("	REG_S	s0, FREGS_S0(sp)\n", ""), ("	REG_L	s0, FREGS_S0(sp)\n", "	mv	s0, t0\n")],
            ["mcount-dyn.S:14: GP516: ftrace_caller leaves with s0 not what it got, but what t0 was"],
        ),
        (
            DYN,
            [("	REG_L	a1, FREGS_A1(sp)\n", "	REG_L	a1, FREGS_A0(sp)\n")],
            ["mcount-dyn.S:17: GP516: ftrace_caller leaves with a1 not what it got, but what a0 was"],
        ),
        (
            DYN,
            [("	addi	sp, sp, 48\n	RESTORE\n", "	addi	sp, sp, 40\n	RESTORE\n")],
            [
                "mcount-dyn.S:50: GP516: ftrace_caller leaves with sp 8 bytes below where it was (every configuration)",
            ],
        ),
        (
            DYN,
            [
                ("	addi	sp, sp, -48\n", "	addi	sp, sp, -40\n"),
                ("	addi	sp, sp, 48\n", "	addi	sp, sp, 40\n"),
            ],
            [
                "mcount-dyn.S:24: GP516: ftrace_caller calls a function with sp 88 bytes below a multiple of 16"
                " (every configuration)",
                "GP516: ftrace_caller returns through t0, which is what a7 was and not what it got",
                "GP517: ftrace_caller has a frame of 40 bytes, and struct __arch_ftrace_regs has 48",
            ],
        ),
        (
            DYN,
            [("	REG_L	t0, FREGS_EPC(sp)\n", "	REG_L	t0, FREGS_RA(sp)\n")],
            [
                "mcount-dyn.S:13: GP516: ftrace_caller returns through t0, which is what ra was and not what it got"
                " (every configuration)"
            ],
        ),
        (
            DYN,
            [("	jr	t0\n", "	jalr	t0\n")],
            ["mcount-dyn.S:52: GP516: ftrace_caller leaves with ra not what it got, but something else"],
        ),
        (
            HEADER,
            [("		struct {\n", "		struct {\n			unsigned long first;\n")],
            ["ftrace.h:19: GP517: args[0] of struct __arch_ftrace_regs is not its a0 (every configuration)"],
        ),
        (
            DYN,
            [("	REG_S	t2, FREGS_T2(sp)\n", ""), ("	REG_L	t2, FREGS_T2(sp)\n", "")],
            ["mcount-dyn.S:41: GP516: ftrace_caller no longer keeps t2 (every configuration)"],
        ),
        (
            DYN,
            [("#else\n	la	t1, ftrace_stub\n#endif\n", "#else\n	bnez	t1, .Ltraced\n#endif\n")],
            ["mcount-dyn.S:40: GP516: ftrace_caller tests t1, which nothing has set (DYNAMIC_FTRACE_WITH_CALL_OPS=n)"],
        ),
        (
            DYN,
            [
                ("	REG_S	a7, 40(sp)\n", "	REG_S	a7, 112(sp)\n"),
                ("	REG_L	a7, 40(sp)\n", "	REG_L	a7, 112(sp)\n"),
            ],
            [
                "mcount-dyn.S:30: GP516: ftrace_caller stores a7 at 112(sp), 16 bytes above its own frame"
                " (every configuration)"
            ],
        ),
        (
            MCOUNT,
            [
                ("	addi	sp, sp, -FREGS_SIZE_ON_STACK\n", "	addi	sp, sp, -32\n"),
                ("	addi	sp, sp, FREGS_SIZE_ON_STACK\n", "	addi	sp, sp, 32\n"),
            ],
            [
                "mcount.S:10: GP516: return_to_handler stores a1 at FREGS_A1(sp), 0 bytes above its own frame",
                "mcount.S:8: GP517: return_to_handler has a frame of 32 bytes, and struct __arch_ftrace_regs has 48",
            ],
        ),
        (
            DYN,
            [
                (
                    "	REG_S	a0, FREGS_A0(sp)\n	REG_S	a1, FREGS_A1(sp)\n",
                    "	REG_S	a1, FREGS_A0(sp)\n	REG_S	a0, FREGS_A1(sp)\n",
                )
            ],
            [
                "GP516: ftrace_caller leaves with a0",
                "GP516: ftrace_caller leaves with a1",
                "GP517: ftrace_caller stores a1 where",
                "GP517",
            ],
        ),
        (
            OFFSETS,
            [
                (
                    "FREGS_S0, offsetof(struct __arch_ftrace_regs, s0)",
                    "FREGS_S0, offsetof(struct __arch_ftrace_regs, t2)",
                )
            ],
            [
                "GP516",
                "asm-offsets.c:8: GP517: FREGS_S0 is the offset of t2, not of the member that it is named",
            ],
        ),
        (
            HEADER,
            [
                ("->epc;\n}\n", "->epc + arch_ftrace_regs(fregs)->flags;\n}\n"),
                ("	unsigned long t2;\n", "	unsigned long t2;\n	unsigned long flags;\n"),
            ],
            ["ftrace.h:36: GP518: get_ip() reads flags of struct __arch_ftrace_regs, ftrace_caller does not store it"],
        ),
        (
            FTRACE,
            [
                (
                    "	u32 nop = NOP4;\n\n	return patch_insn_write((void *)rec->ip,",
                    "	u32 nop = NOP4;\n\n	return patch_insn_write((void *)rec->ip - 4,",
                )
            ],
            [
                "ftrace.c:42: GP519: ftrace_make_nop() writes 4 bytes at entry+0, ftrace_make_call() writes 4 bytes at"
                " entry+4 (every configuration)"
            ],
        ),
        (
            FTRACE,
            [("(rec->ip - 12)", "(rec->ip - 8)")],
            [
                "ftrace.c:13: GP519: ftrace_init_nop() writes a pointer at entry-4: the function has 8 bytes of nops"
                " before its entry and 8 behind it (DYNAMIC_FTRACE_WITH_CALL_OPS=y)",
                "ftrace.c:13: GP519: ftrace_make_call() writes a pointer at entry-4",
            ],
        ),
        (
            DYN,
            [("	REG_L	a2, -16(t0)\n", "	REG_L	a2, -12(t0)\n")],
            [
                "mcount-dyn.S:35: GP519: ftrace_caller reads a pointer at entry-4, ftrace.c writes it at entry-8"
                " (DYNAMIC_FTRACE_WITH_CALL_OPS=y)"
            ],
        ),
        (
            DYN,
            [("	addi	a0, t0, -MCOUNT_JALR_SIZE\n", "	addi	a0, t0, -8\n")],
            [
                "mcount-dyn.S:32: GP519: ftrace_caller hands entry+0 to the tracers as ip, rec->ip is entry+4"
                " (every configuration)"
            ],
        ),
        (
            FTRACE,
            [("	if (!is_same_auipc(addr, FTRACE_ADDR, pc))\n", "	if (distance > NEAR)\n")],
            ["ftrace.c:32: GP520: ftrace_make_call() takes a distance of up to 2047 bytes for the same auipc"],
        ),
        (
            SORT,
            [("		before_func = 8;\n", "		before_func = 4;\n")],
            ["sorttable.c:8: GP521: sorttable looks 4 bytes before a function, the Makefile puts 8 bytes of"],
        ),
        (
            CORE,
            [
                ("		if (!addr) {\n			skipped++;\n			continue;\n		}\n\n", ""),
                ("		add(addr);\n", "		if (!addr)\n			continue;\n		add(addr);\n"),
            ],
            ["ftrace.c:6: GP521: ftrace_process_locs() tests behind ftrace_call_adjust() whether an entry"],
        ),
        (
            KCONFIG,
            [("	depends on $(cc-option,-fpatchable-function-entry=8)\n", "")],
            ["GP522: HAVE_DYNAMIC_FTRACE is offered with a compiler that does not know -fpatchable-function-entry"],
        ),
        (
            KCONFIG,
            [(" if DYNAMIC_FTRACE_WITH_ARGS && !CFI\n", " if DYNAMIC_FTRACE_WITH_ARGS\n")],
            ["GP522: HAVE_DYNAMIC_FTRACE_WITH_CALL_OPS is offered with CFI, where 8 bytes of nops move the hash"],
        ),
        (
            KCONFIG,
            [("	select FUNCTION_ALIGNMENT_8B if DYNAMIC_FTRACE_WITH_CALL_OPS\n", "")],
            ["GP523: the pointer before a function needs functions on a multiple of 8, Kconfig asks for 4"],
        ),
        (
            KCONFIG,
            [("CC_IS_CLANG || CC_HAS_MIN_FUNCTION_ALIGNMENT\n", "CC_IS_CLANG || CC_IS_GCC\n")],
            [
                "GP523: the pointer before a function needs functions on a multiple of 8, which gcc does not keep",
                "GP523",
            ],
        ),
        (
            FTRACE,
            [("static int set_ops(struct dyn_ftrace *rec, const struct ftrace_ops *ops) { return 0; }\n", "")],
            ["ftrace.c:34: GP524: set_ops is used where it is not defined (DYNAMIC_FTRACE_WITH_CALL_OPS=n)"],
        ),
        (
            DYN,
            [("#endif\n.Ltraced:\n", ".Ltraced:\n#endif\n")],
            ["mcount-dyn.S:37: GP524: ftrace_caller uses .Ltraced, which is not defined there"],
        ),
        (
            FTRACE,
            [("// toy\n", "// toy\n#ifdef CONFIG_DYNAMIC_FTRACE_WITH_CALLOPS\n#endif\n")],
            ["ftrace.c:2: GP525: CONFIG_DYNAMIC_FTRACE_WITH_CALLOPS is not defined by any Kconfig file;"],
        ),
        (
            HEADER,
            [("#define MCOUNT_INSN_SIZE	4", "#define MCOUNT_INSN_SIZE	2")],
            ["GP519", "ftrace.h:2: GP526: MCOUNT_INSN_SIZE is 2 now, the comment at it still says 4 bytes"],
        ),
        (
            HEADER,
            [("sym + 6, name", "sym + 8, name")],
            ["ftrace.h:14: GP527: arch_syscall_match_sym_name() skips 8 letters, __toy_ has 6"],
        ),
        (
            WRAPPERS,
            [("__toy_sys", "__riscv_sys")],
            ["syscall_wrapper.h:1: GP527: arch_syscall_match_sym_name() skips 6 letters, __riscv_ has 8"],
        ),
        (
            HEADER,
            [("(((offset) + 0x800) & 0xfffff000)", "((offset) & 0xfffff000)")],
            ["GP528: to_auipc_t0() and to_jalr_t0() go to -0x800 for an offset of 0x800"],
        ),
        (
            HEADER,
            [("<< 20 | 0x282e7)", "<< 20 | 0x28367)")],
            ["GP528: to_jalr_t0() makes 0x00028367, which is no jalr with t0 alone"],
        ),
    ],
)
def test_what_breaks_it(tmp_path: Path, path: str, swaps: list[tuple[str, str]], said: list[str]) -> None:
    lines = found(tmp_path, path, *swaps)
    assert len(lines) == len(said), lines
    for line, part in zip(lines, said, strict=True):
        assert part in line, lines


@pytest.mark.parametrize(
    ("path", "swaps"),
    [
        (
            DYN,
            [
                (
                    "	REG_S	ra, FREGS_RA(sp)\n	REG_S	s0, FREGS_S0(sp)\n",
                    "	REG_S	s0, FREGS_S0(sp)\n	sd	x1, FREGS_RA(sp)\n",
                )
            ],
        ),
        (
            DYN,
            [
                ("	addi	sp, sp, -48\n", "	addi	sp, sp, -64\n"),
                ("	addi	sp, sp, 48\n", "	addi	sp, sp, 64\n"),
                ("	addi	a3, sp, 48\n", "	addi	a3, sp, 64\n"),
            ],
        ),
        (DYN, [(".Ltraced:\n", "1:\n"), ("	bnez	t1, .Ltraced\n", "	bnez	t1, 1f\n")]),
        (DYN, [("	jr	t0\n", "	jalr	zero, 0(t0)\n")]),
        (DYN, [("	mv	a1, ra\n", "	addi	a1, ra, 0\n")]),
        (
            HEADER,
            [("	unsigned long epc;\n	unsigned long ra;\n", "	unsigned long ra;\n	unsigned long epc;\n")],
        ),
        (
            HEADER,
            [
                (
                    "	return arch_ftrace_regs(fregs)->epc;\n",
                    "	arch_ftrace_regs(fregs)->args[1] = 0;\n	return arch_ftrace_regs(fregs)->epc;\n",
                )
            ],
        ),
        (HEADER, [("#define MCOUNT_INSN_SIZE	4", "#define MCOUNT_INSN_SIZE	(2 + 2)")]),
        (HEADER, [("sym + 6, name", 'sym + strlen("__toy_"), name')]),
        (
            FTRACE,
            [
                (
                    "	unsigned long pc = rec->ip - MCOUNT_AUIPC_SIZE;\n	u32",
                    "	unsigned long pc = rec->ip - 4;\n	u32",
                )
            ],
        ),
        (FTRACE, [("(void *)(rec->ip - 12)", "(void *)ALIGN_DOWN(rec->ip - 9, 8)")]),
        (
            FTRACE,
            [
                (
                    "	if (!is_same_auipc(addr, FTRACE_ADDR, pc))\n",
                    "	if (distance > NEAR || !is_same_auipc(addr, FTRACE_ADDR, pc))\n",
                )
            ],
        ),
        (
            FTRACE,
            [("#ifdef CONFIG_DYNAMIC_FTRACE_WITH_CALL_OPS\n", "#if IS_ENABLED(CONFIG_DYNAMIC_FTRACE_WITH_CALL_OPS)\n")],
        ),
        (FTRACE, [("// toy\n", "// toy\n#ifdef CONFIG_SOME_DRIVER_ELSEWHERE\n#endif\n")]),
        (
            OFFSETS,
            [
                (
                    "	OFFSET(FREGS_A0, __arch_ftrace_regs, a0);\n",
                    "	OFFSET(FREGS_ARG0, __arch_ftrace_regs, args);\n	OFFSET(FREGS_A0, __arch_ftrace_regs, a0);\n",
                )
            ],
        ),
        (
            KCONFIG,
            [
                (
                    "	select FUNCTION_ALIGNMENT_8B if DYNAMIC_FTRACE_WITH_CALL_OPS\n",
                    "	select FUNCTION_ALIGNMENT_8B if DYNAMIC_FTRACE\n",
                )
            ],
        ),
        (KCONFIG, [("&& !CFI", "&& !CFI && MMU")]),
        (
            CORE,
            [
                (
                    "		if (!addr) {\n			skipped++;\n			continue;\n		}\n",
                    "		if (addr == 0)\n			continue;\n",
                )
            ],
        ),
        (
            FTRACE,
            [
                (
                    "int ftrace_make_nop(struct module",
                    "static int put_word(struct dyn_ftrace *rec, u32 word)\n{\n"
                    "	return patch_insn_write((void *)rec->ip, &word, sizeof(word));\n}\n\n"
                    "int ftrace_make_nop(struct module",
                ),
                ("return patch_insn_write((void *)rec->ip, &nop, 4);", "return put_word(rec, nop);"),
            ],
        ),
        (SORT, [("before_func = 8", "before_func = 16")]),
        (MAKEFILE, [("-z norelro", "-z norelro -z now")]),
    ],
)
def test_harmless(tmp_path: Path, path: str, swaps: list[tuple[str, str]]) -> None:
    assert found(tmp_path, path, *swaps) == []


def test_what_was_there_before_is_not_the_patch_s(tmp_path: Path) -> None:
    bad = TOY[DYN].replace("REG_L	a1, FREGS_A1", "REG_L	a1, FREGS_A0").replace("-MCOUNT_JALR_SIZE", "-8")
    assert found(tmp_path, DYN, ("	.text\n", "	.text\n\n"), **{DYN: bad}) == []


def test_a_configuration_that_was_not_possible(tmp_path: Path) -> None:
    graph = TOY[KCONFIG].replace("select HAVE_FUNCTION_GRAPH_TRACER if HAVE_DYNAMIC_FTRACE_WITH_ARGS", "select NOTHING")
    frames = TOY[MCOUNT].replace("FREGS_SIZE_ON_STACK", "32")
    swap = ("select NOTHING", "select HAVE_FUNCTION_GRAPH_TRACER if HAVE_DYNAMIC_FTRACE_WITH_ARGS")
    lines = found(tmp_path, KCONFIG, swap, **{KCONFIG: graph, MCOUNT: frames})
    assert [line.split(": ")[1] for line in lines] == ["GP516", "GP517"]


def test_what_is_not_understood_is_said(tmp_path: Path) -> None:
    diff = edited(DYN, ("	jalr	t1\n", "	strange	t1, t2\n	jalr	t1\n"), text=TOY[DYN])
    tree = open_tree(planted(tmp_path))
    (patch,) = read_patches(mail(diff).encode(), "p")
    change, _ = apply_patch(Texts(tree), patch, may_be_there=False)
    check = all_rules()["GP516"].of_source
    assert check is not None
    with pytest.raises(
        Skip, match=r"ftrace_caller in arch/riscv/kernel/mcount-dyn.S was not understood: strange at line 43"
    ):
        list(check(change))


def test_a_struct_that_is_not_understood(tmp_path: Path) -> None:
    assert found(tmp_path, HEADER, ("	unsigned long t2;\n", "	unsigned long t2;\n	u32 flags[64][2];\n")) == []


def test_hostile_source_is_read_in_time(tmp_path: Path) -> None:
    texts = (
        "#if (\n" * 20_000,
        "#define A \\\n" * 20_000,
        "	.macro M\n" * 20_000,
        "	.macro M\n	M\n	M\n	.endm\nSYM_FUNC_START(f)\n	M\nSYM_FUNC_END(f)\n",
        "SYM_FUNC_START(f)\n" + "1:	bnez	a0, 1b\n	beqz	a1, 1f\n" * 2_000 + "1:	ret\nSYM_FUNC_END(f)\n",
        "struct __arch_ftrace_regs {\n" + "	struct {\n" * 5_000,
        "int ftrace_make_call(void)\n{\n" + "	f(" * 20_000 + "\n}\n",
    )
    started = time.process_time()
    for number, text in enumerate(texts):
        for path in (DYN, HEADER, FTRACE, KCONFIG):
            first = TOY[path].split("\n")[1]
            at = tmp_path / f"{number}{path.split('/')[-1]}"
            found(at, path, (first, f"{first}\n{text}"))
    assert time.process_time() - started < 60


def stepped(old: dict[str, str | None], new: dict[str, str | None], version: str) -> set[tuple[str, str]]:
    """Return rule and the name that its finding starts with, of a patch from some texts to others."""
    tree = open_tree(real(version))
    diffs = [file_diff(Change(path, old.get(path), text)) for path, text in new.items() if old.get(path) != text]
    (patch,) = read_patches(mail(*diffs).encode(), "p")
    before = Texts(tree, {**dict.fromkeys(new), **old})
    change, unfit = apply_patch(before, patch, may_be_there=False)
    assert not unfit
    said = set()
    for code in CODES:
        check = all_rules()[code].of_source
        assert check is not None
        said |= {(code, problem.message.split(" ")[0]) for problem in check(change)}
    return said


def texts_of(version: str, *paths: str) -> dict[str, str | None]:
    root = real(version)
    return {path: (root / path).read_text(encoding="utf-8") for path in paths if (root / path).exists()}


# What is wrong in these kernels, and nothing else. 6.1 saves sp after it has moved it; 6.12 has no constants of
# ftrace_regs for a graph tracer without dynamic ftrace (T04), 6.12 and 7.2 do not always store s0 (T08).
FAULTS = {
    "6.1": {("GP517", "ftrace_regs_caller")},
    "6.12": {("GP518", "ftrace_regs_get_frame_pointer()"), ("GP524", "return_to_handler")},
    "7.2": {("GP518", "ftrace_regs_get_frame_pointer()")},
}


@pytest.mark.parametrize("version", ["6.1", "6.12", "7.2"])
def test_assembly_made_from_nothing(version: str) -> None:
    assert stepped({}, texts_of(version, DYN, MCOUNT), version) == FAULTS[version]


@pytest.mark.parametrize("version", ["6.1", "6.12"])
def test_c_made_from_nothing(version: str) -> None:
    assert stepped({}, texts_of(version, FTRACE, HEADER, DYN, MCOUNT), version) == FAULTS[version]


def test_c_of_7_2_made_from_nothing() -> None:
    said = stepped({}, texts_of("7.2", FTRACE, HEADER, DYN, MCOUNT), "7.2")
    assert said == FAULTS["7.2"] | {("GP520", "ftrace_make_call()"), ("GP523", "the")}  # T17, N2


def test_from_6_1_to_6_12() -> None:
    assert stepped(texts_of("6.1", *SOURCES), texts_of("6.12", *SOURCES), "6.1") == FAULTS["6.12"]


def test_from_6_12_to_7_2() -> None:
    said = stepped(texts_of("6.12", *SOURCES), texts_of("7.2", *SOURCES), "6.12")
    assert said == {("GP520", "ftrace_make_call()"), ("GP523", "the")}  # T17, N2; T08 was there


@pytest.mark.parametrize(
    ("version", "name"),
    [
        ("7.2", "hi20-check"),
        ("7.2", "cfi-prefix"),
        ("6.12", "call-ops"),
        ("6.12", "auipc-fixed"),
        ("6.1", "regs-to-args"),
        ("6.1", "bpf-trampoline"),
    ],
)
def test_series(version: str, name: str) -> None:
    tree = open_tree(real(version))
    series = make_series(tree, find_recipe(name))
    patches = read_patches("".join(each.text for each in series.mails).encode(), "p")
    said = check_patches(patches, replace(tree)).findings
    assert [(each.rule, each.message) for each in said if each.rule in CODES] == []
