"""One look of one feed, from top to bottom: read, compare, store what is new with its events; only then the mark."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta

from relay import telemetry
from relay.feed.compare import SOURCE, Look, Snapshot, appeared_or_changed, gone
from relay.feed.marks import Mark
from relay.feed.reading import OVERLAP, Feed, Part, Window
from relay.persons import NOBODY, ErasedPeople, IsGone, cut_fields, is_theirs
from relay.pipeline import Outside
from relay.planday.feeds import FeedReader
from relay.planday.models import Record
from relay.planday.times import instant
from relay.store.feeds import FeedStore, Observation, Stored

_AT_ONCE = 100
# So many records that are missing are asked for one by one in one look; the others in the next.
_ASKED_FOR = 50
_WHOLE_EVERY = 86400.0
# Of a person who is deactivated, Planday's list leaves these out.
_CARRIED = ("primaryDepartmentId", "supervisorId")
# What lies so far back is beyond what a feed can see: no use to remember (days, by kind).
_REMEMBERED = {"punchclock_entry": 70, "shift": 430, "payroll_line": 430, "absence_request": 520, "absence_record": 520}


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What a look came to."""

    events: int
    rows: int
    whole: bool
    complete: bool
    """False: a list did not hold still, or somebody else wrote; the mark stays and the next look begins there again."""
    kinds: frozenset[str] = frozenset()
    """The kinds of record that it looked at."""


class Looking:
    """One portal's one feed, and one look at it after the other."""

    def __init__(
        self,
        portal: int,
        feed: Feed,
        *,
        reader: FeedReader,
        store: FeedStore,
        kept: Callable[[str], frozenset[str]],
        outside: Outside,
        backfill: float = 0.0,
        erased: ErasedPeople = NOBODY,
    ) -> None:
        """`kept` says which fields of a kind some target may have; `backfill` (seconds) how far a first look tells."""
        self._portal = portal
        self._feed = feed
        self._reader = reader
        self._store = store
        self._kept = kept
        self._outside = outside
        self._backfill = backfill
        self._erased = erased
        self._told = 0

    async def mark(self) -> Mark:
        """How far it has come."""
        return Mark.read(await self._store.mark(self._portal, self._feed.name))

    async def save(self, mark: Mark) -> None:
        await self._store.save_mark(self._portal, self._feed.name, mark.write())

    async def look(self, mark: Mark) -> Result:
        """Look once. Raises PlandayError or StoreError; what was stored by then stays and is not told again."""
        now = self._outside.clock()
        whole = mark.whole is None or (self._feed.daily and now - mark.whole >= _WHOLE_EVERY)
        since = None if mark.read_to is None else mark.read_to - OVERLAP
        window = Window(now=now, since=since, whole=whole)
        self._told = 0
        self._reader.repairing(whole and not mark.first)
        rows, complete, kinds = 0, True, set[str]()
        async for part in self._feed.read(self._reader, window):
            rows += len(part.rows)
            kinds.add(part.kind)
            complete = await self._take(part, mark, window) and complete
        if whole and complete:
            await self._forget(window)
        return Result(events=self._told, rows=rows, whole=whole, complete=complete, kinds=frozenset(kinds))

    async def _take(self, part: Part, mark: Mark, window: Window) -> bool:
        """Compare one part with what is known and store it; False where it has to be looked at again."""
        look = Look(
            portal=self._portal,
            kind=part.kind,
            at=part.at,
            kept=self._kept(part.kind),
            since=window.since or 0.0,
            quiet=not mark.knows(part.kind),
        )
        gone_people = await self._erased.of(self._portal)
        if gone_people is not None:
            part = _without(part, gone_people)
        kept = part.complete
        for batch in self._batches(part):
            numbers = list(batch)
            stored = await self._store.snapshots(self._portal, part.kind, numbers)
            found = [
                await self._row(look, number, record=record, stored=stored.get(number), part=part, mark=mark)
                for number, record in batch.items()
            ]
            kept = await self._observe(part.kind, found) and kept
        if part.covers is not None and part.steady and not mark.first:
            kept = await self._missing(look, part, window, gone_people) and kept
        return kept

    @staticmethod
    def _batches(part: Part) -> Iterator[Mapping[str, Record]]:
        numbers = list(part.rows)
        for begin in range(0, len(numbers), _AT_ONCE):
            yield {number: part.rows[number] for number in numbers[begin : begin + _AT_ONCE]}

    async def _row(
        self, look: Look, number: str, *, record: Record, stored: Stored | None, part: Part, mark: Mark
    ) -> Observation | None:
        if part.deleted:
            at = _moment(record, "dateTimeDeleted")
            if stored is None and mark.began is not None and at is not None and at <= mark.began:
                look = replace(look, quiet=True)  # gone before we first looked
            return gone(look, number, stored, last=record, at=at)
        if look.quiet and self._backfill and self._recent(record, look.at):
            look = replace(look, quiet=False)
        if part.kind == "employee":
            settled = await self._person(number, record, stored, quiet=look.quiet)
            if settled is None:
                return None
            record = settled
        return appeared_or_changed(look, number, record, stored, new=self._new(record, part, mark))

    async def _person(self, number: str, record: Record, stored: Stored | None, *, quiet: bool) -> Record | None:
        """A person as both lists together say; None when one of them is early.

        A dismissal of next month may stand among the deactivated already, and is none yet (planday-api.md 7).
        """
        if record.fields.get("isDeactivated") is not True:
            return record
        known = _fields(stored)
        if known is not None and known.get("isDeactivated") is not True:
            person = await self._reader.employee(int(number))
            if person is not None and person.fields.get("isDeactivated") is False:
                return None
        elif known is None and not quiet and (person := await self._reader.employee(int(number))) is not None:
            known = person.fields  # came and went between two looks: no list has shown the rest
        carried = {name: known[name] for name in _CARRIED if known is not None and name in known}
        return replace(record, fields={**record.fields, **{n: v for n, v in carried.items() if n in record.fields}})

    def _recent(self, record: Record, now: float) -> bool:
        """Whether a first look tells of it, as `backfill` asks: by its day, else by when it was made."""
        for name in ("startDateTime", "date", "dateTimeCreated"):
            if (at := _moment(record, name)) is not None:
                return at >= now - self._backfill
        return True

    def _new(self, record: Record, part: Part, mark: Mark) -> bool:
        """Whether a record that we do not know is new, or only further away than we had looked."""
        if mark.began is None or part.kind != "shift":
            return True
        made, day = _moment(record, "dateTimeCreated"), _moment(record, "date")
        if made is None or made >= mark.began or day is None:
            return True
        # It was there before us: new to the portal's people only if it lies where we would have seen it (a draft).
        reach = timedelta(days=300).total_seconds()
        return mark.began - timedelta(days=44).total_seconds() <= day <= mark.began + reach

    async def _missing(self, look: Look, part: Part, window: Window, gone_people: IsGone | None) -> bool:
        """What was there, should be in this list, and is not."""
        assert part.covers is not None
        first, last = part.covers
        known = await self._store.known(self._portal, part.kind, first=first, last=last)
        absent = [number for number in known if number not in part.rows]
        stored = await self._store.snapshots(self._portal, part.kind, absent)
        absent = [number for number in absent if number in stored and not _is_gone(stored[number])]
        if gone_people is not None:
            # Left out of the list by ourselves; what is remembered of them is about to go.
            absent = [one for one in absent if not is_theirs(part.kind, one, _fields(stored[one]) or {}, gone_people)]
        elsewhere = await self._elsewhere(part, window) if absent else {}
        asked, kept = 0, True
        found: list[Observation | None] = []
        for number in absent:
            if stored[number].read_at > look.at:
                continue
            if number in elsewhere:
                found.append(appeared_or_changed(look, number, elsewhere[number], stored[number]))
                continue
            if part.kind == "shift":
                # Gone from a list is not yet deleted: it may be hidden, or out of this administrator's sight.
                asked += 1
                if asked > _ASKED_FOR:
                    kept = False
                    break
                record = await self._reader.shift(int(number))
                if record is not None:
                    found.append(appeared_or_changed(look, number, record, stored[number]))
                    continue
            found.append(gone(look, number, stored[number]))
        return await self._observe(part.kind, found) and kept

    async def _elsewhere(self, part: Part, window: Window) -> Mapping[str, Record]:
        """Where else a record may be that is missing: a punch whose start was corrected has left its window."""
        if part.kind != "punchclock_entry" or window.whole:
            return {}
        async for wide in self._feed.read(self._reader, replace(window, whole=True)):
            return wide.rows
        return {}

    async def _observe(self, kind: str, found: Sequence[Observation | None]) -> bool:
        observations = [one for one in found if one is not None]
        kept = True
        for begin in range(0, len(observations), _AT_ONCE):
            batch = observations[begin : begin + _AT_ONCE]
            answers = await self._store.observe(self._portal, kind, batch, now=self._outside.clock())
            for one, stored in zip(batch, answers, strict=True):
                kept = kept and stored
                if stored:
                    self._tell(one)
        return kept

    def _tell(self, observation: Observation) -> None:
        self._told += len(observation.events)
        for event in observation.events:
            self._outside.record(
                telemetry.EventReceived(
                    source=SOURCE, result="new", type=event.type, event=event.id, portal=event.portal
                )
            )

    async def _forget(self, window: Window) -> None:
        for kind, days in _REMEMBERED.items():
            if kind in _KINDS.get(self._feed.name, ()):
                await self._store.trim(self._portal, kind, before=window.today.toordinal() - days)


_KINDS: Mapping[str, tuple[str, ...]] = {
    "shifts": ("shift",),
    "punchclock": ("punchclock_entry",),
    "absence": ("absence_request", "absence_record"),
    "payroll": ("payroll_line",),
}


def _without(part: Part, gone_people: IsGone) -> Part:
    """A list without what belongs to erased people, and without what leads to them."""
    rows = {
        number: replace(record, fields=cut_fields(record.fields, gone_people))
        for number, record in part.rows.items()
        if not is_theirs(part.kind, number, record.fields, gone_people)
    }
    return replace(part, rows=rows)


def _fields(stored: Stored | None) -> Mapping[str, object] | None:
    snapshot = Snapshot.read(stored)
    return None if snapshot is None else snapshot.fields


def _is_gone(stored: Stored) -> bool:
    snapshot = Snapshot.read(stored)
    return snapshot is not None and snapshot.gone is not None


def _moment(record: Record, name: str) -> float | None:
    moment = instant(record.fields.get(name))
    return moment.timestamp() if moment else None
