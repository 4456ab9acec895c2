"""Who is signed in, which API tokens there are, and how often somebody tried: all by hashes, so that no secret is kept.

The store's own copy of a session or a token opens nothing: it holds the SHA-256 of 256 random bits.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass

import pydantic_core
import redis.asyncio as aioredis

from relay.errors import NotFoundError, RefusedError
from relay.store.client import Scripts, command, translated
from relay.store.keys import Keys

TOKEN_START = "rly_"  # noqa: S105 - what our tokens begin with, so that a leak is recognised
WINDOW = 900.0
"""Seconds after which tries to sign in are forgotten."""
# A person mistypes a few times; a whole office may sit behind one address; an account can be tried from many.
PER_ACCOUNT_AND_ADDRESS = 5
PER_ADDRESS = 30
PER_ACCOUNT = 60

_NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,62}[a-z0-9])?")
_SESSION = re.compile(r"[A-Za-z0-9_-]{43}")
_MOST_TOKENS = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """One sign-in. `stamp` tells whether what it was signed in with still holds; times in seconds."""

    key: str
    """Names the session where it is listed or ended; it does not open it."""
    who: str
    role: str
    csrf: str
    stamp: str
    begun: float
    ends: float
    word: str = ""
    """Left by the act before for this page, once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiToken:
    """One API token, without its secret; `expires_at` None: never. Times in seconds."""

    name: str
    role: str
    made_at: float
    by: str
    expires_at: float | None
    digest: str


class Sessions:
    """Sessions of the dashboard. Raises StoreError."""

    def __init__(self, client: aioredis.Redis, keys: Keys) -> None:
        self._client = client
        self._keys = keys
        self._scripts = Scripts(client)

    async def begin(self, who: str, *, role: str, stamp: str, idle: float, longest: float, now: float) -> str:
        """Sign somebody in; the secret id, which only its browser keeps."""
        secret = secrets.token_urlsafe(32)
        key, ends = _digest(secret), _ms(now + longest)
        until = min(_ms(now + idle), ends)
        fields: dict[str, str | int] = {
            "who": who,
            "role": role,
            "csrf": secrets.token_urlsafe(32),
            "stamp": stamp,
            "begun": _ms(now),
            "ends": ends,
            "until": until,
        }
        with translated():
            pipe = self._client.pipeline(transaction=True)
            pipe.hset(self._keys.session(key), mapping=fields)
            pipe.pexpire(self._keys.session(key), max(until - _ms(now), 1))
            pipe.zremrangebyscore(self._keys.sessions, "-inf", _ms(now))
            pipe.zadd(self._keys.sessions, {key: ends})
            await pipe.execute()
        return secret

    async def use(self, secret: str, *, idle: float | None, now: float) -> Session | None:
        """The session of this id, which lives on for `idle` seconds; None: there is none, or it is over.

        With `idle` None it is looked at only: what a page fetches by itself keeps nobody signed in.
        """
        if not _SESSION.fullmatch(secret):
            return None
        key = _digest(secret)
        args = (self._keys.prefix, _ms(now), key, "" if idle is None else _ms(idle))
        found = await self._scripts.call("session_use", *args)
        return None if found is None else _session(key, found)

    async def tell(self, key: str, word: str, *, now: float) -> None:
        """Leave a word for the session's next page."""
        await self._scripts.call("session_tell", self._keys.prefix, _ms(now), key, word)

    async def end(self, key: str) -> bool:
        """End a session by its key; False when it was over already."""
        with translated():
            pipe = self._client.pipeline(transaction=True)
            pipe.delete(self._keys.session(key))
            pipe.zrem(self._keys.sessions, key)
            ended, _ = await pipe.execute()
        return bool(ended)

    async def list(self) -> list[Session]:
        """All sessions, the newest first."""
        names = ["who", "role", "csrf", "stamp", "begun", "ends"]
        keys = [key.decode() for key in await command(self._client, "ZREVRANGE", self._keys.sessions, 0, -1)]
        with translated():
            pipe = self._client.pipeline(transaction=False)
            for key in keys:
                pipe.hmget(self._keys.session(key), names)
            rows = await pipe.execute()
        found = [_session(key, row) for key, row in zip(keys, rows, strict=True) if row[0] is not None]
        return sorted(found, key=lambda one: one.begun, reverse=True)


class ApiTokens:
    """Tokens of the API. Raises StoreError."""

    def __init__(self, client: aioredis.Redis, keys: Keys) -> None:
        self._client = client
        self._keys = keys

    async def create(self, name: str, *, role: str, by: str, now: float, expires_at: float | None = None) -> str:
        """A new token; this answer is the only place where it ever stands. Raises RefusedError for a name in use."""
        if not _NAME.fullmatch(name):
            raise RefusedError("a token's name is 1 to 64 characters of a-z, 0-9 and hyphens; nothing was made")
        if expires_at is not None and expires_at <= now:
            raise RefusedError("the token would have expired already: give a time to come; nothing was made")
        if await command(self._client, "HLEN", self._keys.tokens) >= _MOST_TOKENS:
            raise RefusedError(f"there are {_MOST_TOKENS} tokens already: revoke what nobody uses; nothing was made")
        secret = f"{TOKEN_START}{name}_{secrets.token_urlsafe(32)}"
        body = {"role": role, "at": now, "by": by, "until": expires_at, "sha256": _digest(secret)}
        if not await command(self._client, "HSETNX", self._keys.tokens, name, pydantic_core.to_json(body)):
            raise RefusedError(f"there is a token {name} already: revoke it, or choose another name; nothing was made")
        return secret

    async def find(self, secret: str, *, now: float) -> ApiToken | None:
        """The token of this secret; None: there is none, or it has expired."""
        name = secret.removeprefix(TOKEN_START).partition("_")[0]
        if not secret.startswith(TOKEN_START) or not _NAME.fullmatch(name):
            return None
        raw = await command(self._client, "HGET", self._keys.tokens, name)
        if raw is None:
            return None
        token = _token(name, raw)
        is_it = hmac.compare_digest(token.digest, _digest(secret))
        return token if is_it and (token.expires_at is None or token.expires_at > now) else None

    async def any(self) -> bool:
        """Whether there is a token at all."""
        return bool(await command(self._client, "HLEN", self._keys.tokens))

    async def list(self) -> list[ApiToken]:
        """All tokens, expired ones too, by name."""
        flat = await command(self._client, "HGETALL", self._keys.tokens)
        pairs = flat.items() if isinstance(flat, dict) else zip(flat[::2], flat[1::2], strict=True)
        return sorted((_token(name.decode(), raw) for name, raw in pairs), key=lambda one: one.name)

    async def revoke(self, name: str) -> None:
        """Take a token away: the next request with it is refused. Raises NotFoundError."""
        if not await command(self._client, "HDEL", self._keys.tokens, name):
            raise NotFoundError(f"there is no token {name}; see `relay tokens list`")


class Throttle:
    """How often somebody may try to sign in, over all processes together. Raises StoreError."""

    def __init__(self, client: aioredis.Redis, keys: Keys) -> None:
        self._client = client
        self._keys = keys
        self._scripts = Scripts(client)

    async def wait(self, account: str, address: str, *, now: float) -> float:
        """Count a try before it is judged, and answer 0; or count nothing and answer the seconds to wait."""
        limits = (
            (_pair(account, address), PER_ACCOUNT_AND_ADDRESS),
            (f"a:{_short(address)}", PER_ADDRESS),
            (f"u:{_short(account)}", PER_ACCOUNT),
        )
        args = [part for limit in limits for part in limit]
        return float(await self._scripts.call("sign_in_try", self._keys.prefix, _ms(now), _ms(WINDOW), *args)) / 1000

    async def forget(self, account: str, address: str) -> None:
        """A person signed in: their mistakes before that count no more."""
        await command(self._client, "DEL", self._keys.sign_ins(_pair(account, address)))


def _ms(seconds: float) -> int:
    return round(seconds * 1000)


def _pair(account: str, address: str) -> str:
    return f"p:{_short(f'{account} {address}')}"


def _short(text: str) -> str:
    """What a stranger types becomes no name of a key."""
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


def _session(key: str, found: Sequence[bytes]) -> Session:
    who, role, csrf, stamp, begun, ends, *word = (part.decode() for part in found)
    return Session(
        key=key,
        who=who,
        role=role,
        csrf=csrf,
        stamp=stamp,
        begun=float(begun) / 1000,
        ends=float(ends) / 1000,
        word=word[0] if word else "",
    )


def _token(name: str, raw: bytes) -> ApiToken:
    body = pydantic_core.from_json(raw)
    return ApiToken(
        name=name,
        role=body["role"],
        made_at=body["at"],
        by=body["by"],
        expires_at=body["until"],
        digest=body["sha256"],
    )
