"""`relay demo` as a person runs it: the story holds, and nothing is left behind however it ends."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from tests.acceptance.processes import RELAY, Running, alive, environment, until


def demo_environment(tmp_path: Path) -> dict[str, str]:
    (tmp_path / "tmp").mkdir()
    return environment(TMPDIR=str(tmp_path / "tmp"))


def leftovers(tmp_path: Path) -> list[str]:
    return [path.name for path in (tmp_path / "tmp").glob("relay-demo-*")]


@pytest.mark.timeout(120)
def test_the_story_holds(tmp_path: Path) -> None:
    """`relay demo --once --json` exits 0, prints one JSON object with every count, and leaves nothing behind."""
    done = subprocess.run(
        [RELAY, "demo", "--once", "--json"],
        env=demo_environment(tmp_path),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["ok"] is True
    assert all(check["ok"] for check in told["checks"])
    counts = told["counts"]
    found = sum(counts["found"].values())
    assert counts["told"] + found == counts["enriched"] == counts["delivered"]["ops-slack"] >= 12
    assert found >= 5, "the feed's own"
    assert counts["both_doors"] >= 5, "told by the sender, seen by the feed, sent once"
    assert counts["duplicates"] == 1
    assert counts["retried"] == 2
    assert (counts["dead"], counts["replayed"], counts["dead_now"]) == (1, 1, 0)
    assert all(len(kinds) >= 6 for kinds in counts["kinds"].values())
    assert counts["payroll"]["unique_keys"] == counts["payroll"]["accepted"] == counts["delivered"]["hours"]
    assert counts["payroll"]["requests"] == counts["payroll"]["accepted"] + 3
    assert "20 of 20 expectations hold" in done.stderr
    assert "$ relay portals look bistro\n" in done.stderr
    assert "found by the feed" in done.stderr
    assert "told by a sender" in done.stderr
    assert "$ relay replay plan --target hours --reason 'payroll is repaired'\n" in done.stderr
    assert leftovers(tmp_path) == []


def try_out(text: str) -> None:
    """What the demo says to type in another terminal works there, and so does the rest."""
    shown = next(line.split()[1:] for line in text.splitlines() if line.strip().startswith("export RELAY_CONFIG="))
    environ = environment(**dict(one.split("=", 1) for one in shown))

    def relay(*arguments: str) -> str:
        done = subprocess.run([RELAY, *arguments], env=environ, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, (arguments, done.stdout, done.stderr)
        return done.stdout

    # Its Slack shows the story alone, so that nobody is told of the relay's own troubles.
    assert [one["where"] for one in json.loads(relay("check", "--connect", "--json"))["findings"]] == ["alerts"]
    assert "Bistro Demo" in relay("portals", "check")
    assert json.loads(relay("targets", "test", "hours", "--json"))["status"] == 202
    assert json.loads(relay("targets", "test", "ops-slack", "--json"))["answer"]["excerpt"] == "ok"
    sent = json.loads(relay("trigger", "planday.shift.updated", "--set", "subject=shift/70010045", "--json"))
    assert "planday.shift.updated of shift/70010045" in relay("events", "explain", sent["answer"]["events"][0]["id"])


@pytest.mark.timeout(120)
def test_ctrl_c_after_the_story_leaves_no_process(tmp_path: Path) -> None:
    """Living on, it shows what to try; Ctrl-C ends it with the story's exit code, and everything with it."""
    with Running("demo", "--json", environ=demo_environment(tmp_path), folder=tmp_path) as demo:
        until(lambda: "In another terminal:" in demo.text, "the story to end", patience=60)
        until(lambda: "stats" in demo.text, "what to try")
        below = demo.below()
        assert len(below) >= 4, "simulator, receiver, worker and store"
        try_out(demo.text)
        demo.ctrl_c()
        assert demo.process.wait(30) == 0, demo.text
        until(lambda: not any(map(alive, below)), "every process to be gone", patience=5)
        assert leftovers(tmp_path) == []


@pytest.mark.timeout(120)
def test_ctrl_c_in_the_story_leaves_no_process(tmp_path: Path) -> None:
    """Interrupted before its end it says 130, and takes everything with it."""
    with Running("demo", environ=demo_environment(tmp_path), folder=tmp_path) as demo:
        until(lambda: "planday.shift.created" in demo.text, "the story to begin", patience=60)
        below = demo.below()
        assert len(below) >= 4
        demo.ctrl_c()
        assert demo.process.wait(30) == 130, demo.text
        until(lambda: not any(map(alive, below)), "every process to be gone", patience=5)
        assert leftovers(tmp_path) == []


def test_the_simulator_says_how_to_reach_it(tmp_path: Path) -> None:
    """One JSON object with addresses and development values, before it serves until it is stopped."""
    with Running("simulator", "--port", "0", "--json", environ=demo_environment(tmp_path), folder=tmp_path) as running:
        until(lambda: running.text.endswith("\n"), "what it says")
        told = json.loads(running.text)
        assert told["slack_url"].startswith(f"{told['url']}/slack/")
        assert {one["id"] for one in told["portals"]} == {4100001, 4100002}
        running.process.terminate()
        assert running.process.wait(20) == 0


def test_it_refuses_production(tmp_path: Path) -> None:
    """Where RELAY_ENV is production nothing is simulated."""
    done = subprocess.run(
        [RELAY, "demo", "--once"],
        env=demo_environment(tmp_path) | {"RELAY_ENV": "production"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2
    assert "RELAY_ENV" in done.stderr
