# SPDX-License-Identifier: GPL-2.0-or-later
"""How fast the lanes are: 40,000 call sites run into one trampoline, as ftrace's call-ops scheme does.

python -m tests.bench.lanes [LANES] [ROUNDS]
"""

from __future__ import annotations

import resource
import sys
import time
from dataclasses import dataclass

import numpy as np

from genpatch.isa.asm import encode
from genpatch.isa.assemble import assemble
from genpatch.isa.encoding import split_pcrel
from genpatch.machine.lane_memory import LaneMemory
from genpatch.machine.lanes import Lanes
from genpatch.machine.outcome import Status
from genpatch.units import I64Array

TEXT, TRAMPOLINE, OPS, CALLBACK, STACK = 0x8000_0000, 0x8200_0000, 0x8300_0000, 0x8400_0000, 0x9000_0000
SITE_SIZE = 32
STACK_SIZE = 16 << 10
SAVED = ("ra", *(f"t{i}" for i in range(5)), *(f"a{i}" for i in range(8)), *(f"s{i}" for i in range(6)))
FRAME = 8 * len(SAVED)


@dataclass(frozen=True, slots=True)
class Result:
    """What one run took.

    Args:
        lanes: how many.
        insns: executed by all of them.
        seconds: of the processor, from the first to the last instruction.
        converged_insns, converged_seconds: of it, in the trampoline.
        bytes_per_lane: resident memory that the process gained, by lane.
    """

    lanes: int
    insns: int
    seconds: float
    converged_insns: int
    converged_seconds: float
    bytes_per_lane: float


def trampoline() -> bytes:
    """Save registers, call the function in the ops of the site that t0 returns to, restore, return."""
    lines = [f"addi sp, sp, -{FRAME}"]
    lines += [f"sd {name}, {8 * i}(sp)" for i, name in enumerate(SAVED)]
    lines += ["ld t1, -16(t0)", "ld t2, 0(t1)", "addi a0, t0, -8", "addi a1, ra, 0", "addi a2, t1, 0"]
    lines += ["jalr ra, 0(t2)"]
    lines += [f"ld {name}, {8 * i}(sp)" for i, name in enumerate(SAVED)]
    lines += [f"addi sp, sp, {FRAME}", "jalr zero, 0(t0)"]
    return assemble("\n".join(lines), TRAMPOLINE)


def sites(count: int) -> bytes:
    """Each: a pointer to the ops, auipc + jalr into the trampoline, nops."""
    code = np.zeros((count, SITE_SIZE), np.uint8)
    jalr_of = [encode("jalr", rd=5, rs1=5, imm=lo) for lo in range(-2048, 2048)]
    for number in range(count):
        hi, lo = split_pcrel(TRAMPOLINE - (TEXT + number * SITE_SIZE + 8))
        words = (OPS, 0, encode("auipc", rd=5, imm=hi), jalr_of[lo + 2048], 0x13, 0x13, 0x13, 0x13)
        code[number] = np.array(words, "<u4").view(np.uint8)
    return code.tobytes()


def built(count: int) -> tuple[Lanes, I64Array]:
    """Return lanes that stand at their sites, and the numbers of the calls that the callback has seen."""
    memory = LaneMemory(count)
    memory.map(TEXT, sites(count), permissions="rx", name="text")
    memory.map(TRAMPOLINE, trampoline(), permissions="rx", name="trampoline")
    memory.map(OPS, CALLBACK.to_bytes(8, "little"), name="ops")
    memory.map_private(STACK, STACK_SIZE, name="stack", poison=True)
    lanes = Lanes(memory)
    called = np.zeros(count, np.int64)

    def callback(engine: Lanes, who: I64Array) -> None:
        called[who] += 1
        engine.pc[who] = engine.x[1, who]

    lanes.hooks[CALLBACK] = callback
    return lanes, called


def run(count: int = 40_000, rounds: int = 3) -> Result:
    """Run all sites `rounds` times; the times are of the last."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    lanes, called = built(count)
    places = np.uint64(TEXT) + np.arange(count, dtype=np.uint64) * np.uint64(SITE_SIZE) + np.uint64(8)
    lanes.breakpoints = set((places + np.uint64(8)).tolist())
    times: list[tuple[float, int]] = []

    def entered(engine: Lanes, who: I64Array) -> None:
        times.append((time.process_time(), engine.insns))

    lanes.hooks[TRAMPOLINE] = entered
    lanes.hooks[TRAMPOLINE + len(trampoline()) - 4] = entered
    started = seconds = 0.0
    insns = 0
    for _ in range(rounds):
        lanes.x[2] = STACK + STACK_SIZE - 16
        lanes.start(places)
        times.clear()
        started, insns = time.process_time(), lanes.insns
        lanes.run(1000)
        seconds, insns = time.process_time() - started, lanes.insns - insns
    assert (lanes.status == Status.STOPPED).all()
    assert (called == rounds).all()
    assert len(times) == 2, "the lanes did not go through the trampoline together"
    gained = 1024 * (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
    (first, insns_before), (last, insns_behind) = times
    return Result(count, insns, seconds, insns_behind - insns_before, last - first, gained / count)


def main() -> None:
    """Print one line."""
    result = run(*(int(argument) for argument in sys.argv[1:]))
    print(
        f"{result.lanes} lanes: {result.insns} instructions in {result.seconds * 1e3:.1f} ms, "
        f"{result.insns / result.seconds / 1e6:.0f} million a second; in the trampoline "
        f"{result.converged_insns / result.converged_seconds / 1e6:.0f} million a second; "
        f"{result.bytes_per_lane:.0f} bytes a lane"
    )


if __name__ == "__main__":
    main()
