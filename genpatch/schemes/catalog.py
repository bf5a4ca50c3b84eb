# SPDX-License-Identifier: GPL-2.0-or-later
"""The schemes that an audit recognises, one record each. To add a scheme, add a record."""

from __future__ import annotations

from ..errors import SchemeError
from ..isa.encoding import REACH_PCREL
from .model import CallScheme, Link, Need, Store, Traits, named

_RA, _T0 = Link.RA, Link.T0
_STOPPED = frozenset({Need.STOP_MACHINE, Need.NO_PREEMPTION})
_LIVE = frozenset({Need.ZICCIF, Need.REMOTE_FENCE_I})

MCOUNT_RA16 = CallScheme(
    name="mcount-ra16",
    owner="ftrace",
    summary="16-byte sled: save ra, auipc ra, jalr ra, restore ra; all four words patched",
    before=0,
    after=16,
    alignment=4,
    ip_offset=0,
    link=_RA,
    disabled=("nop", "nop", "nop", "nop"),
    enabled=("sd ra, -8(sp)", "auipc ra, {hi20}", "jalr ra, {lo12}(ra)", "ld ra, -8(sp)"),
    enable=(Store(at=0, width=16, what="the whole sled"),),
    init=(Store(at=0, width=16, what="the whole sled"),),
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
    disabled=("nop", "nop"),
    enabled=("auipc t0, {hi20}", "jalr t0, {lo12}(t0)"),
    enable=(Store(at=0, width=8, what="auipc and jalr"),),
    init=(Store(at=0, width=8, what="two nops"),),
    reach=REACH_PCREL,
    clobbers=frozenset({"t0"}),
    needs=_STOPPED,
    traits=Traits(before=0, after=8, ip_offset=0, link=_T0, literal=0, call_width=8),
    source='linux 6724a76cff85 ("riscv: ftrace: Reduce the detour code size to half"), v6.3',
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
    disabled=("auipc t0, {hi20}", "nop"),
    enabled=("auipc t0, {hi20}", "jalr t0, {lo12}(t0)"),
    enable=(Store(at=4, width=4, what="jalr"),),
    init=(Store(at=0, width=8, what="auipc and nop"),),
    frozen_auipc=True,
    reach=REACH_PCREL,
    clobbers=frozenset({"t0"}),
    needs=_LIVE,
    traits=Traits(before=0, after=8, ip_offset=4, link=_T0, literal=0, call_width=4),
    source='linux b2137c3b6d7a ("riscv: ftrace: prepare ftrace for atomic code patching"), v6.16',
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
    disabled=("auipc t0, {hi20}", "nop"),
    enabled=("auipc t0, {hi20}", "jalr t0, {lo12}(t0)"),
    enable=(Store(at=-8, width=8, what="the ops pointer"), Store(at=4, width=4, what="jalr")),
    init=(Store(at=-8, width=8, what="the ops pointer"), Store(at=0, width=8, what="auipc and nop")),
    literal=-8,
    frozen_auipc=True,
    reach=REACH_PCREL,
    clobbers=frozenset({"t0"}),
    needs=_LIVE | {Need.STORE_8},
    traits=Traits(before=8, after=8, ip_offset=4, link=_T0, literal=-8, call_width=4),
    source='linux c217157bcd1d ("riscv: Implement HAVE_DYNAMIC_FTRACE_WITH_CALL_OPS"), v6.16',
)

CALL_OPS_DIRECT = CallScheme(
    name="call-ops-direct",
    owner="ftrace",
    summary="call-ops whose trampoline takes ops->direct_call before it makes a frame",
    before=8,
    after=8,
    alignment=8,
    ip_offset=4,
    link=_T0,
    disabled=CALL_OPS.disabled,
    enabled=CALL_OPS.enabled,
    enable=CALL_OPS.enable,
    init=CALL_OPS.init,
    literal=-8,
    frozen_auipc=True,
    reach=REACH_PCREL,
    clobbers=frozenset({"t0", "t1"}),
    needs=CALL_OPS.needs,
    traits=Traits(before=8, after=8, ip_offset=4, link=_T0, literal=-8, direct=True, call_width=4),
    refines="call-ops",
    source='linux b21cdb9523e5 ("riscv: ftrace: support direct call using call_ops"), v6.16',
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
    disabled=("nop", "nop"),
    enabled=("auipc t0, {hi20}", "jalr t0, {lo12}(t0)"),
    enable=(Store(at=0, width=8, what="auipc and jalr"),),
    init=(Store(at=0, width=8, what="two nops"),),
    reach=REACH_PCREL,
    clobbers=frozenset({"t0", "t1"}),
    needs=_STOPPED,
    traits=Traits(),
    source='linux 25ad10658dc1 ("riscv, bpf: Adapt bpf trampoline to optimized riscv ftrace framework"), v6.6',
)

CATALOG = named((MCOUNT_RA16, PAIR_T0, AUIPC_FIXED, CALL_OPS, CALL_OPS_DIRECT, BPF_FENTRY))


def get_scheme(name: str) -> CallScheme:
    """Return a scheme by name; SchemeError names the known ones."""
    if name not in CATALOG:
        raise SchemeError(f"unknown scheme {name!r}; known: {', '.join(sorted(CATALOG))}")
    return CATALOG[name]
