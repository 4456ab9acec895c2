"""The API on events and their deliveries: what came in, where it stands, why, and once more."""

from __future__ import annotations

import re

from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request
from starlette.responses import Response

from relay.events import DeliveryState, EventState
from relay.services import DeliveryFilter, EventFilter
from relay.web import shapes
from relay.web.access import by, require_for_target, who
from relay.web.asking import Query, body_of, json_answer, services_of
from relay.web.masking import masked_attempt, masked_envelope, masked_raw
from relay.web.problems import BAD_QUERY, Problem

LARGEST_PORTAL = 2**63 - 1
_SUBJECT = re.compile(r"[a-z][a-z0-9_]*/[A-Za-z0-9_-]+")


class Retry(BaseModel):
    """Body of a retry."""

    model_config = ConfigDict(extra="forbid", strict=True)

    force: bool = False
    reason: str = Field(default="", max_length=500)


class Decision(BaseModel):
    """Body of what a person decides of one delivery: to release or to cancel it."""

    model_config = ConfigDict(extra="forbid", strict=True)

    reason: str = Field(min_length=1, max_length=500)


async def list_events(request: Request) -> Response:
    """Events that fit, newest first."""
    query = Query(request)
    wanted = EventFilter(
        type=query.text("type"),
        portal=query.number("portal", least=1, most=LARGEST_PORTAL),
        subject=query.text("subject"),
        state=query.choice("state", EventState),
        target=query.text("target"),
        since=query.moment("since"),
        until=query.moment("until"),
    )
    limit, cursor = query.limit(), query.cursor()
    query.done()
    if wanted.subject is not None and not _SUBJECT.fullmatch(wanted.subject):
        fault = {"parameter": "subject", "detail": "is not entity/id, such as shift/70010045"}
        raise Problem(BAD_QUERY, "subject is not entity/id", errors=[fault])
    found = await services_of(request).reading.list_events(wanted, limit=limit, cursor=cursor)
    return json_answer(shapes.page([shapes.event_row(one) for one in found.rows], found, "events"))


async def show_event(request: Request) -> Response:
    """All that is kept of one event."""
    reading = services_of(request).reading
    record = await reading.event(request.path_params["event"])
    shown = shapes.event_detail(record, await reading.deliveries_of(record))
    if not who(request).sees_personal_data:
        shown["raw"] = masked_raw(shown["raw"])
        shown["envelope"] = None if record.envelope is None else masked_envelope(record.envelope)
    return json_answer(shown)


async def explain_event(request: Request) -> Response:
    """Where one event is and why."""
    event = request.path_params["event"]
    return json_answer({"event": event, "explanation": await services_of(request).desk.explain(event)})


async def list_deliveries(request: Request) -> Response:
    """Deliveries that fit, newest event first."""
    query = Query(request)
    wanted = DeliveryFilter(
        target=query.text("target"),
        state=query.choice("state", DeliveryState),
        type=query.text("type"),
        portal=query.number("portal", least=1, most=LARGEST_PORTAL),
        since=query.moment("since"),
        until=query.moment("until"),
    )
    limit, cursor = query.limit(), query.cursor()
    query.done()
    found = await services_of(request).reading.list_deliveries(wanted, limit=limit, cursor=cursor)
    rows = [shapes.delivery_row(one) for one in found.rows]
    if not who(request).sees_personal_data:
        rows = [{**row, "evidence": row["evidence"] and masked_attempt(row["evidence"])} for row in rows]
    return json_answer(shapes.page(rows, found, "deliveries"))


async def show_delivery(request: Request) -> Response:
    """One delivery and its attempts."""
    reading = services_of(request).reading
    event, target = request.path_params["event"], request.path_params["target"]
    found = await reading.delivery(event, target)
    tried = [shapes.attempt(one) for one in await reading.attempts(event, target)]
    if not who(request).sees_personal_data:
        tried = [masked_attempt(one) for one in tried]
    return json_answer({**shapes.delivery(found), "tried": tried})


async def retry_delivery(request: Request) -> Response:
    """Send one delivery again, now."""
    services = services_of(request)
    event, target = request.path_params["event"], request.path_params["target"]
    wish = await body_of(request, Retry)
    require_for_target(request, target, force=wish.force)
    await services.desk.retry(event, target, by=by(request), reason=wish.reason, force=wish.force)
    return json_answer(shapes.delivery(await services.reading.delivery(event, target)))


async def release_delivery(request: Request) -> Response:
    """Send a parked delivery again: its target does not have it."""
    services = services_of(request)
    event, target = request.path_params["event"], request.path_params["target"]
    wish = await body_of(request, Decision)
    require_for_target(request, target)
    await services.desk.release(event, target, by=by(request), reason=wish.reason)
    return json_answer(shapes.delivery(await services.reading.delivery(event, target)))


async def cancel_delivery(request: Request) -> Response:
    """Never send one delivery, or not again."""
    services = services_of(request)
    event, target = request.path_params["event"], request.path_params["target"]
    wish = await body_of(request, Decision)
    require_for_target(request, target)
    await services.desk.cancel(event, target, by=by(request), reason=wish.reason)
    return json_answer(shapes.delivery(await services.reading.delivery(event, target)))
