"""targets.answers: every status has one meaning, and a wait is believed only if it makes sense."""

from __future__ import annotations

from email.utils import formatdate

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relay.events import Outcome
from relay.targets.answers import LONGEST_WAIT, judge, retry_after

NOW = 1_790_000_000.0


def answer(status: int, **headers: str) -> httpx.Response:
    return httpx.Response(status, headers={name.replace("_", "-"): value for name, value in headers.items()})


MEANINGS = [
    *((status, Outcome.DELIVERED) for status in (200, 201, 202, 204, 206, 299)),
    *((status, Outcome.RETRY) for status in (408, 425, 429, 500, 501, 502, 503, 504, 507, 599)),
    *((status, Outcome.TARGET_BROKEN) for status in (301, 302, 303, 304, 307, 308, 401, 403, 404, 410)),
    *((status, Outcome.REJECTED) for status in (400, 402, 405, 406, 409, 411, 413, 415, 418, 422, 451, 499)),
    *((status, Outcome.UNKNOWN) for status in (100, 103, 199, 600, 999)),
]


@pytest.mark.parametrize(("status", "outcome"), MEANINGS)
def test_statuses(status: int, outcome: Outcome) -> None:
    """One of five outcomes, and the sentence names the status."""
    verdict = judge(answer(status), now=NOW)
    assert verdict.outcome is outcome
    assert str(status) in verdict.reason


def after(seconds: float) -> str:
    return formatdate(NOW + seconds, usegmt=True)


WAITS = [
    ("0", 0.0),
    ("30", 30.0),
    (" 30 ", 30.0),
    ("1.5", 1.5),
    ("21600", LONGEST_WAIT),
    ("999999999999", LONGEST_WAIT),
    (after(90), 90.0),
    (after(-90), 0.0),
    (after(10**7), LONGEST_WAIT),
    ("Sun, 06 Nov 1994 08:49:37 GMT", 0.0),
    ("Sun, 06 Nov 1994 08:49:37 -0000", 0.0),
    ("", None),
    ("-5", None),
    ("1e3", None),
    ("inf", None),
    ("NaN", None),
    ("٣", None),
    ("1" * 400, None),
    ("soon", None),
    ("5, 7", None),
    ("Sun, 99 Nov 1994 08:49:37 GMT", None),
    ("Sun, 06 Nov 99999999 08:49:37 GMT", None),
    ("x" * 5000, None),
]


@pytest.mark.parametrize(("value", "expected"), WAITS)
def test_retry_after(value: str, expected: float | None) -> None:
    """Seconds, decimals and dates are read and capped; garbage is no wait at all."""
    headers = httpx.Headers([(b"retry-after", value.encode())])
    assert retry_after(headers, now=NOW) == pytest.approx(expected)


def test_of_two_waits_the_first_counts() -> None:
    """A repeated header is not one garbled value."""
    assert retry_after(httpx.Headers([("retry-after", "5"), ("Retry-After", "7")]), now=NOW) == 5.0
    assert retry_after(httpx.Headers(), now=NOW) is None


@settings(deadline=None)
@given(st.binary(max_size=80))
def test_no_wait_is_ever_harmful(value: bytes) -> None:
    """Whatever stands there, the answer is nothing or between zero and six hours."""
    wait = retry_after(httpx.Headers([(b"retry-after", value)]), now=NOW)
    assert wait is None or 0.0 <= wait <= LONGEST_WAIT


def test_a_wait_is_told() -> None:
    """The sentence says how long the target asks to wait."""
    verdict = judge(answer(503, retry_after="30"), now=NOW)
    assert verdict.retry_after == 30.0
    assert verdict.reason == "the target asks to come back later (503 Service Unavailable); it asks to wait 30 s"


REDIRECTS = [
    ("https://new.example/hook?token=s3cret", " to new.example"),
    ("https://user:s3cret@new.example/x", " to new.example"),
    ("/other/s3cret", ""),
    ("", ""),
    ("http://[", ""),
    ("https://new.example:port/s3cret", ""),
    ("https://" + "x" * 5000, ""),
    ("https://<script>/", ""),
    ("//new.example/s3cret", " to new.example"),
]


@pytest.mark.parametrize(("location", "to"), REDIRECTS)
def test_a_redirect_shows_the_host_alone(location: str, to: str) -> None:
    """What to do is said; path, query and user are not."""
    verdict = judge(answer(302, location=location), now=NOW)
    assert verdict.reason == f"the target answers with a redirect{to} (302 Found); put the final address in `url`"
    assert "s3cret" not in verdict.reason
