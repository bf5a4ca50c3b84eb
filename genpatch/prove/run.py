# SPDX-License-Identifier: GPL-2.0-or-later
"""From a series and a tree to a proof: which stages are run, in which order, and which need not be repeated."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from .. import __version__
from ..emit.tree import Tree, blob_id, open_tree
from ..errors import GenpatchError
from .commands import said
from .config import Wanted
from .errors import ProveError
from .kernel import Builder, Built
from .model import JUDGED, RANK, Judge, Progress, Proof, StageResult, Status
from .scratch import Scratch
from .series import Applied, Part, apply_series, subjects_of
from .stages import (
    apply_stage,
    boot_stage,
    build_stage,
    check_stage,
    checkpatch_stage,
    configure_stage,
    judge_stage,
    objects_stage,
)
from .tools import BTF_HEADERS, SIGNING_HEADERS, Toolchain, missing, needed, require_tools, versions
from .work import Work, digest_of, key_of

__all__ = ["Order", "prove"]

_GIB = 1 << 30
_ROOM = {"objects": _GIB, "small": 3 * _GIB, "large": 20 * _GIB}
_NO_OBJECTS = "only objects were asked for"


@dataclass(frozen=True)
class Order:
    """What is asked for.

    Args:
        wanted: configuration.
        toolchain: to build with.
        each: objects are made after each patch.
        objects_only: no kernel is linked.
        checkpatch: the tree's own script is run.
        boot: the kernel is started.
        baseline: all is done without the series too.
        ccache: compiles go through it.
        jobs: of make.
        boot_timeout: [seconds].
        fail_on: level of the findings that fail.
    """

    wanted: Wanted
    toolchain: Toolchain
    each: bool = False
    objects_only: bool = False
    checkpatch: bool = False
    boot: bool = False
    baseline: bool = False
    ccache: bool = False
    jobs: int = 1
    boot_timeout: float = 600.0
    fail_on: str = "error"

    @property
    def has_btf(self) -> bool:
        """The build needs pahole, and a program of its own that needs libelf, even for single objects."""
        return self.wanted.has("CONFIG_DEBUG_INFO_BTF")

    def check_tools(self) -> None:
        """Name every program that is missing.

        Raises:
            ProveError: some are.
        """
        programs = needed(
            self.toolchain, btf=self.has_btf, boot=self.boot and not self.objects_only, checkpatch=self.checkpatch,
            ccache=self.ccache,
        )  # fmt: skip
        headers = BTF_HEADERS if self.has_btf else {}
        if self.wanted.base != "tinyconfig" and not self.objects_only:  # what is large enough to sign modules
            headers = headers | SIGNING_HEADERS
        require_tools(missing(programs, headers, self.toolchain.host))


def prove(
    order: Order, tree: Tree, parts: Sequence[Part], work: Work, judges: Mapping[str, Judge], progress: Progress
) -> Proof:
    """Prove a series.

    Args:
        parts: of the series.
        judges: for each of `JUDGED`.

    Raises:
        ProveError: it cannot be tried: a program or room is missing, or the tree changed meanwhile.
    """
    order.check_tools()
    return _Prover(order, tree, parts, work, judges, progress).prove()


@dataclass
class _Prover:
    order: Order
    tree: Tree
    parts: Sequence[Part]
    work: Work
    judges: Mapping[str, Judge]
    progress: Progress
    stages: list[StageResult] = field(default_factory=list)
    baseline: list[StageResult] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def prove(self) -> Proof:
        """Run all stages that can be run."""
        started = time.monotonic()
        patches = [patch for part in self.parts for patch in part.patches]
        self.progress("applying the series")
        applied = apply_series(self.tree, patches)
        before = self._touched_now(applied)
        self.scratch = Scratch(self.tree, self.work.source)
        self.programs = versions(
            self.order.toolchain, btf=self.order.has_btf, boot=self.order.boot, ccache=self.order.ccache
        )
        self._add(apply_stage(patches, applied))
        if applied.unfit:
            self._skip("the series does not apply", "check", "configure", "objects", "build", *JUDGED, "boot")
        else:
            self._add(self._timed("check", lambda: check_stage(patches, self.tree, self.order.fail_on)))
            self._copy()
            if self.order.checkpatch:
                self.scratch.put({})
                copy = open_tree(self.work.source)
                self._add(self._timed("checkpatch", lambda: checkpatch_stage(patches, copy, self.order.fail_on)))
            known = self._without() if self.order.baseline else set()
            self._with_series(applied, known)
        if self._touched_now(applied) != before:
            raise ProveError(f"{self.tree.root}: its files changed while the series was proved: nothing is proved")
        return self._proof(applied, time.monotonic() - started)

    def _proof(self, applied: Applied, seconds: float) -> Proof:
        return Proof(
            version=self.tree.version,
            tree=self._tree_words(applied),
            patches=subjects_of(self.parts),
            digest=applied.digest[:12],
            programs={"genpatch": __version__, **self.programs},
            config=self.order.wanted.what,
            stages=tuple(map(self._plain, self.stages)),
            baseline=tuple(map(self._plain, self.baseline)),
            fail_on=self.order.fail_on,
            seconds=round(seconds, 1),
            notes=tuple(self.notes),
        )

    def _tree_words(self, applied: Applied) -> str:
        parts = [f"{len(self.scratch.listing):,} files as they lie there"] if "listing" in vars(self.scratch) else []
        parts.append(f"commit {self.tree.head[:12]}" if self.tree.head else "no git work tree")
        if self.tree.head and (dirty := self.tree.changed(applied.paths)):
            parts.append(f"not as committed: {', '.join(dirty)}")
        return ", ".join(parts)

    def _touched_now(self, applied: Applied) -> dict[str, str]:
        """Return what names the content of each file of the tree that the series changes."""
        files = {path: self.tree.root / path for path in applied.paths}
        return {path: blob_id(file.read_bytes()) if file.is_file() else "" for path, file in files.items()}

    def _copy(self) -> None:
        self.progress("reading the tree")
        room = "objects" if self.order.objects_only else "large" if self.order.wanted.base != "tinyconfig" else "small"
        wants = 0 if self.work.source.is_dir() else self.scratch.size
        builds = [self.work.out(baseline=False), *([self.work.out(baseline=True)] if self.order.baseline else [])]
        wants += sum(_ROOM[room] for folder in builds if not folder.is_dir())
        free = shutil.disk_usage(self.work.root).free
        if free < wants:
            have, need = (f"{size / _GIB:.1f} GiB" for size in (free, wants))
            raise ProveError(f"{self.work.root}: {have} are free, {need} are needed for a copy and its builds")
        if self.scratch.refresh(self.progress):
            self.work.drop_builds()
            self.notes.append("the tree has changed since the last run in this work directory: all was built anew")

    def _without(self) -> set[str]:
        """Run the stages without the series; return what names the findings there."""
        self.scratch.put({})
        builder = self._builder(baseline=True)
        key = key_of("base", self.scratch.identity, self._chosen())
        base = self.baseline.append
        configured = self._configured(builder, key, baseline=True)
        base(configured)
        if configured.is_bad or self.order.objects_only:
            why = "it could not be configured" if configured.is_bad else _NO_OBJECTS
            self.baseline += [StageResult(name, Status.SKIPPED, evidence=why) for name in ("build", *JUDGED)]
            return set()
        built, made = self._built(builder, key, baseline=True)
        base(built)
        known: set[str] = set()
        for name in JUDGED:
            if built.is_bad:
                base(StageResult(name, Status.SKIPPED, evidence="it could not be built"))
                continue
            judged = self._judged(name, builder, made, baseline=True)
            base(judged)
            known |= {found.key for found in judged.findings}
        return known

    def _with_series(self, applied: Applied, known: set[str]) -> None:
        builder = self._builder(baseline=False)
        key = key_of("series", self.scratch.identity, self._chosen(), applied.digest)
        texts = applied.last
        if self.order.each:
            self._add(self._objects(builder, applied, key))
            if self.stages[-1].is_bad:
                self._skip("not every patch can be built", "configure", "build", *JUDGED, "boot")
                return
        self.scratch.put(texts)
        self._add(self._configured(builder, key, baseline=False))
        if self.stages[-1].is_bad:
            rest = () if self.order.each else ("objects",)
            self._skip("it could not be configured as asked", *rest, "build", *JUDGED, "boot")
            return
        if not self.order.each:
            self._add(self._objects(builder, applied, key))
        if self.stages[-1].is_bad or self.order.objects_only:
            why = "objects could not be built" if self.stages[-1].is_bad else _NO_OBJECTS
            self._skip(why, "build", *JUDGED, "boot")
            return
        built, made = self._built(builder, key, baseline=False)
        self._add(built)
        if built.is_bad:
            self._skip("there is no kernel", *JUDGED, "boot")
            return
        for name in JUDGED:
            judged = self._judged(name, builder, made, baseline=False)
            self._add(self._verdict(judged, known))
        self._boot(builder, key_of(made, said(("qemu-system-riscv64", "--version")), self.order.boot_timeout))

    def _boot(self, builder: Builder, key: str) -> None:
        if not self.order.boot:
            self._skip("not asked for (--boot)", "boot")
            return
        self._add(
            self._stage(
                "boot", key, lambda: boot_stage(builder, self.work, self.progress, timeout=self.order.boot_timeout)
            )
        )

    def _configured(self, builder: Builder, key: str, *, baseline: bool) -> StageResult:
        config = builder.out / ".config"
        is_there = self.work.sealed(config, key)
        result = self._stage(
            "configure", key, lambda: configure_stage(builder, self.order.wanted, self.work, baseline=baseline),
            baseline=baseline, is_there=is_there,
        )  # fmt: skip
        if not result.is_bad and not result.kept:
            self.work.seal(config, key)
        return result

    def _built(self, builder: Builder, key: str, *, baseline: bool) -> tuple[StageResult, str]:
        """Return what building came to, and what names everything that is judged; empty if nothing was built."""
        is_there = self.work.sealed(builder.vmlinux, key) and builder.image.is_file()
        result = self._stage(
            "build", key, lambda: build_stage(builder, self.work, baseline=baseline), baseline=baseline,
            is_there=is_there,
        )  # fmt: skip
        if result.is_bad:
            return result, ""
        if not result.kept:
            self.work.seal(builder.vmlinux, key)
        files = (builder.vmlinux, builder.image, builder.out / ".config", *builder.modules)
        return result, key_of(__version__, *map(digest_of, files))

    def _objects(self, builder: Builder, applied: Applied, key: str) -> StageResult:
        def each(number: int) -> Built:
            log = self.work.log(f"configure-{number}.log", baseline=False)
            return builder.configure(self.order.wanted, log)[0]

        return self._stage(
            "objects",
            key_of(key, self.order.each),
            lambda: objects_stage(
                builder, applied, self.tree, self.scratch.put, self.work, each=each if self.order.each else None
            ),
        )

    def _judged(self, name: str, builder: Builder, key: str, *, baseline: bool) -> StageResult:
        def judge() -> StageResult:
            return judge_stage(name, self.judges[name], builder, self.work, self.progress, baseline=baseline)

        return self._stage(name, key, judge, baseline=baseline)

    def _verdict(self, result: StageResult, known: set[str]) -> StageResult:
        """Return a stage as its findings make it; those that are there without the series are not the series'."""
        bad = [
            each for each in result.findings if RANK[each.level] >= RANK[self.order.fail_on] and each.key not in known
        ]
        return replace(result, status=Status.FAILED if bad or result.trouble else result.status)

    def _builder(self, *, baseline: bool) -> Builder:
        order, work = self.order, self.work
        label = "without the series: " if baseline else ""
        return Builder(
            work.source, work.out(baseline=baseline), order.toolchain, order.ccache, order.jobs, self.progress, label
        )

    def _chosen(self) -> str:
        programs = {name: text for name, text in self.programs.items() if name not in ("qemu", "ccache")}
        return key_of(self.order.wanted.digest, self.order.toolchain, sorted(programs.items()))

    def _stage(
        self, name: str, key: str, do: Callable[[], StageResult], *, baseline: bool = False, is_there: bool = True
    ) -> StageResult:
        """Return what a stage comes to; it is not run again if it was in order and nothing is different."""
        full = f"{'without' if baseline else 'with'}/{name}"
        kept = self.work.kept(full, key) if is_there else None
        if kept is not None and not kept.is_bad:
            return kept
        self.work.forget(full)
        result = self._timed(name, do, baseline=baseline)
        if not result.trouble:
            self.work.keep(full, key, result)
        return result

    def _timed(self, name: str, do: Callable[[], StageResult], *, baseline: bool = False) -> StageResult:
        self.progress(f"{'without the series: ' if baseline else ''}{name}")
        started = time.monotonic()
        try:
            result = do()
        except ProveError:
            raise
        except GenpatchError as error:
            result = StageResult(name, Status.FAILED, evidence=str(error), trouble=str(error))
        return replace(result, seconds=round(time.monotonic() - started, 1))

    def _add(self, result: StageResult) -> None:
        self.stages.append(result)

    def _skip(self, why: str, *names: str) -> None:
        self.stages += [StageResult(name, Status.SKIPPED, evidence=why) for name in names]

    def _plain(self, result: StageResult) -> StageResult:
        """Return a result that names no directory of this machine."""
        return replace(
            result,
            evidence=self._scrubbed(result.evidence),
            trouble=self._scrubbed(result.trouble),
            lines=tuple(map(self._scrubbed, result.lines)),
            findings=tuple(replace(each, message=self._scrubbed(each.message)) for each in result.findings),
        )

    def _scrubbed(self, text: str) -> str:
        places: list[tuple[Path, str]] = [
            (self.work.out(baseline=False), ""), (self.work.out(baseline=True), ""), (self.work.source, ""),
            (self.work.root, "WORK/"), (self.tree.root.absolute(), "TREE/"), (self.tree.root.resolve(), "TREE/"),
            (Path("~").expanduser() if "HOME" in os.environ else Path(), "~/"),
        ]  # fmt: skip
        for path, name in places:
            if len(path.parts) > 1:
                text = text.replace(f"{path}/", name).replace(str(path), name.rstrip("/") or path.name)
        return text.replace("../src/", "")
