"""`relay report` and the list of what is parked, as a clerk and an operator use them, against a running store."""

from __future__ import annotations

import asyncio
import csv
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from relay.cli.main import app
from relay.events import Attempt, DeliveryState, Event, Outcome, event_id, idempotency_key
from relay.services import Services, open_services
from relay.settings import load
from relay.store.server import EmbeddedServer
from relay.store.work import Finished, Lane, Settled

CONFIG = """
[sources.planday]
verify = "none"
[targets.hours]
type = "webhook"
url = "https://payroll.example/hooks"
signing_secret = "env:TEST_SIGNING_SECRET"
events = ["planday.*"]
dedupes = false
"""
LANE = Lane(target="hours", concurrency=10, per_second=None, burst=1, limiter="hours", dedupes=False)
ENDS = (DeliveryState.DELIVERED, DeliveryState.DELIVERED, DeliveryState.DEAD, DeliveryState.PARKED)
EVENTS = tuple(event_id("planday", f"s{number}") for number in range(len(ENDS)))


@pytest.fixture(scope="module")
def environ(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """A running embedded store with two delivered events, a dead and a parked one."""
    folder = tmp_path_factory.mktemp("report")
    (folder / "relay.toml").write_text(CONFIG, encoding="utf-8")
    found = {"RELAY_CONFIG": str(folder / "relay.toml"), "RELAY_DATA_DIR": str(folder / "data")}
    with EmbeddedServer(folder / "data", appendfsync="everysec"):
        asyncio.run(fill(found))
        yield found


async def fill(environ: dict[str, str]) -> None:
    async with open_services(load(environ, role="store"), worker=False) as services:
        for number, state in enumerate(ENDS):
            await deliver(services, number, state)


async def deliver(services: Services, number: int, state: DeliveryState) -> None:
    """One event all the way to its end."""
    now = services.clock()
    one = Event(
        id=EVENTS[number],
        source="planday",
        sender_id=f"s{number}",
        type="planday.shift.approved",
        portal=4100001,
        entity="shift",
        entity_id=str(number),
        received_at=now,
    )
    await services.intake.accept([one])
    envelope = b'{"type":"planday.shift.approved","data":{"enrichment":{"state":"complete"}}}'
    claim = await services.store.claim([LANE], now=services.clock(), lease=10, most_events=9, most_deliveries=9)
    for event in claim.events:
        finished = Finished(id=event.id, token=event.token, envelope=envelope, targets=("hours",))
        await services.store.finish(finished, now=services.clock())
    claim = await services.store.claim([LANE], now=services.clock(), lease=10, most_events=9, most_deliveries=9)
    outcome = {DeliveryState.DELIVERED: Outcome.DELIVERED, DeliveryState.DEAD: Outcome.REJECTED}
    for sent in claim.deliveries:
        attempt = Attempt(
            number=1,
            started_at=now,
            ended_at=now + 15,
            outcome=outcome.get(state, Outcome.UNKNOWN),
            reason="no answer within 15 s",
            status=200 if state is DeliveryState.DELIVERED else None,
            excerpt="half an answer",
        )
        settled = Settled(
            id=sent.id, target="hours", token=sent.token, state=state, reason="=HYPERLINK(1)", attempt=attempt
        )
        await services.store.settle(settled, now=services.clock())


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


PERIOD = ("--target", "hours", "--from", "yesterday", "--zone", "Europe/Copenhagen")


def test_the_answer_comes_first_and_what_to_do_about_it(relay: Callable[..., Result]) -> None:
    """For a person: what got there, what did not, the command for each, and the days below."""
    result = relay("report", *PERIOD)
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert lines[0].startswith("hours, ")
    assert lines[2] == "Not everything got there: 2 of 4; 1 given up, 1 parked."
    assert "relay replay plan --target hours" in result.stdout
    assert "relay deliveries release" in result.stdout
    assert any(line.split()[:3] == ["total", "4", "2"] for line in lines)


def test_it_tells_scripts_by_its_exit_code(relay: Callable[..., Result]) -> None:
    """3 unless everything got there; a type that had no trouble is whole."""
    assert relay("report", *PERIOD, "--fail-on-open").exit_code == 3
    assert relay("report", *PERIOD, "--fail-on-open", "--type", "planday.employee.*").exit_code == 0


def test_the_list_behind_a_number_can_be_printed(relay: Callable[..., Result]) -> None:
    """With the key, so that it can be looked for at the target; bounded, and it says so."""
    result = relay("report", *PERIOD, "--list", "dead")
    assert EVENTS[2] in result.stdout
    assert idempotency_key(EVENTS[2], "hours") in result.stdout
    result = relay("report", *PERIOD, "--list", "accepted", "--limit", "1", "--json")
    listed = json.loads(result.stdout)["list"]
    assert ([row["event"] for row in listed["rows"]], listed["more"]) == ([EVENTS[0]], 3)


def test_csv_goes_to_a_file_or_to_stdout(relay: Callable[..., Result], tmp_path: Path) -> None:
    """The days, or the whole list; talk stays on stderr, and no cell is a formula."""
    result = relay("report", *PERIOD, "--csv", "-")
    rows = list(csv.DictReader(result.stdout.splitlines()))
    assert [(row["type"], row["accepted"], row["delivered"]) for row in rows] == [("planday.shift.approved", "4", "2")]
    assert "Not everything got there" in result.stderr
    result = relay("report", *PERIOD, "--list", "accepted", "--csv", "list.csv", "--limit", "1")
    assert result.exit_code == 0, result.output
    rows = list(csv.DictReader((tmp_path / "list.csv").read_text(encoding="utf-8").splitlines()))
    assert [row["event"] for row in rows] == list(EVENTS)
    assert {row["reason"] for row in rows} == {"'=HYPERLINK(1)"}


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (("--target", "huors"), 4, "there is no target huors"),
        (("--target", "hours", "--from", "25.11."), 1, "is no day"),
        (("--target", "hours", "--zone", "Mars"), 1, "no time zone"),
        (("--target", "hours", "--list", "lost"), 1, "there is no list"),
        (("--target", "hours", "--csv", "no/such/folder.csv"), 1, "cannot be written"),
        (("--target", "hours", "--csv", "-", "--json"), 2, "both go to stdout"),
        ((), 2, "--target"),
    ],
)
def test_what_makes_no_sense_is_refused(
    relay: Callable[..., Result], arguments: tuple[str, ...], code: int, says: str
) -> None:
    """With what is wrong."""
    result = relay("report", *arguments)
    assert (result.exit_code, says in result.output) == (code, True), result.output


def test_what_is_parked_is_listed_with_its_evidence(relay: Callable[..., Result]) -> None:
    """When it was sent, how it ended, what the target said, and the key to look for."""
    result = relay("deliveries", "list", "--state", "parked")
    for part in (EVENTS[3], "unknown", "half an answer", idempotency_key(EVENTS[3], "hours")):
        assert part in result.stdout
    assert "relay deliveries release" in result.stderr
    (row,) = json.loads(relay("deliveries", "list", "--state", "parked", "--json").stdout)["deliveries"]
    evidence: dict[str, Any] = row["evidence"]
    assert (evidence["outcome"], evidence["seconds"], evidence["excerpt"]) == ("unknown", 15.0, "half an answer")
    dead = json.loads(relay("deliveries", "list", "--state", "dead", "--json").stdout)["deliveries"]
    assert [one["evidence"] for one in dead] == [None]
