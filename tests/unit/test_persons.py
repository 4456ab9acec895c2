"""Whom an event is about, and the same event without a person."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.events import Event, Seen
from relay.persons import (
    Needles,
    by_ids,
    cut_envelope,
    cut_fields,
    cut_stored,
    is_theirs,
    owners_of_envelope,
    owners_of_event,
    owners_of_record,
    skeleton,
    values_of,
)

GONE = "910233"


def is_gone(employee: str) -> bool:
    return employee == GONE


def event(entity: str = "shift", entity_id: str = "7", **more: Any) -> Event:
    return Event(
        id="evt_1",
        source="s",
        sender_id="1",
        type=f"planday.{entity}.updated",
        portal=1,
        entity=entity,
        entity_id=entity_id,
        received_at=1.0,
        **more,
    )


def seen(**more: Any) -> Seen:
    return Seen(**{"object": None, "version": "v", "read_at": 1.0, **more})


@pytest.mark.parametrize(
    ("one", "owners"),
    [
        (event("employee", GONE), {GONE}),
        (event(), set()),
        (event(received={"employeeId": 910233}), set()),  # a sender may be behind: Planday is asked first
        (event(seen=seen(object={"employeeId": 910233})), {GONE}),
        (event(seen=seen(before={"employeeId": 910233})), {GONE}),
        (event(seen=seen(object={"employeeId": 1}, before={"employeeId": 910233})), {"1"}),
    ],
)
def test_whom_an_event_is_about_before_it_is_read(one: Event, owners: set[str]) -> None:
    """Its own record, or whose the record is now; of what is gone, whose it was."""
    assert owners_of_event(one) == owners


@pytest.mark.parametrize(
    ("data", "owners"),
    [
        ({"object": {"employeeId": 910233}}, {GONE}),
        ({"object": {"employeeId": 1}, "received": {"employeeId": 910233}}, {"1"}),
        ({"object": {"status": "Open"}, "received": {"employeeId": 910233}}, set()),
        ({"object": None, "changes": {"before": {"employeeId": 910233}}}, {GONE}),
        ({"object": None, "received": {"employeeId": 910233}}, {GONE}),
        ({}, set()),
    ],
)
def test_whom_an_enriched_event_is_about(data: dict[str, Any], owners: set[str]) -> None:
    """Planday's word counts; a sender's only where Planday shows no record."""
    assert owners_of_envelope({"subject": "shift/7", "data": data}) == owners
    assert owners_of_envelope({"subject": f"employee/{GONE}", "data": data}) == {GONE}


def test_whom_a_stored_event_is_about() -> None:
    """As it stands in the store, before it was routed."""
    one = event(received={"employeeId": 910233})
    assert owners_of_record(json.loads(one.to_json())) == {GONE}
    assert owners_of_record(json.loads(event(seen=seen(object={"employeeId": 5})).to_json())) == {"5"}


def test_mentions_go_and_nothing_else_does() -> None:
    """Every place at which an event about somebody else can name the person."""
    envelope: dict[str, Any] = {
        "subject": "shift/7",
        "employeeid": "5",
        "hrnote": GONE,
        "data": {
            "object": {"id": 7, "employeeId": 5, "deletedBy": 910233, "comment": "ask 910233", "startDateTime": "x"},
            "related": {"employee": {"id": 910233, "firstName": "Sofie"}, "position": {"id": 910233, "name": "Bar"}},
            "changes": {"before": {"employeeId": 910233, "date": "d"}, "after": {"employeeId": 5, "date": "e"}},
            "received": {"from": {"id": 910233}},
        },
    }
    before = copy.deepcopy(envelope)
    assert cut_envelope(envelope, is_gone, Needles(GONE).mentioned)
    before["data"]["object"] |= {"deletedBy": None, "comment": None}
    del before["data"]["related"]["employee"]
    before["data"]["changes"]["before"] = {}
    del before["data"]["received"]
    del before["hrnote"]
    assert envelope == before
    assert not cut_envelope(envelope, is_gone, Needles(GONE).mentioned)


def test_a_stored_event_loses_the_same() -> None:
    """The accepted event is kept beside its envelope."""
    one = event(received={"who": GONE}, extensions={"a": GONE, "b": "x"}, seen=seen(object={"supervisorId": 910233}))
    record = json.loads(one.to_json())
    assert cut_stored(record, is_gone, by_ids(is_gone))
    left = Event.from_json(json.dumps(record))
    assert left.received is None
    assert left.extensions == {"b": "x"}
    assert left.seen is not None
    assert left.seen.object == {"supervisorId": None}


def test_a_skeleton_has_no_word_of_anybody() -> None:
    """Which event it was, and when; nothing else."""
    one = event("employee", GONE, received={"a": 1}, extensions={"a": "b"}, seen=seen(object={"id": 1}))
    left = Event.from_json(json.dumps(skeleton(json.loads(one.to_json()), subject="erased-1")))
    assert (left.id, left.type, left.entity_id, left.received_at) == (one.id, one.type, "erased-1", 1.0)
    assert (left.received, left.extensions, left.seen, left.sender_id) == (None, {}, None, "")


def test_records_of_lists() -> None:
    """The feed leaves out what is theirs, and cuts what leads to them."""
    assert is_theirs("employee", GONE, {}, is_gone)
    assert is_theirs("shift", "7", {"employeeId": 910233}, is_gone)
    assert not is_theirs("shift", GONE, {"employeeId": 1}, is_gone)
    assert cut_fields({"supervisorId": 910233, "id": 5}, is_gone) == {"supervisorId": None, "id": 5}


def test_what_tells_who_somebody_is() -> None:
    """Long enough to be theirs alone; a first name or a short number is not."""
    person = {"firstName": "Bo", "lastName": "Ek", "email": "bo@x.dk", "salaryIdentifier": "1234", "phone": "12345678"}
    assert values_of(person) == {"Bo Ek", "bo@x.dk", "12345678"}
    assert values_of(None) == frozenset()


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ('{"employeeId":910233}', True),
        ('"employee/910233"', True),
        ("4100001:employee:910233", True),
        ('{"id":9102330}', False),
        ("evt_a910233", False),
        ("1790000910233.000", False),
        ("0.910233", False),
        ("910233.000", False),
        ('{"mail":"SOFIE@x.dk"}', True),
        ('{"name":"S\\u00f8ren \\u00d8"}', True),
        ('"{\\"name\\":\\"S\\\\u00f8ren \\\\u00d8\\"}"', True),
        ("?q=S%C3%B8ren+%C3%98", True),
    ],
)
def test_needles_are_found_whole_and_however_they_are_written(text: str, found: bool) -> None:
    """The id as a word of its own; names in JSON, in JSON within JSON, in a URL."""
    needles = Needles(GONE, ["sofie@x.dk", "Søren Ø"])
    assert needles.within(text.encode()) is found
    assert len(needles) == 3


@given(st.text(), st.text())
def test_what_is_masked_is_not_found(before: str, after: str) -> None:
    """Whatever stands around it."""
    needles = Needles(GONE, [f"person-{GONE}@x.dk", "Sofie Jensen"])
    text = f"{before} person-{GONE}@x.dk {GONE} sofie jensen {after}".encode()
    assert needles.within(text)
    masked = needles.masked(text)
    assert not needles.within(masked)
