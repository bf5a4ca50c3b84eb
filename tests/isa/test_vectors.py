# SPDX-License-Identifier: GPL-2.0-or-later
"""Words known by hand from the ISA manual and kernel sources, with their text; never made by our encoder."""

from __future__ import annotations

import pytest

from genpatch.isa.asm import encode
from genpatch.isa.insn import decode, insn_size

WORDS = [
    # linux arch/riscv/include/asm/ftrace.h: AUIPC_T0, JALR_T0, NOP4
    (0x00000297, "auipc t0, 0", "auipc", {"rd": 5, "imm": 0}),
    (0x000282E7, "jalr t0, t0, 0", "jalr", {"rd": 5, "rs1": 5, "imm": 0}),
    (0x00000013, "nop", "addi", {"rd": 0, "rs1": 0, "imm": 0}),
    # linux arch/riscv/include/asm/ftrace.h: AUIPC_RA, JALR_RA
    (0x00000097, "auipc ra, 0", "auipc", {"rd": 1, "imm": 0}),
    (0x000080E7, "jalr ra", "jalr", {"rd": 1, "rs1": 1, "imm": 0}),
    # linux afc76b8b8011: REG_S ra, -SZREG(sp); REG_L ra, -SZREG(sp)
    (0xFE113C23, "sd ra, -8(sp)", "sd", {"rs1": 2, "rs2": 1, "imm": -8}),
    (0xFF813083, "ld ra, -8(sp)", "ld", {"rd": 1, "rs1": 2, "imm": -8}),
    # immediates at their edges
    (0xFFC282E7, "jalr t0, t0, -4", "jalr", {"rd": 5, "rs1": 5, "imm": -4}),
    (0x800282E7, "jalr t0, t0, -0x800", "jalr", {"rd": 5, "rs1": 5, "imm": -2048}),
    (0x7FF282E7, "jalr t0, t0, 0x7ff", "jalr", {"rd": 5, "rs1": 5, "imm": 2047}),
    (0xFFE00297, "auipc t0, 0xffe00", "auipc", {"rd": 5, "imm": -0x200}),
    (0x80000297, "auipc t0, 0x80000", "auipc", {"rd": 5, "imm": -0x80000}),
    (0x7FFFF297, "auipc t0, 0x7ffff", "auipc", {"rd": 5, "imm": 0x7FFFF}),
    (0xFFFFF2B7, "lui t0, 0xfffff", "lui", {"rd": 5, "imm": -1}),
    (0x000012B7, "lui t0, 1", "lui", {"rd": 5, "imm": 1}),
    (0x8000006F, "j -0x100000", "jal", {"rd": 0, "imm": -0x100000}),
    (0x7FFFF06F, "j 0xffffe", "jal", {"rd": 0, "imm": 0xFFFFE}),
    (0xFFDFF2EF, "jal t0, -4", "jal", {"rd": 5, "imm": -4}),
    (0x001000EF, "jal 0x800", "jal", {"rd": 1, "imm": 0x800}),
    (0x80000063, "beqz zero, -0x1000", "beq", {"rs1": 0, "rs2": 0, "imm": -4096}),
    (0x7E000FE3, "beqz zero, 0xffe", "beq", {"rs1": 0, "rs2": 0, "imm": 4094}),
    (0xFEB51EE3, "bne a0, a1, -4", "bne", {"rs1": 10, "rs2": 11, "imm": -4}),
    (0x00B570E3, "bgeu a0, a1, 0x800", "bgeu", {"rs1": 10, "rs2": 11, "imm": 2048}),
    # the rest of a routine
    (0x00008067, "ret", "jalr", {"rd": 0, "rs1": 1, "imm": 0}),
    (0x00028067, "jr t0", "jalr", {"rd": 0, "rs1": 5, "imm": 0}),
    (0xFF010113, "addi sp, sp, -0x10", "addi", {"rd": 2, "rs1": 2, "imm": -16}),
    (0x00113423, "sd ra, 8(sp)", "sd", {"rs1": 2, "rs2": 1, "imm": 8}),
    (0x00813083, "ld ra, 8(sp)", "ld", {"rd": 1, "rs1": 2, "imm": 8}),
    (0x02059513, "slli a0, a1, 0x20", "slli", {"rd": 10, "rs1": 11, "imm": 32}),
    (0x4205D513, "srai a0, a1, 0x20", "srai", {"rd": 10, "rs1": 11, "imm": 32}),
    (0x41F5D51B, "sraiw a0, a1, 0x1f", "sraiw", {"rd": 10, "rs1": 11, "imm": 31}),
    (0x0FF0000F, "fence", "fence", {"imm": 0x0FF}),
    (0x0330000F, "fence rw, rw", "fence", {"imm": 0x033}),
    (0x0140000F, "fence w, o", "fence", {"imm": 0x014}),
    (0x8330000F, "fence.tso", "fence.tso", {}),
    (0x0000100F, "fence.i", "fence.i", {}),
    (0x00000073, "ecall", "ecall", {}),
    (0x00100073, "ebreak", "ebreak", {}),
    (0x10200073, "sret", "sret", {}),
    (0x30200073, "mret", "mret", {}),
    (0x10500073, "wfi", "wfi", {}),
    (0x12000073, "sfence.vma", "sfence.vma", {"rs1": 0, "rs2": 0}),
    (0x10012573, "csrrs a0, sstatus, sp", "csrrs", {"rd": 10, "csr": 0x100, "rs1": 2}),
    (0x10017073, "csrci sstatus, 2", "csrrci", {"rd": 0, "csr": 0x100, "imm": 2}),
    (0x1005252F, "lr.w a0, (a0)", "lr.w", {"rd": 10, "rs1": 10}),
    (0x1405352F, "lr.d.aq a0, (a0)", "lr.d", {"rd": 10, "rs1": 10, "aq": 1}),
    (0x1AB5352F, "sc.d.rl a0, a1, (a0)", "sc.d", {"rd": 10, "rs1": 10, "rs2": 11, "rl": 1}),
    (
        0x06B5252F,
        "amoadd.w.aqrl a0, a1, (a0)",
        "amoadd.w",
        {"rd": 10, "rs1": 10, "rs2": 11, "aq": 1, "rl": 1},
    ),
    (0x02B50533, "mul a0, a0, a1", "mul", {"rd": 10, "rs1": 10, "rs2": 11}),
    (0x0805853B, "zext.w a0, a1", "add.uw", {"rd": 10, "rs1": 11, "rs2": 0}),
    (0x20B52533, "sh1add a0, a0, a1", "sh1add", {"rd": 10, "rs1": 10, "rs2": 11}),
    (0x6B855513, "rev8 a0, a0", "rev8", {"rd": 10, "rs1": 10}),
    (0x0EB55533, "czero.eqz a0, a0, a1", "czero.eqz", {"rd": 10, "rs1": 10, "rs2": 11}),
]

HALFWORDS = [
    (0x0001, "c.nop", "nop", {"imm": 0}),
    (0x1141, "c.addi sp, -0x10", "addi sp, sp, -0x10", {"rd": 2, "imm": -16}),
    (0x7139, "c.addi16sp sp, -0x40", "addi sp, sp, -0x40", {"imm": -64}),
    (0x6121, "c.addi16sp sp, 0x40", "addi sp, sp, 0x40", {"imm": 64}),
    (0x7101, "c.addi16sp sp, -0x200", "addi sp, sp, -0x200", {"imm": -512}),
    (0x0800, "c.addi4spn s0, sp, 0x10", "addi s0, sp, 0x10", {"rd": 8, "imm": 16}),
    (0x1FE0, "c.addi4spn s0, sp, 0x3fc", "addi s0, sp, 0x3fc", {"rd": 8, "imm": 1020}),
    (0xE406, "c.sdsp ra, 8(sp)", "sd ra, 8(sp)", {"rs2": 1, "imm": 8}),
    (0xFC06, "c.sdsp ra, 0x38(sp)", "sd ra, 0x38(sp)", {"rs2": 1, "imm": 56}),
    (0xF822, "c.sdsp s0, 0x30(sp)", "sd s0, 0x30(sp)", {"rs2": 8, "imm": 48}),
    (0x60A2, "c.ldsp ra, 8(sp)", "ld ra, 8(sp)", {"rd": 1, "imm": 8}),
    (0x6402, "c.ldsp s0, 0(sp)", "ld s0, 0(sp)", {"rd": 8, "imm": 0}),
    (0x8082, "c.jr ra", "ret", {"rs1": 1}),
    (0x9282, "c.jalr t0", "jalr t0", {"rs1": 5}),
    (0x9002, "c.ebreak", "ebreak", {}),
    (0x853E, "c.mv a0, a5", "add a0, zero, a5", {"rd": 10, "rs2": 15}),
    (0x953E, "c.add a0, a5", "add a0, a0, a5", {"rd": 10, "rs2": 15}),
    (0x4501, "c.li a0, 0", "li a0, 0", {"rd": 10, "imm": 0}),
    (0x557D, "c.li a0, -1", "li a0, -1", {"rd": 10, "imm": -1}),
    (0x6505, "c.lui a0, 1", "lui a0, 1", {"rd": 10, "imm": 1}),
    (0x757D, "c.lui a0, 0xfffff", "lui a0, 0xfffff", {"rd": 10, "imm": -1}),
    (0x2501, "c.addiw a0, 0", "sext.w a0, a0", {"rd": 10, "imm": 0}),
    (0x1502, "c.slli a0, 0x20", "slli a0, a0, 0x20", {"rd": 10, "imm": 32}),
    (0x9101, "c.srli a0, 0x20", "srli a0, a0, 0x20", {"rd": 10, "imm": 32}),
    (0x9979, "c.andi a0, -2", "andi a0, a0, -2", {"rd": 10, "imm": -2}),
    (0x8D0D, "c.sub a0, a1", "sub a0, a0, a1", {"rd": 10, "rs2": 11}),
    (0x611C, "c.ld a5, 0(a0)", "ld a5, 0(a0)", {"rd": 15, "rs1": 10, "imm": 0}),
    (0x415C, "c.lw a5, 4(a0)", "lw a5, 4(a0)", {"rd": 15, "rs1": 10, "imm": 4}),
    (0xE11C, "c.sd a5, 0(a0)", "sd a5, 0(a0)", {"rs1": 10, "rs2": 15, "imm": 0}),
    (0xA001, "c.j 0", "j 0", {"imm": 0}),
    (0xB001, "c.j -0x800", "j -0x800", {"imm": -2048}),
    (0xAFFD, "c.j 0x7fe", "j 0x7fe", {"imm": 2046}),
    (0xDFF5, "c.beqz a5, -4", "beqz a5, -4", {"rs1": 15, "imm": -4}),
    (0x8028, "c.lbu a0, 2(s0)", "lbu a0, 2(s0)", {"rd": 10, "rs1": 8, "imm": 2}),
    (0x8048, "c.lbu a0, 1(s0)", "lbu a0, 1(s0)", {"rd": 10, "rs1": 8, "imm": 1}),
    (0x8C28, "c.sh a0, 2(s0)", "sh a0, 2(s0)", {"rs1": 8, "rs2": 10, "imm": 2}),
    (0x9D75, "c.not a0", "not a0, a0", {"rd": 10}),
    (0x6281, "c.mop.5", "nop", {}),
    (0xF381, "c.bnez a5, -0x100", "bnez a5, -0x100", {"rs1": 15, "imm": -256}),
]


@pytest.mark.parametrize(("word", "text", "name", "operands"), WORDS)
def test_word(word: int, text: str, name: str, operands: dict[str, int]) -> None:
    insn = decode(word)
    assert insn is not None
    assert (insn.name, insn.size, insn.word, insn.text()) == (name, 4, word, text)
    assert {role: getattr(insn, role) for role in operands} == operands
    assert insn.base is insn
    assert encode(name, **operands) == word


@pytest.mark.parametrize(("parcel", "text", "base", "operands"), HALFWORDS)
def test_halfword(parcel: int, text: str, base: str, operands: dict[str, int]) -> None:
    insn = decode(parcel)
    assert insn is not None
    assert (insn.size, insn.word, insn.text()) == (2, parcel, text)
    assert {role: getattr(insn, role) for role in operands} == operands
    assert (insn.base.text(), insn.base.size, insn.base.word) == (base, 2, parcel)
    assert decode(0xABCD0000 | parcel) == insn
    assert encode(insn.name, **operands) == parcel


@pytest.mark.parametrize(
    ("word", "clause"),
    [
        (0x0000, "C: the all-zero parcel is illegal"),
        (0x0004, "C: c.addi4spn with nzuimm=0 is reserved"),
        (0x2001, "C: c.addiw with rd=0 is reserved"),
        (0x6101, "C: c.addi16sp with nzimm=0 is reserved"),
        (0x6201, "C: c.lui with nzimm=0 is reserved; Zcmop has those with rd odd and below 16"),
        (0x4002, "C: c.lwsp with rd=0 is reserved"),
        (0x6002, "C: c.ldsp with rd=0 is reserved"),
        (0x8002, "C: c.jr with rs1=0 is reserved"),
        (0x9C79, "C: reserved beside c.subw and c.addw; Zcb has most of it"),
        (0x9000, "C: quadrant 0, funct3 100 is reserved; Zcb has half of it"),
        (0xFFFFFFFF, "the all-ones word starts an encoding longer than 32 bits"),
        (0x06051013, "RV64I: slli with bit 26 set"),
        (0x1015252F, "A: lr.w with rs2 not 0"),
        (0x00200073, "privileged: uret was removed"),
    ],
)
def test_not_an_instruction(word: int, clause: str) -> None:
    assert decode(word) is None, clause


def test_where_a_jump_goes() -> None:
    jump = decode(0xFFDFF2EF)
    assert jump is not None
    assert jump.target(0xFFFFFFFF80000000) == 0xFFFFFFFF7FFFFFFC
    assert jump.text(0xFFFFFFFF80000000) == "jal t0, 0xffffffff7ffffffc"
    assert jump.target(0) == 0xFFFFFFFFFFFFFFFC
    through_register = decode(0x000282E7)
    assert through_register is not None
    assert through_register.target(0x1000) is None


def test_implied_operands_are_filled_in() -> None:
    store, call, branch, move = (decode(parcel) for parcel in (0xE406, 0x9282, 0xDFF5, 0x853E))
    assert store is not None and call is not None and branch is not None and move is not None  # noqa: PT018
    assert (store.rs1, store.rd) == (2, -1)
    assert (call.rd, call.imm) == (1, 0)
    assert branch.rs2 == 0
    assert move.rs1 == 0


def test_longer_encodings_have_no_size() -> None:
    assert insn_size(0x001F) == 0
    assert decode(0x0000001F) is None
