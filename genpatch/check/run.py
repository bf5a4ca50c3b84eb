# SPDX-License-Identifier: GPL-2.0-or-later
"""From patches and a tree to findings."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from ..emit.tree import Tree
from ..errors import GenpatchError
from .change import Change, Texts, Unfit, apply_patch
from .layout import BPF, FTRACE, HEADER, MAKEFILE, layouts
from .model import MESSAGE, Finding, Level, MessageCheck, Outcome, Patch, Rule, Skip, SourceCheck
from .patching import MOST_TEXT
from .registry import all_rules

__all__ = ["DOES_NOT_APPLY", "Checked", "Judged", "check_patches"]

DOES_NOT_APPLY = "GP510"
_UNSEEN = re.compile(
    r"scripts/recordmcount\.\w+|arch/riscv/kernel/cfi\.c"
    r"|arch/riscv/kernel/probes/(?:(?:simulate|decode)-insn\.[ch]|uprobes\.c|rethook\w*\.\w+|kprobes_trampoline\.S)"
)
"""Files about patching of which no rule knows what they are to do."""
_RANK = {Level.ERROR: 0, Level.WARNING: 1, Level.NOTE: 2}


class Judged(NamedTuple):
    """What came of one patch, or of an image beside the patches.

    Args:
        name: tells it from others: the input, with a line if the input holds several patches.
        findings: as they were found.
        outcomes: of each rule that was asked.
        skipped: what was not looked at, and why.
        change: what the patch makes of the tree, if it was applied.
        patch: it, None for an image.
    """

    name: str
    findings: tuple[Finding, ...]
    outcomes: tuple[Outcome, ...]
    skipped: tuple[str, ...] = ()
    change: Change | None = None
    patch: Patch | None = None


class Checked(NamedTuple):
    """What came of a series.

    Args:
        parts: of each patch in order, then of images.
        remarks: what is about no single patch.
    """

    parts: tuple[Judged, ...]
    remarks: tuple[str, ...] = ()

    @property
    def findings(self) -> tuple[Finding, ...]:
        """All findings, by patch, as they were found."""
        return tuple(each for part in self.parts for each in part.findings)

    @property
    def skipped(self) -> tuple[str, ...]:
        """What was not looked at, and why."""
        return (*(reason for part in self.parts for reason in part.skipped), *self.remarks)

    def with_parts(self, *parts: Judged) -> Checked:
        """Return the same and something more."""
        return self._replace(parts=(*self.parts, *parts))


def check_patches(
    patches: Sequence[Patch],
    tree: Tree | None,
    rules: Mapping[str, Rule] | None = None,
    *,
    is_for_tree: bool = True,
) -> Checked:
    """Check a series: each message, and what each patch makes of the tree after those before it.

    Args:
        patches: in order.
        tree: None if there is none; then only messages are checked.
        rules: by code; all by default.
        is_for_tree: the patches should apply to the tree; if it is not known that they should, it is a note when they
            do not.
    """
    chosen = all_rules() if rules is None else rules
    names = [patch.name for patch in patches]
    texts = Texts(tree) if tree is not None else None
    parts: list[Judged] = []
    for patch in patches:
        name = patch.name if names.count(patch.name) == 1 else f"{patch.name}:{patch.at}"
        judge = _Judge(patch, name, chosen)
        judge.message()
        if texts is None or not patch.files:
            judge.no_source("no kernel source tree" if texts is None else "it changes no file")
        else:
            texts = judge.source(texts, alone=len(patches) == 1, is_for_tree=is_for_tree)
        parts.append(judge.judged())
    is_missed = tree is None and any(patch.files for patch in patches)
    remark = "no kernel source tree, so only messages were checked; name one with --linux"
    return Checked(tuple(parts), (remark,) if is_missed else ())


@dataclass
class _Judge:
    """One patch, being judged."""

    patch: Patch
    name: str
    rules: Mapping[str, Rule]
    findings: list[Finding] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    outcomes: dict[str, Outcome] = field(default_factory=dict)
    change: Change | None = None

    def judged(self) -> Judged:
        """Return what came of it."""
        outcomes = tuple(self.outcomes[code] for code in sorted(self.outcomes))
        return Judged(self.name, tuple(self.findings), outcomes, tuple(self.skipped), self.change, self.patch)

    def message(self) -> None:
        """Ask the rules about messages."""
        for rule in self.rules.values():
            if rule.of_message is not None and self.patch.subject is None:
                self._quiet(rule, "skipped", "a bare diff, which has no message")
            elif rule.of_message is not None:
                self._ask(rule, _of_message(rule, rule.of_message, self.patch))

    def no_source(self, why: str) -> None:
        """Say of the rules about source that they were not asked."""
        for rule in self.rules.values():
            if rule.is_about_source:
                self._quiet(rule, "skipped", why)

    def source(self, texts: Texts, *, alone: bool, is_for_tree: bool) -> Texts:
        """Apply the patch and ask the rules about source; return the tree after it."""
        change, unfit = apply_patch(texts, self.patch, may_be_there=alone)
        self._applies(unfit, is_for_tree)
        if unfit:
            self.no_source("the patch does not apply")
            self.skipped.append(f"{self.name}: it does not apply, so what it makes of the source was not checked")
            return change.after
        self.change = change
        unread = list(_not_understood(change))
        unseen = [path for path in change.paths if _UNSEEN.fullmatch(path)]
        self.skipped += [f"{self.name}: no rule knows what {path} is to do" for path in unseen]
        self.skipped += dict.fromkeys(f"{self.name}: {why}" for code, why in unread if code in self.rules)
        why_not = dict(unread)
        for rule in self.rules.values():
            if rule.of_source is not None:
                self._ask(rule, _of_source(rule, rule.of_source, change, self.patch))
                if rule.code in why_not and self.outcomes[rule.code].status == "pass":
                    self._quiet(rule, "skipped", why_not[rule.code])
        return change.after

    def _applies(self, unfit: Sequence[Unfit], is_for_tree: bool) -> None:
        rule = self.rules.get(DOES_NOT_APPLY)
        if rule is None:
            return
        level = Level.ERROR if is_for_tree else Level.NOTE
        found = [
            Finding(rule.code, level, each.path, each.line, each.why, self.patch.name, rule.name) for each in unfit
        ]
        self._ask(rule, found)

    def _ask(self, rule: Rule, said: Iterable[Finding]) -> None:
        """Take in what a rule says; one that breaks is a finding, never silence."""
        try:
            found = list(said)
        except Skip as reason:
            self._quiet(rule, "skipped", str(reason))
            self.skipped.append(f"{self.name}: {rule.code} was not judged: {reason}")
            return
        except GenpatchError:
            raise
        except Exception as error:
            what = f"{rule.code} {rule.name} could not be run: {type(error).__name__}: {error}"
            self.findings.append(
                Finding(rule.code, Level.ERROR, MESSAGE, self.patch.at, what, self.patch.name, rule.name)
            )
            self.outcomes[rule.code] = Outcome(rule.code, rule.name, Level.ERROR, "error", 1, what)
            return
        self.findings += found
        level = min((each.level for each in found), key=_RANK.__getitem__, default=rule.level)
        self.outcomes[rule.code] = Outcome(rule.code, rule.name, level, "fail" if found else "pass", len(found))

    def _quiet(self, rule: Rule, status: str, reason: str) -> None:
        if rule.code not in self.outcomes or not self.outcomes[rule.code].findings:
            self.outcomes[rule.code] = Outcome(rule.code, rule.name, rule.level, status, 0, reason)


def _not_understood(change: Change) -> Iterator[tuple[str, str]]:
    """Yield (rule, why) for what the rules cannot judge of a change; silence is no pass."""
    of_layout = {MAKEFILE, HEADER, FTRACE, BPF}.intersection(change.paths)
    if of_layout and not list(layouts(change.after)):
        reason = f"how {MAKEFILE} asks for nops, or what {FTRACE} counts on, was not understood"
        yield from ((code, f"{reason}: GP511 and GP512 were not judged") for code in ("GP511", "GP512"))
    for path in change.paths:
        if len(change.after.read(path) or "") > MOST_TEXT:
            why = f"{path} is too long to be parsed: GP513, GP514 and GP515 were not judged there"
            yield from ((code, why) for code in ("GP513", "GP514", "GP515"))


def _of_message(rule: Rule, check: MessageCheck, patch: Patch) -> Iterator[Finding]:
    for line, message in check(patch):
        yield Finding(rule.code, rule.level, MESSAGE, line.at, message, patch.name, rule.name)


def _of_source(rule: Rule, check: SourceCheck, change: Change, patch: Patch) -> Iterator[Finding]:
    for problem in check(change):
        place = change.best(problem.places)
        level = problem.level or rule.level
        yield Finding(rule.code, level, place.path, place.line, problem.message, patch.name, rule.name)
