# SPDX-License-Identifier: GPL-2.0-or-later
"""GP403: what patches is not itself patched."""

from __future__ import annotations

import re
from collections.abc import Iterator

import numpy as np

from ...schemes.model import Need
from ...units import U64Array
from ..cases import PAIR_CODE, TEXT, Code, Fn, clean, fires, kernel
from ..facts import Facts, join_names
from ..model import Finding, Severity, plural
from ..registry import rule

_NAMES = (
    "patch_insn_write", "patch_insn_set", "__patch_insn_write", "__patch_insn_set", "patch_map", "patch_unmap",
    "patch_text_nosync", "patch_text_set_nosync", "patch_text_cb", "__set_fixmap", "flush_icache_all",
    "flush_icache_mm", "local_flush_icache_all", "sbi_remote_fence_i", "__sbi_rfence_v01", "__sbi_rfence_v02",
    "__sbi_rfence_v02_call", "__sbi_ecall", "sbi_ecall", "ftrace_make_call", "ftrace_make_nop", "ftrace_init_nop",
    "ftrace_modify_call", "ftrace_update_ftrace_func", "ftrace_caller", "ftrace_regs_caller", "return_to_handler",
    "ftrace_stub", "arch_ftrace_ops_list_func", "ftrace_graph_func", "ftrace_return_to_handler",
    "prepare_ftrace_return", "arch_rethook_trampoline",
)  # fmt: skip
"""Routines that run while text is written, or between a site and its callback."""

_FIRMWARE = ("sbi_remote_fence_i", "__sbi_rfence_v01", "__sbi_rfence_v02", "__sbi_ecall", "sbi_ecall")
_REPORTS = re.compile("printk|warn|report|_fail|handle_")

_SPIN = (
    *PAIR_CODE,
    Code(
        name="multi_cpu_stop",
        source="addi sp, sp, -16\n sd ra, 0(sp)\n jal ra, relax\n ld ra, 0(sp)\n addi sp, sp, 16\n jalr zero, 0(ra)",
        at=TEXT + 0x600,
    ),
    Code(name="relax", source="addi zero, zero, 0\n addi zero, zero, 0\n jalr zero, 0(ra)", at=TEXT + 0x640),
)


@rule(
    "GP403",
    "traced-patching-path",
    severity=Severity.WARNING,
    applies="kernel",
    source='linux 4230e2deaa48 ("stop_machine, rcu: Mark functions as notrace"), v5.10',
    cases=(
        clean(lambda: kernel(Fn(name="one"))),
        clean(lambda: kernel(Fn(name="one", before=0), code=_SPIN)),
        fires(lambda: kernel(Fn(name="one"), Fn(name="patch_map")), "patch_map"),
        fires(
            lambda: kernel(Fn(name="one", before=0), code=_SPIN, table=(TEXT + 0x640, TEXT + 0x1000)),
            "waiting harts call relax",
        ),
    ),
)
def traced_patching_path(facts: Facts) -> Iterator[Finding]:
    """A function that patching runs through is itself a patch site.

    ## What it checks
    Whether routines that write text, flush instruction caches, call the firmware for a remote fence.i, or run
    between a site and its callback are in the site table. For schemes that stop the machine also what the
    waiting harts call: the direct calls of multi_cpu_stop.

    ## Why it matters
    Tracing a routine while it changes the text it runs through recurses, or executes half of a change. Harts
    that wait in stop_machine must not run through any sled that is being rewritten.

    ## Remedy
    Mark the function notrace, or build its file without CC_FLAGS_FTRACE.

    ## References
    arch/riscv/kernel/Makefile (CFLAGS_REMOVE_*); arch/riscv/mm/Makefile; kernel/stop_machine.c.
    """
    sites, symbols = facts.need_sites(), facts.image.symbols
    indices = [index for name in _NAMES for index in (*symbols.indices(name), *symbols.with_prefix(f"{name}."))]
    path = np.concatenate([symbols.address[indices], _called_by_sbi(facts)]).astype(np.uint64)
    hit = np.flatnonzero(np.isin(sites.func, path))
    if len(hit):
        names = join_names((facts.site_name(int(site)) for site in hit), limit=6)
        yield facts.about_sites(
            hit,
            f"{plural(len(hit), 'routine')} of the patching path can be traced: {names}",
            "path",
            subject=names,
        )
    yield from _waiting(facts)


def _called_by_sbi(facts: Facts) -> U64Array:
    """Return what the firmware calls call themselves, error messages aside: uint64[k]."""
    targets = [
        call.target
        for name in _FIRMWARE
        if (routine := facts.code.routine(name)) is not None
        for call in routine.calls()
        if call.target is not None and not _REPORTS.search(facts.symbol_at(call.target))
    ]
    return np.array(sorted(set(targets)), np.uint64)


def _waiting(facts: Facts) -> Iterator[Finding]:
    """Find sites among what harts call while they wait in stop_machine."""
    routine = facts.code.routine("multi_cpu_stop")
    if facts.scheme is None or Need.STOP_MACHINE not in facts.scheme.needs or routine is None:
        return
    targets = np.unique(np.array([call.target for call in routine.calls() if call.target is not None], np.uint64))
    hit = np.flatnonzero(np.isin(facts.sites.func, targets))
    if len(hit):
        names = join_names((facts.site_name(int(site)) for site in hit), limit=6)
        yield facts.about_sites(
            hit, f"while the machine is stopped waiting harts call {names}, which can be traced", "waiting",
            level=Severity.ERROR, subject=names,
        )  # fmt: skip
