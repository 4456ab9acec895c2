"""What `relay listen` shows on a terminal, and what its keys do there. Pure: rows and keys in, lines out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from relay.cli import out

MOST_ROWS = 500
_KEYS = "up/down move   o open   r forward again   q quit"
_KEYS_INSIDE = "up/down scroll   o close   r forward again   q quit"


@dataclass(slots=True, kw_only=True)
class Row:
    """One forwarded event: what the list says of it, and the lines of its details."""

    id: str
    head: str
    status: str = "..."
    good: bool | None = None
    details: Sequence[str] = field(default_factory=tuple)


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the screen and how it stands out."""

    text: str
    style: str = ""


@dataclass(slots=True)
class Board:
    """The list, newest last, with one row chosen; the newest, until somebody moves away from it."""

    title: str
    note: str = ""
    said: str = ""
    rows: list[Row] = field(default_factory=list)
    chosen: int = 0
    is_open: bool = False
    scroll: int = 0

    def add(self, row: Row) -> None:
        at_end = self.chosen >= len(self.rows) - 1 and not self.is_open
        self.rows.append(row)
        if (over := len(self.rows) - MOST_ROWS) > 0:
            del self.rows[:over]
            self.chosen = max(0, self.chosen - over)
        if at_end:
            self.chosen = len(self.rows) - 1

    def say(self, text: str) -> None:
        """A word beside the keys, in place of the one before."""
        self.said = text

    @property
    def row(self) -> Row | None:
        """The chosen one."""
        return self.rows[self.chosen] if self.rows else None

    def key(self, key: str) -> Literal["quit", "again"] | None:
        """What a key asks for beyond the screen itself."""
        match key:
            case "q":
                return "quit"
            case "r":
                return "again" if self.rows else None
            case "o" | "enter" if self.rows:
                self.is_open, self.scroll = not self.is_open, 0
            case "esc":
                self.is_open = False
            case "up" | "k":
                self._move(-1)
            case "down" | "j":
                self._move(1)
        return None

    def _move(self, step: int) -> None:
        if self.is_open:
            last = max(0, len(self.row.details) - 1) if self.row else 0
            self.scroll = min(max(0, self.scroll + step), last)
        elif self.rows:
            self.chosen = min(max(0, self.chosen + step), len(self.rows) - 1)

    def lines(self, *, width: int, height: int) -> list[Line]:
        """The whole screen: exactly `height` lines, none longer than `width`."""
        head = [Line(self.title, "bold"), *([Line(self.note)] if self.note else [])]
        room = max(1, height - len(head) - 1)
        body = self._details(room) if self.is_open and self.row else self._list(width, room)
        body += [Line("")] * (room - len(body))
        keys = _KEYS_INSIDE if self.is_open else _KEYS
        foot = Line(f"{self.said}   {keys}" if self.said else keys, "dim")
        shown = [*head, *body, foot][:height]
        return [Line(_cut(out.printable(one.text), width), one.style) for one in shown]

    def _list(self, width: int, room: int) -> list[Line]:
        if not self.rows:
            return [Line("waiting for the first event", "dim")]
        first = min(max(0, self.chosen - room // 2), max(0, len(self.rows) - room))
        found = []
        for place, row in enumerate(self.rows[first : first + room], first):
            mark = ">" if place == self.chosen else " "
            left = max(0, width - len(row.status) - 4)
            style = "" if row.good is None else "green" if row.good else "red"
            text = f"{mark} {_cut(out.printable(row.head), left):<{left}}  {out.printable(row.status)}"
            found.append(Line(text, f"{style} reverse".strip() if place == self.chosen else style))
        return found

    def _details(self, room: int) -> list[Line]:
        assert self.row is not None
        return [Line(text) for text in self.row.details[self.scroll : self.scroll + room]]


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else text[: max(0, width - 1)] + "\u2026"
