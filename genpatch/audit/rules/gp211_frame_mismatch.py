# SPDX-License-Identifier: GPL-2.0-or-later
"""GP211: a trampoline's frame is the struct that its callback is given."""

from __future__ import annotations

from collections.abc import Iterator

from ...image.btf import StructLayout
from ...isa.encoding import REG_NAMES
from ...schemes import Link
from ...sites.patching import Frame, Trampoline
from ..cases import CALL_OPS_CALLER, CALL_OPS_CODE, FREGS, OPS, Fn, clean, fires, kernel, layout_of, replaced
from ..facts import Facts
from ..model import Finding, Severity, Skip
from ..registry import rule

_SWAPPED = CALL_OPS_CALLER.replace("sd a0, 48(sp)", "sd a1, 48(sp)").replace("sd a1, 56(sp)", "sd a0, 56(sp)", 1)
_TALL = layout_of("__arch_ftrace_regs", 128, **{member.name: member.offset for member in FREGS.members})


@rule(
    "GP211",
    "frame-struct-mismatch",
    severity=Severity.ERROR,
    applies="kernel",
    source="linux include/linux/ftrace_regs.h; BTF of the image",
    cases=(
        clean(lambda: kernel(Fn(name="one"), structs=(FREGS, OPS))),
        fires(
            lambda: kernel(
                Fn(name="one"), structs=(FREGS, OPS), code=replaced(CALL_OPS_CODE, "ftrace_caller", _SWAPPED)
            ),
            "stores a1 where .* has a0",
        ),
        fires(lambda: kernel(Fn(name="one"), structs=(_TALL, OPS)), "112 bytes .* 128"),
    ),
)
def frame_struct_mismatch(facts: Facts) -> Iterator[Finding]:
    """A trampoline passes a frame as a struct that is larger than it, or laid out differently.

    ## What it checks
    For ftrace_caller, ftrace_regs_caller and return_to_handler: the stack frame whose address is passed to
    the callback, read from the instructions, against the struct in BTF that the callback takes it for. Each
    register must be stored in the member of its name, and the struct must end within the frame.

    ## Why it matters
    Callbacks read arguments, the return address and the frame pointer through the struct. A frame that is
    too small lets them read (and write) the caller's stack; a slot off by one gives them another register.

    ## Remedy
    Derive every offset from asm-offsets.c, and change the struct, the offsets and the assembly together.

    ## References
    arch/riscv/kernel/mcount-dyn.S, mcount.S, asm-offsets.c; linux a3ed4157b7d8 ("fgraph: Replace
    fgraph_ret_regs with ftrace_regs").
    """
    if facts.image.types is None:
        raise Skip("no type information (BTF)")
    judged = 0
    for name in ("ftrace_caller", "ftrace_regs_caller", "return_to_handler"):
        trampoline = facts.code.trampoline(name)
        struct = struct_passed(facts, name)
        if trampoline is None or trampoline.frame is None or struct is None:
            continue
        if trampoline.frame.passes_frame is None:
            continue
        judged += 1
        full = name == "ftrace_caller" and facts.image.address_of("ftrace_regs_caller") is not None
        for finding in _judge(trampoline, trampoline.frame, struct, _elsewhere(facts, trampoline)):
            # beside a trampoline that saves all registers only callbacks that ask for them read the struct
            yield finding.at_level(Severity.WARNING) if full and finding.kind == "size" else finding
    if not judged:
        raise Skip("no trampoline passes a frame whose struct is known")


def struct_passed(facts: Facts, name: str) -> StructLayout | None:
    """Return the struct that a trampoline's callback takes the frame for, None if it is not known."""
    if name == "return_to_handler":
        prototype = getattr(facts.image.types, "func_proto", lambda _: None)("ftrace_return_to_handler")
        taken = prototype.parameters[0].type_name if prototype and prototype.parameters else ""
        if taken == "struct fgraph_ret_regs *":
            return facts.struct("fgraph_ret_regs")
        if taken != "struct ftrace_regs *":
            return None
    arch = facts.struct("__arch_ftrace_regs")
    if arch is not None:
        return arch
    plain = facts.struct("ftrace_regs")
    if plain is not None and [member.name for member in plain.members] == ["regs"]:
        return facts.struct("pt_regs")
    return plain


_KEPT = frozenset({"epc", "ra", "sp", "s0", *(f"a{n}" for n in range(8))})


def _elsewhere(facts: Facts, trampoline: Trampoline) -> frozenset[str]:
    """Return registers that are not at a trampoline what they were at the call, so that it computes them."""
    if trampoline.name == "return_to_handler":
        return frozenset()
    gone = {"ra"} if trampoline.link is Link.RA else set()  # the sled has put it on the stack
    return frozenset(gone | ({"sp"} if facts.scheme is not None and facts.scheme.pushed else set()))


def _judge(trampoline: Trampoline, frame: Frame, struct: StructLayout, elsewhere: frozenset[str]) -> Iterator[Finding]:
    room = frame.size - frame.base
    address, symbol = trampoline.span.start, trampoline.name
    if struct.size > room:
        yield Finding(
            message=f"{symbol} passes {room} bytes of stack as struct {struct.name}, which has {struct.size}",
            kind="size", address=address, symbol=symbol, subject=symbol,
        )  # fmt: skip
        return
    for member in struct.members:
        offset = member.offset
        if member.name in _KEPT - elsewhere and frame.stored.get(offset) and offset not in frame.saved:
            yield Finding(
                message=f"{symbol} stores something else than {member.name} in struct {struct.name} (offset {offset})",
                kind="value", address=address, symbol=symbol, subject=f"{symbol}:{member.name}",
            )  # fmt: skip
    members: dict[int, list[str]] = {}
    for member in struct.members:
        members.setdefault(member.offset, []).append(member.name)
    for offset, register in sorted(frame.saved.items()):
        if not 0 <= offset < struct.size:
            continue
        names, own = members.get(offset, []), REG_NAMES[register]
        if own in names or (own == "s0" and "fp" in names) or ("epc" in names and own in ("t0", "ra")):
            continue
        if any(name in REG_NAMES or name == "epc" for name in names) or not names:
            yield Finding(
                message=f"{symbol} stores {own} where struct {struct.name} has "
                f"{' or '.join(names) or 'no member'} (offset {offset})",
                kind="slot", address=address, symbol=symbol, subject=f"{symbol}:{own}",
            )  # fmt: skip
