# SPDX-License-Identifier: GPL-2.0-or-later
"""GP110: each of ftrace's routines writes what the scheme writes."""

from __future__ import annotations

from collections.abc import Iterator

from ...schemes import CallScheme
from ...schemes.model import Place
from ...sites.patching import TextStore
from ..cases import CALL_OPS_CODE, CALL_OPS_MAKE_CALL, PAIR_CODE, PAIR_MAKE_CALL, Fn, clean, fires, kernel, replaced
from ..facts import Facts
from ..model import Finding, Severity, Skip
from ..registry import rule

_ROUTINES = ("ftrace_make_call", "ftrace_make_nop", "ftrace_modify_call", "ftrace_init_nop")
_NO_LITERAL = CALL_OPS_MAKE_CALL.replace("    jal ra, patch_text_nosync\n", "")
_LOW_LITERAL = CALL_OPS_MAKE_CALL.replace("addi a0, s1, -12", "addi a0, s1, -20")
_ONLY_LITERAL = CALL_OPS_MAKE_CALL.replace("    jal ra, patch_insn_write\n", "")
_LONG_PAIR = PAIR_MAKE_CALL.replace("addi a2, zero, 8", "addi a2, zero, 16")


@rule(
    "GP110",
    "patch-store-mismatch",
    severity=Severity.ERROR,
    applies="kernel",
    source="linux arch/riscv/kernel/ftrace.c; the scheme's record in genpatch/schemes/catalog.py",
    cases=(
        clean(lambda: kernel(Fn(name="one"))),
        clean(lambda: kernel(Fn(name="one", before=0), code=PAIR_CODE)),
        clean(lambda: kernel(Fn(name="one"), code=replaced(CALL_OPS_CODE, "ftrace_modify_call", _ONLY_LITERAL))),
        fires(
            lambda: kernel(Fn(name="one"), code=replaced(CALL_OPS_CODE, "ftrace_modify_call", _NO_LITERAL)),
            "ftrace_modify_call does not write 8 bytes at func-8",
        ),
        fires(
            lambda: kernel(Fn(name="one"), code=replaced(CALL_OPS_CODE, "ftrace_make_call", _ONLY_LITERAL)),
            r"ftrace_make_call does not write 4 bytes at func\+4",
        ),
        fires(
            lambda: kernel(Fn(name="one"), code=replaced(CALL_OPS_CODE, "ftrace_make_call", _NO_LITERAL)),
            "does not write 8 bytes at func-8",
        ),
        fires(
            lambda: kernel(Fn(name="one"), code=replaced(CALL_OPS_CODE, "ftrace_make_call", _LOW_LITERAL)),
            "writes 8 bytes at func-16",
        ),
        fires(
            lambda: kernel(Fn(name="one", before=0), code=replaced(PAIR_CODE, "ftrace_make_call", _LONG_PAIR)),
            r"writes 16 bytes at func\+0",
        ),
    ),
)
def patch_store_mismatch(facts: Facts) -> Iterator[Finding]:
    """A routine of ftrace writes other bytes of a site than its scheme means.

    ## What it checks
    ftrace_make_call, ftrace_make_nop, ftrace_modify_call and ftrace_init_nop, each decoded: the addresses
    (relative to rec->ip) and lengths that it passes to the routines that write text, against the stores of
    the image's scheme.

    ## Why it matters
    A write that is longer than the sled overwrites the function; one at another place leaves half a call
    or changes code that nobody meant. A write that is missing leaves the old target in force.

    ## Remedy
    Use one set of constants (MCOUNT_INSN_SIZE, the literal's offset) in all four routines.

    ## References
    arch/riscv/kernel/ftrace.c; arch/riscv/include/asm/ftrace.h.
    """
    scheme, judged = facts.need_scheme(), 0
    for name in _ROUTINES:
        routine = facts.code.routine(name)
        stores = facts.code.stores(name)
        if routine is None or not routine.complete or not stores or any(store.width is None for store in stores):
            continue
        judged += 1
        got = {_relative(scheme, store) for store in stores}
        meant = _meant(scheme, name)
        wanted = got if got in meant else meant[0]
        wrong = [f"writes {width} bytes at func{at:+d}" for at, width in sorted(got - wanted)]
        wrong += [f"does not write {width} bytes at func{at:+d}" for at, width in sorted(wanted - got)]
        if wrong:
            yield Finding(
                message=f"{name} {' and '.join(wrong)}, unlike {scheme.name}",
                kind="stores", address=routine.start, symbol=name,
            )  # fmt: skip
    if not judged:
        raise Skip("none of ftrace's patching routines could be followed")


def _meant(scheme: CallScheme, name: str) -> list[set[tuple[int, int]]]:
    """Return (distance from func, length) of each store that a routine should make.

    A change may enable anew. It may also leave out the call, where that is the same one for every tracer.
    """
    transitions = {
        "ftrace_init_nop": (scheme.init,),
        "ftrace_make_call": (scheme.enable,),
        "ftrace_modify_call": (scheme.enable, scheme.change),
        "ftrace_make_nop": (scheme.disable,),
    }[name]
    if name == "ftrace_modify_call" and scheme.frozen_auipc:
        transitions += (tuple(store for store in scheme.change if store.is_data),)
    return [{(store.at, store.width) for store in stores if store.place is Place.FUNC} for stores in transitions]


def _relative(scheme: CallScheme, store: TextStore) -> tuple[int, int]:
    """Return a store as (distance from func, length), for a function on a multiple of 8."""
    at = scheme.ip_offset + store.at
    return at & -store.align_down, store.width or 0
