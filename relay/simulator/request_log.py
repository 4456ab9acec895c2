"""What was asked of the simulated Planday, with everything that no documented client would do."""

from collections import Counter, deque
from dataclasses import asdict, dataclass, field
from typing import Any

from relay.simulator.clock import Clock
from relay.simulator.times import stamp

# Enough for any test; a bench only needs the counts, which are kept for ever.
KEPT = 5000


@dataclass
class Seen:
    """One request; bodies, tokens and header values are not kept."""

    at: str
    method: str
    path: str
    query: str
    endpoint: str
    portal_id: int | None = None
    client_id: str | None = None
    status: int | None = None
    fault: str | None = None
    unexpected: list[str] = field(default_factory=list)


class RequestLog:
    """The latest requests and the counts of all of them."""

    def __init__(self, *, clock: Clock) -> None:
        self._clock = clock
        self.clear()

    def clear(self) -> None:
        """Forget everything."""
        self.requests: deque[Seen] = deque(maxlen=KEPT)
        self.unexpected: deque[Seen] = deque(maxlen=KEPT)
        self.by_endpoint: Counter[str] = Counter()
        self.by_status: Counter[str] = Counter()
        self.oddities: Counter[str] = Counter()

    def open(self, *, method: str, path: str, query: str, endpoint: str, unexpected: list[str]) -> Seen:
        """Note that a request came in."""
        seen = Seen(stamp(self._clock.now()), method, path, query, endpoint, unexpected=unexpected)
        self.requests.append(seen)
        self.by_endpoint[f"{method} {endpoint}"] += 1
        if unexpected:
            self.unexpected.append(seen)
            self.oddities.update(unexpected)
        return seen

    def close(self, seen: Seen, *, status: int | None) -> None:
        """Note how it was answered; None is a dropped connection."""
        seen.status = status
        self.by_status[str(status)] += 1

    def totals(self) -> dict[str, Any]:
        """What a run is judged by: how many were answered 429, and how many nobody documents."""
        return {
            "requests": self.by_endpoint.total(),
            "status429": self.by_status["429"],
            "unexpected": self.oddities.total(),
            "oddities": dict(self.oddities),
        }

    def as_dict(self) -> dict[str, Any]:
        """The log for the control endpoint."""
        return {
            "total": self.by_endpoint.total(),
            "byEndpoint": dict(self.by_endpoint),
            "byStatus": dict(self.by_status),
            "requests": [asdict(seen) for seen in self.requests],
            "unexpected": [asdict(seen) for seen in self.unexpected],
        }
