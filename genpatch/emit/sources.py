# SPDX-License-Identifier: GPL-2.0-or-later
"""A scheme's own sources, printed only after they were assembled and executed in the sample that is built from them."""

from __future__ import annotations

import hashlib
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING

from ..errors import UsageError
from ..schemes import CATALOG, CallScheme
from ..schemes.model import Need
from ..schemes.sources import PATCHING, ops_symbol, sources_of, trampoline_names
from ..schemes.trampoline import OpsLayout
from .errors import EmitError

if TYPE_CHECKING:
    from ..image.model import KernelImage
    from ..race.environment import Environment

__all__ = ["Sources", "scheme_name", "scheme_sources"]

_LAYOUT = OpsLayout(direct_call=32)  # as struct ftrace_ops of the samples has it
_TRANSITIONS = ("enable", "change", "disable", "retire")


@dataclass(frozen=True)
class Sources:
    """What came of one scheme.

    Args:
        scheme: which.
        files: name to text.
        verdict: what was tried with them and what came of it, a line each.
        passed: all of it was as it should be.
    """

    scheme: CallScheme
    files: Mapping[str, str]
    verdict: tuple[str, ...]
    passed: bool


def scheme_name(name: str) -> str:
    """Return the scheme that a name on the command line means: its own, or that of a series.

    Raises:
        UsageError: it means none.
    """
    from .recipe import find_recipes

    recipes = find_recipes()
    if name in CATALOG:
        return name
    if name in recipes:
        if not recipes[name].scheme:
            raise UsageError(f"{name}: mends a tree and has no sources of its own: name the tree with --linux TREE")
        return recipes[name].scheme
    near = get_close_matches(name, [*recipes, *CATALOG], 1, 0.5)
    hint = f"is it {near[0]!r}?" if near else "'genpatch emit --list' and 'genpatch schemes' list them"
    raise UsageError(f"{name!r}: nothing of that name can be emitted; {hint}")


def scheme_sources(name: str) -> Sources:
    """Return the sources of a scheme of the catalog, after they were tried.

    Raises:
        EmitError: the sample of the scheme is missing, or was built from other sources.
    """
    scheme = CATALOG[name]
    files = sources_of(scheme, _LAYOUT)
    image = _sample(scheme, files)
    trials = [_assembled(image, scheme, files), _executed(image, scheme), _explored(scheme)]
    made = {file: text if file == PATCHING else _framed(scheme, file, text) for file, text in files.items()}
    return Sources(scheme, made, tuple(line for line, _ in trials), all(passed for _, passed in trials))


def _sample(scheme: CallScheme, files: Mapping[str, str]) -> KernelImage:
    """Return the sample that is built from a scheme's sources.

    Raises:
        EmitError: its manifest names others.
    """
    from ..image.containers import open_content
    from ..image.read import ReadOptions, read_image
    from ..samples import sample_root

    path = sample_root() / f"scheme-{scheme.name}.elf"
    manifest = path.with_suffix(".toml")
    if not (path.is_file() and manifest.is_file()):
        raise EmitError(f"{scheme.name}: no sample was built from its sources, so they cannot be tried")
    known = tomllib.loads(manifest.read_text(encoding="utf-8")).get("sources", {})
    if known != {name: hashlib.sha256(text.encode()).hexdigest() for name, text in files.items()}:
        raise EmitError(f"{scheme.name}: sample:{path.stem} was built from other sources: build it again")
    return read_image(open_content(str(path)), ReadOptions())


def _assembled(image: KernelImage, scheme: CallScheme, files: Mapping[str, str]) -> tuple[str, bool]:
    """Assemble the trampolines at the sample's addresses; its own bytes are another assembler's."""
    from ..isa.assemble import assemble

    sizes = []
    for name in trampoline_names(scheme):
        at = _address(image, f"bpf_trampoline_{name}" if scheme.owner == "bpf" else name)
        data = assemble(files[f"{name}.S"], at, symbols=dict(_symbols(image, scheme, name)))
        found = image.memory.read(at, len(data))
        if found != data:
            return f"{name}: assembled, but sample:scheme-{scheme.name} has other bytes", False
        sizes.append(f"{name} {len(data)} bytes")
    return f"assembled: {', '.join(sizes)}, the bytes that the sample's assembler made", True


def _symbols(image: KernelImage, scheme: CallScheme, trampoline: str) -> Iterator[tuple[str, int]]:
    """Yield what a trampoline's text leaves open, and where it is in the sample."""
    named = {"slot": "function_trace_op", "ops": "ftrace_list_ops"}
    if scheme.owner == "bpf":
        named = {ops_symbol(scheme, trampoline): f"bpf_run_{trampoline}"}
    for symbol, place in named.items():
        if (at := image.symbols.find(place)) is not None:
            yield symbol, at


def _address(image: KernelImage, name: str) -> int:
    at = image.symbols.find(name)
    if at is None:
        raise EmitError(f"the sample has no symbol {name}")
    return at


def _executed(image: KernelImage, scheme: CallScheme) -> tuple[str, bool]:
    """Run the sample's own patching code, and its sites, through every state."""
    from ..verify.run import verify

    result = verify(image)
    tried = [state for state in result.states if not state.skipped]
    failed = [state.name for state in tried if state.failed.size]
    insns = sum(state.insns for state in tried)
    line = f"executed: sample:scheme-{scheme.name}, built from these files, {len(result.sites)} sites"
    if failed:
        return f"{line}: FAILED in {', '.join(failed)}", False
    return f"{line} pass in {len(tried)} states, {insns:,} instructions", bool(tried)


def _explored(scheme: CallScheme) -> tuple[str, bool]:
    """Explore each transition where the scheme has what it needs."""
    from ..race.run import catalog_rows

    rows = list(catalog_rows([scheme], [_environment(scheme)], _TRANSITIONS))
    unsafe = [f"{row.transition} is {row.verdict}" for row in rows if row.verdict != "safe"]
    states = sum(row.states for row in rows)
    needs = ", ".join(sorted(need.value for need in scheme.needs)) or "nothing"
    if unsafe:
        return f"explored: with {needs}: {'; '.join(unsafe)}", False
    return f"explored: {', '.join(_TRANSITIONS)} are safe with {needs}, {states:,} states", True


def _environment(scheme: CallScheme) -> Environment:
    """Return the least careful environment that gives a scheme what it needs."""
    from ..race.environment import get_environment

    settings = [f"alignment={scheme.alignment if scheme.alignment < 8 else 8}"]
    settings.append(f"preemption={'none' if Need.NO_PREEMPTION in scheme.needs else 'full'}")
    if Need.STOP_MACHINE in scheme.needs:
        settings.append("stop_machine=yes")
    if Need.FUSED_PAIR in scheme.needs:
        settings.append("fused=auipc-jalr")
    return get_environment(",".join(["smp", *settings]))


def _framed(scheme: CallScheme, file: str, text: str) -> str:
    """Return an assembly file with its label, section and the symbols that it leaves open."""
    name = file.removesuffix(".S")
    lines = ["/* SPDX-License-Identifier: GPL-2.0 */", '\t.section .text.trampoline, "ax"', "\t.option norvc"]
    if name == "dispatcher":
        name = "ftrace_dispatcher"
        lines[1] = "\t.section .rodata"
        lines.append("\t.set\tbody, ftrace_dispatcher")  # each copy gets its own distance
    if "%pcrel_hi(slot)" in text:
        lines.append("\t.set\tslot, function_trace_op")
    if f".dword\t{ops_symbol(scheme, name)}" in text and scheme.owner != "bpf":
        lines.append("\t.set\tops, ftrace_list_ops")
    return "\n".join([*lines, "\t.balign\t16", f"\t.globl\t{name}", f"{name}:", text.rstrip(), ""])
