"""How a plan stands, out of what is kept of it. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(slots=True)
class Part:
    """One target's part of a plan: passed items by result, open deliveries, and how the others ended."""

    target: str
    size: int
    done: int = 0
    open: int = 0
    results: dict[str, int] = field(default_factory=dict)
    ends: dict[str, int] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        return {
            "target": self.target,
            "total": self.size,
            "done": self.done,
            "open": self.open,
            "results": dict(sorted(self.results.items())),
            "ends": dict(sorted(self.ends.items())),
        }


def parts_of(raw: Mapping[str, Any]) -> list[Part]:
    """The parts of a plan that have items, in their order."""
    parts = {name.removeprefix("size:"): Part(name.removeprefix("size:"), size) for name, size in _of(raw, "size:")}
    for name, value in raw.items():
        kind, _, rest = name.partition(":")
        target, _, what = rest.partition(":")
        part = parts.get(target)
        if part is None:
            continue
        match kind:
            case "done":
                part.done = value
            case "out":
                part.open = value
            case "res" if value:
                part.results[what] = value
            case "end" if value:
                part.ends[what] = value
    found = [part for part in parts.values() if part.size]
    return sorted(found, key=lambda part: int(raw[f"first:{part.target}"]))


def open_of(raw: Mapping[str, Any]) -> int:
    """How many deliveries of a plan are open and have not ended."""
    return sum(part.open for part in parts_of(raw))


def state_of(raw: Mapping[str, Any]) -> str:
    """Where a plan stands: planned, running, paused, cancelling, cancelled or ended."""
    if "ended_at" in raw:
        return "cancelled" if "cancelled_at" in raw else "ended"
    if "cancelled_at" in raw:
        return "cancelling"
    if "paused_at" in raw:
        return "paused"
    return "running" if "started_at" in raw else "planned"


def shown(raw: Mapping[str, Any]) -> dict[str, Any]:
    """A plan's facts, its progress and its report."""
    facts = {name: value for name, value in raw.items() if ":" not in name and name != "tat"}
    parts = parts_of(raw)
    results: Counter[str] = Counter()
    ends: Counter[str] = Counter()
    for part in parts:
        results.update(part.results)
        ends.update(part.ends)
    return {
        **facts,
        "state": state_of(raw),
        "done": sum(part.done for part in parts),
        "open": sum(part.open for part in parts),
        "results": dict(sorted(results.items())),
        "ends": dict(sorted(ends.items())),
        "parts": [part.as_dict() for part in parts],
    }


def _of(raw: Mapping[str, Any], start: str) -> list[tuple[str, int]]:
    return [(name, int(value)) for name, value in raw.items() if name.startswith(start)]
