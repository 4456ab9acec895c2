"""Pages over sorted sets of (id, time): newest first, by keyset, over several sets at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import redis.asyncio as aioredis

from relay.errors import RefusedError
from relay.store.client import translated
from relay.store.store import ms

Row = TypeVar("Row")

_LOOKED_AT_PER_PAGE = 1200
_STEP = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Page(Generic[Row]):
    """Some rows and the cursor of the next page; None: that was the last."""

    rows: tuple[Row, ...]
    cursor: str | None


@dataclass(frozen=True, slots=True)
class Spot:
    """Where a row stands: its score in ms, its id, and the sorted set it was found in."""

    score: float
    id: str
    index: str


class Pager:
    """A page costs the same however deep it lies, and looks at a bounded number of records."""

    def __init__(self, client: aioredis.Redis) -> None:
        self._client = client

    async def page(
        self,
        indexes: Sequence[str],
        *,
        since: float | None,
        until: float | None,
        limit: int,
        cursor: str | None,
        load: Callable[[Sequence[Spot]], Any],
    ) -> Page[Any]:
        """Rows of several sorted sets, newest first, from the cursor on. Raises RefusedError for a strange cursor.

        `load` reads the records of some spots, None for one that is gone or not wanted.
        """
        place = _parse_cursor(cursor) if cursor else None
        low = ms(since) if since is not None else "-inf"
        high = ms(until) if until is not None else "+inf"
        ties = 0
        if place is not None:
            with translated():
                pipe = self._client.pipeline(transaction=False)
                for index in indexes:
                    pipe.zcount(index, repr(place[0]), repr(place[0]))
                ties = max(await pipe.execute(), default=0)
        rows: list[Any] = []
        looked_at = 0
        step = min(limit, _STEP)  # as a rule all fit; where few do, further steps are longer
        while looked_at < _LOOKED_AT_PER_PAGE:
            found = await self._below(indexes, place, low, high, step + ties)
            found = found[:step]
            for spot, row in zip(found, await load(found), strict=True):
                looked_at += 1
                ties = ties + 1 if place is not None and spot.score == place[0] else 1
                place = (spot.score, spot.id)
                if row is not None:
                    rows.append(row)
                    if len(rows) == limit:
                        return Page(rows=tuple(rows), cursor=f"{spot.score!r}:{spot.id}")
            if len(found) < step:
                return Page(rows=tuple(rows), cursor=None)
            step = _STEP
        assert place is not None
        return Page(rows=tuple(rows), cursor=f"{place[0]!r}:{place[1]}")

    async def _below(
        self, indexes: Sequence[str], place: tuple[float, str] | None, low: str, high: str, count: int
    ) -> list[Spot]:
        top = high if place is None else repr(place[0])
        with translated():
            pipe = self._client.pipeline(transaction=False)
            for index in indexes:
                pipe.zrevrangebyscore(index, top, low, start=0, num=count, withscores=True)
            answers = await pipe.execute() if indexes else []
        found = [
            Spot(score, id_.decode(), index)
            for index, answer in zip(indexes, answers, strict=True)
            for id_, score in answer
            if place is None or (score, id_.decode()) < place
        ]
        found.sort(key=lambda spot: (spot.score, spot.id), reverse=True)
        return found


def _parse_cursor(cursor: str) -> tuple[float, str]:
    score, _, id_ = cursor.partition(":")
    try:
        return float(score), id_
    except ValueError:
        raise RefusedError("the cursor is not one that a page of ours gave") from None
