"""The field map of a payroll target: checked whole when it is built, then a line's content from each event."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any

from relay.catalog import CATALOG
from relay.errors import ConfigError, Fault, Unrenderable
from relay.fields import KINDS, FieldList, check_entry, is_never
from relay.routing import matches
from relay.settings import MapField, PayrollHttpTarget
from relay.targets.payroll import converters
from relay.targets.payroll.converters import Source
from relay.targets.payroll.lines import Row
from relay.targets.payroll.values import Refusal, Value

Written = str | int | Decimal | bool | None

# Attributes of the envelope that stay the same for the life of a record ...
_STEADY = ("portalid", "departmentid", "employeeid", "subject", "source")
# ... and those that are of the event alone: they are told, but do not make a line another one.
_OF_EVENT = ("id", "type", "time", "sequence", "relayorigin", "correlationid")
# Times that enrichment makes; what is gone has Planday's own.
_MADE_OF = {
    **{"start": "startDateTime", "end": "endDateTime"},
    **{"shiftStart": "shiftStartDateTime", "shiftEnd": "shiftEndDateTime"},
}
_LINE = ("key", "kind", "correction_of", "deleted", "version", "event", "sequence", "idempotency_key")
_MISSING = object()


class FieldMap:
    """Which values a line has. Raises ConfigError with every fault when it is made."""

    def __init__(self, name: str, settings: PayrollHttpTarget, fields: FieldList) -> None:
        self._fields = settings.map
        self._amounts = settings.amounts
        self._key = settings.line_key
        self._comma = settings.body.comma
        if faults := [Fault(f"targets.{name}.{where}", what) for where, what in _faults(settings, fields)]:
            raise ConfigError(faults)

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the output fields, in the order of the settings."""
        return tuple(self._fields)

    def key(self, visible: Mapping[str, Any]) -> str:
        """Which line this is. Raises Unrenderable."""
        parts = [_found(visible, path) for path in self._key]
        if missing := [path for path, part in zip(self._key, parts, strict=True) if not _is_single(part)]:
            raise Unrenderable(f"the key of the line cannot be made: {', '.join(missing)} has no value")
        return ":".join(str(part) for part in parts)

    def content(self, visible: Mapping[str, Any], *, zone: str | None) -> dict[str, Value]:
        """The values by which a line is compared and remembered. Raises Unrenderable with every field that fails."""
        values: dict[str, Value] = {}
        wrong: list[str] = []
        for name, field in self._fields.items():
            if _is_told(field):
                continue
            try:
                found = _value(field, visible, zone=zone)
            except Refusal as refusal:
                wrong.append(f"{name} ({field.source}) {refusal}")
            else:
                if found is not None:
                    values[name] = found
        if wrong:
            raise Unrenderable("; ".join(wrong))
        return values

    def write(self, row: Row, facts: Mapping[str, Any], *, zone: str | None) -> dict[str, Written]:
        """A row as it stands in the body, None where it has no value; `facts` is what is told of the event.

        Raises Unrenderable.
        """
        line = {
            **facts["line"],
            **{"key": row.key, "kind": row.kind, "correction_of": row.correction_of, "deleted": row.deleted},
        }
        told = {**facts, "line": line}
        out: dict[str, Written] = {}
        wrong: list[str] = []
        for name, field in self._fields.items():
            try:
                value = _value(field, told, zone=zone) if _is_told(field) else row.values.get(name)
            except Refusal as refusal:
                wrong.append(f"{name} ({field.source}) {refusal}")
                continue
            if value is None and field.required and not _may_be_absent(field):
                wrong.append(f"{name} ({field.source}) is not known of what was sent before")
            out[name] = None if value is None else converters.write(field, value, comma=self._comma)
        if wrong:
            raise Unrenderable("; ".join(wrong))
        return out


def _value(field: MapField, visible: Mapping[str, Any], *, zone: str | None) -> Value | None:
    """Raises Refusal; None: the field may be absent, and is."""
    if field.value is not None:
        return field.value
    assert field.source is not None
    value = _found(visible, field.source)
    end = None if field.to is None else _found(visible, field.to)
    if value is None or value == "" or (field.to is not None and end is None):
        if field.default is None:
            if field.required and not _may_be_absent(field):
                raise Refusal("has no value")
            return None
        value, end = field.default, None
        if field.to is not None:
            field = field.model_copy(update={"to": None})
    return converters.read(field, Source(value, end, zone))


def _found(node: Mapping[str, Any], path: str) -> Any:
    """What stands at a path, None for nothing; a record that is gone is seen as it was."""
    parts = path.split(".")
    if parts[:2] == ["data", "object"] and not (node.get("data") or {}).get("object"):
        parts = ["data", "changes", "before", _MADE_OF.get(parts[2], parts[2]), *parts[3:]]
    found: Any = node
    for part in parts:
        if isinstance(found, Mapping):
            found = found.get(part)
        elif isinstance(found, list) and part.isdigit() and int(part) < len(found):
            found = found[int(part)]
        else:
            return None
    return found


def _is_single(part: Any) -> bool:
    return (isinstance(part, str) and part != "") or (isinstance(part, int) and not isinstance(part, bool))


def _is_told(field: MapField) -> bool:
    return field.source is not None and (field.source in _OF_EVENT or field.source.startswith("line."))


def _may_be_absent(field: MapField) -> bool:
    # What is new corrects nothing.
    return field.source == "line.correction_of"


# What is wrong with the settings ---------------------------------------------------------------


def _faults(settings: PayrollHttpTarget, fields: FieldList) -> Iterator[tuple[str, str]]:
    kinds = _kinds(settings.events)
    for name, field in settings.map.items():
        for option, path in (("from", field.source), ("to", field.to)):
            if path is not None and (fault := _path_fault(path, fields, kinds, line=option == "from")):
                yield f"map.{name}.{option}", fault
        if field.default is not None and (refused := _default_fault(field)):
            yield f"map.{name}.default", refused
    for path in settings.line_key:
        if path in _OF_EVENT:
            yield "line_key", f"{path} is another one with every event: the same line would never be known again"
        elif fault := _path_fault(path, fields, kinds, line=False):
            yield "line_key", f"{path}: {fault}"
    for name in settings.amounts:
        if (one := settings.map.get(name)) is None:
            yield "amounts", f'"map" has no field "{name}"'
        elif not converters.is_amount(one):
            yield "amounts", f'"{name}" is no amount: it needs integer, decimal, hours or minutes, without a table'
    yield from _correction_faults(settings)


def _correction_faults(settings: PayrollHttpTarget) -> Iterator[tuple[str, str]]:
    told = {field.source for field in settings.map.values()}
    if settings.corrections == "delta":
        if not settings.amounts:
            yield "amounts", 'corrections = "delta" sends differences: name the fields that are amounts'
        if settings.body.format == "json" and settings.body.list is None:
            why = "a line whose code or person changes takes two rows, the old one back and the new one"
            yield "body.list", f'corrections = "delta" needs a list, or CSV: {why}'
    elif not settings.amounts and not told & {"line.deleted", "line.kind"}:
        why = "a line that is taken back would look like any other"
        yield "amounts", f"{why}: name the amounts (they are sent as 0), or map line.deleted or line.kind"


def _kinds(patterns: Sequence[str]) -> tuple[str, ...]:
    """The kinds of records that the target is told of; all, where its patterns match no type of ours."""
    told = {row.entity for row in CATALOG.values() if any(matches(pattern, row.type) for pattern in patterns)}
    return tuple(kind for kind in KINDS if kind in told) or tuple(KINDS)


def _path_fault(path: str, fields: FieldList, kinds: Sequence[str], *, line: bool) -> str | None:
    parts = path.split(".")
    if line and parts[0] == "line":
        return None if len(parts) == 2 and parts[1] in _LINE else f"a line has {', '.join(_LINE)}"
    if path in _STEADY or (line and path in _OF_EVENT):
        hidden = path == "employeeid" and not any("employeeId" in fields.kept(kind, ("object",)) for kind in kinds)
        return '`fields` does not let it through: add "class:B"' if hidden else None
    if parts[0] != "data" or len(parts) < 2:
        ours = ", ".join((*_STEADY, *(_OF_EVENT if line else ())))
        return f'a path starts with "data.object.", "data.related." or "line.", or is one of {ours}'
    if parts[1] == "changes":
        return "what was before is no content of a line: the ledger knows what was sent"
    deepest = {"object": 3, "related": 4, "received": 2}.get(parts[1], 3)
    if parts[1] in ("object", "related") and len(parts) < deepest:
        return "a path goes to a field of a record"
    if fault := check_entry(".".join(parts[:deepest])):
        return fault
    if any(is_never(part) for part in parts):
        return "class F never leaves the worker"
    if parts[1] == "object" and not any(parts[2] in KINDS[kind] for kind in kinds):
        return f"no {' or '.join(kinds)} has a field {parts[2]!r}"
    if _let_through(parts, fields, kinds):
        return None
    return f'`fields` does not let it through: add "{".".join(parts[:deepest])}"'


def _let_through(parts: Sequence[str], fields: FieldList, kinds: Sequence[str]) -> bool:
    if parts[1] == "received":
        return fields.received
    if parts[1] == "related":
        return parts[3] in fields.kept(parts[2], ("related", parts[2]))
    return any(parts[2] in fields.kept(kind, ("object",)) for kind in kinds)


def _default_fault(field: MapField) -> str | None:
    try:
        converters.read(field.model_copy(update={"to": None}), Source(field.default, zone="UTC"))
    except Refusal as refusal:
        return str(refusal)
    return None
