# SPDX-License-Identifier: GPL-2.0-or-later
"""Small riscv64 programs to run: their sources, how they are built, what they print, and what must not run.

A test module that wants them built says

    from tests.programs import programs_fixture as programs_fixture

and has the fixture `programs` then: programs(name, variant) is the path of an executable, or the test is skipped.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

Programs = Callable[[str, str], Path]


@cache  # once, however many modules import the fixture
def _built(directory: Path) -> dict[tuple[str, str], Path | str]:
    from .build import build_all  # here, so that it can be run by python -m

    return build_all(directory)


@pytest.fixture(scope="session", name="programs")
def programs_fixture(tmp_path_factory: pytest.TempPathFactory) -> Programs:
    """Every program in every variant, compiled at the first use; what no compiler can build skips with a reason."""
    built = _built(tmp_path_factory.getbasetemp() / "programs")

    def programs(name: str, variant: str) -> Path:
        found = built[name, variant]
        if isinstance(found, Path):
            return found
        pytest.skip(found)

    return programs
