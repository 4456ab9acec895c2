"""The deliveries: a list by state and target, and one with its attempts and what a person can decide of it."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from relay.errors import RefusedError
from relay.events import DeliveryState
from relay.services import DeliveryFilter
from relay.settings import UserRole
from relay.web import shapes
from relay.web.access import by, require_for_target, target_role, who
from relay.web.asking import services_of
from relay.web.dashboard import rendering
from relay.web.dashboard.door import Form, PageQuery, done, query_of
from relay.web.dashboard.events import portal_names, portal_of
from relay.web.dashboard.overview import all_targets
from relay.web.masking import masked_attempt

_RETRYABLE = (DeliveryState.WAITING, DeliveryState.DEAD, DeliveryState.CANCELLED, DeliveryState.SUPERSEDED)
_CANCELLABLE = (DeliveryState.WAITING, DeliveryState.DEAD, DeliveryState.PARKED)


async def list_deliveries(request: Request) -> Response:
    """Deliveries that fit, newest event first."""
    services, query = services_of(request), PageQuery(request)
    wanted = DeliveryFilter(
        target=query.text("target"),
        state=query.choice("state", DeliveryState),
        type=query.text("type"),
        portal=portal_of(services, query),
        since=query.moment("since"),
        until=query.moment("until"),
    )
    limit, cursor = query.limit(), query.cursor()
    query.done()
    page = await services.reading.list_deliveries(wanted, limit=limit, cursor=cursor)
    return rendering.page(
        request,
        "deliveries.html",
        rows=page.rows,
        cursor=page.cursor,
        values=query_of(request, without="cursor"),
        states=[one.value for one in DeliveryState],
        names=portal_names(services),
        targets=await all_targets(services),
    )


async def show_delivery(request: Request) -> Response:
    """One delivery and its attempts."""
    services = services_of(request)
    event, target = _named(request)
    found = await services.reading.delivery(event, target)
    record = await services.reading.event(event)
    tried = [shapes.attempt(one) for one in await services.reading.attempts(event, target)]
    if not who(request).sees_personal_data:
        tried = [masked_attempt(one) for one in tried]
    may = who(request).role.covers(target_role(request, target))
    return rendering.page(
        request,
        "delivery.html",
        one=found,
        event=record.event,
        tried=list(reversed(tried)),
        key=shapes.delivery(found)["idempotency_key"],
        may=may,
        needs=target_role(request, target).value,
        can_retry=found.state in _RETRYABLE,
        can_force=found.state is DeliveryState.DELIVERED and who(request).role.covers(UserRole.PAYROLL),
        can_release=found.state is DeliveryState.PARKED,
        can_cancel=found.state in _CANCELLABLE,
        configured=target in services.settings.targets,
    )


async def retry(request: Request, form: Form) -> Response:
    """Send it again, now."""
    event, target = _named(request)
    force = form.flag("force")
    require_for_target(request, target, force=force)
    state = await services_of(request).desk.retry(
        event, target, by=by(request), reason=form.text("reason"), force=force
    )
    if state is DeliveryState.SUPERSEDED:
        return await _told(request, f"Not sent: {target} has a newer state of this record already.", kind="bad")
    return await _told(request, f"It goes to {target} again now.")


async def release(request: Request, form: Form) -> Response:
    """Send what was parked: its target does not have it."""
    event, target = _named(request)
    require_for_target(request, target)
    await services_of(request).desk.release(event, target, by=by(request), reason=_reason(form))
    return await _told(request, f"Released: it goes to {target} under its own key.")


async def cancel(request: Request, form: Form) -> Response:
    """Never send it, or not again."""
    event, target = _named(request)
    require_for_target(request, target)
    await services_of(request).desk.cancel(event, target, by=by(request), reason=_reason(form))
    return await _told(request, "Cancelled: nobody sends it, and what waited behind it goes on.")


def _reason(form: Form) -> str:
    reason = form.text("reason")
    if not reason:
        raise RefusedError("say why: the reason is kept with the delivery and in the audit. Nothing was changed")
    return reason


def _named(request: Request) -> tuple[str, str]:
    return request.path_params["event"], request.path_params["target"]


async def _told(request: Request, text: str, *, kind: str = "good") -> Response:
    event, target = _named(request)
    return await done(request, text, to=f"/deliveries/{event}/{target}", kind=kind)
