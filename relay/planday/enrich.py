"""Enriches events: the record that an event is about as it is now, and the records that it refers to.

What cannot be had for good makes an enrichment partial and says why; what can be had later is raised, so that the event
waits (PlandayUnavailable, AuthorizationLost).
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import httpx

from relay.errors import NotFoundError, PlandayError, RecordErased, RecordGone, ScopeMissing
from relay.events import Event, Seen
from relay.fields import LISTED_OTHERWISE, Keep
from relay.persons import NOBODY, ErasedPeople
from relay.planday import check as checks
from relay.planday.cache import LIFETIMES, WATCHED_LIFETIMES, Cache
from relay.planday.check import PortalCheck, PortalStatus
from relay.planday.client import PortalClient
from relay.planday.feeds import FeedReader
from relay.planday.limits import LIVE, Clock, Sleep
from relay.planday.lookups import Hints
from relay.planday.models import Record, with_times
from relay.planday.ports import Cipher, Shared
from relay.planday.records import READABLE, Records, Want
from relay.planday.times import instant, local_date
from relay.planday.wire import Notify
from relay.settings.models import Portal

_ID = re.compile(r"[1-9][0-9]{0,18}")
# A sender's time is believed only if it is near the moment at which we got the event.
_BELIEVED = 400 * 86400.0

# kind -> field of it -> kind that the field refers to, in the order in which they are named.
_REFERS: Mapping[str, Mapping[str, str]] = {
    "shift": {
        "employeeId": "employee",
        "departmentId": "department",
        "employeeGroupId": "employee_group",
        "positionId": "position",
    },
    "punchclock_entry": {"employeeId": "employee", "departmentId": "department", "shiftId": "shift"},
    "absence_request": {"employeeId": "employee"},
    "absence_record": {"employeeId": "employee"},
    "payroll_line": {"employeeId": "employee", "departmentId": "department"},
    "employee": {"primaryDepartmentId": "department"},
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Enrichment:
    """What Planday says about an event. `missing` names what could not be had and why, never a value.

    `erased`: the record is of a person who was erased here, so nothing of it was taken.
    """

    object: dict[str, Any] | None = None
    related: dict[str, dict[str, Any]] = field(default_factory=dict)
    state: Literal["complete", "partial", "none"] = "complete"
    missing: tuple[str, ...] = ()
    fetched_at: float
    zone: str | None = None
    modified: str | None = None
    erased: bool = False


@dataclass(frozen=True, slots=True)
class _Portal:
    name: str
    settings: Portal
    client: PortalClient
    records: Records


class Planday:
    """All configured portals, by name and by id."""

    def __init__(
        self,
        portals: Mapping[str, Portal],
        *,
        transports: Mapping[str, httpx.AsyncBaseTransport],
        shared: Shared,
        cipher: Cipher,
        keep: Keep,
        clock: Clock,
        sleep: Sleep = asyncio.sleep,
        notify: Notify | None = None,
        max_wait: float = 2.0,
        erased: ErasedPeople = NOBODY,
    ) -> None:
        self._keep = keep
        self._cache = Cache(shared=shared, clock=clock, sleep=sleep)
        self._portals: dict[str, _Portal] = {}
        for name, portal in portals.items():
            client = PortalClient(
                name,
                portal,
                transport=transports[name],
                shared=shared,
                cipher=cipher,
                clock=clock,
                sleep=sleep,
                notify=notify,
                max_wait=max_wait,
            )
            lifetimes = WATCHED_LIFETIMES if "employees" in portal.feeds else LIFETIMES
            records = Records(
                portal.id,
                client=client,
                cache=self._cache,
                keep=keep,
                clock=clock,
                lifetimes=lifetimes,
                erased=erased,
            )
            self._portals[name] = _Portal(name, portal, client, records)
        self._by_id = {portal.settings.id: portal for portal in self._portals.values()}

    async def enrich(
        self,
        event: Event,
        *,
        now: float,
        not_before: float | None = None,
        reread: bool = False,
        priority: int = LIVE,
    ) -> Enrichment:
        """The record an event is about, read after the event was accepted, and what it refers to.

        What the change feed saw is taken as it is, unless `reread` asks for the record as it is now. `not_before` asks
        for a later reading than the event, as a replay that re-reads does.
        """
        since = max(event.received_at, not_before or 0.0)
        if event.seen is not None and event.type.startswith("relay."):
            # The relay about itself: Planday knows nothing of it, and may be what is wrong.
            return Enrichment(object=dict(event.seen.object or {}), fetched_at=now)
        portal = self._by_id.get(event.portal)
        if portal is None:
            return Enrichment(state="none", missing=("portal: not configured",), fetched_at=now)
        if event.seen is not None and not reread and not_before is None:
            return await self._as_seen(portal, event, event.seen, now=now, priority=priority)
        if event.entity not in READABLE:
            return Enrichment(state="none", missing=(f"{event.entity}: not readable",), fetched_at=now)
        if event.entity != "portal" and not _ID.fullmatch(event.entity_id):
            return Enrichment(state="none", missing=("object: its id is none of Planday's",), fetched_at=now)
        number = portal.settings.id if event.entity == "portal" else int(event.entity_id)
        if event.type.endswith(".deleted"):
            await portal.records.forget(event.entity, number, at=since)
            return Enrichment(fetched_at=now)
        hints = await self._hints(portal, event)
        try:
            record = await portal.records.get(event.entity, number, hints=hints, not_before=since, priority=priority)
        except (RecordGone, ScopeMissing) as error:
            erased = isinstance(error, RecordErased)
            return Enrichment(state="partial", missing=(_missing("object", error),), fetched_at=now, erased=erased)
        return await self._with_related(portal, event.entity, record, priority=priority)

    async def _as_seen(self, portal: _Portal, event: Event, seen: Seen, *, now: float, priority: int) -> Enrichment:
        """With what the feed saw, and what that refers to. Of the portal itself nothing is asked: it may be cut off."""
        if event.entity == "portal":
            return Enrichment(object=dict(seen.object or {}), fetched_at=now)
        if _ID.fullmatch(event.entity_id):
            await portal.records.forget(event.entity, int(event.entity_id), at=seen.read_at)
        shown = seen.before if seen.object is None else seen.object
        record = Record(fields=dict(shown), links=dict(seen.links), at=seen.read_at)
        unread: list[str] = []
        if event.entity == "employee" and seen.object is not None:
            record, unread = await self._with_rest(portal, int(event.entity_id), record, priority=priority)
        enrichment = await self._with_related(portal, event.entity, record, missing=unread, priority=priority)
        if seen.object is None:
            enrichment = replace(enrichment, object=None)
        return replace(enrichment, modified=seen.modified)

    async def _with_rest(
        self, portal: _Portal, number: int, record: Record, *, priority: int
    ) -> tuple[Record, list[str]]:
        """A person with what only a read by id shows, where some target may have that."""
        wanted = self._keep.fields("employee", ("object",)) & LISTED_OTHERWISE
        if not wanted:
            return record, []
        try:
            whole = await portal.records.get("employee", number, not_before=record.at, priority=priority)
        except (RecordGone, ScopeMissing) as error:
            return record, [_missing(f"object.{name}", error) for name in sorted(wanted)]
        return replace(record, fields={**record.fields, **{name: whole.fields.get(name) for name in wanted}}), []

    def reader(self, name: str, *, also: Mapping[str, frozenset[str]] | None = None) -> FeedReader:
        """The lists of one portal, for the change feed; `also` is read besides what some target may have."""
        portal = self._portal(name)
        return FeedReader(portal.settings.id, client=portal.client, keep=self._keep, also=also)

    async def forget(self, portal_id: int, kind: str, number: int, *, at: float) -> None:
        """A record changed at `at`: what was read of it before is not used any more."""
        if portal := self._by_id.get(portal_id):
            await portal.records.forget(kind, number, at=at)

    async def check(self, name: str) -> PortalCheck:
        """Ask Planday: whose token is it, which scopes are there. Tries a lost authorisation anew."""
        portal = self._portal(name)
        return await checks.check(name, portal.settings, portal.client, shift_types=portal.records.wanted("shift_type"))

    async def status(self, name: str) -> PortalStatus:
        """What is known of a portal without asking Planday."""
        portal = self._portal(name)
        return await checks.status(name, portal.settings, portal.client)

    async def set_token(self, name: str, refresh_token: str) -> None:
        """Take a new token. WrongPortal if it is another portal's, AuthorizationLost if it does not work."""
        await self._portal(name).client.auth.adopt(refresh_token)

    async def connect(self, name: str, code: str, *, redirect_uri: str) -> None:
        """Take what an administrator agreed to on Planday's consent screen. Raises as `set_token` does."""
        await self._portal(name).client.auth.exchange(code, redirect_uri=redirect_uri)

    def client(self, name: str) -> PortalClient:
        """The reads of one portal, for those who need more than single records."""
        return self._portal(name).client

    async def aclose(self) -> None:
        """End what is under way, but let a token that is being renewed arrive."""
        await self._cache.aclose()
        for portal in self._portals.values():
            await portal.client.auth.aclose()

    async def _with_related(
        self, portal: _Portal, kind: str, record: Record, *, missing: Sequence[str] = (), priority: int
    ) -> Enrichment:
        wants = {
            target: Want(target, record.fields[name])
            for name, target in _REFERS.get(kind, {}).items()
            if record.fields.get(name) is not None
        }
        missing = list(missing)
        if kind == "shift" and "shiftTypeId" in record.links:
            wants["shift_type"] = Want("shift_type", record.links["shiftTypeId"])
        if kind == "absence_request" and "requestedAccounts" in record.links:
            await self._follow_account(portal, record, wants, missing, priority=priority)
        # The portal's own zone serves where a record has none.
        asked = [*wants.values(), Want("portal", portal.settings.id)]
        *found, home = await portal.records.get_all(asked, priority=priority)
        related: dict[str, Record] = {}
        for target, result in zip(wants, found, strict=True):
            if isinstance(result, Record):
                related[target] = result
            else:
                missing.append(_missing(target, result))
        zone = home.fields.get("timeZone") if isinstance(home, Record) else None
        if isinstance(home, Record) and kind != "portal":
            related["portal"] = home
        return self._composed(kind, record, related, missing, zone=zone)

    async def _follow_account(
        self, portal: _Portal, record: Record, wants: dict[str, Want], missing: list[str], *, priority: int
    ) -> None:
        employee = record.fields.get("employeeId")
        if employee is None:
            return
        try:
            kind = await portal.records.account_type_of(
                record.links["requestedAccounts"][0], employee=employee, priority=priority
            )
        except (RecordGone, ScopeMissing) as error:
            missing.append(_missing("account_type", error))
            return
        if kind is None:
            missing.append("account_type: gone")
        else:
            wants["account_type"] = Want("account_type", kind)

    def _composed(
        self, kind: str, record: Record, related: Mapping[str, Record], missing: list[str], *, zone: str | None
    ) -> Enrichment:
        # A punch has no zone of its own: its shift's, else the portal's.
        linked = related["shift"].fields.get("timeZone") if "shift" in related else record.fields.get("timeZone")
        zone = linked or zone
        placed, odd = self._placed(kind, record, ("object",), zone=zone)
        notes = [f"object.{name}: unreadable" for name in odd]
        others: dict[str, dict[str, Any]] = {}
        for target, other in related.items():
            others[target], odd = self._placed(target, other, ("related", target), zone=zone)
            notes += [f"{target}.{name}: unreadable" for name in odd]
        missing = [*missing, *notes]
        return Enrichment(
            object=placed,
            related=others,
            state="partial" if missing else "complete",
            missing=tuple(missing),
            fetched_at=record.at,
            zone=zone,
            modified=record.fields.get("dateTimeModified"),
        )

    def _placed(
        self, kind: str, record: Record, where: tuple[str, ...], *, zone: str | None
    ) -> tuple[dict[str, Any], list[str]]:
        """What may stand in this place, with our own times, and which parts of that were unreadable."""
        fields, odd = with_times(kind, record.fields, zone=zone)
        kept = self._keep.fields(kind, where)
        names = [name for name in (*record.odd, *odd) if name in kept]
        return {name: value for name, value in fields.items() if name in kept}, names

    async def _hints(self, portal: _Portal, event: Event) -> Hints | None:
        """What a sender says that makes a search shorter."""
        if event.entity not in ("punchclock_entry", "absence_request"):
            return None
        said = instant(event.time)
        at = said.timestamp() if said else event.received_at
        if abs(at - event.received_at) > _BELIEVED:
            at = event.received_at
        (home,) = await portal.records.get_all([Want("portal", portal.settings.id)])
        zone = home.fields.get("timeZone") if isinstance(home, Record) else None
        received = event.received if isinstance(event.received, Mapping) else {}
        employee = event.extensions.get("employeeid", received.get("employeeId"))
        return Hints(day=local_date(at, zone), employee=_id(employee), shift=_id(received.get("shiftId")))

    def _portal(self, name: str) -> _Portal:
        try:
            return self._portals[name]
        except KeyError:
            raise NotFoundError(f"there is no portal {name!r} in the config") from None


def _missing(what: str, error: PlandayError) -> str:
    return f"{what}: 403 scope {error.scope}" if isinstance(error, ScopeMissing) else f"{what}: gone"


def _id(value: Any) -> int | None:
    text = str(value)
    return int(text) if _ID.fullmatch(text) else None
