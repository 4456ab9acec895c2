"""Runs started plans, in a worker: opens what they name, in order, no faster than it ends, until nothing is left.

What is done is in the plan's own book-keeping, written together with each item: who is killed loses nothing, and
whoever takes the plan up goes on exactly there.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from relay import telemetry
from relay.errors import AuthorizationLost, NotFoundError, PlandayUnavailable, StoreError
from relay.pipeline import Outside
from relay.replay.progress import open_of, parts_of
from relay.replay.reread import Rereading
from relay.store.plans import Moved, Plans, Read

# At most so many deliveries of a plan to one target are open and have not ended: a target that is away is not flooded.
WINDOW = 500
_AT_ONCE = 100
_WITHDRAWN_AT_ONCE = 500
# Whoever runs a plan and makes no step for so long has lost it (seconds).
_RUNNER_LIFE = 10.0
_RENEW = 3.0
# One run stays well below arq's limit for a job; the next goes on.
_RUN = 60.0
# A run that can do nothing ends, so that it holds no place in its worker; the sweep starts another.
_LINGER = 3.0
_IDLE = 0.1
_SHORTEST_SLEEP = 0.005
_RUNS_PER_WORKER = 3
# Events that go through the line once more ask Planday, so they come slowly.
_EVENT_INTERVAL = 0.02
_TOLD_EVERY = 5.0
# A record that changes each time while it is read has a newer event on its way.
_MOST_READS = 10
_NO_WAIT = 0.0


@dataclass(slots=True)
class _Part:
    """The items to one target; `not_before` (seconds) while Planday lets nothing be read."""

    target: str
    size: int
    done: int
    not_before: float = 0.0
    reads: Counter[str] = field(default_factory=Counter)


class _Lost(Exception):
    """Somebody else runs the plan by now."""


class Runner:
    """Runs plans; what it can do at once has a limit."""

    def __init__(self, *, plans: Plans, outside: Outside, rereading: Rereading, window: int = WINDOW) -> None:
        self._plans = plans
        self._outside = outside
        self._rereading = rereading
        self._window = window
        self._running = 0

    async def run(self, plan: str, *, stopping: Sequence[bool] = ()) -> bool:
        """Go on with a started plan for a while; True when there is more to do at once.

        `stopping` is looked at between steps: a non-empty one ends the run early.
        """
        owner = secrets.token_hex(8)
        if self._running >= _RUNS_PER_WORKER or not await self._plans.take(plan, owner=owner, seconds=_RUNNER_LIFE):
            return False
        self._running += 1
        try:
            # Read by the one who has it: whoever ran it before may have come further meanwhile.
            facts = await self._plans.get(plan)
            return await _Run(self, plan, owner, facts, stopping).go()
        except NotFoundError:
            await self._plans.forget_running(plan)
            return False
        except _Lost:
            return False
        finally:
            self._running -= 1
            with contextlib.suppress(StoreError):
                await self._plans.leave(plan, owner=owner)


class _Run:
    """One stretch of one plan's way."""

    def __init__(self, runner: Runner, plan: str, owner: str, facts: dict[str, Any], stopping: Sequence[bool]) -> None:
        self._plans = runner._plans
        self._outside = runner._outside
        self._rereading = runner._rereading
        self._window = runner._window
        self._plan = plan
        self._owner = owner
        self._facts = facts
        self._stopping = stopping
        self._parts = [_Part(one.target, one.size, one.done) for one in parts_of(facts)]
        self._interval = 1 / float(facts["rate"]) if facts.get("rate") else 0.0
        why = f": {facts['reason']}" if facts["reason"] else ""
        self._reason = f"replay {plan} by {facts.get('started_by', facts['by'])}{why}"
        self._told = 0.0

    async def go(self) -> bool:
        if "started_at" not in self._facts or "ended_at" in self._facts:
            await self._plans.forget_running(self._plan)
            return False
        if "paused_at" in self._facts:
            return False
        began = moved_at = self._outside.clock()
        while not self._stopping and self._outside.clock() - began < _RUN:
            left = [part for part in self._parts if part.done < part.size]
            if not left or "cancelled_at" in self._facts:
                self._facts = await self._plans.get(self._plan)
                if "cancelled_at" in self._facts:
                    await self._withdraw()
                    self._facts = await self._plans.get(self._plan)
                if not open_of(self._facts):
                    self._tell(last=True)
                    await self._plans.end(self._plan, now=self._outside.clock())
                    return False
            passed, wait = 0, _IDLE
            for part in left if "cancelled_at" not in self._facts else ():
                count, pace = await self._step(part)
                if "paused_at" in self._facts:
                    return False
                passed += count
                wait = min(wait, pace) if pace else wait
                if pace:
                    moved_at = self._outside.clock()  # its rate is what it waits for
            if passed:
                moved_at = self._outside.clock()
                self._tell()
                continue
            if self._outside.clock() - moved_at > _LINGER:
                return False
            await self._outside.sleep(max(wait, _SHORTEST_SLEEP))
        return not self._stopping

    async def _step(self, part: _Part) -> tuple[int, float]:
        """Open what may be opened to one target; how many items were passed, and how long its rate makes it wait."""
        if part.not_before > self._outside.clock():
            return 0, _NO_WAIT
        moved = await self._open(part, _AT_ONCE, ())
        passed = moved.passed
        if moved.unread and not moved.wait:
            read = await self._read(part, moved.unread[: moved.room])
            if read:
                passed += (await self._open(part, len(read), read)).passed
        return passed, moved.wait

    async def _open(self, part: _Part, most: int, read: Sequence[Read]) -> Moved:
        moved = await self._plans.open(
            self._plan,
            part.target,
            owner=self._owner,
            seconds=_RUNNER_LIFE,
            number=part.done,
            most=most,
            window=self._window,
            interval=max(self._interval, _EVENT_INTERVAL) if not part.target else self._interval,
            force=bool(self._facts["force"]),
            salt=self._plan if self._facts["new_key"] else "",
            reason=self._reason,
            read=read,
            now=self._outside.clock(),
        )
        if moved.state == "lost":
            raise _Lost
        if moved.state in ("paused", "cancelled"):
            self._facts = await self._plans.get(self._plan)
        part.done += moved.passed
        return moved

    async def _read(self, part: _Part, items: Sequence[str]) -> list[Read]:
        """Read items anew, side by side, as far as Planday lets us, in their order."""
        asked = [item.split(":") for item in items]
        tasks = [asyncio.create_task(self._rereading.read(event, state, part.target)) for event, state in asked]
        try:
            pending = set(tasks)
            while pending:
                _, pending = await asyncio.wait(pending, timeout=_RENEW)
                if pending:
                    await self._plans.hold(self._plan, owner=self._owner, seconds=_RUNNER_LIFE)
            return await self._answers(part, [event for event, _ in asked], tasks)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _answers(self, part: _Part, events: Sequence[str], tasks: Sequence[asyncio.Task[Read]]) -> list[Read]:
        answers: list[Read] = []
        waits: str | None = None
        for event, task in zip(events, tasks, strict=True):
            error = task.exception()
            if isinstance(error, AuthorizationLost | PlandayUnavailable):
                # A wait, no failure: the budget is spent, Planday is away, or a person must authorise again.
                part.not_before = self._outside.clock() + max(error.retry_after or 0.0, 1.0)
                waits = str(error)
                break
            if isinstance(error, StoreError):
                raise error
            if error is not None:
                self._outside.record(telemetry.OwnFault(where="reread", error=error, event=event, target=part.target))
                answers.append(Read("fault"))
                continue
            part.reads[event] += 1
            answers.append(task.result() if part.reads[event] <= _MOST_READS else Read("always_changing"))
        if waits != self._facts.get("waits_for"):
            await self._plans.wait_for(self._plan, waits)
            self._facts["waits_for"] = waits
        return answers

    async def _withdraw(self) -> None:
        """Take back what was opened and waits; what is on the wire comes to its own end, and is looked at again."""
        why = f": {self._facts['cancelled_why']}" if self._facts.get("cancelled_why") else ""
        reason = f"replay {self._plan} was cancelled by {self._facts['cancelled_by']}{why}; it is as it was before"
        for part in self._parts:
            number = 0
            while part.target and not self._stopping:
                answer = await self._plans.withdraw(
                    self._plan,
                    part.target,
                    owner=self._owner,
                    seconds=_RUNNER_LIFE,
                    number=number,
                    most=_WITHDRAWN_AT_ONCE,
                    reason=reason,
                    now=self._outside.clock(),
                )
                if answer is None:
                    raise _Lost
                looked, still_open = answer
                number += looked
                if not looked or not still_open:
                    break

    def _tell(self, *, last: bool = False) -> None:
        now = self._outside.clock()
        if last or now - self._told >= _TOLD_EVERY:
            self._told = now
            done = sum(part.done for part in self._parts)
            self._outside.record(telemetry.ReplayProgress(plan=self._plan, done=done, total=int(self._facts["total"])))
