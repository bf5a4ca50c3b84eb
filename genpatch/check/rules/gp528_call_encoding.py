# SPDX-License-Identifier: GPL-2.0-or-later
"""GP528: the macros that make a call make the call that their names promise."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping

from ..assembly import REGISTERS
from ..cexpr import MacroFunction, computed, macro_functions
from ..change import Change, Texts
from ..layout import HEADER
from ..model import Place, Problem
from ..registry import source_rule
from ..source import code_of, macros_of

_NAMES = re.compile(r"to_(auipc|jalr)_(\w+)$")
_CONSTANT = re.compile(r"(AUIPC|JALR)_(\w+)$")
_NUMBER = {name: number for number, name in enumerate(dict.fromkeys(REGISTERS.values()))}
_OPCODES = {"auipc": 0x17, "jalr": 0x67}
_OFFSETS = (0, 4, 0x7FC, 0x7FE, 0x800, 0x802, 0xFFC, 0x1000, 0x17FC, 0x1800, 0x12345678, 0x7FFFF000, 0x7FFFF7FE)
_TRIED = (*_OFFSETS, *(-offset for offset in _OFFSETS[1:]))


@source_rule("GP528", "call-encoding")
def call_encoding(change: Change) -> Iterable[Problem]:
    """The macros of asm/ftrace.h make an auipc and a jalr that do not call the target.

    ## What it checks
    to_auipc_R() and to_jalr_R() of asm/ftrace.h, computed for offsets around every limit: the words must be
    auipc and jalr with the register R as link and as base, and their immediates must add up to the offset. Only
    what the patch brings is reported; macros that are more than plain expressions are not judged.

    ## Why it matters
    Traced functions jump 4 KiB beside the trampoline, for some distances only.

    ## Remedy
    jalr sign-extends 12 bits: where bit 11 of the offset is set, auipc takes 0x1000 more.

    ## References
    arch/riscv/include/asm/ftrace.h; the RISC-V unprivileged ISA, "RV32I Base Integer Instruction Set".
    """
    return change.new(_problems) if HEADER in change.paths else []


def _problems(texts: Texts) -> Iterator[Problem]:
    header = texts.read(HEADER)
    if header is None:
        return
    made = macro_functions(code_of(header))
    constants = {name: value for name, (value, _) in macros_of(header).items()}
    pairs: dict[str, dict[str, MacroFunction]] = {}
    for name, macro in made.items():
        if (match := _NAMES.match(name)) is not None and match[2] in REGISTERS and len(macro.parameters) == 1:
            pairs.setdefault(match[2], {})[match[1]] = macro
    for register, both in pairs.items():
        if set(both) == {"auipc", "jalr"}:
            yield from _pair(header, register, both, constants)


def _pair(
    header: str, register: str, both: Mapping[str, MacroFunction], constants: Mapping[str, str]
) -> Iterator[Problem]:
    number = _NUMBER[REGISTERS[register]]
    places = tuple(Place(HEADER, macro.line) for macro in both.values())
    also = tuple(Place(HEADER, line) for name, (_, line) in macros_of(header).items() if _is_part(name, register))
    for offset in _TRIED:
        words = {op: _word(macro, offset, constants) for op, macro in both.items()}
        auipc, jalr = words["auipc"], words["jalr"]
        if auipc is None or jalr is None:
            return
        for op, word in (("auipc", auipc), ("jalr", jalr)):
            fields = (word & 0x7F, word >> 7 & 31, word >> 12 & 7 if op == "jalr" else 0)
            if fields != (_OPCODES[op], number, 0) or (op == "jalr" and word >> 15 & 31 != number):
                text = f"to_{op}_{register}() makes {word:#010x}, which is no {op} with {register} alone"
                yield Problem(f"{register} {op}", (*places, *also), text)
                return
        reached = _signed(auipc & 0xFFFFF000, 32) + _signed(jalr >> 20, 12)
        if reached != offset:
            text = f"to_auipc_{register}() and to_jalr_{register}() go to {reached:#x} for an offset of {offset:#x}"
            yield Problem(f"{register} offset", (*places, *also), text)
            return


def _is_part(name: str, register: str) -> bool:
    match = _CONSTANT.match(name)
    is_other = match is not None and match[2].lower() in REGISTERS and match[2].lower() != register
    return name.startswith(("AUIPC_", "JALR_")) and not is_other


def _word(macro: MacroFunction, offset: int, constants: Mapping[str, str]) -> int | None:
    """Return an instruction for an offset, as ``unsigned int`` has it."""
    value = computed(macro.body, {**constants, macro.parameters[0]: offset & 0xFFFFFFFF})
    return None if value is None else value & 0xFFFFFFFF


def _signed(value: int, bits: int) -> int:
    return value - (1 << bits) if value >> (bits - 1) & 1 else value
