# SPDX-License-Identifier: GPL-2.0-or-later
"""``b4 prep --check`` with genpatch as its command, in a small tree; nothing leaves the machine."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.check.trees import BPF, FTRACE, toy

B4 = shutil.which("b4") or shutil.which("b4", path=str(Path(sys.executable).parent))

pytestmark = pytest.mark.skipif(B4 is None, reason="b4 is not installed: what b4 makes of our output is not tested")

IDENTITY = {"GIT_AUTHOR_NAME": "A. Hacker", "GIT_AUTHOR_EMAIL": "a@example.org"}


class Repository:
    """A tree under git, and b4 in it, with nothing of the user's."""

    def __init__(self, root: Path, home: Path) -> None:
        self.root = root
        self.genpatch = home / "genpatch"
        home.mkdir()
        self.genpatch.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m genpatch "$@"\n')
        self.genpatch.chmod(0o755)
        here = {name: value for name, value in os.environ.items() if not name.startswith(("GIT_", "XDG_", "B4_"))}
        self.env = here | {
            "HOME": str(home),
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_EDITOR": "true",
            "PYTHONPATH": str(Path(__file__).parents[2]),
            "NO_COLOR": "1",
        }
        self.run("git", "init", "-q", "-b", "main")
        for key, value in (("user.name", "A. Hacker"), ("user.email", "a@example.org")):
            self.run("git", "config", key, value)
        self.commit("Linux 7.2")

    def run(self, *command: str) -> str:
        done = subprocess.run(command, cwd=self.root, env=self.env, capture_output=True, text=True, check=False)
        assert done.returncode == 0, (command, done.stdout, done.stderr)
        return done.stdout + done.stderr

    def commit(self, subject: str, path: str = "", old: str = "", new: str = "") -> None:
        if path:
            file = self.root / path
            assert old in file.read_text()
            file.write_text(file.read_text().replace(old, new))
        self.run("git", "add", "-A")
        self.run("git", "commit", "-qm", f"{subject}\n\nIt was wrong.")


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    found = Repository(toy(tmp_path / "linux"), tmp_path / "home")
    found.run("git", "tag", "v7.2")
    found.run("git", "switch", "-qc", "work")
    found.commit("riscv: ftrace: say what it is", FTRACE, "// toy", "// a toy")
    found.commit("the toy", FTRACE, "// a toy", "// the toy")
    found.commit("riscv, bpf: four instructions", BPF, "NINSNS 2", "NINSNS 4")
    return found


def test_pass_warning_and_fail(repository: Repository) -> None:
    assert B4 is not None
    repository.run("git", "config", "b4.prep-perpatch-check-cmd", f"{repository.genpatch} check --format=b4 -")
    repository.run(B4, "prep", "-e", "v7.2")
    said = re.sub(r"\033\[[0-9;]*m", "", repository.run(B4, "prep", "--no-cache", "--check"))
    assert said.rstrip().endswith("Success: 1, Warning: 1, Error: 1")
    lines = [re.sub(r"^\W*(?:[0-9a-f]{12}: )?", "", line) for line in said.splitlines()]
    assert lines[lines.index("riscv: ftrace: say what it is") + 1] == "the toy"
    assert lines[lines.index("the toy") + 1].startswith("genpatch: 3: WARNING: GP501: the subject names no subsystem")
    fails = lines[lines.index("riscv, bpf: four instructions") + 1]
    assert fails.startswith(f"genpatch: {BPF}:1: ERROR: GP511: RV_FENTRY_NINSNS is 16 bytes")


def test_the_configuration_that_is_printed(repository: Repository) -> None:
    printed = repository.run(str(repository.genpatch), "check", "--print-config", "b4")
    config = repository.root / ".git/config"
    config.write_text(config.read_text() + printed)
    commands = repository.run("git", "config", "--get-all", "b4.prep-perpatch-check-cmd").splitlines()
    assert [command.split()[0] for command in commands] == ["./scripts/checkpatch.pl", "genpatch"]
    assert commands[1] == "genpatch check --format=b4 -"
