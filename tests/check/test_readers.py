# SPDX-License-Identifier: GPL-2.0-or-later
"""Kconfig, conditionals, structs, assembly, expressions: each read alone."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from genpatch.check.assembly import routines_of
from genpatch.check.cexpr import computed, macro_functions
from genpatch.check.frames import in_words
from genpatch.check.kconfig import Kconfig
from genpatch.check.offsets import touches
from genpatch.check.preprocess import options_tested, preprocess
from genpatch.check.structs import offsets_of, structs_of
from genpatch.check.trampoline import Value, flow_of

KCONFIG = """\
config RISCV
	def_bool y
	select HAVE_A if GCC_A || CLANG_A
	select HAVE_B if A && !CFI # a comment

config GCC_A
	def_bool GCC
	depends on $(cc-option,-fa=8)
	depends on MIN || !C

config CLANG_A
	def_bool CLANG
	depends on LD_IS_LLD || LD_VERSION >= 23600

config HAVE_A
	bool

config HAVE_B
	bool
	help
	select HAVE_A is what help says

if TRACE
config A
	bool "a" if EXPERT
	depends on HAVE_A
endif

config B
	def_bool y
	depends on A
	depends on HAVE_B
"""


@pytest.mark.parametrize(
    ("name", "known", "value"),
    [
        ("HAVE_A", {"GCC": True, "CLANG": False, "$(cc-option,-fa=8)": False}, False),
        ("HAVE_A", {"GCC": True, "CLANG": False, "$(cc-option,-fa=8)": True, "MIN": True}, True),
        ("HAVE_A", {"GCC": True, "CLANG": False, "$(cc-option,-fa=8)": True, "MIN": False, "C": True}, False),
        ("HAVE_A", {"GCC": True, "CLANG": False}, None),
        ("HAVE_A", {"GCC": False, "CLANG": True, "LD_IS_LLD": False, "LD_VERSION >= 23600": False}, False),
        ("HAVE_A", {"CLANG": True, "LD_IS_LLD": True}, True),
        ("A", {"HAVE_A": True, "TRACE": True}, None),
        ("A", {"HAVE_A": True, "TRACE": False}, False),
        ("A", {"HAVE_A": False}, False),
        ("B", {"A": True, "CFI": False}, True),
        ("B", {"A": True, "CFI": True}, False),
        ("NOWHERE", {}, None),
    ],
)
def test_kconfig_values(name: str, known: dict[str, bool], value: bool | None) -> None:
    assert Kconfig((KCONFIG,)).value(name, {"RISCV": True, **known}) is value


def test_kconfig_what_follows() -> None:
    kconfig = Kconfig((KCONFIG,))
    closed = kconfig.closed({"RISCV": True, "B": True})
    assert closed is not None
    assert {name: closed[name] for name in ("A", "HAVE_A", "HAVE_B", "CFI", "TRACE")} == {
        "A": True,
        "HAVE_A": True,
        "HAVE_B": True,
        "CFI": False,
        "TRACE": True,
    }
    assert kconfig.closed({"B": True, "CFI": True}) is None
    assert kconfig.closed({"RISCV": True, "B": False, "A": True, "CFI": False}) is None
    assert kconfig.closed({"A": True, "B": False, "CFI": True}) is not None


TEXT = """\
#define ONE 1
#if defined(CONFIG_A) && (!defined(CONFIG_B) || IS_ENABLED(CONFIG_C)) /* both */
a
#elif CONFIG_N >= 3 && 0
never
#elif defined CONFIG_B
b
#else
neither
#endif
#ifndef ONE
not
#endif
#undef ONE
#ifdef ONE
one
#define TWO(x) \\
	(x)
#endif
/* #ifdef CONFIG_COMMENT */
end
"""


def test_what_the_preprocessor_leaves(tmp_path: Path) -> None:
    assert options_tested(TEXT) == {"CONFIG_A", "CONFIG_B", "CONFIG_C"}
    source = tmp_path / "a.c"
    for on in ((), ("A",), ("B",), ("A", "B"), ("A", "B", "C"), ("C",)):
        names = {f"CONFIG_{name}": True for name in on}
        taken = preprocess(TEXT, names)
        assert len(taken.lines) == TEXT.count("\n") + 1
        # the kernel's IS_ENABLED() is a macro of a header
        plain = TEXT.replace("IS_ENABLED(CONFIG_C)", "defined(CONFIG_C)")
        source.write_text(plain, encoding="utf-8")
        flags = [f"-D{name}=1" for name in (*names, "CONFIG_N")]
        done = subprocess.run(["cpp", "-P", *flags, str(source)], capture_output=True, text=True, check=True)
        assert taken.text.split() == done.stdout.split()


def test_structs_are_laid_out_as_a_compiler_does(tmp_path: Path) -> None:
    text = """\
struct first {
	unsigned long epc;
	int one;
	unsigned int two[3];
	struct first *next;
	union {
		unsigned long args[4];
		struct {
			unsigned long a0;
			unsigned long a1;
		};
	};
	unsigned int last;
};
struct odd {
	char name[3];
};
"""
    structs = structs_of(preprocess(text, {}))
    assert set(structs) == {"first"}
    first = structs["first"]
    lines = [f"_Static_assert(sizeof(struct first) == {first.size});"]
    lines += [f"_Static_assert(__builtin_offsetof(struct first, {n}) == {at});" for n, at in first.members.items()]
    assert len(lines) == 9
    source = tmp_path / "a.c"
    source.write_text(text + "\n".join(lines), encoding="utf-8")
    subprocess.run(["gcc", "-std=gnu2x", "-fsyntax-only", str(source)], check=True)
    made = offsets_of(
        preprocess("	DEFINE(SIZE, ALIGN(sizeof(struct first), STACK_ALIGN));\n	OFFSET(F_A1, first, a1);\n", {}),
        structs,
    )
    assert {name: each.value for name, each in made.items()} == {
        "SIZE": -(-first.size // 16) * 16,
        "F_A1": first.members["a1"],
    }


ASM = """\
#define FRAME	32
	.macro KEEP reg, at=0
	REG_S	\\reg, \\at*SZREG(sp)
	.endm
SYM_FUNC_START(f)
	addi	sp, sp, -FRAME
	KEEP	ra, 1
	KEEP	s0
	beqz	a0, 1f
	mv	a0, sp
	call	g
1:	REG_L	ra, 8(sp)
	REG_L	s0, (sp)
	addi	sp, sp, FRAME
	ret
SYM_FUNC_END(f)
"""


def test_assembly_is_followed() -> None:
    taken = preprocess(ASM, {})
    (routine,) = routines_of(taken).values()
    assert [(each.op, each.line, each.used) for each in routine.insns[:3]] == [
        ("addi", 6, 6),
        ("REG_S", 3, 7),
        ("REG_S", 3, 8),
    ]
    flow = flow_of(routine, {"SZREG": "8", **taken.macros})
    assert not flow.odd
    assert not flow.faults
    assert [(call.callee, call.registers["a0"]) for call in flow.calls] == [("g", Value("stack", number=-32))]
    assert len(flow.exits) == 2
    for out in flow.exits:
        assert out.registers["ra"].is_entry("ra")
        assert out.registers["s0"].is_entry("s0")
        assert out.registers["sp"] == Value("stack")
    assert {out.registers["a0"].is_entry("a0") for out in flow.exits} == {True, False}


def test_what_is_not_followed() -> None:
    for line, said in (
        ("	vadd.vv	v1, v2, v3\n", "vadd.vv"),
        ("	ALTERNATIVE(a, b)\n", "ALTERNATIVE"),
        ("	REG_S	a0, NO(sp)\n", "NO"),
    ):
        taken = preprocess(ASM.replace("	mv	a0, sp\n", line), {})
        (routine,) = routines_of(taken).values()
        assert any(said in odd for odd in flow_of(routine, {"SZREG": "8", **taken.macros}).odd), line


@pytest.mark.parametrize(
    "text",
    [
        "1 + 2 * 3",
        "(1 + 2) * 3",
        "1 << 4 | 3",
        "~0 & 0xff",
        "5 > 3 ? 7 : 9",
        "!(4 == 4) || 2",
        "-1",
        "6 - 2 - 1",
        "1 ? 2 : 3 ? 4 : 5",
        "0x10 >> 2 ^ 1",
    ],
)
def test_expressions_have_the_values_of_c(text: str, tmp_path: Path) -> None:
    value = computed(text, {})
    assert value is not None
    source = tmp_path / "a.c"
    source.write_text(f"_Static_assert((unsigned long)({text}) == {value}ul);", encoding="utf-8")
    subprocess.run(["gcc", "-std=gnu2x", "-fsyntax-only", str(source)], check=True)


def test_expressions_that_are_not_plain() -> None:
    for text in ("f(1)", "a", "1 +", "(1", "1 << 64", "GENMASK(70, 0)", "a[0]", "(" * 300 + ")" * 300):
        assert computed(text, {}) is None
    assert computed("A + BIT(3)", {"A": "B * 2", "B": 5}) == 18
    assert computed("A", {"A": "A"}) is None
    (macro,) = macro_functions("#define two(x)	\\\n	((x) + (x))\n").values()
    assert computed(macro.body, {"x": 21}) == 42


def test_what_a_function_touches() -> None:
    source = """\
static int both(unsigned long at, const struct ftrace_ops *ops)
{
	u32 insns[2];

	if (copy_from_kernel_nofault(insns, (void *)at, sizeof(insns)))
		return -EFAULT;

	return patch_text_nosync((void *)(at - 8), &ops, sizeof(ops)) ?: patch_insn_write((void *)(at + SIZE), insns, 4);
}

int ftrace_make_call(struct dyn_ftrace *rec, unsigned long addr)
{
	unsigned long where, pc = rec->ip;

	pc -= SIZE;
	where = elsewhere(addr);
	patch_insn_write((void *)where, 0, 4);

	return both(pc, 0);
}
"""
    seen = touches(preprocess(source, {}), {"SIZE": "4"}, 4)
    assert [(each.kind, each.at, each.size) for each in seen] == [("read", 0, 8), ("literal", -8, 8), ("write", 4, 4)]
    assert all({13, 15, 19} & set(each.lines) for each in seen)


def test_configurations_in_words() -> None:
    every = [{"CONFIG_A": a, "CONFIG_B": b, "CONFIG_C": True} for a in (True, False) for b in (True, False)]
    said = {
        "every configuration": every,
        "A=y": every[:2],
        "A=y, B=n": every[1:2],
        "A=n or B=n": every[1:],
        "2 of 4 configurations": [every[0], every[3]],
    }
    for words, some in said.items():
        assert in_words(some, every) == words
    assert re.fullmatch(r"A=y", in_words(every[:2], every))
