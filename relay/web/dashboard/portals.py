"""The portals: authorisation, budget and feeds of each; a check, a look now, a new token, and connecting one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from relay.consent import PATH
from relay.errors import NotFoundError, RefusedError
from relay.web.access import by
from relay.web.asking import services_of
from relay.web.dashboard import rendering
from relay.web.dashboard.door import Form, done
from relay.web.dashboard.errand import ask


async def list_portals(request: Request) -> Response:
    """All portals."""
    services = services_of(request)
    return rendering.page(
        request,
        "portals.html",
        portals=services.settings.portals,
        states=await services.portal_states(),
        budgets=await services.portal_budgets(),
    )


async def show_portal(request: Request) -> Response:
    """One portal."""
    return await _shown(request)


async def check(request: Request, _form: Form) -> Response:
    """Have a worker ask Planday whether the authorisation works and what the app may read."""
    return await _shown(request, checked=await ask(request, "portal", _named(request)))


async def look(request: Request, _form: Form) -> Response:
    """Ask for a look of every feed."""
    name = _named(request)
    feeds = await services_of(request).look_now(name)
    if not feeds:
        raise RefusedError(f"{name} has no feeds in the settings: nothing is polled there")
    text = f"A worker looks at {', '.join(feeds)} within seconds."
    return await done(request, text, to=f"/portals/{name}")


async def set_token(request: Request, form: Form) -> Response:
    """Have a worker try a new token, and take it if it is this portal's."""
    name, token = _named(request), form.secret("token").strip()
    if not token or any(char.isspace() for char in token) or len(token) > 4096:
        raise RefusedError("that is no token: it is one word. What is stored was not changed")
    request.app.state.services.telemetry.hide(token)
    answer = await ask(request, "token", name, secret=token)
    if not answer["ok"]:
        text = f"Not taken: {answer['error']}. What was stored before is unchanged."
        return await done(request, text, to=f"/portals/{name}", kind="bad")
    text = f"{name} has a new token. Events that waited go on within a minute; what changed meanwhile is read again."
    return await done(request, text, to=f"/portals/{name}")


async def connect(request: Request, _form: Form) -> Response:
    """A link to Planday's consent screen, for the portal's administrator."""
    services, name = services_of(request), _named(request)
    public = services.settings.relay.public_url
    if public is None:
        raise RefusedError("set relay.public_url first: Planday sends the administrator back to it")
    redirect_uri = f"{public}{PATH}"
    state = await services.consents.begin(name, redirect_uri=redirect_uri)
    answer = await ask(request, "link", name, secret=f"{redirect_uri}\n{state}")
    if not answer["ok"]:
        raise RefusedError(str(answer["error"]))
    await services.keeping.audit.record(
        by=by(request), act="portals.connect", on=name, result="link made", now=services.clock()
    )
    return await _shown(request, link=str(answer["link"]))


async def _shown(request: Request, *, checked: Mapping[str, Any] | None = None, link: str = "") -> Response:
    services, name = services_of(request), _named(request)
    return rendering.page(
        request,
        "portal.html",
        name=name,
        portal=services.settings.portals[name],
        state=(await services.portal_states())[name],
        budget=(await services.portal_budgets())[name],
        marks=await services.feed_marks(name),
        checked=checked,
        link=link,
    )


def _named(request: Request) -> str:
    name: str = request.path_params["portal"]
    portals = services_of(request).settings.portals
    if name not in portals:
        raise NotFoundError(f"there is no portal {name}; there are {', '.join(portals) or 'none'}")
    return name
