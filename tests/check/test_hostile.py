# SPDX-License-Identifier: GPL-2.0-or-later
"""Inputs that mean no good: refused in one line, or judged within bounds."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from genpatch.check import apply
from genpatch.check.apply import apply_hunks
from genpatch.check.errors import PatchError
from genpatch.check.model import Hunk, Line
from genpatch.check.patches import is_cover, read_message, read_patches
from genpatch.check.run import check_patches
from genpatch.emit.tree import open_tree

from .trees import FTRACE, diff_of, edited, mail, toy

HUNK = "@@ -1 +1 @@\n-a\n+b\n"
HEAD = "From: A <a@example.org>\nSubject: [PATCH] riscv: x\n"
NESTED = "MIME-Version: 1.0\n" + "".join(
    f'Content-Type: multipart/mixed; boundary="b{n}"\n\n--b{n}\n' for n in range(3000)
)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (
            "diff --cc a.c\nindex 1,2..3\n--- a/a.c\n+++ b/a.c\n@@@ -1,1 -1,1 +1,1 @@@\n",
            "a merge, expected the changes",
        ),
        (HEAD + NESTED, "a mail of parts within parts within parts"),
        (HEAD + "MIME-Version: 1.0\n" + "Content-Type: message/rfc822\n\n" * 3000, "a mail of parts within parts"),
        (f"--- a/{'x' * 300}\n+++ b/{'x' * 300}\n{HUNK}", "a path of 302 characters"),
        (f"--- a/{'x/' * 900}y\n+++ b/y\n{HUNK}", "a path of 1,803 characters"),
        (f"--- a/x/.GIT/config\n+++ b/x/.GIT/config\n{HUNK}", "not a path in a tree"),
        (f"--- a/x\n+++ b/x\n{HUNK * 50_001}", "a patch of more than 10,000 files or 50,000 hunks"),
        (f"--- a/x\n+++ b/x\n{HUNK}" * 10_001, "a patch of more than 10,000 files or 50,000 hunks"),
        ("--- a/x\n+++ b/x\n@@ -1 +1 @@\n\\ No newline\n-a\n+b\n", "a malformed hunk: it has no line that could lack"),
        (mail(edited(FTRACE, ("// toy", "//")), body="x" * 10_001 + "\n"), "a line of more than 10,000 characters"),
    ],
    ids=range(10),
)
def test_refused_in_one_line(text: str, why: str) -> None:
    with pytest.raises(PatchError) as caught:
        read_patches(text.encode(), "x")
    assert why in str(caught.value)
    assert "\n" not in str(caught.value)


def test_modes_and_renames_alone_are_fine(tmp_path: Path) -> None:
    modes = f"diff --git a/{FTRACE} b/{FTRACE}\nold mode 100644\nnew mode 100755\n"
    moved = "diff --git a/Kconfig b/Kconfig.x\nsimilarity index 100%\nrename from Kconfig\nrename to Kconfig.x\n"
    checked = check_patches(read_patches(mail(modes, moved).encode(), "p"), open_tree(toy(tmp_path)))
    assert (checked.findings, checked.skipped) == ((), ())


def test_a_file_in_two_parts(tmp_path: Path) -> None:
    first = diff_of("Kconfig", 'mainmenu "toy"\n', 'mainmenu "a"\n')
    second = diff_of("Kconfig", 'mainmenu "a"\n', 'mainmenu "b"\n')
    checked = check_patches(read_patches(mail(first, second).encode(), "p"), open_tree(toy(tmp_path)))
    assert checked.findings == ()


def test_many_hunks_that_do_not_apply_are_counted(tmp_path: Path) -> None:
    diff = f"--- a/{FTRACE}\n+++ b/{FTRACE}\n" + HUNK * 1000
    checked = check_patches(read_patches(mail(diff).encode(), "p"), open_tree(toy(tmp_path)))
    assert len(checked.findings) == 21
    assert checked.findings[-1].message == "980 more hunks of the patch do not apply"


def test_looking_for_lines_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(apply, "MOST_TRIED", 100_000)
    text = "".join(f"line {n}\n" for n in range(20_000))
    hunks = [Hunk(10_000, 10_000, (Line("-", "none\n"), Line("+", "x\n")), 1)] * 20_000
    started = time.process_time()
    assert len(apply_hunks(text, hunks).failed) == 20_000
    assert time.process_time() - started < 5


def test_a_header_of_many_words(tmp_path: Path) -> None:
    text = f"From: A <a@example.org>\nSubject: {'=?utf-8?q?a?= ' * 100_000}\n\nText.\n---\n--- a/x\n+++ b/x\n{HUNK}"
    (patch,) = read_patches(text.encode(), "x")
    assert patch.subject is not None
    assert len(patch.subject.text) <= 4000


@pytest.mark.parametrize(
    ("subject", "is_one"),
    [
        ("[PATCH 0/3] x", True),
        ("[PATCH riscv v2 00/12] x", True),
        ("[PATCH 1/3] x", False),
        ("[PATCH 10/13] x", False),
        ("x 0/3", False),
    ],
)
def test_cover_letters(subject: str, is_one: bool) -> None:
    text = mail(subject=subject)
    assert is_cover(text.encode()) == is_one
    assert not is_cover((text + "diff --git a/x b/x\n").encode())


def test_comments_of_another_kind() -> None:
    text = b"riscv: a\n\n# kept\n; left out\n; ---- >8 ----\nx\n"
    assert [line.text for line in read_message(text, "m", ";").body] == ["# kept"]
    assert [line.text for line in read_message(text, "m", "").body][:2] == ["# kept", "; left out"]


def test_each_patch_keeps_what_it_was_read_from() -> None:
    one, two = mail(edited(FTRACE, ("// toy", "// a"))), mail(edited(FTRACE, ("// toy", "// b")))
    patches = read_patches((one + two).encode(), "x")
    assert [patch.first for patch in patches] == [1, one.count("\n") + 1]
    assert b"".join(patch.raw + b"\n" for patch in patches[:1]) == one.encode()
    assert patches[1].raw == two.encode()
