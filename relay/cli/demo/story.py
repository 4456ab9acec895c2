"""The story of the demo, chapter by chapter."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

from relay.cli import deliveries, plans
from relay.cli.demo.checks import Evidence, gather
from relay.cli.demo.director import Director, until
from relay.cli.demo.feeding import Found, first_looks, look
from relay.cli.demo.script import FAILING, REFUSED, SILENT, STEPS, TWICE
from relay.cli.demo.standins import PAYROLL, Standins
from relay.cli.demo.voice import Voice
from relay.events import DeliveryState
from relay.services import DeliveryFilter, PlanRequest, Services


@dataclass(slots=True, kw_only=True)
class Story:
    """Everybody in it. `pace` is the pause between two changes, for people to read."""

    services: Services
    standins: Standins
    director: Director
    voice: Voice
    pace: float

    async def tell(self) -> Evidence:
        """The chapters in order; what was seen is returned for the checks."""
        await first_looks(self.services)
        self.voice.line("   the feed has looked once, quietly: what is there already is known, and no news", "dim")
        await self._changes()
        found = await self._unannounced()
        retried = await self._away()
        dead, plan = await self._refused()
        await until(self._settled, "everything to be settled")
        evidence = await gather(
            self.services, self.standins, self.director, found=found, retried=retried, dead=dead, plan=plan
        )
        self._counts(evidence)
        return evidence

    async def _changes(self) -> None:
        self.voice.chapter(
            1,
            "The first door: a sender tells",
            "Each change is posted to the receiver as a thin event: a type and an id, nothing more.",
            "Look how long after the change it arrives, and what the relay has read in Planday by then.",
            "Slack hears of everything; payroll of approved shifts, punches, approved absence and people.",
        )
        for step in STEPS:
            await self.director.arrive(await self.director.do(step))
            await asyncio.sleep(self.pace)
        await self.standins.control("POST", "/emitter", {"duplicate": 1})
        await self.director.arrive(await self.director.do(TWICE))
        await self.standins.control("POST", "/emitter/flush")
        await asyncio.sleep(self.pace)

    async def _unannounced(self) -> Found:
        self.voice.chapter(
            2,
            "The second door: the feed looks",
            "Now the sender is silent, as where there is none. The feed compares Planday's lists with what it saw.",
            "By itself it looks every minute or less often; here it is asked for a look now.",
        )
        emitter = await self.standins.control("GET", "/emitter")
        await self.standins.aim(None)
        silent = []
        for step in SILENT:
            silent.append(await self.director.do(step))
            await asyncio.sleep(self.pace / 2)
        for name in self.services.settings.portals:
            self.voice.command(f"portals look {name}")
        self.voice.line()
        found = await look(self.services, self.director, silent)
        await self.standins.aim(emitter["url"])
        self.voice.line()
        self.voice.line(
            f"   It also saw what the sender had told: {found.told} events, all of them `duplicate`.", "dim"
        )
        if found.example:
            self.voice.command(f"events explain {found.example}")
            self.voice.line(f"   {await self._why(found.example)}")
        await asyncio.sleep(self.pace)
        return found

    async def _why(self, event: str) -> str:
        record = await self.services.reading.event(event)
        return f"{record.event.type} of {record.event.subject}: {record.reason}"

    async def _away(self) -> str:
        self.voice.chapter(
            3,
            "Payroll is away",
            "It answers 503 twice. Slack has the message at once; payroll gets it by the third attempt.",
        )
        await self.standins.refuse(kind="503", count=2)
        change = await self.director.do(FAILING)
        await self.director.arrive(change, refusals=2)
        await asyncio.sleep(self.pace)
        return change.event

    async def _refused(self) -> tuple[int, dict[str, Any]]:
        self.voice.chapter(
            4,
            "Payroll refuses one event",
            "It answers 422: sending the same again cannot help, so the delivery is dead at once, and kept.",
        )
        await self.standins.refuse(kind="status", status=422, count=-1, body="unknown pay period")
        change = await self.director.do(REFUSED)
        await self.director.arrive(change, refusals=1, accepted=False)
        await until(self._has_dead, "the dead letter")
        self.voice.command("deliveries list --state dead")
        page = await deliveries.page_of(self.services, DeliveryFilter(state=DeliveryState.DEAD), limit=50)
        deliveries.print_page(page)
        await asyncio.sleep(2 * self.pace)

        await self.standins.repair()
        self.voice.line()
        self.voice.line("   Payroll is repaired. A plan says what would be sent again; nothing is sent by it.", "dim")
        reason = "payroll is repaired"
        self.voice.command(f"replay plan --target {PAYROLL} --reason '{reason}'")
        facts = await self.services.replays.plan(PlanRequest(target=PAYROLL, by="demo", reason=reason))
        plans.print_plan(facts)
        await asyncio.sleep(2 * self.pace)

        plan = facts["id"]
        self.voice.command(f"replay run {plan}")
        await self.services.start_replay(plan, by="demo")
        await self.director.arrive(change, at_slack=False)
        await until(lambda: self._delivered(plan), "the replayed delivery")
        self.voice.command(f"replay status {plan}")
        status = await self.services.replays.status(plan)
        plans.print_status(status)
        return len(page.rows), status

    async def _has_dead(self) -> bool:
        page = await self.services.reading.list_deliveries(DeliveryFilter(state=DeliveryState.DEAD), limit=1)
        return bool(page.rows)

    async def _delivered(self, plan: str) -> bool:
        status = await self.services.replays.status(plan)
        return bool(status["state"] == "ended" and status["ends"].get("delivered") == status["total"])

    async def _settled(self) -> bool:
        targets = tuple(self.services.settings.targets)
        return bool((await self.services.reading.stats(targets, now=self.services.clock()))["open"] == 0)

    def _counts(self, evidence: Evidence) -> None:
        counts = evidence.counts
        payroll, slack = counts["payroll"], counts["slack"]
        tell = self.voice.number
        self.voice.chapter(5, "The counts")
        tell("told", counts["told"], "events by a sender, each on disk before it got 202")
        tell("found", sum(counts["found"].values()), "events by the feed, of which no sender had told")
        tell("both doors", counts["both_doors"], "events by the feed that a sender had told already: not sent again")
        tell("duplicates", counts["duplicates"], "posted twice by the sender, taken once")
        for name, count in counts["delivered"].items():
            tell("delivered", count, f"to {name}")
        tell("retried", counts["retried"], f"attempts, until {PAYROLL} was back")
        tell("dead", counts["dead"], "refused for good, and kept")
        tell("replayed", counts["replayed"], "delivered after all; dead letters now: " + str(counts["dead_now"]))
        tell("Slack", slack["requests"], f"requests, {slack['accepted']} messages in the channel")
        tell("payroll", payroll["requests"], f"requests, {payroll['unique_keys']} unique keys, each taken once")
        tell("Planday", counts["planday"]["requests"], f"API calls, {counts['planday']['refused']} refused")
        self.voice.line()
        for check in evidence.checks:
            self.voice.verdict(check.ok, check.name, check.expected, check.got)
        held = sum(check.ok for check in evidence.checks)
        style = "bold green" if held == len(evidence.checks) else "bold red"
        self.voice.line(f"   {held} of {len(evidence.checks)} expectations hold", style)
