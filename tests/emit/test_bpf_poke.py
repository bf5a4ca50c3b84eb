# SPDX-License-Identifier: GPL-2.0-or-later
"""bpf-poke: no task is inside a sled whose second instruction is written."""

from __future__ import annotations

from pathlib import Path

import pytest

from genpatch.emit.recipe import Verdict
from genpatch.emit.run import find_recipe, make_series
from genpatch.emit.tree import Tree, open_tree
from tests.emit.trees import real, toy

FILE = "arch/riscv/net/bpf_jit_comp64.c"
KCONFIG = "config BPF_JIT\n\tbool\n\tselect NEED_TASKS_RCU\n"
POKE = """\
#define RV_FENTRY_NBYTES (2 * 4)

int bpf_arch_text_poke(void *ip, int type, void *old_addr, void *new_addr)
{
	int ret = 0;

	if (memcmp(ip, old_insns, RV_FENTRY_NBYTES))
		return -EFAULT;
	cpus_read_lock();
	mutex_lock(&text_mutex);
	if (memcmp(ip, new_insns, RV_FENTRY_NBYTES))
		ret = patch_text(ip, new_insns, RV_FENTRY_NBYTES);
	mutex_unlock(&text_mutex);
	cpus_read_unlock();

	return ret;
}
"""


def tree(root: Path, text: str = POKE, kconfig: str = KCONFIG) -> Tree:
    toy(root)
    (root / FILE).write_text(text, encoding="utf-8")
    (root / "kernel/bpf").mkdir(parents=True)
    (root / "kernel/bpf/Kconfig").write_text(kconfig, encoding="utf-8")
    return open_tree(root)


def made(of: Tree) -> str:
    (patch,) = make_series(of, find_recipe("bpf-poke")).patches
    (change,) = patch.changes
    assert change.path == FILE
    return change.new


def test_the_order_of_what_is_done(tmp_path: Path) -> None:
    text = made(tree(tmp_path))
    sled = text[text.index("static int poke_sled") : text.index("int bpf_arch_text_poke")]
    steps = (
        "poke_text(ip, &skip,", "synchronize_rcu_tasks();", "poke_text(ip + sizeof(skip), insns + 1,",
        "return poke_text(ip, insns, sizeof(skip));",
    )  # fmt: skip
    places = [sled.index(step) for step in steps]
    assert places == sorted(places)
    assert "patch_text(" not in text[text.index("int bpf_arch_text_poke") :]
    held = text[text.index("static int poke_text") : text.index("/*")]
    assert held.index("mutex_lock") < held.index("patch_text") < held.index("mutex_unlock")


@pytest.mark.parametrize(
    ("text", "kconfig", "verdict", "why"),
    [
        ("int f(void)\n{\n\treturn 0;\n}\n", KCONFIG, Verdict.NOT, "has no bpf_arch_text_poke"),
        (POKE.replace("\tmutex_unlock", "\tx();\n\tmutex_unlock"), KCONFIG, Verdict.NOT, "its whole sled by one"),
        (POKE, "config BPF_JIT\n\tbool\n", Verdict.NOT, "does not select what waits for tasks"),
        (POKE, KCONFIG, Verdict.CAN, "two instructions"),
    ],
)
def test_how_trees_stand(tmp_path: Path, text: str, kconfig: str, verdict: Verdict, why: str) -> None:
    state = find_recipe("bpf-poke").look(tree(tmp_path, text, kconfig))
    assert state.verdict is verdict
    assert why in state.reason


def test_what_was_made_is_there(tmp_path: Path) -> None:
    of = tree(tmp_path)
    (tmp_path / FILE).write_text(made(of), encoding="utf-8")
    assert find_recipe("bpf-poke").look(open_tree(tmp_path)).verdict is Verdict.THERE


@pytest.mark.parametrize("version", ["6.12", "7.2"])
def test_real_trees(version: str) -> None:
    assert "ret = poke_sled(ip, new_insns);" in made(open_tree(real(version)))
