"""The web application on one screen: its routes, its error table, and what its lifespan opens."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from relay import telemetry
from relay.consent import PATH
from relay.errors import RelayError
from relay.services import Services, open_services
from relay.settings import Settings
from relay.web import api, problems
from relay.web.connect import callback
from relay.web.dashboard import routes as dashboard_routes
from relay.web.dashboard.door import as_page
from relay.web.health import healthz, metrics, readyz
from relay.web.receiver import BODY_PATIENCE, Receiver

Open = Callable[[Settings], AbstractAsyncContextManager[Services]]

# Who watches us must still be answered while we stop.
_ALWAYS = ("/healthz", "/readyz", "/metrics")


def create_app(
    settings: Settings,
    *,
    services: Services | None = None,
    opener: Open | None = None,
    body_patience: float = BODY_PATIENCE,
) -> Starlette:
    """The application. With `services` they are the caller's to close; else its lifespan opens its own.

    Raises ConfigError when a source's secrets are unfit.
    """

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        if services is not None:
            yield
            return
        async with (opener or _open)(settings) as opened:
            app.state.services = opened
            yield

    app = Starlette(
        routes=[
            Route("/in/{source}", Receiver(settings, body_patience=body_patience), methods=["POST", "OPTIONS"]),
            Route("/healthz", healthz),
            Route("/readyz", readyz),
            Route("/metrics", metrics),
            Route(PATH, callback),
            *api.mount(),
            *dashboard_routes(),
        ],
        exception_handlers={RelayError: _problem, HTTPException: _problem},
        middleware=[Middleware(Doorkeeper)],
        lifespan=lifespan,
    )
    app.router.redirect_slashes = False
    app.state.services = services
    app.state.draining = False
    return app


class Doorkeeper:
    """Takes nothing new while the relay stops, and tells nobody outside what went wrong inside."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        state = scope["app"].state
        if state.draining and scope["path"] not in _ALWAYS:
            stopping = problems.Problem(
                problems.DRAINING,
                "come back in a few seconds, to this address or to another receiver",
                headers={"connection": "close"},
                retry_after=2.0,
            )
            await (as_page(Request(scope), stopping) or problems.answer(stopping))(scope, receive, send)
            return
        try:
            await self._app(scope, receive, send)
        except Exception as error:
            state.services.telemetry.record(telemetry.OwnFault(where=_place(scope), error=error))
            answer = as_page(Request(scope), error) or problems.answer(error)
            await answer(scope, receive, send)


async def _problem(request: Request, error: Exception) -> Response:
    return as_page(request, error) or problems.answer(error)


def _open(settings: Settings) -> AbstractAsyncContextManager[Services]:
    return open_services(settings, worker=False)


def _place(scope: Scope) -> str:
    """The route, not the path: a path holds ids, and whatever a stranger writes into it."""
    endpoint = scope.get("endpoint")
    return f"web:{getattr(endpoint, '__name__', type(endpoint).__name__)}"
