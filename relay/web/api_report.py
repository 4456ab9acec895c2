"""The API's report: one answer in JSON, or CSV that is written while the store is still being read."""

from __future__ import annotations

from collections.abc import AsyncIterator

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from relay.report import ROW_COLUMNS, TALLY_COLUMNS, WITHOUT, ReportRequest, Walk, csv_line, row_cells, tally_cells
from relay.store.reporting import ListedEvent
from relay.web import report_shape
from relay.web.asking import Query, json_answer, services_of
from relay.web.problems import BAD_QUERY, Problem


async def show_report(request: Request) -> Response:
    """Did everything get there, once; with `list`, what stands behind one number (`limit` rows of it)."""
    query = Query(request)
    limit = query.limit()
    walk = await _begin(request, query)
    rows: list[ListedEvent] = []
    found = 0
    async for some in walk.stretches():
        found += len(some)
        rows += some[: limit - len(rows)]
    shown = report_shape.report(walk.report(), listed=walk.wanted.listed, rows=rows, more=found - len(rows))
    return json_answer(shown)


async def show_report_csv(request: Request) -> Response:
    """The days as CSV, or with `list` every row of that list, however long it is."""
    return csv_answer(await _begin(request, Query(request)))


def csv_answer(walk: Walk) -> Response:
    """A report as a file, written while the store is still being read."""
    name = f"{walk.wanted.target}-{walk.period.first}-{walk.period.last}.csv"
    headers = {"cache-control": "no-store", "content-disposition": f'attachment; filename="{name}"'}
    return StreamingResponse(_lines(walk), media_type="text/csv; charset=utf-8", headers=headers)


async def _begin(request: Request, query: Query) -> Walk:
    target = query.text("target")
    wanted = ReportRequest(
        target=target or "",
        first=query.text("from") or "today",
        last=query.text("to") or "today",
        zone=query.text("zone"),
        type=query.text("type"),
        listed=query.text("list"),
    )
    query.done()
    if target is None:
        fault = {"parameter": "target", "detail": "is missing"}
        raise Problem(BAD_QUERY, "target is missing: a report is about one target", errors=[fault])
    return await services_of(request).reports.begin(wanted)


async def _lines(walk: Walk) -> AsyncIterator[str]:
    if walk.wanted.listed is not None:
        yield csv_line(ROW_COLUMNS)
    async for rows in walk.stretches():
        yield "".join(csv_line(row_cells(row, has_delivery=row.what not in WITHOUT)) for row in rows)
    if walk.wanted.listed is None:
        yield csv_line(TALLY_COLUMNS)
        for tally in walk.report().tallies:
            yield csv_line(tally_cells(tally))
