# SPDX-License-Identifier: GPL-2.0-or-later
"""text_mutex on every way through a function, and what runs inside stop_machine()."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from .change import Change
from .ctree import Expr, FunctionTree, Stmt, Trees, parts_of
from .patching import STORES, sources
from .source import Function

__all__ = [
    "ASSERT",
    "CPUS",
    "FLAG",
    "LOCKS",
    "MUTEX",
    "STOPS",
    "TEXT_MUTEX",
    "LockFault",
    "callbacks_of",
    "lock_faults",
    "nested",
    "reached_from",
    "text_sources",
    "unheld_stores",
]

MUTEX: Expr = ("addr", ("id", "text_mutex"))
FLAG = "riscv_patch_in_stop_machine"
ASSERT = "lockdep_assert_held"
STOPS = frozenset(("stop_machine", "stop_machine_cpuslocked", "stop_core_cpuslocked"))
_MOST_STATES = 64
_MOST_ROUNDS = 20
_MOST_STEPS = 20_000


_PATCHES = re.compile(r"\b(?:patch_(?:text|insn)|text_mutex|ftrace_modify_|copy_to_kernel_nofault)|\bstop_machine\w*\(")


def text_sources(change: Change) -> Iterator[tuple[str, dict[str, Function], dict[str, Function]]]:
    """Yield path, functions before and functions after of the changed C files that patch text, by the names in them."""
    for path, old, new in sources(change):
        if any(_PATCHES.search(texts.read(path) or "") for texts in (change.before, change.after)):
            yield path, old, new


class Lock(NamedTuple):
    """Something that is taken and given back.

    Args:
        name: in words.
        take: function that takes it.
        give: function that gives it back; empty for a flag that is set and cleared.
        args: of both.
        nests: it may be taken again by who has it.
    """

    name: str
    take: str
    give: str
    args: tuple[Expr, ...] = ()
    nests: bool = True


TEXT_MUTEX = Lock("text_mutex", "mutex_lock", "mutex_unlock", (MUTEX,), nests=False)
CPUS = Lock("cpus_read_lock()", "cpus_read_lock", "cpus_read_unlock")
LOCKS = (
    TEXT_MUTEX,
    CPUS,
    Lock("preemption disabled", "preempt_disable", "preempt_enable"),
    Lock(FLAG, FLAG, ""),
)


class LockFault(NamedTuple):
    """A way through a function on which something is not taken and given back in turn.

    Args:
        kind: ``leak``, ``twice`` or ``unheld``.
        line: where it shows.
        message: in words, without the function's name.
    """

    kind: str
    line: int
    message: str


class _State(NamedTuple):
    """What holds at some place.

    Args:
        held: how often the lock was taken and not given back.
        guards: how many guards hold it.
        known: (condition, outcome) of plain conditions on the way.
    """

    held: int = 0
    guards: int = 0
    known: frozenset[tuple[str, bool]] = frozenset()


class _TooMany(Exception):  # noqa: N818
    pass


class _Walk:
    """All ways through one function, a set of states at a time."""

    def __init__(self, tree: FunctionTree, lock: Lock, called: frozenset[str]) -> None:
        self.tree = tree
        self.lock = lock
        self.called = called
        self.faults: list[LockFault] = []
        self.exits: list[tuple[int, _State]] = []
        self.labels: dict[str, set[_State]] = {}
        self.breaks: list[set[_State]] = []
        self.stores: list[tuple[str, int]] = []
        self.steps = 0

    def run(self) -> None:
        for _ in range(_MOST_ROUNDS):
            known = {label: len(states) for label, states in self.labels.items()}
            self.faults, self.exits, self.stores = [], [], []
            states = {_State()}
            for stmt in self.tree.body:
                states = self._stmt(stmt, states)
            self.exits += [(self.tree.end, state) for state in states]
            if known == {label: len(states) for label, states in self.labels.items()}:
                return
        raise _TooMany

    def _stmt(self, stmt: Stmt, states: set[_State]) -> set[_State]:
        self.steps += 1
        if len(states) > _MOST_STATES or self.steps > _MOST_STEPS:
            raise _TooMany
        kind = stmt[0]
        if kind == "label":
            self.labels.setdefault(stmt[1], set())
            return self._stmt(stmt[2], states | self.labels[stmt[1]])
        if not states:
            for label in (each for each in parts_of(stmt) if each[0] == "label"):
                if self.labels.get(label[1]):
                    raise _TooMany  # a way into the middle of what this way does not reach
            return states
        if kind == "block":
            return self._block(stmt[1], states)
        if kind == "if":
            return self._if(stmt, states)
        if kind in ("for", "do"):
            return self._loop(stmt, states)
        if kind == "switch":
            return self._switch(stmt, states)
        return self._plain(stmt, states)

    def _block(self, body: Iterable[Stmt], states: set[_State]) -> set[_State]:
        before = {state.guards for state in states}
        for each in body:
            states = self._stmt(each, states)
        lowest = min(before, default=0)
        return {_State(state.held, min(state.guards, lowest), state.known) for state in states}

    def _plain(self, stmt: Stmt, states: set[_State]) -> set[_State]:
        kind = stmt[0]
        states = self._effects(stmt, states)
        if kind == "return":
            self.exits += [(stmt[2], state) for state in states]
            return set()
        if kind == "goto":
            self.labels.setdefault(stmt[1], set()).update(states)
            return set()
        if kind in ("break", "continue"):
            if self.breaks:
                self.breaks[-1] |= states
            return set()
        return states

    def _if(self, stmt: Stmt, states: set[_State]) -> set[_State]:
        _, test, first, other = stmt
        states = self._effects(("expr", test, 0), states)
        name, is_plain_true = _plain_test(test)
        taken, passed = set(states), set(states)
        if name:
            taken, passed = (
                {
                    _State(state.held, state.guards, state.known | {(name, outcome)})
                    for state in states
                    if (name, not outcome) not in state.known
                }
                for outcome in (is_plain_true, not is_plain_true)
            )
        taken = self._stmt(first, taken)
        return taken | (self._stmt(other, passed) if other is not None else passed)

    def _loop(self, stmt: Stmt, states: set[_State]) -> set[_State]:
        body = stmt[4] if stmt[0] == "for" else stmt[1]
        tests = (stmt[1], stmt[2], stmt[3]) if stmt[0] == "for" else (stmt[2],)
        for each in tests:
            if each is not None:
                states = self._effects(("expr", each, 0), states)
        self.breaks.append(set())
        seen = set(states) if stmt[0] == "for" else set()
        entered = {_State(state.held, state.guards) for state in states}
        for _ in range(3):
            out = self._stmt(body, set(entered))
            if out <= entered:
                break
            entered |= {_State(state.held, state.guards) for state in out}
        return seen | out | self.breaks.pop()

    def _switch(self, stmt: Stmt, states: set[_State]) -> set[_State]:
        states = self._effects(("expr", stmt[1], 0), states)
        self.breaks.append(set())
        out: set[_State] = set()
        falls: set[_State] = set()
        for _, _, body in stmt[2]:
            falls = self._block(body, states | falls)
        out |= falls | self.breaks.pop()
        has_default = any(case is None for _, case, _ in stmt[2])
        return out if has_default else out | states

    def _effects(self, stmt: Stmt, states: set[_State]) -> set[_State]:
        """Return the states behind the calls and assignments of a statement."""
        for each in parts_of(stmt):
            if each[0] == "assign" and each[2] == ("id", self.lock.take) and each[3][0] == "num":
                states = {_State(min(1, int(each[3][1])), s.guards, s.known) for s in states}
            if each[0] in ("assign", "step"):
                target = repr(each[2])
                states = {_State(s.held, s.guards, frozenset(k for k in s.known if target not in k[0])) for s in states}
            elif each[0] == "call":
                states = {self._called(each, state) for state in states}
        return states

    def _called(self, call: Expr, state: _State) -> _State:
        _, name, args, line = call
        if name in ("guard", "scoped_guard"):
            if _is_guard(self.lock, args):
                self._twice(state, line)
                return _State(state.held, state.guards + 1, state.known)
            return state
        if args == self.lock.args and name == self.lock.take:
            self._twice(state, line)
            return _State(state.held + 1, state.guards, state.known)
        if args == self.lock.args and name == self.lock.give:
            if not state.held:
                text = f"gives {self.lock.name} back on a way on which it was not taken"
                self.faults.append(LockFault("unheld", line, text))
            return _State(max(0, state.held - 1), state.guards, state.known)
        if name in self.called and not state.held and not state.guards:
            self.stores.append((name, line))
        return state

    def _twice(self, state: _State, line: int) -> None:
        if (state.held or state.guards) and not self.lock.nests:
            text = f"takes {self.lock.name} while it holds it, and waits for itself"
            self.faults.append(LockFault("twice", line, text))


def _is_guard(lock: Lock, args: tuple[Expr, ...]) -> bool:
    """Tell whether a guard with these arguments holds a lock: guard(mutex)(&m), guard(cpus_read_lock)()."""
    return MUTEX in args if lock is TEXT_MUTEX else ("id", lock.take) in args


def _plain_test(test: Expr) -> tuple[str, bool]:
    """Return a condition that is a variable or a field, and what it is in the branch taken; "" for any other."""
    outcome = True
    while test[0] == "un" and test[1] == "!":
        test, outcome = test[2], not outcome
    is_plain = all(part[0] in ("id", "field", "sub", "deref", "num") for part in parts_of(test))
    return (repr(test), outcome) if is_plain else ("", outcome)


def _walked(tree: FunctionTree, lock: Lock, called: frozenset[str] = frozenset()) -> _Walk | None:
    if tree.unreadable:
        return None
    walk = _Walk(tree, lock, called)
    try:
        walk.run()
    except _TooMany:
        return None
    return walk


def lock_faults(tree: FunctionTree, lock: Lock, old: FunctionTree | None = None) -> list[LockFault]:
    """Return the ways through a function on which something is not taken and given back in turn.

    A function that leaves it held, or gives it back, on every way does so by intent, unless it did not before.

    Args:
        tree: of the function.
        lock: what is taken.
        old: the function before.
    """
    words = _words(tree, lock)
    walk = _walked(tree, lock) if words else None
    if walk is None:
        return []
    is_other = len(words) == 1 and old is not None and _is_even(old, lock)
    found = [fault for fault in walk.faults if fault.kind != "unheld" or lock.take in words or is_other]
    held = [line for line, state in walk.exits if state.held]
    if held and (len(words) == 2 or is_other):
        found.append(LockFault("leak", held[0], f"returns with {lock.name} {'set' if not lock.give else 'held'}"))
    return list(dict.fromkeys(found))


def _is_even(tree: FunctionTree, lock: Lock) -> bool:
    """Tell whether a function takes something and always gives it back."""
    walk = _walked(tree, lock) if len(_words(tree, lock)) == 2 else None
    return walk is not None and not any(state.held for _, state in walk.exits)


def _words(tree: FunctionTree, lock: Lock) -> set[str]:
    """Return which of taking and giving back a function does."""
    if not lock.give:
        parts = (part for stmt in tree.body for part in parts_of(stmt) if part[0] == "assign")
        return {str(part[3][1]) for part in parts if part[2] == ("id", lock.take) and part[3][0] == "num"}
    words = {name for _, name, args, _ in tree.calls if name in (lock.take, lock.give) and args == lock.args}
    guards = any(name in ("guard", "scoped_guard") and _is_guard(lock, args) for _, name, args, _ in tree.calls)
    return words | ({lock.take} if guards else set())


def unheld_stores(tree: FunctionTree, called: frozenset[str]) -> list[tuple[str, int]]:
    """Return (name, line) of calls that are made without text_mutex on some way; none if that cannot be told."""
    walk = _walked(tree, TEXT_MUTEX, called)
    if walk is None or any(call[1] == ASSERT and MUTEX in call[2] for call in tree.calls):
        return []
    return list(dict.fromkeys(walk.stores))


class _Nested(_Walk):
    """All ways through one function, and where a second lock is taken while the first is held."""

    def __init__(self, tree: FunctionTree, lock: Lock, inner: Lock) -> None:
        super().__init__(tree, lock, frozenset())
        self.inner = inner
        self.nested: list[int] = []

    def _called(self, call: Expr, state: _State) -> _State:
        _, name, args, line = call
        is_plain = name == self.inner.take and args == self.inner.args
        is_guard = name in ("guard", "scoped_guard") and _is_guard(self.inner, args)
        if (state.held or state.guards) and (is_plain or is_guard):
            self.nested.append(line)
        return super()._called(call, state)


def nested(tree: FunctionTree, outer: Lock, inner: Lock) -> list[int]:
    """Return the lines on which one lock is taken while another is held; none if that cannot be told."""
    if tree.unreadable or not (_words(tree, outer) and _words(tree, inner)):
        return []
    walk = _Nested(tree, outer, inner)
    try:
        walk.run()
    except _TooMany:
        return []
    return sorted(set(walk.nested))


def callbacks_of(trees: Trees) -> dict[str, str]:
    """Return what is run inside stop_machine(), and by which function of the text."""
    found = {}
    for tree in (trees[name] for name in trees.saying(STOPS)):
        for _, name, args, _ in tree.calls:
            if name in STOPS and args and args[0][0] == "id":
                found[args[0][1]] = tree.name
    return found


def reached_from(names: Iterable[str], trees: Mapping[str, FunctionTree]) -> set[str]:
    """Return functions, those of the text that they call, and so on; and what of STORES is called."""
    found: set[str] = set()
    waiting = list(names)
    while waiting:
        name = waiting.pop()
        if name in found or (name not in trees and name not in STORES):
            continue
        found.add(name)
        if name in trees:
            waiting += [call[1] for call in trees[name].calls]
    return found
