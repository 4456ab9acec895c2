"""Who was erased, kept so that nobody can read who it was: a keyed hash per person, under a key of its own.

The key is stored encrypted. Encryption keys can be exchanged as usual (the new one before the old one, start, take the
old one away): the key is encrypted anew at each start of a worker, and the hashes stay true.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable
from functools import lru_cache
from typing import Protocol

import redis.asyncio as aioredis

from relay.errors import StoreUnfit
from relay.persons import IsGone
from relay.store.client import command
from relay.store.keys import Keys
from relay.store.store import ms

KNOWN_AFTER = 2.0
"""Every process knows of a new tombstone after so many seconds."""


class Cipher(Protocol):
    """Encrypts what is stored."""

    def encrypt(self, text: str) -> str: ...

    def decrypt(self, stored: str) -> str | None: ...


class Tombstones:
    """The erased people of all portals. Raises StoreError; StoreUnfit when no encryption key opens the hashes' key."""

    def __init__(self, client: aioredis.Redis, keys: Keys, cipher: Cipher, clock: Callable[[], float]) -> None:
        self._client = client
        self._keys = keys
        self._cipher = cipher
        self._clock = clock
        self._key: bytes | None = None
        self._known: frozenset[str] = frozenset()
        self._looked_at: float | None = None
        self._name = lru_cache(maxsize=65536)(self._name_uncached)

    async def open(self) -> None:
        """Read the key, if there is one, and encrypt it with the newest encryption key. For the start of a worker."""
        if await self._load():
            assert self._key is not None
            await command(self._client, "SET", self._keys.erased_key, self._cipher.encrypt(self._key.hex()))

    async def add(self, portal: int, employee: str) -> str:
        """A tombstone for one person, in force everywhere after `KNOWN_AFTER` seconds; what takes their id's place."""
        name = await self.name(portal, employee)
        await command(self._client, "HSETNX", self._keys.erased, name, ms(self._clock()))
        self._looked_at = None
        return pseudonym(name)

    async def remove(self, portal: int, employee: str) -> bool:
        """Take a tombstone away; False where there was none."""
        self._looked_at = None
        return bool(await command(self._client, "HDEL", self._keys.erased, await self.name(portal, employee)))

    async def name(self, portal: int, employee: str) -> str:
        """The keyed hash of one person."""
        if self._key is None and not await self._load():
            made = self._cipher.encrypt(secrets.token_bytes(32).hex())
            await command(self._client, "SET", self._keys.erased_key, made, "NX")
            await self._load()
        return self._name(portal, employee)

    async def of(self, portal: int) -> IsGone | None:
        """Whether an employee of this portal was erased, as a question; None while nobody was."""
        now = self._clock()
        if self._looked_at is None or not 0 <= now - self._looked_at < KNOWN_AFTER:
            names = await command(self._client, "HKEYS", self._keys.erased)
            self._known = frozenset(name.decode() for name in names)
            self._looked_at = now
        if not self._known:
            return None
        if self._key is None:
            await self._load()
        return lambda employee: self._name(portal, employee) in self._known

    async def pseudonym(self, portal: int, employee: str) -> str:
        """What stands in the place of an erased person's id."""
        return pseudonym(await self.name(portal, employee))

    async def _load(self) -> bool:
        stored = await command(self._client, "GET", self._keys.erased_key)
        if stored is None:
            return False
        key = self._cipher.decrypt(stored.decode())
        if key is None:
            raise StoreUnfit(
                "none of the encryption keys opens what tells erased people: without it they could come back; put the "
                "key that was in use before into RELAY_ENCRYPTION_KEYS, after the new one, and start again"
            )
        self._key = bytes.fromhex(key)
        return True

    def _name_uncached(self, portal: int, employee: str) -> str:
        assert self._key is not None
        return hashlib.blake2b(f"{portal}\0{employee}".encode(), key=self._key, digest_size=16).hexdigest()


def pseudonym(name: str) -> str:
    """A keyed hash as it stands in the place of an id."""
    return f"erased-{name[:16]}"
