# SPDX-License-Identifier: GPL-2.0-or-later
"""What is wrong with the code that the BPF JIT of a tree emits, by running both."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import lru_cache

from .bpftramp import found_in
from .cexec import NotRun, Obj
from .change import Change, Texts
from .ctree import trees_of
from .jit import PREPARE, Event, Setting, Trace, register_names, run_jit
from .jitrun import Machine
from .layout import BPF, HEADER, layouts
from .model import Place, Problem, Skip
from .source import constant, macros_of

__all__ = ["CORE", "JIT_HEADER", "Fault", "faults_of", "new_faults"]

JIT_HEADER = "arch/riscv/net/bpf_jit.h"
CORE = "arch/riscv/net/bpf_jit_core.c"
_GENERATE = "gen_jump_or_nops"
_PROLOGUE, _EPILOGUE = "bpf_jit_build_prologue", "__build_epilogue"
_RA, _SP, _T0 = 1, 2, 5
_WORD = 4
_JALR = re.compile(r"JALR_(\w+)$")
_ENTRY = (frozenset(("RESTORE_REGS", "IP_ARG")), frozenset(("CALL_ORIG", "SKIP_FRAME")))
_EXIT = frozenset(("CALL_ORIG", "SKIP_FRAME", "IP_ARG"))
_DIRECT = (frozenset(("INDIRECT",)), frozenset(("INDIRECT", "RET_FENTRY_RET")))


@dataclass(frozen=True, slots=True)
class Fault:
    """Something that emitted code does wrong.

    Args:
        kind: ``original``, ``frame``, ``size``, ``program`` or ``poke``.
        key: what tells it from others.
        functions: of the JIT that make it.
        line: of the JIT that shows it, 0 if none does.
        message: in words.
        when: for which trampolines, in words.
    """

    kind: str
    key: str
    functions: tuple[str, ...]
    line: int
    message: str
    when: str = ""


@dataclass(frozen=True, slots=True)
class _Jit:
    """The JIT of a tree.

    Args:
        source: bpf_jit_comp64.c.
        header: bpf_jit.h.
        sled: bytes that a traced function begins with for ftrace; None if unknown.
        link: register of ftrace's calls; None if unknown.
        skips_hash: a program is entered behind its kCFI hash.
    """

    source: str
    header: str
    sled: int | None
    link: int | None
    skips_hash: bool


def new_faults(change: Change, *kinds: str) -> list[Problem]:
    """Return the faults of some kinds that a patch brings.

    Raises:
        Skip: the JIT could be run before the patch, and cannot any more.
    """
    if not {BPF, JIT_HEADER, CORE, HEADER}.intersection(change.paths):
        return []
    after, whys = faults_of(change.after)
    found = [fault for fault in after if fault.kind in kinds]
    if not found and not any(kind in kinds for kind in whys):
        return []
    before, old_whys = faults_of(change.before)
    old = {fault.key for fault in before}
    brought = [fault for fault in found if fault.key not in old]
    lost = [why for kind, why in whys.items() if kind in kinds and kind not in old_whys]
    if lost and not brought:
        raise Skip(f"{BPF} does what is not understood: {lost[0]}")
    return [_problem(change, group) for group in _grouped(brought)]


def _grouped(faults: Iterable[Fault]) -> list[list[Fault]]:
    """Return faults of the same message together."""
    groups: dict[str, list[Fault]] = {}
    for fault in faults:
        groups.setdefault(re.sub(r"\d+", "", fault.message), []).append(fault)
    return list(groups.values())


def _problem(change: Change, faults: list[Fault]) -> Problem:
    """Return faults with their places: what shows them if the patch adds it, the patch's lines in what makes them."""
    fault = faults[0]
    added = change.added.get(BPF, frozenset())
    trees = trees_of(change.after.read(BPF) or "")
    lines = [fault.line] if fault.line in added else []
    for name in fault.functions:
        if name in trees:
            lines += sorted(line for line in added if trees[name].line <= line <= trees[name].end)
    lines += [fault.line] if fault.line else []
    lines += [trees[name].line for name in fault.functions if name in trees]
    when = "; ".join(dict.fromkeys(each.when for each in faults if each.when))
    message = f"{fault.message} (with {when})" if when else fault.message
    return Problem(fault.key, tuple(Place(BPF, line) for line in lines) or (Place(BPF, 1),), message)


def faults_of(texts: Texts) -> tuple[tuple[Fault, ...], dict[str, str]]:
    """Return what a tree's JIT does wrong, and by kind why that is not known."""
    source, header = texts.read(BPF), texts.read(JIT_HEADER)
    if source is None or header is None:
        return (), {}
    core = texts.read(CORE) or ""
    sleds = {each.after for each in layouts(texts)}
    sled = sleds.pop() if len(sleds) == 1 else _own_sled(header, source)
    return _judged(_Jit(source, header, sled, _link(texts), "cfi_get_offset" in core))


def _own_sled(*texts: str) -> int | None:
    macros = {name: value for text in texts for name, (value, _) in macros_of(text).items()}
    count = constant(macros.get("RV_FENTRY_NINSNS", ""), macros, {})
    return None if count is None else count * _WORD


def _link(texts: Texts) -> int | None:
    """Return the register that ftrace's calls leave the return address in, if there is only one at a site."""
    header = texts.read(HEADER)
    source = texts.read("arch/riscv/kernel/ftrace.c")
    if header is None or source is None:
        return None
    used = {name.upper() for name in re.findall(r"\b(?:to_jalr|make_call)_(\w+)\(", source)}
    macros = macros_of(header)
    found = set()
    for name, (value, _) in macros.items():
        if (match := _JALR.match(name)) is not None and match[1] in used:
            number = constant(value, {}, {})
            if number is not None and number & 0x7F == 0x67:
                found.add(number >> 7 & 31)
    return _T0 if _T0 in found else found.pop() if len(found) == 1 else None


@lru_cache(maxsize=8)
def _judged(jit: _Jit) -> tuple[tuple[Fault, ...], dict[str, str]]:
    names = trees_of(jit.source)
    checks: dict[str, tuple[str, Callable[[_Jit], Iterator[Fault]]]] = {
        "frame": (PREPARE, _of_trampolines),
        "size": (PREPARE, _of_sizes),
        "program": (_PROLOGUE, _of_programs),
        "poke": (_GENERATE, _of_pokes),
    }
    found: list[Fault] = []
    whys: dict[str, str] = {}
    for kind, (needed, check) in checks.items():
        if needed not in names:
            continue
        try:
            found += check(jit)
        except NotRun as why:
            whys[kind] = str(why)
            if kind == "frame":
                whys["original"] = str(why)
    return tuple(found), whys


def _run(jit: _Jit, setting: Setting) -> Trace:
    return run_jit(jit.source, jit.header, PREPARE, {}, setting)


def _of_trampolines(jit: _Jit) -> Iterator[Fault]:
    link = _T0 if jit.link is None else jit.link
    emitted = _poke(jit, near=False, call=True) if _GENERATE in trees_of(jit.source) else None
    if emitted is not None and emitted.events and emitted.events[-1].op == "jalr":
        used = emitted.events[-1].args[0]
        if used != link:
            text = f"programs call trampolines by {_named(jit, used)}, ftrace by {_named(jit, link)}"
            yield Fault("frame", f"link {used}", (_GENERATE,), emitted.events[-1].line, text)
    for flags in (*_ENTRY, _EXIT):
        for count, other in ((3, False), (10, False), (10, True)):
            if not other or "CALL_ORIG" in flags:  # what is not known includes programs that run at both ends
                yield from _entered(jit, Setting(flags, count, other=other), link)
    for flags in _DIRECT:
        yield from _entered(jit, Setting(flags, 3), _RA)
    if _begins_with_hash(run_jit(jit.source, jit.header, _PROLOGUE, {}, Setting(cfi=True))):
        trace = _run(jit, Setting(_DIRECT[0], 3, cfi=True))
        if not _begins_with_hash(trace):
            line = trace.events[0].line if trace.events else 0
            text = "a trampoline that is called directly does not begin with the hash that kCFI's callers look for"
            yield Fault("frame", "hash", (PREPARE,), line, text, "INDIRECT")


def _begins_with_hash(trace: Trace) -> bool:
    return bool(trace.events) and trace.events[0].op == "data"


def _named(jit: _Jit, register: int) -> str:
    return register_names(jit.header).get(register, f"x{register}")


def _entered(jit: _Jit, setting: Setting, link: int) -> Iterator[Fault]:
    """Yield what a trampoline does wrong that is entered with the address to go back to in some register."""
    trace = _run(jit, setting)
    flags = " | ".join(sorted(setting.flags))
    functions = _reached(jit, PREPARE)
    for kind, key, line, text in found_in(trace, setting, jit.sled, link, register_names(jit.header)):
        yield Fault(kind, f"{key} {flags} {setting.arguments} {setting.other}", functions, line, text, flags)


def _reached(jit: _Jit, *names: str) -> tuple[str, ...]:
    """Return functions of the JIT and what they call, those named first."""
    trees = trees_of(jit.source)
    found: dict[str, None] = {}
    waiting = [name for name in names if name in trees]
    while waiting:
        name = waiting.pop(0)
        if name not in found:
            found[name] = None
            waiting += [call[1] for call in trees[name].calls if call[1] in trees]
    return tuple(found)


def _of_sizes(jit: _Jit) -> Iterator[Fault]:
    """Yield trampolines that come out longer than the dry run said."""
    for flags in (_ENTRY[0], _EXIT, _DIRECT[1]):
        setting = Setting(flags, 3 if "INDIRECT" in flags else 10)
        for near in (False, True):
            made, dry = (_run(jit, replace(setting, dry=dry, near=near)) for dry in (False, True))
            if made.halfwords <= dry.halfwords:
                continue
            at = _first_longer(dry.events, made.events)
            more = (made.halfwords - dry.halfwords) * 2
            names = " | ".join(sorted(flags))
            text = f"a trampoline may be {more} bytes longer than its dry run says: what is emitted depends on an "
            text += "address that the dry run does not have"
            yield Fault("size", f"size {names}", _reached(jit, PREPARE), at, text, names)
            break


def _first_longer(dry: list[Event], made: list[Event]) -> int:
    """Return the line of the first instruction that is longer in the image."""
    for one, other, next_one, next_other in zip(dry, made, dry[1:], made[1:], strict=False):
        if next_other.at - other.at > next_one.at - one.at:
            return other.line
    return 0


def _of_programs(jit: _Jit) -> Iterator[Fault]:
    """Yield what is wrong with how programs begin and end."""
    for cfi in (False, True):
        prologue = run_jit(jit.source, jit.header, _PROLOGUE, {}, Setting(other=True, cfi=cfi))
        for tail in (False, True):
            epilogue = run_jit(
                jit.source,
                jit.header,
                _EPILOGUE,
                {"is_tail_call": int(tail)},
                Setting(other=True, cfi=cfi),
                prologue.context,
            )
            yield from _program(jit, prologue, epilogue, cfi=cfi, tail=tail)


def _program(jit: _Jit, prologue: Trace, epilogue: Trace, *, cfi: bool, tail: bool) -> Iterator[Fault]:
    machine = Machine()
    machine.run([*prologue.events, *epilogue.events])
    key = f"program {cfi} {tail}"
    functions = (_EPILOGUE, _PROLOGUE, "bpf_jit_build_epilogue")
    way = "a tail call" if tail else "a program"
    if machine.end is None:
        yield Fault("program", f"end {key}", functions, 0, f"{way} does not end in a jump")
        return
    line = machine.end_line
    if machine.registers[_SP] != ("sp", 0):
        yield Fault("program", f"sp {key}", functions, line, f"{way} leaves the stack pointer elsewhere", _cfi(cfi))
    for register in machine.lost():
        text = f"{way} does not restore {_named(jit, register)}"
        yield Fault("program", f"lost {register} {key}", functions, line, text, _cfi(cfi))
    if not tail:
        if machine.registers[machine.end[0]] != ("in", _RA):
            yield Fault("program", f"ra {key}", functions, line, "a program does not return by ra")
        return
    yield from _tail(jit, prologue, machine, key, cfi)


def _tail(jit: _Jit, prologue: Trace, machine: Machine, key: str, cfi: bool) -> Iterator[Fault]:
    """Yield tail calls that enter a program where they must not."""
    assert machine.end is not None
    events = list(prologue.events)
    first = 0
    if cfi and jit.skips_hash and events and events[0].op == "data":
        first = events[0].at + 2
    counter = next((i for i, each in enumerate(events) if each.op in ("addi", "imm") and each.args[0] == 16), None)
    if counter is None or counter + 1 >= len(events):
        raise NotRun("where a program sets its tail call counter")
    behind = (events[counter + 1].at - first) * 2
    functions = (_EPILOGUE, _PROLOGUE)
    if machine.end[1] != behind:
        text = f"a tail call enters a program at byte {machine.end[1]}, its counter is set before byte {behind}"
        yield Fault("program", f"skip {key}", functions, machine.end_line, text, _cfi(cfi))
    nops = sum(each.op == "nop" for each in events[:counter])
    if (own := _own_sled(jit.header, jit.source)) is not None and nops * _WORD != own:
        text = f"a program begins with {nops * _WORD} bytes of nops, RV_FENTRY_NINSNS is {own} bytes"
        yield Fault("program", f"nops {key}", functions[::-1], events[counter].line, text, _cfi(cfi))


def _cfi(cfi: bool) -> str:
    return "CFI" if cfi else "no CFI"


def _poke(jit: _Jit, *, near: bool, call: bool, nothing: bool = False) -> Trace:
    target = 0 if nothing else (1 << 40) + (0x800 if near else 0x3000_0000)
    args = {"target": target, "ip": 1 << 40, "insns": Obj("array"), "is_call": int(call)}
    return run_jit(jit.source, jit.header, _GENERATE, args, Setting())


def _of_pokes(jit: _Jit) -> Iterator[Fault]:
    """Yield what is written over a program's first instructions and is not as long as they are."""
    own = _own_sled(jit.header, jit.source)
    if own is None:
        return
    for what, near, call, nothing in (
        ("nothing", False, False, True),
        ("a far call", False, True, False),
        ("a near call", True, True, False),
        ("a far jump", False, False, False),
        ("a near jump", True, False, False),
    ):
        trace = _poke(jit, near=near, call=call, nothing=nothing)
        size = 2 * sum(2 if each.op != "call" else 4 for each in trace.events)
        if size != own:
            line = trace.events[-1].line if trace.events else 0
            text = f"{_GENERATE}() makes {size} bytes for {what}, RV_FENTRY_NINSNS is {own} bytes"
            yield Fault("poke", f"poke {what}", _reached(jit, _GENERATE), line, text)
