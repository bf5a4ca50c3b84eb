# SPDX-License-Identifier: GPL-2.0-or-later
"""How long checking one patch takes, beside what else is run on a patch before it is sent.

    python -m tests.bench.check TREE [RUNS]

TREE is a kernel source tree with arch/riscv; each patch puts a function into it. Processor's time of whole
processes, medians of RUNS (7).
"""

import compileall
import sys
import tempfile
from pathlib import Path

import genpatch

from .measure import GENPATCH, HEAD, Command, duration, in_turn, row

FILES = ("arch/riscv/kernel/ftrace.c", "arch/riscv/net/bpf_jit_comp64.c", "arch/riscv/mm/init.c")
_ADDED = "/* measured */\n"


def patch_of(tree: Path, path: str) -> str:
    """Return a patch that puts a function behind a file's last line."""
    lines = (tree / path).read_text(encoding="utf-8").splitlines(keepends=True)
    context = "".join(f" {line}" for line in lines[-3:])
    more = f"+\n+{_ADDED}+static void __maybe_unused measured(void)\n+{{\n+}}\n"
    hunk = f"@@ -{len(lines) - 2},3 +{len(lines) - 2},8 @@\n{context}{more}"
    head = (
        f"From: A. Hacker <a@example.org>\nSubject: [PATCH] riscv: measure a patch\n\nSay why.\n---\n {path} | 5 ++\n"
    )
    return f"{head}\ndiff --git a/{path} b/{path}\n--- a/{path}\n+++ b/{path}\n{hunk}-- \n2.39.5\n"


def print_rows(tree: Path, runs: int = 7) -> None:
    """Print how long a patch of each file takes, beside checkpatch.pl and git apply --check of the same."""
    with tempfile.TemporaryDirectory() as folder:
        for path in FILES:
            patch = Path(folder) / f"{Path(path).stem}.patch"
            patch.write_text(patch_of(tree, path), encoding="utf-8")
            ours = (*GENPATCH, "check", "--isolated", str(patch), "--linux", str(tree))
            peers: dict[str, Command] = {
                "checkpatch.pl": (str(tree / "scripts/checkpatch.pl"), f"--root={tree}", "-q", str(patch)),
                "git apply --check": ("git", "-C", str(tree), "apply", "--check", str(patch)),
            }
            costs = in_turn([ours, *peers.values()], runs)
            for name, cost in zip(peers, costs[1:], strict=True):
                mine, theirs = costs[0].processor, cost.processor
                row(f"check {path}", duration(mine), name, duration(theirs), mine / theirs if theirs else None)


def main() -> int:
    """Print the table."""
    if len(sys.argv) < 2 or not (Path(sys.argv[1]) / FILES[0]).is_file():
        print(__doc__)
        return 2
    compileall.compile_dir(Path(genpatch.__file__).parent, quiet=2)  # as an installed package is
    print(HEAD)
    print_rows(Path(sys.argv[1]).resolve(), int(sys.argv[2]) if len(sys.argv) > 2 else 7)
    return 0


if __name__ == "__main__":
    sys.exit(main())
