"""What crash rounds and rolling restarts came to, as a table and as a verdict."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field

# Seconds, from design.md 6.
MEDIAN, WORST, STORE_AGAIN = 15.0, 30.0, 10.0


@dataclass(slots=True)
class Round:
    """What one round came to; times in seconds."""

    victims: tuple[str, ...]
    delay: float
    killed_after: int
    accepted: int = 0
    held: int = 0
    """Events that were left under a lease of a killed worker."""
    in_flight: int = 0
    """Deliveries under a lease at the kill: of the killed workers, or of all when the store was killed."""
    on_the_wire: int = 0
    """Requests that had come whole to the target at the kill and were not answered yet."""
    doubled: int = 0
    first: float | None = None
    """From the kill until the next arrival."""
    recovery: list[float] = field(default_factory=list)
    """From the kill until each held event arrived (again)."""
    store_loaded: float | None = None
    """From the start of the store until it answers, its data loaded."""
    store_again: float | None = None
    """From the start of the store until the next arrival."""


@dataclass(slots=True)
class Figures:
    """All rounds together, and the restarts after them."""

    seed: str
    rounds: list[Round] = field(default_factory=list)
    accepted: int = 0
    lost: int = 0
    requests: int = 0
    doubled: int = 0
    cut_off: int = 0
    restarts: int = 0
    restarts_accepted: int = 0
    restarts_doubled: int = 0
    slowest_stop: float = 0.0
    faults: list[str] = field(default_factory=list)
    """Sentences about what must never happen and did."""

    def verdict(self) -> list[str]:
        """Every promise that was not kept, in a sentence; nothing when all were."""
        held = [at for one in self.rounds for at in one.recovery]
        misses = list(self.faults)
        if self.lost:
            misses.append(f"lost {self.lost} of {self.accepted} accepted events, wanted 0")
        misses += [
            f"round {number}: doubled {one.doubled}, but only {one.in_flight} were in flight at the kill"
            for number, one in enumerate(self.rounds, 1)
            if one.doubled > one.in_flight
        ]
        misses += [
            f"round {number}: {one.held - len(one.recovery)} of {one.held} held events did not arrive in {WORST:g} s"
            for number, one in enumerate(self.rounds, 1)
            if len(one.recovery) < one.held
        ]
        if held and statistics.median(held) > MEDIAN:
            misses.append(f"recovery: median {statistics.median(held):.1f} s, wanted at most {MEDIAN:g} s")
        if held and max(held) > WORST:
            misses.append(f"recovery: worst {max(held):.1f} s, wanted at most {WORST:g} s")
        misses += [
            f"round {number}: works again {one.store_again:.1f} s after the store's start, wanted {STORE_AGAIN:g} s"
            for number, one in enumerate(self.rounds, 1)
            if one.store_again is not None and one.store_again > STORE_AGAIN
        ]
        if self.restarts_doubled:
            misses.append(f"rolling restarts doubled {self.restarts_doubled}, wanted 0")
        return misses

    def table(self) -> str:
        """One line a round, one for all, and the sums in words."""
        head = (
            "round killed delay,ms at accepted held in-flight on-wire doubled first,s median,s worst,s loaded,s again,s"
        )
        rows: list[Sequence[str]] = [head.split(" ")]
        for number, one in enumerate(self.rounds, 1):
            counts = (one.killed_after, one.accepted, one.held, one.in_flight, one.on_the_wire, one.doubled)
            times = (one.first, *_spread(one.recovery), one.store_loaded, one.store_again)
            rows.append(
                (str(number), "+".join(one.victims), f"{one.delay * 1000:g}", *map(str, counts), *map(_time, times))
            )
        every = [at for one in self.rounds for at in one.recovery]
        sums = [
            str(sum(getattr(one, name) for one in self.rounds))
            for name in ("accepted", "held", "in_flight", "on_the_wire", "doubled")
        ]
        rows.append(("all", "", "", "", *sums, "", *map(_time, _spread(every)), "", ""))
        widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
        lines = ["  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in rows]
        return "\n".join([*lines, "", *self._sums()])

    def _sums(self) -> list[str]:
        firsts = [one.first for one in self.rounds if one.first is not None]
        held = [at for one in self.rounds for at in one.recovery]
        loaded = [one.store_loaded for one in self.rounds if one.store_loaded is not None]
        again = [one.store_again for one in self.rounds if one.store_again is not None]
        in_flight = sum(one.in_flight for one in self.rounds)
        lines = [
            f"accepted {self.accepted}, lost {self.lost}, requests at the target {self.requests}, "
            f"doubled {self.doubled} (in flight at the kills {in_flight}), posts without an answer {self.cut_off}",
        ]
        for what, times in (
            ("from the kill to the next arrival", firsts),
            ("from the kill until what killed workers held arrived", held),
            ("from the start of a killed store until its data are loaded", loaded),
            ("  to the next arrival", again),
        ):
            if times:
                lines.append(f"{what}: median {statistics.median(times):.1f} s, worst {max(times):.1f} s")
        if self.restarts:
            lines.append(
                f"{self.restarts} rolling restarts by SIGTERM: accepted {self.restarts_accepted}, "
                f"doubled {self.restarts_doubled}, slowest stop {self.slowest_stop:.1f} s"
            )
        return lines


def _spread(times: Sequence[float]) -> tuple[float | None, float | None]:
    return (statistics.median(times), max(times)) if times else (None, None)


def _time(seconds: float | None) -> str:
    return "-" if seconds is None else f"{seconds:.1f}"
