# SPDX-License-Identifier: GPL-2.0-or-later
"""An interpreter of eBPF, written from the text of RFC 9669; it shares no code with what it is compared with.

It executes what a program means, not what a JIT makes of it: 64-bit registers, a flat memory, functions with
registers r6 to r9 of their own.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

MASK = (1 << 64) - 1
STACK_TOP = 0x5000_0000_0000


def signed(value: int, bits: int) -> int:
    value &= (1 << bits) - 1
    return value - (1 << bits) if value >> (bits - 1) else value


def quotient(a: int, b: int) -> int:
    """Signed division that truncates towards zero."""
    return -(abs(a) // abs(b)) if (a < 0) != (b < 0) else abs(a) // abs(b)


@dataclass
class Machine:
    """Memory of a program, and what it may call.

    Args:
        memory: bytes by address.
        call: what a helper or a kfunc does with r1 to r5.
        functions: bytecode of the program and its subprograms.
        tail: what a tail call of an index leads to; None where there is nothing.
        arena: address of the arena for its user; what a program holds of it are the low 32 bits.
        per_cpu: what is added to the address of a processor's own variable.
    """

    memory: dict[int, int]
    call: Callable[[int, int, list[int]], int]
    functions: list[bytes]
    tail: list[bytes | None] = field(default_factory=list)
    arena: int = 0
    per_cpu: int = 0
    tail_calls: int = 0
    steps: int = 0

    def load(self, at: int, size: int) -> int:
        """Return a number; raises KeyError where there is no memory."""
        return sum(self.memory[(at + k) & MASK] << 8 * k for k in range(size))

    def store(self, at: int, size: int, value: int) -> None:
        if at & MASK not in self.memory and (at & MASK) >> 40 != STACK_TOP - 1 >> 40:
            raise KeyError(at)
        for k in range(size):
            self.memory[(at + k) & MASK] = value >> 8 * k & 0xFF

    def run(self, code: bytes, arguments: list[int], top: int = STACK_TOP) -> int:
        r = [0, *arguments, *[0] * (6 - len(arguments)), *[0] * 5][:11]
        r[10] = top
        pc = 0
        while True:
            self.steps += 1
            assert self.steps < 100_000
            op, regs = code[8 * pc], code[8 * pc + 1]
            dst, src = regs & 15, regs >> 4
            off = int.from_bytes(code[8 * pc + 2 : 8 * pc + 4], "little", signed=True)
            imm = int.from_bytes(code[8 * pc + 4 : 8 * pc + 8], "little", signed=True)
            pc += 1
            kind = op & 7
            if op == 0xBF and off == 1:
                low = r[src] & 0xFFFF_FFFF
                r[dst] = low and self.arena >> 32 << 32 | low
            elif op == 0xBF and off == -1:
                r[dst] = r[src] + self.per_cpu & MASK
            elif op == 0xC2:
                continue
            elif kind in (4, 7):
                r[dst] = self.alu(op, r[dst], r[src] if op & 8 else imm, off, imm)
            elif kind in (5, 6):
                if op == 0x95:
                    return r[0]
                if op == 0x85:
                    r[0] = self.called(src, off, imm, r, top)
                elif op == 0xF5:
                    target = self.target(r[3])
                    if target is not None:
                        return self.run(target, [r[1]], top)
                elif self.jumps(op, r[dst], r[src] if op & 8 else imm):
                    pc += imm if op == 0x06 else off
            elif op == 0x18:
                r[dst] = imm & 0xFFFF_FFFF | int.from_bytes(code[8 * pc + 4 : 8 * pc + 8], "little") << 32
                if src == 4:
                    r[dst] = ("function", off)  # type: ignore[call-overload]
                pc += 1
            else:
                self.access(op, dst, src, off, imm, r)

    def target(self, index: int) -> bytes | None:
        """Return what a tail call goes to: 33 of them at most, from an array, by the low 32 bits of an index."""
        index &= 0xFFFF_FFFF
        if index >= len(self.tail) or self.tail_calls == 33:
            return None
        self.tail_calls += 1
        return self.tail[index]

    def called(self, src: int, off: int, imm: int, r: list[int], top: int) -> int:
        if src == 1:
            return self.run(self.functions[off], r[1:6], top - 512)
        return self.call(src, imm, r[1:6])

    def alu(self, op: int, a: int, b: int, off: int, imm: int) -> int:
        bits = 64 if op & 7 == 7 else 32
        code = op & 0xF0
        if code == 0xD0:
            if op == 0xD4:
                return a & (1 << imm) - 1
            return int.from_bytes((a & (1 << imm) - 1).to_bytes(imm // 8, "little"), "big")
        if code == 0xB0:
            value = signed(b, off) if off and op & 8 else b
            return value & (1 << bits) - 1
        ua, ub = a & (1 << bits) - 1, b & (1 << bits) - 1
        sa, sb = signed(a, bits), signed(b, bits)
        shift = ub & bits - 1
        if code in (0x30, 0x90) and not ub:
            result = 0 if code == 0x30 else ua
        else:
            result = {
                0x00: lambda: ua + ub, 0x10: lambda: ua - ub, 0x20: lambda: ua * ub,
                0x30: lambda: quotient(sa, sb) if off else ua // ub, 0x40: lambda: ua | ub, 0x50: lambda: ua & ub,
                0x60: lambda: ua << shift, 0x70: lambda: ua >> shift, 0x80: lambda: -ua,
                0x90: lambda: sa - sb * quotient(sa, sb) if off else ua % ub, 0xA0: lambda: ua ^ ub,
                0xC0: lambda: sa >> shift,
            }[code]()  # fmt: skip
        return result & (1 << bits) - 1

    def jumps(self, op: int, a: int, b: int) -> bool:
        if op in (0x05, 0x06):
            return True
        bits = 64 if op & 7 == 5 else 32
        ua, ub = a & (1 << bits) - 1, b & (1 << bits) - 1
        sa, sb = signed(a, bits), signed(b, bits)
        return bool({
            0x10: ua == ub, 0x20: ua > ub, 0x30: ua >= ub, 0x40: ua & ub, 0x50: ua != ub, 0x60: sa > sb,
            0x70: sa >= sb, 0xA0: ua < ub, 0xB0: ua <= ub, 0xC0: sa < sb, 0xD0: sa <= sb,
        }[op & 0xF0])  # fmt: skip

    def access(self, op: int, dst: int, src: int, off: int, imm: int, r: list[int]) -> None:
        size = {0x00: 4, 0x08: 2, 0x10: 1, 0x18: 8}[op & 0x18]
        mode, kind = op & 0xE0, op & 7
        guarded = {(0x20, 1): 0x60, (0x40, 1): 0x80, **{(0xA0, k): 0x60 for k in (1, 2, 3)}, (0xE0, 3): 0xC0}
        if (mode, kind) in guarded:
            try:
                self.access(op & ~0xE0 | guarded[mode, kind], dst, src, off, imm, r)
            except KeyError:
                loads = imm == 0x100 if kind == 3 else True
                if kind == 1 or (mode == 0xE0 and (loads or imm & 1)):
                    r[dst if kind == 1 or loads else 0 if imm == 0xF1 else src] = 0
        elif kind == 1:
            value = self.load(r[src] + off, size)
            r[dst] = (signed(value, 8 * size) if mode == 0x80 else value) & MASK
        elif kind in (2, 3) and mode == 0x60:
            self.store(r[dst] + off, size, imm if kind == 2 else r[src])
        elif kind == 3 and mode == 0xC0:
            self.atomic(size, dst, src, off, imm, r)
        else:
            raise AssertionError(f"no instruction {op:#x}")

    def atomic(self, size: int, dst: int, src: int, off: int, imm: int, r: list[int]) -> None:
        if imm == 0x100:
            r[dst] = self.load(r[src] + off, size)
            return
        at = r[dst] + off
        if imm == 0x110:
            self.store(at, size, r[src])
            return
        old = self.load(at, size)
        mask = (1 << 8 * size) - 1
        if imm == 0xF1:
            if old == r[0] & mask:
                self.store(at, size, r[src])
            r[0] = old
            return
        new = {0x00: old + r[src], 0x40: old | r[src], 0x50: old & r[src], 0xA0: old ^ r[src], 0xE0: r[src]}[imm & 0xF0]
        self.store(at, size, new & mask)
        if imm & 1:
            r[src] = old
