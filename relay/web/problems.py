"""What a caller is told when a request is not granted: one table from error to answer (RFC 9457).

Handlers raise; nobody else picks a status. No text here holds a value that a sender wrote, a secret, or a place in
our code.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pydantic_core
from starlette.exceptions import HTTPException
from starlette.responses import Response

from relay.errors import (
    BacklogFull,
    BadEnvelope,
    BadSignature,
    BodyTooLarge,
    NoSuchSource,
    NotFoundError,
    NotJson,
    RefusedError,
    RelayError,
    StoreError,
    StoreUnavailable,
    UnsupportedMedia,
)

MEDIA_TYPE = "application/problem+json"
TYPE_PREFIX = "urn:planday-relay:problem:"
# For errors that mean "later" and do not say when.
_LATER = 30.0


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of refusal; `slug` is the end of its type, which stays the same from release to release."""

    status: int
    slug: str
    title: str


# What only HTTP knows; the rest of the relay has no error for it.
UNAUTHORIZED = Kind(401, "unauthorized", "The token is missing or wrong")
CLOSED = Kind(403, "closed", "Closed until a token is set")
FORBIDDEN = Kind(403, "role", "Not for this role")
BAD_QUERY = Kind(400, "query", "The query cannot be read")
BAD_BODY = Kind(422, "body", "The body does not fit")
TOO_SLOW = Kind(408, "too-slow", "The body took too long")
DRAINING = Kind(503, "draining", "The relay is stopping")
NOTHING_HERE = Kind(404, "nothing-here", "There is nothing at this path")
METHOD = Kind(405, "method", "Not with this method")
OUR_FAULT = Kind(500, "fault", "A fault of ours")

# The first class that fits decides.
TABLE: tuple[tuple[type[RelayError], Kind], ...] = (
    (NoSuchSource, Kind(404, "no-such-source", "There is no such source")),
    (BadSignature, Kind(401, "signature", "Not proven to come from this source")),
    (BodyTooLarge, Kind(413, "body-too-large", "The body is too large")),
    (UnsupportedMedia, Kind(415, "media-type", "The body's type is not read here")),
    (NotJson, Kind(400, "not-json", "The body is not JSON")),
    (BadEnvelope, Kind(422, "envelope", "Not an event of the expected shape")),
    (BacklogFull, Kind(429, "backlog", "Too many events wait")),
    (StoreError, Kind(503, "store", "The store is not available")),
    (NotFoundError, Kind(404, "not-found", "Not found")),
    (RefusedError, Kind(409, "refused", "Not possible in the present state")),
)
_OF_HTTP = {404: NOTHING_HERE, 405: METHOD}


class Problem(RelayError):
    """A refusal of one of the kinds above, raised where it is found."""

    def __init__(
        self,
        kind: Kind,
        detail: str,
        *,
        errors: Sequence[Mapping[str, str]] = (),
        headers: Mapping[str, str] | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(detail)
        self.kind = kind
        self.errors = tuple(errors)
        self.headers = dict(headers or {})
        self.retry_after = retry_after


def kind_of(error: Exception) -> Kind:
    """The kind of an error; what stands nowhere is a fault of ours."""
    if isinstance(error, Problem):
        return error.kind
    if isinstance(error, HTTPException):
        return _OF_HTTP.get(error.status_code, Kind(error.status_code, "http", "The request cannot be served"))
    return next((kind for class_, kind in TABLE if isinstance(error, class_)), OUR_FAULT)


def answer(error: Exception, *, headers: Mapping[str, str] | None = None) -> Response:
    """The answer to whoever caused an error."""
    kind = kind_of(error)
    body: dict[str, Any] = {
        "type": TYPE_PREFIX + kind.slug,
        "title": kind.title,
        "status": kind.status,
        "detail": detail(error, kind),
    }
    if errors := _errors(error):
        body["errors"] = errors
    response = Response(pydantic_core.to_json(body), status_code=kind.status, media_type=MEDIA_TYPE)
    for name, value in {**_headers(error), **(headers or {})}.items():
        response.headers[name] = value
    if kind.status in (429, 503):
        wait = error.retry_after if isinstance(error, RelayError) else None
        response.headers["retry-after"] = str(math.ceil(wait or _LATER))
    return response


def detail(error: Exception, kind: Kind) -> str:
    """What an error says to whoever caused it."""
    if kind is OUR_FAULT:
        return "something went wrong here; it is in the relay's log, and the request may be sent again"
    if isinstance(error, BadEnvelope):
        count = len(error.faults)
        return f"{count} {'fault' if count == 1 else 'faults'}; nothing of this request was stored"
    if isinstance(error, StoreError) and not isinstance(error, StoreUnavailable | BacklogFull):
        return "the store cannot be used now; the reason is in the relay's log"
    if isinstance(error, HTTPException):
        return "no such path or no such method on it; see docs/api.md"
    return str(error)


def _errors(error: Exception) -> list[dict[str, str]]:
    if isinstance(error, BadEnvelope):
        return [{"pointer": fault.where, "detail": fault.message} for fault in error.faults]
    return [dict(one) for one in error.errors] if isinstance(error, Problem) else []


def _headers(error: Exception) -> Mapping[str, str]:
    if isinstance(error, Problem):
        return error.headers
    if isinstance(error, HTTPException) and error.headers:
        headers = dict(error.headers)
        if "Allow" in headers:
            headers["Allow"] = ", ".join(sorted(part.strip() for part in headers["Allow"].split(",")))
        return headers
    return {}
