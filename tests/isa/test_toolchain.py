# SPDX-License-Identifier: GPL-2.0-or-later
"""Each toolchain that is here makes objects and executables; none, a broken and a hanging one say so."""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from elftools.elf.elffile import ELFFile

from genpatch.errors import GenpatchError
from genpatch.isa import toolchain
from genpatch.isa.assemble import assemble
from genpatch.isa.toolchain import Toolchain, ToolchainError, find_toolchain

KINDS = ("gcc", "clang", "zig")
START = ".globl _start\n_start: call main\n li a7, 93\n ecall\n"
ANSWER = "#include <stdint.h>\nuint64_t number = NUMBER;\nint main(void) { return number + 1; }\n"

SOURCE = """
    .option norvc
    .option norelax
#ifdef WITH_LI
    li a0, WITH_LI
#endif
    addi sp, sp, -16
    sd ra, 8(sp)
1:  beqz a0, 1b
    amoadd.d.aqrl a0, a1, (a2)
    csrr a0, satp
    fence.i
    ret
"""


@pytest.fixture(autouse=True)
def _nothing_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GENPATCH_CC", raising=False)


@pytest.fixture(params=KINDS)
def tool(request: pytest.FixtureRequest) -> Toolchain:
    found = find_toolchain(request.param)
    if found is None or found.name != request.param:
        pytest.skip(f"no {request.param} for riscv64 is installed")
    return found


def text_of(raw: bytes) -> bytes:
    """Return the .text of an ELF file."""
    section = ELFFile(io.BytesIO(raw)).get_section_by_name(".text")
    assert section is not None
    return bytes(section.data())


def without_comments(source: str) -> str:
    return "\n".join(line for line in source.split("\n") if not line.strip().startswith((".option", "#", "li ")))


def test_assembles(tool: Toolchain) -> None:
    raw = tool.assemble(SOURCE)
    elf = ELFFile(io.BytesIO(raw))
    assert (elf["e_type"], elf["e_machine"], elf.elfclass) == ("ET_REL", "EM_RISCV", 64)
    assert elf["e_flags"] & 0b110 == 0, "no floating point in the ABI"
    ours = assemble(without_comments(SOURCE), 0)
    assert len(text_of(raw)) == len(ours)
    branch = slice(8, 12)  # left to the linker by some
    mine, theirs = bytearray(ours), bytearray(text_of(raw))
    mine[branch] = theirs[branch] = bytes(4)
    assert mine == theirs


def test_defines(tool: Toolchain) -> None:
    assert text_of(tool.assemble(SOURCE, defines={"WITH_LI": "7"}))[:4] == assemble("li a0, 7", 0)


def test_march(tool: Toolchain) -> None:
    with pytest.raises(ToolchainError):
        tool.assemble("sh1add a0, a1, a2", march="rv64imac_zicsr")
    assert text_of(tool.assemble("sh1add a0, a1, a2", march="rv64imac_zicsr_zba")) == assemble("sh1add a0, a1, a2", 0)
    assert ELFFile(io.BytesIO(tool.assemble("fence.i", march="rv64gc")))["e_flags"] & 0b110 == 0b100


@pytest.mark.parametrize("march", ["", "rv32i", "rv64imac -x", "rv64i\n", "x86-64"])
def test_no_isa(tool: Toolchain, march: str) -> None:
    with pytest.raises(ToolchainError, match="is no ISA such as rv64imac"):
        tool.assemble("nop", march=march)


def test_links(tool: Toolchain, tmp_path: Path) -> None:
    raw = tool.link({"start.S": START, "main.c": ANSWER}, defines={"NUMBER": "41"})
    elf = ELFFile(io.BytesIO(raw))
    assert (elf["e_type"], elf["e_machine"]) == ("ET_EXEC", "EM_RISCV")
    assert elf.get_section_by_name(".dynamic") is None
    assert [each.name for each in elf.get_section_by_name(".symtab").get_symbol_by_name("_start")] == ["_start"]
    assert elf["e_entry"] == elf.get_section_by_name(".symtab").get_symbol_by_name("_start")[0]["st_value"]
    if qemu := shutil.which("qemu-riscv64"):
        (tmp_path / "a.out").write_bytes(raw)
        (tmp_path / "a.out").chmod(0o700)
        assert subprocess.run([qemu, tmp_path / "a.out"], timeout=60, check=False).returncode == 42


def test_links_elsewhere(tool: Toolchain) -> None:
    source = ".globl go\n.option norvc\nnop\ngo: la a0, there\nret\n.data\nthere: .dword go\n"
    for address in (0x80200000, 0xFFFFFFFF80200000):
        elf = ELFFile(io.BytesIO(tool.link({"a.S": source}, entry="go", address=address)))
        assert (elf["e_entry"], elf.get_section_by_name(".text")["sh_addr"]) == (address + 4, address)
        assert elf.get_section_by_name(".data").data() == (address + 4).to_bytes(8, "little")


def test_flags(tool: Toolchain) -> None:
    sources = {"a.c": "int _start(void) { return __OPTIMIZE__ + VALUE; }"}
    assert tool.link(sources, flags=("-O1", "-DVALUE=1"))[:4] == b"\x7fELF"


def test_says_what_is_wrong(tool: Toolchain, tmp_path: Path) -> None:
    mistakes = {
        "source.S:2:": lambda: tool.assemble("nop\nfrobnicate a0\n"),
        "main.c:1:.*nowhere": lambda: tool.link({"main.c": "int f(void) { return nowhere; }\n"}),
        "undefined.*helper": lambda: tool.link({"m.c": "int helper(void); int _start(void) { return helper(); }"}),
        "stdio.h": lambda: tool.assemble("#include <stdio.h>\n"),
    }
    for said, make in mistakes.items():
        with pytest.raises(ToolchainError, match=rf"^{tool.name}: .*{said}") as caught:
            make()
        assert str(caught.value).isprintable()
        assert "genpatch-" not in str(caught.value)


def test_the_users_include_paths_are_not_seen(tool: Toolchain, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mine.h").write_text("nop\n", encoding="ascii")
    monkeypatch.chdir(tmp_path)
    for name in ("CPATH", "C_INCLUDE_PATH", "CPLUS_INCLUDE_PATH"):
        monkeypatch.setenv(name, str(tmp_path))
    for header in ("<mine.h>", '"mine.h"'):
        with pytest.raises(ToolchainError, match=r"mine\.h"):
            tool.assemble(f"#include {header}\n")


def test_leaves_nothing_behind(tool: Toolchain, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("TMPDIR", "HOME", "XDG_CACHE_HOME", "ZIG_GLOBAL_CACHE_DIR", "ZIG_LOCAL_CACHE_DIR"):
        monkeypatch.setenv(name, str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    tool.link({"start.S": START, "main.c": ANSWER}, defines={"NUMBER": "41"})
    assert list(tmp_path.iterdir()) == []


def test_a_result_is_bounded(tool: Toolchain, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(toolchain, "_MOST_OUTPUT", 1 << 20)
    with pytest.raises(ToolchainError):
        tool.assemble(".fill 0x400000, 1, 7\n")


def test_version_and_command(tool: Toolchain) -> None:
    assert any(part.isdigit() for part in tool.version.replace(".", " ").split())
    assert Path(tool.command[0]).is_absolute()


@pytest.mark.parametrize("name", ["a.o", "../a.c", "-o.c", "a/b.c", "", ".c", "a.c\n", "out"])
def test_file_names(name: str) -> None:
    with pytest.raises(ToolchainError, match=r"is no name of a \.S or \.c file"):
        Toolchain("gcc", ("none",), "").link({name: ""})


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"sources": {}}, "no sources"),
        ({"entry": "a b"}, "'a b' is no symbol to start at"),
        ({"defines": {"A B": ""}}, "'A B' is no name of a macro"),
        ({"defines": {"A": "\0"}}, "gcc cannot be run: embedded null byte"),
    ],
)
def test_refuses(options: dict[str, object], said: str) -> None:
    with pytest.raises(ToolchainError, match=said):
        Toolchain("gcc", ("none",), "").link(**{"sources": {"a.c": ""}, **options})  # type: ignore[arg-type]


# Finding


def program(folder: Path, name: str, script: str) -> Path:
    """Put a program of our own into a folder."""
    path = folder / name
    path.write_text(f"#!/bin/sh\n{script}\n", encoding="ascii")
    path.chmod(0o700)
    return path


FAKE_GCC = 'case "$*" in -dumpmachine) echo riscv64-linux-gnu;; --version) echo "fake 1.2"; echo more;; *) {};; esac'
FAKE_CLANG = 'case "$1" in --print-targets) echo "  riscv64 - it";; *) echo "clang version 3";; esac'


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder that is all of PATH, on a machine without Zig."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    return tmp_path


def test_none_is_found(path: Path) -> None:
    assert find_toolchain() is None
    assert [find_toolchain(kind) for kind in KINDS] == [None, None, None]


def test_without_a_path(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    assert find_toolchain() is None


def test_order(path: Path) -> None:
    program(path, "clang-9", FAKE_CLANG)
    assert find_toolchain() is None, "clang is nothing without its linker"
    program(path, "ld.lld-9", "")
    program(path, "ld.lld", "")
    found = find_toolchain()
    assert found is not None
    assert found == Toolchain(
        "clang",
        (str(path / "clang-9"), "--target=riscv64-unknown-linux-gnu", f"--ld-path={path / 'ld.lld-9'}"),
        "clang version 3",
    )
    program(path, "clang-19", FAKE_CLANG)
    newer = find_toolchain()
    assert newer is not None
    assert newer.command[::2] == (str(path / "clang-19"), f"--ld-path={path / 'ld.lld'}")
    program(path, "riscv64-linux-gnu-gcc-12", FAKE_GCC)
    assert find_toolchain() == Toolchain("gcc", (str(path / "riscv64-linux-gnu-gcc-12"),), "fake 1.2")
    assert find_toolchain("clang") == newer
    assert find_toolchain("zig") == find_toolchain()


def test_a_broken_one_is_passed_over(path: Path) -> None:
    program(path, "riscv64-linux-gnu-gcc", "exit 1")
    program(path, "riscv64-linux-gnu-gcc-13", "echo x86_64-linux-gnu")
    (path / "riscv64-linux-gnu-gcc-11").write_bytes(b"\x7fELF nonsense")
    (path / "riscv64-linux-gnu-gcc-11").chmod(0o700)
    program(path, "riscv64-linux-gnu-gcc-10", FAKE_GCC)
    found = find_toolchain()
    assert found is not None
    assert found.command == (str(path / "riscv64-linux-gnu-gcc-10"),)


def test_zig_is_found_without_being_imported() -> None:
    if find_toolchain("zig") is None:
        pytest.skip("no zig is installed")
    code = "import sys, genpatch.isa.toolchain as t; t.find_toolchain('zig'); sys.exit('ziglang' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_no_such_kind() -> None:
    with pytest.raises(ToolchainError, match="no kind of toolchain is called 'tcc', but gcc, clang, zig"):
        find_toolchain("tcc")


def test_the_environment_names_one(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program(path, "riscv64-linux-gnu-gcc", FAKE_GCC)
    mine = program(path, "my cc", FAKE_GCC)
    monkeypatch.setenv("GENPATCH_CC", f"'{mine}' -pipe")
    named = Toolchain("gcc", (str(mine), "-pipe"), "fake 1.2")
    program(path, "my cc", FAKE_GCC.replace("-dumpmachine", '"-pipe -dumpmachine"').replace("--ver", "*--ver"))
    assert find_toolchain() == find_toolchain("clang") == named


def test_the_environment_names_each_kind(tool: Toolchain, monkeypatch: pytest.MonkeyPatch) -> None:
    named = {"zig": f"{sys.executable} -m ziglang cc"}.get(tool.name, tool.command[0])
    monkeypatch.setenv("GENPATCH_CC", named)
    assert find_toolchain() == tool


@pytest.mark.parametrize(
    ("named", "said"),
    [
        ("nosuchcc", "GENPATCH_CC='nosuchcc': no such program"),
        ("'", 'GENPATCH_CC="\'": No closing quotation'),
        ("''", "no such program"),
        ("for-x86", "GENPATCH_CC='for-x86': it is for x86_64-linux-gnu"),
        ("broken", "GENPATCH_CC='broken': broken: it is broken, error 3"),
        ("zig", "of zig, cc is needed"),
    ],
)
def test_the_environment_names_a_wrong_one(path: Path, monkeypatch: pytest.MonkeyPatch, named: str, said: str) -> None:
    program(path, "for-x86", "echo x86_64-linux-gnu")
    program(path, "broken", "echo hm >&2; echo 'it is broken, error 3' >&2; exit 3")
    program(path, "zig", "")
    monkeypatch.setenv("GENPATCH_CC", named)
    with pytest.raises(GenpatchError) as caught:
        find_toolchain()
    assert said in str(caught.value)


# Failing


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("exit 5", "gcc: exit status 5"),
        ("kill -9 $$", "gcc: exit status -9"),
        ("exit 0", "gcc succeeded and left no file"),
        ("printf 'x\\n\\033[31m error: bad\\a\\377\\n' >&2; exit 1", r"gcc: \\x1b\[31m error: bad\\x07"),
        ("echo only this >&2; exit 1", "gcc: only this"),
        ("while :; do echo error error error; done | head -c 9000000; exit 1", "gcc: error error error$"),
        ("printf 'error%9999s!' x; exit 1", r"^gcc: error +\.\.\.$"),
    ],
)
def test_a_failing_compiler(tmp_path: Path, script: str, said: str) -> None:
    fake = program(tmp_path, "cc", script)
    with pytest.raises(ToolchainError, match=said) as caught:
        Toolchain("gcc", (str(fake),), "").assemble("nop")
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 400


def test_a_missing_compiler(tmp_path: Path) -> None:
    with pytest.raises(ToolchainError, match="gcc cannot be run: No such file"):
        Toolchain("gcc", (str(tmp_path / "gone"),), "").assemble("nop")


def test_a_hanging_compiler(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(toolchain, "TIMEOUT", 0.5)
    pid = tmp_path / "pid"
    fake = program(tmp_path, "cc", f"sleep 300 & echo $! > '{pid}'; wait")
    before = time.monotonic()
    with pytest.raises(ToolchainError, match=r"^gcc took more than 0\.5 seconds$"):
        Toolchain("gcc", (str(fake),), "").assemble("nop")
    assert time.monotonic() - before < 20
    assert is_gone(int(pid.read_text(encoding="ascii"))), "what it started has to end with it"


def is_gone(pid: int) -> bool:
    """Whether a process ends within seconds; one that nobody has waited for yet counts as ended."""
    for _ in range(100):
        try:
            os.kill(pid, 0)
            if ") Z " in Path(f"/proc/{pid}/stat").read_text(encoding="ascii"):
                return True
        except (ProcessLookupError, FileNotFoundError):
            return True
        time.sleep(0.05)
    return False
