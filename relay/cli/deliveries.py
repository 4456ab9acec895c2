"""`relay deliveries`: what went to which target, each attempt, and once more."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from relay.cli import completing, opened, out
from relay.cli.events import Cursor, EventId, Limit, Since, Until, more
from relay.cli.group import Commands
from relay.errors import NotFoundError
from relay.events import DeliveryState

if TYPE_CHECKING:
    from relay.services import DeliveryFilter, DeliveryRow, Page, Services

app = typer.Typer(cls=Commands, help="What went to which target, and each attempt.", no_args_is_help=True)

TargetName = Annotated[
    str | None, typer.Argument(metavar="[TARGET]", autocompletion=completing.targets, help="The target's name.")
]


@app.command("list")
def list_(
    *,
    state: Annotated[DeliveryState | None, typer.Option(help="Only those in this state.")] = None,
    target: Annotated[
        str | None, typer.Option(autocompletion=completing.targets, help="Only those to this target.")
    ] = None,
    type_: Annotated[
        str | None,
        typer.Option("--type", autocompletion=completing.types, help='Type or pattern, such as "planday.shift.*".'),
    ] = None,
    portal: Annotated[int | None, typer.Option(help="Only those of this portal (its id).")] = None,
    since: Since = None,
    until: Until = None,
    limit: Limit = 50,
    cursor: Cursor = None,
    as_json: out.AsJson = False,
) -> None:
    """Deliveries, newest event first.

    \b
    Examples:
      relay deliveries list --state dead
      relay deliveries list --target hours --since 1d --json
    """
    from relay.services import DeliveryFilter
    from relay.web import shapes

    wanted = DeliveryFilter(
        target=target,
        state=state,
        type=type_,
        portal=portal,
        since=opened.moment(since),
        until=opened.moment(until),
    )
    page = opened.ask(lambda services: page_of(services, wanted, limit=limit, cursor=cursor))
    if as_json:
        out.json_out(shapes.page([shapes.delivery_row(row) for row in page.rows], page, "deliveries"))
        return
    if state is DeliveryState.PARKED:
        print_parked(page)
    else:
        print_page(page)


async def page_of(
    services: Services, wanted: DeliveryFilter, *, limit: int, cursor: str | None = None
) -> Page[DeliveryRow]:
    await opened.known_target(services, wanted.target)
    return await services.reading.list_deliveries(wanted, limit=limit, cursor=cursor)


def print_page(page: Page[DeliveryRow]) -> None:
    out.table(
        ("accepted (UTC)", "event", "type", "target", "state", "attempts", "next try (UTC)", "reason"),
        (
            (
                out.utc(row.accepted_at),
                row.delivery.event,
                row.type,
                row.delivery.target,
                row.delivery.state.value,
                row.delivery.attempts,
                out.utc(row.delivery.due_at),
                row.delivery.reason,
            )
            for row in page.rows
        ),
        empty="no deliveries" if page.cursor is None else "no deliveries on this page",
    )
    more(page.cursor)


def print_parked(page: Page[DeliveryRow]) -> None:
    """What a person needs to decide: look for the key at the target, then release or cancel."""
    from relay.web import shapes

    out.table(
        ("event", "target", "subject", "sent (UTC)", "ended (UTC)", "outcome", "status", "answer", "key", "why parked"),
        (
            (
                row.delivery.event,
                row.delivery.target,
                row.subject,
                out.utc(row.evidence.started_at) if row.evidence else None,
                out.utc(row.evidence.ended_at if row.evidence else row.delivery.updated_at),
                row.evidence.outcome.value if row.evidence else "not known",
                row.evidence.status if row.evidence else None,
                row.evidence.excerpt if row.evidence else None,
                shapes.delivery(row.delivery)["idempotency_key"],
                row.delivery.reason,
            )
            for row in page.rows
        ),
        empty="no deliveries are parked" if page.cursor is None else "no parked deliveries on this page",
    )
    if page.rows:
        out.say(
            "the target may have these. Look there for the key: relay deliveries cancel EVENT TARGET --reason ... if "
            "it is there, relay deliveries release EVENT TARGET --reason ... if it is not"
        )
    more(page.cursor)


@app.command()
def show(event: EventId, target: TargetName = None, as_json: out.AsJson = False) -> None:
    """The deliveries of one event with their attempts: status, answer, and when the next one is due.

    \b
    Examples:
      relay deliveries show evt_5a3c0f5f1b1e4d0c8a7b6c5d4e3f2a1b hours
      relay deliveries show evt_5a3c0f5f1b1e4d0c8a7b6c5d4e3f2a1b:hours --json
    """
    from relay.web import shapes

    id_, _, named = event.partition(":")
    wanted = target or named or None

    async def find(services: Services) -> list[dict[str, Any]]:
        if wanted is not None:
            found = [await services.reading.delivery(id_, wanted)]
        else:
            found = await services.reading.deliveries_of(await services.reading.event(id_))
        return [
            {
                **shapes.delivery(one),
                "tried": [shapes.attempt(attempt) for attempt in await services.reading.attempts(id_, one.target)],
            }
            for one in found
        ]

    deliveries = opened.ask(find)
    if as_json:
        out.json_out(deliveries[0] if wanted is not None else {"deliveries": deliveries})
        return
    if not deliveries:
        out.say("this event has no deliveries")
    for number, one in enumerate(deliveries):
        attempts = one.pop("tried")
        sys.stdout.write("\n" if number else "")
        out.facts(out.with_instants(one, "updated_at", "due_at"))
        if attempts:
            sys.stdout.write("\n")
            out.table(
                ("attempt", "at (UTC)", "seconds", "outcome", "status", "reason", "again at (UTC)", "answer"),
                (
                    (
                        tried["number"],
                        out.utc(tried["started_at"]),
                        tried["seconds"],
                        tried["outcome"],
                        tried["status"],
                        tried["reason"],
                        out.utc(tried["retry_at"]),
                        tried["excerpt"],
                    )
                    for tried in attempts
                ),
            )


@app.command()
def retry(
    event: EventId,
    target: TargetName = None,
    force: Annotated[bool, typer.Option("--force", help="Also what was delivered, or is older than that.")] = False,
    reason: Annotated[str, typer.Option(help="Why; needed for --force.")] = "",
    as_json: out.AsJson = False,
) -> None:
    """Send a delivery again, now, with the same idempotency key.

    Without TARGET: every dead delivery of the event. For more than one event, make a plan: `relay replay plan`.

    \b
    Examples:
      relay deliveries retry evt_5a3c0f5f1b1e4d0c8a7b6c5d4e3f2a1b hours
      relay deliveries retry evt_5a3c0f5f1b1e4d0c8a7b6c5d4e3f2a1b hours --force --reason 'they lost it'
    """
    id_, _, named = event.partition(":")
    wanted = target or named or None

    async def again(services: Services) -> list[dict[str, Any]]:
        if wanted is not None:
            names = [wanted]
        else:
            found = await services.reading.deliveries_of(await services.reading.event(id_))
            names = [one.target for one in found if one.state is DeliveryState.DEAD]
            if not names:
                raise NotFoundError(f"{id_} has no dead delivery; name a target to send another one again")
        sent = [
            {
                "event": id_,
                "target": name,
                "state": await services.desk.retry(id_, name, by=opened.operator(), reason=reason, force=force),
            }
            for name in names
        ]
        now = (await services.reading.stats(tuple(names), now=services.clock()))["targets"]
        return [{**one, "target_paused": now[one["target"]]["paused"]} for one in sent]

    sent = opened.ask(again)
    if as_json:
        out.json_out({"deliveries": sent})
        return
    out.table(("event", "target", "state"), ((one["event"], one["target"], one["state"].value) for one in sent))
    for one in sent:
        if one["target_paused"] is not None:
            name = one["target"]
            out.say(f"{name} is paused ({one['target_paused']}), so this waits until: relay targets resume {name}")
    out.say(f"what the target answers: relay deliveries show {id_}")


@app.command()
def release(
    event: EventId,
    target: Annotated[
        str | None, typer.Argument(metavar="TARGET", autocompletion=completing.targets, help="The target's name.")
    ] = None,
    *,
    reason: Annotated[str, typer.Option(help="How you know that the target does not have it; it is kept.")],
    as_json: out.AsJson = False,
) -> None:
    """Send a parked delivery again, with the same idempotency key: the target does not have it.

    Look at its evidence first: relay deliveries show EVENT TARGET. If the target has it: relay deliveries cancel.

    \b
    Examples:
      relay deliveries release evt_5a3c0f5f1b1e4d0c8a7b6c5d4e3f2a1b hours --reason 'payroll has no such line'
    """
    id_, wanted = _one(event, target, "release", reason)

    async def let_go(services: Services) -> dict[str, Any]:
        await services.desk.release(id_, wanted, by=opened.operator(), reason=reason)
        return {"event": id_, "target": wanted, "state": DeliveryState.WAITING}

    _print_ended(opened.ask(let_go), as_json=as_json)


@app.command()
def cancel(
    event: EventId,
    target: Annotated[
        str | None, typer.Argument(metavar="TARGET", autocompletion=completing.targets, help="The target's name.")
    ] = None,
    *,
    reason: Annotated[str, typer.Option(help="Why; it is kept with the delivery.")],
    as_json: out.AsJson = False,
) -> None:
    """Never send a waiting, parked or dead delivery, or not again; what waits behind it goes on.

    For a parked one that the target turned out to have. It can be opened again by `relay deliveries retry`.

    \b
    Examples:
      relay deliveries cancel evt_5a3c0f5f1b1e4d0c8a7b6c5d4e3f2a1b hours --reason 'payroll has it'
    """
    id_, wanted = _one(event, target, "cancel", reason)

    async def end(services: Services) -> dict[str, Any]:
        await services.desk.cancel(id_, wanted, by=opened.operator(), reason=reason)
        return {"event": id_, "target": wanted, "state": DeliveryState.CANCELLED}

    _print_ended(opened.ask(end), as_json=as_json)


def _one(event: str, target: str | None, verb: str, reason: str) -> tuple[str, str]:
    """Which delivery a person decides about, and that a reason was given."""
    id_, _, named = event.partition(":")
    wanted = target or named
    if not wanted:
        raise typer.BadParameter(
            f"name it too: relay deliveries {verb} EVENT TARGET --reason '...'", param_hint="TARGET"
        )
    if not reason.strip():
        raise typer.BadParameter("say why: it is kept with the delivery", param_hint="--reason")
    return id_, wanted


def _print_ended(ended: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        out.json_out(ended)
        return
    out.table(("event", "target", "state"), [(ended["event"], ended["target"], ended["state"].value)])
