"""Instants as people write them in a query."""

from __future__ import annotations

import pytest

from relay.web.asking import moment

NOW = 1_790_000_000.0


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("2h", NOW - 7200),
        ("1.5d", NOW - 129_600),
        ("90", NOW - 90),
        ("0s", NOW),
        ("2026-09-21T13:33:20Z", 1_790_000_000 - 2400),
        ("2026-09-21T15:33:20.5+02:00", 1_790_000_000 - 2400 + 0.5),
    ],
)
def test_a_moment_is_absolute_or_how_long_ago(text: str, at: float) -> None:
    """Both ways give one instant."""
    assert moment(text, now=NOW) == at


@pytest.mark.parametrize("text", ["", "yesterday", "2h30m", "-2h", "2026-09-21", "2026-09-21T13:33:20", "9999999d"])
def test_what_could_be_several_instants_is_refused(text: str) -> None:
    """A time without an offset is another one on another machine."""
    with pytest.raises(ValueError, match="how long ago"):
        moment(text, now=NOW)
