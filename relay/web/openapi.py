"""The OpenAPI 3.1 document of everything this server answers, written by hand as data.

Tests hold it against the routes and against real answers. Schemas stand in openapi_schemas.py.
"""

from __future__ import annotations

from typing import Any

from relay.web import openapi_audit as audit
from relay.web import openapi_mending as mending
from relay.web import openapi_report as report
from relay.web.openapi_schemas import SCHEMAS

Json = dict[str, Any]

_PROBLEM = "application/problem+json"


def document() -> Json:
    """The whole document, made anew, so that nobody changes ours."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "planday-relay",
            "version": "1",
            "summary": "Takes events in, and lets an operator see and decide what becomes of them.",
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "servers": [{"url": "/"}],
        "tags": [{"name": name} for name in ("senders", "health", "events", "replay", "targets", "portals", "relay")],
        "paths": _paths(),
        "components": {
            "schemas": {**SCHEMAS, **report.SCHEMAS, **audit.SCHEMAS, **mending.SCHEMAS},
            "responses": {
                "Problem": {"description": "What is wrong (RFC 9457).", "content": _content("Problem", _PROBLEM)}
            },
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer", "description": "RELAY_ADMIN_TOKEN, or an API token."}
            },
        },
    }


def _paths() -> Json:
    api = "/api/v1"
    return {
        "/in/{source}": {"post": _RECEIVE, "options": _HANDSHAKE},
        "/healthz": {"get": _open("health", "Is the process alive", "Health")},
        "/readyz": {"get": _READY},
        "/metrics": {"get": _METRICS},
        f"{api}/openapi.json": {"get": _DOCUMENT},
        "/schemas/{entity}.json": {"get": _SCHEMA},
        f"{api}/events": {"get": _get("events", "Events, newest first", "EventPage", *_EVENT_FILTER)},
        f"{api}/events/{{event}}": {"get": _get("events", "One event", "EventDetail", _path("event"))},
        f"{api}/events/{{event}}/explain": {
            "get": _get("events", "Where an event is and why", "Explanation", _path("event"))
        },
        f"{api}/deliveries": {
            "get": _get("events", "Deliveries, newest event first", "DeliveryPage", *_DELIVERY_FILTER)
        },
        f"{api}/deliveries/{{event}}/{{target}}": {
            "get": _get("events", "One delivery and its attempts", "DeliveryDetail", _path("event"), _path("target"))
        },
        f"{api}/deliveries/{{event}}/{{target}}/retry": {
            "post": _post(
                "events", "Send one delivery again", "Delivery", _path("event"), _path("target"), body="Retry"
            )
        },
        f"{api}/deliveries/{{event}}/{{target}}/release": {
            "post": _post(
                "events", "Send a parked delivery again", "Delivery", _path("event"), _path("target"), body="Decision"
            )
        },
        f"{api}/deliveries/{{event}}/{{target}}/cancel": {
            "post": _post(
                "events", "Never send one delivery", "Delivery", _path("event"), _path("target"), body="Decision"
            )
        },
        f"{api}/replay/plans": {
            "get": _get("replay", "The newest plans", "Plans"),
            "post": _post("replay", "Fix what would be sent again", "Plan", body="PlanRequest", status=201),
        },
        f"{api}/replay/plans/{{plan}}": {"get": _get("replay", "A plan and its progress", "Plan", _path("plan"))},
        f"{api}/replay/plans/{{plan}}/run": {
            "post": _post("replay", "Let a plan run, once", "Plan", _path("plan"), body="PlanRun", status=202)
        },
        f"{api}/replay/plans/{{plan}}/pause": {
            "post": _post("replay", "Open nothing more for a while", "Plan", _path("plan"), body="Why", status=202)
        },
        f"{api}/replay/plans/{{plan}}/resume": {
            "post": _post("replay", "Go on where it stood", "Plan", _path("plan"), body="Why", status=202)
        },
        f"{api}/replay/plans/{{plan}}/cancel": {
            "post": _post("replay", "Take back what was not sent yet", "Plan", _path("plan"), body="Why", status=202)
        },
        f"{api}/targets": {"get": _get("targets", "The configured targets", "Targets")},
        f"{api}/targets/{{target}}/test": {
            "post": _post("targets", "Send a test event, past all queues", "Errand", _path("target"))
        },
        f"{api}/targets/{{target}}/preview": {
            "post": _post("targets", "Show what would be sent; nothing is", "Preview", _path("target"), body="Shown")
        },
        f"{api}/targets/{{target}}/rotate-secret": {
            "post": _post("targets", "Change the signing secret", "Rotated", _path("target"), body="Rotate")
        },
        f"{api}/targets/{{target}}/pause": {
            "post": _post("targets", "Send nothing more", "Switched", _path("target"), body="Why")
        },
        f"{api}/targets/{{target}}/resume": {
            "post": _post("targets", "Send again", "Switched", _path("target"), body="Why")
        },
        f"{api}/portals": {"get": _get("portals", "The configured portals", "Portals")},
        f"{api}/portals/{{portal}}/check": {
            "post": _post("portals", "Ask Planday about a portal", "Errand", _path("portal"))
        },
        f"{api}/quarantine": {"get": _get("relay", "Signed but unreadable bodies", "Quarantine", _LIMIT, _OFFSET)},
        f"{api}/quarantine/{{id}}": {"get": _get("relay", "One such body", "QuarantinedBody", _path("id"))},
        f"{api}/quarantine/{{id}}/retry": {"post": _post("relay", "Read it again", "Reread", _path("id"))},
        f"{api}/quarantine/{{id}}/drop": {
            "post": _post("relay", "Forget it for good", "Dropped", _path("id"), body="Drop")
        },
        f"{api}/quarantine/retry": {"post": _post("relay", "Read all of them again", "RereadAll", body="OfSource")},
        f"{api}/quarantine/drop": {"post": _post("relay", "Forget all of them for good", "Dropped", body="DropAll")},
        f"{api}/catalog": {"get": _get("relay", "The types of events, and what each means", "Catalog")},
        f"{api}/alerts": {"get": _get("relay", "What is wrong now, as it was told", "Incidents")},
        f"{api}/report": {
            "get": _asked("relay", "Did everything get there, once", "Report", *report.PARAMETERS, _LIMIT)
        },
        f"{api}/report.csv": {"get": _report_csv()},
        f"{api}/audit": {"get": _get("relay", "Who did what, newest first", "ActPage", *audit.PARAMETERS, _LIMIT)},
        f"{api}/erasures": {"post": _erase()},
        f"{api}/erasures/{{id}}": {"get": _get("relay", "An erasure and its proof", "Erasure", _path("id"))},
        f"{api}/stats": {"get": _get("relay", "Totals, and where each target stands", "Stats")},
        f"{api}/config": {"get": _get("relay", "The settings in force, secrets as references", "Config")},
        f"{api}/version": {"get": _get("relay", "What runs", "Version")},
    }


def _content(schema: str, media: str = "application/json") -> Json:
    return {media: {"schema": {"$ref": f"#/components/schemas/{schema}"}}}


def _problems(*statuses: int) -> Json:
    return {str(status): {"$ref": "#/components/responses/Problem"} for status in statuses}


def _operation(tag: str, summary: str, parameters: tuple[Json, ...], answers: Json) -> Json:
    operation: Json = {"tags": [tag], "summary": summary, "responses": answers}
    if parameters:
        operation["parameters"] = list(parameters)
    return operation


def _open(tag: str, summary: str, schema: str) -> Json:
    return _operation(tag, summary, (), {"200": {"description": summary, "content": _content(schema)}})


def _get(tag: str, summary: str, schema: str, *parameters: Json) -> Json:
    answers = {"200": {"description": summary, "content": _content(schema)}} | _problems(400, 401, 403, 503)
    if any(one["in"] == "path" for one in parameters):
        answers |= _problems(404)
    return _operation(tag, summary, parameters, answers) | {"security": [{"token": []}]}


def _asked(tag: str, summary: str, schema: str, *parameters: Json) -> Json:
    """A question that may name what is not there, or make no sense."""
    operation = _get(tag, summary, schema, *parameters)
    operation["responses"] |= _problems(404, 409)
    return operation


def _erase() -> Json:
    """200 shows what would be done, 202 says that it has begun."""
    operation = _post("relay", "Erase a person, or see what that does", "ErasureAnswer", body="ErasureRequest")
    begun = {"description": "It has begun", "content": _content("ErasureAnswer")}
    operation["responses"] |= {"202": begun} | _problems(404)
    return operation


def _report_csv() -> Json:
    """The same as CSV; whoever asks for a list gets all of it."""
    operation = _asked("relay", "The report, or a list of it, as CSV", "Report", *report.PARAMETERS)
    operation["responses"]["200"]["content"] = report.CSV
    return operation


def _post(tag: str, summary: str, schema: str, *parameters: Json, body: str | None = None, status: int = 200) -> Json:
    operation = _get(tag, summary, schema, *parameters)
    operation["responses"][str(status)] = operation["responses"].pop("200")
    operation["responses"] |= _problems(409)
    if body is not None:
        operation["requestBody"] = {"content": _content(body)}
        operation["responses"] |= _problems(413, 422)
    return operation


def _path(name: str) -> Json:
    return {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}


def _query(name: str, says: str, schema: Json) -> Json:
    return {"name": name, "in": "query", "description": says, "schema": schema}


def _choice(name: str, schema: str) -> Json:
    return {"name": name, "in": "query", "schema": {"$ref": f"#/components/schemas/{schema}"}}


_TEXT: Json = {"type": "string", "minLength": 1, "maxLength": 200}
_MOMENT = "a time with an offset (2026-03-01T08:00:00Z) or how long ago (2h)"
_LIMIT = _query("limit", "most rows", {"type": "integer", "minimum": 1, "maximum": 200, "default": 50})
_OFFSET = _query("offset", "rows to leave out", {"type": "integer", "minimum": 0, "maximum": 100_000, "default": 0})
_PAGED = (_LIMIT, _query("cursor", "`cursor` of the page before", {"type": "string"}))
_COMMON = (
    _query("type", "a type, or a pattern with *", _TEXT),
    _query("portal", "a portal's id", {"type": "integer", "minimum": 1}),
    _query("target", "a target's name", _TEXT),
    _query("since", f"accepted from then on: {_MOMENT}", _TEXT),
    _query("until", f"accepted up to then: {_MOMENT}", _TEXT),
)
_EVENT_FILTER = (
    *_COMMON,
    _query("subject", "entity/id; quick together with portal", {"type": "string", "pattern": "^[a-z][a-z0-9_]*/.+$"}),
    _choice("state", "EventState"),
    *_PAGED,
)
_DELIVERY_FILTER = (*_COMMON, _choice("state", "DeliveryState"), *_PAGED)

_EVENT_BODIES: Json = {
    "application/json": {
        "schema": {"oneOf": [{"$ref": "#/components/schemas/Envelope"}, {"$ref": "#/components/schemas/EnvelopeBatch"}]}
    },
    **_content("Envelope", "application/cloudevents+json"),
    **_content("EnvelopeBatch", "application/cloudevents-batch+json"),
}
_RECEIVE: Json = {
    "tags": ["senders"],
    "summary": "Hand in one event or a batch, signed as the source says",
    "description": "How to sign, and what each attribute may be: docs/sending.md.",
    "parameters": [_path("source")],
    "requestBody": {"required": True, "content": _EVENT_BODIES},
    "responses": {
        "202": {"description": "Stored, or known already", "content": _content("Accepted")},
        **_problems(400, 401, 404, 408, 413, 415, 422, 429, 503),
    },
}
_HANDSHAKE: Json = {
    "tags": ["senders"],
    "summary": "May events be sent here (CloudEvents webhook profile)",
    "parameters": [_path("source")],
    "responses": {"204": {"description": "Yes; the signature decides about each request"}, **_problems(404)},
}
_READY: Json = {
    "tags": ["health"],
    "summary": "Can events be taken",
    "responses": {
        "200": {"description": "Yes", "content": _content("Readiness")},
        "503": {
            "description": "No: the store takes no write, or the relay is stopping",
            "content": _content("Readiness"),
        },
    },
}
_METRICS: Json = {
    "tags": ["health"],
    "summary": "Prometheus text; needs the token unless it is for loopback alone",
    "security": [{}, {"token": []}],
    "responses": {
        "200": {"description": "Metrics", "content": {"text/plain": {"schema": {"type": "string"}}}},
        **_problems(401, 403),
    },
}
_SCHEMA: Json = {
    "tags": ["events"],
    "summary": "JSON Schema of the envelopes about one entity, as `dataschema` names it",
    "parameters": [_path("entity")],
    "responses": {
        "200": {"description": "JSON Schema 2020-12", "content": {"application/schema+json": {"schema": {}}}},
        **_problems(404),
    },
}
_DOCUMENT: Json = {
    "tags": ["relay"],
    "summary": "This document",
    "responses": {
        "200": {"description": "OpenAPI 3.1", "content": {"application/json": {"schema": {"type": "object"}}}}
    },
}
