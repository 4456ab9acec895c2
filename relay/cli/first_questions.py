"""The questions of `relay init`: each says what it is about, has a default, and takes no answer that cannot work."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import typer

from relay.cli import out
from relay.cli.first_config import EVENTS, Answers, PortalAnswer, SourceAnswer, TargetAnswer
from relay.errors import ConfigError

KINDS = tuple(EVENTS)
NONE = "none"
LATER = "later"
SIMULATOR = "http://127.0.0.1:8710"
_NAMES = {"slack": "ops-slack", "teams": "ops-teams", "webhook": "hook"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """What was said by options; None is asked for."""

    simulator: str | None = None
    portal: str | None = None
    portal_id: str | None = None
    app_id: str | None = None
    token: str | None = None
    feeds: bool | None = None
    source: str | None = None
    target: str | None = None
    target_name: str | None = None
    url: str | None = None
    events: tuple[str, ...] = ()


class Asker:
    """Asks on stderr, again until an answer is good. `silent` takes the default for everything that was not given."""

    def __init__(self, *, silent: bool) -> None:
        self.silent = silent

    def value(
        self,
        option: str,
        given: str | None,
        *,
        why: str,
        ask: str,
        default: str | None,
        fault: Callable[[str], str | None] = lambda _text: None,
        hidden: bool = False,
    ) -> str:
        """One text. `fault` says what is wrong with it, or None. Without a default something has to be said."""
        if given is not None:
            if problem := fault(given):
                raise typer.BadParameter(problem, param_hint=option)
            return given
        if self.silent:
            if default is None:
                raise typer.BadParameter(f"is needed with --yes ({why})", param_hint=option)
            return default

        out.say(f"\n{why}")
        hidden = hidden and sys.stdin.isatty()
        while True:
            answer: str = typer.prompt(ask, default=default, hide_input=hidden, err=True).strip()
            if (problem := fault(answer)) is None:
                return answer
            out.say(f"  {problem}")

    def secret(self, option: str, given: str | None, **question: Any) -> str:
        """The same for a secret: not shown; from an option only by reference, or `-` from standard input."""
        if given is None:
            return self.value(option, None, hidden=True, **question)
        from relay.settings.values import is_reference

        if given != "-" and not is_reference(given):
            others = "others can see the command line: give env:NAME, file:PATH, or - for standard input"
            raise typer.BadParameter(others, param_hint=option)
        return self.value(option, sys.stdin.read().strip() if given == "-" else given, **question)

    def yes_no(self, question: str, *, given: bool | None = None, default: bool) -> bool:
        if given is not None or self.silent:
            return default if given is None else given
        return bool(typer.confirm(f"\n{question}", default=default, err=True))


def ask_all(asker: Asker, given: Given) -> Answers:
    """All answers. Raises BadParameter for an option that cannot work, and Abort where somebody had enough."""
    stand_in = _simulator(asker, given)
    portal = _simulated_portal(asker, given, stand_in) if stand_in else _portal(asker, given)
    return Answers(
        portal=portal,
        source=_source(asker, given, stand_in),
        target=_target(asker, given, stand_in),
    )


def _simulator(asker: Asker, given: Given) -> dict[str, Any] | None:
    """What the simulator says of itself, if that stands in for Planday."""
    from relay.cli.simulating import facts

    url = given.simulator
    if url is None and given.app_id is None and given.portal_id is None:
        answer = asker.value(
            "--simulator",
            None,
            why="Planday itself, or the simulator of this package, which needs no account?",
            ask="planday or simulator",
            default="planday",
            fault=_one_of("planday", "simulator"),
        )
        if answer == "planday":
            return None
        why = "Where does it run? `relay simulator` listens there unless told otherwise."
        url = asker.value("--simulator", None, why=why, ask="its address", default=SIMULATOR, fault=_simulator_fault)
    if url is None:
        return None
    if problem := _simulator_fault(url):
        raise typer.BadParameter(problem, param_hint="--simulator")
    return facts(url)


def _simulated_portal(asker: Asker, given: Given, stand_in: Mapping[str, Any]) -> PortalAnswer:
    first = stand_in["portals"][0]
    return PortalAnswer(
        name=_name(asker, "--portal", given.portal, of="portals", why=_PORTAL_NAME, default="bistro"),
        id=first["id"],
        app_id=stand_in["client_id"],
        token=first["refresh_token"],
        feeds=_feeds(asker, given),
        url=stand_in["url"],
    )


_PORTAL_NAME = "What shall the portal be called here? A short name for commands, messages and logs."


def _portal(asker: Asker, given: Given) -> PortalAnswer | None:
    app_id = asker.value(
        "--app-id",
        given.app_id,
        why="The App ID: in Planday under Settings > API access, once an administrator made an app (docs/planday.md).",
        ask="App ID",
        default=LATER if given.portal_id is None and given.token is None else None,
        fault=_word_fault,
    )
    if app_id == LATER:
        return None
    portal_id = asker.value(
        "--portal-id",
        given.portal_id,
        why="The portal's id: a number, shown in Planday's settings; `relay portals check` compares it.",
        ask="portal id",
        default=None,
        fault=lambda text: _fault({"portals": {"x": {"id": text, "client_id": "x"}}}),
    )
    name = _name(asker, "--portal", given.portal, of="portals", why=_PORTAL_NAME, default="main")
    token = asker.secret(
        "--token",
        given.token,
        why="The token that Planday showed when the app was authorised. Later: relay portals connect, or set-token.",
        ask="token",
        default=LATER,
        fault=_word_fault,
    )
    return PortalAnswer(
        name=name,
        id=int(portal_id),
        app_id=app_id,
        token=None if token == LATER else token,
        feeds=_feeds(asker, given),
    )


def _feeds(asker: Asker, given: Given) -> bool:
    question = "Look at Planday's own lists for changes, about every minute? Without it only senders tell of any."
    return asker.yes_no(question, given=given.feeds, default=True)


def _source(asker: Asker, given: Given, stand_in: Mapping[str, Any] | None) -> SourceAnswer | None:
    name = asker.value(
        "--source",
        given.source,
        why="A sender that posts events to this relay: /in/NAME. Its secret is made now. `relay trigger` uses it, too.",
        ask="its name, or none",
        default="planday",
        fault=lambda text: None if text == NONE else _fault({"sources": {text: {"verify": "none"}}}),
    )
    if name == NONE:
        return None
    from relay.signing import new_secret

    return SourceAnswer(name=name, secret=stand_in["source_secret"] if stand_in else new_secret())


def _target(asker: Asker, given: Given, stand_in: Mapping[str, Any] | None) -> TargetAnswer | None:
    kind = asker.value(
        "--target",
        given.target,
        why="Where shall events go first? slack, teams: messages in a channel. webhook: a signed POST to an address.",
        ask=f"{', '.join(KINDS)} or none",
        # A target needs an address, and only the simulator's is known without asking.
        default="slack" if stand_in or not asker.silent else NONE if given.url is None else None,
        fault=_one_of(*KINDS, NONE),
    )
    if kind == NONE:
        return None
    local = stand_in is not None and given.url is None and kind != "teams"
    made_up = "slack_url" if kind == "slack" else "payroll_url"
    url = str(stand_in[made_up]) if stand_in and local else _url(asker, given, kind)
    if url == LATER:
        return None
    why = "What shall this target be called here?"
    name = _name(asker, "--target-name", given.target_name, of="targets", why=why, default=_NAMES[kind])
    secret = None
    if kind == "webhook":
        from relay.signing import new_secret

        secret = stand_in["payroll_secret"] if stand_in and local else new_secret()
    return TargetAnswer(
        name=name, type=kind, url=url, secret=secret, local=local or _is_local(url), events=_events(asker, given, kind)
    )


def _url(asker: Asker, given: Given, kind: str) -> str:
    if kind == "webhook":
        why = "The address that takes the events, https://... (http:// only on this machine)."
        return asker.value(
            "--url", given.url, why=why, ask="address", default=LATER, fault=lambda text: _url_fault(text, kind)
        )
    why = {
        "slack": "The incoming webhook's address, https://hooks.slack.com/services/... It is a secret.",
        "teams": "The workflow's address, https://... (docs/targets.md has its recipe). It is a secret.",
    }[kind]
    return asker.secret(
        "--url", given.url, why=why, ask="address", default=LATER, fault=lambda text: _url_fault(text, kind)
    )


def _events(asker: Asker, given: Given, kind: str) -> tuple[str, ...]:
    usual = EVENTS[kind]

    def fault(text: str) -> str | None:
        from relay.cli.doubts import unknown_pattern

        for pattern in _patterns(text):
            if (meant := unknown_pattern(pattern)) is not None:
                hint = f"did you mean {meant}?" if meant else "`relay catalog` lists them"
                return f"{pattern} matches no type of event; {hint}"
        return _fault({"targets": {"x": {**_SOME_TARGET, "events": _patterns(text)}}})

    answer = asker.value(
        "--events",
        ", ".join(given.events) or None,
        why="Which types of events? Patterns with commas between; `relay catalog` lists the types.",
        ask="types",
        default=", ".join(usual),
        fault=fault,
    )
    return tuple(_patterns(answer))


_SOME_TARGET = {"type": "webhook", "url": "https://example.com/", "signing_secret": "env:X"}


def _patterns(text: str) -> list[str]:
    return [one for one in text.replace(",", " ").split() if one]


def _name(asker: Asker, option: str, given: str | None, *, of: str, why: str, default: str) -> str:
    some: Mapping[str, Any] = _SOME_TARGET | {"events": ["*"]} if of == "targets" else {"id": 1, "client_id": "x"}
    return asker.value(
        option, given, why=why, ask="name", default=default, fault=lambda text: _fault({of: {text: some}})
    )


def _one_of(*choices: str) -> Callable[[str], str | None]:
    return lambda text: None if text in choices else f"one of {', '.join(choices)}"


def _simulator_fault(url: str) -> str | None:
    if not _is_local(url):
        return "the simulator runs on this machine: an address such as " + SIMULATOR
    return _fault({"portals": {"x": {"id": 1, "client_id": "x", "api_url": url}}})


def _word_fault(text: str) -> str | None:
    return None if text and text.isprintable() and " " not in text else "that is one word, without blanks"


def _url_fault(text: str, kind: str) -> str | None:
    """What the settings and the address guard say of it; what a reference leads to is looked at when it is read."""
    from relay.settings.values import is_reference

    if text == LATER or is_reference(text):
        return None
    target: dict[str, Any] = {**_SOME_TARGET, "type": kind, "url": text, "events": ["*"]}
    if kind != "webhook":
        del target["signing_secret"]
    if _is_local(text):
        target |= {"allow_http": True, "allow_networks": ["127.0.0.0/8"]}
    return _fault({"targets": {"x": target}}, build=True)


def _is_local(url: str) -> bool:
    import urllib.parse

    try:
        return urllib.parse.urlsplit(url).hostname in ("127.0.0.1", "localhost")
    except ValueError:
        return False


def _fault(body: Mapping[str, Any], *, build: bool = False) -> str | None:
    """What is wrong with a part of a configuration, in the words of `relay check`; its secrets are not looked for."""
    from relay.cli.checking import static_faults
    from relay.settings import load_mapping

    try:
        loaded = load_mapping(body, environ={"X": _ANY_SECRET} if build else {}, role="all" if build else "store")
    except ConfigError as error:
        return error.faults[0].message
    faults = static_faults(loaded) if build else []
    return faults[0].message if faults else None


_ANY_SECRET = "whsec_" + "A" * 43 + "="
