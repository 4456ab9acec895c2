"""What a line becomes at the payroll system, given what it has: new, corrected, taken back. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Literal

from relay.targets.payroll.values import Value

# What says that a record does not count any more.
_ENDS = frozenset({"deleted", "reversed", "unapproved", "declined", "cancelled"})

Kind = Literal["new", "correction", "reversal"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One line as it is sent: its own key, what it is, which line it corrects, and its content."""

    key: str
    kind: Kind
    correction_of: str | None
    deleted: bool
    values: Mapping[str, Value]


def counts(envelope: Mapping[str, Any], *, approved_only: bool) -> bool:
    """Whether the payroll system shall have a line for the record of an event, as it is after the event."""
    kind = str(envelope.get("type", "")).rpartition(".")[2]
    record = (envelope.get("data") or {}).get("object")
    if kind in _ENDS:
        return False
    return not approved_only or not isinstance(record, Mapping) or _approved(envelope, record)


def _approved(envelope: Mapping[str, Any], record: Mapping[str, Any]) -> bool:
    """Where Planday does not say (monthly salaries, records without approval), it counts."""
    if record.get("isApproved") is not None:
        return record["isApproved"] is True
    entity = str(envelope.get("subject", "")).partition("/")[0]
    if entity in ("shift", "absence_request") and record.get("status") is not None:
        return bool(record["status"] == "Approved")
    return True


def rows(
    wanted: Mapping[str, Value] | None,
    was: Mapping[str, Value] | None,
    *,
    key: str,
    sent: int,
    amounts: Sequence[str],
    differences: bool,
    anew: bool = False,
) -> tuple[Row, ...]:
    """The rows that bring the payroll system from `was` to `wanted` (None: it has, or shall have, nothing).

    `sent` is how often this line was sent so far. Without `differences` the whole line goes again under its own key,
    and one that is taken back goes with its amounts at zero (`was` has to say which). With `differences` each row has a
    key of its own and its amounts are added to what is there. `anew`: as if nothing was ever sent.
    """
    kind: Kind = "correction" if sent and not anew else "new"
    if not differences:
        if wanted is None:
            return (_row(key, "reversal", key, _with(was or {}, amounts, lambda _: Decimal(0)), deleted=True),)
        return (_row(key, kind, key if kind == "correction" else None, wanted),)
    number = f"{key}#{sent + 1}" if sent else key
    of = key if kind == "correction" else None
    if wanted is None:
        return (_row(number, "reversal", key, _with(was or {}, amounts, _negative), deleted=True),)
    if was is None:
        return (_row(number, kind, of, wanted),)
    if _apart(wanted, amounts) == _apart(was, amounts):
        both = wanted.keys() | was.keys()
        changed = {name: _minus(wanted.get(name, 0), was.get(name, 0)) for name in amounts if name in both}
        return (_row(number, kind, of, {**wanted, **changed}),)
    # Another code, person or day: what was there goes back whole, and the line comes anew.
    back = _row(f"{number}-", "reversal", key, _with(was, amounts, _negative), deleted=True)
    return (back, _row(number, kind, of, wanted))


def _row(key: str, kind: Kind, of: str | None, values: Mapping[str, Value], *, deleted: bool = False) -> Row:
    return Row(key=key, kind=kind, correction_of=of, deleted=deleted, values=values)


def _with(values: Mapping[str, Value], amounts: Sequence[str], change: Any) -> dict[str, Value]:
    return {name: _like(value, change(_exact(value))) if name in amounts else value for name, value in values.items()}


def _minus(new: Value, old: Value) -> Value:
    return _like(new, _exact(new) - _exact(old))


def _negative(value: Decimal) -> Decimal:
    return -value if value else value


def _exact(value: Value) -> Decimal:
    assert not isinstance(value, str), "an amount is a number: FieldMap saw to it"
    return Decimal(value)


def _like(value: Value, exact: Decimal) -> Value:
    return exact if isinstance(value, Decimal) or exact != exact.to_integral_value() else int(exact)


def _apart(values: Mapping[str, Value], amounts: Sequence[str]) -> dict[str, Value]:
    return {name: value for name, value in values.items() if name not in amounts}
