# SPDX-License-Identifier: GPL-2.0-or-later
"""From a path that a user names to blobs that may be kernels and modules.

A plain file is opened with `open_content`. What a directory holds is listed by `list_inputs`, what
a tar archive or Debian package holds by `iter_members`; both give `InputRef`, which `open_ref`
opens, in another process if need be. Contents decide what something is; names only decide what in a
directory or archive is not worth opening, which of two relocatable objects is a module, and which
files are copies of one kernel. Nothing is ever written to disk but unnamed temporary files.
"""

from __future__ import annotations

import mmap
import os
import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path, PurePosixPath

import numpy as np

from ..errors import ImageError, InputError
from ..units import U8Array
from .compression import (
    CODECS,
    DEFAULT_LIMIT,
    HEAD_SIZE,
    Format,
    Sink,
    describe,
    head_of,
    inflate_chunks,
    peek,
    refuse,
    sniff,
    unwrap,
)

__all__ = [
    "DEFAULT_LIMIT",
    "TOTAL_LIMIT",
    "Content",
    "Format",
    "InputRef",
    "Role",
    "describe",
    "iter_members",
    "list_inputs",
    "map_file",
    "open_content",
    "open_ref",
    "unwrap",
]

TOTAL_LIMIT = 64 << 30
"""How much of one archive is read, decompressed [bytes]."""

MAX_FILES = 1_000_000
MAX_DIRECTORIES_DEEP = 40
_MAX_ARCHIVES_DEEP = 2
_MAX_AR_MEMBERS = 64
_MAX_PAX = 1 << 20
_TAR_BLOCK = 512
_PLAIN_STEP = 16 << 20
_KERNEL_HALF = 1 << 63
_EM_RISCV = 243
_ET_REL, _ET_EXEC, _ET_DYN = 1, 2, 3

_PACKED = r"(?:\.(?:gz|xz|zst|bz2|lz4|lzma|lzo))?"
_MODULE_NAME = re.compile(rf".+\.ko{_PACKED}")
_PACKED_MODULE = re.compile(r".+\.ko\.(?:gz|xz|zst)")
_KERNEL_NAME = re.compile(r"(?:vmlinu[xz]|Image)(?:[-.].*)?")
_BUILD_OF = re.compile(rf"(?:vmlinu[xz]|Image)((?:-.*?)?)(?:\.unstripped|\.o|\.efi)?{_PACKED}")
_UNWANTED_SUFFIXES = frozenset((
    ".a", ".ali", ".c", ".cmd", ".cocci", ".d", ".dtb", ".dtbo", ".dts", ".dtsi", ".gcda", ".gcno",
    ".h", ".html", ".i", ".json", ".lds", ".lst", ".md", ".mod", ".o", ".order", ".patch", ".pl", ".py",
    ".pyc", ".rmeta", ".rs", ".rst", ".s", ".S", ".sh", ".so", ".su", ".svg", ".symvers", ".tc", ".tmp",
    ".txt", ".yaml",
))  # fmt: skip

_NODES = {
    stat.S_IFDIR: "a directory",
    stat.S_IFIFO: "a FIFO",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a character device",
    stat.S_IFBLK: "a block device",
}


class Role(StrEnum):
    """What a file is to an audit."""

    KERNEL = "kernel"
    BOOT = "boot"
    MODULE = "module"
    OBJECT = "object"
    CONFIG = "config"
    SYSTEM_MAP = "system-map"
    TAR = "modules-tar"
    OTHER = "other"


_ROLES = {
    "boot-image": Role.BOOT,
    "zboot": Role.BOOT,
    "tar": Role.TAR,
    "deb": Role.TAR,
    "config": Role.CONFIG,
    "system-map": Role.SYSTEM_MAP,
}
_IMAGES = (Role.KERNEL, Role.BOOT, Role.MODULE, Role.OBJECT)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Content:
    """One blob without its wrappers.

    Args:
        path: as reports print it: the file as named, ``"DIR/fs/ext4.ko"``, ``"m.tar.xz:fs/ext4.ko.xz"``.
        member: the name inside the directory or archive, None for a file that was named itself.
        format: what it is.
        wrappers: what was around it, outermost first (``("zboot", "gzip")``).
        data: uint8[n], read-only.
    """

    path: str
    member: str | None = None
    format: Format
    wrappers: tuple[str, ...] = ()
    data: U8Array


@dataclass(frozen=True, slots=True, kw_only=True)
class InputRef:
    """One input that has been looked at but not opened; can be sent to another process.

    Args:
        path: as reports print it.
        member: the name inside the directory or archive, None for a file that was named itself.
        role: what its first bytes say it is.
        size: of the file or member, as stored [bytes].
        file: the file to read, None for an archive's member.
        raw: an archive's member as stored, uint8[size], None for a file.
        duplicate_of: the path of another listed input that is the same kernel, or None.
        problem: why it cannot be used although its name says that it should be, or empty.
    """

    path: str
    member: str | None = None
    role: Role
    size: int = 0
    file: str | None = None
    raw: U8Array | None = field(default=None, repr=False, compare=False)
    duplicate_of: str | None = None
    problem: str = ""


# --- plain files


def map_file(path: str) -> U8Array:
    """Return a regular file's bytes, mapped and read-only: uint8[n].

    Raises:
        InputError: it cannot be opened, or is a directory, FIFO, socket or device.
    """
    try:
        _must_be_regular(path, Path(path).stat().st_mode)
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            status = os.fstat(handle)
            _must_be_regular(path, status.st_mode)
            if not status.st_size:
                return np.empty(0, np.uint8)
            return np.frombuffer(mmap.mmap(handle, 0, access=mmap.ACCESS_READ), np.uint8)
        finally:
            os.close(handle)
    except OSError as exc:
        raise InputError(path, got=exc.strerror or str(exc)) from exc
    except ValueError as exc:
        raise InputError(path, got=str(exc)) from exc


def _must_be_regular(path: str, mode: int) -> None:
    if not stat.S_ISREG(mode):
        raise InputError(path, expected="a regular file", got=_NODES.get(stat.S_IFMT(mode), "something else"))


def open_content(path: str | os.PathLike[str], *, limit: int = DEFAULT_LIMIT) -> Content:
    """Open one plain file and take off every layer of compression.

    Args:
        path: as the user named it.
        limit: how much may come out of the compression [bytes].
    Raises:
        InputError: not to be opened, not a regular file, or an rpm package.
        ImageError: empty, truncated, corrupt, too large, or wrapped too often.
    """
    name = os.fspath(path)
    return _content(map_file(name), name, None, limit)


def open_ref(ref: InputRef, *, limit: int = DEFAULT_LIMIT) -> Content:
    """Open what `list_inputs` or `iter_members` gave, as `open_content` does.

    Raises:
        InputError, ImageError: as `open_content`, and where `ref.problem` says so.
    """
    if ref.problem:
        raise InputError(ref.path, got=ref.problem)
    if ref.role is Role.TAR:
        raise InputError(ref.path, expected="one kernel or module", got="an archive")
    if ref.raw is not None:
        return _content(ref.raw, ref.path, ref.member, limit)
    try:
        return _content(map_file(ref.file or ref.path), ref.path, ref.member, limit)
    except InputError as exc:
        raise exc.at(ref.path) from exc


def _content(raw: U8Array, path: str, member: str | None, limit: int) -> Content:
    data, wrappers, kind = unwrap(raw, path, limit=limit)
    return Content(path=path, member=member, format=kind, wrappers=wrappers, data=data)


# --- what a file is


def _classify(head: bytes, name: str) -> Role:
    """Return the role that the first bytes of an unwrapped file give it; `name` is its last component."""
    kind = sniff(head)
    return _elf_role(head, name) if kind == "elf" else _ROLES.get(kind, Role.OTHER)


def _elf_role(head: bytes, name: str) -> Role:
    """Tell kernels by where they start: programs and vdsos of a build do not in the upper half."""
    kind, machine = (int.from_bytes(head[at : at + 2], "little") for at in (16, 18))
    if _MODULE_NAME.fullmatch(name):
        return Role.MODULE
    if kind == _ET_REL:
        return Role.OBJECT
    in_kernel_half = machine == _EM_RISCV and int.from_bytes(head[24:32], "little") >= _KERNEL_HALF
    if kind in (_ET_EXEC, _ET_DYN) and (in_kernel_half or _KERNEL_NAME.fullmatch(name)):
        return Role.KERNEL
    return Role.OTHER


def _is_unwanted(name: str) -> bool:
    """Tell whether a file in a directory or archive is not worth opening, by its last component."""
    if name.startswith("."):
        return name != ".config"
    return PurePosixPath(name).suffix in _UNWANTED_SUFFIXES and name != "vmlinux.o"


def _looks_meant(name: str) -> bool:
    """Tell whether a name says kernel or module, so that leaving the file out must be reported."""
    return bool(_KERNEL_NAME.fullmatch(name) or _MODULE_NAME.fullmatch(name))


def _is_wanted(role: Role, name: str) -> bool:
    """Tell whether a directory's or archive's file of that role is listed."""
    if role is Role.OBJECT:
        return name.startswith("vmlinux.o")
    if role is Role.CONFIG:
        return name == ".config" or name.startswith("config")
    return role is not Role.OTHER


def _judge(data: U8Array, path: str, name: str) -> tuple[Role, str] | None:
    """Return the role and problem of a directory's or archive's file, None where it is left out."""
    try:
        refuse(data, path)
        head = peek(data, path)
    except InputError as exc:
        is_told = _looks_meant(name) or not isinstance(exc, ImageError)
        return (Role.OTHER, str(exc.at(""))) if is_told else None
    role = _classify(head, name)
    if _is_wanted(role, name):
        return role, ""
    if role is not Role.OTHER or not _looks_meant(name) or sniff(head) in ("text", "script", "ar", "elf"):
        return None
    return role, f"expected a kernel or module, got {describe(np.frombuffer(head, np.uint8))}"


# --- directories


def list_inputs(path: str | os.PathLike[str]) -> list[InputRef]:
    """List what a path holds: a file itself, of a directory what an audit can use, in order of name.

    Only as much of each file is read as tells what it is. Links inside a directory are not
    followed. Of several copies of one kernel, all but one have `duplicate_of`.

    Raises:
        InputError: a file cannot be read; a directory holds no kernel or module, or too many files.
        ImageError: a file is empty, or what is around it is corrupt from the start.
    """
    name = os.fspath(path)
    if not Path(name).is_dir():
        data = map_file(name)
        refuse(data, name)
        role = _classify(peek(data, name), PurePosixPath(name).name)
        return [InputRef(path=name, role=role, size=data.size, file=name)]
    refs = [ref for ref in _files(name) if ref is not None]
    if not any(ref.role in (*_IMAGES, Role.TAR) for ref in refs):
        raise _nothing(name, "directory", refs)
    return _mark_duplicates(refs)


def _nothing(path: str, what: str, refs: list[InputRef]) -> InputError:
    """Return the error for a container without images, with the first reason why."""
    reasons = [f"{ref.member}: {ref.problem}" for ref in refs if ref.problem][:1]
    return InputError(path, got="; ".join([f"no kernel image or module in this {what}", *reasons]))


def _files(root: str) -> Iterator[InputRef | None]:
    """Yield what each file below a directory is, None for one that is left out."""
    pending = [("", 0)]
    count = 0
    while pending:
        below, depth = pending.pop()
        try:
            with os.scandir(Path(root, below)) as found:
                entries = sorted(found, key=lambda entry: entry.name)
        except OSError as exc:
            yield _trouble(root, below.rstrip("/"), exc.strerror or str(exc))
            continue
        count += len(entries)
        if count > MAX_FILES:
            raise InputError(root, expected=f"at most {MAX_FILES} files", got="more")
        inner = [e for e in entries if not e.name.startswith(".") and e.is_dir(follow_symlinks=False)]
        if inner and depth == MAX_DIRECTORIES_DEEP:
            yield _trouble(root, below + inner[0].name, "too many directories deep")
        else:
            pending += [(f"{below}{entry.name}/", depth + 1) for entry in reversed(inner)]
        yield from (_file(root, below, entry) for entry in entries if not entry.is_dir(follow_symlinks=False))


def _file(root: str, below: str, entry: os.DirEntry[str]) -> InputRef | None:
    if _is_unwanted(entry.name):
        return None
    member = below + entry.name
    if not entry.is_file(follow_symlinks=False):
        return _special(root, member, entry)
    if _PACKED_MODULE.fullmatch(entry.name):
        # one of thousands: what it really is shows when it is read, and starting each twice would cost as much
        size = entry.stat(follow_symlinks=False).st_size
        return InputRef(path=_inside(root, member), member=member, role=Role.MODULE, size=size, file=entry.path)
    try:
        data = map_file(entry.path)
    except InputError as exc:
        return _trouble(root, member, str(exc.at("")))
    judged = _judge(data, entry.path, entry.name)
    if judged is None:
        return None
    role, problem = judged
    return InputRef(
        path=_inside(root, member), member=member, role=role, size=data.size, file=entry.path, problem=problem
    )


def _special(root: str, member: str, entry: os.DirEntry[str]) -> InputRef | None:
    """Return what to say about a link that leads out of the directory, a FIFO or a device."""
    if not _looks_meant(entry.name):
        return None
    if not entry.is_symlink():
        return _trouble(root, member, "not a regular file")
    try:
        target = Path(entry.path).resolve(strict=True)
    except (OSError, RuntimeError):
        return _trouble(root, member, "a symbolic link to nothing")
    if target.is_relative_to(Path(root).resolve()):
        return None
    return _trouble(root, member, "a symbolic link out of the directory, which is not followed")


def _trouble(root: str, member: str, problem: str) -> InputRef:
    return InputRef(path=_inside(root, member), member=member, role=Role.OTHER, problem=problem)


def _inside(root: str, member: str) -> str:
    return f"{root.rstrip('/')}/{member}"


def _mark_duplicates(refs: list[InputRef]) -> list[InputRef]:
    """Mark all but one of the kernels, boot images and vmlinux.o that come from the same build."""
    order = (Role.KERNEL, Role.BOOT, Role.OBJECT)
    images = [ref for ref in refs if ref.role in order]
    ranked = sorted(images, key=lambda ref: (order.index(ref.role), len(ref.path), ref.path))
    first_of: dict[str, str] = {}
    for position, ref in enumerate(ranked):
        same = next((other for other in ranked[:position] if _is_same_build(other, ref)), None)
        if same is not None:
            first_of[ref.path] = first_of.get(same.path, same.path)
    return [replace(ref, duplicate_of=first_of.get(ref.path)) for ref in refs]


def _is_same_build(first: InputRef, ref: InputRef) -> bool:
    """Tell by their names whether two images are one kernel; the first is ranked before.

    ``vmlinux`` and ``arch/riscv/boot/Image.gz`` are, as are ``debug/vmlinux-7.2`` and ``boot/vmlinuz-7.2``.
    """
    one, other = PurePosixPath(first.member or ""), PurePosixPath(ref.member or "")
    builds = [_BUILD_OF.fullmatch(path.name) for path in (one, other)]
    if builds[0] is None or builds[1] is None or builds[0][1] != builds[1][1]:
        return False
    if first.role is ref.role:
        return one.parent == other.parent
    return bool(builds[0][1]) or other.is_relative_to(one.parent)


# --- archives


def iter_members(ref: InputRef, *, limit: int = DEFAULT_LIMIT, total: int = TOTAL_LIMIT) -> Iterator[InputRef]:
    """Yield the kernels, boot images, modules, configurations and System.maps of an archive.

    The archive (tar, compressed or not, or a Debian package) is read once from start to end. Members
    come as they are stored: compressed ones are for `open_ref` to decompress, in parallel if wanted.
    A tar archive inside it is entered.

    Args:
        ref: of role ``"modules-tar"``.
        limit: how large a member may be [bytes]; a larger one is yielded with a problem.
        total: how much may be read, decompressed [bytes].
    Raises:
        InputError: it cannot be read, or holds no kernel or module.
        ImageError: it is truncated, corrupt, or larger than `total`.
    """
    data = ref.raw
    if data is None:
        data = map_file(ref.file or ref.path)
    problems: list[InputRef] = []
    has_image = False
    for member in _members(ref, data, limit, total, 0):
        has_image |= member.role in _IMAGES
        if member.problem and not problems:
            problems.append(member)
        yield member
    if not has_image:
        raise _nothing(ref.path, "archive", problems)


def _members(ref: InputRef, data: U8Array, limit: int, total: int, depth: int) -> Iterator[InputRef]:
    tar = _Tar(_tar_bytes(data, ref.path), ref.path, total)
    while (entry := tar.next()) is not None:
        base = PurePosixPath(entry.name).name
        if _is_unwanted(base):
            continue
        if (found := _member(ref, tar, entry, base, limit)) is None:
            continue
        if found.role is not Role.TAR:
            yield found
        elif depth < _MAX_ARCHIVES_DEEP and found.raw is not None:
            yield from _members(found, found.raw, limit, total, depth + 1)
        else:
            yield replace(found, problem="too many archives inside one another")


def _member(ref: InputRef, tar: _Tar, entry: _Entry, base: str, limit: int) -> InputRef | None:
    """Return one member, read whole only where its first bytes say that it is wanted."""
    is_nested = ref.raw is not None
    found = InputRef(
        path=f"{ref.path}:{entry.name}",
        member=f"{ref.member}:{entry.name}" if is_nested else entry.name,
        role=Role.OTHER,
        size=entry.size,
    )
    head = tar.read(HEAD_SIZE)
    judged: tuple[Role, str] | None = (Role.OTHER, "")
    if (is_packed := sniff(head) in CODECS) is False:
        judged = _judge(np.frombuffer(head, np.uint8), found.path, base)
    if judged is None:
        return None
    if judged[1]:
        return replace(found, problem=judged[1])
    if entry.size > limit:
        return replace(found, problem=f"expected at most {limit} bytes, got {entry.size}")
    raw = tar.rest(head, found.path, limit)
    if is_packed:
        judged = _judge(raw, found.path, base)
    return judged and replace(found, role=judged[0], problem=judged[1], raw=raw)


def _tar_bytes(data: U8Array, path: str) -> Iterator[bytes | memoryview]:
    """Yield the bytes of the tar archive in a file: itself, inside a package, inside compression."""
    refuse(data, path)
    kind = sniff(head_of(data))
    if kind == "deb":
        data = _deb_payload(data, path)
        kind = sniff(head_of(data))
    if kind in CODECS:
        yield from inflate_chunks(kind, data, path)
        return
    view = data.data
    for at in range(0, len(view), _PLAIN_STEP):
        yield view[at : at + _PLAIN_STEP]


def _deb_payload(data: U8Array, path: str) -> U8Array:
    """Return the data.tar member of a Debian package: uint8[n], a view.

    Source: deb(5), ar(5): members of a 60-byte header, decimal size at 48, padded to even offsets.
    """
    at = 8
    for _ in range(_MAX_AR_MEMBERS):
        header = data[at : at + 60].tobytes()
        size = header[48:58].strip()
        if not header.endswith(b"`\n") or not size.isdigit():
            break
        start, end = at + 60, at + 60 + int(size)
        if header.startswith(b"data.tar"):
            if end > data.size:
                got = f"truncated after {data.size} bytes"
                raise ImageError(path, "member data.tar", expected=f"{int(size)} bytes", got=got)
            return data[start:end]
        at = end + end % 2
    raise ImageError(path, f"ar header at offset {at:#x}", expected="a member data.tar", got="none")


@dataclass(frozen=True, slots=True)
class _Entry:
    """A regular file in a tar archive; `name` is a label that is safe to print, never a path to open."""

    name: str
    size: int


class _Tar:
    """Reads a tar archive forward, with memory for one member at most.

    The standard library's reader takes a damaged header for the end of the archive and extended
    headers of any size; an audit must not end early unnoticed.

    Source: POSIX.1-2017 pax, "ustar Interchange Format" and "pax Interchange Format"; GNU tar manual,
    "Basic Tar Format" (typeflag L, base-256 numbers).
    """

    def __init__(self, chunks: Iterator[bytes | memoryview], path: str, total: int) -> None:
        self._chunks, self._path, self._total = chunks, path, total
        self._chunk: bytes | memoryview = b""
        self._at = 0
        self._left = 0
        self._padding = 0

    def next(self) -> _Entry | None:
        """Return the next regular file, what is left of the one before skipped; None at the end."""
        long_name: bytes | None = None
        pax: dict[bytes, bytes] = {}
        while True:
            self._finish()
            header = self._read_exactly(_TAR_BLOCK)
            if not any(header):
                self._drain()
                return None
            kind, size = header[156:157], self._header_size(header)
            size = 0 if kind in b"123456" else size
            self._left, self._padding = size, -size % _TAR_BLOCK
            if kind == b"L":
                long_name = self._meta(size).split(b"\0")[0]
            elif kind == b"x":
                pax = self._pax(self._meta(size))
            elif kind in b"0\x007" and not _tar_name(header).endswith(b"/"):
                return self._entry(header, size, long_name, pax)
            elif kind == b"S":
                raise self._error("a plain member", "a sparse one")
            elif kind not in b"Kg":
                long_name, pax = None, {}

    def _entry(self, header: bytes, size: int, long_name: bytes | None, pax: dict[bytes, bytes]) -> _Entry:
        if any(key.startswith(b"GNU.sparse.") for key in pax):
            raise self._error("a plain member", "a sparse one")
        if b"size" in pax:
            text = pax[b"size"]
            if not text.isdigit() or len(text) > 19:
                raise self._error("a size", repr(text))
            size = int(text)
        self._left, self._padding = size, -size % _TAR_BLOCK
        name = pax.get(b"path") or long_name or _tar_name(header)
        return _Entry(_label(name), size)

    def _header_size(self, header: bytes) -> int:
        """Return the size field [bytes] of a header whose checksum is right."""
        stored = header[148:156].strip(b" \0")
        if not re.fullmatch(rb"[0-7]+", stored) or int(stored, 8) != sum(header) - sum(header[148:156]) + 256:
            raise self._error("a tar header", f"bytes {header[:8].hex(' ')} ...")
        field_ = header[124:136]
        if field_[0] == 0x80:
            return int.from_bytes(field_[1:], "big")
        digits = field_.strip(b" \0")
        if not re.fullmatch(rb"[0-7]*", digits):
            raise self._error("a size", repr(digits))
        return int(digits or b"0", 8)

    def _meta(self, size: int) -> bytes:
        """Return the body of a header that describes the next one."""
        if size > _MAX_PAX:
            raise self._error(f"at most {_MAX_PAX} bytes of header", str(size))
        return self._read_exactly(size)

    def _pax(self, body: bytes) -> dict[bytes, bytes]:
        """Return the records ``"<length> <key>=<value>\\n"`` of an extended header."""
        found: dict[bytes, bytes] = {}
        at = 0
        while at < len(body) and body[at]:
            digits, space, _ = body[at : at + 12].partition(b" ")
            length = int(digits) if space and digits.isdigit() else 0
            key, equals, value = body[at + len(digits) + 1 : at + length].partition(b"=")
            if not equals or not value.endswith(b"\n") or at + length > len(body):
                raise self._error("a pax record", repr(body[at : at + 16]))
            found[key] = value[:-1]
            at += length
        return found

    def _finish(self) -> None:
        """Skip to the next header."""
        wanted = self._left + self._padding
        self._left = self._padding = 0
        if sum(map(len, self._pieces(wanted))) < wanted:
            raise self._truncated()

    def _drain(self) -> None:
        """Read what follows the archive, so that the checksum of what it is compressed with is looked at."""
        while any(map(len, self._pieces(_PLAIN_STEP))):
            pass

    def _read_exactly(self, size: int) -> bytes:
        """Return `size` bytes; ImageError where the archive ends before."""
        found = b"".join(self._pieces(size))
        if len(found) < size:
            raise self._truncated()
        self._left = max(self._left - size, 0)
        return found

    def read(self, size: int) -> bytes:
        """Return the next bytes of the member."""
        return self._read_exactly(min(size, self._left))

    def rest(self, head: bytes, path: str, limit: int) -> U8Array:
        """Return the whole member whose first bytes have been read: uint8[n], read-only."""
        sink = Sink(path, "", limit)
        sink.add(head)
        wanted = self._left
        for piece in self._pieces(wanted):
            wanted -= len(piece)
            sink.add(bytes(piece))
        if wanted:
            raise self._truncated()
        self._left = 0
        return sink.take()

    def _pieces(self, size: int) -> Iterator[memoryview]:
        """Yield the next bytes, fewer where the archive ends; ImageError beyond the limit."""
        while size:
            while not len(self._chunk):
                found = next(self._chunks, None)
                if found is None:
                    return
                self._chunk = found
            piece = memoryview(self._chunk)[:size]
            self._chunk = memoryview(self._chunk)[len(piece) :]
            self._at += len(piece)
            size -= len(piece)
            if self._at > self._total:
                raise self._error(f"at most {self._total} bytes", "more")
            yield piece

    def _error(self, expected: str, got: str) -> ImageError:
        return ImageError(self._path, f"tar offset {self._at:#x}", expected=expected, got=got)

    def _truncated(self) -> ImageError:
        return self._error("a complete archive", f"truncated after {self._at} bytes")


def _tar_name(header: bytes) -> bytes:
    """Return the name in a header, with its prefix where the header is POSIX's."""
    name, prefix = header[:100].split(b"\0")[0], header[345:500].split(b"\0")[0]
    return prefix + b"/" + name if prefix and header[257:263] == b"ustar\0" else name


def _label(name: bytes) -> str:
    """Return a member's name as one line of printable text."""
    text = name.decode("utf-8", "backslashreplace").removeprefix("./")
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
