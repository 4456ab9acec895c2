"""The simulator's one source of time: the machine's clock, or a stopped one that a test moves."""

from datetime import UTC, datetime, timedelta


class Clock:
    """UTC time; `stopped_at` freezes it, `advance` moves either kind forward."""

    def __init__(self, *, stopped_at: datetime | None = None) -> None:
        self._stopped_at = stopped_at
        self._moved = timedelta()

    def now(self) -> datetime:
        """The present instant, in UTC."""
        return (self._stopped_at or datetime.now(UTC)) + self._moved

    def advance(self, seconds: float) -> datetime:
        """Move forward and return the new present."""
        self._moved += timedelta(seconds=seconds)
        return self.now()

    def rewind(self) -> None:
        """Forget every advance."""
        self._moved = timedelta()
