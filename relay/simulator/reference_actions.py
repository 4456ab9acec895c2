"""What happens to departments, groups, positions, shift types, schedule days and the portal itself."""

from collections.abc import Callable, Mapping
from datetime import date
from typing import Any

from relay.simulator.deeds import ActionError, Deed, Fields, Stage, assign, created, found, required
from relay.simulator.schedule_days import day_record
from relay.simulator.state import Portal, Record, Table, public

TABLES: Mapping[str, Callable[[Portal], Table]] = {
    "department": lambda portal: portal.departments,
    "employee_group": lambda portal: portal.groups,
    "position": lambda portal: portal.positions,
    "shift_type": lambda portal: portal.shift_types,
}
# Our catalogue of events has the first two only.
_ANNOUNCED = ("department", "employee_group")


def create(entity: str) -> Callable[[Stage, Fields], Deed]:
    def create(stage: Stage, fields: Fields) -> Deed:
        rows = TABLES[entity](stage.portal)
        template = next(iter(rows.values()), None)
        if template is None:
            raise ActionError(f"there is no {entity} to take after")
        record: Record = {**template, "id": stage.portal.new_id(entity), "name": required(fields, "name")}
        record |= {name: value for name, value in _BLANK.items() if name in record}
        assign(record, fields)
        rows[record["id"]] = record
        return _told(entity, created(entity, record))

    return create


def edit(entity: str) -> Callable[[Stage, Fields], Deed]:
    def edit(stage: Stage, fields: Fields) -> Deed:
        record = found(TABLES[entity](stage.portal), fields, entity)
        before, after = assign(record, fields)
        return _told(entity, Deed(record["id"], f"planday.{entity}.updated", before, after, record))

    return edit


def delete(entity: str) -> Callable[[Stage, Fields], Deed]:
    def delete(stage: Stage, fields: Fields) -> Deed:
        rows = TABLES[entity](stage.portal)
        record = found(rows, fields, entity)
        before = public(record)
        if entity == "department":
            # By id it can still be read, with `includeDeleted`.
            if record["isDeleted"]:
                raise ActionError("this department is deleted already")
            record["isDeleted"] = True
        else:
            del rows[record["id"]]
        return _told(entity, Deed(record["id"], f"planday.{entity}.deleted", before, {}, record))

    return delete


def edit_portal(stage: Stage, fields: Fields) -> Deed:
    before, after = assign(stage.portal.info, fields)
    return Deed(stage.portal.id, None, before, after, stage.portal.info)


def edit_day(stage: Stage, fields: Fields) -> Deed:
    day = date.fromisoformat(required(fields, "date"))
    record = day_record(stage.portal, required(fields, "departmentId"), day)
    stage.portal.schedule_days[record["id"]] = record
    before, after = assign(record, fields)
    return Deed(record["id"], None, before, after, record)


_BLANK: dict[str, Any] = {"isDeleted": False, "number": None, "isActive": True}


def _told(entity: str, deed: Deed) -> Deed:
    if entity not in _ANNOUNCED:
        deed.type = None
    return deed
