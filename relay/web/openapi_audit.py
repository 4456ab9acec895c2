"""The audit and erasures in the OpenAPI document: their parameters and schemas."""

from __future__ import annotations

from typing import Any

Json = dict[str, Any]

_TEXT: Json = {"type": "string"}
_COUNT: Json = {"type": "integer", "minimum": 0}
_FLAG: Json = {"type": "boolean"}
_TIME: Json = {"type": "string", "format": "date-time"}
_COUNTS: Json = {"type": "object", "additionalProperties": _COUNT}


def _query(name: str, says: str) -> Json:
    return {"name": name, "in": "query", "description": says, "schema": {"type": "string"}}


def _whole(properties: Json, *, says: str = "", optional: tuple[str, ...] = ()) -> Json:
    required = [name for name in properties if name not in optional]
    schema: Json = {"type": "object", "properties": properties, "required": required, "additionalProperties": False}
    return {**schema, "description": says} if says else schema


PARAMETERS: tuple[Json, ...] = (
    _query("by", "only of this person or token; a part of the name will do"),
    _query("act", "only acts that begin so, such as replay"),
    _query("on", "only on this event, target or plan; a part of it will do"),
    _query("since", "not before: a time with an offset, or an age such as 2h"),
    _query("until", "not after"),
    _query("cursor", "where the page before ended"),
)

SCHEMAS: Json = {
    "Act": _whole(
        {
            "number": _COUNT,
            "at": _TIME,
            **dict.fromkeys(("by", "act", "on", "reason", "result"), _TEXT),
        },
        says="What a person or a token did; entries are only ever added, until their age takes them.",
    ),
    "ActPage": _whole(
        {
            "acts": {"type": "array", "items": {"$ref": "#/components/schemas/Act"}},
            "cursor": {"type": ["string", "null"]},
        }
    ),
    "ErasureRequest": _whole(
        {
            "portal": {"type": "string", "maxLength": 64},
            "employee": {"type": "string", "pattern": "^[0-9]{1,19}$"},
            "reason": {"type": "string", "maxLength": 500},
            "cancel_parked": _FLAG,
            "dry_run": {"type": "boolean", "default": True},
        },
        optional=("reason", "cancel_parked", "dry_run"),
        says="Who is to be erased. With `dry_run`, which is the default, nothing is changed.",
    ),
    "ErasureAnswer": {
        "type": "object",
        "properties": {
            "erasure": {"type": "string", "description": "the id of what has begun"},
            "plan": {
                "type": "object",
                "properties": {
                    "open": {**_COUNTS, "description": "deliveries that would be cancelled, by state"},
                    "open_deliveries": {"type": "array", "items": {"type": "object"}},
                    "known": _FLAG,
                },
                "additionalProperties": _COUNT,
            },
        },
        "additionalProperties": False,
    },
    "Erasure": _whole(
        {
            **dict.fromkeys(("id", "portal", "by", "reason"), _TEXT),
            "state": {"type": "string", "enum": ["running", "ended"]},
            "begun_at": _TIME,
            "ended_at": {"oneOf": [_TIME, {"type": "null"}]},
            "result": {
                "type": ["object", "null"],
                "description": "`proven`: neither a key nor a file has anything of the person; `left`: how many places",
                "properties": {
                    "proven": _FLAG,
                    "left": _COUNT,
                    "left_in": {"type": "array", "items": _TEXT},
                    "left_open": _COUNTS,
                    "files": {"type": "object"},
                },
                "additionalProperties": _COUNT,
            },
        }
    ),
}
