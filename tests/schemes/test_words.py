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
    ],
)
def test_words(word: int, text: str, source: str) -> None:
    insn = decode(word)
    assert insn is not None
    assert insn.text() == text
    assert int.from_bytes(assemble(source, 0), "little") == word
