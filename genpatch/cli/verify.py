# SPDX-License-Identifier: GPL-2.0-or-later
"""``genpatch verify``: the kernel's own patching code, executed on every site."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import GenpatchError, UsageError
from .audit import (
    needs_sites,
    read_config,
    read_system_map,
    render,
    render_options,
    require,
    rules_of,
    targets_of,
    tell_trouble,
    write_svg,
)
from .exits import exit_status
from .folder import folder
from .progress_line import progress_line

if TYPE_CHECKING:
    from ..image.containers import InputRef
    from ..report.verifying import RunRecord


def verify(
    kernel: Annotated[str, typer.Argument(metavar="KERNEL", help="vmlinux or boot image, or sample:NAME.")],
    function: Annotated[
        list[str] | None,
        typer.Option("--function", metavar="GLOB", help="Only sites of functions that match; may be repeated."),
    ] = None,
    state: Annotated[
        list[str] | None,
        typer.Option("--state", metavar="STATE", help="Judge only this state (see below); may be repeated."),
    ] = None,
    modules: Annotated[
        list[str] | None,
        typer.Option("--modules", metavar="DIR", help="Also load and run these modules; may be repeated."),
    ] = None,
    bpf: Annotated[
        bool | None,
        typer.Option(
            "--bpf/--no-bpf",
            help="Run the BPF JIT and nothing else; or all but it. [default: all]",
        ),
    ] = None,
    formats: Annotated[
        list[str] | None,
        typer.Option("--format", "--output-format", metavar="F[=PATH]", help="Output format; see audit."),
    ] = None,
    output: Annotated[str, typer.Option("--output", "-o", metavar="FILE", help="Write there instead of stdout.")] = "-",
    select: Annotated[list[str] | None, typer.Option(help="Rules to judge by: GP3, GP304 or a name.")] = None,
    ignore: Annotated[list[str] | None, typer.Option(help="Rules not to judge by.")] = None,
    fail_on: Annotated[
        str, typer.Option(help="error, warning, note or never: what makes the exit status 1.")
    ] = "error",
    sites: Annotated[bool, typer.Option("--sites", help="Put every site into the JSON document, too.")] = False,
    svg: Annotated[
        Path | None, typer.Option("--svg", metavar="DIR", help="Also write its pictures there; made if need be.")
    ] = None,
    config: Annotated[Path | None, typer.Option(help="Kernel configuration, if the image holds none.")] = None,
    system_map: Annotated[Path | None, typer.Option(help="Symbols for an image that has none.")] = None,
    max_findings: Annotated[int | None, typer.Option(min=1, help="Findings shown. [default: 50]")] = None,
    color: Annotated[str, typer.Option(help="auto, always or never.")] = "auto",
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Findings only, no progress.")] = False,
    strict: Annotated[bool, typer.Option("--strict", help="Notes fail a rule in ktap and junit.")] = False,
) -> None:
    """Run a kernel's own patching code on every site, and every site in every state.

    ftrace_init_nop, ftrace_make_call, ftrace_modify_call and ftrace_make_nop are executed as machine code, all
    sites at once; then each function is called, enabled and disabled, through the kernel's own trampoline to a
    callback and back. What breaks the contract is a finding (rules GP3xx, see 'genpatch explain GP304').

    Where the kernel has a BPF JIT, that is run, too: some 10,000 trampolines, for every combination of flags that
    it accepts, 0 to 12 arguments and 0 to 3 programs of each kind, are made by the kernel's own code and run over
    a traced function (rules GP351 to GP357).

    States: boot, enabled, redirected, overridden, graph, direct-in-frame, changed, changed-regs, changed-direct,
    disabled, enabled-one, enabled-regs, regs-redirected, regs-overridden, regs-direct-in-frame, direct (also
    direct:ROUTINE for routines of the kernel's own), kprobed, disabled-again, returned, rethook. Exit status:
    0 nothing at or above --fail-on, 1 findings, 2 anything else, also if nothing could be run.
    """
    from ..image.containers import open_content
    from ..image.read import ReadOptions, read_image
    from ..report.formats import format_names
    from ..report.verifying import verify_document
    from ..samples import resolve
    from ..verify.life import state_names

    targets = targets_of(formats or ["text"], output)
    for name, _ in targets:
        require("--format", name, format_names())
    require("--fail-on", fail_on, ("error", "warning", "note", "never"))
    require("--color", color, ("auto", "always", "never"))
    for wanted in state or ():
        if not wanted.startswith("direct:"):
            require("--state", wanted, state_names())
    rules = rules_of(select or ["GP3"], ignore or [], verb="verify")
    options = ReadOptions(
        config=None if config is None else read_config(config),
        system_map=None if system_map is None else read_system_map(system_map),
    )
    image = read_image(open_content(resolve(kernel)), options)
    if not image.kind.is_kernel:
        raise UsageError(f"{kernel}: {image.kind}, expected a linked kernel; modules are given with their kernel")
    if modules and function:
        raise UsageError("--function picks sites of the kernel: leave out --modules")
    if bpf and (function or state or modules):
        raise UsageError("--bpf runs no sites: leave out --function, --state and --modules")
    if bpf and not any(rule.code.startswith("GP35") for rule in rules):
        raise UsageError("--bpf asks rules GP351 to GP357: select some of them")
    found = _modules_in(modules or [])
    with folder(svg), progress_line(quiet) as progress:
        document = verify_document(
            image,
            rules,
            patterns=function or (),
            states=tuple(state or ()),
            keep_sites=sites or needs_sites(targets),
            keep_sleds=sites or any(name == "html" for name, _ in targets),
            modules=found,
            progress=progress,
            told=lambda done, total, path: progress(f"module {done} of {total}"),
            with_sites=not bpf,
            with_bpf=not (function or state) if bpf is None else bpf,
        )
        write_svg(document, svg)
    for name, path in targets:
        options_of = replace(render_options(path, color, max_findings, {}, quiet, strict), sites=sites)
        render(document, name, path, options_of)
    tell_trouble(document)
    status = exit_status(document, fail_on=fail_on, style="default")
    why_not = _bpf_not_run(document.runs[0]) if bpf else _not_run(document.runs[0], bool(state))
    if why_not and not status:
        raise NothingRunError(f"{kernel}: nothing was run: {why_not}")
    raise typer.Exit(status)


class NothingRunError(GenpatchError):
    """No site went through any state: silence is no pass."""


def _modules_in(paths: list[str]) -> list[InputRef]:
    """Return the modules that paths name or hold.

    Raises:
        UsageError: one of them holds none.
    """
    from ..image.containers import Role, iter_members, list_inputs
    from ..samples import resolve

    found: list[InputRef] = []
    for path in paths:
        refs = list_inputs(resolve(path))
        for archive in [ref for ref in refs if ref.role is Role.TAR]:
            refs += iter_members(archive)
        modules = [ref for ref in refs if ref.role is Role.MODULE]
        if not modules:
            raise UsageError(f"--modules {path!r}: no module there")
        found += modules
    return found


def _bpf_not_run(run: RunRecord) -> str:
    """Return why no trampoline was run, empty if some were."""
    return run.bpf.trouble if run.bpf is not None else "BPF was not run"


def _not_run(run: RunRecord, is_chosen: bool) -> str:
    """Return why no site was patched at all, empty if one was; what was asked for by name may be anything."""
    from ..verify.returns import RETURNS

    backs = () if is_chosen else {hook.state for hook in RETURNS}
    if any(state.sites and state.state not in backs for state in run.states):
        return ""
    reasons = [f"{state.state}: {state.skipped}" for state in run.states if state.skipped]
    return "; ".join(reasons[:3] or run.notes[-1:]) or "no reason is known"
