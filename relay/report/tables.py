"""The report as rows: for a table, and for a spreadsheet that must not take what it reads for a formula."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from typing import Any

from relay.events import idempotency_key, rfc3339
from relay.report.tally import LISTS, Tally
from relay.store.reporting import ListedEvent

TALLY_COLUMNS = ("day", "type", *LISTS)
ROW_COLUMNS = (
    *("event", "portal", "type", "subject", "accepted_at", "state", "changed_at", "reason"),
    *("attempts", "round", "sent_again", "idempotency_key"),
)
# With these a cell begins that a spreadsheet would work out, or take as a command.
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def tally_cells(tally: Tally) -> tuple[Any, ...]:
    """One day and type under TALLY_COLUMNS."""
    return (tally.day.isoformat(), tally.type, *(tally.number(name) for name in LISTS))


def row_cells(row: ListedEvent, *, has_delivery: bool) -> tuple[Any, ...]:
    """One listed event under ROW_COLUMNS; times in UTC. Without a delivery there is no key."""
    return (
        *(row.event, row.portal, row.type, row.subject, rfc3339(row.accepted_at), row.what),
        None if row.changed_at is None else rfc3339(row.changed_at),
        *(row.reason, row.attempts, row.round, row.again or None),
        idempotency_key(row.event, row.target, row.salt) if has_delivery else None,
    )


def csv_line(cells: Sequence[Any]) -> str:
    """One line of CSV (RFC 4180); a text that a spreadsheet would calculate gets an apostrophe before it."""
    line = io.StringIO()
    csv.writer(line).writerow([_cell(value) for value in cells])
    return line.getvalue()


def _cell(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    text = value.replace("\0", "").replace("\r", " ").replace("\n", " ")
    return f"'{text}" if text.lstrip(" ").startswith(_FORMULA) else text
