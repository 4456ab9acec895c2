"""What a reader keeps is what may be kept, in the type it should have."""

from __future__ import annotations

import json
from typing import Any

import pydantic_core
import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.fields import KINDS, FieldList, Keep
from relay.planday.models import read_record, with_times

# `reason` and `since` are said of an authorisation by the relay, never read.
EVERYTHING = {kind: frozenset(fields) - {"reason", "since"} for kind, fields in KINDS.items()}
EMPLOYEE: dict[str, Any] = {
    "id": 910233,
    "firstName": "Ida",
    "email": "",
    "departments": [4101],
    "primaryDepartmentId": 4101,
    "salaryIdentifier": "P-0233",
    "workHours": 120.5,
    "cellPhone": "00000001",
    "ssn": "MARKER-F-ssn",
    "birthDate": "1901-02-03",
    "gender": "Female",
    "bankAccount": {"accountNumber": "MARKER-F"},
    "custom_1001": {"value": "MARKER-F"},
    "deactivationReason": "MARKER-F",
    "terminationTypeName": "MARKER-F",
    "futureField": {"note": "MARKER-X"},
    "isDeactivated": False,
}


def test_only_what_is_allowed_stays() -> None:
    """With the classes A and B no name, no pay and nothing private is kept, and class F never is."""
    keep = Keep([FieldList(["class:A", "class:B"])]).fields("employee", ("object",))
    record = read_record("employee", EMPLOYEE, keep=keep)
    assert set(record.fields) == keep
    assert record.fields["departments"] == [4101]
    assert "firstName" not in record.fields
    assert "salaryIdentifier" not in record.fields


def test_class_f_and_unknown_fields_stay_away_even_from_those_who_may_have_all() -> None:
    """A field that stands in no table is dropped, whatever `keep` says."""
    keep = EVERYTHING["employee"] | {"ssn", "futureField", "custom_1001"}
    text = json.dumps(read_record("employee", EMPLOYEE, keep=keep).fields)
    assert "MARKER" not in text
    assert "Female" not in text
    assert "P-0233" in text


def test_missing_and_null_are_the_same() -> None:
    """A kept field is always there; phones stay as they are given."""
    with_null = read_record("employee", {**EMPLOYEE, "lastName": None, "phone": None}, keep=EVERYTHING["employee"])
    without = read_record("employee", EMPLOYEE, keep=EVERYTHING["employee"])
    assert with_null.fields == without.fields
    assert without.fields["lastName"] is None
    assert without.fields["email"] == ""
    assert without.fields["cellPhone"] == "00000001"
    assert without.odd == ()


def test_ids_are_exact_and_enums_are_open() -> None:
    """An id beyond 2^53 survives reading and writing; a status from no spec passes."""
    raw = pydantic_core.from_json(b'{"id": 9007199254740993, "status": "Invented"}')
    fields = read_record("shift", raw, keep=EVERYTHING["shift"]).fields
    assert b"9007199254740993" in pydantic_core.to_json(fields)
    assert fields["status"] == "Invented"


@pytest.mark.parametrize(
    ("kind", "name", "value"),
    [
        ("shift", "employeeId", "910233"),
        ("shift", "employeeId", 910233.0),
        ("shift", "employeeId", True),
        ("shift", "status", 4),
        ("shift", "skillIds", "31"),
        ("shift", "skillIds", [31, None]),
        ("employee", "isDeactivated", "no"),
        ("employee", "workHours", "120"),
        ("employee", "firstName", {"da": "Ida"}),
        ("absence_request", "absencePeriod", "2026-12-21"),
        ("absence_request", "absencePeriod", {"start": 20261221}),
        ("absence_request", "requestedAccounts", {"id": 1}),
        ("absence_request", "requestedAccounts", [{"id": "x"}]),
        ("absence_request", "requestedAccounts", [{"cost": 3}]),
        ("absence_record", "registrations", {"date": "2026-11-02"}),
        ("absence_record", "registrations", [{"account": "MARKER-G"}]),
        ("payroll_line", "salary", "1487.50"),
        ("payroll_line", "breaks", [3]),
        ("payroll_line", "supplements", "none"),
    ],
)
def test_an_odd_type_becomes_none_and_is_named(kind: str, name: str, value: Any) -> None:
    """One unreadable field does not take the record with it, and its value is repeated nowhere."""
    record = read_record(kind, {"id": 7, name: value}, keep=EVERYTHING[kind])
    assert record.fields[name] is None
    assert record.fields["id"] == 7
    assert record.odd == (name,)


def test_an_absence_request_keeps_its_accounts_in_known_parts_only() -> None:
    """What Planday adds inside an account is dropped like everywhere else."""
    raw = {
        "id": 66012,
        "absencePeriod": {"start": "2026-12-21", "end": None, "x": "MARKER-X"},
        "requestedAccounts": [
            {
                "id": 3300451,
                "name": "Ferie",
                "x": "MARKER-X",
                "cost": [{"value": 22.2, "unit": {"type": "Hours", "x": 1}}],
            },
            {"id": 3300452, "cost": [{"value": None, "unit": None}]},
            {"id": None},
        ],
    }
    record = read_record(
        "absence_request", raw, keep=EVERYTHING["absence_request"], links=frozenset({"requestedAccounts"})
    )
    assert record.fields["absencePeriod"] == {"start": "2026-12-21", "end": None}
    assert record.fields["requestedAccounts"] == [
        {"id": 3300451, "name": "Ferie", "cost": [{"value": 22.2, "unit": {"type": "Hours"}}]},
        {"id": 3300452, "name": None, "cost": [{"value": None, "unit": None}]},
        {"id": None, "name": None, "cost": []},
    ]
    assert record.links == {"requestedAccounts": [3300451, 3300452]}


def test_an_absence_record_keeps_its_days_in_known_parts_only() -> None:
    """A day's account by its id, without its name: that says what kind of leave it is."""
    raw = {
        "id": 54001,
        "registrations": [
            {
                "date": "2026-11-02",
                "time": {"start": "00:00", "end": "24:00"},
                "account": {"id": 33, "name": "MARKER-X", "costs": [{"value": 7.4, "unit": {"type": "Hours"}}]},
                "x": "MARKER-X",
            },
            {"date": "2026-11-03"},
        ],
    }
    record = read_record("absence_record", raw, keep=EVERYTHING["absence_record"])
    assert record.fields["registrations"] == [
        {
            "date": "2026-11-02",
            "time": {"start": "00:00", "end": "24:00"},
            "account": {"id": 33, "costs": [{"value": 7.4, "unit": {"type": "Hours"}}]},
        },
        {"date": "2026-11-03", "time": None, "account": None},
    ]
    assert record.odd == ()


def test_money_is_neither_computed_nor_titled() -> None:
    """Numbers go out digit for digit as they came in; what a break is called is free text and stays away."""
    raw = pydantic_core.from_json(
        b'{"id": 7, "salary": 1487.10, "units": 1, "wage": {"rate": 0.1, "type": "Hourly"},'
        b' "breaks": [{"id": 1, "title": "MARKER-H", "amount": -12.30, "isPaid": false}],'
        b' "supplements": [{"id": 2, "name": "Evening", "modification": 75.05, "note": "MARKER-X"}]}'
    )
    fields = read_record("payroll_line", raw, keep=EVERYTHING["payroll_line"]).fields
    written = pydantic_core.to_json(fields).decode()
    assert "MARKER" not in written
    assert all(text in written for text in ('"salary":1487.1,', '"units":1,', '"rate":0.1,', "-12.3,", "75.05"))
    assert (fields["breaks"][0]["duration"], fields["supplements"][0]["name"]) == (None, "Evening")


def test_a_payroll_line_gets_times_in_the_portals_zone() -> None:
    """Payroll has no zone of its own."""
    made, odd = with_times("payroll_line", {"startDateTime": "2026-10-24T20:00:00"}, zone="Europe/Copenhagen")
    assert (made["start"]["instant"], made["end"], odd) == ("2026-10-24T18:00:00Z", None, ())


def test_a_link_is_followed_only_on_request() -> None:
    """The shift type of a shift is health data: without a wish for it, it is not even remembered."""
    raw = {"id": 1, "shiftTypeId": 9}
    keep = Keep([FieldList(["class:A"])]).fields("shift", ("object",))
    assert "9" not in str(read_record("shift", raw, keep=keep))
    assert read_record("shift", raw, keep=keep, links=frozenset({"shiftTypeId"})).links == {"shiftTypeId": 9}
    odd = read_record("shift", {"id": 1, "shiftTypeId": "9"}, keep=keep, links=frozenset({"shiftTypeId"}))
    assert odd.links == {}


def test_a_shift_gets_times_in_its_own_zone() -> None:
    """The record's zone counts; what Planday gave stays beside ours."""
    fields = {"startDateTime": "2026-10-24T20:00", "endDateTime": "2026-10-25T03:30", "timeZone": "Europe/Copenhagen"}
    made, odd = with_times("shift", fields, zone="Europe/London")
    assert made["start"]["instant"] == "2026-10-24T18:00:00Z"
    assert made["end"]["instant"] == "2026-10-25T02:30:00Z"
    assert made["startDateTime"] == "2026-10-24T20:00"
    assert odd == ()
    _, odd = with_times("shift", {**fields, "endDateTime": "2026-10-24T19:00"}, zone=None)
    assert odd == ("end",)


def test_a_punch_gets_the_zone_it_is_given() -> None:
    """Punches have no zone of their own; a missing end stays missing."""
    made, _ = with_times("punchclock_entry", {"startDateTime": "2026-10-21T08:57"}, zone="Europe/London")
    assert made["start"]["instant"] == "2026-10-21T07:57:00Z"
    assert made["end"] is made["shiftStart"] is None
    assert made["timeZone"] == "Europe/London"


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["id", "cost", "start", "unit"]), inner)
    ),
    max_leaves=8,
)


@given(st.sampled_from(sorted(KINDS)), st.data())
def test_nothing_raises(kind: str, data: st.DataObject) -> None:
    """Any JSON in any field ends in a record whose kept fields are all there."""
    raw = data.draw(st.dictionaries(st.sampled_from(sorted(KINDS[kind])), _JSON))
    record = read_record(kind, raw, keep=EVERYTHING[kind], links=frozenset({"requestedAccounts", "shiftTypeId"}))
    made, _ = with_times(kind, record.fields, zone=None)
    assert set(made) == EVERYTHING[kind] - {"reason", "since"}  # said of a portal by us alone
