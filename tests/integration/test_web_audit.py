"""The API on the audit and on erasures; a worker does what needs keys, as for every errand."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from openapi_schema_validator import OAS31Validator

from relay import jobs
from relay.web.openapi import document
from tests.integration.web_world import TOKEN, Web, problem, settings, web_over

DOCUMENT = document()
HEADERS = {"authorization": f"Bearer {TOKEN}"}


@pytest.fixture
async def web(redis_server: str, prefix: str) -> AsyncIterator[Web]:
    async with web_over(settings(redis_server, prefix)) as made:
        yield made


def valid(answer: httpx.Response, schema: str) -> Any:
    """The answer, once it is what the document says."""
    content = answer.json()
    OAS31Validator({"$ref": f"#/components/schemas/{schema}", **DOCUMENT}).validate(content)
    return content


async def work(web: Web) -> None:
    """One errand, done as a worker does it."""
    client, keys = web.services.arq, web.services.keys
    _, job, _ = await client.bzpopmin(keys.queue, 5)
    found = jobs.deserialize(await client.get(f"arq:job:{job.decode()}"))
    await client.delete(f"arq:job:{job.decode()}")
    await web.services.errands.run(*found["a"])


async def ask(web: Web, body: dict[str, Any]) -> httpx.Response:
    await web.services.store.heartbeat(now=web.services.clock(), life=15, worker="w")
    answer, _ = await asyncio.gather(
        web.client.post("/api/v1/erasures", json=body, headers=HEADERS),
        work(web),
    )
    return answer


async def test_acts_are_shown_by_filter_and_page(web: Web) -> None:
    """Newest first, each once over all pages."""
    audit = web.services.keeping.audit
    for number in range(7):
        await audit.record(by=f"cli:{'anna' if number % 2 else 'ben'}", act="targets.pause", on="hours", now=number)
    first = valid(await web.client.get("/api/v1/audit?limit=3", headers=HEADERS), "ActPage")
    second = valid(await web.client.get(f"/api/v1/audit?cursor={first['cursor']}", headers=HEADERS), "ActPage")
    assert [one["number"] for one in (*first["acts"], *second["acts"])] == [7, 6, 5, 4, 3, 2, 1]
    assert second["cursor"] is None
    annas = valid(await web.client.get("/api/v1/audit?by=anna", headers=HEADERS), "ActPage")
    assert [one["number"] for one in annas["acts"]] == [6, 4, 2]
    assert (await web.client.get("/api/v1/audit?cursor=x", headers=HEADERS)).status_code == 400
    assert (await web.client.get("/api/v1/audit")).status_code == 401


async def test_an_erasure_is_shown_before_it_begins(web: Web) -> None:
    """Without `dry_run: false` nothing is changed; without keys that all processes share, nothing begins."""
    answer = await ask(web, {"portal": "bistro", "employee": "910233"})
    assert answer.status_code == 200, answer.text
    assert valid(answer, "ErasureAnswer")["plan"]["events"] == 0
    refused = await ask(web, {"portal": "bistro", "employee": "910233", "dry_run": False})
    assert "RELAY_ENCRYPTION_KEYS is not set here" in problem(refused, 409, "refused")["detail"]
    assert "910233" not in str(await web.services.arq.keys(f"{web.services.keys.prefix}*"))


async def test_an_erasure_that_makes_no_sense_is_refused(web: Web) -> None:
    """No such portal, no id, no worker, no such erasure."""
    post = web.client.post
    assert (await post("/api/v1/erasures", json={"portal": "x", "employee": "1"}, headers=HEADERS)).status_code == 404
    wrong = await post("/api/v1/erasures", json={"portal": "bistro", "employee": "Sofie"}, headers=HEADERS)
    assert wrong.status_code == 422
    alone = await post("/api/v1/erasures", json={"portal": "bistro", "employee": "1"}, headers=HEADERS)
    assert "no worker is running" in problem(alone, 409, "refused")["detail"]
    assert (await web.client.get("/api/v1/erasures/era_0", headers=HEADERS)).status_code == 404
