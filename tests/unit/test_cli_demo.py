"""The demo's configuration, script and judgement, without its processes."""

from __future__ import annotations

from datetime import UTC, datetime
from fnmatch import fnmatchcase
from pathlib import Path

import pytest

from relay.cli.demo import checks, stage, voice
from relay.cli.demo.checks import Check, Evidence
from relay.cli.demo.script import FAILING, REFUSED, SILENT, STEPS, TWICE
from relay.cli.demo.standins import Arrival
from relay.settings import load

AT = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)


@pytest.fixture
def demo_stage(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> stage.Stage:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    monkeypatch.setenv("REDIS_URL", "redis://production/0")
    monkeypatch.setenv("RELAY_CONFIG", "/etc/relay.toml")
    return stage.build(None)


def test_the_stage_sees_nothing_of_this_machine(demo_stage: stage.Stage) -> None:
    """No Redis, no configuration and no port of the environment reaches the demo or its processes."""
    assert "REDIS_URL" not in demo_stage.environ
    assert demo_stage.environ["RELAY_CONFIG"] == str(demo_stage.folder / "relay.toml")
    assert demo_stage.settings.store.url is None
    demo_stage.clear()
    assert not demo_stage.folder.exists()


def test_the_configuration_follows_the_ports(demo_stage: stage.Stage) -> None:
    """Every address of the configuration is the simulator's, and the receiver has the port that is told."""
    settings = demo_stage.settings
    assert demo_stage.receiver.endswith(f":{settings.relay.port}")
    assert {portal.api_url for portal in settings.portals.values()} == {demo_stage.simulator}
    for target in settings.targets.values():
        assert target.url.reveal().startswith(f"{demo_stage.simulator}/")
    again = load(demo_stage.environ)
    assert again.sources["planday"].secrets[0].reveal().startswith("whsec_")
    demo_stage.clear()


def test_the_story_has_at_least_six_kinds_for_both(demo_stage: stage.Stage) -> None:
    """Before anything runs: enough kinds of event, in both portals, for Slack and for payroll."""
    verbs = {"shift edit": "updated"}
    types = {
        f"planday.{step.entity}.{verbs.get(f'{step.entity} {step.action}', _verb(step.action))}"
        for step in (*STEPS, TWICE, FAILING, REFUSED)
    }
    assert {step.portal for step in STEPS} == {step.portal for step in SILENT} == {4100001, 4100002}
    assert all(portal.feeds for portal in demo_stage.settings.portals.values())
    for target in demo_stage.settings.targets.values():
        taken = {one for one in types if any(fnmatchcase(one, pattern) for pattern in target.events)}
        assert len(taken) >= checks.KINDS_AT_LEAST
    demo_stage.clear()


def _verb(action: str) -> str:
    words = {"publish": "published", "start": "started", "end": "ended"}
    return words.get(action, action + ("d" if action.endswith("e") else "ed"))


def test_a_missed_expectation_is_seen() -> None:
    """One wrong number makes the whole demo fail, and says which."""
    good, bad = Check("a", 1, 1), Check("b", [], ["MARKER-F"])
    assert Evidence(counts={}, checks=(good,)).ok
    evidence = Evidence(counts={}, checks=(good, bad))
    assert not evidence.ok
    assert evidence.as_json()["checks"][1] == {"name": "b", "expected": [], "got": ["MARKER-F"], "ok": False}


@pytest.mark.parametrize(
    ("arrival", "words"),
    [
        ({"where": "Slack", "body": {"text": "Shift approved\n*Ida*"}}, "Slack    Shift approved · Ida"),
        ({"where": "payroll", "accepted": False, "status": 503}, "payroll  answers 503 to attempt 1"),
        (
            {
                "where": "payroll",
                "headers": {"planday-relay-attempt": "3"},
                "body": {
                    "type": "planday.shift.approved",
                    "employeeid": "7",
                    "relayorigin": "derived",
                    "data": {"object": None},
                },
            },
            "payroll  shift.approved  employee 7  found by the feed   attempt 3, the same key",
        ),
        (
            {
                "where": "payroll",
                "headers": {"planday-relay-replay": "plan_1"},
                "body": {
                    "type": "planday.punchclock_entry.ended",
                    "data": {"object": {"startDateTime": "2026-11-24T08:00", "endDateTime": "2026-11-24T16:00"}},
                },
            },
            "2026-11-24 08:00 to 2026-11-24 16:00   attempt 1, replayed, the same key",
        ),
    ],
)
def test_an_arrival_is_one_line(arrival: dict[str, object], words: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Where, how long after the change, and what a person or a payroll system reads of it."""
    values = {"at": AT.replace(microsecond=41_000), "accepted": True, "status": 202, "body": {}, "headers": {}}
    voice.Voice().arrival(AT, Arrival(**{**values, **arrival}))  # type: ignore[arg-type]
    told = capsys.readouterr().out
    assert "41 ms" in told
    assert told.rstrip().endswith(words)
