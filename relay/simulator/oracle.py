"""The judge of a change feed: what a perfect reader who compares would have to tell, given when it looked.

It knows nothing but the simulator's own record of changes. It winds the present back through that record to learn how
each entity stood at each look, and compares look with look:

- The first look is a quiet baseline. Each later one yields at most one `Expected` per entity, however often the entity
  changed since the last: what changed there and back is nothing; approve, unapprove, approve over three looks are
  three.
- Created and deleted between two looks: for a shift `deleted` alone, since Planday lists deletions; for all else
  nothing.
- `types` holds every name that is true of the difference, the most telling first: a draft that was published and handed
  to somebody else between two looks is `published` and `assigned`. Whether a reader makes one event of it or several is
  the reader's business.
- `payroll_line` is keyed by its shift. Its `approved` is no field on the wire: it says whether `shiftStatus=Approved`
  shows the row. `payroll_supplement` is keyed by the shift that causes it, though Planday gives it no id.
- `dateTimeModified` and `dateTimeCreated` never count as a difference.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from relay.simulator.payroll_lines import entries
from relay.simulator.settings import Settings
from relay.simulator.state import Change, Portal, Record, Table, public
from relay.simulator.times import parse_instant
from relay.simulator.verbs import verbs

# When a reader looked: an instant (it saw everything up to and at it), or exactly how many changes the record had.
Look = datetime | int
_Key = tuple[str, int]
_NEVER = {"dateTimeModified", "dateTimeCreated"}


class IncompleteRecordError(AssertionError):
    """Something changed the portal past its record of changes."""


@dataclass(frozen=True)
class Expected:
    """One change that a perfect reader tells after one look."""

    look: int
    portal_id: int
    entity: str
    id: int
    types: tuple[str, ...]
    # Only what differs; all of it where the entity appears, as `before` where it goes.
    before: Record
    after: Record
    # The changes it stands for, by their sequence numbers.
    sequences: tuple[int, ...]


@dataclass(frozen=True)
class _Step:
    sequence: int
    before: Record
    after: Record


def coalesced(
    changes: Sequence[Change],
    looks: Sequence[Look],
    *,
    portal: Portal,
    settings: Settings,
    entities: Collection[str] | None = None,
    fields: Collection[str] | None = None,
    lists: Callable[[str, Record], bool] | None = None,
    reads: Callable[[str, Record, int], bool] | None = None,
) -> list[Expected]:
    """What must be told of one portal, in the order of looks.

    `entities` and `fields` limit what the reader follows and compares. `lists(entity, record)` says whether Planday
    shows a record at all (say, no drafts): what it hides is as if it were not there. `reads(entity, record, look)` says
    whether that look covered the record (say, only the last two days): what it skips waits for a look that does.
    """
    mine = [change for change in changes if change.portal_id == portal.id]
    seen = _positions(mine, looks)
    found: list[Expected] = []
    for (entity, record_id), steps in _steps(mine, entities).items():
        states = _states(steps, _present(portal, settings, entity, record_id), f"{entity} {record_id}")
        sequences = [step.sequence for step in steps]
        told = bisect_right(sequences, seen[0]) if seen else 0
        look = 1
        while told < len(steps) and (look := bisect_left(seen, sequences[told], lo=look)) < len(seen):
            now = bisect_right(sequences, seen[look])
            subject = next((state for state in reversed(states[: now + 1]) if state is not None), {})
            if reads is None or reads(entity, subject, look):
                between = states[told : now + 1]
                named = _compare(entity, between, lists=lists, fields=fields)
                if named is not None:
                    found.append(Expected(look, portal.id, entity, record_id, *named, tuple(sequences[told:now])))
                told = now
            look += 1
    return sorted(found, key=lambda one: (one.look, one.sequences))


def _compare(
    entity: str,
    states: Sequence[Record | None],
    *,
    lists: Callable[[str, Record], bool] | None,
    fields: Collection[str] | None,
) -> tuple[tuple[str, ...], Record, Record] | None:
    def listed(state: Record | None) -> Record | None:
        return state if state is None or lists is None or lists(entity, state) else None

    known, now = listed(states[0]), listed(states[-1])
    # A deletion that is listed for itself shows even where the shift itself never did.
    deleted = entity == "shift" and states[-1] is None and any(state is not None for state in states)
    if known is None and now is None:
        return (_types(entity, {"id": None}, {}), {}, {}) if deleted else None
    if known is None or now is None:
        before, after = _kept(known or {}, fields), _kept(now or {}, fields)
        return _types(entity, known or {}, now or {}), before, after
    before, after = _kept(known, fields), _kept(now, fields)
    names = [name for name in {**before, **after} if before.get(name) != after.get(name)]
    if not names:
        return None
    before, after = ({name: side.get(name) for name in names} for side in (before, after))
    return _types(entity, before, after), before, after


def _types(entity: str, before: Record, after: Record) -> tuple[str, ...]:
    return tuple(f"planday.{entity}.{verb}" for verb in verbs(entity, before, after))


def _kept(state: Record, fields: Collection[str] | None) -> Record:
    kept = public(state)
    return {name: value for name, value in kept.items() if name not in _NEVER and (fields is None or name in fields)}


def _positions(changes: Sequence[Change], looks: Sequence[Look]) -> list[int]:
    instants = [parse_instant(change.at) for change in changes]
    found = []
    for look in looks:
        if isinstance(look, datetime):
            count = bisect_right(instants, look)
            found.append(changes[count - 1].sequence if count else 0)
        else:
            found.append(look)
    if found != sorted(found):
        raise ValueError("looks must be in order")
    return found


def _steps(changes: Iterable[Change], entities: Collection[str] | None) -> dict[_Key, list[_Step]]:
    """What happened to each entity, in order, whether for itself or along with another."""
    found: dict[_Key, list[_Step]] = {}
    for change in changes:
        parts = [(change.entity, change.id, change.before, change.after)]
        parts += [(row["entity"], row["id"], row["before"], row["after"]) for row in change.also]
        for entity, record_id, before, after in parts:
            if (before or after) and (entities is None or entity in entities):
                found.setdefault((entity, record_id), []).append(_Step(change.sequence, before, after))
    return found


def _states(steps: Sequence[_Step], present: Record | None, what: str) -> list[Record | None]:
    """The state before the first step, and after each."""
    states = [present]
    for step in reversed(steps):
        state = states[-1]
        if bool(step.after) != (state is not None):
            raise IncompleteRecordError(f"{what} at change {step.sequence}")
        if not step.before:
            states.append(None)
        elif state is None:
            states.append(dict(step.before))
        else:
            states.append({**state, **step.before})
    return states[::-1]


def _present(portal: Portal, settings: Settings, entity: str, record_id: int) -> Record | None:
    if entity.startswith("payroll_"):
        return entries(portal, [record_id], settings).get((entity, record_id))
    if entity == "portal":
        return portal.info
    record = _table(portal, entity).get(record_id)
    return None if record is None or record.get("isDeleted") else record


def _table(portal: Portal, entity: str) -> Table:
    if entity == "punchclock_break":
        return portal.breaks()
    return {
        "shift": portal.shifts,
        "punchclock_entry": portal.punches,
        "absence_request": portal.absence_requests,
        "absence_record": portal.absence_records,
        "employee": portal.employees,
        "department": portal.departments,
        "employee_group": portal.groups,
        "position": portal.positions,
        "shift_type": portal.shift_types,
        "schedule_day": portal.schedule_days,
    }[entity]
