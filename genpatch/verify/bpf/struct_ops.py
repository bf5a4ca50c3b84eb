# SPDX-License-Identifier: GPL-2.0-or-later
"""How many arguments the functions take that a kernel's own struct_ops may stand for, as its types tell."""

from __future__ import annotations

import re

from ...image.btf import Btf

__all__ = ["most_arguments"]

_WRAPPER = re.compile(rb"(?<=\0)bpf_struct_ops_(\w{1,64})(?=\0)")
"""For each kind of struct_ops there is a type that holds its values: struct bpf_struct_ops_tcp_congestion_ops, ..."""
_FUNCTION = re.compile(r"\(\*\)\((.*)\)$")


def most_arguments(types: Btf) -> int | None:
    """Return the largest number of arguments of a function in some struct_ops; None where there is no struct_ops."""
    counts = []
    for name in dict.fromkeys(found.decode() for found in _WRAPPER.findall(types.chars.tobytes())):
        layout = types.struct(name)
        for member in layout.members if layout is not None else ():
            found = _FUNCTION.search(member.type_name)
            if found is not None:
                counts.append(_count(found[1]))
    return max(counts, default=None)


def _count(parameters: str) -> int:
    """Return how many parameters are listed; those of a parameter that is a function are its own."""
    depth, commas = 0, 0
    for letter in parameters:
        depth += (letter == "(") - (letter == ")")
        commas += letter == "," and not depth
    return commas + 1 if parameters not in ("", "void") else 0
