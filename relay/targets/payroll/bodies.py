"""Rows as bytes: JSON with exact decimals, or CSV. Pure."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from relay.errors import Unrenderable
from relay.settings import PayrollBody
from relay.targets.payroll.mapping import Written
from relay.targets.payroll.values import plain

# A spreadsheet takes a text that begins so for a formula.
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def content_type(settings: PayrollBody) -> str:
    """What the body is."""
    if settings.content_type is not None:
        return settings.content_type
    if settings.format == "json":
        return "application/json"
    return f"text/csv; charset={settings.encoding.removesuffix('-sig')}"


def render(rows: Sequence[Mapping[str, Written]], names: Sequence[str], settings: PayrollBody) -> bytes:
    """The body of one request. Raises Unrenderable."""
    if settings.format == "csv":
        return _csv(rows, names, settings)
    lines = [_nested(row) for row in rows]
    if settings.list is None:
        assert len(lines) == 1, "several rows need a list: FieldMap saw to it"
        return encode(lines[0]).encode()
    body: dict[str, Any] = {}
    _put(body, settings.list, lines)
    return encode(body).encode()


def encode(value: Any) -> str:
    """JSON, with decimals as the numbers they are: 7.50 and not 7.5, and never through a float."""
    match value:
        case Decimal():
            return plain(value)
        case Mapping():
            return "{" + ",".join(f"{encode(str(name))}:{encode(inner)}" for name, inner in value.items()) + "}"
        case list() | tuple():
            return "[" + ",".join(encode(inner) for inner in value) + "]"
        case _:
            return json.dumps(value, ensure_ascii=False)


def _nested(row: Mapping[str, Written]) -> dict[str, Any]:
    out: dict[str, Any] = {}
    for name, value in row.items():
        if value is not None:
            _put(out, name, value)
    return out


def _put(out: dict[str, Any], name: str, value: Any) -> None:
    *branches, leaf = name.split(".")
    for branch in branches:
        out = out.setdefault(branch, {})
    out[leaf] = value


def _csv(rows: Sequence[Mapping[str, Written]], names: Sequence[str], settings: PayrollBody) -> bytes:
    text = io.StringIO(newline="")
    writer = csv.writer(
        text,
        delimiter=settings.delimiter,
        quoting=csv.QUOTE_ALL if settings.quote == "all" else csv.QUOTE_MINIMAL,
        lineterminator="\r\n",
    )
    if settings.header:
        writer.writerow([_cell(name) for name in names])
    for row in rows:
        cells = [_cell(row.get(name)) for name in names]
        for name, cell in zip(names, cells, strict=True):
            _encodable(name, cell, settings.encoding)
        writer.writerow(cells)
    return text.getvalue().encode(settings.encoding)


def _cell(value: Written) -> str:
    match value:
        case None:
            return ""
        case bool():
            return "true" if value else "false"
        case Decimal():
            return plain(value)
        case int():
            return str(value)
        case _:
            return f"'{value}" if value.startswith(_FORMULA) and not _is_number(value) else value


def _is_number(text: str) -> bool:
    """A negative amount with a decimal comma is no formula."""
    digits = text[1:].replace(",", "", 1).replace(".", "", 1)
    return text[0] == "-" and digits.isascii() and digits.isdigit()


def _encodable(name: str, cell: str, encoding: str) -> None:
    try:
        cell.encode(encoding)
    except UnicodeEncodeError:
        raise Unrenderable(f"{name} holds a character that {encoding} does not have") from None
