"""`/absence/v1.0`: absence requests and the accounts that say, in two hops, what kind of leave they are."""

from collections.abc import Iterable
from datetime import date

from starlette.responses import Response

from relay.simulator.answers import BadParameterError, PageRule, Params, page, show
from relay.simulator.api import Endpoint, Read, names
from relay.simulator.state import Record


def requests(read: Read) -> Response:
    """Requests whose period touches the window; nothing tells when they were made or changed."""
    rows = [
        row for _, row in sorted(read.portal.absence_requests.items()) if _touches(read.params, row["absencePeriod"])
    ]
    wanted = read.params.texts("status")
    if wanted:
        rows = [row for row in rows if row["status"] in wanted]
    return _page(read, _of_employee(read, rows))


def accounts(read: Read) -> Response:
    """Absence accounts, one per person and holiday year."""
    rows = [row for _, row in sorted(read.portal.accounts.items()) if _touches(read.params, row["validityPeriod"])]
    status = read.params.text("status")
    if status is not None:
        rows = [row for row in rows if row["status"] == status]
    return _page(read, _of_employee(read, rows))


def account_types(read: Read) -> Response:
    """The kinds of leave."""
    return _page(read, read.portal.account_types.values())


def _of_employee(read: Read, rows: list[Record]) -> list[Record]:
    wanted = read.params.ids("employeeId")
    return rows if wanted is None else [row for row in rows if row["employeeId"] in wanted]


def _touches(params: Params, period: Record) -> bool:
    first, last = params.day("startDate"), params.day("endDate")
    if first and last and first > last:
        raise BadParameterError("startDate", "The start date must not be after the end date.")
    starts, ends = date.fromisoformat(period["start"]), date.fromisoformat(period["end"])
    return (first is None or ends >= first) and (last is None or starts <= last)


def _page(read: Read, rows: Iterable[Record]) -> Response:
    shown = [show(row, settings=read.settings, zone=read.portal.zone) for row in rows]
    rule = PageRule(over=read.settings.absence_over_max, limit_name="Limit", offset_name="Offset")
    return page(shown, params=read.params, rule=rule, settings=read.settings)


_LISTED = "employeeId startDate endDate status Limit Offset"

ENDPOINTS = [
    Endpoint(
        "/absence/v1.0/absencerequests",
        requests,
        "absence:read",
        names(_LISTED),
        limit="Limit",
        repeatable=names("status"),
    ),
    Endpoint("/absence/v1.0/accounts", accounts, "absence:read", names(_LISTED), limit="Limit"),
    Endpoint("/absence/v1.0/accounttypes", account_types, "absence:read", names("Limit Offset"), limit="Limit"),
]
