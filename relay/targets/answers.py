"""What an answer means: status, `Retry-After` and redirects, without I/O; nobody else compares status codes."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime
from http import HTTPStatus

import httpx

from relay.events import Outcome

LONGEST_WAIT = 6 * 3600.0
_SECONDS = re.compile(r"[0-9]{1,12}(?:\.[0-9]{1,9})?")
_LONGEST_DATE = 64
_HOST = re.compile(r"[A-Za-z0-9.:_-]{1,253}")
_LATER = frozenset({408, 425, 429})
_BROKEN = {
    401: "the target does not accept our credentials",
    403: "the target refuses us",
    404: "the target's address does not exist there",
    410: "the target's address is gone for good",
}


@dataclass(frozen=True, slots=True)
class Verdict:
    """What one answer means for its delivery; `reason` is one sentence for an operator, without anything personal."""

    outcome: Outcome
    reason: str
    retry_after: float | None = None


def judge(response: httpx.Response, *, now: float) -> Verdict:
    """By status alone, as most targets mean it (targets-and-events.md 1.0)."""
    status = response.status_code
    shown = named(status)
    if 200 <= status < 300:
        return Verdict(Outcome.DELIVERED, f"the target took it ({shown})")
    if status in _LATER or 500 <= status < 600:
        return later(response, f"the target asks to come back later ({shown})", now=now)
    if 300 <= status < 400:
        return Verdict(Outcome.TARGET_BROKEN, _redirect(response))
    if status in _BROKEN:
        return Verdict(Outcome.TARGET_BROKEN, f"{_BROKEN[status]} ({shown})")
    if 400 <= status < 500:
        return Verdict(Outcome.REJECTED, f"the target will not take this message ({shown})")
    return Verdict(Outcome.UNKNOWN, f"the target's answer has no meaning here ({shown})")


def later(response: httpx.Response, reason: str, *, now: float) -> Verdict:
    """Try again, after the time that the answer asks for, if it names one."""
    wait = retry_after(response.headers, now=now)
    asked = f"; it asks to wait {wait:.0f} s" if wait else ""
    return Verdict(Outcome.RETRY, reason + asked, wait)


def retry_after(headers: httpx.Headers, *, now: float) -> float | None:
    """Seconds to wait by `Retry-After`, given in seconds or as a date, at most six hours; None if there is none."""
    values = headers.get_list("retry-after")
    text = values[0].strip() if values else ""
    if _SECONDS.fullmatch(text):
        return min(float(text), LONGEST_WAIT)
    if not text or len(text) > _LONGEST_DATE or not text[0].isalpha():
        return None
    try:
        at = parsedate_to_datetime(text)
        if at.tzinfo is None:
            at = at.replace(tzinfo=UTC)
        wait = at.timestamp() - now
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    return min(max(wait, 0.0), LONGEST_WAIT)


def named(status: int) -> str:
    """A status with its usual words; the target's own words stay out of it."""
    try:
        return f"{status} {HTTPStatus(status).phrase}"
    except ValueError:
        return str(status)


def _redirect(response: httpx.Response) -> str:
    """The host alone is shown: the path or query of an address may be a credential."""
    location = response.headers.get("location", "")
    try:
        host = httpx.URL(location).host
    except (httpx.InvalidURL, ValueError):
        host = ""
    to = f" to {host}" if _HOST.fullmatch(host) else ""
    return f"the target answers with a redirect{to} ({named(response.status_code)}); put the final address in `url`"
