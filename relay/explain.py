"""Where an event is and why, in plain sentences, for any state it can be in.

Pure: what must be known besides the event comes in, so that CLI, API and dashboard say the same.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from relay.events import NO_PORTAL, Attempt, Delivery, DeliveryState, Event, EventRecord, EventState


@dataclass(frozen=True, slots=True, kw_only=True)
class Ahead:
    """The head of a lane that something waits behind; `state` is empty for an event that is not routed yet."""

    event: str
    state: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Around:
    """What happens around one event, now. Keys are target names; `ahead` has "" for the event's own lane."""

    now: float
    workers: int
    in_work: bool = False
    targets: frozenset[str] = frozenset()
    paused: Mapping[str, str] = field(default_factory=dict)
    held: Mapping[str, float] = field(default_factory=dict)
    failing: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    """Since when a target's breaker is open, and when it is probed next."""
    ahead: Mapping[str, Ahead] = field(default_factory=dict)


def explain(
    record: EventRecord,
    deliveries: Sequence[Delivery],
    attempts: Mapping[str, Sequence[Attempt]],
    around: Around,
) -> list[str]:
    """The sentences, from how it came in to where it stands with each target."""
    return list(_sentences(record, deliveries, attempts, around))


def _sentences(
    record: EventRecord,
    deliveries: Sequence[Delivery],
    attempts: Mapping[str, Sequence[Attempt]],
    around: Around,
) -> Iterator[str]:
    event = record.event
    yield (
        f"Event {event.type} of {event.subject}{_where(event)} came from {event.source} "
        f"and was accepted {_when(event.received_at, around.now)}."
    )
    if record.envelope is not None:
        yield _enriched(record.envelope)
    match record.state:
        case EventState.ACCEPTED:
            yield from _accepted(record, around)
        case EventState.DUPLICATE:
            yield f"The same change had come in before as {record.duplicate_of}, so nothing was sent for this one."
        case EventState.DEAD:
            yield f"It was given up before it was routed, so no target has it: {_reason(record.reason)}."
        case EventState.UNROUTED:
            yield "No target takes it, so nothing was sent."
        case EventState.ROUTED:
            if missing := [name for name in record.targets if name not in {one.target for one in deliveries}]:
                yield f"It went to {', '.join(missing)} too, of which nothing is kept any more."
    for delivery in deliveries:
        # The first goes on after the colon; those after it begin as sentences do.
        first, *more = _delivery(delivery, attempts.get(delivery.target, ()), around)
        yield " ".join((f"{delivery.target}: {first}", *(one[:1].upper() + one[1:] for one in more)))
    # As a rule many targets refuse for one reason: together they are one sentence.
    for refusal in dict.fromkeys(record.routing.values()):
        names = ", ".join(target for target, said in record.routing.items() if said == refusal)
        yield f"{names}: not sent, because {refusal}."


def _where(event: Event) -> str:
    return "" if event.portal == NO_PORTAL else f" in portal {event.portal}"


def _enriched(envelope: Mapping[str, Any]) -> str:
    enrichment = (envelope.get("data") or {}).get("enrichment") or {}
    missing = "; ".join(enrichment.get("missing") or ())
    match enrichment.get("state"):
        case "complete":
            return "Everything that Planday has on it was read."
        case "partial":
            return f"Planday's part is incomplete: {missing or 'no reason is kept'}."
        case _:
            return "It carries nothing from Planday" + (f": {missing}." if missing else ".")


def _accepted(record: EventRecord, around: Around) -> Iterator[str]:
    if around.in_work:
        yield "A worker has it now: Planday is being asked, then it is routed."
    elif ahead := around.ahead.get(""):
        yield f"It waits behind {ahead.event}: events of {record.event.subject} are taken one at a time, in order."
    elif record.due_at is not None and record.due_at > around.now:
        tried = f", after {_times(record.attempts)}" if record.attempts else ""
        yield f"It is asked about again {_when(record.due_at, around.now)}{tried}: {_reason(record.reason)}."
    else:
        yield "It is due and waits for a worker to take it."
    if not around.workers and not around.in_work:
        yield _NO_WORKER


def _delivery(delivery: Delivery, attempts: Sequence[Attempt], around: Around) -> Iterator[str]:
    now = around.now
    updated = _when(delivery.updated_at, now)
    tries = _times(delivery.attempts)
    if delivery.round > 1:
        replay = f" by {delivery.replay}" if delivery.replay else ""
        yield f"opened again{replay}, this is round {delivery.round}."
    match delivery.state:
        case DeliveryState.DELIVERED:
            yield f"delivered {updated}, after {tries}" + (f": {_reason(delivery.reason)}." if delivery.reason else ".")
        case DeliveryState.SENDING:
            yield f"on the wire now, attempt {delivery.attempts + 1}."
        case DeliveryState.DEAD:
            yield f"given up {updated}, after {tries}: {_reason(delivery.reason)}. A retry or a replay sends it again."
        case DeliveryState.PARKED:
            # What was not sent at all says itself what there is to decide.
            doubt = not delivery.reason.startswith("nothing was sent")
            look = "Look whether the target has it: if not, release it; if it has, cancel it. " if doubt else ""
            yield (
                f"parked {updated}, and waits for a person: {_reason(delivery.reason)}. "
                f"{look}Later events of the same record wait."
            )
        case DeliveryState.CANCELLED:
            yield f"cancelled {updated}: {_reason(delivery.reason)}."
        case DeliveryState.SUPERSEDED:
            yield f"not sent: {_reason(delivery.reason)}. It can be forced, with a reason."
        case DeliveryState.WAITING:
            yield from _waiting(delivery, attempts, around)


def _waiting(delivery: Delivery, attempts: Sequence[Attempt], around: Around) -> Iterator[str]:
    name, now = delivery.target, around.now
    if delivery.attempts and attempts:
        yield f"{_times(delivery.attempts)} failed, the last with: {_reason(attempts[-1].reason)}."
    stopped = True
    if name not in around.targets:
        yield "waits, but the target is not in the configuration any more: it will be parked."
    elif name in around.paused:
        yield f"waits, because the target is paused ({_reason(around.paused[name])}); resume it to go on."
    elif ahead := around.ahead.get(name):
        parked = " (parked: a person has to decide first)" if ahead.state == DeliveryState.PARKED else ""
        yield f"waits behind {ahead.event}{parked}: changes of one record go out one at a time, in order."
    elif name in around.failing:
        since, until = around.failing[name]
        yield (
            f"waits, because {name} has kept failing since {_when(since, now)[3:]}: one delivery at a time tries it, "
            f"{f'the next {_when(until, now)}' if until > now else 'now'}. Waiting for that uses up no attempt."
        )
    elif around.held.get(name, 0.0) > now:
        yield f"waits, because the target asked to be left alone; tried again {_when(around.held[name], now)}."
    elif delivery.due_at is not None and delivery.due_at > now:
        yield f"attempt {delivery.attempts + 1} is due {_when(delivery.due_at, now)}."
    else:
        stopped = False
        yield "due now; it goes out as soon as the target's rate and concurrency allow."
    if not around.workers and not (stopped and name in around.paused):
        yield _NO_WORKER


_NO_WORKER = "No worker is running: start one with `relay worker`."


def _reason(reason: str) -> str:
    return reason.rstrip(". ") or "no reason is kept"


def _times(count: int) -> str:
    return "1 attempt" if count == 1 else f"{count} attempts"


def _when(at: float, now: float) -> str:
    moment = datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    distance = at - now
    return f"at {moment} ({f'in {_span(distance)}' if distance > 0 else f'{_span(-distance)} ago'})"


def _span(seconds: float) -> str:
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"
