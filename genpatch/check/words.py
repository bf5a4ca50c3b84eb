# SPDX-License-Identifier: GPL-2.0-or-later
"""Text that C functions patch while they are run: words in memory, and what copies and compares them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from .cexec import Host, NotRun, Obj, Ref
from .lengths import WRITES

__all__ = ["Words"]

_WORD = 4
_MOST = 64
_QUIET = re.compile(
    r"guard|pr_\w+|printk|(?:mutex|cpus_read|preempt|local_irq|rcu_read|lockdep|flush|local_flush|smp)_\w+|BUILD_BUG\w*"
    r"|synchronize_rcu\w*|might_sleep|barrier"
)
"""Functions that give nothing, or nothing that a decision is made by."""
_SAME = ("likely", "unlikely", "IS_ENABLED", "WARN_ON", "WARN_ON_ONCE", "READ_ONCE")
_POINTER_OPS = ("ALIGN_DOWN", "round_down", "PTR_ALIGN_DOWN")
_SIZES = {"u32": 4, "unsigned int": 4, "int": 4, "u64": 8, "unsigned long": 8, "long": 8}


class Words(Host):
    """Memory of words by address, and the kernel's functions that write, read and compare them.

    What else is called makes the run end with NotRun: whether it fails or not would decide what is written.
    """

    def __init__(self) -> None:
        self.memory: dict[int, Any] = {}
        self.types: dict[str, str] = {}
        """Types of the variables of the function that is run."""

    def write(self, address: Any, source: Any, length: Any) -> None:
        """Copy bytes to memory.

        Raises:
            NotRun: they are not whole words, or not known.
        """
        if not isinstance(address, int):
            raise NotRun("a write to what is no address")
        for at, word in enumerate(self.words(source, length)):
            self.memory[address + _WORD * at] = word

    def words(self, source: Any, length: Any) -> list[Any]:
        """Return the words that stand somewhere.

        Raises:
            NotRun: they are not whole words, or not known.
        """
        if not isinstance(length, int) or length % _WORD or not 0 < length <= _MOST * _WORD:
            raise NotRun("a length that is no number of words")
        count = length // _WORD
        if isinstance(source, int):
            found = [self.word(source + _WORD * at) for at in range(count)]
        elif isinstance(source, Obj):
            found = [source.fields.get(at) for at in range(count)]
        elif isinstance(source, Ref) and isinstance(source.name, int):
            found = [source.names.get(source.name + at) for at in range(count)]
        elif isinstance(source, Ref) and count <= 2:
            value = source.names[source.name]
            found = [value & 0xFFFF_FFFF, value >> 32][:count] if isinstance(value, int) else [value]
            if len(found) != count:
                raise NotRun("words that are not known")
        else:
            found = [None]
        if any(word is None for word in found):
            raise NotRun("words that are not known")
        return found

    def word(self, address: int) -> Any:
        """Return a word of memory; where nothing was written, one that equals no other."""
        return self.memory.get(address, ("unwritten", address))

    def field(self, base: Any, name: str) -> Any:
        """Return what an address points to."""
        return self.word(base) if name == "*" and isinstance(base, int) else super().field(base, name)

    def call(self, name: str, args: Sequence[Any], line: int) -> Any:
        """Return what a function of the kernel gives."""
        if name in WRITES:
            self.write(args[0], args[WRITES[name][0]], args[WRITES[name][1]])
            return 0
        if name == "copy_from_kernel_nofault" and len(args) == 3:
            self._read(args[0], self.words(args[1], args[2]))
            return 0
        if name == "memcmp" and len(args) == 3:
            return int(self.words(args[0], args[2]) != self.words(args[1], args[2]))
        if name in _POINTER_OPS and len(args) == 2 and all(isinstance(each, int) for each in args) and args[1] > 0:
            return args[0] // args[1] * args[1]
        if name == "BIT" and len(args) == 1 and isinstance(args[0], int) and 0 <= args[0] < 63:
            return 1 << args[0]
        if name in _SAME and len(args) == 1:
            return args[0]
        if name == "sizeof":
            return self._size(str(args[0]))
        if _QUIET.fullmatch(name):
            return 0
        return super().call(name, args, line)

    def _size(self, what: str) -> int:
        kind = self.types.get(what, what)
        if kind.endswith("*"):
            return 8
        if kind not in _SIZES:
            raise NotRun(f"the size of {what}")
        return _SIZES[kind]

    def _read(self, target: Any, words: list[Any]) -> None:
        if isinstance(target, Obj):
            target.fields |= dict(enumerate(words))
        elif isinstance(target, Ref) and isinstance(target.name, int):
            target.names |= {target.name + at: word for at, word in enumerate(words)}
        elif isinstance(target, Ref) and len(words) == 1:
            target.names[target.name] = words[0]
        else:
            raise NotRun("a copy to what is no variable")
