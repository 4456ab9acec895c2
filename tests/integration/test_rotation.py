"""Rotating a signing secret: whom the receiver can verify, through overlap, end, restart, and other settings."""

from __future__ import annotations

import asyncio
import base64
import json
import logging
import re
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from typing import Any

import httpx
import pytest
import redis.asyncio
from cryptography.fernet import Fernet
from openapi_schema_validator import OAS31Validator
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from relay import jobs
from relay.errors import RefusedError
from relay.messages import sample
from relay.services import Services, open_services
from relay.settings import Settings, load_mapping
from relay.store.client import command
from relay.store.rotation import KNOWN_AFTER, SETTLED_AFTER, Rotation
from relay.targets import Result, Sending
from relay.web.openapi import document
from tests.integration.web_world import TOKEN, problem, web_over
from tests.servers import Received, Server, answer

OLD = "whsec_" + base64.b64encode(bytes(range(32))).decode()
OTHER = "whsec_" + base64.b64encode(bytes(range(50, 82))).decode()
KEY = Fernet.generate_key().decode()


class Clock:
    """Time that the test moves; the receiver's library reads the real one, so it begins there."""

    def __init__(self, now: float) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


class Relay:
    """A receiver, and any number of workers that send to it."""

    def __init__(self, url: str, prefix: str, far: Server, clock: Clock) -> None:
        self.url, self.prefix, self.far, self.clock = url, prefix, far, clock

    def settings(self, secrets: Sequence[str] = (OLD,), *, keys: str = KEY) -> Settings:
        environ = {f"SIGN_{at}": secret for at, secret in enumerate(secrets)}
        environ |= {"REDIS_URL": self.url, "RELAY_ADMIN_TOKEN": TOKEN} | (
            {"RELAY_ENCRYPTION_KEYS": keys} if keys else {}
        )
        hours = {
            "type": "webhook",
            "url": self.far.url,
            "signing_secret": [f"env:SIGN_{at}" for at in range(len(secrets))],
            "events": ["planday.*"],
            "allow_http": True,
            "allow_networks": ["127.0.0.0/8"],
        }
        ops = {"type": "slack", "url": "https://hooks.example/services/x", "events": ["planday.*"]}
        body = {
            "relay": {"key_prefix": self.prefix},
            "store": {"url": "env:REDIS_URL"},
            "targets": {"hours": hours, "ops": ops},
        }
        return load_mapping(body, environ=environ)

    @asynccontextmanager
    async def worker(self, secrets: Sequence[str] = (OLD,), *, keys: str = KEY) -> AsyncIterator[Services]:
        loaded = self.settings(secrets, keys=keys)
        async with open_services(loaded, worker=True, clock=self.clock, strict=False) as services:
            yield services

    async def rotate(self, worker: Services, action: str = "begin") -> str:
        """The answer's secret; every worker knows afterwards."""
        answer_ = await worker.errands.rotate_secret("hours", action, by="cli:anna")
        self.clock.now += SETTLED_AFTER
        return answer_["secret"] or ""

    async def send(self, worker: Services) -> Result:
        envelope = sample("planday.shift.updated")
        sending = Sending(event_id="evt_1", target="hours", attempt=1, envelope=envelope, now=self.clock())
        return await worker.targets["hours"].send(sending)

    async def sent(self, worker: Services) -> Received:
        assert (await self.send(worker)).outcome == "delivered"
        return self.far.received[-1]


def verified_by(received: Received, *secrets: str) -> list[bool]:
    """Whether a receiver that has just this secret takes it, by a library that is not ours."""

    def takes(secret: str) -> bool:
        try:
            Webhook(secret).verify(received.body.decode(), dict(received.headers))
        except WebhookVerificationError:
            return False
        return True

    return [takes(secret) for secret in secrets]


def first_signature(received: Received, secret: str) -> bool:
    """Whether the first signature of the header is of this secret."""
    header = received.header("webhook-signature") or ""
    names = {"webhook-signature": header.split(" ")[0]}
    return verified_by(Received("", tuple({**dict(received.headers), **names}.items()), received.body), secret) == [
        True
    ]


@pytest.fixture
async def relay(redis_server: str, prefix: str) -> AsyncIterator[Relay]:
    async with Server(answer(204)) as far:
        yield Relay(redis_server, prefix, far, Clock(float(int(time.time()))))


async def test_both_sign_until_it_is_finished_then_the_new_one_alone(relay: Relay) -> None:
    """Receivers with the old and with the new secret take what is sent meanwhile; afterwards only the new one."""
    async with relay.worker() as worker:
        assert verified_by(await relay.sent(worker), OLD) == [True]
        new = await relay.rotate(worker)
        assert re.fullmatch(r"whsec_[A-Za-z0-9+/]{43}=", new)
        received = await relay.sent(worker)
        assert verified_by(received, OLD, new) == [True, True]
        assert first_signature(received, new)
        assert not await relay.rotate(worker, "finish")
        assert verified_by(await relay.sent(worker), OLD, new) == [False, True]


async def test_aborted_the_configured_one_signs_alone(relay: Relay) -> None:
    """What was made signs nothing any more, and nothing is kept of it."""
    async with relay.worker() as worker:
        new = await relay.rotate(worker)
        assert verified_by(await relay.sent(worker), OLD, new) == [True, True]
        await relay.rotate(worker, "abort")
        assert verified_by(await relay.sent(worker), OLD, new) == [True, False]
        assert await worker.rotations() == {}
        assert await worker.reading.client.get(worker.keys.signing("hours")) is None


async def test_a_second_rotation_lies_over_the_first(relay: Relay) -> None:
    """After one that was finished its secret is the old one: it signs beside the next, and again after an abort."""
    async with relay.worker() as worker:
        first = await relay.rotate(worker)
        await relay.rotate(worker, "finish")
        second = await relay.rotate(worker)
        assert verified_by(await relay.sent(worker), OLD, first, second) == [False, True, True]
        await relay.rotate(worker, "abort")
        assert verified_by(await relay.sent(worker), OLD, first, second) == [False, True, False]
        third = await relay.rotate(worker)
        await relay.rotate(worker, "finish")
        assert verified_by(await relay.sent(worker), OLD, first, third) == [False, False, True]


async def test_every_worker_follows_and_a_restart_changes_nothing(relay: Relay) -> None:
    """One worker is asked; the other signs by it within seconds, and so does one that starts in between."""
    async with relay.worker() as one, relay.worker() as two:
        await relay.sent(two)
        new = await relay.rotate(one)
        assert verified_by(await relay.sent(two), OLD, new) == [True, True]
        async with relay.worker() as started:
            assert verified_by(await relay.sent(started), OLD, new) == [True, True]
        await relay.rotate(two, "finish")
        assert verified_by(await relay.sent(one), OLD, new) == [False, True]
    async with relay.worker() as started:
        assert verified_by(await relay.sent(started), OLD, new) == [False, True]


async def test_it_is_not_finished_before_every_worker_signs_with_both(relay: Relay) -> None:
    """Else a receiver that has the new one alone would refuse what a worker sends that has not looked again."""
    async with relay.worker() as one, relay.worker() as two:
        await relay.sent(two)
        new = (await one.errands.rotate_secret("hours", "begin", by="cli:anna"))["secret"]
        relay.clock.now += SETTLED_AFTER - 0.5
        with pytest.raises(RefusedError, match="the rotation has just begun"):
            await relay.rotate(one, "finish")
        assert verified_by(await relay.sent(two), OLD, new) == [True, True]
        relay.clock.now += 0.5
        await relay.rotate(one, "finish")
        assert verified_by(await relay.sent(two), OLD, new) == [False, True]


async def test_until_it_looks_again_a_worker_signs_as_before(relay: Relay) -> None:
    """The store is asked once in a while, not once for each delivery; during overlap either is right."""
    async with relay.worker() as one, relay.worker() as two:
        await relay.sent(two)
        new = (await one.errands.rotate_secret("hours", "begin", by="cli:anna"))["secret"]
        assert verified_by(await relay.sent(two), OLD, new) == [True, False]
        relay.clock.now += KNOWN_AFTER
        assert verified_by(await relay.sent(two), OLD, new) == [True, True]


async def test_other_configured_secrets_win(relay: Relay) -> None:
    """Whoever writes other secrets into the configuration decides anew; with the old ones there, the rotation holds."""
    async with relay.worker() as worker:
        new = await relay.rotate(worker)
        await relay.rotate(worker, "finish")
    async with relay.worker([OTHER]) as changed:
        assert verified_by(await relay.sent(changed), OLD, new, OTHER) == [False, False, True]
        assert await changed.rotations() == {}
        with pytest.raises(RefusedError, match="no rotation"):
            await relay.rotate(changed, "finish")
        async with relay.worker() as not_restarted:
            assert verified_by(await relay.sent(not_restarted), OLD, new, OTHER) == [False, True, False]
        again = await relay.rotate(changed)
        assert verified_by(await relay.sent(changed), OTHER, again) == [True, True]


async def test_the_new_secret_in_the_configuration_ends_the_overlap(relay: Relay) -> None:
    """The usual end for those who keep their secrets elsewhere: it is written there, the workers start again."""
    async with relay.worker() as worker:
        new = await relay.rotate(worker)
    async with relay.worker([new]) as changed:
        assert verified_by(await relay.sent(changed), OLD, new) == [False, True]
        with pytest.raises(RefusedError, match="was changed since the rotation began"):
            await relay.rotate(changed, "finish")
        await relay.rotate(changed, "abort")
        assert verified_by(await relay.sent(changed), OLD, new) == [False, True]


async def test_only_what_makes_sense(relay: Relay) -> None:
    """No end without a beginning, no second beginning, and no signature for what is not signed."""
    async with relay.worker() as worker:
        for action in ("finish", "abort"):
            with pytest.raises(RefusedError, match="no rotation of hours's signing secret is under way"):
                await relay.rotate(worker, action)
        new = await relay.rotate(worker)
        with pytest.raises(RefusedError, match="is under way already"):
            await relay.rotate(worker)
        assert verified_by(await relay.sent(worker), OLD, new) == [True, True]
        with pytest.raises(RefusedError, match="ops is of type slack"):
            await worker.errands.rotate_secret("ops", "begin", by="cli:anna")


async def test_of_two_at_once_one_is_told_a_secret(relay: Relay) -> None:
    """Nobody is shown a secret that does not sign."""
    async with AsyncExitStack() as stack:
        workers = [await stack.enter_async_context(relay.worker()) for _ in range(4)]
        told = await asyncio.gather(
            *(one.errands.rotate_secret("hours", "begin", by="cli:anna") for one in workers), return_exceptions=True
        )
        relay.clock.now += KNOWN_AFTER
        (answered,) = (one for one in told if not isinstance(one, BaseException))
        assert sum(isinstance(one, RefusedError) for one in told) == 3
        for worker in workers:
            assert verified_by(await relay.sent(worker), OLD, answered["secret"]) == [True, True]


async def test_encryption_keys_can_be_exchanged_while_it_is_under_way(relay: Relay) -> None:
    """With the new key before the old one, then without the old one; a worker that runs on is not disturbed."""
    key = Fernet.generate_key().decode()
    async with relay.worker() as before:
        new = await relay.rotate(before)
        await relay.sent(before)
        async with relay.worker(keys=f"{key},{KEY}") as between:
            assert verified_by(await relay.sent(between), OLD, new) == [True, True]
        relay.clock.now += KNOWN_AFTER
        assert verified_by(await relay.sent(before), OLD, new) == [True, True]
    async with relay.worker(keys=key) as after:
        assert verified_by(await relay.sent(after), OLD, new) == [True, True]
        await relay.rotate(after, "finish")
        assert verified_by(await relay.sent(after), OLD, new) == [False, True]


async def test_without_the_key_nothing_goes_out_signed_by_the_wrong_one(relay: Relay) -> None:
    """The delivery waits and says what to do; the configured secret comes back by an abort, not by itself."""
    async with relay.worker() as worker:
        new = await relay.rotate(worker)
        await relay.rotate(worker, "finish")
    async with relay.worker(keys=Fernet.generate_key().decode()) as lost:
        result = await relay.send(lost)
        assert (result.outcome, relay.far.count) == ("retry", 0)
        assert "put the key that was in use before into RELAY_ENCRYPTION_KEYS" in result.reason
        with pytest.raises(RefusedError, match="none of the encryption keys"):
            await relay.rotate(lost)
        await relay.rotate(lost, "abort")
        assert verified_by(await relay.sent(lost), OLD, new) == [True, False]
    async with relay.worker(keys="") as none:
        assert verified_by(await relay.sent(none), OLD) == [True]
        with pytest.raises(RefusedError, match="RELAY_ENCRYPTION_KEYS is not set here"):
            await relay.rotate(none)


async def test_a_store_that_is_away_for_a_moment_changes_nothing(relay: Relay) -> None:
    """A worker that has looked goes on as it was."""
    async with relay.worker() as worker:
        new = await relay.rotate(worker)
        await relay.sent(worker)
        await worker.store.client.delete(worker.keys.signing("hours"))
        await command(
            worker.store.client, "LPUSH", worker.keys.signing("hours"), "not a string: every read is an error"
        )
        relay.clock.now += KNOWN_AFTER
        assert verified_by(await relay.sent(worker), OLD, new) == [True, True]


async def test_the_secret_is_told_once_and_stands_nowhere(
    relay: Relay, redis_client: redis.asyncio.Redis, caplog: pytest.LogCaptureFixture
) -> None:
    """Not in the store, the audit, a log, an attempt, a preview or the list; the answer of an errand is closed."""
    caplog.set_level(logging.DEBUG)
    async with relay.worker() as worker, Store(relay) as store:
        asked = asyncio.create_task(worker.errands.ask("rotate", "hours begin", by="api:anna"))
        stored = await store.run_one(worker)
        secret = (await asked)["secret"]
        assert secret.startswith("whsec_")
        bare = secret.removeprefix("whsec_")
        assert bare not in stored
        relay.clock.now += KNOWN_AFTER
        result = await relay.send(worker)
        assert bare not in repr(result)
        shown = await worker.errands.preview("hours", "sample:planday.shift.published", by="cli:anna")
        tested = await worker.errands.test_target("hours", by="cli:anna")
        rows = {name: repr(one) for name, one in (await worker.rotations()).items()}
        told = json.dumps([shown, tested, rows, worker.settings.model_dump(mode="json")], default=str)
        assert bare not in told + caplog.text
        everything = await dump(redis_client, relay.prefix)
        assert bare not in everything
        acts = await worker.keeping.audit.list(limit=10, act="targets.rotate-secret")
        assert [(one.by, one.act, one.on, one.result) for one in acts.rows] == [
            ("api:anna", "targets.rotate-secret", "hours", "under way")
        ]


async def test_a_record_says_what_is_under_way(relay: Relay) -> None:
    """For lists and checks, in processes that hold no secret."""
    async with relay.worker() as worker:
        began = relay.clock.now
        await relay.rotate(worker)
        (rotation,) = (await worker.rotations()).values()
        assert (rotation.under_way, rotation.since, rotation.by) == (True, round(began, 3), "cli:anna")
        finished = relay.clock.now
        await relay.rotate(worker, "finish")
        (rotation,) = (await worker.rotations()).values()
        assert (rotation.under_way, rotation.since, rotation.alone_since) == (False, None, round(finished, 3))
        assert Rotation.from_json(rotation.to_json()) == rotation


async def test_the_api_does_it_by_a_worker(relay: Relay) -> None:
    """Each answer is what the document says; the list says what is under way; nobody but an admin is shown a secret."""
    loaded = relay.settings()
    async with web_over(loaded, worker=True) as web, Store(relay) as store:
        relay.clock = Clock(web.services.clock())
        problem(await web.post("/targets/hours/rotate-secret", {"action": "begin"}), 409, "refused")
        await web.services.store.heartbeat(now=web.services.clock(), life=15, worker="w")

        async def asked(action: str) -> httpx.Response:
            post = web.post("/targets/hours/rotate-secret", {"action": action})
            answer_, _ = await asyncio.gather(post, store.run_one(web.services))
            return answer_

        begun = valid(await asked("begin"), "Rotated")
        assert (begun["state"], begun["secret"][:6]) == ("under way", "whsec_")
        rows = valid(await web.get("/targets"), "Targets")["targets"]
        assert {row["name"]: row["rotation"] and row["rotation"]["begun_by"] for row in rows} == {
            "hours": "admin-token",
            "ops": None,
        }
        assert "already" in problem(await asked("begin"), 409, "refused")["detail"]
        assert "just begun" in problem(await asked("finish"), 409, "refused")["detail"]
        await age(web.services)
        assert valid(await asked("finish"), "Rotated")["secret"] is None
        (row, _) = valid(await web.get("/targets"), "Targets")["targets"]
        assert (row["rotation"]["under_way_since"], row["rotation"]["begun_by"]) == (None, None)
        assert row["rotation"]["replaces_configured_since"]
        problem(await web.post("/targets/hours/rotate-secret", {"action": "stop"}), 422, "body")
        problem(await web.post("/targets/nobody/rotate-secret", {"action": "begin"}), 404, "not-found")


async def age(services: Services) -> None:
    """A rotation under way began long enough ago: on a real clock, nobody waits in a test."""
    key = services.keys.signing("hours")
    begun = Rotation.from_json(await services.store.client.get(key))
    await services.store.client.set(key, replace(begun, since=(begun.since or 0.0) - SETTLED_AFTER).to_json())


def valid(answer_: httpx.Response, schema: str) -> Any:
    """The answer, once it is what the document says."""
    assert answer_.status_code == 200, answer_.text
    OAS31Validator({"$ref": f"#/components/schemas/{schema}", **document()}).validate(answer_.json())
    return answer_.json()


class Store:
    """Does one errand as a worker does, and looks at what it left in the store."""

    def __init__(self, relay: Relay) -> None:
        self._client = redis.asyncio.Redis.from_url(relay.url)
        self._prefix = relay.prefix

    async def __aenter__(self) -> Store:
        return self

    async def __aexit__(self, *_: Any) -> None:
        await self._client.aclose()

    async def run_one(self, worker: Services) -> str:
        """All that stood in the store when the answer was there."""
        _, job, _ = await worker.arq.bzpopmin(worker.keys.queue, 5)
        errand = jobs.deserialize(await self._client.get(f"arq:job:{job.decode()}"))["a"]
        await self._client.delete(f"arq:job:{job.decode()}")
        # Nobody takes it away: the answer goes to another name, is looked at, and then handed on.
        asker, copy = errand[0], f"{errand[0]}copy"
        await self._client.rename(f"{worker.keys.errand(asker)}:in", f"{worker.keys.errand(copy)}:in")
        await worker.errands.run(copy, *errand[1:])
        stood = await dump(self._client, self._prefix)
        life = await self._client.ttl(worker.keys.errand(copy))
        assert 0 < life <= 60
        await self._client.rename(worker.keys.errand(copy), worker.keys.errand(asker))
        return stood


async def dump(client: redis.asyncio.Redis, prefix: str) -> str:
    """Every value under the prefix."""
    found = []
    async for key in client.scan_iter(match=f"{prefix}*", count=1000):
        found.append(repr(await client.dump(key)))
        match (await client.type(key)).decode():
            case "string":
                found.append(repr(await client.get(key)))
            case "list":
                found.append(repr(await command(client, "LRANGE", key, 0, -1)))
            case "hash":
                found.append(repr(await command(client, "HGETALL", key)))
    return "\n".join(found)
