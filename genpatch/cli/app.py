# SPDX-License-Identifier: GPL-2.0-or-later
"""The program: its verbs, and the one place where errors become an exit status."""

from __future__ import annotations

import copy
import os
import sys
from typing import Annotated

import typer

from .. import __version__
from ..errors import GenpatchError
from .audit import audit
from .check import check
from .compare import compare
from .diff import diff
from .emit import emit
from .explain import explain, rules
from .hook import app as hook_app
from .lists import samples, schema, schemes
from .prove import prove
from .race import race
from .report import report
from .run import run
from .trace import trace
from .verify import verify

app = typer.Typer(
    name="genpatch",
    help="See how a Linux/RISC-V kernel patches its own code, and what is wrong with it.",
    epilog="Exit status: 0 nothing at or above --fail-on, 1 findings, 2 anything else; 124 out of budget.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command()(audit)
app.command()(verify)
app.command()(race)
app.command()(compare)
app.command()(diff)
app.command()(report)
app.command()(emit)
app.command()(check)
app.add_typer(hook_app, name="hook")
app.command()(prove)
app.command()(rules)
app.command()(explain)
app.command()(schemes)
app.command()(samples)
app.command()(schema)
app.command()(run)
app.command(context_settings={"ignore_unknown_options": True})(trace)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"genpatch {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version and exit."),
    ] = False,
) -> None:
    """Options of the program itself."""


def _with_one_verb(word: str) -> typer.Typer:
    """Return the program with the one verb that a word names: to build all of them takes longer than most checks."""
    commands = [each for each in app.registered_commands if getattr(each.callback, "__name__", "") == word]
    if not commands:
        return app
    one = copy.copy(app)
    one.registered_commands, one.registered_groups = commands, []
    return one


def main() -> None:
    """Run the program; what goes wrong is one line on stderr and exit status 2."""
    # numpy's linear algebra would start a thread a processor, which takes longer than the audit's own imports
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    try:
        words = sys.argv[1:] or ["--help"]
        asked = _with_one_verb(words[0])
        raise SystemExit(asked([*words, "--help"] if words == ["hook"] else words, standalone_mode=False) or 0)
    except GenpatchError as error:
        _fail(str(error), error.exit_code)
    except KeyboardInterrupt:
        _fail("interrupted", 130)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(0) from None
    except Exception as error:
        if (usage := getattr(error, "format_message", None)) is not None:  # typer's own: the command line is wrong
            _fail(usage(), 2)
        if os.environ.get("GENPATCH_DEBUG"):
            raise
        _fail(f"internal error: {type(error).__name__}: {error} (set GENPATCH_DEBUG=1 for where)", 2)


def _fail(message: str, status: int) -> None:
    from ..report.escape import printable

    sys.stdout.flush()
    sys.stderr.write(f"genpatch: {printable(message)}\n")
    raise SystemExit(status)
