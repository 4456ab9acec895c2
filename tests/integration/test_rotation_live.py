"""Workers at work while a signing secret is rotated by a process that has none of it: no event is lost to anybody."""

from __future__ import annotations

from contextlib import AsyncExitStack

from cryptography.fernet import Fernet

from relay.services import open_services
from relay.settings import load_mapping
from tests.integration.test_rotation import OLD, age, verified_by
from tests.integration.test_worker import World, event, until
from tests.servers import Server, answer


async def test_nothing_that_is_sent_meanwhile_is_lost_to_the_receiver(redis_server: str, prefix: str) -> None:
    """Until it is finished a receiver with the old secret takes everything; one with the new one from the overlap on.
    The workers are not restarted; the one that is started in between signs as the others do."""
    async with Server(answer(204)) as far, AsyncExitStack() as stack:
        hours = {
            "type": "webhook",
            "url": far.url,
            "signing_secret": "env:SIGN",
            "events": ["planday.*"],
            "allow_http": True,
            "allow_networks": ["127.0.0.0/8"],
        }
        body = {
            "relay": {"key_prefix": prefix},
            "store": {"url": "env:REDIS_URL"},
            "targets": {"hours": hours},
        }
        own = {"REDIS_URL": redis_server}
        environ = {**own, "SIGN": OLD, "RELAY_ENCRYPTION_KEYS": Fernet.generate_key().decode()}
        asker = await stack.enter_async_context(
            open_services(load_mapping(body, environ=own, role="store"), worker=False, strict=False)
        )

        async def start() -> World:
            opened = open_services(load_mapping(body, environ=environ), worker=True, strict=False)
            world = World(await stack.enter_async_context(opened), far)
            await stack.enter_async_context(world.working())
            return world

        async def sent(secret: str, *, by_all: bool) -> bool:
            """Ten more events arrive; whether a receiver with this secret takes all of them, or none."""
            count = far.count
            await asker.intake.accept([event() for _ in range(10)])
            await until(lambda: _there(far, count + 10))
            takes = {verified_by(one, secret)[0] for one in far.received[count:]}
            return takes == {by_all}

        workers = [await start(), await start()]
        assert await sent(OLD, by_all=True)
        told = await asker.errands.ask("rotate", "hours begin", by="api:anna")
        new = told["secret"]
        await until(lambda: sent(new, by_all=True))
        workers.append(await start())
        await until(lambda: sent(new, by_all=True))
        assert all(verified_by(received, OLD)[0] for received in far.received)
        await until(lambda: _know(workers, {OLD, new}))
        await age(asker)
        assert (await asker.errands.ask("rotate", "hours finish", by="api:anna"))["state"] == "finished"
        finished = far.count
        await until(lambda: sent(OLD, by_all=False))
        assert all(verified_by(received, new)[0] for received in far.received[finished:])
        stats = await asker.reading.stats(["hours"], now=asker.clock())
        assert (stats["targets"]["hours"]["delivered"], stats["targets"]["hours"]["dead"]) == (far.count, 0)


async def _there(far: Server, count: int) -> bool:
    return far.count >= count


async def _know(workers: list[World], secrets: set[str]) -> bool:
    """Each worker has looked, and signs with these."""
    signing = [worker.services.errands.signing for worker in workers]
    return all([one is not None and set(await one.of("hours")) == secrets for one in signing])
