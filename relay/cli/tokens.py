"""`relay tokens`: API tokens, each with a role; kept as hashes, shown once."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from relay.cli import opened, out
from relay.cli.group import Commands
from relay.errors import RefusedError

if TYPE_CHECKING:
    from relay.services import Services
    from relay.store.sessions import ApiToken


# As relay.settings.UserRole has them; that would load the settings for every --help.
class Role(StrEnum):
    """What a token may do."""

    VIEWER = "viewer"
    OPERATOR = "operator"
    PAYROLL = "payroll"
    ADMIN = "admin"


app = typer.Typer(cls=Commands, help="API tokens: make, list, revoke.", no_args_is_help=True)


@app.command("create")
def create(
    name: Annotated[str, typer.Option("--name", help="Whose or what for: a-z, 0-9 and hyphens. The audit has it.")],
    role: Annotated[Role, typer.Option("--role", help="What it may do.")] = Role.VIEWER,
    expires: Annotated[
        str | None, typer.Option("--expires", metavar="TIME", help='"90d", or a time ("2027-01-01T00:00:00Z").')
    ] = None,
    as_json: out.AsJson = False,
) -> None:
    """Make a token; it is printed once, and only a hash of it is kept.

    \b
    Examples:
      relay tokens create --name grafana
      relay tokens create --name ci --role operator --expires 90d
    """

    async def make(services: Services) -> str:
        now, by = services.clock(), opened.operator()
        until = _until(expires, now=now)
        token = await services.tokens.create(name, role=role.value, by=by, now=now, expires_at=until)
        await services.keeping.audit.record(by=by, act="tokens.create", on=name, result=role.value, now=now)
        return token

    token = opened.ask(make)
    if as_json:
        out.json_out({"name": name, "role": role.value, "token": token})
        return
    out.say(f"the token {name}, role {role.value}; it is shown this once:")
    typer.echo(token)


@app.command("list")
def list_(as_json: out.AsJson = False) -> None:
    """All tokens, without what opens anything.

    \b
    Examples:
      relay tokens list
      relay tokens list --json
    """

    async def look(services: Services) -> tuple[list[ApiToken], float]:
        return await services.tokens.list(), services.clock()

    found, now = opened.ask(look)
    if as_json:
        from relay.web import shapes

        out.json_out({"tokens": [shapes.api_token(one) for one in found]})
        return
    out.table(
        ("name", "role", "made at (UTC)", "by", "expires (UTC)"),
        ((one.name, one.role, out.utc(one.made_at), one.by, _end(one, now)) for one in found),
        empty="no tokens: make one with `relay tokens create --name NAME`",
    )


@app.command("revoke")
def revoke(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The token's name.")], as_json: out.AsJson = False
) -> None:
    """Take a token away: the next request with it is refused.

    \b
    Examples:
      relay tokens revoke ci
    """

    async def take(services: Services) -> None:
        await services.tokens.revoke(name)
        await services.keeping.audit.record(
            by=opened.operator(), act="tokens.revoke", on=name, result="revoked", now=services.clock()
        )

    opened.ask(take)
    if as_json:
        out.json_out({"name": name, "revoked": True})
    else:
        out.say(f"the token {name} opens nothing any more")


def _until(text: str | None, *, now: float) -> float | None:
    """When a token ends: in so long, or at a time. Raises RefusedError."""
    from relay.settings.values import seconds

    if text is None:
        return None
    try:
        return now + seconds(text)
    except ValueError:
        pass
    try:
        return opened.moment(text, now=now)
    except typer.BadParameter:
        raise RefusedError('--expires takes how long ("90d") or a time ("2027-01-01T00:00:00Z")') from None


def _end(one: ApiToken, now: float) -> str | None:
    if one.expires_at is None:
        return "never"
    return f"{out.utc(one.expires_at)}{' (expired)' if one.expires_at <= now else ''}"
