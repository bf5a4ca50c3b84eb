# SPDX-License-Identifier: GPL-2.0-or-later
"""Patches in which nothing may be found: what people do to the files where the bugs are."""

from __future__ import annotations

from tests.check.bugs import Bug, Swap

JIT = "arch/riscv/net/bpf_jit_comp64.c"
JIT_H = "arch/riscv/net/bpf_jit.h"
CORE = "arch/riscv/net/bpf_jit_core.c"
FTRACE = "arch/riscv/kernel/ftrace.c"
FTRACE_H = "arch/riscv/include/asm/ftrace.h"
PATCH = "arch/riscv/kernel/patch.c"
KCONFIG = "arch/riscv/Kconfig"
LABEL = "arch/riscv/kernel/jump_label.c"
LABEL_H = "arch/riscv/include/asm/jump_label.h"
KPROBES = "arch/riscv/kernel/probes/kprobes.c"
FEATURE = "arch/riscv/kernel/cpufeature.c"
MCOUNT = "arch/riscv/kernel/mcount.S"
SLED = "#define RV_FENTRY_NINSNS 2\n#define RV_FENTRY_NBYTES (RV_FENTRY_NINSNS * 4)\n"
LOCK = "	mutex_lock(&text_mutex);\n"
UNLOCK = "	mutex_unlock(&text_mutex);\n"
LAST = "	if (atomic_inc_return(&patch->cpu_count) == num_online_cpus()) {\n"
MIRRORED = "	if (num_online_cpus() == atomic_inc_return(&patch->cpu_count)) {\n"
MAKE_NOP = "	out = ftrace_make_nop(mod, rec, MCOUNT_ADDR);\n"
GUARDED = "	guard(mutex)(&text_mutex);\n	out = ftrace_make_nop(mod, rec, MCOUNT_ADDR);\n"
EARLY_OUT = """\
	if (WARN_ON(!rec->ip))
		return -EINVAL;

	mutex_lock(&text_mutex);
"""
TO_OUT = f'{MAKE_NOP}	if (out)\n		goto unlock;\n	pr_debug("nops");\nunlock:\n'
POKED = """\
	cpus_read_lock();
	mutex_lock(&text_mutex);
	if (memcmp(ip, new_insns, RV_FENTRY_NBYTES))
		ret = patch_text(ip, new_insns, RV_FENTRY_NBYTES);
	mutex_unlock(&text_mutex);
	cpus_read_unlock();

	return ret;
}
"""
HELPED = "	return poke_unless_there(ip, new_insns);\n}\n"
HELPER = """\
/* Write a sled while other processors wait, unless it is there. */
static int poke_unless_there(void *ip, u32 *insns)
{
	int ret = 0;

	cpus_read_lock();
	mutex_lock(&text_mutex);
	if (memcmp(ip, insns, RV_FENTRY_NBYTES))
		ret = patch_text(ip, insns, RV_FENTRY_NBYTES);
	mutex_unlock(&text_mutex);
	cpus_read_unlock();

	return ret;
}

int bpf_arch_text_poke("""
FRAME_6_12 = """\
		emit_addi(RV_REG_SP, RV_REG_SP, -16, ctx);
		emit_sd(RV_REG_SP, 8, RV_REG_RA, ctx);
		emit_sd(RV_REG_SP, 0, RV_REG_FP, ctx);
		emit_addi(RV_REG_FP, RV_REG_SP, 16, ctx);

"""
FRAME_HELPER = """\
static void emit_parent_frame(struct rv_jit_context *ctx)
{
	emit_addi(RV_REG_SP, RV_REG_SP, -16, ctx);
	emit_sd(RV_REG_SP, 8, RV_REG_RA, ctx);
	emit_sd(RV_REG_SP, 0, RV_REG_FP, ctx);
	emit_addi(RV_REG_FP, RV_REG_SP, 16, ctx);
}

static int __arch_prepare_bpf_trampoline("""
ORIG_6_12 = """\
	/* skip to actual body of traced function */
	if (flags & BPF_TRAMP_F_SKIP_FRAME)
		orig_call += RV_FENTRY_NINSNS * 4;

"""
ORIG_CALLED = (
    "		restore_args(min_t(int, nr_arg_slots, RV_MAX_REG_ARGS), args_off, ctx);\n		restore_stack_args("
)
SLOT = "	stack_size += 8;\n	sreg_off = stack_size;\n"
TWO_SLOTS = "	stack_size += 16;\n	sreg_off = stack_size;\n"
WRITER = "	ret = copy_to_kernel_nofault(waddr, insn, len);\n"
TRACED_WRITER = '	pr_debug("%zu bytes at %p\\n", len, addr);\n' + WRITER
FLUSHED = """\
	if (!ret)
		flush_icache_range((uintptr_t)addr, (uintptr_t)addr + len);

	return ret;
}
NOKPROBE_SYMBOL(patch_text_nosync);
"""
FLUSHED_OTHERWISE = """\
	if (ret)
		return ret;

	flush_icache_range((uintptr_t)addr, (uintptr_t)addr + len);

	return 0;
}
NOKPROBE_SYMBOL(patch_text_nosync);
"""
ARM = "	u32 insn = len == 4 ? __BUG_INSN_32 : __BUG_INSN_16;\n"
ARMED_OTHERWISE = "	u32 insn = len == 2 ? __BUG_INSN_16 : __BUG_INSN_32;\n"
BRANCH = """\
		"	.align		2			\\n\\t"
		"	.option push				\\n\\t"
		"	.option norelax				\\n\\t"
		"	.option norvc				\\n\\t"
		"1:	nop					\\n\\t"
"""
BRANCH_MACRO = '		STATIC_BRANCH_WORD\n		"1:	nop					\\n\\t"\n'
BRANCH_DEFINED = """\
#define STATIC_BRANCH_WORD		\\
	"	.balign	4	\\n\\t"	\\
	"	.option push	\\n\\t"	\\
	"	.option norelax	\\n\\t"	\\
	"	.option norvc	\\n\\t"

static __always_inline bool arch_static_branch(struct static_key * const key,
"""
ONE_BRANCH = "static __always_inline bool arch_static_branch(struct static_key * const key,\n"
OPTION = """\
config RISCV_TEXT_STATISTICS
	bool "Count what is patched"
	help
	  Count how often text is patched. If unsure, say N.

config RISCV
	def_bool y
"""  # noqa: E101
ALONE = """\
	if (early_boot_irqs_disabled) {
		riscv_patch_in_stop_machine = 1;
		patch_insn_write(addr, &insn, sizeof(insn));
		riscv_patch_in_stop_machine = 0;
		return true;
	}

	mutex_lock(&text_mutex);
"""
STATE = "	int ret;\n	struct patch_insn patch = {\n"
NAMED = "	struct patch_insn patch = {\n"
OLD_KPROBE = "	unsigned long offset = GET_INSN_LENGTH(p->opcode);\n"
NO_SYNC = """\
	u32 ebreak = __BUG_INSN_32;

	patch_text_nosync(p->ainsn.api.insn, &p->opcode, offset);
	patch_text_nosync((void *)p->ainsn.api.insn + offset, &ebreak, GET_INSN_LENGTH(ebreak));
}
"""
SYNC = """\
	patch_text(p->ainsn.api.insn, p->opcode);
	patch_text((void *)((unsigned long)(p->ainsn.api.insn) + offset),
		   __BUG_INSN_32);
}
"""  # noqa: E101
FLUSH_6_1 = """\
	ret = patch_insn_write(tp, insns, len);

	if (!ret)
		flush_icache_range((uintptr_t) tp, (uintptr_t) tp + len);

	return ret;
"""
FLUSH_TP = """\
	ret = patch_insn_write(addr, insns, len);
	if (ret)
		return ret;

	flush_icache_range((uintptr_t)addr, (uintptr_t)addr + len);

	return 0;
"""
UPDATE_6_1 = """\
	int ret = __ftrace_modify_call((unsigned long)&ftrace_call,
				       (unsigned long)func, true, true);
	if (!ret) {
		ret = __ftrace_modify_call((unsigned long)&ftrace_regs_call,
					   (unsigned long)func, true, true);
	}

	return ret;
"""  # noqa: E101
UPDATE_SHORT = """\
	return __ftrace_modify_call((unsigned long)&ftrace_call, (unsigned long)func, true, true) ?:
	       __ftrace_modify_call((unsigned long)&ftrace_regs_call, (unsigned long)func, true, true);
"""  # noqa: E101
ALTERNATIVE = """\
		mutex_lock(&text_mutex);
		patch_text_nosync(oldptr, altptr, alt->alt_len);
		riscv_alternative_fix_offsets(oldptr, alt->alt_len, oldptr - altptr);
		mutex_unlock(&text_mutex);
"""
SCOPED = """\
		scoped_guard(mutex, &text_mutex) {
			patch_text_nosync(oldptr, altptr, alt->alt_len);
			riscv_alternative_fix_offsets(oldptr, alt->alt_len, oldptr - altptr);
		}
"""
CALLS_ORIGINAL = "	if (flags & BPF_TRAMP_F_CALL_ORIG) {\n		/* skip to actual body of traced function */\n"
IS_CALLED = "	bool save_ret;\n	u64 func_meta;\n"
WAIT = "		while (atomic_read(&patch->cpu_count) <= num_online_cpus())\n"
TAIL_COUNT = "is_tail_call ? (RV_FENTRY_NINSNS + 1) * 4 : 0,"
RELEASE = "		atomic_inc_return_release(&patch->cpu_count);\n"
SREG_STORE = (
    "	/* callee saved register S1 to pass start time */\n	emit_sd(RV_REG_FP, -sreg_off, RV_REG_S1, ctx);\n"
)
HIGH = "	if (rvoff && fixed_addr && is_21b_int(rvoff)) {\n"
UPDATE_7_2 = "	command |= FTRACE_MAY_SLEEP;\n	ftrace_modify_all_code(command);\n	flush_icache_all();\n"
FLUSHER = (
    "static void flush_all_of_it(void)\n{\n	flush_icache_all();\n}\n\nvoid arch_ftrace_update_code(int command)\n"
)


def _all(path: str, old: str, new: str) -> tuple[Swap, ...]:
    return ((path, old, new),)


HARMLESS = [
    # 6.1
    Bug(
        "H01",
        "6.1",
        "a header is included",
        ((FTRACE, "#include <linux/memory.h>\n", "#include <linux/memory.h>\n#include <linux/mm.h>\n"),),
    ),
    Bug("H02", "6.1", "hook_pos is called site", (), every=_all(FTRACE, "hook_pos", "site")),
    Bug("H03", "6.1", "two calls become one expression", ((FTRACE, UPDATE_6_1, UPDATE_SHORT),)),
    Bug("H04", "6.1", "ftrace_init_nop() takes the mutex by a guard", ((FTRACE, LOCK + MAKE_NOP + UNLOCK, GUARDED),)),
    Bug("H05", "6.1", "what is compared stands on the other side", ((PATCH, LAST, MIRRORED),)),
    Bug(
        "H06",
        "6.1",
        "patch_text_nosync() returns early and writes without its second variable",
        ((PATCH, FLUSH_6_1, FLUSH_TP), (PATCH, "	u32 *tp = addr;\n", "")),
    ),
    Bug(
        "H07",
        "6.1",
        "a probe's slot, which nothing runs yet, is written without stopping others",
        ((KPROBES, SYNC, NO_SYNC),),
    ),
    Bug("H08", "6.1", "a comment is corrected", ((KPROBES, " * reenabled until", " * enabled again until"),)),
    Bug("H09", "6.1", "a configuration option is added", ((KCONFIG, "config RISCV\n	def_bool y\n", OPTION),)),
    Bug(
        "H10",
        "6.1",
        "the words before a jump label's instruction become a macro",
        ((LABEL_H, BRANCH, BRANCH_MACRO), (LABEL_H, ONE_BRANCH, BRANCH_DEFINED)),
    ),
    Bug("H11", "6.1", "a jump label's instruction is called word", (), every=_all(LABEL, "insn", "word")),
    Bug("H12", "6.1", "what writes text says so", ((PATCH, WRITER, TRACED_WRITER),)),
    Bug(
        "H13",
        "6.1",
        "the counter of tail calls has a name",
        (
            (JIT, "is_tail_call ? 4 : 0, /* skip TCC init */", "is_tail_call ? RV_TCC_NBYTES : 0,"),
            (JIT, "#define RV_REG_TCC RV_REG_A6\n", "#define RV_REG_TCC RV_REG_A6\n#define RV_TCC_NBYTES 4\n"),
        ),
    ),
    # 6.12
    Bug(
        "H01",
        "6.12",
        "a header is included",
        ((PATCH, "#include <linux/memory.h>\n", "#include <linux/memory.h>\n#include <linux/slab.h>\n"),),
    ),
    Bug("H02", "6.12", "hook_pos is called site", (), every=_all(FTRACE, "hook_pos", "site")),
    Bug("H03", "6.12", "ftrace_init_nop() takes the mutex by a guard", ((FTRACE, LOCK + MAKE_NOP + UNLOCK, GUARDED),)),
    Bug(
        "H04",
        "6.12",
        "ftrace_init_nop() returns before it takes the mutex",
        ((FTRACE, f"{LOCK}{MAKE_NOP}", f"{EARLY_OUT}{MAKE_NOP}"),),
    ),
    Bug("H05", "6.12", "ftrace_init_nop() leaves by a label that gives the mutex back", ((FTRACE, MAKE_NOP, TO_OUT),)),
    Bug("H06", "6.12", "alternatives take the mutex by a scope", ((FEATURE, ALTERNATIVE, SCOPED),)),
    Bug(
        "H07",
        "6.12",
        "bpf_arch_text_poke() writes in a function of its own",
        ((JIT, POKED, HELPED), (JIT, "int bpf_arch_text_poke(", HELPER)),
    ),
    Bug(
        "H08",
        "6.12",
        "the parent's frame is set up in a function of its own",
        (
            (JIT, FRAME_6_12, "		emit_parent_frame(ctx);\n\n"),
            (JIT, "static int __arch_prepare_bpf_trampoline(", FRAME_HELPER),
        ),
    ),
    Bug(
        "H09",
        "6.12",
        "the original's address is moved where it is called",
        ((JIT, ORIG_6_12, ""), (JIT, ORIG_CALLED, f"		orig_call += RV_FENTRY_NBYTES;\n{ORIG_CALLED}")),
    ),
    Bug("H10", "6.12", "nregs_off is called func_meta_off", (), every=_all(JIT, "nregs_off", "func_meta_off")),
    Bug("H11", "6.12", "the slot of s1 gets a spare one beside it", ((JIT, SLOT, TWO_SLOTS),)),
    Bug(
        "H12",
        "6.12",
        "the words before a jump label's instruction become a macro",
        ((LABEL_H, BRANCH, BRANCH_MACRO), (LABEL_H, ONE_BRANCH, BRANCH_DEFINED)),
    ),
    Bug(
        "H13", "6.12", "jump labels are written without the mutex while there is one processor", ((LABEL, LOCK, ALONE),)
    ),
    Bug("H14", "6.12", "the shorter breakpoint is asked for first", ((KPROBES, ARM, ARMED_OTHERWISE),)),
    Bug("H15", "6.12", "patch_text_nosync() returns early", ((PATCH, FLUSHED, FLUSHED_OTHERWISE),)),
    Bug(
        "H16",
        "6.12",
        "the number of instructions in a sled is computed",
        ((JIT, "#define RV_FENTRY_NINSNS 2\n", "#define RV_FENTRY_NINSNS (1 + 1)\n"),),
    ),
    Bug(
        "H17",
        "6.12",
        "a jump is tested for as far as it reaches without its first question",
        ((JIT, HIGH, "	if (fixed_addr && rvoff && is_21b_int(rvoff)) {\n"),),
    ),
    # 7.2
    Bug(
        "H01",
        "7.2",
        "a header is included",
        ((FTRACE, "#include <linux/memory.h>\n", "#include <linux/memory.h>\n#include <linux/mm.h>\n"),),
    ),
    Bug("H02", "7.2", "orig_addr is called caller", (), every=_all(FTRACE, "orig_addr", "caller")),
    Bug(
        "H03",
        "7.2",
        "the flush of ftrace goes to a function of its own",
        (
            (FTRACE, UPDATE_7_2, UPDATE_7_2.replace("flush_icache_all", "flush_all_of_it")),
            (FTRACE, "void arch_ftrace_update_code(int command)\n", FLUSHER),
        ),
    ),
    Bug("H04", "7.2", "stack_size is called frame_size", (), every=_all(JIT, "stack_size", "frame_size")),
    Bug(
        "H05",
        "7.2",
        "bpf_arch_text_poke() writes in a function of its own",
        ((JIT, POKED, HELPED), (JIT, "int bpf_arch_text_poke(", HELPER)),
    ),
    Bug(
        "H06",
        "7.2",
        "whether the original is called gets a name",
        (
            (JIT, CALLS_ORIGINAL, CALLS_ORIGINAL.replace("flags & BPF_TRAMP_F_CALL_ORIG", "calls_orig")),
            (JIT, IS_CALLED, f"	bool calls_orig = flags & BPF_TRAMP_F_CALL_ORIG;\n{IS_CALLED}"),
        ),
    ),
    Bug(
        "H07",
        "7.2",
        "s1 is saved by the name of its slot",
        (
            (
                JIT,
                SREG_STORE,
                f"	/* the time at which a program starts is kept in s1 */\n{SREG_STORE.splitlines(True)[1]}",
            ),
        ),
    ),
    Bug(
        "H08",
        "7.2",
        "the sled's length is taken in bytes",
        ((JIT, TAIL_COUNT, "is_tail_call ? RV_FENTRY_NBYTES + 4 : 0,"),),
    ),
    Bug(
        "H09",
        "7.2",
        "processors that wait look at the counter from the other side",
        ((PATCH, WAIT, "		while (num_online_cpus() >= atomic_read(&patch->cpu_count))\n"),),
    ),
    Bug(
        "H10",
        "7.2",
        "the counter is released by a store",
        ((PATCH, RELEASE, "		smp_mb__before_atomic();\n		atomic_inc(&patch->cpu_count);\n"),),
    ),
    Bug(
        "H11",
        "7.2",
        "declarations of patch_text() change places",
        (
            (PATCH, STATE, NAMED),
            (
                PATCH,
                "		.cpu_count = ATOMIC_INIT(0),\n	};\n",
                "		.cpu_count = ATOMIC_INIT(0),\n	};\n	int ret;\n",
            ),
        ),
    ),
    Bug("H12", "7.2", "the shorter breakpoint is asked for first", ((KPROBES, ARM, ARMED_OTHERWISE),)),
    Bug("H13", "7.2", "a configuration option is added", ((KCONFIG, "config RISCV\n	def_bool y\n", OPTION),)),
    Bug("H14", "7.2", "patch_text_nosync() returns early", ((PATCH, FLUSHED, FLUSHED_OTHERWISE),)),
    Bug(
        "H15",
        "7.2",
        "bpf_arch_text_copy() takes the mutex by a guard",
        (
            (
                CORE,
                f"{LOCK}	ret = patch_text_nosync(dst, src, len);\n{UNLOCK}",
                "	guard(mutex)(&text_mutex);\n	ret = patch_text_nosync(dst, src, len);\n",
            ),
        ),
    ),
    Bug(
        "H17",
        "7.2",
        "the sled's length is defined in the JIT's header",
        (
            (JIT, SLED, ""),
            (JIT_H, "#include <linux/filter.h>\n", f"#include <linux/filter.h>\n\n{SLED}"),
        ),
    ),
    Bug(
        "H16",
        "7.2",
        "a comment of the trampoline is made shorter",
        (
            (
                FTRACE_H,
                " * Let's do like x86/arm64 and ignore the compat syscalls.\n",
                " * Like x86 and arm64, ignore the compat syscalls.\n",
            ),
        ),
    ),
]
