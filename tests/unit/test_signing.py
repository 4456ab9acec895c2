"""signing: what proves that a request comes from its source, and what does not."""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import re
import shutil
import subprocess
import sys
import threading
import time
import tomllib
from collections.abc import Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks import Webhook
from starlette.datastructures import Headers

from relay import envelope
from relay.errors import BadSignature, ConfigError
from relay.settings import Secret, Source
from relay.signing import REFUSED, Signer, Verifier, check_secrets, new_secret, secret_fault, verifier, why

NOW = 1_790_000_000.0
SECRET = "whsec_" + base64.b64encode(bytes(range(32))).decode()
OTHER = "whsec_" + base64.b64encode(bytes(range(100, 132))).decode()
BODY = b'{"type":"planday.shift.updated","subject":"shift/1","portalid":1,"note":"\xc3\xa6\xc3\xb8\xc3\xa5"}'
DOCS = Path(__file__).parents[2] / "docs" / "sending.md"

Pairs = list[tuple[bytes, bytes]]


def a_source(*secrets: str, **settings: Any) -> Source:
    return Source(secrets=tuple(Secret("env:X", value=text) for text in secrets), **settings)


def signed(
    body: bytes = BODY, *, secret: str = SECRET, message_id: str = "msg_1", at: int = int(NOW), **changed: str
) -> Pairs:
    """The three headers as the judge writes them; `changed` puts other text in place of one of them."""
    signature = Webhook(secret).sign(message_id, datetime.fromtimestamp(at, UTC), body.decode())
    parts = {"id": message_id, "timestamp": str(at), "signature": signature} | changed
    return [(b"host", b"relay.example"), *((f"webhook-{name}".encode(), parts[name].encode()) for name in parts)]


def accepts(check: Verifier, headers: Any, body: bytes = BODY, *, now: float = NOW) -> bool:
    try:
        check.verify(headers, body, now=now)
    except BadSignature as error:
        refusal = error
    else:
        return True
    assert str(refusal) == REFUSED
    assert why(refusal)
    return False


STANDARD = verifier(a_source(SECRET))


# Standard Webhooks, inbound -------------------------------------------------------------------------------------


def test_the_vector_of_the_specification_is_accepted() -> None:
    """The example that all Standard Webhooks libraries are tested with verifies."""
    check = verifier(a_source("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"))
    headers = {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }
    check.verify(headers, b'{"test": 2432232314}', now=1614265330.5)


@given(
    body=st.text().map(str.encode),
    message_id=st.text("abcXYZ019_-:/", min_size=1, max_size=256),
    at=st.integers(0, 4_000_000_000),
    skew=st.floats(-300, 300),
)
def test_what_the_library_signs_is_accepted(body: bytes, message_id: str, at: int, skew: float) -> None:
    """A signature of the library's over any text body, within the tolerance of the time, is good."""
    STANDARD.verify(signed(body, message_id=message_id, at=at), body, now=at + skew)


@given(data=st.data())
def test_one_changed_bit_is_refused(data: st.DataObject) -> None:
    """Flip any bit of the body, the id, the timestamp or the signature: no longer proven."""
    parts = [BODY, *(value for _, value in signed()[1:])]
    which = data.draw(st.integers(0, 3))
    bit = data.draw(st.integers(0, len(parts[which]) * 8 - 1))
    changed = bytearray(parts[which])
    changed[bit // 8] ^= 1 << bit % 8
    parts[which] = bytes(changed)
    names = (b"webhook-id", b"webhook-timestamp", b"webhook-signature")
    assert not accepts(STANDARD, list(zip(names, parts[1:], strict=True)), parts[0])


@given(
    headers=st.lists(
        st.tuples(
            st.sampled_from([b"webhook-id", b"webhook-timestamp", b"Webhook-Signature"]),
            st.one_of(
                st.binary(), st.sampled_from([b"1790000000", b"v1,", b"v1", b",", b"v1,\xff", b"v1a,AA==", b"v1,A"])
            ),
        )
    ),
    body=st.binary(),
)
def test_garbage_is_refused_and_never_a_crash(headers: Pairs, body: bytes) -> None:
    """Whatever stands in the headers or the body, the answer is BadSignature."""
    assert not accepts(STANDARD, headers, body)


@pytest.mark.parametrize(
    ("off", "tolerance", "good"),
    [
        (300, "5m", True),
        (-300, "5m", True),
        (301, "5m", False),
        (-301, "5m", False),
        (0, "1s", True),
        (2, "1s", False),
        (3600, "2h", True),
    ],
)
def test_tolerance(off: int, tolerance: str, good: bool) -> None:
    """The time may be off by the source's tolerance, both ways, measured against the time that is passed in."""
    check = verifier(a_source(SECRET, tolerance=tolerance))
    assert accepts(check, signed(at=int(NOW) + off)) is good


NO_HEADERS: Pairs = []
GOOD_SIGNATURE = signed()[3][1].decode()


@pytest.mark.parametrize(
    ("headers", "reason"),
    [
        pytest.param(NO_HEADERS, "no webhook-id header", id="no headers"),
        pytest.param(signed()[:-1], "no webhook-signature header", id="no signature"),
        pytest.param(signed(id=""), "no webhook-id header", id="empty id"),
        pytest.param(signed(signature=""), "no webhook-signature header", id="empty signature"),
        pytest.param(signed(secret=OTHER), "no signature matches", id="other secret"),
        pytest.param(signed(b"{}"), "no signature matches", id="other body"),
        pytest.param(signed(id="msg_2"), "no signature matches", id="other id"),
        pytest.param(signed(timestamp=str(int(NOW) + 1)), "no signature matches", id="other time"),
        pytest.param(signed(message_id="a.b"), "the id is not", id="dot in the id"),
        pytest.param(signed(message_id="a b"), "the id is not", id="space in the id"),
        pytest.param(signed(message_id="x" * 257), "the id is not", id="long id"),
        pytest.param(signed(timestamp="1790000000.0"), "not a whole number", id="decimal time"),
        pytest.param(signed(timestamp="+1790000000"), "not a whole number", id="plus sign"),
        pytest.param(signed(timestamp="01790000000"), "not a whole number", id="leading zero"),
        pytest.param(signed(timestamp="1.79e9"), "not a whole number", id="exponent"),
        pytest.param(signed(timestamp="nan"), "not a whole number", id="nan"),
        pytest.param(signed(timestamp="1790000000\u0662"), "not a whole number", id="other digits"),
        pytest.param(signed(timestamp="9" * 15), "too far", id="far future"),
        pytest.param(signed(timestamp="1790000000000"), "too far", id="milliseconds"),
        pytest.param(signed(signature=GOOD_SIGNATURE.removeprefix("v1,")), "no signature matches", id="no version"),
        pytest.param(signed(signature="v1a" + GOOD_SIGNATURE[2:]), "no signature matches", id="other version"),
        pytest.param(signed(signature="v1," + "é" * 44), "no signature matches", id="not ascii"),
        pytest.param(signed(signature="v1,not base64!"), "no signature matches", id="not base64"),
        pytest.param(signed(signature=GOOD_SIGNATURE + ",x"), "no signature matches", id="third part"),
        pytest.param(signed(signature=GOOD_SIGNATURE.rstrip("=")), "no signature matches", id="no padding"),
        pytest.param(signed(signature=GOOD_SIGNATURE.replace(" ", ",")[:-3]), "no signature matches", id="cut"),
        pytest.param(signed(signature="v1,AAAA " * 16 + GOOD_SIGNATURE), "too many", id="too many signatures"),
        pytest.param([*signed(), (b"webhook-signature", b"v1,AA==")], "twice", id="two signature headers"),
        pytest.param([*signed(), signed()[3]], "twice", id="the same signature header twice"),
        pytest.param([*signed(), (b"Webhook-Timestamp", b"1")], "twice", id="two timestamp headers"),
        pytest.param([*signed(), (b"WEBHOOK-ID", b"msg_1")], "twice", id="two id headers"),
        pytest.param({"webhook-id": "☃"}, "UnicodeEncodeError", id="not even latin-1"),
    ],
)
def test_what_is_refused(headers: Any, reason: str) -> None:
    """Each is refused with the one text; only our own log learns why."""
    with pytest.raises(BadSignature) as caught:
        STANDARD.verify(headers, BODY, now=NOW)
    assert str(caught.value) == REFUSED
    assert reason in why(caught.value)


@pytest.mark.parametrize(
    "entries",
    [GOOD_SIGNATURE, f"v1a,AAAA {GOOD_SIGNATURE}", f"{GOOD_SIGNATURE} v1,AAAA", f"nonsense  {GOOD_SIGNATURE}"],
)
def test_one_fitting_signature_among_several_is_enough(entries: str) -> None:
    """Unknown versions and other secrets' signatures stand beside it without harm, malformed ones too."""
    assert accepts(STANDARD, signed(signature=entries))


def test_any_of_several_secrets_may_match() -> None:
    """While secrets are exchanged both are good; afterwards only the new one."""
    both = verifier(a_source(OTHER, SECRET))
    assert accepts(both, signed())
    assert accepts(both, signed(secret=OTHER))
    assert not accepts(both, signed(secret=new_secret()))
    assert not accepts(verifier(a_source(OTHER)), signed())


@pytest.mark.parametrize(
    "shape",
    [list, dict, lambda pairs: Headers(raw=pairs), lambda pairs: {k.decode().title(): v.decode() for k, v in pairs}],
)
def test_headers_may_come_in_any_shape(shape: Any) -> None:
    """Raw pairs, a mapping of bytes or text, Starlette's own; upper or lower case."""
    assert accepts(STANDARD, shape(signed()))


def test_starlettes_headers_do_not_hide_a_second_one() -> None:
    """A mapping that holds a name twice is read whole."""
    assert not accepts(STANDARD, Headers(raw=[*signed(), (b"webhook-id", b"msg_1")]))


def test_a_body_that_is_not_utf8_can_still_be_proven() -> None:
    """It goes to quarantine as the sender's own, instead of being taken for a forgery; a bit off is refused."""
    body = b"\xff\xfe{}"
    digest = hmac.new(bytes(range(32)), b"msg_1.%d." % NOW + body, hashlib.sha256).digest()
    headers = signed(b"", signature="v1," + base64.b64encode(digest).decode())
    assert accepts(STANDARD, headers, body)
    assert not accepts(STANDARD, headers, body + b" ")


# hmac-sha256 ----------------------------------------------------------------------------------------------------

GITHUB: dict[str, Any] = {"verify": "hmac-sha256", "header": "X-Hub-Signature-256", "prefix": "sha256="}
SEVENSHIFTS: dict[str, Any] = {
    "verify": "hmac-sha256",
    "header": "x-hmac-signature",
    "timestamp_header": "x-hmac-timestamp",
    "key": "{timestamp}#{secret}",
}
TIMED: dict[str, Any] = {**SEVENSHIFTS, "key": "{secret}", "signed": "{timestamp}.{body}"}
GUID = "0d2b6a1e-5a52-4c5c-8f29-7f5a0a9d8f11"


def digest(key: str, text: bytes) -> str:
    return hmac.new(key.encode(), text, hashlib.sha256).hexdigest()


def test_githubs_published_vector_is_accepted() -> None:
    """The example in GitHub's documentation verifies."""
    check = verifier(a_source("It's a Secret to Everybody", **GITHUB))
    good = "757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"
    for written, expected in [
        (f"sha256={good}", True),
        (f"sha256={good.upper()}", True),
        (f"sha256={good.title()}", False),
        (f"SHA256={good}", False),
        (f"sha1={good}", False),
        (good, False),
        (f"sha256={good[:-1]}", False),
        (f"sha256=sha256={good}", False),
        ("sha256=", False),
        ("sha256=é", False),
    ]:
        assert accepts(check, {"x-hub-signature-256": written}, b"Hello, World!") is expected, written


@pytest.mark.parametrize("at", [int(NOW), int(NOW) - 300, int(NOW) + 300, int(NOW * 1000), int(NOW * 1000) - 299_999])
def test_7shifts_style(at: int) -> None:
    """The time is part of the key, in seconds or in milliseconds."""
    check = verifier(a_source(GUID, **SEVENSHIFTS))
    headers = {"x-hmac-timestamp": str(at), "x-hmac-signature": digest(f"{at}#{GUID}", BODY)}
    assert accepts(check, headers)
    assert not accepts(check, headers, BODY + b" ")
    assert not accepts(check, headers | {"x-hmac-timestamp": str(at + 1)})


@pytest.mark.parametrize(
    "at", ["1789999699", "1790000301", "1789999699000", "-1", "", "soon", "1" * 17, "1790000000.5"]
)
def test_a_time_outside_the_tolerance_or_no_number_is_refused(at: str) -> None:
    """Although it is rightly signed."""
    check = verifier(a_source(GUID, **SEVENSHIFTS))
    assert not accepts(check, {"x-hmac-timestamp": at, "x-hmac-signature": digest(f"{at}#{GUID}", BODY)})


def test_deputy_style() -> None:
    """Hex of the body alone."""
    check = verifier(a_source("a private key", verify="hmac-sha256", header="X-Deputy-Secret"))
    assert accepts(check, {"X-Deputy-Secret": digest("a private key", BODY)})
    assert not accepts(check, {"X-Deputy-Secret": digest("a private kez", BODY)})
    assert not accepts(check, {})
    assert not accepts(check, [(b"x-deputy-secret", digest("a private key", BODY).encode())] * 2)


def test_a_time_in_the_signed_text_and_base64() -> None:
    """`signed` is a template; the placeholders' values are never read as templates."""
    secret = "{timestamp}{body}{secret}"
    check = verifier(a_source("older secret", secret, **{**TIMED, "encoding": "base64"}))
    body = b"{timestamp}{body}"
    raw = hmac.new(secret.encode(), b"1790000000." + body, hashlib.sha256).digest()
    headers = {"x-hmac-timestamp": "1790000000", "x-hmac-signature": base64.b64encode(raw).decode()}
    assert accepts(check, headers, body)
    assert not accepts(check, headers | {"x-hmac-signature": raw.hex()}, body)
    assert not accepts(check, headers | {"x-hmac-timestamp": "1790000001"}, body)
    assert not accepts(check, {"x-hmac-signature": headers["x-hmac-signature"]}, body)


@given(body=st.binary(), bit=st.integers(0, 64 * 8 - 1))
def test_one_changed_bit_of_an_hmac_is_refused(body: bytes, bit: int) -> None:
    """Hex may be upper or lower case as a whole; anything else off by one bit is refused."""
    check = verifier(a_source(GUID, verify="hmac-sha256", header="x-s"))
    good = digest(GUID, body).encode()
    assert accepts(check, [(b"x-s", good)], body)
    changed = bytearray(good)
    changed[bit // 8] ^= 1 << bit % 8
    assert not accepts(check, [(b"x-s", bytes(changed))], body)


# token, basic, none ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sent", "good"),
    [
        ("Bearer first-token", True),
        ("Bearer second-token", True),
        ("first-token", False),
        ("bearer first-token", False),
        ("Bearer first-tokem", False),
        ("Bearer ", False),
        ("", False),
        ("Bearer first-token, Bearer second-token", False),
    ],
)
def test_token(sent: str, good: bool) -> None:
    """A header with its prefix and one of the tokens."""
    check = verifier(a_source("first-token", "second-token", verify="token", header="Authorization", prefix="Bearer "))
    assert accepts(check, {"authorization": sent}) is good


def basic(text: str, scheme: str = "Basic") -> str:
    return f"{scheme} {base64.b64encode(text.encode()).decode()}"


@pytest.mark.parametrize(
    ("sent", "good"),
    [
        (basic("relay:pass:wørd"), True),
        (basic("relay:pass:wørd", "BASIC"), True),
        (basic("relay:old password"), True),
        (basic("relay:"), False),
        (basic("relay"), False),
        (basic("other:old password"), False),
        (basic("relay:old password", "Bearer"), False),
        ("Basic", False),
        ("Basic ", False),
        ("Basic !!!!", False),
        ("Basic cmVsYXk6", False),
        ("Basic é", False),
    ],
)
def test_basic(sent: str, good: bool) -> None:
    """The user name and one of the secrets as the password, in UTF-8."""
    check = verifier(a_source("pass:wørd", "old password", verify="basic"))
    assert accepts(check, {"authorization": sent}) is good


def test_none_accepts_anything() -> None:
    """`verify = "none"` asks for nothing."""
    assert accepts(verifier(a_source(verify="none")), [], b"")


# Secrets --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        (SECRET, None),
        (SECRET.rstrip("="), None),
        ("whsec_" + base64.b64encode(bytes(24)).decode(), None),
        ("whsec_" + base64.b64encode(bytes(64)).decode(), None),
        ("whsec_" + base64.b64encode(bytes(23)).decode(), "24 to 64 bytes, this one is 23"),
        ("whsec_" + base64.b64encode(bytes(65)).decode(), "24 to 64 bytes, this one is 65"),
        ("whsec_", "this one is 0"),
        (SECRET.removeprefix("whsec_"), "starts with whsec_"),
        ("whsk_" + "A" * 44, "starts with whsec_"),
        ("whsec_" + "A" * 40 + "!@#$", "not base64"),
        ("whsec_" + "A" * 20 + "\n" + "A" * 24, "not base64"),
        (SECRET.replace("A", "_"), "not base64"),
        ("whsec_" + "A" * 45, "not base64"),
        ("whsec_" + "æ" * 44, "not base64"),
    ],
)
def test_standard_webhooks_secrets(text: str, fault: str | None) -> None:
    """The library shortens a secret with foreign characters silently; here it is a fault that never repeats it."""
    found = secret_fault(text)
    if fault is None:
        assert found is None
        Signer([text])
        return
    assert found is not None
    assert fault in found
    assert text.removeprefix("whsec_") not in found or text == "whsec_"
    with pytest.raises(ConfigError):
        Signer([SECRET, text])
    with pytest.raises(ConfigError):
        verifier(a_source(text))


@pytest.mark.parametrize(
    ("source", "places"),
    [
        (a_source(SECRET), []),
        (a_source(verify="none"), []),
        (a_source("x", SECRET, "y"), ["secrets.0", "secrets.2"]),
        (a_source("short", **GITHUB), ["secrets"]),
        (a_source("long enough ", **GITHUB), []),
        (a_source("a token with a space ", verify="token", header="x-t"), ["secrets"]),
        (a_source("two\nlines here", verify="basic"), ["secrets"]),
        (a_source("long enough", verify="basic", username="a:b"), ["username"]),
        (a_source("long enough", verify="token", header="X Token"), ["header"]),
        (a_source("long enough", **{**TIMED, "timestamp_header": "X-HMAC-signature"}), ["timestamp_header"]),
        (a_source("long enough", **{**TIMED, "signed": "{id}.{timestamp}.{body}"}), ["signed"]),
        (a_source("long enough", **{**TIMED, "key": "{secret}{body}"}), ["key"]),
    ],
)
def test_check_secrets_finds_every_fault(source: Source, places: list[str]) -> None:
    """All at once, each with its place in the source's section."""
    faults = check_secrets(source)
    assert [fault.where for fault in faults] == places
    if places:
        with pytest.raises(ConfigError):
            verifier(source)


# Outbound -------------------------------------------------------------------------------------------------------


def test_the_library_verifies_what_we_sign() -> None:
    """With every one of the secrets, at the time that is passed in."""
    secrets = [new_secret(), new_secret(), SECRET]
    at = time.time()
    value = Signer(secrets).sign(message_id="evt_1", at=at, body=BODY)
    headers = {"webhook-id": "evt_1", "webhook-timestamp": str(int(at)), "webhook-signature": value}
    assert len(value.split(" ")) == 3
    for secret in secrets:
        Webhook(secret).verify(BODY, headers, json_parse=False)
    assert accepts(STANDARD, headers, now=at)


@given(body=st.text().map(str.encode), at=st.floats(0, 4e9))
def test_we_accept_what_we_sign(body: bytes, at: float) -> None:
    """And each signature is the library's own, letter for letter."""
    value = Signer([OTHER, SECRET]).sign(message_id="evt_1", at=at, body=body)
    assert value.split(" ")[1] == Webhook(SECRET).sign("evt_1", datetime.fromtimestamp(int(at), UTC), body.decode())
    headers = {"webhook-id": "evt_1", "webhook-timestamp": str(int(at)), "webhook-signature": value}
    assert accepts(STANDARD, headers, body, now=at)


@pytest.mark.parametrize("message_id", ["", "a.b", "a b", "ø", "x" * 257, "a\nb"])
def test_a_message_id_that_could_be_cut_in_two_ways_is_not_signed(message_id: str) -> None:
    """A dot or a break in it is our own mistake, so a ValueError."""
    with pytest.raises(ValueError, match="message id"):
        Signer([SECRET]).sign(message_id=message_id, at=NOW, body=b"")


def test_a_signer_needs_a_secret() -> None:
    """No silent absence of signatures."""
    with pytest.raises(ConfigError):
        Signer([])


def test_new_secret() -> None:
    """32 bytes, fit for both sides, never the same twice; the randomness can be passed."""
    assert secret_fault(new_secret()) is None
    assert new_secret() != new_secret()
    assert new_secret(random=lambda size: bytes(range(size))) == SECRET


# The samples in docs/sending.md ---------------------------------------------------------------------------------


class _Recorder(HTTPServer):
    seen: list[tuple[Pairs, bytes]]


class _Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        pairs = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in self.headers.items()]
        assert isinstance(self.server, _Recorder)
        self.server.seen.append((pairs, body))
        self.send_response(202)
        self.send_header("content-type", "application/json")
        self.end_headers()
        self.wfile.write(b'{"events": []}')

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def recorder() -> Iterator[_Recorder]:
    """A server on loopback that writes down what it is sent."""
    server = _Recorder(("127.0.0.1", 0), _Handler)
    server.seen = []
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def samples(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", DOCS.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


def command(language: str, folder: Path) -> list[str]:
    (sample,) = samples(language)
    file = folder / f"sample.{language}"
    file.write_text(sample, encoding="utf-8")
    if language == "python":
        return [sys.executable, str(file)]
    tools = {"bash": ("bash", "curl", "openssl"), "csharp": ("mcs", "mono")}[language]
    if missing := [tool for tool in tools if shutil.which(tool) is None]:
        pytest.skip(f"{', '.join(missing)} is not installed")
    if language == "bash":
        return ["bash", str(file)]
    built = folder / "sample.exe"
    subprocess.run(["mcs", "-r:System.Net.Http.dll", f"-out:{built}", str(file)], check=True)
    return ["mono", str(built)]


@pytest.mark.parametrize("language", ["bash", "python", "csharp"])
def test_a_signing_sample_of_the_docs_is_accepted(language: str, tmp_path: Path, recorder: _Recorder) -> None:
    """Run as it stands in docs/sending.md, twice: proven by us and by the library, and read as a thin event."""
    run = command(language, tmp_path)
    secret = new_secret(random=lambda size: bytes([0, 10, 13, 32, 255, 254] + [7] * (size - 6)))
    host, port = str(recorder.server_address[0]), recorder.server_port
    environ = {**os.environ, "INBOUND_URL": f"http://{host}:{port}/in/planday", "SENDER_SECRET": secret}
    environ = {name: value for name, value in environ.items() if "proxy" not in name.lower()}
    for _ in range(2):
        done = subprocess.run(run, env=environ, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr
        assert "202" in done.stdout
    source = a_source(secret)
    for headers, body in recorder.seen:
        verifier(source).verify(headers, body, now=time.time())
        named = {name.decode().lower(): value.decode() for name, value in headers}
        Webhook(secret).verify(body, named)
        (event,) = envelope.parse(
            body,
            content_type=named["content-type"],
            source_name="planday",
            source=source,
            webhook_id=named["webhook-id"],
            now=NOW,
            fresh_id=lambda: "fresh",
        )
        assert (event.type, event.subject, event.portal) == ("planday.shift.updated", "shift/70010045", 4100001)
        assert event.sender_id == named["webhook-id"]
    ids = [dict(headers).get(b"webhook-id") or dict(headers).get(b"Webhook-Id") for headers, _ in recorder.seen]
    assert len(set(ids)) == 2


def test_the_sources_of_the_docs_can_be_configured() -> None:
    """Every TOML example loads, passes the checks, and accepts a request in the style of its sender."""
    sources: dict[str, Any] = {}
    for text in samples("toml"):
        sources |= tomllib.loads(text)["sources"]
    built = {}
    for name, settings in sources.items():
        references = settings.pop("secrets")
        source = a_source(*(f"secret of {reference}" for reference in references), **settings)
        assert check_secrets(source) == []
        assert envelope.check_map(source) == []
        built[name] = source
    assert set(built) == {"bridge", "sevenshifts-punch-edited", "deputy", "platform", "quinyx"}

    key = f"1790000000#{built['sevenshifts-punch-edited'].secrets[0].reveal()}"
    punch = b'{"id": 881, "approved": false}'
    headers = {"x-hmac-timestamp": "1790000000", "x-hmac-signature": digest(key, punch)}
    assert accepts(verifier(built["sevenshifts-punch-edited"]), headers, punch)
    (event,) = read(built["sevenshifts-punch-edited"], punch)
    assert (event.type, event.subject, event.portal) == ("sevenshifts.time_punch.edited", "time_punch/881", 4100001)
    assert (event.sender_id, event.received) == ("fresh", None)

    (event,) = read(built["deputy"], b'{"topic": "Timesheet.Update", "data": {"Id": 42}}')
    assert (event.type, event.subject) == ("deputy.Timesheet.Update", "timesheet/42")


def read(source: Source, body: bytes) -> list[Any]:
    return envelope.parse(
        body,
        content_type="application/json",
        source_name="x",
        source=source,
        webhook_id=None,
        now=NOW,
        fresh_id=lambda: "fresh",
    )
