# SPDX-License-Identifier: GPL-2.0-or-later
"""A kernel image in the machine, and calls of its functions.

What a kernel finds when one of its functions is called is made as far as a function can tell: its sections
with their permissions, gp, tp at init_task, a stack, and a return address at which the run stops. Nothing has
booted: what is filled in at boot is as the image has it, and per-CPU data is the image's own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from ..errors import ImageError, UsageError
from ..image.model import ImageKind, KernelImage
from ..image.relocate import relocated_bytes
from ..image.symbols import FUNC
from ..machine.hart import Hart
from ..machine.memory import PAGE, Memory
from ..machine.outcome import Outcome, Status
from ..units import MASK64, Span, U8Array
from .shadow import Shadow, find_shadow

__all__ = ["RETURN", "KernelBench", "Place", "go_back", "kernel_places"]

RETURN = 0xFFFF_FFFF_FFFF_F000
"""Address that a called function returns to; nothing is mapped there."""
STACK = Span(0xFFFF_AF80_0000_0000, 0xFFFF_AF80_0001_0000)
"""16 pages in the range of the linear map, where no kernel is linked; lower for an image that is."""
SCRATCH = Span(0xFFFF_AF80_0010_0000, 0xFFFF_AF80_0110_0000)
"""Memory for arguments that are pointers."""
TASK = Span(0xFFFF_AF80_0200_0000, 0xFFFF_AF80_0200_4000)
"""A zeroed task for an image without init_task."""

SHADOW_CALL_STACK = "init_shadow_call_stack"
"""A page to which functions push their return addresses, upwards, through gp (CONFIG_SHADOW_CALL_STACK)."""
_BSS_LIMIT = 1 << 30
RA, SP, GP, TP, A0 = 1, 2, 3, 4, 10
_FRAME = 256  # room above sp, as a caller would have


@dataclass(frozen=True, slots=True)
class Place:
    """Bytes of an image that want to be in memory.

    Args:
        span: addresses.
        content: uint8[k], k <= span.size; the rest is zero.
        permissions: of ``r``, ``w`` and ``x``.
        name: section name.
        logged: whether a store to it is one of what is looked at, and not book-keeping.
    """

    span: Span
    content: U8Array
    permissions: str
    name: str
    logged: bool = True


def kernel_places(image: KernelImage) -> list[Place]:
    """Return what an image puts into memory, relocated, in ascending order."""
    places = []
    for region, data in relocated_bytes(image):
        permissions = "r" + "w" * region.writable + "x" * region.executable
        places.append(Place(region.span, data, permissions, region.name))
    end, behind = image.address_of("_end"), places[-1].span.end if places else 0
    if image.kind is ImageKind.BOOT and end is not None and behind < end < behind + _BSS_LIMIT:
        places.append(Place(Span(behind, end), np.zeros(0, np.uint8), "rw", ".bss"))  # no file holds it
    return places


def global_pointer(image: KernelImage) -> int:
    """Return what the kernel's startup gives its first task as gp: the shadow call stack where it has one."""
    shadow = image.address_of(SHADOW_CALL_STACK)
    return shadow if shadow is not None else image.address_of("__global_pointer$") or 0


def second_global_pointer(image: KernelImage) -> int:
    """Return what gp holds on another hart: the same, or half of the shadow call stack, of which each has its own."""
    has_shadow = image.address_of(SHADOW_CALL_STACK) is not None
    return global_pointer(image) + (PAGE // 2 if has_shadow else 0)


@dataclass
class KernelBench:
    """One kernel in a memory of its own; calls follow one another and see what earlier ones did.

    Args:
        image: the kernel.
        misaligned: whether loads and stores may stand at any address.

    Attributes:
        hart: the hart that executes calls.
        stubs: functions that are not executed: address to what they return.
        stack, scratch, task: where STACK, SCRATCH and TASK are.
        shadow: where KASAN's shadow lies, None in a kernel without it.
        shadow_spans: the parts of it that are mapped: zeros, for those and for the kernel.
    Raises:
        ImageError: the image is not linked, or leaves no room for a stack.
    """

    image: KernelImage
    misaligned: bool = True
    stubs: dict[int, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.image.kind.is_kernel:
            raise ImageError(self.image.path, expected="a linked kernel", got=f"{self.image.kind}, not relocated")
        self.memory = Memory(misaligned=self.misaligned)
        for place in kernel_places(self.image):
            content = np.ascontiguousarray(place.content).data
            self.memory.map(
                place.span.start, content, size=place.span.size, permissions=place.permissions, name=place.name
            )
        self.stack, self.scratch = self._map(STACK, "stack"), self._map(SCRATCH, "scratch")
        self.task = self._map(TASK, "task")
        self.shadow: Shadow | None = find_shadow(self.image, self.memory, self.stack)
        self.shadow_spans: list[Span] = []
        for address in (self.stack.start, MASK64):
            self.map_shadow(address)
        self.hart = Hart(self.memory, compressed=self.image.has_rvc is not False)
        self._scratch = self.scratch.start

    def _map(self, wanted: Span, name: str) -> Span:
        """Map zeros where they are wanted, or else in the next gap below."""
        start = wanted.start
        for mapping in reversed(self.memory.mappings):
            if start < mapping.span.end and mapping.span.start < start + wanted.size:
                start = mapping.span.start - wanted.size & -PAGE
        if start < PAGE:
            raise ImageError(self.image.path, expected=f"{wanted.size:#x} free bytes for a {name}", got="none")
        return self.memory.map(start, size=wanted.size, name=name).span

    def map_shadow(self, address: int | None) -> bool:
        """Map the shadow of the 4 GiB around an address, in a kernel that has one; tell whether it was not mapped."""
        if self.shadow is None or address is None:
            return False
        span = self.shadow.of(address)
        others = (each.span for each in self.memory.mappings)
        if any(other.start < span.end and span.start < other.end for other in others):
            return False
        self.memory.map(span.start, size=span.size, name="kasan shadow")
        self.shadow_spans.append(span)
        return True

    def place(self, data: bytes) -> int:
        """Put bytes into scratch memory and return their address, a multiple of 16.

        Raises:
            UsageError: there is no room left.
        """
        address = self._scratch
        room = max(self.scratch.end - address - 16, 0)
        if len(data) > room:
            raise UsageError(f"an argument of {len(data)} bytes: there is room for {room}")
        self.memory.write(address, data)
        self._scratch = -(-(address + len(data) + 1) // 16) * 16
        return address

    def prepare(self, function: int, arguments: Sequence[int]) -> None:
        """Set the registers as a caller does; arguments beyond the eighth go to the stack.

        Raises:
            UsageError: there are more arguments than half of the stack holds.
        """
        hart = self.hart
        stacked = b"".join((value & MASK64).to_bytes(8, "little") for value in arguments[8:])
        if len(stacked) > self.stack.size // 2:
            raise UsageError(f"{len(arguments)} arguments: a stack of {self.stack.size} bytes has no room for them")
        hart.x[:32] = [0] * 32
        hart.x[GP] = global_pointer(self.image)
        hart.x[TP] = self.image.address_of("init_task") or self.task.start
        hart.x[SP] = self.stack.end - _FRAME - -(-len(stacked) // 16) * 16
        self.memory.write(hart.x[SP], stacked)
        hart.x[RA] = RETURN
        for number, value in enumerate(arguments[:8], A0):
            hart.x[number] = value & MASK64
        hart.pc = function & MASK64
        hart.breakpoints.add(RETURN)
        hart.hooks.update({address: _stub(value) for address, value in self.stubs.items()})

    def call(self, function: int | str, *arguments: int, budget: int | None = 10_000_000) -> Outcome:
        """Call a function and run it until it returns, or something else ends it.

        Returns:
            An outcome that `has_returned` knows if it returned; its value is then in ``hart.x[10]``.
        Raises:
            UsageError: there is no such function.
        """
        self.prepare(self.function(function), arguments)
        return self.hart.run(budget)

    def function(self, name: int | str) -> int:
        """Return the address of a function.

        Raises:
            UsageError: there is none of that name.
        """
        if isinstance(name, int):
            return name
        address = self.symbol(name)
        if address is None:
            near = " or ".join(self._near(name))
            raise UsageError(f"{self.image.path}: no symbol {name!r}" + (f"; is it {near}?" if near else ""))
        return address

    def _near(self, name: str) -> list[str]:
        """Return up to three functions that a name may stand for: its clones (``.isra.0``), or what begins so."""
        symbols = self.image.symbols
        for prefix in (f"{name}.", name) if len(name) > 2 and name.isascii() else ():
            found = symbols.with_prefix(prefix)
            found = found[symbols.kind[found] == FUNC]
            if len(found):
                return symbols.named(found[:3].tolist())
        return []

    def symbol(self, name: str) -> int | None:
        """Return the address of a symbol, whatever was typed for its name; None if there is none."""
        try:
            return self.image.address_of(name) if name else None
        except UnicodeEncodeError:  # bytes of the command line that are no UTF-8
            return None


def has_returned(outcome: Outcome) -> bool:
    """Tell whether a call came back to its caller, be it with the last instruction of its budget."""
    return outcome.status in (Status.STOPPED, Status.BUDGET) and outcome.pc == RETURN


def go_back(hart: Hart, value: int = 0) -> None:
    """Return to the caller of the function that a hart stands at the beginning of, with a value."""
    hart.pc, hart.x[A0] = hart.x[RA] & ~1, value & MASK64


def _stub(value: int) -> Callable[[Hart], None]:
    return lambda hart: go_back(hart, value)
