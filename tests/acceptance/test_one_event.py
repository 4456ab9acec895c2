"""One event all the way, through real processes: delivered; and failing, dying, looked at, replayed."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from standardwebhooks import Webhook

from tests.acceptance.harness import Relay, eventually
from tests.acceptance.sender import thin
from tests.acceptance.sink import Sink

BISTRO = 4100001
SHIFT = 70010045


async def ended(relay: Relay, event: str, state: str) -> Mapping[str, Any]:
    """The delivery of an event to the sink, once it is in a state."""

    async def look() -> Mapping[str, Any] | None:
        found = (await relay.api("GET", f"/events/{event}"))["deliveries"]
        return next((one for one in found if one["state"] == state), None)

    found = await eventually(look, within=30, what=f"the delivery of {event} is {state}")
    assert found is not None
    return found


async def test_a_change_in_planday_arrives(tmp_path: Path) -> None:
    """A shift is edited in the simulated portal; the target gets it once, enriched, signed, within a second."""
    async with Sink() as sink, Relay(tmp_path, sink, portals={"bistro": BISTRO}) as relay:
        await relay.start_simulator()
        await relay.start("web")
        await relay.start("worker")
        for place in (4101, 4102):  # the first warms the cache
            before, began = len(sink.arrivals), time.monotonic()
            await relay.control("POST", f"/portals/{BISTRO}/shift/edit", {"id": SHIFT, "departmentId": place})
            assert await sink.more_than(before, within=20)
            took = sink.arrivals[-1].at - began
        await relay.settled(within=10)
        assert len(sink.arrivals) == 2
        arrival = sink.arrivals[-1]
        Webhook(relay.secrets["HOOKS_SECRET"]).verify(arrival.body, arrival.headers)
        envelope = arrival.envelope
        assert (envelope["type"], envelope["subject"]) == ("planday.shift.updated", f"shift/{SHIFT}")
        assert envelope["source"] == f"urn:planday:portal:{BISTRO}"
        assert (envelope["data"]["object"]["departmentId"], envelope["departmentid"]) == (4102, "4102")
        assert envelope["data"]["enrichment"]["state"] == "complete"
        assert envelope["id"] == arrival.event
        assert arrival.attempt == "1"
        shown = await relay.api("GET", f"/events/{arrival.event}")
        assert shown["state"] == "routed"
        assert [one["state"] for one in shown["deliveries"]] == ["delivered"]
        assert took < 5
        print(f"from the change in Planday to the target: {took * 1000:.0f} ms")


@pytest.mark.parametrize("by", ["api", "cli"])
async def test_a_dead_letter_is_replayed(tmp_path: Path, by: str) -> None:
    """Two attempts fail and the delivery is dead and can be explained; a plan sends it once more, under its one key."""
    working: list[bool] = []
    async with (
        Sink(decide=lambda _: 202 if working else 503) as sink,
        Relay(tmp_path, sink, target={"retry": {"schedule": ["200ms"], "timeout": "5s"}}) as relay,
    ):
        await relay.start("web")
        await relay.start("worker")
        answer = await relay.sender.post(thin("one", "shift/1", type_="planday.shift.published"))
        began = time.monotonic()
        (event,) = (one["id"] for one in answer.json["events"])
        dead = await ended(relay, event, "dead")
        died = time.monotonic() - began
        assert dead["attempts"] == len(sink.arrivals) == 2
        explained = await relay.api("GET", f"/events/{event}/explain")
        assert "503" in str(explained)

        working.append(True)
        replayed = time.monotonic()
        plan = await _replay_by_api(relay) if by == "api" else await _replay_by_cli(relay)
        delivered = await ended(relay, event, "delivered")
        took = sink.arrivals[-1].at - replayed
        assert (delivered["attempts"], delivered["round"], len(sink.arrivals)) == (1, 2, 3)
        assert len(sink.counts) == 1, "one key for every attempt and every replay"
        assert {one.event for one in sink.arrivals} == {event}
        assert [one.headers.get("planday-relay-replay") for one in sink.arrivals] == [None, None, plan]
        assert sink.arrivals[-1].envelope == sink.arrivals[0].envelope
        await relay.settled(within=10)

        async def over() -> bool:
            status = await relay.api("GET", f"/replay/plans/{plan}")
            return bool(status["state"] == "ended")

        await eventually(over, within=20, what="the plan has ended")
        print(f"{by}: dead {died:.2f} s after it was accepted, delivered {took:.2f} s after the replay was asked for")


async def _replay_by_api(relay: Relay) -> str:
    plan = await relay.api("POST", "/replay/plans", {"target": "hooks", "reason": "the target works again"})
    assert plan["total"] == 1
    assert len(relay.sink.arrivals) == 2, "a plan sends nothing"
    await relay.api("POST", f"/replay/plans/{plan['id']}/run")
    return str(plan["id"])


async def _replay_by_cli(relay: Relay) -> str:
    code, plan = await relay.call("replay", "plan", "--target", "hooks", "--reason", "the target works again")
    assert (code, plan["total"]) == (0, 1)
    assert len(relay.sink.arrivals) == 2, "a plan sends nothing"
    code, _ = await relay.call("replay", "run", plan["id"])
    assert code == 0
    return str(plan["id"])


async def test_a_dead_delivery_is_retried_by_the_command_line(tmp_path: Path) -> None:
    """`relay deliveries retry` opens it once more, with the same key."""
    refusing = [True]
    async with Sink(decide=lambda _: 422 if refusing else 202) as sink, Relay(tmp_path, sink) as relay:
        await relay.start("web")
        await relay.start("worker")
        answer = await relay.sender.post(thin("one", "shift/1"))
        (event,) = (one["id"] for one in answer.json["events"])
        await ended(relay, event, "dead")
        refusing.clear()
        code, _ = await relay.call("deliveries", "retry", event, "hooks")
        assert code == 0
        await ended(relay, event, "delivered")
        assert len(sink.arrivals) == 2
        assert len(sink.counts) == 1
