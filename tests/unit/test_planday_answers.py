"""Each answer of Planday's is data or one named error; the status decides and the body never does."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from relay.errors import NotSent, PlandayError, PlandayUnavailable, RecordGone, ScopeMissing, Unanswered
from relay.planday import endpoints
from relay.planday.answers import (
    Hiccup,
    Page,
    TooMany,
    Unauthorised,
    not_answered,
    read_page,
    read_record,
    wait_after_429,
)
from relay.planday.limits import RateHeaders

PROBLEM = {"type": "about:blank", "title": "MARKER", "status": 200, "detail": "MARKER", "data": {"id": 1}}


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (400, RecordGone),
        (401, Unauthorised),
        (403, ScopeMissing),
        (404, RecordGone),
        (405, RecordGone),
        (408, PlandayUnavailable),
        (409, RecordGone),
        (410, RecordGone),
        (425, PlandayUnavailable),
        (429, TooMany),
        (500, Hiccup),
        (502, Hiccup),
        (503, Hiccup),
        (204, RecordGone),
        (201, PlandayUnavailable),
        (302, PlandayUnavailable),
    ],
)
@pytest.mark.parametrize("body", [PROBLEM, {"error": {"code": 1, "message": "MARKER"}}, "<html>MARKER</html>", ""])
def test_the_status_decides(status: int, error: type[PlandayError], body: Any) -> None:
    """Whatever stands in the body; the text names the endpoint without ids, and no word of the body."""
    content = {"json": body} if isinstance(body, dict) else {"text": body}
    response = httpx.Response(status, **content)
    with pytest.raises(error) as caught:
        read_record(response, endpoints.EMPLOYEE)
    assert type(caught.value) is error
    assert str(caught.value).startswith("/hr/v1.0/employees/{id}: ")
    assert "MARKER" not in str(caught.value)


def test_403_names_the_scope() -> None:
    """The operator must know which scope to add."""
    with pytest.raises(ScopeMissing, match="shiftposition:read") as caught:
        read_record(httpx.Response(403), endpoints.POSITION)
    assert caught.value.scope == "shiftposition:read"


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"<html>MARKER</html>",
        b'{"data": {"id": 1',
        b"[]",
        b"null",
        b'{"data": NaN}',
        b"{}",
        b"[" * 10_000,
        b"\xff",
    ],
)
def test_a_200_without_a_record_is_no_answer(content: bytes) -> None:
    """Empty, HTML, cut off or of another shape: asked again, and quoted nowhere."""
    with pytest.raises(Hiccup) as caught:
        read_record(httpx.Response(200, content=content), endpoints.SHIFT)
    assert "MARKER" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_an_empty_record_is_gone() -> None:
    """200 with `data: null` is as good as 404."""
    with pytest.raises(RecordGone):
        read_record(httpx.Response(200, json={"data": None}), endpoints.SHIFT)


def test_an_answer_that_was_cut_by_us_says_so() -> None:
    """The transport reads only so much; asking again would bring the same."""
    response = httpx.Response(200, content=b'{"data', extensions={"truncated": True})
    with pytest.raises(PlandayUnavailable, match="larger"):
        read_page(response, endpoints.SHIFT_TYPES)


@pytest.mark.parametrize(
    ("body", "page"),
    [
        ({"paging": {"offset": 0, "limit": 50, "total": 2}, "data": [{"id": 1}, {"id": 2}]}, (2, 2, 2, 50)),
        ({"paging": None, "data": [{"id": 1}]}, (1, 1, None, None)),
        ({"paging": {"total": 1}, "data": [{"id": 1}]}, (1, 1, 1, None)),
        ({"data": []}, (0, 0, None, None)),
        ([{"skillId": 1}], (1, 1, None, None)),
        ({"paging": {"total": "2", "limit": True}, "data": [{"id": 1}, 7]}, (1, 2, None, None)),
    ],
)
def test_pages_come_in_every_documented_shape(body: Any, page: tuple[int, int, int | None, int | None]) -> None:
    """With an envelope, with half of one, with none."""
    read = read_page(httpx.Response(200, json=body), endpoints.SHIFT_TYPES)
    assert (len(read.rows), read.size, read.total, read.limit) == page


@pytest.mark.parametrize("body", [{"data": {"id": 1}}, {"paging": {}}, "text"])
def test_a_200_without_a_list_is_no_answer(body: Any) -> None:
    """A record where a list should be."""
    with pytest.raises(Hiccup):
        read_page(httpx.Response(200, json=body), endpoints.SHIFT_TYPES)


def test_a_page_is_frozen() -> None:
    """Records are values."""
    with pytest.raises(AttributeError):
        Page(rows=(), size=0).size = 1  # type: ignore[misc]


@pytest.mark.parametrize(
    ("failure", "error"),
    [
        (httpx.ConnectError("https://x/910233?MARKER"), Hiccup),
        (httpx.RemoteProtocolError("MARKER"), Hiccup),
        (httpx.ReadTimeout("MARKER"), PlandayUnavailable),
        (NotSent("host: the name does not resolve"), Hiccup),
        (Unanswered("host: the connection broke"), Hiccup),
    ],
)
def test_no_answer_is_worth_asking_again(failure: Exception, error: type[Exception]) -> None:
    """A time-out is not tried again at once; a foreign text, which may hold the URL, is dropped."""
    made = not_answered(failure, endpoints.EMPLOYEE)
    assert type(made) is error
    assert "MARKER" not in str(made)


def test_a_refused_address_is_not_tried_again_at_once() -> None:
    """The guard will say the same in a second."""
    failure = NotSent("host: refused")
    failure.permanent = True
    assert type(not_answered(failure, endpoints.EMPLOYEE)) is PlandayUnavailable


@pytest.mark.parametrize(
    ("headers", "least", "most"),
    [
        ({"retry-after": "7", "x-ratelimit-reset": "33"}, 7.1, 7.5),
        ({"x-ratelimit-reset": "33"}, 33.1, 33.5),
        ({}, 1.0, 2.0),
        ({"retry-after": "soon", "x-ratelimit-reset": "x"}, 1.0, 2.0),
    ],
)
def test_a_429_is_waited_out(headers: dict[str, str], least: float, most: float) -> None:
    """Retry-After first, then the reset, else one to two seconds; jitter only adds."""
    response = httpx.Response(429, headers=headers)
    read = RateHeaders.read(response.headers)
    waits = [wait_after_429(response, read, now=0.0, jitter=jitter) for jitter in (0.0, 1.0)]
    assert waits == [pytest.approx(least), pytest.approx(most)]
