# SPDX-License-Identifier: GPL-2.0-or-later
"""An assembler of eBPF, in the syntax that clang and the kernel's verifier log share.

Source of the encoding: RFC 9669, "BPF Instruction Set Architecture (ISA)". What no compiler writes, but the
verifier puts into programs before they are compiled, is there too: ``tail_call``, ``zext``, ``nospec``, calls whose
target is a name, and accesses that may fault: ``probe`` in front of a load, ``arena`` in front of any access.
Source of those: BPF_PROBE_MEM and the like in include/linux/filter.h.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from ...errors import GenpatchError

__all__ = ["SIZE", "BytecodeError", "Callee", "assemble", "guarded_accesses"]

SIZE = 8
"""Bytes of an instruction; an immediate load of 64 bits has two."""

_LD, _LDX, _ST, _STX, _ALU, _JMP, _JMP32, _ALU64 = range(8)
_IMM, _MEM, _MEMSX, _ATOMIC = 0x00, 0x60, 0x80, 0xC0
_X, _FETCH = 0x08, 0x01
_NOSPEC = 0xC0
_MODE = 0xE0
_MODES = {
    "probe": {_MEM: 0x20, _MEMSX: 0x40},
    "arena": {_MEM: 0xA0, _ATOMIC: 0xE0},
}
"""What the verifier makes of the mode of an access that may fault."""
_WIDTHS = {32: 0x00, 16: 0x08, 8: 0x10, 64: 0x18}
_OPERATIONS = {
    "+": 0x00, "-": 0x10, "*": 0x20, "/": 0x30, "|": 0x40, "&": 0x50, "<<": 0x60, ">>": 0x70, "%": 0x90,
    "^": 0xA0, "s>>": 0xC0,
}  # fmt: skip
_NEG, _MOV, _END = 0x80, 0xB0, 0xD0
_CONDITIONS = {
    "==": 0x10, ">": 0x20, ">=": 0x30, "&": 0x40, "!=": 0x50, "s>": 0x60, "s>=": 0x70, "<": 0xA0, "<=": 0xB0,
    "s<": 0xC0, "s<=": 0xD0,
}  # fmt: skip
_JA, _CALL, _EXIT, _TAIL_CALL = 0x00, 0x80, 0x90, 0xF0
_XCHG, _CMPXCHG, _LOAD_ACQUIRE, _STORE_RELEASE = 0xE0 | _FETCH, 0xF0 | _FETCH, 0x100, 0x110
_PSEUDO_FUNCTION = 4
_CAST, _PERCPU = 1, -1
"""BPF_ADDR_SPACE_CAST and BPF_ADDR_PERCPU, offsets of a move."""
_FETCHES = {"add": "+", "or": "|", "and": "&", "xor": "^"}

_REG, _NUM = r"([rw])(\d+)", r"(-?\w+)"
_AT = r"\((?:u(\d+) \*\)\()?r(\d+) ([-+]) (\w+)\)"
_DEREF = r"\*\(([us])(\d+) \*\)\(r(\d+) ([-+]) (\w+)\)"
_MOST = 4096


class BytecodeError(GenpatchError):
    """A line of eBPF assembler text cannot be understood."""


@dataclass(frozen=True, slots=True)
class Callee:
    """What a call leads to: the fields of its instruction; the address of a function of the program itself."""

    source: int
    offset: int
    immediate: int
    address: int = 0


_Names = Mapping[str, "int | Callee"]


@dataclass(frozen=True, slots=True)
class _Context:
    """What a line may refer to: values of names, slots of labels, and its own slot."""

    names: _Names
    labels: Mapping[str, int]
    slot: int

    def number(self, text: str) -> int:
        found = self.names.get(text)
        if isinstance(found, int):
            return found
        try:
            return int(text, 0)
        except ValueError:
            raise BytecodeError(f"neither a number nor a known name: {text!r}") from None

    def distance(self, label: str) -> int:
        """Return slots from behind this one to a label, or a written distance such as ``+2``."""
        if label[0] in "+-":
            return int(label, 0)
        if label not in self.labels:
            raise BytecodeError(f"no label {label!r}")
        return self.labels[label] - self.slot - 1


def _word(code: int, dst: int = 0, src: int = 0, off: int = 0, imm: int = 0) -> bytes:
    """Encode struct bpf_insn."""
    if dst > 10 or src > 10:
        raise BytecodeError(f"no register r{max(dst, src)}")
    if not -(1 << 15) <= off < 1 << 15 or not -(1 << 31) <= imm < 1 << 32:
        raise BytecodeError(f"a number does not fit: offset {off}, immediate {imm}")
    fields = (code, 1), (dst | src << 4, 1), (off & 0xFFFF, 2), (imm & 0xFFFF_FFFF, 4)
    return b"".join(value.to_bytes(size, "little") for value, size in fields)


def _class(letter: str) -> int:
    return _ALU64 if letter == "r" else _ALU


def _arithmetic(at: _Context, kind: str, dst: str, operation: str, value: str) -> bytes:
    signed = operation in ("s/", "s%")
    code = _OPERATIONS[operation[1:] if signed else operation] | _class(kind)
    return _with_operand(at, code, int(dst), value, int(signed))


def _with_operand(at: _Context, code: int, dst: int, value: str, off: int) -> bytes:
    register = re.fullmatch(r"[rw](\d+)", value)
    if register:
        return _word(code | _X, dst, int(register[1]), off)
    return _word(code, dst, 0, off, at.number(value))


def _move(at: _Context, kind: str, dst: str, value: str) -> bytes:
    return _with_operand(at, _MOV | _class(kind), int(dst), value, 0)


def _extend(_: _Context, kind: str, dst: str, bits: str, src: str) -> bytes:
    return _word(_MOV | _X | _class(kind), int(dst), int(src), int(bits))


def _wide(at: _Context, dst: str, value: str) -> bytes:
    """A number of 64 bits; of a function of the program its address, which the JIT is told by a pseudo source."""
    named = at.names.get(value)
    callee = named if isinstance(named, Callee) else Callee(0, 0, 0)
    number = callee.address if callee is named else at.number(value)
    source = _PSEUDO_FUNCTION if callee is named else 0
    low, high = number & 0xFFFF_FFFF, number >> 32 & 0xFFFF_FFFF
    return _word(_LD | _IMM | _WIDTHS[64], int(dst), source, callee.offset, low) + _word(0, imm=high)


def _negate(_: _Context, kind: str, dst: str, src: str) -> bytes:
    if dst != src:
        raise BytecodeError("the source of a negation is its destination")
    return _word(_NEG | _class(kind), int(dst))


def _swap(_: _Context, dst: str, order: str, bits: str, src: str) -> bytes:
    if dst != src:
        raise BytecodeError("the source of a byte swap is its destination")
    code = {"le": _ALU | _END, "be": _ALU | _END | _X, "bswap": _ALU64 | _END}[order]
    return _word(code, int(dst), imm=int(bits))


def _load(at: _Context, dst: str, sign: str, bits: str, base: str, plus: str, off: str) -> bytes:
    mode = _MEMSX if sign == "s" else _MEM
    return _word(_LDX | mode | _WIDTHS[int(bits)], int(dst), int(base), _signed(at, plus, off))


def _store(at: _Context, _sign: str, bits: str, base: str, plus: str, off: str, value: str) -> bytes:
    register = re.fullmatch(r"[rw](\d+)", value)
    code, offset = _MEM | _WIDTHS[int(bits)], _signed(at, plus, off)
    if register:
        return _word(_STX | code, int(base), int(register[1]), offset)
    return _word(_ST | code, int(base), 0, offset, at.number(value))


def _signed(at: _Context, plus: str, off: str) -> int:
    return -at.number(off) if plus == "-" else at.number(off)


def _atomic(at: _Context, bits: int, base: str, plus: str, off: str, src: str, operation: int) -> bytes:
    return _word(_STX | _ATOMIC | _WIDTHS[bits], int(base), int(src), _signed(at, plus, off), operation)


def _locked(
    at: _Context, _s: str, bits: str, base: str, plus: str, off: str, operation: str, _k: str, src: str
) -> bytes:
    return _atomic(at, int(bits), base, plus, off, src, _OPERATIONS[operation])


def _fetch(
    at: _Context, _k: str, dst: str, name: str, bits: str, base: str, plus: str, off: str, _s: str, src: str
) -> bytes:
    if dst != src:
        raise BytecodeError("an atomic fetch returns in its source")
    return _atomic(at, int(bits), base, plus, off, src, _OPERATIONS[_FETCHES[name]] | _FETCH)


def _exchange(
    at: _Context, _k: str, _dst: str, compares: str, bits: str, _t: str | None, base: str, plus: str, off: str, src: str
) -> bytes:
    return _atomic(at, int(bits), base, plus, off, src, _CMPXCHG if compares else _XCHG)


def _acquire(at: _Context, _k: str, dst: str, bits: str, base: str, plus: str, off: str) -> bytes:
    code = _STX | _ATOMIC | _WIDTHS[int(bits)]
    return _word(code, int(dst), int(base), _signed(at, plus, off), _LOAD_ACQUIRE)


def _release(at: _Context, bits: str, base: str, plus: str, off: str, _k: str, src: str) -> bytes:
    return _atomic(at, int(bits), base, plus, off, src, _STORE_RELEASE)


def _branch(at: _Context, kind: str, dst: str, condition: str, value: str, label: str) -> bytes:
    code = _CONDITIONS[condition] | (_JMP if kind == "r" else _JMP32)
    return _with_operand(at, code, int(dst), value, at.distance(label))


def _jump(at: _Context, long: str | None, label: str) -> bytes:
    distance = at.distance(label)
    return _word(_JMP32 | _JA, imm=distance) if long else _word(_JMP | _JA, off=distance)


def _call(at: _Context, name: str) -> bytes:
    found = at.names.get(name)
    callee = found if isinstance(found, Callee) else Callee(0, 0, at.number(name))
    return _word(_JMP | _CALL, 0, callee.source, callee.offset, callee.immediate)


def _cast(_: _Context, dst: str, src: str, to: str, origin: str) -> bytes:
    return _word(_ALU64 | _MOV | _X, int(dst), int(src), _CAST, int(to) << 16 | int(origin))


def _percpu(_: _Context, dst: str, src: str) -> bytes:
    return _word(_ALU64 | _MOV | _X, int(dst), int(src), _PERCPU)


def _guarded(at: _Context, how: str, statement: str) -> bytes:
    """An access with an entry in the table of exceptions: its mode is another one."""
    plain = _encode(statement, at)
    modes = _MODES[how]
    if (
        plain[0] & 7 not in (_LDX, _ST, _STX)
        or plain[0] & _MODE not in modes
        or (how == "probe" and plain[0] & 7 != _LDX)
    ):
        raise BytecodeError(f"not an access that can be marked {how}")
    return bytes([plain[0] & ~_MODE | modes[plain[0] & _MODE]]) + plain[1:]


def _zext(_: _Context, register: str) -> bytes:
    return _word(_ALU | _MOV | _X, int(register), int(register), imm=1)


_FORMS: tuple[tuple[str, Callable[..., bytes]], ...] = (
    (rf"{_REG} = {_DEREF}".replace("([rw])", "r", 1), _load),
    (rf"{_DEREF} = (r\d+|{_NUM})".replace(_NUM, r"-?\w+"), _store),
    (rf"{_REG} = \(s(\d+)\)[rw](\d+)", _extend),
    (r"r(\d+) = (-?\w+) ll", _wide),
    (rf"{_REG} = -[rw](\d+)", _negate),
    (r"r(\d+) = (le|be|bswap)(16|32|64) r(\d+)", _swap),
    (rf"lock {_DEREF} ([-+|&^])= {_REG}", _locked),
    (rf"{_REG} = atomic_fetch_(add|or|and|xor)\(\(u(\d+) \*\)\(r(\d+) ([-+]) (\w+)\), {_REG}\)", _fetch),
    (rf"{_REG} = (cmp)?xchg(?:32)?_(32|64)\((?:u(\d+) \*)?r(\d+) ([-+]) (\w+),(?: [rw]0,)? [rw](\d+)\)", _exchange),
    (rf"{_REG} = load_acquire\(\(u(\d+) \*\)\(r(\d+) ([-+]) (\w+)\)\)", _acquire),
    (rf"store_release\(\(u(\d+) \*\)\(r(\d+) ([-+]) (\w+)\), {_REG}\)", _release),
    (rf"{_REG} (\+|-|\*|s?/|\||&|<<|s?>>|s?%|\^)= (-?\w+)", _arithmetic),
    (rf"{_REG} = (-?\w+)", _move),
    (rf"if {_REG} (s?[<>]=?|[=!]=|&) (-?\w+) goto (\S+)", _branch),
    (r"goto(l)? (\S+)", _jump),
    (r"call (-?\w+)", _call),
    (r"zext r(\d+)", _zext),
    (r"r(\d+) = addr_space_cast\(r(\d+), ([01]), ([01])\)", _cast),
    (r"r(\d+) = &\(void __percpu \*\)\(r(\d+)\)", _percpu),
    (r"(probe|arena) (.+)", _guarded),
    (r"nospec", lambda _: _word(_ST | _NOSPEC)),
    (r"exit", lambda _: _word(_JMP | _EXIT)),
    (r"tail_call", lambda _: _word(_JMP | _TAIL_CALL)),
)
_COMPILED = [(re.compile(pattern), encode) for pattern, encode in _FORMS]
_IS_WIDE, _LABEL = re.compile(r"r\d+ = .* ll"), re.compile(r"(\w+):")


def assemble(text: str, names: _Names | None = None) -> bytes:
    """Assemble a program, a statement to a line or between semicolons.

    Args:
        text: such as ``r0 = 7; exit``, ``if w1 s> -5 goto out``, ``out: r0 = *(s16 *)(r10 - 8)``.
        names: what stands for a number, and what a call leads to.
    Returns:
        The bytes of an array of struct bpf_insn.
    Raises:
        BytecodeError: a line is not understood, or a number does not fit.
    """
    labels: dict[str, int] = {}
    statements = list(_statements(text, labels))
    made = []
    for slot, statement in statements:
        try:
            made.append(_encode(statement, _Context(names or {}, labels, slot)))
        except BytecodeError as error:
            raise BytecodeError(f"{statement[:80]!r}: {error}") from None
    return b"".join(made)


def guarded_accesses(insns: bytes) -> int:
    """Return how many accesses of an assembled program want an entry in the table of exceptions."""
    marked = {mode for modes in _MODES.values() for mode in modes.values()}
    codes = insns[::SIZE]
    return sum(code & 7 in (_LDX, _ST, _STX) and code & _MODE in marked for code in codes)


def _statements(text: str, labels: dict[str, int]) -> Iterator[tuple[int, str]]:
    """Yield (slot, statement), and note where labels are."""
    slot = 0
    for part in re.split(r"[;\n]", text):
        statement = " ".join(part.split())
        while label := _LABEL.match(statement):
            if label[1] in labels:
                raise BytecodeError(f"label {label[1]!r} is there twice")
            labels[label[1]] = slot
            statement = statement[label.end() :].strip()
        if statement:
            yield slot, statement
            slot += 2 if _IS_WIDE.fullmatch(statement) else 1
            if slot > _MOST:
                raise BytecodeError(f"a program of more than {_MOST} instructions")


def _encode(statement: str, at: _Context) -> bytes:
    for pattern, encode in _COMPILED:
        found = pattern.fullmatch(statement)
        if found:
            return encode(at, *found.groups())
    raise BytecodeError("not understood")
