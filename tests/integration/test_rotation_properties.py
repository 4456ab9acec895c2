"""Whatever is begun, finished, given up and configured anew: a receiver that follows what it was told is never lost."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from dataclasses import dataclass

import redis.asyncio as aioredis
from cryptography.fernet import Fernet
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from relay.errors import RefusedError
from relay.store.cipher import FernetCipher
from relay.store.keys import Keys
from relay.store.rotation import SETTLED_AFTER, SigningSecrets

KEYS = [Fernet.generate_key() for _ in range(3)]
CONFIGURED = {"a": ("whsec_a",), "b": ("whsec_b", "whsec_a")}
SMALL = settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@dataclass
class Model:
    """What ought to be kept, in plain words; secrets are their own names."""

    configured: str = ""
    coming: str = ""
    alone: str = ""

    def holds(self, config: str) -> bool:
        return self.configured == config

    def signing(self, config: str) -> tuple[str, ...]:
        if not self.holds(config):
            return CONFIGURED[config]
        before = (self.alone,) if self.alone else CONFIGURED[config]
        return (self.coming, *before) if self.coming else before

    def begin(self, config: str, secret: str) -> None:
        self.alone = self.alone if self.holds(config) else ""
        self.configured, self.coming = config, secret

    def may(self, action: str, config: str) -> bool:
        match action:
            case "begin":
                return not (self.holds(config) and self.coming)
            case "finish":
                return self.holds(config) and bool(self.coming)
            case _:
                return bool(self.coming) if self.holds(config) else bool(self.configured)

    def finish(self) -> None:
        self.alone, self.coming = self.coming, ""

    def abort(self, config: str) -> None:
        if not self.holds(config) or not self.alone:
            self.configured = self.alone = ""
        self.coming = ""


steps = st.tuples(
    st.sampled_from(("begin", "begin", "finish", "abort", "restart", "other key")), st.sampled_from(("a", "a", "b"))
)


@SMALL
@given(todo=st.lists(steps, max_size=16))
def test_every_worker_signs_as_its_own_settings_and_the_record_say(
    redis_server: str, todo: list[tuple[str, str]]
) -> None:
    """Two workers with other settings over one record, keys exchanged and workers started on the way: both are right
    after every step, and what is refused has changed nothing."""

    async def scenario(client: aioredis.Redis, keys: Keys) -> None:
        now, key, model = [1000.0], [0], Model()

        def started(config: str) -> SigningSecrets:
            # The key in use and the one before, as an exchange leaves them.
            known = [KEYS[key[0] % 3], KEYS[(key[0] - 1) % 3]]
            configured = {"hours": CONFIGURED[config]}
            return SigningSecrets(client, keys, cipher=FernetCipher(known), configured=configured, clock=lambda: now[0])

        workers = {config: started(config) for config in CONFIGURED}
        for action, config in todo:
            worker = workers[config]
            match action:
                case "restart":
                    workers[config] = started(config)
                    await workers[config].open()
                case "other key":
                    key[0] += 1
                    # All are restarted before the next exchange: the record is written anew by each.
                    for name in CONFIGURED:
                        workers[name] = started(name)
                        await workers[name].open()
                    if model.configured:
                        await workers[model.configured].open()
                case _:
                    allowed = model.may(action, config)
                    with contextlib.suppress(RefusedError):
                        told = await getattr(worker, action)("hours", **({"by": "x"} if action == "begin" else {}))
                        assert allowed, (action, config, model)
                        allowed = False
                        if action == "begin":
                            model.begin(config, told)
                        elif action == "finish":
                            model.finish()
                        else:
                            model.abort(config)
                    assert not allowed, (action, config, model)
            now[0] += SETTLED_AFTER
            for name, one in workers.items():
                assert await one.of("hours") == model.signing(name), (action, config, name)

    async def run() -> None:
        client = aioredis.Redis.from_url(redis_server)
        prefix = f"t{secrets.token_hex(6)}:"
        try:
            await scenario(client, Keys(prefix))
        finally:
            await client.delete(Keys(prefix).signing("hours"))
            await client.aclose()

    asyncio.run(run())


@SMALL
@given(ends=st.lists(st.sampled_from(("finish", "abort")), max_size=8))
def test_a_receiver_that_takes_each_new_secret_in_the_overlap_is_never_lost(redis_server: str, ends: list[str]) -> None:
    """Before, during and after each rotation at least one signature is of a secret that it has just then."""

    async def scenario(client: aioredis.Redis, keys: Keys) -> None:
        now = [1000.0]
        worker = SigningSecrets(
            client,
            keys,
            cipher=FernetCipher([KEYS[0]]),
            configured={"hours": ("whsec_old",)},
            clock=lambda: now[0],
        )

        async def signing() -> set[str]:
            now[0] += SETTLED_AFTER
            return set(await worker.of("hours"))

        has = "whsec_old"
        for end in ends:
            assert has in await signing()
            new = await worker.begin("hours", by="x")
            assert {has, new} == await signing()
            if end == "finish":
                await worker.finish("hours")
                has = new
            else:
                await worker.abort("hours")
            assert {has} == await signing()

    async def run() -> None:
        client = aioredis.Redis.from_url(redis_server)
        prefix = f"t{secrets.token_hex(6)}:"
        try:
            await scenario(client, Keys(prefix))
        finally:
            await client.delete(Keys(prefix).signing("hours"))
            await client.aclose()

    asyncio.run(run())
