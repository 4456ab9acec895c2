"""The store under random interleavings: two drains, three entities and two targets, checked whole after each step.

The second target does not dedupe. Holders never learn that their lease ran out, so late ones are part of the game.
"""

from __future__ import annotations

import asyncio
import itertools
from collections import defaultdict
from collections.abc import Coroutine, Mapping, Sequence
from contextlib import nullcontext
from typing import Any, TypeVar

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from relay.errors import RefusedError
from relay.events import DeliveryState, Event, EventState
from relay.store.client import command, connect
from relay.store.work import ClaimedDelivery, ClaimedEvent, Held, Lane
from tests.integration.test_store import LEASE, PORTAL, T0, Bench, lane

# A long simulation runs each line a thousand times: coverage learns nothing from it that smaller tests do not show.
pytestmark = pytest.mark.no_cover

LANES = {"hours": lane("hours", concurrency=2), "pay": lane("pay", concurrency=2, dedupes=False)}
TARGETS = tuple(LANES)
OPEN = ("waiting", "sending", "parked")
BUSY = ("sending", "parked")
ENDED_EVENTS = (EventState.UNROUTED, EventState.DEAD)
MOST_EVENTS = 10

DUMP = """
local out = {}
for _, key in ipairs(redis.call('KEYS', ARGV[1] .. '*')) do
  local kind = redis.call('TYPE', key).ok
  local read = {hash = {'HGETALL', key}, list = {'LRANGE', key, 0, -1}, zset = {'ZRANGE', key, 0, -1}}
  if read[kind] then out[#out + 1] = {key, kind, redis.call(unpack(read[kind]))} end
end
return out
"""

Answer = TypeVar("Answer")
Key = tuple[str, str]
picks = st.integers(0, 99)
numbers = itertools.count(1)


class Picture:
    """All that stands in the store at one moment."""

    def __init__(self, dump: Sequence[tuple[bytes, bytes, list[bytes]]], prefix: str) -> None:
        self.events: dict[str, dict[str, str]] = {}
        self.deliveries: dict[Key, dict[str, str]] = {}
        self.lists: dict[str, list[str]] = defaultdict(list)
        self.sets: dict[str, set[str]] = defaultdict(set)
        for key, kind, content in sorted(dump):
            name, members = key.decode().removeprefix(prefix), [one.decode() for one in content]
            if kind == b"list":
                self.lists[name] = members
            elif kind == b"zset":
                self.sets[name] = set(members)
            elif name.startswith("e:"):
                self.events[name[2:]] = dict(zip(members[::2], members[1::2], strict=True))
            elif name.startswith("d:"):
                id_, target = name[2:].split(":")
                self.deliveries[id_, target] = dict(zip(members[::2], members[1::2], strict=True))

    def of(self, field: str, value: str) -> set[str]:
        """The events of which a field has a value."""
        return {id_ for id_, one in self.events.items() if one[field] == value}

    def in_order(self, key: Key) -> bool:
        """Whether what is still to be sent stands oldest first, behind a head that cannot be moved."""
        id_, target = key
        ids = self.lists[f"ld:{target}:{self.events[id_]['lane']}"]
        busy = [one for one in ids[:1] if self.deliveries[one, target]["st"] in BUSY]
        free = [int(self.events[one]["seq"]) for one in ids[len(busy) :]]
        return free == sorted(free)


class StoreMachine(RuleBasedStateMachine):
    """Every verb of the store, in any order."""

    url, prefix = "", ""

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.client = connect(self.url)
        self.prefix += f"{next(numbers)}:"
        self.bench = Bench(self.client, self.prefix)
        self.store = self.bench.store
        self.now = T0
        self.accepted: list[Event] = []
        self.held_events: list[ClaimedEvent] = []
        self.held: list[ClaimedDelivery] = []
        self.leased_until: dict[Key, float] = {}
        self.begun: set[Key] = set()
        self.forced: set[Key] = set()
        self.high: dict[Key, int] = defaultdict(int)
        self.paused: set[str] = set()
        self.seen: Picture | None = None
        self.whole = True

    def do(self, work: Coroutine[Any, Any, Answer]) -> Answer:
        self.seen = None
        return self.runner.run(work)

    def look(self) -> Picture:
        if self.seen is None:
            call: Any = self.client.execute_command
            self.seen = Picture(self.runner.run(call("EVAL", DUMP, 0, self.prefix)), self.prefix)
        return self.seen

    @precondition(lambda self: len(self.accepted) < MOST_EVENTS)
    @rule(entity=st.sampled_from((1, 1, 2, 3)), kind=st.sampled_from(("updated", "approved")), count=st.integers(1, 3))
    def accept(self, entity: int, kind: str, count: int) -> None:
        events = [self.bench.event(str(entity), type_=f"planday.shift.{kind}") for _ in range(count)]
        answers = self.do(self.store.accept(events, now=self.now))
        answers += self.do(self.store.accept(events, now=self.now))
        assert [one.duplicate for one in answers] == [False] * count + [True] * count
        self.accepted += events

    @precondition(lambda self: self.accepted)
    @rule(names=st.sampled_from((TARGETS, TARGETS, ("hours",))), later=st.sampled_from((0.0, 4.0, LEASE + 1, 60.0)))
    def claim(self, names: Sequence[str], later: float) -> None:
        self.now += later
        self._claim([LANES[name] for name in names], events=2, deliveries=3)

    @precondition(lambda self: self.accepted)
    @rule(name=st.sampled_from(TARGETS), state=st.sampled_from(("delivered", "dead", "waiting", "")))
    def go_on(self, name: str, state: str) -> None:
        """The usual way, so that stories get far: what is held is finished and settled alike, more is claimed."""
        self._claim([lane("nobody")], events=3, deliveries=0)
        while self.held_events:
            self.finish(0, TARGETS, None)
        while self.held and state:
            self.settle(0, state, 0)
        self._claim([LANES[name]], events=0, deliveries=3)

    def _claim(self, lanes: Sequence[Lane], *, events: int, deliveries: int) -> None:
        for key, record in self.look().deliveries.items():
            taken_back = record["st"] == "sending" and self.leased_until[key] <= self.now
            if taken_back and key[1] in [lane.target for lane in lanes]:  # it may have been sent
                self.high[self._lane(key)] = max(self.high[self._lane(key)], self._sequence(key))
        claim = self.do(self.bench.claim(*lanes, now=self.now, events=events, deliveries=deliveries))
        for one in claim.deliveries:
            key = (one.id, one.target)
            assert one.target not in self.paused
            assert key not in self.begun, "it may have been sent, and the target would not recognise a repeat"
            assert self.leased_until.get(key, 0.0) <= self.now, "somebody else still holds it"
            assert one.sequence >= self.high[self._lane(key)] or key in self.forced, "the target has a newer state"
            self.leased_until[key] = self.now + LEASE
        self.held_events += claim.events
        self.held += claim.deliveries

    @precondition(lambda self: self.held_events)
    @rule(pick=picks, names=st.sampled_from((TARGETS, ("pay",), ())), version=st.sampled_from((None, "v1", "v2")))
    def finish(self, pick: int, names: Sequence[str], version: str | None) -> None:
        claimed = self.held_events.pop(pick % len(self.held_events))
        holds = self._holds_event(claimed)
        again = holds and "again" in self.look().events[claimed.id]
        answer = self.do(self.bench.finish(claimed, *names, now=self.now, version=version, latest=("hours",)))
        assert (answer != "lost") == holds
        if again:  # read anew, so it says what is true today
            self.forced |= {(claimed.id, name) for name in names}

    @precondition(lambda self: self.held_events)
    @rule(pick=picks, wait=st.sampled_from((None, 1.0, 60.0)))
    def defer(self, pick: int, wait: float | None) -> None:
        claimed = self.held_events.pop(pick % len(self.held_events))
        holds, due = self._holds_event(claimed), None if wait is None else self.now + wait
        answer = self.do(self.store.defer(claimed.id, claimed.token, now=self.now, due_at=due, reason="test"))
        assert answer == holds

    @precondition(lambda self: any(one.target == "pay" for one in self.held))
    @rule()
    def begin(self) -> None:
        claimed = next(one for one in self.held if one.target == "pay")
        holds = self._holds(claimed)
        assert self.do(self.store.begin(claimed, now=self.now)) == holds
        if holds:
            self.begun.add((claimed.id, claimed.target))

    @precondition(lambda self: self.held)
    @rule(pick=picks, state=st.sampled_from(("delivered", "dead", "parked", "waiting")), wait=st.sampled_from((0, 30)))
    def settle(self, pick: int, state: str, wait: int) -> None:
        claimed = self.held.pop(pick % len(self.held))
        key, holds = (claimed.id, claimed.target), self._holds(claimed)
        record = self.look().deliveries[key]
        # Taken back and given to nobody since: "it was delivered" is still believed.
        late = record["st"] in ("waiting", "parked") and int(record["tok"]) == claimed.token + 1
        holds = holds or (late and state == "delivered")
        due = self.now + wait if state == "waiting" else None
        assert self.do(self.bench.settle(claimed, DeliveryState(state), now=self.now, due=due)) == holds
        if holds:
            self.leased_until.pop(key, None)
            self.begun.discard(key)
            if state == "delivered":
                self.high[self._lane(key)] = max(self.high[self._lane(key)], claimed.sequence)

    @precondition(lambda self: self.held or self.held_events)
    @rule()
    def renew(self) -> None:
        held = [Held(one.id, "", one.token) for one in self.held_events]
        held += [Held(one.id, one.target, one.token) for one in self.held]
        expected = [*map(self._holds_event, self.held_events), *map(self._holds, self.held)]
        assert self.do(self.store.renew(held, now=self.now, lease=LEASE)) == expected
        for one, holds in zip(held, expected, strict=True):
            if one.target and holds:
                self.leased_until[one.id, one.target] = self.now + LEASE

    @precondition(lambda self: self.look().deliveries)
    @rule(pick=picks, force=st.booleans(), replay=st.sampled_from(("", "", "plan_1")), once_more=st.booleans())
    def reopen(self, pick: int, force: bool, replay: str, once_more: bool) -> None:
        older = [key for key in self.look().deliveries if self._sequence(key) < self.high[self._lane(key)]]
        key = self._some(pick, older if once_more else ())
        self._reopen(key, force, replay)
        if once_more:
            self._reopen(key, False, "")

    def _reopen(self, key: Key, force: bool, replay: str) -> None:
        before = self.look()
        record = before.deliveries[key]
        done = replay != "" and record.get("rp") == replay
        states = [state for state in DeliveryState if state is not DeliveryState.SENDING]
        with nullcontext() if done or record["st"] != "sending" else pytest.raises(RefusedError):
            answer = self.do(self.store.reopen(*key, now=self.now, states=states, replay=replay, force=force))
        after = self.look()
        if done or record["st"] == "sending":
            assert after.deliveries[key] == record
            return
        assert (answer is DeliveryState.SUPERSEDED) == (self._sequence(key) < self.high[self._lane(key)] and not force)
        stays = answer is DeliveryState.SUPERSEDED and record["st"] == "delivered"  # what was delivered was
        assert after.deliveries[key]["st"] == ("delivered" if stays else answer)
        if answer is DeliveryState.WAITING:
            (self.forced.add if force else self.forced.discard)(key)
            self.begun.discard(key)
            assert after.in_order(key) or not before.in_order(key), "what is opened again goes oldest first"

    @precondition(lambda self: any(one["st"] in ENDED_EVENTS for one in self.look().events.values()))
    @rule()
    def reopen_event(self) -> None:
        id_ = next(id_ for id_, one in sorted(self.look().events.items()) if one["st"] in ENDED_EVENTS)
        self.do(self.store.reopen_event(id_, now=self.now, states=ENDED_EVENTS))

    @precondition(lambda self: self.look().deliveries)
    @rule(pick=picks)
    def cancel(self, pick: int) -> None:
        self._cancel(self._some(pick))

    def _cancel(self, key: Key) -> None:
        was = self.look().deliveries[key]["st"]
        fits = was in ("waiting", "parked", "dead")
        with nullcontext() if fits else pytest.raises(RefusedError):
            self.do(self.store.cancel(*key, now=self.now, reason="test"))
        assert not fits or self.look().deliveries[key]["st"] == "cancelled"
        if was == "parked":  # as a rule the target has it
            self.high[self._lane(key)] = max(self.high[self._lane(key)], self._sequence(key))

    @precondition(lambda self: self.accepted)
    @rule(name=st.sampled_from(TARGETS))
    def pause_or_resume(self, name: str) -> None:
        if name in self.paused:
            assert self.do(self.store.resume(name))
        else:
            self.do(self.store.pause(name, now=self.now, by="test", reason="test"))
        self.paused ^= {name}

    @precondition(lambda self: self.accepted)
    @rule(configured=st.sampled_from((TARGETS, ("hours",))))
    def sweep(self, configured: Sequence[str]) -> None:
        before = self.look().deliveries
        self.do(command(self.client, "DEL", self.store.keys.served))
        self.do(self.store.heartbeat(now=self.now, life=1, worker="w", serves=configured))
        repaired, parked, _ = self.do(self.store.sweep(now=self.now, rank=0, grace=0, most=100))
        changed = [key for key, one in self.look().deliveries.items() if one["st"] != before[key]["st"]]
        assert repaired == 0, "a store that kept every write needs no repair"
        assert parked == len(changed)
        for key in changed:
            assert key[1] not in configured
            assert before[key]["st"] == "waiting" or self.leased_until[key] < self.now

    @invariant()
    def all_of_it_agrees(self) -> None:
        picture, self.whole = self.look(), False
        accepted = picture.of("st", "accepted")
        self._lanes_agree("e", "le", dict.fromkeys(accepted, "waiting"))
        for target in TARGETS:
            states = {id_: one["st"] for (id_, to), one in picture.deliveries.items() if to == target}
            self._lanes_agree(f"t:{target}", f"ld:{target}", {id_: now for id_, now in states.items() if now in OPEN})
            assert len(picture.sets[f"lease:t:{target}"]) <= LANES[target].concurrency
            for state in set(DeliveryState) - {"sending"}:
                indexed = ("waiting", "sending") if state == "waiting" else (state,)
                assert picture.sets[f"ix:d:{target}:{state}"] == {id_ for id_, now in states.items() if now in indexed}
        open_ = [id_ for (id_, _), one in picture.deliveries.items() if one["st"] in OPEN]
        assert all(int(one.get("left", 0)) == open_.count(id_) for id_, one in picture.events.items())
        assert picture.sets["open"] == {*open_, *accepted}
        for end in (*ENDED_EVENTS, EventState.DUPLICATE):
            assert picture.sets[f"ix:e:{end}"] == picture.of("st", end)
        self.whole = True

    def _lanes_agree(self, work: str, kind: str, states: Mapping[str, str]) -> None:
        """Lanes hold what is open, each once; a head is due, leased or parked, and nothing else is due or leased."""
        picture = self.look()
        found = set()
        for entity in {one["lane"] for one in picture.events.values()}:
            ids = picture.lists[f"{kind}:{entity}"]
            assert sorted(ids) == sorted(picture.of("lane", entity) & set(states)), "a lane does not hold what is open"
            assert "sending" not in [states[id_] for id_ in ids[1:]], "more than the head of a lane is on the wire"
            found |= {id_ for id_ in ids[:1] if states[id_] != "parked"}
        events = kind == "le"
        new = picture.sets[f"due:e:{PORTAL}" if events else f"due:{work}"]
        replayed = set() if events else picture.sets[f"due:r:{work.removeprefix('t:')}"]
        due, leased = new | replayed, picture.sets[f"lease:{work}"]
        assert not due & leased
        assert not new & replayed, "due twice"
        assert due | leased == found, "a head that nobody will find, or something found that is no head"
        assert events or leased == {id_ for id_, now in states.items() if now == "sending"}

    def teardown(self) -> None:
        try:
            if self.whole:
                self._end()
        finally:
            self.runner.run(self.client.aclose())
            self.runner.close()

    def _end(self) -> None:
        """Once nothing goes wrong any more, all of it comes to an end."""
        for name in sorted(self.paused):
            self.pause_or_resume(name)
        for _ in range(10 * MOST_EVENTS):
            if not self.look().sets["open"]:
                return
            self.now += 100
            for key in [key for key, one in self.look().deliveries.items() if one["st"] == "parked"]:
                self._cancel(key)
            self._claim(list(LANES.values()), events=9, deliveries=9)
            while self.held_events:
                self.finish(-1, TARGETS, None)
            while self.held:
                self.settle(-1, "delivered", 0)
            self.all_of_it_agrees()
        raise AssertionError("something never ends")

    def _some(self, pick: int, rather: Sequence[Key] = ()) -> Key:
        keys = list(rather or self.look().deliveries)
        return keys[pick % len(keys)]

    def _sequence(self, key: Key) -> int:
        return int(self.look().events[key[0]]["seq"])

    def _lane(self, key: Key) -> Key:
        return self.look().events[key[0]]["lane"], key[1]

    def _holds(self, claimed: ClaimedDelivery) -> bool:
        record = self.look().deliveries[claimed.id, claimed.target]
        return record["st"] == "sending" and record["tok"] == str(claimed.token)

    def _holds_event(self, claimed: ClaimedEvent) -> bool:
        tokens = {id_: self.look().events[id_]["tok"] for id_ in self.look().sets["lease:e"]}
        return tokens.get(claimed.id) == str(claimed.token)


def test_any_interleaving_leaves_the_store_whole(redis_server: str, prefix: str) -> None:
    """Random verbs in random order; for a shorter story than the one that fails, add Phase.shrink (minutes)."""
    StoreMachine.url, StoreMachine.prefix = redis_server, prefix
    limits = settings(max_examples=70, stateful_step_count=40, deadline=None, database=None, derandomize=True)
    limits = settings(limits, phases=[Phase.generate], suppress_health_check=list(HealthCheck))
    run_state_machine_as_test(StoreMachine, settings=limits)
