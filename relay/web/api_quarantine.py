"""The API on the quarantine: what was signed but could not be read, and what a person decides about it."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request
from starlette.responses import Response

from relay.web import shapes
from relay.web.access import by
from relay.web.asking import Query, body_of, json_answer, services_of

_MOST_OFFSET = 100_000


class OfSource(BaseModel):
    """Body of a retry of all: of which source, None for every one."""

    model_config = ConfigDict(extra="forbid", strict=True)

    source: str | None = Field(default=None, min_length=1, max_length=64)


class Drop(BaseModel):
    """Body of a drop."""

    model_config = ConfigDict(extra="forbid", strict=True)

    reason: str = Field(min_length=1, max_length=500)


class DropAll(Drop, OfSource):
    """Body of a drop of all."""


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


async def retry_quarantined(request: Request) -> Response:
    """Read one body again by what its source's settings say now."""
    found = await services_of(request).quarantine.retry(request.path_params["id"], by=by(request))
    return json_answer(shapes.reread(found))


async def retry_quarantine(request: Request) -> Response:
    """Read all bodies again, or those of one source."""
    wanted = await body_of(request, OfSource)
    found = await services_of(request).quarantine.retry_all(by=by(request), source=wanted.source)
    return json_answer({"results": [shapes.reread(one) for one in found]})


async def drop_quarantined(request: Request) -> Response:
    """Forget one body for good."""
    wanted = await body_of(request, Drop)
    await services_of(request).quarantine.drop(request.path_params["id"], by=by(request), reason=wanted.reason)
    return json_answer({"dropped": 1})


async def drop_quarantine(request: Request) -> Response:
    """Forget all bodies, or those of one source."""
    wanted = await body_of(request, DropAll)
    dropped = await services_of(request).quarantine.drop_all(by=by(request), reason=wanted.reason, source=wanted.source)
    return json_answer({"dropped": dropped})
