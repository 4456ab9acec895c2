"""The processes of a bench: an own store, the simulator, the relay's web and worker, and the bare route."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import httpx

from relay.store.server import EmbeddedServer

SOURCE_SECRET = "whsec_YmVuY2gtc291cmNlLXNlY3JldC1iZW5jaC1zb3VyY2U="  # noqa: S105 (made up for the bench)
SIGNING_SECRET = "whsec_YmVuY2gtc2lnbmluZy1zZWNyZXQtYmVuY2gtc2lnbmluZw=="  # noqa: S105 (made up for the bench)
PORTAL = 4100001


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Stage:
    """Starts processes in a folder of their own and ends those that it started."""

    def __init__(self, folder: Path, *, sink_port: int, simulator_url: str | None = None) -> None:
        self.folder = folder
        self.web_port = free_port()
        self.store = EmbeddedServer(folder / "store", appendfsync="everysec")
        self._sink_port = sink_port
        self._simulator_url = simulator_url
        self._processes: dict[str, subprocess.Popen[bytes]] = {}

    def write_config(self) -> None:
        portal = ""
        if self._simulator_url:
            from relay.simulator.identity import CLIENT_ID

            portal = f"""
[portals.bistro]
id = {PORTAL}
client_id = "{CLIENT_ID}"
refresh_token = "env:BENCH_REFRESH_TOKEN"
api_url = "{self._simulator_url}"
identity_url = "{self._simulator_url}"
allow_networks = ["127.0.0.0/8"]
"""
        (self.folder / "relay.toml").write_text(
            f"""
[relay]
port = {self.web_port}
backlog_limit = 5000000

[sources.bench]
secrets = ["env:BENCH_SOURCE_SECRET"]
{portal}
[targets.sink]
type = "webhook"
url = "http://127.0.0.1:{self._sink_port}/hook"
signing_secret = "env:BENCH_SIGNING_SECRET"
events = ["planday.*"]
allow_networks = ["127.0.0.0/8"]
allow_http = true
rate = {{ concurrency = 100 }}
""",
            encoding="utf-8",
        )

    def environment(self) -> Mapping[str, str]:
        from relay.simulator.identity import REFRESH_TOKENS

        kept = {name: value for name, value in os.environ.items() if not name.startswith(("RELAY_", "REDIS_"))}
        return {
            **kept,
            "RELAY_CONFIG": str(self.folder / "relay.toml"),
            "RELAY_DATA_DIR": str(self.folder / "store"),
            "RELAY_LOG_FORMAT": "json",
            "BENCH_SOURCE_SECRET": SOURCE_SECRET,
            "BENCH_SIGNING_SECRET": SIGNING_SECRET,
            "BENCH_REFRESH_TOKEN": REFRESH_TOKENS[PORTAL],
        }

    def start(self, name: str, *command: str) -> subprocess.Popen[bytes]:
        log = (self.folder / f"{name}.log").open("ab")
        process = subprocess.Popen(
            [sys.executable, "-m", *command], env=dict(self.environment()), stdout=log, stderr=log, cwd=Path.cwd()
        )
        log.close()
        self._processes[name] = process
        return process

    async def start_web(self) -> None:
        self.start("web", "relay.cli.main", "web")
        await answers(f"http://127.0.0.1:{self.web_port}/healthz")

    def start_worker(self) -> None:
        self.start("worker", "relay.cli.main", "worker")

    def stop(self, name: str) -> None:
        process = self._processes.pop(name)
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(40)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def close(self) -> None:
        for name in list(self._processes):
            self.stop(name)
        self.store.stop()

    def memory(self) -> dict[str, float]:
        """Resident MiB of each process."""
        return {name: _resident(process.pid) for name, process in self._processes.items()}


def _resident(pid: int) -> float:
    try:
        for line in Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) / 1024
    except OSError:
        pass
    return float("nan")


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
