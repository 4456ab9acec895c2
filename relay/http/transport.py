"""Sends one httpx request over aiohttp's pool and says what became of it: an answer, NotSent or Unanswered.

httpcore's pool costs O(connections^2) per request, hence aiohttp underneath. No foreign exception leaves this module.
"""

from __future__ import annotations

import asyncio
import re
import ssl
from contextvars import ContextVar
from functools import lru_cache

import aiohttp
import httpx
import yarl
from aiohttp.abc import AbstractResolver
from aiohttp.client_reqrep import ClientRequest
from aiohttp.connector import Connection
from aiohttp.resolver import ThreadedResolver
from aiohttp.tracing import Trace

from relay.errors import AddressRefused, AnswerTooLarge, NotSent, SendError, Unanswered
from relay.http.guard import AddressPolicy, GuardedResolver, OpenSocket, guarded_socket, plain_socket
from relay.http.outcome import Call, Stage, explain, plain_cause

MAX_ANSWER = 64 * 1024
_CHUNK = 64 * 1024
# Set by us or by the connection; a caller's own would contradict the bytes that go out.
_OURS = frozenset({b"content-length", b"transfer-encoding", b"accept-encoding", b"connection"})
_NO_AUTOMATIC = ("User-Agent", "Accept", "Accept-Encoding", "Content-Type")
_CONTROL = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")


_current: ContextVar[Call] = ContextVar("outgoing_call")


class _Connector(aiohttp.TCPConnector):
    """Tells the call in whose context it runs that there is a connection."""

    async def connect(self, req: ClientRequest, traces: list[Trace], timeout: aiohttp.ClientTimeout) -> Connection:
        for _ in range(2):
            connection = await super().connect(req, traces, timeout)
            protocol = connection.protocol
            # Bytes that came before we asked (a 408 on an idle connection) must not become the next answer.
            if protocol is not None and not protocol.should_close:
                _current.get().connected(connection)
                return connection
            connection.close()
        raise aiohttp.ClientConnectionError("the far side spoke before it was asked")


class _Chunks:
    """A large body in pieces. The request counts as sent from the moment its last piece leaves our hands."""

    def __init__(self, body: bytes, call: Call) -> None:
        self._rest = memoryview(body)
        self._call = call

    def __aiter__(self) -> _Chunks:
        return self

    async def __anext__(self) -> memoryview:
        if not self._rest:
            raise StopAsyncIteration
        if len(self._rest) <= _CHUNK:
            self._call.stage = Stage.SENT
        chunk, self._rest = self._rest[:_CHUNK], self._rest[_CHUNK:]
        return chunk


class OutgoingTransport(httpx.AsyncBaseTransport):
    """One target's way out: its policy, its connections, its limits.

    `fresh` opens a connection per request, for targets that do not dedupe. `keepalive` stays below the five seconds
    after which many servers hang up, so that a request seldom meets a connection that is just being closed.
    `strict_size` raises AnswerTooLarge where others get the first `max_answer` bytes and `extensions["truncated"]`.
    Answers are asked for unencoded; one that comes encoded all the same is handed on as it is, with
    `extensions["encoded"]`. Redirects are answers like any other. `resolver` and `open_socket` are for tests.
    """

    def __init__(
        self,
        policy: AddressPolicy,
        *,
        fresh: bool = False,
        limit: int = 0,
        keepalive: float = 4.0,
        timeout: float = 15.0,
        connect_timeout: float = 5.0,
        max_answer: int = MAX_ANSWER,
        strict_size: bool = False,
        ssl_context: ssl.SSLContext | None = None,
        resolver: AbstractResolver | None = None,
        open_socket: OpenSocket = plain_socket,
    ) -> None:
        self._policy = policy
        # A target has one URL, and what is judged of it never changes; its addresses are judged at every connection.
        self._judged = lru_cache(maxsize=256)(self._judge)
        self._fresh = fresh
        self._limit = limit
        self._keepalive = keepalive
        self._timeout = timeout
        self._connect_timeout = connect_timeout
        self._max_answer = max_answer
        self._strict_size = strict_size
        self._ssl = ssl_context if ssl_context is not None else True  # True: the one context that aiohttp keeps
        self._resolver = resolver
        self._open_socket = open_socket
        self._session: aiohttp.ClientSession | None = None
        self._closed = False

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """httpx's entrance: time limits come from the request's extensions, `relay_total` before httpx's own."""
        limits = request.extensions.get("timeout") or {}
        total, connect, read = request.extensions.get("relay_total"), limits.get("connect"), limits.get("read")
        if total is None and read is not None:
            total = read + (connect or 0.0)
        return await self.send(request, timeout=total, connect_timeout=connect)

    async def send(
        self,
        request: httpx.Request,
        *,
        timeout: float | None = None,
        connect_timeout: float | None = None,
        max_answer: int | None = None,
    ) -> httpx.Response:
        """Send it once and read the answer whole, all within `timeout` seconds; raises only SendErrors."""
        url = self._checked(request)
        headers = _headers(request)
        body = await _body(request)
        call = Call(
            host=url.raw_host or "",
            timeout=self._timeout if timeout is None else timeout,
            connect_timeout=self._connect_timeout if connect_timeout is None else connect_timeout,
            in_one_write=len(body) <= _CHUNK,
        )
        limit = self._max_answer if max_answer is None else max_answer
        token = _current.set(call)
        try:
            async with asyncio.timeout(call.timeout):
                return await self._exchange(call, request, url=url, headers=headers, body=body, limit=limit)
        except SendError:
            raise
        except Exception as failure:  # whatever it is, the stage says what it means
            error, cause = explain(failure, call), plain_cause(failure)
        finally:
            _current.reset(token)
            call.abandon()
        # Raised out here so that no foreign error, whose text may hold the URL, hangs on it as its context.
        raise error from cause

    async def aclose(self) -> None:
        self._closed = True
        if self._session is not None:
            await self._session.close()

    async def _exchange(
        self,
        call: Call,
        request: httpx.Request,
        *,
        url: yarl.URL,
        headers: list[tuple[str, str]],
        body: bytes,
        limit: int,
    ) -> httpx.Response:
        if not call.in_one_write:
            headers.append(("Content-Length", str(len(body))))
        answer = await self._open().request(
            request.method,
            url,
            headers=headers,
            data=(body or None) if call.in_one_write else _Chunks(body, call),
            allow_redirects=False,
            timeout=aiohttp.ClientTimeout(total=None, connect=call.connect_timeout),
        )
        try:
            call.status = answer.status
            if answer.status == 101:
                raise Unanswered(f"{call.host}: the far side switched to another protocol unasked")
            content, truncated = await _read(answer.content, limit)
        finally:
            if answer.closed and call.stage is Stage.SENT:
                call.transport = None  # read to its end: the connection is back in the pool and no longer ours
            else:
                answer.close()
        if truncated and self._strict_size:
            raise AnswerTooLarge(f"{call.host}: answer {answer.status} is larger than {limit} bytes")
        kept = [(name, value) for name, value in answer.raw_headers if name.lower() != b"content-encoding"]
        encoding = answer.headers.get("Content-Encoding", "identity").strip().lower()
        return httpx.Response(
            answer.status,
            headers=kept,
            content=content,
            request=request,
            extensions={
                "http_version": b"HTTP/1.1",
                "reason_phrase": (answer.reason or "").encode("utf-8", "surrogateescape"),
                "truncated": truncated,
                "encoded": encoding not in {"", "identity"},
            },
        )

    def _checked(self, request: httpx.Request) -> yarl.URL:
        try:
            url, refused = self._judged(str(request.url))
        except ValueError:
            raise AddressRefused("this is not a URL that can be sent to") from None
        if refused:
            raise AddressRefused(f"{request.url.host}: {refused}")
        return url

    def _judge(self, text: str) -> tuple[yarl.URL, str | None]:
        # encoded=True: a signature in the query must leave exactly as it was configured.
        url = yarl.URL(text, encoded=True)
        return url, self._policy.check_url(url)

    def _open(self) -> aiohttp.ClientSession:
        """The session, made at the first use because aiohttp wants a running loop."""
        if self._closed:
            raise NotSent("this way out is closed: the process is stopping")
        if self._session is None:
            connector = _Connector(
                ssl=self._ssl,
                resolver=GuardedResolver(self._policy, self._resolver or ThreadedResolver()),
                socket_factory=guarded_socket(self._policy, self._open_socket),
                ttl_dns_cache=10,
                force_close=self._fresh,
                limit=self._limit,
                keepalive_timeout=None if self._fresh else self._keepalive,
            )
            self._session = aiohttp.ClientSession(
                connector=connector,
                cookie_jar=aiohttp.DummyCookieJar(),
                trust_env=False,
                auto_decompress=False,
                skip_auto_headers=_NO_AUTOMATIC,
                read_bufsize=_CHUNK,
            )
            # aiohttp re-sends idempotent requests when a kept connection turns out stale; we count every request.
            self._session._retry_connection = False
        return self._session


def _headers(request: httpx.Request) -> list[tuple[str, str]]:
    """The caller's headers under their own names, plus the one that is always ours."""
    sent: list[tuple[str, str]] = []
    for name, value in request.headers.raw:
        if _CONTROL.search(value) or _CONTROL.search(name):
            raise _unsendable("a header holds a control character")
        if name.lower() not in _OURS:
            try:
                sent.append((name.decode(), value.decode()))
            except UnicodeDecodeError:
                raise _unsendable("a header is not UTF-8") from None
    sent.append(("Accept-Encoding", "identity"))
    return sent


def _unsendable(text: str) -> NotSent:
    error = NotSent(text)
    error.permanent = True
    return error


async def _body(request: httpx.Request) -> bytes:
    try:
        return request.content
    except httpx.RequestNotRead:
        return await request.aread()


async def _read(stream: aiohttp.StreamReader, limit: int) -> tuple[bytes, bool]:
    """At most `limit` bytes as they arrive, and whether there were more."""
    parts: list[bytes] = []
    size = 0
    while not stream.at_eof():
        part = await stream.readany()
        size += len(part)
        if size > limit:
            parts.append(part[: limit - (size - len(part))])
            return b"".join(parts), True
        parts.append(part)
    return b"".join(parts), False
