"""A replay of 100,000 deliveries in mixed states: how long choosing takes, and whether the result is what was planned
though the worker that runs it is killed twice and new events come in meanwhile.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from bench import loader
from bench.fill import BATCH, plain
from bench.rows import Row, at_most, table
from bench.sink import Sink
from bench.stage import PLAIN, SOURCE_SECRET, Stage, target
from relay.events import Attempt, DeliveryState, Outcome, event_id
from relay.pipeline import Outside
from relay.replay import PlanRequest, Replays
from relay.settings import load
from relay.store.audit import Audit
from relay.store.plans import Plans
from relay.store.reading import Reading
from relay.store.work import Finished, Lane, Settled

TARGETS = ("hours", "hooks")
LIVE_PER_SECOND = 20
_KILLS_AT = (0.3, 0.6)
# Of ten deliveries so many end so; every tenth event goes to nobody.
_MIX = (*("dead",) * 4, *("delivered",) * 3, "cancelled", "dead", "superseded")
_PER_ENTITY = 5


async def run(folder: Path, *, quick: bool) -> list[Row]:
    deliveries = 4_000 if quick else 100_000
    async with Sink() as sink:
        targets = {name: target(sink.url(f"/{name}")) for name in TARGETS}
        async with Stage(folder / "stage", sink, targets=targets) as stage:
            began = time.perf_counter()
            made = await _history(stage, deliveries)
            print(f"  {deliveries:,} deliveries made in {time.perf_counter() - began:.0f} s", file=sys.stderr)
            return await _replay(stage, sink, made, deliveries)


# The past ----------------------------------------------------------------------------------------------


async def _history(stage: Stage, deliveries: int) -> Counter[str]:
    """Deliveries in mixed states, through the store's own scripts; how many are in each."""
    lanes = [Lane(target=n, concurrency=10_000, per_second=None, burst=1, limiter=n, dedupes=True) for n in TARGETS]
    states: Counter[str] = Counter()
    numbers: dict[str, int] = {}
    for start in range(0, deliveries // len(TARGETS), BATCH):
        batch = range(start, min(start + BATCH, deliveries // len(TARGETS)))
        events = [plain("past", n, portal=PLAIN, entity_id=f"past{n // _PER_ENTITY}") for n in batch]
        numbers.update({event.id: n for event, n in zip(events, batch, strict=True)})
        await stage.store.accept(events, now=time.time())
        while True:
            now = time.time()
            claim = await stage.store.claim(lanes, now=now, lease=60, most_events=10_000, most_deliveries=10_000)
            if not claim.events and not claim.deliveries:
                break
            await asyncio.gather(*(stage.store.finish(_finished(one.id, one.token), now=now) for one in claim.events))
            ends = [(one, _end(numbers[one.id], one.target)) for one in claim.deliveries]
            await asyncio.gather(*(stage.store.settle(_settled(one, end), now=now) for one, end in ends))
            states.update(end for _, end in ends)
            for one, end in ends:
                if end == "cancelled":
                    await stage.store.cancel(one.id, one.target, now=now, reason="not needed")
    return states


def _end(number: int, target_: str) -> str:
    return _MIX[(number + TARGETS.index(target_)) % len(_MIX)]


def _finished(id_: str, token: int) -> Finished:
    envelope = (
        f'{{"specversion":"1.0","id":"{id_}","source":"urn:planday:portal:{PLAIN}","type":"planday.shift.created",'
        f'"subject":"shift/1","portalid":"{PLAIN}","relayorigin":"native","data":{{"object":null,'
        '"enrichment":{"state":"none","missing":["portal: not configured"],"fetched_at":"2026-01-01T00:00:00Z"}}}'
    )
    return Finished(id=id_, token=token, envelope=envelope.encode(), targets=TARGETS, refusals={})


def _settled(one: Any, end: str) -> Settled:
    state = DeliveryState.DEAD if end == "cancelled" else DeliveryState(end)
    outcome = Outcome.DELIVERED if end == "delivered" else Outcome.REJECTED
    now = time.time()
    attempt = Attempt(number=1, started_at=now, ended_at=now, outcome=outcome, reason="as it was", status=202)
    return Settled(id=one.id, target=one.target, token=one.token, state=state, reason="made up", attempt=attempt)


# The replay --------------------------------------------------------------------------------------------


async def _replay(stage: Stage, sink: Sink, made: Counter[str], deliveries: int) -> list[Row]:
    # What the far sides saw: (event, target, key, plan or "") -> how often.
    seen: Counter[tuple[str, str, str, str]] = Counter()
    for name in TARGETS:
        sink.far(f"/{name}").note = lambda headers, name=name: _note(seen, name, headers)
    replays, plans = _replays(stage)
    await stage.redis.config_set("slowlog-log-slower-than", "20000")
    await stage.redis.slowlog_reset()
    began = time.perf_counter()
    plan = await replays.plan(PlanRequest(states=("dead", "cancelled", "superseded"), by="bench", reason="bench"))
    chosen_in = time.perf_counter() - began
    slow = len(await stage.redis.slowlog_get(100))
    wanted = {(one["target"], one["state"]): one for one in plan["counts"]}
    to_send = sum(one["first"] for one in wanted.values())
    older = sum(one["superseded"] for one in wanted.values())
    items = [item.split(":") for item in await plans.items(plan["id"], start=0, most=deliveries)]
    await stage.start_web()
    await stage.start_worker("worker-1")
    began = time.perf_counter()
    stage.start("run", "relay.cli.main", "replay", "run", plan["id"], "--no-wait")
    await _until(lambda: _has_other_owner(stage, stage.keys.plan_lock(plan["id"]), None))
    await stage.start_worker("worker-2")
    live = asyncio.create_task(_live(stage, sink, seconds=max(deliveries / 2500, 5)))
    kills = await _kill_in_the_middle(stage, replays, plan)
    status = await _ended(replays, plan["id"])
    took = time.perf_counter() - began
    lags = await live
    sent = {(event, name) for event, name, _, of in seen if of == plan["id"]}
    keys: dict[tuple[str, str], set[str]] = {}
    for event, name, key, _ in seen:
        keys.setdefault((event, name), set()).add(key)
    again = sum(count - 1 for (*_, of), count in seen.items() if of == plan["id"] and count > 1)
    opened, superseded = status["results"].get("opened", 0), status["results"].get("superseded", 0)
    named = {(event, name) for event, name, _, _ in items}
    return [
        at_most(f"choosing from {sum(made.values()):,} deliveries in mixed states", chosen_in, "s", 3),
        at_most("  calls that kept Redis for more than 20 ms", slow, "", 0),
        Row(f"replayed by 2 workers, of which the one that ran it was killed {kills} times", opened / took, "/s"),
        at_most("planned to be sent, but not opened", abs(to_send - opened), "", 0),
        at_most("planned to be superseded, but not", abs(older - superseded), "", 0),
        at_most("opened, but not delivered", opened - status["ends"].get("delivered", 0), "", 0),
        at_most("delivered, but not in the plan", len(sent - named), "", 0),
        at_most("opened, but never seen at the target", opened - len(sent), "", 0),
        at_most("delivered under more than one key", sum(len(one) > 1 for one in keys.values()), "", 0),
        Row("  delivered once more under the same key, by the kills", again, ""),
        at_most(f"new events meanwhile at {LIVE_PER_SECOND}/s: sent to arrival, p95", _share(lags, 0.95), "s", 2),
        Row("  p50", _share(lags, 0.5), "s"),
        Row("  the longest", max(lags), "s"),
        Row("  new events", len(lags), ""),
    ]


def _note(seen: Counter[tuple[str, str, str, str]], name: str, headers: Mapping[bytes, bytes]) -> None:
    def text(header: bytes) -> str:
        return headers.get(header, b"").strip().decode()

    seen[text(b"webhook-id"), name, text(b"idempotency-key"), text(b"planday-relay-replay")] += 1


def _replays(stage: Stage) -> tuple[Replays, Plans]:
    settings = load(stage.environment(), role="store")
    plans = Plans(stage.redis, stage.keys)
    replays = Replays(
        plans=plans,
        reading=Reading(stage.redis, stage.keys),
        targets=settings.targets,
        portals=settings.portals,
        audit=Audit(stage.redis, stage.keys),
        outside=Outside(clock=time.time),
    )
    return replays, plans


async def _live(stage: Stage, sink: Sink, *, seconds: float) -> list[float]:
    """New events at a steady rate; from sending to arrival at the later of both targets."""
    count = int(LIVE_PER_SECOND * seconds)
    pairs = loader.requests("live", count, portal=PLAIN, secret=SOURCE_SECRET)
    outcome = await loader.steady(stage.web_port, pairs, per_second=LIVE_PER_SECOND)
    fars = [sink.far(f"/{name}") for name in TARGETS]
    ids = {name: event_id("bench", name) for name, _ in pairs}
    end = time.monotonic() + 60
    for far in fars:
        while any(id_ not in far.arrivals for id_ in ids.values()):
            if time.monotonic() > end:
                raise RuntimeError("new events did not arrive")
            await asyncio.sleep(0.05)
    return [max(far.arrivals[id_] for far in fars) - outcome.sent_at[name] for name, id_ in ids.items()]


async def _kill_in_the_middle(stage: Stage, replays: Replays, plan: Mapping[str, Any]) -> int:
    """Kill the worker that runs the plan at given parts of the way; another takes it up, and one more is started.

    Worker 1 runs it at first, since it was alone; then the one that is left.
    """
    lock = stage.keys.plan_lock(plan["id"])
    for number, share in enumerate(_KILLS_AT, start=1):
        await _until(lambda share=share: _has_come(replays, plan, share))  # type: ignore[misc]
        runner = await stage.redis.get(lock)
        stage.kill(f"worker-{number}")
        await _until(lambda runner=runner: _has_other_owner(stage, lock, runner))  # type: ignore[misc]
        await stage.start_worker(f"worker-{number + 2}")
    return len(_KILLS_AT)


async def _has_come(replays: Replays, plan: Mapping[str, Any], share: float) -> bool:
    return bool((await replays.status(plan["id"]))["done"] >= share * plan["total"])


async def _has_other_owner(stage: Stage, lock: str, runner: bytes | None) -> bool:
    return (await stage.redis.get(lock)) not in (None, runner)


async def _until(true: Callable[[], Awaitable[bool]], *, seconds: float = 300) -> None:
    end = time.monotonic() + seconds
    while not await true():
        if time.monotonic() > end:
            raise RuntimeError("it did not come to that")
        await asyncio.sleep(0.02)


async def _ended(replays: Replays, plan: str) -> dict[str, Any]:
    async def ended() -> bool:
        return bool((await replays.status(plan))["state"] == "ended")

    await _until(ended)
    return await replays.status(plan)


def _share(lags: Sequence[float], share: float) -> float:
    return sorted(lags)[min(int(len(lags) * share), len(lags) - 1)]


async def _main(quick: bool) -> int:
    with tempfile.TemporaryDirectory() as folder:
        rows = await run(Path(folder), quick=quick)
    print(table(rows))
    return 1 if any(row.kept is False for row in rows) else 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="bench.replay", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="few deliveries, to see that it runs")
    sys.exit(asyncio.run(_main(parser.parse_args().quick)))
