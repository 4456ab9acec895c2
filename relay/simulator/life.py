"""A living portal: the same seed makes the same people do the same things at the same times."""

from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Iterator, Sequence
from datetime import datetime, timedelta
from functools import partial

from relay.simulator import life_people, life_punches, life_schedule
from relay.simulator.clock import Clock
from relay.simulator.life_population import midnight, populate
from relay.simulator.life_scene import Scene
from relay.simulator.oracle import Expected, Look, coalesced
from relay.simulator.simulator import Simulator
from relay.simulator.state import Change, Record

MINUTE = timedelta(minutes=1)
# How much of a day's changes is the work itself (drafts, publishing, punches, approvals), and how many changes one
# shift makes from draft to approval.
_WORK_SHARE, _CHANGES_PER_SHIFT = 0.5, 5.9
# How busy the hours of a day are; nights are quiet.
_HOURS = (0.02, 0.02, 0.02, 0.02, 0.02, 0.1, 0.4, 0.9, 1.6, 1.9, 1.9, 1.7, 1.3, 1.5, 1.6, 1.7, 1.6, 1.4, 1.2, 1.1)
_PROFILE = (*_HOURS, 0.9, 0.7, 0.4, 0.2)
_PEAK = max(_PROFILE) * 24 / sum(_PROFILE)
_CHANCES = [*life_schedule.CHANCES, *life_punches.CHANCES, *life_people.CHANCES]


class Life:
    """One portal's people, and what they do from now on."""

    def __init__(
        self,
        simulator: Simulator,
        portal_id: int,
        *,
        seed: int,
        people: int = 200,
        changes_per_day: float | None = None,
        ahead_days: int = 14,
        history_days: int = 31,
    ) -> None:
        self.simulator = simulator
        self.portal_id = portal_id
        self.seed = seed
        self.people = people
        # 1,500 a day for 200 people.
        self.changes_per_day = 7.5 * people if changes_per_day is None else changes_per_day
        self._ahead = ahead_days
        self._history = history_days
        self.begin()
        simulator.lives.append(self)

    def begin(self) -> None:
        """Fill the portal, quietly, and plan the rest of today; also after the simulator's reset."""
        self.first_change = len(self.simulator.changes)
        work = self.changes_per_day * _WORK_SHARE / _CHANGES_PER_SHIFT
        self._scene = Scene(
            self.simulator,
            self.portal_id,
            seed=self.seed,
            shifts_per_day=min(work, self.people * 0.8),
            ahead=self._ahead,
        )
        populate(self._scene, people=self.people, history=self._history)
        self._scene.portal.late_punches.clear()
        for day in (-1, 0):
            for punch_id in self._scene.punch_days.get(self._scene.today + timedelta(days=day), []):
                self._resume(self._scene.portal.punches[punch_id])
        self._begin_day()
        self._expect_chance()

    @property
    def next_at(self) -> datetime:
        """When something happens next."""
        return self._scene.next_at

    def live_next(self) -> None:
        """Let the next thing happen, without moving the clock."""
        self._scene.live_next()

    def steps(self, until: datetime, *, step: timedelta = MINUTE) -> Iterator[Clock]:
        """Live step by step, moving the clock; the caller does what it likes in between."""
        return steps([self], until, step=step)

    def run(
        self, until: datetime, *, step: timedelta = MINUTE, on_step: Callable[[Clock], object] | None = None
    ) -> None:
        """Live until then, moving the (stopped) clock; `on_step` may look at the portal after each step."""
        for clock in self.steps(until, step=step):
            if on_step is not None:
                on_step(clock)

    async def run_async(
        self, until: datetime, *, step: timedelta = MINUTE, on_step: Callable[[Clock], Awaitable[object]]
    ) -> None:
        """The same for a reader that must be awaited."""
        for clock in self.steps(until, step=step):
            await on_step(clock)

    @property
    def changes(self) -> list[Change]:
        """Everything that happened in this portal since the beginning, by whomever."""
        return [one for one in self.simulator.changes[self.first_change :] if one.portal_id == self.portal_id]

    def counts(self) -> dict[str, int]:
        """How often each thing was done."""
        return dict(Counter(f"{one.entity}/{one.action}" for one in self.changes).most_common())

    def coalesced(
        self,
        looks: Sequence[Look],
        *,
        entities: Collection[str] | None = None,
        fields: Collection[str] | None = None,
        lists: Callable[[str, Record], bool] | None = None,
        reads: Callable[[str, Record, int], bool] | None = None,
    ) -> list[Expected]:
        """What a perfect reader that looked then would have told: see `relay.simulator.oracle`."""
        return coalesced(
            self.changes,
            looks,
            portal=self.simulator.portals[self.portal_id],
            settings=self.simulator.settings,
            entities=entities,
            fields=fields,
            lists=lists,
            reads=reads,
        )

    def _begin_day(self) -> None:
        scene = self._scene
        for shift_id in scene.shift_days.get(scene.today, []):
            life_punches.expect_punch(scene, shift_id)
        drafted = scene.today + timedelta(days=self._ahead)
        for index, department in enumerate(scene.departments):
            hour = scene.random.uniform(8, 16)
            scene.on(scene.today, hour, partial(life_schedule.draft_day, scene, drafted, department))
            if index % 7 == scene.today.weekday():
                hour = scene.random.uniform(16, 17)
                scene.on(scene.today, hour, partial(life_schedule.publish, scene, department))
        scene.at(midnight(scene, 1), self._begin_day)

    def _expect_chance(self) -> None:
        """Plan the next unplanned thing: at the rate of the busiest hour, thinned out to that of each hour."""
        scene = self._scene
        peak = self.changes_per_day * (1 - _WORK_SHARE) / 86400 * _PEAK
        when = scene.time
        while True:
            when += timedelta(seconds=scene.random.expovariate(peak))
            if scene.random.random() * max(_PROFILE) < _PROFILE[when.astimezone(scene.zone).hour]:
                break
        scene.at(when, self._take_chance)

    def _take_chance(self) -> None:
        weights = [weight for weight, _ in _CHANCES]
        for _, chance in self._scene.random.choices(_CHANCES, weights, k=6):
            if chance(self._scene):
                break
        self._expect_chance()

    def _resume(self, punch: Record) -> None:
        if punch["endDateTime"] is None:
            life_punches.expect_end(self._scene, punch)
        elif not punch["isApproved"]:
            tomorrow = punch["startDateTime"][:10] == self._scene.today.isoformat() or self._scene.local.hour >= 8
            life_punches.expect_approval(self._scene, punch["id"], days=int(tomorrow))


def steps(lives: Sequence[Life], until: datetime, *, step: timedelta = MINUTE) -> Iterator[Clock]:
    """Several portals of one simulator live side by side, in the order of time."""
    clock = lives[0].simulator.clock
    while (now := clock.now()) < until:
        end = min(now + step, until)
        while (life := min(lives, key=lambda one: one.next_at)).next_at <= end:
            _move(clock, life.next_at)
            life.live_next()
        _move(clock, end)
        yield clock


def catch_up(lives: Sequence[Life]) -> None:
    """Let happen what should have happened by now, on a clock that moves by itself."""
    now = lives[0].simulator.clock.now()
    while (life := min(lives, key=lambda one: one.next_at)).next_at <= now:
        life.live_next()


def _move(clock: Clock, to: datetime) -> None:
    left = (to - clock.now()).total_seconds()
    if left > 0:
        clock.advance(left)
