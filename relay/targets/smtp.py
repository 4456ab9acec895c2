"""One mail handed to a mail server: the guard asked before a socket is opened, TLS as it is set, every reply kept.

It has the shape of the other ways out: a request goes in whose content is the mail, an answer comes back whose status
is the server's code and whose `extensions["stage"]` says to what it was the answer.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import ssl
from collections.abc import Sequence
from dataclasses import dataclass

import aiosmtplib
import httpx

from relay.errors import AddressRefused, NotSent, SendError, Unanswered
from relay.http import AddressPolicy

TAKEN = 250
_LONGEST_REPLY = 2048
_GOODBYE = 1.0
_LATER, _REPLIES = range(400, 500), range(200, 600)


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """A mail server and how it is spoken to. `context` None: nothing is encrypted; `from_start`: not by STARTTLS."""

    host: str
    port: int
    policy: AddressPolicy
    context: ssl.SSLContext | None = None
    from_start: bool = False
    username: str | None = None
    password: str = ""


class SmtpTransport:
    """Hands mails of one sender to the same recipients, each over a connection of its own."""

    def __init__(self, server: Server, *, sender: str, recipients: Sequence[str], timeout: float) -> None:
        self._server = server
        self._sender = sender
        self._recipients = tuple(recipients)
        self._timeout = timeout

    async def send(
        self, request: httpx.Request, *, timeout: float | None = None, connect_timeout: float | None = None
    ) -> httpx.Response:
        """Send it once, all within `timeout` seconds; raises only SendErrors.

        The answer's `extensions["refused"]` holds the places of the recipients whom the server refused for good.
        """
        timeout = timeout or self._timeout
        call = _Call(self._server, self._sender, self._recipients, connect_timeout or timeout)
        try:
            async with asyncio.timeout(timeout):
                return await call.run(request.content)
        except SendError:
            raise
        except TimeoutError as error:
            raise call.broken(f"no whole answer came within {timeout:g} s") from error
        except (aiosmtplib.SMTPException, OSError) as error:
            raise _explained(error, call) from error
        finally:
            call.close()

    async def aclose(self) -> None:
        """Nothing is kept open between mails."""


class _Call:
    """One mail on its way; `stage` is what the server was asked last, `sent` that it may have the whole mail."""

    def __init__(self, server: Server, sender: str, recipients: Sequence[str], connect_timeout: float) -> None:
        self._server, self._sender, self._recipients = server, sender, recipients
        self._connect_timeout = connect_timeout
        self._smtp: aiosmtplib.SMTP | None = None
        self.stage = "connect"
        self.sent = False

    async def run(self, mail: bytes) -> httpx.Response:
        try:
            smtp = await self._greeted()
            self.stage = "sender"
            await smtp.mail(self._sender)
            refused: list[int] = []
            for place, recipient in enumerate(self._recipients):
                self.stage = "recipients"
                try:
                    await smtp.rcpt(recipient)
                except aiosmtplib.SMTPRecipientRefused as error:
                    # Whoever comes again later comes to all: then nobody gets it twice.
                    if error.code in _LATER or len(refused) + 1 == len(self._recipients):
                        return self._answer(error.code, error.message)
                    refused.append(place)
            self.stage, self.sent = "content", True
            reply = await smtp.data(mail)
        except aiosmtplib.SMTPResponseException as error:
            return self._answer(error.code, error.message)
        with contextlib.suppress(aiosmtplib.SMTPException, OSError, TimeoutError):
            await smtp.quit(timeout=_GOODBYE)
        return self._answer(reply.code, reply.message, refused)

    async def _greeted(self) -> aiosmtplib.SMTP:
        """Connected, encrypted and signed in."""
        server = self._server
        smtp = self._smtp = aiosmtplib.SMTP(
            hostname=server.host,
            sock=await self._connected(),
            use_tls=server.from_start,
            start_tls=False,
            tls_context=server.context,
            # Neither the machine's own name nor its address is the mail server's business.
            local_hostname="planday-relay.invalid",
            timeout=None,
        )
        await smtp.connect()
        self.stage = "hello"
        await smtp.ehlo()
        if server.context is not None and not server.from_start:
            self.stage = "starttls"
            if not smtp.supports_extension("starttls"):
                error = NotSent(f"{server.host}: the server offers no STARTTLS, and nothing is sent in the open")
                error.permanent = True
                raise error
            await smtp.starttls()
        if server.username is not None:
            self.stage = "sign-in"
            await smtp.login(server.username, server.password)
        return smtp

    async def _connected(self) -> socket.socket:
        """A socket to the first address that answers, none of which may be forbidden."""
        server, loop = self._server, asyncio.get_running_loop()
        try:
            found = await loop.getaddrinfo(server.host, server.port, type=socket.SOCK_STREAM)
        except OSError as error:
            raise NotSent(f"{server.host}: the name does not resolve") from error
        for *_, where in found:
            if reason := server.policy.check_address(str(where[0]), server.port):
                raise AddressRefused(f"{server.host}: {reason}")
        words = "no address"
        for family, kind, protocol, _, where in found:
            opened = socket.socket(family, kind, protocol)
            try:
                opened.setblocking(False)
                async with asyncio.timeout(self._connect_timeout):
                    await loop.sock_connect(opened, where)
            except TimeoutError:
                words = f"no connection within {self._connect_timeout:g} s"
            except OSError as error:
                words = f"cannot connect ({os.strerror(error.errno or 0)})"
            except BaseException:
                opened.close()
                raise
            else:
                return opened
            opened.close()
        raise NotSent(f"{server.host}: {words}")

    def _answer(self, code: int, message: str, refused: Sequence[int] = ()) -> httpx.Response:
        if code not in _REPLIES:
            raise self.broken(f"the server does not speak SMTP as it should ({self.stage})")
        content = message[:_LONGEST_REPLY].encode("utf-8", "replace")
        return httpx.Response(code, content=content, extensions={"stage": self.stage, "refused": tuple(refused)})

    def broken(self, words: str) -> SendError:
        """The error for a call that ended without an answer."""
        text = f"{self._server.host}: {words}"
        return Unanswered(text) if self.sent else NotSent(text)

    def close(self) -> None:
        if self._smtp is not None:
            self._smtp.close()


def _explained(error: Exception, call: _Call) -> SendError:
    """A failure without a reply of the server's own. Foreign texts hold addresses and stay behind."""
    match _tls(error) or error:
        case ssl.SSLCertVerificationError(verify_message=reason):
            return call.broken(f"TLS: the certificate is not accepted ({reason})")
        case ssl.SSLError(reason=reason):
            return call.broken(f"TLS failed ({reason or 'no reason given'})")
        case aiosmtplib.SMTPNotSupported():
            refused = NotSent("the mail server knows no way to sign in that we know")
            refused.permanent = True
            return refused
        case aiosmtplib.SMTPTimeoutError():
            return call.broken("no answer came in time")
        case aiosmtplib.SMTPServerDisconnected() | aiosmtplib.SMTPConnectError():
            return call.broken(f"the server hung up ({call.stage})")
        case OSError():
            return call.broken(f"the connection broke ({call.stage}, {type(error).__name__})")
    return call.broken(f"the server does not speak SMTP as it should ({call.stage}, {type(error).__name__})")


def _tls(error: BaseException | None) -> ssl.SSLError | None:
    """The failure of TLS underneath, if it was one."""
    while error is not None and not isinstance(error, ssl.SSLError):
        error = error.__cause__
    return error
