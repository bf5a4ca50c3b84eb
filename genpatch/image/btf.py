# SPDX-License-Identifier: GPL-2.0-or-later
"""BTF: what the kernel's structs, enums and functions look like, read from ``.BTF``.

Nothing is decoded before it is asked for. The one whole pass is the index of where each type's record
starts: a record tells its own length, so that length is computed at every word at once and the true
chain of records is then followed from word 0.

Source: linux include/uapi/linux/btf.h and Documentation/bpf/btf.rst (7.2). Since 7.2 vlen has 24 bits
(16 before) and kind 7 (5 before); older writers left the added bits zero, so one mask reads both.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

import numpy as np

from ..errors import TypesError
from ..units import WORD_SIZE, I32Array, I64Array, U8Array, U32Array

VOID, INT, PTR, ARRAY, STRUCT, UNION, ENUM, FWD, TYPEDEF, VOLATILE = range(10)
CONST, RESTRICT, FUNC, FUNC_PROTO, VAR, DATASEC, FLOAT, DECL_TAG, TYPE_TAG, ENUM64 = range(10, 20)

MAGIC = 0xEB9F
MAX_DEPTH = 32
"""How many types one may pass to reach the end of a chain; the kernel's own verifier stops here too."""
MAX_MEMBERS = 1 << 13
"""How many members a struct may have, nested ones counted; Linux 7.2 has up to 273."""
MAX_PARAMETERS = 256
"""How many parameters a function may have."""
MAX_NAMESAKES = 16
"""How many types of one name are compared; Linux 7.2 has up to 3."""
MAX_NAME_SIZE = 512
"""KSYM_NAME_LEN [bytes, NUL included]."""
MAX_SECTION_SIZE = 1 << 28
"""[bytes]; the kernel takes 16 MiB of names and 1,048,575 types. Keeps word numbers in 32 bits."""
POINTER_SIZE = 8
"""[bytes], RV64."""

_HEADER = struct.Struct("<HBBIIIII")
_LAYOUT_FIELDS = struct.Struct("<II")
_RECORD_WORDS = 3
_NO_LENGTH = np.int32(1 << 30)  # [words], past the end of any section
_STRIDE_LOG2 = 2  # two rounds of doubling measured fastest for 10**5 types
_MAX_PROTO_DEPTH = 4
_MAX_TEXT = 1024  # Linux 7.2 has up to 330

# What follows a record, in words: once, and for each of its vlen items. FUNC keeps its linkage in vlen.
_TRAILERS = {
    INT: (1, 0),
    ARRAY: (3, 0),
    STRUCT: (0, 3),
    UNION: (0, 3),
    ENUM: (0, 2),
    FUNC_PROTO: (0, 2),
    VAR: (1, 0),
    DATASEC: (0, 3),
    DECL_TAG: (1, 0),
    ENUM64: (0, 3),
} | dict.fromkeys((PTR, FWD, TYPEDEF, VOLATILE, CONST, RESTRICT, FUNC, FLOAT, TYPE_TAG), (0, 0))

_SIZED = {INT, STRUCT, UNION, ENUM, FLOAT, ENUM64}
_QUALIFIERS = {CONST: "const", VOLATILE: "volatile", RESTRICT: "restrict"}
_TRANSPARENT = {TYPEDEF, TYPE_TAG, *_QUALIFIERS}
_TAGS = {STRUCT: "struct ", UNION: "union ", ENUM: "enum ", ENUM64: "enum ", FWD: "struct "}
_NAMED = {INT, FLOAT, TYPEDEF, *_TAGS}

# gcc puts the length first; types are spelled alike whatever built the kernel.
_CLANG_NAMES = {
    "short int": "short",
    "short unsigned int": "unsigned short",
    "long int": "long",
    "long unsigned int": "unsigned long",
    "long long int": "long long",
    "long long unsigned int": "unsigned long long",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """One member of a struct or union, as C names it.

    Args:
        name: without the anonymous structs and unions around it.
        offset: from the start of the outermost struct [bytes]; of a bitfield, the byte with its first bit.
        bit_offset: of a bitfield, its first bit in that byte, 0 to 7 from the least significant; else 0.
        bit_size: of a bitfield, its width [bits]; else 0.
        size: of the declared type [bytes]; 0 for a flexible array.
        type_name: the type as C spells it without a name: ``"struct ftrace_ops *"``, ``"u8[12]"``.
    """

    name: str
    offset: int
    bit_offset: int
    bit_size: int
    size: int
    type_name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StructLayout:
    """The layout of one struct or union; anonymous members are replaced by what they contain.

    Args:
        where: the source, for messages.
        kind: ``"struct"`` or ``"union"``.
        name: its tag.
        size: [bytes].
        members: in the order of declaration.
    """

    where: str
    kind: str
    name: str
    size: int
    members: tuple[Member, ...]

    def find(self, name: str) -> Member | None:
        """Return a member, or None."""
        return next((member for member in self.members if member.name == name), None)

    def has(self, name: str) -> bool:
        """Tell whether there is a member of that name."""
        return self.find(name) is not None

    def member(self, name: str) -> Member:
        """Return a member; raises TypesError if there is none."""
        found = self.find(name)
        if found is None:
            raise TypesError(
                self.where, f"{self.kind} {self.name}", expected=f"member {name!r}", got="none of that name"
            )
        return found

    def offset(self, name: str) -> int:
        """Return where a member starts [bytes]; raises TypesError if there is none."""
        return self.member(name).offset


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """One parameter of a function; size in bytes, name empty where the prototype gives none."""

    name: str
    type_name: str
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class FunctionType:
    """A function's prototype; `variadic` tells of a trailing ``...``, which is no parameter."""

    name: str
    returns: str
    parameters: tuple[Parameter, ...]
    variadic: bool


class _Record(NamedTuple):
    """One type's record; `ref` is its size or the type it refers to, `tail` the words behind it."""

    kind: int
    flag: int
    vlen: int
    name_at: int
    ref: int
    tail: memoryview

    def items(self, width: int) -> Iterator[tuple[int, ...]]:
        flat = self.tail[: width * self.vlen].tolist()
        return zip(*(flat[i::width] for i in range(width)), strict=True)


class _Field(NamedTuple):
    """A member as stored, its place counted from the outermost struct [bits]."""

    name_at: int
    type_id: int
    start: int
    width: int


_VOID_RECORD = _Record(VOID, 0, 0, 0, 0, memoryview(b""))


@dataclass(frozen=True, kw_only=True, eq=False)
class Btf:
    """The types of one kernel or module.

    Ids and string offsets of a module's (split) BTF go on where those of its base end.

    Args:
        where: the source, for messages.
        base: what the ids and names below this one's own refer to; None for a kernel.
        words: uint32[n], the type section.
        chars: uint8[m], the string section.
        trailers: int32[2, 128], by kind: words that follow a record, and each of its vlen items.
    """

    where: str
    base: Btf | None
    words: U32Array
    chars: U8Array
    trailers: I32Array
    _groups: dict[tuple[int, ...], tuple[I64Array, I64Array]] = field(default_factory=dict, repr=False)
    _spelled: dict[tuple[int, int], str] = field(default_factory=dict, repr=False)

    @classmethod
    def parse(cls, data: bytes | memoryview | U8Array, *, base: Btf | None = None, where: str = ".BTF") -> Btf:
        """Take a BTF blob; only its header is checked here, records as they are needed.

        Args:
            data: a whole ``.BTF`` or ``.BTF.base`` section; kept, not copied.
            base: the kernel's BTF for a module's, or that of the module's own ``.BTF.base`` if it has one.
            where: what to call the source in messages.

        Raises:
            TypesError: not little-endian BTF of version 1, or a section lies outside the data.
        """
        raw = np.ascontiguousarray(data) if isinstance(data, np.ndarray) else np.frombuffer(data, np.uint8)
        if len(raw) < _HEADER.size:
            raise TypesError(where, "header", expected=f"{_HEADER.size} bytes", got=f"{len(raw)}")
        magic, version, _, header_size, type_at, type_size, text_at, text_size = _HEADER.unpack_from(raw.data)
        if (magic, version) != (MAGIC, 1):
            got = f"magic {magic:#06x} version {version}"
            raise TypesError(where, "header", expected=f"magic {MAGIC:#06x} version 1", got=got)
        if not _HEADER.size <= header_size <= len(raw):
            raise TypesError(where, "header", expected="a header inside the data", got=f"{header_size} bytes")
        body = raw[header_size:]
        types = _section(body, "type section", type_at, type_size, where, aligned=True)
        chars = _section(body, "string section", text_at, text_size, where)
        if (base is None and not len(chars)) or (len(chars) and chars[-1]):
            raise TypesError(where, "string section", expected="a NUL at its end", got="none")
        trailers = _known_trailers() if base is None else base.trailers.copy()
        if header_size >= _HEADER.size + _LAYOUT_FIELDS.size:
            at, size = _LAYOUT_FIELDS.unpack_from(raw.data, _HEADER.size)
            if size:
                _add_layouts(trailers, _section(body, "layout section", at, size, where, aligned=True))
        words = np.require(types.view("<u4"), requirements="A")
        return cls(where=where, base=base, words=words, chars=chars, trailers=trailers)

    @property
    def n_types(self) -> int:
        """How many types are described here; void and the base's are not counted."""
        return len(self._starts)

    def struct(self, name: str) -> StructLayout | None:
        """Return a struct or union by its tag, or None.

        Of several, the first that is complete: a module's own before its base's.
        """
        records = [self._record(i) for i in self._ids(name, STRUCT, UNION)]
        complete = (record for record in records if record.vlen or not record.ref)
        chosen = next(complete, records[0] if records else None)
        return None if chosen is None else self._layout(chosen)

    def structs(self, name: str) -> list[StructLayout]:
        """Return every differing definition of a struct or union."""
        ids = self._few(name, self._ids(name, STRUCT, UNION))
        return list(dict.fromkeys(self._layout(self._record(i)) for i in ids))

    def func_proto(self, name: str) -> FunctionType | None:
        """Return the type of a function by its name, the first of several, or None."""
        ids = self._ids(name, FUNC)
        return self._function(name, self._record(ids[0]).ref) if ids else None

    def functions(self, name: str) -> list[FunctionType]:
        """Return every differing type that functions of that name have."""
        protos = dict.fromkeys(self._record(i).ref for i in self._ids(name, FUNC))
        return list(dict.fromkeys(self._function(name, i) for i in self._few(name, list(protos))))

    def typedef(self, name: str) -> str | None:
        """Return what a typedef stands for, as C spells it, or None."""
        ids = self._ids(name, TYPEDEF)
        return self._text(self._record(ids[0]).ref) if ids else None

    def enum(self, name: str) -> dict[str, int] | None:
        """Return the constants of an enum by its tag, or None; the first complete one of several."""
        records = map(self._record, self._ids(name, ENUM, ENUM64))
        return next((self._constants(record) for record in records if record.vlen), None)

    def enumerator(self, name: str) -> int | None:
        """Return the value of an enum's constant, whatever the enum, or None; the first of several."""
        names, owners = self._enumerators
        found = self._matches(names, name)
        if len(found):
            return self._constants(self._record(int(owners[found[0]]))).get(name)
        return None if self.base is None else self.base.enumerator(name)

    def _bad(self, place: str, expected: str, got: str) -> TypesError:
        return TypesError(self.where, place, expected=expected, got=got)

    def _too_deep(self, type_id: int) -> TypesError:
        return self._bad(f"type {type_id}", f"its end within {MAX_DEPTH} types", "more of them")

    # The index.

    @cached_property
    def _starts(self) -> I32Array:
        """int32[n_types]: the word at which each record starts."""
        end = len(self.words)
        after = self._next_words()
        follow = np.full(end + 1, end, np.int32)
        np.minimum(after, end, out=follow[: len(after)])
        leap = follow
        for _ in range(_STRIDE_LOG2):
            leap = leap[leap]
        columns = [_chain(leap, end)]
        for _ in range((1 << _STRIDE_LOG2) - 1):
            columns.append(follow[columns[-1]])
        starts = np.stack(columns, axis=1).reshape(-1)
        starts = starts[starts < end]
        self._check_last(starts, after)
        return starts

    def _next_words(self) -> I32Array:
        """Where a record that starts at each word would end: int32[n - 2], none starts later."""
        info = self.words[1:-1]
        if not len(info):
            return np.empty(0, np.int32)
        kind = self.words.view(np.uint8)[7:-4:4] & 0x7F
        length = (info & np.uint32(0xFFFFFF)).view(np.int32)
        length *= self.trailers[1][kind]
        length += self.trailers[0][kind]
        length += np.arange(_RECORD_WORDS, len(info) + _RECORD_WORDS, dtype=np.int32)
        return length

    def _check_last(self, starts: I32Array, after: I32Array) -> None:
        # A broken record sends the chain past the end, so only the last one can be broken.
        if not len(starts):
            return
        last, place = int(starts[-1]), f"type {len(starts) - 1 + self._first_id}"
        if last >= len(after):
            raise self._bad(place, "a whole record", f"{(len(self.words) - last) * WORD_SIZE} bytes")
        kind = int(self.words[last + 1]) >> 24 & 0x7F
        if self.trailers[0, kind] == _NO_LENGTH:
            raise self._bad(place, "a kind known here or to the layout section", f"kind {kind}")
        if after[last] != len(self.words):
            raise self._bad(place, "a record inside the type section", f"an end at word {after[last]}")

    @cached_property
    def _first_id(self) -> int:
        return 1 if self.base is None else self.base._first_id + self.base.n_types

    @cached_property
    def _first_char(self) -> int:
        return 0 if self.base is None else self.base._first_char + len(self.base.chars)

    @cached_property
    def _memory(self) -> memoryview:
        return self.words.astype(np.uint32, copy=False).data

    def _record(self, type_id: int) -> _Record:
        if type_id == VOID:
            return _VOID_RECORD
        index = type_id - self._first_id
        if index < 0 and self.base is not None:
            return self.base._record(type_id)
        if not 0 <= index < self.n_types:
            raise self._bad(f"type {type_id}", f"an id below {self._first_id + self.n_types}", str(type_id))
        at = int(self._starts[index])
        name_at, info, ref = self._memory[at : at + _RECORD_WORDS]
        tail = self._memory[at + _RECORD_WORDS :]
        return _Record(info >> 24 & 0x7F, info >> 31, info & 0xFFFFFF, name_at, ref, tail)

    # Names.

    def _name(self, at: int) -> str:
        own = at - self._first_char
        if own < 0 and self.base is not None:
            return self.base._name(at)
        text, nul, _ = self.chars[own : own + MAX_NAME_SIZE].tobytes().partition(b"\0")
        if not nul:
            raise self._bad(f"string {at:#x}", f"a name of less than {MAX_NAME_SIZE} bytes", "none")
        return text.decode("utf-8", "replace")

    def _matches(self, offsets: I64Array, name: str) -> I64Array:
        """Return where in offsets, int64[n], stand those of a string that is exactly this name: int64[k]."""
        if not name or "\0" in name:
            return np.empty(0, np.int64)
        at = offsets - self._first_char
        index = np.flatnonzero((at >= 0) & (at < len(self.chars)))
        at = at[index]
        # The section ends with a NUL and no other byte of the name is one: the next is always inside.
        for byte in name.encode("utf-8", "replace") + b"\0":
            same = self.chars[at] == byte
            index, at = index[same], at[same] + 1
            if not len(index):
                break
        if self.base is None:
            return index
        return np.union1d(index, self.base._matches(offsets, name))

    def _group(self, kinds: tuple[int, ...]) -> tuple[I64Array, I64Array]:
        """Return the own records of some kinds: their indices and name offsets, both int64[k]."""
        found = self._groups.get(kinds)
        if found is None:
            kind = (self.words[self._starts + 1] >> 24 & 0x7F).astype(np.uint8)
            index = np.flatnonzero(np.isin(kind, kinds))
            found = self._groups[kinds] = index, self.words[self._starts[index]].astype(np.int64)
        return found

    def _ids(self, name: str, *kinds: int) -> list[int]:
        """Return the ids of the types of that name and of one of these kinds, own ones first."""
        index, names = self._group(kinds)
        own: list[int] = (index[self._matches(names, name)] + self._first_id).tolist()
        return own + ([] if self.base is None else self.base._ids(name, *kinds))

    def _few(self, name: str, ids: list[int]) -> list[int]:
        if len(ids) > MAX_NAMESAKES:
            raise self._bad(name, f"at most {MAX_NAMESAKES} types of one name", str(len(ids)))
        return ids

    # Sizes and spelling.

    def _resolve(self, type_id: int) -> _Record:
        """Return what stands behind typedefs, qualifiers and tags."""
        start = type_id
        for _ in range(MAX_DEPTH):
            record = self._record(type_id)
            if record.kind not in _TRANSPARENT:
                return record
            type_id = record.ref
        raise self._too_deep(start)

    def _size(self, type_id: int) -> int:
        """Return the size of a type [bytes]; what has none counts 0."""
        scale, start = 1, type_id
        for _ in range(MAX_DEPTH):
            record = self._record(type_id)
            if record.kind == ARRAY:
                scale, type_id = scale * record.tail[2], record.tail[0]
            elif record.kind in _TRANSPARENT:
                type_id = record.ref
            else:
                return scale * (POINTER_SIZE if record.kind == PTR else record.ref * (record.kind in _SIZED))
        raise self._too_deep(start)

    def _text(self, type_id: int, depth: int = 0) -> str:
        """Spell a type as C does without a name; depth counts the prototypes around it."""
        text = self._spelled.get((type_id, depth))
        if text is None:
            text = self._spelled[type_id, depth] = self._declare(type_id, depth)
        return text

    def _declare(self, type_id: int, depth: int) -> str:
        # C declares inside out: walk from the outermost type to the named one, wrapping the declarator.
        # Qualifiers wait for what they qualify; those of an array are its elements'.
        inner, qualifiers, start = "", "", type_id
        for _ in range(MAX_DEPTH):
            record = self._record(type_id)
            kind, type_id = record.kind, record.ref
            if kind == VOID or kind in _NAMED:
                return qualifiers + self._own_name(record) + _spaced(inner)
            if kind in _QUALIFIERS:
                qualifiers += _QUALIFIERS[kind] + " "
            elif kind == PTR:
                inner, qualifiers = "*" + qualifiers.rstrip() + (_spaced(inner) if qualifiers else inner), ""
            elif kind == ARRAY:
                inner, type_id = _grouped(inner) + f"[{record.tail[2]}]", record.tail[0]
            elif kind == FUNC_PROTO:
                inner, qualifiers = _grouped(inner) + self._parameters_text(record, depth + 1), ""
            elif kind != TYPE_TAG:
                raise self._bad(f"type {start}", "a type", f"kind {kind}")
            if len(inner) > 2 * _MAX_TEXT:
                break
        raise self._too_deep(start)

    def _own_name(self, record: _Record) -> str:
        if record.kind == VOID:
            return "void"
        name = self._name(record.name_at)
        if record.kind == INT:
            return _CLANG_NAMES.get(name, name)
        tag = "union " if record.kind == FWD and record.flag else _TAGS.get(record.kind, "")
        return tag + (name or "{...}")

    def _parameters_text(self, proto: _Record, depth: int) -> str:
        # Prototypes nested too deep or too long are cut: they could double with each level.
        if depth > _MAX_PROTO_DEPTH or proto.vlen > MAX_PARAMETERS:
            return "(...)"
        texts = [self._text(each, depth) if name_at or each else "..." for name_at, each in proto.items(2)]
        text = ", ".join(texts) or "void"
        return f"({text})" if len(text) <= _MAX_TEXT else "(...)"

    # Structs, functions, enums.

    def _layout(self, record: _Record) -> StructLayout:
        name, kind = self._name(record.name_at), _TAGS[record.kind].strip()
        members = tuple(self._members(record, f"{kind} {name}"))
        return StructLayout(where=self.where, kind=kind, name=name, size=record.ref, members=members)

    def _members(self, record: _Record, place: str) -> Iterator[Member]:
        """Yield the members, those of anonymous members in their place."""
        n_seen, pending = 0, [(record, _Field(0, 0, 0, 0))]
        while pending:
            nested, at = pending.pop()
            if nested.kind not in (STRUCT, UNION) or self._name(at.name_at):
                member = self._member(nested, at, record.ref * 8, place)
                if member.name:  # others are unnamed bitfields: padding
                    yield member
                continue
            n_seen += nested.vlen
            if n_seen > MAX_MEMBERS:
                raise self._bad(place, f"at most {MAX_MEMBERS} members", "more")
            pending += [(self._resolve(f.type_id), f) for f in _fields(nested, at.start)][::-1]

    def _member(self, resolved: _Record, at: _Field, limit: int, place: str) -> Member:
        name, size = self._name(at.name_at), self._size(at.type_id)
        start, width = at.start, at.width
        if resolved.kind == INT and not width:  # an integer may be a bitfield of its own accord
            encoding = resolved.tail[0]
            start += encoding >> 16 & 0xFF
            width = encoding & 0xFF if start % 8 or encoding & 0xFF != size * 8 else 0
        if (start % 8 and not width) or start + (width or size * 8) > limit:
            got = f"bit {start}, {width or size * 8} bits"
            raise self._bad(f"{place}, member {name!r}", f"whole bytes or bitfields within {limit} bits", got)
        return Member(
            name=name,
            offset=start // 8,
            bit_offset=start % 8,
            bit_size=width,
            size=size,
            type_name=self._text(at.type_id),
        )

    def _function(self, name: str, type_id: int) -> FunctionType:
        record = self._record(type_id)
        if record.kind != FUNC_PROTO or record.vlen > MAX_PARAMETERS:
            got = f"kind {record.kind} with {record.vlen} items"
            raise self._bad(f"function {name}", f"a prototype of at most {MAX_PARAMETERS} parameters", got)
        items = list(record.items(2))
        variadic = bool(items) and items[-1] == (0, 0)
        parameters = tuple(
            Parameter(name=self._name(name_at), type_name=self._text(each), size=self._size(each))
            for name_at, each in items[: len(items) - variadic]
        )
        return FunctionType(name=name, returns=self._text(record.ref), parameters=parameters, variadic=variadic)

    @cached_property
    def _enumerators(self) -> tuple[I64Array, I64Array]:
        """Every constant's name offset and its enum's id, own enums only: both int64[k]."""
        names, owners = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
        for kind in (ENUM, ENUM64):
            index, _ = self._group((kind,))
            starts = self._starts[index].astype(np.int64)
            counts = (self.words[starts + 1] & 0xFFFFFF).astype(np.int64)
            nth = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
            at = np.repeat(starts + _RECORD_WORDS, counts) + nth * _TRAILERS[kind][1]
            names.append(self.words[at].astype(np.int64))
            owners.append(np.repeat(index + self._first_id, counts))
        return np.concatenate(names), np.concatenate(owners)

    def _constants(self, record: _Record) -> dict[str, int]:
        wide = record.kind == ENUM64
        sign = 1 << (63 if wide else 31)
        constants = {}
        for name_at, low, *high in record.items(3 if wide else 2):
            value = low | high[0] << 32 if wide else low
            constants[self._name(name_at)] = (value ^ sign) - sign if record.flag else value
        return constants


def _section(body: U8Array, place: str, at: int, size: int, where: str, *, aligned: bool = False) -> U8Array:
    if at + size > len(body) or size > MAX_SECTION_SIZE:
        limit = min(len(body), MAX_SECTION_SIZE)
        raise TypesError(where, place, expected=f"an end within {limit} bytes", got=f"{at} + {size} bytes")
    if aligned and (at | size) % WORD_SIZE:
        raise TypesError(where, place, expected="whole words", got=f"{at} + {size} bytes")
    return body[at : at + size]


def _known_trailers() -> I32Array:
    trailers = np.full((2, 0x80), [[_NO_LENGTH], [0]], np.int32)
    for kind, sizes in _TRAILERS.items():
        trailers[:, kind] = sizes
    return trailers


def _add_layouts(trailers: I32Array, layouts: U8Array) -> None:
    """Take the lengths of kinds not known here; each layout: info_size, item_size [bytes], 2 of flags."""
    for kind, sizes in enumerate(layouts.reshape(-1, 4)[:0x80, :2].tolist()):
        if kind > ENUM64 and not any(size % WORD_SIZE for size in sizes):
            trailers[:, kind] = [size // WORD_SIZE for size in sizes]


def _chain(follow: I32Array, end: int) -> I32Array:
    """Follow the links from 0 to the end, which links to itself; every other one leads upwards."""
    links, at, passed = follow.data, 0, []
    while at < end:
        passed.append(at)
        at = links[at]
    return np.array(passed, np.int32)


def _fields(record: _Record, start: int) -> Iterator[_Field]:
    for name_at, type_id, place in record.items(3):
        if record.flag:
            yield _Field(name_at, type_id, start + (place & 0xFFFFFF), place >> 24)
        else:
            yield _Field(name_at, type_id, start + place, 0)


def _grouped(declarator: str) -> str:
    return f"({declarator})" if declarator.startswith("*") else declarator


def _spaced(declarator: str) -> str:
    return declarator if not declarator or declarator[0] == "[" else " " + declarator
