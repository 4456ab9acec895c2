"""Figures of the line at work: accepted a second, delivered a second, latency, memory and Redis bytes."""

from __future__ import annotations

import time
from pathlib import Path

import httpx

from bench import bare, loader
from bench.rows import Row, at_least, at_most
from bench.sink import Far, Sink
from bench.stage import PLAIN, PORTAL, SOURCE_SECRET, Stage, free_port, listening
from relay.events import event_id

SHIFTS = 500


async def accept(folder: Path, *, quick: bool) -> list[Row]:
    """Accepted a second, beside a bare Starlette route that does the same EVALSHA through the same client."""
    count = 500 if quick else 5_000
    async with Sink() as sink, Stage(folder / "stage", sink) as stage:
        await stage.start_web()
        ports = {"relay": stage.web_port, "single": free_port(), "joined": free_port()}
        for how in ("single", "joined"):
            stage.start(f"bare-{how}", "bench.bare", str(ports[how]), stage.embedded.url, f"{how}:", how)
            await listening(ports[how])
        rates: dict[str, list[float]] = {name: [] for name in ports}
        times: list[float] = []
        for turn in range(3):
            for name, port in ports.items():
                pairs = loader.requests(f"{name}{turn}", count, portal=PLAIN, secret=SOURCE_SECRET)
                outcome = await loader.flood(port, pairs, connections=32)
                if set(outcome.statuses) != {202}:
                    raise RuntimeError(f"{name} answered {outcome.statuses}")
                rates[name].append(outcome.rate)
                if name == "relay":
                    times += outcome.times
        middle = {name: sorted(found)[1] for name, found in rates.items()}
        times.sort()
        return [
            at_least(
                "accepted, one receiver, 1 KiB signed (bare: single EVALSHA)",
                middle["relay"],
                "/s",
                round(0.6 * middle["single"]),
                bare=middle["single"],
            ),
            Row("  beside a bare route that joins requests as we do", middle["relay"], "/s", bare=middle["joined"]),
            Row("  answer at 32 connections, p50", times[len(times) // 2] * 1000, "ms"),
            at_most("  answer at 32 connections, p99", times[int(len(times) * 0.99)] * 1000, "ms", 40),
        ]


async def deliver(folder: Path, *, quick: bool) -> list[Row]:
    """Deliveries a second from a backlog and end to end; what each costs of a processor; memory of both processes."""
    count = 2_000 if quick else 20_000
    async with Sink() as sink, Stage(folder / "stage", sink, simulated=True) as stage:
        posts = [loader.body(f"bare-{n}", "planday.shift.created", 1, "shift/1") for n in range(count // 4)]
        bare_rate = await bare.post_loop(sink.port, posts, in_flight=100)
        shifts = await _shifts(await stage.start_simulator())
        await stage.start_web()
        far = sink.far()
        far.clear()
        pairs = loader.requests("backlog", count, portal=PORTAL, secret=SOURCE_SECRET, records=shifts)
        await loader.flood(stage.web_port, pairs, connections=32)
        await stage.start_worker()
        backlog = await drained(far, count)
        far.clear()
        pairs = loader.requests("fresh", count // 4, portal=PORTAL, secret=SOURCE_SECRET, records=shifts)
        fresh = await _end_to_end(stage, far, pairs)
        far.clear()
        pairs = loader.requests("plain", count, portal=PLAIN, secret=SOURCE_SECRET)
        before, own = stage.cpu(), time.process_time()
        plain = await _end_to_end(stage, far, pairs)
        used = {name: after - before[name] for name, after in stage.cpu().items()}
        own = time.process_time() - own
        held = int((await stage.redis.info("memory"))["used_memory"])
        together = stage.peak("web") + stage.peak("worker")
        return [
            at_least("delivered from a backlog, records read once (bare: POSTs)", backlog, "/s", 1500, bare=bare_rate),
            at_least("delivered end to end, nothing to enrich", plain, "/s", 1500, bare=bare_rate),
            at_least("  the same against the later aim", plain, "/s", 3000),
            *(
                Row(f"  processor time per event, {name}", used[name] / count * 1000, "ms")
                for name in ("web", "worker", "store")
            ),
            Row("  processor time per event, loader and sink", own / count * 1000, "ms"),
            Row("  so two cores of its own would do", 2 * count / (sum(used.values()) + own), "/s"),
            Row("delivered end to end, each record read anew (the simulator shares the cores)", fresh, "/s"),
            at_most("memory of receiver + worker, highest", together, "MiB", 200),
            at_most("Redis bytes per delivered 1 KiB event", held / (2.25 * count), "B", 4096),
        ]


async def latency(folder: Path, *, quick: bool) -> list[Row]:
    """From a sender's request to arrival, at 50 a second: each event's record read fresh, then nothing to read."""
    count = 250 if quick else 1_500
    rows = []
    async with Sink() as sink, Stage(folder / "stage", sink, simulated=True) as stage:
        shifts = await _shifts(await stage.start_simulator())
        await stage.start_web()
        await stage.start_worker()
        far = sink.far()
        for name, portal in (("people and places cached", PORTAL), ("nothing to enrich", PLAIN)):
            for run, some in ((f"warm-{portal}", 100), (f"live-{portal}", count)):
                far.clear()
                pairs = loader.requests(run, some, portal=portal, secret=SOURCE_SECRET, records=shifts)
                outcome = await loader.steady(stage.web_port, pairs, per_second=50)
                if not await far.wait_for(some, seconds=30):
                    raise RuntimeError(f"only {len(far.arrivals)} of {some} arrived")
            found = lags(outcome, far)
            rows += [
                at_most(f"sent to arrival at 50/s, {name}: p50", found[len(found) // 2] * 1000, "ms", 15),
                at_most("  p99", found[int(len(found) * 0.99)] * 1000, "ms", 100),
            ]
    return rows


def lags(outcome: loader.Outcome, far: Far) -> list[float]:
    """From each request until its event arrived, in seconds, sorted."""
    found = ((far.arrivals.get(event_id("bench", name)), at) for name, at in outcome.sent_at.items())
    return sorted(came - at for came, at in found if came is not None)


async def drained(far: Far, count: int) -> float:
    """Arrivals a second between a fifth and the whole: without starting up and the first reads."""
    if not await far.wait_for(count, seconds=60 + count / 200):
        raise RuntimeError(f"only {len(far.arrivals)} of {count} arrived")
    times = sorted(far.arrivals.values())
    return (count - count // 5) / (times[-1] - times[count // 5])


async def _end_to_end(stage: Stage, far: Far, pairs: list[tuple[str, bytes]]) -> float:
    began = time.perf_counter()
    await loader.flood(stage.web_port, pairs, connections=32)
    if not await far.wait_for(len(pairs), seconds=120):
        raise RuntimeError(f"only {len(far.arrivals)} of {len(pairs)} arrived")
    return len(pairs) / (time.perf_counter() - began)


async def _shifts(simulator: str) -> list[int]:
    """Some hundred shifts of seven people; their ids."""
    made = []
    async with httpx.AsyncClient(base_url=simulator, trust_env=False) as client:
        for number in range(SHIFTS):
            shift = {
                "departmentId": 4101,
                "employeeId": 910233 + number % 7,
                "employeeGroupId": 5202,
                "positionId": 6301,
                "startDateTime": "2026-12-01T09:00",
                "endDateTime": "2026-12-01T17:00",
            }
            answer = await client.post(f"/control/portals/{PORTAL}/shift/create", json=shift)
            made.append(int(answer.raise_for_status().json()["entity"]["id"]))
    return made
