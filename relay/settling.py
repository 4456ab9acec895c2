"""What follows an attempt, for the delivery and for its target. Pure, but for the types of the rooms it joins."""

from __future__ import annotations

from relay import retry
from relay.events import Attempt, Outcome
from relay.store.work import BreakerPolicy, ClaimedDelivery, Settled
from relay.targets import Result, Target

# A target that answers 429 or 503 with Retry-After is left alone as a whole for that long.
_SLOWED_DOWN = (429, 503)


def settled_by(
    target: Target, claimed: ClaimedDelivery, result: Result, *, began: float, now: float, jitter: float
) -> Settled:
    """The record of an attempt that ran from `began` to `now` (seconds), and where its delivery and target stand."""
    decision = retry.decide(
        result.outcome,
        attempt=claimed.step,
        policy=target.settings.retry,
        now=now,
        retry_after=result.retry_after,
        dedupes=target.dedupes,
        jitter=jitter,
    )
    slowed = result.retry_after is not None and result.status in _SLOWED_DOWN
    return Settled(
        id=claimed.id,
        target=claimed.target,
        token=claimed.token,
        state=decision.state,
        reason=_reason(result, decision),
        due_at=decision.at,
        hold_until=now + min(result.retry_after or 0.0, retry.LONGEST_RETRY_AFTER) if slowed else None,
        pause=result.reason if result.outcome is Outcome.TARGET_BROKEN else None,
        verdict=retry.verdict(result.outcome, status=result.status, sent=bool(result.request_headers)),
        breaker=_breaker(target),
        attempt=Attempt(
            number=claimed.attempt,
            started_at=began,
            ended_at=now,
            outcome=result.outcome,
            reason=result.reason,
            status=result.status,
            retry_at=decision.at,
            replay=claimed.replay,
            request_headers=result.request_headers,
            response_headers=result.response_headers,
            excerpt=result.excerpt,
        ),
    )


def _reason(result: Result, decision: retry.Decision) -> str:
    if result.outcome is not Outcome.DELIVERED:
        return f"{result.reason}; {decision.reason}"
    # Nothing was sent, since the target has it: that is worth a word.
    return result.reason if result.status is None else ""


def _breaker(target: Target) -> BreakerPolicy:
    settings = target.settings.breaker
    return BreakerPolicy(
        failures=settings.failures,
        sample=settings.sample,
        share=settings.share,
        span=settings.span,
        wait=settings.wait,
        longest=settings.longest,
    )
