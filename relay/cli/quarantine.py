"""`relay quarantine`: bodies that a source signed but that could not be read."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from relay.cli import opened, out
from relay.cli.group import Commands

app = typer.Typer(cls=Commands, help="What was signed by a source but could not be read.", no_args_is_help=True)


@app.command("list")
def list_(
    limit: Annotated[int, typer.Option(min=1, max=1000, help="Rows at most.")] = 50, as_json: out.AsJson = False
) -> None:
    """Kept bodies, newest first; the oldest is dropped when there are too many.

    \b
    Example:
      relay quarantine list
    """
    from relay.web import shapes

    rows = opened.ask(lambda services: services.shelf.quarantined(limit=limit))
    if as_json:
        out.json_out({"quarantine": [shapes.quarantined(row, whole=False) for row in rows]})
        return
    out.table(
        ("at (UTC)", "id", "source", "bytes", "reason"),
        ((out.utc(row.at), row.id, row.source, len(row.body), row.reason) for row in rows),
        empty="the quarantine is empty",
    )


@app.command()
def show(
    id_: Annotated[str, typer.Argument(metavar="ID", help="The id that the list shows (qua_...).")],
    as_json: out.AsJson = False,
) -> None:
    """One kept body, whole. It may hold personal data.

    \b
    Example:
      relay quarantine show qua_0123456789abcdef
    """
    from relay.web import shapes

    one = opened.ask(lambda services: services.shelf.quarantined_one(id_))
    shown = shapes.quarantined(one, whole=True)
    if as_json:
        out.json_out(shown)
        return
    body = shown.pop("body")
    out.facts(out.with_instants(shown, "at"))
    sys.stdout.write("\n" + out.printable(body, keep="\n\t") + "\n")
