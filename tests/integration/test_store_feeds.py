"""What the change feed remembers, against a real Redis: a snapshot and its events are written together, once."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Sequence

import pytest
import redis.asyncio as aioredis
from hypothesis import given, settings
from hypothesis import strategies as st

from relay.errors import BacklogFull
from relay.events import Event, Origin, event_id
from relay.feed.compare import Look, appeared_or_changed
from relay.jobs import Jobs
from relay.planday.models import Record
from relay.store.client import command, connect
from relay.store.feeds import FeedStore, Observation
from tests.integration.test_store import T0, Bench

PORTAL = 4100001
DAY = 739_000
numbers = itertools.count(1)


class FeedBench(Bench):
    """A store and what the feed remembers, below one prefix."""

    def __init__(self, client: aioredis.Redis, prefix: str, *, backlog_limit: int = 1000) -> None:
        super().__init__(client, prefix, backlog_limit=backlog_limit)
        jobs = Jobs(prefix, self.keys.queue)
        self.feeds = FeedStore(client, self.keys, backlog_limit=backlog_limit, bell=jobs.bell)

    def found(self, number: int = 1, *, expected: str = "", version: str = "v1", **changes: object) -> Observation:
        """One record as a look found it, with one event that tells so."""
        name = f"{number}:updated:{version}"
        event = Event(
            id=event_id("feed", name),
            source="feed",
            sender_id=name,
            type="planday.shift.updated",
            portal=PORTAL,
            entity="shift",
            entity_id=str(number),
            received_at=T0,
            origin=Origin.DERIVED,
        )
        values: dict[str, object] = {"snapshot": b'{"f":{}}', "day": DAY, "read_at": T0, "events": (event,)}
        return Observation(id=str(number), expected=expected, version=version, **{**values, **changes})  # type: ignore[arg-type]

    async def observe(self, *found: Observation) -> list[bool]:
        return await self.feeds.observe(PORTAL, "shift", found, now=T0)

    async def stored(self, *ids: int) -> dict[str, tuple[str, float, bytes]]:
        found = await self.feeds.snapshots(PORTAL, "shift", [str(id_) for id_ in ids])
        return {id_: (one.version, one.read_at, one.body) for id_, one in found.items()}

    async def accepted(self) -> int:
        return int(await command(self.client, "ZCARD", self.keys.open))


@pytest.fixture
def bench(redis_client: aioredis.Redis, prefix: str) -> FeedBench:
    return FeedBench(redis_client, prefix)


async def test_a_mark_is_written_in_part_and_read_whole(bench: FeedBench) -> None:
    assert await bench.feeds.mark(PORTAL, "shifts") == {}
    await bench.feeds.save_mark(PORTAL, "shifts", {"read_to": 1.5, "first": 1})
    await bench.feeds.save_mark(PORTAL, "shifts", {"read_to": 2.5}, remove=["first"])
    assert await bench.feeds.mark(PORTAL, "shifts") == {"read_to": "2.5"}
    assert await bench.feeds.mark(PORTAL + 1, "shifts") == {}


async def test_a_snapshot_is_written_with_its_events(bench: FeedBench) -> None:
    """The body comes back byte for byte, line breaks too, and the event is one that a drain claims."""
    found = bench.found(snapshot=b'{"f":{"a":1}}\nb\n', read_at=T0 + 0.25)
    assert await bench.observe(found) == [True]
    assert await bench.stored(1, 2) == {"1": ("v1", T0 + 0.25, b'{"f":{"a":1}}\nb\n')}
    claim = await bench.claim()
    assert [one.id for one in claim.events] == [found.events[0].id]
    assert claim.events[0].newest is None


async def test_what_somebody_else_wrote_meanwhile_stays(bench: FeedBench) -> None:
    """A snapshot that is not the expected one is left, and its observation's events are not accepted."""
    assert await bench.observe(bench.found(1), bench.found(2)) == [True, True]
    late = [bench.found(1, version="v2"), bench.found(2, expected="v1", version="v2")]
    late += [bench.found(3, expected="v1", version="v2"), bench.found(2, expected="v1", version="v3")]
    assert await bench.observe(*late) == [False, True, False, False]
    assert {id_: one[0] for id_, one in (await bench.stored(1, 2, 3)).items()} == {"1": "v1", "2": "v2"}
    assert await bench.accepted() == 3


async def test_an_event_that_was_accepted_before_is_not_accepted_again(bench: FeedBench) -> None:
    """Its snapshot is still written, so that the feed goes on."""
    found = bench.found(1)
    await bench.store.accept(found.events, now=T0)
    assert await bench.observe(found) == [True]
    assert await bench.accepted() == 1
    assert int(await command(bench.client, "HGET", bench.keys.counters, "accepted")) == 1


async def test_a_removed_snapshot_leaves_nothing(bench: FeedBench) -> None:
    await bench.observe(bench.found(1))
    assert await bench.observe(bench.found(1, expected="v1", version="gone", snapshot=None)) == [True]
    assert await bench.stored(1) == {}
    assert await bench.feeds.known(PORTAL, "shift") == []


async def test_a_full_backlog_refuses_snapshots_with_events_and_no_others(
    redis_client: aioredis.Redis, prefix: str
) -> None:
    """Nothing of the batch is written, so the next look finds the same; taking note without telling still works."""
    bench = FeedBench(redis_client, prefix, backlog_limit=1)
    await bench.store.accept([bench.event()], now=T0)
    with pytest.raises(BacklogFull):
        await bench.observe(bench.found(1, events=()), bench.found(2))
    assert await bench.stored(1, 2) == {}
    assert await bench.observe(bench.found(1, events=())) == [True]


async def test_a_batch_rings_one_bell_and_only_when_something_is_due(bench: FeedBench) -> None:
    assert await bench.observe(bench.found(1, events=())) == [True]
    assert await command(bench.client, "ZCARD", bench.keys.queue) == 0
    assert all(await bench.observe(*(bench.found(number) for number in range(2, 40))))
    assert await command(bench.client, "ZCARD", bench.keys.queue) == 1
    assert await command(bench.client, "LLEN", bench.keys.wake) == 1
    for job in await command(bench.client, "ZRANGE", bench.keys.queue, 0, -1):
        await command(bench.client, "DEL", f"arq:job:{job.decode()}")


async def test_many_records_are_written_and_read_in_slices(bench: FeedBench) -> None:
    found = [bench.found(number, events=(), day=DAY + number % 10) for number in range(1, 1203)]
    assert await bench.observe(*found) == [True] * 1202
    assert len(await bench.stored(*range(1, 1300))) == 1202
    assert len(await bench.feeds.known(PORTAL, "shift")) == 1202


async def test_records_are_known_by_day_and_old_ones_are_forgotten(bench: FeedBench) -> None:
    """Both ends of a range count; what has no day is in no range that begins at one, and is never forgotten."""
    days = {1: 0, 2: DAY - 1, 3: DAY, 4: DAY + 1}
    await bench.observe(*(bench.found(number, events=(), day=day) for number, day in days.items()))
    assert await bench.feeds.known(PORTAL, "shift", first=DAY, last=DAY + 1) == ["3", "4"]
    assert await bench.feeds.known(PORTAL, "shift", first=DAY + 1) == ["4"]
    assert await bench.feeds.known(PORTAL, "shift", last=DAY - 1) == ["1", "2"]
    assert await bench.feeds.known(PORTAL, "employee") == []
    assert await bench.feeds.trim(PORTAL, "shift", before=DAY + 1) == 2
    assert await bench.feeds.known(PORTAL, "shift") == ["1", "4"]
    assert sorted(await bench.stored(1, 2, 3, 4)) == ["1", "4"]
    assert await bench.feeds.trim(PORTAL, "shift", before=DAY + 1) == 0


async def test_many_old_records_are_forgotten_in_slices(bench: FeedBench) -> None:
    await bench.observe(*(bench.found(number, events=()) for number in range(1100)))
    assert await bench.feeds.trim(PORTAL, "shift", before=DAY + 1) == 1100
    assert not await command(bench.client, "EXISTS", bench.keys.snapshots(PORTAL, "shift"))


# Two runners ----------------------------------------------------------------------------------------

steps = st.lists(
    st.one_of(
        st.tuples(st.just("edit"), st.sampled_from(("Approved", "Assigned", "Open"))),
        st.tuples(st.sampled_from(("read", "load", "write")), st.sampled_from((0, 1))),
    ),
    min_size=8,
    max_size=40,
)


class Runner:
    """One of two processes that look at the same record, stopped between any two of its steps."""

    def __init__(self, bench: FeedBench) -> None:
        self.bench = bench
        self.row: tuple[float, str, str] | None = None
        self.found: Observation | None = None

    def read(self, at: float, modified: str, status: str) -> None:
        self.row, self.found = (at, modified, status), None

    async def load(self) -> None:
        """Compare the row that was read with what is stored now."""
        if self.row is None:
            return
        at, modified, status = self.row
        stored = (await self.bench.feeds.snapshots(PORTAL, "shift", ["1"])).get("1")
        look = Look(portal=PORTAL, kind="shift", at=at, kept=frozenset({"status", "dateTimeModified"}))
        record = Record(fields={"id": 1, "status": status, "dateTimeModified": modified}, at=at)
        self.found = appeared_or_changed(look, "1", record, stored)

    async def write(self) -> tuple[Event, ...]:
        found, self.found = self.found, None
        if found is None or not (await self.bench.observe(found))[0]:
            return ()
        return found.events


async def _tell(bench: FeedBench, story: Sequence[tuple[str, object]], *, has_modified: bool) -> None:
    runners = [Runner(bench), Runner(bench)]
    at, status, version = T0, "Open", 0
    told: list[Event] = []
    for what, value in [*story, ("read", 0), ("load", 0), ("write", 0)]:
        at += 1
        if what == "edit":
            version, status = version + 1, str(value)
            continue
        runner = runners[int(str(value))]
        if what == "read":
            stamp = f"2026-10-24T10:{version // 60:02}:{version % 60:02}Z" if has_modified else ""
            runner.read(at, stamp, status)
        elif what == "load":
            await runner.load()
        else:
            told += await runner.write()
    seen = [event.seen for event in told]
    reads = [one.read_at for one in seen if one is not None]
    assert reads == sorted(reads), "an older look was told after a newer one"
    assert len({event.id for event in told}) == len(told) == await bench.accepted()
    walk = list(dict.fromkeys((one.read_at, one.version) for one in seen if one is not None))
    names = [name for _, name in walk]
    assert all(before != after for before, after in itertools.pairwise(names)), "a state followed itself"
    if has_modified:
        assert len(set(names)) == len(names), "one state was reached twice"
    stored = await bench.feeds.snapshots(PORTAL, "shift", ["1"])
    assert f'"status":"{status}"'.encode() in stored["1"].body


@pytest.mark.parametrize("has_modified", [True, False])
def test_two_runners_tell_each_transition_once_and_never_go_back(
    redis_server: str, prefix: str, has_modified: bool
) -> None:
    """Whatever two processes do at once: the told states are a walk forward through the history, without repeats."""

    @settings(max_examples=60, deadline=None, database=None, derandomize=True)
    @given(story=steps)
    def any_story(story: Sequence[tuple[str, object]]) -> None:
        asyncio.run(_play(story))

    async def _play(story: Sequence[tuple[str, object]]) -> None:
        client = connect(redis_server)
        try:
            await _tell(FeedBench(client, f"{prefix}{next(numbers)}:"), story, has_modified=has_modified)
        finally:
            await client.aclose()

    any_story()
