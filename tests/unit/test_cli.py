"""The command line as a whole: what it offers, what it refuses, and which exit code an error ends in."""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from relay.cli import exits, opened, out, replay
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

SURFACE = {
    *("demo", "up", "web", "worker", "simulator", "check", "trigger", "stats", "migrate", "version"),
    *("events list", "events show", "events explain"),
    *("deliveries list", "deliveries show", "deliveries retry", "deliveries cancel"),
    *("replay plan", "replay run", "replay status"),
    *("targets list", "targets test", "targets pause", "targets resume"),
    *("portals list", "portals check", "quarantine list", "quarantine show", "config show", "config schema"),
}
# What these print is not a value: they stay, or print a schema or a log.
WITHOUT_JSON = {"up", "web", "worker", "simulator", "config schema"}


@pytest.fixture(autouse=True)
def nowhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A folder without a configuration and a store, and none in the environment."""
    for name in ("REDIS_URL", "PORT", "RELAY_CONFIG", "RELAY_DATA_DIR", "RELAY_ADMIN_TOKEN"):
        monkeypatch.delenv(name, raising=False)
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
    """A name of the surface that is not there yet: one clear line, exit code 2."""
    result = relay(*name.split(), "--whatever")
    assert result.exit_code == exits.USAGE
    assert result.stderr == f"error: `relay {name}` is not built yet in this release\n"
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
    schema = json.loads(relay("config", "schema").stdout)
    assert {"relay", "store", "sources", "portals", "targets"} == set(schema["properties"])


def test_version_names_the_release() -> None:
    """Text for people, JSON for programs."""
    project = tomllib.loads(Path(__file__).parents[2].joinpath("pyproject.toml").read_text(encoding="utf-8"))
    assert json.loads(relay("version", "--json").stdout)["version"] == project["project"]["version"]
    assert relay("version").stdout.startswith("planday-relay ")


@pytest.mark.parametrize(
    ("text", "expected"),
    [("2026-03-01T08:00:00Z", 1772352000.0), ("2026-03-01T09:00:00+01:00", 1772352000.0), (None, None)],
)
def test_a_time_can_be_written_out(text: str | None, expected: float | None) -> None:
    """RFC 3339 with any offset."""
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
