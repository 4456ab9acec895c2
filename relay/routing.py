"""Which targets an event is for, and in one plain sentence each why the others are not meant."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import Any

import jmespath
from jmespath.exceptions import JMESPathTypeError
from jmespath.parser import ParsedResult

from relay.settings import Target

_SHOWN = 5  # names in one sentence
# Types that start so are the relay's own words about itself.
OURS = "relay."
_TYPES_REMEMBERED = 1024  # a type is the sender's word, so what is kept per type has a bound

# Who has no department of its own has that of its person.
_BY_THEIR_PERSON = frozenset({"absence_request", "absence_record"})


@dataclass(frozen=True, slots=True)
class Routing:
    """The targets that an event is for, in the order of the configuration, and why each other one is not."""

    matched: tuple[str, ...] = ()
    refused: Mapping[str, str] = field(default_factory=dict)


class Router:
    """The targets' conditions, compiled once. All conditions of a target must hold; those it does not set always do."""

    def __init__(self, targets: Mapping[str, Target]) -> None:
        self._rules = {name: _Rule(target) for name, target in targets.items()}
        self._by_type = lru_cache(maxsize=_TYPES_REMEMBERED)(self._by_type_uncached)

    def route(self, envelope: Mapping[str, Any]) -> Routing:
        """Route one enriched envelope."""
        candidates, refused_by_type = self._by_type(str(envelope.get("type", "")))
        refused = dict(refused_by_type)
        matched = []
        facts = _Facts(envelope)
        about = _about(envelope)
        for name, rule in candidates:
            if name == about:
                refused[name] = f"it is about target {name} itself, which cannot tell of its own trouble"
            elif reason := rule.refusal(facts):
                refused[name] = reason
            else:
                matched.append(name)
        return Routing(tuple(matched), refused)

    def needs_record(self, type_: str) -> bool:
        """Whether some target that takes this type can only be served, or chosen, with what Planday says of it."""
        candidates, _ = self._by_type(type_)
        return any(rule.needs_record for _, rule in candidates)

    def _by_type_uncached(self, type_: str) -> tuple[list[tuple[str, _Rule]], dict[str, str]]:
        candidates, refused = [], {}
        for name, rule in self._rules.items():
            if any(_takes(pattern, type_) for pattern in rule.patterns):
                candidates.append((name, rule))
            else:
                refused[name] = f"type {type_} matches none of {_listed(rule.patterns)}"
        return candidates, refused


def _takes(pattern: str, type_: str) -> bool:
    """Whether a target's pattern takes a type. What the relay tells of itself goes only to those who ask for it."""
    return matches(pattern, type_) and (not _is_ours(type_) or pattern.startswith(OURS))


def _is_ours(type_: str) -> bool:
    """Whether the relay tells of itself; a test that a sender made is like any other event."""
    return type_.startswith(OURS) and type_ != "relay.test"


def _about(envelope: Mapping[str, Any]) -> str | None:
    """The target that the relay tells of, if it does."""
    if not _is_ours(str(envelope.get("type", ""))):
        return None
    name = _mapping(_mapping(envelope.get("data")).get("object")).get("target")
    return name if isinstance(name, str) else None


def matches(pattern: str, type_: str) -> bool:
    """Whether a type fits a pattern, in which `*` stands for any text, dots included.

    Not by regular expression: a pattern with many stars would make one run for ever.
    """
    first, *rest = pattern.split("*")
    if not rest:
        return pattern == type_
    *middle, last = rest
    if len(type_) < len(first) + len(last) or not type_.startswith(first) or not type_.endswith(last):
        return False
    at, end = len(first), len(type_) - len(last)
    for part in middle:
        at = type_.find(part, at, end)
        if at < 0:
            return False
        at += len(part)
    return True


def departments_of(envelope: Mapping[str, Any]) -> frozenset[int]:
    """The departments that an event concerns.

    The record's own department comes first (`data.object.departmentId`; for a department's own events its id), and
    with it the one it had before, when that changed: a shift that moves concerns both. An employee is of several
    departments (`departments` and `primaryDepartmentId`), and an absence request of those of its employee. Other
    records do not borrow their employee's departments: a shift without a known department is of none. Where the
    record is gone or was never read, the envelope's `departmentid` stands in; `data.received` never does.
    """
    return _Facts(envelope).departments


def employee_groups_of(envelope: Mapping[str, Any]) -> frozenset[int]:
    """The employee groups that an event concerns.

    As with departments: the record's own group and the one before it; an employee's groups; for an absence request
    those of its employee. A punch clock entry has no group of its own: it is of the group of its shift
    (`data.related.shift`), else of all groups of its employee.
    """
    return _Facts(envelope).employee_groups


class _Facts:
    """What the rules look at in one envelope, each worked out at most once."""

    def __init__(self, envelope: Mapping[str, Any]) -> None:
        self.envelope = envelope
        self.origin = str(envelope.get("relayorigin", "native"))
        self.data = _mapping(envelope.get("data"))
        self.kind, _, self._id = str(envelope.get("subject", "")).partition("/")
        self.ours = _is_ours(str(envelope.get("type", "")))

    @cached_property
    def changed(self) -> frozenset[str]:
        return frozenset(self.data.get("changed") or ())

    @cached_property
    def departments(self) -> frozenset[int]:
        if own := self._own("departmentId", "department"):
            return own
        person = self._person()
        if theirs := _ids(person.get("departments")) | _ids(person.get("primaryDepartmentId")):
            return theirs
        return _ids(self.envelope.get("departmentid"))

    @cached_property
    def employee_groups(self) -> frozenset[int]:
        if own := self._own("employeeGroupId", "employee_group"):
            return own
        if self.kind == "punchclock_entry":
            if shift := _ids(self._related("shift").get("employeeGroupId")):
                return shift
            return _ids(self._related("employee").get("employeeGroups"))
        return _ids(self._person().get("employeeGroups"))

    def _own(self, field_name: str, kind: str) -> frozenset[int]:
        if self.kind == kind:
            return _ids(self._id)
        before = _mapping(_mapping(self.data.get("changes")).get("before"))
        return _ids(_mapping(self.data.get("object")).get(field_name)) | _ids(before.get(field_name))

    def _person(self) -> Mapping[str, Any]:
        if self.kind == "employee":
            return _mapping(self.data.get("object"))
        return self._related("employee") if self.kind in _BY_THEIR_PERSON else {}

    def _related(self, kind: str) -> Mapping[str, Any]:
        return _mapping(_mapping(self.data.get("related")).get(kind))


class _Rule:
    """One target's conditions, the cheap ones first. The type is the router's business."""

    def __init__(self, target: Target) -> None:
        self.patterns = target.events
        self._origins = frozenset(target.origins)
        self._departments = frozenset(target.departments)
        self._groups = frozenset(target.employee_groups)
        self._changed = frozenset(target.changed)
        self._changed_names = target.changed
        self._when = jmespath.compile(target.when) if target.when is not None else None
        self.needs_record = target.needs_record or bool(
            self._departments or self._groups or self._changed or self._when
        )

    def refusal(self, facts: _Facts) -> str | None:
        if self._origins and facts.origin not in self._origins:
            return f"origin {facts.origin} is none of {_listed(sorted(self._origins))}"
        if not facts.ours and (reason := self._record_refusal(facts)):
            return reason
        return _condition(self._when, facts.envelope) if self._when is not None else None

    def _record_refusal(self, facts: _Facts) -> str | None:
        """By what Planday's record says; what the relay tells of itself has none."""
        if self._departments and not self._departments & facts.departments:
            return _none_of("department", facts.departments, self._departments)
        if self._groups and not self._groups & facts.employee_groups:
            return _none_of("employee group", facts.employee_groups, self._groups)
        if self._changed and not self._changed & facts.changed:
            return f"nothing of {_listed(self._changed_names)} changed"
        return None


def _condition(when: ParsedResult, envelope: Mapping[str, Any]) -> str | None:
    try:
        value = when.search(envelope)
    except JMESPathTypeError as error:
        # Its own text repeats the value, which may be somebody's name.
        expected = " or ".join(str(one) for one in error.expected_types)
        return f"`when` failed: {error.function_name}() was given {error.actual_type}, but takes {expected}"
    except Exception as error:  # an operator's expression stops no event, whatever it does
        return f"`when` failed: {type(error).__name__}"
    # JMESPath's own idea of false: 0 is true, what is empty or absent is not.
    false = value is None or value is False or (isinstance(value, str | list | dict) and not value)
    return "`when` was false" if false else None


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _ids(value: Any) -> frozenset[int]:
    """Planday's ids out of a number, a text of digits, or a list of those; anything else is no id."""
    if isinstance(value, bool) or value is None:
        return frozenset()
    if isinstance(value, int):
        return frozenset((value,))
    if isinstance(value, str):
        return frozenset((int(value),)) if value.isascii() and value.isdigit() and len(value) < 19 else frozenset()
    if isinstance(value, list | tuple):
        return frozenset(one for item in value for one in (() if isinstance(item, list | tuple) else _ids(item)))
    return frozenset()


def _none_of(what: str, found: frozenset[int], wanted: frozenset[int]) -> str:
    if not found:
        return f"no {what} is known for this event"
    names = _listed([str(one) for one in sorted(found)])
    return f"{what} {names} is none of {_listed([str(one) for one in sorted(wanted)])}"


def _listed(names: Iterable[str]) -> str:
    names = list(names)
    more = len(names) - _SHOWN
    return ", ".join(names[:_SHOWN]) + (f" and {more} more" if more > 0 else "")
