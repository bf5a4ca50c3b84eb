# SPDX-License-Identifier: GPL-2.0-or-later
"""GP519: everything that counts from rec->ip means the same instructions."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from ..change import Change, Texts
from ..ctree import same_code
from ..frames import (
    ASSEMBLY,
    FIXED,
    RELATED,
    Found,
    Options,
    Run,
    asked_of,
    asked_options,
    configurations,
    fresh,
    joined,
    option_key,
    runs,
    taken,
)
from ..layout import COUNTED, FTRACE, HEADER, MAKEFILE, Layout, layouts
from ..model import Place, Problem
from ..offsets import ROOTS, Touch, touches
from ..registry import source_rule

_PAIR = 8
_WORD = 4
_POINTER = 8


@source_rule("GP519", "site-anchor")
def site_anchor(change: Change) -> Iterable[Problem]:
    """The functions that patch a site, or the trampoline, count from rec->ip to different instructions.

    ## What it checks
    In every configuration, with ftrace_call_adjust() and the Makefile's nops: the bytes that ftrace_init_nop(),
    ftrace_make_call(), ftrace_make_nop() and ftrace_modify_call() read, write and count distances from, in
    functions of ftrace.c that they call too; they must lie in the nops, and be the same in all of them. The
    pointer before the function must be written where the trampoline reads it, and the trampoline must hand
    rec->ip to the tracers. Only what the patch brings is reported.

    ## Why it matters
    ftrace compares or overwrites half of one instruction pair and half of something else: it stops itself with
    a warning, or a function's own code is destroyed.

    ## Remedy
    Name the offset once, and use the name in every function and in the trampoline.

    ## References
    arch/riscv/kernel/ftrace.c; ftrace_caller in arch/riscv/kernel/mcount-dyn.S.
    """
    paths = {FTRACE, HEADER, MAKEFILE, *ASSEMBLY, *RELATED}
    if paths.isdisjoint(change.paths):
        return []
    if (paths - {FTRACE}).isdisjoint(change.paths) and same_code(*_both(change), (*ROOTS, *COUNTED)):
        return []
    of_assembly = asked_of(change)
    asked = of_assembly | asked_options(change.before, (FTRACE,)) | asked_options(change.after, (FTRACE,))
    asked |= {name for texts in (change.before, change.after) for each in layouts(texts) for name, _ in each.options}
    every = [each for each in configurations(change.after, asked) if each.get("CONFIG_DYNAMIC_FTRACE", True)]
    possible = configurations(change.before, asked)
    now = _problems(change.after, asked, of_assembly)
    if not now:
        return []
    found = fresh(_problems(change.before, asked, of_assembly), now, possible)
    return joined(_gist(found), every)


def _both(change: Change) -> tuple[str, str]:
    return change.before.read(FTRACE) or "", change.after.read(FTRACE) or ""


def _gist(found: Sequence[Found]) -> Iterator[Found]:
    """Yield the first thing of each configuration that is wrong with a function; what follows from it is left out."""
    said: dict[int, dict[str, Found]] = {}
    for each in found:
        said.setdefault(id(each[3]), {}).setdefault(each[0].split()[1], each)
    for some in said.values():
        patched = [each for each in some.values() if not each[0].startswith(("literal", "ip"))]
        key, _, message, options = patched[0] if patched else next(iter(some.values()))
        if len(patched) > 2:  # all of them: something that they share has changed
            places = tuple(dict.fromkeys(place for each in patched for place in each[1]))
            yield key, places, f"{message}; {len(patched) - 1} more functions are wrong", options
        else:
            yield from patched or some.values()


def _problems(texts: Texts, asked: frozenset[str], of_assembly: frozenset[str]) -> list[Found]:
    source, header = texts.read(FTRACE), texts.read(HEADER)
    found: list[Found] = []
    if source is None or header is None:
        return found
    known = list(layouts(texts))
    functions: dict[str, list[Run]] = {}
    for run in runs(texts, of_assembly):
        functions.setdefault(option_key(run.options), []).append(run)
    for options in configurations(texts, asked):
        layout = _layout(known, options)
        if layout is None or layout.adjust is None or not options.get("CONFIG_DYNAMIC_FTRACE", True):
            continue
        site = layout.adjust - layout.before
        if site < 0:
            continue  # GP512
        macros = taken(header, options).macros
        seen = touches(taken(source, {"CONFIG_DYNAMIC_FTRACE": True, **options}), macros, site)
        for key, lines, message in (*_apart(seen), *_outside(seen, layout)):
            found.append((key, tuple(Place(FTRACE, line) for line in lines), message, options))
        for run in functions.get(
            option_key({n: on for n, on in options.items() if n in of_assembly or n in FIXED}), ()
        ):
            for key, places, message in _trampoline(run, seen, site):
                found.append((key, places, message, options))
    return found


def _layout(known: Sequence[Layout], options: Options) -> Layout | None:
    return next((each for each in known if all(options.get(name, on) == on for name, on in each.options)), None)


def _where(at: int) -> str:
    return f"entry{at:+}"


def _outside(seen: Sequence[Touch], layout: Layout) -> Iterator[tuple[str, tuple[int, ...], str]]:
    """Yield what is touched outside of the nops."""
    for each in seen:
        low, high = (-layout.before, 0) if each.kind == "literal" else (0, layout.after)
        if each.kind == "base" or low <= each.at <= each.at + each.size <= high:
            continue
        before = f"{layout.before} bytes of nops before its entry and " if layout.before else "nops of "
        behind = "behind it" if layout.before else "bytes"
        text = f"{each.root}() {_does(each)} {_where(each.at)}: the function has {before}"
        yield f"outside {each.root} {each.kind} {each.size}", each.lines, f"{text}{layout.after} {behind}"


def _does(each: Touch) -> str:
    words = {"base": "counts from", "literal": "writes a pointer at"}
    return words.get(each.kind, f"{each.kind}s {each.size} bytes at")


def _apart(seen: Sequence[Touch]) -> Iterator[tuple[str, tuple[int, ...], str]]:
    """Yield what functions touch at another place than the others do."""
    inside = [each for each in seen if each.at >= 0 or each.kind == "literal"]
    pairs = list({each.at for each in inside if (each.kind, each.size) == ("write", _PAIR)})
    for what in sorted({(each.kind, each.size) for each in inside}):
        some = [each for each in inside if (each.kind, each.size) == what]
        places = {root: {each.at for each in some if each.root == root} for root in {each.root for each in some}}
        single = {root: next(iter(at)) for root, at in places.items() if len(at) == 1}
        usual = max(sorted(set(single.values())), key=list(single.values()).count, default=None)
        if what == ("write", _WORD) and len(pairs) == 1 and pairs[0] + _WORD in single.values():
            usual = pairs[0] + _WORD
        for each in some:
            if usual is not None and single.get(each.root, usual) != usual:
                other = next(root for root in sorted(single) if single[root] == usual)
                text = f"{each.root}() {_does(each)} {_where(each.at)}, {other}() {_does(each)} {_where(usual)}"
                theirs = tuple(line for touch in some if touch.root == other for line in touch.lines)
                yield f"apart {each.root} {what}", (*each.lines, *theirs), text
    yield from _compared([each for each in inside if each.kind != "literal"])


def _compared(inside: Sequence[Touch]) -> Iterator[tuple[str, tuple[int, ...], str]]:
    """Yield pairs that are read, or counted from, at another place than where the pair is written."""
    whole = {each.at for each in inside if each.kind == "write" and each.size == _PAIR}
    words = {each.at for each in inside if each.kind == "write" and each.size == _WORD}
    if len(whole) != 1:
        return
    (start,) = whole
    for each in inside:
        if each.at == start or (each.kind == "read" and each.size != _PAIR) or each.kind == "write":
            continue
        if each.kind == "base" and not words <= {start, start + _WORD}:
            continue
        does = "counts from" if each.kind == "base" else "reads the pair at"
        text = f"{each.root}() {does} {_where(each.at)}, the pair is written at {_where(start)}"
        yield f"pair {each.root} {each.kind}", each.lines, text


def _trampoline(run: Run, seen: Sequence[Touch], site: int) -> Iterator[tuple[str, tuple[Place, ...], str]]:
    """Yield where a trampoline and the site do not agree, from what t0 is when it is entered."""
    calls = [each for each in seen if each.root == "ftrace_make_call" and each.kind == "write" and each.at >= 0]
    if run.flow.odd or len({(each.at, each.size) for each in calls}) != 1:
        return
    back = calls[0].at + calls[0].size
    literals = {each.at: each for each in seen if each.kind == "literal" and each.size == _POINTER}
    for insn, register, offset in run.flow.loads:
        at = back + offset
        if register == "t0" and at < 0 and insn.op in ("REG_L", "ld") and at not in literals:
            places = [run.place(insn.line), run.place(insn.used)]
            places += [Place(FTRACE, line) for each in literals.values() for line in each.lines]
            what = f"ftrace.c writes it at {_where(next(iter(literals)))}" if literals else "ftrace.c writes none there"
            text = f"{run.routine.name} reads a pointer at {_where(at)}, {what}"
            yield f"literal {run.routine.name} {at} {sorted(literals)}", tuple(places), text
    for call, _, _ in run.frames():
        ip = call.registers["a0"]
        if ip.kind == "entry" and ip.name == "t0" and back + ip.number != site:
            made = call.made.get("a0", call.insn)
            places = [run.place(made.line), run.place(made.used)]
            places += [Place(FTRACE, line) for each in calls for line in each.lines]
            text = (
                f"{run.routine.name} hands {_where(back + ip.number)} to the tracers as ip, rec->ip is {_where(site)}"
            )
            yield f"ip {run.routine.name}", tuple(places), text
