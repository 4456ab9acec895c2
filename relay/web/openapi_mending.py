"""Signing secrets and the quarantine in the OpenAPI document: their schemas."""

from __future__ import annotations

from typing import Any

Json = dict[str, Any]

_TEXT: Json = {"type": "string"}
_COUNT: Json = {"type": "integer", "minimum": 0}
_FLAG: Json = {"type": "boolean"}
_TIME: Json = {"type": "string", "format": "date-time"}
_SOURCE: Json = {"type": "string", "minLength": 1, "maxLength": 64}
_REASON: Json = {"type": "string", "minLength": 1, "maxLength": 500}


def _whole(properties: Json, *, says: str = "", optional: tuple[str, ...] = ()) -> Json:
    required = [name for name in properties if name not in optional]
    schema: Json = {"type": "object", "properties": properties, "required": required, "additionalProperties": False}
    return {**schema, "description": says} if says else schema


def _maybe(schema: Json) -> Json:
    return {"oneOf": [schema, {"type": "null"}]}


def _list(schema: Json) -> Json:
    return {"type": "array", "items": schema}


def _ref(name: str) -> Json:
    return {"$ref": f"#/components/schemas/{name}"}


_ACTION: Json = {"type": "string", "enum": ["begin", "finish", "abort"]}
_KEPT: Json = {
    **dict.fromkeys(("id", "source", "reason", "content_type"), _TEXT),
    "at": _TIME,
    "characters": _COUNT,
    "whole": {**_FLAG, "description": "it was kept as it was sent, and can be read again"},
}

SCHEMAS: Json = {
    "Rotation": _whole(
        {
            "under_way_since": _maybe(_TIME),
            "begun_by": _maybe(_TEXT),
            "replaces_configured_since": _maybe(_TIME),
        },
        says="Of a signing secret. While it is under way both sign; once finished the new one, not the configured.",
    ),
    "Rotate": _whole({"action": _ACTION}),
    "Rotated": _whole(
        {
            "ok": _FLAG,
            "target": _TEXT,
            "action": _ACTION,
            "state": {"type": "string", "enum": ["under way", "finished", "aborted"]},
            "secret": _maybe(_TEXT),
        },
        says="`secret` is the new one, after `begin`; it is told only here.",
    ),
    "Quarantine": _whole({"quarantine": _list(_whole(_KEPT))}),
    "QuarantinedBody": _whole({**_KEPT, "body": _TEXT}),
    "Reread": _whole(
        {
            "id": _TEXT,
            "source": _TEXT,
            "ok": _FLAG,
            "events": _list(_whole({"id": _TEXT, "duplicate": _FLAG})),
            "error": _maybe(_TEXT),
            "faults": _list(_whole({"pointer": _TEXT, "detail": _TEXT})),
        },
        says="`ok`: it was accepted as `events` and has left the quarantine. Otherwise `error` is what is still wrong.",
    ),
    "RereadAll": _whole({"results": _list(_ref("Reread"))}),
    "OfSource": _whole({"source": _SOURCE}, optional=("source",), says="Of one source alone; without it, of all."),
    "Drop": _whole({"reason": _REASON}),
    "DropAll": _whole({"reason": _REASON, "source": _SOURCE}, optional=("source",)),
    "Dropped": _whole({"dropped": _COUNT}),
}
