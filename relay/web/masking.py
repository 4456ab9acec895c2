"""What a viewer sees of records: neutral fields and ids; names, contact data, pay, health and free text are masked.

The classes are those of relay/fields.py. A sender's own words are masked whole: nobody knows what is in them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from relay.fields import FieldList

MASK = "***"
_SEEN = FieldList(("class:A", "class:B"))
_WITHOUT_RECORDS = ("changed", "enrichment")


def masked_envelope(envelope: Mapping[str, Any]) -> dict[str, Any]:
    """An enriched envelope whose personal values are masked; that they are there is seen."""
    kind = str(envelope.get("subject", "")).partition("/")[0]
    shown = _SEEN.apply(envelope)
    data: Mapping[str, Any] = envelope.get("data") or {}
    out = {name: shown.get(name, MASK) for name in envelope}
    out["data"] = {name: _part(name, value, kind) for name, value in data.items()}
    return out


def masked_raw(raw: Mapping[str, Any]) -> dict[str, Any]:
    """What a sender said, with nothing of its own words."""
    known = ("id", "type", "subject", "portalid", "time")
    return {name: value if name in known or value is None else MASK for name, value in raw.items()}


def masked_attempt(attempt: Mapping[str, Any]) -> dict[str, Any]:
    """One try, as the API shows it, without what the far side answered."""
    return {**attempt, "excerpt": MASK if attempt["excerpt"] else ""}


def _part(name: str, value: Any, kind: str) -> Any:
    match name:
        case "object":
            return _record(value, _SEEN.kept(kind, ("object",)))
        case "related" if isinstance(value, Mapping):
            return {one: _record(record, _SEEN.kept(one, ("related", one))) for one, record in value.items()}
        case "changes" if isinstance(value, Mapping):
            return {side: _record(record, _SEEN.kept(kind, ("object",))) for side, record in value.items()}
        case _ if name in _WITHOUT_RECORDS or value is None:
            return value
    return MASK


def _record(record: Any, kept: frozenset[str]) -> Any:
    if not isinstance(record, Mapping):
        return None if record is None else MASK
    return {name: value if name in kept or value is None else MASK for name, value in record.items()}
