# SPDX-License-Identifier: GPL-2.0-or-later
"""Edits do what they say, in memory, and refuse a result that is broken."""

from __future__ import annotations

import pytest

from genpatch.emit.anchors import Function, Include, Macro, MakeAssignment, Statement
from genpatch.emit.edits import Action, Edit, apply_edits
from genpatch.emit.errors import AnchorError, EmitError

TEXT = "#include <a.h>\n#define N 4\n\nint f(int n)\n{\n\tif (n > N)\n\t\treturn 1;\n\treturn 0;\n}\n"


@pytest.mark.parametrize(
    ("edit", "old", "new"),
    [
        (Edit("a.c", Macro("N"), Action.REPLACE, "#define N 2"), "N 4", "N 2"),
        (Edit("a.c", Include("a.h"), Action.AFTER, "#include <b.h>\n"), "<a.h>\n", "<a.h>\n#include <b.h>\n"),
        (Edit("a.c", Statement("f", "if"), Action.BEFORE, "\tn++;\n"), "\tif", "\tn++;\n\tif"),
        (Edit("a.c", Statement("f", "if"), Action.DELETE), "\tif (n > N)\n\t\treturn 1;\n", ""),
        (Edit("a.c", Function("f"), Action.SUBSTITUTE, "2", r"(?<=return )1"), "return 1", "return 2"),
        (Edit("a.c", Function("f"), Action.SUBSTITUTE, r"\1", r"(?<=return )1(?=;)"), "", ""),
    ],
)
def test_actions(edit: Edit, old: str, new: str) -> None:
    if not old:
        with pytest.raises(EmitError, match=r"^a\.c: after the edits it no longer parses as before$"):
            apply_edits({"a.c": TEXT}, [edit])
        return
    assert apply_edits({"a.c": TEXT, "b.c": ""}, [edit]) == {"a.c": TEXT.replace(old, new)}


def test_each_edit_sees_the_one_before() -> None:
    edits = [
        Edit("a.c", Macro("N"), Action.AFTER, "#define M 5\n"),
        Edit("a.c", Macro("M"), Action.REPLACE, "#define M 6"),
    ]
    assert apply_edits({"a.c": TEXT}, edits) == {"a.c": TEXT.replace("N 4\n", "N 4\n#define M 6\n")}


@pytest.mark.parametrize(
    ("edit", "error", "why"),
    [
        (Edit("a.c", Macro("M"), Action.DELETE), AnchorError, "a.c: macro M: missing"),
        (
            Edit("a.c", Function("f"), Action.SUBSTITUTE, "x", "return"),
            AnchorError,
            "a.c: function f(): return: ambiguous (2 places)",
        ),
        (Edit("a.c", Macro("N"), Action.AFTER, "\tx; \n"), EmitError, "a.c: an edit leaves space at the end of a line"),
        (Edit("a.c", Function("f"), Action.AFTER, "int g(;"), EmitError, "a.c: after the edits it would not end"),
        (Edit("a.c", Function("f"), Action.AFTER, "int g({\n"), EmitError, "a.c: after the edits it no longer parses"),
        (
            Edit("Makefile", MakeAssignment("A"), Action.BEFORE, "ifdef B\n"),
            EmitError,
            "Makefile: after the edits a conditional does not end",
        ),
    ],
)
def test_what_is_refused(edit: Edit, error: type[EmitError], why: str) -> None:
    with pytest.raises(error) as caught:
        apply_edits({"a.c": TEXT, "Makefile": "A := 1\n"}, [edit])
    assert str(caught.value).startswith(why)
