"""What every kind of target has in common: one delivery attempt from the envelope to a result.

A kind says how a message looks (`prepare`) and what an answer means (`judge`); both are pure. Sending, and what a
failed call means, is the same for all.
"""

from __future__ import annotations

import asyncio
import re
import socket
import ssl
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import ip_network
from typing import Any, ClassVar, Protocol

import httpx

from relay import __version__
from relay.errors import AddressRefused, ConfigError, Fault, NotSent, Unanswered, Unrenderable
from relay.events import Outcome
from relay.http import AddressPolicy, OutgoingTransport
from relay.messages import Messages
from relay.settings import EmailTarget, PayrollHttpTarget, SlackAppTarget, SlackTarget, TeamsTarget, WebhookTarget
from relay.targets import answers, masking
from relay.targets.answers import Verdict
from relay.targets.ledger import Ledger
from relay.targets.rotation import SigningSecrets
from relay.targets.threads import Threads

USER_AGENT = f"planday-relay/{__version__}"
CONNECT_TIMEOUT = 5.0
_REQUIRED = ("specversion", "id", "source", "type")
_EXCERPT_OF_SUCCESS = 200
_SEPARATOR = re.compile(r"[/?&=]")
_SHORTEST_PART = 12  # a word of a path is no secret; a token is longer

Settings = WebhookTarget | SlackTarget | SlackAppTarget | TeamsTarget | EmailTarget | PayrollHttpTarget


@dataclass(frozen=True, slots=True, kw_only=True)
class Sending:
    """One attempt, as the pipeline hands it over. `envelope` is whole; the target takes what it may have.

    `salt` is there only where a person asked for a new idempotency key; `released` says that a person let this
    delivery go after it was parked.
    """

    event_id: str
    target: str
    attempt: int
    envelope: Mapping[str, Any]
    now: float
    replay: str | None = None
    salt: str = ""
    released: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What became of one attempt. Nothing in it is secret, and nothing personal that we know of.

    `tried`: a call was made, so that its failure says something of the target, and not only of this delivery.
    """

    outcome: Outcome
    reason: str
    tried: bool = False
    status: int | None = None
    retry_after: float | None = None
    request_headers: Mapping[str, str] = field(default_factory=dict)
    response_headers: Mapping[str, str] = field(default_factory=dict)
    excerpt: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Preview:
    """The request that would be sent, fit to be shown. `standing` says what it is to a target that keeps a ledger
    ("new", "correction", "reversal", or why nothing would be sent), `note` the same in a sentence. `message` is what
    people would read, in plain text, of a target that people read."""

    method: str
    url: str
    headers: Mapping[str, str]
    body: str
    standing: str = ""
    note: str = ""
    message: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Common:
    """What all targets share: the templates, where people reach this relay, and what the store keeps for them."""

    messages: Messages
    public_url: str | None = None
    ledger: Ledger | None = None
    threads: Threads | None = None
    signing: SigningSecrets | None = None


class Transport(Protocol):
    """The way out; `relay.http.OutgoingTransport` but in tests."""

    async def send(
        self, request: httpx.Request, *, timeout: float | None = None, connect_timeout: float | None = None
    ) -> httpx.Response: ...

    async def aclose(self) -> None: ...


class Target(ABC):
    """One configured target. `settings` hold its limits; `limiter` names the counter that limits its rate."""

    kind: ClassVar[str]
    method = "POST"

    def __init__(self, name: str, settings: Settings, *, common: Common, transport: Transport | None = None) -> None:
        """`common` is for the kinds that need it. Raises ConfigError if these settings can never work."""
        self.name = name
        self.settings = settings
        self.url = self.located()
        self.fields = settings.field_list()
        self.transport = transport or transport_of(settings)

    def located(self) -> httpx.URL:
        """Where it sends to; raises ConfigError."""
        return address(f"targets.{self.name}.url", self.settings.url.reveal(), policy_of(self.settings))

    @property
    def dedupes(self) -> bool:
        """Whether it may be sent to again after an unknown outcome."""
        return self.settings.dedupes

    @property
    def limiter(self) -> str:
        """Targets with the same key share one rate."""
        return self.name

    @property
    def gathers(self) -> int:
        """How many deliveries are sent by one call, `send_together`; 1: each by its own."""
        return 1

    def send_at(self, type_: str, now: float) -> float:
        """When an event of this type that is ready `now` is sent at the earliest (seconds)."""
        return now

    def again_at(self, type_: str, due: float) -> float:
        """When what failed and is `due` is tried again at the earliest (seconds)."""
        return due

    @abstractmethod
    def body(self, sending: Sending) -> bytes:
        """The request's body; raises Unrenderable."""

    @abstractmethod
    def headers(self, sending: Sending, body: bytes) -> dict[str, str]:
        """The request's headers, signature included."""

    def judge(self, response: httpx.Response, *, now: float) -> Verdict:
        """What an answer means."""
        return answers.judge(response, now=now)

    def secrets(self) -> Iterable[str]:
        """What must never be kept, even if the far side repeats it."""
        path = self.url.raw_path.decode("ascii")
        parts = [part for part in _SEPARATOR.split(path) if len(part) >= _SHORTEST_PART]
        return (self.settings.url.reveal(), str(self.url), path, *parts)

    def prepare(self, sending: Sending) -> httpx.Request:
        """The request of one attempt; raises Unrenderable."""
        essentials(sending.envelope)
        body = self.body(sending)
        headers = {"user-agent": USER_AGENT, **self.headers(sending, body)}
        return httpx.Request(self.method, self.url, headers=headers, content=body)

    def preview(self, sending: Sending) -> Preview:
        """What `prepare` makes, masked; the body as it would go out."""
        request = self.prepare(sending)
        headers = masking.headers(request.headers, known=self.secrets())
        body = request.content.decode("utf-8", "replace")
        return Preview(method=request.method, url=masking.url(request.url), headers=headers, body=body)

    async def send(self, sending: Sending) -> Result:
        """One attempt, whatever comes of it; raises nothing but a cancellation."""
        try:
            request = self.prepare(sending)
            kept = masking.sent_headers(request.headers, known=self.secrets())
        except Unrenderable as error:
            return Result(outcome=Outcome.REJECTED, reason=f"no message can be made of this event: {error}")
        except Exception as fault:
            return Result(outcome=Outcome.RETRY, reason=ours("making the message", fault))
        return await self.exchange(request, sending, kept=kept)

    async def foresee(self, sending: Sending) -> Preview:
        """What `send` would do now, without doing it. Raises Unrenderable, and StoreError of a target with a ledger."""
        return self.preview(sending)

    async def exchange(
        self,
        request: httpx.Request,
        *sendings: Sending,
        kept: Mapping[str, str],
        heard: Callable[[httpx.Response], None] = lambda response: None,
    ) -> Result:
        """Send one request, whatever comes of it. `kept` may be kept of its headers; `heard` gets the answer."""
        timeout = self.settings.retry.timeout
        try:
            response = await self.transport.send(
                request, timeout=timeout, connect_timeout=min(CONNECT_TIMEOUT, timeout)
            )
            heard(response)
            return self._result(sendings, response, kept)
        except AddressRefused as error:
            outcome, reason = Outcome.TARGET_BROKEN, f"not sent, the address is refused: {error}"
        except NotSent as error:
            outcome = Outcome.TARGET_BROKEN if error.permanent else Outcome.RETRY
            reason = f"not sent: {error}"
        except Unanswered as error:
            outcome, reason = Outcome.UNKNOWN, f"sent, but it is not known whether it was taken: {error}"
        except Exception as fault:
            # It may have been sent: a target that does not dedupe must not get it twice for a fault of ours.
            outcome, reason = Outcome.UNKNOWN, ours("sending", fault)
        return Result(outcome=outcome, reason=reason, tried=True, request_headers=kept)

    def addresses(self) -> tuple[httpx.URL, ...]:
        """Everything that it calls."""
        return (self.url,)

    async def send_together(self, sendings: Sequence[Sending]) -> Result:
        """One call for several deliveries, of kinds that gather; its result is that of each."""
        raise NotImplementedError(f"{self.kind} sends each event by itself")

    async def unreachable(self) -> str | None:
        """Why an address of its cannot be sent to, or None. Resolves names and asks the guard; sends nothing."""
        for url in self.addresses():
            if reason := await self._unreachable(url):
                return reason
        return None

    async def _unreachable(self, url: httpx.URL) -> str | None:
        port = url.port or (443 if url.scheme == "https" else 80)
        try:
            found = await asyncio.get_running_loop().getaddrinfo(url.host, port, type=socket.SOCK_STREAM)
        except OSError:
            return f"{url.host} cannot be resolved"
        policy = policy_of(self.settings)
        reasons = (policy.check_address(str(one[0]), port) for *_, one in found)
        return next((reason for reason in reasons if reason), None)

    async def aclose(self) -> None:
        """Close its connections."""
        await self.transport.aclose()

    def _result(self, sendings: Sequence[Sending], response: httpx.Response, kept: Mapping[str, str]) -> Result:
        verdict = self.judge(response, now=sendings[0].now)
        known = {*self.secrets(), *(text for sending in sendings for text in masking.personal(sending.envelope))}
        limit = _EXCERPT_OF_SUCCESS if verdict.outcome is Outcome.DELIVERED else masking.LONGEST_EXCERPT
        return Result(
            outcome=verdict.outcome,
            reason=verdict.reason,
            tried=True,
            status=response.status_code,
            retry_after=verdict.retry_after,
            request_headers=kept,
            response_headers=masking.headers(response.headers, known=known),
            excerpt=masking.excerpt(response, known=known, limit=limit),
        )


def essentials(envelope: Mapping[str, Any]) -> None:
    """Raises Unrenderable for an event without the attributes that every event has."""
    if missing := [name for name in _REQUIRED if not envelope.get(name)]:
        raise Unrenderable(f"the event has no {', '.join(missing)}")


def ours(doing: str, fault: Exception) -> str:
    """What an attempt says of a fault of our own."""
    # The class alone: a foreign exception's text may hold the URL or a value of the event.
    return f"a fault of the relay's own while {doing} ({type(fault).__name__})"


def policy_of(settings: Settings) -> AddressPolicy:
    """What the address guard lets through for this target."""
    return AddressPolicy(
        allow_networks=tuple(ip_network(network) for network in settings.allow_networks),
        allow_ports=frozenset(settings.allow_ports),
        allow_http=settings.allow_http,
    )


def transport_of(settings: Settings, *, tls: ssl.SSLContext | None = None) -> Transport:
    """The target's own way out; its certificates, if any, stand in `tls`."""
    timeout, fresh = settings.retry.timeout, not settings.dedupes
    return OutgoingTransport(policy_of(settings), fresh=fresh, timeout=timeout, ssl_context=tls)


def address(where: str, text: str, policy: AddressPolicy) -> httpx.URL:
    """A URL, judged as far as that is possible without asking anybody. Raises ConfigError, which does not repeat it."""
    reason = policy.check_url(text)
    try:
        found = httpx.URL(text)
    except (httpx.InvalidURL, ValueError):
        reason = "this is not a URL"
    if reason:
        raise ConfigError([Fault(where, reason)])
    return found
