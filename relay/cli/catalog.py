"""`relay catalog`: which events there are, what each means, and how one looks."""

from __future__ import annotations

import sys
from typing import Annotated, Any

import typer

from relay.cli import completing, out


def catalog(
    type_: Annotated[
        str | None,
        typer.Argument(
            metavar="[TYPE]", autocompletion=completing.types, help="A type, such as planday.shift.updated."
        ),
    ] = None,
    as_json: out.AsJson = False,
) -> None:
    """The types of events, what each means and who makes it; of one type also its cause, a sample and its schema.

    Who: "feed" is made by the change feed and taken from senders too, "senders only" has to be sent, "relay" is about
    the relay itself. A type that is not there ends in exit code 4, with the nearest names.

    \b
    Examples:
      relay catalog
      relay catalog planday.shift.updated
      relay catalog planday.shift.updated --json
    """
    from relay.catalog import CATALOG

    if type_ is not None:
        _one(type_, as_json=as_json)
    elif as_json:
        out.json_out({"types": [row.as_dict() for row in CATALOG.values()]})
    else:
        out.table(("type", "meaning", "who"), ((row.type, row.meaning, row.door.value) for row in CATALOG.values()))


def _one(type_: str, *, as_json: bool) -> None:
    from relay.catalog import CATALOG, nearest, sample, schema, schema_id
    from relay.errors import NotFoundError

    row = CATALOG.get(type_)
    if row is None:
        alike = nearest(type_)
        hint = f"did you mean {', '.join(alike)}?" if alike else "`relay catalog` lists them"
        raise NotFoundError(f"there is no type of event {type_}; {hint}")
    found: dict[str, Any] = {**row.as_dict(), "sample": sample(type_), "schema": schema(row.entity)}
    if as_json:
        out.json_out(found)
        return
    out.facts(
        {
            "type": row.type,
            "meaning": row.meaning,
            "change": row.change,
            "who": row.door.value,
            "schema": f"{schema_id(row.entity)} (served as /schemas/{row.entity}.json)",
        }
    )
    for name in ("sample", "schema"):
        sys.stdout.write(f"\n{name}\n{_pretty(found[name])}\n")


def _pretty(value: Any) -> str:
    import pydantic_core

    return pydantic_core.to_json(value, indent=2).decode()
