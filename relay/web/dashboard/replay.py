"""Replay: plan what would be sent again, look at it, let it run, watch it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from relay.errors import RefusedError, RelayError
from relay.services import PlanRequest
from relay.settings import UserRole
from relay.web import problems
from relay.web.access import by, require_for_target, target_role, who
from relay.web.asking import moment, services_of
from relay.web.dashboard import rendering
from relay.web.dashboard.door import Form, done
from relay.web.dashboard.events import portal_names

_LISTED = 50
STATES: Mapping[str, str] = {
    "dead": "given up",
    "cancelled": "cancelled by a person",
    "superseded": "overtaken by a newer state",
    "unrouted": "no target took it",
    "missing": "a target takes it by today's rules and never got it",
    "delivered": "delivered already (needs a reason)",
}
_FIELDS = ("target", "type", "portal", "entity", "employee", "department", "since", "until", "reason")
_FLAGS = ("force", "reread", "new_key")


async def list_plans(request: Request) -> Response:
    """The newest plans, and the form for another; filters in the address fill it in."""
    filled = {name: request.query_params.get(name, "")[:500] for name in _FIELDS}
    return await _listed(request, filled, states=("dead",))


async def make_plan(request: Request, form: Form) -> Response:
    """Fix what would be sent again. Nothing is sent; what makes no sense is said beside the form."""
    services = services_of(request)
    filled = {name: form.text(name) for name in _FIELDS}
    flags = {name: form.flag(name) for name in _FLAGS}
    states = tuple(dict.fromkeys(form.all("state")))
    try:
        portal = services.settings.portals.get(filled["portal"])
        if filled["portal"] and portal is None:
            raise RefusedError("there is no portal of that name")
        wanted = PlanRequest(
            target=filled["target"] or None,
            type=filled["type"] or None,
            portal=None if portal is None else portal.id,
            entity=filled["entity"] or None,
            employee=filled["employee"] or None,
            department=filled["department"] or None,
            since=_moment(filled["since"], now=services.clock()),
            until=_moment(filled["until"], now=services.clock()),
            states=states,
            by=by(request),
            reason=filled["reason"],
            **flags,
        )
        facts = await services.replays.plan(wanted)
    except RelayError as error:
        kind = problems.kind_of(error)
        if kind.status not in (404, 409):
            raise
        return await _listed(request, filled, states=states, flags=flags, problem=str(error), status=kind.status)
    return RedirectResponse(f"/replay/{facts['id']}", status_code=303)


async def show_plan(request: Request) -> Response:
    """A plan, how far it has come, and how what it opened came out."""
    plan = await services_of(request).replays.status(request.path_params["plan"])
    needs = _needs(request, plan)
    return rendering.page(
        request,
        "plan.html",
        plan=plan,
        names=portal_names(services_of(request)),
        may=who(request).role.covers(needs),
        needs=needs.value,
        moving=plan["state"] in ("running", "cancelling") or bool(plan["open"]),
    )


async def run(request: Request, form: Form) -> Response:
    """Let it run, once."""
    services, plan = services_of(request), await _allowed(request)
    if form.text("total") != str(plan["total"]):
        raise RefusedError(f"to start it, type how many it will open: {plan['total']}. Nothing was started")
    rate = form.text("rate")
    try:
        pace = float(rate) if rate else None
    except ValueError:
        raise RefusedError("the rate is a number of items a second. Nothing was started") from None
    await services.start_replay(plan["id"], by=by(request), reason=form.text("reason"), rate=pace)
    return await done(request, "It runs: whichever worker is free opens it item by item.", to=_path(plan))


async def pause(request: Request, form: Form) -> Response:
    """Open nothing more for a while."""
    services, plan = services_of(request), await _allowed(request)
    await services.replays.pause(plan["id"], by=by(request), reason=form.text("reason"))
    return await done(request, "Paused: what is open already goes out; nothing more is opened.", to=_path(plan))


async def resume(request: Request, form: Form) -> Response:
    """Go on where it stood."""
    services, plan = services_of(request), await _allowed(request)
    await services.resume_replay(plan["id"], by=by(request), reason=form.text("reason"))
    return await done(request, "It goes on.", to=_path(plan))


async def cancel(request: Request, form: Form) -> Response:
    """Open nothing more, and take back what was not sent yet."""
    services, plan = services_of(request), await _allowed(request)
    await services.cancel_replay(plan["id"], by=by(request), reason=form.text("reason"))
    return await done(request, "Cancelled: what was not sent yet is taken back.", to=_path(plan))


async def _allowed(request: Request) -> dict[str, Any]:
    """The plan, for whoever may decide about it."""
    plan = await services_of(request).replays.status(request.path_params["plan"])
    for part in plan["parts"]:
        require_for_target(request, part["target"], force=bool(plan["force"] or plan["new_key"]))
    return plan


def _needs(request: Request, plan: Mapping[str, Any]) -> UserRole:
    roles = {target_role(request, part["target"]) for part in plan["parts"]}
    return UserRole.PAYROLL if plan["force"] or plan["new_key"] or UserRole.PAYROLL in roles else UserRole.OPERATOR


async def _listed(
    request: Request,
    filled: Mapping[str, str],
    *,
    states: tuple[str, ...],
    flags: Mapping[str, bool] | None = None,
    problem: str = "",
    status: int = 200,
) -> Response:
    services = services_of(request)
    return rendering.page(
        request,
        "replay.html",
        status=status,
        plans=await services.replays.newest(limit=_LISTED),
        filled=filled,
        chosen=states,
        flags=flags or dict.fromkeys(_FLAGS, False),
        problem=problem,
        states=STATES,
        targets=list(services.settings.targets),
        portals=list(services.settings.portals),
    )


def _moment(text: str, *, now: float) -> float | None:
    try:
        return moment(text, now=now) if text else None
    except ValueError as error:
        raise RefusedError(f"{text!r} is {error}") from None


def _path(plan: Mapping[str, Any]) -> str:
    return f"/replay/{plan['id']}"
