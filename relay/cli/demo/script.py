"""What happens in the two portals during the demo, as data; an id that an earlier step made is named by it."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

BISTRO, HARBOUR = 4100001, 4100002
NAMES = {BISTRO: "Bistro Demo", HARBOUR: "Harbour Hotel"}
IDA, SOREN, AASE = 910233, 910234, 910235

Fields = Mapping[str, Any]

OUTLINE = (
    "1  a sender tells of changes in two portals: they arrive at Slack and at payroll, enriched",
    "2  the change feed finds what nobody told, and does not repeat what was told",
    "3  payroll is away for a moment: the relay tries again, nobody else waits",
    "4  payroll refuses one event for good: a dead letter, repaired and replayed",
    "5  the counts",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One change. `makes` names the record for later steps, `on` is the one that it is about."""

    portal: int
    entity: str
    action: str
    says: str
    fields: Callable[[datetime], Fields] = lambda _now: {}
    makes: str = ""
    on: str = ""


def _local(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M")


def _evening(now: datetime) -> Fields:
    day = (now + timedelta(days=3)).replace(hour=16, minute=0)
    return {"startDateTime": _local(day), "endDateTime": _local(day + timedelta(hours=7)), "positionId": 6301}


STEPS: tuple[Step, ...] = (
    Step(
        portal=BISTRO,
        entity="shift",
        action="create",
        says="a manager drafts a shift",
        fields=lambda now: {**_evening(now), "status": "Draft"},
        makes="shift",
    ),
    Step(portal=BISTRO, entity="shift", action="publish", says="publishes it", on="shift"),
    Step(
        portal=BISTRO,
        entity="shift",
        action="assign",
        says="gives it to Ida",
        fields=lambda _now: {"employeeId": IDA},
        on="shift",
    ),
    Step(
        portal=HARBOUR,
        entity="punchclock_entry",
        action="start",
        says="a concierge has punched in",
        fields=lambda now: {"employeeId": SOREN, "startDateTime": _local(now - timedelta(hours=7, minutes=30))},
        makes="punch",
    ),
    Step(portal=HARBOUR, entity="punchclock_entry", action="end", says="punches out", on="punch"),
    Step(portal=HARBOUR, entity="punchclock_entry", action="approve", says="the hours are approved", on="punch"),
    Step(
        portal=BISTRO,
        entity="absence_request",
        action="create",
        says="a sous-chef asks for two days off",
        fields=lambda now: {
            "employeeId": AASE,
            "start": (now + timedelta(days=20)).date().isoformat(),
            "end": (now + timedelta(days=21)).date().isoformat(),
            "hours": 14.8,
        },
        makes="absence",
    ),
    Step(portal=BISTRO, entity="absence_request", action="approve", says="and gets them", on="absence"),
    Step(
        portal=HARBOUR,
        entity="employee",
        action="create",
        says="somebody is hired",
        fields=lambda _now: {"firstName": "Robin", "lastName": "Newhire", "jobTitle": "Porter"},
        makes="employee",
    ),
    Step(portal=HARBOUR, entity="employee", action="deactivate", says="and leaves before the first day", on="employee"),
    Step(portal=BISTRO, entity="shift", action="approve", says="Ida's shift is approved", on="shift"),
)

TWICE = Step(
    portal=BISTRO,
    entity="shift",
    action="edit",
    says="a shift moves; the sender posts this event twice, it arrives once",
    fields=lambda _now: {"id": 70010047, "startDateTime": "2026-12-24T03:30", "endDateTime": "2026-12-24T09:30"},
)
SILENT: tuple[Step, ...] = (
    Step(
        portal=BISTRO,
        entity="shift",
        action="delete",
        says="a shift is deleted",
        fields=lambda _now: {"id": 70010048},
    ),
    Step(
        portal=BISTRO,
        entity="punchclock_entry",
        action="start",
        says="Ida has punched in",
        fields=lambda now: {"employeeId": IDA, "startDateTime": _local(now - timedelta(hours=2))},
    ),
    Step(
        portal=HARBOUR,
        entity="employee",
        action="edit",
        says="somebody has a new name",
        fields=lambda _now: {"id": AASE, "lastName": "Newname"},
    ),
    Step(
        portal=HARBOUR,
        entity="absence_request",
        action="create",
        says="somebody asks for a day off",
        fields=lambda now: {
            "employeeId": SOREN,
            "start": (now + timedelta(days=30)).date().isoformat(),
            "end": (now + timedelta(days=30)).date().isoformat(),
            "hours": 7.4,
        },
    ),
)
"""Changes of which no sender tells."""

FAILING = Step(
    portal=HARBOUR,
    entity="shift",
    action="approve",
    says="a shift is approved while payroll is away",
    fields=lambda _now: {"id": 70010045},
)
REFUSED = Step(
    portal=BISTRO,
    entity="shift",
    action="approve",
    says="a shift is approved that payroll refuses",
    fields=lambda _now: {"id": 70010049},
)


def random_steps(chance: random.Random) -> Iterator[Step]:
    """Small changes without end, for the time after the story."""
    number = 0
    while True:
        number += 1
        portal, person = chance.choice((BISTRO, HARBOUR)), chance.choice((IDA, SOREN, AASE))
        name = f"live-{number}"
        hours = chance.randint(4, 9)
        if chance.random() < 0.5:

            def worked(now: datetime, person: int = person, hours: int = hours) -> Fields:
                return {"employeeId": person, "startDateTime": _local(now - timedelta(hours=hours))}

            yield Step(
                portal=portal, entity="punchclock_entry", action="start", says="punch in", fields=worked, makes=name
            )
            yield Step(portal=portal, entity="punchclock_entry", action="end", says="punch out", on=name)
            yield Step(portal=portal, entity="punchclock_entry", action="approve", says="hours approved", on=name)
        else:

            def assigned(_now: datetime, person: int = person) -> Fields:
                return {"employeeId": person}

            yield Step(portal=portal, entity="shift", action="create", says="new shift", fields=_evening, makes=name)
            yield Step(portal=portal, entity="shift", action="assign", says="assigned", fields=assigned, on=name)
