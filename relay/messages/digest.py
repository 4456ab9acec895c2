"""What happened together, as one message: how much of what and where, then a line for each, most important first.

Pure. No event is left out: whoever sends shortens lines until all of them fit (`fair_limit`), and drops none.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

_MOST_COUNTED = 8
# What takes something away from somebody comes first, then what changes it, then what is new, then the rest.
_RANKS = (
    frozenset({"authorization_revoked", "failing", "exhausted", "lost", "stopped", "unhealthy", "parked", "behind"}),
    frozenset({"deleted", "unassigned", "declined", "cancelled", "deactivated", "reversed", "unapproved", "unlocked"}),
    frozenset({"updated", "corrected", "assigned", "salary_identifier_changed"}),
    frozenset({"created", "published", "reactivated"}),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One event of a digest: its title and its line, escaped, and what it is counted and sorted by.

    `begins` is the wall clock of what it is about, or empty; `department` is escaped.
    """

    title: str
    line: str
    verb: str
    department: str = ""
    begins: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """The lines of what has one title."""

    title: str
    lines: tuple[str, ...]

    @property
    def heading(self) -> str:
        """The title with how many there are."""
        return self.title if len(self.lines) == 1 else f"{self.title} ({len(self.lines)})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Digest:
    """The words of a message about several events, escaped; every event has its line in one of the groups."""

    title: str
    counts: tuple[str, ...]
    groups: tuple[Group, ...]

    @property
    def lines(self) -> tuple[str, ...]:
        return tuple(line for group in self.groups for line in group.lines)


def gathered(entries: Sequence[Entry]) -> Digest:
    """The digest of at least one event."""
    kinds: dict[str, list[Entry]] = {}
    for one in sorted(entries, key=lambda one: (_rank(one.verb), one.begins or "~", one.line)):
        kinds.setdefault(one.title, []).append(one)
    departments = Counter(one.department for one in entries if one.department)
    what = next(iter(kinds)) if len(kinds) == 1 else "changes"
    title = f"{len(entries)} × {what}" if len(kinds) == 1 else f"{len(entries)} {what}"
    if len(departments) == 1 and departments.total() == len(entries):
        title += f" · {next(iter(departments))}"
    counts = [_counted({title: len(some) for title, some in kinds.items()}), _counted(departments)]
    return Digest(
        title=title,
        counts=tuple(filter(None, counts)),
        groups=tuple(Group(title=title, lines=tuple(one.line for one in some)) for title, some in kinds.items()),
    )


def fair_limit(sizes: Iterable[int], room: int) -> int | None:
    """How long a line may be, so that all fit into `room` together and short ones keep what they have; None: all fit.

    The answer may be less than a line needs to say anything: callers bound how many lines they take.
    """
    waiting = sorted(sizes)
    for number, size in enumerate(waiting):
        share = room // (len(waiting) - number)
        if size > share:
            return max(share, 0)
        room -= size
    return None


def _rank(verb: str) -> int:
    return next((rank for rank, verbs in enumerate(_RANKS) if verb in verbs), len(_RANKS))


def _counted(counts: Counter[str] | dict[str, int]) -> str:
    """ "Harbour 40 · Kitchen 12"; nothing where there is nothing to tell apart."""
    if len(counts) < 2:
        return ""
    most = sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))
    parts = [f"{name} {count}" for name, count in most[:_MOST_COUNTED]]
    if len(most) > _MOST_COUNTED:
        parts.append(f"{len(most) - _MOST_COUNTED} others {sum(count for _, count in most[_MOST_COUNTED:])}")
    return " · ".join(parts)
