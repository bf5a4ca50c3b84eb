# SPDX-License-Identifier: GPL-2.0-or-later
"""Which trampolines are made: flags, arguments, programs, and how the programs behave when they are run."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from enum import IntFlag
from itertools import count as counting
from itertools import product

from .programs import MOST, Program, Programs

__all__ = ["REQUESTED", "Argument", "Case", "Flag", "case_of", "flags_text", "matrix", "probes"]


class Flag(IntFlag):
    """BPF_TRAMP_F_*: what a trampoline is to do; macros in the kernel, so that no type tells of them."""

    RESTORE_REGS = 1 << 0
    CALL_ORIG = 1 << 1
    SKIP_FRAME = 1 << 2
    IP_ARG = 1 << 3
    RET_FENTRY_RET = 1 << 4
    ORIG_STACK = 1 << 5
    SHARE_IPMODIFY = 1 << 6
    TAIL_CALL_CTX = 1 << 7
    INDIRECT = 1 << 8


_ENTRY = Flag.RESTORE_REGS
_EXIT = Flag.CALL_ORIG | Flag.SKIP_FRAME
_OPS, _OPS_RETURN = Flag.INDIRECT, Flag.INDIRECT | Flag.RET_FENTRY_RET
REQUESTED = frozenset(
    base | extra
    for base, extras in (
        (_ENTRY, (Flag(0), Flag.IP_ARG)),
        (_EXIT, (Flag(0), Flag.IP_ARG)),
        (_OPS, (Flag(0),)),
        (_OPS_RETURN, (Flag(0),)),
    )
    for extra in extras
)
"""What bpf_trampoline_update() and bpf_struct_ops_prepare_trampoline() ask for on their own."""


@dataclass(frozen=True, slots=True)
class Argument:
    """One argument of the traced function: its size [bytes], whether it is signed, whether a struct by value."""

    size: int
    signed: bool = False
    struct: bool = False

    @property
    def slots(self) -> int:
        """8-byte slots that it takes."""
        return (self.size + 7) // 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One trampoline.

    Args:
        flags: BPF_TRAMP_F_*.
        arguments: of the traced function.
        returns: what it returns; size 0 for nothing.
        fentry, fmod, fexit: programs in the order in which they are called.
        skipped: numbers of programs that are not run: entering them says no.
        stops: position of the fmod_ret program that returns something else than 0; -1 for none.
        far: the trampoline is as far from the kernel as it may be, instead of near.
    """

    flags: Flag
    arguments: tuple[Argument, ...] = (Argument(8), Argument(8))
    returns: Argument = Argument(4, True)
    fentry: tuple[Program, ...] = ()
    fmod: tuple[Program, ...] = ()
    fexit: tuple[Program, ...] = ()
    skipped: frozenset[int] = frozenset()
    stops: int = -1
    far: bool = False

    @property
    def slots(self) -> int:
        """8-byte slots of all arguments."""
        return sum(argument.slots for argument in self.arguments)

    @property
    def saves_return(self) -> bool:
        """Whether programs and caller see a return value."""
        return bool(self.flags & (Flag.CALL_ORIG | Flag.RET_FENTRY_RET))

    def __str__(self) -> str:
        """In reports: ``RESTORE_REGS, 2 arguments, 1 fentry``."""
        parts = [flags_text(self.flags), f"{len(self.arguments) or 'no'} argument{'s' * (len(self.arguments) > 1)}"]
        wide = [str(number) for number, each in enumerate(self.arguments, 1) if each.slots > 1]
        parts[1] += f" ({', '.join(wide)} of 16 bytes)" if wide else ""
        for name, programs in (("fentry", self.fentry), ("fmod_ret", self.fmod), ("fexit", self.fexit)):
            parts += [f"{len(programs)} {name}"] if programs else []
        if self.returns not in (Argument(4, True), Argument(0)):
            kind = "signed" if self.returns.signed else "unsigned"
            parts.append(f"returns {kind} {8 * self.returns.size} bits")
        parts += [f"fmod_ret {self.stops} returns an error"] if self.stops >= 0 else []
        parts += [f"{len(self.skipped)} not entered"] if self.skipped else []
        return ", ".join(parts)


def flags_text(flags: Flag) -> str:
    """Return flags as ``CALL_ORIG|SKIP_FRAME``."""
    return "|".join(flag.name or "" for flag in Flag if flag & flags) or "no flags"


def case_of(flags: Flag, programs: Programs, counts: tuple[int, int, int], variant: int = 0, **more: object) -> Case:
    """Return a case with the first programs of each kind.

    Args:
        flags: BPF_TRAMP_F_*.
        programs: the pool.
        counts: fentry, fmod_ret, fexit.
        variant: of all programs, as `Programs.find` has it.
        more: other fields of the case.
    """
    fentry, fmod, fexit = (
        tuple(programs.find(kind, position, variant) for position in range(count))
        for kind, count in zip((0, 2, 1), counts, strict=True)
    )
    return Case(flags=flags, fentry=fentry, fmod=fmod, fexit=fexit, **more)  # type: ignore[arg-type]


def probes(programs: Programs) -> list[Case]:
    """Return one case for each combination of flags: which does the JIT accept?"""
    return [case_of(Flag(value), programs, (1, 0, 0)) for value in range(1 << len(Flag))]


_LONG, _INT, _UINT = Argument(8), Argument(4, True), Argument(4)
_PAIR = Argument(16, struct=True)
_SHORT, _CHAR = Argument(2, True), Argument(1)
_SMALL_STRUCT = Argument(8, struct=True)


def _argument_lists(most: int) -> Iterator[tuple[Argument, ...]]:
    """Yield 0 to `most` arguments of each pattern."""
    patterns: tuple[tuple[Argument, ...], ...] = (
        (_LONG,), (_INT,), (_UINT,), (_CHAR, _SHORT, _INT), (_PAIR,), (_PAIR, _LONG), (_LONG, _LONG, _PAIR),
        (_SMALL_STRUCT, _CHAR), (_LONG,) * 7 + (_PAIR,),
        tuple(Argument(size, struct=True) for size in (3, 12, 5, 9, 6, 15, 7, 10, 14, 13, 2, 11)),
    )  # fmt: skip
    seen: set[tuple[Argument, ...]] = set()
    for pattern in patterns:
        for count in range(most + 1):
            made = tuple(pattern[position % len(pattern)] for position in range(count))
            if made not in seen:
                seen.add(made)
                yield made


def matrix(programs: Programs, flags: Iterable[Flag], most: int) -> list[Case]:
    """Return all cases.

    Args:
        programs: the pool.
        flags: combinations that the JIT accepts and tells from others.
        most: arguments that a model describes at most.
    """
    accepted = sorted(flags)
    made = list(_by_arguments(programs, accepted, most))
    made += _by_programs(programs, [each for each in accepted if each in REQUESTED])
    made += _by_return(programs, [each for each in accepted if each & Flag.INDIRECT])
    made += _by_session(programs, [each for each in accepted if each in REQUESTED and each & Flag.CALL_ORIG])
    return list(dict.fromkeys(made))


def _by_arguments(programs: Programs, accepted: list[Flag], most: int) -> Iterator[Case]:
    for flags in accepted:
        requested = flags in REQUESTED
        for arguments in _argument_lists(most):
            if not requested and len(arguments) not in (0, 2, 9, most):
                continue
            counts = (1, 0, 0) if flags & Flag.INDIRECT else (1, 0, int(bool(flags & Flag.CALL_ORIG)))
            for far in (False, True) if requested else (False,):
                yield case_of(flags, programs, counts, arguments=arguments, far=far)


_SOME_ARGUMENTS = ((), (_LONG, _INT), (_LONG,) * 9 + (_PAIR,))


def _by_programs(programs: Programs, requested: list[Flag]) -> Iterator[Case]:
    """Yield every number of programs of each kind, sleepable or not, with cookies or not, and what they may do."""
    for flags in requested:
        is_entry = not flags & Flag.CALL_ORIG
        for first, second, third in product(range(MOST + 1), repeat=3):
            if is_entry and (second or third or not first):
                continue
            counts = (first, second, third)
            for variant, arguments in product(range(4), _SOME_ARGUMENTS):
                base = case_of(flags, programs, counts, variant, arguments=arguments)
                base = _mixed(base, programs, variant) if variant else base
                yield base
                if variant in (0, 3) and not flags & Flag.INDIRECT:  # entering a struct_ops program never says no
                    yield from _behaviours(base)


def _mixed(base: Case, programs: Programs, variant: int) -> Case:
    """Return a case whose programs are of one variant after the other, the first of the one that is given."""
    kinds: dict[str, tuple[Program, ...]] = {"fentry": base.fentry, "fmod": base.fmod, "fexit": base.fexit}
    variants = counting(variant)
    return replace(base, **{
        name: tuple(programs.find(each.kind, each.position, next(variants) % 4) for each in some)
        for name, some in kinds.items()
    })  # type: ignore[arg-type]  # fmt: skip


def _behaviours(base: Case) -> Iterator[Case]:
    """Yield the same with programs that are not entered, and with fmod_ret programs that return an error."""
    everybody = (*base.fentry, *base.fmod, *base.fexit)
    numbers = [program.number for program in everybody]
    for some in (numbers[:1], numbers[-1:], numbers[::2], numbers):
        yield replace(base, skipped=frozenset(some))
    for position in range(len(base.fmod)):
        yield replace(base, stops=position)
        yield replace(base, stops=position, skipped=frozenset(each.number for each in base.fmod[:position]))


def _by_return(programs: Programs, indirect: list[Flag]) -> Iterator[Case]:
    """Yield every size of a return value that a struct_ops program has for its caller."""
    for flags, size, signed, far in product(indirect, (0, 1, 2, 4, 8), (False, True), (False, True)):
        if size or not flags & Flag.RET_FENTRY_RET:  # nobody asks for the value of a function that has none
            yield case_of(flags, programs, (1, 0, 0), returns=Argument(size, signed), far=far)


def _by_session(programs: Programs, requested: list[Flag]) -> Iterator[Case]:
    """Yield programs that run at entry and at exit, with and without others beside them."""
    if len(programs.all) <= 3 * MOST * 4:
        return
    choices: list[tuple[Program | None, ...]] = list(
        product(*[(None, programs.session(k, cookie=False), programs.session(k, cookie=True)) for k in range(MOST)])
    )
    for flags, chosen, others, arguments in product(requested, choices, (0, 1), _SOME_ARGUMENTS):
        sessions = tuple(each for each in chosen if each is not None)
        if sessions:
            fentry = tuple(programs.find(0, k) for k in range(others))
            fexit = tuple(programs.find(1, k) for k in range(others))
            yield Case(flags=flags, arguments=arguments, fentry=(*fentry, *sessions), fexit=(*sessions, *fexit))
            fmod = (programs.find(2, 0),)
            yield Case(flags=flags, arguments=arguments, fentry=(*sessions, *fentry), fexit=(*fexit, *sessions),
                       fmod=fmod, stops=0)  # fmt: skip
