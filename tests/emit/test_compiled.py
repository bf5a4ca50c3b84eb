# SPDX-License-Identifier: GPL-2.0-or-later
"""What series make of real trees is compiled, and configured by the tree's own kconfig.

Slow, so set GENPATCH_COMPILE=1, and GENPATCH_KERNEL_SOURCES to the trees. Nothing is written into those: a tree of
links stands for each, in which the files that a series changes are others.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Callable, Mapping
from io import BytesIO
from pathlib import Path

import pytest
from elftools.elf.elffile import ELFFile

from genpatch.emit.run import find_recipe, make_series
from genpatch.emit.tree import open_tree
from tests.emit.test_recipes import set_back, unguarded
from tests.emit.trees import copied, real

pytestmark = pytest.mark.skipif(
    os.environ.get("GENPATCH_COMPILE") != "1", reason="GENPATCH_COMPILE is not 1: what is emitted is NOT compiled"
)

CONFIG = ("64BIT", "ARCH_RV64I", "MMU", "SMP", "RISCV_ISA_C", "EXPERT", "PRINTK", "MODULES")
TRACER = ("FTRACE", "FUNCTION_TRACER", "DYNAMIC_FTRACE", "FUNCTION_GRAPH_TRACER", "KPROBES", "PREEMPT_NONE")
JIT = (*TRACER, "NET", "BPF", "BPF_SYSCALL", "BPF_JIT")
NEWEST_CLANG = 24


def arguments_of(compiler: str) -> list[str]:
    """What make needs to know of a compiler; the test is skipped, loudly, without it."""
    tools = ["make", "flex", "bison", "bc"]
    if compiler == "gcc":
        tools += ["gcc", "riscv64-linux-gnu-gcc", "riscv64-linux-gnu-ld"]
        words = ["CROSS_COMPILE=riscv64-linux-gnu-"]
    else:
        found = [
            f"-{n}" for n in range(NEWEST_CLANG, 14, -1) if shutil.which(f"clang-{n}") and shutil.which(f"ld.lld-{n}")
        ]
        tools += [f"clang{found[0]}" if found else "clang", f"ld.lld{found[0]}" if found else "ld.lld"]
        words = [f"LLVM={found[0] if found else 1}"]
    if missing := [tool for tool in tools if shutil.which(tool) is None]:
        pytest.skip(f"there is no {', '.join(missing)}: what is emitted is NOT compiled by {compiler}")
    return ["-s", "ARCH=riscv", *words]


def linked(source: Path, root: Path, texts: Mapping[str, str]) -> Path:
    """Make a tree of links to another, but for some files: their texts; a file goes if its text is empty."""
    above = {parent for path in texts for parent in Path(path).parents}
    for directory in sorted(above | {Path()}):
        (root / directory).mkdir(parents=True)
        for entry in (source / directory).iterdir():
            at = directory / entry.name
            if at not in above and str(at) not in texts:
                (root / at).symlink_to(entry)
    for path, text in texts.items():
        if text:
            (root / path).write_text(text, encoding="utf-8")
    return root


def changed(tree: Path, name: str) -> dict[str, str]:
    """The files that a series changes, as it leaves them."""
    series = make_series(open_tree(tree), find_recipe(name))
    return {change.path: change.new for patch in series.patches for change in patch.changes}


def undone(version: str, root: Path, undo: Callable[[Path], None], path: str) -> tuple[Path, dict[str, str]]:
    """Copy the files of a tree and undo something in one of them: (the copy, the file's text)."""
    undo(copied(version, root))
    return root, {path: (root / path).read_text(encoding="utf-8")}


def make(root: Path, out: Path, words: list[str], *targets: str, config: str = "") -> str:
    """Run make; what it says on stderr. It must succeed."""
    environment = {name: value for name, value in os.environ.items() if name not in ("MAKEFLAGS", "ARCH", "LLVM")}
    if config:
        environment["KCONFIG_ALLCONFIG"] = config
    command = ["make", "-C", str(root), f"-j{os.cpu_count() or 1}", f"O={out}", *words, *targets]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False, timeout=900)
    assert done.returncode == 0, f"{done.stdout[-2000:]}{done.stderr[-4000:]}"
    return done.stderr


def configure(root: Path, out: Path, words: list[str], options: tuple[str, ...]) -> dict[str, str]:
    """Configure a build; the options that are set."""
    out.mkdir(exist_ok=True)
    wanted = out / "wanted"
    wanted.write_text("".join(f"CONFIG_{name}=y\n" for name in (*CONFIG, *options)), encoding="utf-8")
    make(root, out, words, "allnoconfig", config=str(wanted))
    return options_in(out)


def options_in(out: Path) -> dict[str, str]:
    text = (out / ".config").read_text(encoding="utf-8")
    return dict(re.findall(r"^CONFIG_(\w+)=(.*)$", text, re.MULTILINE))


def code_of(file: Path) -> bytes:
    """The bytes of an object's .text."""
    section = ELFFile(BytesIO(file.read_bytes())).get_section_by_name(".text")
    assert section is not None
    return bytes(section.data())


@pytest.mark.parametrize(("compiler", "clang_fields"), [("gcc", 0), ("clang", 5)])
def test_regs_to_args(tmp_path: Path, compiler: str, clang_fields: int) -> None:
    words, source = arguments_of(compiler), real("6.1")
    root = linked(source, tmp_path / "t", changed(source, "regs-to-args"))
    options = configure(root, tmp_path / "o", words, TRACER)
    assert options["DYNAMIC_FTRACE_WITH_ARGS"] == options["FUNCTION_GRAPH_TRACER"] == options["KPROBES"] == "y"
    assert not {"DYNAMIC_FTRACE_WITH_REGS", "KPROBES_ON_FTRACE"} & options.keys()
    objects = [f"arch/riscv/kernel/{name}.o" for name in ("ftrace", "mcount", "mcount-dyn", "probes/kprobes")]
    objects += [f"kernel/{name}.o" for name in ("trace/ftrace", "trace/fgraph", "kprobes")]
    assert "warning:" not in make(root, tmp_path / "o", words, *objects)
    offsets = (tmp_path / "o" / "include/generated/asm-offsets.h").read_text(encoding="utf-8")
    found = {name: int(value) for name, value in re.findall(r"^#define FREGS_(\w+) (\d+)", offsets, re.MULTILINE)}
    fields = [
        "EPC",
        "RA",
        "SP",
        "S0",
        "T1",
        *(f"A{n}" for n in range(8)),
        *(f"T{n}" for n in range(2, 2 + clang_fields)),
    ]
    frame = {"gcc": 112, "clang": 144}[compiler]
    assert found == {"SIZE_ON_STACK": frame} | {name: 8 * at for at, name in enumerate(fields)}


def test_hi20_check(tmp_path: Path) -> None:
    words, source = arguments_of("clang"), real("7.2")  # gcc before 14 has no dynamic ftrace there
    root = linked(source, tmp_path / "t", changed(source, "hi20-check"))
    options = configure(root, tmp_path / "o", words, (*TRACER, "PREEMPT"))
    assert options["DYNAMIC_FTRACE_WITH_CALL_OPS"] == "y"
    assert "warning:" not in make(root, tmp_path / "o", words, "arch/riscv/kernel/ftrace.o")
    assert code_of(tmp_path / "o" / "arch/riscv/kernel/ftrace.o")


@pytest.mark.parametrize("compiler", ["gcc", "clang"])
def test_bpf_sled(tmp_path: Path, compiler: str) -> None:
    """The code that comes back is that which was there before it was undone, byte for byte."""
    words, source = arguments_of(compiler), real("6.12")
    path = "arch/riscv/net/bpf_jit_comp64.c"
    tree, before = undone("6.12", tmp_path / "b", set_back, path)
    after = changed(tree, "bpf-sled")
    assert after.keys() == before.keys()
    assert after != before
    root = linked(source, tmp_path / "t", after)
    options = configure(root, tmp_path / "o", words, JIT)
    assert options["BPF_JIT"] == options["DYNAMIC_FTRACE"] == "y"
    target = "arch/riscv/net/bpf_jit_comp64.o"
    codes = []
    for text in (after[path], (source / path).read_text(encoding="utf-8")):
        (root / path).write_text(text, encoding="utf-8")
        (tmp_path / "o" / target).unlink(missing_ok=True)
        assert "warning:" not in make(root, tmp_path / "o", words, "arch/riscv/net/")
        codes.append(code_of(tmp_path / "o" / target))
    assert codes[0] == codes[1]
    assert len(codes[0]) > 4096


def test_no_preempt(tmp_path: Path) -> None:
    """The tree's own kconfig: the tracer goes when PREEMPT comes, and only in the tree that the series was made of."""
    words, source = arguments_of("gcc"), real("6.1")
    tree, texts = undone("6.1", tmp_path / "t", unguarded, "arch/riscv/Kconfig")
    before = linked(source, tmp_path / "b", texts)
    after = linked(source, tmp_path / "a", changed(tree, "no-preempt"))
    seen = {}
    for root in (before, after):
        out = tmp_path / f"o-{root.name}"
        options = configure(root, out, words, TRACER)
        assert options["FUNCTION_TRACER"] == "y"
        assert "PREEMPTION" not in options
        text = (out / ".config").read_text(encoding="utf-8")
        text = text.replace("CONFIG_PREEMPT_NONE=y", "# CONFIG_PREEMPT_NONE is not set")
        (out / ".config").write_text(f"{text}CONFIG_PREEMPT=y\n", encoding="utf-8")
        make(root, out, words, "olddefconfig")
        options = options_in(out)
        assert options["PREEMPTION"] == "y"
        seen[root] = {
            name for name in ("FUNCTION_TRACER", "DYNAMIC_FTRACE", "FUNCTION_GRAPH_TRACER") if name in options
        }
    assert seen == {before: {"FUNCTION_TRACER", "DYNAMIC_FTRACE", "FUNCTION_GRAPH_TRACER"}, after: set()}
