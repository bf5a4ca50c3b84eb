# SPDX-License-Identifier: GPL-2.0-or-later
"""A tree of a few files and programs that only pretend: what a proof runs, without a compiler and in no time.

The make here is a shell script. It keeps a list of what it was asked for, writes .config as the kernel's does
(options that the tree's Kconfig does not name are dropped), and "builds" an object by copying its source; a source
with the word BROKEN in it does not build. vmlinux is all sources together.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from genpatch.prove.model import Found, Judgement, Progress
from tests.emit.trees import toy

MAKE = r"""#!/bin/sh
out=; keep=
for word in "$@"; do
    case "$word" in
    O=*) out=${word#O=} ;;
    -k) keep=1 ;;
    --version) echo "GNU Make 4.4.1"; exit 0 ;;
    esac
done
echo "$@" >>"$out/asked"
echo "ARCH in the environment: ${ARCH:-none}" >>"$out/asked"
known() { grep -q "^config ${1#CONFIG_}\$" arch/riscv/Kconfig; }
status=0
for word in "$@"; do
    case "$word" in
    *=*|-*) ;;
    tinyconfig) echo "CONFIG_FROM_TINY=y" >"$out/.config" ;;
    olddefconfig)
        cp "$out/.config" "$out/.wanted"
        echo "CONFIG_CC_VERSION_TEXT=\"fake\"" >"$out/.config"
        while read -r line; do
            name=${line%%=*}
            if known "$name"; then echo "$line" >>"$out/.config"; fi
        done <"$out/.wanted" ;;
    prepare) echo "  GEN     prepare" ;;
    vmlinux)
        cat arch/riscv/kernel/*.c arch/riscv/net/*.c >"$out/vmlinux"
        if grep -n BROKEN "$out/vmlinux"; then
            echo "ld.lld: error: undefined symbol: BROKEN"; rm "$out/vmlinux"; exit 2
        fi
        echo "  LD      vmlinux" ;;
    Image) mkdir -p "$out/arch/riscv/boot"; cp "$out/vmlinux" "$out/arch/riscv/boot/Image"; echo "  OBJCOPY Image" ;;
    modules) mkdir -p "$out/samples"; echo ko >"$out/samples/one.ko"; echo samples/one.o >"$out/modules.order" ;;
    *.o)
        source=${word%.o}.c
        if [ ! -f "$source" ]; then
            echo "make[3]: *** No rule to make target '$word'.  Stop."; status=2
            [ "$keep" ] || exit 2; continue
        fi
        if grep -n BROKEN "$source"; then
            echo "$PWD/$source:1:1: error: use of undeclared identifier 'BROKEN'"; exit 2
        fi
        mkdir -p "$out/$(dirname "$word")"; cp "$source" "$out/$word"
        grep -q WARNED "$source" && echo "../src/$source:3:1: warning: WARNED is odd"
        echo "  CC      $word" ;;
    */) echo "  AR      ${word}built-in.a" ;;
    *) echo "make: *** No rule to make target '$word'.  Stop."; exit 2 ;;
    esac
done
exit $status
"""
QEMU = """#!/bin/sh
[ "$1" = --version ] && { echo "QEMU emulator version 7.2.22 (Debian 1:7.2+dfsg-7)"; exit 0; }
echo "$@" >asked-qemu
cat "$FAKE_CONSOLE"
[ -z "$FAKE_HANG" ] || exec sleep 600
"""
PERL = """#!/bin/sh
cat >/dev/null
echo "$FAKE_CHECKPATCH"
"""
CONSOLE = """\

OpenSBI v1.1
[    0.000000] Linux version 6.12.107-rc1 (u@h) (clang version 19.1.7) #1 SMP PREEMPT 2000-01-01
Testing tracer function: PASSED
[    1.250000] Testing dynamic ftrace: PASSED
Testing dynamic ftrace ops #1:\x20
(1 0 1 0 0)\x20
(1 1 2 0 0)\x20
(3 3 5 56133 86163) PASSED
Testing ftrace regs(no arch support): PASSED
Running tests on trace events:
Testing event initcall_level: OK
Testing event error_report_end: OK
Testing all events: OK
trace_kprobe: Testing kprobe tracing: OK
Run /sbin/init as init process
Kernel panic - not syncing: No working init found.  Try passing init= option to kernel.
---[ end Kernel panic - not syncing: No working init found. ]---
"""
CONFIG = "config FTRACE\n\tbool\n\nconfig PREEMPT\n\tbool\n\nconfig DEBUG_INFO_BTF\n\tbool\n"
FAKES = ("flex", "bison", "bc", "pahole", "clang-19", "ld.lld-19", *(
    f"llvm-{name}-19" for name in ("nm", "ar", "objcopy", "readelf", "strip")))  # fmt: skip


def program(folder: Path, name: str, text: str) -> Path:
    folder.mkdir(exist_ok=True)
    file = folder / name
    file.write_text(text, encoding="utf-8")
    file.chmod(file.stat().st_mode | stat.S_IXUSR)
    return file


def programs(folder: Path, monkeypatch: pytest.MonkeyPatch, *, without: tuple[str, ...] = ()) -> Path:
    """Put the fakes on the path, before what is really there only if nothing is left out."""
    made = {name: f"#!/bin/sh\necho '{name} of the fakes 19.1.7'\n" for name in FAKES}
    made |= {"make": MAKE, "qemu-system-riscv64": QEMU, "perl": PERL}
    for name, text in made.items():
        if name not in without:
            program(folder, name, text)
    for name in ("sh", "cat", "cp", "rm", "grep", "mkdir", "dirname", "echo", "sleep", "git"):
        if not (folder / name).exists():
            (folder / name).symlink_to(next(path for path in _places(name)))
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.delenv("CCACHE_DIR", raising=False)
    return folder


def _places(name: str) -> list[Path]:
    found = [Path(place) / name for place in os.environ["PATH"].split(os.pathsep)]
    return [path for path in found if path.is_file()]


def tree(root: Path, **changes: str) -> Path:
    """Write a tree that the fake make builds."""
    return toy(root, **({"kconfig": CONFIG} | changes))


def diff(path: str, old: str, new: str, subject: str = "riscv: ftrace: change a word") -> str:
    """Return a mail whose diff changes one line of a file with one line of context at each side."""
    import difflib

    before = f"a/{path}" if old else "/dev/null"
    lines = difflib.unified_diff(old.splitlines(True), new.splitlines(True), before, f"b/{path}", n=1)
    return (
        f"From {'0' * 40} Mon Sep 17 00:00:00 2001\nFrom: A. Hacker <a@example.org>\nSubject: [PATCH] {subject}\n\n"
        f"The word is wrong.  Say another one, so that nobody is misled.\n\n"
        f"Signed-off-by: A. Hacker <a@example.org>\n---\n{''.join(lines)}-- \n2.39.5\n\n"
    )


class Judges:
    """Judges that read vmlinux as text: each line ``FINDING key level`` in it is a finding of all of them."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.trouble = ""

    def named(self, name: str):  # type: ignore[no-untyped-def]
        def judge(vmlinux: Path, modules: tuple[Path, ...], log: Path, progress: Progress) -> Judgement:
            self.asked.append(f"{name} {vmlinux.parent.name} {[path.name for path in modules]}")
            progress(name)
            log.write_text("{}\n", encoding="utf-8")
            lines = [line.split() for line in vmlinux.read_text(encoding="utf-8").split("\n")]
            found = [line for line in lines if line[:2] == ["//", "FINDING"]]
            findings = tuple(
                Found(f"GP{100 + len(name)}", level, f"{vmlinux}: {key} is wrong", f"{name}:{key}", int(sites))
                for _, _, key, level, sites in found
            )
            return Judgement(f"{len(findings)} findings", findings, (f"looked at {vmlinux}",), self.trouble)

        return judge

    def all(self):  # type: ignore[no-untyped-def]
        return {name: self.named(name) for name in ("audit", "verify", "race")}
