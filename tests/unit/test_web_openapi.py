"""The OpenAPI document is valid, and says of the routes what is so: nothing undocumented, nothing invented."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator
from starlette.routing import BaseRoute, Mount, Route

from relay.settings import load_mapping
from relay.web import dashboard
from relay.web.api_events import Retry
from relay.web.api_operations import Why
from relay.web.api_replay import Plan, Run
from relay.web.app import create_app
from relay.web.openapi import document


def test_the_document_is_valid() -> None:
    """By a validator that is not ours."""
    OpenAPIV31SpecValidator(document()).validate()


def test_every_route_is_documented_and_every_documented_path_is_routed() -> None:
    """Path by path and method by method."""
    app = create_app(load_mapping({}, environ={}, role="web"))
    documented = {(method.upper(), path) for path, item in document()["paths"].items() for method in item}
    # Pages for people are no part of the API: the dashboard's, and where Planday sends a browser back to.
    pages = {("GET", "/connect/callback"), *_routed(dashboard.routes())}
    assert set(_routed(app.routes)) - pages == documented


def _routed(routes: Sequence[BaseRoute], prefix: str = "") -> Iterator[tuple[str, str]]:
    for route in routes:
        if isinstance(route, Mount):
            yield from _routed(route.routes, prefix + route.path)
        else:
            assert isinstance(route, Route)
            # HEAD comes with every GET.
            yield from ((method, prefix + route.path) for method in (route.methods or ()) if method != "HEAD")


def test_path_parameters_are_those_of_the_path() -> None:
    """Each `{name}` has its parameter and no other."""
    for path, item in document()["paths"].items():
        for operation in item.values():
            named = [one["name"] for one in operation.get("parameters", ()) if one["in"] == "path"]
            assert named == re.findall(r"\{(\w+)\}", path)


@pytest.mark.parametrize(("schema", "model"), [("Retry", Retry), ("PlanRequest", Plan), ("PlanRun", Run), ("Why", Why)])
def test_request_bodies_have_the_documented_names(schema: str, model: Any) -> None:
    """What is read is what is described."""
    described = document()["components"]["schemas"][schema]
    assert set(described["properties"]) == set(model.model_fields)
    assert not described.get("required")


def test_every_schema_is_used() -> None:
    """No leftovers."""
    whole = str(document())
    for name in document()["components"]["schemas"]:
        assert f"'#/components/schemas/{name}'" in whole, name
