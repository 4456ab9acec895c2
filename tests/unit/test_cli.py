"""The command line as a whole: what it offers, what it refuses, and which exit code an error ends in."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from relay.cli import exits, opened, out, portals, replay, silence
from relay.cli.doubts import unknown_pattern
from relay.cli.group import NOT_BUILT
from relay.cli.main import app
from relay.errors import (
    BacklogFull,
    ConfigError,
    Fault,
    NotFoundError,
    PlandayUnavailable,
    RefusedError,
    StoreError,
    StoreUnavailable,
    StoreUnfit,
)
from relay.replay import REPLAYABLE
from relay.settings import Portal, load_mapping
from relay.settings.environ import SECTIONS

SURFACE = {
    *("demo", "up", "web", "worker", "simulator", "check", "trigger"),
    *("alerts", "stats", "catalog", "migrate", "version"),
    *("erase", "audit list"),
    *("report", "backup", "restore"),
    *("tokens create", "tokens list", "tokens revoke", "hash-password"),
    *("init", "listen", "events tail"),
    *("events list", "events show", "events explain"),
    *("deliveries list", "deliveries show", "deliveries retry", "deliveries release", "deliveries cancel"),
    *("replay plan", "replay run", "replay status", "replay list", "replay pause", "replay resume", "replay cancel"),
    *("targets list", "targets test", "targets preview", "targets pause", "targets resume", "targets rotate-secret"),
    *(
        "portals list",
        "portals check",
        "portals look",
        "portals set-token",
        "portals connect",
        "quarantine list",
        "quarantine show",
        "quarantine retry",
        "quarantine drop",
        "config show",
        "config schema",
    ),
}
# What these print is not a value: they stay, and print a log.
WITHOUT_JSON = {"up", "web", "worker"}


@pytest.fixture(autouse=True)
def nowhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A folder without a configuration and a store, and none in the environment."""
    for name in list(os.environ):
        if name.startswith("RELAY_") or name in ("REDIS_URL", "PORT"):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def relay(*arguments: str) -> Any:
    return CliRunner().invoke(app, list(arguments), prog_name="relay")


def commands() -> Iterator[tuple[str, Any]]:
    root = typer.main.get_command(app)
    for name, one in root.commands.items():  # type: ignore[attr-defined]
        if hasattr(one, "commands"):
            yield from ((f"{name} {inner}", command) for inner, command in one.commands.items())
        else:
            yield name, one


def test_every_command_of_this_release_is_there() -> None:
    """The surface of this release, no more and no less."""
    assert {name for name, _ in commands()} == SURFACE


@pytest.mark.parametrize("name", sorted(SURFACE))
def test_every_help_has_an_example(name: str) -> None:
    """`--help` ends in examples that start with the command itself."""
    result = relay(*name.split(), "--help")
    assert result.exit_code == 0
    _, _, examples = result.stdout.partition("Example")
    assert f"relay {name}" in examples


@pytest.mark.parametrize("name", sorted(SURFACE - WITHOUT_JSON))
def test_what_prints_values_prints_json(name: str) -> None:
    """Every command that prints something offers --json."""
    assert "--json" in relay(*name.split(), "--help").stdout


@pytest.mark.parametrize(
    "name", sorted(f"{group} {one}".strip() for group, names in NOT_BUILT.items() for one in names)
)
def test_what_is_not_built_yet_is_refused(name: str) -> None:
    """A name of the surface that is not there yet: one clear line with what there is instead, exit code 2."""
    result = relay(*name.split(), "--whatever")
    assert result.exit_code == exits.USAGE
    (line,) = result.stderr.splitlines()
    assert line.startswith(f"error: `relay {name}` is not built yet in this release; instead: ")
    assert result.stdout == ""


def test_help_loads_nothing_heavy() -> None:
    """`relay --help` answers at once: no client, server or settings library is imported for it."""
    code = (
        "import sys; from relay.cli.main import app\n"
        "heavy = {'redis', 'arq', 'httpx', 'aiohttp', 'starlette', 'uvicorn', 'pydantic', 'rich', 'jmespath'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ConfigError([Fault("a", "b")]), 2),
        (StoreError("no store is running"), 2),
        (StoreUnfit("appendonly is no"), 2),
        (StoreUnavailable("no answer"), 1),
        (BacklogFull("full"), 1),
        (NotFoundError("no event"), 4),
        (RefusedError("not now"), 1),
        (PlandayUnavailable("later"), 1),
        (KeyboardInterrupt(), 130),
        (ZeroDivisionError(), None),
    ],
)
def test_each_error_has_its_exit_code(error: BaseException, code: int | None) -> None:
    """One table says how an error ends; what nobody expected shows its traceback."""
    assert exits.code_of(error) == code


def test_every_state_that_can_be_replayed_is_offered() -> None:
    """The command knows no more and no fewer than the planner."""
    assert tuple(replay.Replayable) == REPLAYABLE


def test_without_a_store_the_remedy_is_named() -> None:
    """No embedded store runs and no REDIS_URL is set: exit code 2, and what to do."""
    result = relay("events", "list")
    assert result.exit_code == exits.USAGE
    assert "start `relay up`, or set REDIS_URL" in result.stderr
    assert str(Path.cwd() / ".relay") in result.stderr
    assert result.stdout == ""


def test_every_fault_of_the_configuration_is_named_with_its_path(nowhere: Path) -> None:
    """All at once, one a line, on stderr; the secret that was written out is not repeated."""
    (nowhere / "config").mkdir()
    (nowhere / "config" / "relay.toml").write_text(
        '[sources.a]\nsecrets = ["hunter2-hunter2"]\n[portals.b]\nid = 0\n[nonsense]\n', encoding="utf-8"
    )
    result = relay("check")
    assert result.exit_code == exits.USAGE
    lines = result.stderr.splitlines()
    assert any(line.startswith("  sources.a.secrets") for line in lines)
    assert any(line.startswith("  portals.b.id: ") for line in lines)
    assert any(line.startswith("  nonsense: ") for line in lines)
    assert "hunter2" not in result.stderr


def test_check_sees_what_loading_does_not(nowhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Secrets of the wrong form, addresses that the guard refuses and templates that do not exist are faults too."""
    (nowhere / "relay.toml").write_text(
        """
[sources.a]
secrets = ["env:A_SECRET"]
[sources.b]
verify = "none"
map = { type = "kind" }
[targets.inside]
type = "webhook"
url = "https://127.0.0.1/hook"
signing_secret = "env:A_SECRET"
events = ["planday.*"]
[targets.chat]
type = "slack"
url = "https://hooks.example/x"
events = ["planday.*"]
template = "nope"
""",
        encoding="utf-8",
    )
    monkeypatch.setenv("RELAY_CONFIG", str(nowhere / "relay.toml"))
    monkeypatch.setenv("A_SECRET", "not-a-standard-webhooks-secret")
    result = relay("check")
    assert result.exit_code == exits.USAGE
    for place in ("sources.a.secrets", "sources.b.map.subject", "targets.inside", "targets.chat.template"):
        assert f"  {place}" in result.stderr, result.stderr


def test_no_configuration_is_no_good_configuration(nowhere: Path) -> None:
    """Nothing is configured, so nothing can come in: exit code 2, and where it was looked for."""
    result = relay("check")
    assert result.exit_code == exits.USAGE
    assert f"there is no {nowhere / 'config' / 'relay.toml'}; nothing can be received" in result.stderr
    assert result.stdout == ""


def test_what_a_shell_lacks_is_asked_after_once(nowhere: Path) -> None:
    """Several missing variables most likely have one cause."""
    (nowhere / "relay.toml").write_text('[sources.a]\nsecrets = ["env:A", "env:B"]\n', encoding="utf-8")
    result = CliRunner().invoke(app, ["check"], env={"RELAY_CONFIG": str(nowhere / "relay.toml")})
    assert result.stderr.count("the environment variable") == 2
    assert result.stderr.count("has this shell read") == 1


def test_a_file_that_is_not_there_is_named_whole() -> None:
    """Whatever folder the command runs in, the reader can find what was looked for."""
    result = CliRunner().invoke(app, ["check"], env={"RELAY_CONFIG": "nope.toml"})
    assert result.exit_code == exits.USAGE
    assert f"{Path.cwd() / 'nope.toml'}: there is no such file" in result.stderr


def test_doubts_are_warnings(nowhere: Path) -> None:
    """What can be loaded and is most likely wrong is told with what was meant; alone it does not fail the check."""
    (nowhere / "relay.toml").write_text(
        """
[sources.a]
verify = "none"
[targets.chat]
type = "slack"
url = "https://hooks.slack.com/services/T0/B0/x"
events = ["planday.shfit.*", "acme.thing.made"]
changed = ["startDateTime"]
""",
        encoding="utf-8",
    )
    environ = {"RELAY_CONFIG": str(nowhere / "relay.toml")}
    result = CliRunner().invoke(app, ["check", "--json"], env=environ)
    assert result.exit_code == exits.OK
    told = json.loads(result.stdout)
    assert {one["level"] for one in told["findings"]} == {"warning"}
    found = {one["where"]: one for one in told["findings"]}
    assert set(found) == {"portals", "alerts", "targets.chat.events", "targets.chat.changed", "targets.chat.url"}
    assert found["targets.chat.events"]["remedy"] == "did you mean planday.shift.*?"
    assert "hooks.slack.com/services" not in result.stdout
    assert "all is well" not in CliRunner().invoke(app, ["check"], env=environ).stderr


@pytest.mark.parametrize(
    ("pattern", "meant"),
    [
        ("planday.shift.*", None),
        ("*", None),
        ("*.approved", None),
        ("planday.shfit.*", "planday.shift.*"),
        ("planday.shift.aproved", "planday.shift.approved"),
        ("planday.shift", "planday.shift.*"),
        ("shift.updated", "planday.shift.updated"),
        ("shift.*", "planday.shift.*"),
        ("plandy.shift.updated", "planday.shift.updated"),
        ("planday.zebra.*", ""),
        ("acme.thing.made", None),
        ("sevenshifts.time_punch.edited", None),
    ],
)
def test_a_pattern_that_fits_nothing_is_doubted(pattern: str, meant: str | None) -> None:
    """The nearest type is named; types that are a sender's own are left alone."""
    found = unknown_pattern(pattern)
    if meant == "":
        assert found is not None
    else:
        assert found == meant


def test_a_cursor_that_is_none_is_refused() -> None:
    """Usage, before a store is asked."""
    for command in ("events", "deliveries"):
        result = relay(command, "list", "--cursor", "abc")
        assert result.exit_code == exits.USAGE
        assert "cursor" in result.stderr


@pytest.mark.parametrize("arguments", [("evt_1",), ("evt_1", "hours"), ("evt_1", "--reason", "x")])
def test_a_cancellation_needs_a_target_and_a_reason(arguments: tuple[str, ...]) -> None:
    """Both are usage: nothing is asked of the store."""
    assert relay("deliveries", "cancel", *arguments).exit_code == exits.USAGE
    assert relay("deliveries", "cancel", "evt_1:hours", "--reason", " ").exit_code == exits.USAGE


@pytest.mark.parametrize(
    ("told", "said"),
    [
        ("the store does not answer: Error 111 connecting to localhost:6399. Connection refused.", "nothing listens"),
        ("the store does not answer: Error -2 connecting to redis:6379. Name or service not known.", "no host of that"),
        ("the store did not answer (TimeoutError)", "no answer in time"),
    ],
)
def test_a_silent_store_is_told_in_plain_words(told: str, said: str) -> None:
    """The setting that names it, what it means for senders, and the next step; no number of an error."""
    settings = load_mapping({}, environ={"REDIS_URL": "redis://:hunter2@localhost:6399"}, role="store")
    found = silence.words(settings, told)
    assert found.startswith("the store that REDIS_URL names does not answer: ")
    assert said in found
    assert "503" in found
    assert "next: " in found
    assert "Err" not in found
    assert silence.words(settings, "the store refuses writes (OOM)") == "the store refuses writes (OOM)"
    assert "relay up" in silence.words(load_mapping({}, environ={}, role="store"), told)


def test_a_wrong_secret_is_named_before_anything_is_sent(nowhere: Path) -> None:
    """`trigger` finds what `check` would, with its path."""
    (nowhere / "relay.toml").write_text('[sources.planday]\nsecrets = ["env:A_SECRET"]\n', encoding="utf-8")
    environ = {"RELAY_CONFIG": str(nowhere / "relay.toml"), "A_SECRET": "not-whsec"}
    result = CliRunner().invoke(app, ["trigger", "planday.shift.updated"], env=environ)
    assert result.exit_code == exits.USAGE
    assert "  sources.planday.secrets: a Standard Webhooks secret starts with whsec_" in result.stderr


def test_the_simulator_refuses_production() -> None:
    """One line and exit code 2, no traceback."""
    result = CliRunner().invoke(app, ["simulator", "--port", "0"], env={"RELAY_ENV": "production"})
    assert result.exit_code == exits.USAGE
    assert "RELAY_ENV" in result.stderr
    assert "Traceback" not in result.output


@pytest.mark.parametrize(
    ("text", "setting"),
    [
        ("/portal/v1.0/info: 127.0.0.1: connection refused", "portals.bistro.api_url (http://127.0.0.1:1)"),
        ("/connect/token: no answer in time", "portals.bistro.identity_url (http://127.0.0.1:2)"),
        ("no worker answered", ""),
    ],
)
def test_what_leads_to_planday_is_named(text: str, setting: str) -> None:
    """A path of Planday's means nothing to an operator; the setting that holds its host does."""
    portal = Portal.model_validate(
        {
            "id": 1,
            "client_id": "x",
            "refresh_token": "env:X",
            "api_url": "http://127.0.0.1:1",
            "identity_url": "http://127.0.0.1:2",
        }
    )
    row = portals._failed("bistro", portal, PlandayUnavailable(text))
    assert setting in portals.finding(row)
    assert ("remedy" in row) == bool(setting)


def test_a_good_configuration_is_well(nowhere: Path) -> None:
    """`check` says what is configured, exit code 0."""
    (nowhere / "relay.toml").write_text('[sources.open]\nverify = "none"\n', encoding="utf-8")
    result = CliRunner().invoke(app, ["check", "--json"], env={"RELAY_CONFIG": str(nowhere / "relay.toml")})
    assert result.exit_code == exits.OK
    assert json.loads(result.stdout)["sources"] == ["open"]


def test_config_show_masks_secrets(nowhere: Path) -> None:
    """Secrets are shown as their references, as lines and as JSON; `schema` prints JSON Schema."""
    (nowhere / "relay.toml").write_text('[sources.a]\nsecrets = ["env:A_SECRET"]\n', encoding="utf-8")
    environ = {"RELAY_CONFIG": str(nowhere / "relay.toml"), "A_SECRET": "whsec_hunter2"}
    lines = CliRunner().invoke(app, ["config", "show"], env=environ)
    assert 'sources.a.secrets = ["env:A_SECRET"]' in lines.stdout.splitlines()
    assert "hunter2" not in lines.output
    assert json.loads(CliRunner().invoke(app, ["config", "show", "--json"], env=environ).stdout)["sources"]["a"]
    schema = json.loads(relay("config", "schema", "--json").stdout)
    assert set(SECTIONS) == set(schema["properties"])


def test_version_names_the_release() -> None:
    """Text for people, JSON for programs."""
    project = tomllib.loads(Path(__file__).parents[2].joinpath("pyproject.toml").read_text(encoding="utf-8"))
    assert json.loads(relay("version", "--json").stdout)["version"] == project["project"]["version"]
    assert relay("version").stdout.startswith("planday-relay ")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-03-01T08:00:00Z", 1772352000.0),
        ("2026-03-01T09:00:00+01:00", 1772352000.0),
        ("2026-03-01 08:00:00", 1772352000.0),
        (None, None),
    ],
)
def test_a_time_can_be_written_out(text: str | None, expected: float | None) -> None:
    """RFC 3339 with any offset; without one it is UTC, as in the tables that it may be copied from."""
    assert opened.moment(text) == expected


def test_a_time_can_be_an_age() -> None:
    """`2h` is two hours before now."""
    assert opened.moment("2h", now=10_000.0) == 2800.0


def test_a_time_that_is_none_is_refused() -> None:
    """Usage, not a traceback."""
    result = relay("events", "list", "--since", "yesterday")
    assert result.exit_code == exits.USAGE
    assert "yesterday" in result.stderr


def test_a_cell_cannot_steer_a_terminal() -> None:
    """Senders' words are shown, their escape sequences and line breaks are not obeyed."""
    assert out.cell("a\x1b[31mb\nc") == "a\\x1b[31mb\\nc"
    assert out.cell({"k": [1, None]}) == '{"k":[1,null]}'
    assert (out.cell(None), out.cell(True), out.cell(("a", "b")), out.cell(1.5)) == ("", "yes", "a, b", "1.5")


def test_a_table_is_plain_where_nobody_looks(capsys: pytest.CaptureFixture[str]) -> None:
    """Piped: no colour, no folding however long a cell is, nothing behind the last column."""
    out.table(("state", "text"), [("dead", "[bold]x[/bold] " + "y" * 300), ("delivered", "z")])
    lines = capsys.readouterr().out.splitlines()
    assert lines[1] == "dead       [bold]x[/bold] " + "y" * 300
    assert lines[2] == "delivered  z"
    out.table(("state",), [], empty="nothing here")
    assert capsys.readouterr() == ("", "nothing here\n")
