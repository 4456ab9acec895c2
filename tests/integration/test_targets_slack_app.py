"""A Slack app over real sockets and a real store: threads, updates, and what each of Slack's words means."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
import redis.asyncio as aioredis
from slack_sdk.models.blocks import Block

from relay.errors import ConfigError, StoreUnavailable
from relay.events import Outcome
from relay.messages import TYPES, Messages, sample
from relay.settings import Secret, SlackAppTarget, Text
from relay.settings.values import Address
from relay.store.keys import Keys
from relay.store.threads import Threads
from relay.targets import Sending, build
from relay.targets import Threads as ThreadsPort
from relay.targets.slack_app import ANSWERS, SlackApp
from tests.servers import Peer, Server, plain

MESSAGES = Messages()
TOKEN = "xoxb-s3crets3crets3cret"


class FakeSlack:
    """Slack's two methods: every message gets the next `ts`; `says` has other answers, one for each call."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self.says: list[dict[str, Any] | None] = []

    async def __call__(self, peer: Peer) -> None:
        while True:
            request = await peer.request()
            assert request.header("authorization") == f"Bearer {TOKEN}"
            body = json.loads(request.body)
            self.calls.append((request.line.split()[1].rpartition("/")[2], body))
            said = self.says.pop(0) if self.says else None
            ts = body.get("ts") or f"{len(self.calls)}.0001"
            answer = said or {"ok": True, "channel": body["channel"], "ts": ts, "message": body}
            await peer.send(plain(200, json.dumps(answer).encode()))


class Scene:
    """A target, its store and its Slack."""

    def __init__(self, client: aioredis.Redis, prefix: str) -> None:
        self.keys = Keys(prefix)
        self.client = client
        self.slack = FakeSlack()
        self.server = Server(self.slack)
        self.made: list[SlackApp] = []

    def target(self, *, threads: ThreadsPort | None = None, name: str = "floor", **more: Any) -> SlackApp:
        model = SlackAppTarget(
            type="slack-app",
            url=Address("env:U", value=f"http://127.0.0.1:{self.server.port}/api"),
            token=Secret("env:T", value=TOKEN),
            channel=Text("(written in the file)", value="C0123"),
            events=("*",),
            allow_http=True,
            allow_networks=("127.0.0.0/8",),
            **more,
        )
        made = build(name, model, messages=MESSAGES, threads=threads or Threads(self.client, self.keys))
        assert isinstance(made, SlackApp)
        self.made.append(made)
        return made


@pytest.fixture
async def scene(redis_client: aioredis.Redis, prefix: str) -> AsyncIterator[Scene]:
    found = Scene(redis_client, prefix)
    async with found.server:
        yield found
        for each in found.made:
            await each.aclose()


def sending(number: int = 1, type_: str = "planday.shift.created", **changes: Any) -> Sending:
    known: dict[str, Any] = {
        "event_id": f"evt_{number}",
        "target": "floor",
        "attempt": 1,
        "now": 1_790_000_000.0,
        "envelope": sample(type_) | {"subject": f"shift/{number}"},
    }
    return Sending(**{**known, **changes})


async def test_news_of_a_shift_go_into_its_thread(scene: Scene) -> None:
    """The first message begins it, what follows answers it, another shift has its own."""
    made = scene.target()
    for each in (sending(1), sending(1, "planday.shift.updated"), sending(2), sending(1, "planday.shift.deleted")):
        assert (await made.send(each)).outcome is Outcome.DELIVERED
    assert [method for method, _ in scene.slack.calls] == ["chat.postMessage"] * 4
    assert [body.get("thread_ts") for _, body in scene.slack.calls] == [None, "1.0001", None, "1.0001"]
    assert {body["channel"] for _, body in scene.slack.calls} == {"C0123"}


async def test_updating_keeps_one_message(scene: Scene) -> None:
    """Which shows the newest news only."""
    made = scene.target(repeat="update")
    for each in (sending(1), sending(1, "planday.shift.updated"), sending(1, "planday.shift.deleted")):
        assert (await made.send(each)).outcome is Outcome.DELIVERED
    assert [(method, body.get("ts")) for method, body in scene.slack.calls] == [
        ("chat.postMessage", None),
        ("chat.update", "1.0001"),
        ("chat.update", "1.0001"),
    ]
    assert scene.slack.calls[-1][1]["text"].startswith("Shift deleted")


async def test_each_by_itself_if_so_wished(scene: Scene) -> None:
    """Nothing is remembered, either."""
    made = scene.target(repeat="message")
    for _ in range(2):
        await made.send(sending(1))
    assert [body.get("thread_ts") for _, body in scene.slack.calls] == [None, None]
    assert [key async for key in scene.client.scan_iter(f"{scene.keys.prefix}*")] == []


async def test_what_is_remembered_is_a_hash_and_goes_away(scene: Scene) -> None:
    """An employee's id stands nowhere; the lifetime begins anew with every message."""
    made = scene.target(remember="2h")
    envelope = sample("planday.employee.updated")
    await made.send(sending(1, envelope=envelope))
    (key,) = [key.decode() async for key in scene.client.scan_iter(f"{scene.keys.prefix}*")]
    assert envelope["employeeid"] not in key
    assert 7190 < await scene.client.ttl(key) <= 7200
    await scene.client.expire(key, 60)
    await made.send(sending(1, envelope=envelope))
    assert await scene.client.ttl(key) > 7190
    assert scene.slack.calls[1][1]["thread_ts"] == "1.0001"


async def test_two_targets_have_their_own_threads(scene: Scene) -> None:
    """Though they may share a channel."""
    for name in ("floor", "kitchen"):
        await scene.target(name=name).send(sending(1))
    assert [body.get("thread_ts") for _, body in scene.slack.calls] == [None, None]


@pytest.mark.parametrize(
    ("repeat", "word"),
    [("update", "message_not_found"), ("update", "edit_window_closed"), ("thread", "thread_not_found")],
)
async def test_a_message_that_is_gone_is_begun_anew(scene: Scene, repeat: str, word: str) -> None:
    """Somebody deleted it: the news is a message of its own, and what follows goes there."""
    made = scene.target(repeat=repeat)
    scene.slack.says = [None, {"ok": False, "error": word}]
    for _ in range(3):
        assert (await made.send(sending(1))).outcome is Outcome.DELIVERED
    place = "ts" if repeat == "update" else "thread_ts"
    assert [body.get(place) for _, body in scene.slack.calls] == [None, "1.0001", None, "3.0001"]


async def test_a_failed_message_begins_no_thread(scene: Scene) -> None:
    """Only what Slack took is remembered."""
    made = scene.target()
    scene.slack.says = [{"ok": False, "error": "internal_error"}]
    assert (await made.send(sending(1))).outcome is Outcome.UNKNOWN
    assert (await made.send(sending(1, attempt=2))).outcome is Outcome.DELIVERED
    assert [body.get("thread_ts") for _, body in scene.slack.calls] == [None, None]


async def test_a_digest_begins_no_thread(scene: Scene) -> None:
    """It is about many; later news of one of them begins its own."""
    made = scene.target()
    assert (await made.send_together([sending(1), sending(2)])).outcome is Outcome.DELIVERED
    await made.send(sending(1))
    assert [body.get("thread_ts") for _, body in scene.slack.calls] == [None, None]
    assert scene.slack.calls[0][1]["text"].startswith("2 × Shift created")


class AwayThreads:
    """A store that does not answer."""

    async def find(self, target: str, record: str) -> str | None:
        raise StoreUnavailable("away")

    async def remember(self, target: str, record: str, message: str, *, seconds: float) -> None:
        raise StoreUnavailable("away")

    async def forget(self, target: str, record: str) -> None:
        raise StoreUnavailable("away")


async def test_without_the_store_there_is_a_message_all_the_same(scene: Scene) -> None:
    """A thread is a comfort, not a condition."""
    assert (await scene.target(threads=AwayThreads()).send(sending(1))).outcome is Outcome.DELIVERED


async def test_what_slack_repeats_is_not_kept(scene: Scene) -> None:
    """Of a success it sends the whole message back; of a refusal its word and what is missing stay."""
    envelope = sample("planday.shift.created")
    envelope["data"]["related"]["employee"] = {"firstName": "Søren", "lastName": "Ærøskøbing"}
    made = scene.target()
    taken = await made.send(sending(1, envelope=envelope))
    assert json.loads(taken.excerpt) == {"ok": True, "channel": "C0123", "ts": "1.0001"}
    refused = {"ok": False, "error": "missing_scope", "needed": "chat:write", "provided": "users:read"}
    scene.slack.says = [{**refused, "echo": "Ærøskøbing"}]
    result = await made.send(sending(2))
    assert result.outcome is Outcome.TARGET_BROKEN
    assert json.loads(result.excerpt) == refused
    assert TOKEN not in str((taken, result))


# What Slack's words mean ---------------------------------------------------------------------------


@pytest.mark.parametrize("word", ANSWERS)
def test_every_word_has_its_outcome(scene: Scene, word: str) -> None:
    """Also with status 200, and with a sentence."""
    verdict = scene.target().judge(httpx.Response(200, json={"ok": False, "error": word}), now=0.0)
    assert (verdict.outcome, verdict.reason) == (ANSWERS[word][0], f"{ANSWERS[word][1]} ({word})")


@pytest.mark.parametrize(
    ("response", "outcome", "wait"),
    [
        (httpx.Response(200, json={"ok": True, "ts": "1.2"}), Outcome.DELIVERED, None),
        (httpx.Response(200, json={"ok": False, "error": "brand_new_word"}), Outcome.REJECTED, None),
        (httpx.Response(200, json={"ok": "true"}), Outcome.UNKNOWN, None),
        (httpx.Response(200, json={"ok": False, "error": ["x"]}), Outcome.UNKNOWN, None),
        (httpx.Response(200, content=b"ok"), Outcome.UNKNOWN, None),
        (httpx.Response(200, json=[1]), Outcome.UNKNOWN, None),
        (
            httpx.Response(429, headers={"retry-after": "30"}, json={"ok": False, "error": "ratelimited"}),
            Outcome.RETRY,
            30.0,
        ),
        (httpx.Response(429, headers={"retry-after": "30"}, content=b"slow down"), Outcome.RETRY, 30.0),
        (httpx.Response(503, content=b"<html>"), Outcome.RETRY, None),
        (httpx.Response(404, content=b""), Outcome.TARGET_BROKEN, None),
    ],
)
def test_what_an_answer_means(scene: Scene, response: httpx.Response, outcome: Outcome, wait: float | None) -> None:
    """`ok` says it, not the status; `Retry-After` is honoured."""
    verdict = scene.target().judge(response, now=0.0)
    assert (verdict.outcome, verdict.retry_after) == (outcome, wait)


@pytest.mark.parametrize("type_", TYPES)
def test_slacks_models_accept_every_message(scene: Scene, type_: str) -> None:
    """The same blocks as by webhook, and the channel."""
    body = json.loads(scene.target(fields=("*",)).prepare(sending(1, type_)).content)
    for block in Block.parse_all(body["blocks"]):
        block.validate_json()
    assert body["channel"] == "C0123"


def test_targets_of_one_channel_share_its_rate(scene: Scene) -> None:
    """And the key tells neither token nor channel."""
    one, other = scene.target(name="a"), scene.target(name="b")
    assert one.limiter == other.limiter
    assert "C0123" not in one.limiter
    assert TOKEN not in one.limiter


def test_a_token_that_is_none_is_found_at_start() -> None:
    """Before a header is made of it."""
    model = SlackAppTarget(
        type="slack-app",
        token=Secret("env:T", value="xoxb-\nevil"),
        channel=Text("(written in the file)", value="C1"),
        events=("*",),
    )
    with pytest.raises(ConfigError, match=r"targets\.floor\.token: holds characters that no token has"):
        build("floor", model, messages=MESSAGES)
