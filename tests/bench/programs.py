# SPDX-License-Identifier: GPL-2.0-or-later
"""Programs that run long enough to be timed, for whatever runs riscv64 programs.

    python -m tests.bench.programs DIRECTORY

builds them and prints their paths. Each has another habit: queens calls itself and branches, matrix loads and
multiplies in inner loops, interp jumps through a table.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

from tests.programs.build import build
from tests.programs.expected import Expected, expected

VARIANT = "gcc-O2"


@dataclass(frozen=True, slots=True, kw_only=True)
class Benchmark:
    """A program of tests/programs, larger.

    Args:
        name: of the program.
        size: what its source calls SIZE.
        insns: instructions that it executes as gcc 12 compiles it, as counted by a plugin of qemu-riscv64; other
            compilers give other numbers.
    """

    name: str
    size: int
    insns: int

    def build(self, directory: Path) -> Path:
        """Compile it; BuildError if there is no compiler."""
        return build(self.name, VARIANT, directory, size=self.size)

    def expected(self) -> Expected:
        """Return what it must print, and its exit status."""
        return expected(self.name, self.size)


BENCHMARKS = (
    Benchmark(name="queens", size=12, insns=41_511_288),
    Benchmark(name="matrix", size=128, insns=36_838_099),
    Benchmark(name="interp", size=400, insns=41_077_295),
)


def main() -> int:
    """Build them all."""
    if len(sys.argv) != 2:
        print(__doc__)
        return 2
    for each in BENCHMARKS:
        print(f"{each.insns:,} instructions: {each.build(Path(sys.argv[1]))}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
