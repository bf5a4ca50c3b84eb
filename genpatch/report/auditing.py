# SPDX-License-Identifier: GPL-2.0-or-later
"""Audits everything that some paths name: kernels first, then their modules in parallel, into one document."""

from __future__ import annotations

import gc
import multiprocessing
import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from ..audit.facts import Facts
from ..audit.model import Rule
from ..audit.runner import run_rules
from ..errors import GenpatchError, InputError
from ..image.config import config_label, parse_config
from ..image.containers import InputRef, Role, iter_members, list_inputs, open_ref
from ..image.model import ConfigFacts, ImageKind, KernelImage
from ..image.read import ReadOptions, read_image
from ..image.symbols import SymbolTable
from .build import build_document, image_record
from .document import AuditDocument, ImageRecord

Progress = Callable[[int, int | None, str], None]
"""Called with (images done, images in all or None, what is at hand)."""

_CHUNK = 8
_MAX_CONFIG = 1 << 26


@dataclass(frozen=True, kw_only=True)
class AuditOptions:
    """How to audit.

    Args:
        rules: which, in order.
        config: configuration for every kernel, or None for what each brings.
        system_map: symbols for boot images and stripped kernels.
        kernel: path of the kernel that modules are for, or None for the one among the inputs.
        jobs: processes for modules; 0 for one a processor.
        keep_sites: keep the sites for renderers that list them.
        progress: told of each image.
        limit: how much may come out of one file's compression [bytes].
    """

    rules: tuple[Rule, ...]
    config: ConfigFacts | None = None
    system_map: SymbolTable | None = None
    kernel: str | None = None
    jobs: int = 0
    keep_sites: bool = False
    progress: Progress = lambda done, total, name: None
    limit: int = 4 << 30


@dataclass(frozen=True, slots=True, kw_only=True)
class _Outcome:
    """What became of one input: a record, or one line of trouble."""

    record: ImageRecord | None = None
    trouble: str = ""


@dataclass(slots=True)
class _Plan:
    """The inputs by role, in the order they were found."""

    kernels: list[InputRef] = field(default_factory=list)
    objects: list[InputRef] = field(default_factory=list)
    companions: list[InputRef] = field(default_factory=list)
    modules: list[InputRef] = field(default_factory=list)
    archives: list[InputRef] = field(default_factory=list)
    configs: list[InputRef] = field(default_factory=list)
    maps: list[InputRef] = field(default_factory=list)
    unknown: list[InputRef] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def audit_paths(paths: Sequence[str], options: AuditOptions) -> AuditDocument:
    """Audit files, directories and archives.

    A single named file that cannot be read raises; of several, or inside a directory, the others are audited
    and the trouble is listed in the document's notes.

    Raises:
        InputError: a named path cannot be read, or nothing in it is a kernel or module.
    """
    started = time.monotonic()
    plan = _plan(paths, options)
    worker = _Worker(options, _configs(plan))
    kernels = worker.read_kernels(plan)
    with worker.modules(plan) as modules:  # their processes start while the kernels are judged
        outcomes = [*worker.judge_kernels(kernels), *modules]
    records = [outcome.record for outcome in outcomes if outcome.record is not None]
    trouble = [*worker.trouble, *(outcome.trouble for outcome in outcomes if outcome.trouble)]
    if not records:
        raise InputError(paths[0], got=trouble[0] if trouble else "no kernel image or module")
    title = paths[0] if len(paths) == 1 else f"{len(paths)} inputs"
    return build_document(records, title=title, seconds=time.monotonic() - started, notes=plan.notes, trouble=trouble)


def _plan(paths: Iterable[str], options: AuditOptions) -> _Plan:
    """List everything that the paths hold, members of archives included, by role."""
    plan = _Plan()
    seen: set[str] = set()
    for path in paths:
        for ref in list_inputs(path):
            if ref.path in seen:
                continue
            seen.add(ref.path)
            if ref.duplicate_of is not None and ref.role is Role.OBJECT:
                plan.companions.append(ref)
            else:
                _sort_in(plan, ref)
    for archive in plan.archives:
        options.progress(0, None, archive.path)
        for member in iter_members(archive, limit=options.limit):
            _sort_in(plan, member)
    return plan


def _sort_in(plan: _Plan, ref: InputRef) -> None:
    place = {
        Role.KERNEL: plan.kernels,
        Role.BOOT: plan.kernels,
        Role.OBJECT: plan.objects,
        Role.MODULE: plan.modules,
        Role.TAR: plan.archives,
        Role.CONFIG: plan.configs,
        Role.SYSTEM_MAP: plan.maps,
    }
    place.get(ref.role, plan.unknown).append(ref)


def _configs(plan: _Plan) -> dict[str, ConfigFacts]:
    """Read the configurations that were found, by folder; two in one folder leave it without."""
    found: dict[str, ConfigFacts | None] = {}
    for ref in plan.configs:
        folder = str(Path(ref.path).parent)
        if folder in found and not ref.path.endswith("/.config"):
            found[folder] = None if not _is_dot_config(found[folder]) else found[folder]
            continue
        content = open_ref(ref, limit=_MAX_CONFIG)
        found[folder] = parse_config(content.data.tobytes(), config_label(ref.path))
    return {folder: config for folder, config in found.items() if config is not None}


def _is_dot_config(config: ConfigFacts | None) -> bool:
    return config is not None and config.source == ".config"


class _Worker:
    """Reads and judges one input at a time; a forked process inherits it with the kernels' facts."""

    def __init__(self, options: AuditOptions, configs: dict[str, ConfigFacts]) -> None:
        self.options = options
        self.configs = configs
        self.read_options = ReadOptions(config=options.config, system_map=options.system_map)
        self.kernels: list[Facts] = []
        self.trouble: list[str] = []
        self.done = 0
        self.total = 0

    def read_kernels(self, plan: _Plan) -> list[Facts]:
        """Read kernels, objects and whatever was named without being known."""
        wanted = (*plan.kernels, *plan.objects, *plan.unknown)
        self.total = len(wanted) + len(plan.modules)
        images = _once(
            self._read_all(wanted, alone=self.total == 1),
            {ref.path for ref in wanted if ref.member is not None},
            plan.notes,
        )
        self.total -= len(wanted) - len(images) - len(self.trouble)
        objects = [
            image
            for image in (*images, *self._read_all(plan.companions, alone=False))
            if image.kind is ImageKind.OBJECT
        ]
        found = [Facts(image=image, companions=_beside(image, objects)) for image in images if image.kind.is_kernel]
        self.kernels = (
            found if self.options.kernel is None else [Facts(image=self._read(_kernel_ref(self.options.kernel)))]
        )
        rest = [image for image in images if not image.kind.is_kernel]
        return [*found, *(Facts(image=image, kernel=self._kernel_of(image)) for image in rest)]

    def _read_all(self, refs: Sequence[InputRef], *, alone: bool) -> list[KernelImage]:
        """Read images; of several inputs those that cannot be read become lines of trouble."""
        images: list[KernelImage] = []
        for ref in refs:
            self._tell(ref.path)
            try:
                images.append(self._read(ref))
            except GenpatchError as error:
                if alone:
                    raise
                self.trouble.append(str(error))
                self.done += 1
        return images

    def judge_kernels(self, found: list[Facts]) -> Iterator[_Outcome]:
        """Judge what `read_kernels` read."""
        for facts in found:
            self._tell(facts.image.path)
            yield self._judge(facts, alone=self.total == 1)
            self.done += 1

    @contextmanager
    def modules(self, plan: _Plan) -> Iterator[Iterator[_Outcome]]:
        """Give the outcomes of the modules in the order of the plan; many are audited in parallel."""
        jobs = min(self.options.jobs or os.cpu_count() or 1, -(-len(plan.modules) // _CHUNK))
        if jobs < 2 or "fork" not in multiprocessing.get_all_start_methods():
            yield self._count(map(self.audit_module, plan.modules), plan)
            return
        for kernel in self.kernels:  # computed once, before the processes part
            _ = kernel.verdict, kernel.adjust, kernel.code.literal_store
        gc.collect()
        gc.freeze()  # what was read so far stays shared between the processes
        with multiprocessing.get_context("fork").Pool(jobs, _inherit, (self,)) as pool:
            yield self._count(pool.imap(_audit_inherited, plan.modules, chunksize=_CHUNK), plan)

    def _count(self, outcomes: Iterator[_Outcome], plan: _Plan) -> Iterator[_Outcome]:
        for ref, outcome in zip(plan.modules, outcomes, strict=True):
            self._tell(ref.path)
            yield outcome
            self.done += 1

    def _tell(self, path: str) -> None:
        self.options.progress(self.done, self.total, path)

    def audit_module(self, ref: InputRef) -> _Outcome:
        """Audit one module; unless it is the only input, what goes wrong becomes a line of trouble."""
        try:
            image = self._read(ref)
            return self._judge(Facts(image=image, kernel=self._kernel_of(image)), alone=self.total == 1)
        except GenpatchError as error:
            if self.total == 1:
                raise
            return _Outcome(trouble=str(error))
        except Exception as error:
            return _Outcome(trouble=f"{ref.path}: internal error: {type(error).__name__}: {error}")

    def _kernel_of(self, image: KernelImage) -> Facts | None:
        """Return the kernel of the module's release or an object's folder, or the only one there is."""
        if image.kind is ImageKind.OBJECT:
            folder = Path(image.path).parent
            return next((kernel for kernel in self.kernels if Path(kernel.image.path).parent == folder), None)
        same = [kernel for kernel in self.kernels if kernel.image.release == image.release]
        if same:
            return same[0]
        return self.kernels[0] if len(self.kernels) == 1 else None

    def _read(self, ref: InputRef) -> KernelImage:
        content = open_ref(ref, limit=self.options.limit)
        image = replace(read_image(content, self.read_options), path=ref.path)
        if image.config.known or not self.configs:
            return image
        for folder in Path(ref.path).parents:  # the nearest configuration found above the image
            config = self.configs.get(str(folder))
            if config is not None and config.suits(image.release):
                return replace(image, config=config)
        return image

    def _judge(self, facts: Facts, *, alone: bool) -> _Outcome:
        """Run the rules; an image that has no table is an error when it was named alone."""
        if facts.image.table is None and (alone or facts.image.kind.is_kernel):
            error = _no_table(facts.image)
            if alone:
                raise error
            return _Outcome(trouble=str(error))
        results = run_rules(self.options.rules, facts)
        return _Outcome(record=image_record(facts, results, keep_sites=self.options.keep_sites))


def _kernel_ref(path: str) -> InputRef:
    """Return the kernel that a path names or holds."""
    found = [ref for ref in list_inputs(path) if ref.role in (Role.KERNEL, Role.BOOT)] or list_inputs(path)
    return found[0]


def _once(images: list[KernelImage], found: set[str], notes: list[str]) -> list[KernelImage]:
    """Leave out copies of a kernel (same build id and banner) that a directory or archive holds, with a note.

    Of an ELF file and a boot image the ELF file stays: it has more symbols.
    """
    kept: dict[str, KernelImage] = {}
    for image in sorted(images, key=lambda image: image.kind is ImageKind.BOOT):
        if not image.kind.is_kernel or (image.build_id is None and image.banner is None):
            continue
        identity = f"{image.build_id} {image.banner}"
        same = kept.setdefault(identity, image)
        if same is not image and image.path in found:
            notes.append(f"{image.path}: left out, the same kernel as {same.path}")
    left = {note.partition(": left out")[0] for note in notes}
    return [image for image in images if image.path not in left]


def _beside(kernel: KernelImage, objects: list[KernelImage]) -> tuple[KernelImage, ...]:
    """Return the objects that lie where a kernel lies, which are those it was linked from."""
    if not kernel.kind.is_kernel:
        return ()
    folder = Path(kernel.path).parent
    return tuple(image for image in objects if Path(image.path).parent == folder)


_inherited: _Worker | None = None


def _inherit(worker: _Worker) -> None:
    """Keep the worker that a forked process came with; it never passes through a pipe."""
    global _inherited
    _inherited = worker
    gc.disable()  # nothing here makes cycles worth looking for


def _audit_inherited(ref: InputRef) -> _Outcome:
    assert _inherited is not None
    return _inherited.audit_module(ref)


def _no_table(image: KernelImage) -> InputError:
    wanted = "__patchable_function_entries" if not image.kind.is_kernel else "__start_mcount_loc"
    why = "; ".join((*image.trouble, *image.notes))
    return InputError(
        image.path,
        "patch-site table",
        expected=wanted,
        got=why or "none: built without dynamic ftrace?",
    )
