# SPDX-License-Identifier: GPL-2.0-or-later
"""What bpf_arch_text_poke() leaves in the entry of a program, by running it on what the JIT emits there."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any

from .cexec import Interpreter, NotRun
from .ctree import expression
from .jit import Setting, Texts, entry_of, run_jit, texts_of
from .poke import POKE, TYPES, PokeFault, arguments
from .words import Words

__all__ = ["entry_faults"]

_PROLOGUE = "bpf_jit_build_prologue"
_BASE, _ONE, _OTHER = 0x4000_0000, 0x5000_0000, 0x5100_0000
_WORD = 4
_WIDTHS = {"u32": 4, "u64": 8}
_HALF = 1 << 32


def entry_faults(source: str, header: str, core: str) -> tuple[PokeFault, ...]:
    """Return what bpf_arch_text_poke() does wrong with the entry of a program.

    Args:
        source: bpf_jit_comp64.c.
        header: bpf_jit.h.
        core: bpf_jit_core.c.
    Raises:
        NotRun: it does something that is not understood.
    """
    trace = run_jit(source, header, _PROLOGUE, {}, Setting())
    first = entry_of(source, header, core, Setting())
    image = {_BASE + 2 * each.at: (each.op, *each.args) for each in trace.events if not 2 * each.at % _WORD}
    found = _Pokes(texts_of(source, header), image, _BASE + first).faults()
    return tuple(dict.fromkeys(found))


class _Pokes:
    """Pokes of one entry, each starting from the memory that another one left."""

    def __init__(self, texts: Texts, image: Mapping[int, Any], entry: int) -> None:
        self.texts, self.image, self.entry = texts, dict(image), entry

    def _poked(self, memory: Mapping[int, Any], old: int, new: int) -> tuple[dict[int, Any], bool]:
        """Return the memory after a poke, and whether it failed."""
        host = _Entry(self.texts, memory)
        tree = self.texts.functions[POKE]
        types = ("BPF_MOD_CALL" if old else "BPF_MOD_NOP", "BPF_MOD_CALL" if new else "BPF_MOD_NOP")
        failed = bool(host.runner.run(POKE, arguments(tree, types, (self.entry, old, new))))
        return host.memory, failed

    def faults(self) -> Iterator[PokeFault]:
        """Yield what is wrong."""
        one, one_failed = self._poked(self.image, 0, _ONE)
        other, other_failed = self._poked(self.image, 0, _OTHER)
        moved, moved_failed = self._poked(one, _ONE, _OTHER)
        none, none_failed = self._poked(one, _ONE, 0)
        if one_failed or other_failed or moved_failed or none_failed:
            yield PokeFault("entry fails", f"{POKE}() fails for an entry that is as it is told")
            return
        if one == self.image or _renamed(one) != other or _ONE & 0xFFFF_FFFF not in one.values():
            yield PokeFault("entry call", f"{POKE}() leaves no call of what it is told in the entry of a program")
        if moved != other:
            yield PokeFault("entry moved", f"{POKE}() leaves another entry where a target is replaced than at first")
        if any(none[at] != self.image[at] for at in (self.entry, self.entry + _WORD)):
            yield PokeFault("entry none", f"{POKE}() undoes a call and leaves an entry that is not as it was emitted")
        stale = ((self.image, _ONE, _OTHER), (self.image, _ONE, 0), (one, 0, _OTHER), (one, _OTHER, 0))
        for memory, old, new in stale:
            after, failed = self._poked(memory, old, new)
            if after != memory:
                text = f"{POKE}() writes over something else than the old instructions, which it is told"
                yield PokeFault("entry stale", text)
            elif not failed:
                yield PokeFault(
                    "entry silent", f"{POKE}() does not tell that something else stands there than it is told"
                )


def _renamed(memory: Mapping[int, Any]) -> dict[int, Any]:
    return {at: _OTHER if word == _ONE else word for at, word in memory.items()}


@lru_cache(maxsize=4)
def _members(text: str) -> Mapping[str, tuple[int, int, bool]]:
    """Return offset, width and whether it is an array of each member of structs of plain words, if only one has it."""
    found: dict[str, tuple[int, int, bool]] = {}
    twice: set[str] = set()
    for body in re.findall(r"^struct \w+ \{([^{}]*)\};", text, re.M):
        members = re.findall(r"^\s*(\w+) (\w+)(?:\[(\d{1,4})\])?;", body, re.M)
        if len(members) != body.count(";") or any(kind not in _WIDTHS for kind, _, _ in members):
            continue
        end = 0
        for kind, name, count in members:
            width = _WIDTHS[kind]
            at = -(-end // width) * width
            twice |= {name} & found.keys()
            found[name] = (at, width, bool(count))
            end = at + width * int(count or 1)
    return {name: each for name, each in found.items() if name not in twice}


class _Entry(Words):
    """The memory that a poke is run on."""

    def __init__(self, texts: Texts, memory: Mapping[int, Any]) -> None:
        super().__init__()
        self.texts = texts
        self.memory = dict(memory)
        self.runner = Interpreter(texts.functions, self, typed=True)

    def ident(self, name: str) -> Any:
        """Return a constant of the JIT's."""
        if name in self.texts.registers:
            return self.texts.registers[name]
        if name in self.texts.macros:
            names, self.runner.names = self.runner.names, {}
            try:
                return self.runner.value(expression(self.texts.macros[name][0]))
            finally:
                self.runner.names = names
        if name.startswith("CONFIG_"):
            return int(name == "CONFIG_64BIT")
        if name == "NULL":
            return 0
        if name in TYPES:
            return TYPES[name]
        if re.fullmatch(r"E[A-Z]{2,10}", name):
            return 14
        return 0x6000_0000 if name.islower() else super().ident(name)

    def _member(self, base: Any, name: str) -> tuple[int, int, bool]:
        known = _members(self.texts.header).get(name)
        if known is None or not isinstance(base, int):
            raise NotRun(f"the field {name} is not known")
        return base + known[0], known[1], known[2]

    def place(self, base: Any, name: str) -> Any:
        """Return the address of a member."""
        return self._member(base, name)[0]

    def field(self, base: Any, name: str) -> Any:
        """Return what a member holds, or its address if it is an array."""
        if isinstance(base, int) and (index := re.fullmatch(r"\[(\d+)\]", name)) is not None:
            return self.word(base + _WORD * int(index[1]))
        if name == "*":
            return super().field(base, name)
        at, width, is_array = self._member(base, name)
        if is_array:
            return at
        low, high = self.word(at), self.word(at + _WORD) if width > _WORD else 0
        return low + high * _HALF if isinstance(low, int) and isinstance(high, int) else (low, high)

    def call(self, name: str, args: Sequence[Any], line: int) -> Any:
        """Return what the kernel's functions give, and instructions as the JIT's run has them."""
        if name in self.texts.functions:
            return NotImplemented
        if name in ("is_kernel_text", "is_bpf_text_address", "core_kernel_text", "__is_kernel_text"):
            return 1
        if name.startswith("rv_"):
            return (name.removeprefix("rv_"), *args)
        if name == "IS_ALIGNED" and all(isinstance(each, int) for each in args) and len(args) == 2 and args[1] > 0:
            return int(args[0] % args[1] == 0)
        if name == "cfi_get_offset":
            return 0
        if name == "offsetof":
            return self.texts.offset
        if name == "sizeof" and (size := self._sized(str(args[0]))):
            return size
        self.types = self.runner.types
        return super().call(name, args, line)

    def _sized(self, what: str) -> int | None:
        """Return the size of a struct of the JIT's, or of what a variable points to."""
        if what.startswith("*"):
            return _WIDTHS.get(self.runner.types.get(what[1:], "").removesuffix(" *"))
        return self.texts.structs.get(what.removeprefix("struct "))
