# SPDX-License-Identifier: GPL-2.0-or-later
"""The tracers' assembly in each configuration that Kconfig allows, and where the registers go in it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

from .change import Change, Texts
from .kconfig import ARCH, FILES, Kconfig, read_kconfig
from .layout import FTRACE, HEADER
from .model import Place, Problem
from .preprocess import Taken, options_tested, preprocess
from .structs import OFFSETS, PTRACE, Struct, Symbolic, offsets_of, structs_of

if TYPE_CHECKING:
    from .assembly import Insn, Routine
    from .trampoline import Call, Exit, Flow

__all__ = [
    "ARCH",
    "ASSEMBLY",
    "FIXED",
    "FTRACE",
    "RELATED",
    "Compared",
    "Found",
    "Options",
    "Run",
    "asked_of",
    "asked_options",
    "compared",
    "concerns",
    "configurations",
    "exits_of",
    "fresh",
    "in_words",
    "is_trampoline",
    "joined",
    "kconfig_of",
    "option_key",
    "runs",
    "taken",
]

ASSEMBLY = ("arch/riscv/kernel/mcount-dyn.S", "arch/riscv/kernel/mcount.S")
RELATED = frozenset((*ASSEMBLY, HEADER, OFFSETS, PTRACE, *FILES))
"""Files of which a change may change what runs() yields."""
Options = Mapping[str, bool]
Found = tuple[str, tuple[Place, ...], str, Options]
"""Something wrong in one configuration: what tells it from others, places, message."""
FIXED = {"CONFIG_RISCV": True, "CONFIG_64BIT": True, "CONFIG_MMU": True, "CONFIG_FUNCTION_TRACER": True}
"""Options that are on in every configuration."""
_ASSEMBLER = frozenset((("__ASSEMBLER__", "1"), ("__ASSEMBLY__", "1")))
_MOST_OPTIONS = 9
_NAME = re.compile(r"\w+")
_ABOUT = re.compile(r"FREGS|FTRACE|FGRAPH")
_DYNAMIC = "CONFIG_DYNAMIC_FTRACE"


class Run(NamedTuple):
    """One assembly function in one configuration.

    Args:
        options: the configuration.
        path: of the file.
        structs: those that asm/ftrace.h and asm/ptrace.h define in it.
        offsets: what asm-offsets.c makes in it.
    """

    options: Options
    path: str
    routine: Routine
    flow: Flow
    structs: Mapping[str, Struct]
    offsets: Mapping[str, Symbolic]

    def place(self, line: int) -> Place:
        """Return a line of the file."""
        return Place(self.path, line)

    def frames(self) -> Iterator[tuple[Call, int, Struct]]:
        """Yield call, offset of the frame from sp at the entry, and the struct that the callee takes it for."""
        for call in self.flow.calls:
            is_return = call.callee == "ftrace_return_to_handler"
            pointer = call.registers["a0" if is_return else "a3"]
            if pointer.kind != "stack" or not (is_return or call.callee in ("", "ftrace_stub")):
                continue
            names = ("__arch_ftrace_regs", "fgraph_ret_regs") if is_return else ("__arch_ftrace_regs",)
            struct = next((self.structs[name] for name in names if name in self.structs), None)
            if struct is None and any(re.match(r"PT_\w+\(", slot.written) for slot in call.slots.values()):
                struct = self.structs.get("pt_regs")
            if struct is not None:
                yield call, pointer.number, struct


def concerns(change: Change, *more: str) -> bool:
    """Tell whether a change may change what runs() yields, or touches some other files."""
    return not (RELATED | set(more)).isdisjoint(change.paths)


def kconfig_of(texts: Texts) -> Kconfig:
    """Return the Kconfig files that say which tracers there are, those that the tree has."""
    return read_kconfig(tuple(text for path in FILES if (text := texts.read(path)) is not None))


def asked_options(texts: Texts, paths: Iterable[str]) -> frozenset[str]:
    """Return the options that files about the tracers ask for; of asm-offsets.c only where it is about them."""
    found = {_DYNAMIC}
    for path in paths:
        text = texts.read(path) or ""
        found |= options_tested(_about(text) if path == OFFSETS else text)
    return frozenset(found - set(FIXED))


@lru_cache(maxsize=16)
def _about(text: str) -> str:
    """Return the conditionals and the tracers' lines of asm-offsets.c, without conditionals of other things."""
    lines = [line for line in text.split("\n") if line.startswith("#") or _ABOUT.search(line)]
    while True:
        kept = [
            line
            for at, line in enumerate(lines)
            if not (
                (re.match(r"#\s*if", line) and at + 1 < len(lines) and re.match(r"#\s*endif", lines[at + 1]))
                or (re.match(r"#\s*endif", line) and at and re.match(r"#\s*if", lines[at - 1]))
            )
        ]
        if len(kept) == len(lines):
            return "\n".join(lines)
        lines = kept


def configurations(texts: Texts, asked: frozenset[str]) -> Sequence[Options]:
    """Return every state of some options that Kconfig allows; none if there are too many options."""
    found = tuple(text for path in FILES if (text := texts.read(path)) is not None)
    return _configurations(found, asked)


@lru_cache(maxsize=64)
def _configurations(kconfig_texts: tuple[str, ...], asked: frozenset[str]) -> tuple[Options, ...]:
    names = sorted(asked - set(FIXED))
    if len(names) > _MOST_OPTIONS:
        return ()
    kconfig = read_kconfig(kconfig_texts)
    found: list[dict[str, bool]] = [dict(FIXED)]
    for name in names:
        further = []
        for options in found:
            for state in (True, False):
                tried = {**options, name: state}
                if _may_be(kconfig, tried):
                    further.append(tried)
        found = further
    return tuple(found)


def _may_be(kconfig: Kconfig, options: Options) -> bool:
    is_read = "FUNCTION_TRACER" in kconfig.symbols and kconfig.symbols["FUNCTION_TRACER"].is_defined
    for name, state in options.items():
        symbol = kconfig.symbols.get(name.removeprefix("CONFIG_"))
        is_known = symbol is not None and symbol.is_defined
        if state and is_read and not is_known and name.startswith(("CONFIG_DYNAMIC_FTRACE", "CONFIG_HAVE_DYNAMIC_F")):
            return False
    return kconfig.closed({name.removeprefix("CONFIG_"): state for name, state in options.items()}) is not None


def taken(text: str, options: Options, given: frozenset[tuple[str, str]] = frozenset()) -> Taken:
    """Return a text in a configuration, with some macros given; what comes out the same is made once."""
    on = frozenset(name for name in options_tested(text) if options.get(name, False))
    return _taken(text, on, _wanted(text, given) if given else given)


@lru_cache(maxsize=256)
def _macros(source: Taken) -> frozenset[tuple[str, str]]:
    return frozenset(source.macros.items())


@lru_cache(maxsize=256)
def _wanted(text: str, given: frozenset[tuple[str, str]]) -> frozenset[tuple[str, str]]:
    """Return the macros that a text names, and those that they name."""
    values = dict(given)
    waiting, found = list(_names(text) & values.keys()), dict[str, str]()
    while waiting:
        name = waiting.pop()
        if name not in found:
            found[name] = values[name]
            waiting += _names(values[name]) & values.keys()
    return frozenset(found.items())


@lru_cache(maxsize=1024)
def _names(text: str) -> frozenset[str]:
    return frozenset(_NAME.findall(text))


@lru_cache(maxsize=512)
def _taken(text: str, on: frozenset[str], given: frozenset[tuple[str, str]]) -> Taken:
    return preprocess(text, dict.fromkeys(on, True), dict(given))


def runs(texts: Texts, asked: frozenset[str]) -> Sequence[Run]:
    """Return every assembly function of the tracers in every configuration of some options."""
    sources = tuple((path, texts.read(path) or "") for path in (HEADER, OFFSETS, PTRACE, *ASSEMBLY))
    return _runs(sources, tuple(texts.read(path) for path in FILES), asked)


@lru_cache(maxsize=8)
def _runs(
    sources: tuple[tuple[str, str], ...], kconfigs: tuple[str | None, ...], asked: frozenset[str]
) -> tuple[Run, ...]:
    (_, header), (_, offsets), (_, ptrace), *assembly = sources
    found: list[Run] = []
    for options in _configurations(tuple(text for text in kconfigs if text is not None), asked):
        structs = _both_structs(taken(header, options), taken(ptrace, options))
        symbolic = _symbolic(taken(offsets, options), frozenset(structs.values()))
        names = frozenset((each.name, str(each.value)) for each in symbolic.values() if each.value is not None)
        given = _macros(taken(header, options, _ASSEMBLER))
        for path, text in assembly:
            if path == ASSEMBLY[0] and not options.get(_DYNAMIC, True):
                continue  # kernel/Makefile leaves it out
            for routine, flow in _flows(taken(text, options, given), names):
                found.append(Run(options, path, routine, flow, structs, symbolic))
    return tuple(found)


@lru_cache(maxsize=256)
def _both_structs(header: Taken, ptrace: Taken) -> dict[str, Struct]:
    return _structs(header) | _structs(ptrace)


_structs = lru_cache(maxsize=256)(structs_of)


@lru_cache(maxsize=256)
def _symbolic(source: Taken, structs: frozenset[Struct]) -> dict[str, Symbolic]:
    return offsets_of(source, {each.name: each for each in structs})


@lru_cache(maxsize=256)
def _flows(source: Taken, names: frozenset[tuple[str, str]]) -> list[tuple[Routine, Flow]]:
    from .assembly import routines_of

    values = {"SZREG": "8", **source.macros, **dict(names)}
    return [(routine, _flow(routine, values)) for routine in routines_of(source).values()]


_FLOWS: dict[tuple[object, ...], Flow] = {}
_MOST_FLOWS = 256


def _flow(routine: Routine, values: Mapping[str, str]) -> Flow:
    """Return what is seen of a function; one that comes out the same in several configurations is followed once."""
    from .trampoline import flow_of

    insns = tuple(routine.insns)
    known = tuple((name, values.get(name)) for name in _constants(insns, values))
    labels = tuple((name, *places) for name, places in routine.labels.items())
    key = (insns, labels, tuple(routine.odd), known)
    if key not in _FLOWS:
        if len(_FLOWS) >= _MOST_FLOWS:
            _FLOWS.clear()
        _FLOWS[key] = flow_of(routine, values)
    return _FLOWS[key]


def _constants(insns: Iterable[Insn], values: Mapping[str, str]) -> list[str]:
    """Return the names in what instructions take, and those in their values."""
    found: dict[str, None] = {}
    waiting = [name for insn in insns for text in insn.args for name in _names(text)]
    while waiting:
        name = waiting.pop()
        if name not in found:
            found[name] = None
            waiting += _names(values[name]) if name in values else ()
    return sorted(found)


def is_trampoline(run: Run) -> bool:
    """Tell whether a function is entered from a patched site, with the way back in t0, and goes back to it."""
    has_kept = any(slot.value.is_entry("t0") for call in run.flow.calls for slot in call.slots.values())
    first = [call.registers["a0"] for call in run.flow.calls]
    has_kept |= any((each.kind, each.name) == ("entry", "t0") for each in first)
    back = [each for each in run.flow.exits if each.label in ("jr t0", "jalr t0")]
    return bool(back) and (has_kept or any(each.target is not None and each.target.is_entry("t0") for each in back))


def exits_of(run: Run) -> Mapping[str, list[Exit]]:
    """Return the ways out by label."""
    found: dict[str, list[Exit]] = {}
    for each in run.flow.exits:
        found.setdefault(each.label, []).append(each)
    return found


def in_words(some: Sequence[Options], every: Sequence[Options]) -> str:
    """Say in which configurations something holds: the same states of options, or one of several."""
    if all(each.get(_DYNAMIC) for each in some):
        every = [each for each in every if each.get(_DYNAMIC)]  # the others have nothing of it
    if len(some) >= len(every):
        return "every configuration"
    same = {name: state for name, state in some[0].items() if all(each.get(name) == state for each in some)}
    same = {name: state for name, state in same.items() if any(each.get(name) != state for each in every)}
    for name in sorted(same, reverse=True):  # leave out what says nothing more
        fewer = {other: state for other, state in same.items() if other != name}
        if _holds(fewer, every) == _holds(same, every):
            same = fewer
    text = ", ".join(_state(name, state) for name, state in sorted(same.items()))
    among = [each for each in every if all(each.get(name) == state for name, state in same.items())]
    if len(among) == len(some):
        return text
    single = sorted({(name, state) for each in some for name, state in each.items()} - set(same.items()))
    sure = [term for term in single if all(each in some for each in among if each.get(term[0]) == term[1])]
    if all(any(each.get(name) == state for name, state in sure) for each in some):
        return ", ".join(filter(None, (text, " or ".join(_state(name, state) for name, state in sure))))
    return f"{text}, in some configurations" if text else f"{len(some)} of {len(every)} configurations"


def _state(name: str, state: bool) -> str:
    return f"{name.removeprefix('CONFIG_')}={'y' if state else 'n'}"


def _holds(wanted: Options, every: Sequence[Options]) -> int:
    return sum(all(each.get(name) == state for name, state in wanted.items()) for each in every)


def joined(found: Iterable[Found], every: Sequence[Options]) -> Iterator[Problem]:
    """Return problems, what is said of several configurations once."""
    groups: dict[str, tuple[str, dict[Place, None], list[Options]]] = {}
    for key, places, message, options in found:
        _, all_places, some = groups.setdefault(message, (key, {}, []))
        all_places.update(dict.fromkeys(places))
        if options not in some:
            some.append(options)
    for message, (key, all_places, some) in groups.items():
        yield Problem(key, tuple(all_places), f"{message} ({in_words(some, every)})")


def fresh(before: Iterable[Found], after: Iterable[Found], possible: Sequence[Options]) -> list[Found]:
    """Return what is new: not there in the same configuration, nor in any if that was not possible before.

    Args:
        before: what was found before a change.
        after: and after it.
        possible: the configurations before it.
    """
    old = {(key, option_key(options)) for key, _, _, options in before}
    keys = {key for key, _ in old}
    known = {option_key(options) for options in possible}
    return [
        each
        for each in after
        if (each[0], option_key(each[3])) not in old and (option_key(each[3]) in known or each[0] not in keys)
    ]


def asked_of(change: Change) -> frozenset[str]:
    """Return the options that the tracers' files ask for, before a change and after it."""
    paths = (*ASSEMBLY, HEADER, OFFSETS)
    return asked_options(change.before, paths) | asked_options(change.after, paths)


class Compared(NamedTuple):
    """The tracers' functions before and after a change, and the configurations, all of the same options."""

    before: Sequence[Run]
    after: Sequence[Run]
    possible: Sequence[Options]
    every: Sequence[Options]

    def problems(self, found: Callable[[Run], Iterable[Found]]) -> list[Found]:
        """Return what is found in the functions after the change and was not before."""
        old, new = ([each for run in some for each in found(run)] for some in (self.before, self.after))
        return fresh(old, new, self.possible)


def compared(change: Change) -> Compared:
    """Return the functions before and after a change."""
    asked = asked_of(change)
    return Compared(
        runs(change.before, asked),
        runs(change.after, asked),
        configurations(change.before, asked),
        configurations(change.after, asked),
    )


def option_key(options: Options) -> str:
    """Return a configuration as a part of a key."""
    return " ".join(sorted(name for name, state in options.items() if state))
