# SPDX-License-Identifier: GPL-2.0-or-later
"""A rule's documentation, cut into the lengths that reports want."""

from __future__ import annotations

import re
from dataclasses import dataclass
from inspect import cleandoc

HELP_SIZE = 1024
_HEADING = re.compile(r"^## +(.+?) *$", re.MULTILINE)
_SENTENCE = re.compile(r".+?[.!?](?=\s|\Z)", re.DOTALL)


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleDocs:
    """What a report says of a rule: a sentence, a paragraph, a page as plain text and as Markdown."""

    short: str
    full: str
    help_text: str
    help_markdown: str


def rule_docs(code: str, name: str) -> RuleDocs:
    """Return the documentation of a rule; of one that is not registered, no more than its name."""
    doc = _registered_doc(code)
    preface, sections = _sections(doc)
    what = sections.get("What it checks", "").split("\n\n")[0]
    full = _one_line(f"{preface} {what}") or f"{name.replace('-', ' ').capitalize()}."
    sentence = _SENTENCE.match(full)
    text = "\n\n".join(f"{title}: {_one_line(body)}" for title, body in sections.items() if body) or full
    return RuleDocs(
        short=sentence[0] if sentence else full,
        full=full,
        help_text=text if len(text) <= HELP_SIZE else text[: HELP_SIZE - 3] + "...",
        help_markdown=doc or full,
    )


def _registered_doc(code: str) -> str:
    # A registry imports all its rules, so only who writes help pays for it.
    if code.startswith("GP5"):
        from ..check.registry import all_rules as patch_rules

        return patch_rules()[code].doc if code in patch_rules() else ""
    from ..audit.registry import all_rules

    rules = all_rules()
    return cleandoc(rules[code].doc) if code in rules else ""


def _sections(doc: str) -> tuple[str, dict[str, str]]:
    """What stands before the first heading, and the text under each."""
    parts = _HEADING.split(doc)
    return parts[0].strip(), {title: body.strip() for title, body in zip(parts[1::2], parts[2::2], strict=True)}


def _one_line(text: str) -> str:
    return " ".join(text.replace("`", "").split())
