# SPDX-License-Identifier: GPL-2.0-or-later
"""The ways of putting a call into a function, one record each. To add a scheme, add a record."""

from __future__ import annotations

from dataclasses import replace

from ..errors import SchemeError
from ..isa.encoding import REACH_JAL, REACH_LO12, REACH_PCREL
from .model import CallScheme, Link, Need, OpsIn, Place, Store, Traits, named

_RA, _T0 = Link.RA, Link.T0
_STOPPED = frozenset({Need.STOP_MACHINE, Need.NO_PREEMPTION})
_LIVE = frozenset({Need.ZICCIF, Need.REMOTE_FENCE_I})

_SLED_16 = Store(at=0, width=16, what="the whole sled")
_PAIR = Store(at=0, width=8, what="auipc and jalr")
_TWO_NOPS = Store(at=0, width=8, what="two nops")
_AUIPC_NOP = Store(at=0, width=8, what="auipc and nop")
_JALR = Store(at=4, width=4, what="jalr")
_JALR_NOP = Store(at=4, width=4, what="nop")
_JAL, _JAL_NOP = Store(at=0, width=4, what="jal"), Store(at=0, width=4, what="nop")
_OPS = Store(at=-8, width=8, what="the ops pointer", is_data=True, is_published=True)
_NOP_OPS = replace(_OPS, what="the ops pointer of nop")
_SLOT, _NOP_SLOT = (replace(each, at=0, place=Place.SLOT) for each in (_OPS, _NOP_OPS))
_TEXT = Store(at=0, width=0, what="the trampoline", place=Place.TRAMPOLINE, is_published=True)

_CALL = ("auipc t0, {hi20}", "jalr t0, {lo12}(t0)")
_RA_CALL = ("sd ra, -8(sp)", "auipc ra, {hi20}", "jalr ra, {lo12}(ra)", "ld ra, -8(sp)")
_NOPS_2, _NOPS_4 = ("nop",) * 2, ("nop",) * 4

MCOUNT_RA16 = CallScheme(
    name="mcount-ra16",
    owner="ftrace",
    summary="16-byte sled: save ra, auipc ra, jalr ra, restore ra; all four words patched",
    before=0,
    after=16,
    alignment=4,
    ip_offset=0,
    link=_RA,
    disabled=_NOPS_4,
    enabled=_RA_CALL,
    init=(_SLED_16,),
    enable=(_SLED_16,),
    change=(replace(_PAIR, at=4),),
    disable=(_SLED_16,),
    ops_in=OpsIn.OWN,
    reach=REACH_PCREL,
    clobbers=frozenset(),
    needs=_STOPPED,
    traits=Traits(before=0, after=16, ip_offset=0, link=_RA, literal=0),
    source='linux afc76b8b8011 ("riscv: Using PATCHABLE_FUNCTION_ENTRY instead of MCOUNT"), v5.12',
)

PAIR_T0 = CallScheme(
    name="pair-t0",
    owner="ftrace",
    summary="8-byte sled: auipc t0 + jalr t0, both words patched under stop_machine",
    before=0,
    after=8,
    alignment=4,
    ip_offset=0,
    link=_T0,
    disabled=_NOPS_2,
    enabled=_CALL,
    init=(_TWO_NOPS,),
    enable=(_PAIR,),
    change=(_PAIR,),
    disable=(_TWO_NOPS,),
    ops_in=OpsIn.OWN,
    reach=REACH_PCREL,
    clobbers=frozenset({"t0"}),
    needs=_STOPPED,
    traits=Traits(before=0, after=8, ip_offset=0, link=_T0, literal=0, call_width=8),
    source='linux 6724a76cff85 ("riscv: ftrace: Reduce the detour code size to half"), v6.3',
)

PAIR_ALIGNED8 = replace(
    PAIR_T0,
    name="pair-aligned8",
    summary="pair-t0 on a multiple of 8, both words patched by one 8-byte store",
    alignment=8,
    needs=frozenset({Need.FUSED_PAIR, Need.STORE_8, Need.REMOTE_FENCE_I}),
    traits=Traits(),
    refines="pair-t0",
    source="linux-riscv 20230107133549.4192639-2-guoren@kernel.org, replies of January 2023",
)

NOP_JALR = CallScheme(
    name="nop-jalr",
    owner="ftrace",
    summary="8-byte sled of which one word is patched: nop <-> jalr t0 relative to gp, for trampolines near gp",
    before=0,
    after=8,
    alignment=4,
    ip_offset=4,
    link=_T0,
    disabled=_NOPS_2,
    enabled=("nop", "jalr t0, {lo12}(gp)"),
    init=(_TWO_NOPS,),
    enable=(_JALR,),
    change=(_JALR,),
    disable=(_JALR_NOP,),
    ops_in=OpsIn.OWN,
    base="gp",
    reach=REACH_LO12,
    clobbers=frozenset({"t0"}),
    needs=_LIVE,
    traits=Traits(),
    source="linux-riscv 20230107133549.4192639-2-guoren@kernel.org, replies of January 2023",
)

DETOUR_24 = CallScheme(
    name="detour-24",
    owner="ftrace",
    summary="24-byte sled: a jump over it <-> auipc t0, whose successors load the target beside them and call it",
    before=0,
    after=24,
    alignment=8,
    ip_offset=0,
    link=_T0,
    disabled=("jal zero, . + 24", "ld t1, 16(t0)", "jalr t0, 0(t1)", "jal zero, . + 12", ".dword 0"),
    enabled=("auipc t0, 0", "ld t1, 16(t0)", "jalr t0, 0(t1)", "jal zero, . + 12", ".dword {target}"),
    init=(Store(at=0, width=24, what="the whole sled"),),
    enable=(
        Store(at=16, width=8, what="the target", is_data=True, is_published=True),
        Store(at=0, width=4, what="auipc"),
    ),
    change=(Store(at=16, width=8, what="the target", is_data=True),),
    disable=(Store(at=0, width=4, what="jump over the sled"),),
    ops_in=OpsIn.OWN,
    reach=range(-(2**63), 2**63 - 1),  # anywhere
    clobbers=frozenset({"t0", "t1"}),
    needs=_LIVE | {Need.STORE_8},
    traits=Traits(before=0, after=24, ip_offset=0, link=_T0, literal=0),
    source="linux-riscv 20230107133549.4192639-2-guoren@kernel.org, replies of January 2023",
)

AUIPC_FIXED = CallScheme(
    name="auipc-fixed",
    owner="ftrace",
    summary="8-byte sled: auipc written once, only jalr <-> nop; one dispatcher for all",
    before=0,
    after=8,
    alignment=4,
    ip_offset=4,
    link=_T0,
    disabled=(_CALL[0], "nop"),
    enabled=_CALL,
    init=(_AUIPC_NOP,),
    enable=(_SLOT, _JALR),
    change=(_SLOT,),
    disable=(_NOP_SLOT, _JALR_NOP),
    ops_in=OpsIn.SLOT,
    frozen_auipc=True,
    reach=REACH_PCREL,
    clobbers=frozenset({"t0"}),
    needs=_LIVE,
    traits=Traits(before=0, after=8, ip_offset=4, link=_T0, literal=0, call_width=4),
    source='linux b2137c3b6d7a ("riscv: ftrace: prepare ftrace for atomic code patching"), v6.16',
)

JAL_DISPATCH = CallScheme(
    name="jal-dispatch",
    owner="ftrace",
    summary="one word, nop <-> jal t0 to a dispatcher within 1 MiB, which loads the ops pointer at func - 8",
    before=8,
    after=4,
    alignment=8,
    ip_offset=0,
    link=_T0,
    disabled=("nop",),
    enabled=("jal t0, {target}",),
    init=(_NOP_OPS, _JAL_NOP),
    enable=(_OPS, _JAL),
    change=(_OPS,),
    disable=(_NOP_OPS, _JAL_NOP),
    ops_in=OpsIn.LITERAL,
    literal=-8,
    reach=REACH_JAL,
    clobbers=frozenset({"t0"}),
    needs=_LIVE | {Need.STORE_8},
    traits=Traits(before=8, after=4, ip_offset=0, link=_T0, literal=-8, call_width=4),
    source="linux-riscv, Björn Töpel on CALL_OPS, option B, 14 March 2024",
)

_FAR_OPS, _FAR_NOP_OPS = replace(_OPS, at=-32), replace(_NOP_OPS, at=-32)

JAL_PER_FUNC = replace(
    JAL_DISPATCH,
    name="jal-per-func",
    summary="nop <-> jal t0 to a dispatcher of the function's own, right below it, beside the ops pointer",
    before=32,
    init=(_FAR_NOP_OPS, Store(at=-24, width=24, what="the dispatcher"), _JAL_NOP),
    enable=(_FAR_OPS, _JAL),
    change=(_FAR_OPS,),
    disable=(_FAR_NOP_OPS, _JAL_NOP),
    literal=-32,
    dispatcher=-24,
    clobbers=frozenset({"t0", "t1"}),
    traits=Traits(before=32, after=4, ip_offset=0, link=_T0, literal=0, call_width=4),
    source="linux-riscv, Björn Töpel on CALL_OPS, option C, 14 March 2024",
)

CALL_OPS = CallScheme(
    name="call-ops",
    owner="ftrace",
    summary="auipc written once, jalr <-> nop, the ops pointer at func - 8 loaded by one trampoline",
    before=8,
    after=8,
    alignment=8,
    ip_offset=4,
    link=_T0,
    disabled=(_CALL[0], "nop"),
    enabled=_CALL,
    init=(_NOP_OPS, _AUIPC_NOP),
    enable=(_OPS, _JALR),
    change=(_OPS, _JALR),  # the same jalr again
    disable=(_NOP_OPS, _JALR_NOP),
    ops_in=OpsIn.LITERAL,
    literal=-8,
    frozen_auipc=True,
    reach=REACH_PCREL,
    clobbers=frozenset({"t0"}),
    needs=_LIVE | {Need.STORE_8},
    traits=Traits(before=8, after=8, ip_offset=4, link=_T0, literal=-8, call_width=4),
    source='linux c217157bcd1d ("riscv: Implement HAVE_DYNAMIC_FTRACE_WITH_CALL_OPS"), v6.16',
)

CALL_OPS_DIRECT = replace(
    CALL_OPS,
    name="call-ops-direct",
    summary="call-ops whose trampoline takes ops->direct_call before it makes a frame",
    direct_call=True,
    clobbers=frozenset({"t0", "t1"}),
    traits=replace(CALL_OPS.traits, direct=True),
    refines="call-ops",
    source='linux b21cdb9523e5 ("riscv: ftrace: support direct call using call_ops"), v6.16',
)

DYNAMIC_TRAMPOLINE = replace(
    PAIR_T0,
    name="dynamic-trampoline",
    summary="pair-t0 to a trampoline that is allocated for one tracer and knows its ops",
    enable=(_TEXT, _PAIR),
    change=(_TEXT, _PAIR),
    traits=Traits(),
    refines="pair-t0",
    source="linux-riscv, Puranjay Mohan and Björn Töpel on CALL_OPS, 14 March 2024",
)

_CFI_OPS, _CFI_NOP_OPS = replace(_OPS, at=-16), replace(_NOP_OPS, at=-16)

CALL_OPS_CFI = replace(
    CALL_OPS,
    name="call-ops-cfi",
    summary="call-ops behind a landing pad, the ops pointer at func - 16, above it a kCFI hash at func - 4",
    before=16,
    after=12,
    ip_offset=8,
    disabled=("auipc zero, 0", _CALL[0], "nop"),
    enabled=("auipc zero, 0", *_CALL),
    init=(_CFI_NOP_OPS, replace(_AUIPC_NOP, at=4)),
    enable=(_CFI_OPS, replace(_JALR, at=8)),
    change=(_CFI_OPS, replace(_JALR, at=8)),
    disable=(_CFI_NOP_OPS, replace(_JALR_NOP, at=8)),
    literal=-16,
    below=((-8, "nop"), (-4, ".word 0x5f3c21d7")),
    needs=CALL_OPS.needs | {Need.LANDING_PAD},
    traits=Traits(before=16, after=12, ip_offset=8, link=_T0, literal=-8, call_width=4),
    source="call-ops beside -fsanitize=kcfi and Zicfilp, by analogy with BTI on arm64",
)

BPF_FENTRY = CallScheme(
    name="bpf-fentry",
    owner="bpf",
    summary="the sled of BPF programs: two nops that become auipc t0 + jalr t0, or a jump",
    before=0,
    after=8,
    alignment=4,
    ip_offset=0,
    link=_T0,
    disabled=_NOPS_2,
    enabled=_CALL,
    init=(_TWO_NOPS,),
    enable=(_PAIR,),
    change=(_PAIR,),
    disable=(_TWO_NOPS,),
    ops_in=OpsIn.OWN,
    reach=REACH_PCREL,
    clobbers=frozenset({"t0", "t1"}),
    needs=_STOPPED,
    traits=Traits(),
    source='linux 25ad10658dc1 ("riscv, bpf: Adapt bpf trampoline to optimized riscv ftrace framework"), v6.6',
)

BPF_FENTRY_RA16 = replace(
    BPF_FENTRY,
    name="bpf-fentry-ra16",
    summary="the older sled of BPF programs: four nops that become save ra, auipc ra, jalr ra, restore ra",
    after=16,
    link=_RA,
    disabled=_NOPS_4,
    enabled=_RA_CALL,
    init=(_SLED_16,),
    enable=(_SLED_16,),
    change=(_SLED_16,),
    disable=(_SLED_16,),
    clobbers=frozenset(),
    refines="bpf-fentry",
    source='linux before 25ad10658dc1 ("riscv, bpf: Adapt bpf trampoline to optimized riscv ftrace framework"), v6.6',
)

CATALOG = named((
    MCOUNT_RA16, PAIR_T0, PAIR_ALIGNED8, NOP_JALR, DETOUR_24, AUIPC_FIXED, JAL_DISPATCH, JAL_PER_FUNC, CALL_OPS,
    CALL_OPS_DIRECT, DYNAMIC_TRAMPOLINE, CALL_OPS_CFI, BPF_FENTRY, BPF_FENTRY_RA16,
))  # fmt: skip


def get_scheme(name: str) -> CallScheme:
    """Return a scheme by name; SchemeError names the known ones."""
    if name not in CATALOG:
        raise SchemeError(f"unknown scheme {name!r}; known: {', '.join(sorted(CATALOG))}")
    return CATALOG[name]
