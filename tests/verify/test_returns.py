# SPDX-License-Identifier: GPL-2.0-or-later
"""The way back through return_to_handler; its mistakes are among those of test_run."""

from __future__ import annotations

from genpatch.audit.cases import FREGS, OPS, ToyTypes, layout_of
from genpatch.audit.live import RECORD
from genpatch.image.btf import FunctionType, Parameter
from genpatch.verify.returns import RETURNS, frame_fields

from .toys import broken, call_ops

HOOK = RETURNS[0]


class Types(ToyTypes):
    """The handler takes a pointer to something."""

    def __init__(self, parameter: str | None, *structs: object) -> None:
        super().__init__(*structs)  # type: ignore[arg-type]
        self.parameter = parameter

    def func_proto(self, name: str) -> FunctionType | None:
        if self.parameter is None:
            return None
        one = (Parameter(name="regs", type_name=self.parameter, size=8),) if self.parameter else ()
        return FunctionType(name=name, returns="unsigned long", parameters=one, variadic=False)


def fields(parameter: str | None, *structs: object) -> dict[str, int]:
    from dataclasses import replace

    return frame_fields(replace(call_ops().image, types=Types(parameter, *structs)), HOOK)  # type: ignore[arg-type]


def test_hooks() -> None:
    assert [hook.entry for hook in RETURNS] == ["return_to_handler", "arch_rethook_trampoline"]
    assert len({hook.state for hook in RETURNS}) == len(RETURNS)


def test_fields_by_the_handlers_type() -> None:
    ret = layout_of("fgraph_ret_regs", 32, a1=0, a0=8, s0=16, ra=24)
    assert fields("struct ftrace_regs *", FREGS, ret)["a0"] == 48
    assert fields("struct fgraph_ret_regs *", FREGS, ret) == {"a1": 0, "a0": 8, "s0": 16, "ra": 24}
    assert fields("struct pt_regs *", FREGS, ret, layout_of("pt_regs", 16, a0=8)) == {"a0": 8}


def test_fields_that_are_not_known() -> None:
    assert fields("unsigned long", FREGS) == {}
    assert fields("", FREGS) == {}
    assert fields(None, FREGS) == {}
    assert fields("struct ftrace_regs *", OPS, RECORD) == {}


def test_a_frame_of_junk_is_not_read() -> None:
    """The handler gets an address that is nowhere; what the function returned still has to come back."""
    assert broken(call_ops("return_to_handler", ("addi a0, sp, 0", "addi a0, zero, -8")), "returned") == set()
    assert broken(call_ops("return_to_handler", ("addi a0, sp, 0", "lui a0, 0x12345")), "returned") == set()


def test_sp_of_junk() -> None:
    found = broken(call_ops("return_to_handler", ("addi a0, sp, 0", "addi a0, sp, 0\n    lui sp, 0x12345")), "returned")
    assert found == {("arrives", "parent")}
