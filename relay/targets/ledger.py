"""What a payroll target needs of a ledger of what it was sent; `relay.store.ledger.Ledger` has this shape."""

from __future__ import annotations

from typing import Literal, Protocol

Became = Literal["taken", "refused", "unsent"]


class Standing(Protocol):
    """What a target has of a line: who sent it, when (seconds), how often; whether it may be sent now.

    `answer`: "go" (it may), "same" or "nothing" (the target has this, or nothing, already), "older" (it has a newer
    state), "busy" (another delivery of the line is under way), "unsure" (nobody knows what became of `event`).
    """

    @property
    def answer(self) -> str: ...
    @property
    def event(self) -> str: ...
    @property
    def at(self) -> float | None: ...
    @property
    def sent(self) -> int: ...
    @property
    def there(self) -> bool: ...
    @property
    def content(self) -> str | None: ...
    @property
    def state(self) -> str: ...
    @property
    def token(self) -> str: ...


class Ledger(Protocol):
    """Claimed before sending, settled after; an unknown outcome leaves the claim. Raises StoreError."""

    async def claim(
        self,
        target: str,
        line: str,
        *,
        content: str | None,
        event: str,
        idempotency_key: str,
        read_at: float,
        now: float,
        days: int,
        person: tuple[str, str] | None = None,
        anew: bool = False,
        released: bool = False,
        dedupes: bool = False,
        look: bool = False,
    ) -> Standing: ...

    async def settle(self, target: str, line: str, *, token: str, became: Became, now: float, days: int) -> None: ...
