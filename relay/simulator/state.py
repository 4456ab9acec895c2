"""One simulated portal's contents, and the record of every change made to them."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

Record = dict[str, Any]
Table = dict[int, Record]


def public(record: Record) -> Record:
    """A copy without the simulator's own notes, which start with an underscore."""
    return {name: value for name, value in record.items() if not name.startswith("_")}


def table(rows: Iterable[Record]) -> Table:
    """Records by id."""
    return {row["id"]: row for row in rows}


@dataclass
class Portal:
    """Everything one portal holds; ids are unique inside it and nowhere else."""

    info: Record
    departments: Table = field(default_factory=dict)
    groups: Table = field(default_factory=dict)
    employee_types: Table = field(default_factory=dict)
    employees: Table = field(default_factory=dict)
    # People the authorising administrator may not see, although shifts name them.
    hidden_employees: set[int] = field(default_factory=set)
    positions: Table = field(default_factory=dict)
    shift_types: Table = field(default_factory=dict)
    skills: list[Record] = field(default_factory=list)
    shifts: Table = field(default_factory=dict)
    deleted_shifts: Table = field(default_factory=dict)
    punches: Table = field(default_factory=dict)
    punch_breaks: dict[int, list[Record]] = field(default_factory=dict)
    # What punches looked like before changes that do not show yet: until when, and how (None: not there).
    late_punches: dict[int, list[tuple[datetime, Record | None]]] = field(default_factory=dict)
    schedule_days: Table = field(default_factory=dict)
    absence_requests: Table = field(default_factory=dict)
    absence_records: Table = field(default_factory=dict)
    accounts: Table = field(default_factory=dict)
    account_types: Table = field(default_factory=dict)
    # Shift types that never reach payroll.
    unpaid_shift_types: list[int] = field(default_factory=list)
    next_ids: dict[str, int] = field(default_factory=dict)

    @property
    def id(self) -> int:
        """The portal id, the only id that is unique everywhere."""
        return int(self.info["id"])

    @property
    def zone(self) -> str:
        """The portal's IANA time zone."""
        return str(self.info["timeZone"])

    def breaks(self) -> Table:
        """The breaks of all punches, by their own ids."""
        return table(row for rows in self.punch_breaks.values() for row in rows)

    def new_id(self, entity: str) -> int:
        """The next free id of a kind; both portals hand out the same ones on purpose."""
        self.next_ids[entity] = self.next_ids.get(entity, 0) + 1
        return self.next_ids[entity]


@dataclass(frozen=True)
class Change:
    """Exactly what one control action changed, and when."""

    sequence: int
    at: str
    portal_id: int
    entity: str
    id: int
    action: str
    # The event of ours that announces it; None where our catalogue has none.
    type: str | None
    before: Record
    after: Record
    # What moved along with it, as {"entity", "id", "before", "after"}.
    also: tuple[Record, ...] = ()
