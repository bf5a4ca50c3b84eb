# SPDX-License-Identifier: GPL-2.0-or-later
"""Series as people have them, and what they make of a tree."""

from __future__ import annotations

import io
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from genpatch.check.errors import PatchError
from genpatch.emit.tree import open_tree
from genpatch.prove.errors import ProveError
from genpatch.prove.series import apply_series, read_series, subjects_of
from tests.emit.trees import BPF_C, FTRACE_C
from tests.prove.fakes import diff, tree

FTRACE, BPF = "arch/riscv/kernel/ftrace.c", "arch/riscv/net/bpf_jit_comp64.c"
ONE = diff(FTRACE, FTRACE_C, FTRACE_C.replace("// toy", "// one"), "riscv: one")
TWO = diff(FTRACE, FTRACE_C.replace("// toy", "// one"), FTRACE_C.replace("// toy", "// two"), "riscv: two")
COVER = "From 0 Mon Sep 17 00:00:00 2001\nFrom: a <a@b.c>\nSubject: [PATCH 0/2] all\n\nHello.\n"


def test_a_directory_is_read_in_order_without_its_cover(tmp_path: Path) -> None:
    for name, text in (("0002-two.patch", TWO), ("0001-one.patch", ONE), ("0000-cover-letter.patch", COVER)):
        (tmp_path / name).write_text(text)
    (tmp_path / "README").write_text("no patch\n")
    parts = read_series([str(tmp_path)])
    assert [subject.title for subject in subjects_of(parts)] == ["riscv: one", "riscv: two"]
    assert subjects_of(parts)[0].files == (FTRACE,)


def test_a_mailbox(tmp_path: Path) -> None:
    (tmp_path / "all.mbox").write_text(COVER + "\n" + ONE + TWO)
    (part,) = read_series([str(tmp_path / "all.mbox")])
    assert [patch.subject.text for patch in part.patches if patch.subject] == ["riscv: one", "riscv: two"]


def test_standard_input_and_a_bare_diff(monkeypatch: pytest.MonkeyPatch) -> None:
    text = ONE[ONE.index("--- a/") : ONE.index("-- \n")]
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(text.encode())))
    parts = read_series(["-"])
    assert subjects_of(parts)[0].title == "a diff without a message (standard input)"


def test_a_cover_letter_that_was_named_too(tmp_path: Path) -> None:
    (tmp_path / "0000-cover-letter.patch").write_text(COVER)
    (tmp_path / "0001-one.patch").write_text(ONE)
    names = [str(path) for path in sorted(tmp_path.iterdir())]
    assert [subject.title for subject in subjects_of(read_series(names))] == ["riscv: one"]
    with pytest.raises(ProveError) as caught:
        read_series(names[:1])
    assert str(caught.value) == f"{names[0]}: a cover letter, and no patch"


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ((), "{}: no patch in this directory (*.patch, *.diff, *.eml, *.mbox)"),
        (("nothing",), "{}/nothing: No such file or directory"),
    ],
)
def test_no_series(tmp_path: Path, names: tuple[str, ...], message: str) -> None:
    with pytest.raises(ProveError) as caught:
        read_series([str(tmp_path.joinpath(*names))])
    assert str(caught.value) == message.format(tmp_path)


@pytest.mark.parametrize("path", ["../outside.c", "/etc/passwd", ".git/config", "arch/../../x"])
def test_what_leaves_the_tree_is_refused(tmp_path: Path, path: str) -> None:
    (tmp_path / "a.patch").write_text(f"--- /dev/null\n+++ b/{path}\n@@ -0,0 +1 @@\n+x\n")
    with pytest.raises(PatchError, match=r"not a path in a tree|an absolute path"):
        read_series([str(tmp_path / "a.patch")])


def test_each_patch_is_applied_to_what_those_before_it_made(tmp_path: Path) -> None:
    root = tree(tmp_path / "t")
    (tmp_path / "s").write_text(ONE + TWO)
    patches = [patch for part in read_series([str(tmp_path / "s")]) for patch in part.patches]
    applied = apply_series(open_tree(root), patches)
    assert [state.get(FTRACE, "")[:7] for state in applied.states if state.get(FTRACE)] == ["// one\n", "// two\n"]
    assert applied.states[0] == {}
    assert (applied.paths, applied.unfit) == ((FTRACE,), ())
    assert (root / FTRACE).read_text() == FTRACE_C
    assert applied.digest != apply_series(open_tree(root), patches[:1]).digest


def test_it_stops_at_the_patch_that_does_not_apply(tmp_path: Path) -> None:
    root = tree(tmp_path / "t")
    other = diff(BPF, BPF_C.replace("NINSNS 2", "NINSNS 4"), BPF_C)
    (tmp_path / "s").write_text(ONE + other + TWO)
    patches = [patch for part in read_series([str(tmp_path / "s")]) for patch in part.patches]
    applied = apply_series(open_tree(root), patches)
    assert len(applied.states) == 2
    assert [(number, unfit.path) for number, unfit in applied.unfit] == [(2, BPF)]
