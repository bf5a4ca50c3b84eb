# SPDX-License-Identifier: GPL-2.0-or-later
"""Small verbs that print what is built in: schemes, samples, schema."""

from __future__ import annotations

from typing import Annotated

import typer

from ..errors import UsageError
from .output import write_out


def schemes() -> None:
    """List the ways of putting a call into a function that genpatch recognises."""
    from ..schemes import CATALOG

    for scheme in CATALOG.values():
        needs = ", ".join(sorted(need.value for need in scheme.needs)) or "nothing"
        sled = f"sled {scheme.before}+{scheme.after} bytes, site at func{scheme.ip_offset:+d}; needs {needs}"
        write_out([f"{scheme.name}: {scheme.summary}\n    {sled}\n    {scheme.source}\n"])


def samples() -> None:
    """List the bundled sample images; 'genpatch audit sample:NAME' audits one."""
    from ..samples import sample_names, sample_summary

    names = sample_names()
    width = max((len(name) for name in names), default=0)
    write_out(f"{name:<{width}}  {sample_summary(name)}\n" for name in names)


def schema(
    verb: Annotated[str, typer.Argument(help="Whose JSON: audit, verify, race, compare, check, prove or diff.")],
) -> None:
    """Print the JSON Schema of a verb's JSON document."""
    import json

    from ..report.schema import JSON_SCHEMAS

    if verb not in JSON_SCHEMAS:
        raise UsageError(f"no schema for {verb!r}; there is one for {' and for '.join(JSON_SCHEMAS)}")
    write_out([json.dumps(JSON_SCHEMAS[verb], indent=2), "\n"])
