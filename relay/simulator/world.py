"""The seed: two invented portals that hold the same ids with different content."""

from relay.simulator.flavours import BISTRO_FLAVOUR, HARBOUR_FLAVOUR, HIDDEN, HOLIDAY, Flavour
from relay.simulator.seed_people import add_employees
from relay.simulator.seed_work import add_absence, add_punches, add_schedule
from relay.simulator.state import Portal, table


def build_world() -> dict[int, Portal]:
    """Fresh portals; every run starts from the same two."""
    return {flavour.portal_id: _build(flavour) for flavour in (BISTRO_FLAVOUR, HARBOUR_FLAVOUR)}


def _build(flavour: Flavour) -> Portal:
    portal = Portal(
        info={
            "id": flavour.portal_id,
            "name": flavour.name,
            "companyName": f"{flavour.name} ApS",
            "country": flavour.country,
            "timeZone": flavour.zone,
            "maxDepartments": None,
            "aliases": [flavour.domain],
            "portals": [],
        },
        departments=table(
            {"id": 4101 + i, "name": name, "number": number, "isDeleted": False}
            for i, (name, number) in enumerate(zip(flavour.departments, ("10", "20", None), strict=True))
        ),
        groups=table({"id": 5201 + i, "name": name} for i, name in enumerate(flavour.groups)),
        employee_types=table(
            {"id": 71 + i, "name": name, "description": "MARKER-D-employeetype"}
            for i, name in enumerate(("Hourly", "Monthly"))
        ),
        skills=[{"skillId": 31, "name": "First aid", "description": "MARKER-D-skill", "isTimeLimited": True}],
        hidden_employees={HIDDEN},
        unpaid_shift_types=[HOLIDAY],
        next_ids={
            "shift": 70020000,
            "punchclock_entry": 8810000,
            "punchclock_break": 9910000,
            "absence_request": 67000,
            "absence_record": 55000,
            "account": 3310000,
            "employee": 920000,
            "department": 4110,
            "employee_group": 5210,
            "position": 6310,
            "shift_type": 20,
        },
    )
    add_employees(portal, flavour)
    add_schedule(portal, flavour)
    add_punches(portal)
    add_absence(portal)
    return portal
