"""The sentence on top of the overview: is all where it should be, and if not, what, since when, what to do. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import quote

from relay.services import Incident

Level = Literal["good", "calm", "warn", "bad"]

# Work that is this old is late, even where no incident says so yet.
_LATE = 300.0
# Where an incident of a target is mended on these pages; its own words name the commands of the terminal.
_PAGES: Mapping[str, tuple[str, str]] = {
    "delivery_exhausted": ("/deliveries?state=dead&target={}", "Mend the cause, then replay them"),
    "delivery_parked": ("/deliveries?state=parked&target={}", "Look there, then release or cancel each"),
    "target_failing": ("/targets/{}", "See why, and try it"),
    "target_paused": ("/targets/{}", "Resume it when that is mended"),
}


@dataclass(frozen=True, slots=True)
class Point:
    """One thing that is wrong: in a sentence, since when (seconds), and the page that helps."""

    text: str
    since: float | None = None
    href: str = ""
    help: str = ""


@dataclass(frozen=True, slots=True)
class Headline:
    """The answer; where something is wrong it is the first of the points, else they are the next steps."""

    level: Level
    text: str
    points: tuple[Point, ...] = ()


def headline(
    stats: Mapping[str, Any], incidents: Sequence[Incident], portals: Mapping[str, str], *, sources: int
) -> Headline:
    """What an operator should know first."""
    told = [one for one in incidents if one.began is not None and one.quiet is None]
    points = [_incident(one) for one in sorted(told, key=lambda one: (not one.critical, one.since))]
    if not stats["workers"]:
        text = "No worker is running: what comes in is kept, and nothing is delivered"
        points.insert(0, Point(text, help="Start one with `relay worker`"))
    points += [
        Point(f"Planday does not accept the authorisation of {name}", href=f"/portals/{name}", help="Enter a new token")
        for name, state in portals.items()
        if state == "lost"
    ]
    for name, row in stats["targets"].items():
        points += _target(name, row, {one.kind for one in told if one.about == name})
    if points:
        bad = any(one.critical for one in told) or not stats["workers"] or "lost" in portals.values()
        return Headline("bad" if bad else "warn", points[0].text, tuple(points))
    late = [row["oldest_waiting_seconds"] or 0 for row in stats["targets"].values()]
    if max(late, default=0) > _LATE:
        return Headline("calm", "Some deliveries wait longer than usual; they go out by themselves")
    waiting = sum(row["waiting"] + row["sending"] for row in stats["targets"].values()) + stats["events_waiting"]
    if not stats["totals"].get("accepted"):
        return _nothing_yet(stats, portals, sources)
    if waiting:
        return Headline("good", "Everything is on its way")
    return Headline("good", "Everything delivered")


def _target(name: str, row: Mapping[str, Any], told: set[str]) -> list[Point]:
    """What is wrong with a target, without what an incident says already."""
    points = []
    place = f"/targets/{name}"
    if row["paused"] is not None and "target_paused" not in told:
        text = f"{name} is paused: {row['paused']}"
        points.append(Point(text, since=row["paused_since"], href=place, help="Resume it when that is mended"))
    if row["breaker"] is not None and "target_failing" not in told:
        points.append(Point(f"{name} keeps failing", since=row["breaker"]["since"], href=place))
    if row["dead"] and "delivery_exhausted" not in told:
        href = f"/deliveries?state=dead&target={name}"
        points.append(
            Point(f"{_count(row['dead'])} to {name} given up", href=href, help="Mend the cause, then replay them")
        )
    if row["parked"] and "delivery_parked" not in told:
        href = f"/deliveries?state=parked&target={name}"
        text = f"{_count(row['parked'])} to {name} parked: it may have them already"
        points.append(Point(text, href=href, help="Look there, then release or cancel each"))
    return points


def _count(count: int) -> str:
    return "1 delivery" if count == 1 else f"{count} deliveries"


def _incident(one: Incident) -> Point:
    if one.kind in _PAGES:
        path, help_ = _PAGES[one.kind]
        return Point(one.summary.partition(". ")[0], since=one.since, href=path.format(quote(one.about)), help=help_)
    return Point(one.summary.removesuffix("."), since=one.since, href=f"/events/{one.event}" if one.event else "")


def _nothing_yet(stats: Mapping[str, Any], portals: Mapping[str, str], sources: int) -> Headline:
    points = []
    if not stats["targets"]:
        points.append(
            Point(
                "No target is configured: add one under [targets.NAME]",
                href="/catalog",
                help="The types that it can take",
            )
        )
    if not portals:
        points.append(Point("No portal is configured: add one under [portals.NAME], with `feeds` to poll it"))
    if not sources and not portals:
        points.append(Point("No source is configured: add one under [sources.NAME] for whoever sends events"))
    if stats["targets"] and (portals or sources):
        points.append(
            Point("Send a first event: `relay trigger planday.shift.updated`, or change something in Planday")
        )
        points.append(Point("Try a target: each has a button that sends a test", href="/targets"))
    return Headline("calm", "Nothing has come in yet", tuple(points))
