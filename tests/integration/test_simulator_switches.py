"""Each switch for what Planday leaves undocumented changes exactly that."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from relay.simulator.flavours import BISTRO, DEACTIVATED, FUTURE_DISMISSAL, IDA
from tests.integration.test_simulator import PUNCHES, REQUESTS, SHIFTS, WINDOW, Caller, in_process

EMPLOYEES = "/hr/v1.0/employees"


@pytest.fixture
async def planday() -> AsyncIterator[Caller]:
    """A simulated Planday and a client of it."""
    async with in_process() as caller:
        yield caller


async def act(planday: Caller, what: str, **fields: Any) -> dict[str, Any]:
    """One action through the control endpoint."""
    answer: dict[str, Any] = await planday.control(f"/portals/{BISTRO}/{what}", **fields)
    return answer


async def ids(planday: Caller, path: str, **params: Any) -> list[int]:
    """The ids of one page."""
    return [row["id"] for row in await planday.data(path, **{"limit": 50} | params)]


@pytest.mark.parametrize(
    ("api", "path", "name"),
    [
        ("hr", EMPLOYEES, "deactivationDate"),
        ("scheduling", SHIFTS, "positionId"),
        ("punchclock", PUNCHES, "endDateTime"),
        ("absence", "/absence/v1.0/accounttypes", "accruingRate"),
    ],
)
async def test_each_api_may_treat_nulls_in_its_own_way(planday: Caller, api: str, path: str, name: str) -> None:
    """Present or left out, whatever the others do."""
    limit: dict[str, Any] = {"Limit": 50} if api == "absence" else {"limit": 50}
    params = limit | (WINDOW if api == "punchclock" else {})
    for common, own, there in (("omit", "present", True), ("present", "omit", False), ("omit", "as_others", False)):
        planday.simulator.settings.change({"nulls": common, f"{api}_nulls": own})
        rows = await planday.data(path, **params)
        assert any(row.get(name, "?") is None for row in rows) is there


@pytest.mark.parametrize(
    ("switch", "what", "record_id"),
    [
        ("approval_moves_modified", "shift/approve", 70010045),
        ("approval_moves_modified", "shift/unapprove", 70010041),
        ("assignment_moves_modified", "shift/assign", 70010051),
        ("publishing_moves_modified", "shift/publish", 70010052),
        ("punch_moves_modified", "punchclock_entry/end", 8800123),
    ],
)
async def test_what_moves_a_shifts_modified_time_is_a_switch(
    planday: Caller, switch: str, what: str, record_id: int
) -> None:
    """With it off the change is made and `modifiedFrom` does not find it."""
    for on in (False, True):
        planday.simulator.reset()
        planday.tokens.clear()
        planday.simulator.settings.change({switch: on})
        await act(planday, what, id=record_id, **({"employeeId": 910240} if "assign" in what else {}))
        assert len(await ids(planday, SHIFTS, modifiedFrom="2026-10-21T09:00:00Z")) == int(on)
        assert len(planday.simulator.changes) == 1


async def test_what_moves_an_employees_modified_time_is_a_switch(planday: Caller) -> None:
    """Membership may not; and a rename may move the person's shifts."""
    since = {"modifiedFrom": "2026-10-21T09:00:00Z"}
    planday.simulator.settings.membership_moves_modified = False
    await act(planday, "employee/edit", id=IDA, departments=[4102])
    assert await ids(planday, EMPLOYEES, **since) == []
    planday.simulator.settings.rename_moves_shifts = True
    await act(planday, "employee/edit", id=IDA, lastName="Nyt")
    assert await ids(planday, EMPLOYEES, **since) == [IDA]
    assert await ids(planday, SHIFTS, **since) == [70010044, 70010045, 70010050]


async def test_filters_may_take_their_bound_or_not(planday: Caller) -> None:
    """Strictly after or from: for modified, deleted and deactivated alike."""
    await act(planday, "shift/delete", id=70010045)
    await act(planday, "shift/approve", id=70010049)
    now = "2026-10-21T10:00:00Z"
    for form, found in (("inclusive", 1), ("strict", 0)):
        planday.simulator.settings.change(
            {"modified_from": form, "deleted_from": form, "deactivated_from": form},
        )
        assert len(await ids(planday, SHIFTS, modifiedFrom=now)) == found
        assert len(await ids(planday, f"{SHIFTS}/deleted", deletedFrom=now)) == found
        day = "2026-10-01T06:00:00Z"
        assert len(await ids(planday, f"{EMPLOYEES}/deactivated", deactivatedFrom=day)) == found


@pytest.mark.parametrize(
    ("field", "since", "found"),
    [
        ("dateTimeDeleted", "2026-10-01T00:00:00Z", [DEACTIVATED]),
        ("deactivationDate", "2026-10-01T00:00:00Z", []),
        ("dateTimeModified", "2026-10-15T00:00:00Z", [DEACTIVATED]),
    ],
)
async def test_which_time_the_deactivated_are_found_by(
    planday: Caller, field: str, since: str, found: list[int]
) -> None:
    """Three candidates; the docs name none."""
    planday.simulator.settings.change({"deactivated_by": field})
    assert await ids(planday, f"{EMPLOYEES}/deactivated", deactivatedFrom=since) == found


async def test_a_future_dismissal_may_be_listed_early(planday: Caller) -> None:
    """Among the deactivated from the day it is entered, though still active."""
    planday.simulator.settings.future_dismissals_deactivated = True
    assert await ids(planday, f"{EMPLOYEES}/deactivated") == [FUTURE_DISMISSAL, DEACTIVATED]
    assert FUTURE_DISMISSAL in await ids(planday, EMPLOYEES)


async def test_shifts_may_have_a_default_window_and_a_longest_one(planday: Caller) -> None:
    """Without `from` and `to` only the days around today; too long a window is 400."""
    planday.simulator.settings.shifts_default_days = 1
    days = {row["date"] for row in await planday.data(SHIFTS, limit=50)}
    assert days == {"2026-10-20", "2026-10-21", "2026-10-22"}
    assert len(await ids(planday, SHIFTS, **{"from": "2026-10-01", "to": "2026-10-31"})) > 10
    planday.simulator.settings.shifts_max_days = 31
    whole: dict[str, Any] = {"from": "2026-10-01", "to": "2026-10-31"}
    assert (await planday.get(SHIFTS, limit=5, **whole)).is_success
    assert (await planday.get(SHIFTS, limit=5, **whole | {"to": "2026-11-01"})).status_code == 400


async def test_deleted_shifts_may_be_forgotten(planday: Caller) -> None:
    """How long they stay listed is unknown."""
    assert await ids(planday, f"{SHIFTS}/deleted") == [70010046]
    planday.simulator.settings.deleted_retention_days = 7
    assert await ids(planday, f"{SHIFTS}/deleted") == [70010046]
    planday.simulator.clock.advance(8 * 86400)
    planday.tokens.clear()
    assert await ids(planday, f"{SHIFTS}/deleted", deletedFrom="2026-10-01T00:00:00Z") == []


async def test_the_punch_window_tests_the_start_or_any_moment(planday: Caller) -> None:
    """A punch that runs into the window, one that is still on duty, and the window's very end."""
    late: dict[str, Any] = {"from": "2026-10-20T14:30", "to": "2026-10-20T17:00"}
    assert await ids(planday, PUNCHES, **late) == [8800125]
    planday.simulator.settings.punch_window = "overlap"
    assert await ids(planday, PUNCHES, **late) == [8800125, 8800126]
    today: dict[str, Any] = {"from": "2026-10-21T10:00", "to": "2026-10-21T11:00"}
    assert await ids(planday, PUNCHES, **today) == [8800123]
    planday.simulator.settings.punch_window_end = "exclusive"
    assert await ids(planday, PUNCHES, **late) == [8800126]


async def test_a_punch_may_show_late(planday: Caller) -> None:
    """Start, end and deletion each take their time; the record of changes knows at once."""
    planday.simulator.settings.punch_latency = 120
    punch = (await act(planday, "punchclock_entry/start", shiftId=70010047))["entity"]["id"]

    async def seen() -> dict[int, str | None]:
        return {row["id"]: row["endDateTime"] for row in await planday.data(PUNCHES, limit=50, **WINDOW)}

    assert punch not in await seen()
    assert (await planday.get(f"{PUNCHES}/byShift/70010047")).status_code == 404
    planday.simulator.clock.advance(60)
    await act(planday, "punchclock_entry/end", id=punch)
    planday.simulator.clock.advance(60)
    assert (await seen())[punch] is None
    planday.simulator.clock.advance(60)
    assert (await seen())[punch] == "2026-10-21T12:01"
    await act(planday, "punchclock_entry/delete", id=punch)
    assert punch in await seen()
    planday.simulator.clock.advance(120)
    assert punch not in await seen()
    assert (await planday.http.get("/control/state")).is_success


async def test_the_punch_clocks_limit_may_be_a_refusal(planday: Caller) -> None:
    """Lowered silently, or 400."""
    planday.simulator.settings.punchclock_over_max = "400"
    assert (await planday.get(PUNCHES, limit=501, **WINDOW)).status_code == 400


@pytest.mark.parametrize(
    ("form", "zone"),
    [("iana", "Europe/Copenhagen"), ("windows", "Romance Standard Time"), ("offset", "UTC+01:00"), ("empty", "")],
)
async def test_the_portals_zone_has_no_known_form(planday: Caller, form: str, zone: str) -> None:
    """A shift's own zone is IANA in any case."""
    planday.simulator.settings.change({"portal_zone": form})
    assert (await planday.data("/portal/v1.0/info"))["timeZone"] == zone
    assert (await planday.data(f"{SHIFTS}/70010045"))["timeZone"] == "Europe/Copenhagen"


async def test_an_ssn_nobody_asked_for_may_be_empty_null_or_missing(planday: Caller) -> None:
    """Samples show it empty; the rest is unknown."""
    for form, value in (("empty", ""), ("null", None), ("omit", "missing")):
        planday.simulator.settings.change({"ssn_unasked": form})
        assert (await planday.data(f"{EMPLOYEES}/{IDA}")).get("ssn", "missing") == value


async def test_approving_a_punch_may_move_the_shifts_times(planday: Caller) -> None:
    """Rounding is Planday's; what counts here is that the shift moves along."""
    planday.simulator.settings.approval_moves_times = True
    await act(planday, "punchclock_entry/approve", id=8800126)
    shift = await planday.data(f"{SHIFTS}/70010043")
    assert (shift["startDateTime"], shift["endDateTime"]) == ("2026-10-20T07:07", "2026-10-20T15:17")


# Order, and rows that move between two pages


async def test_the_order_of_rows_is_promised_nowhere(planday: Caller) -> None:
    """By id, by modified time, in none but a steady one, or another every time; never a row more or less."""
    await act(planday, "shift/approve", id=70010049)
    by_id = await ids(planday, SHIFTS)
    orders = {}
    for order in ("modified", "shuffled", "unstable"):
        planday.simulator.settings.change({"order": order})
        orders[order] = [await ids(planday, SHIFTS) for _ in range(2)]
        assert all(sorted(one) == by_id != one for one in orders[order])
    assert orders["modified"][0][0] == 70010049
    assert orders["shuffled"][0] == orders["shuffled"][1]
    assert orders["unstable"][0] != orders["unstable"][1]


async def test_a_row_deleted_between_pages_hides_another(planday: Caller) -> None:
    """By offset one row is never seen, and only the total tells; the record of changes has the deletion."""
    whole = await ids(planday, SHIFTS)
    planday.simulator.settings.delete_between_pages = True
    first = (await planday.get(SHIFTS, limit=10)).json()
    second = (await planday.get(SHIFTS, limit=10, offset=10)).json()
    seen = [row["id"] for row in first["data"] + second["data"]]
    assert whole[10] not in seen
    assert second["paging"]["total"] == first["paging"]["total"] - 1
    assert [(one.action, one.id) for one in planday.simulator.changes] == [("delete", whole[0])]


async def test_people_come_and_go_between_pages_too(planday: Caller) -> None:
    """The same mischief on the list of employees."""
    whole = await ids(planday, EMPLOYEES)
    planday.simulator.settings.insert_between_pages = True
    first = await ids(planday, EMPLOYEES, limit=5)
    assert (await ids(planday, EMPLOYEES, limit=5, offset=5))[0] == first[-1]
    planday.simulator.settings.delete_between_pages = True
    await ids(planday, EMPLOYEES, limit=5)
    assert await ids(planday, EMPLOYEES) == whole


async def test_a_test_may_meddle_between_any_two_pages(planday: Caller) -> None:
    """The hook hears of each page but the last."""
    heard: list[str] = []
    planday.simulator.between_pages.append(lambda path, portal_id: heard.append(f"{path} {portal_id}"))
    await planday.get(REQUESTS, Limit=2)
    await planday.get(REQUESTS, Limit=50)
    assert heard == [f"{REQUESTS} {BISTRO}"]
