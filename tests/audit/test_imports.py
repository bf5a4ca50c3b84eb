# SPDX-License-Identifier: GPL-2.0-or-later
"""An audit starts without what only running and exploring need."""

from __future__ import annotations

import subprocess
import sys


def test_rules_load_no_machine() -> None:
    code = "import sys; from genpatch.audit.registry import all_rules; all_rules(); print(*sorted(sys.modules))"
    loaded = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.split()
    heavy = ("genpatch.machine", "genpatch.run", "genpatch.race.explore", "genpatch.race.victim", "jinja2", "capstone")
    assert [name for name in loaded if name.startswith(heavy)] == []
