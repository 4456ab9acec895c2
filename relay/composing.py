"""What an enriched event looks like, and which change it stands for. Pure, but for the types of the rooms it joins."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from relay.changes import DELETED, record_version
from relay.events import Event, Origin, enriched_envelope, event_id, reached, rfc3339
from relay.planday.enrich import Enrichment
from relay.store.work import ClaimedEvent


def envelope_of(event: Event, enrichment: Enrichment, *, sequence: int) -> dict[str, Any]:
    """The envelope with everything that is known, before any target's list of fields."""
    data: dict[str, Any] = {"object": enrichment.object}
    if enrichment.related:
        data["related"] = dict(enrichment.related)
    data["enrichment"] = {
        "state": enrichment.state,
        "missing": list(enrichment.missing),
        "fetched_at": rfc3339(enrichment.fetched_at),
    }
    if event.seen is not None and (event.seen.before or event.seen.after):
        data["changes"] = {"before": dict(event.seen.before), "after": dict(event.seen.after)}
        data["changed"] = list(event.seen.changed)
    if event.received is not None:
        data["received"] = event.received
    return enriched_envelope(event, sequence=sequence, data=data)


def without_sender_words(event: Event) -> bytes | None:
    """The record without what its sender wrote freely, None when there is nothing of that kind."""
    if event.received is None and not event.extensions:
        return None
    return replace(event, received=None, extensions={}).to_json()


def overtaken(event: Event, claimed: ClaimedEvent) -> bool:
    """Whether a newer state of the entity than the feed saw was handled already: then the record is read anew.

    What is gone stays as it was seen: there is nothing to read.
    """
    seen = event.seen
    if seen is None or seen.object is None or claimed.newest is None:
        return False
    return event.entity != "portal" and seen.read_at < claimed.newest


def span_of(event: Event) -> float | None:
    """Since when a state may have been reached that the feed found reached (seconds); None for any other event."""
    return event.seen.since if event.seen is not None and reached(event.type) else None


def version_of(event: Event, enrichment: Enrichment, *, reread: bool) -> str | None:
    """What identifies the change behind an event, when its record could be read (design.md 4)."""
    if event.seen is not None and not reread:
        return event.seen.version
    if event.type.endswith(".deleted") and enrichment.state == "complete":
        return DELETED
    if enrichment.object is None:
        return None
    return record_version(event.entity, enrichment.object, modified=enrichment.modified)


def sample_envelope(now: float, *, portal: int) -> dict[str, Any]:
    """A `relay.test` event, as it is sent to try a target."""
    event = Event(
        id=event_id("relay", f"test:{now}"),
        source="relay",
        sender_id=f"test:{now}",
        type="relay.test",
        portal=portal,
        entity="relay",
        entity_id="test",
        received_at=now,
        origin=Origin.TEST,
    )
    enrichment = {"state": "none", "missing": [], "fetched_at": rfc3339(now)}
    return enriched_envelope(event, sequence=0, data={"object": None, "enrichment": enrichment})
