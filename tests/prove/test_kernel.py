# SPDX-License-Identifier: GPL-2.0-or-later
"""What is built of a series before everything is, and what make is heard to say."""

from __future__ import annotations

from pathlib import Path

import pytest

from genpatch.prove.kernel import Builder, objects_of
from genpatch.prove.tools import toolchain_of
from tests.prove.fakes import program


@pytest.mark.parametrize(
    ("path", "target"),
    [
        ("arch/riscv/kernel/ftrace.c", "arch/riscv/kernel/ftrace.o"),
        ("arch/riscv/kernel/mcount-dyn.S", "arch/riscv/kernel/mcount-dyn.o"),
        ("kernel/trace/ftrace.c", "kernel/trace/ftrace.o"),
        ("arch/riscv/kernel/asm-offsets.c", "prepare"),
        ("arch/riscv/kernel/vdso/note.S", "prepare"),
        ("arch/riscv/include/asm/ftrace.h", "arch/riscv/kernel/"),
        ("arch/riscv/Makefile", "arch/riscv/kernel/"),
        ("Documentation/trace/ftrace.rst", ""),
        ("include/linux/ftrace.h", ""),
        ("gone.c", ""),
    ],
)
def test_objects_of_files(path: str, target: str) -> None:
    assert objects_of([path], {}, lambda path: path != "gone.c") == ([target] if target else [])


def test_objects_are_of_the_tree_as_it_is_at_a_patch() -> None:
    texts = {"old.c": None, "new.c": "int a;\n"}
    assert objects_of(["old.c", "new.c", "later.c"], texts, lambda path: path == "old.c") == ["new.o"]


def builder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make: str) -> Builder:
    monkeypatch.setenv("PATH", f"{program(tmp_path / 'bin', 'make', make).parent}:/usr/bin:/bin")
    (tmp_path / "src").mkdir()
    return Builder(tmp_path / "src", tmp_path / "out", toolchain_of("clang-19"), False, 2, lambda text: None)


# what a kernel's make prints, in its own shapes
WORDS = """#!/bin/sh
cat <<'END'
make[1]: Entering directory 'out'
  SYNC    include/config/auto.conf
  HOSTCC  scripts/basic/fixdep
  CC      init/main.o
  CC [M]  samples/ftrace/ftrace-direct.o
  AS      arch/riscv/kernel/entry.o
../src/kernel/fork.c:12:5: warning: unused variable 'x' [-Wunused-variable]
../src/kernel/fork.c:12:5: warning: unused variable 'x' [-Wunused-variable]
ld.lld: warning: something
  LD      vmlinux
END
exit %d
"""


def test_what_make_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    built = builder(tmp_path, monkeypatch, WORDS % 0).kernel(tmp_path / "log")
    assert built.is_good
    assert built.steps == 5
    assert built.warnings == (
        "../src/kernel/fork.c:12:5: warning: unused variable 'x' [-Wunused-variable]", "ld.lld: warning: something",
    )  # fmt: skip
    assert (tmp_path / "log").read_text().startswith("$ make -j2 ARCH=riscv LLVM=-19 O=")


def test_a_make_that_fails_without_a_word(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    built = builder(tmp_path, monkeypatch, WORDS % 2).kernel(tmp_path / "log")
    assert not built.is_good
    assert built.errors == ()


UNKNOWN = """#!/bin/sh
case "$*" in
*none.o*) echo "make[4]: *** No rule to make target 'arch/riscv/kernel/none.o'.  Stop."; exit 2 ;;
*) echo "  CC      arch/riscv/kernel/ftrace.o" ;;
esac
"""


def test_objects_that_the_configuration_does_not_have(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = builder(tmp_path, monkeypatch, UNKNOWN)
    built = made.objects(["arch/riscv/kernel/none.o", "arch/riscv/kernel/ftrace.o"], tmp_path / "log")
    assert built.is_good
    assert (built.unknown, built.steps) == (("arch/riscv/kernel/none.o",), 1)


def test_modules_are_those_that_were_built(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = builder(tmp_path, monkeypatch, UNKNOWN)
    (tmp_path / "out" / "samples").mkdir(parents=True)
    (tmp_path / "out" / "samples" / "one.ko").touch()
    (tmp_path / "elsewhere.ko").touch()
    assert made.modules == ()
    (tmp_path / "out" / "modules.order").write_text("samples/one.o\nsamples/two.o\n../elsewhere.o\n")
    assert made.modules == (tmp_path / "out" / "samples" / "one.ko",)
