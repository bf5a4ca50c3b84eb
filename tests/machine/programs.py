# SPDX-License-Identifier: GPL-2.0-or-later
"""Random programs that end, for comparing one machine with another.

``make_program(seed)`` returns a Program: code, where it stands, the regions that it loads and stores, the first
values of the registers. It starts at `base` with these registers and is over when pc reaches `end`; it jumps
nowhere else and touches nothing outside `code` and `regions`. A program of ``make_program(seed, faulty=True)``
walks off the end of a region in one of its loops; its last instruction is the load or store that faults.

What it is made of: arithmetic of every extension that is declared, 16- and 32-bit instructions mixed, branches
over a few instructions, nested loops with a counter, calls of functions (direct, by a register, with bit 0 of
the target set) that may call others, jumps that depend on data, loads and stores that are aligned, misaligned,
cross a page or a region, AMOs, LR/SC pairs that succeed and that fail. No system instructions, no stores to code.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field

from genpatch.isa.asm import encode
from genpatch.isa.insn import SPECS

RA, SP, GP, TP, S0, S1 = 1, 2, 3, 4, 8, 9
INNER, OUTER, LINK = 25, 26, 27
FREE = (5, 6, 7, *range(10, 25), 28, 29, 30, 31)
"""Registers that hold data; the others hold addresses, loop counters, or a return address."""
SHORT = (10, 11, 12, 13, 14, 15)
"""Those of them that three bits can name."""

PLAIN_START = 0x20_0000
PLAIN_SIZE = 0x27F8
"""The first data region ends amid a page, where the second one starts."""
NEXT_SIZE = 0x1808
FIXED_START = 0x30_0000
EDGES = (0, 1, 2, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x7FFF_FFFF, 0x8000_0000, 0xFFFF_FFFF, 1 << 32, 1 << 62)
EDGES = (*EDGES, (1 << 63) - 1, 1 << 63, (1 << 63) + 1, *((1 << 64) - n for n in (1, 2, 0x80, 0x8000, 1 << 31)))
"""Values at the borders of the widths that instructions have."""

_WITH_TWO = frozenset({"rd", "rs1", "rs2"})
_JUMPS = frozenset({"jal", "jalr", "beq", "bne", "blt", "bge", "bltu", "bgeu"})
_NOT_PLAIN = ("Priv", "Zicsr", "Svinval", "Zicbom", "Zicboz", "RV64A", "Zabha", "Zacas")
_LOADS = ("lb", "lh", "lw", "ld", "lbu", "lhu", "lwu")
_STORES = ("sb", "sh", "sw", "sd")
PLAIN = tuple(
    spec.name
    for spec in SPECS.values()
    if spec.size == 4
    and spec.extension not in _NOT_PLAIN
    and spec.name not in (*_JUMPS, *_LOADS, *_STORES, "ecall", "ebreak", "fence.i")
    and not spec.name.startswith("mop.")
)
"""32-bit instructions that only read and write registers, and fences."""
_BASE = tuple(name for name in PLAIN if SPECS[name].extension in ("RV64I", "RV64M"))
_NARROW = ("clz", "ctz", "cpopw", "sltu", "slti", "andi", "zext.h", "srli", "srliw", "bext", "mulhu", "remu", "min")
"""Instructions after which a machine may know how large a value can be."""
PLAIN = (*PLAIN, *_NARROW, *_NARROW, *_NARROW, *_BASE, *_BASE, "mop.r.0", "mop.r.31", "mop.rr.7")
_SHORT_ONE = ("c.mul", "c.zext.b", "c.sext.b", "c.zext.h", "c.sext.h", "c.zext.w", "c.not", "c.mop.1", "c.mop.15")
AMOS = tuple(name for name, spec in SPECS.items() if name.startswith("amo"))
_WIDTHS = {"b": 1, "h": 2, "w": 4, "d": 8}


@dataclass(frozen=True, slots=True)
class Region:
    """Bytes that a program finds at an address."""

    start: int
    content: bytes
    permissions: str


@dataclass(frozen=True, slots=True)
class Program:
    """A program that ends.

    Args:
        seed: what it was made from.
        base: address of its first byte and its first instruction; its code may be read and executed.
        code: its bytes.
        end: address at which it is over.
        regions: memory beside the code.
        registers: first values of x0 to x31.
    """

    seed: int
    base: int
    code: bytes
    end: int
    regions: tuple[Region, ...]
    registers: tuple[int, ...]


def make_program(seed: int, *, faulty: bool = False) -> Program:
    """Return the program of a seed, always the same one; see the module."""
    return _Writer(random.Random(seed), faulty=faulty).program(seed)


@dataclass
class _Item:
    """An instruction, or a place (size 0); `target` is a place that its immediate leads to."""

    name: str = ""
    operands: dict[str, int] = field(default_factory=dict)
    target: _Item | None = None
    part: Callable[[int], int] = lambda distance: distance
    origin: _Item | None = None
    at: int = 0

    @property
    def size(self) -> int:
        return SPECS[self.name].size if self.name else 0

    def word(self) -> bytes:
        operands = dict(self.operands)
        if self.target is not None:
            operands["imm"] = self.part(self.target.at - (self.origin or self).at)
        return encode(self.name, **operands).to_bytes(self.size, "little")


class _Writer:
    def __init__(self, rng: random.Random, *, faulty: bool):
        self.rng, self.faulty = rng, faulty
        self.items: list[_Item] = []
        self.functions: list[_Item] = [_Item() for _ in range(rng.randrange(1, 4))]
        self.can_call = True

    def program(self, seed: int) -> Program:
        end = _Item()
        for _ in range(self.rng.randrange(2, 5)):
            self.piece(0)
        if self.faulty:
            self.walk()
        self.emit("jal", end, rd=0)
        for number, function in enumerate(self.functions):
            self.items.append(function)
            self.function(number)
        self.items.append(end)
        self.emit("ebreak")
        return self.finished(seed, end)

    def finished(self, seed: int, end: _Item) -> Program:
        size = sum(item.size for item in self.items)
        base = at = 0x8_0000 - 2 * self.rng.randrange(size // 2)  # a page ends somewhere in it
        for item in self.items:
            item.at, at = at, at + item.size
        code = b"".join(item.word() for item in self.items if item.name)
        rng = self.rng
        boundary = PLAIN_START + PLAIN_SIZE
        regions = (
            Region(PLAIN_START, rng.randbytes(PLAIN_SIZE), "rw"),
            Region(boundary, rng.randbytes(NEXT_SIZE), "rw"),
            Region(FIXED_START, rng.randbytes(0x1000), "r"),
        )
        x = [rng.choice(EDGES) if rng.random() < 0.5 else rng.getrandbits(64) for _ in range(32)]
        x[0], x[GP], x[S0], x[S1] = 0, FIXED_START + 0x800, PLAIN_START + 0x800, PLAIN_START + 0x1000 - 0x20
        x[SP] = boundary - 0x40
        return Program(seed, base, code, end.at, regions, tuple(x))

    # -- instructions

    def emit(self, name: str, target: _Item | None = None, **operands: int) -> _Item:
        self.items.append(_Item(name, operands, target))
        return self.items[-1]

    def place(self) -> _Item:
        self.items.append(_Item())
        return self.items[-1]

    def source(self) -> int:
        return self.rng.choice(FREE) if self.rng.random() < 0.9 else self.rng.randrange(32)

    def result(self) -> int:
        return self.rng.choice(FREE) if self.rng.random() < 0.96 else 0

    def plain(self) -> None:
        """Emit an instruction on registers, 16 or 32 bits long."""
        if self.rng.random() < 0.35:
            self.compressed()
            return
        name = self.rng.choice(PLAIN)
        operands: dict[str, int] = {}
        rng = self.rng
        for part in SPECS[name].fields:
            role = part.roles[0]
            if role == "rd":
                operands[role] = self.result()
            elif role in _WITH_TWO:
                operands[role] = self.source()
            elif role == "imm":
                operands[role] = self.immediate(part.name)
        if rng.random() < 0.1 and _WITH_TWO & operands.keys() == _WITH_TWO:
            operands["rs1"] = operands["rs2"] = operands["rd"] = rng.choice(FREE)
        self.emit(name, None, **operands)

    def immediate(self, kind: str) -> int:
        rng = self.rng
        if kind in ("shamtd", "shamtw"):
            return rng.choice((0, 1, 31, rng.randrange(32), rng.randrange(64 if kind == "shamtd" else 32)))
        if kind == "imm20":
            return rng.choice((0, 1, -1, 1 << 18, -(1 << 19), rng.randrange(-(1 << 19), 1 << 19)))
        if kind == "imm12":
            return rng.choice((0, 1, -1, 2047, -2048, rng.randrange(-2048, 2048)))
        return rng.choice((0x0FF, 0x033, 0x012))  # fence

    def compressed(self) -> None:
        rng = self.rng
        match rng.randrange(8):
            case 0:
                self.emit(rng.choice(("c.sub", "c.xor", "c.or", "c.and", "c.subw", "c.addw")), None, **self.short_two())
            case 1:
                name = rng.choice(("c.srli", "c.srai", "c.slli"))
                self.same(name, rng.choice(SHORT), rng.choice((0, 1, 31, 32, 63, rng.randrange(64))))
            case 2:
                self.same("c.andi", rng.choice(SHORT), rng.randrange(-32, 32))
            case 3:
                self.same(rng.choice(("c.addi", "c.addiw")), rng.choice(FREE), rng.randrange(-32, 32))
            case 4:
                self.emit("c.li", rd=self.result(), imm=rng.choice((0, -1, rng.randrange(-32, 32))))
            case 6 if rng.random() < 0.3:
                imm = 16 * rng.choice((-32, -1, 1, 31))
                self.emit("c.addi16sp", rd=SP, rs1=SP, imm=imm)
                self.emit("c.addi4spn", rd=rng.choice(SHORT), rs1=SP, imm=4 * rng.randrange(1, 256))
                self.emit("addi", rd=SP, rs1=SP, imm=-imm)
            case 5 | 6 if rng.random() < 0.3:
                self.short_one(rng.choice(_SHORT_ONE))
            case 5:
                self.emit("c.lui", rd=self.result(), imm=rng.choice((-32, -1, 1, 31)))
            case 6:
                self.emit("c.mv", rd=self.result(), rs2=rng.choice(FREE))
            case _:
                register = self.result()
                self.emit("c.add", rd=register, rs1=register, rs2=rng.choice(FREE))

    def short_one(self, name: str) -> None:
        operands = dict(SPECS[name].implied)
        if SPECS[name].fields:
            operands["rd"] = operands["rs1"] = self.rng.choice(SHORT)
        if name == "c.mul":
            operands["rs2"] = self.rng.choice((*SHORT, S0))
        self.emit(name, None, **operands)

    def same(self, name: str, register: int, imm: int) -> None:
        self.emit(name, rd=register, rs1=register, imm=imm)

    def short_two(self) -> dict[str, int]:
        register = self.rng.choice(SHORT)
        return {"rd": register, "rs1": register, "rs2": self.rng.choice((*SHORT, S0))}

    # -- memory

    def memory(self) -> None:
        rng = self.rng
        kind = rng.random()
        if kind < 0.25:
            self.short_access()
        elif kind < 0.5:
            self.access(*rng.choice(((S0, -2048, 2040), (S1, -128, 512), (SP, -256, 1024), (GP, -2048, 2032))))
        elif kind < 0.75:
            self.indexed(rng.choice((1, 1, 2, 4, 8)))
            self.access(TP, -16, 16)
        elif kind < 0.9:
            self.atomic()
        else:
            self.pair()

    def access(self, base: int, low: int, high: int) -> None:
        imm = self.rng.randrange(low, high)
        imm &= self.rng.choice((-1, -2, -4, -8, -8))
        if base == GP or self.rng.random() < 0.5:
            self.emit(self.rng.choice(_LOADS), rd=self.result(), rs1=base, imm=imm)
        else:
            self.emit(self.rng.choice(_STORES), rs1=base, rs2=self.source(), imm=imm)

    def short_access(self) -> None:
        rng = self.rng
        base = rng.choice((S0, S1))
        match rng.randrange(6):
            case 4:
                name = rng.choice(("c.lbu", "c.lhu", "c.lh"))
                self.emit(name, rd=rng.choice(SHORT), rs1=base, imm=2 * rng.randrange(2))
            case 5:
                self.emit(rng.choice(("c.sb", "c.sh")), rs1=base, rs2=rng.choice(SHORT), imm=2 * rng.randrange(2))
            case 0:
                self.emit("c.ld", rd=rng.choice(SHORT), rs1=base, imm=8 * rng.randrange(32))
            case 1:
                self.emit("c.lw", rd=rng.choice(SHORT), rs1=base, imm=4 * rng.randrange(32))
            case 2:
                name, scale = rng.choice((("c.sd", 8), ("c.sw", 4)))
                self.emit(name, rs1=base, rs2=rng.choice(SHORT), imm=scale * rng.randrange(32))
            case _:
                name, scale = rng.choice((("c.sdsp", 8), ("c.swsp", 4), ("c.ldsp", 8), ("c.lwsp", 4)))
                register = {"rd": rng.choice(FREE)} if name[2] == "l" else {"rs2": self.source()}
                self.emit(name, rs1=SP, imm=scale * rng.randrange(64), **register)

    def indexed(self, unit: int) -> None:
        """Let TP be an address that depends on data, a multiple of unit, inside the regions that are writable."""
        mask = self.rng.choice((0x1F, 0x3F, 0x7F, 0x7FF)) & -unit
        self.emit("andi", rd=TP, rs1=self.rng.choice(FREE), imm=mask)
        self.emit("add", rd=TP, rs1=TP, rs2=self.rng.choice((S0, SP, S1)))

    def atomic(self) -> None:
        name = self.rng.choice(AMOS)
        self.indexed(_WIDTHS[name[-1]])
        flags = {"aq": self.rng.randrange(2), "rl": self.rng.randrange(2)}
        self.emit(name, rd=self.result(), rs1=TP, rs2=self.source(), **flags)

    def pair(self) -> None:
        rng = self.rng
        suffix = rng.choice("wd")
        self.indexed(_WIDTHS[suffix])
        self.emit(f"lr.{suffix}", rd=self.result(), rs1=TP)
        for _ in range(rng.randrange(4)):
            self.plain()
        if rng.random() < 0.2:
            self.emit("addi", rd=TP, rs1=TP, imm=8)  # another address: it fails
        for _ in range(rng.choice((1, 1, 2))):
            self.emit(f"sc.{suffix}", rd=self.result(), rs1=TP, rs2=self.source())

    # -- control flow

    def piece(self, depth: int) -> None:
        kind = self.rng.random()
        if kind < 0.55 and depth < 2:
            self.loop(depth)
        else:
            self.straight(depth)

    def straight(self, depth: int) -> None:
        for _ in range(self.rng.randrange(3, 10)):
            kind = self.rng.random()
            if kind < 0.5:
                self.plain()
            elif kind < 0.7:
                self.memory()
            elif kind < 0.85:
                self.skip()
            elif kind < 0.93:
                self.call()
            elif depth:
                self.switch()

    def few(self) -> None:
        for _ in range(self.rng.randrange(1, 5)):
            self.memory() if self.rng.random() < 0.2 else self.plain()

    def skip(self) -> None:
        """Branch over a few instructions, perhaps to others."""
        rng = self.rng
        target = _Item()
        if rng.random() < 0.3:
            self.emit(rng.choice(("c.beqz", "c.bnez")), target, rs1=rng.choice(SHORT), rs2=0)
        else:
            name = rng.choice(("beq", "bne", "blt", "bge", "bltu", "bgeu"))
            self.emit(name, target, rs1=self.source(), rs2=self.source())
        self.few()
        if rng.random() < 0.4:
            after = _Item()
            self.emit(rng.choice(("c.j", "jal")), after, rd=0)
            self.items.append(target)
            self.few()
            target = after
        self.items.append(target)

    def loop(self, depth: int) -> None:
        rng = self.rng
        counter = (OUTER, INNER)[depth]
        count = rng.choice((3, 9, 14)) if depth == 0 else rng.choice((2, 3, 8))
        self.emit("addi", rd=counter, rs1=0, imm=count)
        head = self.place()
        self.straight(depth + 1)
        if depth == 0 and rng.random() < 0.4:
            self.loop(1)
        if rng.random() < 0.5:
            self.same("c.addi", counter, -1)
        else:
            self.same("addi", counter, -1)
        name, order = rng.choice((("bne", (counter, 0)), ("blt", (0, counter)), ("bltu", (0, counter))))
        self.emit(name, head, rs1=order[0], rs2=order[1])

    def call(self) -> None:
        """Call a function; not from one that was called itself."""
        if not self.can_call:
            return
        function = self.rng.choice(self.functions)
        kind = self.rng.randrange(3)
        if kind == 0:
            self.emit("jal", function, rd=RA)
            return
        origin = self.emit("auipc", function, rd=TP)
        origin.part = lambda distance: (distance + 0x800) >> 12
        if kind == 1:
            low = self.emit("jalr", function, rd=RA, rs1=TP)
            odd = self.rng.randrange(2)
            low.part, low.origin = lambda distance: _low(distance) | odd, origin
        else:
            low = self.emit("addi", function, rd=TP, rs1=TP)
            low.part, low.origin = _low, origin
            self.emit("c.jalr", rd=RA, rs1=TP, imm=0)

    def function(self, number: int) -> None:
        rng = self.rng
        saves = number == 0 and len(self.functions) > 1
        self.can_call = False
        self.few()
        if saves:
            self.emit("c.mv", rd=LINK, rs2=RA)
            self.emit("jal", self.functions[1], rd=RA)
            self.skip()
        link = LINK if saves else RA
        self.skip()
        if rng.random() < 0.5:
            self.emit("c.jr", rd=0, rs1=link, imm=0)
        else:
            self.emit("jalr", rd=0, rs1=link, imm=rng.randrange(2))

    def switch(self) -> None:
        """Jump to one of four places, by data or by the loop's counter."""
        rng = self.rng
        places, after = [_Item() for _ in range(4)], _Item()
        self.emit("andi", rd=TP, rs1=rng.choice((OUTER, INNER, rng.choice(FREE))), imm=rng.choice((3, 1, 2)))
        self.emit("slli", rd=TP, rs1=TP, imm=2)
        origin = self.emit("auipc", rd=28, imm=0)
        self.emit("add", rd=TP, rs1=TP, rs2=28)
        table = _Item()
        self.emit("xor", rd=28, rs1=28, rs2=28)
        jump = self.emit("jalr", table, rd=0, rs1=TP)
        jump.origin = origin
        self.items.append(table)
        for place in places:
            self.emit("jal", place, rd=0)
        for place in places:
            self.items.append(place)
            self.plain()
            if rng.random() < 0.7:
                self.emit("jal", after, rd=0)
        self.items.append(after)

    def walk(self) -> None:
        """Load or store ever further on, until there is no more memory."""
        rng = self.rng
        loads = rng.random() < 0.5
        name = rng.choice(_LOADS if loads else _STORES)
        # a store that is half outside may be done or not, so none is made
        stride = rng.choice((1, 4, 8, 24) if loads else (8, 24))
        back = stride * rng.randrange(5, 60)
        up = rng.random() < 0.7
        first = PLAIN_START + PLAIN_SIZE + NEXT_SIZE - back if up else PLAIN_START + back
        self.emit("lui", rd=TP, imm=(first + 0x800) >> 12)
        self.emit("addi", rd=TP, rs1=TP, imm=_low(first))
        head = self.place()
        for _ in range(rng.randrange(4)):
            self.plain()
        self.emit(name, rs1=TP, imm=0, **({"rd": self.result()} if loads else {"rs2": self.source()}))
        self.same("addi", TP, stride if up else -stride)
        for _ in range(rng.randrange(3)):
            self.plain()
        self.emit("jal", head, rd=0)


def _low(distance: int) -> int:
    return ((distance + 0x800) & 0xFFF) - 0x800
