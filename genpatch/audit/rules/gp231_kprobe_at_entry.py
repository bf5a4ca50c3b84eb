# SPDX-License-Identifier: GPL-2.0-or-later
"""GP231: a kprobe can be put on a function's first instruction."""

from __future__ import annotations

from collections.abc import Iterator

from ..cases import PAIR_CODE, SITES_AT, Fn, clean, fires, kernel
from ..facts import Facts
from ..model import Finding, Severity, Skip, plural, where
from ..registry import rule

_KPROBES = {"register_kprobe": SITES_AT + 0x9000}
_ON_FTRACE = {**_KPROBES, "kprobe_ftrace_handler": SITES_AT + 0x9100}


@rule(
    "GP231",
    "kprobe-at-entry-refused",
    severity=Severity.WARNING,
    applies="kernel",
    source="linux kernel/kprobes.c (check_ftrace_location): a probe on an ftrace site needs KPROBES_ON_FTRACE",
    cases=(
        clean(lambda: kernel(Fn(name="one"), symbols=_KPROBES)),
        clean(lambda: kernel(Fn(name="one", before=0), code=PAIR_CODE, symbols=_ON_FTRACE)),
        fires(lambda: kernel(Fn(name="one", before=0), code=PAIR_CODE, symbols=_KPROBES), "EINVAL"),
    ),
)
def kprobe_at_entry_refused(facts: Facts) -> Iterator[Finding]:
    """kprobes on the entry of traceable functions are refused with EINVAL.

    ## What it checks
    Whether ftrace's site address is the function symbol itself, in a kernel that has kprobes but no
    KPROBES_ON_FTRACE (no kprobe_ftrace_handler).

    ## Why it matters
    A kprobe by function name lands on the site, which the kernel reserves for ftrace: every probe on a
    traceable function fails, and so do bpftrace's kprobe:name and perf probe.

    ## Remedy
    Let the site be the jalr at func + 4 (as 6.16 and later do), or support KPROBES_ON_FTRACE. Users can probe
    func + 8 or use fprobe.

    ## References
    kernel/kprobes.c; linux 7caa9765465f ("ftrace: riscv: move from REGS to ARGS"), which dropped KPROBES_ON_FTRACE.
    """
    sites = facts.need_sites()
    if facts.image.address_of("register_kprobe") is None:
        raise Skip("the kernel has no kprobes")
    if facts.ip is None:
        raise Skip("where ftrace patches could not be read")
    if facts.image.address_of("kprobe_ftrace_handler") is not None:
        return
    hit = where((facts.ip == sites.func) & sites.named)
    if len(hit):
        yield facts.about_sites(
            hit,
            f"{plural(len(hit), 'function')} cannot be probed at their entry: ftrace's site is the first "
            "instruction and there is no KPROBES_ON_FTRACE (register_kprobe returns -EINVAL)",
            "einval",
        )
