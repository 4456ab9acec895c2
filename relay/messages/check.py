"""The strict look at all templates, at start: every fault with its file and line, all of them at once.

At run time templates are lenient, because a shift without a position must not cost a message. So what would only
show as an empty place there is found here: unknown names and filters, and anything that fails on a sample event.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache
from typing import Any, Literal

from minijinja import Environment, TemplateError

from relay import catalog
from relay.errors import Fault
from relay.messages.facts import NAMES, facts
from relay.messages.sections import Family, Section

_TAG = re.compile(r"\{[{%](.*?)[%}]\}", re.DOTALL)
_STRING = re.compile(r"'(?:\\.|[^'\\])*'|\"(?:\\.|[^\"\\])*\"")
_FILTER = re.compile(r"\|\s*([A-Za-z_]\w*)")

Undefined = Literal["strict", "chainable"]
MakeEnvironment = Callable[[Undefined], Environment]


def check(families: Mapping[str, Family], *, make: MakeEnvironment) -> list[Fault]:
    """`make` gives an environment for one `undefined_behavior`."""
    return [fault for name, family in families.items() for fault in _family(name, family, make)]


def _family(name: str, family: Family, make: MakeEnvironment) -> Iterator[Fault]:
    known = catalog.types_of(name)
    verbs = {type_.rpartition(".")[2] for type_ in known}
    for section in family.values():
        if known and section.verb and section.verb not in verbs:
            words = f"no {name} event is called {section.verb!r}; there are {', '.join(sorted(verbs))}"
            yield Fault(f"{section.file}:{section.line - 1}", words)
            continue
        types = [type_ for type_ in known or catalog.TYPES if section.verb in ("", type_.rpartition(".")[2])]
        yield from _section(section, types or catalog.TYPES, make)


def _section(section: Section, types: Iterable[str], make: MakeEnvironment) -> Iterator[Fault]:
    strict = make("strict")
    try:
        strict.add_template(section.name, section.source)
        unknown = strict.undeclared_variables_in_template(section.name) - NAMES - strict.globals.keys()
    except TemplateError as error:
        yield _fault(section, error)
        return
    except (ValueError, RuntimeError) as error:
        yield Fault(section.at(1), f"cannot be read: {type(error).__name__}")
        return
    for name in sorted(unknown):
        yield Fault(section.at(_line_of(section.source, name)), f"{name!r} is not known; names are {_listed()}")
    filters = [(line, name) for line, name in _filters(section.source) if not _is_filter(strict, name)]
    for line, name in filters:
        yield Fault(section.at(line), f"there is no filter {name!r}")
    if not unknown and not filters:
        yield from _rendered(section, types, make)


def _rendered(section: Section, types: Iterable[str], make: MakeEnvironment) -> Iterator[Fault]:
    """The first thing that fails, strictly on samples that have everything, leniently on usual ones."""
    behaviours: tuple[tuple[Undefined, bool], ...] = (("strict", True), ("chainable", False))
    for behaviour, every_field in behaviours:
        environment = make(behaviour)
        environment.add_template(section.name, section.source)
        for type_ in types:
            try:
                environment.render_template(section.name, **_facts(type_, every_field))
            except TemplateError as error:
                yield _fault(section, error, type_)
                return


@cache
def _facts(type_: str, every_field: bool) -> dict[str, Any]:
    return facts(catalog.sample(type_, every_field=every_field))


def _filters(source: str) -> Iterator[tuple[int, str]]:
    """Every filter with its line, in branches that no sample takes too; minijinja looks them up only when used."""
    for tag in _TAG.finditer(source):
        code = _STRING.sub(lambda found: "_" * len(found[0]), tag[1])
        for found in _FILTER.finditer(code):
            yield source.count("\n", 0, tag.start(1) + found.start(1)) + 1, found[1]


def _is_filter(environment: Environment, name: str) -> bool:
    try:
        environment.eval_expr(f"x|{name}", x="")
    except TemplateError as error:
        return error.kind != "UnknownFilter"
    return True


def _fault(section: Section, error: TemplateError, type_: str = "") -> Fault:
    what = error.detail or error.message.partition(" (in ")[0]
    return Fault(section.at(error.line), f"{what} (with {type_})" if type_ else what)


def _line_of(source: str, name: str) -> int:
    found = re.search(rf"\b{re.escape(name)}\b", source)
    return source.count("\n", 0, found.start()) + 1 if found else 1


def _listed() -> str:
    return ", ".join(sorted(NAMES))
