# SPDX-License-Identifier: GPL-2.0-or-later
"""A small tree whose files agree, and patches to it."""

from __future__ import annotations

import difflib
from pathlib import Path

MAKEFILE = "arch/riscv/Makefile"
KCONFIG = "arch/riscv/Kconfig"
HEADER = "arch/riscv/include/asm/ftrace.h"
FTRACE = "arch/riscv/kernel/ftrace.c"
PATCH = "arch/riscv/kernel/patch.c"
BPF = "arch/riscv/net/bpf_jit_comp64.c"
CALL_OPS = "CONFIG_DYNAMIC_FTRACE_WITH_CALL_OPS"

FILES = {
    "Makefile": "VERSION = 7\nPATCHLEVEL = 2\nSUBLEVEL = 0\nEXTRAVERSION =\n",
    "Kconfig": 'mainmenu "toy"\n',
    MAKEFILE: f"""\
LDFLAGS_vmlinux := -z norelro
ifeq ($(CONFIG_DYNAMIC_FTRACE),y)
ifeq ($({CALL_OPS}),y)
ifeq ($(CONFIG_RISCV_ISA_C),y)
	CC_FLAGS_FTRACE := -fpatchable-function-entry=8,4
else
	CC_FLAGS_FTRACE := -fpatchable-function-entry=4,2
endif
else
ifeq ($(CONFIG_RISCV_ISA_C),y)
	CC_FLAGS_FTRACE := -fpatchable-function-entry=4
else
	CC_FLAGS_FTRACE := -fpatchable-function-entry=2
endif
endif
endif
""",
    KCONFIG: """\
config RISCV
	def_bool y
	select HAVE_DYNAMIC_FTRACE if MMU
	select HAVE_FUNCTION_TRACER if HAVE_DYNAMIC_FTRACE && !PREEMPTION

config MMU
	bool "pages"
""",
    HEADER: """\
/* one word is patched: 4 bytes */
#define MCOUNT_INSN_SIZE	4
#define MCOUNT_AUIPC_SIZE	4
#define MCOUNT_JALR_SIZE	4
""",
    FTRACE: f"""\
// toy
#include <linux/ftrace.h>

void ftrace_arch_code_modify_prepare(void)
	__acquires(&text_mutex)
{{
	mutex_lock(&text_mutex);
}}

void ftrace_arch_code_modify_post_process(void)
	__releases(&text_mutex)
{{
	mutex_unlock(&text_mutex);
}}

unsigned long ftrace_call_adjust(unsigned long addr)
{{
	if (IS_ENABLED({CALL_OPS}))
		return addr + 8 + MCOUNT_AUIPC_SIZE;

	return addr + MCOUNT_AUIPC_SIZE;
}}

unsigned long arch_ftrace_get_symaddr(unsigned long fentry_ip)
{{
	return fentry_ip - MCOUNT_AUIPC_SIZE;
}}

void arch_ftrace_update_code(int command)
{{
	ftrace_modify_all_code(command);
	flush_icache_all();
}}

static int set_ops(struct dyn_ftrace *rec)
{{
	return patch_text_nosync((void *)rec->ip, &rec->ops, 8);
}}

int ftrace_make_nop(struct module *mod, struct dyn_ftrace *rec, unsigned long addr)
{{
	u32 nop = NOP4;

	return set_ops(rec) ?: patch_insn_write((void *)rec->ip, &nop, 4);
}}

/* mutex_lock(&text_mutex) is not the caller's here */
int ftrace_init_nop(struct module *mod, struct dyn_ftrace *rec)
{{
	int ret;

	mutex_lock(&text_mutex);
	ret = set_ops(rec);
	if (!ret)
		ret = ftrace_make_nop(mod, rec, 0);
	mutex_unlock(&text_mutex);

	return ret;
}}
""",
    PATCH: """\
static int __patch_insn_write(void *addr, const void *insn, size_t len)
{
	void *waddr;
	int ret;

	lockdep_assert_held(&text_mutex);
	waddr = patch_map(addr, FIX_TEXT_POKE0);
	ret = copy_to_kernel_nofault(waddr, insn, len);
	local_flush_icache_range((unsigned long)waddr, (unsigned long)waddr + len);
	patch_unmap(FIX_TEXT_POKE0);

	return ret;
}

int patch_insn_write(void *addr, const void *insn, size_t len)
{
	return __patch_insn_write(addr, insn, len);
}

int patch_text_nosync(void *addr, const void *insns, size_t len)
{
	int ret;

	ret = patch_insn_write(addr, insns, len);
	if (!ret)
		flush_icache_range((uintptr_t)addr, (uintptr_t)addr + len);

	return ret;
}
""",
    BPF: """\
#define RV_FENTRY_NINSNS 2
#define RV_FENTRY_NBYTES (RV_FENTRY_NINSNS * 4)
""",
}


def toy(root: Path, **changes: str) -> Path:
    """Write the tree."""
    for path, text in FILES.items():
        file = root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(changes.get(path, text), encoding="utf-8")
    return root


def diff_of(path: str, old: str, new: str) -> str:
    """A diff as git writes it."""
    lines = difflib.unified_diff(old.splitlines(True), new.splitlines(True), f"a/{path}", f"b/{path}")
    return f"diff --git a/{path} b/{path}\n" + "".join(lines)


def edited(path: str, *swaps: tuple[str, str], text: str = "") -> str:
    """A diff that replaces parts of a file of the tree, each of them there once."""
    old = new = text or FILES[path]
    for was, becomes in swaps:
        assert new.count(was) == 1, was
        new = new.replace(was, becomes)
    return diff_of(path, old, new)


def mail(
    *diffs: str,
    subject: str = "[PATCH] riscv: ftrace: change a thing",
    body: str = "It was wrong.\n",
    author: str = "A. Hacker <a@example.org>",
) -> str:
    """A message as git format-patch writes it."""
    head = f"From {'1' * 40} Mon Sep 17 00:00:00 2001\nFrom: {author}\nDate: Sat, 1 Jan 2000 00:00:00 +0000\n"
    return f"{head}Subject: {subject}\n\n{body}---\n arch/x | 1 +\n 1 file changed\n\n{''.join(diffs)}-- \n2.39.5\n\n"
