# SPDX-License-Identifier: GPL-2.0-or-later
"""A kernel started in qemu, and what it says."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from .commands import run
from .console import Console
from .model import Progress

__all__ = ["QEMU", "Booted", "boot"]

QEMU = (
    "qemu-system-riscv64", "-M", "virt", "-smp", "2", "-m", "512M", "-nographic", "-no-reboot", "-nic", "none",
)  # fmt: skip
# riscv_isa_fallback: the device tree of older qemu has no riscv,isa-extensions
COMMAND_LINE = "console=ttyS0 earlycon=sbi panic=-1 riscv_isa_fallback"


@dataclass(frozen=True, slots=True)
class Booted:
    """What came of it.

    Args:
        console: what was said.
        why: it was ended before its end: ``"time"`` or ``"output"``, else empty.
    """

    console: Console
    why: str


def boot(image: Path, log: Path, *, timeout: float, progress: Progress) -> Booted:
    """Start a kernel and wait until it looks for init, or for the time limit [seconds]. Only this qemu is ended.

    Raises:
        ProveError: qemu cannot be started.
    """
    console = Console()

    def take(line: str) -> bool:
        is_end = console.take(line)
        progress(f"boot: {len(console.passed)} tests passed")
        return is_end

    command = (*QEMU, "-kernel", str(image), "-append", COMMAND_LINE)
    ran = run(command, cwd=log.parent, env=os.environ, log=log, timeout=timeout, on_line=take)
    return Booted(console, ran.why if ran.why != "enough" else "")
