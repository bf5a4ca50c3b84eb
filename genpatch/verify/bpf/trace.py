# SPDX-License-Identifier: GPL-2.0-or-later
"""One function of a kernel, traced by BPF programs: what `genpatch trace --bpf` shows."""

from __future__ import annotations

from collections.abc import Sequence

from ...errors import UsageError
from ...image.btf import Btf, Parameter
from ...image.model import KernelImage
from ...machine.memory import PAGE
from ...machine.outcome import Outcome
from ...run.arguments import read_argument
from ...run.kernel import KernelBench
from .cases import Argument, Case, Flag
from .listing import tell_life
from .programs import MOST, Programs
from .run import stage_of

__all__ = ["KINDS", "trace_bpf"]

KINDS = ("fentry", "fexit", "fmod_ret", "fsession", "struct_ops")
"""What a function may be traced by, or for struct_ops called as."""
_LARGEST = 16
_ASIDE = 16 * PAGE


def trace_bpf(
    image: KernelImage, function: str, kinds: Sequence[str], values: Sequence[str], *, budget: int = 100_000
) -> tuple[list[str], int, Outcome | None]:
    """Return one life of a trampoline over a function.

    Args:
        image: the kernel.
        function: its symbol.
        kinds: of KINDS, a program each.
        values: arguments as they are typed; with them the function itself is run.
        budget: instructions at most.
    Returns:
        (lines, how many promises were broken, how the function itself ended if it did not return).
    Raises:
        UsageError: the function cannot be traced so.
        ImageError, TypesError: the kernel's trampolines cannot be run.
    """
    stage, notes = stage_of(image, function)
    arguments, returns = _prototype(image, function, stage.interface.model.most)
    case = _case(stage.programs, kinds, arguments, returns)
    slots, memory = _slots(image, case, values) if values else (None, [])
    lines, broken, ended = tell_life(stage, case, slots, memory, budget)
    shown = ", ".join(f"{8 * each.size} bits" for each in arguments)
    head = f"{function}({shown}) at {stage.traced.func:#x}, traced by {', '.join(kinds)}"
    return [head, *lines, *(f"note: {note}" for note in notes)], broken, ended


def _prototype(image: KernelImage, function: str, most: int) -> tuple[tuple[Argument, ...], Argument]:
    """Return a function's arguments and what it returns.

    Raises:
        UsageError: they are not known, or are more or larger than trampolines take.
    """
    types = image.types
    proto = types.func_proto(function) if types is not None else None
    if types is None or proto is None:
        raise UsageError(f"{image.path}: no prototype of {function!r} in its types")
    if proto.variadic or len(proto.parameters) > most:
        got = "any number" if proto.variadic else str(len(proto.parameters))
        raise UsageError(f"{function!r} takes {got} of arguments: trampolines take {most} at most")
    wide = [each.type_name for each in proto.parameters if each.size > _LARGEST]
    if wide:
        raise UsageError(f"{function!r} takes a {wide[0]} by value: trampolines take {_LARGEST} bytes at most")
    return tuple(_argument(types, each) for each in proto.parameters), _returned(types, proto.returns)


def _argument(types: Btf, parameter: Parameter) -> Argument:
    name = parameter.type_name
    is_struct = name.startswith(("struct ", "union ")) and not name.endswith("*")
    return Argument(parameter.size, _is_signed(types, name), is_struct)


_SIGNED = ("char", "signed char", "short", "short int", "int", "long", "long int", "long long int")
_SIZES = {
    "void": 0, "bool": 1, "_Bool": 1, "char": 1, "unsigned char": 1, "signed char": 1, "short": 2, "short int": 2,
    "short unsigned int": 2, "int": 4, "unsigned int": 4,
}  # fmt: skip


def _plain(types: Btf, name: str) -> str:
    """Return what a typedef stands for in the end."""
    for _ in range(16):
        behind = types.typedef(name.removeprefix("const "))
        if behind is None:
            break
        name = behind
    return name.removeprefix("const ")


def _is_signed(types: Btf, name: str) -> bool:
    return _plain(types, name) in _SIGNED


def _returned(types: Btf, name: str) -> Argument:
    plain = _plain(types, name)
    return Argument(4 if plain.startswith("enum ") else _SIZES.get(plain, 8), plain in _SIGNED)


def _case(programs: Programs, kinds: Sequence[str], arguments: tuple[Argument, ...], returns: Argument) -> Case:
    """Return the trampoline that the kernel would make for some programs.

    Raises:
        UsageError: no such combination.
    """
    unknown = [kind for kind in kinds if kind not in KINDS]
    if unknown or not kinds:
        raise UsageError(f"--bpf {','.join(unknown)!r}: expected some of {', '.join(KINDS)}")
    crowded = next((kind for kind in kinds if kinds.count(kind) > MOST), None)
    if crowded is not None:
        raise UsageError(f"--bpf: {kinds.count(crowded)} programs of kind {crowded}, {MOST} at most")
    if "struct_ops" in kinds:
        if len(kinds) > 1:
            raise UsageError("--bpf struct_ops: such a trampoline calls its one program and nothing else")
        flags = Flag.INDIRECT | (Flag.RET_FENTRY_RET if returns.size else Flag(0))
        return Case(flags=flags, arguments=arguments, returns=returns, fentry=(programs.find(0, 0),))
    chosen = [
        [programs.find(kind, k) for k in range(kinds.count(name))]
        for kind, name in ((0, "fentry"), (1, "fexit"), (2, "fmod_ret"))
    ]
    fentry, fexit, fmod = chosen
    for position in range(kinds.count("fsession")):
        try:
            session = programs.session(position, cookie=True)
        except IndexError:
            raise UsageError("--bpf fsession: this kernel has no such programs") from None
        fentry.append(session)
        fexit.append(session)
    flags = Flag.CALL_ORIG | Flag.SKIP_FRAME if fexit or fmod else Flag.RESTORE_REGS
    return Case(
        flags=flags, arguments=arguments, returns=returns, fentry=tuple(fentry), fexit=tuple(fexit), fmod=tuple(fmod)
    )


def _slots(image: KernelImage, case: Case, values: Sequence[str]) -> tuple[list[int], list[tuple[int, bytes]]]:
    """Return what argument slots hold, and the bytes that are pointed to.

    Raises:
        UsageError: there are too many or too few values, or one is none.
    """
    if len(values) != case.slots:
        wanted = f"{case.slots} value{'s' * (case.slots != 1)}"
        raise UsageError(f"expected {wanted}, one for each 8 bytes of arguments, got {len(values)}")
    bench = KernelBench(image)
    aside = bench.place(bytes(_ASIDE))
    read = [read_argument(bench, text) for text in values]
    pointed = [each for each in read if each.size]
    if not pointed:
        return [each.value for each in read], []
    start = aside + _ASIDE
    end = max(each.value + each.size for each in pointed)
    return [each.value for each in read], [(start, bench.memory.read(start, end - start))]
