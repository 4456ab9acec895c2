"""How the demo speaks: short aligned lines on stdout, bold and dim where that is a terminal."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from rich.text import Text

from relay.cli import out
from relay.cli.demo.standins import Arrival, Change

_WIDTH = 110
_DOORS = {"native": "told by a sender", "derived": "found by the feed"}


class Voice:
    """Everything that the demo says."""

    def __init__(self) -> None:
        self._console = out.console(sys.stdout)

    def line(self, text: str = "", style: str = "") -> None:
        self._console.print(Text(out.printable(text), style=style), soft_wrap=True)
        sys.stdout.flush()

    def chapter(self, number: int, title: str, *lookouts: str) -> None:
        """A heading, and what to look at."""
        self.line()
        self.line(f"{number}  {title}", "bold")
        for lookout in lookouts:
            self.line(f"   {lookout}", "dim")
        self.line()

    def change(self, portal: str, says: str, change: Change) -> None:
        self.line(f"   {portal}: {says}   ({change.type})")

    def arrival(self, since: datetime, one: Arrival) -> None:
        """One request at a stand-in, and how long after the change (or the look) it came."""
        text, style = _shown(one)
        after = _after(since, one)
        self.line(f"     {after:>8}  {one.where:<8} {_cut(text, _WIDTH)}", style)

    def command(self, text: str) -> None:
        self.line()
        self.line(f"   $ relay {text}", "bold")

    def number(self, name: str, value: Any, meaning: str = "") -> None:
        self.line(f"   {name:<12} {value!s:>5}   {meaning}")

    def verdict(self, ok: bool, name: str, expected: Any, got: Any) -> None:
        if not ok:
            self.line(f"   MISSED       {name}: expected {expected}, got {got}", "bold red")


def _shown(one: Arrival) -> tuple[str, str]:
    if one.where == "Slack":
        # Asterisks are Slack's bold.
        return " · ".join(line for line in str(one.body.get("text", "")).replace("*", "").splitlines() if line), ""
    attempt = one.headers.get("planday-relay-attempt", "1")
    replay = ", replayed" if "planday-relay-replay" in one.headers else ""
    if not one.accepted:
        return f"answers {one.status} to attempt {attempt}{replay}", "yellow"
    again = f"   attempt {attempt}{replay}, the same key" if attempt != "1" or replay else ""
    return payroll_facts(one.body) + again, "green" if again else ""


def payroll_facts(body: Mapping[str, Any]) -> str:
    """What a payroll system reads of an envelope: the type, who, and the hours or days."""
    data = body.get("data", {})
    record = data.get("object") or {}
    parts = [str(body.get("type", "")).removeprefix("planday.")]
    if employee := body.get("employeeid"):
        parts.append(f"employee {employee}")
    if period := record.get("absencePeriod"):
        parts.append(f"{period.get('start')} to {period.get('end')}")
    elif record.get("startDateTime"):
        parts.append(f"{_minute(record['startDateTime'])} to {_minute(record.get('endDateTime'))}")
    if door := _DOORS.get(str(body.get("relayorigin"))):
        parts.append(door)
    return "  ".join(parts)


def _minute(text: str | None) -> str:
    return text.replace("T", " ")[:16] if text else "..."


def _after(since: datetime, one: Arrival) -> str:
    seconds = (one.at - since).total_seconds()
    return f"{seconds * 1000:.0f} ms" if seconds < 1 else f"{seconds:.1f} s"


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else text[: width - 1] + "…"
