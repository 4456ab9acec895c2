"""Where an operator sees incidents: the API, /readyz, /metrics, the commands; and a whole worker that tells of one."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from openapi_schema_validator import OAS31Validator
from typer.testing import CliRunner

from relay.cli.main import app
from relay.services import open_services
from relay.settings import load, load_mapping
from relay.store.cipher import FernetCipher
from relay.store.client import command
from relay.store.server import EmbeddedServer
from relay.web.openapi import document
from relay.worker import WorkerProcess
from tests.integration.web_world import TOKEN, web_over
from tests.servers import Server, answer

SECRET = "whsec_" + "c2VjcmV0LWZvci10ZXN0cy1vbmx5LTEyMzQ="
LOCAL = {"allow_networks": ["127.0.0.0/8"], "allow_http": True, "signing_secret": "env:SIGNING", "type": "webhook"}


def fits(body: Any, schema: str) -> None:
    OAS31Validator({**document()["components"]["schemas"][schema], "components": document()["components"]}).validate(
        body
    )


async def until(holds: Any, *, seconds: float = 20.0) -> None:
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "it did not happen in time"
        await asyncio.sleep(0.02)


async def test_a_worker_tells_of_a_paused_target_and_calls_for_help_where_nobody_hears(
    redis_server: str, prefix: str, tmp_path: Path
) -> None:
    """The whole way: timer, watch, event, routing, a signed POST; and the heartbeat when the alert is not taken."""
    FernetCipher.load_or_make(tmp_path)
    async with Server(answer(202)) as server:
        body = {
            "relay": {"key_prefix": prefix},
            "targets": {
                "hours": {**LOCAL, "url": f"{server.url}/hours", "events": ["planday.*"]},
                "ops": {**LOCAL, "url": f"{server.url}/ops", "events": ["relay.*"]},
            },
            "alerts": {
                "heartbeat_url": f"{server.url}/ping",
                "heartbeat_allow_networks": ["127.0.0.0/8"],
                "heartbeat_allow_http": True,
            },
        }
        environ = {
            "REDIS_URL": redis_server,
            "SIGNING": SECRET,
            "RELAY_DATA_DIR": str(tmp_path),
            "RELAY_ADMIN_TOKEN": TOKEN,
        }
        loaded = load_mapping(body, environ=environ)
        async with web_over(loaded, worker=True) as web:
            services = web.services
            assert (await web.get("/alerts")).json() == {"incidents": [], "workers": 0}
            await services.store.pause("hours", now=services.clock(), by="cli:lisa", reason="a word of Lisa's")
            worker = WorkerProcess(services)
            running = asyncio.create_task(worker.run(signals=False))
            try:
                await until(
                    lambda: {"POST /ops HTTP/1.1", "GET /ping HTTP/1.1"} <= {one.line for one in server.received}
                )
                alert = next(one for one in server.received if one.line.startswith("POST"))
                told = json.loads(alert.body)
                assert (told["type"], told["source"]) == ("relay.target.paused", "urn:planday-relay")
                assert "relay targets resume hours" in told["data"]["object"]["summary"]
                assert b"isa" not in alert.body.replace(b"isation", b"")

                shown = (await web.get("/alerts")).json()
                fits(shown, "Incidents")
                (incident,) = shown["incidents"]
                assert (incident["incident"], incident["event"]) == ("target_paused:hours", told["id"])
                assert shown["workers"] == 1
                stats = (await web.get("/stats")).json()
                fits(stats, "Stats")
                assert stats["incidents"][0]["summary"] == told["data"]["object"]["summary"]
                ready = (await web.client.get("/readyz")).json()
                fits(ready, "Readiness")
                assert [one["incident"] for one in ready["incidents"]] == ["target_paused:hours"]
                metrics = (await web.client.get("/metrics", headers=dict(web.bearer))).text
                assert 'planday_relay_incident{kind="target_paused"} 1.0' in metrics.splitlines()
                assert 'planday_relay_alerts_total{type="relay.target.paused"} 1.0' in metrics.splitlines()
            finally:
                worker.stop("the test is over")
                await asyncio.wait_for(running, 20)


@pytest.fixture
def environ(tmp_path: Path) -> Iterator[dict[str, str]]:
    (tmp_path / "relay.toml").write_text("", encoding="utf-8")
    found = {"RELAY_CONFIG": str(tmp_path / "relay.toml"), "RELAY_DATA_DIR": str(tmp_path / "data")}
    with EmbeddedServer(tmp_path / "data", appendfsync="everysec"):
        yield found


def test_the_command_lists_what_is_open(environ: dict[str, str]) -> None:
    """Exit code 3 for any, and where no worker runs; the sentences for people, all of it for programs."""

    async def prepare(paused: bool) -> None:
        async with open_services(load(environ, role="worker"), worker=True) as services:
            now = services.clock()
            await services.store.heartbeat(now=now, life=60, worker="w:1")
            if paused:
                await services.store.pause("hours", now=now, by="relay", reason="it refuses us (401)")
                await command(services.store.client, "SADD", services.keys.targets, "hours")
            assert services.watch is not None
            await services.watch.look()

    nobody = CliRunner().invoke(app, ["alerts"], env=environ)
    assert nobody.exit_code == 3
    assert "no worker runs" in nobody.stderr
    asyncio.run(prepare(paused=False))
    calm = CliRunner().invoke(app, ["alerts"], env=environ)
    assert (calm.exit_code, calm.stdout, calm.stderr) == (0, "", "no incident is open\n")
    asyncio.run(prepare(paused=True))
    shown = CliRunner().invoke(app, ["alerts"], env=environ)
    assert shown.exit_code == 3
    assert "target_paused:hours" in shown.stdout
    assert "it refuses us (401)" in shown.stdout
    assert "no target took the alert" in shown.stdout
    found = json.loads(CliRunner().invoke(app, ["alerts", "--json"], env=environ).stdout)
    assert [one["incident"] for one in found["incidents"]] == ["target_paused:hours"]
    assert "Target hours was paused by the relay" in CliRunner().invoke(app, ["stats"], env=environ).stdout


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ('heartbeat_url = "http://hc.example/x"', "alerts.heartbeat_url: "),
        ('heartbeat_url = "https://127.0.0.1/x"', "alerts.heartbeat_url: "),
        ('heartbeat_url = "env:NOT_THERE"', "alerts.heartbeat_url: the environment variable NOT_THERE is not set"),
        ('heartbeat_fail_url = "https://hc.example/x"', "heartbeat_fail_url without heartbeat_url"),
    ],
)
def test_a_heartbeat_that_can_never_be_called_is_found_by_check(tmp_path: Path, settings: str, says: str) -> None:
    """By name, with what would let it through; its URL is not repeated."""
    (tmp_path / "relay.toml").write_text(f"[alerts]\n{settings}\n", encoding="utf-8")
    result = CliRunner().invoke(app, ["check"], env={"RELAY_CONFIG": str(tmp_path / "relay.toml")})
    assert result.exit_code == 2
    assert says in result.stderr
    assert "/x" not in result.stderr
