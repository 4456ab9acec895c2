"""Turns an event into the words of a message: a title, lines and small print, all from templates.

Templates give values only; whoever sends builds the structure around them in Python. Every value is escaped by the
target's own rule as it leaves an expression. What fails at run time falls back to the generic template, and that to
words made here: a message is never lost to a template.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any, TypeVar

from minijinja import Environment, TemplateError

from relay.errors import ConfigError, Fault
from relay.messages.check import Undefined, check
from relay.messages.digest import Digest, Entry, gathered
from relay.messages.facts import begins, facts, in_brief
from relay.messages.sections import Family, Section, read

GENERIC = "generic"
LARGEST_TEXT = 64 * 1024
FUEL = 50_000
BREAK = "---"

Escape = Callable[[str], str]
OnFault = Callable[[str], None]
Made = TypeVar("Made")


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """The words of one message, escaped. `body` is a list of blocks, each of one or more lines."""

    title: str
    body: tuple[str, ...]
    context: tuple[str, ...]


class Messages:
    """All templates, checked: our own, and an operator's in place of those of the same name."""

    def __init__(self, folder: str | Path | None = None, *, on_fault: OnFault = lambda name: None) -> None:
        """Raises ConfigError with every fault. `on_fault` hears the name of a template that fails on an event."""
        families: dict[str, Family] = {}
        faults: list[Fault] = []
        for family, file, text in [*_ours(), *_theirs(folder, faults)]:
            sections, wrong = read(text, family=family, file=file)
            families[family] = sections
            faults += wrong
        faults += check(families, make=lambda behaviour: _environment(str, behaviour))
        if faults:
            raise ConfigError(faults)
        self._families = families
        self._on_fault = on_fault
        self._environments: dict[Escape, Environment] = {}

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(sorted(self._families))

    def render(self, envelope: Mapping[str, Any], *, escape: Escape, template: str | None = None) -> Message:
        """The message about what the target may see of an event, by the template of that name or of its entity."""
        known = facts(envelope)
        message = self._by_template(known, template, lambda name: self._rendered(name, known, escape))
        return message or _without_template(known, escape)

    def digest(self, envelopes: Iterable[Mapping[str, Any]], *, escape: Escape, template: str | None = None) -> Digest:
        """One message about several events, as `render` would make them; each has a line of its own."""
        return gathered([self._entry(envelope, escape, template) for envelope in envelopes])

    def _entry(self, envelope: Mapping[str, Any], escape: Escape, template: str | None) -> Entry:
        known = in_brief(facts(envelope))
        found = self._by_template(known, template, lambda name: self._in_a_line(name, known, escape))
        title, line = found or (_without_template(known, escape).title, escape(known["who"]))
        return Entry(
            title=title,
            line=line or escape(known["who"]),
            verb=known["verb"],
            department=escape(known["department"]),
            begins=begins(envelope),
        )

    def _by_template(self, known: Mapping[str, Any], template: str | None, make: Callable[[str], Made]) -> Made | None:
        """What the template of that name, or of the entity, or the generic one makes; None if all of them fail."""
        chosen = template or known["entity"]
        for name in dict.fromkeys((chosen if chosen in self._families else GENERIC, GENERIC)):
            try:
                return make(name)
            except (TemplateError, _TooLong):
                self._on_fault(name)
        return None

    def _in_a_line(self, name: str, known: Mapping[str, Any], escape: Escape) -> tuple[str, str]:
        """Title and line; a file without `[line]` says its body's first block in one."""
        environment, family = self._environment(escape), self._families[name]
        title, line = (_render(environment, family, part=part, known=known) for part in ("title", "line"))
        if not line.strip():
            blocks = tuple(_blocks(_render(environment, family, part="body", known=known)))
            line = " · ".join(blocks[0].splitlines()) if blocks else ""
        return " ".join(title.split()) or _without_template(known, escape).title, " ".join(line.split())

    def _environment(self, escape: Escape) -> Environment:
        environment = self._environments.get(escape)
        if environment is None:
            environment = self._environments[escape] = _compiled(self._families, escape)
        return environment

    def _rendered(self, name: str, known: Mapping[str, Any], escape: Escape) -> Message:
        environment = self._environment(escape)
        title, body, context = (
            _render(environment, self._families[name], part=part, known=known) for part in ("title", "body", "context")
        )
        return Message(
            title=" ".join(title.split()) or _without_template(known, escape).title,
            body=tuple(_blocks(body)),
            context=tuple(_lines(context)),
        )


class _TooLong(Exception):
    """A template made more than LARGEST_TEXT."""


def _render(environment: Environment, family: Family, *, part: str, known: Mapping[str, Any]) -> str:
    section = family.get((part, known["verb"])) or family.get((part, ""))
    if section is None:
        return ""
    text = environment.render_template(section.name, **known)
    if len(text) > LARGEST_TEXT:
        raise _TooLong(section.name)
    return text


def _without_template(known: Mapping[str, Any], escape: Escape) -> Message:
    title = f"{known['what']} {known['happened']}".strip()
    return Message(title=escape(title), body=(escape(known["who"]),), context=())


def _lines(text: str) -> Iterator[str]:
    return (line for line in (line.strip() for line in text.splitlines()) if line)


def _blocks(text: str) -> Iterator[str]:
    """A line of three hyphens begins a new block; empty lines are left out, as most stand for what is not known."""
    block: list[str] = []
    for line in [*_lines(text), BREAK]:
        if line != BREAK:
            block.append(line)
        elif block:
            yield "\n".join(block)
            block = []


def _environment(escape: Escape, undefined_behavior: Undefined) -> Environment:
    def finish(value: Any) -> str:
        if isinstance(value, bool):
            return "yes" if value else "no"
        if isinstance(value, list | tuple):
            return ", ".join(map(finish, value))
        return "" if value is None else escape(str(value))

    return Environment(
        undefined_behavior=undefined_behavior,
        fuel=FUEL,
        finalizer=finish,
        auto_escape_callback=lambda name: False,
    )


def _compiled(families: Mapping[str, Family], escape: Escape) -> Environment:
    environment = _environment(escape, "chainable")
    sections: Iterator[Section] = (section for family in families.values() for section in family.values())
    for section in sections:
        environment.add_template(section.name, section.source)
    return environment


def _ours() -> Iterator[tuple[str, str, str]]:
    folder = resources.files("relay") / "templates" / "messages"
    for file in sorted(folder.iterdir(), key=lambda entry: entry.name):
        if file.name.endswith(".txt"):
            yield file.name.removesuffix(".txt"), f"relay/templates/messages/{file.name}", file.read_text("utf-8")


def _theirs(folder: str | Path | None, faults: list[Fault]) -> Iterator[tuple[str, str, str]]:
    if folder is None:
        return
    try:
        files = sorted(path for path in Path(folder).iterdir() if path.suffix == ".txt")
    except OSError as error:
        faults.append(Fault("relay.templates", f"the folder {folder} cannot be read: {type(error).__name__}"))
        return
    for path in files:
        try:
            yield path.stem, str(path), path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            faults.append(Fault(str(path), f"cannot be read: {type(error).__name__}"))
