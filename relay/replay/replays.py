"""Makes plans, and starts, pauses, resumes and cancels them; the one door for CLI, API and dashboard."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Any

from relay.errors import NotFoundError, RefusedError
from relay.pipeline import Outside
from relay.replay.planning import Planning, Told
from relay.replay.progress import parts_of, shown
from relay.replay.request import PlanRequest, check
from relay.settings import Portal, Target
from relay.store.audit import Audit
from relay.store.choosing import Choosing
from relay.store.plans import Plans, Turn
from relay.store.reading import Reading

_HIGHEST_RATE = 100_000.0


class Replays:
    """Plans of this relay. A plan is opened item by item by a worker (relay.replay.runner)."""

    def __init__(
        self,
        *,
        plans: Plans,
        reading: Reading,
        targets: Mapping[str, Target],
        portals: Mapping[str, Portal],
        audit: Audit,
        outside: Outside,
    ) -> None:
        self._plans = plans
        self._choosing = Choosing(plans.client, plans.keys)
        self._reading = reading
        self._targets = targets
        self._portals = portals
        self._audit = audit
        self._outside = outside

    async def plan(self, wanted: PlanRequest, *, told: Told = lambda _: None) -> dict[str, Any]:
        """Fix what would be opened again, oldest first, and what an operator should see before. Sends nothing.

        `told` hears how many records were looked at. Raises RefusedError and NotFoundError for what makes no sense.
        """
        check(wanted, self._targets)
        plan = f"plan_{secrets.token_hex(6)}"
        now = self._outside.clock()
        facts = {
            "id": plan,
            "made_at": now,
            "by": wanted.by,
            "reason": wanted.reason,
            "force": wanted.force,
            "reread": wanted.reread,
            "new_key": wanted.new_key,
            "states": list(wanted.states),
            "selection": wanted.selection(),
        }
        planning = Planning(
            plan,
            wanted,
            plans=self._plans,
            choosing=self._choosing,
            reading=self._reading,
            targets=self._targets,
            portals=self._portals,
            told=told,
        )
        await planning.make(facts, now=now)
        await self._tell("plan", plan, wanted.by, wanted.reason)
        return await self.status(plan)

    async def start(self, plan: str, *, by: str, reason: str = "", rate: float | None = None) -> dict[str, Any]:
        """Allow a plan to run, once, at most `rate` items a second.

        Raises NotFoundError, or RefusedError: it was started before, or one of its targets is gone.
        """
        if rate is not None and not 0 < rate <= _HIGHEST_RATE:
            raise RefusedError(f"a rate of {rate:g} a second makes no sense: give a number above 0")
        await self._served(plan)
        return await self._turn(plan, "start", by=by, reason=reason, rate=rate, act="run")

    async def pause(self, plan: str, *, by: str, reason: str = "") -> dict[str, Any]:
        """Open nothing more until it is resumed; what is open goes on. Raises NotFoundError, RefusedError."""
        return await self._turn(plan, "pause", by=by, reason=reason, act="pause")

    async def resume(self, plan: str, *, by: str, reason: str = "") -> dict[str, Any]:
        """Go on with a paused plan. Raises NotFoundError, RefusedError."""
        await self._served(plan)
        return await self._turn(plan, "resume", by=by, reason=reason, act="resume")

    async def cancel(self, plan: str, *, by: str, reason: str = "") -> dict[str, Any]:
        """Open nothing more, and take back what waits and was not sent yet. Raises NotFoundError, RefusedError."""
        return await self._turn(plan, "cancel", by=by, reason=reason, act="cancel")

    async def status(self, plan: str) -> dict[str, Any]:
        """A plan's facts, its progress, and how what it opened came out. Raises NotFoundError."""
        return shown(await self._plans.get(plan))

    async def newest(self, *, limit: int) -> list[dict[str, Any]]:
        """The newest plans, as `status` shows each."""
        found = []
        for plan in await self._plans.newest(limit=limit):
            try:
                found.append(await self.status(plan))
            except NotFoundError:
                continue  # retention took it meanwhile
        return found

    async def unfinished(self) -> list[str]:
        """Plans that were started, are not paused, have not ended and are run by nobody now."""
        found = []
        for plan in await self._plans.running():
            try:
                raw = await self._plans.get(plan)
            except NotFoundError:
                await self._plans.forget_running(plan)
                continue
            if "paused_at" not in raw and not await self._plans.is_run(plan):
                found.append(plan)
        return found

    async def _turn(
        self, plan: str, turn: Turn, *, by: str, reason: str, act: str, rate: float | None = None
    ) -> dict[str, Any]:
        await self._plans.turn(plan, turn, by=by, reason=reason, now=self._outside.clock(), rate=rate)
        await self._tell(act, plan, by, reason)
        return await self.status(plan)

    async def _served(self, plan: str) -> None:
        """Refuse what nobody could send."""
        gone = [
            one.target
            for one in parts_of(await self._plans.get(plan))
            if one.target and one.target not in self._targets
        ]
        if gone:
            raise RefusedError(
                f"{', '.join(gone)} left the configuration since {plan} was made: nobody could send this, and nothing "
                "was started; bring it back, or make a new plan"
            )

    async def _tell(self, act: str, plan: str, by: str, reason: str) -> None:
        await self._audit.record(by=by, act=f"replay.{act}", on=plan, reason=reason, now=self._outside.clock())
