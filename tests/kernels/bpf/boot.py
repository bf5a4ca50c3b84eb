# SPDX-License-Identifier: GPL-2.0-or-later
"""Boot a kernel with a process that attaches BPF programs everywhere, and judge what it prints.

    python -m tests.kernels.bpf.boot BUILD [LOG] [--start-up] [--programs]

BUILD is where a kernel was built: ``arch/riscv/boot/Image``, and ``samples/kprobes/kprobe_example.ko`` if there is
one. Takes riscv64-linux-gnu-gcc with a static libc, and qemu-system-riscv64; one to two minutes. Exit status 0 if
every test of ``init.c`` has passed and the kernel has not complained. With ``--start-up`` the kernel runs the start-up
tests of its tracers too; a kernel that flushes after each site, as 6.1 does, takes ten minutes more for them.
With ``--programs`` nothing is attached to functions of the kernel: for one without a function tracer.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Judged", "boot", "build_init", "cpio", "judge"]

HERE = Path(__file__).parent
COMPILER = "riscv64-linux-gnu-gcc"
EMULATOR = "qemu-system-riscv64"
TIMEOUT = 1500
_COMPLAINTS = re.compile(
    r"WARNING:|BUG:|Oops|FAILED|ftrace failed|Kernel panic|rcu: INFO|Unable to handle|possible circ"
)


@dataclass(frozen=True)
class Judged:
    """What a boot has shown.

    Args:
        passed: names of tests that have passed.
        failed: lines of those that have not, and of the kernel's complaints.
        planned: how many tests there were to be; None if the process did not get that far.
        started: how many start-up tests of the tracers passed.
    """

    passed: tuple[str, ...]
    failed: tuple[str, ...]
    planned: int | None
    started: int

    @property
    def is_good(self) -> bool:
        """Whether all went well."""
        return not self.failed and self.planned is not None and len(self.passed) == self.planned > 0


def build_init(target: Path) -> None:
    """Compile the process.

    Raises:
        subprocess.CalledProcessError: it does not compile.
    """
    sources = [str(HERE / name) for name in ("init.c", "bpf.c")]
    command = [COMPILER, "-O2", "-Wall", "-Wextra", "-Werror", "-static", "-o", str(target), *sources]
    subprocess.run(command, check=True, capture_output=True, text=True)


def cpio(files: Mapping[str, bytes]) -> bytes:
    """Return an archive in the format that the kernel unpacks (newc): each file may be executed."""
    made = bytearray()
    # the first console that init has is this node: 5, 1
    entries = [("dev", 0o040755, b"", (0, 0)), ("dev/console", 0o020600, b"", (5, 1))]
    entries += [(name, 0o100755, data, (0, 0)) for name, data in files.items()]
    for number, (name, mode, data, device) in enumerate([*entries, ("TRAILER!!!", 0, b"", (0, 0))], 1):
        fields = (number, mode, 0, 0, 1, 0, len(data), 0, 0, *device, len(name) + 1, 0)
        made += b"070701" + "".join(f"{field:08X}" for field in fields).encode() + name.encode() + b"\0"
        made += bytes(-len(made) % 4) + data
        made += bytes(-len(made) % 4)
    return bytes(made)


def judge(log: str) -> Judged:
    """Return what the log of a boot says."""
    lines = log.replace("\r", "").split("\n")
    passed = [match[1] for line in lines if (match := re.fullmatch(r"ok \d+ (.*)", line))]
    failed = [line for line in lines if line.startswith(("not ok", "Bail out!")) or _COMPLAINTS.search(line)]
    plan = [int(match[1]) for line in lines if (match := re.fullmatch(r"1\.\.(\d+)", line))]
    started = len(re.findall(r"^.*Testing tracer.*PASSED|^.*PASSED$", log.replace("\r", ""), re.MULTILINE))
    return Judged(tuple(passed), tuple(failed), plan[0] if plan else None, started)


def boot(build: Path, log: Path, *, start_up: bool = False, programs: bool = False) -> Judged:
    """Boot a kernel and return what it has shown; its output is left in a file.

    Args:
        start_up: with the start-up tests of its tracers; one that is told to trace leaves them out.
        programs: nothing is attached to functions of the kernel, only to programs.
    """
    with tempfile.TemporaryDirectory() as place:
        init = Path(place, "init")
        build_init(init)
        files = {"init": init.read_bytes()}
        module = build / "samples/kprobes/kprobe_example.ko"
        if module.is_file():
            files[module.name] = module.read_bytes()
        Path(place, "initrd").write_bytes(cpio(files))
        # QEMU 7.2 does not name extensions as later kernels want them named
        words = "console=ttyS0 earlycon=sbi panic=-1 riscv_isa_fallback"
        words += "" if start_up else " trace_event=bpf_test_run:bpf_test_finish"
        words += " -- programs" if programs else ""
        command = [EMULATOR, "-M", "virt", "-smp", "2", "-m", "1G", "-nographic", "-no-reboot", "-append", words]
        command += ["-kernel", str(build / "arch/riscv/boot/Image"), "-initrd", str(Path(place, "initrd"))]
        with log.open("wb") as out:
            try:
                subprocess.run(command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, timeout=TIMEOUT, check=False)
            except subprocess.TimeoutExpired:
                out.write(f"\nnot ok: no end within {TIMEOUT} s\n".encode())
    return judge(log.read_text(encoding="utf-8", errors="replace"))


def main() -> int:
    """Boot what the command line names."""
    names = [Path(word) for word in sys.argv[1:] if not word.startswith("--")]
    build, log = names[0], names[1] if len(names) > 1 else names[0] / "bpf.log"
    found = boot(build, log, start_up="--start-up" in sys.argv, programs="--programs" in sys.argv)
    for line in found.failed:
        print(line)
    print(f"{len(found.passed)} of {found.planned} tests passed, {found.started} start-up tests passed, log in {log}")
    return 0 if found.is_good else 1


if __name__ == "__main__":
    raise SystemExit(main())
