"""The commands that stay: `relay up`, `web`, `worker` and `simulator`."""

from __future__ import annotations

import asyncio
import os
from typing import Annotated

import typer

from relay.cli import exits, opened, out, silence, simulating
from relay.cli.parent import WithParent, end_with_parent

Port = Annotated[int | None, typer.Option(min=1, max=65535, help="The receiver's port; wins over the settings.")]


def web(with_parent: WithParent = None) -> None:
    """The receiver and the API, as one process. Needs a store: REDIS_URL, or the one of `relay up`.

    SIGTERM and Ctrl-C stop it in good order.

    \b
    Examples:
      relay web
      PORT=8080 RELAY_LOG_FORMAT=json relay web
    """
    end_with_parent(with_parent)
    from relay.web.server import run

    loaded = opened.settings("web")
    with silence.in_words(loaded):
        run(loaded)


def worker(with_parent: WithParent = None) -> None:
    """One worker: enriches, routes, delivers, tries again. Any number may run, on any number of machines.

    SIGTERM and Ctrl-C stop it in good order: what is on the wire is finished, at most for relay.shutdown_grace
    (25 s unless set). Give a container 15 s more than that.

    \b
    Examples:
      relay worker
      RELAY_CONFIG=/etc/relay.toml REDIS_URL=redis://redis/0 relay worker
    """
    end_with_parent(with_parent)
    from relay.services import loop_factory, open_services
    from relay.worker import WorkerProcess

    loaded = opened.settings("worker")
    telemetry = opened.telemetry(loaded, role="worker")

    async def work() -> None:
        async with open_services(loaded, worker=True, telemetry_=telemetry) as services:
            await WorkerProcess(services).run()

    with silence.in_words(loaded), asyncio.Runner(loop_factory=loop_factory()) as runner:
        runner.run(work())


def simulator(
    port: Annotated[int, typer.Option(min=0, max=65535, help="Its port on 127.0.0.1; 0 takes a free one.")] = 8710,
    emit_to: Annotated[
        str | None, typer.Option(metavar="URL", help="Post the relay's own thin events there after each change.")
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print its addresses and development secrets as JSON, once, on stdout.")
    ] = False,
    with_parent: WithParent = None,
) -> None:
    """A local Planday with two portals, stand-ins for Slack and payroll, and a control endpoint.

    For development, the demo and tests: it never sends anything off this machine, and does not start with
    RELAY_ENV=production. It says what to put into the relay's configuration; docs/simulator.md has that ready.

    \b
    Examples:
      relay simulator
      relay simulator --port 8711 --emit-to http://127.0.0.1:8000/in/planday
    """
    end_with_parent(with_parent)
    try:
        asyncio.run(simulating.run(port, emit_to, as_json=as_json))
    except OSError as error:
        out.say(f"error: port {port} cannot be used: {error.strerror}")
        raise typer.Exit(exits.FAILED) from None
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None


def up(
    port: Port = None,
    workers: Annotated[int, typer.Option(min=1, max=64, help="How many worker processes.")] = 1,
) -> None:
    """The whole relay on this machine: store, receiver and workers, as separate processes.

    Without REDIS_URL it runs a store of its own in RELAY_DATA_DIR. What dies is started again. SIGTERM and Ctrl-C
    stop everything in order: receiver and workers first, the store last.

    \b
    Examples:
      relay up
      RELAY_CONFIG=config/relay.toml relay up --port 8080 --workers 2
    """
    from relay.cli.upping import run

    if port is not None:
        os.environ["PORT"] = str(port)
    loaded = opened.settings("all")
    code = asyncio.run(run(loaded, workers=workers))
    if code:
        raise typer.Exit(code)
