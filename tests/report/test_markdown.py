# SPDX-License-Identifier: GPL-2.0-or-later
"""Markdown, read back by markdown-it (which rich brings along)."""

from __future__ import annotations

import pytest
from markdown_it import MarkdownIt
from markdown_it.token import Token

from genpatch.report.document import AuditDocument
from genpatch.report.formats import RenderOptions, get_format
from genpatch.report.formats.markdown import code, prose

from .builders import (
    DOCUMENTS,
    HOSTILE,
    SCRIPT,
    baselined,
    clean,
    faulty,
    finding,
    hostile,
    image,
    modules,
    single,
)


def text(document: AuditDocument, **options: object) -> str:
    return "".join(get_format("markdown").render(document, RenderOptions(**options)))  # type: ignore[arg-type]


def tokens(markdown: str) -> list[Token]:
    return MarkdownIt("commonmark").enable("table").parse(markdown)


def rows(markdown: str) -> list[list[Token]]:
    """The inline tokens of each row's cells."""
    found: list[list[Token]] = []
    for place, token in enumerate(parsed := tokens(markdown)):
        if token.type == "tr_open":
            found.append([])
        if token.type in ("td_open", "th_open"):
            found[-1].append(parsed[place + 1])
    return found


def plain(token: Token) -> str:
    """The text that a reader sees."""
    return "".join("\n" if each.content == "<br>" else each.content for each in token.children or ())


def test_findings() -> None:
    table = [[plain(cell) for cell in row] for row in rows(text(faulty()))]
    assert ["Level", "Rule", "Finding", "Where"] in table
    assert [
        "error",
        "GP104 function-alignment",
        "18,861 functions stand on 2 bytes, 4 are needed for one store a word",
        "0xffffffff80002002 set_reset_devices\n... 18,860 more",
    ] in table
    assert [row[0] for row in table if row[0] in ("error", "warning", "note")] == [
        *["error"] * 3,
        "warning",
        "note",
    ]


def test_rules_without_a_verdict() -> None:
    table = [[plain(cell) for cell in row] for row in rows(text(faulty()))]
    assert ["GP310 landing-pads", "the configuration is not known"] in table
    assert ["GP901 relocations", "relocation type 77 is not known"] in table


def test_several_images() -> None:
    table = [[plain(cell) for cell in row] for row in rows(text(modules()))]
    assert ["fs/ext4/ext4.ko", "43,709", "1", "0", "1"] in table
    assert "\n2 images without findings\n" in text(modules())
    assert ["Level", "Rule", "Image", "Finding", "Where"] in table


@pytest.mark.parametrize("name", DOCUMENTS)
def test_every_row_has_the_cells_of_its_head_and_no_html_but_breaks(name: str) -> None:
    markdown = text(DOCUMENTS[name]())
    heads = [block.count("|") for block in markdown.splitlines() if block.startswith("| --- |")]
    assert len(heads) == markdown.count("\n| --- |")
    for token in tokens(markdown):
        assert token.type != "html_block"
        for child in token.children or ():
            assert child.type in (
                "text",
                "text_special",
                "code_inline",
                "html_inline",
                "strong_open",
                "strong_close",
            )
            assert child.type != "html_inline" or child.content == "<br>"
    assert {len(row) for row in rows(text(DOCUMENTS[name](), summary=False))} <= {2, 4, 5}


@pytest.mark.parametrize("name", [name for name in HOSTILE if name.strip()])
def test_a_hostile_name_is_one_cell_of_text(name: str) -> None:
    cells = rows(f"| a | b |\n| --- | --- |\n| {prose(name)} | {code(name)} |\n")[1]
    assert len(cells) == 2
    assert {child.type for child in cells[0].children or ()} <= {"text", "text_special"}
    assert [child.type for child in cells[1].children or ()] == ["code_inline"]


def test_html_is_text() -> None:
    assert prose(SCRIPT) == "&lt;/script&gt;&lt;img src=x onerror=alert(1)&gt;"
    assert code(SCRIPT) == r"`\x3c/script\x3e\x3cimg src=x onerror=alert(1)\x3e`"
    assert "<img" not in text(hostile())


@pytest.mark.parametrize(
    ("raw", "escaped"),
    [
        ("vfs_read", "vfs_read"),
        ("__start_loc", r"\_\_start_loc"),
        ("a|b", r"a\|b"),
        ("a\\|b", r"a\\\|b"),
        ("*a* `b`", r"\*a\* \`b\`"),
        ("[a](http://x)", r"\[a\](http://x)"),
        ("@user #1 $x$ ~~", r"\@user \#1 \$x\$ \~\~"),
        ("&amp;", "&amp;amp;"),
    ],
)
def test_prose(raw: str, escaped: str) -> None:
    assert prose(raw) == escaped


def test_code() -> None:
    assert code("a|b`c") == r"`a\x7cb\x60c`"
    assert code("") == ""


def test_long_lists_are_cut() -> None:
    many = tuple(finding(message=f"message {n}") for n in range(60))
    assert text(single(image(findings=many))).count("message ") == 50
    assert "\n... and 10 findings more\n" in text(single(image(findings=many)))


def test_baseline_and_clean() -> None:
    assert "GP205" not in text(baselined())
    assert "**1 error, 0 warnings, 0 notes; 3 rules not run, 1 failed; 4 known findings**" in text(baselined())
    assert "### Findings" not in text(clean())
