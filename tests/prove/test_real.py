# SPDX-License-Identifier: GPL-2.0-or-later
"""A real series on a real tree with a real compiler: minutes, so only where it is asked for.

Set GENPATCH_PROVE to a directory that may be kept (copies and objects of several GB), GENPATCH_KERNEL_SOURCES to trees.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from tests.cli.conftest import Run, run  # noqa: F401 - a fixture
from tests.emit.trees import real
from tests.prove.test_scratch import state

WORK = os.environ.get("GENPATCH_PROVE", "")
FTRACE = "arch/riscv/kernel"


@pytest.mark.skipif(not WORK, reason="GENPATCH_PROVE names no directory: no real object is built")
@pytest.mark.skipif(shutil.which("clang-19") is None, reason="no clang-19")
def test_objects_of_hi20_check(run: Run) -> None:  # noqa: F811
    linux = real("7.2")
    before = state(linux / FTRACE)
    ran = run(
        "prove", "--emit", "hi20-check", "--linux", linux, "--toolchain", "clang-19", "--build", "objects", "--each",
        "--checkpatch", "--work", Path(WORK) / "hi20-check", "-q",
    )  # fmt: skip
    assert ran.status == 0, ran.out + ran.err
    assert "checkpatch ok " in ran.out
    assert "arch/riscv/kernel/ftrace.o after each of 1 patch, no" in " ".join(ran.out.split())
    assert state(linux / FTRACE) == before
