"""`relay stats`: the totals, and what waits where."""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from relay.cli import exits, opened, out, watching
from relay.cli.board import Line
from relay.errors import StoreUnavailable

if TYPE_CHECKING:
    from relay.services import Services


def stats(
    fail_on_dead: Annotated[
        bool, typer.Option("--fail-on-dead", help="Exit code 3 when anything is dead or parked.")
    ] = False,
    watch: Annotated[bool, typer.Option("--watch", help="Show it again and again; q or Ctrl-C ends it.")] = False,
    every: Annotated[float, typer.Option(metavar="SECONDS", min=0.2, max=3600, help="How often, with --watch.")] = 2.0,
    as_json: out.AsJson = False,
) -> None:
    """Totals since the beginning, what waits now, and how each target fares.

    \b
    Examples:
      relay stats
      relay stats --watch
      relay stats --watch --every 60 --json >> stats.jsonl
      relay stats --json --fail-on-dead
    """
    if watch:
        if fail_on_dead:
            raise typer.BadParameter(
                "--watch has no end to fail at; take one of the two out", param_hint="--fail-on-dead"
            )
        opened.ask(lambda services: _watch(services, every=every, as_json=as_json))
        return
    found = opened.ask(find)
    if as_json:
        out.json_out(found)
    else:
        print_stats(found)
    bad = found["events_dead"] + sum(one["dead"] + one["parked"] for one in found["targets"].values())
    if fail_on_dead and bad:
        raise typer.Exit(exits.UNHEALTHY)


async def find(services: Services) -> dict[str, Any]:
    """How everything stands now, as the API shows it. Raises StoreError."""
    from relay.web import shapes

    # Targets that left the configuration still have deliveries to count.
    names = dict.fromkeys([*services.settings.targets, *await services.reading.known_targets()])
    found = await services.reading.stats(tuple(names), now=services.clock())
    return shapes.stats(found, portals=await services.portal_states(), incidents=await services.incidents())


async def _watch(services: Services, *, every: float, as_json: bool) -> None:
    """On a terminal the whole screen, elsewhere one after the other."""
    if not as_json and watching.is_terminal():
        await _on_screen(services, every)
        return
    while True:
        found = await watching.patiently(lambda: find(services))
        if as_json:
            out.json_out(found, indent=False)
        else:
            sys.stdout.write(f"{out.instant(services.clock())}\n")
            print_stats(found)
            sys.stdout.write("\n")
        sys.stdout.flush()
        await asyncio.sleep(every)


async def _on_screen(services: Services, every: float) -> None:
    shown: list[str] = ["looking"]

    async def refresh() -> None:
        while True:
            head = f"{out.instant(services.clock())}, every {every:g} s   q quit"
            try:
                found = await find(services)
            except StoreUnavailable as error:
                shown[:1] = [f"{head}   {error}: what stands below is older"]
            else:
                with out.kept() as printed:
                    print_stats(found)
                shown[:] = [head, "", *printed.getvalue().splitlines()]
            screen.draw()
            await asyncio.sleep(every)

    async def until_quit() -> None:
        while await pressed.get() != "q":
            pass

    def lines(*, width: int, height: int) -> list[Line]:
        return [Line(text) for text in shown[:height]]

    with watching.keyboard() as pressed, watching.Screen(lines) as screen:
        await watching.first_of([asyncio.create_task(refresh()), asyncio.create_task(until_quit())])


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
