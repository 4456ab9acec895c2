"""What a report counts: per day and type, by what became of it; and the whole report as a value."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date

from relay.report.period import Period

# What becomes of a delivery; together they are what was accepted for the target.
DELIVERY = ("delivered", "waiting", "dead", "parked", "cancelled", "superseded")
# Why an event of a type that the target asks for has no delivery to it.
WITHOUT = ("pending", "failed", "unrouted", "duplicate", "filtered")
# Why the target may have one more than once.
AGAIN = ("new_key", "taken_twice", "unknown_retried", "worker_lost")
# What a list can be of.
LISTS = ("accepted", *DELIVERY, "repeated", *WITHOUT)


@dataclass(frozen=True, slots=True)
class Tally:
    """One day and type: how many of each. Everything that is not named is 0."""

    day: date
    type: str
    counts: Counter[str] = field(default_factory=Counter)
    again: Counter[str] = field(default_factory=Counter)

    @property
    def accepted(self) -> int:
        return sum(self.counts[what] for what in DELIVERY)

    @property
    def repeated(self) -> int:
        return sum(self.again.values())

    def number(self, name: str) -> int:
        """One of LISTS."""
        if name == "accepted":
            return self.accepted
        return self.repeated if name == "repeated" else self.counts[name]


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """The whole answer but for the list. Times in seconds.

    `zone_from` says where the zone comes from ("" when it was named). `first_at` is when the first event of a kind was
    accepted. `kept_from` names kinds of record and since when they are whole, where the period begins before that.
    `paused`, `breaker_since` and `workers` say how the target fares now.
    """

    target: str
    type: str | None
    period: Period
    zone_from: str
    as_of: float
    tallies: tuple[Tally, ...]
    total: Tally
    other_types: int
    first_at: Mapping[str, float]
    kept_from: Mapping[str, float]
    configured: bool
    paused: str | None
    breaker_since: float | None
    workers: int

    @property
    def complete(self) -> bool:
        """Whether nothing of the period is open, failed or given up."""
        return not any(self.total.counts[what] for what in ("waiting", "dead", "parked", "pending", "failed"))
