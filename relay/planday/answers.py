"""Turns an answer of Planday's into data or a named error; nobody else compares status codes.

The status decides, never the body: error bodies come in half a dozen shapes, some of them HTML (planday-api.md 5).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import httpx
import pydantic_core

from relay.errors import PlandayError, PlandayUnavailable, RecordGone, ScopeMissing, SendError
from relay.planday.endpoints import Endpoint
from relay.planday.limits import RateHeaders


class Hiccup(PlandayUnavailable):
    """A failure that may be gone in a moment: worth asking again within the same call."""


class Unauthorised(PlandayError):
    """401: the access token is not taken. Handled by the client, never seen outside."""


class TooMany(PlandayUnavailable):
    """429: the budget is used up. The client tells the limiter; never seen outside."""


@dataclass(frozen=True, slots=True)
class Page:
    """One page of a list: its records, and what Planday says of the whole, where it does."""

    rows: tuple[dict[str, Any], ...]
    size: int
    total: int | None = None
    limit: int | None = None


def read_data(response: httpx.Response, endpoint: Endpoint) -> Any:
    """The parsed body of a good answer, or the error that the answer stands for."""
    status, what = response.status_code, f"{endpoint.template}: {response.status_code}"
    if status == 200:
        return _json(response, endpoint)
    if status == 204:
        raise RecordGone(f"{what} (nothing there)")
    if status == 401:
        raise Unauthorised(what)
    if status == 403:
        raise ScopeMissing(f"{what}, the app lacks the scope {endpoint.scope}", scope=endpoint.scope)
    if status == 429:
        raise TooMany(what)
    if status >= 500:
        raise Hiccup(what)
    if status in (408, 425) or status < 400:
        raise PlandayUnavailable(f"{what} is no answer to a read")
    # 404, and 400 on a person who left; other refusals of one read are no different: asking again brings the same.
    raise RecordGone(what)


def read_record(response: httpx.Response, endpoint: Endpoint) -> dict[str, Any]:
    """The one record of a read by id."""
    body = read_data(response, endpoint)
    if not isinstance(body, dict) or "data" not in body:
        raise Hiccup(f"{endpoint.template}: the answer holds no record")
    if not isinstance(body["data"], dict):
        raise RecordGone(f"{endpoint.template}: 200 with an empty record")
    return body["data"]


def read_page(response: httpx.Response, endpoint: Endpoint) -> Page:
    """One page of a list, with or without its envelope."""
    body = read_data(response, endpoint)
    paging: Any = None
    if isinstance(body, dict):
        paging, body = body.get("paging"), body.get("data")
    if not isinstance(body, list):
        raise Hiccup(f"{endpoint.template}: the answer holds no list")
    paging = paging if isinstance(paging, dict) else {}
    return Page(
        rows=tuple(row for row in body if isinstance(row, dict)),
        size=len(body),
        total=_count(paging.get("total")),
        limit=_count(paging.get("limit")),
    )


def read_body(response: httpx.Response, endpoint: Endpoint) -> dict[str, Any]:
    """An answer without the usual envelope."""
    body = read_data(response, endpoint)
    if not isinstance(body, dict):
        raise Hiccup(f"{endpoint.template}: the answer is no object")
    return body


def not_answered(failure: Exception, endpoint: Endpoint) -> PlandayUnavailable:
    """A call that brought no answer, as ours; the text of a foreign error stays behind, it may hold the URL."""
    if isinstance(failure, httpx.TimeoutException):
        return PlandayUnavailable(f"{endpoint.template}: no answer in time")
    detail = str(failure) if isinstance(failure, SendError) else type(failure).__name__
    kind = PlandayUnavailable if getattr(failure, "permanent", False) else Hiccup
    return kind(f"{endpoint.template}: {detail}")


def wait_after_429(response: httpx.Response, headers: RateHeaders, *, now: float, jitter: float) -> float:
    """How long a 429 tells us to wait: Retry-After, else the reset, else one to two seconds; always a little more."""
    told = headers.retry_after(response.headers.get("retry-after"), now=now)
    if told is None:
        told = headers.reset
    return (1.0 if told is None else told) + (jitter if told is None else 0.1 + 0.4 * jitter)


def _json(response: httpx.Response, endpoint: Endpoint) -> Any:
    if response.extensions.get("truncated"):
        raise PlandayUnavailable(f"{endpoint.template}: the answer is larger than what is read")
    try:
        return pydantic_core.from_json(response.content, allow_inf_nan=False)
    except ValueError:
        # No cause: its text quotes the body.
        raise Hiccup(f"{endpoint.template}: 200, but the answer is not JSON") from None


def _count(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None
