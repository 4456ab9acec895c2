"""Who may use the API and the metrics: whoever holds RELAY_ADMIN_TOKEN, or an API token whose role is enough.

Without any token there is no API: an open one on a shared machine would be everybody's. No cookie counts here, so
that no page of another site can make a browser act.
"""

from __future__ import annotations

import functools
import hmac
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from relay.services import Services
from relay.settings import Settings, UserRole
from relay.web.problems import CLOSED, FORBIDDEN, UNAUTHORIZED, Problem

Handler = Callable[[Request], Awaitable[Response]]

ADMIN_TOKEN = "admin-token"  # noqa: S105 - its name in the audit, not the token
_CHALLENGE = {"www-authenticate": 'Bearer realm="planday-relay"'}
_PAYROLL_KINDS = ("payroll-http",)


@dataclass(frozen=True, slots=True)
class Who:
    """Who asks: the name that the audit keeps, and the role."""

    name: str
    role: UserRole

    @property
    def sees_personal_data(self) -> bool:
        """A viewer sees where everything is, and nobody's data."""
        return self.role.covers(UserRole.OPERATOR)


class BearerOnly:
    """Lets requests through that carry a good token, and notes whose it is."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope["who"] = await bearer(scope["headers"], scope["app"].state.services)
        await self._app(scope, receive, send)


def least(role: UserRole) -> Callable[[Handler], Handler]:
    """A handler for those who have at least this role; a 403 for all others."""

    def guarded(handler: Handler) -> Handler:
        @functools.wraps(handler)
        async def answer(request: Request) -> Response:
            require(request, role)
            return await handler(request)

        answer.least_role = role  # type: ignore[attr-defined]
        return answer

    return guarded


def who(request: Request) -> Who:
    """Who asks, behind BearerOnly or the dashboard's door."""
    found: Who = request.scope["who"]
    return found


def by(request: Request) -> str:
    """Who asks, as the audit names them."""
    return who(request).name


def require(request: Request, role: UserRole, what: str = "this") -> None:
    """Raise a 403 for whoever has not at least this role."""
    if not who(request).role.covers(role):
        has = who(request).role.value
        raise Problem(FORBIDDEN, f"{what} needs the role {role.value}; yours is {has}. Nothing was changed")


def target_role(request: Request, target: str) -> UserRole:
    """The least role that decides what a target gets: what goes to payroll is for payroll's people."""
    settings = request.app.state.services.settings.targets.get(target)
    is_payroll = settings is not None and settings.type in _PAYROLL_KINDS
    return UserRole.PAYROLL if is_payroll else UserRole.OPERATOR


def require_for_target(request: Request, target: str, *, force: bool = False) -> None:
    """Raise a 403 for whoever may not decide what a target gets, or that it gets something twice by force."""
    if force:
        require(request, UserRole.PAYROLL, "sending again by force")
    require(request, target_role(request, target), f"deciding what {target} gets")


def token_of(settings: Settings) -> str | None:
    """RELAY_ADMIN_TOKEN, if there is one."""
    token = settings.environment.admin_token
    return token.reveal() if token is not None else None


async def bearer(headers: Iterable[tuple[bytes, bytes]], services: Services) -> Who:
    """Whose token the request carries; raises a 401, or a 403 when there is no token at all, and StoreError."""
    admin = token_of(services.settings)
    given = [value for name, value in headers if name == b"authorization"]
    if admin is None and not await services.tokens.any():
        raise Problem(CLOSED, "set RELAY_ADMIN_TOKEN and start again, or make a token with `relay tokens create`")
    if len(given) != 1:
        raise Problem(UNAUTHORIZED, "send one header `Authorization: Bearer TOKEN`", headers=_CHALLENGE)
    scheme, _, value = given[0].partition(b" ")
    secret = value.strip()
    if scheme.lower() == b"bearer":
        if admin is not None and hmac.compare_digest(secret, admin.encode()):
            return Who(ADMIN_TOKEN, UserRole.ADMIN)
        token = await services.tokens.find(secret.decode("latin-1"), now=services.clock())
        if token is not None:
            return Who(f"token:{token.name}", UserRole(token.role))
    raise Problem(UNAUTHORIZED, "this is no token of this relay, or it has expired or was revoked", headers=_CHALLENGE)
