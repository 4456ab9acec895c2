"""Reads a list to its end, page by page, and does not take a list that moves under it for a whole one.

Sort order is documented nowhere, so records can shift between pages (planday-api.md 4): a total that changes, a record
that comes twice or a page that is too short is a reason to read again, not success.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass
from typing import Any

from relay.planday.answers import Page

Row = dict[str, Any]
ReadPage = Callable[[int], Awaitable[Page]]

_RUNS = 3
# A list in another order every time is put together from more runs, as long as its total stays.
_MOST_RUNS = 12
_MOST_PAGES = 200


@dataclass(frozen=True, slots=True)
class Listing:
    """What was read; `steady` says that nothing moved meanwhile, so that what is missing is not there.

    A list that has no order of its own never holds still: it is `complete` when several runs together brought as many
    records as Planday says there are.
    """

    rows: tuple[Row, ...]
    steady: bool = True
    complete: bool = True

    def with_id(self, number: int) -> Row | None:
        """The record with this id."""
        return next((row for row in self.rows if row.get("id") == number), None)


async def read_rows(page: ReadPage, *, asked: int, wanted: int | None = None) -> Listing:
    """The whole list, or as much of it as it takes to find the record `wanted`; `page` reads from an offset."""
    found: dict[Hashable, Row] = {}
    totals: set[int | None] = set()
    for run in range(_MOST_RUNS):
        if run >= _RUNS and (len(totals) != 1 or None in totals or totals <= {len(found)}):
            break
        totals.clear()
        steady = await _one_run(page, found, totals, asked=asked, wanted=wanted)
        if steady:
            return Listing(tuple(found.values()))
    return Listing(tuple(found.values()), steady=False, complete=totals == {len(found)})


async def _one_run(
    page: ReadPage, found: dict[Hashable, Row], totals: set[int | None], *, asked: int, wanted: int | None
) -> bool:
    seen: set[Hashable] = set()
    offset, total, steady = 0, None, True
    for _ in range(_MOST_PAGES):
        got = await page(offset)
        steady = steady and (total is None or got.total is None or got.total == total)
        total = total if got.total is None else got.total
        totals.add(total)
        if got.size == 0:
            return steady and (total is None or offset >= total)
        ids = [_id(row) for row in got.rows]
        found.update(zip(ids, got.rows, strict=True))
        if wanted is not None and wanted in ids:
            return True
        if seen.issuperset(ids):
            return False
        steady = steady and seen.isdisjoint(ids)
        seen.update(ids)
        offset += got.size
        if total is not None and offset >= total:
            return steady
        if total is not None and got.size < (got.limit or asked):
            steady = False
    return False


def _id(row: Row) -> Hashable:
    number = row.get("id")
    return number if isinstance(number, int | str) else object()
