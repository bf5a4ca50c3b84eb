# SPDX-License-Identifier: GPL-2.0-or-later
"""Bugs written as developers send them, by somebody who had not read the rules."""

from __future__ import annotations

from tests.check.bugs import Bug

FTRACE = "arch/riscv/kernel/ftrace.c"
FTRACE_H = "arch/riscv/include/asm/ftrace.h"
DYN = "arch/riscv/kernel/mcount-dyn.S"
PATCH = "arch/riscv/kernel/patch.c"
JIT = "arch/riscv/net/bpf_jit_comp64.c"
CORE = "arch/riscv/net/bpf_jit_core.c"
LABEL = "arch/riscv/kernel/jump_label.c"
ALTERNATIVE = "arch/riscv/kernel/alternative.c"
KPROBES = "arch/riscv/kernel/probes/kprobes.c"
KPROBES_FTRACE = "arch/riscv/kernel/probes/ftrace.c"
INSN_H = "arch/riscv/include/asm/insn.h"
MODULE_H = "arch/riscv/include/asm/module.h"
KCONFIG = "arch/riscv/Kconfig"
MAKEFILE = "arch/riscv/Makefile"
KERNEL_MAKEFILE = "arch/riscv/kernel/Makefile"
RECORDMCOUNT = "scripts/recordmcount.pl"
SORTTABLE = "scripts/sorttable.c"

REGS_GRAPH = "	addi	a0, sp, PT_RA\n"
DISABLE_BOTH = """\
				    (unsigned long)&prepare_ftrace_return, false, true);
	if (ret)
		return ret;

	return __ftrace_modify_call((unsigned long)&ftrace_graph_regs_call,
				    (unsigned long)&prepare_ftrace_return, false, true);
"""  # noqa: E101
DISABLE_ONE = """\
				    (unsigned long)&prepare_ftrace_return, false, true);
	return ret;
"""  # noqa: E101
UPDATE_BOTH = """\
	if (!ret) {
		ret = __ftrace_modify_call((unsigned long)&ftrace_regs_call,
					   (unsigned long)func, true, true);
	}
"""  # noqa: E101
UPDATE_LAST = """\
	ret = __ftrace_modify_call((unsigned long)&ftrace_regs_call,
				   (unsigned long)func, true, true);
"""  # noqa: E101
RANGE = "if (WARN_ON(offset & 1 || offset < -524288 || offset >= 524288))"
TOO_FAR = "if (WARN_ON(offset & 1 || offset < -(1L << 20) || offset > (1L << 20)))"
HIGH_ROUNDED = "	*utype_insn |= (imm & RV_U_IMM_31_12_MASK) + ((imm & BIT(11)) << 1);\n"
HIGH_CUT = "	*utype_insn |= imm & RV_U_IMM_31_12_MASK;\n"
PLT_HIGH = "	u32 hi20 = (offset + 0x800) & 0xfffff000;\n	u32 lo12 = (offset - hi20);\n"
PLT_HIGH_CUT = "	u32 hi20 = offset & 0xfffff000;\n	u32 lo12 = offset & 0xfff;\n"
WROTE = """\
	ret = copy_to_kernel_nofault(waddr, insn, len);

	/*
"""
WROTE_OR_LEFT = """\
	ret = copy_to_kernel_nofault(waddr, insn, len);
	if (ret)
		return ret;

	/*
"""
SECOND_PAGE = """\
	if (across_pages)
		patch_map(addr + PAGE_SIZE, FIX_TEXT_POKE1);

	waddr = patch_map(addr, FIX_TEXT_POKE0);

	ret = copy_to_kernel_nofault("""
UNMAPPED = """\
	if (across_pages)
		patch_unmap(FIX_TEXT_POKE1);

	preempt_enable();

	return ret;
"""
NOSYNC = """\
	ret = patch_insn_write(addr, insns, len);
	if (!ret)
		flush_icache_range((uintptr_t)addr, (uintptr_t)addr + len);
"""
WAITED = "			cpu_relax();\n\n		local_flush_icache_all();\n	}\n\n	return ret;\n"
WAITED_ONLY = "			cpu_relax();\n	}\n\n	return ret;\n"
FTRACE_WAITS = """\
		while (atomic_read(&param->cpu_count) <= num_online_cpus())
			cpu_relax();

		local_flush_icache_all();
"""
FTRACE_FLUSHES_FIRST = """\
		local_flush_icache_all();

		while (atomic_read(&param->cpu_count) <= num_online_cpus())
			cpu_relax();
"""
MODIFY_ALL = "	ftrace_modify_all_code(command);\n	flush_icache_all();\n"
NEXT_PIECE = "		addr += size;\n		insn += size;\n		len -= size;\n"
POKE_LOCKS = """\
	cpus_read_lock();
	mutex_lock(&text_mutex);
	if (memcmp(ip, new_insns, RV_FENTRY_NBYTES))
		ret = patch_text(ip, new_insns, RV_FENTRY_NBYTES);
	mutex_unlock(&text_mutex);
	cpus_read_unlock();
"""
POKE_LOCKS_SWAPPED = """\
	mutex_lock(&text_mutex);
	cpus_read_lock();
	if (memcmp(ip, new_insns, RV_FENTRY_NBYTES))
		ret = patch_text(ip, new_insns, RV_FENTRY_NBYTES);
	cpus_read_unlock();
	mutex_unlock(&text_mutex);
"""
POKE_LEAVES_EARLY = """\
	cpus_read_lock();
	mutex_lock(&text_mutex);
	if (!memcmp(ip, new_insns, RV_FENTRY_NBYTES)) {
		mutex_unlock(&text_mutex);
		return 0;
	}
	ret = patch_text(ip, new_insns, RV_FENTRY_NBYTES);
	mutex_unlock(&text_mutex);
	cpus_read_unlock();
"""
KEPT_BY_ORIGINAL = """\
		emit_sd(RV_REG_FP, -retval_off, RV_REG_A0, ctx);
		emit_sd(RV_REG_FP, -(retval_off - 8), regmap[BPF_REG_0], ctx);
		im->ip_after_call"""
KEPT_SWAPPED = """\
		emit_sd(RV_REG_FP, -retval_off, regmap[BPF_REG_0], ctx);
		emit_sd(RV_REG_FP, -(retval_off - 8), RV_REG_A0, ctx);
		im->ip_after_call"""
ARGUMENT_SLOTS = """\
	for (i = 0; i < m->nr_args; i++)
		nr_arg_slots += round_up(m->arg_size[i], 8) / 8;
"""
CLANG_MEMBERS = """\
#ifdef CONFIG_CC_IS_CLANG
			unsigned long t2;
			unsigned long t3;
			unsigned long t4;
			unsigned long t5;
			unsigned long t6;
#endif
"""
ARGUMENT_MEMBERS = "".join(f"			unsigned long a{number};\n" for number in range(8))
CALL_OPS_ARGS = """\
	mv 	a1, ra				// parent_ip
	REG_L   a2, -16(t0)			// op
	REG_L   ra, FTRACE_OPS_FUNC(a2)		// op->func
"""
CALL_OPS_ARGS_LATE = """\
	REG_L   a2, -16(t0)			// op
	REG_L   ra, FTRACE_OPS_FUNC(a2)		// op->func
	mv 	a1, ra				// parent_ip
"""
UNTRACED = "CFLAGS_REMOVE_ftrace.o	= $(CC_FLAGS_FTRACE)\nCFLAGS_REMOVE_patch.o	= $(CC_FLAGS_FTRACE)\n"
USES_ENTRIES = "	select FTRACE_MCOUNT_USE_PATCHABLE_FUNCTION_ENTRY if DYNAMIC_FTRACE\n"
NO_RELAX = "	LDFLAGS_vmlinux += --no-relax\n"
EARLY_LABEL = """\
		riscv_patch_in_stop_machine = 1;
		patch_insn_write(addr, &insn, sizeof(insn));
		riscv_patch_in_stop_machine = 0;
"""
CALLS_WRITER = "		ret = __patch_insn_write(addr, insn, size);\n"
WRITER_MMU = """\
static int __patch_insn_write(void *addr, const void *insn, size_t len)
{
	bool across_pages"""
BREAKPOINT_BEHIND = "	patch_text_nosync((void *)p->ainsn.api.insn + len, &insn, GET_INSN_LENGTH(insn));\n"
EMULATED = "				(unsigned long)p->addr + MCOUNT_INSN_SIZE);\n"
JAL_ADJUSTED = "	imm = riscv_insn_extract_jtype_imm(jal_insn);\n	imm -= patch_offset;\n"

SIGNED = "Signed-off-by: A. Hacker <a@example.org>\n"

BUGS = [
    # 6.1
    Bug(
        "B01",
        "6.1",
        "ftrace_regs_caller tells the graph tracer the slot that ra has in ftrace_caller's frame",
        ((DYN, REGS_GRAPH, "	addi	a0, sp, ABI_RA\n"),),
        expected=("GP545",),
    ),
    Bug(
        "B02",
        "6.1",
        "the graph tracer is taken out of one of two trampolines",
        ((FTRACE, DISABLE_BOTH, DISABLE_ONE),),
        expected=("GP546",),
    ),
    Bug(
        "B03",
        "6.1",
        "an error of the first of two writes is forgotten",
        ((FTRACE, UPDATE_BOTH, UPDATE_LAST),),
        expected=("GP554",),
    ),
    Bug(
        "B04",
        "6.1",
        "the auipc of a call by ra sets t0",
        ((FTRACE_H, "#define AUIPC_RA		(0x00000097)\n", "#define AUIPC_RA		(0x00000297)\n"),),
        expected=("GP528",),
    ),
    Bug(
        "B05",
        "6.1",
        "a probe on ftrace goes on so many pointers, not bytes, behind the site",
        ((KPROBES_FTRACE, EMULATED, "				(unsigned long)(p->addr + MCOUNT_INSN_SIZE));\n"),),
        expected=("GP552",),
    ),
    Bug(
        "B06",
        "6.1",
        "recordmcount looks for the older of two relocations alone",
        ((RECORDMCOUNT, "R_RISCV_CALL(_PLT)?", "R_RISCV_CALL"),),
        missed="no rule reads recordmcount's patterns; that the file is not judged is said",
    ),
    # 6.12
    Bug(
        "B07",
        "6.12",
        "jumps of a byte more than jal reaches are made",
        ((LABEL, RANGE, TOO_FAR),),
        expected=("GP549",),
    ),
    Bug(
        "B08",
        "6.12",
        "the second of two pages is found by the end of what is written",
        ((PATCH, SECOND_PAGE, SECOND_PAGE.replace("addr + PAGE_SIZE", "addr + len")),),
        expected=("GP548",),
    ),
    Bug(
        "B09",
        "6.12",
        "the first page is unmapped twice, the second never",
        ((PATCH, UNMAPPED, UNMAPPED.replace("POKE1", "POKE0")),),
        expected=("GP548",),
    ),
    Bug(
        "B10",
        "6.12",
        "a failed write returns with preemption off and the page mapped",
        ((PATCH, WROTE, WROTE_OR_LEFT),),
        expected=("GP538", "GP548"),
    ),
    Bug(
        "B11",
        "6.12",
        "processors that wait for ftrace flush before they wait",
        ((FTRACE, FTRACE_WAITS, FTRACE_FLUSHES_FIRST),),
        expected=("GP537",),
    ),
    Bug(
        "B12",
        "6.12",
        "every piece of a long write is the first",
        ((PATCH, NEXT_PIECE, NEXT_PIECE.replace("		insn += size;\n", "")),),
        expected=("GP548",),
    ),
    Bug(
        "B13",
        "6.12",
        "an early return keeps processors from going offline for ever",
        ((JIT, POKE_LOCKS, POKE_LEAVES_EARLY),),
        expected=("GP538",),
    ),
    Bug(
        "B14",
        "6.12",
        "what the original returns and R0 change their slots on one side",
        ((JIT, KEPT_BY_ORIGINAL, KEPT_SWAPPED),),
        expected=("GP531",),
    ),
    Bug(
        "B15",
        "6.12",
        "an argument of two words counts as one slot",
        ((JIT, ARGUMENT_SLOTS, "	nr_arg_slots = m->nr_args;\n"),),
        expected=("GP531",),
    ),
    Bug(
        "B16",
        "6.12",
        "a kprobe may stand in what writes text",
        ((PATCH, "NOKPROBE_SYMBOL(patch_insn_write);\n\nint patch_text_nosync", "\nint patch_text_nosync"),),
        expected=("GP556",),
    ),
    Bug(
        "B17",
        "6.12",
        "nothing says that the compiler makes the table of sites",
        ((KCONFIG, USES_ENTRIES, ""),),
        expected=("GP522",),
    ),
    Bug(
        "B18",
        "6.12",
        "the linker may shorten the calls that ftrace patches in its trampoline",
        ((MAKEFILE, NO_RELAX, ""),),
        expected=("GP558",),
    ),
    Bug(
        "B19",
        "6.12",
        "what writes text takes one more argument with an MMU alone",
        (
            (PATCH, CALLS_WRITER, CALLS_WRITER.replace("size)", "size, true)")),
            (PATCH, WRITER_MMU, WRITER_MMU.replace("size_t len)", "size_t len, bool flush)")),
        ),
        expected=("GP555",),
    ),
    Bug(
        "B20",
        "6.12",
        "a direct call is made by ra, which leads to the caller",
        ((DYN, ".Ldirect:\n	jr	t1\n", ".Ldirect:\n	jalr	t1\n"),),
        expected=("GP516",),
    ),
    # 7.2
    Bug(
        "B21",
        "7.2",
        "the upper part of a pair is no longer raised where the lower one is negative",
        ((INSN_H, HIGH_ROUNDED, HIGH_CUT),),
        expected=("GP550",),
    ),
    Bug(
        "B22",
        "7.2",
        "the upper part of an entry of the PLT is cut, not rounded",
        ((MODULE_H, PLT_HIGH, PLT_HIGH_CUT),),
        expected=("GP551",),
    ),
    Bug(
        "B23",
        "7.2",
        "the caches are flushed of what is copied, not of where it goes",
        ((PATCH, NOSYNC, NOSYNC.replace("(uintptr_t)addr", "(uintptr_t)insns")),),
        expected=("GP548",),
    ),
    Bug(
        "B24",
        "7.2",
        "processors that waited do not flush",
        ((PATCH, WAITED, WAITED_ONLY),),
        expected=("GP515",),
    ),
    Bug(
        "B25",
        "7.2",
        "ftrace no longer flushes when all sites are written",
        ((FTRACE, MODIFY_ALL, "	ftrace_modify_all_code(command);\n"),),
        expected=("GP515",),
    ),
    Bug(
        "B26",
        "7.2",
        "processors are kept online inside text_mutex, elsewhere outside",
        ((JIT, POKE_LOCKS, POKE_LOCKS_SWAPPED),),
        expected=("GP553",),
    ),
    Bug(
        "B27",
        "7.2",
        "the jump over a detached program goes twice as far",
        ((JIT, "rv_jal(RV_REG_ZERO, (target - nop) >> 1)", "rv_jal(RV_REG_ZERO, target - nop)"),),
        expected=("GP547",),
    ),
    Bug(
        "B28",
        "7.2",
        "the slots that are cleared for cookies go the other way",
        ((JIT, "-cookie_off + 8 * i, RV_REG_ZERO", "-cookie_off - 8 * i, RV_REG_ZERO"),),
        expected=("GP531",),
    ),
    Bug(
        "B29",
        "7.2",
        "members for clang come before a0, which args[] is to be the name of",
        (
            (FTRACE_H, CLANG_MEMBERS, ""),
            (FTRACE_H, ARGUMENT_MEMBERS, CLANG_MEMBERS + ARGUMENT_MEMBERS),
        ),
        expected=("GP517",),
    ),
    Bug(
        "B30",
        "7.2",
        "the tracer's address is loaded into ra before ra is passed on",
        ((DYN, CALL_OPS_ARGS, CALL_OPS_ARGS_LATE),),
        expected=("GP545",),
    ),
    Bug(
        "B31",
        "7.2",
        "what patches text is itself traced",
        ((KERNEL_MAKEFILE, UNTRACED, ""),),
        expected=("GP557",),
    ),
    Bug(
        "B32",
        "7.2",
        "the address of a program is that of the hash before it",
        ((CORE, "(void *)ctx->ro_insns + cfi_get_offset();", "(void *)ctx->ro_insns;"),),
        expected=("GP533",),
    ),
    Bug(
        "B33",
        "7.2",
        "the lock's assertion is switched off for ever",
        ((LABEL, EARLY_LABEL, EARLY_LABEL.replace("		riscv_patch_in_stop_machine = 0;\n", "")),),
        expected=("GP538",),
    ),
    Bug(
        "B34",
        "7.2",
        "the breakpoint stands so many instructions, not bytes, behind a probe's copy",
        ((KPROBES, BREAKPOINT_BEHIND, BREAKPOINT_BEHIND.replace("(void *)p->ainsn", "p->ainsn")),),
        expected=("GP552",),
    ),
    Bug(
        "B35",
        "7.2",
        "a jump in an alternative is moved the wrong way",
        ((ALTERNATIVE, JAL_ADJUSTED, JAL_ADJUSTED.replace("-=", "+=")),),
        expected=("GP550",),
    ),
    Bug(
        "B36",
        "7.2",
        "sorttable looks 4 bytes before a function",
        ((SORTTABLE, "		before_func = 8;\n", "		before_func = 4;\n"),),
        expected=("GP521",),
    ),
    # messages
    Bug(
        "B40",
        "7.2",
        "a tag goes on on a second line",
        ((FTRACE, " * just directly poke the text, but", " * poke the text directly, but"),),
        body='Say why.\n\nFixes: b2137c3b6d7a ("riscv: ftrace: prepare ftrace for atomic\n code patching")\n' + SIGNED,
        expected=("GP502",),
    ),
    Bug(
        "B41",
        "7.2",
        "who helped has not signed",
        ((FTRACE, " * just directly poke the text, but", " * poke the text directly, but"),),
        body="Say why.\n\nCo-developed-by: B. Friend <b@example.org>\n" + SIGNED,
        expected=("GP505",),
    ),
    Bug(
        "B42",
        "7.2",
        "what changed since the last version is in the message",
        ((FTRACE, " * just directly poke the text, but", " * poke the text directly, but"),),
        body="Say why.\n\nChanges in v2:\n - reword the comment\n\n" + SIGNED,
        expected=("GP506",),
    ),
    Bug(
        "B43",
        "7.2",
        "a commit is named by 7 letters",
        ((FTRACE, " * just directly poke the text, but", " * poke the text directly, but"),),
        body='Say why.\n\nFixes: b2137c3 ("riscv: ftrace: prepare ftrace for atomic code patching")\n' + SIGNED,
        expected=("GP502",),
    ),
    Bug(
        "B44",
        "7.2",
        "the message says nothing",
        ((FTRACE, " * just directly poke the text, but", " * poke the text directly, but"),),
        body=SIGNED,
        expected=("GP507",),
    ),
    Bug(
        "B45",
        "7.2",
        "the subject names no part of the kernel",
        ((FTRACE, " * just directly poke the text, but", " * poke the text directly, but"),),
        subject="[PATCH] Fix comment.",
        expected=("GP501",),
    ),
]
