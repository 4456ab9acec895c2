"""The types of events (targets-and-events.md 2.3) as data: the meaning of each, its cause in Planday, who makes it."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class Door(StrEnum):
    """Who makes an event of a type."""

    FEED = "feed"
    """The change feed; taken from senders too."""
    SENDERS = "senders only"
    """Only somebody who sends it to `/in/{source}`."""
    RELAY = "relay"
    """The relay, about itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EventType:
    """One type: `meaning` is one plain sentence, `change` says which list and which field of Planday's show it."""

    type: str
    meaning: str
    change: str
    door: Door = Door.FEED

    @property
    def stem(self) -> str:
        """All but the last word: "planday.shift"."""
        return self.type.rpartition(".")[0]

    @property
    def verb(self) -> str:
        return self.type.rpartition(".")[2]

    @property
    def entity(self) -> str:
        """What it is about: "shift"."""
        return self.stem.rpartition(".")[2]

    def as_dict(self) -> dict[str, Any]:
        return {
            "type": self.type,
            "entity": self.entity,
            "meaning": self.meaning,
            "change": self.change,
            "door": self.door.value,
        }


_EMPLOYEES = "GET /hr/v1.0/employees"
_DEACTIVATED = "GET /hr/v1.0/employees/deactivated"
_SHIFTS = "GET /scheduling/v1.0/shifts"
_PUNCHES = "GET /punchclock/v1.0/punchclockshifts"
_REQUESTS = "GET /absence/v1.0/absencerequests"
_RECORDS = "GET /absence/v1.0/absencerecords"
_PAYROLL = "GET /payroll/v1.0/payroll"
_NOT_SEEN = "not seen in any list: a sender has to tell it"

# stem -> verb -> (meaning, change), where the change feed makes them.
_FEED: Mapping[str, Mapping[str, tuple[str, str]]] = {
    "planday.employee": {
        "created": ("An employee was created.", f"{_EMPLOYEES}: an id that was not there before"),
        "updated": (
            "Master data of an employee changed.",
            f"{_EMPLOYEES}: any kept field but isDeactivated and salaryIdentifier",
        ),
        "deactivated": ("An employee was deactivated.", f"{_DEACTIVATED}: the id appears"),
        "reactivated": (
            "A deactivated employee is active again.",
            f"{_EMPLOYEES}: an id that was in {_DEACTIVATED.removeprefix('GET ')} is there again",
        ),
        "salary_identifier_changed": (
            "The payroll number of an employee changed: payroll systems match people by it.",
            f"{_EMPLOYEES}: salaryIdentifier, where some target may have it",
        ),
    },
    "planday.shift": {
        "created": ("A shift was created.", f"{_SHIFTS}: an id that was not there before"),
        "updated": (
            "Times, place, kind or another detail of a shift changed.",
            f"{_SHIFTS}: any kept field but employeeId; status where no other type says it",
        ),
        "deleted": ("A shift was deleted.", "GET /scheduling/v1.0/shifts/deleted: the id appears"),
        "published": ("A draft became visible to employees.", f"{_SHIFTS}: status was Draft"),
        "assigned": ("A shift got an employee, or another one.", f"{_SHIFTS}: employeeId"),
        "unassigned": ("A shift has no employee any more: it is open.", f"{_SHIFTS}: employeeId is null"),
        "approved": ("A shift was approved for payroll.", f"{_SHIFTS}: status is Approved"),
        "unapproved": ("The approval of a shift was taken back.", f"{_SHIFTS}: status was Approved"),
    },
    "planday.punchclock_entry": {
        "started": ("Somebody punched in.", f"{_PUNCHES}: an id that was not there before"),
        "ended": ("Somebody punched out.", f"{_PUNCHES}: endDateTime was null"),
        "updated": (
            "Times, shift or text of a punch clock entry changed.",
            f"{_PUNCHES}: any kept field but isApproved and a first endDateTime",
        ),
        "deleted": ("A punch clock entry is gone.", f"{_PUNCHES}: the id is missing in a whole reading of its days"),
        "approved": ("The hours of a punch clock entry were approved.", f"{_PUNCHES}: isApproved is true"),
        "unapproved": ("The approval of a punch clock entry was taken back.", f"{_PUNCHES}: isApproved was true"),
    },
    "planday.absence_request": {
        "created": ("Somebody asked for absence.", f"{_REQUESTS}: an id that was not there before"),
        "updated": ("A request for absence changed.", f"{_REQUESTS}: any kept field but a decision in status"),
        "approved": ("A request for absence was approved.", f"{_REQUESTS}: status is Approved"),
        "declined": ("A request for absence was declined.", f"{_REQUESTS}: status is Declined"),
        "cancelled": ("A request for absence was cancelled.", f"{_REQUESTS}: status is Cancelled"),
        "deleted": (
            "A request for absence is gone.",
            f"{_REQUESTS}: the id is missing in a whole reading of its period",
        ),
    },
    "planday.absence_record": {
        "created": ("Absence was booked.", f"{_RECORDS}: an id that was not there before"),
        "updated": ("Booked absence changed.", f"{_RECORDS}: any kept field"),
        "deleted": ("Booked absence is gone.", f"{_RECORDS}: the id is missing in a whole reading of its period"),
    },
    "planday.payroll_line": {
        "created": ("A shift has a payroll line.", f"{_PAYROLL}: a line that was not there before"),
        "corrected": ("A payroll line changed.", f"{_PAYROLL}: any kept field of a line"),
        "reversed": (
            "A payroll line is gone: what was paid for it has to be taken back.",
            f"{_PAYROLL}: the line is missing in a whole reading of its days",
        ),
    },
    "planday.portal": {
        "updated": ("Name, country or time zone of a portal changed.", "GET /portal/v1.0/info: any kept field"),
        "authorization_revoked": (
            "Planday does not accept the portal's token any more: nothing is read until there is a new one.",
            "401, or a refresh that is refused",
        ),
        "authorization_restored": (
            "Planday accepts the portal's token again: what waited goes on.",
            "the first call that succeeds after authorization_revoked",
        ),
    },
}
_REFERENCE = {
    "department": ("department", "GET /hr/v1.0/departments"),
    "employee_group": ("employee group", "GET /hr/v1.0/employeegroups"),
    "position": ("position", "GET /scheduling/v1.0/positions"),
    "shift_type": ("shift type", "GET /scheduling/v1.0/shifttypes"),
}
# What Planday does not show in a list that the feed reads.
_SENDERS: Mapping[str, Mapping[str, str]] = {
    "planday.employee": {"deleted": "An employee was deleted for good."},
    "planday.punchclock_break": {
        "started": "Somebody began a break.",
        "ended": "Somebody ended a break.",
        "updated": "A break changed.",
    },
    "planday.payroll_period": {
        "approved": "A payroll period was approved.",
        "locked": "A payroll period was locked.",
        "unlocked": "A payroll period was opened again.",
    },
}
# What the relay tells of itself: stem -> verb -> (meaning, what it is seen by).
_RELAY: Mapping[str, Mapping[str, tuple[str, str]]] = {
    "relay.target": {
        "failing": ("A target keeps failing: nothing is sent to it but a probe now and then.", "its breaker is open"),
        "recovered": ("A target that kept failing takes deliveries again.", "its breaker is closed and stays so"),
        "paused": ("Nothing is sent to a target until somebody resumes it.", "a pause, by the relay or by a person"),
        "resumed": ("Deliveries to a target that was paused go on.", "`relay targets resume`"),
    },
    "relay.delivery": {
        "exhausted": ("Deliveries to a target are dead: they are not tried again by themselves.", "dead deliveries"),
        "cleared": ("A target has no dead deliveries any more.", "replay, cancellation or retention"),
        "parked": ("Deliveries to a target wait for a decision of a person.", "parked deliveries"),
        "decided": ("No delivery to a target waits for a decision any more.", "release or cancellation"),
    },
    "relay.worker": {
        "silent": ("Workers vanished without leave and were not replaced.", "a heartbeat that ended"),
        "back": ("As many workers as before are at work.", "new heartbeats"),
    },
    "relay.feed": {
        "behind": ("A feed cannot read Planday: changes there are noticed late.", "looks that break off, or stay away"),
        "caught_up": ("A feed that was behind has read Planday up to now.", "a look that came to its end"),
    },
    "relay.store": {
        "unhealthy": ("The store is not safe as it is, or nearly full.", "its persistence, policy, role or memory"),
        "healthy": ("The store is as it must be again.", "the same"),
    },
    "relay.quarantine": {
        "growing": ("Many signed bodies of senders cannot be read.", "bodies put into the quarantine"),
        "calm": ("Senders' bodies can be read again.", "no more of them for a while"),
    },
    "relay.backlog": {
        "growing": ("Work that is due waits for long, or senders are about to be refused.", "age and number of it"),
        "calm": ("Work is done in time again.", "the same"),
    },
}
_ORDER = (
    *("planday.employee", "planday.department", "planday.employee_group", "planday.position", "planday.shift_type"),
    *("planday.shift", "planday.punchclock_entry", "planday.punchclock_break", "planday.absence_request"),
    *("planday.absence_record", "planday.payroll_line", "planday.payroll_period", "planday.portal"),
)


def _article(name: str) -> str:
    return "An" if name[0] in "aeiou" else "A"


def _rows() -> Iterator[EventType]:
    feed = dict(_FEED)
    for entity, (name, call) in _REFERENCE.items():
        one = f"{_article(name)} {name}"
        feed[f"planday.{entity}"] = {
            "created": (f"{one} was created.", f"{call}: an id that was not there before"),
            "updated": (f"{one} changed.", f"{call}: any kept field"),
            "deleted": (f"{one} is gone.", f"{call}: the id is missing in a whole reading"),
        }
    for stem in _ORDER:
        for verb, (meaning, change) in feed.get(stem, {}).items():
            yield EventType(type=f"{stem}.{verb}", meaning=meaning, change=change)
        for verb, meaning in _SENDERS.get(stem, {}).items():
            yield EventType(type=f"{stem}.{verb}", meaning=meaning, change=_NOT_SEEN, door=Door.SENDERS)
    for stem, verbs in _RELAY.items():
        for verb, (meaning, change) in verbs.items():
            yield EventType(type=f"{stem}.{verb}", meaning=meaning, change=change, door=Door.RELAY)
    yield EventType(
        type="relay.test",
        meaning="A test: the target can be reached.",
        change="none: `relay targets test` sends it past all patterns",
        door=Door.RELAY,
    )


CATALOG: Mapping[str, EventType] = {row.type: row for row in _rows()}
TYPES: tuple[str, ...] = tuple(CATALOG)
EVENTS: Mapping[str, tuple[str, ...]] = {
    stem: tuple(row.verb for row in CATALOG.values() if row.stem == stem)
    for stem in dict.fromkeys(row.stem for row in CATALOG.values())
}


def types_of(entity: str) -> tuple[str, ...]:
    """The types of one entity ("shift"), or none if no event of it is known."""
    return tuple(row.type for row in CATALOG.values() if row.entity == entity)


def nearest(name: str, *, most: int = 3) -> tuple[str, ...]:
    """The types whose names are most like this one, which is none of ours; without "planday." too."""
    whole = name if name.startswith(("planday.", "relay.")) else f"planday.{name}"
    exact = [type_ for type_ in TYPES if type_ == whole]
    return tuple(exact or types_of(name)[:most] or difflib.get_close_matches(whole, TYPES, n=most, cutoff=0.6))
