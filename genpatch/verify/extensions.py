# SPDX-License-Identifier: GPL-2.0-or-later
"""A kernel as it is on a hart with more extensions: its own code applies the alternatives to its text.

An image as it lies on disk has no alternative applied: it is the kernel of a hart without Zba, Zbb or Zacas, which
few are. What runs on the others is what riscv_cpufeature_patch_func() makes of it, and that is executed here, with
the bits of the extensions set in the bitmap that it asks. Usage:

    extended = extend(image, scene)
    extended.bench, extended.names      # the machine, ("zba", "zbb", ...)
"""

from __future__ import annotations

from dataclasses import dataclass

from ..errors import ImageError, TypesError
from ..image.model import KernelImage
from ..isa.insn import SPECS
from ..machine.hart import Hart
from ..machine.outcome import Trap
from ..run.kernel import A0, KernelBench, go_back, has_returned
from .scene import Fixmap, Scene, hook_stubs

__all__ = ["Extended", "extend", "known_extensions"]

PATCH, WRITE = "riscv_cpufeature_patch_func", "patch_text_nosync"
_TABLE, _COUNT, _BITMAP = "riscv_isa_ext", "riscv_isa_ext_count", "riscv_isa"
_FIRST, _LAST = "__alt_start", "__alt_end"
_BOOT = 0
"""RISCV_ALTERNATIVES_BOOT, the stage at which a boot hart's extensions are known."""
_BLOCKS = ("zicbom", "zicboz")
"""Need the size of a cache block, which only firmware knows."""
_MOST, _LONGEST_NAME = 512, 32
_BUDGET = 20_000_000


@dataclass(frozen=True)
class Extended:
    """A kernel with its alternatives applied.

    Args:
        bench: the machine that holds it.
        names: of the extensions, in the order of their bits.
        insns: instructions that were executed to apply them.
    """

    bench: KernelBench
    names: tuple[str, ...]
    insns: int


def extend(image: KernelImage, scene: Scene) -> Extended:
    """Return a kernel as it is where every extension is there that both it and this machine know.

    Args:
        image: the kernel.
        scene: prepared for it.
    Raises:
        ImageError: it knows no alternatives, or they cannot be applied here; the text says why.
        TypesError: its types do not say what its table of extensions is like.
    """
    bench = KernelBench(image)
    try:
        known = known_extensions(image, bench)
        names = tuple(sorted((name for name in _executed() if name in known), key=known.__getitem__))
        if not names:
            raise ImageError(image.path, _TABLE, expected="extensions that are executed here", got="none")
        _set_bits(image, bench, [known[name] for name in names])
        insns = _apply(image, bench, scene)
    except Trap as trap:
        raise ImageError(image.path, "extensions", expected="a table that can be read", got=str(trap)) from None
    return Extended(bench, names, insns)


def _executed() -> list[str]:
    """Return the names of extensions that this machine executes, as a kernel spells them."""
    names = {spec.extension.lower() for spec in SPECS.values()}
    return sorted(name for name in names if name.startswith("z") and name not in _BLOCKS)


def known_extensions(image: KernelImage, bench: KernelBench) -> dict[str, int]:
    """Return which bit stands for which extension: the kernel's own table (``riscv_isa_ext``).

    Raises:
        ImageError: it has none.
        TypesError: its types do not say what a row is.
        Trap: the table leads nowhere.
    """
    table, count = _address(image, _TABLE), _address(image, _COUNT)
    layout = image.types.struct("riscv_isa_ext_data") if image.types is not None else None
    if layout is None or layout.find("id") is None or layout.find("name") is None:
        raise TypesError(image.path, "struct riscv_isa_ext_data", expected="id and name (BTF)", got="no such type")
    number = layout.member("id")
    rows = min(int.from_bytes(bench.memory.read(count, 8), "little"), _MOST)
    found = {}
    for row in range(rows):
        content = bench.memory.read(table + row * layout.size, layout.size)
        bit = int.from_bytes(content[number.offset : number.offset + number.size], "little")
        at = int.from_bytes(content[layout.offset("name") :][:8], "little")
        name = bench.memory.read(at, _LONGEST_NAME).partition(b"\0")[0].decode("ascii", "replace")
        if bit < _MOST:  # a name that stands for several has no bit
            found[name] = bit
    return found


def _set_bits(image: KernelImage, bench: KernelBench, bits: list[int]) -> None:
    bitmap, size = _address(image, _BITMAP), max(bits) // 64 * 8 + 8
    value = int.from_bytes(bench.memory.read(bitmap, size), "little")
    for bit in bits:
        value |= 1 << bit
    bench.memory.write(bitmap, value.to_bytes(size, "little"))


def _apply(image: KernelImage, bench: KernelBench, scene: Scene) -> int:
    """Let the kernel apply its alternatives; return how many instructions that took."""
    first, last, patch = _address(image, _FIRST), _address(image, _LAST), _address(image, PATCH)
    hart = bench.hart
    kept = dict(hart.hooks)
    try:
        hook_stubs(hart, scene.stubs)
        Fixmap(bench, scene.fixmap_top)
        write = image.address_of(WRITE)
        if write is not None:
            hart.hooks[write] = _copy
        outcome = bench.call(patch, first, last, _BOOT, budget=_BUDGET)
    finally:
        hart.hooks = kept
    if not has_returned(outcome):
        where = image.symbols.nearest(outcome.pc)
        raise ImageError(image.path, PATCH, expected="that it returns", got=f"{outcome.reason} at {where}")
    return hart.retired


def _copy(hart: Hart) -> None:
    """Stand in for patch_text_nosync(dst, src, len): that it writes is seen elsewhere, here is what."""
    target, source, length = hart.x[A0 : A0 + 3]
    hart.memory.write(target, hart.memory.read(source, length))
    go_back(hart, 0)


def _address(image: KernelImage, name: str) -> int:
    found = image.address_of(name)
    if found is None:
        raise ImageError(image.path, "extensions", expected=f"the symbol {name}", got="none")
    return found
