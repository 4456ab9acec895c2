"""The simulated consent screen and the authorisation code grant: codes work once, and only where they were sent."""

import base64
import hashlib
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from relay.simulator.flavours import BISTRO, HARBOUR
from relay.simulator.identity import CLIENT_ID, OTHER_CLIENT_ID, PAYROLL_SCOPES, REFRESH_TOKENS
from tests.integration.test_simulator import Caller, in_process

CALLBACK = "http://127.0.0.1:8000/portals/callback"
ASKED: dict[str, Any] = {
    "client_id": CLIENT_ID,
    "response_type": "code",
    "redirect_uri": CALLBACK,
    "scope": " ".join(sorted(PAYROLL_SCOPES)),
    "state": "s 1",
}


@pytest.fixture
async def planday() -> AsyncIterator[Caller]:
    """A simulated Planday and a client of it."""
    async with in_process() as caller:
        yield caller


async def consent(planday: Caller, **changed: Any) -> dict[str, str]:
    """Ask with a screen that answers itself; what came back in the address."""
    planday.simulator.settings.auto_consent = True
    answer = await planday.http.get("/connect/authorize", params=ASKED | changed)
    assert answer.status_code == 302
    assert answer.headers["location"].startswith(CALLBACK)
    return {name: values[0] for name, values in parse_qs(urlsplit(answer.headers["location"]).query).items()}


async def redeem(planday: Caller, code: str, /, **changed: Any) -> httpx.Response:
    """Turn a code into tokens."""
    form = {"client_id": CLIENT_ID, "grant_type": "authorization_code", "code": code, "redirect_uri": CALLBACK}
    return await planday.http.post("/connect/token", data=form | changed)


async def test_a_consent_buys_tokens_with_the_scopes_asked_for(planday: Caller) -> None:
    """State comes back; the new refresh token replaces the old one; the access token reads at once."""
    back = await consent(planday)
    assert back["state"] == "s 1"
    answer = await redeem(planday, back["code"])
    body = answer.json()
    assert set(body) == {"id_token", "access_token", "expires_in", "token_type", "refresh_token", "scope"}
    assert (body["expires_in"], body["token_type"]) == (3600, "Bearer")
    assert "payroll:read" in body["scope"].split()
    headers = {"authorization": f"Bearer {body['access_token']}", "x-clientid": CLIENT_ID}
    info = await planday.http.get("/portal/v1.0/info", headers=headers)
    assert info.json()["data"]["id"] == BISTRO
    assert (await planday.refresh()).json() == {"error": "invalid_grant"}
    assert (await planday.refresh(refresh_token=body["refresh_token"])).is_success
    assert await planday.unexpected() == []


@pytest.mark.parametrize(
    "changed", [{"redirect_uri": f"{CALLBACK}/"}, {"client_id": OTHER_CLIENT_ID}, {"code": "another"}]
)
async def test_a_code_is_bound_to_its_app_and_address(planday: Caller, changed: dict[str, str]) -> None:
    """Any difference is invalid_grant, and the code is gone after the attempt with it."""
    back = await consent(planday)
    assert (await redeem(planday, back["code"], **changed)).json() == {"error": "invalid_grant"}
    assert (await redeem(planday, back["code"])).is_success is ("code" in changed)


async def test_a_code_works_once_and_not_for_long(planday: Caller) -> None:
    """A second use is refused, and so is a first after five minutes."""
    back = await consent(planday)
    assert (await redeem(planday, back["code"])).is_success
    assert (await redeem(planday, back["code"])).json() == {"error": "invalid_grant"}
    late = await consent(planday)
    planday.simulator.clock.advance(300)
    assert (await redeem(planday, late["code"])).status_code == 400


async def test_a_challenge_wants_its_verifier(planday: Caller) -> None:
    """S256 and plain are proven, or the code is worthless."""
    hashed = base64.urlsafe_b64encode(hashlib.sha256(b"secret").digest()).decode().rstrip("=")
    for challenge in ({"code_challenge": hashed, "code_challenge_method": "S256"}, {"code_challenge": "secret"}):
        back = await consent(planday, **challenge)
        assert (await redeem(planday, back["code"])).status_code == 400
        back = await consent(planday, **challenge)
        assert (await redeem(planday, back["code"], code_verifier="secret")).is_success


async def test_the_screen_waits_for_an_administrator(planday: Caller) -> None:
    """It names the portals and what is asked for; the button of one sends its code, the other refuses."""
    page = await planday.http.get("/connect/authorize", params=ASKED | {"state": '"><script>'})
    assert page.status_code == 200
    assert "Harbour Hotel" in page.text
    assert "<script>" not in page.text
    pressed = ASKED | {"portal": HARBOUR, "decision": "approve"}
    answer = await planday.http.post("/connect/authorize", data=pressed)
    code = parse_qs(urlsplit(answer.headers["location"]).query)["code"][0]
    token = (await redeem(planday, code)).json()["refresh_token"]
    assert planday.simulator.identity.authorisations[HARBOUR].refresh_token == token
    assert planday.simulator.identity.authorisations[BISTRO].refresh_token == REFRESH_TOKENS[BISTRO]
    refused = await planday.http.post("/connect/authorize", data=pressed | {"decision": "deny"})
    assert refused.headers["location"] == f"{CALLBACK}?error=access_denied&state=s+1"
    nowhere = await planday.http.post("/connect/authorize", data=pressed | {"portal": "1"})
    assert nowhere.status_code == 400


@pytest.mark.parametrize(
    ("changed", "answer"),
    [
        ({"client_id": "nobody"}, 400),
        ({"redirect_uri": "https://example.com/callback"}, 400),
        ({"response_type": "token"}, "unsupported_response_type"),
        ({"scope": "openid offline_access employee:write"}, "invalid_scope"),
        ({"scope": "openid employee:read"}, "invalid_scope"),
    ],
)
async def test_a_senseless_request_is_refused(planday: Caller, changed: dict[str, str], answer: int | str) -> None:
    """An unknown app or address is told here; all else goes back to the app."""
    got = await planday.http.get("/connect/authorize", params=ASKED | changed)
    if isinstance(answer, int):
        assert got.status_code == answer
    else:
        assert parse_qs(urlsplit(got.headers["location"]).query)["error"] == [answer]


async def test_a_request_without_state_is_noted(planday: Caller) -> None:
    """The docs call it optional; a careful client always sends it."""
    await planday.http.get("/connect/authorize", params={k: v for k, v in ASKED.items() if k != "state"})
    await planday.http.get("/connect/authorize", params=ASKED | {"prompt": "login"})
    assert await planday.unexpected() == ["missing state", "undocumented parameter: prompt"]


async def test_only_registered_addresses_if_there_are_any() -> None:
    """Up to three can be registered; then nothing else will do."""
    async with in_process(redirect_uris=["https://relay.example/callback"]) as planday:
        planday.simulator.settings.auto_consent = True
        wanted = ASKED | {"redirect_uri": "https://relay.example/callback"}
        assert (await planday.http.get("/connect/authorize", params=wanted)).status_code == 302
        assert (await planday.http.get("/connect/authorize", params=ASKED)).status_code == 400


async def test_a_portal_that_never_knew_the_app_is_authorised() -> None:
    """The same App ID is connected on a further portal, which gets a token of its own."""
    async with in_process(refresh_tokens={BISTRO: REFRESH_TOKENS[BISTRO]}) as planday:
        planday.simulator.settings.consent_portal = HARBOUR
        back = await consent(planday)
        token = (await redeem(planday, back["code"])).json()["refresh_token"]
        assert planday.simulator.authorisation(HARBOUR).refresh_token == token


async def test_reauthorising_may_keep_a_living_token(planday: Caller) -> None:
    """Whether Planday changes a token that still works is unknown; a dead one it always does."""
    planday.simulator.settings.reauthorise_renews = False
    for variant, kept in ((None, True), ("refresh-fails", False)):
        if variant:
            await planday.control(f"/portals/{BISTRO}/authorisation/revoke", variant=variant)
        again = await planday.control(f"/portals/{BISTRO}/authorisation/reauthorise")
        assert (again["refresh_token"] == REFRESH_TOKENS[BISTRO]) is kept


async def test_a_dead_token_may_be_401(planday: Caller) -> None:
    """The status of a refusal at the token endpoint is unknown."""
    planday.simulator.settings.token_error_status = "401"
    answer = await planday.refresh(refresh_token="dead")
    assert (answer.status_code, answer.json()) == (401, {"error": "invalid_grant"})


async def test_the_screen_can_fail_like_everything_else(planday: Caller) -> None:
    """Faults are injected by path."""
    await planday.control("/faults", path="/connect/authorize", kind="503")
    assert (await planday.http.get("/connect/authorize", params=ASKED)).status_code == 503
