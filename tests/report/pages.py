# SPDX-License-Identifier: GPL-2.0-or-later
"""A browser for pages: Debian's Chromium, driven by playwright; who has neither is told so and skips."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

BROWSERS = ("chromium", "chromium-browser", "google-chrome")


def browser_path() -> str:
    """Return the browser to use, empty without one; GENPATCH_BROWSER names another."""
    named = os.environ.get("GENPATCH_BROWSER", "")
    return named or next((found for name in BROWSERS if (found := shutil.which(name))), "")


def missing() -> str:
    """Return what a test of pages lacks, empty if nothing."""
    if not browser_path():
        return f"no browser: none of {', '.join(BROWSERS)} is installed (apt install chromium)"
    try:
        import playwright.sync_api  # noqa: F401
    except ImportError:
        return "no playwright: pip install -e '.[browser]'"
    return ""


@dataclass
class Visit:
    """A page that is open, what it said and asked for, and the seconds it took: on a clock, and of a processor."""

    page: Any
    said: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    seconds: float = 0.0
    busy: float = 0.0

    def text(self, selector: str) -> str:
        return str(self.page.inner_text(selector))

    def count(self, selector: str) -> int:
        return int(self.page.locator(selector).count())

    def until(self, script: str) -> None:
        """Wait until an expression is true; asked from outside, since the page's policy lets nobody poll inside."""
        end = time.monotonic() + 30
        while not self.page.evaluate(script):
            assert time.monotonic() < end, script
            self.page.wait_for_timeout(20)

    def run(self, script: str, argument: Any = None) -> Any:
        return self.page.evaluate(script, argument)


class Browser:
    """One browser for many visits."""

    def __init__(self, engine: Any) -> None:
        self.engine = engine

    @contextmanager
    def visit(
        self, path: Path, fragment: str = "", *, width: int = 1280, height: int = 900, **settings: Any
    ) -> Iterator[Visit]:
        context = self.engine.new_context(viewport={"width": width, "height": height}, **settings)
        visit = Visit(context.new_page())
        visit.page.on("console", lambda message: visit.said.append(f"{message.type}: {message.text}"))
        visit.page.on("pageerror", lambda error: visit.said.append(f"error: {error}"))
        visit.page.on("dialog", lambda dialog: (visit.said.append(f"dialog: {dialog.message}"), dialog.dismiss()))
        visit.page.on("request", lambda request: visit.asked.append(request.url))
        meter = context.new_cdp_session(visit.page)
        meter.send("Performance.enable", {"timeDomain": "threadTicks"})
        started = time.perf_counter()
        visit.page.goto(f"{path.as_uri()}{fragment}")
        visit.page.wait_for_selector("html[data-ready]", state="attached", timeout=60_000)
        visit.seconds = time.perf_counter() - started
        metrics = {each["name"]: each["value"] for each in meter.send("Performance.getMetrics")["metrics"]}
        visit.busy = metrics["TaskDuration"]
        try:
            yield visit
        finally:
            context.close()


@contextmanager
def a_browser() -> Iterator[Browser]:
    """Start a browser, or skip and say why."""
    lacks = missing()
    if lacks:
        if "browser" in os.environ.get("GENPATCH_REQUIRED", ""):
            pytest.fail(lacks)
        pytest.skip(lacks)
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        engine = driver.chromium.launch(executable_path=browser_path(), args=["--no-sandbox"])
        try:
            yield Browser(engine)
        finally:
            engine.close()
