# SPDX-License-Identifier: GPL-2.0-or-later
"""How a kernel writes to the text of modules: found out by letting it do so on a scalar hart.

Module text is vmalloc memory, so the kernel asks vmalloc_to_page() for the struct page behind an address and
computes a physical address from it, by an array of pages whose place is decided at boot. Its own arithmetic is
observed with made-up answers; from then on an answer is made for each address that comes out as that address,
which is what __set_fixmap is then given and takes for the text itself.
"""

from __future__ import annotations

from dataclasses import dataclass

from ..image.model import KernelImage
from ..machine.hart import Hart
from ..machine.memory import PAGE
from ..machine.outcome import Cause, Outcome
from ..run.kernel import A0, RA, KernelBench
from ..units import MASK64, as_hex
from .scene import Scene, hook_stubs
from .stubs import FIXMAP

__all__ = ["PAGE_OF", "ModuleText", "find_module_text"]

PAGE_OF = "vmalloc_to_page"
_WRITERS = ("patch_insn_write", "patch_text_nosync")
_BUDGET = 100_000
_FIRST = 1 << 32  # a made-up struct page, and how far from it the second is [bytes]
_STEP = 8 * 720_720  # a whole number of struct pages, whatever they are: 8 to 128 bytes, in steps of 8


@dataclass(frozen=True, slots=True)
class ModuleText:
    """How module text is written.

    Args:
        pages: address of the struct page of page 0, so to speak; None where the kernel asks for no page.
        page_size: of a struct page [bytes].
        writable: the kernel writes to where the text is.
        note: why it is not known, empty if it is.
    """

    pages: int | None = None
    page_size: int = 0
    writable: bool = False
    note: str = ""

    def page_of(self, address: int) -> int:
        """Return what vmalloc_to_page() is to answer."""
        assert self.pages is not None
        return self.pages + address // PAGE * self.page_size & MASK64


def find_module_text(scene: Scene, address: int) -> ModuleText:
    """Let the kernel write to module text.

    Args:
        scene: the kernel.
        address: of a page where a module might be, at which nothing is mapped.
    """
    writer = next((name for name in _WRITERS if scene.image.address_of(name) is not None), None)
    if writer is None:
        return ModuleText(note="how module text is written is not known: no function that writes to text")
    trial = _Trial(scene, address, writer)
    first = trial.write(_FIRST)
    if trial.asked == 0 and first is not None and first.cause == Cause.STORE_FAULT and first.tval == address:
        return ModuleText(writable=True)
    physical = trial.physical
    if trial.asked == 0 and physical == address:
        return ModuleText()
    trial.write(_FIRST + _STEP)
    if physical is None or trial.physical is None:
        return ModuleText(note=f"how module text is written is not known: a trial ended with {_reason(first)}")
    size = _page_size(scene.image, trial.physical - physical)
    if size is None:
        return ModuleText(note="the size of struct page is not known: module text cannot be written")
    found = ModuleText(pages=_FIRST - physical // PAGE * size & MASK64, page_size=size)
    trial.write(found.page_of(address))
    if trial.physical != address:
        got = "nothing" if trial.physical is None else as_hex(trial.physical)
        return ModuleText(note=f"struct pages were not understood: {as_hex(address)} became {got}")
    return found


def _reason(outcome: Outcome | None) -> str:
    return "a return" if outcome is None else outcome.reason


def _page_size(image: KernelImage, difference: int) -> int | None:
    """Return the size of struct page, by its type, or by how far apart two made-up ones came out."""
    known = image.types.structs("page") if image.types is not None else ()
    if known:
        return known[0].size
    pages = difference % (1 << 64) // PAGE
    return _STEP // pages if pages and _STEP % pages == 0 else None


class _Trial:
    """Writes to module text, until the first store."""

    def __init__(self, scene: Scene, address: int, writer: str):
        self.bench, self.address, self.writer = KernelBench(scene.image), address, writer
        self.asked, self.physical, self._answer = 0, None, 0
        self.bench.memory.map(address, size=PAGE, permissions="rx", name="module text")
        self.bench.map_shadow(scene.fixmap_top)
        hooks = self.bench.hart.hooks
        hook_stubs(self.bench.hart, scene.stubs)
        for name, hook in ((PAGE_OF, self._page), (FIXMAP, self._map)):
            at = scene.image.address_of(name)
            if at is not None:
                hooks[at] = hook

    physical: int | None

    def write(self, answer: int) -> Outcome | None:
        """Write; return how that ended."""
        self._answer, self.physical = answer, None
        source = self.bench.place(bytes(4))
        return self.bench.call(self.writer, self.address, source, 4, budget=_BUDGET)

    def _page(self, hart: Hart) -> Outcome | None:
        self.asked += 1
        hart.pc, hart.x[A0] = hart.x[RA], self._answer
        return None

    def _map(self, hart: Hart) -> Outcome | None:
        if hart.x[A0 + 2]:
            self.physical = hart.x[A0 + 1]
        hart.pc = hart.x[RA]
        return None
