# SPDX-License-Identifier: GPL-2.0-or-later
"""Bytes of sleds in each state, against what verification saw being stored, and against the encodings by hand."""

from __future__ import annotations

import re
from functools import cache
from typing import Any

import pytest

from genpatch.cli.kernels import documents_of

NOP, AUIPC_T0, JALR_T0 = 0x13, 0x297, 0x282E7  # addi x0, x0, 0; auipc t0; jalr t0, imm(t0)
STORE = re.compile(r"store (\d+) at func([+-]\d+): (0x[0-9a-f]+)")
LEADS_TO = {"ftrace_init_nop": "boot", "ftrace_make_call": "enabled", "ftrace_make_nop": "disabled"}


@cache
def verified(sample: str) -> dict[str, Any]:
    return documents_of(f"sample:{sample}", ("verify",), lambda _: None)[0]


def word(document: dict[str, Any], state: str, at: int, site: int) -> int:
    states = {each["state"]: each for each in document["site_rows"]["states"]}
    column = next(each for each in states[state]["words"] if each["at"] == at)
    return int(column["values"][column["index"][site]], 16)


@pytest.mark.parametrize(("sample", "low"), [("call-ops", -8), ("pair-t0", 0), ("auipc-fixed", 0)])
def test_bytes_are_what_was_seen_being_stored(sample: str, low: int) -> None:
    document = verified(sample)
    rows = document["site_rows"]
    base, checked = int(rows["base"], 16), 0
    assert min(each["at"] for each in rows["states"][0]["words"]) == low
    for name, steps in document["sequences"].items():
        function, _, residue = name.partition(", func % 8 == ")
        if not residue:
            continue
        site = next(n for n, func in enumerate(rows["func"]) if (base + func) % 8 == int(residue))
        stored = {}
        for size, offset, value in (found.groups() for step in steps if (found := STORE.match(step))):
            for at in range(0, int(size), 4):
                stored[int(offset) + at] = int(value, 16) >> 8 * at & 0xFFFFFFFF
        state = LEADS_TO.get(function)
        if state is None or state not in {each["state"] for each in rows["states"]}:
            continue
        for at, value in stored.items():
            if at >= low:
                checked += 1
                assert word(document, state, at, site) == value, (name, at)
    assert checked >= 4


def test_a_site_of_call_ops_from_the_file_to_disabled() -> None:
    document = verified("call-ops")
    for site in range(document["site_rows"]["count"]):
        assert [word(document, "image", at, site) for at in (0, 4)] == [0x10001, 0x10001]  # two c.nops each
        assert word(document, "boot", 0, site) & 0xFFF == AUIPC_T0
        assert word(document, "boot", 4, site) == NOP
        assert word(document, "enabled", 0, site) == word(document, "boot", 0, site)
        assert word(document, "enabled", 4, site) & 0xFFFFF == JALR_T0
        assert all(word(document, "disabled", at, site) == word(document, "boot", at, site) for at in (-8, -4, 0, 4))


def test_what_calls_and_pointers_lead_to_has_a_name() -> None:
    document = verified("call-ops")
    rows = document["site_rows"]
    pc = int(rows["base"], 16) + rows["func"][0]
    high, low = word(document, "enabled", 0, 0) >> 12, word(document, "enabled", 4, 0) >> 20
    target = pc + ((high ^ 0x80000) - 0x80000) * 4096 + (low ^ 0x800) - 0x800
    assert rows["names"][f"{target:#x}"] == "ftrace_caller"
    assert {"ftrace_nop_ops", "ftrace_list_ops"} <= set(rows["names"].values())
    assert rows["literal"] == -8


def test_without_a_scheme_there_is_only_the_file() -> None:
    document = verified("foreign-bytes")
    assert document["site_rows"]["states"][0]["state"] == "image"
