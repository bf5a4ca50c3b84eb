# SPDX-License-Identifier: GPL-2.0-or-later
"""A program with the hart to itself: memory as Linux would lay it out, and three system calls.

``exit`` (93), ``exit_group`` (94) and ``write`` (64) of the riscv64 Linux ABI; any other returns -ENOSYS.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from ..errors import ImageError, UsageError
from ..image.program import Program, Segment
from ..machine.csrs import MACHINE
from ..machine.hart import Hart
from ..machine.memory import PAGE, Memory
from ..machine.outcome import Outcome, Status, Trap
from ..units import MASK64, Span

__all__ = ["Layout", "Process", "Setting", "layout_of", "system_call"]

SYS_WRITE, SYS_EXIT, SYS_EXIT_GROUP = 64, 93, 94
EBADF, EFAULT, ENOSYS = 9, 14, 38
WRITE_LIMIT = 0x7FFF_F000
"""Most bytes that one write takes, as Linux has it."""

A0, A1, A2, A7, SP = 10, 11, 12, 17, 2
_STACK_TOP = 0x3F_FFFF_F000
_AT_NULL, _AT_PAGESZ, _AT_RANDOM, _AT_ENTRY = 0, 6, 25, 9

Writer = Callable[[int, bytes], None]
"""(file descriptor 1 or 2, bytes)."""


@dataclass(frozen=True, slots=True)
class Setting:
    """What a program is given.

    Args:
        arguments: behind its own name.
        stack_size: bytes of stack; below it nothing is mapped.
        misaligned: whether loads and stores may stand at any address.
    """

    arguments: tuple[str, ...] = ()
    stack_size: int = 1 << 20
    misaligned: bool = True


@dataclass(frozen=True, slots=True)
class Layout:
    """What a program has in memory.

    Args:
        segments: its segments, as far as possible in whole pages.
        stack: addresses of the stack.
        stack_content: the top of the stack: argument count, pointers, auxiliary vector, strings.
    """

    segments: tuple[Segment, ...]
    stack: Span
    stack_content: bytes

    @property
    def sp(self) -> int:
        """The stack pointer at entry."""
        return self.stack.end - len(self.stack_content)


def layout_of(program: Program, setting: Setting) -> Layout:
    """Lay out a program's memory; its own path is the first argument that it sees.

    Raises:
        UsageError: the stack is too small for the arguments.
        ImageError: the program leaves no room for a stack.
    """
    top, size = _STACK_TOP, -(-setting.stack_size // PAGE) * PAGE
    while any(each.span.start < top + PAGE and top - size - PAGE < each.span.end for each in program.segments):
        top -= 1 << 32
        if top - size < PAGE:
            raise ImageError(program.path, expected=f"{size:#x} free bytes for a stack", got="none")
    content = _stack_content(top, [program.path, *setting.arguments], program.entry)
    if len(content) > size // 2:
        raise UsageError(f"a stack of {size} bytes has no room for {len(content)} bytes of arguments")
    return Layout(_whole_pages(program.segments), Span(top - size, top), content)


def _whole_pages(segments: Sequence[Segment]) -> tuple[Segment, ...]:
    """Widen ascending segments to whole pages, as Linux maps them, where no other is in the page."""
    firsts = [segment.span.start // PAGE for segment in segments]
    lasts = [(segment.span.end - 1) // PAGE for segment in segments]
    widened = []
    for number, segment in enumerate(segments):
        start, end, content = segment.span.start, segment.span.end, segment.content
        if number == 0 or lasts[number - 1] != firsts[number]:
            content = np.concatenate([np.zeros(start % PAGE, np.uint8), content]) if start % PAGE else content
            start -= start % PAGE
        if number + 1 == len(segments) or lasts[number] != firsts[number + 1]:
            end = -(-end // PAGE) * PAGE
        widened.append(Segment(Span(start, end), content, segment.permissions))
    return tuple(widened)


def _stack_content(top: int, arguments: Sequence[str], entry: int) -> bytes:
    """Return what Linux leaves on a new stack: argc, argv, envp, auxv, then what they point to."""
    strings = [argument.encode(errors="surrogateescape") + b"\0" for argument in arguments]
    blob = bytes(16) + b"".join(strings)
    blob += bytes(-len(blob) % 16)
    start = top - len(blob)
    pointers, at = [], start + 16
    for string in strings:
        pointers.append(at)
        at += len(string)
    auxiliary = [_AT_PAGESZ, PAGE, _AT_ENTRY, entry, _AT_RANDOM, start, _AT_NULL, 0]
    words = [len(arguments), *pointers, 0, 0, *auxiliary]
    words += [0] * (len(words) % 2)
    return b"".join(word.to_bytes(8, "little") for word in words) + blob


def system_call(number: int, arguments: Sequence[int], read: Callable[[int, int], bytes], write: Writer) -> int | None:
    """Do a system call.

    Args:
        number: of the riscv64 Linux ABI.
        arguments: a0, a1, a2.
        read: returns bytes of the caller's memory, or raises Trap.
        write: takes what is written.
    Returns:
        What goes to a0, negative for an error; None if the caller has exited with status a0.
    """
    if number in (SYS_EXIT, SYS_EXIT_GROUP):
        return None
    if number != SYS_WRITE:
        return -ENOSYS
    descriptor, address, size = arguments
    if descriptor not in (1, 2):
        return -EBADF
    try:
        data = read(address, min(size, WRITE_LIMIT))
    except Trap:
        return -EFAULT
    write(descriptor, data)
    return len(data)


class Process:
    """A program in the machine.

    Args:
        program: the executable.
        write: takes what it writes to stdout (1) and stderr (2).
        setting: its arguments and limits.
    """

    def __init__(self, program: Program, write: Writer, setting: Setting | None = None):
        setting = setting or Setting()
        layout = layout_of(program, setting)
        self.write = write
        self.memory = Memory(misaligned=setting.misaligned)
        for number, segment in enumerate(layout.segments):
            start, size = segment.span.start, segment.span.size
            content = segment.content.data
            self.memory.map(start, content, size=size, permissions=segment.permissions, name=f"segment {number}")
        self.memory.map(layout.stack.start, size=layout.stack.size, name="stack")
        self.memory.write(layout.sp, layout.stack_content)
        self.hart = Hart(self.memory, compressed=program.compressed, csrs=MACHINE)
        self.hart.on_ecall = self._call
        self.hart.pc = program.entry
        self.hart.x[SP] = layout.sp

    def run(self, budget: int | None = None) -> Outcome:
        """Run until the program exits, or something else ends it; see Hart.run."""
        return self.hart.run(budget)

    def _call(self, hart: Hart) -> Outcome | None:
        x = hart.x
        result = system_call(x[A7], (x[A0], x[A1], x[A2]), self.memory.read, self.write)
        if result is None:
            return Outcome(Status.EXITED, hart.pc, value=x[A0] & 0xFF)
        x[A0] = result & MASK64
        return None
