"""Which secrets sign for a webhook target now; `relay.store.rotation.SigningSecrets` has this shape."""

from __future__ import annotations

from typing import Protocol


class SigningSecrets(Protocol):
    """The configured ones, or what `rotate-secret` made of them."""

    async def of(self, target: str) -> tuple[str, ...]:
        """All that sign now, the newest first. Raises StoreError where that cannot be told."""
