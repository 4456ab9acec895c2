"""What a handler needs of its request: the services, the query, the body; and how it answers in JSON.

A query or a body that cannot be read is refused whole, with every fault of it.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from typing import Any, TypeVar

import pydantic_core
from pydantic import BaseModel, ValidationError
from starlette.requests import Request
from starlette.responses import Response

from relay.errors import BodyTooLarge, NotJson
from relay.services import Services
from relay.settings.faults import in_words
from relay.settings.values import seconds
from relay.web.problems import BAD_BODY, BAD_QUERY, Problem

Handler = Callable[[Request], Awaitable[Response]]
Body = TypeVar("Body", bound=BaseModel)
Choice = TypeVar("Choice", bound=StrEnum)

MOST_ROWS = 200
USUAL_ROWS = 50
_MOST_OF_A_BODY = 65_536
CURSOR = re.compile(r"[0-9]{1,20}(\.[0-9]{1,20})?:[A-Za-z0-9_-]{1,80}")
_OF_JSON = {
    "string_type": "must be a string",
    "tuple_type": "must be a list",
    "model_type": "must be an object",
    "missing": "is missing",
}
_A_MOMENT = 'neither a time with an offset ("2026-03-01T08:00:00Z") nor how long ago ("2h")'


def services_of(request: Request) -> Services:
    """What the lifespan, or the server, has opened."""
    services: Services = request.app.state.services
    return services


def json_answer(content: Any, *, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """An answer in JSON. It may hold personal data, so nobody on the way keeps it."""
    return Response(
        pydantic_core.to_json(content),
        status_code=status,
        media_type="application/json",
        headers={"cache-control": "no-store", **(headers or {})},
    )


def moment(text: str, *, now: float) -> float:
    """An instant: RFC 3339 with an offset, or how long ago ("2h"). Raises ValueError."""
    try:
        return now - seconds(text)
    except ValueError:
        pass
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(_A_MOMENT) from None
    if at.tzinfo is None:
        raise ValueError(_A_MOMENT)
    return at.timestamp()


class Query:
    """Reads query parameters one by one; `done` refuses what was wrong, what came twice and what nobody knows."""

    def __init__(self, request: Request) -> None:
        self._now = services_of(request).clock()
        self._left: dict[str, str] = {}
        self._faults: list[tuple[str, str]] = []
        for name, value in request.query_params.multi_items():
            if name in self._left:
                self._faults.append((name, "is there twice"))
            self._left[name] = value

    def text(self, name: str, *, longest: int = 200) -> str | None:
        value = self._left.pop(name, None)
        if value is not None and not 1 <= len(value) <= longest:
            self._fault(name, f"is not a text of 1 to {longest} characters")
            return None
        return value

    def number(self, name: str, *, least: int, most: int) -> int | None:
        value = self._left.pop(name, None)
        if value is None:
            return None
        if not (value.isascii() and value.isdigit() and len(value) < 20 and least <= int(value) <= most):
            self._fault(name, f"is not a whole number, {least} to {most}")
            return None
        return int(value)

    def choice(self, name: str, choices: type[Choice]) -> Choice | None:
        value = self._left.pop(name, None)
        if value is None:
            return None
        if value not in {one.value for one in choices}:
            self._fault(name, f"is none of {', '.join(choices)}")
            return None
        return choices(value)

    def moment(self, name: str) -> float | None:
        value = self._left.pop(name, None)
        try:
            return None if value is None else moment(value, now=self._now)
        except ValueError as error:
            self._fault(name, f"is {error}")
            return None

    def limit(self) -> int:
        return self.number("limit", least=1, most=MOST_ROWS) or USUAL_ROWS

    def cursor(self) -> str | None:
        value = self._left.pop("cursor", None)
        if value is not None and not CURSOR.fullmatch(value):
            self._fault("cursor", "is not one that a page of ours gave")
            return None
        return value

    def done(self) -> None:
        """Raise a 400 if anything was wrong."""
        faults = [*self._faults, *((name, "is not known here") for name in self._left)]
        if faults:
            errors = [{"parameter": name[:100], "detail": fault} for name, fault in faults]
            raise Problem(BAD_QUERY, "; ".join(f"{name[:100]} {fault}" for name, fault in faults[:10]), errors=errors)

    def _fault(self, name: str, message: str) -> None:
        self._faults.append((name, message))


async def body_of(request: Request, model: type[Body]) -> Body:
    """The request's JSON body as a model; no body at all is an empty one."""
    raw = bytearray()
    async for part in request.stream():
        raw += part
        if len(raw) > _MOST_OF_A_BODY:
            raise BodyTooLarge(f"the body is larger than {_MOST_OF_A_BODY} bytes")
    try:
        content = pydantic_core.from_json(bytes(raw), allow_inf_nan=False) if raw else {}
    except ValueError:
        raise NotJson("the body is not JSON in UTF-8") from None
    try:
        return model.model_validate(content)
    except ValidationError as error:
        faults = error.errors(include_url=False, include_input=False)
        raise body_problem([(_pointer(one["loc"]), _in_json(one)) for one in faults]) from None


def _in_json(fault: Any) -> str:
    """What is wrong, in the words of JSON where those of the settings would be TOML's."""
    return _OF_JSON.get(fault["type"]) or in_words(fault)


def no_query(handler: Handler) -> Handler:
    """A handler that takes no query parameter, and refuses any."""

    @functools.wraps(handler)
    async def answer(request: Request) -> Response:
        Query(request).done()
        return await handler(request)

    return answer


def body_problem(faults: Sequence[tuple[str, str]]) -> Problem:
    """A 422 for faults at JSON pointers."""
    errors = [{"pointer": pointer, "detail": detail} for pointer, detail in faults]
    return Problem(
        BAD_BODY, "; ".join(f"{pointer or '(the body)'}: {detail}" for pointer, detail in faults[:10]), errors=errors
    )


def _pointer(place: Sequence[int | str]) -> str:
    return "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in place)
