"""Wiring of what keeps the record in bounds: the audit, retention, and the erasure of people."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass

import redis.asyncio as aioredis

from relay.erase import Erasures, Forgetting
from relay.errors import RefusedError
from relay.pipeline import Outside
from relay.retention import Retention
from relay.settings import Settings
from relay.store.audit import Audit
from relay.store.cipher import FernetCipher
from relay.store.erasing import ErasingStore
from relay.store.keys import Keys
from relay.store.ledger import Ledger
from relay.store.retention import RetentionStore
from relay.store.shared import SharedState
from relay.store.store import Store
from relay.store.tombstones import Tombstones


def cipher_of(settings: Settings) -> FernetCipher:
    """What encrypts in this process. Raises ConfigError."""
    environment = settings.environment
    if environment.encryption_keys is not None:
        return FernetCipher.from_text(environment.encryption_keys.reveal())
    return FernetCipher.load_or_make(environment.data_dir)


class SharedCipher:
    """The cipher that all processes have; opened on first use, since most processes need none of it."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    @functools.cached_property
    def _opened(self) -> FernetCipher:
        if self._settings.store.url is not None and self._settings.environment.encryption_keys is None:
            raise RefusedError(
                "RELAY_ENCRYPTION_KEYS is not set here: with a Redis of your own it has to be the same for every "
                "process that knows who was erased, and for every worker that signs by a secret of rotate-secret; set "
                "it as the other processes have it. Nothing was changed"
            )
        return cipher_of(self._settings)

    def encrypt(self, text: str) -> str:
        return self._opened.encrypt(text)

    def decrypt(self, stored: str) -> str | None:
        return self._opened.decrypt(stored)

    def fingerprint(self, text: str) -> str:
        return self._opened.fingerprint(text)

    def matches(self, text: str, fingerprint: str) -> bool:
        return self._opened.matches(text, fingerprint)


class _Amounts:
    """The ledger, opened when something is to be forgotten: only then is its key needed."""

    def __init__(self, settings: Settings, client: aioredis.Redis, keys: Keys) -> None:
        self._settings, self._client, self._keys = settings, client, keys

    async def forget(self, portal: str, employee: str) -> int:
        return await Ledger(self._client, self._keys, cipher=cipher_of(self._settings)).forget(portal, employee)


@dataclass(frozen=True, slots=True, kw_only=True)
class Keeping:
    """The parts, for one process."""

    audit: Audit
    tombstones: Tombstones
    forgetting: Forgetting
    erasures: Erasures
    retention: Retention

    @classmethod
    def of(
        cls,
        settings: Settings,
        *,
        client: aioredis.Redis,
        store: Store,
        keys: Keys,
        shared: SharedState,
        outside: Outside,
    ) -> Keeping:
        """`client` may take its time; the store's own may be that of a receiver, whose senders wait."""
        cipher = SharedCipher(settings)
        audit = Audit(client, keys)
        tombstones = Tombstones(client, keys, cipher, outside.clock)
        return cls(
            audit=audit,
            tombstones=tombstones,
            forgetting=Forgetting(ErasingStore(client, keys), tombstones, outside),
            erasures=Erasures(
                client=client,
                store=store,
                keys=keys,
                tombstones=tombstones,
                cipher=cipher,
                audit=audit,
                locks=shared,
                outside=outside,
                amounts=_Amounts(settings, client, keys),
                data_dir=settings.environment.data_dir.absolute() if settings.store.url is None else None,
            ),
            retention=Retention(
                settings.retention,
                store=RetentionStore(client, keys),
                locks=shared,
                outside=outside,
                portals=settings.portals,
                targets=tuple(settings.targets),
            ),
        )

    async def tick(self, *, stopping: Callable[[], bool]) -> None:
        """Go on with erasures that lost their process, and remove what is past its age. Raises StoreError."""
        for erasure in await self.erasures.unfinished():
            if not stopping():
                await self.erasures.run(erasure)
        await self.retention.tick(stopping=stopping)
