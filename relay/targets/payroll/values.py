"""Values of a payroll line between source and body: text, whole numbers, exact decimals, yes and no. Never floats."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from decimal import ROUND_HALF_UP, Decimal, InvalidOperation
from typing import Any

Value = str | int | Decimal | bool
"""Decimals have the rounding of their converter; what is missing has no value at all."""

# No wage and no count of hours is as large; beyond it exact arithmetic would need another context.
LARGEST = Decimal(10) ** 15
_LONGEST = 64


class Refusal(Exception):
    """A value cannot be made; the text says why, without the value."""


def number(value: Any) -> Decimal:
    """A number of an envelope, exactly as it stood in the JSON. Raises Refusal.

    An envelope's floats came from decimal text and go back to the same text up to 15 significant digits: `repr` gives
    the shortest one, so that nothing of binary fractions comes along.
    """
    found: Decimal | None = None
    if isinstance(value, bool):
        raise Refusal("is true or false, not a number")
    if isinstance(value, int | Decimal):
        found = Decimal(value)
    elif isinstance(value, float) and math.isfinite(value):
        found = Decimal(repr(value))
    elif isinstance(value, str) and len(value) <= _LONGEST:
        try:
            found = Decimal(value.strip())
        except InvalidOperation:
            found = None
    if found is None or not found.is_finite():
        raise Refusal("is not a number")
    if abs(found) >= LARGEST:
        raise Refusal("is too large a number")
    return found


def rounded(value: Decimal, *, places: int | None, step: Decimal | None = None) -> Decimal:
    """Half up, away from zero, first to multiples of `step`, then to `places`; minus zero is zero."""
    if step is not None:
        value = (value / step).quantize(Decimal(1), rounding=ROUND_HALF_UP) * step
    if places is not None:
        value = value.quantize(Decimal(1).scaleb(-places), rounding=ROUND_HALF_UP)
    return value or abs(value)


def plain(value: Decimal) -> str:
    """A decimal in digits, without an exponent."""
    return format(value, "f")


def pack(values: Mapping[str, Value]) -> str:
    """A line's content as one text: the same content gives the same text, whatever the order of its fields."""
    return json.dumps({name: _tagged(value) for name, value in sorted(values.items())}, separators=(",", ":"))


def unpack(text: str) -> dict[str, Value]:
    """What `pack` made a text of."""
    return {name: _untagged(tag, value) for name, (tag, value) in json.loads(text).items()}


def _tagged(value: Value) -> list[Any]:
    match value:
        case bool():
            return ["b", value]
        case int():
            return ["i", value]
        case Decimal():
            # 7.5 and 7.50 are one amount.
            text = plain(value)
            return ["d", (text.rstrip("0").rstrip(".") or "0") if "." in text else text]
        case _:
            return ["s", value]


def _untagged(tag: str, value: Any) -> Value:
    if tag == "d":
        return Decimal(value)
    found: Value = value
    return found
