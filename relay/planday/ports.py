"""What Planday's room asks of the outside: state shared by processes, and encryption. Both arrive as arguments."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

# (portal id, kind, record): the name of one cached record.
CacheKey = tuple[int, str, str]


class Cipher(Protocol):
    """Encrypts what is stored; several keys may decrypt, one encrypts."""

    def encrypt(self, text: str) -> str: ...

    def decrypt(self, stored: str) -> str | None:
        """The text, or None if no key of ours fits."""

    def fingerprint(self, text: str) -> str:
        """A keyed hash, to see later whether a secret is still the same."""

    def matches(self, text: str, fingerprint: str) -> bool:
        """Whether any key of ours gives this fingerprint."""


class Shared(Protocol):
    """State that all processes of the relay see alike; every method is one atomic step.

    Raises StoreUnavailable when the store does not answer.
    """

    async def token(self, portal: int) -> Mapping[str, str]:
        """The record of a portal's authorisation; empty if there is none."""

    async def save_token(
        self,
        portal: int,
        changes: Mapping[str, str],
        *,
        remove: Sequence[str] = (),
        only_if: tuple[str, str] | None = None,
    ) -> bool:
        """Change a record; with `only_if` only while that field still has that value ("" is: not there)."""

    async def take_lock(self, name: str, *, owner: str, seconds: float) -> bool:
        """Take a lock that gives way by itself; False if someone else has it."""

    async def drop_lock(self, name: str, *, owner: str) -> None:
        """Give a lock back, if it is still ours."""

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
        """Count one call against both budgets and answer 0, or count nothing and answer the seconds to wait.

        `purpose` (letters) is counted too. `spare` is the part of each budget that this call must leave to others. A
        policy is written "1=20,60=750"; those given here hold until a live one was noted.
        """

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
        """Note what Planday says of the budgets.

        `left` is (scope, window, calls left, seconds until it is full again); `blocked` is (scope, seconds).
        A scope is "portal" or "client".
        """

    async def budget(
        self, *, portal: str, client: str, now: float, portal_policy: str, client_policy: str
    ) -> tuple[float, Sequence[tuple[str, int, int, int]]]:
        """The seconds to wait now, and per window (scope, window, limit, calls left); counts nothing."""

    async def cached(self, keys: Sequence[CacheKey]) -> Sequence[bytes | None]:
        """What is cached under each name, in one step."""

    async def cache(self, key: CacheKey, value: bytes, *, at: float, seconds: float) -> bool:
        """Keep a value read at `at`, unless one that was read later is there."""
