# SPDX-License-Identifier: GPL-2.0-or-later
"""Where the jumps go that C functions of a tree make: of jump labels, of moved alternatives, of a module's PLT."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any

from .cexec import NotRun, Obj
from .jit import texts_of
from .shown import Shown
from .small import Small, Texted, jal_offset, pair_offset, texted

__all__ = [
    "ALTERNATIVE",
    "INSN",
    "INSN_DEF",
    "LABEL",
    "LABELS",
    "MODULE",
    "MOVED",
    "PLT",
    "SKIP",
    "label_faults",
    "moved_faults",
    "plt_faults",
    "skip_faults",
]

LABEL = "arch/riscv/kernel/jump_label.c"
LABELS = ("arch_jump_label_transform", "arch_jump_label_transform_queue")
INSN = "arch/riscv/include/asm/insn.h"
INSN_DEF = "arch/riscv/include/asm/insn-def.h"
ALTERNATIVE = "arch/riscv/kernel/alternative.c"
MOVED = "riscv_alternative_fix_offsets"
MODULE = "arch/riscv/include/asm/module.h"
PLT = "emit_plt_entry"
SKIP = "arch_bpf_trampoline_skip"
_AT = 0x4000_0000
_NOP = 0x13
_JUMP = 1  # JUMP_LABEL_JMP
_NEAR = 1 << 16
"""A jump of fewer bytes must be made: functions are as long."""
_OFFSETS = (
    4,
    -4,
    0x7FE,
    0x800,
    -0x800,
    0xFFE,
    0x1000,
    0x5432,
    -0x5432,
    0x1F356,
    (1 << 19) - 2,
    1 << 19,
    -(1 << 19),
    -(1 << 19) - 2,
    (1 << 20) - 2,
    1 << 20,
    -(1 << 20),
    -(1 << 20) - 2,
)
_DELTAS = (0x800, -0x800, 0x7FF0, 0x1234_5678, -0x1234_5678, 0xFFC, 0x1000, 0x7FFF_0000 // 2)


@lru_cache(maxsize=8)
def label_faults(source: str, *headers: str) -> tuple[Shown, ...]:
    """Return what jump_label.c writes for a label that is switched.

    Args:
        source: jump_label.c.
        headers: with its macros.
    Raises:
        NotRun: it does something that is not understood.
    """
    made = texted(source, *headers)
    root = next((name for name in LABELS if name in made.functions), None)
    if root is None:
        raise NotRun("what switches a label is not there")
    found: dict[str, Shown] = {}
    for early in (0, 1):
        for offset in _OFFSETS:
            for fault in _Label(made, root, offset, early).faults():
                found.setdefault(fault.key, fault)
    return tuple(found.values())


class _Label(Small):
    """A jump label that is switched on, and off again."""

    def __init__(self, source: Texted, root: str, offset: int, early: int) -> None:
        numbers = {"early_boot_irqs_disabled": early, "riscv_patch_in_stop_machine": 0, "text_mutex": 1}
        super().__init__(source, numbers | {"JUMP_LABEL_JMP": _JUMP, "JUMP_LABEL_NOP": 0})
        self.root, self.offset = root, offset

    def faults(self) -> Iterator[Shown]:
        """Yield what is wrong."""
        self.run(self.root, 0, _JUMP)
        word = self.memory.get(_AT)
        if word is None:
            if abs(self.offset) < _NEAR:
                text = f"makes no jump of {self.offset} bytes"
                yield Shown(f"none {self.offset}", LABEL, self.root, f"{self.root}() {text}", "none")
        elif not isinstance(word, int) or jal_offset(word) != self.offset:
            goes = jal_offset(word) if isinstance(word, int) else None
            where = f"one that goes {goes}" if goes is not None else "another instruction"
            text = f"makes {where} for a jump of {self.offset} bytes"
            yield Shown(f"wild {self.offset}", LABEL, self.root, f"{self.root}() {text}", "wild")
        self.run(self.root, 0, 0)
        if self.memory.get(_AT) != _NOP:
            yield Shown("nop", LABEL, self.root, f"{self.root}() leaves no nop for a label that is off", "nop")

    def call(self, name: str, args: Sequence[Any], line: int) -> Any:
        """Return what the label is."""
        if name == "jump_entry_code":
            return _AT
        if name == "jump_entry_target":
            return _AT + self.offset
        return super().call(name, args, line)


@lru_cache(maxsize=8)
def moved_faults(source: str, *headers: str) -> tuple[Shown, ...]:
    """Return what alternative.c makes of jumps in code that it has moved.

    Args:
        source: alternative.c.
        headers: with its macros.
    Raises:
        NotRun: it does something that is not understood.
    """
    made = texted(source, *headers)
    found: dict[str, Shown] = {}
    for delta in _DELTAS:
        for moved in (0x2_0000, -0x1_2344):
            for fault in _Moved(made, delta, moved).faults():
                found.setdefault(fault.key, fault)
    return tuple(found.values())


def _pair(delta: int, register: int) -> tuple[int, int]:
    upper = (delta + 0x800) & 0xFFFF_F000
    return upper | register << 7 | 0x17, (delta & 0xFFF) << 20 | register << 15 | register << 7 | 0x67


def _jal(delta: int) -> int:
    bits = (delta >> 20 & 1) << 31 | (delta >> 1 & 0x3FF) << 21 | (delta >> 11 & 1) << 20 | (delta >> 12 & 0xFF) << 12
    return bits | 0x6F


class _Moved(Small):
    """Code that was copied from where it was made for to where it runs."""

    def __init__(self, source: Texted, delta: int, moved: int) -> None:
        super().__init__(source)
        self.delta, self.moved = delta, moved
        self.short = delta % 0x8_0000 - 0x4_0000 & ~1

    def faults(self) -> Iterator[Shown]:
        """Yield what is wrong with a call, a jump, a jump that stays inside, and an address that is no call's."""
        call, other, jump, inside = _pair(self.delta, 1), _pair(self.delta, 5), _jal(self.short), _jal(-8)
        before = [_NOP, *call, jump, _NOP, inside, _NOP, *other, _NOP]
        self.memory = {_AT + 4 * at: word for at, word in enumerate(before)}
        self.run(MOVED, _AT, 4 * len(before), self.moved)
        after = [self.memory[_AT + 4 * at] for at in range(len(before))]
        if not all(isinstance(word, int) for word in after):
            raise NotRun("words that are not known")
        after = [word & 0xFFFF_FFFF for word in after]
        is_call = (after[1] & 0xFFF, after[2] & 0xF_FFFF) == (call[0] & 0xFFF, call[1] & 0xF_FFFF)
        wanted = self.delta - self.moved
        if not is_call or (pair_offset(after[1], after[2]) - wanted) % (1 << 32):
            yield self._shown("call", "a call in an alternative goes elsewhere once it is moved")
        if jal_offset(after[3]) != self.short - self.moved:
            yield self._shown("jump", "a jump in an alternative goes elsewhere once it is moved")
        if after[5] != inside:
            yield self._shown("inside", "a jump that stays in an alternative is changed")
        if [after[at] for at in (0, 4, 6, 9)] != [_NOP] * 4 or tuple(after[7:9]) != other:
            yield self._shown("others", "instructions of an alternative that are no jumps out of it are changed")

    def _shown(self, key: str, message: str) -> Shown:
        return Shown(key, ALTERNATIVE, MOVED, f"{MOVED}(): {message}")

    def call(self, name: str, args: Sequence[Any], line: int) -> Any:
        """Return what stands somewhere, and what it is."""
        if name == "riscv_instruction_at" and isinstance(args[0], int):
            return self.word(args[0])
        if name.startswith("riscv_insn_is_") and len(args) == 1 and isinstance(args[0], int):
            mask, match = _IS.get(name.removeprefix("riscv_insn_is_"), (0, 0))
            if mask:
                return int(args[0] & mask == match)
        return super().call(name, args, line)


_IS = {"auipc": (0x7F, 0x17), "jal": (0x7F, 0x6F), "jalr": (0x707F, 0x67), "branch": (0x7F, 0x63)}


@lru_cache(maxsize=8)
def plt_faults(header: str) -> tuple[Shown, ...]:
    """Return what is wrong with an entry of a module's PLT.

    Args:
        header: asm/module.h.
    Raises:
        NotRun: what makes it does something that is not understood.
    """
    made = texted(header)
    found: dict[str, Shown] = {}
    for delta in _DELTAS:
        plt = _AT
        given = Small(made).run(PLT, 0x1234_5678, plt, plt + delta)
        words = [word & 0xFFFF_FFFF for word in given.fields.values()] if isinstance(given, Obj) else []
        if len(words) != 3:
            raise NotRun("an entry that is not of three instructions")
        address, load, jump = words
        base, target = address >> 7 & 31, load >> 7 & 31
        plain = (address & 0x7F, load & 0x707F, jump & 0xFFF0_7FFF) == (0x17, 0x3003, 0x67)
        if not plain or load >> 15 & 31 != base or jump >> 15 & 31 != target or base == 1 or not base or not target:
            text = f"{PLT}() makes something else than a load of an address and a jump there"
            found.setdefault("kind", Shown("kind", MODULE, PLT, text))
        elif (pair_offset(address, load) - delta) % (1 << 32):
            text = f"{PLT}() makes an entry that does not load from where its address is, {delta} bytes from it"
            found.setdefault(f"far {delta}", Shown(f"far {delta}", MODULE, PLT, text, "far"))
    return tuple(found.values())


@lru_cache(maxsize=8)
def skip_faults(path: str, source: str, header: str) -> tuple[Shown, ...]:
    """Return what is wrong with the jump over a program that a trampoline no longer runs.

    Args:
        path: of the JIT.
        source: bpf_jit_comp64.c.
        header: bpf_jit.h, with what makes instructions.
    Raises:
        NotRun: it does something that is not understood.
    """
    made = texted(source, header)
    for offset in (4, 0x40, 0x7FE, 0x800, 0x1234):
        run = Small(made, {"text_mutex": 1, **texts_of(source, header).registers})
        run.memory[_AT] = _NOP
        failed = run.run(SKIP, _AT, _AT + offset)
        word = run.word(_AT)
        if failed or not isinstance(word, int) or jal_offset(word) != offset:
            goes = jal_offset(word) if isinstance(word, int) else None
            where = f"one of {goes} bytes" if goes is not None else "no jump"
            return (Shown("skip", path, SKIP, f"{SKIP}() writes {where} where one of {offset} bytes is meant"),)
        if len(run.memory) > 1:
            return (Shown("more", path, SKIP, f"{SKIP}() writes more than the one nop that it is told of"),)
    return ()
