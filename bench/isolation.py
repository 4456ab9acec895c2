"""A bad target hurts nobody else, and no target is sent to faster or wider than it is set.

A backlog goes to a healthy target alone; then to it and two bad ones, of which one answers after 30 s and the other
refuses connections, or answers 500. The healthy one's figures are compared. Then a target with a rate and a
concurrency of its own is measured at the sink, with two workers.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench import loader
from bench.fill import fill
from bench.lines import lags
from bench.rows import Row, at_least, at_most
from bench.sink import Sink
from bench.stage import PLAIN, SOURCE_SECRET, Stage, free_port, target

SLOW = 30.0
PER_SECOND, BURST, CONCURRENCY = 50, 1, 8
_ALLOWED = 2.0  # times the undisturbed value


@dataclass(frozen=True, slots=True)
class Healthy:
    """The healthy target's figures: times in seconds."""

    drained: float
    """From the first arrival until 99 % of the backlog had come."""
    lags: Sequence[float]
    """From a sender's request to arrival, while the bad ones' backlog waits."""

    @property
    def p99(self) -> float:
        return sorted(self.lags)[int(len(self.lags) * 0.99)]


async def run(folder: Path, *, quick: bool) -> list[Row]:
    backlog, live = (4_000, 200) if quick else (50_000, 1_000)
    rows: list[Row] = []
    async with Sink() as sink:
        sink.far("/slow").delay = SLOW
        sink.far("/failing").status = 500
        slow = target(sink.url("/slow"), 'retry = { timeout = "45s" }')
        alone = await _healthy(folder / "alone", sink, {}, backlog=backlog, live=live)
        rows.append(Row(f"healthy target alone: rate over {backlog:,} waiting", backlog * 0.99 / alone.drained, "/s"))
        rows.append(Row("  sent to arrival at 50/s, p99", alone.p99 * 1000, "ms"))
        for name, url in (
            ("refuses connections", f"http://127.0.0.1:{free_port()}/"),
            ("answers 500", sink.url("/failing")),
        ):
            bad = {"slow": slow, "broken": target(url, "")}
            beside = await _healthy(folder / name.split()[0], sink, bad, backlog=backlog, live=live)
            rate = backlog * 0.99 / beside.drained
            rows += [
                at_least(
                    f"beside one of 30 s and one that {name}: rate",
                    rate,
                    "/s",
                    round(backlog * 0.99 / alone.drained / _ALLOWED, 1),
                    bare=backlog * 0.99 / alone.drained,
                ),
                at_most(
                    "  sent to arrival at 50/s, p99",
                    beside.p99 * 1000,
                    "ms",
                    round(alone.p99 * 1000 * _ALLOWED, 1),
                    bare=alone.p99 * 1000,
                ),
                Row("  sent to arrival at 50/s, median", statistics.median(beside.lags) * 1000, "ms"),
                Row("  requests at the slow one / the broken one", *_requests(sink)),
            ]
        rows += await _limits(folder / "limits", sink, count=200 if quick else 1_000)
    return rows


def _requests(sink: Sink) -> tuple[float, str]:
    return float(len(sink.far("/slow").starts)), f"/ {len(sink.far('/failing').starts)}"


async def _healthy(folder: Path, sink: Sink, bad: Mapping[str, str], *, backlog: int, live: int) -> Healthy:
    far = sink.far("/healthy")
    for path in ("/healthy", "/slow", "/failing"):
        sink.far(path).clear()
    targets = {"healthy": target(sink.url("/healthy")), **bad}
    async with Stage(folder, sink, targets=targets) as stage:
        await fill(stage.store, "backlog", backlog, portal=PLAIN)
        await stage.start_web()
        await stage.start_worker()
        if not await far.wait_for(backlog, seconds=300):
            raise RuntimeError(f"only {len(far.arrivals)} of {backlog} arrived at the healthy target")
        times = sorted(far.arrivals.values())
        drained = times[int(backlog * 0.99) - 1] - times[0]
        far.clear()
        pairs = loader.requests("live", live, portal=PLAIN, secret=SOURCE_SECRET)
        outcome = await loader.steady(stage.web_port, pairs, per_second=50)
        if not await far.wait_for(live, seconds=60):
            raise RuntimeError(f"only {len(far.arrivals)} of {live} live events arrived at the healthy target")
        return Healthy(drained, lags(outcome, far))


async def _limits(folder: Path, sink: Sink, *, count: int) -> list[Row]:
    """Two workers, a backlog, and a target whose rate binds first, then one whose concurrency does."""
    rate, wide = sink.far("/rate"), sink.far("/wide")
    rate.delay, wide.delay = 0.05, 0.4
    limited = f"rate = {{ per_second = {PER_SECOND}, burst = {BURST}, concurrency = {CONCURRENCY} }}"
    targets = {"rate": target(sink.url("/rate"), limited), "wide": target(sink.url("/wide"), limited)}
    async with Stage(folder, sink, targets=targets) as stage:
        await fill(stage.store, "limits", count, portal=PLAIN)
        for name in ("worker-1", "worker-2"):
            await stage.start_worker(name)
        if not await rate.wait_for(count, seconds=count / PER_SECOND * 2 + 30):
            raise RuntimeError(f"only {len(rate.arrivals)} of {count} arrived at the limited target")
        return [
            at_most(
                f"{PER_SECOND}/s, 2 workers: most in any second at the sink", rate.most_in(1.0), "", PER_SECOND + BURST
            ),
            Row("  reached over the whole backlog", count / (rate.starts[-1] - rate.starts[0]), "/s"),
            at_most(
                f"concurrency {CONCURRENCY}, 2 workers: most under way at the sink",
                wide.most_under_way,
                "",
                CONCURRENCY,
            ),
            at_most("  most in any second at the sink", wide.most_in(1.0), "", PER_SECOND + BURST),
        ]
