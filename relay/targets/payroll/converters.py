"""The converters of the field map: what a source becomes, and how that is written.

Each works in two steps. `read` makes a value, rounded as it will be sent: what is compared, kept and subtracted.
`write` gives it its form: a sign, a decimal comma, quotes. So a correction is the difference of what was sent.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from relay.settings import MapField
from relay.targets.payroll import times
from relay.targets.payroll.values import Refusal, Value, number, plain, rounded

NUMERIC = frozenset({"integer", "decimal", "hours", "minutes"})
_HOURS_PLACES = 2
_FORMS = {"date": "%Y-%m-%d", "time": "%H:%M", "datetime": "%Y-%m-%dT%H:%M:%S"}


@dataclass(frozen=True, slots=True)
class Source:
    """What a field of the map is made of: the value at its path, the one at `to`, and the portal's zone."""

    value: Any
    end: Any = None
    zone: str | None = None


def read(field: MapField, source: Source) -> Value:
    """The value of one field. Raises Refusal."""
    value = _READ[field.convert](field, source)
    if field.table is not None:
        value = _looked_up(field.table, value)
    if isinstance(value, str):
        if field.case is not None:
            value = value.upper() if field.case == "upper" else value.lower()
        if field.longest is not None and len(value) > field.longest:
            raise Refusal(f"has more than {field.longest} characters")
    return value


def write(field: MapField, value: Value, *, comma: bool) -> str | int | Decimal | bool:
    """How a value stands in the body; `comma` is the body's own choice of decimal mark."""
    if isinstance(value, bool):
        return value
    if isinstance(value, int | Decimal):
        return _written(field, value, comma=comma if field.comma is None else field.comma)
    return _filled(field, value, align="left", fill=" ")


def is_amount(field: MapField) -> bool:
    """Whether its values can be added and subtracted."""
    return field.source is not None and field.convert in NUMERIC and field.table is None and field.width is None


def _written(field: MapField, value: int | Decimal, *, comma: bool) -> str | int | Decimal:
    if field.sign == "flip" or (field.sign == "absolute" and value < 0):
        value = 0 - value
    if isinstance(value, Decimal):
        value = rounded(value, places=_places(field))
    if field.width is not None:
        return _filled(field, str(value), align="right", fill="0")
    if isinstance(value, Decimal) and comma:
        return plain(value).replace(".", ",")
    if field.as_text:
        return plain(value) if isinstance(value, Decimal) else str(value)
    return value


def _filled(field: MapField, text: str, *, align: str, fill: str) -> str:
    if field.width is None:
        return text
    fill = field.fill or fill
    if (field.align or align) == "left":
        return text.ljust(field.width, fill)
    # The sign stays in front of the zeros.
    return text.zfill(field.width) if fill == "0" else text.rjust(field.width, fill)


def _looked_up(table: Mapping[str, Any], value: Value) -> Value:
    key = str(value).lower() if isinstance(value, bool) else str(value)
    found: Value | None = table.get(key)
    if found is None:
        raise Refusal("has a value that its table does not have")
    return found


def _places(field: MapField) -> int | None:
    return _HOURS_PLACES if field.places is None and field.convert == "hours" else field.places


def _step(field: MapField) -> Decimal | None:
    return None if field.step is None else Decimal(field.step)


def _text(_field: MapField, source: Source) -> Value:
    match source.value:
        case str():
            return source.value
        case bool():
            return "true" if source.value else "false"
        case int() | float() | Decimal():
            return plain(number(source.value))
        case _:
            raise Refusal("is not a single value")


def _integer(_field: MapField, source: Source) -> Value:
    found = number(source.value)
    if found != found.to_integral_value():
        raise Refusal("is not a whole number")
    return int(found)


def _decimal(field: MapField, source: Source) -> Value:
    return rounded(number(source.value), places=field.places, step=_step(field))


def _seconds(field: MapField, source: Source) -> Decimal:
    if field.to is None:
        return times.span(source.value)
    start, end = (times.moment(side, zone=source.zone) for side in (source.value, source.end))
    return times.between(start, end)


def _hours(field: MapField, source: Source) -> Value:
    return rounded(_seconds(field, source) / 3600, places=_places(field), step=_step(field))


def _minutes(field: MapField, source: Source) -> Value:
    minutes = rounded(_seconds(field, source) / 60, places=None, step=_step(field))
    return int(minutes.quantize(Decimal(1), rounding=ROUND_HALF_UP))


def _time(field: MapField, source: Source) -> Value:
    found = times.moment(source.value, zone=source.zone)
    return times.written(
        found, field.format or _FORMS[field.convert], zone=field.zone or "portal", here=_zone_of(source)
    )


def _zone_of(source: Source) -> str | None:
    zone = source.value.get("zone") if isinstance(source.value, Mapping) else None
    return zone if isinstance(zone, str) else source.zone


def _boolean(_field: MapField, source: Source) -> Value:
    match source.value:
        case bool():
            return source.value
        case "true" | "false":
            return bool(source.value == "true")
        case _:
            raise Refusal("is neither true nor false")


_READ: Mapping[str, Callable[[MapField, Source], Value]] = {
    "text": _text,
    "integer": _integer,
    "decimal": _decimal,
    "hours": _hours,
    "minutes": _minutes,
    "date": _time,
    "time": _time,
    "datetime": _time,
    "boolean": _boolean,
}
