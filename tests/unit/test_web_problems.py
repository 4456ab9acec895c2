"""The error table: every error of the way in has an answer that was chosen, and says nothing of the inside."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from starlette.exceptions import HTTPException

from relay import errors
from relay.errors import BacklogFull, BadEnvelope, Fault, InboundError, RelayError, StoreError, StoreUnavailable
from relay.web import problems


def _leaves(kind: type[RelayError]) -> Iterator[type[RelayError]]:
    yield kind
    for one in kind.__subclasses__():
        if one.__module__ == errors.__name__:
            yield from _leaves(one)


KINDS = {
    kind.__name__: kind for base in (InboundError, StoreError) for kind in _leaves(base) if kind is not InboundError
}


@pytest.mark.parametrize("name", KINDS)
def test_every_error_of_the_way_in_has_an_answer(name: str) -> None:
    """A new kind of refusal must not become a 500 because nobody thought of the table."""
    error = BadEnvelope([Fault("/type", "is missing")]) if name == "BadEnvelope" else KINDS[name]("said")
    answer = problems.answer(error)
    assert 400 <= answer.status_code < 500 or answer.status_code == 503
    assert answer.media_type == "application/problem+json"


def test_kinds_are_told_apart_by_their_type() -> None:
    """One slug, one status: a sender may switch on either."""
    constants = [one for one in vars(problems).values() if isinstance(one, problems.Kind)]
    kinds = constants + [kind for _, kind in problems.TABLE]
    assert len({kind.slug for kind in kinds}) == len(kinds)


def _body(error: Exception) -> dict[str, Any]:
    return dict(json.loads(bytes(problems.answer(error).body)))


def test_faults_come_with_their_pointers() -> None:
    """RFC 9457, with one entry for each fault."""
    body = _body(BadEnvelope([Fault("/0/type", "is missing"), Fault("", "is empty")]))
    assert body == {
        "type": "urn:planday-relay:problem:envelope",
        "title": "Not an event of the expected shape",
        "status": 422,
        "detail": "2 faults; nothing of this request was stored",
        "errors": [{"pointer": "/0/type", "detail": "is missing"}, {"pointer": "", "detail": "is empty"}],
    }


@pytest.mark.parametrize(
    ("error", "seconds"),
    [(StoreUnavailable("x"), "5"), (BacklogFull("x"), "30"), (errors.StoreUnfit("x"), "30"), (StoreError("x"), "30")],
)
def test_later_says_when(error: StoreError, seconds: str) -> None:
    """Retry-After in whole seconds on everything that means "come back"."""
    assert problems.answer(error).headers["retry-after"] == seconds


def test_an_unexpected_error_says_nothing_of_itself() -> None:
    """Neither its text nor its class."""
    body = _body(ZeroDivisionError("secret"))
    assert (body["status"], body["type"]) == (500, "urn:planday-relay:problem:fault")
    assert "secret" not in str(body)
    assert "Zero" not in str(body)


def test_what_redis_said_is_not_passed_on() -> None:
    """The text of a store error can hold keys and script lines."""
    assert "user_script" not in str(_body(StoreError("ERR ... @user_script:94")))


def test_headers_of_the_framework_are_kept_in_order() -> None:
    """Allow is a set there; here it is the same every time."""
    answer = problems.answer(HTTPException(405, headers={"Allow": "POST, GET, HEAD"}))
    assert answer.headers["allow"] == "GET, HEAD, POST"
    assert problems.kind_of(HTTPException(418)).status == 418
