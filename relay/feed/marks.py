"""How far a feed has come: written only after everything that a look read is stored."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

from relay.errors import RelayError


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """One feed of one portal; times in seconds since 1970, None for never."""

    read_to: float | None = None
    """What was changed before this has been seen, but for Planday's own delays (hence the overlap)."""
    began: float | None = None
    """When the first look was; what was there then made no events."""
    whole: float | None = None
    """When everything was last compared, not only what Planday says has changed."""
    due: float = 0.0
    quiet: int = 0
    """Looks in a row that found nothing."""
    failures: int = 0
    events: int = 0
    """Events made since the beginning."""
    why: str = ""
    """Why the last look did not come to its end."""
    tried: float | None = None
    """When the last look began, whatever came of it."""
    kinds: frozenset[str] | None = None
    """The kinds of record that were looked at before: the first look at another is quiet too. None: all of the feed."""
    asked: float | None = None
    """When a person asked for a look; written by `look_now` only, so that no look that ends meanwhile takes it back."""

    def is_due(self, now: float) -> bool:
        """Whether its time has come, or somebody asked for it since the last look."""
        wanted = self.asked is not None and (self.tried is None or self.asked > self.tried)
        return wanted or self.due <= now

    @property
    def first(self) -> bool:
        return self.read_to is None

    def knows(self, kind: str) -> bool:
        """Whether this kind of record was looked at before."""
        return not self.first and (self.kinds is None or kind in self.kinds)

    def done(self, *, at: float, whole: bool, events: int, due: float, kinds: Collection[str] = ()) -> Mark:
        """A look at these kinds came to its end; it began at `at`."""
        return replace(
            self,
            read_to=at,
            began=at if self.began is None else self.began,
            whole=at if whole else self.whole,
            due=due,
            quiet=0 if events else self.quiet + 1,
            failures=0,
            events=self.events + events,
            why="",
            kinds=None if self.kinds is None and not self.first else frozenset(kinds) | (self.kinds or frozenset()),
        )

    def failed(self, error: RelayError | str, *, due: float, events: int = 0) -> Mark:
        """A look broke off: the next begins where this one began."""
        return replace(self, due=due, failures=self.failures + 1, events=self.events + events, why=str(error))

    def write(self) -> dict[str, str | float | int]:
        values = {
            "read_to": self.read_to,
            "began": self.began,
            "whole": self.whole,
            "due": self.due,
            "quiet": self.quiet,
            "failures": self.failures,
            "events": self.events,
            "why": self.why,
            "tried": self.tried,
            "kinds": None if self.kinds is None else " ".join(sorted(self.kinds)),
        }
        return {name: value for name, value in values.items() if value is not None}

    @classmethod
    def read(cls, stored: Mapping[str, str]) -> Mark:
        def moment(name: str) -> float | None:
            return float(stored[name]) if name in stored else None

        return cls(
            read_to=moment("read_to"),
            began=moment("began"),
            whole=moment("whole"),
            due=moment("due") or 0.0,
            quiet=int(stored.get("quiet", 0)),
            failures=int(stored.get("failures", 0)),
            events=int(stored.get("events", 0)),
            why=stored.get("why", ""),
            tried=moment("tried"),
            kinds=frozenset(stored["kinds"].split()) if "kinds" in stored else None,
            asked=moment("asked"),
        )
