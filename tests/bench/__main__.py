# SPDX-License-Identifier: GPL-2.0-or-later
"""How fast genpatch is, as ratios to named peers in the same run.

    python -m tests.bench KERNELS [RUNS]

KERNELS is a directory as `.ci/kernels` leaves it. Each pair of commands is run in turn, RUNS times (3), after
one run of each that is not counted; medians are printed, with the peak memory of the largest process.
"""

import compileall
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import genpatch

GENPATCH = (sys.executable, "-m", "genpatch")


def run(command: tuple[str, ...]) -> tuple[float, int]:
    """Return (seconds, peak KiB of the largest process) of a command whose output is thrown away."""
    started = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, _, usage = os.wait4(process.pid, 0)
    process.returncode = 0
    return time.perf_counter() - started, usage.ru_maxrss


def pair(name: str, ours: tuple[str, ...], peer_name: str, peer: tuple[str, ...], runs: int) -> None:
    """Run two commands in turn and print a row of the table."""
    run(ours), run(peer)
    mine, theirs = [], []
    for _ in range(runs):
        mine.append(run(ours))
        theirs.append(run(peer))
    seconds, other = (statistics.median(each[0] for each in side) for side in (mine, theirs))
    memory, other_memory = (max(each[1] for each in side) // 1024 for side in (mine, theirs))
    print(
        f"| {name} | {seconds:.2f} s, {memory} MB | {peer_name} | {other:.2f} s, {other_memory} MB "
        f"| {seconds / other:.2f} |",
        flush=True,
    )


def xz_all(modules: Path) -> tuple[str, ...]:
    """A command that decompresses every module with two processes at a time."""
    script = f"find '{modules}' -name '*.xz' -print0 | xargs -0 -P 2 -n 200 xz -dc"
    return ("sh", "-c", script)


def doubled(kernel: Path, folder: Path) -> list[tuple[str, Path]]:
    """The kernel itself and one with half of its table: cost must follow the number of sites."""
    half = folder / "half"
    shutil.copyfile(kernel, half)
    from genpatch.image.containers import open_content
    from genpatch.image.read import read_image

    image = read_image(open_content(kernel))
    assert image.table is not None
    assert image.table.span is not None
    region = image.memory.region_at(image.table.span.start)
    assert region is not None
    at = region.at + image.table.span.start - region.span.start
    with half.open("r+b") as file:
        file.seek(at)
        file.write(bytes(image.table.span.size // 16 * 8))
    return [("all sites", kernel), ("half of them", half)]


def main() -> int:
    """Print the table."""
    if len(sys.argv) < 2:
        print(__doc__)
        return 2
    kernels, runs = Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 3
    found = sorted(path for path in kernels.iterdir() if (path / "vmlinux").is_file())
    if not found:
        sys.exit(f"bench: no kernel below {kernels}; see .ci/kernels")
    newest = found[-1]
    compileall.compile_dir(Path(genpatch.__file__).parent, quiet=2)  # as an installed package is
    print(f"{os.cpu_count()} processors, {runs} runs each, medians\n")
    print("| what | genpatch | peer | peer's | ratio |\n|---|---|---|---|---|")
    for kernel in found:
        audit = (*GENPATCH, "audit", "--isolated", str(kernel / "vmlinux"))
        pair(f"audit {kernel.name} vmlinux", audit, "nm", ("nm", str(kernel / "vmlinux")), runs)
    boot = (*GENPATCH, "audit", "--isolated", str(newest / "boot"))
    pair(f"audit {newest.name} boot image", boot, "nm of its vmlinux", ("nm", str(newest / "vmlinux")), runs)
    modules = (*GENPATCH, "audit", "--isolated", str(newest / "vmlinux"), str(newest / "modules"))
    pair(
        f"audit {newest.name} and all modules",
        modules,
        "xz -dc, 2 processes",
        xz_all(newest / "modules"),
        runs,
    )
    with tempfile.TemporaryDirectory(dir=os.environ.get("TMPDIR")) as folder:
        (_, whole), (_, half) = doubled(newest / "vmlinux", Path(folder))
        audits = [(*GENPATCH, "audit", "--isolated", str(path)) for path in (whole, half)]
        pair("audit, all sites", audits[0], "audit, half of the table zero", audits[1], runs)
    pair("--help", (*GENPATCH, "--help"), "python -c pass", (sys.executable, "-c", "pass"), runs)
    print(f"\npeak of this process's children: {resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 1024} MB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
