"""The relay as the Procfile runs it: real processes over a store that the test owns, and eyes to see what they did.

    async with Sink() as sink, Relay(tmp_path, sink) as relay:
        await relay.start("web")
        await relay.start("worker")
        await relay.sender.send([thin("n1", "shift/1")])

It ends only what it started. When a test fails, the tail of every log is printed.
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self, TypeVar

import httpx
import pytest
import redis.asyncio as aioredis

from relay.simulator.identity import CLIENT_ID, REFRESH_TOKENS
from relay.store.binary import Binary, bundled, probe
from relay.store.keys import Keys
from relay.store.server import EmbeddedServer
from tests.acceptance.sender import Sender
from tests.acceptance.sink import Sink
from tests.servers import free_port

Value = TypeVar("Value")

READY = 30.0
_TAIL = 4000


def whsec() -> str:
    """A fresh Standard Webhooks secret."""
    return "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode()


def servers() -> list[Any]:
    """Every server that this machine can be tried with, as pytest parameters."""
    places = {"valkey": bundled(), "redis": shutil.which("redis-server")}
    return [
        pytest.param(
            probe(Path(place)) if place else None,
            id=name,
            marks=() if place else pytest.mark.skip(reason=f"there is no {name} server on this machine"),
        )
        for name, place in places.items()
    ]


async def eventually(check: Callable[[], Awaitable[Value]], *, within: float, what: str) -> Value:
    """Poll until `check` gives something true, and return that; fails after `within` seconds."""
    end = time.monotonic() + within
    while True:
        if found := await check():
            return found
        if time.monotonic() > end:
            raise AssertionError(f"after {within:g} s still not: {what}")
        await asyncio.sleep(0.02)


@dataclass(slots=True)
class Process:
    """One process of the relay, with its log."""

    role: str
    popen: subprocess.Popen[bytes]
    log: Path
    started_at: float

    @property
    def alive(self) -> bool:
        return self.popen.poll() is None

    async def kill(self) -> None:
        """SIGKILL, and wait until it is gone."""
        self.popen.kill()
        await self.ended(10)

    async def terminate(self, *, within: float) -> int:
        """SIGTERM, and wait for its end; its exit code."""
        self.popen.send_signal(signal.SIGTERM)
        return await self.ended(within)

    async def ended(self, within: float) -> int:
        return await asyncio.to_thread(self.popen.wait, within)

    def text(self) -> str:
        return self.log.read_text(errors="replace")


class Relay:
    """A store, a configuration and the processes on it. `settings` and `targets` are tables of the configuration."""

    def __init__(
        self,
        folder: Path,
        sink: Sink,
        *,
        binary: Binary | None = None,
        target: Mapping[str, Any] | None = None,
        tables: Mapping[str, Mapping[str, Any]] | None = None,
        portals: Mapping[str, int] | None = None,
        portal: Mapping[str, Any] | None = None,
        environ: Mapping[str, str] | None = None,
    ) -> None:
        """One source `planday` and one target `hooks` (the sink); `target` adds to it, `tables` to the file.

        `portals` are names and ids of the simulator's; without any, nothing asks Planday. `portal`
        adds to each.
        """
        self.folder = folder
        self.sink = sink
        self.store = EmbeddedServer(folder / "store", binary=binary)
        self.keys = Keys()
        self.processes: list[Process] = []
        self.port, self.simulator_port = free_port(), free_port()
        self.admin_token = secrets.token_hex(24)
        self.secrets = {"SOURCE_SECRET": whsec(), "HOOKS_SECRET": whsec()}
        self.sender = Sender(self.port, self.secrets["SOURCE_SECRET"])
        self._target = target or {}
        self._tables = tables or {}
        self._portals = portals or {}
        self._each_portal = portal or {}
        self._environ = environ or {}
        self.secrets |= {_token_name(name): REFRESH_TOKENS[id_] for name, id_ in self._portals.items()}

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def simulator(self) -> str:
        return f"http://127.0.0.1:{self.simulator_port}"

    async def __aenter__(self) -> Self:
        await asyncio.to_thread(self.store.start)
        self.redis: aioredis.Redis = aioredis.Redis.from_url(self.store.url)
        hooks = {
            "type": "webhook",
            "url": f"{self.sink.url}/hooks",
            "signing_secret": "env:HOOKS_SECRET",
            "events": ["planday.*"],
            "allow_http": True,
            "allow_networks": ["127.0.0.0/8"],
            "rate": {"concurrency": 100},
            "retry": {"schedule": ["1s"] * 30, "timeout": "15s"},
        }
        tables: dict[str, Mapping[str, Any]] = {
            "sources.planday": {"secrets": ["env:SOURCE_SECRET"]},
            "targets.hooks": {**hooks, **self._target},
            **{f"portals.{name}": self._portal(name, id_) for name, id_ in self._portals.items()},
            **self._tables,
        }
        (self.folder / "relay.toml").write_text("".join(f"[{name}]\n{_toml(body)}\n" for name, body in tables.items()))
        return self

    def _portal(self, name: str, id_: int) -> dict[str, Any]:
        return {
            "id": id_,
            "client_id": CLIENT_ID,
            "refresh_token": f"env:{_token_name(name)}",
            "api_url": self.simulator,
            "identity_url": self.simulator,
            "allow_networks": ["127.0.0.0/8"],
            **self._each_portal,
        }

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        for process in self.processes:
            if process.alive:
                await process.kill()
            assert process.popen.stdin is not None
            process.popen.stdin.close()
        await self.redis.aclose()
        await asyncio.to_thread(self.store.stop)
        if kind is not None:
            for process in self.processes:
                print(f"--- {process.log.name} ---\n{process.text()[-_TAIL:]}")

    # Processes -------------------------------------------------------------------------------------

    async def start(self, role: str, *, wait: bool = True) -> Process:
        """Start `relay web` or `relay worker`; `wait`: until it is ready."""
        known = set(await self._workers()) if wait and role == "worker" else set()
        # Its standard input is a pipe of ours: should this process be killed, it ends too.
        process = self.run(role, "--with-parent", "1")
        if wait and role == "web":
            await self.web_ready()
        elif wait:
            await self.worker_ready(process, known)
        return process

    def run(self, *arguments: str) -> Process:
        """Start the command line with these arguments and let it run."""
        log = self.folder / f"{len(self.processes):02}-{arguments[0]}.log"
        with log.open("wb") as output:
            popen = subprocess.Popen(
                [sys.executable, "-m", "relay.cli.main", *arguments],
                stdout=output,
                stderr=subprocess.STDOUT,
                stdin=subprocess.PIPE,
                cwd=self.folder,
                env=self.environ(),
            )
        process = Process(arguments[0], popen, log, time.monotonic())
        self.processes.append(process)
        return process

    async def start_simulator(self) -> Process:
        """A local Planday with the portals, which posts an event to the receiver after each change."""
        process = self.run("simulator", "--port", str(self.simulator_port), "--with-parent", "1")

        async def answers() -> bool:
            try:
                return bool(await self.control("GET", "/settings"))
            except httpx.TransportError:
                return False

        await eventually(answers, within=READY, what="the simulator answers")
        secret = self.secrets["SOURCE_SECRET"]
        await self.control("POST", "/emitter", {"url": f"{self.url}/in/planday", "secret": secret})
        return process

    async def control(self, method: str, path: str, body: Any = None) -> Any:
        """One call of the simulator's control endpoint."""
        return await _json(method, f"{self.simulator}/control{path}", body)

    async def api(self, method: str, path: str, body: Any = None) -> Any:
        """One call of the relay's API, as an operator."""
        return await _json(method, f"{self.url}/api/v1{path}", body, authorization=f"Bearer {self.admin_token}")

    async def call(self, *arguments: str, within: float = 30.0) -> tuple[int, Any]:
        """Run one command with --json to its end: its exit code and what it printed."""
        command = [sys.executable, "-m", "relay.cli.main", *arguments, "--json"]
        done = await asyncio.to_thread(
            subprocess.run, command, capture_output=True, cwd=self.folder, env=self.environ(), timeout=within
        )
        if done.returncode:
            print(done.stderr.decode(errors="replace")[-_TAIL:])
        return done.returncode, json.loads(done.stdout) if done.stdout.strip() else None

    def environ(self) -> dict[str, str]:
        return {
            "PATH": os.environ.get("PATH", ""),
            "PYTHONPATH": str(Path(__file__).parents[2]),
            "PYTHONUNBUFFERED": "1",
            "RELAY_CONFIG": str(self.folder / "relay.toml"),
            "RELAY_DATA_DIR": str(self.folder / "data"),
            "RELAY_LOG_FORMAT": "json",
            "RELAY_ADMIN_TOKEN": self.admin_token,
            "RELAY_ENCRYPTION_KEYS": self.secrets.setdefault("RELAY_ENCRYPTION_KEYS", _fernet_key()),
            "REDIS_URL": self.store.url,
            "PORT": str(self.port),
            **self.secrets,
            **self._environ,
        }

    async def web_ready(self, *, within: float = READY) -> None:
        """Until /readyz says yes."""
        async with httpx.AsyncClient(trust_env=False, timeout=5) as client:

            async def ready() -> bool:
                try:
                    return (await client.get(f"{self.url}/readyz")).status_code == 200
                except httpx.TransportError:
                    return False

            await eventually(ready, within=within, what="the receiver is ready")

    async def worker_ready(self, process: Process, known: set[bytes]) -> None:
        """Until a worker that is not among `known` says that it lives."""

        async def lives() -> bool:
            if not process.alive:
                raise AssertionError(f"the worker ended at its start ({process.popen.returncode})")
            return bool(set(await self._workers()) - known)

        await eventually(lives, within=READY, what="the worker lives")

    async def _workers(self) -> list[bytes]:
        return list(await self.redis.zrange(self.keys.workers, 0, -1))

    # The store -------------------------------------------------------------------------------------

    async def kill_store(self) -> None:
        """SIGKILL the server, as a crash would."""
        assert self.store.process is not None
        self.store.process.kill()
        await asyncio.to_thread(self.store.process.wait, 10)

    async def start_store(self) -> None:
        """Start it again with its data, under the same address."""
        await asyncio.to_thread(self.store.start)

    async def held(self, *, until: float = float("inf")) -> tuple[set[str], set[str]]:
        """Ids of the events under a lease: while they were enriched or routed, and while they were sent to `hooks`.

        `until`: only leases that end by then (wall clock, seconds).
        """
        keys = (self.keys.leased_events, self.keys.leased_deliveries("hooks"))
        found = [await self.redis.zrangebyscore(key, "-inf", until * 1000) for key in keys]
        events, sent = [{one.decode() for one in ids} for ids in found]
        return events, sent

    async def left(self) -> int:
        """How many accepted events have work left."""
        return int(await self.redis.zcard(self.keys.open))

    async def settled(self, *, within: float) -> None:
        """Until no event has work left."""

        async def empty() -> bool:
            return await self.left() == 0

        await eventually(empty, within=within, what="no accepted event has work left")


async def _json(method: str, url: str, body: Any, **headers: str) -> Any:
    async with httpx.AsyncClient(trust_env=False, timeout=30) as client:
        response = await client.request(method, url, json=body, headers=headers)
    assert response.is_success, f"{method} {url}: {response.status_code} {response.text}"
    return response.json()


def _token_name(portal: str) -> str:
    return f"{portal.upper()}_REFRESH_TOKEN"


def _fernet_key() -> str:
    return base64.urlsafe_b64encode(secrets.token_bytes(32)).decode()


def _toml(table: Mapping[str, Any]) -> str:
    return "".join(f"{name} = {_value(value)}\n" for name, value in table.items())


def _value(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{name} = {_value(inner)}" for name, inner in value.items()) + " }"
    return json.dumps(value)  # texts, numbers, flags and lists are written alike in TOML
