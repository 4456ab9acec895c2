"""Whether what is kept of an event suffices for a target that it was not kept for. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from relay.fields import KINDS, FieldList
from relay.planday.records import READABLE

# Read only where somebody may have them, so that their absence says nothing.
_ON_DEMAND = {"shift": "shift_type", "absence_request": "account_type"}


def can_be_read(entity: str, type_: str) -> bool:
    """Whether Planday can be asked for the record behind an event: what was deleted is not there."""
    return entity in READABLE and entity != "portal" and not type_.endswith(".deleted")


def is_whole(envelope: Mapping[str, Any]) -> bool:
    """Whether everything that Planday has on it was read."""
    state: object = ((envelope.get("data") or {}).get("enrichment") or {}).get("state")
    return state == "complete"


def was_cut(envelope: Mapping[str, Any], fields: FieldList) -> bool:
    """Whether a target may have something that is not there: it was kept for targets that may have less.

    What is neutral or pseudonymous is always kept, so only the other classes can be missing.
    """
    data: Mapping[str, Any] = envelope.get("data") or {}
    kind = str(envelope.get("subject", "")).partition("/")[0]
    related: Mapping[str, Any] = data.get("related") or {}
    if _lacks(data.get("object"), kind, ("object",), fields):
        return True
    if any(_lacks(record, name, ("related", name), fields) for name, record in related.items()):
        return True
    wanted = _ON_DEMAND.get(kind)
    return wanted is not None and wanted not in related and bool(fields.kept(wanted, ("related", wanted)))


def _lacks(record: Any, kind: str, where: tuple[str, ...], fields: FieldList) -> bool:
    if not isinstance(record, Mapping):
        return False
    classes = KINDS.get(kind, {})
    return any(name not in record for name in fields.kept(kind, where) if classes[name] not in "AB")
