# SPDX-License-Identifier: GPL-2.0-or-later
"""``genpatch hook``: git's hooks that call ``genpatch check``."""

from __future__ import annotations

import os
from dataclasses import dataclass
from email import message_from_bytes
from pathlib import Path
from subprocess import DEVNULL, TimeoutExpired
from typing import Annotated

import typer

from ..errors import InputError, UsageError
from .output import write_out

__all__ = ["HOOKS", "app", "comment_mark", "sender"]

_MARK = "# made by genpatch hook install"
_COMMANDS = {
    "sendemail-validate": 'genpatch check --hook=sendemail-validate ${2:+--smtp-headers "$2"} -- "$1"',
    "commit-msg": 'genpatch check --commit-msg "$1"',
}
HOOKS = tuple(_COMMANDS)
_MOST_BYTES = 1 << 16
_COMMENTS = "#;@!$%^&|:"
# What would make git look at another repository than the one that is named.
_ELSEWHERE = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_COMMON_DIR", "GIT_PREFIX", "GIT_NAMESPACE")

app = typer.Typer(
    help="Install, show or remove git hooks that check patches and commit messages.", no_args_is_help=True
)
_Repo = Annotated[Path, typer.Option("--repo", metavar="DIR", help="The repository; any directory of its work tree.")]
_Name = Annotated[str, typer.Argument(metavar="HOOK", help="sendemail-validate or commit-msg.")]
_Force = Annotated[bool, typer.Option("--force", help="Also a hook of genpatch's that was changed by hand.")]
_HERE = Path()


@dataclass(frozen=True, slots=True)
class _Hook:
    """A hook's file.

    Args:
        name: as git calls it.
        path: where git looks for it.
        state: ``none``, ``own``, ``changed`` (genpatch's, and then changed by hand) or ``foreign``.
    """

    name: str
    path: Path
    state: str


@app.command()
def install(name: _Name, repo: _Repo = _HERE, force: _Force = False) -> None:
    """Install a hook: sendemail-validate checks what git send-email is about to send, commit-msg each message.

    It goes where git looks for hooks, core.hooksPath included. A hook that is somebody else's is never touched.
    """
    hook = _hook(name, repo)
    if hook.state == "foreign":
        raise UsageError(f"{hook.path}: another hook is there; to have both, add to it: {_COMMANDS[name]} || exit 1")
    if hook.state == "changed" and not force:
        raise UsageError(f"{hook.path}: made by genpatch, and changed since; --force replaces it")
    if hook.state == "own" and os.access(hook.path, os.X_OK):
        write_out([f"{hook.path}: is there already\n"])
        return
    _write(hook)
    write_out([f"{hook.path}: installed\n"])


@app.command()
def show(repo: _Repo = _HERE) -> None:
    """Say which hooks there are."""
    said = {
        "none": "not installed",
        "own": "installed",
        "changed": "made by genpatch, and changed since",
        "foreign": "another hook",
    }
    lines = []
    for name in HOOKS:
        hook = _hook(name, repo)
        idle = "" if hook.state == "none" or os.access(hook.path, os.X_OK) else ", not executable: git passes it over"
        lines.append(f"{name}: {hook.path}: {said[hook.state]}{idle}\n")
    write_out(lines)


@app.command()
def uninstall(name: _Name, repo: _Repo = _HERE, force: _Force = False) -> None:
    """Remove a hook that 'genpatch hook install' has made; another one stays."""
    hook = _hook(name, repo)
    if hook.state == "foreign":
        raise UsageError(f"{hook.path}: not made by genpatch, so it stays")
    if hook.state == "changed" and not force:
        raise UsageError(f"{hook.path}: made by genpatch, and changed since; --force removes it")
    if hook.state == "none":
        write_out([f"{hook.path}: is not there\n"])
        return
    try:
        hook.path.unlink()
    except OSError as error:
        raise InputError(str(hook.path), got=error.strerror or str(error)) from error
    write_out([f"{hook.path}: removed\n"])


def comment_mark(message: bytes) -> str:
    """Return what starts the lines that git will leave out of a message; empty if it leaves none out.

    Without an editor git keeps all lines, unless commit.cleanup says otherwise.
    """
    found: dict[str, str] = {}
    listed = _git(_HERE, "config", "-z", "--get-regexp", r"^(core\.comment(char|string)|commit\.cleanup)$")[0]
    for entry in listed.split("\0"):
        key, _, value = entry.partition("\n")
        found[key] = value
    cleanup = found.get("commit.cleanup", "default")
    no_editor = os.environ.get("GIT_EDITOR") == ":"
    if cleanup in ("verbatim", "whitespace") or (no_editor and cleanup not in ("strip", "scissors")):
        return ""
    mark = found.get("core.commentstring") or found.get("core.commentchar") or "#"
    if mark != "auto":
        return mark
    last = [line for line in message.decode("utf-8", "replace").split("\n") if line][-1:]
    return last[0][0] if last and last[0][0] in _COMMENTS else "#"


def sender(headers: bytes) -> str:
    """Return who sends a mail, as its headers have it; empty if they do not say."""
    return str(message_from_bytes(headers[:_MOST_BYTES]).get("From", "")).strip()


def _hook(name: str, repo: Path) -> _Hook:
    """Return a hook of a repository.

    Raises:
        UsageError: there is no such hook, or this is no repository with a work tree.
    """
    if name not in HOOKS:
        raise UsageError(f"no hook {name!r}: expected {' or '.join(HOOKS)}")
    top, why = _git(repo, "rev-parse", "--show-toplevel")
    if not top.strip():
        raise UsageError(f"{repo}: no git work tree{f': {why}' if why else ''}")
    root = Path(top.rstrip("\n"))
    folder, why = _git(root, "rev-parse", "--git-path", "hooks")
    if not folder.strip():
        raise UsageError(f"{repo}: git names no place for hooks{f': {why}' if why else ''}")
    path = root / folder.rstrip("\n") / name
    if path.parent.exists() and not path.parent.is_dir():
        raise UsageError(f"{path.parent}: git looks for hooks there, but it is no directory")
    return _Hook(name, path, _state(name, path))


def _state(name: str, path: Path) -> str:
    if path.is_symlink() or (path.exists() and not path.is_file()):
        return "foreign"
    try:
        with path.open("rb") as stream:
            text = stream.read(_MOST_BYTES).decode("utf-8", "replace")
    except FileNotFoundError:
        return "none"
    except OSError as error:
        raise InputError(str(path), got=error.strerror or str(error)) from error
    if text == _text(name):
        return "own"
    return "changed" if _MARK in text.split("\n")[:2] else "foreign"


def _text(name: str) -> str:
    return f"""\
#!/bin/sh
{_MARK}
command -v genpatch >/dev/null || {{
	echo "genpatch: not found; to do without it remove $0" >&2
	exit 1
}}
exec {_COMMANDS[name]}
"""


def _write(hook: _Hook) -> None:
    """Write a hook whole or not at all; a hook that somebody else makes meanwhile stays.

    Raises:
        InputError: it cannot be written.
    """
    import tempfile

    scratch = None
    try:
        hook.path.parent.mkdir(parents=True, exist_ok=True)
        handle, scratch = tempfile.mkstemp(prefix=f".{hook.name}.", dir=hook.path.parent)
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(_text(hook.name))
        Path(scratch).chmod(0o755)
        if hook.state == "none":
            os.link(scratch, hook.path)
        else:
            Path(scratch).replace(hook.path)
    except OSError as error:
        raise InputError(str(hook.path), got=error.strerror or str(error)) from error
    finally:
        if scratch is not None:
            Path(scratch).unlink(missing_ok=True)


def _git(folder: Path, *arguments: str) -> tuple[str, str]:
    """Return what a git command prints, empty if it fails, and then the first line of why."""
    import subprocess

    env = {name: value for name, value in os.environ.items() if name not in _ELSEWHERE} | {"LC_ALL": "C"}
    command = ("git", "-c", "core.fsmonitor=false", "-C", str(folder), *arguments)
    try:
        done = subprocess.run(command, stdin=DEVNULL, capture_output=True, timeout=30, env=env, check=False)
    except (OSError, TimeoutExpired) as error:
        return "", "git is not installed" if isinstance(error, FileNotFoundError) else str(error)
    said = os.fsdecode(done.stdout) if done.returncode == 0 else ""
    return said, done.stderr.decode("utf-8", "replace").strip().split("\n")[0]
