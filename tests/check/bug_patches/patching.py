# SPDX-License-Identifier: GPL-2.0-or-later
"""Bugs of locks, fences, probes and jump labels: of whatever writes to text."""

from __future__ import annotations

from tests.check.bugs import Bug

FTRACE = "arch/riscv/kernel/ftrace.c"
PATCH = "arch/riscv/kernel/patch.c"
MAKEFILE = "arch/riscv/Makefile"
KCONFIG = "arch/riscv/Kconfig"
LABEL = "arch/riscv/kernel/jump_label.c"
LABEL_H = "arch/riscv/include/asm/jump_label.h"
KPROBES = "arch/riscv/kernel/probes/kprobes.c"
FEATURE = "arch/riscv/kernel/cpufeature.c"
GUARD = "	guard(mutex)(&text_mutex);\n\n"
SET_NOP = "	ret = ftrace_rec_set_nop_ops(rec);\n	if (ret)\n		return ret;\n\n"
LOCK = "	mutex_lock(&text_mutex);\n"
UNLOCK = "	mutex_unlock(&text_mutex);\n"
MAKE_NOP = "	out = ftrace_make_nop(mod, rec, MCOUNT_ADDR);\n"
UNASSERTED = "	if (!riscv_patch_in_stop_machine)\n		lockdep_assert_held(&text_mutex);\n"
WRITER_FLUSH = """\
	ret = copy_to_kernel_nofault(waddr, insn, len);

	/*
	 * We could have just patched a function that is about to be
	 * called so make sure we don't execute partially patched
	 * instructions by flushing the icache as soon as possible.
	 */
	local_flush_icache_range((unsigned long)waddr,
				 (unsigned long)waddr + len);
"""  # noqa: E101
WRITER = "	ret = copy_to_kernel_nofault(waddr, insn, len);\n"
NOSYNC = "	ret = patch_insn_write(addr, insns, len);\n"
FLUSH = "	if (!ret)\n		flush_icache_range((uintptr_t)addr, (uintptr_t)addr + len);\n"
LAST = "	if (atomic_inc_return(&patch->cpu_count) == num_online_cpus()) {\n"
FIRST = "	if (atomic_inc_return(&patch->cpu_count) == 1) {\n"
STOP = "stop_machine_cpuslocked(patch_text_cb, &patch, cpu_online_mask)"
WAIT = "		while (atomic_read(&patch->cpu_count) <= num_online_cpus())\n"
WRITE = "		ret = patch_insn_write(patch->addr, patch->insns, patch->len);\n"
RELEASE = "		atomic_inc_return_release(&patch->cpu_count);\n"
POKE = "	patch_insn_write(addr, &insn, sizeof(insn));\n"
ARM = "	u32 insn = len == 4 ? __BUG_INSN_32 : __BUG_INSN_16;\n"
BREAK = "	patch_text_nosync((void *)p->ainsn.api.insn + len, &insn, GET_INSN_LENGTH(insn));\n"
RESTORE = "	p->ainsn.api.restore = (unsigned long)p->addr + len;\n"
ARM_6_1 = """\
	if ((p->opcode & __INSN_LENGTH_MASK) == __INSN_LENGTH_32)
		patch_text(p->addr, __BUG_INSN_32);
	else
		patch_text(p->addr, __BUG_INSN_16);
"""
BRANCH = """\
#define ARCH_STATIC_BRANCH_ASM(key, label)		\\
	"	.align		2		\\n\\t"	\\
"""
BRANCH_6_X = """\
	asm goto(
		"	.align		2			\\n\\t"
		"	.option push				\\n\\t"
		"	.option norelax				\\n\\t"
		"	.option norvc				\\n\\t"
		"1:	nop					\\n\\t"
"""
ALIGN = '		"	.align		2			\\n\\t"\n'
NORVC = '		"	.option norvc				\\n\\t"\n'
HALVES = "		patch_insn_write(addr, &insn, 2);\n		patch_insn_write(addr + 2, (u16 *)&insn + 1, 2);\n"
PROBES_INIT = "int __init arch_init_kprobes(void)\n{\n"
PATCHED_AT_START = """\
static int __init clear_slot(void)
{
	u32 insn = __BUG_INSN_32;

	return patch_text_nosync(slot_of_cpu0, &insn, sizeof(insn));
}
late_initcall(clear_slot);

int __init arch_init_kprobes(void)
{
"""

NOPS = """\
ifeq ($(CONFIG_RISCV_ISA_C),y)
	CC_FLAGS_FTRACE := -fpatchable-function-entry=8,4
else
	CC_FLAGS_FTRACE := -fpatchable-function-entry=4,2
endif
"""
NOPS_BY_OPTION = f"""\
ifeq ($(CONFIG_DYNAMIC_FTRACE_WITH_CALL_OPS),y)
{NOPS}\
else
ifeq ($(CONFIG_RISCV_ISA_C),y)
	CC_FLAGS_FTRACE := -fpatchable-function-entry=4
else
	CC_FLAGS_FTRACE := -fpatchable-function-entry=2
endif
endif
"""

BUGS = [
    Bug(
        "L01",
        "7.2",
        "nops before functions are asked for in every build, and counted with CALL_OPS alone",
        ((MAKEFILE, NOPS_BY_OPTION, NOPS),),
        ("GP512",),
        first=((MAKEFILE, NOPS, NOPS_BY_OPTION),),
    ),
    Bug(
        "C01",
        "6.12",
        "the tracer, which patches pairs, is offered with PREEMPTION",
        ((KCONFIG, "HAVE_FUNCTION_TRACER if !XIP_KERNEL && !PREEMPTION", "HAVE_FUNCTION_TRACER if !XIP_KERNEL"),),
        ("GP513",),
    ),
    Bug(
        "C02",
        "7.2",
        "ftrace_init_nop() writes the literal before it takes text_mutex",
        ((FTRACE, GUARD + SET_NOP, SET_NOP + GUARD),),
        ("GP514",),
    ),
    Bug(
        "C02-hooks",
        "7.2",
        "ftrace's hooks no longer take text_mutex",
        (
            (FTRACE, f"	__acquires(&text_mutex)\n{{\n{LOCK}", "	__acquires(&text_mutex)\n{\n"),
            (FTRACE, f"	__releases(&text_mutex)\n{{\n{UNLOCK}", "	__releases(&text_mutex)\n{\n"),
        ),
        ("GP514",),
    ),
    Bug(
        "C03",
        "6.12",
        "ftrace_init_nop() no longer takes text_mutex",
        ((FTRACE, LOCK + MAKE_NOP + UNLOCK, MAKE_NOP),),
        ("GP514",),
    ),
    Bug(
        "C03-stopped",
        "6.1",
        "text_mutex is asserted inside stop_machine()",
        ((PATCH, UNASSERTED, "	lockdep_assert_held(&text_mutex);\n"),),
        ("GP538",),
    ),
    Bug(
        "C03-stopped",
        "6.12",
        "text_mutex is asserted inside stop_machine()",
        ((PATCH, UNASSERTED, "	lockdep_assert_held(&text_mutex);\n"),),
        ("GP538",),
    ),
    Bug(
        "C03-flag",
        "7.2",
        "patch_text() no longer says that it patches inside stop_machine()",
        ((PATCH, "	riscv_patch_in_stop_machine = true;\n", ""),),
        ("GP538",),
    ),
    Bug(
        "C03-alternatives",
        "6.12",
        "alternatives are patched without text_mutex",
        ((FEATURE, "		mutex_lock(&text_mutex);\n", ""), (FEATURE, "		mutex_unlock(&text_mutex);\n", "")),
        ("GP514",),
    ),
    Bug(
        "C06",
        "6.12",
        "what writes text no longer flushes this hart's instruction cache",
        ((PATCH, WRITER_FLUSH, WRITER),),
        ("GP515",),
    ),
    Bug(
        "C08",
        "6.12",
        "patch_text_nosync() no longer flushes all harts' caches",
        ((PATCH, NOSYNC + FLUSH, NOSYNC),),
        ("GP515",),
    ),
    Bug(
        "C08-local",
        "7.2",
        "patch_text_nosync() flushes its own hart's cache only",
        ((PATCH, NOSYNC + FLUSH, NOSYNC + FLUSH.replace("flush_icache_range", "local_flush_icache_range")),),
        ("GP515",),
    ),
    Bug(
        "C08-early",
        "7.2",
        "patch_text_nosync() flushes before it writes",
        ((PATCH, NOSYNC + FLUSH, "	flush_icache_range((uintptr_t)addr, (uintptr_t)addr + len);\n" + NOSYNC),),
        ("GP515",),
    ),
    *(
        Bug("C10", tree, "the first processor to arrive patches", ((PATCH, LAST, FIRST),), ("GP537",))
        for tree in ("6.1", "6.12", "7.2")
    ),
    Bug(
        "L14",
        "6.1",
        "jump labels' nops stand on any multiple of 2",
        ((LABEL_H, BRANCH_6_X, BRANCH_6_X.replace(ALIGN, "")),),
        ("GP542",),
    ),
    Bug(
        "L14",
        "6.12",
        "jump labels' nops stand on any multiple of 2",
        ((LABEL_H, BRANCH_6_X, BRANCH_6_X.replace(ALIGN, "")),),
        ("GP542",),
    ),
    Bug(
        "L14",
        "7.2",
        "jump labels' nops stand on any multiple of 2",
        ((LABEL_H, BRANCH, BRANCH.splitlines(True)[0]),),
        ("GP542",),
    ),
    Bug(
        "L14-rvc",
        "6.12",
        "a jump label's nop may be compressed",
        ((LABEL_H, BRANCH_6_X, BRANCH_6_X.replace(NORVC, "")),),
        ("GP542",),
    ),
    Bug(
        "X20",
        "7.2",
        "jump labels are no longer flushed when all of them are written",
        ((LABEL, "	flush_icache_all();\n", ""),),
        ("GP540",),
    ),
    Bug(
        "X21",
        "6.12",
        "an early return leaves text_mutex held",
        ((FTRACE, MAKE_NOP, f"{MAKE_NOP}	if (out)\n		return out;\n"),),
        ("GP538",),
    ),
    Bug(
        "X22",
        "7.2",
        "text_mutex is taken again inside its guard",
        ((FTRACE, GUARD + SET_NOP, GUARD + LOCK + SET_NOP),),
        ("GP538",),
    ),
    Bug("X23", "6.12", "text_mutex is given back without being taken", ((LABEL, LOCK + POKE, POKE),), ("GP514",)),
    Bug(
        "X24",
        "7.2",
        "an initcall patches text without text_mutex",
        ((KPROBES, PROBES_INIT, PATCHED_AT_START),),
        ("GP539",),
    ),
    Bug(
        "X25",
        "7.2",
        "patch_text() patches without stop_machine()",
        ((PATCH, STOP, "patch_text_cb(&patch)"),),
        ("GP536",),
    ),
    Bug(
        "X26",
        "6.12",
        "ftrace patches pairs without stop_machine()",
        (
            (
                FTRACE,
                "	stop_machine(__ftrace_modify_code, &param, cpu_online_mask);\n",
                "	__ftrace_modify_code(&param);\n",
            ),
        ),
        ("GP536",),
    ),
    Bug(
        "X27",
        "6.12",
        "waiting processors go on when the last has arrived, not when it has patched",
        ((PATCH, WAIT, WAIT.replace("<=", "<")),),
        ("GP537",),
    ),
    Bug(
        "X28",
        "7.2",
        "waiting processors are released before the text is written",
        ((PATCH, WRITE, RELEASE + WRITE),),
        ("GP537",),
    ),
    Bug(
        "X29",
        "7.2",
        "waiting processors are released with no order to the write",
        ((PATCH, RELEASE, "		atomic_inc(&patch->cpu_count);\n"),),
        ("GP541",),
    ),
    Bug(
        "X30",
        "7.2",
        "no barrier stands between the tracer's function and its ops",
        ((FTRACE, "	smp_wmb();\n", ""),),
        ("GP541",),
    ),
    Bug(
        "X31",
        "7.2",
        "a probe of a short instruction writes over the next one",
        ((KPROBES, ARM, "	u32 insn = __BUG_INSN_32;\n"),),
        ("GP543",),
    ),
    Bug(
        "X31",
        "6.1",
        "a probe of a short instruction writes over the next one",
        ((KPROBES, ARM_6_1, "	patch_text(p->addr, __BUG_INSN_32);\n"),),
        ("GP543",),
    ),
    Bug(
        "X32",
        "6.12",
        "the breakpoint behind a probe's copy has the length of the copy",
        ((KPROBES, BREAK, BREAK.replace("GET_INSN_LENGTH(insn)", "len")),),
        ("GP543",),
    ),
    Bug(
        "X33",
        "7.2",
        "a probe goes on 4 bytes behind a short instruction",
        ((KPROBES, RESTORE, RESTORE.replace("+ len", "+ 4")),),
        ("GP543",),
    ),
    Bug(
        "X34",
        "6.12",
        "a jump label's pointer, not its instruction, says how many bytes are written",
        ((LABEL, POKE, POKE.replace("sizeof(insn)", "sizeof(&insn)")),),
        ("GP534",),
    ),
    Bug(
        "X35",
        "7.2",
        "a jump label's word is written in two halves",
        (
            (
                LABEL,
                "		patch_insn_write(addr, &insn, sizeof(insn));\n		mutex_unlock",
                f"{HALVES}		mutex_unlock",
            ),
        ),
        ("GP544",),
    ),
]
