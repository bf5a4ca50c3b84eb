# SPDX-License-Identifier: GPL-2.0-or-later
"""Anchors find one place, or say why not."""

from __future__ import annotations

import re

import pytest

from genpatch.emit.anchors import (
    Anchor,
    AsmFunction,
    AsmLabel,
    AsmMacro,
    Function,
    Include,
    KconfigLine,
    KconfigSymbolBlock,
    Macro,
    MakeAssignment,
    MakeBlock,
    Member,
    Statement,
    locate,
)
from genpatch.emit.csource import parse
from genpatch.emit.errors import AnchorError
from genpatch.emit.kbuild import assignments, blocks, is_balanced, kconfig_symbols
from tests.emit.trees import KCONFIG, RISCV_MAKEFILE, real

C = """\
/* ü: bytes are not characters */
#include <linux/a.h>
#include "own.h"
#define ONE 1
#define ADD(a, b) \\
	((a) + (b))

struct pair {
	int first, *second;
	union {
		unsigned long deep[2];
	};
};

static __always_inline struct pair *
make(int a)
	__must_hold(&lock)
{
	int n = ADD(a, ONE);

	if (n > ONE) {
		if (a == n)
			return 0;
	}
	if (n == a)
		return second(n);
	n = a;
	return 0;
}

#ifdef CONFIG_X
int twice(void) { return 1; }
#else
int twice(void) { return 2; }
#endif

WEIRD_MACRO(name, int x { ) /* the grammar is lost here */

int after(int x)
{
	return make(x)->first;
}
"""
ASM = """\
	.macro SAVE, n
	sd ra, 0(sp)
	.endm
SYM_FUNC_START(caller)
	SAVE 1
inner:
1:	ret
SYM_FUNC_END(caller)
SYM_TYPED_FUNC_START(typed)
	ret
SYM_FUNC_END(typed)
"""


@pytest.mark.parametrize(
    ("anchor", "start", "end"),
    [
        (Function("make"), "static __always_inline struct pair *\nmake(", "n = a;\n\treturn 0;\n}"),
        (Function("after"), "int after(int x)\n{", "->first;\n}"),
        (Statement("make", "if", condition=("a",), names=("second",)), "if (n == a)", "return second(n);"),
        (Statement("make", "if", condition=("ONE",)), "if (n > ONE) {", "return 0;\n\t}"),
        (Statement("make", "if", condition=("ONE",), only_condition=True), "n > ONE", "n > ONE"),
        (Statement("make", "declaration", ("n",)), "int n", "ADD(a, ONE);"),
        (Statement("make", "expression"), "n = a;", "n = a;"),
        (Statement("make", "return", ("second",)), "return second", "(n);"),
        (Macro("ONE"), "#define ONE", "ONE 1"),
        (Macro("ADD"), "#define ADD(a, b) \\\n", "((a) + (b))"),
        (Include("linux/a.h"), "#include <linux/a.h>", "h>"),
        (Include("own.h"), '#include "own.h"', 'h"'),
        (Member("pair", "second"), "int first, *second;", "second;"),
        (Member("pair", "deep"), "unsigned long deep[2];", "deep[2];"),
    ],
)
def test_places_in_c(anchor: Anchor, start: str, end: str) -> None:
    found = locate(C, anchor, "a.c").of(C)
    assert found.startswith(start)
    assert found.endswith(end)


@pytest.mark.parametrize(
    ("anchor", "why"),
    [
        (Function("none"), "function none(): missing"),
        (Function("twice"), "function twice(): ambiguous (2 places)"),
        (Statement("make", "return"), "the return in make(): ambiguous (3 places)"),
        (Statement("make", "if", ("lost",), ("n",)), "the if in make() that uses lost that tests n: missing"),
        (Macro("TWO"), "macro TWO: missing"),
        (Include("linux/b.h"), "#include of linux/b.h: missing"),
        (Member("pair", "third"), "member third of struct pair: missing"),
        (KconfigSymbolBlock("NONE"), "config NONE: missing"),
        (MakeAssignment("X"), "assignment to X: missing"),
        (AsmLabel("l"), "label l: missing"),
        (AsmMacro("m"), ".macro m: missing"),
        (AsmFunction("f"), "assembly function f: missing"),
    ],
)
def test_one_line_for_what_is_not_there(anchor: Anchor, why: str) -> None:
    with pytest.raises(AnchorError) as caught:
        locate(C, anchor, "dir/a.c")
    assert str(caught.value) == f"dir/a.c: {why}"


def test_a_function_that_the_grammar_loses_is_found_by_its_braces() -> None:
    text = "#define X }\nBROKEN(((\nint lost(int a,\n\t int b)\n{\n\tif (a)\n\t\treturn 1;\n\treturn 0;\n}\n"
    assert locate(text, Function("lost"), "a.c").of(text).startswith("int lost(int a,")
    assert locate(text, Statement("lost", "if", condition=("a",)), "a.c").of(text) == "if (a)\n\t\treturn 1;"


def test_text_nested_deeper_than_python_calls() -> None:
    text = f"int f(void)\n{{\n\treturn {'(' * 20000}1{')' * 20000};\n}}\n"
    assert locate(text, Statement("f", "return"), "a.c").of(text).startswith("return ((")


def test_kconfig() -> None:
    assert [symbol.name for symbol in kconfig_symbols(KCONFIG)] == ["64BIT", "RISCV", "ARCH_RV64I"]
    assert locate(KCONFIG, KconfigSymbolBlock("64BIT"), "K").of(KCONFIG) == "config 64BIT\n\tbool"
    assert locate(KCONFIG, KconfigLine("select", "64BIT"), "K").of(KCONFIG) == "select 64BIT"
    assert locate(KCONFIG, KconfigLine("depends on", "64BIT"), "K").of(KCONFIG) == "depends on MMU || !64BIT"
    assert KconfigLine("select", "64BIT", "RISCV").places(KCONFIG) == []
    assert KconfigLine("select", "HAVE_FUNCTION").places(KCONFIG) == []


MAKE = """\
A := 1
ifeq ( $(CONFIG_X) , y ) # why
  A += 2 \\
       3
  ifdef B
A = 4
  else ifeq ($(C),z)
A ?= 5
  else
A := 6
  endif
endif
define text
ifeq
A := 7
endef
# A := 8
"""


def test_assignments_know_their_conditionals() -> None:
    assert [(each.operator, each.value, each.conditions) for each in assignments(MAKE, "A")] == [
        (":=", "1", ()),
        ("+=", "2 \\\n       3", ("ifeq ($(CONFIG_X),y)",)),
        ("=", "4", ("ifeq ($(CONFIG_X),y)", "ifdef B")),
        ("?=", "5", ("ifeq ($(CONFIG_X),y)", "else of ifdef B, ifeq ($(C),z)")),
        (":=", "6", ("ifeq ($(CONFIG_X),y)", "else of ifdef B")),
    ]
    assert [(block.condition, block.conditions) for block in blocks(MAKE)] == [
        ("ifeq ($(CONFIG_X),y)", ()),
        ("ifdef B", ("ifeq ($(CONFIG_X),y)",)),
    ]
    assert is_balanced(MAKE)
    assert not is_balanced("ifdef A\n")
    assert not is_balanced("endif\n")


def test_make_anchors() -> None:
    ftrace, short = "ifeq ($(CONFIG_DYNAMIC_FTRACE),y)", "ifeq ($(CONFIG_RISCV_ISA_C),y)"
    anchor = MakeAssignment("CC_FLAGS_FTRACE", (ftrace, f"else of {short}"))
    assert locate(RISCV_MAKEFILE, anchor, "M").of(RISCV_MAKEFILE).strip().endswith("=4,2")
    block = locate(RISCV_MAKEFILE, MakeBlock(short, (ftrace,), "CC_FLAGS_FTRACE"), "M").of(RISCV_MAKEFILE)
    assert block.startswith("ifeq ($(CONFIG_RISCV_ISA_C),y)\n")
    assert block.endswith("=4,2\nendif")


@pytest.mark.parametrize(
    ("anchor", "text"),
    [
        (AsmLabel("inner"), "inner:"),
        (AsmMacro("SAVE"), ".macro SAVE, n\n\tsd ra, 0(sp)\n\t.endm"),
        (AsmFunction("caller"), "SYM_FUNC_START(caller)\n\tSAVE 1\ninner:\n1:\tret\nSYM_FUNC_END(caller)"),
        (AsmFunction("typed"), "SYM_TYPED_FUNC_START(typed)\n\tret\nSYM_FUNC_END(typed)"),
    ],
)
def test_assembly(anchor: Anchor, text: str) -> None:
    assert locate(ASM, anchor, "a.S").of(ASM) == text


@pytest.mark.parametrize("version", ["6.1", "6.12", "7.2"])
@pytest.mark.parametrize("path", ["kernel/ftrace.c", "kernel/patch.c", "net/bpf_jit_comp64.c"])
def test_every_function_of_real_files_is_found(version: str, path: str) -> None:
    text = (real(version) / "arch/riscv" / path).read_text(encoding="utf-8")
    wanted = _functions_by_eye(text)
    assert len(wanted) >= 8
    for name in set(wanted):
        places = Function(name).places(text)
        assert len(places) == wanted.count(name), name
        assert all(place.of(text).endswith("}") for place in places)
    assert set(parse(text).function_names()) == set(wanted)


def _functions_by_eye(text: str) -> list[str]:
    """Names before braces in the first column, found without a grammar; those on one line too."""
    text = re.sub(r"/\*.*?\*/", "", text, flags=re.DOTALL)
    found = []
    for match in re.finditer(r"^\{", text, re.MULTILINE):
        head = re.split(r"\n\s*\n|;\n|\}\n|\n#[^\n]*\n", text[: match.start()])[-1]
        found.append(re.findall(r"(\w+)\s*\(", head)[0])
    return found + re.findall(r"^\w[^\n;=]*?(\w+)\([^\n]*\) \{[^\n]*\}$", text, re.MULTILINE)
