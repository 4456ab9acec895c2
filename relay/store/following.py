"""Follows the line as it goes: every new event once, and what becomes of it.

By looking again and again, since the store tells nobody: a look costs a few round trips, however much the store
holds. An event's place in the index is the time at which its receiver took it, and with several receivers that is
not quite the order in which they are written. So every look begins a little before the newest that it knows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

from relay.events import Attempt, Delivery, DeliveryState, EventRecord, EventState
from relay.store.client import command, translated
from relay.store.keys import Keys
from relay.store.reading import Reading
from relay.store.store import ms

OVERLAP = 10.0
"""Seconds: more than clocks may differ (1 s) and a receiver waits for the store."""
_STEP = 1000
_LOOKED_AT = 500
_MOST = 5000

_ENDS = frozenset(DeliveryState) - {DeliveryState.WAITING, DeliveryState.SENDING}


@dataclass(frozen=True, slots=True)
class Came:
    """An event that nobody was told of before."""

    record: EventRecord


@dataclass(frozen=True, slots=True)
class Handled:
    """An event that is enriched and routed, or came to an end before that."""

    record: EventRecord


@dataclass(frozen=True, slots=True)
class Moved:
    """A delivery that came to an end, or failed once more and waits; with its last attempt, if there was one."""

    record: EventRecord
    delivery: Delivery
    attempt: Attempt | None


@dataclass(frozen=True, slots=True)
class LetGo:
    """So many events, the oldest, are followed no more, because too many are open at once."""

    count: int


Happening = Came | Handled | Moved | LetGo


@dataclass(slots=True)
class _Followed:
    record: EventRecord
    handled: bool = False
    marks: dict[str, _Mark] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Mark:
    """What was last seen of a delivery."""

    state: DeliveryState = DeliveryState.WAITING
    attempts: int = 0
    round: int = 1

    def says_something(self, before: _Mark) -> bool:
        """Whether one wants to be told of this, when `before` is known."""
        if self.state in _ENDS:
            return self != before
        return self.attempts > (before.attempts if self.round == before.round else 0)


class Following:
    """New events from `begin` on. `type` is a pattern with `*`; with a `target`, only what is routed there."""

    def __init__(
        self,
        reading: Reading,
        keys: Keys,
        *,
        type: str | None = None,
        portal: int | None = None,
        target: str | None = None,
        most: int = _MOST,
    ) -> None:
        self._reading, self._keys = reading, keys
        self._type, self._portal, self._target = type, portal, target
        self._most = most
        self._floor = self._low = self._high = 0.0
        self._skip = 0
        self._seen: dict[str, float] = {}
        self._open: dict[str, _Followed] = {}
        self._found: list[Happening] = []
        self.behind = False
        """Whether there is more to be told at once."""

    async def begin(self, now: float, *, since: float | None = None) -> None:
        """Begin with what is accepted from now on, or was from `since` on (seconds). Raises StoreError."""
        self._floor = self._low = self._high = float(ms(now - OVERLAP if since is None else since))
        self.behind = since is None
        while self.behind:
            self._pass(await self._range())

    async def look(self) -> list[Happening]:
        """What happened since the last look, in order. Raises StoreError: then the next look tells it."""
        page = await self._range()
        new = [id_ for id_, _ in page if id_ not in self._seen]
        records = await self._reading.events(new)
        self._pass(page)
        fresh = [record for record in records if record is not None and self._wanted(record)]
        for record in fresh:
            self._open[record.event.id] = _Followed(record)
            if self._target is None:
                self._found.append(Came(record))
        await self._progress(self._turn())
        if (over := len(self._open) - self._most) > 0:
            for id_ in list(self._open)[:over]:
                del self._open[id_]
            self._found.append(LetGo(over))
        found, self._found = self._found, []
        return found

    def _wanted(self, record: EventRecord) -> bool:
        event = record.event
        return (self._type is None or fnmatchcase(event.type, self._type)) and self._portal in (None, event.portal)

    def _turn(self) -> list[str]:
        """Those of the open ones whose turn it is: a look costs the same however many there are."""
        ids = list(self._open)
        if len(ids) <= _LOOKED_AT:
            return ids
        # Half for the newest, of which there is most to tell; the others in turn.
        newest, others = ids[-_LOOKED_AT // 2 :], ids[: _LOOKED_AT // 2]
        rest = ids[_LOOKED_AT // 2 : -_LOOKED_AT // 2]
        self._open = {id_: self._open[id_] for id_ in (*rest, *others, *newest)}
        return [*others, *newest]

    async def _range(self) -> list[tuple[str, float]]:
        """The next step of the index, oldest first."""
        with translated():
            found = await self._reading.client.zrangebyscore(
                self._keys.events, repr(self._low), "+inf", start=self._skip, num=_STEP, withscores=True
            )
        return [(id_.decode(), score) for id_, score in found]

    def _pass(self, page: Sequence[tuple[str, float]]) -> None:
        """Go on from a page that was read, back to the overlap where it was the last one."""
        self._seen |= page
        self._high = max(self._high, page[-1][1] if page else 0)
        oldest = self._high - OVERLAP * 1000
        self.behind = len(page) == _STEP
        if not self.behind:
            self._low, self._skip = max(self._floor, oldest), 0
        elif page[-1][1] > self._low:
            self._low, self._skip = page[-1][1], 0
        else:
            self._skip += _STEP
        self._seen = {id_: score for id_, score in self._seen.items() if score >= oldest}

    async def _progress(self, ids: Sequence[str]) -> None:
        """What became of these since they were looked at last."""
        await self._handled([id_ for id_ in ids if not self._open[id_].handled])
        routed = [one for id_ in ids if (one := self._open.get(id_)) and one.handled]
        marks = await self._marks(routed)
        moved = [one for one in routed if any(_news(one.marks, marks[one.record.event.id]))]
        found: list[Happening] = []
        for one in moved:
            deliveries = {each.target: each for each in await self._reading.deliveries_of(one.record)}
            seen = marks[one.record.event.id]
            # What is told is what is remembered: it may have gone on since the marks were read.
            seen |= {name: _Mark(each.state, each.attempts, each.round) for name, each in deliveries.items()}
            news = _news(one.marks, {name: seen[name] for name in self._targets(one.record) if name in seen})
            ended = [deliveries[target] for target in news if target in deliveries]
            found += [Moved(one.record, each, await self._last_attempt(each)) for each in ended]
        # From here on nothing can fail any more.
        self._found += found
        for one in routed:
            one.marks = marks[one.record.event.id]
            if all(mark.state in _ENDS for mark in one.marks.values()):
                del self._open[one.record.event.id]

    async def _handled(self, ids: Sequence[str]) -> None:
        """Of events that nobody had handled yet: those that were."""
        with translated():
            pipe = self._reading.client.pipeline(transaction=False)
            for id_ in ids:
                pipe.hget(self._keys.event(id_), "st")
            states = await pipe.execute() if ids else []
        done = [id_ for id_, state in zip(ids, states, strict=True) if state != EventState.ACCEPTED.value.encode()]
        for id_, record in zip(done, await self._reading.events(done), strict=True):
            if record is not None:
                self._tell_handled(self._open[id_], record)
            if record is None or record.state is not EventState.ROUTED or not self._targets(record):
                del self._open[id_]

    def _tell_handled(self, followed: _Followed, record: EventRecord) -> None:
        followed.record, followed.handled = record, True
        if self._target is not None:
            if self._target not in record.targets:
                return
            self._found.append(Came(record))
        self._found.append(Handled(record))

    def _targets(self, record: EventRecord) -> tuple[str, ...]:
        return record.targets if self._target is None else tuple(one for one in record.targets if one == self._target)

    async def _marks(self, routed: Sequence[_Followed]) -> dict[str, dict[str, _Mark]]:
        """Per event and target how the delivery stands; what is gone is left out."""
        found: dict[str, dict[str, _Mark]] = {one.record.event.id: {} for one in routed}
        pairs = [(one.record.event.id, target) for one in routed for target in self._targets(one.record)]
        with translated():
            pipe = self._reading.client.pipeline(transaction=False)
            for id_, target in pairs:
                pipe.hmget(self._keys.delivery(id_, target), ["st", "n", "rd"])
            answers = await pipe.execute() if pairs else []
        for (id_, target), (state, attempts, round_) in zip(pairs, answers, strict=True):
            if state is not None:
                found[id_][target] = _Mark(DeliveryState(state.decode()), int(attempts or 0), int(round_ or 1))
        return found

    async def _last_attempt(self, delivery: Delivery) -> Attempt | None:
        raw = await command(self._reading.client, "LINDEX", self._keys.attempts(delivery.event, delivery.target), -1)
        return None if raw is None else Attempt.from_json(raw)


def _news(before: Mapping[str, _Mark], now: Mapping[str, _Mark]) -> list[str]:
    """The targets of which there is something to tell."""
    return [name for name, mark in now.items() if mark.says_something(before.get(name, _Mark()))]
