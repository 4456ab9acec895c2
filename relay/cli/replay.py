"""`relay replay`: fix a selection, look at it, run exactly that, once."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable
from dataclasses import replace
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from relay.cli import completing, opened, out, plans
from relay.cli.events import Since, Until
from relay.cli.group import Commands
from relay.errors import NotFoundError

if TYPE_CHECKING:
    from relay.services import Services

app = typer.Typer(cls=Commands, help="Send again what failed: plan, look, run.", no_args_is_help=True)


class Replayable(StrEnum):
    """What a plan can take; the last two are events that a target has no delivery of."""

    DEAD = "dead"
    CANCELLED = "cancelled"
    SUPERSEDED = "superseded"
    DELIVERED = "delivered"
    UNROUTED = "unrouted"
    MISSING = "missing"


_NEWEST = 20
_LOOK_EVERY = 0.5
PlanId = Annotated[
    str, typer.Argument(metavar="PLAN", autocompletion=completing.plans, help="The plan's id (plan_...).")
]
Reason = Annotated[str, typer.Option(help="Why; kept with the plan and in the audit.")]


@app.command()
def plan(
    *,
    target: Annotated[
        str | None, typer.Option(autocompletion=completing.targets, help="Only deliveries to this target.")
    ] = None,
    type_: Annotated[
        str | None,
        typer.Option("--type", autocompletion=completing.types, help='Type or pattern, such as "planday.shift.*".'),
    ] = None,
    portal: Annotated[
        str | None, typer.Option(autocompletion=completing.portals, help="Only those of this portal (its name or id).")
    ] = None,
    entity: Annotated[str | None, typer.Option(help="Only those about this record, such as shift/70010045.")] = None,
    employee: Annotated[str | None, typer.Option(help="Only those with this employee (Planday's id).")] = None,
    department: Annotated[str | None, typer.Option(help="Only those of this department (Planday's id).")] = None,
    since: Since = None,
    until: Until = None,
    failed: Annotated[bool, typer.Option("--failed", help="Take what is dead. So it is when nothing is said.")] = False,
    missing: Annotated[
        bool, typer.Option("--missing", help="Take what a target takes today but never got: unrouted, or before it.")
    ] = False,
    all_: Annotated[bool, typer.Option("--all", help="Take all that did not arrive.")] = False,
    state: Annotated[list[Replayable] | None, typer.Option(help="Take what is in this state; again for more.")] = None,
    reread: Annotated[
        bool, typer.Option("--reread", help="Read each record anew from Planday; may follow newer states.")
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Also send what is older than what the target has.")] = False,
    force_new_key: Annotated[
        bool, typer.Option("--force-new-key", help="Under new idempotency keys: a target takes each as new.")
    ] = False,
    reason: Annotated[str, typer.Option(help="Why; needed for both --force... and for what was delivered.")] = "",
    as_json: out.AsJson = False,
) -> None:
    """Fix what would be sent again, and show it. Nothing is sent.

    \b
    Examples:
      relay replay plan --target hours
      relay replay plan --all --since 7d --until 1d --reason 'payroll was down'
      relay replay plan --missing --target new-slack --type 'planday.shift.*'
      relay replay plan --entity shift/70010045 --portal bistro --reread
    """
    from relay.services import PlanRequest
    from relay.web import shapes

    wanted = PlanRequest(
        target=target,
        type=type_,
        entity=entity,
        employee=employee,
        department=department,
        since=opened.moment(since),
        until=opened.moment(until),
        states=_states(failed, missing, all_, state or ()),
        by=opened.operator(),
        reason=reason,
        force=force,
        reread=reread,
        new_key=force_new_key,
    )

    async def make(services: Services) -> dict[str, Any]:
        await opened.known_target(services, target)
        with _Counting("looking") as told:
            return await services.replays.plan(replace(wanted, portal=_portal(services, portal)), told=told)

    facts = opened.ask(make)
    if as_json:
        out.json_out(shapes.plan(facts))
        return
    plans.print_plan(facts)
    if facts["total"]:
        out.say(f"nothing was sent yet; to send exactly these: relay replay run {facts['id']}")
    else:
        out.say("nothing of that kind is there: nothing to run")


def _states(failed: bool, missing: bool, all_: bool, named: list[Replayable] | tuple[()]) -> tuple[str, ...]:
    """What the flags and the states together ask for; what failed when nothing is said."""
    from relay.replay.request import ALL, FAILED

    asked = [
        *(FAILED if failed else ()),
        *(("missing",) if missing else ()),
        *(ALL if all_ else ()),
        *(one.value for one in named),
    ]
    return tuple(dict.fromkeys(asked or FAILED))


def _portal(services: Services, text: str | None) -> int | None:
    """A portal's id, by name or as it is."""
    if text is None or text.isdigit():
        return None if text is None else int(text)
    portals = services.settings.portals
    if text not in portals:
        raise NotFoundError(f"there is no portal {text}; there are {', '.join(portals) or 'none'}")
    return portals[text].id


@app.command()
def run(
    plan: Annotated[
        str | None, typer.Argument(metavar="PLAN", autocompletion=completing.plans, help="The plan's id (plan_...).")
    ] = None,
    rate: Annotated[float | None, typer.Option(help="Open at most so many a second.")] = None,
    no_wait: Annotated[bool, typer.Option("--no-wait", help="Start it, and do not stay to see it end.")] = False,
    as_json: out.AsJson = False,
) -> None:
    """Run a plan, once; a worker does it. What was delivered or opened since it was made is left alone.

    In a terminal it stays until the plan has ended; Ctrl-C leaves the plan running.

    \b
    Examples:
      relay replay run plan_0123456789ab
      relay replay run plan_0123456789ab --rate 20 --no-wait
    """
    if plan is None:
        raise typer.BadParameter(
            "which plan? `relay replay plan` makes one and shows what it would send; `relay replay list` shows those "
            "that were made. Nothing is sent without one"
        )
    _turn(lambda services: services.start_replay(plan, by=opened.operator(), rate=rate), plan, no_wait, as_json)


@app.command()
def resume(
    plan: PlanId,
    reason: Reason = "",
    no_wait: Annotated[bool, typer.Option("--no-wait", help="Do not stay to see it end.")] = False,
    as_json: out.AsJson = False,
) -> None:
    """Let a paused plan go on where it stood.

    \b
    Example:
      relay replay resume plan_0123456789ab
    """
    _turn(lambda services: services.resume_replay(plan, by=opened.operator(), reason=reason), plan, no_wait, as_json)


@app.command()
def pause(plan: PlanId, reason: Reason = "", as_json: out.AsJson = False) -> None:
    """Open nothing more until the plan is resumed. What it has opened goes on.

    \b
    Example:
      relay replay pause plan_0123456789ab --reason 'month end'
    """
    _show(lambda services: services.replays.pause(plan, by=opened.operator(), reason=reason), as_json)


@app.command()
def cancel(plan: PlanId, reason: Reason = "", as_json: out.AsJson = False) -> None:
    """End a plan. What was not sent yet goes back to what it was; what is on the wire comes to its own end.

    \b
    Example:
      relay replay cancel plan_0123456789ab --reason 'wrong month'
    """
    _show(lambda services: services.cancel_replay(plan, by=opened.operator(), reason=reason), as_json)


@app.command("list")
def list_(as_json: out.AsJson = False) -> None:
    """The newest plans.

    \b
    Example:
      relay replay list --json
    """
    from relay.web import shapes

    found = opened.ask(newest)
    if as_json:
        out.json_out({"plans": [shapes.plan(one) for one in found]})
    else:
        plans.print_plans(found)


@app.command()
def status(
    plan: Annotated[
        str | None,
        typer.Argument(
            metavar="[PLAN]", autocompletion=completing.plans, help="The plan's id (plan_...).  [the newest]"
        ),
    ] = None,
    as_json: out.AsJson = False,
) -> None:
    """How far a plan has come, and how what it opened came out. Without PLAN: the newest plans.

    \b
    Examples:
      relay replay status
      relay replay status plan_0123456789ab
    """
    if plan is None:
        list_(as_json)
    else:
        _show(lambda services: services.replays.status(plan), as_json)


async def newest(services: Services) -> list[dict[str, Any]]:
    return await services.replays.newest(limit=_NEWEST)


def _show(call: Callable[[Services], Awaitable[dict[str, Any]]], as_json: bool) -> None:
    from relay.web import shapes

    facts = opened.ask(call)
    if as_json:
        out.json_out(shapes.plan(facts))
    else:
        plans.print_status(facts)


def _turn(call: Callable[[Services], Awaitable[dict[str, Any]]], plan: str, no_wait: bool, as_json: bool) -> None:
    """Set a plan going, and stay with it where a person watches."""
    from relay.web import shapes

    stays = sys.stderr.isatty() and not no_wait and not as_json

    async def go(services: Services) -> tuple[dict[str, Any], int]:
        facts = await call(services)
        workers, _ = await services.store.live(now=services.clock())
        return (await _follow(services, plan) if stays and workers else facts), workers

    facts, workers = opened.ask(go)
    if as_json:
        out.json_out(shapes.plan(facts))
        return
    plans.print_status(facts)
    if not workers:
        out.say("no worker is running: it begins when one does (`relay worker`)")
    if facts["state"] not in ("ended", "cancelled"):
        out.say(f"follow it: relay replay status {plan}")


async def _follow(services: Services, plan: str) -> dict[str, Any]:
    """A bar on stderr until the plan has ended, is paused, or the person goes."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    facts = await services.replays.status(plan)
    with Progress(*columns, console=out.console(sys.stderr), transient=True) as progress:
        task = progress.add_task(plan, total=facts["total"])
        try:
            while facts["state"] in ("running", "cancelling"):
                said = facts.get("waits_for") or f"{facts['open']} on their way"
                progress.update(task, completed=facts["done"] - facts["open"], description=out.printable(said))
                await asyncio.sleep(_LOOK_EVERY)
                facts = await services.replays.status(plan)
        except asyncio.CancelledError:
            out.say(f"{plan} goes on without you; to stop it: relay replay pause {plan}, or cancel")
            raise
    return facts


class _Counting:
    """A spinner on stderr with a count, where a person watches."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._status: Any = None

    def __enter__(self) -> Callable[[int], None]:
        if sys.stderr.isatty():
            self._status = out.console(sys.stderr).status(self._what)
            self._status.start()
        return self._told

    def _told(self, count: int) -> None:
        if self._status is not None:
            self._status.update(f"{self._what}: {count} records")

    def __exit__(self, *_: object) -> None:
        if self._status is not None:
            self._status.stop()
