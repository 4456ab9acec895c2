"""What holds for every command on a terminal: colour, completion, and an end that is no fault."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from relay.cli import completing, exits, out
from relay.cli.main import app

CONFIG = """
[sources.planday]
verify = "none"
[portals.bistro]
id = 4100001
client_id = "x"
[portals.harbour]
id = 4100002
client_id = "x"
[targets.hours]
type = "webhook"
url = "https://payroll.example/x"
signing_secret = "env:NOT_HERE"
events = ["planday.*"]
[targets.ops-slack]
type = "slack"
url = "env:NOT_HERE"
events = ["planday.*"]
"""


@pytest.fixture(autouse=True)
def nowhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A folder with a configuration whose secrets are not in this shell, and without a store."""
    for name in list(os.environ):
        if name.startswith("RELAY_") or name in ("REDIS_URL", "PORT", "NO_COLOR", "FORCE_COLOR"):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "config").mkdir()
    (tmp_path / "config/relay.toml").write_text(CONFIG, encoding="utf-8")
    return tmp_path


def completions(line: str, **environ: str) -> list[str]:
    """What the shell offers at the end of a line."""
    words = line.split(" ")
    asked = {
        **{name: value for name, value in os.environ.items() if name in ("PATH", "HOME")},
        "_RELAY_COMPLETE": "complete_bash",
        "COMP_WORDS": line,
        "COMP_CWORD": str(len(words) - 1),
        "PYTHONPATH": str(Path(__file__).parents[2]),
        **environ,
    }
    done = subprocess.run(
        [sys.executable, "-m", "relay.cli.main"], env=asked, capture_output=True, text=True, check=True
    )
    assert done.stderr == ""
    return done.stdout.split()


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("relay targets test ", {"hours", "ops-slack"}),
        ("relay targets pause o", {"ops-slack"}),
        ("relay portals check ", {"bistro", "harbour"}),
        ("relay events list --target ho", {"hours"}),
        ("relay trigger relay.te", {"relay.test"}),
        ("relay trigger x --source ", {"planday"}),
        ("relay replay run ", set()),
        ("relay quarantine sh", {"show"}),
    ],
)
def test_the_shell_completes_names(line: str, offered: set[str]) -> None:
    """Targets, portals and types without a store and without a secret; plans need a store, and there is none."""
    assert set(completions(line)) == offered


def test_completion_sees_the_environment_too(nowhere: Path) -> None:
    """A file elsewhere, and targets that stand in no file; a broken file is no error at a Tab."""
    (nowhere / "other.toml").write_text("[targets.elsewhere]\n", encoding="utf-8")
    found = completions("relay targets test ", RELAY_CONFIG="other.toml", RELAY_TARGETS__NIGHT_SHIFT__URL="x")
    assert found == ["elsewhere", "night-shift"]
    (nowhere / "other.toml").write_text("[targets", encoding="utf-8")
    assert completions("relay targets test ", RELAY_CONFIG="other.toml") == []
    (nowhere / "other.toml").write_text("targets = 3", encoding="utf-8")
    assert completions("relay targets test ", RELAY_CONFIG="other.toml") == []


def commands() -> Iterator[tuple[str, Any]]:
    """Every command with its parameters."""
    for name, one in typer.main.get_command(app).commands.items():  # type: ignore[attr-defined]
        if hasattr(one, "commands"):
            yield from ((f"{name} {inner}", command) for inner, command in one.commands.items())
        else:
            yield name, one


KNOWN = {"TARGET": completing.targets, "PORTAL": completing.portals, "PLAN": completing.plans, "TYPE": completing.types}


def test_every_name_that_can_be_known_is_completed() -> None:
    """An argument that stands for a target, a portal, a plan or a type has its completion, in every command."""
    missing = [
        f"{name} {parameter.metavar}"
        for name, command in commands()
        for parameter in command.params
        if (parameter.metavar or "").strip("[]") in KNOWN and parameter._custom_shell_complete is None
    ]
    assert missing == []


@pytest.mark.parametrize("environ", [{}, {"NO_COLOR": "1"}, {"FORCE_COLOR": "1"}])
def test_nothing_is_coloured_where_nobody_looks(environ: dict[str, str]) -> None:
    """In a pipe there is no escape sequence, whatever the environment says; help has none at all."""
    for arguments in (["--help"], ["catalog"], ["check"], ["targets", "--help"], ["config", "show"]):
        assert "\x1b" not in CliRunner().invoke(app, arguments, env=environ).output, arguments


class Terminal:
    """A stream that says that it is a terminal."""

    def __init__(self) -> None:
        self.text = ""

    def isatty(self) -> bool:
        return True

    def write(self, text: str) -> int:
        self.text += text
        return len(text)

    def flush(self) -> None:
        pass


@pytest.mark.parametrize(
    ("environ", "coloured"), [({"TERM": "xterm"}, True), ({"TERM": "xterm", "NO_COLOR": "1"}, False)]
)
def test_no_color_is_honoured(monkeypatch: pytest.MonkeyPatch, environ: dict[str, str], coloured: bool) -> None:
    """On a terminal states have colours, but for who does not want any."""
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    terminal = Terminal()
    monkeypatch.setattr(sys, "stdout", terminal)
    out.table(("state",), [("dead",)])
    out.line("dead", "delivered")
    assert ("\x1b[31m" in terminal.text) == coloured
    assert "dead" in terminal.text


def test_a_trigger_without_sources_says_what_is_missing(nowhere: Path) -> None:
    """No advice that cannot be followed: there is no source to name."""
    (nowhere / "config/relay.toml").write_text("", encoding="utf-8")
    result = CliRunner().invoke(app, ["trigger", "planday.shift.updated"])
    assert result.exit_code == exits.USAGE
    assert "sources: there are none, so no sender can post: add [sources.planday]" in result.stderr
    assert "--source" not in result.stderr


def test_findings_are_lines_with_what_to_do(nowhere: Path) -> None:
    """A line for each finding, below it the remedy, and at the end how many; nothing of it is folded."""
    (nowhere / "config/relay.toml").write_text('[sources.a]\nverify = "none"\n', encoding="utf-8")
    result = CliRunner().invoke(app, ["check"])
    assert result.exit_code == exits.OK
    lines = result.stdout.splitlines()
    at = lines.index("warning  targets: there are none: nothing is sent")
    assert lines[at + 1] == "         do: add [targets.NAME] (docs/targets.md)"
    assert result.stderr == "no errors, 2 warnings\n"
