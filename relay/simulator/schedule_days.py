"""`/scheduling/v1.0/scheduleDay`: how a department's days look to managers, and which of them staff may see."""

from datetime import date, timedelta

from starlette.responses import Response

from relay.simulator.answers import PageRule, page, show
from relay.simulator.api import Endpoint, Read, names
from relay.simulator.state import Portal, Record


def schedule_days(read: Read) -> Response:
    """The days of one department; department and window are required."""
    departments = read.params.needed_ids("departmentId")
    first, last = read.params.window("from", "to")
    days = [first + timedelta(days=number) for number in range((last - first).days + 1)]
    rows = [day_record(read.portal, min(departments), day) for day in days]
    rule = PageRule(over=read.settings.scheduling_over_max)
    return page(
        rows,
        params=read.params,
        rule=rule,
        settings=read.settings,
        shown=lambda row: show(row, settings=read.settings, zone=read.portal.zone),
    )


def day_record(portal: Portal, department_id: int, day: date) -> Record:
    """A day as it was last left, or as every day begins."""
    record_id = _day_id(department_id, day.isoformat())
    return portal.schedule_days.get(record_id) or {
        "id": record_id,
        "date": day.isoformat(),
        "departmentId": department_id,
        "title": "MARKER-H-daytitle",
        "description": "MARKER-H-daydescription",
        "isVisible": True,
        "lockState": "Unlocked",
        "holiday": [],
    }


def is_visible(portal: Portal, department_id: int | None, day: str) -> bool:
    """Whether staff see the shifts of that day."""
    record = portal.schedule_days.get(_day_id(department_id or 0, day))
    return record is None or bool(record["isVisible"])


def _day_id(department_id: int, day: str) -> int:
    return department_id * 10**8 + int(day.replace("-", ""))


ENDPOINTS = [
    Endpoint(
        "/scheduling/v1.0/scheduleDay",
        schedule_days,
        "shift:read",
        names("departmentId from to limit offset"),
        limit="limit",
    ),
]
