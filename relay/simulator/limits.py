"""Planday's four rate buckets, counted for real, and the headers that report them."""

import math
from dataclasses import dataclass

from relay.simulator.clock import Clock
from relay.simulator.settings import Settings


@dataclass(frozen=True)
class Allowance:
    """What the buckets say about one request."""

    allowed: bool
    headers: dict[str, str]


@dataclass(frozen=True)
class _Bucket:
    limit: int
    remaining: int
    over: bool
    reset: int


class RateLimits:
    """Fixed windows per portal and per client; refused requests count too, as in Envoy's limiter."""

    def __init__(self, *, clock: Clock, settings: Settings) -> None:
        self._clock = clock
        self._settings = settings
        self._counts: dict[tuple[str, int], tuple[int, int]] = {}

    def count(self, *, portal: str, client: str) -> Allowance:
        """Count one request and say whether it may pass."""
        chosen = self._settings
        policy = [
            (f"portal {portal}", 1, chosen.portal_per_second),
            (f"portal {portal}", 60, chosen.portal_per_minute),
            (f"client {client}", 1, chosen.client_per_second),
            (f"client {client}", 60, chosen.client_per_minute),
        ]
        now = self._clock.now().timestamp()
        buckets = [self._take(owner, seconds, limit, now) for owner, seconds, limit in policy]
        # The window that speaks is the one with least left; of equals, the one that blocks longest.
        nearest = min(buckets, key=lambda bucket: (not bucket.over, bucket.remaining, -bucket.reset))
        listed = ", ".join(f"{limit};w={seconds}" for _, seconds, limit in policy)
        return Allowance(
            allowed=not nearest.over,
            headers={
                "x-ratelimit-limit": f"{nearest.limit}, {listed}",
                "x-ratelimit-remaining": str(nearest.remaining),
                "x-ratelimit-reset": str(nearest.reset),
            },
        )

    def clear(self) -> None:
        """Empty every bucket."""
        self._counts.clear()

    def _take(self, owner: str, seconds: int, limit: int, now: float) -> _Bucket:
        window = int(now // seconds)
        counted_in, count = self._counts.get((owner, seconds), (window, 0))
        count = count + 1 if counted_in == window else 1
        self._counts[owner, seconds] = (window, count)
        return _Bucket(
            limit=limit,
            remaining=max(limit - count, 0),
            over=count > limit,
            reset=max(math.ceil((window + 1) * seconds - now), 1),
        )
