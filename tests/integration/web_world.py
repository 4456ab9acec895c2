"""What the tests of the web share: settings with every kind of source, an independent signer, the app and its store."""

from __future__ import annotations

import base64
import hashlib
import hmac
import itertools
import json
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import httpx
from standardwebhooks.webhooks import Webhook
from starlette.applications import Starlette

from relay.services import Services, open_services
from relay.settings import Settings, load_mapping
from relay.web.app import create_app

SECRET = "whsec_" + base64.b64encode(b"planday-relay-tests-secret-1").decode()
OLD_SECRET = "whsec_" + base64.b64encode(b"planday-relay-tests-secret-0").decode()
HMAC_SECRET = "a-shared-text-of-two"
TOKEN = "test-admin-token-0123456789"
PASSWORD = "a-long-password"
PORTAL = 4100001

Headers = list[tuple[bytes, bytes]]

SOURCES: Mapping[str, Any] = {
    "planday": {"secrets": ["env:SECRET", "env:OLD_SECRET"]},
    "github": {
        "verify": "hmac-sha256",
        "secrets": "env:HMAC_SECRET",
        "header": "X-Hub-Signature-256",
        "prefix": "sha256=",
    },
    "stamped": {
        "verify": "hmac-sha256",
        "secrets": "env:HMAC_SECRET",
        "header": "x-signature",
        "timestamp_header": "x-timestamp",
        "signed": "{timestamp}.{body}",
    },
    "token": {"verify": "token", "secrets": "env:HMAC_SECRET", "header": "Authorization", "prefix": "Bearer "},
    "basic": {"verify": "basic", "secrets": "env:PASSWORD", "username": "quinyx"},
    "open": {"verify": "none"},
    "mapped": {
        "verify": "none",
        "map": {"type": "join('.', ['deputy', topic])", "subject": "['timesheet', data.Id]", "portalid": "`4100001`"},
    },
}
TARGETS: Mapping[str, Any] = {
    "hours": {
        "type": "webhook",
        "url": "https://payroll.example/hooks/secret-path",
        "signing_secret": "env:SECRET",
        "events": ["planday.shift.*"],
    },
    "slack": {"type": "slack", "url": "env:SLACK_URL", "events": ["planday.shift.published"]},
}
PORTALS: Mapping[str, Any] = {
    "bistro": {"id": PORTAL, "client_id": "app", "refresh_token": "env:REFRESH_TOKEN"},
}

_numbers = itertools.count(1)


def settings(url: str, prefix: str, *, token: str | None = TOKEN, **relay: Any) -> Settings:
    """Settings of a receiver; keyword arguments go to [relay]."""
    environ = {
        "SECRET": SECRET,
        "OLD_SECRET": OLD_SECRET,
        "HMAC_SECRET": HMAC_SECRET,
        "PASSWORD": PASSWORD,
        "REDIS_URL": url,
        **({"RELAY_ADMIN_TOKEN": token} if token else {}),
    }
    body = {
        "relay": {"key_prefix": prefix, "body_limit": 65_536, **relay},
        "store": {"url": "env:REDIS_URL"},
        "sources": SOURCES,
        "targets": TARGETS,
        "portals": PORTALS,
    }
    return load_mapping(body, environ=environ, role="web")


def thin(entity_id: int | str = 70010045, **changes: Any) -> dict[str, Any]:
    """The least that is an event; a change to None takes an attribute out."""
    event = {"type": "planday.shift.updated", "subject": f"shift/{entity_id}", "portalid": PORTAL} | changes
    return {name: value for name, value in event.items() if value is not None}


def encoded(content: Any) -> bytes:
    """JSON, unless it is bytes already."""
    return content if isinstance(content, bytes) else json.dumps(content).encode()


def signed(
    body: bytes,
    *,
    message_id: str | None = None,
    at: float | None = None,
    secret: str = SECRET,
    content_type: str | None = "application/json",
    **changes: str | None,
) -> Headers:
    """Headers by the standardwebhooks library. `webhook_id="x"` replaces a header after signing, None takes it out."""
    message_id = message_id or f"msg_{next(_numbers)}"
    stamp = int(time.time() if at is None else at)
    # The library signs text; what is no UTF-8 is signed by hand, byte for byte.
    try:
        signature = Webhook(secret).sign(message_id, datetime.fromtimestamp(stamp, UTC), body.decode())
    except UnicodeDecodeError:
        key = base64.b64decode(secret.removeprefix("whsec_"))
        digest = hmac.new(key, f"{message_id}.{stamp}.".encode() + body, hashlib.sha256).digest()
        signature = f"v1,{base64.b64encode(digest).decode()}"
    headers: dict[str, str | None] = {
        "content-type": content_type,
        "webhook-id": message_id,
        "webhook-timestamp": str(stamp),
        "webhook-signature": signature,
    }
    headers |= {name.replace("_", "-"): value for name, value in changes.items()}
    return raw(headers)


def raw(headers: Mapping[str, str | None]) -> Headers:
    """Headers as bytes, those that are None left out."""
    return [(name.encode(), value.encode("latin-1")) for name, value in headers.items() if value is not None]


@dataclass(slots=True)
class Web:
    """An app over its services, and what tests ask of both."""

    app: Starlette
    services: Services
    client: httpx.AsyncClient
    bearer: Mapping[str, str] = field(default_factory=lambda: {"authorization": f"Bearer {TOKEN}"})

    async def send(self, content: Any, headers: Headers | None = None, *, source: str = "planday") -> httpx.Response:
        """Post to a source, signed unless headers are given."""
        body = encoded(content)
        return await self.client.post(
            f"/in/{source}", content=body, headers=signed(body) if headers is None else headers
        )

    async def get(self, path: str, **query: Any) -> httpx.Response:
        return await self.client.get(f"/api/v1{path}", params=query, headers=dict(self.bearer))

    async def post(self, path: str, body: Any = None) -> httpx.Response:
        content = None if body is None else encoded(body)
        return await self.client.post(f"/api/v1{path}", content=content, headers=dict(self.bearer))

    async def count(self) -> int:
        """How many events are stored."""
        found: int = await self.services.store.client.zcard(self.services.keys.events)
        return found

    async def quarantined(self) -> list[Any]:
        """What is in the quarantine, newest first."""
        return list(await self.services.shelf.quarantined(limit=1000))


@asynccontextmanager
async def web_over(loaded: Settings, *, worker: bool = False, body_patience: float = 5.0) -> AsyncIterator[Web]:
    """The app over services of its own, called without a socket."""
    async with open_services(loaded, worker=worker, strict=False) as services:
        app = create_app(loaded, services=services, body_patience=body_patience)
        transport = httpx.ASGITransport(app, raise_app_exceptions=True)
        async with httpx.AsyncClient(transport=transport, base_url="http://relay.test") as client:
            yield Web(app, services, client)


def problem(answer: httpx.Response, status: int, slug: str) -> dict[str, Any]:
    """The body of a refusal, after the claims that every refusal has to fulfil."""
    assert answer.status_code == status, (answer.status_code, answer.text)
    assert answer.headers["content-type"] == "application/problem+json"
    body: dict[str, Any] = answer.json()
    assert body["type"] == f"urn:planday-relay:problem:{slug}"
    assert body["status"] == status
    assert body["title"]
    assert body["detail"]
    assert ("retry-after" in answer.headers) == (status in (429, 503))
    return body


def pointers(body: Mapping[str, Any]) -> Sequence[str]:
    return [error["pointer"] for error in body.get("errors", ())]
