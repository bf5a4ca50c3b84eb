# SPDX-License-Identifier: GPL-2.0-or-later
"""Functions of a few files of the kernel, run with the macros of their headers."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from .cexec import Interpreter, NotRun
from .cexpr import MacroFunction, macro_functions
from .ctree import FunctionTree, expression, trees_of
from .source import code_of, macros_of
from .words import Words

__all__ = ["Small", "Texted", "jal_offset", "pair_offset", "texted"]

_BLOCK = re.compile(r"\(\{\s*typeof\((\w+)\)\s+(\w+)\s*=\s*\(\1\)\s*;(.*);\s*\}\)$", re.S)
"""What a macro has that looks at its argument once."""
_DEEPEST = 20
_SUFFIXES = ("U", "UL", "ULL")
"""What _AC() puts behind a number."""
_GUARDED = ("mutex", "cpus_read_lock", "preempt", "irqsave", "text_mutex")
"""What guard() is told."""


class Texted(NamedTuple):
    """What some texts define.

    Args:
        functions: by name; the first text that has one counts.
        macros: plain ones.
        makers: those with arguments.
    """

    functions: Mapping[str, FunctionTree]
    macros: Mapping[str, str]
    makers: Mapping[str, MacroFunction]


@lru_cache(maxsize=16)
def texted(*texts: str) -> Texted:
    """Return what texts define; the first of them that defines something counts."""
    functions: dict[str, FunctionTree] = {}
    macros: dict[str, str] = {}
    makers: dict[str, MacroFunction] = {}
    for text in texts:
        trees = trees_of(text)
        functions |= {name: trees[name] for name in trees if name not in functions}
        macros = {name: value for name, (value, _) in macros_of(text).items()} | macros
        makers = macro_functions(code_of(text)) | makers
    return Texted(functions, macros, makers)


class Small(Words):
    """Memory of words, and what some texts define."""

    def __init__(self, source: Texted, numbers: Mapping[str, int] | None = None) -> None:
        super().__init__()
        self.source = source
        self.numbers = dict(numbers or {})
        self.runner = Interpreter(source.functions, self, typed=True)

    def run(self, name: str, *args: Any) -> Any:
        """Return what a function gives.

        Raises:
            NotRun: it cannot be run.
        """
        self.runner.steps = 0
        return self.runner.run(name, args)

    def ident(self, name: str) -> Any:
        """Return what a macro stands for."""
        if name in self.numbers:
            return self.numbers[name]
        if name in self.source.macros:
            return self._inner(self.source.macros[name], {})
        if name == "NULL" or name in _SUFFIXES or name in _GUARDED:
            return 0
        if re.fullmatch(r"E[A-Z]{2,10}", name):
            return 14
        return super().ident(name)

    def _inner(self, text: str, names: Mapping[str, Any]) -> Any:
        """Return the value of an expression that knows nothing of the function that is run."""
        outer, types = self.runner.names, self.runner.types
        self.runner.names, self.runner.types = dict(names), {}
        self.runner.depth += 1
        try:
            self.runner.count(1)
            if self.runner.depth > _DEEPEST:
                raise NotRun("macros nested too deep")
            return self.runner.value(expression(text))
        finally:
            self.runner.names, self.runner.types = outer, types
            self.runner.depth -= 1

    def call(self, name: str, args: Sequence[Any], line: int) -> Any:
        """Return what a function or a macro gives."""
        if name in self.source.functions:
            return NotImplemented
        if name == "GENMASK" and len(args) == 2 and all(isinstance(each, int) for each in args):
            high, low = args
            if not 0 <= low <= high < 64:
                raise NotRun("a mask of no bits")
            return (1 << (high + 1)) - (1 << low)
        if name == "_AC" and args:
            return args[0]
        maker = self.source.makers.get(name)
        if maker is not None and len(maker.parameters) == len(args):
            names = dict(zip(maker.parameters, args, strict=True))
            block = _BLOCK.match(maker.body)
            if block is not None and block[1] in names:
                return self._inner(block[3], {**names, block[2]: names[block[1]]})
            return self._inner(maker.body, names)
        self.types = self.runner.types
        return super().call(name, args, line)


def jal_offset(word: int) -> int | None:
    """Return how far a ``jal`` that links to no register jumps; None if a word is another instruction."""
    word &= 0xFFFF_FFFF
    if word & 0xFFF != 0x6F:
        return None
    far = (word >> 31 << 20) | (word >> 12 & 0xFF) << 12 | (word >> 20 & 1) << 11 | (word >> 21 & 0x3FF) << 1
    return far - ((far & 1 << 20) << 1)


def pair_offset(first: int, second: int) -> int:
    """Return what an ``auipc`` and an instruction with 12 bits of a number add to the address of the first."""
    upper, lower = first & 0xFFFF_F000, second >> 20 & 0xFFF
    return upper - ((upper & 1 << 31) << 1) + lower - ((lower & 1 << 11) << 1)
