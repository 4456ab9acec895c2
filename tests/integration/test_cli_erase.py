"""`relay erase` and `relay audit` against an embedded store, as an operator runs them."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Iterator
from pathlib import Path

import pydantic_core
import pytest
from typer.testing import CliRunner, Result

from relay.cli.main import app
from relay.events import DeliveryState, Event, Outcome, event_id
from relay.services import Order, Services
from relay.store.rewriting import search_files
from relay.store.server import EmbeddedServer
from relay.store.work import Finished
from tests.integration.test_cli import CONFIG, LANE, PORTAL, in_services, settle_all

EMPLOYEE, OTHER = "910233", "910299"
EMAIL = "sofie.jensen@bistro.example"
THEIRS, WAITING = event_id("planday", "theirs"), event_id("planday", "waiting")


@pytest.fixture
def environ(tmp_path: Path) -> Iterator[dict[str, str]]:
    """A running embedded store: of one person a delivered event and one that waits; one of somebody else."""
    (tmp_path / "relay.toml").write_text(CONFIG + PORTAL, encoding="utf-8")
    found = {"RELAY_CONFIG": str(tmp_path / "relay.toml"), "RELAY_DATA_DIR": str(tmp_path / "data"), "USER": "anna"}
    with EmbeddedServer(tmp_path / "data", appendfsync="everysec"):
        asyncio.run(in_services(found, fill))
        yield found


async def fill(services: Services) -> None:
    for sender_id, employee in (("theirs", EMPLOYEE), ("other", OTHER)):
        await routed(services, sender_id, employee)
    await settle_all(services, DeliveryState.DELIVERED, Outcome.DELIVERED)
    await routed(services, "waiting", EMPLOYEE)


async def routed(services: Services, sender_id: str, employee: str) -> None:
    """One event about a person, through the verbs of the store, as a worker would."""
    store, now = services.store, services.clock()
    event = Event(
        id=event_id("planday", sender_id),
        source="planday",
        sender_id=sender_id,
        type="planday.employee.updated",
        portal=4100001,
        entity="employee",
        entity_id=employee,
        received_at=now,
    )
    await services.intake.accept([event])
    claim = await store.claim([], now=services.clock(), lease=10, most_events=10, most_deliveries=0)
    person = {"id": int(employee), "firstName": "Sofie", "email": EMAIL if employee == EMPLOYEE else "o@example"}
    data = {"object": person, "enrichment": {"state": "complete", "missing": []}}
    envelope = {"type": event.type, "subject": event.subject, "employeeid": employee, "data": data}
    for one in claim.events:
        body = pydantic_core.to_json(envelope)
        finished = Finished(id=one.id, token=one.token, envelope=body, targets=("hours",), people=(employee,))
        await store.finish(finished, now=services.clock())


@pytest.fixture(autouse=True)
def nowhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Whatever configuration this folder and this shell have, the tests see none of it."""
    for name in list(os.environ):
        if name.startswith("RELAY_") or name in ("REDIS_URL", "PORT"):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


def relay(environ: dict[str, str], *args: str, asked: str | None = None) -> Result:
    return CliRunner().invoke(app, args, env=environ, input=asked)


def test_what_would_go_is_shown_first_then_it_goes_and_is_proven(environ: dict[str, str]) -> None:
    """From the dry run over the question to the proof, the audit, and the way back for who comes again."""
    who = ("--portal", "bistro", "--employee", EMPLOYEE)
    data = Path(environ["RELAY_DATA_DIR"])
    shown = relay(environ, "erase", *who, "--dry-run")
    assert shown.exit_code == 0, shown.output
    assert "STILL TO BE SENT for this person: 1 waiting" in shown.output
    assert WAITING in shown.output
    assert json.loads(relay(environ, "erase", *who, "--dry-run", "--json").stdout)["events"] == 2
    refused = relay(environ, "erase", *who, asked="n\n")
    assert refused.exit_code == 1
    assert search_files(data, lambda chunk: EMAIL.encode() in chunk)[1], "nothing was changed"

    done = relay(environ, "erase", *who, "--yes", "--reason", "request 17", "--json")
    assert done.exit_code == 0, done.output
    result = json.loads(done.stdout)["result"]
    assert result["proven"]
    assert (result["events"], result["deliveries_cancelled"], result["left"]) == (2, 1, 0)
    assert search_files(data, lambda chunk: EMAIL.encode() in chunk or EMPLOYEE.encode() in chunk)[1] == []
    skeleton = json.loads(relay(environ, "events", "show", THEIRS, "--json").stdout)
    assert skeleton["subject"].startswith("employee/erased-")
    assert skeleton["envelope"] is None
    assert relay(environ, "deliveries", "retry", THEIRS, "hours", "--force", "--reason", "x").exit_code == 1
    other = relay(environ, "events", "show", event_id("planday", "other"), "--json")
    assert json.loads(other.stdout)["envelope"]["data"]["object"]["id"] == int(OTHER)

    acts = json.loads(relay(environ, "audit", "list", "--act", "erase", "--json").stdout)["acts"]
    assert [(one["by"], one["reason"], one["result"]) for one in acts] == [("cli:anna", "request 17", "proven")]
    assert acts[0]["on"].startswith("bistro:erased-")
    assert "request 17" in relay(environ, "audit", "list", "--since", "1h").stdout

    assert relay(environ, "erase", *who, "--undo").exit_code == 2, "only with a reason"
    assert relay(environ, "erase", *who, "--undo", "--reason", "hired again").exit_code == 0
    assert relay(environ, "erase", *who, "--undo", "--reason", "hired again").exit_code == 4


def test_a_worker_goes_on_with_what_lost_its_process(environ: dict[str, str]) -> None:
    """Begun, and broken off before anything was done: a worker's timer carries it out."""

    async def begin(services: Services) -> None:
        order = Order(portal="bistro", portal_id=4100001, employee=EMPLOYEE, by="cli:anna")
        begun.append(await services.keeping.erasures.begin(order))

    async def tick(services: Services) -> None:
        await services.keeping.tick(stopping=lambda: False)
        found.append(await services.keeping.erasures.status(begun[0]))

    begun: list[str] = []
    found: list[dict[str, object]] = []
    asyncio.run(in_services(environ, begin))
    asyncio.run(in_services(environ, tick))
    assert found[0]["state"] == "ended"
    data = Path(environ["RELAY_DATA_DIR"])
    assert search_files(data, lambda chunk: EMAIL.encode() in chunk)[1] == []


def test_a_typing_mistake_is_told(environ: dict[str, str]) -> None:
    """Neither an unknown portal nor something that is no id is taken."""
    unknown = relay(environ, "erase", "--portal", "bistor", "--employee", EMPLOYEE, "--dry-run")
    assert unknown.exit_code == 4
    assert "there is no portal bistor" in unknown.output
    assert relay(environ, "erase", "--portal", "bistro", "--employee", EMAIL, "--dry-run").exit_code == 2


def test_every_act_is_in_the_audit(environ: dict[str, str]) -> None:
    """What an operator does, with who and why; a page at a time."""
    assert relay(environ, "targets", "pause", "hours", "--reason", "they move").exit_code == 0
    assert relay(environ, "targets", "resume", "hours").exit_code == 0
    assert relay(environ, "deliveries", "cancel", WAITING, "hours", "--reason", "wrong").exit_code == 0
    assert relay(environ, "deliveries", "retry", WAITING, "hours").exit_code == 0
    page = json.loads(relay(environ, "audit", "list", "--limit", "3", "--json").stdout)
    rest = json.loads(relay(environ, "audit", "list", "--cursor", page["cursor"], "--json").stdout)
    acts = [*page["acts"], *rest["acts"]]
    assert [(one["act"], one["on"], one["reason"]) for one in acts] == [
        ("deliveries.retry", f"{WAITING}:hours", ""),
        ("deliveries.cancel", f"{WAITING}:hours", "wrong"),
        ("targets.resume", "hours", ""),
        ("targets.pause", "hours", "they move"),
    ]
    assert {one["by"] for one in acts} == {"cli:anna"}
    assert rest["cursor"] is None
    assert LANE.target == "hours"
