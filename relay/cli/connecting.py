"""`relay portals set-token` and `connect`: a portal's authorisation, entered anew without a restart."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from relay.cli import completing, exits, opened, out
from relay.errors import AuthorizationLost, NotFoundError, PlandayUnavailable, RefusedError, WrongPortal

if TYPE_CHECKING:
    from relay.services import Services
    from relay.settings import Settings

Name = Annotated[
    str,
    typer.Argument(metavar="PORTAL", autocompletion=completing.portals, help="The portal's name in the configuration."),
]
_GOES_ON = "events that waited go on within about a minute; what changed meanwhile is read again"


def set_token(
    name: Name,
    file: Annotated[
        str | None, typer.Option("--file", metavar="PATH", help="Read the token from a file, - for stdin.  [asked for]")
    ] = None,
    as_json: out.AsJson = False,
) -> None:
    """Enter a new token for a portal; all processes use it at once, without a restart.

    It is tried first and refused if it does not work or belongs to another portal; what is stored stays then. In
    Planday: Settings > API access, Authorise, copy the token. An administrator who sees all departments has to do it.

    \b
    Examples:
      relay portals set-token bistro
      relay portals set-token bistro --file /run/secrets/planday
    """
    loaded = _alone(name)
    token = _token(name, file)

    async def enter(services: Services) -> dict[str, Any]:
        services.telemetry.hide(token)
        try:
            await services.errands.set_token(name, token, by=opened.operator())
        except (AuthorizationLost, WrongPortal) as error:
            return {"ok": False, "portal": name, "error": str(error)}
        return {"ok": True, "portal": name, "id": services.settings.portals[name].id, **await _missing(services, name)}

    answer = opened.ask(enter, portals=True, by=loaded)
    if as_json:
        out.json_out(answer)
    elif not answer["ok"]:
        out.say(f"error: {answer['error']}\n  the token was not taken; what was stored before is unchanged")
    else:
        out.say(f"portal {name} (id {answer['id']}) has a new token; {_GOES_ON}")
        if answer["missing"]:
            out.say(f"the app lacks {', '.join(answer['missing'])}: relay portals check {name}")
    if not answer["ok"]:
        raise typer.Exit(exits.UNHEALTHY)


def connect(
    name: Name,
    redirect_uri: Annotated[
        str | None,
        typer.Option(
            "--redirect-uri", metavar="URL", help="As registered with the app.  [public_url + /connect/callback]"
        ),
    ] = None,
    timeout: Annotated[float, typer.Option(help="Seconds to wait for the administrator.", min=1, max=600)] = 300.0,
    as_json: out.AsJson = False,
) -> None:
    """Authorise a portal in the browser: prints a link for its administrator and waits until Planday sends them back.

    Needs `relay web` and `relay worker` (or `relay up`) at the address that is registered with the app.

    \b
    Examples:
      relay portals connect bistro
      relay portals connect bistro --redirect-uri https://relay.example/connect/callback
    """
    loaded = _alone(name)
    address = _address(loaded, redirect_uri)
    answer = opened.ask(lambda services: _connected(services, name, address, timeout), portals=True, by=loaded)
    if as_json:
        out.json_out(answer)
    elif answer["ok"]:
        out.say(f"portal {name} is authorised; {_GOES_ON}")
    else:
        out.say(f"error: portal {name} was not connected: {answer['error']}; how it stands: relay portals check {name}")
    if not answer["ok"]:
        raise typer.Exit(exits.UNHEALTHY)


async def _missing(services: Services, name: str) -> dict[str, Any]:
    """The scopes that the app lacks, as far as Planday answers; the token is in force whatever it says."""
    try:
        return {"missing": (await services.errands.check_portal(name))["missing"]}
    except (AuthorizationLost, WrongPortal, PlandayUnavailable):
        return {"missing": []}


async def _connected(services: Services, name: str, redirect_uri: str, timeout: float) -> dict[str, Any]:
    from relay.consent import link

    state = await services.consents.begin(name, redirect_uri=redirect_uri)
    out.say("let an administrator who sees all departments of the portal open this, within ten minutes:")
    out.say(f"  {link(services.settings.portals[name], state=state, redirect_uri=redirect_uri)}")
    for _ in range(round(timeout)):
        answer = await services.consents.answer(state, seconds=1.0)
        if answer is not None:
            return answer
    return {"ok": False, "error": f"nobody came back within {timeout:g} s (the link works until it is ten minutes old)"}


def _alone(name: str) -> Settings:
    """The settings with this portal's secrets: those of other portals need not be in this shell."""
    from relay.settings import for_portal

    loaded = opened.settings("store")
    if name not in loaded.portals:
        raise NotFoundError(f"there is no portal {name}; there are {', '.join(loaded.portals) or 'none'}")
    return for_portal(loaded, name, os.environ)


def _address(loaded: Settings, given: str | None) -> str:
    from relay.consent import PATH

    if given is not None:
        return given
    return f"{loaded.relay.public_url or f'http://127.0.0.1:{loaded.relay.port}'}{PATH}"


def _token(name: str, file: str | None) -> str:
    """The token, from a file, from stdin, or typed without being shown; never from the command line."""
    if file == "-":
        token = sys.stdin.read()
    elif file is not None:
        try:
            token = Path(file).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise RefusedError(f"the token cannot be read from {file}: {error.__class__.__name__}") from None
    else:
        try:
            token = typer.prompt("token", hide_input=True, err=True)
        except typer.Abort:
            if sys.stdin.isatty():
                raise
            how = f"relay portals set-token {name} --file PATH, or --file - for standard input"
            raise RefusedError(f"there is no terminal to ask for the token, and none came: {how}") from None
    token = token.strip()
    if not token or any(char.isspace() for char in token):
        raise RefusedError("that is no token: it is one word; nothing was changed")
    return token
