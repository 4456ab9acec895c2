"""Who may use the API and the metrics: whoever holds RELAY_ADMIN_TOKEN.

Without a token there is no API: an open one on a shared machine would be everybody's. There are no cookies here, so
that no page of another site can make a browser act.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterable

from starlette.types import ASGIApp, Receive, Scope, Send

from relay.settings import Settings
from relay.web.problems import CLOSED, UNAUTHORIZED, Problem

_CHALLENGE = {"www-authenticate": 'Bearer realm="planday-relay"'}


class BearerOnly:
    """Lets requests through that carry the token."""

    def __init__(self, app: ASGIApp, *, token: str | None) -> None:
        self._app = app
        self._token = token

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        check_bearer(scope["headers"], self._token)
        await self._app(scope, receive, send)


def token_of(settings: Settings) -> str | None:
    """The configured token, if there is one."""
    token = settings.environment.admin_token
    return token.reveal() if token is not None else None


def check_bearer(headers: Iterable[tuple[bytes, bytes]], token: str | None) -> None:
    """Return if the request carries the token; raise a 401, or a 403 when none is configured."""
    if not token:
        raise Problem(CLOSED, "set RELAY_ADMIN_TOKEN to a long random text and start again to use this")
    given = [value for name, value in headers if name == b"authorization"]
    if len(given) != 1:
        raise Problem(UNAUTHORIZED, "send one header `Authorization: Bearer TOKEN`", headers=_CHALLENGE)
    scheme, _, value = given[0].partition(b" ")
    if scheme.lower() != b"bearer" or not hmac.compare_digest(value.strip(), token.encode()):
        raise Problem(UNAUTHORIZED, "this is not the token in RELAY_ADMIN_TOKEN", headers=_CHALLENGE)
