"""`/punchclock/v1.0`: punches by window or by shift, and their breaks; no read by id is documented."""

from datetime import datetime, timedelta

from starlette.responses import JSONResponse, Response

from relay.simulator.answers import BadParameterError, PageRule, not_found, page, show
from relay.simulator.api import Endpoint, Read, names
from relay.simulator.state import Record, Table
from relay.simulator.times import wall_clock


def punches(read: Read) -> Response:
    """Punches inside a window of at most 31 days; whether it tests their start or any moment is a guess."""
    start, end = _window(read)
    rows = [row for _, row in sorted(_known(read).items()) if _inside(read, row, start=start, end=end)]
    for name in ("employeeId", "shiftId"):
        wanted = read.params.ids(name)
        if wanted is not None:
            rows = [row for row in rows if row[name] in wanted]
    if read.settings.punchclock_default == "all" and read.params.integer("limit", default=0) == 0:
        paging = {"offset": 0, "limit": 0, "total": len(rows)}
        return JSONResponse({"paging": paging, "data": [_shown(read, row) for row in rows]})
    rule = PageRule(default=0, maximum=read.settings.punchclock_max, over=read.settings.punchclock_over_max)
    return page(rows, params=read.params, rule=rule, settings=read.settings, shown=lambda row: _shown(read, row))


def punches_of_shift(read: Read) -> Response:
    """The punches of one shift, however old; 404 if there are none."""
    rows = [row for row in _known(read).values() if row["shiftId"] == read.ids["shiftId"]]
    if not rows:
        return not_found("A punch clock shift for that shift")
    return _counted([_shown(read, row) for row in rows])


def breaks(read: Read) -> Response:
    """The breaks of one punch; its paging is only a total."""
    punch_id = read.ids["punchClockShiftId"]
    if punch_id not in _known(read):
        return not_found("The punch clock shift")
    return _counted([_shown(read, row) for row in read.portal.punch_breaks.get(punch_id, [])])


def shifts_of_today(read: Read) -> Response:
    """One person's planned shifts of today, in their own short form."""
    wanted = read.params.needed_ids("employeeId")
    today = wall_clock(read.clock.now(), read.portal.zone)[:10]
    fields = ("id", "departmentId", "employeeId", "employeeGroupId", "date", "startDateTime", "endDateTime")
    return _counted(
        [
            _shown(read, {name: row[name] for name in fields} | {"description": row["comment"]})
            for row in read.portal.shifts.values()
            if row["date"] == today and row["employeeId"] in wanted and row["status"] != "Draft"
        ]
    )


def _known(read: Read) -> Table:
    """The punches as they show by now: what the clock in the hall sends may take a while."""
    if not read.portal.late_punches:
        return read.portal.punches
    now, known = read.clock.now(), dict(read.portal.punches)
    for punch_id, versions in list(read.portal.late_punches.items()):
        waiting = [(until, record) for until, record in versions if until > now]
        if not waiting:
            del read.portal.late_punches[punch_id]
        elif waiting[0][1] is None:
            known.pop(punch_id, None)
        else:
            known[punch_id] = waiting[0][1]
    return known


def _inside(read: Read, row: Record, *, start: datetime, end: datetime) -> bool:
    begins = datetime.fromisoformat(row["startDateTime"])
    if begins > end or (begins == end and read.settings.punch_window_end == "exclusive"):
        return False
    if read.settings.punch_window == "start":
        return begins >= start
    return row["endDateTime"] is None or datetime.fromisoformat(row["endDateTime"]) >= start


def _window(read: Read) -> tuple[datetime, datetime]:
    start, end = read.params.wall_clock("from"), read.params.wall_clock("to")
    if start is None or end is None:
        raise BadParameterError("from" if start is None else "to", "The field is required.")
    if start >= end:
        raise BadParameterError("from", "The window is empty.")
    if end - start > timedelta(days=31):
        raise BadParameterError("to", "The window must not be longer than 31 days.")
    return start, end


def _shown(read: Read, row: Record) -> Record:
    return show(row, settings=read.settings, zone=read.portal.zone)


def _counted(rows: list[Record]) -> Response:
    return JSONResponse({"paging": {"total": len(rows)}, "data": rows})


ENDPOINTS = [
    Endpoint(
        "/punchclock/v1.0/punchclockshifts",
        punches,
        "punchclockshift:read",
        names("from to employeeId shiftId limit offset"),
        limit="limit",
    ),
    Endpoint("/punchclock/v1.0/employeeshifts/today", shifts_of_today, "shift:read", names("employeeId")),
    Endpoint("/punchclock/v1.0/punchclockshifts/byShift/{shiftId}", punches_of_shift, "punchclockshift:read"),
    Endpoint("/punchclock/v1.0/punchclockshifts/{punchClockShiftId}/breaks", breaks, "punchclockshift:read"),
]
