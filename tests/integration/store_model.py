"""What must be so of a store, whatever was done: the model behind test_store_machine.py.

A gathering target, one that does not dedupe, and one with a rate; each has a breaker, and a replay plan.
"""

from __future__ import annotations

import asyncio
import itertools
from collections import defaultdict
from collections.abc import Coroutine, Mapping, Sequence
from typing import Any, TypeVar

from hypothesis.stateful import RuleBasedStateMachine, invariant

from relay.events import Attempt, DeliveryState, Event, EventState, Outcome
from relay.store.client import command, connect
from relay.store.work import BreakerPolicy, Claim, ClaimedDelivery, ClaimedEvent, Lane, Settled, Verdict
from tests.integration.store_picture import DUMP, ON_ITS_WAY, Breaker, Key, Picture
from tests.integration.test_store import LEASE, PORTAL, T0, Bench, lane

PORTALS = (PORTAL, PORTAL + 1)
LANES = {
    "hours": lane("hours", concurrency=2, per_second=0.5, burst=2),
    "pay": lane("pay", concurrency=2, dedupes=False),
    "slack": lane("slack", gathers=2),
}
MOST_AT_ONCE = {"hours": 2, "pay": 2, "slack": 2}
POLICY = BreakerPolicy(failures=2, sample=10**9, share=1.0, span=60.0, wait=10.0, longest=40.0)
TARGETS = tuple(LANES)
OPEN = ("waiting", "sending", "parked")
ENDED_EVENTS = (EventState.UNROUTED, EventState.DEAD)
# What a plan may take.
ENDS = (DeliveryState.DEAD, DeliveryState.CANCELLED, DeliveryState.SUPERSEDED, DeliveryState.DELIVERED)
MOST_EVENTS = 14

Answer = TypeVar("Answer")
numbers = itertools.count(1)


class StoreModel(RuleBasedStateMachine):
    """What must be so, whatever was done; the rules are in test_store_machine.py."""

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
        self.read: dict[Key, int] = defaultdict(int)
        self.paused: set[str] = set()
        self.breakers = {name: Breaker(POLICY) for name in TARGETS}
        self.opened: dict[str, int] = defaultdict(int)
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

    def take(self, lanes: Sequence[Lane], *, events: int, deliveries: int) -> None:
        for key, record in self.look().deliveries.items():
            taken_back = record["st"] == "sending" and self.leased_until[key] <= self.now
            if taken_back and key[1] in [one.target for one in lanes]:
                self.may_have(key)
        rooms = {one.target: self.room(one.target) for one in lanes if one.target in LANES}
        claim = self.do(self.bench.claim(*lanes, now=self.now, events=events, deliveries=deliveries))
        for one in claim.deliveries:
            key = (one.id, one.target)
            assert one.target not in self.paused
            assert key not in self.begun, "it may have been sent, and the target would not recognise a repeat"
            assert self.leased_until.get(key, 0.0) <= self.now, "somebody else still holds it"
            opened = bool({"rd", "rp"} & set(self.look().deliveries[key]))
            assert key in self.forced or not self.overtaken(key, opened=opened), "the target has a newer state"
            self.leased_until[key] = self.now + LEASE
            self.breakers[one.target].claimed(one.id)
        for target, room in rooms.items():
            ids = [one.id for one in claim.deliveries if one.target == target]
            assert len(ids) <= room, "more than its breaker, or its one call, lets through"
            assert len(ids) < 2 or not any("alone" in self.look().deliveries[id_, target] for id_ in ids)
        assert claim.next_due is None or claim.next_due > self.now or self.claimed_something(claim), "it would spin"
        self.held_events += claim.events
        self.held += claim.deliveries

    def room(self, target: str) -> float:
        """How many of a target's deliveries may be claimed now, at most."""
        under_way = {id_ for (id_, to), until in self.leased_until.items() if to == target and until > self.now}
        under_way &= {
            id_ for (id_, to), one in self.look().deliveries.items() if to == target and one["st"] == "sending"
        }
        if target == "slack" and under_way:
            return 0
        breaker = self.breakers[target]
        return breaker.room(now=self.now, leased=breaker.probe in under_way)

    @staticmethod
    def claimed_something(claim: Claim) -> bool:
        return bool(claim.events or claim.deliveries or claim.released_deliveries or claim.released_events)

    def may_have(self, key: Key) -> None:
        lane, record = self.lane(key), self.look().deliveries[key]
        self.high[lane] = max(self.high[lane], self.sequence(key))
        self.read[lane] = max(self.read[lane], int(record.get("upto", 0)))

    def overtaken(self, key: Key, *, opened: bool) -> bool:
        """Whether the target has a newer state than a delivery holds; what was read anew counts for what is opened."""
        lane, record = self.lane(key), self.look().deliveries[key]
        mine = max(self.sequence(key), int(record.get("upto", 0)))
        return mine < max(self.high[lane], self.read[lane] if opened else 0)

    async def settled(
        self,
        claimed: ClaimedDelivery,
        *,
        state: DeliveryState,
        outcome: Outcome,
        due: float | None,
        verdict: Verdict,
        alone: bool,
    ) -> bool:
        number, now = claimed.attempt, self.now
        settled = Settled(
            id=claimed.id,
            target=claimed.target,
            token=claimed.token,
            state=state,
            reason="test",
            attempt=Attempt(number=number, started_at=now, ended_at=now, outcome=outcome, reason="test"),
            due_at=due,
            verdict=verdict,
            alone=alone,
            breaker=POLICY,
        )
        return await self.store.settle(settled, now=now) != "lost"

    async def noted(self, plan: str, key: Key, state: str) -> None:
        """What the plan's own list would say of this one."""
        keys, target = self.store.keys, key[1]
        count = await command(self.client, "RPUSH", keys.plan_items(plan), f"{key[0]}:{target}:{state}:first")
        await command(self.client, "HSET", keys.plan(plan), f"first:{target}", 0, f"done:{target}", count)
        await command(self.client, "SET", keys.plan_lock(plan), "test")

    @invariant()
    def all_of_it_agrees(self) -> None:
        picture, self.whole = self.look(), False
        accepted = picture.of("st", "accepted")
        assert sum(map(len, (ids for name, ids in picture.lists.items() if name.startswith("le:")))) == len(accepted)
        assert picture.sets["lease:e"] <= accepted
        for portal in PORTALS:
            of_portal = {id_ for id_ in accepted if picture.events[id_]["lane"].startswith(f"{portal}:")}
            self.lanes_agree(f"e:{portal}", "le", dict.fromkeys(of_portal, "waiting"))
        for target in TARGETS:
            states = {id_: one["st"] for (id_, to), one in picture.deliveries.items() if to == target}
            held = [ids for name, ids in picture.lists.items() if name.startswith(f"ld:{target}:")]
            assert sum(map(len, held)) == sum(state in OPEN for state in states.values())
            self.lanes_agree(f"t:{target}", f"ld:{target}", {id_: now for id_, now in states.items() if now in OPEN})
            assert len(picture.sets[f"lease:t:{target}"]) <= MOST_AT_ONCE[target]
            assert picture.plan_agrees(f"plan_{target}", target, self.opened[target])
            assert self.breakers[target].agrees(picture.hashes[f"t:{target}"])
            for state in set(DeliveryState) - {"sending"}:
                indexed = ON_ITS_WAY if state == "waiting" else (state,)
                assert picture.sets[f"ix:d:{target}:{state}"] == {id_ for id_, now in states.items() if now in indexed}
        open_ = [id_ for (id_, _), one in picture.deliveries.items() if one["st"] in OPEN]
        assert all(int(one.get("left", 0)) == open_.count(id_) for id_, one in picture.events.items())
        assert picture.sets["open"] == {*open_, *accepted}
        for end in (*ENDED_EVENTS, EventState.DUPLICATE):
            assert picture.sets[f"ix:e:{end}"] == picture.of("st", end)
        self.whole = True

    def lanes_agree(self, work: str, kind: str, states: Mapping[str, str]) -> None:
        """Lanes hold what is open, each once; a head is due, leased or parked, and nothing else is due or leased."""
        picture, events = self.look(), kind == "le"
        found = set()
        for name in {picture.events[id_]["lane"] for id_ in states}:
            ids = picture.lists[f"{kind}:{name}"]
            assert sorted(ids) == sorted(picture.of("lane", name) & set(states)), "a lane does not hold what is open"
            assert "sending" not in [states[id_] for id_ in ids[1:]], "more than the head of a lane is on the wire"
            found |= {id_ for id_ in ids[:1] if states[id_] != "parked"}
        new = picture.sets[f"due:{work}"]
        replayed = set() if events else picture.sets[f"due:r:{work.removeprefix('t:')}"]
        due, leased = new | replayed, picture.sets["lease:e"] & set(states) if events else picture.sets[f"lease:{work}"]
        assert not due & leased
        assert not new & replayed, "due twice"
        for id_ in replayed:
            last = (picture.lane((id_, work.removeprefix("t:")))[-1], work.removeprefix("t:"))
            assert "rp" in picture.deliveries[last], "what is new waits for other replays"
        assert due | leased == found, "a head that nobody will find, or something found that is no head"
        assert events or leased == {id_ for id_, now in states.items() if now == "sending"}

    def of_state(self, *states: str) -> list[Key]:
        return [key for key, one in self.look().deliveries.items() if one["st"] in states]

    def sequence(self, key: Key) -> int:
        return int(self.look().events[key[0]]["seq"])

    def lane(self, key: Key) -> Key:
        return self.look().events[key[0]]["lane"], key[1]

    def holds(self, claimed: ClaimedDelivery) -> bool:
        record = self.look().deliveries[claimed.id, claimed.target]
        return record["st"] == "sending" and record["tok"] == str(claimed.token)

    def holds_event(self, claimed: ClaimedEvent) -> bool:
        tokens = {id_: self.look().events[id_]["tok"] for id_ in self.look().sets["lease:e"]}
        return tokens.get(claimed.id) == str(claimed.token)
