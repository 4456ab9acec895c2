"""The door for senders, POST /in/{source}: raw bytes, proof, events, store, answer, in that order.

Nothing is answered with a 2xx before the store has it, and of a refused request nothing is stored.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pydantic_core
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from relay import telemetry
from relay.envelope import parse, quarantinable
from relay.errors import (
    BacklogFull,
    BadSignature,
    BodyTooLarge,
    InboundError,
    NoSuchSource,
    StoreError,
    UnsupportedMedia,
)
from relay.services import Accepted, Quarantined, Services
from relay.settings import Settings, Source
from relay.signing import Verifier, verifier, why
from relay.web import problems

# A body has this long to arrive; the store's limit is another one (relay.store_timeout).
BODY_PATIENCE = 30.0
_LONGEST_REASON = 500
_LONGEST_ID = 300  # beyond what an id may have, so that one that is too long stays so
# A thousand of them stay well below what a small Redis has.
_LONGEST_KEPT = 65_536
# Headers that say what the body is; proof headers are the verifier's business.
_OF_BODY = frozenset({b"content-type", b"content-length", b"content-encoding", b"webhook-id"})


class _Gone(Exception):
    """The sender hung up before its body was here: there is nobody to answer."""


@dataclass(frozen=True, slots=True)
class _Inlet:
    """One source, ready to check requests."""

    name: str
    source: Source
    verifier: Verifier
    challenge: str


class Receiver:
    """The ASGI application behind /in/{source}. Raises ConfigError when a source's secrets are unfit."""

    def __init__(self, settings: Settings, *, body_patience: float = BODY_PATIENCE) -> None:
        self._limit = settings.relay.body_limit
        self._store_timeout = settings.relay.store_timeout
        self._body_patience = body_patience
        self._inlets = {
            name: _Inlet(name, source, verifier(source), _challenge(source))
            for name, source in settings.sources.items()
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        services: Services = scope["app"].state.services
        began = services.clock()
        inlet = self._inlets.get(scope["path_params"]["source"])
        try:
            if inlet is None:
                raise NoSuchSource("there is no source of this name; the path is /in/ and a name of [sources.NAME]")
            if scope["method"] == "OPTIONS":
                await _handshake(scope)(scope, receive, send)
                return
            accepted = await self._take(inlet, scope, receive, services)
        except (InboundError, StoreError, problems.Problem) as error:
            _tell(services, error, source=inlet.name if inlet else "", began=began)
            challenge = {"www-authenticate": inlet.challenge} if inlet and isinstance(error, BadSignature) else None
            await problems.answer(error, headers=challenge)(scope, receive, send)
            return
        except _Gone:
            return
        body = pydantic_core.to_json({"events": [{"id": one.id, "duplicate": one.duplicate} for one in accepted]})
        headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
        await send({"type": "http.response.start", "status": 202, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    async def _take(self, inlet: _Inlet, scope: Scope, receive: Receive, services: Services) -> Sequence[Accepted]:
        said = _said(scope["headers"])
        if said.get(b"content-encoding", b"identity").strip().lower() != b"identity":
            # Before the proof: whoever compresses after signing would look for a fault in the signature.
            raise UnsupportedMedia("the body is compressed: send it as it is, without content-encoding")
        body = await self._body(receive, said.get(b"content-length", b""))
        now = services.clock()
        inlet.verifier.verify(scope["headers"], body, now=now)
        try:
            events = parse(
                body,
                content_type=_text(said.get(b"content-type")),
                source_name=inlet.name,
                source=inlet.source,
                webhook_id=_text(said.get(b"webhook-id")),
                now=now,
                fresh_id=_fresh_id,
            )
        except InboundError as error:
            if quarantinable(error) and inlet.source.verify != "none":
                await self._quarantine(services, inlet.name, error, said, body)
            raise
        return await services.intake.accept(events)

    async def _body(self, receive: Receive, length: bytes) -> bytes:
        """The whole body, counted as it comes: what a header says of its length is only taken against it."""
        too_large = BodyTooLarge(f"the body is larger than {self._limit} bytes")
        if length.isdigit() and int(length) > self._limit:
            raise too_large
        parts: list[bytes] = []
        size = 0
        try:
            async with asyncio.timeout(self._body_patience):
                while True:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        raise _Gone
                    part = message.get("body", b"")
                    size += len(part)
                    if size > self._limit:
                        raise too_large
                    parts.append(part)
                    if not message.get("more_body", False):
                        return part if len(parts) == 1 else b"".join(parts)
        except TimeoutError:
            detail = f"the body was not here after {self._body_patience:g} s"
            raise problems.Problem(problems.TOO_SLOW, detail, headers={"connection": "close"}) from None

    async def _quarantine(
        self, services: Services, source: str, error: InboundError, said: Mapping[bytes, bytes], body: bytes
    ) -> None:
        """Put a body aside for the operator. Whether that works changes nothing about the answer."""
        reason = str(error)[:_LONGEST_REASON]
        if len(body) > _LONGEST_KEPT:
            reason = f"{reason} (the first {_LONGEST_KEPT} of {len(body)} bytes are kept)"
        header, text = said.get(b"webhook-id"), body[:_LONGEST_KEPT].decode(errors="backslashreplace")
        kept = Quarantined(
            id=f"qua_{uuid.uuid4().hex[:16]}",
            source=source,
            at=services.clock(),
            reason=reason,
            content_type=(_text(said.get(b"content-type")) or "")[:200],
            body=text,
            webhook_id=_text(header and header[:_LONGEST_ID]),
            whole=text.encode() == body,
        )
        try:
            async with asyncio.timeout(self._store_timeout):
                await services.shelf.quarantine(kept, most=services.settings.relay.quarantine_limit)
        except (StoreError, TimeoutError) as trouble:
            lost = f"an unreadable body could not be put aside ({type(trouble).__name__})"
            services.telemetry.record(telemetry.StoreTrouble(reason=lost))
        else:
            services.telemetry.record(telemetry.Quarantined(source=source, reason=reason))


def _challenge(source: Source) -> str:
    """What RFC 9110 wants beside a 401. It names the way of the proof, which is no secret, not what was wrong."""
    return 'Basic realm="relay", charset="UTF-8"' if source.verify == "basic" else f'Webhook scheme="{source.verify}"'


def _handshake(scope: Scope) -> Response:
    """The CloudEvents webhook profile: may that origin send here? Any may ask; the proof decides later."""
    headers = {"allow": "OPTIONS, POST"}
    if any(name == b"webhook-request-origin" for name, _ in scope["headers"]):
        headers["webhook-allowed-origin"] = "*"
    return Response(status_code=204, headers=headers)


def _said(headers: Sequence[tuple[bytes, bytes]]) -> Mapping[bytes, bytes]:
    said: dict[bytes, bytes] = {}
    for name, value in headers:
        if name in _OF_BODY:
            # Twice: no reader may pick the one it likes better. Joined, as HTTP says, it fits nothing.
            said[name] = value if name not in said else said[name] + b", " + value
    return said


def _text(value: bytes | None) -> str | None:
    return None if value is None else value.decode("latin-1")


def _fresh_id() -> str:
    return f"relay-{uuid.uuid4().hex}"


def _tell(services: Services, error: Exception, *, source: str, began: float) -> None:
    reason = why(error) if isinstance(error, BadSignature) else str(error)[:_LONGEST_REASON]
    services.telemetry.record(
        telemetry.EventReceived(
            source=source,
            result="refused",
            status=problems.kind_of(error).status,
            reason=reason,
            seconds=services.clock() - began,
        )
    )
    if isinstance(error, StoreError) and not isinstance(error, BacklogFull):
        services.telemetry.record(telemetry.StoreTrouble(reason=reason))
