"""Everything worth telling, one frozen object each. `title` names it in the log; `level` says how loud it is.

None of them has a place for personal data: ids of ours, names from the configuration, states, numbers, and a
reason in our own words.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

Level = Literal["debug", "info", "warning", "error"]

_GOOD_OUTCOMES = frozenset({"delivered"})
_BAD_ENDS = frozenset({"dead", "parked"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Happening:
    """Base of all. A field that is None, empty or False is left out of the line."""

    title: ClassVar[str]

    @property
    def level(self) -> Level:
        return "info"


@dataclass(frozen=True, slots=True, kw_only=True)
class EventReceived(Happening):
    """A sender's request, or one event of it, was taken, known already, or refused."""

    title: ClassVar[str] = "event.received"
    source: str
    result: Literal["new", "duplicate", "refused"]
    type: str = ""
    event: str = ""
    portal: int | None = None
    status: int | None = None
    reason: str = ""
    seconds: float | None = None

    @property
    def level(self) -> Level:
        return "warning" if self.result == "refused" else "info"


@dataclass(frozen=True, slots=True, kw_only=True)
class EventEnriched(Happening):
    """What Planday says was put to an event, or not (state complete, partial or none)."""

    title: ClassVar[str] = "event.enriched"
    event: str
    portal: int
    state: str
    seconds: float
    missing: str = ""

    @property
    def level(self) -> Level:
        # The routed line follows at once; a whole enrichment is only worth its numbers.
        return "debug" if self.state == "complete" else "info"


@dataclass(frozen=True, slots=True, kw_only=True)
class EventRouted(Happening):
    """The targets of an event are known; `unrouted` when there are none."""

    title: ClassVar[str] = "event.routed"
    event: str
    type: str
    targets: tuple[str, ...]
    unrouted: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class EventDuplicate(Happening):
    """The same change had come in before, through the other door or under another id."""

    title: ClassVar[str] = "event.duplicate"
    event: str
    type: str
    duplicate_of: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryAttempted(Happening):
    """One attempt: the one wide line that holds every decision taken."""

    title: ClassVar[str] = "delivery.attempted"
    event: str
    target: str
    type: str
    attempt: int
    outcome: str
    state: str
    seconds: float
    status: int | None = None
    reason: str = ""
    again_at: float | None = None
    replay: str | None = None
    lag: float | None = None

    @property
    def level(self) -> Level:
        if self.state in _BAD_ENDS:
            return "error"
        return "info" if self.outcome in _GOOD_OUTCOMES else "warning"


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliverySettled(Happening):
    """A delivery came to an end, or was taken up again, without an attempt: superseded, cancelled, target gone."""

    title: ClassVar[str] = "delivery.settled"
    event: str
    target: str
    state: str
    reason: str = ""
    by: str = ""

    @property
    def level(self) -> Level:
        return "warning" if self.state in _BAD_ENDS else "info"


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaseReleased(Happening):
    """Work that a lost worker held was taken back."""

    title: ClassVar[str] = "lease.released"
    kind: Literal["event", "delivery"]
    count: int

    @property
    def level(self) -> Level:
        return "warning"


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetPaused(Happening):
    """Nothing more goes to this target until it is resumed."""

    title: ClassVar[str] = "target.paused"
    target: str
    reason: str
    by: str

    @property
    def level(self) -> Level:
        return "warning"


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetResumed(Happening):
    """Deliveries to this target go on."""

    title: ClassVar[str] = "target.resumed"
    target: str
    reason: str
    by: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetFailing(Happening):
    """A target keeps failing: its breaker opened, nothing but probes is sent, its deliveries wait."""

    title: ClassVar[str] = "target.failing"
    target: str
    reason: str

    @property
    def level(self) -> Level:
        return "warning"


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetRecovered(Happening):
    """A probe of a failing target succeeded: its deliveries go on."""

    title: ClassVar[str] = "target.recovered"
    target: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PlandayCalled(Happening):
    """One call of Planday's API or identity server. `endpoint` is a name such as `shift`, never a path."""

    title: ClassVar[str] = "planday.called"
    portal: str
    endpoint: str
    seconds: float
    status: int | None = None

    @property
    def level(self) -> Level:
        return "debug" if self.status is not None and self.status < 400 else "warning"


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthorizationLost(Happening):
    """A portal's token no longer works: events of it wait for a person."""

    title: ClassVar[str] = "planday.authorization_lost"
    portal: str
    reason: str = ""

    @property
    def level(self) -> Level:
        return "error"


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedLooked(Happening):
    """A feed read Planday's lists to their end. `at` is when it began; `whole`: it compared all, not only news."""

    title: ClassVar[str] = "feed.looked"
    portal: str
    feed: str
    events: int
    rows: int
    whole: bool
    at: float
    seconds: float

    @property
    def level(self) -> Level:
        return "info" if self.events or self.whole else "debug"


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedTrouble(Happening):
    """A feed could not read: nothing is lost, since the next look begins where this one did."""

    title: ClassVar[str] = "feed.trouble"
    portal: str
    feed: str
    reason: str
    again_in: float

    @property
    def level(self) -> Level:
        return "warning"


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreTrouble(Happening):
    """The store did not answer, refused a write, or is not fit."""

    title: ClassVar[str] = "store.trouble"
    reason: str

    @property
    def level(self) -> Level:
        return "error"


@dataclass(frozen=True, slots=True, kw_only=True)
class Quarantined(Happening):
    """A body that was signed but cannot be read was put aside."""

    title: ClassVar[str] = "inbound.quarantined"
    source: str
    reason: str

    @property
    def level(self) -> Level:
        return "warning"


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayProgress(Happening):
    """How far a replay plan has come."""

    title: ClassVar[str] = "replay.progress"
    plan: str
    done: int
    total: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Trimmed(Happening):
    """Retention took away what is past its age: how many of each kind; `finished` False: more goes the next time."""

    title: ClassVar[str] = "retention.trimmed"
    removed: str
    events: int
    seconds: float
    finished: bool = True

    @property
    def level(self) -> Level:
        return "info" if self.removed else "debug"


@dataclass(frozen=True, slots=True, kw_only=True)
class Erased(Happening):
    """One person was erased; who it was is told nowhere."""

    title: ClassVar[str] = "erasure.ended"
    erasure: str
    by: str
    proven: bool
    found: int = 0

    @property
    def level(self) -> Level:
        return "info" if self.proven else "error"


@dataclass(frozen=True, slots=True, kw_only=True)
class IncidentTold(Happening):
    """An event tells that an incident began, grew, or is over."""

    title: ClassVar[str] = "incident.told"
    incident: str
    type: str
    event: str
    over: bool
    reason: str

    @property
    def level(self) -> Level:
        return "info" if self.over else "error"


@dataclass(frozen=True, slots=True, kw_only=True)
class HeartbeatFailed(Happening):
    """The heartbeat's URL could not be called; told once until it works again."""

    title: ClassVar[str] = "heartbeat.failed"
    reason: str

    @property
    def level(self) -> Level:
        return "warning"


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceStarted(Happening):
    """A process is at work."""

    title: ClassVar[str] = "service.started"
    role: str
    version: str
    address: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceStopping(Happening):
    """A process finishes what it holds and stops."""

    title: ClassVar[str] = "service.stopping"
    role: str
    version: str
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnFault(Happening):
    """An exception that nobody expected: a fault of ours, told with its place but without its values."""

    title: ClassVar[str] = "fault"
    where: str
    error: BaseException
    event: str = ""
    target: str = ""

    @property
    def level(self) -> Level:
        return "error"
