"""What one attempt came to, on real sockets, from the store through the pipeline to the far side and back.

Each way in which a far side can misbehave ends in the right one of the five outcomes, and the number of requests
that we believe to have sent is the number that the far side has whole.
"""

from __future__ import annotations

import base64
import contextlib
import secrets
import socket
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from ipaddress import ip_network
from typing import Any

import pytest
import redis.asyncio as aioredis
from aiohttp.abc import AbstractResolver, ResolveResult

from relay.events import Attempt, Delivery, DeliveryState, Event, Outcome, event_id
from relay.http import AddressPolicy, OutgoingTransport
from relay.jobs import Jobs
from relay.messages import Messages
from relay.pipeline import Line, Outside, Pipeline
from relay.routing import Router
from relay.settings import load_mapping
from relay.store.keys import Keys
from relay.store.reading import Reading
from relay.store.server import EmbeddedServer
from relay.store.store import Store
from relay.store.work import Lane
from relay.targets import build
from tests.fakes import FakeClock, FakePlanday
from tests.servers import (
    Behaviour,
    Server,
    answer,
    close_after_request,
    drip,
    endless,
    plain,
    raw_answer,
    refusing_port,
    reset_after_head,
    reset_after_request,
    silent,
    stall_after_head,
)

SECRET = "whsec_" + base64.b64encode(bytes(range(32))).decode()
LARGE = "x" * (8 * 1024 * 1024)  # more than the buffers of both sockets hold
LARGE_ANSWER = b"x" * (1024 * 1024)
INSIDE = "inside.invalid"  # resolves to this machine


class Names(AbstractResolver):
    """A name server that knows one name, so that none is ever asked off this machine."""

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        if host != INSIDE:
            raise socket.gaierror(socket.EAI_NONAME, "no such name")
        return [ResolveResult(hostname=host, host="127.0.0.1", port=port, family=socket.AF_INET, proto=0, flags=0)]

    async def close(self) -> None:
        pass


@dataclass(frozen=True)
class Case:
    """A far side, the outcome of an attempt, and how often it has the request whole after one attempt."""

    outcome: Outcome
    whole: int
    behaviour: Behaviour | None = None
    host: str = "127.0.0.1"
    large: bool = False
    allow: str = "127.0.0.0/8"


CASES = {
    "taken": Case(Outcome.DELIVERED, 1, answer(202)),
    "refused": Case(Outcome.RETRY, 0),
    "unresolved": Case(Outcome.RETRY, 0, answer(202), host="hooks.invalid"),
    "address forbidden": Case(Outcome.TARGET_BROKEN, 0, answer(202), host=INSIDE, allow="10.9.8.0/24"),
    "reset before the body": Case(Outcome.RETRY, 0, reset_after_head, large=True),
    "stalled before the body": Case(Outcome.RETRY, 0, stall_after_head, large=True),
    "closed after the body": Case(Outcome.UNKNOWN, 1, close_after_request),
    "closed after a large body": Case(Outcome.UNKNOWN, 1, close_after_request, large=True),
    "reset after the body": Case(Outcome.UNKNOWN, 1, reset_after_request),
    "no answer": Case(Outcome.UNKNOWN, 1, silent),
    "garbage answer": Case(Outcome.UNKNOWN, 1, raw_answer(b"220 mail.example ESMTP ready\r\n")),
    "half an answer": Case(Outcome.UNKNOWN, 1, raw_answer(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")),
    "answer in drops": Case(Outcome.UNKNOWN, 1, drip),
    # The status has come: it says what became of the message, and the rest is not read.
    "answer too large, yes": Case(Outcome.DELIVERED, 1, endless),
    "answer too large, later": Case(Outcome.RETRY, 1, raw_answer(plain(503, LARGE_ANSWER))),
    "answer too large, no": Case(Outcome.REJECTED, 1, raw_answer(plain(422, LARGE_ANSWER))),
    "come back later": Case(Outcome.RETRY, 1, answer(503)),
    "never": Case(Outcome.REJECTED, 1, answer(422)),
    "redirect": Case(Outcome.TARGET_BROKEN, 1, answer(302, b"", "Location: https://elsewhere.example/")),
    "bad credentials": Case(Outcome.TARGET_BROKEN, 1, answer(401)),
}

# What follows an outcome, and after how many of the three attempts that the schedule allows.
FOLLOWS = {
    (Outcome.DELIVERED, True): (DeliveryState.DELIVERED, 1),
    (Outcome.DELIVERED, False): (DeliveryState.DELIVERED, 1),
    (Outcome.RETRY, True): (DeliveryState.DEAD, 3),
    (Outcome.RETRY, False): (DeliveryState.DEAD, 3),
    (Outcome.REJECTED, True): (DeliveryState.DEAD, 1),
    (Outcome.REJECTED, False): (DeliveryState.DEAD, 1),
    (Outcome.TARGET_BROKEN, True): (DeliveryState.DEAD, 1),
    (Outcome.TARGET_BROKEN, False): (DeliveryState.DEAD, 1),
    (Outcome.UNKNOWN, True): (DeliveryState.DEAD, 3),
    (Outcome.UNKNOWN, False): (DeliveryState.PARKED, 1),
}


@pytest.fixture(scope="module")
def server_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A store for this file alone."""
    with EmbeddedServer(tmp_path_factory.mktemp("store"), appendfsync="everysec") as server:
        yield server.url


@pytest.fixture
async def store(server_url: str) -> AsyncIterator[Store]:
    """Under a prefix that no other test has."""
    keys = Keys(f"t{secrets.token_hex(6)}:")
    async with aioredis.Redis.from_url(server_url) as client:
        yield Store(client, keys, backlog_limit=1000, bell=Jobs(keys.prefix, keys.queue).bell)


@contextlib.asynccontextmanager
async def line(store: Store, case: Case, port: int, *, dedupes: bool, clock: FakeClock) -> AsyncIterator[Pipeline]:
    """The pipeline with one real webhook target; time stands still between attempts, sockets live in real time."""
    table = {
        "type": "webhook",
        "url": f"http://{case.host}:{port}/hooks",
        "signing_secret": "env:S",
        "events": ["*"],
        "fields": ["class:A", "data.received"],
        "allow_http": True,
        "allow_networks": [case.allow],
        "allow_ports": [port],
        "dedupes": dedupes,
        # Long enough that a large body is never cut off by it, where it is not what the case is about.
        "retry": {"schedule": ["1s", "1s"], "timeout": "300ms" if _waits(case) else "10s"},
    }
    settings = load_mapping({"targets": {"far": table}}, environ={"S": SECRET})
    transport = None
    if case.host.endswith(".invalid"):
        policy = AddressPolicy(allow_networks=(ip_network(case.allow),), allow_ports=frozenset({port}), allow_http=True)
        transport = OutgoingTransport(policy, fresh=not dedupes, resolver=Names())
    target = build("far", settings.targets["far"], messages=Messages(), transport=transport)
    lane = Lane(target="far", concurrency=1, per_second=None, burst=1, limiter="far", dedupes=dedupes)
    made = Line(planday=FakePlanday(), router=Router(settings.targets), targets={"far": target}, lanes=(lane,))
    outside = Outside(clock=clock, sleep=clock.sleep, chance=lambda: 0.0)
    try:
        yield Pipeline(store, made, outside)
    finally:
        await target.aclose()


def _waits(case: Case) -> bool:
    return case.behaviour in (silent, drip, stall_after_head)


async def run_out(store: Store, pipeline: Pipeline, clock: FakeClock) -> None:
    """Work from due time to due time until nothing is due any more."""
    for _ in range(10):
        claim = await store.claim(pipeline.lanes, now=clock(), lease=60, most_events=10, most_deliveries=10)
        for event in claim.events:
            await pipeline.process(event)
        for delivery in claim.deliveries:
            await pipeline.deliver(delivery)
        if not claim.events and not claim.deliveries:
            if claim.next_due is None:
                return
            clock.now = max(clock.now, claim.next_due)
    raise AssertionError("still not done")


async def deliver(store: Store, case: Case, port: int, *, dedupes: bool) -> tuple[Delivery, list[Attempt]]:
    """One event all the way: the delivery at its end, and its attempts."""
    clock = FakeClock()
    number = secrets.token_hex(8)
    event = Event(
        id=event_id("test", number),
        source="test",
        sender_id=number,
        type="planday.shift.published",
        portal=4100001,
        entity="shift",
        entity_id=number,
        received_at=clock(),
        received={"filler": LARGE} if case.large else None,
    )
    async with line(store, case, port, dedupes=dedupes, clock=clock) as pipeline:
        await store.accept([event], now=clock())
        await run_out(store, pipeline, clock)
    reading = Reading(store.client, store.keys)
    return await reading.delivery(event.id, "far"), await reading.attempts(event.id, "far")


def sent(attempts: list[Attempt]) -> int:
    """How many requests we believe the far side to have whole."""
    return sum(one.status is not None or one.outcome is Outcome.UNKNOWN for one in attempts)


@pytest.mark.parametrize("dedupes", [True, False], ids=["dedupes", "does not dedupe"])
@pytest.mark.parametrize("name", list(CASES))
async def test_outcome(store: Store, name: str, dedupes: bool) -> None:
    """The right outcome at every attempt, the right end, and a count that both sides share."""
    case = CASES[name]
    state, attempts_allowed = FOLLOWS[case.outcome, dedupes]
    async with contextlib.AsyncExitStack() as stack:
        server = await stack.enter_async_context(Server(case.behaviour)) if case.behaviour else None
        port = server.port if server else stack.enter_context(refusing_port())
        delivery, attempts = await deliver(store, case, port, dedupes=dedupes)
        whole = server.received if server else []
    assert [one.outcome for one in attempts] == [case.outcome] * attempts_allowed, attempts[0].reason
    assert (delivery.state, delivery.attempts) == (state, attempts_allowed)
    assert len(whole) == sent(attempts) == case.whole * attempts_allowed
    assert all(one.reason for one in attempts)
    keys: set[Any] = {one.header("idempotency-key") for one in whole}
    assert len(keys) == min(len(whole), 1)
