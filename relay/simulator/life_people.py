"""How people come and go, ask for absence, and how the portal is renamed around them."""

from datetime import timedelta
from functools import partial

from relay.simulator.life_population import open_account
from relay.simulator.life_scene import Chance, Scene
from relay.simulator.state import Record

_NAMES = ["Nord", "Syd", "Øst", "Vest", "Midt", "Ny", "Gamle", "Store", "Lille", "Indre", "Ydre", "Øvre", "Nedre"]


def _ask(scene: Scene) -> bool:
    person = scene.person()
    if person is None:
        return False
    starts = scene.today + timedelta(days=scene.random.randint(3, 200))
    days = scene.random.randint(1, 12)
    ends = starts + timedelta(days=days - 1)
    hours = round(7.4 * days, 2)
    note = "MARKER-H-note" if scene.chance(0.4) else None
    scene.act(
        "absence_request",
        "create",
        employeeId=person,
        start=starts.isoformat(),
        end=ends.isoformat(),
        hours=hours,
        note=note,
    )
    return True


def _request(scene: Scene, *statuses: str) -> Record | None:
    """A request of this life's people; the seed's own stay as they are."""
    rows = [row for row in scene.portal.absence_requests.values() if row["status"] in statuses and row["id"] > 67000]
    return scene.pick(rows)


def _decide(action: str, *statuses: str) -> Chance:
    def decide(scene: Scene) -> bool:
        request = _request(scene, *statuses)
        if request is not None:
            scene.act("absence_request", action, id=request["id"])
        return request is not None

    return decide


def _postpone(scene: Scene) -> bool:
    request = _request(scene, "Submitted")
    if request is None:
        return False
    starts = scene.today + timedelta(days=scene.random.randint(201, 260))
    scene.act("absence_request", "edit", id=request["id"], start=starts.isoformat())
    return True


def _hire(scene: Scene) -> bool:
    department = scene.pick(scene.departments)
    number = scene.random.randrange(10**5)
    person = scene.act(
        "employee",
        "create",
        firstName="Ny",
        lastName=f"Ansat-{number}",
        departments=[department],
        primaryDepartmentId=department,
        email=f"ny-{number}@people.example",
        hiredDate=scene.today.isoformat(),
        hiredFrom=scene.today.isoformat(),
    )
    open_account(scene, person["id"])
    scene.people.append(person["id"])
    return True


def _edit(scene: Scene) -> bool:
    person = scene.person()
    if person is None:
        return False
    number = scene.random.randrange(10**6)
    department = scene.random.choice(scene.departments)
    changes: list[Record] = [
        {"jobTitle": f"Title {number}"},
        {"cellPhone": f"+45{number:08}", "cellPhoneWithoutCountryPrefix": f"{number:08}"},
        {"street1": f"MARKER-D-street-{number}"},
        {"lastName": f"Omdøbt-{number}"},
        {"departments": sorted({department, scene.portal.employees[person]["primaryDepartmentId"]})},
        {"departments": [department], "primaryDepartmentId": department},
        {"employeeGroups": sorted(scene.random.sample((5201, 5202, 5203, 5204), 2))},
        {"salaryIdentifier": f"MARKER-E-{number}"},
        {"workHours": scene.random.choice((80, 100, 120, 160))},
        {"email": f"moved-{number}@people.example"},
    ]
    # Now and then a save changes nothing but the modified time, as with people.
    scene.act("employee", "edit", id=person, **scene.random.choice(changes))
    return True


def _dismiss(scene: Scene) -> bool:
    person = scene.person()
    if person is None or len(scene.people) < 10:
        return False
    scene.act("employee", "deactivate", id=person)
    scene.people.remove(person)
    scene.left.append(person)
    # Somebody else has to do the work: the shifts ahead become open, one after the other.
    ahead = [
        row["id"]
        for row in scene.portal.shifts.values()
        if row["employeeId"] == person and row["status"] == "Assigned" and row["date"] > scene.today.isoformat()
    ]

    def free(shift_id: int) -> None:
        shift = scene.portal.shifts.get(shift_id)
        if shift is not None and shift["employeeId"] == person and shift["status"] == "Assigned":
            scene.act("shift", "assign", id=shift_id, employeeId=None)

    for number, shift_id in enumerate(ahead, start=1):
        scene.after(number * 8, partial(free, shift_id))
    return True


def _give_notice(scene: Scene) -> bool:
    """A dismissal that is still to come; the person works on."""
    person = scene.person()
    if person is None or scene.portal.employees[person]["deactivationDate"] is not None:
        return False
    scene.act("employee", "dismiss", id=person, on=(scene.today + timedelta(days=60)).isoformat())
    return True


def _take_back(scene: Scene) -> bool:
    person = scene.pick(scene.left)
    if person is None:
        return False
    scene.act("employee", "reactivate", id=person)
    scene.left.remove(person)
    scene.people.append(person)
    return True


def _rename(scene: Scene) -> bool:
    entity = scene.random.choice(("department", "employee_group", "position", "shift_type"))
    tables = {
        "department": scene.departments,
        "employee_group": list(scene.portal.groups),
        "position": list(scene.portal.positions),
        "shift_type": [1],
    }
    record_id = scene.pick(tables[entity])
    if record_id is None:
        return False
    name = f"{scene.random.choice(_NAMES)} {scene.random.randrange(1000)}"
    scene.act(entity, "edit", id=record_id, name=name)
    return True


def _recode(scene: Scene) -> bool:
    """Payroll gets another code for sick leave, and every line that has it moves."""
    scene.act("shift_type", "edit", id=9, salaryCode=f"MARKER-E-code-{scene.random.randrange(1000)}")
    return True


def _found_group(scene: Scene) -> bool:
    name = f"{scene.random.choice(_NAMES)} {scene.random.randrange(1000)}"
    entity = scene.random.choice(("department", "employee_group", "position"))
    record = scene.act(entity, "create", name=name)
    # Nobody joins it; it goes again.
    scene.after(scene.random.uniform(3600, 80000), lambda: scene.act(entity, "delete", id=record["id"]))
    return True


CHANCES: list[tuple[float, Chance]] = [
    (5, _ask),
    (3, _decide("approve", "Submitted")),
    (1, _decide("decline", "Submitted")),
    (0.7, _decide("cancel", "Submitted", "Approved")),
    (0.3, _decide("remove", "Submitted", "Cancelled")),
    (0.5, _postpone),
    (0.6, _hire),
    (5, _edit),
    (0.4, _dismiss),
    (0.2, _give_notice),
    (0.4, _take_back),
    (0.8, _rename),
    (0.1, _recode),
    (0.2, _found_group),
]
