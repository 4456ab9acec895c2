"""`relay init`: a first configuration that works, by asking; with options alone for scripts."""

from __future__ import annotations

import contextlib
import os
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from relay.cli import exits, out
from relay.errors import ConfigError, RefusedError

if TYPE_CHECKING:
    from relay.cli.first_config import Answers, PortalAnswer, SourceAnswer, TargetAnswer, Written

_SIMULATOR = "http://127.0.0.1:8710"
_KINDS = ("slack", "teams", "webhook")
_NONE = "none"


def init(
    *,
    config: Annotated[
        Path | None, typer.Option("--config", metavar="PATH", help="The file.  [RELAY_CONFIG, or config/relay.toml]")
    ] = None,
    simulator: Annotated[
        str | None, typer.Option(metavar="URL", help=f"Set up against `relay simulator` there, such as {_SIMULATOR}.")
    ] = None,
    portal: Annotated[str | None, typer.Option(metavar="NAME", help="What the portal is called here.")] = None,
    portal_id: Annotated[str | None, typer.Option(metavar="ID", help="The portal's id in Planday.")] = None,
    app_id: Annotated[str | None, typer.Option(help="The App ID, from Settings > API access.")] = None,
    token: Annotated[
        str | None, typer.Option(metavar="REF", help="The token: env:NAME, file:PATH, or - for stdin.")
    ] = None,
    feeds: Annotated[
        bool | None, typer.Option("--feeds/--no-feeds", help="Look at Planday's lists for changes.")
    ] = None,
    source: Annotated[str | None, typer.Option(metavar="NAME", help="A sender that posts events; none: no one.")] = None,
    target: Annotated[str | None, typer.Option(metavar="KIND", help=f"{', '.join(_KINDS)}, or none.")] = None,
    target_name: Annotated[str | None, typer.Option(metavar="NAME", help="What the target is called here.")] = None,
    url: Annotated[
        str | None, typer.Option(metavar="URL", help="Of the target; of slack and teams env:NAME or file:PATH.")
    ] = None,
    events: Annotated[list[str] | None, typer.Option(metavar="PATTERN", help="What it takes; again for more.")] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Ask nothing: the defaults for what is not given.")] = False,
    overwrite: Annotated[bool, typer.Option(help="Replace a configuration that is there.")] = False,
    as_json: out.AsJson = False,
) -> None:
    """Write a first configuration by asking for what it needs; Enter takes what stands in brackets.

    Secrets go into files of their own beside it, which only you can read. Nothing is written before the last answer,
    and nothing is replaced unasked. What was written is checked, and the next commands are named.

    \b
    Examples:
      relay init
      relay init --simulator http://127.0.0.1:8710
      relay init --yes --app-id 5b1f6c1e --portal-id 4100001 --token file:/run/secrets/planday --target none
    """
    path = (config or Path(os.environ.get("RELAY_CONFIG") or "config/relay.toml")).absolute()
    asker = _Asker(silent=yes)
    try:
        if path.exists() and not overwrite and not asker.yes_no(
            f"{path} is there already. Replace it? The old one is kept as {path.name}.old", default=False
        ):
            raise RefusedError(f"{path} is there already and stays as it is; to replace it: --overwrite, or --config")
        answers = _ask_all(
            asker,
            simulator=simulator,
            portal=(portal, portal_id, app_id, token, feeds),
            source=source,
            target=(target, target_name, url, events),
        )
    except typer.Abort:
        out.say("\nnothing was written")
        raise typer.Exit(exits.INTERRUPTED) from None
    made = _render(answers)
    files = _write(path, made)
    _conclude(path, files, answers, as_json=as_json)


