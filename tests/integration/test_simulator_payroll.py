"""The simulated payroll: what a period pays, derived from its shifts, with every oddity of the real one."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from relay.simulator.flavours import BISTRO, HARBOUR, HOLIDAY, IDA
from relay.simulator.identity import PAYROLL_SCOPES
from tests.integration.test_simulator import Caller, in_process

PAYROLL = "/payroll/v1.0/payroll"
OCTOBER: dict[str, Any] = {"departmentIds": "4101,4102,4103", "from": "2026-10-01", "to": "2026-10-31"}
IDAS_SHIFT = 70010044


@pytest.fixture
async def planday() -> AsyncIterator[Caller]:
    """A simulated Planday whose app may read payroll."""
    async with in_process(scopes=PAYROLL_SCOPES) as caller:
        yield caller


async def payroll(planday: Caller, **params: Any) -> dict[str, Any]:
    """One reading of October."""
    answer = await planday.get(PAYROLL, **OCTOBER | params)
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body


async def lines(planday: Caller, **params: Any) -> dict[int, dict[str, Any]]:
    """The shifts' rows by shift."""
    return {row["id"]: row for row in (await payroll(planday, **params))["shiftsPayroll"]}


async def test_a_line_is_final_money_for_a_shift(planday: Caller) -> None:
    """No envelope, no paging; wall clocks with seconds; a currency that follows the portal."""
    body = await payroll(planday)
    assert set(body) == {
        "currencySymbol",
        "currencyFormatString",
        "shiftsPayroll",
        "supplementsPayroll",
        "salariedPayroll",
    }
    row = (await lines(planday))[IDAS_SHIFT]
    del row["futureField"]
    assert row == {
        "id": IDAS_SHIFT,
        "employeeId": IDA,
        "departmentId": 4101,
        "employeeGroupId": 5201,
        "positionId": 6301,
        "shiftTypeId": 1,
        "date": "2026-10-20",
        "start": "2026-10-20T09:00:00",
        "end": "2026-10-20T17:00:00",
        "shiftDuration": "08:00:00",
        "salaryCode": "MARKER-E-code-1",
        "salary": 1200.0,
        "wage": {"rate": 150.0, "type": "Hourly"},
        "supplements": [],
        "breaks": [],
    }
    harbour = (await planday.get(PAYROLL, portal=HARBOUR, **OCTOBER)).json()
    assert (body["currencySymbol"], harbour["currencySymbol"]) == ("kr.", "£")


async def test_status_parts_approved_from_other_shifts(planday: Caller) -> None:
    """Together they are all; salaried people are in both, so they prove nothing."""
    everything, yes, no = [
        await payroll(planday, **params) for params in ({}, {"shiftStatus": "Approved"}, {"shiftStatus": "Nonapproved"})
    ]
    ids = [{row["id"] for row in body["shiftsPayroll"]} for body in (everything, yes, no)]
    assert ids[1] == {70010041, 70010042, IDAS_SHIFT}
    assert ids[1] | ids[2] == ids[0]
    assert not ids[1] & ids[2]
    assert everything["salariedPayroll"] == yes["salariedPayroll"] == no["salariedPayroll"]
    planday.simulator.settings.punch_approval_pays = False
    assert 70010042 not in await lines(planday, shiftStatus="Approved")


async def test_some_shifts_have_no_line(planday: Caller) -> None:
    """Drafts, open shifts, shifts without a department, and a shift type that payroll leaves out."""
    ids = set(await lines(planday, to="2026-12-31"))
    shifts = planday.simulator.portals[BISTRO].shifts
    assert not ids & {70010051, 70010052, 70010053, 70010055, 70010057, 70010058}
    assert shifts[70010057]["shiftTypeId"] == HOLIDAY


async def test_money_takes_breaks_evenings_and_meals_into_account(planday: Caller) -> None:
    """An unpaid break and a meal are negative; an evening supplement is inside its line."""
    row = (await lines(planday))[70010042]
    (pause,), (evening,) = row["breaks"], row["supplements"]
    rate = row["wage"]["rate"]
    assert (pause["modification"], pause["isPaid"]) == (-rate / 2, False)
    assert evening["modification"] == 4.5 * 25
    assert row["salary"] == round(7.5 * rate - rate / 2 + 4.5 * 25, 2)
    meals = (await payroll(planday))["supplementsPayroll"]
    assert {meal["salary"] for meal in meals} == {-35.0}
    assert meals[0]["start"].endswith("T00:00:00")
    assert "id" not in meals[0]


async def test_some_wages_are_no_rates(planday: Caller) -> None:
    """A monthly person's rate is null, another's is by the shift; the monthly salary is prorated by the window."""
    await planday.control(f"/portals/{BISTRO}/shift/assign", id=IDAS_SHIFT, employeeId=910239)
    row = (await lines(planday))[IDAS_SHIFT]
    assert (row["wage"], row["salary"]) == ({"rate": None, "type": "Hourly"}, 0.0)
    assert (await lines(planday))[70010041]["wage"] == {"rate": 900.0, "type": "Shift"}
    (whole,) = (await payroll(planday))["salariedPayroll"]
    (part,) = (await payroll(planday, to="2026-10-10"))["salariedPayroll"]
    (full,) = (await payroll(planday, to="2026-10-10", returnFullSalaryForMonthlyPaid="true"))["salariedPayroll"]
    assert whole["salary"] == full["salary"] == whole["wage"]
    assert part["salary"] == round(whole["wage"] * round(10 / 31, 12), 2)
    (over,) = (await payroll(planday, **{"from": "2026-10-31", "to": "2026-11-01"}))["salariedPayroll"]
    assert over["salary"] == round(over["wage"] * (1 / 31 + 1 / 30), 2)


async def test_hours_that_pass_count_not_those_on_the_wall(planday: Caller) -> None:
    """Across the night the clocks go back eight hours on the wall are nine."""
    await planday.control(
        f"/portals/{BISTRO}/shift/edit",
        id=70010045,
        startDateTime="2026-10-24T22:00",
        endDateTime="2026-10-25T06:00",
    )
    assert (await lines(planday))[70010045]["shiftDuration"] == "09:00:00"


@pytest.mark.parametrize("missing", ["departmentIds", "from", "to"])
async def test_departments_and_period_are_required(planday: Caller, missing: str) -> None:
    """Without one of them it is 400."""
    params = {name: value for name, value in OCTOBER.items() if name != missing}
    assert (await planday.get(PAYROLL, **params)).status_code == 400


@pytest.mark.parametrize(
    "wrong", [{"shiftStatus": "approved"}, {"from": "2026-11-01"}, {"departmentIds": "4101;4102"}, {"to": "soon"}]
)
async def test_a_wrong_parameter_is_400(planday: Caller, wrong: dict[str, str]) -> None:
    """Malformed values are named."""
    assert (await planday.get(PAYROLL, **OCTOBER | wrong)).status_code == 400


async def test_the_guides_misspelling_is_noted(planday: Caller) -> None:
    """`shiftStaus` does nothing, and is unexpected; a careful reading is not."""
    await payroll(planday)
    assert await planday.unexpected() == []
    await payroll(planday, shiftStaus="Approved")
    assert await planday.unexpected() == ["undocumented parameter: shiftStaus"]


async def test_payroll_needs_its_scope() -> None:
    """Not in the default app: 403."""
    async with in_process() as planday:
        assert (await planday.get(PAYROLL, **OCTOBER)).status_code == 403


async def test_a_line_moves_with_its_shift_and_the_record_says_how(planday: Caller) -> None:
    """Approval, hours, breaks, the type and the code all move lines; what payroll shows is what the record holds."""

    async def moved(what: str, **fields: Any) -> list[tuple[str, int, dict[str, Any]]]:
        answer = await planday.control(f"/portals/{BISTRO}/{what}", **fields)
        return [
            (row["entity"], row["id"], row["after"])
            for row in answer["change"]["also"]
            if row["entity"].startswith("payroll_")
        ]

    (approval, meal) = await moved("shift/approve", id=70010045)
    assert approval == ("payroll_line", 70010045, {"approved": True})
    assert meal == ("payroll_supplement", 70010045, {"approved": True})
    ((_, _, longer),) = await moved("shift/edit", id=IDAS_SHIFT, endDateTime="2026-10-20T18:00")
    assert longer == {"end": "2026-10-20T18:00:00", "shiftDuration": "09:00:00", "salary": 1350.0}
    assert (await lines(planday))[IDAS_SHIFT]["salary"] == 1350.0
    assert [row[2] for row in await moved("shift/delete", id=IDAS_SHIFT)] == [{}, {}]
    assert IDAS_SHIFT not in await lines(planday)
    recoded = await moved("shift_type/edit", id=1, salaryCode="MARKER-E-new")
    assert {one[1] for one in recoded} >= {70010041, 70010042}
    assert len(await moved("employee/edit", id=910234, employeeTypeId=72)) >= 1
    assert await moved("shift/edit", id=70010041, comment="MARKER-H-x") == []
