"""The quarantine's way back: a body that was signed is read again once the settings fit it, or dropped for good."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from openapi_schema_validator import OAS31Validator

from relay.errors import BacklogFull, NotFoundError, RefusedError
from relay.events import event_id
from relay.settings import Settings, load_mapping
from relay.store.shelf import Quarantined
from relay.web.openapi import document
from tests.integration.web_world import SECRET, TOKEN, Web, encoded, problem, signed, thin, web_over

WRONG = {"type": "join('.', ['deputy', topic])", "subject": "['timesheet', data.nr]", "portalid": "`4100001`"}
RIGHT = {**WRONG, "subject": "['timesheet', data.Id]"}
WITH_ID = {**RIGHT, "id": "delivery"}
DEPUTY = {"topic": "Timesheet", "delivery": "d-1", "data": {"Id": 77}}


def settings(url: str, prefix: str, map_: Mapping[str, str] | None = None, **relay: Any) -> Settings:
    """One source of our shape, and one with a map."""
    sources: dict[str, Any] = {"planday": {"secrets": ["env:SECRET"]}}
    if map_ is not None:
        sources["deputy"] = {"secrets": ["env:SECRET"], "map": map_}
    body = {"relay": {"key_prefix": prefix, **relay}, "store": {"url": "env:REDIS_URL"}, "sources": sources}
    environ = {"SECRET": SECRET, "REDIS_URL": url, "RELAY_ADMIN_TOKEN": TOKEN}
    return load_mapping(body, environ=environ, role="web")


class Door:
    """Webs over one store, each with its settings."""

    def __init__(self, url: str, prefix: str) -> None:
        self._url, self._prefix = url, prefix

    @asynccontextmanager
    async def open(self, map_: Mapping[str, str] | None = None, **relay: Any) -> AsyncIterator[Web]:
        async with web_over(settings(self._url, self._prefix, map_, **relay)) as web:
            yield web


@pytest.fixture
def door(redis_server: str, prefix: str) -> Door:
    return Door(redis_server, prefix)


async def refused(web: Web, content: Any, *, source: str = "deputy", message_id: str | None = None) -> str:
    """Send what cannot be read; the id under which it is kept."""
    body = encoded(content)
    answer = await web.send(body, signed(body, message_id=message_id), source=source)
    assert answer.status_code in (400, 415, 422), answer.text
    (newest, *_) = await web.quarantined()
    return str(newest.id)


def valid(answer: httpx.Response, schema: str) -> Any:
    """The answer, once it is what the document says."""
    assert answer.status_code == 200, answer.text
    OAS31Validator({"$ref": f"#/components/schemas/{schema}", **document()}).validate(answer.json())
    return answer.json()


async def test_a_mended_map_brings_it_in_with_the_ids_it_would_have_had(door: Door) -> None:
    """The sender sends nothing again; when it does all the same, that is known already."""
    async with door.open(WRONG) as web:
        kept = await refused(web, DEPUTY, message_id="msg_deputy")
        found = await web.services.quarantine.retry(kept, by="cli:anna")
        assert not found.ok
        assert found.error.endswith('map.subject is not entity/id, such as "shift/70010045", at most 128 characters')
        assert len(await web.quarantined()) == 1
    async with door.open(RIGHT) as web:
        found = await web.services.quarantine.retry(kept, by="cli:anna")
        (event,) = found.events
        assert (found.ok, event.id, event.duplicate) == (True, event_id("deputy", "msg_deputy"), False)
        record = await web.services.reading.event(event.id)
        assert (record.event.type, record.event.subject) == ("deputy.Timesheet", "timesheet/77")
        assert await web.quarantined() == []
        again = await web.send(DEPUTY, signed(encoded(DEPUTY), message_id="msg_deputy"), source="deputy")
        assert again.json()["events"] == [{"id": event.id, "duplicate": True}]
        acts = await web.services.keeping.audit.list(limit=10, act="quarantine")
        assert [(one.by, one.on, one.result) for one in acts.rows] == [
            ("cli:anna", f"{kept} of deputy", "1 accepted"),
            ("cli:anna", f"{kept} of deputy", "still unreadable"),
        ]


async def test_what_the_sender_has_sent_again_meanwhile_is_not_taken_twice(door: Door) -> None:
    """The body's own id is the same by both ways."""
    async with door.open(WRONG) as web:
        kept = await refused(web, DEPUTY)
    async with door.open(WITH_ID) as web:
        sent = (await web.send(DEPUTY, source="deputy")).json()["events"][0]
        found = await web.services.quarantine.retry(kept, by="cli:anna")
        assert [(one.id, one.duplicate) for one in found.events] == [(sent["id"], True)]
        assert (await web.count(), await web.quarantined()) == (1, [])


async def test_a_batch_without_ids_is_the_same_however_often_it_is_read(door: Door) -> None:
    """A process that dies between taking it in and taking it out makes nothing twice."""
    batch = [thin(1), thin(2), thin(3)]
    async with door.open() as web:
        one = Quarantined(
            id="qua_1", source="planday", at=1.0, reason="?", content_type="application/json", body=json.dumps(batch)
        )
        await web.services.shelf.quarantine(one, most=10)
        first = await web.services.quarantine.retry("qua_1", by="cli:anna")
        await web.services.shelf.quarantine(one, most=10)
        second = await web.services.quarantine.retry("qua_1", by="cli:anna")
        assert [event.duplicate for event in first.events] == [False] * 3
        assert [(event.id, event.duplicate) for event in second.events] == [(event.id, True) for event in first.events]
        assert await web.count() == 3


async def test_all_of_a_source_the_oldest_first(door: Door) -> None:
    """What can be read comes in by the order in which it was sent; the rest stays and says why."""
    async with door.open(WRONG) as web:
        for number in (1, 2, 3):
            await refused(web, {**DEPUTY, "data": {"Id": number}})
        await refused(web, b"{", source="planday")
        await refused(web, {"topic": "Timesheet"})
    async with door.open(RIGHT) as web:
        found = await web.services.quarantine.retry_all(by="cli:anna", source="deputy")
        assert [one.ok for one in found] == [True, True, True, False]
        records = [await web.services.reading.event(one.events[0].id) for one in found[:3]]
        assert [record.event.entity_id for record in records] == ["1", "2", "3"]
        assert [one.source for one in await web.quarantined()] == ["deputy", "planday"]
        others = await web.services.quarantine.retry_all(by="cli:anna")
        assert [(one.source, one.ok) for one in others] == [("planday", False), ("deputy", False)]
        assert others[0].error.startswith("the body is not JSON")


async def test_what_is_not_there_as_it_was_sent_is_not_read(door: Door) -> None:
    """Cut, not UTF-8, of a source that is gone: each says so and stays."""
    async with door.open(WRONG) as web:
        too_long = await refused(web, {**DEPUTY, "pad": "x" * 70_000})
        garbled = await refused(web, b'{"topic": "\\\xff"}')
        kept = await refused(web, DEPUTY)
        whole = {one.id: one.whole for one in await web.quarantined()}
        assert whole == {too_long: False, garbled: False, kept: True}
    async with door.open(RIGHT) as web:
        for id_ in (too_long, garbled):
            found = await web.services.quarantine.retry(id_, by="cli:anna")
            assert found.error.startswith("it is not there as it was sent")
    async with door.open() as web:
        found = await web.services.quarantine.retry(kept, by="cli:anna")
        assert found.error == "its source, deputy, is not in the configuration any more"
        assert len(await web.quarantined()) == 3
        with pytest.raises(NotFoundError, match="there is no qua_0 in the quarantine"):
            await web.services.quarantine.retry("qua_0", by="cli:anna")


async def test_without_room_it_stays_where_it_is(door: Door) -> None:
    """What was accepted before has left, the rest comes in later, nothing twice."""
    async with door.open(WRONG) as web:
        for number in (1, 2, 3):
            await refused(web, {**DEPUTY, "data": {"Id": number}})
    async with door.open(RIGHT, backlog_limit=2) as web:
        with pytest.raises(BacklogFull):
            await web.services.quarantine.retry_all(by="cli:anna")
        assert (await web.count(), len(await web.quarantined())) == (2, 1)
    async with door.open(RIGHT) as web:
        (found,) = await web.services.quarantine.retry_all(by="cli:anna")
        assert (found.ok, await web.count()) == (True, 3)


async def test_what_came_in_meanwhile_stays(door: Door) -> None:
    """Taking one out moves no other."""
    async with door.open(WRONG) as web:
        first, second = await refused(web, DEPUTY), await refused(web, {**DEPUTY, "n": 2})
        assert await web.services.shelf.unshelve([first, "qua_0"]) == 1
        third = await refused(web, {**DEPUTY, "n": 3})
        assert [one.id for one in await web.quarantined()] == [third, second]


async def test_dropped_is_gone_and_the_audit_says_why(door: Door) -> None:
    """One, or all of a source; not without a reason."""
    async with door.open(WRONG) as web:
        ids = [await refused(web, DEPUTY) for _ in range(3)]
        await refused(web, b"{", source="planday")
        quarantine = web.services.quarantine
        with pytest.raises(RefusedError, match="dropping needs a reason"):
            await quarantine.drop(ids[0], by="cli:anna", reason="")
        await quarantine.drop(ids[0], by="cli:anna", reason="a test")
        assert await quarantine.drop_all(by="cli:anna", reason="sent again", source="deputy") == 2
        assert [one.source for one in await web.quarantined()] == ["planday"]
        acts = await web.services.keeping.audit.list(limit=10, act="quarantine.drop")
        assert [(one.on, one.reason) for one in reversed(acts.rows)] == [
            (f"{ids[0]} of deputy", "a test"),
            (f"{ids[1]} of deputy", "sent again"),
            (f"{ids[2]} of deputy", "sent again"),
        ]


async def test_the_api_does_the_same(door: Door) -> None:
    """Each answer is what the document says; faults come with their pointers."""
    async with door.open(RIGHT) as web:
        kept = await refused(web, [thin(1), thin(2, type="x")], source="planday")
        shown = valid(await web.get("/quarantine"), "Quarantine")["quarantine"]
        assert [(one["id"], one["whole"]) for one in shown] == [(kept, True)]
        found = valid(await web.post(f"/quarantine/{kept}/retry"), "Reread")
        assert (found["ok"], found["events"], [one["pointer"] for one in found["faults"]]) == (False, [], ["/1/type"])
        body = Quarantined(
            id="qua_1", source="deputy", at=1.0, reason="?", content_type="application/json", body=json.dumps(DEPUTY)
        )
        await web.services.shelf.quarantine(body, most=10)
        found = valid(await web.post("/quarantine/retry", {"source": "deputy"}), "RereadAll")["results"]
        assert [(one["id"], one["ok"], one["error"]) for one in found] == [("qua_1", True, None)]
        assert len(valid(await web.post("/quarantine/retry"), "RereadAll")["results"]) == 1
        problem(await web.post("/quarantine/qua_1/retry"), 404, "not-found")
        problem(await web.post(f"/quarantine/{kept}/drop", {"reason": ""}), 422, "body")
        problem(await web.post("/quarantine/drop", {"source": "planday"}), 422, "body")
        assert valid(await web.post(f"/quarantine/{kept}/drop", {"reason": "a test"}), "Dropped") == {"dropped": 1}
        assert valid(await web.post("/quarantine/drop", {"reason": "a test"}), "Dropped") == {"dropped": 0}
        acts = await web.services.keeping.audit.list(limit=10, act="quarantine")
        assert {one.by for one in acts.rows} == {"admin-token"}
