"""The change feed over hours of a living portal, judged by the simulator's record: nothing missed, nothing doubled."""

from __future__ import annotations

import secrets

import pytest

from tests.integration.feed_day import SWITCHES, one_day

# A long simulation runs each line a thousand times: coverage learns nothing from it that smaller tests do not show.
pytestmark = pytest.mark.no_cover

# The long form turns all of them: `make feed-day`.
_IN_SHORT = (
    "nulls omitted",
    "times in UTC",
    "pages of 7",
    "any order",
    "a row comes between pages",
    "a year of shifts refused",
    "future dismissals listed",
)


async def test_hours_of_a_portal_with_processes_killed(redis_server: str) -> None:
    """Half a day of 60 people and five deaths in the midst of a look."""
    verdict = await one_day(redis_server, f"t{secrets.token_hex(5)}:", seed=11, people=60, hours=12, kills=5)
    assert verdict.faults() == []
    assert verdict.kills == 5
    assert verdict.mean_percent <= 10
    assert sum(tally.told for tally in verdict.kinds.values()) > 100


@pytest.mark.parametrize("name", _IN_SHORT)
async def test_what_planday_does_not_document_makes_no_difference(name: str, redis_server: str) -> None:
    """The same with one switch turned."""
    prefix = f"t{secrets.token_hex(5)}:"
    verdict = await one_day(redis_server, prefix, seed=7, people=30, hours=2, kills=1, switches=SWITCHES[name])
    assert verdict.faults() == [], verdict.troubles
    assert sum(tally.told for tally in verdict.kinds.values()) > 10
