# SPDX-License-Identifier: GPL-2.0-or-later
"""How fast ``genpatch verify --bpf`` is, beside unicorn that has the same JIT make some of the trampolines.

python -m tests.bench.bpf KERNELS [RUNS]           the rows
python -m tests.bench.bpf unicorn VMLINUX [CASES]  one run of the peer: seconds, its trampolines, all trampolines
python -m tests.bench.bpf made VMLINUX             the same calls in lanes, all trampolines: seconds

unicorn calls arch_bpf_trampoline_size() and arch_prepare_bpf_trampoline() for every k-th case of the matrix, with the
same functions stubbed; its time is extrapolated by the number of cases. It runs no trampoline, and compares the bytes
that it made with those of genpatch.
"""

from __future__ import annotations

import importlib.util
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from .measure import GENPATCH, in_turn, row
from .verify import _PAGE, _Peer

SAMPLE = 500
_HAS_UNICORN = importlib.util.find_spec("unicorn") is not None


def _cases(path: str) -> tuple[Any, list[Any]]:
    """Return the stage of a kernel and its matrix."""
    from genpatch.image.containers import open_content
    from genpatch.image.read import read_image
    from genpatch.verify.bpf.cases import matrix
    from genpatch.verify.bpf.run import BpfResult, _accepted, stage_of

    stage, _ = stage_of(read_image(open_content(path)))
    stage, flags = _accepted(stage, BpfResult())
    return stage, matrix(stage.programs, flags, stage.interface.model.most)


class _Jit(_Peer):
    """The kernel's JIT under unicorn."""

    def __init__(self, path: str, stage: Any):
        import unicorn

        from genpatch.verify.bpf.allocators import ALLOCATES, FREES, allocator_arguments
        from genpatch.verify.bpf.interface import COPY

        super().__init__(path)
        self.stage, self.next, self.made = stage, 0, b""
        places = stage.places
        low, high = places.arguments.start & -_PAGE, -(-places.arguments.end // _PAGE) * _PAGE
        for start, size in ((places.near, 4 * _PAGE), (places.far, 4 * _PAGE), (low, high - low)):
            self.uc.mem_map(start & -_PAGE, size)  # the rest lies in what is mapped already
        self.uc.mem_write(places.data, stage.programs.content)
        hooks = {name: self._allocate(allocator_arguments(self.image, name)) for name in ALLOCATES}
        hooks |= {name: self._stub(0) for name in FREES} | {COPY: self._copy}
        for name, hook in hooks.items():
            address = self.image.address_of(name)
            if address is not None:
                self.uc.hook_add(unicorn.UC_HOOK_CODE, hook, begin=address, end=address)

    def _allocate(self, factors: tuple[int, ...]) -> Any:
        def hook(uc: Any, *_: object) -> None:
            size = int(np.prod([uc.reg_read(self.x[10 + number]) for number in factors]))
            uc.reg_write(self.x[10], self.next)
            self.next += -(-size // 16) * 16 + 32
            self._back(uc)

        return hook

    def _copy(self, uc: Any, *_: object) -> None:
        source, length = uc.reg_read(self.x[11]), uc.reg_read(self.x[12])
        self.made = bytes(uc.mem_read(source, length))
        self._back(uc)

    def make(self, trampolines: Any, lane: int) -> bytes:
        """Make one trampoline and return its bytes."""
        places = self.stage.places
        whose = np.array([lane], np.int64)
        self.uc.mem_write(
            places.arguments.start,
            trampolines.memory.read(whose, places.arguments.start, places.arguments.size)[0].tobytes(),
        )
        self.uc.mem_write(places.heap.start, bytes(_PAGE))  # what is behind the last instruction is copied, too
        self.next, self.made = places.heap.start, b""
        interface = self.stage.interface
        size = self.call("arch_bpf_trampoline_size", *self._arguments(trampolines, interface.size, lane, None))
        if size >> 31:  # refused
            return b""
        sized = np.full(len(trampolines.cases), size, np.int64)
        self.call("arch_prepare_bpf_trampoline", *self._arguments(trampolines, interface.prepare, lane, sized))
        return self.made

    def _arguments(self, trampolines: Any, roles: Any, lane: int, size: Any) -> list[int]:
        values = trampolines._arguments(roles, size)
        return [int(value[lane]) if isinstance(value, np.ndarray) else int(value) for value in values.values()]


def peer(path: str, count: int) -> tuple[float, int, int]:
    """Return (processor seconds, trampolines, all trampolines) of unicorn, without the time to start."""
    stage, cases = _cases(path)
    chosen = cases[:: max(len(cases) // count, 1)][:count]
    _, trampolines = stage.trampolines(chosen)
    built = trampolines.build()
    one = _Jit(path, stage)
    for lane in range(20):  # what unicorn translates once
        one.make(trampolines, lane)
    started = time.process_time()
    made = [one.make(trampolines, lane) for lane in range(len(chosen))]
    seconds = time.process_time() - started
    for lane, data in enumerate(made):
        if built.accepted[lane]:
            assert data == trampolines.words(lane, len(data)), f"another trampoline for {chosen[lane]}"
    return seconds, len(chosen), len(cases)


def own(path: str) -> float:
    """Return the processor seconds that making all trampolines takes in lanes."""
    stage, cases = _cases(path)
    _, trampolines = stage.trampolines(cases)
    started = time.process_time()
    built = trampolines.build()
    seconds = time.process_time() - started
    assert built.accepted.any()
    return seconds


def print_rows(kernels: Path, runs: int) -> None:
    """Print the rows on the newest kernel."""
    newest = sorted(path for path in kernels.iterdir() if (path / "vmlinux").is_file())[-1]
    path = str(newest / "vmlinux")
    (whole,) = in_turn([(*GENPATCH, "verify", "--bpf", path)], runs)
    shown = f"{whole.processor:.2f} s, {whole.megabytes} MB"
    if not _HAS_UNICORN:
        row(f"verify --bpf {newest.name}", shown, "none is installed", "", None)
        return
    told = [_said("unicorn", path) for _ in range(runs)]
    theirs = statistics.median(seconds / count * total for seconds, count, total in told)
    name = f"unicorn makes {int(told[0][1]):,}, extrapolated"
    making = statistics.median(_said("made", path)[0] for _ in range(runs))
    count = int(told[0][2])
    row(f"{count:,} trampolines made", f"{making:.2f} s", name, f"{theirs:.2f} s", making / theirs)
    row(f"verify --bpf {newest.name}: made, run, judged", shown, name, f"{theirs:.2f} s", whole.processor / theirs)


def _said(*arguments: str) -> tuple[float, ...]:
    ran = subprocess.run((sys.executable, "-m", "tests.bench.bpf", *arguments), capture_output=True, text=True)
    return tuple(map(float, ran.stdout.split()))


def main() -> int:
    """Run the peer once, or print the rows."""
    match sys.argv[1:]:
        case ["unicorn", path, *count]:
            print(*peer(path, int(count[0]) if count else SAMPLE))
            return 0
        case ["made", path]:
            print(own(path))
            return 0
        case [kernels, *runs]:
            print_rows(Path(kernels), int(runs[0]) if runs else 3)
            return 0
    print(__doc__)
    return 2


if __name__ == "__main__":
    sys.exit(main())
