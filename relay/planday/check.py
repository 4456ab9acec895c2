"""Looks at a portal for an operator: is it the right one, which scopes are there, how much of the budget is left."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Literal

from relay.errors import AuthorizationLost, PlandayUnavailable, RecordGone, ScopeMissing, WrongPortal
from relay.planday import endpoints
from relay.planday.candidate import Standing
from relay.planday.client import PortalClient
from relay.planday.endpoints import Endpoint
from relay.planday.times import local_date
from relay.planday.tokens import OTHER_PORTAL, Authorisation, other_portal
from relay.settings.models import Portal

_PROBES = (
    endpoints.EMPLOYEES,
    endpoints.DEPARTMENTS,
    endpoints.EMPLOYEE_GROUPS,
    endpoints.SHIFTS,
    endpoints.POSITIONS,
    endpoints.SHIFT_TYPES,
    endpoints.PUNCHES,
    endpoints.ABSENCE_REQUESTS,
)

# With feeds, these are needed by one of them; without it they only serve what senders tell of.
_OF_FEEDS = {
    endpoints.PUNCHES.scope: "punchclock",
    endpoints.ABSENCE_REQUESTS.scope: "absence",
    endpoints.SHIFT_TYPES.scope: "reference",
}

_GOES_ON = "the workers go on with the one stored before"


@dataclass(frozen=True, slots=True)
class Budget:
    """One of the four rate windows: calls allowed, and calls left now as far as we know."""

    scope: str
    window: int
    limit: int
    left: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PortalCheck:
    """What Planday says about a portal; `scopes` has "ok", "missing" or "unknown" for each that we need."""

    name: str
    id: int
    portal_name: str | None
    time_zone: str | None
    scopes: Mapping[str, Literal["ok", "missing", "unknown"]]
    token_expires_at: float
    budget: tuple[Budget, ...]
    configured: Standing
    feeds: tuple[str, ...] = ()
    unseen: tuple[int, ...] = ()
    """Departments of people and shifts that are in no list: the administrator who authorised does not see them."""

    @property
    def problem(self) -> str | None:
        """What is wrong with the token in this process's configuration; the stored one works all the same."""
        if self.configured.word != "refused":
            return None
        return f"the token in this configuration does not work: {self.configured.why}; {_GOES_ON}"

    @property
    def note(self) -> str | None:
        """What else is to be known: of the token in this process's configuration, and of what it does not see."""
        notes = []
        match self.configured.word:
            case "earlier":
                notes.append("the token in this configuration is an earlier one; the workers go on with a newer one")
            case "untried":
                notes.append(f"the token in this configuration could not be tried; {_GOES_ON}")
        if spare := [scope for scope, found in self.scopes.items() if found == "missing" and self._is_spare(scope)]:
            notes.append(f"without {', '.join(spare)} what senders tell of those records goes on as partial")
        if self.unseen:
            notes.append(
                f"the administrator who authorised does not seem to see all departments (not {_listed(self.unseen)}, "
                "unless they were deleted): what happens there is not told; let one authorise who sees all"
            )
        return "; ".join(notes) or None

    @property
    def missing(self) -> tuple[str, ...]:
        """The scopes that the app was created without and that are needed: with feeds, by those or by every event."""
        return tuple(scope for scope, found in self.scopes.items() if found == "missing" and not self._is_spare(scope))

    def _is_spare(self, scope: str) -> bool:
        return bool(self.feeds) and scope in _OF_FEEDS and _OF_FEEDS[scope] not in self.feeds


@dataclass(frozen=True, slots=True, kw_only=True)
class PortalStatus:
    """What is known of a portal without asking Planday. `untried`: no token was used yet.

    `configured` is about the token in this process's configuration.
    """

    name: str
    id: int
    authorisation: Authorisation
    lost_since: float | None
    lost_why: str
    token_expires_at: float | None
    blocked_for: float
    budget: tuple[Budget, ...]
    configured: Standing


async def check(name: str, portal: Portal, client: PortalClient, *, shift_types: bool) -> PortalCheck:
    """Ask who we are and make one cheap read per scope. Raises WrongPortal, AuthorizationLost, PlandayUnavailable."""
    try:
        await client.auth.access(even_if_lost=True)
    except AuthorizationLost:
        record = await client.auth.state()
        for why in (client.auth.standing(record).why, record.lost_why):
            if why.startswith(OTHER_PORTAL):
                raise WrongPortal(f"portal {name}: {why}") from None
        raise
    try:
        info = await client.record(endpoints.PORTAL)
    except ScopeMissing:
        info = {"id": portal.id}
    if info.get("id") != portal.id:
        raise WrongPortal(f"portal {name}: {other_portal(info.get('id'), portal.id)}")
    zone = _text(info.get("timeZone"))
    scopes: dict[str, Literal["ok", "missing", "unknown"]] = {}
    for probe in _PROBES:
        if probe is not endpoints.SHIFT_TYPES or shift_types:
            scopes[probe.scope] = await _probe(client, probe, zone)
    departments = await _departments(client) if scopes[endpoints.DEPARTMENTS.scope] == "ok" else None
    if "payroll" in portal.feeds and departments:
        scopes[endpoints.PAYROLL.scope] = await _payroll(client, min(departments), zone)
    unseen = await _unseen(client, departments, zone) if departments is not None else ()
    record = await client.auth.state()
    _, windows = await client.limiter.budget()
    return PortalCheck(
        name=name,
        id=portal.id,
        portal_name=_text(info.get("name")),
        time_zone=zone,
        scopes=scopes,
        token_expires_at=record.expires_at,
        budget=tuple(Budget(*window) for window in windows),
        configured=client.auth.standing(record),
        feeds=portal.feeds,
        unseen=unseen,
    )


async def status(name: str, portal: Portal, client: PortalClient) -> PortalStatus:
    """Read what is recorded."""
    record = await client.auth.state()
    blocked, windows = await client.limiter.budget()
    return PortalStatus(
        name=name,
        id=portal.id,
        authorisation=record.authorisation,
        lost_since=record.lost_since,
        lost_why=record.lost_why,
        token_expires_at=record.expires_at if record.access else None,
        blocked_for=blocked,
        budget=tuple(Budget(*window) for window in windows),
        configured=client.auth.standing(record),
    )


async def _probe(client: PortalClient, endpoint: Endpoint, zone: str | None) -> Literal["ok", "missing", "unknown"]:
    params: dict[str, str] = {}
    if endpoint in (endpoints.SHIFTS, endpoints.PUNCHES, endpoints.ABSENCE_REQUESTS):
        today = local_date(client.now(), zone)
        if endpoint is endpoints.PUNCHES:
            params = {"from": f"{today}T00:00", "to": f"{today + timedelta(days=1)}T00:00"}
        elif endpoint is endpoints.SHIFTS:
            params = {"from": str(today), "to": str(today)}
        else:
            params = {"startDate": str(today), "endDate": str(today)}
    try:
        await client.page(endpoint, params=params, limit=1)
    except ScopeMissing:
        return "missing"
    except (PlandayUnavailable, RecordGone):
        return "unknown"
    return "ok"


async def _departments(client: PortalClient) -> frozenset[int] | None:
    try:
        listing = await client.rows(endpoints.DEPARTMENTS)
    except (PlandayUnavailable, RecordGone):
        return None
    return frozenset(row["id"] for row in listing.rows if isinstance(row.get("id"), int))


async def _payroll(client: PortalClient, department: int, zone: str | None) -> Literal["ok", "missing", "unknown"]:
    today = str(local_date(client.now(), zone))
    try:
        await client.body(endpoints.PAYROLL, params={"departmentIds": str(department), "from": today, "to": today})
    except ScopeMissing:
        return "missing"
    except (PlandayUnavailable, RecordGone):
        return "unknown"
    return "ok"


async def _unseen(client: PortalClient, departments: frozenset[int], zone: str | None) -> tuple[int, ...]:
    """What some people and this week's shifts are said to belong to, and is in no list: somebody else's to see."""
    today = local_date(client.now(), zone)
    week = {"from": str(today), "to": str(today + timedelta(days=7))}
    named: list[Any] = []
    for endpoint, params in ((endpoints.EMPLOYEES, {}), (endpoints.SHIFTS, week)):
        try:
            page = await client.page(endpoint, params=params, limit=50)
        except (ScopeMissing, PlandayUnavailable, RecordGone):
            continue
        for row in page.rows:
            named += [*(row.get("departments") or ()), row.get("departmentId")]
    return tuple(sorted({number for number in named if isinstance(number, int)} - departments))


def _listed(numbers: Sequence[int]) -> str:
    return ", ".join(map(str, numbers[:5])) + (" and others" if len(numbers) > 5 else "")


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None
