"""Crash rounds: kill -9 of any or all processes, the store among them, at random points of a stream of events.

    python -m tests.acceptance.crash [--rounds 50] [--events 2000] [--restarts 20] [--seed TEXT]

`make crash` runs this, the long form: 100,000 events, about half an hour on two cores. It prints a table and ends
with 1 when a promise was not kept. tests/acceptance/test_crash.py runs a short form. The same seed gives the same plan.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import random
import secrets
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from redis.exceptions import RedisError

from relay.drain import Pace
from relay.store.client import command
from tests.acceptance.crash_figures import WORST, Figures, Round
from tests.acceptance.harness import Process, Relay, eventually
from tests.acceptance.sender import thin
from tests.acceptance.sink import Sink

WORKERS = ("worker-1", "worker-2")
PROCESSES = ("web", *WORKERS, "store")
DELAYS = (0.0, 0.2)
LEASE = Pace().lease
# A living worker has prolonged its leases by then; those of a killed one have not ended yet.
_PROLONGED = LEASE / 3 + 1.2
_GRACE = 25.0
# After each post of one of sixteen connections: some 500 a second, so that events come in while processes are away.
_PAUSE = 0.03


@dataclass(frozen=True, slots=True)
class Kill:
    """One round's plan: who is killed, once how many of its events are accepted, and how long each stays away (s)."""

    victims: tuple[str, ...]
    after: int
    away: tuple[float, ...]
    delay: float


def plan(chance: random.Random, *, rounds: int, events: int) -> list[Kill]:
    """Every combination of processes in turn, in random order, at random points, at both speeds of the target."""
    combinations = [
        subset for size in range(1, len(PROCESSES) + 1) for subset in itertools.combinations(PROCESSES, size)
    ]
    every = [(victims, delay) for victims in combinations for delay in DELAYS]
    drawn: list[tuple[tuple[str, ...], float]] = []
    while len(drawn) < rounds:
        drawn += chance.sample(every, len(every))
    return [kill_of(chance, victims, delay=delay, events=events) for victims, delay in drawn[:rounds]]


def kill_of(chance: random.Random, victims: Sequence[str], *, delay: float, events: int) -> Kill:
    """These victims in random order, at a random point."""
    order = tuple(chance.sample(list(victims), len(victims)))
    away = tuple(chance.uniform(0.0, 1.0) for _ in order)
    return Kill(order, after=chance.randint(events // 10, events * 9 // 10), away=away, delay=delay)


class Crashes:
    """A relay with two workers under a stream of events, and what was seen of it; an async context manager."""

    def __init__(self, folder: Path, *, seed: str) -> None:
        self.figures = Figures(seed=seed)
        self._sink = Sink()
        self._relay = Relay(folder, self._sink)
        self._running: dict[str, Process] = {}
        self._away: set[str] = set()  # processes that nobody starts again yet
        self._allowed: Counter[str] = Counter()  # event -> at how many kills it was being sent
        self._last_sequence: dict[str, str] = {}
        self._judged = 0

    async def __aenter__(self) -> Self:
        await self._sink.__aenter__()
        await self._relay.__aenter__()
        for role in ("web", *WORKERS):
            self._running[role] = await self._relay.start(_kind(role))
        self._supervisor = asyncio.create_task(self._supervise())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._supervisor.cancel()
        await asyncio.gather(self._supervisor, return_exceptions=True)
        await self._relay.__aexit__(kind, error, trace)
        await self._sink.__aexit__()

    # Rounds ------------------------------------------------------------------------------------------

    async def round(self, kill: Kill, *, events: int) -> None:
        """One stream of `events`, in the midst of which the victims are killed and started again; then all settles."""
        one = Round(kill.victims, kill.delay, kill.after)
        self.figures.rounds.append(one)
        self._sink.delay = kill.delay
        sender, doubled = self._relay.sender, self._sink.doubled
        before = len(sender.acked)
        # Two events an entity: what is held must not be overtaken by its successor either.
        number = len(self.figures.rounds)
        stream = [thin(f"crash-{number}-{n}", f"shift/{number * events + n // 2 + 1}") for n in range(events)]
        async with asyncio.TaskGroup() as group:
            group.create_task(sender.send(stream, connections=16, pause=_PAUSE, patience=120))
            group.create_task(self._kill(kill, one, at=before + kill.after))
        await self._relay.settled(within=90)
        one.accepted = len(sender.acked) - before
        one.doubled = self._sink.doubled - doubled
        self._judge_arrivals(f"round {number}")

    async def _kill(self, kill: Kill, one: Round, *, at: int) -> None:
        """When `at` events are accepted: SIGKILL, look at what is left behind, start again, see it arrive."""
        sink, relay = self._sink, self._relay

        async def enough() -> bool:
            return len(relay.sender.acked) >= at

        await eventually(enough, within=90, what=f"{at} events accepted")
        workers = set(kill.victims) & set(WORKERS)
        self._away.update(kill.victims)
        killed, killed_wall = time.monotonic(), time.time()
        for victim in kill.victims:
            self._popen(victim).kill()
        one.on_the_wire = len(sink.under_way) if workers else 0
        for victim in kill.victims:
            await asyncio.to_thread(self._popen(victim).wait, 10)
        await asyncio.sleep(0.1)  # what the dead had written to their sockets is still read
        async with asyncio.TaskGroup() as group:
            group.create_task(self._first(one, killed))
            for victim, away in zip(kill.victims, kill.away, strict=True):
                if victim != "store":
                    group.create_task(self._let_start(victim, away))
            sending: set[str] = set()
            back = killed
            if "store" in kill.victims:
                began, back, sending = await self._store_again(kill.away[kill.victims.index("store")])
                one.store_loaded = back - began
                group.create_task(self._again(one, began))
            if workers:
                events, deliveries = await self._left_behind(workers, killed, killed_wall, back)
                sending |= deliveries
                await self._recovered(one, events | deliveries, killed=killed)
        one.in_flight = len(sending)
        self._allowed.update(sending)

    async def _first(self, one: Round, killed: float) -> None:
        arrived = len(self._sink.arrivals)
        if await self._sink.more_than(arrived, within=WORST):
            one.first = self._sink.arrivals[arrived].at - killed

    async def _left_behind(
        self, workers: set[str], killed: float, killed_wall: float, back: float
    ) -> tuple[set[str], set[str]]:
        """Events and deliveries under a lease of the killed workers; nothing when that cannot be told any more.

        Those that live prolong theirs, after an outage of the store as soon as it is back.
        """
        look = max(killed + _PROLONGED, back + 2.0)
        if workers == set(WORKERS):
            look = back
        elif look > killed + LEASE - _PROLONGED + 1.0:
            return set(), set()
        await asyncio.sleep(max(look - time.monotonic(), 0.0))
        return await self._relay.held(until=killed_wall + LEASE + 0.05)

    async def _supervise(self) -> None:
        """As `relay up` does: what has ended is started again, also what ended because the store was away."""
        while True:
            for role, process in self._running.items():
                if role not in self._away and not process.alive:
                    self._running[role] = await self._relay.start(_kind(role), wait=False)
            await asyncio.sleep(0.2)

    async def _let_start(self, victim: str, away: float) -> None:
        await asyncio.sleep(away)
        self._away.discard(victim)

    async def _store_again(self, away: float) -> tuple[float, float, set[str]]:
        """Start the store with its data: when, when it answered, and the deliveries that were under a lease then."""
        await asyncio.sleep(away)
        self._away.discard("store")
        began = time.monotonic()
        await self._relay.start_store()
        sending: set[str] = set()

        async def answers() -> bool:
            nonlocal sending
            try:
                _, sending = await self._relay.held()
            except RedisError:
                return False  # a connection from before the kill, or it still loads
            return True

        await eventually(answers, within=WORST, what="the store answers")
        return began, time.monotonic(), sending

    async def _again(self, one: Round, began: float) -> None:
        arrived = len(self._sink.arrivals)
        if await self._sink.more_than(arrived, within=WORST):
            one.store_again = self._sink.arrivals[arrived].at - began

    async def _recovered(self, one: Round, held: set[str], *, killed: float) -> None:
        seen = {event: len(self._sink.by_event[event]) for event in held}
        one.held = len(held)
        await self._sink.until(
            lambda: all(len(self._sink.by_event[event]) > count for event, count in seen.items()),
            within=max(killed + WORST - time.monotonic(), 0.0),
        )
        arrivals = ((self._sink.by_event[event], count) for event, count in seen.items())
        one.recovery = [ours[count].at - killed for ours, count in arrivals if len(ours) > count]

    def _popen(self, victim: str) -> Any:
        return self._relay.store.process if victim == "store" else self._running[victim].popen

    # Rolling restarts ----------------------------------------------------------------------------------

    async def rolling(self, restarts: int) -> None:
        """One process after the other is replaced by SIGTERM while events come in."""
        figures, sink, sender = self.figures, self._sink, self._relay.sender
        sink.delay = 0.05
        doubled, accepted, going = sink.doubled, len(sender.acked), [True]
        patience = 60.0 + restarts * 30
        sending = asyncio.create_task(sender.send(_endless(going), connections=8, pause=0.02, patience=patience))
        try:
            for _, role in zip(range(restarts), itertools.cycle(("worker-1", "web", "worker-2")), strict=False):
                arrived = len(sink.arrivals)
                took, code = await self._replace(role)
                figures.slowest_stop = max(figures.slowest_stop, took)
                figures.restarts += 1
                if code != 0:
                    figures.faults.append(f"restart {figures.restarts}: {role} ended with {code}, wanted 0")
                assert await sink.more_than(arrived + 100, within=30), "nothing arrives after a restart"
        finally:
            going.clear()
            await sending
        await self._relay.settled(within=60)
        figures.restarts_doubled = sink.doubled - doubled
        figures.restarts_accepted = len(sender.acked) - accepted
        self._judge_arrivals("rolling restarts")

    async def _replace(self, role: str) -> tuple[float, int]:
        """SIGTERM one process; its successor starts before it where two can live at once."""
        leaving = self._running[role]
        self._away.add(role)
        if role != "web":
            self._running[role] = await self._relay.start("worker")
        began = time.monotonic()
        code = await leaving.terminate(within=_GRACE + 5)
        took = time.monotonic() - began
        if role == "web":
            self._running[role] = await self._relay.start("web")
        self._away.discard(role)
        return took, code

    # Judgement -----------------------------------------------------------------------------------------

    def _judge_arrivals(self, when: str) -> None:
        """Order, one key an event, doubled only what was being sent at a kill; then forget the bodies."""
        sink, faults = self._sink, self.figures.faults
        fresh = sink.arrivals[self._judged :]
        for arrival in fresh:
            envelope = arrival.envelope
            subject, sequence = str(envelope["subject"]), str(envelope["sequence"])
            if sequence < self._last_sequence.get(subject, ""):
                faults.append(f"{when}: {arrival.event} arrived after a newer one of its record")
            self._last_sequence[subject] = sequence
            arrival.headers.clear()
            arrival.body = b""
        for event in {arrival.event for arrival in fresh}:
            ours = sink.by_event[event]
            if len(ours) - 1 > self._allowed[event]:
                faults.append(
                    f"{when}: {event} came {len(ours)} times and was being sent at {self._allowed[event]} kills"
                )
            if len({arrival.key for arrival in ours}) != 1:
                faults.append(f"{when}: {event} came under more than one idempotency key")
        self._judged = len(sink.arrivals)

    async def judge(self) -> Figures:
        """The sums; what target and store say must agree with what was answered to the sender."""
        figures, sink, acked = self.figures, self._sink, self._relay.sender.acked
        figures.accepted, figures.requests = len(acked), len(sink.arrivals)
        figures.doubled, figures.cut_off = sink.doubled, self._relay.sender.cut_off
        figures.lost = len(acked.keys() - sink.by_event.keys())
        if unknown := sink.by_event.keys() - acked.keys():
            figures.faults.append(f"{len(unknown)} events arrived that nobody was promised")
        if (left := await self._relay.held()) != (set(), set()):
            figures.faults.append(f"leases are left over: {left}")
        counted = int(await command(self._relay.redis, "HGET", self._relay.keys.counters, "delivered") or 0)
        if counted != len(acked):
            figures.faults.append(f"the store counts {counted} delivered, {len(acked)} were accepted")
        return figures


def _kind(name: str) -> str:
    """The command that a process runs."""
    return name.partition("-")[0]


def _endless(going: list[bool]) -> Iterator[dict[str, Any]]:
    """Events, two of each entity, until `going` is emptied."""
    numbers = itertools.takewhile(lambda _: bool(going), itertools.count())
    return (thin(f"rolling-{n}", f"shift/{10**9 + n // 2}") for n in numbers)


async def _main(options: argparse.Namespace) -> int:
    seed = options.seed or secrets.token_hex(4)
    print(f"seed {seed}", flush=True)
    kills = plan(random.Random(seed), rounds=options.rounds, events=options.events)
    with tempfile.TemporaryDirectory() as folder:
        async with Crashes(Path(folder), seed=seed) as crashes:
            try:
                for number, kill in enumerate(kills, 1):
                    await crashes.round(kill, events=options.events)
                    done = crashes.figures.rounds[-1]
                    print(
                        f"{number:3} {'+'.join(kill.victims)}: doubled {done.doubled} of {done.in_flight}", flush=True
                    )
                await crashes.rolling(options.restarts)
            except BaseException as error:
                crashes.figures.faults.append(f"the run ended early: {error!r}")
                print(crashes.figures.table())
                raise
            figures = await crashes.judge()
    print(figures.table())
    misses = figures.verdict()
    print("\n".join(f"NOT KEPT: {miss}" for miss in misses) or "every promise was kept")
    return 1 if misses else 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="crash", description=__doc__)
    parser.add_argument("--rounds", type=int, default=50)
    parser.add_argument("--events", type=int, default=2000, help="accepted in each round")
    parser.add_argument("--restarts", type=int, default=20, help="rolling restarts after the rounds")
    parser.add_argument("--seed", help="repeats a run's plan")
    sys.exit(asyncio.run(_main(parser.parse_args())))
