# SPDX-License-Identifier: GPL-2.0-or-later
"""Bugs of the sites that ftrace patches, of the trampolines that they call, and of what offers them."""

from __future__ import annotations

from tests.check.bugs import Bug

FTRACE = "arch/riscv/kernel/ftrace.c"
HEADER = "arch/riscv/include/asm/ftrace.h"
DYN = "arch/riscv/kernel/mcount-dyn.S"
MCOUNT = "arch/riscv/kernel/mcount.S"
OFFSETS = "arch/riscv/kernel/asm-offsets.c"
KCONFIG = "arch/riscv/Kconfig"
MAKEFILE = "arch/riscv/Makefile"
BPF = "arch/riscv/net/bpf_jit_comp64.c"
SORT = "scripts/sorttable.c"
CORE = "kernel/trace/ftrace.c"

RETURN_SAVE = """\
	addi	sp, sp, -FREGS_SIZE_ON_STACK
	REG_S	ra, FREGS_RA(sp)
	REG_S	s0, FREGS_S0(sp)
	REG_S	a0, FREGS_A0(sp)
	REG_S	a1, FREGS_A1(sp)
	addi	s0, sp, FREGS_SIZE_ON_STACK
"""
RETURN_RESTORE = """\
	REG_L	ra, FREGS_RA(sp)
	REG_L	s0, FREGS_S0(sp)
	REG_L	a0, FREGS_A0(sp)
	REG_L	a1, FREGS_A1(sp)
	addi	sp, sp, FREGS_SIZE_ON_STACK
"""
SMALL_SAVE = """\
	addi	sp, sp, -4*SZREG
	REG_S	s0, 0*SZREG(sp)
	REG_S	ra, 1*SZREG(sp)
	REG_S	a0, 2*SZREG(sp)
	REG_S	a1, 3*SZREG(sp)
	addi	s0, sp, 4*SZREG
"""
SMALL_RESTORE = """\
	REG_L	ra, 1*SZREG(sp)
	REG_L	s0, 0*SZREG(sp)
	REG_L	a0, 2*SZREG(sp)
	REG_L	a1, 3*SZREG(sp)
	addi	sp, sp, 4*SZREG
"""
S0 = "#ifdef HAVE_FUNCTION_GRAPH_FP_TEST\n	REG_S	x8,  FREGS_S0(sp)\n#endif\n"
S0_ALWAYS = "	REG_S	x8,  FREGS_S0(sp)\n"
CLANG_SAVE = """\
#ifdef CONFIG_CC_IS_CLANG
	REG_S	x7,  FREGS_T2(sp)
	REG_S	x28, FREGS_T3(sp)
	REG_S	x29, FREGS_T4(sp)
	REG_S	x30, FREGS_T5(sp)
	REG_S	x31, FREGS_T6(sp)
#endif
"""
CLANG_RESTORE = CLANG_SAVE.replace("REG_S", "REG_L")
CLANG_OFFSETS = "#ifdef CONFIG_CC_IS_CLANG\n	DEFINE(FREGS_T2,"
SP_LATE = """\
	mv	a0, sp
	addi	a0, a0, FREGS_SIZE_ON_STACK
	REG_S	a0, FREGS_SP(sp)	// Put original SP on stack
"""
TEXT_TEST = """\
		if (!mod && !(is_kernel_text(addr) || is_kernel_inittext(addr))) {
			skipped++;
			continue;
		}

"""
ADJUST = "		addr = ftrace_call_adjust(addr);\n"
NEAR = "	if (distance > JALR_RANGE)\n"
SAME_AUIPC = "	if (distance > JALR_RANGE || to_auipc_t0(addr - pc) != to_auipc_t0(orig_addr - pc))\n"
WITHOUT_FLAG = "	select HAVE_DYNAMIC_FTRACE if !XIP_KERNEL && MMU"
WITH_FLAG = f"{WITHOUT_FLAG} && $(cc-option,-fpatchable-function-entry=8)\n"
WITH_SYMBOLS = f"{WITHOUT_FLAG} && (CLANG_SUPPORTS_DYNAMIC_FTRACE || GCC_SUPPORTS_DYNAMIC_FTRACE)\n"
GRAPH = "	select HAVE_FUNCTION_GRAPH_TRACER"
MIN_ALIGNMENT = "	depends on CC_HAS_MIN_FUNCTION_ALIGNMENT || !RISCV_ISA_C\n"
ALIGN_8B = "	select FUNCTION_ALIGNMENT_8B if DYNAMIC_FTRACE_WITH_CALL_OPS\n"
ALIGN_4B = "	select FUNCTION_ALIGNMENT_4B if DYNAMIC_FTRACE && RISCV_ISA_C\n"
CALLER = "	unsigned long caller = rec->ip;\n"
CALLER_7_2 = "	unsigned long caller = rec->ip - MCOUNT_AUIPC_SIZE;\n"
LITERAL = "ALIGN_DOWN(rec->ip - 12, 8)"
ORDERED = "	depends on AS_IS_GNU || (AS_IS_LLVM && (LD_IS_LLD || LD_VERSION >= 23600))\n"
FLAGS_7_2 = """\
ifeq ($(CONFIG_RISCV_ISA_C),y)
	CC_FLAGS_FTRACE := -fpatchable-function-entry=8,4
else
	CC_FLAGS_FTRACE := -fpatchable-function-entry=4,2
endif
"""

BUGS = [
    Bug(
        "L03-a",
        "7.2",
        "offers dynamic ftrace to gcc without -fmin-function-alignment",
        ((KCONFIG, MIN_ALIGNMENT, ""),),
        ("GP523",),
    ),
    Bug(
        "L03-b",
        "7.2",
        "no longer aligns functions to 4 bytes with compressed instructions",
        ((KCONFIG, ALIGN_4B, ""),),
        ("GP523",),
    ),
    Bug(
        "L03-c",
        "7.2",
        "aligns functions with a pointer before them to 4 bytes",
        ((KCONFIG, ALIGN_8B, ""),),
        ("GP523",),
    ),
    Bug(
        "L04-c",
        "6.12",
        "the sled has four instructions in the BPF JIT alone",
        ((BPF, "#define RV_FENTRY_NINSNS 2", "#define RV_FENTRY_NINSNS 4"),),
        ("GP511",),
    ),
    Bug(
        "L05",
        "6.12",
        "ftrace_modify_call() counts from the second instruction",
        ((FTRACE, CALLER, "	unsigned long caller = rec->ip + 4;\n"),),
        ("GP519",),
    ),
    Bug(
        "L05",
        "6.1",
        "ftrace_modify_call() counts from the second instruction",
        ((FTRACE, CALLER, "	unsigned long caller = rec->ip + 4;\n"),),
        ("GP519",),
    ),
    Bug(
        "L05",
        "7.2",
        "ftrace_modify_call() takes rec->ip for the auipc",
        ((FTRACE, CALLER_7_2, CALLER),),
        ("GP519",),
    ),
    Bug(
        "L08-a",
        "7.2",
        "adjusts entries of the table before it tells whether they are text",
        ((CORE, TEXT_TEST + ADJUST, ADJUST + "\n" + TEXT_TEST.removesuffix("\n")),),
        ("GP521",),
    ),
    Bug(
        "L08-b",
        "6.12",
        "no longer tells whether an entry of the table is text",
        ((CORE, TEXT_TEST + ADJUST, ADJUST),),
        ("GP521",),
    ),
    Bug(
        "L08-c",
        "7.2",
        "sorttable looks no further than the function's entry",
        ((SORT, "		before_func = 8;\n", ""),),
        ("GP521",),
    ),
    Bug(
        "L10",
        "6.1",
        "selects HAVE_DYNAMIC_FTRACE without a test of the compiler",
        ((KCONFIG, WITH_FLAG, f"{WITHOUT_FLAG}\n"),),
        ("GP522",),
    ),
    Bug(
        "L10-b",
        "6.12",
        "selects HAVE_DYNAMIC_FTRACE without a test of the compiler",
        ((KCONFIG, WITH_SYMBOLS, f"{WITHOUT_FLAG}\n"),),
        ("GP522",),
    ),
    Bug(
        "L10-c",
        "7.2",
        "gcc need not know the flag",
        ((KCONFIG, "	depends on $(cc-option,-fpatchable-function-entry=8)\n", ""),),
        ("GP522",),
    ),
    Bug(
        "L11",
        "7.2",
        "clang's assembler with any linker",
        ((KCONFIG, ORDERED, ""),),
        ("GP522",),
    ),
    Bug(
        "M01-a",
        "7.2",
        "compares the names of syscalls with their prefix",
        ((HEADER, "strcmp(sym + 8, name)", "strcmp(sym, name)"),),
        ("GP527",),
    ),
    Bug(
        "M01-b",
        "6.12",
        "skips a letter too few",
        ((HEADER, "strcmp(sym + 8, name)", "strcmp(sym + 7, name)"),),
        ("GP527",),
    ),
    Bug(
        "N2-a",
        "7.2",
        "writes the pointer where the function starts",
        ((FTRACE, LITERAL, "ALIGN_DOWN(rec->ip - 4, 8)"),),
        ("GP519",),
    ),
    Bug(
        "N2-b",
        "7.2",
        "writes the pointer where rec->ip, moved by 4, no longer has it",
        ((FTRACE, LITERAL, "rec->ip - 8"),),
        ("GP519",),
    ),
    Bug(
        "N2-c",
        "7.2",
        "reads the pointer where nothing writes it",
        ((DYN, "	REG_L	t1, -16(t0) // op", "	REG_L	t1, -12(t0) // op"),),
        ("GP519",),
    ),
    Bug(
        "T01-a",
        "7.2",
        "no longer saves what clang passes in t2 to t6",
        ((DYN, CLANG_SAVE, ""), (DYN, CLANG_RESTORE, "")),
        ("GP516",),
    ),
    Bug(
        "T01-b",
        "7.2",
        "keeps sp in t4 before t4 is saved",
        (
            (DYN, SP_LATE, ""),
            (
                DYN,
                "	addi	sp, sp, -FREGS_SIZE_ON_STACK\n	REG_S	t0",
                "	mv	t4, sp\n	addi	sp, sp, -FREGS_SIZE_ON_STACK\n	REG_S	t4, FREGS_SP(sp)\n	REG_S	t0",
            ),
        ),
        ("GP516",),
    ),
    Bug(
        "T03-a",
        "6.12",
        "return_to_handler has a frame of four words of its own",
        ((MCOUNT, RETURN_SAVE, SMALL_SAVE), (MCOUNT, RETURN_RESTORE, SMALL_RESTORE)),
        ("GP517",),
    ),
    Bug(
        "T03-b",
        "7.2",
        "return_to_handler has a frame of four words of its own",
        ((MCOUNT, RETURN_SAVE, SMALL_SAVE), (MCOUNT, RETURN_RESTORE, SMALL_RESTORE)),
        ("GP517",),
    ),
    Bug(
        "T04-a",
        "6.12",
        "selects the graph tracer without ftrace_regs",
        ((KCONFIG, f"{GRAPH} if HAVE_DYNAMIC_FTRACE_WITH_ARGS\n", f"{GRAPH}\n"),),
        ("GP522",),
    ),
    Bug(
        "T04-b",
        "7.2",
        "selects the graph tracer without ftrace_regs",
        ((KCONFIG, f"{GRAPH} if HAVE_DYNAMIC_FTRACE_WITH_ARGS\n", f"{GRAPH}\n"),),
        ("GP522",),
    ),
    Bug(
        "T08-a",
        "7.2",
        "stores s0 for the frame pointer test alone",
        ((DYN, S0_ALWAYS, S0),),
        ("GP518",),
        first=((DYN, S0, S0_ALWAYS),),
    ),
    Bug(
        "T08-b",
        "6.12",
        "stores sp for the frame pointer test alone",
        (
            (DYN, "	REG_S	t4,  FREGS_SP(sp)	// Put original SP on stack\n", ""),
            (DYN, S0_ALWAYS, f"	REG_S	t4,  FREGS_SP(sp)\n{S0_ALWAYS}"),
        ),
        ("GP518",),
    ),
    Bug(
        "T16",
        "6.1",
        "loads t0 from its own slot after it has loaded it from epc",
        ((DYN, "	REG_L x4,  PT_TP(sp)\n", "	REG_L x4,  PT_TP(sp)\n	REG_L x5,  PT_T0(sp)\n"),),
        ("GP516",),
    ),
    Bug(
        "T16-b",
        "7.2",
        "loads the way back from the slot of t1",
        ((DYN, "	REG_L	t0, FREGS_EPC(sp)\n", "	REG_L	t0, FREGS_T1(sp)\n"),),
        ("GP516",),
    ),
    Bug(
        "T17",
        "7.2",
        "goes back to a distance to tell whether the auipc may stay",
        ((FTRACE, SAME_AUIPC, NEAR),),
        ("GP520",),
        first=((FTRACE, NEAR, SAME_AUIPC),),
    ),
    Bug(
        "X-f01",
        "6.12",
        "a4 is loaded from the slot of a5",
        ((DYN, "	REG_L	x14, FREGS_A4(sp)\n", "	REG_L	x14, FREGS_A5(sp)\n"),),
        ("GP516",),
    ),
    Bug(
        "X-f02",
        "7.2",
        "a7 is loaded after sp has moved",
        (
            (
                DYN,
                "	REG_L	x17, FREGS_A7(sp)\n\n	addi	sp, sp, FREGS_SIZE_ON_STACK\n",
                "	addi	sp, sp, FREGS_SIZE_ON_STACK\n	REG_L	x17, FREGS_A7(sp)\n",
            ),
        ),
        ("GP516",),
    ),
    Bug(
        "X-f03",
        "6.12",
        "the frame is as large as the struct, which is no multiple of 16",
        ((OFFSETS, "ALIGN(sizeof(struct __arch_ftrace_regs), STACK_ALIGN)", "sizeof(struct __arch_ftrace_regs)"),),
        ("GP516",),
    ),
    Bug(
        "X-f04",
        "7.2",
        "FREGS_A3 is the offset of a2",
        (
            (
                OFFSETS,
                "FREGS_A3,	    offsetof(struct __arch_ftrace_regs, a3)",
                "FREGS_A3,	    offsetof(struct __arch_ftrace_regs, a2)",
            ),
        ),
        ("GP516", "GP517"),
    ),
    Bug(
        "X-f05",
        "6.12",
        "the branch that tests t1 is left, what clears t1 is not",
        ((DYN, "	mv	t1, zero\n", ""),),
        ("GP516",),
    ),
    Bug(
        "X-f06",
        "7.2",
        "offers direct calls where t1 is not set",
        (
            (
                KCONFIG,
                "HAVE_DYNAMIC_FTRACE_WITH_DIRECT_CALLS if HAVE_DYNAMIC_FTRACE_WITH_CALL_OPS\n",
                "HAVE_DYNAMIC_FTRACE_WITH_DIRECT_CALLS\n",
            ),
        ),
        ("GP516",),
    ),
    Bug(
        "X-f07",
        "7.2",
        "ra is saved for the frame pointer test alone",
        (
            (
                DYN,
                f"	REG_S	x1,  FREGS_RA(sp)\n{S0}",
                S0.replace(S0_ALWAYS, f"	REG_S	x1,  FREGS_RA(sp)\n{S0_ALWAYS}"),
            ),
        ),
        ("GP516", "GP518"),
    ),
    Bug(
        "X-f08",
        "6.12",
        "the trampoline takes the site for 4 bytes behind where it is",
        ((DYN, "#define FENTRY_RA_OFFSET	8\n", "#define FENTRY_RA_OFFSET	4\n"),),
        ("GP519",),
    ),
    Bug(
        "X-f09",
        "7.2",
        "ftrace_call_adjust() and arch_ftrace_get_symaddr() go to the entry, the rest counts from the jalr",
        (
            (FTRACE, "	return addr + MCOUNT_AUIPC_SIZE;\n", "	return addr;\n"),
            (FTRACE, "		return addr + 8 + MCOUNT_AUIPC_SIZE;\n", "		return addr + 8;\n"),
            (FTRACE, "	return fentry_ip - MCOUNT_AUIPC_SIZE;\n", "	return fentry_ip;\n"),
        ),
        ("GP519",),
    ),
    Bug(
        "X-f10",
        "7.2",
        "the jalr goes where the auipc is",
        ((FTRACE, "(void *)(source + MCOUNT_AUIPC_SIZE), call + 1", "(void *)source, call + 1"),),
        ("GP519",),
    ),
    Bug(
        "X-f11",
        "7.2",
        "the nop goes where the auipc is",
        ((FTRACE, "patch_insn_write((void *)rec->ip, &nop4", "patch_insn_write((void *)(rec->ip - 4), &nop4"),),
        ("GP519",),
    ),
    Bug(
        "X-f12",
        "7.2",
        "offers CALL_OPS together with kCFI",
        ((KCONFIG, " if (DYNAMIC_FTRACE_WITH_ARGS && !CFI)\n", " if DYNAMIC_FTRACE_WITH_ARGS\n"),),
        ("GP522",),
    ),
    Bug(
        "X-f13",
        "7.2",
        "the stub for kernels without CALL_OPS is gone",
        ((FTRACE, "static int ftrace_rec_set_nop_ops(struct dyn_ftrace *rec) { return 0; }\n", ""),),
        ("GP524",),
    ),
    Bug(
        "X-f14",
        "7.2",
        "asks for an option that does not exist",
        (
            (
                FTRACE,
                "#ifdef CONFIG_DYNAMIC_FTRACE_WITH_CALL_OPS\nstatic const",
                "#ifdef CONFIG_DYNAMIC_FTRACE_WITH_CALLOPS\nstatic const",
            ),
        ),
        ("GP525",),
    ),
    Bug(
        "X-f15",
        "6.12",
        "the size of the site changes, what is said of it does not",
        ((HEADER, "#define MCOUNT_INSN_SIZE 8\n", "#define MCOUNT_INSN_SIZE 4\n"),),
        ("GP511", "GP526"),
    ),
    Bug(
        "X-f16",
        "6.12",
        "auipc takes no more where bit 11 is set",
        ((HEADER, "#define AUIPC_PAD		(0x00001000)", "#define AUIPC_PAD		(0x00000000)"),),
        ("GP528",),
    ),
    Bug(
        "X-f17",
        "7.2",
        "JALR_T0 links to t1",
        ((HEADER, "#define JALR_T0			(0x000282e7)", "#define JALR_T0			(0x00028367)"),),
        ("GP528",),
    ),
    Bug(
        "X-f18",
        "7.2",
        "asm-offsets.c has the constants for clang under a condition that never holds",
        ((OFFSETS, CLANG_OFFSETS, CLANG_OFFSETS.replace("CC_IS_CLANG", "RISCV_CC_IS_CLANG")),),
        ("GP524", "GP525"),
    ),
    Bug(
        "X-f19",
        "7.2",
        "return_to_handler no longer keeps the second word of what is returned",
        ((MCOUNT, "	REG_S	a1, FREGS_A1(sp)\n", ""), (MCOUNT, "	REG_L	a1, FREGS_A1(sp)\n", "")),
        ("GP516",),
    ),
    Bug(
        "X-f20",
        "6.1",
        "the frame of ftrace_caller is 8 bytes too small for ra",
        ((DYN, "#define ABI_SIZE_ON_STACK	80\n", "#define ABI_SIZE_ON_STACK	72\n"),),
        ("GP516",),
    ),
    Bug(
        "X-f21",
        "6.1",
        "two registers share a slot",
        ((DYN, "#define ABI_RA			72\n", "#define ABI_RA			64\n"),),
        ("GP516",),
    ),
    Bug(
        "X-f22",
        "7.2",
        "a member is put before ra in the struct that assembly fills by its own numbers",
        (
            (
                HEADER,
                "	unsigned long epc;\n	unsigned long ra;\n",
                "	unsigned long epc;\n	unsigned long flags;\n	unsigned long ra;\n",
            ),
        ),
        ("GP517",),
        first=(
            (MCOUNT, "	REG_S	ra, FREGS_RA(sp)\n", "	REG_S	ra, 8(sp)\n"),
            (MCOUNT, "	REG_L	ra, FREGS_RA(sp)\n", "	REG_L	ra, 8(sp)\n"),
        ),
    ),
    Bug(
        "X-f23",
        "7.2",
        "the sled has one nop less than ftrace writes",
        ((MAKEFILE, FLAGS_7_2, FLAGS_7_2.replace("=8,4", "=6,4").replace("=4,2", "=3,2")),),
        ("GP511", "GP519"),
    ),
]
