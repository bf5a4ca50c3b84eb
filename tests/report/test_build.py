# SPDX-License-Identifier: GPL-2.0-or-later
"""From facts and results to the document."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from genpatch.audit.cases import CALL_OPS_CODE, NOP, PAIR_CODE, SITES_AT, TEXT, Fn, kernel
from genpatch.audit.facts import Facts
from genpatch.audit.model import Finding, Rule, RuleResult, Severity, Status
from genpatch.image.model import ImageKind
from genpatch.report.build import build_document, image_record, summarise
from genpatch.report.document import ImageRecord, PairRecord, ReachRecord, SledRecord, TableRecord

AT = SITES_AT + 0x100


def rule(code: str = "GP777", severity: Severity = Severity.WARNING) -> Rule:
    return Rule(
        code=code, name=f"rule-{code}", severity=severity, since="0.1.0", source="", check=lambda facts: iter(()),
        cases=(), applies="any",
    )  # fmt: skip


def failed(*findings: Finding, code: str = "GP777", severity: Severity = Severity.WARNING) -> RuleResult:
    levelled = tuple(each.at_level(each.level or severity) for each in findings)
    return RuleResult(rule=rule(code, severity), status=Status.FAIL, findings=levelled)


def record(facts: Facts, *results: RuleResult, **more: Any) -> ImageRecord:
    return image_record(facts, results, **more)


def two(**more: Any) -> Facts:
    return kernel(Fn(name="f", at=AT), Fn(name="g", at=AT + 72, nop=NOP), **more)


# --- one image


def test_the_facts_of_a_kernel() -> None:
    found = record(two(table=(0, AT - 8, 0, AT + 64)))
    assert found.input.path == "toy"
    assert found.input.kind == "vmlinux ET_EXEC"
    assert found.input.kernel_release == "7.2.0-toy"
    assert found.input.symbols == f"symtab ({len(CALL_OPS_CODE) + 2})"
    assert (found.input.types, found.input.config, found.input.build_id) == ("none", "none", None)
    assert found.table == TableRecord(entries=4, zero=2, sites=2, source="__start_mcount_loc", sorted=False)
    assert (found.scheme, found.scheme_variant) == ("call-ops", "call-ops-direct")
    assert found.sleds == (
        SledRecord(before=8, after=8, nop="c.nop", sites=1),
        SledRecord(before=8, after=8, nop="nop", sites=1),
    )
    assert found.alignment == {"2": 2, "4": 2, "8": 2, "16": 1}
    assert found.reach == ReachRecord(target="ftrace_caller", min=-0x1148, max=-0x1100, within_jal=2)
    assert found.pair == PairRecord(across_page=0, across_line=0)
    assert found.site_rows is None


@pytest.mark.parametrize(
    ("at", "page", "line"),
    [(SITES_AT + 0xFFC, 1, 1), (SITES_AT + 0x3C, 0, 1), (SITES_AT + 0x38, 0, 0), (SITES_AT + 0x40, 0, 0)],
)
def test_pairs(at: int, page: int, line: int) -> None:
    facts = kernel(Fn(name="f", at=at, before=0), code=PAIR_CODE)
    assert record(facts).pair == PairRecord(across_page=page, across_line=line)


@pytest.mark.parametrize(
    ("distance", "within"),
    [(0xFFFFE, 1), (0x100000, 0), (-0x100000, 1), (-0x100002, 0)],
)
def test_within_jal(distance: int, within: int) -> None:
    code = tuple(each for each in CALL_OPS_CODE if each.name != "ftrace_caller")
    facts = kernel(Fn(name="f", at=AT), code=code, symbols={"ftrace_caller": AT + distance})
    reach = record(facts).reach
    assert reach is not None
    assert (reach.min, reach.max, reach.within_jal) == (distance, distance, within)


def test_sorted() -> None:
    assert record(two()).table.sorted is True
    assert record(two(table=(AT - 8, AT - 8))).table.sorted is True
    assert record(two(table=(AT + 64, AT - 8))).table.sorted is False
    assert record(two(kind=ImageKind.MODULE)).table.sorted is None


def test_a_module_has_neither_reach_nor_pairs() -> None:
    found = record(two(kind=ImageKind.MODULE))
    assert (found.reach, found.pair) == (None, None)


def test_without_sites() -> None:
    found = record(kernel(table=()))
    assert (found.reach, found.pair, found.sleds) == (None, None, ())
    assert found.alignment == {"2": 0, "4": 0, "8": 0, "16": 0}
    assert found.table.sorted is True


def test_without_a_table() -> None:
    facts = two()
    found = record(Facts(image=replace(facts.image, table=None)))
    assert found.table == TableRecord(entries=0, zero=0, sites=0, source="none", sorted=None)
    assert found.scheme == "none"


# --- findings


def test_a_finding() -> None:
    facts = two()
    finding = facts.about_sites(np.array([1, 0]), "two sites are odd", "odd")
    (found,) = record(facts, failed(finding)).findings
    assert (found.rule, found.name, found.level, found.image) == ("GP777", "rule-GP777", "warning", "toy")
    assert (found.address, found.symbol, found.section) == (f"{AT + 72:#x}", "g", ".text")
    assert found.sites == 2
    assert [(each.address, each.symbol) for each in found.examples] == [(f"{AT + 72:#x}", "g"), (f"{AT:#x}", "f")]
    assert found.baseline is None
    assert found.fingerprint.endswith(":1")


def test_a_finding_without_a_place() -> None:
    (found,) = record(two(), failed(Finding(message="m", kind="k", count=7))).findings
    assert (found.address, found.symbol, found.section, found.sites, found.examples) == (None, "", "", 7, ())


def test_examples_are_few() -> None:
    facts = kernel(*(Fn(name=f"f{n}") for n in range(9)))
    (found,) = record(facts, failed(facts.about_sites(np.arange(9), "m", "k"))).findings
    assert [each.symbol for each in found.examples] == ["f0", "f1", "f2", "f3", "f4"]
    assert found.sites == 9


def test_addresses_of_a_module_are_offsets() -> None:
    facts = two(kind=ImageKind.MODULE)
    (found,) = record(facts, failed(facts.about_sites(np.array([0]), "m", "k"))).findings
    assert found.address == f"{AT - TEXT:#x}"
    assert found.examples[0].address == f"{AT - TEXT:#x}"
    assert found.section == ".text"


def test_fingerprints_do_not_move_with_addresses() -> None:
    def print_of(at: int, name: str = "f", subject: Any = "", **more: Any) -> str:
        facts = kernel(Fn(name=name, at=at))
        finding = facts.about_sites(np.array([0]), f"at {at}", "k", subject=subject)
        return record(facts, failed(replace(finding, **more))).findings[0].fingerprint

    assert print_of(AT) == print_of(AT + 64) == print_of(AT, "g")  # which site is first says nothing
    assert print_of(AT) != print_of(AT, subject="x")
    assert print_of(AT) != print_of(AT, kind="j")
    assert print_of(AT, "f", subject=None) != print_of(AT, "g", subject=None)


def test_equal_fingerprints_are_counted() -> None:
    finding = Finding(message="m", kind="k")
    prints = [each.fingerprint for each in record(two(), failed(finding, finding)).findings]
    assert [each[-2:] for each in prints] == [":1", ":2"]
    assert prints[0][:-2] == prints[1][:-2]


def test_what_became_of_a_rule() -> None:
    found = record(
        two(),
        RuleResult(rule=rule("GP701"), status=Status.PASS),
        RuleResult(rule=rule("GP702"), status=Status.SKIPPED, reason="no types"),
        failed(
            Finding(message="m", kind="k", level=Severity.NOTE),
            Finding(message="m", kind="k", level=Severity.ERROR),
            code="GP703",
        ),
        failed(Finding(message="m", kind="k", level=Severity.NOTE), code="GP704"),
    ).rules
    assert [(each.rule, each.level, each.status, each.findings, each.reason) for each in found] == [
        ("GP701", "warning", "pass", 0, ""),
        ("GP702", "warning", "skipped", 0, "no types"),
        ("GP703", "error", "fail", 2, ""),
        ("GP704", "note", "fail", 1, ""),
    ]


def test_rows() -> None:
    facts = two()
    rows = record(facts, failed(facts.about_sites(np.array([1]), "m", "k")), keep_sites=True).site_rows
    assert rows is not None
    assert rows.entry.tolist() == [AT - 8, AT + 64]
    assert rows.func.tolist() == [AT, AT + 72]
    assert rows.ip.tolist() == [AT + 4, AT + 76]
    assert (rows.symbols, rows.sections) == (("f", "g"), (".text", ".text"))
    assert [(code, where.tolist()) for code, where in rows.hits] == [("GP777", [1])]
    assert [rows.nop_names[number] for number in rows.nop] == ["c.nop", "nop"]


def test_rows_of_a_module_are_offsets() -> None:
    rows = record(two(kind=ImageKind.MODULE, of=two()), keep_sites=True).site_rows
    assert rows is not None
    assert rows.entry.tolist() == [AT - TEXT - 8, AT - TEXT + 64]
    assert rows.ip.tolist() == [AT - TEXT + 4, AT - TEXT + 76]


def test_rows_of_sites_outside() -> None:
    rows = record(two(table=(AT - 8, 0x1000)), keep_sites=True).site_rows
    assert rows is not None
    assert rows.sections == (".text", "")


# --- several images


def test_a_single_image_is_the_total() -> None:
    found = record(two())
    document = build_document([found], title="toy", seconds=1.5, notes=["left out: x"], trouble=["y"])
    assert document.total == replace(found, notes=("left out: x",))
    assert document.images == (found,)
    assert (document.title, document.seconds, document.trouble) == ("toy", 1.5, ("y",))


def test_sums() -> None:
    first = record(two(), failed(Finding(message="m", kind="k"), code="GP701"))
    other = record(kernel(Fn(name="h", at=AT, before=0), code=PAIR_CODE))
    document = build_document([first, other], title="2 inputs", seconds=0)
    total = document.total
    assert (total.table.entries, total.table.sites, total.table.zero, total.table.sorted) == (3, 3, 0, None)
    assert total.table.source == "__start_mcount_loc"
    assert total.scheme == "mixed"
    assert total.scheme_variant == "call-ops-direct"
    assert [(each.before, each.after, each.nop, each.sites) for each in total.sleds] == [
        (0, 8, "c.nop", 1), (8, 8, "c.nop", 1), (8, 8, "nop", 1),
    ]  # fmt: skip
    assert total.alignment == {"2": 3, "4": 3, "8": 3, "16": 2}
    assert total.reach == first.reach
    assert (total.input.kind, total.input.path, total.input.kernel_release) == ("2 images", "2 inputs", "7.2.0-toy")
    assert len(total.findings) == 1


def test_what_differs_is_mixed() -> None:
    first = record(two())
    other = replace(first, input=replace(first.input, kernel_release="6.1", types="BTF"), scheme="none")
    total = build_document([first, other], title="t", seconds=0).total
    assert total.input.kernel_release is None
    assert total.input.types == "mixed"
    assert total.input.symbols == "symtab"
    assert total.scheme == "call-ops"


RESULTS = {
    "pass": RuleResult(rule=rule(), status=Status.PASS),
    "skipped": RuleResult(rule=rule(), status=Status.SKIPPED, reason="no types"),
    "fail": failed(Finding(message="m", kind="k", level=Severity.NOTE)),
    "error": RuleResult(
        rule=rule(), status=Status.ERROR, reason="broke",
        findings=(Finding(message="m", kind="rule-crashed", level=Severity.ERROR),),
    ),
}  # fmt: skip


@pytest.mark.parametrize(
    ("statuses", "status", "level", "findings", "reason"),
    [
        (("pass", "pass"), "pass", "warning", 0, ""),
        (("pass", "skipped"), "pass", "warning", 0, ""),
        (("skipped", "pass"), "pass", "warning", 0, ""),
        (("skipped", "skipped"), "skipped", "warning", 0, "no types"),
        (("skipped", "fail"), "fail", "note", 1, ""),
        (("fail", "fail", "pass"), "fail", "note", 2, ""),
        (("fail", "error"), "error", "error", 2, "broke"),
        (("error", "fail", "skipped"), "error", "error", 2, "broke"),
    ],
)
def test_rules_are_merged(statuses: tuple[str, ...], status: str, level: str, findings: int, reason: str) -> None:
    records = [record(two(), RESULTS[each]) for each in statuses]
    (merged,) = build_document(records, title="t", seconds=0).total.rules
    assert (merged.status, merged.level, merged.findings, merged.reason) == (status, level, findings, reason)


def test_a_summary() -> None:
    facts = two()
    levels = (Severity.NOTE, Severity.ERROR, Severity.NOTE)
    found = record(
        facts,
        failed(*(Finding(message="m", kind="k", level=level) for level in levels)),
        RESULTS["skipped"],
        RESULTS["error"],
    )
    summary = summarise([found, found])
    assert (summary.images, summary.errors, summary.warnings, summary.notes) == (2, 4, 0, 4)
    assert (summary.skipped_rules, summary.failed_rules, summary.worst) == (2, 2, "error")


@pytest.mark.parametrize("level", list(Severity))
def test_the_worst_level(level: Severity) -> None:
    found = record(two(), failed(Finding(message="m", kind="k", level=level)))
    assert summarise([found]).worst == level.text
    assert summarise([record(two())]).worst == "none"
