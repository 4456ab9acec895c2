"""The simulated Planday pages and filters as documented, guesses by switch, and notes what nobody documents."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from relay.simulator.identity import CLIENT_ID
from tests.integration.test_simulator import PUNCHES, REQUESTS, SHIFTS, WINDOW, Caller, in_process


@pytest.fixture
async def planday() -> AsyncIterator[Caller]:
    """A simulated Planday and a client of it."""
    async with in_process() as caller:
        yield caller


async def test_hr_lists_give_at_most_fifty(planday: Caller) -> None:
    """Over the maximum is clamped, or a 400 when switched; 0 reads only the total."""
    over = (await planday.get("/hr/v1.0/employees", limit=51)).json()
    assert over["paging"]["limit"] == 50
    empty = (await planday.get("/hr/v1.0/employees", limit=0)).json()
    assert (empty["data"], empty["paging"]["total"]) == ([], 10)
    await planday.control("/settings", hr_over_max="400")
    assert (await planday.get("/hr/v1.0/employees", limit=51)).status_code == 400


@pytest.mark.parametrize(("path", "most"), [(SHIFTS, 5000), (f"{SHIFTS}/deleted", 1000)])
async def test_shift_lists_take_one_to_their_maximum(planday: Caller, path: str, most: int) -> None:
    """Outside 1 to 5000 (deleted: 1000) a shift list is a 400."""
    for limit, status in ((0, 400), (1, 200), (most, 200), (most + 1, 400)):
        assert (await planday.get(path, limit=limit)).status_code == status
    await planday.control("/settings", scheduling_over_max="clamp")
    assert (await planday.get(path, limit=most + 1)).json()["paging"]["limit"] == most


async def test_pages_follow_each_other_without_gap(planday: Caller) -> None:
    """Offset and limit cut the same list."""
    whole = [row["id"] for row in await planday.data(SHIFTS, limit=100)]
    pages = [await planday.data(SHIFTS, limit=7, offset=offset) for offset in range(0, 28, 7)]
    assert [row["id"] for one in pages for row in one] == whole
    assert len(whole) == 20


async def test_a_row_inserted_between_pages_shows_one_row_twice(planday: Caller) -> None:
    """Paging by offset over a living list repeats a row, which a client must notice by the total."""
    await planday.control("/settings", insert_between_pages=True)
    first = (await planday.get(SHIFTS, limit=10, offset=0)).json()
    second = (await planday.get(SHIFTS, limit=10, offset=10)).json()
    assert first["data"][-1]["id"] == second["data"][0]["id"]
    assert second["paging"]["total"] == first["paging"]["total"] + 1


async def test_the_punch_clock_gives_nothing_without_a_limit(planday: Caller) -> None:
    """Its default limit is 0: no rows, or all of them when switched; a large limit is lowered."""
    empty = (await planday.get(PUNCHES, **WINDOW)).json()
    assert (empty["data"], empty["paging"]) == ([], {"offset": 0, "limit": 0, "total": 4})
    assert "missing limit" in await planday.unexpected()
    await planday.control("/settings", punchclock_default="all")
    assert len(await planday.data(PUNCHES, **WINDOW)) == 4
    assert (await planday.get(PUNCHES, **WINDOW, limit=9999)).json()["paging"]["limit"] == 500


async def test_paging_may_be_null_or_capped(planday: Caller) -> None:
    """The envelope may hold no paging at all, and the server may serve smaller pages than asked."""
    await planday.control("/settings", paging_null=True, page_size_cap=3)
    body = (await planday.get(SHIFTS, limit=50)).json()
    assert body["paging"] is None
    assert len(body["data"]) == 3


@pytest.mark.parametrize(
    ("path", "params"),
    [
        (SHIFTS, {"limit": "ten"}),
        (SHIFTS, {"limit": 5, "offset": -1}),
        (SHIFTS, {"limit": 5, "from": "2026-10-22", "to": "2026-10-21"}),
        (SHIFTS, {"limit": 5, "from": "22-10-2026"}),
        (SHIFTS, {"limit": 5, "modifiedFrom": "yesterday"}),
        (SHIFTS, {"limit": 5, "shiftStatus": "PunchclockStarted"}),
        (SHIFTS, {"limit": 5, "departmentId": "bar"}),
        (f"{SHIFTS}/abc", {}),
        ("/hr/v1.0/employees", {"limit": 5, "special": "Skills"}),
        ("/hr/v1.0/employeegroups/0", {}),
        (REQUESTS, {"Limit": 5, "startDate": "2027-01-01", "endDate": "2026-01-01"}),
        (PUNCHES, {"limit": 5}),
        (PUNCHES, {"limit": 5, "from": "2026-10-01T00:00"}),
        (PUNCHES, {"limit": 5, "from": "2026-10-01T00:00", "to": "2026-10-01T00:00"}),
        (PUNCHES, {"limit": 5, "from": "2026-10-01T00:00", "to": "2026-11-01T00:01"}),
    ],
)
async def test_a_malformed_parameter_is_400(planday: Caller, path: str, params: dict[str, Any]) -> None:
    """Every bad value is named in a problem body."""
    answer = await planday.get(path, **params)
    assert answer.status_code == 400
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["errors"]


async def test_a_window_of_31_days_is_allowed(planday: Caller) -> None:
    """The punch clock's longest window is 31 days to the minute."""
    longest: dict[str, Any] = {"from": "2026-10-01T00:00", "to": "2026-11-01T00:00"}
    assert (await planday.get(PUNCHES, limit=5, **longest)).is_success


# The log of what no documented client would do


@pytest.mark.parametrize(
    ("path", "oddity"),
    [
        ("/hr/v1.0/employees", "missing limit"),
        ("/hr/v1.0/employees?limit=5&departmentId=4101", "undocumented parameter: departmentId"),
        ("/hr/v1.0/employees?limit=5&searchQuery=ida", "searchQuery sent"),
        (f"{SHIFTS}?limit=5&employeeId=1&employeeId=2", "repeated parameter: employeeId"),
        (f"{SHIFTS}?limit=5&From=2026-10-21", "parameter casing: From"),
        ("/hr/v1.0/Departments?limit=5", "path casing or version differs from the spec"),
        ("/hr/v1/departments?limit=5", "path casing or version differs from the spec"),
        ("/schedule/v1.0/shifts?limit=5", "unknown path"),
    ],
)
async def test_an_undocumented_request_is_noted(planday: Caller, path: str, oddity: str) -> None:
    """It may even work, as it does live; the log tells."""
    await planday.get(path)
    assert await planday.unexpected() == [oddity]


async def test_a_documented_request_is_not_noted(planday: Caller) -> None:
    """A careful client leaves the list empty."""
    await planday.get(SHIFTS, limit=50, modifiedFrom="2026-10-21T00:00:00Z")
    await planday.get("/hr/v1.0/departments/4101")
    log = (await planday.http.get("/control/requests")).json()
    assert log["unexpected"] == []
    assert log["byEndpoint"] == {
        "POST /connect/token": 1,
        "GET /scheduling/v1.0/shifts": 1,
        "GET /hr/v1.0/departments/{departmentId}": 1,
    }


async def test_writes_bodies_and_secrets_are_noted(planday: Caller) -> None:
    """A write is refused; a body on GET, a client secret or API headers at the identity server are remarked."""
    await planday.get("/portal/v1.0/info")
    headers = planday.headers()
    assert (await planday.http.post(SHIFTS, json={}, headers=headers)).status_code == 403
    await planday.http.request("GET", "/portal/v1.0/info", content=b"{}", headers=headers)
    await planday.refresh(client_secret="hush")
    await planday.http.post("/connect/token", data={"client_id": CLIENT_ID}, headers=headers)
    oddities = await planday.unexpected()
    for oddity in (
        "write: POST",
        "body on GET",
        "client_secret sent",
        "X-ClientId header at the identity server",
        "Authorization header at the identity server",
    ):
        assert oddity in oddities
