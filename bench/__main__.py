"""`python -m bench [--quick]`: the figures of design.md 6 that this release can show, beside bare baselines.

Loader, sink, store, simulator and the relay share this machine's cores, so the ratios say more than the figures.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import httpx
import redis.asyncio as aioredis

from bench import bare, loader
from bench.sink import Listening
from bench.stage import PORTAL, SOURCE_SECRET, Stage, answers, free_port

SHIFTS = 500


async def main() -> None:
    parser = argparse.ArgumentParser(prog="bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a tenth of the events, to see that it runs")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()
    events = 2_000 if options.quick else 20_000
    figures: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        async with Listening() as sink:
            figures |= await accepting(Path(folder) / "accept", sink, events)
            figures |= await delivering(Path(folder) / "deliver", sink, events)
            figures |= await latency(Path(folder) / "latency", sink, 250 if options.quick else 1500)
    print(json.dumps(figures, indent=1) if options.json else _table(figures))


async def accepting(folder: Path, sink: Listening, events: int) -> dict[str, Any]:
    """Accepted a second, against a bare Starlette route that does the same EVALSHA through the same client."""
    stage = _stage(folder, sink)
    try:
        await stage.start_web()
        ports = {"relay": stage.web_port, "single": free_port(), "joined": free_port()}
        for how in ("single", "joined"):
            stage.start(f"bare-{how}", "bench.bare", str(ports[how]), stage.store.url, f"{how}:", how)
            await _listening(ports[how])
        out: dict[str, Any] = {}
        rates: dict[str, list[float]] = {name: [] for name in ports}
        for turn in range(3):
            for name, to in ports.items():
                requests = _requests(f"{name}{turn}", events // 4)
                outcome = await loader.flood(to, requests, connections=32)
                assert set(outcome.statuses) == {202}, outcome.statuses
                rates[name].append(outcome.rate)
                if name == "relay":
                    out["accept_p50_ms"] = outcome.percentile(0.5) * 1000
                    out["accept_p99_ms"] = outcome.percentile(0.99) * 1000
        out["accepted_per_s"] = sorted(rates["relay"])[1]
        for how in ("single", "joined"):
            out[f"bare_{how}_per_s"] = sorted(rates[how])[1]
            out[f"accept_ratio_{how}"] = out["accepted_per_s"] / out[f"bare_{how}_per_s"]
        out["web_mib"] = stage.memory()["web"]
        return out
    finally:
        stage.close()


async def delivering(folder: Path, sink: Listening, events: int) -> dict[str, Any]:
    """Deliveries a second from a backlog (records read once, then from cache), and while events come in."""
    out: dict[str, Any] = {"bare_posts_per_s": await bare.post_loop(sink.port, _bodies(events // 4), in_flight=100)}
    simulator = free_port()
    stage = _stage(folder, sink, simulator=f"http://127.0.0.1:{simulator}")
    try:
        shifts = await _simulated(stage, simulator)
        await stage.start_web()
        sink.clear()
        requests = _requests("backlog", events, portal=PORTAL, shifts=shifts)
        await loader.flood(stage.web_port, requests, connections=32)
        stage.start_worker()
        out["backlog_per_s"] = await _drained(sink, events)
        out["deliver_ratio"] = out["backlog_per_s"] / out["bare_posts_per_s"]
        out["worker_mib"] = stage.memory()["worker"]
        async with aioredis.Redis.from_url(stage.store.url) as client:
            out["redis_bytes_per_event"] = (await client.info("memory"))["used_memory"] / events
        sink.clear()
        # Events of a portal that is not configured are routed without enrichment: the line alone.
        requests = _requests("live", events, portal=PORTAL + 7)
        began = time.perf_counter()
        await loader.flood(stage.web_port, requests, connections=32)
        await sink.wait_for(events, seconds=120)
        out["live_per_s"] = events / (time.perf_counter() - began)
        return out
    finally:
        stage.close()


async def latency(folder: Path, sink: Listening, events: int) -> dict[str, Any]:
    """From a sender's request to arrival, at 50 a second, each event's record read fresh from the simulator."""
    simulator = free_port()
    stage = _stage(folder, sink, simulator=f"http://127.0.0.1:{simulator}")
    try:
        shifts = await _simulated(stage, simulator)
        await stage.start_web()
        stage.start_worker()
        out: dict[str, Any] = {}
        for name, portal in (("fresh", PORTAL), ("plain", PORTAL + 7)):
            sink.clear()
            warm = _requests(f"warm-{name}", 50, portal=portal, shifts=shifts)
            await loader.flood(stage.web_port, warm, connections=1)
            await sink.wait_for(50, seconds=30)
            sink.clear()
            pairs = [
                (f"{name}-{number}", request)
                for number, request in enumerate(_requests(name, events, portal=portal, shifts=shifts))
            ]
            outcome = await loader.steady(stage.web_port, pairs, per_second=50)
            await sink.wait_for(events, seconds=30)
            out |= _lags(name, outcome, sink)
        return out
    finally:
        stage.close()


def _lags(name: str, outcome: loader.Outcome, sink: Listening) -> dict[str, Any]:
    from relay.events import event_id

    lags = sorted(
        sink.arrivals[id_] - at
        for sender_id, at in outcome.sent_at.items()
        if (id_ := event_id("bench", sender_id)) in sink.arrivals
    )
    return {
        f"{name}_arrived": len(lags),
        f"{name}_p50_ms": lags[len(lags) // 2] * 1000,
        f"{name}_p99_ms": lags[int(len(lags) * 0.99)] * 1000,
    }


async def _drained(sink: Listening, events: int) -> float:
    """Arrivals a second between a fifth and the whole: without starting up and the first reads."""
    fifth = events // 5
    if not await sink.wait_for(fifth, seconds=60):
        raise RuntimeError(f"only {len(sink.arrivals)} of {events} arrived")
    began, at = time.perf_counter(), len(sink.arrivals)
    if not await sink.wait_for(events, seconds=120):
        raise RuntimeError(f"only {len(sink.arrivals)} of {events} arrived")
    return (events - at) / (time.perf_counter() - began)


async def _simulated(stage: Stage, port: int) -> list[int]:
    """A simulator with wide limits and some hundred shifts; their ids."""
    stage.start("simulator", "relay.simulator", str(port))
    base = f"http://127.0.0.1:{port}"
    await answers(f"{base}/control/state")
    wide = {
        "portal_per_second": 5000,
        "portal_per_minute": 300_000,
        "client_per_second": 5000,
        "client_per_minute": 300_000,
    }
    async with httpx.AsyncClient(base_url=base, trust_env=False) as client:
        (await client.post("/control/settings", json=wide)).raise_for_status()
        made = []
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


def _stage(folder: Path, sink: Listening, *, simulator: str | None = None) -> Stage:
    folder.mkdir()
    stage = Stage(folder, sink_port=sink.port, simulator_url=simulator)
    stage.write_config()
    stage.store.start()
    return stage


async def _listening(port: int) -> None:
    for _ in range(200):
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            await asyncio.sleep(0.05)
        else:
            writer.close()
            return
    raise RuntimeError(f"nothing listens on {port}")


def _bodies(count: int) -> list[bytes]:
    return [loader.body(number, portal=1, subject="shift/1", run="bare") for number in range(count)]


def _requests(run: str, count: int, *, portal: int = 1, shifts: list[int] | None = None) -> list[bytes]:
    ids = shifts or list(range(1, SHIFTS + 1))
    return [
        loader.request(
            "/in/bench",
            loader.body(
                number, portal=portal, subject=f"shift/{ids[number % len(ids)]}", run=run, turn=number // len(ids)
            ),
            secret=SOURCE_SECRET,
            message_id=f"{run}-{number}",
        )
        for number in range(count)
    ]


def _table(figures: dict[str, Any]) -> str:
    rows = [
        (
            "accepted/s, one receiver, 1 KiB signed",
            "accepted_per_s",
            "bare_single_per_s",
            "accept_ratio_single",
            ">= 0.6",
        ),
        ("  the same beside a bare route that joins as we do", None, "bare_joined_per_s", "accept_ratio_joined", ""),
        ("  p50 / p99 at 32 connections, ms", "accept_p50_ms", "accept_p99_ms", None, "p99 < 40"),
        ("deliveries/s from a backlog, one worker", "backlog_per_s", "bare_posts_per_s", "deliver_ratio", ">= 1500"),
        ("deliveries/s end to end while accepting", "live_per_s", None, None, "(no enrichment)"),
        ("sent to arrival at 50/s, fresh read: p50 / p99, ms", "fresh_p50_ms", "fresh_p99_ms", None, "< 15 / < 100"),
        ("sent to arrival at 50/s, no enrichment: p50 / p99, ms", "plain_p50_ms", "plain_p99_ms", None, "< 15 / < 100"),
        ("memory of web / worker, MiB", "web_mib", "worker_mib", None, "together < 200"),
        ("Redis bytes per delivered 1 KiB event", "redis_bytes_per_event", None, None, "aim 4096"),
    ]
    lines = [f"{'':55}{'relay':>10}{'bare or p99':>14}{'ratio':>8}  reach"]
    for label, first, second, ratio, reach in rows:
        cells = [
            f"{figures[name]:>{width},.1f}" if name else " " * width for name, width in ((first, 10), (second, 14))
        ]
        share = f"{figures[ratio]:>8.2f}" if ratio else " " * 8
        lines.append(f"{label:55}{cells[0]}{cells[1]}{share}  {reach}")
    return "\n".join(lines)


if __name__ == "__main__":
    asyncio.run(main())
