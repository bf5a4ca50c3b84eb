# SPDX-License-Identifier: GPL-2.0-or-later
"""The BPF programs that trampolines call: the host's, with the structures that the JIT reads of them."""

from __future__ import annotations

from dataclasses import dataclass

from ...image.btf import Member, StructLayout
from ...image.model import KernelImage
from ...machine.memory import PAGE
from ...run.kernel import A0, KernelBench, has_returned
from .interface import Interface

__all__ = ["COOKIES", "KIND_NAMES", "MOST", "Program", "Programs", "make_programs"]

KIND_NAMES = ("fentry", "fexit", "fmod_ret")
"""In the order of enum bpf_tramp_prog_type."""
MOST = 3
"""Programs of one kind in one trampoline."""
COOKIES = (
    0xC00C_1E00_0000_0001, 0x8000_0000, 0x7FFF_F800, 0xFFFF_FFFF, 1, 0x7FF, 0x800, 0xFFF, 0x7FFF_FFFF, 1 << 63,
    0xFFFF_FFFF_8000_0000, 0xFFFF_FFFF_7FFF_FFFF, 1 << 32, (1 << 63) - 1, (1 << 64) - 1, 0x1234_5678_9ABC_DEF0,
    0xFFFF_FFFF_FFFF_F7FF, 0x8000_07FF,
)  # fmt: skip
"""Of programs that have one, in the order of their numbers: what makes a difference to who loads a constant."""
_CODE_STEP = 16
_ALIGN = 64
_TYPE = "BPF_PROG_TYPE_TRACING"
_CHOOSES_ENTER, _CHOOSES_EXIT = "bpf_trampoline_enter", "bpf_trampoline_exit"
_BUDGET = 10_000
_INTERPRETED = 1
"""Position of the programs of each kind that are not JITed, of those that neither sleep nor have a cookie."""


@dataclass(frozen=True, slots=True)
class Program:
    """One program.

    Args:
        number: position in the pool.
        kind: 0 fentry, 1 fexit, 2 fmod_ret; sessions are 0 and stand in both of the first two.
        position: which of its kind it is in a trampoline.
        sleepable, has_cookie: what it is attached as.
        session: it runs at entry and at exit.
        session_cookie: it asks for 8 bytes that live from its entry to its exit.
        at: address of its struct bpf_prog.
        node: address of what a chain points to.
        code: address of the host function that stands for it.
        cookie: what it is attached with, 0 for nothing.
        insns: address of its instructions where an interpreter is what `code` stands for; 0 for a JITed program.
    """

    number: int
    kind: int
    position: int
    sleepable: bool
    has_cookie: bool
    session: bool
    session_cookie: bool
    at: int
    node: int
    code: int
    cookie: int
    insns: int = 0

    @property
    def name(self) -> str:
        """In reports: ``fexit 1``."""
        return f"{'fsession' if self.session else KIND_NAMES[self.kind]} {self.position}"


@dataclass(frozen=True)
class Programs:
    """All of them, and the bytes that they are described by.

    Args:
        all: in the order of their numbers.
        start: address of `content`.
        content: their structures.
        enters, exits: the function before and behind each that the kernel chooses; empty if that is not known.
    """

    all: tuple[Program, ...]
    start: int
    content: bytes
    enters: tuple[int, ...] = ()
    exits: tuple[int, ...] = ()

    def find(self, kind: int, position: int, variant: int = 0) -> Program:
        """Return a program; variant: 0 plain, 1 sleepable, 2 with a cookie, 3 both."""
        return self.all[(kind * MOST + position) * 4 + variant]

    def session(self, position: int, *, cookie: bool) -> Program:
        """Return a program that runs at entry and at exit."""
        return self.all[len(KIND_NAMES) * MOST * 4 + position * 2 + int(cookie)]


def make_programs(image: KernelImage, interface: Interface, start: int, code: int) -> Programs:
    """Return the pool.

    Args:
        image: the kernel.
        interface: its layouts.
        start: address of the structures.
        code: address of the host functions.
    """
    maker = _Maker(image, interface, start, code)
    for kind in range(len(KIND_NAMES)):
        for position in range(MOST):
            for variant in range(4):
                maker.add(kind, position, sleepable=bool(variant & 1), has_cookie=bool(variant & 2))
    if interface.session is not None:
        for position in range(MOST):
            for cookie in (False, True):
                maker.add(0, position, session=True, session_cookie=cookie)
    made, content = tuple(maker.programs), bytes(maker.content)
    enters, exits = (_chosen(image, name, made, start, content) for name in (_CHOOSES_ENTER, _CHOOSES_EXIT))
    return Programs(made, start, content, enters, exits)


def _chosen(
    image: KernelImage, name: str, programs: tuple[Program, ...], start: int, content: bytes
) -> tuple[int, ...]:
    """Return what a function of the kernel answers for each program, executed; empty if it cannot be."""
    if image.address_of(name) is None:
        return ()
    bench = KernelBench(image)
    size = -(-len(content) // PAGE) * PAGE
    try:
        if bench.scratch.start <= start and start + size <= bench.scratch.end:
            bench.memory.write(start, content)
        else:
            bench.memory.map(start, content, size=size, name="bpf programs")
    except ValueError:  # that is where this machine has its stack
        return ()
    found = []
    for program in programs:
        if not has_returned(bench.call(name, program.at, budget=_BUDGET)):
            return ()
        found.append(bench.hart.x[A0])
    return tuple(found)


class _Maker:
    def __init__(self, image: KernelImage, interface: Interface, start: int, code: int):
        self.interface, self.start, self.code = interface, start, code
        types = image.types
        self.type = (types.enumerator(_TYPE) if types is not None else None) or 0
        self.programs: list[Program] = []
        self.content = bytearray()

    def _room(self, size: int) -> int:
        at = -(-len(self.content) // _ALIGN) * _ALIGN
        self.content += bytes(at + size - len(self.content))
        return at

    def _set(self, base: int, layout: StructLayout, name: str, value: int) -> None:
        """Set a member, which may be a bitfield; a member that the kernel does not have is left out."""
        member = layout.find(name)
        if member is not None:
            set_member(self.content, base, member, value)

    def add(
        self, kind: int, position: int, *, sleepable: bool = False, has_cookie: bool = False,
        session: bool = False, session_cookie: bool = False,
    ) -> None:  # fmt: skip
        """Add one program."""
        interface, number = self.interface, len(self.programs)
        prog, aux = self._room(interface.prog.size + 16), self._room(interface.aux.size)
        code = self.code + number * _CODE_STEP
        insns = self._instructions(position) if not (sleepable or has_cookie or session) else None
        values = {"jited": int(insns is None), "type": self.type, "bpf_func": code, "aux": self.start + aux, "len": 1}
        values |= {"sleepable": int(sleepable), "call_session_cookie": int(session_cookie)}
        if session and interface.session is not None:
            values["expected_attach_type"] = interface.session
        for name, value in values.items():
            self._set(prog, interface.prog, name, value)
        self._set(aux, interface.aux, "sleepable", int(sleepable))
        self._set(aux, interface.aux, "prog", self.start + prog)
        cookie = COOKIES[sum(each.has_cookie for each in self.programs)] if has_cookie else 0
        node = self._node(prog, cookie)
        made = Program(
            number, kind, position, sleepable, has_cookie, session, session_cookie,
            self.start + prog, self.start + node, code, cookie, 0 if insns is None else self.start + prog + insns,
        )  # fmt: skip
        self.programs.append(made)

    def _instructions(self, position: int) -> int | None:
        """Return where the instructions of a program are that is not JITed [bytes from its struct]; None of others."""
        found = self.interface.prog.find("insnsi")
        return found.offset if found is not None and position == _INTERPRETED else None

    def _node(self, prog: int, cookie: int) -> int:
        chain = self.interface.chain
        if chain.prog is None:
            return prog
        node = self._room(chain.node.size)
        holder = node
        if chain.link is not None:
            link = self.interface.link
            holder = self._room(link.size if link is not None else chain.prog + 8)
            _put(self.content, node + chain.link, self.start + holder)
        _put(self.content, holder + chain.prog, self.start + prog)
        if chain.cookie is not None:
            _put(self.content, node + chain.cookie, cookie)
        return node


def _put(content: bytearray, at: int, value: int) -> None:
    content[at : at + 8] = value.to_bytes(8, "little")


def set_member(content: bytearray, base: int, member: Member, value: int) -> None:
    """Set a member of a structure at content[base:]."""
    if member.bit_size:
        shift, mask = member.bit_offset, (1 << member.bit_size) - 1
        size = (member.bit_offset + member.bit_size + 7) // 8
        at = base + member.offset
        old = int.from_bytes(content[at : at + size], "little")
        new = old & ~(mask << shift) | (value & mask) << shift
        content[at : at + size] = new.to_bytes(size, "little")
    else:
        at = base + member.offset
        content[at : at + member.size] = (value & (1 << 8 * member.size) - 1).to_bytes(member.size, "little")
