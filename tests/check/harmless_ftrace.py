# SPDX-License-Identifier: GPL-2.0-or-later
"""Patches about ftrace in which nothing may be found: the same thing done in another way."""

from __future__ import annotations

from tests.check.bugs import Bug, Swap

FTRACE = "arch/riscv/kernel/ftrace.c"
HEADER = "arch/riscv/include/asm/ftrace.h"
DYN = "arch/riscv/kernel/mcount-dyn.S"
MCOUNT = "arch/riscv/kernel/mcount.S"
OFFSETS = "arch/riscv/kernel/asm-offsets.c"
KCONFIG = "arch/riscv/Kconfig"
MAKEFILE = "arch/riscv/Makefile"
BPF = "arch/riscv/net/bpf_jit_comp64.c"
CORE = "kernel/trace/ftrace.c"

ABI_SAVES = "".join(f"	REG_S	a{n}, ABI_A{n}(sp)\n" for n in range(8))
SAVES = "".join(f"	REG_S	x{10 + n}, FREGS_A{n}(sp)\n" for n in range(8))
LOADS = SAVES.replace("REG_S", "REG_L")
SAVES_BY_NAME = "".join(f"	REG_S	a{n}, FREGS_A{n}(sp)\n" for n in range(8))
INCLUDE = "#include <linux/uaccess.h>\n"
USING = "	KBUILD_CPPFLAGS += -DCC_USING_PATCHABLE_FUNCTION_ENTRY\n"
RISCV = "config RISCV\n	def_bool y\n"
CAUSE = "	OFFSET(PT_CAUSE, pt_regs, cause);\n"
MEMBERS = "	unsigned long epc;\n	unsigned long ra;\n"
S0_T1 = "	unsigned long s0;\n	unsigned long t1;\n"
S0 = "#ifdef HAVE_FUNCTION_GRAPH_FP_TEST\n	REG_S	x8,  FREGS_S0(sp)\n#endif\n"
RA_S0 = ("	REG_L	ra, FREGS_RA(sp)\n", "	REG_L	s0, FREGS_S0(sp)\n")
GOES = "	mv	a2, a0\n	RESTORE_RET_ABI_STATE\n	jalr	a2\n"
SETTER = "static __always_inline void ftrace_regs_set_return_value"
GETTER = """\
static __always_inline unsigned long ftrace_regs_get_t1(const struct ftrace_regs *fregs)
{
	return arch_ftrace_regs(fregs)->t1;
}

"""
TEXT_TEST = "		if (!mod && !(is_kernel_text(addr) || is_kernel_inittext(addr))) {"
NO_FAULTS = "	 * is needed here.\n	 */\n	old = *parent;\n\n	if (!function_graph_enter(old"
MAKE_CALL = """\
	unsigned int call[2];

	make_call_t0(rec->ip, addr, call);

	if (patch_insn_write((void *)rec->ip, call, MCOUNT_INSN_SIZE))
		return -EPERM;

	return 0;
"""
SP_IN_T4 = "	mv	t4, sp			// Save original SP in T4\n"
SP_SAVED = "	REG_S	t4,  FREGS_SP(sp)	// Put original SP on stack\n"
SP_LATER = "	addi	a0, sp, FREGS_SIZE_ON_STACK\n	REG_S	a0, FREGS_SP(sp)\n"
CALLER = "	unsigned long caller = rec->ip - MCOUNT_AUIPC_SIZE;\n	int ret;\n"
CALLER_LATER = "	unsigned long caller;\n	int ret;\n\n	caller = rec->ip - MCOUNT_AUIPC_SIZE;\n"
DIRECT = "FTRACE_OPS_DIRECT_CALL(t1)\n	bnez	t1, ftrace_caller_direct\n"
DIRECT_AGAIN = "#ifdef CONFIG_DYNAMIC_FTRACE_WITH_DIRECT_CALLS\n	bnez	t1, ftrace_caller_direct\n"
ALIGN_8B = "	select FUNCTION_ALIGNMENT_8B if DYNAMIC_FTRACE_WITH_CALL_OPS\n"
BOTH_COMPILERS = "(CLANG_SUPPORTS_DYNAMIC_FTRACE || GCC_SUPPORTS_DYNAMIC_FTRACE)\n"
CLANG = "config CLANG_SUPPORTS_DYNAMIC_FTRACE\n"
EITHER = """\
config CC_SUPPORTS_DYNAMIC_FTRACE
	def_bool CLANG_SUPPORTS_DYNAMIC_FTRACE || GCC_SUPPORTS_DYNAMIC_FTRACE

"""
OPS_BY_RA = "	REG_L   a2, -16(t0)			// op\n	REG_L   ra, FTRACE_OPS_FUNC(a2)		// op->func\n"
OPS_BY_T2 = "	REG_L	a2, -16(t0)\n	REG_L	t2, FTRACE_OPS_FUNC(a2)\n"
CALL_BY_RA = "#ifdef CONFIG_DYNAMIC_FTRACE_WITH_CALL_OPS\n	jalr	ra\n"


def _reversed(lines: str) -> str:
    return "".join(reversed(lines.splitlines(True)))


_Patch = tuple[str, tuple[Swap, ...]]
EVERYWHERE: list[_Patch] = [
    ("a comment with numbers in assembly", ((DYN, "	.text\n", "	.text\n/* 4 bytes and 8 bytes */\n"),)),
    ("stores in another order", ((DYN, ABI_SAVES, _reversed(ABI_SAVES)),)),
    ("a frame counted in registers", ((DYN, "ABI_SIZE_ON_STACK	80\n", "ABI_SIZE_ON_STACK	(10 * SZREG)\n"),)),
    ("a larger frame", ((DYN, "#define ABI_SIZE_ON_STACK	80\n", "#define ABI_SIZE_ON_STACK	96\n"),)),
    ("lla for la", ((MCOUNT, "	la	t3, ftrace_trace_function\n", "	lla	t3, ftrace_trace_function\n"),)),
    ("a header more", ((FTRACE, INCLUDE, f"{INCLUDE}#include <linux/bug.h>\n"),)),
    ("a comment less", ((FTRACE, "/*\n * Most of this function is copied from arm64.\n */\n", ""),)),
    ("READ_ONCE()", ((FTRACE, NO_FAULTS, NO_FAULTS.replace("*parent", "READ_ONCE(*parent)")),)),
    ("BIT() in the header", ((HEADER, "JALR_SIGN_MASK		(0x00000800)", "JALR_SIGN_MASK		BIT(11)"),)),
    ("GENMASK() in the header", ((HEADER, "JALR_OFFSET_MASK	(0x00000fff)", "JALR_OFFSET_MASK	GENMASK(11, 0)"),)),
    ("a shift in the header", ((HEADER, "AUIPC_PAD		(0x00001000)", "AUIPC_PAD		(JALR_SIGN_MASK << 1)"),)),
    ("one more constant", ((OFFSETS, CAUSE, f"{CAUSE}	OFFSET(PT_TRAP, pt_regs, cause);\n"),)),
    ("a select of something else", ((KCONFIG, RISCV, f"{RISCV}	select TOY if MMU\n"),)),
    (
        "a new symbol, and code for it",
        (
            (KCONFIG, "config MMU\n", 'config RISCV_TOY\n	bool "toy"\n\nconfig MMU\n'),
            (FTRACE, INCLUDE, f"{INCLUDE}#ifdef CONFIG_RISCV_TOY\n#include <linux/bug.h>\n#endif\n"),
        ),
    ),
    ("a flag for the assembler", ((MAKEFILE, USING, f"{USING}	KBUILD_AFLAGS += -DNOTHING\n"),)),
]
SINCE_6_12: list[_Patch] = [
    ("arguments stored in another order", ((DYN, SAVES, _reversed(SAVES)),)),
    ("arguments loaded in another order", ((DYN, LOADS, _reversed(LOADS)),)),
    ("registers by their other names", ((DYN, SAVES, SAVES_BY_NAME),)),
    (
        "OFFSET() for DEFINE()",
        (
            (
                OFFSETS,
                "	DEFINE(FREGS_RA,	    offsetof(struct __arch_ftrace_regs, ra));\n",
                "	OFFSET(FREGS_RA, __arch_ftrace_regs, ra);\n",
            ),
        ),
    ),
    ("a member more", ((HEADER, S0_T1, f"{S0_T1}	unsigned long orig_t1;\n"),)),
    ("members in another order", ((HEADER, MEMBERS, _reversed(MEMBERS)),)),
    ("s0 is always stored", ((DYN, S0, "	REG_S	x8,  FREGS_S0(sp)\n"),)),
    ("ra is loaded behind s0", ((MCOUNT, "".join(RA_S0), "".join(reversed(RA_S0))),)),
    (
        "one more register is stored",
        (
            (
                MCOUNT,
                "	REG_S	a1, FREGS_A1(sp)\n",
                "	REG_S	a1, FREGS_A1(sp)\n	REG_S	a2, FREGS_A2(sp)\n",
            ),
        ),
    ),
    ("returns through t0", ((MCOUNT, GOES, GOES.replace("a2", "t0").replace("jalr", "jr")),)),
    ("jr for jalr", ((MCOUNT, "	jalr	a2\n", "	jr	a2\n"),)),
    ("the prefix by its length", ((HEADER, "strcmp(sym + 8, name)", 'strcmp(sym + strlen("__riscv_"), name)'),)),
    ("sizeof", ((HEADER, "strcmp(sym + 8, name)", 'strcmp(sym + sizeof("__riscv_") - 1, name)'),)),
    ("an accessor", ((HEADER, SETTER, GETTER + SETTER),)),
    (
        "IS_ENABLED() for #ifdef",
        (
            (
                FTRACE,
                "#ifdef CONFIG_DYNAMIC_FTRACE_WITH_DIRECT_CALLS\nint ftrace_modify_call",
                "#if IS_ENABLED(CONFIG_DYNAMIC_FTRACE_WITH_DIRECT_CALLS)\nint ftrace_modify_call",
            ),
        ),
    ),
    ("a comment in kernel/trace", ((CORE, "		 * Skip any NULL pointers.\n", "		 * Skip what is NULL.\n"),)),
    (
        "the same test in other words",
        ((CORE, TEXT_TEST, "		if (!mod && !is_kernel_text(addr) && !is_kernel_inittext(addr)) {"),),
    ),
    ("likely()", ((CORE, TEXT_TEST, TEXT_TEST.replace("!mod", "likely(!mod)")),)),
]
SOME: list[tuple[str, str, tuple[Swap, ...]]] = [
    ("6.12", "the sled as a sum", ((BPF, "#define RV_FENTRY_NINSNS 2", "#define RV_FENTRY_NINSNS (1 + 1)"),)),
    (
        "6.12",
        "a helper for the call",
        ((FTRACE, MAKE_CALL, "	return __ftrace_modify_call(rec->ip, addr, true, false);\n"),),
    ),
    ("6.12", "an offset by its name", ((DYN, "FENTRY_RA_OFFSET	8\n", "FENTRY_RA_OFFSET	MCOUNT_INSN_SIZE\n"),)),
    ("6.12", "li for mv", ((DYN, "	mv	t1, zero\n", "	li	t1, 0\n"),)),
    (
        "6.12",
        "sp is stored last",
        (
            (DYN, SP_IN_T4, ""),
            (DYN, SP_SAVED, ""),
            (DYN, "	REG_S	x17, FREGS_A7(sp)\n	.endm", f"	REG_S	x17, FREGS_A7(sp)\n{SP_LATER}	.endm"),
        ),
    ),
    (
        "7.2",
        "the pointer counted in registers",
        (
            (
                DYN,
                "	REG_L	t1, -16(t0) // op Should be SZ_REG instead of 16\n",
                "	REG_L	t1, -(2 * SZREG)(t0)\n",
            ),
        ),
    ),
    (
        "7.2",
        "the pointer without rounding",
        ((FTRACE, "ALIGN_DOWN(rec->ip - 12, 8)", "rec->ip - MCOUNT_AUIPC_SIZE - 8"),),
    ),
    ("7.2", "an assignment for an initialiser", ((FTRACE, CALLER, CALLER_LATER),)),
    ("7.2", "more alignment", ((KCONFIG, ALIGN_8B, "	select FUNCTION_ALIGNMENT_16B if DYNAMIC_FTRACE\n"),)),
    (
        "7.2",
        "a symbol for both compilers",
        ((KCONFIG, BOTH_COMPILERS, "CC_SUPPORTS_DYNAMIC_FTRACE\n"), (KCONFIG, CLANG, EITHER + CLANG)),
    ),
    (
        "7.2",
        "CALL_OPS for 64 bits",
        ((KCONFIG, "(DYNAMIC_FTRACE_WITH_ARGS && !CFI)\n", "(64BIT && DYNAMIC_FTRACE_WITH_ARGS && !CFI)\n"),),
    ),
    (
        "7.2",
        "a label by another name",
        (
            (DYN, "ftrace_caller_direct, SYM_L_LOCAL", "ftrace_caller_jump, SYM_L_LOCAL"),
            (DYN, DIRECT, DIRECT.replace("_direct", "_jump")),
            (DYN, DIRECT_AGAIN, DIRECT_AGAIN.replace("_direct", "_jump")),
        ),
    ),
    (
        "7.2",
        "calls through t2",
        ((DYN, OPS_BY_RA, OPS_BY_T2), (DYN, CALL_BY_RA, CALL_BY_RA.replace("ra\n", "ra, t2\n"))),
    ),
]
HARMLESS: list[Bug] = [
    *(Bug(f"H-f{n:02}", tree, *each) for n, each in enumerate(EVERYWHERE, 1) for tree in ("6.1", "6.12", "7.2")),
    *(Bug(f"H-f{n:02}", tree, *each) for n, each in enumerate(SINCE_6_12, 31) for tree in ("6.12", "7.2")),
    *(Bug(f"H-f{n:02}", *each) for n, each in enumerate(SOME, 61)),
]
