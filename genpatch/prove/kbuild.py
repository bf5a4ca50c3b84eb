# SPDX-License-Identifier: GPL-2.0-or-later
"""Which objects a configuration has: kbuild compiles any single object it is asked for, whether or not."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping

__all__ = ["missing_option"]

_RULE = re.compile(r"^[ \t]*([\w.-]+?)-(y|m|objs|\$\((CONFIG_\w+)\))[ \t]*[+:]?=(.*)$", re.MULTILINE)
_LISTS = frozenset(("obj", "lib", "core", "libs", "drivers", "net", "virt", "head"))
_DEEPEST = 4


def missing_option(target: str, read: Callable[[str], str | None], options: Mapping[str, str]) -> str:
    """Return the option without which an object is not part of a kernel; empty if it is one, or nothing says so.

    Args:
        target: ``kernel/trace/ftrace.o``, or a directory with a slash at its end.
        read: returns the text of a file of the tree, None if there is none.
        options: the configuration, value by option.
    """
    folder, _, name = target.rstrip("/").rpartition("/")
    name += "/" if target.endswith("/") else ""
    text = "\n".join(read(f"{folder}/{each}".lstrip("/")) or "" for each in ("Kbuild", "Makefile"))
    if lost := _missing(name, text.replace("\\\n", " "), options, 0):
        return lost
    return missing_option(f"{folder}/", read, options) if folder else ""


def _missing(name: str, text: str, options: Mapping[str, str], depth: int) -> str:
    """Return what one Makefile says of a name: the first option that is missing, if every way to it lacks one."""
    lost = ""
    for list_name, option in _lists(name, text):
        if option and options.get(option, "n") == "n":
            lost = lost or option
            continue
        further = ""
        if list_name not in _LISTS and depth < _DEEPEST:  # a part of another object
            further = _missing(f"{list_name}.o", text, options, depth + 1)
        if not further:
            return ""
        lost = lost or further
    return lost


def _lists(name: str, text: str) -> Iterator[tuple[str, str]]:
    for match in _RULE.finditer(text):
        if name in match[4].split("#")[0].split():
            yield match[1], match[3] or ""
