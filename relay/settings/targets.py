"""What can be set for a target."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, field_validator

from relay import fields as field_classes
from relay.settings.base import Section, as_list, expression
from relay.settings.payroll import MapField, Names, PayrollAuth, PayrollBody, PayrollTls, header_name, output_names
from relay.settings.values import Address, Duration, Network, Secret, Text, within

_PATTERN = re.compile(r"[A-Za-z0-9_*-]+(\.[A-Za-z0-9_*-]+)*")
_FIRST_72_HOURS = ("5s", "30s", "2m", "10m", "1h", "4h", "12h", "24h", "24h", "24h")


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


class _Target(Section):
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
        for pattern in value:
            if not _PATTERN.fullmatch(pattern):
                raise ValueError(f'{pattern!r} is not a type pattern such as "planday.shift.*"')
        return value

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


class WebhookTarget(_Target):
    """Any HTTP endpoint; the body is the enriched envelope, signed by Standard Webhooks."""

    type: Literal["webhook"]
    """The kind of target."""
    url: Address
    """Where to send; a reference when the URL holds a credential."""
    signing_secret: Annotated[tuple[Secret, ...], BeforeValidator(as_list)] = Field(min_length=1)
    """One `whsec_` secret, or the new and the old one during rotation: all sign."""
    rate: Rate = Rate()
    """How fast and how wide, over all workers together; without limit unless set."""

    @staticmethod
    def default_fields() -> tuple[str, ...]:
        return ("class:A", "class:B")


class SlackTarget(_Target):
    """A Slack channel by incoming webhook."""

    type: Literal["slack"]
    """The kind of target."""
    url: Address
    """The webhook URL: it is the credential, so give a reference."""
    template: str | None = None
    """Name of the message template; by default the one of the event's type."""
    rate: Rate = Rate(per_second=1, burst=1, concurrency=1)
    """How fast and how wide, over all workers together: Slack takes about one message a second per channel."""

    @staticmethod
    def default_fields() -> tuple[str, ...]:
        names = [
            f"data.{where}.{name}" for where in ("object", "related.employee") for name in ("firstName", "lastName")
        ]
        return ("class:A", *names)


class PayrollHttpTarget(_Target):
    """A payroll system's HTTP interface: one line per record, mapped field by field, each sent once."""

    type: Literal["payroll-http"]
    """The kind of target."""
    url: Address
    """Where lines are sent; a reference when the URL holds a credential."""
    method: Literal["POST", "PUT"] = "POST"
    """The HTTP method."""
    fields: tuple[str, ...] = Field(min_length=1)
    """What the target may have; has to be said for payroll. `map` can use nothing else."""
    map: Annotated[dict[str, MapField], BeforeValidator(output_names)] = Field(min_length=1)
    """The fields of a line, by their names in the body, in this order; a dot nests."""
    amounts: Names = ()
    """The mapped fields that are amounts: what a correction or a reversal changes the sign or size of."""
    body: PayrollBody = PayrollBody()
    """What the body looks like: JSON or CSV."""
    auth: PayrollAuth = PayrollAuth()
    """The credential by which the payroll system knows us."""
    tls: PayrollTls = PayrollTls()
    """Certificates: ours, and the root of the far side's."""
    headers: dict[str, Text] = Field(default_factory=dict)
    """Further headers, such as a customer's number; a value that is secret by reference."""
    line_key: Names = Field(default=("portalid", "subject"), min_length=1)
    """The paths whose values, joined by ":", say which line it is; stable for the life of a line."""
    line_key_header: str | None = None
    """A header that carries the key of the line; it can be mapped as "line.key" too."""
    approved_only: bool = True
    """Send only what is approved in Planday; what loses its approval is taken back."""
    corrections: Literal["replace", "delta", "hold"] = "replace"
    """What a changed line becomes: the whole line again, the difference, or a matter for a person."""
    unknown_statuses: tuple[Annotated[int, Field(ge=500, le=599)], ...] = (500, 502, 504)
    """With dedupes = false: answers after which nobody knows whether the line was taken; such a line is parked."""
    ledger_days: int = Field(default=400, ge=90, le=3650)
    """How long it is remembered what was sent; counted anew with every sending of the line."""
    dedupes: bool = False
    """Whether it recognises a repeated idempotency key. False: never sent again after an unknown outcome."""
    rate: Rate = Rate(concurrency=4)
    """How fast and how wide, over all workers together."""

    @property
    def needs_record(self) -> bool:
        return True  # a line is made of nothing else

    @field_validator("line_key_header")
    @classmethod
    def _line_key_header(cls, value: str | None) -> str | None:
        return value if value is None else header_name(value)

    @field_validator("headers")
    @classmethod
    def _headers(cls, value: dict[str, Text]) -> dict[str, Text]:
        for name in value:
            header_name(name)
        return value

    @staticmethod
    def default_fields() -> tuple[str, ...]:
        return ()


Target = WebhookTarget | SlackTarget | PayrollHttpTarget
