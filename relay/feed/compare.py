"""From what a list shows and what was seen before: the snapshot to keep, and the events that tell the difference.

Pure. A snapshot is named by its chain, a hash over all states it went through: approve, unapprove, approve end in the
same state but not in the same chain, so the third is a new event; and the same step, seen again, has the same event id.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pydantic_core

from relay.changes import DELETED, Difference, difference, record_version, verbs
from relay.events import Event, Origin, Seen, event_id, rfc3339
from relay.planday.models import Record
from relay.planday.times import instant
from relay.store.feeds import Observation, Stored

SOURCE = "feed"
"""The source of every event that the change feed makes; no sender may have this name."""

# What a record's day is, by which windows find it: the last one it touches.
_DAYS: Mapping[str, tuple[str, ...]] = {
    "shift": ("date",),
    "punchclock_entry": ("startDateTime",),
    "payroll_line": ("date",),
    "absence_request": ("absencePeriod", "end"),
    "absence_record": ("absencePeriod", "end"),
}


# Kept in a snapshot although no target may have it: the names of the events tell it anyway (`approved`, `declined`).
_TOLD_BY_NAME: Mapping[str, frozenset[str]] = {"absence_request": frozenset({"status"})}
# When somebody is absent is kept no more exactly than to a quarter of a year.
_COARSE = {"absence_request": 91, "absence_record": 91}

WATCHED: Mapping[str, frozenset[str]] = {
    "absence_request": frozenset({"status", "absencePeriod"}),
    "absence_record": frozenset({"absencePeriod"}),
}
"""What has to be read of a kind besides what may be kept."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """How a record stood when it was last seen; `gone`: when it was deleted, or seen to be if Planday does not tell."""

    fields: Mapping[str, Any] = field(default_factory=dict)
    links: Mapping[str, Any] = field(default_factory=dict)
    gone: float | None = None

    def to_json(self) -> bytes:
        body = {"f": dict(self.fields), "l": dict(self.links), "gone": self.gone}
        return pydantic_core.to_json({name: value for name, value in body.items() if value not in (None, {})})

    @classmethod
    def read(cls, stored: Stored | None) -> Snapshot | None:
        if stored is None:
            return None
        body = pydantic_core.from_json(stored.body)
        return cls(fields=body.get("f", {}), links=body.get("l", {}), gone=body.get("gone"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """One reading of one kind of record: of which portal, when asked for, and whether it tells or only takes note."""

    portal: int
    kind: str
    at: float
    """When the list was asked for (seconds): what changed later may be missing in it."""
    kept: frozenset[str]
    """The fields that some target may have of the object of an event."""
    since: float = 0.0
    """Everything before this was seen by an earlier look (seconds)."""
    quiet: bool = False
    """A first look: what is there was there before."""

    def cut(self, fields: Mapping[str, Any]) -> dict[str, Any]:
        """What an event may hold of a record."""
        return {name: value for name, value in fields.items() if name in self.kept}

    def snapshot(self, record: Record) -> Snapshot:
        """What is remembered of a record."""
        names = self.kept | _TOLD_BY_NAME.get(self.kind, frozenset())
        return Snapshot(
            fields={name: value for name, value in record.fields.items() if name in names}, links=record.links
        )


def appeared_or_changed(
    look: Look, number: str, record: Record, stored: Stored | None, *, new: bool = True
) -> Observation | None:
    """What a row of a list means; None where it tells nothing. `new` False: it may well be older than our memory."""
    if stored is not None and stored.read_at > look.at:
        return None  # somebody looked later than this
    was = Snapshot.read(stored)
    if was is not None and was.gone is not None:
        modified = _at(record.fields.get("dateTimeModified"))
        if modified is not None and modified <= was.gone:
            return None  # from before its deletion: lists are not read at one moment
        was = None
    now = look.snapshot(record)
    if was is not None and was.fields == now.fields and was.links == now.links:
        return None
    version = record_version(look.kind, look.cut(now.fields), modified=_text(now.fields.get("dateTimeModified")))
    if was is None:
        names = verbs(look.kind, None, now.fields) if new else ("updated",)
        found = Difference({}, {})
    else:
        # A field that was not kept before, or is not any more, differs for no reason of Planday's.
        common = was.fields.keys() & now.fields.keys()
        before, after = ({name: side[name] for name in common} for side in (was.fields, now.fields))
        names, found = verbs(look.kind, before, after), difference(look.kind, before, after)
    day = _day(look.kind, record.fields)
    return _observed(look, number, stored, now, version=version, names=names, found=found, links=now.links, day=day)


def gone(
    look: Look, number: str, stored: Stored | None, *, last: Record | None = None, at: float | None = None
) -> Observation | None:
    """What it means that a record is not there any more; `last` is how Planday shows it after that, if it does."""
    if stored is not None and stored.read_at > look.at:
        return None
    was = Snapshot.read(stored)
    if was is not None and was.gone is not None:
        return None
    if was is not None and at is not None and (modified := _at(was.fields.get("dateTimeModified"))) and modified > at:
        return None  # it was changed after that deletion, so it is back
    known = was if was is not None or last is None else look.snapshot(last)
    if known is None:
        return None
    now = Snapshot(gone=at if at is not None else look.at)
    names = verbs(look.kind, known.fields, None)
    found = Difference({name: value for name, value in known.fields.items() if value is not None}, {})
    day = _day(look.kind, known.fields)
    return _observed(look, number, stored, now, version=DELETED, names=names, found=found, links=known.links, day=day)


def chain(before: str, version: str) -> str:
    """The name of a state that is reached from another."""
    return hashlib.blake2b(f"{before}\0{version}".encode(), digest_size=10).hexdigest()


def _observed(
    look: Look,
    number: str,
    stored: Stored | None,
    now: Snapshot,
    *,
    version: str,
    names: tuple[str, ...],
    found: Difference,
    links: Mapping[str, Any],
    day: int,
) -> Observation:
    expected = stored.version if stored is not None else ""
    reached = chain(expected, version)
    modified = _text(now.fields.get("dateTimeModified"))
    seen = Seen(
        object=None if now.gone is not None else look.cut(now.fields),
        version=version,
        read_at=look.at,
        before=look.cut(found.before),
        after=look.cut(found.after),
        changed=tuple(name for name in found.changed if name in look.kept),
        links=dict(links),
        modified=modified,
        since=max(stored.read_at, look.since) if stored is not None else 0.0,
    )
    time = _when(seen, now.gone)
    told = () if look.quiet else names
    events = [_event(look, number, name, reached=reached, seen=seen, time=time) for name in told]
    return Observation(
        id=number,
        expected=expected,
        snapshot=now.to_json(),
        version=reached,
        day=day,
        read_at=look.at,
        events=tuple(events),
    )


def _event(look: Look, number: str, verb: str, *, reached: str, seen: Seen, time: str | None) -> Event:
    sender_id = f"{look.portal}:{look.kind}:{number}:{verb}:{reached}"
    return Event(
        id=event_id(SOURCE, sender_id),
        source=SOURCE,
        sender_id=sender_id,
        type=f"planday.{look.kind}.{verb}",
        portal=look.portal,
        entity=look.kind,
        entity_id=number,
        received_at=look.at,
        time=time,
        origin=Origin.DERIVED,
        seen=seen,
    )


def _when(seen: Seen, gone_at: float | None) -> str | None:
    """When it happened, where Planday says so (RFC 3339, UTC)."""
    said = instant(seen.modified)
    if gone_at is not None and gone_at != seen.read_at:
        return rfc3339(gone_at)
    return None if said is None else said.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _day(kind: str, fields: Mapping[str, Any]) -> int:
    value: Any = fields
    for name in _DAYS.get(kind, ()):
        value = value.get(name) if isinstance(value, Mapping) else None
    moment = instant(value) if kind in _DAYS else None
    day = moment.date().toordinal() if moment else 0
    step = _COARSE.get(kind, 1)
    return -(-day // step) * step


def _at(text: Any) -> float | None:
    moment = instant(text)
    return moment.timestamp() if moment else None


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None
