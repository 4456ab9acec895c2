"""What the tests of the dashboard share: users of every role, a browser without scripts, a store with all states."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from html import unescape
from html.parser import HTMLParser
from typing import Any

import argon2
import httpx

from relay.events import Attempt, DeliveryState, Outcome, event_id
from relay.services import open_services
from relay.settings import Settings, load_mapping
from relay.store.work import Finished, Lane, Settled
from relay.web.app import create_app
from tests.integration.web_world import (
    HMAC_SECRET,
    OLD_SECRET,
    PASSWORD,
    PORTAL,
    SECRET,
    SOURCES,
    TARGETS,
    TOKEN,
    Web,
    thin,
)

HOST = "http://relay.test"
# Cheap, so that tests of other things are not tests of patience.
_HASHER = argon2.PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
PASSWORDS = {role: f"the password of {role}" for role in ("viewer", "operator", "payroll", "admin")}
HASHES = {role: _HASHER.hash(password) for role, password in PASSWORDS.items()}
HOSTILE = "<script>alert(1)</script>'\"&{{7*7}}"
PAYROLL: Mapping[str, Any] = {
    "type": "payroll-http",
    "url": "https://payroll.example/lines",
    "events": ["planday.payroll_line.*"],
    "fields": ["class:A"],
    "line_key": ["portalid", "subject"],
    "map": {"lineid": {"from": "line.key"}},
    "dedupes": False,
}
ENVELOPE: Mapping[str, Any] = {
    "specversion": "1.0",
    "type": "planday.shift.updated",
    "subject": "shift/1",
    "portalid": str(PORTAL),
    "employeeid": "505",
    "data": {
        "object": {"id": 1, "employeeId": 505, "comment": HOSTILE, "status": "Open"},
        "related": {"employee": {"id": 505, "firstName": "Sørine-Canary", "cellPhone": "12345678"}},
        "changes": {"before": {"comment": "old-canary"}, "after": {"comment": HOSTILE}},
        "changed": ["comment"],
        "enrichment": {"state": "complete", "missing": []},
    },
}


def settings(
    url: str, prefix: str, *, token: str | None = TOKEN, environ: Mapping[str, str] | None = None, **sections: Any
) -> Settings:
    """Settings with a user of each role; sections by name go over the usual ones."""
    environ = {
        **(environ or {}),
        **{"SECRET": SECRET, "OLD_SECRET": OLD_SECRET, "HMAC_SECRET": HMAC_SECRET, "PASSWORD": PASSWORD},
        "REDIS_URL": url,
        **({"RELAY_ADMIN_TOKEN": token} if token else {}),
    }
    body: dict[str, Any] = {
        "store": {"url": "env:REDIS_URL"},
        "sources": SOURCES,
        "targets": {**TARGETS, "pay": PAYROLL},
        "portals": {"bistro": {"id": PORTAL, "client_id": "app", "refresh_token": "env:REFRESH", "feeds": ["shifts"]}},
        "users": {f"{role}-user": {"password": HASHES[role], "role": role} for role in HASHES},
        **sections,
    }
    body["relay"] = {"key_prefix": prefix, **sections.get("relay", {})}
    return load_mapping(body, environ=environ, role="web")


class _Reader(HTMLParser):
    """Elements of a page, by tag, with their attributes."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, {name: value or "" for name, value in attrs}))


def elements(page: str, tag: str) -> list[dict[str, str]]:
    """The attributes of every element of this tag."""
    reader = _Reader()
    reader.feed(page)
    return [attributes for name, attributes in reader.found if name == tag]


def text_of(page: str) -> str:
    """What a reader sees of a page."""
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", page)).split())


@dataclass(slots=True)
class Browser:
    """A browser without scripts: keeps cookies, follows redirects, sends forms as the pages have them."""

    client: httpx.AsyncClient
    page: str = ""
    sent: dict[str, str] = field(default_factory=lambda: {"origin": HOST})

    async def get(self, path: str, *, status: int = 200) -> str:
        answer = await self.client.get(path, follow_redirects=True)
        assert answer.status_code == status, (answer.status_code, text_of(answer.text)[:500])
        self.page = answer.text
        return self.page

    async def post(self, path: str, form: Mapping[str, Any] | None = None, *, status: int = 200) -> str:
        """Send a form of the page that is open, with its token."""
        tokens = [one["value"] for one in elements(self.page, "input") if one.get("name") == "csrf"]
        answer = await self.client.post(
            path, data={"csrf": tokens[0] if tokens else "", **(form or {})}, headers=self.sent, follow_redirects=True
        )
        assert answer.status_code == status, (answer.status_code, text_of(answer.text)[:500])
        self.page = answer.text
        return self.page

    async def sign_in(self, role: str = "admin", *, name: str | None = None, password: str | None = None) -> None:
        await self.get("/sign-in")
        await self.post("/sign-in", {"name": name or f"{role}-user", "password": password or PASSWORDS[role]})
        assert "Sign out" in self.page


@dataclass(slots=True)
class Dashboard(Web):
    """An app with users, and what fills its store."""

    def browser(self, *, peer: str = "10.0.0.9") -> Browser:
        transport = httpx.ASGITransport(self.app, client=(peer, 50_000))
        return Browser(httpx.AsyncClient(transport=transport, base_url=HOST))

    async def signed_in(self, role: str = "admin") -> Browser:
        browser = self.browser()
        await browser.sign_in(role)
        return browser

    async def accepted(self, number: int = 1, **changes: Any) -> str:
        answer = await self.send(thin(number, id=f"s{number}", **changes))
        assert answer.status_code == 202, answer.text
        return event_id("planday", f"s{number}")

    async def routed(self, *targets: str, refusals: Mapping[str, str] | None = None) -> None:
        """Take every due event through routing, to these targets."""
        store, now = self.services.store, self.services.clock()
        while (claim := await store.claim([], now=now, lease=60, most_events=50, most_deliveries=0)).events:
            for one in claim.events:
                body = json.dumps({**ENVELOPE, "id": one.id}).encode()
                finished = Finished(
                    id=one.id,
                    token=one.token,
                    envelope=body,
                    targets=targets,
                    refusals=dict(refusals or {}),
                    people=("505",),
                )
                await store.finish(finished, now=now)

    async def settled(self, target: str, state: DeliveryState, *, reason: str = "HTTP 500") -> None:
        """End every due delivery of a target in this state."""
        now = self.services.clock()
        lane = Lane(target=target, concurrency=50, per_second=None, burst=1, limiter=target, dedupes=True)
        claim = await self.services.store.claim([lane], now=now, lease=60, most_events=0, most_deliveries=50)
        for one in claim.deliveries:
            good = state is DeliveryState.DELIVERED
            attempt = Attempt(
                number=one.attempt,
                started_at=now - 0.2,
                ended_at=now,
                outcome=Outcome.DELIVERED if good else Outcome.REJECTED,
                reason=reason,
                status=204 if good else 500,
                request_headers={"authorization": "***"},
                response_headers={"x-note": HOSTILE},
                excerpt=f"answer-canary {HOSTILE}",
            )
            due = now + 300 if state is DeliveryState.WAITING else None
            await self.services.store.settle(
                Settled(
                    id=one.id, target=target, token=one.token, state=state, reason=reason, due_at=due, attempt=attempt
                ),
                now=now,
            )

    async def delivery(self, target: str, state: DeliveryState, number: int = 1) -> str:
        """One event with one delivery in this state; its id."""
        event = await self.accepted(number)
        await self.routed(target)
        if state is not DeliveryState.WAITING:
            await self.settled(target, state)
        return event


@asynccontextmanager
async def dashboard_over(loaded: Settings, **more: Any) -> AsyncIterator[Dashboard]:
    """The app over services of its own, called without a socket."""
    async with open_services(loaded, worker=False, strict=False, **more) as services:
        app = create_app(loaded, services=services)
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=HOST) as client:
            yield Dashboard(app, services, client)
