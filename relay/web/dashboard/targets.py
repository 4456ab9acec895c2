"""The targets: how each stands, its settings that matter, and what a person can do to it."""

from __future__ import annotations

import asyncio

from starlette.requests import Request
from starlette.responses import Response

from relay import catalog
from relay.errors import NotFoundError, RefusedError
from relay.settings import shown
from relay.web.access import by, who
from relay.web.asking import services_of
from relay.web.dashboard import rendering
from relay.web.dashboard.door import Form, done
from relay.web.dashboard.errand import ask
from relay.web.dashboard.events import preview
from relay.web.dashboard.overview import all_targets


async def list_targets(request: Request) -> Response:
    """All targets, those that left the settings too."""
    services = services_of(request)
    names = await all_targets(services)
    stats = await services.reading.stats(names, now=services.clock())
    return rendering.page(request, "targets.html", rows=stats["targets"], settings=services.settings.targets)


async def show_target(request: Request) -> Response:
    """One target."""
    services, name, now = services_of(request), request.path_params["target"], services_of(request).clock()
    if name not in await all_targets(services):
        raise NotFoundError(f"there is no target {name}; there are {', '.join(services.settings.targets) or 'none'}")
    stats, day, week = await asyncio.gather(
        services.reading.stats((name,), now=now),
        services.series.buckets((name,), now=now, step=1800.0, count=48, events=False),
        services.series.buckets((name,), now=now, step=10_800.0, count=56, events=False),
    )
    settings = shown(services.settings)["targets"].get(name)
    return rendering.page(
        request,
        "target.html",
        name=name,
        row=stats["targets"][name],
        settings=settings if who(request).sees_personal_data else None,
        configured=settings is not None,
        events=settings["events"] if settings is not None else [],
        day=day,
        week=week,
        types=list(catalog.TYPES),
        is_signed=settings is not None and settings["type"] == "webhook",
        rotation=(await services.rotations()).get(name),
    )


async def pause(request: Request, form: Form) -> Response:
    """Send nothing more to it."""
    name, reason = request.path_params["target"], form.text("reason")
    if not reason:
        raise RefusedError("say why it is paused: whoever finds it so will ask. Nothing was changed")
    await services_of(request).desk.pause(name, by=by(request), reason=reason)
    return await done(request, f"{name} is paused: what comes for it waits.", to=f"/targets/{name}")


async def resume(request: Request, form: Form) -> Response:
    """Send to it again."""
    name = request.path_params["target"]
    was = await services_of(request).desk.resume(name, by=by(request), reason=form.text("reason"))
    text = f"{name} is sent to again; what waited goes out now." if was else f"{name} was not paused."
    return await done(request, text, to=f"/targets/{name}")


async def test(request: Request, _form: Form) -> Response:
    """Have a worker send a test event to it, past all queues."""
    name = request.path_params["target"]
    if name not in services_of(request).settings.targets:
        raise NotFoundError(f"there is no target {name}")
    answer = await ask(request, "target", name)
    return rendering.page(request, "test.html", name=name, answer=answer)


async def rotate(request: Request, form: Form) -> Response:
    """Begin, finish or abort the rotation of its signing secret; the new one is on this page alone."""
    name, action = request.path_params["target"], form.text("action")
    if action not in ("begin", "finish", "abort"):
        raise RefusedError("a rotation is begun, finished or aborted. Nothing was changed")
    if name not in services_of(request).settings.targets:
        raise NotFoundError(f"there is no target {name}")
    answer = await ask(request, "rotate", f"{name} {action}")
    if not answer["ok"]:
        raise RefusedError(str(answer["error"]))
    if action != "begin":
        return await done(request, f"The rotation is {answer['state']}.", to=f"/targets/{name}")
    return rendering.page(request, "rotation.html", name=name, secret=answer["secret"])


async def show_preview(request: Request, form: Form) -> Response:
    """What it would get of a sample of a type."""
    name = request.path_params["target"]
    return await preview(request, name, f"sample:{form.text('type')}", back=f"/targets/{name}")
