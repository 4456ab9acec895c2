"""Planday's lists as the change feed reads them: whole, in windows that Planday takes, and equal to reads by id."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from datetime import date, timedelta
from typing import Any
from urllib.parse import parse_qsl

import pytest
import redis.asyncio

from relay.changes import record_version
from relay.errors import ScopeMissing
from relay.fields import KINDS, NEVER
from relay.planday.feeds import FeedReader, Sight
from relay.planday.models import Record
from relay.simulator.flavours import BISTRO, DEACTIVATED, HIDDEN, IDA
from relay.simulator.identity import PAYROLL_SCOPES
from relay.simulator.state import Portal
from tests.integration.planday_world import World

SHIFTS = "/scheduling/v1.0/shifts"
PUNCHES = "/punchclock/v1.0/punchclockshifts"
PAYROLL = "/payroll/v1.0/payroll"
EMPLOYEES = "/hr/v1.0/employees"
SHIFT = 70010045
DELETED = 70010046
FIRST, LAST = date(2026, 9, 7), date(2027, 10, 22)
MONTH = (date(2026, 10, 1), date(2026, 10, 31))


@pytest.fixture
def world(redis_client: redis.asyncio.Redis, prefix: str) -> World:
    made = World(redis_client, prefix, scopes=PAYROLL_SCOPES)
    made.generous()
    return made


@pytest.fixture
def bistro(world: World) -> Portal:
    return world.simulator.portals[BISTRO]


def reader_of(world: World, *entries: str) -> FeedReader:
    return world.planday(*(entries or ("*",))).reader("bistro")


def queries(world: World, endpoint: str) -> list[dict[str, str]]:
    """What was asked of an endpoint, as the far side noted it."""
    return [dict(parse_qsl(seen.query)) for seen in world.simulator.log.requests if seen.path == endpoint]


def numbers(sight: Sight) -> set[int]:
    return {int(number) for number in sight.rows}


# Every list --------------------------------------------------------------------------------------


async def test_every_list_is_read_whole(world: World, bistro: Portal) -> None:
    """What the portal has is what a reader shows, by id, with nothing asked that Planday does not document."""
    reader = reader_of(world)
    shown = [row for key, row in bistro.employees.items() if key != HIDDEN]
    expected: list[tuple[Sight, set[int]]] = [
        (await reader.employees(None), {row["id"] for row in shown if not row["isDeactivated"]}),
        (await reader.deactivated(None), {row["id"] for row in shown if row["isDeactivated"]}),
        (await reader.shifts(FIRST, LAST, None), set(bistro.shifts)),
        (await reader.deleted_shifts(0.0), set(bistro.deleted_shifts)),
        (await reader.punches(date(2026, 9, 18), date(2026, 10, 22)), set(bistro.punches)),
        (await reader.absence_requests(FIRST, LAST), set(bistro.absence_requests)),
        (await reader.absence_records(FIRST, LAST), set(bistro.absence_records)),
        (await reader.table("department"), set(bistro.departments)),
        (await reader.table("employee_group"), set(bistro.groups)),
        (await reader.table("position"), set(bistro.positions)),
        (await reader.table("shift_type"), set(bistro.shift_types)),
        (await reader.table("portal"), {BISTRO}),
    ]
    for sight, ids in expected:
        assert ids, sight.kind
        assert numbers(sight) == ids, sight.kind
        assert sight.steady, sight.kind
        assert sight.at == world.now(), sight.kind
        for number, record in sight.rows.items():
            assert str(record.fields["id"]) == number
            assert record.odd == (), sight.kind
    assert world.unexpected() == []


async def test_a_list_shows_nothing_that_no_target_may_have(world: World) -> None:
    """The rows are cut while they are read: a target of the classes A and B leaves no name, note or pay in them."""
    reader = reader_of(world, "class:A", "class:B")
    for sight in await _all_lists(reader):
        for record in sight.rows.values():
            assert "MARKER" not in str(record.fields), sight.kind
            assert {KINDS[sight.kind][name] for name in record.fields} <= {"A", "B"}, sight.kind


async def test_class_f_is_in_no_list(world: World) -> None:
    """Not even for a target that may have everything."""
    for sight in await _all_lists(reader_of(world)):
        for record in sight.rows.values():
            assert "MARKER-F" not in str(record)
            assert not NEVER & record.fields.keys()


async def test_no_list_asks_for_what_is_special(world: World) -> None:
    """No secret fields, no search text, and always a limit of our own: defaults differ and one of them is 0."""
    await _all_lists(reader_of(world))
    for seen in world.simulator.log.requests:
        asked = {name.lower() for name in dict(parse_qsl(seen.query))}
        assert not asked & {"special", "searchquery"}
        paged = seen.method == "GET" and not seen.path.startswith(("/portal", PAYROLL))
        assert not paged or {"limit", "offset"} <= asked, seen.path


async def _all_lists(reader: FeedReader) -> list[Sight]:
    return [
        await reader.employees(None),
        await reader.deactivated(None),
        await reader.shifts(FIRST, LAST, None),
        await reader.deleted_shifts(0.0),
        await reader.punches(date(2026, 9, 18), date(2026, 10, 22)),
        await reader.absence_requests(FIRST, LAST),
        await reader.absence_records(FIRST, LAST),
        await reader.payroll(*MONTH, [4101, 4102]),
        *[await reader.table(kind) for kind in ("department", "employee_group", "position", "shift_type", "portal")],
    ]


# A list and a read by id tell the same -------------------------------------------------------------


@pytest.mark.parametrize("nulls", ["as_seen", "present", "omit"])
@pytest.mark.parametrize("entries", [("*",), ("class:A", "class:B")])
async def test_a_list_and_a_read_by_id_have_the_same_version(
    world: World, nulls: str, entries: tuple[str, ...]
) -> None:
    """Through whichever door a state comes, it has one version: else every change would be delivered twice."""
    world.simulator.settings.change({"nulls": nulls})
    planday = world.planday(*entries)
    reader = planday.reader("bistro")
    lists = [
        await reader.shifts(FIRST, LAST, None),
        await reader.employees(None),
        await reader.deactivated(None),
        await reader.punches(date(2026, 10, 1), date(2026, 10, 22)),
        await reader.absence_requests(FIRST, LAST),
        await reader.absence_records(FIRST, LAST),
        *[await reader.table(kind) for kind in ("department", "employee_group", "position", "shift_type", "portal")],
    ]
    for sight in lists:
        for number, row in sight.rows.items():
            found = await world.enrich(planday, f"planday.{sight.kind}.updated", number)
            assert found.object is not None, (sight.kind, number, found.missing)
            # The list of the deactivated leaves this out; the feed carries the last known over.
            carried = {} if number != str(DEACTIVATED) else {"primaryDepartmentId": found.object["primaryDepartmentId"]}
            assert _version(sight.kind, {**row.fields, **carried}) == _version(sight.kind, found.object), (
                sight.kind,
                number,
            )


async def test_one_record_by_id_is_the_row_of_its_list(world: World) -> None:
    """What the feed asks for one by one compares equal to what its list showed."""
    reader = reader_of(world)
    shift, person = await reader.shift(SHIFT), await reader.employee(IDA)
    shifts, people = await reader.shifts(FIRST, LAST, None), await reader.employees(None)
    assert shift == shifts.rows[str(SHIFT)]
    assert person is not None
    assert _version("employee", person.fields) == _version("employee", people.rows[str(IDA)].fields)


async def test_what_is_gone_is_none(world: World) -> None:
    """A deleted shift, and a person out of the administrator's sight."""
    reader = reader_of(world)
    assert await reader.shift(DELETED) is None
    assert await reader.employee(HIDDEN) is None


def _version(kind: str, fields: Mapping[str, Any]) -> str:
    return record_version(kind, fields, modified=fields.get("dateTimeModified"))


# What Planday leaves open -------------------------------------------------------------------------


@pytest.mark.parametrize(
    "switches",
    [
        {"nulls": "present"},
        {"nulls": "omit"},
        {"hr_nulls": "omit", "scheduling_nulls": "present"},
        {"order": "modified"},
        {"order": "shuffled"},
        {"page_size_cap": 3},
        {"page_size_cap": 3, "paging_null": True},
        {"page_size_cap": 3, "order": "shuffled"},
        {"paging_null": True},
        {"punchclock_default": "all"},
        {"hr_over_max": "400", "absence_over_max": "400", "punchclock_over_max": "400", "scheduling_over_max": "400"},
        {"shifts_max_days": 31},
        {"unknown_fields": False},
    ],
)
async def test_what_planday_leaves_open_makes_no_difference(world: World, switches: dict[str, Any]) -> None:
    """The same rows with the same fields, however Planday writes and pages them."""
    plain = {(one.kind, n): row.fields for one in await _all_lists(reader_of(world)) for n, row in one.rows.items()}
    world.simulator.settings.change(switches)
    lists = await _all_lists(reader_of(world))
    assert all(sight.steady and sight.complete for sight in lists)
    assert {(one.kind, number): row.fields for one in lists for number, row in one.rows.items()} == plain
    assert world.unexpected() == []


@pytest.mark.parametrize("form", ["local", "local_seconds", "utc", "offset", "utc_bare"])
async def test_every_form_of_a_time_is_read(world: World, form: str) -> None:
    """Times stay as Planday writes them; nothing is unreadable."""
    world.simulator.settings.change({"datetimes": form})
    sight = await reader_of(world).shifts(FIRST, LAST, None)
    assert all(row.odd == () and row.fields["startDateTime"].startswith("20") for row in sight.rows.values())


@pytest.mark.parametrize("switch", ["insert_between_pages", "delete_between_pages"])
@pytest.mark.parametrize("list_", ["employees", "shifts"])
async def test_a_list_that_moves_between_two_pages_is_read_again(world: World, switch: str, list_: str) -> None:
    """Once moved and then still: the second run is taken, and nothing that is there is missing."""
    world.simulator.settings.change({"page_size_cap": 4, switch: True})
    reader = reader_of(world)
    sight = await (reader.employees(None) if list_ == "employees" else reader.shifts(FIRST, LAST, None))
    portal = world.simulator.portals[BISTRO]
    there = {key for key, row in portal.employees.items() if not row["isDeactivated"] and key != HIDDEN}
    assert numbers(sight) >= (there if list_ == "employees" else set(portal.shifts))
    assert sight.steady
    assert len(world.simulator.changes) == 1


async def test_a_list_that_never_holds_still_is_said_to(world: World, bistro: Portal) -> None:
    """In another order every time: all rows come together in the end, but nobody may conclude from what is missing."""
    world.simulator.settings.change({"page_size_cap": 4, "order": "unstable"})
    sight = await reader_of(world).shifts(FIRST, LAST, None)
    assert numbers(sight) == set(bistro.shifts)
    assert sight.complete
    assert not sight.steady


# Windows and marks ---------------------------------------------------------------------------------


async def test_a_year_of_shifts_is_one_window_until_planday_refuses(world: World, bistro: Portal) -> None:
    """Refused once, it is asked for month by month and not in one window again."""
    reader = reader_of(world)
    await reader.shifts(FIRST, LAST, None)
    (whole,) = queries(world, SHIFTS)
    assert whole == {"from": f"{FIRST}", "to": f"{LAST}", "limit": "1000", "offset": "0"}
    world.simulator.settings.change({"shifts_max_days": 31})
    world.simulator.log.clear()
    assert numbers(await reader.shifts(FIRST, LAST, None)) == set(bistro.shifts)
    assert numbers(await reader.shifts(FIRST, LAST, None)) == set(bistro.shifts)
    asked = queries(world, SHIFTS)
    refused = [one for one in asked if one["from"] == f"{FIRST}" and one["to"] == f"{LAST}"]
    assert len(refused) == 1
    _assert_seamless([(one["from"], one["to"]) for one in asked[1 : 1 + len(asked) // 2]])


async def test_punches_are_asked_for_in_windows_that_planday_takes(world: World) -> None:
    """Never more than 31 days, without a day between two windows."""
    await reader_of(world).punches(date(2026, 8, 1), date(2026, 10, 22))
    asked = queries(world, PUNCHES)
    assert [(one["from"], one["to"]) for one in asked] == [
        ("2026-08-01T00:00", "2026-09-01T00:00"),
        ("2026-09-01T00:00", "2026-10-02T00:00"),
        ("2026-10-02T00:00", "2026-10-23T00:00"),
    ]
    assert all(seen.status == 200 for seen in world.simulator.log.requests)


def _assert_seamless(windows: list[tuple[str, str]]) -> None:
    days = [(date.fromisoformat(one), date.fromisoformat(other)) for one, other in windows]
    assert (days[0][0], days[-1][1]) == (FIRST, LAST)
    assert all((other - one).days < 31 for one, other in days)
    assert all(after[0] - before[1] == timedelta(days=1) for before, after in itertools.pairwise(days))


@pytest.mark.parametrize("compared", ["strict", "inclusive"])
async def test_a_mark_begins_a_second_early_rather_than_late(world: World, compared: str) -> None:
    """A mark's fraction is dropped, never rounded up to a change that Planday stamps with the next whole second."""
    world.simulator.settings.change(dict.fromkeys(("modified_from", "deleted_from", "deactivated_from"), compared))
    reader = reader_of(world)
    world.clock.advance(10.875)
    since = world.now()
    world.clock.advance(0.25)
    world.simulator.act(BISTRO, "shift", "approve", id=SHIFT)
    world.simulator.act(BISTRO, "shift", "delete", id=70010044)
    world.simulator.act(BISTRO, "employee", "edit", id=IDA, firstName="Ida-Marie")
    world.simulator.act(BISTRO, "employee", "deactivate", id=910234)
    assert SHIFT in numbers(await reader.shifts(FIRST, LAST, since))
    assert numbers(await reader.deleted_shifts(since)) == {70010044}
    assert numbers(await reader.employees(since)) == {IDA}
    assert numbers(await reader.deactivated(since)) == {910234}
    filters = [(SHIFTS, "modifiedFrom"), (f"{SHIFTS}/deleted", "deletedFrom")]
    filters += [(EMPLOYEES, "modifiedFrom"), (f"{EMPLOYEES}/deactivated", "deactivatedFrom")]
    for endpoint, name in filters:
        (asked,) = queries(world, endpoint)
        assert asked[name] == "2026-10-21T12:00:10Z"


async def test_what_was_deleted_says_when_and_by_whom(world: World) -> None:
    """The two fields that only this list has."""
    row = (await reader_of(world).deleted_shifts(0.0)).rows[str(DELETED)]
    assert row.fields["dateTimeDeleted"] == "2026-10-21T09:02:33Z"
    assert row.fields["deletedBy"] == 900001


async def test_who_is_active_shows_by_the_list(world: World) -> None:
    """Neither list has the field; both rows get it."""
    reader = reader_of(world, "class:A")
    active, left = await reader.employees(None), await reader.deactivated(None)
    assert {row.fields["isDeactivated"] for row in active.rows.values()} == {False}
    assert {row.fields["isDeactivated"] for row in left.rows.values()} == {True}


# Payroll --------------------------------------------------------------------------------------------


async def test_a_payroll_month_has_its_lines_and_who_is_approved(world: World, bistro: Portal) -> None:
    """Two reads; a line of a shift has the shift's id, and is approved if it stands among the approved."""
    sight = await reader_of(world).payroll(*MONTH, sorted(bistro.departments))
    lines = _by_line(sight)
    assert lines["shift"]
    assert lines["supplement"]
    assert lines["salaried"]
    for number, row in lines["shift"].items():
        assert row.fields["isApproved"] == (bistro.shifts[int(number)]["status"] in ("Approved", "PunchclockApproved"))
        assert row.fields["startDateTime"].startswith(row.fields["date"])
        assert all("title" not in one for one in row.fields["breaks"])
    # Planday shows monthly salaries among the approved whatever they are.
    assert {row.fields["isApproved"] for row in lines["salaried"].values()} == {None}
    assert {number[0] for number in lines["supplement"]} == {"s"}
    assert {number[0] for number in lines["salaried"]} == {"m"}
    assert len({row.fields["currencySymbol"] for row in sight.rows.values()}) == 1
    asked = queries(world, PAYROLL)
    assert [one.get("shiftStatus") for one in asked] == [None, "Approved"]
    assert {one["departmentIds"] for one in asked} == {",".join(map(str, sorted(bistro.departments)))}
    assert world.unexpected() == []


async def test_money_stays_as_planday_wrote_it(world: World, bistro: Portal) -> None:
    """Nothing is computed: what payroll says of a shift is what the line has."""
    sight = await reader_of(world).payroll(*MONTH, sorted(bistro.departments))
    row = next(row for row in _by_line(sight)["supplement"].values())
    assert (row.fields["salary"], row.fields["wage"]) == (-35.0, -35.0)
    assert all(isinstance(one.fields["wage"], dict) for one in _by_line(sight)["shift"].values())


async def test_lines_without_an_id_keep_the_one_they_get(world: World, bistro: Portal) -> None:
    """The same line has the same id in the next look, whatever else the month has gained, and whatever is approved."""
    reader, departments = reader_of(world), sorted(bistro.departments)
    before = await reader.payroll(*MONTH, departments)
    world.simulator.act(BISTRO, "shift", "approve", id=SHIFT)
    after = await reader.payroll(*MONTH, departments)
    assert after.rows.keys() == before.rows.keys()
    other = await reader.payroll(date(2026, 11, 1), date(2026, 11, 30), departments)
    assert not {number for number in other.rows if number.startswith("m")} & before.rows.keys()


async def test_payroll_without_its_scope_is_named(redis_client: redis.asyncio.Redis, prefix: str) -> None:
    """The feed goes without; the error says which scope the app lacks."""
    world = World(redis_client, prefix)
    with pytest.raises(ScopeMissing) as refused:
        await reader_of(world).payroll(*MONTH, [4101])
    assert refused.value.scope == "payroll:read"


def _by_line(sight: Sight) -> dict[str, dict[str, Record]]:
    found: dict[str, dict[str, Record]] = {"shift": {}, "supplement": {}, "salaried": {}}
    for number, row in sight.rows.items():
        found[row.fields["line"]][number] = row
    return found
