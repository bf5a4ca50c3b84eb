# SPDX-License-Identifier: GPL-2.0-or-later
"""GP414: a call uses an ops or a trampoline that has been freed."""

from __future__ import annotations

from collections.abc import Iterator

from ...race.model import Kind
from ..cases import clean, fires
from ..facts import Facts
from ..model import Finding, Severity
from ..raced import raced, unsafe
from ..registry import rule


@rule(
    "GP414",
    "use-after-retirement",
    severity=Severity.ERROR,
    applies="race",
    source="explored: the kernel's own patching code and site, all interleavings",
    cases=(
        clean(raced),
        fires(lambda: raced(without=("synchronize_rcu_tasks",)), "disable and free in environment own: "),
    ),
)
def use_after_retirement(facts: Facts) -> Iterator[Finding]:
    """A call uses an ops or a trampoline that has been freed.

    ## What it checks
    After the kernel has taken a tracer away and waited as it does, its memory is given back: whether on some path a
    call still loads from there, runs there or hands it to a callback.

    ## Why it matters
    The memory is somebody else's by then. A task may have been preempted in the trampoline for any length of time.

    ## Remedy
    Wait for all tasks (synchronize_rcu_tasks) between the last patch and the free; a remote fence.i waits for harts,
    not for tasks.

    ## References
    kernel/trace/ftrace.c (ftrace_shutdown, ftrace_trampoline_free); Documentation/RCU/Design/Requirements (Tasks RCU).
    """
    yield from unsafe(facts, Kind.FREED)
