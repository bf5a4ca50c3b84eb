# SPDX-License-Identifier: GPL-2.0-or-later
"""RV64 as data: encodings, a decode table, an assembler for short sequences, a second opinion by capstone.

Every instruction is one record in the file of its extension; importing the package declares them all.
"""

from __future__ import annotations

from . import (
    rv_a,
    rv_c,
    rv_i,
    rv_m,
    rv_s,
    rv_svinval,
    rv_zabha,
    rv_zacas,
    rv_zawrs,
    rv_zb,
    rv_zcb,
    rv_zcmop,
    rv_zicbo,
    rv_zicond,
    rv_zicsr,
    rv_zifencei,
    rv_zimop,
)

__all__ = [
    "rv_a",
    "rv_c",
    "rv_i",
    "rv_m",
    "rv_s",
    "rv_svinval",
    "rv_zabha",
    "rv_zacas",
    "rv_zawrs",
    "rv_zb",
    "rv_zcb",
    "rv_zcmop",
    "rv_zicbo",
    "rv_zicond",
    "rv_zicsr",
    "rv_zifencei",
    "rv_zimop",
]
