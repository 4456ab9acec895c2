"""Sign-in and sign-out, and the static files."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from relay.errors import RelayError
from relay.services import Services
from relay.web import problems, sign_in
from relay.web.dashboard import rendering
from relay.web.dashboard.door import Form, check_origin, done, own_path, read_form
from relay.web.headers import static_headers
from relay.web.passwords import Passwords
from relay.web.sign_in import SignedIn

_TYPES = {"js": "text/javascript", "css": "text/css", "svg": "image/svg+xml"}
_WRONG = "That is not a name and a password that go together."


async def show_sign_in(request: Request) -> Response:
    """The form; who is signed in already goes on."""
    services: Services = request.app.state.services
    wanted = own_path(request.query_params.get("next", "/"))
    try:
        found = await sign_in.signed_in(request, services, living_on=True)
    except RelayError as error:
        return _form(request, wanted, problem=f"{error}. Try again in a moment.", status=503)
    if found is not None:
        response: Response = RedirectResponse(wanted, status_code=303)
        if found.fresh is not None:
            sign_in.set_cookie(response, services.settings, found.fresh)
        return response
    return _form(request, wanted)


def signing_in(passwords: Passwords) -> Callable[[Request], Awaitable[Response]]:
    """The handler of the form."""

    async def take(request: Request) -> Response:
        services: Services = request.app.state.services
        wanted = "/"
        try:
            check_origin(request)
            form = await read_form(request)
            wanted = own_path(form.text("next", longest=2000) or "/")
            return await _take(request, services, form, wanted, passwords)
        except RelayError as error:
            return _form(request, wanted, problem=str(error), status=problems.kind_of(error).status)

    return take


async def _take(request: Request, services: Services, form: Form, wanted: str, passwords: Passwords) -> Response:
    name, settings, now = form.text("name", longest=64).lower(), services.settings, services.clock()
    address = sign_in.address_of(request, settings)
    wait = await services.throttle.wait(name, address, now=now)
    if wait:
        minutes = math.ceil(wait / 60)
        answer = _form(request, wanted, problem=f"Too many tries. Try again in {minutes} min.", status=429)
        answer.headers["retry-after"] = str(math.ceil(wait))
        return answer
    found = await sign_in.check(settings, name, form.secret("password"), passwords=passwords)
    if found is None:
        # A name that nobody has may be a password in the wrong field.
        by = f"user:{name}" if name in settings.users else "unknown"
        await services.keeping.audit.record(by=by, act="sign-in", on="dashboard", result="refused", now=now)
        return _form(request, wanted, problem=_WRONG, name=name, status=401)
    await services.throttle.forget(name, address)
    old = request.cookies.get(sign_in.cookie_name(settings), "")
    if before := await services.sessions.use(old, idle=None, now=now):
        await services.sessions.end(before.key)
    secret = await sign_in.begin(services, found)
    await services.keeping.audit.record(by=found.who.name, act="sign-in", on="dashboard", result="ok", now=now)
    response = RedirectResponse(wanted, status_code=303)
    sign_in.set_cookie(response, settings, secret)
    return response


async def sign_out(request: Request, _form: Form) -> Response:
    """End this session, here and in the store."""
    services: Services = request.app.state.services
    signed: SignedIn = request.scope["signed_in"]
    await services.sessions.end(signed.session.key)
    response = RedirectResponse("/sign-in", status_code=303)
    sign_in.drop_cookie(response, services.settings)
    return response


async def end_session(request: Request, _form: Form) -> Response:
    """End somebody's session."""
    services: Services = request.app.state.services
    key = request.path_params["session"]
    ended = await services.sessions.end(key)
    signed: SignedIn = request.scope["signed_in"]
    await services.keeping.audit.record(
        by=signed.who.name,
        act="sessions.end",
        on=key[:12],
        result="ended" if ended else "was over",
        now=services.clock(),
    )
    return await done(request, "The session is over.", to="/settings")


async def static(request: Request) -> Response:
    """A file of ours; its address changes with its content."""
    name = request.path_params["file"]
    content = rendering.static_files().get(name)
    if content is None:
        raise HTTPException(404)
    return Response(content, media_type=_TYPES[name.rpartition(".")[2]], headers=static_headers())


def _form(request: Request, wanted: str, *, problem: str = "", name: str = "", status: int = 200) -> Response:
    settings = request.app.state.services.settings
    return rendering.plain_page(
        request,
        "sign_in.html",
        status=status,
        wanted=wanted,
        problem=problem,
        name=name,
        anybody=sign_in.can_anybody(settings),
        by_token=not settings.users,
    )
