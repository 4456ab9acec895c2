"""The API on everything around events: replay, targets, portals, quarantine, totals, settings."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request
from starlette.responses import Response

from relay import __version__
from relay.errors import NotFoundError, RefusedError
from relay.services import PlanRequest, Services
from relay.settings import shown
from relay.web import shapes
from relay.web.api_events import BY, LARGEST_PORTAL
from relay.web.asking import Query, body_of, body_problem, json_answer, moment, services_of

_PLANS_LISTED = 50
_MOST_OFFSET = 100_000


class Plan(BaseModel):
    """Body of a replay plan; times as in a query."""

    model_config = ConfigDict(extra="forbid")

    target: str | None = Field(default=None, max_length=64)
    type: str | None = Field(default=None, max_length=200)
    portal: int | None = Field(default=None, ge=1, le=LARGEST_PORTAL, strict=True)
    since: str | None = Field(default=None, max_length=64)
    until: str | None = Field(default=None, max_length=64)
    states: tuple[Literal["dead", "cancelled", "superseded", "delivered", "unrouted"], ...] = Field(
        default=("dead",), min_length=1
    )
    reason: str = Field(default="", max_length=500)
    force: bool = Field(default=False, strict=True)


class Why(BaseModel):
    """Body of a pause or a resumption."""

    model_config = ConfigDict(extra="forbid", strict=True)

    reason: str = Field(default="", max_length=500)


# Replay ------------------------------------------------------------------------------------------


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
        since=times["since"],
        until=times["until"],
        states=tuple(dict.fromkeys(body.states)),
        by=BY,
        reason=body.reason,
        force=body.force,
    )
    facts = await services.replays.plan(wanted)
    return json_answer(shapes.plan(facts), status=201, headers={"location": f"/api/v1/replay/plans/{facts['id']}"})


async def list_plans(request: Request) -> Response:
    """The newest plans."""
    shelf = services_of(request).shelf
    plans = [shapes.plan(await shelf.plan(plan)) for plan in await shelf.plans(limit=_PLANS_LISTED)]
    return json_answer({"plans": plans})


async def show_plan(request: Request) -> Response:
    """A plan, how far it has come, and where its deliveries stand."""
    return json_answer(shapes.plan(await services_of(request).replays.status(request.path_params["plan"])))


async def run_plan(request: Request) -> Response:
    """Let a plan run, once."""
    services, plan = services_of(request), request.path_params["plan"]
    await services.start_replay(plan)
    return json_answer(shapes.plan(await services.replays.status(plan)), status=202)


# Targets and portals -----------------------------------------------------------------------------


async def list_targets(request: Request) -> Response:
    """The configured targets and where each stands."""
    services = services_of(request)
    targets = services.settings.targets
    stats = await services.reading.stats(tuple(targets), now=services.clock())
    rows = [shapes.target(name, one, stats["targets"][name]) for name, one in targets.items()]
    return json_answer({"targets": rows})


async def test_target(request: Request) -> Response:
    """Have a worker send a test event to one target, past all queues."""
    return await _errand(services_of(request), "target", request.path_params["target"])


async def pause_target(request: Request) -> Response:
    """Send nothing more to one target."""
    services, name = services_of(request), request.path_params["target"]
    reason = (await body_of(request, Why)).reason or "paused by an operator"
    await services.desk.pause(name, by=BY, reason=reason)
    return json_answer({"target": name, "state": "paused", "changed": True})


async def resume_target(request: Request) -> Response:
    """Send to one target again."""
    services, name = services_of(request), request.path_params["target"]
    reason = (await body_of(request, Why)).reason
    changed = await services.desk.resume(name, by=BY, reason=reason)
    return json_answer({"target": name, "state": "open", "changed": changed})


async def list_portals(request: Request) -> Response:
    """The configured portals, and whether each one's authorisation worked when it was last used."""
    services = services_of(request)
    states = await services.portal_states()
    rows = [
        {
            "name": name,
            "id": one.id,
            "api_url": one.api_url,
            "feeds": list(one.feeds),
            "authorisation": states[name],
        }
        for name, one in services.settings.portals.items()
    ]
    return json_answer({"portals": rows})


async def check_portal(request: Request) -> Response:
    """Have a worker ask Planday whether one portal's authorisation works."""
    return await _errand(services_of(request), "portal", request.path_params["portal"])


async def _errand(services: Services, kind: str, name: str) -> Response:
    configured = services.settings.targets if kind == "target" else services.settings.portals
    if name not in configured:
        raise NotFoundError(f"there is no {kind} {name}; there are {', '.join(configured) or 'none'}")
    workers, _ = await services.store.live(now=services.clock())
    if not workers:
        raise RefusedError("no worker is running, and only a worker holds what this needs: start `relay worker`")
    answer = await services.errands.ask(kind, name)
    if answer.get("missing") is True:
        raise NotFoundError(str(answer["error"]))
    return json_answer(answer)


# The rest ----------------------------------------------------------------------------------------


async def list_quarantine(request: Request) -> Response:
    """What was signed but could not be read, newest first."""
    query = Query(request)
    limit, offset = query.limit(), query.number("offset", least=0, most=_MOST_OFFSET) or 0
    query.done()
    found = await services_of(request).shelf.quarantined(limit=limit, offset=offset)
    return json_answer({"quarantine": [shapes.quarantined(one, whole=False) for one in found]})


async def show_quarantined(request: Request) -> Response:
    """One body that could not be read."""
    found = await services_of(request).shelf.quarantined_one(request.path_params["id"])
    return json_answer(shapes.quarantined(found, whole=True))


async def stats(request: Request) -> Response:
    """Totals, and what waits, failed and was delivered per target; targets that left the configuration too."""
    services = services_of(request)
    names = tuple(dict.fromkeys([*services.settings.targets, *await services.reading.known_targets()]))
    found = await services.reading.stats(names, now=services.clock())
    return json_answer(shapes.stats(found, portals=await services.portal_states()))


async def config(request: Request) -> Response:
    """The settings in force; a secret shows where it comes from, never what it is."""
    return json_answer({"config": shown(services_of(request).settings)})


async def version(request: Request) -> Response:
    """What runs."""
    facts: dict[str, Any] = {"version": __version__, "api": "v1"}
    facts["data_format"] = await services_of(request).shelf.data_format()
    return json_answer(facts)
