"""targets.slack: Slack's own models accept every message, nothing in a value can act, every answer has its meaning."""

from __future__ import annotations

import copy
import json
import re
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from slack_sdk.models.blocks import Block, ContextBlock, HeaderBlock, SectionBlock

from relay.errors import ConfigError
from relay.events import Outcome
from relay.messages import TYPES, Message, Messages, sample
from relay.settings import SlackTarget
from relay.settings.values import Address
from relay.targets import Sending, Target, blocks, build
from relay.targets.slack import ANSWERS

URL = "https://hooks.slack.com/services/T00000000/B00000000/s3crets3crets3crets3cret"
MESSAGES = Messages()
# What Slack acts on: <!channel>, <@U1>, <#C1>, <https://x|y>. Ours is the one link, to the dashboard.
ACTIVE = re.compile(r"<(?!https://relay\.example/events/evt_1\|Open in planday-relay>)")


def target(*, url: str = URL, messages: Messages = MESSAGES, public_url: str | None = None, **more: Any) -> Target:
    model = SlackTarget(type="slack", url=Address("env:URL", value=url), events=("*",), **more)
    return build("ops", model, messages=messages, public_url=public_url)


SLACK = target(public_url="https://relay.example/")
EVERYTHING = target(fields=("*",))


def posted(envelope: dict[str, Any], *, by: Target = SLACK, **changes: Any) -> dict[str, Any]:
    known: dict[str, Any] = {"event_id": "evt_1", "target": "ops", "attempt": 1, "now": 1_790_000_000.0}
    request = by.prepare(Sending(envelope=envelope, **{**known, **changes}))
    payload: dict[str, Any] = json.loads(request.content)
    return payload


def judged(payload: dict[str, Any]) -> list[Block]:
    """Slack's own models read it, find nothing wrong, and lose nothing."""
    parsed = Block.parse_all(copy.deepcopy(payload["blocks"]))
    for block in parsed:
        block.validate_json()
    assert [block.to_dict() for block in parsed] == payload["blocks"]
    assert 1 <= len(parsed) <= 50
    assert payload.keys() == {"text", "blocks", "unfurl_links", "unfurl_media"}
    assert 0 < len(payload["text"]) <= 4000
    assert sum(blocks.size(text) for text in texts(payload)) <= 12_000
    assert all(element["verbatim"] for block in payload["blocks"] for element in block.get("elements", ()))
    return parsed


def texts(payload: dict[str, Any]) -> list[str]:
    found = [block["text"]["text"] for block in payload["blocks"] if "text" in block]
    return found + [element["text"] for block in payload["blocks"] for element in block.get("elements", ())]


def with_values(type_: str, value: str) -> dict[str, Any]:
    """Every text of the event's records is this one."""

    def changed(inner: Any) -> Any:
        if isinstance(inner, dict):
            return {name: changed(each) for name, each in inner.items()}
        return value if isinstance(inner, str) else inner

    envelope = sample(type_, every_field=True)
    data = envelope["data"]
    envelope["data"] = {**changed({"object": data["object"], "related": data["related"]}), "changed": [value] * 30}
    envelope["subject"] = f"{envelope['subject'].partition('/')[0]}/{value}"
    return envelope


@pytest.mark.parametrize("type_", TYPES)
def test_slacks_models_accept_every_message(type_: str) -> None:
    """Header, section, context; the fallback text says the same."""
    parsed = judged(posted(sample(type_)))
    assert [type(block) for block in parsed] == [HeaderBlock, SectionBlock, ContextBlock]


VALUES = [
    "Søren Ærø Åse",
    "x" * 20_000,
    "&<>" * 9_000,
    "🧑‍🍳" * 5_000,
    "<!channel> <@U123> <http://evil.example|x>",
    "\ud800\x00\u202e",
]


@pytest.mark.parametrize("by", [SLACK, EVERYTHING], ids=["default", "everything"])
@pytest.mark.parametrize("value", VALUES, ids=["danish", "long", "escaped", "emoji", "hostile", "broken"])
@pytest.mark.parametrize("type_", TYPES)
def test_slacks_models_accept_odd_values(type_: str, value: str, by: Target) -> None:
    """Long ones are cut, hostile ones are text."""
    payload = posted(with_values(type_, value), by=by)
    judged(payload)
    for text in (payload["text"], *texts(payload)):
        assert not ACTIVE.search(text)


@settings(deadline=None, max_examples=200)
@given(
    value=st.text(max_size=400)
    | st.lists(st.sampled_from(["<!channel>", "<@U1>", "<", ">", "&", "|", "http://evil.example", "*", "\n", "æ"])).map(
        "".join
    ),
    type_=st.sampled_from(TYPES),
)
def test_no_value_can_act(value: str, type_: str) -> None:
    """Neither mention nor link nor channel comes of a value, and entities are whole."""
    payload = posted(with_values(type_, value), replay="rp_1")
    judged(payload)
    for text in (payload["text"], *texts(payload)):
        assert not ACTIVE.search(text)
        assert not re.search(r"&(?!(?:amp|lt|gt);)", text)


def test_a_template_shows_no_more_than_the_target_may_have(tmp_path: Path) -> None:
    """Templates get the filtered event: neither ours nor an operator's can show health, pay or free text by default."""
    (tmp_path / "shift.txt").write_text("[title]\nx\n[body]\n{{ shift_type }}{{ event.data.object.comment }}{{ who }}")
    by = target(messages=Messages(tmp_path))
    envelope = sample("planday.shift.created", every_field=True)
    envelope["data"]["object"]["comment"] = envelope["data"]["related"]["shift_type"]["name"] = "MARKER"
    assert posted(envelope, by=by)["text"] == "x\nIda Testrup"
    assert "MARKER" not in json.dumps(posted(envelope))
    everything = target(messages=Messages(tmp_path), fields=("*",))
    assert posted(envelope, by=everything)["text"] == "x\nMARKERMARKERIda Testrup"


def test_an_address_in_a_name_is_no_link() -> None:
    """`verbatim` keeps Slack from making one, and nothing unfolds."""
    payload = posted(with_values("planday.shift.created", "https://evil.example"))
    assert payload["unfurl_links"] is payload["unfurl_media"] is False
    judged(payload)


def test_a_published_shift_as_it_is_sent() -> None:
    """The whole payload, once."""
    assert posted(sample("planday.shift.published")) == {
        "text": "Shift published\n*Ida Testrup* · Harbour · Waiter\nSat 24 Oct 2026, 20:00–03:30 (next day)",
        "blocks": [
            {"type": "header", "text": {"type": "plain_text", "text": "Shift published", "emoji": False}},
            {
                "type": "section",
                "text": {
                    "type": "mrkdwn",
                    "text": "*Ida Testrup* · Harbour · Waiter\nSat 24 Oct 2026, 20:00–03:30 (next day)",
                    "verbatim": True,
                },
            },
            {
                "type": "context",
                "elements": [
                    {"type": "mrkdwn", "text": "Bistro Demo · Europe/Copenhagen", "verbatim": True},
                    {
                        "type": "mrkdwn",
                        "text": "<https://relay.example/events/evt_1|Open in planday-relay>",
                        "verbatim": True,
                    },
                ],
            },
        ],
        "unfurl_links": False,
        "unfurl_media": False,
    }


def test_a_replay_says_so() -> None:
    """A resend is a second message in the channel: people see why."""
    elements = posted(sample("planday.shift.published"), replay="rp_1")["blocks"][-1]["elements"]
    assert elements[1]["text"] == "Sent again by a replay"


@pytest.mark.parametrize("public_url", [None, "", "https://relay.example/" + "x" * 3000])
def test_no_link_without_a_usable_address(public_url: str | None) -> None:
    """The link is an extra."""
    assert "Open in" not in json.dumps(posted(sample("relay.test"), by=target(public_url=public_url)))


def test_a_link_cannot_be_broken_by_the_setting() -> None:
    """Whatever the setting holds is percent-encoded or escaped."""
    payload = posted(sample("relay.test"), by=target(public_url="https://relay.example/a|b>c&d e"))
    link = payload["blocks"][-1]["elements"][-1]["text"]
    assert link == "<https://relay.example/a%7Cb%3Ec&amp;d%20e/events/evt_1|Open in planday-relay>"


def test_too_many_blocks_become_one_line() -> None:
    """What is past the limit is counted, not refused."""
    payload = blocks.payload(Message(title="t", body=tuple(f"block {n}" for n in range(80)), context=("c",)))
    assert len(judged(payload)) == 50
    assert payload["blocks"][-2]["elements"][0]["text"].startswith("33 more, not shown")


def test_a_long_text_is_parted_and_then_cut() -> None:
    """Sections hold three thousand; the whole stays under twelve thousand, with a mark where it ends."""
    lines = "\n".join(f"line {n} " + "æ" * 500 for n in range(60))
    payload = blocks.payload(Message(title="t" * 400, body=(lines, "x" * 9000), context=("c" * 9000,)), context=["d"])
    judged(payload)
    sections = [block["text"]["text"] for block in payload["blocks"] if block["type"] == "section"]
    assert len(sections) > 2
    assert sections[-1].endswith("…")
    assert "more, not shown" in payload["blocks"][-2]["elements"][0]["text"]


CUTS = [
    ("short", 10, "short"),
    ("exactly ten", 11, "exactly ten"),
    ("much too long", 6, "much…"),
    ("ab &amp; cd", 6, "ab…"),
    ("ab &amp; cd", 8, "ab…"),
    ("ab &amp; cd", 9, "ab &amp;…"),
    ("see <https://x.example|here> now", 20, "see…"),
    ("🧑🧑🧑", 4, "🧑…"),
    ("🧑🧑🧑", 6, "🧑🧑🧑"),
]


@pytest.mark.parametrize(("text", "limit", "expected"), CUTS)
def test_cuts(text: str, limit: int, expected: str) -> None:
    """Never within an entity, a link or a character."""
    assert blocks.cut(text, limit) == expected


@settings(deadline=None)
@given(st.text(), st.integers(1, 50))
def test_cuts_keep_the_limit(text: str, limit: int) -> None:
    """In UTF-16 units, as Slack may count."""
    assert blocks.size(blocks.cut(text, limit)) <= limit


def judge(status: int, body: str = "", **headers: str) -> tuple[Outcome, str, float | None]:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    verdict = SLACK.judge(httpx.Response(status, text=body, headers=named), now=0.0)
    return verdict.outcome, verdict.reason, verdict.retry_after


R, B, L = Outcome.REJECTED, Outcome.TARGET_BROKEN, Outcome.RETRY
WORDS = [
    ("invalid_payload", 400, R),
    ("invalid_blocks", 400, R),
    ("no_text", 400, R),
    ("too_many_attachments", 400, R),
    ("missing_text_or_fallback_or_attachments", 400, R),
    ("msg_blocks_too_long", 400, R),
    ("user_not_found", 400, B),
    ("action_prohibited", 403, B),
    ("posting_to_general_channel_denied", 403, B),
    ("posting_to_general_channel_denied", 400, B),
    ("invalid_token", 403, B),
    ("channel_not_found", 404, B),
    ("no_service", 404, B),
    ("no_service", 403, B),
    ("no_service_id", 400, B),
    ("no_active_hooks", 404, B),
    ("no_team", 404, B),
    ("team_disabled", 404, B),
    ("channel_is_archived", 410, B),
    ("rollup_error", 500, L),
    ("rate_limited", 429, L),
    ("no_service", 500, B),
    ("channel_is_archived", 200, B),
    (" invalid_payload\n", 400, R),
]


@pytest.mark.parametrize(("word", "status", "outcome"), WORDS)
def test_slacks_words(word: str, status: int, outcome: Outcome) -> None:
    """The word decides, whatever the status; the sentence has it for whoever searches."""
    found, reason, _ = judge(status, word)
    assert found is outcome
    assert word.strip() in reason


def test_every_word_is_tested() -> None:
    """The table of words and this file's go together, but for synonyms."""
    assert ANSWERS.keys() - {word.strip() for word, _, _ in WORDS} == {
        "invalid_blocks_format",
        "msg_too_long",
        "ratelimited",
    }


STATUSES = [
    (200, "ok", Outcome.DELIVERED),
    (200, "ok\n", Outcome.DELIVERED),
    (200, "", Outcome.UNKNOWN),
    (200, "okay", Outcome.UNKNOWN),
    (200, '{"ok":true}', Outcome.UNKNOWN),
    (200, "<html>sign in</html>", Outcome.UNKNOWN),
    (202, "ok", Outcome.UNKNOWN),
    (204, "", Outcome.UNKNOWN),
    (302, "", Outcome.TARGET_BROKEN),
    (400, "something_new", Outcome.REJECTED),
    (403, "something_new", Outcome.REJECTED),
    (404, "<html>", Outcome.REJECTED),
    (418, "", Outcome.REJECTED),
    (408, "", Outcome.RETRY),
    (429, "", Outcome.RETRY),
    (500, "<html>", Outcome.RETRY),
    (503, "ok", Outcome.RETRY),
]


@pytest.mark.parametrize(("status", "body", "outcome"), STATUSES)
def test_slacks_statuses(status: int, body: str, outcome: Outcome) -> None:
    """Without a known word the status decides; what is no success in Slack's words is none."""
    assert judge(status, body)[0] is outcome


@pytest.mark.parametrize("body", ["rate_limited", "", "rollup_error"])
def test_slack_asks_to_wait(body: str) -> None:
    """The wait is honoured, by word and by status."""
    assert judge(429, body, retry_after="30")[2] == 30.0


def test_an_answer_that_is_no_text_is_judged_by_status() -> None:
    """Bytes are not trusted to be UTF-8."""
    assert SLACK.judge(httpx.Response(500, content=b"\xff" * 1000), now=0.0).outcome is Outcome.RETRY


def test_targets_on_one_webhook_share_their_rate() -> None:
    """The key is made of the address and does not give it away."""
    assert target().limiter == SLACK.limiter
    assert target(url=URL + "x").limiter != SLACK.limiter
    assert "s3cret" not in SLACK.limiter


def test_a_template_can_be_chosen(tmp_path: Path) -> None:
    """By name; a name that is not there is found at start."""
    (tmp_path / "kitchen.txt").write_text("[title]\nKitchen: {{ what }}\n")
    messages = Messages(tmp_path)
    payload = posted(sample("planday.shift.created"), by=target(messages=messages, template="kitchen"))
    assert payload["text"] == "Kitchen: Shift"
    with pytest.raises(ConfigError, match=r"targets\.ops\.template: there is no template 'kitchen'; there are "):
        target(template="kitchen")
