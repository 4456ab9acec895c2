"""Replay: fix a selection, show it, then open exactly that again, once, whatever is killed on the way.

The same idempotency key goes out as before. What is older than a state that the target already has ends
superseded, unless it is forced with a reason (design.md, invariant 5).
"""

from __future__ import annotations

import secrets
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from relay import telemetry
from relay.errors import NotFoundError, RefusedError
from relay.events import DeliveryState, EventState
from relay.pipeline import Outside
from relay.store.reading import DeliveryFilter, EventFilter, Reading
from relay.store.shelf import Shelf
from relay.store.store import Store

# What a plan takes when nothing is said: only what failed.
FAILED = ("dead",)
REPLAYABLE = ("dead", "cancelled", "superseded", "delivered", "unrouted")
# Events that ended before they had deliveries; without a target they belong to a plan of the same word.
_EVENTS = (EventState.DEAD, EventState.UNROUTED)
_PAGE = 500
_SAMPLES = 5
_CHUNK = 100
# Whoever runs a plan and makes no step for so long has lost it.
_RUNNER_LIFE = 15.0


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanRequest:
    """What an operator wants to replay. Times are seconds and absolute: relative ones were resolved before."""

    target: str | None = None
    type: str | None = None
    portal: int | None = None
    since: float | None = None
    until: float | None = None
    states: tuple[str, ...] = FAILED
    by: str = "cli"
    reason: str = ""
    force: bool = False


@dataclass(frozen=True, slots=True, order=True)
class _Chosen:
    at: float
    event: str
    target: str
    type: str
    state: str


class Replays:
    """Makes plans and runs them; the one door for CLI, API and dashboard."""

    def __init__(self, *, store: Store, reading: Reading, shelf: Shelf, outside: Outside) -> None:
        self._store = store
        self._reading = reading
        self._shelf = shelf
        self._outside = outside

    async def plan(self, wanted: PlanRequest) -> dict[str, Any]:
        """Fix what would be opened again, oldest first, and what an operator should see before. Changes nothing."""
        if wanted.force and not wanted.reason:
            raise RefusedError("a forced replay can send older states after newer ones: give a reason")
        if refused := [state for state in wanted.states if state not in REPLAYABLE]:
            raise RefusedError(f"{', '.join(refused)} cannot be replayed; {', '.join(REPLAYABLE)} can")
        rows = sorted([*await self._deliveries(wanted), *await self._events(wanted)])
        counts = Counter((row.target, row.state) for row in rows)
        plan = f"plan_{secrets.token_hex(6)}"
        now = self._outside.clock()
        facts: dict[str, Any] = {
            "id": plan,
            "made_at": now,
            "by": wanted.by,
            "reason": wanted.reason,
            "force": wanted.force,
            "states": list(wanted.states),
            "total": len(rows),
            "done": 0,
            "counts": [{"target": target, "state": state, "count": n} for (target, state), n in sorted(counts.items())],
            "first_at": rows[0].at if rows else None,
            "last_at": rows[-1].at if rows else None,
            "samples": [
                {"event": row.event, "target": row.target, "type": row.type, "state": row.state}
                for row in rows[:_SAMPLES]
            ],
        }
        await self._shelf.save_plan(plan, facts, [f"{row.event}:{row.target}" for row in rows], now=now)
        return facts

    async def _deliveries(self, wanted: PlanRequest) -> list[_Chosen]:
        chosen: list[_Chosen] = []
        for state in DeliveryState:
            cursor: str | None = None
            while state.value in wanted.states:
                page = await self._reading.list_deliveries(
                    DeliveryFilter(
                        target=wanted.target,
                        state=state,
                        type=wanted.type,
                        portal=wanted.portal,
                        since=wanted.since,
                        until=wanted.until,
                    ),
                    limit=_PAGE,
                    cursor=cursor,
                )
                chosen += [
                    _Chosen(row.accepted_at, row.delivery.event, row.delivery.target, row.type, state.value)
                    for row in page.rows
                ]
                cursor = page.cursor
                if cursor is None:
                    break
        return chosen

    async def _events(self, wanted: PlanRequest) -> list[_Chosen]:
        """Events that never had deliveries; a plan for one target leaves them out, as nobody knows whose they are."""
        chosen: list[_Chosen] = []
        for state in _EVENTS:
            cursor: str | None = None
            while state.value in wanted.states and wanted.target is None:
                page = await self._reading.list_events(
                    EventFilter(
                        state=state, type=wanted.type, portal=wanted.portal, since=wanted.since, until=wanted.until
                    ),
                    limit=_PAGE,
                    cursor=cursor,
                )
                chosen += [
                    _Chosen(row.event.received_at, row.event.id, "", row.event.type, state.value) for row in page.rows
                ]
                cursor = page.cursor
                if cursor is None:
                    break
        return chosen

    async def start(self, plan: str) -> dict[str, Any]:
        """Allow a plan to run, once. Raises NotFoundError, or RefusedError when it was started before."""
        facts = await self._shelf.plan(plan)
        if not await self._shelf.start_plan(plan, now=self._outside.clock()):
            raise RefusedError(f"{plan} was started before; make a new plan to replay again")
        return facts

    async def unfinished(self) -> list[str]:
        """Plans that were started, have items left and are run by nobody: their worker is lost."""
        out = []
        for plan in await self._shelf.plans(limit=20):
            facts = await self._shelf.plan(plan)
            if "started_at" in facts and "ended_at" not in facts and not await self._shelf.is_run(plan):
                out.append(plan)
        return out

    async def run(self, plan: str, *, stopping: Sequence[bool] = ()) -> None:
        """Open what a started plan names, from where it stands; may be called again after a crash.

        `stopping` is looked at between items: a non-empty one ends the run early, and a later call goes on.
        """
        facts = await self._shelf.plan(plan)
        if "started_at" not in facts or "ended_at" in facts:
            return
        owner = secrets.token_hex(8)
        if not await self._shelf.take_plan(plan, owner=owner, seconds=_RUNNER_LIFE):
            return
        # Read again: whoever ran it before may have come further meanwhile.
        facts = await self._shelf.plan(plan)
        done = int(facts["done"])
        while not stopping and (items := await self._shelf.items_of_plan(plan, start=done, most=_CHUNK)):
            for item in items:
                result = await self._open(item, facts)
                now = self._outside.clock()
                if not await self._shelf.done_of_plan(
                    plan, owner=owner, number=done, result=result, now=now, seconds=_RUNNER_LIFE
                ):
                    return
                done += 1
            self._outside.record(telemetry.ReplayProgress(plan=plan, done=done, total=int(facts["total"])))
        if done >= int(facts["total"]):
            await self._shelf.end_plan(plan, now=self._outside.clock())
        await self._shelf.leave_plan(plan)

    async def _open(self, item: str, facts: dict[str, Any]) -> str:
        event, _, target = item.partition(":")
        now = self._outside.clock()
        plan = str(facts["id"])
        try:
            if not target:
                await self._store.reopen_event(event, now=now, states=_EVENTS)
                return "reopened"
            state = await self._store.reopen(
                event,
                target,
                now=now,
                states=[state for state in DeliveryState if state.value in facts["states"]],
                replay=plan,
                force=bool(facts["force"]),
                reason=f"replay {plan}" + (f": {facts['reason']}" if facts["reason"] else ""),
            )
        except NotFoundError:
            return "gone"
        except RefusedError:
            # Somebody opened it or it was delivered since the plan was made.
            return "skipped"
        return "superseded" if state is DeliveryState.SUPERSEDED else "reopened"

    async def status(self, plan: str) -> dict[str, Any]:
        """A plan's facts, its progress, and where its deliveries stand now."""
        facts = await self._shelf.plan(plan)
        states: Counter[str] = Counter()
        start = 0
        while items := await self._shelf.items_of_plan(plan, start=start, most=_PAGE):
            for item in items:
                event, _, target = item.partition(":")
                try:
                    if target:
                        states[(await self._reading.delivery(event, target)).state] += 1
                    else:
                        states[f"event {(await self._reading.event(event)).state}"] += 1
                except NotFoundError:
                    states["gone"] += 1
            start += len(items)
        facts["now"] = dict(states)
        facts["state"] = "ended" if "ended_at" in facts else "running" if "started_at" in facts else "planned"
        return facts
