"""`relay init`: what it writes works, holds no secret in the open, and replaces nothing unasked."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from relay.cli import exits
from relay.cli.first_config import EVENTS, Answers, PortalAnswer, SourceAnswer, TargetAnswer, written
from relay.cli.main import app
from relay.settings import Settings, load, load_mapping
from relay.settings.values import is_reference
from relay.signing import check_secrets

SLACK = "https://hooks.slack.com/services/T00000000/B00000000/XXXXXXXXXXXXXXXXXXXXXXXX"


@pytest.fixture(autouse=True)
def nowhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """An empty folder, and nothing of ours in the environment."""
    for name in list(os.environ):
        if name.startswith("RELAY_") or name in ("REDIS_URL", "PORT"):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def init(*arguments: str, answers: str | None = None, env: dict[str, str] | None = None) -> Any:
    return CliRunner().invoke(app, ["init", *arguments], input=answers, env=env, prog_name="relay")


def loaded() -> Settings:
    return load(dict(os.environ))


def test_the_simulator_needs_no_answer(nowhere: Path) -> None:
    """One line makes a configuration that loads, with everything the simulator says of itself; the next is named."""
    result = init("--yes", "--simulator", "http://127.0.0.1:8799", "--json")
    assert result.exit_code == exits.OK, result.output
    told = json.loads(result.stdout)
    assert told["config"] == str(nowhere / "config/relay.toml")
    assert told["findings"] == []
    settings = loaded()
    portal = settings.portals["bistro"]
    assert (portal.id, portal.api_url, bool(portal.feeds)) == (4100001, "http://127.0.0.1:8799", True)
    assert settings.targets["ops-slack"].type == "slack"
    assert check_secrets(settings.sources["planday"]) == []
    commands = [one["command"] for one in told["next"]]
    assert commands[0] == "relay simulator --port 8799 --emit-to http://127.0.0.1:8000/in/planday"
    assert "relay check --connect" in commands
    assert commands[-1].startswith("relay trigger planday.shift.updated --set subject=shift/70010045")


def test_all_that_is_asked_has_a_default(nowhere: Path) -> None:
    """Enter, again and again: a file that loads, with a sender and its fresh secret, and the rest as comments."""
    result = init(answers="\n" * 20)
    assert result.exit_code == exits.OK, result.output
    settings = loaded()
    assert (list(settings.portals), list(settings.sources), list(settings.targets)) == ([], ["planday"], [])
    text = (nowhere / "config/relay.toml").read_text(encoding="utf-8")
    assert "# [portals.main]" in text
    assert "# [targets.ops-slack]" in text
    assert "targets: there are none: nothing is sent" in result.stderr


def test_an_answer_that_cannot_work_is_asked_for_again(nowhere: Path) -> None:
    """With what is wrong with it; what is right then stands in the file, and secrets in files that only we can read."""
    given = [
        "nowhere",
        "planday",
        "an app",
        "5b1f",
        "abc",
        "4100001",
        "My_Place",
        "harbour",
        "to ken",
        "the-token",
        "n",
    ]
    given += ["none", "pigeon", "slack", "ftp://x", SLACK, "ops", "planday.shfit.*", "planday.shift.*, relay.*"]
    result = init(answers="\n".join(given) + "\n")
    assert result.exit_code == exits.OK, result.output
    for fault in (
        "one of planday, simulator",
        "that is one word",
        "must be a whole number",
        "a name may not hold underscores",
        "one of slack, teams, webhook, none",
        "a URL starts with https://",
        "did you mean planday.shift.*?",
    ):
        assert fault in result.stderr
    settings = loaded()
    portal, target = settings.portals["harbour"], settings.targets["ops"]
    assert portal.refresh_token is not None
    assert (portal.id, portal.feeds, portal.refresh_token.reveal()) == (4100001, (), "the-token")
    assert (target.type, target.events) == ("slack", ("planday.shift.*", "relay.*"))
    assert not settings.sources
    folder = nowhere / "config/secrets"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    secrets = {one.name: one for one in folder.iterdir() if one.name != ".gitignore"}
    assert set(secrets) == {"harbour-token", "ops-url"}
    assert {stat.S_IMODE(one.stat().st_mode) for one in secrets.values()} == {0o600}
    everything = (nowhere / "config/relay.toml").read_text(encoding="utf-8")
    assert "the-token" not in everything
    assert "hooks.slack.com/services/T0" not in everything
    assert (folder / ".gitignore").read_text(encoding="utf-8") == "*\n"


def test_nothing_is_replaced_unasked(nowhere: Path) -> None:
    """Not with --yes, not by Enter; --overwrite and a yes keep what was there under another name."""
    assert init("--yes").exit_code == exits.OK
    config, secret = nowhere / "config/relay.toml", nowhere / "config/secrets/planday-source"
    before = (config.read_bytes(), secret.read_bytes())
    refused = init("--yes")
    assert (refused.exit_code, "--overwrite" in refused.stderr) == (exits.FAILED, True)
    assert init(answers="\n").exit_code == exits.FAILED
    assert (config.read_bytes(), secret.read_bytes()) == before
    assert init("--yes", "--overwrite", "--simulator", "http://127.0.0.1:8710").exit_code == exits.OK
    assert config.read_bytes() != before[0]
    assert (nowhere / "config/relay.toml.old").read_bytes() == before[0]
    old = nowhere / "config/secrets/planday-source.old"
    assert (old.read_bytes(), stat.S_IMODE(old.stat().st_mode)) == (before[1], 0o600)


def test_an_end_before_the_last_answer_writes_nothing(nowhere: Path) -> None:
    """As Ctrl-C does, or a script that says too little."""
    result = init(answers="planday\n")
    assert result.exit_code == exits.INTERRUPTED
    assert "nothing was written" in result.stderr
    assert list(nowhere.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--app-id", "x", "--portal-id", "1", "--token", "the-token"), "others can see the command line"),
        (("--portal-id", "1"), "--app-id: is needed"),
        (("--app-id", "x"), "--portal-id: is needed"),
        (("--target", "slack", "--url", SLACK), "others can see the command line"),
        (("--target", "webhook", "--url", "https://10.0.0.1/x"), "is not a public address"),
        (("--url", "https://pay.example/x"), "--target: is needed"),
        (("--simulator", "https://planday.example"), "the simulator runs on this machine"),
        (("--source", "My_Sender"), "a name may not hold underscores"),
    ],
)
def test_an_option_that_cannot_work_is_usage(nowhere: Path, arguments: tuple[str, ...], says: str) -> None:
    """Exit code 2 with the option's name; no secret that came by the command line is repeated; nothing is written."""
    result = init("--yes", *arguments)
    assert result.exit_code == exits.USAGE
    assert says in result.stderr
    assert "the-token" not in result.output
    assert list(nowhere.iterdir()) == []


def test_a_script_gives_secrets_by_reference(nowhere: Path) -> None:
    """env: and file: are written as they are, and - reads standard input; each is read only when it is used."""
    result = init(
        *("--yes", "--app-id", "5b1f", "--portal-id", "4100001", "--token", "-", "--no-feeds", "--source", "none"),
        *("--target", "slack", "--url", "env:SLACK_WEBHOOK_URL", "--events", "planday.shift.*"),
        answers="the-token\n",
        env={"SLACK_WEBHOOK_URL": SLACK},
    )
    assert result.exit_code == exits.OK, result.output
    text = (nowhere / "config/relay.toml").read_text(encoding="utf-8")
    assert 'url = "env:SLACK_WEBHOOK_URL"' in text
    assert (nowhere / "config/secrets/main-token").read_text(encoding="utf-8") == "the-token\n"
    settings = load({"SLACK_WEBHOOK_URL": SLACK})
    assert settings.targets["ops-slack"].url.reveal() == SLACK


def test_a_place_of_ones_own_is_told(nowhere: Path) -> None:
    """A file elsewhere is found only by RELAY_CONFIG, so that this is the first step."""
    told = json.loads(init("--yes", "--config", "elsewhere/my relay.toml", "--json").stdout)
    assert told["next"][0]["command"] == f"export RELAY_CONFIG='{nowhere}/elsewhere/my relay.toml'"


TEXTS = st.text(min_size=1, max_size=40)
NAMES = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,10}[a-z0-9])?", fullmatch=True)


PORTALS = st.builds(
    PortalAnswer, name=NAMES, id=st.integers(1, 10**9), app_id=TEXTS, token=st.none() | TEXTS, feeds=st.booleans()
)
SOURCES = st.builds(SourceAnswer, name=NAMES, secret=TEXTS)
TARGETS = st.builds(
    TargetAnswer,
    name=NAMES,
    type=st.sampled_from(sorted(EVENTS)),
    url=TEXTS.map(lambda text: f"https://pay.example/{text}"),
    events=st.just(("planday.*",)),
    secret=TEXTS,
    local=st.booleans(),
)


@given(answers=st.builds(Answers, portal=st.none() | PORTALS, source=st.none() | SOURCES, target=st.none() | TARGETS))
def test_whatever_is_answered_is_read_back_as_it_was(answers: Answers) -> None:
    """Quotes, backslashes, line breaks and control characters come back out of the file as they went in."""
    import tomllib

    made = written(answers, is_reference=is_reference)
    body = tomllib.loads(made.text)
    settings = load_mapping(body, environ={}, role="store")
    assert (set(settings.portals), set(settings.sources), set(settings.targets)) == (
        {answers.portal.name} if answers.portal else set(),
        {answers.source.name} if answers.source else set(),
        {answers.target.name} if answers.target else set(),
    )
    if answers.portal:
        assert body["portals"][answers.portal.name]["client_id"] == answers.portal.app_id
    for value in made.secrets.values():
        assert not is_reference(value)
