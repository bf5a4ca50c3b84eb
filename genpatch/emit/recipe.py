# SPDX-License-Identifier: GPL-2.0-or-later
"""What can be emitted: one record for each series, one file for each record in ``recipes``."""

from __future__ import annotations

import pkgutil
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from functools import cache
from importlib import import_module

from .edits import Edit
from .errors import EmitError
from .tree import Tree

__all__ = ["PatchPlan", "Recipe", "State", "Verdict", "find_recipes", "integer_macro"]


class Verdict(Enum):
    """How a tree stands to a series."""

    CAN = "can be made"
    THERE = "already there"
    NOT = "not applicable"


@dataclass(frozen=True)
class State:
    """What looking into a tree has shown.

    Args:
        verdict: of it.
        reason: what was seen, one clause.
    """

    verdict: Verdict
    reason: str

    def __str__(self) -> str:
        return f"{self.verdict.value}: {self.reason}"


@dataclass(frozen=True)
class PatchPlan:
    """One patch of a series before it is made.

    Args:
        message: template of its message.
        edits: in order.
        values: what the message says beyond what every message may.
        fixes: commits that it repairs: (hash, subject); cited only where the tree's history bears them out.
    """

    message: str
    edits: tuple[Edit, ...]
    values: dict[str, object] = field(default_factory=dict)
    fixes: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Recipe:
    """A series that can be made.

    Args:
        name: on the command line.
        summary: one line.
        trees: which trees it is for, in words.
        look: says how a tree stands to it, by looking into its files and never by its version.
        plan: the patches for a tree that it can be made for.
        scheme: of the catalog, that trees have afterwards; empty where a series mends one.
        cover: template of the letter before them; subject in its first line, as in a message.
    """

    name: str
    summary: str
    trees: str
    look: Callable[[Tree], State]
    plan: Callable[[Tree], list[PatchPlan]]
    scheme: str = ""
    cover: str = "cover.j2"


@cache
def find_recipes() -> dict[str, Recipe]:
    """Return the recipes by name, in order of their names."""
    from . import recipes

    found: dict[str, Recipe] = {}
    for module in pkgutil.iter_modules(recipes.__path__):
        recipe = import_module(f"{recipes.__name__}.{module.name}").RECIPE
        assert recipe.name == module.name.replace("_", "-"), recipe.name
        found[recipe.name] = recipe
    return dict(sorted(found.items()))


def integer_macro(tree: Tree, path: str, name: str) -> int | None:
    """Return the value of a macro that is a plain number; None if there is no such macro.

    Raises:
        EmitError: it is defined twice, or as something else.
    """
    from .anchors import Macro

    text = tree.read(path)
    values = {span.of(text).split(name, 1)[1].strip().strip("()") for span in Macro(name).places(text)}
    if not values:
        return None
    value = values.pop()
    try:
        number = int(value, 0)
    except ValueError:
        values.add(value)
        number = 0
    if values:
        raise EmitError(f"{path}: macro {name}: expected one number")
    return number
