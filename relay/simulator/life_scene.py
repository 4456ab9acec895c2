"""What everybody in a living portal shares: its seed, its agenda, and where its shifts and punches are found."""

import heapq
import random
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, TypeVar
from zoneinfo import ZoneInfo

from relay.simulator.simulator import Simulator
from relay.simulator.state import Portal, Record

T = TypeVar("T")
# Something that may happen now; False if there was no occasion for it.
Chance = Callable[["Scene"], bool]


def text(moment: datetime) -> str:
    """A wall-clock minute, as records hold it."""
    return moment.strftime("%Y-%m-%dT%H:%M")


class Scene:
    """One living portal; every draw comes from one seeded source, so that the same seed lives the same life."""

    def __init__(self, simulator: Simulator, portal_id: int, *, seed: int, shifts_per_day: float, ahead: int) -> None:
        self.simulator = simulator
        self.portal_id = portal_id
        self.random = random.Random(f"{seed}/{portal_id}")
        self.zone = ZoneInfo(self.portal.zone)
        self.shifts_per_day = shifts_per_day
        self.ahead = ahead
        self.time = simulator.clock.now()
        # People, departments and the days of shifts and punches; ids of what is gone stay until met.
        self.people: list[int] = []
        self.left: list[int] = []
        self.departments: list[int] = []
        self.shift_days: dict[date, list[int]] = {}
        self.punch_days: dict[date, list[int]] = {}
        self._agenda: list[tuple[datetime, int, Callable[[], object]]] = []
        self._added = 0

    @property
    def portal(self) -> Portal:
        """The portal as it is now."""
        return self.simulator.portals[self.portal_id]

    @property
    def local(self) -> datetime:
        """The portal's wall clock."""
        return self.time.astimezone(self.zone)

    @property
    def today(self) -> date:
        """The portal's day."""
        return self.local.date()

    def at(self, when: datetime, what: Callable[[], object]) -> None:
        """Put something on the agenda; what is late happens next."""
        self._added += 1
        heapq.heappush(self._agenda, (when.astimezone(UTC), self._added, what))

    def after(self, seconds: float, what: Callable[[], object]) -> None:
        """Put something on the agenda for later."""
        self.at(self.time + timedelta(seconds=seconds), what)

    def on(self, day: date, hour: float, what: Callable[[], object]) -> None:
        """Put something on the agenda for an hour of a day."""
        self.at(self.instant(datetime.combine(day, time()) + timedelta(hours=hour)), what)

    @property
    def next_at(self) -> datetime:
        """When something happens next; a day always begins tomorrow."""
        return self._agenda[0][0]

    def live_next(self) -> None:
        """Let the next thing happen."""
        when, _, what = heapq.heappop(self._agenda)
        self.time = max(when, self.time)
        what()

    def instant(self, local: datetime) -> datetime:
        """The instant of a wall clock time; of a repeated one the first."""
        return local.replace(tzinfo=self.zone).astimezone(UTC)

    def act(self, entity: str, action: str, **fields: Any) -> Record:
        """Do something in the portal, as anybody could through the control endpoint."""
        _, record, _ = self.simulator.act(self.portal_id, entity, action, **fields)
        return record

    # Choosing

    def chance(self, probability: float) -> bool:
        """True as often as that."""
        return self.random.random() < probability

    def pick(self, things: Sequence[T]) -> T | None:
        """One of them, or None."""
        return self.random.choice(things) if things else None

    def person(self) -> int | None:
        """Somebody who works here."""
        return self.pick(self.people)

    def shift(self, first: int, last: int, fits: Callable[[Record], bool]) -> Record | None:
        """A shift of one of these days, counted from today, that fits."""
        return self._found(self.shift_days, self.portal.shifts, first, last, fits)

    def punch(self, first: int, last: int, fits: Callable[[Record], bool]) -> Record | None:
        """A punch of one of these days, counted from today, that fits."""
        return self._found(self.punch_days, self.portal.punches, first, last, fits)

    def note_shift(self, shift: Record) -> Record:
        """Remember where a shift is found."""
        self.shift_days.setdefault(date.fromisoformat(shift["date"]), []).append(shift["id"])
        return shift

    def note_punch(self, punch: Record) -> Record:
        """Remember where a punch is found."""
        self.punch_days.setdefault(date.fromisoformat(punch["startDateTime"][:10]), []).append(punch["id"])
        return punch

    def _found(
        self,
        days: dict[date, list[int]],
        rows: dict[int, Record],
        first: int,
        last: int,
        fits: Callable[[Record], bool],
    ) -> Record | None:
        for _ in range(12):
            record_id = self.pick(days.get(self.today + timedelta(days=self.random.randint(first, last)), []))
            record = rows.get(record_id) if record_id is not None else None
            if record is not None and fits(record):
                return record
        return None
