"""`relay replay`: fix a selection, look at it, run exactly that, once."""

from __future__ import annotations

import sys
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from relay.cli import opened, out
from relay.cli.events import Since, Until
from relay.cli.group import Commands

if TYPE_CHECKING:
    from relay.services import Services

app = typer.Typer(cls=Commands, help="Send again what failed: plan, look, run.", no_args_is_help=True)


class Replayable(StrEnum):
    """What a plan can take; `unrouted` are events that no target wanted, to be routed by the rules of now."""

    DEAD = "dead"
    CANCELLED = "cancelled"
    SUPERSEDED = "superseded"
    DELIVERED = "delivered"
    UNROUTED = "unrouted"


_NEWEST = 20
PlanId = Annotated[str, typer.Argument(metavar="PLAN", help="The plan's id (plan_...).")]


@app.command()
def plan(
    *,
    target: Annotated[str | None, typer.Option(help="Only deliveries to this target.")] = None,
    type_: Annotated[str | None, typer.Option("--type", help='Type or pattern, such as "planday.shift.*".')] = None,
    portal: Annotated[int | None, typer.Option(help="Only those of this portal (its id).")] = None,
    since: Since = None,
    until: Until = None,
    state: Annotated[list[Replayable] | None, typer.Option(help="Which to take; again for more.  [dead]")] = None,
    force: Annotated[bool, typer.Option("--force", help="Also send what is older than what the target has.")] = False,
    reason: Annotated[str, typer.Option(help="Why; kept with the plan, needed for --force.")] = "",
    as_json: out.AsJson = False,
) -> None:
    """Fix what would be sent again, and show it. Nothing is sent.

    \b
    Examples:
      relay replay plan --target hours
      relay replay plan --state dead --state cancelled --since 7d --reason 'payroll was down'
    """
    from relay.services import PlanRequest
    from relay.web import shapes

    wanted = PlanRequest(
        target=target,
        type=type_,
        portal=portal,
        since=opened.moment(since),
        until=opened.moment(until),
        states=tuple(one.value for one in state or (Replayable.DEAD,)),
        by=opened.operator(),
        reason=reason,
        force=force,
    )

    async def make(services: Services) -> dict[str, Any]:
        await opened.known_target(services, target)
        return await services.replays.plan(wanted)

    facts = opened.ask(make)
    if as_json:
        out.json_out(shapes.plan(facts))
        return
    print_plan(facts)
    if facts["total"]:
        out.say(f"nothing was sent yet; to send exactly these: relay replay run {facts['id']}")


def print_plan(facts: dict[str, Any]) -> None:
    out.facts(
        {
            "plan": facts["id"],
            "deliveries": str(facts["total"]),
            "oldest": out.instant(facts["first_at"]),
            "newest": out.instant(facts["last_at"]),
            "forced": facts["force"] or None,
            "reason": facts["reason"],
        }
    )
    if facts["counts"]:
        sys.stdout.write("\n")
        rows = ((one["target"] or "(to be routed)", one["state"], one["count"]) for one in facts["counts"])
        out.table(("target", "state", "count"), rows)


@app.command()
def run(plan: PlanId, as_json: out.AsJson = False) -> None:
    """Run a plan, once; a worker does it. What was delivered or opened since it was made is left alone.

    \b
    Example:
      relay replay run plan_0123456789ab
    """

    from relay.web import shapes

    async def start(services: Services) -> dict[str, Any]:
        await services.start_replay(plan)
        return await services.replays.status(plan)

    facts = opened.ask(start)
    if as_json:
        out.json_out(shapes.plan(facts))
        return
    print_status(facts)
    out.say(f"follow it: relay replay status {plan}")


@app.command()
def status(
    plan: Annotated[
        str | None, typer.Argument(metavar="[PLAN]", help="The plan's id (plan_...).  [the newest]")
    ] = None,
    as_json: out.AsJson = False,
) -> None:
    """How far a plan has come, and where its deliveries stand now. Without PLAN: the newest plans.

    \b
    Examples:
      relay replay status
      relay replay status plan_0123456789ab
    """
    from relay.web import shapes

    if plan is None:
        plans = opened.ask(newest)
        if as_json:
            out.json_out({"plans": [shapes.plan(one) for one in plans]})
        else:
            print_plans(plans)
        return
    facts = opened.ask(lambda services: services.replays.status(plan))
    if as_json:
        out.json_out(shapes.plan(facts))
        return
    print_status(facts)


async def newest(services: Services) -> list[dict[str, Any]]:
    return [await services.shelf.plan(plan) for plan in await services.shelf.plans(limit=_NEWEST)]


def print_plans(plans: list[dict[str, Any]]) -> None:
    out.table(
        ("made (UTC)", "plan", "state", "done", "deliveries", "by", "reason"),
        (
            (out.utc(one["made_at"]), one["id"], _state(one), one["done"], one["total"], one["by"], one["reason"])
            for one in plans
        ),
        empty="no plan was made yet: relay replay plan",
    )


def _state(facts: dict[str, Any]) -> str:
    return "ended" if facts.get("ended_at") else "running" if facts.get("started_at") else "planned"


def print_status(facts: dict[str, Any]) -> None:
    results = {name.removeprefix("done_"): count for name, count in facts.items() if name.startswith("done_")}
    out.facts(
        {
            "plan": facts["id"],
            "state": facts["state"],
            "progress": f"{facts['done']} of {facts['total']}",
            "results": ", ".join(f"{count} {name}" for name, count in results.items()),
            "now": ", ".join(f"{count} {state}" for state, count in facts["now"].items()),
            "made": out.instant(facts["made_at"]),
            "started": out.instant(facts.get("started_at")),
            "ended": out.instant(facts.get("ended_at")),
            "reason": facts["reason"],
        }
    )
