# SPDX-License-Identifier: GPL-2.0-or-later
"""Kernel configurations: what is asked for, and what of it a tree keeps."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from ..errors import UsageError

__all__ = ["BASES", "Wanted", "bundled", "lost", "merged", "options_of", "read_wanted"]

BASES = ("small", "tinyconfig", "defconfig")
MOST_BYTES = 4 << 20
_SET = re.compile(r"(CONFIG_\w+)=(.*)")
_UNSET = re.compile(r"# (CONFIG_\w+) is not set")


@dataclass(frozen=True)
class Wanted:
    """A configuration as it is asked for.

    Args:
        base: make's target that it starts from; empty if it starts from `text`.
        text: of the file that it starts from.
        own: lines of genpatch's own, by option; what an older or newer tree lacks of them is no failure.
        asked: the user's, by option; they win, and each must be kept.
        what: all this in words.
    """

    base: str
    text: str
    own: Mapping[str, str]
    asked: Mapping[str, str]
    what: str

    @property
    def digest(self) -> str:
        """What names it: 64 hexadecimal digits."""
        return sha256(
            repr((self.base, self.text, sorted(self.own.items()), sorted(self.asked.items()))).encode()
        ).hexdigest()

    def has(self, option: str) -> bool:
        """Tell whether an option is asked for, or may come with a base of which that is not known."""
        for lines in (self.asked, self.own, options_of(self.text)):
            if option in lines:
                return lines[option] != "n"
        return False


def bundled() -> dict[str, str]:
    """Return genpatch's own small configuration: value by option."""
    packaged = Path(__file__).parent.parent / "_templates"
    root = packaged if packaged.is_dir() else Path(__file__).parents[2] / "templates"
    return options_of((root / "prove" / "riscv64-small.config").read_text(encoding="utf-8"))


def options_of(text: str) -> dict[str, str]:
    """Return value by option of a configuration, ``n`` for one that is not set; the last line of several counts."""
    found: dict[str, str] = {}
    for line in text.split("\n"):
        if (match := _SET.fullmatch(line.rstrip())) is not None:
            found[match[1]] = match[2]
        elif (match := _UNSET.fullmatch(line.rstrip())) is not None:
            found[match[1]] = "n"
    return found


def read_wanted(base: str, given: Sequence[str]) -> Wanted:
    """Return the configuration of --base and --config.

    Args:
        base: ``small`` (tinyconfig and the bundled lines), ``tinyconfig``, ``defconfig`` or a file.
        given: files with lines of a configuration, or single lines ``CONFIG_X=y``.

    Raises:
        UsageError: one cannot be read, or holds no configuration.
    """
    asked: dict[str, str] = {}
    for each in given:
        asked |= _asked(each)
    own = bundled() if base == "small" else {}
    text = "" if base in BASES else _text(base, "--base")
    if base not in BASES and not options_of(text):
        raise UsageError(f"--base {base!r}: no line of a kernel configuration in it")
    target = {"small": "tinyconfig"}.get(base, base) if base in BASES else ""
    what = [target or f"a configuration of {len(options_of(text)):,} lines"]
    what += [f"{len(own)} lines of genpatch's own"] if own else []
    what += [" ".join(f"{name}={value}" for name, value in asked.items())] if 0 < len(asked) <= 8 else []
    what += [f"{len(asked)} lines of --config"] if len(asked) > 8 else []
    return Wanted(target, text, own, asked, ", ".join(what))


def _asked(given: str) -> dict[str, str]:
    line = given.strip()
    if _SET.fullmatch(line) or _UNSET.fullmatch(line):
        return options_of(line)
    if not Path(given).exists() and ("=" in given or given.startswith("CONFIG_")):
        raise UsageError(f"--config {given!r}: neither a file nor a line as CONFIG_X=y")
    text = _text(given, "--config")
    found = options_of(text)
    for number, each in enumerate(text.split("\n"), 1):
        if each.strip() and not each.lstrip().startswith("#") and _SET.fullmatch(each.rstrip()) is None:
            raise UsageError(f"--config {given!r}: line {number}: expected CONFIG_X=..., got {each.strip()[:60]!r}")
    if not found:
        raise UsageError(f"--config {given!r}: no line of a kernel configuration in it")
    return found


def _text(path: str, option: str) -> str:
    try:
        with Path(path).open("rb") as stream:
            data = stream.read(MOST_BYTES + 1)
    except (OSError, ValueError) as error:
        raise UsageError(f"{option} {path!r}: {getattr(error, 'strerror', None) or error}") from None
    if len(data) > MOST_BYTES:
        raise UsageError(f"{option} {path!r}: more than {MOST_BYTES:,} bytes")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        raise UsageError(f"{option} {path!r}: not UTF-8, expected lines of a kernel configuration") from None


def merged(text: str, wanted: Wanted) -> str:
    """Return a configuration with the wanted lines at its end and no other line about those options."""
    lines = {**wanted.own, **wanted.asked}
    kept = [line for line in text.split("\n") if line and not _is_about(line, lines)]
    added = [f"# {name} is not set" if value == "n" else f"{name}={value}" for name, value in lines.items()]
    return "\n".join([*kept, *added, ""])


def _is_about(line: str, lines: Mapping[str, str]) -> bool:
    match = _SET.fullmatch(line) or _UNSET.fullmatch(line)
    return match is not None and match[1] in lines


def lost(lines: Mapping[str, str], text: str) -> dict[str, str]:
    """Return which wanted lines a configuration does not have: what it has instead, by option."""
    found = options_of(text)
    return {name: found.get(name, "n") for name, value in lines.items() if found.get(name, "n") != value}
