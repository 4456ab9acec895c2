"""The connection to Redis: pools, time limits, scripts, and foreign errors turned into ours."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any, Generic, TypeVar

import redis.asyncio as aioredis
from redis import exceptions as redis_errors
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from relay.errors import BacklogFull, StoreError, StoreUnavailable, StoreUnfit

Item = TypeVar("Item")
Answer = TypeVar("Answer")

_SCRIPTS = Path(__file__).parent / "scripts"
_NEEDS = "-- Needs: "
_SOCKET_TIMEOUT = 5.0
# Replies by which Redis says that it is up but takes no writes now: memory, disk, role, loading, a hanging script.
_REFUSALS = ("OOM", "MISCONF", "READONLY", "LOADING", "BUSY", "MASTERDOWN", "CLUSTERDOWN", "NOREPLICAS", "UNKILLABLE")


@cache
def script_text(name: str) -> str:
    """The text of one script, with the common part and those that its first line names before it."""
    text = (_SCRIPTS / f"{name}.lua").read_text(encoding="utf-8")
    first = text.partition("\n")[0]
    needed = first.removeprefix(_NEEDS).split() if first.startswith(_NEEDS) else []
    before = [(_SCRIPTS / f"{part}.lua").read_text(encoding="utf-8") for part in ("_common", *needed)]
    return "\n".join((*before, text))


@contextmanager
def translated() -> Iterator[None]:
    """Turn whatever redis-py raises into StoreError; a store that cannot answer is never taken for an answer."""
    try:
        yield
    except (redis_errors.ConnectionError, redis_errors.TimeoutError, TimeoutError, OSError) as error:
        raise StoreUnavailable(f"the store did not answer ({type(error).__name__})") from error
    except redis_errors.AuthenticationError as error:
        raise StoreUnfit(
            f"the store refuses our credentials: {error}; check the user and password in its URL"
        ) from error
    except (redis_errors.OutOfMemoryError, redis_errors.ReadOnlyError) as error:
        # redis-py takes the code off these two.
        code = "OOM" if isinstance(error, redis_errors.OutOfMemoryError) else "READONLY"
        raise StoreUnavailable(f"the store refuses writes ({code})") from error
    except redis_errors.ResponseError as error:
        text = str(error)
        if text.startswith("BACKLOG"):
            raise BacklogFull(f"more than {text.split()[1]} accepted events wait to be delivered") from error
        if text.startswith(_REFUSALS):
            raise StoreUnavailable(f"the store refuses writes ({text.split(maxsplit=1)[0]})") from error
        raise StoreError(f"the store answered with an error: {text}") from error
    except redis_errors.RedisError as error:
        raise StoreUnavailable(f"the store did not answer ({type(error).__name__})") from error


def connect(url: str, *, socket_timeout: float = _SOCKET_TIMEOUT, max_connections: int = 64) -> aioredis.Redis:
    """A client whose every call has a limit and is tried once: only the caller knows whether again is safe."""
    keepalive = {} if url.startswith("unix:") else {"socket_keepalive": True}
    client: aioredis.Redis = aioredis.Redis.from_url(
        url,
        socket_timeout=socket_timeout,
        socket_connect_timeout=min(socket_timeout, 2.0),
        health_check_interval=0,
        max_connections=max_connections,
        retry=Retry(NoBackoff(), 0),
        retry_on_timeout=False,
        protocol=2,
        **keepalive,
    )
    return client


async def command(client: aioredis.Redis, *args: Any) -> Any:
    """One Redis command, its errors translated."""
    execute: Any = client.execute_command  # untyped in redis-py 5
    with translated():
        return await execute(*args)


class Scripts:
    """Calls scripts by name; loads one on first use and again after the server has forgotten it."""

    def __init__(self, client: aioredis.Redis) -> None:
        self._client = client
        self._registered: dict[str, Any] = {}

    async def call(self, name: str, *args: Any) -> Any:
        script = self._registered.get(name)
        if script is None:
            script = self._registered[name] = self._client.register_script(script_text(name))
        with translated():
            return await script(keys=(), args=args)


class GroupCommit(Generic[Item, Answer]):
    """Joins calls that arrive while one is under way into the next one, so that a round trip serves many.

    `run` gets a batch and answers one result per item, in order. Its error goes to every waiter of that batch.
    Who waits longer than `patience` seconds gets StoreUnavailable: what is under way then may still be written, and
    what is not is left out.
    """

    def __init__(
        self,
        run: Callable[[Sequence[Item]], Awaitable[Sequence[Answer]]],
        *,
        most: int = 100,
        patience: float | None = None,
        insist: bool = False,
    ) -> None:
        """`insist`: what was handed in is written even if its caller is cancelled before its turn."""
        self._run = run
        self._insist = insist
        self._most = most
        self._patience = patience
        self._waiting: list[tuple[Item, asyncio.Future[Answer]]] = []
        self._flusher: asyncio.Task[None] | None = None

    async def submit(self, item: Item) -> Answer:
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Answer] = loop.create_future()
        self._waiting.append((item, future))
        if self._flusher is None:
            self._flusher = asyncio.create_task(self._flush())
        if self._patience is None:
            return await future
        # A bare timer: asyncio.timeout costs as much as the signature check, and this is done for every request.
        timer = loop.call_later(self._patience, self._give_up, future)
        try:
            return await future
        finally:
            timer.cancel()

    def _give_up(self, future: asyncio.Future[Answer]) -> None:
        if not future.done():
            future.set_exception(StoreUnavailable(f"the store did not answer within {self._patience:g} s"))

    async def _flush(self) -> None:
        try:
            while self._waiting:
                batch, self._waiting = self._waiting[: self._most], self._waiting[self._most :]
                # A caller that gave up before its turn has answered already; as a rule nothing of it must be written.
                batch = [(item, future) for item, future in batch if self._insist or not future.done()]
                if batch:
                    await self._commit(batch)
        finally:
            self._flusher = None

    async def _commit(self, batch: list[tuple[Item, asyncio.Future[Answer]]]) -> None:
        try:
            answers = await self._run([item for item, _ in batch])
            if len(answers) != len(batch):
                raise StoreError("the store gave another number of answers than it was asked for")
        except Exception as error:
            for _, future in batch:
                if not future.done():
                    future.set_exception(error)
            return
        for (_, future), answer in zip(batch, answers, strict=True):
            if not future.done():
                future.set_result(answer)
