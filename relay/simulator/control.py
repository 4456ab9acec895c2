"""The control endpoint, for tests and the demo only: make changes, move time, spoil requests, look inside."""

from collections.abc import Awaitable, Callable
from dataclasses import asdict
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from relay.simulator.control_body import json_body
from relay.simulator.control_life import expected, life, run
from relay.simulator.deeds import ActionError
from relay.simulator.faults import Fault
from relay.simulator.simulator import Simulator


async def state(simulator: Simulator, request: Request) -> Any:
    """Everything, or one portal with `?portal=`."""
    whole = simulator.state()
    wanted = request.query_params.get("portal")
    return whole if wanted is None else whole["portals"][wanted]


async def act(simulator: Simulator, request: Request) -> Any:
    """Do something in a portal."""
    change, record, event_id = simulator.act(
        _portal_id(request), request.path_params["entity"], request.path_params["action"], **await json_body(request)
    )
    return {"entity": record, "change": asdict(change), "eventId": event_id}


async def authorise(simulator: Simulator, request: Request) -> Any:
    """Change what the app may do on a portal."""
    given, body = simulator.authorisation(_portal_id(request)), await json_body(request)
    action = request.path_params["action"]
    if action == "scopes":
        given.scopes = frozenset(body["scopes"])
    elif action == "expire":
        simulator.identity.expire(portal_id=given.portal_id)
    elif action == "revoke":
        fate = body.get("variant", "refresh-fails")
        if fate not in ("refresh-fails", "api-401"):
            raise ActionError("variant must be refresh-fails or api-401")
        simulator.identity.end(given, fate=fate)
    elif action == "reauthorise":
        simulator.identity.renew(given)
    else:
        raise ActionError(f"nobody can {action} an authorisation")
    return {"refresh_token": given.refresh_token, "scopes": sorted(given.scopes), "fate": given.fate}


async def move_clock(simulator: Simulator, request: Request) -> Any:
    """Let time pass."""
    return {"now": simulator.clock.advance(float((await json_body(request)).get("advance", 0))).isoformat()}


async def expire_tokens(simulator: Simulator, request: Request) -> Any:
    """Let every access token expire."""
    simulator.identity.expire()
    return {"expired": len(simulator.identity.access_tokens)}


async def settings(simulator: Simulator, request: Request) -> Any:
    """Read the switches, or set some."""
    if request.method == "POST":
        simulator.settings.change(await json_body(request))
    return simulator.settings.as_dict()


async def faults(simulator: Simulator, request: Request) -> Any:
    """Read the planned faults, add one, or clear them."""
    if request.method == "POST":
        simulator.faults.add(Fault.read(await json_body(request)))
    elif request.method == "DELETE":
        simulator.faults.clear()
    return {"faults": [asdict(fault) for fault in simulator.faults.planned]}


async def requests(simulator: Simulator, request: Request) -> Any:
    """What was asked of the API and the identity server."""
    if request.method == "DELETE":
        simulator.log.clear()
    return simulator.log.as_dict()


async def budget(simulator: Simulator, request: Request) -> Any:
    """What the run cost so far: requests per minute of each portal and client, refusals, and what was unexpected."""
    if request.method == "DELETE":
        simulator.budget.clear()
        simulator.log.clear()
    return simulator.budget.report() | simulator.log.totals()


async def changes(simulator: Simulator, request: Request) -> Any:
    """Every change, oldest first; `?after=` skips those up to a sequence."""
    after = int(request.query_params.get("after", "0"))
    return {"changes": [asdict(change) for change in simulator.changes if change.sequence > after]}


async def emitter(simulator: Simulator, request: Request) -> Any:
    """Read the emitter of relay events, aim it, or let things go wrong."""
    if request.method == "POST":
        body = await json_body(request)
        if "url" in body or "secret" in body:
            simulator.emitter.aim(body.pop("url", simulator.emitter.url), secret=body.pop("secret", None))
        simulator.emitter.change_mischief(body)
    return simulator.emitter.as_dict()


async def flush_emitter(simulator: Simulator, request: Request) -> Any:
    """Wait until the emitter has nothing left to send."""
    await simulator.emitter.flush()
    return simulator.emitter.as_dict()


async def slack(simulator: Simulator, request: Request) -> Any:
    """What was posted to the Slack stand-in."""
    if request.method == "DELETE":
        simulator.slack.clear()
    return simulator.slack.as_dict()


async def payroll(simulator: Simulator, request: Request) -> Any:
    """What was posted to the payroll stand-in."""
    if request.method == "DELETE":
        simulator.payroll.clear()
    return simulator.payroll.as_dict(name=request.query_params.get("name"))


async def payroll_secret(simulator: Simulator, request: Request) -> Any:
    """Choose the secret the payroll stand-in verifies with."""
    body = await json_body(request)
    simulator.payroll.set_secret(body.get("name"), str(body["secret"]))
    return {"name": body.get("name")}


async def paylines(simulator: Simulator, request: Request) -> Any:
    """The lines that the stand-in of a pay office booked."""
    if request.method == "DELETE":
        simulator.pay_office.clear()
    return simulator.pay_office.as_dict(name=request.query_params.get("name"))


async def reset(simulator: Simulator, request: Request) -> Any:
    """Start over."""
    simulator.reset()
    return {"now": simulator.clock.now().isoformat()}


async def nothing(_: Simulator, request: Request) -> Any:
    """A mistyped control path must not look like an answer of Planday's."""
    raise ActionError(f"no control called {request.method} {request.url.path}")


def control_routes(simulator: Simulator) -> list[Route]:
    """The endpoint as data."""

    def route(path: str, handler: Callable[[Simulator, Request], Awaitable[Any]], *methods: str) -> Route:
        return Route(f"/control{path}", _answering(simulator, handler), methods=list(methods))

    return [
        route("/state", state, "GET"),
        route("/changes", changes, "GET"),
        route("/requests", requests, "GET", "DELETE"),
        route("/settings", settings, "GET", "POST"),
        route("/faults", faults, "GET", "POST", "DELETE"),
        route("/clock", move_clock, "GET", "POST"),
        route("/tokens/expire", expire_tokens, "POST"),
        route("/reset", reset, "POST"),
        route("/budget", budget, "GET", "DELETE"),
        route("/life", life, "GET", "POST"),
        route("/life/run", run, "POST"),
        route("/life/expected", expected, "POST"),
        route("/emitter", emitter, "GET", "POST"),
        route("/emitter/flush", flush_emitter, "POST"),
        route("/slack", slack, "GET", "DELETE"),
        route("/payroll", payroll, "GET", "DELETE"),
        route("/payroll/secret", payroll_secret, "POST"),
        route("/paylines", paylines, "GET", "DELETE"),
        route("/portals/{portal_id:int}/authorisation/{action}", authorise, "POST"),
        route("/portals/{portal_id:int}/{entity}/{action}", act, "POST"),
        route("/{rest:path}", nothing, "GET", "POST", "PUT", "DELETE"),
    ]


def _answering(
    simulator: Simulator, handler: Callable[[Simulator, Request], Awaitable[Any]]
) -> Callable[[Request], Awaitable[Response]]:
    async def answer(request: Request) -> Response:
        try:
            return JSONResponse(await handler(simulator, request))
        # Every refusal of ours is a ValueError; a missing key is the caller's mistake as well.
        except (ValueError, KeyError, TypeError) as error:
            return JSONResponse({"error": str(error)}, status_code=400)

    return answer


def _portal_id(request: Request) -> int:
    return int(request.path_params["portal_id"])
