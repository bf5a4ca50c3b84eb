# SPDX-License-Identifier: GPL-2.0-or-later
"""Slips of the hand in what patches sites: a test turned round, a write left out, an argument for another."""

from __future__ import annotations

from tests.check.bugs import Bug

FTRACE = "arch/riscv/kernel/ftrace.c"
DYN = "arch/riscv/kernel/mcount-dyn.S"
JIT = "arch/riscv/net/bpf_jit_comp64.c"

LATE_7_2 = (
    "	RESTORE_ABI_REGS\n#ifdef CONFIG_DYNAMIC_FTRACE_WITH_DIRECT_CALLS\n	bnez	t1, ftrace_caller_direct\n"
)
EARLY_7_2 = "	REG_L	t1, FTRACE_OPS_DIRECT_CALL(t1)\n	bnez	t1, ftrace_caller_direct\n"
LATE_6_12 = "	RESTORE_ABI_REGS\n	bnez	t1, .Ldirect\n"
REACH = "	if (distance > JALR_RANGE)\n"
NO_OPS = "	if (!ops)\n		ops = &ftrace_list_ops;\n\n"
CALLER = "	unsigned long caller = rec->ip - MCOUNT_AUIPC_SIZE;\n	int ret;\n\n"
UPDATE = "	ret = ftrace_rec_update_ops(rec);\n	if (ret)\n		return ret;\n\n"
OPS_TAKEN = "	unsigned long distance, orig_addr, pc = rec->ip - MCOUNT_AUIPC_SIZE;\n	int ret;\n\n"
IP_6_12 = "	.macro PREPARE_ARGS\n	addi	a0, t0"
PARENT_6_12 = "	mv	a1, ra\n	mv	a3, sp\n	.endm"
IP_7_2 = "	addi	a0, t0, -MCOUNT_JALR_SIZE"
OPS_LOADED = "	REG_L   a2, -16(t0)			// op\n"
OLD_THERE = "	if (memcmp(ip, old_insns, RV_FENTRY_NBYTES))\n		return -EFAULT;\n\n"
NEW_TYPE = "	is_call = new_t == BPF_MOD_CALL;\n"

BUGS = [
    Bug(
        "X40",
        "7.2",
        "the branch to a direct call behind the tracers is turned round",
        ((DYN, LATE_7_2, LATE_7_2.replace("bnez", "beqz")),),
        ("GP516",),
    ),
    Bug(
        "X40-early",
        "7.2",
        "the branch to a direct call before the tracers is turned round",
        ((DYN, EARLY_7_2, EARLY_7_2.replace("bnez	t1", "beq	t1, zero")),),
        ("GP516",),
    ),
    Bug(
        "X40",
        "6.12",
        "the branch to a direct call is turned round",
        ((DYN, LATE_6_12, LATE_6_12.replace("bnez", "beqz")),),
        ("GP516",),
    ),
    Bug("X41", "7.2", "the test of the reach is turned round", ((FTRACE, REACH, REACH.replace(">", "<")),), ("GP546",)),
    Bug("X42", "7.2", "no ops are left for functions of several", ((FTRACE, NO_OPS, ""),), ("GP546",)),
    Bug(
        "X43",
        "7.2",
        "ftrace_modify_call() no longer writes the ops",
        ((FTRACE, CALLER + UPDATE, CALLER),),
        ("GP546",),
    ),
    Bug(
        "X43-make",
        "7.2",
        "ftrace_make_call() no longer writes the ops",
        ((FTRACE, OPS_TAKEN + UPDATE, OPS_TAKEN),),
        ("GP546",),
    ),
    Bug(
        "X44",
        "6.12",
        "the function and its caller are taken for each other",
        ((DYN, IP_6_12, IP_6_12.replace("a0", "a1")), (DYN, PARENT_6_12, PARENT_6_12.replace("a1", "a0"))),
        ("GP545",),
    ),
    Bug(
        "X44",
        "7.2",
        "the function and its caller are taken for each other",
        (
            (DYN, IP_7_2, IP_7_2.replace("a0", "a1")),
            (DYN, "	mv 	a1, ra	", "	mv 	a0, ra	"),
            (DYN, "	mv	a1, ra	", "	mv	a0, ra	"),
        ),
        ("GP545",),
    ),
    Bug(
        "X45",
        "7.2",
        "the new instruction is made with the old one's type",
        ((JIT, NEW_TYPE, NEW_TYPE.replace("new_t", "old_t")),),
        ("GP547",),
    ),
    Bug("X45-kept", "7.2", "the type is not asked for again", ((JIT, NEW_TYPE, ""),), ("GP547",)),
    Bug("X46", "6.12", "a poke writes over whatever stands there", ((JIT, OLD_THERE, ""),), ("GP547",)),
    Bug("X46", "7.2", "a poke writes over whatever stands there", ((JIT, OLD_THERE, ""),), ("GP547",)),
]
