"""The API on everything around events: targets, portals, totals, settings."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request
from starlette.responses import Response

from relay import __version__
from relay.errors import NotFoundError, RefusedError
from relay.settings import shown
from relay.web import shapes
from relay.web.access import by
from relay.web.asking import body_of, body_problem, json_answer, services_of


class Why(BaseModel):
    """Body of a pause or a resumption."""

    model_config = ConfigDict(extra="forbid", strict=True)

    reason: str = Field(default="", max_length=500)


class Shown(BaseModel):
    """Body of a preview: an event's id, or a type of which one is made up."""

    model_config = ConfigDict(extra="forbid", strict=True)

    event: str | None = Field(default=None, min_length=1, max_length=64, pattern=r"^\S+$")
    sample: str | None = Field(default=None, min_length=1, max_length=200, pattern=r"^\S+$")


class Rotate(BaseModel):
    """Body of a rotation: what to do with it."""

    model_config = ConfigDict(extra="forbid", strict=True)

    action: Literal["begin", "finish", "abort"]


# Targets and portals -----------------------------------------------------------------------------


async def list_targets(request: Request) -> Response:
    """The configured targets and where each stands."""
    services = services_of(request)
    targets = services.settings.targets
    stats = await services.reading.stats(tuple(targets), now=services.clock())
    rotations = await services.rotations()
    rows = [shapes.target(name, one, stats["targets"][name], rotations.get(name)) for name, one in targets.items()]
    return json_answer({"targets": rows})


async def test_target(request: Request) -> Response:
    """Have a worker send a test event to one target, past all queues."""
    return await _errand(request, "target", request.path_params["target"])


async def preview_target(request: Request) -> Response:
    """Have a worker show what would be sent to one target, and what it is to it; nothing is sent."""
    body = await body_of(request, Shown)
    if (body.event is None) == (body.sample is None):
        raise body_problem([("/event", "give this or /sample, and not both")])
    what = body.event or f"sample:{body.sample}"
    return await _errand(request, "preview", request.path_params["target"], what)


async def rotate_secret(request: Request) -> Response:
    """Have a worker begin, finish or abort the rotation of a signing secret; the new one is in this answer alone."""
    body = await body_of(request, Rotate)
    return await _errand(request, "rotate", request.path_params["target"], body.action)


async def pause_target(request: Request) -> Response:
    """Send nothing more to one target."""
    services, name = services_of(request), request.path_params["target"]
    reason = (await body_of(request, Why)).reason or "paused by an operator"
    await services.desk.pause(name, by=by(request), reason=reason)
    return json_answer({"target": name, "state": "paused", "changed": True})


async def resume_target(request: Request) -> Response:
    """Send to one target again."""
    services, name = services_of(request), request.path_params["target"]
    reason = (await body_of(request, Why)).reason
    changed = await services.desk.resume(name, by=by(request), reason=reason)
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
    return await _errand(request, "portal", request.path_params["portal"])


async def _errand(request: Request, kind: str, name: str, what: str = "") -> Response:
    services = services_of(request)
    thing = "portal" if kind == "portal" else "target"
    configured = services.settings.portals if kind == "portal" else services.settings.targets
    if name not in configured:
        raise NotFoundError(f"there is no {thing} {name}; there are {', '.join(configured) or 'none'}")
    workers, _ = await services.store.live(now=services.clock())
    if not workers:
        raise RefusedError("no worker is running, and only a worker holds what this needs: start `relay worker`")
    answer = await services.errands.ask(kind, f"{name} {what}".rstrip(), by=by(request))
    if answer.get("missing") is True:
        raise NotFoundError(str(answer["error"]))
    if kind in ("preview", "rotate") and "error" in answer:
        raise RefusedError(str(answer["error"]))
    return json_answer(answer)


# The rest ----------------------------------------------------------------------------------------


async def stats(request: Request) -> Response:
    """Totals, and what waits, failed and was delivered per target; targets that left the configuration too."""
    services = services_of(request)
    names = tuple(dict.fromkeys([*services.settings.targets, *await services.reading.known_targets()]))
    found = await services.reading.stats(names, now=services.clock())
    told = shapes.stats(found, portals=await services.portal_states(), incidents=await services.incidents())
    return json_answer(told)


async def list_incidents(request: Request) -> Response:
    """What the relay has told of itself and is not over, and whether anybody watches."""
    services = services_of(request)
    workers, _ = await services.store.live(now=services.clock())
    rows = [shapes.incident(one) for one in await services.incidents()]
    return json_answer({"incidents": rows, "workers": workers})


async def config(request: Request) -> Response:
    """The settings in force; a secret shows where it comes from, never what it is."""
    return json_answer({"config": shown(services_of(request).settings)})


async def version(request: Request) -> Response:
    """What runs."""
    facts: dict[str, Any] = {"version": __version__, "api": "v1"}
    facts["data_format"] = await services_of(request).shelf.data_format()
    return json_answer(facts)
