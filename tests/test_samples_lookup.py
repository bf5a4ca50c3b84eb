# SPDX-License-Identifier: GPL-2.0-or-later
from __future__ import annotations

from pathlib import Path

import pytest

from genpatch import samples
from genpatch.errors import UsageError


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(samples, "sample_root", lambda: tmp_path)
    for name in ("clean.elf", "call-ops.elf", "module.ko", "boot.image", "README.md", "clean.c"):
        (tmp_path / name).write_bytes(b"")
    (tmp_path / "clean.toml").write_text('description = " nothing is wrong "\n', encoding="utf-8")
    (tmp_path / "module.toml").write_text("[findings]\n", encoding="utf-8")
    return tmp_path


@pytest.mark.usefixtures("root")
def test_only_images_are_samples() -> None:
    assert samples.sample_names() == ["boot", "call-ops", "clean", "module"]


@pytest.mark.usefixtures("root")
def test_summaries_come_from_manifests() -> None:
    assert samples.sample_summary("clean") == "nothing is wrong"
    assert samples.sample_summary("module") == ""
    assert samples.sample_summary("boot") == ""


def test_resolve(root: Path) -> None:
    assert samples.resolve("sample:call-ops") == str(root / "call-ops.elf")
    assert samples.resolve("sample:module") == str(root / "module.ko")
    assert samples.resolve("./vmlinux") == "./vmlinux"
    assert samples.resolve("samples:clean") == "samples:clean"


@pytest.mark.parametrize("name", ["sample:", "sample:nothing", "sample:../clean", "sample:clean.elf"])
@pytest.mark.usefixtures("root")
def test_resolve_knows_no_other_name(name: str) -> None:
    with pytest.raises(UsageError, match=r"no sample .*; 'genpatch samples' lists them"):
        samples.resolve(name)


def test_without_a_directory_there_are_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(samples, "sample_root", lambda: tmp_path / "none")
    assert samples.sample_names() == []


def test_the_repository_has_the_directory() -> None:
    assert samples.sample_root().is_dir()
