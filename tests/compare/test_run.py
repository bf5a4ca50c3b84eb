# SPDX-License-Identifier: GPL-2.0-or-later
from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from genpatch.audit.cases import CALL_OPS_CODE, RET, SITES_AT, Fn, kernel
from genpatch.compare.run import RACED, Comparison, NothingToCompareError, compare, worst
from genpatch.image.containers import open_content
from genpatch.image.model import ImageKind
from genpatch.image.read import read_image
from genpatch.schemes import CATALOG, get_scheme

SAMPLES = Path(__file__).parents[2] / "vmlinux-samples"
SITES = 18


@cache
def sample() -> Comparison:
    """What comes of a kernel of a few functions that patches them by itself."""
    return compare(read_image(open_content(SAMPLES / "verify-call-ops.elf")))


def test_every_scheme_has_a_row() -> None:
    names = [row.scheme.name for row in (*sample().rows, *sample().others)]
    assert sorted(names) == sorted(CATALOG)
    assert {row.scheme.owner for row in sample().rows} == {"ftrace"}
    assert sample().is_own == {"call-ops", "call-ops-direct"}


def test_what_the_kernel_itself_does() -> None:
    own = sample().own
    assert own.sites == SITES
    done = {each.function: each for each in own.patching}
    assert done["ftrace_make_call"].stores == {(4, True): SITES, (8, True): SITES}
    assert done["ftrace_make_nop"].stores == {(4, True): SITES, (8, True): SITES}
    assert {each.sites for each in own.patching} == {SITES}
    assert done["ftrace_make_call"].per_site == {((4, 1), (8, 1)): SITES}
    assert sample().warning == ""
    paths = {path.state: path for path in own.paths}
    assert (paths["disabled"].least, paths["disabled"].most, paths["disabled"].sites) == (2, 2, SITES)
    assert paths["traced"].least == paths["traced"].usual == paths["traced"].most > 2


def test_a_kernel_that_cannot_be_run_is_compared_all_the_same() -> None:
    facts = kernel(*(Fn(name=f"f{number}", at=SITES_AT + 8 + 24 * number, body=RET * 3) for number in range(4)))
    found = compare(facts.image, schemes=[get_scheme("call-ops"), get_scheme("bpf-fentry")])
    assert [row.scheme.name for row in found.rows] == ["call-ops"]
    assert [row.scheme.name for row in found.others] == ["bpf-fentry"]
    assert found.others[0].text is None
    assert found.rows[0].text is not None
    assert found.own.paths == []
    assert any("no ftrace_make_nop" in note or "came to its body" in note for note in found.notes)


def test_sizes_that_are_guessed_are_said_to_be() -> None:
    image = kernel(Fn(name="f"), Fn(name="g", at=SITES_AT + 0x48)).image
    sizeless = replace(image, symbols=replace(image.symbols, size=np.zeros_like(image.symbols.size)))
    notes = compare(sizeless, schemes=[get_scheme("call-ops")]).notes
    assert any("guessed from the next symbol" in note and "upper estimates" in note for note in notes)


def test_what_several_tracers_cost() -> None:
    rows = {row.scheme.name: row.tracers for row in sample().rows}
    traced = {row.scheme.name: row.traced.instructions for row in sample().rows}
    walk = sample().walk
    assert rows["call-ops"].call == dict.fromkeys((1, 10, 1000), traced["call-ops"])
    assert rows["pair-t0"].call[1] == traced["pair-t0"]
    assert rows["pair-t0"].call[10] == traced["pair-t0"] + walk.one[10]
    assert rows["dynamic-trampoline"].packed == {1: 192, 10: 1_920, 1000: 192_000}
    assert rows["dynamic-trampoline"].paged == {1: 4_096, 10: 40_960, 1000: 4_096_000}
    assert rows["call-ops"].paged[1000] == 184


def test_what_speaks_against_a_scheme() -> None:
    facts = kernel(
        Fn(name="f"), symbols={"__global_pointer$": SITES_AT + 0x10_0000, "init_shadow_call_stack": SITES_AT}
    )
    row = compare(facts.image, schemes=[get_scheme("nop-jalr")]).rows[0]
    assert row.why_not == "gp is the shadow call stack's"
    facts = kernel(Fn(name="f"), symbols={"__global_pointer$": SITES_AT + 0x10_0000})
    row = compare(facts.image, schemes=[get_scheme("nop-jalr")]).rows[0]
    assert row.why_not.startswith("1 sites do not reach ftrace_caller")


def test_races() -> None:
    rows = {row.scheme.name: row for row in sample().rows}
    assert {name: worst(rows["call-ops"].races[name])[0] for name in RACED} == dict.fromkeys(RACED, "safe")
    assert worst(rows["pair-t0"].races["stop"])[0] == "safe"
    assert worst(rows["pair-t0"].races["stop-preempt"]) == ("unsafe", ("wild",))
    assert worst(()) == ("skipped", ())


@pytest.mark.parametrize(("full", "here"), [("y", ("stop-preempt", "smp-preempt")), ("n", ("stop", "smp"))])
def test_the_environment_that_a_kernel_is(full: str, here: tuple[str, str]) -> None:
    facts = kernel(Fn(name="f"), config={"CONFIG_PREEMPTION": full})
    rows = compare(facts.image, schemes=[get_scheme("pair-t0"), get_scheme("call-ops")]).rows
    assert tuple(row.here for row in rows) == here


def test_dispatchers_only_where_a_jal_is_too_short() -> None:
    with_some = [row.scheme.name for row in sample().rows if row.dispatchers is not None]
    assert with_some == ["jal-dispatch"]


def test_nothing_to_compare() -> None:
    with pytest.raises(NothingToCompareError, match="no patch sites"):
        compare(kernel(code=CALL_OPS_CODE).image)
    of = kernel(Fn(name="f"))
    with pytest.raises(NothingToCompareError, match="expected a linked kernel"):
        compare(kernel(Fn(name="f"), kind=ImageKind.MODULE, of=of).image)
