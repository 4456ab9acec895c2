"""targets.blocks: a burst as one Slack message, which Slack's own models accept, and no event is missing from it."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relay.errors import Unrenderable
from relay.messages import TYPES, sample
from relay.messages.digest import Digest, Entry, Group, gathered
from relay.targets import Sending, blocks
from relay.targets.slack import Slack
from tests.unit.test_targets_slack import VALUES, judged, target, texts, with_values

LINK = re.compile(r"<(?!https://relay\.example/events\|Open in planday-relay>)")
SLACK = target(public_url="https://relay.example/")
MOST = 100


def sending(number: int, envelope: dict[str, Any], **changes: Any) -> Sending:
    known: dict[str, Any] = {"event_id": f"evt_{number}", "target": "ops", "attempt": 1, "now": 1_790_000_000.0}
    return Sending(envelope=envelope, **{**known, **changes})


def together(*sendings: Sending, by: Any = SLACK) -> dict[str, Any]:
    assert isinstance(by, Slack)
    payload: dict[str, Any] = json.loads(by.prepare_together(sendings).content)
    judged(payload)
    for text in (payload["text"], *texts(payload)):
        assert not LINK.search(text)
        assert not re.search(r"&(?!(?:amp|lt|gt);)", text)
    return payload


def shown(payload: dict[str, Any]) -> list[str]:
    """The lines of events that people see."""
    return [line for text in texts(payload) for line in text.splitlines() if line.startswith(blocks.BULLET)]


def test_every_type_at_once() -> None:
    """All that the catalogue has, in one message."""
    payload = together(*(sending(number, sample(type_)) for number, type_ in enumerate(TYPES)))
    assert len(shown(payload)) == len(TYPES)


@pytest.mark.parametrize("value", VALUES, ids=["danish", "long", "escaped", "emoji", "hostile", "broken"])
@pytest.mark.parametrize("type_", ["planday.shift.updated", "planday.department.created", "relay.target.failing"])
def test_a_hundred_with_odd_values(value: str, type_: str) -> None:
    """Cut, never refused, and never fewer lines than events."""
    everything = target(fields=("*",))
    payload = together(*(sending(number, with_values(type_, value)) for number in range(MOST)), by=everything)
    assert len(shown(payload)) == MOST


def test_a_hundred_shifts_each_with_name_time_and_place() -> None:
    """Whole lines: usual names are never cut."""
    envelopes = []
    for number in range(MOST):
        envelope = sample("planday.shift.updated")
        envelope["data"]["related"]["employee"] = {"firstName": "Anne-Sofie", "lastName": f"Møller Jørgensen {number}"}
        envelopes.append(envelope)
    lines = shown(together(*(sending(number, one) for number, one in enumerate(envelopes))))
    for number in range(MOST):
        (line,) = (line for line in lines if f"Jørgensen {number}*" in line)
        assert "Sat 24 Oct 2026, 20:00–03:30 (next day) (was 19:00–03:30)" in line


def test_a_hundred_long_names_are_all_there_with_their_times() -> None:
    """What is too long is cut at its end, where the place stands, and the message says so."""
    envelopes = []
    for number in range(MOST):
        envelope = sample("planday.shift.updated")
        envelope["data"]["related"]["employee"] = {"firstName": f"N{number:03}", "lastName": "Ø" * 500}
        envelope["data"]["related"]["department"] = {"name": "D" * 500}
        envelopes.append(envelope)
    payload = together(*(sending(number, one) for number, one in enumerate(envelopes)))
    lines = shown(payload)
    for number in range(MOST):
        (line,) = (line for line in lines if f"N{number:03} " in line)
        assert "Sat 24 Oct 2026, 20:00–03:30" in line
    assert any("100 lines are cut short" in text for text in texts(payload))


@settings(deadline=None, max_examples=40)
@given(
    st.lists(
        st.builds(
            Entry,
            title=st.text(
                st.characters(exclude_characters="\r\n", exclude_categories=["Cs", "Cc", "Zl", "Zp"]), min_size=1
            )
            .filter(str.strip)
            .map(blocks.escape),
            line=st.text("aø<&🧑 ", min_size=1, max_size=300).filter(str.strip).map(blocks.escape),
            verb=st.just("created"),
            department=st.text("abø&", max_size=40).map(blocks.escape),
        ),
        min_size=1,
        max_size=MOST,
    )
)
def test_any_hundred_fit(entries: list[Entry]) -> None:
    """Whatever the templates made: within Slack's limits, and a line for each."""
    payload = blocks.digest_payload(gathered(entries), context=[f"<https://relay.example/{'x' * 1400}|Open>"])
    judged(payload)
    assert len(shown(payload)) == len(entries)


def test_a_replay_says_so() -> None:
    """How many of them, if not all."""
    some = together(
        sending(1, sample("planday.shift.created")), sending(2, sample("planday.shift.created"), replay="r")
    )
    assert "1 of these were sent again by a replay" in texts(some)
    everything = together(*(sending(number, sample("planday.shift.created"), replay="r") for number in range(2)))
    assert "Sent again by a replay" in texts(everything)


def test_a_digest_as_it_is_sent() -> None:
    """The whole payload, once."""
    digest = Digest(
        title="3 changes",
        counts=("Shift deleted 1 · Shift published 2",),
        groups=(Group(title="Shift deleted", lines=("*A*",)), Group(title="Shift published", lines=("*B*", "*C*"))),
    )
    assert [block.get("text") for block in blocks.digest_payload(digest)["blocks"]] == [
        {"type": "plain_text", "text": "3 changes", "emoji": False},
        {"type": "mrkdwn", "text": "Shift deleted 1 · Shift published 2", "verbatim": True},
        {"type": "mrkdwn", "text": "*Shift deleted*\n• *A*", "verbatim": True},
        {"type": "mrkdwn", "text": "*Shift published (2)*\n• *B*\n• *C*", "verbatim": True},
    ]


def test_an_event_without_its_essentials_is_none() -> None:
    """The company it is in is told, so that each is tried alone."""
    assert isinstance(SLACK, Slack)
    with pytest.raises(Unrenderable):
        SLACK.prepare_together([sending(1, sample("planday.shift.created")), sending(2, {"data": {}})])
