# SPDX-License-Identifier: GPL-2.0-or-later
"""What the rules cannot judge is said."""

from __future__ import annotations

from pathlib import Path

import pytest

from genpatch.check.model import Level, Place, Problem, Rule, Skip
from genpatch.check.patches import read_patches
from genpatch.check.registry import all_rules, matching, select
from genpatch.check.run import check_patches
from genpatch.emit.tree import open_tree
from genpatch.errors import UsageError

from .trees import CALL_OPS, FTRACE, MAKEFILE, diff_of, edited, mail, toy


def skipped(tree: Path, diff: str) -> list[str]:
    checked = check_patches(read_patches(mail(diff).encode(), "a.patch"), open_tree(tree))
    return [reason.partition(": ")[2] for reason in checked.skipped]


def test_a_layout_that_is_not_understood(tmp_path: Path) -> None:
    tree = toy(tmp_path)
    plain = edited(MAKEFILE, ("-z norelro", "-z relro"))
    assert skipped(tree, plain) == []
    variable = edited(MAKEFILE, (f"ifeq ($({CALL_OPS}),y)", "ifeq ($(shell whatever),y)"))
    assert skipped(tree, variable) == [
        "how arch/riscv/Makefile asks for nops, or what arch/riscv/kernel/ftrace.c counts on, was not understood: "
        "GP511 and GP512 were not judged"
    ]


def test_a_file_that_is_too_long(tmp_path: Path) -> None:
    tree = toy(tmp_path)
    text = (tree / FTRACE).read_text(encoding="utf-8")
    found = skipped(tree, diff_of(FTRACE, text, text + "/* long */\n" * 60_000))
    assert found == [f"{FTRACE} is too long to be parsed: GP513, GP514 and GP515 were not judged there"]


GOOD = mail(edited(FTRACE, ("// toy", "// a toy")))


def own_rule(of_source: object = None, of_message: object = None) -> dict[str, Rule]:
    return {"GP599": Rule("GP599", "own", Level.WARNING, "doc", of_message, of_source)}  # type: ignore[arg-type]


def test_a_rule_that_breaks_is_a_finding(tmp_path: Path) -> None:
    def breaks(change: object) -> list[Problem]:
        raise KeyError("lost")

    checked = check_patches(read_patches(GOOD.encode(), "p"), open_tree(toy(tmp_path)), own_rule(breaks))
    (finding,) = checked.findings
    assert (finding.level, finding.message) == (Level.ERROR, "GP599 own could not be run: KeyError: 'lost'")
    assert [(each.rule, each.status) for each in checked.parts[0].outcomes] == [("GP599", "error")]


def test_a_rule_that_cannot_judge_says_so(tmp_path: Path) -> None:
    def skips(change: object) -> list[Problem]:
        raise Skip("it has no opinion")

    checked = check_patches(read_patches(GOOD.encode(), "p"), open_tree(toy(tmp_path)), own_rule(skips))
    assert (checked.findings, checked.skipped) == ((), ("p: GP599 was not judged: it has no opinion",))
    (outcome,) = checked.parts[0].outcomes
    assert (outcome.status, outcome.reason) == ("skipped", "it has no opinion")


def test_a_problem_may_be_milder_than_its_rule(tmp_path: Path) -> None:
    def says(change: object) -> list[Problem]:
        return [Problem("k", (Place(FTRACE, 1),), "so", Level.NOTE), Problem("l", (Place(FTRACE, 2),), "so")]

    checked = check_patches(read_patches(GOOD.encode(), "p"), open_tree(toy(tmp_path)), own_rule(says))
    assert [each.level for each in checked.findings] == [Level.NOTE, Level.WARNING]
    (outcome,) = checked.parts[0].outcomes
    assert (outcome.level, outcome.status, outcome.findings) == (Level.WARNING, "fail", 2)


def test_every_rule_has_an_outcome_whatever_the_patch(tmp_path: Path) -> None:
    tree = open_tree(toy(tmp_path))
    bare = edited(FTRACE, ("// toy", "// a toy"))
    unfit = edited(FTRACE, ("// toy", "// a"), text="// toy\nnot so\n")
    for text, where in ((GOOD, tree), (GOOD, None), (bare, tree), (unfit, tree), (mail(unfit), tree)):
        (part,) = check_patches(read_patches(text.encode(), "p"), where).parts
        assert [each.rule for each in part.outcomes] == list(all_rules())
    statuses = {each.rule: each.status for each in part.outcomes}
    assert (statuses["GP501"], statuses["GP510"], statuses["GP511"]) == ("pass", "fail", "skipped")


def test_a_patch_that_may_be_for_another_tree(tmp_path: Path) -> None:
    unfit = mail(edited(FTRACE, ("// toy", "// a"), text="// toy\nnot so\n"))
    checked = check_patches(read_patches(unfit.encode(), "p"), open_tree(toy(tmp_path)), is_for_tree=False)
    assert [(each.rule, each.level) for each in checked.findings] == [("GP510", Level.NOTE)]
    assert checked.skipped == ("p: it does not apply, so what it makes of the source was not checked",)


def test_patches_of_one_mailbox_have_names_of_their_own() -> None:
    checked = check_patches(read_patches((GOOD + GOOD).encode(), "box"), None)
    assert [part.name for part in checked.parts] == ["box:4", f"box:{GOOD.count(chr(10)) + 4}"]


def test_selection() -> None:
    assert set(select(["gp50"])) == {code for code in all_rules() if code.startswith("GP50")}
    assert set(select(["subject"])) == {"GP501"}
    assert set(select([], ["ALL"])) == set()
    assert matching("") == set()
    with pytest.raises(UsageError, match="no rule for patches matches 'GP7'"):
        select(["GP7"])
