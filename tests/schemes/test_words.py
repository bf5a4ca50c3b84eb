# SPDX-License-Identifier: GPL-2.0-or-later
"""The same words, through the decoder and the assembler."""

from __future__ import annotations

import pytest

from genpatch.isa.assemble import assemble
from genpatch.isa.insn import decode

from . import checks


@pytest.mark.parametrize(
    ("word", "text", "source"),
    [
        (checks.NOP, "nop", "addi zero, zero, 0"),
        pytest.param(checks.C_NOP, "c.nop", "c.nop"),
        (checks.AUIPC_T0, "auipc t0, 0", "auipc t0, 0"),
        (checks.JALR_T0, "jalr t0, t0, 0", "jalr t0, 0(t0)"),
        (checks.AUIPC_RA, "auipc ra, 0", "auipc ra, 0"),
        (checks.JALR_RA, "jalr ra", "jalr ra, 0(ra)"),
        (checks.SD_RA, "sd ra, -8(sp)", "sd ra, -8(sp)"),
        (checks.LD_RA, "ld ra, -8(sp)", "ld ra, -8(sp)"),
        (checks.JALR_T0_GP, "jalr t0, gp, 0", "jalr t0, 0(gp)"),
        (checks.JALR_T0_T1, "jalr t0, t1, 0", "jalr t0, 0(t1)"),
        (checks.JAL_T0, "jal t0, 0", "jal t0, 0"),
        (checks.JUMP_12, "j 0xc", "jal zero, . + 12"),
        (checks.JUMP_24, "j 0x18", "jal zero, . + 24"),
        (checks.LD_T1, "ld t1, 0x10(t0)", "ld t1, 16(t0)"),
        (checks.LPAD, "auipc zero, 0", "auipc zero, 0"),
    ],
)
def test_words(word: int, text: str, source: str) -> None:
    insn = decode(word)
    assert insn is not None
    assert insn.text() == text
    assert int.from_bytes(assemble(source, 0), "little") == word
