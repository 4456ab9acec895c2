"""Typed readers: of what Planday answers only allow-listed fields are kept, each with the type it should have.

A missing field and a null are the same; unknown fields are ignored; enums stay open. A kept field is always there, None
when Planday gave nothing. One of a type nobody expects becomes None and is reported by name, never by value.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from relay.fields import KINDS
from relay.planday.times import local_time, plausible_span

# Fields of ours, made from Planday's: field -> the field it is made of.
_TIMES: Mapping[str, Mapping[str, str]] = {
    "shift": {"start": "startDateTime", "end": "endDateTime"},
    "punchclock_entry": {
        "start": "startDateTime",
        "end": "endDateTime",
        "shiftStart": "shiftStartDateTime",
        "shiftEnd": "shiftEndDateTime",
    },
    "payroll_line": {"start": "startDateTime", "end": "endDateTime"},
}
# `reason` and `since`: of a portal's authorisation, said by us.
_OURS = frozenset(name for times in _TIMES.values() for name in times) | {"reason", "since"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One record of Planday's as we keep it, with the time it was read and the names of unreadable fields.

    `links` are ids that only lead to related records: never part of what is handed on.
    """

    fields: dict[str, Any]
    links: dict[str, Any] = field(default_factory=dict)
    odd: tuple[str, ...] = ()
    at: float = 0.0


class _Odd(Exception):
    """A value of a type that this field should not have."""


def read_record(
    kind: str, raw: Mapping[str, Any], *, keep: frozenset[str], links: frozenset[str] = frozenset()
) -> Record:
    """The allow-listed fields of one record, in the order of their table."""
    fields: dict[str, Any] = {}
    odd: list[str] = []
    for name in KINDS[kind]:
        if name in keep and name not in _OURS:
            try:
                fields[name] = _value(name, raw.get(name))
            except _Odd:
                fields[name] = None
                odd.append(name)
    return Record(fields=fields, links=_links(raw, links), odd=tuple(odd))


def with_times(kind: str, fields: Mapping[str, Any], *, zone: str | None) -> tuple[dict[str, Any], tuple[str, ...]]:
    """A copy with our own times, and the names of those that cannot be. `zone` serves where a record has none."""
    times = _TIMES.get(kind)
    if times is None:
        return dict(fields), ()
    zone = fields.get("timeZone") or zone
    made: dict[str, Any] = {name: local_time(fields.get(source), zone) for name, source in times.items()}
    if kind == "punchclock_entry":
        made["timeZone"] = zone
    odd = () if kind != "shift" or plausible_span(made["start"], made["end"]) else ("end",)
    return {**fields, **made}, odd


def _links(raw: Mapping[str, Any], wanted: frozenset[str]) -> dict[str, Any]:
    links: dict[str, Any] = {}
    for name in wanted:
        try:
            value = _value(name, raw.get(name))
        except _Odd:
            continue
        if name == "requestedAccounts" and value is not None:
            value = [account["id"] for account in value if account["id"] is not None]
        if value:
            links[name] = value
    return links


def _value(name: str, value: Any) -> Any:
    if value is None:
        return None
    read: Callable[[Any], Any] = _READERS.get(name, _text)
    return read(value)


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise _Odd
    return value


def _whole(value: Any) -> int:
    # A float would have lost the exact id beyond 2^53 already.
    if not isinstance(value, int) or isinstance(value, bool):
        raise _Odd
    return value


def _wholes(value: Any) -> list[int]:
    if not isinstance(value, list):
        raise _Odd
    return [_whole(item) for item in value]


def _yes_no(value: Any) -> bool:
    if not isinstance(value, bool):
        raise _Odd
    return value


def _number(value: Any) -> int | float:
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise _Odd
    return value


def _mapping(value: Any) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise _Odd
    return value


def _period(value: Any) -> dict[str, Any]:
    period = _mapping(value)
    return {side: _value(side, period.get(side)) for side in ("start", "end")}


def _accounts(value: Any) -> list[dict[str, Any]]:
    if not isinstance(value, list):
        raise _Odd
    accounts = [_mapping(item) for item in value]
    return [
        {name: _value(name, account.get(name)) for name in ("id", "name")} | {"cost": _costs(account.get("cost"))}
        for account in accounts
    ]


def _costs(value: Any) -> list[dict[str, Any]]:
    if value is None:
        return []
    if not isinstance(value, list):
        raise _Odd
    costs = [_mapping(item) for item in value]
    return [{"value": _optional(_number, cost.get("value")), "unit": _unit(cost.get("unit"))} for cost in costs]


def _unit(value: Any) -> dict[str, Any] | None:
    return None if value is None else {"type": _optional(_text, _mapping(value).get("type"))}


def _plain(value: Any) -> Any:
    """Pay as it stands: numbers stay as they were read, nothing is computed."""
    return value


def _parts(*names: str) -> Callable[[Any], list[dict[str, Any]]]:
    """A list of objects, of each only these fields: titles and notes are free text."""

    def read(value: Any) -> list[dict[str, Any]]:
        if not isinstance(value, list):
            raise _Odd
        return [{name: part.get(name) for name in names} for part in map(_mapping, value)]

    return read


def _registrations(value: Any) -> list[dict[str, Any]]:
    if not isinstance(value, list):
        raise _Odd
    return [
        {
            "date": _value("date", day.get("date")),
            "time": None if day.get("time") is None else _period(day.get("time")),
            "account": None if day.get("account") is None else _account(_mapping(day.get("account"))),
        }
        for day in map(_mapping, value)
    ]


def _account(value: Mapping[str, Any]) -> dict[str, Any]:
    return {"id": _value("id", value.get("id")), "costs": _costs(value.get("costs"))}


def _optional(read: Callable[[Any], Any], value: Any) -> Any:
    return None if value is None else read(value)


# Field -> its reader; what is not here is text.
_READERS: Mapping[str, Callable[[Any], Any]] = {
    **dict.fromkeys(
        (
            "id",
            "departmentId",
            "employeeGroupId",
            "positionId",
            "shiftTypeId",
            "employeeId",
            "punchClockShiftId",
            "deletedBy",
            "supervisorId",
            "supervisorEmployeeId",
            "primaryDepartmentId",
            "contractRulesRuleId",
            "countryId",
            "employeeTypeId",
            "shiftId",
            "typeId",
        ),
        _whole,
    ),
    **dict.fromkeys(("departments", "employeeGroups", "skillIds"), _wholes),
    "registrations": _registrations,
    "shiftDuration": _text,
    **dict.fromkeys(("salary", "units"), _number),
    # An hourly rate with its type in one list, a number in another.
    "wage": _plain,
    "supplements": _parts("id", "name", "duration", "salaryCode", "modification", "start", "end"),
    "breaks": _parts("id", "start", "end", "duration", "amount", "modification", "isPaid"),
    **dict.fromkeys(("isDeactivated", "isPublic", "isApproved", "isActive"), _yes_no),
    **dict.fromkeys(("workHours", "payPercentage", "payMonetary"), _number),
    "absencePeriod": _period,
    "requestedAccounts": _accounts,
}
