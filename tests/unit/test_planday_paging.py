"""A list is read to its end, and one that moves under the reader is not taken for whole."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from relay.planday.answers import Page
from relay.planday.paging import read_rows


class Pages:
    """A far side that serves `rows` in pages, with or without saying how many there are."""

    def __init__(self, rows: Sequence[Any], *, limit: int = 2, paging: bool = True) -> None:
        self.rows, self.limit, self.paging = list(rows), limit, paging
        self.offsets: list[int] = []

    async def __call__(self, offset: int) -> Page:
        self.offsets.append(offset)
        rows = self.rows[offset : offset + self.limit]
        total, limit = (len(self.rows), self.limit) if self.paging else (None, None)
        return Page(rows=tuple({"id": row} for row in rows), size=len(rows), total=total, limit=limit)


@pytest.mark.parametrize(
    ("count", "paging", "offsets"),
    [
        (0, True, [0]),
        (2, True, [0]),
        (5, True, [0, 2, 4]),
        (0, False, [0]),
        (2, False, [0, 2]),
        (5, False, [0, 2, 4, 5]),
    ],
)
async def test_a_quiet_list_is_read_once(count: int, paging: bool, offsets: list[int]) -> None:
    """With a total it ends there; without one it ends at the first empty page."""
    pages = Pages(range(count), paging=paging)
    listing = await read_rows(pages, asked=2)
    assert [row["id"] for row in listing.rows] == list(range(count))
    assert listing.steady
    assert pages.offsets == offsets


async def test_a_lowered_limit_is_no_surprise() -> None:
    """Planday may serve fewer than asked for, and says so."""
    pages = Pages(range(5), limit=2)
    listing = await read_rows(pages, asked=500)
    assert len(listing.rows) == 5
    assert listing.steady
    assert pages.offsets == [0, 2, 4]


async def test_reading_ends_at_the_wanted_record() -> None:
    """No page more than needed."""
    pages = Pages(range(50))
    listing = await read_rows(pages, asked=2, wanted=3)
    assert listing.with_id(3) == {"id": 3}
    assert pages.offsets == [0, 2]


async def test_a_row_inserted_between_pages_starts_another_run() -> None:
    """The total changed and a record came twice: what was missed would be missed for good."""
    pages = Pages(range(10, 16))

    async def page(offset: int) -> Page:
        answer = await pages(offset)
        if pages.offsets == [0]:
            pages.rows.insert(0, 9)
        return answer

    listing = await read_rows(page, asked=2)
    assert {row["id"] for row in listing.rows} == set(range(9, 16))
    assert listing.steady
    assert pages.offsets == [0, 2, 4, 6, 0, 2, 4, 6]


async def test_a_list_that_never_holds_still_says_so() -> None:
    """After three runs what was seen is given, marked as perhaps not all."""
    calls = 0

    async def page(offset: int) -> Page:
        nonlocal calls
        calls += 1
        return Page(rows=({"id": calls},), size=1, total=3 + calls, limit=2)

    listing = await read_rows(page, asked=2)
    assert not listing.steady
    assert listing.with_id(1) == {"id": 1}


async def test_an_offset_that_is_ignored_ends() -> None:
    """The same page again and again is no list without end."""
    calls = 0

    async def page(offset: int) -> Page:
        nonlocal calls
        calls += 1
        return Page(rows=({"id": 1}, {"id": 2}), size=2)

    listing = await read_rows(page, asked=2)
    assert not listing.steady
    assert calls == 6


async def test_a_short_page_before_the_end_is_suspicious() -> None:
    """Fewer rows than the limit although more are to come."""

    async def page(offset: int) -> Page:
        rows = {0: (1,), 1: (2, 3)}.get(offset, ())
        return Page(rows=tuple({"id": row} for row in rows), size=len(rows), total=3, limit=2)

    listing = await read_rows(page, asked=2)
    assert len(listing.rows) == 3
    assert not listing.steady


async def test_rows_without_an_id_are_all_kept() -> None:
    """And a page with nothing readable in it ends the run."""

    async def page(offset: int) -> Page:
        return Page(rows=({"name": "a"}, {"id": [1]}), size=2, total=2, limit=2)

    assert len((await read_rows(page, asked=2)).rows) == 2

    async def odd(offset: int) -> Page:
        return Page(rows=(), size=2, total=4, limit=2)

    assert not (await read_rows(odd, asked=2)).steady
