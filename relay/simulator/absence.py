"""`/absence/v1.0`: absence requests, records, and the accounts that say in two hops what kind of leave they are."""

from collections.abc import Iterable
from datetime import date

from starlette.responses import JSONResponse, Response

from relay.simulator.answers import BadParameterError, PageRule, Params, not_found, page, show, single
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


def records(read: Read) -> Response:
    """Decided absence; like requests, found only by its period."""
    rows = [
        row for _, row in sorted(read.portal.absence_records.items()) if _touches(read.params, row["absencePeriod"])
    ]
    wanted = read.params.texts("statuses")
    if wanted:
        rows = [row for row in rows if row["status"] in wanted]
    return _page(read, _of_employee(read, rows))


def record(read: Read) -> Response:
    """One piece of decided absence."""
    found = read.portal.absence_records.get(read.ids["absenceRecordId"])
    return single(_shown(read, found)) if found else not_found("The absence record")


def balance(read: Read) -> Response:
    """What is left on an account on a day, by default the last of the year: 25 days less what was approved."""
    account = read.portal.accounts.get(read.ids["accountId"])
    if account is None:
        return not_found("The account")
    day = read.params.day("balanceDate") or date(read.clock.now().year, 12, 31)
    taken = sum(-row["costs"][0]["value"] for row in _transactions(read) if row["date"] <= day.isoformat())
    return single({"balance": [{"value": round(25 * 7.4 - taken, 2), "unit": {"type": "Hours"}}]})


def transactions(read: Read) -> Response:
    """What was taken from an account or is booked."""
    known = read.ids["accountId"] in read.portal.accounts
    return JSONResponse({"data": _transactions(read)}) if known else not_found("The account")


def _transactions(read: Read) -> list[Record]:
    return [
        {
            "type": "Entry",
            "date": day["date"],
            "costs": [{"value": -cost["value"], "unit": cost["unit"]} for cost in day["account"]["costs"]],
        }
        for row in read.portal.absence_records.values()
        for day in row["registrations"]
        if day["account"]["id"] == read.ids["accountId"] and row["status"] == "Approved"
    ]


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
    rule = PageRule(over=read.settings.absence_over_max, limit_name="Limit", offset_name="Offset")
    return page(rows, params=read.params, rule=rule, settings=read.settings, shown=lambda row: _shown(read, row))


def _shown(read: Read, row: Record) -> Record:
    return show(row, settings=read.settings, zone=read.portal.zone)


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
    Endpoint(
        "/absence/v1.0/absencerecords",
        records,
        "absence:read",
        names("employeeId startDate endDate statuses Limit Offset"),
        limit="Limit",
        repeatable=names("statuses"),
    ),
    Endpoint("/absence/v1.0/absencerecords/{absenceRecordId}", record, "absence:read"),
    Endpoint("/absence/v1.0/accounts/{accountId}/balance", balance, "absence:read", names("balanceDate")),
    Endpoint("/absence/v1.0/accounts/{accountId}/transactions", transactions, "absence:read"),
    Endpoint("/absence/v1.0/accounts", accounts, "absence:read", names(_LISTED), limit="Limit"),
    Endpoint("/absence/v1.0/accounttypes", account_types, "absence:read", names("Limit Offset"), limit="Limit"),
]
