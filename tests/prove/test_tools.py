# SPDX-License-Identifier: GPL-2.0-or-later
"""Toolchains by name, programs that are missing, and the environment of a build."""

from __future__ import annotations

from pathlib import Path

import pytest

from genpatch.errors import UsageError
from genpatch.prove.errors import ProveError
from genpatch.prove.tools import (
    BTF_HEADERS,
    SIGNING_HEADERS,
    build_environment,
    missing,
    needed,
    require_tools,
    toolchain_of,
    versions,
)
from tests.prove.fakes import program, programs


@pytest.mark.parametrize(
    ("name", "plain", "cached"),
    [
        ("clang", ["LLVM=1"], ["LLVM=1", "CC=ccache clang"]),
        ("clang-19", ["LLVM=-19"], ["LLVM=-19", "CC=ccache clang-19"]),
        (
            "gcc",
            ["CROSS_COMPILE=riscv64-linux-gnu-", "CC=riscv64-linux-gnu-gcc"],
            ["CROSS_COMPILE=riscv64-linux-gnu-", "CC=ccache riscv64-linux-gnu-gcc", "HOSTCC=ccache gcc"],
        ),
        (
            "gcc-13",
            ["CROSS_COMPILE=riscv64-linux-gnu-", "CC=riscv64-linux-gnu-gcc-13"],
            ["CROSS_COMPILE=riscv64-linux-gnu-", "CC=ccache riscv64-linux-gnu-gcc-13", "HOSTCC=ccache gcc"],
        ),
        (
            "riscv64-unknown-linux-gnu-",
            ["CROSS_COMPILE=riscv64-unknown-linux-gnu-", "CC=riscv64-unknown-linux-gnu-gcc"],
            [
                "CROSS_COMPILE=riscv64-unknown-linux-gnu-",
                "CC=ccache riscv64-unknown-linux-gnu-gcc",
                "HOSTCC=ccache gcc",
            ],
        ),
    ],
)
def test_a_toolchain_and_how_make_is_told(name: str, plain: list[str], cached: list[str]) -> None:
    toolchain = toolchain_of(name)
    assert list(toolchain.make_arguments(ccache=False)) == plain
    assert list(toolchain.make_arguments(ccache=True)) == cached


@pytest.mark.parametrize(
    "name", ["", "tcc", "clang-", "clang-x", "gcc-13;rm", "x86_64-linux-gnu-", "../gcc", "clang 19"]
)
def test_no_toolchain(name: str) -> None:
    with pytest.raises(UsageError) as caught:
        toolchain_of(name)
    assert str(caught.value) == (
        f"--toolchain {name!r}: expected clang, clang-19, gcc, gcc-13 or a prefix as riscv64-linux-gnu-"
    )


def test_all_that_is_missing_is_named_at_once_with_its_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    programs(tmp_path / "bin", monkeypatch, without=("flex", "ld.lld-19", "pahole", "qemu-system-riscv64"))
    toolchain = toolchain_of("clang-19")
    wanted = needed(toolchain, btf=True, boot=True, checkpatch=True, ccache=True)
    with pytest.raises(ProveError) as caught:
        require_tools(missing(wanted, BTF_HEADERS, toolchain.host))
    assert str(caught.value) == (
        "not on this machine: flex, ld.lld-19, pahole, qemu-system-riscv64, ccache; "
        "in Debian: apt install ccache dwarves flex lld-19 qemu-system-misc"
    )
    less = needed(toolchain, btf=False, boot=False, checkpatch=False, ccache=False)
    assert list(missing(less, BTF_HEADERS, toolchain.host)) == ["flex", "ld.lld-19"]


def test_headers_are_asked_of_the_compiler(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    places = programs(tmp_path / "bin", monkeypatch)
    program(places, "clang-19", "#!/bin/sh\nif grep -q libelf; then exit 1; fi\n")
    toolchain = toolchain_of("clang-19")
    wanted = needed(toolchain, btf=False, boot=False, checkpatch=False, ccache=False)
    headers = {**BTF_HEADERS, **SIGNING_HEADERS}
    assert missing(wanted, headers, toolchain.host) == {"libelf.h": "libelf-dev"}


def test_versions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    programs(tmp_path / "bin", monkeypatch)
    assert versions(toolchain_of("clang-19"), btf=True, boot=True, ccache=False) == {
        "compiler": "clang-19 of the fakes 19.1.7",
        "linker": "ld.lld-19 of the fakes 19.1.7",
        "make": "GNU Make 4.4.1",
        "pahole": "pahole of the fakes 19.1.7",
        "qemu": "QEMU emulator version 7.2.22 (Debian 1:7.2+dfsg-7)",
    }


def test_nothing_of_the_users_environment_makes_it_another_build() -> None:
    given = {
        "PATH": "bin", "HOME": "home", "CCACHE_DIR": "cc", "ARCH": "x86", "CROSS_COMPILE": "arm-", "LLVM": "1",
        "KCFLAGS": "-O0", "MAKEFLAGS": "-k", "KBUILD_OUTPUT": "out", "KCONFIG_CONFIG": "c", "CC": "tcc", "W": "1",
        "HOSTCFLAGS": "-g", "LOCALVERSION": "-x", "LANG": "de_DE.UTF-8",
    }  # fmt: skip
    made = build_environment(ccache=False, environ=given)
    assert {name: made[name] for name in ("PATH", "HOME", "CCACHE_DIR")} == {
        "PATH": "bin", "HOME": "home", "CCACHE_DIR": "cc",
    }  # fmt: skip
    assert made["LC_ALL"] == "C"
    assert not {"ARCH", "CROSS_COMPILE", "LLVM", "KCFLAGS", "MAKEFLAGS", "KBUILD_OUTPUT", "KCONFIG_CONFIG", "CC", "W",
                "HOSTCFLAGS", "LOCALVERSION"} & set(made)  # fmt: skip
    assert "CCACHE_BASEDIR" not in made
    assert build_environment(ccache=True, environ={})["CCACHE_BASEDIR"] == "/"
