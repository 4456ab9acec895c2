"""A report as the API and `--json` show it; times are RFC 3339 in UTC, days are those of the report's zone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from relay.events import rfc3339
from relay.report import ROW_COLUMNS, WITHOUT, Report, Tally, row_cells, says
from relay.report.tally import AGAIN, DELIVERY
from relay.store.reporting import ListedEvent


def report(one: Report, *, listed: str | None, rows: Sequence[ListedEvent], more: int) -> dict[str, Any]:
    """The whole report; `rows` are what is listed, `more` how many further ones there are."""
    shown = {
        "target": one.target,
        "type": one.type,
        "from": one.period.first.isoformat(),
        "to": one.period.last.isoformat(),
        "zone": one.period.zone,
        "zone_from": one.zone_from or None,
        "as_of": rfc3339(one.as_of),
        "complete": one.complete,
        "says": says(one),
        "totals": _numbers(one.total),
        "other_types": one.other_types,
        "oldest": {what: rfc3339(at) for what, at in one.first_at.items()},
        "kept_from": {kind: rfc3339(at) for kind, at in one.kept_from.items()},
        "days": [{"day": tally.day.isoformat(), "type": tally.type, **_numbers(tally)} for tally in one.tallies],
    }
    if listed is not None:
        shown["list"] = {"of": listed, "rows": [row(each) for each in rows], "more": more}
    return shown


def row(one: ListedEvent) -> dict[str, Any]:
    """One event behind a number."""
    return dict(zip(ROW_COLUMNS, row_cells(one, has_delivery=one.what not in WITHOUT), strict=True))


def _numbers(tally: Tally) -> dict[str, Any]:
    return {
        "accepted": tally.accepted,
        **{what: tally.counts[what] for what in DELIVERY},
        "repeated": {kind: tally.again[kind] for kind in AGAIN},
        "not_routed": {what: tally.counts[what] for what in WITHOUT},
    }
