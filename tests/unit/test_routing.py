"""Which targets an event is for, and why the others are not meant."""

from __future__ import annotations

import fnmatch
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.routing import Router, Routing, departments_of, employee_groups_of, matches
from relay.settings import Target, WebhookTarget

SECRET = "env:SECRET"


def target(**settings: Any) -> Target:
    return WebhookTarget.model_validate(
        {"type": "webhook", "url": "https://t.example", "signing_secret": SECRET, "events": ["*"], **settings}
    )


def shift(**more: Any) -> dict[str, Any]:
    return {
        "type": "planday.shift.updated",
        "subject": "shift/70010045",
        "departmentid": "4101",
        "relayorigin": "native",
        "data": {
            "object": {"id": 70010045, "departmentId": 4101, "employeeGroupId": 5202, "employeeId": 910233},
            "related": {"employee": {"departments": [4109], "employeeGroups": [5209]}},
            "changed": ["startDateTime", "employeeId"],
        },
        **more,
    }


def refusal(envelope: dict[str, Any] | None = None, /, **settings: Any) -> str | None:
    """Why one target with these settings does not get the event; None when it does."""
    routing = Router({"one": target(**settings)}).route(shift() if envelope is None else envelope)
    assert (routing.matched == ("one",)) is ("one" not in routing.refused)
    return routing.refused.get("one")


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({}, None),
        ({"events": ["planday.shift.*"]}, None),
        ({"events": ["planday.*.updated"]}, None),
        ({"events": ["planday.employee.*", "planday.shift.updated"]}, None),
        ({"events": ["planday.employee.*"]}, "type planday.shift.updated matches none of planday.employee.*"),
        (
            {"events": ["a.*", "b.*", "c.*", "d.*", "e.*", "f.*", "g.*"]},
            "type planday.shift.updated matches none of a.*, b.*, c.*, d.*, e.* and 2 more",
        ),
        ({"departments": [4101]}, None),
        ({"departments": [1, 4101]}, None),
        ({"departments": [4102]}, "department 4101 is none of 4102"),
        ({"departments": [4109]}, "department 4101 is none of 4109"),
        ({"employee_groups": [5202]}, None),
        ({"employee_groups": [5203, 5201]}, "employee group 5202 is none of 5201, 5203"),
        ({"departments": [4101], "employee_groups": [1]}, "employee group 5202 is none of 1"),
        ({"changed": ["startDateTime"]}, None),
        ({"changed": ["endDateTime", "employeeId"]}, None),
        ({"changed": ["endDateTime"]}, "nothing of endDateTime changed"),
        ({"origins": ["native"]}, None),
        ({"origins": ["test", "replay"]}, "origin native is none of replay, test"),
        ({"when": "data.object.departmentId == `4101`"}, None),
        ({"when": "data.changed && contains(data.changed, 'startDateTime')"}, None),
        ({"when": "data.changed && contains(data.changed, 'comment')"}, "`when` was false"),
        ({"when": "data.nothing"}, "`when` was false"),
        ({"when": "`0`"}, None),
        ({"when": "`[]`"}, "`when` was false"),
        ({"when": "''"}, "`when` was false"),
        (
            {"when": "contains(data.nothing, 'x')"},
            "`when` failed: contains() was given null, but takes array or string",
        ),
        ({"when": "join(',', data.object)"}, "`when` failed: join() was given object, but takes array-string"),
        ({"when": "data.changed[::0]"}, "`when` failed: ValueError"),
    ],
)
def test_each_condition_and_its_sentence(settings: dict[str, Any], reason: str | None) -> None:
    """Every condition lets pass what fits, and says in one sentence what did not."""
    assert refusal(**settings) == reason


def test_an_absent_change_is_no_match_and_no_crash() -> None:
    """The example of the design holds for an event without `changed` too."""
    when = "data.changed && contains(data.changed, 'startDateTime')"
    assert refusal(shift(data={"object": {}}), when=when) == "`when` was false"
    assert refusal(shift(data={"object": {}}), changed=["date"]) == "nothing of date changed"
    assert refusal(shift(data=None), changed=["date"]) == "nothing of date changed"


def test_a_failing_expression_does_not_repeat_the_value() -> None:
    """A refusal is stored and shown; the value that an expression stumbled over may be somebody's name."""
    envelope = shift(data={"object": {"firstName": "Ida Testrup"}})
    assert "Ida" not in str(refusal(envelope, when="abs(data.object.firstName)"))


def test_targets_come_in_the_order_of_the_configuration() -> None:
    """And every target is either matched or refused, none is forgotten."""
    targets = {
        "zeta": target(),
        "no": target(departments=[9]),
        "alpha": target(events=["planday.shift.updated"]),
        "never": target(events=["x"]),
        "mid": target(when="`true`"),
    }
    routing = Router(targets).route(shift())
    assert routing.matched == ("zeta", "alpha", "mid")
    assert set(routing.refused) == {"no", "never"}


def test_no_targets_is_an_answer() -> None:
    """Without targets nothing matches and nothing is refused."""
    assert Router({}).route(shift()) == Routing((), {})


def test_one_routing_does_not_leak_into_the_next() -> None:
    """What is remembered per type is not changed by an event of that type."""
    router = Router({"a": target(departments=[4101]), "b": target(events=["x"])})
    assert router.route(shift(data={}, departmentid=None)).refused["a"] == "no department is known for this event"
    assert router.route(shift()).matched == ("a",)
    assert set(router.route(shift()).refused) == {"b"}


@pytest.mark.parametrize(
    ("envelope", "departments", "groups"),
    [
        (shift(), {4101}, {5202}),
        (shift(data={"object": None}), {4101}, set()),
        (shift(data={"object": None}, departmentid=None), set(), set()),
        (shift(data={"object": None}, departmentid="x"), set(), set()),
        # A shift that moves concerns the department that it leaves, too.
        (
            shift(
                data={"object": {"departmentId": 4102}, "changes": {"before": {"departmentId": 4101}}}, departmentid="1"
            ),
            {4101, 4102},
            set(),
        ),
        # Deleted: nothing is known but what it was.
        (shift(data={"object": None, "changes": {"before": {"departmentId": 4103}}}), {4103}, set()),
        (
            {
                "subject": "employee/7",
                "departmentid": "3",
                "data": {"object": {"departments": [1, 2], "primaryDepartmentId": 3}},
            },
            {1, 2, 3},
            set(),
        ),
        ({"subject": "employee/7", "data": {"object": {"employeeGroups": [8, 9], "departments": None}}}, set(), {8, 9}),
        (
            {
                "subject": "absence_request/7",
                "data": {"object": {"id": 7}, "related": {"employee": {"departments": [4], "employeeGroups": [5]}}},
            },
            {4},
            {5},
        ),
        # A punch clock entry is of its own department only, and of the group of its shift.
        (
            {
                "subject": "punchclock_entry/7",
                "data": {
                    "object": {"departmentId": 4},
                    "related": {
                        "employee": {"departments": [1], "employeeGroups": [2]},
                        "shift": {"employeeGroupId": 3},
                    },
                },
            },
            {4},
            {3},
        ),
        (
            {
                "subject": "punchclock_entry/7",
                "data": {"related": {"employee": {"departments": [1], "employeeGroups": [2]}}},
            },
            set(),
            {2},
        ),
        ({"subject": "department/4101", "data": {"object": {"id": 4101}}}, {4101}, set()),
        ({"subject": "employee_group/5", "data": {}}, set(), {5}),
        ({"subject": "position/1", "data": {"object": {"departmentId": 4, "employeeGroupId": 5}}}, {4}, {5}),
        # What the sender pushed is untrusted and decides nothing; odd values are no ids.
        ({"subject": "shift/1", "data": {"received": {"departmentId": 4101}}}, set(), set()),
        ({"subject": "shift/1", "data": {"object": {"departmentId": True, "employeeGroupId": [[1]]}}}, set(), set()),
        ({"subject": "shift/1", "data": {"object": [1], "related": "x", "changes": 3}}, set(), set()),
        ({"subject": "shift/1", "departmentid": "9" * 400}, set(), set()),
        ({}, set(), set()),
    ],
)
def test_departments_and_groups_of_an_event(envelope: dict[str, Any], departments: set[int], groups: set[int]) -> None:
    """The record's own first; an employee's for employees and absences; nothing from untrusted data."""
    assert departments_of(envelope) == departments
    assert employee_groups_of(envelope) == groups


@given(
    pattern=st.text("ab.*", min_size=1, max_size=8),
    type_=st.text("ab.", max_size=8),
)
def test_patterns_agree_with_the_shell(pattern: str, type_: str) -> None:
    """`*` is any text, dots included, as in a shell's case statement; fnmatch is the judge."""
    assert matches(pattern, type_) is fnmatch.fnmatchcase(type_, pattern)


def test_a_pattern_with_many_stars_is_not_slow() -> None:
    """Such a pattern would make a backtracking match run for longer than anybody waits."""
    began = time.perf_counter()
    assert not matches("*a" * 60 + "*b", "a" * 4000)
    assert time.perf_counter() - began < 1


def test_types_that_are_remembered_are_bounded() -> None:
    """A type is the sender's word: a flood of them must not fill the memory."""
    router = Router({"a": target(events=["planday.*"])})
    for number in range(3000):
        router.route({"type": f"made.up.{number}"})
    assert router._by_type.cache_info().currsize <= 1024


# What the relay tells of itself -------------------------------------------------------------------


def told(type_: str = "relay.target.paused", **facts: Any) -> dict[str, Any]:
    return {"type": type_, "subject": "target/hours", "data": {"object": facts}}


@pytest.mark.parametrize(
    ("pattern", "takes"),
    [
        ("relay.*", True),
        ("relay.target.*", True),
        ("relay.target.paused", True),
        ("relay.worker.*", False),
        ("*", False),
        ("*.paused", False),
        ("r*", False),
        ("relay*", False),
        ("planday.*", False),
    ],
)
def test_only_who_says_relay_gets_what_the_relay_tells(pattern: str, takes: bool) -> None:
    """A target of everything is one of Planday's events; alerts go to those who ask for them."""
    assert bool(Router({"ops": target(events=[pattern])}).route(told()).matched) is takes


def test_a_test_that_a_sender_made_is_like_any_other_event() -> None:
    """It is no word of the relay's about itself."""
    assert Router({"all": target(events=["*"])}).route(told("relay.test")).matched == ("all",)


def test_a_target_is_not_told_of_itself() -> None:
    """It could not tell of its own trouble, and its failure to do so would be the next trouble."""
    targets = {"hours": target(events=["relay.*"]), "ops": target(events=["relay.*"])}
    found = Router(targets).route(told(target="hours"))
    assert found.matched == ("ops",)
    assert found.refused["hours"] == "it is about target hours itself, which cannot tell of its own trouble"


def test_conditions_on_records_do_not_concern_what_has_none() -> None:
    """Departments, groups and changed fields are Planday's; origin and expression hold."""
    records = {"departments": [1], "employee_groups": [2], "changed": ["status"]}
    assert Router({"ops": target(events=["relay.*"], **records)}).route(told()).matched == ("ops",)
    for other in ({"origins": ["replay"]}, {"when": "data.object.count > `5`"}):
        assert Router({"ops": target(events=["relay.*"], **other)}).route(told(count=1)).matched == ()
