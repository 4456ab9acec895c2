"""`relay up` at work: owns the store, keeps receiver and workers alive, ends all in order."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from collections.abc import Mapping
from typing import TYPE_CHECKING

from relay.cli import out, silence
from relay.cli.supervise import Program, Supervisor, on_signals
from relay.errors import ConfigError, Fault, StoreError, StoreUnavailable
from relay.store.server import EmbeddedServer, attach

if TYPE_CHECKING:
    from relay.settings import Settings

# How long the workers may take beyond their own grace before they are killed.
_MARGIN = 5.0
# With the embedded store gone nothing more can be recorded, so there is little to wait for.
_PATIENCE_WITHOUT_STORE = 2.0


async def run(loaded: Settings, *, workers: int) -> int:
    """Until SIGINT, SIGTERM or SIGHUP; a second one ends everything at once."""
    if fault := port_fault(loaded.relay.bind, loaded.relay.port):
        _refuse_second(loaded)
        raise ConfigError([fault])
    server = EmbeddedServer(loaded.environment.data_dir) if loaded.store.url is None else None
    grace = loaded.relay.shutdown_grace + _MARGIN
    supervisor = Supervisor(tell=_tell, grace=grace, look=None if server else lambda: store_trouble(loaded))

    def react(one: signal.Signals) -> None:
        if supervisor.done.is_set():
            supervisor.kill()
        else:
            _tell(f"{one.name}: stopping the receiver and the workers, then the store")
            supervisor.done.set()

    with on_signals(react):
        try:
            if server is not None:
                await asyncio.to_thread(server.start)
                supervisor.keep_store(server)
            _introduce(loaded, workers)
            environ = _environ(loaded)
            patience = grace if server is None else _PATIENCE_WITHOUT_STORE
            for name in ("web", *(f"worker-{number + 1}" for number in range(workers))):
                command = name.partition("-")[0]
                supervisor.keep(Program(name=name, arguments=(command,), environ=environ, patience=patience))
            await supervisor.done.wait()
        finally:
            await supervisor.stop()
            if server is not None:
                await asyncio.to_thread(server.stop)
    return supervisor.given_up or 0


def _refuse_second(loaded: Settings) -> None:
    """Who starts `relay up` twice in one folder finds the port taken: say what really is in the way."""
    if loaded.store.url is not None:
        return
    folder = loaded.environment.data_dir
    try:
        attach(folder)
    except StoreError:
        return
    remedy = "stop that one, or set RELAY_DATA_DIR to another folder and choose another --port"
    raise StoreError(f"a `relay up` runs already with the store in {folder}: {remedy}")


async def store_trouble(loaded: Settings) -> str | None:
    """Why the Redis of these settings cannot be used now, None when it can. One that is unfit is for others to tell."""
    from relay.services import open_services

    try:
        with silence.in_words(loaded):
            async with open_services(loaded, worker=False, strict=False):
                return None
    except StoreUnavailable as error:
        return str(error)
    except StoreError:
        return None


def port_fault(host: str, port: int) -> Fault | None:
    """Whether somebody else listens there; asked before anything is started."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            return Fault("relay.port", f"{host}:{port} cannot be used ({error.strerror}): choose another with --port")
    return None


def _environ(loaded: Settings) -> Mapping[str, str]:
    """Ours, with what the children must see alike written out."""
    told = {**os.environ, "RELAY_DATA_DIR": str(loaded.environment.data_dir.absolute())}
    if loaded.environment.config_path is not None:
        told["RELAY_CONFIG"] = str(loaded.environment.config_path.absolute())
    return told


def _introduce(loaded: Settings, workers: int) -> None:
    from relay.settings import USUAL_PATH

    store = f"embedded in {loaded.environment.data_dir}" if loaded.store.url is None else "REDIS_URL"
    _tell(f"store: {store}; receiver: http://{loaded.relay.bind}:{loaded.relay.port}; workers: {workers}")
    if not loaded.sources and not loaded.portals:
        usual = USUAL_PATH.absolute()
        _tell(f"nothing is configured yet, so nothing can come in: set RELAY_CONFIG, or write {usual}")


def _tell(text: str) -> None:
    out.say(f"up: {text}")
