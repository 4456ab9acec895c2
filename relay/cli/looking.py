"""`relay portals look`: have the change feed look at a portal now."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from relay.cli import completing, opened, out

if TYPE_CHECKING:
    from relay.services import Services


def look(
    name: Annotated[
        str, typer.Argument(metavar="PORTAL", autocompletion=completing.portals, help="The portal's name.")
    ],
    as_json: out.AsJson = False,
) -> None:
    """Have every feed of a portal look at Planday's lists now, not when its time comes; also one that waits after a
    failure.

    A worker takes it within five seconds. What is found is in `relay events list`.

    \b
    Example:
      relay portals look bistro
    """

    async def ask(services: Services) -> dict[str, Any]:
        return {"name": name, "feeds": list(await services.look_now(name))}

    answer = opened.ask(ask)
    if as_json:
        out.json_out(answer)
    elif answer["feeds"]:
        out.say(f"asked for a look of {', '.join(answer['feeds'])} at {name}: a worker takes it within 5 s")
    else:
        out.say(f"portals.{name}.feeds is empty: nothing is polled there")
