"""A living portal does everything people do, at the hours they do it, the same for the same seed, and fast."""

import asyncio
import time
from collections import Counter
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from relay.simulator import Clock, Life, LifeSettings, create_simulator, running
from relay.simulator.flavours import BISTRO, HARBOUR
from relay.simulator.life import steps
from relay.simulator.simulator import Simulator
from tests.integration.test_simulator import PUNCHES, SHIFTS, in_process

MIDNIGHT = datetime(2026, 10, 20, 22, tzinfo=UTC)  # in Copenhagen
DAY = timedelta(days=1)
# The night of this day the clocks go back.
AUTUMN = datetime(2026, 10, 24, 22, tzinfo=UTC)


def born(*, seed: int = 1, start: datetime = MIDNIGHT, **options: Any) -> Life:
    """A life on a stopped clock."""
    return Life(Simulator(clock=Clock(stopped_at=start)), BISTRO, seed=seed, **options)


def story(life: Life) -> list[dict[str, Any]]:
    """Everything that happened, as plain data."""
    return [asdict(change) for change in life.changes]


@pytest.fixture(scope="module")
def day() -> Life:
    """One day of 200 people."""
    life = born()
    life.run(MIDNIGHT + DAY)
    return life


def test_a_day_of_200_people_takes_few_seconds() -> None:
    """Measured in processor time, population included, with room for a slow machine."""
    began = time.process_time()
    life = born(seed=7)
    life.run(MIDNIGHT + DAY)
    life.coalesced(range(0, len(life.changes), 2))
    assert time.process_time() - began < 5


def test_a_day_has_about_1500_changes_and_a_quiet_night(day: Life) -> None:
    """Give or take a fifth; from midnight to five hardly any."""
    assert 1200 < len(day.changes) < 1900
    hours = Counter((datetime.fromisoformat(one.at).astimezone(UTC).hour + 2) % 24 for one in day.changes)
    assert sum(hours[hour] for hour in range(5)) < 0.03 * len(day.changes)
    assert sum(hours[hour] for hour in range(8, 18)) > 0.6 * len(day.changes)


def test_nobody_changes_the_record_of_changes_order(day: Life) -> None:
    """Instants and sequence numbers rise together; a save that changes nothing is rare, and told by nobody."""
    assert [one.sequence for one in day.changes] == list(range(1, len(day.changes) + 1))
    assert [one.at for one in day.changes] == sorted(one.at for one in day.changes)
    empty = {one.sequence for one in day.changes if not (one.before or one.after or one.also)}
    assert len(empty) < 0.01 * len(day.changes)
    assert not empty & {number for one in day.coalesced(range(len(day.changes) + 1)) for number in one.sequences}


def test_a_week_has_everything_that_happens_in_a_portal() -> None:
    """Every kind of change of the brief, and the types it leads to."""
    life = born(people=80, changes_per_day=2500)
    life.run(MIDNIGHT + 7 * DAY, step=timedelta(minutes=30))
    done = set(life.counts())
    assert done >= {
        *(f"shift/{what}" for what in ("create", "edit", "assign", "publish", "approve", "unapprove", "delete")),
        *(f"punchclock_entry/{what}" for what in ("start", "end", "edit", "approve", "unapprove", "delete")),
        *(f"punchclock_break/{what}" for what in ("start", "end")),
        *(f"absence_request/{what}" for what in ("create", "edit", "approve", "decline", "cancel", "remove")),
        *(f"employee/{what}" for what in ("create", "edit", "deactivate", "reactivate", "dismiss")),
        *(f"{what}/edit" for what in ("department", "employee_group", "position", "shift_type")),
    }
    told = {kind for one in life.coalesced(range(0, len(life.changes), 5)) for kind in one.types}
    assert told >= {
        "planday.shift.published",
        "planday.shift.unassigned",
        "planday.absence_record.created",
        "planday.absence_record.deleted",
        "planday.payroll_line.created",
        "planday.payroll_line.corrected",
        "planday.payroll_line.reversed",
        "planday.employee.salary_identifier_changed",
    }
    sick = [one for one in life.changes if one.after.get("shiftTypeId") == 9]
    assert sick


def test_old_days_are_touched_too(day: Life) -> None:
    """Punches up to 31 days back are edited and approved."""
    portal = day.simulator.portals[BISTRO]
    ages = {
        (MIDNIGHT.date() - datetime.fromisoformat(portal.punches[one.id]["startDateTime"]).date()).days
        for one in day.changes
        if one.entity == "punchclock_entry" and one.id in portal.punches and one.action in ("edit", "approve")
    }
    assert max(ages) > 20
    assert max(ages) <= 31


def test_a_seesaw_of_approvals_is_there(day: Life) -> None:
    """Some shift is approved, unapproved and approved on the same day."""
    actions: dict[int, list[str]] = {}
    for one in day.changes:
        if one.entity == "shift" and one.action in ("approve", "unapprove"):
            actions.setdefault(one.id, []).append(one.action)
    assert ["approve", "unapprove", "approve"] in actions.values()


def test_the_portal_is_full_before_anybody_looks() -> None:
    """People, departments, a month of worked days, two weeks ahead of which the later one is drafts; no change."""
    life = born()
    portal = life.simulator.portals[BISTRO]
    assert life.changes == []
    assert len(portal.employees) == 212
    assert len(portal.departments) == 11
    dates = sorted(row["date"] for key, row in portal.shifts.items() if 70020000 < key < 2**53)
    assert (dates[0], dates[-1]) == ("2026-09-20", "2026-11-03")
    drafts = {row["date"] for row in portal.shifts.values() if row["status"] == "Draft"}
    assert "2026-11-03" in drafts
    assert not [date for date in drafts if date < "2026-10-27"]
    # Nothing looks as if it had been changed just now.
    assert all(row["dateTimeModified"] < "2026-10-20T22:00:00" for row in portal.employees.values())


def test_the_same_seed_lives_the_same_life() -> None:
    """Whatever the steps; another seed lives another."""
    one, same, other = born(people=40), born(people=40), born(people=40, seed=2)
    one.run(MIDNIGHT + DAY)
    same.run(MIDNIGHT + DAY, step=timedelta(minutes=7))
    other.run(MIDNIGHT + DAY)
    assert story(one) == story(same)
    assert story(one) != story(other)


def test_a_reset_lives_it_again() -> None:
    """From the same clock and the same people."""
    life = born(people=20)
    life.run(MIDNIGHT + DAY / 2)
    first = story(life)
    life.simulator.reset()
    assert life.changes == []
    life.run(MIDNIGHT + DAY / 2)
    assert story(life) == first


def test_two_portals_live_side_by_side() -> None:
    """On one clock, in the order of time; each keeps to itself and to its own zone."""
    simulator = Simulator(clock=Clock(stopped_at=MIDNIGHT))
    lives = [Life(simulator, one, seed=1, people=20) for one in (BISTRO, HARBOUR)]
    for _ in steps(lives, MIDNIGHT + DAY):
        pass
    assert [one.at for one in simulator.changes] == sorted(one.at for one in simulator.changes)
    assert {one.portal_id for one in lives[0].changes} == {BISTRO}
    assert len(lives[0].changes) + len(lives[1].changes) == len(simulator.changes)
    assert all(shift["timeZone"] == "Europe/London" for shift in simulator.portals[HARBOUR].shifts.values())


def test_the_rate_can_be_chosen() -> None:
    """From a sleepy day to a mad one."""
    for rate in (300, 2500):
        life = born(changes_per_day=rate)
        life.run(MIDNIGHT + DAY)
        assert 0.6 * rate < len(life.changes) < 1.4 * rate


def test_somebody_may_look_between_steps() -> None:
    """The hook sees the clock at each step, and what happened until then."""
    life = born(people=20)
    seen: list[tuple[datetime, int]] = []
    life.run(
        MIDNIGHT + timedelta(hours=12),
        step=timedelta(minutes=5),
        on_step=lambda clock: seen.append((clock.now(), len(life.changes))),
    )
    assert len(seen) == 144
    assert seen[0][0] == MIDNIGHT + timedelta(minutes=5)
    for now, count in seen:
        assert all(datetime.fromisoformat(one.at) <= now for one in life.changes[:count])


async def test_a_reader_may_poll_over_http_between_steps() -> None:
    """A careful reader of three feeds keeps up, and the budget says what it cost."""
    async with in_process() as planday:
        life = Life(planday.simulator, BISTRO, seed=3, people=30, changes_per_day=1500)
        looks: list[int] = [0]
        known = {row["id"]: row for row in await planday.data(SHIFTS, limit=5000)}
        told: list[tuple[int, int]] = []

        async def look(clock: Clock) -> None:
            planday.tokens.clear()
            now = {row["id"]: row for row in await planday.data(SHIFTS, limit=5000)}
            window: dict[str, Any] = {"from": "2026-10-20T00:00", "to": "2026-10-23T00:00"}
            assert await planday.data(PUNCHES, limit=500, **window)
            changed = {key for key in known.keys() | now.keys() if known.get(key) != now.get(key)}
            told.extend((len(looks), key) for key in changed)
            known.clear()
            known.update(now)
            looks.append(len(planday.simulator.changes))

        start = planday.simulator.clock.now()
        await life.run_async(start + timedelta(hours=3), step=timedelta(minutes=10), on_step=look)
        expected = {(one.look, one.id) for one in life.coalesced(looks, entities=["shift"]) if one.before or one.after}
        # A shift whose modified time alone moved, there and back, differs on the wire and not for the judge.
        assert expected <= set(told)
        assert planday.simulator.budget.report()["portals"][str(BISTRO)]["refused"] == 0
        assert planday.simulator.log.totals()["unexpected"] == 0


def test_the_night_the_clocks_go_back_is_lived_through() -> None:
    """Whoever works through it punches by the wall; nobody's instants are out of order."""
    life = born(start=AUTUMN, people=150, changes_per_day=2500)
    life.run(AUTUMN + DAY)
    assert len(life.changes) > 1500
    simulator = life.simulator
    assert simulator.clock.now() == AUTUMN + DAY
    assert life.coalesced([0, len(simulator.changes)])


# Served


async def test_it_lives_while_it_is_served() -> None:
    """A hundred hours in a second of ours; changes come by themselves."""
    app = create_simulator(
        clock=Clock(stopped_at=MIDNIGHT), life=LifeSettings(people=10, speed=36000, beat=0.01, changes_per_day=500)
    )
    async with running(app) as url, httpx.AsyncClient(base_url=url, trust_env=False) as http:
        for _ in range(500):
            if (await http.get("/control/life")).json()["lives"][0]["done"]:
                break
            await asyncio.sleep(0.01)
        else:
            raise AssertionError("nothing happened")
        (life,) = (await http.get("/control/life")).json()["lives"]
        assert (life["portal"], life["people"], life["changesPerDay"]) == (BISTRO, 10, 500)


async def test_a_life_that_fails_says_so() -> None:
    """Not in silence: leaving the simulator raises what stopped it."""

    def fail() -> None:
        raise ZeroDivisionError

    app = create_simulator(life=LifeSettings(people=10, beat=0.001))
    simulator: Simulator = app.state.simulator

    async def serve_and_fail() -> None:
        async with app.router.lifespan_context(app):
            simulator.lives[0].live_next = fail  # type: ignore[method-assign]
            simulator.clock.advance(86400)
            await asyncio.sleep(0.05)

    with pytest.raises(RuntimeError, match="stopped living"):
        await serve_and_fail()


async def test_it_lives_by_the_control_endpoint() -> None:
    """Born, run and judged from another process."""
    async with in_process() as planday:
        await planday.control("/life", portal=BISTRO, seed=4, people=20, changesPerDay=2000)
        before = (await planday.http.get("/control/state")).json()["changes"]
        ran = await planday.control("/life/run", seconds=7200, step=600)
        assert ran["now"] == "2026-10-21T12:00:00.250000+00:00"
        looks = [before, "2026-10-21T11:00:00Z", ran["changes"]]
        told = (await planday.control("/life/expected", portal=BISTRO, looks=looks, entities=["shift"]))["expected"]
        assert {one["look"] for one in told} == {1, 2}
        assert {one["entity"] for one in told} == {"shift"}


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/life", {"portal": 1}),
        ("/life", {"portal": BISTRO, "colour": "red"}),
        ("/life", {"portal": BISTRO}),
        ("/life/run", {}),
        ("/life/expected", {"portal": HARBOUR, "looks": []}),
    ],
)
async def test_a_senseless_life_is_400(path: str, body: dict[str, Any]) -> None:
    """An unknown portal or option, a second life, no length of time, a portal that does not live."""
    async with in_process() as planday:
        Life(planday.simulator, BISTRO, seed=1, people=10)
        assert (await planday.http.post(f"/control{path}", json=body)).status_code == 400
