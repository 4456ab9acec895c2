"""What people ask about one event and decide about one delivery or target; the one door for CLI, API and dashboard."""

from __future__ import annotations

import contextlib
from collections.abc import Collection

from relay import telemetry
from relay.errors import NotFoundError, RefusedError
from relay.events import Delivery, DeliveryState, EventRecord, EventState
from relay.explain import Ahead, Around, explain
from relay.pipeline import Outside
from relay.store.audit import Audit
from relay.store.reading import Reading
from relay.store.store import Store

_OPENABLE = (DeliveryState.WAITING, DeliveryState.DEAD, DeliveryState.CANCELLED, DeliveryState.SUPERSEDED)
_WITH_FORCE = (DeliveryState.DELIVERED,)


class Desk:
    """Questions and decisions; the store knows whether they can be carried out."""

    def __init__(
        self, *, store: Store, reading: Reading, outside: Outside, targets: Collection[str], audit: Audit
    ) -> None:
        self._store = store
        self._audit = audit
        self._reading = reading
        self._outside = outside
        self._targets = frozenset(targets)

    async def explain(self, id_: str) -> list[str]:
        """Where an event is and why, in sentences. Raises NotFoundError."""
        record = await self._reading.event(id_)
        deliveries = await self._reading.deliveries_of(record)
        attempts = {one.target: await self._reading.attempts(id_, one.target) for one in deliveries if one.attempts}
        return explain(record, deliveries, attempts, await self._around(record))

    async def retry(self, id_: str, target: str, *, by: str, reason: str = "", force: bool = False) -> DeliveryState:
        """Send one delivery again, now. The answer is WAITING, or SUPERSEDED where the target has a newer state.

        Raises NotFoundError, or RefusedError: what is delivered must be forced, with a reason; what is parked is
        released or cancelled; what is on the wire comes to its own end.
        """
        found = await self._sendable(id_, target)
        if found.state is DeliveryState.PARKED:
            raise RefusedError(
                f"this delivery is parked: look whether {target} has it, then release it (it has not) or cancel it"
            )
        if found.state in _WITH_FORCE and not force:
            raise RefusedError(f"{target} has this event already: force it, with a reason, to send it once more")
        if force and not reason:
            raise RefusedError("a forced retry needs a reason")
        state = await self._store.reopen(
            id_,
            target,
            now=self._outside.clock(),
            states=(*_OPENABLE, *(_WITH_FORCE if force else ())),
            force=force,
            reason=f"retried by {by}" + (f": {reason}" if reason else ""),
        )
        self._outside.record(
            telemetry.DeliverySettled(event=id_, target=target, state=state, reason=reason or "retried", by=by)
        )
        act = "deliveries.retry --force" if force else "deliveries.retry"
        await self._note(act, f"{id_}:{target}", by=by, reason=reason, result=state.value)
        return state

    async def release(self, id_: str, target: str, *, by: str, reason: str) -> None:
        """Send a parked delivery again, under its own key: a person found that the target does not have it.

        It goes out whatever was delivered since. Raises NotFoundError, or RefusedError when it is not parked, has no
        reason, or its target is gone.
        """
        if not reason:
            raise RefusedError("releasing needs a reason, such as how you know that the target does not have it")
        found = await self._sendable(id_, target)
        if found.state is not DeliveryState.PARKED:
            raise RefusedError(f"this delivery is {found.state.value}, not parked: retry it instead")
        said = f"released by {by}: {reason}"
        await self._store.reopen(
            id_, target, now=self._outside.clock(), states=(DeliveryState.PARKED,), force=True, reason=said
        )
        self._outside.record(
            telemetry.DeliverySettled(event=id_, target=target, state="waiting", reason=f"released: {reason}", by=by)
        )
        await self._note("deliveries.release", f"{id_}:{target}", by=by, reason=reason, result="waiting")

    async def _sendable(self, id_: str, target: str) -> Delivery:
        found = await self._reading.delivery(id_, target)
        if target not in self._targets:
            raise RefusedError(f"{target} is not in the configuration any more: nobody could send this")
        return found

    async def cancel(self, id_: str, target: str, *, by: str, reason: str) -> None:
        """Never send this delivery, or not again; what waits behind it goes on. Needs a reason.

        Raises NotFoundError, or RefusedError when it is delivered, on the wire or at another end already.
        """
        if not reason:
            raise RefusedError("cancelling needs a reason: it is kept with the delivery")
        said = f"cancelled by {by}: {reason}"
        await self._store.cancel(id_, target, now=self._outside.clock(), reason=said)
        self._outside.record(
            telemetry.DeliverySettled(event=id_, target=target, state="cancelled", reason=reason, by=by)
        )
        await self._note("deliveries.cancel", f"{id_}:{target}", by=by, reason=reason, result="cancelled")

    async def pause(self, target: str, *, by: str, reason: str) -> None:
        """Send nothing more to a target until it is resumed. Raises NotFoundError."""
        self._known(target)
        await self._store.pause(target, now=self._outside.clock(), by=by, reason=reason)
        self._outside.record(telemetry.TargetPaused(target=target, reason=reason, by=by))
        await self._note("targets.pause", target, by=by, reason=reason, result="paused")

    async def resume(self, target: str, *, by: str, reason: str = "") -> bool:
        """Send to a target again; False when it was not paused. Raises NotFoundError."""
        self._known(target)
        was_paused = await self._store.resume(target, now=self._outside.clock())
        if was_paused:
            self._outside.record(telemetry.TargetResumed(target=target, reason=reason, by=by))
        await self._note("targets.resume", target, by=by, reason=reason, result="open" if was_paused else "was open")
        return was_paused

    async def _note(self, act: str, on: str, *, by: str, reason: str, result: str) -> None:
        await self._audit.record(by=by, act=act, on=on, reason=reason, result=result, now=self._outside.clock())

    def _known(self, target: str) -> None:
        if target not in self._targets:
            raise NotFoundError(f"there is no target {target}; there are {', '.join(sorted(self._targets)) or 'none'}")

    async def _around(self, record: EventRecord) -> Around:
        now = self._outside.clock()
        stats = await self._reading.stats(record.targets, now=now)
        rows = stats["targets"]
        ahead: dict[str, Ahead] = {}
        place = await self._reading.place_of(record)
        for target, head in place.ahead.items():
            state = ""
            if target:
                with contextlib.suppress(NotFoundError):
                    state = (await self._reading.delivery(head, target)).state.value
            ahead[target] = Ahead(event=head, state=state)
        return Around(
            now=now,
            workers=stats["workers"],
            in_work=place.in_work and record.state is EventState.ACCEPTED,
            targets=self._targets,
            paused={name: row["paused"] for name, row in rows.items() if row["paused"] is not None},
            held={name: row["held_until"] for name, row in rows.items() if row["held_until"] is not None},
            failing={
                name: (row["breaker"]["since"], row["breaker"]["until"]) for name, row in rows.items() if row["breaker"]
            },
            ahead=ahead,
        )
