"""targets.masking: what is kept of a request and an answer holds no secret and nothing personal that we know of."""

from __future__ import annotations

import httpx
import pytest

from relay.messages import sample
from relay.targets import masking

SENSITIVE = [
    "Authorization",
    "Proxy-Authorization",
    "Cookie",
    "Set-Cookie",
    "webhook-signature",
    "X-Hub-Signature-256",
    "X-Deputy-Secret",
    "x-hmac-signature",
    "X-Api-Key",
    "apikey",
    "api_key",
    "Ocp-Apim-Subscription-Key",
    "x-functions-key",
    "X-Auth-Token",
    "X-CSRF-Token",
    "Location",
    "Refresh",
]


@pytest.mark.parametrize("name", SENSITIVE)
def test_sensitive_headers_keep_their_name_alone(name: str) -> None:
    """An operator sees that it was there, not what it was."""
    assert masking.headers(httpx.Headers({name: "opaque-value-1"})) == {name.lower(): "***"}


def test_plain_headers_stay() -> None:
    """What helps to understand a delivery is kept as it is."""
    plain = {
        "content-type": "text/plain",
        "webhook-id": "evt_5a3c0f5f1b1e4d0c0101901234b6c5d4",
        "idempotency-key": "rly_5a3c0f5f1b1e4d0c8a7b6c5d4e3f2a1b",
        "planday-relay-attempt": "2",
        "retry-after": "30",
        "www-authenticate": "Basic realm=x",
    }
    assert masking.headers(httpx.Headers(plain)) == plain


def test_headers_are_bounded() -> None:
    """At most twenty, none longer than two hundred."""
    kept = masking.headers(httpx.Headers([(f"x-{number}", "v" * 5000) for number in range(100)]))
    assert len(kept) == 20
    assert {len(value) for value in kept.values()} == {200}
    assert all(len(name) <= 200 for name in masking.headers(httpx.Headers({"n" * 5000: "v"})))


ADDRESSES = [
    ("https://hooks.slack.com/services/T0/B0/s3cret", "https://hooks.slack.com/***"),
    ("http://127.0.0.1:8080/a?sig=s3cret", "http://127.0.0.1:8080/***"),
    ("https://x.example/?sig=s3cret", "https://x.example/***"),
    ("https://x.example", "https://x.example/"),
]


@pytest.mark.parametrize(("address", "shown"), ADDRESSES)
def test_an_address_is_shown_without_its_path(address: str, shown: str) -> None:
    """A path or a query may be the credential."""
    assert masking.url(httpx.URL(address)) == shown


TEXTS = [
    "see https://hooks.slack.com/services/T0/B0/s3cret for more",
    "bad request at https://x.example/a?sig=s3cret",
    "Authorization: Bearer s3crets3cret",
    "signed with whsec_c3cretc3cretc3cret",
    "token=s3cret",
    '{"token": "s3cret"}',
    "xoxb-123-s3cret",
    "mail s3cret@bistro.example",
    "cpr 010190-1234",
    "0101901234",
    "01019012345",
    "19900101-1234",
    "900101-1234",
]


@pytest.mark.parametrize("text", TEXTS)
def test_what_looks_secret_or_personal_is_masked(text: str) -> None:
    """Values that nobody told us of are found by their shape."""
    shown = masking.excerpt(httpx.Response(400, text=text))
    for value in ("s3cret", "c3cret", "1234"):
        assert value not in shown


def test_what_is_known_is_masked() -> None:
    """Names and other personal values of the event, and the target's own secrets, are found by what they are."""
    envelope = sample("planday.shift.updated", every_field=True)
    envelope["data"]["object"]["comment"] = "Ring Bo"
    envelope["data"]["received"] = {"a": ["pushed text"]}
    known = masking.personal(envelope)
    body = "no such person: Ida Testrup (Ring Bo, pushed text) in Harbour; shift 70010045"
    shown = masking.excerpt(httpx.Response(422, text=body), known=[*known, "Testrup (Ring Bo"])
    assert shown == "no such person: *** ***, ***) in Harbour; shift 70010045"


def test_personal_takes_anything() -> None:
    """An envelope without data, or with odd data, has nothing to hide."""
    assert masking.personal({}) == set()
    assert masking.personal({"data": {"object": [1], "related": 7, "changes": "x", "received": 5}}) == set()


def test_excerpts_are_bounded_in_bytes() -> None:
    """Two KiB, cut at a whole character; a secret across the cut is still masked whole."""
    assert len(masking.excerpt(httpx.Response(400, content="æ".encode() * 5000)).encode()) <= 2048
    text = "x" * 2040 + "opaquesecret"
    assert "opaq" not in masking.excerpt(httpx.Response(400, text=text), known=["opaquesecret"])


def test_excerpts_of_odd_answers() -> None:
    """Bytes that are no text are replaced; an encoded answer is named, not shown."""
    assert masking.excerpt(httpx.Response(400, content=b"\xff\x00\xfe")) == "\ufffd\ufffd\ufffd"
    encoded = httpx.Response(400, content=b"zipped", extensions={"encoded": True})
    assert masking.excerpt(encoded) == "(an encoded answer of 6 bytes)"
    assert masking.excerpt(httpx.Response(204, extensions={"encoded": True})) == ""
