"""`relay stats`: the totals, and what waits where."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from relay.cli import exits, opened, out

if TYPE_CHECKING:
    from relay.services import Services


def stats(
    fail_on_dead: Annotated[
        bool, typer.Option("--fail-on-dead", help="Exit code 3 when anything is dead or parked.")
    ] = False,
    as_json: out.AsJson = False,
) -> None:
    """Totals since the beginning, what waits now, and how each target fares.

    \b
    Examples:
      relay stats
      relay stats --json --fail-on-dead
    """

    from relay.web import shapes

    async def find(services: Services) -> dict[str, Any]:
        # Targets that left the configuration still have deliveries to count.
        names = dict.fromkeys([*services.settings.targets, *await services.reading.known_targets()])
        found = await services.reading.stats(tuple(names), now=services.clock())
        return shapes.stats(found, portals=await services.portal_states(), incidents=await services.incidents())

    found = opened.ask(find)
    if as_json:
        out.json_out(found)
    else:
        print_stats(found)
    bad = found["events_dead"] + sum(one["dead"] + one["parked"] for one in found["targets"].values())
    if fail_on_dead and bad:
        raise typer.Exit(exits.UNHEALTHY)


def print_stats(found: dict[str, Any]) -> None:
    if found["totals"]:
        sys.stdout.write("since the beginning\n")
        out.facts({name.replace("_", " "): str(count) for name, count in sorted(found["totals"].items())})
        sys.stdout.write("\n")
    sys.stdout.write("now\n")
    out.facts(
        {
            "open": str(found["open"]),
            "oldest open": _seconds(found["oldest_open_seconds"]),
            "workers": str(found["workers"] or "none: events wait and nothing is delivered; start `relay worker`"),
            "quarantine": str(found["quarantine"]),
        }
    )
    if found["incidents"]:
        sys.stdout.write("\nwhat is wrong\n")
        for one in found["incidents"]:
            sys.stdout.write(f"{out.instant(one['since'])}  {out.printable(one['summary'])}\n")
    if found["portals"]:
        sys.stdout.write("\n")
        out.table(("portal", "authorisation"), found["portals"].items())
    if found["targets"]:
        sys.stdout.write("\n")
        columns = ("waiting", "sending", "delivered", "dead", "parked", "cancelled", "superseded")
        out.table(
            ("target", *columns, "oldest", "state"),
            (
                (name, *(one[column] for column in columns), _seconds(one["oldest_waiting_seconds"]), one["state"])
                for name, one in found["targets"].items()
            ),
        )


def _seconds(value: float | None) -> str | None:
    return None if value is None else f"{value:.0f} s"
