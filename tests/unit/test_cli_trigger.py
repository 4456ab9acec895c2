"""`relay trigger`: what it builds, and that each scheme's signature is one the receiver accepts."""

from __future__ import annotations

from typing import Any

import pytest
import typer

from relay.cli import signed, trigger
from relay.cli.http import Answer
from relay.cli.trigger import build, message_id, parse_sets
from relay.envelope import CLOUDEVENT, parse
from relay.settings import Secret, Source
from relay.signing import verifier

NOW = 1_767_225_600.0
SECRET = "whsec_dGVzdC1zb3VyY2Utc2VjcmV0LXRlc3Qtc291cmNlLXM="
BODY = b'{"type":"planday.shift.updated"}'


def source(**values: Any) -> Source:
    text = SECRET if values.get("verify", "standard-webhooks") == "standard-webhooks" else "a {timestamp} long secret"
    secrets = () if values.get("verify") == "none" else (Secret("env:X", value=text),)
    return Source.model_validate({"secrets": secrets, **values})


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"verify": "hmac-sha256", "header": "x-hub-signature-256", "prefix": "sha256="},
        {"verify": "hmac-sha256", "header": "x-sig", "encoding": "base64"},
        {
            "verify": "hmac-sha256",
            "header": "x-sig",
            "timestamp_header": "x-time",
            "signed": "{timestamp}.{body}",
        },
        {
            "verify": "hmac-sha256",
            "header": "x-sig",
            "timestamp_header": "x-time",
            "key": "{timestamp}#{secret}",
        },
        {"verify": "token", "header": "x-token"},
        {"verify": "token", "header": "authorization", "prefix": "Bearer "},
        {"verify": "basic", "username": "someone"},
        {"verify": "none"},
    ],
    ids=lambda values: "-".join(str(one) for one in values.values()) or "standard-webhooks",
)
def test_the_receiver_accepts_what_trigger_signs(values: dict[str, Any]) -> None:
    """Whatever scheme a source has, the headers that trigger makes pass its check."""
    chosen = source(**values)
    verifier(chosen).verify(signed.headers(chosen, message_id="cli-1", at=NOW, body=BODY), BODY, now=NOW)


@pytest.mark.parametrize(
    ("type_", "subject"),
    [
        ("planday.shift.updated", "shift/70010045"),
        ("planday.absence_request.approved", "absence_request/66012"),
        ("acme.thing.made", "thing/1"),
        ("relay.test", "relay/1"),
    ],
)
def test_what_it_builds_is_an_event(type_: str, subject: str) -> None:
    """Without any --set the envelope is one that the receiver reads, about something that the simulator has."""
    from pydantic_core import to_json

    envelope = build(type_, {}, portal=4100001, fresh_id="cli-1")
    (event,) = parse(
        to_json(envelope),
        content_type=CLOUDEVENT,
        source_name="planday",
        source=source(),
        webhook_id=None,
        now=NOW,
        fresh_id=lambda: "fresh",
    )
    assert (event.type, event.subject, event.portal, event.sender_id) == (type_, subject, 4100001, "cli-1")


@pytest.mark.parametrize(("status", "word"), [(401, "another secret of sources.planday"), (503, "does not answer")])
def test_a_refusal_has_a_next_step(status: int, word: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The receiver never says which check failed; the person at the prompt is told where to look."""
    trigger._print("http://x", {"type": "a.b", "subject": "a/1"}, Answer(status, {"status": status}), source="planday")
    told = capsys.readouterr()
    assert told.out == ""
    assert "next: " in told.err
    assert word in told.err


def test_what_was_taken_can_be_followed(capsys: pytest.CaptureFixture[str]) -> None:
    """202 is not the end: a duplicate change, say, shows only later."""
    answer = Answer(202, {"events": [{"id": "evt_1", "duplicate": False}]})
    trigger._print("http://x", {"type": "a.b", "subject": "a/1"}, answer, source="planday")
    assert "relay events explain evt_1" in capsys.readouterr().err


def test_sets_are_attributes_and_data() -> None:
    """Attributes stay text, what is below data is JSON where it is that; the last word counts."""
    assert parse_sets(
        ["subject=shift/1", "portalid=2", "data.a.b=3", 'data.a.c=["x"]', "data.text=x=y", "subject=shift/4"]
    ) == {"subject": "shift/4", "portalid": "2", "data": {"a": {"b": 3, "c": ["x"]}, "text": "x=y"}}
    assert parse_sets(['data={"whole": true}']) == {"data": {"whole": True}}


@pytest.mark.parametrize("wrong", ["nothing", "=x", "data.a=1|data.a.b=2"])
def test_a_wrong_set_is_a_usage_error(wrong: str) -> None:
    """No equals sign, no name, or a value where an object is needed."""
    with pytest.raises(typer.BadParameter):
        parse_sets(wrong.split("|"))


def test_what_is_set_wins_over_what_is_made() -> None:
    """A source or a portal of one's own replaces the configured portal."""
    envelope = build("planday.shift.updated", {"source": "urn:planday:portal:7", "id": "mine"}, portal=1, fresh_id="x")
    assert (envelope["id"], envelope["source"], "portalid" in envelope) == ("mine", "urn:planday:portal:7", False)


def test_an_id_becomes_a_header_that_can_be_signed() -> None:
    """The header `webhook-id` holds no dot and no space; the event's own id stays as it is."""
    assert message_id("a.b c") == "a-b-c"
    assert message_id("") == "-"
