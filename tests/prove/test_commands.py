# SPDX-License-Identifier: GPL-2.0-or-later
"""Programs that are run: their words, their end, and that nothing of them stays."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from pathlib import Path

import pytest

from genpatch.prove import commands
from genpatch.prove.commands import run, said
from genpatch.prove.errors import ProveError

ENV = {"PATH": os.environ["PATH"], "LC_ALL": "C"}


def shell(tmp_path: Path, text: str, *, timeout: float = 20, on_line=None):  # type: ignore[no-untyped-def]
    return run(("sh", "-c", text), cwd=tmp_path, env=ENV, log=tmp_path / "log", timeout=timeout, on_line=on_line)


def is_alive(number: int) -> bool:
    with suppress(ProcessLookupError):
        os.kill(number, 0)
        return Path(f"/proc/{number}/stat").read_text().split()[2] != "Z"
    return False


def gone(number: int) -> bool:
    for _ in range(100):
        if not is_alive(number):
            return True
        time.sleep(0.02)
    return False


def test_lines_log_and_status(tmp_path: Path) -> None:
    lines: list[str] = []
    ran = shell(tmp_path, "echo one; echo two >&2; printf three; exit 3", on_line=lines.append)
    assert (ran.status, ran.why) == (3, "")
    assert lines == ["one", "two"]
    assert (tmp_path / "log").read_bytes().endswith(b"one\ntwo\nthree")


def test_a_time_limit_ends_it_and_its_children(tmp_path: Path) -> None:
    ran = shell(tmp_path, "sleep 300 & echo $! >child; wait", timeout=0.3)
    assert ran.why == "time"
    assert ran.seconds < 10
    assert gone(int((tmp_path / "child").read_text()))


def test_it_is_ended_when_enough_was_said(tmp_path: Path) -> None:
    ran = shell(tmp_path, "echo $$ >child; echo end; exec sleep 300", on_line=lambda line: line == "end")
    assert ran.why == "enough"
    assert gone(int((tmp_path / "child").read_text()))


def test_it_is_ended_when_it_says_too_much(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commands, "MOST_LOG", 100_000)
    ran = shell(tmp_path, "while :; do echo 0123456789012345678901234567890123456789; done")
    assert ran.why == "output"
    assert (tmp_path / "log").stat().st_size < 300_000


def test_an_interruption_leaves_nothing_running(tmp_path: Path) -> None:
    def stop(line: str) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        shell(tmp_path, "sleep 300 & echo $! >child; echo go; wait", on_line=stop)
    assert gone(int((tmp_path / "child").read_text()))


def test_a_program_that_closes_its_output_and_goes_on(tmp_path: Path) -> None:
    ran = shell(tmp_path, "echo $$ >child; exec >&- 2>&-; exec sleep 300", timeout=0.5)
    assert ran.why == "time"
    assert gone(int((tmp_path / "child").read_text()))


def test_no_such_program(tmp_path: Path) -> None:
    with pytest.raises(ProveError, match="nothing-of-that-name: No such file or directory"):
        run(("nothing-of-that-name",), cwd=tmp_path, env=ENV, log=tmp_path / "log", timeout=1)


def test_what_programs_say_of_themselves() -> None:
    assert said(("sh", "-c", "echo; echo GNU Make 4.3; echo more")) == "GNU Make 4.3"
    assert said(("nothing-of-that-name",)) == ""
