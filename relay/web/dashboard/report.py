"""The clerk's page: did everything get there, once, in these days; and the list behind each number."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from relay.report import LISTS, ReportRequest, says
from relay.store.reporting import ListedEvent
from relay.web.api_report import csv_answer
from relay.web.asking import services_of
from relay.web.dashboard import rendering
from relay.web.dashboard.door import PageQuery, query_of
from relay.web.dashboard.overview import all_targets

_ROWS = 200


async def show_report(request: Request) -> Response:
    """The form; with a target, the answer."""
    services = services_of(request)
    values = query_of(request)
    around: dict[str, Any] = {"targets": await all_targets(services), "values": values, "lists": LISTS}
    if not values.get("target"):
        return rendering.page(request, "report.html", report=None, rows=[], more=0, sentences=[], **around)
    walk = await services.reports.begin(_wanted(request))
    rows: list[ListedEvent] = []
    found = 0
    async for some in walk.stretches():
        found += len(some)
        rows += some[: _ROWS - len(rows)]
    report = walk.report()
    return rendering.page(
        request, "report.html", report=report, rows=rows, more=found - len(rows), sentences=says(report), **around
    )


async def show_csv(request: Request) -> Response:
    """The same as CSV, every row of the list."""
    return csv_answer(await services_of(request).reports.begin(_wanted(request)))


def _wanted(request: Request) -> ReportRequest:
    query = PageQuery(request)
    wanted = ReportRequest(
        target=query.text("target") or "",
        first=query.text("from") or "today",
        last=query.text("to") or "today",
        zone=query.text("zone"),
        type=query.text("type"),
        listed=query.text("list"),
    )
    query.done()
    return wanted
