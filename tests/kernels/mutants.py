# SPDX-License-Identifier: GPL-2.0-or-later
"""Break a kernel on purpose, one bug at a time, and see what verification and exploring say of it.

    python tests/kernels/mutants.py SOURCE OUT [--only NAME...] [--unverified] [--witness] [--keep DIRECTORY]

SOURCE is a kernel tree, OUT a finished build of it (make O=OUT). Neither is written to: each mutant is an edited
copy of one file or two, in a directory of its own. The object files that it concerns are compiled again by the
commands that the build left in its .cmd files, with the edited files in front of the others, and vmlinux is linked
again from what else is in OUT, as scripts/link-vmlinux.sh does, its tables are sorted. A mutant takes ten seconds.

The symbol table for the kernel's own use and the BTF are those of OUT; no mutant changes a type. To show that the
way of building adds nothing, the files are first built unedited: verification must say of that kernel what it says
of OUT/vmlinux. A mutant is detected by what is reported of it and not of that kernel.

What verification says nothing of is explored: every interleaving of what the kernel does to some functions, in the
environment that the kernel is made for. A scenario that breaks in a way in which it does not break without the bug
detects it; a function of each alignment is tried, because a mutant's functions may lie elsewhere.

Prints a table in markdown; exit 1 if a mutant is missed that should be detected, or the other way about.
"""

from __future__ import annotations

import argparse
import re
import shlex
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field, replace
from pathlib import Path

from genpatch.image.containers import open_content
from genpatch.image.model import KernelImage
from genpatch.image.read import read_image
from genpatch.race.environment import Environment, get_environment
from genpatch.race.kernel import functions_by_alignment, kernel_races
from genpatch.race.rows import RaceRow
from genpatch.race.run import explored
from genpatch.race.witness import two_columns
from genpatch.verify.run import Verification, verify

DYN = "arch/riscv/kernel/mcount-dyn.S"
MCOUNT = "arch/riscv/kernel/mcount.S"
FTRACE = "arch/riscv/kernel/ftrace.c"
PATCH = "arch/riscv/kernel/patch.c"
HEADER = "arch/riscv/include/asm/ftrace.h"
RETHOOK = "arch/riscv/kernel/probes/rethook_trampoline.S"
CACHE = "arch/riscv/mm/cacheflush.c"
GENERIC = "kernel/trace/ftrace.c"
KCONFIG = "arch/riscv/Kconfig"
HEADERS = "arch/riscv/include"
MORE = "schedule"
"""A second function to explore where all functions are aligned alike."""


@dataclass(frozen=True, slots=True)
class Edit:
    """One change: all of what a regular expression matches, which must be so many places."""

    anchor: str
    new: str
    count: int = 1


@dataclass(frozen=True, slots=True)
class Mutant:
    """One deliberate bug.

    Args:
        name: of the bug.
        tree: version of the kernel that it is for.
        file: what is edited, relative to the tree.
        edits: how.
        breaks: what it does, in a few words.
        expect: (state, promise, what) of some that verification must report; none if it cannot see it.
        races: (scenario, kind) of some that exploring must report.
        noted: what it must say beside its verdicts.
        why_missed: the explanation if neither can detect it.
        setting: of the environment, changed for this mutant as on a command line: a kernel that its configuration
            alone makes another.
    """

    name: str
    tree: str
    file: str
    edits: tuple[Edit, ...]
    breaks: str
    expect: tuple[tuple[str, str, str], ...] = ()
    races: tuple[tuple[str, str], ...] = ()
    noted: str = ""
    why_missed: str = ""
    setting: str = ""

    @property
    def object(self) -> str:
        """The object file that is compiled again, empty for none."""
        if self.file == KCONFIG:
            return ""
        return str(Path(FTRACE if self.file == HEADER else self.file).with_suffix(".o"))


def gone(anchor: str, count: int = 1) -> tuple[Edit]:
    """Drop whole lines."""
    return (Edit(rf"\n[ \t]*{anchor}[^\n]*(?=\n)", "", count),)


INIT, ENABLE, TOLD = "init beside another writer", "enable beside another writer", "patch_text_nosync"
ATTACH, ARM, FREE = "bpf text poke: attach", "kprobe: arm", "disable and free"
UNFENCED = "the harts that wait execute no fence.i"
QUIET = "until it is written the ops pointer is that of ftrace_nop_ops, whose callback does nothing"
ON_PATH = "the host's callback stands in for the kernel's own, which is not run"

MUTANTS = (
    # --- 7.2, call-ops: the trampoline
    Mutant(
        "a3-not-saved", "7.2", DYN, gone(r"REG_S\s+x13,"), "the fourth argument is lost",
        (("enabled", "frame-set", "a3"), ("enabled", "registers", "a3"), ("enabled", "initialised", "stack")),
    ),
    Mutant(
        "a3-not-restored", "7.2", DYN, gone(r"REG_L\s+x13,"), "the fourth argument is what the callback left",
        (("enabled", "registers", "a3"),),
    ),
    Mutant(
        "a2-a3-swapped", "7.2", DYN,
        (Edit(r"(REG_L\s+x12,\s+FREGS_)A2", r"\1A3"), Edit(r"(REG_L\s+x13,\s+FREGS_)A3", r"\1A2")),
        "two arguments are restored from each other's slots",
        (("enabled", "registers", "a2"), ("enabled", "registers", "a3")),
    ),
    Mutant(
        "frame-8-short", "7.2", DYN,
        (Edit(r"(addi\s+sp, sp, -?)(FREGS_SIZE_ON_STACK)", r"\1(\2 - 8)", 2),),
        "the stack pointer is no multiple of 16 in the callback", (("enabled", "stack", "sp"),),
    ),
    Mutant(
        "frame-16-short", "7.2", DYN,
        (Edit(r"(addi\s+(sp|a0), (sp|a0), -?)(FREGS_SIZE_ON_STACK)", r"\1(\4 - 16)", 3),),
        "the last field lies in the caller's stack", (("enabled", "stack", "frame end"),),
    ),
    Mutant(
        "stack-8-off-on-exit", "7.2", DYN, (Edit(r"(addi\s+sp, sp, )(FREGS_SIZE_ON_STACK)", r"\1(\2 + 8)"),),
        "the function gets another stack pointer", (("enabled", "registers", "sp"),),
    ),
    Mutant(
        "t0-from-ra", "7.2", DYN, (Edit(r"(REG_L\s+t0, FREGS_)EPC", r"\1RA"),),
        "the trampoline returns to the function's caller", (("enabled", "arrives", "body"),),
    ),
    Mutant(
        "t0-not-restored", "7.2", DYN, gone(r"REG_L\s+t0, FREGS_EPC"), "the trampoline returns to what is left in t0",
        (("enabled", "arrives", "body"), ("redirected", "arrives", "elsewhere")),
    ),
    Mutant(
        "ra-not-restored", "7.2", DYN, gone(r"REG_L\s+x1,"), "the function returns into the trampoline",
        (("enabled", "registers", "ra"), ("graph", "obeys", "ra")),
    ),
    Mutant(
        "s0-not-saved", "7.2", DYN, (Edit("HAVE_FUNCTION_GRAPH_FP_TEST", "NEVER", 2),),
        "the frame pointer in the frame is whatever was there", (("enabled", "frame-set", "s0"),),
    ),
    Mutant(
        "t2-t6-not-saved", "7.2", DYN, (Edit("CONFIG_CC_IS_CLANG", "NEVER", 2),),
        "arguments of functions that clang calls in its own way are lost",
        (("enabled", "registers", "t2"), ("enabled", "frame-set", "t6")),
    ),
    Mutant(
        "t1-not-saved", "7.2", DYN, gone(r"REG_S\s+x6,"), "whether a direct call follows is left to what was there",
        (("enabled", "arrives", "body"),),
    ),
    Mutant(
        "t1-not-restored", "7.2", DYN, gone(r"REG_L\s+x6,"), "whether a direct call follows is left to the callback",
        (("enabled", "arrives", "body"),),
    ),
    Mutant(
        "sp-without-frame", "7.2", DYN, gone(r"addi\s+a0, a0, FREGS_SIZE"), "the frame tells a wrong stack pointer",
        (("enabled", "frame", "sp"),),
    ),
    Mutant(
        "fregs-8-off", "7.2", DYN, (Edit(r"mv\s+a3, sp", "addi a3, sp, 8"),), "the callback gets another frame",
        (("enabled", "frame", "ra"), ("redirected", "arrives", "elsewhere")),
    ),
    Mutant(
        "ip-4-off", "7.2", DYN, (Edit(r"addi\s+a0, t0, -MCOUNT_JALR_SIZE", "mv a0, t0"),),
        "the callback gets the address behind the call", (("enabled", "arguments", "ip"),),
    ),
    Mutant(
        "ip-parent-swapped", "7.2", DYN, (Edit(r"mv\s+a1, ra(?=[^\n]*\n\s*REG_L)", "mv a1, a0; mv a0, ra"),),
        "the callback gets ip and parent_ip in each other's place",
        (("enabled", "arguments", "ip"), ("enabled", "arguments", "parent_ip")),
    ),
    Mutant(
        "literal-at-12", "7.2", DYN, (Edit(r"(REG_L\s+a2, )-16\(t0\)", r"\1-12(t0)"),),
        "ops are read four bytes behind the literal", (("enabled", "arrives", "body"),),
    ),
    Mutant(
        "literal-at-8", "7.2", DYN, (Edit(r"(REG_L\s+a2, )-16\(t0\)", r"\1-8(t0)"),),
        "the sled is taken for ops", (("enabled", "arrives", "body"),),
    ),
    # --- 7.2: direct calls
    Mutant(
        "direct-test-inverted", "7.2", DYN, (Edit(r"(FTRACE_OPS_DIRECT_CALL\(t1\)\s+)bnez", r"\1beqz"),),
        "a site without a direct call jumps to 0", (("enabled", "arrives", "body"),),
    ),
    Mutant(
        "direct-call-ignored", "7.2", DYN, (Edit(r"(FTRACE_OPS_DIRECT_CALL\(t1\)\s+)bnez\s+t1, \w+", r"\1nop"),),
        "the callback of an ops with a direct_call is called too", (("direct", "calls", "callback"),),
    ),
    Mutant(
        "direct-call-8-off", "7.2", DYN, (Edit(r"(FTRACE_OPS_DIRECT_CALL)(\(t1\))", r"\1 - 8\2"),),
        "another field of the ops is taken for direct_call", (("direct", "calls", "direct call"),),
    ),
    Mutant(
        "direct-in-frame-ignored", "7.2", DYN,
        (Edit(r"(?<=RESTORE_ABI_REGS\n)(#ifdef \w+\n\s+)bnez\s+t1, \w+", r"\1nop"),),
        "what the callback asked for is not called", (("direct-in-frame", "calls", "direct call"),),
    ),
    Mutant(
        "direct-not-through-caller", "7.2", FTRACE, (Edit(r"distance > JALR_RANGE", "0"),),
        "a call of something far has no auipc that fits", (("direct", "arrives", "body"),),
    ),
    # --- 7.2: what is written
    Mutant(
        "jalr-11-bits", "7.2", HEADER, (Edit(r"(JALR_OFFSET_MASK\s+\(0x00000)fff", r"\g<1>7ff"),),
        "the sign of the jalr's immediate is lost", (("enabled", "arrives", "body"),),
    ),
    Mutant(
        "jalr-links-ra", "7.2", HEADER, (Edit(r"(JALR_T0\s+\(0x0002)82e7", r"\g<1>80e7"),),
        "the call destroys the return address", (("enabled", "arrives", "body"),),
    ),
    Mutant(
        "auipc-without-carry", "7.2", HEADER, (Edit(r"(AUIPC_PAD\s+\(0x0000)1000", r"\g<1>0000"),),
        "the auipc does not round to the nearest page", (("enabled", "arrives", "body"),),
    ),
    Mutant(
        "half-a-jalr", "7.2", FTRACE, (Edit(r"call \+ 1, MCOUNT_JALR_SIZE", "call + 1, 2"),),
        "only the first half of the call is written", (("enabled", "arrives", "body"),),
    ),
    Mutant(
        "nop-4-off", "7.2", FTRACE, (Edit(r"\(void \*\)rec->ip, &nop4", "(void *)rec->ip + 4, &nop4"),),
        "disabling overwrites the function's first instruction",
        (("disabled", "patch-stays", "ftrace_make_nop"), ("disabled", "restores", "bytes")),
    ),
    Mutant(
        "init-nop-nop", "7.2", FTRACE, (Edit(r"nops\[0\] = to_auipc_t0\(offset\)", "nops[0] = RISCV_INSN_NOP4"),),
        "the sled starts with nop instead of auipc", (("enabled", "arrives", "body"),),
    ),
    Mutant(
        "call-adjust-4-off", "7.2", FTRACE, (Edit(r"return addr \+ 8 \+", "return addr + 4 +"),),
        "the kernel takes the sled's first instruction for the second", (("enabled", "arrives", "body"),),
    ),
    Mutant(
        "validate-wrong-word", "7.2", FTRACE, (Edit(r"call\[0\] = (to_auipc_t0\(offset\))", r"call[0] = \1 + 4096"),),
        "changing a site expects another auipc than stands there",
        (("changed", "patch-returns", "ftrace_modify_call"), ("changed-direct", "patch-returns", "ftrace_modify_call")),
    ),
    Mutant(
        "call-keeps-literal", "7.2", FTRACE,
        (Edit(r"(?s)(int ftrace_make_call\(.*?)ftrace_rec_update_ops\(rec\)", r"\1 0"),),
        "a site is enabled with the ops that do nothing", (("enabled", "calls", "callback"),),
    ),
    Mutant(
        "modify-keeps-literal", "7.2", FTRACE,
        (Edit(r"(?s)(int ftrace_modify_call\(.*?)ftrace_rec_update_ops\(rec\)", r"\1 0"),),
        "a site goes on with the ops that it had",
        (("changed", "arguments", "op"), ("changed-direct", "calls", "direct call")),
    ),
    Mutant(
        "nop-keeps-literal", "7.2", FTRACE,
        (Edit(r"(?s)(int ftrace_make_nop\(.*?)ftrace_rec_set_nop_ops\(rec\)", r"\1 0"),),
        "a disabled site keeps its ops, which may be freed", (("disabled", "restores", "bytes"),),
    ),
    Mutant(
        "literal-8-behind", "7.2", FTRACE, (Edit(r"ALIGN_DOWN\(rec->ip - 12, 8\)", "ALIGN_DOWN(rec->ip - 4, 8)"),),
        "ops are written over the sled", (("enabled", "arrives", "body"),),
    ),
    Mutant(
        "own-ops-inverted", "7.2", FTRACE, (Edit(r"(rec->flags & FTRACE_FL_CALL_OPS_EN)", r"!(\1)"),),
        "one tracer gets what is for several", (("enabled", "arguments", "op"), ("changed", "arguments", "op")),
    ),
    # --- 7.2: the way back
    Mutant(
        "return-loses-a0", "7.2", MCOUNT, gone(r"REG_L\s+a0, FREGS_A0"), "the function's result is lost",
        (("returned", "returns", "a0"),),
    ),
    Mutant(
        "return-loses-s0", "7.2", MCOUNT, gone(r"REG_L\s+s0, FREGS_S0"), "the caller's frame pointer is lost",
        (("returned", "returns", "s0"),),
    ),
    Mutant(
        "return-frame-short", "7.2", MCOUNT, (Edit(r"(addi\s+\w\w, sp, -?)FREGS_SIZE_ON_STACK", r"\g<1>48", 3),),
        "the frame of the returning function lies in its caller's stack", (("returned", "stack", "frame end"),),
    ),
    Mutant(
        "rethook-loses-a1", "7.2", RETHOOK, gone(r"REG_L\s+x11,"), "the second half of a result is lost",
        (("rethook", "returns", "a1"),),
    ),
    # --- 7.2: what the run of one site cannot see
    Mutant(
        "graph-wrong-field", "7.2", FTRACE,
        (Edit(r"(?s)(void ftrace_graph_func\(.*?&arch_ftrace_regs\(fregs\)->)ra", r"\1epc"),),
        "the function graph tracer replaces the way into the function", why_missed=ON_PATH,
    ),
    Mutant(
        "no-local-fence", "7.2", PATCH,
        (Edit(r"(?s)(copy_to_kernel_nofault\(waddr, insn, len\);.*?)local_flush_icache_range\([^;]*;", r"\1"),),
        "the patching hart may execute what was there before",
        races=((ATTACH, "stale"), ("bpf text poke: detach", "wild")),
    ),
    Mutant(
        "no-remote-fence", "7.2", FTRACE,
        (Edit(r"(ftrace_modify_all_code\(command\);\s+)flush_icache_all\(\);", r"\1"),),
        "other harts may execute what was there before", races=(("enable", "stale"),),
    ),
    Mutant(
        "early-remote-fence", "7.2", FTRACE,
        (Edit(r"(ftrace_modify_all_code\(command\);)\s+(flush_icache_all\(\);)", r"\2 \1"),),
        "other harts are told before the last store", races=(("enable", "stale"),),
    ),
    Mutant(
        "no-fence-before-ipi", "7.2", CACHE, (Edit(r"RISCV_FENCE\(w, o\);", ""),),
        "other harts execute fence.i before the stores are visible", races=(("enable", "stale"), (TOLD, "stale")),
    ),
    Mutant(
        "nosync-not-flushed", "7.2", PATCH,
        (Edit(r"(?s)(int patch_text_nosync\(.*?)if \(!ret\)\s+flush_icache_range\([^;]*;", r"\1"),),
        "other harts may execute what was there before, wherever text is written", races=((TOLD, "stale"),),
    ),
    Mutant(
        "init-nop-unlocked", "7.2", FTRACE, (Edit(r"guard\(mutex\)\(&text_mutex\);", ""),),
        "another writer may use the same fixmap slots", races=((INIT, "lost"),),
    ),
    Mutant(
        "init-literal-unlocked", "7.2", FTRACE,
        (
            Edit(r"guard\(mutex\)\(&text_mutex\);", ""),
            Edit(r"(offset = \(unsigned long\) &ftrace_caller - pc;)", r"mutex_lock(&text_mutex); \1"),
            Edit(r"(ret = patch_insn_write\(\(void \*\)pc, nops[^;]*;)", r"\1 mutex_unlock(&text_mutex);"),
        ),
        "the lock is taken behind the first of two stores", races=((INIT, "lost"),),
    ),
    Mutant(
        "update-unlocked", "7.2", FTRACE,
        (Edit(r"mutex_lock\(&text_mutex\);", ""), Edit(r"mutex_unlock\(&text_mutex\);", "")),
        "an update of sites takes no lock", races=((ENABLE, "lost"),),
    ),
    Mutant(
        "live-pair", "7.2", FTRACE,
        (
            Edit(r"nops\[0\] = to_auipc_t0\(offset\);", "nops[0] = RISCV_INSN_NOP4;"),
            Edit(r"u32 nop4 = RISCV_INSN_NOP4;", "u32 nop4[2] = { RISCV_INSN_NOP4, RISCV_INSN_NOP4 };"),
            Edit(r"\(void \*\)rec->ip, &nop4, MCOUNT_NOP4_SIZE", "(void *)(rec->ip - 4), nop4, 8"),
            Edit(r"(call\[1\] = to_jalr_t0\(offset\);)", r"\1 call[0] = to_auipc_t0(offset);"),
            Edit(r"\(void \*\)\(source \+ MCOUNT_AUIPC_SIZE\), call \+ 1, MCOUNT_JALR_SIZE", "(void *)source, call, 8"),
        ),
        "auipc and jalr come and go together, and nothing is stopped",
        (("kprobed", "patch-stays", "ftrace_make_call"),), races=(("enable", "wild"),),
    ),
    Mutant(
        "jalr-in-halves", "7.2", FTRACE,
        (
            Edit(
                r"patch_insn_write\(\(void \*\)\(source \+ MCOUNT_AUIPC_SIZE\), call \+ 1, MCOUNT_JALR_SIZE\)",
                "patch_insn_write((void *)(source + 4), call + 1, 2) || "
                "patch_insn_write((void *)(source + 6), (void *)(call + 1) + 2, 2)",
            ),
        ),
        "the call is written in two stores", races=(("enable", "wild"),),
    ),
    Mutant(
        "literal-in-halves", "7.2", FTRACE,
        (
            Edit(
                r"return patch_text_nosync\(\(void \*\)literal, &ops, sizeof\(ops\)\);",
                "return patch_insn_write((void *)literal, &ops, 4) ?: "
                "patch_text_nosync((void *)literal + 4, (void *)&ops + 4, 4);",
            ),
        ),
        "the ops pointer is written in two stores", races=(("disable", "ops"),),
    ),
    Mutant(
        "change-through-nop", "7.2", FTRACE,
        (
            Edit(
                r"(?s)(int ftrace_modify_call\(.*?)(ret = ftrace_rec_update_ops\(rec\);)",
                r"\1ftrace_rec_set_nop_ops(rec); \2",
            ),
        ),
        "a call while one tracer follows another reaches neither", races=(("change", "missed"),),
    ),
    Mutant(
        "shutdown-waits-for-none", "7.2", GENERIC,
        (
            Edit(r"synchronize_rcu_tasks_rude\(\);(\s+/\*\s+\* When the kernel is preemptive)", r"\1"),
            Edit(r"synchronize_rcu_tasks\(\);", ""),
        ),
        "ops are freed while somebody is on the way to their callback", races=((FREE, "freed"),),
    ),
    Mutant(
        "shutdown-waits-rudely", "7.2", GENERIC, (Edit(r"synchronize_rcu_tasks\(\);", ""),),
        "ops are freed while somebody who was preempted is on the way to their callback", races=((FREE, "freed"),),
    ),
    Mutant(
        "patch-text-not-stopped", "7.2", PATCH,
        (Edit(r"stop_machine_cpuslocked\([^)]*\)", "patch_insn_write(addr, insns, len)"),),
        "BPF programs and probed functions are patched while others execute them, who are told nothing",
        races=((ARM, "stale"), (ATTACH, "stale")),
    ),
    Mutant(
        "waiting-harts-unfenced", "7.2", PATCH,
        (Edit(r"(?s)(static int patch_text_cb\(.*?cpu_relax\(\);\s+)local_flush_icache_all\(\);", r"\1"),),
        "harts that stood still go on with what they had fetched", noted=UNFENCED,
        races=((ATTACH, "stale"), ("bpf text poke: detach", "wild")),
    ),
    Mutant(
        "literal-last", "7.2", FTRACE,
        (
            Edit(
                r"(?s)(int ftrace_make_call\(.*?)ret = ftrace_rec_update_ops\(rec\);\s+if \(ret\)\s+return ret;"
                r"(.*?)return (__ftrace_modify_call\(pc, addr, false\));",
                r"\1const struct ftrace_ops *ops = riscv64_rec_get_ops(rec);\2ret = \3; if (ret) return ret;"
                "return patch_insn_write((void *)ALIGN_DOWN(rec->ip - 12, 8), &ops, sizeof(ops));",
            ),
        ),
        "the call is there before its ops are", why_missed=QUIET,
    ),
    Mutant(
        "auipc-rewritten", "7.2", FTRACE,
        (
            Edit(r"(call\[1\] = to_jalr_t0\(offset\);)", r"\1 call[0] = to_auipc_t0(offset);"),
            Edit(r"\(void \*\)\(source \+ MCOUNT_AUIPC_SIZE\), call \+ 1, MCOUNT_JALR_SIZE", "(void *)source, call, 8"),
        ),
        "both instructions of a call are written, also one that a kprobe has replaced",
        (("kprobed", "patch-stays", "ftrace_make_call"),),
    ),
    # --- 6.12, pair-t0
    Mutant(
        "pair-reversed", "6.12", HEADER,
        (Edit(r"call\[0\] = (to_auipc_t0)", r"call[2 - 1] = \1"), Edit(r"call\[1\] = (to_jalr_t0)", r"call[0] = \1")),
        "jalr is written before auipc", (("enabled", "arrives", "body"),),
    ),
    Mutant(
        "modify-expects-new", "6.12", FTRACE, (Edit(r"(make_call_t0\(caller, )old_(addr, call\))", r"\1\2"),),
        "changing a site expects the call that is not there yet",
        (("changed-direct", "patch-returns", "ftrace_modify_call"),),
    ),
    Mutant(
        "nop-changes-a0", "6.12", HEADER, (Edit(r"(#define NOP4\s+\(0x00000)0", r"\g<1>5"),),
        "the first argument becomes 0 in every function", (("boot", "registers", "a0"),),
    ),
    Mutant(
        "half-a-nop-pair", "6.12", FTRACE,
        (Edit(r"(?s)(int ftrace_make_nop\(.*?rec->ip, nops, MCOUNT_INSN_SIZE)", r"\1 / 2"),),
        "disabling leaves the jalr", (("disabled", "arrives", "body"),),
    ),
    Mutant(
        "offset-from-jalr", "6.12", HEADER,
        (Edit(r"(?s)(define make_call_t0.*?\(unsigned long\) \(caller\))", r"\1 - 4"),),
        "the distance is counted from the jalr", (("enabled", "arrives", "body"),),
    ),
    Mutant(
        "pair-without-carry", "6.12", HEADER, (Edit(r"(AUIPC_PAD\s+\(0x0000)1000", r"\g<1>0000"),),
        "the auipc does not round to the nearest page", (("enabled", "arrives", "body"),),
    ),
    Mutant(
        "t1-not-cleared", "6.12", DYN, gone(r"mv\s+t1, zero"), "what was in t1 is called directly",
        (("enabled", "arrives", "body"),),
    ),
    Mutant(
        "sp-behind-frame", "6.12", DYN, (Edit(r"REG_S\s+t4,", "REG_S sp,"),), "the frame tells a wrong stack pointer",
        (("enabled", "frame", "sp"),),
    ),
    Mutant(
        "fentry-4-off", "6.12", DYN, (Edit(r"(FENTRY_RA_OFFSET\s+)8", r"\g<1>4"),), "the callback gets a wrong ip",
        (("enabled", "arguments", "ip"),),
    ),
    Mutant(
        "callback-through-t0", "6.12", FTRACE, (Edit(r"(\(unsigned long\)func, true, )true", r"\1false"),),
        "the trampoline's call does not set ra", (("enabled", "arrives", "body"),),
    ),
    Mutant(
        "second-page-not-mapped", "6.12", PATCH,
        (Edit(r"(?s)(int __patch_insn_write\(.*?patch_map\(addr) \+ PAGE_SIZE", r"\1"),),
        "a pair across pages is half written to the wrong page", (("enabled", "arrives", "body"),),
    ),
    Mutant(
        "two-pages-never", "6.12", PATCH,
        (Edit(r"(?s)(int __patch_insn_write\(.*?bool across_pages = )[^;]*", r"\1false"),),
        "a pair across pages is written where nothing is mapped", (("enabled", "patch-returns", "ftrace_make_call"),),
    ),
    # --- 6.12: what the run of one site cannot see
    Mutant(
        "machine-not-stopped", "6.12", FTRACE,
        (Edit(r"stop_machine\(__ftrace_modify_code,[^;]*", "ftrace_modify_all_code(command)"),),
        "others execute half a pair", races=(("enable", "wild"), ("disable", "stale")),
    ),
    Mutant(
        "preemption-allowed", "6.12", KCONFIG, (Edit(r"(select HAVE_FUNCTION_TRACER if .*) && !PREEMPTION", r"\1"),),
        "tasks are preempted between the two instructions of a pair", races=(("enable", "wild"),),
        setting="preemption=full",
    ),
    Mutant(
        "no-local-fence", "6.12", PATCH,
        (Edit(r"(?s)(copy_to_kernel_nofault\(waddr, insn, len\);.*?)local_flush_icache_range\([^;]*;", r"\1"),),
        "the patching hart may execute what was there before", races=(("enable", "wild"), ("enable", "stale")),
    ),
    Mutant(
        "waiting-harts-unfenced", "6.12", FTRACE,
        (Edit(r"(?s)(static int __ftrace_modify_code\(.*?cpu_relax\(\);\s+)local_flush_icache_all\(\);", r"\1"),),
        "harts that stood still go on with what they had fetched", noted=UNFENCED,
        races=(("enable", "wild"), ("enable", "stale")),
    ),
    Mutant(
        "patch-text-not-stopped", "6.12", PATCH,
        (Edit(r"stop_machine_cpuslocked\([^)]*\)", "patch_insn_write(addr, insns, len)"),),
        "BPF programs and probed functions are patched while others execute them, who are told nothing",
        races=((ARM, "stale"), (ATTACH, "wild")),
    ),
    Mutant(
        "nosync-not-flushed", "6.12", PATCH,
        (Edit(r"(?s)(int patch_text_nosync\(.*?)if \(!ret\)\s+flush_icache_range\([^;]*;", r"\1"),),
        "other harts may execute what was there before, wherever text is written", races=((TOLD, "stale"),),
    ),
    Mutant(
        "no-fence-before-ipi", "6.12", CACHE, (Edit(r"RISCV_FENCE\(w, o\);", ""),),
        "other harts execute fence.i before the stores are visible", races=((TOLD, "stale"),),
    ),
    Mutant(
        "init-nop-unlocked", "6.12", FTRACE,
        (
            Edit(
                r"(?s)(int ftrace_init_nop\(.*?)mutex_lock\(&text_mutex\);(.*?)mutex_unlock\(&text_mutex\);", r"\1\2"
            ),
        ),
        "another writer may use the same fixmap slots", races=((INIT, "lost"),),
    ),
    Mutant(
        "update-unlocked", "6.12", FTRACE,
        (
            Edit(r"(?s)(void ftrace_arch_code_modify_prepare\(.*?)mutex_lock\(&text_mutex\);", r"\1"),
            Edit(r"(?s)(void ftrace_arch_code_modify_post_process\(.*?)mutex_unlock\(&text_mutex\);", r"\1"),
        ),
        "an update of sites takes no lock",
        why_missed="the machine is stopped only when nobody has a slot mapped, as writers are not preempted then",
    ),
)  # fmt: skip


class MutantError(Exception):
    """A mutant cannot be made; the text says why."""


def mutate(text: str, mutant: Mutant) -> str:
    """Return a file's text with a mutant's bug."""
    for edit in mutant.edits:
        found = len(re.findall(edit.anchor, text))
        if found != edit.count:
            raise MutantError(
                f"{mutant.name}: {edit.anchor!r} matches {found} places of {mutant.file}, not {edit.count}"
            )
        text = re.sub(edit.anchor, edit.new, text)
    return text


def version_of(source: Path) -> str:
    """Return "VERSION.PATCHLEVEL" of a tree."""
    makefile = (source / "Makefile").read_text(encoding="utf-8")
    parts = [re.search(rf"(?m)^{name} = (\d+)", makefile) for name in ("VERSION", "PATCHLEVEL")]
    return ".".join(part[1] if part else "?" for part in parts)


def saved_command(path: Path) -> str:
    """Return the command that a .cmd file keeps."""
    match = re.match(r"savedcmd_\S+ := (.*)", path.read_text(encoding="utf-8"))
    if match is None:
        raise MutantError(f"{path}: no command")
    return match[1].replace("$$", "$").replace("\\#", "#").strip()


class Build:
    """A finished build, from which kernels are linked that differ in some objects."""

    def __init__(self, source: Path, out: Path):
        self.source, self.out = source.resolve(), out.resolve()
        commands = [self.out / f".{name}.cmd" for name in ("vmlinux.unstripped", "vmlinux")]
        link = shlex.split(saved_command(next(path for path in commands if path.exists())).partition(";")[0])
        self.linker, flags = link[1], f"{link[2]} {link[3]}"
        whole = saved_command(self.out / ".vmlinux.o.cmd")
        libraries = re.search(r"--start-group (.*) --end-group", whole)
        tables = sorted(self.out.glob(".tmp_vmlinux[123].kallsyms.o"))
        self.head = [*flags.split(), "--script=arch/riscv/kernel/vmlinux.lds", "--strip-debug", "--whole-archive"]
        self.tail = ["--no-whole-archive", "--start-group", *(libraries[1].split() if libraries else ()), "--end-group"]
        self.tail += [path.name for path in (*tables[-1:], *self.out.glob(".tmp_vmlinux1.btf.o"))]
        self.objects = [*self._members(), *self._others()]

    def _members(self) -> list[str]:
        """Return the object files of vmlinux.a, a thin archive, in order."""
        listed = subprocess.run(["ar", "t", "vmlinux.a"], cwd=self.out, capture_output=True, text=True, check=True)
        return [str(Path(name)) for name in listed.stdout.split()]

    def _others(self) -> list[str]:
        names = (".builtin-dtbs.o", ".vmlinux.export.o", "init/version-timestamp.o")
        return [name for name in names if (self.out / name).exists()]

    def compile(self, name: str, mirror: Path) -> Path:
        """Compile an object as it was, but with the files under a directory instead of those in the tree."""
        path = self.out / name
        record = path.with_name(f".{path.name}.cmd")
        command = saved_command(record).partition(";")[0]
        origin = re.search(r"(?m)^source_\S+ := (\S+)", record.read_text(encoding="utf-8"))
        if origin is None:
            raise MutantError(f"{record}: no source")
        relative = (self.out / origin[1]).resolve().relative_to(self.source)
        target = mirror / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if (edited := mirror / relative).exists():
            named = next((name for name in (origin[1], str(self.source / relative)) if f" {name}" in command), None)
            if named is None:
                raise MutantError(f"{record}: the command does not name {origin[1]}")
            command = command.replace(f" {named}", f" {edited}")
        command = re.sub(r"-Wp,-MMD,\S+", "", command).replace(f"-o {name}", f"-o {target}")
        command = command.replace(" -I", f" -I{mirror / HEADERS} -I", 1)
        self._run(["sh", "-c", command])
        return target

    def link(self, target: Path, changed: dict[str, Path]) -> None:
        """Link a vmlinux with some objects in the place of others."""
        missing = changed.keys() - set(self.objects)
        if missing:
            raise MutantError(f"not in vmlinux.a: {', '.join(sorted(missing))}")
        listing = target.with_suffix(".rsp")
        listing.write_text("\n".join(str(changed.get(name, name)) for name in self.objects), encoding="utf-8")
        self._run([self.linker, *self.head, f"@{listing}", *self.tail, "-o", str(target)])
        self._sort_tables(target)

    def _sort_tables(self, target: Path) -> None:
        """Sort what is sorted at build time; newer kernels' sorttable drops sites of no function with it."""
        if not (self.out / "scripts/sorttable").exists():
            return
        options = []
        if "nm-sort" in (self.source / "scripts/link-vmlinux.sh").read_text(encoding="utf-8"):
            names = target.with_suffix(".nm")
            names.write_text(self._run([self._nm, "-S", str(target)]), encoding="utf-8")
            options = ["-s", str(names)]
        self._run(["scripts/sorttable", *options, str(target)])

    @property
    def _nm(self) -> str:
        """The toolchain's nm: its name is the linker's but for a part."""
        return self.linker.replace("ld.lld", "llvm-nm") if "lld" in self.linker else re.sub("ld$", "nm", self.linker)

    def _run(self, command: list[str]) -> str:
        done = subprocess.run(command, cwd=self.out, capture_output=True, text=True, check=False)
        if done.returncode:
            raise MutantError(f"{command[0]}: {done.stderr.strip()[-2000:]}")
        return done.stdout


Key = tuple[str, str, str]


@dataclass(frozen=True, slots=True)
class Findings:
    """What verification said of one kernel.

    Args:
        failures: (state, promise, what) to how many sites.
        sequences: what was done in which order.
        tried: how many states were.
        notes: what else was said.
        seconds: how long it took.
    """

    failures: dict[Key, int]
    sequences: dict[str, tuple[str, ...]]
    tried: int
    notes: tuple[str, ...]
    seconds: float = 0.0


def find(vmlinux: Path) -> Findings:
    """Verify a kernel."""
    result: Verification = verify(read_image(open_content(str(vmlinux))))
    failures: dict[Key, int] = {}
    for failure in result.failures:
        key = (str(failure.state), str(failure.promise), str(failure.what))
        failures[key] = failures.get(key, 0) + len(failure.lanes)
    sequences = {name: tuple(_shape(step) for step in steps) for name, steps in result.sequences.items()}
    tried = sum(not state.skipped for state in result.states)
    return Findings(failures, sequences, tried, tuple(result.notes), result.seconds)


def _shape(step: str) -> str:
    """A step without the value that it stores: addresses change with every link."""
    return step.partition(": 0x")[0]


Way = tuple[str, str]
"""A scenario and a kind in which it breaks."""


@dataclass(frozen=True, slots=True)
class Raced:
    """What exploring said of one kernel.

    Args:
        broken: how scenarios break, to a row that says so.
        notes: what else was said.
        tried: names of the scenarios that there were, to their most states.
    """

    broken: dict[Way, RaceRow] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    tried: dict[str, int] = field(default_factory=dict)


def race(vmlinux: Path, setting: str = "") -> Raced:
    """Explore what a kernel does to a function of each alignment.

    Args:
        vmlinux: the kernel.
        setting: of the environment that is another than the kernel's own.
    """
    image = read_image(open_content(str(vmlinux)))
    broken: dict[Way, RaceRow] = {}
    notes: dict[str, None] = {}
    tried: dict[str, int] = {}
    for function in _functions(image):
        races = kernel_races(image, function=function, writers=True)
        world = _world(races.settings, setting)
        notes |= {note.replace(f"{image.path}: ", "").replace(function, "FUNCTION"): None for note in races.notes}
        for scenario in races.scenarios:
            row = explored(function, scenario.name, scenario, world)
            tried[row.transition] = max(row.states, tried.get(row.transition, 0))
            if row.verdict == "unknown":
                raise MutantError(f"{vmlinux}: {function}: {row.transition}: {row.why}")
            for kind in row.kinds:
                key = row.transition, kind
                if key not in broken or _steps(row, kind) < _steps(broken[key], kind):
                    broken[key] = row
    return Raced(broken, tuple(notes), tried)


def _functions(image: KernelImage) -> list[str]:
    found = list(functions_by_alignment(image).values())
    return [*found, *([MORE] if len(found) == 1 and MORE not in found else [])]


def _world(own: Environment, setting: str) -> Environment:
    if not setting:
        return own
    named = get_environment(f"smp,{setting}")
    return replace(own, **{name: getattr(named, name) for name in (part.split("=")[0] for part in setting.split(","))})


def _steps(row: RaceRow, kind: str) -> int:
    return len(row.witnesses[kind]) - 1


@dataclass(frozen=True, slots=True)
class Verdict:
    """What came of one mutant.

    Args:
        mutant: which.
        new: what verification reports of it only.
        sequences: functions that do something else.
        notes: what verification says beside.
        raced: what exploring reports of it only; None if it was not explored.
    """

    mutant: Mutant
    new: dict[Key, int]
    sequences: tuple[str, ...]
    notes: tuple[str, ...]
    raced: Raced | None = None

    @property
    def detected(self) -> bool:
        """Whether anything was reported that is not of the kernel without it."""
        return bool(self.new or self.is_noted or (self.raced is not None and self.raced.broken))

    @property
    def is_noted(self) -> bool:
        """Whether exploring said beside its verdicts what it must say."""
        noted = self.mutant.noted
        return bool(noted) and self.raced is not None and any(noted in note for note in self.raced.notes)

    @property
    def as_expected(self) -> bool:
        """Whether what had to be reported was, and nothing where nothing can be."""
        wanted, ways = set(self.mutant.expect), set(self.mutant.races)
        if wanted and not wanted <= self.new.keys():
            return False
        if not wanted and self.new and not ways:
            return False
        if self.raced is None:
            return not ways and not self.mutant.noted
        as_noted = self.is_noted or not self.mutant.noted
        return as_noted and (ways <= self.raced.broken.keys() if ways else not self.raced.broken)


def compare(mutant: Mutant, found: Findings, base: Findings) -> Verdict:
    """Return what is reported of a mutant and not of the kernel without it.

    A state in which that kernel fails is left out: how it fails depends on where its code happens to lie.
    """
    failing = {state for state, _, _ in base.failures}
    new = {key: count for key, count in found.failures.items() if key[0] not in failing}
    names = base.sequences.keys() | found.sequences.keys()
    changed = tuple(sorted(name for name in names if found.sequences.get(name) != base.sequences.get(name)))
    return Verdict(mutant, new, changed, tuple(note for note in found.notes if note not in base.notes))


def newly(found: Raced, base: Raced) -> Raced:
    """Return what exploring reports of a mutant and not of the kernel without it."""
    broken = {way: row for way, row in found.broken.items() if way not in base.broken}
    gone = tuple(f"no scenario {name!r}" for name in base.tried if name not in found.tried)
    return Raced(broken, (*gone, *(note for note in found.notes if note not in base.notes)), found.tried)


def row(verdict: Verdict) -> str:
    """Return a mutant's line of the table."""
    mutant, most = verdict.mutant, 4
    wanted = sorted(verdict.new, key=lambda key: key not in mutant.expect)
    told = [f"{state}: {promise} {what} ({verdict.new[state, promise, what]})" for state, promise, what in wanted]
    text = "; ".join(told[:most]) + (f"; {len(told) - most} more" if len(told) > most else "")
    ways = _ways(verdict)
    if not told and not ways:
        text = f"**missed**: {mutant.why_missed or 'why is not known'}"
        text += "".join(f"; {name} differs" for name in verdict.sequences[:2])
    text += ("; " if told and ways else "") + ways
    text += "".join(f"; note: {note}" for note in verdict.notes[:2])
    mark = "" if verdict.as_expected else " **(not as expected)**"
    return f"| {mutant.tree} | {mutant.name} | {mutant.breaks} | {text}{mark} |"


def _ways(verdict: Verdict) -> str:
    """Return in words what exploring reported, with the length of the shortest path to it."""
    raced, mutant, most = verdict.raced, verdict.mutant, 4
    if raced is None:
        return ""
    wanted = sorted(raced.broken, key=lambda way: way not in mutant.races)
    told = [f"{name}: {kind} ({_steps(raced.broken[name, kind], kind)} steps)" for name, kind in wanted]
    text = "; ".join(told[:most]) + (f"; {len(told) - most} more" if len(told) > most else "")
    notes = [note for note in raced.notes if mutant.noted and mutant.noted in note]
    text = "; ".join([*([text] if text else []), *(f"no verdict, but a note: {note}" for note in notes[:1])])
    where = f", explored with {mutant.setting}" if mutant.setting else ""
    return f"race{where}: {text}" if text else ""


def _copy(source: Path, mirror: Path, file: str, text: str) -> None:
    (mirror / file).parent.mkdir(parents=True, exist_ok=True)
    (mirror / file).write_text(text, encoding="utf-8")


def _control(build: Build, mutants: list[Mutant], directory: Path) -> Findings:
    """Build everything that a mutant concerns unedited, and check that nothing comes of it."""
    mirror = directory / "control"
    for file in sorted({mutant.file for mutant in mutants}):
        _copy(build.source, mirror, file, (build.source / file).read_text(encoding="utf-8"))
    changed = {name: build.compile(name, mirror) for name in sorted({mutant.object for mutant in mutants} - {""})}
    build.link(mirror / "vmlinux", changed)
    found, genuine = find(mirror / "vmlinux"), find(build.out / "vmlinux")
    if (found.failures, found.sequences) != (genuine.failures, genuine.sequences):
        raise MutantError(f"the kernel linked again is not that of OUT: {_first_difference(found, genuine)}")
    return found


def _first_difference(found: Findings, genuine: Findings) -> str:
    return f"{found.failures} and not {genuine.failures}" if found.failures != genuine.failures else "other stores"


def _judged(build: Build, mutant: Mutant, mirror: Path, base: Findings, base_races: Raced) -> Verdict:
    """Make one mutant; verify it, and explore it if that says nothing or is not to be all."""
    text = (build.source / mutant.file).read_text(encoding="utf-8")
    _copy(build.source, mirror, mutant.file, mutate(text, mutant))
    changed = {mutant.object: build.compile(mutant.object, mirror)} if mutant.object else {}
    build.link(mirror / "vmlinux", changed)
    verdict = compare(mutant, find(mirror / "vmlinux"), base)
    if not verdict.detected or mutant.races:
        verdict = replace(verdict, raced=newly(race(mirror / "vmlinux", mutant.setting), base_races))
    return verdict


def run(source: Path, out: Path, mutants: list[Mutant], *, witness: bool, keep: Path | None) -> int:
    """Make mutants of a tree, print what came of each, and return an exit status.

    Args:
        source: the tree.
        out: a build of it.
        mutants: which.
        witness: list the shortest paths to what exploring reports.
        keep: a directory to make them in.
    """
    build = Build(source, out)
    unexpected = 0
    with tempfile.TemporaryDirectory() as temporary:
        directory = keep.resolve() if keep is not None else Path(temporary)
        base = _control(build, mutants, directory)
        base_races = race(directory / "control" / "vmlinux")
        print("| tree | mutant | what it breaks | detected by |\n| --- | --- | --- | --- |")
        for mutant in mutants:
            began, mirror = time.monotonic(), directory / mutant.name
            verdict = _judged(build, mutant, mirror, base, base_races)
            if keep is None:
                (mirror / "vmlinux").unlink()
            unexpected += not verdict.as_expected
            print(row(verdict), flush=True)
            if witness and verdict.raced is not None:
                _list_witnesses(mutant, verdict.raced)
            print(f"{mutant.name}: {time.monotonic() - began:.1f} s", file=sys.stderr, flush=True)
    told = [f"{' '.join(key)} ({count})" for key, count in base.failures.items()]
    told += [f"race: {name}: {kind}" for name, kind in base_races.broken]
    print(f"\nOf the kernel without any of them is reported: {', '.join(told) or 'nothing'}.")
    return 1 if unexpected else 0


def _list_witnesses(mutant: Mutant, raced: Raced) -> None:
    for note in raced.notes:
        print(f"{mutant.name}: note: {note}", file=sys.stderr)
    for (name, kind), found in raced.broken.items():
        print(f"\n{mutant.name}: {found.subject}: {name}: {kind}, {found.states} states", file=sys.stderr)
        print("\n".join(two_columns(list(found.witnesses[kind]))), file=sys.stderr)


def _chosen(version: str, only: list[str], *, unverified: bool) -> list[Mutant]:
    found = [each for each in MUTANTS if each.tree == version and (not only or each.name in only)]
    found = [each for each in found if not unverified or each.races or not each.expect]
    if not found:
        raise MutantError(f"no mutants for {version}")
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description="Break a kernel on purpose and see what genpatch says of it.")
    parser.add_argument("source", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--only", nargs="+", default=[], metavar="NAME")
    parser.add_argument("--unverified", action="store_true", help="only those that are explored")
    parser.add_argument("--witness", action="store_true", help="list shortest paths, on stderr")
    parser.add_argument("--keep", type=Path, metavar="DIRECTORY")
    given = parser.parse_args()
    try:
        mutants = _chosen(version_of(given.source), given.only, unverified=given.unverified)
        return run(given.source, given.out, mutants, witness=given.witness, keep=given.keep)
    except MutantError as error:
        print(f"mutants: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
