"""Runs the simulator on a loopback port, for the command line, the demo and tests."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager

import uvicorn
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from relay.simulator.app import create_simulator
from relay.simulator.clock import Clock
from relay.simulator.faults import DROP_KEY
from relay.simulator.identity import CLIENT_ID, DEFAULT_SCOPES, REFRESH_TOKENS
from relay.simulator.living import LifeSettings
from relay.simulator.payroll_standin import PAYROLL_SECRET
from relay.simulator.relay_event_emitter import EMIT_SECRET
from relay.simulator.settings import Settings

_HOST = "127.0.0.1"
DEFAULT_PORT = 8710


async def serve(
    *,
    port: int = DEFAULT_PORT,
    ready: Callable[[int], None] | None = None,
    settings: Settings | None = None,
    clock: Clock | None = None,
    client_id: str = CLIENT_ID,
    refresh_tokens: Mapping[int, str] = REFRESH_TOKENS,
    emit_to: str | None = None,
    emit_secret: str = EMIT_SECRET,
    payroll_secret: str = PAYROLL_SECRET,
    scopes: frozenset[str] = DEFAULT_SCOPES,
    redirect_uris: Sequence[str] | None = None,
    life: LifeSettings | None = None,
) -> None:
    """Serve until SIGINT or SIGTERM, on loopback only; `port=0` picks a free one and `ready` hears which."""
    app = create_simulator(
        settings=settings,
        clock=clock,
        client_id=client_id,
        refresh_tokens=refresh_tokens,
        emit_to=emit_to,
        emit_secret=emit_secret,
        payroll_secret=payroll_secret,
        scopes=scopes,
        redirect_uris=redirect_uris,
        life=life,
    )
    async with _served(app, port=port, kind=uvicorn.Server) as (bound, serving):
        if ready is not None:
            ready(bound)
        # Not awaited itself: a cancelled caller must leave uvicorn the time to close.
        await asyncio.wait({serving})


@asynccontextmanager
async def running(app: ASGIApp, *, port: int = 0) -> AsyncIterator[str]:
    """The base URL of `app`, served in this event loop without touching the process's signals."""
    async with _served(app, port=port, kind=_QuietServer) as (bound, _):
        yield f"http://{_HOST}:{bound}"


def closable(app: ASGIApp) -> ASGIApp:
    """Offer the app a way to close the connection without an answer."""

    async def serve_one(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            scope = {**scope, DROP_KEY: _closer(receive, send)}
        await app(scope, receive, send)

    return serve_one


def _closer(receive: Receive, send: Send) -> Callable[[], Awaitable[None]]:
    async def close() -> None:
        # ASGI has no word for this; uvicorn's `send` belongs to the cycle that holds the transport.
        send.__self__.transport.close()  # type: ignore[attr-defined]
        message: Message = {"type": ""}
        while message["type"] != "http.disconnect":
            message = await receive()

    return close


class _QuietServer(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@asynccontextmanager
async def _served(
    app: ASGIApp, *, port: int, kind: type[uvicorn.Server]
) -> "AsyncIterator[tuple[int, asyncio.Task[None]]]":
    config = uvicorn.Config(
        closable(app), log_level="warning", access_log=False, lifespan="on", ws="none", timeout_graceful_shutdown=1
    )
    with _listen(port) as listener:
        server = kind(config)
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        try:
            while not server.started and not serving.done():  # noqa: ASYNC110 (uvicorn offers no event for it)
                await asyncio.sleep(0.005)
            yield int(listener.getsockname()[1]), serving
        finally:
            server.should_exit = True
            await serving


def _listen(port: int) -> socket.socket:
    # Not socket.create_server: asyncio turns Nagle's delay off only where the protocol is named, and with the
    # delay every answer takes 40 ms.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((_HOST, port))
        listener.listen(2048)
    except OSError:
        listener.close()
        raise
    return listener
