"""Every date form of planday-api.md 9 is read, and no local hour is ever guessed."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.planday.times import instant, known_zone, local_date, local_time, plausible_span

DK, UK = "Europe/Copenhagen", "Europe/London"


@pytest.mark.parametrize(
    ("text", "zone", "local", "at", "flag"),
    [
        ("2026-10-24T20:00", DK, "2026-10-24T20:00:00", "2026-10-24T18:00:00Z", None),
        ("2026-10-24T20:00:00", DK, "2026-10-24T20:00:00", "2026-10-24T18:00:00Z", None),
        ("2026-10-24 20:00", DK, "2026-10-24T20:00:00", "2026-10-24T18:00:00Z", None),
        ("2026-10-25T03:30", DK, "2026-10-25T03:30:00", "2026-10-25T02:30:00Z", None),
        ("2026-01-05T08:00", UK, "2026-01-05T08:00:00", "2026-01-05T08:00:00Z", None),
        ("2026-10-24T20:00:00.5", DK, "2026-10-24T20:00:00.500000", "2026-10-24T18:00:00.500000Z", None),
        ("2026-10-24T20:00:00.1234567", DK, "2026-10-24T20:00:00.123456", "2026-10-24T18:00:00.123456Z", None),
        ("2026-10-24", DK, "2026-10-24T00:00:00", "2026-10-23T22:00:00Z", None),
        ("2026-10-24T18:00:00Z", DK, "2026-10-24T20:00:00", "2026-10-24T18:00:00Z", None),
        ("2026-10-24T18:00Z", DK, "2026-10-24T20:00:00", "2026-10-24T18:00:00Z", None),
        ("2026-10-24T21:00:00+03:00", DK, "2026-10-24T20:00:00", "2026-10-24T18:00:00Z", None),
        ("2026-10-24T21:00:00+0300", DK, "2026-10-24T20:00:00", "2026-10-24T18:00:00Z", None),
        # An instant in the hour that comes twice is no riddle.
        ("2026-10-25T00:30:00Z", DK, "2026-10-25T02:30:00", "2026-10-25T00:30:00Z", None),
        ("2026-10-25T02:30", DK, "2026-10-25T02:30:00", None, "ambiguous"),
        ("2026-10-25T02:00", DK, "2026-10-25T02:00:00", None, "ambiguous"),
        ("2026-10-25T03:00", DK, "2026-10-25T03:00:00", "2026-10-25T02:00:00Z", None),
        ("2027-03-28T02:30", DK, "2027-03-28T02:30:00", None, "missing"),
        ("2027-03-28T02:00", DK, "2027-03-28T02:00:00", None, "missing"),
        ("2027-03-28T03:00", DK, "2027-03-28T03:00:00", "2027-03-28T01:00:00Z", None),
        ("2026-10-25T01:30", UK, "2026-10-25T01:30:00", None, "ambiguous"),
        ("2026-10-24T20:00", None, "2026-10-24T20:00:00", None, "unknown_zone"),
        ("2026-10-24T20:00", "Romance Standard Time", "2026-10-24T20:00:00", None, "unknown_zone"),
        ("2026-10-24T20:00", "Mars/Olympus", "2026-10-24T20:00:00", None, "unknown_zone"),
        ("2026-10-24T20:00Z", "Mars/Olympus", "2026-10-24T20:00:00", "2026-10-24T20:00:00Z", "unknown_zone"),
        ("tomorrow", DK, "tomorrow", None, "unreadable"),
        ("", DK, "", None, "unreadable"),
        ("2026-13-01T08:00", DK, "2026-13-01T08:00", None, "unreadable"),
        ("2026-10-24T24:00", DK, "2026-10-24T24:00", None, "unreadable"),
        ("2026-10-24T20:00:00+99:00", DK, "2026-10-24T20:00:00+99:00", None, "unreadable"),
        ("２０２６-10-24T20:00", DK, "２０２６-10-24T20:00", None, "unreadable"),
        ("0001-01-01T00:00+14:00", DK, "0001-01-01T00:00:00", None, "unreadable"),
        (20261024, DK, "20261024", None, "unreadable"),
    ],
)
def test_each_form_is_read_as_the_table_says(text: Any, zone: str | None, local: str, at: str, flag: str) -> None:
    """Local time with its zone, the instant where there is exactly one, and a flag where there is not."""
    assert local_time(text, zone) == {"local": local, "zone": zone, "instant": at, "flag": flag}


def test_nothing_is_nothing() -> None:
    """A punch without an end has no end, not an unreadable one."""
    assert local_time(None, DK) is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2016-01-02", datetime(2016, 1, 2, tzinfo=UTC)),
        ("2016-07-11T13:22:00Z", datetime(2016, 7, 11, 13, 22, tzinfo=UTC)),
        ("2025-07-07T15:07:56.1066449Z", datetime(2025, 7, 7, 15, 7, 56, 106644, tzinfo=UTC)),
        ("2025-07-07T15:07:56", datetime(2025, 7, 7, 15, 7, 56, tzinfo=UTC)),
        ("2025-07-07T15:07:56+02:00", datetime(2025, 7, 7, 13, 7, 56, tzinfo=UTC)),
        ("0001-01-01T00:00:00+14:00", None),
        ("soon", None),
        (None, None),
        (7, None),
    ],
)
def test_a_modification_time_is_an_instant_in_utc(text: Any, expected: datetime | None) -> None:
    """All three documented samples are read; without a zone they are UTC."""
    assert instant(text) == expected


@pytest.mark.parametrize(
    "zone", ["localtime", "posixrules", "Factory", "../etc/passwd", "/etc/localtime", "Europe", "", 3]
)
def test_no_name_reaches_the_hosts_own_zone_or_files(zone: Any) -> None:
    """Never parse with the host's zone (rule 7)."""
    assert not known_zone(zone)


def test_a_day_is_the_one_in_the_portals_zone() -> None:
    """Half past midnight in Copenhagen is still yesterday in UTC."""
    at = datetime(2026, 10, 20, 22, 30, tzinfo=UTC).timestamp()
    assert local_date(at, DK) == date(2026, 10, 21)
    assert local_date(at, None) == date(2026, 10, 20)


@pytest.mark.parametrize(
    ("start", "end", "plausible"),
    [
        ("2026-10-24T20:00", "2026-10-25T03:30", True),
        ("2026-10-24T12:00", "2026-10-25T12:00", True),  # 25 hours, across the autumn change
        ("2026-10-23T12:00", "2026-10-24T14:00", False),
        ("2026-10-24T20:00", "2026-10-24T19:00", False),
        ("2026-10-24T20:00", "2026-10-24T20:00", False),
        ("2026-10-25T02:30", "2026-10-25T01:00", True),  # the start is unresolved, so nobody can tell
        ("2026-10-24T20:00", None, True),
    ],
)
def test_an_end_lies_after_its_start_and_at_most_a_day_later(start: str, end: str | None, plausible: bool) -> None:
    """25 hours are allowed, because of the autumn change."""
    assert plausible_span(local_time(start, DK), local_time(end, DK)) is plausible


@given(
    st.datetimes(min_value=datetime.fromisoformat("1990-01-01"), max_value=datetime.fromisoformat("2037-12-31")),
    st.sampled_from([DK, UK, "America/New_York", "Australia/Lord_Howe", "Asia/Kolkata", "UTC"]),
)
def test_an_unambiguous_local_time_comes_back(wall: datetime, zone: str) -> None:
    """Local to instant to local is the same, unless the hour was flagged; then there is no instant at all."""
    made = local_time(wall.isoformat(), zone)
    assert made is not None
    if made["flag"]:
        assert made["flag"] in ("ambiguous", "missing")
        assert made["instant"] is None
    else:
        there = datetime.fromisoformat(made["instant"]).astimezone(ZoneInfo(zone))
        assert there.replace(tzinfo=None) == wall == datetime.fromisoformat(made["local"])
        assert local_time(made["instant"], zone) == made


@given(
    st.text() | st.from_regex(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:.]{0,20}(Z|[+-][0-9:]{0,6})?"), st.text() | st.none()
)
def test_no_text_raises(text: str, zone: str | None) -> None:
    """Whatever Planday sends, reading it ends in a value with a flag."""
    made = local_time(text, zone)
    assert made is not None
    assert made["flag"] in (None, "ambiguous", "missing", "unknown_zone", "unreadable")
    instant(text)
