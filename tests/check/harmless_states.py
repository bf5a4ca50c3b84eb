# SPDX-License-Identifier: GPL-2.0-or-later
"""Harmless patches next to those of bug_patches/states.py: the same places, said in another way."""

from __future__ import annotations

from tests.check.bug_patches.states import (
    DYN,
    EARLY_7_2,
    FTRACE,
    JIT,
    LATE_6_12,
    LATE_7_2,
    NEW_TYPE,
    NO_OPS,
    OLD_THERE,
    OPS_TAKEN,
    PARENT_6_12,
    REACH,
    UPDATE,
)
from tests.check.bugs import Bug

BACK_7_2 = f"{LATE_7_2}#endif\n	jr	t0\n"
TURNED_7_2 = (
    "	RESTORE_ABI_REGS\n#ifdef CONFIG_DYNAMIC_FTRACE_WITH_DIRECT_CALLS\n"
    "	beqz	t1, 1f\n	jr	t1\n1:\n#endif\n	jr	t0\n"
)
BACK_6_12 = f"{LATE_6_12}	jr	t0\n.Ldirect:\n	jr	t1\n"
TURNED_6_12 = "	RESTORE_ABI_REGS\n	beq	t1, zero, .Lback\n	jr	t1\n.Lback:\n	jr	t0\n"
DISTANCE = "	distance = addr > orig_addr ? addr - orig_addr : orig_addr - addr;\n"
UPDATES = "	return ftrace_rec_set_ops(rec, riscv64_rec_get_ops(rec));\n"
ASSIGNED = "	const struct ftrace_ops *ops = riscv64_rec_get_ops(rec);\n\n	return ftrace_rec_set_ops(rec, ops);\n"
SAME = "	int same = !memcmp(ip, old_insns, RV_FENTRY_NBYTES);\n\n	if (!same)\n		return -EFAULT;\n\n"

HARMLESS = [
    Bug("H-s01", "7.2", "the branch to a direct call jumps over it", ((DYN, BACK_7_2, TURNED_7_2),)),
    Bug("H-s01", "6.12", "the branch to a direct call jumps over it", ((DYN, BACK_6_12, TURNED_6_12),)),
    Bug("H-s02", "7.2", "bne for bnez", ((DYN, EARLY_7_2, EARLY_7_2.replace("bnez	t1", "bne	t1, zero")),)),
    Bug("H-s03", "7.2", "the reach ends a byte earlier", ((FTRACE, REACH, REACH.replace(">", ">=")),)),
    Bug(
        "H-s04",
        "7.2",
        "the distance in other words",
        ((FTRACE, DISTANCE, DISTANCE.replace("addr > orig_addr", "addr >= orig_addr")),),
    ),
    Bug("H-s05", "7.2", "NULL for !", ((FTRACE, NO_OPS, NO_OPS.replace("!ops", "ops == NULL")),)),
    Bug("H-s06", "7.2", "the ops by a variable", ((FTRACE, UPDATES, ASSIGNED),)),
    Bug(
        "H-s07",
        "7.2",
        "the ops in the test",
        (
            (
                FTRACE,
                OPS_TAKEN + UPDATE,
                f"{OPS_TAKEN}	if ((ret = ftrace_rec_update_ops(rec)))\n		return ret;\n\n",
            ),
        ),
    ),
    Bug("H-s08", "6.12", "add for mv", ((DYN, PARENT_6_12, PARENT_6_12.replace("mv	a1, ra", "addi	a1, ra, 0")),)),
    Bug("H-s09", "7.2", "the type by a choice", ((JIT, NEW_TYPE, NEW_TYPE.replace("CALL;", "CALL ? true : false;")),)),
    Bug("H-s10", "7.2", "whether the old ones are there, by name", ((JIT, OLD_THERE, SAME),)),
    Bug("H-s10", "6.12", "whether the old ones are there, by name", ((JIT, OLD_THERE, SAME),)),
]
