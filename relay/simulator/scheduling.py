"""`/scheduling/v1.0`: shifts, deleted shifts, positions and shift types."""

from collections.abc import Iterable
from datetime import date, datetime

from starlette.responses import Response

from relay.simulator.answers import BadParameterError, PageRule, not_found, page, read_page, show, single
from relay.simulator.api import Endpoint, Read, names
from relay.simulator.state import Record
from relay.simulator.times import parse_instant, stamp

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
    rows = _filtered(read, read.portal.shifts.values())
    if not read.settings.drafts_listed and read.params.text("shiftStatus") is None:
        rows = [row for row in rows if row["status"] != "Draft"]
    rule = PageRule(maximum=5000, minimum=1, over=read.settings.scheduling_over_max)
    offset, limit = read_page(read.params, rule=rule, settings=read.settings)
    answer = page((_shown(read, row) for row in rows), params=read.params, rule=rule, settings=read.settings)
    if read.settings.insert_between_pages and rows and offset + limit < len(rows):
        _insert_before(read, rows[0])
    return answer


def shift(read: Read) -> Response:
    """One shift; a deleted one is gone."""
    record = read.portal.shifts.get(read.ids["shiftId"])
    return single(_shown(read, record)) if record else not_found("The shift")


def deleted_shifts(read: Read) -> Response:
    """Deleted shifts, found by when they were deleted."""
    start, end = read.params.instant("deletedFrom"), read.params.instant("deletedTo")
    rows = _filtered(read, read.portal.deleted_shifts.values())
    rows = [row for row in rows if _between(row["dateTimeDeleted"], start=start, end=end, strict=False)]
    without = ("punchClockShiftId", "skillIds")
    shown = [show(row, settings=read.settings, zone=read.portal.zone, without=without) for row in rows]
    rule = PageRule(maximum=1000, minimum=1, over=read.settings.scheduling_over_max)
    return page(shown, params=read.params, rule=rule, settings=read.settings)


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
    shown = [_dense(read, row) for row in rows if wanted is None or row["isActive"] == wanted]
    rule = PageRule(over=read.settings.scheduling_over_max)
    return page(shown, params=read.params, rule=rule, settings=read.settings)


def _dense(read: Read, row: Record) -> Record:
    return show(row, settings=read.settings, zone=read.portal.zone)


def _shown(read: Read, row: Record) -> Record:
    return show(row, settings=read.settings, zone=read.portal.zone, sparse=True)


def _filtered(read: Read, candidates: Iterable[Record]) -> list[Record]:
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
    rows = [row for row in rows if _on_days(row["date"], first=first, last=last)]
    strict = read.settings.modified_from == "strict"
    for name in ("created", "modified"):
        start, end = read.params.instant(f"{name}From"), read.params.instant(f"{name}To")
        rows = [row for row in rows if _between(row[f"dateTime{name.title()}"], start=start, end=end, strict=strict)]
    return rows


def _on_days(text: str, *, first: date | None, last: date | None) -> bool:
    day = date.fromisoformat(text)
    return (first is None or day >= first) and (last is None or day <= last)


def _between(text: str, *, start: datetime | None, end: datetime | None, strict: bool) -> bool:
    moment = parse_instant(text)
    if start is not None and (moment < start or (strict and moment == start)):
        return False
    return end is None or moment <= end


def _insert_before(read: Read, first: Record) -> None:
    # Whoever pages by offset now sees one row twice: the order of rows is promised nowhere.
    read.settings.insert_between_pages = False
    now = stamp(read.clock.now())
    inserted = {**first, "id": first["id"] - 1, "dateTimeCreated": now, "dateTimeModified": now}
    read.portal.shifts[inserted["id"]] = inserted


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
