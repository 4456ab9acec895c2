"""The way back from Planday's consent screen through the receiver and a worker, and the page that people see."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
import redis.asyncio

from relay import jobs
from relay.consent import PATH, link
from relay.planday.enrich import Planday
from relay.settings import Portal
from relay.simulator.flavours import BISTRO, HARBOUR
from relay.simulator.identity import PAYROLL_SCOPES
from tests.integration.planday_world import World
from tests.integration.web_world import Web, settings, web_over

CALLBACK = f"http://127.0.0.1:8000{PATH}"
SHIFT = 70010045


@pytest.fixture
def world(redis_client: redis.asyncio.Redis, prefix: str) -> World:
    made = World(redis_client, prefix, scopes=PAYROLL_SCOPES)
    made.generous()
    made.simulator.settings.change({"auto_consent": True, "consent_portal": BISTRO})
    return made


@pytest.fixture
async def web(world: World, redis_server: str) -> AsyncIterator[Web]:
    """A receiver, without secrets of Planday's."""
    async with web_over(settings(redis_server, world.prefix)) as made:
        yield made


def tokenless(world: World) -> Portal:
    """A portal that has no token in its configuration."""
    return world.portal("bistro").model_copy(update={"refresh_token": None})


async def consented(world: World, web: Web) -> dict[str, str]:
    """What Planday's screen adds to our address once an administrator has agreed."""
    state = await web.services.consents.begin("bistro", redirect_uri=CALLBACK)
    shown = link(tokenless(world), state=state, redirect_uri=CALLBACK)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(world.app), base_url="http://planday.test") as browser:
        back = await browser.get(shown)
    return {name: values[0] for name, values in parse_qs(urlsplit(back.headers["location"]).query).items()}


async def worked(world: World, redis_server: str, planday: Planday) -> list[Any]:
    """One errand, done as a worker does it; the job's arguments as they stood in the store."""
    async with web_over(settings(redis_server, world.prefix)) as worker:
        client, keys = worker.services.arq, worker.services.keys
        _, job, _ = await client.bzpopmin(keys.queue, 5)
        function, args = (found := jobs.deserialize(await client.get(f"arq:job:{job.decode()}")))["f"], found["a"]
        assert function == jobs.ERRAND
        await client.delete(f"arq:job:{job.decode()}")
        worker.services.errands.planday = planday
        await worker.services.errands.run(*args)
        return list(args)


def page(answer: httpx.Response, status: int) -> str:
    """The text of a page, after the claims that each fulfils: nothing is kept, run, framed, guessed or passed on."""
    assert answer.status_code == status, answer.text
    headers: Mapping[str, str] = answer.headers
    assert headers["content-type"].startswith("text/html")
    assert headers["cache-control"] == "no-store"
    assert headers["content-security-policy"].startswith("default-src 'none'")
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert "<script" not in answer.text
    return answer.text


async def test_a_consent_comes_back_and_every_process_has_the_token(world: World, web: Web, redis_server: str) -> None:
    """The code goes beside the job, not in it, and is gone afterwards; a second use of the link changes nothing."""
    back = await consented(world, web)
    planday = world.planday(portals={"bistro": tokenless(world)})
    answer, args = await asyncio.gather(web.client.get(PATH, params=back), worked(world, redis_server, planday))
    assert "Portal bistro is authorised" in page(answer, 200)
    assert back["code"] not in str(args)
    assert await web.services.consents.answer(back["state"], seconds=1) == {"ok": True, "portal": "bistro"}
    other = world.planday(portals={"bistro": tokenless(world)})
    assert (await world.enrich(other, "planday.shift.updated", SHIFT)).object is not None
    assert "used already" in page(await web.client.get(PATH, params=back), 400)
    left = [key async for key in world.redis.scan_iter(match=f"{world.prefix}errand:*:in")]
    assert left == []


async def test_who_comes_without_a_state_of_ours_changes_nothing(world: World, web: Web) -> None:
    """Made up, missing, too long, or a portal's own no: no job is made, and nothing of it is echoed."""
    marker = "<script>alert(1)</script>"
    for query in ({}, {"code": "x"}, {"state": marker, "code": marker}, {"state": "s" * 5000}):
        assert marker not in page(await web.client.get(PATH, params=query), 400)
    state = await web.services.consents.begin("bistro", redirect_uri=CALLBACK)
    refused = await web.client.get(PATH, params={"state": state, "error": marker})
    assert "the app was not authorised" in page(refused, 400)
    assert marker not in refused.text
    answer = await web.services.consents.answer(state, seconds=1)
    assert answer is not None
    assert not answer["ok"]
    assert await web.services.arq.zcard(web.services.keys.queue) == 0


async def test_a_consent_on_the_wrong_portal_costs_neither_its_token(world: World, web: Web, redis_server: str) -> None:
    """Planday renews the other portal's token by it: the relay goes on there with the new one, and refuses it here."""
    workers = world.planday()
    assert (await world.enrich(workers, "planday.shift.updated", SHIFT, portal=HARBOUR)).object is not None
    world.simulator.settings.change({"consent_portal": HARBOUR})
    back = await consented(world, web)
    planday = world.planday()
    answer, _ = await asyncio.gather(web.client.get(PATH, params=back), worked(world, redis_server, planday))
    text = page(answer, 502)
    assert str(HARBOUR) in text
    assert str(BISTRO) in text
    for _ in range(3):
        world.clock.advance(3600)
        for portal in (BISTRO, HARBOUR):
            assert (await world.enrich(workers, "planday.shift.updated", SHIFT, portal=portal)).object is not None
    assert (await workers.status("harbour")).authorisation == "ok"
