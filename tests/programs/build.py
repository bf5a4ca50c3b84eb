# SPDX-License-Identifier: GPL-2.0-or-later
"""Build the programs of this directory with the cross compilers that are installed.

    python -m tests.programs.build DIRECTORY [VARIANT...]

Each is freestanding and static: its own source, `rt.c` and `start.S`, and no library.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from pathlib import Path

HERE = Path(__file__).resolve().parent
SHARED = ("start.S", "rt.c")
COMMON = (
    "-static", "-nostdlib", "-ffreestanding", "-fno-builtin", "-fno-pic", "-fno-stack-protector",
    "-fno-asynchronous-unwind-tables", "-mabi=lp64", "-mcmodel=medany", "-std=gnu11", "-Wall", "-Wextra",
    "-Wl,--build-id=none", "-Wl,-z,noexecstack", "-Wl,-z,max-page-size=4096",
)  # fmt: skip
GCC = ("riscv64-linux-gnu-gcc", *COMMON, "-fno-tree-loop-distribute-patterns", "-Wl,--no-warn-rwx-segments")
CLANG = ("clang-19", "--target=riscv64-linux-gnu", "-fuse-ld=lld", *COMMON)


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """A compiler and its options; `needs` are the programs that must be installed."""

    name: str
    command: tuple[str, ...]
    needs: tuple[str, ...]

    @property
    def missing(self) -> str | None:
        """Why nothing can be built, None if it can."""
        lacking = [name for name in self.needs if shutil.which(name) is None]
        return f"{', '.join(lacking)} not installed: programs of variant {self.name} not built" if lacking else None


def _gcc(name: str, optimize: str, letters: str) -> Variant:
    march = f"-march={letters}_zicsr_zifencei"
    return Variant(name=name, command=(*GCC, optimize, march), needs=(GCC[0],))


def _clang(name: str, extensions: str) -> Variant:
    march = f"-march=rv64imac_zicsr_zifencei_{extensions}"
    return Variant(name=name, command=(*CLANG, "-O2", march), needs=(CLANG[0], "ld.lld-19"))


VARIANTS = {
    each.name: each
    for each in (
        _gcc("gcc-O2", "-O2", "rv64imac"),
        _gcc("gcc-O0", "-O0", "rv64imac"),
        _gcc("gcc-O2-noc", "-O2", "rv64ima"),
        _gcc("gcc-O0-noc", "-O0", "rv64ima"),
        _clang("clang-zb", "zba_zbb_zbs"),
        _clang("clang-zicond", "zba_zbb_zbs_zicond"),
    )
}
SOURCES = {path.stem: path for path in sorted(HERE.glob("*.[cS]")) if path.name not in SHARED}
PROGRAMS = tuple(SOURCES)

Built = dict[tuple[str, str], Path | str]
"""Executables by (name, variant); a string is the reason why there is none."""


class BuildError(Exception):
    """A compiler failed; the text is what it said."""


def present() -> list[str]:
    """Return the names of the variants that can be built on this machine."""
    return [variant.name for variant in VARIANTS.values() if variant.missing is None]


def _compile(variant: Variant, *args: str | Path) -> None:
    ran = subprocess.run([*variant.command, *map(str, args)], capture_output=True, text=True, timeout=120, cwd=HERE)
    if ran.returncode:
        raise BuildError(f"{variant.name}: {' '.join(map(str, args))}\n{ran.stderr}")


@cache
def _objects(variant: Variant, directory: Path) -> list[Path]:
    """Compile what all programs share; once for each directory."""
    objects = []
    for name in SHARED:
        target = directory / f"{variant.name}-{name}.o"
        _compile(variant, "-c", name, "-o", target)
        objects.append(target)
    return objects


def build(name: str, variant: str, directory: Path, *, size: int | None = None) -> Path:
    """Build one program and return its path.

    Args:
        name: one of PROGRAMS.
        variant: one of VARIANTS.
        directory: where to; it is made if need be.
        size: what the source calls SIZE; its own default makes a run of at most 300,000 instructions.

    Raises:
        BuildError: the compiler is missing, or has failed.
    """
    chosen = VARIANTS[variant]
    if chosen.missing:
        raise BuildError(chosen.missing)
    directory.mkdir(parents=True, exist_ok=True)
    target = directory / (f"{name}-{variant}" + ("" if size is None else f"-{size}") + ".elf")
    define = () if size is None else (f"-DSIZE={size}",)
    _compile(chosen, *define, SOURCES[name].name, *_objects(chosen, directory), "-o", target)
    return target


def build_all(directory: Path, variants: Iterable[str] = tuple(VARIANTS)) -> Built:
    """Build every program, two at a time, in those variants that can be built.

    Raises:
        BuildError: a compiler that is there has failed.
    """
    directory.mkdir(parents=True, exist_ok=True)
    built: Built = {}
    with ThreadPoolExecutor(max_workers=2) as pool:
        waiting = {}
        for variant in variants:
            reason = VARIANTS[variant].missing
            if reason is None:
                _objects(VARIANTS[variant], directory)
            for name in PROGRAMS:
                if reason is None:
                    waiting[name, variant] = pool.submit(build, name, variant, directory)
                else:
                    built[name, variant] = reason
        built.update({key: future.result() for key, future in waiting.items()})
    return built


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    for path in build_all(Path(sys.argv[1]), sys.argv[2:] or present()).values():
        print(path)
