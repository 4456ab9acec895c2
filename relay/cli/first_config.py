"""The first configuration as text, and the secrets that it refers to. Pure."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

SECRETS = "secrets"
"""The folder beside the configuration that holds a file per secret."""

FEEDS = ("employees", "shifts", "punchclock", "absence", "reference")
_LOOPBACK = ("127.0.0.0/8", "::1/128")


@dataclass(frozen=True, slots=True, kw_only=True)
class PortalAnswer:
    """A portal; without a token it is connected later. `url`: not Planday's own addresses but the simulator's."""

    name: str
    id: int
    app_id: str
    token: str | None = None
    feeds: bool = True
    url: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceAnswer:
    """A sender and the secret that it signs with."""

    name: str
    secret: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetAnswer:
    """The first target. `local`: an address on this machine, which the address guard must let through."""

    name: str
    type: str
    url: str
    events: tuple[str, ...]
    secret: str | None = None
    local: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Answers:
    """All that was answered; what is None comes later. Secrets are references (`env:`, `file:`) or the values."""

    portal: PortalAnswer | None = None
    source: SourceAnswer | None = None
    target: TargetAnswer | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """A configuration file's text, and per file of the folder `secrets` what it holds."""

    text: str
    secrets: Mapping[str, str] = field(default_factory=dict)


def written(answers: Answers, *, is_reference: Callable[[str], bool]) -> Written:
    """What to write. A value that `is_reference` stays one; any other secret gets a file of its own."""
    secrets: dict[str, str] = {}

    def secret(name: str, value: str) -> str:
        if is_reference(value):
            return value
        secrets[name] = value
        return f"file:{SECRETS}/{name}"

    lines = [*_HEAD, *_portal(answers.portal, secret), *_source(answers.source, secret)]
    lines += _target(answers.target, secret)
    return Written(text="\n".join(lines) + "\n", secrets=secrets)


_Kept: TypeAlias = Callable[[str, str], str]
"""Keeps a secret under a name, and says what is written in its place."""

_HEAD = (
    "# Made by `relay init`. It has what is needed; every other setting, its default and its meaning is in",
    "# config/relay.example.toml. Secrets stand in files of their own that only you can read.",
)


def _portal(portal: PortalAnswer | None, secret: _Kept) -> Iterator[str]:
    yield ""
    if portal is None:
        yield "# Your Planday portal: nothing is read there until this is filled in. Planday shows the App ID under"
        yield "# Settings > API access. Then: relay portals connect main, or relay portals set-token main"
        yield from ("# [portals.main]", "# id = 4100001", '# client_id = "your App ID"', f"# feeds = {_value(FEEDS)}")
        return
    yield f"[portals.{portal.name}]"
    yield f"id = {portal.id}"
    yield f"client_id = {_value(portal.app_id)}"
    if portal.token is not None:
        yield f"# A new one needs no restart: relay portals set-token {portal.name}"
        yield f"refresh_token = {_value(secret(f'{portal.name}-token', portal.token))}"
    else:
        yield f"# Not authorised yet: relay portals connect {portal.name}, or relay portals set-token {portal.name}"
    if portal.url is not None:
        yield f"api_url = {_value(portal.url)}"
        yield f"identity_url = {_value(portal.url)}"
        yield f"allow_networks = {_value(_LOOPBACK)}"
    yield "# Planday's own lists are looked at for changes; nothing has to be sent. [] leaves it to senders."
    yield f"feeds = {_value(FEEDS if portal.feeds else ())}"


def _source(source: SourceAnswer | None, secret: _Kept) -> Iterator[str]:
    if source is None:
        return
    yield ""
    yield f"# Whoever posts events to /in/{source.name} signs with this secret: docs/sending.md."
    yield f"[sources.{source.name}]"
    yield f"secrets = {_value([secret(f'{source.name}-source', source.secret)])}"


def _target(target: TargetAnswer | None, secret: _Kept) -> Iterator[str]:
    yield ""
    if target is None:
        yield "# Where events go: nothing is sent until there is a target. docs/targets.md has all kinds of them."
        yield from ("# [targets.ops-slack]", '# type = "slack"', f'# url = "file:{SECRETS}/ops-slack-url"')
        yield f"# events = {_value(EVENTS['slack'])}"
        return
    yield f"[targets.{target.name}]"
    yield f"type = {_value(target.type)}"
    if target.type == "webhook":
        yield f"url = {_value(target.url)}"
        assert target.secret is not None
        yield "# The receiver of these events checks their signature with the same secret."
        yield f"signing_secret = {_value(secret(f'{target.name}-signing', target.secret))}"
    else:
        yield "# The address is the credential: whoever has it can write into the channel."
        yield f"url = {_value(secret(f'{target.name}-url', target.url))}"
    yield "# Which types: `relay catalog` lists them. relay.* is what the relay tells of itself."
    yield f"events = {_value(target.events)}"
    if target.local:
        yield "allow_http = true"
        yield f"allow_networks = {_value(_LOOPBACK)}"


_FOR_PEOPLE = ("planday.shift.*", "planday.absence_request.*", "planday.portal.*", "relay.*")
EVENTS: Mapping[str, tuple[str, ...]] = {
    "slack": _FOR_PEOPLE,
    "teams": _FOR_PEOPLE,
    "webhook": ("planday.*",),
}
"""What a first target of a kind takes unless something else is said."""


def _value(value: str | Sequence[str]) -> str:
    """A text or a list of texts as TOML writes it; JSON's escapes are TOML's, but for the one that JSON leaves out."""
    return json.dumps(value if isinstance(value, str) else list(value), ensure_ascii=False).replace("\x7f", "\\u007f")
