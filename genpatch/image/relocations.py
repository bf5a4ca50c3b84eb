# SPDX-License-Identifier: GPL-2.0-or-later
"""Relocations of relocatable objects: what is written where, once every section and symbol has an address.

One record for each type says how its value is computed and how the value goes into the bytes; a type without a
record is an error. Nothing is relaxed: no byte is deleted, so distances are what the assembler left.

Source: RISC-V psABI, Relocations; the letters are its own: S symbol, A addend, P place, V what stands there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property

import numpy as np

from ..errors import RelocationError
from ..isa.encoding import (
    FIELDS,
    REACH_BRANCH,
    REACH_C_BRANCH,
    REACH_C_JUMP,
    REACH_JAL,
    REACH_PCREL,
    hi20_of,
    in_pcrel_reach,
)
from ..units import BoolArray, I64Array, U8Array, U64Array, as_hex
from .elf import RELA, SHF_ALLOC, SHT_RELA, ElfFile, relocation_name

__all__ = ["RECIPES", "Computes", "Indirect", "Recipe", "Records", "Relocator"]

_U64 = np.uint64
_ALL = (1 << 64) - 1

Put = Callable[[U64Array, I64Array], U64Array]
"""From what stands at the places, zero-extended uint64[n], and the values, int64[n], to what shall stand there."""
Indirect = Callable[[U64Array], U64Array]
"""From addresses of symbols, uint64[n], to those of entries that hold or jump to them, uint64[n]."""


class Computes(StrEnum):
    """What a relocation's value is."""

    NOTHING = "nothing"
    ABSOLUTE = "S + A"
    DISTANCE = "S + A - P"
    CALL = "S + A - P, or a PLT entry - P if that is out of reach"
    GOT = "a GOT entry for S + A, - P"
    LOW = "the value of the HI20 relocation at S"


@dataclass(frozen=True, slots=True)
class Recipe:
    """One relocation type.

    Args:
        name: as the psABI has it.
        computes: its value.
        size: bytes at P that it changes some bits of; 0 for a number that says itself how long it is.
        put: how.
        reach: values that it can hold, None for any.
        adds: it adds to or takes from what stands there: -1, 0 or 1.
    """

    name: str
    computes: Computes
    size: int
    put: Put
    reach: range | None = None
    adds: int = 0


def _bits(width: int) -> Put:
    """Return a Put that replaces the low bits of what is there."""
    mask = _U64((1 << width) - 1)
    return lambda old, value: old & ~mask | value.view(_U64) & mask


def _sum(width: int) -> Put:
    """Return a Put that adds to the low bits of what is there."""
    mask = _U64((1 << width) - 1)
    return lambda old, value: old & ~mask | (old + value.view(_U64)) & mask


def _fields(*names: str) -> Put:
    """Return a Put that makes the value an instruction's immediate."""
    fields = [FIELDS[name] for name in names]
    keep = _U64(_ALL & ~sum(field.mask for field in fields))

    def put(old: U64Array, value: I64Array) -> U64Array:
        new = old & keep
        for field in fields:
            for word_lsb, value_lsb, mask in field.pieces:
                new |= (value >> value_lsb & mask).view(_U64) << _U64(word_lsb)
        return new

    return put


_IMM20, _IMM12 = _fields("imm20"), _fields("imm12")


def _upper(old: U64Array, value: I64Array) -> U64Array:
    """Put the upper part of a value into AUIPC or LUI, rounded for a signed lower part."""
    return _IMM20(old, hi20_of(value))


def _pair(old: U64Array, value: I64Array) -> U64Array:
    """Put a distance into AUIPC and the JALR behind it."""
    first, second = old & _U64(0xFFFF_FFFF), old >> _U64(32)
    return _upper(first, value) | _IMM12(second, value) << _U64(32)


def _nothing(old: U64Array, value: I64Array) -> U64Array:
    return old


_ANY_32 = range(-(1 << 31), 1 << 32)
_SIGNED_32 = range(-(1 << 31), 1 << 31)
_STORE = _fields("imm12hi", "imm12lo")

RECIPES: dict[int, Recipe] = {
    0: Recipe("R_RISCV_NONE", Computes.NOTHING, 0, _nothing),
    1: Recipe("R_RISCV_32", Computes.ABSOLUTE, 4, _bits(32), _ANY_32),
    2: Recipe("R_RISCV_64", Computes.ABSOLUTE, 8, _bits(64)),
    16: Recipe("R_RISCV_BRANCH", Computes.DISTANCE, 4, _fields("bimm12hi", "bimm12lo"), REACH_BRANCH),
    17: Recipe("R_RISCV_JAL", Computes.DISTANCE, 4, _fields("jimm20"), REACH_JAL),
    18: Recipe("R_RISCV_CALL", Computes.CALL, 8, _pair, REACH_PCREL),
    19: Recipe("R_RISCV_CALL_PLT", Computes.CALL, 8, _pair, REACH_PCREL),
    20: Recipe("R_RISCV_GOT_HI20", Computes.GOT, 4, _upper, REACH_PCREL),
    23: Recipe("R_RISCV_PCREL_HI20", Computes.DISTANCE, 4, _upper, REACH_PCREL),
    24: Recipe("R_RISCV_PCREL_LO12_I", Computes.LOW, 4, _IMM12),
    25: Recipe("R_RISCV_PCREL_LO12_S", Computes.LOW, 4, _STORE),
    26: Recipe("R_RISCV_HI20", Computes.ABSOLUTE, 4, _upper, REACH_PCREL),
    27: Recipe("R_RISCV_LO12_I", Computes.ABSOLUTE, 4, _IMM12),
    28: Recipe("R_RISCV_LO12_S", Computes.ABSOLUTE, 4, _STORE),
    33: Recipe("R_RISCV_ADD8", Computes.ABSOLUTE, 1, _sum(8), adds=1),
    34: Recipe("R_RISCV_ADD16", Computes.ABSOLUTE, 2, _sum(16), adds=1),
    35: Recipe("R_RISCV_ADD32", Computes.ABSOLUTE, 4, _sum(32), adds=1),
    36: Recipe("R_RISCV_ADD64", Computes.ABSOLUTE, 8, _sum(64), adds=1),
    37: Recipe("R_RISCV_SUB8", Computes.ABSOLUTE, 1, _sum(8), adds=-1),
    38: Recipe("R_RISCV_SUB16", Computes.ABSOLUTE, 2, _sum(16), adds=-1),
    39: Recipe("R_RISCV_SUB32", Computes.ABSOLUTE, 4, _sum(32), adds=-1),
    40: Recipe("R_RISCV_SUB64", Computes.ABSOLUTE, 8, _sum(64), adds=-1),
    44: Recipe("R_RISCV_RVC_BRANCH", Computes.DISTANCE, 2, _fields("c_bimm9hi", "c_bimm9lo"), REACH_C_BRANCH),
    45: Recipe("R_RISCV_RVC_JUMP", Computes.DISTANCE, 2, _fields("c_imm12"), REACH_C_JUMP),
    51: Recipe("R_RISCV_RELAX", Computes.NOTHING, 0, _nothing),
    52: Recipe("R_RISCV_SUB6", Computes.ABSOLUTE, 1, _sum(6), adds=-1),
    53: Recipe("R_RISCV_SET6", Computes.ABSOLUTE, 1, _bits(6)),
    54: Recipe("R_RISCV_SET8", Computes.ABSOLUTE, 1, _bits(8)),
    55: Recipe("R_RISCV_SET16", Computes.ABSOLUTE, 2, _bits(16)),
    56: Recipe("R_RISCV_SET32", Computes.ABSOLUTE, 4, _bits(32)),
    57: Recipe("R_RISCV_32_PCREL", Computes.DISTANCE, 4, _bits(32), _SIGNED_32),
    59: Recipe("R_RISCV_PLT32", Computes.CALL, 4, _bits(32), _SIGNED_32),
}
"""By number. Not here: dynamic linking, thread-local storage, relaxation, and ULEB128, which debug data uses."""
_UPPER_KINDS = tuple(
    number
    for number, recipe in RECIPES.items()
    if recipe.put is _upper and recipe.computes in (Computes.DISTANCE, Computes.GOT)
)


# int64[k], bytes by type, -1 for those without a recipe, of which the last stands for all behind it
_SIZES = np.array([RECIPES[number].size if number in RECIPES else -1 for number in range(max(RECIPES) + 2)], np.int64)


@dataclass(frozen=True)
class Records:
    """The relocations of an object's allocated sections, n of them.

    Args:
        path: of the object, for messages.
        kind: int64[n], type numbers.
        section: int64[n], header index of the section that each applies to.
        offset: uint64[n], from the start of that section.
        symbol: int64[n], index of the symbol.
        addend: int64[n].
    """

    path: str
    kind: I64Array
    section: I64Array
    offset: U64Array
    symbol: I64Array
    addend: I64Array

    @classmethod
    def of(cls, elf: ElfFile) -> Records:
        """Read them.

        Raises:
            RelocationError: a type has no recipe, a place is outside its section.
        """
        parts, sections = [np.empty(0, RELA)], [np.empty(0, np.int64)]
        for index in elf.of_type(SHT_RELA):
            target = int(elf.sections["info"][index])
            if 0 < target < len(elf) and int(elf.sections["flags"][target]) & SHF_ALLOC:
                parts.append(elf.records(index, RELA))
                sections.append(np.full(len(parts[-1]), target, np.int64))
        raw = np.concatenate(parts)
        info = np.ascontiguousarray(raw["info"])
        found = cls(
            path=elf.path,
            kind=(info & _U64(0xFFFF_FFFF)).astype(np.int64),
            section=np.concatenate(sections),
            offset=np.ascontiguousarray(raw["offset"]),
            symbol=(info >> _U64(32)).astype(np.int64),
            addend=np.ascontiguousarray(raw["addend"]),
        )
        found._check(elf)
        return found

    def __len__(self) -> int:
        return len(self.kind)

    def _check(self, elf: ElfFile) -> None:
        sizes = _SIZES[np.minimum(self.kind, len(_SIZES) - 1)]
        unknown = sizes < 0
        if unknown.any():
            raise self.error(int(np.argmax(unknown)), "a type that a module may have", self.name(unknown))
        room = elf.sections["size"].astype(_U64)[self.section]
        end = self.offset + sizes.astype(_U64)
        outside = (end > room) | (end < self.offset)
        if outside.any():
            first = int(np.argmax(outside))
            raise self.error(first, f"a place within {int(room[first]):#x} bytes", f"{int(self.offset[first]):#x}")

    def name(self, which: BoolArray) -> str:
        """Return the name of the first chosen record's type."""
        number = int(self.kind[np.argmax(which)])
        return RECIPES[number].name if number in RECIPES else relocation_name(number)

    def error(self, number: int, expected: str, got: str) -> RelocationError:
        """Return an error about one record."""
        kind = int(self.kind[number])
        name = RECIPES[kind].name if kind in RECIPES else relocation_name(kind)
        place = f"{name} at {int(self.offset[number]):#x} of section {int(self.section[number])}"
        return RelocationError(self.path, place, expected=expected, got=got)


@dataclass
class Relocator:
    """Applies relocations to bytes.

    Args:
        records: which.
        data: uint8[m], the bytes of all sections; written to.
        at: int64[n], where in data each record's place is.
        place: uint64[n], P.
        symbols: uint64[k], the address of each symbol, S.
        got: gives entries that hold an address; None where there is no such table.
        plt: gives entries that jump to an address; None where there is none.
    """

    records: Records
    data: U8Array
    at: I64Array
    place: U64Array
    symbols: U64Array
    got: Indirect | None = None
    plt: Indirect | None = None

    def apply(self) -> None:
        """Apply all of them.

        Raises:
            RelocationError: a symbol does not exist, a value is out of reach, a low part has no upper part.
        """
        wild = self.records.symbol >= len(self.symbols)
        if wild.any():
            first = int(np.argmax(wild))
            number = int(self.records.symbol[first])
            raise self.records.error(first, f"a symbol below {len(self.symbols)}", f"symbol {number}")
        for recipe, which in self._groups():
            values = self._values(recipe, which)
            if recipe.reach is not None:
                self._check_reach(recipe, which, values)
            at = self.at[which]
            if recipe.adds:
                at, values = _added_up(at, values if recipe.adds > 0 else -values)
            self._put(recipe, at, values)

    def _groups(self) -> Iterator[tuple[Recipe, I64Array]]:
        """Yield each type that changes something with the numbers of its records; what adds comes last."""
        kinds = np.unique(self.records.kind).tolist()
        for number in sorted(kinds, key=lambda kind: (RECIPES[kind].adds != 0, kind)):
            if RECIPES[number].size:
                yield RECIPES[number], np.flatnonzero(self.records.kind == number)

    def _absolute(self, which: I64Array) -> U64Array:
        """Return S + A."""
        return self.symbols[self.records.symbol[which]] + self.records.addend[which].view(_U64)

    def _values(self, recipe: Recipe, which: I64Array) -> I64Array:
        target = self._absolute(which)
        match recipe.computes:
            case Computes.ABSOLUTE:
                return target.view(np.int64)
            case Computes.CALL:
                return self._through_plt(target, which)
            case Computes.GOT:
                return self._in_got(target, which)
            case Computes.LOW:
                return self._lower(which)
            case _:
                return (target - self.place[which]).view(np.int64)

    def _through_plt(self, target: U64Array, which: I64Array) -> I64Array:
        distance = (target - self.place[which]).view(np.int64)
        far = np.flatnonzero(~in_pcrel_reach(distance))
        if len(far) and self.plt is not None:
            distance[far] = (self.plt(target[far]) - self.place[which[far]]).view(np.int64)
        return distance

    def _in_got(self, target: U64Array, which: I64Array) -> I64Array:
        if self.got is None:
            raise self.records.error(int(which[0]), "a .got section", "none")
        return (self.got(target) - self.place[which]).view(np.int64)

    def _lower(self, which: I64Array) -> I64Array:
        """Return the values of the upper parts, which stand where the symbols of the lower parts are."""
        label = self.symbols[self.records.symbol[which]]
        places, values = self._uppers
        found = np.minimum(np.searchsorted(places, label), max(len(places) - 1, 0))
        missing = places[found] != label if len(places) else np.ones(len(label), np.bool_)
        if missing.any():
            first = int(np.argmax(missing))
            raise self.records.error(int(which[first]), "an upper part at its symbol", as_hex(int(label[first])))
        return values[found]

    @cached_property
    def _uppers(self) -> tuple[U64Array, I64Array]:
        """Where the AUIPCs of pairs are, ascending, and their values: uint64[k], int64[k]."""
        chosen = np.flatnonzero(np.isin(self.records.kind, _UPPER_KINDS))
        chosen = chosen[np.argsort(self.place[chosen], kind="stable")]
        values = np.zeros(len(chosen), np.int64)
        for number in _UPPER_KINDS:
            part = np.flatnonzero(self.records.kind[chosen] == number)
            if len(part):
                values[part] = self._values(RECIPES[number], chosen[part])
        return self.place[chosen], values

    def _check_reach(self, recipe: Recipe, which: I64Array, values: I64Array) -> None:
        reach = recipe.reach
        assert reach is not None
        wrong = (values < reach.start) | (values >= reach.stop) | ((values - reach.start) % reach.step != 0)
        if wrong.any():
            first = int(np.argmax(wrong))
            limits = f"{reach[0]:#x} to {reach[-1]:#x}"
            raise self.records.error(int(which[first]), f"a value of {limits}", f"{int(values[first]):#x}")

    def _put(self, recipe: Recipe, at: I64Array, values: I64Array) -> None:
        count = len(self.data) - recipe.size + 1
        windows = np.ndarray((max(count, 0),), f"<u{recipe.size}", self.data.data, strides=(1,))
        windows[at] = recipe.put(windows[at].astype(_U64), values).astype(windows.dtype)


def _added_up(at: I64Array, values: I64Array) -> tuple[I64Array, I64Array]:
    """Return each place once, with the sum of its values."""
    places, where = np.unique(at, return_inverse=True)
    if len(places) == len(at):
        return at, values
    sums = np.zeros(len(places), np.int64)
    np.add.at(sums, where, values)
    return places, sums
