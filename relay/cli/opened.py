"""What most commands begin with: the settings of a role, and the services opened for one call."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, TypeVar

import typer

from relay.cli import silence
from relay.errors import ConfigError, NotFoundError, RelayError

if TYPE_CHECKING:
    from relay.services import Services
    from relay.settings import Role, Settings
    from relay.telemetry import Telemetry

Answer = TypeVar("Answer")


def settings(role: Role) -> Settings:
    """The settings by environment and file; raises ConfigError with every fault."""
    from relay.settings import load

    return load(os.environ, role=role)


def ask(
    call: Callable[[Services], Awaitable[Answer]],
    *,
    worker: bool = False,
    portals: bool = False,
    strict: bool = True,
    by: Settings | None = None,
) -> Answer:
    """Open the services, make one call, close them.

    `worker` needs the secrets of targets and portals; `portals` opens Planday's side and needs those of the portals in
    `by`. `by`: not by the settings of this shell but by these.
    """
    loaded = by or settings("worker" if worker else "store")

    async def run() -> Answer:
        from relay.services import open_services

        async with open_services(
            loaded, worker=worker, portals=portals, telemetry_=telemetry(loaded, role="cli", quiet=True), strict=strict
        ) as services:
            return await call(services)

    with silence.in_words(loaded):
        return asyncio.run(run())


def here_or_errand(kind: str, name: str, here: Callable[[Services], Awaitable[dict[str, Any]]]) -> dict[str, Any]:
    """Do it in this process where its secrets can be read, else let a worker do it."""
    try:
        settings("worker")
    except ConfigError:
        answer = ask(lambda services: services.errands.ask(kind, name, by=operator()))
        if "error" in answer:
            raise (NotFoundError if answer.get("missing") is True else RelayError)(answer["error"]) from None
        return answer
    return ask(here, worker=True)


def telemetry(loaded: Settings, *, role: str, quiet: bool = False) -> Telemetry:
    """Log lines of this process, to stderr; `quiet`: only errors, since the command's answer says the rest."""
    from relay.settings import revealed
    from relay.telemetry import Telemetry

    told = Telemetry(
        log_format=loaded.environment.log_format,
        level="error" if quiet else loaded.relay.log_level,
        role=role,
    )
    told.configure()
    told.hide(*revealed(loaded))
    return told


async def known_target(services: Services, name: str | None) -> None:
    """Raise NotFoundError for a target that is not configured and never had a delivery: a typing mistake."""
    if name is None or name in services.settings.targets:
        return
    known = dict.fromkeys((*services.settings.targets, *await services.reading.known_targets()))
    if name not in known:
        raise NotFoundError(f"there is no target {name}; there are {', '.join(known) or 'none'}")


def operator() -> str:
    """Who asks, for the record."""
    return f"cli:{os.environ.get('USER') or 'unknown'}"


def moment(text: str | None, *, now: float | None = None) -> float | None:
    """A time as it is given on the command line: RFC 3339 (in UTC where it names no zone), or how long ago ("2h")."""
    from datetime import UTC, datetime

    from relay.settings.values import seconds

    if text is None:
        return None
    try:
        return (time.time() if now is None else now) - seconds(text)
    except ValueError:
        pass
    try:
        at = datetime.fromisoformat(text)
        return (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()
    except ValueError:
        raise typer.BadParameter(f'{text!r} is neither a time ("2026-03-01T08:00:00Z") nor an age ("2h")') from None
