# SPDX-License-Identifier: GPL-2.0-or-later
"""What stands behind a scheme's call, as assembler text: trampolines and dispatchers, rendered from templates."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from .model import CallScheme, Link, OpsIn

if TYPE_CHECKING:
    from jinja2 import Environment

__all__ = ["FRAMES", "OpsLayout", "dispatcher_source", "kind_of", "template_root", "trampoline_source"]

FRAMES = ("args", "regs")
"""What a callback is given: what it may ask for (112 bytes), or every register as in struct pt_regs (288 bytes)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OpsLayout:
    """Where a trampoline finds the members of struct ftrace_ops.

    Args:
        func: offset of the callback [bytes].
        direct_call: offset of the direct trampoline [bytes].
        size: of the whole, as far as it matters here [bytes].
    """

    func: int = 0
    direct_call: int = 8
    size: int = 32


def template_root() -> Path:
    """Return the directory of the templates: in the package when it is installed, in the repository otherwise."""
    packaged = Path(__file__).parent.parent / "_templates"
    return packaged if packaged.is_dir() else Path(__file__).parents[2] / "templates"


@cache
def _environment() -> Environment:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    return Environment(loader=FileSystemLoader(template_root() / "trampoline"), undefined=StrictUndefined)


def kind_of(scheme: CallScheme) -> str:
    """Return the name of the template of a scheme's trampoline."""
    if scheme.owner == "bpf":
        return "bpf"
    return "pushed" if scheme.dispatcher is not None else scheme.ops_in.value


def trampoline_source(
    scheme: CallScheme, *, frame: str = "args", ops: int | str = 0, layout: OpsLayout | None = None, fastcc: bool = True
) -> str:
    """Return a trampoline for a scheme's calls.

    It calls ops->func with ip, parent ip, ops and frame in a0 to a3, restores what it has changed and goes on
    behind the call. The text is understood by GNU as, clang and `isa.assemble`; it has one symbol to be defined
    where the ops are in a slot, ``slot``.

    Args:
        frame: one of FRAMES; of no account to a BPF trampoline, which has its own.
        ops: address of the ops, or a symbol, where each tracer has a trampoline.
        layout: of struct ftrace_ops.
        fastcc: keep t2 to t6, in which clang passes arguments of local functions, behind the small frame as well;
            and t0, where the link is ra. Without it they are lost.
    """
    assert frame in FRAMES, frame
    layout = layout or OpsLayout()
    below = 16 if scheme.link is Link.RA or scheme.dispatcher is not None else 0
    parameters: dict[str, int | str | None] = {
        "frame": frame,
        "link": scheme.link.value,
        "returns_to": scheme.return_offset,
        "ip": scheme.ip_offset,
        "func": layout.func,
        "below": below,
        "pushed": below if scheme.dispatcher is not None else 0,
        "t1": "zero" if scheme.direct_call else "t1",
        "fastcc": fastcc,
    }
    if scheme.ops_in is OpsIn.OWN:
        parameters["ops"] = ops if isinstance(ops, str) else f"{ops:#x}"
    elif scheme.ops_in is OpsIn.LITERAL:
        parameters |= {
            "literal": scheme.literal,
            "direct": scheme.direct_call,
            "direct_call": layout.direct_call,
        }
    return _environment().get_template(f"{kind_of(scheme)}.S.j2").render(p=parameters).strip() + "\n"


def dispatcher_source(scheme: CallScheme) -> str:
    """Return the dispatcher that stands below each function; its symbol ``body`` is the common trampoline."""
    assert scheme.dispatcher is not None, scheme.name
    return _environment().get_template("dispatcher.S.j2").render().strip() + "\n"
