# SPDX-License-Identifier: GPL-2.0-or-later
"""The program run in this process, as its entry point runs it."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from genpatch.cli.app import main
from tests.elfwriter import Symbol, elf, text
from tests.toykernel import PAIR_CODE, TEXT, module, vmlinux


@dataclass(frozen=True)
class Ran:
    status: int
    out: str
    err: str


Run = Callable[..., Ran]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    for name in ("FORCE_COLOR", "NO_COLOR", "CLICOLOR_FORCE", "GENPATCH_DEBUG", "GITHUB_STEP_SUMMARY", "CI"):
        monkeypatch.delenv(name, raising=False)

    def run(*args: str | Path) -> Ran:
        monkeypatch.setattr(sys, "argv", ["genpatch", *map(str, args)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as caught:
            main()
        code = caught.value.code
        captured = capsys.readouterr()
        return Ran(code if isinstance(code, int) else 0, captured.out, captured.err)

    return run


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory to be in, with kernels: good, misaligned (a warning), preempt (an error), two modules."""
    monkeypatch.chdir(tmp_path)
    pair: dict[str, Any] = {"code": PAIR_CODE, "before": b"", "entry": TEXT}
    odd = Symbol(name="preempt_schedule", value=TEXT + 0x1400)
    files = {
        "good": vmlinux(entry=TEXT),
        "misaligned": vmlinux(first=0x22, **pair),
        "preempt": vmlinux(symbols=(odd,), **pair),
        "ext.ko": module(),
        "x86": elf(machine=62),
        "arm": elf(machine=183),
        "empty": b"",
        "text": b"hello\n",
        "program": elf(text(bytes(16), 0x10000), symbols=[Symbol(name="main", value=0x10000)]),
        "untraced": elf(text(bytes(16), TEXT), symbols=[Symbol(name="start_kernel", value=TEXT)]),
        "short": vmlinux(entry=TEXT)[:5000],
    }
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
    (tmp_path / "hollow").mkdir()
    (tmp_path / "hollow" / "README").write_text("nothing\n")
    return tmp_path
