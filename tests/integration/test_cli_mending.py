"""`relay targets rotate-secret`, `relay quarantine retry` and `drop`, as a person types them."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from relay.cli.main import app
from relay.services import Services, open_services
from relay.settings import load
from relay.store.server import EmbeddedServer
from relay.store.shelf import Quarantined
from tests.integration.test_rotation import age

CONFIG = """
[sources.shifts]
secrets = ["env:TEST_SOURCE_SECRET"]
map = { type = "kind", subject = "['shift', nr]", portalid = "`4100001`", id = "uuid" }
[targets.hours]
type = "webhook"
url = "https://payroll.example/hooks"
signing_secret = "env:TEST_SIGNING_SECRET"
events = ["planday.*", "relay.*"]
"""
SECRET = "whsec_" + "c2VjcmV0LWZvci10ZXN0cy1vbmx5LTEyMzQ="


@pytest.fixture(scope="module")
def environ(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """A running embedded store, and the secrets of a worker."""
    folder = tmp_path_factory.mktemp("mending")
    (folder / "relay.toml").write_text(CONFIG, encoding="utf-8")
    with EmbeddedServer(folder / "data", appendfsync="everysec"):
        yield {
            "RELAY_CONFIG": str(folder / "relay.toml"),
            "RELAY_DATA_DIR": str(folder / "data"),
            "TEST_SIGNING_SECRET": SECRET,
            "TEST_SOURCE_SECRET": SECRET,
        }


@pytest.fixture(autouse=True)
def nowhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Whatever configuration this folder and this shell have, the tests see none of it."""
    for name in list(os.environ):
        if name.startswith("RELAY_") or name in ("REDIS_URL", "PORT"):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def relay(environ: dict[str, str]) -> Callable[..., Result]:
    """`relay ...` in this environment."""
    return lambda *arguments: CliRunner().invoke(app, list(arguments), prog_name="relay", env=environ)


def told(result: Result) -> Any:
    """What a command printed as JSON."""
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def test_a_secret_is_rotated(relay: Callable[..., Result], environ: dict[str, str]) -> None:
    """The secret alone on stdout, once; list and check say that it is under way, since when, and what to do."""
    begun = relay("targets", "rotate-secret", "hours")
    assert (begun.exit_code, begun.stdout[:6], len(begun.stdout)) == (0, "whsec_", 51)
    assert "shown only this once" in begun.stderr
    secret = begun.stdout.strip()
    listed = relay("targets", "list")
    assert "its signing secret is being rotated since" in listed.stderr
    assert "relay targets rotate-secret hours --finish" in listed.stderr
    checked = relay("check", "--connect", "--json")
    (finding,) = (one for one in json.loads(checked.stdout)["findings"] if "rotated" in one["message"])
    assert (finding["level"], finding["where"]) == ("warning", "targets.hours")
    again = relay("targets", "rotate-secret", "hours")
    assert (again.exit_code, again.stdout) == (1, "")
    assert "is under way already" in again.stderr
    young = relay("targets", "rotate-secret", "hours", "--finish")
    assert (young.exit_code, "has just begun" in young.stderr) == (1, True)
    within(environ, age)
    assert told(relay("targets", "rotate-secret", "hours", "--finish", "--json"))["secret"] is None
    assert "a secret that rotate-secret made signs, not the configured one" in relay("targets", "list").stderr
    remedies = [one["remedy"] for one in json.loads(relay("check", "--connect", "--json").stdout)["findings"]]
    assert "put it into targets.hours.signing_secret as well, and restart the workers" in remedies
    acts = told(relay("audit", "list", "--act", "targets.rotate-secret", "--json"))["acts"]
    assert [(one["act"], one["result"]) for one in acts] == [
        ("targets.rotate-secret --finish", "finished"),
        ("targets.rotate-secret", "under way"),
    ]
    everything = "".join(one.output for one in (listed, checked, again)) + json.dumps(acts)
    assert secret not in everything


def test_a_rotation_is_given_up(relay: Callable[..., Result]) -> None:
    """Nothing is under way then; only one of the two ends at a time."""
    assert told(relay("targets", "rotate-secret", "hours", "--json"))["secret"].startswith("whsec_")
    assert relay("targets", "rotate-secret", "hours", "--finish", "--abort").exit_code == 2
    assert relay("targets", "rotate-secret", "hours", "--abort").exit_code == 0
    refused = relay("targets", "rotate-secret", "hours", "--abort")
    assert refused.exit_code == 1
    assert "no rotation of hours's signing secret is under way. Nothing was changed" in refused.stderr
    assert relay("targets", "rotate-secret", "nobody").exit_code == 4


def test_what_was_quarantined_is_read_again_or_dropped(relay: Callable[..., Result], environ: dict[str, str]) -> None:
    """By the map that is there now; what is still wrong is said, with exit code 1."""
    fill(environ, qua_1='{"kind": "planday.shift.updated", "nr": 7, "uuid": "u-1"}', qua_2='{"nr": 8}', qua_3="{")
    read = relay("quarantine", "retry", "--all", "--source", "shifts")
    assert read.exit_code == 1
    rows = {line.split()[0]: line for line in read.stdout.splitlines()[1:]}
    assert "evt_" in rows["qua_1"]
    assert "still unreadable: map.type finds nothing in this body" in rows["qua_2"]
    assert "still unreadable: the body is not JSON" in rows["qua_3"]
    assert [one["id"] for one in told(relay("quarantine", "list", "--json"))["quarantine"]] == ["qua_3", "qua_2"]
    one = relay("quarantine", "retry", "qua_2", "--json")
    assert (one.exit_code, json.loads(one.stdout)["results"][0]["ok"]) == (1, False)
    fill(environ, qua_4='{"kind": "planday.shift.updated", "nr": 7, "uuid": "u-1"}')
    (again,) = told(relay("quarantine", "retry", "qua_4", "--json"))["results"]
    assert [event["duplicate"] for event in again["events"]] == [True]
    assert relay("quarantine", "drop", "qua_2", "--reason", "a test").stderr == "dropped: 1\n"
    assert told(relay("quarantine", "drop", "--all", "--reason", "a test", "--json")) == {"dropped": 1}
    assert relay("quarantine", "retry", "--all").exit_code == 0
    for arguments, code in (
        (("retry",), 2),
        (("retry", "qua_1", "--all"), 2),
        (("retry", "qua_1", "--source", "shifts"), 2),
        (("retry", "--all", "--source", "shfts"), 4),
        (("retry", "qua_1"), 4),
        (("drop", "qua_1"), 2),
        (("drop", "qua_1", "--reason", "a test"), 4),
        (("drop", "--all", "--reason", ""), 1),
    ):
        result = relay("quarantine", *arguments)
        assert (result.exit_code, result.stdout) == (code, ""), (arguments, result.output)


def fill(environ: dict[str, str], **bodies: str) -> None:
    """Put bodies of the source into the quarantine."""

    async def put(services: Services) -> None:
        for id_, body in bodies.items():
            one = Quarantined(id=id_, source="shifts", at=1.0, reason="?", content_type="application/json", body=body)
            await services.shelf.quarantine(one, most=10)

    within(environ, put)


def within(environ: dict[str, str], act: Callable[[Services], Awaitable[None]]) -> None:
    """Do something with the services of another process."""

    async def run() -> None:
        async with open_services(load(environ, role="store"), worker=False) as services:
            await act(services)

    asyncio.run(run())
