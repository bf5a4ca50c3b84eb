# SPDX-License-Identifier: GPL-2.0-or-later
"""What a call of a function costs under a scheme: the catalog's bench executed from func to the body."""

from __future__ import annotations

from dataclasses import dataclass

from ..errors import GenpatchError
from ..isa.encoding import REG_NUMBERS
from ..machine.hart import Hart, Retired
from ..machine.memory import Memory
from ..machine.outcome import Outcome
from ..schemes import CallScheme
from ..schemes.bench import Bench, bench_of
from ..units import Span

__all__ = ["CALLER_SAVED", "Path", "executed_path", "trampoline_bytes"]

CALLER_SAVED = (5, 6, 7, *range(10, 18), 28, 29, 30, 31)
"""t0-t6 and a0-a7: what a callback may change (RISC-V psABI, integer register convention)."""
_STACK = Span(0xFFFF_AF90_0000_0000, 0xFFFF_AF90_0000_2000)
_PARENT = 0xFFFF_FFFF_9000_0300
_BUDGET = 2_000
_RA, _SP = 1, 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Path:
    """Instructions from func to the body, what a callback or a direct routine executes excluded.

    Args:
        instructions: executed in all.
        sled: of these, in the function itself: its sled, and a dispatcher of its own below it.
        loads, stores: how many of them load and store.
        called: whose callbacks or direct routines were called, in order.
    """

    instructions: int
    sled: int
    loads: int
    stores: int
    called: tuple[str, ...]


def executed_path(scheme: CallScheme, state: str, *, frame: str = "args", direct: bool = False) -> Path:
    """Execute a call on the bench.

    Args:
        scheme: which.
        state: ``off``, ``A`` or ``B``.
        frame: what the trampoline makes.
        direct: leave direct calls to be taken; otherwise there is none, and the callback is called.
    Raises:
        GenpatchError: the call does not come to its body.
    """
    bench = bench_of(scheme, frame=frame, state=state)
    hart = _hart(bench, direct)
    called: list[str] = []
    for address, name in bench.callbacks.items():
        hart.hooks[address] = lambda hart, name=name: _call_back(hart, called, name)  # type: ignore[misc]
    link = REG_NUMBERS[scheme.link]
    for address, name in bench.directs.items():
        hart.hooks[address] = lambda hart, name=name: _go_back(hart, called, name, link)  # type: ignore[misc]
    instructions = inside = loads = stores = 0
    site = Span(bench.func - scheme.before, bench.body)
    for each in hart.trace(_BUDGET):
        if isinstance(each, Retired):
            instructions += 1
            inside += each.pc in site
            loads += any(what == "load" for what, *_ in each.accesses)
            stores += any(what == "store" for what, *_ in each.accesses)
        elif isinstance(each, Outcome) and each.pc != bench.body:
            raise GenpatchError(f"{scheme.name}, {state}: the body was not reached: {each.reason}")
    return Path(instructions=instructions, sled=inside, loads=loads, stores=stores, called=tuple(called))


def trampoline_bytes(scheme: CallScheme, frame: str) -> int:
    """Return the size of what a scheme's calls go to, outside of functions [bytes]."""
    bench = bench_of(scheme, frame=frame)
    return max(span.size for name, span in bench.code.items() if name not in ("sled", "dispatcher"))


def _hart(bench: Bench, direct: bool) -> Hart:
    memory = Memory()
    for start, data in bench.memory.items():
        memory.map(start, data, size=len(data), permissions="rwx", name=f"{start:#x}")
    memory.map(_STACK.start, size=_STACK.size, name="stack")
    if not direct and bench.directs:
        for ops in bench.ops.values():
            memory.write(ops + bench.layout.direct_call, bytes(8))
    hart = Hart(memory, translate=False)
    hart.x[_RA], hart.x[_SP] = _PARENT, _STACK.start + _STACK.size // 2
    for number, value in bench.fixed.items():
        hart.x[number] = value
    hart.pc = bench.func
    hart.breakpoints = {bench.body}
    return hart


def _call_back(hart: Hart, called: list[str], name: str) -> None:
    called.append(name)
    for number in CALLER_SAVED:
        hart.x[number] = 0xDEAD_0000_0000_0000 + number
    hart.pc = hart.x[_RA]


def _go_back(hart: Hart, called: list[str], name: str, link: int) -> None:
    called.append(name)
    hart.pc = hart.x[link]
