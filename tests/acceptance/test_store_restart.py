"""Redis is killed in the middle of a burst and comes back with its data: nothing accepted is lost, nobody helps."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from relay.store.binary import Binary
from tests.acceptance.harness import Relay, eventually, servers
from tests.acceptance.sender import thin
from tests.acceptance.sink import Sink

pytestmark = pytest.mark.store

AGAIN = 10.0  # seconds from the restart until it works again (design.md 6)


@dataclass(frozen=True, slots=True)
class Outage:
    """What one outage came to; times in seconds after the store was started again."""

    accepted: int
    refused: int
    cut_off: int
    lost: int
    doubled: int
    first_accepted: float
    first_arrived: float
    settled: float

    def __str__(self) -> str:
        return (
            f"accepted {self.accepted}, lost {self.lost}, doubled {self.doubled}, 503 {self.refused}, "
            f"cut off {self.cut_off}; after the restart: first accepted {self.first_accepted:.2f} s, "
            f"first arrived {self.first_arrived:.2f} s, all settled {self.settled:.2f} s"
        )


async def outage(folder: Path, binary: Binary, *, events: int, seconds: float) -> Outage:
    """`events` are sent while the store is gone for at least `seconds` and until senders have felt it."""
    async with Sink(delay=0.05) as sink, Relay(folder, sink, binary=binary) as relay:
        processes = [await relay.start("web"), await relay.start("worker")]
        sender = relay.sender
        stream = [thin(f"restart-{n}", f"shift/{n // 2 + 1}") for n in range(events)]
        async with asyncio.TaskGroup() as group:
            group.create_task(sender.send(stream, patience=seconds + 60))

            async def third() -> bool:
                return len(sender.acked) >= events // 3

            await eventually(third, within=30, what="a third is accepted")
            await relay.kill_store()
            gone = time.monotonic()

            async def felt() -> bool:
                return sender.statuses[503] >= 20 and time.monotonic() - gone >= seconds

            await eventually(felt, within=seconds + 30, what="senders are answered 503")
            during = [at for at in sender.acked.values() if at > gone + 1]
            await _still_answers(relay)
            restarted = time.monotonic()
            await relay.start_store()
        await relay.settled(within=60)
        settled = time.monotonic()
        assert all(process.alive for process in processes)
        assert during == [], "accepted while there was no store"
        assert sender.statuses.keys() == {202, 503}
        assert sender.refused == 0
        assert len(sender.acked) == events
        assert all(
            len(arrivals) <= 2 and len({one.key for one in arrivals}) == 1 for arrivals in sink.by_event.values()
        )
        return Outage(
            accepted=len(sender.acked),
            refused=sender.statuses[503],
            cut_off=sender.cut_off,
            lost=len(sender.acked.keys() - sink.by_event.keys()),
            doubled=sink.doubled,
            first_accepted=min(at for at in sender.acked.values() if at > restarted) - restarted,
            first_arrived=min(one.at for one in sink.arrivals if one.at > restarted) - restarted,
            settled=settled - restarted,
        )


async def _still_answers(relay: Relay) -> None:
    """The process says that it lives, that it can take nothing now, and when to come again."""
    async with httpx.AsyncClient(trust_env=False, timeout=10) as client:
        assert (await client.get(f"{relay.url}/healthz")).status_code == 200
        assert (await client.get(f"{relay.url}/readyz")).status_code == 503
    answer = await relay.sender.post(thin("restart-refused", "shift/999999"))
    assert (answer.status, answer.headers["content-type"]) == (503, "application/problem+json")
    assert int(answer.headers["retry-after"]) > 0


@pytest.mark.parametrize("binary", servers())
async def test_the_store_is_killed_in_a_burst(tmp_path: Path, binary: Binary) -> None:
    """Senders hear 503 and come again; nothing is lost; accepting and delivering go on within ten seconds."""
    figures = await outage(tmp_path, binary, events=600, seconds=1.0)
    print(f"{binary}: {figures}")
    assert figures.lost == 0
    assert figures.doubled == 0
    assert figures.first_accepted < AGAIN
    assert figures.first_arrived < AGAIN
    assert figures.settled < 30


@pytest.mark.long
@pytest.mark.timeout(300)
@pytest.mark.parametrize("binary", servers())
async def test_the_store_is_away_for_a_minute(
    tmp_path: Path, binary: Binary, capsys: pytest.CaptureFixture[str]
) -> None:
    """Longer than every patience of ours: workers start anew by themselves, and what was on the wire may come twice."""
    figures = await outage(tmp_path, binary, events=600, seconds=60.0)
    with capsys.disabled():
        print(f"\n{binary}, away for a minute: {figures}")
    assert figures.lost == 0
    assert figures.doubled <= 100
    assert figures.first_accepted < AGAIN
    assert figures.first_arrived < AGAIN
    assert figures.settled < 60
