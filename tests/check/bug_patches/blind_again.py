# SPDX-License-Identifier: GPL-2.0-or-later
"""A second round of bugs, written when the rules that the first round brought were there, and in other places."""

from __future__ import annotations

from tests.check.bug_patches.blind import ALTERNATIVE, DYN, FTRACE, FTRACE_H, JIT, KPROBES, LABEL, PATCH
from tests.check.bugs import Bug

MCOUNT = "arch/riscv/kernel/mcount.S"
OFFSETS = "arch/riscv/kernel/asm-offsets.c"
FEATURE = "arch/riscv/kernel/cpufeature.c"
RETHOOK_S = "arch/riscv/kernel/probes/rethook_trampoline.S"
UPROBES = "arch/riscv/kernel/probes/uprobes.c"
SIMULATE = "arch/riscv/kernel/probes/simulate-insn.c"
CFI = "arch/riscv/kernel/cfi.c"
SETS = """\
		patch_map(addr + PAGE_SIZE, FIX_TEXT_POKE1);

	waddr = patch_map(addr, FIX_TEXT_POKE0);

	memset("""
DISARM = "	size_t len = GET_INSN_LENGTH(p->opcode);\n\n	patch_text(p->addr, &p->opcode, len);\n"
RETURN_7_2 = "	call	ftrace_return_to_handler\n	mv	a2, a0\n	RESTORE_RET_ABI_STATE\n	jalr	a2\n"
RESTORED = "	.macro restore_all_base_regs\n"
OFFSET_OF = "	s64 upper = (off + (1 << 11)) >> 12;\n	s64 lower = off & 0xfff;\n"
SIMULATED = "	imm = RV_EXTRACT_JTYPE_IMM(opcode);\n\n	instruction_pointer_set(regs, addr + imm);\n"
UNSIGNED = "		val < ((1L << 31) - (1L << 11));\n"

BUGS = [
    Bug(
        "B51",
        "6.12",
        "what sets bytes finds the second page by the end of what is set",
        ((PATCH, SETS, SETS.replace("addr + PAGE_SIZE", "addr + len")),),
        expected=("GP548",),
    ),
    Bug(
        "B52",
        "7.2",
        "the branch of a check by kCFI is looked for one instruction too early",
        ((CFI, "(void *)regs->epc - 4", "(void *)regs->epc - 8"),),
        missed="no rule runs what looks for kCFI's checks; that the file is not judged is said",
    ),
    Bug(
        "B53",
        "7.2",
        "the upper part of an address in a program is cut, not rounded",
        ((JIT, OFFSET_OF, OFFSET_OF.replace("(off + (1 << 11)) >> 12", "off >> 12")),),
        expected=("GP559",),
    ),
    Bug(
        "B54",
        "7.2",
        "a pair is taken to reach as far as 32 bits do",
        ((JIT, UNSIGNED, "		val < (1L << 31);\n"),),
        expected=("GP559",),
    ),
    Bug(
        "B55",
        "7.2",
        "a signed comparison is made the other way round",
        ((JIT, "emit(rv_blt(rs, rd, rvoff >> 1), ctx);", "emit(rv_blt(rd, rs, rvoff >> 1), ctx);"),),
        expected=("GP559",),
    ),
    Bug(
        "B56",
        "6.12",
        "a probe is taken away while others run it",
        ((KPROBES, DISARM, DISARM.replace("patch_text(", "patch_text_nosync(")),),
        expected=("GP536",),
    ),
    Bug(
        "B57",
        "6.1",
        "a jump label that is off holds a compressed nop in half a word",
        ((LABEL, "#define RISCV_INSN_NOP 0x00000013U\n", "#define RISCV_INSN_NOP 0x00000001U\n"),),
        expected=("GP549",),
    ),
    Bug(
        "B58",
        "7.2",
        "harts are told of the tracer's function and not waited for",
        ((FTRACE, "smp_call_function(ftrace_sync_ipi, NULL, 1)", "smp_call_function(ftrace_sync_ipi, NULL, 0)"),),
        expected=("GP541",),
    ),
    Bug(
        "B59",
        "7.2",
        "a stepped instruction is taken to have 4 bytes",
        ((UPROBES, "utask->vaddr + auprobe->insn_size);", "utask->vaddr + 4);"),),
        missed="no rule runs uprobes; that the file is not judged is said",
    ),
    Bug(
        "B60",
        "6.12",
        "ra is loaded again after it was given the address to return to",
        ((RETHOOK_S, RESTORED, f"{RESTORED}	REG_L x1,  PT_RA(sp)\n"),),
        missed="the trampoline of rethook is not followed; that the file is not judged is said",
    ),
    Bug(
        "B61",
        "7.2",
        "the way back of the function graph is kept in a register that is loaded again",
        ((MCOUNT, RETURN_7_2, RETURN_7_2.replace("a2", "a1")),),
        expected=("GP516",),
    ),
    Bug(
        "B62",
        "6.12",
        "alternatives are told the wrong sign of how far they are moved",
        ((FEATURE, "alt->alt_len, oldptr - altptr);", "alt->alt_len, altptr - oldptr);"),),
        expected=("GP550",),
    ),
    Bug(
        "B63",
        "7.2",
        "the offset of one member of ftrace_ops is that of another",
        ((OFFSETS, "offsetof(struct ftrace_ops, direct_call));", "offsetof(struct ftrace_ops, func));"),),
        expected=("GP517",),
    ),
    Bug(
        "B64",
        "6.12",
        "a direct call is put where the caller's address is",
        ((FTRACE_H, "	arch_ftrace_regs(fregs)->t1 = addr;\n", "	arch_ftrace_regs(fregs)->ra = addr;\n"),),
        expected=("GP560",),
    ),
    Bug(
        "B65",
        "7.2",
        "the function graph changes where the traced function goes on, not where it returns",
        (
            (
                FTRACE,
                "	unsigned long *parent = &arch_ftrace_regs(fregs)->ra;\n",
                "	unsigned long *parent = &arch_ftrace_regs(fregs)->epc;\n",
            ),
        ),
        expected=("GP560",),
    ),
    Bug(
        "B66",
        "7.2",
        "a simulated jump counts from the next instruction",
        ((SIMULATE, SIMULATED, SIMULATED.replace("addr + imm", "addr + 4 + imm")),),
        missed="no rule runs what simulates instructions; that the file is not judged is said",
    ),
    Bug(
        "B67",
        "7.2",
        "the jalr of a call in an alternative is looked for at the same place as its auipc",
        (
            (
                ALTERNATIVE,
                "riscv_instruction_at(alt_ptr + (i + 1) * sizeof(u32))",
                "riscv_instruction_at(alt_ptr + i * sizeof(u32))",
            ),
        ),
        expected=("GP550",),
    ),
    Bug(
        "B68",
        "6.12",
        "the direct call is cleared behind the frame, where nothing clears it before",
        ((DYN, "	mv	t1, zero\n	SAVE_ABI_REGS\n", "	SAVE_ABI_REGS\n	mv	t1, zero\n"),),
        expected=("GP516",),
    ),
]
