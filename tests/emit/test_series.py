# SPDX-License-Identifier: GPL-2.0-or-later
"""Diffs and messages, against git where git can judge them."""

from __future__ import annotations

import random
import subprocess
from pathlib import Path

import pytest

from genpatch import __version__
from genpatch.emit.errors import EmitError
from genpatch.emit.series import Change, Cover, Patch, check_diff, diffstat, file_diff, mails_of, slug
from tests.emit.trees import git

OLD = "int a;\n\nint f(void)\n{\n\tx();\n\ty();\n\tz();\n\tq();\n\treturn 0;\n}\n"
NEW = OLD.replace("q();", "r();")
DIFF = """\
diff --git a/d/a.c b/d/a.c
index OLD..NEW 100644
--- a/d/a.c
+++ b/d/a.c
@@ -5,6 +5,6 @@ int f(void)
 \tx();
 \ty();
 \tz();
-\tq();
+\tr();
 \treturn 0;
 }
"""


def blob(text: str) -> str:
    done = subprocess.run(["git", "hash-object", "--stdin"], input=text, capture_output=True, text=True, check=True)
    return done.stdout[:12]


def test_a_diff() -> None:
    assert file_diff(Change("d/a.c", OLD, NEW)) == DIFF.replace("OLD", blob(OLD)).replace("NEW", blob(NEW))


def test_a_new_file() -> None:
    text = "x\ny\n"
    assert file_diff(Change("a.c", None, text, "100755")) == (
        f"diff --git a/a.c b/a.c\nnew file mode 100755\nindex 000000000000..{blob(text)}\n"
        "--- /dev/null\n+++ b/a.c\n@@ -0,0 +1,2 @@\n+x\n+y\n"
    )


def test_a_last_line_without_an_end() -> None:
    assert file_diff(Change("a", "x\ny", "x\ny\n")).endswith(
        "@@ -1,2 +1,2 @@\n x\n-y\n\\ No newline at end of file\n+y\n"
    )


@pytest.mark.parametrize("path", ["../a", "/a", "a b", "a\n", "a/../b"])
def test_paths_of_patches(path: str) -> None:
    with pytest.raises(EmitError, match=r"not a path for a patch$"):
        file_diff(Change(path, "a\n", "b\n"))


def test_nothing_changes() -> None:
    with pytest.raises(EmitError, match=r"^a: nothing changes$"):
        file_diff(Change("a", "a\n", "a\n"))


def test_any_diff_is_applied_by_git(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q")
    random.seed(7)
    for number in range(120):
        old = [random.choice(("a", "b", "", "{", "int f()", "\tx", "\fy")) for _ in range(random.randrange(40))]
        new = [line for line in old if random.random() > 0.1]
        for _ in range(random.randrange(4)):
            new.insert(random.randrange(len(new) + 1), random.choice("abcd"))
        texts = ["\n".join(lines) + random.choice(("\n", "\n", "")) * bool(lines) for lines in (old, new)]
        if texts[0] == texts[1]:
            continue
        change = Change("f", texts[0] if number % 10 else None, texts[1])
        (tmp_path / "f").unlink(missing_ok=True)
        if change.old is not None:
            (tmp_path / "f").write_text(texts[0], encoding="utf-8")
        if not texts[1] and change.old is None:
            continue
        diff = file_diff(change)
        check_diff(change, diff)
        git(tmp_path, "apply", "--whitespace=nowarn", "-", stdin=diff)
        assert (tmp_path / "f").read_text(encoding="utf-8") == texts[1]


def test_a_diff_that_gives_something_else_is_caught() -> None:
    diff = file_diff(Change("d/a.c", OLD, NEW))
    with pytest.raises(EmitError, match=r"does not give the new text$"):
        check_diff(Change("d/a.c", OLD, NEW), diff.replace("+\tr();", "+\ts();"))
    with pytest.raises(EmitError, match=r"the diff that was made is none"):
        check_diff(Change("d/a.c", OLD, NEW), diff.replace("-\tq();\n", ""))


def test_diffstat_is_git_s(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q")
    texts = {
        "a.c": ("x\n" * 9, "y\n"),
        "long/path/of/b.c": ("1\n", "".join(f"{n}\n" for n in range(200))),
        "c": ("a\n", "a\nb\n"),
    }
    for side in (0, 1):
        for path, pair in texts.items():
            (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / path).write_text(pair[side])
        git(tmp_path, "add", "-A")
        git(tmp_path, "commit", "-q", "-m", "x")
    wanted = git(tmp_path, "diff", "--stat=80", "HEAD^", "HEAD")
    made = diffstat([Change(path, *pair) for path, pair in texts.items()])
    assert [line.split("|")[0] for line in made.split("\n")] == [line.split("|")[0] for line in wanted.split("\n")]
    assert max(map(len, made.split("\n"))) <= 80
    assert made.split("\n")[-2] == " 3 files changed, 201 insertions(+), 9 deletions(-)"
    assert diffstat([Change("a", "x\n", "y\n")]) == " a | 2 +-\n 1 file changed, 1 insertion(+), 1 deletion(-)\n"
    assert diffstat([Change("a", None, "y\n")]) == " a | 1 +\n 1 file changed, 1 insertion(+)\n create mode 100644 a\n"


def test_a_message() -> None:
    change = Change("d/a.c", OLD, NEW)
    letter, (mail,) = mails_of([Patch("do: a thing", "Why.\n", (change,))], None, identity="A B <a@b.org>", date=0)
    assert letter is None
    assert mail.name == "0001-do-a-thing.patch"
    assert mail.text == (
        f"From {'0' * 40} Mon Sep 17 00:00:00 2001\nFrom: A B <a@b.org>\nDate: Thu, 01 Jan 1970 00:00:00 +0000\n"
        "Subject: [PATCH] do: a thing\n\nWhy.\n---\n d/a.c | 2 +-\n 1 file changed, 1 insertion(+), 1 deletion(-)\n\n"
        f"{file_diff(change)}-- \ngenpatch {__version__}\n\n"
    )


def test_a_series_has_a_cover_and_numbers() -> None:
    first, second = Change("a", "1\n", "2\n"), Change("a", "2\n", "3\n")
    patches = [Patch("one", "Eins.\n", (first,)), Patch("two", "Zwei.\n", (second,))]
    letter, mails = mails_of(patches, Cover("both", "Beides.\n", "f" * 40), identity="A <a@b>", date=0)
    assert letter is not None
    assert [letter.name, *(mail.name for mail in mails)] == [
        "0000-cover-letter.patch",
        "0001-one.patch",
        "0002-two.patch",
    ]
    assert "Subject: [PATCH 0/2] both\n" in letter.text
    assert "\nA (2):\n  one\n  two\n\n a | 2 +-\n" in letter.text
    assert letter.text.endswith(f"\nbase-commit: {'f' * 40}\n-- \ngenpatch {__version__}\n\n")
    assert [mail.text.split("\n")[3] for mail in mails] == ["Subject: [PATCH 1/2] one", "Subject: [PATCH 2/2] two"]


@pytest.mark.parametrize("line", ["--- a/x", "---", "diff --git a/x b/x", "From here on", "Index: x"])
def test_a_body_that_would_end_the_message(line: str) -> None:
    with pytest.raises(EmitError, match=r"a line of the message would end it"):
        mails_of([Patch("s", f"A.\n{line}\n", (Change("a", "1\n", "2\n"),))], None, identity="A <a@b>", date=0)


@pytest.mark.parametrize(
    ("identity", "header"),
    [
        ("Ä B <a@b>", "From: =?utf-8?q?=C3=84_B?= <a@b>\n"),
        ('J. "Q" Doe <a@b>', 'From: "J. \\"Q\\" Doe" <a@b>\n'),
    ],
)
def test_names_that_a_header_cannot_hold(tmp_path: Path, identity: str, header: str) -> None:
    change = Change("a", "1\n", "2\n")
    _, (mail,) = mails_of([Patch("s", "ü\n", (change,))], None, identity=identity, date=1000000000)
    assert header in mail.text
    assert "Content-Transfer-Encoding: 8bit\n" in mail.text
    (tmp_path / "a").write_text("1\n")
    git(tmp_path, "init", "-q")
    git(tmp_path, "add", "a")
    git(tmp_path, "commit", "-q", "-m", "x")
    git(tmp_path, "am", "-q", stdin=mail.text)
    said = git(tmp_path, "log", "-1", "--format=%an <%ae>|%s|%b|%at")
    assert said == f"{identity}|s|ü\n|1000000000\n"


@pytest.mark.parametrize(
    ("subject", "name"),
    [
        ("riscv, bpf: use the kernel's x", "riscv-bpf-use-the-kernel-s-x"),
        ("a...b: c.", "a.b-c"),
        ("x" * 60, "x" * 52),
    ],
)
def test_slugs(subject: str, name: str) -> None:
    assert slug(subject) == name
