"""`relay trigger`: make an event, sign it as a source's sender would, post it to the receiver."""

from __future__ import annotations

import re
import time
import uuid
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

import pydantic_core
import typer

from relay.cli import completing, exits, opened, out
from relay.errors import ConfigError, Fault

if TYPE_CHECKING:
    from relay.settings import Settings, Source

_CONTENT_TYPE = "application/cloudevents+json"
# The simulator has these, in both portals.
_IDS = {
    "employee": "910233",
    "shift": "70010045",
    "punchclock_entry": "8800123",
    "absence_request": "66012",
    "department": "4101",
    "employee_group": "5201",
}
_TYPE = re.compile(r"[A-Za-z][A-Za-z0-9_-]*(\.[A-Za-z0-9_-]+)+")
_ADD_SOURCE = (
    "add [sources.planday] with secrets (`relay init` makes both), and restart the receiver; "
    "what the change feed finds needs no source"
)
_NEXT_STEPS = {
    401: "next: the receiver was started with another secret of sources.{source} than this shell has, or its clock is "
    "off; let both read the same file, and restart the receiver",
    404: "next: the receiver was started without sources.{source}; restart it with this configuration",
    429: "next: workers have fallen behind, or none runs: relay stats",
    503: "next: the receiver's store does not answer, or it is stopping; senders come again",
}


def trigger(
    type_: Annotated[
        str,
        typer.Argument(
            metavar="TYPE", autocompletion=completing.types, help="The event's type, such as planday.shift.updated."
        ),
    ],
    sets: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="K=V", help="An attribute, or data.NAME for the data; again for more."),
    ] = None,
    source: Annotated[
        str | None, typer.Option(autocompletion=completing.sources, help="Whose sender to be.  [the only one]")
    ] = None,
    to: Annotated[str | None, typer.Option(metavar="URL", help="Where to post.  [the receiver here]")] = None,
    as_json: out.AsJson = False,
) -> None:
    """Build an event, sign it as a source's sender would, post it to the receiver, print the answer.

    Exit code 1 when the receiver does not take it. A change that was told before, under whatever id, is taken and ends
    as `duplicate` while nothing has changed in Planday since.

    \b
    Examples:
      relay trigger planday.shift.updated --set subject=shift/70010045
      relay trigger planday.employee.created --set portalid=4100002 --set data.note=hello
      relay trigger relay.test --source planday --to https://relay.example/in/planday
    """
    from relay.cli import http, signed
    from relay.signing import check_secrets

    if not _TYPE.fullmatch(type_):
        raise typer.BadParameter(f'{type_!r} is not words joined by dots, such as "planday.shift.updated"')
    loaded = opened.settings("web")
    name, chosen = _source(loaded, source)
    if faults := [Fault(f"sources.{name}.{one.where}", one.message) for one in check_secrets(chosen)]:
        raise ConfigError(faults)
    envelope = build(type_, parse_sets(sets or []), portal=_portal(loaded), fresh_id=f"cli-{uuid.uuid4()}")
    body = pydantic_core.to_json(envelope)
    url = to or _receiver(loaded, name)
    proof = signed.headers(chosen, message_id=message_id(str(envelope["id"])), at=time.time(), body=body)
    try:
        answer = http.call("POST", url, body=body, headers={"content-type": _CONTENT_TYPE, **proof})
    except http.NoAnswer as error:
        raise http.NoAnswer(
            f"{error}; does `relay up` or `relay web` run there? (--to names another address)"
        ) from error
    if as_json:
        out.json_out({"url": url, "sent": envelope, "status": answer.status, "answer": answer.body})
    else:
        _print(url, envelope, answer, source=name)
    if not answer.ok:
        raise typer.Exit(exits.FAILED)


def build(type_: str, sets: Mapping[str, Any], *, portal: int, fresh_id: str) -> dict[str, Any]:
    """The envelope: what a sender must write, and what was set over it."""
    entity = type_.rpartition(".")[0].rpartition(".")[2] or "relay"
    envelope: dict[str, Any] = {
        "specversion": "1.0",
        "id": fresh_id,
        "type": type_,
        "subject": f"{entity.lower()}/{_IDS.get(entity, '1')}",
        **sets,
    }
    if "source" not in envelope and "portalid" not in envelope:
        envelope["portalid"] = str(portal)
    return envelope


def parse_sets(sets: list[str]) -> dict[str, Any]:
    """`k=v` as attributes (text), `data.a.b=v` as data (JSON where it is that, else text)."""
    found: dict[str, Any] = {}
    for one in sets:
        name, separator, text = one.partition("=")
        if not separator or not name:
            raise typer.BadParameter(f"--set {one}: write name=value")
        if not name.startswith("data."):
            found[name] = _json(text) if name == "data" else text
            continue
        *path, last = name.split(".")
        place: Any = found
        for part in path:
            place = place.setdefault(part, {})
            if not isinstance(place, dict):
                raise typer.BadParameter(f"--set {one}: {part} was set to a value before")
        place[last] = _json(text)
    return found


def message_id(id_: str) -> str:
    """The id as the signature's header, which holds no dot and no space."""
    return re.sub(r"[^!-\-/-~]", "-", id_)[:256] or "-"


def _json(text: str) -> Any:
    try:
        return pydantic_core.from_json(text)
    except ValueError:
        return text


def _source(loaded: Settings, wanted: str | None) -> tuple[str, Source]:
    if not loaded.sources:
        raise ConfigError([Fault("sources", "there are none, so no sender can post: " + _ADD_SOURCE)])
    names = ", ".join(loaded.sources)
    if wanted is None:
        if len(loaded.sources) != 1:
            raise typer.BadParameter(f"name a source with --source; there are {names}")
        wanted = next(iter(loaded.sources))
    if wanted not in loaded.sources:
        raise typer.BadParameter(f"there is no source {wanted}; there are {names}")
    chosen = loaded.sources[wanted]
    if chosen.map:
        raise typer.BadParameter(f"source {wanted} reads another shape (its `map`): post a body of its sender's own")
    return wanted, chosen


def _portal(loaded: Settings) -> int:
    return next((portal.id for portal in loaded.portals.values()), 4100001)


def _receiver(loaded: Settings, source: str) -> str:
    host = loaded.relay.bind
    host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, f"[{host}]" if ":" in host else host)  # noqa: S104
    return f"http://{host}:{loaded.relay.port}/in/{source}"


def _print(url: str, envelope: Mapping[str, Any], answer: Any, *, source: str) -> None:
    out.say(f"{envelope['type']} about {envelope['subject']} -> {url}")
    if not answer.ok or not isinstance(answer.body, dict):
        body = answer.body if isinstance(answer.body, str) else pydantic_core.to_json(answer.body, indent=2).decode()
        out.say(f"answer {answer.status}: {body.strip()[:4000]}")
        if next_step := _NEXT_STEPS.get(answer.status):
            out.say(next_step.format(source=source))
        return
    rows = answer.body.get("events", [])
    out.table(("status", "event", "duplicate"), ((answer.status, row["id"], row["duplicate"]) for row in rows))
    for row in rows:
        out.say(f"what became of it: relay events explain {row['id']}")
