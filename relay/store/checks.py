"""What a relay must demand of any Redis before it trusts it with events: says what is wrong, and what to do.

`judge` decides from plain values; `inspect` gathers them. Facts come from INFO where INFO has them, because a managed
Redis may refuse CONFIG; what can then not be known is said, not passed over.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, cast

import redis.asyncio
from redis.exceptions import AuthenticationError, RedisError, ResponseError

from relay.errors import StoreUnavailable, StoreUnfit

Durability = Literal["everysec", "always"]
Level = Literal["error", "warning", "unknown"]

OLDEST = (6, 2)
SKEW_LIMIT = 1.0  # seconds: leases and due times are compared with the clocks of several hosts
MEMORY_LIMIT = 0.85
SETTINGS = ("appendonly", "appendfsync", "no-appendfsync-on-rewrite", "stop-writes-on-bgsave-error", "save")
ORDER: tuple[Level, ...] = ("error", "warning", "unknown")


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing about a Redis that an operator must know."""

    level: Level
    what: str
    meaning: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.what}: {self.meaning}. Remedy: {self.remedy}"


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of a Redis; the rules below read it."""

    info: Mapping[str, Any]
    config: Mapping[str, str] | None
    durability: Durability
    embedded: bool
    skew: float | None

    def setting(self, name: str) -> str | None:
        return None if self.config is None else self.config.get(name)

    def change(self, name: str, value: str) -> str:
        """The exact line that sets a value, or where to set it when CONFIG is refused."""
        if self.config is None:
            return f"set {name} to {value} where this Redis is managed (it refuses CONFIG)"
        return f"CONFIG SET {name} {value}, then CONFIG REWRITE (or the same line in redis.conf) so that it lasts"


def judge(
    info: Mapping[str, Any],
    config: Mapping[str, str] | None,
    *,
    durability: Durability,
    embedded: bool,
    skew_seconds: float | None,
) -> list[Finding]:
    """Return what is wrong, the worst first. `config` is None when CONFIG was refused; so is a skew when TIME was."""
    facts = Facts(info, config, durability, embedded, skew_seconds)
    findings = [finding for rule in RULES for finding in rule(facts)]
    return sorted(findings, key=lambda finding: ORDER.index(finding.level))


async def inspect(
    client: redis.asyncio.Redis, *, now: Callable[[], float], durability: Durability, embedded: bool
) -> list[Finding]:
    """Ask a Redis for what `judge` needs; a StoreError when it gives no answer. `now` is this host's wall clock."""
    try:
        info = await _info(client)
        config = await _config(client)
        skew = await _skew(client, now)
    except (RedisError, OSError) as error:
        # While it connects, redis-py hides a refused password inside a ConnectionError.
        if isinstance(error, AuthenticationError) or isinstance(error.__cause__, AuthenticationError):
            raise StoreUnfit(f"the store refuses the user or password of REDIS_URL: {error}") from error
        raise StoreUnavailable(f"the store does not answer: {error}") from error
    if info.get("loading"):
        raise StoreUnavailable("the store is still loading its data")
    return judge(info, config, durability=durability, embedded=embedded, skew_seconds=skew)


async def _info(client: redis.asyncio.Redis) -> Mapping[str, Any]:
    try:
        return cast(Mapping[str, Any], await client.info())
    except ResponseError:  # not allowed for this user: every rule then says what it does not know
        return {}


async def _config(client: redis.asyncio.Redis) -> Mapping[str, str] | None:
    found: dict[str, str] = {}
    try:
        for name in SETTINGS:  # one at a time: 6.2 takes one pattern only
            found |= await client.config_get(name)
    except ResponseError:
        return None
    return found


async def _skew(client: redis.asyncio.Redis, now: Callable[[], float]) -> float | None:
    """Redis' clock minus ours, less what the way there and back may explain; the quickest of three asks counts."""
    asks: list[tuple[float, float]] = []
    for _ in range(3):
        before = now()
        try:
            seconds, micros = await client.time()
        except ResponseError:
            return None
        after = now()
        asks.append((max(after - before, 0.0), seconds + micros / 1e6 - (before + after) / 2))
    trip, skew = min(asks)
    return max(abs(skew) - trip / 2, 0.0) * (1 if skew >= 0 else -1)


def _version(facts: Facts) -> Iterator[Finding]:
    text = str(facts.info.get("valkey_version") or facts.info.get("redis_version") or "")
    match = re.match(r"(\d+)\.(\d+)", text)
    if match is None:
        yield _unknown("the version", "nothing below 6.2 works", "ask INFO server for redis_version")
    elif (int(match[1]), int(match[2])) < OLDEST:
        yield Finding(
            "error",
            f"this Redis is version {text}",
            "the relay's scripts need what came with 6.2; below it events cannot be stored",
            "upgrade to Redis 6.2 or newer, or any Valkey",
        )


def _kind(facts: Facts) -> Iterator[Finding]:
    if facts.info.get("redis_mode") == "sentinel":
        yield Finding(
            "error",
            "this is a Sentinel, not a Redis",
            "it holds no data, so no event can be stored in it",
            "point REDIS_URL at the primary that it watches",
        )
    elif "cluster_enabled" not in facts.info:
        yield _unknown("whether Cluster is on", "the relay cannot work on one", "ask INFO cluster for cluster_enabled")
    elif facts.info["cluster_enabled"]:
        yield Finding(
            "error",
            "this Redis runs in Cluster mode",
            "one script changes several keys at once, which a Cluster refuses: events could not be accepted",
            "use a single primary (replicas and Sentinel are fine): cluster-enabled no in redis.conf, and a restart",
        )


def _role(facts: Facts) -> Iterator[Finding]:
    role = facts.info.get("role")
    if role is None:
        yield _unknown("the role", "a replica takes no writes", "ask INFO replication for role")
    elif role != "master":
        yield Finding(
            "error",
            f"this Redis is a replica (role {role})",
            "it takes no writes, and what is read from it may be behind",
            f"point REDIS_URL at the primary ({facts.info.get('master_host', 'see INFO replication')})",
        )


def _persistence(facts: Facts) -> Iterator[Finding]:
    enabled = facts.info.get("aof_enabled", {"yes": 1, "no": 0}.get(facts.setting("appendonly") or ""))
    if enabled is None:
        yield _unknown("appendonly", "without it a restart loses accepted events", facts.change("appendonly", "yes"))
    elif not enabled:
        yield Finding(
            "error",
            "appendonly is no",
            "accepted events live in memory only, and a restart or a crash loses all since the last snapshot",
            facts.change("appendonly", "yes"),
        )
    else:
        yield from _fsync(facts)


def _fsync(facts: Facts) -> Iterator[Finding]:
    least = facts.durability
    fsync = facts.setting("appendfsync")
    if fsync is None:
        meaning = "how much a power cut may lose depends on it"
        yield _unknown("appendfsync", meaning, facts.change("appendfsync", least))
    elif fsync == "no":
        yield Finding(
            "error",
            "appendfsync is no",
            "the system decides when data reach the disk; a power cut may lose half a minute of accepted events",
            facts.change("appendfsync", least),
        )
    elif least == "always" and fsync != "always":
        yield Finding(
            "error",
            f"appendfsync is {fsync}, and store.durability demands always",
            "a power cut may lose the last one or two seconds of accepted events",
            facts.change("appendfsync", "always") + '; or accept it with store.durability = "everysec"',
        )
    on_rewrite = facts.setting("no-appendfsync-on-rewrite")
    if on_rewrite is None:
        meaning = "if it is yes, nothing is forced to the disk while the append-only file is rewritten"
        yield _unknown("no-appendfsync-on-rewrite", meaning, facts.change("no-appendfsync-on-rewrite", "no"))
    elif on_rewrite != "no":
        yield Finding(
            "error",
            "no-appendfsync-on-rewrite is yes",
            "while the append-only file is rewritten nothing is forced to the disk, and a power cut then may lose "
            "half a minute of accepted events",
            facts.change("no-appendfsync-on-rewrite", "no"),
        )


def _writes(facts: Facts) -> Iterator[Finding]:
    if facts.info.get("aof_last_write_status", "ok") != "ok":
        yield Finding(
            "error",
            "the last write to the append-only file failed (aof_last_write_status)",
            "Redis refuses writes until it succeeds: no event can be accepted",
            "see Redis' log; most often the disk is full: free space there",
        )
    if facts.info.get("aof_last_bgrewrite_status", "ok") != "ok":
        yield Finding(
            "warning",
            "the last rewrite of the append-only file failed (aof_last_bgrewrite_status)",
            "no data are lost, but the file grows until the disk is full",
            "see Redis' log (disk space, memory, vm.overcommit_memory), then BGREWRITEAOF",
        )
    if facts.info.get("rdb_last_bgsave_status", "ok") == "ok" or facts.setting("save") == "":
        return
    stops = facts.setting("stop-writes-on-bgsave-error")
    if stops != "no":
        yield Finding(
            "error" if stops == "yes" else "unknown",
            "the last snapshot failed (rdb_last_bgsave_status)",
            f"Redis {'refuses' if stops == 'yes' else 'may refuse'} writes, and so all events, until one succeeds",
            "see Redis' log (disk, memory), then BGSAVE; beside appendonly none is needed: "
            + facts.change("save", '""'),
        )


def _memory(facts: Facts) -> Iterator[Finding]:
    limit = facts.info.get("maxmemory")
    policy = facts.info.get("maxmemory_policy")
    if policy is None:
        meaning = "any other than noeviction deletes events when memory is short"
        yield _unknown("maxmemory-policy", meaning, facts.change("maxmemory-policy", "noeviction"))
    elif policy != "noeviction":
        when = "as soon as a maxmemory is set and reached" if limit == 0 else "when maxmemory is reached"
        yield Finding(
            "error",
            f"maxmemory-policy is {policy}",
            f"{when}, Redis deletes keys to make room: waiting events and the record of what was sent",
            facts.change("maxmemory-policy", "noeviction"),
        )
    if limit is None:
        yield _unknown("maxmemory", "how near the limit is cannot be seen", "ask INFO memory for maxmemory")
    elif limit == 0 and not facts.embedded:
        yield Finding(
            "warning",
            "maxmemory is not set",
            "a backlog can grow until the system kills Redis, instead of being refused with 503 in good time",
            "choose what this host can spare, for example " + facts.change("maxmemory", "2gb"),
        )
    elif limit > 0 and (share := facts.info.get("used_memory", 0) / limit) > MEMORY_LIMIT:
        yield Finding(
            "warning",
            f"{share:.0%} of maxmemory is used",
            "at 100 % Redis refuses writes, and no event can be accepted",
            "let the backlog drain, or " + facts.change("maxmemory", str(int(limit) * 2)),
        )


def _clock(facts: Facts) -> Iterator[Finding]:
    if facts.skew is None:
        yield _unknown("the clock of Redis", "leases compare it with ours", "allow the TIME command for this user")
    elif abs(facts.skew) > SKEW_LIMIT:
        yield Finding(
            "error",
            f"the clock of Redis is {abs(facts.skew):.1f} s {'ahead of' if facts.skew > 0 else 'behind'} this host's",
            "work may be taken twice, or late, because leases and due times compare clocks",
            "let both hosts keep time with NTP (timedatectl set-ntp true)",
        )


def _unknown(what: str, meaning: str, remedy: str) -> Finding:
    return Finding("unknown", f"{what} cannot be seen", meaning, remedy)


Rule = Callable[[Facts], Iterator[Finding]]
RULES: tuple[Rule, ...] = (_version, _kind, _role, _persistence, _writes, _memory, _clock)
