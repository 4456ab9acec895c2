"""The clerk's question: what happened in these days, did it all get there, once; and the list behind each number."""

from relay.report.period import Period, day_of
from relay.report.reports import ReportRequest, Reports, Walk
from relay.report.says import says
from relay.report.tables import ROW_COLUMNS, TALLY_COLUMNS, csv_line, row_cells, tally_cells
from relay.report.tally import DELIVERY, LISTS, WITHOUT, Report, Tally

__all__ = [
    "DELIVERY",
    "LISTS",
    "ROW_COLUMNS",
    "TALLY_COLUMNS",
    "WITHOUT",
    "Period",
    "Report",
    "ReportRequest",
    "Reports",
    "Tally",
    "Walk",
    "csv_line",
    "day_of",
    "row_cells",
    "says",
    "tally_cells",
]
