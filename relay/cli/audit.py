"""`relay audit`: who did what, when and why."""

from __future__ import annotations

from typing import Annotated

import typer

from relay.cli import opened, out
from relay.cli.events import Limit, Since, Until, more
from relay.cli.group import Commands

app = typer.Typer(cls=Commands, help="Who did what, when and why.", no_args_is_help=True)


@app.command("list")
def list_(
    *,
    by: Annotated[str | None, typer.Option(help="Only of this person or token (part of the name).")] = None,
    act: Annotated[str | None, typer.Option(help='Only acts that begin so, such as "replay".')] = None,
    on: Annotated[str | None, typer.Option(help="Only on this event, target or plan (part of it).")] = None,
    since: Since = None,
    until: Until = None,
    limit: Limit = 50,
    cursor: Annotated[int | None, typer.Option(min=1, help="Where the page before this one ended.")] = None,
    as_json: out.AsJson = False,
) -> None:
    """Acts of people and tokens, newest first. Nothing takes an entry away but retention.audit.

    \b
    Examples:
      relay audit list --since 7d
      relay audit list --act replay --by anna --json
    """
    from relay.web import shapes

    page = opened.ask(
        lambda services: services.keeping.audit.list(
            limit=limit,
            cursor=None if cursor is None else str(cursor),
            since=opened.moment(since),
            until=opened.moment(until),
            by=by,
            act=act,
            on=on,
        )
    )
    if as_json:
        out.json_out(shapes.page([shapes.act(one) for one in page.rows], page, "acts"))
        return
    out.table(
        ("at (UTC)", "by", "act", "on", "result", "reason"),
        ((out.utc(one.at), one.by, one.act, one.on, one.result, one.reason) for one in page.rows),
        empty="no acts",
    )
    more(page.cursor)
