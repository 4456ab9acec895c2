"""What Planday's rate headers mean."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.planday.limits import RateHeaders

SAMPLE = "100, 20;w=1, 750;w=60, 100;w=1, 2000;w=60"


def test_the_documented_sample_is_read() -> None:
    """Portal per second and minute, then client per second and minute."""
    headers = RateHeaders.read({"x-ratelimit-limit": SAMPLE, "x-ratelimit-remaining": "99", "x-ratelimit-reset": "1"})
    assert headers == RateHeaders(
        quota=100, portal_policy="1=20,60=750", client_policy="1=100,60=2000", remaining=99, reset=1.0
    )
    assert headers.window() == ("client", 1)


@pytest.mark.parametrize(
    ("limit", "window"),
    [
        ("2000, 20;w=1, 750;w=60, 100;w=1, 2000;w=60", ("client", 60)),
        ("750, 20;w=1, 750;w=60, 100;w=1, 2000;w=60", ("portal", 60)),
        ("20,20;w=1,750;w=60,100;w=1,2000;w=60", ("portal", 1)),
        # Two windows with the same limit: nobody can tell which one speaks.
        ("100, 100;w=1, 750;w=60, 100;w=1, 2000;w=60", None),
        ("5, 20;w=1, 750;w=60, 100;w=1, 2000;w=60", None),
    ],
)
def test_the_quota_tells_which_window_speaks(limit: str, window: tuple[str, int] | None) -> None:
    """The first number is the limit of the window nearest to exhaustion."""
    assert RateHeaders.read({"x-ratelimit-limit": limit}).window() == window


@pytest.mark.parametrize(
    "limit",
    [
        "", "nonsense", "20", ";w=1", "20, 20;w=1", "20, 20;w=1, 750;w=60, 100;w=1",
        "20, 20;w=1, 0;w=60, 1;w=1, 1;w=60",
        "20, 20;w=0, 1;w=60, 1;w=0, 1;w=60", "20, 20;w=1, 30;w=1, 20;w=1, 30;w=1", "1, 1;w=99999, 1;w=99999",
    ],
)  # fmt: skip
def test_a_policy_that_makes_no_sense_is_none(limit: str) -> None:
    """Our own budgets hold on then."""
    headers = RateHeaders.read({"x-ratelimit-limit": limit})
    assert headers.portal_policy is None
    assert headers.client_policy is None
    assert headers.window() is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (None, None),
        ("7", 7.0),
        (" 2.5 ", 2.5),
        ("-3", None),
        ("9999999", 3600.0),
        ("soon", None),
        ("Wed, 21 Oct 2026 12:00:30 GMT", 30.0),
        ("Wed, 21 Oct 2026 11:00:00 GMT", 0.0),
        ("Wed, 21 Oct 2099 11:00:00 GMT", 3600.0),
    ],
)
def test_retry_after_is_seconds_in_both_forms(text: str | None, expected: float | None) -> None:
    """Undocumented, but read when it comes; never longer than an hour."""
    assert RateHeaders.retry_after(text, now=1_792_584_000.0) == expected


def test_a_senseless_reset_does_not_block_for_days() -> None:
    """An hour is the longest that anything is believed."""
    assert RateHeaders.read({"x-ratelimit-reset": "9999999"}).reset == 3600.0


@given(st.dictionaries(st.sampled_from(["x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset"]), st.text()))
def test_garbage_never_raises(headers: dict[str, str]) -> None:
    """The reader is total."""
    RateHeaders.read(headers).window()
    for text in headers.values():
        RateHeaders.retry_after(text, now=0.0)
