# SPDX-License-Identifier: GPL-2.0-or-later
from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import pytest
from junitparser import Error, Failure, JUnitXml, Skipped, TestCase

from genpatch.report.document import AuditDocument
from genpatch.report.formats import RenderOptions, get_format

from .builders import DOCUMENTS, baselined, clean, faulty, finding, hostile, image, modules, single


def text(document: AuditDocument, **options: object) -> str:
    return "".join(get_format("junit").render(document, RenderOptions(**options)))  # type: ignore[arg-type]


def cases(document: AuditDocument, **options: object) -> list[TestCase]:
    report = JUnitXml.fromstring(text(document, **options).encode())
    return [case for suite in report for case in suite]


def outcome(case: TestCase) -> object:
    return type(case.result[0]) if case.result else None


@pytest.mark.parametrize("name", DOCUMENTS)
def test_a_library_loads_it_and_its_counts_are_ours(name: str, tmp_path: Path) -> None:
    path = tmp_path / "report.xml"
    path.write_text(text(DOCUMENTS[name]()), encoding="utf-8")
    report = JUnitXml.fromfile(str(path))
    told = [(suite.tests, suite.failures, suite.errors, suite.skipped) for suite in report]
    totals = (report.tests, report.failures, report.errors, report.skipped)
    for suite in report:
        suite.update_statistics()
    assert told == [(suite.tests, suite.failures, suite.errors, suite.skipped) for suite in report]
    assert totals == tuple(sum(column) for column in zip(*told, strict=True))


def test_outcomes() -> None:
    assert {case.name: outcome(case) for case in cases(faulty())} == {
        "GP101 sled-size": None,
        "GP104 function-alignment": Failure,
        "GP107 call-pair-layout": None,
        "GP203 call-out-of-reach": None,
        "GP205 frozen-hi20": Failure,
        "GP208 table-order": Failure,
        "GP301 frame-offsets": Skipped,
        "GP302 frame-readers": Skipped,
        "GP310 landing-pads": Skipped,
        "GP901 relocations": Error,
    }
    assert {case.classname for case in cases(faulty())} == {"genpatch.audit"}


def test_a_failure() -> None:
    case = cases(faulty())[4]
    failure = case.result[0]
    assert (failure.type, failure.message) == ("GP205", "2 findings")
    assert failure.text.splitlines() == [
        "error: ftrace_stub_direct_tramp needs another auipc immediate than ftrace_caller in 1,020 sites, "
        "but only the jalr is written when a call is changed",
        "  0xffffffff8004bc60 vfs_read",
        "  0xffffffff8004bd00 vfs_write",
        "  0xffffffff8004c1a8 do_sys_openat2.isra.0",
        "  ... 1,017 more",
        "error: ftrace_regs_caller is out of a frozen auipc's page in 3 sites",
        "  0xffffffff80051000 fput",
        "  ... 2 more",
    ]


def test_a_note_is_output_unless_strict() -> None:
    assert cases(faulty())[2].system_out.startswith("note: 52 call pairs")
    assert outcome(cases(faulty(), strict=True)[2]) is Failure


def test_reasons() -> None:
    by_name = {case.name: case.result[0].message for case in cases(faulty()) if case.result}
    assert by_name["GP310 landing-pads"] == "the configuration is not known"
    assert by_name["GP901 relocations"] == "relocation type 77 is not known"


def test_what_the_baseline_knows_is_skipped() -> None:
    found = cases(baselined())
    assert outcome(found[1]) is Failure
    assert outcome(found[4]) is Skipped
    assert found[4].result[0].message == "baseline: 2 known findings"


def test_suites_are_images() -> None:
    report = JUnitXml.fromstring(text(modules()).encode())
    assert [suite.name for suite in report] == [
        "drivers/net/dummy.ko",
        "fs/xfs/xfs.ko",
        "fs/ext4/ext4.ko",
        "lib/crc8.ko",
    ]


def test_a_finding_without_a_record_of_its_rule_is_not_lost() -> None:
    (case,) = cases(single(image(rules=(), findings=(finding(),))))
    assert (case.name, outcome(case)) == ("GP205 frozen-hi20", Failure)


def test_there_is_no_time_stamp_and_no_odd_character() -> None:
    assert "timestamp" not in text(faulty())
    assert text(hostile()).isascii()
    root = ElementTree.fromstring(text(hostile()))
    assert {each.tag for each in root.iter()} == {
        "testsuites",
        "testsuite",
        "testcase",
        "failure",
        "skipped",
        "error",
    }


def test_long_lists_are_cut() -> None:
    many = tuple(finding(message=f"message {n}", address=None) for n in range(60))
    (case,) = cases(single(image(rules=(), findings=many)))
    assert case.result[0].text.splitlines()[-1] == "... 10 more"


def test_clean() -> None:
    assert [outcome(case) for case in cases(clean())] == [None, None]
