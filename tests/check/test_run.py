# SPDX-License-Identifier: GPL-2.0-or-later
"""What the rules cannot judge is said."""

from __future__ import annotations

from pathlib import Path

from genpatch.check.patches import read_patches
from genpatch.check.run import check_patches
from genpatch.emit.tree import open_tree

from .trees import CALL_OPS, FTRACE, MAKEFILE, diff_of, edited, mail, toy


def skipped(tree: Path, diff: str) -> list[str]:
    checked = check_patches(read_patches(mail(diff).encode(), "a.patch"), open_tree(tree))
    return [reason.partition(": ")[2] for reason in checked.skipped]


def test_a_layout_that_is_not_understood(tmp_path: Path) -> None:
    tree = toy(tmp_path)
    plain = edited(MAKEFILE, ("-z norelro", "-z relro"))
    assert skipped(tree, plain) == []
    variable = edited(MAKEFILE, (f"ifeq ($({CALL_OPS}),y)", "ifeq ($(shell whatever),y)"))
    assert skipped(tree, variable) == [
        "how arch/riscv/Makefile asks for nops, or what arch/riscv/kernel/ftrace.c counts on, was not understood: "
        "GP511 and GP512 were not judged"
    ]


def test_a_file_that_is_too_long(tmp_path: Path) -> None:
    tree = toy(tmp_path)
    text = (tree / FTRACE).read_text(encoding="utf-8")
    found = skipped(tree, diff_of(FTRACE, text, text + "/* long */\n" * 60_000))
    assert found == [f"{FTRACE} is too long to be parsed: GP513, GP514 and GP515 were not judged there"]
