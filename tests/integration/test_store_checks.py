"""The start checks against real servers: what they say must be what the server is."""

from __future__ import annotations

import shutil
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import redis.asyncio

from relay.errors import StoreUnavailable, StoreUnfit
from relay.store.binary import Binary, bundled, probe
from relay.store.checks import Finding, inspect
from relay.store.server import EmbeddedServer

pytestmark = pytest.mark.store

PLACES = [place for place in (shutil.which("redis-server"), bundled()) if place]


@pytest.fixture(params=[probe(Path(place)) for place in PLACES], ids=str)
def server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[EmbeddedServer]:
    """A server that a test may set wrongly, once for each program that is installed here."""
    binary: Binary = request.param
    with EmbeddedServer(tmp_path, binary=binary) as started:
        yield started


@pytest.fixture
async def client(server: EmbeddedServer) -> AsyncIterator[redis.asyncio.Redis]:
    """A client of that server."""
    async with redis.asyncio.Redis.from_url(server.url) as opened:
        yield opened


async def findings(client: redis.asyncio.Redis, *, embedded: bool = True) -> list[Finding]:
    return await inspect(client, now=time.time, durability="always", embedded=embedded)


async def test_our_own_server_passes(client: redis.asyncio.Redis) -> None:
    """The embedded store, as it is started, meets every rule."""
    assert await findings(client) == []


async def test_replies_may_be_decoded_or_not(server: EmbeddedServer) -> None:
    """The client's own setting does not change what is found."""
    async with redis.asyncio.Redis.from_url(server.url, decode_responses=True) as client:
        assert await findings(client) == []


async def test_each_wrong_setting_is_found_and_its_remedy_mends_it(client: redis.asyncio.Redis) -> None:
    """What is set wrongly is reported, and the CONFIG SET line of the remedy, as printed, clears it."""
    await client.config_set("appendonly", "no")
    await client.config_set("maxmemory-policy", "allkeys-lru")
    assert [finding.what for finding in await findings(client)] == [
        "appendonly is no",
        "maxmemory-policy is allkeys-lru",
    ]
    await client.config_set("appendonly", "yes")
    await client.config_set("appendfsync", "everysec")
    await client.config_set("no-appendfsync-on-rewrite", "yes")
    found = await findings(client)
    assert [finding.level for finding in found] == ["error"] * 3
    for finding in found:
        line = finding.remedy.split(",")[0].split()
        assert line[:2] == ["CONFIG", "SET"]
        await client.execute_command(*line)  # type: ignore[no-untyped-call]
    assert await findings(client) == []


async def test_memory_without_a_limit_is_a_warning_elsewhere(client: redis.asyncio.Redis) -> None:
    """A Redis that is not ours should have a limit, and one that is nearly reached is told."""
    (finding,) = await findings(client, embedded=False)
    assert (finding.level, finding.what) == ("warning", "maxmemory is not set")
    used = (await client.info("memory"))["used_memory"]
    await client.config_set("maxmemory", int(used * 1.1))
    (finding,) = await findings(client, embedded=False)
    assert finding.what.endswith("% of maxmemory is used")


async def test_a_replica_is_refused(client: redis.asyncio.Redis) -> None:
    """A server that follows another one takes no writes; the remedy names the one it follows."""
    await client.execute_command("REPLICAOF", "127.0.0.1", "1")  # type: ignore[no-untyped-call]
    found = await findings(client)
    assert found[0].what == "this Redis is a replica (role slave)"
    assert "127.0.0.1" in found[0].remedy
    await client.execute_command("REPLICAOF", "NO", "ONE")  # type: ignore[no-untyped-call]


async def test_a_clock_apart_is_found(client: redis.asyncio.Redis) -> None:
    """Our clock five seconds behind is Redis' clock five seconds ahead."""
    (finding,) = await inspect(client, now=lambda: time.time() - 5, durability="always", embedded=True)
    assert finding.level == "error"
    assert "5.0 s ahead" in finding.what


async def test_a_user_without_rights_gets_unknowns(server: EmbeddedServer, client: redis.asyncio.Redis) -> None:
    """Managed services refuse CONFIG, some more: what cannot be seen is said and the rest is judged."""
    await client.execute_command("ACL", "SETUSER", "managed", "on", ">pw", "~*", "+@all", "-config")  # type: ignore[no-untyped-call]
    await client.execute_command("ACL", "SETUSER", "bare", "on", ">pw", "~*", "+ping")  # type: ignore[no-untyped-call]
    place = server.url.partition("@")[2]
    async with redis.asyncio.Redis.from_url(f"unix://managed:pw@{place}") as managed:
        found = await findings(managed)
    assert [finding.what for finding in found] == [
        "appendfsync cannot be seen",
        "no-appendfsync-on-rewrite cannot be seen",
    ]
    async with redis.asyncio.Redis.from_url(f"unix://bare:pw@{place}") as bare:
        assert {finding.level for finding in await findings(bare)} == {"unknown"}


async def test_a_wrong_password_is_not_an_outage(server: EmbeddedServer) -> None:
    """Waiting does not help there, and the password itself is in no text."""
    async with redis.asyncio.Redis.from_url(f"unix://:guess@{server.url.partition('@')[2]}") as client:
        with pytest.raises(StoreUnfit, match="password") as caught:
            await findings(client)
    assert "guess" not in str(caught.value)


async def test_a_server_that_is_gone_is_an_outage(server: EmbeddedServer, client: redis.asyncio.Redis) -> None:
    """No answer is told as such, not as a finding."""
    server.stop()
    with pytest.raises(StoreUnavailable, match="does not answer"):
        await findings(client)


async def test_the_fixtures_give_a_server_and_clean_up(redis_client: redis.asyncio.Redis, prefix: str) -> None:
    """Every integration test may write under its prefix."""
    await redis_client.set(f"{prefix}k", "v")
    assert await redis_client.get(f"{prefix}k") == b"v"
