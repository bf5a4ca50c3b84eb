# SPDX-License-Identifier: GPL-2.0-or-later
"""What instructions do that unicorn does not know, written down from the manual with Python's int and str.

Unicorn 2.1 is a QEMU 5.0: RV64 I, M, A, C and Zifencei, and of the privileged instructions what suits its mode,
which is not ours. `REFERENCES` has the others, by name, as functions of (machine, rd, rs1, rs2, word): the machine
has ``x``, ``load`` and ``store``, rd, rs1 and rs2 are numbers of registers. Where a formula could be copied from
the code under test it is avoided here: bits are counted in strings of digits, signs are int.from_bytes.
"""

from __future__ import annotations

from collections.abc import Callable, MutableSequence
from typing import Protocol

from genpatch.isa.insn import SPECS

M64, M32 = 2**64 - 1, 2**32 - 1


class Machine(Protocol):
    """What a reference acts on; what is written to x[0] is lost."""

    x: MutableSequence[int]

    def load(self, address: int, width: int) -> bytes: ...
    def store(self, address: int, data: bytes) -> None: ...


Reference = Callable[[Machine, int, int, int, int], None]


def as_signed(value: int, width: int = 8) -> int:
    """Return the low `width` bytes as a signed number."""
    return int.from_bytes((value % 256**width).to_bytes(width, "little"), "little", signed=True)


def bits(value: int, width: int = 64) -> str:
    """Return the digits, the highest bit first."""
    return f"{value % 2**width:0{width}b}"


def number(digits: str, *, signed: bool = False) -> int:
    """Return the number that digits stand for, as the 64 bits of a register."""
    return int(digits, 2) | (M64 ^ M32 if signed and digits[0] == "1" and len(digits) == 32 else 0)


def _rotated_left(value: int, amount: int, width: int) -> int:
    digits = bits(value, width)
    return number(digits[amount:] + digits[:amount], signed=True)


def _rotated_right(value: int, amount: int, width: int) -> int:
    digits = bits(value, width)
    return number(digits[width - amount :] + digits[: width - amount], signed=True)


def _with_bit(value: int, position: int, digit: str) -> int:
    digits = list(bits(value))
    at = 63 - position
    digits[at] = {"0": "0", "1": "1", "!": "10"[int(digits[at])]}[digit]
    return number("".join(digits))


def _digitwise(pairs: dict[str, str]) -> Callable[[int, int], int]:
    return lambda a, b: number("".join(pairs[m + n] for m, n in zip(bits(a), bits(b), strict=True)))


TWO: dict[str, Callable[[int, int], int]] = {
    "sh1add": lambda a, b: a * 2 + b,
    "sh2add": lambda a, b: a * 4 + b,
    "sh3add": lambda a, b: a * 8 + b,
    "add.uw": lambda a, b: a % 2**32 + b,
    "sh1add.uw": lambda a, b: a % 2**32 * 2 + b,
    "sh2add.uw": lambda a, b: a % 2**32 * 4 + b,
    "sh3add.uw": lambda a, b: a % 2**32 * 8 + b,
    "andn": _digitwise({"00": "0", "01": "0", "10": "1", "11": "0"}),
    "orn": _digitwise({"00": "1", "01": "0", "10": "1", "11": "1"}),
    "xnor": _digitwise({"00": "1", "01": "0", "10": "0", "11": "1"}),
    "min": lambda a, b: min(a, b, key=as_signed),
    "max": lambda a, b: max(a, b, key=as_signed),
    "minu": min,
    "maxu": max,
    "rol": lambda a, b: _rotated_left(a, b % 64, 64),
    "ror": lambda a, b: _rotated_right(a, b % 64, 64),
    "rolw": lambda a, b: _rotated_left(a, b % 32, 32),
    "rorw": lambda a, b: _rotated_right(a, b % 32, 32),
    "bclr": lambda a, b: _with_bit(a, b % 64, "0"),
    "bset": lambda a, b: _with_bit(a, b % 64, "1"),
    "binv": lambda a, b: _with_bit(a, b % 64, "!"),
    "bext": lambda a, b: int(bits(a)[63 - b % 64]),
    "czero.eqz": lambda a, b: a if b else 0,
    "czero.nez": lambda a, b: 0 if b else a,
    "pack": lambda a, b: a % 2**32 + b % 2**32 * 2**32,
    **{f"mop.rr.{n}": lambda a, b: 0 for n in range(8)},
}
"""Of rs1 and rs2."""

ONE: dict[str, Callable[[int], int]] = {
    "clz": lambda a: (bits(a) + "1").index("1"),
    "ctz": lambda a: (bits(a)[::-1] + "1").index("1"),
    "cpop": lambda a: bits(a).count("1"),
    "clzw": lambda a: (bits(a, 32) + "1").index("1"),
    "ctzw": lambda a: (bits(a, 32)[::-1] + "1").index("1"),
    "cpopw": lambda a: bits(a, 32).count("1"),
    "sext.b": lambda a: as_signed(a, 1),
    "sext.h": lambda a: as_signed(a, 2),
    "zext.h": lambda a: a % 65536,
    "orc.b": lambda a: int.from_bytes(bytes(255 if byte else 0 for byte in a.to_bytes(8, "big")), "big"),
    "rev8": lambda a: int.from_bytes(a.to_bytes(8, "little"), "big"),
    **{f"mop.r.{n}": lambda a: 0 for n in range(32)},
}
"""Of rs1."""

SHIFTS: dict[str, Callable[[int, int], int]] = {
    "slli.uw": lambda a, n: a % 2**32 * 2**n,
    "rori": lambda a, n: _rotated_right(a, n, 64),
    "roriw": lambda a, n: _rotated_right(a, n, 32),
    "bclri": lambda a, n: _with_bit(a, n, "0"),
    "bseti": lambda a, n: _with_bit(a, n, "1"),
    "binvi": lambda a, n: _with_bit(a, n, "!"),
    "bexti": lambda a, n: int(bits(a)[63 - n]),
}
"""Of rs1 and the shift amount, which stands in bits 20 to 25."""

AMOS: dict[str, Callable[[bytes, bytes], bytes]] = {
    # of what was in memory and of rs2, both as little-endian bytes of the instruction's width: what is stored
    "amoswap": lambda old, new: new,
    "amoadd": lambda old, new: _sum(old, new),
    "amoand": lambda old, new: bytes(a & b for a, b in zip(old, new, strict=True)),
    "amoor": lambda old, new: bytes(a | b for a, b in zip(old, new, strict=True)),
    "amoxor": lambda old, new: bytes(a ^ b for a, b in zip(old, new, strict=True)),
    "amomin": lambda old, new: min(old, new, key=lambda data: int.from_bytes(data, "little", signed=True)),
    "amomax": lambda old, new: max(old, new, key=lambda data: int.from_bytes(data, "little", signed=True)),
    "amominu": lambda old, new: min(old, new, key=lambda data: data[::-1]),
    "amomaxu": lambda old, new: max(old, new, key=lambda data: data[::-1]),
}


def _sum(old: bytes, new: bytes) -> bytes:
    total, carry = [], 0
    for a, b in zip(old, new, strict=True):
        carry, digit = divmod(a + b + carry, 256)
        total.append(digit)
    return bytes(total)


def _two(function: Callable[[int, int], int]) -> Reference:
    def run(machine: Machine, rd: int, rs1: int, rs2: int, word: int) -> None:
        machine.x[rd] = function(machine.x[rs1], machine.x[rs2]) % 2**64

    return run


def _one(function: Callable[[int], int]) -> Reference:
    def run(machine: Machine, rd: int, rs1: int, rs2: int, word: int) -> None:
        machine.x[rd] = function(machine.x[rs1]) % 2**64

    return run


def _shift(function: Callable[[int, int], int]) -> Reference:
    def run(machine: Machine, rd: int, rs1: int, rs2: int, word: int) -> None:
        machine.x[rd] = function(machine.x[rs1], word >> 20 & 63) % 2**64

    return run


def _amo(function: Callable[[bytes, bytes], bytes], width: int) -> Reference:
    def run(machine: Machine, rd: int, rs1: int, rs2: int, word: int) -> None:
        address = machine.x[rs1]
        old = machine.load(address, width)
        machine.store(address, function(old, machine.x[rs2].to_bytes(8, "little")[:width]))
        machine.x[rd] = int.from_bytes(old, "little", signed=True) % 2**64

    return run


def _compare_and_swap(width: int) -> Reference:
    def run(machine: Machine, rd: int, rs1: int, rs2: int, word: int) -> None:
        address = machine.x[rs1]
        old = machine.load(address, width)
        if old == machine.x[rd].to_bytes(8, "little")[:width]:
            machine.store(address, machine.x[rs2].to_bytes(8, "little")[:width])
        machine.x[rd] = int.from_bytes(old, "little", signed=True) % 2**64

    return run


def _zero_block(machine: Machine, rd: int, rs1: int, rs2: int, word: int) -> None:
    machine.store(machine.x[rs1] // 64 * 64, bytes(64))


def _nothing(machine: Machine, rd: int, rs1: int, rs2: int, word: int) -> None:
    pass


SHORT: dict[str, Callable[[int, int], int]] = {
    # Zcb, of the register in bits 7 to 9, which they write, and the one in bits 2 to 4
    "c.mul": lambda a, b: a * b,
    "c.zext.b": lambda a, b: a % 256,
    "c.sext.b": lambda a, b: as_signed(a, 1),
    "c.zext.h": lambda a, b: a % 65536,
    "c.sext.h": lambda a, b: as_signed(a, 2),
    "c.zext.w": lambda a, b: a % 2**32,
    "c.not": lambda a, b: 2**64 - 1 - a,
}


def _short(function: Callable[[int, int], int]) -> Reference:
    def run(machine: Machine, rd: int, rs1: int, rs2: int, word: int) -> None:
        first, second = 8 + (word >> 7) % 8, 8 + (word >> 2) % 8
        machine.x[first] = function(machine.x[first], machine.x[second]) % 2**64

    return run


def _short_access(width: int, *, stores: bool = False, signed: bool = False) -> Reference:
    def run(machine: Machine, rd: int, rs1: int, rs2: int, word: int) -> None:
        base, data = 8 + (word >> 7) % 8, 8 + (word >> 2) % 8
        offset = word >> 6 & 1 | (word >> 5 & 1) * 2 if width == 1 else (word >> 5 & 1) * 2  # uimm[0|1], uimm[1]
        address = (machine.x[base] + offset) % 2**64
        if stores:
            machine.store(address, machine.x[data].to_bytes(8, "little")[:width])
        else:
            machine.x[data] = int.from_bytes(machine.load(address, width), "little", signed=signed) % 2**64

    return run


REFERENCES: dict[str, Reference] = {
    **{name: _two(function) for name, function in TWO.items()},
    **{name: _one(function) for name, function in ONE.items()},
    **{name: _shift(function) for name, function in SHIFTS.items()},
    **{f"{name}.{'bh'[n]}": _amo(function, n + 1) for name, function in AMOS.items() for n in (0, 1)},
    **{f"amocas.{suffix}": _compare_and_swap(width) for suffix, width in zip("bhwd", (1, 2, 4, 8), strict=True)},
    **dict.fromkeys(("wrs.nto", "wrs.sto", "cbo.inval", "cbo.clean", "cbo.flush", "wfi", "sfence.vma"), _nothing),
    **dict.fromkeys(("sinval.vma", "sfence.w.inval", "sfence.inval.ir"), _nothing),
    "cbo.zero": _zero_block,
    **{name: _short(function) for name, function in SHORT.items()},
    "c.lbu": _short_access(1),
    "c.lhu": _short_access(2),
    "c.lh": _short_access(2, signed=True),
    "c.sb": _short_access(1, stores=True),
    "c.sh": _short_access(2, stores=True),
    **{f"c.mop.{n}": _nothing for n in range(1, 16, 2)},
}
"""By mnemonic; the short ones take their operands from the word."""


def reference_of(word: int) -> Reference | None:
    """Return the reference of an instruction word, or None."""
    word &= 0xFFFFFFFF if word & 3 == 3 else 0xFFFF
    for name, reference in REFERENCES.items():
        if word & SPECS[name].mask == SPECS[name].match:
            return reference
    return None
