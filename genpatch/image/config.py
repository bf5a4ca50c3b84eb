# SPDX-License-Identifier: GPL-2.0-or-later
"""Kernel configuration files."""

from __future__ import annotations

import re
from pathlib import PurePath

from ..errors import InputError
from .model import ConfigFacts

_VERSION = re.compile(rb"^# Linux/\S+ (\d+\.\d+[.\w+-]*) Kernel Configuration", re.MULTILINE)
_OPTION = re.compile(rb"^(CONFIG_[A-Za-z0-9_]+)=(.*)$", re.MULTILINE)


def parse_config(text: bytes, source: str) -> ConfigFacts:
    """Read a ``.config``.

    Args:
        text: the file's bytes.
        source: what to call it in reports.
    Raises:
        InputError: it sets no option at all.
    """
    options = {name.decode("ascii"): value.decode("utf-8", "replace").strip() for name, value in _OPTION.findall(text)}
    if not options:
        raise InputError(source, expected="lines such as CONFIG_RISCV=y", got="none")
    version = _VERSION.search(text[:4096])
    return ConfigFacts(source=source, options=options, version=version[1].decode("ascii") if version else None)


def config_label(path: str) -> str:
    """Return what a report calls a configuration file: its name without the directory."""
    return PurePath(path).name
