# SPDX-License-Identifier: GPL-2.0-or-later
"""The small eBPF programs that a kernel's JIT is tried with, and what each must come to.

Every expected value is a literal that was worked out by hand from RFC 9669; nothing here computes one. A program
finds its context in r1: operands are read from there and results stored there, so that each has a name.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

__all__ = [
    "ARENA", "ARENA_KERNEL", "ARENA_USER", "CONTEXT", "PER_CPU_OFFSET", "SELF", "Call", "Cell", "CompiledProgram",
    "KfuncType", "catalogue", "words",
]  # fmt: skip

CONTEXT = "the context"
"""As an argument of a call: the address that the program was given."""
SELF = ("self", 0)
"""In an array of programs: the program itself."""
ARENA = "the arena"
"""As the place of a cell; without a word it is the context."""
ARENA_USER = 0x3F_7E00_8000_0000
"""Address of a program's arena for its user. What a program holds of it are the low 32 bits."""
ARENA_KERNEL = 0xFFFF_AF92_0123_4000
"""What the kernel adds those to."""
PER_CPU_OFFSET = 0x1D_5000_4000
"""From a variable of each processor's own to the one of the processor that runs."""
_U64 = 0xFFFF_FFFF_FFFF_FFFF


@dataclass(frozen=True, slots=True)
class Call:
    """One call of a function of the host.

    Args:
        name: which.
        arguments: what a0, a1, ... must hold; None for anything, CONTEXT, or ``"sub1"`` for that function's entry.
        result: what it leaves in a0.
    """

    name: str
    arguments: tuple[int | str | None, ...] = ()
    result: int = 0


@dataclass(frozen=True, slots=True)
class Cell:
    """What a program must leave at a place of its context, or of ARENA: offset and size [bytes]."""

    what: str
    offset: int
    size: int
    value: int
    place: str = ""


@dataclass(frozen=True, slots=True)
class KfuncType:
    """Arguments of a kernel function that is called by type: sizes [bytes], and which are signed."""

    sizes: tuple[int, ...]
    signed: tuple[bool, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class CompiledProgram:
    """One program.

    Args:
        name: in reports.
        text: see `bytecode.assemble`.
        result: R0 at its end; None if it does not matter.
        context: bytes behind r1.
        cells: what it changes there.
        calls: what it calls, in order.
        stack: bytes of BPF stack that it uses.
        functions: text and stack of its subprograms.
        kfunc: type of ``kfunc``.
        tail: text and stack of each program in the array ``map``; SELF for the program, None for none.
        zext: the verifier has marked the zero-extensions.
        needs: what the kernel must have, joined by ``+``; see `needs.Needs`.
        far: it stands as far from the kernel as it may.
        arena: what lies at the beginning of its arena, which is one page; empty for none.
        unused: why hardly anybody has such a program; empty if somebody may.
    """

    name: str
    text: str
    result: int | None = None
    context: bytes = b""
    cells: tuple[Cell, ...] = ()
    calls: tuple[Call, ...] = ()
    stack: int = 0
    functions: tuple[tuple[str, int], ...] = ()
    kfunc: KfuncType | None = None
    tail: tuple[tuple[str, int] | None, ...] = ()
    zext: bool = False
    needs: str = ""
    far: bool = False
    arena: bytes = b""
    unused: str = ""


def catalogue() -> list[CompiledProgram]:
    """Return all programs."""
    from .guarded_programs import programs

    made = [*_SIMPLE, *_arithmetic(), *_jumps(), *_MEMORY, *_ATOMIC, *_CALLS, *_TAIL_CALLS, *_FUNCTIONS, *_KFUNCS]
    made += programs()
    everywhere = (*_EVERYWHERE, *(each for each in made if "percpu" in each.needs))
    return [*made, *(replace(each, name=f"{each.name}, far away", far=True) for each in everywhere)]


def words(*values: int) -> bytes:
    """Return numbers of 64 bits as they lie in memory."""
    return b"".join(value.to_bytes(8, "little") for value in values)


# -- arithmetic

_A, _B, _NINES = 0x0123_4567_89AB_CDEF, 0xFEDC_BA98_7654_3210, 0x0F0F_0F0F_0F0F_0F0F

_Row = tuple[int, int, int | None, int | None]
_ARITHMETIC: dict[str, tuple[_Row, ...]] = {
    "+": (
        (_A, _B, 0xFFFF_FFFF_FFFF_FFFF, 0xFFFF_FFFF),
        (0x7FFF_FFFF_FFFF_FFFF, 1, 0x8000_0000_0000_0000, 0),
        (0xFFFF_FFFF_8000_0000, -1, 0xFFFF_FFFF_7FFF_FFFF, 0x7FFF_FFFF),
        (0x1000, 0x7FF, 0x17FF, 0x17FF),
        (0x1000, 0x800, 0x1800, 0x1800),
        (0x1000, -0x801, 0x7FF, 0x7FF),
    ),
    "-": (
        (0, 1, 0xFFFF_FFFF_FFFF_FFFF, 0xFFFF_FFFF),
        (0x1000, 0x800, 0x800, 0x800),
        (0x1000, -0x800, 0x1800, 0x1800),
        (0, -0x8000_0000, 0x8000_0000, 0x8000_0000),
    ),
    "*": (
        (0x1_0000_0001, 0xFFFF_FFFF, 0xFFFF_FFFF_FFFF_FFFF, 0xFFFF_FFFF),
        (7, -3, 0xFFFF_FFFF_FFFF_FFEB, 0xFFFF_FFEB),
        (0x8000_0000, 2, 0x1_0000_0000, 0),
    ),
    "/": (
        (0xFFFF_FFFF_FFFF_FFFF, 16, 0x0FFF_FFFF_FFFF_FFFF, 0x0FFF_FFFF),
        (0x8000_0000_8000_0000, 3, 0x2AAA_AAAA_D555_5555, 0x2AAA_AAAA),
        (0xFFFF_FFFF_FFFF_FFFE, -1, 0, 0),
    ),
    "%": (
        (0xFFFF_FFFF_FFFF_FFFF, 10, 5, 5),
        (0x8000_0000_8000_0000, 3, 1, 2),
    ),
    "|": ((_A, _NINES, 0x0F2F_4F6F_8FAF_CFEF, 0x8FAF_CFEF), (_A, -256, 0xFFFF_FFFF_FFFF_FFEF, 0xFFFF_FFEF)),
    "&": (
        (_A, _NINES, 0x0103_0507_090B_0D0F, 0x090B_0D0F),
        (_A, -256, 0x0123_4567_89AB_CD00, 0x89AB_CD00),
        (_A, 0x7FFF_FFFF, 0x09AB_CDEF, 0x09AB_CDEF),
    ),
    "^": ((_A, -1, 0xFEDC_BA98_7654_3210, 0x7654_3210), (_A, 0x7FF, 0x0123_4567_89AB_CA10, 0x89AB_CA10)),
    "<<": (
        (_A, 4, 0x1234_5678_9ABC_DEF0, 0x9ABC_DEF0),
        (1, 31, 0x8000_0000, 0x8000_0000),
        (_A, 0, 0x0123_4567_89AB_CDEF, 0x89AB_CDEF),
        (1, 63, 0x8000_0000_0000_0000, None),
    ),
    ">>": (
        (_A, 4, 0x0012_3456_789A_BCDE, 0x089A_BCDE),
        (0xFFFF_FFFF_8000_0000, 31, 0x1_FFFF_FFFF, 1),
        (_A, 0, 0x0123_4567_89AB_CDEF, 0x89AB_CDEF),
        (0x8000_0000_0000_0000, 63, 1, None),
    ),
    "s>>": (
        (_A, 4, 0x0012_3456_789A_BCDE, 0xF89A_BCDE),
        (0xFFFF_FFFF_8000_0000, 31, 0xFFFF_FFFF_FFFF_FFFF, 0xFFFF_FFFF),
        (0x8000_0000_0000_0000, 63, 0xFFFF_FFFF_FFFF_FFFF, None),
    ),
}  # fmt: skip
"""By operator: first operand, second operand, result of 64 bits, of 32 bits; None where it is not defined."""
_SIGNED_DIVISION: dict[str, tuple[_Row, ...]] = {
    "s/": (
        (-7, 2, 0xFFFF_FFFF_FFFF_FFFD, 0xFFFF_FFFD),
        (7, -2, 0xFFFF_FFFF_FFFF_FFFD, 0xFFFF_FFFD),
        (-8, -2, 4, 4),
    ),
    "s%": ((-7, 2, 0xFFFF_FFFF_FFFF_FFFF, 0xFFFF_FFFF), (7, -2, 1, 1), (-8, 3, 0xFFFF_FFFF_FFFF_FFFE, 0xFFFF_FFFE)),
}
_PAIRS = ((0, 6), (1, 2), (3, 8), (7, 4), (5, 1), (6, 0), (2, 7), (8, 5), (4, 3))
"""Registers that operands are in, in turn; r9 holds the context."""


def _arithmetic() -> Iterator[CompiledProgram]:
    for table, needs in ((_ARITHMETIC, ""), (_SIGNED_DIVISION, "v4")):
        for operator, rows in table.items():
            yield _of_operator(operator, rows, needs)


def _of_operator(operator: str, rows: Iterable[_Row], needs: str) -> CompiledProgram:
    """Return a program that tries an operator with registers and immediates, of 64 and of 32 bits."""
    maker = _Maker(f"arithmetic {operator}", needs)
    for number, (first, second, wide, narrow) in enumerate(rows):
        dst, src = _PAIRS[number % len(_PAIRS)]
        a, b = maker.operand(first), maker.operand(second)
        told = f"{first & _U64:#x} {operator} {second & _U64:#x}"
        maker.line(f"r{src} = *(u64 *)(r9 + {b})")
        has_immediate = -(1 << 31) <= second < 1 << 31
        for letter, value in (("r", wide), ("w", narrow)):
            if value is None:
                continue
            operands = [f"{letter}{src}", str(second)] if has_immediate else [f"{letter}{src}"]
            for operand in operands:
                maker.line(f"r{dst} = *(u64 *)(r9 + {a})", f"{letter}{dst} {operator}= {operand}")
                how = "register" if operand[0] == letter else "immediate"
                maker.result(f"r{dst}", f"{told}, {64 if letter == 'r' else 32} bits, {how}", value)
    return maker.program()


class _Maker:
    """Collects lines, operands and results of one program."""

    def __init__(self, name: str, needs: str = ""):
        self.name, self.needs = name, needs
        self.lines = ["r9 = r1"]
        self.operands: list[int] = []
        self.results: list[tuple[str, int]] = []

    def line(self, *lines: str) -> None:
        """Add lines."""
        self.lines += lines

    def operand(self, value: int) -> int:
        """Return the offset of an operand in the context."""
        value &= _U64
        if value not in self.operands:
            self.operands.append(value)
        return 8 * self.operands.index(value)

    def result(self, register: str, what: str, value: int) -> None:
        """Store a register; results lie in front of r9's operands, so to speak: at a place that is known later."""
        self.lines.append(f"*(u64 *)(r9 + result{len(self.results)}) = {register}")
        self.results.append((what, value))

    def program(self) -> CompiledProgram:
        """Return the program."""
        first = 8 * len(self.operands)
        text = "\n".join([*self.lines, "r0 = 1", "exit"])
        for number in reversed(range(len(self.results))):
            text = text.replace(f"result{number})", f"{first + 8 * number})")
        cells = tuple(Cell(what, first + 8 * n, 8, value) for n, (what, value) in enumerate(self.results))
        content = b"".join(value.to_bytes(8, "little") for value in self.operands)
        content += b"\xa7" * 8 * len(self.results)
        return CompiledProgram(
            name=self.name, text=text, result=1, context=content, cells=cells, needs=self.needs
        )  # fmt: skip


def _with_results(name: str, content: bytes, text: str, *cells: Cell, **more: str) -> CompiledProgram:
    return CompiledProgram(name=name, text=text, context=content, cells=cells, **more)  # type: ignore[arg-type]


def _moves(name: str, rows: Iterable[tuple[str, int]], operand: int = 0, **more: str) -> CompiledProgram:
    """Return a program that stores what each line leaves in r0; r2 holds the operand."""
    lines, cells = ["r9 = r1", "r2 = *(u64 *)(r9 + 0)"], []
    for number, (line, value) in enumerate(rows, 1):
        lines += [line, f"*(u64 *)(r9 + {8 * number}) = r0"]
        cells.append(Cell(line.split("\n")[-1], 8 * number, 8, value))
    content = (operand & _U64).to_bytes(8, "little") + b"\xa7" * 8 * len(cells)
    return _with_results(name, content, "\n".join([*lines, "exit"]), *cells, **more)


_SIMPLE = (
    CompiledProgram(name="exit", text="r0 = 0; exit", result=0),
    CompiledProgram(name="a negative result", text="r0 = -2; exit", result=0xFFFF_FFFF_FFFF_FFFE),
    CompiledProgram(name="a result of 64 bits", text="r0 = 0x123456789abcdef0 ll; exit", result=0x1234_5678_9ABC_DEF0),
    CompiledProgram(name="exit in the middle", text="""
        if r1 != 0 goto out; r0 = 5; exit
        out: r0 = 6; exit""", result=6, context=bytes(8)),
    _moves("immediates", (
        ("r0 = 2047", 0x7FF), ("r0 = 2048", 0x800), ("r0 = -2048", 0xFFFF_FFFF_FFFF_F800),
        ("r0 = -2049", 0xFFFF_FFFF_FFFF_F7FF), ("r0 = 0x7fffffff", 0x7FFF_FFFF),
        ("r0 = 0x7ffff800", 0x7FFF_F800), ("r0 = -0x80000000", 0xFFFF_FFFF_8000_0000),
        ("w0 = -1", 0xFFFF_FFFF), ("w0 = -0x80000000", 0x8000_0000), ("w0 = 0x12345678", 0x1234_5678),
    )),
    _moves("immediates of 64 bits", (
        ("r0 = 0x80000000 ll", 0x8000_0000), ("r0 = 0xffffffff ll", 0xFFFF_FFFF),
        ("r0 = 0x100000000 ll", 0x1_0000_0000), ("r0 = 0x7fff7ff7ff7ff7ff ll", 0x7FFF_7FF7_FF7F_F7FF),
        ("r0 = 0x8000000000000000 ll", 0x8000_0000_0000_0000), ("r0 = 0x8000000000000001 ll", 0x8000_0000_0000_0001),
        ("r0 = 0x7fffffffffffffff ll", 0x7FFF_FFFF_FFFF_FFFF), ("r0 = 0xffffffff00000000 ll", 0xFFFF_FFFF_0000_0000),
        ("r0 = 0xffffffff7fffffff ll", 0xFFFF_FFFF_7FFF_FFFF), ("r0 = 0xdeadbeefcafebabe ll", 0xDEAD_BEEF_CAFE_BABE),
    )),
    _moves("moves, negation, byte order", (
        ("r0 = r2", 0x0123_4567_89AB_CDEF), ("w0 = w2", 0x89AB_CDEF),
        ("r0 = r2\nr0 = -r0", 0xFEDC_BA98_7654_3211), ("r0 = r2\nw0 = -w0", 0x7654_3211),
        ("r0 = r2\nr0 = le16 r0", 0xCDEF), ("r0 = r2\nr0 = le32 r0", 0x89AB_CDEF),
        ("r0 = r2\nr0 = le64 r0", 0x0123_4567_89AB_CDEF), ("r0 = r2\nr0 = be16 r0", 0xEFCD),
        ("r0 = r2\nr0 = be32 r0", 0xEFCD_AB89), ("r0 = r2\nr0 = be64 r0", 0xEFCD_AB89_6745_2301),
    ), _A),
    _moves("moves that extend a sign", (
        ("r0 = (s8)r2", 0xFFFF_FFFF_FFFF_FFEF), ("r0 = (s16)r2", 0xFFFF_FFFF_FFFF_CDEF),
        ("r0 = (s32)r2", 0xFFFF_FFFF_89AB_CDEF), ("w0 = (s8)w2", 0xFFFF_FFEF), ("w0 = (s16)w2", 0xFFFF_CDEF),
    ), _A, needs="v4"),
    _moves("byte swaps", (
        ("r0 = r2\nr0 = bswap16 r0", 0xEFCD), ("r0 = r2\nr0 = bswap32 r0", 0xEFCD_AB89),
        ("r0 = r2\nr0 = bswap64 r0", 0xEFCD_AB89_6745_2301),
    ), _A, needs="v4"),
    _moves("division by zero, as the verifier guards it", (
        ("r3 = 0\nr0 = r2\nif r3 != 0 goto +2\nw0 ^= w0\ngoto +1\nr0 /= r3", 0),
        ("r3 = 0\nr0 = r2\nif w3 == 0 goto +1\nr0 %= r3", 0x0123_4567_89AB_CDEF),
        ("r3 = 0x100000000 ll\nr0 = r2\nif w3 == 0 goto +2\nw0 %= w3\ngoto +1\nw0 = w0", 0x89AB_CDEF),
        ("r3 = 0x100000000 ll\nr0 = r2\nif w3 != 0 goto +2\nw0 ^= w0\ngoto +1\nw0 /= w3", 0),
        ("r3 = 3\nr0 = r2\nif r3 != 0 goto +2\nw0 ^= w0\ngoto +1\nr0 /= r3", 0x0061_1722_8339_44A5),
    ), _A),
    replace(_moves("zero-extensions that the verifier has marked", (
        ("r0 = r2\nw0 += 1\nzext r0", 0x89AB_CDF0), ("w0 = -1\nzext r0", 0xFFFF_FFFF),
        ("r0 = r2\nw0 s>>= 4\nzext r0", 0xF89A_BCDE), ("r0 = r2\nr0 = le32 r0\nzext r0", 0x89AB_CDEF),
        ("r0 = *(u32 *)(r9 + 0)\nzext r0", 0x89AB_CDEF), ("r0 = *(u8 *)(r9 + 0)\nzext r0", 0xEF),
        ("r0 = *(u16 *)(r9 + 0)\nzext r0", 0xCDEF),
    ), _A), zext=True),
    CompiledProgram(name="all registers", text="""
        r9 = 1; r8 = 2; r7 = 4; r6 = 8; r5 = 16; r4 = 32; r3 = 64; r2 = 128; r0 = r1
        r0 = *(u64 *)(r0 + 0); r0 += r2; r0 += r3; r0 += r4; r0 += r5; r0 += r6; r0 += r7; r0 += r8; r0 += r9
        exit""", result=0x11FF, context=(0x1100).to_bytes(8, "little")),
)  # fmt: skip


# -- jumps

_CONDITIONS = ("==", "!=", ">", ">=", "<", "<=", "s>", "s>=", "s<", "s<=", "&")
_LISTED = ", ".join(_CONDITIONS)
_JUMPS: tuple[tuple[int, int, str, str], ...] = (
    (5, 5, "10010101011", "10010101011"),
    (1, 2, "01001100110", "01001100110"),
    (-1, 1, "01110000111", "01110000111"),
    (0x1_0000_0002, 5, "01110011000", "01001100110"),
    (1, -1, "01001111001", "01001111001"),
    (0x1_0000_0000, -1, "01001111001", "01001111000"),
    (0x8000_0000, -0x8000_0000, "01001111001", "10010101011"),
    (0xFFFF_FFFF_0000_0000, 0, "01110000110", "10010101010"),
)
"""Two numbers, and for each condition whether it holds for their 64 bits, and for the low 32."""
_WITH_REGISTERS = 5
"""Pairs that are compared in registers too; the others are about immediates."""


def _jumps() -> Iterator[CompiledProgram]:
    """Yield programs that note which conditions do not hold, a bit each."""
    for letter, title in (("r", "jumps that compare 64 bits"), ("w", "jumps that compare 32 bits")):
        for by_register in (False, True):
            maker = _Maker(f"{title}, with {'a register' if by_register else 'a number'}")
            for first, second, wide, narrow in _JUMPS[: _WITH_REGISTERS if by_register else None]:
                maker.line(f"r6 = *(u64 *)(r9 + {maker.operand(first)})", "r0 = 0")
                if by_register:
                    maker.line(f"r7 = *(u64 *)(r9 + {maker.operand(second)})")
                holds = wide if letter == "r" else narrow
                for bit, condition in enumerate(_CONDITIONS):
                    maker.line(f"if {letter}6 {condition} {letter + '7' if by_register else second} goto +1")
                    maker.line(f"r0 |= {1 << bit}")
                missed = sum(1 << bit for bit, digit in enumerate(holds) if digit == "0")
                told = f"{first & _U64:#x} and {second & _U64:#x}: a bit for each of {_LISTED} that does not hold"
                maker.result("r0", told, missed)
            yield maker.program()
    filler = "r3 = be64 r3\n" * _FILLER
    yield CompiledProgram(name="jumps over more than 4 KiB", text=f"""
        r0 = 0; r2 = 3; r3 = 1
        again: r0 += 5; r2 -= 1
        if r2 s< 1 goto out
        {filler}
        if w2 == 1 goto again
        if r2 != 9 goto again
        out: exit""", result=15)  # fmt: skip
    yield CompiledProgram(name="an unconditional jump of 32 bits", text="""
        r0 = 1; gotol over; r0 = 2
        back: r0 += 4; goto end
        over: r0 += 8; gotol back
        end: exit""", result=13, needs="v4")  # fmt: skip


_FILLER = 60
"""Byte swaps between a jump and its target: each takes some 80 bytes where the hart has none."""


# -- memory

_DIGITS = 0xFFEE_DDCC_BBAA_9988
_EMPTY = b"\xa7" * 8


def _cells(*rows: tuple[str, int, int]) -> tuple[Cell, ...]:
    """Return words: (what, offset, value)."""
    return tuple(Cell(what, offset, 8, value) for what, offset, value in rows)


_MEMORY = (
    _moves("loads", (
        ("r0 = *(u8 *)(r9 + 0)", 0x88), ("r0 = *(u16 *)(r9 + 0)", 0x9988), ("r0 = *(u32 *)(r9 + 0)", 0xBBAA_9988),
        ("r0 = *(u64 *)(r9 + 0)", _DIGITS), ("r0 = *(u8 *)(r9 + 7)", 0xFF), ("r0 = *(u16 *)(r9 + 2)", 0xBBAA),
        ("r8 = r9\nr8 -= 2047\nr0 = *(u64 *)(r8 + 2047)", _DIGITS),
        ("r8 = r9\nr8 -= 2048\nr0 = *(u32 *)(r8 + 2048)", 0xBBAA_9988),
        ("r8 = r9\nr8 += 2049\nr0 = *(u16 *)(r8 - 2049)", 0x9988),
        ("r8 = r9\nr8 += 32768\nr0 = *(u8 *)(r8 - 32768)", 0x88),
    ), _DIGITS),
    _moves("loads that extend a sign", (
        ("r0 = *(s8 *)(r9 + 0)", 0xFFFF_FFFF_FFFF_FF88), ("r0 = *(s16 *)(r9 + 0)", 0xFFFF_FFFF_FFFF_9988),
        ("r0 = *(s32 *)(r9 + 0)", 0xFFFF_FFFF_BBAA_9988),
        ("r8 = r9\nr8 -= 3000\nr0 = *(s16 *)(r8 + 3002)", 0xFFFF_FFFF_FFFF_BBAA),
    ), _DIGITS, needs="v4"),
    _with_results("stores", _EMPTY * 10, """
        r2 = 0x1122334455667788 ll; r8 = r1
        *(u8 *)(r1 + 0) = r2; *(u16 *)(r1 + 8) = r2; *(u32 *)(r1 + 16) = r2; *(u64 *)(r1 + 24) = r2
        *(u8 *)(r1 + 32) = -2; *(u16 *)(r1 + 40) = -2; *(u32 *)(r1 + 48) = -2; *(u64 *)(r1 + 56) = -2
        r1 -= 4000; *(u16 *)(r1 + 4064) = r2; *(u64 *)(r1 + 4072) = 0x12345678
        r0 = 0; exit""", Cell("u8 of a register", 0, 1, 0x88), Cell("u16 of a register", 8, 2, 0x7788),
        Cell("u32 of a register", 16, 4, 0x5566_7788), Cell("u64 of a register", 24, 8, 0x1122_3344_5566_7788),
        Cell("u8 of a number", 32, 1, 0xFE), Cell("u16 of a number", 40, 2, 0xFFFE),
        Cell("u32 of a number", 48, 4, 0xFFFF_FFFE), Cell("u64 of a number", 56, 8, 0xFFFF_FFFF_FFFF_FFFE),
        Cell("u16 at a large offset", 64, 2, 0x7788), Cell("u64 at a large offset", 72, 8, 0x1234_5678)),
    CompiledProgram(name="the BPF stack", text="""
        r6 = 1; r7 = 2; r8 = 3; r9 = 4; r2 = 0x1122334455667788 ll
        *(u64 *)(r10 - 8) = r2; *(u32 *)(r10 - 504) = 7; *(u64 *)(r10 - 512) = -1; *(u8 *)(r10 - 497) = 0x90
        call helper
        r0 = *(u64 *)(r10 - 8); r1 = *(u32 *)(r10 - 504); r0 += r1; r1 = *(u64 *)(r10 - 512); r0 += r1
        r1 = *(u8 *)(r10 - 497); r0 += r1; r0 += r6; r0 += r7; r0 += r8; r0 += r9; exit""",
        stack=512, calls=(Call("helper"),), result=0x1122_3344_5566_7788 + 7 - 1 + 0x90 + 10),
    CompiledProgram(name="a little of the BPF stack", text="""
        *(u8 *)(r10 - 1) = 0x81; *(u16 *)(r10 - 4) = 0x1234; r0 = *(u8 *)(r10 - 1); r1 = *(u16 *)(r10 - 4)
        r0 <<= 16; r0 |= r1; exit""", stack=4, result=0x81_1234),
)  # fmt: skip

_OLD = 0x0123_4567_89AB_CDEF
_LEAKS = "a pointer is compared: the verifier lets that pass only where pointers may leak (CAP_PERFMON)"
# the verifier puts a zero-extension of R0 behind every cmpxchg of 32 bits
_ATOMIC = (
    _with_results("atomic operations", words(*[_OLD] * 6), """
        r2 = 0x10; r3 = 0xf0; r4 = 0xff; r5 = 0x76543211
        lock *(u64 *)(r1 + 0) += r2; lock *(u64 *)(r1 + 8) |= r2; lock *(u64 *)(r1 + 16) &= r3
        lock *(u64 *)(r1 + 24) ^= r4; lock *(u32 *)(r1 + 32) += w5; lock *(u32 *)(r1 + 44) ^= w4
        r0 = 0; exit""",
        *_cells(("u64 +=", 0, 0x0123_4567_89AB_CDFF), ("u64 |=", 8, 0x0123_4567_89AB_CDFF), ("u64 &=", 16, 0xE0),
                ("u64 ^=", 24, 0x0123_4567_89AB_CD10), ("u32 +=", 32, 0x0123_4567_0000_0000),
                ("u32 ^=", 40, 0x0123_4598_89AB_CDEF))),
    _with_results("atomic fetches of 64 bits", words(*[_OLD] * 5) + _EMPTY * 5, """
        r2 = 0x10; r3 = 0xf0; r4 = 0x10; r5 = 0xff; r6 = -3; r9 = r1
        r2 = atomic_fetch_add((u64 *)(r9 + 0), r2); r3 = atomic_fetch_and((u64 *)(r9 + 8), r3)
        r4 = atomic_fetch_or((u64 *)(r9 + 16), r4); r5 = atomic_fetch_xor((u64 *)(r9 + 24), r5)
        r6 = xchg_64(r9 + 32, r6)
        *(u64 *)(r9 + 40) = r2; *(u64 *)(r9 + 48) = r3; *(u64 *)(r9 + 56) = r4; *(u64 *)(r9 + 64) = r5
        *(u64 *)(r9 + 72) = r6; r0 = 0; exit""",
        *_cells(("add", 0, 0x0123_4567_89AB_CDFF), ("and", 8, 0xE0), ("or", 16, 0x0123_4567_89AB_CDFF),
                ("xor", 24, 0x0123_4567_89AB_CD10), ("xchg", 32, 0xFFFF_FFFF_FFFF_FFFD),
                ("what add returns", 40, _OLD), ("what and returns", 48, _OLD), ("what or returns", 56, _OLD),
                ("what xor returns", 64, _OLD), ("what xchg returns", 72, _OLD))),
    _with_results("atomic fetches of 32 bits", words(*[_OLD] * 5) + _EMPTY * 5, """
        r2 = 0x76543212; r3 = 0xf0; r4 = -1; r5 = -2; r6 = -4; r9 = r1
        w2 = atomic_fetch_add((u32 *)(r9 + 0), w2); w3 = atomic_fetch_and((u32 *)(r9 + 8), w3)
        w4 = atomic_fetch_or((u32 *)(r9 + 16), w4); w5 = atomic_fetch_xor((u32 *)(r9 + 24), w5)
        w6 = xchg32_32(r9 + 32, w6)
        *(u64 *)(r9 + 40) = r2; *(u64 *)(r9 + 48) = r3; *(u64 *)(r9 + 56) = r4; *(u64 *)(r9 + 64) = r5
        *(u64 *)(r9 + 72) = r6; r0 = 0; exit""",
        *_cells(("add", 0, 0x0123_4567_0000_0001), ("and", 8, 0x0123_4567_0000_00E0),
                ("or", 16, 0x0123_4567_FFFF_FFFF), ("xor", 24, 0x0123_4567_7654_3211),
                ("xchg", 32, 0x0123_4567_FFFF_FFFC), ("what add returns", 40, 0x89AB_CDEF),
                ("what and returns", 48, 0x89AB_CDEF), ("what or returns", 56, 0x89AB_CDEF),
                ("what xor returns", 64, 0x89AB_CDEF), ("what xchg returns", 72, 0x89AB_CDEF))),
    _with_results("compare and exchange", words(*[_OLD] * 4) + _EMPTY * 4, """
        r9 = r1; r2 = 0x55; r6 = *(u64 *)(r9 + 0)
        r0 = r6; r0 = cmpxchg_64(r9 + 0, r0, r2); *(u64 *)(r9 + 32) = r0
        r0 = 1; r0 = cmpxchg_64(r9 + 8, r0, r2); *(u64 *)(r9 + 40) = r0
        r0 = 0x7777777789abcdef ll; w0 = cmpxchg32_32(r9 + 16, w0, w2); zext r0; *(u64 *)(r9 + 48) = r0
        r0 = 1; w0 = cmpxchg32_32(r9 + 24, w0, w2); zext r0; *(u64 *)(r9 + 56) = r0
        exit""",
        *_cells(("u64, equal", 0, 0x55), ("u64, not equal", 8, _OLD), ("u32, equal", 16, 0x0123_4567_0000_0055),
                ("u32, not equal", 24, _OLD), ("R0 of u64, equal", 32, _OLD), ("R0 of u64, not equal", 40, _OLD),
                ("R0 of u32, equal", 48, 0x89AB_CDEF), ("R0 of u32, not equal", 56, 0x89AB_CDEF))),
    _with_results("atomic operations of a register with itself", words(_OLD, _OLD, _OLD, _OLD) + _EMPTY * 2, """
        r9 = r1; r2 = r9; lock *(u64 *)(r2 + 0) &= r2; r0 = *(u64 *)(r9 + 0); r2 &= 0xff; r0 &= 0xff
        if r0 == r2 goto +2; r0 = 1; exit
        r2 = r9; r2 = xchg_64(r2 + 8, r2); *(u64 *)(r9 + 32) = r2
        r2 = r9; r2 += 16; r2 = atomic_fetch_or((u64 *)(r2 + 0), r2); *(u64 *)(r9 + 40) = r2
        r2 = 0; *(u64 *)(r9 + 0) = r2; *(u64 *)(r9 + 8) = r2; *(u64 *)(r9 + 16) = r2; r0 = 0; exit""",
        *_cells(("after &=", 0, 0), ("after xchg", 8, 0), ("after |=", 16, 0), ("what xchg returns", 32, _OLD),
                ("what or returns", 40, _OLD))),
    _with_results("atomic operations at large offsets", words(*[_OLD] * 4) + _EMPTY * 2, """
        r9 = r1; r6 = r9; r6 -= 3000; r2 = 1; lock *(u64 *)(r6 + 3000) += r2; r6 += 6000
        lock *(u32 *)(r6 - 2992) += w2; r3 = 5; r3 = xchg_64(r6 - 2984, r3); *(u64 *)(r9 + 32) = r3
        r0 = 0x0123456789abcdef ll; r3 = 6; r0 = cmpxchg_64(r6 - 2976, r0, r3); *(u64 *)(r9 + 40) = r0; r0 = 0; exit""",
        *_cells(("u64 +=", 0, _OLD + 1), ("u32 +=", 8, _OLD + 1), ("xchg", 16, 5), ("cmpxchg", 24, 6),
                ("what xchg returns", 32, _OLD), ("R0 of cmpxchg", 40, _OLD))),
    _with_results("compare and exchange at the address in R0, 64 bits", words(_OLD) + _EMPTY * 2, """
        r9 = r1; *(u64 *)(r9 + 0) = r9; r2 = 0x55; r0 = r9; r0 = cmpxchg_64(r0 + 0, r0, r2); r0 -= r9
        *(u64 *)(r9 + 8) = r0; r0 = r9; r0 = cmpxchg_64(r0 + 0, r0, r2); *(u64 *)(r9 + 16) = r0; exit""",
        *_cells(("u64, equal", 0, 0x55), ("R0 of u64, equal", 8, 0), ("R0 of u64, not equal", 16, 0x55)),
        unused=_LEAKS),
    _with_results("compare and exchange at the address in R0, 32 bits", words(_OLD) + _EMPTY * 2, """
        r9 = r1; *(u32 *)(r9 + 0) = r9; r2 = 0x55; r0 = r9; w0 = cmpxchg32_32(r0 + 0, w0, w2); zext r0
        w3 = w9; r0 -= r3; *(u64 *)(r9 + 8) = r0; r0 = r9; w0 = cmpxchg32_32(r0 + 0, w0, w2); zext r0
        *(u64 *)(r9 + 16) = r0; exit""",
        *_cells(("u32, equal", 0, 0x0123_4567_0000_0055), ("R0 of u32, equal", 8, 0),
                ("R0 of u32, not equal", 16, 0x55)), unused=_LEAKS),
    _with_results("load-acquire and store-release", words(_DIGITS) + _EMPTY * 6, """
        r9 = r1; r0 = 0; r0 = load_acquire((u64 *)(r9 + 0)); *(u64 *)(r9 + 8) = r0
        w0 = load_acquire((u32 *)(r9 + 0)); *(u64 *)(r9 + 16) = r0; w0 = load_acquire((u8 *)(r9 + 0))
        *(u64 *)(r9 + 24) = r0; r2 = -2; store_release((u16 *)(r9 + 32), w2); store_release((u64 *)(r9 + 40), r2)
        exit""",
        *_cells(("u64 load", 8, _DIGITS), ("u32 load", 16, 0xBBAA_9988), ("u8 load", 24, 0x88)),
        Cell("u16 store", 32, 2, 0xFFFE), Cell("u64 store", 40, 8, 0xFFFF_FFFF_FFFF_FFFE), needs="acquire"),
)  # fmt: skip

# -- calls

_RESULT = 0xFEDC_BA98_7654_3210
_HELPER_TEXT = """
    r6 = 1; r7 = 2; r8 = 4; r9 = 8
    r1 = 0x1111111111111111 ll; r2 = -1; w3 = -1; r4 = 0x80000000 ll; r5 = 5
    call {name}
    r0 += r6; r0 += r7; r0 += r8; r0 += r9; exit"""
_SEEN = (0x1111_1111_1111_1111, 0xFFFF_FFFF_FFFF_FFFF, 0xFFFF_FFFF, 0x8000_0000, 5)


def _helper(name: str, title: str) -> CompiledProgram:
    """Return a program that calls a helper and adds r6 to r9 to what it returns."""
    call = Call(name, _SEEN, _RESULT)
    return CompiledProgram(name=title, text=_HELPER_TEXT.format(name=name), calls=(call,), result=_RESULT + 15)


_CALLS = (
    _helper("helper", "a helper call"),
    _helper("near_helper", "a call of a helper close by"),
    CompiledProgram(name="two helper calls", text="""
        r6 = r1; call helper; r7 = r0; r1 = r6; r2 = r7; call helper; r0 -= r7; exit""",
        calls=(Call("helper", (CONTEXT,), 0x1234), Call("helper", (CONTEXT, 0x1234), 0x1235)), result=1),
    CompiledProgram(name="the number of the processor, inline", text="call get_smp_processor_id; exit",
        needs="inline get_smp_processor_id", result=3),
    CompiledProgram(name="the current task, inline", text="r6 = 5; call get_current_task; r0 -= r6; exit",
        needs="inline get_current_task"),
)  # fmt: skip

_TAIL = "r1 = r6; r2 = map ll; r3 = {index}; tail_call; r0 = 77; exit"
_TAIL_CALLS = (
    CompiledProgram(name="a tail call to itself, behind a helper call",
        text=f"r6 = r1; call helper; {_TAIL.format(index=0)}", tail=(SELF,),
        calls=(Call("helper", (CONTEXT,)),) * 34, result=77),
    CompiledProgram(name="a tail call to itself, without another call", text="""
        r2 = *(u64 *)(r1 + 0); r2 += 1; *(u64 *)(r1 + 0) = r2; r2 = map ll; r3 = 0; tail_call; r0 = 78; exit""",
        tail=(SELF,), context=bytes(8), cells=(Cell("how often it is entered", 0, 8, 34),), result=78),
    CompiledProgram(name="a tail call to a program with a larger frame", text=f"r6 = r1; {_TAIL.format(index=1)}",
        tail=(None, ("""r6 = 1; r7 = 2; r8 = 3; r9 = r1; *(u64 *)(r10 - 8) = 9; call helper; r0 = *(u64 *)(r10 - 8)
        r0 += r6; r0 += r7; r0 += r8; r1 = *(u64 *)(r9 + 0); r0 += r1; exit""", 8)), context=words(0x100),
        calls=(Call("helper", (CONTEXT,)),), result=0x100 + 15),
    CompiledProgram(name="a tail call to a program with a smaller frame", text=f"""
        r6 = r1; r7 = 1; r8 = 2; r9 = 3; *(u64 *)(r10 - 64) = 4; call helper; {_TAIL.format(index=0)}""", stack=64,
        tail=(("r0 = *(u64 *)(r1 + 0); exit", 0),), context=words(0x1234_5678_9ABC),
        calls=(Call("helper", (CONTEXT,)),), result=0x1234_5678_9ABC),
    CompiledProgram(name="tail calls there and back", text=f"r6 = r1; call helper; {_TAIL.format(index=0)}",
        tail=(("r2 = *(u64 *)(r1 + 0); r2 += 1; *(u64 *)(r1 + 0) = r2; r2 = map ll; r3 = 1; tail_call; r0 = 79; exit",
               0), SELF),
        context=bytes(8), cells=(Cell("how often the other is entered", 0, 8, 17),),
        calls=(Call("helper", (CONTEXT,)),) * 17, result=79),
    CompiledProgram(name="a tail call whose index is too large", text=f"r6 = r1; {_TAIL.format(index=1)}",
        tail=(SELF,), result=77),
    CompiledProgram(name="a tail call of nothing", text=f"r6 = r1; {_TAIL.format(index=1)}",
        tail=(SELF, None), result=77),
    CompiledProgram(name="a tail call whose index has 32 bits", text="""
        r2 = map ll; r3 = 0x700000001 ll; tail_call; r0 = 80; exit""", tail=(None, ("r0 = 81; exit", 0)), result=81),
)  # fmt: skip

_FUNCTIONS = (
    CompiledProgram(name="a subprogram", text="""
        r6 = 0x10; r7 = 0x20; r8 = 0x40; r9 = 0x80; *(u64 *)(r10 - 8) = 0x100
        r1 = 1; r2 = 2; r3 = 3; r4 = 4; r5 = 5; call sub1
        r0 += r6; r0 += r7; r0 += r8; r0 += r9; r1 = *(u64 *)(r10 - 8); r0 += r1; exit""", stack=8,
        functions=(("""
        r6 = r1; r7 = r2; r8 = r3; r9 = r4; *(u64 *)(r10 - 8) = r5; *(u64 *)(r10 - 16) = 7; call helper
        r0 = 0x1000000000 ll; r0 += r6; r0 += r7; r0 += r8; r0 += r9; r1 = *(u64 *)(r10 - 8); r0 += r1; exit""", 16),),
        calls=(Call("helper", (1, 2, 3, 4, 5)),), result=0x10_0000_01FF),
    CompiledProgram(name="subprograms that call each other", text="r1 = 1; call sub1; r0 += 1; exit",
        functions=(("r6 = r1; r1 = 2; call sub2; r0 += r6; exit", 0), ("r0 = r1; r0 <<= 40; call helper; exit", 0)),
        calls=(Call("helper", (2,), 0x200_0000_0000),), result=0x200_0000_0002),
    CompiledProgram(name="the address of a subprogram", text="r2 = sub1 ll; r1 = 3; call helper; exit",
        functions=(("r0 = r1; exit", 0),), calls=(Call("helper", (3, "sub1"), 9),), result=9),
)  # fmt: skip

# a compiler extends narrow arguments to 32 bits by their own sign, and clears the rest
_KFUNCS = (
    CompiledProgram(name="a kfunc with arguments of 32, 16, 8 and 64 bits", text="""
        w1 = -2; w2 = -0x80000000; w3 = 0x8080; w4 = 0x81; r5 = 0x8000000000000001 ll; call kfunc; exit""",
        kfunc=KfuncType((4, 4, 2, 1, 8), (True, False, False, False, True)), needs="kfunc",
        calls=(Call("kfunc", (0xFFFF_FFFF_FFFF_FFFE, 0xFFFF_FFFF_8000_0000, 0x8080, 0x81,
                              0x8000_0000_0000_0001), 0xFFFF_FFFF_FFFF_FFF0),), result=0xFFFF_FFFF_FFFF_FFF0),
    CompiledProgram(name="a kfunc with five arguments of 32 bits", text="""
        w1 = 0x7fffffff; w2 = 0x7ffffffe; w3 = -1; w4 = -2; w5 = -3; call kfunc; r0 += 1; exit""",
        kfunc=KfuncType((4, 4, 4, 4, 4), (False, True, False, True, True)), needs="kfunc",
        calls=(Call("kfunc", (0x7FFF_FFFF, 0x7FFF_FFFE, 0xFFFF_FFFF_FFFF_FFFF, 0xFFFF_FFFF_FFFF_FFFE,
                              0xFFFF_FFFF_FFFF_FFFD), 41),), result=42),
    CompiledProgram(name="a kfunc with signed arguments of 8 and 16 bits", text="""
        w1 = -0x7f; w2 = -0x7ffe; w3 = 0x7f; w4 = 0x7ffe; call kfunc; exit""",
        kfunc=KfuncType((1, 2, 1, 2), (True, True, True, True)), needs="kfunc",
        calls=(Call("kfunc", (0xFFFF_FFFF_FFFF_FF81, 0xFFFF_FFFF_FFFF_8002, 0x7F, 0x7FFE), 3),), result=3),
)  # fmt: skip

_EVERYWHERE = (_CALLS[0], _TAIL_CALLS[0], _FUNCTIONS[0], _FUNCTIONS[2], _KFUNCS[0])
