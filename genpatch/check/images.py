# SPDX-License-Identifier: GPL-2.0-or-later
"""What built kernels say beside a patch: one as it is already, two as the patch has changed them."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from ..errors import UsageError
from ..samples import resolve
from .model import Finding, Level, Outcome, Place
from .run import Checked, Judged
from .source import functions_of, line_at

if TYPE_CHECKING:
    from ..audit import model as audit
    from ..audit.facts import Facts
    from ..verify.run import Verification

__all__ = ["Observed", "already", "differences", "observe", "touched_by"]

_CLONE = re.compile(r"(?:\.(?:constprop|isra|part|llvm)\.\d+|\.cold(?:\.\d+)?)+$|\+0x[0-9a-f]+$")
_LABEL = re.compile(r"^[ \t]*SYM_\w*START\w*\([ \t]*(\w+)", re.M)
_WORD = re.compile(r"[A-Za-z_]\w{3,}")
_MOST_NAMES = 5
_Key = tuple[str, str, str]


class Seen(NamedTuple):
    """One finding of an audit or a verification.

    Args:
        rule, name: of it.
        level: of the finding.
        message: of the finding.
        keys: what it is about, told so that it is told the same of another build; each register is one of its own.
        functions: that it is about, how often each; ``""`` where it is about none.
    """

    rule: str
    name: str
    level: Level
    message: str
    keys: tuple[_Key, ...]
    functions: Counter[str]


class Observed(NamedTuple):
    """What audit and verify say of one kernel.

    Args:
        name: as the user has it.
        seen: the findings.
        outcomes: of each rule.
        untried: why nothing of it could be run, empty if it was.
    """

    name: str
    seen: tuple[Seen, ...]
    outcomes: tuple[Outcome, ...]
    untried: str


def observe(name: str, rules: Sequence[audit.Rule], told: Callable[[str], None] = lambda what: None) -> Observed:
    """Audit a kernel, and run its own patching code on all its sites.

    Args:
        name: a path or ``sample:NAME``.
        rules: of audit and of verify; others are not asked.
        told: called with what is being done.
    Raises:
        UsageError: it is no linked kernel.
        InputError: it cannot be read.
    """
    from ..audit.facts import Facts
    from ..audit.runner import run_rules
    from ..image.containers import open_content
    from ..image.read import read_image
    from ..verify.run import verify

    told(f"{name}: read")
    image = read_image(open_content(resolve(name)))
    if not image.kind.is_kernel:
        raise UsageError(f"--vmlinux {name}: {image.kind}, expected a linked kernel")
    if image.table is None:
        raise UsageError(f"--vmlinux {name}: no patch-site table, built without dynamic ftrace?")
    wanted = [rule for rule in rules if rule.applies in ("any", "kernel")]
    facts = Facts(image=image)
    results = [(facts, result) for result in run_rules(wanted, facts)]
    untried = ""
    if to_run := [rule for rule in rules if rule.applies == "verify"]:
        verification = verify(image, progress=lambda state: told(f"{name}: {state}"))
        ran = Facts(image=image, verification=verification)
        results += [(ran, result) for result in run_rules(to_run, ran)]
        untried = _untried(verification)
    seen = tuple(_seen(where, result.rule, each) for where, result in results for each in result.findings)
    return Observed(name, seen, tuple(_outcome(result) for _, result in results), untried)


def _untried(verification: Verification) -> str:
    """Return why no site went through any state, empty if one did."""
    from ..verify.returns import RETURNS

    backs = {hook.state for hook in RETURNS}
    if any(state.sites and state.name not in backs for state in verification.states):
        return ""
    reasons = [f"{state.name}: {state.skipped}" for state in verification.states if state.skipped]
    return "; ".join(reasons[:3] or verification.notes[-1:]) or "no reason is known"


def _outcome(result: audit.RuleResult) -> Outcome:
    rule, status = result.rule, result.status.value
    return Outcome(rule.code, rule.name, Level(rule.severity.text), status, len(result.findings), result.reason)


def _seen(facts: Facts, rule: audit.Rule, finding: audit.Finding) -> Seen:
    subject = finding.symbol if finding.subject is None else finding.subject
    parts = subject.split() or [""] if rule.applies == "verify" else [_plain(subject)]
    kind = "" if rule.applies == "verify" else finding.kind
    if finding.sites is not None:
        places = facts.sites.symbol[finding.sites].tolist()
        functions = Counter(_plain(name) for name in facts.image.symbols.named(places))
    else:
        functions = Counter({_plain(finding.symbol): finding.count or 1})
    level = Level((finding.level or rule.severity).text)
    return Seen(
        rule.code, rule.name, level, finding.message, tuple((rule.code, kind, each) for each in parts), functions
    )


def _plain(symbol: str) -> str:
    return _CLONE.sub("", symbol)


def touched_by(checked: Checked) -> dict[str, Place]:
    """Return the functions that patches change, and where each stands after them."""
    found: dict[str, Place] = {}
    for part in checked.parts:
        for path in part.change.paths if part.change is not None else ():
            assert part.change is not None
            before, after = part.change.before.read(path) or "", part.change.after.read(path) or ""
            if path.endswith(".S"):
                found |= {each[1]: Place(path, line_at(after, each.start(1))) for each in _LABEL.finditer(after)}
            elif path.endswith((".c", ".h")):
                old = functions_of(before)
                for name, function in functions_of(after).items():
                    if name not in old or old[name].bodies != function.bodies:
                        found[name] = Place(path, function.line)
    return found


def already(image: Observed, touched: Mapping[str, Place]) -> Judged:
    """Return what is wrong with a kernel that was built without the patch, as notes: the patch has not done it."""
    findings = []
    for each in image.seen:
        hit = sorted(_named(each, each.functions) & set(touched))
        where = f"{image.name} has this {each.level} already in {_some(hit)}" if hit else f"already there, {each.level}"
        message = f"{where}: {each.message}"
        findings.append(_finding(each, Level.NOTE, message, image.name, touched, hit))
    findings.sort(key=lambda each: each.file == image.name)
    return Judged(image.name, tuple(findings), image.outcomes, tuple(_not_run(image)))


def differences(old: Observed, new: Observed, touched: Mapping[str, Place]) -> Judged:
    """Return what is wrong with a kernel that was not wrong with another, and as notes what no longer is."""
    before, after = _by_key(old.seen), _by_key(new.seen)
    unasked = {each.rule: each for each in old.outcomes if each.status in ("skipped", "error")}
    findings: list[Finding] = []
    counts: Counter[str] = Counter()
    skipped = [*_not_run(old), *_not_run(new)]
    for each in new.seen:
        more = _more(each, after, before)
        if more is None:
            continue
        message = f"{each.message}{_in_addition(more, each, before)}"
        if each.rule in unasked:
            message += f" ({old.name} could not be asked: {unasked[each.rule].reason})"
        findings.append(_finding(each, each.level, message, new.name, touched, sorted(more)))
        counts[each.rule] += 1
    lost = {each.rule: each.reason for each in new.outcomes if each.status in ("skipped", "error")}
    asked = {each.rule: each for each in old.outcomes if each.status in ("pass", "fail")}
    skipped += [
        f"{new.name}: {code} was judged in {old.name}, but not here: {lost[code]}" for code in lost if code in asked
    ]
    for each in old.seen:
        if each.rule in lost or (new.untried and not old.untried and each.rule.startswith("GP3")):
            continue
        less = _more(each, before, after)
        if less is not None:
            what = f"mended, {each.level} of {old.name}: {each.message}{_in_addition(less, each, after)}"
            findings.append(_finding(each, Level.NOTE, what, new.name, touched, sorted(less)))
            counts[each.rule] += 1
    return Judged(new.name, tuple(findings), tuple(_after(new.outcomes, counts)), tuple(skipped))


def _not_run(image: Observed) -> Iterator[str]:
    if image.untried:
        yield f"{image.name}: nothing of it was run: {image.untried}"


def _after(outcomes: Iterable[Outcome], counts: Mapping[str, int]) -> Iterator[Outcome]:
    """Yield what became of the rules when only what differs counts."""
    for each in outcomes:
        status = each.status if each.status in ("skipped", "error") else ("fail" if counts.get(each.rule) else "pass")
        yield Outcome(each.rule, each.name, each.level, status, counts.get(each.rule, 0), each.reason)


def _by_key(seen: Iterable[Seen]) -> dict[_Key, Counter[str]]:
    """Return the functions that each thing is wrong with."""
    found: dict[_Key, Counter[str]] = {}
    for each in seen:
        for key in each.keys:
            found.setdefault(key, Counter()).update(each.functions)
    return found


def _more(each: Seen, here: Mapping[_Key, Counter[str]], there: Mapping[_Key, Counter[str]]) -> set[str] | None:
    """Return functions that a finding is about here and not there; None if it is about no more than there."""
    found: set[str] = set()
    is_more = False
    for key in each.keys:
        surplus = here[key] - there.get(key, Counter())
        hit = {name for name in surplus if name in each.functions}
        is_more |= bool(hit)
        found |= hit - {""}
    return found if is_more else None


def _in_addition(names: set[str], each: Seen, there: Mapping[_Key, Counter[str]]) -> str:
    """Return which functions are meant, if the others are the same in both kernels."""
    if not names or not any(there.get(key) for key in each.keys):
        return ""
    return f"; of these {len(names):,} {'differs' if len(names) == 1 else 'differ'}: {_some(sorted(names))}"


def _named(each: Seen, functions: Iterable[str]) -> set[str]:
    """Return functions that a finding is about, and whatever its message names."""
    return {*functions, *_WORD.findall(each.message)}


def _some(names: Sequence[str]) -> str:
    more = len(names) - _MOST_NAMES
    return ", ".join(names[:_MOST_NAMES]) + (f" and {more:,} more" if more > 0 else "")


def _finding(
    each: Seen, level: Level, message: str, image: str, touched: Mapping[str, Place], functions: Sequence[str]
) -> Finding:
    named = sorted(_named(each, functions) & set(touched))
    place = touched[named[0]] if named else Place(image, 0)
    return Finding(each.rule, level, place.path, place.line, message, image, each.name)
