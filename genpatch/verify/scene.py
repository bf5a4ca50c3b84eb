# SPDX-License-Identifier: GPL-2.0-or-later
"""A kernel made ready for many lanes: what is the same for all sites is done once, on a scalar hart.

Three things are found out by running the kernel's own code: where it maps text to write to it (the fixmap's
top, which is a constant of the build), what ftrace_update_ftrace_func changes, and which of the functions that
verification calls are there at all.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

from ..errors import ImageError
from ..image.model import KernelImage
from ..machine.hart import Hart
from ..machine.memory import PAGE
from ..machine.memory import Mapping as Mapped
from ..machine.outcome import Cause, Outcome, Trap
from ..run.kernel import A0, RA, RETURN, KernelBench, Place, has_returned, kernel_places
from ..units import MASK64, Span, as_hex
from .stubs import FIXMAP, STUBS, Stub
from .update import framing_of

__all__ = ["Fixmap", "Scene", "hook_stubs", "prepare_scene"]

_WRITERS = ("patch_insn_write", "patch_text_nosync", "ftrace_make_nop")
_HOST_GAP = 1 << 20
_LARGEST = 1 << 31  # lanes keep a byte of state for each word
_BUDGET = 200_000
_T0, _A2 = 5, 12


@dataclass
class Scene:
    """What all lanes share.

    Args:
        image: the kernel.
        places: its bytes, with what global updates changed.
        fixmap_top: address that fixmap slots are counted down from, None if text is written where it is.
        host: span of addresses near the kernel where nothing is mapped, for host functions.
        stubs: address of each function that is not executed.
        missing: functions that verification would call and the image does not have.
        stack, scratch, task: addresses for those, free of the image.
        notes: what else there is to say.
        framing: what the kernel does around the patching of many sites, in order.
        handed: what ftrace_caller hands to the host's callback as ops, whoever it is called for; None if it did
            not come there.
    """

    image: KernelImage
    places: list[Place]
    fixmap_top: int | None
    host: Span
    stubs: dict[int, Stub]
    missing: tuple[str, ...]
    stack: Span
    scratch: Span
    task: Span
    notes: list[str] = field(default_factory=list)
    framing: tuple[str, ...] = ()
    handed: int | None = None

    @property
    def callback(self) -> int:
        """Address of the host's callback, in reach of a call from the kernel's text."""
        return self.host.start

    @property
    def direct(self) -> int:
        """Address of the host's direct trampoline."""
        return self.host.start + 0x100

    @property
    def elsewhere(self) -> int:
        """Address that a callback sends the traced function to."""
        return self.host.start + 0x200

    @property
    def parent(self) -> int:
        """Address that the traced function was called from."""
        return self.host.start + 0x300


FUNCTIONS = (
    "ftrace_init_nop",
    "ftrace_make_call",
    "ftrace_modify_call",
    "ftrace_make_nop",
    "ftrace_update_ftrace_func",
)


def prepare_scene(image: KernelImage) -> Scene:
    """Return the scene of a kernel; what cannot be prepared is in its notes.

    Raises:
        ImageError: it is no linked kernel, or larger than the 2 GiB that one has at the end of the address space.
    """
    size = sum(region.span.size for region in image.memory.regions)
    if size > _LARGEST:
        raise ImageError(image.path, "regions", expected=f"at most {_LARGEST:#x} bytes in all", got=f"{size:#x}")
    bench = KernelBench(image)
    start = _host_start(image)
    stubs = {address: stub for stub in STUBS if (address := image.address_of(stub.name)) is not None}
    missing = tuple(name for name in FUNCTIONS if image.address_of(name) is None)
    scene = Scene(image, [], None, Span(start, start + PAGE), stubs, missing, bench.stack, bench.scratch, bench.task)
    hook_stubs(bench.hart, stubs)
    mapper = Fixmap(bench)
    scene.fixmap_top = mapper.find_top(scene.notes)
    scene.framing, trouble = framing_of(bench, stubs)
    scene.notes += [trouble] if trouble else []
    _update_callback(bench, scene)
    scene.places = _places(bench)
    return scene


def _host_start(image: KernelImage) -> int:
    """Return where host functions are: in reach of the kernel, behind it or else in front of it.

    Raises:
        ImageError: there is room for neither.
    """
    regions = image.memory.regions
    behind = -(-max(region.span.end for region in regions) // PAGE) * PAGE + _HOST_GAP
    before = (min(region.span.start for region in regions) & -PAGE) - _HOST_GAP - PAGE
    if behind + PAGE <= MASK64 - PAGE:
        return behind
    if before < PAGE:
        raise ImageError(image.path, expected="free addresses beside the kernel", got="none")
    return before


def hook_stubs(hart: Hart, stubs: Mapping[int, Stub]) -> None:
    """Let a scalar hart not execute some functions."""
    hart.hooks |= {address: _scalar_stub(stub) for address, stub in stubs.items()}


def _scalar_stub(stub: Stub) -> Callable[[Hart], Outcome | None]:
    def hook(hart: Hart) -> Outcome | None:
        if stub.calls >= 0:
            hart.pc, hart.x[A0] = hart.x[A0 + stub.calls], hart.x[A0 + stub.calls + 1]
        else:
            hart.pc, hart.x[A0] = hart.x[RA], hart.x[A0] if stub.echoes else stub.value & MASK64
        return None

    return hook


class Fixmap:
    """Honours what the kernel maps to write to its text.

    Args:
        bench: the machine.
        top: address that fixmap slots are counted down from; None if it is still to be found.
    """

    def __init__(self, bench: KernelBench, top: int | None = None):
        self.bench, self.top = bench, top
        self._mapped: dict[int, Mapped] = {}
        self._last: tuple[int, int] | None = None
        bench.map_shadow(top)
        address = bench.image.address_of(FIXMAP)
        self.address = address
        if address is not None:
            bench.hart.hooks[address] = self._hook

    def _hook(self, hart: Hart) -> Outcome | None:
        index, physical, protection = hart.x[A0 : A0 + 3]
        memory = self.bench.memory
        if self.top is None:
            self._last = (index, physical) if protection else self._last
        elif protection == 0:
            mapping = self._mapped.pop(index, None)
            if mapping is not None:
                memory.unmap(mapping)
        elif index not in self._mapped:
            target = physical & -PAGE
            self._mapped[index] = memory.alias(self.top - index * PAGE, PAGE, target, name="fixmap")
        hart.pc = hart.x[RA]
        return None

    def find_top(self, notes: list[str]) -> int | None:
        """Let the kernel write to its text and see where the write goes."""
        if self.address is None:
            notes.append(f"no {FIXMAP}: text is written where it is")
            return None
        outcome = self._write()
        if outcome is None or self._last is None or outcome.cause != Cause.STORE_FAULT:
            how = "nothing that writes to text" if outcome is None else f"a trial write ended with {outcome.reason}"
            notes.append(f"the fixmap was not found: {how}")
            return None
        index, physical = self._last
        if (outcome.tval ^ physical) & PAGE - 1:
            notes.append(f"the fixmap was not found: a trial write went to {as_hex(outcome.tval)}")
            return None
        self.top = (outcome.tval & -PAGE) + index * PAGE
        self.bench.map_shadow(self.top)
        return self.top

    def _write(self) -> Outcome | None:
        """Write an instruction of the kernel over itself."""
        bench = self.bench
        target = bench.image.address_of("_stext") or bench.image.address_of("start_kernel")
        name = next((each for each in _WRITERS[:2] if bench.image.address_of(each) is not None), None)
        if target is None or name is None:
            return None
        address = bench.image.address_of("start_kernel") or target
        try:
            data = bench.memory.read(address, 4)
        except Trap:
            return None
        source = bench.place(data)
        outcome = bench.call(name, address, source, 4, budget=_BUDGET)
        shadow = bench.shadow if outcome.cause == Cause.LOAD_FAULT else None
        if shadow is not None and bench.map_shadow(shadow.shadowed(outcome.tval)):  # it looks there before it stores
            outcome = bench.call(name, address, source, 4, budget=_BUDGET)
        return outcome


def _update_callback(bench: KernelBench, scene: Scene) -> None:
    """Let the kernel make the host's callback the function that its trampoline calls."""
    name = "ftrace_update_ftrace_func"
    if bench.image.address_of(name) is None:
        return
    outcome = bench.call(name, scene.callback, budget=_BUDGET)
    if not has_returned(outcome):
        scene.notes.append(f"{name} did not return: {outcome.reason}")
    elif bench.hart.x[A0]:
        scene.notes.append(f"{name} returned {bench.hart.x[A0]:#x}")
    else:
        scene.handed = _handed(bench, scene.callback)


def _handed(bench: KernelBench, callback: int) -> int | None:
    """Let ftrace_caller run up to the callback, and return what is in a2 there."""
    caller = bench.image.address_of("ftrace_caller")
    if caller is None:
        return None
    bench.prepare(caller, ())
    bench.hart.x[_T0] = RETURN
    bench.hart.breakpoints.add(callback)
    bench.hart.run(_BUDGET)
    bench.hart.breakpoints.discard(callback)
    return bench.hart.x[_A2] if bench.hart.pc == callback else None


def _places(bench: KernelBench) -> list[Place]:
    """Return the image's bytes as they are now in the bench's memory."""
    places = []
    in_place = bench.image.address_of(FIXMAP) is None  # such a kernel writes to its text where it is
    for place in kernel_places(bench.image):
        permissions = "rwx" if in_place and "x" in place.permissions else place.permissions
        changed = bench.memory.written_pages(place.span)
        content = place.content
        if changed:
            content = np.zeros(place.span.size, np.uint8)
            content[: len(place.content)] = place.content
            for start, data in changed:
                low, high = max(start, place.span.start), min(start + PAGE, place.span.end)
                part = np.frombuffer(data, np.uint8)[low - start : high - start]
                content[low - place.span.start : high - place.span.start] = part
        places.append(Place(place.span, content, permissions, place.name))
    places += [Place(span, np.zeros(0, np.uint8), "rw", "kasan shadow", logged=False) for span in bench.shadow_spans]
    return places
