# SPDX-License-Identifier: GPL-2.0-or-later
"""A check starts without what only images and documents need."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from .trees import FTRACE, edited, mail, toy

HEAVY = ("numpy", "jinja2", "rich", "capstone", "elftools", "genpatch.image", "genpatch.audit", "genpatch.machine",
         "genpatch.verify", "genpatch.race", "genpatch.report.document", "pydantic")  # fmt: skip


@pytest.mark.parametrize("name", ["text", "b4", "b4-review", "json"])
def test_a_plain_check_loads_nothing_heavy(name: str, tmp_path: Path) -> None:
    toy(tmp_path / "linux")
    (tmp_path / "p").write_text(mail(edited(FTRACE, ("// toy", "// a toy"))))
    code = (
        "import sys\nfrom genpatch.cli.app import main\n"
        "try:\n    main()\nfinally:\n    print(*sorted(sys.modules), file=sys.stderr)"
    )
    command = (sys.executable, "-c", code, "check", str(tmp_path / "p"), "--linux", str(tmp_path / "linux"))
    done = subprocess.run((*command, "--format", name), capture_output=True, text=True, check=True)
    assert [module for module in done.stderr.split() if module.startswith(HEAVY)] == []


def test_rules_of_images_load_none_of_patches() -> None:
    code = "import sys; from genpatch.audit.registry import all_rules; all_rules(); print(*sorted(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert [module for module in done.stdout.split() if module.startswith("genpatch.check")] == []
