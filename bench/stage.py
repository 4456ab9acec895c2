"""The processes of a bench: an own store, the simulator, the relay's web and workers, and the bare route."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

import httpx
import redis.asyncio as aioredis

from bench.sink import Sink
from relay.jobs import Jobs
from relay.store.client import connect
from relay.store.keys import Keys
from relay.store.server import EmbeddedServer
from relay.store.store import Store

SOURCE_SECRET = "whsec_YmVuY2gtc291cmNlLXNlY3JldC1iZW5jaC1zb3VyY2U="  # noqa: S105 (made up for the bench)
SIGNING_SECRET = "whsec_YmVuY2gtc2lnbmluZy1zZWNyZXQtYmVuY2gtc2lnbmluZw=="  # noqa: S105 (made up for the bench)
ADMIN_TOKEN = "bench-admin-token-0123456789-0123456789"  # noqa: S105 (made up for the bench)
PORTAL = 4100001
PLAIN = PORTAL + 7  # not configured: routed without asking Planday
LIMIT = 5_000_000


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Stage:
    """Starts processes in a folder of their own and ends those that it started; an async context manager.

    `targets`: name -> what differs from a webhook target with 100 calls at once that the sink answers at `/hook`.
    """

    def __init__(
        self,
        folder: Path,
        sink: Sink,
        *,
        targets: Mapping[str, str] | None = None,
        simulated: bool = False,
    ) -> None:
        folder.mkdir()
        self.folder = folder
        self.sink = sink
        self.web_port, self.simulator_port = free_port(), free_port()
        self.keys = Keys()
        self.embedded = EmbeddedServer(folder / "store", appendfsync="everysec")
        self._targets = targets or {"sink": target(sink.url())}
        self._simulated = simulated
        self._processes: dict[str, subprocess.Popen[bytes]] = {}

    async def __aenter__(self) -> Self:
        self._write_config()
        await asyncio.to_thread(self.embedded.start)
        self.redis: aioredis.Redis = connect(self.embedded.url, socket_timeout=60)
        bell = Jobs(self.keys.prefix, self.keys.queue).bell
        self.store = Store(self.redis, self.keys, backlog_limit=LIMIT, bell=bell)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.redis.aclose()
        await asyncio.to_thread(self._close)
        if kind is not None:
            for log in sorted(self.folder.glob("*.log")):
                print(f"--- {log.name} ---\n{log.read_text(errors='replace')[-2000:]}", file=sys.stderr)

    def _close(self) -> None:
        for process in self._processes.values():
            process.kill()  # nothing of it is needed any more
            process.wait()
        self.embedded.stop()

    def _write_config(self) -> None:
        portal = ""
        if self._simulated:
            from relay.simulator.identity import CLIENT_ID

            url = f"http://127.0.0.1:{self.simulator_port}"
            portal = f"""
[portals.bistro]
id = {PORTAL}
client_id = "{CLIENT_ID}"
refresh_token = "env:BENCH_REFRESH_TOKEN"
api_url = "{url}"
identity_url = "{url}"
allow_networks = ["127.0.0.0/8"]
"""
        targets = "".join(f"\n[targets.{name}]\n{body}" for name, body in self._targets.items())
        (self.folder / "relay.toml").write_text(
            f"""
[relay]
port = {self.web_port}
shutdown_grace = "60s"
backlog_limit = {LIMIT}

[sources.bench]
secrets = ["env:BENCH_SOURCE_SECRET"]
{portal}{targets}""",
            encoding="utf-8",
        )

    def environment(self) -> dict[str, str]:
        """What the processes are told; nothing of this machine's own relay."""
        from relay.simulator.identity import REFRESH_TOKENS

        kept = {name: value for name, value in os.environ.items() if not name.startswith(("RELAY_", "REDIS_"))}
        return {
            **kept,
            "RELAY_CONFIG": str(self.folder / "relay.toml"),
            "RELAY_DATA_DIR": str(self.folder / "store"),
            "RELAY_LOG_FORMAT": "json",
            "RELAY_ADMIN_TOKEN": ADMIN_TOKEN,
            "BENCH_SOURCE_SECRET": SOURCE_SECRET,
            "BENCH_SIGNING_SECRET": SIGNING_SECRET,
            "BENCH_REFRESH_TOKEN": REFRESH_TOKENS[PORTAL],
        }

    # Processes -----------------------------------------------------------------------------------

    def start(self, name: str, *command: str) -> None:
        """Start a module of ours as a process; its output goes to a file of that name."""
        with (self.folder / f"{name}.log").open("ab") as log:
            self._processes[name] = subprocess.Popen(
                [sys.executable, "-m", *command], env=self.environment(), stdout=log, stderr=log, cwd=Path.cwd()
            )

    def kill(self, name: str) -> None:
        """SIGKILL a process, as a crash would."""
        process = self._processes.pop(name)
        process.kill()
        process.wait()

    async def start_web(self) -> None:
        """The receiver, until it answers."""
        self.start("web", "relay.cli.main", "web")
        await answers(f"http://127.0.0.1:{self.web_port}/healthz")

    async def start_worker(self, name: str = "worker") -> None:
        """A worker, until it says that it lives."""
        known = int(await self.redis.zcard(self.keys.workers))
        self.start(name, "relay.cli.main", "worker")
        end = time.monotonic() + 20
        while int(await self.redis.zcard(self.keys.workers)) <= known:
            if time.monotonic() > end:
                raise RuntimeError(f"{name} did not come up; see {self.folder / name}.log")
            await asyncio.sleep(0.05)

    async def start_simulator(self) -> str:
        """A local Planday with wide limits; its address."""
        self.start("simulator", "relay.simulator", str(self.simulator_port))
        base = f"http://127.0.0.1:{self.simulator_port}"
        await answers(f"{base}/control/state")
        wide = {f"{who}_per_{span}": 300_000 for who in ("portal", "client") for span in ("second", "minute")}
        async with httpx.AsyncClient(base_url=base, trust_env=False) as client:
            (await client.post("/control/settings", json=wide)).raise_for_status()
        return base

    async def quiet(self) -> None:
        """Until the store has rewritten its file: that costs for a while, whatever is measured."""
        for _ in range(1500):
            if not int((await self.redis.info("persistence"))["aof_rewrite_in_progress"]):
                return
            await asyncio.sleep(0.2)
        raise RuntimeError("the store still rewrites its file after five minutes")

    def cpu(self) -> dict[str, float]:
        """Seconds of processor time that each process and the store have used so far."""
        assert self.embedded.process is not None
        pids = {name: process.pid for name, process in self._processes.items()} | {"store": self.embedded.process.pid}
        return {name: _cpu(pid) for name, pid in pids.items()}

    def peak(self, name: str) -> float:
        """The most memory that a process had resident so far, in MiB."""
        lines = Path(f"/proc/{self._processes[name].pid}/status").read_text(encoding="ascii").splitlines()
        return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM:"))


def _cpu(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(") ")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def target(url: str, more: str = "rate = { concurrency = 100 }") -> str:
    """A webhook target that takes everything, as TOML."""
    return f"""type = "webhook"
url = "{url}"
signing_secret = "env:BENCH_SIGNING_SECRET"
events = ["planday.*"]
allow_networks = ["127.0.0.0/8"]
allow_http = true
{more}
"""


async def answers(url: str, *, seconds: float = 20.0) -> None:
    """Wait until something answers 200 there."""
    end = time.monotonic() + seconds
    async with httpx.AsyncClient(trust_env=False) as client:
        while True:
            try:
                if (await client.get(url)).status_code == 200:
                    return
            except httpx.TransportError:
                pass
            if time.monotonic() > end:
                raise RuntimeError(f"{url} did not come up")
            await asyncio.sleep(0.1)


async def listening(port: int, *, seconds: float = 10.0) -> None:
    """Wait until something takes connections there."""
    end = time.monotonic() + seconds
    while True:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            if time.monotonic() > end:
                raise RuntimeError(f"nothing listens on {port}") from None
            await asyncio.sleep(0.05)
        else:
            writer.close()
            return
