# SPDX-License-Identifier: GPL-2.0-or-later
"""A kernel configured and built out of its tree."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from .commands import Ran, run
from .config import Wanted, lost, merged, options_of
from .errors import ProveError
from .kbuild import missing_option
from .model import Progress
from .tools import Toolchain, build_environment

__all__ = ["Builder", "Built", "objects_of"]

_STEP = re.compile(r"^  (CC|AS|LD|AR|CC \[M\]|HOSTCC|BTF|GEN|LTO)(?: \[M\])? {2,}\S")
_WARNING = re.compile(r"(?:^|: )warning: ")
_ERROR = re.compile(r"\berror: |\bError \d|undefined (?:symbol|reference)|: \*\*\* |FAILED|No rule to make target")
_NO_RULE = re.compile(r"No rule to make target '(?:.*/)?(?P<target>[\w./+-]+)'")
_TARGETS = ("vmlinux", "Image", "modules")
_HOURS = 3600.0
MOST_LINES = 12
# What no single object can be made of: it is compiled while the build is prepared, or is included elsewhere.
_PREPARED = re.compile(r"^scripts/|asm-offsets\.c$|/bounds\.c$|/(?:compat_)?vdso\w*/")
_NOT_KERNEL = ("Documentation/", "tools/", "usr/", "LICENSES/")


@dataclass(frozen=True, slots=True)
class Built:
    """What came of a run of make.

    Args:
        ran: the program.
        steps: things compiled, assembled or linked.
        warnings: lines that are one, each once.
        errors: the first lines that say what is wrong.
        unknown: targets that this configuration does not have.
    """

    ran: Ran
    steps: int
    warnings: tuple[str, ...]
    errors: tuple[str, ...]
    unknown: tuple[str, ...] = ()

    @property
    def is_good(self) -> bool:
        """It was built."""
        return self.ran.status == 0 and not self.ran.why


@dataclass
class _Watch:
    """Counts what make says."""

    tell: Callable[[int, str], None]
    steps: int = 0
    warnings: dict[str, None] = field(default_factory=dict)
    errors: list[str] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)

    def take(self, line: str) -> None:
        if _STEP.match(line):
            self.steps += 1
            self.tell(self.steps, line.split()[-1])
        elif _WARNING.search(line):
            self.warnings[line.strip()[:300]] = None
        elif _ERROR.search(line) and len(self.errors) < MOST_LINES:
            self.errors.append(line.strip()[:300])
        if (found := _NO_RULE.search(line)) is not None:
            self.unknown.append(found["target"])


@dataclass(frozen=True)
class Builder:
    """Make, for one copy of a tree and one place to build in.

    Args:
        source, out: the two.
        toolchain: to build with.
        ccache: it is to be used.
        jobs: of make.
        progress: called with what is being done.
        label: of the progress.
    """

    source: Path
    out: Path
    toolchain: Toolchain
    ccache: bool
    jobs: int
    progress: Progress
    label: str = ""

    def make(
        self, targets: Sequence[str], log: Path, *, keep_going: bool = False, timeout: float = 4 * _HOURS
    ) -> Built:
        """Run make.

        Raises:
            ProveError: it cannot be started.
        """
        self.out.mkdir(parents=True, exist_ok=True)
        # The path of the copy is given relative to where things are built, as ccache and the kernel like it.
        command = [
            "make", f"-j{self.jobs}", *(["-k"] if keep_going else []), "ARCH=riscv",
            *self.toolchain.make_arguments(ccache=self.ccache), f"O={self.out}", *targets,
        ]  # fmt: skip
        watch = _Watch(lambda count, name: self.progress(f"{self.label}{count:,} built: {name[-60:]}"))
        ran = run(
            command, cwd=self.source, env=build_environment(ccache=self.ccache), log=log, timeout=timeout,
            on_line=watch.take,
        )  # fmt: skip
        return Built(ran, watch.steps, tuple(watch.warnings), tuple(watch.errors), tuple(dict.fromkeys(watch.unknown)))

    def configure(self, wanted: Wanted, log: Path) -> tuple[Built, dict[str, str], dict[str, str]]:
        """Make the configuration.

        Returns:
            Make's last run; what was not kept of the user's lines and of genpatch's own: what there is instead.

        Raises:
            ProveError: make cannot be started, or leaves no configuration.
        """
        self.out.mkdir(parents=True, exist_ok=True)
        file = self.out / ".config"
        if wanted.base:
            file.unlink(missing_ok=True)
            self.progress(f"{self.label}make {wanted.base}")
            if not (built := self.make([wanted.base], log)).is_good:
                return built, {}, {}
        text = file.read_text(encoding="utf-8", errors="replace") if wanted.base else wanted.text
        file.write_text(merged(text, wanted), encoding="utf-8")
        built = self.make(["olddefconfig"], log)
        if not built.is_good:
            return built, {}, {}
        try:
            made = file.read_text(encoding="utf-8", errors="replace")
        except OSError:
            raise ProveError("make olddefconfig left no .config") from None
        own = {name: value for name, value in wanted.own.items() if name not in wanted.asked}
        return built, lost(wanted.asked, made), lost(own, made)

    def objects(self, targets: Sequence[str], log: Path) -> Built:
        """Make single objects; those that the configuration does not have are named and no failure."""
        built = self.make(targets, log, keep_going=True)
        unknown = tuple(target for target in targets if any(_is_target(each, target) for each in built.unknown))
        if not unknown or built.is_good:
            return built
        rest = [target for target in targets if target not in unknown]
        again = self.make(rest or ["prepare"], log, keep_going=True)
        warnings = tuple(dict.fromkeys((*built.warnings, *again.warnings)))
        return Built(again.ran, built.steps + again.steps, warnings, again.errors, unknown)

    def absent(self, targets: Sequence[str]) -> dict[str, str]:
        """Return which targets the configuration does not have, and an option that each would need."""

        def read(path: str) -> str | None:
            try:
                return (self.source / path).read_text(encoding="utf-8", errors="replace")
            except OSError:
                return None

        options = options_of(read(str(self.out / ".config")) or "")
        return {name: option for name in targets if (option := missing_option(name, read, options))}

    def kernel(self, log: Path) -> Built:
        """Make the kernel and its modules."""
        return self.make(_TARGETS, log)

    @property
    def vmlinux(self) -> Path:
        """The kernel."""
        return self.out / "vmlinux"

    @property
    def image(self) -> Path:
        """What is booted."""
        return self.out / "arch/riscv/boot/Image"

    @property
    def modules(self) -> tuple[Path, ...]:
        """The modules that were built, by ``modules.order``; at most 10,000."""
        try:
            listed = (self.out / "modules.order").read_text(encoding="utf-8").split()
        except (OSError, ValueError):
            return ()
        found = (self.out / PurePosixPath(name).with_suffix(".ko") for name in listed[:10_000] if ".." not in name)
        return tuple(path for path in found if path.is_file())


def _is_target(said: str, target: str) -> bool:
    return said == target or said.endswith(f"/{target}") or target.endswith(f"/{said}")


def objects_of(paths: Iterable[str], texts: Mapping[str, str | None], has: Callable[[str], bool]) -> list[str]:
    """Return what to make of the files that a series changes, single objects or a directory, before all is built.

    Args:
        paths: of the files.
        texts: the tree as it is: text by path of those that differ from `has`, None of those that are gone.
        has: tells whether the tree has a file.
    """
    found: dict[str, None] = {}
    for path in sorted(paths):
        if (texts[path] is None if path in texts else not has(path)) or path.startswith(_NOT_KERNEL):
            continue
        if _PREPARED.search(path):
            found["prepare"] = None
        elif path.endswith((".c", ".S")):
            found[f"{os.path.splitext(path)[0]}.o"] = None  # noqa: PTH122
        elif path.startswith("arch/riscv/"):
            found["arch/riscv/kernel/"] = None
    return sorted(found)
