# SPDX-License-Identifier: GPL-2.0-or-later
"""Debian's kernels: the figures were measured with nm, readelf and objdump before genpatch existed."""

from __future__ import annotations

import json
import os
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from genpatch.audit.registry import all_rules
from genpatch.report.auditing import AuditOptions, audit_paths

pytestmark = pytest.mark.kernels

RELEASES = {"6.12": "6.12.107+deb13-riscv64", "7.2": "7.2.13+deb14-riscv64"}
EXPECTED: dict[str, dict[str, Any]] = {
    "6.12": {
        "table": {"entries": 39507, "zero": 0, "sites": 39507, "source": "__start_mcount_loc", "sorted": True},
        "scheme": "pair-t0",
        "scheme_variant": None,
        "sleds": [{"before": 0, "after": 8, "nop": "c.nop", "sites": 39507}],
        "alignment": {"2": 39507, "4": 20646, "8": 10277, "16": 5082},
        "reach": {"target": "ftrace_caller", "min": -12862280, "max": 44896, "within_jal": 4693},
        "pair": {"across_page": 52, "across_line": 3707},
    },
    "7.2": {
        "table": {"entries": 43957, "zero": 248, "sites": 43709, "source": "__start_mcount_loc", "sorted": True},
        "scheme": "call-ops",
        "scheme_variant": "call-ops-direct",
        "sleds": [{"before": 8, "after": 8, "nop": "c.nop", "sites": 43709}],
        "alignment": {"2": 43709, "4": 43709, "8": 43709, "16": 21565},
        "reach": {"target": "ftrace_caller", "min": -14957504, "max": 133600, "within_jal": 3896},
        "pair": {"across_page": 0, "across_line": 0},
    },
}
FINDINGS = {
    "6.12": [("GP108", "warning"), ("GP109", "note"), ("GP115", "note"), ("GP231", "warning")],
    "7.2": [("GP202", "error"), ("GP214", "note"), ("GP402", "warning")],
}
ALL = pytest.mark.parametrize("version", RELEASES)


@cache
def audit(path: Path) -> dict[str, Any]:
    options = AuditOptions(rules=tuple(all_rules().values()))
    document: dict[str, Any] = json.loads(json.dumps(audit_paths([str(path)], options).as_json()))
    return document


def given(version: str, kind: str) -> dict[str, Any]:
    """Return the audit of a kernel; skip where it is not there or of another release."""
    folder = os.environ.get("GENPATCH_KERNELS")
    if not folder:
        pytest.skip("GENPATCH_KERNELS names no directory of kernels")
    path = Path(folder, version, kind)
    if not path.exists():
        pytest.skip(f"GENPATCH_KERNELS holds no {version}/{kind}")
    document = audit(path)
    if document["input"]["kernel_release"] != RELEASES[version]:
        pytest.skip(f"{version}/{kind} is {document['input']['kernel_release']}, figures are of {RELEASES[version]}")
    return document


def the(document: dict[str, Any], code: str) -> dict[str, Any]:
    (found,) = [finding for finding in document["findings"] if finding["rule"] == code]
    assert isinstance(found, dict)
    return found


@ALL
@pytest.mark.parametrize("key", ["table", "scheme", "scheme_variant", "sleds", "alignment", "reach", "pair"])
def test_figures_of_the_vmlinux(version: str, key: str) -> None:
    assert given(version, "vmlinux")[key] == EXPECTED[version][key]


@ALL
@pytest.mark.parametrize("key", ["table", "scheme", "scheme_variant", "sleds", "alignment", "reach", "pair"])
def test_figures_of_the_boot_image(version: str, key: str) -> None:
    assert given(version, "boot")[key] == EXPECTED[version][key]


@ALL
def test_findings_of_the_vmlinux(version: str) -> None:
    found = [(each["rule"], each["level"]) for each in given(version, "vmlinux")["findings"]]
    assert sorted(found) == FINDINGS[version]


@ALL
def test_errors_of_the_boot_image(version: str) -> None:
    found = [each["rule"] for each in given(version, "boot")["findings"] if each["level"] == "error"]
    assert found == [rule for rule, level in FINDINGS[version] if level == "error"]


@ALL
@pytest.mark.parametrize("kind", ["vmlinux", "boot"])
def test_no_rule_broke_and_nothing_was_unreadable(version: str, kind: str) -> None:
    document = given(version, kind)
    assert [rule["rule"] for rule in document["rules"] if rule["status"] == "error"] == []
    assert document["trouble"] == []
    assert "GP903" not in [finding["rule"] for finding in document["findings"]]


@ALL
def test_what_was_read(version: str) -> None:
    found = given(version, "vmlinux")["input"]
    assert found["kind"] == "vmlinux ET_EXEC"
    assert found["types"] == "BTF"
    assert found["symbols"] == {"6.12": "symtab (235,930)", "7.2": "symtab (258,905)"}[version]


@ALL
def test_both_files_are_one_build(version: str) -> None:
    whole, boot = given(version, "vmlinux"), given(version, "boot")
    assert whole["input"]["build_id"] == boot["input"]["build_id"]
    assert whole["input"]["build_id"] is not None


@pytest.mark.parametrize("kind", ["vmlinux", "boot"])
def test_the_frozen_auipc_of_7_2(kind: str) -> None:
    finding = the(given("7.2", kind), "GP202")
    assert finding["sites"] == 1020
    assert "ftrace_stub_direct_tramp" in finding["message"]
    assert "1,020 sites of 43,709" in finding["message"]
    assert len(finding["examples"]) == 5
    assert all(each["symbol"] for each in finding["examples"])


@pytest.mark.parametrize("kind", ["vmlinux", "boot"])
def test_the_alignment_of_6_12(kind: str) -> None:
    finding = the(given("6.12", kind), "GP108")
    assert finding["sites"] == 18861 == 39507 - 20646
    assert finding["message"].startswith("18,861 functions of 39,507 not on a multiple of 4")
    assert len(finding["examples"]) == 5


def test_the_weak_functions_of_6_12() -> None:
    assert the(given("6.12", "vmlinux"), "GP115")["sites"] == 234


def test_the_pairs_of_6_12() -> None:
    message = the(given("6.12", "vmlinux"), "GP109")["message"]
    assert "52 across a page and 3,707 across a 64-byte line" in message


def test_the_preemption_of_7_2() -> None:
    assert the(given("7.2", "vmlinux"), "GP402")["symbol"] == "bpf_arch_text_poke"


@ALL
def test_skipped_rules_say_why(version: str) -> None:
    skipped = [rule for rule in given(version, "vmlinux")["rules"] if rule["status"] == "skipped"]
    assert all(rule["reason"] for rule in skipped)
    assert len(skipped) < 10
