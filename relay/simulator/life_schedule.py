"""How schedules are made and unmade: drafts, publishing, edits, swaps, open shifts, sick leave, deletions."""

from collections.abc import Iterator
from datetime import date, datetime, time, timedelta
from functools import partial

from relay.simulator.flavours import HOLIDAY, SICK_LEAVE
from relay.simulator.life_punches import expect_punch
from relay.simulator.life_scene import Chance, Scene, text
from relay.simulator.state import Record

_PLANNED = ("Open", "Assigned")
# The seed's own shifts stay as they are: tests know them.
_SEEDED = 70020000
# Start hours that are common, and how long people work.
_STARTS = (6, 7, 7, 8, 8, 9, 9, 10, 11, 12, 14, 15, 16, 16, 17, 22)
_HOURS = (4, 5, 6, 7, 7.5, 8, 8, 8.5)


def plan_shift(scene: Scene, day: date, department: int) -> Iterator[Record]:
    """What a manager would draft for a department's day."""
    draw = scene.random
    staff = [one for one in scene.people if scene.portal.employees[one]["primaryDepartmentId"] == department]
    wanted = scene.shifts_per_day / len(scene.departments)
    count = int(wanted) + scene.chance(wanted % 1)
    chosen: list[int | None] = list(draw.sample(staff, min(count, len(staff))))
    for employee_id in chosen:
        starts = datetime.combine(day, time(draw.choice(_STARTS), draw.choice((0, 0, 30))))
        yield {
            "departmentId": department,
            "employeeId": None if scene.chance(0.08) else employee_id,
            "employeeGroupId": draw.choice((5201, 5202, 5203)),
            "positionId": draw.choice((None, 6301, 6302, 6303)),
            "startDateTime": text(starts),
            "endDateTime": text(starts + timedelta(hours=draw.choice(_HOURS))),
            "comment": "MARKER-H-comment" if scene.chance(0.1) else None,
        }


def draft_day(scene: Scene, day: date, department: int) -> None:
    """Drafts for one day, a few seconds apart, as somebody types them."""
    for number, fields in enumerate(plan_shift(scene, day, department)):
        scene.after(number * scene.random.uniform(4, 30), partial(_create, scene, fields, "Draft"))


def publish(scene: Scene, department: int) -> None:
    """All of a department's drafts become visible, in one burst."""
    drafts = [
        row["id"]
        for row in scene.portal.shifts.values()
        if row["status"] == "Draft" and row["departmentId"] == department and row["id"] > _SEEDED
    ]
    for number, shift_id in enumerate(drafts):
        scene.after(number * 0.7, partial(_publish, scene, shift_id))


def _publish(scene: Scene, shift_id: int) -> None:
    shift = scene.portal.shifts.get(shift_id)
    if shift is not None and shift["status"] == "Draft":
        scene.act("shift", "publish", id=shift_id)


def _create(scene: Scene, fields: Record, status: str | None = None) -> Record:
    given = fields if status is None else {**fields, "status": status}
    shift = scene.note_shift(scene.act("shift", "create", **given))
    if status is None and shift["date"] == scene.today.isoformat():
        expect_punch(scene, shift["id"])
    return shift


def _ahead(shift: Record) -> bool:
    return shift["status"] in _PLANNED


def _staffed(shift: Record) -> bool:
    return shift["status"] == "Assigned" and shift["employeeId"] is not None


def _move_times(scene: Scene) -> bool:
    shift = scene.shift(1, scene.ahead - 1, lambda row: row["status"] in ("Open", "Assigned", "Draft"))
    if shift is None:
        return False
    starts, ends = (datetime.fromisoformat(shift[name]) for name in ("startDateTime", "endDateTime"))
    moved = timedelta(minutes=scene.random.choice((-90, -60, -30, 30, 60, 90)))
    fields = {"endDateTime": text(max(ends + moved, starts + timedelta(hours=2)))}
    if scene.chance(0.6):
        starts += moved
        # Only ever within its day, so that it is still found there.
        if starts.date().isoformat() == shift["date"]:
            fields["startDateTime"] = text(starts)
    scene.act("shift", "edit", id=shift["id"], **fields)
    return True


def _move_place(scene: Scene) -> bool:
    shift = scene.shift(0, scene.ahead - 1, _ahead)
    if shift is None:
        return False
    if scene.chance(0.5):
        groups = [one for one in (5201, 5202, 5203, 5204) if one != shift["employeeGroupId"]]
        scene.act("shift", "edit", id=shift["id"], employeeGroupId=scene.random.choice(groups))
    else:
        positions = [one for one in (None, 6301, 6302, 6303) if one != shift["positionId"]]
        scene.act("shift", "edit", id=shift["id"], positionId=scene.random.choice(positions))
    return True


def _reassign(scene: Scene) -> bool:
    shift, person = scene.shift(0, scene.ahead - 1, _staffed), scene.person()
    if shift is None or person is None or person == shift["employeeId"]:
        return False
    scene.act("shift", "assign", id=shift["id"], employeeId=person)
    return True


def _swap(scene: Scene) -> bool:
    one, other = (scene.shift(1, scene.ahead - 1, _staffed) for _ in range(2))
    if one is None or other is None or one["employeeId"] == other["employeeId"]:
        return False
    ids, people = (one["id"], other["id"]), (other["employeeId"], one["employeeId"])
    scene.act("shift", "edit", id=ids[0], status="PendingSwapAcceptance")
    agreed = scene.chance(0.7)

    def finish() -> None:
        rows = [scene.portal.shifts.get(shift_id) for shift_id in ids]
        if rows[0] is None or rows[0]["status"] != "PendingSwapAcceptance":
            return
        if not agreed or rows[1] is None or rows[1]["status"] != "Assigned" or not set(people) <= set(scene.people):
            scene.act("shift", "edit", id=ids[0], status="Assigned")
            return
        scene.act("shift", "edit", id=ids[0], status="Assigned", employeeId=people[0])
        scene.act("shift", "assign", id=ids[1], employeeId=people[1])

    scene.after(scene.random.uniform(60, 7200), finish)
    return True


def _drop(scene: Scene) -> bool:
    shift = scene.shift(0, scene.ahead - 1, _staffed)
    if shift is not None:
        scene.act("shift", "assign", id=shift["id"], employeeId=None)
    return shift is not None


def _take(scene: Scene) -> bool:
    shift, person = scene.shift(0, scene.ahead - 1, lambda row: row["status"] == "Open"), scene.person()
    if shift is None or person is None:
        return False
    scene.act("shift", "assign", id=shift["id"], employeeId=person)
    return True


def _sell(scene: Scene) -> bool:
    shift, buyer = scene.shift(1, scene.ahead - 1, _staffed), scene.person()
    if shift is None or buyer is None or buyer == shift["employeeId"]:
        return False
    scene.act("shift", "edit", id=shift["id"], status="ForSale")
    sold = scene.chance(0.6)

    def finish() -> None:
        row = scene.portal.shifts.get(shift["id"])
        if row is not None and row["status"] == "ForSale":
            bought = {"employeeId": buyer} if sold and buyer in scene.people else {}
            scene.act("shift", "edit", id=row["id"], status="Assigned", **bought)

    scene.after(scene.random.uniform(300, 20000), finish)
    return True


def _add(scene: Scene) -> bool:
    department = scene.pick(scene.departments)
    assert department is not None
    day = scene.today + timedelta(days=scene.random.randint(0, scene.ahead - 1))
    fields = next(plan_shift(scene, day, department), None)
    if fields is None or scene.instant(datetime.fromisoformat(fields["startDateTime"])) < scene.time:
        return False
    _create(scene, fields)
    return True


def _blink(scene: Scene) -> bool:
    """A mistake: made and deleted again before most readers look."""
    department = scene.pick(scene.departments)
    assert department is not None
    fields = next(plan_shift(scene, scene.today + timedelta(days=scene.random.randint(1, 9)), department), None)
    if fields is None:
        return False
    shift = scene.act("shift", "create", **fields)
    scene.after(scene.random.uniform(5, 110), lambda: scene.act("shift", "delete", id=shift["id"]))
    return True


def _delete(scene: Scene) -> bool:
    shift = scene.shift(0, scene.ahead - 1, lambda row: row["status"] in ("Open", "Assigned", "Draft"))
    if shift is not None:
        scene.act("shift", "delete", id=shift["id"])
    return shift is not None


def _comment(scene: Scene) -> bool:
    shift = scene.shift(0, scene.ahead - 1, _ahead)
    if shift is not None:
        scene.act("shift", "edit", id=shift["id"], comment=f"MARKER-H-comment-{scene.random.randrange(10**6)}")
    return shift is not None


def _fall_sick(scene: Scene) -> bool:
    shift = scene.shift(0, 1, lambda row: _staffed(row) and row["shiftTypeId"] == 1)
    if shift is None:
        return False
    scene.act("shift", "edit", id=shift["id"], shiftTypeId=SICK_LEAVE)
    if scene.chance(0.7):
        names = ("departmentId", "employeeGroupId", "positionId", "startDateTime", "endDateTime")
        fields = {name: shift[name] for name in names}
        scene.after(scene.random.uniform(60, 1800), lambda: _create(scene, fields))
    return True


def _recover(scene: Scene) -> bool:
    shift = scene.shift(0, 3, lambda row: row["shiftTypeId"] in (SICK_LEAVE, HOLIDAY) and _staffed(row))
    if shift is not None:
        scene.act("shift", "edit", id=shift["id"], shiftTypeId=1)
    return shift is not None


def _give_holiday(scene: Scene) -> bool:
    shift = scene.shift(2, scene.ahead - 1, lambda row: _staffed(row) and row["shiftTypeId"] == 1)
    if shift is not None:
        scene.act("shift", "edit", id=shift["id"], shiftTypeId=HOLIDAY)
    return shift is not None


def _correct_the_past(scene: Scene) -> bool:
    shift = scene.shift(-31, -1, lambda row: row["employeeId"] is not None and row["status"] != "Draft")
    if shift is None:
        return False
    ends = datetime.fromisoformat(shift["endDateTime"]) + timedelta(minutes=scene.random.choice((-30, -15, 15, 30)))
    scene.act("shift", "edit", id=shift["id"], endDateTime=text(ends))
    return True


CHANCES: list[tuple[float, Chance]] = [
    (16, _move_times),
    (4, _move_place),
    (8, _reassign),
    (4, _swap),
    (4, _drop),
    (5, _take),
    (2, _sell),
    (6, _add),
    (1, _blink),
    (5, _delete),
    (4, _comment),
    (4, _fall_sick),
    (1, _recover),
    (1, _give_holiday),
    (4, _correct_the_past),
]
