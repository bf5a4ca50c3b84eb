# SPDX-License-Identifier: GPL-2.0-or-later
"""Options from ``.genpatch.toml`` or ``[tool.genpatch]`` of pyproject.toml, found from here upward."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..errors import UsageError

_KEYS: dict[str, type] = {
    "select": list,
    "ignore": list,
    "fail-on": str,
    "exit-style": str,
    "baseline": str,
    "max-findings": int,
    "color": str,
    "jobs": int,
}
_LEAST = {"max-findings": 1, "jobs": 0}
_MAX_SIZE = 1 << 20


def load_settings(path: Path | None, *, isolated: bool) -> dict[str, Any]:
    """Return the settings, checked; empty where there are none.

    Args:
        path: a file that the user named, or None to search from here up to the top of the repository.
        isolated: do not search.
    Raises:
        UsageError: the file is not TOML, or has an unknown key or a value of the wrong type.
    """
    if path is not None:
        return _checked(path, _table(path, required=True))
    if isolated:
        return {}
    for folder in (Path.cwd(), *Path.cwd().parents):
        for name in (".genpatch.toml", "pyproject.toml"):
            if (folder / name).is_file() and (
                table := _table(folder / name, required=name.startswith("."))
            ) is not None:
                return _checked(folder / name, table)
        if (folder / ".git").exists():
            break
    return {}


def _table(path: Path, *, required: bool) -> dict[str, Any] | None:
    """Return genpatch's part of a file; None where a pyproject.toml has none."""
    import tomllib

    try:
        if path.stat().st_size > _MAX_SIZE:
            raise UsageError(f"{path}: larger than {_MAX_SIZE} bytes")
        loaded = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        if not required:
            return None
        text = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise UsageError(f"{path}: {text}") from error
    if path.name == "pyproject.toml":
        tools = loaded.get("tool")
        table = tools.get("genpatch") if isinstance(tools, dict) else None
        return table if isinstance(table, dict) else None
    return loaded


def _checked(path: Path, table: dict[str, Any] | None) -> dict[str, Any]:
    for key, value in (table or {}).items():
        if key not in _KEYS:
            raise UsageError(f"{path}: unknown key {key!r}; known: {', '.join(_KEYS)}")
        if not isinstance(value, _KEYS[key]) or isinstance(value, bool):
            raise UsageError(f"{path}: {key}: expected {_KEYS[key].__name__}, got {type(value).__name__}")
        if isinstance(value, list) and not all(isinstance(each, str) for each in value):
            raise UsageError(f"{path}: {key}: expected strings")
        if isinstance(value, int) and value < _LEAST[key]:
            raise UsageError(f"{path}: {key}: expected at least {_LEAST[key]}, got {value}")
    found = dict(table or {})
    if "baseline" in found:
        found["baseline"] = str(path.parent / found["baseline"])
    return found
