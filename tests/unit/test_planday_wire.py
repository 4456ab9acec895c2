"""One request goes out exactly as Planday documents it, and every way in which it can fail is one error of ours."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from urllib.parse import parse_qs

import httpx
import pytest

from relay.errors import AddressRefused, AnswerTooLarge, NotSent, PlandayUnavailable, SendError, Unanswered
from relay.planday import endpoints
from relay.planday.client import PlandayCalled
from relay.planday.wire import Wire


def subclasses(kind: type[Exception]) -> Iterator[type[Exception]]:
    for child in kind.__subclasses__():
        yield child
        yield from subclasses(child)


class Far:
    """A far side that remembers one request and answers as told."""

    def __init__(self, answer: httpx.Response | Exception) -> None:
        self.answer = answer
        self.request: httpx.Request | None = None
        self.called: list[PlandayCalled] = []
        ticks = iter(range(100))
        self.wire = Wire(
            "bistro", httpx.MockTransport(self.handle), clock=lambda: float(next(ticks)), notify=self.called.append
        )

    def handle(self, request: httpx.Request) -> httpx.Response:
        self.request = request
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer

    async def get(self) -> httpx.Response:
        return await self.wire.get(
            endpoints.SHIFT,
            "https://planday.test/scheduling/v1.0/shifts/7",
            params={},
            headers={"X-ClientId": "app", "Authorization": "Bearer secret"},
        )


async def test_a_read_carries_what_planday_documents() -> None:
    """Both headers and Accept; no cookie, no body, no stray question mark."""
    far = Far(httpx.Response(200, json={}, headers={"set-cookie": "a=b"}))
    await far.get()
    await far.get()
    assert far.request is not None
    assert str(far.request.url) == "https://planday.test/scheduling/v1.0/shifts/7"
    assert dict(far.request.headers) == {
        "host": "planday.test",
        "accept": "application/json",
        "user-agent": "planday-relay",
        "x-clientid": "app",
        "authorization": "Bearer secret",
    }
    assert far.request.content == b""
    assert far.request.extensions["relay_total"] == 15.0


async def test_a_token_request_is_a_form_without_api_headers() -> None:
    """Neither X-ClientId nor Authorization goes to the identity server."""
    far = Far(httpx.Response(200))
    form = {"client_id": "app", "refresh_token": "a+b/c=&d"}
    await far.wire.post_form(endpoints.TOKEN, "https://id.test/connect/token", form=form, timeout=3)
    assert far.request is not None
    assert far.request.headers["content-type"] == "application/x-www-form-urlencoded"
    assert parse_qs(far.request.content.decode()) == {"client_id": ["app"], "refresh_token": ["a+b/c=&d"]}
    assert not {"x-clientid", "authorization"} & set(far.request.headers)


async def test_each_call_is_reported_without_ids() -> None:
    """The template, the status and how long it took; 0 when no answer came."""
    far = Far(httpx.Response(404))
    await far.get()
    far.answer = httpx.ReadTimeout("MARKER")
    with pytest.raises(PlandayUnavailable):
        await far.get()
    template = "/scheduling/v1.0/shifts/{id}"
    assert far.called == [
        PlandayCalled(portal="bistro", endpoint=template, status=404, seconds=1.0),
        PlandayCalled(portal="bistro", endpoint=template, status=0, seconds=1.0),
    ]


@pytest.mark.parametrize("kind", sorted({httpx.TransportError, *subclasses(httpx.TransportError)}, key=str))
async def test_no_error_of_httpx_gets_through(kind: type[httpx.TransportError]) -> None:
    """The whole tree, whatever a later release adds to it; their texts stay behind."""
    with pytest.raises(PlandayUnavailable) as caught:
        await Far(kind("https://planday.test/MARKER")).get()
    assert "MARKER" not in str(caught.value)
    assert caught.value.__cause__ is None


@pytest.mark.parametrize("kind", [SendError, NotSent, AddressRefused, Unanswered, AnswerTooLarge])
async def test_no_error_of_our_transport_gets_through(kind: type[SendError]) -> None:
    """They name a host at most, so their words may stay."""
    with pytest.raises(PlandayUnavailable, match=r"shifts/\{id\}: host: broken"):
        await Far(kind("host: broken")).get()


async def test_a_url_that_is_none_is_named_without_repeating_it() -> None:
    """A typo in api_url ends in a sentence."""
    far = Far(httpx.Response(200))
    with pytest.raises(PlandayUnavailable, match="InvalidURL"):
        await far.wire.get(endpoints.SHIFT, "https://planday.test:port/", params={}, headers={})


async def test_an_answer_without_end_is_cut_off() -> None:
    """Whatever the transport's own limits are, a call ends."""

    class Hangs(httpx.AsyncBaseTransport):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            await asyncio.Event().wait()
            raise AssertionError

    wire = Wire("bistro", Hangs(), clock=lambda: 0.0)
    with pytest.raises(PlandayUnavailable, match="in time"):
        await wire.post_form(endpoints.TOKEN, "https://id.test/connect/token", form={}, timeout=-0.99)
