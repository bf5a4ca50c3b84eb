# SPDX-License-Identifier: GPL-2.0-or-later
"""Decode and its text beside capstone's, and beside LLVM's for what capstone does not know.

Every disagreement is listed with the clause of the manual that settles it.
"""

from __future__ import annotations

import random
import re
import shutil
import subprocess
from collections import Counter

import pytest

from genpatch.isa.disasm import second_opinion
from genpatch.isa.encoding import CSR_NAMES, REG_NAMES
from genpatch.isa.insn import SPECS, Insn, Spec, decode

LLVM_MC = shutil.which("llvm-mc-19") or shutil.which("llvm-mc")
LLVM_FEATURES = "+m,+a,+c,+zicsr,+zifencei,+zba,+zbb,+zbs,+zicond"

NEWER_THAN_CAPSTONE = {"Zba", "Zbb", "Zbs", "Zicond"}
MAJOR_OPCODES = (0x03, 0x0F, 0x13, 0x17, 0x1B, 0x23, 0x2F, 0x33, 0x37, 0x3B, 0x63, 0x67, 0x6F, 0x73)

HALFWORD_DISAGREEMENTS = {
    # (ours, capstone's): how many of the 65,536, and why we are right
    ("", "c.unimp"): (1, "Extending the C extension: the all-zero parcel is a defined illegal instruction"),
    ("", "c.lui"): (30, "C.LUI: the code points with imm=0 are reserved"),
    ("c.nop", ""): (32, "C HINTs: c.nop with imm other than 0; capstone refuses the negative ones"),
    ("c.li", ""): (64, "C HINTs: c.li with rd=0"),
    ("c.lui", ""): (63, "C HINTs: c.lui with rd=0, imm other than 0"),
    ("c.slli", ""): (64, "C HINTs: c.slli with rd=0, any shamt"),
    ("c.mv", ""): (31, "C HINTs: c.mv with rd=0, rs2 other than 0"),
    ("c.add", ""): (31, "C HINTs: c.add with rd=0, rs2 other than 0"),
    ("", "c.fld"): (2048, "D: not declared"),
    ("", "c.fldsp"): (2048, "D: not declared"),
    ("", "c.fsd"): (2048, "D: not declared"),
    ("", "c.fsdsp"): (2048, "D: not declared"),
}


def random_words(spec: Spec, count: int) -> list[int]:
    """Return words that are this instruction, edge values of each operand among them; ignored bits are 0."""
    rng = random.Random(spec.name)
    words: list[int] = []
    while len(words) < count:
        word = spec.match
        for field in spec.fields:
            values = (0, 1, 2, -1, rng.getrandbits(32), rng.getrandbits(32))
            word |= field.insert(rng.choice(tuple(CSR_NAMES) if field.name == "csr" else values))
        insn = decode(word)
        if insn is not None and insn.spec is spec:
            words.append(word)
    return words


def in_capstones_words(insn: Insn) -> str:
    """Return our text, spelled as capstone 5 spells it where it is behind GNU and LLVM."""
    text = insn.text()
    if text.startswith("li ") and insn.name == "addi":
        return re.sub(r"^li (\w+), 0$", r"mv \1, zero", re.sub(r"^li (\w+), (?!0$)", r"addi \1, zero, ", text))
    return re.sub(r"\b0\b", "unknown", text) if insn.name == "fence" else text


def known_disagreement(insn: Insn) -> bool:
    """Tell whether capstone is known to refuse or to misname an instruction that the manual defines."""
    if insn.spec.extension in NEWER_THAN_CAPSTONE:
        return True
    if insn.name in ("fence.i", "fence.tso"):
        return insn.word != insn.spec.match  # FENCE.I, FENCE: "implementations shall ignore" rs1, rd, imm
    if insn.name == "fence":  # the same, and: reserved fm are to be treated as fm=0
        return bool(insn.word & 0xF00FFF80)
    return insn.csr >= 0 and not named_alike(insn.csr)


def named_alike(csr: int) -> bool:
    """Tell whether capstone has a CSR's name and no pseudo-instructions for it.

    It has some for fcsr and its parts (1, 2, 3), and is older than senvcfg (0x10a) and stimecmp (0x14d).
    """
    return csr in CSR_NAMES and csr not in (1, 2, 3, 0x10A, 0x14D)


def test_every_halfword() -> None:
    disagreements: Counter[tuple[str, str]] = Counter()
    for parcel in range(1 << 16):
        if parcel & 0b11 == 0b11:
            continue
        insn = decode(parcel)
        ours, theirs = insn.text() if insn else "", second_opinion(parcel)
        if ours != theirs:
            disagreements[ours.partition(" ")[0], theirs.partition(" ")[0]] += 1
    assert disagreements == {pair: count for pair, (count, _) in HALFWORD_DISAGREEMENTS.items()}


@pytest.mark.parametrize(
    "spec",
    [spec for spec in SPECS.values() if spec.size == 4 and spec.extension not in NEWER_THAN_CAPSTONE],
    ids=lambda spec: spec.name,
)
def test_text_beside_capstone(spec: Spec) -> None:
    compared = 0
    for word in random_words(spec, 60):
        insn = decode(word)
        assert insn is not None
        if not known_disagreement(insn):
            assert in_capstones_words(insn) == second_opinion(word)
            compared += 1
    assert compared


def test_csr_names() -> None:
    for csr in range(0x1000):
        read = decode(csr << 20 | 0x02573)  # csrrs a0, csr, zero
        assert read is not None
        if named_alike(csr):
            assert read.text() == second_opinion(read.word)
        elif csr not in CSR_NAMES:
            assert read.text() == f"csrr a0, {csr if csr < 10 else hex(csr)}"


def test_random_words_are_legal_alike() -> None:
    rng = random.Random(20)
    for _ in range(200_000):
        word = rng.getrandbits(25) << 7 | rng.choice(MAJOR_OPCODES)
        insn, theirs = decode(word), second_opinion(word)
        if insn is None:
            assert theirs in ("", "uret"), f"{word:#x}"  # uret went with the N extension
        elif not known_disagreement(insn):
            assert theirs == in_capstones_words(insn), f"{word:#x}"


def normal(text: str) -> list[str]:
    """Return a text's tokens with numbers in decimal."""
    return [str(int(t, 0)) if re.match(r"-?\d", t) else t for t in re.split(r"[\s,()]+", text) if t]


@pytest.mark.skipif(LLVM_MC is None, reason="llvm-mc, the judge of what capstone 5 lacks, is not installed")
def test_text_beside_llvm() -> None:
    insns = [decode(word) for spec in SPECS.values() if spec.size == 4 for word in random_words(spec, 40)]
    ours = [insn for insn in insns if insn is not None and not beyond_llvm(insn)]
    lines = "\n".join(" ".join(f"{byte:#04x}" for byte in insn.word.to_bytes(4, "little")) for insn in ours)
    run = subprocess.run(
        [str(LLVM_MC), "--disassemble", "--triple=riscv64", f"-mattr={LLVM_FEATURES}"],
        input=lines,
        capture_output=True,
        text=True,
        check=True,
    )
    if "unrecognized feature" in run.stderr or "not a recognized feature" in run.stderr:
        pytest.skip("this llvm-mc is older than Zicond")
    assert run.stderr == ""
    theirs = [line for line in run.stdout.splitlines() if line.strip() and not line.strip().startswith(".")]
    for insn, their in zip(ours, theirs, strict=True):
        assert normal(in_llvms_words(insn)) == normal(their), f"{insn.word:#x}"


def in_llvms_words(insn: Insn) -> str:
    """Return our text; jalr as LLVM has it, which leaves out zero, ra and displacements of 0."""
    if insn.name != "jalr" or insn.text() == "ret":
        return insn.text()
    where = f"{insn.imm}({REG_NAMES[insn.rs1]})" if insn.imm else REG_NAMES[insn.rs1]
    link = "" if insn.rd in (0, 1) else REG_NAMES[insn.rd]
    return f"{'jalr' if insn.rd else 'jr'} {link} {where}"


def beyond_llvm(insn: Insn) -> bool:
    """Tell whether LLVM refuses a reserved fm, which hardware ignores, or has pseudo-instructions (fcsr)."""
    return (insn.name == "fence" and insn.word & 0xF0000000 != 0) or insn.csr in (1, 2, 3)
