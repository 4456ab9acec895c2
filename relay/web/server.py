"""Runs the web application on a port until it is told to stop; the only place that knows uvicorn."""

from __future__ import annotations

import asyncio
import contextlib
import math
import signal
import socket
import threading
from collections.abc import AsyncIterator, Callable, Generator

import uvicorn
from starlette.applications import Starlette

from relay import __version__, telemetry
from relay.errors import ConfigError, Fault
from relay.services import loop_factory, open_services
from relay.settings import Settings
from relay.web.app import create_app
from relay.web.protocol import LimitedProtocol

# Longer than the idle time of the usual proxies and client pools, so that they hang up first.
_KEEP_ALIVE = 75
_SIGNALS = (signal.SIGTERM, signal.SIGINT)

Ready = Callable[[int], None]


def run(settings: Settings, *, ready: Ready | None = None) -> None:
    """`serve` in an event loop of its own, uvloop where it is installed, with logging set up."""
    told = telemetry.Telemetry(log_format=settings.environment.log_format, level=settings.relay.log_level, role="web")
    told.configure()
    told.hide(*_secrets(settings))
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        runner.run(serve(settings, ready=ready, telemetry_=told))


async def serve(
    settings: Settings,
    *,
    ready: Ready | None = None,
    stop: asyncio.Event | None = None,
    telemetry_: telemetry.Telemetry | None = None,
) -> None:
    """Serve until SIGTERM, SIGINT or `stop`; then finish what has begun and return. `ready` gets the port.

    Raises ConfigError when the address cannot be had, and StoreError like `open_services`. A second signal does not
    wait for requests.
    """
    with _listening(settings.relay.bind, settings.relay.port) as listener:
        port: int = listener.getsockname()[1]
        async with open_services(settings, worker=False, telemetry_=telemetry_) as services:
            app = create_app(settings, services=services)

            def started() -> None:
                address = f"http://{_host(settings.relay.bind)}:{port}"
                services.telemetry.record(telemetry.ServiceStarted(role="web", version=__version__, address=address))
                if ready is not None:
                    ready(port)

            server = _Server(_config(app, settings), started)

            def leave(reason: str) -> None:
                if app.state.draining:
                    server.force_exit = True
                    return
                app.state.draining = True
                server.should_exit = True
                services.telemetry.record(telemetry.ServiceStopping(role="web", version=__version__, reason=reason))

            async with _told_to_leave(leave, stop):
                await server.serve([listener])


class _Server(uvicorn.Server):
    """uvicorn's server, told when it is started; signals are ours."""

    def __init__(self, config: uvicorn.Config, started: Callable[[], None]) -> None:
        super().__init__(config)
        self._tell_started = started

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._tell_started()

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        # uvicorn raises the signal again at the end, so that a clean stop would look like a death.
        yield


def _config(app: Starlette, settings: Settings) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        http=LimitedProtocol,
        ws="none",
        # The services are open already, so that what they raise reaches the caller as it is.
        lifespan="off",
        log_config=None,
        log_level="warning",
        access_log=False,
        server_header=False,
        # Nothing here depends on who the client says it is.
        proxy_headers=False,
        timeout_keep_alive=_KEEP_ALIVE,
        timeout_graceful_shutdown=math.ceil(settings.relay.shutdown_grace),
        backlog=2048,
    )


def _listening(bind: str, port: int) -> socket.socket:
    try:
        found = socket.getaddrinfo(bind, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, _, _, _, address = found[0]
        # With the protocol named: asyncio sets TCP_NODELAY only where it sees it, and Nagle costs 40 ms an answer.
        listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.setblocking(False)
            listener.bind(address)
        except OSError:
            listener.close()
            raise
    except OSError as error:
        remedy = f"cannot listen on {bind} port {port}: {error.strerror or error}; choose another port with PORT"
        raise ConfigError([Fault("relay.port", remedy)]) from error
    return listener


@contextlib.asynccontextmanager
async def _told_to_leave(leave: Callable[[str], None], stop: asyncio.Event | None) -> AsyncIterator[None]:
    loop = asyncio.get_running_loop()
    handled = []
    # Only a main thread hears signals, and not every system's loop takes them.
    if threading.current_thread() is threading.main_thread():
        for one in _SIGNALS:
            with contextlib.suppress(NotImplementedError):
                loop.add_signal_handler(one, leave, one.name)
                handled.append(one)
    waiting = asyncio.create_task(_wait(stop, leave)) if stop is not None else None
    try:
        yield
    finally:
        for one in handled:
            loop.remove_signal_handler(one)
        if waiting is not None:
            waiting.cancel()


async def _wait(stop: asyncio.Event, leave: Callable[[str], None]) -> None:
    await stop.wait()
    leave("asked to")


def _secrets(settings: Settings) -> list[str]:
    found = [secret for source in settings.sources.values() for secret in source.secrets]
    if settings.environment.admin_token is not None:
        found.append(settings.environment.admin_token)
    found += [user.password for user in settings.users.values() if user.password is not None]
    return [secret.reveal() for secret in found]


def _host(bind: str) -> str:
    return f"[{bind}]" if ":" in bind else bind
