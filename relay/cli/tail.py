"""`relay events tail`: what comes in, and what becomes of it, as it happens."""

from __future__ import annotations

import sys
from collections.abc import Callable
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from relay.cli import completing, opened, out, watching

if TYPE_CHECKING:
    from relay.services import Services


_UNDER = "\u2514"
_NO_TIME = " " * len("00:00:00")


class Output(StrEnum):
    """How much is printed."""

    COMPACT = "compact"
    QUIET = "quiet"
    JSON = "json"


def tail(
    *,
    type_: Annotated[
        str | None,
        typer.Option("--type", autocompletion=completing.types, help='Type or pattern, such as "planday.shift.*".'),
    ] = None,
    portal: Annotated[int | None, typer.Option(help="Only those of this portal (its id).")] = None,
    target: Annotated[
        str | None,
        typer.Option(
            autocompletion=completing.targets, help="Only what is routed to this target, and its deliveries there."
        ),
    ] = None,
    since: Annotated[
        str | None, typer.Option(help='Begin with what came since: a time, or an age such as "2h".')
    ] = None,
    output: Annotated[
        Output, typer.Option(help="compact: a line per event and per end of a delivery; quiet: ids of events; json.")
    ] = Output.COMPACT,
    as_json: Annotated[bool, typer.Option("--json", help="The same as --output json: one object a line.")] = False,
) -> None:
    """Follow new events, and what becomes of each, until Ctrl-C.

    A line when an event comes in, a line for every delivery of it that ends or fails and is tried again. The store is
    looked at twice a second; nothing is missed or told twice, also while the store is away for a moment.

    \b
    Examples:
      relay events tail
      relay events tail --type 'planday.shift.*' --since 10m
      relay events tail --target hours --json | jq .delivery.state
      relay events tail --output quiet | xargs -n 1 relay events explain
    """
    printer = _PRINTERS[Output.JSON if as_json else output]
    begin = opened.moment(since)

    async def watch(services: Services) -> None:
        from relay.services import Following

        await opened.known_target(services, target)
        following = Following(services.reading, services.keys, type=type_, portal=portal, target=target)
        await following.begin(services.clock(), since=begin)
        if printer is _compact:
            out.say("following (times in UTC); Ctrl-C ends it")
        async for happening in watching.follow(following):
            printer(happening)
            sys.stdout.flush()

    opened.ask(watch)


def _compact(happening: Any) -> None:
    from relay.store.following import Came, Handled, LetGo, Moved

    match happening:
        case Came(record):
            event = record.event
            where = f"portal {event.portal}" if event.portal else "the relay"
            out.line(out.clock(event.received_at), event.type, event.subject, where, event.id)
        case Handled(record):
            if record.state.value != "routed":
                why = record.reason or ("no target takes it" if record.state.value == "unrouted" else "")
                out.line(_NO_TIME, f"{_UNDER} {record.state.value}", why, record.event.id)
        case Moved(record, delivery, attempt):
            tried = "" if attempt is None else f"{(attempt.ended_at - attempt.started_at) * 1000:.0f} ms"
            again = f"again at {out.clock(delivery.due_at)}" if delivery.due_at is not None else ""
            failed = attempt.reason if attempt is not None and delivery.state.value == "waiting" else delivery.reason
            why = "" if delivery.state.value == "delivered" else failed
            state = "failed" if delivery.state.value == "waiting" else delivery.state.value
            out.line(
                out.clock(delivery.updated_at), f"{_UNDER} {delivery.target}", state, tried, why, again, record.event.id
            )
        case LetGo(count):
            _let_go(count)


def _quiet(happening: Any) -> None:
    from relay.store.following import Came, LetGo

    match happening:
        case Came(record):
            sys.stdout.write(f"{record.event.id}\n")
        case LetGo(count):
            _let_go(count)


def _json(happening: Any) -> None:
    """One object a line; `what` says which of the three it is, the rest is as the API shows it."""
    import pydantic_core

    from relay.store.following import Came, Handled, LetGo, Moved
    from relay.web import shapes

    told: dict[str, Any]
    match happening:
        case Came(record):
            told = {"what": "event", "event": shapes.event_row(record)}
        case Handled(record):
            told = {"what": "handled", "event": shapes.event_row(record)}
        case Moved(record, delivery, attempt):
            told = {
                "what": "delivery",
                "event": shapes.event_row(record),
                "delivery": shapes.delivery(delivery),
                "attempt": None if attempt is None else shapes.attempt(attempt),
            }
        case LetGo(count):
            _let_go(count)
            return
    sys.stdout.write(pydantic_core.to_json(told).decode() + "\n")


def _let_go(count: int) -> None:
    out.say(f"{count} of the oldest open events are followed no more: relay deliveries list --state waiting")


_PRINTERS: dict[Output, Callable[[Any], None]] = {
    Output.COMPACT: _compact,
    Output.QUIET: _quiet,
    Output.JSON: _json,
}
