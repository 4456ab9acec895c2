"""JSON Schemas of what the API takes and gives (shapes.py makes it), as data."""

from __future__ import annotations

from typing import Any

from relay.catalog import Door
from relay.events import DeliveryState, EventState, Origin, Outcome

Json = dict[str, Any]


def _object(properties: Json, *, optional: tuple[str, ...] = (), more: bool | Json = False, says: str = "") -> Json:
    """An object in which everything but `optional` is always there."""
    schema: Json = {"type": "object", "properties": properties, "additionalProperties": more}
    if required := [name for name in properties if name not in optional]:
        schema["required"] = required
    return {**schema, "description": says} if says else schema


def _list(schema: Json) -> Json:
    return {"type": "array", "items": schema}


def _ref(name: str) -> Json:
    return {"$ref": f"#/components/schemas/{name}"}


def _maybe(schema: Json) -> Json:
    return {"oneOf": [schema, {"type": "null"}]}


def _choice(*values: str) -> Json:
    return {"type": "string", "enum": list(values)}


_TEXT: Json = {"type": "string"}
_COUNT: Json = {"type": "integer", "minimum": 0}
_NUMBER: Json = {"type": "number"}
_FLAG: Json = {"type": "boolean"}
_ANY: Json = {}
_TIME: Json = {"type": "string", "format": "date-time"}
_TEXTS: Json = {"type": "object", "additionalProperties": _TEXT}
_REASON: Json = {"type": "string", "maxLength": 500}
_COUNTS: Json = {"type": "object", "additionalProperties": _COUNT}

_EVENT: Json = {
    "id": _TEXT,
    "type": _TEXT,
    "subject": _TEXT,
    "portal": _COUNT,
    "source": _TEXT,
    "sender_id": _TEXT,
    "origin": _choice(*Origin),
    "state": _ref("EventState"),
    "reason": _TEXT,
    "received_at": _TIME,
    "time": _maybe(_TEXT),
    "sequence": _COUNT,
    "targets": _list(_TEXT),
    "duplicate_of": _maybe(_TEXT),
}
_DELIVERY: Json = {
    "event": _TEXT,
    "target": _TEXT,
    "state": _ref("DeliveryState"),
    "reason": _TEXT,
    "attempts": _COUNT,
    "round": _COUNT,
    "replay": _maybe(_TEXT),
    "sequence": _COUNT,
    "updated_at": _TIME,
    "due_at": _maybe(_TIME),
    "idempotency_key": _TEXT,
}
_STANDING: dict[str, Any] = {
    "state": _choice("open", "held", "failing", "paused"),
    "paused": _maybe(_TEXT),
    "paused_by": _maybe(_TEXT),
    "paused_since": _maybe(_TIME),
    "held_until": _maybe(_TIME),
    "breaker": _maybe(_object({"state": _choice("open", "probing"), "since": _TIME, "until": _TIME})),
}
_TARGET_COUNTS: Json = {
    **dict.fromkeys(("waiting", "sending", "delivered", "dead", "parked", "cancelled", "superseded"), _COUNT),
    "oldest_waiting_seconds": _maybe(_NUMBER),
}

_AUTHORISATION = _choice("ok", "lost", "untried")
_AUTHORISATIONS: Json = {"type": "object", "additionalProperties": _AUTHORISATION}

SCHEMAS: Json = {
    "Problem": _object(
        {
            "type": {"type": "string", "format": "uri"},
            "title": _TEXT,
            "status": {"type": "integer"},
            "detail": _TEXT,
            "errors": _list(
                _object(
                    {"pointer": _TEXT, "parameter": _TEXT, "detail": _TEXT},
                    optional=("pointer", "parameter"),
                    says="`pointer` is a JSON pointer into the body, `parameter` a name in the query.",
                )
            ),
        },
        optional=("errors",),
    ),
    # Senders ---------------------------------------------------------------------------------------
    "Envelope": _object(
        {
            "type": {"type": "string", "maxLength": 128, "examples": ["planday.shift.updated"]},
            "subject": {"type": "string", "maxLength": 128, "examples": ["shift/70010045"]},
            "source": {"type": "string", "examples": ["urn:planday:portal:4100001"]},
            "portalid": {"type": ["integer", "string"]},
            "id": {"type": "string", "minLength": 1, "maxLength": 256},
            "time": _TIME,
            "specversion": {"const": "1.0"},
            "datacontenttype": {"const": "application/json"},
            "data": _ANY,
        },
        optional=("source", "portalid", "id", "time", "specversion", "datacontenttype", "data"),
        more=True,
        says="A CloudEvents 1.0 object. It names its portal in `source` or in `portalid`. "
        "A source with a `map` takes another shape.",
    ),
    "EnvelopeBatch": {"type": "array", "items": _ref("Envelope"), "minItems": 1, "maxItems": 100},
    "Accepted": _object({"events": _list(_object({"id": _TEXT, "duplicate": _FLAG}))}),
    # Health ----------------------------------------------------------------------------------------
    "Health": _object({"status": {"const": "ok"}}),
    "Readiness": _object(
        {
            "status": _choice("ready", "draining", "store"),
            "store": _object({"writable": _FLAG, "problem": _maybe(_TEXT), "findings": _list(_TEXT)}),
            "workers": _maybe(_COUNT),
            "drains": _maybe(_COUNT),
            "portals": _maybe(_AUTHORISATIONS),
            "incidents": _maybe(_list(_object({"incident": _TEXT, "since": _TIME, "critical": _FLAG}))),
        }
    ),
    # Events ----------------------------------------------------------------------------------------
    "EventState": _choice(*EventState),
    "DeliveryState": _choice(*DeliveryState),
    "Event": _object(_EVENT),
    "EventPage": _object({"events": _list(_ref("Event")), "cursor": _maybe(_TEXT)}),
    "EventDetail": _object(
        {
            **_EVENT,
            "tries": _COUNT,
            "due_at": _maybe(_TIME),
            "deliveries": _list(_ref("Delivery")),
            "refused_by": _TEXTS,
            "raw": {"type": "object"},
            "envelope": _maybe({"type": "object"}),
        }
    ),
    "Explanation": _object({"event": _TEXT, "explanation": _list(_TEXT)}),
    "Delivery": _object(_DELIVERY),
    "DeliveryRow": _object(
        {
            **_DELIVERY,
            **dict.fromkeys(("type", "subject"), _TEXT),
            "portal": _COUNT,
            "received_at": _TIME,
            "evidence": _maybe(_ref("Attempt")),
        },
        says="`evidence` of a parked one: its last attempt, null where the worker died before it could be written.",
    ),
    "DeliveryPage": _object({"deliveries": _list(_ref("DeliveryRow")), "cursor": _maybe(_TEXT)}),
    "DeliveryDetail": _object({**_DELIVERY, "tried": _list(_ref("Attempt"))}),
    "Attempt": _object(
        {
            "number": _COUNT,
            "started_at": _TIME,
            "seconds": _NUMBER,
            "outcome": _choice(*Outcome),
            "reason": _TEXT,
            "status": _maybe({"type": "integer"}),
            "retry_at": _maybe(_TIME),
            "replay": _maybe(_TEXT),
            "request_headers": _TEXTS,
            "response_headers": _TEXTS,
            "excerpt": _TEXT,
        }
    ),
    "Retry": _object(
        {"force": _FLAG, "reason": _REASON},
        optional=("force", "reason"),
        says="What is delivered, or older than what was, needs `force` and a reason; what is parked is released.",
    ),
    "Decision": _object(
        {"reason": _REASON},
        says="A parked delivery is sent again, because the target does not have it; or a waiting, parked or dead one "
        "ends as cancelled, and what waits behind it goes on. The reason is kept.",
    ),
    # Replay ----------------------------------------------------------------------------------------
    "Replayable": _choice("dead", "cancelled", "superseded", "delivered", "unrouted", "missing"),
    "PlanRequest": _object(
        {
            "target": _TEXT,
            "type": _TEXT,
            "portal": {"type": "integer", "minimum": 1},
            "entity": {**_TEXT, "examples": ["shift/70010045"]},
            "employee": _TEXT,
            "department": _TEXT,
            "since": _TEXT,
            "until": _TEXT,
            "states": {"type": "array", "minItems": 1, "items": _ref("Replayable"), "default": ["dead"]},
            "reason": _REASON,
            **dict.fromkeys(("force", "reread", "new_key"), _FLAG),
        },
        optional=(
            *("target", "type", "portal", "entity", "employee", "department", "since", "until", "states"),
            *("reason", "force", "reread", "new_key"),
        ),
        says="Nothing is needed: then it is all that is dead. `force`, `new_key` and the state `delivered` need a "
        "`reason`. docs/replay.md says what each means.",
    ),
    "PlanRun": _object(
        {"rate": {"type": "number", "exclusiveMinimum": 0, "maximum": 100_000}, "reason": _REASON},
        optional=("rate", "reason"),
        says="`rate`: at most so many items a second.",
    ),
    "PlanPart": _object(
        {"target": _TEXT, "total": _COUNT, "done": _COUNT, "open": _COUNT, "results": _COUNTS, "ends": _COUNTS},
        says='The items to one target ("": events that are routed anew): what became of them, and how what was '
        "opened ended.",
    ),
    "Plan": _object(
        {
            "id": _TEXT,
            "state": _choice("planned", "running", "paused", "cancelling", "cancelled", "ended"),
            "selection": {"type": "object"},
            "states": _list(_ref("Replayable")),
            **dict.fromkeys(("force", "reread", "new_key"), _FLAG),
            **dict.fromkeys(("total", "done", "open", "looked"), _COUNT),
            "counts": _list(
                _object(
                    {
                        "target": _TEXT,
                        "state": _ref("Replayable"),
                        **dict.fromkeys(("count", "first", "reread", "superseded"), _COUNT),
                    },
                    says="Of `count`, `first` are sent as first sent, `reread` as Planday has them then.",
                )
            ),
            "left": _list(_object({"target": _TEXT, "state": _TEXT, "count": _COUNT})),
            **dict.fromkeys(("gone_targets", "cut", "unclear", "results", "ends"), _COUNTS),
            "first_at": _maybe(_TIME),
            "last_at": _maybe(_TIME),
            "samples": _list(
                _object(
                    {
                        **dict.fromkeys(("event", "target", "type"), _TEXT),
                        "state": _ref("Replayable"),
                        "data": _choice("first", "reread"),
                    }
                )
            ),
            "parts": _list(_ref("PlanPart")),
            "made_at": _TIME,
            "by": _TEXT,
            "reason": _TEXT,
            "rate": _NUMBER,
            "waits_for": _TEXT,
            "ended_at": _TIME,
            **{
                f"{stem}_{what}": _TIME if what == "at" else _TEXT
                for stem in ("started", "paused", "resumed", "cancelled")
                for what in ("at", "by", "why")
            },
        },
        optional=(
            *("rate", "waits_for", "ended_at"),
            *(
                f"{stem}_{what}"
                for stem in ("started", "paused", "resumed", "cancelled")
                for what in ("at", "by", "why")
            ),
        ),
        says="`results` count what became of the items, `ends` how what was opened ended; `open` is on its way.",
    ),
    "Plans": _object({"plans": _list(_ref("Plan"))}),
    # Targets and portals ---------------------------------------------------------------------------
    "Target": _object(
        {
            "name": _TEXT,
            "type": _TEXT,
            "url": _TEXT,
            "events": _list(_TEXT),
            "dedupes": _FLAG,
            **_STANDING,
            "rotation": _maybe(_ref("Rotation")),
            "deliveries": _object(_TARGET_COUNTS),
        }
    ),
    "Targets": _object({"targets": _list(_ref("Target"))}),
    "Why": _object({"reason": _REASON}, optional=("reason",)),
    "Switched": _object({"target": _TEXT, "state": _choice("open", "paused"), "changed": _FLAG}),
    "Portals": _object(
        {
            "portals": _list(
                _object(
                    {
                        "name": _TEXT,
                        "id": _COUNT,
                        "api_url": _TEXT,
                        "feeds": _list(_TEXT),
                        "authorisation": _AUTHORISATION,
                    }
                )
            )
        }
    ),
    "Errand": _object({"ok": _FLAG}, more=True, says="What a worker found; `ok` says whether all is well."),
    "Shown": _object(
        {"event": _TEXT, "sample": _TEXT},
        optional=("event", "sample"),
        says="One of them: an event's id, or a type of which one is made up.",
    ),
    "Preview": _object(
        {
            "ok": _FLAG,
            **dict.fromkeys(("target", "event", "type", "standing", "note", "message"), _TEXT),
            "request": _maybe(
                _object({**dict.fromkeys(("method", "url", "body"), _TEXT), "headers": {"type": "object"}})
            ),
        },
        says="`ok`: something would be sent. `standing`: new, correction, reversal, or why not (payroll only). "
        "`message`: what people would read (chat and mail only).",
    ),
    # The rest --------------------------------------------------------------------------------------
    "Catalog": _object(
        {
            "types": _list(
                _object(
                    {
                        **dict.fromkeys(("type", "entity", "meaning", "change"), _TEXT),
                        "door": _choice(*Door),
                        **dict.fromkeys(("dataschema", "schema"), _TEXT),
                    }
                )
            )
        }
    ),
    "Incident": _object(
        {
            **dict.fromkeys(("incident", "type", "about", "summary", "event"), _TEXT),
            **dict.fromkeys(("since", "began"), _TIME),
            "quiet_since": _maybe(_TIME),
            "count": _COUNT,
            "critical": _FLAG,
            "told": _FLAG,
        },
        says="`told`: some target took the event that tells of it. `quiet_since`: it may be over.",
    ),
    "Incidents": _object({"incidents": _list(_ref("Incident")), "workers": _COUNT}),
    "Stats": _object(
        {
            "totals": {"type": "object", "additionalProperties": _COUNT},
            "open": _COUNT,
            "oldest_open_seconds": _maybe(_NUMBER),
            "events_waiting": _COUNT,
            "events_in_work": _COUNT,
            "events_dead": _COUNT,
            "workers": _COUNT,
            "drains": _COUNT,
            "quarantine": _COUNT,
            "store_bytes": _maybe(_COUNT),
            "portals": _AUTHORISATIONS,
            "incidents": _list(_ref("Incident")),
            "targets": {
                "type": "object",
                "additionalProperties": _object({**_TARGET_COUNTS, **_STANDING}),
            },
        },
    ),
    "Config": _object({"config": {"type": "object"}}),
    "Version": _object({"version": _TEXT, "api": {"const": "v1"}, "data_format": _maybe(_COUNT)}),
}
