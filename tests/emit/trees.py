# SPDX-License-Identifier: GPL-2.0-or-later
"""Small trees in which every series finds its places, and the real ones that the environment names.

Set GENPATCH_KERNEL_SOURCES to trees, separated as in PATH.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

SOURCES = "GENPATCH_KERNEL_SOURCES"
USER = {
    "GIT_AUTHOR_NAME": "A. Hacker",
    "GIT_AUTHOR_EMAIL": "a@example.org",
    "GIT_COMMITTER_NAME": "A. Hacker",
    "GIT_COMMITTER_EMAIL": "a@example.org",
}

MAKEFILE = """\
# a kernel
VERSION = 7
PATCHLEVEL = 2
SUBLEVEL = 13
EXTRAVERSION = -rc1
NAME = Toy
"""
RISCV_MAKEFILE = """\
LDFLAGS_vmlinux := -z norelro
ifeq ($(CONFIG_DYNAMIC_FTRACE),y)
	LDFLAGS_vmlinux += --no-relax
ifeq ($(CONFIG_RISCV_ISA_C),y)
	CC_FLAGS_FTRACE := -fpatchable-function-entry=8,4
else
	CC_FLAGS_FTRACE := -fpatchable-function-entry=4,2
endif
endif

export BITS
"""
KCONFIG = """\
config 64BIT
	bool

config RISCV
	def_bool y
	select HAVE_FUNCTION_TRACER
	depends on MMU || !64BIT

config ARCH_RV64I
	bool "64 bits"
	select 64BIT
	help
	What config says here is prose: select nothing.
"""
FTRACE_H = """\
#define JALR_RANGE		(0x800 - 1)
#define MCOUNT_INSN_SIZE	4
#define MCOUNT_JALR_SIZE	4
"""
FTRACE_C = """\
// toy
#include <linux/ftrace.h>

unsigned long ftrace_call_adjust(unsigned long addr)
{
	return addr + (IS_ENABLED(CONFIG_DYNAMIC_FTRACE_WITH_CALL_OPS) ? 12 : 4);
}

static int __ftrace_modify_call(unsigned long pc, unsigned long target)
{
	return poke(pc, to_jalr_t0(target - pc));
}

int ftrace_make_call(struct dyn_ftrace *rec, unsigned long addr)
{
	unsigned long distance, orig_addr, pc = rec->ip - 4;

	orig_addr = address_of(ftrace_caller);
	distance = apart(addr, orig_addr);
	if (distance > JALR_RANGE)
		addr = FTRACE_ADDR;

	return __ftrace_modify_call(pc, addr);
}
"""
BPF_C = """\
#include <linux/bpf.h>
#include "bpf_jit.h"

#define RV_FENTRY_NINSNS 2
#define RV_FENTRY_NBYTES (RV_FENTRY_NINSNS * 4)

static int gen_jump_or_nops(void *target, void *ip, u32 *insns, bool is_call)
{
	if (!target) {
		emit(rv_nop(), &ctx);
		emit(rv_nop(), &ctx);
		return 0;
	}

	return jump(is_call ? RV_REG_T0 : RV_REG_ZERO, target - ip);
}

int bpf_arch_text_poke(void *at, void *old_addr, void *new_addr)
{
	u32 new_insns[RV_FENTRY_NINSNS], old_insns[RV_FENTRY_NINSNS];
	int ret = gen_jump_or_nops(old_addr, at, old_insns, true);

	if (memcmp(at, old_insns, RV_FENTRY_NBYTES))
		return 1;
	if (memcmp(at, new_insns, RV_FENTRY_NBYTES))
		ret = patch_text(at, new_insns, RV_FENTRY_NBYTES);
	return ret;
}

static int __arch_prepare_bpf_trampoline(int flags)
{
	if (flags & BPF_TRAMP_F_SKIP_FRAME)
		orig_call += RV_FENTRY_NINSNS * 4;
	return 0;
}
"""
FILES = {
    "Makefile": MAKEFILE,
    "Kconfig": 'mainmenu "toy"\n',
    "arch/riscv/Makefile": RISCV_MAKEFILE,
    "arch/riscv/Kconfig": KCONFIG,
    "arch/riscv/include/asm/ftrace.h": FTRACE_H,
    "arch/riscv/kernel/ftrace.c": FTRACE_C,
    "arch/riscv/net/bpf_jit_comp64.c": BPF_C,
}


def toy(root: Path, **changes: str) -> Path:
    """Write a small tree; files that differ are given by the last part of their path, dots as underscores."""
    named = {"makefile": "arch/riscv/Makefile", "kconfig": "arch/riscv/Kconfig", "top": "Makefile"}
    named |= {path.split("/")[-1].replace(".", "_"): path for path in FILES if "." in path}
    for path, text in (FILES | {named[name]: text for name, text in changes.items()}).items():
        file = root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    return root


def git(root: Path, *arguments: str, stdin: str = "") -> str:
    environment = {**os.environ, **USER, "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
    environment |= {"GIT_AUTHOR_DATE": "1000000000 +0000", "GIT_COMMITTER_DATE": "1000000000 +0000"}
    command = ("git", "-C", str(root), *arguments)
    done = subprocess.run(command, input=stdin, capture_output=True, text=True, env=environment, check=True)
    return done.stdout


def repository(root: Path) -> Path:
    """Make a tree a repository with one commit."""
    git(root, "init", "-q", "-b", "main")
    git(root, "add", "-A")
    git(root, "commit", "-q", "-m", "all")
    return root


def real(version: str) -> Path:
    """Return a kernel tree of a version; the test is skipped, loudly, where none is named."""
    for path in filter(None, os.environ.get(SOURCES, "").split(os.pathsep)):
        text = (Path(path) / "Makefile").read_text(encoding="utf-8")
        if all(
            f"\n{key} = {value}\n" in text
            for key, value in zip(("VERSION", "PATCHLEVEL"), version.split("."), strict=True)
        ):
            return Path(path)
    pytest.skip(f"{SOURCES} names no tree of {version}: patches of real kernels are NOT tested")


def copied(version: str, root: Path) -> Path:
    """Copy what the series are about out of a real tree, and what checks patches."""
    source = real(version)
    for path in (*FILES, "arch/riscv/kernel/patch.c", "scripts/checkpatch.pl", "scripts/spelling.txt"):
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source / path, root / path)
    return root
