"""How shifts are worked and settled: punches, breaks, approvals, second thoughts."""

from datetime import datetime, timedelta

from relay.simulator.flavours import HOLIDAY, SICK_LEAVE
from relay.simulator.life_scene import Chance, Scene, text
from relay.simulator.state import Record


def expect_punch(scene: Scene, shift_id: int) -> None:
    """Somebody will come to this shift of today, most likely."""
    shift = scene.portal.shifts.get(shift_id)
    if shift is None or not scene.chance(0.92):
        return
    begins = scene.instant(datetime.fromisoformat(shift["startDateTime"]))
    if begins >= scene.time:
        minutes = scene.random.gauss(-3, 3)
        scene.at(begins + timedelta(minutes=minutes), lambda: _punch_in(scene, shift_id, patience=2))


def expect_end(scene: Scene, punch: Record) -> None:
    """Whoever is on duty goes home some time."""
    planned = punch["shiftEndDateTime"]
    ends = scene.instant(datetime.fromisoformat(planned)) if planned else scene.time + timedelta(hours=5)
    scene.at(
        max(ends + timedelta(minutes=scene.random.gauss(4, 8)), scene.time + timedelta(minutes=20)),
        lambda: _punch_out(scene, punch["id"]),
    )


def expect_approval(scene: Scene, punch_id: int, *, days: int = 1) -> None:
    """Most punches are approved the next morning, some weeks later, a few never."""
    fate = scene.random.random()
    if fate < 0.8:
        scene.on(scene.today + timedelta(days=days), scene.random.uniform(8.5, 11), lambda: approve(scene, punch_id))
    elif fate < 0.92:
        days = scene.random.randint(2, 29)
        hour = scene.random.uniform(9, 16)
        scene.on(scene.today + timedelta(days=days), hour, lambda: approve(scene, punch_id))


def approve(scene: Scene, punch_id: int) -> None:
    """Approve a punch, if it can be; payroll approval of its shift follows now and then."""
    punch = scene.portal.punches.get(punch_id)
    if punch is None or punch["isApproved"] or punch["endDateTime"] is None:
        return
    loose = punch["shiftId"] is None
    punch = scene.act("punchclock_entry", "approve", id=punch_id)
    shift_id = punch["shiftId"]
    if loose:
        scene.note_shift(scene.portal.shifts[shift_id])
    if scene.chance(0.4):
        days, hour = scene.random.randint(0, 5), scene.random.uniform(13, 17)
        scene.on(scene.today + timedelta(days=days), hour, lambda: _settle(scene, shift_id))


def _settle(scene: Scene, shift_id: int) -> None:
    shift = scene.portal.shifts.get(shift_id)
    if shift is not None and shift["status"] == "PunchclockApproved":
        scene.act("shift", "approve", id=shift_id)


def _punch_in(scene: Scene, shift_id: int, *, patience: int) -> None:
    shift = scene.portal.shifts.get(shift_id)
    if (
        shift is None
        or shift["status"] != "Assigned"
        or shift["employeeId"] is None
        or shift["punchClockShiftId"] is not None
        or shift["shiftTypeId"] in (SICK_LEAVE, HOLIDAY)
    ):
        return
    begins = scene.instant(datetime.fromisoformat(shift["startDateTime"]))
    if begins > scene.time + timedelta(minutes=30) and patience:
        # Moved meanwhile: come back then.
        scene.at(begins, lambda: _punch_in(scene, shift_id, patience=patience - 1))
        return
    punch = scene.note_punch(scene.act("punchclock_entry", "start", shiftId=shift_id))
    if scene.chance(0.4):
        scene.after(scene.random.uniform(5400, 10800), lambda: _pause(scene, punch["id"]))
    expect_end(scene, punch)


def _pause(scene: Scene, punch_id: int) -> None:
    punch = scene.portal.punches.get(punch_id)
    if punch is None or punch["endDateTime"] is not None:
        return
    pause = scene.act("punchclock_break", "start", punchId=punch_id)

    def resume() -> None:
        if punch_id in scene.portal.punches:
            scene.act("punchclock_break", "end", id=pause["id"])

    scene.after(scene.random.uniform(900, 1900), resume)


def _punch_out(scene: Scene, punch_id: int) -> None:
    punch = scene.portal.punches.get(punch_id)
    if punch is not None and punch["endDateTime"] is None:
        scene.act("punchclock_entry", "end", id=punch_id)
        expect_approval(scene, punch_id)


def _done(punch: Record) -> bool:
    return punch["endDateTime"] is not None


def _edit(scene: Scene, first: int, last: int) -> bool:
    punch = scene.punch(first, last, _done)
    if punch is None:
        return False
    name = scene.random.choice(("startDateTime", "endDateTime"))
    minutes = scene.random.choice((-20, -10, -5, 5, 10, 20)) * (-1 if name == "startDateTime" else 1)
    moved = datetime.fromisoformat(punch[name]) + timedelta(minutes=minutes)
    if text(moved)[:10] != punch[name][:10] or not _in_order(punch | {name: text(moved)}):
        return False
    scene.act("punchclock_entry", "edit", id=punch["id"], **{name: text(moved)})
    return True


def _in_order(punch: Record) -> bool:
    return bool(punch["startDateTime"] < punch["endDateTime"])


def _describe(scene: Scene) -> bool:
    punch = scene.punch(-3, 0, _done)
    if punch is not None:
        words = f"MARKER-H-punch-{scene.random.randrange(10**6)}"
        scene.act("punchclock_entry", "edit", id=punch["id"], description=words)
    return punch is not None


def _delete(scene: Scene) -> bool:
    punch = scene.punch(-10, 0, lambda row: _done(row) and not row["isApproved"])
    if punch is not None:
        scene.act("punchclock_entry", "delete", id=punch["id"])
    return punch is not None


def _reopen(scene: Scene) -> bool:
    """Take an approval back, and give it again after a look at it."""
    punch = scene.punch(-31, -1, lambda row: bool(row["isApproved"]))
    if punch is None:
        return False
    scene.act("punchclock_entry", "unapprove", id=punch["id"])
    scene.after(scene.random.uniform(60, 5400), lambda: approve(scene, punch["id"]))
    return True


def _approve_old(scene: Scene) -> bool:
    punch = scene.punch(-31, -2, lambda row: _done(row) and not row["isApproved"])
    if punch is not None:
        approve(scene, punch["id"])
    return punch is not None


def _loose(scene: Scene) -> bool:
    """Somebody without a shift punches in; approval will make a shift of it."""
    person = scene.person()
    if person is None:
        return False
    department = scene.portal.employees[person]["primaryDepartmentId"]
    punch = scene.act("punchclock_entry", "start", employeeId=person, departmentId=department)
    expect_end(scene, scene.note_punch(punch))
    return True


def _payroll_approve(scene: Scene) -> bool:
    shift = scene.shift(-31, -1, lambda row: row["status"] in ("PunchclockApproved", "Assigned"))
    if shift is not None:
        scene.act("shift", "approve", id=shift["id"])
    return shift is not None


def _payroll_unapprove(scene: Scene) -> bool:
    shift = scene.shift(-31, -1, lambda row: row["status"] == "Approved")
    if shift is not None:
        scene.act("shift", "unapprove", id=shift["id"])
    return shift is not None


def _see_saw(scene: Scene) -> bool:
    """Approve, unapprove, approve: three changes if somebody looks in between."""
    shift = scene.shift(-31, -1, lambda row: row["status"] == "PunchclockApproved")
    if shift is None:
        return False
    shift_id = shift["id"]
    scene.act("shift", "approve", id=shift_id)

    def step(action: str, status: str) -> None:
        row = scene.portal.shifts.get(shift_id)
        if row is not None and row["status"] == status:
            scene.act("shift", action, id=shift_id)

    first = scene.random.uniform(20, 2400)
    scene.after(first, lambda: step("unapprove", "Approved"))
    scene.after(first + scene.random.uniform(20, 2400), lambda: step("approve", "Assigned"))
    return True


CHANCES: list[tuple[float, Chance]] = [
    (8, lambda scene: _edit(scene, -1, 0)),
    (4, lambda scene: _edit(scene, -31, -2)),
    (2, _describe),
    (0.5, _delete),
    (2, _reopen),
    (3, _approve_old),
    (1, _loose),
    (5, _payroll_approve),
    (2, _payroll_unapprove),
    (1.5, _see_saw),
]
