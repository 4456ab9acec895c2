"""A mail server for tests: as much SMTP as a client of ours speaks, with replies as told, on the loopback."""

from __future__ import annotations

import asyncio
import base64
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self


@dataclass
class Mail:
    """One mail that was taken."""

    sender: str = ""
    recipients: list[str] = field(default_factory=list)
    content: bytes = b""
    encrypted: bool = False
    login: str = ""


class MailServer:
    """Takes every mail. `replies` has other answers by command ("connect", "RCPT a@example.com", "content", ...).

    The reply "hang up" closes the connection, "silence" never comes. `from_start`: TLS before anything is said.
    """

    def __init__(
        self, *, tls: ssl.SSLContext | None = None, from_start: bool = False, replies: Mapping[str, str] | None = None
    ) -> None:
        self._tls, self._from_start = tls, from_start
        self.replies = dict(replies or {})
        self.mails: list[Mail] = []
        self.commands: list[str] = []
        self.connections = 0
        self.port = 0
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        context = self._tls if self._from_start else None
        self._server = await asyncio.start_server(self._accepted, "127.0.0.1", self.port, ssl=context)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._server is not None
        self._server.close()
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._server.wait_closed()

    def _accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        task = asyncio.create_task(self._serve(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await self._talk(reader, writer)
        except (_HangUp, ConnectionError, asyncio.IncompleteReadError, ssl.SSLError):
            pass
        finally:
            writer.transport.abort()

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        mail = Mail(encrypted=self._from_start)
        await self._reply(writer, "connect", "220 mail.test ESMTP")
        while line := (await reader.readline()).decode().rstrip("\r\n"):
            self.commands.append(line)
            verb, _, rest = line.partition(" ")
            match verb.upper():
                case "EHLO":
                    offers = ["mail.test", "AUTH PLAIN LOGIN"]
                    if self._tls is not None and not mail.encrypted:
                        offers.insert(1, "STARTTLS")
                    text = "\r\n".join(f"250-{offer}" for offer in offers) + "\r\n250 SIZE 10000000"
                    await self._reply(writer, "EHLO", text)
                case "STARTTLS":
                    if await self._reply(writer, "STARTTLS", "220 go ahead"):
                        assert self._tls is not None
                        await writer.start_tls(self._tls)
                        mail.encrypted = True
                case "AUTH":
                    mail.login = base64.b64decode(rest.rpartition(" ")[2]).decode().replace("\0", " ").strip()
                    await self._reply(writer, "AUTH", "235 welcome")
                case "MAIL":
                    mail.sender = rest.partition("<")[2].partition(">")[0]
                    await self._reply(writer, "MAIL", "250 ok")
                case "RCPT":
                    who = rest.partition("<")[2].partition(">")[0]
                    if await self._reply(writer, f"RCPT {who}", "250 ok"):
                        mail.recipients.append(who)
                case "DATA":
                    if await self._reply(writer, "DATA", "354 go ahead"):
                        content = await reader.readuntil(b"\r\n.\r\n")
                        mail.content = content.removesuffix(b".\r\n").replace(b"\r\n..", b"\r\n.")
                        if await self._reply(writer, "content", "250 queued as 4711"):
                            self.mails.append(mail)
                case "QUIT":
                    await self._reply(writer, "QUIT", "221 bye")
                    return
                case _:
                    await self._reply(writer, verb, "502 what?")

    async def _reply(self, writer: asyncio.StreamWriter, to: str, usual: str) -> bool:
        """Send the answer to one thing; whether it was the usual one."""
        text = self.replies.get(to, usual)
        if text == "hang up":
            raise _HangUp
        if text == "silence":
            await asyncio.Event().wait()
        writer.write(f"{text}\r\n".encode())
        await writer.drain()
        return text == usual


class _HangUp(Exception):
    """Close the connection."""
