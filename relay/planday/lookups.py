"""Finds records of which no read by id is documented: punch clock entries and absence requests.

A list is read around a day and searched for the id. Hints (from a sender, so never trusted) only make that cheaper:
whatever they say, a record counts only if its id is the right one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

from relay.errors import PlandayUnavailable, RecordGone
from relay.planday import endpoints
from relay.planday.client import PortalClient
from relay.planday.endpoints import Endpoint

# Days before and after. Planday refuses punch clock windows above 31 days; absence is found by its period, which may
# lie far from the day on which somebody asks for it.
_PUNCHES_NEAR, _PUNCHES_WIDE = (1, 2), (28, 2)
_ABSENCE_NEAR, _ABSENCE_WIDE = (31, 180), (400, 400)


@dataclass(frozen=True, slots=True, kw_only=True)
class Hints:
    """What may make a search shorter: the day of the event, and ids that a sender named."""

    day: date
    employee: int | None = None
    shift: int | None = None


@dataclass(frozen=True, slots=True)
class _Try:
    window: tuple[int, int]
    employee: int | None


async def punchclock_entry(client: PortalClient, number: int, hints: Hints, *, priority: int) -> dict[str, Any]:
    """The entry, looked for at its shift if that is known, then around the day, then a month back."""
    if hints.shift is not None:
        try:
            page = await client.page(endpoints.PUNCHES_OF_SHIFT, hints.shift, priority=priority)
        except RecordGone:
            pass
        else:
            if found := [row for row in page.rows if row.get("id") == number]:
                return found[0]
    tries = [_Try(_PUNCHES_NEAR, hints.employee), _Try(_PUNCHES_WIDE, hints.employee)]
    if hints.employee is not None:
        tries.append(_Try(_PUNCHES_WIDE, None))
    return await _search(client, endpoints.PUNCHES, number, hints, tries, priority=priority)


async def absence_request(client: PortalClient, number: int, hints: Hints, *, priority: int) -> dict[str, Any]:
    """The request, looked for among the person's own if that is known, then among everybody's."""
    tries = [_Try(_ABSENCE_NEAR, None), _Try(_ABSENCE_WIDE, None)]
    if hints.employee is not None:
        tries.insert(0, _Try(_ABSENCE_WIDE, hints.employee))
    return await _search(client, endpoints.ABSENCE_REQUESTS, number, hints, tries, priority=priority)


async def account_type_of(client: PortalClient, account: int, *, employee: int, priority: int) -> int | None:
    """The first of two hops from an account, which belongs to a person and a year, to the kind of leave."""
    listing = await client.rows(
        endpoints.ACCOUNTS, params={"employeeId": str(employee)}, wanted=account, priority=priority
    )
    kind = (listing.with_id(account) or {}).get("typeId")
    return kind if isinstance(kind, int) else None


async def _search(
    client: PortalClient, endpoint: Endpoint, number: int, hints: Hints, tries: Sequence[_Try], *, priority: int
) -> dict[str, Any]:
    steady = True
    for attempt in tries:
        params = _window(endpoint, hints.day, attempt.window)
        if attempt.employee is not None:
            params["employeeId"] = str(attempt.employee)
        try:
            listing = await client.rows(endpoint, params=params, wanted=number, priority=priority)
        except RecordGone:
            continue  # a 400: the person of the hint is not there any more
        if found := listing.with_id(number):
            return found
        steady = listing.steady
    if not steady:
        raise PlandayUnavailable(f"{endpoint.template}: the list does not hold still", retry_after=5.0)
    raise RecordGone(f"{endpoint.template}: not among the records of that time")


def _window(endpoint: Endpoint, day: date, window: tuple[int, int]) -> dict[str, str]:
    first, last = day - timedelta(days=window[0]), day + timedelta(days=window[1])
    if endpoint is endpoints.PUNCHES:
        return {"from": f"{first.isoformat()}T00:00", "to": f"{last.isoformat()}T00:00"}
    return {"startDate": first.isoformat(), "endDate": last.isoformat()}
