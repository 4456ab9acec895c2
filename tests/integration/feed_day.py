"""A day of the change feed, judged: a living portal, feeds that die at random, and every change counted.

The judge (relay.simulator.oracle) knows only the simulator's own record of changes and when each feed looked. What it
expects and what the store holds are compared as multisets of (look, type, entity, id): nothing missed, nothing doubled,
nothing invented.

    python -m tests.integration.feed_day            # 24 h, 200 people, three seeds; then each switch over a shorter day
"""

from __future__ import annotations

import asyncio
import random
import sys
import tempfile
from collections import Counter
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import redis.asyncio

from relay import telemetry
from relay.events import Event
from relay.fields import NOT_COMPARED, FieldList, Keep
from relay.simulator.flavours import BISTRO
from relay.simulator.identity import PAYROLL_SCOPES
from relay.simulator.life import Life
from relay.simulator.oracle import Expected
from relay.store.feeds import FeedStore
from relay.store.server import EmbeddedServer
from tests.integration.feed_line import FeedLine
from tests.integration.feed_verdict import Tally, Verdict
from tests.integration.planday_world import World

KINDS: Mapping[str, tuple[str, ...]] = {
    "shifts": ("shift",),
    "punchclock": ("punchclock_entry",),
    "employees": ("employee",),
    "absence": ("absence_request", "absence_record"),
    "payroll": ("payroll_line",),
    "reference": ("department", "employee_group", "position"),
}
FIELDS = ("class:A", "class:B", "class:C", "class:E", "class:G")
# What the judge names otherwise than we do.
_OURS = {"payroll_line": {"start": "startDateTime", "end": "endDateTime", "approved": "isApproved"}}
# What the wire and the judge write alike.
_SAME_WORDS = frozenset(
    (
        *("status", "employeeId", "departmentId", "startDateTime", "endDateTime", "date", "positionId", "shiftId"),
        *("isApproved", "shiftStartDateTime", "shiftEndDateTime", "absencePeriod", "name", "number", "salary"),
        *("departments", "employeeGroups", "salaryIdentifier", "firstName", "lastName", "employeeGroupId"),
    )
)
_OFTEN = timedelta(days=3)

# What Planday does not document, each turned to its less likely side (planday-api.md 14).
SWITCHES: Mapping[str, Mapping[str, Any]] = {
    "nulls present": {"nulls": "present"},
    "nulls omitted": {"nulls": "omit"},
    "times in UTC": {"datetimes": "utc"},
    "times with an offset": {"datetimes": "offset"},
    "times with seconds": {"datetimes": "local_seconds"},
    "modifiedFrom inclusive": {"modified_from": "inclusive"},
    "deletedFrom exclusive": {"deleted_from": "strict"},
    "deactivatedFrom exclusive": {"deactivated_from": "strict"},
    "deactivated by modified time": {"deactivated_by": "dateTimeModified"},
    "future dismissals listed": {"future_dismissals_deactivated": True},
    "pages of 7": {"page_size_cap": 7},
    "no paging": {"paging_null": True},
    "any order": {"order": "unstable"},
    "last modified first": {"order": "modified"},
    "a row comes between pages": {"insert_between_pages": True},
    "a row goes between pages": {"delete_between_pages": True},
    "refresh tokens rotate": {"rotate_refresh_tokens": True},
    "punch window overlaps": {"punch_window": "overlap"},
    "punch window ends before": {"punch_window_end": "exclusive"},
    "a year of shifts refused": {"shifts_max_days": 31},
    "Planday's page limits refuse": {"hr_over_max": "400", "absence_over_max": "400", "punchclock_over_max": "400"},
    "renames move shifts": {"rename_moves_shifts": True},
    "approval moves times": {"approval_moves_times": True},
    "deactivated by the day": {"deactivated_by": "deactivationDate"},
    "drafts are not listed": {"drafts_listed": False},
    "shifts of two weeks unless asked": {"shifts_default_days": 14},
    "punches show a minute late": {"punch_latency": 60},
    "no unknown fields": {"unknown_fields": False},
    "headers are not checked": {"strict_headers": False},
}


class _Killed(BaseException):
    """The end of a process, at any moment; no handler of ours sees it."""


class _Mortal:
    """Between a process and its store: the process dies at the call for which the fuse was set, before or after it."""

    def __init__(self, store: FeedStore) -> None:
        self._store = store
        self.fuse: int | None = None
        self.answered = False

    def __getattr__(self, name: str) -> Any:
        verb = getattr(self._store, name)

        async def call(*args: Any, **named: Any) -> Any:
            dies = self._burn()
            if dies and not self.answered:
                raise _Killed
            answer = await verb(*args, **named)
            if dies:
                raise _Killed
            return answer

        return call

    def _burn(self) -> bool:
        if self.fuse is None:
            return False
        self.fuse -= 1
        return self.fuse < 0


class Day:
    """One portal's life and the processes that watch it, one after another."""

    def __init__(self, world: World, *, seed: int, people: int, switches: Mapping[str, Any] | None = None) -> None:
        self.world = world
        world.simulator.settings.change(dict(switches or {}))
        self._other_words = "datetimes" in (switches or {})
        self.life = Life(world.simulator, BISTRO, seed=seed, people=people)
        self._chance = random.Random(seed)
        self._keep = Keep([FieldList(FIELDS)])
        self.looks: dict[str, list[tuple[int, bool, float]]] = {feed: [] for feed in KINDS}
        self._ends: dict[str, list[float]] = {feed: [] for feed in KINDS}
        self.kills = 0
        self.troubles: list[str] = []
        self._line = self._process()

    def _process(self) -> FeedLine:
        """Another process: it shares nothing with the one before but Redis."""
        return FeedLine(
            self.world, feeds=tuple(KINDS), heard=self._hear, mortal=self._lives, hours={"fields": list(FIELDS)}
        )

    def _lives(self, store: FeedStore) -> _Mortal:
        self._mortal = _Mortal(store)
        return self._mortal

    def _hear(self, happening: telemetry.Happening) -> None:
        if isinstance(happening, telemetry.FeedLooked):
            self.looks[happening.feed].append((len(self.world.simulator.changes), happening.whole, happening.at))
            self._ends[happening.feed].append(happening.at + happening.seconds)
        elif isinstance(happening, telemetry.FeedTrouble | telemetry.OwnFault):
            self.troubles.append(str(happening))

    async def run(self, hours: float, *, kills: int = 0) -> Verdict:
        """Live so long (simulated), with so many processes killed at random moments of it."""
        first = self.world.clock.now()
        deaths = sorted(self._chance.uniform(600, hours * 3600) for _ in range(kills))
        await self._line.look("bistro")
        self.world.simulator.budget.clear()

        async def step(clock: Any) -> None:
            if deaths and (clock.now() - first).total_seconds() >= deaths[0]:
                if await self._die():
                    deaths.pop(0)
            else:
                await self._line.look("bistro")

        await self.life.run_async(first + timedelta(hours=hours), on_step=step)
        # Whoever died last may have left a lock: everything is looked at once more, after it has given way.
        self.world.clock.advance(4000)
        await self._line.look("bistro")
        return await self._judge()

    async def _die(self) -> bool:
        """Look, and be killed somewhere in it; then another process looks, at the same instant.

        At the same instant, because the judge does not know what a killed look had stored; that another process takes
        over once the lock gives way is tested for itself.
        """
        self._mortal.fuse = self._chance.randrange(0, 12)
        self._mortal.answered = self._chance.random() < 0.5
        try:
            await self._line.look("bistro")
        except _Killed:
            self.kills += 1
            locks = [key async for key in self.world.redis.scan_iter(match=self.world.keys.planday_lock("feed:*"))]
            if locks:
                await self.world.redis.unlink(*locks)
            self._line = self._process()
            await self._line.look("bistro")
            return True
        self._mortal.fuse = None
        return False

    async def _judge(self) -> Verdict:
        told = await self._told()
        kinds = {kind: self._compare(feed, kind, told) for feed, kinds in KINDS.items() for kind in kinds}
        report = self.world.simulator.budget.report()["portals"][str(BISTRO)]
        return Verdict(
            changes=len(self.life.changes),
            kills=self.kills,
            kinds=kinds,
            requests=report["requests"],
            mean_percent=report["meanPercent"],
            max_percent=report["maxPercent"],
            refused=report["refused"],
            unexpected=self.world.unexpected(),
            troubles=self.troubles,
        )

    async def _told(self) -> list[Event]:
        found = []
        for name in await self.world.redis.zrange(self.world.keys.events, 0, -1):
            body = await self.world.redis.get(self.world.keys.body(name.decode()))
            assert body is not None
            found.append(Event.from_json(body.split(b"\n")[0]))
        return found

    def _compare(self, feed: str, kind: str, told: list[Event]) -> Tally:
        looks = self.looks[feed]
        fields = (self._keep.fields(kind, ("object",)) - NOT_COMPARED[kind]) | _OURS.get(kind, {}).keys()

        def reads(_entity: str, record: Mapping[str, Any], look: int) -> bool:
            if kind != "punchclock_entry":
                return True
            _, whole, at = looks[look]
            first = datetime.fromtimestamp(at, UTC).date() - _OFTEN
            return whole or date.fromisoformat(record["startDateTime"][:10]) >= first

        expected = self.life.coalesced(
            self._counts(kind), entities=[kind], fields=fields, reads=reads, lists=self._listed
        )
        want = {(one.look, type_, str(one.id)): one for one in expected for type_ in one.types}
        # A killed look has stored some of what it saw: the next one that ends is the one that the judge knows.
        ends = self._ends[feed]
        got = [
            (
                (
                    next(n for n, end in enumerate(ends) if end >= event.received_at - 0.001),
                    event.type,
                    event.entity_id,
                ),
                event,
            )
            for event in told
            # Supplements have no id of Planday's, so the judge cannot name them.
            if event.entity == kind and not event.entity_id.startswith(("s", "m"))
        ]
        missed, extra = Counter(want.keys()), Counter(key for key, _ in got)
        missed, extra = missed - extra, extra - missed
        return Tally(
            expected=len(want),
            told=len(got),
            missed=list(missed.elements()),
            extra=list(extra.elements()),
            wrong=[key for key, event in got if key in want and not self._agree(want[key], event)],
        )

    def _counts(self, kind: str) -> list[Any]:
        """When a kind was looked at, as the judge is to know it: punches may show later than they happen."""
        late = self.world.simulator.settings.punch_latency if kind == "punchclock_entry" else 0
        looks = self.looks[next(feed for feed, kinds in KINDS.items() if kind in kinds)]
        return [datetime.fromtimestamp(at - late, UTC) if late else count for count, _, at in looks]

    def _listed(self, entity: str, record: Mapping[str, Any]) -> bool:
        return self.world.simulator.settings.drafts_listed or entity != "shift" or record["status"] != "Draft"

    def _agree(self, expected: Expected, event: Event) -> bool:
        """Whether an event holds what the judge says differs; what appeared or went is told whole, or not at all."""
        if not expected.before or not expected.after or self._other_words:
            return True
        seen = event.seen
        assert seen is not None
        ours = _OURS.get(event.entity, {})
        before, after = (
            {ours.get(n, n): value for n, value in side.items()} for side in (expected.before, expected.after)
        )
        names = [name for name in after if name in _SAME_WORDS]
        return (
            set(names) == set(seen.changed) & _SAME_WORDS
            and [seen.before.get(name) for name in names] == [before[name] for name in names]
            and [seen.after.get(name) for name in names] == [after[name] for name in names]
        )


async def one_day(
    url: str,
    prefix: str,
    *,
    seed: int,
    people: int,
    hours: float,
    kills: int = 0,
    switches: Mapping[str, Any] | None = None,
) -> Verdict:
    """A whole day on a store of its own prefix."""
    client = redis.asyncio.Redis.from_url(url)
    try:
        world = World(client, prefix, scopes=PAYROLL_SCOPES)
        return await Day(world, seed=seed, people=people, switches=switches).run(hours, kills=kills)
    finally:
        await client.aclose()


async def _long(url: str) -> bool:
    clean = True
    for seed in (1, 2, 3):
        verdict = await one_day(url, f"day{seed}:", seed=seed, people=200, hours=24, kills=5)
        print(f"seed {seed}, 24 h, 200 people: {verdict.line()}", *verdict.faults(), sep="\n    ", flush=True)
        clean = clean and verdict.clean
    for number, (name, switches) in enumerate(SWITCHES.items()):
        verdict = await one_day(url, f"switch{number}:", seed=7, people=40, hours=3, kills=1, switches=switches)
        print(f"{name}, 3 h, 40 people: {verdict.line()}", *verdict.faults(), sep="\n    ", flush=True)
        clean = clean and verdict.clean
    return clean


def main() -> None:
    """The long form; exit code 1 when anything was missed, doubled, refused or unexpected."""
    with tempfile.TemporaryDirectory() as folder, EmbeddedServer(Path(folder), appendfsync="everysec") as server:
        if not asyncio.run(_long(server.url)):
            sys.exit(1)


if __name__ == "__main__":
    main()
