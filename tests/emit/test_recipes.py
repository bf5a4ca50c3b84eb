# SPDX-License-Identifier: GPL-2.0-or-later
"""What each series makes of a small tree, and of the real ones."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from genpatch.emit.edits import apply_edits
from genpatch.emit.errors import AnchorError, EmitError
from genpatch.emit.recipe import Recipe, Verdict, find_recipes
from genpatch.emit.run import FIXED_DATE, NOBODY, find_recipe, make_series
from genpatch.emit.tree import Tree, open_tree
from genpatch.errors import UsageError
from tests.emit.trees import BPF_C, FTRACE_C, FTRACE_H, KCONFIG, RISCV_MAKEFILE, copied, git, real, repository, toy

NAMES = (
    "auipc-fixed", "bpf-poke", "bpf-sled", "bpf-trampoline", "call-ops", "cfi-prefix", "direct-calls", "hi20-check",
    "no-preempt", "regs-to-args",
)  # fmt: skip
THERE, CAN, NOT = "already there", "can be made", "not applicable"
TWO_WORDS = FTRACE_H.replace("MCOUNT_INSN_SIZE\t4", "MCOUNT_INSN_SIZE\t8")
LONG_BPF = BPF_C.replace("NINSNS 2", "NINSNS 4")
OLD_BPF = BPF_C.replace("emit(rv_nop()", "emit(rv_sd()", 1)
CALL_OPS = "ifeq ($(CONFIG_DYNAMIC_FTRACE_WITH_CALL_OPS),y)\n"
IGNORED = "COMMIT_LOG_LONG_LINE,MACRO_ARG_REUSE,ALLOC_SIZEOF_STRUCT,NO_AUTHOR_SIGN_OFF,GIT_COMMIT_ID,CAMELCASE"


def made(tree: Tree, name: str) -> dict[str, str]:
    """The files that a series changes, and their texts."""
    series = make_series(tree, find_recipe(name))
    return {change.path: change.new for patch in series.patches for change in patch.changes}


def test_all_are_found() -> None:
    assert tuple(find_recipes()) == NAMES
    for recipe in find_recipes().values():
        assert recipe.summary
        assert len(recipe.summary) < 100
        assert recipe.trees


def test_an_unknown_name() -> None:
    with pytest.raises(UsageError, match=r"^'hi20-chek': nothing of that name can be emitted; is it 'hi20-check'\?$"):
        find_recipe("hi20-chek")
    with pytest.raises(UsageError, match=r"'genpatch emit --list' lists them$"):
        find_recipe("zzz")


def test_hi20_check(tmp_path: Path) -> None:
    tree = open_tree(toy(tmp_path))
    (text,) = made(tree, "hi20-check").values()
    assert "\tunsigned long distance, orig_addr, pc = rec->ip - 4;\n\tunsigned int offset, caller_offset;\n" in text
    assert "\toffset = addr - pc;\n\tcaller_offset = orig_addr - pc;\n" in text
    assert "\tif (distance > JALR_RANGE || to_auipc_t0(offset) != to_auipc_t0(caller_offset))\n" in text
    assert text.index("distance = apart") < text.index("offset = addr - pc") < text.index("if (distance")
    again = open_tree(toy(tmp_path / "again", ftrace_c=text))
    assert str(find_recipe("hi20-check").look(again)) == (
        "already there: ftrace_make_call() compares the auipc of both targets"
    )


@pytest.mark.parametrize(
    ("site", "caller", "target", "is_direct"),
    [
        (0x1000, 0x1700, 0x1764, True),
        (0x1000, 0x17C0, 0x1810, False),
        (0x1000, 0x1810, 0x17C0, False),
        (0x1000, 0x1810, 0x1874, True),
        (0x1000, 0x27F0, 0x2FEF, False),
        (0x1000, 0x2800, 0x2FFF, True),
        (0x80001000, 0x17F0, 0x1810, False),
    ],
)
def test_what_the_new_condition_says(site: int, caller: int, target: int, is_direct: bool) -> None:
    """The condition as C has it, on 32 bits, against what auipc and jalr do."""

    def auipc(offset: int) -> int:
        offset &= 0xFFFFFFFF
        upper = offset & 0xFFFFF000
        return ((upper + 0x1000 if offset & 0x800 else upper) | 0x297) & 0xFFFFFFFF

    assert (abs(target - caller) <= 0x7FF and auipc(target - site) == auipc(caller - site)) == is_direct
    low = (target - site) & 0xFFF
    lands = site + (auipc(caller - site) & 0xFFFFF000) + (low - 0x1000 if low & 0x800 else low)
    assert ((lands - target) % (1 << 32) == 0) == is_direct


def test_cfi_prefix(tmp_path: Path) -> None:
    (text,) = made(open_tree(toy(tmp_path)), "cfi-prefix").values()
    assert text == RISCV_MAKEFILE.replace(
        "ifeq ($(CONFIG_RISCV_ISA_C),y)\n", f"{CALL_OPS}ifeq ($(CONFIG_RISCV_ISA_C),y)\n"
    ).replace(
        "=4,2\nendif\nendif\n",
        "=4,2\nendif\nelse\nifeq ($(CONFIG_RISCV_ISA_C),y)\n\tCC_FLAGS_FTRACE := -fpatchable-function-entry=4\nelse\n"
        "\tCC_FLAGS_FTRACE := -fpatchable-function-entry=2\nendif\nendif\nendif\n",
    )
    state = find_recipe("cfi-prefix").look(open_tree(toy(tmp_path / "again", makefile=text)))
    assert state.verdict is Verdict.THERE


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("select HAVE_FUNCTION_TRACER", "select HAVE_FUNCTION_TRACER if !PREEMPTION"),
        ("select HAVE_FUNCTION_TRACER if !XIP_KERNEL", "select HAVE_FUNCTION_TRACER if !XIP_KERNEL && !PREEMPTION"),
        ("select HAVE_FUNCTION_TRACER if A || B", "select HAVE_FUNCTION_TRACER if (A || B) && !PREEMPTION"),
    ],
)
def test_no_preempt(tmp_path: Path, old: str, new: str) -> None:
    kconfig = KCONFIG.replace("select HAVE_FUNCTION_TRACER", old)
    (text,) = made(open_tree(toy(tmp_path, kconfig=kconfig, ftrace_h=TWO_WORDS)), "no-preempt").values()
    assert text == kconfig.replace(old, new)
    again = open_tree(toy(tmp_path / "again", kconfig=text, ftrace_h=TWO_WORDS))
    assert find_recipe("no-preempt").look(again).verdict is Verdict.THERE


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("NINSNS 2", "NINSNS 4"),
        ("NINSNS 2", "NINSNS (4)"),
        ("\t\temit(rv_nop(), &ctx);\n" * 2, "\t\temit(rv_nop(), &ctx);\n" * 4),
        ("is_call ? RV_REG_T0", "is_call ? RV_REG_RA"),
        ("old_insns[RV_FENTRY_NINSNS]", "old_insns[4]"),
        ("new_insns[RV_FENTRY_NINSNS]", "new_insns[4]"),
        ("old_insns, RV_FENTRY_NBYTES", "old_insns, 16"),
        ("patch_text(at, new_insns, RV_FENTRY_NBYTES)", "patch_text(at, new_insns, 16)"),
        ("orig_call += RV_FENTRY_NINSNS * 4", "orig_call += 16"),
    ],
)
def test_bpf_sled(tmp_path: Path, old: str, new: str) -> None:
    assert old in BPF_C
    tree = open_tree(toy(tmp_path, bpf_jit_comp64_c=BPF_C.replace(old, new)))
    assert made(tree, "bpf-sled") == {"arch/riscv/net/bpf_jit_comp64.c": BPF_C}


def test_bpf_sled_without_its_macro(tmp_path: Path) -> None:
    bare = BPF_C.replace("\n#define RV_FENTRY_NINSNS 2\n#define RV_FENTRY_NBYTES (RV_FENTRY_NINSNS * 4)\n", "")
    bare = bare.replace("RV_FENTRY_NINSNS * 4", "16").replace("RV_FENTRY_NBYTES", "16").replace("RV_FENTRY_NINSNS", "4")
    (text,) = made(open_tree(toy(tmp_path, bpf_jit_comp64_c=bare)), "bpf-sled").values()
    plain = BPF_C.replace("#define RV_FENTRY_NBYTES (RV_FENTRY_NINSNS * 4)\n", "")
    assert text == plain.replace("RV_FENTRY_NBYTES", "RV_FENTRY_NINSNS * 4")


@pytest.mark.parametrize(
    ("name", "changes", "said"),
    [
        ("hi20-check", {"ftrace_h": "\n"}, "not applicable: ftrace_make_call() writes the auipc with the jalr"),
        ("cfi-prefix", {"makefile": "A := 1\n"}, "not applicable: no CC_FLAGS_FTRACE in arch/riscv/Makefile asks for"),
        ("cfi-prefix", {"ftrace_c": "\n"}, "not applicable: ftrace_call_adjust() does not depend on CONFIG_DYNAMIC"),
        ("no-preempt", {}, "not applicable: one word is patched (MCOUNT_INSN_SIZE is 4): preemption does no harm"),
        ("bpf-sled", {}, "already there: the BPF JIT counts on the kernel's sled: 2 instructions that link through t0"),
        ("bpf-sled", {"bpf_jit_comp64_c": "\n"}, "not applicable: the BPF JIT has no bpf_arch_text_poke()"),
        ("bpf-sled", {"bpf_jit_comp64_c": OLD_BPF}, "not applicable: the BPF JIT saves ra in the sled itself"),
        (
            "hi20-check",
            {"ftrace_c": FTRACE_C.replace("(distance > JALR_RANGE)", "(near && distance > JALR_RANGE)")},
            "not applicable: the reach test is not the plain one: near && distance > JALR_RANGE",
        ),
        (
            "cfi-prefix",
            {"makefile": RISCV_MAKEFILE.replace("_DYNAMIC_FTRACE)", "_DYNAMIC_FTRACE_WITH_CALL_OPS)")},
            "already there: nops before a function are asked for only with CONFIG_DYNAMIC_FTRACE_WITH_CALL_OPS",
        ),
    ],
)
def test_states(tmp_path: Path, name: str, changes: dict[str, str], said: str) -> None:
    tree = open_tree(toy(tmp_path, **changes))
    assert str(find_recipe(name).look(tree)).startswith(said)
    with pytest.raises(EmitError, match=f": {name}: {re.escape(said)}"):
        make_series(tree, find_recipe(name))


@pytest.mark.parametrize(
    ("name", "changes", "said"),
    [
        (
            "hi20-check",
            {"ftrace_c": FTRACE_C.replace("ftrace_make_call", "ftrace_make_it")},
            "arch/riscv/kernel/ftrace.c: function ftrace_make_call(): missing",
        ),
        (
            "hi20-check",
            {"ftrace_c": FTRACE_C.replace("distance > JALR_RANGE", "distance > MOST")},
            "arch/riscv/kernel/ftrace.c: the if in ftrace_make_call() that tests distance, JALR_RANGE: missing",
        ),
        (
            "hi20-check",
            {"ftrace_c": FTRACE_C.replace("\treturn __", "\tif (distance > JALR_RANGE)\n\t\taddr = 0;\n\treturn __")},
            "arch/riscv/kernel/ftrace.c: the if in ftrace_make_call() that tests distance, JALR_RANGE: "
            "ambiguous (2 places)",
        ),
        (
            "cfi-prefix",
            {"makefile": RISCV_MAKEFILE.replace("else\n", "endif\nifdef X\n")},
            "arch/riscv/Makefile: assignments to CC_FLAGS_FTRACE: expected in the branches of one conditional",
        ),
        (
            "no-preempt",
            {"ftrace_h": TWO_WORDS, "kconfig": "config RISCV\n"},
            "arch/riscv/Kconfig: select HAVE_FUNCTION_TRACER: missing",
        ),
        (
            "bpf-sled",
            {"bpf_jit_comp64_c": LONG_BPF, "makefile": RISCV_MAKEFILE.replace("=4,2", "=6,2")},
            "arch/riscv/Makefile: CC_FLAGS_FTRACE: expected one length of the sled, got [8, 16]",
        ),
    ],
)
def test_one_line_for_each_failure(tmp_path: Path, name: str, changes: dict[str, str], said: str) -> None:
    with pytest.raises(EmitError) as caught:
        make_series(open_tree(toy(tmp_path, **changes)), find_recipe(name))
    assert str(caught.value) == said


def test_a_file_changed_since_the_last_commit(tmp_path: Path) -> None:
    repository(toy(tmp_path))
    (tmp_path / "arch/riscv/kernel/ftrace.c").write_text(FTRACE_C + "\nint more;\n")
    with pytest.raises(EmitError, match=r": not what the last commit has: arch/riscv/kernel/ftrace\.c; commit or"):
        make_series(open_tree(tmp_path), find_recipe("hi20-check"))
    make_series(open_tree(tmp_path), find_recipe("cfi-prefix"))


def test_author_and_date(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("GIT_AUTHOR_NAME", "GIT_AUTHOR_EMAIL", "EMAIL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")
    recipe = find_recipe("hi20-check")
    plain = make_series(open_tree(toy(tmp_path / "a")), recipe)
    assert (plain.identity, plain.date) == (NOBODY, FIXED_DATE)
    with pytest.raises(EmitError, match=r"^--signoff: git knows no name"):
        make_series(open_tree(tmp_path / "a"), recipe, signoff=True)
    known = open_tree(repository(toy(tmp_path / "b")))
    assert make_series(known, recipe).date == 1000000000
    git(tmp_path / "b", "config", "user.name", "A. Hacker")
    git(tmp_path / "b", "config", "user.email", "a@example.org")
    signed = make_series(known, recipe, signoff=True, date=5)
    assert (signed.identity, signed.date) == ("A. Hacker <a@example.org>", 5)
    assert signed.patches[0].body.endswith("\n\nSigned-off-by: A. Hacker <a@example.org>\n")


def test_a_fix_is_cited_only_where_the_history_has_it(tmp_path: Path) -> None:
    series = make_series(open_tree(toy(tmp_path)), find_recipe("hi20-check"))
    assert "Fixes:" not in series.mails[0].text
    assert series.notes == (
        "no Fixes: line, as this tree has no history with b2137c3b6d7a "
        '("riscv: ftrace: prepare ftrace for atomic code patching")',
    )


def test_two_runs_give_the_same_bytes(tmp_path: Path) -> None:
    first, second = (make_series(open_tree(toy(tmp_path / each)), find_recipe("hi20-check")) for each in "ab")
    assert (first.letter, first.mails) == (second.letter, second.mails)


@pytest.mark.parametrize("name", ["hi20-check", "cfi-prefix"])
def test_messages(tmp_path: Path, name: str) -> None:
    (patch,) = make_series(open_tree(toy(tmp_path)), find_recipe(name)).patches
    assert len(patch.subject) <= 75
    assert max(map(len, patch.body.split("\n"))) <= 72
    assert f"genpatch emit {name}, from the files of a Linux 7.2.13-rc1 tree" in patch.body.replace("\n", " ")
    assert not re.search(r"(Reviewed|Tested|Acked)-by", patch.body)


# real trees


def unguarded(root: Path) -> None:
    kconfig = root / "arch/riscv/Kconfig"
    text = kconfig.read_text(encoding="utf-8")
    assert text.count(" if !XIP_KERNEL && !PREEMPTION\n") == 1
    kconfig.write_text(text.replace(" if !XIP_KERNEL && !PREEMPTION\n", " if !XIP_KERNEL\n"), encoding="utf-8")


def set_back(root: Path) -> None:
    """Give the BPF JIT the sled of 16 bytes that links through ra."""
    file = root / "arch/riscv/net/bpf_jit_comp64.c"
    text = file.read_text(encoding="utf-8")
    for old, new, count in (
        ("RV_FENTRY_NINSNS 2", "RV_FENTRY_NINSNS 4", 1),
        ("\t\temit(rv_nop(), &ctx);\n" * 2, "\t\temit(rv_nop(), &ctx);\n" * 4, 1),
        ("\t\temit(rv_nop(), ctx);\n" * 2, "\t\temit(rv_nop(), ctx);\n" * 4, 1),
        ("is_call ? RV_REG_T0", "is_call ? RV_REG_RA", 1),
        ("stack_size - 8, RV_REG_T0", "stack_size - 8, RV_REG_RA", 1),
        ("emit_ld(RV_REG_T0, stack_size - 8", "emit_ld(RV_REG_RA, stack_size - 8", 1),
        ("emit_jalr(RV_REG_ZERO, RV_REG_T0, 0, ctx)", "emit_jalr(RV_REG_ZERO, RV_REG_RA, 0, ctx)", 1),
        ("orig_call += RV_FENTRY_NINSNS * 4", "orig_call += 16", 1),
        ("old_insns, RV_FENTRY_NBYTES", "old_insns, 16", 1),
        ("i < RV_FENTRY_NINSNS;", "i < 4;", 1),
    ):
        assert text.count(old) == count, old
        text = text.replace(old, new)
    file.write_text(text, encoding="utf-8")


def as_is(root: Path) -> None:
    """Leave a tree as it is."""


REAL: list[tuple[str, str, Callable[[Path], None]]] = [
    ("hi20-check", "7.2", as_is),
    ("cfi-prefix", "7.2", as_is),
    ("no-preempt", "6.1", unguarded),
    ("bpf-sled", "6.12", set_back),
]


@pytest.mark.parametrize(("name", "version", "prepare"), REAL, ids=[name for name, _, _ in REAL])
def test_git_takes_it_and_checkpatch_is_silent(
    tmp_path: Path, name: str, version: str, prepare: Callable[[Path], None]
) -> None:
    root = copied(version, tmp_path / "t")
    prepare(root)
    tree = open_tree(repository(root))
    series = make_series(tree, find_recipe(name))
    git(root, "am", "-q", stdin="".join(mail.text for mail in series.mails))
    assert git(root, "log", "-1", "--format=%s").strip() == series.patches[-1].subject
    assert git(root, "status", "--porcelain") == ""
    for patch in series.patches:
        assert all((root / each.path).read_text(encoding="utf-8") == each.new for each in patch.changes)
    assert find_recipe(name).look(open_tree(root)).verdict is Verdict.THERE
    if shutil.which("perl") is None:
        pytest.skip("there is no perl: checkpatch is NOT run")
    for mail in series.mails:
        command = ["perl", "scripts/checkpatch.pl", "--no-tree", "--strict", "--ignore", f"{IGNORED},MISSING_SIGN_OFF"]
        command += ["--no-signoff", "-"]
        done = subprocess.run(command, cwd=root, input=mail.text, capture_output=True, text=True, check=False)
        assert "total: 0 errors, 0 warnings, 0 checks" in done.stdout, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("version", "states"),
    [
        ("6.1", (NOT, NOT, NOT, CAN, NOT, NOT, NOT, NOT, THERE, CAN)),
        ("6.12", (CAN, CAN, THERE, THERE, CAN, NOT, NOT, NOT, THERE, THERE)),
        ("7.2", (THERE, CAN, THERE, THERE, THERE, CAN, THERE, CAN, NOT, THERE)),
    ],
)
def test_how_real_trees_stand(version: str, states: tuple[str, ...]) -> None:
    tree = open_tree(real(version))
    assert {name: recipe.look(tree).verdict.value for name, recipe in find_recipes().items()} == dict(
        zip(NAMES, states, strict=True)
    )


@pytest.mark.parametrize(("name", "version", "undone"), [REAL[2], REAL[3]], ids=["no-preempt", "bpf-sled"])
def test_what_was_taken_away_comes_back(
    tmp_path: Path, name: str, version: str, undone: Callable[[Path], None]
) -> None:
    root = copied(version, tmp_path)
    recipe: Recipe = find_recipe(name)
    before = {edit: open_tree(root).read(edit) for edit in ("arch/riscv/Kconfig", "arch/riscv/net/bpf_jit_comp64.c")}
    undone(root)
    tree = open_tree(root)
    edits = [edit for plan in recipe.plan(tree) for edit in plan.edits]
    changed = apply_edits({path: tree.read(path) for path in before}, edits)
    assert len(changed) == 1
    assert all(_without_count(text) == _without_count(before[path]) for path, text in changed.items())


def _without_count(text: str) -> str:
    """The sled's size may be named by either macro."""
    return text.replace("RV_FENTRY_NINSNS * 4", "RV_FENTRY_NBYTES")


def test_an_error_is_an_anchor_s(tmp_path: Path) -> None:
    tree = open_tree(toy(tmp_path, ftrace_c="int x;\n"))
    with pytest.raises(AnchorError):
        find_recipe("hi20-check").look(tree)


@pytest.mark.parametrize(
    ("call_ops", "short", "flag"),
    [("y", "y", "8,4"), ("y", "", "4,2"), ("", "y", "4"), ("", "", "2")],
)
def test_what_make_says_to_the_compiler(tmp_path: Path, call_ops: str, short: str, flag: str) -> None:
    if shutil.which("make") is None:
        pytest.skip("there is no make: the Makefile is NOT evaluated")
    (text,) = made(open_tree(toy(tmp_path)), "cfi-prefix").values()
    settings = {"DYNAMIC_FTRACE": "y", "DYNAMIC_FTRACE_WITH_CALL_OPS": call_ops, "RISCV_ISA_C": short}
    words = [f"CONFIG_{name}={value}" for name, value in settings.items()]
    text += "$(info $(CC_FLAGS_FTRACE))\nall: ;\n"
    done = subprocess.run(["make", "-f", "-", *words], input=text, capture_output=True, text=True, check=True)
    assert done.stdout.split("\n")[0] == f"-fpatchable-function-entry={flag}"


def test_no_site_of_a_rebuilt_kernel_goes_astray(tmp_path: Path) -> None:
    """What hi20-check makes is compiled and linked into a built kernel, whose own code then patches every site.

    Set GENPATCH_KERNEL_BUILDS to finished builds (make O=BUILD), separated as in PATH.
    """
    from genpatch.image.containers import open_content
    from genpatch.image.read import read_image
    from genpatch.verify.run import verify
    from tests.kernels.mutants import FTRACE, Build

    state = "direct:ftrace_stub_direct_tramp"
    builds = [Path(path) for path in os.environ.get("GENPATCH_KERNEL_BUILDS", "").split(os.pathsep) if path]
    builds = [out for out in builds if find_recipe("hi20-check").look(open_tree(out / "source")).verdict is Verdict.CAN]
    if not builds:
        pytest.skip("GENPATCH_KERNEL_BUILDS names no build that hi20-check is for: it is NOT executed")
    build = Build(builds[0] / "source", builds[0])
    new = made(open_tree(builds[0] / "source"), "hi20-check")[FTRACE]
    failures, sites = [], set()
    for name, text in (("old", build.source.joinpath(FTRACE).read_text(encoding="utf-8")), ("new", new)):
        (tmp_path / name / FTRACE).parent.mkdir(parents=True)
        (tmp_path / name / FTRACE).write_text(text, encoding="utf-8")
        changed = {"arch/riscv/kernel/ftrace.o": build.compile("arch/riscv/kernel/ftrace.o", tmp_path / name)}
        build.link(tmp_path / name / "vmlinux", changed)
        result = verify(read_image(open_content(str(tmp_path / name / "vmlinux"))), states=(state,))
        failures.append(len(result.failures))
        sites |= {each.sites for each in result.states if each.name == state}
    assert failures[0] > 0
    assert failures[1] == 0
    assert min(sites) > 1000
