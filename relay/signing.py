"""Check that a request comes from the source it names, over its raw bytes; sign what goes out.

A check says only yes or no to the outside (`BadSignature` has one text); `why` tells our own log more.
The Standard Webhooks scheme is the library's. Ours are the things around it that it leaves open
(targets-and-events.md 1.5): strict secrets, UTC, the tolerance with the time passed in, several secrets,
and a comparison that cannot stumble over a malformed header.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import secrets as randomness
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Protocol

from standardwebhooks.webhooks import Webhook, hmac_data

from relay.errors import BadSignature, ConfigError, Fault
from relay.settings import Source

REFUSED = "the request is not proven to come from this source"

SECRET_PREFIX = "whsec_"  # noqa: S105 - not a secret, but what one starts with
MILLISECONDS_ABOVE = 10**11

_SHORTEST_SECRET, _LONGEST_SECRET = 24, 64
_SHORTEST_TEXT = 8
_MOST_SIGNATURES = 16
_TIMESTAMP = re.compile(rb"0|[1-9][0-9]{0,15}")
# No dot, so that `id.timestamp.body` can be cut in one way only.
_MESSAGE_ID = re.compile(rb"[!-\-/-~]{1,256}")
_PLACEHOLDER = re.compile(r"(\{[a-z]+\})")

Found = Mapping[bytes, bytes]
Pairs = Iterable[tuple[bytes, bytes]] | Iterable[tuple[str, str]]
Headers = Sequence[tuple[bytes, bytes]] | Mapping[str, str] | Mapping[bytes, bytes]


class _Refusal(Exception):
    """Why a request was refused; it stays inside, as the cause of a BadSignature."""


class _Scheme(Protocol):
    @property
    def names(self) -> tuple[bytes, ...]: ...

    def check(self, found: Found, body: bytes, now: float) -> None: ...


class Verifier:
    """One source's check, built once at start by `verifier`."""

    def __init__(self, scheme: _Scheme) -> None:
        self._scheme = scheme

    def verify(self, headers: Headers, body: bytes, *, now: float) -> None:
        """Return if the request is proven to come from the source; raise BadSignature if not."""
        try:
            found = _only(headers, self._scheme.names)
            self._scheme.check(found, body, now)
        except (_Refusal, ValueError) as error:
            raise BadSignature(REFUSED) from error


def why(error: BadSignature) -> str:
    """Which check failed, for our own log; it must not reach the sender. It repeats nothing that was sent."""
    cause = error.__cause__
    return str(cause) if isinstance(cause, _Refusal) else type(cause).__name__


def verifier(source: Source) -> Verifier:
    """The check of one source, whose secrets are resolved; raises ConfigError like `check_secrets` finds it."""
    if faults := check_secrets(source):
        raise ConfigError(faults)
    texts = [secret.reveal() for secret in source.secrets]
    match source.verify:
        case "standard-webhooks":
            return Verifier(_StandardWebhooks(texts, source.tolerance))
        case "hmac-sha256":
            return Verifier(_HmacSha256(texts, source))
        case "token":
            return Verifier(_Token(texts, source))
        case "basic":
            return Verifier(_Basic(texts, source.username))
        case "none":
            return Verifier(_Nothing())


def check_secrets(source: Source) -> list[Fault]:
    """What is wrong with a source's resolved secrets and templates; places are relative to the source's section."""
    faults = []
    for index, secret in enumerate(source.secrets):
        text = secret.reveal()
        fault = secret_fault(text) if source.verify == "standard-webhooks" else _text_fault(text, source)
        if fault:
            faults.append(Fault(f"secrets.{index}" if len(source.secrets) > 1 else "secrets", fault))
    for name, template, known in (
        ("signed", source.signed, ("{timestamp}", "{body}")),
        ("key", source.key, ("{timestamp}", "{secret}")),
    ):
        unknown = sorted(set(_PLACEHOLDER.findall(template)) - set(known))
        faults += [Fault(name, f"{one} is not known here; there are {' and '.join(known)}") for one in unknown]
    if source.verify == "basic" and (":" in source.username or not source.username.isprintable()):
        faults.append(Fault("username", "a user name holds no colon and no control character"))
    for name, header in (("header", source.header), ("timestamp_header", source.timestamp_header)):
        if header is not None and not re.fullmatch(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+", header):
            faults.append(Fault(name, "is not a header name"))
    if source.header and source.timestamp_header and source.header.lower() == source.timestamp_header.lower():
        faults.append(Fault("timestamp_header", "is the header of the signature"))
    return faults


def secret_fault(text: str) -> str | None:
    """What is wrong with a Standard Webhooks secret, or None; says nothing of its value."""
    try:
        _decoded(text)
    except ValueError as error:
        return f"{error}; make one with `echo whsec_$(openssl rand -base64 32)`"
    return None


def _decoded(text: str) -> bytes:
    # The library drops characters that are not base64 and takes what is left, however short.
    if not text.startswith(SECRET_PREFIX):
        raise ValueError(f"a Standard Webhooks secret starts with {SECRET_PREFIX}")
    digits = text.removeprefix(SECRET_PREFIX)
    try:
        key = base64.b64decode(digits + "=" * (-len(digits) % 4), validate=True)
    except ValueError:
        raise ValueError(f"what follows {SECRET_PREFIX} is not base64") from None
    if not _SHORTEST_SECRET <= len(key) <= _LONGEST_SECRET:
        raise ValueError(f"a secret is {_SHORTEST_SECRET} to {_LONGEST_SECRET} bytes, this one is {len(key)}")
    return key


def _text_fault(text: str, source: Source) -> str | None:
    if len(text) < _SHORTEST_TEXT:
        return f"is shorter than {_SHORTEST_TEXT} characters"
    if source.verify in ("token", "basic") and (text != text.strip() or not text.isprintable()):
        return "starts or ends with a space, or holds a line break: it could never match"
    return None


def _only(headers: Headers, names: tuple[bytes, ...]) -> Found:
    """The named headers; one that comes twice is refused, since a proxy and we might each pick another one."""
    found: dict[bytes, bytes] = {}
    pairs: Pairs = headers.items() if isinstance(headers, Mapping) else headers
    for raw_name, value in pairs:
        name = (raw_name.encode("latin-1") if isinstance(raw_name, str) else raw_name).lower()
        if name not in names:
            continue
        if name in found:
            raise _Refusal("a header is there twice")
        found[name] = value.encode("latin-1") if isinstance(value, str) else value
    for name in names:
        if not found.get(name):
            raise _Refusal(f"no {name.decode()} header")
    return found


def _seconds(text: bytes, *, now: float, tolerance: float, milliseconds: bool = False) -> int:
    if not _TIMESTAMP.fullmatch(text):
        raise _Refusal("the timestamp is not a whole number")
    stamp = int(text)
    at = stamp / 1000 if milliseconds and stamp > MILLISECONDS_ABOVE else stamp
    if not -tolerance <= at - now <= tolerance:
        raise _Refusal("the timestamp is too far from our time")
    return stamp


class _StandardWebhooks:
    names = (b"webhook-id", b"webhook-timestamp", b"webhook-signature")

    def __init__(self, texts: Sequence[str], tolerance: float) -> None:
        self._keys = [(key, Webhook(key)) for key in map(_decoded, texts)]
        self._tolerance = tolerance

    def check(self, found: Found, body: bytes, now: float) -> None:
        message_id, timestamp, signatures = (found[name] for name in self.names)
        if not _MESSAGE_ID.fullmatch(message_id):
            raise _Refusal("the id is not 1 to 256 visible characters without a dot")
        at = _seconds(timestamp, now=now, tolerance=self._tolerance)
        given = signatures.split(b" ")
        if len(given) > _MOST_SIGNATURES:
            raise _Refusal("too many signatures")
        text = message_id.decode()
        expected = [_standard(key, hook, message_id=text, at=at, body=body).encode() for key, hook in self._keys]
        if not _any_equal(expected, given):
            raise _Refusal("no signature matches")


def _standard(key: bytes, hook: Webhook, *, message_id: str, at: int, body: bytes) -> str:
    # The library takes the time zone off instead of converting, so only UTC signs right.
    moment = datetime.fromtimestamp(at, UTC)
    try:
        return hook.sign(message_id, moment, body.decode())
    except UnicodeDecodeError:
        # The library signs text only. A body that is not UTF-8 but truly the sender's must be told apart
        # from a forged one: it goes to quarantine. Same bytes, same HMAC function.
        digest = hmac_data(key, f"{message_id}.{at}.".encode() + body)
        return f"v1,{base64.b64encode(digest).decode()}"


class _HmacSha256:
    def __init__(self, texts: Sequence[str], source: Source) -> None:
        assert source.header is not None
        self._header = source.header.lower().encode()
        self._time = source.timestamp_header.lower().encode() if source.timestamp_header else None
        self.names = (self._header,) if self._time is None else (self._header, self._time)
        self._texts = [text.encode() for text in texts]
        self._key = _template(source.key)
        self._signed = _template(source.signed)
        self._prefix = source.prefix.encode()
        self._hex = source.encoding == "hex"
        self._tolerance = source.tolerance

    def check(self, found: Found, body: bytes, now: float) -> None:
        timestamp = b""
        if self._time is not None:
            timestamp = found[self._time]
            _seconds(timestamp, now=now, tolerance=self._tolerance, milliseconds=True)
        given = found[self._header]
        if not given.startswith(self._prefix):
            raise _Refusal("the signature does not start with the prefix")
        given = given.removeprefix(self._prefix)
        signed = self._signed({"{timestamp}": timestamp, "{body}": body})
        expected: list[bytes] = []
        for text in self._texts:
            key = self._key({"{timestamp}": timestamp, "{secret}": text})
            digest = hmac.new(key, signed, hashlib.sha256).digest()
            # Both ways to write hex are in use; a mixture of them is neither.
            written = (digest.hex(), digest.hex().upper()) if self._hex else (base64.b64encode(digest).decode(),)
            expected += [one.encode() for one in written]
        if not _any_equal(expected, [given]):
            raise _Refusal("no signature matches")


def _template(text: str) -> Callable[[Mapping[str, bytes]], bytes]:
    """Put values in for placeholders in one pass: a value that looks like a placeholder stays as it is."""
    parts = [(part, part.encode()) for part in _PLACEHOLDER.split(text) if part]
    return lambda values: b"".join(values.get(part, literal) for part, literal in parts)


class _Token:
    def __init__(self, texts: Sequence[str], source: Source) -> None:
        assert source.header is not None
        self._header = source.header.lower().encode()
        self.names = (self._header,)
        self._expected = [(source.prefix + text).encode() for text in texts]

    def check(self, found: Found, body: bytes, now: float) -> None:
        del body, now
        if not _any_equal(self._expected, [found[self._header]]):
            raise _Refusal("no token matches")


class _Basic:
    names = (b"authorization",)

    def __init__(self, texts: Sequence[str], username: str) -> None:
        self._expected = [f"{username}:{text}".encode() for text in texts]

    def check(self, found: Found, body: bytes, now: float) -> None:
        del body, now
        scheme, _, digits = found[b"authorization"].partition(b" ")
        if scheme.lower() != b"basic":
            raise _Refusal("the authorization is not basic")
        if not _any_equal(self._expected, [base64.b64decode(digits, validate=True)]):
            raise _Refusal("no user name and password match")


class _Nothing:
    names = ()

    def check(self, found: Found, body: bytes, now: float) -> None:
        del found, body, now


def _any_equal(expected: Sequence[bytes], given: Sequence[bytes]) -> bool:
    """Whether any pair is equal; every pair is compared, each in constant time."""
    return sum(hmac.compare_digest(one, other) for one in expected for other in given) > 0


class Signer:
    """Signs outgoing bodies by Standard Webhooks, once for each secret: the new and the old one during rotation."""

    def __init__(self, secrets: Sequence[str]) -> None:
        """Raises ConfigError if a secret is unfit, or none is given."""
        faults = [Fault(str(index), fault) for index, text in enumerate(secrets) if (fault := secret_fault(text))]
        if faults or not secrets:
            raise ConfigError(faults or [Fault("", "no secret to sign with")])
        self._keys = [(key, Webhook(key)) for key in map(_decoded, secrets)]

    def sign(self, *, message_id: str, at: float, body: bytes) -> str:
        """The value of `webhook-signature`; `webhook-timestamp` must be `int(at)`."""
        if not _MESSAGE_ID.fullmatch(message_id.encode()):
            raise ValueError("a message id is 1 to 256 visible ASCII characters without a dot")
        return " ".join(_standard(key, hook, message_id=message_id, at=int(at), body=body) for key, hook in self._keys)


def new_secret(*, random: Callable[[int], bytes] = randomness.token_bytes) -> str:
    """A fresh Standard Webhooks secret of 32 bytes."""
    return SECRET_PREFIX + base64.b64encode(random(32)).decode()
