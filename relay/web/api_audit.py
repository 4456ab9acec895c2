"""The API on who did what, and on the erasure of people. A worker carries erasures out: only it has the keys."""

from __future__ import annotations

import pydantic_core
from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request
from starlette.responses import Response

from relay.errors import NotFoundError, RefusedError
from relay.web import shapes
from relay.web.access import by
from relay.web.asking import Query, body_of, json_answer, services_of

_MOST_CURSOR = 10**15


class Erasure(BaseModel):
    """Body of an erasure."""

    model_config = ConfigDict(extra="forbid", strict=True)

    portal: str = Field(max_length=64)
    employee: str = Field(pattern=r"^[0-9]{1,19}$")
    reason: str = Field(default="", max_length=500)
    cancel_parked: bool = False
    dry_run: bool = True


async def list_audit(request: Request) -> Response:
    """Acts of people and tokens, newest first."""
    query = Query(request)
    cursor = query.number("cursor", least=1, most=_MOST_CURSOR)
    wanted = {
        "limit": query.limit(),
        "cursor": None if cursor is None else str(cursor),
        "since": query.moment("since"),
        "until": query.moment("until"),
        "by": query.text("by"),
        "act": query.text("act"),
        "on": query.text("on"),
    }
    query.done()
    page = await services_of(request).keeping.audit.list(**wanted)  # type: ignore[arg-type]
    return json_answer(shapes.page([shapes.act(one) for one in page.rows], page, "acts"))


async def begin_erasure(request: Request) -> Response:
    """Show what erasing a person would do, or (`dry_run` false) begin it."""
    services, wanted = services_of(request), await body_of(request, Erasure)
    if wanted.portal not in services.settings.portals:
        raise NotFoundError(f"there is no portal {wanted.portal}")
    workers, _ = await services.store.live(now=services.clock())
    if not workers:
        raise RefusedError("no worker is running, and only a worker holds what this needs: start `relay worker`")
    handed = pydantic_core.to_json(wanted.model_dump(exclude={"portal"})).decode()
    answer = await services.errands.ask("erase", wanted.portal, by=by(request), secret=handed)
    if not answer["ok"]:
        raise RefusedError(str(answer["error"]))
    if wanted.dry_run:
        return json_answer({"plan": answer["plan"]})
    erasure = answer["erasure"]
    return json_answer({"erasure": erasure}, status=202, headers={"location": f"/api/v1/erasures/{erasure}"})


async def show_erasure(request: Request) -> Response:
    """What is noted of an erasure; whom it is about is told nowhere."""
    return json_answer(shapes.erasure(await services_of(request).keeping.erasures.status(request.path_params["id"])))
