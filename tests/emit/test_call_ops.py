# SPDX-License-Identifier: GPL-2.0-or-later
"""auipc-fixed, call-ops and direct-calls, on a small tree in which they find their places and on real ones."""

from __future__ import annotations

import re
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from genpatch.emit.anchors import Anchor, Comment, Commented, Conditional, Function, Lines, Macro, locate
from genpatch.emit.edits import Action, Edit, apply_edits
from genpatch.emit.errors import EmitError
from genpatch.emit.recipe import find_recipes
from genpatch.emit.run import find_recipe, make_series
from genpatch.emit.tree import open_tree
from tests.emit.trees import git, real, repository

IGNORED = "COMMIT_LOG_LONG_LINE,MACRO_ARG_REUSE,ALLOC_SIZEOF_STRUCT,NO_AUTHOR_SIGN_OFF,GIT_COMMIT_ID,CAMELCASE"
FTRACE, ASM = "arch/riscv/kernel/ftrace.c", "arch/riscv/kernel/mcount-dyn.S"
HEADER, OFFSETS = "arch/riscv/include/asm/ftrace.h", "arch/riscv/kernel/asm-offsets.c"
PATCH = "arch/riscv/kernel/patch.c"
REAL = (
    "Makefile",
    "Kconfig",
    "arch/Kconfig",
    "arch/riscv/Kconfig",
    "arch/riscv/Makefile",
    "kernel/trace/Kconfig",
    "include/linux/ftrace.h",
    "scripts/checkpatch.pl",
    "scripts/spelling.txt",
    FTRACE,
    ASM,
    HEADER,
    OFFSETS,
    PATCH,
    "arch/riscv/kernel/Makefile",
    "arch/riscv/kernel/sbi_ecall.c",
)

TOY = {
    "Makefile": "VERSION = 6\nPATCHLEVEL = 12\nSUBLEVEL = 9\nEXTRAVERSION =\n",
    "Kconfig": 'mainmenu "toy"\n',
    "arch/Kconfig": "config CC_HAS_MIN_FUNCTION_ALIGNMENT\n\tdef_bool y\n",
    "kernel/trace/Kconfig": "config DYNAMIC_FTRACE_WITH_CALL_OPS\n\tdef_bool y\n",
    "include/linux/ftrace.h": "extern const struct ftrace_ops ftrace_nop_ops;\n",
    "arch/riscv/Kconfig": """\
config RISCV
	def_bool y
	select FTRACE_MCOUNT_USE_PATCHABLE_FUNCTION_ENTRY if DYNAMIC_FTRACE
	select HAVE_DYNAMIC_FTRACE if MMU
	select HAVE_DYNAMIC_FTRACE_WITH_DIRECT_CALLS
	select HAVE_DYNAMIC_FTRACE_WITH_ARGS if HAVE_DYNAMIC_FTRACE
	select HAVE_FUNCTION_TRACER if !PREEMPTION

config GCC_SUPPORTS_DYNAMIC_FTRACE
	def_bool CC_IS_GCC
	depends on $(cc-option,-fpatchable-function-entry=8)
""",
    "arch/riscv/Makefile": """\
ifeq ($(CONFIG_DYNAMIC_FTRACE),y)
ifeq ($(CONFIG_RISCV_ISA_C),y)
	CC_FLAGS_FTRACE := -fpatchable-function-entry=4
else
	CC_FLAGS_FTRACE := -fpatchable-function-entry=2
endif
endif
""",
    HEADER: """\
#ifndef _TOY
static inline unsigned long ftrace_call_adjust(unsigned long at)
{
	return at;
}

/*
 * auipc and jalr; <ftrace disable> is nop and nop
 */
#define MCOUNT_ADDR 1
#define JALR_RA 0xe7
#define AUIPC_RA 0x97
#define NOP4 0x13

#define to_jalr_t0(o) ((o) | 1)

#define make_call_t0(a, b, c) do { } while (0)

#define to_jalr_ra(o) ((o) | 2)

#define to_auipc_ra(o) ((o) | 3)

#define make_call_ra(a, b, c) do { } while (0)

/* both words */
#define MCOUNT_INSN_SIZE 8

struct __arch_ftrace_regs {
	unsigned long epc;
	unsigned long t1;
	unsigned long a0;
};

static inline struct pt_regs *ftrace_partial_regs(void)
{
	return NULL;
}

static inline void arch_ftrace_set_direct_caller(struct ftrace_regs *f, unsigned long to)
{
	set(f, to);
}
#endif
""",
    OFFSETS: """\
void asm_offsets(void)
{
	DEFINE(FREGS_EPC, epc);
	DEFINE(FREGS_T1, t1);
	DEFINE(FREGS_A7, a7);
}
""",
    "arch/riscv/kernel/sbi_ecall.c": "\n",
    "arch/riscv/kernel/Makefile": """\
ifdef CONFIG_FTRACE
CFLAGS_REMOVE_sbi.o = $(CC_FLAGS_FTRACE)
endif
""",
    PATCH: """\
int patch_insn_write(void *at, const void *insn, size_t n)
{
	/* stop_machine() for ftrace & kprobes holds the lock */
	return 0;
}
""",
    FTRACE: """\
#include <linux/ftrace.h>
#include <linux/stop_machine.h>

#ifdef CONFIG_DYNAMIC_FTRACE
void ftrace_arch_code_modify_prepare(void) __acquires(&text_mutex)
{
	lock();
}

void ftrace_arch_code_modify_post_process(void) __releases(&text_mutex)
{
	unlock();
}

static int ftrace_check_current_call(unsigned long at)
{
	return 0;
}

static int __ftrace_modify_call(unsigned long at, unsigned long to)
{
	return 0;
}

int ftrace_make_call(struct dyn_ftrace *rec, unsigned long to)
{
	return __ftrace_modify_call(rec->ip, to);
}

int ftrace_make_nop(struct module *mod, struct dyn_ftrace *rec, unsigned long to)
{
	return 1;
}

/* early */
int ftrace_init_nop(struct module *mod, struct dyn_ftrace *rec)
{
	return ftrace_make_nop(mod, rec, 0);
}

int ftrace_update_ftrace_func(ftrace_func_t func)
{
	return __ftrace_modify_call(1, 2);
}

struct ftrace_modify_param {
	int command;
};

static int __ftrace_modify_code(void *data)
{
	return 0;
}

void arch_ftrace_update_code(int command)
{
	stop_machine(__ftrace_modify_code, &command, NULL);
}
#endif

#ifdef CONFIG_DYNAMIC_FTRACE_WITH_DIRECT_CALLS
int ftrace_modify_call(struct dyn_ftrace *rec, unsigned long from, unsigned long to)
{
	return ftrace_check_current_call(from);
}
#endif

#ifdef CONFIG_DYNAMIC_FTRACE_WITH_ARGS
void ftrace_graph_func(unsigned long ip)
{
	graph(ip);
}
#else
void other_graph(void);
#endif
""",
    ASM: """\
	.text

#define FENTRY_RA_OFFSET 8
#define ABI_SIZE 80
#define ABI_A0 0

	.macro SAVE_ABI
	sd	a0, ABI_A0(sp)
	.endm

	.macro RESTORE_ABI
	ld	a0, ABI_A0(sp)
	.endm

#ifdef CONFIG_DYNAMIC_FTRACE_WITH_ARGS

/*
 * The frame. Note that ip takes -FENTRY_RA_OFFSET.
 */
	.macro SAVE_ABI_REGS
	mv	t4, sp
	addi	sp, sp, -FREGS_SIZE_ON_STACK
	REG_S	t4, FREGS_SP(sp)
#ifdef HAVE_FUNCTION_GRAPH_FP_TEST
	REG_S	x8, FREGS_S0(sp)
#endif
	REG_S	x6, FREGS_T1(sp)
	.endm

	.macro RESTORE_ABI_REGS
#ifdef HAVE_FUNCTION_GRAPH_FP_TEST
	REG_L	x8, FREGS_S0(sp)
#endif
	REG_L	x6, FREGS_T1(sp)
	.endm

	.macro PREPARE_ARGS
	addi	a0, t0, -FENTRY_RA_OFFSET
	.endm

#endif

#ifndef CONFIG_DYNAMIC_FTRACE_WITH_ARGS
SYM_FUNC_START(ftrace_caller)
	SAVE_ABI
	jr	t0
SYM_FUNC_END(ftrace_caller)
#else
SYM_FUNC_START(ftrace_caller)
	mv	t1, zero
	SAVE_ABI_REGS
	PREPARE_ARGS
	call	ftrace_stub
	RESTORE_ABI_REGS
	bnez	t1, .Ldirect
	jr	t0
.Ldirect:
	jr	t1
SYM_FUNC_END(ftrace_caller)
#endif

#ifdef CONFIG_DYNAMIC_FTRACE_WITH_DIRECT_CALLS
SYM_CODE_START(ftrace_stub_direct_tramp)
	jr	t0
SYM_CODE_END(ftrace_stub_direct_tramp)
#endif
""",
}


def toy(root: Path, **changed: str) -> Path:
    """Write the small tree; files that differ are given by a name of theirs."""
    names = {"ftrace": FTRACE, "asm": ASM, "header": HEADER, "offsets": OFFSETS, "patch": PATCH}
    names |= {"kconfig": "arch/riscv/Kconfig", "makefile": "arch/riscv/Makefile", "trace": "kernel/trace/Kconfig"}
    names |= {"arch": "arch/Kconfig", "generic": "include/linux/ftrace.h"}
    for path, text in (TOY | {names[name]: text for name, text in changed.items()}).items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text, encoding="utf-8")
    return root


def copied(root: Path, version: str = "6.12") -> Path:
    """Copy of a real tree what the series are about."""
    source = real(version)
    for path in REAL:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source / path, root / path)
    return root


def apply(root: Path, name: str, leave: int = 0) -> list[str]:
    """Make a series of a tree, write what it makes and return its subjects; some at its end may be left out."""
    series = make_series(open_tree(root), find_recipe(name))
    patches = series.patches[: len(series.patches) - leave]
    for patch in patches:
        for change in patch.changes:
            assert (root / change.path).read_text(encoding="utf-8") == change.old
            (root / change.path).write_text(change.new, encoding="utf-8")
    return [patch.subject for patch in patches]


def files(root: Path) -> dict[str, str]:
    return {path: (root / path).read_text(encoding="utf-8") for path in TOY}


def look(root: Path, name: str) -> str:
    return str(find_recipe(name).look(open_tree(root)))


def define(text: str, *names: str) -> str:
    """What the preprocessor leaves of a text when some CONFIG_ symbols are defined."""
    flags = [f"-DCONFIG_{name}" for name in names]
    command = ["cpp", "-P", "-undef", "-nostdinc", "-traditional", *flags, "-"]
    lines = "".join(f"{line}\n" for line in text.split("\n") if not line.startswith("#include"))
    done = subprocess.run(command, input=lines, capture_output=True, text=True, check=True)
    return done.stdout


SORTED = TOY["arch/riscv/Kconfig"].replace(
    "\tselect HAVE_FUNCTION_TRACER", "\tselect HAVE_BUILDTIME_MCOUNT_SORT\n\tselect HAVE_FUNCTION_TRACER"
)
START = [
    "riscv: ftrace: store s0 in every configuration",
    "riscv: ftrace: keep t2 to t6 in kernels built by clang",
    "riscv: ftrace: remove the trampoline without ftrace_regs",
    "riscv: ftrace: drop direct calls",
    "riscv: ftrace: start functions on a multiple of 4",
    "riscv: ftrace: write the auipc once and patch only the jalr",
    "riscv: ftrace: patch calls without stopping the machine",
    "riscv: ftrace: offer the function tracer with PREEMPTION",
]
OPS = "riscv: ftrace: give each function a pointer to its ftrace_ops"
DIRECT = "riscv: ftrace: take direct calls in ftrace_caller"


def test_the_small_tree(tmp_path: Path) -> None:
    assert look(toy(tmp_path), "direct-calls").startswith("not applicable: a site calls direct trampolines itself")
    assert apply(tmp_path, "call-ops") == [*START, OPS, DIRECT]
    made = files(tmp_path)
    assert "!PREEMPTION" not in made["arch/riscv/Kconfig"]
    assert "stop_machine" not in made[FTRACE]
    assert "SAVE_ABI\n" not in made[ASM]
    assert "FENTRY_RA_OFFSET" not in made[ASM]
    assert "for kprobes holds" in made[PATCH]
    assert "\nCFLAGS_REMOVE_sbi_ecall.o = $(CC_FLAGS_FTRACE)\nendif\n" in made["arch/riscv/kernel/Makefile"]
    for name in ("JALR_RA", "to_auipc_ra", "make_call_t0", "ftrace disable"):
        assert name not in made[HEADER]
    for name in ("call-ops", "auipc-fixed", "direct-calls"):
        assert look(tmp_path, name).startswith("already there: ")
    assert look(tmp_path, "cfi-prefix").startswith("already there: ")
    assert look(tmp_path, "no-preempt").startswith("not applicable: one word is patched")


@pytest.mark.parametrize("source", ["toy", "6.12"])
def test_the_ways_to_a_tree_meet(tmp_path: Path, source: str) -> None:
    """call-ops at once; auipc-fixed and then call-ops; call-ops without its last patch and then direct-calls."""
    ways = (
        (("call-ops", 0),),
        (("auipc-fixed", 0), ("call-ops", 0)),
        (("call-ops", 1), ("direct-calls", 0)),
    )
    results = []
    for number, steps in enumerate(ways):
        root = tmp_path / str(number)
        _ = toy(root) if source == "toy" else copied(root)
        subjects = [subject for name, leave in steps for subject in apply(root, name, leave)]
        assert subjects == [*START, OPS, DIRECT]
        results.append(files(root))
    assert results[0] == results[1] == results[2]


@pytest.mark.parametrize("source", ["toy", "6.12"])
def test_direct_calls_without_an_ops_of_each_function(tmp_path: Path, source: str) -> None:
    _ = toy(tmp_path) if source == "toy" else copied(tmp_path)
    assert apply(tmp_path, "auipc-fixed") == START
    assert (
        look(tmp_path, "direct-calls") == "can be made: all calls go to ftrace_caller, and that takes no direct calls"
    )
    assert apply(tmp_path, "direct-calls") == [DIRECT]
    made = files(tmp_path)
    assert "CALL_OPS" not in made[ASM] + made[FTRACE] + made["arch/riscv/Kconfig"]
    assert "int ftrace_modify_call(" in made[FTRACE]
    assert look(tmp_path, "direct-calls").startswith("already there: ")
    assert apply(tmp_path, "call-ops") == [OPS]  # direct calls are there
    assert "FTRACE_OPS_DIRECT_CALL" not in made[OFFSETS]


@pytest.mark.parametrize(
    ("name", "changes", "said"),
    [
        ("call-ops", {"trace": "\n"}, "not applicable: the generic part of ftrace has no DYNAMIC_FTRACE_WITH_CALL_OPS"),
        ("call-ops", {"header": TOY[HEADER].replace("__arch_ftrace_regs", "regs")}, "that takes regs-to-args"),
        ("call-ops", {"header": TOY[HEADER].replace("__arch_ftrace_regs", "ftrace_regs")}, "not handled"),
        ("auipc-fixed", {"generic": "#define ftrace_get_symaddr(ip) 0\n"}, "for the function of a call, ftrace_get_s"),
        ("call-ops", {"kconfig": SORTED}, "not applicable: scripts/sorttable.c drops entries that stand before"),
        ("auipc-fixed", {"kconfig": SORTED}, "can be made: "),
        ("auipc-fixed", {"arch": "\n"}, "not applicable: arch/Kconfig has no CC_HAS_MIN_FUNCTION_ALIGNMENT"),
        ("auipc-fixed", {"patch": "\n"}, "not applicable: arch/riscv/kernel/patch.c has no patch_insn_write()"),
        ("auipc-fixed", {"header": TOY[HEADER].replace("INSN_SIZE 8", "INSN_SIZE 4")}, "already there: one word of a"),
        (
            "call-ops",
            {"header": TOY[HEADER].replace("INSN_SIZE 8", "INSN_SIZE 4")},
            "ftrace_caller has no ftrace_commo",
        ),
        ("direct-calls", {"header": TOY[HEADER].replace("INSN_SIZE 8", "INSN_SIZE 4")}, "already there: arch/riscv/Kc"),
        ("auipc-fixed", {"header": TOY[HEADER].replace("INSN_SIZE 8", "INSN 8")}, "has no MCOUNT_INSN_SIZE"),
    ],
)
def test_trees_that_it_is_not_for(tmp_path: Path, name: str, changes: dict[str, str], said: str) -> None:
    assert said in look(toy(tmp_path, **changes), name)


@pytest.mark.parametrize(
    ("file", "old", "new", "said"),
    [
        ("ftrace", "ftrace_init_nop", "init_nop", f"{FTRACE}: function ftrace_init_nop(): missing"),
        ("ftrace", "__ftrace_modify_call", "modify", f"{FTRACE}: function __ftrace_modify_call(): missing"),
        ("ftrace", "ftrace_modify_param", "parameter", f"{FTRACE}: struct ftrace_modify_param: missing"),
        ("ftrace", "arch_ftrace_update_code", "update", f"{FTRACE}: function arch_ftrace_update_code(): missing"),
        ("asm", "SAVE_ABI_REGS", "SAVE", f"{ASM}: .macro SAVE_ABI_REGS: missing"),
        ("asm", "PREPARE_ARGS", "ARGUMENTS", f"{ASM}: .macro PREPARE_ARGS: missing"),
        ("asm", "mv\tt4, sp", "mv\tt5, sp", f"{ASM}: .macro SAVE_ABI_REGS: "),
        ("asm", "#define FENTRY", "#define THE_FENTRY", f"{ASM}: #define FENTRY_RA_OFFSET: missing"),
        ("header", "<ftrace disable>", "off", f"{HEADER}: the comment that has auipc, jalr, ftrace disable: missing"),
        ("header", "to_auipc_ra", "to_auipc_x", f"{HEADER}: macro to_auipc_ra: missing"),
        ("offsets", "FREGS_A7", "FREGS_A8", f"{OFFSETS}: the expression in asm_offsets() that uses FREGS_A7: missing"),
        ("kconfig", "FTRACE_MCOUNT_USE", "MCOUNT_USE", "arch/riscv/Kconfig: select FTRACE_MCOUNT_USE_PATCHABLE_FUNCT"),
        ("makefile", "=4", "=6", "arch/riscv/Makefile: assignments to CC_FLAGS_FTRACE: expected 4 short nops, else 2"),
    ],
)
def test_one_line_for_a_place_that_is_gone(tmp_path: Path, file: str, old: str, new: str, said: str) -> None:
    paths = {"ftrace": FTRACE, "asm": ASM, "header": HEADER, "offsets": OFFSETS}
    paths |= {"kconfig": "arch/riscv/Kconfig", "makefile": "arch/riscv/Makefile"}
    text = TOY[paths[file]]
    assert old in text
    with pytest.raises(EmitError) as caught:
        make_series(open_tree(toy(tmp_path, **{file: text.replace(old, new)})), find_recipe("call-ops"))
    assert str(caught.value).startswith(said)
    assert "\n" not in str(caught.value)


def test_two_runs_and_messages(tmp_path: Path) -> None:
    for name in ("call-ops", "auipc-fixed"):
        first, second = (make_series(open_tree(toy(tmp_path / each)), find_recipe(name)) for each in "ab")
        assert (first.letter, first.mails) == (second.letter, second.mails)
        assert first.letter is not None
        for patch in first.patches:
            assert len(patch.subject) <= 75
            assert max(map(len, patch.body.split("\n"))) <= 72
            assert not re.search(r"(Reviewed|Tested|Acked|Signed-off)-by", patch.body)
            assert patch.body.count("Generated with genpatch") == 1
        assert len(set(first.notes)) == len(first.notes)


# what the code says, against what it is for


CONFIGURATIONS = [
    ("DYNAMIC_FTRACE", "DYNAMIC_FTRACE_WITH_CALL_OPS", "DYNAMIC_FTRACE_WITH_DIRECT_CALLS"),
    ("DYNAMIC_FTRACE", "DYNAMIC_FTRACE_WITH_CALL_OPS"),
    ("DYNAMIC_FTRACE", "DYNAMIC_FTRACE_WITH_DIRECT_CALLS"),
    ("DYNAMIC_FTRACE",),
]


@pytest.mark.parametrize("names", CONFIGURATIONS, ids=[str(len(each)) + each[-1][-5:] for each in CONFIGURATIONS])
def test_both_trampolines(tmp_path: Path, names: tuple[str, ...]) -> None:
    """What is loaded by t0 is where the pointer is written; only with an ops of each function is it loaded."""
    if shutil.which("cpp") is None:
        pytest.skip("there is no cpp: the configurations are NOT looked at")
    apply(toy(tmp_path), "call-ops")
    made = files(tmp_path)
    caller = define(made[ASM], *names)
    body = caller[caller.index("SYM_FUNC_START(ftrace_caller)") :]
    has_ops, has_direct = "DYNAMIC_FTRACE_WITH_CALL_OPS" in names, "DYNAMIC_FTRACE_WITH_DIRECT_CALLS" in names
    assert ("ftrace_common_ops" in body) != has_ops
    assert (body.count("(t0)") > 0) == has_ops
    assert ("jr\tt1" in body) == has_direct
    assert body.count("bnez\tt1, .Ldirect") == has_direct * (1 + has_ops)
    assert caller.count("SYM_CODE_START(ftrace_stub_direct_tramp)") == has_direct
    source = define(made[FTRACE], *names)
    assert source.count("int ftrace_update_ftrace_func(") == 1
    assert source.count("int ftrace_modify_call(") == (has_ops or has_direct)
    assert ("BUILD_BUG_ON" in source) == has_ops
    assert source.count("ops->direct_call") == (has_direct and not has_ops)


def test_where_the_pointer_is(tmp_path: Path) -> None:
    """The C code's place and the trampoline's, in numbers: 8 bytes before the function, ip 4 bytes behind it."""
    apply(toy(tmp_path), "call-ops")
    header = (tmp_path / HEADER).read_text(encoding="utf-8")
    values: dict[str, int] = {}
    for name, value in re.findall(r"^#define (MCOUNT_\w+)\s+(.*)$", header, re.MULTILINE):
        values[name] = sum(int(word) if word.isdigit() else values[word] for word in re.findall(r"\w+", value))
    func = 0x1000
    ip = func - values["MCOUNT_OPS_SIZE"] + values["MCOUNT_OPS_SIZE"] + values["MCOUNT_AUIPC_SIZE"]
    returns = ip + values["MCOUNT_JALR_SIZE"]
    assert (ip, returns) == (func + 4, func + 8)
    assert ip + values["MCOUNT_JALR_SIZE"] - values["MCOUNT_OPS_TO_RETURN"] == func - 8
    assert returns - values["MCOUNT_OPS_TO_RETURN"] == func - 8
    assert values["MCOUNT_INSN_SIZE"] == 4


@pytest.mark.parametrize(("ops", "short", "flag"), [("y", "y", "8,4"), ("y", "", "4,2"), ("", "y", "4"), ("", "", "2")])
def test_what_make_says_to_the_compiler(tmp_path: Path, ops: str, short: str, flag: str) -> None:
    if shutil.which("make") is None:
        pytest.skip("there is no make: the Makefile is NOT evaluated")
    apply(toy(tmp_path), "call-ops")
    text = (tmp_path / "arch/riscv/Makefile").read_text(encoding="utf-8") + "$(info $(CC_FLAGS_FTRACE))\nall: ;\n"
    settings = {"DYNAMIC_FTRACE": "y", "DYNAMIC_FTRACE_WITH_CALL_OPS": ops, "RISCV_ISA_C": short}
    words = [f"CONFIG_{name}={value}" for name, value in settings.items()]
    done = subprocess.run(["make", "-f", "-", *words], input=text, capture_output=True, text=True, check=True)
    assert done.stdout.split("\n")[0] == f"-fpatchable-function-entry={flag}"


# the places


C = """\
#ifdef CONFIG_A
/* one */
#define N 1

/*
 * two: red, blue
 */
int f(void)
{
	return 1;
}
#ifdef CONFIG_B
int g;
#else
int h;
#endif /* CONFIG_B */
#endif
"""


@pytest.mark.parametrize(
    ("anchor", "text"),
    [
        (Comment(("red", "blue")), "/*\n * two: red, blue\n */"),
        (Commented(Macro("N")), "/* one */\n#define N 1"),
        (Commented(Macro("N"), blank=True), "/* one */\n#define N 1\n"),
        (Commented(Function("f"), blank=True), "\n/*\n * two: red, blue\n */\nint f(void)\n{\n\treturn 1;\n}"),
        (Conditional("ifdef CONFIG_B"), "#ifdef CONFIG_B\nint g;\n#else\nint h;\n#endif /* CONFIG_B */"),
        (Conditional("ifdef CONFIG_A", "int h;"), C.rstrip("\n")),
        (Lines(r"int \w;(?:\n#else)?", "g"), "int g;\n#else"),
    ],
)
def test_places(anchor: Anchor, text: str) -> None:
    if isinstance(anchor, Lines):
        assert anchor.places(C)[0].of(C) == text
    else:
        assert locate(C, anchor, "a.c").of(C) == text


def test_rewrite_keeps_what_a_group_has() -> None:
    edit = Edit("a.c", Conditional("ifdef CONFIG_B"), Action.REWRITE, r"\1", r"(?s)\A#ifdef[^\n]*\n(.*?)\n#else.*\Z")
    assert apply_edits({"a.c": C}, [edit])["a.c"].endswith("}\nint g;\n#endif\n")


# real trees


def test_how_real_trees_stand() -> None:
    for version, name, said in (
        ("6.1", "auipc-fixed", "not applicable: arch/riscv/include/asm/ftrace.h has no struct __arch_ftrace_regs"),
        ("6.1", "call-ops", "not applicable: arch/riscv/include/asm/ftrace.h has no struct __arch_ftrace_regs"),
        ("6.1", "direct-calls", "not applicable: arch/riscv/include/asm/ftrace.h has no struct __arch_ftrace_regs"),
        ("6.12", "auipc-fixed", "can be made: both instructions of a call are patched, with the machine stopped"),
        ("6.12", "call-ops", "can be made: both instructions of a call are patched, with the machine stopped"),
        ("6.12", "direct-calls", "not applicable: a site calls direct trampolines itself, in two words"),
        ("7.2", "auipc-fixed", "already there: one word of a call is patched"),
        ("7.2", "call-ops", "already there: arch/riscv/Kconfig selects HAVE_DYNAMIC_FTRACE_WITH_CALL_OPS"),
        ("7.2", "direct-calls", "already there: arch/riscv/Kconfig selects HAVE_DYNAMIC_FTRACE_WITH_DIRECT_CALLS"),
    ):
        assert look(real(version), name).startswith(said), (version, name)


@pytest.mark.parametrize("names", [("call-ops",), ("auipc-fixed", "direct-calls")])
def test_git_takes_it_and_checkpatch_is_silent(tmp_path: Path, names: tuple[str, ...]) -> None:
    root = repository(copied(tmp_path / "t"))
    for name in names:
        series = make_series(open_tree(root), find_recipe(name))
        git(root, "am", "-q", stdin="".join(mail.text for mail in series.mails))
        assert git(root, "status", "--porcelain") == ""
        assert look(root, name).startswith("already there: ")
        if shutil.which("perl") is None:
            pytest.skip("there is no perl: checkpatch is NOT run")
        for mail in series.mails:
            command = ["perl", "scripts/checkpatch.pl", "--no-tree", "--strict", "--no-signoff"]
            command += ["--ignore", f"{IGNORED},MISSING_SIGN_OFF", "-"]
            done = subprocess.run(command, cwd=root, input=mail.text, capture_output=True, text=True, check=False)
            assert "total: 0 errors, 0 warnings, 0 checks" in done.stdout, done.stdout + done.stderr
    assert find_recipes()["bpf-sled"]


def test_it_is_quick(tmp_path: Path) -> None:
    """By the processor's time: the machine may be shared."""
    root = copied(tmp_path)
    start = time.process_time()
    make_series(open_tree(root), find_recipe("call-ops"))
    assert time.process_time() - start < 2
