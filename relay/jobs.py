"""The names, ids and pool of the arq jobs; the only place that knows how arq enqueues.

arq is the frame that runs the workers, never the record of what must be delivered (docs/decisions/0003):
a job that arq loses or runs twice costs a few seconds, not an event.
"""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass
from typing import Any

from arq.connections import ArqRedis
from arq.jobs import serialize_job
from redis.asyncio.connection import ConnectionPool
from redis.asyncio.retry import Retry
from redis.backoff import ExponentialBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError
from redis.exceptions import TimeoutError as RedisTimeoutError

from relay.errors import StoreUnavailable

# What arq's frame can end with when Redis goes away.
FRAME_ERRORS = (RedisError, OSError)

DRAIN = "drain"
REPLAY = "replay"
ERRAND = "errand"
# Who asked for a drain: a bell's may find that one lives already.
BY_BELL, BY_WORKER = "bell", "worker"
SWEEP = "sweep"
FEEDS = "feeds"
KEEPING = "keeping"

# arq keeps a killed worker's job claimed for the longest time limit of all functions plus ten seconds, so
# all are alike. Above a drain's life (20 s) plus the longest call that settings allow (60 s), so that arq never
# cuts one off.
JOB_TIMEOUT = 120
# Bells of a time without workers must not outlive it for long; the record needs none of them.
BELL_LIFE = 60.0
_BELL_EVERY = 5.0


def serialize(job: dict[str, Any]) -> bytes:
    """JSON, never pickle: whoever can write to Redis must not be able to run code here."""
    return json.dumps(job, separators=(",", ":"), default=str).encode()


def deserialize(raw: bytes) -> dict[str, Any]:
    return dict(json.loads(raw))


@dataclass(frozen=True, slots=True, kw_only=True)
class Bell:
    """An arq job that starts a drain, in the form in which a script writes it; `life` in seconds."""

    id: str
    blob: bytes
    life: float


class Jobs:
    """Ids and blobs of our jobs below one key prefix (arq's own key names carry none)."""

    def __init__(self, prefix: str, queue: str) -> None:
        self._prefix = prefix
        self.queue = queue

    def bell(self, now: float) -> Bell:
        """The doorbell of this moment. Its id changes every few seconds, so that one stuck under a killed
        worker's claim never silences the next."""
        blob = serialize_job(DRAIN, (BY_BELL,), {}, None, int(now * 1000), serializer=serialize)
        return Bell(id=f"{self._prefix}bell:{int(now // _BELL_EVERY)}", blob=blob, life=BELL_LIFE)

    def fresh_id(self, name: str) -> str:
        """An id that no other incarnation ever used."""
        return f"{self._prefix}{name}:{uuid.uuid4().hex}"


class _Pool(ArqRedis):
    """arq closes its pool by a name that redis-py has deprecated."""

    async def close(self, close_connection_pool: bool | None = None) -> None:
        await self.aclose(close_connection_pool)


def pool(url: str, jobs: Jobs) -> ArqRedis:
    """arq's own connection: limited calls, and patient enough to live through a restart of Redis."""
    connections = ConnectionPool.from_url(
        url,
        socket_timeout=10.0,
        socket_connect_timeout=2.0,
        retry=Retry(ExponentialBackoff(cap=1.0, base=0.05), 30),
        # A refused connection is an OSError, which redis-py does not retry by itself.
        retry_on_error=[RedisConnectionError, RedisTimeoutError, OSError],
        max_connections=32,
        protocol=2,
    )
    return _Pool(connections, job_serializer=serialize, job_deserializer=deserialize, default_queue_name=jobs.queue)


async def enqueue(arq: ArqRedis, jobs: Jobs, name: str, *args: Any) -> str:
    """Start one of our jobs under a fresh id. Raises StoreUnavailable.

    Not for the receiver: arq answers "duplicate" when the connection breaks (engine-limits.md 1.3, trap 1).
    Here nothing is lost by it, because the sweep starts what is missing.
    """
    id_ = jobs.fresh_id(name)
    try:
        await arq.enqueue_job(name, *args, _job_id=id_)
    except (RedisError, OSError) as error:
        raise StoreUnavailable(f"the job {name} could not be started ({type(error).__name__})") from error
    return id_
