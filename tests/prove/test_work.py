# SPDX-License-Identifier: GPL-2.0-or-later
"""The work directory: what it remembers, what it forgets, whom it lets in."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from genpatch.prove.errors import ProveError
from genpatch.prove.model import Found, StageResult, Status
from genpatch.prove.work import key_of, open_work

RESULT = StageResult(
    "audit", Status.OK, 1.5, "3 sites", ("a line",), (Found("GP101", "error", "wrong", "k", 3),), "logs/audit.json"
)


def test_what_was_done_is_remembered_for_the_same_inputs_only(tmp_path: Path) -> None:
    with open_work(tmp_path / "w", tmp_path / "t") as work:
        work.keep("with/audit", "key", RESULT)
    with open_work(tmp_path / "w", tmp_path / "t") as work:
        assert work.kept("with/audit", "key") == RESULT.as_kept()
        assert work.kept("with/audit", "other") is None
        assert work.kept("without/audit", "key") is None
        work.forget("with/audit")
    with open_work(tmp_path / "w", tmp_path / "t") as work:
        assert work.kept("with/audit", "key") is None


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", '{"schema": 2, "done": {}}', '{"schema": 1, "done": {"with/audit": {"key": "key", "result": {}}}}',
     '{"schema": 1, "done": {"with/audit": 7}}', '{"schema": 1, "done": []}'],
)  # fmt: skip
def test_a_state_that_is_not_understood_is_no_state(tmp_path: Path, text: str) -> None:
    with open_work(tmp_path / "w", tmp_path / "t"):
        (tmp_path / "w" / "state.json").write_text(text)
    with open_work(tmp_path / "w", tmp_path / "t") as work:
        assert work.kept("with/audit", "key") is None
        work.keep("with/audit", "key", RESULT)
    assert json.loads((tmp_path / "w" / "state.json").read_text())["schema"] == 1


def test_a_result_counts_while_what_it_made_is_there(tmp_path: Path) -> None:
    with open_work(tmp_path / "w", tmp_path / "t") as work:
        file = tmp_path / "w" / "vmlinux"
        assert not work.sealed(file, "key")
        file.write_text("kernel")
        work.seal(file, "key")
        assert work.sealed(file, "key")
        assert not work.sealed(file, "other")
        file.write_text("another")
        assert not work.sealed(file, "key")


def test_one_at_a_time(tmp_path: Path) -> None:
    with (
        open_work(tmp_path / "w", tmp_path / "t"),
        pytest.raises(ProveError, match="another genpatch prove works there"),
        open_work(tmp_path / "w", tmp_path / "t"),
    ):
        pass
    with open_work(tmp_path / "w", tmp_path / "t"):
        pass


def test_somebody_elses_directory_is_not_touched(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("x")
    with (
        pytest.raises(ProveError, match="not empty, and no work directory of genpatch prove"),
        open_work(tmp_path / "mine", tmp_path / "t"),
    ):
        pass
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["thesis.tex"]


def test_a_restart_takes_away_only_what_is_its_own(tmp_path: Path) -> None:
    with open_work(tmp_path / "w", tmp_path / "t") as work:
        work.keep("with/audit", "key", RESULT)
        for name in ("src", "out", "base", "logs", "notes"):
            (tmp_path / "w" / name).mkdir()
        (tmp_path / "w" / "report.txt").write_text("kept\n")
        work.restart()
        assert work.kept("with/audit", "key") is None
    assert sorted(path.name for path in (tmp_path / "w").iterdir()) == ["genpatch-prove", "notes", "report.txt"]


@pytest.mark.parametrize(
    ("place", "message"),
    [
        ("t/w", "must lie outside of the tree"),
        ("t", "must lie outside of the tree"),
        (".", "must lie outside of the tree"),
        ("a b", "a kernel cannot be built under this name"),
        ("a:b", "a kernel cannot be built under this name"),
        ("file", "File exists"),
        ("file/w", "Not a directory"),
    ],
)
def test_places_that_do_not_do(tmp_path: Path, place: str, message: str) -> None:
    (tmp_path / "t").mkdir()
    (tmp_path / "file").write_text("x")
    with pytest.raises(ProveError) as caught, open_work(tmp_path / place, tmp_path / "t"):
        pass
    assert message in str(caught.value)
    assert not list((tmp_path / "t").iterdir())


def test_keys_tell_inputs_apart() -> None:
    assert key_of("a", "bc") != key_of("ab", "c")
    assert key_of("a", 1) == key_of("a", "1")
