"""Signs a request as a source's sender would, for `relay trigger`: each scheme's headers from the settings."""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from relay.settings import Source


def headers(source: Source, *, message_id: str, at: float, body: bytes) -> dict[str, str]:
    """What proves that the request comes from this source; its first secret signs."""
    return _SCHEMES[source.verify](source, message_id, int(at), body)


def _standard_webhooks(source: Source, message_id: str, at: int, body: bytes) -> dict[str, str]:
    from relay.signing import Signer

    signature = Signer([source.secrets[0].reveal()]).sign(message_id=message_id, at=at, body=body)
    return {"webhook-id": message_id, "webhook-timestamp": str(at), "webhook-signature": signature}


def _hmac_sha256(source: Source, _message_id: str, at: int, body: bytes) -> dict[str, str]:
    assert source.header is not None
    time = str(at).encode()
    key = _filled(source.key, {"{timestamp}": time, "{secret}": source.secrets[0].reveal().encode()})
    signed = _filled(source.signed, {"{timestamp}": time, "{body}": body})
    digest = hmac.new(key, signed, hashlib.sha256).digest()
    text = digest.hex() if source.encoding == "hex" else base64.b64encode(digest).decode()
    named = {source.header: source.prefix + text}
    return named if source.timestamp_header is None else {**named, source.timestamp_header: str(at)}


def _token(source: Source, _message_id: str, _at: int, _body: bytes) -> dict[str, str]:
    assert source.header is not None
    return {source.header: source.prefix + source.secrets[0].reveal()}


def _basic(source: Source, _message_id: str, _at: int, _body: bytes) -> dict[str, str]:
    pair = f"{source.username}:{source.secrets[0].reveal()}".encode()
    return {"authorization": "Basic " + base64.b64encode(pair).decode()}


def _none(_source: Source, _message_id: str, _at: int, _body: bytes) -> dict[str, str]:
    return {}


_SCHEMES: Mapping[str, Callable[[Source, str, int, bytes], dict[str, str]]] = {
    "standard-webhooks": _standard_webhooks,
    "hmac-sha256": _hmac_sha256,
    "token": _token,
    "basic": _basic,
    "none": _none,
}


def _filled(template: str, values: Mapping[str, bytes]) -> bytes:
    """The template with its placeholders replaced, each only once: a value may look like a placeholder."""
    out, rest = b"", template
    while rest:
        found = {name: place for name in values if (place := rest.find(name)) >= 0}
        if not found:
            break
        name = min(found, key=found.__getitem__)
        out += rest[: found[name]].encode() + values[name]
        rest = rest[found[name] + len(name) :]
    return out + rest.encode()
