"""targets.base: one attempt ends in one result, whatever happens, and the result holds no secret."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from relay.errors import AddressRefused, AnswerTooLarge, ConfigError, NotSent, Unanswered
from relay.events import Outcome
from relay.http import OutgoingTransport
from relay.messages import Messages, sample
from relay.settings import Secret, SlackTarget, WebhookTarget
from relay.settings.values import Address
from relay.targets import Result, Sending, Target, build, build_all

SIGNING = "whsec_" + base64.b64encode(bytes(range(32))).decode()
PATH = "/services/T0/B0/s3crets3crets3cret"
MESSAGES = Messages()

Answer = Callable[[httpx.Request], httpx.Response]


class FakeTransport:
    """Answers with what it is given, or raises it; keeps what it was asked."""

    def __init__(self, answer: Answer | BaseException) -> None:
        self._answer = answer
        self.asked: list[tuple[httpx.Request, float | None, float | None]] = []
        self.closed = False

    async def send(
        self, request: httpx.Request, *, timeout: float | None = None, connect_timeout: float | None = None
    ) -> httpx.Response:
        self.asked.append((request, timeout, connect_timeout))
        if isinstance(self._answer, BaseException):
            raise self._answer
        return self._answer(request)

    async def aclose(self) -> None:
        self.closed = True


def settings_of(kind: str, url: str = f"https://far.example{PATH}", **more: Any) -> WebhookTarget | SlackTarget:
    common: dict[str, Any] = {"url": Address("env:URL", value=url), "events": ("planday.*",), **more}
    if kind == "slack":
        return SlackTarget(type="slack", **common)
    return WebhookTarget(type="webhook", signing_secret=(Secret("env:S", value=SIGNING),), **common)


def made(answer: Answer | BaseException, *, kind: str = "webhook", **more: Any) -> tuple[Target, FakeTransport]:
    transport = FakeTransport(answer)
    return build("hours", settings_of(kind, **more), messages=MESSAGES, transport=transport), transport


def sending(**changes: Any) -> Sending:
    known: dict[str, Any] = {
        "event_id": "evt_1",
        "target": "hours",
        "attempt": 1,
        "now": 1_790_000_000.0,
        "envelope": sample("planday.shift.updated"),
    }
    return Sending(**{**known, **changes})


FAILURES = [
    (NotSent("far.example: cannot connect"), Outcome.RETRY, "not sent: far.example: cannot connect"),
    (
        AddressRefused("far.example: 10.0.0.1 is not a public address"),
        Outcome.TARGET_BROKEN,
        "not sent, the address is refused: far.example: 10.0.0.1 is not a public address",
    ),
    (
        Unanswered("far.example: no whole answer came within 15 s"),
        Outcome.UNKNOWN,
        "sent, but it is not known whether it was taken: far.example: no whole answer came within 15 s",
    ),
    (
        AnswerTooLarge("far.example: answer 200 is too large"),
        Outcome.UNKNOWN,
        "sent, but it is not known whether it was taken: far.example: answer 200 is too large",
    ),
    (
        RuntimeError("https://far.example/s3cret"),
        Outcome.UNKNOWN,
        "a fault of the relay's own while sending (RuntimeError)",
    ),
]


@pytest.mark.parametrize("kind", ["webhook", "slack"])
@pytest.mark.parametrize(
    ("error", "outcome", "reason"), FAILURES, ids=[type(error).__name__ for error, _, _ in FAILURES]
)
async def test_failed_calls(kind: str, error: Exception, outcome: Outcome, reason: str) -> None:
    """How far the request came decides; after a fault of ours while sending, nobody knows, and nothing may double."""
    target, _ = made(error, kind=kind)
    result = await target.send(sending())
    assert (result.outcome, result.reason, result.status) == (outcome, reason, None)
    assert "user-agent" not in result.request_headers


async def test_an_address_of_which_no_request_can_be_made_breaks_the_target() -> None:
    """Trying again cannot help."""
    error = NotSent("far.example: cannot connect (ValueError)")
    error.permanent = True
    target, _ = made(error)
    assert (await target.send(sending())).outcome is Outcome.TARGET_BROKEN


async def test_a_cancellation_passes() -> None:
    """A stopping worker must be able to stop."""
    target, _ = made(asyncio.CancelledError())
    with pytest.raises(asyncio.CancelledError):
        await target.send(sending())


@pytest.mark.parametrize("kind", ["webhook", "slack"])
@pytest.mark.parametrize("missing", ["id", "source", "type", "specversion"])
async def test_an_event_without_its_essentials_is_rejected_unsent(kind: str, missing: str) -> None:
    """No message can be made of it, now or later."""
    target, transport = made(RuntimeError(), kind=kind)
    result = await target.send(sending(envelope=sample("planday.shift.updated") | {missing: None}))
    assert result == Result(
        outcome=Outcome.REJECTED, reason=f"no message can be made of this event: the event has no {missing}"
    )
    assert transport.asked == []


async def test_a_fault_of_ours_before_sending_is_tried_again() -> None:
    """A bug must not cost an event; its class is named, its text is not."""
    target, transport = made(RuntimeError())
    envelope: Any = "s3cret"
    result = await target.send(sending(envelope=envelope))
    assert result.outcome is Outcome.RETRY
    assert result.reason == "a fault of the relay's own while making the message (AttributeError)"
    assert transport.asked == []


async def test_limits_of_a_call() -> None:
    """The target's own time-out holds for the whole call, and connecting has five seconds of it."""
    target, transport = made(lambda request: httpx.Response(200))
    await target.send(sending())
    short, quick = made(lambda request: httpx.Response(200), retry={"timeout": "2s"})
    await short.send(sending())
    assert [asked[1:] for asked in (*transport.asked, *quick.asked)] == [(15.0, 5.0), (2.0, 2.0)]


@pytest.mark.parametrize("kind", ["webhook", "slack"])
async def test_a_result_holds_no_secret_even_if_the_far_side_repeats_it(kind: str) -> None:
    """Address, path, signing secret, our signature and the person's name come back in an error, and are not kept."""

    def repeat(request: httpx.Request) -> httpx.Response:
        text = f"no: {request.url} {PATH} {SIGNING} Ida Testrup; hooks.slack.com/services/T1/B1/s3cret"
        headers = {"location": str(request.url), "x-echo": f"path={PATH}", "set-cookie": "a=s3cret"}
        return httpx.Response(400, text=text, headers=headers)

    target, _ = made(repeat, kind=kind)
    result = await target.send(sending())
    assert result.outcome is Outcome.REJECTED
    assert result.excerpt.startswith("no: ")
    for secret in ("s3cret", PATH, SIGNING, SIGNING[6:], "Testrup", "Ida"):
        assert secret not in str(result)


@pytest.mark.parametrize("kind", ["webhook", "slack"])
async def test_a_success_keeps_little(kind: str) -> None:
    """Every delivery keeps an attempt, so the answer to a success is kept short."""
    target, _ = made(lambda request: httpx.Response(201, text="x" * 5000), kind=kind)
    assert len((await target.send(sending())).excerpt) == (200 if kind == "webhook" else 2048)


async def test_retry_after_comes_through() -> None:
    """What the far side asks for reaches the pipeline."""
    target, _ = made(lambda request: httpx.Response(429, headers={"retry-after": "7"}))
    result = await target.send(sending())
    assert (result.outcome, result.status, result.retry_after) == (Outcome.RETRY, 429, 7.0)
    assert result.response_headers == {"retry-after": "7"}


async def test_closing() -> None:
    """A target closes its own connections."""
    target, transport = made(RuntimeError())
    await target.aclose()
    assert transport.closed


@pytest.mark.parametrize("dedupes", [True, False])
async def test_a_target_that_does_not_dedupe_gets_fresh_connections(dedupes: bool) -> None:
    """A kept connection can break unseen, which would leave the outcome unknown more often than need be."""
    target = build("hours", settings_of("webhook", dedupes=dedupes), messages=MESSAGES)
    assert isinstance(target.transport, OutgoingTransport)
    assert target.transport._fresh is not dedupes
    assert target.dedupes is dedupes
    await target.aclose()


BAD_ADDRESSES = [
    ("http://far.example/s3cret", "not encrypted"),
    ("https://127.0.0.1/s3cret", "not a public address"),
    ("https://u:s3cret@far.example/", "user name"),
    ("https://far.example:8443/s3cret", "port 8443"),
    ("https://[s3cret", "not a URL"),
    ("ftp://far.example/s3cret", "only https://"),
    ("s3cret", "only https://"),
]


@pytest.mark.parametrize(("url", "words"), BAD_ADDRESSES)
def test_an_address_that_can_never_work_is_found_at_start(url: str, words: str) -> None:
    """The setting is named and the address not repeated."""
    with pytest.raises(ConfigError) as caught:
        build("hours", settings_of("slack", url), messages=MESSAGES)
    (fault,) = caught.value.faults
    assert fault.where == "targets.hours.url"
    assert words in fault.message
    assert "s3cret" not in str(fault)


async def test_all_faults_of_all_targets_come_at_once() -> None:
    """One start shows everything."""
    settings = {
        "a": settings_of("slack", "http://far.example/"),
        "b": settings_of("webhook"),
        "c": settings_of("slack", template="nope"),
    }
    with pytest.raises(ConfigError) as caught:
        build_all(settings, messages=MESSAGES)
    assert [fault.where for fault in caught.value.faults] == ["targets.a.url", "targets.c.template"]
    built = build_all({"b": settings["b"]}, messages=MESSAGES)
    assert [target.kind for target in built.values()] == ["webhook"]
    assert built["b"].limiter == "b"
