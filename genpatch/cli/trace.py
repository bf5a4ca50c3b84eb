# SPDX-License-Identifier: GPL-2.0-or-later
"""``genpatch trace``: one function of a kernel image, executed and listed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import GenpatchError, UsageError
from .output import write_out

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ..image.model import KernelImage
    from ..machine.hart import Retired
    from ..machine.outcome import Outcome
    from ..run.arguments import Argument
    from ..run.kernel import KernelBench

OUT_OF_BUDGET = 124


class CallError(GenpatchError):
    """The function did not return."""


def trace(
    kernel: Annotated[str, typer.Argument(metavar="KERNEL", help="A kernel image with symbols, or sample:NAME.")],
    function: Annotated[str, typer.Argument(metavar="FUNC", help="The function's name or address.")],
    values: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[ARG]...",
            help="Its arguments: a number, a symbol or symbol+0x10, str:TEXT, hex:BYTES, buf:SIZE (zeros).",
        ),
    ] = None,
    args: Annotated[
        bool, typer.Option("--args", help="What follows are arguments; that is so without it, too.")
    ] = False,
    stub: Annotated[
        list[str] | None,
        typer.Option(
            "--stub", metavar="FUNC[=VALUE]", help="Return VALUE (0) from this function without executing it."
        ),
    ] = None,
    max_insns: Annotated[
        int,
        typer.Option("--max-insns", min=1, metavar="N", help="Instructions at most; exit 124 when they are used up."),
    ] = 100_000,
    traced: Annotated[
        bool,
        typer.Option("--traced", help="Instead show the life of its patch site: stores, calls, callback, return."),
    ] = False,
    bpf: Annotated[
        str | None,
        typer.Option(
            "--bpf",
            metavar="KINDS",
            help="Instead trace it by BPF programs: fentry, fexit, fmod_ret, fsession or struct_ops, with commas. "
            "With arguments the function itself runs.",
        ),
    ] = None,
    quiet: Annotated[
        bool,
        typer.Option(
            "--quiet", "-q", help="Leave out instructions: only the call (with --bpf all calls) and how it ended."
        ),
    ] = False,
) -> None:
    """Run one function of a kernel and list what it does, from its entry until it returns.

    Each line has the address, symbol+offset, the instruction's bits and text, and what changed: registers, and
    memory as [address]=value for a store and [address] -> value for a load. An instruction that could not be
    executed is the last line. Nothing has booted: data is as the image has it, and so are alternatives and jump
    labels. Exit status 0 if the function returned, 124 if --max-insns ran out, 2 for anything else; with --traced and
    --bpf 1 if something was broken.
    """
    from ..image.containers import open_content
    from ..image.read import read_image
    from ..run.arguments import read_argument
    from ..run.kernel import KernelBench
    from ..samples import resolve

    if traced and bpf is not None:
        raise UsageError("--traced and --bpf show two lives: leave out one of them")
    image = read_image(open_content(resolve(kernel)))
    if traced:
        if values or stub or quiet:
            raise UsageError("--traced makes its own calls: leave out arguments, --stub and --quiet")
        broken: list[str] = []
        write_out(_life(image, function, broken))
        raise typer.Exit(1 if broken else 0)
    if bpf is not None:
        if stub:
            raise UsageError("--bpf runs nothing beside the trampoline: leave out --stub")
        typed = [text for value in values or () for text in _split(value)]
        raise typer.Exit(_bpf(image, function, bpf, typed, quiet, max_insns))
    bench = KernelBench(image)
    for text in stub or ():
        name, _, value = text.partition("=")
        bench.stubs[_function(bench, name)] = _value(text, value)
    entry = _function(bench, function)
    arguments = [read_argument(bench, text) for value in values or () for text in _split(value)]
    bench.prepare(entry, [argument.value for argument in arguments])
    ended: list[Outcome] = []
    name_at = _names(bench, function, entry)
    write_out(_listing(bench, arguments, name_at, ended, max_insns, quiet))
    _finish(ended[0] if ended else None, name_at)


def _split(value: str) -> list[str]:
    """Return the arguments that one word of the command line holds: several where it was quoted.

    Raises:
        UsageError: it looks like an option; negative numbers are arguments.
    """
    from ..run.arguments import read_number

    if value.startswith("-") and read_number(value.replace(",", " ").split()[0]) is None:
        raise UsageError(f"No such option {value!r}.")
    if value.startswith("str:"):
        return [value]
    return value.replace(",", " ").split() or [value]


def _life(image: KernelImage, function: str, broken_lines: list[str]) -> Iterator[str]:
    """Yield what happens to one site in every state; what was broken goes to `broken_lines`, too."""
    import numpy as np

    from ..report.escape import printable
    from ..run.arguments import read_number
    from ..sites.discover import find_sites
    from ..verify.run import verify

    sites, number = find_sites(image), read_number(function)
    address = image.address_of(function) if number is None else number
    chosen = np.zeros(len(sites), np.bool_) if address is None else sites.func == np.uint64(address)
    if not chosen.any():
        raise UsageError(f"{image.path}: no patch site at {function!r}")
    lines: list[str] = []
    verification = verify(image, chosen=chosen, tell=lines.append)
    yield f"{printable(function)} at {int(sites.func[chosen][0]):#x}, {verification.verdict.name}\n"
    yield from (printable(line) + "\n" for line in lines)
    for state in verification.states:
        if state.skipped:
            yield printable(f"{state.name}: not tried, {state.skipped}") + "\n"
    for failure in verification.failures:
        expected, got = int(failure.expected[0]), int(failure.got[0])
        broken = f"BROKEN in state {failure.state}: {failure.promise} {failure.what}"
        broken_lines.append(broken)
        yield printable(f"{broken}, {got:#x} instead of {expected:#x}") + "\n"
    yield from (f"note: {printable(note)}\n" for note in verification.notes)


def _bpf(image: KernelImage, function: str, kinds: str, values: list[str], quiet: bool, budget: int) -> int:
    """Show one life of a BPF trampoline; return the exit status.

    Raises:
        CallError: the function itself did not return.
    """
    from ..machine.outcome import Status
    from ..report.escape import printable
    from ..verify.bpf.trace import trace_bpf

    chosen = [kind.strip() for kind in kinds.split(",") if kind.strip()]
    lines, broken, ended = trace_bpf(image, function, chosen, values, budget=budget)
    write_out(printable(line) + "\n" for line in lines if not quiet or not line.startswith("0x"))
    if ended is not None:
        error = CallError(f"{function} does not return with these arguments: {ended.reason} at pc {ended.pc:#x}")
        error.exit_code = OUT_OF_BUDGET if ended.status in (Status.BUDGET, Status.STUCK) else error.exit_code
        raise error
    return int(broken > 0)


def _function(bench: KernelBench, text: str) -> int:
    from ..run.arguments import read_number

    number = read_number(text)
    return bench.function(text if number is None else number)


def _value(text: str, value: str) -> int:
    from ..run.arguments import read_number

    number = read_number(value or "0")
    if number is None:
        raise UsageError(f"--stub {text!r}: expected FUNC or FUNC=NUMBER")
    return number


def _listing(
    bench: KernelBench,
    arguments: list[Argument],
    name_at: Callable[[int], str],
    ended: list[Outcome],
    budget: int,
    quiet: bool,
) -> Iterator[str]:
    """Yield the lines; the outcome goes to `ended`."""
    from ..machine.outcome import Outcome
    from ..report.escape import printable
    from ..run.arguments import changed
    from ..run.listing import line_of

    given = ", ".join(map(_shown, arguments))
    yield f"{printable(name_at(bench.hart.pc))}({printable(given)})\n"
    for each in bench.hart.trace(budget):
        if isinstance(each, Outcome):
            ended.append(each)
        elif not quiet:
            yield printable(line_of(each, name_at)) + "\n"
    last = None if quiet or not ended else _not_executed(bench, ended[0])
    if last is not None:
        yield printable(line_of(last, name_at)) + "\n"
    if ended and _has_returned(ended[0]):
        value = bench.hart.x[10]
        yield f"returned {value:#x}{_decimal(value)} after {bench.hart.retired} instructions\n"
        for number, argument in enumerate(arguments):
            now = changed(bench, argument)
            if now is not None:
                yield f"argument {number} now points to {now[:256].hex(' ')}{' ...' if len(now) > 256 else ''}\n"


def _names(bench: KernelBench, function: str, entry: int) -> Callable[[int], str]:
    """Return what names addresses: ``symbol+0x12``; the traced function has the name that was typed."""
    from functools import lru_cache

    from ..run.arguments import read_number
    from ..units import as_hex

    is_named = read_number(function) is None
    other = bench.image.symbols.nearest(entry)

    @lru_cache(maxsize=1 << 16)
    def name_at(address: int) -> str:
        if is_named and address == entry:
            return function
        if bench.image.memory.region_at(address) is None:
            return as_hex(address)
        name = bench.image.symbols.nearest(address)
        base, plus, offset = name.partition("+")
        return f"{function}{plus}{offset}" if base == other and is_named else name

    return name_at


def _shown(argument: Argument) -> str:
    value = argument.value
    return argument.text if argument.text in (str(value), f"{value:#x}") else f"{argument.text} ({value:#x})"


def _not_executed(bench: KernelBench, outcome: Outcome) -> Retired | None:
    """Return the instruction at which a run ended because it could not be executed."""
    from ..isa.insn import decode
    from ..machine.hart import Retired
    from ..machine.outcome import Status, Trap

    if outcome.status not in (Status.FAULT, Status.UNSUPPORTED):
        return None
    try:
        insn = decode(bench.memory.fetch(outcome.pc))
    except Trap:
        return None
    return None if insn is None else Retired(outcome.pc, insn, (), ())


def _decimal(value: int) -> str:
    signed = value - (value >> 63 << 64)
    return f" ({signed})" if 9 < signed < 1 << 31 or -4096 < signed < 0 else ""


def _has_returned(outcome: Outcome) -> bool:
    from ..run.kernel import has_returned

    return has_returned(outcome)


def _finish(outcome: Outcome | None, name_at: Callable[[int], str]) -> None:
    """Turn how the function ended into an exit status.

    Raises:
        CallError: it did not return.
    """
    from ..machine.outcome import Cause, Status
    from ..run.listing import reason_of

    if outcome is None or _has_returned(outcome):  # None: nobody reads the listing any more
        return
    hint = ": a BUG or WARN of the kernel" if outcome.cause == Cause.BREAKPOINT else ""
    error = CallError(reason_of(outcome, name_at) + hint)
    if outcome.status in (Status.BUDGET, Status.STUCK):
        error.exit_code = OUT_OF_BUDGET
    raise error
