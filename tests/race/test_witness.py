# SPDX-License-Identifier: GPL-2.0-or-later
"""Witnesses as a mail quotes them."""

from __future__ import annotations

import pytest

from genpatch.race.environment import get_environment
from genpatch.race.explore import explore
from genpatch.race.model import Kind
from genpatch.race.rows import WitnessLine
from genpatch.race.witness import lines_of, two_columns

from .test_litmus import TESTS, Litmus


def shown(name: str, environment: str, kind: Kind) -> str:
    test = next(each for each in TESTS if (each.name, each.environment) == (name, environment))
    result = explore(test.scenario, get_environment(environment))
    return "\n".join(two_columns(lines_of(result, kind)))


def test_stopped_between_two_words() -> None:
    expected = """\
patcher                            | victim
-----------------------------------+---------------------------------------
                                   | calls func on hart 1
                                   | func: nop
stop_machine                       |
                                   | (preempted at func+0x4)
store 8 at func =                  |
  0x740282e700200297 (auipc and    |
  jalr)                            |
fence.i                            |
end of stop_machine                |
                                   | func+0x4: jalr t0, t0, 0x740
                                   | pc = 0x500000000744
=> wild: the pc is 0x500000000744, outside of func"""
    assert shown("pair, stopped", "stop-preempt", Kind.WILD).startswith(expected)


def test_stale() -> None:
    assert (
        shown("no local fence.i", "up", Kind.STALE)
        == """\
patcher                            | victim
-----------------------------------+---------------------------------------
store 4 at func = 0x280002ef (jal) |
fence                              |
returns                            |
                                   | calls func on the patcher's hart, the
                                   |   patcher has returned
                                   | func: nop  [stale]
                                   | enters the body
=> stale: a call after the patcher has returned is not traced; it must be
  traced by ops A"""
    )


def test_two_patchers_are_told_apart() -> None:
    lines = shown("neighbours", "two-patchers", Kind.LOST).splitlines()
    assert any(line.startswith("2: map slot to") for line in lines)
    assert any(line.startswith("map slot to") for line in lines)
    assert any(line.startswith("=> lost: the store to ") for line in lines)


def test_what_a_load_has_seen() -> None:
    text = " ".join(shown("pointer on 4 mod 8", "smp", Kind.OPS).replace("|", " ").split())
    assert "-> 0xffffaf8101402080" in text
    assert text.endswith("is loaded as 0xffffaf8101402080, torn")


def test_late_stores_are_said_to_be() -> None:
    text = shown("message by pointer, no fence", "smp", Kind.WILD)
    assert ", not visible yet" in text
    assert "5 instructions, to other+0xc" in text


def test_migration_is_said() -> None:
    text = shown("own fence.i, then migration", "smp-preempt", Kind.STALE)
    assert "(preempted, goes on on " in text
    assert "[stale]" in text


def test_columns_fit_a_mail() -> None:
    lines = [
        WitnessLine("patcher", "x" * 60),
        WitnessLine("patcher 2", "one two three four five six seven eight"),
        WitnessLine("harts", "(y)"),
        WitnessLine("victim", "z"),
        WitnessLine("", "w"),
    ]
    assert two_columns(lines) == [
        f"{'patcher':<34} | victim",
        f"{'-' * 35}+{'-' * 39}",
        "x" * 60 + " |",  # what has no spaces stays whole
        f"{'2: one two three four five six':<34} |",
        f"{'  seven eight':<34} |",
        f"{'(y)':<34} |",
        f"{'':<34} | z",
        "=> w",
    ]


@pytest.mark.parametrize(
    "test", [test for test in TESTS if test.kinds], ids=lambda test: f"{test.name} | {test.environment}"
)
def test_no_line_is_too_long(test: Litmus) -> None:
    result = explore(test.scenario, get_environment(test.environment))
    for kind in result.witnesses:
        assert max(map(len, two_columns(lines_of(result, kind)))) <= 75


@pytest.mark.parametrize(
    "test", [test for test in TESTS if test.kinds], ids=lambda test: f"{test.name} | {test.environment}"
)
def test_every_failure_can_be_told(test: Litmus) -> None:
    result = explore(test.scenario, get_environment(test.environment))
    for kind in result.witnesses:
        lines = lines_of(result, kind)
        assert lines[-1].text.startswith(f"{kind}: ")
        assert all(line.text and line.who in ("patcher", "patcher 2", "victim", "harts") for line in lines[:-1])
        assert all("\n" not in text and text == text.rstrip() for text in two_columns(lines) if "|" not in text)
