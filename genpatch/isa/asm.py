# SPDX-License-Identifier: GPL-2.0-or-later
"""An assembler for single instructions, from the same records that decode uses."""

from __future__ import annotations

from ..errors import OutOfReach
from .insn import SPECS, Spec

_OPTIONAL = {"aq": 0, "rl": 0}


def encode(name: str, /, **operands: int) -> int:
    """Return the word of an instruction.

    Args:
        name: a declared mnemonic, no alias: ``jalr``, ``c.sdsp``.
        operands: rd, rs1, rs2, imm, csr by number, with the meaning they have in Insn; aq and rl
            default to 0. Operands that a compressed instruction implies may be given if they are right.
    Returns:
        32 bits, or 16 for a compressed instruction.
    Raises:
        OutOfReach: an immediate is too large, misaligned, or of a value that the encoding reserves.
        ValueError: no such instruction or register, an operand missing or of another instruction.
    """
    spec = SPECS.get(name)
    if spec is None:
        raise ValueError(f"no instruction {name!r}")
    wanted = _complete(spec, operands)
    word = spec.match
    for field in spec.fields:
        word |= field.insert(wanted[field.roles[0]])
    got = spec.operand_values(word)
    forbidden = spec.forbidden(got)
    wrong = {role: wanted[role] for role in wanted if got[role] != wanted[role] or role in forbidden}
    if wrong:
        error = OutOfReach if "imm" in wrong else ValueError
        raise error(f"{name} cannot have {', '.join(f'{role}={value:#x}' for role, value in wrong.items())}")
    return word


def _complete(spec: Spec, operands: dict[str, int]) -> dict[str, int]:
    roles = {role for field in spec.fields for role in field.roles}
    wanted = {role: value for role, value in _OPTIONAL.items() if role in roles} | dict(spec.implied)
    for field in spec.fields:
        if len(field.roles) == 2 and field.roles[0] in operands:
            wanted[field.roles[1]] = operands[field.roles[0]]
    wanted |= operands
    if set(wanted) != roles | dict(spec.implied).keys():
        missing, foreign = sorted(roles - set(wanted)), sorted(set(wanted) - roles)
        raise ValueError(f"{spec.name}: operands missing: {missing}, unknown: {foreign}")
    return wanted
