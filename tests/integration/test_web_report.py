"""The report over the API: the documented answer, all of a list as CSV, and refusals that say what is wrong."""

from __future__ import annotations

import csv
from collections.abc import AsyncIterator

import pytest

from relay.events import DeliveryState, idempotency_key
from relay.report import ROW_COLUMNS, TALLY_COLUMNS
from tests.integration.test_web_api import Bench, shown
from tests.integration.web_world import problem, settings, web_over


@pytest.fixture
async def bench(redis_server: str, prefix: str) -> AsyncIterator[Bench]:
    async with web_over(settings(redis_server, prefix)) as web:
        yield Bench(web.app, web.services, web.client)


async def test_the_report_is_told_with_the_list_behind_a_number(bench: Bench) -> None:
    """Numbers, sentences, and as many rows as were asked for; with how many more there are."""
    events = [await bench.accepted(number) for number in range(3)]
    await bench.routed("hours")
    await bench.settled("hours", DeliveryState.DELIVERED)
    body = shown(await bench.get("/report", target="hours"), "Report")
    assert body["says"][0] == "Everything got there, once: 3 of 3."
    assert (body["complete"], body["totals"]["delivered"], "list" in body) == (True, 3, False)
    body = shown(await bench.get("/report", target="hours", list="delivered", limit=2), "Report")
    assert [row["event"] for row in body["list"]["rows"]] == events[:2]
    assert body["list"]["more"] == 1
    assert body["list"]["rows"][0]["idempotency_key"] == idempotency_key(events[0], "hours")


async def test_csv_has_days_or_all_of_a_list(bench: Bench) -> None:
    """As a file that nobody on the way keeps."""
    for number in range(3):
        await bench.accepted(number)
    await bench.routed("hours")
    await bench.settled("hours", DeliveryState.DEAD, reason="=cmd|' /C calc'!A0")
    answer = await bench.get("/report.csv", target="hours")
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["content-disposition"].startswith('attachment; filename="hours-')
    head, row = csv.reader(answer.text.splitlines())
    assert tuple(head) == TALLY_COLUMNS
    assert row[1:3] == ["planday.shift.updated", "3"]
    answer = await bench.get("/report.csv", target="hours", list="dead")
    head, *rows = csv.reader(answer.text.splitlines())
    assert tuple(head) == ROW_COLUMNS
    assert len(rows) == 3
    assert all(row[ROW_COLUMNS.index("reason")].startswith("'=cmd") for row in rows)


@pytest.mark.parametrize(
    ("query", "status", "slug"),
    [
        ({}, 400, "query"),
        ({"target": "hours", "day": "today"}, 400, "query"),
        ({"target": "nobody"}, 404, "not-found"),
        ({"target": "hours", "from": "25.11.2026"}, 409, "refused"),
        ({"target": "hours", "zone": "Mars/Olympus"}, 409, "refused"),
        ({"target": "hours", "list": "lost"}, 409, "refused"),
        ({"target": "hours", "from": "today", "to": "yesterday"}, 409, "refused"),
    ],
)
@pytest.mark.parametrize("path", ["/report", "/report.csv"])
async def test_what_makes_no_sense_is_refused(
    bench: Bench, path: str, query: dict[str, str], status: int, slug: str
) -> None:
    """Before a line of CSV is written."""
    problem(await bench.get(path, **query), status, slug)
