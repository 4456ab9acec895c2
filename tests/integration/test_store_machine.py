"""The store under random interleavings: two drains, two portals, three targets, checked whole after each step.

Holders never learn that their lease ran out, so late ones are part of the game.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import initialize, precondition, rule, run_state_machine_as_test

from relay.errors import RefusedError
from relay.events import DeliveryState, Outcome
from relay.store.client import command
from relay.store.erasing import ErasingStore
from relay.store.plans import Plans
from relay.store.work import Held, Verdict
from tests.integration.store_model import (
    ENDED_EVENTS,
    ENDS,
    LANES,
    MOST_EVENTS,
    OPEN,
    PORTALS,
    TARGETS,
    StoreModel,
)
from tests.integration.store_picture import Key
from tests.integration.test_store import LEASE, PORTAL, lane

# A long simulation runs each line a thousand times: coverage learns nothing from it that smaller tests do not show.
pytestmark = pytest.mark.no_cover

picks = st.integers(0, 99)


class StoreMachine(StoreModel):
    """Every verb of the store, in any order."""

    @initialize()
    def begin_with(self) -> None:
        """One update of each of four records waits at every target."""
        for portal in PORTALS:
            for entity in (1, 2):
                self.accept(entity, portal, "updated", 1)
        self.take([lane("nobody")], events=4, deliveries=0)
        while self.held_events:
            self.finish(0, TARGETS, None)

    @precondition(lambda self: len(self.accepted) < MOST_EVENTS)
    @rule(
        entity=st.sampled_from((1, 1, 2)),
        portal=st.sampled_from((PORTAL, PORTAL, PORTAL + 1)),
        kind=st.sampled_from(("updated", "approved")),
        count=st.integers(1, 3),
    )
    def accept(self, entity: int, portal: int, kind: str, count: int) -> None:
        events = [self.bench.event(str(entity), type_=f"planday.shift.{kind}") for _ in range(count)]
        events = [replace(event, portal=portal) for event in events]
        answers = self.do(self.store.accept(events, now=self.now))
        answers += self.do(self.store.accept(events, now=self.now))
        assert [one.duplicate for one in answers] == [False] * count + [True] * count
        self.accepted += events

    @precondition(lambda self: self.accepted)
    @rule(names=st.sampled_from((TARGETS, TARGETS, ("hours",))), later=st.sampled_from((0.0, 4.0, LEASE + 1, 60.0)))
    def claim(self, names: Sequence[str], later: float) -> None:
        self.now += later
        self.take([LANES[name] for name in names], events=2, deliveries=3)

    @precondition(lambda self: self.accepted)
    @rule(name=st.sampled_from(TARGETS), state=st.sampled_from(("delivered", "delivered", "dead", "waiting", "")))
    def go_on(self, name: str, state: str) -> None:
        """The usual way, so that stories get far: what is held is finished and settled alike, more is claimed."""
        self.take([lane("nobody")], events=3, deliveries=0)
        while self.held_events:
            self.finish(0, TARGETS, None)
        while self.held and state:
            self.settle(0, state, 0, "good" if state != "waiting" else "", False)
        self.take([LANES[name]], events=0, deliveries=3)

    @precondition(lambda self: self.replays() and len(self.accepted) < MOST_EVENTS)
    @rule(pick=picks, given_up=st.booleans())
    def new_behind_a_replay(self, pick: int, given_up: bool) -> None:
        """Something new of a record of which a replay waits; perhaps it is cancelled again."""
        id_, target = self.replays()[pick % len(self.replays())]
        portal, _, entity = self.look().events[id_]["lane"].split(":")
        self.accept(int(entity), int(portal), "approved", 1)
        new = self.accepted[-1].id
        self.take([lane("nobody")], events=9, deliveries=0)
        while self.held_events:
            self.finish(0, TARGETS, None)
        if given_up and (new, target) in self.look().deliveries:
            self.give_up((new, target))

    @precondition(lambda self: self.accepted)
    @rule(name=st.sampled_from(TARGETS), heard_of=st.booleans())
    def worker_dies(self, name: str, heard_of: bool) -> None:
        """What it held comes back by its lease; perhaps it was not dead, and is heard of later."""
        self.take([LANES[name]], events=0, deliveries=3)
        if not heard_of:
            self.held = [one for one in self.held if one.target != name]
        self.now += LEASE + 1
        self.take([LANES[name]], events=0, deliveries=0)

    def replays(self) -> list[Key]:
        return [key for key, one in self.look().deliveries.items() if one["st"] == "waiting" and "rp" in one]

    @precondition(lambda self: self.accepted)
    @rule(name=st.sampled_from(TARGETS), later=st.sampled_from((0.0, LEASE + 1)), silent=st.booleans())
    def fail(self, name: str, later: float, silent: bool) -> None:
        """A target that does not work: whatever it is sent fails, so that its breaker has something to do."""
        self.now += later
        self.take([LANES[name]], events=0, deliveries=3)
        while self.held:
            self.settle(0, "waiting", 0, "bad", silent)

    @precondition(lambda self: self.held_events)
    @rule(pick=picks, names=st.sampled_from((TARGETS, ("pay",), ())), version=st.sampled_from((None, "v1", "v2")))
    def finish(self, pick: int, names: Sequence[str], version: str | None) -> None:
        claimed = self.held_events.pop(pick % len(self.held_events))
        holds = self.holds_event(claimed)
        again = holds and "again" in self.look().events[claimed.id]
        before = self.look().deliveries
        answer = self.do(self.bench.finish(claimed, *names, now=self.now, version=version, latest=("hours",)))
        for key, record in before.items():
            if record["st"] != "waiting" or "force" in record:
                assert self.look().deliveries[key] == record, "only what waits unforced gives way"
        assert (answer != "lost") == holds
        if answer == "routed" and "hours" in names:
            assert not self.look().gives_way((claimed.id, "hours")), "an older update still waits"
        if again:  # read anew, so it says what is true today
            self.forced |= {(claimed.id, name) for name in names}

    @precondition(lambda self: self.held_events)
    @rule(pick=picks, wait=st.sampled_from((None, 1.0, 60.0)))
    def defer(self, pick: int, wait: float | None) -> None:
        claimed = self.held_events.pop(pick % len(self.held_events))
        holds, due = self.holds_event(claimed), None if wait is None else self.now + wait
        answer = self.do(self.store.defer(claimed.id, claimed.token, now=self.now, due_at=due, reason="test"))
        assert answer == holds

    @precondition(lambda self: any(one.target == "pay" for one in self.held))
    @rule()
    def begin(self) -> None:
        claimed = next(one for one in self.held if one.target == "pay")
        holds = self.holds(claimed)
        assert self.do(self.store.begin(claimed, now=self.now)) == holds
        if holds:
            self.begun.add((claimed.id, claimed.target))

    @precondition(lambda self: self.held)
    @rule(
        pick=picks,
        state=st.sampled_from(("delivered", "dead", "parked", "waiting")),
        wait=st.sampled_from((0, 30)),
        verdict=st.sampled_from(("good", "bad", "bad", "", "unsent")),
        silent=st.booleans(),
    )
    def settle(self, pick: int, state: str, wait: int, verdict: Verdict, silent: bool) -> None:
        claimed = self.held.pop(pick % len(self.held))
        key, holds = (claimed.id, claimed.target), self.holds(claimed)
        record = self.look().deliveries[key]
        # Taken back and given to nobody since: "it was delivered" is still believed.
        late = record["st"] in ("waiting", "parked") and int(record["tok"]) == claimed.token + 1
        holds = holds or (late and state == "delivered")
        due = self.now + wait if state == "waiting" else None
        failed = Outcome.UNKNOWN if silent else Outcome.RETRY
        outcome = Outcome.DELIVERED if state == "delivered" else failed
        alone = state == "waiting" and claimed.target == "slack" and wait == 0
        settled = self.settled(
            claimed, state=DeliveryState(state), outcome=outcome, due=due, verdict=verdict, alone=alone
        )
        assert self.do(settled) == holds
        if holds:
            self.leased_until.pop(key, None)
            self.begun.discard(key)
            self.breakers[claimed.target].judged(claimed.id, verdict, now=self.now)
            if outcome is not Outcome.RETRY:
                self.may_have(key)

    @precondition(lambda self: self.held or self.held_events)
    @rule()
    def renew(self) -> None:
        held = [Held(one.id, "", one.token) for one in self.held_events]
        held += [Held(one.id, one.target, one.token) for one in self.held]
        expected = [*map(self.holds_event, self.held_events), *map(self.holds, self.held)]
        assert self.do(self.store.renew(held, now=self.now, lease=LEASE)) == expected
        for one, holds in zip(held, expected, strict=True):
            if one.target and holds:
                self.leased_until[one.id, one.target] = self.now + LEASE

    @precondition(lambda self: self.look().deliveries)
    @rule(pick=picks, among=st.sampled_from((ENDS, ENDS, ("parked",), ("waiting",), OPEN)), force=st.booleans())
    def reopen(self, pick: int, among: Sequence[str], force: bool) -> None:
        if keys := self.of_state(*among):
            self.open_again(keys[pick % len(keys)], force, "")

    @precondition(lambda self: self.of_state(*ENDS))
    @rule(pick=picks, force=st.booleans())
    def replay(self, pick: int, force: bool) -> None:
        keys = self.of_state(*ENDS)
        key = keys[pick % len(keys)]
        self.open_again(key, force, f"plan_{key[1]}")

    @precondition(lambda self: any(self.overtaken(key, opened=True) for key in self.of_state(*ENDS)))
    @rule(pick=picks, force=st.booleans(), once_more=st.booleans())
    def reopen_older(self, pick: int, force: bool, once_more: bool) -> None:
        older = [key for key in self.of_state(*ENDS) if self.overtaken(key, opened=True)]
        key = older[pick % len(older)]
        self.open_again(key, force, "")
        if once_more:
            self.open_again(key, False, "")

    def open_again(self, key: Key, force: bool, replay: str) -> None:
        before = self.look()
        record = before.deliveries[key]
        done = replay != "" and record.get("rp") == replay
        states = ENDS if replay else [state for state in DeliveryState if state is not DeliveryState.SENDING]
        fits, over = record["st"] in states, self.overtaken(key, opened=True)
        with nullcontext() if done or fits else pytest.raises(RefusedError):
            answer = self.do(self.store.reopen(*key, now=self.now, states=states, replay=replay, force=force))
        after = self.look()
        if done or not fits:
            assert after.deliveries[key] == record
            return
        if replay and answer is DeliveryState.WAITING:
            self.opened[key[1]] += 1
            self.do(self.noted(replay, key, record["st"]))
        assert (answer is DeliveryState.SUPERSEDED) == (over and not force)
        stays = answer is DeliveryState.SUPERSEDED and record["st"] == "delivered"  # what was delivered was
        assert after.deliveries[key]["st"] == ("delivered" if stays else answer)
        if answer is DeliveryState.WAITING:
            (self.forced.add if force else self.forced.discard)(key)
            self.begun.discard(key)
            assert after.in_order(key) or not before.in_order(key), "what is opened again goes oldest first"

    @precondition(lambda self: any(self.opened.values()))
    @rule(pick=picks)
    def withdraw(self, pick: int) -> None:
        """A plan is cancelled: what waits goes back to an end, what is on the wire or parked stays."""
        target = [name for name, count in sorted(self.opened.items()) if count][
            pick % sum(map(bool, self.opened.values()))
        ]
        plan, before = f"plan_{target}", self.look().deliveries
        answer = self.do(
            Plans(self.client, self.store.keys).withdraw(
                plan, target, owner="test", seconds=1000, number=0, most=100, reason="test", now=self.now
            )
        )
        after = self.look().deliveries
        mine = [key for key, one in before.items() if key[1] == target and one.get("rp") == plan]
        for key in mine:
            if before[key]["st"] == "waiting":
                assert after[key]["st"] in ENDS
                self.forced.discard(key)
                if after[key]["st"] == "delivered":
                    self.may_have(key)
            else:
                assert after[key] == before[key]
        assert answer is not None
        assert answer[1] == sum(before[key]["st"] == "sending" for key in mine)

    @precondition(lambda self: self.look().of("st", "accepted"))
    @rule(pick=picks)
    def erase(self, pick: int) -> None:
        """An event about a person who is erased ends before it is routed, unless a worker holds it."""
        accepted = sorted(self.look().of("st", "accepted"))
        id_ = accepted[pick % len(accepted)]
        busy = id_ in self.look().sets["lease:e"]
        eraser = ErasingStore(self.client, self.store.keys)
        answer = self.do(
            eraser.end_event(id_, now=self.now, employee="7", lane="", read=b"", body=b"{}", reason="test")
        )
        assert answer == ("busy" if busy else "erased")

    def _reopenable(self) -> list[str]:
        found = self.look().events.items()
        return [id_ for id_, one in sorted(found) if one["st"] in ENDED_EVENTS and "er" not in one]

    @precondition(lambda self: self._reopenable())
    @rule()
    def reopen_event(self) -> None:
        id_ = self._reopenable()[0]
        self.do(self.store.reopen_event(id_, now=self.now, states=ENDED_EVENTS))

    @precondition(lambda self: self.look().deliveries)
    @rule(pick=picks, among=st.sampled_from((("parked",), ("parked",), ("parked",), (*ENDS, *OPEN))))
    def cancel(self, pick: int, among: Sequence[str]) -> None:
        if keys := self.of_state(*among):
            self.give_up(keys[pick % len(keys)])

    def give_up(self, key: Key) -> None:
        record = self.look().deliveries[key]
        was = record["st"]
        fits = was in ("waiting", "parked", "dead")
        with nullcontext() if fits else pytest.raises(RefusedError):
            self.do(self.store.cancel(*key, now=self.now, reason="test"))
        assert not fits or self.look().deliveries[key]["st"] == "cancelled"
        if was == "parked" and (record["n"] != "0" or "all" in record):  # as a rule the target has it
            self.may_have(key)

    @precondition(lambda self: not self.paused and self.breakers["hours"].state)
    @rule(name=st.sampled_from(TARGETS))
    def pause(self, name: str) -> None:
        self.do(self.store.pause(name, now=self.now, by="test", reason="test"))
        self.paused.add(name)

    @precondition(lambda self: self.paused)
    @rule()
    def resume(self) -> None:
        name = self.paused.pop()
        assert self.do(self.store.resume(name, now=self.now))
        self.breakers[name].reset()

    @precondition(lambda self: self.accepted)
    @rule(configured=st.sampled_from((TARGETS, TARGETS, TARGETS, ("hours", "pay"), ("hours", "slack"))))
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
            if before[key]["st"] == "sending":
                self.may_have(key)

    def teardown(self) -> None:
        try:
            if self.whole:
                self._end()
        finally:
            self.runner.run(self.client.aclose())
            self.runner.close()

    def _end(self) -> None:
        """Once nothing goes wrong any more, all of it comes to an end."""
        while self.paused:
            self.resume()
        for _ in range(10 * MOST_EVENTS):
            if not self.look().sets["open"]:
                return
            self.now += 100
            for key in [key for key, one in self.look().deliveries.items() if one["st"] == "parked"]:
                self.give_up(key)
            self.take(list(LANES.values()), events=9, deliveries=9)
            while self.held_events:
                self.finish(-1, TARGETS, None)
            while self.held:
                self.settle(-1, "delivered", 0, "good", False)
            self.all_of_it_agrees()
        raise AssertionError("something never ends")


def test_any_interleaving_leaves_the_store_whole(redis_server: str, prefix: str) -> None:
    """Random verbs in random order; for a shorter story than the one that fails, add Phase.shrink (minutes)."""
    StoreMachine.url, StoreMachine.prefix = redis_server, prefix
    limits = settings(max_examples=80, stateful_step_count=50, deadline=None, database=None, derandomize=True)
    limits = settings(limits, phases=[Phase.generate], suppress_health_check=list(HealthCheck))
    run_state_machine_as_test(StoreMachine, settings=limits)
