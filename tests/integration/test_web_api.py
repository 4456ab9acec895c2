"""The API over a real store: what it shows, what it changes, and that its answers are the documented ones."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Sequence
from typing import Any

import httpx
import pytest
from openapi_schema_validator import OAS31Validator

from relay import __version__, jobs
from relay.catalog import TYPES, schema
from relay.events import Attempt, DeliveryState, Outcome, event_id, idempotency_key
from relay.store.client import command
from relay.store.work import ClaimedDelivery, Finished, Lane, Settled
from relay.web.app import create_app
from relay.web.openapi import document
from tests.integration.web_world import PORTAL, TOKEN, Web, problem, settings, thin, web_over

DOCUMENT = document()
LEASE = 60.0
ENVELOPE = {
    "type": "planday.shift.updated",
    "data": {"object": {"id": 1}, "enrichment": {"state": "partial", "missing": ["employee: not found"]}},
}


class Bench(Web):
    """An app whose store a test works on as workers do."""

    async def accepted(self, number: int = 1, **changes: Any) -> str:
        """One accepted event's id."""
        answer = await self.send(thin(number, id=f"s{number}", **changes))
        assert answer.status_code == 202, answer.text
        return event_id("planday", f"s{number}")

    async def routed(self, *targets: str, refusals: dict[str, str] | None = None) -> None:
        """Take every due event through routing, to these targets."""
        store, now = self.services.store, self.services.clock()
        while (claim := await store.claim([], now=now, lease=LEASE, most_events=50, most_deliveries=0)).events:
            for one in claim.events:
                finished = Finished(
                    id=one.id,
                    token=one.token,
                    envelope=json.dumps(ENVELOPE).encode(),
                    targets=targets,
                    refusals=refusals or {},
                )
                await store.finish(finished, now=now)

    async def settled(self, target: str, state: DeliveryState, *, reason: str = "HTTP 500") -> Sequence[str]:
        """End every due delivery of a target in this state; answers the events."""
        now = self.services.clock()
        lane = Lane(target=target, concurrency=50, per_second=None, burst=1, limiter=target, dedupes=True)
        claim = await self.services.store.claim([lane], now=now, lease=LEASE, most_events=0, most_deliveries=50)
        for one in claim.deliveries:
            await self.services.store.settle(self._settled(one, state, reason, now), now=now)
        return [one.id for one in claim.deliveries]

    def _settled(self, one: ClaimedDelivery, state: DeliveryState, reason: str, now: float) -> Settled:
        attempt = Attempt(
            number=one.attempt,
            started_at=now - 0.2,
            ended_at=now,
            outcome=Outcome.DELIVERED if state is DeliveryState.DELIVERED else Outcome.REJECTED,
            reason=reason,
            status=500,
            request_headers={"authorization": "***"},
            excerpt="no",
        )
        due = now + 300 if state is DeliveryState.WAITING else None
        return Settled(
            id=one.id, target=one.target, token=one.token, state=state, reason=reason, due_at=due, attempt=attempt
        )

    async def explanation(self, event: str) -> str:
        answer = shown(await self.get(f"/events/{event}/explain"), "Explanation")
        return " ".join(answer["explanation"])


def shown(answer: httpx.Response, schema: str, *, status: int = 200) -> dict[str, Any]:
    """The body of a good answer, which fits its documented schema and is kept by nobody on the way."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["cache-control"] == "no-store"
    body: dict[str, Any] = answer.json()
    root = {"$ref": f"#/components/schemas/{schema}", "components": DOCUMENT["components"]}
    OAS31Validator(root, format_checker=OAS31Validator.FORMAT_CHECKER).validate(body)
    return body


@pytest.fixture
async def bench(redis_server: str, prefix: str) -> AsyncIterator[Bench]:
    async with web_over(settings(redis_server, prefix)) as web:
        yield Bench(web.app, web.services, web.client)


PATHS = sorted(
    (method.upper(), path)
    for path, item in DOCUMENT["paths"].items()
    for method in item
    if path.startswith("/api/v1") and not path.endswith("openapi.json")
)


@pytest.mark.parametrize(("method", "path"), PATHS)
async def test_nothing_is_shown_or_done_without_the_token(bench: Bench, method: str, path: str) -> None:
    """401 with a challenge for no token, a wrong one, two of them, or another scheme; on every route."""
    url = path.replace("{", "").replace("}", "")
    tokens = (None, f"Bearer {TOKEN}x", f"Basic {TOKEN}", "Bearer ", TOKEN)
    for value in tokens:
        headers = {} if value is None else {"authorization": value}
        answer = await bench.client.request(method, url, headers=headers)
        problem(answer, 401, "unauthorized")
        assert answer.headers["www-authenticate"].startswith("Bearer ")
    twice = [("authorization", f"Bearer {TOKEN}")] * 2
    problem(await bench.client.request(method, url, headers=twice), 401, "unauthorized")


async def test_without_a_configured_token_the_api_is_closed(redis_server: str, prefix: str) -> None:
    """403 that says what to set; the door for senders and the health checks are open all the same."""
    async with web_over(settings(redis_server, prefix, token=None)) as web:
        body = problem(await web.get("/stats"), 403, "closed")
        assert "RELAY_ADMIN_TOKEN" in body["detail"]
        assert (await web.send(thin())).status_code == 202
        assert (await web.client.get("/readyz")).status_code == 200
        assert (await web.client.get("/api/v1/openapi.json")).status_code == 200


async def test_paths_that_are_not_there(bench: Bench) -> None:
    """Problems too, with the right methods named."""
    problem(await bench.get("/nothing"), 404, "nothing-here")
    problem(await bench.client.get("/nothing"), 404, "nothing-here")
    answer = await bench.post("/events")
    problem(answer, 405, "method")
    assert answer.headers["allow"] == "GET, HEAD"


# Events ------------------------------------------------------------------------------------------


async def test_an_event_is_shown_whole(bench: Bench) -> None:
    """What the sender said, what was made of it, where it stands with each target and who did not want it."""
    event = await bench.accepted(1, data={"hours": 7}, region="north")
    await bench.routed(
        "hours", refusals={"slack": "type planday.shift.updated matches none of planday.shift.published"}
    )
    body = shown(await bench.get(f"/events/{event}"), "EventDetail")
    assert body["state"] == "routed"
    assert body["raw"]["id"] == "s1"
    assert body["raw"]["region"] == "north"
    assert body["envelope"] == ENVELOPE
    assert [one["target"] for one in body["deliveries"]] == ["hours"]
    assert body["deliveries"][0]["idempotency_key"] == idempotency_key(event, "hours")
    assert "slack" in body["refused_by"]
    problem(await bench.get("/events/evt_0"), 404, "not-found")


async def test_events_are_listed_by_filter(bench: Bench) -> None:
    """Each filter alone and the newest first."""
    await bench.accepted(1)
    await bench.routed()
    await bench.accepted(2, portalid=77, type="planday.shift.published")
    await bench.routed("hours")
    newest = await bench.accepted(3)

    async def found(**query: Any) -> list[str]:
        body = shown(await bench.get("/events", **query), "EventPage")
        return [one["sender_id"] for one in body["events"]]

    assert await found() == ["s3", "s2", "s1"]
    assert await found(type="planday.shift.up*") == ["s3", "s1"]
    assert await found(portal=77) == ["s2"]
    assert await found(portal=PORTAL, subject="shift/1") == ["s1"]
    assert await found(subject="shift/2") == ["s2"]
    assert await found(state="unrouted") == ["s1"]
    assert await found(state="accepted") == ["s3"]
    assert await found(target="hours") == ["s2"]
    assert await found(since="1h") == ["s3", "s2", "s1"]
    assert await found(until="1h") == []
    at = shown(await bench.get(f"/events/{newest}"), "EventDetail")["received_at"]
    assert await found(since=at, limit=1) == ["s3"]


async def test_pages_go_on_where_the_last_one_ended(bench: Bench) -> None:
    """Every event once, whatever came in between."""
    await bench.send([thin(n, id=f"p{n}") for n in range(25)])
    seen: list[str] = []
    cursor = None
    while True:
        body = shown(await bench.get("/events", limit=10, **({"cursor": cursor} if cursor else {})), "EventPage")
        seen += [one["sender_id"] for one in body["events"]]
        if len(seen) == 10:
            await bench.accepted(99)
        if (cursor := body["cursor"]) is None:
            break
    assert sorted(seen) == sorted(f"p{n}" for n in range(25))


@pytest.mark.parametrize(
    ("query", "parameter"),
    [
        ("limit=0", "limit"),
        ("limit=201", "limit"),
        ("limit=ten", "limit"),
        ("limit=-1", "limit"),
        ("portal=bistro", "portal"),
        ("portal=9223372036854775808", "portal"),
        ("portal=%C2%B2", "portal"),
        ("state=delivered", "state"),
        ("subject=shift", "subject"),
        ("subject=", "subject"),
        ("type=" + "x" * 201, "type"),
        ("since=yesterday", "since"),
        ("since=2026-03-01T08:00:00", "since"),
        ("until=2026-13-01T08:00:00Z", "until"),
        ("since=-5h", "since"),
        ("cursor=nan:x", "cursor"),
        ("cursor=1e999:x", "cursor"),
        ("cursor=1:%0d%0a", "cursor"),
        ("limit=1&limit=2", "limit"),
        ("stat=dead", "stat"),
    ],
)
async def test_a_query_that_cannot_be_read_is_refused(bench: Bench, query: str, parameter: str) -> None:
    """400 with the name of each parameter, misspelt ones included: a filter that is ignored shows too much."""
    answer = await bench.client.get(f"/api/v1/events?{query}", headers=dict(bench.bearer))
    body = problem(answer, 400, "query")
    assert [error["parameter"] for error in body["errors"]] == [parameter]


async def test_an_event_is_explained_in_every_state(bench: Bench) -> None:
    """Waiting, in work, behind another, routed, unrouted: each says what happens next and what a person can do."""
    first = await bench.accepted(1)
    second = await bench.send(thin(1, id="second"))
    assert "No worker is running" in await bench.explanation(first)
    behind = await bench.explanation(second.json()["events"][0]["id"])
    assert f"waits behind {first}" in behind
    now = bench.services.clock()
    await bench.services.store.claim([], now=now, lease=LEASE, most_events=1, most_deliveries=0)
    assert "A worker has it now" in await bench.explanation(first)
    third = await bench.accepted(3)
    await bench.routed(refusals={"hours": "type planday.shift.updated matches none of x"})
    unrouted = await bench.explanation(third)
    assert "No target takes it" in unrouted
    assert "hours: not sent, because type planday.shift.updated matches none of x." in unrouted
    assert "employee: not found" in unrouted
    problem(await bench.get("/events/evt_0/explain"), 404, "not-found")


async def test_a_delivery_is_explained_in_every_state(bench: Bench) -> None:
    """Due, paused, failed and due again, parked with another behind it, dead, delivered."""
    await bench.services.store.heartbeat(now=bench.services.clock(), life=60, worker="w")
    event = await bench.accepted(1)
    await bench.routed("hours")
    assert "hours: due now" in await bench.explanation(event)
    await bench.post("/targets/hours/pause", {"reason": "payroll run"})
    assert "the target is paused (payroll run)" in await bench.explanation(event)
    await bench.post("/targets/hours/resume")
    await bench.settled("hours", DeliveryState.WAITING)
    assert "1 attempt failed, the last with: HTTP 500. Attempt 2 is due" in await bench.explanation(event)
    await bench.post(f"/deliveries/{event}/hours/retry")
    await bench.settled("hours", DeliveryState.PARKED, reason="no answer came")
    assert "waits for a person" in await bench.explanation(event)
    later = (await bench.send(thin(1, id="later"))).json()["events"][0]["id"]
    await bench.routed("hours")
    assert f"waits behind {event} (parked: a person has to decide first)" in await bench.explanation(later)
    await bench.post(f"/deliveries/{event}/hours/release", {"reason": "the target does not have it"})
    await bench.settled("hours", DeliveryState.DEAD)
    assert "Given up" in await bench.explanation(event)
    await bench.settled("hours", DeliveryState.DELIVERED)
    assert "hours: delivered" in await bench.explanation(later)


# Deliveries --------------------------------------------------------------------------------------


async def test_deliveries_are_listed_and_shown_with_their_attempts(bench: Bench) -> None:
    """By target and state; one alone has every kept attempt with masked headers."""
    event = await bench.accepted(1)
    await bench.routed("hours", "slack")
    await bench.settled("hours", DeliveryState.DEAD)

    async def found(**query: Any) -> list[str]:
        body = shown(await bench.get("/deliveries", **query), "DeliveryPage")
        return sorted(one["target"] for one in body["deliveries"])

    assert await found() == ["hours", "slack"]
    assert await found(state="dead") == ["hours"]
    assert await found(target="slack", portal=PORTAL, type="planday.*", since="1h") == ["slack"]
    assert await found(until="1h") == []
    problem(await bench.get("/deliveries", subject="shift/1"), 400, "query")
    body = shown(await bench.get(f"/deliveries/{event}/hours"), "DeliveryDetail")
    assert body["state"] == "dead"
    assert [(one["number"], one["status"], one["request_headers"]) for one in body["tried"]] == [
        (1, 500, {"authorization": "***"})
    ]
    problem(await bench.get(f"/deliveries/{event}/nobody"), 404, "not-found")


async def test_a_dead_delivery_is_sent_again(bench: Bench) -> None:
    """Opened in a new round under the same key, and told to whoever counts."""
    event = await bench.accepted(1)
    await bench.routed("hours")
    await bench.settled("hours", DeliveryState.DEAD)
    body = shown(await bench.post(f"/deliveries/{event}/hours/retry"), "Delivery")
    assert (body["state"], body["round"], body["attempts"]) == ("waiting", 2, 0)
    assert body["idempotency_key"] == idempotency_key(event, "hours")
    assert body["reason"] == "retried by admin-token"
    assert await bench.settled("hours", DeliveryState.DELIVERED) == [event]


async def test_what_the_target_may_have_needs_a_reason(bench: Bench) -> None:
    """Parked: a reason. Delivered: force and a reason. On the wire: not at all. Unknown: 404."""
    event = await bench.accepted(1)
    await bench.routed("hours")
    await bench.settled("hours", DeliveryState.PARKED)
    retry, release = f"/deliveries/{event}/hours/retry", f"/deliveries/{event}/hours/release"
    problem(await bench.post(retry), 409, "refused")
    problem(await bench.post(retry, {"force": True, "reason": "again"}), 409, "refused")
    problem(await bench.post(release), 422, "body")
    shown(await bench.post(release, {"reason": "asked them, they do not have it"}), "Delivery")
    problem(await bench.post(release, {"reason": "once more"}), 409, "refused")
    await bench.settled("hours", DeliveryState.DELIVERED)
    problem(await bench.post(retry, {"reason": "again"}), 409, "refused")
    body = shown(await bench.post(retry, {"reason": "they lost it", "force": True}), "Delivery")
    assert body["state"] == "waiting"
    now = bench.services.clock()
    lane = Lane(target="hours", concurrency=1, per_second=None, burst=1, limiter="hours", dedupes=True)
    await bench.services.store.claim([lane], now=now, lease=LEASE, most_events=0, most_deliveries=1)
    problem(await bench.post(retry, {"reason": "now", "force": True}), 409, "refused")
    problem(await bench.post("/deliveries/evt_0/hours/retry"), 404, "not-found")


async def test_an_older_state_is_not_sent_after_a_newer_one_unless_forced(bench: Bench) -> None:
    """The retry says superseded; with force and a reason it goes out."""
    older = await bench.accepted(1)
    await bench.routed("hours")
    await bench.settled("hours", DeliveryState.DEAD)
    await bench.send(thin(1, id="newer"))
    await bench.routed("hours")
    await bench.settled("hours", DeliveryState.DELIVERED)
    body = shown(await bench.post(f"/deliveries/{older}/hours/retry"), "Delivery")
    assert body["state"] == "superseded"
    forced = await bench.post(f"/deliveries/{older}/hours/retry", {"force": True, "reason": "they want both"})
    assert shown(forced, "Delivery")["state"] == "waiting"


@pytest.mark.parametrize(
    ("body", "status", "slug", "pointer"),
    [
        (b"{", 400, "not-json", None),
        (b"\xff", 400, "not-json", None),
        (b'{"force": "yes"}', 422, "body", "/force"),
        (b'{"forced": true}', 422, "body", "/forced"),
        (b"[]", 422, "body", ""),
        (b'{"reason": "' + b"x" * 501 + b'"}', 422, "body", "/reason"),
        (b'{"reason": "' + b"x" * 70_000 + b'"}', 413, "body-too-large", None),
    ],
)
async def test_a_body_that_does_not_fit_is_refused(
    bench: Bench, body: bytes, status: int, slug: str, pointer: str | None
) -> None:
    """Each fault with its place, before anything is looked at."""
    found = problem(await bench.post("/deliveries/evt_0/hours/retry", body), status, slug)
    assert [error["pointer"] for error in found.get("errors", ())] == ([] if pointer is None else [pointer])
    assert not [error for error in found.get("errors", ()) if "Input" in error["detail"]], "a library's words"


@pytest.mark.parametrize("path", ["/stats", "/events/evt_0", "/targets", "/portals", "/version", "/replay/plans"])
async def test_a_query_parameter_that_nothing_reads_is_refused(bench: Bench, path: str) -> None:
    """Everywhere: a filter that is not there must not look as if it had filtered."""
    body = problem(await bench.get(path, x="1"), 400, "query")
    assert [error["parameter"] for error in body["errors"]] == ["x"]


async def test_a_query_parameter_of_an_action_is_refused(bench: Bench) -> None:
    """A reason in the query would be lost; nothing is done."""
    problem(await bench.post("/targets/hours/pause?reason=books"), 400, "query")
    rows = shown(await bench.get("/targets"), "Targets")["targets"]
    assert {row["name"]: row["state"] for row in rows}["hours"] == "open"


# Replay ------------------------------------------------------------------------------------------


async def test_a_plan_is_made_shown_and_run_once(bench: Bench) -> None:
    """The plan changes nothing; running it rings for a worker, and a second time is refused."""
    event = await bench.accepted(1)
    await bench.routed("hours")
    await bench.settled("hours", DeliveryState.DEAD)
    made = await bench.post("/replay/plans", {"target": "hours", "since": "2h", "reason": "outage"})
    plan = shown(made, "Plan", status=201)
    assert made.headers["location"] == f"/api/v1/replay/plans/{plan['id']}"
    assert (plan["total"], plan["by"], plan["states"]) == (1, "admin-token", ["dead"])
    assert plan["samples"][0]["event"] == event
    status = shown(await bench.get(f"/replay/plans/{plan['id']}"), "Plan")
    assert (status["state"], status["counts"][0]["count"]) == ("planned", 1)
    run = shown(await bench.post(f"/replay/plans/{plan['id']}/run", {"rate": 20}), "Plan", status=202)
    assert (run["state"], run["rate"], run["started_by"]) == ("running", 20, "admin-token")
    assert await _job(bench) == (jobs.REPLAY, [plan["id"]])
    problem(await bench.post(f"/replay/plans/{plan['id']}/run"), 409, "refused")
    assert [one["id"] for one in shown(await bench.get("/replay/plans"), "Plans")["plans"]] == [plan["id"]]


async def test_a_plan_is_paused_resumed_and_cancelled(bench: Bench) -> None:
    """Each says who and why; what does not fit where the plan stands is a conflict."""
    await bench.accepted(1)
    await bench.routed("hours")
    await bench.settled("hours", DeliveryState.DEAD)
    made = shown(await bench.post("/replay/plans", {}), "Plan", status=201)
    plan = f"/replay/plans/{made['id']}"
    problem(await bench.post(f"{plan}/pause"), 409, "refused")
    await bench.post(f"{plan}/run")
    paused = shown(await bench.post(f"{plan}/pause", {"reason": "month end"}), "Plan", status=202)
    assert (paused["state"], paused["paused_by"], paused["paused_why"]) == ("paused", "admin-token", "month end")
    assert shown(await bench.post(f"{plan}/resume"), "Plan", status=202)["state"] == "running"
    cancelled = shown(await bench.post(f"{plan}/cancel", {"reason": "wrong month"}), "Plan", status=202)
    assert (cancelled["state"], cancelled["cancelled_why"]) == ("cancelling", "wrong month")
    problem(await bench.post(f"{plan}/cancel"), 409, "refused")
    problem(await bench.post(f"{plan}/pause", {"why": "x"}), 422, "body")
    problem(await bench.post(f"{plan}/run", {"rate": 0}), 422, "body")


async def test_a_parked_delivery_is_cancelled_with_a_reason(bench: Bench) -> None:
    """The target turned out to have it: it ends as cancelled, with who and why; without a reason nothing happens."""
    event = await bench.accepted(1)
    await bench.routed("hours")
    await bench.settled("hours", DeliveryState.PARKED, reason="no answer came")
    problem(await bench.post(f"/deliveries/{event}/hours/cancel"), 422, "body")
    ended = shown(await bench.post(f"/deliveries/{event}/hours/cancel", {"reason": "they have it"}), "Delivery")
    assert (ended["state"], ended["reason"]) == ("cancelled", "cancelled by admin-token: they have it")
    problem(await bench.post(f"/deliveries/{event}/hours/cancel", {"reason": "again"}), 409, "refused")


async def test_a_plan_that_makes_no_sense_is_refused(bench: Bench) -> None:
    """Faults in the body with their places, refusals of the replay itself as conflicts, unknown plans as 404."""
    body = problem(await bench.post("/replay/plans", {"since": "soon", "until": "2026-01-01"}), 422, "body")
    assert [error["pointer"] for error in body["errors"]] == ["/since", "/until"]
    problem(await bench.post("/replay/plans", {"states": ["lost"]}), 422, "body")
    problem(await bench.post("/replay/plans", {"states": []}), 422, "body")
    problem(await bench.post("/replay/plans", {"states": ["waiting"]}), 422, "body")
    problem(await bench.post("/replay/plans", {"force": True}), 409, "refused")
    problem(await bench.post("/replay/plans", {"new_key": True}), 409, "refused")
    problem(await bench.post("/replay/plans", {"states": ["delivered"]}), 409, "refused")
    problem(await bench.post("/replay/plans", {"target": "nobody"}), 404, "not-found")
    problem(await bench.get("/replay/plans/plan_0"), 404, "not-found")
    problem(await bench.post("/replay/plans/plan_0/run"), 404, "not-found")


# Targets and portals -----------------------------------------------------------------------------


async def test_targets_show_where_they_stand_and_no_secret(bench: Bench) -> None:
    """Open, paused with the reason, open again; a URL ends at its host, a reference stays one."""
    await bench.accepted(1)
    await bench.routed("hours")
    first, second = shown(await bench.get("/targets"), "Targets")["targets"]
    assert (first["name"], first["state"], first["deliveries"]["waiting"]) == ("hours", "open", 1)
    assert first["url"] == "https://payroll.example/***"
    assert second["url"] == "env:SLACK_URL"
    answer = shown(await bench.post("/targets/hours/pause", {"reason": "payroll run"}), "Switched")
    assert answer == {"target": "hours", "state": "paused", "changed": True}
    paused = shown(await bench.get("/targets"), "Targets")["targets"][0]
    assert (paused["state"], paused["paused"]) == ("paused", "payroll run")
    assert await bench.settled("hours", DeliveryState.DELIVERED) == []
    assert shown(await bench.post("/targets/hours/resume"), "Switched")["changed"] is True
    assert shown(await bench.post("/targets/hours/resume"), "Switched")["changed"] is False
    assert len(await bench.settled("hours", DeliveryState.DELIVERED)) == 1
    problem(await bench.post("/targets/nobody/pause"), 404, "not-found")
    problem(await bench.post("/targets/nobody/resume"), 404, "not-found")


@pytest.mark.parametrize(
    ("path", "kind", "name"),
    [("/targets/hours/test", "target", "hours"), ("/portals/bistro/check", "portal", "bistro")],
)
async def test_what_only_a_worker_can_do_is_done_by_one(bench: Bench, path: str, kind: str, name: str) -> None:
    """Without a worker it is refused at once; with one its answer comes back as it is."""
    problem(await bench.post(path), 409, "refused")
    await bench.services.store.heartbeat(now=bench.services.clock(), life=60, worker="w")

    async def work(answer: dict[str, Any]) -> None:
        function, args = await _job(bench)
        assert (function, args[1:]) == (jobs.ERRAND, [kind, name, "admin-token"])
        await command(bench.services.store.client, "RPUSH", bench.services.keys.errand(args[0]), json.dumps(answer))

    answer, _ = await asyncio.gather(bench.post(path), work({"ok": True, "status": 204}))
    assert shown(answer, "Errand") == {"ok": True, "status": 204}
    answer, _ = await asyncio.gather(bench.post(path), work({"ok": False, "error": "gone", "missing": True}))
    problem(answer, 404, "not-found")
    problem(await bench.post(path.replace(name, "nobody")), 404, "not-found")


async def test_portals_are_listed(bench: Bench) -> None:
    """Name, id, address; nothing of the token."""
    body = shown(await bench.get("/portals"), "Portals")
    (portal,) = body["portals"]
    assert portal.pop("authorisation") == "untried"
    assert portal == {"name": "bistro", "id": PORTAL, "api_url": "https://openapi.planday.com", "feeds": []}


# The rest ----------------------------------------------------------------------------------------


async def test_the_quarantine_is_listed_and_shown(bench: Bench) -> None:
    """A list without bodies, one with its body."""
    await bench.send(b"{broken")
    await bench.send(thin(type=None))
    rows = shown(await bench.get("/quarantine"), "Quarantine")["quarantine"]
    assert [row["characters"] for row in rows] == [len(json.dumps(thin(type=None))), len("{broken")]
    assert shown(await bench.get("/quarantine", limit=1, offset=1), "Quarantine")["quarantine"] == rows[1:]
    assert shown(await bench.get(f"/quarantine/{rows[1]['id']}"), "QuarantinedBody")["body"] == "{broken"
    problem(await bench.get("/quarantine/qua_0"), 404, "not-found")
    problem(await bench.get("/quarantine", offset=-1), 400, "query")


async def test_stats_count_what_is_there(bench: Bench) -> None:
    """Totals and targets, those that left the configuration included."""
    await bench.accepted(1)
    await bench.routed("hours", "gone")
    await bench.settled("hours", DeliveryState.DEAD)
    body = shown(await bench.get("/stats"), "Stats")
    assert body["totals"]["accepted"] == 1
    assert body["targets"]["hours"]["dead"] == 1
    assert body["targets"]["gone"]["waiting"] == 1
    assert body["open"] == 1


async def test_the_settings_are_shown_without_their_secrets(bench: Bench) -> None:
    """References, never values."""
    answer = await bench.get("/config")
    body = shown(answer, "Config")
    assert body["config"]["sources"]["planday"]["secrets"] == ["env:SECRET", "env:OLD_SECRET"]
    for secret in ("whsec_", TOKEN, "a-shared-text", "a-long-password", "secret-path"):
        assert secret not in answer.text


async def test_the_version_is_told(bench: Bench) -> None:
    """Ours, the API's and the data's."""
    body = shown(await bench.get("/version"), "Version")
    assert body == {"version": __version__, "api": "v1", "data_format": 1}


async def test_the_catalogue_is_told(bench: Bench) -> None:
    """Every type, with the schema that it points to."""
    rows = shown(await bench.get("/catalog"), "Catalog")["types"]
    assert [row["type"] for row in rows] == list(TYPES)
    for row in rows:
        answer = await bench.client.get(row["schema"])
        assert answer.headers["content-type"] == "application/schema+json"
        assert answer.json()["$id"] == row["dataschema"]


async def test_schemas_are_served_to_anybody(bench: Bench) -> None:
    """By the name of the entity, with the hyphens of `dataschema` too; of what is not known there is none."""
    answer = await bench.client.get("/schemas/punchclock-entry.json")
    assert answer.json() == schema("punchclock_entry")
    problem(await bench.client.get("/schemas/kitchen.json"), 404, "not-found")
    problem(await bench.client.get("/schemas/kitchen.json%0d%0a"), 404, "nothing-here")


async def test_the_document_is_served_to_anybody(bench: Bench) -> None:
    """It holds nothing of this relay's."""
    answer = await bench.client.get("/api/v1/openapi.json")
    assert answer.json() == DOCUMENT


async def test_the_lifespan_opens_what_it_is_told_to(redis_server: str, prefix: str) -> None:
    """Under any ASGI server: nothing handed in, opened at the start and closed at the end."""
    app = create_app(settings(redis_server, prefix))
    async with app.router.lifespan_context(app), httpx.AsyncClient(transport=httpx.ASGITransport(app)) as client:
        assert (await client.get("http://relay.test/readyz")).status_code == 200


# Health ------------------------------------------------------------------------------------------


async def test_ready_tells_of_workers_and_does_not_need_them(bench: Bench) -> None:
    """Without a worker events are taken all the same."""
    body = shown(await bench.client.get("/readyz"), "Readiness")
    assert (body["status"], body["workers"], body["store"]["writable"]) == ("ready", 0, True)
    await bench.services.store.heartbeat(now=time.time(), life=60, worker="w", drain="d")
    body = shown(await bench.client.get("/readyz"), "Readiness")
    assert (body["workers"], body["drains"]) == (1, 1)
    shown(await bench.client.get("/healthz"), "Health")


async def test_metrics_have_counters_and_fresh_gauges(bench: Bench) -> None:
    """On loopback without a token; every name in the text has our prefix or is the process's."""
    await bench.accepted(1)
    await bench.routed("hours")
    await bench.post("/targets/hours/pause")
    await bench.send(b"{broken")
    answer = await bench.client.get("/metrics")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    lines = answer.text.splitlines()
    assert 'planday_relay_queue_depth{queue="hours"} 1.0' in lines
    assert 'planday_relay_circuit_state{target="hours"} 2.0' in lines
    assert "planday_relay_open_events 1.0" in lines
    assert "planday_relay_quarantine_bodies 1.0" in lines
    assert all(line.startswith(("#", "planday_relay_", "process_")) for line in lines)


@pytest.mark.parametrize("relay", [{"bind": "0.0.0.0"}, {"public_url": "https://relay.example"}])
async def test_metrics_that_others_can_reach_need_the_token(
    redis_server: str, prefix: str, relay: dict[str, str]
) -> None:
    """Bound beyond loopback, or with a public address in front."""
    async with web_over(settings(redis_server, prefix, **relay)) as web:
        problem(await web.client.get("/metrics"), 401, "unauthorized")
        assert (await web.client.get("/metrics", headers=dict(web.bearer))).status_code == 200
        assert (await web.client.get("/healthz")).status_code == 200


async def _job(bench: Bench) -> tuple[str, list[Any]]:
    """The next arq job that is not a drain's bell, taken as a worker takes it."""
    client = bench.services.arq
    while True:
        _, job, _ = await client.bzpopmin(bench.services.keys.queue, 5)
        found = jobs.deserialize(await client.get(f"arq:job:{job.decode()}"))
        await client.delete(f"arq:job:{job.decode()}")
        if found["f"] != jobs.DRAIN:
            return found["f"], found["a"]
