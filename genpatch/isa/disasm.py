# SPDX-License-Identifier: GPL-2.0-or-later
"""What capstone makes of a word: a second opinion on decode(), never the source of one."""

from __future__ import annotations

from functools import lru_cache
from typing import Any


def second_opinion(word: int, pc: int = 0) -> str:
    """Return capstone's text of the instruction that starts with these bits.

    Args:
        word: 32 bits, the first parcel in the low half.
        pc: its address; capstone prints distances all the same.
    Returns:
        The text as Insn.text() without pc has it, or "" if capstone knows no such instruction.
    """
    size = 4 if word & 0b11 == 0b11 else 2
    code = (word & ((1 << 8 * size) - 1)).to_bytes(size, "little")
    for _, _, mnemonic, operands in _capstone().disasm_lite(code, pc, 1):
        return f"{mnemonic} {operands}".rstrip()
    return ""


@lru_cache(maxsize=1)
def _capstone() -> Any:
    import capstone

    return capstone.Cs(capstone.CS_ARCH_RISCV, capstone.CS_MODE_RISCV64 | capstone.CS_MODE_RISCVC)
