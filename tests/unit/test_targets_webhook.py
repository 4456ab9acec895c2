"""targets.webhook: a valid CloudEvent leaves, signed so that others verify it, with what the target may have."""

from __future__ import annotations

import base64
import json
import re
import time
from pathlib import Path
from typing import Any

import httpx
import pytest
from cloudevents.core.bindings.http import HTTPMessage, from_structured_event
from standardwebhooks import Webhook as Judge

from relay import __version__
from relay.errors import ConfigError, StoreUnavailable, Unrenderable
from relay.events import Outcome, idempotency_key
from relay.messages import TYPES, Messages, sample
from relay.settings import Secret, WebhookTarget
from relay.settings.values import Address
from relay.targets import Sending, Target, build

NEW = "whsec_" + base64.b64encode(bytes(range(32))).decode()
OLD = "whsec_" + base64.b64encode(bytes(range(50, 82))).decode()
MESSAGES = Messages()
URL = "https://payroll.example/hooks"


def target(*, secrets: tuple[str, ...] = (NEW,), url: str = URL, name: str = "hours", **settings: Any) -> Target:
    model = WebhookTarget(
        type="webhook",
        url=Address("env:URL", value=url),
        signing_secret=tuple(Secret("env:SECRET", value=secret) for secret in secrets),
        events=("planday.*",),
        **settings,
    )
    return build(name, model, messages=MESSAGES)


def sending(envelope: dict[str, Any] | None = None, **changes: Any) -> Sending:
    envelope = sample("planday.shift.updated") if envelope is None else envelope
    known: dict[str, Any] = {"event_id": "evt_1", "target": "hours", "attempt": 1, "now": time.time()}
    return Sending(envelope=envelope, **{**known, **changes})


@pytest.mark.parametrize("type_", TYPES)
def test_the_cloudevents_package_reads_every_event(type_: str) -> None:
    """A library that is not ours finds a valid CloudEvent in the body."""
    request = target().prepare(sending(sample(type_)))
    assert request.headers["content-type"] == "application/cloudevents+json; charset=utf-8"
    event = from_structured_event(HTTPMessage(headers=dict(request.headers), body=request.content))
    assert event.get_type() == type_
    of_portal = type_ == "relay.test" or not type_.startswith("relay.")
    assert event.get_source() == ("urn:planday:portal:4100001" if of_portal else "urn:planday-relay")
    assert event.get_extension("portalid") == ("4100001" if of_portal else None)
    data = event.get_data()
    assert isinstance(data, dict)
    assert data["enrichment"]["state"] == "complete"


@pytest.mark.parametrize("secret", [NEW, OLD])
def test_others_verify_what_we_sign_with_either_secret(secret: str) -> None:
    """The reference library accepts it during rotation, whether the receiver has the new or the old secret."""
    envelope = sample("planday.employee.updated")
    envelope["data"]["related"]["department"]["name"] = "Æblehaven ø"
    request = target(secrets=(NEW, OLD)).prepare(sending(envelope))
    verified = Judge(secret).verify(request.content, dict(request.headers))
    assert verified["data"]["related"]["department"]["name"] == "Æblehaven ø"


def test_headers_of_an_attempt() -> None:
    """The id and the key stay through attempts and replays; time and attempt are those of this one."""
    first = target().prepare(sending(now=1_790_000_000.9)).headers
    again = target().prepare(sending(now=1_790_000_060.0, attempt=7, replay="rp_1")).headers
    assert first["webhook-id"] == again["webhook-id"] == "evt_1"
    assert first["idempotency-key"] == again["idempotency-key"] == idempotency_key("evt_1", "hours")
    assert (first["webhook-timestamp"], again["webhook-timestamp"]) == ("1790000000", "1790000060")
    assert (first["planday-relay-attempt"], again["planday-relay-attempt"]) == ("1", "7")
    assert "planday-relay-replay" not in first
    assert again["planday-relay-replay"] == "rp_1"
    assert first["user-agent"] == f"planday-relay/{__version__}"


def test_the_sample_for_receivers_works() -> None:
    """The Python of docs/targets.md, as it stands there: takes what we send once, refuses what is forged or garbled."""
    page = (Path(__file__).parents[2] / "docs/targets.md").read_text("utf-8")
    (code,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    seen: set[str] = set()
    handled: list[Any] = []

    def first_time(key: str) -> bool:
        new = key not in seen
        seen.add(key)
        return new

    names: dict[str, Any] = {"first_time": first_time, "handle": handled.append}
    exec(code.replace("whsec_...", NEW), names)  # noqa: S102 - our own page
    request = target().prepare(sending())
    again = target().prepare(sending(attempt=2, replay="rp_1"))
    headers = dict(request.headers)
    assert names["receive"](headers, request.content) == 200
    assert names["receive"](dict(again.headers), again.content) == 200
    assert [event["id"] for event in handled] == [sample("planday.shift.updated")["id"]]
    assert names["receive"](headers, request.content + b" ") == 401
    assert names["receive"](headers | {"webhook-signature": "v1"}, request.content) == 401
    assert names["receive"](headers, b"\xff") == 401


def test_another_target_has_another_key() -> None:
    """The key is one of event and target."""
    other = target(name="other").prepare(sending()).headers
    assert other["idempotency-key"] != target().prepare(sending()).headers["idempotency-key"]


def body(**settings: Any) -> dict[str, Any]:
    envelope = sample("planday.shift.updated", every_field=True)
    content: dict[str, Any] = json.loads(target(**settings).prepare(sending(envelope)).content)
    return content


def test_by_default_nothing_personal_leaves() -> None:
    """Classes A and B: ids and times, but no names, pay, health or free text."""
    data = body()["data"]
    assert data["object"]["employeeId"] == 910233
    assert "comment" not in data["object"]
    assert "shiftTypeId" not in data["object"]
    assert data["related"]["employee"].keys().isdisjoint({"firstName", "lastName", "salaryIdentifier", "email"})
    assert "shift_type" not in data["related"]
    assert "received" not in data


def test_a_listed_field_leaves_and_nothing_beside_it() -> None:
    """Default deny."""
    listed = body(fields=("data.related.employee.salaryIdentifier",))
    assert listed["data"]["related"] == {"employee": {"salaryIdentifier": "-"}}
    assert listed["data"]["object"] == {}
    assert "employeeid" not in listed


def test_what_is_null_or_no_number_is_proper_json() -> None:
    """An attribute that is null is left out; NaN, which JSON has no word for, is null."""
    envelope = sample("planday.shift.updated") | {"time": None, "dataschema": None}
    envelope["data"]["object"]["id"] = float("nan")
    content = json.loads(target().prepare(sending(envelope)).content)
    assert "time" not in content
    assert content["data"]["object"]["id"] is None


@pytest.mark.parametrize("odd", [object(), "\ud800"])
def test_what_json_cannot_express_is_unrenderable(odd: Any) -> None:
    """Sending it again unchanged cannot help."""
    envelope = sample("planday.shift.updated")
    envelope["data"]["object"]["id"] = odd
    with pytest.raises(Unrenderable, match="JSON"):
        target().prepare(sending(envelope))


def test_an_id_that_cannot_be_signed_is_unrenderable() -> None:
    """A dot in it would make the signed text ambiguous."""
    with pytest.raises(Unrenderable, match="signed"):
        target().prepare(sending(event_id="evt.1"))


@pytest.mark.parametrize("status", [300, 400, 404, 429, 500])
def test_a_receiver_can_stop_a_message(status: int) -> None:
    """`webhook-delivery: abort-message` ends the retries, unless it was delivered."""
    verdict = target().judge(httpx.Response(status, headers={"Webhook-Delivery": "Abort-Message"}), now=0.0)
    assert verdict.outcome is Outcome.REJECTED
    delivered = httpx.Response(200, headers={"webhook-delivery": "abort-message"})
    assert target().judge(delivered, now=0.0).outcome is Outcome.DELIVERED


@pytest.mark.parametrize("secrets", [("whsec_short",), (NEW, "nonsense")])
def test_an_unfit_secret_is_found_at_start(secrets: tuple[str, ...]) -> None:
    """The setting is named, the secret is not repeated."""
    with pytest.raises(ConfigError) as caught:
        target(secrets=secrets)
    (fault,) = caught.value.faults
    assert fault.where == "targets.hours.signing_secret"
    assert "short" not in str(fault).replace("too short", "")
    assert "nonsense" not in str(fault)


class Away:
    """Secrets that cannot be asked for."""

    async def of(self, target: str) -> tuple[str, ...]:
        raise StoreUnavailable(f"the store did not answer about {target}")


async def test_without_knowing_what_signs_nothing_is_sent() -> None:
    """The delivery waits and says why; the configured secret may be one that nobody takes any more."""
    made = build("hours", target().settings, messages=MESSAGES, signing=Away())
    result = await made.send(sending())
    assert result.outcome is Outcome.RETRY
    assert result.reason == "not sent: it is not known which secret signs: the store did not answer about hours"
    assert not result.request_headers


def test_secrets_do_not_show_in_a_preview() -> None:
    """The signature is masked, and so is the path of the address."""
    preview = target(url="https://payroll.example/hooks/s3crets3crets3cret?key=s3cret").preview(sending())
    assert preview.url == "https://payroll.example/***"
    assert preview.headers["webhook-signature"] == "***"
    assert "s3cret" not in str(preview)
    assert json.loads(preview.body)["type"] == "planday.shift.updated"
