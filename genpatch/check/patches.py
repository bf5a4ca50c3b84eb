# SPDX-License-Identifier: GPL-2.0-or-later
"""Patches read from what people send: mails, mailboxes, git show, bare diffs. The input is not trusted."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from email import message_from_bytes
from email.errors import HeaderParseError
from email.header import decode_header, make_header
from email.message import Message
from email.utils import parseaddr
from pathlib import PurePosixPath

from .errors import NoDiffError, PatchError
from .model import FileDiff, Hunk, Line, MessageLine, Patch

__all__ = ["MOST_BYTES", "address_of", "is_cover", "read_message", "read_patches"]

MOST_BYTES = 4 << 20
MOST_PATCHES = 1000
MOST_FILES = 10_000
MOST_HUNKS = 50_000
_LONGEST_PATH = 1000
_LONGEST_NAME = 255
_LONGEST_LINE = 10_000
_LONGEST_HEADER = 4000
_LONGEST_HEAD = 1 << 16
_FROM_LINE = re.compile(rb"^From \S+ .*\d{4}\r?$")
_COMMIT = re.compile(r"commit [0-9a-f]{40,64}(?: \(.*\))?$")
_HEADER = re.compile(rb"[A-Za-z][A-Za-z0-9-]*:[ \t]")
_DIFF = re.compile(r"(?:diff --(?:git|cc|combined) \S|--- \S)")
_HUNK = re.compile(r"@@ -(\d{1,9})(?:,(\d{1,9}))? \+(\d{1,9})(?:,(\d{1,9}))? @@")
_MODE = re.compile(r"(?:new file mode|deleted file mode|old mode|new mode|index \S+) (\d{6})$")
_BLOBS = re.compile(r"index ([0-9a-f]{7,64})\.\.[0-9a-f]{7,64}(?: \d{6})?$")
_TAG = re.compile(r"(?:\[[^\]]*\]\s*)+")


def read_patches(data: bytes, name: str) -> list[Patch]:
    """Return the patches of an input, in order; a cover letter is left out.

    Raises:
        NoDiffError: there is none.
        PatchError: there is one that is refused.
    """
    if len(data) > MOST_BYTES:
        raise PatchError(name, 0, f"more than {MOST_BYTES:,} bytes")
    if b"\0" in data:
        raise PatchError(name, data[: data.index(b"\0")].count(b"\n") + 1, "a NUL, expected text")
    found = [_kept(patch, first, part) for first, part in _parts(data, name) for patch in _read(part, name, first)]
    if not found:
        raise NoDiffError(name, 0, "no diff in it")
    return found


def _kept(patch: Patch, first: int, part: bytes) -> Patch:
    return patch if patch.raw else replace(patch, first=first, raw=part)


def is_cover(data: bytes) -> bool:
    """Tell whether a mail is a series' cover letter: number 0 of several, without a diff."""
    head = data.partition(b"\n")[2] if _FROM_LINE.match(data.split(b"\n", 1)[0]) else data
    subject = _decoded(message_from_bytes(head[:_LONGEST_HEAD]).get("Subject", ""))
    is_numbered = re.match(r"\[[^\]]*\b0+/\d+\]", subject) is not None
    return is_numbered and re.search(rb"^(?:diff --git \S|--- \S)", data, re.M) is None


def read_message(data: bytes, name: str, comment: str = "#") -> Patch:
    """Return a commit message as an editor leaves it, as a patch that changes nothing.

    Args:
        data: the file.
        name: of it.
        comment: what lines start with that git leaves out; if empty, none of them is left out.
    Raises:
        PatchError: it is too large or not UTF-8.
    """
    if len(data) > MOST_BYTES:
        raise PatchError(name, 0, f"more than {MOST_BYTES:,} bytes")
    lines: list[MessageLine] = []
    for at, line in enumerate(_utf8(data, name, 1).split("\n"), 1):
        if re.match(rf"{re.escape(comment or '#')} -+ >8 -+", line):
            break
        if not comment or not line.startswith(comment):
            lines.append(MessageLine(line.rstrip("\r"), at))
    return _with_message(name, lines, "", (), 1)


def _parts(data: bytes, name: str) -> list[tuple[int, bytes]]:
    """Return the messages of a mailbox with their first lines; anything else is one part."""
    lines = data.split(b"\n")
    starts = [0]
    if _FROM_LINE.match(lines[0]):
        starts += [at for at in range(1, len(lines)) if not lines[at - 1].strip() and _FROM_LINE.match(lines[at])]
    if len(starts) > MOST_PATCHES:
        raise PatchError(name, 0, f"more than {MOST_PATCHES:,} messages")
    ends = [*starts[1:], len(lines)]
    return [(start + 1, b"\n".join(lines[start:end])) for start, end in zip(starts, ends, strict=True)]


def _read(data: bytes, name: str, first: int) -> Iterator[Patch]:
    head = data.split(b"\n", 1)[0]
    if _FROM_LINE.match(head):
        data, first, is_mail = data.partition(b"\n")[2], first + 1, True
    else:
        is_mail = _HEADER.match(data) is not None
    if is_mail:
        patch = _read_mail(data, name, first)
        if patch.files:
            yield patch
        return
    lines = _utf8(data, name, first).split("\n")
    starts = _commits(lines)
    for start, end in zip(starts, [*starts[1:], len(lines)], strict=True):
        raw = "\n".join(lines[start:end]).encode()
        yield replace(_read_shown(lines[start:end], name, first + start), first=first + start, raw=raw)


def _commits(lines: Sequence[str]) -> list[int]:
    """Return where the commits of ``git log -p`` start; something else has one part."""
    found = [at for at, line in enumerate(lines) if line.startswith("commit ") and _COMMIT.match(line)]
    return found if found and not any(lines[: found[0]]) else [0]


def _read_shown(lines: Sequence[str], name: str, first: int) -> Patch:
    """Return what ``git show`` prints, or a bare diff."""
    start = _diff_start(lines)
    files = _files(lines, start, name, first)
    author = ""
    message: list[MessageLine] = []
    for at, line in enumerate(lines[:start]):
        if line.startswith("Author:"):
            author = line.removeprefix("Author:").strip()
        if line.startswith("    ") or (message and not line):
            message.append(MessageLine(line[4:], first + at))
    if not _COMMIT.match(lines[0]):
        if not files:
            raise NoDiffError(name, 0, "no diff in it")
        return Patch(name, None, "", (), files, first)
    return _with_message(name, message, author, files, first)


def _with_message(
    name: str, lines: Sequence[MessageLine], author: str, files: tuple[FileDiff, ...], first: int
) -> Patch:
    _bounded(lines, name)
    text = [at for at, line in enumerate(lines) if line.text.strip()]
    subject = lines[text[0]] if text else MessageLine("", first)
    body = lines[text[1] : text[-1] + 1] if len(text) > 1 else ()
    return Patch(name, subject, author, tuple(body), files, subject.at)


def _bounded(lines: Sequence[MessageLine], name: str) -> None:
    """Refuse a message with a line that no one wrote by hand."""
    for line in lines:
        if len(line.text) > _LONGEST_LINE:
            raise PatchError(name, line.at, f"a message with a line of more than {_LONGEST_LINE:,} characters")


def _read_mail(data: bytes, name: str, first: int) -> Patch:
    try:
        mail = message_from_bytes(data)
        part, payload = _text_part(mail, name, first)
    except RecursionError:
        raise PatchError(name, first, "a mail of parts within parts within parts") from None
    charset = (part.get_content_charset() or "utf-8").lower()
    head = re.search(rb"\n\r?\n", data)
    body_at = first + (data[: head.end()].count(b"\n") if head is not None else 0)
    try:
        text = payload.decode("utf-8" if charset in ("us-ascii", "ascii") else charset)
    except (LookupError, UnicodeDecodeError):
        text = _utf8(payload, name, body_at)
    lines = text.replace("\r\n", "\n").split("\n")
    start = _diff_start(lines)
    files = _files(lines, start, name, body_at)
    end = next((at for at, line in enumerate(lines[:start]) if re.fullmatch(r"---\s*", line)), start)
    message = [MessageLine(line, body_at + at) for at, line in enumerate(lines[:end])]
    _bounded(message, name)
    author = _decoded(mail.get("From", ""))
    message = _stripped(message)
    if message and message[0].text.startswith("From: "):  # the author, where somebody else sent it
        author = message[0].text.removeprefix("From: ").strip()
        message = _stripped(message[1:])
    subject_at = first + next(
        (at for at, line in enumerate(data.split(b"\n")) if line.lower().startswith(b"subject:")), 0
    )
    subject = _TAG.sub("", _decoded(mail.get("Subject", "")).strip(), count=1)
    return Patch(name, MessageLine(subject, subject_at), author, tuple(message), files, subject_at)


def _stripped(lines: list[MessageLine]) -> list[MessageLine]:
    """Return lines without the blank ones at both ends."""
    text = [at for at, line in enumerate(lines) if line.text.strip()]
    return lines[text[0] : text[-1] + 1] if text else []


def _text_part(mail: Message, name: str, first: int) -> tuple[Message, bytes]:
    """Return the part of a mail that holds the patch, decoded."""
    for count, part in enumerate(mail.walk()):
        if count > 50:
            raise PatchError(name, first, "a mail of more than 50 parts")
        if part.is_multipart() or part.get_content_maintype() != "text":
            continue
        payload = part.get_payload(decode=True)
        has_diff = isinstance(payload, bytes) and re.search(rb"^(?:diff --git|---) ", payload, re.M) is not None
        if isinstance(payload, bytes) and (has_diff or not mail.is_multipart()):
            return part, payload
    return mail, b""


def _decoded(header: object) -> str:
    text = re.sub(r"\r?\n[ \t]+", " ", str(header)[:_LONGEST_HEADER])
    try:
        return str(make_header(decode_header(text)))
    except (HeaderParseError, LookupError, UnicodeDecodeError, ValueError):
        return text


def _utf8(data: bytes, name: str, first: int) -> str:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise PatchError(name, first + data[: error.start].count(b"\n"), "not UTF-8") from None


def _diff_start(lines: Sequence[str]) -> int:
    return next((at for at, line in enumerate(lines) if _DIFF.match(line)), len(lines))


@dataclass
class _File:
    """A file of a diff, being read."""

    at: int
    old: str | None = None
    new: str | None = None
    blob: str = ""
    is_copy: bool = False
    hunks: list[list[str]] = field(default_factory=list)
    hunk_at: list[int] = field(default_factory=list)


def _files(lines: Sequence[str], start: int, name: str, first: int) -> tuple[FileDiff, ...]:
    """Return the files of a diff.

    Raises:
        PatchError: something in it is malformed or refused.
    """
    found: list[_File] = []
    is_git, at, hunks = False, start, 0
    while at < len(lines):
        line, where = lines[at], first + at
        if len(found) > MOST_FILES or hunks > MOST_HUNKS:
            raise PatchError(name, where, f"a patch of more than {MOST_FILES:,} files or {MOST_HUNKS:,} hunks")
        if line == "-- " or line.rstrip() == "--":
            break
        if line.startswith("diff --git "):
            found.append(_File(where, *_named(line, name, where)))
            is_git = True
        elif line.startswith("--- ") and at + 1 < len(lines) and lines[at + 1].startswith("+++ "):
            if not is_git:
                found.append(_File(where))
            is_git = False
            found[-1].old = _path(line[4:], name, where)
            found[-1].new = _path(lines[at + 1][4:], name, where + 1)
            at += 1
        elif line.startswith(("@@@ ", "diff --cc ", "diff --combined ")):
            raise PatchError(name, where, "a merge, expected the changes to one parent")
        elif line.startswith("@@"):
            hunks += 1
            if not found or found[-1].old == found[-1].new is None:
                raise PatchError(name, where, "a hunk without a file")
            end = _hunk_end(lines, at, name, where)
            found[-1].hunks.append(list(lines[at:end]))
            found[-1].hunk_at.append(where)
            at = end
            continue
        elif found:
            _extended(line, found[-1], name, where)
        at += 1
    return tuple(_file_diff(each, name) for each in found)


def _named(line: str, name: str, where: int) -> tuple[str | None, str | None]:
    """Return the paths of a ``diff --git`` line."""
    parts = line.split(" ")[2:]
    if len(parts) % 2 or '"' in line:
        raise PatchError(name, where, "a path with unusual characters")
    half = len(parts) // 2
    return _path(" ".join(parts[:half]), name, where), _path(" ".join(parts[half:]), name, where)


def _path(given: str, name: str, where: int) -> str | None:
    """Return a path of a diff, without the first part that git adds.

    Raises:
        PatchError: it is not a path in a tree.
    """
    path = given.split("\t")[0].rstrip()
    if path == "/dev/null":
        return None
    if len(path) > _LONGEST_PATH or any(len(part) > _LONGEST_NAME for part in path.split("/")):
        raise PatchError(name, where, f"a path of {len(path):,} characters")
    if path.startswith('"') or not path.isprintable() or "\\" in path:
        raise PatchError(name, where, "a path with unusual characters")
    if path.startswith("/"):
        raise PatchError(name, where, f"{path}: an absolute path")
    path = path[2:] if re.match(r"[abciwo]/", path) else path
    parts = PurePosixPath(path.lower()).parts
    if not path or path.startswith("/") or ".." in parts or ".git" in parts:
        raise PatchError(name, where, f"{given.strip()}: not a path in a tree")
    return str(PurePosixPath(path))


def _extended(line: str, file: _File, name: str, where: int) -> None:
    """Take in a line between the name of a file and its hunks."""
    if line.startswith(("GIT binary patch", "Binary files ")):
        raise PatchError(name, where, f"{file.new or file.old}: a binary change")
    if (mode := _MODE.match(line)) is not None and mode[1] not in ("100644", "100755"):
        what = {"120000": "a symbolic link", "160000": "a submodule"}.get(mode[1], f"of mode {mode[1]}")
        raise PatchError(name, where, f"{file.new or file.old}: {what}")
    if (blobs := _BLOBS.match(line)) is not None:
        file.blob = blobs[1]
    if line.startswith("new file mode "):
        file.old = None
    elif line.startswith("deleted file mode "):
        file.new = None
    for word in ("rename", "copy"):
        if line.startswith(f"{word} from "):
            file.old = _path("a/" + line.removeprefix(f"{word} from "), name, where)
            file.is_copy = word == "copy"
        elif line.startswith(f"{word} to "):
            file.new = _path("b/" + line.removeprefix(f"{word} to "), name, where)


def _hunk_end(lines: Sequence[str], at: int, name: str, where: int) -> int:
    """Return the line behind a hunk, which is as long as it says.

    Raises:
        PatchError: it is not.
    """
    head = _HUNK.match(lines[at])
    if head is None:
        raise PatchError(name, where, "a malformed hunk")
    old, new = (int(head[group] if head[group] is not None else 1) for group in (2, 4))
    at += 1
    while old or new:
        if at >= len(lines) or (at == len(lines) - 1 and not lines[at]):
            raise PatchError(name, where, "a malformed hunk: it ends early")
        mark = lines[at][:1] or " "
        if mark not in " +-\\":
            raise PatchError(name, where, "a malformed hunk")
        old -= mark in " -"
        new -= mark in " +"
        if old < 0 or new < 0:
            raise PatchError(name, where, "a malformed hunk: it is longer than it says")
        at += 1
    if at < len(lines) and lines[at].startswith("\\"):
        at += 1
    if at < len(lines) and re.match(r"[+ ].*\S|-(?!-)", lines[at]):
        raise PatchError(name, where, "a malformed hunk: it is longer than it says")
    return at


def _file_diff(file: _File, name: str) -> FileDiff:
    if not file.hunks:
        return FileDiff(file.old, file.new, file.blob, file.is_copy, ())
    from unidiff.errors import UnidiffParseError
    from unidiff.patch import PatchSet

    lines = ["--- a/x\n", "+++ b/x\n", *(f"{line}\n" for hunk in file.hunks for line in hunk)]
    try:
        (parsed,) = PatchSet(lines)
    except (UnidiffParseError, ValueError):
        raise PatchError(name, file.at, f"{file.new or file.old}: a malformed hunk") from None
    hunks = []
    for hunk, at in zip(parsed, file.hunk_at, strict=True):
        made: list[Line] = []
        for line in hunk:
            if line.line_type == "\\":
                if not made:
                    raise PatchError(name, at, "a malformed hunk: it has no line that could lack its end")
                made[-1] = Line(made[-1].kind, made[-1].text.removesuffix("\n"))
            else:
                made.append(Line(line.line_type if line.line_type in "+-" else " ", line.value))
        hunks.append(Hunk(hunk.source_start, hunk.target_start, tuple(made), at))
    return FileDiff(file.old, file.new, file.blob, file.is_copy, tuple(hunks))


def address_of(author: str) -> str:
    """Return the address of ``Name <address>`` in small letters, empty if there is none."""
    return parseaddr(author)[1].lower()
