"""Whom an event is about, where else a person stands in it, and the same without them. Pure.

An event is about a person when it is an event of their record (`employee/ID`), or of a record that is theirs now
(`employeeId`), or was theirs when it went. All other places only mention them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol
from urllib.parse import quote, quote_plus

from relay.events import Event

IsGone = Callable[[str], bool]
"""Whether an employee of this id, of the portal in question, was erased."""
Mentions = Callable[[Any], bool]
"""Whether a sender's own words, whatever they look like, name such a person."""


class ErasedPeople(Protocol):
    """Who was erased, for those who read or tell of people. Raises StoreError."""

    async def of(self, portal: int) -> IsGone | None:
        """Whether an employee of this portal was erased, as a question; None while nobody was."""


class NobodyErased:
    """Where nothing is ever erased."""

    async def of(self, _portal: int) -> IsGone | None:
        return None


NOBODY: ErasedPeople = NobodyErased()

REFERENCES = ("employeeId", "supervisorId", "supervisorEmployeeId", "deletedBy")
"""The fields of Planday's records that hold an employee's id."""
_OWNER = "employeeId"
# What tells who a person is; a first name alone may be anybody's.
_TELLING = ("email", "userName", "cellPhone", "phone", "salaryIdentifier")
_SHORTEST = 4
# A number as short as this stands for all kinds of things.
_SHORTEST_NUMBER = 6
_FREE_TEXT = ("comment", "description", "note")
_ID = re.compile(r"[0-9]{1,19}")


def owners_of_event(event: Event) -> frozenset[str]:
    """Whom an event is about, as far as the relay itself knows before anything is read."""
    if event.entity == "employee":
        return frozenset({event.entity_id})
    if event.seen is None:
        return frozenset()
    return _owner(event.seen.before if event.seen.object is None else event.seen.object)


def owners_of_envelope(envelope: Mapping[str, Any]) -> frozenset[str]:
    """Whom an enriched event is about; a sender's word counts only where Planday shows no record."""
    kind, _, number = str(envelope.get("subject", "")).partition("/")
    data: Mapping[str, Any] = envelope.get("data") or {}
    if kind == "employee":
        return frozenset({number})
    if data.get("object"):
        return _owner(data["object"])
    before = (data.get("changes") or {}).get("before")
    return _owner(before) or _owner(data.get("received")) or _named(envelope.get("employeeid"))


def owners_of_record(record: Mapping[str, Any]) -> frozenset[str]:
    """The same of an accepted event as it is stored (`Event.to_json`), the sender's word included."""
    if record["ent"] == "employee":
        return frozenset({record["eid"]})
    if seen := record.get("seen"):
        return _owner(seen["before"] if seen["obj"] is None else seen["obj"])
    return _owner(record.get("data")) or _named((record.get("ext") or {}).get("employeeid"))


def cut_envelope(envelope: dict[str, Any], gone: IsGone, mentions: Mentions) -> bool:
    """Take the mentions of erased people out of an event that is about somebody else; whether there were any."""
    data = envelope.get("data") or {}
    found = _cut_record(data.get("object"), gone) | _cut_text(data.get("object"), mentions)
    related = data.get("related") or {}
    for name, record in list(related.items()):
        if _is_theirs(name, record, gone):
            del related[name]
            found = True
        else:
            found |= _cut_record(record, gone) | _cut_text(record, mentions)
    changes = data.get("changes") or {}
    for side in ("before", "after"):
        found |= _cut_side(changes, side, gone) | _cut_text(changes.get(side), mentions)
    if data.get("received") is not None and mentions(data["received"]):
        del data["received"]
        found = True
    for name in [name for name, value in envelope.items() if name not in _OURS and mentions(value)]:
        del envelope[name]
        found = True
    return found


def cut_stored(record: dict[str, Any], gone: IsGone, mentions: Mentions) -> bool:
    """The same of an accepted event as it is stored; whether there were any mentions."""
    found = False
    if seen := record.get("seen"):
        found |= _cut_record(seen.get("obj"), gone) | _cut_text(seen.get("obj"), mentions)
        for side in ("before", "after"):
            found |= _cut_side(seen, side, gone) | _cut_text(seen.get(side), mentions)
    if record.get("data") is not None and mentions(record["data"]):
        record["data"], found = None, True
    for name, value in list((record.get("ext") or {}).items()):
        if mentions(value):
            del record["ext"][name]
            found = True
    return found


def cut_fields(fields: Mapping[str, Any], gone: IsGone, mentions: Mentions | None = None) -> dict[str, Any]:
    """A record's fields in which no reference leads to an erased person any more, and no free text names one."""
    kept = dict(fields)
    _cut_record(kept, gone)
    free = [name for name in _FREE_TEXT if mentions is not None and kept.get(name) is not None and mentions(kept[name])]
    return {name: value for name, value in kept.items() if name not in free}


def skeleton(record: Mapping[str, Any], *, subject: str) -> dict[str, Any]:
    """What is left of an event about an erased person: which one it was, and when; nothing that anybody wrote."""
    return {**record, "sid": "", "eid": subject, "ext": {}, "data": None} | ({"seen": None} if "seen" in record else {})


def is_theirs(kind: str, number: str, fields: Mapping[str, Any], gone: IsGone) -> bool:
    """Whether a record of Planday's is that of an erased person, or belongs to one."""
    owner = number if kind == "employee" else fields.get(_OWNER)
    return owner is not None and gone(str(owner))


def values_of(record: Any) -> frozenset[str]:
    """What in an employee's record tells who they are, long enough to be searched for."""
    if not isinstance(record, Mapping):
        return frozenset()
    found = {str(record[name]).strip() for name in _TELLING if record.get(name)}
    if record.get("firstName") and record.get("lastName"):
        found.add(f"{record['firstName']} {record['lastName']}")
    return frozenset(one for one in found if len(one) >= (_SHORTEST_NUMBER if one.isdigit() else _SHORTEST))


def by_ids(gone: IsGone) -> Mentions:
    """Mentions by id alone: all that can be known of a person once they are erased."""

    def mentions(value: Any) -> bool:
        if isinstance(value, Mapping):
            return any(map(mentions, value.values()))
        if isinstance(value, list | tuple):
            return any(map(mentions, value))
        text = str(value)
        return not isinstance(value, bool) and bool(_ID.fullmatch(text)) and gone(text)

    return mentions


class Needles:
    """What is searched for to find one person: their id as a whole word, and what tells who they are."""

    def __init__(self, employee: str, values: Iterable[str] = ()) -> None:
        self.employee = employee
        self.values = frozenset(values)
        self._id = re.compile(rb"(?<![0-9A-Za-z_.])" + re.escape(employee).encode() + rb"(?![0-9A-Za-z_]|\.[0-9])")
        parts = {spelt for value in self.values for spelt in _spellings(value)}
        ordered = sorted(parts, key=len, reverse=True)
        self.texts = (employee.encode(), *(text.lower() for text in ordered))
        """All that has to be looked for, in lower case."""
        self._values = re.compile(b"|".join(map(_whole, ordered)), re.IGNORECASE) if ordered else None

    def __len__(self) -> int:
        return 1 + len(self.values)

    def names(self, text: bytes) -> bool:
        """Whether a text holds the person's id."""
        return self._id.search(text) is not None

    def tells(self, text: bytes) -> bool:
        """Whether a text holds anything else that tells who they are: of whichever portal it is, it is them."""
        return self._values is not None and self._values.search(text) is not None

    def within(self, text: bytes) -> bool:
        return self.names(text) or self.tells(text)

    def mentioned(self, value: Any) -> bool:
        """Whether a sender's own words, as they were parsed, hold any of it."""
        return self.within(json.dumps(value, ensure_ascii=False, default=str).encode())

    def masked(self, text: bytes) -> bytes:
        """A text of people with all of it taken out."""
        masked = text if self._values is None else self._values.sub(b"(erased)", text)
        return self._id.sub(b"(erased)", masked)


_OURS = frozenset(
    (
        *("specversion", "id", "source", "type", "subject", "time", "timestamp", "datacontenttype", "dataschema"),
        *("portalid", "departmentid", "sequence", "relayorigin", "correlationid", "data"),
    )
)


def _owner(record: Any) -> frozenset[str]:
    return _named(record.get(_OWNER)) if isinstance(record, Mapping) else frozenset()


def _named(value: Any) -> frozenset[str]:
    return frozenset() if value in (None, "") else frozenset({str(value)})


def _is_theirs(name: str, record: Any, gone: IsGone) -> bool:
    if not isinstance(record, Mapping):
        return False
    number = record.get("id") if name == "employee" else record.get(_OWNER)
    return number is not None and gone(str(number))


def _cut_record(record: Any, gone: IsGone) -> bool:
    if not isinstance(record, dict):
        return False
    names = [name for name in REFERENCES if record.get(name) is not None and gone(str(record[name]))]
    for name in names:
        record[name] = None
    return bool(names)


def _cut_text(record: Any, mentions: Mentions) -> bool:
    """Free text that names the person goes as a whole."""
    if not isinstance(record, dict):
        return False
    names = [name for name in _FREE_TEXT if record.get(name) is not None and mentions(record[name])]
    for name in names:
        record[name] = None
    return bool(names)


def _cut_side(changes: dict[str, Any], side: str, gone: IsGone) -> bool:
    """Of what differs, the side that was theirs goes whole: it is the state of a record that they had."""
    if _is_theirs("", changes.get(side), gone):
        changes[side] = {}
        return True
    return _cut_record(changes.get(side), gone)


def _whole(text: bytes) -> bytes:
    """A pattern that does not find a number within a longer one."""
    before, after = rb"(?<![0-9])" if text[:1].isdigit() else b"", rb"(?![0-9])" if text[-1:].isdigit() else b""
    return before + re.escape(text) + after


def _spellings(value: str) -> set[bytes]:
    """A value as it may stand in what is stored: plain, in JSON, in JSON within JSON, in a URL."""
    once = json.dumps(value)[1:-1]
    texts = {value, once, json.dumps(once)[1:-1], quote(value), quote_plus(value)}
    return {text.encode() for text in texts}
