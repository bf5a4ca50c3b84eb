# SPDX-License-Identifier: GPL-2.0-or-later
"""Arguments of a kernel function as they are typed: numbers, symbols, and bytes put into memory."""

from __future__ import annotations

from dataclasses import dataclass

from ..errors import UsageError
from ..machine.outcome import Trap
from ..units import MASK64
from .kernel import SCRATCH, KernelBench

__all__ = ["FORMS", "Argument", "changed", "read_argument", "read_number"]

FORMS = "a number, a symbol or symbol+0x10, str:TEXT, hex:BYTES, buf:SIZE (zeros)"


@dataclass(frozen=True, slots=True)
class Argument:
    """One argument.

    Args:
        text: as it was typed.
        value: what goes into the register.
        size: bytes put into memory at `value`, 0 for a plain number.
        content: those bytes as they were.
    """

    text: str
    value: int
    size: int = 0
    content: bytes = b""


def read_number(text: str) -> int | None:
    """Return a number as a register holds it; None if the text is none.

    Raises:
        UsageError: it has more than 64 bits.
    """
    try:
        value = int(text, 0)
    except ValueError:
        return None
    if not -(1 << 63) <= value <= MASK64:
        raise UsageError(f"{text!r} does not fit into 64 bits")
    return value & MASK64


def read_argument(bench: KernelBench, text: str) -> Argument:
    """Read one argument, and put what it points to into the bench's memory.

    Raises:
        UsageError: it is none of FORMS, or has no room.
    """
    kind, separator, rest = text.partition(":")
    if separator and kind in _CONTENTS:
        content = _CONTENTS[kind](rest)
        return Argument(text, bench.place(content), len(content), content)
    number = read_number(text)
    if number is not None:
        return Argument(text, number)
    name, plus, rest = text.partition("+")
    address = bench.symbol(name)
    if address is None:
        raise UsageError(f"argument {text!r}: no such symbol; expected {FORMS}")
    offset = read_number(rest) if plus else 0
    if offset is None:
        raise UsageError(f"argument {text!r}: {rest!r} is no number")
    return Argument(text, address + offset & MASK64)


def changed(bench: KernelBench, argument: Argument) -> bytes | None:
    """Return the bytes that an argument points to if the function has changed them, else None."""
    if not argument.size:
        return None
    try:
        now = bench.memory.read(argument.value, argument.size)
    except Trap:
        return None
    return now if now != argument.content else None


def _hex(text: str) -> bytes:
    try:
        return bytes.fromhex(text)
    except ValueError:
        raise UsageError(f"argument 'hex:{text}': expected pairs of hex digits") from None


def _zeros(text: str) -> bytes:
    try:
        size = int(text, 0)
    except ValueError:
        size = -1
    if not 0 <= size <= SCRATCH.size:
        raise UsageError(f"argument 'buf:{text}': expected a size up to {SCRATCH.size}")
    return bytes(size)


_CONTENTS = {"str": lambda text: text.encode(errors="surrogateescape") + b"\0", "hex": _hex, "buf": _zeros}
