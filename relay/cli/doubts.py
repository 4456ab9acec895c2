"""What can be loaded but is most likely not what was meant: the warnings of `relay check`."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from relay.settings import Settings

_OURS = ("planday", "relay")
# How much a pattern of other words must look like one of ours before it is taken for a typing mistake.
_ALIKE = 0.8


def doubts(loaded: Settings) -> Iterator[dict[str, Any]]:
    """Findings of level "warning", from the settings alone."""
    feeding = any(portal.feeds for portal in loaded.portals.values())
    if not loaded.sources and not feeding:
        what = "there are none, and no portal has feeds: nothing comes in"
        yield finding(
            "warning", "sources", what, remedy="give a portal `feeds`, or add [sources.NAME] (docs/settings.md)"
        )
    if not loaded.targets:
        yield finding(
            "warning", "targets", "there are none: nothing is sent", remedy="add [targets.NAME] (docs/targets.md)"
        )
    if loaded.sources and not loaded.portals:
        yield finding(
            "warning",
            "portals",
            "there are none: nothing is read in Planday",
            remedy="add [portals.NAME] (docs/planday.md)",
        )
    if loaded.targets and not _is_told(loaded):
        what = "nobody: no target's `events` take relay.*, and no heartbeat is set"
        remedy = '"relay.*" in the `events` of a target that people read, or heartbeat_url (docs/alerts.md)'
        yield finding("warning", "alerts", f"what is wrong with the relay itself is told to {what}", remedy=remedy)
    for name, target in loaded.targets.items():
        where = f"targets.{name}"
        for pattern in target.events:
            if (meant := unknown_pattern(pattern)) is not None:
                remedy = f"did you mean {meant}?" if meant else "`relay catalog` lists the types"
                yield finding("warning", f"{where}.events", f"{pattern} matches no type of event", remedy=remedy)
        if target.changed and not feeding:
            what = "matches nothing without a portal's `feeds`: what changed is known only from the change feed"
            yield finding("warning", f"{where}.changed", what, remedy="`feeds` of the portal, or take it out")
        if target.type in ("slack", "teams") and not _is_reference(target.url.reference):
            whose = {"slack": "a Slack webhook", "teams": "a workflow"}[target.type]
            what = f"is written out, and {whose}'s address is its credential"
            yield finding("warning", f"{where}.url", what, remedy='write "env:NAME" or "file:PATH"')


def finding(level: str, where: str, message: str, *, remedy: str | None = None) -> dict[str, Any]:
    return {"level": level, "where": where, "message": message, "remedy": remedy}


def unknown_pattern(pattern: str) -> str | None:
    """What was meant by a pattern that fits no type we know ("" where nothing is like it); None: it is well.

    Senders may have types of their own, so other first words than ours are doubted only where they look like a slip.
    """
    from relay.catalog import EVENTS, TYPES
    from relay.routing import matches

    if any(matches(pattern, type_) for type_ in TYPES):
        return None
    for longer in (f"planday.{pattern}", f"{pattern}.*"):
        if any(matches(longer, type_) for type_ in TYPES):
            return longer
    known = [*TYPES, *(f"{stem}.*" for stem in EVENTS)]
    ours = pattern.partition(".")[0] in _OURS
    close = difflib.get_close_matches(pattern, known, n=1, cutoff=0.6 if ours else _ALIKE)
    if close:
        return close[0]
    return "" if ours else None


def _is_told(loaded: Settings) -> bool:
    patterns = (pattern for target in loaded.targets.values() for pattern in target.events)
    return loaded.alerts.heartbeat_url is not None or any(pattern.startswith("relay.") for pattern in patterns)


def _is_reference(text: str) -> bool:
    from relay.settings.values import is_reference

    return is_reference(text)
