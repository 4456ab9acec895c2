"""`relay targets`: where events go, how each one fares, a test send, pause and resume."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from relay.cli import completing, exits, opened, out, rotating
from relay.cli.group import Commands

if TYPE_CHECKING:
    from relay.services import Services

app = typer.Typer(cls=Commands, help="Where events go, and how each target fares.", no_args_is_help=True)

app.command("rotate-secret")(rotating.rotate_secret)

Name = Annotated[str, typer.Argument(metavar="TARGET", autocompletion=completing.targets, help="The target's name.")]


@app.command("list")
def list_(as_json: out.AsJson = False) -> None:
    """Every target of the configuration, and what waits, arrived and failed there.

    \b
    Examples:
      relay targets list
      relay targets list --json
    """

    from relay.web import shapes

    async def find(services: Services) -> list[dict[str, Any]]:
        targets = services.settings.targets
        stats = await services.reading.stats(tuple(targets), now=services.clock())
        rotations = await services.rotations()
        return [shapes.target(name, one, stats["targets"][name], rotations.get(name)) for name, one in targets.items()]

    rows = opened.ask(find)
    if as_json:
        out.json_out({"targets": rows})
        return
    counts = ("waiting", "sending", "delivered", "dead", "parked")
    out.table(
        ("name", "type", "url", "state", *counts, "events"),
        (
            (
                *(row[name] for name in ("name", "type", "url", "state")),
                *(row["deliveries"][name] for name in counts),
                row["events"],
            )
            for row in rows
        ),
        empty="no targets are configured",
    )
    for row in rows:
        if told := rotating.told(row["name"], row["rotation"]):
            out.say(told)


@app.command("test")
def try_(name: Name, as_json: out.AsJson = False) -> None:
    """Send a `relay.test` event to one target, past all queues, and show request and answer.

    Exit code 1 when the target did not take it.

    \b
    Example:
      relay targets test ops-slack
    """
    answer = opened.here_or_errand(
        "target", name, lambda services: services.errands.test_target(name, by=opened.operator())
    )
    if as_json:
        out.json_out(answer)
    else:
        request = answer["request"]
        out.facts({"outcome": answer["outcome"], "status": answer["status"], "reason": answer["reason"]})
        _read(answer["message"])
        sys.stdout.write(f"\n{request['method']} {request['url']}\n")
        out.facts(request["headers"])
        sys.stdout.write(f"\n{out.printable(request['body'], keep=chr(10))}\n")
        if answer["answer"]["excerpt"]:
            sys.stdout.write(f"\nanswer: {out.cell(answer['answer']['excerpt'])}\n")
    if not answer["ok"]:
        raise typer.Exit(exits.FAILED)


@app.command()
def preview(
    name: Name,
    event: Annotated[str | None, typer.Argument(metavar="EVENT", help="An event's id.")] = None,
    sample: Annotated[
        str | None,
        typer.Option(metavar="TYPE", autocompletion=completing.types, help="A made-up event of this type instead."),
    ] = None,
    as_json: out.AsJson = False,
) -> None:
    """Show the very request that would be sent of an event now, secrets masked; nothing is sent.

    For payroll also what it is to the target: new, a correction, a reversal, or there already.
    Exit code 1 when nothing would be sent.

    \b
    Examples:
      relay targets preview payroll evt_5a3c0f5f1b1e4d0c8a7b6c5d4e3f2a1b
      relay targets preview payroll --sample planday.payroll_line.created
    """
    if (event is None) == (sample is None):
        raise typer.BadParameter("give an event's id, or --sample TYPE")
    what = event or f"sample:{sample}"
    answer = opened.here_or_errand(
        "preview", f"{name} {what}", lambda services: services.errands.preview(name, what, by=opened.operator())
    )
    if as_json:
        out.json_out(answer)
    else:
        out.facts({key: answer[key] for key in ("event", "type", "standing", "note") if answer[key]})
        _read(answer["message"])
        if request := answer["request"]:
            sys.stdout.write(f"\n{request['method']} {request['url']}\n")
            out.facts(request["headers"])
            sys.stdout.write(f"\n{out.printable(request['body'], keep=chr(10))}\n")
    if not answer["ok"]:
        raise typer.Exit(exits.FAILED)


def _read(message: str) -> None:
    """What people would read, of a target that people read."""
    if message:
        sys.stdout.write(f"\n{out.printable(message, keep=chr(10))}\n")


@app.command()
def pause(
    name: Name,
    reason: Annotated[str, typer.Option(help="Why; shown wherever the target is.")] = "paused by hand",
    as_json: out.AsJson = False,
) -> None:
    """Stop sending to a target: its deliveries wait, those of other targets go on.

    \b
    Example:
      relay targets pause hours --reason 'payroll closes its books'
    """

    async def stop(services: Services) -> None:
        await services.desk.pause(name, by=opened.operator(), reason=reason)

    opened.ask(stop)
    _done(name, "paused", changed=True, as_json=as_json)


@app.command()
def resume(name: Name, as_json: out.AsJson = False) -> None:
    """Send to a paused target again; what waited goes out, in order.

    \b
    Example:
      relay targets resume hours
    """

    async def start(services: Services) -> tuple[bool, int]:
        changed = await services.desk.resume(name, by=opened.operator())
        now = (await services.reading.stats((name,), now=services.clock()))["targets"][name]
        return changed, now["dead"]

    changed, dead = opened.ask(start)
    _done(name, "resumed", changed=changed, as_json=as_json)
    if dead and not as_json:
        what = "1 delivery to it is dead and stays" if dead == 1 else f"{dead} deliveries to it are dead and stay"
        out.say(f"{what} so; to send what failed again: relay replay plan --target {name}")


def _done(name: str, state: str, *, changed: bool, as_json: bool) -> None:
    if as_json:
        out.json_out({"target": name, "state": state, "changed": changed})
    else:
        out.say(f"{name} is {state}" if changed else f"{name} was not paused")
