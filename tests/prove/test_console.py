# SPDX-License-Identifier: GPL-2.0-or-later
"""Consoles of kernels that start, in the shapes that real ones have."""

from __future__ import annotations

import pytest

from genpatch.prove.console import read_console
from tests.prove.fakes import CONSOLE


def test_a_good_one() -> None:
    console = read_console(CONSOLE.splitlines())
    assert console.is_good
    assert console.banner.startswith("Linux version 6.12.107-rc1 ")
    assert console.passed == [
        "tracer function", "dynamic ftrace", "dynamic ftrace ops #1", "ftrace regs(no arch support)", "all events",
        "kprobe tracing",
    ]  # fmt: skip
    assert console.evidence == "6 start-up tests passed; 2 event tests in order; no complaint"


BAD = {
    "Testing tracer function_graph: .. no entries found ..FAILED!": "FAILED",
    "------------[ ftrace bug ]------------": "ftrace bug",
    "ftrace failed to modify": "ftrace failed",
    "WARNING: CPU: 0 PID: 1 at kernel/trace/ftrace.c:2124 ftrace_bug+0x1a/0x2b8": "WARNING",
    "[    3.100000][    T1] WARNING: CPU: 0 PID: 1 at kernel/trace/trace.c:1": "WARNING",
    "Oops - illegal instruction [#1]": "Oops",
    "Unable to handle kernel paging request at virtual address 0000000000000008": "Unable",
    "BUG: scheduling while atomic: swapper/0/1/0x00000002": "BUG",
    "rcu: INFO: rcu_sched detected stalls on CPUs/tasks:": "stalls",
    "watchdog: BUG: soft lockup - CPU#0 stuck for 26s! [swapper/0:1]": "lockup",
    "Kernel panic - not syncing: Attempted to kill init! exitcode=0x0000000b": "init!",
    "INFO: task swapper/0:1 blocked for more than 120 seconds.": "blocked",
    "Enabled event during self test!": "Enabled",
}


@pytest.mark.parametrize("line", list(BAD), ids=list(BAD.values()))
def test_what_is_a_complaint(line: str) -> None:
    lines = CONSOLE.replace("Running tests on trace events:", line)
    console = read_console(lines.splitlines())
    assert not console.is_good
    assert len(console.complaints) == 1
    assert BAD[line] in console.complaints[0]


@pytest.mark.parametrize(
    "line",
    [
        "Testing event rcu_stall_warning: OK",
        "clocksource: riscv_clocksource: mask: 0xffffffffffffffff max_cycles: 0x24e6a1710",
        "Debug: no BUG here",
        "ftrace: allocating 21345 entries in 84 pages",
        "random: crng init done",
        "SBI specification v1.0 detected",
        "NET: Registered PF_INET protocol family",
        "devtmpfs: initialized",
    ],
)
def test_what_is_none(line: str) -> None:
    console = read_console(CONSOLE.replace("Running tests on trace events:", line).splitlines())
    assert console.complaints == []


def test_a_test_that_never_ends() -> None:
    console = read_console(["Linux version 6.12 (x)", "Testing dynamic ftrace: "])
    assert not console.is_good
    assert console.evidence == ("0 start-up tests passed; no complaint; it did not come to its end, in dynamic ftrace")


def test_a_failed_test_has_its_name() -> None:
    console = read_console(
        CONSOLE.replace("dynamic ftrace: PASSED", "dynamic ftrace: .. filter did not filter .. FAILED!").splitlines()
    )
    assert console.failed == ["dynamic ftrace"]
    assert "1 failed: dynamic ftrace" in console.evidence


def test_silence_is_no_pass() -> None:
    assert not read_console([]).is_good
    assert read_console(["OpenSBI v1.1"]).evidence == "no kernel spoke on the console"
    without = [line for line in CONSOLE.splitlines() if "Testing" not in line and "PASSED" not in line]
    assert not read_console(without).is_good, "a kernel without start-up tests has proved nothing"
