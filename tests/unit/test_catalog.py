"""The catalogue: what each type says of itself, that samples fit their schemas, and that no schema changes unnoticed.

`python -m tests.unit.test_catalog` writes the frozen schemas and the table of docs/events.md anew.
"""

from __future__ import annotations

import json
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from openapi_schema_validator import OAS31Validator
from typer.testing import CliRunner

from relay import changes
from relay.alerts import conditions
from relay.catalog import CATALOG, ENTITIES, EVENTS, TYPES, Door, nearest, sample, schema, schema_id, types_of
from relay.catalog.schemas import VERSIONS, field_form
from relay.cli.main import app
from relay.events import Event, enriched_envelope
from relay.fields import KINDS, FieldList
from relay.planday import models
from relay.planday.times import local_time
from relay.settings import SlackTarget, WebhookTarget
from relay.telemetry import KNOWN_TYPES

ROOT = Path(__file__).parents[2]
FROZEN = Path(__file__).parent / "frozen"
PAGE = ROOT / "docs/events.md"
START, END = "<!-- table: python -m tests.unit.test_catalog -->\n", "<!-- end -->\n"


def table() -> str:
    """The catalogue as the page has it."""
    rows = [f"| `{row.type}` | {row.meaning} | {row.change} | {row.door.value} |" for row in CATALOG.values()]
    return "\n".join(("| type | meaning | from | who |", "| --- | --- | --- | --- |", *rows)) + "\n"


def frozen(entity: str) -> Path:
    return FROZEN / f"{entity}.{VERSIONS.get(entity, 1)}.json"


def written(entity: str) -> str:
    return json.dumps(schema(entity), indent=1) + "\n"


def relay(*arguments: str) -> Any:
    return CliRunner().invoke(app, list(arguments), prog_name="relay")


def test_every_type_says_what_it_means_and_where_it_comes_from() -> None:
    """One plain sentence, and a cause."""
    for row in CATALOG.values():
        assert row.meaning.endswith(".")
        assert "\n" not in row.meaning
        assert row.change
        assert row.type == f"{row.stem}.{row.verb}"
    told = {type_ for kind in conditions.KINDS.values() for type_ in (kind.begins, kind.ends)}
    assert {type_ for type_ in TYPES if type_.startswith("relay.")} == {"relay.test"} | told
    assert sum(map(len, EVENTS.values())) == len(TYPES)


def test_what_a_change_is_called_is_in_the_catalogue() -> None:
    """Every name that relay/changes.py can give is a type of the feed."""
    states: tuple[dict[str, Any] | None, ...] = (
        None,
        {},
        *({"status": status, "employeeId": who} for status in ("Draft", "Open", "Assigned") for who in (None, 1)),
        *({"status": status} for status in ("Approved", "Declined", "Cancelled", "Submitted")),
        {"endDateTime": "2026-10-21T17:05", "isApproved": True},
        {"isDeactivated": True, "salaryIdentifier": "P-1"},
        {"name": "x"},
    )
    found = {
        f"planday.{kind}.{verb}"
        for kind in KINDS
        if types_of(kind) and kind != "portal"
        for before, after in product(states, states)
        for verb in changes.verbs(kind, before, after)
    }
    made = {row.type for row in CATALOG.values() if row.door is Door.FEED and row.entity in KINDS}
    made |= {"planday.employee.deleted"}  # a change could be called so, but no list of Planday's shows it
    assert found - made == set()
    assert {type_ for type_ in made - found if not type_.startswith("planday.portal.")} == set()


def test_every_type_is_counted_by_its_name() -> None:
    """Metrics know the same types."""
    assert set(TYPES) == KNOWN_TYPES


def test_the_page_has_the_catalogue() -> None:
    """docs/events.md has the table that the code makes."""
    _, _, rest = PAGE.read_text(encoding="utf-8").partition(START)
    assert rest.partition(END)[0] == table()


# Schemas -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("entity", ENTITIES)
def test_no_schema_changes_without_a_new_version(entity: str) -> None:
    """What was published stays: a change takes a new number in VERSIONS, and the old copy stays too."""
    assert frozen(entity).read_text(encoding="utf-8") == written(entity)


@pytest.mark.parametrize("entity", ENTITIES)
def test_schemas_are_schemas(entity: str) -> None:
    """By the rules of their own dialect; each is named as envelopes name it."""
    found = schema(entity)
    assert found is not None
    OAS31Validator.check_schema(found)
    event = Event(
        id="evt_1",
        source="feed",
        sender_id="1",
        type=f"planday.{entity}.updated",
        portal=1,
        entity=entity,
        entity_id="1",
        received_at=1.0,
    )
    assert enriched_envelope(event, sequence=1, data={})["dataschema"] == found["$id"] == schema_id(entity)


def test_there_is_no_schema_of_what_we_do_not_know() -> None:
    """A sender's own entity has none."""
    assert schema("kitchen") is None


@pytest.mark.parametrize("type_", TYPES)
def test_samples_fit_their_schema(type_: str) -> None:
    """Whole, and cut to what a Slack channel and a webhook have by default."""
    validator = OAS31Validator(schema(CATALOG[type_].entity))
    for entries in (("*",), SlackTarget.default_fields(), WebhookTarget.default_fields()):
        assert [error.message for error in validator.iter_errors(FieldList(entries).apply(sample(type_)))] == []


def test_a_wrong_envelope_does_not_fit() -> None:
    """A schema says something: other types, other kinds of values."""
    validator = OAS31Validator(schema("shift"))
    assert not validator.is_valid({**sample("planday.shift.updated"), "type": "planday.employee.updated"})
    wrong = sample("planday.shift.updated")
    wrong["data"]["object"]["departmentId"] = "4101"
    assert not validator.is_valid(wrong)


_VALUES: tuple[Any, ...] = (1, 1.5, True, "x", [1], {"start": "x", "end": None}, [{"id": 1, "name": "x"}])


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_what_readers_make_fits_the_form(kind: str) -> None:
    """Whatever a reader lets through, the schema allows; and something it does not let through, the schema refuses."""
    found = schema(kind if kind in ENTITIES else "shift")  # its definitions of what is nested
    assert found is not None
    for name in KINDS[kind]:
        form = OAS31Validator({**field_form(kind, name), "$defs": found["$defs"]})
        assert form.is_valid(None)
        if field_form(kind, name) == {"$ref": "#/$defs/time"}:
            assert form.is_valid(local_time("2026-10-24T20:00", "Europe/Copenhagen"))
            assert not form.is_valid("2026-10-24T20:00")
            continue
        for value in _VALUES:
            read = models.read_record(kind, {name: value}, keep=frozenset({name}))
            if name in read.fields and not read.odd:
                assert form.is_valid(read.fields[name]), (name, value)
            elif name in read.fields and not isinstance(value, list | dict):
                assert not form.is_valid(value), (name, value)


# Samples and the command -------------------------------------------------------------------------


def test_samples_say_what_changed() -> None:
    """Changed fields only; nothing of a creation; all that was known of what is gone."""
    moved = sample("planday.shift.updated")["data"]
    assert moved["changes"] == {
        "before": {"startDateTime": "2026-10-24T19:00"},
        "after": {"startDateTime": "2026-10-24T20:00"},
    }
    assert moved["changed"] == ["startDateTime"]
    for entity in ENTITIES:
        assert "changes" not in sample(f"planday.{entity}.created")["data"]
    gone = sample("planday.shift.deleted")["data"]
    assert gone["object"] is None
    assert gone["changes"]["before"]["startDateTime"] == "2026-10-24T20:00"
    assert gone["changes"]["after"] == {}


@pytest.mark.parametrize(
    ("name", "first"),
    [
        ("planday.shift.publishd", "planday.shift.published"),
        ("shift.updated", "planday.shift.updated"),
        ("payroll_line", "planday.payroll_line.created"),
    ],
)
def test_slips_are_understood(name: str, first: str) -> None:
    """The nearest names, the likeliest first; nothing where nothing is like it."""
    assert nearest(name)[0] == first
    assert nearest("zzz.qqq") == ()


def test_the_command_lists_all_types() -> None:
    """Type, meaning, who; as JSON with the cause too."""
    shown = relay("catalog")
    assert shown.exit_code == 0
    assert all(type_ in shown.stdout for type_ in TYPES)
    rows = json.loads(relay("catalog", "--json").stdout)["types"]
    assert rows == [row.as_dict() for row in CATALOG.values()]


def test_the_command_shows_one_type() -> None:
    """Meaning, cause, a sample and the schema."""
    shown = relay("catalog", "planday.shift.updated")
    assert shown.exit_code == 0
    for part in ("GET /scheduling/v1.0/shifts", "urn:planday-relay:schema:shift:1", '"startDateTime"', '"$schema"'):
        assert part in shown.stdout
    found = json.loads(relay("catalog", "planday.shift.updated", "--json").stdout)
    assert found["sample"] == sample("planday.shift.updated")
    assert found["schema"] == schema("shift")


def test_an_unknown_type_is_not_found() -> None:
    """Exit code 4, with the nearest names."""
    result = relay("catalog", "shift.updated")
    assert result.exit_code == 4
    assert "did you mean planday.shift.updated?" in result.stderr
    assert "`relay catalog` lists them" in relay("catalog", "zzz.qqq").stderr


def _write() -> None:
    FROZEN.mkdir(exist_ok=True)
    for entity in ENTITIES:
        frozen(entity).write_text(written(entity), encoding="utf-8")
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(START)
    PAGE.write_text(before + START + table() + END + rest.partition(END)[2], encoding="utf-8")


if __name__ == "__main__":
    _write()
