# SPDX-License-Identifier: GPL-2.0-or-later
"""Bugs of the BPF JIT's trampolines and of what patches BPF programs."""

from __future__ import annotations

from tests.check.bugs import Bug

JIT = "arch/riscv/net/bpf_jit_comp64.c"
SKIP = "		orig_call += RV_FENTRY_NINSNS * 4;\n"
SKIP_TEXT = "		/* skip to actual body of traced function */\n"
BEFORE_FENTRY = "	if (fentry->nr_nodes) {\n"
WITH_IM = "ctx->insns ? (const s64)im : RV_MAX_COUNT_IMM, ctx);\n		ret = emit_call((const u64)__bpf_tramp_enter"
BARE_IM = "(const s64)im, ctx);\n		ret = emit_call((const u64)__bpf_tramp_enter"
WRONG_FLAG = f"	if (flags & BPF_TRAMP_F_ORIG_STACK)\n{SKIP}\n"
OPS = "bool is_struct_ops = flags & BPF_TRAMP_F_INDIRECT;"
DIRECT = (
    "		 * the frame of trampoline.\n		 */\n		emit_addi(RV_REG_SP, RV_REG_SP, -stack_size, ctx);\n"
)
RA_SLOT = "		emit_sd(RV_REG_SP, stack_size - 8, RV_REG_RA, ctx);\n"
TO_PARENT = "			emit_jalr(RV_REG_ZERO, RV_REG_RA, 0, ctx);\n		else\n"
TO_TRACED = "			emit_jalr(RV_REG_ZERO, RV_REG_T0, 0, ctx);\n	} else {\n"
SREG = "	stack_size += 8;\n	sreg_off = stack_size;\n"
NOPS = "		emit(rv_nop(), &ctx);\n		emit(rv_nop(), &ctx);\n		return 0;\n"
LINK = "emit_jump_and_link(is_call ? RV_REG_T0 : RV_REG_ZERO, rvoff, false, &ctx)"
SLED = "	/* nops reserved for auipc+jalr pair */\n	for (i = 0;"
WRITE_ONE = "	ret = patch_text(nop, &new_insn, sizeof(new_insn));\n"
WRITE_TWO = """\
	u32 call[2] = { rv_auipc(RV_REG_T1, 0), rv_jalr(RV_REG_ZERO, RV_REG_T1, 0) };

	ret = patch_text(nop, call, sizeof(call));
"""
ARENA = "	if (ctx->arena_vm_start) {\n		emit_ld(RV_REG_ARENA, store_offset, RV_REG_SP, ctx);\n"

BUGS = [
    Bug(
        "L04", "6.12", "the JIT goes on with the old sled of 16 bytes", ((JIT, "NINSNS 2\n", "NINSNS 4\n"),), ("GP511",)
    ),
    Bug(
        "L04", "7.2", "the JIT goes on with the old sled of 16 bytes", ((JIT, "NINSNS 2\n", "NINSNS 4\n"),), ("GP511",)
    ),
    Bug(
        "L04-return",
        "6.12",
        "the trampoline returns to the traced function by ra, not by the register of ftrace's call",
        ((JIT, TO_TRACED, TO_TRACED.replace("T0", "RA")),),
        ("GP531",),
    ),
    Bug(
        "P01",
        "6.12",
        "the call of the original skips the sled only under BPF_TRAMP_F_ORIG_STACK",
        (
            (
                JIT,
                f"	if (flags & BPF_TRAMP_F_SKIP_FRAME)\n{SKIP}",
                f"	if (flags & BPF_TRAMP_F_ORIG_STACK)\n{SKIP}",
            ),
        ),
        ("GP530",),
    ),
    Bug(
        "P01",
        "7.2",
        "the call of the original skips the sled only under BPF_TRAMP_F_ORIG_STACK",
        ((JIT, SKIP_TEXT + SKIP, ""), (JIT, BEFORE_FENTRY, WRONG_FLAG + BEFORE_FENTRY)),
        ("GP530",),
    ),
    Bug(
        "P01-count",
        "7.2",
        "the call of the original skips as many bytes as the sled has instructions",
        ((JIT, SKIP, "		orig_call += RV_FENTRY_NINSNS;\n"),),
        ("GP530",),
    ),
    Bug(
        "P02",
        "6.12",
        "struct_ops trampolines are made as for a function's entry",
        ((JIT, OPS, "bool is_struct_ops = false;"),),
        ("GP531",),
    ),
    Bug(
        "P02",
        "7.2",
        "struct_ops trampolines are made as for a function's entry",
        ((JIT, OPS, "bool is_struct_ops = false;"),),
        ("GP531",),
    ),
    Bug(
        "P02-slot",
        "7.2",
        "a trampoline that is called directly saves the register of ftrace's call, not ra",
        ((JIT, DIRECT + RA_SLOT, DIRECT + RA_SLOT.replace("RV_REG_RA", "RV_REG_T0")),),
        ("GP531",),
    ),
    Bug(
        "P03",
        "6.12",
        "the image's address is loaded in as few instructions as it takes",
        ((JIT, WITH_IM, BARE_IM),),
        ("GP532",),
    ),
    Bug(
        "P03",
        "7.2",
        "the image's address is loaded in as few instructions as it takes",
        ((JIT, WITH_IM, BARE_IM),),
        ("GP532",),
    ),
    Bug(
        "P03-call",
        "7.2",
        "a dry run counts one instruction for a call",
        ((JIT, "	if (rvoff && fixed_addr && is_21b_int(rvoff)) {", "	if (fixed_addr && is_21b_int(rvoff)) {"),),
        ("GP532",),
    ),
    Bug(
        "C15",
        "7.2",
        "a nop in running trampolines becomes two instructions",
        ((JIT, WRITE_ONE, WRITE_TWO),),
        ("GP535",),
    ),
    Bug(
        "C15",
        "6.12",
        "programs begin with four instructions that are patched as one",
        ((JIT, "NINSNS 2\n", "NINSNS 4\n"),),
        ("GP535",),
    ),
    Bug(
        "X01",
        "7.2",
        "the old instructions are compared by their number, not their bytes",
        ((JIT, "memcmp(ip, old_insns, RV_FENTRY_NBYTES)", "memcmp(ip, old_insns, RV_FENTRY_NINSNS)"),),
        ("GP534",),
    ),
    Bug(
        "X02",
        "6.12",
        "patch_text() is given the number of instructions, not their bytes",
        ((JIT, "patch_text(ip, new_insns, RV_FENTRY_NBYTES)", "patch_text(ip, new_insns, RV_FENTRY_NINSNS)"),),
        ("GP534",),
    ),
    Bug("X03", "7.2", "no room is made for the slot of s1", ((JIT, SREG, "	sreg_off = stack_size;\n"),), ("GP531",)),
    Bug(
        "X04",
        "7.2",
        "a trampoline that called the original returns into it",
        ((JIT, TO_PARENT, TO_PARENT.replace("RA", "T0")),),
        ("GP531",),
    ),
    Bug(
        "X05",
        "6.12",
        "tail calls no longer skip the counter's initialization",
        ((JIT, "(RV_KCFI_NINSNS + RV_FENTRY_NINSNS + 1) * 4", "(RV_KCFI_NINSNS + RV_FENTRY_NINSNS) * 4"),),
        ("GP533",),
    ),
    Bug(
        "X05",
        "6.1",
        "tail calls jump to the counter's initialization",
        ((JIT, "is_tail_call ? 4 : 0", "is_tail_call ? 0 : 0"),),
        ("GP533",),
    ),
    Bug(
        "X06",
        "7.2",
        "programs begin with one more instruction",
        ((JIT, SLED, f"	emit(rv_nop(), ctx);\n{SLED}"),),
        ("GP533",),
    ),
    Bug(
        "X07",
        "7.2",
        "one nop stands for a call that is taken away",
        ((JIT, NOPS, NOPS.replace("		emit(rv_nop(), &ctx);\n", "", 1)),),
        ("GP534",),
    ),
    Bug("X08", "7.2", "programs call trampolines by ra", ((JIT, LINK, LINK.replace("T0", "RA")),), ("GP531",)),
    Bug(
        "X09",
        "7.2",
        "a call of a near target is one instruction where two are written",
        ((JIT, LINK, LINK.replace("false", "true")),),
        ("GP534",),
    ),
    Bug(
        "X10",
        "6.12",
        "s1 is not restored",
        ((JIT, "	emit_ld(RV_REG_S1, -sreg_off, RV_REG_FP, ctx);\n", ""),),
        ("GP531",),
    ),
    Bug(
        "X11",
        "7.2",
        "the trampoline's frame is no multiple of 16 bytes",
        ((JIT, "	stack_size = round_up(stack_size, STACK_ALIGN);\n\n	/* room", "	/* room"),),
        ("GP531",),
    ),
    Bug(
        "X12",
        "7.2",
        "arguments on the stack are read 8 bytes too low",
        ((JIT, "16 + (i - RV_MAX_REG_ARGS) * 8", "8 + (i - RV_MAX_REG_ARGS) * 8"),),
        ("GP531",),
    ),
    Bug(
        "X13",
        "7.2",
        "a program's epilogue does not count the slot of the arena's register",
        ((JIT, f"{ARENA}		store_offset -= 8;\n", ARENA.replace("store_offset", "store_offset - 8")),),
        ("GP533",),
    ),
]
