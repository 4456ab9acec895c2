"""What follows an attempt, as a table, and what must hold whatever the dice say."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.events import DeliveryState as State
from relay.events import Outcome
from relay.retry import (
    ENRICH_PATIENCE,
    ENRICH_WAITS,
    LONGEST_RETRY_AFTER,
    OWN_FAULT_WAITS,
    Decision,
    decide,
    enrich_again,
    own_fault_again,
    verdict,
)
from relay.settings import Retry

NOW = 1_790_000_000.0
SHORT = Retry.model_validate({"schedule": ["5s", "30s", "2m"]})


def after(
    outcome: Outcome,
    *,
    attempt: int = 1,
    policy: Retry = SHORT,
    retry_after: float | None = None,
    dedupes: bool = True,
    jitter: float = 0.0,
) -> Decision:
    return decide(
        outcome, attempt=attempt, policy=policy, now=NOW, retry_after=retry_after, dedupes=dedupes, jitter=jitter
    )


@pytest.mark.parametrize(
    ("outcome", "dedupes", "attempt", "state", "wait"),
    [
        (Outcome.DELIVERED, True, 1, State.DELIVERED, None),
        (Outcome.DELIVERED, False, 9, State.DELIVERED, None),
        (Outcome.RETRY, True, 1, State.WAITING, 5),
        (Outcome.RETRY, True, 2, State.WAITING, 30),
        (Outcome.RETRY, False, 3, State.WAITING, 120),
        (Outcome.RETRY, True, 4, State.DEAD, None),
        (Outcome.RETRY, True, 40, State.DEAD, None),
        (Outcome.REJECTED, True, 1, State.DEAD, None),
        (Outcome.TARGET_BROKEN, True, 1, State.DEAD, None),
        (Outcome.UNKNOWN, True, 1, State.WAITING, 5),
        (Outcome.UNKNOWN, True, 4, State.DEAD, None),
        (Outcome.UNKNOWN, False, 1, State.PARKED, None),
        (Outcome.UNKNOWN, False, 4, State.PARKED, None),
        (Outcome.HELD, True, 1, State.PARKED, None),
        (Outcome.HELD, False, 4, State.PARKED, None),
    ],
)
def test_each_outcome_has_one_answer(
    outcome: Outcome, dedupes: bool, attempt: int, state: State, wait: float | None
) -> None:
    """The whole table: what an outcome leads to, and when."""
    decision = after(outcome, attempt=attempt, dedupes=dedupes)
    assert decision.state is state
    assert decision.at == (None if wait is None else NOW + wait)
    assert decision.reason


@pytest.mark.parametrize(
    ("outcome", "status", "sent", "says"),
    [
        (Outcome.DELIVERED, 202, True, "good"),
        (Outcome.DELIVERED, None, False, "unsent"),
        (Outcome.REJECTED, 422, True, "good"),
        (Outcome.REJECTED, None, False, "unsent"),
        (Outcome.REJECTED, None, True, ""),
        (Outcome.HELD, None, False, "unsent"),
        (Outcome.UNKNOWN, None, True, "bad"),
        (Outcome.RETRY, 500, True, "bad"),
        (Outcome.RETRY, None, True, "bad"),
        (Outcome.RETRY, 429, True, ""),
        (Outcome.RETRY, None, False, ""),
        (Outcome.TARGET_BROKEN, 401, True, ""),
    ],
)
def test_what_an_attempt_says_of_its_target(outcome: Outcome, status: int | None, sent: bool, says: str) -> None:
    """Whether it works, whether it fails, that it was not asked, or nothing."""
    assert verdict(outcome, status=status, sent=sent) == says


def test_only_a_schedule_that_ran_out_is_exhausted() -> None:
    """A refusal is dead too, but a longer schedule would not have helped it."""
    assert after(Outcome.RETRY, attempt=4).exhausted
    assert "attempt 4 of 4" in after(Outcome.RETRY, attempt=4).reason
    assert not after(Outcome.REJECTED).exhausted
    assert not after(Outcome.TARGET_BROKEN).exhausted
    assert not after(Outcome.UNKNOWN, dedupes=False).exhausted


@pytest.mark.parametrize(
    ("retry_after", "wait"),
    [
        (None, 5),
        (0.0, 5),
        (-3.0, 5),
        (4.0, 5),
        (60.0, 60),
        (1e9, LONGEST_RETRY_AFTER),
        (math.nan, 5),
        (math.inf, 21600),
    ],
)
def test_a_target_that_asks_for_time_gets_it_within_bounds(retry_after: float | None, wait: float) -> None:
    """Never before Retry-After, never because of it earlier than planned, and for six hours at most."""
    assert after(Outcome.RETRY, retry_after=retry_after).at == NOW + wait


def test_the_reason_says_that_the_target_asked() -> None:
    """A wait that is not ours is explained."""
    assert after(Outcome.RETRY, retry_after=60).reason == "attempt 1 of 4 failed and the target asked for 60 s"
    assert after(Outcome.RETRY, retry_after=1).reason == "attempt 1 of 4 failed"


@pytest.mark.parametrize(("jitter", "wait"), [(0.0, 5.0), (0.5, 5.25), (1.0, 5.5), (-1.0, 5.0), (7.0, 5.5)])
def test_jitter_only_ever_adds(jitter: float, wait: float) -> None:
    """Up to a tenth on top, never less than planned, whatever is passed in."""
    assert after(Outcome.RETRY, jitter=jitter).at == pytest.approx(NOW + wait)


@given(st.lists(st.floats(0, 1), min_size=10, max_size=10))
def test_the_default_schedule_lasts_72_hours_whatever_the_jitter(jitters: list[float]) -> None:
    """From the first failure to the last attempt at least three days pass, each attempt after the one before."""
    now, times = NOW, []
    for attempt, jitter in enumerate(jitters, 1):
        decision = decide(
            Outcome.RETRY, attempt=attempt, policy=Retry(), now=now, retry_after=None, dedupes=True, jitter=jitter
        )
        assert decision.at is not None
        times.append(decision.at)
        now = decision.at
    assert times == sorted(set(times))
    assert times[-1] - NOW >= 72 * 3600
    last = decide(Outcome.RETRY, attempt=11, policy=Retry(), now=now, retry_after=None, dedupes=True, jitter=0.5)
    assert last.state is State.DEAD


@given(
    outcome=st.sampled_from(Outcome),
    attempt=st.integers(1, 60),
    now=st.floats(0, 4e9),
    retry_after=st.none() | st.floats(allow_nan=True),
    dedupes=st.booleans(),
    jitter=st.floats(0, 1),
)
def test_no_time_lies_in_the_past(
    *, outcome: Outcome, attempt: int, now: float, retry_after: float | None, dedupes: bool, jitter: float
) -> None:
    """A delivery that goes on has a time that is not past; one at an end has none."""
    decision = decide(
        outcome, attempt=attempt, policy=Retry(), now=now, retry_after=retry_after, dedupes=dedupes, jitter=jitter
    )
    assert (decision.at is not None) is (decision.state is State.WAITING)
    assert decision.at is None or now <= decision.at <= now + 24 * 3600 * 1.1 + 1


@given(
    attempt=st.integers(1, 49),
    jitter=st.floats(0, 1),
    more=st.floats(0, 1),
    retry_after=st.floats(0, 1e5),
    longer=st.floats(0, 1e5),
)
def test_more_jitter_or_a_longer_request_never_means_sooner(
    attempt: int, jitter: float, more: float, retry_after: float, longer: float
) -> None:
    """The answer is monotone in what it is given."""
    policy = Retry.model_validate({"schedule": ["10s"] * 50})

    def at(jitter: float, retry_after: float) -> float:
        decision = after(Outcome.RETRY, attempt=attempt, policy=policy, jitter=jitter, retry_after=retry_after)
        assert decision.at is not None
        return decision.at

    low, high = sorted((jitter, more))
    short, long = sorted((retry_after, longer))
    assert at(low, short) <= at(high, short) <= at(high, long)


@pytest.mark.parametrize(
    ("attempt", "waited", "retry_after", "wait"),
    [
        (1, 0.0, None, 1.0),
        (2, 1.0, None, 2.0),
        (5, 20.0, None, 30.0),
        (6, 60.0, None, 60.0),
        (60, 60.0, None, 60.0),
        (0, 0.0, None, 1.0),
        (1, 0.0, 20.0, 20.0),
        (6, 0.0, 20.0, 60.0),
        (6, 880.0, None, 20.0),
        (1, 0.0, 5000.0, ENRICH_PATIENCE),
        (6, ENRICH_PATIENCE, None, 60.0),
        (6, 90_000.0, 100.0, 100.0),
        (6, 90_000.0, 1e9, LONGEST_RETRY_AFTER),
    ],
)
def test_waits_for_planday(attempt: int, waited: float, retry_after: float | None, wait: float) -> None:
    """Growing steps, never before Retry-After, and not past the end of the patience while there is some left."""
    assert enrich_again(attempt=attempt, waited=waited, retry_after=retry_after, jitter=0.0) == wait


@given(st.floats(0, 1), st.none() | st.floats(0, 1e6))
def test_patience_with_planday_ends_after_fifteen_minutes(jitter: float, retry_after: float | None) -> None:
    """Whatever Planday asks for, an event is looked at again exactly when its patience ends, and within few steps."""
    waited, attempt = 0.0, 0
    while waited < ENRICH_PATIENCE:
        attempt += 1
        wait = enrich_again(attempt=attempt, waited=waited, retry_after=retry_after, jitter=jitter)
        assert wait > 0
        waited += wait
    assert waited == pytest.approx(ENRICH_PATIENCE)
    assert attempt <= len(ENRICH_WAITS) + ENRICH_PATIENCE / ENRICH_WAITS[-1]


def test_a_fault_of_ours_ends_in_the_end() -> None:
    """An event that our own code cannot handle is tried a few times, later each time, and then is dead."""
    waits = [own_fault_again(attempt=attempt, jitter=0.0) for attempt in range(1, 8)]
    assert waits == [*OWN_FAULT_WAITS, None, None]
    assert list(OWN_FAULT_WAITS) == sorted(OWN_FAULT_WAITS)
    assert own_fault_again(attempt=1, jitter=1.0) == pytest.approx(OWN_FAULT_WAITS[0] * 1.1)
