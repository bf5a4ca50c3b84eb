# SPDX-License-Identifier: GPL-2.0-or-later
"""The console of a kernel that starts: its own tests, its complaints, its end."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

__all__ = ["Console", "read_console"]

_STAMP = re.compile(r"^\[ *\d+\.\d+\](?:\[ *[TC]\d+\])? ?")
_ANSI = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
_TEST = re.compile(r"(?:^|: )Testing (?P<what>[^:]{1,80}): *(?P<rest>.*)$")
_RESULT = re.compile(r"(?:^|\s|\))(?P<result>PASSED|FAILED|OK)\b")
_END = re.compile(
    r"Kernel panic - not syncing: (?:No working init found|VFS: Unable to mount root fs)|Run /\S+ as init"
)
_BAD = re.compile(
    r"\bFAILED\b|^WARNING:|^BUG:|\bBUG: |\bOops\b|ftrace failed|ftrace bug|^Kernel panic|Unable to handle kernel"
    r"|^rcu: INFO: |^INFO: (?:task|rcu)|soft lockup|hard lockup|Internal error|Call Trace|\bKASAN:|\bUBSAN:"
    r"|possible circular locking|inconsistent lock state|Unhandled exception|Enabled event during self test"
    r"|\bfailed to (?:modify|patch)"
)
MOST_COMPLAINTS = 50


@dataclass
class Console:
    """What the console said.

    Args:
        banner: the kernel's first line.
        passed, failed: names of start-up tests; tests of single events are counted in `events`.
        events: how many events were tested and found in order.
        complaints: lines that no kernel in order prints.
        is_complete: it came to where it looks for init.
    """

    banner: str = ""
    passed: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    events: int = 0
    complaints: list[str] = field(default_factory=list)
    is_complete: bool = False
    _open: str = ""

    def take(self, raw: str) -> bool:
        """Take in a line; tell whether it is the expected end."""
        line = _STAMP.sub("", _ANSI.sub("", raw).strip("\r\n "))
        if line.startswith("Linux version ") and not self.banner:
            self.banner = line[:200]
        if _END.search(line):
            self.is_complete = True
            return True
        self._test(line)
        if _BAD.search(line) and len(self.complaints) < MOST_COMPLAINTS:
            self.complaints.append(line[:200])
        return False

    def _test(self, line: str) -> None:
        """Take in the result of a test, on the line of its name or some lines below it."""
        if (test := _TEST.search(line)) is not None:
            self._open, line = test["what"], test["rest"]
        result = _RESULT.search(line)
        if result is None or not self._open:
            return
        what, self._open = self._open, ""
        if result["result"] == "FAILED":
            self.failed.append(what)
        elif what.startswith("event "):
            self.events += 1
        else:
            self.passed.append(what)

    @property
    def is_good(self) -> bool:
        """It came to its end, tests passed and nothing complained."""
        return self.is_complete and bool(self.passed) and not self.failed and not self.complaints

    @property
    def evidence(self) -> str:
        """All of it in one line."""
        if not self.banner:
            return "no kernel spoke on the console"
        parts = [f"{len(self.passed)} start-up tests passed"]
        parts += [f"{len(self.failed)} failed: {', '.join(self.failed[:3])}"] if self.failed else []
        parts += [f"{self.events:,} event tests in order"] if self.events else []
        count = len(self.complaints)
        parts += [f"{count} complaint{'s' * (count != 1)}: {self.complaints[0]}" if count else "no complaint"]
        parts += (
            [] if self.is_complete else ["it did not come to its end" + (f", in {self._open}" if self._open else "")]
        )
        return "; ".join(parts)


def read_console(lines: Iterable[str]) -> Console:
    """Return what lines of a console say."""
    console = Console()
    for line in lines:
        console.take(line)
    return console
