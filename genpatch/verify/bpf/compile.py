# SPDX-License-Identifier: GPL-2.0-or-later
"""The kernel's own bpf_int_jit_compile(), executed on a scalar hart for one eBPF program at a time.

What the JIT reads - struct bpf_prog and what hangs on it - is written by the image's types. Memory comes from the
host, the copy of the text is the host's, locks are free; every other instruction of the JIT is executed. Usage:

    bench = JitBench(image, scene)
    made = bench.compile(Source("r0 = 0; exit"))
    made.entry, made.code, made.sled    # of a program that the JIT accepts: made.accepted
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial

from ...errors import ImageError, TypesError
from ...image.btf import Btf, StructLayout
from ...image.model import KernelImage
from ...isa.insn import Insn, decode
from ...machine.hart import Hart
from ...machine.memory import PAGE
from ...machine.outcome import Cause, Outcome, Status, Trap
from ...run.kernel import A0, RA, RETURN, KernelBench, go_back, has_returned
from ...units import Span, as_hex
from ..scene import Scene, hook_stubs
from ..stubs import STUBS
from .allocators import ALLOCATES, FREES, allocator_arguments
from .bytecode import SIZE, Callee, assemble, guarded_accesses
from .interface import COPY, Model
from .programs import set_member

__all__ = ["COMPILE", "Compiled", "JitBench", "Kfunc", "Source", "Stretch", "leading_nops", "sled_size"]

COMPILE = "bpf_int_jit_compile"
_PACK, _CHARGE, _BASE = "bpf_prog_pack_alloc", "bpf_jit_charge_modmem", "__bpf_call_base"
_EXECUTABLE = (
    "bpf_jit_alloc_exec", "module_alloc", "execmem_alloc", "execmem_alloc_rw", "__vmalloc_node_range",
    "__vmalloc_node_range_noprof",
)  # fmt: skip
_RANDOM_BELOW = ("__get_random_u32_below", "get_random_u32_below", "prandom_u32_max")
_RANDOM = ("get_random_u32", "get_random_int")
_ARENA = ("bpf_arena_get_kern_vm_start", "bpf_arena_get_user_vm_start")
_ZERO = ("set_memory_ro", "set_memory_x", "set_memory_rox", "set_memory_rw", "set_memory_nx", "bpf_prog_pack_free")
_WRITE = "patch_text_nosync"
_EINVAL = -22
_LIMIT = "bpf_jit_limit"
_CLONES = ("", ".constprop.0", ".isra.0")
_CHUNK, _ROUND = 64, 16
_CANARY, _GUARD = b"\xc5" * 16, 16
_REGION = 1 << 20
_HEAP = 8 << 20
_NEAR, _FAR = 1 << 24, (1 << 27) - PAGE
"""How far below the kernel programs are put [bytes]: BPF's region is the 128 MiB below."""
_BUDGET = 3_000_000
_MOST_WARNINGS = 4
_MOST_FUNCTIONS = 16
_SUBPROGRAM, _KFUNC = 1, 2
"""BPF_PSEUDO_CALL and BPF_PSEUDO_KFUNC_CALL, what src_reg of a call says."""
_SIGNED = 1 << 1
"""BTF_FMODEL_SIGNED_ARG."""


@dataclass(frozen=True, slots=True)
class Kfunc:
    """A kernel function that a program calls by its type.

    Args:
        name: what the program's text calls it.
        address: where it is.
        sizes: of its arguments [bytes].
        signed: whether each is signed.
    """

    name: str
    address: int
    sizes: tuple[int, ...]
    signed: tuple[bool, ...]


@dataclass(frozen=True, slots=True)
class Source:
    """A program to be compiled.

    Args:
        text: see `bytecode.assemble`; `call NAME` leads to a helper, a kfunc, or a subprogram (``sub1``, ``sub2``,
            ...), whose address is `rN = sub1 ll`.
        stack: bytes of BPF stack that it uses.
        functions: texts of its subprograms, and the bytes of stack that each uses.
        kfuncs: what it may call by type.
        helpers: addresses of functions that are called as helpers.
        names: what else stands for a number in the text.
        zext: the verifier has put a zero-extension wherever one is needed, so the JIT must add none.
        far: it is put as far below the kernel as BPF's region goes.
        arena: where its arena is for the kernel and for its user; None without one.
    """

    text: str
    stack: int = 0
    functions: tuple[tuple[str, int], ...] = ()
    kfuncs: tuple[Kfunc, ...] = ()
    helpers: Mapping[str, int] = field(default_factory=dict)
    names: Mapping[str, int] = field(default_factory=dict)
    zext: bool = False
    far: bool = False
    arena: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True)
class Stretch:
    """What one function of a program came to.

    Args:
        span: addresses of what was made for it, with the filler and whatever else is in front of its entry.
        entry: prog->bpf_func.
        length: prog->jited_len [bytes].
        sled: nops at the entry.
        body: address of the first instruction behind the sled, whatever the sled is made of.
    """

    span: Span
    entry: int
    length: int
    sled: int
    body: int


@dataclass(frozen=True)
class Compiled:
    """What the JIT came to.

    Args:
        prog: address of struct bpf_prog.
        functions: what was made: the program, then its subprograms; empty if the JIT does not accept it.
        code: bytes of functions[0].span.
        warnings: each WARN or message of the kernel, and where.
        trouble: why the JIT could not be run to its end, empty if it was.
        insns: instructions of the JIT that were executed.
        progs: address of each function's struct bpf_prog, the program's first.
    """

    prog: int
    functions: tuple[Stretch, ...]
    code: bytes
    warnings: tuple[str, ...]
    trouble: str
    insns: int
    progs: tuple[int, ...] = ()

    @property
    def accepted(self) -> bool:
        """Whether there is a program."""
        return bool(self.functions)

    @property
    def entry(self) -> int:
        """prog->bpf_func, 0 without a program."""
        return self.functions[0].entry if self.functions else 0

    @property
    def span(self) -> Span:
        """Addresses of all that was made for it, also of the filler and the hash in front of the entry."""
        return self.functions[0].span if self.functions else Span(0, 0)

    @property
    def length(self) -> int:
        """prog->jited_len [bytes]."""
        return self.functions[0].length if self.functions else 0

    @property
    def body(self) -> int:
        """Address behind the sled at the entry, 0 without a program."""
        return self.functions[0].body if self.functions else 0

    @property
    def sled(self) -> int:
        """Nops at the entry."""
        return self.functions[0].sled if self.functions else 0


_Hook = Callable[[Hart], "Outcome | None"]


class _Failed(Exception):  # noqa: N818 - a word to the caller; it never leaves this module
    """A run of the JIT that came to no end."""


class JitBench:
    """One kernel and its JIT; programs that were compiled stay.

    Args:
        image: the kernel.
        scene: prepared for it, for what it does not execute.
        bench: the machine to use, one of its own by default.
        near, far: where programs are put, addresses with 2 MiB of unmapped room behind; by default 16 MiB below
            the kernel, and as far below as BPF's region goes.
        random: what each random number below a limit is, or what gives it for a limit.

    Attributes:
        bench: the machine; what was compiled lies in its memory, readable and executable.
        near: where programs begin that are not far.
        call_base: address that calls of helpers are counted from.
        prog, aux: the layouts of struct bpf_prog and struct bpf_prog_aux.
        overruns: what was written behind something that was allocated, one sentence each.
    Raises:
        TypesError: the image has no JIT, no types, or an interface that is not understood.
        ImageError: there is no room for programs where they are to be put.
    """

    def __init__(
        self, image: KernelImage, scene: Scene | None = None, *, bench: KernelBench | None = None, near: int = 0,
        far: int = 0, random: int | Callable[[int], int] = 4,
    ):  # fmt: skip
        self.image, self.random = image, random
        self._address(COMPILE)
        self.types = _types(image)
        self._layouts: dict[str, StructLayout] = {}
        self.prog, self.aux = self.layout("bpf_prog"), self.layout("bpf_prog_aux")
        self._arguments = self._prototype()
        self.call_base = self._address(_BASE)
        self.bench = bench or KernelBench(image)
        low = min(region.span.start for region in image.memory.regions) & -PAGE
        self.near = near or low - _NEAR
        self._regions = [self._region(self.near), self._region(far or low - _FAR)]
        self._far, self._arena = False, (0, 0)
        self._heap = Span(self.bench.scratch.end - _HEAP, self.bench.scratch.end)
        self._free = self._heap.start
        self._allocated: list[tuple[int, int]] = []
        self._images: list[Span] = []
        self._warnings: list[str] = []
        self.overruns: list[str] = []
        self._models = _model(self.types)
        self._kind = self.types.enumerator("BPF_PROG_TYPE_TRACING") or 0
        header = self.types.struct("bpf_binary_header")
        self._header = header.size if header is not None else 0
        stubs = scene.stubs if scene is not None else {}
        known = {address: stub for stub in STUBS if (address := image.address_of(stub.name)) is not None}
        self._stubs = {**known, **stubs}
        self._hooks = self._host_functions()
        self._writers = self._at({COPY: self._copy, _WRITE: self._write})
        self._set_limit()

    # -- what the kernel is like

    def layout(self, name: str) -> StructLayout:
        """Return the layout of a struct; raises TypesError if the kernel's types have none."""
        if name not in self._layouts:
            found = self.types.struct(name)
            if found is None or not found.members:
                raise TypesError(self.types.where, f"struct {name}", expected="its members", got="no type")
            self._layouts[name] = found
        return self._layouts[name]

    def _address(self, name: str) -> int:
        found = self.image.address_of(name)
        if found is None:
            raise TypesError(self.image.path, "BPF", expected=f"the function {name}", got="none")
        return found

    def _prototype(self) -> int:
        """Return which argument of the JIT is the program; the others are given as NULL."""
        proto = self.types.func_proto(COMPILE)
        if proto is None:
            raise TypesError(self.image.path, "BPF", expected=f"a prototype of {COMPILE} (BTF)", got="none")
        kinds = [parameter.type_name for parameter in proto.parameters]
        known = {"struct bpf_prog *", "struct bpf_verifier_env *"}
        if kinds.count("struct bpf_prog *") != 1 or not known.issuperset(kinds):
            raise TypesError(self.image.path, COMPILE, expected="a program, and an env at most", got=", ".join(kinds))
        return kinds.index("struct bpf_prog *")

    def _region(self, start: int) -> list[tuple[int, int]]:
        """Map room for programs: what the kernel keeps read-only, then what a JIT writes to itself.

        Returns:
            For each, the next free address and the end.
        """
        memory = self.bench.memory
        try:
            memory.map(start, size=_REGION, permissions="rx", name="bpf programs")
            memory.map(start + _REGION, size=_REGION, permissions="rwx", name="bpf programs, writable")
        except ValueError as error:
            raise ImageError(self.image.path, expected="room for programs below the kernel", got=str(error)) from None
        middle, end = start + _REGION, start + 2 * _REGION
        return [(start, middle), (middle, end)]

    def _set_limit(self) -> None:
        """Give programs as much memory as the kernel would have set at boot."""
        limit = self.image.address_of(_LIMIT)
        try:
            if limit is not None:
                self.bench.memory.write(limit, (1 << 40).to_bytes(8, "little"))
        except Trap:
            return

    @property
    def has_arenas(self) -> bool:
        """Whether the kernel has arenas and says that its JIT supports them."""
        known = all(self.image.address_of(name) is not None for name in _ARENA)
        return known and self.aux.find("arena") is not None and self.asks("bpf_jit_supports_arena") is True

    def asks(self, function: str, *arguments: int) -> bool | None:
        """Return what a function of the JIT answers, such as bpf_jit_supports_kfunc_call(); None if it is not there."""
        if self.image.address_of(function) is None:
            return None
        outcome = self.call(function, *arguments)
        return bool(self.bench.hart.x[A0] & 0xFF) if has_returned(outcome) else None

    # -- memory

    def allocate(self, content: bytes) -> int:
        """Put bytes into memory that the kernel could have allocated, and return their address.

        Raises:
            ImageError: there is no room left.
        """
        at = self._take(len(content))
        if not at:
            raise ImageError(self.image.path, got=f"no room for {len(content)} bytes")
        self.bench.memory.write(at, content)
        return at

    def _take(self, size: int) -> int:
        """Return the address of so many zeroed bytes with a canary behind them, 0 if there are no more."""
        at = self._free
        if not 0 <= size <= self._heap.end - at - 2 * _GUARD - _ROUND:
            return 0
        self.bench.memory.write(at + size, _CANARY)
        self._allocated.append((at, size))
        self._free = -(-(at + size + _GUARD) // _ROUND) * _ROUND
        return at

    def _check_canaries(self) -> None:
        for at, size in self._allocated:
            if self.bench.memory.read(at + size, _GUARD) != _CANARY:
                self.overruns.append(f"bytes behind {as_hex(at)}+{size:#x}, which was allocated, were written")
        self._allocated.clear()

    def _place(self, size: int, *, writable: bool) -> int:
        """Return the address of room for a program, 0 if there is none."""
        region = self._regions[self._far]
        at, end = region[writable]
        if not 0 < size <= end - at:
            return 0
        region[writable] = (at + -(-size // _CHUNK) * _CHUNK, end)
        self._images.append(Span(at, at + size))
        return at

    # -- what is not executed

    def _host_functions(self) -> dict[int, _Hook]:
        hooks: dict[str, _Hook] = {}
        for name in ALLOCATES:
            if self.image.address_of(name) is not None:
                hooks[name] = partial(self._allocate, allocator_arguments(self.image, name))
        for name in _EXECUTABLE:
            hooks[name] = partial(self._alloc_exec, self._size_argument(name))
        hooks |= {_PACK: self._pack, _CHARGE: go_back, "__warn_printk": self._warn}
        hooks |= dict.fromkeys((*FREES, *_ZERO), go_back)
        hooks |= {name: partial(self._random, name) for name in (*_RANDOM_BELOW, *_RANDOM)}
        hooks |= {name: partial(self._arena_start, number) for number, name in enumerate(_ARENA)}
        return self._at(hooks)

    def _at(self, hooks: Mapping[str, _Hook]) -> dict[int, _Hook]:
        """Return hooks by the addresses of what they stand for."""
        found = {}
        for name, hook in hooks.items():
            for clone in _CLONES:
                if (address := self.image.address_of(name + clone)) is not None:
                    found[address] = hook
        return found

    def _size_argument(self, name: str) -> int:
        proto = self.types.func_proto(name)
        names = [parameter.name for parameter in proto.parameters] if proto is not None else []
        return names.index("size") if "size" in names else int(name.startswith("execmem"))

    def _allocate(self, factors: tuple[int, ...], hart: Hart) -> None:
        size = 1
        for number in factors:
            size *= hart.x[A0 + number]
        go_back(hart, self._take(size))

    def _alloc_exec(self, number: int, hart: Hart) -> None:
        go_back(hart, self._place(hart.x[A0 + number], writable=True))

    def _pack(self, hart: Hart) -> None:
        """Stand in for bpf_prog_pack_alloc(size, ...)."""
        go_back(hart, self._place(hart.x[A0] & 0xFFFF_FFFF, writable=False))

    def _copy(self, hart: Hart) -> None:
        """Stand in for bpf_arch_text_copy(dst, src, len), which returns dst or an error."""
        target = hart.x[A0]
        go_back(hart, target if self._written(hart) else _EINVAL)

    def _write(self, hart: Hart) -> None:
        """Stand in for patch_text_nosync(dst, src, len), which is the same where the compiler has inlined it."""
        go_back(hart, 0 if self._written(hart) else _EINVAL)

    def _written(self, hart: Hart) -> bool:
        """Copy to what was allocated for a program; tell whether it was that."""
        target, source, length = hart.x[A0 : A0 + 3]
        inside = any(span.start <= target and target + length <= span.end for span in self._images)
        if inside and length:
            self.bench.memory.write(target, self.bench.memory.read(source, length))
        return inside

    def _random(self, name: str, hart: Hart) -> None:
        limit = hart.x[A0] & 0xFFFF_FFFF if name in _RANDOM_BELOW else 1 << 32
        number = self.random(limit) if callable(self.random) else self.random
        go_back(hart, number if number < limit else 0)

    def _arena_start(self, number: int, hart: Hart) -> None:
        """Stand in for what says where an arena is; a program without one gives NULL."""
        go_back(hart, self._arena[number] if hart.x[A0] else 0)

    def _warn(self, hart: Hart) -> None:
        self._warnings.append(f"a WARN in {self.image.symbols.nearest(hart.x[RA])}")
        go_back(hart)

    # -- the call

    def call(self, function: str, *arguments: int, hooks: Mapping[int, _Hook] | None = None) -> Outcome:
        """Call a function of the kernel; a WARN is noted and stepped over, as the kernel's handler does.

        Args:
            function: its name.
            arguments: for it.
            hooks: what else is not executed.
        Returns:
            How it ended, see `has_returned`; its value is then in ``bench.hart.x[10]``.
        """
        bench, hart = self.bench, self.bench.hart
        kept = dict(hart.hooks)
        try:
            hook_stubs(hart, self._stubs)
            hart.hooks |= {**self._hooks, **(hooks or {})}
            outcome = bench.call(function, *arguments, budget=_BUDGET)
            for _ in range(_MOST_WARNINGS):
                if outcome.status is not Status.FAULT or outcome.cause != Cause.BREAKPOINT:
                    break
                self._warnings.append(f"a WARN in {self.image.symbols.nearest(outcome.pc)}")
                hart.pc = outcome.pc + (4 if bench.memory.fetch(outcome.pc) & 3 == 3 else 2)
                outcome = hart.run(_BUDGET)
        finally:
            hart.hooks = kept
            hart.breakpoints.discard(RETURN)
        return outcome

    def compile(self, source: Source) -> Compiled:
        """Compile a program as the verifier does.

        Raises:
            BytecodeError: its text is not understood.
            ImageError: there is no room for what the JIT reads.
        """
        self._far, self._arena = source.far, source.arena or (0, 0)
        self._warnings, self._images = [], []
        before = self.bench.hart.retired
        progs, trouble = self._write_programs(source), ""
        functions: list[Stretch | None] = []
        try:
            if source.functions:
                self._compile_functions(source, progs)
            else:
                self._compile_one(progs[0])
            functions = [self._stretch(prog) for prog in progs]
        except _Failed as error:
            trouble = str(error)
        except Trap as trap:
            trouble = f"what the JIT leaves behind leads nowhere: {trap}"
        self._check_canaries()
        made = tuple(each for each in functions if each is not None)
        made = made if len(made) == len(progs) else ()
        code = self.bench.memory.read(made[0].span.start, made[0].span.size) if made else b""
        warnings = tuple(dict.fromkeys(self._warnings))
        return Compiled(progs[0], made, code, warnings, trouble, self.bench.hart.retired - before, tuple(progs))

    def _compile_one(self, prog: int) -> bool:
        """Call the JIT; tell whether it has accepted a program."""
        arguments = [0] * (self._arguments + 1)
        arguments[self._arguments] = prog
        outcome = self.call(COMPILE, *arguments, hooks=self._writers)
        if not has_returned(outcome):
            where = self.image.symbols.nearest(outcome.pc)
            raise _Failed(f"{COMPILE} does not return: {outcome.reason} at {where}")
        if self.bench.hart.x[A0] != prog:
            raise _Failed(f"{COMPILE} returns another program than it was given")
        return bool(self.read(prog, self.prog, "jited"))

    def _compile_functions(self, source: Source, progs: list[int]) -> None:
        """Compile each function twice, the second time with the addresses of all that came of the first."""
        first = [self._compile_one(prog) for prog in progs]
        if not all(first):
            for prog in progs:
                self.write(prog, self.prog, "jited", 0)
            return
        table = self.allocate(b"".join(prog.to_bytes(8, "little") for prog in progs))
        entries = [self.read(prog, self.prog, "bpf_func") for prog in progs]
        texts = [source.text, *(text for text, _ in source.functions)]
        for prog, text in zip(progs, texts, strict=True):
            aux = self.read(prog, self.prog, "aux")
            for name, value in (("func", table), ("func_cnt", len(progs)), ("real_func_cnt", len(progs))):
                self.write(aux, self.aux, name, value)
            insns = assemble(text, self._names(source, entries))
            self.bench.memory.write(prog + self.prog.offset("insnsi"), insns)
        for prog, entry in zip(progs, entries, strict=True):
            if not self._compile_one(prog):
                raise _Failed("the second pass does not accept a function that the first did")
            if self.read(prog, self.prog, "bpf_func") != entry:
                raise _Failed("the second pass puts a function at another address than the first")

    def _stretch(self, prog: int) -> Stretch | None:
        if not self.read(prog, self.prog, "jited"):
            return None
        entry, length = self.read(prog, self.prog, "bpf_func"), self.read(prog, self.prog, "jited_len")
        image = next((span for span in self._images if entry in span), None)
        if image is None or not 0 < length <= image.end - entry:
            raise _Failed(f"bpf_func {as_hex(entry)} and jited_len {length} are no part of what was allocated")
        code = self.bench.memory.read(entry, length)
        return Stretch(
            Span(image.start + self._header, entry + length), entry, length, leading_nops(code), entry + sled_size(code)
        )

    # -- what it is called with

    def read(self, address: int, layout: StructLayout, name: str) -> int:
        """Return a member of a structure, also a bitfield."""
        member = layout.member(name)
        bits = member.bit_size or 8 * member.size
        size = (member.bit_offset + bits + 7) // 8
        value = int.from_bytes(self.bench.memory.read(address + member.offset, size), "little")
        return value >> member.bit_offset & (1 << bits) - 1

    def write(self, address: int, layout: StructLayout, name: str, value: int) -> None:
        """Set a member of a structure, also a bitfield; a member that the kernel does not have is left out."""
        member = layout.find(name)
        if member is not None:
            content = bytearray(self.bench.memory.read(address, layout.size))
            set_member(content, 0, member, value)
            self.bench.memory.write(address, bytes(content))

    def _names(self, source: Source, entries: list[int]) -> dict[str, int | Callee]:
        """Return what names in a program's text stand for.

        Args:
            source: the program.
            entries: addresses of its functions, empty before they are known.
        """
        names: dict[str, int | Callee] = dict(source.names)
        names |= {name: Callee(0, 0, address - self.call_base) for name, address in source.helpers.items()}
        for number in range(1, len(source.functions) + 1):
            entry = entries[number] if entries else self._regions[0][0][0]
            distance = entry - self.call_base if entries else 1
            names[f"sub{number}"] = Callee(_SUBPROGRAM, number, distance, entry)
        names |= {each.name: Callee(_KFUNC, 0, each.address - self.call_base) for each in source.kfuncs}
        return names

    def _write_programs(self, source: Source) -> list[int]:
        """Put each function's struct bpf_prog into memory; return their addresses."""
        functions = ((source.text, source.stack), *source.functions)
        if len(functions) > _MOST_FUNCTIONS:
            raise ImageError(self.image.path, got=f"a program of {len(functions)} functions")
        table = self._kfunc_table(source.kfuncs) if source.kfuncs else 0
        made: list[int] = []
        first = 0
        for number, (text, stack) in enumerate(functions):
            insns = assemble(text, self._names(source, []))
            aux = self.allocate(bytes(self.aux.size))
            first = first or aux
            values = {"stack_depth": stack, "verifier_zext": int(source.zext), "kfunc_tab": table, "func_idx": number}
            values |= {"main_prog_aux": first, "num_exentries": guarded_accesses(insns)}
            values |= {"arena": first} if source.arena is not None else {}
            for name, value in values.items():
                self.write(aux, self.aux, name, value)
            prog = self._write_prog(insns, aux, is_func=bool(source.functions))
            self.write(aux, self.aux, "prog", prog)
            made.append(prog)
        return made

    def _write_prog(self, insns: bytes, aux: int, *, is_func: bool) -> int:
        at = self.prog.offset("insnsi")
        content = bytearray(max(self.prog.size, at + len(insns)))
        content[at : at + len(insns)] = insns
        values = {"len": len(insns) // SIZE, "jit_requested": 1, "is_func": int(is_func), "aux": aux, "pages": 1}
        for name, value in (values | {"type": self._kind}).items():
            member = self.prog.find(name)
            if member is not None:
                set_member(content, 0, member, value)
        return self.allocate(bytes(content))

    def _kfunc_table(self, kfuncs: tuple[Kfunc, ...]) -> int:
        """Put a struct bpf_kfunc_desc_tab into memory, in the order that it is searched by; return its address."""
        table, desc = self.layout("bpf_kfunc_desc_tab"), self.layout("bpf_kfunc_desc")
        if self._models is None or len(kfuncs) * desc.size > table.member("descs").size:
            raise ImageError(self.image.path, expected="struct btf_func_model (BTF)", got="none, or too many kfuncs")
        content = bytearray(table.size)
        ordered = sorted(kfuncs, key=lambda each: each.address)
        for number, each in enumerate(ordered):
            base = table.offset("descs") + number * desc.size
            for name, value in (
                ("func_id", number + 1), ("imm", each.address - self.call_base), ("addr", each.address),
            ):  # fmt: skip
                member = desc.find(name)
                if member is not None:
                    set_member(content, base, member, value)
            self._write_model(content, base + desc.offset("func_model"), each, self._models)
        set_member(content, 0, table.member("nr_descs"), len(ordered))
        return self.allocate(bytes(content))

    def _write_model(self, content: bytearray, at: int, kfunc: Kfunc, model: Model) -> None:
        content[at + model.ret_size] = 8
        content[at + model.nr_args] = len(kfunc.sizes)
        for number, (size, signed) in enumerate(zip(kfunc.sizes, kfunc.signed, strict=True)):
            content[at + model.arg_size + number] = size
            if model.arg_flags is not None:
                content[at + model.arg_flags + number] = _SIGNED * signed


def leading_nops(code: bytes) -> int:
    """Return how many nops code begins with."""
    count = 0
    for insn in _instructions(code):
        base = insn.base
        if (base.name, base.rd, base.rs1, base.imm) != ("addi", 0, 0, 0):
            break
        count += 1
    return count


def sled_size(code: bytes) -> int:
    """Return how many bytes code begins with that do nothing but prepare a jump: hints, and auipc."""
    size = 0
    for insn in _instructions(code):
        if insn.base.name != "auipc" and (insn.base.name != "addi" or insn.base.rd != 0):
            break
        size += insn.size
    return size


def _instructions(code: bytes) -> Iterator[Insn]:
    """Yield instructions up to the first that is none."""
    at = 0
    while at + 2 <= len(code):
        word = int.from_bytes(code[at : at + 4], "little")
        insn = decode(word if word & 3 == 3 else word & 0xFFFF)
        if insn is None or at + insn.size > len(code):
            return
        yield insn
        at += insn.size


def _types(image: KernelImage) -> Btf:
    if image.types is None:
        raise TypesError(image.path, "BPF", expected="types (BTF)", got="none")
    return image.types


def _model(types: Btf) -> Model | None:
    layout = types.struct("btf_func_model")
    if layout is None or not layout.members:
        return None
    at = {each.name: each.offset for each in layout.members}
    most = layout.member("arg_size").size
    return Model(
        layout.size, at["ret_size"], at.get("ret_flags"), at["nr_args"], at["arg_size"], at.get("arg_flags"), most
    )
