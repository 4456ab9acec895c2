"""What a chat target needs to know of its own messages; `relay.store.threads.Threads` has this shape."""

from __future__ import annotations

from typing import Protocol


class Threads(Protocol):
    """Which message began what was told of a record. Raises StoreError."""

    async def find(self, target: str, record: str) -> str | None:
        """The message of a record at a target, or None."""

    async def remember(self, target: str, record: str, message: str, *, seconds: float) -> None:
        """Keep it for so long, counted anew."""

    async def forget(self, target: str, record: str) -> None:
        """The message is not there any more."""
