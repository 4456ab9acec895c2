"""An event's life from top to bottom, in the order in which it happens: accept, enrich, route, deliver, settle, sweep.

This module decides the order and nothing else: how Planday is asked, how a target is sent to, what follows an
outcome and how it is written stand in their own rooms.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, Protocol, TypeVar

import pydantic_core

from relay import retry, telemetry
from relay.composing import envelope_of, overtaken, span_of, version_of, without_sender_words
from relay.errors import AuthorizationLost, BudgetSpent, PlandayUnavailable, StoreError, StoreUnavailable
from relay.events import Event, gives_way, opposites, people_of
from relay.fields import Keep, without_never
from relay.planday.enrich import Enrichment
from relay.routing import Router
from relay.settling import refusal, sending_of, settled_by
from relay.store.store import Store
from relay.store.work import Accepted, ClaimedDelivery, ClaimedEvent, Finished, Kept, Lane, Settled
from relay.targets import Result, Sending, Target

Answer = TypeVar("Answer")

# An event of a portal whose authorisation is dead looks again this often (no call is made for it).
AUTHORIZATION_WAIT = 60.0
_BUDGET_WAIT = 1.0
_SWEPT_AT_ONCE = 500
# A target that no worker has in its settings for so long is gone; before, settings may just be changing.
_GONE_AFTER = 120.0
# However much is under way, one line in so many seconds says that the store is away.
_TROUBLE_EVERY = 1.0


class Enricher(Protocol):
    """Planday, as the line needs it."""

    async def enrich(self, event: Event, *, now: float, reread: bool = False) -> Enrichment: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Outside:
    """The holes for the outside world: time, waiting, chance, and whoever wants to hear what happened."""

    clock: Callable[[], float]
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    chance: Callable[[], float] = random.random
    record: Callable[[telemetry.Happening], None] = lambda _happening: None


class Intake:
    """The way in, for both doors; all that a receiver needs of the line."""

    def __init__(self, store: Store, outside: Outside) -> None:
        self._store = store
        self._outside = outside

    async def accept(self, events: Sequence[Event], *, urgent: bool = False) -> list[Accepted]:
        """Record events, all or none. Raises StoreUnavailable or BacklogFull; then a sender must come again.

        What the relay tells of itself is `urgent`: it goes in however much waits.
        Class F in a sender's own data is not even stored (design.md, invariant 8).
        """
        events = [
            event if event.received is None else replace(event, received=without_never(event.received))
            for event in events
        ]
        accepted = await self._store.accept(events, now=self._outside.clock(), urgent=urgent)
        for event, one in zip(events, accepted, strict=True):
            self._outside.record(
                telemetry.EventReceived(
                    source=event.source,
                    result="duplicate" if one.duplicate else "new",
                    type=event.type,
                    event=event.id,
                    portal=event.portal,
                )
            )
        return accepted


class Forgetting(Protocol):
    """Who was erased, as the line needs it (relay/erase)."""

    async def takes(self, event: Event, claimed: ClaimedEvent, enrichment: Enrichment | None = None) -> bool:
        """End an event that is about an erased person, and answer True; False: it goes on."""

    async def cleaned(self, event: Event) -> Event:
        """An event without what mentions an erased person; the very same where nothing does."""

    async def cut(self, envelope: dict[str, Any], portal: int) -> None:
        """Take the mentions of erased people out of an envelope."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """What the line is made of, besides the store."""

    planday: Enricher
    router: Router
    targets: Mapping[str, Target]
    lanes: tuple[Lane, ...] = field(default=())
    forgetting: Forgetting | None = None


class Pipeline:
    """Takes what was leased through the rest of the line."""

    def __init__(self, store: Store, line: Line, outside: Outside) -> None:
        self._store = store
        self._line = line
        self._outside = outside
        self._swept_to = 0
        self._unauthorised: set[int] = set()
        self._keeps: dict[tuple[str, ...], Keep] = {}
        self._trouble_told = 0.0

    @property
    def lanes(self) -> tuple[Lane, ...]:
        return self._line.lanes

    def calls_of(self, claimed: Sequence[ClaimedDelivery]) -> list[tuple[ClaimedDelivery, ...]]:
        """What was claimed, by the calls that it is sent by."""
        calls: list[tuple[ClaimedDelivery, ...]] = []
        gathered: dict[str, list[ClaimedDelivery]] = {}
        for one in claimed:
            if self._line.targets[one.target].gathers > 1:
                gathered.setdefault(one.target, []).append(one)
            else:
                calls.append((one,))
        return [*calls, *map(tuple, gathered.values())]

    # Enrich and route ------------------------------------------------------------------------------

    async def process(self, claimed: ClaimedEvent) -> None:
        """Enrich one event, route it, open its deliveries; or put it back until Planday can answer."""
        event = Event.from_json(claimed.record)
        began = self._outside.clock()
        waited = began - claimed.since if claimed.since is not None else 0.0
        try:
            if await self._is_forgotten(event, claimed):
                return
            enrichment = await self._enrich(event, claimed, waited)
            if enrichment is not None and not await self._is_forgotten(event, claimed, enrichment):
                await self._finish(event, claimed, enrichment, began)
        except StoreError:
            raise
        except Exception as error:
            self._outside.record(telemetry.OwnFault(where="process", error=error, event=event.id))
            wait = retry.own_fault_again(attempt=claimed.faults + 1, jitter=self._outside.chance())
            reason = f"a fault of ours ({type(error).__name__}) while it was enriched or routed; see the log"
            await self._defer(event, claimed, wait, reason, counted="faults")

    async def _is_forgotten(self, event: Event, claimed: ClaimedEvent, enrichment: Enrichment | None = None) -> bool:
        """Whether an event was about a person who was erased, and so has ended here."""
        forgetting = self._line.forgetting
        if forgetting is None or not await forgetting.takes(event, claimed, enrichment):
            return False
        self._outside.record(telemetry.EventRouted(event=event.id, type=event.type, targets=(), unrouted=True))
        return True

    async def _enrich(self, event: Event, claimed: ClaimedEvent, waited: float) -> Enrichment | None:
        """What Planday says, or None when the event was put back."""
        try:
            enrichment = await self._line.planday.enrich(
                event, now=self._outside.clock(), reread=overtaken(event, claimed)
            )
            self._unauthorised.discard(event.portal)
            return enrichment
        except AuthorizationLost as error:
            if event.portal not in self._unauthorised:
                self._unauthorised.add(event.portal)
                self._outside.record(telemetry.AuthorizationLost(portal=str(event.portal), reason=str(error)))
            await self._defer(event, claimed, AUTHORIZATION_WAIT * (1 + 0.1 * self._outside.chance()), str(error))
        except BudgetSpent as error:
            # Our own queue before Planday: it moves, however long it is, so it is no reason to go without the record.
            wait = max(error.retry_after or 0.0, _BUDGET_WAIT) * (1 + self._outside.chance())
            await self._defer(event, claimed, wait, str(error))
        except PlandayUnavailable as error:
            # A target that takes whole events only, or chooses them by what Planday says, cannot be served without:
            # going on would end the event unrouted, and nobody would be told. So it waits for as long as it takes.
            if waited >= retry.ENRICH_PATIENCE and not self._line.router.needs_record(event.type):
                return Enrichment(state="none", missing=(f"object: {error}",), fetched_at=self._outside.clock())
            wait = retry.enrich_again(
                attempt=claimed.tries + 1,
                waited=waited,
                retry_after=error.retry_after,
                jitter=self._outside.chance(),
            )
            await self._defer(event, claimed, wait, str(error), counted="tries", patience=True)
        return None

    async def _finish(self, event: Event, claimed: ClaimedEvent, enrichment: Enrichment, began: float) -> None:
        now = self._outside.clock()
        told, forgetting = event, self._line.forgetting
        if forgetting is not None:
            event = await forgetting.cleaned(told)
        envelope = envelope_of(event, enrichment, sequence=claimed.sequence)
        if forgetting is not None:
            await forgetting.cut(envelope, event.portal)
        cleaned = event is not told
        routing = self._line.router.route(envelope)
        people = people_of(envelope)
        keep = self._kept_for(routing.matched)
        keep.prune(envelope)
        finished = Finished(
            id=claimed.id,
            token=claimed.token,
            envelope=pydantic_core.to_json(envelope),
            targets=routing.matched,
            refusals=routing.refused,
            stripped=without_sender_words(event) or (event.to_json() if cleaned else None),
            strip=cleaned or not keep.received,
            version=version_of(event, enrichment, reread=overtaken(event, claimed)),
            read_at=enrichment.fetched_at,
            undone=opposites(event.type),
            since=span_of(event),
            latest=self._latest(event.type, routing.matched),
            dues={name: self._line.targets[name].send_at(event.type, now) for name in routing.matched},
            people=people,
            department=str(envelope.get("departmentid", "")),
        )
        answer = await self._patiently(lambda: self._store.finish(finished, now=now))
        self._tell_finished(event, enrichment, routing.matched, answer, now - began)

    def _latest(self, type_: str, matched: tuple[str, ...]) -> frozenset[str]:
        """The targets at which an event of this type takes the place of an older one that still waits."""
        targets = self._line.targets
        return frozenset(name for name in matched if gives_way(type_) and not targets[name].settings.every_version)

    def _kept_for(self, matched: tuple[str, ...]) -> Keep:
        """What stays of an event: the union of what its targets may have (design.md, invariant 8).

        An event that nobody takes keeps what any target might have, since its route may be mended.
        """
        keep = self._keeps.get(matched)
        if keep is None:
            names = matched or tuple(self._line.targets)
            keep = self._keeps[matched] = Keep([self._line.targets[name].fields for name in names])
        return keep

    def _tell_finished(
        self, event: Event, enrichment: Enrichment, targets: tuple[str, ...], answer: str, seconds: float
    ) -> None:
        record = self._outside.record
        record(
            telemetry.EventEnriched(
                event=event.id,
                portal=event.portal,
                state=enrichment.state,
                seconds=seconds,
                missing="; ".join(enrichment.missing),
            )
        )
        if answer in ("routed", "unrouted"):
            record(
                telemetry.EventRouted(event=event.id, type=event.type, targets=targets, unrouted=answer == "unrouted")
            )
        elif answer == "lost":
            record(telemetry.LeaseReleased(kind="event", count=1))
        else:
            record(telemetry.EventDuplicate(event=event.id, type=event.type, duplicate_of=answer))

    async def _defer(
        self,
        event: Event,
        claimed: ClaimedEvent,
        wait: float | None,
        reason: str,
        *,
        counted: Literal["tries", "faults", ""] = "",
        patience: bool = False,
    ) -> None:
        now = self._outside.clock()
        due = None if wait is None else now + wait
        await self._patiently(
            lambda: self._store.defer(
                claimed.id, claimed.token, now=now, due_at=due, reason=reason, counted=counted, patience=patience
            )
        )
        state = "dead" if due is None else "waiting"
        self._outside.record(
            telemetry.EventEnriched(event=event.id, portal=event.portal, state=state, seconds=0.0, missing=reason)
        )

    # Deliver and settle ----------------------------------------------------------------------------

    async def deliver(self, *claimed: ClaimedDelivery, ours: Callable[[ClaimedDelivery], bool] | None = None) -> None:
        """Send deliveries of one target, by one call, and record for each what came of it.

        `ours` says whether a lease still holds: who stalled past it sends nothing, since somebody else may have sent
        this and what follows it.
        """
        target = self._line.targets[claimed[0].target]
        held = [one for one in claimed if (ours(one) if ours else self._outside.clock() < one.lease_until)]
        if not target.dedupes:
            held = [one for one in held if await self._store.begin(one, now=self._outside.clock())]
        began = self._outside.clock()
        sendings = {one: sending_of(one, now=began) for one in held}
        refused = {one: result for one, sending in sendings.items() if (result := refusal(target, sending)) is not None}
        whole = [one for one in held if one not in refused]
        results: dict[ClaimedDelivery, Result] = {}
        # One for all of a call: what was sent together comes again together.
        jitter = self._outside.chance()
        if len(whole) == 1:
            results = {whole[0]: await target.send(sendings[whole[0]])}
        elif whole:
            results = dict.fromkeys(whole, await target.send_together([sendings[one] for one in whole]))
        await asyncio.gather(
            *(
                self._settle(
                    sendings[one],
                    settled_by(
                        target,
                        one,
                        result,
                        type_=str(sendings[one].envelope.get("type", "")),
                        began=began,
                        now=self._outside.clock(),
                        jitter=jitter,
                        together=len(whole) if one in results else 1,
                        speaks=one not in whole[1:],
                    ),
                    one,
                )
                for one, result in (results | refused).items()
            )
        )

    async def _settle(self, sending: Sending, settled: Settled, claimed: ClaimedDelivery) -> None:
        kept = await self._patiently(lambda: self._store.settle(settled, now=self._outside.clock()))
        self._tell_settled(claimed, settled, str(sending.envelope.get("type", "")), kept)

    async def _patiently(self, write: Callable[[], Awaitable[Answer]]) -> Answer:
        """Write what became of a piece of work, again and again while the store is away.

        Safe because every such write is fenced; and what is not written is done a second time when the lease ends.
        """
        wait = 0.05
        while True:
            try:
                return await write()
            except StoreUnavailable as error:
                now = self._outside.clock()
                if now - self._trouble_told >= _TROUBLE_EVERY:
                    self._trouble_told = now
                    self._outside.record(telemetry.StoreTrouble(reason=f"an outcome could not be written yet: {error}"))
                await self._outside.sleep(wait)
                wait = min(wait * 2, 1.0)

    def _tell_settled(self, claimed: ClaimedDelivery, settled: Settled, type_: str, kept: Kept) -> None:
        attempt, record = settled.attempt, self._outside.record
        record(
            telemetry.DeliveryAttempted(
                event=claimed.id,
                target=claimed.target,
                type=type_,
                attempt=attempt.number,
                outcome=attempt.outcome.value,
                state=settled.state.value if kept != "lost" else "lost",
                seconds=attempt.ended_at - attempt.started_at,
                status=attempt.status,
                reason=attempt.reason,
                again_at=settled.due_at,
                replay=claimed.replay,
                lag=attempt.ended_at - claimed.accepted_at,
            )
        )
        if kept != "lost" and settled.pause is not None:
            record(telemetry.TargetPaused(target=claimed.target, reason=settled.pause, by="relay"))
        if kept == "opened":
            record(telemetry.TargetFailing(target=claimed.target, reason=attempt.reason))
        elif kept == "closed":
            record(telemetry.TargetRecovered(target=claimed.target))

    # Sweep -----------------------------------------------------------------------------------------

    async def sweep(self) -> tuple[int, int]:
        """Look at the next stretch of open events; returns (repaired, parked because their target is gone)."""
        repaired, parked, following = await self._store.sweep(
            now=self._outside.clock(),
            rank=self._swept_to,
            grace=_GONE_AFTER,
            most=_SWEPT_AT_ONCE,
        )
        self._swept_to = max(following, 0)
        if repaired:
            self._outside.record(telemetry.LeaseReleased(kind="event", count=repaired))
        return repaired, parked
