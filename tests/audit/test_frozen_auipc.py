# SPDX-License-Identifier: GPL-2.0-or-later
"""A reach test that looks at more than the distance is not judged by the distance."""

from __future__ import annotations

import pytest

from genpatch.audit.cases import CALL_OPS_CODE, CALL_OPS_MAKE_CALL, SITES_AT, Code, Fn, kernel, replaced
from genpatch.audit.facts import Facts
from genpatch.audit.model import Skip
from genpatch.audit.rules.gp202_frozen_auipc import frozen_auipc_overreach

NEAR = Code(name="ftrace_stub_direct_tramp", source="jalr zero, 0(t0)", at=CALL_OPS_CODE[0].at + 0xC0)
TEST = """
    auipc a5, 0
    sub a4, a5, a1
    addi a2, zero, 2047
    bltu a2, a4, near
    srli a4, a1, 12
    srli a5, a5, 12
    {second}
    near: addi a0, a0, 0
"""


def facts(second: str) -> Facts:
    code = replaced(CALL_OPS_CODE, "ftrace_make_call", TEST.format(second=second) + CALL_OPS_MAKE_CALL)
    site = Fn(name="one", at=SITES_AT + 0x808)
    return kernel(site, code=(*code, NEAR), symbols={"register_ftrace_direct": SITES_AT + 0x8000})


@pytest.mark.parametrize("second", ["beq a4, a5, near", "bne a5, a4, near"])
def test_two_values_are_compared(second: str) -> None:
    with pytest.raises(Skip, match="compares more than the distance; genpatch verify runs it"):
        list(frozen_auipc_overreach(facts(second)))


@pytest.mark.parametrize("second", ["", "beq a4, zero, near", "bltu a4, a5, near"])
def test_something_else_is_compared(second: str) -> None:
    (finding,) = frozen_auipc_overreach(facts(second))
    assert "1 site of 1 auipc has another hi20" in finding.message
