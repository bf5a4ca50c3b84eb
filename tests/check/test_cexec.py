# SPDX-License-Identifier: GPL-2.0-or-later
"""C functions, run step by step; the values are those that a compiler's program gives."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from genpatch.check.cexec import Host, Interpreter, NotRun, signed
from genpatch.check.ctree import expression, trees_of

CODE = """\
static long shifts(long a, long b)
{
	long x = ((a & 0xfff) << 52) >> 52;

	x += (a + (1 << 11)) >> 12;
	x ^= ~b | 0x0f;
	return a < b ? x - -3 : x * 7 % 1000;
}

static long loops(long a, long b)
{
	long i, sum = 0;

	for (i = 0; i < a; i++) {
		if (i == 3)
			continue;
		if (sum > 1000)
			break;
		sum += i * b;
	}
	do {
		sum--;
	} while (sum % 5);
	while (a-- > 0 && b)
		++sum;
	return sum;
}

static long choices(long a, long b)
{
	long table[3];
	long *at = &b;

	table[0] = a;
	table[1] = b / 3;
	table[2] = -7 / 2;
	switch (a) {
	case 1:
	case 2:
		b += 10;
	case 3:
		b += 100;
		break;
	default:
		*at = table[1] + table[2];
	}
	if (b > 50)
		goto out;
	b = -b;
out:
	return b + (signed char)a + (unsigned int)a;
}

static long nested(long a, long b)
{
	return a > 20 ? b : nested(a + 7, b ?: 4) + shifts(b, a);
}
"""
NAMES = ("shifts", "loops", "choices", "nested")
VALUES = ((0, 0), (1, 5), (2, -9), (3, 60), (12, 7), (-4, 3), (2047, 2048), (1 << 31, -(1 << 33)))


class Plain(Host):
    """Knows nothing outside of the text."""

    def call(self, name: str, args: Sequence[Any], line: int) -> Any:
        return NotImplemented if name in NAMES else super().call(name, args, line)


def run(text: str, name: str, *args: int) -> Any:
    return Interpreter(trees_of(text), Plain()).run(name, args)


@pytest.mark.skipif(shutil.which("gcc") is None, reason="no gcc: what the interpreter gives is NOT compared with it")
def test_as_compiled(tmp_path: Path) -> None:
    made = [(name, a, b) for name in NAMES[:3] for a, b in VALUES if abs(a) < 4096]
    made += [("nested", a, b) for a, b in VALUES[:6]]
    calls = "".join(f'	printf("%ld\\n", {name}({a}L, {b}L));\n' for name, a, b in made)
    main = f"{CODE}\n#include <stdio.h>\nint main(void)\n{{\n{calls}	return 0;\n}}\n"
    (tmp_path / "a.c").write_text(main, encoding="utf-8")
    subprocess.run(["gcc", "-w", "-fwrapv", "-o", tmp_path / "a", tmp_path / "a.c"], check=True)
    printed = subprocess.run([tmp_path / "a"], check=True, capture_output=True, text=True).stdout
    got = [run(CODE, name, a, b) for name, a, b in made]
    assert [int(line) for line in printed.split()] == got


def test_signed() -> None:
    assert signed(0xFFFF_FFFF_FFFF_FFFF) == -1
    assert signed(0x8000_0000, 32) == -0x8000_0000
    assert signed(0x7FFF_FFFF, 32) == 0x7FFF_FFFF


@pytest.mark.parametrize(
    "body",
    [
        "	for (;;)\n		;\n",
        "again:\n	goto again;\n",
        "	goto nowhere;\n",
        "	return f(a);\n",
        "	return 1 << a;\n",
        "	return 1 / (a - 100);\n",
        "	return g(a);\n",
        "	return a->b->c;\n",
        "	return x;\n",
        "	asm volatile(\"nop\");\n	return 0;\n",
        "	return " + "(" * 5000 + "a" + ")" * 5000 + ";\n",
        "	" + "{" * 3000 + "}" * 3000 + "\n",
        "	return " + "-" * 3000 + "a;\n",
    ],
)  # fmt: skip
def test_what_is_not_run(body: str) -> None:
    text = f"int f(long a)\n{{\n{body}}}\n"
    started = time.process_time()
    with pytest.raises(NotRun):
        run(text, "f", 100)
    assert time.process_time() - started < 3


@pytest.mark.parametrize(("text", "kind"), [("1 + 2", "bin"), ("0x10", "num"), ("1 +", "unknown"), ("", "unknown")])
def test_expressions(text: str, kind: str) -> None:
    assert expression(text)[0] == kind
