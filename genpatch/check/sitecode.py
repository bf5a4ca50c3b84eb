# SPDX-License-Identifier: GPL-2.0-or-later
"""What ftrace.c leaves in a site and before it, by running it in one configuration."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from .cexec import Interpreter, NotRun, Obj, Ref
from .cexpr import MacroFunction, computed, macro_functions
from .ctree import FunctionTree, expression, trees_of
from .offsets import ROOTS
from .preprocess import Taken
from .source import code_of
from .words import Words

__all__ = ["GRAPH", "SiteFault", "site_faults"]

GRAPH = ("ftrace_enable_ftrace_graph_caller", "ftrace_disable_ftrace_graph_caller")
"""They switch the calls of the function graph in trampolines."""

_ENTRY = 0x4000_0000
_CALLER = _ENTRY + 0x0123_4400
_NEAR, _FAR = 0x100, 0x20_0120  # in reach of the same auipc, and not
_ADDRESSES = (_CALLER, _CALLER + _NEAR, _CALLER - _NEAR, _CALLER + _FAR, _CALLER - _FAR)
_OWN, _OTHER = 0x5000_1000, 0x5000_2000
"""Ops that are a function's alone."""
_CALLERS = frozenset(("ftrace_caller", "ftrace_regs_caller", "FTRACE_ADDR", "FTRACE_REGS_ADDR"))
_NOP = 0x13
_INIT, _CALL, _NOPS, _MODIFY = ROOTS
_ADJUST = "ftrace_call_adjust"
_HEAD = re.compile(r"^do\s*\{(.*)\}\s*while\s*\(\s*0\s*\)$", re.S)
_WORD, _POINTER = 4, 8


class SiteFault(NamedTuple):
    """Something that ftrace.c does wrong.

    Args:
        key: what tells it from others.
        function: that does it.
        message: in words.
        is_refusal: it fails, writes nothing, and was asked for another target than ftrace_caller.
    """

    key: str
    function: str
    message: str
    is_refusal: bool = False


class _Source(NamedTuple):
    """ftrace.c in one configuration.

    Args:
        functions: of it, and the header's macros that are statements.
        macros: plain ones, of both.
        makers: the header's macros that are expressions.
        options: the configuration.
        before: bytes of nops before the function's entry.
    """

    functions: Mapping[str, FunctionTree]
    macros: Mapping[str, str]
    makers: Mapping[str, MacroFunction]
    options: Mapping[str, bool]
    before: int


def site_faults(
    source: Taken, header: Taken, header_text: str, options: Mapping[str, bool], before: int
) -> list[SiteFault]:
    """Return what the functions of ROOTS leave wrong, in the order in which ftrace's core calls them.

    Args:
        source: ftrace.c.
        header: asm/ftrace.h.
        header_text: the same in all configurations, for its macros with arguments.
        options: the configuration that both are of.
        before: bytes of nops before the function's entry.
    Raises:
        NotRun: they do something that is not understood.
    """
    makers, statements = _macros(header_text)
    made = _Source(trees_of(source.text + statements), {**header.macros, **source.macros}, makers, options, before)
    if _CALL not in made.functions or _NOPS not in made.functions:
        raise NotRun(f"{_CALL}() or {_NOPS}() is not there")
    found: dict[str, SiteFault] = {}
    stories = [(address, False) for address in _ADDRESSES]
    if "ftrace_find_unique_ops(" in source.text:
        stories.insert(0, (_CALLER + _NEAR, True))
    for address, own in stories:
        for fault in _Story(made, address, own=own).faults():
            found.setdefault(fault.key, fault)
    if all(name in made.functions for name in GRAPH):
        for fault in _Story(made, _CALLER, own=False).graph_faults():
            found.setdefault(fault.key, fault)
    return list(found.values())


def _macros(header: str) -> tuple[dict[str, MacroFunction], str]:
    """Return the macros with arguments that are expressions, and C functions for those that are statements."""
    makers = macro_functions(code_of(header))
    text = ""
    for name, each in makers.items():
        if (body := _HEAD.match(each.body)) is not None:
            parameters = ", ".join(f"long {parameter}" for parameter in each.parameters)
            text += f"\nstatic void {name}({parameters})\n{{\n{body[1]}\n}}\n"
    return {name: each for name, each in makers.items() if not _HEAD.match(each.body)}, text


class _Story(Words):
    """A function that is traced, traced by others, and no longer traced."""

    def __init__(self, source: _Source, address: int, *, own: bool) -> None:
        super().__init__()
        self.source, self.address = source, address
        self.unique = _OWN if own else 0
        self.numbers: dict[str, int] = {}
        self.rec = Obj("rec")
        self.runner = Interpreter(source.functions, self, typed=True)
        ip = _ENTRY - source.before
        if _ADJUST in source.functions:
            ip = self.runner.run(_ADJUST, [ip])
        self.rec.fields |= {"ip": ip, "flags": 0}
        self.pointer: int | None = None

    def faults(self) -> Iterator[SiteFault]:
        """Yield what is wrong; the first thing ends it, as the rest follows from that."""
        if _INIT in self.source.functions:
            self._run(_INIT, 0, self.rec)
        self._flag()
        for root, addresses in ((_CALL, (self.address,)), (_MODIFY, (self.address, _CALLER))):
            if root == _MODIFY:
                if root not in self.source.functions or self.address == _CALLER:
                    continue
                self.unique = _OTHER if self.unique else 0
                self._flag()
            before = dict(self.memory)
            failed = self._run(root, self.rec, *addresses)
            refused = failed and self.address != _CALLER and self.memory == before
            wrong = (
                list(self._after_call(root, addresses[-1], before)) if not failed else [_failed(root, refused=refused)]
            )
            yield from wrong[:1]
            if wrong:
                return
        self._run(_NOPS, 0, self.rec, _CALLER)
        if self._target() is not None:
            yield SiteFault("nop", _NOPS, f"{_NOPS}() leaves a call in the site")

    def graph_faults(self) -> Iterator[SiteFault]:
        """Yield trampolines in which the function graph is switched one way and not the other."""
        switches: list[set[int]] = []
        names: dict[int, str] = {}
        for name in GRAPH:
            was = dict(self.memory)
            self._run(name)
            switches.append({at for at, word in self.memory.items() if was.get(at) != word})
            names |= {at: label for label, at in self.numbers.items()}
        for this, other, name, told in ((0, 1, GRAPH[1], "on"), (1, 0, GRAPH[0], "off")):
            for at in sorted(switches[this] - switches[other]):
                if at in names:
                    text = f"{name}() leaves {names[at]} alone, which the other one switches {told}"
                    yield SiteFault(f"graph {name} {names[at]}", name, text)

    def _run(self, name: str, *args: Any) -> bool:
        tree = self.source.functions[name]
        self.runner.steps = 0
        return bool(self.runner.run(name, args[: len(tree.parameters)]))

    def _flag(self) -> None:
        flag = self.ident("FTRACE_FL_CALL_OPS_EN")
        self.rec.fields["flags"] = flag if self.unique else 0

    def _target(self) -> int | None:
        """Return where the site's call goes; None if there is none."""
        for at in range(_ENTRY - self.source.before, _ENTRY + 16, _WORD):
            first, second = (self.word(at + by) for by in (0, _WORD))
            if not isinstance(first, int) or not isinstance(second, int):
                continue
            link = first >> 7 & 31
            if first & 0x7F == 0x17 and second & 0x7F == 0x67 and second >> 15 & 31 == link == second >> 7 & 31:
                upper, lower = first & 0xFFFF_F000, second >> 20
                lower -= (lower & 0x800) << 1
                upper -= (upper & 0x8000_0000) << 1
                return at + upper + lower
        return None

    def _after_call(self, root: str, address: int, before: Mapping[int, Any]) -> Iterator[SiteFault]:
        """Yield what is wrong behind a call of a function that should leave a call in the site."""
        target = self._target()
        if target is None:
            yield SiteFault(f"none {root}", root, f"{root}() leaves no call in the site")
        elif target not in (address, _CALLER):
            far = "out of its reach" if abs(address - _CALLER) >= _FAR else "near it"
            text = f"{root}() leaves a call to no function, for one that ftrace_caller's auipc has {far}"
            yield SiteFault(f"wild {root}", root, text)
        written = self._pointer()
        if written is None:
            return
        if written == 0:
            text = f"{root}() leaves a null pointer before a function that has no ops of its own"
            yield SiteFault(f"null {root}", root, text)
        elif written == self._nothing() or (self.unique and written != self.unique):
            text = f"{root}() leaves the pointer to other ops before the function than it is traced by"
            yield SiteFault(f"ops {root}", root, text)
        elif not self.unique and written in (_OWN, _OTHER):
            text = f"{root}() leaves the pointer to ops before the function that are not its only ones any more"
            yield SiteFault(f"stale {root}", root, text)

    def _pointer(self) -> int | None:
        """Return the pointer before the function; None if there is none."""
        if self.pointer is None:
            return None
        low, high = (self.word(self.pointer + by) for by in (0, _WORD))
        return low | high << 32 if isinstance(low, int) and isinstance(high, int) else None

    def write(self, address: Any, source: Any, length: Any) -> None:
        """Copy bytes to memory; one that is a variable of the size of a pointer is the pointer to ops."""
        super().write(address, source, length)
        if length == _POINTER and isinstance(source, Ref) and isinstance(source.name, str):
            self.pointer = address

    def _nothing(self) -> int | None:
        return self.numbers.get("ftrace_nop_ops")

    def ident(self, name: str) -> Any:
        """Return a constant, or the address of what is elsewhere."""
        if name in _CALLERS:
            return _CALLER
        if name in self.source.macros:
            names, self.runner.names = self.runner.names, {}
            try:
                return self.runner.value(expression(self.source.macros[name]))
            finally:
                self.runner.names = names
        if name.startswith("CONFIG_"):
            return int(self.source.options.get(name, False))
        if name == "NULL":
            return 0
        if name.startswith("FTRACE_FL_"):
            return 1 << (20 + self.numbers.setdefault(name, sum(key.isupper() for key in self.numbers)))
        if re.fullmatch(r"E[A-Z]{2,10}", name):
            return 14
        if re.search(r"NOP4?$", name):
            return _NOP
        if name.isupper():
            return super().ident(name)
        return self.numbers.setdefault(name, 0x6000_0000 + 0x100 * len(self.numbers))

    def call(self, name: str, args: Sequence[Any], line: int) -> Any:
        """Return what ftrace's core and the header's macros give."""
        if name in self.source.functions:
            return NotImplemented
        if name == "ftrace_find_unique_ops":
            return self.unique
        maker = self.source.makers.get(name)
        if maker is not None and len(args) == len(maker.parameters) and all(isinstance(each, int) for each in args):
            values = {p: each & 0xFFFF_FFFF for p, each in zip(maker.parameters, args, strict=True)}
            value = computed(maker.body, {**self.source.macros, **values})
            if value is not None:
                return value & 0xFFFF_FFFF
        if re.fullmatch(r"riscv_insn_is_\w+", name):
            return 0
        self.types = self.runner.types
        return super().call(name, args, line)


def _failed(root: str, *, refused: bool) -> SiteFault:
    return SiteFault(f"failed {root}", root, f"{root}() fails for a site that is as ftrace.c left it", refused)
