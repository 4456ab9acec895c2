"""Planday's lists as the change feed reads them: which parameters, which windows, and each row cut to what may be kept.

The rows pass the same readers as single records do, so that a record is the same whichever way it came. Days are dates
in the portal's own calendar; instants are seconds since 1970 (UTC).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

from relay.errors import RecordGone
from relay.fields import Keep
from relay.planday import endpoints
from relay.planday.client import PortalClient
from relay.planday.endpoints import Endpoint
from relay.planday.limits import FEED, REPAIR
from relay.planday.models import Record, read_record
from relay.planday.records import links_of

# Planday refuses a window of punches that is longer.
_LONGEST_WINDOW = timedelta(days=31)
_DAY = timedelta(days=1)
_TABLES: Mapping[str, Endpoint] = {
    "department": endpoints.DEPARTMENTS,
    "employee_group": endpoints.EMPLOYEE_GROUPS,
    "position": endpoints.POSITIONS,
    "shift_type": endpoints.SHIFT_TYPES,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Sight:
    """What a list showed: records by id, when it was asked for, whether it held still, and whether all of it came."""

    kind: str
    rows: Mapping[str, Record]
    at: float
    steady: bool = True
    complete: bool = True


class FeedReader:
    """One portal's lists. Every method raises PlandayError when Planday does not give the list."""

    def __init__(
        self, portal: int, *, client: PortalClient, keep: Keep, also: Mapping[str, frozenset[str]] | None = None
    ) -> None:
        """`also`: fields to read of a kind besides those that some target may have."""
        self._portal = portal
        self._client = client
        self._keep = keep
        self._also = also or {}
        self._links = links_of(keep)
        # Planday may not take a year of shifts in one window; once it has refused, it is asked month by month.
        self._months = False
        self._priority = FEED

    def repairing(self, whole: bool) -> None:
        """Whether the next reads are of a daily look that repairs: then the ordinary looks of others come first."""
        self._priority = REPAIR if whole else FEED

    def wanted(self, kind: str) -> bool:
        """Whether anything of this kind may be kept at all."""
        return bool(self._keep.fields(kind, ("object",)))

    async def employees(self, since: float | None) -> Sight:
        """Active people; with `since` those modified after it."""
        params = {} if since is None else {"modifiedFrom": _stamp(since)}
        return await self._list("employee", endpoints.EMPLOYEES, params, fixed={"isDeactivated": False})

    async def deactivated(self, since: float | None) -> Sight:
        """Deactivated people; with `since` those deactivated after it."""
        params = {} if since is None else {"deactivatedFrom": _stamp(since)}
        return await self._list("employee", endpoints.EMPLOYEES_DEACTIVATED, params, fixed={"isDeactivated": True})

    async def shifts(self, first: date, last: date, since: float | None) -> Sight:
        """Shifts of these days, both included; with `since` those modified after it."""
        changed = {} if since is None else {"modifiedFrom": _stamp(since)}
        if not self._months:
            try:
                return await self._list(
                    "shift", endpoints.SHIFTS_LISTED, {"from": f"{first}", "to": f"{last}", **changed}
                )
            except RecordGone:
                self._months = True
        parts = [
            await self._list("shift", endpoints.SHIFTS_LISTED, {"from": f"{one}", "to": f"{other}", **changed})
            for one, other in _windows(first, last)
        ]
        return _joined(parts)

    async def deleted_shifts(self, since: float) -> Sight:
        """Shifts that were deleted after `since`."""
        return await self._list("shift", endpoints.SHIFTS_DELETED, {"deletedFrom": _stamp(since)})

    async def punches(self, first: date, last: date) -> Sight:
        """Punch clock entries of these days, both included, in windows that Planday takes."""
        parts = []
        for one, other in _windows(first, last):
            params = {"from": f"{one}T00:00", "to": f"{other + _DAY}T00:00"}
            parts.append(await self._list("punchclock_entry", endpoints.PUNCHES, params))
        return _joined(parts)

    async def absence_requests(self, first: date, last: date) -> Sight:
        """Absence requests whose period touches these days."""
        params = {"startDate": f"{first}", "endDate": f"{last}"}
        return await self._list("absence_request", endpoints.ABSENCE_REQUESTS, params)

    async def absence_records(self, first: date, last: date) -> Sight:
        """Decided absence whose period touches these days."""
        params = {"startDate": f"{first}", "endDate": f"{last}"}
        return await self._list("absence_record", endpoints.ABSENCE_RECORDS, params)

    async def payroll(self, first: date, last: date, departments: Sequence[int]) -> Sight:
        """The payroll lines of one calendar month; whether a line is approved shows by where it stands.

        Planday lists monthly salaries among the approved whatever they are, so of them it is not known.
        """
        at = self._client.now()
        params = {"departmentIds": ",".join(map(str, departments)), "from": f"{first}", "to": f"{last}"}
        everything = await self._client.body(endpoints.PAYROLL, params=params, priority=self._priority)
        approved = await self._client.body(
            endpoints.PAYROLL, params={**params, "shiftStatus": "Approved"}, priority=self._priority
        )
        paid = {number for number, _ in _lines(approved, month=first)}
        rows = {
            number: self._cut(
                "payroll_line", {**line, "isApproved": None if line["line"] == "salaried" else number in paid}
            )
            for number, line in _lines(everything, month=first)
        }
        # Approved between the two answers: the second one shows it, so the first has to be read again.
        whole = paid <= rows.keys()
        return Sight(kind="payroll_line", rows=rows, at=at, steady=whole, complete=whole)

    async def table(self, kind: str) -> Sight:
        """All departments, employee groups, positions or shift types; or the portal itself."""
        if kind == "portal":
            at = self._client.now()
            info = await self._client.record(endpoints.PORTAL, priority=self._priority)
            return Sight(kind=kind, rows={str(self._portal): self._cut(kind, info)}, at=at)
        return await self._list(kind, _TABLES[kind], {})

    async def shift(self, number: int) -> Record | None:
        """One shift, None when Planday has none of that id."""
        return await self._one("shift", endpoints.SHIFT, number)

    async def employee(self, number: int) -> Record | None:
        """One person, None when Planday does not show them."""
        return await self._one("employee", endpoints.EMPLOYEE, number)

    async def _one(self, kind: str, endpoint: Endpoint, number: int) -> Record | None:
        at = self._client.now()
        try:
            raw = await self._client.record(endpoint, number, priority=self._priority)
        except RecordGone:
            return None
        return replace(self._cut(kind, raw), at=at)

    async def _list(
        self, kind: str, endpoint: Endpoint, params: Mapping[str, str], *, fixed: Mapping[str, Any] | None = None
    ) -> Sight:
        at = self._client.now()
        listing = await self._client.rows(endpoint, params=params, priority=self._priority)
        rows = {
            str(row["id"]): replace(self._cut(kind, {**row, **(fixed or {})}), at=at)
            for row in listing.rows
            if isinstance(row.get("id"), int)
        }
        return Sight(kind=kind, rows=rows, at=at, steady=listing.steady, complete=listing.complete)

    def _cut(self, kind: str, raw: Mapping[str, Any]) -> Record:
        keep = self._keep.fields(kind, ("object",)) | self._also.get(kind, frozenset())
        if kind == "employee":
            keep |= {"isDeactivated", "dateTimeModified"}
        return read_record(kind, raw, keep=keep, links=self._links.get(kind, frozenset()))


def _lines(body: Mapping[str, Any], *, month: date) -> list[tuple[str, dict[str, Any]]]:
    """The rows of a payroll answer, each with an id; those without one of Planday's get one from what they are for."""
    common = {"currencySymbol": body.get("currencySymbol")}
    found: list[tuple[str, dict[str, Any]]] = [
        (str(row["id"]), {**row, **common, "line": "shift"})
        for row in _rows(body, "shiftsPayroll")
        if isinstance(row.get("id"), int)
    ]
    seen: dict[str, int] = {}
    for row in _rows(body, "supplementsPayroll"):
        name = _hash(row, "employeeId", "date", "start", "end", "salaryCode", "name")
        seen[name] = seen.get(name, 0) + 1
        # Two equal rows may both be real.
        found.append((f"s{name}-{seen[name]}", {**row, **common, "id": None, "line": "supplement"}))
    for row in _rows(body, "salariedPayroll"):
        name = _hash({**row, "month": f"{month:%Y-%m}"}, "employeeId", "month", "salaryCode")
        seen[name] = seen.get(name, 0) + 1
        found.append((f"m{name}-{seen[name]}", {**row, **common, "id": None, "line": "salaried"}))
    return [
        (number, {**line, "startDateTime": line.get("start"), "endDateTime": line.get("end")}) for number, line in found
    ]


def _rows(body: Mapping[str, Any], name: str) -> list[dict[str, Any]]:
    rows = body.get(name)
    return [row for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []


def _hash(row: Mapping[str, Any], *names: str) -> str:
    text = "\0".join(str(row.get(name)) for name in names)
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


def _windows(first: date, last: date) -> list[tuple[date, date]]:
    """Consecutive windows of at most 31 days, both ends included."""
    found = []
    while first <= last:
        end = min(first + _LONGEST_WINDOW - _DAY, last)
        found.append((first, end))
        first = end + _DAY
    return found


def _joined(parts: Sequence[Sight]) -> Sight:
    rows = {number: record for part in parts for number, record in part.rows.items()}
    return Sight(
        kind=parts[0].kind,
        rows=rows,
        at=min(part.at for part in parts),
        steady=all(part.steady for part in parts),
        complete=all(part.complete for part in parts),
    )


def _stamp(at: float) -> str:
    """An instant as Planday's filters take it; the fraction is dropped, so that a window never begins too late."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
