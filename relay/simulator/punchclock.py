"""`/punchclock/v1.0`: punches by window or by shift, and their breaks; no read by id is documented."""

from datetime import datetime, timedelta

from starlette.responses import JSONResponse, Response

from relay.simulator.answers import BadParameterError, PageRule, not_found, page, show
from relay.simulator.api import Endpoint, Read, names
from relay.simulator.state import Record


def punches(read: Read) -> Response:
    """Punches that started inside a window of at most 31 days."""
    start, end = _window(read)
    rows = [
        row
        for _, row in sorted(read.portal.punches.items())
        if start <= datetime.fromisoformat(row["startDateTime"]) <= end
    ]
    for name in ("employeeId", "shiftId"):
        wanted = read.params.ids(name)
        if wanted is not None:
            rows = [row for row in rows if row[name] in wanted]
    shown = [_shown(read, row) for row in rows]
    everything = read.settings.punchclock_default == "all" and read.params.integer("limit", default=0) == 0
    rule = PageRule(default=0, maximum=read.settings.punchclock_max, over="clamp")
    if everything:
        paging = {"offset": 0, "limit": 0, "total": len(shown)}
        return JSONResponse({"paging": paging, "data": shown})
    return page(shown, params=read.params, rule=rule, settings=read.settings)


def punches_of_shift(read: Read) -> Response:
    """The punches of one shift, however old; 404 if there are none."""
    rows = [row for row in read.portal.punches.values() if row["shiftId"] == read.ids["shiftId"]]
    if not rows:
        return not_found("A punch clock shift for that shift")
    return _counted([_shown(read, row) for row in rows])


def breaks(read: Read) -> Response:
    """The breaks of one punch; its paging is only a total."""
    punch_id = read.ids["punchClockShiftId"]
    if punch_id not in read.portal.punches:
        return not_found("The punch clock shift")
    return _counted([_shown(read, row) for row in read.portal.punch_breaks.get(punch_id, [])])


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
    Endpoint("/punchclock/v1.0/punchclockshifts/byShift/{shiftId}", punches_of_shift, "punchclockshift:read"),
    Endpoint("/punchclock/v1.0/punchclockshifts/{punchClockShiftId}/breaks", breaks, "punchclockshift:read"),
]
