# SPDX-License-Identifier: GPL-2.0-or-later
"""What a kernel's writing of text has to keep to, whoever writes: one at a time, and all harts are told."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ..errors import ImageError
from ..machine.memory import PAGE
from ..units import Span
from .kernel_site import FtraceSite, Kernel
from .model import Act, Event, Scenario, Site
from .observe import Call, KernelObserver, Observed

__all__ = ["BESIDE", "TOLD", "beside_a_writer", "new_text"]

BESIDE, TOLD = "beside another writer", "patch_text_nosync"
_WRITERS = ("patch_insn_write", "patch_text_nosync")
_LOCKS = ("mutex_lock", "mutex_lock_nested")
_MUTEX = "text_mutex"
_EBREAK, _NOP, _RET = b"\x73\x00\x10\x00", b"\x13\x00\x00\x00", b"\x67\x80\x00\x00"
_TEXT_AT = 0x140
_AROUND = 64
"""Bytes around a site that are watched too."""
_NEW = 1
"""What executing new text counts as; no ops has this address."""


def beside_a_writer(kernel: Kernel, number: int, other: int) -> tuple[list[Scenario], list[str]]:
    """Let the kernel initialise and enable a site while somebody who holds text_mutex writes a word of another one.

    Only whether stores go astray is asked: a victim calls nothing that is written, and a writer that stops the
    machine is left out, because who has a slot mapped cannot be preempted for it.

    Args:
        kernel: whose sites they are.
        number: of the site.
        other: number of another site, if possible in another page.
    Returns:
        (scenarios, what could not be made and why).
    """
    found: list[Scenario] = []
    notes: list[str] = []
    for name in ("init", "enable"):
        try:
            found.append(_beside(name, FtraceSite(kernel, number), FtraceSite(kernel, other)))
        except ImageError as error:
            notes.append(f"no {name} {BESIDE}: {error}")
    return found, notes


def _beside(name: str, site: FtraceSite, other: FtraceSite) -> Scenario:
    if name == "enable":
        site.initialise()
    memory = site.observer.fresh_memory()
    first = _initialised(site) if name == "init" else _enabled(site)
    second = _written(site.observer, other)
    for events in (first, second):
        if any(event.act is Act.STOP for event in events):
            raise ImageError(site.image.path, got="a writer that stops the machine: they take turns")
    idle = replace(site.site(), func=site.body, code={"the body": Span(site.body, site.body + 2)})
    scenario = site.scenario(f"{name} {BESIDE}", memory, first, idle, (), ())
    lines = {
        other.func: other.name, other.func & -PAGE: f"the page of {other.name}",
        site.func & -PAGE: f"the page of {site.name}",
    }  # fmt: skip
    return replace(scenario, patchers=(first, second), other=(), lines={**lines, **scenario.lines})


def _initialised(site: FtraceSite) -> tuple[Event, ...]:
    if "ftrace_init_nop" in site.scene.missing:
        raise ImageError(site.image.path, got="no ftrace_init_nop")
    whole = Span(site.func - _AROUND, site.body + _AROUND)
    seen = site.observer.observe([Call("ftrace_init_nop", (0, site.record))], whole, site.sled)
    return _stored("ftrace_init_nop", site, seen)


def _enabled(site: FtraceSite) -> tuple[Event, ...]:
    caller = site.image.address_of("ftrace_caller")
    if caller is None:
        raise ImageError(site.image.path, got="no ftrace_caller")
    return site.update("ftrace_make_call", site.record, caller, ops=site.ops_a).events


def _written(observer: KernelObserver, other: FtraceSite) -> tuple[Event, ...]:
    name = next((each for each in _WRITERS if observer.image.address_of(each) is not None), None)
    if name is None:
        raise ImageError(observer.image.path, got=f"none of {', '.join(_WRITERS)}")
    source = observer.bench.place(_EBREAK)
    sled = Span(other.func, other.func + len(_EBREAK))
    seen = observer.observe(_locked(observer, Call(name, (other.func, source, len(_EBREAK)))), sled, sled)
    return _stored(name, other, seen)


def _stored(function: str, site: FtraceSite, seen: Observed) -> tuple[Event, ...]:
    if seen.stores:
        return seen.events
    raise ImageError(site.image.path, expected=f"{function} to store to {site.name}", got="no store")


def _locked(observer: KernelObserver, call: Call) -> Sequence[Call]:
    """Return a call with the lock around it that writers of text exclude each other by, where the kernel has it."""
    mutex = observer.image.address_of(_MUTEX)
    lock = next((each for each in _LOCKS if observer.image.address_of(each) is not None), None)
    if mutex is None or lock is None:
        return [call]
    return [Call(lock, (mutex,)), call, Call("mutex_unlock", (mutex,))]


def new_text(kernel: Kernel) -> tuple[list[Scenario], list[str]]:
    """Let the kernel write an instruction over another where a BPF program is, as it does when memory is used again.

    Who calls it afterwards executes the new one, on whichever hart.

    Returns:
        (scenarios, what could not be made and why).
    """
    if kernel.image.address_of(TOLD) is None:
        return [], [f"no {TOLD} in the image"]
    try:
        return [_new_text(kernel)], []
    except ImageError as error:
        return [], [f"{TOLD}: {error}"]


def _new_text(kernel: Kernel) -> Scenario:
    observer = KernelObserver(kernel.image, kernel.scene, kernel.foreign_text)
    at = kernel.program_page + _TEXT_AT
    page = bytes(_TEXT_AT) + _NOP + _RET
    observer.bench.memory.map(kernel.program_page, page, size=PAGE, permissions="rwx", name="text")
    source, sled = observer.bench.place(_EBREAK), Span(at, at + len(_EBREAK))
    memory = observer.fresh_memory()
    seen = observer.observe(_locked(observer, Call(TOLD, (at, source, len(_EBREAK)))), sled, sled)
    if not seen.stores:
        raise ImageError(kernel.image.path, expected=f"{TOLD} to write text", got="no store")
    site = Site(
        func=at,
        body=sled.end,
        code={"text": sled},
        callbacks=frozenset(),
        clobbers=frozenset(),
        registers=kernel.registers(observer),
        stack=observer.bench.stack,
        breakpoints={at: (_NEW, _NOP)},
    )
    return Scenario(
        name=TOLD, memory=memory, site=site, patchers=(seen.events,), old=(), new=(_NEW,),
        ops=frozenset({_NEW}), lines={at: "text", sled.end: "text+0x4", _NEW: "the new instruction"},
    )  # fmt: skip
