# SPDX-License-Identifier: GPL-2.0-or-later
"""bpf-trampoline: what it makes of a real 6.1, which git takes, and whose trampolines are run in a process."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from genpatch.emit.anchors import Function, Macro, locate
from genpatch.emit.errors import AnchorError, EmitError
from genpatch.emit.recipe import Verdict, find_recipes
from genpatch.emit.recipes.bpf_trampoline import _bytes
from genpatch.emit.run import Series, find_recipe, make_series
from genpatch.emit.tree import Tree, open_tree
from tests.emit.trees import git, real, repository
from tests.kernels.bpf.boot import boot, cpio, judge

NAME = "bpf-trampoline"
HARNESS = Path(__file__).parent / "bpf_trampoline"
JIT = "arch/riscv/net/bpf_jit_comp64.c"
FILES = (
    "Makefile",
    "Kconfig",
    "arch/riscv/Kconfig",
    "arch/riscv/Makefile",
    "arch/riscv/include/asm/ftrace.h",
    "arch/riscv/include/asm/patch.h",
    "arch/riscv/kernel/ftrace.c",
    "arch/riscv/kernel/mcount-dyn.S",
    "arch/riscv/kernel/patch.c",
    "arch/riscv/kernel/probes/kprobes.c",
    "arch/riscv/net/bpf_jit.h",
    JIT,
    "include/linux/bpf.h",
    "include/linux/ftrace.h",
    "kernel/trace/trace_selftest.c",
    "scripts/checkpatch.pl",
    "scripts/spelling.txt",
)
SUBJECTS = (
    "ftrace: selftest: take an architecture's direct trampoline",
    "riscv: ftrace: support direct calls",
    "riscv: let patch_text() write more than one instruction",
    "riscv, bpf: add bpf_arch_text_poke()",
    "riscv, bpf: add BPF trampolines for RV64",
)
IGNORED = "COMMIT_LOG_LONG_LINE,MACRO_ARG_REUSE,ALLOC_SIZEOF_STRUCT,NO_AUTHOR_SIGN_OFF,GIT_COMMIT_ID,CAMELCASE"
RUNS = ("entry", "around", "replaced", "skipped", "called", "redirected", "traced program", "wide arguments", "sizes")


def part_of(version: str, root: Path) -> Path:
    """Copy what the series is about out of a real tree."""
    source = real(version)
    for path in FILES:
        if (source / path).is_file():
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source / path, root / path)
    return root


def made(tree: Tree) -> Series:
    return make_series(tree, find_recipe(NAME))


def patched(root: Path) -> Path:
    """Make a real 6.1 with the series applied."""
    part_of("6.1", root)
    for patch in made(open_tree(root)).patches:
        for change in patch.changes:
            (root / change.path).write_text(change.new, encoding="utf-8")
    return root


def edited(root: Path, path: str, old: str, new: str) -> Tree:
    text = (root / path).read_text(encoding="utf-8")
    assert text.count(old) >= 1, old
    (root / path).write_text(text.replace(old, new), encoding="utf-8")
    return open_tree(root)


def test_it_is_found() -> None:
    recipe = find_recipes()[NAME]
    assert recipe.cover == "bpf-trampoline/cover.j2"
    assert len(recipe.summary) < 110


def test_git_takes_it_and_checkpatch_is_silent(tmp_path: Path) -> None:
    root = repository(part_of("6.1", tmp_path))
    series = made(open_tree(root))
    assert tuple(patch.subject for patch in series.patches) == SUBJECTS
    assert series.letter is not None
    assert "Subject: [PATCH 0/5] riscv, bpf: BPF trampolines for Linux 6.1\n" in series.letter.text
    git(root, "am", "-q", stdin="".join(mail.text for mail in series.mails))
    assert git(root, "status", "--porcelain") == ""
    assert git(root, "log", "-5", "--format=%s").splitlines() == list(reversed(SUBJECTS))
    assert str(find_recipe(NAME).look(open_tree(root))) == (
        "already there: the BPF JIT makes trampolines: flags RESTORE_REGS, CALL_ORIG, SKIP_FRAME, IP_ARG, "
        "RET_FENTRY_RET, ORIG_STACK, SHARE_IPMODIFY, TAIL_CALL_CTX; a sled of 2 words that links through t0; 8 bytes "
        "skipped in the traced function and 12 bytes by a tail call"
    )
    assert str(find_recipe("bpf-sled").look(open_tree(root))) == (
        "already there: the BPF JIT counts on the kernel's sled: 2 instructions that link through t0"
    )
    if shutil.which("perl") is None:
        pytest.skip("there is no perl: checkpatch is NOT run")
    for mail in series.mails:
        command = ["perl", "scripts/checkpatch.pl", "--no-tree", "--strict", "--no-signoff", "-"]
        command[3:3] = ["--ignore", f"{IGNORED},MISSING_SIGN_OFF"]
        done = subprocess.run(command, cwd=root, input=mail.text, capture_output=True, text=True, check=False)
        assert "total: 0 errors, 0 warnings, 0 checks" in done.stdout, done.stdout + done.stderr


@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_what_is_there_is_not_made_again(tmp_path: Path, count: int) -> None:
    root = part_of("6.1", tmp_path)
    whole = made(open_tree(root))
    wanted = {change.path: change.new for patch in whole.patches for change in patch.changes}
    for patch in whole.patches[:count]:
        for change in patch.changes:
            (root / change.path).write_text(change.new, encoding="utf-8")
    rest = made(open_tree(root))
    assert tuple(patch.subject for patch in rest.patches) == SUBJECTS[count:]
    last = {change.path: change.new for patch in rest.patches for change in patch.changes}
    assert last == {path: wanted[path] for path in last}


def test_two_runs_give_the_same_bytes(tmp_path: Path) -> None:
    root = part_of("6.1", tmp_path)
    first, second = made(open_tree(root)), made(open_tree(root))
    assert (first.letter, first.mails) == (second.letter, second.mails)


@pytest.mark.parametrize(("version", "tail"), [("6.12", "12 or 16"), ("7.2", "12")])
def test_what_later_trees_have(tmp_path: Path, version: str, tail: str) -> None:
    state = find_recipe(NAME).look(open_tree(part_of(version, tmp_path)))
    assert str(state) == (
        "already there: the BPF JIT makes trampolines: flags RESTORE_REGS, CALL_ORIG, SKIP_FRAME, IP_ARG, "
        "RET_FENTRY_RET, INDIRECT, but not ORIG_STACK, SHARE_IPMODIFY; a sled of 2 words that links through t0; 8 "
        f"bytes skipped in the traced function and {tail} bytes by a tail call"
    )


@pytest.mark.parametrize(
    ("path", "old", "new", "said"),
    [
        (
            "arch/riscv/Makefile",
            "-fpatchable-function-entry=2",
            "-fpatchable-function-entry=6",
            "arch/riscv/Makefile: CC_FLAGS_FTRACE: expected one length of the sled, got [8, 24]",
        ),
        (
            "arch/riscv/include/asm/ftrace.h",
            "MCOUNT_INSN_SIZE 8",
            "MCOUNT_INSN_SIZE 16",
            "ftrace's sled is 2 words and links through t0; trampolines take one of 2 words that links through t0",
        ),
        (
            "arch/riscv/Kconfig",
            " && !PREEMPTION",
            "",
            "the function tracer is offered with PREEMPTION though two words are written: no-preempt comes first",
        ),
        (
            "include/linux/bpf.h",
            "bool bpf_prog_has_trampoline",
            "#define BPF_TRAMP_F_ODD BIT(9)\nbool bpf_prog_has_trampoline",
            "generic code and this series differ in BPF_TRAMP_F_ODD",
        ),
        (
            "include/linux/bpf.h",
            "#define BPF_TRAMP_F_IP_ARG",
            "#define BPF_TRAMP_IP_ARG",
            "generic code and this series differ in BPF_TRAMP_F_IP_ARG",
        ),
        (
            "include/linux/bpf.h",
            "void notrace __bpf_tramp_enter(struct bpf_tramp_image *tr)",
            "void notrace __bpf_tramp_enter(void)",
            "include/linux/bpf.h declares __bpf_tramp_enter(void), not (struct bpf_tramp_image *tr)",
        ),
        (
            "include/linux/ftrace.h",
            "arch_ftrace_set_direct_caller(struct pt_regs *regs,",
            "arch_ftrace_set_direct_caller(struct ftrace_regs *regs,",
            "include/linux/ftrace.h declares arch_ftrace_set_direct_caller(struct ftrace_regs *regs, unsigned long "
            "addr), not (struct pt_regs *regs, unsigned long addr)",
        ),
        (
            JIT,
            "bool ex_handler_bpf(",
            "int bpf_arch_text_poke(void *at)\n{\n\treturn 0;\n}\n\nbool ex_handler_bpf(",
            "there is a bpf_arch_text_poke(), but not the one that this series builds on",
        ),
    ],
)
def test_trees_that_it_is_not_for(tmp_path: Path, path: str, old: str, new: str, said: str) -> None:
    tree = edited(part_of("6.1", tmp_path), path, old, new)
    if "CC_FLAGS_FTRACE" in said:
        with pytest.raises(EmitError, match=re.escape(said)):
            find_recipe(NAME).look(tree)
        return
    state = find_recipe(NAME).look(tree)
    assert (state.verdict, state.reason) == (Verdict.NOT, said)


def test_a_sled_of_16_bytes(tmp_path: Path) -> None:
    root = part_of("6.1", tmp_path)
    edited(root, "arch/riscv/Makefile", "-fpatchable-function-entry=4", "-fpatchable-function-entry=8")
    edited(root, "arch/riscv/Makefile", "-fpatchable-function-entry=2", "-fpatchable-function-entry=4")
    tree = edited(root, "arch/riscv/kernel/ftrace.c", "make_call_t0", "make_call_ra")
    assert str(find_recipe(NAME).look(tree)) == (
        "not applicable: ftrace's sled is 4 words and links through ra; trampolines take one of 2 words that links "
        "through t0"
    )


def test_a_tree_without_the_files(tmp_path: Path) -> None:
    root = part_of("6.1", tmp_path)
    (root / "arch/riscv/kernel/patch.c").unlink()
    assert str(find_recipe(NAME).look(open_tree(root))) == "not applicable: there is no arch/riscv/kernel/patch.c"


@pytest.mark.parametrize(
    ("path", "old", "new", "said"),
    [
        (JIT, "void bpf_jit_build_prologue(", "void build_prologue(", "that uses store_offset, stack_adjust: missing"),
        (JIT, "is_tail_call ? 4 : 0", "is_tail_call ? 6 : 0", "(?<=is_tail_call \\? )4 : 0,[^\\n]*: missing"),
        (
            "arch/riscv/kernel/mcount-dyn.S",
            "\tSAVE_ALL\n",
            "\tSAVE_ALL\n\tSAVE_ALL\n",
            "assembly function ftrace_regs_caller: \\tSAVE_ALL(?=\\n): ambiguous (2 places)",
        ),
        (
            "arch/riscv/kernel/probes/kprobes.c",
            "patch_text(p->addr, p->opcode);",
            "put_back(p);",
            "function arch_disarm_kprobe(): p->opcode\\): missing",
        ),
    ],
)
def test_a_place_that_is_not_there(tmp_path: Path, path: str, old: str, new: str, said: str) -> None:
    tree = edited(part_of("6.1", tmp_path), path, old, new)
    with pytest.raises(AnchorError) as caught:
        made(tree)
    assert str(caught.value).startswith(f"{path}: ")
    assert str(caught.value).endswith(said)


@pytest.mark.parametrize(
    ("expressions", "words", "said"),
    [
        (["RV_FENTRY_NINSNS * 4"], 2, "8 bytes"),
        (["RV_FENTRY_NBYTES"], 4, "16 bytes"),
        (["(RV_KCFI_NINSNS + RV_FENTRY_NINSNS + 1) * 4"], 2, "12 or 16 bytes"),
        (["16"], 2, "16 bytes"),
        ([], 2, "unknown"),
        (["RV_FENTRY_NINSNS << 2"], 2, "unknown"),
        (["2 ** 9 ** 9"], 2, "unknown"),
        (["(" * 90], 2, "unknown"),
        (["skip(4)"], 2, "unknown"),
    ],
)
def test_what_distances_come_to(expressions: list[str], words: int, said: str) -> None:
    assert _bytes(expressions, words) == said


def cut_out(root: Path, place: Path, change: Callable[[str], str]) -> None:
    """Lay the code that makes trampolines beside the headers that a process has for it."""
    text = (root / JIT).read_text(encoding="utf-8")
    registers = re.search(r"static const int regmap\[\] = \{\n.*?\n\};", text, re.DOTALL)
    assert registers is not None
    parts = [locate(text, Macro(name), JIT).of(text) for name in ("RV_FENTRY_NINSNS", "RV_FENTRY_NBYTES")]
    parts.append(re.sub(r"\n\t\[BPF_REG_(?:[1-9]|FP|AX)\][^\n]*", "", registers[0]))
    for name in ("is_32b_int", "in_auipc_jalr_range", "emit_imm", "emit_bcc", "emit_jump_and_link", "emit_call"):
        parts.append(locate(text, Function(name), JIT).of(text))
    start, end = text.index("static void emit_sled("), text.index("int bpf_arch_text_poke(")
    parts.append(text[start:end])
    parts.append(text[text.index("#define RV_MAX_REG_ARGS") : locate(text, Function("bpf_jit_emit_insn"), JIT).start])
    (place / "jit.inc").write_text(change("\n\n".join(parts)) + "\n", encoding="utf-8")
    for header in ("linux/bpf.h", "linux/filter.h", "asm/cacheflush.h"):
        (place / header).parent.mkdir(parents=True, exist_ok=True)
        (place / header).write_text('#include "kernel.h"\n', encoding="utf-8")


def run_harness(
    root: Path, place: Path, short: int = 1, clang: int = 1, change: Callable[[str], str] = lambda text: text
) -> list[str]:
    """Return the lines that the harness prints, or how it ended if it did not end well."""
    if shutil.which("riscv64-linux-gnu-gcc") is None or shutil.which("qemu-riscv64") is None:
        pytest.skip("there is no riscv64-linux-gnu-gcc or no qemu-riscv64: the trampolines are NOT executed")
    place.mkdir()
    cut_out(root, place, change)
    command = ["riscv64-linux-gnu-gcc", "-O1", "-static", "-no-pie", "-Wall", "-Wno-unused-function", "-Wno-format"]
    command += ["-Werror", f"-DCONFIG_RISCV_ISA_C={short}", f"-DCONFIG_CC_IS_CLANG={clang}", f"-I{place}"]
    command += [f"-I{HARNESS}", f"-I{root / 'arch/riscv/net'}", "-o", str(place / "harness")]
    command += [str(HARNESS / "harness.c"), str(HARNESS / "calls.S")]
    subprocess.run(command, check=True)
    try:
        done = subprocess.run(
            ["qemu-riscv64", str(place / "harness")], capture_output=True, text=True, timeout=20, check=False
        )
    except subprocess.TimeoutExpired:
        return ["does not end"]
    return done.stdout.splitlines() + ([f"ended with {done.returncode}"] if done.returncode else [])


@pytest.mark.parametrize("clang", [0, 1])
@pytest.mark.parametrize("short", [0, 1])
def test_trampolines_run(tmp_path: Path, short: int, clang: int) -> None:
    lines = run_harness(patched(tmp_path / "tree"), tmp_path / "run", short, clang)
    assert lines == [f"ok {name}" for name in (*RUNS, "refused")]


@pytest.mark.parametrize(
    ("old", "new", "fails"),
    [
        ("func += RV_FENTRY_NBYTES;", "func += 0;", "around"),
        ("func += RV_FENTRY_NBYTES;", "func += RV_FENTRY_NBYTES + 4;", "around"),
        ("size - 8, RV_REG_T0, ctx", "size - 8, RV_REG_RA, ctx", "entry"),
        ("size + 8, RV_REG_RA, ctx", "size + 8, RV_REG_T0, ctx", "entry"),
        ("t->from_sled = flags &", "t->from_sled = true ||", "called"),
        ("t->saved, RV_REG_S1, ctx", "t->saved, RV_REG_S2, ctx", "entry"),
        ("emit_tramp_branch(place, BPF_JEQ", "emit_tramp_branch(place, BPF_JNE", "entry"),
        ("emit_tramp_branch(places[i], BPF_JNE", "emit_tramp_branch(places[i], BPF_JEQ", "around"),
        ("if (size > image_end - image)", "if (0)", "sizes"),
        ("stack = t->size + (t->from_sled ? 16 : 0)", "stack = t->size", "entry"),
        ("emit_addiw(RV_REG_A0, RV_REG_A0, 0, ctx);", "", "traced program"),
        ("IS_ENABLED(CONFIG_CC_IS_CLANG) && t->from_sled", "false", "entry"),
        ("im->ip_epilogue = ctx->insns + ctx->ninsns;", "im->ip_epilogue = im->ip_after_call + 8;", "around"),
        ("if (t->has_ret)\n\t\temit_sd(", "if (0)\n\t\temit_sd(", "around"),
        ("if (slots > 1 &&", "if (0 &&", "wide arguments"),
        ("flags & ~RV_TRAMP_FLAGS ||", "", "refused"),
        ("t->flags & BPF_TRAMP_F_ORIG_STACK", "0", "redirected"),
        ("bool wide = t->ret_size > 4 && p->jited;", "bool wide = false;", "replaced"),
        ("t->size = round_up(t->size, 16);", "t->size = round_up(t->size, 16) + 8;", "around"),
    ],
)
def test_the_harness_sees_mistakes(tmp_path: Path, old: str, new: str, fails: str) -> None:
    def change(text: str) -> str:
        assert old in text, old
        return text.replace(old, new)

    lines = run_harness(patched(tmp_path / "tree"), tmp_path / "run", change=change)
    assert f"ok {fails}" not in lines


def test_what_a_boot_says() -> None:
    log = (
        "[    1.0] Testing tracer function: PASSED\r\nTAP version 13\r\nok 1 fentry\r\n# line 5: oops\r\n"
        "not ok 2 fexit\r\n1..2\r\n[    2.0] WARNING: CPU: 0 at kernel/x.c\r\n"
    )
    found = judge(log)
    assert (found.passed, found.planned, found.started, found.is_good) == (("fentry",), 2, 1, False)
    assert found.failed == ("not ok 2 fexit", "[    2.0] WARNING: CPU: 0 at kernel/x.c")
    assert judge("ok 1 a\nok 2 b\n1..2\n").is_good
    assert not judge("ok 1 a\n1..2\n").is_good
    assert not judge("ok 1 a\n").is_good
    assert not judge("1..0\n").is_good


def test_a_built_kernel_runs_it_all(tmp_path: Path) -> None:
    """Set GENPATCH_BPF_BUILD to where a kernel with the series was built (make O=BUILD); takes two minutes."""
    build = os.environ.get("GENPATCH_BPF_BUILD", "")
    if not build:
        pytest.skip("GENPATCH_BPF_BUILD names no built kernel: BPF trampolines are NOT executed in one")
    found = boot(Path(build), tmp_path / "log")
    assert found.failed == ()
    assert len(found.passed) == found.planned == 27


def test_an_archive_that_cpio_reads(tmp_path: Path) -> None:
    if shutil.which("cpio") is None:
        pytest.skip("there is no cpio: the archive is NOT read by another program")
    data = cpio({"init": b"abc", "longer.ko": b"12345678"})
    done = subprocess.run(["cpio", "-tv"], input=data, capture_output=True, cwd=tmp_path, check=True)
    lines = [line.split() for line in done.stdout.decode().splitlines()]
    assert [(line[0], line[-1]) for line in lines] == [
        ("drwxr-xr-x", "dev"),
        ("crw-------", "dev/console"),
        ("-rwxr-xr-x", "init"),
        ("-rwxr-xr-x", "longer.ko"),
    ]
