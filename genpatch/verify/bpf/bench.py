# SPDX-License-Identifier: GPL-2.0-or-later
"""Lanes that all stand before the same traced function, whose site calls each lane's own trampoline."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ...errors import ImageError
from ...image.model import KernelImage
from ...machine.memory import PAGE
from ...sites.patching import PatchingCode
from ...units import I64Array, Span, U64Array
from ..life import Patch, State
from ..run import Journey, Verification, terms_of
from ..scene import Scene
from .cases import Case
from .interface import Interface
from .jit import Places, Trampolines
from .programs import Programs, make_programs

__all__ = ["Stage", "Traced", "find_places", "prepare_stage", "traced_function"]

_NEAR, _FAR = 1 << 24, (1 << 27) - (1 << 16)
"""How far below the kernel BPF trampolines are put [bytes]: its region is the 128 MiB below."""
_IN_PAGE = 0x5C0
"""Where in a page [bytes]: on a multiple of 64, as the kernel's pack of programs has it."""
_CODE = 9 << 20
_HEAP, _ARGUMENTS, _DATA = 1 << 16, PAGE, 1 << 16
_FAR_FROM_ROUND = 0x5765_4000
"""Bits of an address that take the JIT more instructions than one on the stack, where the dry run has its image."""
_TARGET = "bpf"
_MAKE_CALL = "ftrace_make_call"
_SMALLEST = 64
_CHOICES = ("kernel_clone", "bpf_fentry_test1")
"""Every kernel has the first, and it saves ra early: what is lost where its beginning is skipped can be seen."""
_U64 = np.uint64


@dataclass(frozen=True, slots=True)
class Traced:
    """The function that is traced.

    Args:
        site: number of its site.
        name: its symbol.
        func, body: its address, and that of the first instruction behind the sled.
        end: behind what belongs to it, as far as it is watched.
    """

    site: int
    name: str
    func: int
    body: int
    end: int


@dataclass(frozen=True)
class Stage:
    """A kernel made ready: what is the same for all batches of cases.

    Args:
        verification: of the kernel, prepared.
        code: its patching code.
        scene: what it runs in.
        interface: of its JIT.
        programs: what trampolines call.
        places: addresses.
        traced: the function.
        terms_link: register that the site's call leaves its return address in.
    """

    verification: Verification
    code: PatchingCode
    scene: Scene
    interface: Interface
    programs: Programs
    places: Places
    traced: Traced
    terms_link: int

    @property
    def image(self) -> KernelImage:
        """The kernel."""
        return self.verification.image

    def journey(self, n: int) -> Journey:
        """Return n lanes, all at the traced function's site."""
        chosen: I64Array = np.full(n, self.traced.site, np.int64)
        return Journey(self.verification, self.scene, self.code, chosen)

    def trampolines(self, cases: Sequence[Case]) -> tuple[Journey, Trampolines]:
        """Return lanes for cases, and what makes their trampolines."""
        journey = self.journey(len(cases))
        made = Trampolines(
            self.image, journey.patcher, self.interface, self.programs, self.places, cases, self.traced.func
        )
        return journey, made


def prepare_stage(
    verification: Verification, code: PatchingCode, scene: Scene, interface: Interface, *, function: str = ""
) -> Stage:
    """Return a kernel ready for its trampolines.

    Args:
        verification: prepared by `prepare_verification`; its terms are set.
        code, scene: its.
        interface: of its JIT.
        function: which function is traced; a small one of the kernel's own choice by default.
    Raises:
        ImageError: there is no site that could be traced.
    """
    if verification.terms is None:
        verification.terms = terms_of(verification, scene, code)
    places = find_places(verification.image, scene)
    programs = make_programs(verification.image, interface, places.data, places.code)
    traced = traced_function(verification, function)
    return Stage(verification, code, scene, interface, programs, places, traced, verification.terms.link)


def find_places(image: KernelImage, scene: Scene) -> Places:
    """Return addresses below the kernel, in reach of it as BPF's region is, and for data those of the scene."""
    low = min(region.span.start for region in image.memory.regions) & -PAGE
    scratch = scene.scratch.start + (1 << 20) * 4
    return Places(
        near=low - _NEAR + _IN_PAGE,
        far=low - _FAR + _IN_PAGE,
        code=low - _CODE,
        data=scratch,
        heap=Span(scratch + _DATA * 4, scratch + _DATA * 4 + _HEAP),
        arguments=Span(scratch | _FAR_FROM_ROUND, (scratch | _FAR_FROM_ROUND) + _ARGUMENTS),
    )


def traced_function(verification: Verification, name: str = "") -> Traced:
    """Return the function that is traced.

    Raises:
        ImageError: it has no site, or no function has one.
    """
    terms, sites, image = verification.terms, verification.sites, verification.image
    assert terms is not None
    usable = np.flatnonzero(sites.in_text)
    if not len(usable):
        raise ImageError(image.path, expected="a traced function", got="no site in the kernel's text")
    order = np.argsort(terms.func[usable], kind="stable")
    usable = usable[order]
    chosen = None
    for wanted in map(image.address_of, (name,) if name else _CHOICES):
        if wanted is not None and chosen is None:
            here = np.flatnonzero(terms.func[usable] == _U64(wanted))
            chosen = int(usable[here[0]]) if len(here) else None
    if name and chosen is None:
        why = "no symbol of that name" if image.address_of(name) is None else "no patch site there: notrace, or no sled"
        raise ImageError(image.path, expected=f"a traced function {name!r}", got=why)
    if chosen is None:
        room = np.diff(terms.func[usable], append=terms.func[usable][-1:] + _U64(PAGE)).astype(np.int64)
        chosen = int(usable[np.argmax(room >= _SMALLEST)])
    func, body = int(terms.func[chosen]), int(terms.body[chosen])
    behind: U64Array = terms.func[usable][terms.func[usable] > _U64(func)]
    end = min(int(behind[0]) if len(behind) else body + _SMALLEST, body + _SMALLEST)
    return Traced(chosen, image.symbols.nearest(func), func, body, max(end, body + 2))


def call_trampolines(journey: Journey, near: int, far: int) -> tuple[dict[str, int], str]:
    """Let the kernel make the site call the trampolines directly.

    Returns:
        (address of the trampolines to the name of the state that was reached, why none was).
    """
    reached: dict[str, int] = {}
    if not journey.can.direct:
        return reached, "the kernel makes no direct calls here: the trampoline is entered as from the site"
    if _MAKE_CALL not in journey.can.functions:
        return reached, f"no {_MAKE_CALL}: the trampoline is entered as from the site"
    boot = Patch("ftrace_init_nop")
    if "ftrace_init_nop" in journey.can.functions:
        journey.pass_through(State("boot", "", (boot,), ()))
    journey.targets[_TARGET] = near
    patches = (Patch(_MAKE_CALL, new=_TARGET, ops=_TARGET),)
    journey.pass_through(State(f"direct:{_TARGET}", "", patches, ()))
    return {"near": near, "far": far}, ""
