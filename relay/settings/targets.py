"""What can be set for a target: a signed HTTP endpoint, a payroll system; chat.py has those that people read."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, field_validator

from relay.settings.base import as_list
from relay.settings.chat import EmailTarget, SlackAppTarget, SlackTarget, TeamsTarget
from relay.settings.payroll import MapField, Names, PayrollAuth, PayrollBody, PayrollTls, header_name, output_names
from relay.settings.target import BaseTarget, Rate
from relay.settings.values import Address, Secret, Text


class WebhookTarget(BaseTarget):
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


class PayrollHttpTarget(BaseTarget):
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


Target = WebhookTarget | SlackTarget | SlackAppTarget | TeamsTarget | EmailTarget | PayrollHttpTarget
