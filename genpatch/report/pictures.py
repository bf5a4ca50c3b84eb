# SPDX-License-Identifier: GPL-2.0-or-later
"""Bars and strips as small SVG: for a page, whose style sheet colours them, or as files of their own."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape, quoteattr

from .escape import printable

__all__ = ["LEVELS", "Bar", "Mark", "Picture", "bars", "columns", "grid"]

LEVELS = ("error", "warning", "note", "clean")
"""Kinds of bars, in the order in which they are stacked, from the axis on."""
WIDTH = 720
_LABEL, _VALUE, _ROW, _TOP = 190, 110, 22, 50
_COLUMNS_HEIGHT = 150
_LEFT, _RIGHT, _TRACK = 62, 12, 14
_MOST_LABEL = 30
_CHAR = 7.2
_STYLE = """\
text{font:12px system-ui,sans-serif;fill:#1f2328}.title{font-size:14px;font-weight:600}.sub{fill:#59636e}
.num{font-variant-numeric:tabular-nums}.end{text-anchor:end}.mid{text-anchor:middle}.axis{stroke:#8b949e}
.mark{stroke:#59636e;stroke-dasharray:3 3}.clean{fill:#7d9cc0}.note{fill:#3f7fd0}.warning{fill:#d39a1f}
.error{fill:#c8372d}.own{fill:#c4622d}.range{fill:#e3eef9}.none{fill:#d0d7de}.on{fill:#fff}
@media(prefers-color-scheme:dark){text{fill:#e6edf3}.sub{fill:#9198a1}.axis{stroke:#6e7681}.mark{stroke:#9198a1}
.clean{fill:#55779f}.note{fill:#5b9bea}.warning{fill:#d8a534}.error{fill:#f0625a}.own{fill:#e08a55}.range{fill:#1c2f45}
.none{fill:#30363d}.on{fill:#0d1117}}"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """One chart: an identifier, what it shows, one sentence that tells the same in words, its size and its markup."""

    name: str
    title: str
    about: str
    width: int
    height: int
    body: str

    def inline(self, prefix: str = "") -> str:
        """Return the element for a page; the page's own style sheet has the colours."""
        name = f"{prefix}{self.name}"
        box = f'viewBox="0 0 {self.width} {self.height}"'
        return (
            f'<svg {box} role="img" aria-labelledby="{name}-t {name}-d" class="picture">'
            f'<title id="{name}-t">{_text(self.title)}</title><desc id="{name}-d">{_text(self.about)}</desc>'
            f"{self.body}</svg>"
        )

    def standalone(self) -> str:
        """Return a file that shows the picture, in light or dark, wherever SVG is shown."""
        inside = self.inline().partition(">")[2].removesuffix("</svg>")
        head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {self.width} {self.height}" role="img"'
        return (
            f'{head} aria-labelledby="{self.name}-t {self.name}-d">\n'
            f"<style>{_STYLE}</style>\n{inside.replace('><', '>' + chr(10) + '<')}\n</svg>\n"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """One bar: its label, what is written behind it, and its parts as (kind, value)."""

    label: str
    value: str
    parts: tuple[tuple[str, float], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """A line across columns, or a range of them if it has an end; positions as the columns' axis has them."""

    label: str
    at: float
    end: float | None = None


def _text(text: str) -> str:
    return escape(printable(text))


def _written(x: float, y: float, text: str, kind: str = "") -> str:
    style = f" class={quoteattr(kind)}" if kind else ""
    return f'<text{style} x="{x:g}" y="{y:g}">{_text(text)}</text>'


def _heading(title: str, unit: str) -> str:
    return _written(8, 20, title, "title") + _written(8, 38, unit, "sub")


def _short(label: str) -> str:
    return label if len(label) <= _MOST_LABEL else f"{label[: _MOST_LABEL - 3]}..."


def bars(name: str, title: str, unit: str, some: Sequence[Bar], *, about: str = "", most: float = 0) -> Picture:
    """Draw bars that lie, each with its label before it and its value behind it.

    Args:
        unit: of the values, in words.
        most: the value that fills the room; by default the largest.
    """
    longest = max([most, *(sum(value for _, value in bar.parts) for bar in some)], default=0)
    room = WIDTH - _LABEL - _VALUE
    body = [_heading(title, unit)]
    for number, bar in enumerate(some):
        y, x = _TOP + _ROW * number, float(_LABEL)
        body.append(_written(_LABEL - 8, y + 13, _short(bar.label), "end"))
        for kind, value in bar.parts:
            length = max(room * value / longest, 1.5 if value else 0) if longest else 0
            if length:
                body.append(f'<rect class="{kind}" x="{x:.1f}" y="{y}" width="{length:.1f}" height="16"/>')
            x += length
        body.append(_written(round(x + 6, 1), y + 13, bar.value, "num"))
    told = about or "; ".join(f"{bar.label} {bar.value}" for bar in some)
    return Picture(
        name=name, title=title, about=told, width=WIDTH, height=_TOP + _ROW * len(some) + 6, body="".join(body)
    )


def columns(
    name: str,
    title: str,
    unit: str,
    stacks: Sequence[Sequence[float]],
    *,
    first: float,
    last: float,
    ticks: Iterable[tuple[float, str]],
    about: str,
    marks: Sequence[Mark] = (),
    tracked: bool = False,
) -> Picture:
    """Draw columns that stand side by side over an axis.

    Args:
        stacks: for each column the values of LEVELS.
        first, last: the axis at its ends.
        ticks: (position, text) below the axis.
        marks: lines and ranges to be shown with it.
        tracked: also show the levels but clean in a row each, where a few among thousands are seen.
    """
    most = max((sum(stack) for stack in stacks), default=0)
    room, bottom = WIDTH - _LEFT - _RIGHT, _TOP + _COLUMNS_HEIGHT
    kinds = [at for at in range(len(LEVELS) - 1) if tracked and any(stack[at] for stack in stacks)]
    floor = bottom + (_TRACK * len(kinds) + 6 if kinds else 0)
    span = (last - first) or 1.0

    def x_of(position: float) -> float:
        return _LEFT + room * min(max((position - first) / span, 0), 1)

    body = [_heading(title, unit)]
    body += [_range(x_of(mark.at), x_of(mark.end), bottom) for mark in marks if mark.end is not None]
    step = room / max(len(stacks), 1)
    for number, stack in enumerate(stacks):
        body.append(_stack(_LEFT + step * number, max(step - 1, 0.6), stack, most, bottom))
    body.append(f'<path class="axis" d="M{_LEFT} {_TOP}V{bottom}H{WIDTH - _RIGHT}" fill="none"/>')
    body += [
        _written(_LEFT - 6, _TOP + 10, f"{most:,.0f}", "num end sub"),
        _written(_LEFT - 6, bottom, "0", "num end sub"),
    ]
    body += _tracks(stacks, kinds, step, bottom + 5)
    body += [_written(round(x_of(at), 1), floor + 16, text, "num mid sub") for at, text in ticks]
    body += _marks(marks, x_of, bottom)
    return Picture(
        name=name, title=title, about=about, width=WIDTH, height=floor + 26 + (18 if marks else 0), body="".join(body)
    )


def _stack(x: float, width: float, stack: Sequence[float], most: float, bottom: int) -> str:
    parts, y = [], float(bottom)
    for kind, value in zip(LEVELS, stack, strict=True):
        height = max(_COLUMNS_HEIGHT * value / most, 1) if value and most else 0
        if height:
            y -= height
            parts.append(f'<rect class="{kind}" x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}"/>')
    return "".join(parts)


def _tracks(stacks: Sequence[Sequence[float]], kinds: Sequence[int], step: float, top: int) -> list[str]:
    """Draw for each of some levels a row that is the darker the more sites of it there are."""
    parts = []
    for number, kind in enumerate(kinds):
        y, most, name = top + _TRACK * number, max(stack[kind] for stack in stacks), LEVELS[kind]
        parts.append(_written(_LEFT - 6, y + 10, name, "end sub"))
        parts.append(
            f'<rect class="range" x="{_LEFT}" y="{y}" width="{WIDTH - _LEFT - _RIGHT}" height="{_TRACK - 3}"/>'
        )
        for place, stack in enumerate(stacks):
            if stack[kind]:
                x, shade = _LEFT + step * place, 0.3 + 0.7 * stack[kind] / most
                size = f'width="{step:.1f}" height="{_TRACK - 3}"'
                parts.append(f'<rect class="{name}" x="{x:.1f}" y="{y}" {size} opacity="{shade:.2f}"/>')
    return parts


def _range(start: float, end: float, bottom: int) -> str:
    return f'<rect class="range" x="{start:.1f}" y="{_TOP}" width="{end - start:.1f}" height="{bottom - _TOP}"/>'


def _marks(marks: Sequence[Mark], x_of: Callable[[float], float], bottom: int) -> list[str]:
    """Draw the lines of marks, and below the axis what they mean, each where there is room."""
    parts, x = [], float(_LEFT)
    for mark in marks:
        if mark.end is None:
            at = x_of(mark.at)
            parts.append(f'<path class="mark" d="M{at:.1f} {_TOP - 6}V{bottom}"/>')
        sign = "range" if mark.end is not None else "mark-sign"
        parts.append(f'<rect class="{sign}" x="{x:.1f}" y="{bottom + 26}" width="10" height="10"/>')
        parts.append(_written(round(x + 15, 1), bottom + 35, mark.label, "sub"))
        x += 30 + _CHAR * len(mark.label)
    return parts


def grid(
    name: str, title: str, unit: str, heads: Sequence[str], rows: Sequence[tuple[str, Sequence[tuple[str, str]]]]
) -> Picture:
    """Draw a matrix: for each row its label and its cells as (kind, text)."""
    room = WIDTH - _LABEL - _RIGHT
    step = room / max(len(heads), 1)
    fits = int(step / _CHAR)
    body = [_heading(title, unit)]
    body += [
        _written(round(_LABEL + step * (number + 0.5), 1), _TOP + 8, head[:fits], "mid sub")
        for number, head in enumerate(heads)
    ]
    for number, (label, cells) in enumerate(rows):
        y = _TOP + 16 + _ROW * number
        body.append(_written(_LABEL - 8, y + 14, _short(label), "end"))
        for place, (kind, text) in enumerate(cells):
            x = _LABEL + step * place
            body.append(
                f'<rect class="{kind}" x="{x:.1f}" y="{y}" width="{max(step - 2, 1):.1f}" height="{_ROW - 2}"/>'
            )
            if text and len(text) <= fits:
                body.append(_written(round(x + step / 2, 1), y + 14, text, "mid on"))
    told = "; ".join(f"{label}: {', '.join(text or kind for kind, text in cells)}" for label, cells in rows)
    return Picture(
        name=name, title=title, about=told, width=WIDTH, height=_TOP + 24 + _ROW * len(rows), body="".join(body)
    )
