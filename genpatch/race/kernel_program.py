# SPDX-License-Identifier: GPL-2.0-or-later
"""A BPF program that the kernel's own JIT compiles: how it begins is the kernel's to say."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from ..errors import ImageError, TypesError
from ..image.btf import Btf, StructLayout
from ..machine.hart import Hart
from ..machine.memory import PAGE
from ..run.kernel import A0, KernelBench, go_back, has_returned
from ..units import Span
from ..verify.bpf.allocators import ALLOCATES, FREES, allocator_arguments

__all__ = ["Program", "compile_program"]

_COMPILE = "bpf_int_jit_compile"
_PACK, _SINGLE, _FINALIZE = "bpf_jit_binary_pack_alloc", "bpf_jit_binary_alloc", "bpf_jit_binary_pack_finalize"
_NOTHING = ("set_memory_ro", "set_memory_x", "set_memory_rox", "bpf_prog_fill_jited_linfo")
_INSNS = bytes.fromhex("b700000000000000 9500000000000000")
"""r0 = 0; exit."""
_CHUNK, _HEADER, _SPARE = 64, 8, 16
_MOST = PAGE - 2 * _CHUNK
_HEAP = 1 << 16
_ROUND = 16
_BUDGET = 2_000_000


@dataclass(frozen=True, slots=True)
class Program:
    """A program in its page.

    Args:
        image: addresses of all that the JIT has made.
        entry: address that the program is called at.
    """

    image: Span
    entry: int


def compile_program(bench: KernelBench, page: int) -> Program:
    """Let the kernel compile a small program into a page of executable memory, which is mapped for it.

    Raises:
        ImageError: the kernel's JIT cannot be run here; the text says why.
    """
    try:
        return _Jit(bench, page).compile()
    except TypesError as error:
        raise ImageError(bench.image.path, expected="the types of BPF programs", got=str(error)) from None


class _Jit:
    """One call of the JIT; what it allocates is the host's."""

    def __init__(self, bench: KernelBench, page: int):
        self.bench, self.page, self.image = bench, page, bench.image
        self.types = self._types()
        self.heap = bench.place(bytes(_HEAP))
        self.free = self.heap
        self.made: Span | None = None
        self.copy: tuple[int, int] | None = None

    def _types(self) -> Btf:
        if self.image.types is None:
            raise ImageError(self.image.path, expected="types (BTF)", got="none")
        return self.image.types

    def _layout(self, name: str) -> StructLayout:
        found = self.types.struct(name)
        if found is None or not found.members:
            raise ImageError(self.image.path, expected=f"the members of struct {name} (BTF)", got="none")
        return found

    def compile(self) -> Program:
        proto = self.types.func_proto(_COMPILE)
        if self.image.address_of(_COMPILE) is None or proto is None:
            raise ImageError(self.image.path, expected=f"the function {_COMPILE}", got="none")
        prog, layout = self._program()
        arguments = [prog if each.type_name == "struct bpf_prog *" else 0 for each in proto.parameters]
        memory, hart = self.bench.memory, self.bench.hart
        mapping = memory.map(self.page, size=PAGE, permissions="rwx", name="bpf program")
        kept = dict(hart.hooks)
        try:
            self._hook(hart)
            outcome = self.bench.call(_COMPILE, *arguments, budget=_BUDGET)
        finally:
            hart.hooks = kept
            content = memory.read(self.page, PAGE)
            memory.unmap(mapping)
        if not has_returned(outcome):
            where = self.image.symbols.nearest(outcome.pc)
            raise ImageError(self.image.path, got=f"{_COMPILE} does not return: {outcome.reason} at {where}")
        entry = int.from_bytes(memory.read(prog + layout.offset("bpf_func"), 8), "little")
        if self.made is None or entry not in self.made:
            raise ImageError(self.image.path, expected=f"{_COMPILE} to compile a program", got="none")
        memory.map(self.page, content, size=PAGE, permissions="rx", name="bpf program")
        return Program(self.made, entry)

    def _program(self) -> tuple[int, StructLayout]:
        """Put a struct bpf_prog, and what it points to, into memory; return its address and layout."""
        layout, aux = self._layout("bpf_prog"), self._layout("bpf_prog_aux")
        insns = layout.find("insnsi")
        at = insns.offset if insns is not None else layout.size
        content = bytearray(max(layout.size, at + len(_INSNS)))
        content[at : at + len(_INSNS)] = _INSNS
        requested = layout.member("jit_requested")
        content[requested.offset + requested.bit_offset // 8] |= 1 << requested.bit_offset % 8
        for name, value in (("len", len(_INSNS) // 8), ("aux", self.bench.place(bytes(aux.size)))):
            member = layout.member(name)
            content[member.offset : member.offset + member.size] = value.to_bytes(member.size, "little")
        return self.bench.place(bytes(content)), layout

    # -- what is not executed

    def _hook(self, hart: Hart) -> None:
        for name in ALLOCATES:
            factors = allocator_arguments(self.image, name)
            for clone in (name, f"{name}.constprop.0", f"{name}.isra.0"):
                if (address := self.image.address_of(clone)) is not None:
                    hart.hooks[address] = partial(self._allocate, factors)
        others = {_PACK: self._pack, _SINGLE: self._single, _FINALIZE: self._finalize}
        others |= dict.fromkeys((*FREES, *_NOTHING), go_back)
        for name, hook in others.items():
            if (address := self.image.address_of(name)) is not None:
                hart.hooks[address] = hook

    def _take(self, size: int) -> int:
        """Return the address of so many zeroed bytes, 0 if there are no more."""
        at = self.free
        if not 0 <= size <= self.heap + _HEAP - at:
            return 0
        self.free = -(-(at + size) // _ROUND) * _ROUND
        return at

    def _allocate(self, factors: tuple[int, ...], hart: Hart) -> None:
        size = 1
        for number in factors:
            size *= hart.x[A0 + number]
        go_back(hart, self._take(size))

    def _place(self, length: int, alignment: int) -> int:
        """Return where an image begins: as far behind its header, and as little aligned, as it may come to stand."""
        size = -(-(length + _HEADER + _SPARE) // _CHUNK) * _CHUNK
        hole = min(size - (length + _HEADER), _CHUNK - _HEADER)
        offsets = range(_HEADER, _HEADER + hole, alignment)
        start = self.page + _CHUNK + max((each for each in offsets if each & alignment), default=_HEADER)
        self.made = Span(start, start + length)
        return start

    def _fits(self, hart: Hart) -> bool:
        length, alignment = hart.x[A0], hart.x[A0 + 2] & 0xFFFF_FFFF
        return self.made is None and 0 < length <= _MOST and 0 < alignment <= _HEADER and not alignment & alignment - 1

    def _set(self, address: int, value: int) -> None:
        self.bench.memory.write(address, value.to_bytes(8, "little"))

    def _pack(self, hart: Hart) -> None:
        """Stand in for bpf_jit_binary_pack_alloc(length, &image, alignment, &header, &copy, ...)."""
        length, image, alignment, header, copy = hart.x[A0 : A0 + 5]
        other = self._take(length + _HEADER) if self._fits(hart) else 0
        if not other:
            return go_back(hart)
        start = self._place(length, alignment)
        self.copy = (other + _HEADER, length)
        for pointer, value in ((image, start), (header, other), (copy, other + _HEADER)):
            self._set(pointer, value)
        return go_back(hart, self.page + _CHUNK)

    def _single(self, hart: Hart) -> None:
        """Stand in for bpf_jit_binary_alloc(length, &image, alignment, ...)."""
        length, image, alignment = hart.x[A0 : A0 + 3]
        if not self._fits(hart):
            return go_back(hart)
        self._set(image, self._place(length, alignment))
        return go_back(hart, self.page + _CHUNK)

    def _finalize(self, hart: Hart) -> None:
        """Copy the image to where it is executed."""
        if self.made is not None and self.copy is not None:
            self.bench.memory.write(self.made.start, self.bench.memory.read(*self.copy))
        go_back(hart)
