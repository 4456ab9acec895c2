"""All that can be set, section by section, with its default and its meaning."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, field_validator

from relay.settings.alerts import Alerts
from relay.settings.base import Section
from relay.settings.retention import Retention
from relay.settings.sources import Source
from relay.settings.targets import Target
from relay.settings.users import Access, User
from relay.settings.values import Duration, Name, Network, Secret, Size, Text, within

_KEY_PREFIX = re.compile(r"[A-Za-z0-9._-]{1,40}:")


class Relay(Section):
    """The service itself."""

    public_url: str | None = None
    """Where people reach this relay, for links in messages; no trailing slash."""
    bind: str = "127.0.0.1"
    """Address the receiver listens on. Anything but loopback needs a user or RELAY_ADMIN_TOKEN."""
    port: int = Field(default=8000, ge=0, le=65535)
    """Port the receiver listens on; the environment's PORT wins."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """What is logged: "info" has a line per attempt, "debug" one per call of Planday too."""
    key_prefix: str = "relay:"
    """Every Redis key of ours starts with this: 1 to 40 letters, digits, dots, hyphens, and a colon at the end."""
    backlog_limit: int = Field(default=200_000, ge=1)
    """Accepted events that still have work left; above it senders are answered 429."""
    body_limit: int = Field(default=262_144, ge=1024, le=16_777_216)
    """Largest inbound body in bytes."""
    quarantine_limit: int = Field(default=1000, ge=0)
    """How many signed but unreadable bodies are kept; the oldest is dropped for the next."""
    store_timeout: Annotated[Duration, within("10ms", "30s")] = Field(default="2s", validate_default=True)
    """How long the receiver waits for the store before it answers 503."""
    worker_metrics_port: int | None = Field(default=None, ge=1, le=65535)
    """Loopback port on which a worker shows its own counters for Prometheus; several workers need one each."""
    shutdown_grace: Annotated[Duration, within("1s", "90s")] = Field(default="25s", validate_default=True)
    """How long a stopping worker finishes what is on the wire; must be above every target's time-out."""
    language: Literal["en"] = "en"
    """Language of messages."""
    templates: str | None = None
    """Folder with message templates of your own; those not found there are ours."""

    @field_validator("public_url")
    @classmethod
    def _public_url(cls, value: str | None) -> str | None:
        if value is not None and (not value.startswith(("https://", "http://")) or value.endswith("/")):
            raise ValueError('must be a URL without a slash at its end, such as "https://relay.example"')
        return value

    @field_validator("key_prefix")
    @classmethod
    def _key_prefix(cls, value: str) -> str:
        if not _KEY_PREFIX.fullmatch(value):
            raise ValueError('must be 1 to 40 of A-Z, a-z, 0-9, ".", "_", "-" and then a colon, such as "relay:"')
        return value


class Store(Section):
    """Redis, or the embedded server when `url` is left out."""

    url: Secret | None = None
    """A reference to a Redis URL, as a rule "env:REDIS_URL"; unset means the embedded store."""
    memory_limit: Size | None = None
    """From which use of memory on Redis takes no new events, so that what is under way can still be written; without
    it nine tenths of Redis's own maxmemory, and where it has none, eight tenths of the machine's memory."""
    durability: Literal["everysec", "always"] = "everysec"
    """The least that is demanded of a Redis that is not ours: how often its log reaches the disk."""


class Portal(Section):
    """One Planday portal."""

    id: int = Field(ge=1)
    """The portal's id, as `data.id` of Planday's portal info."""
    client_id: Text
    """The App ID (not secret); a reference or the value."""
    refresh_token: Secret | None = None
    """The token that an administrator copied from Settings > API access; without it: relay portals connect."""
    api_url: str = "https://openapi.planday.com"
    """Planday's API; the simulator has its own."""
    identity_url: str = "https://id.planday.com"
    """Planday's identity server; the simulator has its own."""
    feeds: tuple[Literal["employees", "shifts", "punchclock", "absence", "payroll", "reference"], ...] = ()
    """What is polled (the change feed); nothing when empty, and then only senders tell what happens."""
    backfill: Annotated[Duration, within("0s", "62d")] = Field(default="0s", validate_default=True)
    """How far back a feed's very first look tells of what it finds; "0s": what is there already makes no events."""
    allow_networks: tuple[Network, ...] = ()
    """Networks that the address guard lets through for this portal's URLs (the simulator's loopback)."""

    @field_validator("api_url", "identity_url")
    @classmethod
    def _urls(cls, value: str) -> str:
        if not value.startswith(("https://", "http://")) or value.endswith("/") or "@" in value:
            raise ValueError('must be a URL without a slash at its end, such as "https://openapi.planday.com"')
        return value


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


class Settings(Section):
    """Everything that can be set."""

    environment: Environment = Field(default=Environment(), exclude=True)
    """Not a section of the file; see Environment."""

    relay: Relay = Relay()
    """The service itself."""
    store: Store = Store()
    """Redis, or the embedded server."""
    retention: Retention = Retention()
    """How long each kind of record is kept."""
    sources: dict[Name, Source] = Field(default_factory=dict)
    """Senders, by name: POST /in/NAME."""
    portals: dict[Name, Portal] = Field(default_factory=dict)
    """Planday portals, by name."""
    targets: dict[Name, Annotated[Target, Field(discriminator="type")]] = Field(default_factory=dict)
    """Where events go, by name."""
    alerts: Alerts = Alerts()
    """When the relay tells of its own troubles."""
    access: Access = Access()
    """Sign-in to the dashboard."""
    users: dict[Name, User] = Field(default_factory=dict)
    """Who may sign in, by name."""
