# SPDX-License-Identifier: GPL-2.0-or-later
"""Decode and its text beside capstone's and LLVM's, and beside LLVM's what `foreign` says of the rest.

Every disagreement is listed with the clause of the manual that settles it. GENPATCH_LONG=1 in the environment
compares millions of words, not some hundred thousand.
"""

from __future__ import annotations

import os
import random
import re
import shutil
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator
from functools import cache

import pytest

from genpatch.isa.disasm import second_opinion
from genpatch.isa.encoding import CSR_NAMES, REG_NAMES, insn_size
from genpatch.isa.foreign import ROWS, foreign
from genpatch.isa.insn import SPECS, Insn, Spec, decode

LONG = os.environ.get("GENPATCH_LONG", "0") not in ("", "0")
WORDS = 4_000_000 if LONG else 160_000
BATCH = 100_000

LLVM_MC = shutil.which("llvm-mc-19") or shutil.which("llvm-mc")
needs_llvm = pytest.mark.skipif(LLVM_MC is None, reason="llvm-mc, the judge of what capstone 5 lacks, is not installed")
# extensions as LLVM calls them, those of our records and those whose instructions it can tell
DECLARED = [
    *("m", "a", "c", "zicsr", "zifencei", "zba", "zbb", "zbs", "zicond"),
    *("zabha", "zacas", "zicbom", "zicboz", "zawrs", "zimop", "svinval", "zcb", "zcmop", "zbkb"),
]
RATIFIED = [
    *DECLARED,
    *("f", "d", "zfh", "zfa", "zfbfmin", "v", "zvfh", "zvfbfmin", "zvfbfwma"),
    *("zvbb", "zvbc", "zvkng", "zvksg", "zvknha", "zbc", "zbkx", "zk", "zks"),
    *("h", "zalasr", "zicfiss"),
]

NEWER_THAN_CAPSTONE = {
    *("Zba", "Zbb", "Zbs", "Zicond", "Zbkb"),
    *("Zabha", "Zacas", "Zicbom", "Zicboz", "Zawrs", "Zimop", "Svinval", "Zcb", "Zcmop"),
}
FOREIGN_OPCODES = (0x07, 0x0B, 0x27, 0x2B, 0x43, 0x47, 0x4B, 0x4F, 0x53, 0x57, 0x5B, 0x6B, 0x77, 0x7B)
UNIMP = 0xC0001073  # capstone's and LLVM's name of csrw cycle, zero
MAJOR_OPCODES = (0x03, 0x0F, 0x13, 0x17, 0x1B, 0x23, 0x2F, 0x33, 0x37, 0x3B, 0x63, 0x67, 0x6F, 0x73)

HALFWORD_DISAGREEMENTS = {
    # (ours, capstone's): how many of the 65,536, and why we are right
    ("", "c.unimp"): (1, "Extending the C extension: the all-zero parcel is a defined illegal instruction"),
    ("", "c.lui"): (22, "C.LUI: the code points with imm=0 are reserved; Zcmop took those with rd odd, below 16"),
    **{(f"c.mop.{n}", "c.lui"): (1, "Zcmop: newer than capstone 5") for n in range(1, 16, 2)},
    **{(f"c.{name}", ""): (256, "Zcb: newer than capstone 5") for name in ("lbu", "sb")},
    **{(f"c.{name}", ""): (128, "Zcb: newer than capstone 5") for name in ("lhu", "lh", "sh")},
    ("c.mul", ""): (64, "Zcb: newer than capstone 5"),
    **{(f"c.{name}", ""): (8, "Zcb: newer than capstone 5") for name in ("zext.b", "sext.b", "zext.h", "sext.h")},
    **{(f"c.{name}", ""): (8, "Zcb: newer than capstone 5") for name in ("zext.w", "not")},
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


LLVM_HALFWORDS = {
    # (ours, LLVM's): how many of the 49,152, and why we are right
    ("", "c.unimp"): (1, "Extending the C extension: the all-zero parcel is a defined illegal instruction"),
    ("", "c.lui"): (23, "C.LUI: the code points with imm=0 are reserved; Zcmop took those with rd odd and below 16"),
}

LLVM_SPELLINGS = {
    # (ours, LLVM's): how many of the 39,567 that both know, and why LLVM spells them otherwise
    ("c.nop", "c.nop"): (63, "C HINTs: c.nop with imm other than 0, which we do not print"),
    ("c.lui", "c.lui"): (32, "C HINTs: c.lui with rd=0, whose imm LLVM prints signed"),
    ("c.slli", "c.slli64"): (32, "C HINTs: shamt=0, which RV128 would read as 64"),
    ("c.srli", "c.srli64"): (8, "C HINTs: the same"),
    ("c.srai", "c.srai64"): (8, "C HINTs: the same"),
}

LLVM_DISAGREEMENTS: dict[tuple[str, str], tuple[Callable[[int], bool], str]] = {
    # (ours, LLVM's): what is so of the words, and why we are right
    ("fence", ""): (lambda word: bool(word & 0xF00F8F80), "FENCE: base implementations shall ignore rs1, rd, fm"),
    ("fence.tso", ""): (lambda word: bool(word & 0x000F8F80), "FENCE: base implementations shall ignore rs1 and rd"),
    ("fence.i", ""): (lambda word: bool(word & 0xFFFF8F80), "FENCE.I: implementations shall ignore imm, rs1 and rd"),
    ("mop.r.28", ""): (lambda word: not word & 0xF80, "Zicfiss: only rd=0 with rs1=1 or 5, rs1=0 with rd, are others"),
    ("mop.rr.7", ""): (lambda word: not word & 0xF8F80, "Zicfiss: only rd=0, rs1=0 with rs2=1 or 5 are others"),
    ("", "aes64ks1i"): (lambda word: word >> 20 & 0xF > 10, "Zkne: rnum 0xb to 0xf are reserved"),
    ("", "fcvtmod.w.d"): (lambda word: word >> 12 & 7 != 1, "Zfa: rm of fcvtmod.w.d other than 1 is reserved"),
    ("(custom)", ""): (lambda word: True, "opcode map and SYSTEM: designated for custom use"),
    ("(Q)", ""): (lambda word: True, "Q: LLVM 19 does not have it"),
    ("(Zfa)", ""): (lambda word: word >> 25 & 3 == 3, "Zfa with Q: LLVM 19 does not have Q"),
    ("(Smrnmi)", ""): (lambda word: True, "Smrnmi: LLVM 19 does not have mnret"),
    ("(Ssctr)", ""): (lambda word: True, "Ssctr: LLVM 19 does not have sctrclr"),
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
    return insn.csr >= 0 and (insn.word == UNIMP or not named_alike(insn.csr))


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


def population(count: int) -> Iterator[list[int]]:
    """Yield lists of so many 32-bit words in all, each near enough to an instruction to be worth a look."""
    rng = random.Random(20)
    specs = [spec for spec in SPECS.values() if spec.size == 4]
    for start in range(0, count, BATCH):
        words: list[int] = []
        while len(words) < min(BATCH, count - start):
            word, kind = rng.getrandbits(32) | 0b11, rng.random()
            if kind < 0.4:
                word = word & ~0x7F | rng.choice(MAJOR_OPCODES)
            elif kind < 0.75:  # an instruction, most of them with a bit flipped
                spec = rng.choice(specs)
                word = word & ~spec.mask | spec.match
                word ^= (kind < 0.7) << rng.randrange(2, 32)
            elif kind < 0.95:
                word = word & ~0x7F | rng.choice(FOREIGN_OPCODES)
            for lsb in (7, 15, 20):  # x0 where something depends on it
                if rng.random() < 0.125:
                    word &= ~(0x1F << lsb)
            if insn_size(word & 0xFFFF) == 4:
                words.append(word)
        yield words


def beside_capstone(words: list[int]) -> None:
    """Assert that capstone knows no 32-bit words but ours and foreign ones, and that ours have one text."""
    for word in words:
        insn, theirs = decode(word), second_opinion(word)
        if insn is None and not foreign(word):
            assert theirs in ("", "uret"), f"{word:#x}"  # uret went with the N extension
        elif insn is not None and not known_disagreement(insn):
            assert theirs == in_capstones_words(insn), f"{word:#x}"


def test_every_short_word_beside_capstone() -> None:
    # the halfwords that are no instruction, as words whose second parcel is 0
    beside_capstone([parcel for parcel in range(1 << 16) if insn_size(parcel) == 4])


def test_random_words_beside_capstone() -> None:
    for words in population(WORDS):
        beside_capstone(words)


def mnemonic(text: str) -> str:
    """Return a text's first word."""
    return text.partition(" ")[0]


def normal(text: str) -> list[str]:
    """Return a text's tokens with numbers in decimal."""
    return [str(int(t, 0)) if re.match(r"-?\d", t) else t for t in re.split(r"[\s,()]+", text) if t]


@cache
def features(names: tuple[str, ...]) -> str:
    """Return the option that enables these extensions and no other, ratified after this LLVM or before."""
    run = subprocess.run(
        [str(LLVM_MC), "--triple=riscv64", "--mattr=help"], input="", capture_output=True, text=True, check=True
    )
    known = set(re.findall(r"^ +(\S+) +- ", run.stdout + run.stderr, re.MULTILINE))
    wanted = [next((n for n in (name, f"experimental-{name}") if n in known), "") for name in names]
    if not all(wanted):
        pytest.skip(f"this llvm-mc is older than {names[wanted.index('')]}")
    return "-mattr=" + ",".join(f"+{name}" for name in wanted)


def in_llvm(words: list[int], extensions: list[str], *options: str) -> list[str]:
    """Return LLVM's texts of instructions of 2 or 4 bytes, "" for those that it does not know."""
    lines = [" ".join(f"{byte:#04x}" for byte in word.to_bytes(insn_size(word & 0xFFFF), "little")) for word in words]
    run = subprocess.run(
        [str(LLVM_MC), "--disassemble", "--triple=riscv64", features(tuple(extensions)), *options],
        input="\n".join(lines),
        capture_output=True,
        text=True,
        check=True,
    )
    refused = {int(number) for number in re.findall(r"^<stdin>:(\d+):\d+: warning: invalid", run.stderr, re.MULTILINE)}
    known = (line.strip() for line in run.stdout.splitlines() if line.strip() and not line.strip().startswith("."))
    texts = ["" if number in refused else next(known).replace("\t", " ") for number in range(1, len(words) + 1)]
    assert next(known, None) is None
    return texts


def our_name(word: int) -> str:
    """Return the mnemonic, in brackets the foreign extension's name, or "" for no instruction."""
    insn, extension = decode(word), foreign(word)
    return insn.name if insn is not None else extension and f"({extension})"


def test_parcels_of_longer_encodings() -> None:
    longer = [parcel for parcel in range(1 << 16) if not insn_size(parcel)]
    assert len(longer) == 1 << 11
    assert not any(our_name(parcel | high << 16) for parcel in longer for high in (0, 0xFFFF))


@needs_llvm
def test_every_halfword_beside_llvm() -> None:
    parcels = [parcel for parcel in range(1 << 16) if insn_size(parcel) == 2]
    refused: Counter[tuple[str, str]] = Counter()
    for parcel, theirs in zip(parcels, in_llvm(parcels, RATIFIED, "-M", "no-aliases"), strict=True):
        if bool(our_name(parcel)) != bool(theirs):
            refused[our_name(parcel), mnemonic(theirs)] += 1
    assert refused == {pair: count for pair, (count, _) in LLVM_HALFWORDS.items()}
    ours = [insn for insn in map(decode, parcels) if insn is not None]
    spelled: Counter[tuple[str, str]] = Counter()
    for insn, theirs in zip(ours, in_llvm([insn.word for insn in ours], DECLARED, "-M", "no-aliases"), strict=True):
        if normal(insn.text()) != normal(theirs):
            spelled[insn.name, mnemonic(theirs)] += 1
    assert spelled == {pair: count for pair, (count, _) in LLVM_SPELLINGS.items()}


@needs_llvm
def test_every_short_word_beside_llvm() -> None:
    # the other halfwords, as words whose second parcel is 0
    beside_llvm([parcel for parcel in range(1 << 16) if insn_size(parcel) == 4])


@needs_llvm
def test_neighbours_beside_llvm() -> None:
    # of every record, and of every row of `foreign`: some words, and all that differ from one in a bit
    rng = random.Random(22)
    encodings = [(spec.match, spec.mask) for spec in SPECS.values()] + [row[:2] for row in ROWS]
    words: list[int] = []
    for match, mask in encodings:
        if insn_size(match) == 4:
            some = [match | rng.getrandbits(32) & ~mask for _ in range(8)]
            words += some + [some[0] ^ 1 << bit for bit in range(2, 32)]
    beside_llvm([word for word in words if insn_size(word & 0xFFFF) == 4])


@needs_llvm
def test_random_words_beside_llvm() -> None:
    for words in population(WORDS):
        beside_llvm(words)


@needs_llvm
@pytest.mark.skipif(not LONG, reason="five million words; set GENPATCH_LONG=1")
def test_every_operation_beside_llvm() -> None:
    rng = random.Random(21)
    for opcode in range(0x03, 0x80, 4):
        if insn_size(opcode) == 4:
            operations = [funct7 << 25 | rs2 << 20 | opcode for funct7 in range(128) for rs2 in range(32)]
            for funct3 in range(8):
                picks = [rng.choice((0, 1 << 7, 0x2 << 7, 0x1F << 7, 5 << 15, 0x11 << 15)) for _ in range(4)]
                picks += [rng.getrandbits(5) << 15 | rng.getrandbits(5) << 7 for _ in range(2)]
                beside_llvm([word | funct3 << 12 | pick for word in operations for pick in picks])


def beside_llvm(words: list[int]) -> None:
    """Assert that 32-bit words are legal alike, that each is in the extensions that we say, and of one text."""
    for word, theirs in zip(words, in_llvm(words, RATIFIED), strict=True):
        name = our_name(word)
        if bool(name) != bool(theirs):
            condition, _ = LLVM_DISAGREEMENTS.get((name, mnemonic(theirs)), (lambda _: False, ""))
            assert condition(word), f"{word:#x}: {name!r} or {theirs!r}"
    insns = [decode(word) for word in words]
    for insn, word, theirs in zip(insns, words, in_llvm(words, DECLARED), strict=True):
        if insn is None:
            # amocas.q of Zacas, most of Zbkb, what Svinval has with H: no record; LLVM knows dret unasked
            name = foreign(word)
            assert not theirs or name in ("Zacas", "Zbkb", "H", "Sdext"), f"{word:#x}: not declared, or {theirs!r}"
        elif theirs and not beyond_llvm(insn):
            ours, tokens = normal(in_llvms_words(insn)), normal(theirs)
            if insn.csr >= 0 and insn.csr not in CSR_NAMES:
                at = ours.index(str(insn.csr))
                del ours[at], tokens[at]
            assert ours == tokens, f"{insn.word:#x}"


@needs_llvm
def test_text_beside_llvm() -> None:
    insns = [decode(word) for spec in SPECS.values() if spec.size == 4 for word in random_words(spec, 40)]
    ours = [insn for insn in insns if insn is not None and not beyond_llvm(insn)]
    for insn, theirs in zip(ours, in_llvm([insn.word for insn in ours], DECLARED), strict=True):
        assert normal(in_llvms_words(insn)) == normal(theirs), f"{insn.word:#x}"


def in_llvms_words(insn: Insn) -> str:
    """Return our text; jalr as LLVM has it, which leaves out zero, ra and displacements of 0."""
    if insn.name != "jalr" or insn.text() == "ret":
        return insn.text()
    where = f"{insn.imm}({REG_NAMES[insn.rs1]})" if insn.imm else REG_NAMES[insn.rs1]
    link = "" if insn.rd in (0, 1) else REG_NAMES[insn.rd]
    return f"{'jalr' if insn.rd else 'jr'} {link} {where}"


def beyond_llvm(insn: Insn) -> bool:
    """Tell whether LLVM refuses a reserved fm, which hardware ignores, or has pseudo-instructions (fcsr, unimp)."""
    return (insn.name == "fence" and insn.word & 0xF0000000 != 0) or insn.csr in (1, 2, 3) or insn.word == UNIMP
