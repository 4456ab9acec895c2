"""How replay plans look on a terminal: the plan before it runs, how far it is, and its report."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any

from relay.cli import out

# Results and ends as the plan keeps them, in words for people. `now_X`: somebody moved it to X since the plan was made.
WORDS: Mapping[str, str] = {
    "opened": "opened",
    "superseded": "superseded: the target has a newer state",
    "gone": "gone: retention took it",
    "erased": "not sent: its person was erased",
    "gone_in_planday": "not sent: Planday does not have the record any more",
    "not_readable": "not sent: Planday does not let us read the record",
    "not_wanted": "not sent: read anew, the target does not take it",
    "always_changing": "not sent: it changed each time it was read; a newer event follows",
    "fault": "not sent: a fault of ours, see the log",
    "by_hand": "taken over by hand",
    "withdrawn": "taken back before it was sent",
}


def words(result: str) -> str:
    """One result in words."""
    if result.startswith("now_"):
        return f"left alone: it is {result.removeprefix('now_')} since"
    return WORDS.get(result, result)


def print_plan(facts: Mapping[str, Any]) -> None:
    """What a plan would do."""
    counts: Sequence[Mapping[str, Any]] = facts["counts"]
    out.facts(
        {
            "plan": facts["id"],
            "deliveries": str(facts["total"]),
            "oldest": out.instant(facts["first_at"]),
            "newest": out.instant(facts["last_at"]),
            "from": out.instant(facts["selection"].get("since")),
            "to": out.instant(facts["selection"].get("until")),
            "filter": _filter(facts["selection"]),
            "data": _data(counts),
            "keys": "new ones, of this plan" if facts["new_key"] else None,
            "forced": facts["force"] or None,
            "reason": facts["reason"],
        }
    )
    if counts:
        sys.stdout.write("\n")
        out.table(
            ("target", "state", "count", "to be sent", "superseded"),
            (
                (
                    one["target"] or "(to be routed)",
                    one["state"],
                    one["count"],
                    one["first"] + one["reread"],
                    one["superseded"],
                )
                for one in counts
            ),
        )
    if facts["samples"]:
        sys.stdout.write("\n")
        out.table(
            ("for example", "target", "type", "state"),
            ((one["event"], one["target"], one["type"], one["state"]) for one in facts["samples"]),
        )
    for line in _notes(facts):
        out.say(line)


def _filter(selection: Mapping[str, Any]) -> str:
    names = ("target", "type", "portal", "entity", "employee", "department")
    return ", ".join(f"{name} {selection[name]}" for name in names if name in selection)


def _data(counts: Sequence[Mapping[str, Any]]) -> str | None:
    first, reread = sum(one["first"] for one in counts), sum(one["reread"] for one in counts)
    if not reread:
        return "as first sent" if first else None
    return f"{first} as first sent, {reread} re-read from Planday" if first else "re-read from Planday"


def _notes(facts: Mapping[str, Any]) -> list[str]:
    """What an operator should know before running it, one a line."""
    lines = []
    if facts["left"]:
        left = ", ".join(f"{one['count']} {one['state']} ({one['target']})" for one in facts["left"])
        lines.append(f"left alone, as they are not asked for: {left}")
    for target, count in facts["gone_targets"].items():
        lines.append(f"left out: {count} to {target}, which is not in the configuration any more")
    for target, count in facts["cut"].items():
        lines.append(
            f"{count} to {target} must be re-read from Planday: what is kept was cut to what other targets may have"
        )
    for target, count in facts["unclear"].items():
        lines.append(f"{count} to {target}: what is kept does not say whether it takes them; their re-reading decides")
    if any(one["superseded"] for one in facts["counts"]):
        lines.append("superseded ones are not sent: the target has a newer state. --reread sends the state of now")
    return lines


def print_status(facts: Mapping[str, Any]) -> None:
    """How far a plan is, and its report."""
    by = {name: facts.get(f"{name}_by") for name in ("started", "paused", "cancelled")}
    rate = facts.get("rate")
    out.facts(
        {
            "plan": facts["id"],
            "state": facts["state"],
            "progress": f"{facts['done']} of {facts['total']}",
            "on their way": str(facts["open"]) if facts["open"] else None,
            "waits for": facts.get("waits_for"),
            "rate": f"{rate:g} a second" if rate else None,
            "made": _at(facts["made_at"], facts["by"]),
            "started": _at(facts.get("started_at"), by["started"]),
            "paused": _at(facts.get("paused_at"), by["paused"], facts.get("paused_why")),
            "cancelled": _at(facts.get("cancelled_at"), by["cancelled"], facts.get("cancelled_why")),
            "ended": out.instant(facts.get("ended_at")),
            "reason": facts["reason"],
        }
    )
    rows = [
        (part["target"] or "(to be routed)", what, count, words(name))
        for part in facts["parts"]
        for what, counted in (("item", part["results"]), ("outcome", part["ends"]))
        for name, count in counted.items()
    ]
    if rows:
        sys.stdout.write("\n")
        out.table(("target", "of", "count", "what became of it"), rows)


def _at(at: Any, by: str | None, why: str | None = None) -> str | None:
    if at is None:
        return None
    return f"{out.instant(at)} by {by}" + (f": {why}" if why else "")


def print_plans(plans: Sequence[Mapping[str, Any]]) -> None:
    """The newest plans, one a line."""
    out.table(
        ("made (UTC)", "plan", "state", "done", "deliveries", "on their way", "by", "reason"),
        (
            (
                out.utc(one["made_at"]),
                one["id"],
                one["state"],
                one["done"],
                one["total"],
                one["open"],
                one["by"],
                one["reason"],
            )
            for one in plans
        ),
        empty="no plan was made yet: relay replay plan",
    )
