# SPDX-License-Identifier: GPL-2.0-or-later
"""What is read as a patch, and what is refused."""

from __future__ import annotations

import base64
import quopri
import re

import pytest

from genpatch.check.errors import PatchError
from genpatch.check.patches import MOST_BYTES, read_message, read_patches
from tests.check.trees import FTRACE, PATCH, edited, mail

DIFF = edited(FTRACE, ("// toy", "// a toy"))
OTHER = edited(PATCH, ("	int ret;\n\n	lockdep", "	int ret;\n\n\n	lockdep"))
HEAD = "--- a/x\n+++ b/x\n"


def read(text: str | bytes) -> list[tuple[str | None, list[str]]]:
    data = text.encode() if isinstance(text, str) else text
    return [
        (None if patch.subject is None else patch.subject.text, [each.path for each in patch.files])
        for patch in read_patches(data, "x")
    ]


def test_a_mail() -> None:
    (patch,) = read_patches(mail(DIFF, OTHER, subject="[PATCH v2 1/3] riscv: a\n b").encode(), "x")
    assert patch.subject is not None
    assert (patch.subject.text, patch.subject.at) == ("riscv: a b", 4)
    assert patch.author == "A. Hacker <a@example.org>"
    assert [(line.at, line.text) for line in patch.body] == [(7, "It was wrong.")]
    assert [each.path for each in patch.files] == [FTRACE, PATCH]
    (hunk,) = patch.files[0].hunks
    assert (hunk.start, hunk.new_start) == (1, 1)
    assert [(line.kind, line.text) for line in hunk.lines][:2] == [("-", "// toy\n"), ("+", "// a toy\n")]


def test_without_a_from_line_as_b4_sends_it() -> None:
    assert read(mail(DIFF).partition("\n")[2]) == [("riscv: ftrace: change a thing", [FTRACE])]


def test_a_mailbox_with_a_cover_letter() -> None:
    box = mail(subject="[PATCH 0/2] riscv: all") + mail(DIFF, subject="[PATCH 1/2] one") + mail(OTHER, subject="two")
    assert read(box) == [("one", [FTRACE]), ("two", [PATCH])]


@pytest.mark.parametrize("encoding", ["base64", "quoted-printable"])
def test_an_encoded_mail(encoding: str) -> None:
    body = f"Grüße.\n---\n\n{DIFF}".encode()
    coded = base64.encodebytes(body) if encoding == "base64" else quopri.encodestring(body)
    head = f"Subject: =?utf-8?q?riscv=3A_gr=C3=BCn?=\nContent-Transfer-Encoding: {encoding}\n\n"
    assert read(head.encode() + coded) == [("riscv: grün", [FTRACE])]


def test_the_author_of_a_forwarded_patch() -> None:
    (patch,) = read_patches(mail(DIFF, body="From: B <b@example.org>\n\nText.\n").encode(), "x")
    assert (patch.author, [line.text for line in patch.body]) == ("B <b@example.org>", ["Text."])


def test_git_show_and_log() -> None:
    one = f"commit {'a' * 40} (HEAD)\nAuthor: A <a@b.c>\nDate:   now\n\n    riscv: one\n\n    Text.\n\n{DIFF}"
    assert read(one) == [("riscv: one", [FTRACE])]
    assert read(f"{one}\n{one}") == [("riscv: one", [FTRACE])] * 2
    assert [line.text for line in read_patches(one.encode(), "x")[0].body] == ["Text."]


def test_bare_diffs() -> None:
    assert read(DIFF) == [(None, [FTRACE])]
    assert read(f"{HEAD}@@ -1 +1 @@\n-a\n+b\n--- a/y\n+++ b/y\n@@ -1 +1 @@\n-a\n+b\n") == [(None, ["x", "y"])]


def test_new_gone_renamed() -> None:
    new = (
        "diff --git a/n b/n\nnew file mode 100644\nindex 0000000..1234567\n--- /dev/null\n+++ b/n\n@@ -0,0 +1 @@\n+a\n"
    )
    gone = "diff --git a/g b/g\ndeleted file mode 100644\n--- a/g\n+++ /dev/null\n@@ -1 +0,0 @@\n-a\n"
    moved = "diff --git a/o b/p\nsimilarity index 100%\nrename from o\nrename to p\n"
    (patch,) = read_patches((new + gone + moved).encode(), "x")
    assert [(each.old, each.new, len(each.hunks)) for each in patch.files] == [
        (None, "n", 1),
        ("g", None, 1),
        ("o", "p", 0),
    ]


def test_a_removed_line_that_looks_like_a_signature() -> None:
    (patch,) = read_patches(f"{HEAD}@@ -1,2 +1 @@\n-- \n a\n".encode(), "x")
    assert [(line.kind, line.text) for line in patch.files[0].hunks[0].lines] == [("-", "- \n"), (" ", "a\n")]


def test_no_line_end_at_the_end() -> None:
    text = f"{HEAD}@@ -1 +1 @@\n-a\n\\ No newline at end of file\n+b\n\\ No newline at end of file\n"
    (patch,) = read_patches(text.encode(), "x")
    assert [(line.kind, line.text) for line in patch.files[0].hunks[0].lines] == [("-", "a"), ("+", "b")]


def test_characters_that_python_takes_for_line_ends() -> None:
    (patch,) = read_patches(f"{HEAD}@@ -1 +1 @@\n-a\x0cb\n+a\x85b\u2028\n".encode(), "x")
    assert [line.text for line in patch.files[0].hunks[0].lines] == ["a\x0cb\n", "a\x85b\u2028\n"]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "x: no diff in it"),
        ("hello\n", "x: no diff in it"),
        (mail(), "x: no diff in it"),
        (f"--- a/../x\n+++ b/../x\n{'@@ -1 +1 @@'}\n-a\n+b\n", "x:1: a/../x: not a path in a tree"),
        ("--- a/x/../../y\n+++ b/y\n@@ -1 +1 @@\n-a\n+b\n", "x:1: a/x/../../y: not a path in a tree"),
        ("--- /etc/passwd\n+++ /etc/passwd\n@@ -1 +1 @@\n-a\n+b\n", "x:1: /etc/passwd: an absolute path"),
        ("--- a//etc/x\n+++ b//etc/x\n@@ -1 +1 @@\n-a\n+b\n", "x:1: a//etc/x: not a path in a tree"),
        ("diff --git a/.git/hooks/x b/.git/hooks/x\n", "x:1: a/.git/hooks/x: not a path in a tree"),
        ("diff --git a/o b/p\nrename from ../o\nrename to p\n", "x:2: a/../o: not a path in a tree"),
        ('diff --git "a/\\303" "b/\\303"\n', "x:1: a path with unusual characters"),
        ("diff --git a/l b/l\nnew file mode 120000\n", "x:2: l: a symbolic link"),
        ("diff --git a/l b/l\nindex 1234567..1234568 120000\n", "x:2: l: a symbolic link"),
        ("diff --git a/m b/m\nnew file mode 160000\n", "x:2: m: a submodule"),
        ("diff --git a/b b/b\nGIT binary patch\nliteral 1\n", "x:2: b: a binary change"),
        ("diff --git a/b b/b\nBinary files a/b and b/b differ\n", "x:2: b: a binary change"),
        (f"{HEAD}@@ what @@\n", "x:3: a malformed hunk"),
        (f"{HEAD}@@ -1,3 +1,3 @@\n a\n", "x:3: a malformed hunk: it ends early"),
        (f"{HEAD}@@ -1 +1 @@\n-a\n+b\n+c\n", "x:3: a malformed hunk: it is longer than it says"),
        (f"{HEAD}@@ -1 +1 @@\n-a\n-b\n+c\n", "x:3: a malformed hunk: it is longer than it says"),
        (f"{HEAD}@@ -1,2 +1,2 @@\n-a\n*b\n", "x:3: a malformed hunk"),
        (f"{HEAD}@@ -1{'0' * 30} +1 @@\n-a\n+b\n", "x:3: a malformed hunk"),
        (HEAD.encode() + b"@@ -1 +1 @@\n-a\n+\xff\n", "x:5: not UTF-8"),
        (b"a\n\0", "x:2: a NUL, expected text"),
        (b" " * (MOST_BYTES + 1), "x: more than 4,194,304 bytes"),
        ("From a 2000\n\n" * 1001, "x: more than 1,000 messages"),
    ],
)
def test_refused(text: str | bytes, why: str) -> None:
    with pytest.raises(PatchError, match=f"^{re.escape(why)}$"):
        read(text)


def test_a_commit_message() -> None:
    patch = read_message(b"\n# help\nriscv: a\n\nText.\n# more\n# ------ >8 ------\ndiff\n", "m")
    assert patch.subject is not None
    assert (patch.subject.text, patch.subject.at) == ("riscv: a", 3)
    assert [line.text for line in patch.body] == ["Text."]
