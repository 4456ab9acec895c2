"""Adaptive Cards from the words of a message, within what Teams takes: what is too long is cut, never refused.

https://adaptivecards.io/explorer/; all text stands in runs of rich text, where no markdown is read, so that a name can
be neither a link nor a mention. Sizes are those of the JSON in UTF-8.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pydantic_core

from relay.messages import Digest, Message, fair_limit
from relay.messages.markup import Run, plain, runs

VERSION = "1.4"
# Teams refuses what is larger than 28 KB; trouble was seen from 21 KB.
WHOLE = 20_000
CUT = "…"
BULLET = "• "
_TITLE, _SMALL, _COUNTS, _HEADING, _LINE = 400, 1000, 600, 160, 4000
_MOST_LINES, _MOST_HEADINGS = 60, 12
# What the line about what was left out or cut takes of the whole.
_NOTE = 300
_SCHEMA = "http://adaptivecards.io/schemas/adaptive-card.json"
_APART, _CLOSE = "Medium", "None"
_USUAL: Mapping[str, Any] = {}
_SUBTLE = {"size": "Small", "isSubtle": True}


def size(text: str) -> int:
    """What a text takes of the JSON, in bytes."""
    return _bytes(text) - 2


def cut(text: str, limit: int) -> str:
    """At most `limit` bytes of JSON, with a mark where something is missing."""
    if size(text) <= limit:
        return text
    low, high = 0, min(len(text), limit)
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if size(text[:middle]) <= limit - size(CUT) else (low, middle - 1)
    return text[:low].rstrip() + CUT


def payload(message: Message, *, small: Sequence[str], link: str, words: str) -> dict[str, Any]:
    """The whole JSON of one message."""
    shown = [cut(plain(text), _SMALL) for text in (" · ".join(message.context), *small) if text]
    title = cut(plain(message.title), _TITLE)
    room = WHOLE - _bytes(_message(title, [], shown, link=link, words=words)) - _NOTE
    lines = [(number == 0, line) for block in message.body for number, line in enumerate(block.splitlines())]
    body: list[dict[str, Any]] = []
    for begins, line in lines[:_MOST_LINES]:
        pieces = runs(line) if size(line) <= _LINE else (Run(cut(plain(line), _LINE)),)
        element = _text(*pieces, spacing=_APART if begins else _CLOSE)
        room -= _bytes(element) + 1
        if room < 0:
            break
        body.append(element)
    left_out = len(lines) - len(body)
    note = [f"{left_out} more lines, not shown: the message is too long for Teams"] if left_out else []
    return _message(title, body, [*note, *shown], link=link, words=words)


def digest_payload(digest: Digest, *, small: Sequence[str], link: str, words: str) -> dict[str, Any]:
    """The whole JSON of a message about several events: no line is left out, long ones are cut so that all fit."""
    title = cut(plain(digest.title), _TITLE)
    counts = [_text(Run(cut(plain(text), _COUNTS)), spacing=_APART) for text in digest.counts]
    headings, groups = _grouped(digest)
    frame = _message(title, [*counts, *headings], small, link=link, words=words)
    room = WHOLE - _bytes(frame) - _NOTE - len(digest.lines) * (_bytes(_bullet("")) + 1)
    limit = fair_limit((size(line) for lines in groups for line in lines), room)
    body, cut_short = list(counts), 0
    for number, lines in enumerate(groups):
        body += headings[number : number + 1]
        for line in lines:
            kept = line if limit is None else cut(line, limit)
            cut_short += kept != line
            body.append(_bullet(kept))
    note = [f"{cut_short} lines are cut short: the message is too long for Teams"] if cut_short else []
    return _message(title, body, [*note, *small], link=link, words=words)


def _grouped(digest: Digest) -> tuple[list[dict[str, Any]], list[list[str]]]:
    """Headings and the lines below each; there are none over one group, nor over so many that there is no room."""
    groups = [list(map(plain, group.lines)) for group in digest.groups]
    if len(groups) == 1:
        return [], groups
    if len(groups) > _MOST_HEADINGS:
        titles = (cut(plain(group.title), _HEADING // 4) for group in digest.groups)
        return [], [[f"{title}: {line}" for line in lines] for title, lines in zip(titles, groups, strict=True)]
    headings = (cut(plain(group.heading), _HEADING) for group in digest.groups)
    return [_text(Run(heading, bold=True), spacing=_APART) for heading in headings], groups


def _message(
    title: str, body: Sequence[dict[str, Any]], small: Sequence[str], *, link: str, words: str
) -> dict[str, Any]:
    heading = {"type": "TextRun", "text": title, "weight": "Bolder", "size": "Medium"}
    card: dict[str, Any] = {
        "$schema": _SCHEMA,
        "type": "AdaptiveCard",
        "version": VERSION,
        "msteams": {"width": "Full"},
        "fallbackText": title,
        "body": [
            {"type": "RichTextBlock", "inlines": [heading]},
            *body,
            *(_text(Run(text), style=_SUBTLE, spacing=_APART) for text in small),
        ],
    }
    if link:
        card["actions"] = [{"type": "Action.OpenUrl", "title": words, "url": link}]
    attachment = {"contentType": "application/vnd.microsoft.card.adaptive", "contentUrl": None, "content": card}
    return {"type": "message", "summary": title, "attachments": [attachment]}


def _bullet(text: str) -> dict[str, Any]:
    return _text(Run(BULLET + text), spacing=_CLOSE)


def _text(*pieces: Run, style: Mapping[str, Any] = _USUAL, spacing: str) -> dict[str, Any]:
    """One line of rich text."""
    inlines = [
        {
            "type": "TextRun",
            "text": piece.text,
            **({"weight": "Bolder"} if piece.bold else {}),
            **({"italic": True} if piece.italic else {}),
            **style,
        }
        for piece in pieces
    ]
    return {"type": "RichTextBlock", "spacing": spacing, "inlines": inlines}


def _bytes(value: Any) -> int:
    return len(pydantic_core.to_json(value))
