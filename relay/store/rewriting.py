"""The server's own files: written anew without what was removed, and searched for what must not be in them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import redis.asyncio as aioredis

from relay.errors import StoreError
from relay.store.client import command, translated

_LONGEST = 600.0
_STEP = 0.1
_CHUNK = 1 << 20
_OVERLAP = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class Rewritten:
    """What came of it: whether the server wrote its log anew, and if not, why."""

    done: bool
    why: str = ""


async def rewrite(client: aioredis.Redis, *, plain: bool, sleep: Callable[[float], Awaitable[None]]) -> Rewritten:
    """Let the server write its append-only file anew and wait until the old one is gone.

    `plain`: as commands in plain text, so that it can be searched, for a server that is ours. Raises StoreUnavailable.
    """
    if not plain:
        try:
            await _start(client)
        except StoreError as error:
            return Rewritten(done=False, why=f"the server does not let us ({error})")
        return await _wait(client, sleep)
    was = await _setting(client, "aof-use-rdb-preamble")
    await command(client, "CONFIG", "SET", "aof-use-rdb-preamble", "no")
    try:
        # One that is under way began before the last removal.
        await _wait(client, sleep)
        await _start(client)
        return await _wait(client, sleep)
    finally:
        await command(client, "CONFIG", "SET", "aof-use-rdb-preamble", was)


async def _start(client: aioredis.Redis) -> None:
    await command(client, "BGREWRITEAOF")


async def _wait(client: aioredis.Redis, sleep: Callable[[float], Awaitable[None]]) -> Rewritten:
    waited = 0.0
    while waited < _LONGEST:
        with translated():
            found: dict[str, Any] = await client.info("persistence")
        if not found.get("aof_enabled"):
            return Rewritten(done=False, why="the server keeps no append-only file")
        if not found.get("aof_rewrite_in_progress") and not found.get("aof_rewrite_scheduled"):
            if found.get("aof_last_bgrewrite_status") != "ok":
                return Rewritten(done=False, why="the server could not write its append-only file: is its disk full?")
            return Rewritten(done=True)
        await sleep(_STEP)
        waited += _STEP
    return Rewritten(done=False, why=f"the server was not through after {_LONGEST:g} s")


async def _setting(client: aioredis.Redis, name: str) -> str:
    answer = await command(client, "CONFIG", "GET", name)
    if isinstance(answer, dict):
        return next((_text(value) for value in answer.values()), "yes")
    return _text(answer[1]) if answer else "yes"


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def old_files(data_dir: Path) -> list[Path]:
    """What the server still keeps of before the last rewrite, and snapshots that it never reads."""
    folder = data_dir / "appendonlydir"
    found = sorted(data_dir.glob("*.rdb")) + sorted(data_dir.glob("temp-*"))
    manifest = folder / "appendonly.aof.manifest"
    if manifest.exists():
        named = {line.split()[1] for line in manifest.read_text(encoding="utf-8").splitlines() if line.strip()}
        found += [path for path in sorted(folder.iterdir()) if path.name not in named and path != manifest]
    return found


async def clear(data_dir: Path, *, sleep: Callable[[float], Awaitable[None]]) -> list[Path]:
    """Wait until the server has removed its old files, and remove snapshots that nobody reads; what is left."""
    for stale in await asyncio.to_thread(lambda: sorted(data_dir.glob("*.rdb"))):
        await asyncio.to_thread(stale.unlink, missing_ok=True)
    for _ in range(100):
        left = await asyncio.to_thread(old_files, data_dir)
        if not left:
            return []
        await sleep(_STEP)
    return left


def search_files(data_dir: Path, within: Callable[[bytes], bool]) -> tuple[int, list[str]]:
    """How many files there are below a folder, and the names of those in which something is found."""
    count, found = 0, []
    for path in sorted(data_dir.rglob("*")):
        if not path.is_file():
            continue
        count += 1
        if any(within(chunk) for chunk in _chunks(path)):
            found.append(str(path.relative_to(data_dir)))
    return count, found


def _chunks(path: Path) -> Iterator[bytes]:
    """A file in pieces that overlap: nothing that is searched for is longer than that."""
    with path.open("rb") as file:
        before = b""
        while piece := file.read(_CHUNK):
            yield before + piece
            before = piece[-_OVERLAP:]
