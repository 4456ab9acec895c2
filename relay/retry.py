"""What follows an attempt: again at a time, or an end. The clock and the dice are passed in."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from relay.events import DeliveryState, Outcome
from relay.settings import Retry

LONGEST_RETRY_AFTER = 6 * 3600.0
"""No target and no API may send us away for longer than this, in seconds."""

JITTER_SHARE = 0.1
"""Jitter adds up to this share of a wait and never takes away, so that a schedule keeps its promised length."""

ENRICH_WAITS = (1.0, 2.0, 5.0, 10.0, 30.0, 60.0)
"""Waits between looks at Planday for one event, in seconds; the last one repeats."""

ENRICH_PATIENCE = 900.0
"""How long an event waits for Planday, in seconds, before it goes on as partial (design.md 4)."""

OWN_FAULT_WAITS = (1.0, 5.0, 30.0, 120.0, 600.0)
"""Waits after faults of ours while an event is worked on. One that fails once more than this is dead."""


@dataclass(frozen=True, slots=True)
class Decision:
    """Where a delivery stands after an attempt: waiting until `at`, or at an end, and why.

    `exhausted` marks the one end that a longer schedule would have put off.
    """

    state: DeliveryState
    at: float | None
    reason: str
    exhausted: bool = False


def decide(
    outcome: Outcome,
    *,
    attempt: int,
    policy: Retry,
    now: float,
    retry_after: float | None,
    dedupes: bool,
    jitter: float,
) -> Decision:
    """What follows attempt number `attempt` (the first is 1). `jitter` lies in 0..1, `retry_after` is in seconds."""
    match outcome:
        case Outcome.DELIVERED:
            return Decision(DeliveryState.DELIVERED, None, "the target took it")
        case Outcome.REJECTED:
            return Decision(DeliveryState.DEAD, None, "the target will never take this as it is")
        case Outcome.TARGET_BROKEN:
            return Decision(DeliveryState.DEAD, None, "the target's address or credential is wrong")
        case Outcome.UNKNOWN if not dedupes:
            reason = "it may have been delivered, and the target would not recognise a repeat: a person must decide"
            return Decision(DeliveryState.PARKED, None, reason)
        case Outcome.HELD:
            return Decision(DeliveryState.PARKED, None, "a person must decide")
        case Outcome.RETRY | Outcome.UNKNOWN:
            return _again(attempt=attempt, policy=policy, now=now, retry_after=retry_after, jitter=jitter)


def verdict(outcome: Outcome, *, status: int | None, sent: bool) -> Literal["good", "bad", "unsent", ""]:
    """What an attempt says of the target itself, for its breaker; "" where it says nothing.

    Who refuses one event works; who asks to be sent less (429) is neither well nor broken. `sent`: a request was made;
    "unsent" is what came to its end without one.
    """
    match outcome:
        case Outcome.DELIVERED | Outcome.REJECTED if status is not None:
            return "good"
        case Outcome.DELIVERED | Outcome.REJECTED | Outcome.HELD if not sent:
            return "unsent"
        case Outcome.UNKNOWN:
            return "bad"
        case Outcome.RETRY if sent and status != 429:
            return "bad"
    return ""


def _again(*, attempt: int, policy: Retry, now: float, retry_after: float | None, jitter: float) -> Decision:
    attempts = len(policy.schedule) + 1
    if attempt >= attempts:
        return Decision(DeliveryState.DEAD, None, f"given up after attempt {attempt} of {attempts}", exhausted=True)
    planned = _stretched(policy.schedule[max(attempt, 1) - 1], jitter)
    asked = _asked(retry_after)
    why = f" and the target asked for {asked:g} s" if asked > planned else ""
    return Decision(DeliveryState.WAITING, now + max(planned, asked), f"attempt {attempt} of {attempts} failed{why}")


def enrich_again(*, attempt: int, waited: float, retry_after: float | None, jitter: float) -> float:
    """Seconds until Planday is asked again for an event that has waited `waited` seconds already.

    A wait never reaches past the end of the patience: there the event is looked at once more, to go on as partial.
    Who waits longer than that (for a person to authorise the portal again) keeps the last step.
    """
    step = ENRICH_WAITS[min(max(attempt, 1), len(ENRICH_WAITS)) - 1]
    wait = max(_stretched(step, jitter), _asked(retry_after))
    left = ENRICH_PATIENCE - waited
    return min(wait, left) if left > 0 else wait


def own_fault_again(*, attempt: int, jitter: float) -> float | None:
    """Seconds until an event is tried again on which our own code failed; None when it has failed too often."""
    if attempt > len(OWN_FAULT_WAITS):
        return None
    return _stretched(OWN_FAULT_WAITS[max(attempt, 1) - 1], jitter)


def _stretched(wait: float, jitter: float) -> float:
    return wait * (1 + JITTER_SHARE * min(max(jitter, 0.0), 1.0))


def _asked(retry_after: float | None) -> float:
    """What the far side asked for, within bounds; what is no number asks for nothing."""
    if retry_after is None or math.isnan(retry_after):
        return 0.0
    return min(max(retry_after, 0.0), LONGEST_RETRY_AFTER)
