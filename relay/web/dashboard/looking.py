"""Pages that only show: quarantine, audit, the catalogue, and the settings with who is signed in."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from relay import catalog
from relay.errors import NotFoundError
from relay.settings import UserRole, shown
from relay.web.access import by, who
from relay.web.asking import services_of
from relay.web.dashboard import rendering
from relay.web.dashboard.door import Form, PageQuery, done, query_of

_ROWS = 50
_MOST_OFFSET = 100_000


async def list_quarantine(request: Request) -> Response:
    """What was signed but could not be read, newest first."""
    query = PageQuery(request)
    offset = query.number("offset", least=0, most=_MOST_OFFSET) or 0
    query.done()
    found = await services_of(request).shelf.quarantined(limit=_ROWS + 1, offset=offset)
    more = offset + _ROWS if len(found) > _ROWS else None
    return rendering.page(request, "quarantine.html", rows=found[:_ROWS], more=more)


async def show_quarantined(request: Request) -> Response:
    """One body that could not be read."""
    found = await services_of(request).shelf.quarantined_one(request.path_params["id"])
    return rendering.page(request, "quarantined.html", one=found)


async def retry_quarantined(request: Request, _form: Form) -> Response:
    """Read one body again by what its source's settings say now."""
    found = await services_of(request).quarantine.retry(request.path_params["id"], by=by(request))
    if not found.ok:
        return await done(request, f"Still not readable: {found.error}.", to=f"/quarantine/{found.id}", kind="bad")
    event = found.events[0].id
    return await done(request, "It was read and accepted; it has left the quarantine.", to=f"/events/{event}")


async def drop_quarantined(request: Request, form: Form) -> Response:
    """Forget one body for good."""
    await services_of(request).quarantine.drop(request.path_params["id"], by=by(request), reason=form.text("reason"))
    return await done(request, "Dropped: it cannot be read again.", to="/quarantine")


async def list_audit(request: Request) -> Response:
    """Acts of people and tokens, newest first."""
    query = PageQuery(request)
    cursor = query.number("cursor", least=1, most=10**15)
    wanted: dict[str, Any] = {
        "cursor": None if cursor is None else str(cursor),
        "by": query.text("by"),
        "act": query.text("act"),
        "on": query.text("on"),
        "since": query.moment("since"),
        "until": query.moment("until"),
    }
    query.done()
    page = await services_of(request).keeping.audit.list(limit=_ROWS, **wanted)
    values = query_of(request, without="cursor")
    return rendering.page(request, "audit.html", rows=page.rows, cursor=page.cursor, values=values)


async def show_catalog(request: Request) -> Response:
    """Every type of event."""
    types: dict[str, list[catalog.EventType]] = {}
    for row in catalog.CATALOG.values():
        types.setdefault(row.entity, []).append(row)
    return rendering.page(request, "catalog.html", types=types)


async def show_type(request: Request) -> Response:
    """One type: a sample, its schema, who takes it."""
    services, name = services_of(request), request.path_params["type"]
    row = catalog.CATALOG.get(name)
    if row is None:
        raise NotFoundError(f"there is no type of that name; near it: {', '.join(catalog.nearest(name)) or 'nothing'}")
    return rendering.page(
        request,
        "type.html",
        row=row,
        sample=catalog.sample(name),
        schema=catalog.schema(row.entity),
        targets=list(services.settings.targets),
    )


async def show_settings(request: Request) -> Response:
    """The settings in force; secrets as where they come from. For administrators also sessions and tokens."""
    services = services_of(request)
    is_admin = who(request).role.covers(UserRole.ADMIN)
    return rendering.page(
        request,
        "settings.html",
        sections=shown(services.settings),
        path=services.settings.environment.config_path,
        findings=services.findings,
        sessions=await services.sessions.list() if is_admin else [],
        own=request.scope["signed_in"].session.key,
        tokens=await services.tokens.list() if is_admin else [],
        roles=[role.value for role in UserRole],
    )


async def revoke_token(request: Request, _form: Form) -> Response:
    """Take an API token away."""
    services, name = services_of(request), request.path_params["token"]
    await services.tokens.revoke(name)
    await services.keeping.audit.record(
        by=by(request), act="tokens.revoke", on=name, result="revoked", now=services.clock()
    )
    return await done(request, f"The token {name} opens nothing any more.", to="/settings")
