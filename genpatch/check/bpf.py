# SPDX-License-Identifier: GPL-2.0-or-later
"""What is wrong with the code that the BPF JIT of a tree emits, by running both."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from typing import NamedTuple

from .bpftramp import found_in
from .cexec import NotRun, Obj
from .change import Change, Texts
from .ctree import same_code, trees_of
from .jit import PREPARE, Event, Setting, Trace, entry_of, register_names, run_jit
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


class Fault(NamedTuple):
    """Something that emitted code does wrong.

    Args:
        kind: ``original``, ``frame``, ``size``, ``program`` or ``poke``.
        key: what tells it from others.
        functions: of the JIT that make it.
        line: of the JIT that shows it, 0 if none does.
        message: in words.
        when: for which trampolines, in words.
        setting: that shows it, None if it is no setting of a trampoline.
    """

    kind: str
    key: str
    functions: tuple[str, ...]
    line: int
    message: str
    when: str = ""
    setting: Setting | None = None


class _Jit(NamedTuple):
    """The JIT of a tree.

    Args:
        source: bpf_jit_comp64.c.
        header: bpf_jit.h.
        sled: bytes that a traced function begins with for ftrace; None if unknown.
        link: register of ftrace's calls; None if unknown.
        core: bpf_jit_core.c, empty if there is none: where a program is entered.
    """

    source: str
    header: str
    sled: int | None
    link: int | None
    core: str


def new_faults(change: Change, *kinds: str) -> list[Problem]:
    """Return the faults of some kinds that a patch brings.

    Raises:
        Skip: the JIT cannot be run.
    """
    if not {BPF, JIT_HEADER, CORE, HEADER}.intersection(change.paths):
        return []
    was, now = _jit_of(change.before), _jit_of(change.after)
    if now is None or was == now:
        return []
    checks = [check for check in _CHECKS if check.makes & set(kinds) and not _runs_the_same(was, now, check)]
    after = [_judged(now, check) for check in checks]
    found = [fault for faults, _ in after for fault in faults if fault.kind in kinds]
    if not found and not any(why for _, why in after):
        return []
    before = [
        _judged(was, check, _shown(faults, kinds, why)) if was is not None else ((), "")
        for check, (faults, why) in zip(checks, after, strict=True)
    ]
    old = {fault.key for faults, _ in before for fault in faults}
    brought = [fault for fault in found if fault.key not in old]
    unknown = [why for _, why in after if why]
    if unknown and not brought:
        raise Skip(f"{BPF} does what is not understood: {unknown[0]}")
    return [_problem(change, group) for group in _grouped(brought)]


def _shown(faults: Iterable[Fault], kinds: Iterable[str], why: str) -> frozenset[Setting | None] | None:
    """Return the settings that show faults of some kinds; None for all, where some were not understood."""
    return None if why else frozenset(fault.setting for fault in faults if fault.kind in kinds)


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
    jit = _jit_of(texts)
    judged = [(check, *_judged(jit, check)) for check in _CHECKS] if jit is not None else []
    whys = {kind: why for check, _, why in judged if why for kind in sorted(check.makes)}
    return tuple(fault for _, faults, _ in judged for fault in faults), whys


def _jit_of(texts: Texts) -> _Jit | None:
    source, header = texts.read(BPF), texts.read(JIT_HEADER)
    if source is None or header is None:
        return None
    sleds = {each.after for each in layouts(texts)}
    sled = sleds.pop() if len(sleds) == 1 else _own_sled(header, source)
    return _Jit(source, header, sled, _link(texts), texts.read(CORE) or "")


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


_Asked = frozenset[Setting | None] | None
"""Settings that are asked for, None among them for what is of no setting; None for all."""


class _Check(NamedTuple):
    """Something that is judged by running functions of the JIT.

    Args:
        makes: kinds of faults.
        runs: the functions; where the first is not there, nothing is judged.
        asks: what of the JIT it looks at beside its source.
        judge: yields the faults; it may leave out settings that are not asked for, of trampolines.
    """

    makes: frozenset[str]
    runs: tuple[str, ...]
    asks: tuple[str, ...]
    judge: Callable[[_Jit, _Asked], Iterator[Fault]]


@lru_cache(maxsize=32)
def _judged(jit: _Jit, check: _Check, asked: _Asked = None) -> tuple[tuple[Fault, ...], str]:
    """Return what is wrong, in all settings or at least in some, and why that is not known."""
    if (asked is not None and not asked) or check.runs[0] not in trees_of(jit.source):
        return (), ""
    found: list[Fault] = []
    try:
        found += check.judge(jit, asked)
    except NotRun as why:
        return tuple(found), str(why)
    return tuple(found), ""


def _runs_the_same(was: _Jit | None, now: _Jit, check: _Check) -> bool:
    """Tell whether all that is run for a check is the same in two trees."""
    if was is None or any(getattr(was, name) != getattr(now, name) for name in check.asks):
        return False
    return same_code(was.source, now.source, check.runs)


def _run(jit: _Jit, setting: Setting) -> Trace:
    return _prepared(jit.source, jit.header, setting)


@lru_cache(maxsize=64)
def _prepared(source: str, header: str, setting: Setting) -> Trace:
    return run_jit(source, header, PREPARE, {}, setting)


def _of_trampolines(jit: _Jit, asked: _Asked) -> Iterator[Fault]:
    link = _T0 if jit.link is None else jit.link
    emitted = _poke(jit, near=False, call=True) if _GENERATE in trees_of(jit.source) else None
    if emitted is not None and emitted.events and emitted.events[-1].op == "jalr":
        used = emitted.events[-1].args[0]
        if used != link:
            text = f"programs call trampolines by {_named(jit, used)}, ftrace by {_named(jit, link)}"
            yield Fault("frame", f"link {used}", (_GENERATE,), emitted.events[-1].line, text)
    for flags in (*_ENTRY, _EXIT):
        for count, other in ((3, False), (10, False), (10, True)):
            setting = Setting(flags, count, other=other)
            if not other or "CALL_ORIG" in flags:  # what is not known includes programs that run at both ends
                yield from _entered(jit, setting, link) if asked is None or setting in asked else ()
    pair = Setting(_ENTRY[1], 3, pair=True)
    yield from _entered(jit, pair, link) if asked is None or pair in asked else ()
    for setting in (Setting(flags, 3) for flags in _DIRECT):
        yield from _entered(jit, setting, _RA) if asked is None or setting in asked else ()
    if asked is None or None in asked:
        yield from _hashed(jit)


def _hashed(jit: _Jit) -> Iterator[Fault]:
    """Yield that a trampoline which is called directly lacks the hash that programs have."""
    program = run_jit(jit.source, jit.header, _PROLOGUE, {}, Setting(cfi=True))
    hash_at = max(0, _entry(jit, cfi=True) - _WORD) // 2
    if any(each.op == "data" and each.at == hash_at for each in program.events):
        trace = _run(jit, Setting(_DIRECT[0], 3, cfi=True))
        if not _begins_with_hash(trace):
            line = trace.events[0].line if trace.events else 0
            text = "a trampoline that is called directly does not begin with the hash that kCFI's callers look for"
            yield Fault("frame", "hash", (PREPARE,), line, text, "INDIRECT")


def _begins_with_hash(trace: Trace) -> bool:
    return bool(trace.events) and trace.events[0].op == "data"


def _entry(jit: _Jit, *, cfi: bool) -> int:
    return entry_of(jit.source, jit.header, jit.core, Setting(cfi=cfi))


def _named(jit: _Jit, register: int) -> str:
    return register_names(jit.header).get(register, f"x{register}")


def _entered(jit: _Jit, setting: Setting, link: int) -> Iterator[Fault]:
    """Yield what a trampoline does wrong that is entered with the address to go back to in some register."""
    trace = _run(jit, setting)
    flags = " | ".join(sorted(setting.flags))
    if setting.pair and not trace.events:
        return  # it takes no arguments of two words
    for kind, key, line, text in found_in(trace, setting, jit.sled, link, register_names(jit.header)):
        functions = _reached(jit, PREPARE)
        key = f"{key} {flags} {setting.arguments} {setting.other} {setting.pair}"
        yield Fault(kind, key, functions, line, text, flags, setting)


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


def _of_sizes(jit: _Jit, asked: _Asked) -> Iterator[Fault]:
    """Yield trampolines that come out longer than the dry run said."""
    for flags in (_ENTRY[0], _EXIT, _DIRECT[1]):
        setting = Setting(flags, 3 if "INDIRECT" in flags else 10)
        for near in (False, True) if asked is None or setting in asked else ():
            made, dry = (_run(jit, setting._replace(dry=dry, near=near)) for dry in (False, True))
            if made.halfwords <= dry.halfwords:
                continue
            at = _first_longer(dry.events, made.events)
            more = (made.halfwords - dry.halfwords) * 2
            names = " | ".join(sorted(flags))
            text = f"a trampoline may be {more} bytes longer than its dry run says: what is emitted depends on an "
            text += "address that the dry run does not have"
            yield Fault("size", f"size {names}", _reached(jit, PREPARE), at, text, names, setting)
            break


def _first_longer(dry: list[Event], made: list[Event]) -> int:
    """Return the line of the first instruction that is longer in the image."""
    for one, other, next_one, next_other in zip(dry, made, dry[1:], made[1:], strict=False):
        if next_other.at - other.at > next_one.at - one.at:
            return other.line
    return 0


def _of_programs(jit: _Jit, asked: _Asked) -> Iterator[Fault]:
    """Yield what is wrong with how programs begin and end."""
    for cfi in (False, True):
        prologue = run_jit(jit.source, jit.header, _PROLOGUE, {}, Setting(other=True, cfi=cfi))
        first = _entry(jit, cfi=cfi) // 2
        prologue.events = [each for each in prologue.events if each.at >= first]
        for tail in (False, True):
            epilogue = run_jit(
                jit.source,
                jit.header,
                _EPILOGUE,
                {"is_tail_call": int(tail)},
                Setting(other=True, cfi=cfi),
                prologue.context,
            )
            yield from _program(jit, prologue, epilogue, first=first, cfi=cfi, tail=tail)


def _program(jit: _Jit, prologue: Trace, epilogue: Trace, *, first: int, cfi: bool, tail: bool) -> Iterator[Fault]:
    """Yield what is wrong with a program that begins at an instruction and ends in one of two ways."""
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
    yield from _tail(jit, prologue, machine, first, key, cfi)


def _tail(jit: _Jit, prologue: Trace, machine: Machine, first: int, key: str, cfi: bool) -> Iterator[Fault]:
    """Yield tail calls that enter a program where they must not."""
    assert machine.end is not None
    events = list(prologue.events)
    counter = next((i for i, each in enumerate(events) if each.op in ("addi", "imm") and each.args[0] == 16), None)
    if counter is None or counter + 1 >= len(events):
        raise NotRun("where a program sets its tail call counter")
    behind = (events[counter + 1].at - first) * 2
    functions = (_EPILOGUE, _PROLOGUE)
    if machine.end[1] != behind:
        text = f"a tail call enters a program at byte {machine.end[1]}, its counter is set before byte {behind}"
        yield Fault("program", f"skip {key}", functions, machine.end_line, text, _cfi(cfi))
    nops = sum(_is_sled(each) for each in events[:counter])
    if (own := _own_sled(jit.header, jit.source)) is not None and nops * _WORD != own:
        text = f"a program begins with {nops * _WORD} bytes of nops, RV_FENTRY_NINSNS is {own} bytes"
        yield Fault("program", f"nops {key}", functions[::-1], events[counter].line, text, _cfi(cfi))


def _is_sled(event: Event) -> bool:
    """Tell whether an instruction does nothing, or no more than give an address for another that is patched."""
    return event.op in ("nop", "auipc") or (event.op == "addi" and event.args[0] == 0)


def _cfi(cfi: bool) -> str:
    return "CFI" if cfi else "no CFI"


def _poke(jit: _Jit, *, near: bool, call: bool, nothing: bool = False) -> Trace:
    target = 0 if nothing else (1 << 40) + (0x800 if near else 0x3000_0000)
    args = {"target": target, "ip": 1 << 40, "insns": Obj("array"), "is_call": int(call)}
    return run_jit(jit.source, jit.header, _GENERATE, args, Setting())


def _of_pokes(jit: _Jit, asked: _Asked) -> Iterator[Fault]:
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


_CHECKS = (
    _Check(
        frozenset(("frame", "original")),
        (PREPARE, _GENERATE, _PROLOGUE),
        ("header", "sled", "link", "core"),
        _of_trampolines,
    ),
    _Check(frozenset(("size",)), (PREPARE,), ("header",), _of_sizes),
    _Check(frozenset(("program",)), (_PROLOGUE, _EPILOGUE), ("header", "core"), _of_programs),
    _Check(frozenset(("poke",)), (_GENERATE,), ("header",), _of_pokes),
)
