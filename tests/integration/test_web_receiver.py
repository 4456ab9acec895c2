"""What senders hand in and how it is answered: single events, batches, duplicates, rotation, other people's schemes."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import time
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from relay.events import event_id
from tests.integration.web_world import (
    HMAC_SECRET,
    OLD_SECRET,
    PASSWORD,
    PORTAL,
    Headers,
    Web,
    encoded,
    problem,
    raw,
    settings,
    signed,
    thin,
    web_over,
)


@pytest.fixture
async def web(redis_server: str, prefix: str) -> AsyncIterator[Web]:
    async with web_over(settings(redis_server, prefix), body_patience=0.05) as one:
        yield one


def ids(answer: httpx.Response) -> list[str]:
    assert answer.status_code == 202, answer.text
    return [one["id"] for one in answer.json()["events"]]


async def test_a_signed_event_is_stored_before_it_is_answered(web: Web) -> None:
    """202 with the relay's own id, and the record holds what the sender said."""
    content = thin(id="s1", time="2026-03-01T09:00:00+01:00", region="north", data={"hours": 7.4})
    answer = await web.send(content)
    assert answer.status_code == 202
    assert answer.headers["content-type"] == "application/json"
    assert answer.json() == {"events": [{"id": event_id("planday", "s1"), "duplicate": False}]}
    event = (await web.services.reading.event(event_id("planday", "s1"))).event
    assert (event.source, event.type, event.subject, event.portal) == (
        "planday",
        "planday.shift.updated",
        "shift/70010045",
        PORTAL,
    )
    assert event.time == "2026-03-01T08:00:00Z"
    assert event.received == {"hours": 7.4}
    assert event.extensions == {"region": "north"}


async def test_a_duplicate_is_answered_like_the_first(web: Web) -> None:
    """Same source and id: 202 again, marked, and one record. Another source's same id is another event."""
    first = await web.send(thin(id="s1"))
    again = await web.send(thin(id="s1", data={"other": True}))
    assert ids(first) == ids(again)
    assert again.json()["events"][0]["duplicate"] is True
    assert await web.count() == 1
    other = await web.send(thin(id="s1"), raw({"content-type": "application/json"}), source="open")
    assert other.json()["events"][0]["duplicate"] is False
    assert await web.count() == 2


async def test_without_an_id_the_webhook_id_stands_in(web: Web) -> None:
    """A retry of the same message is one event; of a batch, each member has its place."""
    body = encoded([thin(1), thin(2)])
    first = await web.send(body, signed(body, message_id="msg_batch"))
    again = await web.send(body, signed(body, message_id="msg_batch"))
    assert ids(first) == ids(again) == [event_id("planday", "msg_batch:0"), event_id("planday", "msg_batch:1")]
    assert [one["duplicate"] for one in again.json()["events"]] == [True, True]


async def test_without_any_id_every_copy_is_new(web: Web) -> None:
    """There is nothing to know a copy by."""
    headers = raw({"content-type": "application/json"})
    first = await web.send(thin(), headers, source="open")
    again = await web.send(thin(), headers, source="open")
    assert ids(first) != ids(again)


@pytest.mark.parametrize("media", ["application/json", "application/cloudevents-batch+json; charset=UTF-8"])
async def test_a_batch_is_answered_in_its_order(web: Web, media: str) -> None:
    """One entry for each member; a member that comes twice is a duplicate of the first."""
    body = encoded([thin(1, id="a"), thin(2, id="b"), thin(1, id="a")])
    answer = await web.send(body, signed(body, content_type=media))
    assert ids(answer) == [event_id("planday", one) for one in "aba"]
    assert [one["duplicate"] for one in answer.json()["events"]] == [False, False, True]
    assert await web.count() == 2


async def test_a_hundred_events_are_one_request(web: Web) -> None:
    """The largest batch is taken whole."""
    answer = await web.send([thin(n) for n in range(100)])
    assert len(set(ids(answer))) == 100
    assert await web.count() == 100


async def test_what_must_be_let_in_is(web: Web) -> None:
    """Edge cases on the good side: unknown types, unknown portals, a BOM, charset, UTF-8, test events."""
    good: list[Any] = [
        thin(type="deputy.timesheet.approved"),
        thin(portalid="999999"),
        thin(portalid=None, source=f"urn:planday:portal:{PORTAL}"),
        thin(source="urn:somebody:else"),
        thin(type="relay.test"),
        thin(data={"name": "Søren Ærø", "deep": [[[[1]]]]}),
        thin(specversion="1.0", datacontenttype="application/json", relayorigin="test"),
        b"\xef\xbb\xbf" + encoded(thin()),
    ]
    for content in good:
        body = encoded(content)
        answer = await web.send(body, signed(body, content_type="application/json;charset=utf-8"))
        assert answer.status_code == 202, answer.text
    assert await web.count() == len(good)


async def test_both_secrets_are_good_while_they_are_exchanged(web: Web) -> None:
    """The old one, the new one, and both in one header."""
    body = encoded(thin())
    assert (await web.send(body, signed(body, secret=OLD_SECRET))).status_code == 202
    old = dict(signed(body, message_id="m", at=time.time(), secret=OLD_SECRET))[b"webhook-signature"].decode()
    both = await web.send(body, signed(body, message_id="m", webhook_signature=f"v1a,AAAA {old}"))
    assert both.status_code == 202


def _hmac(body: bytes) -> str:
    return hmac.new(HMAC_SECRET.encode(), body, hashlib.sha256).hexdigest()


async def test_other_ways_of_proof(web: Web) -> None:
    """GitHub's, a signed time, a token, a password: each lets its own sender in."""
    body = encoded(thin())
    stamp = str(int(time.time()))
    password = base64.b64encode(f"quinyx:{PASSWORD}".encode()).decode()
    proofs: dict[str, dict[str, str]] = {
        "github": {"x-hub-signature-256": f"sha256={_hmac(body)}"},
        "stamped": {"x-signature": _hmac(f"{stamp}.".encode() + body), "x-timestamp": stamp},
        "token": {"authorization": f"Bearer {HMAC_SECRET}"},
        "basic": {"authorization": f"Basic {password}"},
    }
    for source, proof in proofs.items():
        answer = await web.send(body, raw({"content-type": "application/json", **proof}), source=source)
        assert answer.status_code == 202, source
    assert await web.count() == len(proofs)


async def test_another_shape_by_its_map(web: Web) -> None:
    """Nothing of the body is read but what the map says."""
    body = encoded({"topic": "timesheet", "data": {"Id": 12}, "id": "the timesheet's own"})
    answer = await web.send(body, raw({"content-type": "application/json"}), source="mapped")
    event = (await web.services.reading.event(ids(answer)[0])).event
    assert (event.type, event.subject, event.portal) == ("deputy.timesheet", "timesheet/12", PORTAL)
    assert event.received is None


async def test_what_was_signed_but_unreadable_is_put_aside(web: Web) -> None:
    """The operator sees the body, whence it came and what was wrong; the oldest makes room."""
    await web.send(b"{broken")
    await web.send(thin(type=None))
    newest, oldest = await web.quarantined()
    assert oldest.body == "{broken"
    assert oldest.content_type == "application/json"
    assert newest.source == "planday"
    assert "/type" in newest.reason


async def test_the_quarantine_is_bounded(redis_server: str, prefix: str) -> None:
    """In number, and each body in size."""
    async with web_over(settings(redis_server, prefix, quarantine_limit=2, body_limit=200_000)) as web:
        for n in range(3):
            await web.send(f"bad {n}".encode() + b"x" * 70_000)
        found = await web.quarantined()
        assert [one.body[:5] for one in found] == ["bad 2", "bad 1"]
        assert all(len(one.body) == 65_536 for one in found)
        assert "65536 of 70005 bytes" in found[0].reason


async def test_what_anyone_may_send_is_not_put_aside(web: Web) -> None:
    """A source without proof would let strangers fill the quarantine."""
    answer = await web.send(b"{broken", raw({"content-type": "application/json"}), source="open")
    problem(answer, 400, "not-json")
    assert await web.quarantined() == []


async def test_a_full_backlog_is_429_and_stores_nothing(redis_server: str, prefix: str) -> None:
    """Senders are told when to come back; what waits already is still known as a duplicate's original."""
    async with web_over(settings(redis_server, prefix, backlog_limit=2)) as web:
        await web.send([thin(1, id="a"), thin(2, id="b")])
        answer = await web.send(thin(3))
        problem(answer, 429, "backlog")
        assert int(answer.headers["retry-after"]) == 30
        assert await web.count() == 2


async def test_a_slow_body_ends_with_408(web: Web) -> None:
    """A sender that stops in the middle of its body does not keep us for ever, and nothing is stored."""
    status, body = await _call(web, [{"type": "http.request", "body": b'{"type":', "more_body": True}])
    assert status == 408
    assert b"problem:too-slow" in body
    assert await web.count() == 0


async def test_a_sender_that_hangs_up_gets_no_answer(web: Web) -> None:
    """Nothing is stored, nothing is sent, nothing breaks."""
    messages: list[dict[str, Any]] = [
        {"type": "http.request", "body": b'{"type":', "more_body": True},
        {"type": "http.disconnect"},
    ]
    assert await _call(web, messages) == (0, b"")
    assert await web.count() == 0


async def test_the_handshake_of_the_webhook_profile(web: Web) -> None:
    """OPTIONS is answered for a source that exists, and only for one."""
    answer = await web.client.options("/in/planday", headers={"WebHook-Request-Origin": "events.example"})
    assert answer.status_code == 204
    assert answer.headers["webhook-allowed-origin"] == "*"
    assert answer.headers["allow"] == "OPTIONS, POST"
    assert "webhook-allowed-origin" not in (await web.client.options("/in/planday")).headers
    problem(await web.client.options("/in/nobody"), 404, "no-such-source")


async def test_a_stopping_relay_takes_nothing_new(web: Web) -> None:
    """503 with Retry-After for senders and the API; who watches is still answered."""
    web.app.state.draining = True
    answer = await web.send(thin())
    problem(answer, 503, "draining")
    problem(await web.get("/events"), 503, "draining")
    assert await web.count() == 0
    assert (await web.client.get("/healthz")).status_code == 200
    ready = await web.client.get("/readyz")
    assert (ready.status_code, ready.json()["status"]) == (503, "draining")


async def test_an_exception_of_ours_tells_nothing(web: Web) -> None:
    """500 as a problem without a word of what happened; our log and counter have it."""

    class Broken:
        async def accept(self, _events: object) -> None:
            raise ZeroDivisionError("secret inside")

    web.services.intake = Broken()  # type: ignore[assignment]
    answer = await web.send(thin())
    body = problem(answer, 500, "fault")
    assert "secret inside" not in str(body)
    assert b"planday_relay_own_faults_total 1.0" in web.services.telemetry.render()


async def test_refusals_and_events_are_counted(web: Web) -> None:
    """Each refused request by its status, each event by its type and whether it was new."""
    await web.send(thin(id="x"))
    await web.send(thin(id="x"))
    await web.send(thin(), raw({"content-type": "application/json"}))
    await web.client.post("/in/nobody")
    page = web.services.telemetry.render().decode()
    assert 'events_received_total{result="new",type="planday.shift.updated"} 1.0' in page
    assert 'events_received_total{result="duplicate",type="planday.shift.updated"} 1.0' in page
    assert 'requests_refused_total{status="401"} 1.0' in page
    assert 'requests_refused_total{status="404"} 1.0' in page


async def _call(web: Web, messages: list[dict[str, Any]]) -> tuple[int, bytes]:
    """Call the app with these messages and then silence, as a slow or vanished sender is seen."""
    headers: Headers = [(b"content-type", b"application/json")]
    waiting = iter(messages)
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        message = next(waiting, None)
        return message if message is not None else await asyncio.get_running_loop().create_future()

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "POST",
        "path": "/in/planday",
        "root_path": "",
        "scheme": "http",
        "query_string": b"",
        "headers": headers,
        "client": None,
        "server": None,
    }
    await web.app(scope, receive, send)
    status = next((message["status"] for message in sent if message["type"] == "http.response.start"), 0)
    return status, b"".join(message.get("body", b"") for message in sent)
