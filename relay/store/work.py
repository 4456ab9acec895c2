"""What the store hands to workers and takes back from them, as frozen records."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from relay.events import Attempt, DeliveryState


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    """What became of one event that was handed in."""

    id: str
    duplicate: bool
    sequence: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Lane:
    """How a target wants to be served: what the claim script counts.

    `gathers` above 1: so many deliveries are handed out together and sent by one call; one such call at a time.
    """

    target: str
    concurrency: int
    per_second: float | None
    burst: int
    limiter: str
    dedupes: bool
    gathers: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakerPolicy:
    """When a target's breaker opens, and how long it stays so (docs/decisions/0015); times in seconds.

    It opens after `failures` in a row, or when of at least `sample` calls within `span` the part `share` failed; it is
    tried again after `wait`, which doubles with every failed probe up to `longest`.
    """

    failures: int
    sample: int
    share: float
    span: float
    wait: float
    longest: float


NO_BREAKER = BreakerPolicy(failures=1_000_000_000, sample=1_000_000_000, share=1.0, span=60.0, wait=1.0, longest=1.0)
Verdict = Literal["good", "bad", "unsent", ""]
Kept = Literal["lost", "kept", "opened", "closed"]
"""What became of a settled attempt: `lost` to another worker, or kept, and what the target's breaker did with it."""


@dataclass(frozen=True, slots=True)
class Body:
    """What is kept of an event, as JSON: the accepted event and, once it is routed, envelope and refusals."""

    record: bytes
    envelope: bytes | None = None
    refusals: bytes | None = None

    @classmethod
    def read(cls, raw: bytes) -> Body:
        return cls(*raw.split(b"\n"))


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimedEvent:
    """An event under lease.

    `since` is when it first had to wait for Planday (seconds) and `tries` how often; `faults` counts those of ours.
    `newest` is when the newest state of its entity was read that an event was made of (seconds).
    """

    id: str
    token: int
    sequence: int
    tries: int
    faults: int
    since: float | None
    record: bytes
    newest: float | None = None
    portal: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimedDelivery:
    """A delivery under lease, with the enriched envelope that it is to send.

    `attempt` numbers the attempts of this round, those lost with their worker included; `step` leaves these out and
    is its place in the retry schedule. `accepted_at` is when the event was accepted (seconds). `salt` makes another
    idempotency key of it, where a person asked for that; `released`: a person says that the target does not have it.
    `ahead`: it is tried now to see whether its target is back, and would have been due then (seconds).
    """

    id: str
    target: str
    token: int
    sequence: int
    attempt: int
    step: int
    round: int
    replay: str | None
    envelope: bytes
    accepted_at: float
    lease_until: float
    salt: str = ""
    released: bool = False
    ahead: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """One helping of work. `next_due` is when the next piece will be due (seconds), if that is known."""

    events: tuple[ClaimedEvent, ...]
    deliveries: tuple[ClaimedDelivery, ...]
    released_events: int
    released_deliveries: int
    next_due: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """A handled event: what to keep, and whom it goes to (nobody: it ends unrouted).

    `stripped` is the record without the sender's own words, None where there are none; it stays in place of the record
    when `strip` says so, and in any case when the event turns out to double another. `since` (seconds) is for what the
    feed found at the end of a span of time: an event of its type that was told within it is the same one, if what was
    told last of the record is this very version. At the targets in `latest` an older delivery of the same type that
    still waits gives way to this one. `dues` says when each target's is first due (seconds; now, if it is not named).
    `people` and `department` are Planday's ids, by which people look for events.
    """

    id: str
    token: int
    envelope: bytes
    targets: tuple[str, ...]
    refusals: Mapping[str, str] = field(default_factory=dict)
    stripped: bytes | None = None
    strip: bool = False
    version: str | None = None
    read_at: float | None = None
    undone: tuple[str, ...] = ()
    since: float | None = None
    latest: frozenset[str] = frozenset()
    dues: Mapping[str, float] = field(default_factory=dict)
    people: tuple[str, ...] = ()
    department: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settled:
    """A finished attempt and what follows from it.

    `verdict` is what it says of the target itself; `alone`: the delivery is not sent together with others any more.
    """

    id: str
    target: str
    token: int
    state: DeliveryState
    reason: str
    attempt: Attempt
    due_at: float | None = None
    hold_until: float | None = None
    pause: str | None = None
    verdict: Verdict = ""
    alone: bool = False
    breaker: BreakerPolicy = NO_BREAKER


@dataclass(frozen=True, slots=True)
class Holding:
    """How much a drain has under way: events by portal id, deliveries by target."""

    events: Mapping[str, int] = field(default_factory=dict)
    deliveries: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Held:
    """A piece of work under lease, as its holder names it; `target` "" means the event itself."""

    id: str
    target: str
    token: int
