"""A portal full of people, put there before anybody looks: nothing here is a change."""

from datetime import datetime, time, timedelta

from relay.simulator.deeds import Stage
from relay.simulator.life_scene import Scene, text
from relay.simulator.life_schedule import plan_shift
from relay.simulator.punch_actions import start_punch
from relay.simulator.seed_people import new_employee
from relay.simulator.state import Record
from relay.simulator.times import fine_stamp, stamp
from relay.simulator.work_actions import create_shift

_PEOPLE_PER_DEPARTMENT = 25
_FIRST = ("Alma", "Bo", "Clara", "Dan", "Ella", "Finn", "Gry", "Hans", "Iben", "Jon", "Kaja", "Lars", "Mille", "Nils")
_LAST = ("Afprøver", "Bogstav", "Citat", "Digt", "Emne", "Figur", "Glose", "Hæfte", "Indeks", "Journal", "Kladde")
_PLACES = ("Havnen", "Bakken", "Broen", "Skoven", "Stranden", "Kanalen", "Pladsen", "Gården", "Haven", "Molen")
_TITLES = ("Waiter", "Chef", "Bartender", "Host", "Runner", "Dishwasher")


def populate(scene: Scene, *, people: int, history: int) -> None:
    """Departments, people, the schedule ahead, and the days worked already with their punches."""
    _departments(scene, max(people // _PEOPLE_PER_DEPARTMENT, 1))
    for number in range(people):
        scene.people.append(settle_in(scene, number)["id"])
    for days in range(-history, scene.ahead):
        _day(scene, days)


def settle_in(scene: Scene, number: int) -> Record:
    """A person who has been here for a while."""
    portal, draw = scene.portal, scene.random
    before = scene.time - timedelta(days=draw.uniform(40, 900))
    person = new_employee(
        portal,
        employee_id=portal.new_id("employee"),
        first=f"{_FIRST[number % len(_FIRST)]}",
        last=f"{_LAST[number // len(_FIRST) % len(_LAST)]}-{number}",
        title=_TITLES[number % len(_TITLES)],
        phone=f"{40000000 + number}",
        prefix="+44" if portal.info["country"] == "GB" else "+45",
    )
    department = scene.departments[number % len(scene.departments)]
    person |= {
        "departments": [department],
        "primaryDepartmentId": department,
        "email": f"person-{person['id']}@people.example",
        "dateTimeCreated": stamp(before),
        "dateTimeModified": fine_stamp(before),
    }
    portal.employees[person["id"]] = person
    open_account(scene, person["id"])
    return person


def open_account(scene: Scene, employee_id: int) -> None:
    """Holidays to take."""
    account_id, year = scene.portal.new_id("account"), scene.today.year
    scene.portal.accounts[account_id] = {
        "id": account_id,
        "name": "MARKER-G-account",
        "employeeId": employee_id,
        "typeId": 41,
        "status": "Active",
        "validityPeriod": {"start": f"{year}-01-01", "end": f"{year + 1}-12-31"},
    }


def _departments(scene: Scene, count: int) -> None:
    portal = scene.portal
    for number in range(count):
        record_id = portal.new_id("department")
        name = _PLACES[number % len(_PLACES)] + ("" if number < len(_PLACES) else f" {number}")
        portal.departments[record_id] = {"id": record_id, "name": name, "number": str(100 + number), "isDeleted": False}
        scene.departments.append(record_id)


def _day(scene: Scene, days: int) -> None:
    day, now = scene.today + timedelta(days=days), scene.time
    stage = Stage(portal=scene.portal, clock=scene.simulator.clock, settings=scene.simulator.settings)
    for index, department in enumerate(scene.departments):
        # Each department publishes on its own day of the week, two weeks ahead.
        since = (scene.today.weekday() - index) % 7 or 7
        published = days <= scene.ahead - since
        for fields in plan_shift(scene, day, department):
            known = None if published else "Draft"
            shift = create_shift(stage, fields | ({} if known is None else {"status": known}))
            made = now - timedelta(days=scene.ahead - max(days, 0) + scene.random.random())
            shift.entity |= {"dateTimeCreated": stamp(made), "dateTimeModified": stamp(made)}
            scene.note_shift(shift.entity)
            begins = scene.instant(datetime.fromisoformat(shift.entity["startDateTime"]))
            if begins < now and shift.entity["employeeId"] is not None:
                _worked(scene, stage, shift.entity, age=-days)


def _worked(scene: Scene, stage: Stage, shift: Record, *, age: int) -> None:
    draw = scene.random
    starts, ends = (datetime.fromisoformat(shift[name]) for name in ("startDateTime", "endDateTime"))
    punched_in = starts + timedelta(minutes=draw.randint(-6, 5))
    punched_out = ends + timedelta(minutes=draw.randint(-5, 12))
    modified = shift["dateTimeModified"]
    deed = start_punch(stage, {"shiftId": shift["id"], "startDateTime": text(punched_in)})
    punch = scene.note_punch(deed.entity)
    if scene.instant(punched_out) < scene.time:
        approved = age > 1 and scene.chance(0.85)
        punch |= {"endDateTime": text(punched_out), "isApproved": approved, "description": "MARKER-H-punch"}
        shift["status"] = "PunchclockApproved" if approved else "PunchclockFinished"
        if approved and age > 2 and scene.chance(0.4):
            shift["status"] = "Approved"
        modified = stamp(min(scene.instant(punched_out) + timedelta(hours=9 if approved else 0), scene.time))
    shift["dateTimeModified"] = modified


def midnight(scene: Scene, days: int) -> datetime:
    """The first minute of a day, counted from today."""
    return scene.instant(datetime.combine(scene.today + timedelta(days=days), time(0, 1)))
