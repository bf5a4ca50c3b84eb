# SPDX-License-Identifier: GPL-2.0-or-later
"""The program as a process of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from genpatch import __version__

pytestmark = pytest.mark.usefixtures("here")
GENPATCH = [sys.executable, "-m", "genpatch"]


def start(*args: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*GENPATCH, *args], capture_output=True, text=True, timeout=30, env={**os.environ, **environment}
    )


def test_python_m() -> None:
    ran = start("--version")
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, f"genpatch {__version__}\n", "")


def test_the_installed_script() -> None:
    script = Path(sys.executable).with_name("genpatch")
    if not script.is_file():
        pytest.skip(f"genpatch is not installed beside {script.parent.name}/python")
    ran = subprocess.run([script, "--help"], capture_output=True, text=True, timeout=30)
    assert ran.returncode == 0
    assert ran.stdout.lstrip().startswith("Usage: genpatch ")


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys; from genpatch.cli.app import app; app(['--help'], standalone_mode=False);"
        "print(sorted({'numpy', 'elftools', 'capstone', 'jinja2', 'rich', 'unidiff'} & set(sys.modules)))"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30)
    assert ran.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize("path", ["x86", "nowhere", "text"])
def test_bad_input_is_one_line(path: str) -> None:
    ran = start("audit", path)
    assert (ran.returncode, ran.stdout) == (2, "")
    assert ran.stderr.startswith(f"genpatch: {path}: ")
    assert ran.stderr.count("\n") == 1


def test_a_reader_that_leaves_is_no_trouble() -> None:
    """As ``genpatch rules | head -1``: the reader is gone before the first write."""
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w") as pipe:
        ran = subprocess.run([*GENPATCH, "rules"], stdout=pipe, stderr=subprocess.PIPE, text=True, timeout=30)
    assert ran.stderr == ""


def test_a_reader_that_leaves_an_audit_is_no_trouble() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w") as pipe:
        args = [*GENPATCH, "audit", "good", "--format", "json"]
        ran = subprocess.run(args, stdout=pipe, stderr=subprocess.PIPE, text=True, timeout=30)
    assert ran.stderr == ""


def test_output_that_has_no_room() -> None:
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("there is no /dev/full")
    with full.open("w") as out:
        args = [*GENPATCH, "audit", "good"]
        ran = subprocess.run(args, stdout=out, stderr=subprocess.PIPE, text=True, timeout=30)
    assert ran.returncode == 2
    assert ran.stderr.startswith("genpatch: ")
    assert "Traceback" not in ran.stderr


def test_an_interrupt() -> None:
    os.mkfifo("slow")
    code = (
        "import sys, time, genpatch.report.auditing as a\n"
        "def slow(*args):\n    print('ready', flush=True); time.sleep(30)\n"
        "a.audit_paths = slow\nsys.argv = ['genpatch', 'audit', 'good']\nfrom genpatch.cli.app import main\nmain()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        time.sleep(0.1)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=10)
    assert process.returncode == 130
    assert "Traceback" not in errors


def test_a_terminal_that_knows_no_utf_8() -> None:
    ran = start("audit", "misaligned", PYTHONIOENCODING="ascii", LC_ALL="C", PYTHONUTF8="0")
    assert ran.returncode == 0
    assert ran.stdout.isascii()
    assert ran.stderr == ""


def test_our_own_bug_is_one_line_too() -> None:
    code = (
        "import sys, genpatch.report.auditing as a\n"
        "def broken(*args):\n    raise RuntimeError('oops')\n"
        "a.audit_paths = broken\nsys.argv = ['genpatch', 'audit', 'good']\nfrom genpatch.cli.app import main\nmain()"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30)
    assert ran.returncode == 2
    expected = "genpatch: internal error: RuntimeError: oops (set GENPATCH_DEBUG=1 for where)\n"
    assert ran.stderr == expected
    environment = {**os.environ, "GENPATCH_DEBUG": "1"}
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30, env=environment)
    assert "Traceback" in ran.stderr
