"""kill -9 of receiver, worker or both, at random points of a stream of events: nothing accepted is ever lost.

`make crash` runs the long form: 20 rounds of 2,000 events, and the same again with a target that takes 200 ms.
"""

from __future__ import annotations

import asyncio
import os
import random
import secrets
import statistics
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from relay.store.client import command
from tests.acceptance.harness import Process, Relay, eventually
from tests.acceptance.sender import thin
from tests.acceptance.sink import Sink

VICTIMS = (("web",), ("worker",), ("web", "worker"))
RECOVERY = 30.0  # seconds from the restart until what was held is delivered (design.md 6)


@dataclass(slots=True)
class Round:
    """What one round came to.

    `held`: under any lease of the killed worker; `in_flight`: under that of a delivery, from its claim until its
    outcome is written; `on_the_wire`: come whole to the sink and not answered yet.
    """

    victims: tuple[str, ...]
    killed_after: int
    accepted: int = 0
    held: int = 0
    in_flight: int = 0
    on_the_wire: int = 0
    doubled: int = 0
    recovery: list[float] = field(default_factory=list)
    """Seconds from the restart until each held event arrived."""


@dataclass(slots=True)
class Figures:
    """All rounds together."""

    rounds: list[Round] = field(default_factory=list)
    accepted: int = 0
    lost: int = 0
    requests: int = 0
    cut_off: int = 0

    def table(self, title: str) -> str:
        """One line a round, and one for all."""
        rows: list[tuple[str, ...]] = [
            (
                "round",
                "victims",
                "killed at",
                "accepted",
                "held",
                "in flight",
                "on the wire",
                "doubled",
                "median s",
                "worst s",
            )
        ]
        for number, one in enumerate(self.rounds, 1):
            rows.append(
                (
                    str(number),
                    "+".join(one.victims),
                    str(one.killed_after),
                    str(one.accepted),
                    str(one.held),
                    str(one.in_flight),
                    str(one.on_the_wire),
                    str(one.doubled),
                    *_spread(one.recovery),
                )
            )
        every = [at for one in self.rounds for at in one.recovery]
        sums = [
            sum(getattr(one, name) for one in self.rounds) for name in ("held", "in_flight", "on_the_wire", "doubled")
        ]
        rows.append(("all", "", "", str(self.accepted), *map(str, sums), *_spread(every)))
        widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
        lines = ["  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in rows]
        facts = f"{title}: accepted {self.accepted}, lost {self.lost}, requests {self.requests}, doubled {sums[-1]}"
        return "\n".join([facts + f", posts cut off without an answer {self.cut_off}", *lines])


def _spread(times: Sequence[float]) -> tuple[str, str]:
    return (f"{statistics.median(times):.1f}", f"{max(times):.1f}") if times else ("-", "-")


async def crash_rounds(
    folder: Path, *, plan: Sequence[tuple[str, ...]], events: int, delay: float, chance: random.Random
) -> Figures:
    """One stream of `events` per round, in the midst of which that round's victims are killed and started again."""
    figures = Figures()
    allowed: Counter[str] = Counter()  # event id -> how often it was being sent when its worker was killed
    async with Sink(delay=delay) as sink, Relay(folder, sink) as relay:
        running = {role: await relay.start(role) for role in ("web", "worker")}
        for number, victims in enumerate(plan):
            one = Round(victims, killed_after=chance.randint(events // 10, events * 9 // 10))
            figures.rounds.append(one)
            accepted, doubled = len(relay.sender.acked), sink.doubled
            first = number * events
            # Two events an entity: what is held must not be overtaken by its successor either.
            stream = [thin(f"crash-{n}", f"shift/{n // 2 + 1}") for n in range(first, first + events)]
            async with asyncio.TaskGroup() as group:
                group.create_task(relay.sender.send(stream, patience=90))
                group.create_task(kill(relay, running, one, at=accepted + one.killed_after, allowed=allowed))
            await relay.settled(within=60)
            one.accepted = len(relay.sender.acked) - accepted
            one.doubled = sink.doubled - doubled
            assert one.accepted == events
        await judge(relay, allowed)
        figures.accepted = len(relay.sender.acked)
        figures.lost = len(relay.sender.acked.keys() - sink.by_event.keys())
        figures.requests = len(sink.arrivals)
        figures.cut_off = relay.sender.cut_off
    return figures


async def kill(relay: Relay, running: dict[str, Process], one: Round, *, at: int, allowed: Counter[str]) -> None:
    """When `at` events are accepted: SIGKILL, look at what is left behind, start again, see it arrive."""

    async def enough() -> bool:
        return len(relay.sender.acked) >= at

    await eventually(enough, within=60, what=f"{at} events accepted")
    for role in one.victims:
        running[role].popen.kill()
    one.on_the_wire = len(relay.sink.under_way) if "worker" in one.victims else 0
    for role in one.victims:
        await running[role].ended(10)
    held: set[str] = set()
    if "worker" in one.victims:
        # What it had written to its sockets is still read: by the sink, and by the store.
        assert await relay.sink.until(lambda: relay.sink.connections == 0, within=10)
        events, sending = await left_behind(relay)
        held = events | sending
        one.in_flight = len(sending)
        allowed.update(sending)
    one.held = len(held)
    seen = {event: len(relay.sink.by_event[event]) for event in held}
    restarted = time.monotonic()
    for role in one.victims:
        running[role] = await relay.start(role, wait=False)
    await relay.sink.until(
        lambda: all(len(relay.sink.by_event[event]) > seen[event] for event in held), within=RECOVERY
    )
    one.recovery = [
        relay.sink.by_event[event][-1].at - restarted for event in held if len(relay.sink.by_event[event]) > seen[event]
    ]


async def left_behind(relay: Relay) -> tuple[set[str], set[str]]:
    """The leases of a dead worker, once the store has read all that it had written."""
    last = await relay.held()

    async def still() -> bool:
        nonlocal last
        before, last = last, await relay.held()
        return before == last

    await eventually(still, within=10, what="the dead worker's leases stand still")
    return last


async def judge(relay: Relay, allowed: Counter[str]) -> None:
    """Nothing lost; doubled only what was being sent at a kill, under its one key; in order; and the store agrees."""
    sink, acked = relay.sink, relay.sender.acked
    assert acked.keys() - sink.by_event.keys() == set()
    assert sink.by_event.keys() - acked.keys() == set()
    for event, arrivals in sink.by_event.items():
        assert len(arrivals) - 1 <= allowed[event], (
            f"{event} came {len(arrivals)} times, allowed once more {allowed[event]}"
        )
        assert len({arrival.key for arrival in arrivals}) == 1
    assert len(sink.counts) == len(acked)
    sequences: dict[str, str] = {}
    for arrival in sink.arrivals:
        envelope = arrival.envelope
        assert envelope["sequence"] >= sequences.get(envelope["subject"], ""), f"{arrival.event} arrived too late"
        sequences[envelope["subject"]] = envelope["sequence"]
    assert await relay.held() == (set(), set())
    assert int(await command(relay.redis, "HGET", relay.keys.counters, "delivered")) == len(acked)


def seeded() -> random.Random:
    """CRASH_SEED repeats a run; pytest shows the seed of one that failed."""
    seed = os.environ.get("CRASH_SEED") or secrets.token_hex(4)
    print(f"CRASH_SEED={seed}")
    return random.Random(seed)


def hold_to(figures: Figures, title: str) -> None:
    """Print the table and hold it to the promise."""
    print(figures.table(title))
    assert figures.lost == 0
    for one in figures.rounds:
        assert one.doubled <= one.in_flight
        assert max(one.recovery, default=0) <= RECOVERY


async def test_killed_in_a_stream_of_events(tmp_path: Path) -> None:
    """Receiver, worker and both, each killed once: all that was accepted arrives, in order, once but for what was
    on the wire."""
    chance = seeded()
    plan = chance.sample(VICTIMS, len(VICTIMS))
    hold_to(await crash_rounds(tmp_path, plan=plan, events=300, delay=0.0, chance=chance), "3 x 300")


async def test_killed_while_a_slow_target_is_sent_to(tmp_path: Path) -> None:
    """The same with a target that takes 200 ms, so that much is on the wire at the kill."""
    figures = await crash_rounds(tmp_path, plan=[VICTIMS[2]], events=300, delay=0.2, chance=seeded())
    hold_to(figures, "1 x 300, 200 ms")


@pytest.mark.long
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("delay", [0.0, 0.2], ids=["at once", "200 ms"])
async def test_twenty_rounds(tmp_path: Path, delay: float, capsys: pytest.CaptureFixture[str]) -> None:
    """Twenty rounds of 2,000 events with random victims."""
    chance = seeded()
    plan = [chance.choice(VICTIMS) for _ in range(20)]
    figures = await crash_rounds(tmp_path, plan=plan, events=2000, delay=delay, chance=chance)
    with capsys.disabled():
        hold_to(figures, f"\n20 x 2000, target answers after {delay * 1000:g} ms")
