"""An event's life in order: from the change in Planday to each attempt at each target. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from relay.events import Attempt, Delivery, DeliveryState, EventRecord, EventState, Outcome

Level = Literal["good", "bad", "warn", ""]


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that happened; `at` (seconds) None: the record does not keep when."""

    at: float | None
    text: str
    level: Level = ""
    target: str = ""


def timeline(
    record: EventRecord, deliveries: Sequence[Delivery], attempts: Mapping[str, Sequence[Attempt]]
) -> list[Step]:
    """The steps, the oldest first; what has no time of its own stands where it belongs."""
    event = record.event
    steps = []
    if event.time is not None:
        whose = "the change feed" if event.source == "feed" else f"{event.source}"
        steps.append(Step(_instant(event.time), f"Happened, as {whose} says"))
    door = "Found by the change feed" if event.source == "feed" else f"Received from {event.source}, signature checked"
    steps.append(Step(event.received_at, f"{door}; accepted as number {record.sequence} of {event.subject}"))
    steps += _before_targets(record)
    tried = [_attempt(one, target) for target, found in attempts.items() for one in found]
    ended = [_end(one) for one in deliveries if one.state not in (DeliveryState.WAITING, DeliveryState.SENDING)]
    steps += sorted([*tried, *(one for one in ended if one is not None)], key=lambda one: one.at or 0)
    steps += [
        Step(one.due_at, f"Next attempt at {one.target}", target=one.target)
        for one in deliveries
        if one.state is DeliveryState.WAITING and one.due_at is not None and one.attempts
    ]
    return steps


def _before_targets(record: EventRecord) -> list[Step]:
    steps = []
    envelope = record.envelope or {}
    enrichment = (envelope.get("data") or {}).get("enrichment")
    if isinstance(enrichment, Mapping):
        state, missing = enrichment.get("state", ""), enrichment.get("missing") or ()
        level: Level = "good" if state == "complete" else "warn"
        text = f"Enriched from Planday: {state}" + (f"; missing: {', '.join(map(str, missing))}" if missing else "")
        steps.append(Step(None, text, level))
    match record.state:
        case EventState.ROUTED:
            steps.append(Step(None, f"Routed to {', '.join(record.targets)}", "good"))
        case EventState.UNROUTED:
            steps.append(Step(None, "Routed to nobody: no target asks for it", "warn"))
        case EventState.DUPLICATE:
            steps.append(Step(None, f"The same change as {record.duplicate_of}, which came first", "warn"))
        case EventState.DEAD:
            steps.append(Step(None, f"Given up before it was routed: {record.reason}", "bad"))
        case EventState.ACCEPTED:
            reason = f": {record.reason}" if record.reason else ""
            steps.append(Step(record.due_at, f"Waits to be enriched and routed{reason}"))
    return steps


def _attempt(one: Attempt, target: str) -> Step:
    level: Level = "good" if one.outcome is Outcome.DELIVERED else "warn"
    status = f"HTTP {one.status}" if one.status else ""
    words = ", ".join(part for part in (status, one.reason if one.reason != status else "") if part)
    took = f" in {one.ended_at - one.started_at:.2f} s"
    said = f"{target}: attempt {one.number} {one.outcome.value.replace('_', ' ')}"
    return Step(one.started_at, f"{said}{took}" + (f" ({words})" if words else ""), level, target)


def _end(one: Delivery) -> Step | None:
    reason = f": {one.reason}" if one.reason else ""
    match one.state:
        case DeliveryState.DEAD:
            return Step(one.updated_at, f"{one.target}: given up{reason}", "bad", one.target)
        case DeliveryState.PARKED:
            return Step(one.updated_at, f"{one.target}: parked for a person to decide{reason}", "warn", one.target)
        case DeliveryState.CANCELLED | DeliveryState.SUPERSEDED:
            return Step(one.updated_at, f"{one.target}: {one.state.value}{reason}", "warn", one.target)
    return None


def _instant(text: str) -> float | None:
    try:
        return datetime.fromisoformat(text).timestamp()
    except ValueError:
        return None
