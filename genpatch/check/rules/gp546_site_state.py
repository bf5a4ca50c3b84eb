# SPDX-License-Identifier: GPL-2.0-or-later
"""GP546: what ftrace.c leaves in a site is a call of what it was asked to call, and the right ops."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from ..change import Change, Texts
from ..ctree import same_code, trees_of
from ..frames import ARCH, ASSEMBLY, taken
from ..layout import CALL_OPS, COUNTED, FTRACE, HEADER, Layout, layouts
from ..model import Place, Problem, Skip
from ..offsets import ROOTS
from ..registry import source_rule

if TYPE_CHECKING:
    from ..sitecode import SiteFault

_GRAPH = ("ftrace_enable_ftrace_graph_caller", "ftrace_disable_ftrace_graph_caller")
_COMPRESSED = "CONFIG_RISCV_ISA_C"
_ON = dict.fromkeys(
    ("", "_WITH_ARGS", "_WITH_REGS", "_WITH_DIRECT_CALLS"), True
)  # of CONFIG_DYNAMIC_FTRACE: all the code there is


@source_rule("GP546", "site-state")
def site_state(change: Change) -> Iterable[Problem]:
    """ftrace.c makes a site call something else than it was asked to, or with the wrong ops before it.

    ## What it checks
    The functions of ftrace.c are run on a site in memory, with CALL_OPS and without, one after the other as
    ftrace's core calls them: initialised, enabled for targets near to ftrace_caller and far from it, changed,
    disabled. Each time the call must go to the target or to ftrace_caller, the pointer before the function must
    be the ops that it is traced by and never null, and no call may be left in the end. Only what the patch
    brings is reported.

    ## Why it matters
    A test of the reach that is turned round makes a jump to no function; a pointer that was not written makes
    the trampoline call through null, or through the ops of a tracer that is gone.

    ## Remedy
    Write the ops before the call in everything that changes a site, with ftrace_list_ops where there is no
    single one, and go through ftrace_caller where the target is out of the auipc's reach.

    ## References
    arch/riscv/kernel/ftrace.c; arch/riscv/include/asm/ftrace.h; kernel/trace/ftrace.c.
    """
    if {FTRACE, HEADER}.isdisjoint(change.paths):
        return
    if not any(f"{ROOTS[1]}(" in _text(texts) for texts in (change.before, change.after)):
        return
    if HEADER not in change.paths and same_code(_text(change.before), _text(change.after), (*ROOTS, *COUNTED, *_GRAPH)):
        return
    every = list(_each(change.after))
    said: dict[str, list[tuple[SiteFault, Layout]]] = {}
    for layout in every:
        for fault in _new(change, layout):
            said.setdefault(fault.message, []).append((fault, layout))
    for message, some in said.items():
        fault, layout = some[0]
        ops = dict(layout.options).get(CALL_OPS)
        where = f" ({CALL_OPS.removeprefix('CONFIG_')}={'y' if ops else 'n'})" if len(some) < len(every) else ""
        yield Problem(fault.key, _places(change, fault.function), f"{message}{where}")


def _text(texts: Texts) -> str:
    return texts.read(FTRACE) or ""


def _each(texts: Texts) -> Iterator[Layout]:
    """Yield the layouts that differ for what is run: how many bytes an instruction may have makes no difference."""
    return (each for each in layouts(texts) if not dict(each.options).get(_COMPRESSED, False))


def _new(change: Change, layout: Layout) -> list[SiteFault]:
    found, why = _run(change.after, layout)
    if not found and not why:
        return []
    if why:
        raise Skip(f"{FTRACE} does what is not understood: {why}")
    before = list(_each(change.before))
    same = [each for each in before if each.options == layout.options]
    ran = [_run(change.before, old) for old in same or before]
    for _, was_why in ran:
        if was_why:
            raise Skip(f"{FTRACE} did what is not understood: {was_why}")
    known = {each.key for was, _ in ran for each in was}
    return [each for each in found if each.key not in known and not (each.is_refusal and _has_one_target(change.after))]


def _has_one_target(texts: Texts) -> bool:
    """Tell whether sites call ftrace_caller alone: no direct calls, no trampoline for all registers."""
    offers = re.search(r"^\s*select HAVE_DYNAMIC_FTRACE_WITH_DIRECT_CALLS\b", texts.read(ARCH) or "", re.M)
    return offers is None and "ftrace_regs_caller" not in (texts.read(ASSEMBLY[0]) or "")


def _run(texts: Texts, layout: Layout) -> tuple[list[SiteFault], str]:
    """Return what is wrong, and why it cannot be told."""
    from ..cexec import NotRun  # loaded only where it is needed
    from ..sitecode import site_faults

    header = texts.read(HEADER) or ""
    options = {f"CONFIG_DYNAMIC_FTRACE{name}": on for name, on in _ON.items()} | dict(layout.options)
    options["CONFIG_FUNCTION_GRAPH_TRACER"] = True
    try:
        source, constants = taken(_text(texts), options), taken(header, options)
        return site_faults(source, constants, header, options, layout.before), ""
    except NotRun as why:
        return [], str(why)


def _places(change: Change, function: str) -> tuple[Place, ...]:
    """Return the lines that the patch adds to a function and what it calls, then those functions."""
    trees = trees_of(_text(change.after))
    names, waiting = dict[str, None](), [function]
    while waiting:
        name = waiting.pop(0)
        if name in trees and name not in names:
            names[name] = None
            waiting += [call[1] for call in trees[name].calls]
    added = sorted(change.added.get(FTRACE, ()))
    lines = [line for name in names for line in added if trees[name].line <= line <= trees[name].end]
    lines += [trees[name].line for name in names]
    return tuple(Place(FTRACE, line) for line in lines) or (Place(FTRACE, 1),)
