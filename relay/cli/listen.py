"""`relay listen`: forwards new events to a program on this machine, beside the line; deliveries are not touched."""

from __future__ import annotations

import asyncio
import ipaddress
import json
import socket
import sys
import urllib.parse
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from relay.cli import completing, opened, out, watching
from relay.cli.board import Board, Row
from relay.errors import NotFoundError, Unrenderable

if TYPE_CHECKING:
    from collections.abc import Callable

    from relay.events import EventRecord
    from relay.services import Following, Services
    from relay.settings import Settings

_NAME = "listen"


class Output(StrEnum):
    """How much is printed."""

    COMPACT = "compact"
    QUIET = "quiet"
    JSON = "json"


def listen(
    *,
    forward_to: Annotated[str, typer.Option("--forward-to", metavar="URL", help="An address on this machine.")],
    as_: Annotated[
        str | None,
        typer.Option(
            "--as",
            metavar="TARGET",
            autocompletion=completing.targets,
            help="With what this target may have.  [classes A and B]",
        ),
    ] = None,
    type_: Annotated[
        str | None,
        typer.Option("--type", autocompletion=completing.types, help='Type or pattern, such as "planday.shift.*".'),
    ] = None,
    portal: Annotated[int | None, typer.Option(help="Only events of this portal (its id).")] = None,
    since: Annotated[
        str | None, typer.Option(help='Begin with what came since: a time, or an age such as "2h".')
    ] = None,
    secret: Annotated[
        str | None, typer.Option(metavar="REF", help="What signs: env:NAME or file:PATH.  [a new one, shown]")
    ] = None,
    output: Annotated[
        Output | None,
        typer.Option(help="compact: a line each; quiet: only what was not taken; json.  [a screen with keys]"),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="The same as --output json: one object a line.")] = False,
) -> None:
    """Forward new events to a program on this machine while you write it, signed as a webhook target gets them.

    Every event is posted once it is enriched and routed, whoever takes it; nothing is tried again by itself, and no
    delivery is touched. What is forwarded holds no more than the targets of this relay may have between them.
    On a terminal: up and down move, r forwards again, o opens request and answer, q quits.

    \b
    Examples:
      relay listen --forward-to http://127.0.0.1:3000/hooks
      relay listen --forward-to http://localhost:3000/hooks --as hours --type 'planday.punchclock_entry.*'
      relay listen --forward-to http://127.0.0.1:3000/hooks --since 1h --output compact | tee listen.log
    """
    _local(forward_to)
    shown = Output.JSON if as_json else output
    begin = opened.moment(since)

    async def run(services: Services) -> None:
        from relay.services import Following

        forwarder = _forwarder(services, forward_to, as_, secret)
        signed = f"signed with {forwarder.secret}" if secret is None else ""
        following = Following(services.reading, services.keys, type=type_, portal=portal)
        try:
            await following.begin(services.clock(), since=begin)
            if shown is None and watching.is_terminal():
                board = Board(title=f"forwarding to {forward_to}", note=signed)
                await _on_screen(forwarder, following, board)
            else:
                if signed:
                    out.say(f"{signed} (--secret env:NAME for one that stays)")
                await _in_lines(forwarder, watching.follow(following), shown or Output.COMPACT)
        finally:
            await forwarder.target.aclose()

    opened.ask(run)


@dataclass(slots=True, kw_only=True)
class _Forwarded:
    """One forwarding of one event and how it ended."""

    record: EventRecord
    attempt: int
    at: float
    seconds: float
    result: Any
    body: str

    @property
    def good(self) -> bool:
        return bool(self.result.outcome.value == "delivered")

    @property
    def status(self) -> str:
        if self.result.status is None:
            return str(self.result.reason)
        return f"{self.result.status} in {self.seconds * 1000:.0f} ms"


@dataclass(slots=True, kw_only=True)
class _Forwarder:
    """Posts an event, and says what came of it."""

    target: Any
    secret: str
    clock: Callable[[], float]

    async def forward(self, record: EventRecord, *, attempt: int = 1) -> _Forwarded:
        from relay.events import Outcome
        from relay.targets import Result, Sending

        assert record.envelope is not None
        now = self.clock()
        sending = Sending(
            event_id=record.event.id, target=self.target.name, attempt=attempt, envelope=record.envelope, now=now
        )
        try:
            request = self.target.prepare(sending)
        except Unrenderable as error:
            reason = f"no message can be made of it: {error}"
            return self._told(record, attempt, now, Result(outcome=Outcome.REJECTED, reason=reason), "")
        result = await self.target.exchange(request, sending, kept=dict(request.headers))
        return self._told(record, attempt, now, result, request.content.decode("utf-8", "replace"))

    def _told(self, record: EventRecord, attempt: int, at: float, result: Any, body: str) -> _Forwarded:
        seconds = max(0.0, self.clock() - at)
        return _Forwarded(record=record, attempt=attempt, at=at, seconds=seconds, result=result, body=body)


def _forwarder(services: Services, url: str, as_: str | None, secret: str | None) -> _Forwarder:
    """A webhook target that stands in no configuration. Raises ConfigError for a secret that cannot sign."""
    from relay.messages import Messages
    from relay.settings import Secret, WebhookTarget
    from relay.signing import new_secret
    from relay.targets import build

    text = new_secret() if secret is None else _read(secret)
    settings = WebhookTarget.model_validate(
        {
            "type": "webhook",
            "url": url,
            "signing_secret": (Secret(_NAME, value=text),),
            "events": ("*",),
            "fields": _fields(services.settings, as_),
            "allow_http": True,
            "allow_networks": ("127.0.0.0/8", "::1/128"),
            "dedupes": False,  # a connection of its own for each: the program is restarted all the time
        }
    )
    target = build(as_ or _NAME, settings, messages=Messages())
    return _Forwarder(target=target, secret=text, clock=services.clock)


def _fields(settings: Settings, as_: str | None) -> tuple[str, ...] | None:
    """The field list of a target; None: what a webhook has that says nothing."""
    if as_ is None:
        return None
    if as_ not in settings.targets:
        raise NotFoundError(f"there is no target {as_}; there are {', '.join(settings.targets) or 'none'}")
    found = settings.targets[as_]
    return found.fields if found.fields is not None else found.default_fields()


def _read(reference: str) -> str:
    import os
    from pathlib import Path

    from relay.settings import Secret
    from relay.settings.values import is_reference

    if not is_reference(reference):
        raise typer.BadParameter("others can see the command line: give env:NAME or file:PATH", param_hint="--secret")
    found = Secret(reference)
    if problem := found.resolve(os.environ, Path.cwd()):
        raise typer.BadParameter(problem, param_hint="--secret")
    return found.reveal()


def _local(url: str) -> None:
    """Raise BadParameter for an address that is not on this machine: people's data go no further from here."""
    try:
        parts = urllib.parse.urlsplit(url)
        host, _ = parts.hostname or "", parts.port
    except ValueError:
        parts, host = urllib.parse.SplitResult("", "", "", "", ""), ""
    if parts.scheme not in ("http", "https") or not _is_loopback(host):
        raise typer.BadParameter(
            "only an address of this machine, such as http://127.0.0.1:3000/hooks; anything else is a target in the "
            "configuration (docs/targets.md)",
            param_hint="--forward-to",
        )


def _is_loopback(host: str) -> bool:
    """Whether a host is this machine whatever anybody answers; other names are not even looked up."""
    try:
        if host == "localhost" or host.endswith(".localhost"):
            found = [str(one[4][0]) for one in socket.getaddrinfo(host, 80, type=socket.SOCK_STREAM)]
        else:
            found = [host]
        return all(ipaddress.ip_address(one).is_loopback for one in found)
    except (OSError, ValueError):
        return False


def _handled(happening: Any) -> EventRecord | None:
    """The event, if this tells that one was handled and there is something to forward."""
    from relay.store.following import Handled

    if isinstance(happening, Handled) and happening.record.state.value in ("routed", "unrouted"):
        return happening.record if happening.record.envelope is not None else None
    return None


async def _in_lines(forwarder: _Forwarder, events: Any, output: Output) -> None:
    if output is Output.COMPACT:
        out.say("forwarding (times in UTC); Ctrl-C ends it")
    async for happening in events:
        if (record := _handled(happening)) is None:
            continue
        done = await forwarder.forward(record)
        if output is Output.JSON:
            _print_json(done)
        elif output is Output.COMPACT or not done.good:
            event = record.event
            out.line(out.clock(done.at), event.type, event.subject, done.status, event.id)


def _print_json(done: _Forwarded) -> None:
    import pydantic_core

    from relay.events import rfc3339
    from relay.web import shapes

    told = {
        "at": rfc3339(done.at),
        "event": shapes.event_row(done.record),
        "attempt": done.attempt,
        "ok": done.good,
        "status": done.result.status,
        "reason": done.result.reason,
        "seconds": round(done.seconds, 4),
    }
    sys.stdout.write(pydantic_core.to_json(told).decode() + "\n")
    sys.stdout.flush()


async def _on_screen(forwarder: _Forwarder, following: Following, board: Board) -> None:
    """The list with its keys, until q."""
    records: dict[str, tuple[EventRecord, int]] = {}
    again: set[asyncio.Task[None]] = set()

    async def forward(row: Row, record: EventRecord, attempt: int) -> None:
        row.status, row.good = "...", None
        screen.draw()
        done = await forwarder.forward(record, attempt=attempt)
        row.status, row.good, row.details = done.status, done.good, details(done)
        screen.draw()

    def say(text: str) -> None:
        board.say(text)
        screen.draw()

    async def take() -> None:
        async for happening in watching.follow(following, say=say):
            if (record := _handled(happening)) is None:
                continue
            event = record.event
            row = Row(id=event.id, head=f"{out.clock(forwarder.clock())}  {event.type}  {event.subject}  {event.id}")
            board.add(row)
            records[event.id] = (record, 1)
            for gone in list(records)[: max(0, len(records) - len(board.rows))]:
                del records[gone]
            await forward(row, record, 1)

    async def obey() -> None:
        while True:
            asked = board.key(await pressed.get())
            if asked == "quit":
                return
            if asked == "again" and (row := board.row) is not None:
                record, attempt = records[row.id]
                records[row.id] = (record, attempt + 1)
                again.add(task := asyncio.create_task(forward(row, record, attempt + 1)))
                task.add_done_callback(again.discard)
            screen.draw()

    with watching.keyboard() as pressed, watching.Screen(board.lines) as screen:
        screen.draw()
        await watching.first_of([asyncio.create_task(take()), asyncio.create_task(obey())])


def details(done: _Forwarded) -> list[str]:
    """Request and answer, as lines."""
    result = done.result
    try:
        body = json.dumps(json.loads(done.body), indent=2, ensure_ascii=False)
    except ValueError:
        body = done.body
    return [
        f"attempt {done.attempt}: {done.status}",
        "",
        *(f"{name}: {value}" for name, value in result.request_headers.items()),
        "",
        *body.splitlines(),
        "",
        f"answer: {result.status if result.status is not None else result.reason}",
        *(f"{name}: {value}" for name, value in result.response_headers.items()),
        *result.excerpt.splitlines(),
    ]
