"""How the payroll system knows us: bearer, basic, a header, OAuth2 client credentials, a client certificate."""

from __future__ import annotations

import asyncio
import base64
import ssl
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote_plus

import httpx
import pydantic_core

from relay.errors import AddressRefused, ConfigError, Fault, NotSent, SendError
from relay.settings import PayrollAuth, PayrollTls, Secret
from relay.targets.answers import named
from relay.targets.base import USER_AGENT, Transport

# A token is not used in its last minute, or in the last tenth of a short life.
_MARGIN, _SHARE = 60.0, 0.1
# Where the server does not say how long a token lives.
_USUAL_LIFE = 300.0
_LATER = frozenset({408, 425, 429})
_LONGEST_TOKEN = 16_384


class Credential:
    """Headers that do not change."""

    def __init__(self, auth: PayrollAuth) -> None:
        self._fixed: dict[str, str] = {}
        match auth.type:
            case "bearer":
                self._fixed["authorization"] = f"Bearer {_of(auth.token)}"
            case "basic":
                pair = f"{_of(auth.username)}:{_of(auth.password)}".encode()
                self._fixed["authorization"] = f"Basic {base64.b64encode(pair).decode()}"
            case "header":
                assert auth.header is not None
                self._fixed[auth.header] = _of(auth.token)
        self._known = tuple(one.reveal() for one in (auth.token, auth.password, auth.client_secret) if one is not None)

    def shown(self) -> dict[str, str]:
        """The headers as far as they are known without asking anybody."""
        return self._fixed

    async def headers(self, *, now: float) -> dict[str, str]:
        """The headers of one request. Raises SendError where they have to be fetched and are not to be had."""
        return self._fixed

    def refused(self) -> bool:
        """The far side did not take them (401); the answer is whether others can be had."""
        return False

    def secrets(self) -> Iterator[str]:
        """What must never be kept."""
        yield from self._known
        for value in self._fixed.values():
            yield value
            yield value.partition(" ")[2]


class ClientCredentials(Credential):
    """OAuth2 client credentials (RFC 6749, 4.4): a token is kept until shortly before its end, and fetched once."""

    def __init__(self, auth: PayrollAuth, *, url: httpx.URL, transport: Transport, timeout: float) -> None:
        super().__init__(auth)
        self._auth = auth
        self._url = url
        self._transport = transport
        self._timeout = timeout
        self._lock = asyncio.Lock()
        self._token = ""
        self._until = 0.0

    def shown(self) -> dict[str, str]:
        return {"authorization": "Bearer ***"}

    async def headers(self, *, now: float) -> dict[str, str]:
        async with self._lock:
            if not self._token or now >= self._until:
                await self._fetch(now)
            return {"authorization": f"Bearer {self._token}"}

    def refused(self) -> bool:
        self._token = ""
        return True

    def secrets(self) -> Iterator[str]:
        yield from super().secrets()
        if self._token:
            yield self._token

    async def _fetch(self, now: float) -> None:
        try:
            response = await self._transport.send(
                self._request(), timeout=self._timeout, connect_timeout=min(5.0, self._timeout)
            )
        except AddressRefused:
            raise
        except SendError as error:
            # Whatever became of that call, nothing was sent to payroll.
            raise _without(f"the token server gave no answer: {error}", permanent=error.permanent) from None
        status = response.status_code
        if status in _LATER or status >= 500:
            raise _without(f"the token server asks to come back later ({named(status)})")
        if status != 200:
            raise _without(f"the token server does not accept our credentials ({named(status)})", permanent=True)
        self._token, life = _read(response)
        self._until = now + life - min(_MARGIN, life * _SHARE)

    def _request(self) -> httpx.Request:
        auth, headers = self._auth, {"user-agent": USER_AGENT, "accept": "application/json"}
        form = {"grant_type": "client_credentials"}
        form |= {"scope": auth.scope} if auth.scope else {}
        form |= {"audience": auth.audience} if auth.audience else {}
        identity, secret = _of(auth.client_id), _of(auth.client_secret)
        if auth.client_in == "header":
            # RFC 6749, 2.3.1: both are form-encoded before they are joined.
            pair = f"{quote_plus(identity)}:{quote_plus(secret)}"
            headers["authorization"] = "Basic " + base64.b64encode(pair.encode()).decode()
        else:
            form |= {"client_id": identity, "client_secret": secret}
        return httpx.Request("POST", self._url, headers=headers, data=form)


def ssl_context(name: str, tls: PayrollTls) -> ssl.SSLContext | None:
    """The TLS of a target, None for the usual one. Raises ConfigError."""
    if tls.certificate is None and tls.ca is None:
        return None
    context, faults = ssl.create_default_context(), []
    if tls.ca is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        try:
            context.load_verify_locations(cadata=tls.ca.reveal())
        except (ssl.SSLError, ValueError):
            faults.append(Fault(f"targets.{name}.tls.ca", "holds no certificate in PEM"))
    if tls.certificate is not None and tls.key is not None and not _loaded(context, tls.certificate, tls.key):
        what = "certificate and key are not in PEM, do not fit each other, or the key has a pass phrase"
        faults.append(Fault(f"targets.{name}.tls.certificate", what))
    if faults:
        raise ConfigError(faults)
    return context


def _loaded(context: ssl.SSLContext, certificate: Secret, key: Secret) -> bool:
    # OpenSSL reads a key from a file only: one that nobody else can read, and that is gone at once.
    with tempfile.TemporaryDirectory(prefix="relay-tls-") as folder:
        chain, private = Path(folder, "chain.pem"), Path(folder, "key.pem")
        for path, secret in ((chain, certificate), (private, key)):
            path.touch(mode=0o600)
            path.write_text(secret.reveal() + "\n", encoding="utf-8")
        try:
            context.load_cert_chain(chain, private, password=lambda: "")
        except (ssl.SSLError, ValueError, OSError):
            return False
    return True


def _read(response: httpx.Response) -> tuple[str, float]:
    """The token and its life in seconds. Raises NotSent."""
    try:
        body: Any = pydantic_core.from_json(response.content)
    except ValueError:
        body = None
    token = body.get("access_token") if isinstance(body, Mapping) else None
    if not isinstance(token, str) or not 0 < len(token) <= _LONGEST_TOKEN or not token.isascii():
        raise _without("the token server's answer holds no access token")
    assert isinstance(body, Mapping)
    life = body.get("expires_in")
    try:
        seconds = float(life) if life is not None and not isinstance(life, bool) else _USUAL_LIFE
    except (TypeError, ValueError):
        seconds = _USUAL_LIFE
    return token, seconds if 0 < seconds < 1e9 else _USUAL_LIFE


def _without(text: str, *, permanent: bool = False) -> NotSent:
    error = NotSent(text)
    error.permanent = permanent
    return error


def _of(secret: Secret | None) -> str:
    assert secret is not None, "PayrollAuth saw to it"
    return secret.reveal()
