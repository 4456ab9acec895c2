"""`relay targets preview`: the request of an event or a sample, and what it is to payroll, by the worker that holds the
secrets."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import httpx
import pytest
import redis.asyncio
from cryptography.fernet import Fernet

from relay import jobs
from relay.errors import NotFoundError, RefusedError
from relay.events import Event, event_id
from relay.services import Services, open_services
from relay.settings import Settings, load_mapping
from relay.store.client import command
from relay.web.app import create_app
from tests.servers import Server, answer

TARGETS: dict[str, Any] = {
    "pay": {
        "type": "payroll-http",
        "events": ["planday.payroll_line.*"],
        "fields": ["class:A", "class:B", "class:E"],
        "map": {
            "line": {"from": "line.key"},
            "amount": {"from": "data.object.salary", "convert": "decimal", "places": 2},
        },
        "amounts": ["amount"],
        "auth": {"type": "bearer", "token": "env:PAY_TOKEN"},
        "allow_http": True,
        "allow_networks": ["127.0.0.0/8"],
    },
    "hook": {"type": "webhook", "url": "https://a.example", "signing_secret": "env:SIGN", "events": ["planday.*"]},
}
TOKEN = "test-admin-token-0123456789"
LINE = "planday.payroll_line.created"


@pytest.fixture
async def far() -> AsyncIterator[Server]:
    """A pay office that takes all."""
    async with Server(answer(201)) as server:
        yield server


@pytest.fixture
def settings(redis_server: str, prefix: str, far: Server) -> Settings:
    """One payroll target and a webhook."""
    environ = {
        "PAY_TOKEN": "pay-token-canary",
        "SIGN": "whsec_" + "A" * 32,
        "REDIS_URL": redis_server,
        "RELAY_ADMIN_TOKEN": TOKEN,
        "RELAY_ENCRYPTION_KEYS": Fernet.generate_key().decode(),
    }
    targets = {**TARGETS, "pay": {**TARGETS["pay"], "url": far.url}}
    body = {"relay": {"key_prefix": prefix}, "store": {"url": "env:REDIS_URL"}, "targets": targets}
    return load_mapping(body, environ=environ)


@pytest.fixture
async def worker(settings: Settings) -> AsyncIterator[Services]:
    """A worker's part."""
    async with open_services(settings, worker=True) as services:
        yield services


async def test_a_sample(worker: Services, far: Server) -> None:
    """New, as it would go out; nothing does. Of another kind the request alone."""
    seen = await worker.errands.preview("pay", f"sample:{LINE}", by="cli:me")
    assert (seen["ok"], seen["standing"], seen["request"]["method"]) == (True, "new", "POST")
    assert seen["request"]["body"] == '{"line":"4100001:payroll_line/70010045","amount":1487.50}'
    assert "canary" not in json.dumps(seen)
    hook = await worker.errands.preview("hook", "sample:planday.shift.published", by="cli:me")
    assert (hook["ok"], hook["standing"]) == (True, "")
    assert far.count == 0


async def test_an_event(worker: Services) -> None:
    """As its delivery would send it: why no line can be made of it, or that it has to be enriched first."""
    event = Event(
        id=event_id("test", "1"),
        source="test",
        sender_id="1",
        type=LINE,
        portal=7,
        entity="payroll_line",
        entity_id="70010045",
        received_at=worker.clock(),
    )
    await worker.intake.accept([event])
    with pytest.raises(RefusedError, match="accepted and not enriched"):
        await worker.errands.preview("pay", event.id, by="cli:me")
    claim = await worker.store.claim(
        worker.pipeline.lanes, now=worker.clock(), lease=30, most_events=10, most_deliveries=10
    )
    await worker.pipeline.process(claim.events[0])
    seen = await worker.errands.preview("pay", event.id, by="cli:me")
    assert (seen["ok"], seen["standing"], seen["request"]) == (False, "refused", None)
    assert seen["note"] == "the record that it is about is not known"


@pytest.mark.parametrize(
    ("target", "what", "words"),
    [
        ("nobody", f"sample:{LINE}", "there is no target nobody"),
        ("pay", "sample:planday.payrol_line.created", "near it: planday.payroll_line.created"),
        ("pay", "evt_nothing", "evt_nothing"),
    ],
)
async def test_what_is_not_there(worker: Services, target: str, what: str, words: str) -> None:
    """Said by its name."""
    with pytest.raises(NotFoundError, match=words):
        await worker.errands.preview(target, what, by="cli:me")


async def test_a_test_event_is_no_pay(worker: Services, far: Server) -> None:
    """`targets test` sends a payroll target nothing, and says what to do instead."""
    await worker.errands.run("e1", "target", "pay", "cli:me")
    told = json.loads(await command(worker.store.client, "LPOP", worker.keys.errand("e1")))
    assert "relay targets preview" in told["error"]
    assert far.count == 0


async def test_the_api_has_it_from_a_worker(settings: Settings, worker: Services) -> None:
    """One of event and sample; the answer comes as the worker gave it."""
    async with AsyncExitStack() as stack:
        app = create_app(settings)
        await stack.enter_async_context(app.router.lifespan_context(app))
        client = await stack.enter_async_context(
            httpx.AsyncClient(
                transport=httpx.ASGITransport(app),
                base_url="http://relay",
                headers={"authorization": f"Bearer {TOKEN}"},
            )
        )
        path = "/api/v1/targets/pay/preview"
        assert (await client.post(path, json={"sample": LINE})).status_code == 409  # no worker runs
        await worker.store.heartbeat(now=worker.clock(), life=60, worker="w")
        assert (await client.post(path, json={})).status_code == 422
        assert (await client.post(path, json={"sample": LINE, "event": "evt_1"})).status_code == 422

        async def run() -> None:
            while not (queued := await _queued(worker)):  # noqa: ASYNC110 (arq has no event for it)
                await asyncio.sleep(0.01)
            await worker.errands.run(*queued)

        reply, _ = await asyncio.gather(client.post(path, json={"sample": LINE}), run())
        assert reply.status_code == 200
        assert reply.json()["standing"] == "new"
        reply, _ = await asyncio.gather(client.post(path, json={"event": "evt_nothing"}), run())
        assert reply.status_code == 404


async def _queued(worker: Services) -> list[str]:
    """The arguments of the errand that waits, taken off the queue."""
    redis_client: redis.asyncio.Redis = worker.store.client
    for key in await redis_client.zrange(worker.keys.queue, 0, -1):
        raw = await redis_client.get(f"arq:job:{key.decode()}")
        await redis_client.zrem(worker.keys.queue, key)
        if raw is not None:
            job = json.loads(raw)
            if job["f"] == jobs.ERRAND:
                return [str(one) for one in job["a"]]
    return []
