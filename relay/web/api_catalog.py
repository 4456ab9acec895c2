"""The types of events and their JSON Schemas. Nothing of this relay's is in them."""

from __future__ import annotations

import pydantic_core
from starlette.requests import Request
from starlette.responses import Response

from relay import catalog
from relay.errors import NotFoundError
from relay.web.asking import json_answer

_SCHEMA = "application/schema+json"
_KEPT = {"cache-control": "public, max-age=3600"}


async def show_catalog(_request: Request) -> Response:
    """Every type: what it means, the change in Planday behind it, who makes it, its schema."""
    rows = [
        {**row.as_dict(), "dataschema": catalog.schema_id(row.entity), "schema": f"/schemas/{row.entity}.json"}
        for row in catalog.CATALOG.values()
    ]
    return json_answer({"types": rows})


async def show_schema(request: Request) -> Response:
    """The schema of the envelopes about one entity; anybody may read it."""
    entity = request.path_params["entity"].replace("-", "_")
    found = catalog.schema(entity)
    if found is None:
        raise NotFoundError(f"there is no schema of that name; there are {', '.join(catalog.ENTITIES)}")
    return Response(pydantic_core.to_json(found), media_type=_SCHEMA, headers=_KEPT)
