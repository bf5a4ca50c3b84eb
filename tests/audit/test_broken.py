# SPDX-License-Identifier: GPL-2.0-or-later
"""From broken promises to findings: grouped by what they are about, with one site as the example."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from genpatch.audit.broken import broken
from genpatch.audit.cases import Fn, kernel
from genpatch.audit.facts import Facts
from genpatch.audit.live import live
from genpatch.audit.model import Finding, Skip
from genpatch.verify.contract import Failure, Promise

FACTS = live()
ONE, TWO = 0xFFFF_FFFF_8000_3010, 0xFFFF_FFFF_8000_3030


def failure(
    promise: Promise, what: str = "a0", state: str = "enabled", lanes: tuple[int, ...] = (0,), **more: Any
) -> Failure:
    numbers = {
        name: np.full(len(lanes), more.pop(name, default), np.uint64) for name, default in (("expected", 1), ("got", 2))
    }
    return Failure(state, promise, what, np.array(lanes, np.int64), **numbers, **more)


def found(*failures: Failure, promises: tuple[Promise, ...] = tuple(Promise)) -> list[Finding]:
    assert FACTS.verification is not None
    return list(broken(replace(FACTS, verification=replace(FACTS.verification, failures=list(failures))), *promises))


def test_nothing() -> None:
    assert found() == []


def test_only_what_is_asked_for() -> None:
    both = (failure(Promise.CALLS, "callback"), failure(Promise.REGISTERS))
    (finding,) = found(*both, promises=(Promise.CALLS,))
    assert finding.message.startswith("the callback is not called once at 1 site of 3 in state enabled: one, ")


def test_states_and_sites_together() -> None:
    first, second = failure(Promise.REGISTERS, lanes=(0, 2)), failure(Promise.REGISTERS, state="changed", lanes=(1, 2))
    (finding,) = found(first, second)
    assert finding.message == (
        "a0 is not preserved at 3 sites of 3 in states enabled, changed: one, 0x2 instead of 0x1"
    )
    assert finding.sites is not None
    assert finding.sites.tolist() == [0, 1, 2]
    assert (finding.address, finding.symbol, finding.kind) == (ONE, "one", "registers-a0")


def test_registers_that_are_lost_together_are_one_finding() -> None:
    (finding,) = found(*(failure(Promise.REGISTERS, name) for name in ("a0", "a1", "s2")))
    assert finding.message.startswith("a0, a1 and s2 are not preserved at 1 site")


def test_at_other_sites_they_are_two() -> None:
    assert len(found(failure(Promise.REGISTERS, "a0"), failure(Promise.REGISTERS, "a1", lanes=(1,)))) == 2


@pytest.mark.parametrize("promise", Promise)
def test_every_promise_has_words(promise: Promise) -> None:
    (finding,) = found(failure(promise, note="how it was"))
    assert finding.message
    assert finding.kind.startswith(f"{promise.value}-a0")
    pair = found(failure(promise, "x y"), failure(promise, "z"))
    assert all(each.message and " " not in each.kind for each in pair)


def test_where_it_went() -> None:
    (finding,) = found(failure(Promise.ARRIVES, "body", expected=ONE + 8, got=TWO))
    assert finding.message.endswith(f"one goes to {TWO:#x} (two) instead of {ONE + 8:#x} (one+0x8)")
    (finding,) = found(failure(Promise.ARRIVES, "body", expected=ONE + 8, got=4, note="it ends there: fault"))
    assert finding.message.endswith("one goes to 0x4 instead of 0xffffffff80003018 (one+0x8), it ends there: fault")


def test_an_error_number_is_no_address() -> None:
    minus_22 = (1 << 64) - 22
    (finding,) = found(
        failure(Promise.PATCH_RETURNS, "ftrace_make_call", expected=0, got=minus_22, note="returned -22")
    )
    assert finding.message == "ftrace_make_call fails at 1 site of 3 in state enabled: one, returned -22"
    (finding,) = found(failure(Promise.PATCH_RETURNS, "ftrace_make_call", expected=TWO, got=TWO, note="illegal"))
    assert finding.message.endswith("one, illegal at two")


def test_what_was_not_run_is_skipped() -> None:
    with pytest.raises(Skip, match="only 'genpatch verify' runs the code"):
        list(broken(kernel(Fn(name="one")), Promise.CALLS))
    assert FACTS.verification is not None
    nothing = replace(FACTS.verification, terms=None, notes=["the scheme is not known"])
    with pytest.raises(Skip, match="the scheme is not known"):
        list(broken(Facts(image=FACTS.image, verification=nothing), Promise.CALLS))
