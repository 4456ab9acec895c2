"""The simulator as one Starlette app: identity server, API, stand-ins and control, on one port."""

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager

import httpx
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from relay.simulator.clock import Clock
from relay.simulator.consent import consent_oddities
from relay.simulator.control import control_routes
from relay.simulator.faults import Sleep
from relay.simulator.identity import CLIENT_ID, DEFAULT_SCOPES, REFRESH_TOKENS, not_a_form, oddities, read_form
from relay.simulator.living import LifeSettings, living
from relay.simulator.payroll_standin import PAYROLL_SECRET
from relay.simulator.relay_event_emitter import EMIT_SECRET
from relay.simulator.settings import Settings
from relay.simulator.simulator import Simulator

_ANY = ["GET", "POST", "PUT", "PATCH", "DELETE"]


class ProductionError(RuntimeError):
    """A simulator has no business in production."""


def create_simulator(
    *,
    settings: Settings | None = None,
    clock: Clock | None = None,
    client_id: str = CLIENT_ID,
    refresh_tokens: Mapping[int, str] = REFRESH_TOKENS,
    emit_to: str | None = None,
    emit_secret: str = EMIT_SECRET,
    payroll_secret: str = PAYROLL_SECRET,
    sleep: Sleep = asyncio.sleep,
    emit_transport: httpx.AsyncBaseTransport | None = None,
    scopes: frozenset[str] = DEFAULT_SCOPES,
    redirect_uris: Sequence[str] | None = None,
    life: LifeSettings | None = None,
) -> Starlette:
    """Build the app; the `Simulator` behind it is `app.state.simulator`."""
    if os.environ.get("RELAY_ENV") == "production":
        raise ProductionError("the simulator does not start with RELAY_ENV=production")
    simulator = Simulator(
        settings=settings,
        clock=clock,
        client_id=client_id,
        refresh_tokens=refresh_tokens,
        emit_to=emit_to,
        emit_secret=emit_secret,
        payroll_secret=payroll_secret,
        sleep=sleep,
        emit_transport=emit_transport,
        scopes=scopes,
        redirect_uris=redirect_uris,
    )

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        async with living(simulator, life):
            yield
        await simulator.emitter.aclose()

    app = Starlette(
        lifespan=lifespan,
        routes=[
            Route("/connect/token", _identity(simulator, "token"), methods=["POST"]),
            Route("/connect/revocation", _identity(simulator, "revocation"), methods=["POST"]),
            Route("/connect/authorize", _authorize(simulator), methods=["GET", "POST"]),
            Route("/slack/services/{team}/{hook}/{token}", _plain(simulator.slack), methods=["POST"]),
            Route("/payroll/{name}", _plain(simulator.payroll), methods=["POST"]),
            Route("/paylines/token", _plain(simulator.pay_office.token), methods=["POST"]),
            Route("/paylines/{mode}/{name}", _plain(simulator.pay_office), methods=["POST", "PUT"]),
            *control_routes(simulator),
            Route("/{domain}/{rest:path}", _plain(simulator.api), methods=_ANY),
        ],
    )
    app.state.simulator = simulator
    return app


def _plain(handler: Callable[[Request], Awaitable[Response]]) -> Callable[[Request], Awaitable[Response]]:
    # Starlette takes an object with __call__ for a whole ASGI app; these are handlers.
    async def answer(request: Request) -> Response:
        return await handler(request)

    return answer


def _authorize(simulator: Simulator) -> Callable[[Request], Awaitable[Response]]:
    async def answer(request: Request) -> Response:
        # The screen posts to the address that showed it, with the same parameters in its form.
        form = await read_form(request) if request.method == "POST" else None
        sent = [name for name, _ in request.query_params.multi_items()]
        params = dict(request.query_params) if form is None else form
        seen = simulator.log.open(
            method=request.method,
            path=request.url.path,
            query="",  # it may hold a secret state
            endpoint=request.url.path,
            unexpected=consent_oddities(params, sent),
        )
        fault = simulator.faults.take(request.url.path)
        seen.fault = fault.kind if fault else None

        async def proceed() -> Response:
            return simulator.consent.ask(params) if form is None else simulator.consent.decide(form)

        response = await simulator.faults.play(fault, request, proceed)
        simulator.log.close(seen, status=None if fault and fault.kind.startswith("drop") else response.status_code)
        return response

    return answer


def _identity(simulator: Simulator, name: str) -> Callable[[Request], Awaitable[Response]]:
    async def answer(request: Request) -> Response:
        form = await read_form(request)
        seen = simulator.log.open(
            method="POST",
            path=request.url.path,
            query=request.url.query,
            endpoint=request.url.path,
            unexpected=oddities(form, request),
        )
        seen.client_id = (form or {}).get("client_id")
        fault = simulator.faults.take(request.url.path)
        seen.fault = fault.kind if fault else None

        async def proceed() -> Response:
            if form is None:
                return not_a_form()
            return simulator.identity.grant(form) if name == "token" else simulator.identity.revoke(form)

        response = await simulator.faults.play(fault, request, proceed)
        simulator.log.close(seen, status=None if fault and fault.kind.startswith("drop") else response.status_code)
        return response

    return answer
