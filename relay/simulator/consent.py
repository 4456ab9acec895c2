"""`/connect/authorize`: an administrator says yes to the app on one portal, and the app gets a code for it."""

from collections.abc import Callable, Mapping, Sequence
from html import escape
from urllib.parse import urlencode, urlsplit

from starlette.responses import HTMLResponse, RedirectResponse, Response

from relay.simulator.identity import APP_SCOPES, Identity
from relay.simulator.settings import Settings
from relay.simulator.state import Portal

_PARAMS = {
    "client_id",
    "response_type",
    "redirect_uri",
    "scope",
    "state",
    "code_challenge",
    "code_challenge_method",
}


class Consent:
    """The screen an administrator sees, and the one that answers itself for tests."""

    def __init__(
        self,
        *,
        identity: Identity,
        settings: Settings,
        portals: Callable[[], Mapping[int, Portal]],
        redirect_uris: Sequence[str] | None = None,
    ) -> None:
        self._identity = identity
        self._settings = settings
        self._portals = portals
        # None: whatever leads back to this machine.
        self._redirect_uris = redirect_uris

    def ask(self, params: Mapping[str, str]) -> Response:
        """Show the screen, or answer at once if the switch says so."""
        refused = self._refusal(params)
        if refused is not None:
            return refused
        if self._settings.auto_consent:
            return self._agree(params, self._settings.consent_portal or min(self._portals()))
        hidden = "".join(
            f'<input type="hidden" name="{name}" value="{escape(value)}">'
            for name, value in params.items()
            if name in _PARAMS
        )
        options = "".join(
            f'<option value="{key}">{escape(portal.info["name"])}</option>' for key, portal in self._portals().items()
        )
        return HTMLResponse(
            "<!doctype html><title>Authorise</title><h1>Simulated Planday</h1>"
            f"<p>An app asks for: {escape(params.get('scope', ''))}</p>"
            f'<form method="post">{hidden}<select name="portal">{options}</select>'
            '<button name="decision" value="approve">Authorise</button>'
            '<button name="decision" value="deny">Cancel</button></form>'
        )

    def decide(self, form: Mapping[str, str]) -> Response:
        """What the administrator pressed."""
        refused = self._refusal(form)
        if refused is not None:
            return refused
        portal = form.get("portal", "")
        if form.get("decision") != "approve":
            return _back(form, error="access_denied")
        if not portal.isdigit() or int(portal) not in self._portals():
            return HTMLResponse("<h1>No such portal</h1>", status_code=400)
        return self._agree(form, int(portal))

    def _agree(self, params: Mapping[str, str], portal_id: int) -> Response:
        code = self._identity.issue_code(
            portal_id=portal_id,
            client_id=params["client_id"],
            redirect_uri=params["redirect_uri"],
            scopes=frozenset(params["scope"].split()),
            challenge=params.get("code_challenge"),
            method=params.get("code_challenge_method", "plain"),
        )
        return _back(params, code=code)

    def _refusal(self, params: Mapping[str, str]) -> Response | None:
        # An unknown app or address is never redirected to.
        if params.get("client_id") not in self._identity.client_ids:
            return HTMLResponse("<h1>Unknown client</h1>", status_code=400)
        if not self._registered(params.get("redirect_uri", "")):
            return HTMLResponse("<h1>Invalid redirect_uri</h1>", status_code=400)
        if params.get("response_type") != "code":
            return _back(params, error="unsupported_response_type")
        scopes = set(params.get("scope", "").split())
        if not scopes or not scopes <= APP_SCOPES or "offline_access" not in scopes:
            return _back(params, error="invalid_scope")
        return None

    def _registered(self, uri: str) -> bool:
        if self._redirect_uris is not None:
            return uri in self._redirect_uris
        parts = urlsplit(uri)
        return parts.scheme in ("http", "https") and parts.hostname in ("127.0.0.1", "localhost", "::1")


def consent_oddities(params: Mapping[str, str], sent: Sequence[str]) -> list[str]:
    """What no careful app does when it asks for consent."""
    found = [] if params.get("state") else ["missing state"]
    found += [f"undocumented parameter: {name}" for name in dict.fromkeys(sent) if name not in _PARAMS]
    return found + [f"repeated parameter: {name}" for name in dict.fromkeys(sent) if sent.count(name) > 1]


def _back(params: Mapping[str, str], **answer: str) -> Response:
    if "state" in params:
        answer["state"] = params["state"]
    uri = params["redirect_uri"]
    return RedirectResponse(f"{uri}{'&' if '?' in uri else '?'}{urlencode(answer)}", status_code=302)
