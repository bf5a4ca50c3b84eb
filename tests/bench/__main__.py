# SPDX-License-Identifier: GPL-2.0-or-later
"""How fast genpatch is, as ratios to named peers in the same run.

    python -m tests.bench KERNELS [RUNS]
    python -m tests.bench --machine [RUNS]

KERNELS is a directory as `.ci/kernels` leaves it; --machine needs none. Commands that are compared are run in turn,
RUNS times (3), after one run of each that is not counted; medians are printed: of whole processes and by the clock,
with the peak memory of the largest process; of the machine by the processor's time, with instructions a second. The
machine's programs are built by the cross compiler, and what each prints is compared with what it must print.
"""

import compileall
import os
import resource
import shutil
import sys
import tempfile
from pathlib import Path

import genpatch

from .measure import GENPATCH, HEAD, Command, pair


def xz_all(modules: Path) -> Command:
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


def kernel_rows(kernels: Path, runs: int) -> None:
    """Print the rows of audits."""
    found = sorted(path for path in kernels.iterdir() if (path / "vmlinux").is_file())
    if not found:
        sys.exit(f"bench: no kernel below {kernels}; see .ci/kernels")
    newest = found[-1]
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


def main() -> int:
    """Print the table."""
    if len(sys.argv) < 2 or sys.argv[1] in ("-h", "--help"):
        print(__doc__)
        return 2
    what, runs = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 3
    compileall.compile_dir(Path(genpatch.__file__).parent, quiet=2)  # as an installed package is
    print(f"{os.cpu_count()} processors, {runs} runs each, medians\n\n{HEAD}")
    if what == "--machine":
        from .machine import print_rows  # here: a child's peak is never below what its parent has in memory

        print_rows(runs)
    else:
        kernel_rows(Path(what), runs)
        from .verify import print_rows as print_verification

        print_verification(Path(what), runs)
    print(f"\npeak of this process's children: {resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 1024} MB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
