"""The README's first event, as a reader types it: the block is run as it stands, but for the ports."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.processes import RELAY, environment, until
from tests.servers import free_port

pytestmark = pytest.mark.timeout(180)

README = Path(__file__).parents[2] / "README.md"
_BLOCK = re.compile(r"^## A first event$.*?^```console\n(.*?)^```$", re.MULTILINE | re.DOTALL)


class Shell:
    """A shell in a fresh folder: what ends is run to its end, what stays is ended at the exit."""

    def __init__(self, folder: Path, environ: dict[str, str]) -> None:
        self.folder, self.environ = folder, environ
        self.staying: list[subprocess.Popen[bytes]] = []

    def run(self, line: str, *, says: str = "") -> str:
        """The output of one command line; it must succeed, and is typed again while what it needs is starting."""
        words = [RELAY if word == "relay" else word for word in shlex.split(line)]
        if words[-1] == "&":
            with (self.folder / f"out-{len(self.staying)}.txt").open("wb") as output:
                self.staying.append(
                    subprocess.Popen(
                        words[:-1],
                        cwd=self.folder,
                        env=self.environ,
                        stdin=subprocess.DEVNULL,
                        stdout=output,
                        stderr=subprocess.STDOUT,
                        start_new_session=True,
                    )
                )
            return ""
        done: list[subprocess.CompletedProcess[str]] = []

        def succeeds() -> bool:
            done[:] = [
                subprocess.run(
                    words, cwd=self.folder, env=self.environ, capture_output=True, text=True, check=False, timeout=60
                )
            ]
            return done[0].returncode == 0 and says in done[0].stdout + done[0].stderr

        until(succeeds, line, patience=60)
        return done[0].stdout + done[0].stderr

    def end(self) -> None:
        for process in reversed(self.staying):
            os.killpg(process.pid, signal.SIGINT)
            process.wait(40)


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Shell]:
    made = Shell(tmp_path, environment())
    yield made
    made.end()


def test_the_first_event_of_the_readme_arrives(shell: Shell) -> None:
    """Every line succeeds, nothing is left to mend, and the message stands in the stand-in's channel."""
    (block,) = _BLOCK.findall(README.read_text(encoding="utf-8"))
    receiver, simulator = free_port(), free_port()
    shell.environ["PORT"] = str(receiver)
    lines = [line.removeprefix("$ ") for line in block.splitlines()]
    lines = [line.replace(":8000/", f":{receiver}/").replace(":8710", f":{simulator}") for line in lines]
    assert len(lines) <= 8, "few commands"
    said = {}
    for line in lines[1:]:  # the first puts .venv/bin on the PATH
        if not line.startswith("curl"):
            typed = line.replace("relay simulator", f"relay simulator --port {simulator}")
            said[line.split(" --")[0]] = shell.run(typed, says="all is well" if "check" in line else "")
    event = re.search(r"evt_[0-9a-f]{32}", said["relay trigger planday.shift.updated"])
    assert event is not None
    assert event[0] in said["relay events list"]
    assert lines[-1] == f"curl --silent http://127.0.0.1:{simulator}/control/slack"

    def arrived() -> bool:
        with urllib.request.urlopen(f"http://127.0.0.1:{simulator}/control/slack") as answer:
            messages = json.load(answer)["messages"]
        return any("shift" in json.dumps(one["payload"]).lower() and one["accepted"] for one in messages)

    until(arrived, "the message in the stand-in for Slack")
    explained = shell.run(f"relay events explain {event[0]}")
    assert "ops-slack: delivered" in explained


def test_the_commands_that_init_names_are_those_that_work(shell: Shell) -> None:
    """What it says comes next can be typed as it stands, and ends well."""
    receiver, simulator = free_port(), free_port()
    shell.environ["PORT"] = str(receiver)
    told = json.loads(shell.run(f"relay init --yes --simulator http://127.0.0.1:{simulator} --json"))
    for step in told["next"]:
        stays = step["why"].startswith("stays")
        if "events tail" not in step["command"]:
            shell.run(step["command"] + (" &" if stays else ""))
