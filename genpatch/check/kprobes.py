# SPDX-License-Identifier: GPL-2.0-or-later
"""What kprobes of a tree write, by running what arms and disarms them on memory of a few bytes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from .cexec import Host, Interpreter, NotRun, Obj, Ref
from .ctree import FunctionTree, trees_of

__all__ = ["ProbeFault", "probe_faults"]

_ARM, _DISARM, _SLOT = "arch_arm_kprobe", "arch_disarm_kprobe", "arch_prepare_ss_slot"
_ADDRESS, _SLOT_AT = 0x1000, 0x5000
_EBREAK, _C_EBREAK = 0x00100073, 0x9002
_OPCODES = {2: 0x4501, 4: 0x00000513}
_NUMBERS = {
    "__BUG_INSN_32": _EBREAK,
    "__BUG_INSN_16": _C_EBREAK,
    "__INSN_LENGTH_MASK": 3,
    "__INSN_LENGTH_32": 3,
    "__INSN_LENGTH_GE_32": 3,
}
_FILLER = 0xEE
_MOST = 64


class ProbeFault(NamedTuple):
    """Something that a probe does wrong.

    Args:
        key: what tells it from others.
        first: line of the function that does it.
        last: its last line.
        message: in words.
    """

    key: str
    first: int
    last: int
    message: str


class _Memory(Host):
    """Bytes, and what writes them."""

    def __init__(self, length: int) -> None:
        self.bytes: dict[int, int] = {}
        self.length = length
        self.functions: Mapping[str, FunctionTree] = {}
        self.write(_ADDRESS, _OPCODES[length], length)
        api = Obj("api")
        api.fields |= {"insn": _SLOT_AT, "restore": 0}
        ainsn = Obj("ainsn")
        ainsn.fields["api"] = api
        self.api = api
        self.probe = Obj("kprobe")
        self.probe.fields |= {"opcode": _OPCODES[length], "addr": _ADDRESS, "ainsn": ainsn}

    def write(self, address: int, value: int, length: int) -> None:
        if not 0 <= length <= _MOST:
            raise NotRun(f"a write of {length} bytes")
        for i in range(length):
            self.bytes[address + i] = value >> 8 * i & 0xFF

    def read(self, address: int, length: int) -> int:
        return sum(self.bytes.get(address + i, _FILLER) << 8 * i for i in range(length))

    def ident(self, name: str) -> Any:
        if name in _NUMBERS:
            return _NUMBERS[name]
        raise NotRun(f"{name} is not known")

    def call(self, name: str, args: Sequence[Any], line: int) -> Any:
        if name == "GET_INSN_LENGTH" and isinstance(args[0], int):
            return 4 if args[0] & 3 == 3 else 2
        if name in ("patch_text", "patch_text_nosync", "patch_insn_write"):
            return self._patch(args)
        if name == "sizeof":
            return {"u16": 2, "u32": 4, "kprobe_opcode_t": 4}.get(str(args[0]), 8)
        if name in ("likely", "unlikely"):
            return args[0]
        if name in self.functions:
            return NotImplemented
        raise NotRun(f"{name}() is not known")

    def _patch(self, args: Sequence[Any]) -> int:
        address, source = args[0], args[1]
        value = source.names[source.name] if isinstance(source, Ref) else source
        if not isinstance(address, int) or not isinstance(value, int):
            raise NotRun("a write of what is no number")
        length = args[2] if len(args) > 2 else (4 if value & 3 == 3 else 2)
        if not isinstance(length, int):
            raise NotRun("a length that is no number")
        self.write(address, value, length)
        return 0


@lru_cache(maxsize=8)
def probe_faults(text: str) -> tuple[tuple[ProbeFault, ...], frozenset[str]]:
    """Return what is wrong, and the functions that could not be run."""
    trees = trees_of(text)
    found: list[ProbeFault] = []
    unknown: set[str] = set()
    checks: dict[str, Callable[[str, int], Iterator[tuple[str, str]]]] = {
        _ARM: _armed,
        _DISARM: _disarmed,
        _SLOT: _slot,
    }
    for name, check in checks.items():
        if name not in trees:
            continue
        for length in _OPCODES:
            try:
                for what, message in check(text, length):
                    key = f"{what} {length}"
                    found.append(ProbeFault(key, trees[name].line, trees[name].end, f"{name}() {message}"))
            except NotRun:
                unknown.add(f"{name}()")
    return tuple(found), frozenset(unknown)


def _run(text: str, memory: _Memory, *names: str) -> None:
    memory.functions = trees_of(text)
    for name in names:
        Interpreter(memory.functions, memory).run(name, [memory.probe])


def _armed(text: str, length: int) -> Iterator[tuple[str, str]]:
    memory = _Memory(length)
    _run(text, memory, _ARM)
    written = [address for address, byte in memory.bytes.items() if address >= _ADDRESS + length]
    if written:
        yield "long", f"writes {len(written)} bytes behind an instruction of {length}"
    elif not _breaks(memory, _ADDRESS):
        yield "no break", f"does not put a whole breakpoint in the place of an instruction of {length} bytes"


def _breaks(memory: _Memory, address: int) -> bool:
    """Tell whether a whole breakpoint stands somewhere."""
    return memory.read(address, 2) == _C_EBREAK or memory.read(address, 4) == _EBREAK


def _disarmed(text: str, length: int) -> Iterator[tuple[str, str]]:
    memory = _Memory(length)
    _run(text, memory, _ARM)
    armed = dict(memory.bytes)
    _run(text, memory, _DISARM)
    if memory.read(_ADDRESS, length) != _OPCODES[length]:
        yield "not back", f"does not put back an instruction of {length} bytes"
    behind = {address for address, byte in memory.bytes.items() if address >= _ADDRESS + length}
    if behind - armed.keys():
        yield "back long", f"writes {len(behind)} bytes behind an instruction of {length}"


def _slot(text: str, length: int) -> Iterator[tuple[str, str]]:
    memory = _Memory(length)
    _run(text, memory, _SLOT)
    if memory.read(_SLOT_AT, length) != _OPCODES[length]:
        yield "copy", f"does not copy an instruction of {length} bytes to the slot"
    elif not _breaks(memory, _SLOT_AT + length):
        yield "slot break", f"does not put a whole breakpoint behind the copy of an instruction of {length} bytes"
    restore = memory.api.fields["restore"]
    if restore != _ADDRESS + length:
        yield "restore", f"goes on {restore - _ADDRESS} bytes behind the start of an instruction of {length}"
