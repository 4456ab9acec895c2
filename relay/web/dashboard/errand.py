"""Asks a worker for what only a worker can do, for a page that waits."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request

from relay.errors import NotFoundError, RefusedError
from relay.web.access import by
from relay.web.asking import services_of


async def ask(request: Request, kind: str, name: str, *, secret: str | None = None) -> dict[str, Any]:
    """A worker's answer. Raises RefusedError when there is none, NotFoundError for what is missing."""
    services = services_of(request)
    workers, _ = await services.store.live(now=services.clock())
    if not workers:
        raise RefusedError("no worker is running, and only a worker holds what this needs: start `relay worker`")
    answer = await services.errands.ask(kind, name, by=by(request), secret=secret)
    if answer.get("missing") is True:
        raise NotFoundError(str(answer["error"]))
    return answer
