# SPDX-License-Identifier: GPL-2.0-or-later
"""Stages of a proof, what came of them, and all of it together."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from enum import StrEnum
from pathlib import Path
from typing import Any

__all__ = ["JUDGED", "RANK", "Found", "Judge", "Judgement", "Progress", "Proof", "StageResult", "Status", "Subject"]

Progress = Callable[[str], None]
"""Called with what is being done."""

RANK = {"note": 1, "warning": 2, "error": 3, "never": 4}
"""How bad a finding is."""

JUDGED = ("audit", "verify", "race")
"""Stages that judge the kernel that was built."""


class Status(StrEnum):
    """What became of a stage."""

    OK = "ok"
    FAILED = "failed"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class Found:
    """Something that a stage found.

    Args:
        rule: its code.
        level: ``"error"``, ``"warning"`` or ``"note"``.
        message: in words.
        key: the same for the same finding of another build.
        sites: places concerned.
    """

    rule: str
    level: str
    message: str
    key: str
    sites: int = 0


@dataclass(frozen=True, slots=True)
class Judgement:
    """What judging a built kernel came to.

    Args:
        evidence: one clause with figures.
        findings: of all levels.
        lines: details.
        trouble: why this is no verdict, empty if it is one.
    """

    evidence: str
    findings: tuple[Found, ...] = ()
    lines: tuple[str, ...] = ()
    trouble: str = ""


Judge = Callable[[Path, tuple[Path, ...], Path, Progress], Judgement]
"""Called with a vmlinux, its modules, where to write the whole document, and what shows progress."""


@dataclass(frozen=True, slots=True)
class StageResult:
    """What became of a stage.

    Args:
        name: of the stage.
        status: of it.
        seconds: that it took when it was done.
        evidence: the line that says it all, or why it was skipped.
        lines: details.
        findings: if it is one that finds.
        log: file in the work directory, may be empty.
        trouble: why it is no verdict, empty if it is one.
        kept: it was done by an earlier run on the same inputs.
    """

    name: str
    status: Status
    seconds: float = 0.0
    evidence: str = ""
    lines: tuple[str, ...] = ()
    findings: tuple[Found, ...] = ()
    log: str = ""
    trouble: str = ""
    kept: bool = False

    @property
    def is_bad(self) -> bool:
        """It failed."""
        return self.status is Status.FAILED

    def as_json(self) -> dict[str, Any]:
        """Return it as plain data."""
        return asdict(self) | {"status": self.status.value}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> StageResult:
        """Return what `as_json` made data of.

        Raises:
            KeyError, TypeError, ValueError: it did not.
        """
        return cls(
            name=str(data["name"]),
            status=Status(data["status"]),
            seconds=float(data["seconds"]),
            evidence=str(data["evidence"]),
            lines=tuple(map(str, data["lines"])),
            findings=tuple(Found(**each) for each in data["findings"]),
            log=str(data["log"]),
            trouble=str(data["trouble"]),
        )

    def as_kept(self) -> StageResult:
        """Return the same, of an earlier run."""
        return replace(self, kept=True)


@dataclass(frozen=True, slots=True)
class Subject:
    """A patch of the series: its subject and the files that it changes."""

    title: str
    files: tuple[str, ...]


@dataclass(frozen=True)
class Proof:
    """All that came of it.

    Args:
        version: of the tree.
        tree: what it is, in words.
        patches: of the series, in order.
        digest: of the series: 12 hexadecimal digits.
        programs: what was used, with versions.
        config: what the kernel was configured as, in words.
        stages: with the series.
        baseline: without it; empty if that was not asked for.
        fail_on: level of the findings that fail.
        seconds: that this run took.
    """

    version: str
    tree: str
    patches: tuple[Subject, ...]
    digest: str
    programs: Mapping[str, str]
    config: str
    stages: tuple[StageResult, ...]
    baseline: tuple[StageResult, ...] = ()
    fail_on: str = "error"
    seconds: float = 0.0
    notes: tuple[str, ...] = field(default=())

    @property
    def is_proved(self) -> bool:
        """No stage failed with the series; what fails without it only makes more of the findings count as new."""
        return not any(stage.is_bad for stage in self.stages)

    def findings(self, *, baseline: bool = False) -> tuple[Found, ...]:
        """Return what was found in the kernel that was built."""
        stages = self.baseline if baseline else self.stages
        return tuple(found for stage in stages if stage.name in JUDGED for found in stage.findings)
