# SPDX-License-Identifier: GPL-2.0-or-later
"""Which objects a configuration has, by Makefiles in the kernel's manner."""

from __future__ import annotations

import pytest

from genpatch.prove.kbuild import missing_option
from tests.emit.trees import real

FILES = {
    "Kbuild": "obj-y += kernel/ fs/\nobj-$(CONFIG_NET) += net/\n",
    "kernel/Makefile": (
        "obj-y = fork.o \\\n\t exec.o # later.o\nobj-$(CONFIG_MODULES) += module.o\nobj-$(CONFIG_A) += two.o\n"
        "obj-$(CONFIG_B) += two.o\nCFLAGS_two.o := -O1\nobj-$(CONFIG_TRACER) += tracer.o\ntracer-y := core.o\n"
        "tracer-$(CONFIG_GRAPH) += graph.o\nlib-m := extra.o\n"
    ),
    "net/Makefile": "obj-y := socket.o\n",
}


@pytest.mark.parametrize(
    ("target", "options", "lost"),
    [
        ("kernel/fork.o", {}, ""),
        ("kernel/exec.o", {}, ""),
        ("kernel/later.o", {}, ""),
        ("kernel/module.o", {}, "CONFIG_MODULES"),
        ("kernel/module.o", {"CONFIG_MODULES": "m"}, ""),
        ("kernel/two.o", {}, "CONFIG_A"),
        ("kernel/two.o", {"CONFIG_B": "y"}, ""),
        ("kernel/core.o", {}, "CONFIG_TRACER"),
        ("kernel/core.o", {"CONFIG_TRACER": "y"}, ""),
        ("kernel/graph.o", {"CONFIG_TRACER": "y"}, "CONFIG_GRAPH"),
        ("kernel/graph.o", {"CONFIG_TRACER": "y", "CONFIG_GRAPH": "y"}, ""),
        ("kernel/extra.o", {}, ""),
        ("net/socket.o", {}, "CONFIG_NET"),
        ("net/socket.o", {"CONFIG_NET": "y"}, ""),
        ("nowhere/x.o", {}, ""),
        ("net/", {}, "CONFIG_NET"),
        ("top.o", {}, ""),
    ],
)
def test_objects(target: str, options: dict[str, str], lost: str) -> None:
    assert missing_option(target, FILES.get, options) == lost


def test_an_object_that_is_a_part_of_itself_ends() -> None:
    files = {"Makefile": "a-y := b.o\nb-y := a.o\n"}
    assert missing_option("a.o", files.get, {}) == ""


@pytest.mark.parametrize("version", ["6.12", "7.2"])
def test_real_makefiles(version: str) -> None:
    root = real(version)

    def read(path: str) -> str | None:
        return (root / path).read_text() if (root / path).is_file() else None

    options = {"CONFIG_FUNCTION_TRACER": "y", "CONFIG_BPF_JIT": "y", "CONFIG_BPF_SYSCALL": "y", "CONFIG_NET": "y",
               "CONFIG_DYNAMIC_FTRACE": "y", "CONFIG_FTRACE": "y"}  # fmt: skip
    assert missing_option("arch/riscv/kernel/ftrace.o", read, options) == ""
    assert missing_option("arch/riscv/kernel/hibernate.o", read, options) == "CONFIG_HIBERNATION"
    assert missing_option("drivers/gpu/drm/drm_drv.o", read, options) == "CONFIG_DRM"
