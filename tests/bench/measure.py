# SPDX-License-Identifier: GPL-2.0-or-later
"""Commands timed in turn, and the rows of the table."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass

GENPATCH = (sys.executable, "-m", "genpatch")
HEAD = "| what | genpatch | peer | peer's | ratio |\n|---|---|---|---|---|"

Command = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Cost:
    """What a command took.

    Args:
        seconds: median.
        processor: the same, of the processor's time alone: what else the machine does counts little.
        megabytes: peak of the largest process, at least what this one has.
    """

    seconds: float
    processor: float
    megabytes: int


def run(command: Command) -> Cost:
    """Return what a command takes; its output is thrown away."""
    started = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, _, usage = os.wait4(process.pid, 0)
    process.returncode = 0
    return Cost(time.perf_counter() - started, usage.ru_utime + usage.ru_stime, usage.ru_maxrss // 1024)


def in_turn(commands: list[Command], runs: int, *, warm: bool = False) -> list[Cost]:
    """Run commands one after the other, so often, after one run of each that is not counted unless they are warm."""
    for command in () if warm else commands:
        run(command)
    rounds = [[run(command) for command in commands] for _ in range(runs)]
    return [
        Cost(
            statistics.median(each.seconds for each in column),
            statistics.median(each.processor for each in column),
            max(each.megabytes for each in column),
        )
        for column in zip(*rounds, strict=True)
    ]


def duration(seconds: float) -> str:
    """Return seconds as the table has them: two digits behind the point, three below a tenth."""
    return f"{seconds:.{2 if seconds >= 0.1 else 3}f} s"


def row(name: str, ours: str, peer: str, theirs: str, ratio: float | None) -> None:
    """Print a row of the table; a ratio of None is left empty."""
    print(f"| {name} | {ours} | {peer} | {theirs} | {'' if ratio is None else f'{ratio:.2f}'} |", flush=True)


def pair(name: str, ours: Command, peer_name: str, peer: Command, runs: int) -> None:
    """Run two commands in turn and print a row of the table."""
    mine, other = in_turn([ours, peer], runs)
    shown = [f"{cost.seconds:.2f} s, {cost.megabytes} MB" for cost in (mine, other)]
    row(name, shown[0], peer_name, shown[1], mine.seconds / other.seconds)
