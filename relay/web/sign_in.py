"""Who a browser belongs to: by a session of ours, or by the name that a trusted proxy gives; and how one begins."""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import Response

from relay.services import Services
from relay.settings import Settings, UserRole
from relay.store.sessions import Session
from relay.web.access import ADMIN_TOKEN, Who, token_of
from relay.web.passwords import Passwords

ADMIN = "admin"
"""The name under which RELAY_ADMIN_TOKEN signs in, where no user has it."""
_USER = "user:"


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedIn:
    """A browser's session and whose it is; `fresh` is its secret id where it has only just begun."""

    who: Who
    session: Session
    fresh: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Holder:
    """Somebody who may sign in, by the settings of now. `stamp` changes with the password and the role."""

    who: Who
    stamp: str


def holder(settings: Settings, name: str) -> Holder | None:
    """By the name that the audit keeps; None: the settings know nobody of it (any more)."""
    if name == ADMIN_TOKEN:
        token = token_of(settings)
        return None if token is None else Holder(who=Who(ADMIN_TOKEN, UserRole.ADMIN), stamp=_stamp(token))
    user = settings.users.get(name.removeprefix(_USER))
    if user is None or not name.startswith(_USER):
        return None
    secret = user.password.reveal() if user.password is not None else ""
    return Holder(who=Who(name, user.role), stamp=_stamp(f"{user.role} {secret}"))


def can_anybody(settings: Settings) -> bool:
    """Whether there is anybody who could sign in."""
    return bool(settings.users) or token_of(settings) is not None


async def check(settings: Settings, name: str, password: str, *, passwords: Passwords) -> Holder | None:
    """Whose name and password these are; None takes as long as an answer."""
    user = settings.users.get(name)
    if user is None and name == ADMIN and (token := token_of(settings)) is not None:
        await passwords.fits(password, None)
        is_it = hmac.compare_digest(password.encode(), token.encode())
        return holder(settings, ADMIN_TOKEN) if is_it else None
    hash_ = user.password.reveal() if user is not None and user.password is not None else None
    return holder(settings, f"{_USER}{name}") if await passwords.fits(password, hash_) else None


async def begin(services: Services, found: Holder) -> str:
    """A new session; its secret id, for the cookie."""
    access = services.settings.access
    return await services.sessions.begin(
        found.who.name,
        role=found.who.role.value,
        stamp=found.stamp,
        idle=access.idle,
        longest=access.longest,
        now=services.clock(),
    )


async def signed_in(request: Request, services: Services, *, living_on: bool) -> SignedIn | None:
    """Whose browser this is; None: nobody's, and it has to sign in. Raises StoreError.

    `living_on` False: the page was fetched by itself, which keeps nobody signed in.
    """
    settings, now = services.settings, services.clock()
    proxied = _named_by_proxy(request, settings)
    secret = request.cookies.get(cookie_name(settings), "")
    session = await services.sessions.use(secret, idle=settings.access.idle if living_on else None, now=now)
    if session is not None and (proxied is None or session.who == proxied.who.name):
        known = holder(settings, session.who)
        if known is not None and hmac.compare_digest(known.stamp, session.stamp):
            return SignedIn(who=known.who, session=session)
        await services.sessions.end(session.key)
    if proxied is None:
        return None
    fresh = await begin(services, proxied)
    begun = await services.sessions.use(fresh, idle=settings.access.idle, now=now)
    return None if begun is None else SignedIn(who=proxied.who, session=begun, fresh=fresh)


def is_https(settings: Settings) -> bool:
    """Whether people reach this relay by https only."""
    return (settings.relay.public_url or "").startswith("https://")


def cookie_name(settings: Settings) -> str:
    """`__Host-`: no other host and no subdomain can set it; browsers take that by https only."""
    return "__Host-relay" if is_https(settings) else "relay_session"


def set_cookie(response: Response, settings: Settings, secret: str) -> None:
    """Give a browser its session; it ends with the browser, and in the store.

    Lax, so that a link in a message of ours opens what it names; forms are guarded by csrf.py.
    """
    response.set_cookie(
        cookie_name(settings), secret, path="/", secure=is_https(settings), httponly=True, samesite="lax"
    )


def drop_cookie(response: Response, settings: Settings) -> None:
    response.delete_cookie(cookie_name(settings), path="/", secure=is_https(settings), httponly=True, samesite="lax")


def address_of(request: Request, settings: Settings) -> str:
    """Where a request comes from: the peer, or behind a trusted proxy whom that says it serves."""
    peer = request.client.host if request.client is not None else ""
    if not _is_proxy(peer, settings):
        return peer
    told = ",".join(request.headers.getlist("x-forwarded-for")).rpartition(",")[2].strip()
    return told[:64] or peer


def _named_by_proxy(request: Request, settings: Settings) -> Holder | None:
    header = settings.access.proxy_header
    if header is None or request.client is None or not _is_proxy(request.client.host, settings):
        return None
    names = request.headers.getlist(header)
    return holder(settings, f"{_USER}{names[0].strip()}") if len(names) == 1 else None


def _is_proxy(peer: str, settings: Settings) -> bool:
    try:
        address = ipaddress.ip_address(peer)
    except ValueError:
        return False
    return any(address in ipaddress.ip_network(network) for network in settings.access.proxy_from)


def _stamp(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()[:32]
