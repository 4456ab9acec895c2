"""The API on replay plans: make one, look at it, let it run, pause, resume and cancel it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request
from starlette.responses import Response

from relay.services import PlanRequest
from relay.web import shapes
from relay.web.access import by, require_for_target
from relay.web.api_events import LARGEST_PORTAL
from relay.web.api_operations import Why
from relay.web.asking import body_of, body_problem, json_answer, moment, services_of

_PLANS_LISTED = 50


class Plan(BaseModel):
    """Body of a replay plan; times as in a query."""

    model_config = ConfigDict(extra="forbid")

    target: str | None = Field(default=None, max_length=64)
    type: str | None = Field(default=None, max_length=200)
    portal: int | None = Field(default=None, ge=1, le=LARGEST_PORTAL, strict=True)
    entity: str | None = Field(default=None, max_length=150)
    employee: str | None = Field(default=None, max_length=20)
    department: str | None = Field(default=None, max_length=20)
    since: str | None = Field(default=None, max_length=64)
    until: str | None = Field(default=None, max_length=64)
    states: tuple[Literal["dead", "cancelled", "superseded", "delivered", "unrouted", "missing"], ...] = Field(
        default=("dead",), min_length=1
    )
    reason: str = Field(default="", max_length=500)
    force: bool = Field(default=False, strict=True)
    reread: bool = Field(default=False, strict=True)
    new_key: bool = Field(default=False, strict=True)


class Run(BaseModel):
    """Body of a start: at most so many items a second."""

    model_config = ConfigDict(extra="forbid", strict=True)

    rate: float | None = Field(default=None, gt=0, le=100_000, allow_inf_nan=False)
    reason: str = Field(default="", max_length=500)


async def make_plan(request: Request) -> Response:
    """Fix what would be sent again, and count it. Nothing is sent."""
    services = services_of(request)
    body = await body_of(request, Plan)
    now = services.clock()
    times: dict[str, float | None] = {}
    faults = []
    for name, text in (("since", body.since), ("until", body.until)):
        try:
            times[name] = None if text is None else moment(text, now=now)
        except ValueError as error:
            faults.append((f"/{name}", f"is {error}"))
    if faults:
        raise body_problem(faults)
    wanted = PlanRequest(
        target=body.target,
        type=body.type,
        portal=body.portal,
        entity=body.entity,
        employee=body.employee,
        department=body.department,
        since=times["since"],
        until=times["until"],
        states=tuple(dict.fromkeys(body.states)),
        by=by(request),
        reason=body.reason,
        force=body.force,
        reread=body.reread,
        new_key=body.new_key,
    )
    facts = await services.replays.plan(wanted)
    return json_answer(shapes.plan(facts), status=201, headers={"location": f"/api/v1/replay/plans/{facts['id']}"})


async def list_plans(request: Request) -> Response:
    """The newest plans."""
    plans = await services_of(request).replays.newest(limit=_PLANS_LISTED)
    return json_answer({"plans": [shapes.plan(one) for one in plans]})


async def show_plan(request: Request) -> Response:
    """A plan, how far it has come, and how what it opened came out."""
    return json_answer(shapes.plan(await services_of(request).replays.status(_named(request))))


async def run_plan(request: Request) -> Response:
    """Let a plan run, once."""
    body = await body_of(request, Run)
    await _allowed(request)
    facts = await services_of(request).start_replay(_named(request), by=by(request), reason=body.reason, rate=body.rate)
    return json_answer(shapes.plan(facts), status=202)


async def pause_plan(request: Request) -> Response:
    """Open nothing more for a while."""
    return await _turn(request, services_of(request).replays.pause)


async def resume_plan(request: Request) -> Response:
    """Go on where it stood."""
    await _allowed(request)
    return await _turn(request, services_of(request).resume_replay)


async def cancel_plan(request: Request) -> Response:
    """Open nothing more, and take back what was not sent yet."""
    return await _turn(request, services_of(request).cancel_replay)


async def _allowed(request: Request) -> None:
    """Raise a 403 where the plan sends by force, or to payroll, and the role does not."""
    plan = await services_of(request).replays.status(_named(request))
    for part in plan["parts"]:
        require_for_target(request, part["target"], force=bool(plan["force"] or plan["new_key"]))


async def _turn(request: Request, call: Callable[..., Awaitable[dict[str, Any]]]) -> Response:
    body = await body_of(request, Why)
    return json_answer(shapes.plan(await call(_named(request), by=by(request), reason=body.reason)), status=202)


def _named(request: Request) -> str:
    name: str = request.path_params["plan"]
    return name
