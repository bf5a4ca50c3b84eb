# SPDX-License-Identifier: GPL-2.0-or-later
"""How fast the machine is, beside unicorn and qemu-riscv64: see `tests.bench --machine`."""

from __future__ import annotations

import importlib.util
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

from genpatch.isa.assemble import assemble
from tests.elfwriter import Segment, elf
from tests.programs.build import BuildError

from .measure import GENPATCH, Command, Cost, duration, in_turn, row
from .programs import BENCHMARKS, Benchmark

LANES = 40_000
SHORT = {"queens": 10, "matrix": 48, "interp": 19}
"""Sizes for what executes each instruction by itself: about two million instructions."""

_PEERS = (sys.executable, "-m", "tests.bench.peers")
_LANES = re.compile(r"(\d+) lanes: (\d+) instructions in ([\d.]+) ms, .*; (\d+) bytes a lane")
_QEMU = shutil.which("qemu-riscv64")
_HAS_UNICORN = importlib.util.find_spec("unicorn") is not None


class BenchError(Exception):
    """Something that was to be measured does not do what it must."""


def _said(command: Command) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True)


def _check(command: Command, benchmark: Benchmark) -> str:
    """Run a command that executes a benchmark; return what it says on stderr.

    Raises:
        BenchError: the program did not do under it what it must.
    """
    ran, right = _said(command), benchmark.expected()
    if (ran.stdout, ran.returncode) != (right.out, right.status):
        raise BenchError(f"{' '.join(command)}: status {ran.returncode}, expected {right.status}\n{ran.stderr[-500:]}")
    return ran.stderr


def _peers_of(path: Path, *, hooked: bool = False) -> dict[str, Command]:
    """Return the peers that are installed."""
    found: dict[str, Command] = {}
    if _HAS_UNICORN:
        name = "unicorn-hooked" if hooked else "unicorn"
        found["unicorn, a hook at each" if hooked else "unicorn"] = (*_PEERS, name, str(path))
    if _QEMU and not hooked:
        found["qemu-riscv64"] = (_QEMU, str(path))
    return found


def _programs(folder: Path, runs: int) -> None:
    """Print the rows of the scalar hart: whole processes, translated, then each instruction by itself."""
    for benchmark in BENCHMARKS:
        path = benchmark.build(folder)
        _program(benchmark, (*GENPATCH, "run", str(path)), _peers_of(path), "", runs)
    for benchmark in BENCHMARKS:
        short = replace(benchmark, size=SHORT[benchmark.name])
        path = short.build(folder)
        _program(short, (*_PEERS, "untranslated", str(path)), _peers_of(path, hooked=True), ", untranslated", runs)


def _program(benchmark: Benchmark, ours: Command, others: dict[str, Command], how: str, runs: int) -> None:
    counted = _check((*GENPATCH, "run", "--stats", ours[-1]), benchmark)
    insns = int(counted.partition(" ")[0].replace(",", ""))
    for command in ([ours] if how else []) + list(others.values()):
        _check(command, benchmark)
    mine, *theirs = in_turn([ours, *others.values()], runs, warm=True)

    def shown(cost: Cost) -> str:
        return f"{duration(cost.processor)}, {insns / cost.processor / 1e6:,.1f} M/s"

    name = f"run {benchmark.name}, {insns / 1e6:.1f} M instructions{how}"
    for peer, cost in zip(others, theirs, strict=True):
        row(name, shown(mine), peer, shown(cost), mine.processor / cost.processor)
    if not others:
        row(name, shown(mine), "none is installed", "", None)


def _lanes(runs: int) -> None:
    """Print the row of the lanes; what is timed is the third passage, without building the lanes."""
    ours, theirs, insns, size = [], [], 0, 0
    for _ in range(runs):
        found = _LANES.match(_said((sys.executable, "-m", "tests.bench.lanes", str(LANES))).stdout)
        if found is None:
            raise BenchError("tests.bench.lanes says nothing that can be read")
        insns, size = int(found[2]), max(size, int(found[4]))
        ours.append(float(found[3]) / 1e3)
        if _HAS_UNICORN:
            theirs.append(float(_said((*_PEERS, "unicorn-lanes", str(LANES))).stdout))
    mine = statistics.median(ours)
    name = f"{LANES:,} lanes through a trampoline, {insns / 1e6:.1f} M instructions"
    shown = f"{duration(mine)}, {insns / mine / 1e6:.0f} M/s, {size:,} bytes a lane"
    if theirs:
        other = statistics.median(theirs)
        row(
            name,
            shown,
            "unicorn, one after the other",
            f"{duration(other)}, {insns / other / 1e6:.1f} M/s",
            mine / other,
        )
    else:
        row(name, shown, "none is installed", "", None)


def _start(folder: Path, runs: int) -> None:
    """Print the rows of a program that exits at once."""
    path, text = folder / "exit.elf", Segment(vaddr=0x1_0078, data=assemble("li a7, 93; ecall", 0x1_0078))
    path.write_bytes(elf(segments=[text], entry=text.vaddr))
    others = {f"python -c '{what}'": (sys.executable, "-c", what) for what in ("import numpy", "pass")}
    ours = (*GENPATCH, "run", str(path))
    if _said(ours).returncode:
        raise BenchError(f"{' '.join(ours)}: expected status 0")
    mine, *theirs = in_turn([ours, *others.values()], 3 * runs)
    for peer, cost in zip(others, theirs, strict=True):
        shown = [duration(each.processor) for each in (mine, cost)]
        row("run, a program of 2 instructions", shown[0], peer, shown[1], mine.processor / cost.processor)


def print_rows(runs: int) -> None:
    """Print the rows of the machine, and below them what was left out.

    Raises:
        BenchError: a program does not do under genpatch or under a peer what it must.
    """
    there = {"unicorn": _HAS_UNICORN, "qemu-riscv64": _QEMU is not None}
    notes = [f"{name} is not installed: its rows are left out" for name, is_there in there.items() if not is_there]
    with tempfile.TemporaryDirectory() as folder:
        try:
            _programs(Path(folder), runs)
        except BuildError as error:
            notes.append(f"the programs are left out: {error}")
        _lanes(runs)
        _start(Path(folder), runs)
    for note in notes:
        print(f"\n{note}")
