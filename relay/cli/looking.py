"""`relay portals look`: have the change feed look at a portal now."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from relay.cli import completing, exits, opened, out

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

    A worker takes it within five seconds. What is found is in `relay events list`. Exit code 3 when Planday no longer
    accepts the portal's authorisation.

    \b
    Example:
      relay portals look bistro
    """

    async def ask(services: Services) -> dict[str, Any]:
        feeds = list(await services.look_now(name))
        workers = (await services.reading.stats((), now=services.clock()))["workers"]
        return {
            "name": name,
            "feeds": feeds,
            "authorisation": (await services.portal_states())[name],
            "workers": workers,
        }

    answer = opened.ask(ask)
    lost = answer["authorisation"] == "lost"
    if as_json:
        out.json_out(answer)
    elif not answer["feeds"]:
        out.say(f"portals.{name}.feeds is empty: nothing is polled there")
    elif lost:
        out.say(
            f"error: Planday no longer accepts the authorisation of {name}, so nothing can be looked at. Let an "
            f"administrator authorise again, then: relay portals set-token {name} (or connect). The feeds look then by "
            "themselves, from where they had come to"
        )
    else:
        when = "a worker takes it within 5 s" if answer["workers"] else "it waits, for no worker runs: relay worker"
        out.say(f"asked for a look of {', '.join(answer['feeds'])} at {name}: {when}")
    if lost:
        raise typer.Exit(exits.UNHEALTHY)
