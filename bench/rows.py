"""What a bench found: one row a figure, beside what is wanted and what a bare baseline reached in the same run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Row:
    """`reached` in `unit`; `bare`: the baseline of the same run; `kept`: whether it is as wanted (None: no limit)."""

    what: str
    reached: float
    unit: str
    wanted: str = ""
    kept: bool | None = None
    bare: float | None = None

    @property
    def ratio(self) -> float | None:
        """Reached, as a share of the baseline."""
        return self.reached / self.bare if self.bare else None


def at_least(what: str, reached: float, unit: str, least: float, *, bare: float | None = None) -> Row:
    return Row(what, reached, unit, f">= {least:g}", reached >= least, bare)


def at_most(what: str, reached: float, unit: str, most: float, *, bare: float | None = None) -> Row:
    return Row(what, reached, unit, f"<= {most:g}", reached <= most, bare)


def table(rows: Sequence[Row]) -> str:
    """All rows; what was not reached is marked."""
    head = ("what", "reached", "unit", "wanted", "", "bare", "ratio")
    cells = [head]
    for row in rows:
        mark = {None: "", True: "yes", False: "NO"}[row.kept]
        bare = "" if row.bare is None else _number(row.bare)
        ratio = "" if row.ratio is None else f"{row.ratio:.2f}"
        cells.append((row.what, _number(row.reached), row.unit, row.wanted, mark, bare, ratio))
    widths = [max(len(line[column]) for line in cells) for column in range(len(head))]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if column in (0, 2, 3, 4) else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in cells
    )


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.2f}" if abs(value) < 10 else f"{value:.1f}"
