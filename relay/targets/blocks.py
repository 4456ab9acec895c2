"""Slack's Block Kit from the words of a message, within all of Slack's limits: what is too long is cut, never refused.

Limits: https://docs.slack.dev/reference/block-kit/blocks; the sum over all blocks is undocumented and was seen live
(https://github.com/slackapi/bolt-js/issues/2509). Lengths are counted in UTF-16 units, the stricter way.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

from relay.messages import Digest, Message, fair_limit

HEADER, SECTION, CONTEXT, FALLBACK = 150, 3000, 2000, 3000
WHOLE = 12_000
# The header, the context and the line about what was left out belong to the 50 blocks that a message may have.
MOST_SECTIONS = 47
CUT = "…"
# What the line about left-out blocks takes of the whole.
_NOTE = 100
BULLET = "• "
_HEADING, _HEADING_OF_MANY, _MANY = 80, 30, 12

_UNFINISHED = re.compile(r"(?:&[a-z]{0,3}|<[^>]*)\Z")


def escape(text: str) -> str:
    """Slack's whole rule: these three and nothing else (https://docs.slack.dev/messaging/formatting-message-text)."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def size(text: str) -> int:
    return len(text.encode("utf-16-le", "surrogatepass")) // 2


def cut(text: str, limit: int) -> str:
    """At most `limit` long, with a mark where something is missing; never in the middle of an entity or a link."""
    if size(text) <= limit:
        return text
    kept = text.encode("utf-16-le", "surrogatepass")[: 2 * (limit - len(CUT))].decode("utf-16-le", "ignore")
    return _UNFINISHED.sub("", kept).rstrip() + CUT


def linked(address: str, words: str) -> list[str]:
    """A link in Slack's form, or nothing where there is no address."""
    return [f"<{escape(address)}|{words}>"] if address else []


def payload(message: Message, *, context: Sequence[str] = ()) -> dict[str, Any]:
    """The whole JSON of one message; `context` is small print of ours, each part an element of its own."""
    title = cut(message.title, HEADER)
    small = [cut(text, CONTEXT) for text in (" · ".join(message.context), *context) if text]
    sections, left_out = _sections(message.body, WHOLE - size(title) - sum(map(size, small)) - _NOTE)
    note = [f"{left_out} more, not shown: the message is too long for Slack"] if left_out else []
    return _whole(title, sections, note, small, text="\n".join((title, *message.body)))


def digest_payload(digest: Digest, *, context: Sequence[str] = ()) -> dict[str, Any]:
    """The whole JSON of a message about several events: no line is left out, long ones are cut so that all fit."""
    title = cut(digest.title, HEADER)
    small = [cut(text, CONTEXT) for text in context if text]
    counts = [cut(text, SECTION // 10) for text in digest.counts]
    most = _HEADING if len(digest.groups) <= _MANY else _HEADING_OF_MANY
    headings = [f"*{cut(group.heading, most)}*" for group in digest.groups] if len(digest.groups) > 1 else []
    taken = [*counts, *headings, *(BULLET + "\n" for _ in digest.lines)]
    room = WHOLE - size(title) - sum(size(text) + 1 for text in (*small, *taken)) - _NOTE
    limit = fair_limit(map(size, digest.lines), room)
    lines = [list(map(_of(limit), group.lines)) for group in digest.groups]
    told = ["\n".join(counts)] if counts else []
    for number, some in enumerate(lines):
        told.append("\n".join((*headings[number : number + 1], *(BULLET + line for line in some))))
    cut_short = sum(size(line) > limit for line in digest.lines) if limit is not None else 0
    note = [f"{cut_short} lines are cut short: the message is too long for Slack"] if cut_short else []
    sections = _merged([piece for block in told for piece in _pieces(block)])
    return _whole(title, sections, note, small, text="\n".join((title, *told)))


def _of(limit: int | None) -> Callable[[str], str]:
    return (lambda line: line) if limit is None else (lambda line: cut(line, limit))


def _merged(pieces: Sequence[str]) -> list[str]:
    """The same text in at most MOST_SECTIONS sections; there is room, as all of it is shorter than those."""
    if len(pieces) <= MOST_SECTIONS:
        return list(pieces)
    merged: list[str] = []
    for piece in pieces:
        if merged and size(merged[-1]) + 1 + size(piece) <= SECTION:
            merged[-1] += f"\n{piece}"
        else:
            merged.append(piece)
    return merged


def _whole(
    title: str, sections: Sequence[str], note: Sequence[str], small: Sequence[str], *, text: str
) -> dict[str, Any]:
    blocks: list[dict[str, Any]] = [{"type": "header", "text": {"type": "plain_text", "text": title, "emoji": False}}]
    blocks += [{"type": "section", "text": _markup(text)} for text in sections]
    blocks += [_context(some) for some in (note, small) if some]
    return {
        "text": cut(text, FALLBACK),
        "blocks": blocks,
        "unfurl_links": False,
        "unfurl_media": False,
    }


def _sections(body: Sequence[str], room: int) -> tuple[list[str], int]:
    """As many texts as there is room for, none above its limit, and how many had to be left out."""
    pieces = [piece for block in body for piece in _pieces(block)]
    kept: list[str] = []
    for number, piece in enumerate(pieces):
        if number == MOST_SECTIONS or room <= len(CUT):
            return kept, len(pieces) - number
        kept.append(cut(piece, room))
        room -= size(kept[-1])
    return kept, 0


def _pieces(block: str) -> list[str]:
    """A block in sections of at most 3000, parted between lines where that is possible."""
    pieces: list[str] = []
    for line in (cut(line, SECTION) for line in block.splitlines()):
        if pieces and size(pieces[-1]) + 1 + size(line) <= SECTION:
            pieces[-1] += f"\n{line}"
        else:
            pieces.append(line)
    return pieces


def _context(texts: Sequence[str]) -> dict[str, Any]:
    return {"type": "context", "elements": [_markup(text) for text in texts]}


def _markup(text: str) -> dict[str, Any]:
    # verbatim: an address or a name in a value must not turn into a link or a mention.
    return {"type": "mrkdwn", "text": text, "verbatim": True}
