"""What must be true after the story, each expectation by name; the demo fails when one is missed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import pydantic_core

from relay.cli.demo.director import Director
from relay.cli.demo.feeding import Found
from relay.cli.demo.standins import PAYROLL, Standins
from relay.events import DeliveryState, EventState, Origin
from relay.services import DeliveryFilter, EventFilter, Services

KINDS_AT_LEAST = 6
SLACK = "ops-slack"
# Marker strings of the simulator's personal fields: what no target of the demo may have.
_FORBIDDEN = ("MARKER-D", "MARKER-F", "MARKER-G", "MARKER-H")


@dataclass(frozen=True, slots=True)
class Check:
    """One expectation."""

    name: str
    expected: Any
    got: Any

    @property
    def ok(self) -> bool:
        return bool(self.expected == self.got)


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What was counted, and how it compares."""

    counts: Mapping[str, Any]
    checks: Sequence[Check]

    @property
    def ok(self) -> bool:
        return all(check.ok for check in self.checks)

    def as_json(self) -> dict[str, Any]:
        return {
            "ok": self.ok,
            "counts": self.counts,
            "checks": [{**asdict(check), "ok": check.ok} for check in self.checks],
        }


async def gather(
    services: Services,
    standins: Standins,
    director: Director,
    *,
    found: Found,
    retried: str,
    dead: int,
    plan: Mapping[str, Any],
) -> Evidence:
    """Count at the store and at the stand-ins, and compare with what was done."""
    await standins.look()
    reading = services.reading
    stats = await reading.stats(tuple(services.settings.targets), now=services.clock())
    events = (await reading.list_events(EventFilter(), limit=1000)).rows
    delivered = (await reading.list_deliveries(DeliveryFilter(state=DeliveryState.DELIVERED), limit=1000)).rows
    payroll = await standins.control("GET", f"/payroll?name={PAYROLL}")
    requests = (await standins.control("GET", "/requests"))["requests"]
    emitter = await standins.control("GET", "/emitter")
    kinds: dict[str, set[str]] = {name: set() for name in services.settings.targets}
    for row in delivered:
        kinds[row.delivery.target].add(row.type)
    tries = await reading.attempts(retried, PAYROLL)
    sent_on = [(record.envelope or {}).get("data") or {} for record in events if record.targets]
    enrichment = [data.get("enrichment", {}).get("state") for data in sent_on]
    counts: dict[str, Any] = {
        "told": sum(record.event.origin is Origin.NATIVE for record in events),
        "found": dict(found.new),
        "both_doors": sum(
            record.event.origin is Origin.DERIVED and record.state is EventState.DUPLICATE for record in events
        ),
        "duplicates": stats["totals"].get("repeated", 0),
        "enriched": sum(state == "complete" for state in enrichment),
        "delivered": {name: stats["targets"][name]["delivered"] for name in services.settings.targets},
        "kinds": {name: sorted(found) for name, found in kinds.items()},
        "retried": len(tries) - 1,
        "dead": dead,
        "dead_now": sum(one["dead"] for one in stats["targets"].values()),
        "replayed": plan["ends"].get("delivered", 0),
        "open": stats["open"],
        "slack": {"requests": len(standins.slack), "accepted": sum(one.accepted for one in standins.slack)},
        "payroll": {
            "requests": payroll["requests"],
            "accepted": payroll["accepted"],
            "unique_keys": payroll["uniqueKeys"],
        },
        "planday": {
            "requests": len(requests),
            "refused": sum(one["status"] == 429 for one in requests),
        },
        "lost_by_sender": len(emitter["lost"]),
    }
    sent = [*standins.slack, *standins.payroll]
    leaks = sorted({mark for one in sent for mark in _FORBIDDEN if mark in pydantic_core.to_json(one.body).decode()})
    return Evidence(counts=counts, checks=tuple(_compare(counts, director, leaks)))


def _compare(counts: Mapping[str, Any], director: Director, leaks: Sequence[str]) -> Iterator[Check]:
    silent = Counter(change.type for change in director.changes if not change.event)
    # Planday makes a shift for the approved punch that had none, of which no sender tells.
    found = silent + Counter(("planday.shift.created",))
    made = len(director.changes) + 1
    payroll = sum(director.goes_to_payroll(change.type) for change in director.changes)
    keys = counts["payroll"]
    yield Check("every change that was told was accepted, once", made - found.total(), counts["told"])
    yield Check("the feed found every change that nobody told, once", dict(found), counts["found"])
    yield Check("the feed saw what was told, and it was not sent again", True, counts["both_doors"] > 0)
    yield Check("the event that was posted twice was recognised", 1, counts["duplicates"])
    yield Check("the sender lost nothing", 0, counts["lost_by_sender"])
    yield Check("every event that was sent was enriched wholly", made, counts["enriched"])
    yield Check("Slack has every event", made, counts["delivered"][SLACK])
    yield Check("payroll has every event that it wants", payroll, counts["delivered"][PAYROLL])
    for name, found in counts["kinds"].items():
        yield Check(f"at least {KINDS_AT_LEAST} kinds of event at {name}", True, len(found) >= KINDS_AT_LEAST)
    yield Check("payroll was tried twice more while it was away", 2, counts["retried"])
    yield Check("the refused event was a dead letter", 1, counts["dead"])
    yield Check("its replay delivered it", 1, counts["replayed"])
    yield Check("nothing is dead now", 0, counts["dead_now"])
    yield Check("nothing is open now", 0, counts["open"])
    yield Check("requests at Slack", made, counts["slack"]["requests"])
    yield Check("requests at payroll: one each, two failed, one refused", payroll + 3, keys["requests"])
    yield Check("payroll took each key once", (payroll, payroll), (keys["unique_keys"], keys["accepted"]))
    yield Check("Planday refused no call for its rate", 0, counts["planday"]["refused"])
    yield Check("no field went out that a target may not have", [], list(leaks))
