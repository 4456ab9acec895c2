"""Makes pages: one Jinja environment that escapes everything, and what every page needs around its content."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache
from importlib.resources import files
from typing import Any
from urllib.parse import urlencode

import pydantic_core
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import Response

from relay import __version__
from relay.services import Services
from relay.settings import UserRole
from relay.web.access import Who
from relay.web.headers import page_headers
from relay.web.sign_in import SignedIn, is_https

STATIC = "/static"
_NAV = (
    ("/", "Overview", UserRole.VIEWER),
    ("/events", "Events", UserRole.VIEWER),
    ("/deliveries", "Deliveries", UserRole.VIEWER),
    ("/replay", "Replay", UserRole.VIEWER),
    ("/report", "Report", UserRole.VIEWER),
    ("/targets", "Targets", UserRole.VIEWER),
    ("/portals", "Portals", UserRole.VIEWER),
    ("/quarantine", "Quarantine", UserRole.VIEWER),
    ("/audit", "Audit", UserRole.OPERATOR),
    ("/catalog", "Catalogue", UserRole.VIEWER),
    ("/settings", "Settings", UserRole.OPERATOR),
)


def page(request: Request, template: str, *, status: int = 200, **context: Any) -> Response:
    """A page behind the door; `template` extends base.html."""
    signed: SignedIn = request.scope["signed_in"]
    who: Who = signed.who
    services: Services = request.app.state.services
    path = request.url.path
    nav = [
        {"href": href, "title": title, "here": path == href or (href != "/" and path.startswith(f"{href}/"))}
        for href, title, role in _NAV
        if who.role.covers(role)
    ]
    around = {
        "nav": nav,
        "who": who,
        "can": who.role.covers,
        "Role": UserRole,
        "csrf": signed.session.csrf,
        "word": said(signed.session.word),
        "now": services.clock(),
        "path": path,
        "version": __version__,
    }
    return html(environment().get_template(template).render({**around, **context}), request, status=status)


def plain_page(request: Request, template: str, *, status: int = 200, **context: Any) -> Response:
    """A page for those who are not signed in."""
    return html(environment().get_template(template).render(context), request, status=status)


def html(text: str, request: Request, *, status: int = 200) -> Response:
    """Markup as an answer, with the headers of a page."""
    settings = request.app.state.services.settings
    headers = page_headers(https=is_https(settings))
    return Response(text, status_code=status, media_type="text/html; charset=utf-8", headers=headers)


def word(kind: str, text: str) -> str:
    """Something to say on the next page; `kind` is "good" or "bad"."""
    return f"{kind}:{text[:1000]}"


def said(left: str) -> Mapping[str, str] | None:
    """What the act before left to say."""
    kind, _, text = left.partition(":")
    return {"kind": kind, "text": text} if text else None


@cache
def environment() -> Environment:
    """Jinja for our own templates; nobody else's text is ever a template."""
    made = Environment(
        loader=PackageLoader("relay.web.dashboard"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    made.filters |= {
        "clock": clock,
        "instant": instant,
        "age": age,
        "span": span,
        "json": json_text,
        "number": number,
        "query": query,
        "ticks": ticks,
    }
    made.globals |= {"static": static_url, "plural": plural}
    return made


def instant(at: float | str | None) -> Markup | str:
    """A `<time>` in UTC, to the second; the page's script turns it into the reader's own zone."""
    if at is None:
        return ""
    moment = datetime.fromisoformat(at) if isinstance(at, str) else datetime.fromtimestamp(at, UTC)
    moment = moment.astimezone(UTC)
    stamp, text = moment.strftime("%Y-%m-%dT%H:%M:%SZ"), moment.strftime("%Y-%m-%d %H:%M:%S")
    return Markup('<time datetime="{}">{}</time>').format(stamp, text)


def ticks(text: str) -> Markup:
    """A sentence of ours in which commands stand between backticks, these as code; all else as text."""
    parts = text.split("`")
    if len(parts) % 2 == 0:
        return Markup("{}").format(text)
    plain, code = Markup("{}"), Markup("<code>{}</code>")
    return Markup("").join((code if at % 2 else plain).format(part) for at, part in enumerate(parts))


def clock(at: float) -> str:
    """Hour and minute in UTC, for what can hold no markup."""
    return datetime.fromtimestamp(at, UTC).strftime("%d %b %H:%M UTC")


def age(at: float | None, now: float) -> str:
    """How long ago, or in how long, in words; "" for None."""
    if at is None:
        return ""
    return f"{span(now - at)} ago" if now >= at else f"in {span(at - now)}"


def span(seconds: float | None) -> str:
    """A length of time in its one or two largest units."""
    if seconds is None:
        return ""
    left = max(int(seconds), 0)
    if left < 60:
        return f"{left} s"
    if left < 3600:
        return f"{left // 60} min"
    if left < 86_400:
        hours, rest = divmod(left, 3600)
        return f"{hours} h {rest // 60} min" if rest >= 60 else f"{hours} h"
    days, rest = divmod(left, 86_400)
    return f"{days} d {rest // 3600} h" if rest >= 3600 else f"{days} d"


def number(value: float | None) -> str:
    """A count with thin spaces between thousands."""
    return "" if value is None else f"{value:,}".replace(",", "\N{NARROW NO-BREAK SPACE}")


def plural(count: int, one: str, many: str | None = None) -> str:
    """A count with its noun."""
    return f"{number(count)} {one if count == 1 else many or one + 's'}"


def json_text(value: Any) -> str:
    """JSON for people to read; the template escapes it."""
    return pydantic_core.to_json(value, indent=2, fallback=str).decode()


def query(values: Mapping[str, Any], **changes: Any) -> str:
    """A query string of what is set, with changes; None and "" take a parameter out."""
    merged = {**values, **changes}
    return urlencode([(name, str(value)) for name, value in merged.items() if value not in (None, "")])


@cache
def static_files() -> Mapping[str, bytes]:
    """The static files by name."""
    folder = files("relay.web.dashboard") / "static"
    return {one.name: one.read_bytes() for one in folder.iterdir() if one.name.endswith((".js", ".css", ".svg"))}


@cache
def static_url(name: str) -> str:
    """The address of a static file, which changes with its content."""
    return f"{STATIC}/{name}?v={hashlib.sha256(static_files()[name]).hexdigest()[:12]}"
