"""What commands print: data on stdout as a table or as JSON, talk on stderr."""

from __future__ import annotations

import contextlib
import io
import os
import shutil
import sys
import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import IO, TYPE_CHECKING, Annotated, Any

import pydantic_core
import typer

if TYPE_CHECKING:
    from rich.console import Console

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]

# Nothing is cut or folded: a long line can be read and copied in any terminal, half an id cannot.
_NO_WIDTH = 100_000


def say(text: str) -> None:
    """Talk: to stderr."""
    sys.stderr.write(printable(text, keep="\n") + "\n")


def json_out(value: Any, *, indent: bool = True) -> None:
    """One JSON value on stdout, readable where a person looks at it; without `indent` always on one line."""
    spaces = 2 if indent and sys.stdout.isatty() else None
    sys.stdout.write(pydantic_core.to_json(value, indent=spaces).decode() + "\n")


def table(columns: Sequence[str], rows: Iterable[Sequence[Any]], *, empty: str = "nothing found") -> None:
    """Rows under a heading; what is None stays empty. Cells are text, never markup."""
    from rich.table import Table
    from rich.text import Text

    shown = Table(box=None, pad_edge=False, header_style="bold", show_edge=False)
    for column in columns:
        shown.add_column(column, overflow="fold")
    count = 0
    for row in rows:
        count += 1
        shown.add_row(*(Text(cell(value), style=_STATES.get(str(value), "")) for value in row))
    if not count:
        say(empty)
        return
    screen = console()
    with screen.capture() as captured:
        screen.print(shown)
    # The last column is padded like the others; nobody wants to copy that.
    sys.stdout.write("\n".join(line.rstrip() for line in captured.get().splitlines()) + "\n")


def line(*cells: Any) -> None:
    """One line of a list that grows: its cells with two blanks between, at once; a state has its colour."""
    from rich.text import Text

    shown = [
        Text(cell(value), style=_STATES.get(str(value).removeprefix("\u2514 "), ""))
        for value in cells
        if value not in (None, "")
    ]
    screen = console()
    with screen.capture() as captured:
        screen.print(Text("  ").join(shown))
    sys.stdout.write(captured.get())
    sys.stdout.flush()


def sentence(text: str) -> None:
    """One sentence on stdout: on a terminal folded between words, elsewhere as one line."""
    told = printable(text)
    if sys.stdout.isatty():
        width = max(40, shutil.get_terminal_size().columns)
        told = textwrap.fill(told, width, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False)
    sys.stdout.write(told + "\n")


def facts(pairs: Mapping[str, Any]) -> None:
    """Names and values, one a line; what is None or empty is left out."""
    shown = {name: cell(value) for name, value in pairs.items() if value not in (None, "", (), [], {})}
    width = max(map(len, shown), default=0)
    for name, value in shown.items():
        sys.stdout.write(f"{name:<{width}}  {value}\n")


@contextlib.contextmanager
def kept() -> Iterator[io.StringIO]:
    """Within, what is printed is kept, as stdout would show it: with colours where that is a terminal."""

    class Kept(io.StringIO):
        def isatty(self) -> bool:
            return looked_at

    looked_at = sys.stdout.isatty()
    with contextlib.redirect_stdout(Kept()) as printed:
        yield printed


def console(stream: IO[str] | None = None) -> Console:
    """Rich on stdout: no colour when that is no terminal or NO_COLOR is set."""
    from rich.console import Console

    stream = stream or sys.stdout
    plain = not stream.isatty()
    return Console(
        file=stream,
        highlight=False,
        markup=False,
        emoji=False,
        # Whatever FORCE_COLOR says: who reads a pipe gets text.
        force_terminal=False if plain else None,
        no_color=plain or bool(os.environ.get("NO_COLOR")),
        width=_NO_WIDTH,
    )


def cell(value: Any) -> str:
    """One value as a person reads it, on one line and without anything that steers a terminal."""
    match value:
        case None:
            return ""
        case bool():
            return "yes" if value else "no"
        case float():
            return f"{value:g}"
        case list() | tuple():
            return ", ".join(map(cell, value))
        case dict():
            return printable(pydantic_core.to_json(value).decode())
    return printable(str(value))


def utc(at: float | str | None) -> str | None:
    """An instant, in seconds or as the API writes it; its zone is always UTC, and the heading says so."""
    if at is None:
        return None
    moment = datetime.fromisoformat(at) if isinstance(at, str) else datetime.fromtimestamp(at, UTC)
    return moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S")


def instant(at: float | str | None) -> str | None:
    """The same where no heading names the zone."""
    return None if at is None else f"{utc(at)} UTC"


def clock(at: float | None) -> str:
    """The time of day (UTC), for lines that come as things happen."""
    return "" if at is None else datetime.fromtimestamp(at, UTC).strftime("%H:%M:%S")


def with_instants(found: Mapping[str, Any], *names: str) -> dict[str, Any]:
    """A record as the API shows it, with these of its fields as a person reads them."""
    return {name: instant(value) if name in names else value for name, value in found.items()}


def printable(text: str, *, keep: str = "") -> str:
    """Senders' words reach the terminal too: no escape sequence and no control character of theirs does."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() or char in keep else ascii(char)[1:-1] for char in text)


_STATES = {
    "delivered": "green",
    "routed": "green",
    "dead": "red",
    "failed": "red",
    "parked": "yellow",
    "waiting": "cyan",
    "sending": "cyan",
    "yes": "green",
    "ok": "green",
    "error": "red",
    "warning": "yellow",
    "lost": "red",
}
