# SPDX-License-Identifier: GPL-2.0-or-later
"""The assembler of eBPF: literals worked out from RFC 9669, and clang's own assembler where there is one."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from genpatch.verify.bpf.bytecode import BytecodeError, Callee, assemble, guarded_accesses

CLANG = next((name for name in ("clang-19", "clang") if shutil.which(name)), None)
OBJCOPY = next((name for name in ("llvm-objcopy-19", "llvm-objcopy") if shutil.which(name)), None)

WORDS = {
    "r0 = 7": "b700000007000000",
    "w3 = w4": "bc43000000000000",
    "r1 = (s8)r2": "bf21080000000000",
    "w9 *= w8": "2c89000000000000",
    "r1 s/= r2": "3f21010000000000",
    "r1 s>>= 63": "c70100003f000000",
    "w7 = -w7": "8407000000000000",
    "r0 = be32 r0": "dc00000020000000",
    "r0 = bswap16 r0": "d700000010000000",
    "r0 = *(s32 *)(r1 + 4)": "8110040000000000",
    "*(u64 *)(r10 - 8) = r1": "7b1af8ff00000000",
    "*(u16 *)(r10 - 8) = -5": "6a0af8fffbffffff",
    "lock *(u32 *)(r1 + 0) &= w2": "c321000050000000",
    "r2 = atomic_fetch_add((u64 *)(r1 + 0), r2)": "db21000001000000",
    "w0 = cmpxchg32_32(r1 + 8, w0, w2)": "c3210800f1000000",
    "r0 = load_acquire((u64 *)(r1 + 4))": "db10040000010000",
    "store_release((u16 *)(r1 + 4), w0)": "cb01040010010000",
    "if w1 s> -5 goto -3": "6601fdfffbffffff",
    "if r1 & 8 goto +1": "4501010008000000",
    "gotol +1": "0600000001000000",
    "tail_call": "f500000000000000",
    "zext r3": "bc33000001000000",
    "exit": "9500000000000000",
}
GUARDED = {
    "probe r2 = *(u64 *)(r6 + 16)": "3962100000000000",
    "probe r3 = *(s16 *)(r6 - 4)": "4963fcff00000000",
    "arena r0 = *(u8 *)(r6 + 7)": "b160070000000000",
    "arena *(u32 *)(r6 + 8) = -2": "a2060800feffffff",
    "arena *(u16 *)(r6 + 8) = r2": "ab26080000000000",
    "arena r3 = atomic_fetch_and((u64 *)(r6 + 16), r3)": "fb36100051000000",
    "arena store_release((u8 *)(r6 + 1), w2)": "f326010010010000",
    "r3 = addr_space_cast(r2, 1, 0)": "bf23010000000100",
    "r3 = &(void __percpu *)(r2)": "bf23ffff00000000",
    "nospec": "c200000000000000",
}
"""What only the verifier writes; words by hand from include/linux/filter.h of the kernel."""


@pytest.mark.parametrize(("text", "word"), [*WORDS.items(), *GUARDED.items()])
def test_words(text: str, word: str) -> None:
    assert assemble(text).hex() == word


def test_accesses_that_want_an_entry() -> None:
    plain = "r0 = *(u64 *)(r1 + 0); lock *(u64 *)(r1 + 0) += r2; r1 = 0xa3000000b1 ll; nospec; exit"
    assert guarded_accesses(assemble(plain)) == 0
    assert guarded_accesses(assemble("\n".join(GUARDED))) == 7


@pytest.mark.skipif(CLANG is None or OBJCOPY is None, reason="no clang that assembles BPF")
def test_clang_agrees(tmp_path: Path) -> None:
    lines = [line for line in WORDS if line not in ("tail_call", "zext r3") and "acquire" not in line]
    lines = [line for line in lines if "release" not in line]
    lines += [
        "r5 = 0x123456789abcdef0 ll", "r1 += r2", "w1 += 5", "r1 -= -5", "r1 /= r2", "w1 %= 7", "w1 s%= w2",
        "r1 |= r2", "w1 &= 255", "r1 ^= -1", "r1 <<= 5", "w1 <<= w2", "r1 >>= r2", "w1 s>>= w2", "r7 = -r7",
        "r0 = le16 r0", "r0 = be64 r0", "r0 = bswap64 r0", "r0 = *(u8 *)(r1 + 4)", "r0 = *(u32 *)(r1 - 4)",
        "*(u8 *)(r10 - 8) = r1", "*(u32 *)(r10 - 8) = 5", "lock *(u64 *)(r1 + 0) += r2", "r2 = xchg_64(r1 + 8, r2)",
        "w2 = atomic_fetch_xor((u32 *)(r1 + 0), w2)", "w2 = xchg32_32(r1 + 8, w2)", "if w1 <= w2 goto +0",
        "r0 = cmpxchg_64(r1 + 8, r0, r2)", "call 7", "goto -2", "if r1 s>= r2 goto +9", "if r1 != 3 goto +9",
    ]  # fmt: skip
    assert CLANG
    assert OBJCOPY
    made, flat = tmp_path / "made.o", tmp_path / "made.bin"
    command = [CLANG, "-target", "bpf", "-mcpu=v4", "-c", "-x", "assembler", "-", "-o", str(made)]
    subprocess.run(command, input="\n".join(lines) + "\n", text=True, check=True)
    subprocess.run([OBJCOPY, "-O", "binary", "--only-section=.text", str(made), str(flat)], check=True)
    assert assemble("\n".join(lines)) == flat.read_bytes()


def test_labels_count_slots() -> None:
    text = "again: r1 = 5 ll; if r1 == 0 goto out; goto again\n out: exit"
    assert assemble(text)[16:32].hex() == "1501010000000000" + "0500fcff00000000"


def test_names() -> None:
    names = {"number": 0x1_0000_0002, "helper": Callee(0, 0, -8), "sub": Callee(1, 3, 1, 0xFFFF_0000_1234_5678)}
    assert assemble("r2 = number ll", names).hex() == "1802000002000000" + "0000000001000000"
    assert assemble("call helper", names).hex() == "85000000f8ffffff"
    assert assemble("call sub", names).hex() == "8510030001000000"
    assert assemble("r2 = sub ll", names).hex() == "1842030078563412" + "000000000000ffff"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("r0 := 7", "not understood"),
        ("r11 = 7", "no register r11"),
        ("r0 = nothing", "neither a number nor a known name"),
        ("goto nowhere", "no label"),
        ("a: r0 = 1; a: exit", "twice"),
        ("r0 = *(u8 *)(r1 + 32768)", "does not fit"),
        ("r0 = 0x100000000", "does not fit"),
        ("r0 = -r1", "its destination"),
        ("exit\n" * 5000, "more than"),
        ("probe *(u64 *)(r1 + 0) = r2", "not an access that can be marked probe"),
        ("arena r0 = *(s8 *)(r1 + 0)", "not an access that can be marked arena"),
        ("arena exit", "not an access that can be marked arena"),
        ("probe nonsense", "not understood"),
    ],
)
def test_errors_name_the_line(text: str, told: str) -> None:
    with pytest.raises(BytecodeError, match=told):
        assemble(text)
