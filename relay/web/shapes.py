"""The records as the API shows them; times are RFC 3339 in UTC. openapi_schemas.py says the same as JSON Schema."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from relay.events import Attempt, Delivery, Event, EventRecord, idempotency_key, rfc3339
from relay.services import DeliveryRow, Incident, Page, Quarantined, Reread, Rotation
from relay.settings import Target
from relay.store.audit import Act
from relay.store.sessions import ApiToken


def event_row(record: EventRecord) -> dict[str, Any]:
    """An event as a list shows it."""
    event = record.event
    return {
        "id": event.id,
        "type": event.type,
        "subject": event.subject,
        "portal": event.portal,
        "source": event.source,
        "sender_id": event.sender_id,
        "origin": event.origin.value,
        "state": record.state.value,
        "reason": record.reason,
        "received_at": rfc3339(event.received_at),
        "time": event.time,
        "sequence": record.sequence,
        "targets": list(record.targets),
        "duplicate_of": record.duplicate_of,
    }


def event_detail(record: EventRecord, deliveries: list[Delivery]) -> dict[str, Any]:
    """All that is kept of one event."""
    return {
        **event_row(record),
        "tries": record.attempts,
        "due_at": _instant(record.due_at),
        "deliveries": [delivery(one) for one in deliveries],
        "refused_by": dict(record.routing),
        "raw": _raw(record.event),
        "envelope": None if record.envelope is None else dict(record.envelope),
    }


def _raw(event: Event) -> dict[str, Any]:
    """What the sender said. `data` is kept only while some target may have it."""
    return {
        "id": event.sender_id,
        "type": event.type,
        "subject": event.subject,
        "portalid": event.portal,
        "time": event.time,
        **event.extensions,
        "data": event.received,
    }


def delivery(one: Delivery) -> dict[str, Any]:
    """Where one event stands with one target."""
    return {
        "event": one.event,
        "target": one.target,
        "state": one.state.value,
        "reason": one.reason,
        "attempts": one.attempts,
        "round": one.round,
        "replay": one.replay,
        "sequence": one.sequence,
        "updated_at": rfc3339(one.updated_at),
        "due_at": _instant(one.due_at),
        "idempotency_key": idempotency_key(one.event, one.target, one.salt),
    }


def delivery_row(row: DeliveryRow) -> dict[str, Any]:
    """A delivery as a list shows it."""
    return {
        **delivery(row.delivery),
        "type": row.type,
        "subject": row.subject,
        "portal": row.portal,
        "received_at": rfc3339(row.accepted_at),
        "evidence": None if row.evidence is None else attempt(row.evidence),
    }


def attempt(one: Attempt) -> dict[str, Any]:
    """One try; header values that could be secrets were masked before they were kept."""
    return {
        "number": one.number,
        "started_at": rfc3339(one.started_at),
        "seconds": round(one.ended_at - one.started_at, 4),
        "outcome": one.outcome.value,
        "reason": one.reason,
        "status": one.status,
        "retry_at": _instant(one.retry_at),
        "replay": one.replay,
        "request_headers": dict(one.request_headers),
        "response_headers": dict(one.response_headers),
        "excerpt": one.excerpt,
    }


def page(rows: list[dict[str, Any]], found: Page[Any], name: str) -> dict[str, Any]:
    """A page and the cursor of the next one; null: that was the last."""
    return {name: rows, "cursor": found.cursor}


def act(one: Act) -> dict[str, Any]:
    """One act of a person or a token."""
    return {
        "number": one.number,
        "at": rfc3339(one.at),
        "by": one.by,
        "act": one.act,
        "on": one.on,
        "reason": one.reason,
        "result": one.result,
    }


def api_token(one: ApiToken) -> dict[str, Any]:
    """An API token, without what opens anything."""
    return {
        "name": one.name,
        "role": one.role,
        "made_at": rfc3339(one.made_at),
        "by": one.by,
        "expires_at": _instant(one.expires_at),
    }


def erasure(facts: Mapping[str, Any]) -> dict[str, Any]:
    """An erasure; whom it is about stands nowhere in it."""
    return {
        "id": facts["id"],
        "state": facts["state"],
        "portal": facts["portal"],
        "by": facts["by"],
        "reason": facts["reason"],
        "begun_at": rfc3339(facts["begun_at"]),
        "ended_at": _instant(facts.get("ended_at")),
        "result": facts.get("result"),
    }


def plan(facts: Mapping[str, Any]) -> dict[str, Any]:
    """A replay plan; instants become text, the rest stays as it was planned."""
    selection = {
        name: _instant(value) if name in ("since", "until") else value for name, value in facts["selection"].items()
    }
    told = {name: _instant(value) if name.endswith("_at") else value for name, value in facts.items()}
    return {**told, "selection": selection}


def target(name: str, settings: Target, row: Mapping[str, Any], rotation: Rotation | None) -> dict[str, Any]:
    """A target, its settings that matter to an operator, and where it stands now."""
    return {
        "name": name,
        "type": settings.type,
        "url": settings.url.shown(),
        "events": list(settings.events),
        "dedupes": settings.dedupes,
        **_standing(row),
        "rotation": rotation
        and {
            "under_way_since": _instant(rotation.since),
            "begun_by": rotation.by or None,
            "replaces_configured_since": _instant(rotation.alone_since),
        },
        "deliveries": {key: value for key, value in row.items() if key not in _STANDING},
    }


_STANDING = ("state", "paused", "paused_by", "paused_since", "held_until", "breaker")


def _standing(row: Mapping[str, Any]) -> dict[str, Any]:
    """Whether a target is sent to, and why not."""
    breaker = row["breaker"]
    return {
        "state": row["state"],
        "paused": row["paused"],
        "paused_by": row["paused_by"],
        "paused_since": _instant(row["paused_since"]),
        "held_until": _instant(row["held_until"]),
        "breaker": breaker
        and {"state": breaker["state"], "since": _instant(breaker["since"]), "until": _instant(breaker["until"])},
    }


def incident(one: Incident) -> dict[str, Any]:
    """One incident that is not over. `told`: some target took the event that tells of it."""
    return {
        "incident": one.key,
        "type": one.type.begins,
        "about": one.about,
        "since": rfc3339(one.since),
        "began": _instant(one.began),
        "quiet_since": _instant(one.quiet),
        "summary": one.summary,
        "count": one.count,
        "critical": one.critical,
        "told": one.taken,
        "event": one.event,
    }


def stats(found: Mapping[str, Any], *, portals: Mapping[str, str], incidents: Iterable[Incident]) -> dict[str, Any]:
    """The totals as the store tells them, whether each portal's authorisation works, and what is wrong."""
    rows = {name: {**row, **_standing(row)} for name, row in found["targets"].items()}
    return {**found, "portals": dict(portals), "incidents": [incident(one) for one in incidents], "targets": rows}


def quarantined(one: Quarantined, *, whole: bool) -> dict[str, Any]:
    """A body that could not be read; a list leaves the body itself out."""
    shown = {
        "id": one.id,
        "source": one.source,
        "at": rfc3339(one.at),
        "reason": one.reason,
        "content_type": one.content_type,
        "characters": len(one.body),
        "whole": one.whole,
    }
    return {**shown, "body": one.body} if whole else shown


def reread(one: Reread) -> dict[str, Any]:
    """What became of a body that was read again."""
    return {
        "id": one.id,
        "source": one.source,
        "ok": one.ok,
        "events": [{"id": event.id, "duplicate": event.duplicate} for event in one.events],
        "error": one.error or None,
        "faults": [{"pointer": fault.where, "detail": fault.message} for fault in one.faults],
    }


def _instant(at: float | None) -> str | None:
    return None if at is None else rfc3339(at)
