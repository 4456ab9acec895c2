"""The report in the OpenAPI document: its parameters, its schemas, and the CSV."""

from __future__ import annotations

from typing import Any

from relay.report import LISTS, ROW_COLUMNS, WITHOUT
from relay.report.tally import AGAIN, DELIVERY

Json = dict[str, Any]

_DAY = "2026-11-25, today or yesterday; both days are included"
_COUNT: Json = {"type": "integer", "minimum": 0}
_TEXT: Json = {"type": "string"}
_TIME: Json = {"type": "string", "format": "date-time"}
_NUMBERS: Json = {
    "accepted": _COUNT,
    **dict.fromkeys(DELIVERY, _COUNT),
    "repeated": {"type": "object", "properties": dict.fromkeys(AGAIN, _COUNT), "required": list(AGAIN)},
    "not_routed": {"type": "object", "properties": dict.fromkeys(WITHOUT, _COUNT), "required": list(WITHOUT)},
}


def _query(name: str, says: str, **schema: Any) -> Json:
    return {"name": name, "in": "query", "description": says, "schema": {"type": "string", **schema}}


def _whole(properties: Json, *, says: str = "", optional: tuple[str, ...] = ()) -> Json:
    required = [name for name in properties if name not in optional]
    schema: Json = {"type": "object", "properties": properties, "required": required, "additionalProperties": False}
    return {**schema, "description": says} if says else schema


PARAMETERS: tuple[Json, ...] = (
    {**_query("target", "the target that the report is about"), "required": True},
    _query("from", f"first day: {_DAY}", default="today"),
    _query("to", f"last day: {_DAY}", default="today"),
    _query("zone", "whose days, as Europe/Copenhagen; the portal's if it is left out"),
    _query("type", "a type, or a pattern with *"),
    _query("list", "also what stands behind this number", enum=list(LISTS)),
)

SCHEMAS: Json = {
    "Report": _whole(
        {
            "target": _TEXT,
            "type": {"type": ["string", "null"]},
            **{key: {"type": "string", "format": "date"} for key in ("from", "to")},
            "zone": _TEXT,
            "zone_from": {"type": ["string", "null"]},
            "as_of": _TIME,
            "complete": {"type": "boolean"},
            "says": {"type": "array", "items": _TEXT},
            "totals": _whole(_NUMBERS),
            "other_types": _COUNT,
            **{key: {"type": "object", "additionalProperties": _TIME} for key in ("oldest", "kept_from")},
            "days": {
                "type": "array",
                "items": _whole({"day": {"type": "string", "format": "date"}, "type": _TEXT, **_NUMBERS}),
            },
            "list": _whole(
                {
                    "of": {"type": "string", "enum": list(LISTS)},
                    "rows": {"type": "array", "items": {"$ref": "#/components/schemas/ReportedEvent"}},
                    "more": _COUNT,
                }
            ),
        },
        optional=("list",),
        says=(
            "`complete`: nothing is open, failed or given up. `oldest`: when the first of each kind was accepted. "
            "`kept_from`: since when a kind of record is whole, where the period begins before that."
        ),
    ),
    "ReportedEvent": _whole(
        {
            **dict.fromkeys(ROW_COLUMNS, _TEXT),
            **dict.fromkeys(("portal", "attempts", "round"), _COUNT),
            "accepted_at": _TIME,
            "changed_at": {"oneOf": [_TIME, {"type": "null"}]},
            **{key: {"type": ["string", "null"]} for key in ("sent_again", "idempotency_key")},
        },
        says="`attempts` of the present round; without a delivery there is no key.",
    ),
}

CSV: Json = {"text/csv": {"schema": _TEXT}}
