"""What a target may have: default deny, by class, by leaf, and never more than was named."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.fields import CLASSES, KINDS, FieldList, Keep, check_entry, is_never, without_never

OURS = ("object", "related", "changes")


def record_of(kind: str) -> dict[str, Any]:
    """A record in which every field has a value, and some more that no table knows."""
    return {name: f"{kind}.{name}" for name in KINDS[kind]} | {"ssn": "F", "custom_1001": "F", "whatever": "unknown"}


def envelope_of(kind: str) -> dict[str, Any]:
    record = record_of(kind)
    return {
        "specversion": "1.0",
        "id": "evt_1",
        "source": "urn:planday:portal:4100001",
        "type": f"planday.{kind}.updated",
        "subject": f"{kind}/7",
        "portalid": "4100001",
        "departmentid": "4101",
        "employeeid": "910233",
        "senderid": "theirs",
        "nickname": "Ida",
        "data": {
            "object": record,
            "related": {other: record_of(other) for other in KINDS},
            "changed": sorted(record),
            "changes": {"before": record, "after": record},
            "enrichment": {"state": "complete", "missing": []},
            "received": {"firstName": "Ida", "ssn": "010190-1234", "nested": [{"CPR_number": "x", "ok": 1}]},
        },
    }


def leaves(kind: str, applied: dict[str, Any]) -> set[tuple[str, str, str]]:
    """Every (place, kind, field) of ours that is left in an envelope."""
    data = applied["data"]
    found = {("object", kind, name) for name in data.get("object") or {}}
    found |= {("object", kind, name) for name in data.get("changed", ())}
    for side in data.get("changes", {}).values():
        found |= {("object", kind, name) for name in side or {}}
    for other, record in data.get("related", {}).items():
        found |= {("related", other, name) for name in record}
    return found


def test_an_empty_list_gives_nothing_but_the_neutral_attributes() -> None:
    """Default deny: who names nothing gets no record, no person, and nothing of the sender's."""
    applied = FieldList(()).apply(envelope_of("shift"))
    assert applied["data"] == {
        "object": {},
        "changed": [],
        "changes": {"before": {}, "after": {}},
        "enrichment": {"state": "complete", "missing": []},
    }
    assert not {"employeeid", "senderid", "nickname"} & applied.keys()
    assert {"specversion", "id", "source", "type", "subject", "portalid", "departmentid"} < applied.keys()


@pytest.mark.parametrize("letter", CLASSES)
@pytest.mark.parametrize("kind", KINDS)
def test_a_class_gives_all_fields_of_that_class_and_no_other(kind: str, letter: str) -> None:
    """`class:X` is exactly the fields that the tables put into X, wherever they stand."""
    found = leaves(kind, FieldList([f"class:{letter}"]).apply(envelope_of(kind)))
    want = {("object", kind, name) for name, its in KINDS[kind].items() if its == letter}
    want |= {("related", other, name) for other, table in KINDS.items() for name, its in table.items() if its == letter}
    assert found == want


@pytest.mark.parametrize("branch", ["data.object", "data.related", "data.related.employee", "data.changes"])
@pytest.mark.parametrize("kind", ["employee", "shift", "absence_request", "shift_type"])
def test_a_branch_gives_its_neutral_and_pseudonymous_fields_only(kind: str, branch: str) -> None:
    """Nobody sends names, pay, health or free text by naming a whole record."""
    applied = FieldList([branch]).apply(envelope_of(kind))
    assert {KINDS[of][name] for _, of, name in leaves(kind, applied)} <= {"A", "B"}
    assert "received" not in applied["data"]


def test_changes_can_be_had_without_the_object() -> None:
    """`data.changes` gives what changed, and the object stays out."""
    data = FieldList(["data.changes"]).apply(envelope_of("shift"))["data"]
    assert data["object"] == {}
    assert data["changes"]["before"]["startDateTime"] == "shift.startDateTime"
    assert "startDateTime" in data["changed"]
    assert "comment" not in data["changed"]


def test_a_leaf_gives_that_leaf_only() -> None:
    """A path to a field gives this field in the object and in its changes, and no other."""
    applied = FieldList(["data.object.comment", "data.related.employee.salaryIdentifier"]).apply(envelope_of("shift"))
    assert applied["data"]["object"] == {"comment": "shift.comment"}
    assert applied["data"]["changed"] == ["comment"]
    assert applied["data"]["related"] == {"employee": {"salaryIdentifier": "employee.salaryIdentifier"}}


@pytest.mark.parametrize(
    ("entries", "kind", "there"),
    [
        (["data.object.startDateTime"], "shift", False),
        (["class:A"], "shift", False),
        (["class:B"], "shift", True),
        (["data.object"], "shift", True),
        (["data.object.employeeId"], "shift", True),
        (["data.object.firstName"], "employee", False),
        (["data.object.id"], "employee", True),
        (["data.object.id"], "shift", False),
        (["data.received"], "shift", False),
        (["*"], "shift", True),
    ],
)
def test_the_employee_attribute_needs_the_employee_field(entries: list[str], kind: str, there: bool) -> None:
    """`employeeid` is class B: it comes where the id in the record may be had, not beside any other field."""
    assert ("employeeid" in FieldList(entries).apply(envelope_of(kind))) is there


@pytest.mark.parametrize(("entries", "there"), [(["data.received"], True), (["class:H"], True), (["class:A"], False)])
def test_the_senders_words_come_only_where_they_are_asked_for(entries: list[str], there: bool) -> None:
    """`data.received` and attributes that are not ours are the sender's: class H."""
    applied = FieldList(entries).apply(envelope_of("shift"))
    assert ("received" in applied["data"]) is there
    assert ("nickname" in applied) is there
    assert ("senderid" in applied) is there


def test_class_f_goes_nowhere() -> None:
    """Not by `*`, not inside what a sender pushed, at no depth and in no spelling."""
    applied = FieldList(["*"]).apply(envelope_of("employee"))
    assert applied["data"]["received"] == {"firstName": "Ida", "nested": [{"ok": 1}]}
    assert {name for _, _, name in leaves("employee", applied)} == set().union(*KINDS.values())
    assert "whatever" not in applied["data"]["object"]


@pytest.mark.parametrize(
    "name",
    [
        *("ssn", "SSN", "birthDate", "birth_date", "bankAccount", "bank-account-number", "gender", "custom_1001"),
        *("cprNo", "deactivationReason", "terminationTypeId", "social_security_number", "date_of_birth"),
    ],
)
def test_names_of_class_f_are_known_in_every_spelling(name: str) -> None:
    """Others write the same field in their own way."""
    assert is_never(name)
    assert check_entry(f"data.object.{name}") == "class F never leaves the worker"


@pytest.mark.parametrize("name", ["customer", "customerName", "comment", "status", "sextant", "birthdayParty"])
def test_other_names_are_not_of_class_f(name: str) -> None:
    """A name that only looks alike stays."""
    assert not is_never(name)


@pytest.mark.parametrize(
    "entry",
    [
        *("*", "class:A", "class:H", "data.object", "data.object.startDateTime", "data.related", "data.changes"),
        *("data.related.employee", "data.related.employee.firstName", "data.changes.startDateTime", "data.received"),
    ],
)
def test_entries_that_can_be_written(entry: str) -> None:
    """Each form of an entry is taken."""
    assert check_entry(entry) is None


@pytest.mark.parametrize(
    ("entry", "says"),
    [
        ("class:F", "never leaves"),
        ("class:Z", "there is no class 'Z'"),
        ("object.id", "starts with"),
        ("data", "starts with"),
        ("data.enrichment", "data.object, data.related, data.changes or data.received"),
        ("data.related.boss", "there is no data.related.boss"),
        ("data.related.employee.nose", "employee has no field 'nose'"),
        ("data.object.nose", "no record has a field 'nose'"),
        ("data.changes.before", "no record has a field 'before'"),
        ("data.object.absencePeriod.start", "ends at a field"),
        ("data.related.shift.start.local", "ends at a field"),
        ("data.received.firstName", "as a whole"),
    ],
)
def test_entries_that_would_do_nothing_are_refused(entry: str, says: str) -> None:
    """A path that gives nothing, or less than it says, is a fault and not silence."""
    assert says in str(check_entry(entry))


@pytest.mark.parametrize(
    "data",
    [
        {},
        {"object": None},
        {"object": None, "changes": None, "changed": None, "related": None},
        {"object": ["x"]},
        None,
    ],
)
def test_odd_data_are_no_crash(data: Any) -> None:
    """Absent, null and misshapen parts come out empty."""
    for entries in ((), ("*",), ("class:A", "data.received")):
        assert not FieldList(entries).apply({"subject": "shift/1", "data": data})["data"].get("object")


def test_what_is_remembered_per_kind_is_bounded() -> None:
    """A kind is the sender's word: thousands of them must not fill the memory."""
    fields = FieldList(["class:A"])
    for number in range(2000):
        assert fields.kept(f"kind{number}", ("object",)) == frozenset()
    assert fields._kept.cache_info().currsize <= 256


def test_keep_is_the_union_of_all_lists_and_what_routing_needs() -> None:
    """What no target may have is not even kept; neutral fields always are, since routing looks at them."""
    keep = Keep([FieldList(["data.object.comment"]), FieldList(["data.related.employee.firstName"])])
    assert {"comment", "departmentId", "employeeId"} <= keep.fields("shift", ("object",))
    assert "shiftTypeId" not in keep.fields("shift", ("object",))
    assert "firstName" in keep.fields("employee", ("related", "employee"))
    assert "firstName" not in keep.fields("employee", ("object",))
    assert not keep.received
    assert Keep([FieldList(["*"])]).received
    assert "comment" in Keep([FieldList(["data.changes.comment"])]).fields("shift", ("object",))


def test_without_never_leaves_the_original_alone() -> None:
    """A copy is made; the sender's data as stored stay what they were."""
    original = {"a": [{"gender": "x", "b": 2}]}
    assert without_never(original) == {"a": [{"b": 2}]}
    assert original == {"a": [{"gender": "x", "b": 2}]}


_KINDS = sorted(KINDS)
_LEAVES = [("object", kind, name) for kind in _KINDS for name in KINDS[kind]]
_ENTRY = st.one_of(
    st.sampled_from([f"class:{letter}" for letter in CLASSES]),
    st.sampled_from(["data.object", "data.changes", "data.related", "data.received"]),
    st.sampled_from(_KINDS).map(lambda kind: f"data.related.{kind}"),
    st.sampled_from(_LEAVES).map(lambda leaf: f"data.object.{leaf[2]}"),
    st.sampled_from(_LEAVES).map(lambda leaf: f"data.related.{leaf[1]}.{leaf[2]}"),
    st.sampled_from(_LEAVES).map(lambda leaf: f"data.changes.{leaf[2]}"),
)


@given(kind=st.sampled_from(_KINDS), entries=st.lists(_ENTRY, max_size=6))
def test_nothing_personal_comes_unless_its_leaf_or_class_is_named(kind: str, entries: list[str]) -> None:
    """For any record and any list without `*`: a field of class C to H is there only by its own name or class."""
    assert all(check_entry(entry) is None for entry in entries)
    for place, of, name in leaves(kind, FieldList(entries).apply(envelope_of(kind))):
        letter = KINDS[of][name]
        if letter in "AB":
            continue
        named = {f"class:{letter}"}
        if place == "object":
            named |= {f"data.object.{name}", f"data.changes.{name}"}
        else:
            named |= {f"data.related.{of}.{name}"}
        assert named & set(entries), (place, of, name, entries)


@pytest.mark.parametrize("kind", sorted(KINDS))
@pytest.mark.parametrize(
    "entries", [(), ("class:A", "class:C"), ("data.object",), ("data.changes",), ("data.related",), ("*",)]
)
def test_what_is_kept_is_enough_for_each_target_and_no_more(kind: str, entries: tuple[str, ...]) -> None:
    """Pruning takes nothing from a target, and leaves nothing of C to H that no target may have, in changes too."""
    one, other = FieldList(entries), FieldList(["class:E"])
    keep = Keep([one, other])
    pruned = envelope_of(kind)
    keep.prune(pruned)
    for target in (one, other):
        assert target.apply(pruned) == target.apply(envelope_of(kind))
    may_have = leaves(kind, one.apply(envelope_of(kind))) | leaves(kind, other.apply(envelope_of(kind)))
    for place, which, name in leaves(kind, pruned) - may_have:
        assert KINDS[which][name] in "AB", (place, which, name)
