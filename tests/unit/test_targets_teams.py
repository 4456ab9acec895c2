"""targets.teams: Microsoft's schema accepts every card, nothing in a value can act, every answer has its meaning."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft6Validator

from relay.errors import ConfigError
from relay.events import Outcome
from relay.messages import TYPES, Messages, sample
from relay.messages.digest import Entry, gathered
from relay.messages.markup import plain, protect
from relay.settings import TeamsTarget
from relay.settings.values import Address
from relay.targets import Sending, build, cards
from relay.targets.teams import Teams
from tests.unit.test_targets_slack import VALUES, with_values

URL = "https://prod-01.westeurope.logic.azure.com:443/workflows/0123456789abcdef/triggers/manual/paths/invoke?sig=s3cretsig"
MESSAGES = Messages()
MOST = 100
ODD = ("danish", "long", "escaped", "emoji", "hostile", "broken")


def schema(version: str) -> Draft6Validator:
    """Microsoft's schema of Adaptive Cards, as a package that is not ours carries it."""
    found = importlib.util.find_spec("adaptive_cards")
    assert found is not None
    assert found.submodule_search_locations is not None
    path = Path(found.submodule_search_locations[0], "schemas", f"schema-{version}.json")
    return Draft6Validator(json.loads(path.read_text(encoding="utf-8")))


SCHEMA = schema(cards.VERSION)


def target(*, url: str = URL, public_url: str | None = "https://relay.example/", **more: Any) -> Teams:
    model = TeamsTarget(type="teams", url=Address("env:URL", value=url), events=("*",), **more)
    made = build("office", model, messages=MESSAGES, public_url=public_url)
    assert isinstance(made, Teams)
    return made


TEAMS = target()
EVERYTHING = target(fields=("*",))


def sending(number: int, envelope: dict[str, Any], **changes: Any) -> Sending:
    known: dict[str, Any] = {"event_id": f"evt_{number}", "target": "office", "attempt": 1, "now": 1_790_000_000.0}
    return Sending(envelope=envelope, **{**known, **changes})


def judged(content: bytes) -> dict[str, Any]:
    """The card, after Microsoft's schema found nothing wrong and Teams would find it small enough."""
    payload = json.loads(content)
    assert payload.keys() == {"type", "summary", "attachments"}
    (attachment,) = payload["attachments"]
    assert attachment["contentType"] == "application/vnd.microsoft.card.adaptive"
    card: dict[str, Any] = dict(attachment["content"])
    assert len(content) <= cards.WHOLE
    # Teams' own addition to the format.
    assert card.pop("msteams") == {"width": "Full"}
    assert [error.message for error in SCHEMA.iter_errors(card)] == []
    # Rich text is read by nobody: neither markdown nor a mention nor a link comes of a value.
    assert {element["type"] for element in card["body"]} == {"RichTextBlock"}
    assert all(run["type"] == "TextRun" and "selectAction" not in run for run in pieces(card))
    assert all(action["url"].startswith("https://relay.example/events") for action in card.get("actions", ()))
    return card


def pieces(card: dict[str, Any]) -> list[dict[str, Any]]:
    return [run for element in card["body"] for run in element["inlines"]]


def lines(card: dict[str, Any]) -> list[str]:
    return ["".join(run["text"] for run in element["inlines"]) for element in card["body"]]


def single(envelope: dict[str, Any], *, by: Teams = TEAMS, **changes: Any) -> dict[str, Any]:
    return judged(by.prepare(sending(1, envelope, **changes)).content)


def together(*sendings: Sending, by: Teams = TEAMS) -> dict[str, Any]:
    return judged(by.prepare_together(sendings).content)


def events(card: dict[str, Any]) -> list[str]:
    return [line for line in lines(card) if line.startswith(cards.BULLET)]


def test_the_schema_judges() -> None:
    """It would find a fault."""
    assert list(SCHEMA.iter_errors({"type": "AdaptiveCard", "version": "1.4", "body": [{"type": "TextRun"}]}))
    assert list(SCHEMA.iter_errors({"type": "AdaptiveCard", "body": [{"type": "RichTextBlock"}]}))


@pytest.mark.parametrize("type_", TYPES)
def test_the_schema_accepts_every_card(type_: str) -> None:
    """With what a target has by default, and with everything."""
    for by in (TEAMS, EVERYTHING):
        single(sample(type_, every_field=by is EVERYTHING), by=by)
        together(*(sending(number, sample(type_)) for number in range(3)), by=by)


@pytest.mark.parametrize("value", VALUES, ids=ODD)
@pytest.mark.parametrize("type_", TYPES)
def test_the_schema_accepts_odd_values(type_: str, value: str) -> None:
    """Long ones are cut, hostile ones are text."""
    single(with_values(type_, value), by=EVERYTHING)


@pytest.mark.parametrize("value", [*VALUES, '"\\' * 500], ids=[*ODD, "json"])
def test_a_hundred_with_odd_values(value: str) -> None:
    """Never fewer lines than events."""
    envelopes = (with_values("planday.shift.updated", value) for _ in range(MOST))
    card = together(*(sending(number, one) for number, one in enumerate(envelopes)), by=EVERYTHING)
    assert len(events(card)) == MOST


def test_a_usual_digest_is_whole() -> None:
    """Fifty changes, which is what a target gathers by default: each with its name, time and place."""
    assert TEAMS.gathers == 50
    envelopes = [sample("planday.shift.updated") for _ in range(50)]
    for number, one in enumerate(envelopes):
        one["data"]["related"]["employee"] = {"firstName": "Søren", "lastName": f"Ærøskøbing-{number}"}
    card = together(*(sending(number, one) for number, one in enumerate(envelopes)))
    found = events(card)
    for number in range(50):
        when = "Sat 24 Oct 2026, 20:00–03:30 (next day) (was 19:00–03:30)"
        assert f"• Søren Ærøskøbing-{number} · {when} · Harbour · Waiter" in found
    assert lines(card)[0] == "50 × Shift changed · Harbour"


@settings(deadline=None, max_examples=40)
@given(
    st.lists(
        st.builds(
            Entry,
            title=st.text('aø\\*_"🧑', min_size=1, max_size=300).map(protect),
            line=st.text('aø\\*_"🧑 ', min_size=1, max_size=300).filter(str.strip).map(protect),
            verb=st.just("created"),
            department=st.text("abø&", max_size=40).map(protect),
        ),
        min_size=1,
        max_size=MOST,
    )
)
def test_any_hundred_fit(entries: list[Entry]) -> None:
    """Whatever the templates made."""
    link = f"https://relay.example/events?{'x' * 1400}"
    payload = cards.digest_payload(gathered(entries), small=["y" * 200], link=link, words="Open")
    assert len(events(judged(json.dumps(payload, ensure_ascii=False, separators=(",", ":")).encode()))) == len(entries)


def test_a_hundred_kinds_at_once_fit() -> None:
    """Each with its title and as much of its line as there is room for."""
    entries = [Entry(title=f"{n:02} {'t' * 200}", line=f"{n:02} {'l' * 300}", verb="x") for n in range(MOST)]
    payload = cards.digest_payload(gathered(entries), small=["y" * 200], link="", words="Open")
    found = events(judged(json.dumps(payload, ensure_ascii=False, separators=(",", ":")).encode()))
    assert [line[2:4] for line in found] == [f"{n:02}" for n in range(MOST)]
    assert all(f": {n:02} llllllllll" in line for n, line in enumerate(found))


@given(st.text(max_size=60), st.integers(4, 40))
def test_a_cut_keeps_to_its_size(text: str, limit: int) -> None:
    """In bytes of JSON; what fits stays as it is."""
    assert cards.size(cards.cut(text, limit)) <= max(limit, 3)
    if cards.size(text) <= limit:
        assert cards.cut(text, limit) == text


def test_a_published_shift_as_people_read_it() -> None:
    """Bold where the template says so; the link is ours."""
    card = single(sample("planday.shift.published"))
    assert lines(card) == [
        "Shift published",
        "Ida Testrup · Harbour · Waiter",
        "Sat 24 Oct 2026, 20:00–03:30 (next day)",
        "Bistro Demo · Europe/Copenhagen",
    ]
    assert [run["text"] for run in pieces(card) if run.get("weight") == "Bolder"] == ["Shift published", "Ida Testrup"]
    assert card["actions"] == [
        {"type": "Action.OpenUrl", "title": "Open in planday-relay", "url": "https://relay.example/events/evt_1"}
    ]
    assert "actions" not in judged(target(public_url=None).prepare(sending(1, sample("relay.test"))).content)


def test_a_preview_is_what_is_sent_and_read() -> None:
    """The body, and beside it the words alone."""
    preview = TEAMS.preview(sending(1, sample("planday.shift.published"), replay="rp_1"))
    assert judged(preview.body.encode())
    assert preview.message.startswith("Shift published\nIda Testrup · Harbour · Waiter\n")
    assert preview.url == "https://prod-01.westeurope.logic.azure.com/***"
    assert "s3cretsig" not in str(preview)


def test_the_address_goes_out_as_it_was_given() -> None:
    """Its query is a signature: not a byte may change."""
    request = TEAMS.prepare(sending(1, sample("relay.test")))
    assert str(request.url).replace(":443", "") == URL.replace(":443", "")
    assert TEAMS.limiter == target(rate={"per_second": 1}).limiter != target(url=URL + "x").limiter


@pytest.mark.parametrize("host", ["bistro.webhook.office.com", "webhook.office.com"])
def test_a_retired_connector_is_refused_at_start(host: str) -> None:
    """With what to do instead, and without the address."""
    with pytest.raises(ConfigError) as caught:
        target(url=f"https://{host}/webhookb2/s3cret")
    assert str(caught.value).startswith("targets.office.url: is a connector of Office 365, which Microsoft has retired")
    assert "s3cret" not in str(caught.value)


ANSWERS = [
    (202, b"", Outcome.DELIVERED, "the workflow took it (202 Accepted); Teams does not say whether it was posted"),
    (200, b"1", Outcome.DELIVERED, "the workflow took it (200 OK)"),
    (
        400,
        b'{"error":{"code":"TriggerInputSchemaMismatch"}}',
        Outcome.REJECTED,
        "the target will not take this message",
    ),
    (400, b'{"error":{"code":"WorkflowTriggerIsNotEnabled"}}', Outcome.TARGET_BROKEN, "the workflow is switched off"),
    (
        401,
        b'{"error":{"code":"DirectApiAuthorizationRequired"}}',
        Outcome.TARGET_BROKEN,
        "the workflow does not accept",
    ),
    (404, b'{"error":{"code":"WorkflowNotFound"}}', Outcome.TARGET_BROKEN, "the workflow does not exist any more"),
    (404, b"[]", Outcome.TARGET_BROKEN, "the target's address does not exist there"),
    (413, b"", Outcome.REJECTED, "the target will not take this message"),
    (429, b"", Outcome.RETRY, "the target asks to come back later"),
    (502, b'{"error":{"code":"NoResponse"}}', Outcome.RETRY, "the target asks to come back later"),
]


@pytest.mark.parametrize(("status", "body", "outcome", "says"), ANSWERS)
def test_what_an_answer_means(status: int, body: bytes, outcome: Outcome, says: str) -> None:
    """The workflow's word first, the status second."""
    verdict = TEAMS.judge(httpx.Response(status, content=body), now=0.0)
    assert verdict.outcome is outcome
    assert verdict.reason.startswith(says)


def test_marks_of_a_value_are_text() -> None:
    """A name of stars stays one."""
    envelope = sample("planday.shift.published")
    envelope["data"]["related"]["employee"] = {"firstName": "*Ida*", "lastName": "_[x](https://evil.example)_"}
    card = single(envelope)
    assert lines(card)[1] == "*Ida* _[x](https://evil.example)_ · Harbour · Waiter"
    assert plain(protect("*a*\\")) == "*a*\\"
