# SPDX-License-Identifier: GPL-2.0-or-later
"""What was claimed about the schemes in discussions, as cells of the table that the explorer has to fill by itself.

python -m tests.race.claims [FILE]    write claims.md, with the verdicts, the witnesses and what we think of them

Verdicts here are those of the discussions, or worked out by hand from the model where they are silent; claims.md has
what the explorer says.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from genpatch.race.catalog import scenario_of
from genpatch.race.environment import ENVIRONMENTS, get_environment
from genpatch.race.rows import RaceRow
from genpatch.race.run import catalog_rows, explored
from genpatch.race.witness import two_columns
from genpatch.schemes import CATALOG, get_scheme

HERE = Path(__file__).parent
EVERY = ("enable", "change", "disable", "retire")
LITERALS = ("call-ops", "call-ops-direct", "call-ops-cfi", "jal-dispatch", "jal-per-func")
ONE_WORD = ("auipc-fixed", "nop-jalr", *LITERALS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """One claim.

    Args:
        who: said it, and when.
        says: what, in our words.
        schemes, transitions, environments: the cells that it is about, all of them.
        kinds: how they break, at least; empty for a claim of safety.
        shown: the cell whose witness is listed, (scheme, transition, environment).
        comment: where we see it differently, or what follows.
    """

    who: str
    says: str
    schemes: tuple[str, ...]
    transitions: tuple[str, ...]
    environments: tuple[str, ...]
    kinds: tuple[str, ...] = ()
    shown: tuple[str, str, str] | None = None
    comment: str = ""

    def cells(self) -> Iterator[tuple[str, str, str]]:
        """Yield (scheme, transition, environment)."""
        for scheme in self.schemes:
            for environment in self.environments:
                yield from ((scheme, transition, environment) for transition in self.transitions)


_PANIC = 'Andy Chiu and Guo Ren, 2023-01-07, "riscv: ftrace: Fixup panic by disabling preemption"'
_MARK = "Mark Rutland, 2023-01-09 and 2023-01-12, in reply"
_GUO = "Guo Ren, 2023-01-11 to 2023-01-29, in reply"
_BJORN = "Björn Töpel, 2024-03-14, on CALL_OPS and dynamic trampolines"
_OURS = "nobody in those mails; it follows from the model"

CLAIMS = (
    Claim(
        who=_PANIC,
        says="A task that is switched out behind auipc jumps astray if the function is patched meanwhile, although "
        "stop_machine stops all harts.",
        schemes=("pair-t0", "mcount-ra16"), transitions=("enable", "change"), environments=("stop-preempt",),
        kinds=("wild",), shown=("pair-t0", "change", "stop-preempt"),
        comment="Disabling pair-t0 is safe even then: behind auipc comes a nop, and t0 is free. The older 16-byte sled "
        "is not: the task has stored ra, and the load that would restore it is gone.",
    ),
    Claim(
        who=_PANIC,
        says="Without PREEMPTION, stop_machine is enough.",
        schemes=("pair-t0", "mcount-ra16"), transitions=EVERY, environments=("stop", "stop-voluntary"),
        comment="A stopper thread runs when a hart has switched tasks, which no task does inside a sled.",
    ),
    Claim(
        who=_MARK,
        says="Leave preemption aside: of two harts one is in the prologue while the other patches it. Nothing "
        "prevents a mixture of old and new instructions.",
        schemes=("pair-t0", "mcount-ra16", "pair-aligned8"), transitions=EVERY, environments=("smp",),
        kinds=("wild",), shown=("pair-t0", "enable", "smp"),
        comment="Right for patching that stops nothing. Kernels 5.12 to 6.15 stop the machine, so the hart is never "
        "there; what is left is the preempted task.",
    ),
    Claim(
        who=_MARK,
        says="Without atomic fetches nobody can modify an instruction that others execute.",
        schemes=ONE_WORD, transitions=("enable", "disable"), environments=("parcel", "align2"),
        kinds=("wild",), shown=("auipc-fixed", "enable", "parcel"),
        comment="Ziccif gives that atomicity for aligned words, which is what 2-byte aligned functions throw away.",
    ),
    Claim(
        who=_GUO,
        says="Where the region is short, nop and one jalr through a fixed base are atomic.",
        schemes=("nop-jalr",), transitions=EVERY, environments=("smp", "smp-preempt", "align4"),
        comment="As far as 2 KiB around gp go.",
    ),
    Claim(
        who=_GUO,
        says="A longer sled whose detour is switched by one store is atomic.",
        schemes=("detour-24",), transitions=EVERY, environments=("smp", "smp-preempt"),
        comment="Only if every hart is told of the new target before the sled is switched: loads are not ordered "
        "behind fetches, and a plain fence on the patcher's side does not change that. The catalog's record does so.",
    ),
    Claim(
        who=_GUO,
        says="If auipc+jalr are aligned to 8, written by one sd, and cannot be interrupted, the pair is atomic.",
        schemes=("pair-aligned8",), transitions=EVERY, environments=("fused",),
        comment="True if harts fetch any aligned pair at once, whatever the two instructions are.",
    ),
    Claim(
        who=_OURS,
        says="If only auipc+jalr fuse, two nops are no pair: a task may stand between them when they become one.",
        schemes=("pair-aligned8",), transitions=("enable", "disable"), environments=("fused-call",),
        kinds=("wild",), shown=("pair-aligned8", "enable", "fused-call"),
        comment="So the proposed instruction fusion would have to cover the disabled sled as well; only changing the "
        "target is safe.",
    ),
    Claim(
        who=_OURS,
        says="On today's harts the aligned 8-byte store does not help.",
        schemes=("pair-aligned8",), transitions=EVERY, environments=("smp-preempt",), kinds=("wild",),
    ),
    Claim(
        who=_BJORN,
        says="A: auipc never changes and only jalr is patched: no stop_machine, one remote fence.i.",
        schemes=("auipc-fixed",), transitions=EVERY, environments=("smp", "smp-preempt", "align4"),
        comment="Given Ziccif.",
    ),
    Claim(
        who=_BJORN,
        says="B and C: one jal is patched.",
        schemes=("jal-dispatch", "jal-per-func"), transitions=EVERY, environments=("smp", "smp-preempt"),
    ),
    Claim(
        who=_BJORN,
        says="The ops pointer at the function is patched atomically, as data.",
        schemes=("call-ops", "call-ops-direct", "call-ops-cfi"), transitions=EVERY,
        environments=("smp", "smp-preempt"),
        comment="With functions on a multiple of 8: see the next line.",
    ),
    Claim(
        who=_OURS,
        says="Where the literal is not on a multiple of 8, it tears: 4-byte alignment is enough for the jalr alone.",
        schemes=LITERALS, transitions=("change",), environments=("align4",),
        kinds=("ops",), shown=("call-ops", "change", "align4"),
        comment="This is where the mails' \"4-byte alignment and Ziccif\" is too little for CALL_OPS; Linux aligns to "
        "8 with it. Enabling is safe even at 4: the new pointer is made known before the jalr is there.",
    ),
    Claim(
        who=_BJORN,
        says="A fence.i on other harts is still needed: without it calls stay stale.",
        schemes=ONE_WORD, transitions=("enable",), environments=("no-fence",),
        kinds=("stale",), shown=("call-ops", "enable", "no-fence"),
        comment="Disabling a scheme with a literal or a slot does without: a stale jalr finds ftrace_nop_ops.",
    ),
    Claim(
        who=_OURS,
        says="A remote fence.i that is sent before the store, or with no fence behind it, is as good as none.",
        schemes=ONE_WORD, transitions=("enable",), environments=("early-fence", "unordered-fence"),
        kinds=("stale",), shown=("auipc-fixed", "enable", "unordered-fence"),
    ),
    Claim(
        who=_OURS,
        says="Where the sled itself holds the way to what is freed, a missing fence.i outlives the wait for tasks.",
        schemes=("nop-jalr", "dynamic-trampoline", "bpf-fentry"), transitions=("retire",),
        environments=("no-fence",), kinds=("freed",), shown=("nop-jalr", "retire", "no-fence"),
    ),
    Claim(
        who=_OURS,
        says="An ops or a trampoline that is freed without waiting for tasks is used.",
        schemes=tuple(CATALOG), transitions=("retire",), environments=("no-wait",),
        kinds=("freed",), shown=("call-ops", "retire", "no-wait"),
    ),
    Claim(
        who=_BJORN,
        says="Dynamic trampolines need two instructions patched at each function: a no-go.",
        schemes=("dynamic-trampoline",), transitions=EVERY, environments=("smp-preempt",),
        kinds=("wild",), shown=("dynamic-trampoline", "change", "smp-preempt"),
    ),
    Claim(
        who=_OURS,
        says="Patchers that share a fixmap slot write to each other's pages unless they take turns.",
        schemes=tuple(CATALOG), transitions=("enable",), environments=("two-patchers",),
        kinds=("lost",), shown=("call-ops", "enable", "two-patchers"),
        comment="What linux e3f16d63d54e mended: "
        '"riscv: ftrace: Properly acquire text_mutex to fix a race condition".',
    ),
)  # fmt: skip


@cache
def cell(scheme: str, transition: str, environment: str) -> RaceRow:
    """Return a cell of the table, explored."""
    world = get_environment(environment)
    return explored(scheme, transition, scenario_of(get_scheme(scheme), transition, world), world)


def holds(claim: Claim, row: RaceRow) -> bool:
    """Tell whether a cell is as a claim has it."""
    if not claim.kinds:
        return row.verdict == "safe"
    return row.verdict == "unsafe" and set(claim.kinds) <= set(row.kinds)


def _claim_lines(number: int, claim: Claim) -> Iterator[str]:
    rows = [cell(*place) for place in claim.cells()]
    good = sum(holds(claim, row) for row in rows)
    wanted = " and ".join(claim.kinds) if claim.kinds else "safe"
    yield f"### {number}. {claim.says}"
    yield ""
    yield f"{claim.who}."
    yield ""
    yield f"- schemes: {', '.join(claim.schemes) if set(claim.schemes) != set(CATALOG) else 'all'}"
    yield f"- transitions: {', '.join(claim.transitions)}; environments: {', '.join(claim.environments)}"
    yield f"- {wanted}: {good} of {len(rows)} cells"
    if claim.comment:
        yield f"- {claim.comment}"
    if claim.shown is not None:
        row = cell(*claim.shown)
        kind = claim.kinds[0]
        yield ""
        yield f"`{' '.join(claim.shown)}`, the shortest of all paths:"
        yield ""
        yield "```"
        yield from (line.rstrip() for line in two_columns(list(row.witnesses[kind])))
        yield "```"
    yield ""


def _table_lines() -> Iterator[str]:
    worlds = tuple(ENVIRONMENTS)
    worst: dict[tuple[str, str], str] = {}
    for row in catalog_rows(CATALOG.values(), ENVIRONMENTS.values(), jobs=2):
        if row.verdict != "safe":
            known = worst.get((row.subject, row.environment), "")
            worst[row.subject, row.environment] = known + row.transition[0]
    yield f"| environment | {' | '.join(CATALOG)} |"
    yield "|---" * (len(CATALOG) + 1) + "|"
    for world in worlds:
        yield f"| {world} | " + " | ".join(worst.get((scheme, world), "safe") for scheme in CATALOG) + " |"


def claim_lines() -> list[str]:
    """Return the part of claims.md that has the claims."""
    return [line for number, claim in enumerate(CLAIMS, 1) for line in _claim_lines(number, claim)]


def document() -> str:
    """Return claims.md."""
    lines = [
        "<!-- SPDX-License-Identifier: GPL-2.0-or-later -->",
        "# What was claimed, and what every interleaving says",
        "",
        "Made by `python -m tests.race.claims`; a test compares it with what the explorer says now. Each witness is "
        "a shortest path. The whole table with the number of states: `genpatch race --all`; any witness: "
        "`genpatch race SCHEME --env ENVIRONMENT --witness`.",
        "",
        "## Every scheme in every environment",
        "",
        "`safe`, or the transitions that are not: **e**nable, **c**hange, **d**isable, **r**etire (disable, wait for "
        "tasks, free). `genpatch race --list` says what the environments are.",
        "",
        *_table_lines(),
        "",
        "## Claims",
        "",
    ]
    return "\n".join([*lines, *claim_lines()]).rstrip() + "\n"


if __name__ == "__main__":
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else HERE / "claims.md"
    target.write_text(document(), encoding="utf-8")
