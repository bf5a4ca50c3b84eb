# SPDX-License-Identifier: GPL-2.0-or-later
"""A kernel that was built, judged by audit, verify and race: here the small ones that are bundled."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from genpatch.errors import GenpatchError
from genpatch.prove.model import Judgement
from genpatch.report.judging import JUDGES
from genpatch.samples import sample_root


def judged(tmp_path: Path, sample: str, name: str, config: str) -> Judgement:
    shutil.copy(sample_root() / f"{sample}.elf", tmp_path / "vmlinux")
    (tmp_path / ".config").write_text(config)
    said: list[str] = []
    made = JUDGES[name](tmp_path / "vmlinux", (), tmp_path / f"{name}.json", said.append)
    assert said, "progress is told"
    document = json.loads((tmp_path / f"{name}.json").read_text())
    assert document["schema"] == f"genpatch/{name}/1"
    return made


def test_a_kernel_in_order(tmp_path: Path) -> None:
    config = "CONFIG_SMP=y\nCONFIG_PREEMPTION=y\n"
    audit, verify, race = (judged(tmp_path, "scheme-call-ops", name, config) for name in JUDGES)
    assert audit == Judgement("14 sites, call-ops, no findings")
    assert verify.evidence == "14 sites in 11 states, none failed"
    assert verify.lines[0].startswith("passed: boot 14, enabled 14, ")
    assert (verify.findings, verify.trouble, race.findings, race.trouble) == ((), "", (), "")
    assert race.evidence.startswith("6 transitions: 6 safe; ")
    assert race.lines[0].startswith("environment: harts=2, preemption=full, ")
    assert "enable: safe" in race.lines


def test_the_configuration_beside_it_counts(tmp_path: Path) -> None:
    full = judged(tmp_path, "scheme-pair-t0", "race", "CONFIG_SMP=y\nCONFIG_PREEMPTION=y\n")
    assert "enable: unsafe" in full.lines
    assert {found.level for found in full.findings} == {"error"}
    none = judged(tmp_path, "scheme-pair-t0", "race", "CONFIG_SMP=y\n# CONFIG_PREEMPTION is not set\n")
    assert "enable: safe" in none.lines


def test_a_finding_keeps_its_name_from_build_to_build(tmp_path: Path) -> None:
    first = judged(tmp_path, "frozen-auipc", "audit", "CONFIG_SMP=y\n")
    (tmp_path / "elsewhere").mkdir()
    second = judged(tmp_path / "elsewhere", "frozen-auipc", "audit", "CONFIG_SMP=y\n")
    assert [found.rule for found in first.findings] == ["GP202"]
    assert [found.key for found in first.findings] == [found.key for found in second.findings]


def test_what_is_no_kernel_is_said(tmp_path: Path) -> None:
    (tmp_path / "vmlinux").write_text("no kernel\n")
    (tmp_path / ".config").write_text("CONFIG_SMP=y\n")
    for judge in JUDGES.values():
        with pytest.raises(GenpatchError):
            judge(tmp_path / "vmlinux", (), tmp_path / "log", lambda text: None)
