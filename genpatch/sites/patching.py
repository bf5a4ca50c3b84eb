# SPDX-License-Identifier: GPL-2.0-or-later
"""The kernel's own patching code, read: what it writes where, and what its trampolines do.

Everything here comes from instructions. A routine that is not there (inlined, stripped) gives None, and
what is not understood is not reported as understood.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ..image.model import KernelImage
from ..image.symbols import LOCAL
from ..schemes import Link
from ..units import Span
from .flow import (
    A0,
    RA,
    SP,
    T0,
    Access,
    Branch,
    Call,
    Routine,
    Value,
    entry_value,
    read_routine,
)

INNER_LABELS = frozenset(
    {"ftrace_call", "ftrace_regs_call", "ftrace_graph_call", "ftrace_graph_regs_call", "ftrace_caller_direct"}
)
"""Labels inside a trampoline, which kallsyms lists like functions."""

PATCH_PRIMITIVES = (
    "patch_insn_write", "patch_text_nosync", "patch_text_set_nosync", "patch_insn_set", "patch_text",
    "__patch_insn_write", "patch_insn",
)  # fmt: skip
"""Routines that write text: address in a0, length in bytes (patch_text before v6.10: in instructions) in a2."""

_MAX_ROUTINE = 0x2000
_AUIPC_SIZE = 4
_LEAST_GUARD = 16
_MAX_DEPTH = 2
_REC_ARGUMENT = {"ftrace_make_call": 0, "ftrace_modify_call": 0, "ftrace_make_nop": 1, "ftrace_init_nop": 1}


@dataclass(frozen=True, slots=True)
class TextStore:
    """One write into text by a patching routine.

    Args:
        at: distance from rec->ip [bytes].
        width: [bytes], or None where it is not a constant.
        align_down: the address is rounded down to this many bytes after `at` was applied; 1 if it is not.
        through: the routine that writes.
    """

    at: int
    width: int | None
    align_down: int
    through: str

    def address(self, ip: int) -> int:
        """Return the address written for a site."""
        return (ip + self.at) & -self.align_down


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """What a trampoline keeps in memory around a call.

    Args:
        size: stack bytes it takes.
        base: offset of the struct it passes, from the lowered sp.
        saved: for each field offset from the struct's start, the register whose entry value is stored there.
        stored: every offset stored to before the call, with its width.
        restored: for each register loaded after the call, the offset it is loaded from.
        passes_frame: the register that carries the struct's address to the callback, or None.
    """

    size: int
    base: int
    saved: dict[int, int]
    stored: dict[int, int]
    restored: dict[int, int]
    passes_frame: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Trampoline:
    """One trampoline, as read along the path that calls back.

    Args:
        name, span: which and where.
        link: register it returns to the function through, None if no such jump was seen.
        literals: distances from t0 that 8-byte loads read at, in order [bytes]; where the ops pointer is.
        passes_ops: the third argument of the callback is what the last of those loads read.
        direct_at: offset within the ops of what it loads and tests before making a frame, or None.
        ops_func_at: offset within the ops of the callback, or None.
        ip_argument: a0 at the callback minus the link register at entry [bytes], or None.
        parent_argument: a1 at the callback is the entry value of this register, or None.
        frame: its stack frame, None if it makes none.
        lost: registers that do not hold their entry value when it returns.
        unbalanced: sp at the return minus sp at entry [bytes].
        complete: all of it was understood.
    """

    name: str
    span: Span
    link: Link | None
    literals: tuple[int, ...]
    passes_ops: bool
    direct_at: int | None
    ops_func_at: int | None
    ip_argument: int | None
    parent_argument: int | None
    frame: Frame | None
    lost: frozenset[int]
    unbalanced: int | None
    complete: bool

    @property
    def literal(self) -> int | None:
        """Distance of the ops literal from t0 [bytes], None if t0 is not loaded through."""
        return self.literals[0] if self.literals else None


@dataclass(frozen=True, kw_only=True)
class PatchingCode:
    """Lazy access to what the image's patching code says."""

    image: KernelImage

    def span(self, name: str) -> Span | None:
        """Return where a routine lies, None if there is no such symbol or it is empty."""
        index = self.image.symbols.find_index(name)
        return None if index is None else self.span_of(index)

    def span_of(self, index: int) -> Span | None:
        """Return where the routine at a symbol lies, None if it is empty."""
        start = int(self.image.symbols.address[index])
        size = int(self.image.symbols.size[index])
        end = start + size if 0 < size <= _MAX_ROUTINE else self._next_function(start)
        return Span(start, min(end, start + _MAX_ROUTINE)) if end > start else None

    def _next_function(self, start: int) -> int:
        symbols = self.image.symbols
        starts = symbols.function_starts
        at = int(starts.searchsorted(start, "right"))
        while at < len(starts) and symbols.name(int(symbols.functions[at])) in INNER_LABELS:
            at = int(starts.searchsorted(int(starts[at]), "right"))
        return int(starts[at]) if at < len(starts) else start + _MAX_ROUTINE

    def routine(self, name: str) -> Routine | None:
        """Return a routine as read, None where it is absent."""
        span = self.span(name)
        return None if span is None else read_routine(self.image.memory, span.start, span.end)

    def _displacement(self, name: str) -> int | None:
        """Return k of a routine that returns its first argument + k, or 0 for 0; None if it is absent or does more."""
        routine = self.routine(name)
        if routine is None or not routine.complete:
            return None
        results = {
            call.arguments[0].distance_from(entry_value(A0))
            for call in routine.calls()
            if call.link == 0 and call.via == RA and not _is_for_no_entry(routine, call)
        }
        return next(iter(results)) if len(results) == 1 else None

    @cached_property
    def call_adjust(self) -> int | None:
        """ip - entry, as ftrace_call_adjust computes it [bytes]; None where it is inlined."""
        return self._displacement("ftrace_call_adjust")

    @cached_property
    def symaddr(self) -> int | None:
        """func - ip, as arch_ftrace_get_symaddr computes it [bytes]; None where it is inlined."""
        return self._displacement("arch_ftrace_get_symaddr")

    @cached_property
    def primitives(self) -> dict[int, str]:
        """Addresses of the routines that write text, with their names."""
        found = ((self.image.address_of(name), name) for name in PATCH_PRIMITIVES)
        return {address: name for address, name in found if address is not None}

    def stores(self, name: str) -> tuple[TextStore, ...]:
        """Return the text writes of one of ftrace's routines, in order of reading; empty where it is absent."""
        routine = self.routine(name)
        if routine is None:
            return ()
        rec = entry_value(A0 + _REC_ARGUMENT[name])
        ip = Value(("load", rec, 8), 0)
        return tuple(self._stores_in(routine, ip, {}, _MAX_DEPTH))

    def _stores_in(self, routine: Routine, ip: Value, bound: dict[int, Value], depth: int) -> Iterator[TextStore]:
        for call in routine.calls():
            if call.target is None:
                continue
            arguments = {A0 + n: _bind(value, bound) for n, value in enumerate(call.arguments[:4])}
            if call.target in self.primitives:
                store = _text_store(arguments[A0], arguments[A0 + 2], ip, self.primitives[call.target])
                if store is not None:
                    yield store
            elif depth and self._is_helper(call.target):
                end = self._next_function(call.target)
                inner = read_routine(self.image.memory, call.target, min(end, call.target + _MAX_ROUTINE))
                yield from self._stores_in(inner, ip, arguments, depth - 1)

    def _is_helper(self, target: int) -> bool:
        index = self.image.symbols.at_or_before(np.array([target], np.uint64))[0]
        if index < 0 or int(self.image.symbols.address[index]) != target:
            return False
        is_static = int(self.image.symbols.binding[index]) == LOCAL
        return is_static or "ftrace" in self.image.symbols.name(int(index))

    @cached_property
    def call_stores(self) -> tuple[TextStore, ...]:
        """What ftrace_make_call writes."""
        return self.stores("ftrace_make_call")

    @cached_property
    def call_width(self) -> int | None:
        """Bytes of instructions that ftrace_make_call writes from ip on; None where that is not known."""
        widths = [store.width for store in self.call_stores if store.at >= 0 and store.align_down == 1]
        return widths[0] if widths and all(width == widths[0] for width in widths) else None

    @cached_property
    def literal_store(self) -> TextStore | None:
        """The write of the ops pointer, None where no routine makes one."""
        for name in ("ftrace_make_call", "ftrace_make_nop", "ftrace_init_nop"):
            for store in self.stores(name):
                if store.at + 8 <= -_AUIPC_SIZE and store.width == 8:
                    return store
        return None

    @cached_property
    def stops_machine(self) -> bool | None:
        """Whether patching runs under stop_machine; None where arch_ftrace_update_code is not there."""
        routine = self.routine("arch_ftrace_update_code")
        if routine is None:
            return None
        called = {self.image.symbols.nearest(call.target) for call in routine.calls() if call.target is not None}
        if called & {"stop_machine", "stop_machine_cpuslocked", "ftrace_run_stop_machine"}:
            return True
        return False if "ftrace_modify_all_code" in called else None

    @cached_property
    def sorts_own_table(self) -> bool | None:
        """Whether ftrace_process_locs sorts the kernel's own table at boot; None where that is not known."""
        routine, sort = self.routine("ftrace_process_locs"), self.image.address_of("sort")
        if routine is None or sort is None:
            return None
        calls = [call for call in routine.calls() if call.target == sort]
        if not calls:
            return None if not routine.complete else False
        return any(routine.reaches(call.pc, zero=entry_value(A0)) for call in calls)

    @cached_property
    def direct_guard(self) -> int | None:
        """The largest distance at which ftrace_make_call takes a direct target for reachable [bytes].

        None where the routine is absent or compares something else (such as hi20). An unsigned comparison
        with a constant that is no address is taken for the test.
        """
        branch = self._guard
        return None if branch is None else _distance_limit(branch)

    @property
    def has_second_guard(self) -> bool:
        """Whether ftrace_make_call goes on to compare two values that are no constants, as two auipcs would be."""
        routine, guard = self.routine("ftrace_make_call"), self._guard
        if routine is None or guard is None:
            return False
        return any(
            branch.name in ("beq", "bne") and branch.pc > guard.pc and branch.left.constant is branch.right.constant
            for branch in routine.branches()
        )

    @property
    def _guard(self) -> Branch | None:
        routine = self.routine("ftrace_make_call")
        if routine is None or self.image.address_of("ftrace_caller") is None:
            return None
        for branch in routine.branches():
            if branch.name in ("bltu", "bgeu"):
                for value in (branch.left, branch.right):
                    if value.constant is not None and _LEAST_GUARD <= value.constant < 1 << 31:
                        return branch
        return None

    def trampoline(self, name: str) -> Trampoline | None:
        """Return a trampoline as read, None where it is absent."""
        index = self.image.symbols.find_index(name)
        return None if index is None else self.trampoline_at(name, index)

    def trampoline_at(self, name: str, index: int) -> Trampoline | None:
        """Return the trampoline at one symbol, None where it is empty."""
        span = self.span_of(index)
        return None if span is None else _trampoline(name, span, read_routine(self.image.memory, span.start, span.end))

    @cached_property
    def caller(self) -> Trampoline | None:
        """ftrace_caller."""
        return self.trampoline("ftrace_caller")


def _is_for_no_entry(routine: Routine, call: Call) -> bool:
    """Tell whether a return gives 0, and is taken for a first argument of 0 alone."""
    both = {entry_value(A0), Value(None, 0)}
    tests = routine.branches()
    is_alone = bool(tests) and all({test.left, test.right} == both and test.name in ("beq", "bne") for test in tests)
    return is_alone and call.arguments[0].constant == 0 and routine.reaches(call.pc, zero=entry_value(A0))


def _distance_limit(branch: Branch) -> int:
    """Return the largest value for which ``limit >= x`` or ``!(limit < x)`` holds."""
    constant = branch.left.constant if branch.left.constant is not None else branch.right.constant
    assert constant is not None
    return constant if branch.left.constant is not None else constant - 1


def _bind(value: Value, bound: dict[int, Value]) -> Value:
    """Replace the entry values of a called routine by what its caller passed."""
    base = value.base
    if base is None:
        return value
    if base[0] == "entry" and isinstance(base[1], int):
        return bound[base[1]].plus(value.offset) if base[1] in bound else value
    if base[0] in ("load", "align") and isinstance(base[1], Value):
        return Value((base[0], _bind(base[1], bound), base[2]), value.offset)
    return value


def _text_store(address: Value, length: Value, ip: Value, through: str) -> TextStore | None:
    """Return the write as a distance from ip, None if its address does not come from ip."""
    align = 1
    base = address.base
    if base is not None and base[0] == "align" and isinstance(base[1], Value) and isinstance(base[2], int):
        align, address = -base[2], base[1]
    distance = address.distance_from(ip)
    if distance is None:
        return None
    return TextStore(distance, length.constant, align, through)


def _trampoline(name: str, span: Span, routine: Routine) -> Trampoline:
    callback = next((call for call in routine.calls() if call.link != 0), None)
    after = [call for call in routine.calls() if callback is None or call.pc > callback.pc]
    jumps = [call for call in after if call.link == 0]
    final = next((call for call in jumps if call.through in (entry_value(T0), entry_value(RA))), None)
    final = final or next((call for call in after if callback and call.through == _result_of(callback)), None)
    final = final or next((call for call in jumps if call.via in (T0, RA)), None)
    ops = _ops_accesses(routine)
    return Trampoline(
        name=name,
        span=span,
        link={T0: Link.T0, RA: Link.RA}.get(final.via) if final else None,
        literals=tuple(offset for offset, _, _ in ops),
        passes_ops=callback is not None and any(callback.arguments[2] == access.value for _, access, _ in ops),
        direct_at=_direct_at(routine, ops),
        ops_func_at=_ops_func_at(callback),
        ip_argument=callback.arguments[0].distance_from(entry_value(T0)) if callback else None,
        parent_argument=_entry_register(callback.arguments[1]) if callback else None,
        frame=_frame(routine, callback),
        lost=_lost(final),
        unbalanced=final.registers[SP].distance_from(entry_value(SP)) if final else None,
        complete=final is not None and (routine.complete or final.through == _result_of(callback)),
    )


def _result_of(call: Call | None) -> Value | None:
    """What a call left in a0: where return_to_handler and rethook's trampoline go on to."""
    return None if call is None else Value(("opaque", call.pc, A0), 0)


def _ops_accesses(routine: Routine) -> list[tuple[int, Access, int]]:
    """Loads of 8 bytes below t0: (distance from t0, the access, its position)."""
    found = []
    for position, access in enumerate(routine.accesses()):
        distance = access.address.distance_from(entry_value(T0))
        if distance is not None and distance < 0 and access.width == 8 and not access.is_store:
            found.append((distance, access, position))
    return found


def _direct_at(routine: Routine, ops: list[tuple[int, Access, int]]) -> int | None:
    """The offset in the ops that is loaded before any store (that is, before a frame is made)."""
    pointers = {access.value.base for _, access, _ in ops}
    for access in routine.accesses():
        if access.is_store:
            return None
        if access.address.base in pointers:
            return access.address.offset
    return None


def _ops_func_at(callback: Call | None) -> int | None:
    """The offset within the third argument (the ops) that the callback's address is loaded from."""
    if callback is None or callback.through.base is None or callback.through.base[0] != "load":
        return None
    source = callback.through.base[1]
    return source.distance_from(callback.arguments[2]) if isinstance(source, Value) else None


def _entry_register(value: Value) -> int | None:
    """The register whose entry value this is, or None."""
    if value.offset == 0 and value.base is not None and value.base[0] == "entry" and isinstance(value.base[1], int):
        return value.base[1]
    return None


def _frame(routine: Routine, callback: Call | None) -> Frame | None:
    if callback is None:
        return None
    sp = entry_value(SP)
    lowered = callback.registers[SP].distance_from(sp)
    if lowered is None or lowered >= 0:
        return None
    passed = {
        register: distance
        for register in (A0 + 3, A0)
        if (distance := callback.registers[register].distance_from(sp)) is not None and lowered <= distance < 0
    }
    carrier = next(iter(passed), None)
    base = passed[carrier] if carrier is not None else lowered
    saved: dict[int, int] = {}
    stored: dict[int, int] = {}
    restored: dict[int, int] = {}
    called = False
    for event in routine.events:
        if event is callback:
            called = True
        elif isinstance(event, Access) and (at := event.address.distance_from(sp)) is not None:
            if event.is_store and not called:
                stored[at - base] = event.width
                register = _entry_register(event.value)
                if register is not None:
                    saved[at - base] = register
            elif called and not event.is_store:
                restored.setdefault(event.register, at - base)
    return Frame(
        size=-lowered,
        base=base - lowered,
        saved=saved,
        stored=stored,
        restored=restored,
        passes_frame=carrier,
    )


def _lost(final: Call | None) -> frozenset[int]:
    if final is None:
        return frozenset()
    lost = {number for number in range(1, 32) if final.registers[number] != entry_value(number)} - {final.via}
    if final.via in (T0, RA) and final.through != entry_value(final.via):
        lost.add(final.via)
    return frozenset(lost)
