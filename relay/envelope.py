"""Turn an inbound body, already proven to come from its source, into events, or say what is wrong and where.

The shape is a CloudEvents 1.0 structured JSON object, alone or in a batch (design.md 4). Nothing but
InboundError leaves this module, whatever the bytes are. A message names attributes, never their values:
it may reach a log, and the values may be personal.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Literal

import jmespath
import pydantic_core

from relay.errors import BadEnvelope, Fault, InboundError, NotJson, UnsupportedMedia
from relay.events import PORTAL_URN, Event, Origin, event_id
from relay.settings import Source

JSON = "application/json"
CLOUDEVENT = "application/cloudevents+json"
BATCH = "application/cloudevents-batch+json"

MOST_EVENTS = 100
MOST_EXTENSIONS = 20
MOST_FAULTS = 100
DEEPEST_DATA = 64
LONGEST_ID = 256

# Attributes that are read here, and those that the relay sets itself (so too all that start with `relay`).
CORE = frozenset({"specversion", "id", "source", "type", "subject", "time", "datacontenttype", "data", "portalid"})
OURS = frozenset({"dataschema", "timestamp", "departmentid", "employeeid", "sequence", "correlationid", "causationid"})

_TYPE = re.compile(r"[A-Za-z][A-Za-z0-9_-]*(\.[A-Za-z0-9_-]+)+")
_SUBJECT = re.compile(r"([a-z][a-z0-9_]{0,63})/([A-Za-z0-9_-]{1,64})")
_PORTAL = re.compile(r"[1-9][0-9]{0,18}")
_LARGEST_PORTAL = 2**63 - 1
_TIME = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})[Tt]([0-9]{2}:[0-9]{2}:[0-9]{2})(\.[0-9]+)?([Zz]|[+-][0-9]{2}:[0-5][0-9])"
)
_EXTENSION = re.compile(r"[a-z0-9]{1,20}")
_SHOWABLE = re.compile(r"[A-Za-z0-9_.-]{1,40}")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_BOM = b"\xef\xbb\xbf"
_ORIGINS = frozenset(origin.value for origin in Origin)
_Mapped = Literal["id", "type", "subject", "portalid", "time", "data"]
_REQUIRED_OF_MAP: tuple[_Mapped, ...] = ("type", "subject", "portalid")


def parse(
    body: bytes,
    *,
    content_type: str | None,
    source_name: str,
    source: Source,
    webhook_id: str | None,
    now: float,
    fresh_id: Callable[[], str],
) -> list[Event]:
    """The events of one request: all of them, or an InboundError with every fault of every member."""
    media = _media(content_type)
    content = _json(body)
    faults: list[Fault] = []
    if isinstance(content, list):
        if media == CLOUDEVENT:
            raise BadEnvelope([Fault("", f"{CLOUDEVENT} holds one event; a batch is {BATCH} or {JSON}")])
        if not 1 <= len(content) <= MOST_EVENTS:
            raise BadEnvelope([Fault("", f"a batch holds 1 to {MOST_EVENTS} events, this one has {len(content)}")])
        members = [(f"/{index}", f":{index}", member) for index, member in enumerate(content)]
    elif media == BATCH:
        raise BadEnvelope([Fault("", f"{BATCH} holds a list of events")])
    else:
        members = [("", "", content)]
    events = []
    for place, suffix, member in members:
        reading = _Reading(place, faults, expressions=source.map)
        fallback = None if webhook_id is None else webhook_id + suffix
        event = reading.event(member, source_name=source_name, fallback_id=fallback, now=now, fresh_id=fresh_id)
        if event is not None:
            events.append(event)
        if len(faults) >= MOST_FAULTS:
            break
    if faults:
        raise BadEnvelope(faults[:MOST_FAULTS])
    return events


def quarantinable(error: InboundError) -> bool:
    """Whether the request was the sender's own but could not be read: worth keeping for the operator to look at."""
    return isinstance(error, NotJson | BadEnvelope | UnsupportedMedia)


def check_map(source: Source) -> list[Fault]:
    """What a source's map lacks, places relative to the source's section; without a map there is nothing to lack."""
    if not source.map:
        return []
    return [
        Fault(f"map.{name}", "is missing: with a map, nothing else is read from the body")
        for name in _REQUIRED_OF_MAP
        if name not in source.map
    ]


@lru_cache(maxsize=64)
def _media(content_type: str | None) -> str:
    known = f"{JSON}, {CLOUDEVENT} or {BATCH}"
    if content_type is None:
        raise UnsupportedMedia(f"there is no content type; send {known}")
    media, *parameters = (part.strip().lower() for part in content_type.split(";"))
    if media not in (JSON, CLOUDEVENT, BATCH):
        raise UnsupportedMedia(f"the content type is not read here; send {known}")
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip() == "charset" and value.strip().strip('"') not in ("utf-8", "utf8"):
            raise UnsupportedMedia("the charset is not utf-8")
    return media


def _json(body: bytes) -> Any:
    # Of a key that stands twice the last one counts, as in JavaScript, Python and .NET.
    try:
        return pydantic_core.from_json(body.removeprefix(_BOM), allow_inf_nan=False)
    except ValueError as error:
        raise NotJson(f"the body is not JSON in UTF-8: {error}") from None


@lru_cache(maxsize=1024)
def _compiled(expression: str) -> Any:
    return jmespath.compile(expression)


class _Reading:
    """Reads one member; faults are collected under its place in the body."""

    def __init__(self, place: str, faults: list[Fault], *, expressions: Mapping[_Mapped, str]) -> None:
        self._place = place
        self._faults = faults
        self._expressions = expressions

    def fault(self, name: str, message: str) -> None:
        if self._expressions:
            self._faults.append(Fault(self._place, f"map.{name} {message}"))
        else:
            # A name that could be anything is not repeated; the pointer then stops at the object it stands in.
            where = f"{self._place}/{name}" if _SHOWABLE.fullmatch(name) else self._place
            self._faults.append(Fault(where, message))

    def event(
        self,
        member: Any,
        *,
        source_name: str,
        fallback_id: str | None,
        now: float,
        fresh_id: Callable[[], str],
    ) -> Event | None:
        """The event, or None after at least one fault."""
        if self._expressions:
            member = self._shaped(member)
            if member is None:
                return None
        if not isinstance(member, dict):
            self._faults.append(Fault(self._place, "an event is an object"))
            return None
        before = len(self._faults)
        type_ = self._type(member.get("type"))
        subject = self._subject(member.get("subject"))
        portal = self._portal(member.get("source"), member.get("portalid"))
        time = self._time(member.get("time"))
        origin = self._origin(member.get("relayorigin"), type_)
        sender_id = self._id(member.get("id"), fallback_id, fresh_id)
        data = member.get("data")
        if data is not None and (problem := _data_fault(data)):
            self.fault("data", problem)
        if member.get("specversion", "1.0") not in ("1.0", None):
            self.fault("specversion", 'must be "1.0"')
        if member.get("datacontenttype", JSON) not in (JSON, None):
            self.fault("datacontenttype", f"must be {JSON}: other data is not read")
        extensions = self._extensions(member)
        if len(self._faults) > before:
            return None
        assert type_ is not None
        assert subject is not None
        assert portal is not None
        entity, entity_id = subject
        return Event(
            id=event_id(source_name, sender_id),
            source=source_name,
            sender_id=sender_id,
            type=type_,
            portal=portal,
            entity=entity,
            entity_id=entity_id,
            received_at=now,
            time=time,
            origin=origin,
            received=data,
            extensions=extensions,
        )

    def _type(self, value: Any) -> str | None:
        if value is None:
            self.fault("type", 'is missing, e.g. "planday.shift.updated"')
        elif not isinstance(value, str) or len(value) > 128 or not _TYPE.fullmatch(value):
            self.fault("type", 'is not words joined by dots, such as "planday.shift.updated", at most 128 characters')
        elif value.lower().startswith("relay.") and value != "relay.test":
            self.fault("type", "types that start with relay. are the relay's own; only relay.test may be sent")
        else:
            return value
        return None

    def _subject(self, value: Any) -> tuple[str, str] | None:
        if value is None:
            self.fault("subject", 'is missing, e.g. "shift/70010045"')
            return None
        match = _SUBJECT.fullmatch(value) if isinstance(value, str) and len(value) <= 128 else None
        if match is None:
            self.fault("subject", 'is not entity/id, such as "shift/70010045", at most 128 characters')
            return None
        return match[1], match[2]

    def _portal(self, source: Any, portalid: Any) -> int | None:
        named: list[int] = []
        bad = False
        if source is not None:
            if not isinstance(source, str):
                self.fault("source", "is not a string")
                bad = True
            elif source.startswith(PORTAL_URN):
                bad |= not self._number("source", source.removeprefix(PORTAL_URN), named)
        if portalid is not None:
            bad |= not self._number("portalid", portalid, named)
        if bad:
            return None
        if not named:
            self.fault("source", f"names no portal: write {PORTAL_URN}NUMBER, or give portalid")
            return None
        if named[0] != named[-1]:
            self.fault("portalid", "is another portal than the one in source")
            return None
        return named[0]

    def _number(self, name: str, value: Any, named: list[int]) -> bool:
        if isinstance(value, str) and _PORTAL.fullmatch(value):
            value = int(value)
        if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= _LARGEST_PORTAL:
            self.fault(name, "is not a portal's number, 1 to 2^63-1")
            return False
        named.append(value)
        return True

    def _id(self, value: Any, fallback: str | None, fresh_id: Callable[[], str]) -> str:
        if value is None and fallback is None:
            return fresh_id()
        what = "is" if value is not None else "is absent, and the webhook-id header that stands in for it is"
        value = fallback if value is None else value
        if not isinstance(value, str) or not 1 <= len(value) <= LONGEST_ID or _CONTROL.search(value):
            self.fault("id", f"{what} not a string of 1 to {LONGEST_ID} characters without control characters")
            return ""
        return value

    def _time(self, value: Any) -> str | None:
        if value is None:
            return None
        match = _TIME.fullmatch(value) if isinstance(value, str) and len(value) <= 64 else None
        if match is not None:
            date, clock, fraction, offset = match.groups()
            try:
                moment = datetime.fromisoformat(f"{date}T{clock}{offset.upper()}").astimezone(UTC)
            except (ValueError, OverflowError):
                moment = datetime.min.replace(tzinfo=UTC)
            if moment.year >= 1970:
                decimals = (fraction or "")[:7].rstrip("0").rstrip(".")
                return f"{moment.isoformat()[:19]}{decimals}Z"
        self.fault("time", 'is not RFC 3339 with an offset, from 1970 on, such as "2026-03-01T08:00:00Z"')
        return None

    def _origin(self, value: Any, type_: str | None) -> Origin:
        if value is not None and (not isinstance(value, str) or value not in _ORIGINS):
            self.fault("relayorigin", 'is not "test" or "native"')
        return Origin.TEST if value == Origin.TEST or type_ == "relay.test" else Origin.NATIVE

    def _extensions(self, member: dict[str, Any]) -> Mapping[str, str]:
        kept: dict[str, str] = {}
        for name, value in member.items():
            if value is None or name in CORE or name in OURS or name.startswith("relay"):
                continue
            if len(self._faults) >= MOST_FAULTS:
                break
            if name == "data_base64":
                self.fault(name, "binary data is not read: send JSON as data")
            elif not _EXTENSION.fullmatch(name):
                self.fault(name, "an attribute's name is 1 to 20 of a-z and 0-9 (CloudEvents); put the rest into data")
            elif isinstance(value, bool):
                kept[name] = "true" if value else "false"
            elif isinstance(value, int) and -(2**31) <= value < 2**31:
                kept[name] = str(value)
            elif isinstance(value, str) and len(value) <= 256 and not _CONTROL.search(value):
                kept[name] = value
            else:
                self.fault(name, "is not a string of at most 256 characters, a 32-bit whole number, true or false")
        if len(kept) > MOST_EXTENSIONS:
            self._faults.append(Fault(self._place, f"has more than {MOST_EXTENSIONS} extension attributes"))
        return kept

    def _shaped(self, member: Any) -> dict[str, Any] | None:
        """Our shape, made of another one by the source's map; nothing else of the body is read."""
        before = len(self._faults)
        shaped: dict[str, Any] = {
            name: self._found(name, expression, member) for name, expression in self._expressions.items()
        }
        if len(self._faults) == before:
            for name in _REQUIRED_OF_MAP:
                if shaped.get(name) is None:
                    self.fault(name, "finds nothing in this body")
        return None if len(self._faults) > before else shaped

    def _found(self, name: _Mapped, expression: str, member: Any) -> Any:
        try:
            found = _compiled(expression).search(member)
            # Through JSON and back: an expression can yield what JSON cannot hold (infinity, a function).
            found = pydantic_core.from_json(pydantic_core.to_json(found), allow_inf_nan=False)
        except Exception as error:  # jmespath lets errors of its built-in functions through as they come
            self.fault(name, f"cannot be evaluated on this body: {type(error).__name__}")
            return None
        if name == "subject" and isinstance(found, list) and all(_is_part(part) for part in found):
            return "/".join(map(str, found))
        return str(found) if name == "id" and _is_part(found) else found


def _is_part(value: Any) -> bool:
    return isinstance(value, str | int) and not isinstance(value, bool)


def _data_fault(data: Any) -> str | None:
    """Too deep to be passed on as JSON, or a number too large for it: both would break later, elsewhere."""
    level = [data]
    for _ in range(DEEPEST_DATA + 1):
        below: list[Any] = []
        for value in level:
            if isinstance(value, dict):
                below.extend(value.values())
            elif isinstance(value, list):
                below.extend(value)
            elif value in (float("inf"), float("-inf")):
                return "holds a number that is too large"
        if not below:
            return None
        level = below
    return f"is nested deeper than {DEEPEST_DATA}"
