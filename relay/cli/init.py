"""`relay init`: a first configuration that works, by asking; with options alone for scripts."""

from __future__ import annotations

import contextlib
import os
import shlex
import urllib.parse
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from relay.cli import exits, out
from relay.cli.doubts import doubts
from relay.cli.first_config import SECRETS, Answers, written
from relay.cli.first_questions import KINDS, SIMULATOR, Asker, Given, ask_all
from relay.errors import ConfigError, RefusedError

if TYPE_CHECKING:
    from relay.settings import Settings


def init(
    *,
    config: Annotated[
        Path | None, typer.Option("--config", metavar="PATH", help="The file.  [RELAY_CONFIG, or config/relay.toml]")
    ] = None,
    simulator: Annotated[
        str | None, typer.Option(metavar="URL", help=f"Set up against `relay simulator` there, such as {SIMULATOR}.")
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
    source: Annotated[str | None, typer.Option(metavar="NAME", help="A sender that posts events, or none.")] = None,
    target: Annotated[str | None, typer.Option(metavar="KIND", help=f"{', '.join(KINDS)}, or none.")] = None,
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
    asker = Asker(silent=yes)
    given = Given(
        simulator=simulator,
        portal=portal,
        portal_id=portal_id,
        app_id=app_id,
        token=token,
        feeds=feeds,
        source=source,
        target=target,
        target_name=target_name,
        url=url,
        events=tuple(events or ()),
    )
    try:
        if path.exists() and not overwrite and not asker.yes_no(_replace(path), default=False):
            raise RefusedError(f"{path} is there already and stays as it is; to replace it: --overwrite, or --config")
        answers = ask_all(asker, given)
    except typer.Abort:
        out.say("\nnothing was written")
        raise typer.Exit(exits.INTERRUPTED) from None
    files = _write(path, answers)
    loaded = _checked(path)
    findings, steps = list(doubts(loaded)), _next(path, answers, port=loaded.relay.port)
    if as_json:
        out.json_out({"config": str(path), "secrets": files, "findings": findings, "next": steps})
        return
    out.facts({"written": str(path), "secrets": [str(Path(one).relative_to(path.parent)) for one in files]})
    for one in findings:
        out.say(f"{one['level']}: {one['where']}: {one['message']}" + (f"; {one['remedy']}" if one["remedy"] else ""))
    out.say("\nnext, each line that stays in a shell of its own:")
    width = max(len(one["command"]) for one in steps)
    for one in steps:
        out.say(f"  {one['command']:<{width}}  # {one['why']}")


def _replace(path: Path) -> str:
    return f"{path} is there already. Replace it, with its secrets? What is replaced is kept beside it, as NAME.old"


def _write(path: Path, answers: Answers) -> list[str]:
    """The configuration and its secrets, each whole or not at all; the paths of the secrets' files."""
    from relay.settings.values import is_reference

    made = written(answers, is_reference=is_reference)
    folder = path.parent / SECRETS
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if made.secrets:
            folder.mkdir(mode=0o700, exist_ok=True)
            if not (ignored := folder / ".gitignore").exists():
                _put(ignored, "*\n", mode=0o644)
        for name, value in made.secrets.items():
            _put(folder / name, f"{value}\n", mode=0o600)
        _put(path, made.text, mode=0o644)
    except OSError as error:
        raise RefusedError(f"{error.filename or path} cannot be written: {error.strerror}") from None
    return [str(folder / name) for name in made.secrets]


def _put(path: Path, text: str, *, mode: int) -> None:
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    with contextlib.suppress(FileNotFoundError):
        beside.unlink()
    try:
        with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "w", encoding="utf-8") as file:
            file.write(text)
        if path.exists():
            path.replace(path.with_name(f"{path.name}.old"))
        beside.replace(path)
    except OSError:
        beside.unlink(missing_ok=True)
        raise


def _checked(path: Path) -> Settings:
    """As `relay check` does. Raises ConfigError: the file is there and cannot be used in this shell."""
    from relay.cli.checking import static_faults
    from relay.settings import load

    loaded = load(os.environ, path)
    if faults := static_faults(loaded):
        raise ConfigError(faults)
    return loaded


def _next(path: Path, answers: Answers, *, port: int) -> list[dict[str, str]]:
    """The commands that come next, each with what it does."""
    from relay.settings import USUAL_PATH

    steps: list[tuple[str, str]] = []
    if path != USUAL_PATH.absolute():
        steps.append((f"export RELAY_CONFIG={shlex.quote(str(path))}", "in every shell"))
    portal, source = answers.portal, answers.source
    if portal is not None and portal.url is not None:
        emit = f" --emit-to http://127.0.0.1:{port}/in/{source.name}" if source is not None else ""
        its_port = urllib.parse.urlsplit(portal.url).port or 80
        steps.append((f"relay simulator --port {its_port}{emit}", "stays: Planday, Slack and payroll, all made up"))
    steps.append(("relay up", "stays: store, receiver and worker"))
    steps.append(("relay check --connect", "says what is well, and of the rest what to do"))
    if portal is not None and portal.token is None:
        steps.append((f"relay portals set-token {portal.name}", "or connect: authorises the portal"))
    steps.append(("relay events tail", "stays: what comes in, and what becomes of it"))
    if answers.target is not None:
        steps.append((f"relay targets test {answers.target.name}", "a test event, straight there"))
    if source is not None:
        why = "a first event, signed as its sender would; ID: a shift that exists"
        if portal is None or portal.url is not None:  # a shift that the simulator has
            shift, why = "70010045", "a first event, signed as its sender would"
        else:
            shift = "ID"
        steps.append((f"relay trigger planday.shift.updated --set subject=shift/{shift}", why))
    return [{"command": command, "why": why} for command, why in steps]
