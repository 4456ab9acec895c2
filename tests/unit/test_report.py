"""The report's pure parts: days of a zone, the sentences, and cells that no spreadsheet takes for a formula."""

from __future__ import annotations

import csv
import itertools
from collections import Counter
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.errors import RefusedError
from relay.report import LISTS, ROW_COLUMNS, Period, Report, Tally, csv_line, day_of, row_cells, says, tally_cells
from relay.store.reporting import ListedEvent

COPENHAGEN = "Europe/Copenhagen"
NOW = datetime(2026, 11, 25, 7, 10, tzinfo=UTC).timestamp()


def report(counts: Mapping[str, int] | None = None, again: Mapping[str, int] | None = None, **changes: Any) -> Report:
    """A report about `hours` on one day, with these numbers."""
    day = date(2026, 11, 25)
    total = Tally(day, "", Counter(counts or {}), Counter(again or {}))
    facts: dict[str, Any] = {
        "target": "hours",
        "type": None,
        "period": Period(day, day, COPENHAGEN),
        "zone_from": "",
        "as_of": NOW,
        "tallies": (),
        "total": total,
        "other_types": 0,
        "first_at": dict.fromkeys(counts or {}, NOW),
        "kept_from": {},
        "configured": True,
        "paused": None,
        "breaker_since": None,
        "workers": 1,
    }
    return Report(**(facts | changes))


@pytest.mark.parametrize(("day", "hours"), [("2026-03-29", 23), ("2026-10-25", 25), ("2026-11-25", 24)])
def test_a_day_is_as_long_as_its_zone_has_it(day: str, hours: int) -> None:
    """23 and 25 hours when the clocks change, from midnight to midnight there."""
    ((found, since, until),) = Period(date.fromisoformat(day), date.fromisoformat(day), COPENHAGEN).days()
    assert found == date.fromisoformat(day)
    assert until - since == hours * 3600


@given(
    zone=st.sampled_from([COPENHAGEN, "America/St_Johns", "Asia/Beirut", "Pacific/Apia", "Australia/Lord_Howe", "UTC"]),
    first=st.dates(date(2011, 12, 1), date(2027, 12, 31)),
    length=st.integers(0, 60),
)
def test_days_follow_each_other_without_gap_or_overlap(zone: str, first: date, length: int) -> None:
    """Whatever the zone did: the end of a day is the beginning of the next."""
    days = list(Period(first, first + timedelta(days=length), zone).days())
    assert [day for day, _, _ in days] == [first + timedelta(days=number) for number in range(length + 1)]
    for (_, since, until), (_, following, _) in itertools.pairwise(days):
        assert since <= until == following


def test_today_is_that_of_the_zone() -> None:
    """An hour before midnight in UTC it is tomorrow in Copenhagen already."""
    late = datetime(2026, 11, 24, 23, 30, tzinfo=UTC).timestamp()
    assert day_of("today", COPENHAGEN, now=late) == date(2026, 11, 25)
    assert day_of("yesterday", COPENHAGEN, now=late) == date(2026, 11, 24)
    assert day_of("today", "UTC", now=late) == date(2026, 11, 24)
    assert day_of("2026-02-28", "UTC", now=late) == date(2026, 2, 28)


@pytest.mark.parametrize(
    "text", ["2026-02-30", "25.11.2026", "", "2h", "9999-01-01", "2026-11-25T08:00:00Z", "0001-01-01"]
)
def test_what_is_no_day_is_refused(text: str) -> None:
    """With the form that is wanted."""
    with pytest.raises(RefusedError, match="write it as"):
        day_of(text, "UTC", now=NOW)


@pytest.mark.parametrize("zone", ["Mars/Olympus", "", "../etc/passwd", "/etc/passwd", "Europe", "a\0b", "x" * 5000])
def test_what_is_no_zone_is_refused(zone: str) -> None:
    """Also what would be a path of this machine."""
    with pytest.raises(RefusedError, match="time zone"):
        Period(date(2026, 11, 1), date(2026, 11, 2), zone)


@pytest.mark.parametrize(("first", "last"), [("2026-11-02", "2026-11-01"), ("2024-01-01", "2026-01-01")])
def test_a_period_that_makes_no_sense_is_refused(first: str, last: str) -> None:
    """One that ends before it begins, and one of years."""
    with pytest.raises(RefusedError, match=r"2026-0?1"):
        Period(date.fromisoformat(first), date.fromisoformat(last), "UTC")


@pytest.mark.parametrize(
    ("given_", "answer"),
    [
        ({}, "Nothing was accepted for hours in this period."),
        ({"counts": {"delivered": 412}}, "Everything got there, once: 412 of 412."),
        (
            {"counts": {"delivered": 410, "superseded": 2}},
            "Everything got there, once: 410 of 412; 2 gave way to a newer state of the same record.",
        ),
        (
            {"counts": {"delivered": 411, "cancelled": 1}},
            "Everything got there, once: 411 of 412; 1 was cancelled by a person.",
        ),
        (
            {"counts": {"delivered": 412}, "again": {"unknown_retried": 2, "new_key": 1}},
            "Everything got there: 412 of 412; but 3 perhaps more than once.",
        ),
        (
            {"counts": {"delivered": 398, "waiting": 12, "dead": 2}},
            "Not everything got there: 398 of 412; 12 not yet, 2 given up.",
        ),
        ({"counts": {"parked": 1}}, "Not everything got there: 0 of 1; 1 parked."),
        (
            {"counts": {"delivered": 3, "pending": 1}},
            "What was routed to hours got there (3 of 3), but not all events are routed.",
        ),
        (
            {"counts": {"delivered": 3, "unrouted": 7, "duplicate": 1, "filtered": 2}},
            "Everything got there, once: 3 of 3.",
        ),
    ],
)
def test_the_answer_comes_first(given_: dict[str, Any], answer: str) -> None:
    """One sentence that a clerk can act on; it never says "once" where that is in doubt."""
    assert says(report(**given_))[0] == answer


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, "relay deliveries list --target hours --state waiting"),
        (
            {"paused": "401 Unauthorized"},
            "is paused (401 Unauthorized): when that is mended, `relay targets resume hours`",
        ),
        ({"breaker_since": NOW - 3600}, "has not answered well since 2026-11-25 07:10"),
        ({"workers": 0}, "No worker is running"),
        ({"configured": False}, "not in the configuration any more"),
    ],
)
def test_it_says_why_something_waits_and_what_to_do(changes: dict[str, Any], expected: str) -> None:
    """And since when, on the clock of the report's zone."""
    told = says(report({"waiting": 1}, **changes))[1]
    assert told.startswith("Waiting: 1, the oldest since 2026-11-25 08:10.")
    assert expected in told


def test_each_thing_that_is_open_has_its_remedy() -> None:
    """Dead, parked, not routed and failed ones are each told with a command."""
    told = says(report({"dead": 1, "parked": 1, "pending": 1, "failed": 1}))
    assert len(told) == 5
    for line in told[1:]:
        assert "the oldest since" in line
        assert "relay " in line


def test_it_says_when_the_period_begins_before_what_is_kept() -> None:
    """Numbers that cannot be whole are never told as if they were."""
    told = " ".join(says(report({"delivered": 1}, kept_from={"delivered": NOW, "failed": NOW, "attempts": NOW})))
    assert told.count("2026-11-25 08:10") == 3
    for setting in ("retention.delivered", "retention.failed", "retention.attempts"):
        assert setting in told


def row(**changes: Any) -> ListedEvent:
    facts: dict[str, Any] = {
        "event": "evt_1",
        "target": "hours",
        "what": "dead",
        "type": "planday.shift.approved",
        "portal": 4100001,
        "subject": "shift/1",
        "accepted_at": NOW,
        "changed_at": NOW,
        "reason": "refused",
        "attempts": 1,
        "round": 1,
        "again": "",
        "salt": "",
    }
    return ListedEvent(**(facts | changes))


def test_a_row_has_a_key_only_where_there_is_a_delivery() -> None:
    """And a new key where a person forced one."""
    columns = dict(zip(ROW_COLUMNS, row_cells(row(), has_delivery=True), strict=True))
    assert columns["idempotency_key"].startswith("rly_")
    assert row_cells(row(salt="x"), has_delivery=True)[-1] != columns["idempotency_key"]
    assert row_cells(row(what="unrouted"), has_delivery=False)[-1] is None


def test_every_number_has_its_column() -> None:
    """Days as a spreadsheet reads them, and accepted is the sum of what became of it."""
    tally = Tally(date(2026, 11, 25), "planday.shift.approved", Counter(delivered=3, dead=1, filtered=5))
    cells = tally_cells(tally)
    assert cells[:3] == ("2026-11-25", "planday.shift.approved", 4)
    assert len(cells) == 2 + len(LISTS)


@given(st.text())
def test_no_cell_is_a_formula(text: str) -> None:
    """Whatever a sender, a target or an operator wrote: it is one line, one cell, and no spreadsheet calculates it."""
    line = csv_line([text, 7])
    assert line.endswith("\r\n")
    ((cell, number),) = csv.reader([line.removesuffix("\r\n")])
    assert number == "7"
    assert not cell.lstrip(" ").startswith(("=", "+", "-", "@", "\t", "\r"))
