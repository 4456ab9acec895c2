"""What can be set, section by section, with its default and its meaning."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import jmespath
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator, model_validator

from relay import fields as field_classes
from relay.settings.values import Address, Duration, Name, Network, Secret, Text

_PATTERN = re.compile(r"[a-z0-9_*]+(\.[a-z0-9_*]+)*")
_LONGEST_EXPRESSION = 1024
_FIRST_72_HOURS = ("5s", "30s", "2m", "10m", "1h", "4h", "12h", "24h", "24h", "24h")


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True, use_attribute_docstrings=True)


def expression_fault(expression: str) -> str | None:
    """What is wrong with a JMESPath expression, or None. Its length is capped: nesting costs stack."""
    if len(expression) > _LONGEST_EXPRESSION:
        return f"longer than {_LONGEST_EXPRESSION} characters"
    try:
        jmespath.compile(expression)
    except (jmespath.exceptions.JMESPathError, RecursionError) as error:
        return f"not a JMESPath expression: {str(error).splitlines()[0] if str(error) else type(error).__name__}"
    return None


def _expression(value: str | None) -> str | None:
    if value is not None and (fault := expression_fault(value)):
        raise ValueError(fault)
    return value


def _as_list(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


class Relay(_Section):
    """The service itself."""

    public_url: str | None = None
    """Where people reach this relay, for links in messages; no trailing slash."""
    bind: str = "127.0.0.1"
    """Address the receiver listens on. Anything but loopback needs RELAY_ADMIN_TOKEN."""
    port: int = Field(default=8000, ge=0, le=65535)
    """Port the receiver listens on; the environment's PORT wins."""
    key_prefix: str = Field(default="relay:", pattern=r"^[A-Za-z0-9._-]{1,40}:$")
    """Every Redis key of ours starts with this."""
    backlog_limit: int = Field(default=200_000, ge=1)
    """Accepted events that still have work left; above it senders are answered 429."""
    body_limit: int = Field(default=262_144, ge=1024, le=16_777_216)
    """Largest inbound body in bytes."""
    quarantine_limit: int = Field(default=1000, ge=0)
    """How many signed but unreadable bodies are kept; the oldest is dropped for the next."""
    store_timeout: Duration = Field(default=2.0, gt=0, le=30)
    """How long the receiver waits for the store before it answers 503."""
    shutdown_grace: Duration = Field(default=25.0, gt=0)
    """How long a stopping worker finishes what is on the wire; must be above every target's time-out."""
    language: Literal["en"] = "en"
    """Language of messages."""
    templates: str | None = None
    """Folder with message templates of your own; those not found there are ours."""


class Store(_Section):
    """Redis, or the embedded server when `url` is left out."""

    url: Secret | None = None
    """A reference to a Redis URL, as a rule "env:REDIS_URL"; unset means the embedded store."""
    durability: Literal["everysec", "always"] = "everysec"
    """The least that is demanded of a Redis that is not ours: how often its log reaches the disk."""


class Source(_Section):
    """One sender: POST /in/NAME."""

    verify: Literal["standard-webhooks", "hmac-sha256", "token", "basic", "none"] = "standard-webhooks"
    """How a request proves that it comes from this sender."""
    secrets: Annotated[tuple[Secret, ...], BeforeValidator(_as_list)] = ()
    """One secret, or several while they are exchanged."""
    header: str | None = None
    """hmac-sha256 and token: the header that holds the signature or the token."""
    encoding: Literal["hex", "base64"] = "hex"
    """hmac-sha256: how the signature is written."""
    prefix: str = ""
    """hmac-sha256 and token: what stands before the signature or token, such as "sha256="."""
    timestamp_header: str | None = None
    """hmac-sha256: the header that holds the signed time (Unix seconds, or milliseconds above 10^11)."""
    signed: str = "{body}"
    """hmac-sha256: what is signed; {timestamp} and {body} are put in."""
    key: str = "{secret}"
    """hmac-sha256: the key; {secret} and {timestamp} are put in (7shifts: "{timestamp}#{secret}")."""
    tolerance: Duration = Field(default=300.0, gt=0, le=86400)
    """How far a signed time may be from ours, both ways."""
    username: str = "relay"
    """basic: the user name; the secrets are the passwords."""
    map: dict[Literal["id", "type", "subject", "portalid", "time", "data"], str] = Field(default_factory=dict)
    """JMESPath expressions that make our envelope from another shape."""

    @field_validator("map")
    @classmethod
    def _map(cls, value: dict[str, str]) -> dict[str, str]:
        for name, expression in value.items():
            if fault := expression_fault(expression):
                raise ValueError(f"{name}: {fault}")
        return value

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if self.verify == "none":
            if self.secrets:
                raise ValueError('secrets are given but verify is "none": take one of the two out')
            return self
        if not self.secrets:
            raise ValueError('no secrets: give at least one, or write verify = "none" to accept anything from anyone')
        if self.verify in ("hmac-sha256", "token") and not self.header:
            raise ValueError(f'verify = "{self.verify}" needs `header`')
        if "{body}" not in self.signed:
            raise ValueError("signed: {body} must be part of what is signed")
        if "{secret}" not in self.key:
            raise ValueError("key: {secret} must be part of the key")
        if self.timestamp_header is None and ("{timestamp}" in self.signed or "{timestamp}" in self.key):
            raise ValueError("{timestamp} is used, so timestamp_header is needed")
        if self.timestamp_header is not None and "{timestamp}" not in self.signed + self.key:
            raise ValueError("timestamp_header is given but {timestamp} is not signed: an unsigned time proves nothing")
        return self


class Portal(_Section):
    """One Planday portal."""

    id: int = Field(ge=1)
    """The portal's id, as `data.id` of Planday's portal info."""
    client_id: Text
    """The App ID (not secret); a reference or the value."""
    refresh_token: Secret
    """The token that the portal's administrator copied from Settings > API access."""
    api_url: str = "https://openapi.planday.com"
    identity_url: str = "https://id.planday.com"
    feeds: tuple[Literal["employees", "shifts", "punchclock", "absence", "payroll", "reference"], ...] = ()
    """What is polled; nothing when empty."""
    allow_networks: tuple[Network, ...] = ()
    """Networks that the address guard lets through for this portal's URLs (the simulator's loopback)."""


class Retry(_Section):
    """When a failed delivery is tried again."""

    schedule: tuple[Duration, ...] = Field(default=_FIRST_72_HOURS, min_length=1, max_length=50, validate_default=True)
    """Waits between attempts; after the last one the delivery is dead. Jitter adds up to a tenth, never takes away."""
    timeout: Duration = Field(default=15.0, gt=0, le=120)
    """Limit of one whole call, from connecting to the answer's last byte."""


class Rate(_Section):
    """How fast and how wide a target is sent to, over all workers together."""

    per_second: float | None = Field(default=None, gt=0)
    """Calls started per second; none means no limit."""
    burst: int = Field(default=1, ge=1)
    """Calls that may start at once after a pause."""
    concurrency: int = Field(default=20, ge=1, le=1000)
    """Calls under way at once."""


class _Target(_Section):
    events: Annotated[tuple[str, ...], BeforeValidator(_as_list)] = Field(min_length=1)
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
    """Hold back events that could not be enriched wholly, instead of sending them as partial."""
    retry: Retry = Retry()
    allow_networks: tuple[Network, ...] = ()
    """Networks in CIDR form that the address guard lets through, e.g. an on-premises payroll server."""
    allow_http: bool = False
    """Allow http:// (and port 80)."""
    allow_ports: tuple[Annotated[int, Field(ge=1, le=65535)], ...] = (443,)
    dedupes: bool = True
    """Whether the target recognises a repeated idempotency key. False: never sent again after an unknown outcome."""

    @field_validator("events")
    @classmethod
    def _patterns(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for pattern in value:
            if not _PATTERN.fullmatch(pattern):
                raise ValueError(f'{pattern!r} is not a type pattern such as "planday.shift.*"')
        return value

    _when = field_validator("when")(_expression)

    @field_validator("fields")
    @classmethod
    def _fields(cls, value: tuple[str, ...] | None) -> tuple[str, ...] | None:
        for entry in value or ():
            if fault := field_classes.check_entry(entry):
                raise ValueError(f"{entry!r}: {fault}")
        return value

    def field_list(self) -> field_classes.FieldList:
        """What this target may have, defaults applied."""
        return field_classes.FieldList(self.fields if self.fields is not None else self.default_fields())

    @staticmethod
    def default_fields() -> tuple[str, ...]:
        raise AssertionError("each kind of target says its own")


class WebhookTarget(_Target):
    """Any HTTP endpoint; the body is the enriched envelope, signed by Standard Webhooks."""

    type: Literal["webhook"]
    url: Address
    signing_secret: Annotated[tuple[Secret, ...], BeforeValidator(_as_list)] = Field(min_length=1)
    """One `whsec_` secret, or the new and the old one during rotation: all sign."""
    rate: Rate = Rate()

    @staticmethod
    def default_fields() -> tuple[str, ...]:
        return ("class:A", "class:B")


class SlackTarget(_Target):
    """A Slack channel by incoming webhook."""

    type: Literal["slack"]
    url: Address
    """The webhook URL: it is the credential, so give a reference."""
    template: str | None = None
    """Name of the message template; by default the one of the event's type."""
    rate: Rate = Rate(per_second=1, burst=1, concurrency=1)

    @staticmethod
    def default_fields() -> tuple[str, ...]:
        names = [
            f"data.{where}.{name}" for where in ("object", "related.employee") for name in ("firstName", "lastName")
        ]
        return ("class:A", *names)


Target = WebhookTarget | SlackTarget


@dataclass(frozen=True, slots=True, kw_only=True)
class Environment:
    """What comes from the environment alone, because it is secret or belongs to the machine."""

    data_dir: Path = Path(".relay")
    """Where the embedded store and the encryption key live (RELAY_DATA_DIR)."""
    admin_token: Secret | None = None
    """Bearer token of the API (RELAY_ADMIN_TOKEN)."""
    encryption_keys: Secret | None = None
    """Comma-separated keys for what is stored encrypted; the first one encrypts (RELAY_ENCRYPTION_KEYS)."""
    log_format: Literal["json", "text"] = "text"
    """How log lines are written (RELAY_LOG_FORMAT); text when a person is likely to read along."""
    config_path: Path | None = None
    """The file the settings were read from."""


class Settings(_Section):
    """Everything that can be set."""

    environment: Environment = Field(default=Environment(), exclude=True)
    """Not a section of the file; see Environment."""

    relay: Relay = Relay()
    store: Store = Store()
    sources: dict[Name, Source] = Field(default_factory=dict)
    portals: dict[Name, Portal] = Field(default_factory=dict)
    targets: dict[Name, Annotated[Target, Field(discriminator="type")]] = Field(default_factory=dict)
