"""`relay demo`: sets the stage, tells the story, checks it, and lives on until Ctrl-C."""

from __future__ import annotations

import asyncio
import contextlib
import random
import shlex
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from relay.cli import exits, out
from relay.errors import RelayError

if TYPE_CHECKING:
    import signal

    from relay.cli.demo.checks import Evidence
    from relay.cli.demo.director import Director
    from relay.cli.demo.stage import Stage
    from relay.cli.demo.standins import Standins
    from relay.cli.demo.voice import Voice
    from relay.cli.supervise import Supervisor
    from relay.services import Services

_GRACE = 12.0
_START_PATIENCE = 40.0
_PACE, _QUICK = 0.8, 0.1
_LIVE_PACE = 4.0
_TRY = (
    "events list",
    "events explain EVENT",
    "deliveries list --target hours",
    "trigger planday.shift.updated --set subject=shift/70010045",
    "targets test ops-slack",
    "stats",
)


def demo(
    *,
    once: Annotated[bool, typer.Option("--once", help="End after the story instead of living on.")] = False,
    port: Annotated[int | None, typer.Option(min=1, max=65535, help="The receiver's port.  [8000, or free]")] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="The counts and expectations as JSON; the story goes to stderr.")
    ] = False,
) -> None:
    """The whole relay at work on this machine, in half a minute: nothing to configure, nothing left behind.

    It brings up a store, a simulated Planday, the relay, and stand-ins for Slack and a payroll system; makes changes
    in two portals and shows each one arrive, told by a sender or found by the change feed; lets payroll fail and
    recover; makes a dead letter and replays it; and counts. Exit code 1 when any expectation is missed.

    \b
    Examples:
      relay demo
      relay demo --once --json
    """
    try:
        with contextlib.redirect_stdout(sys.stderr) if as_json else contextlib.nullcontext():
            code, evidence = asyncio.run(perform(once=once, port=port, pace=_QUICK if as_json else _PACE))
    except RelayError as error:
        if as_json:
            out.json_out({"ok": False, "error": str(error)})
        raise
    if as_json and evidence is not None:
        out.json_out(evidence.as_json())
    if code:
        raise typer.Exit(code)


async def perform(*, once: bool, port: int | None, pace: float) -> tuple[int, Evidence | None]:
    """The exit code, and what the story proved; everything that was started is gone afterwards."""
    from relay.cli.demo.stage import build
    from relay.cli.demo.voice import Voice
    from relay.cli.supervise import Supervisor, on_signals

    voice = Voice()
    _introduce(voice)
    stage = build(port)
    supervisor = Supervisor(tell=lambda text: voice.line(f"   ({text})", "yellow"), grace=_GRACE)
    task = asyncio.create_task(_play(stage, supervisor, voice, once=once, pace=pace))
    signals = 0

    def react(_signal: signal.Signals) -> None:
        nonlocal signals
        signals += 1
        task.cancel()
        if signals > 1:
            supervisor.kill()

    with on_signals(react):
        try:
            await asyncio.wait({task})
        finally:
            if signals:
                voice.line()
                voice.line("   stopping the relay, then the store ...", "dim")
            await supervisor.stop()
            await asyncio.to_thread(stage.clear)
    return (exits.INTERRUPTED, None) if task.cancelled() else task.result()


async def _play(
    stage: Stage, supervisor: Supervisor, voice: Voice, *, once: bool, pace: float
) -> tuple[int, Evidence | None]:
    from relay.cli.demo.director import Director
    from relay.cli.demo.standins import Standins
    from relay.cli.demo.story import Story
    from relay.cli.opened import telemetry
    from relay.services import open_services

    began = time.monotonic()
    standins = Standins(stage.simulator)
    try:
        await asyncio.to_thread(stage.server.start)
        stage.keep(supervisor)
        told = telemetry(stage.settings, role="demo", quiet=True)
        async with open_services(stage.settings, worker=False, telemetry_=told) as services:
            await _ready(stage, services, standins)
            voice.line(f"   up after {time.monotonic() - began:.1f} s; everything is below {stage.folder}", "dim")
            director = Director(standins, stage.settings, voice)
            story = Story(services=services, standins=standins, director=director, voice=voice, pace=pace)
            evidence = await story.tell()
            code = exits.OK if evidence.ok else exits.FAILED
            voice.line(f"   told in {time.monotonic() - began:.0f} s", "dim")
            if not once:
                with contextlib.suppress(asyncio.CancelledError):
                    await _live(stage, director, voice)
            return code, evidence
    except Exception:
        sys.stderr.write(out.printable(stage.log_tails(), keep="\n") + "\n")
        raise


async def _ready(stage: Stage, services: Services, standins: Standins) -> None:
    """Wait for every process to answer."""
    from relay.cli import http
    from relay.cli.demo.director import until
    from relay.cli.http import NoAnswer

    async def up() -> bool:
        try:
            await standins.control("GET", "/settings")
            receiver = await asyncio.to_thread(http.call, "GET", f"{stage.receiver}/readyz")
        except NoAnswer:
            return False
        return receiver.ok and (await services.reading.stats((), now=services.clock()))["workers"] > 0

    await until(up, "simulator, receiver and worker to come up", patience=_START_PATIENCE, every=0.05)


def _introduce(voice: Voice) -> None:
    from relay.cli.demo.script import OUTLINE

    voice.line("planday-relay demo", "bold")
    voice.line("A simulated Planday with two portals, the relay, and stand-ins for Slack and a payroll system,")
    voice.line("each a process of its own on this machine. Nothing leaves it. In half a minute you will see:")
    voice.line()
    for line in OUTLINE:
        voice.line(f"   {line}")
    voice.line()
    voice.line("   starting store, simulator, receiver and worker ...", "dim")


async def _live(stage: Stage, director: Director, voice: Voice) -> None:
    """Small changes for ever, and what to try meanwhile."""
    from relay.cli.demo.script import random_steps

    relay = _shown_program()
    voice.chapter(6, "Try it yourself", "It goes on, with a small change every few seconds, until Ctrl-C.")
    voice.line(f"   receiver   {stage.receiver}/in/planday")
    voice.line(f"   health     {stage.receiver}/readyz   {stage.receiver}/metrics")
    voice.line(f"   dashboard  {stage.receiver}/   (name admin, password: $RELAY_ADMIN_TOKEN below)")
    voice.line(f"   API        {stage.receiver}/api/v1/stats   (bearer token: $RELAY_ADMIN_TOKEN below)")
    voice.line(f"   logs       {stage.logs}")
    voice.line()
    voice.line("   In another terminal:")
    names = ("RELAY_CONFIG", "RELAY_DATA_DIR", "RELAY_ADMIN_TOKEN")
    voice.line("     export " + " ".join(f"{name}={shlex.quote(stage.environ[name])}" for name in names))
    for arguments in _TRY:
        voice.line(f"     {relay} {arguments}")
    voice.line()
    for step in random_steps(random.Random()):  # noqa: S311
        await asyncio.sleep(_LIVE_PACE)
        try:
            await director.arrive(await director.do(step))
        except (RelayError, KeyError) as error:  # a process was killed, to see what happens; its records are gone
            voice.line(f"   ({error})", "yellow")


def _shown_program() -> str:
    """How to call us from another terminal, in this folder."""
    program = Path(sys.executable).with_name("relay")
    if not program.exists():
        return f"{sys.executable} -m relay.cli.main"
    return str(program.relative_to(Path.cwd())) if program.is_relative_to(Path.cwd()) else str(program)
