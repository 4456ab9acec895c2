"""What an operator asks a plan for, and what of it makes no sense. Pure."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from relay.errors import NotFoundError, RefusedError

# What a plan takes when nothing is said: only what failed.
FAILED = ("dead",)
# All that did not arrive. What a target has is sent again only where a person names that state.
ALL = ("dead", "cancelled", "superseded", "missing")
REPLAYABLE = ("dead", "cancelled", "superseded", "delivered", "unrouted", "missing")
_ENTITY = re.compile(r"[a-z][a-z0-9_]*/[^\s:/]{1,100}")
_ID = re.compile(r"[1-9][0-9]{0,18}")


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanRequest:
    """What an operator wants to replay. Times are seconds and absolute: relative ones were resolved before.

    `states` are states of deliveries, and two of events: `unrouted` (no target took it) and `missing` (a target takes
    it by the rules of now, and no delivery to it was ever made; unrouted ones among them).
    """

    target: str | None = None
    type: str | None = None
    portal: int | None = None
    entity: str | None = None
    employee: str | None = None
    department: str | None = None
    since: float | None = None
    until: float | None = None
    states: tuple[str, ...] = FAILED
    by: str = "cli"
    reason: str = ""
    force: bool = False
    reread: bool = False
    new_key: bool = False

    @property
    def fine(self) -> bool:
        """Whether it says more than target, state and time, so that every record has to be looked at."""
        return any((self.type, self.portal, self.entity, self.employee, self.department))

    def selection(self) -> dict[str, Any]:
        """The filter as it was resolved, for whoever looks at the plan."""
        names = ("target", "type", "portal", "entity", "employee", "department", "since", "until")
        return {name: value for name in names if (value := getattr(self, name)) is not None}


def check(wanted: PlanRequest, targets: Collection[str]) -> None:
    """Raises RefusedError, or NotFoundError for a target that is nowhere in the configuration."""
    if refused := [state for state in wanted.states if state not in REPLAYABLE]:
        raise RefusedError(f"{', '.join(refused)} cannot be replayed; {', '.join(REPLAYABLE)} can")
    if not wanted.states:
        raise RefusedError(f"name at least one state to replay: {', '.join(REPLAYABLE)}")
    if not wanted.reason:
        if wanted.force:
            raise RefusedError("a forced replay can send older states after newer ones: give a reason")
        if wanted.new_key:
            raise RefusedError("under a new key a target takes as new what it may have already: give a reason")
        if "delivered" in wanted.states:
            raise RefusedError("what was delivered is sent once more: give a reason")
    if wanted.target is not None and wanted.target not in targets:
        raise NotFoundError(
            f"{wanted.target} is not in the configuration: nobody could send this, and nothing was planned; "
            f"there are {', '.join(sorted(targets)) or 'no targets'}"
        )
    if wanted.since is not None and wanted.until is not None and wanted.since > wanted.until:
        raise RefusedError("the period ends before it begins: nothing can be in it")
    if wanted.entity is not None and not _ENTITY.fullmatch(wanted.entity):
        raise RefusedError(f"{wanted.entity!r} names no record: write it as in shift/70010045")
    for name in ("employee", "department"):
        value = getattr(wanted, name)
        if value is not None and not _ID.fullmatch(value):
            raise RefusedError(f"{value!r} is no id of a {name} in Planday: it is a whole number")
