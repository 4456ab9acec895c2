"""From what is wrong now and what was recorded before: what to record, and what to tell. Pure.

An incident is told once when it begins, once more each time it has grown (where its kind repeats), and once when it
is over. What comes back before it has stayed away long enough is the same incident.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any, Self

import pydantic_core

from relay.alerts.conditions import KINDS, Condition, Kind
from relay.events import Event, Origin, Seen, event_id, rfc3339
from relay.settings import Alerts

SOURCE = "relay"
_LONGEST_PAUSE = 86_400.0
# So long an alert may be under way before the heartbeat counts it as told to nobody.
PATIENCE = 150.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Incident:
    """One incident, as it is recorded from its first sign to its end. Times in seconds since 1970."""

    kind: str
    about: str
    portal: int
    since: float
    """When the fault began, or was first seen."""
    summary: str
    over: str
    calm: float
    count: int = 0
    critical: bool = False
    facts: Mapping[str, Any] = field(default_factory=dict)
    began: float | None = None
    """When it was told; None: it has not lasted long enough yet."""
    quiet: float | None = None
    """Since when the fault has stayed away."""
    told_count: int = 0
    told_at: float = 0.0
    times: int = 0
    """How often it was told."""
    event: str = ""
    """The event that told of it last."""
    taken: bool = False
    """Whether some target has taken that event."""

    @property
    def key(self) -> str:
        return f"{self.kind}:{self.about}"

    @property
    def type(self) -> Kind:
        return KINDS[self.kind]

    def to_json(self) -> bytes:
        return pydantic_core.to_json(asdict(self))

    @classmethod
    def from_json(cls, raw: bytes) -> Self:
        # A worker of a newer release may have written what this one does not know.
        known = {one.name for one in fields(cls)}
        return cls(**{name: value for name, value in pydantic_core.from_json(raw).items() if name in known})


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """What follows: the record from now on (None: there is none), and the event that tells of it, if any does."""

    incident: Incident | None
    event: Event | None = None
    summary: str = ""
    """What the event says, in a sentence or two."""


def step(incident: Incident | None, condition: Condition | None, *, now: float, settings: Alerts) -> Step:
    """The next state of one incident. `condition` is what holds now of the same key, None when nothing does."""
    if condition is None:
        return _gone(incident, now)
    if incident is None or incident.began is None:
        return _first(incident, condition, now)
    known = replace(
        incident,
        quiet=None,
        count=condition.count,
        told_count=min(incident.told_count, condition.count),
        facts=dict(condition.facts),
        summary=condition.summary,
        over=condition.over,
    )
    grown = condition.repeats and known.count > known.told_count
    return _told(known, now) if grown and now - known.told_at >= _pause(known, settings) else Step(incident=known)


def _pause(incident: Incident, settings: Alerts) -> float:
    """How long it is kept quiet after it was told: twice as long each time, up to a day."""
    return max(settings.again_after, min(settings.again_after * 2.0 ** min(incident.times - 1, 16), _LONGEST_PAUSE))


def _first(pending: Incident | None, condition: Condition, now: float) -> Step:
    since = min(one for one in (condition.since, None if pending is None else pending.since, now) if one is not None)
    incident = Incident(
        kind=condition.kind.name,
        about=condition.about,
        portal=condition.portal,
        since=since,
        summary=condition.summary,
        over=condition.over,
        calm=condition.calm,
        count=condition.count,
        critical=condition.critical,
        facts=dict(condition.facts),
    )
    if now - since >= condition.after:
        return _told(replace(incident, began=now), now)
    # Where the fault knows its own beginning, nothing has to be remembered yet.
    return Step(incident=None if condition.since is not None else incident)


def _gone(incident: Incident | None, now: float) -> Step:
    if incident is None or incident.began is None:
        return Step(incident=None)
    quiet = now if incident.quiet is None else incident.quiet
    if now - quiet < incident.calm:
        return Step(incident=replace(incident, quiet=quiet))
    event = _event(incident, incident.type.ends, "ended", incident.over, now, until=quiet)
    return Step(incident=None, event=event, summary=incident.over)


def _told(incident: Incident, now: float) -> Step:
    told = replace(incident, told_count=incident.count, told_at=now, times=incident.times + 1, taken=False)
    event = _event(told, told.type.begins, f"told {told.times}", told.summary, now, until=None)
    return Step(incident=replace(told, event=event.id), event=event, summary=told.summary)


def _event(incident: Incident, type_: str, edge: str, summary: str, now: float, *, until: float | None) -> Event:
    """What tells of an incident; the same incident and edge always give the same id."""
    sender_id = f"{incident.key}:{rfc3339(incident.began or now)}:{edge}"
    id_ = event_id(SOURCE, sender_id)
    known = {name: value for name, value in incident.facts.items() if value is not None}
    happened = now if until is None and incident.times > 1 else incident.since if until is None else until
    return Event(
        id=id_,
        source=SOURCE,
        sender_id=sender_id,
        type=type_,
        portal=incident.portal,
        entity=incident.type.entity,
        entity_id=incident.about,
        received_at=now,
        time=rfc3339(happened),
        origin=Origin.DERIVED,
        seen=Seen(
            object={
                "incident": incident.key,
                "summary": summary,
                "since": rfc3339(incident.since),
                **({"until": rfc3339(until)} if until is not None else {}),
                **known,
            },
            version=id_,
            read_at=now,
        ),
    )


def is_well(incidents: Iterable[Incident], *, now: float) -> bool:
    """Whether the heartbeat may say so: nothing critical is open, and of all that is open somebody was told."""
    return not any(
        one.critical or not (one.taken or now - one.told_at <= PATIENCE) for one in incidents if one.began is not None
    )
