# SPDX-License-Identifier: GPL-2.0-or-later
"""Built kernels beside a patch: what is wrong already, what the patch breaks, what it mends."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from genpatch.audit.registry import all_rules
from genpatch.check.images import Observed, Seen, already, differences, observe, touched_by
from genpatch.check.model import Level, Outcome, Place
from genpatch.check.patches import read_patches
from genpatch.check.run import check_patches
from genpatch.emit.tree import open_tree
from genpatch.errors import UsageError

from .trees import FTRACE, edited, mail, toy

RULES = tuple(rule for rule in all_rules().values() if rule.applies in ("any", "kernel", "verify"))
BROKEN = {"GP101", "GP104", "GP105", "GP107", "GP212", "GP302", "GP304", "GP306"}
"""What audit and verify themselves call errors of the sample that is broken (see its recipe)."""


@pytest.fixture(scope="module")
def sound() -> Observed:
    return observe("sample:call-ops", RULES)


@pytest.fixture(scope="module")
def broken() -> Observed:
    return observe("sample:call-ops-broken", RULES)


def test_what_a_patch_breaks(sound: Observed, broken: Observed) -> None:
    part = differences(sound, broken, {})
    assert {each.rule for each in part.findings if each.level is Level.ERROR} == BROKEN
    assert all((each.file, each.line) == ("sample:call-ops-broken", 0) for each in part.findings)
    assert {each.rule for each in part.outcomes if each.status == "fail"} >= BROKEN
    assert any("GP204 was judged in sample:call-ops, but not here" in reason for reason in part.skipped)


def test_what_a_patch_mends(sound: Observed, broken: Observed) -> None:
    part = differences(broken, sound, {})
    assert {each.level for each in part.findings} == {Level.NOTE}
    assert {each.rule for each in part.findings} >= BROKEN
    assert all(each.message.startswith("mended, ") for each in part.findings)


def test_nothing_differs(broken: Observed) -> None:
    part = differences(broken, broken, {})
    assert (part.findings, part.skipped) == ((), ())
    assert {each.status for each in part.outcomes} <= {"pass", "skipped"}


def test_what_is_wrong_already(broken: Observed) -> None:
    part = already(broken, {"driver_read": Place("drivers/a.c", 7)})
    assert {each.level for each in part.findings} == {Level.NOTE}
    assert {each.rule for each in part.findings} >= BROKEN
    here = [each for each in part.findings if each.file == "drivers/a.c"]
    assert {each.rule for each in here} >= {"GP302", "GP304"}
    assert part.findings[: len(here)] == tuple(here)  # what the patch touches comes first
    assert here[0].line == 7
    assert here[0].message.startswith("sample:call-ops-broken has this error already in driver_read: ")


def test_what_a_message_names_is_touched(broken: Observed) -> None:
    part = already(broken, {"ftrace_caller": Place("mcount-dyn.S", 9)})
    here = [each for each in part.findings if each.file == "mcount-dyn.S"]
    assert {each.rule for each in here} == {"GP212", "GP214"}  # "ftrace_caller loses a3" and what it does not store


def seen(rule: str, functions: Counter[str], *keys: str) -> Seen:
    return Seen(rule, "name", Level.WARNING, "it is so", tuple((rule, "kind", key) for key in keys), functions)


def kernel(*findings: Seen, skipped: str = "", untried: str = "") -> Observed:
    outcome = Outcome("GP199", "name", Level.WARNING, "skipped" if skipped else "pass", 0, skipped)
    return Observed("k", findings, (outcome,), untried)


def test_more_functions_of_one_finding() -> None:
    old = kernel(seen("GP199", Counter(a=1, b=1), "x"))
    new = kernel(seen("GP199", Counter(a=1, b=2, c=1), "x"))
    (finding,) = differences(old, new, {}).findings
    assert (finding.level, finding.message) == (Level.WARNING, "it is so; of these 2 differ: b, c")
    (finding,) = differences(new, old, {}).findings
    assert (finding.level, finding.message) == (Level.NOTE, "mended, warning of k: it is so; of these 2 differ: b, c")
    (finding,) = differences(old, new, {"c": Place("c.c", 3)}).findings
    assert (finding.file, finding.line) == ("c.c", 3)


def test_one_more_register_is_new() -> None:
    old = kernel(seen("GP199", Counter(a=1), "a0"))
    both = kernel(seen("GP199", Counter(a=1), "a0", "a1"))
    assert [each.message for each in differences(old, both, {}).findings] == ["it is so; of these 1 differs: a"]
    assert [each.message for each in differences(both, old, {}).findings] == [
        "mended, warning of k: it is so; of these 1 differs: a"
    ]


def test_what_could_not_be_asked_is_said() -> None:
    found = kernel(seen("GP199", Counter(a=1), "x"))
    blind = kernel(skipped="no types")
    (finding,) = differences(blind, found, {}).findings
    assert finding.message == "it is so (k could not be asked: no types)"
    found = Observed("k", found.seen, (Outcome("GP199", "name", Level.WARNING, "fail", 1),), "")
    part = differences(found, blind, {})
    assert part.findings == ()  # not mended: nobody looked
    assert part.skipped == ("k: GP199 was judged in k, but not here: no types",)
    part = differences(kernel(), kernel(untried="no ftrace_make_call"), {})
    assert part.skipped == ("k: nothing of it was run: no ftrace_make_call",)


def test_what_a_patch_touches(tmp_path: Path) -> None:
    diff = edited(FTRACE, ("return fentry_ip - MCOUNT_AUIPC_SIZE;", "return fentry_ip - 4;"))
    new = "--- /dev/null\n+++ b/arch/riscv/kernel/t.S\n@@ -0,0 +1,2 @@\n+/* t */\n+SYM_FUNC_START(ftrace_caller)\n"
    checked = check_patches(read_patches(mail(diff, new).encode(), "p"), open_tree(toy(tmp_path)))
    text = toy(tmp_path).joinpath(FTRACE).read_text().splitlines()
    line = next(n for n, each in enumerate(text, 1) if "arch_ftrace_get_symaddr" in each)
    assert touched_by(checked) == {
        "arch_ftrace_get_symaddr": Place(FTRACE, line),
        "ftrace_caller": Place("arch/riscv/kernel/t.S", 2),
    }


@pytest.mark.parametrize(("name", "said"), [("module", "expected a linked kernel"), ("none", "no sample 'none'")])
def test_only_kernels(name: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        observe(f"sample:{name}", RULES)
