# SPDX-License-Identifier: GPL-2.0-or-later
"""Which ratified extension an encoding belongs to that has no record here.

The interpreter asks it of words that `decode` does not know, to tell what the guest did wrong (reserved in every
ratified extension: an illegal instruction) from what is missing here (a good instruction of an extension that
is not declared). Only static encodings count: what depends on vtype, on the mode or on a CSR does not. Nor do
encodings of RV32 alone, and those that an extension took from c.fsdsp (Zcmp, Zcmt), which are D's here.
"""

from __future__ import annotations

from collections.abc import Iterable

from .encoding import insn_size

__all__ = ["ROWS", "foreign"]

_Row = tuple[int, int, str]
# match, mask, extension

_LOAD_FP, _STORE_FP, _OP_FP, _OP_V, _OP_VE = 0x07, 0x27, 0x53, 0x57, 0x77
_FORMATS = ((0, "F"), (1, "D"), (2, "Zfh"), (3, "Q"))
_R = 0xFE00707F  # funct7, funct3, opcode
_UNARY = 0xFFF0707F  # and the rs2 field
_AMO_R = 0xF800707F  # funct5, funct3, opcode


def _rows(name: str, mask: int, *matches: int) -> list[_Row]:
    return [(match, mask, name) for match in matches]


def _parcels() -> list[_Row]:
    """Return the rows of 16-bit instructions."""
    return [
        # C: c.fld, c.fldsp, c.fsd, c.fsdsp; no code point of theirs is reserved
        *_rows("D", 0xE003, 0x2000, 0x2002, 0xA000, 0xA002),
        # Zcb: c.lbu, c.sb; c.lhu, c.lh, c.sh; c.mul; c.zext.b to c.not; the others of these groups are reserved
        *_rows("Zcb", 0xFC03, 0x8000, 0x8800),
        *_rows("Zcb", 0xFC43, 0x8400, 0x8440, 0x8C00),
        *_rows("Zcb", 0xFC63, 0x9C41),
        *_rows("Zcb", 0xFC7F, 0x9C61, 0x9C65, 0x9C69, 0x9C6D, 0x9C71, 0x9C75),
        # Zcmop: c.lui with imm=0 and rd odd and below 16; Zicfiss has c.sspush and c.sspopchk among them
        *_rows("Zcmop", 0xF8FF, 0x6081),
    ]


def _scalar() -> list[_Row]:
    """Return the rows of 32-bit instructions on integer registers."""
    return [
        # Zbc: clmul, clmulr, clmulh; Zbkc has two of them
        *_rows("Zbc", _R, 0x0A001033, 0x0A002033, 0x0A003033),
        # Zbkb: pack, packh, packw (with rs2=0 it is Zbb's zext.h), brev8; zip and unzip are RV32's
        *_rows("Zbkb", _R, 0x08004033, 0x08007033, 0x0800403B),
        *_rows("Zbkb", _UNARY, 0x68705013),
        # Zbkx: xperm4, xperm8
        *_rows("Zbkx", _R, 0x28002033, 0x28004033),
        # Zknh: sha256sum0, sum1, sig0, sig1, sha512sum0, sum1, sig0, sig1
        *_rows("Zknh", _UNARY, *(0x10001013 | n << 20 for n in range(8))),
        # Zknd: aes64ds, aes64dsm, aes64im; Zkne: aes64es, aes64esm
        *_rows("Zknd", _R, 0x3A000033, 0x3E000033),
        *_rows("Zknd", _UNARY, 0x30001013),
        *_rows("Zkne", _R, 0x32000033, 0x36000033),
        # both: aes64ks2, and aes64ks1i whose rnum 0xb to 0xf are reserved
        *_rows("Zkne", _R, 0x7E000033),
        *_rows("Zkne", _UNARY, *(0x31001013 | rnum << 20 for rnum in range(11))),
        # Zksh: sm3p0, sm3p1; Zksed: sm4ed, sm4ks with any bs in the top two bits
        *_rows("Zksh", _UNARY, 0x10801013, 0x10901013),
        *_rows("Zksed", 0x3E00707F, 0x30000033, 0x34000033),
        # Zacas: amocas.q with rd and rs2 even, odd ones are reserved
        *_rows("Zacas", 0xF81070FF, 0x2800402F),
        # Zalasr: loads have rs2=0 and aq=1, stores rd=0 and rl=1; widths 1, 2, 4 and 8
        *_rows("Zalasr", 0xFDF0707F, *(0x3400002F | width << 12 for width in range(4))),
        *_rows("Zalasr", 0xFA007FFF, *(0x3A00002F | width << 12 for width in range(4))),
        # Zicfiss: ssamoswap.w, ssamoswap.d; its others are may-be-operations
        *_rows("Zicfiss", _AMO_R, 0x4800202F, 0x4800302F),
        # H: hfence.vvma, hfence.gvma; hinval.vvma and hinval.gvma need Svinval too
        *_rows("H", 0xFE007FFF, 0x22000073, 0x62000073, 0x26000073, 0x66000073),
        # H: hlv.b, .bu, .h, .hu, hlvx.hu, hlv.w, .wu, hlvx.wu, hlv.d; hsv.b, .h, .w, .d
        *_rows("H", _UNARY, 0x60004073, 0x60104073, 0x64004073, 0x64104073, 0x64304073),
        *_rows("H", _UNARY, 0x68004073, 0x68104073, 0x68304073, 0x6C004073),
        *_rows("H", 0xFE007FFF, 0x62004073, 0x66004073, 0x6A004073, 0x6E004073),
        # mnret, sctrclr, dret
        *_rows("Smrnmi", 0xFFFFFFFF, 0x70200073),
        *_rows("Ssctr", 0xFFFFFFFF, 0x10400073),
        *_rows("Sdext", 0xFFFFFFFF, 0x7B200073),
        # RISC-V opcode map: custom-0 to custom-3, which no ratified extension will take
        *_rows("custom", 0x7F, 0x0B, 0x2B, 0x5B, 0x7B),
        # privileged ISA, SYSTEM encodings designated for custom use: funct6 is 1---11, funct3 is 0
        *_rows("custom", 0x8C00707F, 0x8C000073),
    ]


def _rounding(name: str, mask: int, *matches: int) -> list[_Row]:
    # the rm field: 0 to 3, 4, and 7 for dynamic; 5 and 6 are reserved (F, floating-point control and status)
    modes = ((0x0000, 0x4000), (0x4000, 0x7000), (0x7000, 0x7000))
    return [(match | mode, mask | bits, name) for match in matches for mode, bits in modes]


def _floating() -> list[_Row]:
    """Return the rows of F, D, Zfh, Q, Zfa and Zfbfmin; those in integer registers (Zfinx) encode as these."""
    rows = []
    for width, name in ((1, "Zfh"), (2, "F"), (3, "D"), (4, "Q")):
        rows += _rows(name, 0x707F, _LOAD_FP | width << 12, _STORE_FP | width << 12)
    for fmt, name in _FORMATS:
        # fmadd, fmsub, fnmsub, fnmadd: the format is in bits 26:25
        rows += _rounding(name, 0x0600007F, *(opcode | fmt << 25 for opcode in (0x43, 0x47, 0x4B, 0x4F)))
        # OP-FP: funct5 and format make funct7
        funct5 = [n << 27 | fmt << 25 | _OP_FP for n in range(32)]
        # fadd, fsub, fmul, fdiv; fsqrt has rs2=0
        rows += _rounding(name, 0xFE00007F, *funct5[:4])
        rows += _rounding(name, 0xFFF0007F, funct5[0b01011])
        # fcvt from and to w, wu, l, lu
        integers = [n << 20 for n in range(4)]
        rows += _rounding(name, 0xFFF0007F, *(funct5[0b11000] | n for n in integers))
        rows += _rounding(name, 0xFFF0007F, *(funct5[0b11010] | n for n in integers))
        # fsgnj, fsgnjn, fsgnjx; fmin, fmax; fle, flt, feq
        rows += _rows(name, _R, *(funct5[0b00100] | rm << 12 for rm in range(3)))
        rows += _rows(name, _R, *(funct5[0b00101] | rm << 12 for rm in range(2)))
        rows += _rows(name, _R, *(funct5[0b10100] | rm << 12 for rm in range(3)))
        # fclass
        rows += _rows(name, _UNARY, funct5[0b11100] | 1 << 12)
        # Zfa: fminm, fmaxm; fleq, fltq; fli; fround, froundnx
        rows += _rows("Zfa", _R, *(funct5[0b00101] | rm << 12 for rm in (2, 3)))
        rows += _rows("Zfa", _R, *(funct5[0b10100] | rm << 12 for rm in (4, 5)))
        rows += _rows("Zfa", _UNARY, funct5[0b11110] | 1 << 20)
        rows += _rounding("Zfa", 0xFFF0007F, funct5[0b01000] | 4 << 20, funct5[0b01000] | 5 << 20)
        # fcvt between two formats, the source in the rs2 field; the rarer of the two names the extension
        for source, _ in _FORMATS:
            if source != fmt:
                rows += _rounding(_FORMATS[max(source, fmt)][1], 0xFFF0007F, funct5[0b01000] | source << 20)
    # fmv.x.w and its kin, and back; RV64 has none for Q
    for fmt, name in _FORMATS[:3]:
        rows += _rows(name, _UNARY, 0xE0000053 | fmt << 25, 0xF0000053 | fmt << 25)
    # Zfa on RV64: fmvh.x.q, fmvp.q.x; fcvtmod.w.d, whose rm is 1, others are reserved
    rows += _rows("Zfa", _UNARY, 0xE6100053, 0xC2801053)
    rows += _rows("Zfa", _R, 0xB6000053)
    # Zfbfmin: fcvt.s.bf16, fcvt.bf16.s
    rows += _rounding("Zfbfmin", 0xFFF0007F, 0x40600053, 0x44800053)
    return rows


_V_GROUPS = (
    # vector instruction listing: funct3, extension, what else is fixed (vm, vs2, vs1), the funct6 of each
    # OPIVV
    (0, "V", "- ----- -----", "00 02 04:07 09:0c 0e 11 13 18:1d 20:23 25 27:31"),
    (0, "V", "0 ----- -----", "10 12 17"),  # vadc, vsbc, vmerge
    (0, "V", "1 00000 -----", "17"),  # vmv.v.v
    (0, "Zvbb", "- ----- -----", "01 14 15 35"),  # vandn, vror, vrol, vwsll
    # OPIVX
    (4, "V", "- ----- -----", "00 02:07 09:0c 0e 0f 11 13 18:23 25 27:2f"),
    (4, "V", "0 ----- -----", "10 12 17"),
    (4, "V", "1 00000 -----", "17"),
    (4, "Zvbb", "- ----- -----", "01 14 15 35"),
    # OPIVI
    (3, "V", "- ----- -----", "00 03 09:0c 0e 0f 11 18 19 1c:21 25 28:2f"),
    (3, "V", "0 ----- -----", "10 17"),
    (3, "V", "1 00000 -----", "17"),
    (3, "Zvbb", "- ----- -----", "14 15 35"),  # the immediate of vror.vi has 6 bits, one in funct6
    # OPMVV
    (2, "V", "- ----- -----", "00:0b 20:27 29 2b 2d 2f:38 3a:3d 3f"),
    (2, "V", "1 ----- -----", "17:1f"),  # vcompress, and what is done with masks is not masked
    (2, "V", "1 ----- 00000", "10"),  # VWXUNARY0: vmv.x.s
    (2, "V", "- ----- 1000-", "10"),  # vcpop, vfirst
    (2, "V", "- ----- 0001-", "12"),  # VXUNARY0: vzext and vsext from an eighth
    (2, "V", "- ----- 001--", "12"),  # ... from a quarter, a half
    (2, "Zvbb", "- ----- 0100-", "12"),  # vbrev8, vrev8
    (2, "Zvbb", "- ----- 01010", "12"),  # vbrev
    (2, "Zvbb", "- ----- 0110-", "12"),  # vclz, vctz
    (2, "Zvbb", "- ----- 01110", "12"),  # vcpop.v
    (2, "V", "- ----- 00001", "14"),  # VMUNARY0: vmsbf
    (2, "V", "- ----- 0001-", "14"),  # vmsof, vmsif
    (2, "V", "- ----- 10000", "14"),  # viota
    (2, "V", "- 00000 10001", "14"),  # vid
    (2, "Zvbc", "- ----- -----", "0c 0d"),
    # OPMVX
    (6, "V", "- ----- -----", "08:0b 0e 0f 20:27 29 2b 2d 2f:38 3a:3f"),
    (6, "V", "1 00000 -----", "10"),  # VRXUNARY0: vmv.s.x
    (6, "Zvbc", "- ----- -----", "0c 0d"),
    # OPFVV
    (1, "V", "- ----- -----", "00:0a 18 19 1b 1c 20 24 28:34 36 38 3c:3f"),
    (1, "V", "1 ----- 00000", "10"),  # VWFUNARY0: vfmv.f.s
    (1, "V", "- ----- 000--", "12"),  # VFUNARY0: vfcvt
    (1, "V", "- ----- 0011-", "12"),  # ... towards zero
    (1, "V", "- ----- 010--", "12"),  # vfwcvt
    (1, "V", "- ----- 01100", "12"),
    (1, "V", "- ----- 0111-", "12"),
    (1, "V", "- ----- 10---", "12"),  # vfncvt
    (1, "Zvfbfmin", "- ----- 01101", "12"),
    (1, "Zvfbfmin", "- ----- 11101", "12"),
    (1, "V", "- ----- 00000", "13"),  # VFUNARY1: vfsqrt
    (1, "V", "- ----- 0010-", "13"),  # vfrsqrt7, vfrec7
    (1, "V", "- ----- 10000", "13"),  # vfclass
    (1, "Zvfbfwma", "- ----- -----", "3b"),
    # OPFVF
    (5, "V", "- ----- -----", "00 02 04 06 08:0a 0e 0f 18 19 1b:1d 1f:21 24 27:30 32 34 36 38 3c:3f"),
    (5, "V", "0 ----- -----", "17"),  # vfmerge
    (5, "V", "1 00000 -----", "10 17"),  # vfmv.s.f, vfmv.v.f
    (5, "Zvfbfwma", "- ----- -----", "3b"),
)

_VE_GROUPS = (
    # vector cryptography, all of funct3 OPMVV and with vm=1
    (2, "Zvksh", "1 ----- -----", "20 2b"),  # vsm3me, vsm3c
    (2, "Zvksed", "1 ----- -----", "21"),  # vsm4k
    (2, "Zvkned", "1 ----- -----", "22 2a"),  # vaeskf1, vaeskf2
    (2, "Zvkned", "1 ----- 000--", "28 29"),  # vaesdm, vaesdf, vaesem, vaesef
    (2, "Zvkned", "1 ----- 00111", "29"),  # vaesz
    (2, "Zvksed", "1 ----- 10000", "28 29"),  # vsm4r
    (2, "Zvkg", "1 ----- 10001", "28"),  # vgmul
    (2, "Zvkg", "1 ----- -----", "2c"),  # vghsh
    (2, "Zvknh", "1 ----- -----", "2d:2f"),  # vsha2ms, vsha2ch, vsha2cl
)


def _numbers(text: str) -> list[int]:
    """Return the numbers of a list such as "00 04:07", hexadecimal, ends included."""
    spans = [span.partition(":") for span in text.split()]
    return [n for low, _, high in spans for n in range(int(low, 16), int(high or low, 16) + 1)]


def _operation(opcode: int, funct3: int, name: str, fixed: str, funct6s: str) -> list[_Row]:
    digits = fixed.replace(" ", "")  # bits 25 to 15
    match = int(digits.replace("-", "0"), 2) << 15
    mask = int(digits.replace("0", "1").replace("-", "0"), 2) << 15
    return [(n << 26 | match | funct3 << 12 | opcode, 0xFC00707F | mask, name) for n in _numbers(funct6s)]


def _vector() -> list[_Row]:
    """Return the rows of V and of what extends it."""
    rows = [row for group in _V_GROUPS for row in _operation(_OP_V, *group)]
    rows += [row for group in _VE_GROUPS for row in _operation(_OP_VE, *group)]
    # OPCFG: vsetvli, vsetivli, vsetvl; a vtype that is not supported sets vill and is no illegal instruction
    rows += [(0x00007057, 0x8000707F, "V"), (0xC0007057, 0xC000707F, "V"), (0x80007057, _R, "V")]
    # vmv<nr>r.v: 1, 2, 4 or 8 registers by vs1, from and to a multiple; other counts are reserved
    for count in (1, 2, 4, 8):
        aligned = (count - 1) << 20 | (count - 1) << 7
        rows.append((0x9E003057 | (count - 1) << 15, 0xFE0FF07F | aligned, "V"))
    # loads and stores of elements, in the widths that LOAD-FP and STORE-FP have left; mew=1 is reserved
    for opcode in (_LOAD_FP, _STORE_FP):
        for width in (0, 5, 6, 7):
            rows += _memory(opcode, opcode | width << 12)
    return rows


def _memory(opcode: int, word: int) -> Iterable[_Row]:
    mew, unit_stride = 0x1000707F, 0x1DF0707F  # the masks: mew; mew, mop and lumop
    # indexed, strided, indexed in order; with nf they have segments
    yield from _rows("V", mew | 0x0C000000, *(word | mop << 26 for mop in (1, 2, 3)))
    yield word, unit_stride, "V"
    width = word >> 12 & 7
    if opcode == _LOAD_FP:
        yield word | 0b10000 << 20, unit_stride, "V"  # fault-only-first
    if width == 0:
        yield word | 1 << 25 | 0b01011 << 20, 0xFFF0707F, "V"  # vlm, vsm: not masked, nf=0
    if width == 0 or opcode == _LOAD_FP:
        # whole registers: not masked, 1, 2, 4 or 8 of them by nf, vd a multiple; stores have width 8 only
        for count in (1, 2, 4, 8):
            yield word | (count - 1) << 29 | 1 << 25 | 0b01000 << 20, 0xFFF0707F | (count - 1) << 7, "V"


def _bucket_of(word: int) -> int:
    # quadrant, or major opcode
    return word & 0x7F if word & 0b11 == 0b11 else word & 0b11


def _indexed(rows: Iterable[_Row]) -> dict[int, list[_Row]]:
    buckets: dict[int, list[_Row]] = {}
    for row in rows:
        buckets.setdefault(_bucket_of(row[0]), []).append(row)
    return buckets


ROWS = (*_parcels(), *_scalar(), *_floating(), *_vector())
"""Match, mask and extension of every encoding that is named here."""

_BUCKETS = _indexed(ROWS)


def foreign(word: int) -> str:
    """Return the extension that an encoding belongs to which `decode` does not know.

    Args:
        word: 32 bits, the first parcel in the low half; the high half is ignored if that parcel is a
            whole instruction.
    Returns:
        Its name as the manual has it, one of them if it is in several; "custom" for what is left to vendors;
        "" if the encoding is reserved in every ratified extension, or longer than 32 bits. Of a word that
        decode() knows the answer means nothing.
    """
    word = int(word)
    size = insn_size(word & 0xFFFF)
    word &= (1 << 8 * size) - 1
    return next((name for match, mask, name in _BUCKETS.get(_bucket_of(word), ()) if word & mask == match), "")
