"""The commands that read and act on the store, against a real one that another process could own."""

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
from relay.events import Attempt, DeliveryState, Event, Outcome, event_id
from relay.services import Services, open_services
from relay.settings import load
from relay.store.server import EmbeddedServer
from relay.store.shelf import Quarantined
from relay.store.work import Finished, Lane, Settled

CONFIG = """
[sources.planday]
verify = "none"
[targets.hours]
type = "webhook"
url = "https://payroll.example/hooks"
signing_secret = "env:TEST_SIGNING_SECRET"
events = ["planday.*"]
"""
PORTAL = """
[portals.bistro]
id = 4100001
client_id = "an-app"
refresh_token = "env:TEST_TOKEN"
"""
LANE = Lane(target="hours", concurrency=10, per_second=None, burst=1, limiter="hours", dedupes=True)
EVENT = event_id("planday", "sender-1")
UNROUTED = event_id("planday", "sender-2")


@pytest.fixture(scope="module")
def environ(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """A running embedded store with one dead delivery, one unrouted event and one body in quarantine."""
    folder = tmp_path_factory.mktemp("cli")
    (folder / "relay.toml").write_text(CONFIG, encoding="utf-8")
    found = {"RELAY_CONFIG": str(folder / "relay.toml"), "RELAY_DATA_DIR": str(folder / "data")}
    with EmbeddedServer(folder / "data", appendfsync="everysec"):
        asyncio.run(in_services(found, fill))
        yield found


async def in_services(environ: dict[str, str], act: Callable[[Services], Awaitable[None]]) -> None:
    settings = load(environ, role="store")
    async with open_services(settings, worker=False) as services:
        await act(services)


def event(sender_id: str, subject: str, now: float) -> Event:
    return Event(
        id=event_id("planday", sender_id),
        source="planday",
        sender_id=sender_id,
        type="planday.shift.approved",
        portal=4100001,
        entity="shift",
        entity_id=subject,
        received_at=now,
    )


async def fill(services: Services) -> None:
    """Through the verbs of the store, as a worker would."""
    store, now = services.store, services.clock()
    await services.intake.accept([event("sender-1", "1", now), event("sender-2", "2", now)])
    claim = await store.claim([LANE], now=services.clock(), lease=10, most_events=10, most_deliveries=10)
    envelope = b'{"type":"planday.shift.approved","data":{"enrichment":{"state":"complete"}}}'
    for one in claim.events:
        targets = ("hours",) if one.id == EVENT else ()
        finished = Finished(id=one.id, token=one.token, envelope=envelope, targets=targets)
        await store.finish(finished, now=services.clock())
    await settle_all(services, DeliveryState.DEAD, Outcome.REJECTED)
    body = Quarantined(
        id="q_1", source="planday", at=now, reason="not JSON", content_type="text/plain", body="{\x1b[2J"
    )
    await services.shelf.quarantine(body, most=10)


async def settle_all(services: Services, state: DeliveryState, outcome: Outcome) -> None:
    now = services.clock()
    claim = await services.store.claim([LANE], now=now, lease=10, most_events=10, most_deliveries=10)
    for one in claim.deliveries:
        attempt = Attempt(
            number=one.attempt, started_at=now, ended_at=now, outcome=outcome, reason="they said so", status=422
        )
        await services.store.settle(
            Settled(id=one.id, target=one.target, token=one.token, state=state, reason="refused", attempt=attempt),
            now=now,
        )


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


def test_events_are_listed_shown_and_explained(relay: Callable[..., Result]) -> None:
    """By filter, by page, one whole, and in sentences."""
    listed = told(relay("events", "list", "--json"))
    assert {row["id"] for row in listed["events"]} == {EVENT, UNROUTED}
    assert listed["cursor"] is None
    assert [row["id"] for row in told(relay("events", "list", "--state", "unrouted", "--json"))["events"]] == [UNROUTED]
    first = told(relay("events", "list", "--limit", "1", "--json"))
    second = told(relay("events", "list", "--limit", "1", "--cursor", first["cursor"], "--json"))
    assert {page["events"][0]["id"] for page in (first, second)} == {EVENT, UNROUTED}
    assert told(relay("events", "list", "--since", "1h", "--until", "30m", "--json"))["events"] == []
    shown = told(relay("events", "show", EVENT, "--json"))
    assert (shown["state"], shown["deliveries"][0]["target"]) == ("routed", "hours")
    assert relay("events", "show", EVENT).stdout.startswith("id ")
    sentences = told(relay("events", "explain", EVENT, "--json"))["sentences"]
    assert sentences == relay("events", "explain", EVENT).stdout.splitlines()
    assert any("hours: given up" in one for one in sentences)


def test_lists_are_tables_for_people(relay: Callable[..., Result]) -> None:
    """A heading, a line per row on stdout; what else there is to say on stderr."""
    result = relay("events", "list", "--limit", "1")
    assert result.stdout.splitlines()[0].split() == [
        "accepted", "(UTC)", "event", "type", "subject", "portal", "state", "targets"
    ]  # fmt: skip
    assert len(result.stdout.splitlines()) == 2
    assert result.stderr.startswith("more: add --cursor ")


def test_what_is_not_there_is_exit_code_4(relay: Callable[..., Result]) -> None:
    """One line on stderr, nothing on stdout."""
    for arguments in (
        ("events", "show", "evt_nope"),
        ("events", "explain", "evt_nope"),
        ("deliveries", "show", "evt_nope"),
        ("deliveries", "show", "evt_nope", "hours"),
        ("deliveries", "retry", "evt_nope", "hours"),
        ("deliveries", "retry", UNROUTED),
        ("replay", "run", "plan_nope"),
        ("replay", "status", "plan_nope"),
        ("quarantine", "show", "q_nope"),
        ("targets", "pause", "nope"),
        ("targets", "resume", "nope"),
    ):
        result = relay(*arguments)
        assert (result.exit_code, result.stdout) == (4, ""), (arguments, result.output)
        assert result.stderr.startswith("error: ")


def test_a_target_that_nobody_knows_is_not_found(relay: Callable[..., Result]) -> None:
    """A typing mistake is not an empty list: exit code 4, and which there are."""
    for arguments in (("events", "list"), ("deliveries", "list"), ("replay", "plan")):
        result = relay(*arguments, "--target", "huors")
        assert (result.exit_code, result.stdout) == (4, ""), (arguments, result.output)
        assert "there is no target huors; there are hours" in result.stderr


def test_dead_deliveries_are_found_and_counted(relay: Callable[..., Result]) -> None:
    """The list, one with its attempts, the totals, and an exit code for monitoring."""
    (row,) = told(relay("deliveries", "list", "--state", "dead", "--json"))["deliveries"]
    assert (row["event"], row["target"], row["attempts"]) == (EVENT, "hours", 1)
    shown = told(relay("deliveries", "show", EVENT, "hours", "--json"))
    assert shown == told(relay("deliveries", "show", f"{EVENT}:hours", "--json"))
    assert (shown["tried"][0]["status"], shown["tried"][0]["outcome"]) == (422, "rejected")
    assert "422" in relay("deliveries", "show", EVENT).stdout
    stats = told(relay("stats", "--json"))
    assert (stats["totals"]["accepted"], stats["targets"]["hours"]["dead"]) == (2, 1)
    assert relay("stats", "--fail-on-dead").exit_code == 3


def test_targets_are_paused_and_resumed(relay: Callable[..., Result]) -> None:
    """The list says so; resuming twice is no failure."""
    assert told(relay("targets", "pause", "hours", "--reason", "books close", "--json"))["state"] == "paused"
    (row,) = told(relay("targets", "list", "--json"))["targets"]
    assert (row["state"], row["paused"], row["url"]) == ("paused", "books close", "https://payroll.example/***")
    assert told(relay("targets", "resume", "hours", "--json"))["changed"] is True
    assert told(relay("targets", "resume", "hours", "--json"))["changed"] is False
    assert "hours" in relay("targets", "list").stdout
    paused = relay("targets", "pause", "hours")
    assert (paused.stdout, paused.stderr) == ("", "hours is paused\n"), "the answer alone, no log line beside it"
    assert "relay replay plan --target hours" in relay("targets", "resume", "hours").stderr, "one delivery is dead"


def test_what_was_quarantined_is_shown_without_its_escapes(relay: Callable[..., Result]) -> None:
    """The list leaves the body out; shown for people it cannot steer the terminal, as JSON it is exact."""
    (row,) = told(relay("quarantine", "list", "--json"))["quarantine"]
    assert (row["id"], "body" in row) == ("q_1", False)
    assert "not JSON" in relay("quarantine", "list").stdout
    assert "\x1b" not in relay("quarantine", "show", "q_1").stdout
    assert told(relay("quarantine", "show", "q_1", "--json"))["body"] == "{\x1b[2J"


def test_migrate_has_nothing_to_do(relay: Callable[..., Result]) -> None:
    """This is the first format."""
    assert told(relay("migrate", "--json")) == {"format": 1, "migrated": False}
    assert relay("migrate").exit_code == 0


def test_portals_are_listed_without_a_store(relay: Callable[..., Result], tmp_path: Path) -> None:
    """It is a question to the configuration."""
    result = CliRunner().invoke(app, ["portals", "list", "--json"], env={"RELAY_DATA_DIR": str(tmp_path)})
    assert told(result) == {"portals": []}
    assert told(relay("portals", "check", "--json")) == {"ok": True, "portals": []}
    (tmp_path / "relay.toml").write_text(PORTAL, encoding="utf-8")
    alone = {"RELAY_CONFIG": str(tmp_path / "relay.toml"), "RELAY_DATA_DIR": str(tmp_path)}
    (row,) = told(CliRunner().invoke(app, ["portals", "list", "--json"], env=alone))["portals"]
    assert (row["name"], row["authorisation"]) == ("bistro", None)


async def lose(services: Services) -> None:
    await services.shared.save_token(4100001, {"lost_since": "1790000000.0", "lost_why": "refused"})


def test_a_lost_authorisation_is_told_where_one_looks(environ: dict[str, str], tmp_path: Path) -> None:
    """Its events wait without end, so the list of portals and the totals say so."""
    (tmp_path / "relay.toml").write_text(PORTAL, encoding="utf-8")
    environ = {**environ, "RELAY_CONFIG": str(tmp_path / "relay.toml")}
    asyncio.run(in_services(environ, lose))
    listed = CliRunner().invoke(app, ["portals", "list"], env=environ)
    assert "lost" in listed.stdout.splitlines()[-1].split()
    assert "relay portals set-token" in listed.stderr
    stats = CliRunner().invoke(app, ["stats"], env=environ)
    assert "bistro  lost" in stats.stdout
    assert told(CliRunner().invoke(app, ["stats", "--json"], env=environ))["portals"] == {"bistro": "lost"}


def test_a_plan_is_made_shown_and_run_once(relay: Callable[..., Result], environ: dict[str, str]) -> None:
    """Nothing is sent by a plan; run a second time it is refused; a retry opens what is dead again."""
    plan = told(relay("replay", "plan", "--target", "hours", "--json"))
    assert (plan["total"], plan["states"]) == (1, ["dead"])
    assert "nothing was sent yet" in relay("replay", "plan", "--state", "dead", "--state", "cancelled").stderr
    assert relay("replay", "plan", "--force").exit_code == 1
    assert told(relay("replay", "run", plan["id"], "--json"))["state"] == "running"
    again = relay("replay", "run", plan["id"])
    assert (again.exit_code, "started before" in again.stderr) == (1, True)
    status = relay("replay", "status", plan["id"])
    assert "0 of 1" in status.stdout
    assert plan["id"] in [one["id"] for one in told(relay("replay", "status", "--json"))["plans"]]
    listed = {line.split()[2]: line.split()[3] for line in relay("replay", "status").stdout.splitlines()[1:]}
    assert listed[plan["id"]] == "running"
    # No worker runs here, so the delivery is still dead: a person may send it again.
    relay("targets", "pause", "hours", "--reason", "books close")
    opened = relay("deliveries", "retry", EVENT)
    assert (opened.exit_code, "waiting" in opened.stdout) == (0, True)
    assert "hours is paused (books close), so this waits until: relay targets resume hours" in opened.stderr
    relay("targets", "resume", "hours")
    asyncio.run(in_services(environ, lambda services: settle_all(services, DeliveryState.DELIVERED, Outcome.DELIVERED)))
    assert relay("deliveries", "retry", EVENT, "hours").exit_code == 1
    forced = relay("deliveries", "retry", EVENT, "hours", "--force", "--reason", "they lost it")
    assert (forced.exit_code, "waiting" in forced.stdout) == (0, True)
    assert relay("deliveries", "cancel", EVENT, "hours").exit_code == 2
    ended = told(relay("deliveries", "cancel", EVENT, "hours", "--reason", "they found it", "--json"))
    assert ended["state"] == "cancelled"
    assert relay("deliveries", "retry", EVENT, "hours").exit_code == 0


def test_the_time_of_the_next_try_is_listed(relay: Callable[..., Result]) -> None:
    """Where something waits, a list says until when, in UTC."""
    lines = relay("deliveries", "list").stdout.splitlines()
    assert "next try (UTC)" in lines[0]
    at = lines[0].index("next try (UTC)")
    assert any(line[at : at + 4].isdigit() for line in lines[1:]), lines


def test_totals_say_since_when(relay: Callable[..., Result]) -> None:
    """What was counted since the beginning is not what is there now."""
    blocks = [block.splitlines() for block in relay("stats").stdout.split("\n\n")]
    assert [block[0] for block in blocks[:2]] == ["since the beginning", "now"]
    assert any(line.startswith("accepted") for line in blocks[0])
    assert any(line.startswith("open") for line in blocks[1])


def test_check_counts_what_left_the_configuration(environ: dict[str, str], tmp_path: Path) -> None:
    """A delivery of a target that is not configured any more is a finding, with its remedy: exit code 3."""
    (tmp_path / "relay.toml").write_text('[sources.planday]\nverify = "none"\n', encoding="utf-8")
    result = CliRunner().invoke(
        app, ["check", "--connect", "--json"], env={**environ, "RELAY_CONFIG": str(tmp_path / "relay.toml")}
    )
    assert result.exit_code == 3, result.output
    findings = {one["where"]: one for one in json.loads(result.stdout)["findings"]}
    assert findings["targets.hours"]["message"].startswith("1 delivery waits for this target")
    assert findings["workers"]["level"] == "warning"
    assert {"where": "store", "what": "fit to hold events"} in json.loads(result.stdout)["verified"]


def test_a_target_of_a_closed_network_is_a_finding(environ: dict[str, str], tmp_path: Path) -> None:
    """--connect resolves each target's address and asks the guard; nothing is sent."""
    config = CONFIG.replace("payroll.example", "localhost")
    (tmp_path / "relay.toml").write_text(config, encoding="utf-8")
    secret = "whsec_dGVzdC1zb3VyY2Utc2VjcmV0LXRlc3Qtc291cmNlLXM="
    environ = {**environ, "RELAY_CONFIG": str(tmp_path / "relay.toml"), "TEST_SIGNING_SECRET": secret}
    result = CliRunner().invoke(app, ["check", "--connect"], env=environ)
    assert result.exit_code == 3, result.output
    assert "is not a public address (loopback)" in result.stdout
