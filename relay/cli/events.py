"""`relay events`: what came in, where it stands, and why."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from relay.cli import completing, opened, out, tail
from relay.cli.group import Commands
from relay.events import EventState

if TYPE_CHECKING:
    from relay.events import EventRecord
    from relay.services import Page, Services

app = typer.Typer(cls=Commands, help="What came in, where it stands, and why.", no_args_is_help=True)
app.command()(tail.tail)

EventId = Annotated[str, typer.Argument(metavar="EVENT", help="Our id of the event (evt_...).")]
Since = Annotated[str | None, typer.Option(help='Not before this: a time, or an age such as "2h".')]
Until = Annotated[str | None, typer.Option(help="Not after this: a time or an age.")]
Limit = Annotated[int, typer.Option(min=1, max=1000, help="Rows of one page.")]


def _cursor(value: str | None) -> str | None:
    if value is not None:
        from relay.web.asking import CURSOR

        if not CURSOR.fullmatch(value):
            raise typer.BadParameter(f"{value!r} is no cursor that a page before this one gave")
    return value


Cursor = Annotated[
    str | None, typer.Option(callback=_cursor, help="Where the page before this one ended (its `cursor`).")
]


@app.command("list")
def list_(
    *,
    type_: Annotated[
        str | None,
        typer.Option("--type", autocompletion=completing.types, help='Type or pattern, such as "planday.shift.*".'),
    ] = None,
    state: Annotated[EventState | None, typer.Option(help="Only those in this state.")] = None,
    target: Annotated[
        str | None, typer.Option(autocompletion=completing.targets, help="Only those routed to this target.")
    ] = None,
    portal: Annotated[int | None, typer.Option(help="Only those of this portal (its id).")] = None,
    subject: Annotated[str | None, typer.Option(help="Only those about this, such as shift/70010045.")] = None,
    since: Since = None,
    until: Until = None,
    limit: Limit = 50,
    cursor: Cursor = None,
    as_json: out.AsJson = False,
) -> None:
    """Events, newest first.

    \b
    Examples:
      relay events list --type 'planday.shift.*' --since 2h
      relay events list --state unrouted --json
    """
    from relay.services import EventFilter
    from relay.web import shapes

    wanted = EventFilter(
        type=type_,
        portal=portal,
        subject=subject,
        state=state,
        target=target,
        since=opened.moment(since),
        until=opened.moment(until),
    )

    async def find(services: Services) -> Page[EventRecord]:
        await opened.known_target(services, target)
        return await services.reading.list_events(wanted, limit=limit, cursor=cursor)

    page = opened.ask(find)
    if as_json:
        out.json_out(shapes.page([shapes.event_row(record) for record in page.rows], page, "events"))
        return
    out.table(
        ("accepted (UTC)", "event", "type", "subject", "portal", "state", "targets"),
        (
            (
                out.utc(record.event.received_at),
                record.event.id,
                record.event.type,
                record.event.subject,
                record.event.portal,
                record.state.value,
                record.targets,
            )
            for record in page.rows
        ),
        empty="no events" if page.cursor is None else "no events on this page",
    )
    more(page.cursor)


def more(cursor: str | None) -> None:
    if cursor is not None:
        out.say(f"more: add --cursor {cursor}")


@app.command()
def show(event: EventId, as_json: out.AsJson = False) -> None:
    """One event: where it came from, what enrichment made of it, and each of its deliveries.

    \b
    Example:
      relay events show evt_5a3c0f5f1b1e4d0c8a7b6c5d4e3f2a1b
    """

    from relay.web import shapes

    async def find(services: Services) -> dict[str, Any]:
        record = await services.reading.event(event)
        deliveries = await services.reading.deliveries_of(record)
        return shapes.event_detail(record, deliveries)

    found = opened.ask(find)
    if as_json:
        out.json_out(found)
        return
    deliveries, refused, envelope = found.pop("deliveries"), found.pop("refused_by"), found.pop("envelope")
    del found["raw"]
    out.facts(out.with_instants(found, "received_at", "time", "due_at"))
    if deliveries:
        sys.stdout.write("\n")
        out.table(
            ("target", "state", "attempts", "next try (UTC)", "reason"),
            (
                (one["target"], one["state"], one["attempts"], out.utc(one["due_at"]), one["reason"])
                for one in deliveries
            ),
        )
    if refused:
        sys.stdout.write("\n")
        out.table(("not sent to", "because"), refused.items())
    if envelope is not None:
        pretty = json.dumps(envelope, indent=2, ensure_ascii=False)
        sys.stdout.write("\n" + out.printable(pretty, keep="\n") + "\n")


@app.command()
def explain(event: EventId, as_json: out.AsJson = False) -> None:
    """Where an event is and why, in sentences.

    \b
    Example:
      relay events explain evt_5a3c0f5f1b1e4d0c8a7b6c5d4e3f2a1b
    """
    lines = opened.ask(lambda services: services.desk.explain(event))
    if as_json:
        out.json_out({"event": event, "sentences": lines})
        return
    for line in lines:
        out.sentence(line)
