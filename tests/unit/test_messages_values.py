"""messages: the values that templates get: times as people read them, clean lines, plain data."""

from __future__ import annotations

from typing import Any

import pytest

from relay.messages import times
from relay.messages.facts import clean, plain


def at(local: str, *, flag: str | None = None, instant: str | None = None) -> dict[str, Any]:
    return {"local": local, "zone": "Europe/Copenhagen", "instant": instant, "flag": flag}


SPANS = [
    (at("2026-10-24T09:00"), at("2026-10-24T17:00"), "Sat 24 Oct 2026, 09:00–17:00"),
    (at("2026-10-24T20:00"), at("2026-10-25T03:30:00"), "Sat 24 Oct 2026, 20:00–03:30 (next day)"),
    (at("2026-12-31T20:00"), at("2027-01-01T03:30"), "Thu 31 Dec 2026, 20:00–03:30 (next day)"),
    (at("2026-10-24T20:00"), at("2026-10-26T03:30"), "Sat 24 Oct 2026, 20:00 – Mon 26 Oct 2026, 03:30"),
    (at("2026-10-24T20:00"), None, "Sat 24 Oct 2026, from 20:00"),
    (None, at("2026-10-24T20:00"), "until Sat 24 Oct 2026, 20:00"),
    (None, None, ""),
    (at("garbage"), {"local": 7}, ""),
    ("2026-10-24T20:00", "2026-10-24T22:00:00.1234567", "Sat 24 Oct 2026, 20:00–22:00"),
    (
        at("2026-10-24T20:00"),
        at("2026-10-25T02:30", flag="ambiguous"),
        f"Sat 24 Oct 2026, 20:00–02:30 (next day) {times.UNCLEAR}",
    ),
    (
        at("2026-10-24T20:00", flag="unknown_zone"),
        at("2026-10-24T22:00"),
        "Sat 24 Oct 2026, 20:00–22:00 (time zone not known)",
    ),
    (at("24/10 8pm", flag="unreadable"), None, "time not readable (check in Planday)"),
    (at("2026-03-29T02:30", flag="missing"), None, f"Sun 29 Mar 2026, from 02:30 {times.UNCLEAR}"),
]


@pytest.mark.parametrize(("start", "end", "expected"), SPANS)
def test_spans(start: Any, end: Any, expected: str) -> None:
    """Local wall clock with weekday; a time that the clock change makes unclear says so."""
    assert times.span(start, end) == expected


LENGTHS = [
    ("2026-10-24T18:00:00Z", "2026-10-25T02:30:00Z", "8 h 30 min"),
    ("2026-10-24T18:00:00Z", "2026-10-24T20:00:00Z", "2 h"),
    ("2026-10-24T18:00:00Z", "2026-10-24T18:05:00Z", "5 min"),
    ("2026-10-24T18:00:00Z", "2026-10-24T18:00:00Z", ""),
    ("2026-10-24T18:00:00Z", "2026-10-24T17:00:00Z", ""),
    ("2026-10-24T18:00:00", "2026-10-24T20:00:00Z", ""),
    (None, "2026-10-24T20:00:00Z", ""),
]


@pytest.mark.parametrize(("start", "end", "expected"), LENGTHS)
def test_lengths(start: str | None, end: str | None, expected: str) -> None:
    """By the instants, so that a clock change counts; nothing if one is not known."""
    first, last = at("2026-10-24T20:00", instant=start), at("2026-10-25T03:30", instant=end)
    assert times.length(first, last) == expected


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ("Søren\n\tÆbleskov  ", "Søren Æbleskov"),
        ("a\x00b\x1b[31m", "a b [31m"),
        ("\u202eevil\u2066\u200b\ufeff", "evil"),
        ("\ud800x", "x"),
        ("x" * 300, "x" * 199 + "…"),
        ("👩\u200d🍳", "👩\u200d🍳"),
        (7, "7"),
        pytest.param(10**5000, "", id="endless"),
        (True, ""),
        (None, ""),
        (["a"], ""),
    ],
)
def test_values_are_one_clean_line(raw: Any, expected: str) -> None:
    """No control characters, nothing that turns the reading direction, bounded; emoji stay whole."""
    assert clean(raw) == expected


def test_templates_get_plain_data_only() -> None:
    """minijinja calls methods of what it is given, so objects never reach it."""

    class Odd:
        def danger(self) -> str:
            raise AssertionError

    assert plain({"a": (1, Odd(), {2: "x"}), "b": 10**30, "c": None}) == {
        "a": [1, "", {"2": "x"}],
        "b": "",
        "c": None,
    }
    deep: Any = "end"
    for _ in range(100):
        deep = [deep]
    assert "end" not in str(plain(deep))
