"""`relay targets rotate-secret`: another signing secret for a webhook target, without a restart and without a gap."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from relay.cli import completing, opened, out
from relay.events import rfc3339

if TYPE_CHECKING:
    from relay.services import Rotation

_ASIDE = "it is shown only this once: put it where the receiver's secrets are"


def rotate_secret(
    name: Annotated[
        str, typer.Argument(metavar="TARGET", autocompletion=completing.targets, help="The target's name.")
    ],
    finish: Annotated[bool, typer.Option("--finish", help="The receiver has the new one: it alone signs.")] = False,
    abort: Annotated[bool, typer.Option("--abort", help="Forget the new one; what signed before signs alone.")] = False,
    as_json: out.AsJson = False,
) -> None:
    """Make a new signing secret for a webhook target and show it once; old and new sign until the rotation is finished.

    No worker has to be restarted: each signs by it within seconds. A receiver that knows either secret takes what is
    sent meanwhile. Once finished, the new one signs in the place of the configured `signing_secret`, until another
    value is written there.

    \b
    Examples:
      relay targets rotate-secret hours
      relay targets rotate-secret hours --finish
    """
    if finish and abort:
        raise typer.BadParameter("--finish or --abort, not both")
    action = "finish" if finish else "abort" if abort else "begin"
    answer = opened.here_or_errand(
        "rotate",
        f"{name} {action}",
        lambda services: services.errands.rotate_secret(name, action, by=opened.operator()),
    )
    if as_json:
        out.json_out(answer)
        return
    match action:
        case "begin":
            sys.stdout.write(f"{answer['secret']}\n")
            out.say(f"the new signing secret of {name}; {_ASIDE}")
            out.say(
                "both sign from now on; when the receiver has it: "
                f"relay targets rotate-secret {name} --finish  (or --abort)"
            )
        case "finish":
            out.say(
                f"the new secret alone signs for {name}, though the configuration has another: put it into "
                f"targets.{name}.signing_secret too, so that it does not depend on the store"
            )
        case _:
            out.say(f"the new secret of {name} is forgotten; what signed before signs alone")


def told(name: str, rotation: Mapping[str, Any] | None) -> str | None:
    """That a target's secret is being rotated, and what to do; None where there is nothing to say."""
    if rotation is None:
        return None
    if since := rotation["under_way_since"]:
        return (
            f"{name}: its signing secret is being rotated since {since} (by {rotation['begun_by']}), and both sign; "
            f"when the receiver has the new one: relay targets rotate-secret {name} --finish  (or --abort)"
        )
    since = rotation["replaces_configured_since"]
    return f"{name}: since {since} a secret that rotate-secret made signs, not the configured one"


def findings(rotations: Mapping[str, Rotation]) -> dict[str, tuple[str, str]]:
    """What `check` says of each target: how its signing secret stands, and the remedy."""
    return {
        name: (
            f"its signing secret is being rotated since {rfc3339(one.since)} (by {one.by}), and both sign",
            f"when the receiver has the new one: relay targets rotate-secret {name} --finish (or --abort)",
        )
        if one.since is not None
        else (
            "a secret that rotate-secret made signs, not the configured one, and it is kept in the store alone",
            f"put it into targets.{name}.signing_secret as well, and restart the workers",
        )
        for name, one in rotations.items()
    }
