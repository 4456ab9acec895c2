"""The parts every action is made of: where it happens, what it did, how a record is changed."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from zoneinfo import ZoneInfo

from relay.simulator.answers import LOCAL_TIMES
from relay.simulator.clock import Clock
from relay.simulator.settings import Settings
from relay.simulator.state import Portal, Record, Table, public
from relay.simulator.times import fine_stamp, settle, stamp, wall_clock

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

    def hold_back(self, punch_id: int, before: Record | None) -> None:
        """Let the punch look as before for as long as the punch clock takes to tell."""
        if self.settings.punch_latency:
            until = self.clock.now() + timedelta(seconds=self.settings.punch_latency)
            self.portal.late_punches.setdefault(punch_id, []).append((until, before))

    def local_now(self) -> str:
        """The portal's wall clock."""
        return wall_clock(self.clock.now(), self.portal.zone)

    def exact_now(self) -> str:
        """The portal's wall clock with its offset, for a time to be stored by `assign`."""
        return self.clock.now().astimezone(ZoneInfo(self.portal.zone)).isoformat(timespec="minutes")


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


def assign(record: Record, fields: Fields, *, zone: str = "UTC") -> tuple[Record, Record]:
    """Change fields that exist; the old and new values of those that really changed.

    A time with an offset is stored as the wall clock of `zone`, with a note if that hour was the second of its name.
    """
    unknown = sorted(set(fields) - set(record))
    if unknown:
        raise ActionError(f"no field called {', '.join(unknown)}")
    times = {name: fields[name] for name in LOCAL_TIMES if fields.get(name) is not None}
    if times:
        settled = {name: settle(text, record.get("timeZone") or zone) for name, text in times.items()}
        fields = {**fields, **{name: text for name, (text, _) in settled.items()}}
        notes = set(record.get("_second", ())) - set(times) | {name for name, (_, second) in settled.items() if second}
        record.pop("_second", None)
        if notes:
            record["_second"] = sorted(notes)
    changed = [name for name, value in fields.items() if name != "id" and record[name] != value]
    before = {name: record[name] for name in changed}
    after = {name: fields[name] for name in changed}
    record |= after
    return before, after


def created(entity: str, record: Record, *, verb: str = "created") -> Deed:
    """The deed of having made something."""
    return Deed(record["id"], f"planday.{entity}.{verb}", before={}, after=public(record), entity=record)


def along(entity: str, record_id: int, before: Record, after: Record) -> Record:
    """What moved along with something else; for `Deed.also`."""
    return {"entity": entity, "id": record_id, "before": before, "after": after}
