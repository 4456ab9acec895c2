"""`/scheduling/v1.0`: shifts, deleted shifts, positions and shift types."""

from collections.abc import Iterable
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

from starlette.responses import Response

from relay.simulator.answers import BadParameterError, PageRule, not_found, page, show, single
from relay.simulator.api import Endpoint, Read, names
from relay.simulator.schedule_days import is_visible
from relay.simulator.state import Record
from relay.simulator.times import parse_instant

STATUSES = [
    "Open",
    "Assigned",
    "Approved",
    "ForSale",
    "Draft",
    "OnDuty",
    "PendingSwapAcceptance",
    "PendingApproval",
    "PunchclockStarted",
    "PunchclockFinished",
    "PunchclockApproved",
]
# The filter takes only the first eight.
_FILTERED = STATUSES[:8]
_ID_FILTERS = ("departmentId", "employeeGroupId", "shiftTypeId", "positionId", "employeeId")


def shifts(read: Read) -> Response:
    """Shifts that are not deleted."""
    rows = _filtered(read, read.portal.shifts.values(), default_days=read.settings.shifts_default_days)
    if read.settings.hidden_days_hide_shifts:
        rows = [row for row in rows if is_visible(read.portal, row["departmentId"], row["date"])]
    if not read.settings.drafts_listed and read.params.text("shiftStatus") is None:
        rows = [row for row in rows if row["status"] != "Draft"]
    rule = PageRule(maximum=5000, minimum=1, over=read.settings.scheduling_over_max)
    return page(rows, params=read.params, rule=rule, settings=read.settings, shown=lambda row: _shown(read, row))


def shift(read: Read) -> Response:
    """One shift; a deleted one is gone."""
    record = read.portal.shifts.get(read.ids["shiftId"])
    return single(_shown(read, record)) if record else not_found("The shift")


def deleted_shifts(read: Read) -> Response:
    """Deleted shifts, found by when they were deleted."""
    start, end = read.params.instant("deletedFrom"), read.params.instant("deletedTo")
    if read.settings.deleted_retention_days is not None:
        oldest = read.clock.now() - timedelta(days=read.settings.deleted_retention_days)
        start = oldest if start is None else max(start, oldest)
    strict = read.settings.deleted_from == "strict"
    rows = _filtered(read, read.portal.deleted_shifts.values())
    rows = _between(rows, "dateTimeDeleted", start=start, end=end, strict=strict)

    def shown(row: Record) -> Record:
        without = ("punchClockShiftId", "skillIds")
        return show(row, settings=read.settings, zone=read.portal.zone, without=without)

    rule = PageRule(maximum=1000, minimum=1, over=read.settings.scheduling_over_max)
    return page(rows, params=read.params, rule=rule, settings=read.settings, shown=shown)


def shift_statuses(read: Read) -> Response:
    """The numeric ids of every status."""
    rows: list[Record] = [{"id": number, "name": name} for number, name in enumerate(STATUSES, start=1)]
    return page(rows, params=read.params, rule=PageRule(), settings=read.settings)


def positions(read: Read) -> Response:
    """All positions."""
    return _active_page(read, read.portal.positions.values())


def position(read: Read) -> Response:
    """One position."""
    record = read.portal.positions.get(read.ids["positionId"])
    return single(_dense(read, record)) if record else not_found("The position")


def shift_types(read: Read) -> Response:
    """All shift types; there is no read of a single one."""
    return _active_page(read, read.portal.shift_types.values())


def _active_page(read: Read, rows: Iterable[Record]) -> Response:
    wanted = read.params.flag("isActive")
    rows = [row for row in rows if wanted is None or row["isActive"] == wanted]
    rule = PageRule(over=read.settings.scheduling_over_max)
    return page(rows, params=read.params, rule=rule, settings=read.settings, shown=lambda row: _dense(read, row))


def _dense(read: Read, row: Record) -> Record:
    return show(row, settings=read.settings, zone=read.portal.zone)


def _shown(read: Read, row: Record) -> Record:
    return show(row, settings=read.settings, zone=read.portal.zone, sparse=True)


def _filtered(read: Read, candidates: Iterable[Record], *, default_days: int | None = None) -> list[Record]:
    rows = sorted(candidates, key=lambda row: int(row["id"]))
    for name in _ID_FILTERS:
        wanted = read.params.ids(name)
        if wanted is not None:
            rows = [row for row in rows if row[name] in wanted]
    status = read.params.text("shiftStatus")
    if status is not None:
        if status not in _FILTERED:
            raise BadParameterError("shiftStatus", f"The value '{status}' is not valid.")
        rows = [row for row in rows if row["status"] == status]
    first, last = read.params.day("from"), read.params.day("to")
    if first and last and first > last:
        raise BadParameterError("from", "The from date must not be after the to date.")
    longest = read.settings.shifts_max_days
    if longest is not None and first and last and (last - first).days >= longest:
        raise BadParameterError("to", f"The window must not be longer than {longest} days.")
    if first is None and last is None and default_days is not None:
        today = read.clock.now().astimezone(ZoneInfo(read.portal.zone)).date()
        first, last = today - timedelta(days=default_days), today + timedelta(days=default_days)
    rows = _on_days(rows, first=first, last=last)
    strict = read.settings.modified_from == "strict"
    for name in ("created", "modified"):
        start, end = read.params.instant(f"{name}From"), read.params.instant(f"{name}To")
        rows = _between(rows, f"dateTime{name.title()}", start=start, end=end, strict=strict)
    return rows


def _on_days(rows: list[Record], *, first: date | None, last: date | None) -> list[Record]:
    # Dates in ISO form sort as text.
    if first is not None:
        rows = [row for row in rows if row["date"] >= first.isoformat()]
    return rows if last is None else [row for row in rows if row["date"] <= last.isoformat()]


def _between(
    rows: list[Record], name: str, *, start: datetime | None, end: datetime | None, strict: bool
) -> list[Record]:
    if start is not None:
        rows = [row for row in rows if start < (at := parse_instant(row[name])) or (at == start and not strict)]
    return rows if end is None else [row for row in rows if parse_instant(row[name]) <= end]


_LISTED = (
    "departmentId employeeGroupId shiftTypeId positionId employeeId shiftStatus from to "
    "createdFrom createdTo modifiedFrom modifiedTo limit offset"
)

ENDPOINTS = [
    Endpoint("/scheduling/v1.0/shifts", shifts, "shift:read", names(_LISTED), limit="limit"),
    Endpoint(
        "/scheduling/v1.0/shifts/deleted",
        deleted_shifts,
        "shift:read",
        names(f"{_LISTED} deletedFrom deletedTo"),
        limit="limit",
    ),
    Endpoint("/scheduling/v1.0/shifts/shiftstatus/all", shift_statuses, "shift:read"),
    Endpoint("/scheduling/v1.0/shifts/{shiftId}", shift, "shift:read"),
    Endpoint(
        "/scheduling/v1.0/positions", positions, "shiftposition:read", names("isActive limit offset"), limit="limit"
    ),
    Endpoint("/scheduling/v1.0/positions/{positionId}", position, "shiftposition:read"),
    Endpoint(
        "/scheduling/v1.0/shifttypes", shift_types, "shifttype:read", names("isActive limit offset"), limit="limit"
    ),
]
