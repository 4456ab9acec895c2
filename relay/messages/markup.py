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

    A mark opens where no letter stands before it and closes where none stands after: snake_case_names stay whole.
    """
    opened: dict[str, int] = {}
    for place, (mark, text) in enumerate(tokens):
        if not mark:
            if "\n" in text:
                opened.clear()
        elif mark in opened and place > opened[mark] + 1 and not _letter(tokens, place + 1, first=True):
            yield opened.pop(mark), place
        elif not _letter(tokens, place - 1, first=False):
            opened[mark] = place


def _letter(tokens: list[tuple[str, str]], place: int, *, first: bool) -> bool:
    """Whether the neighbour's nearest character is a letter or a digit."""
    if not 0 <= place < len(tokens):
        return False
    text = tokens[place][1]
    return text[:1].isalnum() if first else text[-1:].isalnum()
