"""One simulated portal's contents, and the record of every change made to them."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

Record = dict[str, Any]
Table = dict[int, Record]


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
    absence_requests: Table = field(default_factory=dict)
    accounts: Table = field(default_factory=dict)
    account_types: Table = field(default_factory=dict)
    next_ids: dict[str, int] = field(default_factory=dict)

    @property
    def id(self) -> int:
        """The portal id, the only id that is unique everywhere."""
        return int(self.info["id"])

    @property
    def zone(self) -> str:
        """The portal's IANA time zone."""
        return str(self.info["timeZone"])

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
