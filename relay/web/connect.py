"""Where Planday sends an administrator's browser back to after the consent screen.

This process holds no token and no key: the code goes to a worker at once, which exchanges it and keeps the token.
"""

from __future__ import annotations

from html import escape

from starlette.requests import Request
from starlette.responses import Response

from relay.errors import RelayError
from relay.services import Services

_HEADERS = {
    "cache-control": "no-store",
    "content-security-policy": "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
}
_LONGEST = 2048


async def callback(request: Request) -> Response:
    """Take the code of an administrator who agreed, or say why nothing was changed."""
    services: Services = request.app.state.services
    state, code = request.query_params.get("state", ""), request.query_params.get("code", "")
    if not state or len(state) > _LONGEST or len(code) > _LONGEST:
        return _page(400, "Nothing was changed", "This page is where Planday sends you after you have agreed.")
    awaited = await services.consents.redeem(state)
    if awaited is None:
        return _page(
            400,
            "Nothing was changed",
            "This link was used already, is older than ten minutes, or was not made here. "
            "Begin again: relay portals connect PORTAL",
        )
    if not code:
        said = "Planday sent you back without a code: the app was not authorised."
        await services.consents.tell(state, {"ok": False, "error": said})
        return _page(400, "Not connected", f"{said} Begin again: relay portals connect {awaited.portal}")
    try:
        answer = await services.errands.ask(
            "connect", awaited.portal, by="consent", secret=f"{awaited.redirect_uri}\n{code}"
        )
    except RelayError as error:
        answer = {"ok": False, "error": str(error)}
    await services.consents.tell(state, answer)
    if not answer.get("ok"):
        # A worker that is late may still do it, so nothing is promised.
        return _page(
            502, "Not connected", f"{answer.get('error')}. How it stands: relay portals check {awaited.portal}"
        )
    return _page(
        200,
        "Connected",
        f"Portal {awaited.portal} is authorised. Events that waited go on within a minute. You can close this page.",
    )


def _page(status: int, title: str, text: str) -> Response:
    body = (
        "<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content='width=device-width'>"
        f"<title>{escape(title)} - planday-relay</title>"
        "<style>:root{color-scheme:light dark}body{font:1.1rem/1.5 system-ui,sans-serif;max-width:34rem;"
        "margin:15vh auto;padding:0 1.25rem}h1{font-size:1.5rem}</style>"
        f"<main><h1>{escape(title)}</h1><p>{escape(text)}</p></main></html>"
    )
    return Response(body, status_code=status, media_type="text/html", headers=_HEADERS)
