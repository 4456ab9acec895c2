"""One portal's records by kind and id: read with the right call, reduced to what may be kept, cached.

What is cached is the union of what configured targets may have of a kind, wherever it will stand; each place takes its
own part of it (relay.fields.Keep).
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from relay.errors import PlandayError, PlandayUnavailable, RecordErased, RecordGone, ScopeMissing
from relay.fields import KINDS, Keep
from relay.persons import NOBODY, ErasedPeople, cut_fields, is_theirs
from relay.planday import endpoints, lookups
from relay.planday.cache import LIFETIMES, OWN_LIFETIME, Cache, Entry
from relay.planday.client import PortalClient
from relay.planday.endpoints import Endpoint
from relay.planday.limits import LIVE, Clock
from relay.planday.lookups import Hints
from relay.planday.models import Record, read_record
from relay.planday.ports import CacheKey

BY_ID: Mapping[str, Endpoint] = {
    "employee": endpoints.EMPLOYEE,
    "shift": endpoints.SHIFT,
    "department": endpoints.DEPARTMENT,
    "employee_group": endpoints.EMPLOYEE_GROUP,
    "position": endpoints.POSITION,
    "absence_record": endpoints.ABSENCE_RECORD,
}
# Small lists of which no single record can be read: read and cached whole.
TABLES: Mapping[str, Endpoint] = {"shift_type": endpoints.SHIFT_TYPES, "account_type": endpoints.ACCOUNT_TYPES}
_SEARCHED = {"punchclock_entry": lookups.punchclock_entry, "absence_request": lookups.absence_request}
READABLE = frozenset({"portal", "shift_type", *BY_ID, *_SEARCHED})

# A record that is not in a table which is older than this may simply be new.
_TABLE_TRUSTED = 60.0
# Counted up when what an entry looks like changes.
_FORM = 1
_GONE = "gone"
_ERASED = "erased"
_SCOPE = "scope:"


def links_of(keep: Keep) -> Mapping[str, frozenset[str]]:
    """Per kind, what only leads to a related record: followed only if somebody may have that record."""
    return {
        "shift": frozenset({"shiftTypeId"} if keep.fields("shift_type", ("related", "shift_type")) else ()),
        "absence_request": frozenset(
            {"requestedAccounts"} if keep.fields("account_type", ("related", "account_type")) else ()
        ),
    }


@dataclass(frozen=True, slots=True)
class Want:
    """A record that somebody needs."""

    kind: str
    id: int


class Records:
    """One portal's records."""

    def __init__(
        self,
        portal: int,
        *,
        client: PortalClient,
        cache: Cache,
        keep: Keep,
        clock: Clock,
        lifetimes: Mapping[str, float] = LIFETIMES,
        erased: ErasedPeople = NOBODY,
    ) -> None:
        self._portal = portal
        self._erased = erased
        self._lifetimes = lifetimes
        self._client = client
        self._cache = cache
        self._clock = clock
        self._keep = {kind: keep.fields(kind, ("object",)) | keep.fields(kind, ("related", kind)) for kind in KINDS}
        self._links = links_of(keep)
        self._forms = {kind: self._form(kind) for kind in KINDS}

    def wanted(self, kind: str) -> bool:
        """Whether anything of this kind may be kept at all."""
        return bool(self._keep[kind])

    async def get(
        self, kind: str, number: int, *, hints: Hints | None = None, not_before: float = 0.0, priority: int = LIVE
    ) -> Record:
        """One record, cached if that is good enough."""
        want = Want(kind, number)
        (entry,) = await self._cache.peek([self._key(want)], not_before=not_before)
        return await self._resolve(want, entry, hints=hints, not_before=not_before, priority=priority)

    async def get_all(self, wants: Sequence[Want], *, priority: int = LIVE) -> list[Record | PlandayError]:
        """Several records at once; one that cannot be had is its error. Being away is an error of all."""
        if not wants:
            return []
        entries = await self._cache.peek([self._key(want) for want in wants])
        # A task each only for what has to be read: as a rule all is known.
        results: list[Record | Exception | None] = [
            None if entry is None else await self._attempt(want, entry, priority=priority)
            for want, entry in zip(wants, entries, strict=True)
        ]
        unread = [n for n, result in enumerate(results) if result is None]
        if unread:
            read = await asyncio.gather(*(self._attempt(wants[n], None, priority=priority) for n in unread))
            for n, found_now in zip(unread, read, strict=True):
                results[n] = found_now
        found: list[Record | PlandayError] = []
        for result in results:
            if isinstance(result, Record | RecordGone | ScopeMissing):
                found.append(result)
            elif result is not None:
                raise result
        return found

    async def _attempt(self, want: Want, entry: Entry | None, *, priority: int) -> Record | Exception:
        try:
            return await self._resolve(want, entry, priority=priority)
        except Exception as error:
            return error

    async def forget(self, kind: str, number: int, *, at: float) -> None:
        """What was read of this record before `at` is not true any more."""
        if kind in self._forms:
            await self._cache.forget(self._key(Want(kind, number)), at=at)

    async def account_type_of(self, account: int, *, employee: int, priority: int = LIVE) -> int | None:
        """The kind of leave that an account stands for; not cached, since it is health data in itself."""
        return await lookups.account_type_of(self._client, account, employee=employee, priority=priority)

    async def _resolve(
        self, want: Want, entry: Entry | None, *, hints: Hints | None = None, not_before: float = 0.0, priority: int
    ) -> Record:
        if not self.wanted(want.kind):
            return Record(fields={}, at=self._clock())
        if entry is None:
            entry = await self._read(want, hints=hints, not_before=not_before, priority=priority)
        if want.kind not in TABLES or entry.why:
            return _record(entry, entry.body, want)
        rows: dict[str, Any] = entry.body
        trusted_from = self._clock() - _TABLE_TRUSTED
        if str(want.id) not in rows and entry.at < trusted_from:
            entry = await self._read(want, hints=hints, not_before=trusted_from, priority=priority)
            rows = entry.body or {}
        return _record(entry, rows.get(str(want.id)), want)

    async def _read(self, want: Want, *, hints: Hints | None, not_before: float, priority: int) -> Entry:
        async def read() -> tuple[Any, str]:
            try:
                if want.kind in TABLES:
                    return await self._table(want.kind, priority=priority), ""
                gone = await self._erased.of(self._portal)
                if gone is not None and want.kind == "employee" and gone(str(want.id)):
                    return None, _ERASED
                raw = await self._raw(want, hints, priority=priority)
                if gone is not None:
                    if is_theirs(want.kind, str(want.id), raw, gone):
                        return None, _ERASED
                    raw = cut_fields(raw, gone)
                return self._kept(want.kind, raw), ""
            except RecordGone:
                return None, _GONE
            except ScopeMissing as error:
                return None, _SCOPE + error.scope

        lifetime = self._lifetimes.get(want.kind, OWN_LIFETIME)
        return await self._cache.read(self._key(want), read, lifetime=lifetime, not_before=not_before)

    async def _raw(self, want: Want, hints: Hints | None, *, priority: int) -> dict[str, Any]:
        if search := _SEARCHED.get(want.kind):
            assert hints is not None, "a search needs to know around which day"
            return await search(self._client, want.id, hints, priority=priority)
        if want.kind == "portal":
            raw = await self._client.record(endpoints.PORTAL, priority=priority)
        else:
            raw = await self._client.record(BY_ID[want.kind], want.id, priority=priority)
        if raw.get("id") not in (want.id, None):
            raise PlandayUnavailable(f"{want.kind}: Planday answered with another record than asked for")
        return raw

    async def _table(self, kind: str, *, priority: int) -> dict[str, Any]:
        listing = await self._client.rows(TABLES[kind], priority=priority)
        return {str(row["id"]): self._kept(kind, row) for row in listing.rows if isinstance(row.get("id"), int)}

    def _kept(self, kind: str, raw: Mapping[str, Any]) -> dict[str, Any]:
        record = read_record(kind, raw, keep=self._keep[kind], links=self._links.get(kind, frozenset()))
        return {"fields": record.fields, "links": record.links, "odd": record.odd}

    def _key(self, want: Want) -> CacheKey:
        record = "all" if want.kind in TABLES else str(want.id)
        return (self._portal, want.kind, f"{record}:{self._forms[want.kind]}")

    def _form(self, kind: str) -> str:
        """What an entry of this kind holds, hashed: other settings do not take it for theirs."""
        parts = [str(_FORM), *sorted(self._keep[kind]), *sorted(self._links.get(kind, ()))]
        return hashlib.blake2b("\0".join(parts).encode(), digest_size=5).hexdigest()


def _record(entry: Entry, body: Any, want: Want) -> Record:
    if entry.why.startswith(_SCOPE):
        scope = entry.why.removeprefix(_SCOPE)
        raise ScopeMissing(f"{want.kind}: 403 scope {scope}", scope=scope)
    if entry.why == _ERASED:
        raise RecordErased(f"{want.kind}: of a person who was erased here")
    if entry.why or body is None:
        raise RecordGone(f"{want.kind}: gone")
    return Record(fields=body["fields"], links=body["links"], odd=tuple(body["odd"]), at=entry.at)
