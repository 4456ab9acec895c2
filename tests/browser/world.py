"""What the browser looks at: receiver and worker as processes, a simulated Planday, a far side that obeys the test."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import argon2

from relay.events import event_id
from relay.simulator.flavours import BISTRO, HARBOUR
from tests.acceptance.harness import Relay, eventually
from tests.acceptance.sender import PORTAL, thin
from tests.acceptance.sink import Arrival, Sink
from tests.browser.chromium import Chromium
from tests.browser.page import Page

ROLES = ("viewer", "operator", "payroll", "admin")
PASSWORDS = {role: f"the password of {role}" for role in ROLES}
# Cheap, so that a test of a page is not a test of patience; the real cost is test_dashboard_access.py's.
_HASHER = argon2.PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
# A target for each test that changes something, so that none depends on another.
_TARGETS = {
    "ledger": "absence_request",
    "till": "department",
    "locks": "position",
    "quiet": "employee_group",
    "fussy": "shift_type",
}
_numbers = itertools.count(1)


@dataclass(slots=True)
class World:
    """The relay, its far side, and the browser. `answers`: what the far side says to a path other than 202."""

    relay: Relay
    sink: Sink
    browser: Chromium
    answers: dict[str, int] = field(default_factory=dict)

    @asynccontextmanager
    async def page(self, role: str | None = None, **looks: Any) -> AsyncIterator[Page]:
        """A page, signed in if a role is given; afterwards it must have done nothing that it may not."""
        async with self.browser.page(self.relay.url, **looks) as page:
            if role is not None:
                await sign_in(page, role)
            yield page
            assert not page.wrongs, page.wrongs

    async def accepted(self, *, type_: str, subject: str = "", portal: int = PORTAL, **more: Any) -> str:
        """Send one event, signed, as a sender does; its id."""
        number = next(_numbers)
        event = thin(f"b{number}", subject or f"shift/{number}", type_=type_, portal=portal, **more)
        await self.relay.sender.send([event])
        return event_id("planday", event["id"])

    async def has(self, event: str, target: str, state: str) -> None:
        """Until the delivery of an event to a target is in this state."""

        async def found() -> bool:
            shown = await self.relay.api("GET", f"/events/{event}")
            return any(one["target"] == target and one["state"] == state for one in shown["deliveries"])

        await eventually(found, within=20, what=f"{event} to {target} is {state}")


async def sign_in(page: Page, role: str, *, password: str | None = None) -> None:
    """Through the form, as a person does."""
    await page.open("/sign-in")
    await page.fill("Name", f"{role}-user")
    await page.fill("Password", PASSWORDS[role] if password is None else password)
    await page.submit("Sign in")


def target(sink: Sink, name: str, *events: str, **more: Any) -> Mapping[str, Any]:
    """A webhook target at a path of its own."""
    return {
        "type": "webhook",
        "url": f"{sink.url}/{name}",
        "signing_secret": "env:HOOKS_SECRET",
        "events": list(events),
        "allow_http": True,
        "allow_networks": ["127.0.0.0/8"],
        **more,
    }


@asynccontextmanager
async def world_in(
    folder: Path,
    browser: Chromium,
    *,
    targets: Mapping[str, tuple[str, ...]] | None = None,
    portal: Mapping[str, Any] | None = None,
) -> AsyncIterator[World]:
    """Everything started. `targets`: others than those of the tests, and what each takes; `portal` adds to each."""
    answers: dict[str, int] = {}

    def decide(arrival: Arrival) -> int:
        return answers.get(arrival.path, 202)

    async with Sink(decide=decide) as sink:
        wanted = targets or {name: (f"planday.{entity}.*",) for name, entity in _TARGETS.items()}
        tables = {f"targets.{name}": target(sink, name, *events) for name, events in wanted.items()}
        users = {f"users.{role}-user": {"password": _HASHER.hash(PASSWORDS[role]), "role": role} for role in ROLES}
        relay = Relay(
            folder,
            sink,
            target={"events": ["planday.shift.*", "planday.employee.*"], "fields": ["class:A", "class:B", "class:C"]},
            tables={**tables, **users},
            portals={"bistro": BISTRO, "harbour": HARBOUR},
            portal=portal,
        )
        async with relay:
            await relay.start_simulator()
            await relay.start("web")
            await relay.start("worker")
            yield World(relay, sink, browser, answers)
