# SPDX-License-Identifier: GPL-2.0-or-later
"""Where the fields are that verification writes and reads: struct dyn_ftrace, ftrace_ops, ftrace_regs."""

from __future__ import annotations

from dataclasses import dataclass

from ..image.btf import StructLayout
from ..image.model import KernelImage
from ..isa.encoding import REG_NAMES
from ..schemes import Link
from ..sites.patching import Trampoline

__all__ = ["Layouts", "OpsLayout", "layouts_of", "slots_of"]

_REGS_STRUCTS = ("__arch_ftrace_regs", "ftrace_regs", "pt_regs")
"""What the frame is, the newest kernels' name first; an opaque struct without members does not count."""
_RECORD_SIZE = 16
_T0, _SP, _T1, _A3 = 5, 2, 6, 13


@dataclass(frozen=True, slots=True)
class OpsLayout:
    """struct ftrace_ops [bytes]; direct_call is None where the kernel has no such field."""

    size: int
    func: int
    flags: int
    direct_call: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Layouts:
    """What is known of the structures.

    Args:
        record_ip, record_flags: offsets in struct dyn_ftrace [bytes].
        record_size: [bytes].
        ops: struct ftrace_ops.
        regs: field of the frame to its offset [bytes]; ``epc``, ``ra``, ``sp``, ``s0``, ``a0``, ...
        regs_name: the structure that they are of.
        notes: for each layout that is not from BTF, the evidence that it was assumed from.
    """

    record_ip: int
    record_flags: int
    record_size: int
    ops: OpsLayout
    regs: dict[str, int]
    regs_name: str
    notes: tuple[str, ...]


def layouts_of(
    image: KernelImage,
    *,
    direct_at: int | None = None,
    func_at: int | None = None,
    slots: dict[str, int] | None = None,
) -> Layouts:
    """Return the layouts of an image.

    Args:
        image: the kernel.
        direct_at: offset at which the kernel's own trampoline loads a direct call from an ops, if it does.
        func_at: offset at which it loads the callback, if it does.
        slots: what `slots_of` says of its trampoline, for a kernel without types.
    """
    notes: list[str] = []
    record = _struct(image, ("dyn_ftrace",))
    if record is None:
        notes.append("struct dyn_ftrace: no type; taken for ip at 0, flags at 8, 16 bytes")
    regs = _struct(image, _REGS_STRUCTS)
    if regs is None:
        where = "fields of the frame are not judged"
        if slots:
            where = "taken for what ftrace_caller keeps, where it keeps it; what C reads there is not known"
        notes.append(f"struct ftrace_regs: no type; {where}")
    return Layouts(
        record_ip=record.offset("ip") if record else 0,
        record_flags=record.offset("flags") if record else 8,
        record_size=record.size if record else _RECORD_SIZE,
        ops=_ops(image, direct_at, func_at, notes),
        regs={member.name: member.offset for member in regs.members} if regs else dict(slots or {}),
        regs_name=regs.name if regs else "",
        notes=tuple(notes),
    )


def slots_of(caller: Trampoline | None) -> dict[str, int]:
    """Return where a trampoline keeps registers in the frame that its callback gets: field to offset [bytes].

    ``epc`` is where it takes the address from that it goes on at, ``t1`` the one of a direct call. Empty if it
    was not understood, or if the call does not go through t0: ra is then not what the frame's field says.
    """
    if caller is None or not caller.complete or caller.link is not Link.T0 or caller.frame is None:
        return {}
    frame = caller.frame
    if frame.passes_frame != _A3:
        return {}
    kept = {number: at for at, number in frame.saved.items() if number == _SP or frame.restored.get(number) == at}
    if _T0 not in kept:
        return {}
    direct = frame.restored.get(_T1)
    if direct is not None and direct in frame.stored and direct not in frame.saved:
        kept[_T1] = direct
    return {"epc" if number == _T0 else REG_NAMES[number]: at for number, at in kept.items()}


def _struct(image: KernelImage, names: tuple[str, ...]) -> StructLayout | None:
    """Return the first of the structures that has members."""
    for name in names if image.types is not None else ():
        for found in image.types.structs(name) if image.types is not None else ():
            if found.members and not _is_wrapper(found):
                return found
    return None


def _is_wrapper(struct: StructLayout) -> bool:
    """Tell whether all that a structure has is another one, as ftrace_regs had pt_regs up to 6.8."""
    return len(struct.members) == 1 and struct.members[0].type_name.startswith("struct ")


def _ops(image: KernelImage, direct_at: int | None, func_at: int | None, notes: list[str]) -> OpsLayout:
    found = _struct(image, ("ftrace_ops",))
    if found is not None:
        direct = found.offset("direct_call") if found.has("direct_call") else None
        return OpsLayout(found.size, found.offset("func"), found.offset("flags"), direct)
    where = "as the trampoline loads them" if func_at is not None else "the order of its first members"
    notes.append(f"struct ftrace_ops: no type; taken for func at {func_at or 0}, flags at 16, {where}")
    return OpsLayout(max(256, (direct_at or 0) + 8), func_at or 0, 16, direct_at)
