# SPDX-License-Identifier: GPL-2.0-or-later
"""regs-to-args: on a small tree of the old kind, and on the real ones."""

from __future__ import annotations

import re
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from genpatch.emit.errors import EmitError
from genpatch.emit.recipe import Verdict
from genpatch.emit.run import Series, find_recipe, make_series
from genpatch.emit.series import Change, diffstat, file_diff
from genpatch.emit.tree import open_tree
from genpatch.emit.write import make_commits
from tests.emit.trees import git, real, repository

NAME = "regs-to-args"
# MISSING_SIGN_OFF is the user's to give; a file goes (FILE_PATH_CHANGES), but MAINTAINERS has arch/riscv/ whole.
IGNORED = (
    "COMMIT_LOG_LONG_LINE,MACRO_ARG_REUSE,ALLOC_SIZEOF_STRUCT,NO_AUTHOR_SIGN_OFF,GIT_COMMIT_ID,CAMELCASE,"
    "MISSING_SIGN_OFF,FILE_PATH_CHANGES"
)
ARGUMENTS = [f"a{number}" for number in range(8)]
FIELDS = ["epc", "ra", "sp", "s0", "t1", *ARGUMENTS]
CLANG = ["t2", "t3", "t4", "t5", "t6"]

HEADER = """\
#ifndef __ASSEMBLY__
static inline unsigned long ftrace_call_adjust(unsigned long addr)
{
	return addr;
}

struct dyn_arch_ftrace {
};
#endif

#ifdef CONFIG_DYNAMIC_FTRACE
/*
 * <ftrace disable>: two nops
 */
#define make_call_t0(caller, callee, call) pair(call)

/* all of it */
#define MCOUNT_INSN_SIZE 8

int ftrace_init_nop(struct module *mod, struct dyn_ftrace *rec);
#endif
"""
SOURCE = """\
// toy
#include <linux/ftrace.h>

#ifdef CONFIG_DYNAMIC_FTRACE
static int ftrace_check_current_call(unsigned long pos, unsigned int *expected)
{
	return 0;
}

static int __ftrace_modify_call(unsigned long pos, unsigned long target, bool enable, bool ra)
{
	unsigned int call[2];

	return poke(pos, call, MCOUNT_INSN_SIZE);
}

int ftrace_make_call(struct dyn_ftrace *rec, unsigned long addr)
{
	unsigned int call[2];

	make_call_t0(rec->ip, addr, call);
	return poke(rec->ip, call, MCOUNT_INSN_SIZE);
}

int ftrace_make_nop(struct module *mod, struct dyn_ftrace *rec, unsigned long addr)
{
	return poke(rec->ip, nops, MCOUNT_INSN_SIZE);
}

int ftrace_init_nop(struct module *mod, struct dyn_ftrace *rec)
{
	return ftrace_make_nop(mod, rec, MCOUNT_ADDR);
}

int ftrace_update_ftrace_func(ftrace_func_t func)
{
	__ftrace_modify_call(&ftrace_call, func, true, true);
	return __ftrace_modify_call(&ftrace_regs_call, func, true, true);
}
#endif

#ifdef CONFIG_DYNAMIC_FTRACE_WITH_REGS
int ftrace_modify_call(struct dyn_ftrace *rec, unsigned long old_addr, unsigned long addr)
{
	return ftrace_check_current_call(rec->ip, 0);
}
#endif

#ifdef CONFIG_FUNCTION_GRAPH_TRACER
void prepare_ftrace_return(unsigned long *parent, unsigned long self_addr, unsigned long frame_pointer)
{
}

#ifdef CONFIG_DYNAMIC_FTRACE
extern void ftrace_graph_call(void);
extern void ftrace_graph_regs_call(void);
int ftrace_enable_ftrace_graph_caller(void)
{
	return __ftrace_modify_call(&ftrace_graph_regs_call, &prepare_ftrace_return, true, true);
}

int ftrace_disable_ftrace_graph_caller(void)
{
	return __ftrace_modify_call(&ftrace_graph_regs_call, &prepare_ftrace_return, false, true);
}
#endif /* CONFIG_DYNAMIC_FTRACE */
#endif /* CONFIG_FUNCTION_GRAPH_TRACER */
"""
CALLER = """\
#include <asm/ftrace.h>

	.text

#define FENTRY_RA_OFFSET	8
#define ABI_A0			0
#define ABI_RA			8

	.macro SAVE_ABI
	addi	sp, sp, -16
	.endm

	.macro RESTORE_ABI
	addi	sp, sp, 16
	.endm

#ifdef CONFIG_DYNAMIC_FTRACE_WITH_REGS
	.macro SAVE_ALL
	addi	sp, sp, -PT_SIZE_ON_STACK
	.endm

	.macro RESTORE_ALL
	addi	sp, sp, PT_SIZE_ON_STACK
	.endm
#endif /* CONFIG_DYNAMIC_FTRACE_WITH_REGS */

ENTRY(ftrace_caller)
	SAVE_ABI
ftrace_call:
	call	ftrace_stub
	RESTORE_ABI
	jr	t0
ENDPROC(ftrace_caller)

#ifdef CONFIG_DYNAMIC_FTRACE_WITH_REGS
ENTRY(ftrace_regs_caller)
	SAVE_ALL
ftrace_regs_call:
	.global ftrace_regs_call
	call	ftrace_stub
#ifdef CONFIG_FUNCTION_GRAPH_TRACER
ftrace_graph_regs_call:
	.global ftrace_graph_regs_call
	call	ftrace_stub
#endif
	RESTORE_ALL
	jr	t0
ENDPROC(ftrace_regs_caller)
#endif /* CONFIG_DYNAMIC_FTRACE_WITH_REGS */
"""
RETURN = """\
	/* what is returned */
	.macro SAVE_RET_ABI_STATE
	addi	sp, sp, -32
	sd	s0, 16(sp)
	sd	ra, 24(sp)
	sd	a0, 8(sp)
	addi	s0, sp, 32
	.endm

	.macro RESTORE_RET_ABI_STATE
	ld	ra, 24(sp)
	ld	s0, 16(sp)
	ld	a0, 8(sp)
	addi	sp, sp, 32
	.endm

ENTRY(return_to_handler)
	SAVE_RET_ABI_STATE
	call	ftrace_return_to_handler
	mv	a1, a0
	RESTORE_RET_ABI_STATE
	jalr	a1
ENDPROC(return_to_handler)
"""
GENERIC = """\
#ifndef CONFIG_HAVE_DYNAMIC_FTRACE_WITH_ARGS

struct ftrace_regs {
	struct pt_regs		regs;
};
#define ftrace_instruction_pointer_set(fregs, ip) do { } while (0)
#endif
"""
FILES = {
    "Makefile": "VERSION = 6\nPATCHLEVEL = 1\nSUBLEVEL = 9\nEXTRAVERSION =\n",
    "Kconfig": 'mainmenu "toy"\n',
    "arch/riscv/Kconfig": (
        "config RISCV\n\tdef_bool y\n\tselect HAVE_KPROBES\n\tselect HAVE_KPROBES_ON_FTRACE if !XIP_KERNEL\n"
        "\tselect HAVE_DYNAMIC_FTRACE_WITH_REGS if HAVE_DYNAMIC_FTRACE\n"
    ),
    "arch/riscv/Makefile": "CC_FLAGS_FTRACE := -fpatchable-function-entry=4\n",
    "arch/riscv/include/asm/ftrace.h": HEADER,
    "arch/riscv/include/asm/ptrace.h": "struct pt_regs {\n\tunsigned long epc;\n\tunsigned long ra;\n};\n",
    "arch/riscv/kernel/ftrace.c": SOURCE,
    "arch/riscv/kernel/mcount-dyn.S": CALLER,
    "arch/riscv/kernel/mcount.S": RETURN,
    "arch/riscv/kernel/asm-offsets.c": (
        "#include <linux/kbuild.h>\n\nvoid asm_offsets(void)\n{\n\tDEFINE(PT_SIZE_ON_STACK, 16);\n}\n"
    ),
    "arch/riscv/kernel/probes/Makefile": (
        "obj-$(CONFIG_KPROBES)\t\t+= kprobes.o\nobj-$(CONFIG_KPROBES_ON_FTRACE)\t+= ftrace.o\n"
    ),
    "arch/riscv/kernel/probes/ftrace.c": "int arch_prepare_kprobe_ftrace(struct kprobe *p)\n{\n\treturn 0;\n}\n",
    "include/linux/ftrace.h": GENERIC,
    "kernel/trace/Kconfig": "config FPROBE\n\tbool\n\tdepends on DYNAMIC_FTRACE_WITH_REGS\n\tdepends on HAVE_RETHOOK\n",
    "Documentation/features/debug/kprobes-on-ftrace/arch-support.txt": (
        "    |     powerpc: |  ok  |\n    |       riscv: |  ok  |\n"
    ),
}
KCONFIG, CALLS, HANDLER = "arch/riscv/Kconfig", "arch/riscv/kernel/ftrace.c", "arch/riscv/kernel/mcount.S"
ASM, FTRACE_H, PROBE = (
    "arch/riscv/kernel/mcount-dyn.S",
    "arch/riscv/include/asm/ftrace.h",
    "arch/riscv/kernel/probes/ftrace.c",
)


def old_tree(root: Path, changes: dict[str, str] | None = None) -> Path:
    """Write the small tree; None of a file's text leaves it out."""
    for path, text in (FILES | (changes or {})).items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text, encoding="utf-8")
    return root


def made(root: Path) -> Series:
    return make_series(open_tree(root), find_recipe(NAME))


def texts_after(series: Series, count: int | None = None) -> dict[str, str]:
    """The files that the first patches of a series change, as they leave them."""
    return {change.path: change.new for patch in series.patches[:count] for change in patch.changes}


def stored(text: str, macro: str, verb: str) -> list[tuple[str, str]]:
    """(register, field) of each store or load of a macro, in order."""
    body = text[text.index(f".macro {macro}\n") :].partition(".endm")[0]
    return re.findall(rf"^\t{verb}\t(\w+), FREGS_(\w+)\(sp\)$", body, re.MULTILINE)


def test_three_patches(tmp_path: Path) -> None:
    series = made(old_tree(tmp_path))
    assert [patch.subject for patch in series.patches] == [
        "riscv: ftrace: keep a1 while the graph tracer handles a return",
        "riscv: ftrace: switch the jalr of a call and leave its auipc",
        "riscv: ftrace: move from REGS to ARGS",
    ]
    assert series.letter is not None
    assert "What is lost: KPROBES_ON_FTRACE." in series.letter.text
    for patch in series.patches:
        assert len(patch.subject) <= 75
        assert max(map(len, patch.body.split("\n"))) <= 72
        assert not re.search(r"(Reviewed|Tested|Acked|Signed-off)-by", patch.body)
    assert "That is 13 words, 104 bytes, or 112 on a stack" in series.patches[2].body.replace("\n", " ")
    assert "a whole struct pt_regs, 16 bytes," in series.patches[2].body.replace("\n", " ")  # of the toy's two


def test_a1_is_kept(tmp_path: Path) -> None:
    text = texts_after(made(old_tree(tmp_path)), 1)[HANDLER]
    save, restore = (text[text.index(f".macro {name}") :].partition(".endm")[0] for name in ("SAVE_RET", "RESTORE_RET"))
    slots = dict(re.findall(r"sd\s+(\w+), (\d+)\(sp\)", save))
    assert slots == {"s0": "16", "ra": "24", "a0": "8", "a1": "0"}
    assert dict(re.findall(r"ld\s+(\w+), (\d+)\(sp\)", restore)) == slots
    handler = text[text.index("ENTRY(return_to_handler)") :]
    assert "\tmv\ta2, a0\n\tRESTORE_RET_ABI_STATE\n\tjr\ta2\n" in handler


def test_a1_that_is_kept_needs_no_patch(tmp_path: Path) -> None:
    text = RETURN.replace("\tsd\ta0, 8(sp)\n", "\tsd\ta0, 8(sp)\n\tsd\ta1, 0(sp)\n")
    series = made(old_tree(tmp_path, {HANDLER: text}))
    assert len(series.patches) == 2
    assert HANDLER not in texts_after(series)


def test_between_the_patches_there_is_one_trampoline_with_all_registers(tmp_path: Path) -> None:
    after = texts_after(made(old_tree(tmp_path)), 2)
    assert KCONFIG not in after
    assert after[ASM] == (
        "#include <asm/ftrace.h>\n\n\t.text\n\n#define FENTRY_RA_OFFSET\tMCOUNT_INSN_SIZE\n\n"
        "\t.macro SAVE_ALL\n\taddi\tsp, sp, -PT_SIZE_ON_STACK\n\t.endm\n\n"
        "\t.macro RESTORE_ALL\n\taddi\tsp, sp, PT_SIZE_ON_STACK\n\t.endm\n\n"
        "ENTRY(ftrace_caller)\n\tSAVE_ALL\nftrace_call:\n\t.global ftrace_call\n\tcall\tftrace_stub\n"
        "#ifdef CONFIG_FUNCTION_GRAPH_TRACER\nftrace_graph_call:\n\t.global ftrace_graph_call\n\tcall\tftrace_stub\n"
        "#endif\n\tRESTORE_ALL\n\tjr\tt0\nENDPROC(ftrace_caller)\n"
    )
    assert "#define FTRACE_REGS_ADDR\tFTRACE_ADDR\n" in after[FTRACE_H]
    assert "poke(pos, call, sizeof(call))" in after[CALLS]  # the pair in the trampoline stays two instructions
    assert "ftrace_regs_call" not in after[CALLS]
    assert "ftrace_check_current_call" not in after[CALLS]
    assert "ftrace_modify_call(struct dyn_ftrace *rec" in after[CALLS]


def test_what_is_saved_is_restored(tmp_path: Path) -> None:
    text = texts_after(made(old_tree(tmp_path)))[ASM]
    saved, taken = stored(text, "SAVE_FREGS", "REG_S"), stored(text, "RESTORE_FREGS", "REG_L")
    assert [field.lower() for _, field in saved] == ["epc", "ra", "s0", "t1", *ARGUMENTS, *CLANG, "sp"]
    assert dict(saved) | {"t1": "T1"} == {
        "t0": "EPC",
        **{name: name.upper() for name in ("ra", "s0", "t1", *ARGUMENTS, *CLANG)},
    }
    assert saved[-1] == ("t1", "SP")
    assert [each for each in saved if each[1] != "SP"] == taken
    for verb in ("REG_S", "REG_L"):  # t2 to t6 under the compiler's condition and nothing else
        inside = re.search(rf"#ifdef CONFIG_CC_IS_CLANG\n((?:\t{verb}\t.*\n)+)#endif\n", text)
        assert inside is not None
        assert re.findall(r"\t(\w+), ", inside[1]) == CLANG
    assert "CONFIG_DYNAMIC_FTRACE_WITH_REGS" not in text
    assert "HAVE_FUNCTION_GRAPH_FP_TEST" not in text


def test_the_struct_and_its_offsets(tmp_path: Path) -> None:
    after = texts_after(made(old_tree(tmp_path)))
    body = re.search(r"^struct ftrace_regs \{\n(.*?)^\};", after[FTRACE_H], re.MULTILINE | re.DOTALL)
    assert body is not None
    assert re.findall(r"unsigned long (\w+);", body[1]) == FIELDS + CLANG
    offsets = after["arch/riscv/kernel/asm-offsets.c"]
    assert re.findall(r"OFFSET\(FREGS_(\w+), ftrace_regs, (\w+)\)", offsets) == [(f.upper(), f) for f in FIELDS + CLANG]
    assert offsets.startswith("#include <linux/ftrace.h>\n#include <linux/kbuild.h>\n")
    # a kernel whose tracer is not dynamic needs the struct as well
    assert after[FTRACE_H].index("#ifdef CONFIG_HAVE_DYNAMIC_FTRACE_WITH_ARGS") < after[FTRACE_H].index(
        "#ifdef CONFIG_DYNAMIC_FTRACE\n"
    )
    assert "FTRACE_REGS_ADDR" not in after[FTRACE_H]


def test_kprobes_leave_ftrace(tmp_path: Path) -> None:
    after = texts_after(made(old_tree(tmp_path)))
    assert after[KCONFIG] == (
        "config RISCV\n\tdef_bool y\n\tselect HAVE_KPROBES\n"
        "\tselect HAVE_DYNAMIC_FTRACE_WITH_ARGS if HAVE_DYNAMIC_FTRACE\n"
    )
    assert after["arch/riscv/kernel/probes/Makefile"] == "obj-$(CONFIG_KPROBES)\t\t+= kprobes.o\n"
    assert after[PROBE] == ""
    (features,) = (text for path, text in after.items() if path.startswith("Documentation/"))
    assert features == "    |     powerpc: |  ok  |\n    |       riscv: | TODO |\n"


def test_a_tree_without_the_table_of_features(tmp_path: Path) -> None:
    old_tree(tmp_path)
    shutil.rmtree(tmp_path / "Documentation")
    assert not [path for path in texts_after(made(tmp_path)) if path.startswith("Documentation/")]


def test_what_calls_and_callbacks_become(tmp_path: Path) -> None:
    text = texts_after(made(old_tree(tmp_path)))[CALLS]
    assert "__ftrace_modify_call" not in text
    assert "ftrace_modify_call" not in text
    assert "ftrace_graph_call" not in text
    assert text.endswith(
        "#ifdef CONFIG_DYNAMIC_FTRACE_WITH_ARGS\nvoid ftrace_graph_func(unsigned long ip, unsigned long parent_ip,\n"
        "\t\t       struct ftrace_ops *op, struct ftrace_regs *fregs)\n{\n"
        "\tprepare_ftrace_return(&fregs->ra, ip, fregs->s0);\n}\n#endif /* CONFIG_DYNAMIC_FTRACE_WITH_ARGS */\n"
        "#endif /* CONFIG_FUNCTION_GRAPH_TRACER */\n"
    )


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({KCONFIG: "config RISCV\n\tselect HAVE_DYNAMIC_FTRACE_WITH_ARGS\n"}, "already there: arch/riscv/Kconfig sel"),
        ({KCONFIG: "config RISCV\n"}, "not applicable: arch/riscv/Kconfig does not select HAVE_DYNAMIC_FTRACE_WITH_R"),
        (
            {KCONFIG: FILES[KCONFIG] + "\tselect HAVE_DYNAMIC_FTRACE_WITH_DIRECT_CALLS\n"},
            "not applicable: call sites may call other targets directly, not one trampoline",
        ),
        (
            {
                "include/linux/ftrace.h": GENERIC.replace(
                    "CONFIG_HAVE_DYNAMIC_FTRACE_WITH_ARGS", "HAVE_ARCH_FTRACE_REGS"
                )
            },
            "not applicable: include/linux/ftrace.h does not leave struct ftrace_regs to architectures",
        ),
        (
            {KCONFIG: FILES[KCONFIG] + "\tselect HAVE_RETHOOK\n"},
            "not applicable: FPROBE needs DYNAMIC_FTRACE_WITH_REGS here, and riscv has it: it would be lost",
        ),
        (
            {"arch/riscv/Makefile": "CC_FLAGS_FTRACE := -fpatchable-function-entry=8,4\n"},
            "not applicable: the sled is not nops behind the function's entry (-fpatchable-function-entry=8,4)",
        ),
        (
            {CALLS: SOURCE.replace("make_call_t0(rec->ip, addr, call)", "make_call_ra(rec->ip + 4, addr, call)")},
            "not applicable: ftrace_make_call() does not write auipc and jalr, through t0, at rec->ip",
        ),
        (
            {FTRACE_H: HEADER.replace("MCOUNT_INSN_SIZE 8", "MCOUNT_INSN_SIZE 4")},
            "not applicable: ftrace_make_call() does not write auipc and jalr, through t0, at rec->ip",
        ),
    ],
)
def test_states(tmp_path: Path, changes: dict[str, str], said: str) -> None:
    tree = open_tree(old_tree(tmp_path, changes))
    assert str(find_recipe(NAME).look(tree)).startswith(said)
    with pytest.raises(EmitError, match=f": {NAME}: {re.escape(said)}"):
        make_series(tree, find_recipe(NAME))


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    (old_tree(tmp_path) / HANDLER).unlink()
    assert str(find_recipe(NAME).look(open_tree(tmp_path))) == f"not applicable: there is no {HANDLER}"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            {HANDLER: RETURN.replace("sd\ta0, 8(sp)", "sd\ta0, 0(sp)")},
            "arch/riscv/kernel/mcount.S: .macro SAVE_RET_ABI_STATE: not the frame of 32 bytes that is known",
        ),
        ({HANDLER: "\n"}, "arch/riscv/kernel/mcount.S: .macro SAVE_RET_ABI_STATE: missing"),
        (
            {HANDLER: RETURN.replace("mv\ta1, a0", "mv\tt1, a0")},
            r"assembly function return_to_handler: mv\s+a1, a0: missing",
        ),
        ({ASM: CALLER.replace("SAVE_ALL", "SAVE_MOST")}, "arch/riscv/kernel/mcount-dyn.S: .macro SAVE_ALL: missing"),
        (
            {ASM: CALLER.replace("ftrace_regs_caller", "ftrace_all")},
            "arch/riscv/kernel/mcount-dyn.S: assembly function ftrace_regs_caller: missing",
        ),
        ({ASM: CALLER + CALLER}, "arch/riscv/kernel/mcount-dyn.S: assembly function ftrace_regs_caller: ambiguous (2 "),
        (
            {CALLS: SOURCE.replace("ftrace_init_nop", "ftrace_first_nop")},
            "arch/riscv/kernel/ftrace.c: function ftrace_init_nop(): missing",
        ),
        (
            {FTRACE_H: HEADER.replace("dyn_arch_ftrace", "arch_ftrace")},
            "arch/riscv/include/asm/ftrace.h: struct dyn_arch_ftrace: missing",
        ),
        (
            {"arch/riscv/include/asm/ptrace.h": "struct pt_regs;\n"},
            "arch/riscv/include/asm/ptrace.h: struct pt_regs: expected a list of registers",
        ),
        (
            {"arch/riscv/kernel/asm-offsets.c": "#include <linux/kbuild.h>\n"},
            "arch/riscv/kernel/asm-offsets.c: PT_SIZE_ON_STACK: missing",
        ),
    ],
)
def test_one_line_for_each_failure(tmp_path: Path, changes: dict[str, str], said: str) -> None:
    with pytest.raises(EmitError) as caught:
        made(old_tree(tmp_path, changes))
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_two_runs_give_the_same_bytes(tmp_path: Path) -> None:
    first, second = (made(old_tree(tmp_path / each)) for each in "ab")
    assert (first.letter, first.mails) == (second.letter, second.mails)


# a file that goes


def test_a_deletion_as_git_writes_it(tmp_path: Path) -> None:
    text = "one\ntwo\n"
    (tmp_path / "dir").mkdir()
    (tmp_path / "dir" / "f").write_text(text)
    repository(tmp_path)
    (tmp_path / "dir" / "f").unlink()
    change = Change("dir/f", text, "")
    assert file_diff(change) == git(tmp_path, "diff", "--abbrev=12")
    assert diffstat([change]) == git(tmp_path, "diff", "--stat", "--summary")


def test_git_takes_all_of_it(tmp_path: Path) -> None:
    root = repository(old_tree(tmp_path))
    series = made(root)
    commit = make_commits(open_tree(root), series)
    assert PROBE not in git(root, "ls-tree", "-r", "--name-only", commit)
    git(root, "am", "-q", stdin="".join(mail.text for mail in series.mails))
    assert git(root, "rev-parse", "HEAD^{tree}") == git(root, "rev-parse", f"{commit}^{{tree}}")
    assert not (root / PROBE).exists()
    assert find_recipe(NAME).look(open_tree(root)).verdict is Verdict.THERE


# real trees


def copied(version: str, root: Path) -> Path:
    """Copy what the series reads, and what checks patches, out of a real tree."""
    source = real(version)
    for path in (*FILES, "scripts/checkpatch.pl", "scripts/spelling.txt"):
        if (source / path).is_file():
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source / path, root / path)
    return root


def test_git_takes_it_and_checkpatch_is_silent(tmp_path: Path) -> None:
    root = repository(copied("6.1", tmp_path / "t"))
    series = made(root)
    git(root, "am", "-q", stdin="".join(mail.text for mail in series.mails))
    assert git(root, "log", "-3", "--format=%s", "--reverse").split("\n")[:3] == [p.subject for p in series.patches]
    assert git(root, "status", "--porcelain") == ""
    for path, text in texts_after(series).items():
        assert ((root / path).read_text(encoding="utf-8") if text else None) == (text or None)
    assert find_recipe(NAME).look(open_tree(root)).verdict is Verdict.THERE
    if shutil.which("perl") is None:
        pytest.skip("there is no perl: checkpatch is NOT run")
    for mail in series.mails:
        command = ["perl", "scripts/checkpatch.pl", "--no-tree", "--strict", "--ignore", IGNORED, "--no-signoff", "-"]
        done = subprocess.run(command, cwd=root, input=mail.text, capture_output=True, text=True, check=False)
        assert "total: 0 errors, 0 warnings, 0 checks" in done.stdout, done.stdout + done.stderr


@pytest.mark.parametrize("version", ["6.12", "7.2"])
def test_later_kernels_have_it(version: str) -> None:
    state = find_recipe(NAME).look(open_tree(real(version)))
    assert str(state) == "already there: arch/riscv/Kconfig selects HAVE_DYNAMIC_FTRACE_WITH_ARGS"


def test_it_is_made_in_two_seconds() -> None:
    root = real("6.1")
    start = time.process_time()
    made(root)
    assert time.process_time() - start < 2
