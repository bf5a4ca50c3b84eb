# SPDX-License-Identifier: GPL-2.0-or-later
"""What the rules about locks, fences, lengths, probes and jump labels say of files of a few lines."""

from __future__ import annotations

from pathlib import Path

import pytest

from genpatch.check.patches import read_patches
from genpatch.check.run import check_patches
from genpatch.emit.tree import open_tree
from tests.check.trees import FTRACE, HEADER, KCONFIG, diff_of, toy

FILE = "arch/riscv/kernel/toy.c"
LABELS = "arch/riscv/include/asm/jump_label.h"
KPROBES = "arch/riscv/kernel/probes/kprobes.c"

STOPPED = """\
struct work {
	void *at;
	u32 *insns;
	size_t len;
	atomic_t arrived;
};

int riscv_patch_in_stop_machine;

static int write_it(void *at, const void *from, size_t len)
{
	if (!riscv_patch_in_stop_machine)
		lockdep_assert_held(&text_mutex);
	return patch_insn_write(at, from, len);
}

static int each_cpu(void *data)
{
	struct work *work = data;

	if (atomic_inc_return(&work->arrived) == num_online_cpus()) {
		write_it(work->at, work->insns, work->len);
		atomic_inc_return_release(&work->arrived);
	} else {
		while (atomic_read(&work->arrived) <= num_online_cpus())
			cpu_relax();
		local_flush_icache_all();
	}
	return 0;
}

int patch_text(void *at, u32 *insns, size_t len)
{
	struct work work = { .at = at, .insns = insns, .len = len };
	int ret;

	lockdep_assert_held(&text_mutex);
	riscv_patch_in_stop_machine = true;
	ret = stop_machine_cpuslocked(each_cpu, &work, cpu_online_mask);
	riscv_patch_in_stop_machine = false;
	return ret;
}

static int poke_parts(void *at, u32 *now)
{
	u32 both[2] = { now[0], now[1] };

	scoped_guard(mutex, &text_mutex)
		return patch_insn_write(at, both, sizeof(both));
}

static int poke_one(void *at, void *to, u32 insn)
{
	u64 address = (u64)to;

	scoped_guard(mutex, &text_mutex) {
		if (patch_insn_write(at - 8, &address, sizeof(address)))
			return -EFAULT;
		return patch_insn_write(at, &insn, sizeof(insn));
	}
}

int poke(void *at, void *old)
{
	u32 now[2], then[2];
	int ret = 0;

	make(now, then);
	if (memcmp(at, then, sizeof(then)))
		return -EFAULT;

	cpus_read_lock();
	mutex_lock(&text_mutex);
	if (memcmp(at, now, 8))
		ret = patch_text(at, now, 8);
	mutex_unlock(&text_mutex);
	cpus_read_unlock();
	return ret;
}

int set_word(void *at, u32 word)
{
	int ret;

	guard(mutex)(&text_mutex);
	ret = patch_insn_write(at, &word, sizeof(word));
	return ret;
}

void all_set(void)
{
	flush_icache_all();
}

void set_ops(struct ops *ops, void (*func)(void))
{
	WRITE_ONCE(toy_func, func);
	smp_wmb();
	toy_ops = ops;
}
"""
HEAD = "	cpus_read_lock();\n	mutex_lock(&text_mutex);\n	if (memcmp(at, now, 8))\n"
WHOLE = (
    "	cpus_read_lock();\n	mutex_lock(&text_mutex);\n	if (memcmp(at, now, 8))\n		ret = patch_text(at, now, 8);\n"
    "	mutex_unlock(&text_mutex);\n	cpus_read_unlock();\n	return ret;\n}\n"
)
TAIL = "	mutex_unlock(&text_mutex);\n	cpus_read_unlock();\n"
WRITE = "		write_it(work->at, work->insns, work->len);\n"
COUNT = "		atomic_inc_return_release(&work->arrived);\n"
WAIT = """\
		while (atomic_read(&work->arrived) <= num_online_cpus())
			cpu_relax();
		local_flush_icache_all();
"""
SET = "	ret = patch_insn_write(at, &word, sizeof(word));\n"


def said(root: Path, path: str, old: str, *swaps: tuple[str, str]) -> list[tuple[str, str]]:
    """(rule, text of the line that is named) of what is found in a patch to a file."""
    new = old
    for was, becomes in swaps:
        assert new.count(was) == 1, was
        new = new.replace(was, becomes)
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    (root / path).write_text(old, encoding="utf-8")
    checked = check_patches(read_patches(diff_of(path, old, new).encode(), "p"), open_tree(root))
    lines = new.split("\n")
    return [(each.rule, lines[each.line - 1].strip()) for each in checked.findings]


@pytest.mark.parametrize(
    ("swap", "found"),
    [
        # lengths
        (("memcmp(at, then, sizeof(then))", "memcmp(at, then, 2)"), ("GP534", "if (memcmp(at, then, 2))")),
        (
            ("ret = patch_text(at, now, 8)", "ret = patch_text(at, now, 12)"),
            ("GP534", "ret = patch_text(at, now, 12);"),
        ),
        (
            ("&word, sizeof(word)", "&word, sizeof(&word)"),
            ("GP534", "ret = patch_insn_write(at, &word, sizeof(&word));"),
        ),
        # running code
        (("u32 now[2], then[2];", "u32 now[4], then[4];"), ("GP534", "")),
        (
            ("ret = patch_text(at, now, 8)", "ret = patch_text(at, now, 16)"),
            ("GP535", "ret = patch_text(at, now, 16);"),
        ),
        # stop_machine
        (
            ("stop_machine_cpuslocked(each_cpu, &work, cpu_online_mask)", "each_cpu(&work)"),
            ("GP536", "ret = each_cpu(&work);"),
        ),
        (
            ("ret = patch_text(at, now, 8)", "ret = patch_text_nosync(at, now, 8)"),
            ("GP536", "ret = patch_text_nosync(at, now, 8);"),
        ),
        (
            (WHOLE, "	ret = poke_parts(at, now);\n	return ret;\n}\n"),
            ("GP536", "ret = poke_parts(at, now);"),
        ),
        # who waits
        (("== num_online_cpus()) {", "== 1) {"), ("GP537", "if (atomic_inc_return(&work->arrived) == 1) {")),
        (
            ("<= num_online_cpus())", "< num_online_cpus())"),
            ("GP537", "while (atomic_read(&work->arrived) < num_online_cpus())"),
        ),
        (
            (WAIT, "		local_flush_icache_all();\n" + "".join(WAIT.splitlines(True)[:2])),
            ("GP537", "local_flush_icache_all();"),
        ),
        ((WRITE + COUNT, COUNT + WRITE), ("GP537", "atomic_inc_return_release(&work->arrived);")),
        ((COUNT, ""), ("GP537", "write_it(work->at, work->insns, work->len);")),
        # locks
        (
            ("		ret = patch_text(at, now, 8);\n", "		return patch_text(at, now, 8);\n"),
            ("GP538", "return patch_text(at, now, 8);"),
        ),
        ((HEAD, HEAD.replace("	if", "	mutex_lock(&text_mutex);\n	if")), ("GP538", "mutex_lock(&text_mutex);")),
        (
            ("	guard(mutex)(&text_mutex);\n", "	guard(mutex)(&text_mutex);\n	mutex_lock(&text_mutex);\n"),
            ("GP538", "mutex_lock(&text_mutex);"),
        ),
        (("	mutex_unlock(&text_mutex);\n", ""), ("GP538", "return ret;")),
        (("	cpus_read_unlock();\n", ""), ("GP538", "return ret;")),
        ((HEAD, HEAD.replace("	cpus_read_lock();\n", "")), ("GP538", "cpus_read_unlock();")),
        (("	riscv_patch_in_stop_machine = false;\n", ""), ("GP538", "return ret;")),
        (
            ("	riscv_patch_in_stop_machine = true;\n", ""),
            ("GP538", "int patch_text(void *at, u32 *insns, size_t len)"),
        ),
        (
            ("	if (!riscv_patch_in_stop_machine)\n		lockdep", "	lockdep"),
            ("GP538", "lockdep_assert_held(&text_mutex);"),
        ),
        (
            ("	int ret;\n\n	lockdep_assert_held(&text_mutex);\n", "	int ret;\n\n"),
            ("GP538", "int patch_text(void *at, u32 *insns, size_t len)"),
        ),
        (
            (WRITE, f"		mutex_lock(&text_mutex);\n{WRITE}		mutex_unlock(&text_mutex);\n"),
            ("GP538", "mutex_lock(&text_mutex);"),
        ),
        # new writers
        (
            (
                "void all_set(void)\n",
                "static void once(void)\n{\n	patch_text_nosync(a, b, 4);\n}\n\nvoid all_set(void)\n",
            ),
            ("GP539", "patch_text_nosync(a, b, 4);"),
        ),
        (
            ("	smp_wmb();\n", "	smp_wmb();\n	patch_text_nosync(a, b, 4);\n"),
            ("GP539", "patch_text_nosync(a, b, 4);"),
        ),
        # fences
        (("{\n	flush_icache_all();\n", "{\n"), ("GP540", "void all_set(void)")),
        (("{\n	flush_icache_all();\n", "{\n	local_flush_icache_all();\n"), ("GP540", "void all_set(void)")),
        (("	smp_wmb();\n", ""), ("GP541", "void set_ops(struct ops *ops, void (*func)(void))")),
        ((COUNT, "		atomic_inc(&work->arrived);\n"), None),
        # parts
        (
            (
                SET,
                "	ret = patch_insn_write(at, &word, 2);\n	ret = patch_insn_write(at + 2, (u16 *)&word + 1, 2);\n",
            ),
            ("GP544", "ret = patch_insn_write(at, &word, 2);"),
        ),
    ],
)
def test_what_is_found(tmp_path: Path, swap: tuple[str, str], found: tuple[str, str] | None) -> None:
    got = said(toy(tmp_path), FILE, STOPPED, swap)
    if found is None or not found[1]:
        assert got == []  # write_it() is what stores, and arrays may be larger than what is taken of them
    else:
        assert found in got


@pytest.mark.parametrize(
    "swaps",
    [
        [("memcmp(at, then, sizeof(then))", "memcmp(at, then, 2 * sizeof(u32))")],
        [("memcmp(at, then, sizeof(then))", "memcmp(at, &then, sizeof(then))")],
        [
            ("== num_online_cpus()) {", "!= num_online_cpus()) {"),
            (
                WRITE + COUNT,
                "		while (num_online_cpus() >= atomic_read(&work->arrived))\n			cpu_relax();\n",
            ),
            (
                WAIT,
                WRITE + COUNT,
            ),
        ],
        [
            (HEAD, HEAD.replace("	if", "	ret = -EBUSY;\n	if (busy)\n		goto out;\n	ret = 0;\n	if")),
            (TAIL, f"out:\n{TAIL}"),
        ],
        [
            (
                HEAD,
                HEAD.replace(
                    "	if",
                    "	if (busy) {\n		mutex_unlock(&text_mutex);\n		cpus_read_unlock();\n"
                    "		return -EBUSY;\n	}\n	if",
                ),
            )
        ],
        [("	guard(mutex)(&text_mutex);\n", "	scoped_guard(mutex, &text_mutex)\n")],
        [
            ("	guard(mutex)(&text_mutex);\n", "	if (!early)\n		mutex_lock(&text_mutex);\n"),
            (f"{SET}	return ret;\n", f"{SET}	if (!early)\n		mutex_unlock(&text_mutex);\n	return ret;\n"),
        ],
        [
            ("		ret = patch_text(at, now, 8);\n", "		ret = now_poke(at, now);\n"),
            (
                "int poke(void *at",
                "static int now_poke(void *at, u32 *now)\n{\n	return patch_text(at, now, 8);\n}\n\nint poke(void *at",
            ),
        ],
        [(WHOLE, "	ret = poke_one(at, old, 5);\n	return ret;\n}\n")],
        [
            ("	flush_icache_all();\n", "	flush_it();\n"),
            (
                "void all_set(void)\n",
                "static void flush_it(void)\n{\n	flush_icache_all();\n}\n\nvoid all_set(void)\n",
            ),
        ],
        [
            (
                "	WRITE_ONCE(toy_func, func);\n	smp_wmb();\n	toy_ops = ops;\n",
                "	WRITE_ONCE(toy_func, func);\n	smp_store_release(&toy_ops, ops);\n",
            )
        ],
        [
            (
                "void all_set(void)\n",
                "/* text_mutex is held */\nvoid set_later(void)\n{\n	lockdep_assert_held(&text_mutex);\n"
                "	patch_text_nosync(a, b, 4);\n}\n\nvoid all_set(void)\n",
            )
        ],
        [
            (
                "	smp_wmb();\n",
                "	smp_wmb();\n	scoped_guard(mutex, &text_mutex)\n		patch_text_nosync(a, b, 4);\n",
            )
        ],
        [
            (
                "stop_machine_cpuslocked(each_cpu, &work, cpu_online_mask)",
                "stop_machine(each_cpu, &work, cpu_online_mask)",
            )
        ],
        [
            (
                "	cpus_read_lock();\n	mutex_lock(&text_mutex);\n",
                "	guard(cpus_read_lock)();\n	guard(mutex)(&text_mutex);\n",
            ),
            ("	mutex_unlock(&text_mutex);\n	cpus_read_unlock();\n", ""),
        ],
    ],
)
def test_what_is_left_alone(tmp_path: Path, swaps: list[tuple[str, str]]) -> None:
    assert said(toy(tmp_path), FILE, STOPPED, *swaps) == []


def test_no_preemption_no_live_pair(tmp_path: Path) -> None:
    root = toy(tmp_path)
    kconfig = root / KCONFIG
    swap = ("ret = patch_text(at, now, 8)", "ret = patch_text(at, now, 12)")
    wide = STOPPED.replace("now[2]", "now[4]")
    assert [rule for rule, _ in said(root, FILE, wide, swap)] == ["GP535"]
    kconfig.write_text(
        kconfig.read_text().replace("	def_bool y\n", "	def_bool y\n	select ARCH_NO_PREEMPT\n", 1)
    )
    assert said(root, FILE, wide, swap) == []


@pytest.mark.parametrize(
    ("before", "behind", "rules"),
    [
        ("if (IS_ENABLED(CONFIG_PREEMPTION))\n\t\treturn -1;\n\t", "", []),
        ("if (IS_ENABLED(CONFIG_PREEMPTION)) {\n\t\treturn -1;\n\t}\n\t", "", []),
        ("if (IS_ENABLED(CONFIG_PREEMPTION))\n\t\tret = 0;\n\t", "", ["GP535"]),
        ("if (!IS_ENABLED(CONFIG_PREEMPTION))\n\t\treturn -1;\n\t", "", ["GP535"]),
        ("", "\tif (IS_ENABLED(CONFIG_PREEMPTION))\n\t\treturn -1;\n", ["GP535"]),
    ],
)
def test_a_way_out_before_a_live_pair(tmp_path: Path, before: str, behind: str, rules: list[str]) -> None:
    wide = STOPPED.replace("now[2]", "now[4]")
    call = "ret = patch_text(at, now, 8);\n"
    longer = f"{before}{call.replace('8', '12')}{behind}"
    found = [rule for rule, _ in said(toy(tmp_path), FILE, wide, (call, longer))]
    assert [rule for rule in found if rule != "GP538"] == rules  # it leaves with the lock held


@pytest.mark.parametrize(("size", "rules"), [("4", []), ("8", ["GP536"])])
def test_ftrace_may_go_without_stop_machine_for_one_word(tmp_path: Path, size: str, rules: list[str]) -> None:
    root = toy(tmp_path)
    header = (root / HEADER).read_text(encoding="utf-8").replace("INSN_SIZE	4", f"INSN_SIZE	{size}")
    (root / HEADER).write_text(header, encoding="utf-8")
    old = """\
static int each_cpu(void *data)
{
	ftrace_modify_all_code(*(int *)data);
	return 0;
}

void ftrace_arch_code_modify_prepare(void)
{
	mutex_lock(&text_mutex);
	riscv_patch_in_stop_machine = true;
}

void ftrace_arch_code_modify_post_process(void)
{
	riscv_patch_in_stop_machine = false;
	mutex_unlock(&text_mutex);
}

void arch_ftrace_update_code(int command)
{
	stop_machine(each_cpu, &command, cpu_online_mask);
}
"""
    swap = ("	stop_machine(each_cpu, &command, cpu_online_mask);\n", "	each_cpu(&command);\n")
    found = said(root, FTRACE, old, swap)
    assert [rule for rule, _ in found if rule == "GP536"] == rules


LABEL = """\
#define BRANCH(key, label)			\\
	"	.align		2	\\n\\t"	\\
	"	.option push		\\n\\t"	\\
	"	.option norvc		\\n\\t"	\\
	"1:	nop			\\n\\t"	\\
	"	.option pop		\\n\\t"	\\
	".pushsection	__jump_table	\\n\\t"
"""


@pytest.mark.parametrize(
    ("swaps", "rules"),
    [
        ([('	"	.align		2	\\n\\t"	\\\n', "")], ["GP542"]),
        ([("align		2", "align		1")], ["GP542"]),
        ([('	"	.option norvc		\\n\\t"	\\\n', "")], ["GP542"]),
        ([(".align		2", ".balign		4")], []),
        (
            [
                ("#define BRANCH", '#define ALIGNED	".p2align 2\\n"\n#define BRANCH'),
                ('	"	.align		2	\\n\\t"	\\\n', "	ALIGNED	\\\n"),
            ],
            [],
        ),
        ([('	"	.align		2	\\n\\t"	\\\n', "	FROM_ELSEWHERE	\\\n")], []),
        ([("nop	", "j 2f")], []),
    ],
)
def test_jump_labels(tmp_path: Path, swaps: list[tuple[str, str]], rules: list[str]) -> None:
    assert [rule for rule, _ in said(toy(tmp_path), LABELS, LABEL, *swaps)] == rules


PROBES = """\
static void __kprobes arch_prepare_ss_slot(struct kprobe *p)
{
	size_t len = GET_INSN_LENGTH(p->opcode);
	u32 insn = __BUG_INSN_32;

	p->ainsn.api.restore = (unsigned long)p->addr + len;
	patch_text_nosync(p->ainsn.api.insn, &p->opcode, len);
	patch_text_nosync((void *)p->ainsn.api.insn + len, &insn, GET_INSN_LENGTH(insn));
}

void __kprobes arch_arm_kprobe(struct kprobe *p)
{
	size_t len = GET_INSN_LENGTH(p->opcode);
	u32 insn = len == 4 ? __BUG_INSN_32 : __BUG_INSN_16;

	patch_text(p->addr, &insn, len);
}

void __kprobes arch_disarm_kprobe(struct kprobe *p)
{
	patch_text(p->addr, &p->opcode, GET_INSN_LENGTH(p->opcode));
}
"""


@pytest.mark.parametrize(
    ("swap", "line"),
    [
        (("len == 4 ? __BUG_INSN_32 : __BUG_INSN_16", "__BUG_INSN_32"), "u32 insn = __BUG_INSN_32;"),
        (("patch_text(p->addr, &insn, len)", "patch_text(p->addr, &insn, 4)"), "patch_text(p->addr, &insn, 4);"),
        (
            ("insn + len, &insn", "insn, &insn"),
            "patch_text_nosync((void *)p->ainsn.api.insn, &insn, GET_INSN_LENGTH(insn));",
        ),
        (("p->addr + len", "p->addr + 4"), "p->ainsn.api.restore = (unsigned long)p->addr + 4;"),
        (("&p->opcode, GET_INSN_LENGTH(p->opcode)", "&p->opcode, 2"), "patch_text(p->addr, &p->opcode, 2);"),
        (
            (
                "len == 4 ? __BUG_INSN_32 : __BUG_INSN_16",
                "GET_INSN_LENGTH(p->opcode) != 4 ? __BUG_INSN_16 : __BUG_INSN_32",
            ),
            "",
        ),
        (("patch_text(p->addr, &insn, len)", "patch_text(p->addr, &insn, GET_INSN_LENGTH(insn))"), ""),
        (("len == 4 ? __BUG_INSN_32 : __BUG_INSN_16", "__BUG_INSN_16"), ""),
    ],
)
def test_probes(tmp_path: Path, swap: tuple[str, str], line: str) -> None:
    found = said(toy(tmp_path), KPROBES, PROBES, swap)
    assert found == ([("GP543", line)] if line else [])


def test_a_shorter_breakpoint_may_stand_in_a_longer_instruction(tmp_path: Path) -> None:
    swaps = (
        ("len == 4 ? __BUG_INSN_32 : __BUG_INSN_16", "__BUG_INSN_16"),
        ("patch_text(p->addr, &insn, len)", "patch_text(p->addr, &insn, 2)"),
    )
    assert said(toy(tmp_path), KPROBES, PROBES, *swaps) == []
