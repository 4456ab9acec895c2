"""The templates' two marks, `*bold*` and `_italic_`, for far sides that do not speak Slack's markup.

A value's own stars and underscores mean nothing: `protect` is the escape rule that says so, and `runs` reads it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

_SPECIAL = re.compile(r"([\\*_`])")
_TOKEN = re.compile(r"\\(.)|([*_])|([^\\*_]+|\\)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Run:
    """A piece of text in one style."""

    text: str
    bold: bool = False
    italic: bool = False


def protect(text: str) -> str:
    """A value as it stands in a marked text."""
    return _SPECIAL.sub(r"\\\1", text)


def plain(marked: str) -> str:
    """The text without its marks."""
    return "".join(run.text for run in runs(marked))


def runs(marked: str) -> tuple[Run, ...]:
    """The pieces of a marked text. A mark without its other one on the line is text."""
    tokens = [(found[2] or "", found[1] or found[3] or "") for found in _TOKEN.finditer(marked)]
    closes = dict(_pairs(tokens))
    pieces: list[Run] = []
    bold = italic = False
    for place, (mark, text) in enumerate(tokens):
        if place in closes or place in closes.values():
            bold ^= mark == "*"
            italic ^= mark == "_"
            continue
        shown = mark or text
        if pieces and (pieces[-1].bold, pieces[-1].italic) == (bold, italic):
            pieces[-1] = Run(pieces[-1].text + shown, bold, italic)
        else:
            pieces.append(Run(shown, bold, italic))
    return tuple(pieces)


def _pairs(tokens: list[tuple[str, str]]) -> Iterator[tuple[int, int]]:
    """Opening and closing place of each mark that has both, around at least something, on one line.

    A mark opens before a text and after no letter, and closes the other way round: neither snake_case_names nor
    2 * 3 * 4 are marked.
    """
    opened: dict[str, int] = {}
    for place, (mark, text) in enumerate(tokens):
        before, after = _neighbour(tokens, place - 1)[-1:], _neighbour(tokens, place + 1)[:1]
        if not mark:
            if "\n" in text:
                opened.clear()
        elif mark in opened and place > opened[mark] + 1 and not before.isspace() and not after.isalnum():
            yield opened.pop(mark), place
        elif after and not after.isspace() and not before.isalnum():
            opened[mark] = place


def _neighbour(tokens: list[tuple[str, str]], place: int) -> str:
    """What stands there: a mark or a text; nothing beyond the ends."""
    return "".join(tokens[place]) if 0 <= place < len(tokens) else ""
