# SPDX-License-Identifier: GPL-2.0-or-later
"""How fast the race explorer is, beside SPIN's verifier on a model of the same shape.

python -m tests.bench.race [JOBS]       the rows: whole catalog, states a second, growth with the victim's length

SPIN (Debian package spin, with gcc) is the peer for states a second alone: its model has a patcher whose stores become
visible in any order, two harts that are told to fence, and a victim of as many instructions; it knows nothing of what
instructions do. Both searches are without reduction. Rows without SPIN are left out, and that is said.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from genpatch.isa.assemble import assemble
from genpatch.machine.memory import Memory
from genpatch.race.environment import ENVIRONMENTS, get_environment
from genpatch.race.explore import explore
from genpatch.race.model import Act, Event, Scenario, Site
from genpatch.race.run import catalog_rows
from genpatch.schemes import CATALOG
from genpatch.units import Span

from .measure import duration

_FUNC, _DATA, _STACK = 0xFFFF_FFFF_8000_1000, 0xFFFF_FFFF_8100_0000, Span(0xFFFF_FFFF_9000_0000, 0xFFFF_FFFF_9000_1000)
_STORES = 4
_MODEL = """
#define K %(stores)d
#define M %(length)d
bit stored[K]; bit visible[K]; bit told[2]; bit fenced[2]; byte at; byte hart; byte view;
active proctype patcher() { byte i;
  do :: i < K -> stored[i] = 1; i++ :: i == K -> break od;
  told[0] = 1; told[1] = 1;
  fenced[0] && fenced[1] }
active proctype bus() { byte i;
  do :: stored[0] && !visible[0] -> visible[0] = 1 :: stored[1] && !visible[1] -> visible[1] = 1
     :: stored[2] && !visible[2] -> visible[2] = 1 :: stored[3] && !visible[3] -> visible[3] = 1 od }
active proctype harts() {
  do :: told[0] && !fenced[0] -> fenced[0] = 1 :: told[1] && !fenced[1] -> fenced[1] = 1 od }
active proctype victim() {
  do :: at < M -> at++ :: hart == 0 -> hart = 1 :: hart == 1 -> hart = 0
     :: view < 4 && visible[3] -> view = 4 od }
"""


def chain(length: int) -> Scenario:
    """A function of one patched word and `length` others, and a patcher of four stores to other places."""
    memory = Memory()
    text = assemble("nop\n" * (length + 2), _FUNC)
    memory.map(_FUNC, text, size=len(text), permissions="rx", name="text")
    memory.map(_DATA, size=4096, name="data")
    memory.map(_STACK.start, size=_STACK.size, name="stack")
    registers = [0] * 32
    registers[2] = _STACK.end - 512
    body = _FUNC + 4 * (length + 1)
    site = Site(
        func=_FUNC,
        body=body,
        code={"func": Span(_FUNC, body)},
        callbacks=frozenset(),
        clobbers=frozenset(),
        registers=tuple(registers),
        stack=_STACK,
    )
    stores = [Event(act=Act.STORE, at=_DATA + 8 * k, data=bytes(8)) for k in range(_STORES - 1)]
    stores.append(Event(act=Act.STORE, at=_FUNC, data=assemble("addi zero, zero, 1", 0)))
    fences = [Event(act=act) for act in (Act.FENCE_I, Act.REMOTE_FENCE_I)]
    return Scenario(name="chain", memory=memory, site=site, patchers=((*stores, *fences),), old=(), new=())


def growth() -> None:
    """Print states and time for victims of ever more instructions, with and without reduction."""
    print(
        "| victim's instructions | states | reduced | seconds | reduced | states a second |\n|---|---|---|---|---|---|"
    )
    environment = get_environment("smp-preempt")
    for length in (5, 10, 20, 40, 80, 160):
        whole, reduced = (explore(chain(length), environment, reduce=reduce) for reduce in (False, True))
        rate = whole.states / whole.seconds
        print(
            f"| {length} | {whole.states:,} | {reduced.states:,} | {whole.seconds:.2f} | {reduced.seconds:.3f} "
            f"| {rate:,.0f} |"
        )


def catalog(jobs: int) -> None:
    """Print what the whole catalog in all environments takes."""
    started, states, seconds, count = time.perf_counter(), 0, 0.0, 0
    slowest = ("", 0.0)
    for row in catalog_rows(CATALOG.values(), ENVIRONMENTS.values(), jobs=jobs):
        states, seconds, count = states + row.states, seconds + row.seconds, count + 1
        slowest = max(slowest, (f"{row.subject} {row.environment} {row.transition}", row.seconds), key=lambda x: x[1])
    wall = time.perf_counter() - started
    print(f"whole catalog: {count:,} cells, {states:,} states, {duration(wall)} with {jobs} processes,")
    print(
        f"{states / seconds:,.0f} states a second a process; the slowest cell is {slowest[0]}, {duration(slowest[1])}"
    )


def spin(length: int) -> tuple[int, float] | None:
    """Return how many states SPIN visits of the model, and in what time; None where it is not installed."""
    if shutil.which("spin") is None or shutil.which("gcc") is None:
        return None
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "model.pml").write_text(_MODEL % {"stores": _STORES, "length": length}, encoding="ascii")
        subprocess.run(("spin", "-a", "model.pml"), cwd=folder, check=True, capture_output=True, timeout=60)
        build = ("gcc", "-O2", "-DNOREDUCE", "-DSAFETY", "-o", "pan", "pan.c")
        subprocess.run(build, cwd=folder, check=True, capture_output=True, timeout=120)
        started = time.perf_counter()
        command = ("./pan", "-m2000000", "-w24", "-E")
        out = subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True, timeout=600).stdout
        seconds = time.perf_counter() - started
    line = next(line for line in out.split("\n") if "states, stored" in line)
    return int(line.split()[0]), seconds


def peer(length: int = 200) -> None:
    """Print states a second of both, in turn, three times."""
    environment = get_environment("smp-preempt")
    rates: list[tuple[float, float]] = []
    for _ in range(3):
        theirs = spin(length)
        if theirs is None:
            print("SPIN is not installed: no peer")
            return
        ours = explore(chain(length), environment, reduce=False)
        rates.append((ours.states / ours.seconds, theirs[0] / theirs[1]))
    print("| states a second | genpatch | SPIN | ratio |\n|---|---|---|---|")
    for mine, other in rates:
        print(f"| unreduced, {length} instructions | {mine:,.0f} | {other:,.0f} | {mine / other:.3f} |")


if __name__ == "__main__":
    catalog(int(sys.argv[1]) if len(sys.argv) > 1 else 2)
    growth()
    peer()
