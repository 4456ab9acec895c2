"""The signing secrets that the relay made itself: begun, finished, given up, and which of them sign now.

A rotation lies over the configuration: it holds for the very secrets that were configured when it began. Whoever
writes others there decides anew. That is a question to the record and to the settings of one process, so that workers
with old and new settings side by side each sign as their own settings say, and none of them changes the other's mind.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Protocol

import pydantic_core
import redis.asyncio as aioredis

from relay.errors import RefusedError, RelayError, StoreUnfit
from relay.signing import new_secret
from relay.store.client import Scripts, command
from relay.store.keys import Keys
from relay.store.store import ms

KNOWN_AFTER = 2.0
"""Every worker signs by a change after so many seconds."""
SETTLED_AFTER = 5.0
"""A rotation can be finished after so many seconds: by then each worker signs with both, whatever its clock says."""

_LOST_KEY = (
    "none of the encryption keys opens the signing secret that rotate-secret made: put the key that was in use before "
    "into RELAY_ENCRYPTION_KEYS, after the new one, and restart the workers"
)


class Cipher(Protocol):
    """Encrypts what is stored, and tells later whether a secret is still the same."""

    def encrypt(self, text: str) -> str: ...

    def decrypt(self, stored: str) -> str | None: ...

    def fingerprint(self, text: str) -> str: ...

    def matches(self, text: str, fingerprint: str) -> bool: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Rotation:
    """What is kept of one target. Times in seconds.

    `coming` is the new secret while a rotation is under way, since `since`, begun by `by`; `alone` is the one that
    signs in the place of the configured ones, since `alone_since`. Both are encrypted. `configured` is the fingerprint
    of the configured ones; `outdated`: the worker that looked last has others.
    """

    configured: str
    coming: str = ""
    since: float | None = None
    by: str = ""
    alone: str = ""
    alone_since: float | None = None
    outdated: bool = False

    def to_json(self) -> bytes:
        return pydantic_core.to_json(
            {name: value for name, value in zip(_STORED, self._values(), strict=True) if value}
        )

    @classmethod
    def from_json(cls, raw: bytes) -> Rotation:
        return cls(**{name: value for name, value in pydantic_core.from_json(raw).items() if name in _STORED})

    @property
    def under_way(self) -> bool:
        return bool(self.coming)

    def _values(self) -> tuple[object, ...]:
        return tuple(getattr(self, name) for name in _STORED)


_STORED = ("configured", "coming", "since", "by", "alone", "alone_since", "outdated")


async def rotations(client: aioredis.Redis, keys: Keys, targets: Iterable[str]) -> dict[str, Rotation]:
    """What is kept of these targets, those that are outdated left out. Opens no secret. Raises StoreError."""
    names = tuple(targets)
    stored = await command(client, "MGET", *(keys.signing(name) for name in names)) if names else ()
    found = {name: Rotation.from_json(raw) for name, raw in zip(names, stored, strict=True) if raw is not None}
    return {name: one for name, one in found.items() if not one.outdated}


class SigningSecrets:
    """Which secrets sign for each target. Raises StoreError; StoreUnfit where no key of ours opens them."""

    def __init__(
        self,
        client: aioredis.Redis,
        keys: Keys,
        *,
        cipher: Cipher,
        configured: Mapping[str, tuple[str, ...]],
        clock: Callable[[], float],
    ) -> None:
        """`configured`: the secrets of the settings, by target."""
        self._client = client
        self._keys = keys
        self._cipher = cipher
        self._configured = configured
        self._clock = clock
        self._scripts = Scripts(client)
        self._known: dict[str, tuple[str, ...]] = {}
        self._looked_at: dict[str, float] = {}
        self._noted: dict[str, Rotation] = {}

    async def of(self, target: str) -> tuple[str, ...]:
        """The secrets that sign now, the newest first."""
        now = self._clock()
        known, looked_at = self._known.get(target), self._looked_at.get(target)
        if known is not None and looked_at is not None and 0 <= now - looked_at < KNOWN_AFTER:
            return known
        self._looked_at[target] = now  # who comes while one looks goes on with what is known
        try:
            raw, rotation = await self._read(target)
            found = self._signing(target, rotation)
            if rotation is not None:
                await self._note(target, raw, rotation)
        except RelayError:
            # A worker that knew goes on: a store that is away, or a key that is being exchanged, changes no secret.
            if known is None:
                self._looked_at.pop(target, None)
                raise
            return known
        self._known[target] = found
        return found

    async def open(self) -> None:
        """Encrypt what is kept with the newest encryption key. For the start of a worker."""
        for target, secrets in self._configured.items():
            raw, rotation = await self._read(target)
            if rotation is None or not self._opens(rotation):
                continue  # whoever sends to it says so
            same = self._cipher.matches(_text(secrets), rotation.configured)
            anew = replace(
                rotation,
                coming=self._anew(rotation.coming),
                alone=self._anew(rotation.alone),
                configured=self._cipher.fingerprint(_text(secrets)) if same else rotation.configured,
            )
            await self._save(target, raw, anew)

    async def begin(self, target: str, *, by: str) -> str:
        """Make a new secret, which signs from now on beside those that signed before. Raises RefusedError."""
        raw, rotation = await self._read(target)
        if rotation is not None and not self._opens(rotation):
            raise RefusedError(f"{_LOST_KEY}; or give up what was made, with --abort. Nothing was changed")
        if rotation is not None and not self._holds(target, rotation):
            rotation = None
        if rotation is not None and rotation.under_way:
            raise RefusedError(
                f"a rotation of {target}'s signing secret is under way already, and its new secret is shown only once: "
                "--finish it, or --abort it and begin again. Nothing was changed"
            )
        secret, before = new_secret(), rotation or Rotation(configured="")
        begun = replace(
            before,
            configured=self._cipher.fingerprint(_text(self._configured[target])),
            coming=self._cipher.encrypt(secret),
            since=round(self._clock(), 3),
            by=by,
            outdated=False,
        )
        await self._replace(target, raw, begun)
        return secret

    async def finish(self, target: str) -> None:
        """The new secret alone signs from now on. Raises RefusedError where none is under way, or it has just begun."""
        raw, rotation = await self._under_way(target)
        self._signing(target, rotation)
        now = self._clock()
        if now - (rotation.since or 0.0) < SETTLED_AFTER:
            raise RefusedError(
                f"the rotation has just begun, and not every worker signs with the new secret yet: finish it after "
                f"{SETTLED_AFTER:g} s, when the receiver has it. Nothing was changed"
            )
        alone = replace(rotation, alone=rotation.coming, alone_since=round(now, 3), coming="", since=None, by="")
        await self._replace(target, raw, alone)

    async def abort(self, target: str) -> None:
        """Forget the new secret; what signed before signs alone. What is outdated or cannot be opened goes whole.

        Raises RefusedError where there is nothing to give up.
        """
        raw, rotation = await self._read(target)
        if rotation is not None and not (self._opens(rotation) and self._holds(target, rotation)):
            await self._replace(target, raw, None)
            return
        raw, rotation = await self._under_way(target)
        kept = replace(rotation, coming="", since=None, by="") if rotation.alone else None
        await self._replace(target, raw, kept)

    async def _under_way(self, target: str) -> tuple[bytes, Rotation]:
        raw, rotation = await self._read(target)
        if rotation is None or not rotation.under_way:
            raise RefusedError(f"no rotation of {target}'s signing secret is under way. Nothing was changed")
        if self._opens(rotation) and not self._holds(target, rotation):
            raise RefusedError(
                f"targets.{target}.signing_secret was changed since the rotation began, and the configured secrets "
                "sign: --abort forgets what was made. Nothing was changed"
            )
        return raw, rotation

    def _signing(self, target: str, rotation: Rotation | None) -> tuple[str, ...]:
        configured = self._configured[target]
        if rotation is None:
            return configured
        opened = {name: self._cipher.decrypt(name) for name in (rotation.coming, rotation.alone) if name}
        secrets = [secret for secret in opened.values() if secret is not None]
        if len(secrets) < len(opened):
            raise StoreUnfit(f"{_LOST_KEY}; or go back to the configured one: relay targets rotate-secret --abort")
        if not self._holds(target, rotation):
            return configured
        return tuple(secrets) if rotation.alone else (*secrets, *configured)

    def _holds(self, target: str, rotation: Rotation) -> bool:
        """Whether the configured secrets are those that the rotation lies over."""
        return self._cipher.matches(_text(self._configured[target]), rotation.configured)

    def _opens(self, rotation: Rotation) -> bool:
        return all(self._cipher.decrypt(one) is not None for one in (rotation.coming, rotation.alone) if one)

    def _anew(self, stored: str) -> str:
        return self._cipher.encrypt(self._cipher.decrypt(stored) or "") if stored else ""

    async def _note(self, target: str, raw: bytes, rotation: Rotation) -> None:
        """Keep, for those who cannot tell, whether the configuration has left the rotation behind; once a process."""
        plain = replace(rotation, outdated=False)
        outdated = not self._holds(target, rotation)
        if outdated != rotation.outdated and self._noted.get(target) != plain:
            await self._save(target, raw, replace(rotation, outdated=outdated))
        self._noted[target] = plain

    async def _read(self, target: str) -> tuple[bytes, Rotation | None]:
        raw: bytes | None = await command(self._client, "GET", self._keys.signing(target))
        return raw or b"", None if raw is None else Rotation.from_json(raw)

    async def _replace(self, target: str, raw: bytes, rotation: Rotation | None) -> None:
        if not await self._save(target, raw, rotation):
            raise RefusedError(
                f"somebody else rotates {target}'s signing secret at this moment: look at `relay targets list`. "
                "Nothing was changed"
            )
        self._looked_at.pop(target, None)

    async def _save(self, target: str, raw: bytes, rotation: Rotation | None) -> bool:
        new = b"" if rotation is None else rotation.to_json()
        return bool(await self._scripts.call("signing_save", self._keys.prefix, ms(self._clock()), target, raw, new))


def _text(secrets: tuple[str, ...]) -> str:
    return "\n".join(secrets)
