"""`relay alerts`: what is wrong now, whether or not anybody could be told."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import typer

from relay.cli import exits, opened, out

if TYPE_CHECKING:
    from relay.services import Services


def alerts(as_json: out.AsJson = False) -> None:
    """Every incident that is not over: since when, what it means, what to do, and whether a target was told.

    Exit code 3 when there is any, or when no worker runs: then nobody watches.

    \b
    Examples:
      relay alerts
      relay alerts --json
    """

    from relay.web import shapes

    async def find(services: Services) -> dict[str, Any]:
        workers, _ = await services.store.live(now=services.clock())
        return {"incidents": [shapes.incident(one) for one in await services.incidents()], "workers": workers}

    found = opened.ask(find)
    if as_json:
        out.json_out(found)
    else:
        _print(found["incidents"])
    if not found["workers"]:
        out.say("no worker runs: events wait, none is lost, but nothing is delivered and nobody watches; start one")
    if found["incidents"] or not found["workers"]:
        raise typer.Exit(exits.UNHEALTHY)


def _print(incidents: list[dict[str, Any]]) -> None:
    if not incidents:
        out.say("no incident is open")
    for number, one in enumerate(incidents):
        sys.stdout.write("\n" * (number > 0))
        out.facts(
            {
                "incident": one["incident"],
                "since": out.instant(one["since"]),
                "quiet since": out.instant(one["quiet_since"]),
                "told": "a target took the alert" if one["told"] else "no target took the alert",
                "event": one["event"],
                "what": one["summary"],
            }
        )
