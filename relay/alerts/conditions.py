"""What is wrong with the relay now, out of how things stand. Pure: times are arguments, in seconds since 1970."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from relay.events import NO_PORTAL
from relay.settings import Alerts
from relay.store.alerts import StoreState, TargetState, WorkerState

# Above this part of the backlog limit, senders are about to be refused.
BACKLOG_SHARE = 0.9
# Above this part of the memory that the store may use (relay/store/headroom.py), senders are about to be refused.
MEMORY_SHARE = 0.9
# So many calls in a row that failed are told, long before the breaker of a target with little to do opens.
_FAILURES = 3
# A worker that takes the place of another counts once it has lived this long, so that a gap is noticed by its filler.
_SETTLED = 10.0
# A heartbeat lasts this long; who takes over may have begun before the last one of the old ended.
_HEARTBEAT = 20.0
# A feed that nobody looks after, though it does not fail: a whole reading of a large portal may take a while.
_OVERDUE = 600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """A kind of incident: the types that tell of its beginning and its end."""

    begins: str
    ends: str

    @property
    def name(self) -> str:
        """As metrics and keys have it: "target_failing"."""
        return self.begins.removeprefix("relay.").replace(".", "_")

    @property
    def entity(self) -> str:
        return self.begins.split(".")[1]


FAILING = Kind(begins="relay.target.failing", ends="relay.target.recovered")
PAUSED = Kind(begins="relay.target.paused", ends="relay.target.resumed")
EXHAUSTED = Kind(begins="relay.delivery.exhausted", ends="relay.delivery.cleared")
PARKED = Kind(begins="relay.delivery.parked", ends="relay.delivery.decided")
SILENT = Kind(begins="relay.worker.silent", ends="relay.worker.back")
BEHIND = Kind(begins="relay.feed.behind", ends="relay.feed.caught_up")
UNHEALTHY = Kind(begins="relay.store.unhealthy", ends="relay.store.healthy")
QUARANTINE = Kind(begins="relay.quarantine.growing", ends="relay.quarantine.calm")
BACKLOG = Kind(begins="relay.backlog.growing", ends="relay.backlog.calm")
KINDS: Mapping[str, Kind] = {
    kind.name: kind for kind in (FAILING, PAUSED, EXHAUSTED, PARKED, SILENT, BEHIND, UNHEALTHY, QUARANTINE, BACKLOG)
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """One thing that is wrong now."""

    kind: Kind
    about: str
    """What it is about, by name: a target, "bistro.shifts"."""
    summary: str
    """What happened, what it means for the data, what to do next."""
    over: str
    """The same for its end."""
    since: float | None = None
    """When it began, where that is known."""
    after: float = 0.0
    """It is told when it has lasted for so many seconds."""
    calm: float = 0.0
    """It is over when it has stayed away for so many seconds."""
    count: int = 0
    """How many it is about; more of them are told again where `repeats`."""
    repeats: bool = False
    critical: bool = False
    """Nobody can rely on a target to tell of it, so the heartbeat does."""
    portal: int = NO_PORTAL
    facts: Mapping[str, Any] = field(default_factory=dict)

    @property
    def key(self) -> str:
        return f"{self.kind.name}:{self.about}"


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedState:
    """How one feed of one portal fares."""

    portal: str
    portal_id: int
    feed: str
    failures: int
    due: float
    first: bool
    """Its first reading has not come to its end yet: that may take long."""
    why: str
    authorised: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Situation:
    """All that is looked at."""

    now: float
    store: StoreState
    feeds: tuple[FeedState, ...] = ()
    findings: tuple[str, ...] = ()
    """What makes this Redis unfit."""
    lost_portals: frozenset[int] = frozenset()
    """Portals whose authorisation is lost: `planday.portal.authorization_revoked` tells of that."""
    backlog_limit: int


def conditions(situation: Situation, settings: Alerts) -> Iterator[Condition]:
    """Everything that is wrong, each once."""
    for name, target in situation.store.targets.items():
        yield from _target(name, target, situation.now, settings)
    yield from _workers(situation.store.workers, situation.now, settings)
    for feed in situation.feeds:
        yield from _feed(feed, situation.now, settings)
    yield from _store(situation, settings)
    yield from _quarantine(situation, settings)
    yield from _backlog(situation, settings)


def _target(name: str, target: TargetState, now: float, settings: Alerts) -> Iterator[Condition]:
    failing = target.failing_since is not None or target.failures >= _FAILURES
    if failing:
        yield Condition(
            kind=FAILING,
            about=name,
            since=target.failing_since,
            after=settings.failing_after,
            calm=settings.calm,
            facts={"target": name},
            summary=f"Target {name} keeps failing. Its deliveries wait and are tried again by themselves, in order; "
            f"none is lost. See why: `relay deliveries list --target {name} --state waiting`; try it: "
            f"`relay targets test {name}`.",
            over=f"Target {name} takes deliveries again; what waited is going out in order. Nothing is left to do.",
        )
    if target.paused_since is not None:
        yield _paused(name, target)
    if target.dead:
        one = target.dead == 1
        yield Condition(
            kind=EXHAUSTED,
            about=name,
            count=target.dead,
            repeats=True,
            calm=settings.calm,
            facts={"target": name, "count": target.dead},
            summary=f"{target.dead} {'delivery' if one else 'deliveries'} to target {name} {'is' if one else 'are'} "
            f"dead: {name} does not have {'it' if one else 'them'}, and the relay will not try again by itself. Mend "
            f"the cause (see `relay deliveries list --target {name} --state dead`), then replay: "
            f"`relay replay plan --target {name}`.",
            over=f"Target {name} has no dead deliveries any more: replayed, cancelled, or past retention.",
        )
    if target.parked:
        one = target.parked == 1
        yield Condition(
            kind=PARKED,
            about=name,
            count=target.parked,
            repeats=True,
            calm=settings.calm,
            facts={"target": name, "count": target.parked},
            summary=f"{target.parked} {'delivery' if one else 'deliveries'} to target {name} "
            f"{'waits' if one else 'wait'} for a person: the relay may not send {'it' if one else 'them'} again by "
            f"guesswork, and later changes of the same records wait behind. Decide each: "
            f"`relay deliveries list --target {name} --state parked`, then release or cancel.",
            over=f"No delivery to target {name} waits for a decision any more; what waited behind goes on.",
        )
    if target.due_since is not None and not failing and target.paused_since is None:
        waited = now - target.due_since
        if waited > settings.backlog_after:
            yield Condition(
                kind=BACKLOG,
                about=name,
                calm=settings.calm,
                since=target.due_since,
                facts={"target": name, "seconds": round(waited)},
                summary=f"Deliveries to target {name} have waited for their turn for {_long(waited)}: more comes in "
                f"than its rate and its concurrency let out, or it asked to be left alone. None is lost, they arrive "
                f"late and in order. See `relay targets list`; raise `rate` of targets.{name} if it can take more.",
                over=f"Deliveries to target {name} go out in time again.",
            )


def _paused(name: str, target: TargetState) -> Condition:
    resume = f"`relay targets resume {name}`"
    if target.paused_by_relay:
        why, by = target.paused_why, "relay"
        summary = (
            f"Target {name} was paused by the relay: {why}. Its deliveries wait, none is lost, but the one that found "
            f"this is dead. Mend its address or credential, try `relay targets test {name}`, then {resume}."
        )
    else:
        why, by = "", "person"
        summary = (
            f"Target {name} was paused by a person (`relay targets list` has the reason). Its deliveries wait, none "
            f"is lost. When it is time: {resume}."
        )
    return Condition(
        kind=PAUSED,
        about=name,
        since=target.paused_since,
        facts={"target": name, "by": by, "reason": why or None},
        summary=summary,
        over=f"Target {name} was resumed; what waited is going out in order. Nothing is left to do.",
    )


def _workers(workers: Mapping[str, WorkerState], now: float, settings: Alerts) -> Iterator[Condition]:
    """Workers whose heartbeat ended without leave, less those that another one came for."""
    ended = sorted((one for one in workers.values() if one.until < now), key=lambda one: one.until)
    # One that came and vanished as well fills a gap, and leaves its own.
    fillers = sorted(
        (one for one in workers.values() if now - one.first_seen >= _SETTLED), key=lambda one: one.first_seen
    )
    silent = []
    for gone in ended:
        fits = (one for one in fillers if one.first_seen > gone.until - _HEARTBEAT and one.until > gone.until)
        if (filler := next(fits, None)) is None:
            silent.append(gone.until)
        else:
            fillers.remove(filler)
    if not silent:
        return
    count, left = len(silent), len(workers) - len(ended)
    goes_on = f"{left} {'is' if left == 1 else 'are'} left and {'takes' if left == 1 else 'take'} over its work"
    yield Condition(
        kind=SILENT,
        about="all",
        since=silent[0],
        after=settings.worker_after,
        calm=settings.calm,
        count=count,
        facts={"count": count, "workers": left},
        summary=f"{count} {'worker' if count == 1 else 'workers'} vanished without leave and "
        f"{'was' if count == 1 else 'were'} not replaced; {goes_on}. Nothing is lost; what was being sent goes out "
        "again under the same key where the target recognises it, and is parked where not. Look at the process, its "
        "host and its memory, and start it again.",
        over="As many workers as before are at work, or the missing one is not waited for any more after an hour.",
    )


def _feed(feed: FeedState, now: float, settings: Alerts) -> Iterator[Condition]:
    if not feed.authorised:
        return
    overdue = now - feed.due > _OVERDUE and not feed.first
    if not feed.failures and not overdue:
        return
    why = f": {feed.why}" if feed.why else ""
    yield Condition(
        kind=BEHIND,
        about=f"{feed.portal}.{feed.feed}",
        after=settings.feed_after if feed.failures else 0.0,
        calm=settings.calm,
        portal=feed.portal_id,
        facts={"portal": feed.portal, "feed": feed.feed, "reason": feed.why or None, "count": feed.failures},
        summary=f"The feed {feed.feed} of portal {feed.portal} cannot read Planday{why}. Changes there are noticed "
        "late, none is lost: the next look begins where the last whole one ended. It is tried again by itself; if it "
        f"goes on, `relay portals check {feed.portal}`.",
        over=f"The feed {feed.feed} of portal {feed.portal} has read Planday up to now; nothing was left out.",
    )


def _store(situation: Situation, settings: Alerts) -> Iterator[Condition]:
    over = "The store is as it must be again. Nothing is left to do."
    if situation.findings:
        yield Condition(
            kind=UNHEALTHY,
            about="redis",
            calm=settings.calm,
            critical=True,
            count=len(situation.findings),
            facts={"findings": list(situation.findings), "count": len(situation.findings)},
            summary=f"The store is not safe as it is: {situation.findings[0]}"
            + (
                f" (and {len(situation.findings) - 1} more, see `relay check --connect`)"
                if situation.findings[1:]
                else ""
            ),
            over=over,
        )
    share = situation.store.memory_share
    if share is not None and share > MEMORY_SHARE:
        yield Condition(
            kind=UNHEALTHY,
            about="memory",
            calm=settings.calm,
            critical=True,
            facts={"count": round(share * 100)},
            summary=f"The store uses {share:.0%} of the memory that it may: at 100 % senders are refused (503) and "
            "feeds stop; what was accepted goes on, nothing is lost. Let the backlog drain, shorten `[retention]`, or "
            "give the store more memory (`store.memory_limit`, maxmemory).",
            over=over,
        )


def _quarantine(situation: Situation, settings: Alerts) -> Iterator[Condition]:
    at = situation.store.quarantined_at
    if at is not None and situation.now - at <= settings.quarantine_window:
        yield Condition(
            kind=QUARANTINE,
            about="all",
            since=at,
            calm=settings.calm,
            facts={"count": settings.quarantine_count, "seconds": round(settings.quarantine_window)},
            summary=f"At least {settings.quarantine_count} signed bodies of senders could not be read within "
            f"{_long(settings.quarantine_window)}. They made no events: what they told is missing until it is sent "
            "again in a form that can be read. See why: `relay quarantine list`; then mend the sender or its map.",
            over="Senders' bodies can be read again. What is in the quarantine made no events and must be sent again.",
        )


def _backlog(situation: Situation, settings: Alerts) -> Iterator[Condition]:
    held, limit = situation.store.open, situation.backlog_limit
    if held > limit * BACKLOG_SHARE:
        yield Condition(
            kind=BACKLOG,
            about="limit",
            calm=settings.calm,
            critical=True,
            count=held,
            facts={"count": held, "limit": limit},
            summary=f"{held} accepted events have work left, of {limit} that relay.backlog_limit allows: at the limit "
            "senders are refused (429) and feeds stop reading. None is lost. See `relay stats` for the target that "
            "holds them (paused, failing, parked, slow); mend that, or raise the limit if the store has room.",
            over="The backlog is well below its limit again; senders and feeds are served.",
        )
    for portal, accepted in situation.store.oldest_events.items():
        waited = situation.now - accepted
        if waited > settings.backlog_after and portal not in situation.lost_portals:
            about = f"portal {portal}" if portal != NO_PORTAL else "the relay itself"
            yield Condition(
                kind=BACKLOG,
                about=f"events.{portal}",
                since=accepted,
                calm=settings.calm,
                portal=portal,
                facts={"seconds": round(waited)},
                summary=f"Events of {about} have waited for {_long(waited)} to be enriched and routed: Planday does "
                "not answer, its call budget is spent, or the workers cannot keep up. None is lost, they arrive late "
                "and in order. See `relay stats` and `relay events explain` of the oldest.",
                over=f"Events of {about} are enriched and routed in time again.",
            )


def _long(seconds: float) -> str:
    """A length of time in the words of an operator."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 2 * 3600 else f"{seconds / 3600:.0f} h"
