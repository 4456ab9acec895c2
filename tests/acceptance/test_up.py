"""`relay up` as real processes: what dies comes back, and nothing outlives it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from relay.store.server import EmbeddedServer
from tests.acceptance.processes import RELAY, Running, alive, command_of, environment, until
from tests.servers import free_port

pytestmark = pytest.mark.timeout(120)

CONFIG = """
[sources.planday]
secrets = ["env:TEST_SOURCE_SECRET"]
"""
SECRET = "whsec_dGVzdC1zb3VyY2Utc2VjcmV0LXRlc3Qtc291cmNlLXM="


class Up(Running):
    """A running `relay up`, and what one can ask of it."""

    def __init__(self, folder: Path, *, workers: int = 1) -> None:
        self.port = free_port()
        self.environ = environment(
            RELAY_CONFIG=str(folder / "relay.toml"), RELAY_DATA_DIR=str(folder / "data"), TEST_SOURCE_SECRET=SECRET
        )
        (folder / "relay.toml").write_text(CONFIG, encoding="utf-8")
        super().__init__("up", "--port", str(self.port), "--workers", str(workers), environ=self.environ, folder=folder)

    def ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/readyz", timeout=5) as answer:
                return bool(answer.status == 200)
        except (urllib.error.URLError, OSError):
            return False

    def relay(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Another terminal."""
        environ = {**self.environ, "PORT": str(self.port)}
        return subprocess.run([RELAY, *arguments], env=environ, capture_output=True, text=True, timeout=60, check=False)

    def stats(self) -> dict[str, Any]:
        done = self.relay("stats", "--json")
        return dict(json.loads(done.stdout)) if done.returncode == 0 else {"workers": 0}

    def handled(self, subject: str) -> bool:
        """Whether an event comes in and is taken through the line."""
        sent = self.relay("trigger", "planday.shift.updated", "--set", f"subject={subject}", "--json")
        assert sent.returncode == 0, sent.stderr
        event = json.loads(sent.stdout)["answer"]["events"][0]["id"]
        until(lambda: json.loads(self.relay("events", "show", event, "--json").stdout)["state"] == "unrouted", subject)
        return True


@pytest.fixture
def up(tmp_path: Path) -> Iterator[Up]:
    with Up(tmp_path) as running:
        until(running.ready, "the receiver", patience=40)
        until(lambda: running.stats()["workers"] > 0, "the worker", patience=40)
        yield running


def test_events_go_through_and_sigterm_ends_all(up: Up) -> None:
    """One command runs the relay; SIGTERM ends it in good order, with exit code 0, and everything below it."""
    assert up.handled("shift/1")
    below = up.below()
    up.process.send_signal(signal.SIGTERM)
    assert up.process.wait(40) == 0, up.text
    until(lambda: not any(map(alive, below)), "every process to be gone", patience=5)


def test_ctrl_c_ends_all_in_order(up: Up) -> None:
    """Ctrl-C reaches the parent alone: the store is still there while receiver and worker stop."""
    below = up.below()
    up.ctrl_c()
    assert up.process.wait(40) == 0, up.text
    until(lambda: not any(map(alive, below)), "every process to be gone", patience=5)
    assert "store.trouble" not in up.text


def test_a_killed_worker_and_a_killed_receiver_come_back(up: Up) -> None:
    """kill -9 of a child is answered by a new one, and work goes on."""
    for name in ("worker", "web"):
        old = up.child("relay.cli.main", name)
        os.kill(old, signal.SIGKILL)
        until(lambda old=old: not alive(old), f"{name} to be gone")  # type: ignore[misc]
        until(lambda name=name: f"up: {name}" in up.text and "ended (SIGKILL)" in up.text, "a word")  # type: ignore[misc]
        until(up.ready, "the receiver")
        until(lambda name=name, old=old: _replaced(up, name, old), f"a new {name}")  # type: ignore[misc]
    assert up.handled("shift/2")


def _replaced(up: Up, name: str, old: int) -> bool:
    try:
        return up.child("relay.cli.main", name) != old
    except AssertionError:
        return False


def test_a_killed_store_comes_back_with_its_data(up: Up) -> None:
    """kill -9 of the embedded store: it is started again under the same address, and nothing accepted is lost."""
    assert up.handled("shift/3")
    servers = [pid for pid in up.below() if _is_server(pid)]
    assert len(servers) == 1
    os.kill(servers[0], signal.SIGKILL)
    until(lambda: "starting it again" in up.text, "a word about it")
    until(lambda: up.stats().get("totals", {}).get("accepted") == 1, "the data to be there again")
    until(up.ready, "the receiver")
    until(lambda: up.stats()["workers"] > 0, "the worker")
    assert up.handled("shift/4")


def _is_server(pid: int) -> bool:
    return Path(command_of(pid).partition(" ")[0]).name.startswith(("valkey", "redis"))


def test_nothing_outlives_a_killed_parent(up: Up) -> None:
    """kill -9 of `up` itself: receiver, worker and store notice and end within seconds."""
    below = up.below()
    assert len(below) >= 3
    up.process.kill()
    up.process.wait(10)
    until(lambda: not any(map(alive, below)), "every process to be gone", patience=15)


def test_a_second_one_on_the_same_data_is_refused(up: Up) -> None:
    """Two owners of one data folder would be two truths: exit code 2, and the remedy."""
    second = subprocess.run(
        [RELAY, "up", "--port", str(free_port())],
        env=up.environ,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert second.returncode == 2
    assert "RELAY_DATA_DIR" in second.stderr


def test_a_second_one_in_the_same_folder_is_told_what_is_in_the_way(up: Up) -> None:
    """Its port is taken too, but by the first one: that is what has to be said."""
    second = up.relay("up", "--port", str(up.port))
    assert second.returncode == 2
    assert "a `relay up` runs already with the store in" in second.stderr
    assert "RELAY_DATA_DIR" in second.stderr


def test_a_redis_that_is_away_is_waited_for_and_told_once(tmp_path: Path) -> None:
    """No line every five seconds: once when it does not answer, once when it does; then all is started."""
    (tmp_path / "relay.toml").write_text(CONFIG, encoding="utf-8")
    store = EmbeddedServer(tmp_path / "redis", appendfsync="everysec")
    url = store.start()
    store.stop()
    port = free_port()
    environ = environment(
        RELAY_CONFIG=str(tmp_path / "relay.toml"),
        RELAY_DATA_DIR=str(tmp_path / "data"),
        TEST_SOURCE_SECRET=SECRET,
        REDIS_URL=url,
    )
    with Running("up", "--port", str(port), environ=environ, folder=tmp_path) as running:
        until(lambda: "waiting for it" in running.text, "a word about it")
        until(lambda: not running.below(), "nothing to run yet")
        assert "the store that REDIS_URL names does not answer" in running.text
        assert "next: start that Redis, or correct REDIS_URL" in running.text
        try:
            store.start()
            until(lambda: "the store answers now" in running.text, "another word")
            until(lambda: running.text.count("service.started") == 2, "receiver and worker")
            assert running.text.count("does not answer") == 1
            running.process.send_signal(signal.SIGTERM)
            assert running.process.wait(40) == 0, running.text
        finally:
            store.stop()


def test_a_taken_port_is_refused_before_anything_starts(up: Up, tmp_path: Path) -> None:
    """The port is named, and no store is left running."""
    environ = {**up.environ, "RELAY_DATA_DIR": str(tmp_path / "other")}
    done = subprocess.run(
        [RELAY, "up", "--port", str(up.port)], env=environ, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 2
    assert str(up.port) in done.stderr
    assert not (tmp_path / "other").exists()


def test_faults_of_the_configuration_come_all_at_once(tmp_path: Path) -> None:
    """Nothing starts with a wrong configuration: each fault has its path, one a line."""
    (tmp_path / "relay.toml").write_text('[sources.a]\nverify = "token"\n[portals.b]\nid = 0\n', encoding="utf-8")
    done = subprocess.run(
        [RELAY, "up"],
        env=environment(RELAY_CONFIG=str(tmp_path / "relay.toml"), RELAY_DATA_DIR=str(tmp_path / "data")),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2
    assert "  sources.a: " in done.stderr
    assert "  portals.b.id: " in done.stderr
    assert not (tmp_path / "data").exists()
