"""The dashboard's security table: who gets in, what a foreign page can make a browser do, what each role may not."""

from __future__ import annotations

import asyncio
import hashlib
import re
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.routing import Mount, Route

from relay.events import DeliveryState
from relay.settings import Settings, UserRole
from relay.web import api
from relay.web.app import create_app
from relay.web.dashboard import rendering, routes
from tests.fakes import FakeClock
from tests.integration.dashboard_world import (
    HASHES,
    HOST,
    PASSWORDS,
    Dashboard,
    dashboard_over,
    elements,
    settings,
    text_of,
)
from tests.integration.web_world import TOKEN, problem

ROLES = tuple(UserRole)
# What is open to anybody, or has a key of its own.
OPEN = {
    *("/in/{source}", "/healthz", "/readyz", "/metrics", "/connect/callback"),
    *("/api/v1/openapi.json", "/schemas/{entity}.json", "/sign-in", "/static/{file}"),
}


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock(time.time())  # senders sign by the time of this machine


@pytest.fixture
async def dashboard(redis_server: str, prefix: str, clock: FakeClock) -> AsyncIterator[Dashboard]:
    async with dashboard_over(settings(redis_server, prefix), clock=clock) as opened:
        yield opened


def is_out(answer: httpx.Response) -> bool:
    return answer.status_code == 303 and answer.headers["location"].startswith("/sign-in")


# Signing in ----------------------------------------------------------------------------------------


async def test_a_wrong_password_and_a_name_that_nobody_has_are_answered_alike(dashboard: Dashboard) -> None:
    """Same status, same words; the audit has a known name, and never one that nobody has."""
    answers = []
    for name in ("viewer-user", "nobody", "admin"):
        browser = dashboard.browser()
        await browser.post("/sign-in", {"name": name, "password": "wrong"}, status=401)
        answers.append(text_of(browser.page))
        assert not browser.client.cookies
    assert len(set(answers)) == 1
    page = await dashboard.services.keeping.audit.list(limit=9, act="sign-in")
    assert [(one.by, one.result) for one in page.rows] == [
        *(("unknown", "refused"), ("unknown", "refused")),
        ("user:viewer-user", "refused"),
    ]


async def test_the_admin_token_signs_in_under_the_name_admin(dashboard: Dashboard) -> None:
    """The first sign-in needs no user; it may do everything, and the audit says that it was the token."""
    browser = dashboard.browser()
    await browser.sign_in(name="admin", password=TOKEN)
    await browser.get("/settings")
    page = await dashboard.services.keeping.audit.list(limit=1)
    assert (page.rows[0].by, page.rows[0].act, page.rows[0].result) == ("admin-token", "sign-in", "ok")


async def test_without_users_and_token_nobody_gets_in(redis_server: str, prefix: str) -> None:
    """And the page says what to set."""
    async with dashboard_over(settings(redis_server, prefix, token=None, users={})) as dashboard:
        browser = dashboard.browser()
        assert "RELAY_ADMIN_TOKEN" in await browser.get("/")
        await browser.post("/sign-in", {"name": "admin", "password": ""}, status=401)


@pytest.mark.parametrize(
    ("public_url", "name", "secure"),
    [(None, "relay_session", False), ("https://relay.example", "__Host-relay", True)],
)
async def test_the_cookie_is_out_of_reach(
    redis_server: str, prefix: str, public_url: str | None, name: str, secure: bool
) -> None:
    """Not for scripts, not for other sites, by https only where people come by https; and 256 random bits."""
    relay = {} if public_url is None else {"public_url": public_url}
    async with dashboard_over(settings(redis_server, prefix, relay=relay)) as dashboard:
        browser = dashboard.browser()
        form = {"name": "viewer-user", "password": PASSWORDS["viewer"]}
        answer = await browser.client.post("/sign-in", data=form, headers=browser.sent)
        page = await dashboard.browser().client.get("/sign-in")
    value, *attributes = answer.headers["set-cookie"].split("; ")
    assert re.fullmatch(rf"{name}=[A-Za-z0-9_-]{{43}}", value)
    found = {one.lower() for one in attributes}
    assert {"httponly", "path=/", "samesite=lax"} <= found
    assert ("secure" in found) == secure
    assert "domain" not in " ".join(found)
    assert ("strict-transport-security" in page.headers) == secure


async def test_the_store_holds_nothing_that_opens_a_session_or_is_a_token(dashboard: Dashboard) -> None:
    """Both stand there by hashes."""
    browser = await dashboard.signed_in("viewer")
    secret = browser.client.cookies["relay_session"]
    services = dashboard.services
    token = await services.tokens.create("ci", role="viewer", by="cli:x", now=services.clock())
    dump = []
    client = services.reading.client
    async for key in client.scan_iter(match=f"{services.keys.prefix}*"):
        dump += [key, await client.dump(key)]
    whole = b" ".join(dump)
    assert secret.encode() not in whole
    assert token.rpartition("_")[2].encode() not in whole
    assert PASSWORDS["viewer"].encode() not in whole


async def test_signing_in_makes_a_new_session_and_ends_the_old_one(dashboard: Dashboard) -> None:
    """An id that a stranger planted, or an older one of the same browser, opens nothing afterwards."""
    browser = dashboard.browser()
    browser.client.cookies.set("relay_session", "A" * 43, domain="relay.test")
    await browser.sign_in("viewer")
    first = dict(browser.client.cookies)["relay_session"]
    assert first != "A" * 43
    await browser.client.get("/sign-in")
    browser.page = ""
    await browser.post("/sign-in", {"name": "viewer-user", "password": PASSWORDS["viewer"]})
    other = dashboard.browser()
    other.client.cookies.set("relay_session", first, domain="relay.test")
    assert is_out(await other.client.get("/events"))


@pytest.mark.parametrize("value", ["", "x", "A" * 43, "../../x", "é" * 43, "A" * 5000])
async def test_a_forged_session_opens_nothing(dashboard: Dashboard, value: str) -> None:
    """Neither pages nor acts; the way leads to the sign-in."""
    headers = [(b"cookie", b"relay_session=" + value.encode()), (b"origin", HOST.encode())]
    async with dashboard.browser().client as client:
        assert is_out(await client.get("/events", headers=headers))
        assert is_out(await client.post("/targets/hours/pause", data={"csrf": "x"}, headers=headers))


async def test_sessions_end_when_idle_and_in_any_case(dashboard: Dashboard, clock: FakeClock) -> None:
    """After 30 minutes of nothing, and after 12 hours of work; what a page fetches by itself is no work."""
    browser = await dashboard.signed_in("viewer")
    clock.now += 29 * 60
    assert (await browser.client.get("/?live=1")).status_code == 200
    clock.now += 2 * 60
    assert is_out(await browser.client.get("/"))
    await browser.sign_in("viewer")
    for _ in range(25):
        assert (await browser.client.get("/")).status_code == 200
        clock.now += 29 * 60
    assert is_out(await browser.client.get("/"))


async def test_signing_out_ends_the_session_in_the_store(dashboard: Dashboard) -> None:
    """A copy of the cookie opens nothing any more."""
    browser = await dashboard.signed_in("viewer")
    copy = browser.client.cookies["relay_session"]
    assert "Password" in await browser.post("/sign-out")
    other = dashboard.browser()
    other.client.cookies.set("relay_session", copy, domain="relay.test")
    assert is_out(await other.client.get("/"))


async def test_an_administrator_ends_anybodys_session(dashboard: Dashboard) -> None:
    """And it is over with the next request."""
    victim = await dashboard.signed_in("viewer")
    admin = await dashboard.signed_in("admin")
    page = await admin.get("/settings")
    (act,) = [
        one["action"]
        for one in elements(page, "form")
        if one["action"].endswith("/end") and (await _who(dashboard, one["action"])) == "user:viewer-user"
    ]
    await admin.post(act)
    assert is_out(await victim.client.get("/"))


async def _who(dashboard: Dashboard, act: str) -> str:
    key = act.split("/")[2]
    return next(one.who for one in await dashboard.services.sessions.list() if one.key == key)


@pytest.mark.parametrize(
    "users",
    [
        {},
        {"viewer-user": {"password": HASHES["admin"], "role": "viewer"}},
        {"viewer-user": {"password": HASHES["viewer"], "role": "admin"}},
    ],
    ids=["gone", "new password", "new role"],
)
async def test_a_session_holds_no_longer_than_what_it_was_signed_in_with(
    dashboard: Dashboard, redis_server: str, prefix: str, users: dict[str, Any]
) -> None:
    """A user who left the settings, has a new password or another role signs in again."""
    browser = await dashboard.signed_in("viewer")
    later: Settings = settings(redis_server, prefix, users=users)
    app = create_app(later, services=replace(dashboard.services, settings=later))
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app), base_url=HOST, cookies=browser.client.cookies
    ) as client:
        assert is_out(await client.get("/"))


# Floods --------------------------------------------------------------------------------------------


async def test_a_flood_of_passwords_is_shut_out(dashboard: Dashboard, clock: FakeClock) -> None:
    """Five tries of one account from one address, at once or not; then even the right one waits, others do not."""
    browser = dashboard.browser()
    form = {"name": "viewer-user", "password": "wrong"}

    async def one() -> int:
        return (await browser.client.post("/sign-in", data=form, headers=browser.sent)).status_code

    codes = await asyncio.gather(*(one() for _ in range(25)))
    assert sorted(codes) == [401] * 5 + [429] * 20
    right = {"name": "viewer-user", "password": PASSWORDS["viewer"]}
    answer = await browser.client.post("/sign-in", data=right, headers=browser.sent)
    assert answer.status_code == 429
    assert 0 < int(answer.headers["retry-after"]) <= 900
    elsewhere = dashboard.browser(peer="10.0.0.8")
    await elsewhere.sign_in("viewer")
    clock.now += 901
    await browser.sign_in("viewer")


async def test_one_address_cannot_try_many_accounts_nor_many_addresses_one(dashboard: Dashboard) -> None:
    """Thirty of an address over all accounts, sixty of an account over all addresses."""
    throttle, now = dashboard.services.throttle, dashboard.services.clock()
    waits = [await throttle.wait(f"user{n}", "10.1.1.1", now=now) for n in range(40)]
    assert [wait > 0 for wait in waits] == [False] * 30 + [True] * 10
    waits = [await throttle.wait("anna", f"10.2.0.{n}", now=now) for n in range(80)]
    assert [wait > 0 for wait in waits] == [False] * 60 + [True] * 20


async def test_who_signs_in_starts_anew(dashboard: Dashboard) -> None:
    """Mistakes before a right password do not count against the next ones."""
    for _ in range(3):
        browser = dashboard.browser()
        for _ in range(4):
            await browser.post("/sign-in", {"name": "viewer-user", "password": "wrong"}, status=401)
        await browser.sign_in("viewer")


# Foreign pages -------------------------------------------------------------------------------------

ACTS = [route for route in routes() if "POST" in (route.methods or ())]
FOREIGN: list[dict[str, str]] = [
    {"sec-fetch-site": "cross-site", "origin": HOST},
    {"sec-fetch-site": "same-site", "origin": HOST},
    {"sec-fetch-site": "none", "origin": HOST},
    {"origin": "https://evil.example"},
    {"origin": "http://relay.test.evil.example"},
    {"origin": "http://relay.test:81"},
    {"origin": "null"},
    {"origin": "file://relay.test"},
    {},
]


@pytest.mark.parametrize("route", ACTS, ids=lambda route: route.path)
async def test_no_other_site_can_act_through_a_browser(dashboard: Dashboard, route: Route) -> None:
    """Every act of the dashboard refuses every form that is not from a page of ours, right token or not."""
    browser = await dashboard.signed_in("admin")
    token = elements(browser.page, "input")[0]["value"]
    path = re.sub(r"{\w+}", "x", route.path)
    before = len(await dashboard.services.sessions.list())
    for headers in FOREIGN:
        answer = await browser.client.post(path, data={"csrf": token}, headers=headers)
        assert answer.status_code == 403, (path, headers)
        assert "set-cookie" not in answer.headers
    assert len(await dashboard.services.sessions.list()) == before


@pytest.mark.parametrize("route", [one for one in ACTS if one.path != "/sign-in"], ids=lambda route: route.path)
async def test_no_act_without_the_sessions_own_token(dashboard: Dashboard, route: Route) -> None:
    """Missing, forged, empty, or of another session: refused on every act."""
    browser, other = await dashboard.signed_in("admin"), await dashboard.signed_in("operator")
    foreign = elements(other.page, "input")[0]["value"]
    path = re.sub(r"{\w+}", "x", route.path)
    for form in ({}, {"csrf": ""}, {"csrf": "x" * 43}, {"csrf": foreign}, {"csrf": "é"}):
        answer = await browser.client.post(path, data=form, headers=browser.sent)
        assert answer.status_code in (403, 422), (path, form)
        assert "older than your session" in answer.text or "not the form of a page" in answer.text
    assert (await browser.client.get("/")).status_code == 200


async def test_by_the_public_address_a_form_is_ours_too(redis_server: str, prefix: str) -> None:
    """Where a proxy asks under another name, the origin is what people see."""
    loaded = settings(redis_server, prefix, relay={"public_url": "http://relay.example"})
    async with dashboard_over(loaded) as dashboard:
        browser = dashboard.browser()
        browser.sent = {"origin": "http://relay.example"}
        await browser.sign_in("viewer")
        browser.sent = {"sec-fetch-site": "same-origin"}
        await browser.post("/sign-out")


@pytest.mark.parametrize(
    "wanted",
    [
        *(
            "//evil.example",
            "/\\evil.example",
            "https://evil.example",
            "javascript:alert(1)",
            "evil",
            "/x\r\nset-cookie: a=b",
        ),
        *("/%0d%0aset-cookie:a=b", "\\\\evil", "/\tx", "///evil.example", " //evil.example"),
    ],
)
async def test_nobody_is_led_elsewhere_and_no_header_is_smuggled(dashboard: Dashboard, wanted: str) -> None:
    """Where a sign-in leads to is a path of ours, whatever the address says."""
    browser = dashboard.browser()
    form = {"name": "viewer-user", "password": PASSWORDS["viewer"], "next": wanted}
    answer = await browser.client.post("/sign-in", data=form, headers=browser.sent)
    assert answer.status_code == 303
    location = answer.headers["location"]
    assert location.startswith("/")
    assert not location.startswith(("//", "/\\"))
    assert "\r" not in location
    assert len(answer.headers.get_list("set-cookie")) == 1
    page = await browser.client.get("/sign-in", params={"next": wanted})
    assert page.headers["location"].startswith("/")
    assert not page.headers["location"].startswith("//")


async def test_a_form_has_bounds(dashboard: Dashboard) -> None:
    """Not more than 64 KiB, not more than a hundred fields, and no other kind of body."""
    browser = await dashboard.signed_in("operator")
    for content, kind, status in (
        (b"a=" + b"x" * 70_000, "application/x-www-form-urlencoded", 413),
        (b"&".join(b"a=1" for _ in range(200)), "application/x-www-form-urlencoded", 422),
        (b"csrf=\xff\xfe", "application/x-www-form-urlencoded", 422),
        (b"{}", "application/json", 422),
        (b"", "text/plain", 422),
    ):
        headers = {**browser.sent, "content-type": kind}
        answer = await browser.client.post("/targets/hours/pause", content=content, headers=headers)
        assert answer.status_code == status, content[:20]


# Roles ---------------------------------------------------------------------------------------------


def test_every_route_has_a_least_role_or_is_open_on_purpose(redis_server: str, prefix: str) -> None:
    """A route that somebody forgets to guard is found here."""
    app = create_app(settings(redis_server, prefix))
    bare = set()
    for route in app.routes:
        if isinstance(route, Mount):
            assert all(hasattr(one.endpoint, "least_role") for one in route.routes if isinstance(one, Route))
        elif isinstance(route, Route) and not hasattr(route.endpoint, "least_role"):
            bare.add(route.path)
    assert bare == OPEN


@pytest.mark.parametrize("route", routes(), ids=lambda route: f"{route.path} {sorted(route.methods)}")
async def test_no_role_has_a_page_or_an_act_above_it(dashboard: Dashboard, route: Route) -> None:
    """Every page and every act, by every role."""
    least = getattr(route.endpoint, "least_role", None)
    if least is None:
        return
    path = re.sub(r"{\w+}", "x", route.path)
    for role in ROLES:
        browser = await dashboard.signed_in(role.value)
        if "POST" in (route.methods or ()):
            token = elements(browser.page, "input")[0]["value"]
            answer = await browser.client.post(path, data={"csrf": token}, headers=browser.sent)
        elif path == "/events/tail":
            continue  # open to the least of all; it would stream on
        else:
            answer = await browser.client.get(path)
        is_refused = answer.status_code == 403 and "needs the role" in answer.text
        assert is_refused == (not role.covers(least)), (path, role, answer.status_code)


@pytest.mark.parametrize("route", api.ROUTES, ids=lambda route: f"{route.path} {sorted(route.methods)}")
async def test_no_api_token_has_a_route_above_its_role(dashboard: Dashboard, route: Route) -> None:
    """Every route of the API, by a token of every role."""
    least: UserRole = route.endpoint.least_role  # type: ignore[attr-defined]
    services = dashboard.services
    path = "/api/v1" + re.sub(r"{\w+}", "x", route.path)
    method = "POST" if "POST" in (route.methods or ()) else "GET"
    for role in ROLES:
        token = await services.tokens.create(f"t-{role}", role=role.value, by="cli:x", now=services.clock())
        answer = await dashboard.client.request(method, path, headers={"authorization": f"Bearer {token}"})
        if role.covers(least):
            assert answer.status_code not in (401, 403), (path, role)
        else:
            problem(answer, 403, "role")


async def test_what_goes_to_payroll_and_what_is_forced_is_for_payroll(dashboard: Dashboard) -> None:
    """An operator decides about other targets; by the API as by the pages."""
    paid = await dashboard.delivery("pay", DeliveryState.PARKED, 1)
    done = await dashboard.delivery("hours", DeliveryState.DELIVERED, 2)
    services = dashboard.services
    operator = await dashboard.signed_in("operator")
    assert "needs the role payroll" in text_of(await operator.get(f"/deliveries/{paid}/pay"))
    refused = "needs the role payroll"
    assert refused in text_of(await operator.post(f"/deliveries/{paid}/pay/release", {"reason": "x"}, status=403))
    await operator.get(f"/deliveries/{done}/hours")
    forced = {"force": "1", "reason": "x"}
    assert refused in text_of(await operator.post(f"/deliveries/{done}/hours/retry", forced, status=403))
    token = await services.tokens.create("op", role="operator", by="cli:x", now=services.clock())
    api_operator = replace(dashboard, bearer={"authorization": f"Bearer {token}"})
    problem(await api_operator.post(f"/deliveries/{paid}/pay/cancel", {"reason": "x"}), 403, "role")
    problem(await api_operator.post(f"/deliveries/{done}/hours/retry", {"force": True, "reason": "x"}), 403, "role")
    payroll = await dashboard.signed_in("payroll")
    await payroll.get(f"/deliveries/{paid}/pay")
    assert "Released" in await payroll.post(f"/deliveries/{paid}/pay/release", {"reason": "not there"})


# API tokens ----------------------------------------------------------------------------------------


async def test_an_api_token_holds_until_it_expires_or_is_revoked(dashboard: Dashboard, clock: FakeClock) -> None:
    """Its name stands in the audit; the next request after its end is refused."""
    services = dashboard.services
    token = await services.tokens.create("ci", role="operator", by="cli:x", now=clock.now, expires_at=clock.now + 60)
    mine = replace(dashboard, bearer={"authorization": f"Bearer {token}"})
    assert (await mine.post("/targets/hours/pause", {"reason": "x"})).status_code == 200
    page = await services.keeping.audit.list(limit=1)
    assert page.rows[0].by == "token:ci"
    clock.now += 61
    problem(await mine.get("/stats"), 401, "unauthorized")
    lasting = await services.tokens.create("lasting", role="viewer", by="cli:x", now=clock.now)
    mine = replace(dashboard, bearer={"authorization": f"Bearer {lasting}"})
    assert (await mine.get("/stats")).status_code == 200
    admin = await dashboard.signed_in("admin")
    await admin.get("/settings")
    assert "opens nothing" in await admin.post("/tokens/lasting/revoke")
    problem(await mine.get("/stats"), 401, "unauthorized")


async def test_a_viewers_token_shows_nobodys_data(dashboard: Dashboard) -> None:
    """The API masks as the pages do."""
    event = await dashboard.delivery("hours", DeliveryState.PARKED)
    services = dashboard.services
    token = await services.tokens.create("eyes", role="viewer", by="cli:x", now=services.clock())
    eyes = replace(dashboard, bearer={"authorization": f"Bearer {token}"})
    for path in (f"/events/{event}", f"/deliveries/{event}/hours", "/deliveries?state=parked"):
        shown = (await eyes.get(path)).text
        assert "canary" not in shown.lower(), path
        assert "***" in shown
        assert "anary" in (await dashboard.get(path)).text


async def test_a_cookie_opens_no_api_and_a_token_no_page(dashboard: Dashboard) -> None:
    """So that no page of another site can use the API through a browser."""
    browser = await dashboard.signed_in("admin")
    problem(await browser.client.get("/api/v1/stats"), 401, "unauthorized")
    answer = await dashboard.client.get("/events", headers=dict(dashboard.bearer))
    assert is_out(answer)


# A trusted proxy -----------------------------------------------------------------------------------

PROXY = {"proxy_header": "X-Forwarded-User", "proxy_from": ["10.9.0.0/24"]}


async def test_a_proxy_names_users_from_its_own_address_only(redis_server: str, prefix: str) -> None:
    """Who stands in [users] is signed in; from elsewhere, unknown, or named twice, the header counts for nothing."""
    async with dashboard_over(settings(redis_server, prefix, access=PROXY)) as dashboard:
        named = {"x-forwarded-user": "operator-user"}
        proxied = dashboard.browser(peer="10.9.0.1")
        answer = await proxied.client.get("/", headers=named)
        assert "operator-user" in answer.text
        proxied.page, proxied.sent = answer.text, {**proxied.sent, **named}
        token = elements(answer.text, "input")[0]["value"]
        acted = await proxied.client.post(
            "/targets/hours/pause", data={"csrf": token, "reason": "x"}, headers=proxied.sent
        )
        assert acted.headers["location"] == "/targets/hours"
        for peer, headers in (
            ("10.9.1.1", [("x-forwarded-user", "operator-user")]),
            ("10.9.0.1", [("x-forwarded-user", "nobody")]),
            ("10.9.0.1", [("x-forwarded-user", "operator-user"), ("x-forwarded-user", "admin-user")]),
            ("10.9.0.1", []),
        ):
            stranger = dashboard.browser(peer=peer)
            assert is_out(await stranger.client.get("/", headers=headers)), (peer, headers)


async def test_behind_a_proxy_another_user_has_another_session(redis_server: str, prefix: str) -> None:
    """A cookie that is left over from the one before does not make the next one that person."""
    async with dashboard_over(settings(redis_server, prefix, access=PROXY)) as dashboard:
        browser = dashboard.browser(peer="10.9.0.1")
        first = await browser.client.get("/settings", headers={"x-forwarded-user": "admin-user"})
        assert first.status_code == 200
        second = await browser.client.get("/settings", headers={"x-forwarded-user": "viewer-user"})
        assert second.status_code == 403


async def test_tries_are_counted_by_whom_the_proxy_serves(redis_server: str, prefix: str) -> None:
    """Not by the proxy's own address, and not by what a stranger writes into the header."""
    async with dashboard_over(settings(redis_server, prefix, access=PROXY)) as dashboard:
        wrong = {"name": "viewer-user", "password": "wrong"}
        for _ in range(5):
            browser = dashboard.browser(peer="10.9.0.1")
            browser.sent["x-forwarded-for"] = "1.1.1.1, 5.5.5.5"
            await browser.post("/sign-in", wrong, status=401)
        browser.sent["x-forwarded-for"] = "9.9.9.9, 5.5.5.5"
        await browser.post("/sign-in", wrong, status=429)
        browser.sent["x-forwarded-for"] = "6.6.6.6"
        await browser.post("/sign-in", wrong, status=401)


# Headers -------------------------------------------------------------------------------------------


async def test_every_answer_of_the_dashboard_has_the_headers(dashboard: Dashboard) -> None:
    """Nothing inline, nothing foreign, framed by nobody, kept by nobody; also refusals and redirects."""
    browser = await dashboard.signed_in("viewer")
    out = dashboard.browser()
    for client, path in (
        *((browser.client, path) for path in ("/", "/events", "/settings", "/events/evt_x", "/sign-in")),
        *((out.client, path) for path in ("/", "/sign-in")),
    ):
        answer = await client.get(path)
        policy = answer.headers["content-security-policy"] if answer.status_code != 303 else ""
        assert "unsafe" not in policy
        if policy:
            assert {"default-src 'none'", "script-src 'self'", "frame-ancestors 'none'"} <= set(policy.split("; "))
            assert answer.headers["cache-control"] == "no-store"
            assert answer.headers["x-content-type-options"] == "nosniff"
            assert answer.headers["referrer-policy"] == "same-origin"


async def test_a_part_of_a_page_does_not_become_a_sign_in_page(dashboard: Dashboard, clock: FakeClock) -> None:
    """When a session ends while a page lives, the whole page goes to the sign-in."""
    browser = await dashboard.signed_in("viewer")
    clock.now += 3600
    answer = await browser.client.get("/?live=1", headers={"hx-request": "true"})
    assert (answer.status_code, answer.headers["hx-redirect"]) == (401, "/sign-in")


async def test_static_files_are_what_they_say_and_nothing_else_is_served(dashboard: Dashboard) -> None:
    """Their address holds their hash; no path leads out of the folder."""
    page = await dashboard.browser().get("/sign-in")
    for one in elements(page, "link"):
        answer = await dashboard.client.get(one["href"])
        assert answer.status_code == 200
        assert "immutable" in answer.headers["cache-control"]
    for path in ("/static/NOTICE.md", "/static/..%2fdoor.py", "/static/../door.py", "/static/"):
        assert (await dashboard.client.get(path)).status_code == 404


def test_vendored_files_are_the_ones_of_the_notice() -> None:
    """Version, licence and hash of each stand there."""
    folder = Path(rendering.__file__).parent / "static"
    notice = (folder / "NOTICE.md").read_text()
    vendored = sorted(folder.glob("*.min.js"))
    assert len(vendored) == 2
    for file in vendored:
        assert f"| {file.name} |" in notice
        assert hashlib.sha256(file.read_bytes()).hexdigest() in notice
    assert notice.count("Permission to use, copy, modify") == 2


async def test_a_browser_gets_an_error_as_a_page_and_a_machine_as_a_problem(dashboard: Dashboard) -> None:
    """Also for an address that is not there, and without a word of what a stranger wrote into it."""
    page = await dashboard.client.get("/nothing/<script>", headers={"accept": "text/html,*/*"})
    assert (page.status_code, page.headers["content-type"]) == (404, "text/html; charset=utf-8")
    assert "<script>" not in page.text
    assert "default-src 'none'" in page.headers["content-security-policy"]
    problem(await dashboard.client.get("/nothing"), 404, "nothing-here")
    answer = await dashboard.client.get("/api/v1/nothing", headers={**dashboard.bearer, "accept": "text/html"})
    problem(answer, 404, "nothing-here")
