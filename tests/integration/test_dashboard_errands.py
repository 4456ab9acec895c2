"""Acts of the dashboard that only a worker can carry out: the page waits, a worker answers, no secret lies about."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any, cast

import pytest

from relay import jobs
from relay.errors import AuthorizationLost
from relay.planday.enrich import Planday
from tests.integration.dashboard_world import Browser, Dashboard, dashboard_over, settings, text_of

NEW_TOKEN = "planday-refresh-token-canary"
KEYS = {"RELAY_ENCRYPTION_KEYS": "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="}


class PlandaySide:
    """Takes a token that is right, as Planday's side of a worker does."""

    def __init__(self) -> None:
        self.taken: list[tuple[str, str]] = []

    async def set_token(self, name: str, token: str) -> None:
        if token != NEW_TOKEN:
            raise AuthorizationLost("Planday does not know this token")
        self.taken.append((name, token))


@pytest.fixture
async def dashboard(redis_server: str, prefix: str, tmp_path: Path) -> AsyncIterator[Dashboard]:
    loaded = settings(redis_server, prefix, environ=KEYS, relay={"public_url": "http://relay.test"})
    async with dashboard_over(loaded) as opened:
        await opened.services.store.heartbeat(now=opened.services.clock(), life=600, worker="w")
        yield opened


async def errand(dashboard: Dashboard) -> list[str]:
    """The next errand, taken as a worker takes it; its arguments."""
    client, keys = dashboard.services.arq, dashboard.services.keys
    while True:
        _, job, _ = await client.bzpopmin(keys.queue, 5)
        found: Mapping[str, Any] = jobs.deserialize(await client.get(f"arq:job:{job.decode()}"))
        await client.delete(f"arq:job:{job.decode()}")
        if found["f"] == jobs.ERRAND:
            return [str(argument) for argument in found["a"]]


async def with_a_worker(dashboard: Dashboard, browser: Browser, path: str, form: Mapping[str, str]) -> bytes:
    """Send a form and carry its errand out; answers what lay in the store meanwhile."""
    errands, seen = dashboard.services.errands, b""

    async def work() -> None:
        nonlocal seen
        id_, kind, name, by = await errand(dashboard)
        seen = await dashboard.services.store.client.get(f"{dashboard.services.keys.errand(id_)}:in") or b""
        await errands.run(id_, kind, name, by)

    await asyncio.gather(browser.post(path, form), work())
    return seen


async def test_a_new_token_is_tried_by_a_worker_and_lies_nowhere_readable(dashboard: Dashboard) -> None:
    """A good one is taken and the audit says by whom; a bad one is refused with the reason, and nothing changes."""
    side = PlandaySide()
    dashboard.services.errands.planday = cast(Planday, side)
    browser = await dashboard.signed_in("admin")
    await browser.get("/portals/bistro")
    seen = await with_a_worker(dashboard, browser, "/portals/bistro/token", {"token": f" {NEW_TOKEN} "})
    assert seen
    assert NEW_TOKEN.encode() not in seen
    assert "has a new token" in text_of(browser.page)
    assert side.taken == [("bistro", NEW_TOKEN)]
    await with_a_worker(dashboard, browser, "/portals/bistro/token", {"token": "another"})
    assert "Not taken: Planday does not know this token" in text_of(browser.page)
    assert len(side.taken) == 1
    page = await dashboard.services.keeping.audit.list(limit=5, act="portals")
    assert [(one.act, one.by, one.on) for one in page.rows] == [("portals.set-token", "user:admin-user", "bistro")]


@pytest.mark.parametrize("token", ["", "two words", "x" * 5000])
async def test_what_cannot_be_a_token_is_not_handed_on(dashboard: Dashboard, token: str) -> None:
    """It is refused before a worker hears of it."""
    browser = await dashboard.signed_in("admin")
    await browser.get("/portals/bistro")
    assert "that is no token" in text_of(await browser.post("/portals/bistro/token", {"token": token})).lower()


async def test_connecting_gives_a_link_for_the_administrator(dashboard: Dashboard) -> None:
    """To Planday's consent screen, with the way back to this relay and a state that works once."""
    dashboard.services.errands.planday = cast(Planday, PlandaySide())
    browser = await dashboard.signed_in("admin")
    await browser.get("/portals/bistro")
    seen = await with_a_worker(dashboard, browser, "/portals/bistro/connect", {})
    state = seen.decode().partition("\n")[2]
    assert "https://id.planday.com/connect/authorize?client_id=app" in browser.page
    assert state in browser.page
    awaited = await dashboard.services.consents.redeem(state)
    assert awaited is not None
    assert (awaited.portal, awaited.redirect_uri) == ("bistro", "http://relay.test/connect/callback")


async def test_a_target_that_no_worker_has_is_told_as_that(dashboard: Dashboard) -> None:
    """A worker with other settings than this process."""
    browser = await dashboard.signed_in("operator")
    await browser.get("/targets/hours")

    async def work() -> None:
        await dashboard.services.errands.run(*(await errand(dashboard)))

    await asyncio.gather(browser.post("/targets/hours/test", status=404), work())
    assert "there is no target hours" in text_of(browser.page).lower()
