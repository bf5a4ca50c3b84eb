# SPDX-License-Identifier: GPL-2.0-or-later
"""Executed instructions as lines that a person can follow."""

from __future__ import annotations

from collections.abc import Callable

from ..isa.encoding import REG_NAMES
from ..machine.hart import Retired
from ..machine.outcome import Cause, Outcome, Status
from ..units import as_hex

__all__ = ["line_of", "reason_of"]

_TEXT_COLUMN = 34


def line_of(retired: Retired, name_at: Callable[[int], str] | None = None) -> str:
    """Return the line of one instruction: address, symbol, word, disassembly, what it read and changed.

    Args:
        retired: the instruction.
        name_at: returns ``symbol+0x12`` for an address; no symbols are printed without it.
    """
    insn = retired.insn
    place = as_hex(retired.pc)
    if name_at:
        place += f" {name_at(retired.pc):<32}"
    text = insn.text(retired.pc)
    target = insn.target(retired.pc)
    if name_at and target is not None:
        text = text.replace(as_hex(target), name_at(target))
    word = f"{insn.word:0{2 * insn.size}x}"
    return f"{place} {word:<8}  {text:<{_TEXT_COLUMN}} {_changes(retired)}".rstrip()


def _changes(retired: Retired) -> str:
    parts = [f"{REG_NAMES[number]}={as_hex(value)}" for number, value in retired.writes]
    for what, address, width, value in retired.accesses:
        shown = as_hex(value & (1 << 8 * width) - 1)
        parts.append(f"[{as_hex(address)}]{'=' if what == 'store' else ' -> '}{shown}")
    return "  ".join(parts)


def reason_of(outcome: Outcome, name_at: Callable[[int], str] | None = None) -> str:
    """Return an outcome in one line: cause, pc, address or instruction."""
    place, name = as_hex(outcome.pc), name_at(outcome.pc) if name_at else ""
    place += f" ({name})" if name not in ("", place) else ""
    if outcome.status not in (Status.FAULT, Status.UNSUPPORTED):
        return f"{outcome.reason} at pc {place}"
    about = "instruction" if outcome.cause == Cause.ILLEGAL else "address"
    return f"{outcome.reason}, pc {place}, {about} {as_hex(outcome.tval)}"
