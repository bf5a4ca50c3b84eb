# SPDX-License-Identifier: GPL-2.0-or-later
"""What bpf_arch_text_poke() leaves in a sled, by running it."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from .cexec import Interpreter, NotRun, Obj
from .ctree import FunctionTree, expression, trees_of
from .source import constant, macros_of
from .words import Words

__all__ = ["POKE", "TYPES", "PokeFault", "arguments", "poke_faults"]

POKE = "bpf_arch_text_poke"
_MADE_OF = ["bool", "u32 *", "void *", "void *"]
_TYPE = "enum bpf_text_poke_type"
_IP, _OLD, _NEW = 0x4000_0000, 0x5000_0000, 0x5100_0000
_CALL, _JUMP, _NOP = "BPF_MOD_CALL", "BPF_MOD_JUMP", "BPF_MOD_NOP"
TYPES = {_CALL: 1, _JUMP: 2, _NOP: 0}
_BOTH = ((_CALL, _CALL), (_JUMP, _JUMP))
_PAIRS = (*_BOTH, (_CALL, _JUMP), (_JUMP, _CALL), (_NOP, _CALL), (_NOP, _JUMP), (_CALL, _NOP), (_JUMP, _NOP))
_WORD = 4


class PokeFault(NamedTuple):
    """Something that is wrong with a poke: a key and words."""

    key: str
    message: str


@lru_cache(maxsize=4)
def poke_faults(source: str, header: str, core: str) -> tuple[PokeFault, ...]:
    """Return what bpf_arch_text_poke() does wrong.

    Args:
        source: bpf_jit_comp64.c.
        header: bpf_jit.h.
        core: bpf_jit_core.c, which says where programs are entered.
    Raises:
        NotRun: it does something that is not understood.
    """
    trees = trees_of(source)
    tree = trees.get(POKE)
    if tree is None:
        raise NotRun(f"{POKE}() is not there")
    maker = _maker(trees)
    if not maker:
        from .pokeentry import entry_faults

        return entry_faults(source, header, core)
    macros = {name: value for text in (header, source) for name, (value, _) in macros_of(text).items()}
    count = constant(macros.get("RV_FENTRY_NINSNS", ""), macros, {})
    if count is None or not 0 < count <= 8 or tree.types.count(_TYPE) not in (1, 2):
        raise NotRun(f"how {POKE}() is called")
    found: dict[str, list[str]] = {}
    for old, new in _PAIRS if tree.types.count(_TYPE) == 2 else _BOTH:
        for is_stale, preempts in itertools.product((False, True), repeat=2):
            poke = _Poke(trees, macros, count, maker, preempts=preempts)
            for fault in poke.faults(tree, (old, new), is_stale=is_stale):
                found.setdefault(fault.message, []).append(fault.key)
    return tuple(_joined(message, dict.fromkeys(keys)) for message, keys in found.items())


def _maker(trees: Mapping[str, FunctionTree]) -> str:
    """Return the function that makes what a sled holds, for a target, a place, words and whether it is a call."""
    called = [name for _, name, _, _ in trees[POKE].calls if name in trees]
    return next((name for name in called if sorted(trees[name].types) == _MADE_OF), "")


def _joined(message: str, keys: Mapping[str, None]) -> PokeFault:
    """Return a fault of several pokes; the keys of those are in words."""
    return PokeFault(f"{message} {', '.join(keys)}", f"{message} ({', '.join(keys)})")


def arguments(tree: FunctionTree, types: tuple[str, str], addresses: Sequence[int]) -> list[Any]:
    """Return arguments of a poke by the types of its parameters: kinds and addresses in order.

    Raises:
        NotRun: it takes something else.
    """
    kinds = [TYPES[kind] for kind in types if tree.types.count(_TYPE) == 2 or kind != _NOP]
    left = list(addresses)
    given: list[Any] = []
    for kind in tree.types:
        if kind == _TYPE:
            given.append(kinds.pop(0))
        elif kind == "void *" and left:
            given.append(left.pop(0))
        else:
            raise NotRun(f"an argument that is a {kind}")
    return given


class _Poke(Words):
    """A sled that is poked. What it holds is told by what was asked for, so that no encoding matters."""

    def __init__(
        self,
        functions: Mapping[str, FunctionTree],
        macros: Mapping[str, str],
        count: int,
        maker: str,
        *,
        preempts: bool,
    ) -> None:
        super().__init__()
        self.maker = maker
        self.preempts = preempts
        self.functions, self.macros, self.count = functions, macros, count
        self.numbers: dict[str, int] = {}
        self.runner = Interpreter(functions, self, typed=True)

    def _sled(self, target: Any, kind: str) -> list[Any]:
        what = ("nops",) if not target else (target, kind == _CALL)
        return [(*what, at) for at in range(self.count)]

    def faults(self, tree: FunctionTree, types: tuple[str, str], *, is_stale: bool) -> Iterator[PokeFault]:
        """Yield what is wrong when a sled of one type is made one of another, or holds something else before."""
        old, new = (0 if kind == _NOP else address for kind, address in zip(types, (_OLD, _NEW), strict=True))
        there = [("other", at) for at in range(self.count)] if is_stale else self._sled(old, types[0])
        self.memory = {_IP + _WORD * at: word for at, word in enumerate(there)}
        before = dict(self.memory)
        failed = bool(self.runner.run(POKE, arguments(tree, types, (_IP, old, new))))
        names = " to ".join({_CALL: "a call", _JUMP: "a jump", _NOP: "nothing"}[kind] for kind in types)
        if is_stale:
            if self.memory != before:
                text = f"{POKE}() writes over something else than the old instructions, which it is told"
                yield PokeFault(names, text)
            elif not failed:
                yield PokeFault(names, f"{POKE}() does not tell that something else stands there than it is told")
            return
        wanted = {_IP + _WORD * at: word for at, word in enumerate(self._sled(new, types[1]))}
        if failed and self.preempts and self.memory == before:
            return  # where tasks are preempted inside a sled, it may refuse
        if failed:
            yield PokeFault(names, f"{POKE}() fails for instructions that are as it is told")
        elif self.memory != wanted:
            yield PokeFault(names, f"{POKE}() leaves other instructions than it is told")

    def ident(self, name: str) -> Any:
        """Return a constant, or the address of what is elsewhere."""
        if name in TYPES:
            return TYPES[name]
        if name.startswith("CONFIG_"):
            return int(self.preempts and name.startswith("CONFIG_PREEMPT"))
        if name in self.macros:
            names, self.runner.names = self.runner.names, {}
            try:
                return self.runner.value(expression(self.macros[name]))
            finally:
                self.runner.names = names
        if name == "NULL":
            return 0
        if name.startswith("E") and name.isupper():
            return 14
        if name.isupper() and not name.startswith("RV_REG_"):
            return super().ident(name)
        return self.numbers.setdefault(name, 0x6000_0000 + 0x100 * len(self.numbers))

    def call(self, name: str, args: Sequence[Any], line: int) -> Any:
        """Return what the kernel's functions give; what makes instructions fills in what was asked for."""
        if name == self.maker:
            return self._make(args)
        if name in self.functions:
            return NotImplemented
        if name in ("is_kernel_text", "is_bpf_text_address", "core_kernel_text", "__is_kernel_text"):
            return 1
        if name.startswith("rv_"):
            return (name, *args)
        self.types = self.runner.types
        return super().call(name, args, line)

    def _make(self, args: Sequence[Any]) -> int:
        given = dict(zip(self.functions[self.maker].types, args, strict=True)) if len(args) == len(_MADE_OF) else {}
        insns, is_call = given.get("u32 *"), given.get("bool")
        types = self.functions[self.maker].types
        addresses = [each for kind, each in zip(types, args, strict=False) if kind == "void *"]
        if not isinstance(insns, Obj) or not isinstance(is_call, int) or addresses.count(_IP) != 1:
            raise NotRun(f"how {self.maker}() is called")
        target = next(each for each in addresses if each != _IP)
        insns.fields |= dict(enumerate(self._sled(target, _CALL if is_call else _JUMP)))
        return 0
