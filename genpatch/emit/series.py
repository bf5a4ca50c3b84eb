# SPDX-License-Identifier: GPL-2.0-or-later
"""Patches as ``git format-patch`` lays them out, computed from old and new texts; the same input, the same bytes."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from difflib import SequenceMatcher
from email.header import Header
from email.utils import format_datetime
from typing import Any

from .. import __version__
from .errors import EmitError
from .tree import blob_id

__all__ = ["Change", "Cover", "Mail", "Patch", "diffstat", "file_diff", "mail_of", "mails_of"]

CONTEXT = 3
_WIDTH = 80
_NO_ID = "0" * 40
_NO_END = "\\ No newline at end of file\n"
_SAFE_PATH = re.compile(r"[\w./+@,-]+")


@dataclass(frozen=True)
class Change:
    """What happens to one file.

    Args:
        path: in the tree.
        old: its text; None where it is new.
        new: its text afterwards; empty where it goes.
        mode: as git writes it.
    """

    path: str
    old: str | None
    new: str
    mode: str = "100644"


@dataclass(frozen=True)
class Patch:
    """One patch.

    Args:
        subject: without ``[PATCH]``.
        body: the message, wrapped; trailers at its end.
        changes: by path.
    """

    subject: str
    body: str
    changes: tuple[Change, ...]


@dataclass(frozen=True)
class Cover:
    """The letter before a series.

    Args:
        subject: without ``[PATCH]``.
        body: wrapped.
        base: the public commit that the series is for, empty if there is none.
    """

    subject: str
    body: str
    base: str = ""


@dataclass(frozen=True)
class Mail:
    """One file of a series.

    Args:
        name: ``0001-slug.patch``.
        text: of the file.
    """

    name: str
    text: str


def _lines(text: str | None) -> list[str]:
    return (text or "").split("\n")[:-1] if not text or text.endswith("\n") else text.split("\n")


def _has_end(text: str | None) -> bool:
    return not text or text.endswith("\n")


def _keys(lines: list[str], text: str | None) -> list[str]:
    """Return what is compared: a last line without an end differs from the same line with one."""
    return lines if _has_end(text) else [*lines[:-1], lines[-1] + "\0"]


Op = tuple[str, int, int, int, int]


def _opcodes(old: Sequence[str], new: Sequence[str]) -> list[Op]:
    """Return how one list of lines becomes the other; what is equal at both ends is not searched."""
    most = min(len(old), len(new))
    head = next((at for at in range(most) if old[at] != new[at]), most)
    tail = next((at for at in range(most - head) if old[-1 - at] != new[-1 - at]), most - head)
    middle = SequenceMatcher(None, old[head : len(old) - tail], new[head : len(new) - tail], autojunk=False)
    found: list[Op] = [("equal", 0, head, 0, head)] if head else []
    found += [(tag, a + head, b + head, c + head, d + head) for tag, a, b, c, d in middle.get_opcodes()]
    if tail:
        found.append(("equal", len(old) - tail, len(old), len(new) - tail, len(new)))
    return found


def _hunks(ops: Sequence[Op]) -> Iterator[list[Op]]:
    """Yield what goes into one hunk: changes with at most twice the context between them."""
    hunk: list[Op] = []
    for at, (tag, a, b, c, d) in enumerate(ops):
        if tag != "equal":
            hunk.append((tag, a, b, c, d))
            continue
        is_last = at == len(ops) - 1
        if hunk and (is_last or b - a > 2 * CONTEXT):
            hunk.append((tag, a, min(b, a + CONTEXT), c, min(d, c + CONTEXT)))
            yield hunk
            hunk = []
        if not is_last:
            skipped = 0 if hunk else max(0, b - a - CONTEXT)
            hunk.append((tag, a + skipped, b, c + skipped, d))
    if hunk:
        yield hunk


def _range(start: int, length: int) -> str:
    first = start + 1 if length else start
    return str(first) if length == 1 else f"{first},{length}"


def _function_line(old: Sequence[str], start: int) -> str:
    """Return what git writes behind ``@@``: the nearest line above the hunk that starts with a name."""
    for line in reversed(old[:start]):
        if re.match(r"[A-Za-z_$]", line):
            return " " + line[:80].rstrip()
    return ""


def file_diff(change: Change) -> str:
    """Return the diff of one file, from ``diff --git`` on.

    Raises:
        EmitError: the path is none that a diff can name plainly, or nothing changes.
    """
    path, old, new = change.path, _lines(change.old), _lines(change.new)
    if not _SAFE_PATH.fullmatch(path) or ".." in path.split("/") or path.startswith("/"):
        raise EmitError(f"{path}: not a path for a patch")
    if change.old == change.new:
        raise EmitError(f"{path}: nothing changes")
    before = _NO_ID if change.old is None else blob_id(change.old.encode())
    index = f"index {before[:12]}..{blob_id(change.new.encode())[:12]}"
    out = [f"diff --git a/{path} b/{path}\n"]
    if change.old is None:
        out += [f"new file mode {change.mode}\n", f"{index}\n", "--- /dev/null\n", f"+++ b/{path}\n"]
    elif not change.new:
        index = f"index {before[:12]}..{_NO_ID[:12]}"
        out += [f"deleted file mode {change.mode}\n", f"{index}\n", f"--- a/{path}\n", "+++ /dev/null\n"]
    else:
        out += [f"{index} {change.mode}\n", f"--- a/{path}\n", f"+++ b/{path}\n"]
    for hunk in _hunks(_opcodes(_keys(old, change.old), _keys(new, change.new))):
        (_, a, _, c, _), (_, _, b, _, d) = hunk[0], hunk[-1]
        out.append(f"@@ -{_range(a, b - a)} +{_range(c, d - c)} @@{_function_line(old, a)}\n")
        for tag, first, last, third, fourth in hunk:
            if tag == "equal":
                out += _marked(" ", old, first, last, change.old)
                continue
            out += _marked("-", old, first, last, change.old)
            out += _marked("+", new, third, fourth, change.new)
    return "".join(out)


def _marked(mark: str, lines: Sequence[str], first: int, last: int, text: str | None) -> list[str]:
    made = [f"{mark}{line}\n" for line in lines[first:last]]
    if made and last == len(lines) and not _has_end(text):
        made.append(_NO_END)
    return made


def diffstat(changes: Sequence[Change]) -> str:
    """Return the table of changed lines, as git draws it."""
    counts = {change.path: _counted(change) for change in changes}
    name = max(map(len, counts))
    number = max(len(str(sum(count))) for count in counts.values())
    room = max(_WIDTH - name - number - 6, 10)
    most = max(sum(count) for count in counts.values())
    rows = []
    for path, (plus, minus) in sorted(counts.items()):
        if most > room:
            plus, minus = _scaled(plus, minus, room, most)
        rows.append(f" {path:<{name}} | {sum(counts[path]):>{number}} {'+' * plus}{'-' * minus}".rstrip() + "\n")
    total = [sum(count[each] for count in counts.values()) for each in (0, 1)]
    files = f" {len(counts)} file{'s' * (len(counts) != 1)} changed"
    plus_text = f", {total[0]} insertion{'s' * (total[0] != 1)}(+)" if total[0] or not total[1] else ""
    minus_text = f", {total[1]} deletion{'s' * (total[1] != 1)}(-)" if total[1] or not total[0] else ""
    kinds = [("create" if each.old is None else "delete", each) for each in changes if each.old is None or not each.new]
    listed = "".join(f" {kind} mode {each.mode} {each.path}\n" for kind, each in kinds)
    return f"{''.join(rows)}{files}{plus_text}{minus_text}\n{listed}"


def _scaled(plus: int, minus: int, room: int, most: int) -> tuple[int, int]:
    """Return lengths of the bars that fit; what is there has at least one mark."""
    scaled = [max(1, count * room // most) if count else 0 for count in (plus, minus)]
    return scaled[0], scaled[1]


def _counted(change: Change) -> tuple[int, int]:
    lines = file_diff(change).split("\n")
    body = lines[next(at for at, line in enumerate(lines) if line.startswith("@@")) :]
    return sum(line.startswith("+") for line in body), sum(line.startswith("-") for line in body)


def check_diff(change: Change, diff: str) -> None:
    """Read a diff back and apply it; it must give the new text exactly.

    Raises:
        EmitError: it does not (a mistake of genpatch, not of the tree).
    """
    from unidiff.errors import UnidiffParseError
    from unidiff.patch import PatchSet

    try:
        parsed = list(PatchSet(diff))
    except UnidiffParseError as error:
        raise EmitError(f"{change.path}: the diff that was made is none: {error}") from None
    old, made, at = re.findall(r"[^\n]*\n|[^\n]+", change.old or ""), [], 0
    is_same = len(parsed) == 1 and parsed[0].path == change.path
    for hunk in parsed[0] if is_same else ():
        start = hunk.source_start - (1 if hunk.source_length else 0)
        made += old[at:start]
        source = [str(line.value) for line in hunk if line.is_context or line.is_removed]
        at = start + hunk.source_length
        is_same = is_same and _joined(hunk, removed=True) == "".join(old[start:at]) and len(source) == at - start
        made.append(_joined(hunk, removed=False))
    if not is_same or "".join([*made, *old[at:]]) != change.new:
        raise EmitError(f"{change.path}: the diff that was made does not give the new text")


def _joined(hunk: Iterable[Any], *, removed: bool) -> str:
    """Return one side of a hunk; the mark of a missing line end takes the end off the line above it."""
    out: list[str] = []
    taken = False
    for line in hunk:
        if line.line_type == "\\":
            if taken:
                out[-1] = out[-1].removesuffix("\n")
            continue
        taken = line.is_context or (line.is_removed if removed else line.is_added)
        if taken:
            out.append(line.value)
    return "".join(out)


def slug(subject: str) -> str:
    """Return a subject as git puts it in a file's name."""
    return re.sub(r"\.+", ".", re.sub(r"[^A-Za-z0-9_.]+", "-", subject)).strip("-.")[:52].rstrip("-.")


def _header(value: str) -> str:
    return value if value.isascii() else Header(value, "utf-8", maxlinelen=76).encode()


def _address(identity: str) -> str:
    name, _, address = identity.rpartition(" <")
    if name.isascii() and re.search(r"[^\w\s!#$%&'*+/=?^`{|}~-]", name):
        name = '"' + re.sub(r'(["\\])', r"\\\1", name) + '"'
    return f"{_header(name)} <{address}"


def mail_of(subject: str, body: str, attached: str, *, identity: str, date: int, label: str) -> str:
    """Return one message in the layout of ``git format-patch``.

    Args:
        attached: what stands behind the message.
        identity: ``Name <address>``.
        date: [seconds since 1970].
        label: ``PATCH 1/2``.
    """
    for line in body.split("\n"):
        if re.match(r"---|diff -|Index: |From |@@ ", line):
            raise EmitError(f"{subject}: a line of the message would end it: {line!r}")
    head = [
        f"From {_NO_ID} Mon Sep 17 00:00:00 2001",
        f"From: {_address(identity)}",
        f"Date: {format_datetime(datetime.fromtimestamp(date, UTC))}",
        f"Subject: [{label}] {_header(subject)}",
    ]
    if not (body + attached).isascii():
        head += [
            "MIME-Version: 1.0",
            "Content-Type: text/plain; charset=UTF-8",
            "Content-Transfer-Encoding: 8bit",
        ]
    return "\n".join([*head, "", body.strip("\n"), attached]) + f"-- \ngenpatch {__version__}\n\n"


def mails_of(
    patches: Sequence[Patch], cover: Cover | None, *, identity: str, date: int
) -> tuple[Mail | None, list[Mail]]:
    """Return the letter before a series, if there is to be one, and its patches; each diff was applied.

    Raises:
        EmitError: a patch does not give what it should.
    """
    count, width = len(patches), len(str(len(patches)))
    is_numbered = cover is not None or count > 1
    mails: list[Mail] = []
    for number, patch in enumerate(patches, 1):
        changes = sorted(patch.changes, key=lambda change: change.path)
        diffs = [file_diff(change) for change in changes]
        for change, diff in zip(changes, diffs, strict=True):
            check_diff(change, diff)
        label = f"PATCH {number:0{width}}/{count}" if is_numbered else "PATCH"
        attached = f"---\n{diffstat(changes)}\n{''.join(diffs)}"
        text = mail_of(patch.subject, patch.body, attached, identity=identity, date=date, label=label)
        mails.append(Mail(f"{number:04}-{slug(patch.subject)}.patch", text))
    if cover is None:
        return None, mails
    total = diffstat(list(_overall(patches).values()))
    shortlog = f"{identity.rpartition(' <')[0]} ({count}):\n" + "".join(f"  {patch.subject}\n" for patch in patches)
    base = f"\nbase-commit: {cover.base}\n" if cover.base else ""
    letter = mail_of(
        cover.subject,
        cover.body,
        f"\n{shortlog}\n{total}{base}",
        identity=identity,
        date=date,
        label=f"PATCH {0:0{width}}/{count}",
    )
    return Mail("0000-cover-letter.patch", letter), mails


def _overall(patches: Sequence[Patch]) -> Mapping[str, Change]:
    """Return what a whole series does to each file."""
    found: dict[str, Change] = {}
    for patch in patches:
        for change in patch.changes:
            first = found.get(change.path, change)
            found[change.path] = Change(change.path, first.old, change.new, change.mode)
    return {path: change for path, change in found.items() if change.old != change.new}
