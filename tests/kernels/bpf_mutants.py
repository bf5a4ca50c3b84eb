# SPDX-License-Identifier: GPL-2.0-or-later
"""Break the BPF JIT of a kernel on purpose, one bug at a time, and see what running what it makes says of it.

    python -m tests.kernels.bpf_mutants SOURCE OUT [--only NAME...] [--keep DIRECTORY]

SOURCE and OUT are as for `mutants.py`, whose way of building this uses: the JIT is compiled again by the command
that the build left, with an edited copy of its source, and vmlinux is linked again. Mutants whose `setting` names
an option are made of a build that has it, and no others are.

A mutant is detected if a rule reports something of a trampoline that the kernel asks for, or of a program, and does
not report it of the kernel without the bug, or of fewer trampolines or programs of that. Of bugs about programs, only
programs are compiled, run and poked, and no trampolines made: that takes seconds. Exit 1 if a mutant is missed that
should be detected, if what is written beside it is not what is reported, or the other way about.
"""

from __future__ import annotations

import argparse
import re
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace

from genpatch.audit.registry import select
from genpatch.image.containers import open_content
from genpatch.image.read import read_image
from genpatch.verify.bpf.compiled_run import verify_programs
from genpatch.verify.bpf.run import BpfFailure, BpfResult, verify_bpf
from genpatch.verify.scene import prepare_scene

from .mutants import Build, Edit, Mutant, MutantError, mutate, version_of

JIT = "arch/riscv/net/bpf_jit_comp64.c"
RULES = "GP35"
ASKED, OTHER = "asked for", "other flags"
"""In the place of a mutant's states: programs, trampolines that the kernel asks for, and those of other flags."""
HARMLESS = "harmless: "
Expect = tuple[str, str]


def bug(
    name: str, tree: str, edits: Edit | tuple[Edit, ...], breaks: str, *expect: Expect, why_missed: str = "",
    setting: str = "",
) -> Mutant:  # fmt: skip
    """Return a mutant of the JIT.

    Args:
        name, tree, edits, breaks, why_missed: as a `Mutant` has them.
        expect: (promise, part of what it is about) of some that must be reported of trampolines asked for, or programs.
        setting: an option of the configuration that the build must have.
    """
    places = (edits,) if isinstance(edits, Edit) else edits
    wanted = tuple((ASKED, promise, what) for promise, what in expect)
    return Mutant(name, tree, JIT, places, breaks, wanted, why_missed=why_missed, setting=setting)


def drop(anchor: str, count: int = 1) -> Edit:
    """Drop a call and what follows it to the semicolon."""
    return Edit(rf"{anchor}[^;]*;", ";", count)


CALLED_BACK = r"(?s)(orig_call, true, ctx\);.*?)"
SLED = Edit(r"(RV_FENTRY_NINSNS) 2", r"\1 4")
KEEP_RA = Edit(r"(emit_sd\(RV_REG_SP, stack_size - 8, RV_REG_)T0", r"\1RA")
LEAVE_BY_RA = Edit(r"emit_jalr\(RV_REG_ZERO, RV_REG_T0, 0, ctx\)", "emit_jalr(RV_REG_ZERO, RV_REG_RA, 0, ctx)")
ADDRESS = Edit(r"ctx->insns \? (\(const s64\)im) : RV_MAX_COUNT_IMM", r"\1", 2)
SIGNED = "m->ret_flags & BTF_FMODEL_SIGNED_ARG"
BRANCH_BACK = r"(ninsns_rvoff\(ctx->ninsns - branches_off\[i\])\)"
ENTERED, PASSED, STACK, SEQUENCE, MADE = "original", "passed", "stack", "sequence", "made"
PROGRAM, POKE, CALLS, END = "program", "poke", "how often functions are called", "the end of the program"
REACHED = "how often the trampoline is reached"

BOTH = (
    # --- where the traced function is entered, and how the trampoline is left
    ("sled-16-bytes", SLED, "16 bytes are skipped where the sled has 8", ((ENTERED, "the traced function"),)),
    (
        "sled-16-bytes-and-ra", (SLED, KEEP_RA, LEAVE_BY_RA),
        "the seeds' bug: 16 bytes are skipped where the sled has 8, and ra is kept and left by, where the call sets t0",
        ((ENTERED, "the traced function"), ("leaves", "the trampoline")),
    ),
    ("ra-kept-for-t0", KEEP_RA, "ra is stored where t0 belongs", (("leaves", "the trampoline"), (STACK, "return"))),
    ("leaves-by-ra", LEAVE_BY_RA, "the traced function is never gone on with", (("leaves", "the trampoline"),)),
    (
        "ra-loaded-for-t0", Edit(r"emit_ld\(RV_REG_T0, stack_size", "emit_ld(RV_REG_RA, stack_size"),
        "t0 is not restored", (("leaves", "the trampoline"),),
    ),
    (
        "skip-frame-through-t0", Edit(r"(?s)(BPF_TRAMP_F_SKIP_FRAME\)[^;]*emit_jalr\(RV_REG_ZERO, RV_REG_)RA", r"\1T0"),
        "a trampoline that has called the function returns into it", (("leaves", "the trampoline"),),
    ),
    (
        "ra-not-restored", drop(r"emit_ld\(RV_REG_RA, 8, RV_REG_SP"), "ra is what the last call left in it",
        (("leaves", "the trampoline"), ("leaves", "ra")),
    ),
    (
        "fp-not-restored", drop(r"emit_ld\(RV_REG_FP, 0, RV_REG_SP"), "s0 is that of the traced function's frame",
        (("leaves", "s0"),),
    ),
    (
        "outer-frame-not-freed", Edit(r"emit_addi\(RV_REG_SP, RV_REG_SP, 16, ctx\);", ""), "sp is 16 too low",
        (("leaves", "sp"),),
    ),
    ("s1-not-saved", drop(r"emit_sd\(RV_REG_FP, -sreg_off, RV_REG_S1"), "s1 is loaded from a slot never written",
     (("leaves", "s1"), (STACK, "the stack"))),
    ("s1-not-restored", drop(r"emit_ld\(RV_REG_S1, -sreg_off"), "s1 is the last start time", (("leaves", "s1"),)),
    # --- P01 to P03
    (
        "struct-ops-as-from-entry", Edit(r"if \(!is_struct_ops\)", "if (1)", 2),
        "P02: trampolines that are called directly are made as if a function's entry had called them",
        (("leaves", "the trampoline"),),
    ),
    (
        "dry-run-with-its-own-im", ADDRESS,
        "P03: the dry run counts what the address of its own im takes, not the longest constant",
        (("size", "the dry run"),),
    ),
    (
        "dry-run-calls-near", Edit(r"if \(rvoff && fixed_addr", "if (fixed_addr"),
        "P03: the dry run takes every call for one that a jal reaches", (("size", "the dry run"),),
    ),
    (
        "dry-run-4-short", Edit(r"(ret < 0 \? ret : ninsns_rvoff\(ctx\.ninsns\))", r"\1 - 4"),
        "the dry run says 4 bytes too few", (("size", "the dry run"),),
    ),
    # --- slots
    (
        "args-slot-8-short", Edit(r"args_off = stack_size;", "args_off = stack_size - 8;"),
        "arguments lie 8 bytes higher, over the return value", (("arguments", "the number of argument slots"),),
    ),
    (
        "run-ctx-slot-8-short", Edit(r"run_ctx_off = stack_size;", "run_ctx_off = stack_size - 8;"),
        "run_ctx overlaps the slot above it", (("arguments", "the number of argument slots"),),
    ),
    (
        "s1-slot-8-short", Edit(r"sreg_off = stack_size;", "sreg_off = stack_size - 8;"),
        "s1 is kept in run_ctx", (("leaves", "s1"),),
    ),
    (
        "retval-slot-8-short", Edit(r"retval_off = stack_size;", "retval_off = stack_size - 8;"),
        "the return value is kept in the slot of a5, and a5 in that of the frame pointer", ((STACK, "frame pointer"),),
    ),
    (
        "ip-slot-8-short", Edit(r"\bip_off = stack_size;", "ip_off = stack_size - 8;"),
        "the ip is stored where the number of arguments belongs", (("arguments", "the ip"),),
    ),
    (
        "stack-arg-slot-8-short", Edit(r"stk_arg_off = stack_size;", "stk_arg_off = stack_size - 8;"),
        "arguments on the stack lie 8 bytes too high", ((PASSED, "on the stack"),),
    ),
    (
        "no-room-for-stack-args", Edit(r"stack_size \+= \(nr_arg_slots - RV_MAX_REG_ARGS\) \* 8;", ";"),
        "arguments on the stack are stored over what lies above", (("leaves", "s1"),),
    ),
    (
        "stack-size-not-rounded", drop(r"stack_size = round_up\(stack_size, STACK_ALIGN"),
        "sp is no multiple of 16", ((STACK, "sp at"),),
    ),
    # --- frames
    (
        "fp-16-low", Edit(r"emit_addi\(RV_REG_FP, RV_REG_SP, stack_size, ctx\)",
                          "emit_addi(RV_REG_FP, RV_REG_SP, stack_size - 16, ctx)", 2),
        "the frame pointer points to its own frame's contents", ((STACK, "frame"),),
    ),
    (
        "outer-fp-8-low", Edit(r"(emit_addi\(RV_REG_FP, RV_REG_SP, )16, ctx", r"\g<1>8, ctx"),
        "an unwinder finds no frame of the traced function", ((STACK, "frame"),),
    ),
    # --- arguments
    (
        "one-register-too-few-for-the-call", Edit(r"(min_t\(int, nr_arg_slots, RV_MAX_REG_ARGS\))(, args_off, ctx\);"
                                                  r"\s+restore_stack_args)", r"\1 - 1\2"),
        "the traced function gets its last argument in a register as the programs left it", ((PASSED, "a"),),
    ),
    (
        "one-register-too-few-restored", Edit(r"(RESTORE_REGS\)\s+restore_args\(min_t\([^)]*\))", r"\1 - 1"),
        "the function goes on with its last argument in a register as the programs left it", ((PASSED, "goes on"),),
    ),
    (
        "one-stack-argument-too-few", Edit(r"(restore_stack_args\(nr_arg_slots - RV_MAX_REG_ARGS)", r"\1 - 1"),
        "the traced function's last argument on the stack is whatever was there", ((PASSED, "on the stack"),),
    ),
    (
        "stack-args-read-8-high", Edit(r"(emit_ld\(RV_REG_T1, )16 \+", r"\g<1>24 +"),
        "arguments on the stack are read 8 bytes too high", (("arguments", "argument slot"), (PASSED, "on the stack")),
    ),
    (
        "stack-args-read-8-low", Edit(r"(emit_ld\(RV_REG_T1, )16 \+", r"\g<1>8 +"),
        "arguments on the stack are read 8 bytes too low", (("arguments", "argument slot"), (PASSED, "on the stack")),
    ),
    (
        "stack-args-copied-8-off", Edit(r"args_off - RV_MAX_REG_ARGS \* 8", "args_off - (RV_MAX_REG_ARGS - 1) * 8"),
        "what is copied for the call starts with the last argument in a register", ((PASSED, "on the stack"),),
    ),
    (
        "one-slot-an-argument", Edit(r"nr_arg_slots \+= [^;]*;", "nr_arg_slots++;"),
        "an argument of 16 bytes is taken for one of 8",
        (("arguments", "the number of argument slots"), (PASSED, "of the traced function")),
    ),
    # --- programs
    (
        "cookie-not-stored", Edit(r"if \((l|node)->cookie\)", "if (0)"), "programs find 0 for their cookie",
        (("arguments", "the cookie"),),
    ),
    (
        "cookie-not-cleared", Edit(r"emit_sd\(RV_REG_FP, -run_ctx_off \+ cookie_off, RV_REG_ZERO, ctx\);", ";"),
        "a program without a cookie finds that of the one before it, or what was on the stack",
        (("arguments", "the cookie"),),
    ),
    (
        "start-time-not-passed", drop(r"emit_mv\(RV_REG_A1, RV_REG_S1"), "the exit function gets another start time",
        (("arguments", "start time"),),
    ),
    (
        "start-time-not-kept", drop(r"emit_mv\(RV_REG_S1, RV_REG_A0"), "the exit function gets the caller's s1",
        (("arguments", "start time"),),
    ),
    (
        "exit-of-another-program",
        Edit(
            r"(?s)(if \(ctx->insns\) \{\s+int offset.*?)\(const u64\)(bpf_trampoline_exit\(p\))",
            r"\1({ p->sleepable ^= 1; u64 f = (u64)\2; p->sleepable ^= 1; f; })",
        ),
        "a program that may sleep is left as one that may not, and the other way about",
        (("arguments", "the exit function"),),
    ),
    (
        "exit-without-prog", Edit(r"(?s)(if \(ctx->insns\) \{\s+int offset.*?)emit_imm\(RV_REG_A0, [^;]*;", r"\1"),
        "the exit function gets what the program returned for the program", ((SEQUENCE, "exit of"),),
    ),
    (
        "exit-without-run-ctx", drop(r"emit_addi\(RV_REG_A2, RV_REG_FP, -run_ctx_off"),
        "the exit function gets junk for run_ctx", (("arguments", "run_ctx at"),),
    ),
    (
        "program-skipped-if-entered", Edit(r"rv_beq\(RV_REG_A0, RV_REG_ZERO, offset >> 1\)",
                                           "rv_bne(RV_REG_A0, RV_REG_ZERO, offset >> 1)"),
        "programs run if entering them says no", ((SEQUENCE, "instead of"),),
    ),
    (
        "skip-of-a-program-4-late", Edit(r"(ninsns_rvoff\(ctx->ninsns - branch_off\))", r"\1 + 4"),
        "the exit function is called without the first part of its first argument", ((SEQUENCE, "exit of"),),
    ),
    (
        "context-8-low", Edit(r"emit_addi\(RV_REG_A0, RV_REG_FP, -args_off, ctx\)",
                              "emit_addi(RV_REG_A0, RV_REG_FP, -args_off - 8, ctx)"),
        "programs find the number of arguments for the first of them", (("arguments", "argument slot"),),
    ),
    (
        "interpreter-without-insns", Edit(r"emit_imm\(RV_REG_A1, \(const s64\)p->insnsi, ctx\);", ";"),
        "the interpreter is called without the program's instructions",
        (("arguments", "the instructions of a program"),),
    ),
    # --- values
    (
        "value-not-kept-of-the-call", Edit(CALLED_BACK + r"emit_sd\(RV_REG_FP, -retval_off, RV_REG_A0, ctx\);", r"\1"),
        "what the traced function returns is lost", (("value", "the return value that a program sees"),),
    ),
    (
        "value-of-fmod-not-kept", Edit(r"run_ctx_off, true, ctx\)", "run_ctx_off, false, ctx)"),
        "what a fmod_ret program returns is lost", ((SEQUENCE, "the traced function instead of"),),
    ),
    (
        "value-not-restored", Edit(r"(\} else \{\s+)emit_ld\(RV_REG_A0, -retval_off, RV_REG_FP, ctx\);", r"\1"),
        "the caller gets what __bpf_tramp_exit left in a0", (("value", "the value that is returned"),),
    ),
    (
        "value-not-cleared-for-fmod",
        Edit(r"(?s)(ENOMEM;[^;]*?)emit_sd\(RV_REG_FP, -retval_off, RV_REG_ZERO, ctx\);", r"\1"),
        "if the first fmod_ret program is not run, its value is what was on the stack", ((SEQUENCE, "enter of fexit"),),
    ),
    (
        "fmod-branch-turned", Edit(r"rv_bne\(RV_REG_T1, RV_REG_ZERO", "rv_beq(RV_REG_T1, RV_REG_ZERO"),
        "the traced function is called if a program returns an error, and else not", ((SEQUENCE, "instead of"),),
    ),
    (
        "fmod-branch-4-late", Edit(BRANCH_BACK, r"\1) + 4"),
        "an error is branched past the first instruction behind the call", (("arguments", "the cookie"),),
    ),
    (
        "fmod-t1-spoiled", Edit(r"emit_ld\(RV_REG_T1, -retval_off, RV_REG_FP, ctx\);",
                                "emit_ld(RV_REG_T1, -retval_off, RV_REG_FP, ctx); emit_li(RV_REG_T1, 0, ctx);"),
        "t1 is something else when it is branched on", ((SEQUENCE, "the traced function instead of"),),
    ),
    (
        "struct-ops-not-extended", Edit(r"ret = sign_extend\(RV_REG_A0, [^;]*;",
                                        "emit_mv(RV_REG_A0, regmap[BPF_REG_0], ctx);"),
        "a narrow value that a struct_ops program returns keeps its high bits", (("value", "the value that is"),),
    ),
    (
        "struct-ops-extended-as-8", Edit(r"(RV_REG_A0, regmap\[BPF_REG_0\], )m->ret_size", r"\1m->ret_size ? 8 : 0"),
        "a value is extended as if it were twice as wide or more", (("value", "the value that is returned"),),
    ),
    (
        "struct-ops-sign-turned", Edit(re.escape(SIGNED), f"!({SIGNED})"),
        "signed values are taken for unsigned ones, and the other way about", (("value", "the value that is"),),
    ),
    # --- around the traced function
    (
        "tramp-exit-without-im", Edit(r"(?s)(fexit.*)emit_imm\(RV_REG_A0, ctx->insns \? [^;]*;", r"\1"),
        "__bpf_tramp_exit gets junk for im", (("arguments", "im at"),),
    ),
    (
        "tramp-enter-of-the-next",
        Edit(r"(?s)^(.*?emit_imm\(RV_REG_A0, ctx->insns \? \(const s64\))im ", r"\1(im + 1) "),
        "__bpf_tramp_enter counts in another image", (("arguments", "im at"),),
    ),
)  # fmt: skip
"""(name, edits, what it breaks, what must be reported) of bugs that trees have in common."""

ALSO_IN_NEWER = (
    "sled-16-bytes", "leaves-by-ra", "s1-not-restored", "struct-ops-as-from-entry", "dry-run-with-its-own-im",
    "args-slot-8-short", "one-register-too-few-for-the-call", "struct-ops-not-extended", "struct-ops-extended-as-8",
)  # fmt: skip
"""Those that are made of 7.2, too; the lines that the others edit are the same there."""

TRAMPOLINES = (
    *(
        bug(name, tree, edits, breaks, *(expect[0] if expect else ()))
        for tree in ("6.12", "7.2")
        for name, edits, breaks, *expect in BOTH
        if tree == "6.12" or name in ALSO_IN_NEWER
    ),
    # --- 6.12
    bug(
        "call-orig-wrong-flag", "6.12",
        Edit(r"(if \(flags & BPF_TRAMP_F_)SKIP_FRAME(\)\s+orig_call)", r"\1ORIG_STACK\2"),
        "P01: ORIG_STACK is tested instead of CALL_ORIG, and the traced function is called with its sled",
        (ENTERED, "the traced function"),
    ),
    bug(
        "cookie-8-off", "6.12", Edit(r"(-run_ctx_off \+ cookie_off)(, RV_REG_T1)", r"\1 + 8\2"),
        "cookies are stored in the field behind that for them", ("arguments", "the cookie"),
    ),
    bug(
        "number-of-arguments-not-slots", "6.12",
        Edit(r"emit_li\(RV_REG_T1, nr_arg_slots", "emit_li(RV_REG_T1, m->nr_args"),
        "an argument of 16 bytes counts once", ("arguments", "the number of argument slots"),
    ),
    bug(
        "ip-behind-the-sled", "6.12", Edit(r"(emit_imm\(RV_REG_T1, \(const s64\)func_addr)", r"\1 + RV_FENTRY_NBYTES"),
        "programs are told the address behind the sled", ("arguments", "the ip"),
    ),
    bug(
        "fmod-branch-4-early", "6.12", Edit(BRANCH_BACK, r"\1) - 4"), "an error is branched to one instruction early",
        ("leaves", "the trampoline, with a program detached"),
    ),
    bug(
        "fmod-branch-16-early", "6.12", Edit(BRANCH_BACK, r"\1) - 16"),
        "an error is branched to where the traced function's value is stored, or near it", ("value", "the "),
    ),
    bug(
        "after-call-4-late", "6.12", Edit(r"(im->ip_after_call = ctx->ro_insns \+ ctx->ninsns)", r"\1 + 2"),
        "the kernel's jump of two instructions has one nop to be written over",
        (MADE, "the jump over programs"),
    ),
    bug(
        "after-call-8-late", "6.12", Edit(r"(im->ip_after_call = ctx->ro_insns \+ ctx->ninsns)", r"\1 + 4"),
        "the kernel's jump has no nop to be written over", (MADE, "the jump over programs"),
    ),
    bug(
        "epilogue-4-late", "6.12", Edit(r"(im->ip_epilogue = ctx->ro_insns \+ ctx->ninsns)", r"\1 + 2"),
        "the kernel's jump leads behind the first part of __bpf_tramp_exit's argument",
        ("arguments", "im at __bpf_tramp_exit, with a program detached"),
    ),
    # --- 7.2
    bug(
        "call-orig-wrong-flag", "7.2", Edit(r"(orig_call \+= [^;]*;)", r"if (flags & BPF_TRAMP_F_ORIG_STACK) \1"),
        "P01: ORIG_STACK is tested instead of CALL_ORIG, and the traced function is called with its sled",
        (ENTERED, "the traced function"),
    ),
    bug(
        "cookie-8-off", "7.2", Edit(r"(RV_REG_T1, -run_ctx_off \+ cookie_off)", r"\1 + 8"),
        "cookies are stored in the field behind that for them", ("arguments", "the cookie"),
    ),
    bug(
        "number-of-arguments-not-slots", "7.2", Edit(r"func_meta = nr_arg_slots;", "func_meta = m->nr_args;"),
        "an argument of 16 bytes counts once", ("arguments", "the number of argument slots"),
    ),
    bug(
        "ip-behind-the-sled", "7.2", Edit(r"(-ip_off, \(u64\)func_addr)", r"\1 + RV_FENTRY_NBYTES"),
        "programs are told the address behind the sled", ("arguments", "the ip"),
    ),
    bug(
        "fmod-branch-4-early", "7.2", Edit(BRANCH_BACK, r"\1) - 4"),
        "an error is branched to where the call's a5 is stored",
        why_missed=HARMLESS + "only struct_ops trampolines load that slot for their caller, and they call no fmod_ret",
    ),
    bug(
        "fmod-branch-4-late", "7.2", Edit(BRANCH_BACK, r"\1) + 4"),
        "an error is branched past a nop, or into the middle of storing is_return, or of __bpf_tramp_exit's argument",
        ("arguments", "the number of argument slots"),
    ),
    bug(
        "fmod-branch-8-early", "7.2", Edit(BRANCH_BACK, r"\1) - 8"),
        "an error is branched to where the call's value is stored", ("value", "the "),
    ),
    # --- 7.2: sessions
    bug(
        "session-is-return-never", "7.2", drop(r"func_meta \|= \(1ULL << BPF_TRAMP_IS_RETURN"),
        "programs are told at exit that it is entry", ("arguments", "is_return"),
    ),
    bug(
        "session-is-return-not-stored", "7.2",
        Edit(r"(?s)(IS_RETURN_SHIFT.*?)emit_store_stack_imm64\(RV_REG_T1, -func_meta_off[^;]*;", r"\1;"),
        "programs without a cookie are told at exit that it is entry", ("arguments", "is_return"),
    ),
    bug(
        "session-is-return-always", "7.2",
        Edit(r"func_meta = nr_arg_slots;", "func_meta = nr_arg_slots | (1ULL << BPF_TRAMP_IS_RETURN_SHIFT);"),
        "programs are told at entry that it is exit", ("arguments", "is_return"),
    ),
    bug(
        "session-cookies-shared", "7.2", drop("cur_cookie--"), "all sessions of a trampoline share one cookie",
        ("arguments", "the cookie of a session"),
    ),
    bug(
        "session-cookie-8-low", "7.2", Edit(r"cur_cookie = \(cookie_off - args_off\) / 8",
                                            "cur_cookie = (cookie_off - args_off) / 8 + 1"),
        "the first session's cookie lies in run_ctx", ("arguments", "the cookie"),
    ),
    bug(
        "session-cookies-without-room", "7.2", Edit(r"stack_size \+= cookie_cnt \* 8;", ";"),
        "cookies of sessions lie over what is above them", ("arguments", "the "),
    ),
    bug(
        "session-cookie-slot-8-short", "7.2", Edit(r"\bcookie_off = stack_size;", "cookie_off = stack_size - 8;"),
        "the last session's cookie lies over the ip or the number of arguments", ("arguments", "the "),
    ),
    bug(
        "session-one-cookie-cleared", "7.2", Edit(r"(-cookie_off \+ 8) \* i", r"\1 * 0"),
        "the second session finds what was on the stack", ("arguments", "the cookie of a session"),
    ),
    bug(
        "session-value-not-cleared", "7.2",
        Edit(r"(?s)(-cookie_off \+ 8 \* i[^;]*;.*?)emit_sd\(RV_REG_FP, -retval_off, RV_REG_ZERO, ctx\);", r"\1"),
        "a session finds at entry what was on the stack for the return value", ("value", "that a program sees"),
    ),
    # --- 7.2: programs that are detached
    bug(
        "skip-nop-left-out", "7.2",
        Edit(r"(?s)(skip = ctx->ro_insns \+ ctx->ninsns;.*?)emit\(rv_nop\(\), ctx\);", r"\1"),
        "the jump past a detached program is written over another instruction",
        (MADE, "the jump over a program"),
    ),
    bug(
        "skip-to-the-exit-function", "7.2", Edit(r"(add_skip\(im, p, skip, ctx->ro_insns \+ ctx->ninsns)", r"\1 - 2"),
        "the jump past a detached program leads to its exit function's call",
        ("leaves", "the trampoline, with a program detached"),
    ),
    # --- 7.2 with CFI
    bug(
        "no-hash-before-struct-ops", "7.2", Edit(r"emit_kcfi\(cfi_get_func_hash\(func_addr\), ctx\);", ""),
        "trampolines of struct_ops are entered behind their first instructions", ("arguments", "run_ctx"),
        setting="CFI",
    ),
    bug(
        "hash-twice-before-struct-ops", "7.2", Edit(r"(emit_kcfi\(cfi_get_func_hash\(func_addr\), ctx\);)", r"\1 \1"),
        "the second of two hashes before a trampoline of struct_ops is executed, and changes a register",
        ("arguments", "argument slot"),
        setting="CFI",
    ),
)  # fmt: skip

LANDS = r"(_NINSNS \+ 1\) \* 4) : 0"
EXTENDED = r"if \((sign_extend\(reg, reg, fm->arg_size[^)]*\))\)"
POKED = r"is_call \? RV_REG_T0 : RV_REG_ZERO"
IN_BOTH = (
    (
        "tail-call-4-early", Edit(LANDS, r"\1 - 4 : 0"),
        "a tail call lands on what sets the tail-call counter, so there is no limit", ((PROGRAM, CALLS),),
    ),
    (
        "tail-call-4-late", Edit(LANDS, r"\1 + 4 : 0"),
        "a tail call lands behind the making of the frame, or within it", ((PROGRAM, END),),
    ),
    (
        "tail-call-2-late", Edit(LANDS, r"\1 + 2 : 0"),
        "a tail call lands behind a compressed instruction that makes the frame, or within a longer one",
        ((PROGRAM, END),),
    ),
    (
        "program-sled-of-4-nops", Edit(r"(i < RV_FENTRY_NINSNS)(; i\+\+)", r"\1 + 2\2"),
        "a program starts with 4 nops; 2 are poked, and a tail call skips 2 and an instruction", ((PROGRAM, CALLS),),
    ),
)  # fmt: skip
"""(name, edits, what it breaks, what must be reported) of bugs about programs that are made of both trees."""

PROGRAMS = (
    *(bug(name, tree, edits, breaks, *expect) for tree in ("6.12", "7.2") for name, edits, breaks, expect in IN_BOTH),
    # --- arguments of kernel functions
    bug(
        "kfunc-arguments-not-extended", "6.12", Edit(r"if \(fm->arg_size\[idx\] == sizeof\(int\)\)", "if (0)"),
        "kernel functions get arguments of 32 bits with their high bits cleared", (PROGRAM, "of kfunc"),
    ),
    bug(
        "kfunc-arguments-not-extended", "7.2", Edit(EXTENDED, r"if (0 && \1)"),
        "kernel functions get arguments below 64 bits with their high bits cleared", (PROGRAM, "of kfunc"),
    ),
    bug(
        "kfunc-arguments-zero-extended", "7.2",
        Edit(EXTENDED, r"if (!sign && fm->arg_size[idx] == 4) emit_zextw(reg, reg, ctx); else if (\1)"),
        "unsigned arguments of 32 bits are extended with zeros", (PROGRAM, "of kfunc"),
    ),
    # --- bpf_arch_text_poke()
    bug(
        "poke-links-in-ra", "7.2", Edit(POKED, "is_call ? RV_REG_RA : RV_REG_ZERO"),
        "the call at a program's sled sets ra, where the trampoline goes on by t0", (POKE, "ra at the trampoline"),
    ),
    bug(
        "poke-jumps-through-t0", "7.2", Edit(POKED, "RV_REG_T0"), "a jump at a program's sled sets t0, too",
        why_missed=HARMLESS + "a function may change t0, and what a jump leads to does not read it",
    ),
    bug(
        "poke-leads-4-late", "7.2", Edit(r"(return emit_jump_and_link\([^;]*, rvoff)(, false, &ctx\))", r"\1 + 4\2"),
        "the call at a program's sled leads behind the trampoline's first instruction", (POKE, REACHED),
    ),
    bug(
        "poke-accepts-what-is-stale", "7.2", Edit(r"if \(memcmp\(ip, old_insns, RV_FENTRY_NBYTES\)\)", "if (0)"),
        "another call is replaced than that which is named", (POKE, "where something else is"),
    ),
    bug(
        "poke-compares-half", "7.2", Edit(r"(memcmp\(ip, old_insns, )RV_FENTRY_NBYTES", r"\g<1>4"),
        "a call that differs in its second instruction only is taken for that which is named",
        (POKE, "where something else is"),
    ),
    bug(
        "poke-writes-half", "7.2", Edit(r"(patch_text\(ip, new_insns, )RV_FENTRY_NBYTES", r"\g<1>4"),
        "the second instruction of the call is never written", (POKE, REACHED), (POKE, "its value"),
    ),
    # --- how programs are entered and left
    bug(
        "program-a0-not-extended", "7.2",
        Edit(r"emit_addiw\(RV_REG_A0, RV_REG_A5, 0, ctx\)", "emit_mv(RV_REG_A0, RV_REG_A5, ctx)"),
        "a program returns 64 bits where its caller reads a value of 32", (PROGRAM, "the value returned (a0)"),
    ),
    bug(
        "program-s1-not-restored", "7.2", drop(r"emit_ld\(RV_REG_S1, store_offset"),
        "s1 is what the program left in it", (STACK, "s1 at the end"),
    ),
    bug(
        "program-ra-not-saved", "7.2", drop(r"emit_sd\(RV_REG_SP, store_offset, RV_REG_RA"),
        "a program that calls returns to what was on the stack", (PROGRAM, END),
    ),
    bug(
        "subprogram-call-not-marked", "7.2",
        Edit(r"mark_call\(ctx\);", "if (insn->src_reg != BPF_PSEUDO_CALL) mark_call(ctx);"),
        "a program that calls nothing but its own functions does not keep ra", (PROGRAM, END),
    ),
    bug(
        "program-fp-16-low", "7.2",
        Edit(r"(emit_addi\(RV_REG_FP, RV_REG_SP, stack_adjust), ctx", r"\1 - 16, ctx"),
        "an unwinder finds no frame of the program", (STACK, "the frame pointer at"),
    ),
    bug(
        "program-stack-8-low", "7.2", Edit(r"(RV_REG_S5, RV_REG_SP, bpf_stack_adjust)", r"\1 - 8"),
        "the program's stack reaches below sp", (STACK, "a store below sp"),
    ),
    bug(
        "program-stack-16-high", "7.2", Edit(r"(RV_REG_S5, RV_REG_SP, bpf_stack_adjust)", r"\1 + 16"),
        "the program's stack lies over the registers that are kept", (STACK, "at the end"),
    ),
    bug(
        "program-frame-not-rounded", "7.2", drop(r"[^_]stack_adjust = round_up\(stack_adjust, STACK_ALIGN"),
        "sp is no multiple of 16", (STACK, "sp at"),
    ),
    # --- tail calls
    bug(
        "tail-call-frame-not-freed", "7.2",
        Edit(r"(emit_addi\(RV_REG_SP, RV_REG_SP, stack_adjust), ctx", r"\1 - 16 * is_tail_call, ctx"),
        "a tail call leaves 16 bytes of its frame", (STACK, "sp at the end"),
    ),
    bug(
        "tail-call-limit-32", "7.2", Edit(r"(RV_REG_TCC, RV_REG_ZERO, MAX_TAIL_CALL_CNT)", r"\1 - 1"),
        "32 tail calls are allowed, not 33", (PROGRAM, CALLS),
    ),
    bug(
        "tail-call-counter-not-kept", "7.2", Edit(r"(seen_tail_call\(ctx\) && seen_call\(ctx\))\)", r"\1 && 0)"),
        "the counter is not kept over a call", (PROGRAM, CALLS),
    ),
    bug(
        "tail-call-index-not-cut", "7.2", drop(r"emit_zextw\(RV_REG_A2, RV_REG_A2"),
        "an index of 32 bits is compared with its high bits", (PROGRAM, "R0 (a5)"),
    ),
    bug(
        "tail-call-of-nothing", "7.2", drop(r"emit_branch\(BPF_JEQ, RV_REG_T2, RV_REG_ZERO"),
        "an empty place of the array is called", (PROGRAM, END),
    ),
    # --- what instructions compute
    bug(
        "helper-result-not-moved", "7.2", Edit(r"if \(insn->src_reg != BPF_PSEUDO_CALL\)(\s+emit_mv)", r"if (0)\1"),
        "R0 is not what a helper returned", (PROGRAM, "R0 (a5)"),
    ),
    bug(
        "far-branch-4-late", "7.2", Edit(r"(?s)(is_13b_int\(rvoff\)\) \{[^}]*\}[^;]*?)rvoff -= 4;", r"\1;"),
        "a branch over more than 4 KiB leads 4 bytes too far", (PROGRAM, END),
    ),
    bug(
        "add-of-32-bits-not-cut", "7.2", Edit(r"(emit_add\(rd, rd, rs, ctx\);\s+if \()!is64", r"\g<1>0 && !is64"),
        "a sum of 32 bits keeps what is above them", (PROGRAM, "+ 0xfedcba9876543210, 32 bits"),
    ),
)  # fmt: skip
"""Bugs that are about programs, not trampolines."""

MUTANTS = (*TRAMPOLINES, *PROGRAMS)

Key = tuple[str, str, str, str]


@dataclass(frozen=True, slots=True)
class Reported:
    """Something that is reported of a kernel's trampolines and programs.

    Args:
        key: whether they are asked for, promise, what with its numbers left out, note.
        cases: how many trampolines or programs.
        rule: code of the rule that reports it, empty for none.
        message: as that rule has it.
        listing: how it came about, a line an instruction; may be empty.
    """

    key: Key
    cases: int
    rule: str
    message: str
    listing: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Found:
    """All that is reported of one kernel.

    Args:
        reported: the worst first.
        trouble: why nothing was run.
        notes: what else was said.
        cases, accepted: trampolines, and combinations of flags; none of either if programs alone were run.
        programs: that were compiled.
        seconds: how long it took.
    """

    reported: tuple[Reported, ...] = ()
    trouble: str = ""
    notes: tuple[str, ...] = ()
    cases: int = 0
    accepted: int = 0
    programs: int = 0
    seconds: float = 0.0


def find(vmlinux: Path) -> Found:
    """Run all trampolines and programs of a kernel."""
    return _found(verify_bpf(read_image(open_content(str(vmlinux)))))


def find_programs(vmlinux: Path) -> Found:
    """Run the programs of a kernel alone, and poke them."""
    image = read_image(open_content(str(vmlinux)))
    ran = verify_programs(image, prepare_scene(image))
    result = BpfResult(trouble=ran.trouble, programs=ran.compiled, failures=ran.failures, notes=ran.notes)
    return _found(replace(result, seconds=ran.seconds))


def _found(result: BpfResult) -> Found:
    reported = tuple(_reported(result, each) for each in result.failures)
    notes = tuple(result.notes)
    return Found(reported, result.trouble, notes, result.cases, result.accepted, result.programs, result.seconds)


def _reported(result: BpfResult, failure: BpfFailure) -> Reported:
    who = ASKED if failure.requested else OTHER
    key = (who, str(failure.promise), re.sub(r"\d+", "#", failure.what), failure.note)
    alone = SimpleNamespace(need_bpf=lambda: replace(result, failures=[failure], trouble=""))
    found = [(code, finding.message) for code, rule in select((RULES,)).items() for finding in rule.check(alone)]
    rule, message = found[0] if found else ("", failure.what)
    return Reported(key, failure.cases, rule, message, tuple(failure.listing))


@dataclass(frozen=True, slots=True)
class Verdict:
    """What came of one mutant.

    Args:
        mutant: which.
        new: what is reported of it only, or of more trampolines of it.
        before: of how many trampolines or programs of the kernel without it the same is reported.
        trouble: why nothing was run.
        notes: what is said beside of it only.
    """

    mutant: Mutant
    new: tuple[Reported, ...] = ()
    before: dict[Key, int] = field(default_factory=dict)
    trouble: str = ""
    notes: tuple[str, ...] = ()

    @property
    def detected(self) -> bool:
        """Whether a rule reports anything that is not of the kernel without it."""
        return any(each.rule for each in self.new)

    @property
    def wanted(self) -> list[Reported]:
        """What had to be reported, in the order in which it is written, of what is."""
        return [each for _, promise, what in self.mutant.expect for each in self.new if _is(each, promise, what)]

    @property
    def as_expected(self) -> bool:
        """Whether what had to be reported was, and nothing where nothing can be."""
        told = [any(_is(each, promise, what) for each in self.new) for _, promise, what in self.mutant.expect]
        return self.detected and all(told) if told else not self.detected


def _is(reported: Reported, promise: str, what: str) -> bool:
    return bool(reported.rule) and reported.key[1] == promise and re.sub(r"\d+", "#", what) in reported.key[2]


def compare(mutant: Mutant, found: Found, base: Found) -> Verdict:
    """Return what is reported of a mutant and not of the kernel without it."""
    before = {each.key: each.cases for each in base.reported}
    new = tuple(each for each in found.reported if each.cases > before.get(each.key, 0))
    notes = tuple(note for note in found.notes if note not in base.notes)
    return Verdict(mutant, new, before, found.trouble, notes)


def row(verdict: Verdict) -> str:
    """Return a mutant's line of the table."""
    mutant = verdict.mutant
    first = next(iter([*verdict.wanted, *(each for each in verdict.new if each.rule)]), None)
    mark = "" if verdict.as_expected else " **(not as expected)**"
    name = f"{mutant.name} ({mutant.setting})" if mutant.setting else mutant.name
    start = f"| {mutant.tree} | {name} | {mutant.breaks} |"
    if first is None:
        told = verdict.trouble or next((each.message for each in verdict.new), "")
        text = mutant.why_missed or "why is not known"
        text += f"; said beside: {told}".replace("|", "\\|") if told else ""
        text += "".join(f"; note: {note}" for note in verdict.notes[:2])
        return f"{start} **missed** | | {text}{mark} |"
    known = verdict.before.get(first.key, 0)
    text = first.message.replace("|", "\\|") + (f" ({known:,} of them without the bug)" if known else "")
    rest = {each.key[1] for each in verdict.new if each.rule} - {first.key[1]}
    text += f"; also {', '.join(sorted(rest))}" if rest else ""
    return f"{start} detected | {first.rule} {first.key[1]} | {text}{mark} |"


def _make(build: Build, mirror: Path, text: str) -> Path:
    """Build a kernel whose JIT has another source."""
    path = mirror / JIT
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    name = str(Path(JIT).with_suffix(".o"))
    build.link(mirror / "vmlinux", {name: build.compile(name, mirror)})
    return mirror / "vmlinux"


def verdicts(source: Path, out: Path, mutants: list[Mutant], directory: Path) -> Iterator[tuple[Verdict, Found]]:
    """Make mutants one after the other and yield what came of each; first of all, of none.

    Args:
        source: the tree.
        out: a build of it.
        mutants: which.
        directory: where they are made; the kernels are removed again.
    Raises:
        MutantError: one cannot be made, or the kernel linked again unedited is not that of OUT.
    """
    build = Build(source, out)
    text = (build.source / JIT).read_text(encoding="utf-8")
    control = _make(build, directory / "control", text)
    bases = {look: look(control) for look in {_look(mutant) for mutant in mutants}}
    for look, base in bases.items():
        genuine = look(build.out / "vmlinux")
        if _shape(base) != _shape(genuine):
            raise MutantError(f"the kernel linked again is not that of OUT: {_shape(base)} and not {_shape(genuine)}")
    for mutant in mutants:
        vmlinux = _make(build, directory / mutant.name, mutate(text, mutant))
        found = _look(mutant)(vmlinux)
        vmlinux.unlink()
        yield compare(mutant, found, bases[_look(mutant)]), bases[_look(mutant)]


def _look(mutant: Mutant) -> Callable[[Path], Found]:
    """Return how a kernel with a mutant is looked at."""
    return find_programs if mutant in PROGRAMS else find


def _shape(found: Found) -> list[tuple[Key, int]]:
    return [(each.key, each.cases) for each in found.reported]


def chosen(version: str, config: str, only: list[str]) -> list[Mutant]:
    """Return the mutants for a build: those of its version whose setting it has, or of that setting alone.

    Args:
        version: of the tree.
        config: the build's .config.
        only: names, none for all.
    """
    settings = {each.setting for each in MUTANTS if each.setting}
    has = {each for each in settings if f"\nCONFIG_{each}=y" in config}
    found = [each for each in MUTANTS if each.tree == version and (each.setting in has if has else not each.setting)]
    found = [each for each in found if each.name in only] if only else found
    if not found:
        raise MutantError(f"no mutants for {version}")
    return found


def run(source: Path, out: Path, only: list[str], keep: Path | None) -> int:
    """Make mutants of a tree, print what came of each, and return an exit status."""
    mutants = chosen(version_of(source), (out / ".config").read_text(encoding="utf-8"), only)
    unexpected, bases, began = 0, dict[int, Found](), time.monotonic()
    with tempfile.TemporaryDirectory() as temporary:
        directory = keep.resolve() if keep is not None else Path(temporary)
        print("| tree | mutant | what it breaks | | rule, promise | what is reported first |")
        print("| --- | --- | --- | --- | --- | --- |", flush=True)
        for verdict, sound in verdicts(source, out, mutants, directory):
            bases[sound.cases] = sound
            unexpected += not verdict.as_expected
            print(row(verdict), flush=True)
            _keep(verdict, directory / verdict.mutant.name)
            print(f"{verdict.mutant.name}: {time.monotonic() - began:.1f} s", file=sys.stderr, flush=True)
            began = time.monotonic()
    for base in bases.values():
        told = [f"{each.key[1]}: {each.message}" for each in base.reported if each.rule] or ["nothing"]
        of = f"{base.cases:,} trampolines and {base.programs} programs" if base.cases else f"{base.programs} programs"
        print(f"\nOf the kernel without any of them is reported, of {of}: {'; '.join(told)}.")
    return 1 if unexpected else 0


def _keep(verdict: Verdict, directory: Path) -> None:
    """Write down all that is reported of a mutant, with listings."""
    lines: list[str] = []
    for each in verdict.new:
        lines += [f"{each.rule or '-'} {each.key[0]}: {each.key[1]}: {each.message}", *each.listing, ""]
    lines += [verdict.trouble, *verdict.notes]
    (directory / "report.txt").write_text("\n".join(lines), encoding="utf-8")


def main() -> int:
    parser = argparse.ArgumentParser(description="Break a kernel's BPF JIT on purpose and see what genpatch says.")
    parser.add_argument("source", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--only", nargs="+", default=[], metavar="NAME")
    parser.add_argument("--keep", type=Path, metavar="DIRECTORY", help="for what is reported of each, with listings")
    given = parser.parse_args()
    try:
        return run(given.source, given.out, given.only, given.keep)
    except MutantError as error:
        print(f"bpf_mutants: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
