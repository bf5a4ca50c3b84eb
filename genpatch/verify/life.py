# SPDX-License-Identifier: GPL-2.0-or-later
"""The life of a site: which states the kernel's own code is made to bring it into, and what each must do.

A state is data: what is written to the record and the ops, which patching function is called with what, how
the site is run afterwards. Which states a kernel has is decided by what is in its image.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from .contract import Arrival, Expectation
from .returns import RETURNS
from .trial import Behaviour

__all__ = ["CALL", "DISABLE", "STATES", "THROUGH_RA", "Abilities", "Patch", "State", "state_names"]


@dataclass(frozen=True, slots=True)
class Abilities:
    """What a kernel can do, as far as its image tells.

    Args:
        functions: the patching functions that it has.
        literal: its call takes the ops from a literal at the site.
        unique_ops: a site can be told to have an ops of its own.
        direct: it has direct calls.
        direct_slot: a callback can ask for a direct call in the frame.
        regs_caller: it has a second trampoline, with all registers.
        graph: it has return_to_handler and its callback gets a frame.
        frame: the frame's layout is known, and has epc.
        kprobe: the first instruction at func is no part of what ftrace switches.
        redirect: the call spares ra, so that its callback can send the function elsewhere with all its registers.
    """

    functions: frozenset[str]
    literal: bool
    unique_ops: bool
    direct: bool
    direct_slot: bool
    regs_caller: bool
    graph: bool
    frame: bool
    kprobe: bool
    redirect: bool = True


@dataclass(frozen=True, slots=True)
class Patch:
    """One call of a patching function.

    Args:
        function: its name.
        old, new: what is called now, as far as no earlier state tells, and what is to be called: ``caller``,
            ``regs``, ``direct``, ``target`` or "" where the function does not take it.
        ops: which ops the site has: ``list``, ``one``, ``direct``, ``target``.
        probed: a breakpoint stands at func meanwhile.
    """

    function: str
    new: str = ""
    old: str = ""
    ops: str = "list"
    probed: bool = False


@dataclass(frozen=True, slots=True)
class State:
    """One state.

    Args:
        name: in reports.
        what: one sentence.
        patches: how it is reached from the one before.
        runs: what the callback does in each run, with what that must come to.
        needs: tells whether a kernel can have it.
        why_not: what is missing where it cannot.
        restores: the bytes must be those of the boot state.
    """

    name: str
    what: str
    patches: tuple[Patch, ...]
    runs: tuple[Expectation, ...]
    needs: Callable[[Abilities], bool] = lambda _: True
    why_not: str = ""
    restores: bool = False


QUIET = Expectation()
TRACED = Expectation(calls=1)
DIRECT = Expectation(direct=1)

THROUGH_RA = "the call goes through ra, and only behind it the sled loads ra again"
"""Why a callback cannot send a function elsewhere although its frame has all that it takes."""

INIT = Patch("ftrace_init_nop")
CALL = Patch("ftrace_make_call", new="caller")
DISABLE = Patch("ftrace_make_nop", old="caller")


def _has(name: str) -> Callable[[Abilities], bool]:
    return lambda can: name in can.functions


STATES: tuple[State, ...] = (
    State("boot", "as ftrace_init_nop leaves it", (INIT,), (QUIET,), _has("ftrace_init_nop"), "no ftrace_init_nop"),
    State(
        "enabled", "traced by several tracers", (CALL,), (TRACED,), _has("ftrace_make_call"), "no ftrace_make_call"
    ),
    State(
        "redirected", "the callback sends the function elsewhere", (),
        (Expectation(Arrival.ELSEWHERE, 1, behaviour=Behaviour.REDIRECT),),
        lambda can: can.redirect and can.frame and not can.regs_caller and "ftrace_make_call" in can.functions,
        "the frame has no epc that is known, or another trampoline is for that",
    ),
    State(
        "overridden", "the callback returns in the function's place", (),
        (Expectation(Arrival.PARENT, 1, behaviour=Behaviour.OVERRIDE),),
        lambda can: can.frame and not can.regs_caller and "ftrace_make_call" in can.functions,
        "the frame has no epc that is known, or another trampoline is for that",
    ),
    State(
        "graph", "the callback replaces the return address", (),
        (Expectation(calls=1, behaviour=Behaviour.GRAPH),),
        lambda can: can.graph and "ftrace_make_call" in can.functions, "no return_to_handler, or it takes no frame",
    ),
    State(
        "direct-in-frame", "the callback asks for a direct call", (),
        (Expectation(calls=1, direct=1, behaviour=Behaviour.DIRECT),),
        lambda can: can.direct_slot and not can.regs_caller and "ftrace_make_call" in can.functions,
        "the frame has no slot for a direct call, or another trampoline is for that",
    ),
    State(
        "changed", "from several tracers to one", (Patch("ftrace_modify_call", "caller", "caller", "one"),), (TRACED,),
        lambda can: can.unique_ops and "ftrace_modify_call" in can.functions,
        "no ftrace_modify_call, or no ops of a site's own",
    ),
    State(
        "changed-regs", "from one trampoline to that with all registers",
        (Patch("ftrace_modify_call", "regs", "caller"),), (TRACED,),
        lambda can: can.regs_caller and "ftrace_modify_call" in can.functions, "one trampoline only",
    ),
    State(
        "changed-direct", "from a tracer to a direct call",
        (Patch("ftrace_modify_call", "direct", "caller", "direct"),), (DIRECT,),
        lambda can: can.direct and "ftrace_modify_call" in can.functions, "no direct calls, or no ops of a site's own",
    ),
    State("disabled", "no longer traced", (DISABLE,), (QUIET,), _has("ftrace_make_nop"), "no ftrace_make_nop", True),
    State(
        "enabled-one", "traced by one tracer", (Patch("ftrace_make_call", "caller", ops="one"),), (TRACED,),
        lambda can: can.unique_ops and "ftrace_make_call" in can.functions, "no ops of a site's own",
    ),
    State(
        "enabled-regs", "traced with all registers", (Patch("ftrace_make_call", "regs"),), (TRACED,),
        lambda can: can.regs_caller and "ftrace_make_call" in can.functions, "one trampoline only",
    ),
    State(
        "regs-redirected", "the callback sends the function elsewhere", (),
        (Expectation(Arrival.ELSEWHERE, 1, behaviour=Behaviour.REDIRECT),),
        lambda can: can.redirect and can.frame and can.regs_caller and "ftrace_make_call" in can.functions,
        "one trampoline only",
    ),
    State(
        "regs-overridden", "the callback returns in the function's place", (),
        (Expectation(Arrival.PARENT, 1, behaviour=Behaviour.OVERRIDE),),
        lambda can: can.frame and can.regs_caller and "ftrace_make_call" in can.functions, "one trampoline only",
    ),
    State(
        "regs-direct-in-frame", "the callback asks for a direct call", (),
        (Expectation(calls=1, direct=1, behaviour=Behaviour.DIRECT),),
        lambda can: can.direct_slot and can.regs_caller and "ftrace_make_call" in can.functions,
        "one trampoline only, or its frame has no slot for a direct call",
    ),
    State(
        "direct", "calls a trampoline directly",
        (DISABLE, Patch("ftrace_make_call", "direct", ops="direct")), (DIRECT,),
        lambda can: can.direct and {"ftrace_make_call", "ftrace_make_nop"} <= can.functions,
        "no direct calls, or no ops of a site's own",
    ),
    State(
        "kprobed", "a breakpoint stands at func while it is enabled",
        (DISABLE, Patch("ftrace_make_call", "caller", probed=True)), (TRACED,),
        lambda can: can.kprobe and {"ftrace_make_call", "ftrace_make_nop"} <= can.functions,
        "what a kprobe would replace is what ftrace switches",
    ),
    State(
        "disabled-again", "no longer traced", (DISABLE,), (QUIET,), _has("ftrace_make_nop"), "no ftrace_make_nop", True
    ),
)  # fmt: skip
"""In the order in which a site goes through them; direct calls of targets in the kernel follow, one state each."""


def state_names() -> tuple[str, ...]:
    """Return the names of the states that every kernel may have."""
    return (*(state.name for state in STATES), *(hook.state for hook in RETURNS))
