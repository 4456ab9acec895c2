"""kill -9 of receiver, worker or both, at random points of a stream of events: nothing accepted is ever lost.

`make crash` runs the long form: 20 rounds of 2,000 events, and the same again with a target that takes 200 ms.
"""

from __future__ import annotations

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

from tests.acceptance.harness import Process, Relay, eventually
from tests.acceptance.sender import thin
from tests.acceptance.sink import Sink

VICTIMS = (("web",), ("worker",), ("web", "worker"))
RECOVERY = 30.0  # seconds from the restart until what was held is delivered (design.md 6)


@dataclass(slots=True)
class Round:
    """What one round came to; times in seconds after the restart."""

    victims: tuple[str, ...]
    killed_after: int
    accepted: int = 0
    held: int = 0
    on_the_wire: int = 0
    doubled: int = 0
    recovery: list[float] = field(default_factory=list)


@dataclass(slots=True)
class Figures:
    """All rounds together."""

    rounds: list[Round] = field(default_factory=list)
    accepted: int = 0
    lost: int = 0
    requests: int = 0
    broken: int = 0

    def table(self, title: str) -> str:
        """One line a round, and one for all."""
        rows = [("round", "victims", "killed at", "accepted", "held", "on the wire", "doubled", "median s", "worst s")]
        for number, one in enumerate(self.rounds, 1):
            rows.append(
                (
                    str(number),
                    "+".join(one.victims),
                    str(one.killed_after),
                    str(one.accepted),
                    str(one.held),
                    str(one.on_the_wire),
                    str(one.doubled),
                    *_spread(one.recovery),
                )
            )
        every = [at for one in self.rounds for at in one.recovery]
        held, wire, doubled = (sum(getattr(one, name) for one in self.rounds) for name in ("held", "on_the_wire", "doubled"))
        rows.append(("all", "", "", str(self.accepted), str(held), str(wire), str(doubled), *_spread(every)))
        widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
        lines = ["  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in rows]
        facts = f"{title}: accepted {self.accepted}, lost {self.lost}, requests {self.requests}, doubled {doubled}"
        return "\n".join([facts + f", posts without an answer {self.broken}", *lines])


def _spread(times: Sequence[float]) -> tuple[str, str]:
    return (f"{statistics.median(times):.1f}", f"{max(times):.1f}") if times else ("-", "-")


async def crash_rounds(
    folder: Path, *, plan: Sequence[tuple[str, ...]], events: int, delay: float, chance: random.Random
) -> Figures:
    """One stream of `events` per round, in the midst of which that round's victims are killed and started again."""
    figures = Figures()
    allowed: Counter[str] = Counter()  # event id -> how often it was under a lease when its worker was killed
    async with Sink(delay=delay) as sink, Relay(folder, sink) as relay:
        running = {role: await relay.start(role) for role in ("web", "worker")}
        for number, victims in enumerate(plan):
            one = Round(victims, killed_after=chance.randint(events // 10, events * 9 // 10))
            figures.rounds.append(one)
            before, doubled_before = len(relay.sender.acked), _doubled(sink)
            held = await _stream(relay, running, one, number=number, events=events)
            if "worker" in victims:
                allowed.update(held)
            await sink.until(lambda: relay.sender.acked.keys() <= sink.by_event.keys(), within=60)
            await relay.settled(within=60)
            one.accepted = len(relay.sender.acked) - before
            one.doubled = _doubled(sink) - doubled_before
            _judge(relay, sink, allowed)
        figures.accepted = len(relay.sender.acked)
        figures.lost = len(relay.sender.acked.keys() - sink.by_event.keys())
        figures.requests = len(sink.arrivals)
        figures.broken = relay.sender.broken
    return figures


async def _stream(relay: Relay, running: dict[str, Process], one: Round, *, number: int, events: int) -> set[str]:
    """Send, kill, start again, send the rest; what the dead worker held."""
    sink = relay.sink
    acks = 0

    def acked(count: int) -> None:
        nonlocal acks
        acks = count

    run = secrets.token_hex(4)
    # Two events an entity: what is held must not be overtaken by its successor either.
    stream = [thin(f"{run}-{n}", f"shift/{number * events + n // 2 + 1}") for n in range(events)]
    sending = asyncio.create_task(relay.sender.send(stream, on_ack=acked, patience=90))
    try:
        async def enough() -> bool:
            return acks >= one.killed_after or sending.done()

        await eventually(enough, within=60, what=f"{one.killed_after} events accepted")
        for role in one.victims:
            running[role].popen.kill()
        one.on_the_wire = len(sink.under_way)
        for role in one.victims:
            await running[role].ended(10)
        held = await _held_by_the_dead(relay) if "worker" in one.victims else set()
        one.held = len(held)
        restarted = time.monotonic()
        for role in one.victims:
            running[role] = await relay.start(role, wait=False)
        await sending
    finally:
        sending.cancel()
    ...
