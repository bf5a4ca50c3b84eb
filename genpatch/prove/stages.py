# SPDX-License-Identifier: GPL-2.0-or-later
"""What each stage does and how it tells what came of it; which stages are run, and when, is decided in `run`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from ..audit.model import plural
from ..check.checkpatch import with_checkpatch
from ..check.model import MESSAGE, Patch
from ..check.run import Checked, Judged, check_patches
from ..emit.tree import Tree
from .boot import boot
from .config import Wanted
from .kernel import MOST_LINES, Builder, Built, objects_of
from .model import RANK, Found, Judge, Progress, StageResult, Status
from .series import Applied
from .work import Work, key_of

__all__ = [
    "apply_stage", "boot_stage", "build_stage", "check_stage", "checkpatch_stage", "configure_stage", "judge_stage",
    "objects_stage",
]  # fmt: skip

_FEW = 3


def apply_stage(patches: Sequence[Patch], applied: Applied) -> StageResult:
    """Tell what applied."""
    count = len(patches)
    if applied.unfit:
        number = applied.unfit[0][0]
        lines = [f"patch {at}: {unfit.path}:{unfit.line}: {unfit.why}" for at, unfit in applied.unfit]
        parts = plural(len(applied.unfit), "part")
        return _result("apply", False, f"patch {number} of {count} does not apply: {parts} of it", lines)
    hunks = sum(len(each.hunks) for patch in patches for each in patch.files)
    what = f"{plural(count, 'patch', 'patches')}, {plural(len(applied.paths), 'file')}, {plural(hunks, 'hunk')}"
    return _result("apply", True, what)


def check_stage(patches: Sequence[Patch], tree: Tree, fail_on: str) -> StageResult:
    """Tell what `genpatch check` finds."""
    return _checked("check", check_patches(patches, tree), fail_on)


def checkpatch_stage(patches: Sequence[Patch], tree: Tree, fail_on: str) -> StageResult:
    """Tell what a tree's own checkpatch finds in each message.

    Raises:
        GenpatchError: there is no such script, or it breaks.
    """
    asked = Checked(tuple(Judged(patch.name, (), (), patch=patch) for patch in patches))
    return _checked("checkpatch", with_checkpatch(asked, tree, strict=False), fail_on)


def _checked(name: str, checked: Checked, fail_on: str) -> StageResult:
    found = tuple(
        Found(
            each.rule,
            str(each.level),
            each.message if each.file == MESSAGE else f"{each.file}:{each.line}: {each.message}",
            key_of(each.rule, each.message)[:16],
        )
        for each in checked.findings
    )
    bad = any(RANK[each.level] >= RANK[fail_on] for each in found)
    lines = [f"{each.rule} {each.level}: {each.message}" for each in found]
    lines += [f"not checked: {why}" for why in checked.skipped]
    result = _result(name, not bad, plural(len(found), "finding") if found else "no findings", lines)
    return replace(result, findings=found)


def configure_stage(builder: Builder, wanted: Wanted, work: Work, *, baseline: bool) -> StageResult:
    """Make the configuration and tell which of the wanted lines it has."""
    log = work.log("configure.log", baseline=baseline)
    built, lost, own = builder.configure(wanted, log)
    if not built.is_good:
        return _failed_make("configure", built, _log(work, log))
    lines = [f"not kept: {name}={wanted.asked[name]}: it is {value}" for name, value in lost.items()]
    lines += [f"not in this tree, or not so: {name}={wanted.own[name]}: it is {value}" for name, value in own.items()]
    total = len({**wanted.own, **wanted.asked})
    kept = total - len(lost) - len(own)
    evidence = f"all {plural(total, 'line')} kept" if kept == total else f"{kept} of {plural(total, 'line')} kept"
    if lost:
        evidence += f"; not kept of those asked for: {', '.join(lost)}"
    evidence = evidence if total else f"make {wanted.base or 'olddefconfig'}"
    is_good = baseline or not lost  # an option may be one that the series brings
    return replace(_result("configure", is_good, evidence, lines), log=_log(work, log))


def objects_stage(
    builder: Builder,
    applied: Applied,
    tree: Tree,
    put: Callable[[Mapping[str, str | None]], None],
    work: Work,
    *,
    each: Callable[[int], Built] | None,
) -> StageResult:
    """Make the objects of the files that the series changes.

    Args:
        put: makes the copy what the series is at some patch.
        each: configures for the patch of a number (the first is 1); None if only the whole series is built.
    """
    log = work.log("objects.log", baseline=False)
    last = len(applied.states) - 1
    made: set[str] = set()
    warnings: dict[str, None] = {}
    unknown: dict[str, None] = {}
    for number in range(1, last + 1) if each is not None else [last]:
        texts = applied.states[number]
        put(texts)
        targets = objects_of(applied.paths, texts, tree.has)
        if each is not None and not (configured := each(number)).is_good:
            return _failed_make("objects", configured, _log(work, log), f"patch {number} of {last}: ")
        absent = builder.absent(targets)
        unknown |= {f"{name} ({option})": None for name, option in absent.items()}
        targets = [name for name in targets if name not in absent]
        if not targets:  # make without a target would make everything
            continue
        built = builder.objects(targets, log)
        if not built.is_good:
            return _failed_make("objects", built, _log(work, log), f"patch {number} of {last}: ")
        made.update(target for target in targets if target not in built.unknown)
        warnings |= dict.fromkeys(built.warnings)
        unknown |= dict.fromkeys(built.unknown)
    lines = [*warnings][:MOST_LINES] + [f"not in this configuration: {name}" for name in unknown]
    if len(names := made - {"prepare"}) > _FEW:
        lines.append(f"made: {', '.join(sorted(names))}")
    where = f" after each of {plural(last, 'patch', 'patches')}" if each is not None else ""
    evidence = f"{_named(made - {'prepare'})}{where}, {_warned(warnings)}" if made else "nothing that is an object"
    return replace(_result("objects", True, evidence, lines), log=_log(work, log))


def build_stage(builder: Builder, work: Work, *, baseline: bool) -> StageResult:
    """Make the kernel."""
    log = work.log("build.log", baseline=baseline)
    built = builder.kernel(log)
    if not built.is_good:
        return _failed_make("build", built, _log(work, log))
    if not (builder.vmlinux.is_file() and builder.image.is_file()):
        return replace(_result("build", False, "make left no vmlinux or no Image"), log=_log(work, log))
    sizes = f"vmlinux {builder.vmlinux.stat().st_size:,} bytes, Image {builder.image.stat().st_size:,} bytes"
    evidence = f"{sizes}, {plural(len(builder.modules), 'module')}, {_warned(built.warnings)}"
    return replace(_result("build", True, evidence, list(built.warnings)[:MOST_LINES]), log=_log(work, log))


def judge_stage(
    name: str, judge: Judge, builder: Builder, work: Work, progress: Progress, *, baseline: bool
) -> StageResult:
    """Judge the kernel that was built; whether its findings fail is decided later."""
    log = work.log(f"{name}.json", baseline=baseline)
    made = judge(builder.vmlinux, builder.modules, log, progress)
    result = _result(name, not made.trouble, made.evidence, made.lines)
    kept = _log(work, log) if log.exists() else ""
    return replace(result, findings=made.findings, trouble=made.trouble, log=kept)


def boot_stage(builder: Builder, work: Work, progress: Progress, *, timeout: float) -> StageResult:
    """Start the kernel."""
    log = work.log("boot.log", baseline=False)
    booted = boot(builder.image, log, timeout=timeout, progress=progress)
    console = booted.console
    ends = {"time": f"ended after {timeout:.0f} seconds; ", "output": "ended for what it said too much; "}
    lines = [console.banner] if console.banner else []
    lines += [f"complaint: {line}" for line in console.complaints[:MOST_LINES]]
    lines += [f"failed: {name}" for name in console.failed]
    lines += [f"passed: {', '.join(console.passed)}"] if console.passed else []
    is_good = console.is_good and not booted.why
    return replace(_result("boot", is_good, ends.get(booted.why, "") + console.evidence, lines), log=_log(work, log))


def _failed_make(name: str, built: Built, log: str, before: str = "") -> StageResult:
    why = {"time": "make was ended: it took too long", "output": "make was ended: it said too much"}.get(
        built.ran.why, ""
    )
    first = built.errors[0] if built.errors else f"make left with status {built.ran.status}"
    return replace(_result(name, False, before + (why or first), built.errors), log=log)


def _named(made: Iterable[str]) -> str:
    names = sorted(made)
    return ", ".join(names) if len(names) <= _FEW else f"{len(names)} objects" if names else "what is prepared"


def _warned(warnings: Iterable[str]) -> str:
    count = len(list(warnings))
    return plural(count, "warning") if count else "no warning"


def _log(work: Work, log: Path) -> str:
    return str(log.relative_to(work.root))


def _result(name: str, is_good: bool, evidence: str, lines: Iterable[str] = ()) -> StageResult:
    return StageResult(name, Status.OK if is_good else Status.FAILED, evidence=evidence, lines=tuple(lines))
