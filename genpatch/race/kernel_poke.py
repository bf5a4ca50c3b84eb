# SPDX-License-Identifier: GPL-2.0-or-later
"""What else a kernel patches while it is running: BPF programs, and functions that a kprobe is put on."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from ..errors import ImageError, TypesError, UsageError
from ..image.btf import StructLayout
from ..isa.encoding import REG_NUMBERS
from ..isa.insn import Insn, decode
from ..machine.memory import PAGE
from ..schemes import get_scheme
from ..units import Span
from ..verify.stubs import FIXMAP
from .kernel_program import Program, compile_program
from .kernel_site import FtraceSite, Kernel
from .model import Act, Behaviour, Event, Scenario, Site
from .observe import Call, KernelObserver, Observed

__all__ = ["BPF", "KPROBE", "poke_program", "probe"]

BPF, KPROBE = "bpf text poke", "kprobe"
_POKE = "bpf_arch_text_poke"
_TYPES = ("BPF_MOD_NOP", "BPF_MOD_CALL")
_PROGRAM_AT = 0x144
"""Where in its page a BPF program is put that is no JIT's: they are aligned to 4 and no more."""
_PROGRAM_NOPS = 16
_NOP, _RET = b"\x13\x00\x00\x00", b"\x67\x80\x00\x00"
_DIRECT_AT = (0x400, 0x2_0A9C)
"""Where two trampolines stand in the host's part of memory; as seen from a program they share neither half."""
_ANSWER_YES = ("is_bpf_text_address", "bpf_address_lookup")
_ARM, _DISARM = "arch_arm_kprobe", "arch_disarm_kprobe"


_WORD, _ADDRESS = 4, 8


def poke_program(kernel: Kernel) -> tuple[list[Scenario], list[str]]:
    """Let the kernel attach a trampoline to a BPF program, replace it by another and detach it.

    Returns:
        (scenarios, what could not be made and why).
    """
    if kernel.image.address_of(_POKE) is None:
        return [], [f"no {BPF}: no {_POKE}"]
    try:
        program = _Program(kernel)
        program.go_through()
    except (ImageError, UsageError) as error:
        return [], [f"no {BPF}: {error}"]
    return program.scenarios, program.notes


class _Program:
    """A BPF program in a machine of its own: one that the kernel's JIT has compiled.

    Where that cannot be run, it is nops where the sled is, and more behind, so that its length is seen.
    """

    def __init__(self, kernel: Kernel):
        self.kernel, self.scene = kernel, kernel.scene
        self.observer = observer = KernelObserver(kernel.image, kernel.scene, kernel.foreign_text)
        self.scenarios: list[Scenario] = []
        self.notes: list[str] = []
        program = self._compiled()
        self.at, self.whole = program.entry, program.image
        if kernel.image.address_of(FIXMAP) is None:
            observer.make_writable()
        for name in _ANSWER_YES:
            address = kernel.image.address_of(name)
            if address is not None:
                observer.answer(address, 1)
        self.directs = tuple(kernel.scene.host.start + at for at in _DIRECT_AT)
        self._newer: bool | None = self._signature()

    def _bytes(self) -> bytes:
        return self.observer.bench.memory.read(self.whole.start, self.whole.size)

    def _compiled(self) -> Program:
        kernel, page = self.kernel, self.kernel.program_page
        try:
            program = compile_program(kernel.image, kernel.scene, page)
        except ImageError as error:
            self.notes.append(f"{BPF}: of a program of nops, as the kernel's JIT was not run: {error}")
            at, code = page + _PROGRAM_AT, _NOP * _PROGRAM_NOPS + _RET
            program = Program(Span(at, at + len(code)), at, code)
        start, end = program.image.start & -PAGE, -(-program.image.end // PAGE) * PAGE
        content = bytes(program.image.start - start) + program.code
        self.observer.bench.memory.map(start, content, size=end - start, permissions="rx", name="bpf program")
        return program

    def _signature(self) -> bool | None:
        """Tell whether it takes an old and a new type; None where that is not known."""
        types = self.kernel.image.types
        proto = types.func_proto(_POKE) if types is not None else None
        return None if proto is None else len(proto.parameters) == 5

    def _type(self, name: str, otherwise: int) -> int:
        types = self.kernel.image.types
        value = types.enumerator(name) if types is not None else None
        return otherwise if value is None else value

    def _arguments(self, old: int, new: int, newer: bool) -> tuple[int, ...]:
        if not newer:
            return self.at, self._type(_TYPES[1], 0), old, new
        nop, call = self._type(_TYPES[0], 0), self._type(_TYPES[1], 1)
        return self.at, call if old else nop, call if new else nop, old, new

    def _poke(self, old: int, new: int) -> Observed:
        for newer in (True, False) if self._newer is None else (self._newer,):
            call = Call(_POKE, self._arguments(old, new, newer))
            whole, before = self.whole, self._bytes()
            seen = self.observer.observe([call], whole, Span(self.at, whole.end))
            if not seen.value and self._bytes() != before:
                self._newer = newer
                return replace(seen, events=tuple(self._told(event) for event in seen.events))
        got = f"it returns {seen.value}" if seen.value else "it changes nothing"
        raise ImageError(self.kernel.image.path, expected=f"{_POKE} to patch a program", got=got)

    def _told(self, event: Event) -> Event:
        """Return an event with its words: what is stored in front of a program is where its call leads."""
        if event.act is not Act.STORE or event.at >= self.at:
            return event
        part = f"{len(event.data)} bytes of " if len(event.data) != _ADDRESS else ""
        return replace(event, what=f"{part}the trampoline's address")

    def go_through(self) -> None:
        """Attach, replace and detach; attach again where something is left of what was there."""
        first, second = self.directs
        steps = [("attach", 0, first), ("change", first, second), ("detach", second, 0), ("attach again", 0, first)]
        found = []
        untouched = self._bytes()
        for name, old, new in steps:
            if name == steps[-1][0] and self._bytes() == untouched:
                break
            memory = self.observer.fresh_memory()
            seen = self._poke(old, new)
            self.notes += [note for note in seen.notes if note not in self.notes]
            found.append((name, old, new, memory, seen))
        stores = [store for *_, seen in found for store in seen.stores]
        end = max(store.at + len(store.data) for store in stores)
        if end <= self.at:
            raise ImageError(self.kernel.image.path, expected=f"{_POKE} to store to a program", got="no store")
        site = self._site(Span(self.at, end), _link_of(store for store in stores if store.at >= self.at))
        lines = {
            self.whole.start: "before the program", self.at: "program", end: f"program+{end - self.at:#x}",
            self.scene.parent: "the caller", first: "trampoline 1", second: "trampoline 2",
        }  # fmt: skip
        for name, old, new, memory, seen in found:
            was: Behaviour = (old,) if old else ()
            becomes: Behaviour = (new,) if new else ()
            made = Scenario(
                name=f"{BPF}: {name}", memory=memory, site=site, patchers=(seen.events,), old=was, new=becomes,
                ops=frozenset(self.directs), lines=lines, nearest=self.kernel.nearest,
            )  # fmt: skip
            self.scenarios.append(made)

    def _site(self, sled: Span, link: int) -> Site:
        scheme = get_scheme("bpf-fentry")
        code = {"sled": sled}
        if self.whole.start < self.at:
            code["what stands before the program"] = Span(self.whole.start, self.at)
        return Site(
            func=self.at,
            body=sled.end,
            code=code,
            callbacks=frozenset(),
            directs={address: address for address in self.directs},
            link=link,
            clobbers=frozenset(REG_NUMBERS[name] for name in scheme.clobbers),
            registers=self.kernel.registers(self.observer),
            stack=self.observer.bench.stack,
        )


def _link_of(stores: Iterable[Event]) -> int:
    """Return the register in which the call that was stored leaves its return address; t0 if there is none."""
    words: dict[int, bytes] = {}
    for store in stores:
        for offset in range(0, len(store.data) - 3, _WORD):
            words[store.at + offset] = store.data[offset : offset + _WORD]
    insns = [decode(int.from_bytes(words[at], "little")) for at in sorted(words)]
    links = [insn.rd for insn in insns if insn is not None and insn.name in ("jalr", "jal") and insn.rd > 0]
    return links[-1] if links else REG_NUMBERS["t0"]


def probe(at: FtraceSite) -> tuple[list[Scenario], list[str]]:
    """Let the kernel put a kprobe on a function that is not traced, and take it away.

    Returns:
        (scenarios, what could not be made and why).
    """
    image = at.image
    layout = image.types.struct("kprobe") if image.types is not None else None
    missing = [name for name in (_ARM, _DISARM) if image.address_of(name) is None]
    if missing or layout is None:
        why = f"no {' and no '.join(missing)}" if missing else "struct kprobe: no type"
        return [], [f"no {KPROBE}: {why}"]
    try:
        return list(_probes(at, layout)), [f"{KPROBE}: what is locked around {_ARM} was not seen"]
    except (ImageError, TypesError) as error:
        return [], [f"no {KPROBE}: {error}"]


def _probes(at: FtraceSite, layout: StructLayout) -> Iterator[Scenario]:
    bench = at.observer.bench
    where = at.func if at.ip != at.func else at.body
    insn = decode(bench.memory.fetch(where))
    if insn is None or insn.target(where) is not None or insn.name in ("jalr", "c.jr", "c.jalr"):
        raise ImageError(at.image.path, expected=f"an instruction that goes on at {at.name}", got="another")
    original = bench.memory.read(where, insn.size)
    probe = bench.place(bytes(layout.size))
    bench.memory.write(probe + layout.offset("addr"), where.to_bytes(8, "little"))
    opcode = layout.member("opcode")
    bench.memory.write(probe + opcode.offset, original.ljust(opcode.size, b"\0"))
    site = _site(at, where, insn, probe, original)
    sled = Span(site.func, site.body)
    for name, function, old, new in (("arm", _ARM, (), (probe,)), ("disarm", _DISARM, (probe,), ())):
        memory = at.observer.fresh_memory()
        seen = at.observer.observe([Call(function, (probe,))], Span(where, where + insn.size), sled)
        if not seen.stores:
            raise ImageError(at.image.path, expected=f"{function} to store to {at.name}", got="no store")
        at.notes += [note for note in seen.notes if note not in at.notes]
        made = at.scenario(f"{KPROBE}: {name}", memory, seen.events, site, old, new)
        yield replace(made, lines={**made.lines, probe: "the kprobe"})


def _site(at: FtraceSite, where: int, insn: Insn, probe: int, original: bytes) -> Site:
    """Return a victim that runs through the probed instruction, also where it is the first of the body."""
    site = at.site()
    breakpoints = {where: (probe, original)}
    if where != site.body:
        return replace(site, breakpoints=breakpoints)
    body = where + insn.size
    clobbers = site.clobbers | ({insn.base.rd} if insn.base.rd > 0 else frozenset())
    return replace(site, body=body, code={"sled": Span(site.func, body)}, clobbers=clobbers, breakpoints=breakpoints)
