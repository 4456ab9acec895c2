"""The parts every action is made of: where it happens, what it did, how a record is changed."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from relay.simulator.clock import Clock
from relay.simulator.settings import Settings
from relay.simulator.state import Portal, Record, Table
from relay.simulator.times import fine_stamp, stamp, wall_clock

Fields = Mapping[str, Any]


class ActionError(ValueError):
    """An action that cannot be done to the portal as it is."""


@dataclass
class Deed:
    """What one action did, before it gets its place in the log."""

    id: int
    type: str | None
    before: Record
    after: Record
    entity: Record
    also: list[Record] = field(default_factory=list)


@dataclass
class Stage:
    """Where an action takes place."""

    portal: Portal
    clock: Clock
    settings: Settings

    def touch(self, record: Record) -> None:
        """Move `dateTimeModified`, in the form this kind of record uses."""
        moment = self.clock.now()
        record["dateTimeModified"] = fine_stamp(moment) if "userName" in record else stamp(moment)

    def local_now(self) -> str:
        """The portal's wall clock."""
        return wall_clock(self.clock.now(), self.portal.zone)


def required(fields: Fields, name: str) -> Any:
    """A field the action cannot do without."""
    if name not in fields:
        raise ActionError(f"{name} is required")
    return fields[name]


def found(records: Table, fields: Fields, entity: str) -> Record:
    """The record the action is about."""
    record = records.get(required(fields, "id"))
    if record is None:
        raise ActionError(f"there is no {entity} {fields['id']}")
    return record


def assign(record: Record, fields: Fields) -> tuple[Record, Record]:
    """Change fields that exist; the old and new values of those that really changed."""
    unknown = sorted(set(fields) - set(record))
    if unknown:
        raise ActionError(f"no field called {', '.join(unknown)}")
    changed = [name for name, value in fields.items() if name != "id" and record[name] != value]
    before = {name: record[name] for name in changed}
    after = {name: fields[name] for name in changed}
    record |= after
    return before, after


def created(entity: str, record: Record, *, verb: str = "created") -> Deed:
    """The deed of having made something."""
    return Deed(record["id"], f"planday.{entity}.{verb}", before={}, after=dict(record), entity=record)
