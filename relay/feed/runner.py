"""All feeds of all portals: which is due, one runner per portal and feed over all hosts, and what follows a failure.

The lock only saves calls: two runners at once do no harm, since every snapshot is written by compare-and-set together
with its events.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Protocol

from relay import telemetry
from relay.errors import (
    AuthorizationLost,
    BacklogFull,
    BudgetSpent,
    PlandayError,
    PlandayUnavailable,
    RecordGone,
    RelayError,
    ScopeMissing,
    StoreError,
    WrongPortal,
)
from relay.events import Event, Origin, Seen, event_id, rfc3339
from relay.feed.compare import SOURCE, WATCHED, chain
from relay.feed.look import Looking, Result
from relay.feed.marks import Mark
from relay.feed.reading import FEEDS, Feed
from relay.fields import Keep
from relay.persons import NOBODY, ErasedPeople
from relay.pipeline import Intake, Outside
from relay.planday.enrich import Planday
from relay.settings import Portal
from relay.store.feeds import FeedStore

_LOCK = 120.0
# A portal without authorisation is looked at so often; that costs no call (the state is in the store).
_LOST_AGAIN = 5.0
_SCOPE_AGAIN = 3600.0
_BACKLOG_AGAIN = 10.0
_UNSTEADY_AGAIN = 15.0
_LONGEST_PAUSE = 900.0
# After so many looks without news a feed is idle; while it goes on, it looks less often.
_IDLE_AFTER = 10
# Below these parts of the minute's budget, feeds leave it to others.
_TIGHT = ((0.3, 4.0), (0.5, 2.0))
_AUTHORISATION = "authorisation"


class Locks(Protocol):
    """Short locks shared by all hosts."""

    async def take_lock(self, name: str, *, owner: str, seconds: float) -> bool: ...
    async def drop_lock(self, name: str, *, owner: str) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class _Seat:
    """One feed of one portal."""

    portal: str
    settings: Portal
    feed: Feed
    looking: Looking

    @property
    def lock(self) -> str:
        return f"feed:{self.settings.id}:{self.feed.name}"


class Feeds:
    """The change feeds of a configuration. `tick` is called every few seconds in every worker."""

    def __init__(
        self,
        portals: Mapping[str, Portal],
        *,
        planday: Planday,
        store: FeedStore,
        intake: Intake,
        locks: Locks,
        keep: Keep,
        outside: Outside,
        erased: ErasedPeople = NOBODY,
    ) -> None:
        self._portals = portals
        self._planday = planday
        self._store = store
        self._intake = intake
        self._locks = locks
        self._outside = outside
        self._seats = [
            _Seat(
                portal=name,
                settings=portal,
                feed=FEEDS[feed],
                looking=Looking(
                    portal.id,
                    FEEDS[feed],
                    reader=planday.reader(name, also=WATCHED),
                    store=store,
                    kept=lambda kind: keep.fields(kind, ("object",)),
                    outside=outside,
                    backfill=portal.backfill,
                    erased=erased,
                ),
            )
            for name, portal in portals.items()
            for feed in portal.feeds
        ]

    async def tick(self, name: str, *, stopping: Callable[[], bool] = lambda: False) -> None:
        """Look at every feed of a portal that is due, one after the other. Raises StoreError."""
        for seat in self._seats:
            if seat.portal == name and not stopping():
                await self._due(seat)
        await self._watch(name)

    async def _due(self, seat: _Seat) -> None:
        mark = await seat.looking.mark()
        if not mark.is_due(self._outside.clock()):
            return
        owner = secrets.token_hex(8)
        if not await self._locks.take_lock(seat.lock, owner=owner, seconds=_LOCK):
            return
        try:
            mark = await seat.looking.mark()  # the one before us may just have ended
            tried = self._outside.clock()
            if mark.is_due(tried):
                await seat.looking.save(replace(await self._looked(seat, mark), tried=tried))
        finally:
            await self._locks.drop_lock(seat.lock, owner=owner)

    async def _looked(self, seat: _Seat, mark: Mark) -> Mark:
        began = self._outside.clock()
        try:
            result = await seat.looking.look(mark)
        except StoreError as error:
            if not isinstance(error, BacklogFull):
                raise
            return self._failed(seat, mark, error, _BACKLOG_AGAIN)
        except PlandayError as error:
            return self._failed(seat, mark, error, _again(error, mark, seat.feed))
        except Exception as error:
            self._outside.record(telemetry.OwnFault(where=f"feed {seat.feed.name}", error=error))
            return mark.failed("a fault of ours; see the log", due=self._outside.clock() + _pause(mark, seat.feed))
        self._tell(seat, result, began)
        if not result.complete:
            return mark.failed(
                "a list did not hold still; it is read again from the same mark",
                due=self._outside.clock() + _UNSTEADY_AGAIN,
                events=result.events,
            )
        return mark.done(
            at=began,
            whole=result.whole,
            events=result.events,
            due=began + await self._interval(seat, mark, result),
            kinds=result.kinds,
        )

    async def _interval(self, seat: _Seat, mark: Mark, result: Result) -> float:
        """Seconds from look to look: more when nothing happens, and more when others need the budget."""
        idle = not result.events and mark.quiet >= _IDLE_AFTER
        every = seat.feed.idle if idle else seat.feed.every
        _, windows = await self._planday.client(seat.portal).limiter.budget()
        left = min((left / limit for _, window, limit, left in windows if window >= 60), default=1.0)
        return every * next((factor for part, factor in _TIGHT if left < part), 1.0)

    def _tell(self, seat: _Seat, result: Result, began: float) -> None:
        self._outside.record(
            telemetry.FeedLooked(
                portal=seat.portal,
                feed=seat.feed.name,
                events=result.events,
                rows=result.rows,
                whole=result.whole,
                at=began,
                seconds=self._outside.clock() - began,
            )
        )

    def _failed(self, seat: _Seat, mark: Mark, error: RelayError, again: float) -> Mark:
        # A spent budget is no trouble, and what goes on failing is told once.
        if not isinstance(error, BudgetSpent) and str(error) != mark.why:
            self._outside.record(
                telemetry.FeedTrouble(portal=seat.portal, feed=seat.feed.name, reason=str(error), again_in=again)
            )
        return mark.failed(error, due=self._outside.clock() + again)

    # The authorisation -------------------------------------------------------------------------

    async def _watch(self, name: str) -> None:
        """An authorisation that died, and one that lives again, are events like any other, each told once."""
        portal = self._portals[name]
        status = await self._planday.status(name)
        told = (await self._store.mark(portal.id, _AUTHORISATION)).get("lost")
        if status.lost_since is not None and status.authorisation == "lost":
            since = rfc3339(status.lost_since)
            if told == since:
                return
            await self._accept(name, "authorization_revoked", since, reason=status.lost_why)
            await self._store.save_mark(portal.id, _AUTHORISATION, {"lost": since})
        elif told is not None and status.authorisation == "ok":
            await self._accept(name, "authorization_restored", told, reason="")
            await self._store.save_mark(portal.id, _AUTHORISATION, {}, remove=("lost",))

    async def _accept(self, name: str, verb: str, since: str, *, reason: str) -> None:
        portal, now = self._portals[name], self._outside.clock()
        sender_id = f"{portal.id}:{verb}:{since}"
        seen = Seen(
            object={"id": portal.id, "name": name, "reason": reason or None, "since": since},
            version=chain(verb, since),  # of this loss: the next one is another change
            read_at=now,
        )
        event = Event(
            id=event_id(SOURCE, sender_id),
            source=SOURCE,
            sender_id=sender_id,
            type=f"planday.portal.{verb}",
            portal=portal.id,
            entity="portal",
            entity_id=str(portal.id),
            received_at=now,
            origin=Origin.DERIVED,
            seen=seen,
        )
        await self._intake.accept([event], urgent=True)


async def look_now(store: FeedStore, portal: Portal, *, now: float) -> tuple[str, ...]:
    """Ask for a look of every feed of a portal, which some worker takes at its next tick; the names of the feeds."""
    for feed in portal.feeds:
        await store.save_mark(portal.id, feed, {"asked": now})
    return portal.feeds


def _again(error: PlandayError, mark: Mark, feed: Feed) -> float:
    """Seconds until a feed that failed looks again; it begins where this look began."""
    if isinstance(error, AuthorizationLost | WrongPortal):
        return _LOST_AGAIN
    if isinstance(error, ScopeMissing):
        return _SCOPE_AGAIN
    if isinstance(error, BudgetSpent):
        return max(error.retry_after or 0.0, 1.0)
    if isinstance(error, PlandayUnavailable) and error.retry_after:
        return max(error.retry_after, 1.0)
    return _pause(mark, feed) if not isinstance(error, RecordGone) else feed.idle


def _pause(mark: Mark, feed: Feed) -> float:
    return min(feed.every * 0.5 * 2.0 ** min(mark.failures, 8), _LONGEST_PAUSE)
