"""What can be set for the targets that people read: Slack by webhook or as an app, Teams, mail."""

from __future__ import annotations

import re
from functools import cache
from typing import Annotated, Literal
from zoneinfo import ZoneInfo

from pydantic import BeforeValidator, Field, ValidationInfo, field_validator

from relay.settings.base import Section, as_list
from relay.settings.quiet import Span, read, until, whole_week
from relay.settings.target import BaseTarget, Rate, patterns
from relay.settings.values import Address, Duration, Secret, Text, within

_MAIL = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@[A-Za-z0-9](?:[A-Za-z0-9.-]{0,251}[A-Za-z0-9])?")
_HOST = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9.-]{0,251}[A-Za-z0-9])?")
_CHANNEL = re.compile(r"[A-Za-z0-9#@_.-]{1,80}")


class Digest(Section):
    """What is gathered into one message, and for how long."""

    gather: Annotated[Duration, within("0s", "1d")] = Field(default="0s", validate_default=True)
    """An event waits until the end of its window of this length, and what the window brought goes out together. 0s:
    nothing waits; what piles up behind the rate goes out together all the same."""
    most: int = Field(default=100, ge=1, le=100)
    """So many events in one message at most; 1: each has its own."""


class TeamsDigest(Digest):
    """A card has room for fewer lines."""

    most: int = Field(default=50, ge=1, le=100)
    """So many events in one message at most; 1: each has its own."""


class EmailDigest(Digest):
    """Mail is no place for every event by itself."""

    gather: Annotated[Duration, within("0s", "1d")] = Field(default="15m", validate_default=True)
    """An event waits until the end of its window of this length, and what the window brought goes out together."""
    most: int = Field(default=200, ge=1, le=200)
    """So many events in one mail at most; 1: each has its own."""


class ChatTarget(BaseTarget):
    """What the targets that people read have in common."""

    template: str | None = None
    """Name of the message template; by default the one of the event's type."""
    digest: Digest = Digest()
    """How what happens together becomes one message."""
    quiet: Annotated[tuple[str, ...], BeforeValidator(as_list)] = Field(default=(), max_length=20)
    """Spans in which nothing is sent, such as "22:00-06:00" or "Sat-Sun 00:00-24:00"; what they hold back goes out
    together at their end."""
    zone: str | None = Field(default=None, validate_default=True)
    """The time zone of the quiet hours, such as "Europe/Copenhagen"."""
    urgent: Annotated[tuple[str, ...], BeforeValidator(as_list)] = ("planday.portal.*", "relay.*")
    """Type patterns of what waits neither for a window nor for the end of quiet hours."""

    @field_validator("quiet")
    @classmethod
    def _quiet(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if whole_week(_spans(value)):
            raise ValueError("leaves no minute of the week in which anything could be sent")
        return value

    @field_validator("zone")
    @classmethod
    def _zone(cls, value: str | None, info: ValidationInfo) -> str | None:
        if value is None:
            if info.data.get("quiet"):
                raise ValueError('is needed with `quiet`: the time zone of those hours, such as "Europe/Copenhagen"')
            return None
        try:
            ZoneInfo(value)
        except (ValueError, OSError, LookupError):
            raise ValueError('is no time zone, such as "Europe/Copenhagen"') from None
        return value

    @field_validator("urgent")
    @classmethod
    def _urgent(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return patterns(value)

    def quiet_until(self, now: float) -> float:
        """The end of the quiet hours that `now` (Unix seconds) lies in, or `now`."""
        return until(_spans(self.quiet), ZoneInfo(self.zone), now) if self.zone and self.quiet else now

    @staticmethod
    def default_fields() -> tuple[str, ...]:
        names = [
            f"data.{where}.{name}" for where in ("object", "related.employee") for name in ("firstName", "lastName")
        ]
        return ("class:A", *names)


class SlackTarget(ChatTarget):
    """A Slack channel by incoming webhook."""

    type: Literal["slack"]
    """The kind of target."""
    url: Address
    """The webhook URL: it is the credential, so give a reference."""
    rate: Rate = Rate(per_second=1, burst=1, concurrency=1)
    """How fast and how wide, over all workers together: Slack takes about one message a second per channel."""


class SlackAppTarget(ChatTarget):
    """A Slack channel by an app of your own: threads, and messages that are brought up to date."""

    type: Literal["slack-app"]
    """The kind of target."""
    url: Address = Field(default="https://slack.com/api", validate_default=True)
    """Where Slack's methods are; another one only for GovSlack."""
    token: Secret
    """The bot's token (`xoxb-...`), with the scope `chat:write`."""
    channel: Text
    """The channel's id (`C0123456789`); the bot must be in it."""
    repeat: Literal["thread", "update", "message"] = "thread"
    """What further news of one record becomes: an answer in the thread of its first message, that message brought up to
    date (nobody is notified), or a message of its own."""
    remember: Annotated[Duration, within("1h", "90d")] = Field(default="14d", validate_default=True)
    """How long a record's first message is known; later news starts a new one."""
    rate: Rate = Rate(per_second=1, burst=1, concurrency=1)
    """How fast and how wide, over all workers together: Slack takes about one message a second per channel."""


class TeamsTarget(ChatTarget):
    """A Microsoft Teams channel by a workflow ("When a Teams webhook request is received")."""

    type: Literal["teams"]
    """The kind of target."""
    url: Address
    """The workflow's URL: it is the credential, so give a reference."""
    digest: TeamsDigest = TeamsDigest()
    """How what happens together becomes one message."""
    rate: Rate = Rate(per_second=2, burst=1, concurrency=1)
    """How fast and how wide, over all workers together."""


class EmailTarget(ChatTarget):
    """Mail to people: a digest of what happened."""

    type: Literal["email"]
    """The kind of target."""
    server: str
    """The mail server's name."""
    port: int = Field(default=587, ge=1, le=65535)
    """Its port: 587 as a rule, 465 with tls = "tls"."""
    tls: Literal["starttls", "tls", "none"] = "starttls"
    """How the connection is encrypted: begun in the open and then encrypted, from the start, or not at all."""
    ca: Text | None = None
    """A private root for the server's certificate, in PEM; as a rule "file:mail-ca.pem"."""
    username: Text | None = None
    """Who we are to the mail server; needs `password`."""
    password: Secret | None = Field(default=None, validate_default=True)
    """The password of `username`."""
    sender: str
    """The address that mails come from."""
    recipients: Annotated[tuple[str, ...], BeforeValidator(as_list)] = Field(min_length=1, max_length=50)
    """Whom they go to."""
    digest: EmailDigest = EmailDigest()
    """How what happens together becomes one mail."""
    allow_ports: tuple[Annotated[int, Field(ge=1, le=65535)], ...] = (465, 587)
    """Ports that may be sent to; `port`, with `allow_networks`, too."""
    rate: Rate = Rate(per_second=1, burst=1, concurrency=1)
    """How fast and how wide, over all workers together."""

    @field_validator("server")
    @classmethod
    def _server(cls, value: str) -> str:
        if not _HOST.fullmatch(value):
            raise ValueError('is no host name, such as "smtp.example.com"')
        return value

    @field_validator("sender")
    @classmethod
    def _sender(cls, value: str) -> str:
        return _mail(value)

    @field_validator("recipients")
    @classmethod
    def _recipients(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(map(_mail, value))

    @field_validator("password")
    @classmethod
    def _password(cls, value: Secret | None, info: ValidationInfo) -> Secret | None:
        if (value is None) != (info.data.get("username") is None):
            raise ValueError("goes with `username`: give both, or neither")
        if value is not None and info.data.get("tls") == "none":
            raise ValueError('would go out in the open with tls = "none"')
        return value

    @field_validator("allow_http")
    @classmethod
    def _allow_http(cls, value: bool) -> bool:
        if value:
            raise ValueError('has no meaning for mail; tls = "none" sends in the open')
        return value

    @property
    def url(self) -> Text:
        """The server as an address that may be shown."""
        scheme = "smtps" if self.tls == "tls" else "smtp"
        return Text("(made of server and port)", value=f"{scheme}://{self.server}:{self.port}")


@cache
def _spans(texts: tuple[str, ...]) -> tuple[Span, ...]:
    return tuple(map(read, texts))


def _mail(value: str) -> str:
    if not _MAIL.fullmatch(value):
        raise ValueError('is no plain mail address, such as "ops@example.com"')
    return value
