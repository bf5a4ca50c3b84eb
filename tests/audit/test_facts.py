# SPDX-License-Identifier: GPL-2.0-or-later
from __future__ import annotations

import numpy as np
import pytest

from genpatch.audit.cases import (
    CALL_OPS_CODE,
    DATA,
    FREGS,
    INIT,
    PAIR_CODE,
    SITES_AT,
    TEXT,
    Fn,
    kernel,
    replaced,
)
from genpatch.audit.facts import join_names
from genpatch.audit.model import Severity, Skip
from genpatch.image.model import ImageKind

AT = SITES_AT + 0x100


def test_a_module_has_the_code_of_its_kernel() -> None:
    of = kernel(Fn(name="k"), code=CALL_OPS_CODE)
    module = kernel(Fn(name="m"), kind=ImageKind.MODULE, code=(), of=of)
    assert module.code is of.code
    assert module.is_module
    assert not of.is_module
    assert module.adjust == of.adjust == 12


def test_where_the_kernel_patches() -> None:
    facts = kernel(Fn(name="f", at=AT))
    assert facts.adjust == 12
    assert facts.ip is not None
    assert facts.ip.tolist() == [AT + 4]
    assert facts.call.tolist() == [AT]


def test_an_adjustment_that_is_inlined() -> None:
    facts = kernel(Fn(name="f", at=AT, before=0), code=PAIR_CODE)
    assert facts.adjust == 0
    assert facts.ip is not None
    assert facts.ip.tolist() == [AT]


def test_an_adjustment_that_cannot_be_read() -> None:
    code = replaced(PAIR_CODE, "ftrace_call_adjust", "add a0, a0, a1\n jalr zero, 0(ra)")
    facts = kernel(Fn(name="f", before=0), code=code)
    assert facts.adjust is None
    assert facts.ip is None


def test_distances() -> None:
    facts = kernel(Fn(name="f", at=AT), Fn(name="g", at=AT + 64))
    assert facts.distances_to(TEXT).tolist() == [TEXT - AT, TEXT - AT - 64]
    assert facts.distances_to(AT + 64).tolist() == [64, 0]


@pytest.mark.parametrize(
    ("config", "symbols", "full", "evidence"),
    [
        ({"CONFIG_PREEMPTION": "y"}, {}, True, "CONFIG_PREEMPTION in toy"),
        ({"CONFIG_RISCV": "y"}, {"preempt_schedule": AT + 0x900}, False, "CONFIG_PREEMPTION in toy"),
        (None, {"preempt_schedule": AT + 0x900}, True, "preempt_schedule is in the image"),
        (None, {}, False, "there is no preempt_schedule in the image"),
    ],
)
def test_preemption(config: dict[str, str] | None, symbols: dict[str, int], full: bool, evidence: str) -> None:
    facts = kernel(Fn(name="f"), config=config, symbols=symbols)
    assert (facts.preemption.full, facts.preemption.evidence) == (full, evidence)


def test_preemption_without_anything() -> None:
    preemption = kernel(code=()).preemption
    assert (preemption.full, preemption.evidence) == (None, "neither configuration nor symbols")


def test_names_of_sites() -> None:
    facts = kernel(Fn(name="f", at=AT), Fn(name="", at=AT + 64))
    assert facts.site_name(0) == "f"
    assert facts.site_name(1) == "f+0x40"
    assert facts.symbol_at(AT + 2) == "f+0x2"
    assert facts.section_name(AT) == ".text"
    assert facts.section_name(0) == ""


def test_section_counts() -> None:
    facts = kernel(Fn(name="f", at=AT), Fn(name="g", at=AT + 64), Fn(name="i", at=INIT + 0x40))
    assert facts.section_counts(np.array([0, 1, 2])) == ".text 2, .init.text 1"
    assert facts.section_counts(np.array([0, 1, 2]), limit=1) == ".text 2, 1 more sections"
    outside = kernel(Fn(name="f", at=AT), table=(AT - 8, 0x1000))
    assert outside.section_counts(np.array([1])) == "outside 1"


def test_about_sites() -> None:
    facts = kernel(Fn(name="f", at=AT), Fn(name="g", at=AT + 64))
    finding = facts.about_sites(np.array([1, 0]), "text", "kind", level=Severity.NOTE, subject="s")
    assert (finding.address, finding.symbol, finding.level, finding.subject) == (AT + 64, "g", Severity.NOTE, "s")


def test_what_a_rule_needs() -> None:
    with pytest.raises(Skip, match="the image has no patch sites"):
        kernel(code=()).need_sites()
    with pytest.raises(Skip, match="the scheme could not be determined"):
        kernel(code=()).need_scheme()
    facts = kernel(Fn(name="f"))
    assert facts.need_scheme().name == "call-ops"
    assert len(facts.need_sites()) == 1


def test_structs() -> None:
    assert kernel(Fn(name="f")).struct("__arch_ftrace_regs") is None
    facts = kernel(Fn(name="f"), structs=(FREGS,))
    assert facts.struct("__arch_ftrace_regs") is FREGS
    assert facts.struct("other") is None


def test_executable_regions() -> None:
    facts = kernel(Fn(name="f"))
    assert facts.executable.tolist() == [True, True, True, False, False]
    assert facts.section_name(DATA) == ".data"


@pytest.mark.parametrize(
    ("names", "text"), [([], ""), (["a"], "a"), (["a", "b", "c"], "a, b, c"), (list("abcde"), "a, b, c and 2 more")]
)
def test_join_names(names: list[str], text: str) -> None:
    assert join_names(names) == text
