# SPDX-License-Identifier: GPL-2.0-or-later
"""GP525: an option that no Kconfig file defines."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Iterator
from functools import lru_cache
from pathlib import Path

from ...emit.kbuild import kconfig_symbols
from ..change import Change, Texts
from ..model import Place, Problem, Skip
from ..registry import source_rule
from ..source import line_at

_HOMES = ("arch/riscv", "kernel", "arch", "init", "lib", "mm", "security")
_MOST_FILES = 400
_MOST_BYTES = 1 << 20
_USE = re.compile(r"\bCONFIG_(\w+)")
_TEXT = re.compile(r"arch/riscv/.*(?:\.[chS]|Makefile|Kbuild)$")
_KCONFIG = re.compile(r"(?:^|/)Kconfig[\w.]*$")
_FAMILY = re.compile(r"(?:HAVE_)?(?:DYNAMIC_FTRACE|FUNCTION_TRACER|FUNCTION_GRAPH|FTRACE_|FUNCTION_ALIGNMENT|RISCV_)")
_CLOSE = 0.9


@source_rule("GP525", "unknown-option")
def unknown_option(change: Change) -> Iterable[Problem]:
    """The patch asks for an option of Kconfig that does not exist.

    ## What it checks
    ``CONFIG_X`` in lines that the patch adds to C, assembly and Makefiles of arch/riscv: whether X is defined
    in the Kconfig files of arch/riscv, arch, init, kernel, lib, mm or security, or by the patch. An option that
    is not there is reported if it belongs to the tracers or to riscv by its name, or differs by a letter or two
    from one that is; what drivers define elsewhere is not searched.

    ## Why it matters
    The code is left out of every kernel, and nobody is told.

    ## Remedy
    Correct the name, or add the symbol first.

    ## References
    Documentation/kbuild/kconfig-language.rst.
    """
    wanted: dict[str, list[Place]] = {}
    for path in change.paths:
        text = change.after.read(path)
        if text is None or not _TEXT.fullmatch(path):
            continue
        old = change.before.read(path) or ""
        for match in _USE.finditer(text):
            line = line_at(text, match.start())
            if line in change.added.get(path, ()) and not re.search(rf"\bCONFIG_{match[1]}\b", old):
                wanted.setdefault(match[1].removesuffix("_MODULE"), []).append(Place(path, line))
    if wanted and change.after.tree.base:
        raise Skip("the files of a commit are read one by one, and the Kconfig files were not searched")
    if wanted:
        yield from _unknown(change.after, wanted)


def _unknown(texts: Texts, wanted: dict[str, list[Place]]) -> Iterator[Problem]:
    changed = {path: text for path, text in texts.changed.items() if _KCONFIG.search(path)}
    known = {symbol.name for text in changed.values() for symbol in kconfig_symbols(text or "")}
    for home in _HOMES:  # as few as it takes
        if wanted.keys() <= known:
            return
        known |= _of_tree(texts.tree.root, home, frozenset(changed))
    if not {"RISCV", "FUNCTION_TRACER"} <= known:
        return  # a part of a tree
    from difflib import get_close_matches

    for name, places in wanted.items():
        near = get_close_matches(name, known, 1, _CLOSE) if name not in known else []
        if name not in known and (near or _FAMILY.match(name)):
            hint = f"; CONFIG_{near[0]} is" if near else ""
            yield Problem(name, tuple(places), f"CONFIG_{name} is not defined by any Kconfig file{hint}")


@lru_cache(maxsize=32)
def _of_tree(root: Path, home: str, without: frozenset[str]) -> frozenset[str]:
    """Return the symbols that the Kconfig files of a folder define, of its folders too, and of theirs."""
    found: set[str] = set()
    patterns = ("Kconfig*",) if home == "arch" else ("Kconfig*", "*/Kconfig*", "*/*/Kconfig*")
    files = (file for pattern in patterns for file in sorted((root / home).glob(pattern)))
    for file in itertools.islice(files, _MOST_FILES):
        if file.relative_to(root).as_posix() in without or file.is_symlink() or not file.is_file():
            continue
        try:
            with file.open("rb") as stream:
                text = stream.read(_MOST_BYTES).decode("utf-8", "replace")
        except OSError:
            continue
        found |= {symbol.name for symbol in kconfig_symbols(text)}
    return frozenset(found)
