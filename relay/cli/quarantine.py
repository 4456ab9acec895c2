"""`relay quarantine`: bodies that a source signed but that could not be read."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from relay.cli import exits, opened, out
from relay.cli.group import Commands
from relay.errors import NotFoundError

if TYPE_CHECKING:
    from relay.services import Reread, Services

app = typer.Typer(cls=Commands, help="What was signed by a source but could not be read.", no_args_is_help=True)

_NOTHING = "there is nothing of that in the quarantine"


@app.command("list")
def list_(
    limit: Annotated[int, typer.Option(min=1, max=1000, help="Rows at most.")] = 50, as_json: out.AsJson = False
) -> None:
    """Kept bodies, newest first; the oldest is dropped when there are too many.

    \b
    Example:
      relay quarantine list
    """
    from relay.web import shapes

    rows = opened.ask(lambda services: services.shelf.quarantined(limit=limit))
    if as_json:
        out.json_out({"quarantine": [shapes.quarantined(row, whole=False) for row in rows]})
        return
    out.table(
        ("at (UTC)", "id", "source", "bytes", "reason"),
        ((out.utc(row.at), row.id, row.source, len(row.body), row.reason) for row in rows),
        empty="the quarantine is empty",
    )


@app.command()
def show(
    id_: Annotated[str, typer.Argument(metavar="ID", help="The id that the list shows (qua_...).")],
    as_json: out.AsJson = False,
) -> None:
    """One kept body, whole. It may hold personal data.

    \b
    Example:
      relay quarantine show qua_0123456789abcdef
    """
    from relay.web import shapes

    one = opened.ask(lambda services: services.shelf.quarantined_one(id_))
    shown = shapes.quarantined(one, whole=True)
    if as_json:
        out.json_out(shown)
        return
    body = shown.pop("body")
    out.facts(out.with_instants(shown, "at"))
    sys.stdout.write("\n" + out.printable(body, keep="\n\t") + "\n")


Which = Annotated[str | None, typer.Argument(metavar="[ID]", help="The id that the list shows (qua_...).")]
All = Annotated[bool, typer.Option("--all", help="All of them, the oldest first.")]
OfSource = Annotated[str | None, typer.Option("--source", metavar="NAME", help="With --all: only of this source.")]


@app.command()
def retry(id_: Which = None, *, all_: All = False, source: OfSource = None, as_json: out.AsJson = False) -> None:
    """Read kept bodies again by what the settings say now, and accept what can be read, as if it had been sent again.

    After a source's `map` was mended, or the relay was. Its sender need not sign anything a second time: only what was
    signed is there. What came in meanwhile is known by its id and not taken twice. What is accepted leaves the
    quarantine; of the rest it is said what is still wrong, and the exit code is 1.

    \b
    Examples:
      relay quarantine retry qua_0123456789abcdef
      relay quarantine retry --all --source shifts
    """
    from relay.web import shapes

    _one_or_all(id_, all_=all_, source=source)

    async def read(services: Services) -> list[Reread]:
        if id_ is not None:
            return [await services.quarantine.retry(id_, by=opened.operator())]
        return await services.quarantine.retry_all(by=opened.operator(), source=source)

    found = opened.ask(read)
    if as_json:
        out.json_out({"results": [shapes.reread(one) for one in found]})
    else:
        out.table(("id", "source", "became"), ((one.id, one.source, _became(one)) for one in found), empty=_NOTHING)
    if not all(one.ok for one in found):
        raise typer.Exit(exits.FAILED)


@app.command()
def drop(
    id_: Which = None,
    *,
    reason: Annotated[str, typer.Option(help="Why; kept in the audit.")],
    all_: All = False,
    source: OfSource = None,
    as_json: out.AsJson = False,
) -> None:
    """Forget kept bodies for good: they cannot be read again, and no event is made of them.

    \b
    Examples:
      relay quarantine drop qua_0123456789abcdef --reason 'a test of the integrator'
      relay quarantine drop --all --source shifts --reason 'sent again on 3 March'
    """
    _one_or_all(id_, all_=all_, source=source)

    async def forget(services: Services) -> int:
        if id_ is None:
            return await services.quarantine.drop_all(by=opened.operator(), reason=reason, source=source)
        await services.quarantine.drop(id_, by=opened.operator(), reason=reason)
        return 1

    dropped = opened.ask(forget)
    if as_json:
        out.json_out({"dropped": dropped})
    else:
        out.say(f"dropped: {dropped}" if dropped else _NOTHING)


def _one_or_all(id_: str | None, *, all_: bool, source: str | None) -> None:
    if (id_ is None) != all_:
        raise typer.BadParameter("give an id, or --all")
    if source is not None:
        if not all_:
            raise typer.BadParameter("--source goes with --all")
        if source not in (sources := opened.settings("store").sources):
            raise NotFoundError(f"there is no source {source}; there are {', '.join(sources) or 'none'}")


def _became(one: Reread) -> str:
    if not one.ok:
        return f"still unreadable: {one.error}"
    return ", ".join(f"{event.id} (known already)" if event.duplicate else event.id for event in one.events)
