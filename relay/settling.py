"""What follows an attempt, for the delivery and for its target. Pure, but for the types of the rooms it joins."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pydantic_core

from relay import retry
from relay.events import Attempt, DeliveryState, Outcome
from relay.store.work import BreakerPolicy, ClaimedDelivery, Settled
from relay.targets import Result, Sending, Target

# A target that answers 429 or 503 with Retry-After is left alone as a whole for that long.
_SLOWED_DOWN = (429, 503)


def sending_of(claimed: ClaimedDelivery, *, now: float) -> Sending:
    """What was claimed, as its target is asked to send it."""
    envelope: Mapping[str, Any] = pydantic_core.from_json(claimed.envelope)
    return Sending(
        event_id=claimed.id,
        target=claimed.target,
        attempt=claimed.attempt,
        replay=claimed.replay,
        envelope=envelope,
        now=now,
        salt=claimed.salt,
        released=claimed.released,
    )


def settled_by(
    target: Target,
    claimed: ClaimedDelivery,
    result: Result,
    *,
    type_: str,
    began: float,
    now: float,
    jitter: float,
    together: int = 1,
    speaks: bool = True,
) -> Settled:
    """The record of an attempt that ran from `began` to `now` (seconds), and where its delivery and target stand.

    `together`: so many deliveries were sent by this one call. What is refused then may be the fault of another one, so
    each is sent alone next. `speaks`: what this one says of the target counts; of one call only one does.
    """
    alone = together > 1 and result.outcome is Outcome.REJECTED
    if alone:
        decision = retry.Decision(
            DeliveryState.WAITING, now, f"one of {together} in one message; it is sent alone next"
        )
    else:
        decision = retry.decide(
            result.outcome,
            attempt=claimed.step,
            policy=target.settings.retry,
            now=now,
            retry_after=result.retry_after,
            dedupes=target.dedupes,
            jitter=jitter,
        )
    if claimed.ahead is not None and (decision.state is DeliveryState.WAITING or decision.exhausted):
        why = "it was tried ahead of its time, to see whether the target is back"
        decision = retry.Decision(DeliveryState.WAITING, claimed.ahead, why)
    elif decision.at is not None and not alone:
        # People are not woken by what is tried again, either.
        decision = replace(decision, at=target.again_at(type_, decision.at))
    verdict = retry.verdict(result.outcome, status=result.status, sent=result.tried)
    slowed = result.retry_after is not None and result.status in _SLOWED_DOWN
    return Settled(
        id=claimed.id,
        target=claimed.target,
        token=claimed.token,
        state=decision.state,
        reason=_reason(result, decision),
        due_at=decision.at,
        alone=alone,
        hold_until=now + min(result.retry_after or 0.0, retry.LONGEST_RETRY_AFTER) if slowed else None,
        pause=result.reason if result.outcome is Outcome.TARGET_BROKEN else None,
        verdict=verdict if speaks else "",
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


def refusal(target: Target, sending: Sending) -> Result | None:
    """Why a delivery is not sent at all: its target takes whole events only, and this one is not."""
    enrichment = sending.envelope["data"]["enrichment"]
    if not target.settings.require_complete or enrichment["state"] == "complete":
        return None
    missing = "; ".join(enrichment["missing"])
    reason = f"the target takes whole events only, and this one could not be enriched wholly ({missing})"
    return Result(outcome=Outcome.REJECTED, reason=reason)


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
