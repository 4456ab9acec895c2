"""The identity server: refresh tokens in, short-lived access tokens out, and how a connection dies."""

import base64
import hashlib
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Literal
from urllib.parse import parse_qsl

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from relay.simulator.clock import Clock
from relay.simulator.settings import Settings

# Development values, known to everyone; create_simulator takes others.
CLIENT_ID = "5b1f6c1e-0000-4000-8000-000000000001"
# A second registered app that no portal has authorised.
OTHER_CLIENT_ID = "5b1f6c1e-0000-4000-8000-000000000002"
REFRESH_TOKENS = {4100001: "sim-bistro-demo-000001", 4100002: "sim-harbour-hotel-0002"}
DEFAULT_SCOPES = frozenset(
    [
        "openid",
        "offline_access",
        "department:read",
        "employeegroup:read",
        "employeetype:read",
        "employee:read",
        "skill:read",
        "shift:read",
        "shifttype:read",
        "shiftposition:read",
        "punchclockshift:read",
        "absence:read",
    ]
)

# An app's scopes are chosen when it is created; consent cannot give more.
PAYROLL_SCOPES = DEFAULT_SCOPES | {"payroll:read"}
APP_SCOPES = PAYROLL_SCOPES | {"employee:history", "ssn:read", "birthdate:read", "bankaccount:read"}

Fate = Literal["active", "refresh-fails", "api-401"]


@dataclass
class Authorisation:
    """One portal's consent to the app, given by one administrator."""

    portal_id: int
    client_id: str
    refresh_token: str
    scopes: frozenset[str] = DEFAULT_SCOPES
    fate: Fate = "active"


@dataclass(frozen=True)
class AccessToken:
    """A bearer token that has been handed out."""

    portal_id: int
    client_id: str
    expires_at: datetime


@dataclass(frozen=True)
class Code:
    """What an administrator consented to, waiting to be turned into tokens once."""

    portal_id: int
    client_id: str
    redirect_uri: str
    scopes: frozenset[str]
    challenge: str | None
    method: str
    expires_at: datetime


@dataclass
class Identity:
    """Who may read what, and until when."""

    clock: Clock
    settings: Settings
    client_ids: frozenset[str]
    authorisations: dict[int, Authorisation]
    access_tokens: dict[str, AccessToken] = field(default_factory=dict)
    codes: dict[str, Code] = field(default_factory=dict)

    def grant(self, form: Mapping[str, str]) -> Response:
        """Answer a token request."""
        kind = form.get("grant_type")
        if kind not in ("refresh_token", "authorization_code"):
            return self._refuse("unsupported_grant_type")
        if form.get("client_id") not in self.client_ids:
            return self._refuse("invalid_client")
        if kind == "authorization_code":
            return self._redeem(form)
        found = self._by_refresh_token(form.get("refresh_token", ""), client_id=form["client_id"])
        if found is None or found.fate == "refresh-fails":
            return self._refuse("invalid_grant")
        if self.settings.rotate_refresh_tokens:
            found.refresh_token = new_refresh_token()
        answer: dict[str, str | int] = {
            "access_token": self._issue(found),
            "expires_in": self.settings.token_lifetime,
            "token_type": "Bearer",
        }
        if self.settings.return_refresh_token:
            answer["refresh_token"] = found.refresh_token
        return JSONResponse(answer, headers={"cache-control": "no-store"})

    def issue_code(
        self,
        *,
        portal_id: int,
        client_id: str,
        redirect_uri: str,
        scopes: frozenset[str],
        challenge: str | None,
        method: str,
    ) -> str:
        """The code for a consent just given."""
        text = secrets.token_urlsafe(24)
        expires_at = self.clock.now() + timedelta(minutes=5)
        self.codes[text] = Code(portal_id, client_id, redirect_uri, scopes, challenge, method, expires_at)
        return text

    def _redeem(self, form: Mapping[str, str]) -> Response:
        # Taken out whatever follows: a code works once.
        code = self.codes.pop(form.get("code", ""), None)
        if (
            code is None
            or code.expires_at <= self.clock.now()
            or code.client_id != form["client_id"]
            or code.redirect_uri != form.get("redirect_uri")
            or not _proven(code, form.get("code_verifier", ""))
        ):
            return self._refuse("invalid_grant")
        given = self.authorisations.get(code.portal_id)
        if given is None or given.client_id != code.client_id:
            given = Authorisation(code.portal_id, code.client_id, new_refresh_token())
            self.authorisations[code.portal_id] = given
        else:
            self.renew(given)
        given.scopes = code.scopes
        return JSONResponse(
            {
                "id_token": _opaque(),
                "access_token": self._issue(given),
                "expires_in": self.settings.token_lifetime,
                "token_type": "Bearer",
                "refresh_token": given.refresh_token,
                "scope": " ".join(sorted(given.scopes)),
            },
            headers={"cache-control": "no-store"},
        )

    def revoke(self, form: Mapping[str, str]) -> Response:
        """Answer a revocation; an unknown token is fine too (RFC 7009)."""
        found = self._by_refresh_token(form.get("token", ""), client_id=form.get("client_id", ""))
        if found is not None:
            self.end(found, fate="refresh-fails")
        return Response(status_code=200)

    def end(self, authorisation: Authorisation, *, fate: Fate) -> None:
        """Let an authorisation die in one of the two ways it might."""
        authorisation.fate = fate
        if fate == "refresh-fails" and self.settings.revoke_kills_access:
            self.expire(portal_id=authorisation.portal_id)

    def renew(self, authorisation: Authorisation) -> str:
        """Another administrator presses Authorise: a new token, and the old one is worthless."""
        if authorisation.fate != "active" or self.settings.reauthorise_renews:
            authorisation.refresh_token = new_refresh_token()
        authorisation.fate = "active"
        return authorisation.refresh_token

    def expire(self, *, portal_id: int | None = None) -> None:
        """Let live access tokens expire now, of one portal or of all."""
        for text, token in self.access_tokens.items():
            if portal_id in (None, token.portal_id):
                self.access_tokens[text] = AccessToken(token.portal_id, token.client_id, self.clock.now())

    def holder(self, authorization: str) -> AccessToken | None:
        """Whose token this is, dead or alive; the rate buckets want to know before anything else."""
        scheme, _, text = authorization.partition(" ")
        return self.access_tokens.get(text.strip()) if scheme.lower() == "bearer" else None

    def admit(self, token: AccessToken | None, *, client_id: str | None) -> Authorisation | None:
        """The authorisation behind a request, or None for a 401."""
        if token is None or token.expires_at <= self.clock.now():
            return None
        if self.settings.strict_headers and client_id != token.client_id:
            return None
        authorisation = self.authorisations[token.portal_id]
        return None if authorisation.fate == "api-401" else authorisation

    def _refuse(self, error: str) -> Response:
        return JSONResponse({"error": error}, status_code=int(self.settings.token_error_status))

    def _by_refresh_token(self, text: str, *, client_id: str) -> Authorisation | None:
        owned: Iterable[Authorisation] = self.authorisations.values()
        return next((a for a in owned if a.refresh_token == text and a.client_id == client_id), None)

    def _issue(self, authorisation: Authorisation) -> str:
        text = _opaque()
        expires_at = self.clock.now() + timedelta(seconds=self.settings.token_lifetime)
        self.access_tokens[text] = AccessToken(authorisation.portal_id, authorisation.client_id, expires_at)
        return text


def _opaque() -> str:
    # It looks like a JWT and must be treated as opaque: the middle is noise.
    head = base64.urlsafe_b64encode(b'{"alg":"RS256","typ":"at+jwt"}').decode().rstrip("=")
    return f"{head}.{secrets.token_urlsafe(24)}.{secrets.token_urlsafe(24)}"


def _proven(code: Code, verifier: str) -> bool:
    if code.challenge is None:
        return True
    if code.method == "S256":
        verifier = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).decode().rstrip("=")
    return secrets.compare_digest(code.challenge, verifier)


def new_refresh_token() -> str:
    """22 characters of URL-safe base64, like the documented samples."""
    return secrets.token_urlsafe(16)


async def read_form(request: Request) -> dict[str, str] | None:
    """The form fields, or None when the body is not form-encoded."""
    content_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if content_type != "application/x-www-form-urlencoded":
        return None
    return dict(parse_qsl((await request.body()).decode("utf-8", "replace")))


def oddities(form: Mapping[str, str] | None, request: Request) -> list[str]:
    """What no documented client sends to the identity server."""
    found = [
        f"{name} header at the identity server" for name in ("X-ClientId", "Authorization") if name in request.headers
    ]
    if form is None:
        found.append("body is not form-encoded")
    elif "client_secret" in form:
        found.append("client_secret sent")
    if request.url.query:
        found.append("query at the identity server")
    return found


def not_a_form() -> Response:
    """The answer to anything but a form."""
    return JSONResponse({"error": "invalid_request"}, status_code=400)
