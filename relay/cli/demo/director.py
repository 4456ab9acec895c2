"""Makes one change after the other and waits, each time, for what must arrive."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from fnmatch import fnmatchcase
from zoneinfo import ZoneInfo

from relay.cli.demo.script import BISTRO, NAMES, Step
from relay.cli.demo.standins import PAYROLL, Arrival, Change, Standins
from relay.cli.demo.voice import Voice
from relay.errors import RelayError
from relay.settings import Settings

LOOK_EVERY = 0.03
PATIENCE = 20.0
_ZONES = {BISTRO: ZoneInfo("Europe/Copenhagen")}
_ELSEWHERE = ZoneInfo("Europe/London")


class NothingCame(RelayError):
    """Something that the story waits for did not happen in time."""


class Director:
    """Knows what was done and what has arrived since."""

    def __init__(self, standins: Standins, settings: Settings, voice: Voice) -> None:
        self._standins = standins
        self._patterns: Sequence[str] = settings.targets[PAYROLL].events
        self._voice = voice
        self._ids: dict[str, int] = {}
        self._seen_slack = self._seen_payroll = 0
        self.changes: list[Change] = []

    def goes_to_payroll(self, type_: str) -> bool:
        return any(fnmatchcase(type_, pattern) for pattern in self._patterns)

    async def do(self, step: Step) -> Change:
        """Make a change and say so."""
        now = datetime.now(_ZONES.get(step.portal, _ELSEWHERE))
        fields = dict(step.fields(now))
        if step.on:
            fields["id"] = self._ids[step.on]
        change = await self._standins.act(step.portal, step.entity, step.action, fields)
        if step.makes:
            self._ids[step.makes] = change.record["id"]
        self.changes.append(change)
        self._voice.change(NAMES[step.portal], step.says, change)
        return change

    async def arrive(self, change: Change, *, refusals: int = 0, at_slack: bool = True, accepted: bool = True) -> None:
        """Tell each arrival of a change as it happens, until all are there: at Slack, and at payroll where it goes.

        `refusals` is how often payroll must have refused it, `accepted` whether it takes it in the end.
        """
        expected = refusals + accepted if self.goes_to_payroll(change.type) else 0
        slack, payroll = not at_slack, 0

        async def look() -> bool:
            nonlocal slack, payroll
            for one in await self._news(change):
                self._voice.arrival(change.at, one)
                slack |= one.where == "Slack"
                payroll += one.where != "Slack"
            return slack and payroll >= expected

        await until(look, f"{change.type} to arrive at Slack{' and payroll' if expected else ''}")

    async def tell_all(self, since: datetime) -> None:
        """Tell whatever has arrived since the last time, with how long after a moment it came."""
        await self._standins.look()
        for one in sorted([*self._unseen_slack(), *self._unseen_payroll()], key=lambda one: one.at):
            self._voice.arrival(since, one)

    def _unseen_slack(self) -> Sequence[Arrival]:
        seen, self._seen_slack = self._seen_slack, len(self._standins.slack)
        return self._standins.slack[seen:]

    def _unseen_payroll(self) -> Sequence[Arrival]:
        seen, self._seen_payroll = self._seen_payroll, len(self._standins.payroll)
        return self._standins.payroll[seen:]

    async def _news(self, change: Change) -> list[Arrival]:
        await self._standins.look()
        payroll = [one for one in self._unseen_payroll() if one.body.get("id") in (change.event, None)]
        return sorted([*self._unseen_slack(), *payroll], key=lambda one: one.at)


async def until(
    holds: Callable[[], Awaitable[bool]], what: str, *, patience: float = PATIENCE, every: float = LOOK_EVERY
) -> None:
    """Look again and again until it holds; raises NothingCame."""
    deadline = time.monotonic() + patience
    while not await holds():
        if time.monotonic() > deadline:
            raise NothingCame(f"waited {patience:g} s for {what}")
        await asyncio.sleep(every)
