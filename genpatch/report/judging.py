# SPDX-License-Identifier: GPL-2.0-or-later
"""A kernel that a proof has built, judged by audit, verify and race, in the words of a proof."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from ..audit.model import Rule, plural
from ..audit.registry import all_rules
from ..image.config import config_label, parse_config
from ..image.containers import InputRef, list_inputs, open_content
from ..image.model import KernelImage
from ..image.read import ReadOptions, read_image
from ..prove.model import Found, Judge, Judgement, Progress
from .auditing import AuditOptions, audit_paths
from .document import AuditDocument
from .racing import kernel_document
from .verifying import RunRecord, verify_document

__all__ = ["JUDGES", "judge_audit", "judge_race", "judge_verify"]

_MOST_LINES = 40


def judge_audit(vmlinux: Path, modules: tuple[Path, ...], log: Path, progress: Progress) -> Judgement:
    """Read the kernel and its modules.

    Raises:
        InputError: the kernel cannot be read.
    """
    content = open_content(vmlinux.parent / ".config")
    options = AuditOptions(
        rules=_rules(),
        config=parse_config(content.data.tobytes(), config_label(str(vmlinux.parent / ".config"))),
        progress=lambda done, total, name: progress(f"audit: {done} of {total or '?'}: {Path(name).name}"),
    )
    document = audit_paths([str(vmlinux), *map(str, modules)], options)
    _write(document, log)
    kernel = document.images[0]
    evidence = f"{plural(kernel.table.sites, 'site')}, {kernel.scheme}, {_counted(document)}"
    return Judgement(evidence, _found(document), (), _trouble(document))


def judge_verify(vmlinux: Path, modules: tuple[Path, ...], log: Path, progress: Progress) -> Judgement:
    """Run the kernel's patching code and its sites, and those of its modules.

    Raises:
        InputError: the kernel cannot be read.
    """
    refs: list[InputRef] = [ref for path in modules for ref in list_inputs(path)]
    document = verify_document(
        _image(vmlinux), _rules(), modules=refs, progress=lambda state: progress(f"verify: {state}"),
        told=lambda done, total, path: progress(f"verify: module {done} of {total}"),
    )  # fmt: skip
    _write(document, log)
    runs = document.runs
    tried = {state.state for run in runs for state in run.states if state.sites}
    failed = sum(state.failed for run in runs for state in run.states)
    sites = sum(run.sites for run in runs)
    evidence = f"{plural(sites, 'site')} in {plural(len(tried), 'state')}, "
    evidence += f"{failed:,} failed" if failed else "none failed"
    trouble = _trouble(document) if tried else "nothing was run"
    return Judgement(evidence, _found(document), tuple(_states(runs)), trouble)


def _states(runs: tuple[RunRecord, ...]) -> list[str]:
    """Return a line for each state in which sites failed, then one for all that were not tried in the kernel."""
    lines = [
        f"{Path(run.path).name}: {state.state}: {state.failed:,} of {state.sites:,} sites failed"
        for run in runs
        for state in run.states
        if state.failed
    ]
    passed = [f"{state.state} {state.passed:,}" for state in runs[0].states if state.sites] if runs else []
    skipped = [f"{state.state} not tried: {state.skipped}" for state in runs[0].states if state.skipped] if runs else []
    return [*lines[:_MOST_LINES], *([f"passed: {', '.join(passed)}"] if passed else []), *skipped]


def judge_race(vmlinux: Path, modules: tuple[Path, ...], log: Path, progress: Progress) -> Judgement:
    """Explore how the kernel's patching interleaves with execution, in its own environment.

    Raises:
        GenpatchError: what it does could not be seen.
    """
    document = kernel_document(_image(vmlinux), _rules(), progress=lambda text: progress(f"race: {text}"))
    _write(document, log)
    counts = ", ".join(f"{count} {verdict}" for verdict, count in document.counts.items() if count)
    settings = document.environments[0].settings() if document.environments else {}
    own = ", ".join(f"{name}={value}" for name, value in settings.items())
    evidence = f"{plural(len(document.rows), 'transition')}: {counts}; {plural(document.states, 'state')}"
    lines = [f"environment: {own}"] if own else []
    lines += [f"{row.transition}: {row.verdict}{f' ({row.why})' if row.why else ''}" for row in document.rows]
    return Judgement(evidence, _found(document), tuple(lines), _trouble(document))


JUDGES: Mapping[str, Judge] = {"audit": judge_audit, "verify": judge_verify, "race": judge_race}


def _rules() -> tuple[Rule, ...]:
    """Return all rules; the runner picks those that judge what was done."""
    return tuple(all_rules().values())


def _image(vmlinux: Path) -> KernelImage:
    path = vmlinux.parent / ".config"
    config = parse_config(open_content(path).data.tobytes(), config_label(str(path)))
    return read_image(open_content(vmlinux), ReadOptions(config=config))


def _write(document: AuditDocument, log: Path) -> None:
    log.write_text(json.dumps(document.as_json(), indent=1) + "\n", encoding="utf-8")


def _counted(document: AuditDocument) -> str:
    summary = document.summary
    parts = [plural(count, noun) for count, noun in
             ((summary.errors, "error"), (summary.warnings, "warning"), (summary.notes, "note")) if count]  # fmt: skip
    return ", ".join(parts) or "no findings"


def _trouble(document: AuditDocument) -> str:
    return "; ".join(document.trouble[:3])


def _found(document: AuditDocument) -> tuple[Found, ...]:
    return tuple(
        Found(each.rule, each.level, f"{_where(each.image, each.symbol)}{each.message}", each.fingerprint, each.sites)
        for image in document.images
        for each in image.findings
    )


def _where(image: str, symbol: str) -> str:
    name = Path(image).name
    return f"{name}: " if name != "vmlinux" else ""
