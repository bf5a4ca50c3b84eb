# SPDX-License-Identifier: GPL-2.0-or-later
"""The tree's checkpatch.pl: run only when asked, and what it says told once."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from genpatch.check import checkpatch
from genpatch.check.checkpatch import SCRIPT, CheckpatchError, with_checkpatch
from genpatch.check.model import Level
from genpatch.check.patches import read_patches
from genpatch.check.run import Checked, check_patches
from genpatch.emit.tree import Tree, open_tree
from genpatch.errors import UsageError

from .trees import FTRACE, edited, mail, toy

SOURCES = [Path(path) for path in os.environ.get("GENPATCH_KERNEL_SOURCES", "").split(":") if path]

pytestmark = pytest.mark.skipif(shutil.which("perl") is None, reason="perl is not installed")


def tree(tmp_path: Path, script: str = "") -> Tree:
    root = toy(tmp_path / "linux")
    if script:
        (root / SCRIPT).parent.mkdir(parents=True)
        (root / SCRIPT).write_text(script)
    return open_tree(root)


def judged(where: Tree, *texts: str, strict: bool = False) -> Checked:
    patches = read_patches("".join(texts).encode(), "x")
    return with_checkpatch(check_patches(patches, where), where, strict=strict)


PATCH = mail(edited(FTRACE, ("// toy", "// a toy")), body=f"{'word ' * 20}\n\nFixes: 1234567\n")
TELLS = """\
print "-:6: WARNING:COMMIT_LOG_LONG_LINE: too long\\n";
print "-:8: WARNING:BAD_FIXES_TAG: not so\\n";
print "-:8: WARNING:UNKNOWN_COMMIT_ID: who\\n";
print "-:16: ERROR:SPACING: a\\n-:16: ERROR:SPACING: a\\n-:18: CHECK:LINE: b\\n";
print "-:15: WARNING:GONE: of a line that is taken out\\n";
exit 1;
"""


def test_what_it_says_is_told_once_and_where_it_belongs(tmp_path: Path) -> None:
    found = [each for each in judged(tree(tmp_path, TELLS), PATCH).findings if each.rule.startswith("CP-")]
    assert [(each.rule, each.level, each.file, each.line) for each in found] == [
        ("CP-UNKNOWN_COMMIT_ID", Level.WARNING, "-", 8),
        ("CP-SPACING", Level.ERROR, "-", 16),
        ("CP-LINE", Level.NOTE, FTRACE, 1),
        ("CP-GONE", Level.WARNING, "-", 15),
    ]


def test_lines_of_the_second_patch(tmp_path: Path) -> None:
    script = 'print "-:5: WARNING:A: b\\n"; exit 1;'
    found = [each for each in judged(tree(tmp_path, script), PATCH, PATCH).findings if each.rule == "CP-A"]
    assert [each.line for each in found] == [5, PATCH.count("\n") + 5]


def test_it_gets_the_patch_and_the_options(tmp_path: Path) -> None:
    script = f"""
my @lines = <STDIN>;
print scalar(@lines), " @ARGV\\n" if -f "{FTRACE}";
open(my $out, ">", "{tmp_path}/said"); print $out scalar(@lines), " @ARGV\\n";
"""
    with pytest.raises(CheckpatchError, match="status 0: "):
        judged(tree(tmp_path, script), PATCH, strict=True)
    count = len(PATCH.splitlines())
    want = f"{count} -q --terse --no-summary --mailback --show-types --color=never --root={tmp_path}/linux --strict -\n"
    assert (tmp_path / "said").read_text() == want


def test_what_it_writes_stays_out_of_the_tree(tmp_path: Path) -> None:
    where = tree(tmp_path, 'open(my $out, ">", ".cache"); print $out "x"; exit(-f "scripts/checkpatch.pl" ? 0 : 2);')
    before = sorted(where.root.rglob("*"))
    assert judged(where, mail(edited(FTRACE, ("// toy", "// a toy")))).findings == ()
    assert sorted(where.root.rglob("*")) == before


def test_nothing_to_say(tmp_path: Path) -> None:
    checked = judged(tree(tmp_path, "exit 0;"), mail(edited(FTRACE, ("// toy", "// a toy"))))
    assert checked.findings == ()
    assert checked.parts[0].outcomes[-1].rule == "CP"


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ('print STDERR "no perl module\\nmore\\n"; exit 2;', "status 2: no perl module"),
        ("exit 1;", "status 1: no word"),
        ('print "what is this\\n"; exit 1;', "status 1: what is this"),
        ("kill 9, $$;", "status -9: no word"),
        ("syntax error(", "status 255: syntax error"),
        ('print "x" x 3000000;', "more than 1,048,576 bytes of output"),
    ],
)
def test_it_breaks(tmp_path: Path, script: str, said: str) -> None:
    with pytest.raises(CheckpatchError, match=f"^{SCRIPT}: ") as caught:
        judged(tree(tmp_path, script), PATCH)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_it_takes_too_long(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpatch, "MOST_SECONDS", 0.3)
    with pytest.raises(CheckpatchError, match=r"no end after 0\.3 s"):
        judged(tree(tmp_path, "sleep 60;"), PATCH)


def test_what_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match=f"has no {SCRIPT}"):
        judged(tree(tmp_path), PATCH)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UsageError, match="perl is not installed"):
        judged(tree(tmp_path), PATCH)


@pytest.mark.skipif(not SOURCES, reason="GENPATCH_KERNEL_SOURCES names no kernel trees")
@pytest.mark.parametrize("root", SOURCES, ids=lambda path: path.name)
def test_the_real_one(root: Path) -> None:
    where = open_tree(root)
    text = where.read(FTRACE)
    first = text.split("\n", 1)[0]
    diff = f"--- a/{FTRACE}\n+++ b/{FTRACE}\n@@ -1 +1,2 @@\n {first}\n+int  a ;\n"
    found = judged(where, mail(diff)).findings
    assert "CP-MISSING_SIGN_OFF" in {each.rule for each in found}
    spacing = [each for each in found if each.rule == "CP-SPACING"]
    assert [(each.file, each.line) for each in spacing] == [(FTRACE, 2)]
