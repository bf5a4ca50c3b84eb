# SPDX-License-Identifier: GPL-2.0-or-later
"""Toolchains and other programs that a proof needs, and the Debian packages that hold them."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from ..errors import UsageError
from .commands import said
from .errors import ProveError

__all__ = [
    "BTF_HEADERS",
    "SIGNING_HEADERS",
    "Toolchain",
    "build_environment",
    "missing",
    "needed",
    "require_tools",
    "toolchain_of",
    "versions",
]

_QEMU = "qemu-system-riscv64"
_COMMON = {"make": "make", "flex": "flex", "bison": "bison", "bc": "bc"}
BTF_HEADERS = {"libelf.h": "libelf-dev"}
SIGNING_HEADERS = {"openssl/opensslv.h": "libssl-dev"}
# What a build of the kernel would take from the environment, and what would make it another build.
_FOREIGN = re.compile(
    r"(?:KBUILD_|KCFLAGS|KCPPFLAGS|KAFLAGS|KRUSTFLAGS|KCONFIG_|CONFIG_|HOST|USER(?:C|LD)FLAGS|MAKE|MFLAGS|GNUMAKEFLAGS|GIT_)"
    r"|(?:ARCH|SUBARCH|CROSS_COMPILE|LLVM|LLVM_IAS|CC|LD|AS|AR|NM|OBJCOPY|OBJDUMP|STRIP|READELF|PAHOLE|O|V|W|C|M|MO"
    r"|CFLAGS|CPPFLAGS|LDFLAGS|AFLAGS|LOCALVERSION|INSTALL_MOD_PATH|INSTALL_PATH|CPATH|C_INCLUDE_PATH|ENV|BASH_ENV)$"
)


@dataclass(frozen=True)
class Toolchain:
    """A compiler and what goes with it.

    Args:
        name: as the user gave it.
        compiler: program that compiles for RISC-V.
        host: program that compiles for this machine.
        arguments: of make, without the compiler.
        programs: package of each program that must be there.
    """

    name: str
    compiler: str
    host: str
    arguments: tuple[str, ...]
    programs: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_clang(self) -> bool:
        """It is one of LLVM's."""
        return self.compiler.startswith("clang")

    def make_arguments(self, *, ccache: bool) -> tuple[str, ...]:
        """Return the arguments of make that choose it."""
        if not ccache:
            named = () if self.is_clang else (f"CC={self.compiler}",)
            return (*self.arguments, *named)
        # With LLVM=-19 the host's compiler stays clang itself: its few programs are not worth it.
        host = () if self.is_clang else (f"HOSTCC=ccache {self.host}",)
        return (*self.arguments, f"CC=ccache {self.compiler}", *host)


def toolchain_of(name: str) -> Toolchain:
    """Return a toolchain by its name: clang, clang-19, gcc, gcc-13 or a prefix such as ``riscv64-linux-gnu-``.

    Raises:
        UsageError: it is none of these.
    """
    if (found := re.fullmatch(r"(?:clang|llvm)(-[1-9]\d?)?", name)) is not None:
        tail = found[1] or ""
        programs = {f"clang{tail}": f"clang{tail}", f"ld.lld{tail}": f"lld{tail}"}
        programs |= {f"llvm-{each}{tail}": f"llvm{tail}" for each in ("nm", "ar", "objcopy", "readelf", "strip")}
        return Toolchain(name, f"clang{tail}", f"clang{tail}", (f"LLVM={tail or 1}",), programs)
    prefix, tail = "riscv64-linux-gnu-", ""
    if (found := re.fullmatch(r"(?:gcc|(riscv64[\w.+-]*-)(?:gcc)?)(-[1-9]\d?)?", name)) is not None:
        prefix, tail = found[1] or prefix, found[2] or ""
        is_debian = prefix == "riscv64-linux-gnu-"
        programs = {f"{prefix}gcc{tail}": f"gcc{tail}-riscv64-linux-gnu" if is_debian else ""}
        programs |= {
            f"{prefix}{each}": "binutils-riscv64-linux-gnu" if is_debian else "" for each in ("ld", "nm", "objcopy")
        }
        programs["gcc"] = "gcc"
        return Toolchain(name, f"{prefix}gcc{tail}", "gcc", (f"CROSS_COMPILE={prefix}",), programs)
    raise UsageError(f"--toolchain {name!r}: expected clang, clang-19, gcc, gcc-13 or a prefix as riscv64-linux-gnu-")


def needed(
    toolchain: Toolchain, *, btf: bool, boot: bool, checkpatch: bool, ccache: bool, build: bool = True
) -> dict[str, str]:
    """Return the packages of the programs that a proof needs, by program; a package may be unknown."""
    found = {**_COMMON, **toolchain.programs} if build else {}
    if btf:
        found["pahole"] = "dwarves"
    if boot:
        found[_QEMU] = "qemu-system-misc"
    if checkpatch:
        found["perl"] = "perl"
    if ccache:
        found["ccache"] = "ccache"
    return found


def missing(programs: Mapping[str, str], headers: Mapping[str, str], compiler: str) -> dict[str, str]:
    """Return what is not on this machine: package by program or header.

    Args:
        programs, headers: package by name.
        compiler: that must find the headers.
    """
    lost = {name: package for name, package in programs.items() if shutil.which(name) is None}
    if compiler not in lost:
        lost |= {name: package for name, package in headers.items() if not _has_header(compiler, name)}
    return lost


def _has_header(compiler: str, name: str) -> bool:
    try:
        done = subprocess.run(
            (compiler, "-E", "-x", "c", "-"), input=f"#include <{name}>\n".encode(), capture_output=True, timeout=30,
            check=False,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0


def require_tools(lost: Mapping[str, str]) -> None:
    """Name everything that is missing, at once.

    Raises:
        ProveError: something is.
    """
    if not lost:
        return
    packages = sorted({package for package in lost.values() if package})
    how = f"; in Debian: apt install {' '.join(packages)}" if packages else ""
    raise ProveError(f"not on this machine: {', '.join(lost)}{how}")


def versions(toolchain: Toolchain, *, btf: bool, boot: bool, ccache: bool, build: bool = True) -> dict[str, str]:
    """Return what the programs say of their versions."""
    asked: list[tuple[str, Sequence[str]]] = []
    if build:
        asked += [("compiler", (toolchain.compiler, "--version")), ("make", ("make", "--version"))]
        linker = next(name for name in toolchain.programs if name.startswith("ld.lld") or name.endswith("-ld"))
        asked.insert(1, ("linker", (linker, "--version")))
    if btf:
        asked.append(("pahole", ("pahole", "--version")))
    if boot:
        asked.append(("qemu", (_QEMU, "--version")))
    if ccache:
        asked.append(("ccache", ("ccache", "--version")))
    return {name: said(command) or "says nothing of its version" for name, command in asked}


def build_environment(*, ccache: bool, environ: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return the environment of a build: nothing in it makes it another one than on another day."""
    known = os.environ if environ is None else environ
    made = {name: value for name, value in known.items() if _FOREIGN.match(name) is None}
    made |= {
        "LC_ALL": "C",
        "TZ": "UTC",
        "KBUILD_BUILD_TIMESTAMP": "2000-01-01",
        "KBUILD_BUILD_USER": "u",
        "KBUILD_BUILD_HOST": "h",
    }
    if ccache:  # relative paths and no directory in the key: hits from any work directory of the same shape
        made |= {"CCACHE_BASEDIR": "/", "CCACHE_NOHASHDIR": "1", "CCACHE_SLOPPINESS": "time_macros"}
    return made
