"""The audit: every act of a person or a token, in order. Entries are added here; only retention takes old ones away."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pydantic_core
import redis.asyncio as aioredis

from relay.errors import RefusedError
from relay.store.client import Scripts, command
from relay.store.keys import Keys
from relay.store.paging import Page
from relay.store.store import ms

_STEP = 500
_LOOKED_AT_PER_PAGE = 20_000
_LONGEST_REASON = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Act:
    """One act: who did what on what, why, and what came of it. `at` in seconds; `number` counts up by one."""

    number: int
    at: float
    by: str
    act: str
    on: str
    reason: str = ""
    result: str = ""

    @classmethod
    def from_json(cls, raw: bytes) -> Act:
        body = pydantic_core.from_json(raw)
        return cls(
            number=body["n"],
            at=body["at"],
            by=body["by"],
            act=body["act"],
            on=body["on"],
            reason=body.get("why", ""),
            result=body.get("res", ""),
        )


class Audit:
    """Append and look. Raises StoreError: an act whose record cannot be written is reported to whoever acts."""

    def __init__(self, client: aioredis.Redis, keys: Keys) -> None:
        self._client = client
        self._keys = keys
        self._scripts = Scripts(client)

    async def record(self, *, by: str, act: str, on: str, now: float, reason: str = "", result: str = "") -> int:
        """Append one act, such as `deliveries.retry`; its number. No personal value belongs into any of these."""
        body = {"at": round(now, 3), "by": by, "act": act, "on": on, "why": reason[:_LONGEST_REASON], "res": result}
        entry = pydantic_core.to_json({name: value for name, value in body.items() if value != ""})
        number: int = await self._scripts.call("audit_add", self._keys.prefix, ms(now), entry.removesuffix(b"}"))
        return number

    async def list(
        self,
        *,
        limit: int,
        cursor: str | None = None,
        since: float | None = None,
        until: float | None = None,
        by: str | None = None,
        act: str | None = None,
        on: str | None = None,
    ) -> Page[Act]:
        """Acts, newest first; times in seconds. `by` and `on` are parts of a name, `act` is the start of one.

        Raises RefusedError for a strange cursor.
        """
        rows: list[Act] = []
        looked_at = 0
        below = _number(cursor) if cursor else None
        while looked_at < _LOOKED_AT_PER_PAGE:
            found = await self._before(below)
            for one in reversed(found):
                looked_at += 1
                below = one.number
                if since is not None and one.at < since - 3600:
                    return Page(rows=tuple(rows), cursor=None)  # clocks differ less than that: all others are older
                fits = (since is None or one.at >= since) and (until is None or one.at <= until)
                fits = fits and (by is None or by in one.by) and (on is None or on in one.on)
                if fits and (act is None or one.act.startswith(act)):
                    rows.append(one)
                    if len(rows) == limit:
                        return Page(rows=tuple(rows), cursor=str(below))
            if not found:
                return Page(rows=tuple(rows), cursor=None)
        return Page(rows=tuple(rows), cursor=str(below))

    async def _before(self, number: int | None) -> Sequence[Act]:
        """The entries next below a number, oldest first; None: the newest."""
        key = self._keys.audit
        last = -1
        if number is not None:
            newest = await command(self._client, "LINDEX", key, -1)
            if newest is None:
                return []
            last = number - 1 - Act.from_json(newest).number - 1
        raw: list[Any] = await command(self._client, "LRANGE", key, last - _STEP + 1, last)
        # What was appended between the two moves all places: nothing may come twice.
        return [act for act in map(Act.from_json, raw) if number is None or act.number < number]


def _number(cursor: str) -> int:
    try:
        return int(cursor)
    except ValueError:
        raise RefusedError("the cursor is not one that a page of ours gave") from None
