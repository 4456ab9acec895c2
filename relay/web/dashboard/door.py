"""The dashboard's door: who may see a page or act, whether a form is ours, and errors as pages.

Every route of the dashboard is made by `page` or `act`, so that none can be left open by forgetting.
"""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable
from urllib.parse import parse_qsl, quote, urlsplit

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from relay.errors import BodyTooLarge, RelayError, StoreError
from relay.services import Services
from relay.settings import UserRole
from relay.web import csrf, problems
from relay.web.access import require
from relay.web.asking import Query
from relay.web.dashboard import rendering
from relay.web.headers import page_headers
from relay.web.problems import FORBIDDEN, Problem
from relay.web.sign_in import SignedIn, is_https, set_cookie, signed_in

Handler = Callable[[Request], Awaitable[Response]]

SIGN_IN = "/sign-in"
BY_ITSELF = "live"
"""A query parameter of what a page fetches by itself: it keeps nobody signed in."""
_MOST_OF_A_FORM = 65_536
_MOST_FIELDS = 100
_FORM = "application/x-www-form-urlencoded"


class Form:
    """What a form holds; a field that is not there is empty."""

    def __init__(self, pairs: list[tuple[str, str]]) -> None:
        self._pairs = pairs

    def text(self, name: str, *, longest: int = 500) -> str:
        """The last value of a field, without white space around it; cut where it is too long."""
        found = [value for one, value in self._pairs if one == name]
        return found[-1].strip()[:longest] if found else ""

    def secret(self, name: str) -> str:
        """A field as it was typed."""
        return next((value for one, value in reversed(self._pairs) if one == name), "")

    def all(self, name: str) -> tuple[str, ...]:
        """Every value of a field with boxes to tick."""
        return tuple(value for one, value in self._pairs if one == name)

    def flag(self, name: str) -> bool:
        return any(one == name for one, _ in self._pairs)


class PageQuery(Query):
    """The query parameters of a page; what a form left empty is not there."""

    def __init__(self, request: Request) -> None:
        super().__init__(request)
        self._left = {name: value.strip() for name, value in self._left.items() if value.strip() and name != BY_ITSELF}


def page(role: UserRole, path: str, handler: Handler) -> Route:
    """A page for those who have at least this role."""
    return Route(path, _guarded(role, handler), methods=["GET"])


def act(role: UserRole, path: str, handler: Callable[[Request, Form], Awaitable[Response]]) -> Route:
    """An act by form, for those who have at least this role."""

    @functools.wraps(handler)
    async def answer(request: Request) -> Response:
        form = await read_form(request)
        signed: SignedIn = request.scope["signed_in"]
        if not csrf.is_token(form.text("csrf"), signed.session.csrf):
            raise Problem(FORBIDDEN, "this form is older than your session: go back, load the page anew, try again")
        return await handler(request, form)

    return Route(path, _guarded(role, answer), methods=["POST"])


async def done(request: Request, text: str, *, to: str, kind: str = "good") -> Response:
    """Go to a page that says what came of an act."""
    services: Services = request.app.state.services
    signed: SignedIn = request.scope["signed_in"]
    await services.sessions.tell(signed.session.key, rendering.word(kind, text), now=services.clock())
    return RedirectResponse(to, status_code=303)


async def read_form(request: Request) -> Form:
    """The fields of a form. Raises BodyTooLarge, and Problem for what is no form."""
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != _FORM:
        raise Problem(problems.BAD_BODY, "this is not the form of a page")
    raw = bytearray()
    async for part in request.stream():
        raw += part
        if len(raw) > _MOST_OF_A_FORM:
            raise BodyTooLarge(f"the form is larger than {_MOST_OF_A_FORM} bytes")
    try:
        return Form(parse_qsl(raw.decode(), keep_blank_values=True, max_num_fields=_MOST_FIELDS))
    except ValueError:
        raise Problem(problems.BAD_BODY, "the form cannot be read") from None


def as_page(request: Request, error: Exception) -> Response | None:
    """An error as a page, where a browser asked for one; None for machines."""
    wants_page = "text/html" in request.headers.get("accept", "")
    if not wants_page or request.url.path.startswith(("/api/", "/in/")):
        return None
    kind = problems.kind_of(error)
    text = "There is no page at this address." if kind.status == 404 else problems.detail(error, kind)
    return rendering.plain_page(request, "bare_error.html", status=kind.status, title=kind.title, text=_upper(text))


def check_origin(request: Request) -> None:
    """Raise a 403 for a form that was not sent from a page of ours."""
    public = request.app.state.services.settings.relay.public_url
    if not csrf.is_same_origin(request.headers, public_url=public):
        raise Problem(FORBIDDEN, "this form did not come from a page of this relay. Nothing was changed")


def own_path(text: str) -> str:
    """A path on this host out of what a request says, or "/": nobody is led elsewhere."""
    parts = urlsplit(text)
    is_ours = text.startswith("/") and not text.startswith(("//", "/\\")) and not parts.scheme and not parts.netloc
    return text if is_ours and text.isprintable() and "\\" not in text else "/"


def _guarded(role: UserRole, handler: Handler) -> Handler:
    @functools.wraps(handler)
    async def answer(request: Request) -> Response:
        services: Services = request.app.state.services
        try:
            if request.method == "POST":
                check_origin(request)
            living_on = BY_ITSELF not in request.query_params
            found = await signed_in(request, services, living_on=living_on)
        except (StoreError, Problem) as error:
            return _bare_error(request, error)
        if found is None:
            return _to_sign_in(request)
        request.scope["signed_in"], request.scope["who"] = found, found.who
        try:
            require(request, role)
            response = await handler(request)
        except RelayError as error:
            response = await _refused(request, error)
        for name, value in page_headers(https=is_https(services.settings)).items():
            response.headers.setdefault(name, value)
        if found.fresh is not None:
            set_cookie(response, services.settings, found.fresh)
        return response

    answer.least_role = role  # type: ignore[attr-defined]
    return answer


async def _refused(request: Request, error: RelayError) -> Response:
    """An act goes back to where it came from and says why; a page says it itself."""
    kind = problems.kind_of(error)
    if request.method == "POST" and kind.status == 409:
        return await done(request, _sentence(error), to=_back(request), kind="bad")
    return rendering.page(request, "error.html", status=kind.status, title=kind.title, text=_sentence(error))


def _bare_error(request: Request, error: RelayError) -> Response:
    kind = problems.kind_of(error)
    answer = rendering.plain_page(
        request, "bare_error.html", status=kind.status, title=kind.title, text=_sentence(error)
    )
    if kind.status == 503:
        answer.headers["retry-after"] = "5"
    return answer


def _back(request: Request) -> str:
    came_from = urlsplit(request.headers.get("referer", ""))
    path = f"{came_from.path}?{came_from.query}" if came_from.query else came_from.path
    return own_path(path) if came_from.netloc == request.headers.get("host") else "/"


def _to_sign_in(request: Request) -> Response:
    wanted = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    to = SIGN_IN if request.method == "POST" or wanted == "/" else f"{SIGN_IN}?next={quote(wanted, safe='/')}"
    settings = request.app.state.services.settings
    headers = page_headers(https=is_https(settings))
    if "hx-request" in request.headers:  # htmx would put the sign-in page into the middle of this one
        return Response(status_code=401, headers={**headers, "hx-redirect": SIGN_IN})
    return RedirectResponse(to, status_code=303, headers=headers)


def _sentence(error: RelayError) -> str:
    if isinstance(error, StoreError):
        return f"{_upper(str(error))}. Nothing is lost: senders are asked to come back. Try again in a moment."
    return _upper(str(error))


def _upper(text: str) -> str:
    return text[:1].upper() + text[1:]


class Values(dict[str, str]):
    """What a form was filled with; a field that was not is empty."""

    def __missing__(self, name: str) -> str:
        return ""


def query_of(request: Request, *, without: str = "") -> Values:
    """The query parameters of a page that are set, without those that are ours alone, and without one more."""
    left_out = (BY_ITSELF, without)
    return Values((name, value) for name, value in request.query_params.items() if value and name not in left_out)
