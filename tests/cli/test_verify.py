# SPDX-License-Identifier: GPL-2.0-or-later
"""``genpatch verify`` and ``genpatch trace --traced``: statuses, formats, choices, bad inputs."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft4Validator, Draft202012Validator

from genpatch.audit.cases import Code
from genpatch.audit.live import LIVE
from genpatch.report.formats import format_names
from genpatch.report.schema import VERIFY_JSON_SCHEMA
from tests.elfwriter import ALLOC, OBJECT, WRITE, Section, Symbol, words64
from tests.report.builders import HOSTILE
from tests.report.test_json import closed
from tests.toykernel import DATA, TEXT, module, vmlinux

from .conftest import Run

pytestmark = pytest.mark.usefixtures("here")

OPS_AT, LIST_FUNC = DATA + 0x1000, TEXT + 0xF00
NOP_OPS, LIST_OPS = OPS_AT, OPS_AT + 0x200
LOST_A3 = ("ftrace_caller", "    ld a3, 72(sp)\n", "")
NAMES = ("start_kernel", "vfs_read", "vfs_write")


def kernel(*edits: tuple[str, str, str], names: tuple[str, ...] = NAMES, **more: Any) -> bytes:
    """Return an ELF kernel that patches itself, with mistakes: (routine, old text, new text)."""
    sources = {**LIVE, "ftrace_ops_list_func": "jalr zero, 0(ra)"}
    for name, old, new in edits:
        assert old in sources[name]
        sources[name] = sources[name].replace(old, new)
    code = []
    for number, (name, source) in enumerate(sources.items()):
        for constant, value in (("NOP_OPS", NOP_OPS), ("LIST_OPS", LIST_OPS)):
            source = source.replace(f", {constant}\n", f", {value:#x}\n")
        at = LIST_FUNC if name == "ftrace_ops_list_func" else TEXT + 0x100 * number
        code.append(Code(name=name, source=source, at=at))
    ops = words64(LIST_FUNC).ljust(LIST_OPS - NOP_OPS, b"\0") + words64(LIST_FUNC).ljust(0x200, b"\0")
    symbols = [
        Symbol(name=name, value=value, section=".data.ops", kind=OBJECT, size=200)
        for name, value in (("ftrace_nop_ops", NOP_OPS), ("ftrace_list_ops", LIST_OPS))
    ]
    section = Section(name=".data.ops", data=ops, addr=OPS_AT, flags=ALLOC | WRITE, align=8)
    return vmlinux(*names, code=tuple(code), extra=(section,), symbols=tuple(symbols), **more)


@pytest.fixture(autouse=True)
def kernels(here: Path) -> None:
    (here / "live").write_bytes(kernel())
    (here / "lost").write_bytes(kernel(LOST_A3))


def document(run: Run, *args: str) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(run("verify", *args, "--format", "json").out)
    return loaded


# --- statuses


def test_a_kernel_that_does_it_right(run: Run) -> None:
    ran = run("verify", "live")
    assert (ran.status, ran.err) == (0, "")
    assert "0 errors, 0 warnings, 0 notes" in ran.out
    assert [line.split() for line in ran.out.splitlines() if line.startswith("  enabled ")] == [
        ["enabled", "3", "3", "0"]
    ]


def test_a_kernel_that_does_not(run: Run) -> None:
    ran = run("verify", "lost")
    assert (ran.status, ran.err) == (1, "")
    assert "GP306 register-changed" in ran.out
    assert "a3 is not preserved at 3 sites of 3" in ran.out
    assert "genpatch explain GP306" in ran.out
    assert f"arrives at {TEXT + 0x1028:#x} (start_kernel+0x8)" in ran.out


def test_what_makes_the_status(run: Run) -> None:
    assert run("verify", "lost", "--fail-on", "never").status == 0
    assert run("verify", "lost", "--ignore", "GP306").status == 0
    assert run("verify", "lost", "--select", "GP304").status == 0
    assert run("verify", "lost", "--select", "register-changed").status == 1
    assert run("verify", "lost", "--state", "boot").status == 0
    assert run("verify", "lost", "--state", "boot", "--state", "enabled").status == 1


def test_a_plain_audit_does_not_speak_of_it(run: Run) -> None:
    ran = run("audit", "lost", "--format", "json")
    listed = [rule["rule"] for rule in json.loads(ran.out)["rules"]]
    assert listed
    assert not [code for code in listed if code.startswith("GP3")]
    assert "GP3" not in run("audit", "lost").out


# --- documents


def test_the_document(run: Run) -> None:
    loaded = document(run, "lost")
    Draft202012Validator(closed(VERIFY_JSON_SCHEMA)).validate(loaded)
    assert loaded["schema"] == "genpatch/verify/1"
    assert loaded["sites"] == 3
    states = {each["state"]: each for each in loaded["states"]}
    assert states["enabled"] | {"what": ""} == {
        "state": "enabled", "what": "", "sites": 3, "passed": 0, "failed": 3, "skipped": "",
    }  # fmt: skip
    assert states["disabled"]["passed"] == 3
    assert states["changed-regs"]["sites"] == 0
    assert states["changed-regs"]["skipped"]
    assert {"what": "literal", "width": 8, "aligned": True} in [
        {key: each[key] for key in ("what", "width", "aligned")} for each in loaded["stores"]
    ]
    failure = loaded["failures"][0]
    assert failure["symbol"] == "start_kernel"
    assert failure["address"] == f"{TEXT + 0x1020:#x}"
    assert failure["state"] == "enabled"
    assert failure["got"] == "0xdead00000000000d"
    assert {each["symbol"] for each in loaded["failures"]} == set(NAMES)
    assert loaded["insns"] > 0
    assert loaded["seconds"] >= 0


def test_every_site_is_counted_once(run: Run) -> None:
    for state in document(run, "lost")["states"]:
        assert state["sites"] == state["passed"] + state["failed"]


def test_the_schema_is_printed(run: Run) -> None:
    ran = run("schema", "verify")
    assert json.loads(ran.out) == VERIFY_JSON_SCHEMA
    Draft202012Validator.check_schema(VERIFY_JSON_SCHEMA)


@pytest.mark.parametrize(
    "key", ["sites", "states", "stores", "sequences", "failures", "listings", "missing", "insns", "seconds", "schema"]
)
def test_keys_that_readers_rely_on(run: Run, key: str) -> None:
    assert key in document(run, "live")


@pytest.mark.parametrize("name", format_names())
def test_each_format(run: Run, name: str) -> None:
    ran = run("verify", "lost", "--format", name)
    assert (ran.status, ran.err) == (1, "")
    assert "GP306" in ran.out
    assert run("verify", "live", "--format", name).status == 0


def test_formats_are_what_they_are_called(run: Run) -> None:
    every = [f"{name}=out.{name}" for name in format_names()]
    ran = run("verify", "lost", *(part for each in every for part in ("--format", each)))
    assert (ran.status, ran.out) == (1, "")
    cases = ElementTree.parse("out.junit").getroot().findall(".//testcase")
    assert [case.get("name") for case in cases if case.find("failure") is not None]
    assert Path("out.ktap").read_text().startswith("KTAP version 1\n")
    results = json.loads(Path("out.sarif").read_text())["runs"][0]["results"]
    assert {each["ruleId"] for each in results if each["kind"] == "fail"} == {"GP306"}
    assert {each["ruleId"][:4] for each in results if each["kind"] == "notApplicable"} == {"GP35"}  # no BPF there
    for line in Path("out.jsonl").read_text().splitlines():
        json.loads(line)


def test_the_official_sarif_schema(run: Run) -> None:
    path = os.environ.get("GENPATCH_SARIF_SCHEMA", "")
    if not path:
        pytest.skip("GENPATCH_SARIF_SCHEMA does not name OASIS's sarif-schema-2.1.0.json")
    schema = json.loads(Path(path).read_text())
    loaded = json.loads(run("verify", "lost", "--format", "sarif").out)
    Draft4Validator(schema, format_checker=Draft4Validator.FORMAT_CHECKER).validate(loaded)


def test_explain(run: Run) -> None:
    ran = run("explain", "GP304")
    assert ran.status == 0
    assert "call-astray" in ran.out
    assert "## " not in ran.out or "Remedy" in ran.out


# --- choices


def test_some_functions(run: Run) -> None:
    loaded = document(run, "lost", "--function", "vfs_*")
    assert loaded["sites"] == 2
    assert {each["symbol"] for each in loaded["failures"]} == {"vfs_read", "vfs_write"}


def test_one_state(run: Run) -> None:
    loaded = document(run, "lost", "--state", "enabled")
    assert [each["state"] for each in loaded["states"]] == ["enabled"]
    assert loaded["findings"]


@pytest.mark.parametrize("state", ["returned", "direct:ftrace_stub_direct_tramp"])
def test_states_of_the_kernel_itself(run: Run, state: str) -> None:
    """Without types no site has an ops of its own, so there is no direct call to try."""
    ran = run("verify", "live", "--state", state)
    assert ran.status == (0 if state == "returned" else 2)


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("live", "--state", "nonsense"), "--state 'nonsense': "),
        (("live", "--format", "nonsense"), "--format 'nonsense': "),
        (("live", "--fail-on", "x"), "--fail-on 'x': "),
        (("live", "--color", "x"), "--color 'x': "),
        (("live", "--select", "GP999"), ""),
        (("live", "--function", "no_such_*"), "--function 'no_such_*': no traced function is called so"),
        (("live", "--state", "changed-regs"), "live: nothing was run: changed-regs: one trampoline only"),
        (("live", "--state", "direct:nowhere"), "live: nothing was run: there is no state direct:nowhere here"),
        (("live", "--config", "nowhere"), "nowhere: "),
        (("ext.ko",), "ext.ko: "),
        (("program",), "program: "),
        (("x86",), "x86: e_machine: expected 243"),
        (("text",), "text: expected a RISC-V kernel image"),
        (("empty",), "empty: "),
        (("short",), "short: "),
        (("nowhere",), "nowhere: No such file or directory"),
        (("untraced",), ""),
        (("live", "--bogus"), ""),
        ((), ""),
    ],
)
def test_what_cannot_be_done(run: Run, args: tuple[str, ...], message: str) -> None:
    ran = run("verify", *args)
    assert ran.status == 2
    assert ran.err.startswith(f"genpatch: {message}")
    assert ran.err.count("\n") == 1
    assert "Traceback" not in ran.err
    assert "internal error" not in ran.err


def test_no_patching_functions_is_no_pass(run: Run, here: Path) -> None:
    data = kernel()
    for name in ("init_nop", "make_call", "make_nop", "modify_call"):
        data = data.replace(f"ftrace_{name}\0".encode(), f"gtrace_{name}\0".encode())
    (here / "none").write_bytes(data)
    ran = run("verify", "none")
    assert ran.status == 2
    assert ran.err.startswith("genpatch: none: nothing was run: boot: no ftrace_init_nop; ")
    assert ran.err.count("\n") == 1


# --- names, damage


@pytest.mark.parametrize(
    "name", [name for name in HOSTILE if name and "\0" not in name and name.isprintable() is False]
)
def test_hostile_names(run: Run, here: Path, name: str) -> None:
    (here / "hostile").write_bytes(kernel(LOST_A3, names=("start_kernel", name.encode("utf-8", "replace").decode())))
    for args in (
        ("verify", "hostile"),
        ("verify", "hostile", "--format", "concise"),
        ("trace", "hostile", "--traced", f"{TEXT + 0x1040:#x}"),
    ):
        ran = run(*args)
        assert "\x1b" not in ran.out + ran.err
        assert "\r" not in ran.out
        assert not any(line.startswith("::") for line in ran.out.splitlines())


@pytest.mark.parametrize("seed", range(12))
def test_a_damaged_image(run: Run, here: Path, seed: int) -> None:
    """Whatever the bytes are: a report or one line, never a traceback."""
    data, chance = bytearray(kernel()), random.Random(seed)
    if seed % 3 == 0:
        data = data[: chance.randrange(64, len(data))]
    for _ in range(1 << seed % 8):
        data[chance.randrange(len(data))] = chance.randrange(256)
    (here / "damaged").write_bytes(data)
    ran = run("verify", "damaged")
    assert ran.status in (0, 1, 2)
    assert "Traceback" not in ran.err
    assert "internal error" not in ran.err
    assert ran.err.count("\n") <= 1


def damaged(chance: random.Random, at: int, size: int, count: int) -> bytes:
    data = bytearray(kernel())
    for _ in range(count):
        data[at + chance.randrange(size)] = chance.randrange(256)
    return bytes(data)


@pytest.mark.parametrize("seed", range(12))
def test_damaged_code(run: Run, here: Path, seed: int) -> None:
    """Wrong instructions in the patching code itself: findings, and an end."""
    data = kernel()
    at = data.index(bytes.fromhex("03b302ff"))  # ld t1, -16(t0): the trampoline's first instruction
    (here / "damaged").write_bytes(damaged(random.Random(seed), at, 0xE00, 40))
    ran = run("verify", "damaged")
    assert ran.status in (0, 1, 2)
    assert "internal error" not in ran.err
    assert ran.err.count("\n") <= 1


# --- the life of one site


def test_a_life(run: Run) -> None:
    ran = run("trace", "live", "--traced", "vfs_read")
    assert (ran.status, ran.err) == (0, "")
    lines = ran.out.splitlines()
    assert lines[0] == f"vfs_read at {TEXT + 0x1040:#x}, call-ops"
    assert lines[1] == "boot: as ftrace_init_nop leaves it"
    assert "BROKEN" not in ran.out


def test_a_broken_life(run: Run) -> None:
    ran = run("trace", "lost", "--traced", "vfs_read")
    assert "BROKEN in state enabled: registers a3, 0xdead00000000000d instead of 0x5eed0d00000000" in ran.out


@pytest.mark.parametrize("function", ["nowhere", "ftrace_caller", "0x10"])
def test_no_such_site(run: Run, function: str) -> None:
    ran = run("trace", "live", "--traced", function)
    assert (ran.status, ran.out) == (2, "")
    assert ran.err == f"genpatch: live: no patch site at {function!r}\n"


# --- as a process


def test_a_process_of_its_own() -> None:
    ran = subprocess.run(
        [sys.executable, "-m", "genpatch", "verify", "lost"], capture_output=True, text=True, timeout=60
    )
    assert (ran.returncode, ran.stderr) == (1, "")


def test_a_module_is_named(run: Run, here: Path) -> None:
    (here / "other.ko").write_bytes(module())
    ran = run("verify", "other.ko")
    assert ran.status == 2
    assert "other.ko" in ran.err


def test_a_place_that_cannot_be_written_is_said_before_anything_is_run(run: Run) -> None:
    Path("kept.json").write_text("kept")
    ran = run("verify", "lost", "--format", "json=kept.json", "--format", "text=nowhere/report")
    assert (ran.status, ran.out) == (2, "")
    assert ran.err == "genpatch: nowhere/report: No such file or directory\n"
    assert Path("kept.json").read_text() == "kept"
