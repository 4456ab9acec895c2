"""`relay portals`: the Planday portals of the configuration, and whether each one's authorisation works."""

from __future__ import annotations

import contextlib
import re
from typing import TYPE_CHECKING, Annotated, Any

import typer

from relay.cli import completing, connecting, exits, looking, opened, out
from relay.cli.group import Commands
from relay.errors import AuthorizationLost, NotFoundError, PlandayError, RelayError, StoreError, WrongPortal

if TYPE_CHECKING:
    from relay.services import Services
    from relay.settings import Portal

app = typer.Typer(cls=Commands, help="The Planday portals, and whether each works.", no_args_is_help=True)
app.command("look")(looking.look)
app.command("set-token")(connecting.set_token)
app.command()(connecting.connect)

_PATH = re.compile(r"(?:portal \S+: )?(/[a-z]\S*): ")


@app.command("list")
def list_(as_json: out.AsJson = False) -> None:
    """Every portal of the configuration, and whether its authorisation worked when it was last used.

    Asks the store, where one runs, and not Planday.

    \b
    Example:
      relay portals list
    """
    portals = opened.settings("store").portals
    states: dict[str, Any] = {}
    budgets: dict[str, Any] = {}
    if portals:
        with contextlib.suppress(StoreError):  # a question to the configuration; the rest is told where it is known
            states, budgets = opened.ask(_known)
    rows: list[dict[str, Any]] = [
        {
            "name": name,
            "id": portal.id,
            "api_url": portal.api_url,
            "feeds": list(portal.feeds),
            "authorisation": states.get(name),
            "budget": budgets.get(name),
        }
        for name, portal in portals.items()
    ]
    if as_json:
        out.json_out({"portals": rows})
        return
    columns = ("name", "id", "api", "feeds", "authorisation", "calls left", "spent on")
    out.table(
        columns,
        ((*list(row.values())[:-1], *_budget(row["budget"])) for row in rows),
        empty="no portals are configured",
    )
    if any(row["authorisation"] == "lost" for row in rows):
        out.say(
            "lost: its events wait until an administrator has authorised again: relay portals set-token, or connect"
        )


async def _known(services: Services) -> tuple[dict[str, Any], dict[str, Any]]:
    return dict(await services.portal_states()), await services.portal_budgets()


def _budget(budget: dict[str, Any] | None) -> tuple[str, str]:
    """Of the minute's calls those that are left, and what the last two minutes' were for."""
    if budget is None:
        return "", ""
    left = ", ".join(f"{row['left']}/{row['limit']} per {row['window']} s" for row in budget["windows"])
    return left, ", ".join(f"{purpose} {count}" for purpose, count in sorted(budget["spent"].items())) or "nothing"


@app.command()
def check(
    name: Annotated[
        str | None,
        typer.Argument(metavar="[PORTAL]", autocompletion=completing.portals, help="The portal's name.  [all]"),
    ] = None,
    as_json: out.AsJson = False,
) -> None:
    """Ask Planday whether the authorisation works, whose it is, and which scopes are there.

    Exit code 3 when something is wrong with one of them.

    \b
    Examples:
      relay portals check
      relay portals check bistro --json
    """
    names = [name] if name is not None else list(opened.settings("store").portals)
    rows = [_checked(one) for one in names]
    if as_json:
        out.json_out({"ok": all(row["ok"] for row in rows), "portals": rows})
    else:
        print_rows(rows)
    if not all(row["ok"] for row in rows):
        raise typer.Exit(exits.UNHEALTHY)


def _checked(name: str) -> dict[str, Any]:
    try:
        return opened.here_or_errand("portal", name, lambda services: checked(services, name))
    except NotFoundError:
        raise
    except RelayError as error:
        # What a worker found comes as plain words.
        if isinstance(error, PlandayError) or type(error) is RelayError:
            return _failed(name, opened.settings("store").portals[name], error)
        raise


async def checked(services: Services, name: str) -> dict[str, Any]:
    """What Planday says of one portal; a dead authorisation is a finding, no answer at all is one too."""
    try:
        return await services.errands.check_portal(name)
    except WrongPortal as error:
        remedy = f"give portals.{name} the token of the portal whose id it names"
        return {"ok": False, "name": name, "error": str(error), "remedy": remedy}
    except AuthorizationLost as error:
        again = f"let an administrator authorise again in Planday, then: relay portals set-token {name} (or connect)"
        return {"ok": False, "name": name, "error": str(error), "remedy": again}
    except PlandayError as error:
        return _failed(name, services.settings.portals[name], error)


def _failed(name: str, portal: Portal, error: RelayError) -> dict[str, Any]:
    """A finding; one that begins with a path of Planday's says which setting leads there."""
    row = {"ok": False, "name": name, "error": str(error)}
    if path := _PATH.match(str(error)):
        setting = "identity_url" if path[1].startswith("/connect/") else "api_url"
        url = getattr(portal, setting)
        row["remedy"] = f"is portals.{name}.{setting} ({url}) right, and can it be reached from here?"
    return row


def print_rows(rows: list[dict[str, Any]]) -> None:
    out.table(
        ("name", "id", "ok", "portal", "zone", "finding"),
        (
            (row["name"], row.get("id"), row["ok"], row.get("portal_name"), row.get("time_zone"), finding(row))
            for row in rows
        ),
        empty="no portals are configured",
    )


def finding(row: dict[str, Any]) -> str:
    if "error" in row:
        return f"{row['error']}; {row['remedy']}" if "remedy" in row else str(row["error"])
    if row["missing"]:
        return f"the app lacks {', '.join(_lacking(scope, row.get('feeds', ())) for scope in row['missing'])}"
    return str(row.get("note") or "")


def _lacking(scope: str, feeds: list[str]) -> str:
    from relay.consent import FEED_SCOPES

    harmed = [feed for feed in feeds if scope in FEED_SCOPES[feed]]
    return f"{scope} (needed by the feeds {', '.join(harmed)})" if harmed else scope
