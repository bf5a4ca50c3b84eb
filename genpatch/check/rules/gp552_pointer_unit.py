# SPDX-License-Identifier: GPL-2.0-or-later
"""GP552: bytes are added to addresses, not elements."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache

from ..change import Change, Texts
from ..ctree import Expr, FunctionTree, Trees, parts_of, trees_of
from ..model import Place, Problem
from ..patching import MOST_TEXT, sources
from ..registry import source_rule
from ..source import code_of

_HEADERS = (
    "arch/riscv/include/asm/probes.h",
    "arch/riscv/include/asm/kprobes.h",
    "include/linux/kprobes.h",
    "arch/riscv/net/bpf_jit.h",
)
_MEMBER = re.compile(r"^\s+(?:const\s+)?(?:struct\s+)?(\w+)\s*\*\s*(\w+)(?:,\s*\*\s*(\w+))?;", re.M)
_STRUCT = re.compile(r"^struct (\w+) \{\n(.*?)^\}", re.M | re.S)
_BYTES = frozenset(("void", "char", "u8", "s8", "uint8_t", "bool"))
_SIZE = re.compile(r"\w*_(?:SIZE|NBYTES|BYTES|LEN|LENGTH)|len|size|length|nbytes")
_WORDS = re.compile(rf"\b(?:sizeof|GET_INSN_LENGTH|insn_size|riscv_insn_length|{_SIZE.pattern})\b")
_MEASURES = frozenset(("sizeof", "GET_INSN_LENGTH", "insn_size", "riscv_insn_length"))


@source_rule("GP552", "pointer-unit")
def pointer_unit(change: Change) -> Iterable[Problem]:
    """A number of bytes is added to a pointer that counts in something larger.

    ## What it checks
    In the C files of arch/riscv that the patch changes: what is added to, or taken off, a variable or a member
    that is a pointer to something wider than a byte, as the file, asm/probes.h, linux/kprobes.h and the JIT's
    header declare it: sizeof(), GET_INSN_LENGTH(), names that end in _SIZE, _NBYTES or _LEN, a variable that holds
    one of these. Only what the patch brings is reported.

    ## Why it matters
    Four times as far: the breakpoint behind a probe's copy of an instruction stands where nothing runs, and a
    probe goes on in the middle of another function.

    ## Remedy
    Cast before adding: ``(void *)insn + len``, ``(unsigned long)p->addr + len``.

    ## References
    arch/riscv/kernel/probes/kprobes.c; arch/riscv/include/asm/probes.h.
    """
    for path, old, new in sources(change):
        changed = [name for name in new if name not in old or old[name].bodies != new[name].bodies]
        changed = [name for name in changed if _WORDS.search(new[name].body)]
        if not changed:
            continue
        trees, before = trees_of(change.after.read(path) or ""), trees_of(change.before.read(path) or "")
        for name in (each for each in changed if each in trees):
            known = {key for key, _ in _added(change.before, path, before, name)} if name in before else set()
            for key, text in _added(change.after, path, trees, name):
                if key not in known:
                    known.add(key)
                    yield Problem(f"{name} {key}", _places(change, path, trees[name]), f"{name}() {text}")


def _places(change: Change, path: str, tree: FunctionTree) -> tuple[Place, ...]:
    lines = [line for line in sorted(change.added.get(path, ())) if tree.line <= line <= tree.end]
    return tuple(Place(path, line) for line in (*lines, tree.line))


def _added(texts: Texts, path: str, trees: Trees, name: str) -> Iterator[tuple[str, str]]:
    """Yield what tells a sum of a pointer and bytes from others, and words."""
    tree = trees[name]
    members = _members(*(texts.read(each) or "" for each in (path, *_HEADERS)))
    types = dict(zip(tree.parameters, tree.types, strict=True))
    sizes = set[str]()
    for part in (part for stmt in tree.body for part in parts_of(stmt)):
        if part[0] == "var" and part[2] == "plain":
            types[part[1]] = part[5]
            sizes |= {part[1]} if part[4] is not None and _is_size(part[4], sizes) else set()
        elif part[0] == "assign" and part[2][0] == "id" and _is_size(part[3], sizes):
            sizes.add(part[2][1])
    for part in (part for stmt in tree.body for part in parts_of(stmt)):
        if part[0] != "bin" or part[1] not in ("+", "-"):
            continue
        kind, what = _pointed(part[2], types, members)
        if kind and not _is_void(kind) and _is_size(part[3], sizes) and part[3][0] != "bin":
            sign = "adds a number of bytes to" if part[1] == "+" else "takes a number of bytes off"
            yield repr(part[2:]), f"{sign} {what}, which counts in {kind}"


def _is_void(kind: str) -> bool:
    return kind.removeprefix("const ").strip() in _BYTES


def _is_size(expr: Expr, sizes: set[str]) -> bool:
    """Tell whether an expression is a number of bytes."""
    if expr[0] == "sizeof" or (expr[0] == "call" and expr[1] in _MEASURES):
        return True
    return bool(expr[0] == "id" and (expr[1] in sizes or _SIZE.fullmatch(expr[1])))


def _pointed(expr: Expr, types: Mapping[str, str], members: Mapping[str, str]) -> tuple[str, str]:
    """Return what a variable or a member points to, and its name; "" if it is no pointer that is known."""
    if expr[0] == "id":
        kind = types.get(expr[1], "")
        return (kind.removesuffix("*").strip(), expr[1]) if kind.endswith("*") else ("", "")
    if expr[0] == "field":
        tag = types.get(expr[1][1], "").removeprefix("struct ").removesuffix("*").strip() if expr[1][0] == "id" else ""
        return members.get(f"{tag}.{expr[2]}", members.get(expr[2], "")), expr[2]
    return "", ""


@lru_cache(maxsize=16)
def _members(*texts: str) -> Mapping[str, str]:
    """Return what members that are pointers point to: by struct, and by name where all of that point to the same."""
    found: dict[str, set[str]] = {}
    for text in (code_of(text) for text in texts if len(text) <= MOST_TEXT):
        for tag, body in _STRUCT.findall(text):
            for kind, *names in _MEMBER.findall(body):
                for name in filter(None, names):
                    found.setdefault(name, set()).add(kind)
                    found.setdefault(f"{tag}.{name}", set()).add(kind)
    return {name: next(iter(kinds)) for name, kinds in found.items() if len(kinds) == 1}
