"""Where a person can stand in the store, and how each place is cleared: what a search finds is cleared here."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import pydantic_core

from relay.events import Attempt, DeliveryState
from relay.persons import (
    Needles,
    cut_envelope,
    cut_fields,
    cut_stored,
    owners_of_envelope,
    owners_of_record,
    skeleton,
    values_of,
)
from relay.store.erasing import ErasingStore, Kept, Value
from relay.store.work import Body

# Their values are numbers, keys and states of ours; what looks like an id there is something else.
_OURS = frozenset(
    (
        *("count", "wake", "drains", "workers", "served", "rate", "format", "retention", "erased", "erasedkey"),
        *("portals", "targets", "erasures", "plans", "fm", "arq", "lg", "lgkey", "sig", "n"),
        *("ses", "sessions", "tokens", "try", "alerts"),
    )
)
_TEXTS = {"e": frozenset({"why"}), "d": frozenset({"why"})}
_OPEN = (DeliveryState.WAITING, DeliveryState.SENDING, DeliveryState.PARKED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """Whom it is about, how they are found, and what takes the place of their id."""

    portal: int
    needles: Needles
    pseudonym: str

    @property
    def employee(self) -> str:
        return self.needles.employee

    def is_gone(self, employee: str) -> bool:
        return employee == self.employee

    @property
    def lane(self) -> str:
        """The lane of the events of their own record."""
        return f"{self.portal}:employee:{self.employee}"


@dataclass(slots=True)
class Hits:
    """What one search found: the events that hold something, and single values elsewhere."""

    events: dict[str, None] = field(default_factory=dict)
    values: list[Value] = field(default_factory=list)
    keys: int = 0


@dataclass(frozen=True, slots=True)
class Open:
    """A delivery of an event about the person that has work left."""

    event: str
    target: str
    type: str
    state: str


class Places:
    """Looks for one person in the store, and clears what it finds."""

    def __init__(self, store: ErasingStore, person: Person, clock: Callable[[], float]) -> None:
        self._store = store
        self._person = person
        self._clock = clock
        self.cleared: Counter[str] = Counter()

    @property
    def needles(self) -> Needles:
        return self._person.needles

    @property
    def pseudonym(self) -> str:
        return self._person.pseudonym

    # Finding ---------------------------------------------------------------------------------------

    async def search(self) -> Hits:
        """All values of all keys, looked at once; those of other portals are other people's."""
        hits = Hits()
        async for looked, values in self._store.search(self._person.needles.texts):
            hits.keys += looked
            for one in values:
                if not self._person.needles.within(one.text) or not self._is_meant(one):
                    continue
                kind, _, rest = one.key.partition(":")
                if kind in ("b", "e", "d", "a"):
                    hits.events[rest.partition(":")[0]] = None
                else:
                    hits.values.append(one)
        return hits

    def _is_meant(self, one: Value) -> bool:
        kind, _, rest = one.key.partition(":")
        if one.type == "":
            return self._is_their_key(one.key)
        if kind in _OURS or one.key.startswith(("pd:token:", "pd:limit:")):
            return False
        if one.text.isdigit() and kind not in ("fx", "fs"):
            return False
        if kind in _TEXTS:
            return one.place in _TEXTS[kind] or one.place in ("emp", "lane")
        if kind in ("fs", "fx"):
            portal, _, record = rest.partition(":")
            if portal != str(self._person.portal):
                return False
            own = record == "employee" and one.place == self._person.employee
            return own or (kind == "fs" and self._snapshot_left(one) != one.text)
        if one.key.startswith("pd:cache:"):
            return one.key.split(":")[2] == str(self._person.portal)
        return True

    def _is_their_key(self, key: str) -> bool:
        person = self._person
        index = f"{person.portal}:{person.employee}"
        return (
            key in (f"n:{person.lane}", f"ix:n:{person.lane}", f"le:{person.lane}", f"ix:p:{index}", f"lgp:{index}")
            or (key.startswith("ld:") and key.endswith(f":{person.lane}"))
            or key.startswith(f"pd:cache:{person.lane}:")
        )

    async def events(self, hits: Hits) -> tuple[list[Kept], list[Kept]]:
        """Of the events found: those about the person, and those that only mention them."""
        about, mentioning = [], []
        for id_ in hits.events:
            kept = await self._store.kept(id_)
            if kept is None or kept.portal != str(self._person.portal):
                continue
            if self.is_about(kept):
                about.append(kept)
            elif self._cut(kept) or await self._attempts_with(kept) or await self._texts_with(kept):
                mentioning.append(kept)
        return about, mentioning

    def is_about(self, kept: Kept) -> bool:
        """Whether an event is about the person; a skeleton is not any more."""
        employee, envelope = self._person.employee, kept.envelope
        if kept.erased:
            return False
        if envelope is not None:
            return employee in owners_of_envelope(envelope)
        return employee in owners_of_record(kept.record)

    @staticmethod
    def open_deliveries(kept: Kept) -> list[Open]:
        """What of an event has work left."""
        type_ = str(kept.record["type"])
        return [Open(kept.id, target, type_, state) for target, state in kept.deliveries.items() if state in _OPEN]

    def telling(self, about: list[Kept], mentioning: list[Kept], hits: Hits) -> frozenset[str]:
        """What tells who the person is, as far as any record of theirs that is kept says it."""
        found: set[str] = set()
        for kept in (*about, *mentioning):
            for envelope in (kept.envelope, *(pydantic_core.from_json(own) for own in kept.own.values())):
                found |= self._told_by(kept.record, envelope or {})
        for one in hits.values:
            if one.key.startswith(f"pd:cache:{self._person.lane}:"):
                body = pydantic_core.from_json(one.text.partition(b"\n")[2]) if b"\n" in one.text else {}
                found |= values_of((body.get("body") or {}).get("fields"))
            elif one.key == f"fs:{self._person.portal}:employee" and one.place == self._person.employee:
                found |= values_of(_snapshot(one.text).get("f"))
        return frozenset(found)

    def _told_by(self, record: Mapping[str, Any], envelope: Mapping[str, Any]) -> set[str]:
        data = envelope.get("data") or {}
        person = (data.get("related") or {}).get("employee") or {}
        found = set(values_of(person)) if str(person.get("id")) == self._person.employee else set()
        if record["ent"] == "employee" and record["eid"] == self._person.employee:
            changes, seen = data.get("changes") or {}, record.get("seen") or {}
            whole = data.get("object") or seen.get("obj") or {}
            sides: list[Any] = [changes.get("before"), changes.get("after"), seen.get("before"), seen.get("after")]
            for side in (None, *sides):
                found |= values_of({**whole, **(side or {})})
        return found

    # Clearing --------------------------------------------------------------------------------------

    async def skeletonise(self, kept: Kept) -> bool:
        """Leave of an event about the person what the counts need; False: not now."""
        person, record = self._person, kept.record
        own = kept.lane == person.lane
        subject = person.pseudonym if own else record["eid"]
        lines = Body.read(kept.body)
        left = pydantic_core.to_json(skeleton(record, subject=subject))
        if lines.refusals is not None:
            left += b"\n\n" + lines.refusals
        answer = await self._store.end_event(
            kept.id,
            now=self._clock(),
            employee=person.employee,
            lane=f"{person.portal}:employee:{person.pseudonym}" if own else "",
            read=kept.body,
            body=left,
            reason="the person was erased",
        )
        if answer not in ("erased", "missing"):
            return False
        await self._cut_attempts(kept, whole=True)
        await self._mask_texts(kept)
        self.cleared["events"] += 1
        return True

    async def cut(self, kept: Kept) -> None:
        """Take the person out of an event that is about somebody else."""
        now = self._clock()
        for name, old, new in self._cut(kept):
            await self._store.swap("string", name, "", old, new, now=now)
        await self._cut_attempts(kept, whole=False)
        await self._mask_texts(kept)
        await self._store.forget_person(kept.id, portal=kept.portal, employee=self._person.employee, now=now)
        self.cleared["mentions"] += 1

    def _cut(self, kept: Kept) -> list[tuple[str, bytes, bytes]]:
        """What has to be written anew: key, what stands there, what shall."""
        lines = kept.body.split(b"\n")
        person, changed = self._person, False
        record = kept.record
        if cut_stored(record, person.is_gone, person.needles.mentioned):
            lines[0], changed = pydantic_core.to_json(record), True
        envelope = kept.envelope
        if envelope is not None and cut_envelope(envelope, person.is_gone, person.needles.mentioned):
            lines[1], changed = pydantic_core.to_json(envelope), True
        found = [(f"b:{kept.id}", kept.body, b"\n".join(lines))] if changed else []
        for target, raw in kept.own.items():
            own = dict(pydantic_core.from_json(raw))
            if person.employee in owners_of_envelope(own):
                own["data"] = {"object": None, "enrichment": own["data"].get("enrichment")}
                own.pop("employeeid", None)
            elif not cut_envelope(own, person.is_gone, person.needles.mentioned):
                continue
            found.append((f"b:{kept.id}:{target}", raw, pydantic_core.to_json(own)))
        return found

    async def _attempts_with(self, kept: Kept) -> bool:
        found = [raw for target in kept.targets for raw in await self._store.attempts(kept.id, target)]
        return any(map(self._person.needles.within, found))

    async def _cut_attempts(self, kept: Kept, *, whole: bool) -> None:
        """Take out what went and came back: all of it where the event is about the person, else where it names them."""
        for target in kept.targets:
            for index, raw in enumerate(await self._store.attempts(kept.id, target)):
                if not whole and not self._person.needles.within(raw):
                    continue
                left = _bare(Attempt.from_json(raw))
                if left != raw and await self._store.swap(
                    "list", f"a:{kept.id}:{target}", index, raw, left, now=self._clock()
                ):
                    self.cleared["attempts"] += 1

    async def _texts_with(self, kept: Kept) -> list[tuple[str, bytes]]:
        return [
            (key, text)
            for key, text in await self._store.reasons(kept.id, kept.targets)
            if self._person.needles.within(text)
        ]

    async def _mask_texts(self, kept: Kept) -> None:
        for key, text in await self._texts_with(kept):
            masked = self._person.needles.masked(text)
            await self._store.swap("hash", key, "why", text, masked, now=self._clock())

    async def clear(self, one: Value) -> None:
        """Clear one value that stands beside the line."""
        kind, _, _ = one.key.partition(":")
        store, needles = self._store, self._person.needles
        if one.key.startswith("pd:cache:"):
            self.cleared["cached"] += await store.remove_key(one.key)
        elif one.type == "":
            # Empty by now, or an index of nothing: what stood under it has gone or has another name.
            if not one.key.startswith(("ix:n:", "le:", "ld:")):
                await store.remove_key(one.key)
        elif kind == "fs":
            left = self._snapshot_left(one)
            if left is None:
                await store.remove_snapshot(one.key, one.place)
                self.cleared["snapshots"] += 1
            elif left != one.text:
                await store.swap("hash", one.key, one.place, one.text, left, now=self._clock())
        elif kind == "fx" or one.type in ("zset", "set"):
            await store.remove_member(one.key, one.type, one.place)
        elif one.key == "quarantine":
            body = {**pydantic_core.from_json(one.text), "b": "", "all": False}
            left = needles.masked(pydantic_core.to_json(body))
            self.cleared["quarantined"] += await store.swap(
                "list", one.key, one.place, one.text, left, now=self._clock()
            )
        elif one.type in ("string", "hash", "list"):
            left = _masked(one.text, needles)
            name = {"plan": "plans", "audit": "acts"}.get(kind, "texts")
            self.cleared[name] += await store.swap(
                one.type,  # type: ignore[arg-type]
                one.key,
                one.place,
                one.text,
                left,
                now=self._clock(),
            )

    def _snapshot_left(self, one: Value) -> bytes | None:
        """What stays of a snapshot: None where it is theirs, the same where it has nothing of theirs."""
        person = self._person
        _, _, kind = one.key.split(":")
        if kind == "employee" and one.place == person.employee:
            return None
        if one.text == one.place.encode():
            return one.text
        body = _snapshot(one.text)
        fields = body.get("f") or {}
        if kind != "employee" and fields.get("employeeId") is not None and person.is_gone(str(fields["employeeId"])):
            return None
        left = cut_fields(fields, person.is_gone, person.needles.mentioned)
        if left == fields:
            return one.text
        version, read_at, _ = one.text.split(b"\n", 2)
        return b"\n".join((version, read_at, pydantic_core.to_json({**body, "f": left})))


def _snapshot(text: bytes) -> dict[str, Any]:
    parts = text.split(b"\n", 2)
    return dict(pydantic_core.from_json(parts[2])) if len(parts) == 3 else {}


def _bare(attempt: Attempt) -> bytes:
    """An attempt without a word of what went out or came back."""
    bare = Attempt(
        number=attempt.number,
        started_at=attempt.started_at,
        ended_at=attempt.ended_at,
        outcome=attempt.outcome,
        reason="(erased)",
        status=attempt.status,
        retry_at=attempt.retry_at,
        replay=attempt.replay,
    )
    return bare.to_json()


def _masked(text: bytes, needles: Needles) -> bytes:
    """A text of ours, or JSON of ours, in which the person stands nowhere any more; numbers stay numbers."""
    try:
        value = pydantic_core.from_json(text)
    except ValueError:
        return needles.masked(text)

    def inner(one: Any, name: str = "") -> Any:
        if isinstance(one, str):
            return needles.masked(one.encode()).decode()
        if isinstance(one, list):
            return [inner(part, name) for part in one]
        if isinstance(one, dict):
            return {key: inner(part, key) for key, part in one.items()}
        return "(erased)" if "employee" in name and str(one) == needles.employee else one

    return pydantic_core.to_json(inner(value))
