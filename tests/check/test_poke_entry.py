# SPDX-License-Identifier: GPL-2.0-or-later
"""bpf_arch_text_poke() of a JIT whose programs are entered behind a stub with the address to call."""

from __future__ import annotations

import pytest

from genpatch.check.cexec import NotRun
from genpatch.check.poke import poke_faults

HEADER = """\
enum {
	RV_REG_ZERO =	0,
	RV_REG_T0 =	5,
	RV_REG_T1 =	6,
};

struct stub {
	u32 insns[2];
	u64 target;
};

static inline int ahead(void)
{
	return sizeof(struct stub);
}
"""
CORE = "	prog->bpf_func = (void *)ctx->ro_insns + ahead();\n"
WRONG_FIRST = "*insn != was || (old_addr && stub->target != (u64)old_addr)"
STORE = "		patch_text_nosync(&stub->target, &target, sizeof(target));\n"
LAST = "	return patch_text_nosync(insn, &now, sizeof(now));\n"
SOURCE = f"""\
static u32 entry_insn(bool calls)
{{
	return calls ? rv_jalr(RV_REG_T0, RV_REG_T0, -16) : rv_addi(RV_REG_ZERO, RV_REG_T0, -16);
}}

int bpf_arch_text_poke(void *ip, enum bpf_text_poke_type t, void *old_addr, void *new_addr)
{{
	u32 was = entry_insn(old_addr), now = entry_insn(new_addr);
	struct stub *stub = ip - ahead();
	u64 target = (u64)new_addr;
	u32 *insn = ip + sizeof(*insn);

	if ({WRONG_FIRST})
		return -EFAULT;
	if (new_addr && stub->target != target)
{STORE}	if (now == was)
		return 0;
{LAST}}}

void bpf_jit_build_prologue(struct rv_jit_context *ctx)
{{
	emit(rv_ld(RV_REG_T1, -16, RV_REG_T0), ctx);
	emit(rv_jalr(RV_REG_ZERO, RV_REG_T1, 0), ctx);
	emit(0, ctx);
	emit(0, ctx);
	emit(rv_auipc(RV_REG_T0, 0), ctx);
	emit(entry_insn(false), ctx);
}}
"""


def said(old: str = "", new: str = "") -> list[str]:
    """Keys of what is found where a part of the source, which stands there once, is another."""
    assert not old or SOURCE.count(old) == 1
    return [each.key for each in poke_faults(SOURCE.replace(old, new) if old else SOURCE, HEADER, CORE)]


def test_an_entry_that_is_poked_as_told() -> None:
    assert said() == []


@pytest.mark.parametrize(
    ("old", "new", "keys"),
    [
        (WRONG_FIRST, "*insn != was", ["entry stale"]),
        (WRONG_FIRST, "0", ["entry stale", "entry silent"]),
        ("		return -EFAULT;\n", "		return 0;\n", ["entry silent"]),
        (STORE, "		;\n", ["entry fails"]),
        ("	u64 target = (u64)new_addr;", "	u64 target = (u64)ip;", ["entry fails"]),
        ("now = entry_insn(new_addr)", "now = entry_insn(old_addr)", ["entry fails"]),
        (LAST, "	return 0;\n", ["entry fails"]),
        ("	if (now == was)\n", "	if (!new_addr)\n", ["entry none"]),
    ],
)
def test_what_is_wrong_with_a_poke_is_found(old: str, new: str, keys: list[str]) -> None:
    assert said(old, new) == keys


def test_what_is_not_understood_is_not_judged() -> None:
    with pytest.raises(NotRun):
        said("return -EFAULT", "return elsewhere(ip)")
    with pytest.raises(NotRun):
        said("struct stub *stub = ip - ahead()", "struct stub *stub = other(ip)")
