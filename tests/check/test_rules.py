# SPDX-License-Identifier: GPL-2.0-or-later
"""What each rule says of a patch, and what it leaves alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from genpatch.check.patches import read_patches
from genpatch.check.registry import all_rules
from genpatch.check.run import check_patches
from genpatch.emit.tree import open_tree
from tests.check.trees import (
    BPF,
    CALL_OPS,
    FILES,
    FTRACE,
    HEADER,
    KCONFIG,
    MAKEFILE,
    PATCH,
    diff_of,
    edited,
    mail,
    toy,
)

INIT = "	mutex_lock(&text_mutex);\n	ret = set_ops(rec);\n"
ALL = "	ftrace_modify_all_code(command);\n"
TWICE = "	ret = patch_insn_write(addr, insns, 4) ?:\n	      patch_insn_write(addr + 4, insns + 4, len - 4);\n"
EARLY = "	if (ret) {\n		mutex_unlock(&text_mutex);\n		return ret;\n	}\n	if (!ret)\n"
POKE = "static int poke(void *at)\n{\n	return patch_text_nosync(at, at, 4);\n}\n\nstatic int set_ops(struct"
END = "static void end(void)\n{\n	flush_icache_all();\n}\n\nvoid arch_ftrace_update_code"
LOCAL = "	local_flush_icache_range((unsigned long)waddr, (unsigned long)waddr + len);"
NO_PREFIX = [
    (f"ifeq ($({CALL_OPS}),y)\nifeq", "ifeq"),
    ("else\nifeq ($(CONFIG_RISCV_ISA_C),y)\n	CC_FLAGS_FTRACE := -fpatchable-function-entry=4\nelse\n", ""),
    ("	CC_FLAGS_FTRACE := -fpatchable-function-entry=2\nendif\nendif\n", ""),
]


def found(tmp_path: Path, *patches: str) -> list[str]:
    """Findings on the tree, as FILE:LINE: RULE: TEXT."""
    checked = check_patches(read_patches("".join(patches).encode(), "p"), open_tree(toy(tmp_path)))
    return [f"{each.file}:{each.line}: {each.rule}: {each.message}" for each in checked.findings]


def test_the_rules_are_documented() -> None:
    rules = all_rules()
    assert list(rules) == sorted(rules)
    assert {*(f"GP50{n}" for n in range(1, 5)), *(f"GP5{n}" for n in range(10, 29))} <= set(rules)
    for rule in rules.values():
        assert len(rule.doc.splitlines()[0]) < 100


@pytest.mark.parametrize(
    ("subject", "said"),
    [
        ("[PATCH v3 1/2] riscv: ftrace: do a thing", ""),
        ("[PATCH bpf-next] riscv, bpf: do a thing", ""),
        ("[PATCH] selftests/bpf: do a thing", ""),
        ('[PATCH] Revert "riscv: a' + "b" * 80 + '"', ""),
        ("[PATCH] do a thing", "the subject names no subsystem, expected 'riscv: ftrace: text' or the like"),
        ("[PATCH] riscv: " + "a" * 69, "the subject has 76 characters, expected at most 75"),
        ("[PATCH] riscv: " + "a" * 68, ""),
        ("[PATCH]", "no subject"),
    ],
)
def test_subjects(tmp_path: Path, subject: str, said: str) -> None:
    diff = edited(FTRACE, ("// toy", "// a toy"))
    assert found(tmp_path, mail(diff, subject=subject)) == ([f"-:4: GP501: {said}"] if said else [])


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('Fixes: 0123456789ab ("riscv: a")', ""),
        (f'Fixes: {"0" * 40} ("riscv: {"a" * 80}")', ""),
        ("Fixes: https://example.org/1", ""),
        ('Fixes: 0123456 ("riscv: a")', "GP502"),
        ("Fixes: 0123456789ab", "GP502"),
        ("Fixes: 0123456789ab (riscv: a)", "GP502"),
        ('Fixes: commit 0123456789ab ("riscv: a")', "GP502"),
        ('fixes: 0123456789ab ("riscv: a")', "GP502"),
        ("Reviewed-by: A. Hacker <A@example.org>", "GP503"),
        ("Tested-by: Somebody <a@example.org>", "GP503"),
        ("Reviewed-by: A. Hacker <b@example.org>", ""),
        ("Signed-off-by: A. Hacker <a@example.org>", ""),
        ("word " * 15 + "w", "GP504"),
        ("word " * 15, ""),
        ("word " * 14 + "words", ""),
        ("    " + "word " * 20, ""),
        ("> " + "word " * 20, ""),
        ("see https://example.org/" + "a" * 80, ""),
        ("Link: " + "word " * 20, ""),
        ("a" * 100, ""),
    ],
)
def test_lines_of_a_message(tmp_path: Path, line: str, said: str) -> None:
    diff = edited(FTRACE, ("// toy", "// a toy"))
    lines = found(tmp_path, mail(diff, body=f"Text.\n\n{line}\n"))
    assert [each[: len("-:8: GP502")] for each in lines] == ([f"-:8: {said}"] if said else [])


def test_a_message_without_a_body(tmp_path: Path) -> None:
    diff = edited(FTRACE, ("// toy", "// a toy"))
    text = mail(diff, body="")
    assert "\n\n---\n" in text
    checked = check_patches(read_patches(text.encode(), "-"), open_tree(toy(tmp_path)))
    assert [each.reason for part in checked.parts for each in part.outcomes if each.status == "error"] == []


def test_a_bare_diff_has_no_message(tmp_path: Path) -> None:
    assert found(tmp_path, edited(FTRACE, ("// toy", "// a toy"))) == []


def test_does_not_apply(tmp_path: Path) -> None:
    diff = edited(FTRACE, ("// toy", "// a toy")).replace("-// toy", "-// troy")
    assert found(tmp_path, mail(diff)) == [f"{FTRACE}:1: GP510: the hunk at line 14 of the patch does not apply"]
    gone = diff_of("arch/riscv/none.c", "a\n", "b\n")
    assert found(tmp_path, mail(gone)) == ["arch/riscv/none.c:1: GP510: the tree has no such file"]
    there = (
        f"diff --git a/{FTRACE} b/{FTRACE}\nnew file mode 100644\n--- /dev/null\n+++ b/{FTRACE}\n@@ -0,0 +1 @@\n+a\n"
    )
    assert found(tmp_path, there) == [f"{FTRACE}:1: GP510: the patch makes this file, which is there"]


def test_a_series_is_cumulative(tmp_path: Path) -> None:
    second = edited(FTRACE, ("// a toy", "// the toy"), text=FILES[FTRACE].replace("// toy", "// a toy"))
    first = edited(FTRACE, ("// toy", "// a toy"))
    assert found(tmp_path, mail(first), mail(second)) == []
    assert [each.split(": ")[1] for each in found(tmp_path, mail(second), mail(first))] == ["GP510"]


def test_a_patch_that_is_in_the_tree_is_undone_first(tmp_path: Path) -> None:
    diff = edited(BPF, ("NINSNS 2", "NINSNS 4"))
    root = toy(tmp_path, **{BPF: FILES[BPF].replace("NINSNS 2", "NINSNS 4")})
    checked = check_patches(read_patches(diff.encode(), "p"), open_tree(root))
    assert [(each.rule, each.file, each.line) for each in checked.findings] == [("GP511", BPF, 1)]


@pytest.mark.parametrize(
    ("path", "swaps", "said"),
    [
        (
            BPF,
            [("NINSNS 2", "NINSNS 4")],
            f"{BPF}:1: GP511: RV_FENTRY_NINSNS is 16 bytes, the Makefile asks for 8 bytes of nops in a function "
            "(every configuration)",
        ),
        (
            HEADER,
            [("JALR_SIZE	4", "JALR_SIZE	8")],
            f"{HEADER}:4: GP511: the Makefile asks for 8 bytes of nops in a function, ftrace.h writes 12 "
            "(every configuration)",
        ),
        (
            FTRACE,
            [("addr + 8 + MCOUNT_AUIPC_SIZE", "addr + 16")],
            f"{FTRACE}:16: GP511: ftrace_call_adjust() puts the site 8 bytes behind the entry, "
            "arch_ftrace_get_symaddr() takes off 4 (DYNAMIC_FTRACE_WITH_CALL_OPS=y, RISCV_ISA_C=y; "
            "DYNAMIC_FTRACE_WITH_CALL_OPS=y, RISCV_ISA_C=n)",
        ),
        (
            MAKEFILE,
            NO_PREFIX,
            f"{MAKEFILE}:4: GP512: the Makefile asks for 8 bytes of nops before a function, ftrace_call_adjust() "
            "adds 4 (DYNAMIC_FTRACE_WITH_CALL_OPS=n, RISCV_ISA_C=y; DYNAMIC_FTRACE_WITH_CALL_OPS=n, RISCV_ISA_C=n)",
        ),
        (
            FTRACE,
            [(INIT, "	ret = set_ops(rec);\n	mutex_lock(&text_mutex);\n")],
            f"{FTRACE}:48: GP514: ftrace_init_nop() calls set_ops() without text_mutex held",
        ),
        (
            FTRACE,
            [("__acquires(&text_mutex)\n{\n	mutex_lock(&text_mutex);\n}", "__acquires(&text_mutex)\n{\n}")],
            f"{FTRACE}:4: GP514: ftrace_arch_code_modify_prepare() no longer does mutex_lock(&text_mutex): "
            "ftrace patches unlocked",
        ),
        (
            PATCH,
            [("	lockdep_assert_held(&text_mutex);\n", "")],
            f"{PATCH}:1: GP514: __patch_insn_write() no longer asserts that text_mutex is held",
        ),
        (
            PATCH,
            [("	if (!ret)\n		flush_icache_range((uintptr_t)addr, (uintptr_t)addr + len);\n", "")],
            f"{PATCH}:20: GP515: patch_text_nosync() writes text and no longer flushes all harts' caches",
        ),
        (
            PATCH,
            [("		flush_icache_range(", "		local_flush_icache_range(")],
            f"{PATCH}:20: GP515: patch_text_nosync() writes text and no longer flushes all harts' caches",
        ),
        (
            PATCH,
            [("	local_flush_icache_range((unsigned long)waddr, (unsigned long)waddr + len);\n", "")],
            f"{PATCH}:1: GP515: __patch_insn_write() writes text and no longer flushes this hart's caches",
        ),
        (
            FTRACE,
            [("	flush_icache_all();\n", "")],
            f"{FTRACE}:29: GP515: arch_ftrace_update_code() writes text and no longer flushes all harts' caches",
        ),
        (
            FTRACE,
            [
                ("	ftrace_modify_all_code(command);\n	flush", "	flush"),
                ("_all();\n", "_all();\n	ftrace_modify_all_code(command);\n"),
            ],
            f"{FTRACE}:29: GP515: arch_ftrace_update_code() writes text and no longer flushes all harts' caches",
        ),
    ],
)
def test_what_breaks_the_source(tmp_path: Path, path: str, swaps: list[tuple[str, str]], said: str) -> None:
    rule = said.split(": ")[1]
    assert [line for line in found(tmp_path, mail(edited(path, *swaps))) if f": {rule}: " in line] == [said]


def test_two_words_and_preemption(tmp_path: Path) -> None:
    guard, size = (" && !PREEMPTION", ""), ("INSN_SIZE	4", "INSN_SIZE	8")
    text = (
        "8 bytes are patched as one, and HAVE_FUNCTION_TRACER is offered with PREEMPTION: "
        "a task preempted between the instructions runs one of each"
    )
    assert found(tmp_path, edited(KCONFIG, guard)) == []
    header = edited(HEADER, size, ("patched: 4 bytes", "patched: 8 bytes"))
    assert found(tmp_path, header) == []
    both = edited(KCONFIG, guard) + header
    assert found(tmp_path, both) == [f"{HEADER}:2: GP513: {text}"]
    series = mail(header) + mail(edited(KCONFIG, guard))
    assert found(tmp_path, series) == [f"{KCONFIG}:4: GP513: {text}"]


def test_what_was_there_before_is_not_the_patch_s(tmp_path: Path) -> None:
    broken = FILES[BPF].replace("NINSNS 2", "NINSNS 4")
    tree = open_tree(toy(tmp_path, **{BPF: broken}))
    diff = edited(BPF, ("#define RV_FENTRY_NBYTES", "/* text */\n#define RV_FENTRY_NBYTES"), text=broken)
    assert check_patches(read_patches(diff.encode(), "p"), tree).findings == ()


@pytest.mark.parametrize(
    ("path", "swaps"),
    [
        (FTRACE, [("// toy", "/* mutex_lock(&text_mutex); flush_icache_all(); */")]),
        (
            FTRACE,
            [
                (INIT, INIT.replace("	mutex_lock(&text_mutex);", "	guard(mutex)(&text_mutex);")),
                ("rec, 0);\n	mutex_unlock(&text_mutex);\n", "rec, 0);\n"),
            ],
        ),
        (FTRACE, [(INIT, '	pr_debug("at %lx", rec->ip);\n' + INIT)]),
        (
            FTRACE,
            [("	if (!ret)\n", EARLY)],
        ),
        (
            FTRACE,
            [
                (
                    "static int set_ops(struct",
                    POKE,
                ),
                ("	return patch_text_nosync((void *)rec->ip, &rec->ops, 8);", "	return poke((void *)rec->ip);"),
            ],
        ),
        (
            FTRACE,
            [
                (f"{ALL}	flush_icache_all();\n", f"{ALL}	end();\n"),
                ("void arch_ftrace_update_code", END),
            ],
        ),
        (FTRACE, [("addr + 8 + MCOUNT_AUIPC_SIZE", "addr + (2 * 4) + MCOUNT_AUIPC_SIZE")]),
        (FTRACE, [("unsigned long fentry_ip)\n{\n	return fentry_ip - ", "unsigned long ip)\n{\n	return ip - ")]),
        (HEADER, [("#define MCOUNT_JALR_SIZE	4", "#define MCOUNT_JALR_SIZE	MCOUNT_AUIPC_SIZE")]),
        (HEADER, [("/* one word is patched: 4 bytes */\n", "")]),
        (MAKEFILE, [("-z norelro", "-z norelro -z now")]),
        (MAKEFILE, [(f"ifeq ($({CALL_OPS}),y)", f"ifdef {CALL_OPS}")]),
        (KCONFIG, [("	def_bool y\n", "	def_bool y\n	select ARCH_HAS_PTE_SPECIAL\n")]),
        (KCONFIG, [("HAVE_DYNAMIC_FTRACE && !PREEMPTION", "!PREEMPTION && HAVE_DYNAMIC_FTRACE")]),
        (BPF, [("NINSNS 2", "NINSNS (1 + 1)")]),
        (FTRACE, [("return set_ops(rec) ?: patch_insn_write((void *)rec->ip, &nop, 4)", "return set_ops(rec)")]),
        (PATCH, [("	ret = patch_insn_write(addr, insns, len);\n", TWICE)]),
        (PATCH, [("	void *waddr;\n", "	void *waddr = addr;\n")]),
        (
            PATCH,
            [("		flush_icache_range((uintptr_t)addr, (uintptr_t)addr + len);", "		flush_icache_all();")],
        ),
        (PATCH, [(LOCAL, "	local_flush_icache_all();")]),
    ],
)
def test_harmless(tmp_path: Path, path: str, swaps: list[tuple[str, str]]) -> None:
    assert found(tmp_path, mail(edited(path, *swaps))) == []


def test_writes_and_flushes_that_go_together(tmp_path: Path) -> None:
    pair = "	patch_insn_write(a, b, 4);\n	flush_icache_all();\n"
    one, two = (f"int poke(void *a, void *b)\n{{\n{pair * count}	return 0;\n}}\n" for count in (1, 2))
    merged = two.replace("	flush_icache_all();\n", "", 1)
    path = "arch/riscv/kernel/poke.c"
    for new, said in ((one, []), (merged, []), (merged.replace("	flush_icache_all();\n", ""), ["GP515"])):
        series = mail(diff_of(path, "", two).replace(f"--- a/{path}", "--- /dev/null")) + mail(diff_of(path, two, new))
        assert [each.split(": ")[1] for each in found(tmp_path, series)] == said
    itself = two.replace(pair * 2, "	patch_text_nosync(a, b, 4);\n" * 2)
    last = "	patch_text_nosync(a, b, 4);\n	return"
    for new, said in (
        (itself.replace(last, "	return"), []),
        (itself.replace("_text_nosync", "_insn_write"), ["GP515"]),
    ):
        series = mail(diff_of(path, "", itself).replace(f"--- a/{path}", "--- /dev/null"))
        assert [each.split(": ")[1] for each in found(tmp_path, series, mail(diff_of(path, itself, new)))] == said


def test_all_places_changed_at_once(tmp_path: Path) -> None:
    wide = (
        FILES[MAKEFILE].replace("=8,4", "=12,4").replace("=4,2", "=6,2").replace("=4\n", "=8\n").replace("=2\n", "=4\n")
    )
    diffs = (
        diff_of(MAKEFILE, FILES[MAKEFILE], wide),
        edited(BPF, ("NINSNS 2", "NINSNS 4")),
        edited(HEADER, ("JALR_SIZE	4", "JALR_SIZE	12")),
    )
    assert found(tmp_path, mail(*diffs)) == []
    assert [each.split(": ")[1] for each in found(tmp_path, mail(*diffs[:2]))] == ["GP511"]


def test_hostile_source_is_read_in_time(tmp_path: Path) -> None:
    texts = (
        "{\n" * 200_000,
        "/*" * 200_000,
        "a(" * 200_000,
        "\nmutex_lock(&text_mutex);" * 15_000,
        "\n\n{\n}" * 90_000,
    )
    for text in texts:
        new = f"{FILES[FTRACE]}{text}\n"
        diff = diff_of(FTRACE, FILES[FTRACE].splitlines(True)[-1], "").split("@@")[0]
        count, lines = new.count("\n"), FILES[FTRACE].count("\n")
        body = "".join(f"-{line}" for line in FILES[FTRACE].splitlines(True))
        body += "".join(f"+{line}\n" for line in new.split("\n")[:-1])
        assert found(tmp_path, f"{diff}@@ -1,{lines} +1,{count} @@\n{body}") == []
