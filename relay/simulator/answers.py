"""How Planday answers: envelopes, pages, records and problems."""

import random
import zlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Literal, TypeVar

from starlette.datastructures import QueryParams
from starlette.responses import JSONResponse, Response

from relay.simulator.settings import Settings
from relay.simulator.state import Record
from relay.simulator.times import parse_date, parse_date_time, parse_instant, show_local

T = TypeVar("T")

# Class markers end up here when a reader keeps what it does not know.
UNKNOWN_FIELD = {"futureField": {"note": "MARKER-X-future"}}
LOCAL_TIMES = ("startDateTime", "endDateTime", "shiftStartDateTime", "shiftEndDateTime")
_DISORDER = random.Random(0)


class BadParameterError(ValueError):
    """A query parameter that earns a 400."""

    def __init__(self, name: str, message: str) -> None:
        super().__init__(message)
        self.name = name


class Params:
    """Query parameters, found whatever their casing, as Planday does."""

    def __init__(self, query: QueryParams) -> None:
        self._values: dict[str, list[str]] = {}
        for name, value in query.multi_items():
            self._values.setdefault(name.lower(), []).append(value)

    def text(self, name: str) -> str | None:
        """The first value, or None."""
        values = self._values.get(name.lower())
        return values[0] if values else None

    def texts(self, name: str) -> list[str]:
        """Every value, repeated or separated by commas (how arrays are written is undocumented)."""
        return [part for value in self._values.get(name.lower(), []) for part in value.split(",") if part]

    def integer(self, name: str, *, default: int) -> int:
        """A whole number."""
        text = self.text(name)
        if text is None:
            return default
        try:
            return int(text)
        except ValueError as error:
            raise BadParameterError(name, f"The value '{text}' is not valid.") from error

    def ids(self, name: str) -> set[int] | None:
        """A set of ids, or None when the parameter is absent."""
        texts = self.texts(name)
        if not texts:
            return None
        try:
            return {int(text) for text in texts}
        except ValueError as error:
            raise BadParameterError(name, "Ids are whole numbers.") from error

    def flag(self, name: str) -> bool | None:
        """`true` or `false`, or None when absent."""
        text = self.text(name)
        if text is None:
            return None
        if text.lower() not in ("true", "false"):
            raise BadParameterError(name, f"The value '{text}' is not valid.")
        return text.lower() == "true"

    def day(self, name: str) -> date | None:
        """A date, or None when absent."""
        return self._parsed(name, parse_date)

    def window(self, first: str, last: str) -> tuple[date, date]:
        """Two required dates in order."""
        days = [self._needed(name, self.day(name)) for name in (first, last)]
        if days[0] > days[1]:
            raise BadParameterError(first, "The first date must not be after the last.")
        return days[0], days[1]

    def needed_ids(self, name: str) -> set[int]:
        """A set of ids that must be given."""
        return self._needed(name, self.ids(name))

    def instant(self, name: str) -> datetime | None:
        """An instant, or None when absent."""
        return self._parsed(name, parse_instant)

    def wall_clock(self, name: str) -> datetime | None:
        """A date-time without zone, or None when absent."""
        moment = self._parsed(name, parse_date_time)
        return moment.replace(tzinfo=None) if moment else None

    def _needed(self, name: str, value: T | None) -> T:
        if value is None:
            raise BadParameterError(name, "The field is required.")
        return value

    def _parsed(self, name: str, parse: Callable[[str], T]) -> T | None:
        text = self.text(name)
        if text is None:
            return None
        try:
            return parse(text)
        except ValueError as error:
            raise BadParameterError(name, f"The value '{text}' is not valid.") from error


@dataclass(frozen=True)
class PageRule:
    """How one list is paged."""

    default: int = 50
    maximum: int = 50
    minimum: int = 0
    over: Literal["clamp", "400"] = "clamp"
    limit_name: str = "limit"
    offset_name: str = "offset"


def read_page(params: Params, *, rule: PageRule, settings: Settings) -> tuple[int, int]:
    """The offset and limit that will be served."""
    limit = params.integer(rule.limit_name, default=rule.default)
    offset = params.integer(rule.offset_name, default=0)
    if limit < rule.minimum or (limit > rule.maximum and rule.over == "400"):
        raise BadParameterError(rule.limit_name, f"The limit must be between {rule.minimum} and {rule.maximum}.")
    if offset < 0:
        raise BadParameterError(rule.offset_name, "The offset must not be negative.")
    cap = rule.maximum if settings.page_size_cap is None else min(rule.maximum, settings.page_size_cap)
    return offset, min(limit, cap)


class Page(JSONResponse):
    """One page, and what a mischief between two pages needs to know of it: the list's first row, if more follow."""

    before_next: Record | None = None


def page(
    rows: Iterable[Record],
    *,
    params: Params,
    rule: PageRule,
    settings: Settings,
    shown: Callable[[Record], Record] | None = None,
) -> Page:
    """One page of a list; `shown` writes the rows that are on it."""
    offset, limit = read_page(params, rule=rule, settings=settings)
    everything = _ordered(list(rows), order=settings.order)
    paging = {"offset": offset, "limit": limit, "total": len(everything)}
    part = everything[offset : offset + limit]
    answer = Page(
        {
            "paging": None if settings.paging_null else paging,
            "data": part if shown is None else [shown(row) for row in part],
        }
    )
    if part and offset + limit < len(everything):
        answer.before_next = everything[0]
    return answer


def _ordered(rows: list[Record], *, order: str) -> list[Record]:
    if order == "modified":
        return sorted(rows, key=lambda row: str(row.get("dateTimeModified")), reverse=True)
    if order == "shuffled":
        return sorted(rows, key=lambda row: zlib.crc32(str(row.get("id")).encode()))
    return _DISORDER.sample(rows, len(rows)) if order == "unstable" else rows


def single(record: Record) -> Response:
    """One record in its envelope."""
    return JSONResponse({"data": record})


def show(record: Record, *, settings: Settings, zone: str, sparse: bool = False, without: Iterable[str] = ()) -> Record:
    """A record as it goes out: times in the chosen form, nulls kept or left out, one field nobody knows.

    `sparse` marks the endpoints that were seen to leave nulls out.
    """
    hidden = set(without)
    second = record.get("_second", ())
    omit = settings.nulls == "omit" or (settings.nulls == "as_seen" and sparse)
    shown: Record = {}
    for name, value in record.items():
        if name in hidden or (value is None and omit) or name[0] == "_":
            continue
        if value is not None and name in LOCAL_TIMES:
            zone_of_row = record.get("timeZone") or zone
            shown[name] = show_local(value, zone=zone_of_row, form=settings.datetimes, second=name in second)
        else:
            shown[name] = value
    return {**shown, **UNKNOWN_FIELD} if settings.unknown_fields else shown


def problem(status: int, title: str, *, detail: str = "", errors: dict[str, list[str]] | None = None) -> Response:
    """An RFC 7807 body, with `errors` where the spec says ValidationProblemDetails."""
    body: dict[str, Any] = {"type": f"https://httpstatuses.io/{status}", "title": title, "status": status}
    if detail:
        body["detail"] = detail
    if errors:
        body["errors"] = errors
    return JSONResponse(body, status_code=status, media_type="application/problem+json")


def not_found(what: str) -> Response:
    """404 for a by-id read."""
    return problem(404, "Not Found", detail=f"{what} was not found.")
