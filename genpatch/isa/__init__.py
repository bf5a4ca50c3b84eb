# SPDX-License-Identifier: GPL-2.0-or-later
"""RV64 as data: encodings, a decode table, an assembler for short sequences, a second opinion by capstone.

Every instruction is one record in the file of its extension, ``rv_*.py``; importing the package finds the files
and so declares them all.
"""

from __future__ import annotations

from importlib import import_module
from pkgutil import iter_modules

for _module in iter_modules(__path__):
    if _module.name.startswith("rv_"):
        import_module(f"{__name__}.{_module.name}")
