"""What can be set for every target, whatever its kind."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, field_validator

from relay import fields as field_classes
from relay.settings.base import Section, as_list, expression
from relay.settings.values import Duration, Network, within

_PATTERN = re.compile(r"[A-Za-z0-9_*-]+(\.[A-Za-z0-9_*-]+)*")
_FIRST_72_HOURS = ("5s", "30s", "2m", "10m", "1h", "4h", "12h", "24h", "24h", "24h")


def patterns(value: tuple[str, ...]) -> tuple[str, ...]:
    """Type patterns, each of which can match something."""
    for pattern in value:
        if not _PATTERN.fullmatch(pattern):
            raise ValueError(f'{pattern!r} is not a type pattern such as "planday.shift.*"')
    return value


class Retry(Section):
    """When a failed delivery is tried again."""

    schedule: tuple[Duration, ...] = Field(default=_FIRST_72_HOURS, min_length=1, max_length=50, validate_default=True)
    """Waits between attempts; after the last one the delivery is dead. Jitter adds up to a tenth, never takes away."""
    timeout: Annotated[Duration, within("10ms", "60s")] = Field(default="15s", validate_default=True)
    """Limit of one whole call, from connecting to the answer's last byte."""


class Rate(Section):
    """How fast and how wide a target is sent to, over all workers together."""

    per_second: float | None = Field(default=None, gt=0)
    """Calls started per second; none means no limit."""
    burst: int = Field(default=1, ge=1)
    """Calls that may start at once after a pause."""
    concurrency: int = Field(default=20, ge=1, le=1000)
    """Calls under way at once."""


class Breaker(Section):
    """When a target that keeps failing is left alone: nothing is sent but one probe at a time until one succeeds."""

    failures: int = Field(default=5, ge=1, le=1000)
    """So many failed calls in a row open it. A refusal of one event (4xx) is no failure of the target."""
    share: float = Field(default=0.5, gt=0, le=1)
    """Or this part of the calls within `span`, ..."""
    sample: int = Field(default=20, ge=2, le=10_000)
    """... if there were at least so many."""
    span: Annotated[Duration, within("1s", "1h")] = Field(default="1m", validate_default=True)
    """The span of time that the sample is taken of."""
    wait: Annotated[Duration, within("100ms", "1h")] = Field(default="15s", validate_default=True)
    """How long an open breaker waits before its first probe; every failed probe doubles it ..."""
    longest: Annotated[Duration, within("100ms", "1h")] = Field(default="5m", validate_default=True)
    """... up to this."""


class BaseTarget(Section):
    """What every kind of target has; `default_fields` is its own."""

    events: Annotated[tuple[str, ...], BeforeValidator(as_list)] = Field(min_length=1)
    """Type patterns; `*` stands for any text, dots included ("planday.shift.*")."""
    departments: tuple[int, ...] = ()
    """Only events of these departments; empty means all."""
    employee_groups: tuple[int, ...] = ()
    """Only events of these employee groups; empty means all."""
    changed: tuple[str, ...] = ()
    """Only events in which one of these fields changed; empty means all."""
    origins: tuple[Literal["native", "derived", "replay", "test"], ...] = ()
    """Only events of these origins; empty means all."""
    when: str | None = None
    """A JMESPath condition on the enriched envelope."""
    fields: tuple[str, ...] | None = None
    """What the target may have; see docs/targets.md."""
    require_complete: bool = False
    """Never send an event that could not be enriched wholly: it waits while Planday is away, and is a dead letter when
    its record is gone or out of the app's scope."""
    retry: Retry = Retry()
    """When a failed delivery is tried again, and how long one attempt may take."""
    breaker: Breaker = Breaker()
    """When the target is left alone because it keeps failing."""
    every_version: bool = False
    """Send every `updated` (and `payroll_line.corrected`), also those that a newer one overtook while they waited."""
    allow_networks: tuple[Network, ...] = ()
    """Networks in CIDR form that the address guard lets through, e.g. an on-premises payroll server."""
    allow_http: bool = False
    """Allow http:// (and port 80)."""
    allow_ports: tuple[Annotated[int, Field(ge=1, le=65535)], ...] = (443,)
    """Ports that may be sent to; 80 with `allow_http`, and one that the URL names with `allow_networks`, too."""
    dedupes: bool = True
    """Whether the target recognises a repeated idempotency key. False: never sent again after an unknown outcome."""

    @field_validator("events")
    @classmethod
    def _patterns(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return patterns(value)

    _when = field_validator("when")(expression)

    @field_validator("fields")
    @classmethod
    def _fields(cls, value: tuple[str, ...] | None) -> tuple[str, ...] | None:
        for entry in value or ():
            if fault := field_classes.check_entry(entry):
                raise ValueError(f"{entry!r}: {fault}")
        return value

    @property
    def needs_record(self) -> bool:
        """Whether it can only be served with what Planday says: then an event waits for as long as Planday is away."""
        return self.require_complete

    def field_list(self) -> field_classes.FieldList:
        """What this target may have, defaults applied."""
        return field_classes.FieldList(self.fields if self.fields is not None else self.default_fields())

    @staticmethod
    def default_fields() -> tuple[str, ...]:
        raise AssertionError("each kind of target says its own")
