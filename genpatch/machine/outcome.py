# SPDX-License-Identifier: GPL-2.0-or-later
"""How a run ends. Guest misbehaviour is a value, never an exception that leaves the machine."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from ..units import as_hex

__all__ = ["Cause", "CodeWritten", "Outcome", "Status", "Trap"]


class Status(IntEnum):
    """Why a hart stands still; an int8 in the lanes."""

    RUNNING = 0
    STOPPED = 1
    """It reached a breakpoint, or a host call said so."""
    EXITED = 2
    """The environment ended the program; the exit status is the value."""
    BUDGET = 3
    """The instructions that it was given are used up."""
    FAULT = 4
    """The guest did what the architecture forbids."""
    UNSUPPORTED = 5
    """The guest did what this machine does not know; nobody's fault but ours."""
    STUCK = 6
    """It can only repeat itself: a jump to itself, or a trap that its handler does not end."""


class Cause(IntEnum):
    """Exception codes (RISC-V privileged ISA, scause)."""

    FETCH_MISALIGNED = 0
    FETCH_FAULT = 1
    ILLEGAL = 2
    BREAKPOINT = 3
    LOAD_MISALIGNED = 4
    LOAD_FAULT = 5
    STORE_MISALIGNED = 6
    STORE_FAULT = 7
    ECALL = 8

    @property
    def text(self) -> str:
        """The cause in words."""
        return _TEXTS[self]


_TEXTS = {
    Cause.FETCH_MISALIGNED: "misaligned instruction address",
    Cause.FETCH_FAULT: "fetch from memory that is not executable",
    Cause.ILLEGAL: "illegal instruction",
    Cause.BREAKPOINT: "breakpoint (ebreak)",
    Cause.LOAD_MISALIGNED: "misaligned load",
    Cause.LOAD_FAULT: "load from memory that is not readable",
    Cause.STORE_MISALIGNED: "misaligned store",
    Cause.STORE_FAULT: "store to memory that is not writable",
    Cause.ECALL: "environment call",
}


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a run ended.

    Args:
        status: why.
        pc: the instruction that did not complete, or the next one.
        cause: of a FAULT or an UNSUPPORTED, else None.
        tval: the address or the instruction word that the cause is about.
        value: exit status of an EXITED.
        text: what there is to say beyond the cause, such as the extension that is not supported.
    """

    status: Status
    pc: int
    cause: Cause | None = None
    tval: int = 0
    value: int = 0
    text: str = ""

    @property
    def reason(self) -> str:
        """The outcome in words, without its pc."""
        match self.status:
            case Status.FAULT | Status.UNSUPPORTED if self.cause is not None:
                detail = f" ({self.text})" if self.text else ""
                return f"{'not supported' if self.status == Status.UNSUPPORTED else self.cause.text}{detail}"
            case Status.EXITED:
                return f"exit {self.value}"
            case Status.BUDGET:
                return "instruction budget used up"
            case _:
                return self.text or self.status.name.lower()


class Trap(Exception):  # noqa: N818 - the architecture's word; it never leaves the machine
    """An instruction that cannot complete.

    Args:
        cause: exception code.
        tval: what the cause is about: an address, an instruction word.
        supported: False if the guest is right and this machine falls short.
        text: what there is to say beyond the cause.
    """

    def __init__(self, cause: Cause, tval: int, text: str = "", *, supported: bool = True):
        super().__init__(cause, tval, text)
        self.cause, self.tval, self.text, self.supported = cause, tval, text, supported

    def outcome(self, pc: int) -> Outcome:
        """Return what a run that ends here comes to."""
        status = Status.FAULT if self.supported else Status.UNSUPPORTED
        return Outcome(status, pc, self.cause, self.tval, text=self.text)

    def __str__(self) -> str:
        return f"{self.cause.text}, {as_hex(self.tval)}"


class CodeWritten(Exception):  # noqa: N818 - no error, a word to the run loop
    """An instruction is about to write to bytes that have been fetched; what was made of them is to be left."""
