"""What Planday's room shares across processes: tokens, locks, rate budgets and cached records.

`SharedState` has the shape of `relay.planday.ports.Shared` without knowing that room; each method is one step in Redis.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from redis.asyncio import Redis

from relay.store.client import GroupCommit, command, translated
from relay.store.keys import Keys

SCRIPTS = Path(__file__).parent / "scripts"

CacheKey = tuple[int, str, str]


class SharedState:
    """Planday's shared state below one key prefix. Raises StoreError when Redis does not do what is asked."""

    def __init__(self, redis: Redis, keys: Keys) -> None:
        self._redis = redis
        self._keys = keys
        self._lookups: GroupCommit[Sequence[CacheKey], Sequence[bytes | None]] = GroupCommit(self._look_up)
        self._reserve = self._script("planday_reserve")
        self._note = self._script("planday_note")
        self._save_token = self._script("planday_save_token")
        self._unlock = self._script("planday_unlock")
        self._cache = self._script("planday_cache")

    # Tokens ------------------------------------------------------------------------------------

    async def token(self, portal: int) -> Mapping[str, str]:
        """The record of a portal's authorisation; empty if there is none."""
        flat = await command(self._redis, "HGETALL", self._keys.planday_token(portal))
        # redis-py makes a mapping of the reply, and a client of another making a list.
        pairs = flat.items() if isinstance(flat, Mapping) else zip(flat[::2], flat[1::2], strict=True)
        return {_text(name): _text(value) for name, value in pairs}

    async def save_token(
        self,
        portal: int,
        changes: Mapping[str, str],
        *,
        remove: Sequence[str] = (),
        only_if: tuple[str, str] | None = None,
    ) -> bool:
        """Change a record; with `only_if` only while that field still has that value ("" is: not there)."""
        field, expected = only_if or ("", "")
        pairs = [part for pair in changes.items() for part in pair]
        args: list[Any] = [field, expected, len(remove), *remove, *pairs]
        return bool(await self._run(self._save_token, [self._keys.planday_token(portal)], args))

    # Locks -------------------------------------------------------------------------------------

    async def take_lock(self, name: str, *, owner: str, seconds: float) -> bool:
        """Take a lock that gives way by itself; False if someone else has it."""
        return bool(await command(self._redis, "SET", self._keys.planday_lock(name), owner, "NX", "PX", _ms(seconds)))

    async def drop_lock(self, name: str, *, owner: str) -> None:
        """Give a lock back, if it is still ours."""
        await self._run(self._unlock, [self._keys.planday_lock(name)], [owner])

    # Budgets -----------------------------------------------------------------------------------

    async def reserve(
        self,
        *,
        portal: str,
        client: str,
        now: float,
        spare: float,
        purpose: str,
        portal_policy: str,
        client_policy: str,
    ) -> float:
        """Count one call against both budgets and answer 0, or count nothing and answer the seconds to wait."""
        args = [_ms(now), spare, portal_policy, client_policy, "count", purpose]
        answer = await self._run(self._reserve, self._budgets(portal, client), args)
        return float(answer[0] / 1000)

    async def budget(
        self, *, portal: str, client: str, now: float, portal_policy: str, client_policy: str
    ) -> tuple[float, Sequence[tuple[str, int, int, int]]]:
        """The seconds to wait now, and per window (scope, window, limit, calls left); counts nothing."""
        args = [_ms(now), 0, portal_policy, client_policy, "look"]
        wait, *rest = await self._run(self._reserve, self._budgets(portal, client), args)
        rows = [rest[at : at + 4] for at in range(0, len(rest), 4)]
        return wait / 1000, sorted((_text(scope), window, limit, left) for scope, window, limit, left in rows)

    async def spent(self, *, portal: str, now: float) -> Mapping[str, int]:
        """Calls of a portal in this minute and the one before, by what they were for."""
        flat = await command(self._redis, "HGETALL", self._keys.planday_limit(portal))
        pairs = flat.items() if isinstance(flat, Mapping) else zip(flat[::2], flat[1::2], strict=True)
        found: dict[str, int] = {}
        for name, value in pairs:
            purpose, _, minute = _text(name).partition(":")
            if purpose.startswith("s") and minute.isdigit() and int(minute) >= now // 60 - 1:
                found[purpose[1:]] = found.get(purpose[1:], 0) + int(value)
        return found

    async def note(
        self,
        *,
        portal: str,
        client: str,
        now: float,
        portal_policy: str | None = None,
        client_policy: str | None = None,
        left: tuple[str, int, int, float] | None = None,
        blocked: tuple[str, float] | None = None,
    ) -> None:
        """Note what Planday says of the budgets: the policies, what is left of one window, that one is blocked."""
        scope, window, remaining, reset = left or ("", 0, 0, 0.0)
        shut, seconds = blocked or ("", 0.0)
        args: list[Any] = [_ms(now), portal_policy or "", client_policy or ""]
        args += [scope, window, remaining, _ms(reset), shut, _ms(seconds)]
        await self._run(self._note, self._budgets(portal, client), args)

    # Cache -------------------------------------------------------------------------------------

    async def cached(self, keys: Sequence[tuple[int, str, str]]) -> Sequence[bytes | None]:
        """What is cached under each name, in one step."""
        return await self._lookups.submit(keys) if keys else []

    async def cache(self, key: tuple[int, str, str], value: bytes, *, at: float, seconds: float) -> bool:
        """Keep a value read at `at`, unless one that was read later is there."""
        args = [_ms(at), value, _ms(seconds)]
        return bool(await self._run(self._cache, [self._keys.planday_cache(*key)], args))

    def _budgets(self, portal: str, client: str) -> list[str]:
        return [self._keys.planday_limit(portal), self._keys.planday_limit(client)]

    async def _look_up(self, batch: Sequence[Sequence[CacheKey]]) -> list[Sequence[bytes | None]]:
        names = [self._keys.planday_cache(*key) for keys in batch for key in keys]
        found = iter(await command(self._redis, "MGET", *names))
        values = [[next(found) for _ in keys] for keys in batch]
        return [[None if value is None else _bytes(value).partition(b"\n")[2] for value in row] for row in values]

    def _script(self, name: str) -> Any:
        return self._redis.register_script((SCRIPTS / f"{name}.lua").read_text(encoding="utf-8"))

    @staticmethod
    async def _run(script: Any, keys: list[str], args: list[Any]) -> Any:
        with translated():
            return await script(keys=keys, args=args)


def _ms(seconds: float) -> int:
    return max(round(seconds * 1000), 0)


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def _bytes(value: bytes | str) -> bytes:
    return value if isinstance(value, bytes) else value.encode()
