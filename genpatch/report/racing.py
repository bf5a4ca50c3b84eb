# SPDX-License-Identifier: GPL-2.0-or-later
"""What exploring interleavings came to, as a document: a table of schemes, or an audit's of one kernel with rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from time import perf_counter
from typing import Any

from ..audit.facts import Facts
from ..audit.model import Rule, plural
from ..audit.raced import Races
from ..audit.runner import run_rules
from ..errors import UsageError
from ..image.model import KernelImage
from ..race.environment import Environment, get_environment
from ..race.explore import MOST_STATES
from ..race.kernel import KernelRaces, kernel_races, pair_of
from ..race.model import Kind, Scenario
from ..race.rows import RaceRow, nothing_explored, undecided
from ..race.run import Progress, catalog_rows, explored
from ..schemes import CallScheme
from ..units import as_hex
from .build import build_document, image_record, summarise
from .document import RACE_SCHEMA, AuditDocument, ImageRecord, InputRecord, TableRecord, plain

__all__ = [
    "OWN", "RACE_SCHEMA", "TRANSITIONS", "RaceDocument", "catalog_document", "kernel_document", "kernel_environments",
    "left_out", "ranked_kinds", "trouble_of",
]  # fmt: skip

TRANSITIONS = ("enable", "change", "disable", "retire")
OWN = "own"
_WORLD = ("harts", "preemption", "fetch", "fused", "patcher", "migration")
"""Settings about the world; the others a kernel's own events have."""
_POKE = "bpf text poke: attach"
_LONGEST_SLED = 64
_KINDS = tuple(kind.value for kind in Kind)


@dataclass(frozen=True, slots=True, kw_only=True)
class RaceDocument(AuditDocument):
    """The document of `genpatch race`; about schemes it has no image.

    Args:
        rows: one for each transition in each environment.
        environments: that there are rows of.
        evidence: what a kernel's own environment was read from.
        notes: what was not explored and why.
        function_choice: which of a kernel's functions it is about, and why that.
    """

    rows: tuple[RaceRow, ...] = ()
    environments: tuple[Environment, ...] = ()
    evidence: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    function_choice: str = ""

    @property
    def verb(self) -> str:
        """Whose document it is."""
        return "race"

    @property
    def subjects(self) -> tuple[str, ...]:
        """What the rows are about, in order."""
        return tuple(dict.fromkeys(row.subject for row in self.rows))

    @property
    def counts(self) -> dict[str, int]:
        """How many rows there are of each verdict."""
        found = Counter(row.verdict for row in self.rows)
        return {verdict: found[verdict] for verdict in ("safe", "unsafe", "unfinished", "skipped")}

    @property
    def states(self) -> int:
        """How many states were visited in all."""
        return sum(row.states for row in self.rows)

    def as_json(self) -> dict[str, Any]:
        """Return the document as plain data; of schemes without the facts of an image."""
        body = super(RaceDocument, self).as_json()
        if not self.images:
            body = {key: body[key] for key in ("tool", "trouble", "seconds")}
        return {
            **body,
            "schema": RACE_SCHEMA,
            "about": "kernel" if self.images else "schemes",
            "subjects": list(self.subjects),
            "environments": [
                {"name": each.name, "what": each.what, **_world(each.name, each)} for each in self.environments
            ],
            "counts": self.counts,
            "states": self.states,
            "cases": [self._case(row) for row in self.rows],
            "evidence": list(self.evidence),
            "notes": [*body.get("notes", ()), *self.notes],
            "function_choice": self.function_choice,
        }

    def _case(self, row: RaceRow) -> dict[str, Any]:
        """Return a row as plain data, with its environment and why it is not safe."""
        worlds = {each.name: each for each in self.environments}
        body = plain(replace(row, seconds=round(row.seconds, 6)))
        witnesses, why = body["witnesses"], body.pop("why")
        first = witnesses[row.kinds[0]] if row.kinds else []
        return {
            "scheme": self.images[0].scheme if self.images else row.subject,
            **body,
            "environment": _world(row.environment, worlds.get(row.environment)),
            "reason": why or (first[-1]["text"] if first else ""),
            "witness": first,
        }


def _world(name: str, environment: Environment | None) -> dict[str, Any]:
    """Return an environment as plain data; of one that is not there its name."""
    if environment is None:
        return {"name": name}
    return {
        "name": name,
        "harts": "single" if environment.harts == 1 else "smp",
        "preempt": environment.preemption.value,
        "stop_machine": environment.stop_machine,
        "fetch": environment.fetch.value,
        "alignment": environment.alignment,
        "remote_fence": "ok" if environment.remote_fence == "present" else environment.remote_fence.value,
        "wait": environment.tasks_wait,
        "fused_pair": "none" if environment.fused == "no" else environment.fused.value,
        "patcher": environment.patcher.value,
        "patchers": environment.patchers,
        "lock": environment.lock,
        "migration": environment.migration,
    }


def ranked_kinds(kinds: Iterable[str]) -> list[str]:
    """Return kinds of failure, the worst first."""
    return sorted(set(kinds), key=lambda kind: _KINDS.index(kind) if kind in _KINDS else len(_KINDS))


def trouble_of(rows: Iterable[RaceRow]) -> tuple[str, ...]:
    """Return at most one line: that some rows are not decided, or that nothing was explored."""
    rows = tuple(rows)
    return tuple(filter(None, (undecided(rows), nothing_explored(rows))))


def catalog_document(
    schemes: Sequence[CallScheme],
    environments: Sequence[Environment],
    transitions: Sequence[str] = TRANSITIONS,
    *,
    frame: str = "args",
    max_states: int = MOST_STATES,
    jobs: int = 1,
    progress: Progress | None = None,
) -> RaceDocument:
    """Explore schemes of the catalog; arguments as `race.run.catalog_rows`."""
    started = perf_counter()
    rows = tuple(
        catalog_rows(
            schemes, environments, transitions, frame=frame, max_states=max_states, jobs=jobs, progress=progress
        )
    )
    title = schemes[0].name if len(schemes) == 1 else plural(len(schemes), "scheme")
    return RaceDocument(
        title=title,
        images=(),
        total=_no_image(title),
        summary=summarise(()),
        seconds=perf_counter() - started,
        trouble=trouble_of(rows),
        rows=rows,
        environments=tuple(environments),
    )


def _no_image(title: str) -> ImageRecord:
    return ImageRecord(
        input=InputRecord(
            path=title, kind="schemes", kernel_release=None, build_id=None, symbols="none", types="none", config="none"
        ),
        table=TableRecord(entries=0, zero=0, sites=0, source="none", sorted=None),
        scheme="none", scheme_variant=None, scheme_evidence=(), sleds=(), alignment={}, reach=None, pair=None,
        rules=(), findings=(),
    )  # fmt: skip


def kernel_environments(texts: Sequence[str], own: Environment) -> tuple[Environment, ...]:
    """Return the environments to explore a kernel in, each once.

    Args:
        texts: ``own``, ``own,preemption=full``, a named one, or ``all`` of those that a kernel may be in.
        own: what the kernel says of itself.
    Raises:
        UsageError: unknown, or a setting that the kernel's own events have.
    """
    from ..race.environment import ENVIRONMENTS

    found: dict[str, Environment] = {}
    for text in texts or (OWN,):
        if text == "all":
            found |= {OWN: replace(own, name=OWN)}
            found |= {name: _in_world(own, each) for name, each in ENVIRONMENTS.items() if not _foreign(each)}
            continue
        name, comma, changes = text.partition(",")
        if name == OWN:
            named = get_environment(f"smp{comma}{changes}")
            changed = [each.partition("=")[0] for each in changes.split(",")] if changes else []
            foreign = [setting for setting in changed if setting not in _WORLD]
            environment = replace(own, **{setting: getattr(named, setting) for setting in changed}, name=text)
        else:
            named = get_environment(text)
            foreign = _foreign(named)
            environment = _in_world(own, named)
        if foreign:
            raise UsageError(
                f"--env {text!r}: {', '.join(foreign)}: what a kernel does is in its own events; "
                f"only {', '.join(_WORLD)} can be chosen"
            )
        found[text] = environment
    return tuple(found.values())


def left_out(texts: Sequence[str]) -> tuple[str, ...]:
    """Return a note if ``all`` stands for fewer environments than there are."""
    from ..race.environment import ENVIRONMENTS

    foreign = [name for name, each in ENVIRONMENTS.items() if _foreign(each)]
    if "all" not in texts or not foreign:
        return ()
    return (
        f"--env all leaves out {', '.join(foreign)}: they are about what a patcher does, and this kernel's own "
        "events say that",
    )


def _foreign(environment: Environment) -> list[str]:
    """Return the settings, other than the usual, that are about what a patcher does."""
    usual = Environment(name="").settings()
    return [name for name, value in environment.settings().items() if name not in _WORLD and value != usual[name]]


def _in_world(own: Environment, world: Environment) -> Environment:
    settings: dict[str, Any] = {name: getattr(world, name) for name in _WORLD}
    return replace(own, **settings, name=world.name, what=world.what)


def kernel_document(
    image: KernelImage,
    rules: tuple[Rule, ...],
    *,
    function: str | None = None,
    environments: Sequence[str] = (),
    transitions: Sequence[str] = (),
    max_states: int = MOST_STATES,
    keep_sites: bool = False,
    progress: Callable[[str], None] | None = None,
) -> RaceDocument:
    """Explore what a kernel's own functions do to one of its functions.

    Args:
        image: a kernel.
        rules: to judge it by; only those about interleavings are asked.
        function: a traced function, or a pattern that matches one; by default one of those that are worst aligned.
        environments: as `kernel_environments` takes them; the kernel's own by default.
        transitions: names of scenarios, all by default.
        max_states: states at most for each row.
        keep_sites: keep the sites for renderers that list them.
        progress: called with what is being done.
    Raises:
        UsageError: no such function, environment or transition.
        GenpatchError: what the kernel does could not be seen.
    """
    started, tell = perf_counter(), progress or _silent
    name = None if function is None else _traced(image, function)
    made = kernel_races(image, function=name, writers=True, progress=progress)
    worlds = kernel_environments(environments, made.settings)
    scenarios = (*made.scenarios, *_pairs(made))
    chosen = _chosen(scenarios, transitions)
    rows: list[RaceRow] = []
    for scenario in chosen:
        for world in worlds:
            tell(f"{scenario.name} in {world.name}")
            rows.append(explored(_subject(made, scenario), scenario.name, scenario, world, max_states=max_states))
    is_paired = any(len(scenario.patchers) > 1 for scenario in chosen)
    races = Races(function=made.function, func=made.func, rows=tuple(rows), is_paired=is_paired)
    facts = Facts(image=image, races=races)
    record = image_record(facts, run_rules(rules, facts), keep_sites=keep_sites)
    document = build_document(
        [record], title=image.path, seconds=perf_counter() - started, trouble=trouble_of(rows), notes=()
    )
    return RaceDocument(
        title=document.title,
        images=document.images,
        total=document.total,
        summary=document.summary,
        seconds=document.seconds,
        trouble=document.trouble,
        rows=tuple(rows),
        environments=worlds,
        evidence=made.evidence,
        notes=(*(_without(note, image.path) for note in made.notes), *left_out(environments)),
        function_choice=_choice(made, record.table.sites, is_named=function is not None),
    )


def _traced(image: KernelImage, function: str) -> str:
    """Return the traced function that a pattern matches; what is no pattern, or a name as it stands, as it is.

    Raises:
        UsageError: it matches none or several.
    """
    if not set("*?[") & set(function):
        return function
    names = set(image.symbols.named(Facts(image=image).sites.symbol.tolist())) - {""}
    if function in names:
        return function
    found = sorted(name for name in names if fnmatchcase(name, function))
    if len(found) == 1:
        return found[0]
    some = f", expected one: {', '.join(found[:3])}{', ...' if len(found) > 3 else ''}" if found else ""
    count = plural(len(found), "traced function") if found else "no traced function"
    raise UsageError(f"{image.path}: {function!r} matches {count}{some}")


def _choice(made: KernelRaces, sites: int, *, is_named: bool) -> str:
    """Return which function was explored and why that one."""
    aligned = f"on a multiple of {made.settings.alignment}"
    why = f"as named, {aligned}" if is_named else f"worst aligned, {aligned}; --function F for another"
    return f"{made.function}, 1 of {plural(sites, 'site')}: {why}"


def _without(note: str, path: str) -> str:
    """Return a note without the path of the image, which stands before what went wrong with it."""
    return note.removeprefix(f"{path}: ").replace(f": {path}: ", ": ")


def _pairs(made: KernelRaces) -> list[Scenario]:
    """Return what two of a kernel's writers of text do at the same time, with the locks that they were seen to take."""
    by_name = {scenario.name: scenario for scenario in made.scenarios}
    if not {"enable", _POKE} <= set(by_name):
        return []
    return [pair_of(by_name["enable"], by_name[_POKE])]


def _chosen(scenarios: Sequence[Scenario], transitions: Sequence[str]) -> list[Scenario]:
    """Return the scenarios of some names, all without any.

    Raises:
        UsageError: there is none of a name.
    """
    names = [scenario.name for scenario in scenarios]
    for wanted in transitions:
        if wanted not in names:
            raise UsageError(f"--transition {wanted!r}: of this kernel there are {', '.join(names)}")
    return [scenario for scenario in scenarios if not transitions or scenario.name in transitions]


def _subject(made: KernelRaces, scenario: Scenario) -> str:
    """Return whose site a scenario is about: the function's, or that of a program which is not in the image."""
    func = scenario.site.func
    return made.function if 0 <= func - made.func <= _LONGEST_SLED else scenario.lines.get(func, as_hex(func))


def _silent(line: str) -> None:
    """Tell nobody."""
