"""How long each kind of record is kept. What still has work left is never removed, however old it is."""

from __future__ import annotations

from typing import Annotated, Any, Self

from pydantic import AfterValidator, BeforeValidator, Field, PlainSerializer, WithJsonSchema, model_validator

from relay.settings.base import Section
from relay.settings.values import duration, seconds

_DAY = 86400.0
_LONGEST = 4000 * _DAY


def _age(value: Any) -> float:
    try:
        return seconds(value, most=_LONGEST)
    except ValueError:
        raise ValueError('an age is a number and a unit, such as "12h", "30d" or "2190d"; 4000d at most') from None


def _least(value: float) -> float:
    if value < 3600:
        raise ValueError("must be 1h at least")
    return value


Age = Annotated[
    float,
    BeforeValidator(_age),
    AfterValidator(_least),
    PlainSerializer(duration, when_used="json"),
    WithJsonSchema(
        {"type": ["string", "number"], "pattern": r"^\d+(\.\d+)?(ms|s|m|h|d)?$", "examples": ["12h", "30d", "2190d"]}
    ),
]


class Retention(Section):
    """How long each kind of record is kept, counted from the moment at which nothing was left to do."""

    delivered: Age = Field(default="62d", validate_default=True)
    """Events of which every delivery was delivered, with their envelopes and attempts."""
    failed: Age = Field(default="90d", validate_default=True)
    """Events that ended otherwise: a delivery dead, cancelled or superseded; unrouted, dead, or a duplicate."""
    received: Age = Field(default="7d", validate_default=True)
    """What senders wrote into their events (`data.received`); the event itself stays."""
    attempts: Age = Field(default="30d", validate_default=True)
    """Attempts with headers and excerpts of answers; the delivery and its end stay."""
    entities: Age = Field(default="400d", validate_default=True)
    """The memory of a record's sequence and of what each target has of it, after its last event."""
    quarantine: Age = Field(default="30d", validate_default=True)
    """Bodies that were signed but unreadable."""
    plans: Age = Field(default="90d", validate_default=True)
    """Replay plans and erasures that are not under way."""
    snapshots: Age = Field(default="30d", validate_default=True)
    """What the change feed remembers of a portal or a feed that left the configuration, after its last look."""
    audit: Age = Field(default="2190d", validate_default=True)
    """The audit: who did what. Six years hold what has to be kept five years from the end of a financial year."""

    @model_validator(mode="after")
    def _order_outlives_events(self) -> Self:
        longest = max(self.delivered, self.failed)
        if self.entities < longest:
            raise ValueError(
                f"entities must be {duration(longest)} at least, as long as events are kept: "
                "without it a replay could send an older state after a newer one"
            )
        return self
