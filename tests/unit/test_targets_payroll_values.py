"""Converters of payroll lines: exact decimals, the portal's clock, and clear refusals that repeat no value."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pydantic_core
import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.settings import MapField
from relay.targets.payroll.bodies import encode
from relay.targets.payroll.converters import Source, read, write
from relay.targets.payroll.lines import rows
from relay.targets.payroll.times import moment
from relay.targets.payroll.values import Refusal, Value, number, pack, rounded, unpack

CPH = "Europe/Copenhagen"
CENTS = st.decimals(min_value=-10_000_000, max_value=10_000_000, places=2, allow_nan=False, allow_infinity=False)


def at(local: str, instant: str | None = None, flag: str | None = None) -> dict[str, Any]:
    return {"local": local, "zone": CPH, "instant": instant, "flag": flag}


def converted(value: Any, *, end: Any = None, comma: bool = False, here: str | None = CPH, **options: Any) -> Any:
    field = MapField.model_validate({"from": "data.object.x", **options})
    return write(field, read(field, Source(value, end, here)), comma=comma)


@pytest.mark.parametrize(
    ("value", "options", "out"),
    [
        ("P-0233", {}, "P-0233"),
        (910233, {}, "910233"),
        (12.5, {}, "12.5"),
        (True, {}, "true"),
        ("p-7", {"case": "upper"}, "P-7"),
        ("P-7", {"case": "lower"}, "p-7"),
        ("233", {"width": 6, "fill": "0", "align": "right"}, "000233"),
        ("N1", {"width": 4}, "N1  "),
        ("1100", {"table": {"1100": "N100"}}, "N100"),
        (1100, {"convert": "integer", "table": {"1100": 7}}, 7),
        ("42", {"convert": "integer"}, 42),
        (42.0, {"convert": "integer"}, 42),
        (42, {"convert": "integer", "width": 5}, "00042"),
        (-42, {"convert": "integer", "width": 5}, "-0042"),
        (1487.5, {"convert": "decimal", "places": 2}, Decimal("1487.50")),
        ("1487.505", {"convert": "decimal", "places": 2}, Decimal("1487.51")),
        (2.675, {"convert": "decimal", "places": 2}, Decimal("2.68")),
        (-2.675, {"convert": "decimal", "places": 2}, Decimal("-2.68")),
        (0.125, {"convert": "decimal", "places": 2}, Decimal("0.13")),
        (-0.001, {"convert": "decimal", "places": 2}, Decimal("0.00")),
        (7.37, {"convert": "decimal", "step": "0.25"}, Decimal("7.25")),
        (7.375, {"convert": "decimal", "step": "0.25", "places": 2}, Decimal("7.50")),
        (1487.5, {"convert": "decimal", "places": 2, "comma": True}, "1487,50"),
        (1487.5, {"convert": "decimal", "places": 2, "as_text": True}, "1487.50"),
        (-35, {"convert": "decimal", "places": 2, "sign": "flip"}, Decimal("35.00")),
        (0, {"convert": "decimal", "places": 2, "sign": "flip"}, Decimal("0.00")),
        (-35, {"convert": "decimal", "sign": "absolute"}, Decimal(35)),
        ("07:30:00", {"convert": "hours"}, Decimal("7.50")),
        ("7:20", {"convert": "hours"}, Decimal("7.33")),
        ("-01:15", {"convert": "hours"}, Decimal("-1.25")),
        ("PT7H45M", {"convert": "hours"}, Decimal("7.75")),
        ("P1DT1H", {"convert": "hours"}, Decimal("25.00")),
        (7.5, {"convert": "hours", "places": 1}, Decimal("7.5")),
        ("07:20:00", {"convert": "minutes"}, 440),
        (7.508, {"convert": "minutes"}, 450),
        ("07:22", {"convert": "minutes", "step": "15"}, 435),
        ("2026-10-24", {"convert": "date"}, "2026-10-24"),
        ("2026-10-24T23:30:00Z", {"convert": "date", "format": "%d-%m-%Y"}, "25-10-2026"),
        ("2026-10-24T23:30:00Z", {"convert": "date", "zone": "utc"}, "2026-10-24"),
        (at("2026-10-24T20:00", "2026-10-24T18:00:00Z"), {"convert": "time"}, "20:00"),
        (at("2026-10-24T20:00", "2026-10-24T18:00:00Z"), {"convert": "time", "zone": "utc"}, "18:00"),
        (
            at("2026-10-24T20:00", "2026-10-24T18:00:00Z"),
            {"convert": "datetime", "format": "%Y-%m-%dT%H:%M:%S%z"},
            "2026-10-24T20:00:00+0200",
        ),
        (at("2026-10-25T02:30", flag="ambiguous"), {"convert": "date"}, "2026-10-25"),
        (True, {"convert": "boolean"}, True),
        (False, {"convert": "boolean", "table": {"true": "J", "false": "N"}}, "N"),
    ],
)
def test_what_a_value_becomes(value: Any, options: dict[str, Any], out: Any) -> None:
    """Each converter, each option; a decimal keeps the places that were asked for."""
    found = converted(value, **options)
    assert (found, str(found)) == (out, str(out))


@pytest.mark.parametrize(
    ("value", "options", "words"),
    [
        ({"a": 1}, {}, "is not a single value"),
        ("S3CRET", {"convert": "integer"}, "is not a number"),
        (7.5, {"convert": "integer"}, "is not a whole number"),
        (True, {"convert": "decimal"}, "is true or false, not a number"),
        (float("nan"), {"convert": "decimal"}, "is not a number"),
        ("NaN", {"convert": "decimal"}, "is not a number"),
        ("1e400", {"convert": "decimal"}, "is too large a number"),
        ("S3CRET", {"table": {"1": "2"}}, "has a value that its table does not have"),
        ("S3CRET", {"longest": 3}, "has more than 3 characters"),
        ("S3CRET", {"convert": "hours"}, "is no length of time"),
        ("PT", {"convert": "hours"}, "is no length of time"),
        ("S3CRET", {"convert": "date"}, "is not a date or time"),
        (at("2026-10-25T02:30", flag="ambiguous"), {"convert": "time", "zone": "utc"}, "comes twice"),
        (at("x", flag="unreadable"), {"convert": "date"}, "could not be read"),
        ("S3CRET", {"convert": "boolean"}, "is neither true nor false"),
    ],
)
def test_what_is_refused(value: Any, options: dict[str, Any], words: str) -> None:
    """With the reason, and never with the value."""
    with pytest.raises(Refusal, match=words) as caught:
        converted(value, **options)
    assert "S3CRET" not in str(caught.value)


def test_an_instant_without_a_known_zone_is_refused() -> None:
    """A day is a day somewhere: the portal's zone is never guessed."""
    with pytest.raises(Refusal, match="time zone"):
        converted("2026-10-24T23:30:00Z", convert="date", here=None)
    assert converted("2026-10-24T23:30:00", convert="date", here=None) == "2026-10-24"


@pytest.mark.parametrize(
    ("start", "end", "hours"),
    [
        ("2026-10-24T22:00", "2026-10-25T06:00", "9.00"),  # the clock is set back: one hour more
        ("2026-03-28T22:00", "2026-03-29T06:00", "7.00"),  # and forward: one less
        ("2026-10-25T00:00", "2026-10-26T00:00", "25.00"),
        ("2026-03-29T00:00", "2026-03-30T00:00", "23.00"),
        ("2026-06-01T22:00", "2026-06-02T06:00", "8.00"),
        ("2026-06-01T22:00Z", "2026-06-02T06:00", "6.00"),
    ],
)
def test_a_night_has_the_hours_that_it_has(start: str, end: str, hours: str) -> None:
    """From start to end in real hours, in the zone of the portal."""
    assert str(converted(start, end=end, convert="hours", to="data.object.end")) == hours


@pytest.mark.parametrize(
    ("start", "end", "words"),
    [
        ("2026-10-25T02:30", "2026-10-25T06:00", "comes twice"),
        ("2026-03-29T02:30", "2026-03-29T06:00", "left out"),
        ("2026-06-01T08:00", "2026-06-01T07:00", "ends before it starts"),
    ],
)
def test_hours_are_never_guessed(start: str, end: str, words: str) -> None:
    """An hour that comes twice or not at all has no certain length."""
    with pytest.raises(Refusal, match=words):
        converted(start, end=end, convert="hours", to="data.object.end")


@given(
    st.datetimes(min_value=datetime(2024, 1, 1), max_value=datetime(2030, 1, 1)),  # noqa: DTZ001
    st.integers(min_value=0, max_value=24 * 60),
)
def test_hours_are_those_of_the_instants(start: datetime, minutes: int) -> None:
    """Whatever the clock does in between: every certain span is as long as it is in UTC."""
    zone = ZoneInfo(CPH)
    begins = start.replace(second=0, microsecond=0, tzinfo=UTC)
    ends = begins + timedelta(minutes=minutes)
    texts = [one.astimezone(zone).replace(tzinfo=None).isoformat() for one in (begins, ends)]
    twice = {text for text in texts if moment(text, zone=CPH).instant is None}
    if twice:
        with pytest.raises(Refusal, match="comes twice"):
            converted(texts[0], end=texts[1], convert="minutes", to="data.object.end")
    else:
        assert converted(texts[0], end=texts[1], convert="minutes", to="data.object.end") == minutes


@given(st.decimals(min_value=-(10**12), max_value=10**12, places=3, allow_nan=False, allow_infinity=False))
def test_a_number_of_planday_comes_through_exactly(value: Decimal) -> None:
    """From Planday's JSON through the stored envelope to the body: not a digit is another one."""
    kept = pydantic_core.from_json(pydantic_core.to_json(pydantic_core.from_json(f'{{"salary":{value:f}}}')))
    found = number(kept["salary"])
    assert found == value
    assert json.loads(encode({"x": rounded(found, places=3)}), parse_float=Decimal)["x"] == value


@given(st.lists(CENTS, min_size=1, max_size=12))
def test_differences_add_up_to_the_last_amount(history: list[Decimal]) -> None:
    """A line through any history: what was sent adds up to what Planday has, to the cent."""
    total, was = Decimal(0), None
    for sent, amount in enumerate(history):
        wanted: dict[str, Value] = {"amount": amount, "code": "1100"}
        for row in rows(wanted, was, key="k", sent=sent, amounts=("amount",), differences=True):
            total += Decimal(str(row.values["amount"]))
        was = unpack(pack(wanted))
    assert total == history[-1]
    (back,) = rows(None, was, key="k", sent=len(history), amounts=("amount",), differences=True)
    assert total + Decimal(str(back.values["amount"])) == 0


@given(st.lists(st.tuples(CENTS, st.sampled_from(["1100", "1200"])), min_size=1, max_size=10))
def test_differences_add_up_per_code(history: list[tuple[Decimal, str]]) -> None:
    """A line that moves to another code takes back what it had under the old one; no two rows have one key."""
    totals: dict[str, Decimal] = {}
    keys: list[str] = []
    was = None
    for sent, (amount, code) in enumerate(history):
        wanted: dict[str, Value] = {"amount": amount, "code": code}
        for row in rows(wanted, was, key="k", sent=sent, amounts=("amount",), differences=True):
            keys.append(row.key)
            totals[str(row.values["code"])] = totals.get(str(row.values["code"]), Decimal(0)) + Decimal(
                str(row.values["amount"])
            )
        was = unpack(pack(wanted))
    amount, code = history[-1]
    assert {name: total for name, total in totals.items() if total} == ({code: amount} if amount else {})
    assert len(keys) == len(set(keys))


def test_the_same_content_is_the_same_text() -> None:
    """Whatever the order of fields and the zeros at the end; text and number are not the same."""
    assert pack({"a": Decimal("7.50"), "b": "x"}) == pack({"b": "x", "a": Decimal("7.5")})
    assert pack({"a": Decimal(7)}) != pack({"a": "7"})
    assert pack({"a": True}) != pack({"a": 1})
    assert unpack(pack({"a": Decimal("-7.50"), "b": "x", "c": True, "d": 3})) == {
        "a": Decimal("-7.5"),
        "b": "x",
        "c": True,
        "d": 3,
    }


def test_a_whole_line_keeps_its_key() -> None:
    """Without differences: the line again, marked; taken back: its amounts at zero."""
    old: dict[str, Value] = {"amount": Decimal("10.00"), "code": "A"}
    new: dict[str, Value] = {"amount": Decimal("12.00"), "code": "B"}
    (first,) = rows(old, None, key="k", sent=0, amounts=("amount",), differences=False)
    (second,) = rows(new, old, key="k", sent=1, amounts=("amount",), differences=False)
    (third,) = rows(None, new, key="k", sent=2, amounts=("amount",), differences=False)
    assert [(row.key, row.kind, row.correction_of, row.deleted) for row in (first, second, third)] == [
        ("k", "new", None, False),
        ("k", "correction", "k", False),
        ("k", "reversal", "k", True),
    ]
    assert third.values == {"amount": 0, "code": "B"}
