"""Whatever goes wrong at Planday ends in one of our errors, costs little and is told to nobody in detail."""

from __future__ import annotations

import asyncio
import heapq
import itertools
from ipaddress import IPv4Network
from typing import Any

import httpx
import pytest
import redis.asyncio

from relay.errors import PlandayUnavailable
from relay.http import AddressPolicy, OutgoingTransport
from relay.planday import endpoints
from relay.planday.limits import BULK, FEED
from relay.simulator.faults import Fault
from relay.simulator.flavours import BISTRO, HARBOUR, IDA
from relay.simulator.server import running
from tests.integration.planday_world import World
from tests.servers import (
    Behaviour,
    Server,
    answer,
    close_after_request,
    raw_answer,
    reset_after_head,
    reset_after_request,
)

SHIFT = 70010045
PATH = "/scheduling/v1.0/shifts/*"
SHIFTS = "/scheduling/v1.0/shifts/{shiftId}"
LOOPBACK = AddressPolicy(
    allow_networks=(IPv4Network("127.0.0.0/8"),), allow_ports=frozenset(range(65536)), allow_http=True
)


@pytest.fixture
def world(redis_client: redis.asyncio.Redis, prefix: str) -> World:
    made = World(redis_client, prefix)
    made.generous()
    return made


@pytest.mark.parametrize("kind", ["500", "503", "html", "empty", "truncated", "drop", "drop-after"])
async def test_a_hiccup_is_asked_again_within_the_call(world: World, kind: str) -> None:
    """Twice it fails, the third try brings the record; each try is counted against the budget."""
    world.simulator.faults.add(Fault(PATH, kind, count=2))
    found = await world.enrich(world.planday(), "planday.shift.updated", SHIFT)
    assert found.state == "complete"
    assert world.asked()[SHIFTS] == 3


@pytest.mark.parametrize(
    ("kind", "more"),
    [
        ("500", {}),
        ("503", {}),
        ("html", {}),
        ("html", {"status": 200}),
        ("html", {"status": 502}),
        ("empty", {}),
        ("truncated", {}),
        ("drop", {}),
        ("drop-after", {}),
    ],
)
async def test_what_stays_broken_is_for_later(world: World, kind: str, more: dict[str, Any]) -> None:
    """Three tries, then the event waits; the text names the endpoint and no id."""
    world.simulator.faults.add(Fault(PATH, kind, count=-1, **more))
    with pytest.raises(PlandayUnavailable) as caught:
        await world.enrich(world.planday(), "planday.shift.updated", SHIFT)
    assert type(caught.value) is PlandayUnavailable
    assert str(SHIFT) not in str(caught.value)
    assert "{id}" in str(caught.value)
    assert caught.value.__cause__ is None
    assert world.asked()[SHIFTS] == 3


@pytest.mark.parametrize(
    ("status", "state", "missing"),
    [
        (400, "partial", ("object: gone",)),
        (404, "partial", ("object: gone",)),
        (410, "partial", ("object: gone",)),
        (403, "partial", ("object: 403 scope shift:read",)),
    ],
)
async def test_refusals_of_one_record_are_final(
    world: World, status: int, state: str, missing: tuple[str, ...]
) -> None:
    """Asked once, whatever the body says."""
    world.simulator.faults.add(Fault(PATH, "status", status=status, body='{"data": {"id": 70010045}}'))
    found = await world.enrich(world.planday(), "planday.shift.updated", SHIFT)
    assert (found.state, found.missing) == (state, missing)
    assert world.asked()[SHIFTS] == 1


async def test_a_slow_answer_is_an_answer(world: World) -> None:
    """A delay within the limit is none of our business."""
    world.simulator.faults.add(Fault(PATH, "delay", seconds=0.01))
    assert (await world.enrich(world.planday(), "planday.shift.updated", SHIFT)).state == "complete"


async def test_what_was_slow_to_fail_is_not_tried_again_at_once(world: World) -> None:
    """Three times fifteen seconds would hold up everything behind it."""

    class TimesOut(httpx.AsyncBaseTransport):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            if request.url.path.startswith("/scheduling"):
                world.clock.advance(15)
                raise httpx.ReadError("MARKER")
            return await httpx.ASGITransport(world.app).handle_async_request(request)

    with pytest.raises(PlandayUnavailable) as caught:
        await world.enrich(world.planday(transport=TimesOut()), "planday.shift.updated", SHIFT)
    assert "MARKER" not in str(caught.value)
    assert [call.status for call in world.calls if call.endpoint == endpoints.SHIFT.template] == [0]
    assert world.calls[-1].seconds == pytest.approx(15)


@pytest.mark.parametrize(
    ("kind", "least", "most"), [("429-reset", 33.1, 33.5), ("429-retry-after", 33.1, 33.5), ("429-bare", 1.0, 2.0)]
)
async def test_a_429_stops_every_process_until_it_is_over(world: World, kind: str, least: float, most: float) -> None:
    """One refusal, no further call of anybody to this portal, and then it goes on."""
    one, other = world.planday(), world.planday()
    world.simulator.faults.add(Fault(PATH, kind, reset=33))
    with pytest.raises(PlandayUnavailable) as caught:
        await world.enrich(one, "planday.shift.updated", SHIFT)
    assert caught.value.retry_after is not None
    assert least <= caught.value.retry_after <= most
    asked = world.asked()
    if kind != "429-bare":
        with pytest.raises(PlandayUnavailable, match="rate limit") as caught:
            await world.enrich(other, "planday.shift.updated", SHIFT)
        assert caught.value.retry_after == pytest.approx(33.3, abs=0.3)
        assert (await other.status("bistro")).blocked_for == pytest.approx(33.3, abs=0.3)
        assert world.asked() == asked
    world.clock.advance(34)
    assert (await world.enrich(other, "planday.shift.updated", SHIFT)).state == "complete"


async def test_a_block_of_one_portal_leaves_the_others_alone(world: World) -> None:
    """Portals share a client id, not a portal's budget."""
    planday = world.planday()
    world.simulator.faults.add(Fault(PATH, "429-reset", reset=33, portal=BISTRO))
    with pytest.raises(PlandayUnavailable):
        await world.enrich(planday, "planday.shift.updated", SHIFT)
    assert (await world.enrich(planday, "planday.shift.updated", SHIFT, portal=HARBOUR)).state == "complete"


async def test_a_retry_after_on_503_is_passed_on(world: World) -> None:
    """And asked again at once it is not."""
    inner = httpx.ASGITransport(world.app)

    class Busy(httpx.AsyncBaseTransport):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            if request.url.path.startswith("/scheduling"):
                return httpx.Response(503, headers={"retry-after": "40"})
            return await inner.handle_async_request(request)

    with pytest.raises(PlandayUnavailable) as caught:
        await world.enrich(world.planday(transport=Busy()), "planday.shift.updated", SHIFT)
    assert caught.value.retry_after == 40.0
    assert [call.status for call in world.calls][-1] == 503


class Party:
    """Virtual time for callers that run at once: it moves only when every one of them sleeps."""

    def __init__(self, world: World, size: int) -> None:
        self._world = world
        self._size = size
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []
        self._ticket = itertools.count()

    async def sleep(self, seconds: float) -> None:
        future = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self._world.now() + seconds, next(self._ticket), future))
        self._move()
        await future

    def leave(self) -> None:
        self._size -= 1
        self._move()

    def _move(self) -> None:
        if self._sleepers and len(self._sleepers) == self._size:
            at, _, future = heapq.heappop(self._sleepers)
            self._world.clock.advance(max(at - self._world.now(), 0.0))
            future.set_result(None)


@pytest.mark.parametrize(("per_second", "per_minute"), [(20, 750), (20, 100), (7, 750)])
async def test_full_speed_meets_no_refusal(world: World, per_second: int, per_minute: int) -> None:
    """Forty callers in two processes read as fast as they may, under the windows that Planday really counts."""
    limits = {"portal_per_second": per_second, "portal_per_minute": per_minute}
    world.simulator.settings.change({**limits, "client_per_second": 100, "client_per_minute": 2000})
    processes = [world.planday(max_wait=600.0) for _ in range(2)]
    for planday in processes:
        await planday.client("bistro").record(endpoints.EMPLOYEE, IDA)
    began, party = world.now(), Party(world, 40)
    world.sleep = party.sleep  # type: ignore[method-assign]

    async def caller(number: int) -> None:
        for _ in range(5):
            await processes[number % 2].client("bistro").record(endpoints.EMPLOYEE, IDA)
        party.leave()

    await asyncio.gather(*map(caller, range(40)))
    assert world.simulator.log.by_status["429"] == 0
    took = world.now() - began
    slowest = max(200 / per_second, 60 * (200 // per_minute))
    assert slowest * 0.8 <= took <= slowest * 1.35


async def test_a_caller_is_not_held_longer_than_it_wants(world: World) -> None:
    """Two seconds by default; then it is told when to come back."""
    world.simulator.settings.change({"portal_per_second": 5, "portal_per_minute": 8})
    planday = world.planday()

    async def busy() -> None:
        for _ in range(20):
            world.clock.advance(1)
            await world.enrich(planday, "planday.shift.updated", SHIFT)

    with pytest.raises(PlandayUnavailable, match="rate limit") as caught:
        await busy()
    assert caught.value.retry_after is not None
    assert caught.value.retry_after > 2
    assert world.simulator.log.by_status["429"] == 0


async def test_less_urgent_reads_leave_room_for_live_events(world: World) -> None:
    """The feed is sent away while an event still gets through."""
    world.simulator.settings.change({"portal_per_minute": 50})
    planday = world.planday(max_wait=0.0)
    client = planday.client("bistro")

    async def use_up(priority: int) -> None:
        for _ in range(60):
            await client.record(endpoints.EMPLOYEE, IDA, priority=priority)
            world.clock.advance(0.3)

    for priority, left in ((BULK, 20), (FEED, 10)):
        with pytest.raises(PlandayUnavailable):
            await use_up(priority)
        budget = {(item.scope, item.window): item.left for item in (await planday.status("bistro")).budget}
        assert budget["portal", 60] == left
    assert (await client.record(endpoints.EMPLOYEE, IDA))["id"] == IDA


async def test_no_call_leaves_a_trace_of_whom_it_was_about(world: World) -> None:
    """What is reported names templates; headers and paths are right at the far side."""
    planday = world.planday()
    await world.enrich(planday, "planday.shift.updated", SHIFT)
    assert {call.portal for call in world.calls} == {"bistro"}
    assert {call.status for call in world.calls} == {200}
    assert str(IDA) not in str(world.calls)
    assert world.unexpected() == []


@pytest.mark.parametrize(
    "behaviour",
    [reset_after_head, close_after_request, reset_after_request, raw_answer(b"\0\1 garbage"), answer(200, b"<html>")],
)
async def test_real_sockets_that_break_are_for_later(world: World, behaviour: Behaviour) -> None:
    """Through the transport that the relay uses; every request that was made is counted by the far side."""
    transport = OutgoingTransport(LOOPBACK)
    async with Server(behaviour) as server:
        portal = world.portal().model_copy(update={"api_url": server.url, "identity_url": server.url})
        planday = world.planday(portals={"bistro": portal}, transport=transport)
        with pytest.raises(PlandayUnavailable) as caught:
            await world.enrich(planday, "planday.shift.updated", SHIFT)
        assert server.connections == len(world.calls) == 1
    assert caught.value.__cause__ is None
    again = world.planday(portals={"bistro": portal}, transport=transport)
    with pytest.raises(PlandayUnavailable, match="cannot connect"):
        await world.enrich(again, "planday.shift.updated", SHIFT)
    await transport.aclose()


async def test_real_sockets_that_work(world: World) -> None:
    """The simulator over the loopback, with a dropped connection on the way."""
    transport = OutgoingTransport(LOOPBACK, max_answer=8 * 1024 * 1024)
    async with running(world.app) as url:
        portal = world.portal().model_copy(update={"api_url": url, "identity_url": url + "/"})
        planday = world.planday(portals={"bistro": portal}, transport=transport)
        world.simulator.faults.add(Fault(PATH, "drop"))
        assert (await world.enrich(planday, "planday.shift.updated", SHIFT)).state == "complete"
        assert world.asked()[SHIFTS] == 2
        assert world.unexpected() == []
        await transport.aclose()
