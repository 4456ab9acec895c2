"""Records of what is accepted, enriched and delivered, and the identities that make overlap harmless.

All times are seconds since 1970 (UTC) as floats inside the relay, and RFC 3339 in UTC in an envelope.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Self

import pydantic_core

PORTAL_URN = "urn:planday:portal:"
RELAY_URN = "urn:planday-relay"

# The portal of an event that concerns none: the relay tells of itself.
NO_PORTAL = 0

# The pairs of types that undo each other: after `unapproved` another `approved` is a new change,
# although the record looks as it did before (design.md 4, "one change, both doors").
OPPOSITES: Mapping[str, tuple[str, ...]] = {
    "approved": ("unapproved", "declined", "cancelled"),
    "unapproved": ("approved",),
    "declined": ("approved", "cancelled"),
    "cancelled": ("approved", "declined"),
    "assigned": ("unassigned",),
    "unassigned": ("assigned",),
    "deactivated": ("reactivated",),
    "reactivated": ("deactivated",),
    "created": ("deleted",),
    "deleted": ("created",),
    "locked": ("unlocked",),
    "unlocked": ("locked",),
}


class Origin(StrEnum):
    """How an event came to be (the envelope's `relayorigin`)."""

    NATIVE = "native"
    DERIVED = "derived"
    REPLAY = "replay"
    TEST = "test"


class EventState(StrEnum):
    """Where an event stands; every value but `accepted` is an end that an operator can see."""

    ACCEPTED = "accepted"
    ROUTED = "routed"
    UNROUTED = "unrouted"
    DUPLICATE = "duplicate"
    DEAD = "dead"


class DeliveryState(StrEnum):
    """Where one event stands with one target."""

    WAITING = "waiting"
    SENDING = "sending"
    DELIVERED = "delivered"
    DEAD = "dead"
    PARKED = "parked"
    CANCELLED = "cancelled"
    SUPERSEDED = "superseded"


class Outcome(StrEnum):
    """What one attempt came to; the only thing that retry, breaker and dashboard look at."""

    DELIVERED = "delivered"
    RETRY = "retry"
    REJECTED = "rejected"
    TARGET_BROKEN = "target_broken"
    UNKNOWN = "unknown"
    HELD = "held"
    """Nothing was sent: a person must decide first."""


def event_id(source: str, sender_id: str) -> str:
    """The relay's own id: the same source and sender id always give the same one, and no dot ever stands in it."""
    digest = hashlib.blake2b(f"{source}\0{sender_id}".encode(), digest_size=16)
    return "evt_" + digest.hexdigest()


def idempotency_key(event: str, target: str, salt: str = "") -> str:
    """The key that goes out with every attempt and every replay of one event to one target.

    Only a `salt`, which a person has to ask for, makes another one of it.
    """
    salted = f"\0{salt}" if salt else ""
    digest = hashlib.blake2b(f"{event}\0{target}{salted}".encode(), digest_size=16)
    return f"rly_{digest.hexdigest()}"


def opposites(type_: str) -> tuple[str, ...]:
    """The full type names that `type_` undoes, so that they count as new when they come again."""
    stem, _, verb = type_.rpartition(".")
    return tuple(f"{stem}.{other}" for other in OPPOSITES.get(verb, ()))


_REACHED = frozenset(
    (
        *("created", "deleted", "reversed", "started", "ended", "published", "approved", "unapproved"),
        *("declined", "cancelled", "deactivated", "reactivated", "unassigned"),
    )
)


def gives_way(type_: str) -> bool:
    """Whether an event of this type means nothing any more once there is a newer one of its entity (invariant 5)."""
    return type_.endswith(".updated") or type_ == "planday.payroll_line.corrected"


def people_of(envelope: Mapping[str, Any]) -> tuple[str, ...]:
    """Planday's ids of the employees that occur in an envelope, sorted; what a sender wrote does not count."""
    data = envelope.get("data") or {}
    changes = data.get("changes") or {}
    found = {str(envelope["employeeid"])} if envelope.get("employeeid") else set()
    related = data.get("related") or {}
    for record in (data.get("object"), changes.get("before"), changes.get("after"), *related.values()):
        if isinstance(record, Mapping):
            found |= {str(value) for name, value in record.items() if name.lower().endswith("employeeid") and value}
    person = related.get("employee")
    if isinstance(person, Mapping) and person.get("id"):
        found.add(str(person["id"]))
    return tuple(sorted(one for one in found if one.isascii() and one.isalnum()))


def reached(type_: str) -> bool:
    """Whether a type says that a state was reached: it is not reached again before it was left."""
    return type_.rpartition(".")[2] in _REACHED


def rfc3339(at: float) -> str:
    """An instant as RFC 3339 in UTC with milliseconds."""
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What the change feed saw, and so what its event stands for: Planday's own words, already cut to what may be kept.

    `object` is the record as a list showed it, None after a deletion; `before` and `after` hold what differs (of a
    deletion, all that was known), `changed` its names. `modified` and `version` identify the state, `read_at` (seconds)
    is when the list was asked for. `links` are ids that only lead to related records. Everything that this tells of
    happened after `since` (seconds; 0: ever), when the state before was the true one.
    """

    object: Mapping[str, Any] | None
    version: str
    read_at: float
    before: Mapping[str, Any] = field(default_factory=dict)
    after: Mapping[str, Any] = field(default_factory=dict)
    changed: tuple[str, ...] = ()
    links: Mapping[str, Any] = field(default_factory=dict)
    modified: str | None = None
    since: float | None = None

    def as_dict(self) -> dict[str, Any]:
        return {
            "obj": None if self.object is None else dict(self.object),
            "v": self.version,
            "at": self.read_at,
            "before": dict(self.before),
            "after": dict(self.after),
            "changed": list(self.changed),
            "links": dict(self.links),
            "mod": self.modified,
            "since": self.since,
        }

    @classmethod
    def from_dict(cls, body: Mapping[str, Any]) -> Self:
        return cls(
            object=body["obj"],
            version=body["v"],
            read_at=body["at"],
            before=body["before"],
            after=body["after"],
            changed=tuple(body["changed"]),
            links=body["links"],
            modified=body["mod"],
            since=body.get("since"),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One accepted event, before enrichment.

    `time` is when it happened, as the sender says (RFC 3339, UTC); `received_at` when we accepted it.
    `received` is the sender's own `data`: untrusted, class H, never mixed with what Planday says.
    `seen` is what the change feed saw; an event of a sender has none.
    """

    id: str
    source: str
    sender_id: str
    type: str
    portal: int
    entity: str
    entity_id: str
    received_at: float
    time: str | None = None
    origin: Origin = Origin.NATIVE
    received: Any = None
    extensions: Mapping[str, str] = field(default_factory=dict)
    seen: Seen | None = None

    @property
    def subject(self) -> str:
        return f"{self.entity}/{self.entity_id}"

    @property
    def lane(self) -> str:
        """Events of one lane are handled one at a time, in the order in which they were accepted."""
        return f"{self.portal}:{self.entity}:{self.entity_id}"

    def to_json(self) -> bytes:
        seen = {} if self.seen is None else {"seen": self.seen.as_dict()}
        return pydantic_core.to_json(
            {
                **seen,
                "id": self.id,
                "src": self.source,
                "sid": self.sender_id,
                "type": self.type,
                "portal": self.portal,
                "ent": self.entity,
                "eid": self.entity_id,
                "at": self.received_at,
                "time": self.time,
                "origin": self.origin.value,
                "ext": dict(self.extensions),
                "data": self.received,
            }
        )

    @classmethod
    def from_json(cls, raw: bytes | str) -> Self:
        body = pydantic_core.from_json(raw)
        return cls(
            id=body["id"],
            source=body["src"],
            sender_id=body["sid"],
            type=body["type"],
            portal=body["portal"],
            entity=body["ent"],
            entity_id=body["eid"],
            received_at=body["at"],
            time=body["time"],
            origin=Origin(body["origin"]),
            received=body["data"],
            extensions=body["ext"],
            seen=Seen.from_dict(body["seen"]) if body.get("seen") else None,
        )


def enriched_envelope(event: Event, *, sequence: int, data: Mapping[str, Any]) -> dict[str, Any]:
    """The envelope as it goes out (before a target's field list): a valid CloudEvents 1.0 structured JSON object."""
    # What is gone is of the department and the person that it was of.
    record: Mapping[str, Any] = data.get("object") or (data.get("changes") or {}).get("before") or {}
    department = record.get("departmentId") or record.get("primaryDepartmentId")
    employee = event.entity_id if event.entity == "employee" else record.get("employeeId")
    envelope: dict[str, Any] = {
        "specversion": "1.0",
        "id": event.id,
        "source": RELAY_URN if event.portal == NO_PORTAL else f"{PORTAL_URN}{event.portal}",
        "type": event.type,
        "subject": event.subject,
        "time": event.time or rfc3339(event.received_at),
        "timestamp": event.time or rfc3339(event.received_at),
        "datacontenttype": "application/json",
        "dataschema": f"urn:planday-relay:schema:{event.entity.replace('_', '-')}:1",
    }
    if event.portal != NO_PORTAL:
        envelope["portalid"] = str(event.portal)
    if department is not None:
        envelope["departmentid"] = str(department)
    if employee is not None:
        envelope["employeeid"] = str(employee)
    envelope |= {
        "sequence": f"{sequence:06d}",
        "relayorigin": event.origin.value,
        "senderid": event.sender_id,
        "correlationid": event.id,
    }
    for name, value in event.extensions.items():
        envelope.setdefault(name, value)
    envelope["data"] = dict(data)
    return envelope


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One try to deliver, as it is kept: sensitive header values are masked, the answer is a bounded excerpt."""

    number: int
    started_at: float
    ended_at: float
    outcome: Outcome
    reason: str
    status: int | None = None
    retry_at: float | None = None
    replay: str | None = None
    request_headers: Mapping[str, str] = field(default_factory=dict)
    response_headers: Mapping[str, str] = field(default_factory=dict)
    excerpt: str = ""

    def to_json(self) -> bytes:
        """Compact: empty parts are left out, since every delivery keeps at least one attempt."""
        body = {
            "n": self.number,
            "t": round(self.started_at, 3),
            "ms": round((self.ended_at - self.started_at) * 1000, 1),
            "o": self.outcome.value,
            "r": self.reason,
            "s": self.status,
            "again": self.retry_at,
            "replay": self.replay,
            "req": dict(self.request_headers),
            "res": dict(self.response_headers),
            "x": self.excerpt,
        }
        return pydantic_core.to_json({key: value for key, value in body.items() if value not in (None, "", {})})

    @classmethod
    def from_json(cls, raw: bytes | str) -> Self:
        body = pydantic_core.from_json(raw)
        return cls(
            number=body["n"],
            started_at=body["t"],
            ended_at=body["t"] + body.get("ms", 0) / 1000,
            outcome=Outcome(body["o"]),
            reason=body.get("r", ""),
            status=body.get("s"),
            retry_at=body.get("again"),
            replay=body.get("replay"),
            request_headers=body.get("req", {}),
            response_headers=body.get("res", {}),
            excerpt=body.get("x", ""),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """One event on its way to one target, as the store has it."""

    event: str
    target: str
    state: DeliveryState
    attempts: int
    sequence: int
    updated_at: float
    due_at: float | None = None
    reason: str = ""
    round: int = 1
    replay: str | None = None
    salt: str = ""

    @property
    def id(self) -> str:
        return f"{self.event}:{self.target}"


@dataclass(frozen=True, slots=True, kw_only=True)
class EventRecord:
    """One event as the store has it: the event, where it stands, and what enrichment and routing made of it.

    `erased`: it was about a person who was erased, and nothing of it can be sent any more.
    """

    event: Event
    state: EventState
    sequence: int
    reason: str = ""
    attempts: int = 0
    due_at: float | None = None
    envelope: Mapping[str, Any] | None = None
    routing: Mapping[str, str] = field(default_factory=dict)
    targets: tuple[str, ...] = ()
    duplicate_of: str | None = None
    erased: bool = False
