"""What a run cost: requests per minute and portal, who spent them, and how often Planday said no."""

from collections import Counter
from datetime import datetime
from typing import Any

from relay.simulator.clock import Clock
from relay.simulator.settings import Settings


class Budget:
    """Counts every request of the API, refused ones too, since they count at Planday's as well."""

    def __init__(self, *, clock: Clock, settings: Settings) -> None:
        self._clock = clock
        self._settings = settings
        self.clear()

    def clear(self) -> None:
        """Begin a new run."""
        self._since: datetime = self._clock.now()
        self._minutes: dict[str, Counter[int]] = {}
        self._endpoints: dict[str, Counter[str]] = {}
        self._refused: Counter[str] = Counter()

    def spend(self, *, portal: int | None, client: str | None, endpoint: str, allowed: bool) -> None:
        """Note one request."""
        minute = int(self._clock.now().timestamp() // 60)
        for owner in (f"portal {portal}", f"client {client}"):
            self._minutes.setdefault(owner, Counter())[minute] += 1
            self._endpoints.setdefault(owner, Counter())[endpoint] += 1
            self._refused[owner] += not allowed

    def report(self) -> dict[str, Any]:
        """The run so far; the mean is over all its minutes, quiet ones included."""
        minutes = max((self._clock.now() - self._since).total_seconds() / 60, 1)
        return {
            "since": self._since.isoformat(),
            "minutes": round(minutes, 2),
            "portals": self._report("portal ", minutes, self._settings.portal_per_minute),
            "clients": self._report("client ", minutes, self._settings.client_per_minute),
        }

    def _report(self, kind: str, minutes: float, limit: int) -> dict[str, Any]:
        return {
            owner.removeprefix(kind): {
                "requests": counts.total(),
                "maxPerMinute": max(counts.values()),
                "meanPerMinute": round(counts.total() / minutes, 3),
                "maxPercent": round(100 * max(counts.values()) / limit, 2),
                "meanPercent": round(100 * counts.total() / minutes / limit, 3),
                "refused": self._refused[owner],
                "byEndpoint": dict(self._endpoints[owner].most_common()),
            }
            for owner, counts in self._minutes.items()
            if owner.startswith(kind)
        }
