"""What came of a day of the change feed: what the judge expected and what was told, by kind of record, in words."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(slots=True)
class Tally:
    """What came of one feed's one kind."""

    expected: int = 0
    told: int = 0
    missed: list[tuple[int, str, str]] = field(default_factory=list)
    extra: list[tuple[int, str, str]] = field(default_factory=list)
    wrong: list[tuple[int, str, str]] = field(default_factory=list)
    """Told rightly, but not with what really differed."""


@dataclass(slots=True)
class Verdict:
    """What came of a day."""

    changes: int
    kills: int
    kinds: dict[str, Tally]
    requests: int
    mean_percent: float
    max_percent: float
    refused: int
    unexpected: list[str]
    troubles: list[str]

    @property
    def clean(self) -> bool:
        return not self.faults()

    def faults(self) -> list[str]:
        """Everything that should not be, in words."""
        found = [f"{kind}: missed {one}" for kind, tally in self.kinds.items() for one in tally.missed[:5]]
        found += [f"{kind}: invented or doubled {one}" for kind, tally in self.kinds.items() for one in tally.extra[:5]]
        found += [
            f"{kind}: wrong before or after {one}" for kind, tally in self.kinds.items() for one in tally.wrong[:5]
        ]
        found += [f"unexpected request: {one}" for one in self.unexpected[:5]]
        if self.refused:
            found.append(f"{self.refused} requests were refused (429)")
        return found

    def line(self) -> str:
        expected = sum(tally.expected for tally in self.kinds.values())
        told = sum(tally.told for tally in self.kinds.values())
        missed = sum(len(tally.missed) for tally in self.kinds.values())
        extra = sum(len(tally.extra) for tally in self.kinds.values())
        wrong = sum(len(tally.wrong) for tally in self.kinds.values())
        return (
            f"changes {self.changes:5}  events expected {expected:5} told {told:5}  "
            f"missed {missed} doubled {extra} wrong {wrong}  kills {self.kills}  "
            f"requests {self.requests:5} = {self.mean_percent:.1f} % of 750/min "
            f"(busiest minute {self.max_percent:.1f} %)  429 {self.refused}  unexpected {len(self.unexpected)}"
        )
