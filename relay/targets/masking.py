"""What of a request and an answer may be kept: names of sensitive headers without their values, bounded excerpts.

Known secrets and known personal values are taken out by what they are; the patterns catch what we do not know.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import httpx

from relay.fields import KINDS
from relay.telemetry import redaction

MASK = "***"
MOST_HEADERS = 20
LONGEST_VALUE = 200
LONGEST_EXCERPT = 2048
# A secret that the cut would halve must be seen whole by the patterns first.
_READ_AHEAD = 1024
_SHORTEST_KNOWN = 3

_SENSITIVE = re.compile(
    r"authorization|authentication|cookie|signature|token|secret|passw|session|api[-_]?key"
    r"|(?:access|auth|functions|subscription)-key|^x-hmac",
    re.IGNORECASE,
)
# Headers of ours that are not secret: those that tell one attempt from another are kept, those that are the same for
# every attempt, or stand in the record anyway (the event's id, the number), are not. Every delivery is kept.
_TELLING = frozenset({"webhook-timestamp", "idempotency-key", "planday-relay-replay"})
_PLAIN = frozenset(
    {
        "host",
        "content-type",
        "content-length",
        "user-agent",
        "accept-encoding",
        "webhook-id",
        "planday-relay-attempt",
    }
)
_ADDRESSES = frozenset({"location", "content-location", "link", "refresh", "referer"})


def url(address: httpx.URL) -> str:
    """Scheme, host and port. The rest may be a credential, so all of it stays away."""
    port = f":{address.port}" if address.port is not None else ""
    rest = f"/{MASK}" if address.raw_path not in (b"/", b"") else "/"
    return f"{address.scheme}://{address.host}{port}{rest}"


def sent_headers(found: httpx.Headers, *, known: Iterable[str] = ()) -> dict[str, str]:
    """What is kept of the headers of a request that we made ourselves; what settings add to them is masked."""
    ours = {name: value for name, value in found.items() if name in _TELLING}
    others = [(name, value) for name, value in found.items() if name not in _TELLING and name not in _PLAIN]
    return ours | headers(httpx.Headers(others), known=known)


def headers(found: httpx.Headers, *, known: Iterable[str] = ()) -> dict[str, str]:
    """At most 20 headers; of sensitive ones the name alone."""
    known = tuple(known)
    kept: dict[str, str] = {}
    for name, value in found.items():
        if len(kept) == MOST_HEADERS:
            break
        hidden = _SENSITIVE.search(name) or name in _ADDRESSES
        kept[_cut(name)] = MASK if hidden else _cut(redact(value[: LONGEST_VALUE * 4], known=known))
    return kept


def excerpt(response: httpx.Response, *, known: Iterable[str] = (), limit: int = LONGEST_EXCERPT) -> str:
    """The beginning of an answer's body as text, with what is secret or personal taken out."""
    if response.extensions.get("encoded"):
        return f"(an encoded answer of {len(response.content)} bytes)" if response.content else ""
    text = response.content[: limit + _READ_AHEAD].decode("utf-8", "replace")
    shown = redact(text, known=known).replace("\0", "\ufffd")
    return shown.encode("utf-8", "replace")[:limit].decode("utf-8", "ignore")


def redact(text: str, *, known: Iterable[str] = ()) -> str:
    """The text without the known values, and without what looks like a credential or a person's number."""
    # The longest first: a full name must not leave its second half behind.
    for value in sorted({value for value in known if len(value) >= _SHORTEST_KNOWN}, key=len, reverse=True):
        if value in text:
            text = text.replace(value, MASK)
    return redaction.redact(text)


def personal(envelope: Mapping[str, Any]) -> set[str]:
    """Every text in an envelope that is not of class A or B: what a far side might repeat to us."""
    data = envelope.get("data")
    if not isinstance(data, Mapping):
        return set()
    kind = str(envelope.get("subject", "")).partition("/")[0]
    changes, related = data.get("changes"), data.get("related")
    found = [*_personal(kind, data.get("object")), *_leaves(data.get("received"))]
    for side in changes.values() if isinstance(changes, Mapping) else ():
        found += _personal(kind, side)
    for name, record in related.items() if isinstance(related, Mapping) else ():
        found += _personal(str(name), record)
    return set(found)


def _personal(kind: str, record: Any) -> Iterator[str]:
    if isinstance(record, Mapping):
        classes = KINDS.get(kind, {})
        for name, value in record.items():
            if classes.get(name, "H") not in "AB":
                yield from _leaves(value)


def _leaves(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for inner in value.values():
            yield from _leaves(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _leaves(inner)


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST_VALUE else text[: LONGEST_VALUE - 1] + "…"
