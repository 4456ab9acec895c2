"""The simulated Planday API holds every documented rule and each switch for what is not documented."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from relay.simulator import Clock, create_simulator
from relay.simulator.flavours import (
    BISTRO,
    HARBOUR,
    IDA,
)
from relay.simulator.identity import CLIENT_ID, OTHER_CLIENT_ID, REFRESH_TOKENS
from relay.simulator.simulator import Simulator

SHIFTS = "/scheduling/v1.0/shifts"
PUNCHES = "/punchclock/v1.0/punchclockshifts"
REQUESTS = "/absence/v1.0/absencerequests"
WINDOW: dict[str, Any] = {"from": "2026-10-15T00:00", "to": "2026-10-31T00:00"}


class Caller:
    """A careful client of the simulator, in process."""

    def __init__(self, http: httpx.AsyncClient, simulator: Simulator) -> None:
        self.http = http
        self.simulator = simulator
        self.tokens: dict[int, str] = {}

    async def refresh(self, portal: int = BISTRO, **changed: Any) -> httpx.Response:
        form = {"client_id": CLIENT_ID, "grant_type": "refresh_token", "refresh_token": REFRESH_TOKENS[portal]}
        return await self.http.post("/connect/token", data=form | changed)

    async def get(self, path: str, *, portal: int = BISTRO, **params: Any) -> httpx.Response:
        if portal not in self.tokens:
            self.tokens[portal] = (await self.refresh(portal)).json()["access_token"]
        return await self.http.get(path, params=params or None, headers=self.headers(portal))

    def headers(self, portal: int = BISTRO) -> dict[str, str]:
        return {"authorization": f"Bearer {self.tokens[portal]}", "x-clientid": CLIENT_ID}

    async def data(self, path: str, **params: Any) -> Any:
        answer = await self.get(path, **params)
        assert answer.status_code == 200, answer.text
        return answer.json()["data"]

    async def control(self, path: str, /, **body: Any) -> Any:
        answer = await self.http.post(f"/control{path}", json=body)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def unexpected(self) -> list[str]:
        log = (await self.http.get("/control/requests")).json()
        return [oddity for seen in log["unexpected"] for oddity in seen["unexpected"]]


@asynccontextmanager
async def in_process(**options: Any) -> AsyncIterator[Caller]:
    """The simulator with a stopped clock."""
    clock = Clock(stopped_at=datetime(2026, 10, 21, 10, 0, 0, 250000, tzinfo=UTC))
    app = create_simulator(clock=clock, **options)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://simulator") as http:
        yield Caller(http, app.state.simulator)
        await app.state.simulator.emitter.aclose()


@pytest.fixture
async def planday() -> AsyncIterator[Caller]:
    """A simulated Planday and a client of it."""
    async with in_process() as caller:
        yield caller


# Identity


async def test_a_refresh_token_buys_an_hour(planday: Caller) -> None:
    """The grant answers with a bearer token, its lifetime and the same refresh token."""
    answer = await planday.refresh()
    body = answer.json()
    assert answer.status_code == 200
    assert (body["expires_in"], body["token_type"]) == (3600, "Bearer")
    assert body["refresh_token"] == REFRESH_TOKENS[BISTRO]
    assert len(REFRESH_TOKENS[BISTRO]) == 22


async def test_an_access_token_ends_after_its_hour(planday: Caller) -> None:
    """At 3599 s a call passes, at 3600 s it is 401."""
    assert (await planday.get("/portal/v1.0/info")).status_code == 200
    await planday.control("/clock", advance=3599)
    assert (await planday.get("/portal/v1.0/info")).status_code == 200
    await planday.control("/clock", advance=1)
    assert (await planday.get("/portal/v1.0/info")).status_code == 401


@pytest.mark.parametrize(
    ("changed", "error"),
    [
        ({"refresh_token": "never-heard-of-it"}, "invalid_grant"),
        ({"client_id": OTHER_CLIENT_ID}, "invalid_grant"),
        ({"client_id": "nobody"}, "invalid_client"),
        ({"grant_type": "password"}, "unsupported_grant_type"),
    ],
)
async def test_a_wrong_token_request_is_refused(planday: Caller, changed: dict[str, Any], error: str) -> None:
    """Every fault of a token request has its own error word and status 400."""
    answer = await planday.refresh(**changed)
    assert (answer.status_code, answer.json()) == (400, {"error": error})


async def test_the_token_endpoint_reads_only_forms(planday: Caller) -> None:
    """JSON is refused, and noted."""
    answer = await planday.http.post("/connect/token", json={"grant_type": "refresh_token"})
    assert answer.json() == {"error": "invalid_request"}
    assert "body is not form-encoded" in await planday.unexpected()


async def test_a_rotated_token_replaces_the_old_one(planday: Caller) -> None:
    """With rotation on, the answer's refresh token works and the one that was used does not."""
    await planday.control("/settings", rotate_refresh_tokens=True)
    new = (await planday.refresh()).json()["refresh_token"]
    assert new != REFRESH_TOKENS[BISTRO]
    assert (await planday.refresh()).json() == {"error": "invalid_grant"}
    assert (await planday.refresh(refresh_token=new)).status_code == 200


@pytest.mark.parametrize(("kills", "status"), [(True, 401), (False, 200)])
async def test_revocation_may_or_may_not_kill_live_access_tokens(planday: Caller, kills: bool, status: int) -> None:
    """After a revocation no refresh works; whether live tokens die with it is a switch."""
    await planday.control("/settings", revoke_kills_access=kills)
    await planday.get("/portal/v1.0/info")
    form = {"client_id": CLIENT_ID, "token": REFRESH_TOKENS[BISTRO]}
    assert (await planday.http.post("/connect/revocation", data=form)).status_code == 200
    assert (await planday.refresh()).json() == {"error": "invalid_grant"}
    assert (await planday.get("/portal/v1.0/info")).status_code == status


async def test_a_lost_administrator_can_show_as_a_failing_refresh(planday: Caller) -> None:
    """Variant one: the token endpoint says invalid_grant; the other portal goes on."""
    await planday.control(f"/portals/{BISTRO}/authorisation/revoke", variant="refresh-fails")
    assert (await planday.refresh()).status_code == 400
    assert (await planday.refresh(HARBOUR)).status_code == 200


async def test_a_lost_administrator_can_show_as_401_on_calls(planday: Caller) -> None:
    """Variant two: tokens are still handed out and none of them opens anything."""
    await planday.control(f"/portals/{BISTRO}/authorisation/revoke", variant="api-401")
    assert (await planday.refresh()).status_code == 200
    assert (await planday.get("/portal/v1.0/info")).status_code == 401


async def test_re_authorising_gives_a_new_token_and_ends_the_old(planday: Caller) -> None:
    """Another administrator's Authorise brings the connection back under a new token."""
    await planday.control(f"/portals/{BISTRO}/authorisation/revoke")
    new = (await planday.control(f"/portals/{BISTRO}/authorisation/reauthorise"))["refresh_token"]
    assert len(new) == 22
    assert (await planday.refresh()).status_code == 400
    assert (await planday.refresh(refresh_token=new)).status_code == 200


async def test_all_access_tokens_can_expire_at_once(planday: Caller) -> None:
    """The control's expiry reaches every portal and leaves refresh tokens alone."""
    await planday.get("/portal/v1.0/info")
    await planday.get("/portal/v1.0/info", portal=HARBOUR)
    assert (await planday.control("/tokens/expire"))["expired"] == 2
    assert (await planday.get("/portal/v1.0/info", portal=HARBOUR)).status_code == 401
    assert (await planday.refresh()).status_code == 200


# Who may read


async def test_without_both_headers_nothing_is_read(planday: Caller) -> None:
    """No bearer, an unknown one, no X-ClientId or another app's: each is a 401 with rate headers."""
    await planday.get("/portal/v1.0/info")
    good = planday.headers()
    for headers in (
        {},
        {"x-clientid": CLIENT_ID},
        {"authorization": good["authorization"]},
        good | {"x-clientid": OTHER_CLIENT_ID},
        good | {"authorization": "Bearer unknown"},
        good | {"authorization": "Basic abc"},
    ):
        answer = await planday.http.get("/portal/v1.0/info", headers=headers)
        assert answer.status_code == 401
        assert set(answer.headers) >= {"x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset"}


async def test_the_client_header_is_not_needed_when_not_strict(planday: Caller) -> None:
    """Enforcement of X-ClientId is unknown, so it can be switched off."""
    await planday.control("/settings", strict_headers=False)
    await planday.get("/portal/v1.0/info")
    bearer = {"authorization": planday.headers()["authorization"]}
    assert (await planday.http.get("/portal/v1.0/info", headers=bearer)).status_code == 200


@pytest.mark.parametrize(
    ("path", "scope"),
    [
        ("/hr/v1.0/employees?limit=50", "employee:read"),
        (f"/hr/v1.0/employees/{IDA}", "employee:read"),
        ("/hr/v1.0/departments?limit=50", "department:read"),
        ("/hr/v1.0/employeegroups/5201", "employeegroup:read"),
        (f"{SHIFTS}/70010045", "shift:read"),
        (f"{SHIFTS}/deleted?limit=50", "shift:read"),
        ("/scheduling/v1.0/positions/6301", "shiftposition:read"),
        ("/scheduling/v1.0/shifttypes?limit=50", "shifttype:read"),
        (f"{PUNCHES}/byShift/70010050", "punchclockshift:read"),
        (f"{REQUESTS}?Limit=50", "absence:read"),
    ],
)
async def test_a_missing_scope_is_403(planday: Caller, path: str, scope: str) -> None:
    """Each read needs exactly its own scope; portal info needs none."""
    assert (await planday.get(path)).status_code == 200
    await planday.control(f"/portals/{BISTRO}/authorisation/scopes", scopes=[scope])
    assert (await planday.get(path)).status_code == 200
    await planday.control(f"/portals/{BISTRO}/authorisation/scopes", scopes=[])
    assert (await planday.get(path)).status_code == 403
    assert (await planday.get("/portal/v1.0/info")).status_code == 200


async def test_two_portals_hold_the_same_ids_with_other_content(planday: Caller) -> None:
    """Only the portal id tells them apart."""
    for path in (f"/hr/v1.0/employees/{IDA}", f"{SHIFTS}/70010045", "/hr/v1.0/departments/4101"):
        here, there = await planday.data(path), await planday.data(path, portal=HARBOUR)
        assert here["id"] == there["id"]
        assert here != there
    assert (await planday.data("/portal/v1.0/info"))["id"] == BISTRO
    assert (await planday.data("/portal/v1.0/info", portal=HARBOUR))["timeZone"] == "Europe/London"


# Rate limits


async def test_the_headers_have_the_documented_form(planday: Caller) -> None:
    """Quota of the nearest window, the whole policy in order, what is left, when it resets."""
    answer = await planday.get("/portal/v1.0/info")
    assert answer.headers["x-ratelimit-limit"] == "20, 20;w=1, 750;w=60, 100;w=1, 2000;w=60"
    assert answer.headers["x-ratelimit-remaining"] == "19"
    assert answer.headers["x-ratelimit-reset"] == "1"


async def test_the_21st_call_in_a_second_is_429_and_the_next_second_is_free(planday: Caller) -> None:
    """The portal's second bucket refuses, says so in its headers, and nothing else helps than time."""
    statuses = [(await planday.get("/portal/v1.0/info")).status_code for _ in range(20)]
    assert statuses == [200] * 20
    refused = await planday.get("/portal/v1.0/info")
    assert refused.status_code == 429
    assert refused.headers["x-ratelimit-remaining"] == "0"
    assert refused.headers["x-ratelimit-reset"] == "1"
    assert "retry-after" not in refused.headers
    assert (await planday.get("/portal/v1.0/info", portal=HARBOUR)).status_code == 200
    await planday.control("/clock", advance=1)
    assert (await planday.get("/portal/v1.0/info")).status_code == 200


async def test_the_minute_bucket_says_how_long_it_blocks(planday: Caller) -> None:
    """750 a minute per portal; the reset counts to the end of the minute."""
    await planday.control("/settings", portal_per_minute=3)
    for _ in range(3):
        assert (await planday.get("/portal/v1.0/info")).status_code == 200
    await planday.control("/clock", advance=19)
    refused = await planday.get("/portal/v1.0/info")
    assert refused.status_code == 429
    assert refused.headers["x-ratelimit-limit"] == "3, 20;w=1, 3;w=60, 100;w=1, 2000;w=60"
    assert refused.headers["x-ratelimit-reset"] == "41"


async def test_portals_of_one_client_share_the_client_buckets(planday: Caller) -> None:
    """The client's minute is spent by both portals together."""
    await planday.control("/settings", client_per_minute=2)
    assert (await planday.get("/portal/v1.0/info")).status_code == 200
    assert (await planday.get("/portal/v1.0/info", portal=HARBOUR)).status_code == 200
    assert (await planday.get("/portal/v1.0/info")).status_code == 429
