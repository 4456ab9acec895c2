"""`relay report`: did everything get there, once; and the list behind each number."""

from __future__ import annotations

import sys
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated

import typer

from relay.cli import completing, exits, opened, out
from relay.errors import RefusedError

if TYPE_CHECKING:
    from relay.report import Report, ReportRequest, Walk
    from relay.services import Services
    from relay.store.reporting import ListedEvent


def report(
    *,
    target: Annotated[
        str, typer.Option(autocompletion=completing.targets, help="The target that the report is about.")
    ],
    first: Annotated[str, typer.Option("--from", help="First day: 2026-11-01, today or yesterday.")] = "today",
    last: Annotated[str, typer.Option("--to", help="Last day, included.")] = "today",
    zone: Annotated[str | None, typer.Option(help="Whose days, as Europe/Copenhagen.  [the portal's]")] = None,
    type_: Annotated[
        str | None,
        typer.Option("--type", autocompletion=completing.types, help='Type or pattern, such as "planday.shift.*".'),
    ] = None,
    listed: Annotated[
        str | None, typer.Option("--list", help="Also what stands behind a number: accepted, delivered, dead, ...")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=100_000, help="Rows of that list at most; --csv has all.")] = 200,
    csv: Annotated[str | None, typer.Option(metavar="FILE", help="The days, or with --list the list, as CSV.")] = None,
    fail_on_open: Annotated[
        bool, typer.Option("--fail-on-open", help="Exit code 3 unless everything got there.")
    ] = False,
    as_json: out.AsJson = False,
) -> None:
    """Did everything get there, once: per day and type what was accepted for a target and what became of it.

    An event belongs to the day on which it was accepted. `--csv -` writes to stdout.

    \b
    Examples:
      relay report --target hours --from 2026-11-01 --to 2026-11-30
      relay report --target hours --from yesterday --list dead
      relay report --target hours --from 2026-11-01 --to 2026-11-30 --list delivered --csv november.csv
    """
    from relay.report import ReportRequest

    if as_json and csv == "-":
        raise typer.BadParameter("both go to stdout: name a file for the CSV", param_hint="--csv")
    wanted = ReportRequest(target=target, first=first, last=last, zone=zone, type=type_, listed=listed)
    found = opened.ask(lambda services: _walk(services, wanted, csv=csv, limit=limit))
    if as_json:
        from relay.web import report_shape

        out.json_out(report_shape.report(found.report, listed=listed, rows=found.rows, more=found.more))
    else:
        _print(found, listed=listed, csv=csv)
    if fail_on_open and not found.report.complete:
        raise typer.Exit(exits.UNHEALTHY)


@dataclass(slots=True)
class _Found:
    report: Report
    rows: list[ListedEvent] = field(default_factory=list)
    more: int = 0


async def _walk(services: Services, wanted: ReportRequest, *, csv: str | None, limit: int) -> _Found:
    """The report, the first rows of its list, and the CSV, which is written on the way and is never whole in memory."""
    from relay.report import ROW_COLUMNS, TALLY_COLUMNS, WITHOUT, csv_line, row_cells, tally_cells

    walk: Walk = await services.reports.begin(wanted)
    rows: list[ListedEvent] = []
    count = 0
    with ExitStack() as stack:
        file = _open(csv, stack)
        if file is not None:
            file.write(csv_line(TALLY_COLUMNS if wanted.listed is None else ROW_COLUMNS))
        async for some in walk.stretches():
            count += len(some)
            rows += some[: limit - len(rows)]
            if file is not None:
                file.writelines(csv_line(row_cells(row, has_delivery=row.what not in WITHOUT)) for row in some)
        found = _Found(walk.report(), rows, count - len(rows))
        if file is not None and wanted.listed is None:
            file.writelines(csv_line(tally_cells(tally)) for tally in found.report.tallies)
    return found


def _open(csv: str | None, stack: ExitStack) -> IO[str] | None:
    if csv is None or csv == "-":
        return None if csv is None else sys.stdout
    try:
        return stack.enter_context(Path(csv).open("w", encoding="utf-8", newline=""))
    except OSError as error:
        raise RefusedError(f"{csv} cannot be written ({error.strerror}): name another file with --csv") from error


def _print(found: _Found, *, listed: str | None, csv: str | None) -> None:
    from relay.report import says

    report = found.report
    stdout_taken = csv == "-"
    period = report.period
    whose = f" of {report.zone_from}" if report.zone_from and period.zone != "UTC" else ""
    head = [
        f"{report.target}, {period.first} to {period.last} ({period.zone}{whose}), as of {out.instant(report.as_of)}"
    ]
    text = "\n".join(out.printable(line) for line in (*head, "", *says(report)))
    if stdout_taken:
        out.say(text)
        return
    sys.stdout.write(text + "\n")
    if report.tallies:
        sys.stdout.write("\n")
        _print_days(report)
    if listed is not None and csv is None:
        sys.stdout.write("\n")
        _print_rows(found, listed)
    if csv is not None:
        out.say(f"written to {csv}")


def _print_days(report: Report) -> None:
    """Columns in which every day has 0 are left out, but for the two that answer the question."""
    from relay.report import LISTS

    shown = [name for name in LISTS if name in ("accepted", "delivered") or report.total.number(name)]
    rows = [(tally.day, tally.type, *(tally.number(name) for name in shown)) for tally in report.tallies]
    rows.append(("total", "", *(report.total.number(name) for name in shown)))
    out.table(("day", "type", *shown), rows)


def _print_rows(found: _Found, listed: str) -> None:
    from relay.events import idempotency_key
    from relay.report import WITHOUT

    out.table(
        (
            "accepted (UTC)",
            "event",
            "type",
            "subject",
            "state",
            "changed (UTC)",
            "attempts",
            "sent again",
            "key",
            "reason",
        ),
        (
            (
                out.utc(row.accepted_at),
                row.event,
                row.type,
                row.subject,
                row.what,
                out.utc(row.changed_at),
                row.attempts,
                row.again or None,
                None if row.what in WITHOUT else idempotency_key(row.event, row.target, row.salt),
                row.reason,
            )
            for row in found.rows
        ),
        empty=f"the list of {listed} is empty",
    )
    if found.more:
        out.say(f"{found.more} more: a higher --limit, or all of them with --csv FILE")
