"""The stand-ins verify what they receive, and every fault can be had on request, also over a real socket."""

import json
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from standardwebhooks.webhooks import Webhook

from relay.simulator import create_simulator, running
from relay.simulator.payroll_standin import PAYROLL_SECRET
from tests.integration.test_simulator import SHIFTS, Caller, in_process

HOOK = "/slack/services/T000/B000/secret"
INFO = "/portal/v1.0/info"


@pytest.fixture
def waits() -> list[float]:
    """How long the simulator wanted to sleep."""
    return []


@pytest.fixture
async def planday(waits: list[float]) -> AsyncIterator[Caller]:
    """A simulated Planday whose delays are only written down."""

    async def sleep(seconds: float) -> None:
        waits.append(seconds)

    async with in_process(sleep=sleep) as caller:
        yield caller


def signed(body: str, *, secret: str = PAYROLL_SECRET, key: str | None = "evt_1.hours", age: int = 0) -> dict[str, str]:
    """Headers of a delivery."""
    moment = datetime.now(UTC) - timedelta(seconds=age)
    headers = {
        "content-type": "application/json",
        "webhook-id": "evt_1",
        "webhook-timestamp": str(int(moment.timestamp())),
        "webhook-signature": Webhook(secret).sign("evt_1", moment, body),
    }
    return headers if key is None else headers | {"idempotency-key": key}


# Faults of the API


@pytest.mark.parametrize(
    ("kind", "status", "reset", "retry_after"),
    [
        ("429-reset", 429, "7", None),
        ("429-retry-after", 429, "7", "7"),
        ("429-bare", 429, None, None),
        ("500", 500, "1", None),
        ("503", 503, "1", None),
    ],
)
async def test_a_refusal_comes_as_asked(
    planday: Caller, kind: str, status: int, reset: str | None, retry_after: str | None
) -> None:
    """Each kind has its status and its hints, once, and the rate headers otherwise stay."""
    await planday.control("/faults", path="/portal/*", kind=kind, reset=7)
    answer = await planday.get(INFO)
    assert answer.status_code == status
    assert answer.headers.get("x-ratelimit-reset") == reset
    assert answer.headers.get("retry-after") == retry_after
    assert "x-ratelimit-limit" in answer.headers
    assert (await planday.get(INFO)).status_code == 200


async def test_an_answer_can_be_broken(planday: Caller) -> None:
    """An HTML page, an empty body, and JSON that stops in the middle."""
    await planday.control("/faults", path=f"{SHIFTS}*", kind="html")
    page = await planday.get(SHIFTS, limit=5)
    assert (page.status_code, page.headers["content-type"]) == (500, "text/html; charset=utf-8")
    await planday.control("/faults", path=f"{SHIFTS}*", kind="empty")
    empty = await planday.get(SHIFTS, limit=5)
    assert (empty.status_code, empty.content) == (200, b"")
    await planday.control("/faults", path=f"{SHIFTS}*", kind="truncated")
    half = await planday.get(SHIFTS, limit=5)
    assert half.text.startswith('{"paging"')
    with pytest.raises(json.JSONDecodeError):
        half.json()


async def test_an_answer_can_be_late(planday: Caller, waits: list[float]) -> None:
    """`delay:2.5` waits and then answers as usual."""
    await planday.control("/faults", path=INFO, kind="delay:2.5")
    assert (await planday.get(INFO)).status_code == 200
    assert waits == [2.5]


async def test_a_fault_keeps_to_its_path_portal_and_count(planday: Caller) -> None:
    """Two requests of one portal's one path fail; all others pass."""
    await planday.control("/faults", path="/hr/*", kind="503", count=2, portal=4100001)
    assert (await planday.get(INFO)).status_code == 200
    assert (await planday.get("/hr/v1.0/departments", portal=4100002, limit=5)).status_code == 200
    statuses = [(await planday.get("/hr/v1.0/departments", limit=5)).status_code for _ in range(3)]
    assert statuses == [503, 503, 200]


async def test_the_identity_server_fails_too(planday: Caller) -> None:
    """Faults reach /connect/token like any other path."""
    await planday.control("/faults", path="/connect/token", kind="503")
    assert (await planday.refresh()).status_code == 503
    assert (await planday.refresh()).status_code == 200


async def test_faults_can_be_listed_and_cleared(planday: Caller) -> None:
    """A planned fault shows until it is used up or cleared."""
    planned = await planday.control("/faults", path="*", kind="500", count=-1)
    assert planned["faults"][0]["count"] == -1
    assert (await planday.http.delete("/control/faults")).json() == {"faults": []}
    assert (await planday.get(INFO)).status_code == 200


async def test_in_process_a_drop_is_what_httpx_makes_of_it(planday: Caller) -> None:
    """Without a socket the caller sees the same error type as with one."""
    await planday.control("/faults", path="/connect/*", kind="drop")
    with pytest.raises(httpx.RemoteProtocolError):
        await planday.refresh()


async def test_over_a_socket_a_drop_closes_the_connection() -> None:
    """No answer at all, before or after the work; the server lives on and reports its port."""
    async with running(create_simulator()) as base_url, httpx.AsyncClient(base_url=base_url, trust_env=False) as http:
        for kind in ("drop", "drop-after"):
            await http.post("/control/faults", json={"path": "/payroll/*", "kind": kind})
            with pytest.raises(httpx.RemoteProtocolError):
                await http.post("/payroll/hours", content="{}", headers=signed("{}"))
        seen = (await http.get("/control/payroll")).json()
        # The first was closed before it was read; the second was taken and only its answer is missing.
        assert (seen["requests"], seen["accepted"]) == (2, 1)
        assert base_url.startswith("http://127.0.0.1:")


# Slack


def section(text: str) -> dict[str, Any]:
    """One block of text."""
    return {"type": "section", "text": {"type": "mrkdwn", "text": text}}


async def test_slack_answers_ok_and_keeps_the_message(planday: Caller) -> None:
    """Plain text `ok`, and the message can be read back."""
    message = {"text": "Ida is on", "blocks": [section("Ida is on")]}
    answer = await planday.http.post(HOOK, json=message)
    assert (answer.status_code, answer.text) == (200, "ok")
    assert answer.headers["content-type"].startswith("text/plain")
    seen = (await planday.http.get("/control/slack")).json()
    assert (seen["accepted"], seen["messages"][0]["payload"]) == (1, message)


@pytest.mark.parametrize(
    ("message", "error"),
    [
        ({"blocks": [section("no fallback")]}, "no_text"),
        ({"text": ""}, "no_text"),
        (["text"], "invalid_payload"),
        ({"text": "x", "blocks": [section("x")] * 51}, "invalid_blocks"),
        ({"text": "x", "blocks": [section("x" * 3001)]}, "invalid_blocks"),
        ({"text": "x", "blocks": [section("")]}, "invalid_blocks"),
        ({"text": "x", "blocks": [{"type": "section"}]}, "invalid_blocks"),
        ({"text": "x", "blocks": [{"type": "banner"}]}, "invalid_blocks"),
        (
            {"text": "x", "blocks": [{"type": "header", "text": {"type": "plain_text", "text": "x" * 151}}]},
            "invalid_blocks",
        ),
        ({"text": "x", "blocks": [{"type": "header", "text": {"type": "mrkdwn", "text": "x"}}]}, "invalid_blocks"),
        (
            {"text": "x", "blocks": [{"type": "section", "fields": [{"type": "mrkdwn", "text": "x"}] * 11}]},
            "invalid_blocks",
        ),
        ({"text": "x", "blocks": [section("x" * 2700)] * 5}, "msg_blocks_too_long"),
    ],
)
async def test_slack_refuses_what_it_would_refuse(planday: Caller, message: Any, error: str) -> None:
    """Every limit has its word, with status 400."""
    answer = await planday.http.post(HOOK, json=message)
    assert (answer.status_code, answer.text) == (400, error)


async def test_slack_takes_exactly_the_limits(planday: Caller) -> None:
    """50 blocks, 3000 characters and 13,200 in sum are still fine."""
    blocks = [section("x" * 3000)] * 4 + [section("x" * 200)] * 6 + [{"type": "divider"}] * 40
    assert (await planday.http.post(HOOK, json={"text": "x", "blocks": blocks})).text == "ok"


async def test_slack_limits_a_hook_to_its_rate(planday: Caller) -> None:
    """With the limit on, the second message of a second is 429 with Retry-After."""
    await planday.control("/settings", slack_per_second=1)
    assert (await planday.http.post(HOOK, json={"text": "1"})).status_code == 200
    refused = await planday.http.post(HOOK, json={"text": "2"})
    assert (refused.status_code, refused.headers["retry-after"]) == (429, "1")
    await planday.control("/clock", advance=1)
    assert (await planday.http.post(HOOK, json={"text": "3"})).status_code == 200


async def test_slack_can_be_told_to_fail(planday: Caller, waits: list[float]) -> None:
    """Status, body, wait and number as asked; what was refused is not counted as accepted."""
    fault = {"kind": "status", "status": 429, "body": "rate_limited", "retry_after": 30, "count": 2, "seconds": 1.5}
    await planday.control("/faults", path="/slack/*", **fault)
    for _ in range(2):
        answer = await planday.http.post(HOOK, json={"text": "x"})
        assert (answer.status_code, answer.text, answer.headers["retry-after"]) == (429, "rate_limited", "30")
    assert (await planday.http.post(HOOK, json={"text": "x"})).text == "ok"
    seen = (await planday.http.get("/control/slack")).json()
    assert (seen["posts"], seen["accepted"], waits) == (3, 1, [1.5, 1.5])


async def test_slack_warns_of_a_smuggled_mention(planday: Caller) -> None:
    """It posts, as Slack would, and tells the test."""
    await planday.http.post(HOOK, json={"text": "<!channel> hi"})
    assert (await planday.http.get("/control/slack")).json()["messages"][0]["warnings"] == ["<! in text"]


# Payroll


async def test_payroll_takes_what_is_signed_and_keyed(planday: Caller) -> None:
    """202 with JSON; the body and headers can be read back, per name."""
    body = json.dumps({"type": "planday.punchclock_entry.approved"})
    answer = await planday.http.post("/payroll/hours", content=body, headers=signed(body))
    assert (answer.status_code, answer.json()) == (202, {"status": "accepted", "repeated": False})
    seen = (await planday.http.get("/control/payroll?name=hours")).json()
    assert (seen["requests"], seen["accepted"], seen["uniqueKeys"]) == (1, 1, 1)
    assert seen["received"][0]["body"] == {"type": "planday.punchclock_entry.approved"}
    assert seen["received"][0]["headers"]["idempotency-key"] == "evt_1.hours"
    assert (await planday.http.get("/control/payroll?name=other")).json()["requests"] == 0


async def test_payroll_counts_a_repeated_key_apart(planday: Caller) -> None:
    """The same key twice is two requests, one key, and says so."""
    for _ in range(2):
        answer = await planday.http.post("/payroll/hours", content="{}", headers=signed("{}"))
    assert answer.json()["repeated"] is True
    seen = (await planday.http.get("/control/payroll")).json()
    assert (seen["accepted"], seen["uniqueKeys"], seen["keys"]) == (2, 1, {"evt_1.hours": 2})


@pytest.mark.parametrize(
    ("make", "status"),
    [
        (lambda: signed("{}", secret="whsec_b3RoZXIgc2VjcmV0IG90aGVyIHNlY3JldCBvdGhlcg=="), 401),
        (lambda: signed("[]"), 401),
        (lambda: signed("{}", age=600), 401),
        (lambda: signed("{}") | {"webhook-signature": "garbage"}, 401),
        (lambda: {"idempotency-key": "x"}, 401),
        (lambda: signed("{}", key=None), 400),
    ],
)
async def test_payroll_refuses_what_is_not(planday: Caller, make: Callable[[], dict[str, str]], status: int) -> None:
    """A bad, old, foreign or missing signature is 401; a missing key is 400; nothing counts as accepted."""
    headers = make()  # now: a signature made when tests are collected is too old by the time its turn comes
    assert (await planday.http.post("/payroll/hours", content="{}", headers=headers)).status_code == status
    seen = (await planday.http.get("/control/payroll")).json()
    assert (seen["requests"], seen["accepted"]) == (1, 0)


async def test_payroll_has_a_secret_per_endpoint(planday: Caller) -> None:
    """One name's own secret leaves the others alone."""
    own = "whsec_b3RoZXIgc2VjcmV0IG90aGVyIHNlY3JldCBvdGhlcg=="
    await planday.control("/payroll/secret", name="hours", secret=own)
    assert (await planday.http.post("/payroll/hours", content="{}", headers=signed("{}", secret=own))).is_success
    assert (await planday.http.post("/payroll/wages", content="{}", headers=signed("{}"))).is_success


async def test_payroll_can_be_told_to_fail(planday: Caller) -> None:
    """Status and body as asked, as often as asked; the attempt is recorded and not accepted."""
    await planday.control("/faults", path="/payroll/hours", kind="status", status=422, body="no such employee")
    refused = await planday.http.post("/payroll/hours", content="{}", headers=signed("{}"))
    assert (refused.status_code, refused.text) == (422, "no such employee")
    assert (await planday.http.post("/payroll/hours", content="{}", headers=signed("{}"))).is_success
    seen = (await planday.http.get("/control/payroll")).json()
    assert [(row["status"], row["accepted"]) for row in seen["received"]] == [(422, False), (202, True)]
