"""What a failed request means: how far it came decides between "not sent" and "may have been acted on".

The class of a foreign exception only picks the words. Texts name the host, never a path, a query or an answer's bytes.
"""

from __future__ import annotations

import asyncio
import enum
import os
import ssl
from dataclasses import dataclass

import aiohttp
from aiohttp.connector import Connection

from relay.errors import AddressRefused, NotSent, SendError, Unanswered
from relay.http.guard import Refusal


class Stage(enum.Enum):
    """How far a request has come; only CONNECTING and WRITING prove that the far side cannot have it whole."""

    CONNECTING = "connecting"
    WRITING = "writing"
    SENT = "sent"


@dataclass(slots=True)
class Call:
    """One request on its way, as the connector, the body and the error text see it."""

    host: str
    timeout: float
    connect_timeout: float
    in_one_write: bool
    stage: Stage = Stage.CONNECTING
    transport: asyncio.Transport | None = None
    status: int | None = None

    def connected(self, connection: Connection) -> None:
        """From here on a small request may be at the far side; a large one is when its last chunk is handed over."""
        self.transport = connection.transport
        self.stage = Stage.SENT if self.in_one_write else Stage.WRITING

    def abandon(self) -> None:
        """Drop the connection now. A mere close would wait for a far side that does not read, perhaps for ever."""
        if self.transport is not None:
            self.transport.abort()


def explain(failure: Exception, call: Call) -> SendError:
    """A foreign failure as ours: the stage picks the class, the foreign class only the words."""
    if refusal := _refusal(failure):
        return AddressRefused(f"{call.host}: {refusal}")
    words = {Stage.CONNECTING: _not_connected, Stage.WRITING: _not_written, Stage.SENT: _not_answered}[call.stage]
    text = f"{call.host}: {words(failure, call)}"
    if call.stage is Stage.SENT:
        return Unanswered(text)
    error = NotSent(text)
    # A URL or a method of which no request can be made stays that way.
    error.permanent = (
        call.stage is Stage.CONNECTING and isinstance(failure, ValueError) and not isinstance(failure, OSError)
    )
    return error


def _not_connected(failure: Exception, call: Call) -> str:
    text = f"cannot connect ({type(failure).__name__})"
    match failure:
        case aiohttp.ClientConnectorDNSError():
            text = "the name does not resolve"
        case aiohttp.ClientConnectorCertificateError():
            reason = getattr(failure.__cause__, "verify_message", "")
            text = f"TLS: the certificate is not accepted ({reason or 'no reason given'})"
        case aiohttp.ClientSSLError() | ssl.SSLError():
            text = f"TLS failed ({getattr(failure.__cause__, 'reason', None) or type(failure).__name__})"
        case aiohttp.ConnectionTimeoutError():
            text = f"no connection within {call.connect_timeout:g} s"
        case TimeoutError():
            text = f"no connection within {call.timeout:g} s"
        case OSError(errno=int(number)):
            text = f"cannot connect ({os.strerror(number)})"
    return text


def _not_written(failure: Exception, call: Call) -> str:
    if isinstance(failure, TimeoutError):
        return f"the request could not be handed over whole within {call.timeout:g} s"
    return f"the connection broke before the request was complete ({type(failure).__name__})"


def _not_answered(failure: Exception, call: Call) -> str:
    so_far = f"answer {call.status} began, but " if call.status is not None else ""
    match failure:
        case TimeoutError():
            return f"{so_far}no whole answer came within {call.timeout:g} s"
        case aiohttp.ClientResponseError():
            return f"{so_far}the answer is not proper HTTP"
        case aiohttp.ClientPayloadError():
            return f"{so_far}its body broke off or is badly framed"
        case aiohttp.ServerDisconnectedError():
            return f"{so_far}the connection was closed without an answer"
        case OSError():
            return f"{so_far}the connection broke before the answer was complete ({type(failure).__name__})"
    return f"{so_far}no usable answer came ({type(failure).__name__})"


def _refusal(failure: BaseException | None) -> Refusal | None:
    while failure is not None and not isinstance(failure, Refusal):
        failure = failure.__cause__
    return failure


def plain_cause(failure: BaseException | None) -> OSError | None:
    """The operating system's own error underneath, if any; aiohttp's carry URLs and headers and stay behind."""
    while failure is not None:
        if isinstance(failure, OSError) and not isinstance(failure, aiohttp.ClientError | TimeoutError):
            return failure
        failure = failure.__cause__
    return None
