"""messages: what a manager reads, what an operator's templates may do, and that nothing an event holds breaks them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relay.catalog import types_of
from relay.errors import ConfigError
from relay.fields import FieldList
from relay.messages import TYPES, Message, Messages, sample
from relay.messages.facts import NAMES, facts
from relay.settings import SlackTarget

DEFAULT = FieldList(SlackTarget.default_fields())
MESSAGES = Messages()
FAILED: list[str] = []
COUNTED = Messages(on_fault=FAILED.append)
ZONE = "Europe/Copenhagen"


def shown(envelope: dict[str, Any], *entries: str) -> Message:
    """The message as a Slack target with its default fields, and these besides, gets it."""
    fields = FieldList((*SlackTarget.default_fields(), *entries)) if entries else DEFAULT
    return MESSAGES.render(fields.apply(envelope), escape=str)


def at(local: str, *, flag: str | None = None, instant: str | None = None) -> dict[str, Any]:
    return {"local": local, "zone": ZONE, "instant": instant, "flag": flag}


def with_object(type_: str, **changes: Any) -> dict[str, Any]:
    envelope = sample(type_)
    envelope["data"]["object"] |= changes
    return envelope


def text(message: Message) -> str:
    return "\n".join((message.title, *message.body, *message.context))


def faults_of(folder: Path) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        Messages(folder)
    return [str(fault) for fault in caught.value.faults]


TITLES = [
    ("planday.employee.created", "New employee"),
    ("planday.employee.updated", "Employee details changed"),
    ("planday.employee.deactivated", "Employee deactivated"),
    ("planday.shift.created", "Shift created"),
    ("planday.shift.updated", "Shift changed"),
    ("planday.shift.deleted", "Shift deleted"),
    ("planday.shift.published", "Shift published"),
    ("planday.shift.assigned", "Shift assigned"),
    ("planday.shift.unassigned", "Shift unassigned"),
    ("planday.shift.approved", "Shift approved for payroll"),
    ("planday.punchclock_entry.started", "Punched in"),
    ("planday.punchclock_entry.ended", "Punched out"),
    ("planday.punchclock_entry.approved", "Hours approved"),
    ("planday.absence_request.created", "Absence requested"),
    ("planday.absence_request.approved", "Absence approved"),
    ("planday.absence_request.declined", "Absence declined"),
    ("planday.absence_request.cancelled", "Absence request cancelled"),
    ("planday.absence_request.deleted", "Absence request is gone"),
    ("planday.absence_record.created", "Absence booked"),
    ("planday.payroll_period.locked", "Payroll period locked"),
    ("planday.payroll_line.corrected", "Payroll line changed"),
    ("planday.position.updated", "Position changed"),
    ("planday.portal.authorization_revoked", "Planday refuses the authorisation of bistro"),
    ("planday.portal.authorization_restored", "Planday accepts bistro again"),
    ("relay.test", "Test message"),
    ("relay.target.failing", "Target hours keeps failing"),
    ("relay.target.recovered", "Target hours works again"),
    ("relay.delivery.exhausted", "Deliveries to hours are dead"),
    ("relay.feed.behind", "Feed bistro.shifts is behind"),
    ("relay.store.unhealthy", "The store is not safe"),
]


@pytest.mark.parametrize(("type_", "title"), TITLES, ids=[type_ for type_, _ in TITLES])
def test_titles_read_like_a_sentence(type_: str, title: str) -> None:
    """Each event that people care about has a title in plain words."""
    assert shown(sample(type_)).title == title


def test_a_published_shift() -> None:
    """Who, where, as what, when with the weekday; then the portal and its zone in small print."""
    assert shown(sample("planday.shift.published")) == Message(
        title="Shift published",
        body=("*Ida Testrup* · Harbour · Waiter\nSat 24 Oct 2026, 20:00–03:30 (next day)",),
        context=("Bistro Demo", ZONE),
    )


def test_a_changed_shift_says_what_changed() -> None:
    """The fields by words, not by Planday's names."""
    assert shown(sample("planday.shift.updated")).context == ("Bistro Demo", ZONE, "changed: start")


def test_a_moved_shift_says_when_it_was() -> None:
    """The old times, with their day only if that was another one."""
    envelope = sample("planday.shift.updated")
    assert shown(envelope).body[0].endswith("\nwas 19:00–03:30")
    envelope["data"]["changes"]["before"] = {"startDateTime": "2026-10-23T20:00", "endDateTime": "2026-10-23T23:30"}
    assert shown(envelope).body[0].endswith("\nwas Fri 23 Oct 2026, 20:00–23:30")
    envelope["data"]["changes"]["before"] = {"comment": "x"}
    assert "was" not in shown(envelope, "class:H").body[0]


@pytest.mark.parametrize(
    ("type_", "was"),
    [
        ("planday.department.updated", "was Harbor"),
        ("planday.portal.updated", "was Bistro"),
        ("planday.punchclock_entry.updated", "was 08:57–17:00"),
    ],
)
def test_what_changed_says_what_it_was(type_: str, was: str) -> None:
    """Names and times before the change."""
    assert was in shown(sample(type_)).body[0].splitlines()


def test_a_renamed_employee_keeps_the_other_name() -> None:
    """The whole name as it was, if names may be shown at all."""
    envelope = sample("planday.employee.updated")
    envelope["data"]["changes"]["before"] = {"lastName": "Prøve"}
    assert "was Ida Prøve" in shown(envelope).body[0]
    assert "Prøve" not in text(MESSAGES.render(FieldList(("class:A",)).apply(envelope), escape=str))


def test_absence_that_moved_shows_no_dates_by_default() -> None:
    """The days before are health data like the days now."""
    envelope = sample("planday.absence_request.updated")
    assert "was" not in shown(envelope).body[0]
    assert "\nwas Mon 21 Dec 2026 – Tue 22 Dec 2026" in shown(envelope, "data.object.absencePeriod").body[0]


def test_a_lost_authorisation_says_what_to_do() -> None:
    """What happened, what it means, and the next step with the portal's own name."""
    message = shown(sample("planday.portal.authorization_revoked"))
    happened, answer, means, planday, do = message.body[0].splitlines()
    assert happened.startswith(
        "Planday no longer accepts the authorisation of *bistro* (since Wed 21 Oct 2026, 07:45 UTC)."
    )
    assert means == "Its events wait, none is lost; nothing is read until a new token is entered."
    assert answer == "Planday's answer: 401: the refresh token is not accepted"
    assert "API access" in planday
    assert do == "`relay portals set-token bistro`"


def test_a_given_back_authorisation_is_one_line() -> None:
    """All is well again."""
    (line,) = shown(sample("planday.portal.authorization_restored")).body
    assert line == "Planday accepts the authorisation of *bistro* again; what waited goes on."


def test_an_ended_punch() -> None:
    """The punches, how long that was, and what was planned."""
    assert shown(sample("planday.punchclock_entry.ended")).body == (
        "*Ida Testrup* · Harbour · Waiter\nWed 21 Oct 2026, 08:57–17:05 · 8 h 8 min\nplanned 09:00–17:00",
    )


def test_a_started_punch_has_no_end() -> None:
    """Punching in shows one time only."""
    assert "Wed 21 Oct 2026, 08:57\n" in shown(sample("planday.punchclock_entry.started")).body[0]


def test_an_open_shift_is_called_one() -> None:
    """By its status, since a target with default fields does not see the employee's id; or by the id being null."""
    open_shift = with_object("planday.shift.unassigned", status="Open")
    assert shown(open_shift).body[0].startswith("*Open shift* · Harbour")
    draft = with_object("planday.shift.unassigned", status="Draft", employeeId=None)
    assert shown(draft, "class:B").body[0].startswith("*Open shift*")
    assert shown(draft).body[0].startswith("*Shift 70010045*")


def test_a_deleted_shift_is_named_by_its_id() -> None:
    """After a deletion there is no record; the subject's id is what is known."""
    envelope = sample("planday.shift.deleted")
    envelope["data"] = {"object": None, "enrichment": {"state": "complete"}}
    assert shown(envelope).body == ("*Shift 70010045*",)


def test_a_deleted_shift_shows_what_it_was() -> None:
    """What the change says of the record before it went is shown."""
    envelope = sample("planday.shift.deleted")
    envelope["data"]["changes"] = {"before": {"start": at("2026-10-26T09:00"), "end": at("2026-10-26T15:00")}}
    assert "Mon 26 Oct 2026, 09:00–15:00" in shown(envelope).body[0]


@pytest.mark.parametrize("state", ["none", "partial"])
def test_missing_enrichment_is_said_without_jargon(state: str) -> None:
    """A message comes with what is known, and says that the rest could not be read."""
    envelope = sample("planday.shift.updated")
    envelope["data"] = {"object": None, "enrichment": {"state": state, "missing": ["object"]}}
    assert shown(envelope).body == ("*Shift 70010045*\n_Details could not be read from Planday._",)


def test_partial_enrichment_shows_what_there_is() -> None:
    """The shift is known, its department is not."""
    envelope = sample("planday.shift.created")
    del envelope["data"]["related"]["department"]
    envelope["data"]["enrichment"] = {"state": "partial", "missing": ["department: gone"]}
    assert shown(envelope).body[0].startswith("*Ida Testrup* · Waiter\nSat 24 Oct")
    assert shown(envelope).body[0].endswith("\n_Some details could not be read from Planday._")


def test_a_test_message_misses_nothing() -> None:
    """An event about ourselves has no details in Planday."""
    envelope = {**sample("relay.test"), "data": {"enrichment": {"state": "none"}}}
    assert shown(envelope).body == ("planday-relay can reach this channel.",)


def test_absence_shows_no_dates_by_default() -> None:
    """Dates and kind of leave are health data: only a target that lists them has them."""
    envelope = sample("planday.absence_request.created")
    envelope["data"]["related"]["account_type"] = {"name": "Holiday"}
    assert shown(envelope).body == ("*Ida Testrup* · Harbour · Waiter",)
    assert shown(envelope, "data.object.absencePeriod").body == (
        "*Ida Testrup* · Harbour · Waiter\nMon 21 Dec 2026 – Wed 23 Dec 2026",
    )
    assert "Holiday" in shown(envelope, "data.related.account_type.name").body[0]


def test_a_shift_type_shows_only_if_let_through() -> None:
    """A shift type can mean sick leave."""
    envelope = sample("planday.shift.created")
    envelope["data"]["related"]["shift_type"] = {"name": "Sick leave"}
    assert "Sick" not in text(shown(envelope))
    assert "Sick leave" in text(shown(envelope, "data.related.shift_type.name"))


def test_without_names_the_record_is_named() -> None:
    """A target that may not have names still gets a sentence."""
    message = MESSAGES.render(FieldList(("class:A",)).apply(sample("planday.shift.published")), escape=str)
    assert message.body[0].startswith("*Shift 70010045* · Harbour")


@pytest.mark.parametrize("type_", TYPES)
def test_no_default_message_shows_health_pay_or_free_text(type_: str) -> None:
    """Markers in every field above class A but the names are in no message."""
    envelope = sample(type_, every_field=True)
    for record in (envelope["data"]["object"], *envelope["data"]["related"].values()):
        for name in (
            "comment",
            "note",
            "description",
            "salaryIdentifier",
            "salary",
            "wage",
            "salaryCode",
            "registrations",
            "jobTitle",
            "absencePeriod",
            "email",
            "status",
        ):
            if name in record:
                record[name] = "MARKER"
    for kind in ("shift_type", "account_type"):
        envelope["data"]["related"][kind]["name"] = "MARKER"
    assert "MARKER" not in text(shown(envelope))


hostile = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(codec=None)),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
odd_records = st.dictionaries(
    st.sampled_from(["start", "end", "firstName", "name", "status", "absencePeriod", "timeZone", "employeeId"]), hostile
)
odd_envelopes = st.fixed_dictionaries(
    {},
    optional={
        "type": st.sampled_from(TYPES) | hostile,
        "subject": hostile,
        "portalid": hostile,
        "data": hostile
        | st.fixed_dictionaries(
            {},
            optional={
                "object": odd_records | hostile,
                "changed": hostile,
                "changes": st.dictionaries(st.sampled_from(["before", "after"]), odd_records | hostile),
                "related": st.dictionaries(
                    st.sampled_from(["employee", "department", "portal"]), odd_records | hostile
                ),
                "enrichment": hostile,
            },
        ),
    },
)


@settings(deadline=None)
@given(odd_envelopes)
def test_there_is_a_message_about_anything(envelope: dict[str, Any]) -> None:
    """Whatever an envelope holds, facts are strings and a message comes of it without the fallback being used."""
    assert all(isinstance(value, str) for name, value in facts(envelope).items() if name != "event")
    FAILED.clear()
    assert COUNTED.render(envelope, escape=str).title
    assert not FAILED


def test_values_are_escaped_as_they_leave_an_expression(tmp_path: Path) -> None:
    """Filters see the raw value; what they make is escaped, whatever the template says about safety."""
    source = "[title]\n{{ employee | upper | safe }}\n[body]\n{{ [employee, 'b'] | join('<') }}\n{{ [employee] }}"
    (tmp_path / "shift.txt").write_text(source)
    envelope = with_object("planday.shift.created")
    envelope["data"]["related"]["employee"] |= {"firstName": "<a", "lastName": ""}
    message = Messages(tmp_path).render(envelope, escape=lambda value: value.replace("<", "&lt;"))
    assert message.title == "&lt;A"
    assert message.body == ("&lt;a&lt;b\n&lt;a",)


def test_an_operators_folder_takes_the_place_of_ours(tmp_path: Path) -> None:
    """Files of the same name win, new names are added, the rest stays ours."""
    (tmp_path / "shift.txt").write_text("[title]\nMine: {{ who }}\n[body]\none\n---\ntwo\n\n---\n---\n")
    (tmp_path / "kitchen.txt").write_text("[title]\n{{ what }}\n[title deleted]\nGone")
    (tmp_path / "README.md").write_text("not a template")
    messages = Messages(tmp_path)
    ours = {"absence_record", "absence_request", "employee", "generic", "payroll_line", "portal"}
    ours |= {"target", "delivery", "worker", "feed", "store", "quarantine", "backlog"}
    assert messages.names == tuple(sorted({*ours, "kitchen", "punchclock_entry", "shift"}))
    mine = messages.render(sample("planday.shift.created"), escape=str)
    assert (mine.title, mine.body) == ("Mine: Ida Testrup", ("one", "two"))
    assert messages.render(sample("planday.shift.deleted"), escape=str, template="kitchen").title == "Gone"
    assert messages.render(sample("planday.employee.created"), escape=str).title == "New employee"


def test_every_fault_is_found_at_start_with_its_line(tmp_path: Path) -> None:
    """Syntax, unknown names, unknown filters (in branches not taken too), unknown fields: all in one error."""
    (tmp_path / "shift.txt").write_text("[title]\n\n{{ what }\n[body]\nfine\n{{ employe }}\n{{ who | shout }}\n")
    (tmp_path / "employee.txt").write_text("[title]\n{% if false %}\n{{ who | shout }}{% endif %}\n[foot]\n[title]\nx")
    (tmp_path / "other.txt").write_text("[title]\n{{ event.data.object.nope }}\n[body]\n{{ '|' | upper }}")
    (tmp_path / "generic.txt").write_text("[body]\nno title")
    (tmp_path / "absence_request.txt").write_text("[title]\nx\n[title publishd]\ny")
    (tmp_path / "large.txt").write_text("[title]\n" + "x" * 17_000)
    (tmp_path / "binary.txt").write_bytes(b"\xff\xfe")
    found = {fault.replace(f"{tmp_path}/", "").partition("; ")[0] for fault in faults_of(tmp_path)}
    assert found == {
        "shift.txt:3: unexpected `}`, expected end of variable block",
        "shift.txt:6: 'employe' is not known",
        "shift.txt:7: there is no filter 'shout'",
        "employee.txt:3: there is no filter 'shout'",
        "employee.txt:4: there is no section [foot]",
        "employee.txt:5: section [title] stands here a second time",
        "other.txt:2: `event.data.object.nope` is undefined (with planday.employee.created)",
        "generic.txt:1: there is no section [title]",
        "absence_request.txt:3: no absence_request event is called 'publishd'",
        "large.txt: larger than 16 KiB",
        "binary.txt: cannot be read: UnicodeDecodeError",
    }


def test_a_folder_that_is_not_there_is_a_fault(tmp_path: Path) -> None:
    """The setting is named."""
    assert faults_of(tmp_path / "nowhere") == [
        f"relay.templates: the folder {tmp_path / 'nowhere'} cannot be read: FileNotFoundError"
    ]


def test_an_endless_template_is_found_at_start(tmp_path: Path) -> None:
    """Fuel bounds the work of one text."""
    (tmp_path / "shift.txt").write_text(
        "[title]\n{% for a in range(9999) %}{% for b in range(9999) %}x{% endfor %}{% endfor %}"
    )
    assert "fuel" in faults_of(tmp_path)[0]


def test_what_fails_on_an_event_falls_back_and_is_counted(tmp_path: Path) -> None:
    """A template that only fails on some events costs no message: the generic one is used, and somebody hears."""
    (tmp_path / "shift.txt").write_text("[title]\n{% if position == 'Chef' %}{{ employee | round }}{% endif %}x\n")
    failed: list[str] = []
    messages = Messages(tmp_path, on_fault=failed.append)
    envelope = sample("planday.shift.created")
    assert messages.render(envelope, escape=str).title == "x"
    envelope["data"]["related"]["position"] = {"name": "Chef"}
    assert messages.render(envelope, escape=str).title == "Shift created"
    assert failed == ["shift"]


def test_too_much_text_falls_back(tmp_path: Path) -> None:
    """Output has a limit too."""
    (tmp_path / "shift.txt").write_text(
        "[title]\nx\n[body]\n{% for i in range(500) %}{{ event.data.received.text | default() }}{% endfor %}"
    )
    failed: list[str] = []
    messages = Messages(tmp_path, on_fault=failed.append)
    envelope = sample("planday.shift.created")
    envelope["data"]["received"] = {"text": "long " * 100}
    assert messages.render(envelope, escape=str).title == "Shift created"
    assert failed == ["shift"]


def test_even_a_broken_generic_template_costs_no_message(tmp_path: Path) -> None:
    """The last resort is made without a template."""
    (tmp_path / "generic.txt").write_text("[title]\n{% if type == 'planday.x.y' %}{{ type | round }}{% endif %}x")
    failed: list[str] = []
    messages = Messages(tmp_path, on_fault=failed.append)
    message = messages.render({"type": "planday.x.y", "subject": "x/1"}, escape=str)
    assert message == Message(title="X y", body=("X 1",), context=())
    assert failed == ["generic"]


def test_every_name_is_explained_to_operators() -> None:
    """The README beside the operator's templates lists each name that can be used."""
    readme = (Path(__file__).parents[2] / "config/templates/README.md").read_text("utf-8")
    assert [name for name in sorted(NAMES) if f"`{name}`" not in readme] == []


def test_types_of_an_entity() -> None:
    """The family of a template is the entity in the type's name."""
    assert "planday.shift.published" in types_of("shift")
    assert types_of("kitchen") == ()
