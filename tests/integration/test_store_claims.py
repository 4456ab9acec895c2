"""Which events are one change: the claims that the route script keeps per record and type, against a real Redis."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest
import redis.asyncio as aioredis
from hypothesis import given, settings
from hypothesis import strategies as st

from relay.events import Event, EventState, opposites
from relay.store.client import command, connect
from relay.store.work import Finished
from tests.integration.test_store import T0, Bench, lane

UPDATED, APPROVED, UNAPPROVED = (f"planday.shift.{verb}" for verb in ("updated", "approved", "unapproved"))
stories = itertools.count(1)


@pytest.fixture
def bench(redis_client: aioredis.Redis, prefix: str) -> Bench:
    return Bench(redis_client, prefix)


async def told(
    bench: Bench, kind: str, *, accepted: float, read: float, version: str, since: float | None = None
) -> tuple[str, str]:
    """One event of record 9 through the line; its id, and what became of it."""
    event = bench.event("9", type_=kind)
    await bench.store.accept([event], now=T0 + accepted)
    return event.id, await finish(bench, event, read=read, version=version, since=since)


async def finish(bench: Bench, event: Event, *, read: float, version: str, since: float | None = None) -> str:
    claim = await bench.store.claim((lane(),), now=T0 + 9999, lease=10, most_events=1, most_deliveries=0)
    (claimed,) = claim.events
    assert claimed.id == event.id
    finished = Finished(
        id=claimed.id,
        token=claimed.token,
        envelope=b"{}",
        targets=("hours",),
        version=version,
        read_at=T0 + read,
        undone=opposites(event.type),
        since=None if since is None else T0 + since,
    )
    return await bench.store.finish(finished, now=T0 + 9999)


async def test_a_change_that_a_told_state_contains_is_not_told_again(bench: Bench) -> None:
    """Accepted ten seconds before the told state was read: that state holds it, whatever version it has."""
    first, _ = await told(bench, UPDATED, accepted=0, read=20, version="v2")
    assert (await told(bench, UPDATED, accepted=10, read=21, version="v1"))[1] == first


async def test_planday_may_show_a_change_seconds_later(bench: Bench) -> None:
    """Accepted less than ten seconds before the told state was read: it may not be in it, so it is told."""
    await told(bench, UPDATED, accepted=0, read=20, version="v1")
    assert (await told(bench, UPDATED, accepted=10.001, read=21, version="v2"))[1] == "routed"


async def test_another_type_is_not_covered_by_a_state_that_was_told(bench: Bench) -> None:
    await told(bench, UPDATED, accepted=0, read=10, version="v1")
    assert (await told(bench, APPROVED, accepted=0, read=10, version="v1"))[1] == "routed"


async def test_the_second_door_is_late_and_the_record_has_moved_on(bench: Bench) -> None:
    """A claim outlives the next version: another type's change does not make an old one new."""
    first, _ = await told(bench, APPROVED, accepted=0, read=15, version="v1")
    await told(bench, UPDATED, accepted=20, read=21, version="v2")
    assert (await told(bench, APPROVED, accepted=3, read=3, version="v1"))[1] == first


async def test_what_was_undone_is_new_again_even_when_it_was_read_long_before(bench: Bench) -> None:
    await told(bench, APPROVED, accepted=0, read=50, version="v1")
    await told(bench, UNAPPROVED, accepted=1, read=50, version="v1")
    assert (await told(bench, APPROVED, accepted=2, read=50, version="v1"))[1] == "routed"
    assert (await told(bench, APPROVED, accepted=3, read=50, version="v1"))[1] != "routed"


async def test_a_state_that_comes_back_after_another_type_is_a_new_change(bench: Bench) -> None:
    """A claim counts by its version only while that is the last one told of the record."""
    await told(bench, UPDATED, accepted=0, read=1, version="a")
    await told(bench, APPROVED, accepted=10, read=11, version="b")
    assert (await told(bench, UPDATED, accepted=20, read=21, version="a"))[1] == "routed"


async def test_a_state_that_the_feed_found_in_the_end_was_told_on_the_way(bench: Bench) -> None:
    """Approved, then edited, both told; the feed's `approved` has the last version, and doubles the first event."""
    approved, _ = await told(bench, APPROVED, accepted=10, read=10, version="v1")
    await told(bench, UPDATED, accepted=20, read=20, version="v2")
    assert (await told(bench, APPROVED, accepted=60, read=60, version="v2", since=0))[1] == approved
    assert (await told(bench, APPROVED, accepted=61, read=61, version="v2", since=15))[1] == "routed"


async def test_a_state_found_by_the_feed_that_nobody_told_last_is_told(bench: Bench) -> None:
    await told(bench, APPROVED, accepted=10, read=10, version="v1")
    assert (await told(bench, APPROVED, accepted=60, read=60, version="v2", since=0))[1] == "routed"


async def test_an_event_is_not_its_own_duplicate(bench: Bench) -> None:
    """Taken through the line once more, it is routed again, although its own claim stands."""
    event = bench.event("9")
    await bench.store.accept([event], now=T0)
    claimed = (await bench.claim()).events[0]
    assert await bench.finish(claimed, version="v1") == "unrouted"
    await bench.store.reopen_event(event.id, now=T0 + 5, states=[EventState.UNROUTED])
    assert await finish(bench, event, read=100, version="v1") == "routed"


async def test_a_claimed_event_knows_when_the_newest_state_was_read(bench: Bench) -> None:
    """The largest time that was claimed, not the last one; nothing before the first claim."""
    for read, newest in ((10.0, None), (5.0, 10.0), (20.0, 10.0), (21.0, 20.0)):
        event = bench.event("9")
        await bench.store.accept([event], now=T0 + 30 + read)
        claimed = (await bench.claim(now=T0 + 99, deliveries=0)).events[0]
        assert claimed.newest == (None if newest is None else T0 + newest)
        await bench.store.defer(claimed.id, claimed.token, now=T0 + 99, due_at=T0 + 99, reason="test")
        await finish(bench, event, read=read, version=f"v{read}")


async def test_a_claim_of_the_format_before_is_no_obstacle(bench: Bench) -> None:
    """Claims were once a type and an event only."""
    await command(
        bench.client, "HSET", bench.keys.entity("4100001:shift:9"), "ver", "v1", "types", f" {UPDATED}=evt_1 "
    )
    event, answer = await told(bench, UPDATED, accepted=0, read=10, version="v1")
    assert answer == "routed"
    assert (await told(bench, UPDATED, accepted=20, read=20, version="v1"))[1] == event


# Random stories ----------------------------------------------------------------------------------------


@dataclass
class Story:
    """One record's history, its senders' events, and what was routed: (type, state's number, when it was read)."""

    bench: Bench
    has_modified: bool
    at: float = 0.0
    approved: bool = False
    start: int = 0
    number: int = 0
    changes: list[tuple[str, float, Event]] = field(default_factory=list)
    waiting: list[Event] = field(default_factory=list)
    routed: list[tuple[str, str, float]] = field(default_factory=list)
    doubled: dict[str, str] = field(default_factory=dict)
    types: dict[str, tuple[str, float]] = field(default_factory=dict)

    @property
    def version(self) -> str:
        """The state's name: with a modified time each state has its own, without one equal states share it."""
        return f"{self.approved}-{self.start}" + (f"-{self.number}" if self.has_modified else "")

    async def change(self, value: int, copies: int) -> None:
        """The record changes, and its senders tell so `copies` times."""
        self.number += 1
        if value == 0:
            self.approved = not self.approved
            kind = APPROVED if self.approved else UNAPPROVED
        else:
            self.start, kind = value, UPDATED
        for _ in range(copies):
            event = self.bench.event("9", type_=kind)
            await self.bench.store.accept([event], now=T0 + self.at)
            self.changes.append((kind, self.at, event))
            self.waiting.append(event)

    async def change_again(self) -> None:
        """The other door tells of the last change as well."""
        event = self.bench.event("9", type_=self.changes[-1][0])
        await self.bench.store.accept([event], now=T0 + self.at)
        self.waiting.append(event)

    async def handle(self) -> None:
        """The first in the lane is enriched with the state of this moment."""
        if not self.waiting:
            return
        event = self.waiting.pop(0)
        answer = await finish(self.bench, event, read=self.at, version=self.version)
        if answer == "routed":
            self.routed.append((event.type, self.version, self.at))
            self.types[event.id] = (self.version, self.at)
        else:
            self.doubled[event.id] = answer


moves = st.lists(
    st.tuples(st.sampled_from(("change", "handle", "handle")), st.integers(0, 2), st.sampled_from((0.3, 2.0, 30.0))),
    min_size=5,
    max_size=30,
)


@pytest.mark.parametrize("has_modified", [True, False])
def test_no_change_is_lost(redis_server: str, prefix: str, has_modified: bool) -> None:
    """However late events are handled: each one's type was told with a state that contains its change.

    And the state that is told last is the last one. Without a modified time, states that look alike are one.
    """

    @settings(max_examples=80, deadline=None, database=None, derandomize=True)
    @given(story=moves, copies=st.integers(1, 2))
    def any_story(story: Sequence[tuple[str, int, float]], copies: int) -> None:
        asyncio.run(_run(story, copies))

    async def _run(story: Sequence[tuple[str, int, float]], copies: int) -> None:
        client = connect(redis_server)
        try:
            one = Story(Bench(client, f"{prefix}{next(stories)}:"), has_modified)
            for what, value, pause in story:
                one.at += pause
                await (one.handle() if what == "handle" else one.change(value, copies))
            while one.waiting:
                one.at += 1
                await one.handle()
            _nothing_lost(one)
        finally:
            await client.aclose()

    any_story()


def _nothing_lost(story: Story) -> None:
    for kind, at, event in story.changes:
        if event.id in story.doubled:
            version, read = story.types[story.doubled[event.id]]
            # Without a modified time a state that is back is the same state: its reading may be from before.
            assert read >= at or not story.has_modified, f"{kind} of {at} was taken for one that was read at {read}"
            assert (kind, version, read) in story.routed
    if story.changes:
        assert story.routed[-1][1] == story.version, "what was told last is not how the record stands"


@pytest.mark.parametrize("has_modified", [True, False])
def test_both_doors_tell_each_change_once(redis_server: str, prefix: str, has_modified: bool) -> None:
    """Changes that are apart, each through both doors in either order: one delivery each."""

    @settings(max_examples=40, deadline=None, database=None, derandomize=True)
    @given(story=st.lists(st.tuples(st.integers(0, 2), st.booleans()), min_size=1, max_size=10))
    def any_story(story: Sequence[tuple[int, bool]]) -> None:
        asyncio.run(_run(story))

    async def _run(story: Sequence[tuple[int, bool]]) -> None:
        client = connect(redis_server)
        try:
            one, changes = Story(Bench(client, f"{prefix}{next(stories)}:"), has_modified), 0
            for value, together in story:
                before = (one.approved, one.start)
                one.at += 30
                if value and value == one.start:
                    continue
                await one.change(value, 1)
                if together:
                    await one.change_again()
                    await one.handle()
                await one.handle()
                if not together:
                    one.at += 30
                    await one.change_again()
                    await one.handle()
                changes += before != (one.approved, one.start)
                assert len(one.routed) == changes
        finally:
            await client.aclose()

    any_story()
