"""A real Redis for the integration tests: the one that REDIS_URL names, else a server of our own.

TEST_STORE_SERVER names the program of that server; without it, it is the one that an embedded store would have.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import redis.asyncio

from relay.store.binary import probe
from relay.store.server import EmbeddedServer


def pytest_itemcollected(item: pytest.Item) -> None:
    """What uses the store is marked, so that it can be tried on another kind of server without all the rest."""
    if "redis_server" in getattr(item, "fixturenames", ()):
        item.add_marker(pytest.mark.store)


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """URL of a server that takes writes. Tests keep to keys under `prefix`: the server may hold other data."""
    if url := os.environ.get("REDIS_URL"):
        yield url
        return
    place = os.environ.get("TEST_STORE_SERVER")
    binary = probe(Path(place)) if place else None
    with EmbeddedServer(tmp_path_factory.mktemp("store"), binary=binary, appendfsync="everysec") as server:
        yield server.url


@pytest.fixture
async def redis_client(redis_server: str) -> AsyncIterator[redis.asyncio.Redis]:
    """A client of its own for the test's event loop, closed afterwards."""
    client = redis.asyncio.Redis.from_url(redis_server)
    yield client
    await client.aclose()


@pytest.fixture
async def prefix(redis_client: redis.asyncio.Redis) -> AsyncIterator[str]:
    """A key prefix that no other test has; what is under it is deleted afterwards."""
    name = f"t{secrets.token_hex(6)}:"
    yield name
    left = [key async for key in redis_client.scan_iter(match=f"{name}*", count=1000)]
    if left:
        await redis_client.unlink(*left)
