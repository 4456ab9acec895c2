"""What every kind of target promises, on real loopback sockets: one list of claims, run for each kind.

A new kind adds a line to KIND_CASES; the claims stay. Mail speaks another protocol: test_targets_email.py holds it to
the same claims.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import itertools
import socket
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from email.utils import formatdate
from typing import Any

import pytest
import redis.asyncio
from aiohttp.abc import AbstractResolver, ResolveResult
from cryptography.fernet import Fernet

from relay.events import Outcome
from relay.http import AddressPolicy, OutgoingTransport
from relay.messages import TYPES, Messages, sample
from relay.settings import PayrollHttpTarget, Secret, SlackAppTarget, SlackTarget, TeamsTarget, Text, WebhookTarget
from relay.settings.values import Address
from relay.store.cipher import FernetCipher
from relay.store.keys import Keys
from relay.store.ledger import Ledger
from relay.targets import KINDS, Result, Sending, Settings, Target, Transport, build
from tests.servers import (
    Behaviour,
    Peer,
    Server,
    answer,
    answer_once_then_close,
    close_after_request,
    drip,
    endless,
    plain,
    raw_answer,
    refusing_port,
    reset_after_head,
    reset_after_request,
    reset_at_accept,
    silent,
    zipped,
)

MESSAGES = Messages()
SECRET = "whsec_" + base64.b64encode(bytes(range(32))).decode()
PATH = "/services/T0/B0/s3crets3crets3cret?sig=s3cret"
LARGE = "x" * (4 * 1024 * 1024)


class NoNames(AbstractResolver):
    """A name server that knows no names."""

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        raise socket.gaierror(socket.EAI_NONAME, "no such name")

    async def close(self) -> None:
        pass


@dataclass(frozen=True)
class Kind:
    """How one kind is set up, how its far side says yes, and what a 200 with other words means to it.

    `silent`: types of which it has nothing to send, with what becomes of them.
    """

    yes: tuple[int, bytes]
    no_words: Outcome
    silent: dict[str, Outcome] = field(default_factory=dict)
    path: str = PATH

    def settings(self, name: str, **common: Any) -> Settings:
        if name == "slack":
            return SlackTarget(type="slack", **common)
        if name == "slack-app":
            token = Secret("env:T", value="xoxb-s3crets3crets3cret")
            return SlackAppTarget(type="slack-app", token=token, channel=Text("C1", value="C1"), **common)
        if name == "teams":
            return TeamsTarget(type="teams", **common)
        if name == "payroll-http":
            return PayrollHttpTarget(type="payroll-http", **{**PAYROLL, **common})
        return WebhookTarget(type="webhook", signing_secret=(Secret("env:S", value=SECRET),), **common)


PAYROLL: dict[str, Any] = {
    "fields": ("class:A",),
    "map": {
        "line": {"from": "line.key"},
        "department": {"from": "data.object.departmentId", "convert": "integer", "required": False},
        "hours": {"from": "data.object.start", "to": "data.object.end", "convert": "hours", "required": False},
    },
    "amounts": ("hours",),
    "approved_only": False,
    "dedupes": True,
}
# What ends a record takes back a line; of these there is none. What the relay tells of itself is no pay.
_ENDS = ("deleted", "reversed", "unapproved", "declined", "cancelled")

KIND_CASES = {
    "payroll-http": Kind(
        yes=(201, b""),
        no_words=Outcome.DELIVERED,
        silent={
            **{type_: Outcome.DELIVERED for type_ in TYPES if type_.rpartition(".")[2] in _ENDS},
            **{type_: Outcome.REJECTED for type_ in TYPES if type_.startswith("relay.")},
        },
    ),
    "webhook": Kind(yes=(204, b""), no_words=Outcome.DELIVERED),
    "slack": Kind(yes=(200, b"ok"), no_words=Outcome.UNKNOWN),
    "slack-app": Kind(
        yes=(200, b'{"ok": true, "channel": "C1", "ts": "1.2"}'),
        no_words=Outcome.UNKNOWN,
        path="/services/T0/B0/s3crets3crets3cret/chat.postMessage",
    ),
    "teams": Kind(yes=(202, b""), no_words=Outcome.DELIVERED),
}


LEDGERS: list[Ledger] = []
_numbers = itertools.count(1)


@pytest.fixture(autouse=True)
async def ledger(redis_client: redis.asyncio.Redis, prefix: str) -> AsyncIterator[None]:
    """An empty ledger for the targets of one test."""
    LEDGERS.append(Ledger(redis_client, Keys(prefix), cipher=FernetCipher([Fernet.generate_key()])))
    yield
    LEDGERS.pop()


@pytest.fixture(params=list(KIND_CASES))
def kind(request: pytest.FixtureRequest) -> str:
    """The name of each kind in turn."""
    name: str = request.param
    return name


def test_every_kind_is_held_to_the_contract() -> None:
    """The table of kinds and this file's go together."""
    assert KIND_CASES.keys() | {"email"} == KINDS.keys()


@contextlib.asynccontextmanager
async def target(
    kind: str, port: int, *, timeout: str = "5s", transport: Transport | None = None, **more: Any
) -> AsyncIterator[Target]:
    common: dict[str, Any] = {
        "url": Address("env:URL", value=f"http://127.0.0.1:{port}{PATH}"),
        "events": ("*",),
        "allow_http": True,
        "allow_networks": ("127.0.0.0/8",),
        "retry": {"timeout": timeout},
        **more,
    }
    settings = KIND_CASES[kind].settings(kind, **common)
    made = build("far", settings, messages=MESSAGES, ledger=LEDGERS[-1], transport=transport)
    try:
        yield made
    finally:
        await made.aclose()


def sending(**changes: Any) -> Sending:
    """One attempt, each about a record of its own."""
    number = next(_numbers)
    known: dict[str, Any] = {
        "event_id": f"evt_{number}",
        "target": "far",
        "attempt": 1,
        "now": time.time(),
        "envelope": sample("planday.shift.published") | {"subject": f"shift/{number}"},
    }
    return Sending(**{**known, **changes})


async def attempt(kind: str, behaviour: Behaviour, *, timeout: str = "5s", arrive: int = 1, **changes: Any) -> Result:
    """One attempt against one behaviour; `arrive` is how many whole requests the far side must have counted."""
    async with Server(behaviour) as server, target(kind, server.port, timeout=timeout) as made:
        result = await made.send(sending(**changes))
        assert server.count == arrive
        assert "s3cret" not in str(result)
        assert len(result.reason) < 300
        return result


async def test_success(kind: str) -> None:
    """Delivered, with the status and the headers of both sides."""
    result = await attempt(kind, answer(*KIND_CASES[kind].yes))
    assert (result.outcome, result.status) == (Outcome.DELIVERED, KIND_CASES[kind].yes[0])
    assert "user-agent" not in result.request_headers
    assert "content-length" in result.response_headers


@pytest.mark.parametrize("type_", TYPES)
async def test_every_event_can_be_sent(kind: str, type_: str) -> None:
    """No type of event is too odd to send, but those of which a kind has nothing to say."""
    silent = KIND_CASES[kind].silent.get(type_)
    arrive = int(silent is None)
    result = await attempt(kind, answer(*KIND_CASES[kind].yes), arrive=arrive, envelope=sample(type_))
    assert result.outcome is (silent or Outcome.DELIVERED)
    assert (result.status is None) == (silent is not None)


@pytest.mark.parametrize("status", [400, 413, 415, 422, 499])
async def test_a_refused_message(kind: str, status: int) -> None:
    """Permanent for this message only; what the far side said is kept."""
    result = await attempt(kind, answer(status, b"cannot use this"))
    assert (result.outcome, result.status) == (Outcome.REJECTED, status)
    assert result.excerpt == "cannot use this"


@pytest.mark.parametrize(
    ("status", "word"), [(403, b"invalid_token"), (404, b"no_service"), (410, b"channel_is_archived")]
)
async def test_a_broken_target(kind: str, status: int, word: bytes) -> None:
    """Credential or destination is wrong: no message will get through."""
    assert (await attempt(kind, answer(status, word))).outcome is Outcome.TARGET_BROKEN


async def test_asked_to_wait_by_seconds(kind: str) -> None:
    """429 with a number."""
    result = await attempt(kind, answer(429, b"rate_limited", "Retry-After: 7"))
    assert (result.outcome, result.retry_after) == (Outcome.RETRY, 7.0)


async def test_asked_to_wait_by_date(kind: str) -> None:
    """429 with a date, measured from the attempt."""
    now = float(int(time.time()))
    behaviour = answer(429, b"rate_limited", f"Retry-After: {formatdate(now + 90, usegmt=True)}")
    result = await attempt(kind, behaviour, now=now)
    assert (result.outcome, result.retry_after) == (Outcome.RETRY, 90.0)


@pytest.mark.parametrize("value", ["soon", "-1", "\x80\xff", ""])
async def test_asked_to_wait_by_garbage(kind: str, value: str) -> None:
    """Still 429, but no wait is believed."""
    result = await attempt(kind, answer(429, b"", f"Retry-After: {value}"))
    assert (result.outcome, result.retry_after) == (Outcome.RETRY, None)


@pytest.mark.parametrize("status", [500, 502, 503, 504])
async def test_the_far_side_has_trouble(kind: str, status: int) -> None:
    """Later."""
    assert (await attempt(kind, answer(status, b"<html>oops</html>"))).outcome is Outcome.RETRY


@pytest.mark.parametrize("behaviour", [silent, drip], ids=["silent", "drip"])
async def test_no_answer_in_time(kind: str, behaviour: Behaviour) -> None:
    """The request is there and nobody knows what became of it, also when bytes trickle for ever."""
    result = await attempt(kind, behaviour, timeout="200ms")
    assert result.outcome is Outcome.UNKNOWN
    assert "0.2 s" in result.reason


@pytest.mark.parametrize("behaviour", [close_after_request, reset_after_request], ids=["closed", "reset"])
async def test_hung_up_after_the_request(kind: str, behaviour: Behaviour) -> None:
    """It may have been taken."""
    assert (await attempt(kind, behaviour)).outcome is Outcome.UNKNOWN


async def test_refused(kind: str) -> None:
    """Nobody listens: it cannot have been taken."""
    with refusing_port() as port:
        async with target(kind, port) as made:
            result = await made.send(sending())
    assert (result.outcome, result.tried) == (Outcome.RETRY, True)
    assert result.reason == "not sent: 127.0.0.1: cannot connect (Connection refused)"


async def test_unresolved(kind: str) -> None:
    """A name that does not exist is not sent to."""
    url = Address("env:URL", value=f"https://far.invalid{PATH}")
    transport = OutgoingTransport(AddressPolicy(), resolver=NoNames())
    async with target(kind, 443, url=url, transport=transport) as made:
        result = await made.send(sending())
    assert (result.outcome, result.reason) == (Outcome.RETRY, "not sent: far.invalid: the name does not resolve")


@pytest.mark.parametrize("behaviour", [reset_at_accept, reset_after_head], ids=["at accept", "after the head"])
async def test_reset_before_a_large_request_was_complete(behaviour: Behaviour) -> None:
    """Only a body that needs several writes can be known to be incomplete; only a webhook has one that large."""
    envelope = sample("planday.shift.published") | {"data": {"received": {"text": LARGE}}}
    async with Server(behaviour) as server, target("webhook", server.port, fields=("*",)) as made:
        result = await made.send(sending(envelope=envelope))
        assert server.count == 0
    assert result.outcome is Outcome.RETRY
    assert result.reason.startswith("not sent: 127.0.0.1: the connection broke before the request was complete")


@pytest.mark.parametrize(
    "data", [b"garbage\r\n\r\n", b"HTTP/1.1 two hundred\r\n\r\n", b"\x00" * 100, b"HTTP/1.1 200 OK\r\n"]
)
async def test_a_garbage_answer(kind: str, data: bytes) -> None:
    """Not HTTP: it was sent and nobody knows."""
    assert (await attempt(kind, raw_answer(data))).outcome is Outcome.UNKNOWN


async def test_an_endless_answer(kind: str) -> None:
    """Read to the limit and no further; the status has its meaning, words that are not the far side's own have none."""
    result = await attempt(kind, endless)
    assert result.outcome is KIND_CASES[kind].no_words
    assert len(result.excerpt) <= 2048


async def test_a_packed_answer(kind: str) -> None:
    """Nobody unpacks it: a small one can be huge inside."""
    result = await attempt(kind, zipped(b"x" * 10_000_000))
    assert result.outcome is KIND_CASES[kind].no_words
    assert result.excerpt.startswith("(an encoded answer of ")


@pytest.mark.parametrize("status", [301, 302, 307, 308])
async def test_a_redirect(kind: str, status: int) -> None:
    """Not followed; the operator is told the host and nothing more of where it points."""
    result = await attempt(kind, answer(status, b"", f"Location: https://new.example{PATH}"))
    assert result.outcome is Outcome.TARGET_BROKEN
    assert "to new.example" in result.reason
    assert result.response_headers["location"] == "***"


async def test_another_protocol(kind: str) -> None:
    """An answer that switches protocols is none."""
    behaviour = raw_answer(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n")
    assert (await attempt(kind, behaviour)).outcome is Outcome.UNKNOWN


async def test_a_refused_address(kind: str) -> None:
    """The guard's verdict at connect time breaks the target before anything is sent."""
    async with Server(answer()) as server:
        url = Address("env:URL", value=f"http://localhost:{server.port}/s3cret")
        async with target(kind, server.port, url=url, allow_networks=(), allow_ports=(server.port,)) as made:
            result = await made.send(sending())
        assert server.connections == 0
    assert result.outcome is Outcome.TARGET_BROKEN
    assert result.reason.startswith("not sent, the address is refused: localhost: ")


async def test_an_unrenderable_message(kind: str) -> None:
    """An event without its essentials is rejected and never sent, which says nothing of the target."""
    result = await attempt(kind, answer(), arrive=0, envelope={"data": {}})
    assert (result.outcome, result.tried) == (Outcome.REJECTED, False)


async def test_a_preview_is_what_is_sent(kind: str) -> None:
    """The body that an operator sees is the body that goes out; the address is masked."""
    async with Server(answer(*KIND_CASES[kind].yes)) as server, target(kind, server.port) as made:
        attempted = sending()
        preview = made.preview(attempted)
        await made.send(attempted)
        (received,) = server.received
        assert preview.body.encode() == received.body
        assert preview.url == f"http://127.0.0.1:{server.port}/***"
        assert received.line == f"POST {KIND_CASES[kind].path} HTTP/1.1"
        assert {name.lower() for name in preview.headers} <= {name.lower() for name in received.names}
        assert "s3cret" not in str(preview)


@pytest.mark.parametrize("dedupes", [True, False])
async def test_connections(kind: str, dedupes: bool) -> None:
    """A target that dedupes keeps its connection; one that does not has a fresh one for every delivery."""
    async with Server(answer(*KIND_CASES[kind].yes)) as server, target(kind, server.port, dedupes=dedupes) as made:
        for _ in range(3):
            assert (await made.send(sending())).outcome is Outcome.DELIVERED
        assert (server.count, server.connections) == (3, 1 if dedupes else 3)


async def test_a_stale_connection_doubles_nothing(kind: str) -> None:
    """The far side hangs up on a kept connection after taking the request: unknown, and it arrived once."""
    async with Server(answer_once_then_close) as server, target(kind, server.port) as made:
        await made.send(sending())
        result = await made.send(sending(attempt=2))
        assert (result.outcome, server.count) == (Outcome.UNKNOWN, 2)


async def test_many_at_once(kind: str) -> None:
    """One target sends side by side, each attempt with its own result."""
    counter = iter(range(100))

    async def in_turn(peer: Peer) -> None:
        while True:
            await peer.request()
            await peer.send(plain(*KIND_CASES[kind].yes) if next(counter) % 2 else plain(503))

    async with Server(in_turn) as server, target(kind, server.port) as made:
        results = await asyncio.gather(*(made.send(sending()) for _ in range(20)))
    assert sorted(result.outcome for result in results) == [Outcome.DELIVERED] * 10 + [Outcome.RETRY] * 10
