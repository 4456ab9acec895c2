"""A portal's authorisation against the simulated identity server: renewed once, kept safe, and lost in plain sight."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest
import redis.asyncio
from cryptography.fernet import Fernet

from relay.errors import AuthorizationLost, NotFoundError, PlandayUnavailable, WrongPortal
from relay.planday.enrich import Planday
from relay.simulator.faults import Fault
from relay.simulator.flavours import BISTRO, HARBOUR
from relay.simulator.identity import REFRESH_TOKENS
from relay.store.cipher import FernetCipher
from tests.integration.planday_world import World

TOKEN = "/connect/token"
SHIFT = 70010045


@pytest.fixture
def world(redis_client: redis.asyncio.Redis, prefix: str) -> World:
    made = World(redis_client, prefix)
    made.generous()
    return made


async def look(world: World, planday: Planday, number: int = SHIFT) -> None:
    """One enrichment that needs Planday, because its event comes later than what is cached."""
    world.clock.advance(1)
    found = await world.enrich(planday, "planday.shift.updated", number)
    assert found.object is not None


async def test_two_processes_ask_for_one_token(world: World) -> None:
    """Twenty first calls in each: one token request, and the portal is confirmed before its first use."""
    one, other = world.planday(), world.planday()
    await asyncio.gather(*(look(world, planday) for planday in (one, other) for _ in range(20)))
    assert world.asked()[TOKEN] == 1
    assert world.simulator.log.requests[1].endpoint == "/portal/v1.0/info"
    assert world.unexpected() == []


async def test_a_token_is_renewed_two_minutes_early(world: World) -> None:
    """Nobody meets the 401 of an expired token."""
    planday = world.planday()
    await look(world, planday)
    world.clock.advance(3600 - 125)
    await look(world, planday)
    assert world.asked()[TOKEN] == 1
    world.clock.advance(5)
    await look(world, planday)
    assert world.asked()[TOKEN] == 2
    assert world.simulator.log.by_status["401"] == 0


async def test_a_short_lived_token_is_used_for_half_its_life(world: World) -> None:
    """Two minutes early would be never."""
    world.simulator.settings.change({"token_lifetime": 60})
    planday = world.planday()
    await look(world, planday)
    world.clock.advance(25)
    await look(world, planday)
    assert world.asked()[TOKEN] == 1
    world.clock.advance(6)
    await look(world, planday)
    assert world.asked()[TOKEN] == 2


async def test_tokens_that_expire_all_at_once_cost_one_renewal(world: World) -> None:
    """Thirty calls of two processes get a 401; one refresh, each call is retried once."""
    one, other = world.planday(), world.planday()
    await asyncio.gather(look(world, one), look(world, other))
    world.simulator.identity.expire()
    numbers = [70010041 + step for step in range(5)]
    await asyncio.gather(*(look(world, planday, number) for planday in (one, other) for number in numbers))
    assert world.asked()[TOKEN] == 2


async def test_a_rotated_token_is_stored_before_the_new_access_token_is_used(world: World) -> None:
    """At every call to the API, Redis holds the refresh token that Planday takes now."""
    world.simulator.settings.change({"rotate_refresh_tokens": True})
    inner = httpx.ASGITransport(world.app)
    seen: list[bool] = []

    class Watching(httpx.AsyncBaseTransport):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            if request.url.path != TOKEN:
                stored = (await world.shared.token(BISTRO))["refresh"]
                seen.append(world.cipher.decrypt(stored) == world.simulator.authorisation(BISTRO).refresh_token)
            return await inner.handle_async_request(request)

    planday = world.planday(transport=Watching())
    for _ in range(3):
        await look(world, planday)
        world.clock.advance(3600)
    await look(world, world.planday())  # a process that starts with the configured, long dead token
    assert len(seen) >= 4
    assert all(seen)
    assert world.asked()[TOKEN] == 4


async def test_a_caller_that_is_cancelled_does_not_lose_a_rotated_token(world: World) -> None:
    """The worker stops while the answer is on its way: it is stored all the same."""
    world.simulator.settings.change({"rotate_refresh_tokens": True})
    arrived, go_on = asyncio.Event(), asyncio.Event()
    inner = httpx.ASGITransport(world.app)

    class Slow(httpx.AsyncBaseTransport):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            response = await inner.handle_async_request(request)
            if request.url.path == TOKEN:
                arrived.set()
                await go_on.wait()
            return response

    planday = world.planday(transport=Slow())
    task = asyncio.create_task(look(world, planday))
    await arrived.wait()
    task.cancel()
    closing = asyncio.create_task(planday.aclose())
    await asyncio.sleep(0)
    go_on.set()
    await closing
    with pytest.raises(asyncio.CancelledError):
        await task
    await look(world, world.planday())
    assert world.asked()[TOKEN] == 1


@pytest.mark.parametrize("fate", ["refresh-fails", "api-401"])
async def test_a_dead_authorisation_is_recorded_and_nobody_calls_any_more(world: World, fate: Any) -> None:
    """Whichever way it shows (planday-api.md 2.6), every process knows at once and stays silent."""
    one, other = world.planday(), world.planday()
    await look(world, one)
    world.simulator.identity.end(world.simulator.authorisation(BISTRO), fate=fate)
    with pytest.raises(AuthorizationLost, match="portal bistro needs a new token since 2026-10-21T12:00"):
        await look(world, one, 70010041)
    calls = len(world.calls)
    for planday in (one, other):
        with pytest.raises(AuthorizationLost):
            await look(world, planday, 70010042)
    assert len(world.calls) == calls
    status = await other.status("bistro")
    assert status.authorisation == "lost"
    assert status.lost_since == pytest.approx(world.now(), abs=5)
    assert "40" in status.lost_why
    found = await world.enrich(one, "planday.shift.updated", SHIFT, portal=HARBOUR)
    assert found.state == "complete"


async def test_a_new_token_ends_the_incident_without_a_restart(world: World) -> None:
    """Entered by an operator, checked against the portal, seen by every process."""
    one, other = world.planday(), world.planday()
    await look(world, one)
    authorisation = world.simulator.authorisation(BISTRO)
    world.simulator.identity.end(authorisation, fate="refresh-fails")
    with pytest.raises(AuthorizationLost):
        await look(world, one)
    await other.set_token("bistro", world.simulator.identity.renew(authorisation))
    await look(world, one)
    assert (await one.status("bistro")).authorisation == "ok"


async def test_a_token_of_another_portal_is_refused(world: World) -> None:
    """Two portals hold the same ids: the wrong one would mix up people. What was there stays."""
    planday = world.planday()
    await look(world, planday)
    before = await world.shared.token(BISTRO)
    with pytest.raises(WrongPortal):
        await planday.set_token("bistro", REFRESH_TOKENS[HARBOUR])
    with pytest.raises(AuthorizationLost):
        await planday.set_token("bistro", "no such token")
    with pytest.raises(NotFoundError):
        await planday.set_token("elsewhere", "x")
    assert await world.shared.token(BISTRO) == before
    await look(world, planday)


async def test_an_entered_token_that_planday_rotates_is_not_lost_when_planday_goes_away(world: World) -> None:
    """It is used up by the first exchange, so its successor is kept, and checked before its first use."""
    world.simulator.settings.change({"rotate_refresh_tokens": True})
    planday = world.planday()
    world.simulator.faults.add(Fault("/portal/*", "503", count=3))
    with pytest.raises(PlandayUnavailable):
        await planday.set_token("bistro", REFRESH_TOKENS[BISTRO])
    await look(world, world.planday())
    assert (await planday.status("bistro")).authorisation == "ok"


async def test_a_configured_token_of_another_portal_reads_nothing(world: World) -> None:
    """Not one record of the wrong portal is taken; `portals check` says why."""
    planday = world.planday(token=REFRESH_TOKENS[HARBOUR])
    with pytest.raises(AuthorizationLost, match="another portal"):
        await look(world, planday)
    assert set(world.asked()) == {TOKEN, "/portal/v1.0/info"}
    with pytest.raises(WrongPortal) as caught:
        await planday.check("bistro")
    assert str(caught.value) == (
        f"portal bistro: the token belongs to another portal (id {HARBOUR}), not to {BISTRO}: "
        "`id` and `refresh_token` of two portals are mixed up"
    )


async def test_the_configs_token_wins_again_when_it_changes(world: World) -> None:
    """And only then: a restart with the same config keeps what was entered by hand."""
    authorisation = world.simulator.authorisation(BISTRO)
    planday = world.planday()
    await look(world, planday)
    entered = world.simulator.identity.renew(authorisation)
    await planday.set_token("bistro", entered)
    world.simulator.identity.expire()
    await look(world, world.planday())
    fresh = world.simulator.identity.renew(authorisation)
    world.simulator.identity.expire()
    with pytest.raises(AuthorizationLost):
        await look(world, world.planday())
    await look(world, world.planday(token=fresh))
    assert (await planday.status("bistro")).authorisation == "ok"


async def test_an_operators_check_tries_a_lost_authorisation_anew(world: World) -> None:
    """The administrator's account is active again: nobody has to copy a token."""
    planday = world.planday()
    authorisation = world.simulator.authorisation(BISTRO)
    world.simulator.identity.end(authorisation, fate="refresh-fails")
    with pytest.raises(AuthorizationLost):
        await look(world, planday)
    with pytest.raises(AuthorizationLost):
        await planday.check("bistro")
    authorisation.fate = "active"
    check = await planday.check("bistro")
    assert (check.portal_name, check.time_zone, check.missing) == ("Bistro Demo", "Europe/Copenhagen", ())
    assert check.token_expires_at == pytest.approx(world.now() + 3600, abs=5)
    await look(world, planday)
    assert world.unexpected() == []


@pytest.mark.parametrize(
    "kind",
    ["429-reset", "429-retry-after", "429-bare", "500", "503", "html", "empty", "truncated", "drop", "drop-after"],
)
async def test_an_identity_server_that_is_away_is_no_lost_authorisation(world: World, kind: str) -> None:
    """Later is good enough; for a few seconds nobody in this process asks again."""
    planday = world.planday()
    world.simulator.faults.add(Fault(TOKEN, kind, retry_after="7" if kind == "429-retry-after" else None))
    with pytest.raises(PlandayUnavailable) as caught:
        await look(world, planday)
    assert not isinstance(caught.value, AuthorizationLost)
    assert caught.value.retry_after == (7.0 if kind == "429-retry-after" else None)
    with pytest.raises(PlandayUnavailable, match="a moment ago"):
        await look(world, planday)
    assert world.asked()[TOKEN] == 1
    world.clock.advance(8)
    await look(world, planday)


@pytest.mark.parametrize("status", [400, 401])
async def test_the_status_alone_decides_that_a_token_is_dead(world: World, status: int) -> None:
    """An HTML body with 400 is a refusal like any other."""
    world.simulator.faults.add(Fault(TOKEN, "html", status=status))
    with pytest.raises(AuthorizationLost):
        await look(world, world.planday())


async def test_while_the_identity_server_is_away_the_old_token_serves(world: World) -> None:
    """That is what renewing early is for."""
    planday = world.planday()
    await look(world, planday)
    world.simulator.faults.add(Fault(TOKEN, "503", count=-1))
    world.clock.advance(3600 - 100)
    await look(world, planday)
    await look(world, planday)
    assert world.asked()[TOKEN] == 2
    world.clock.advance(100)
    with pytest.raises(PlandayUnavailable):
        await look(world, planday)


async def test_a_401_that_a_new_token_cures_is_nothing(world: World) -> None:
    """One refresh, one retry, no incident."""
    planday = world.planday()
    await look(world, planday)
    world.simulator.faults.add(Fault("/scheduling/*", "status", status=401))
    await look(world, planday)
    assert world.asked()[TOKEN] == 2
    assert (await planday.status("bistro")).authorisation == "ok"


async def test_tokens_are_stored_encrypted_only(world: World) -> None:
    """Neither the refresh token nor the access token stands in Redis, nor in any call that is reported."""
    await look(world, world.planday())
    dump = await world.dump()
    assert REFRESH_TOKENS[BISTRO] not in dump
    for token in world.simulator.identity.access_tokens:
        assert token not in dump
        assert token not in str(world.calls)


async def test_encryption_keys_can_be_exchanged(world: World) -> None:
    """With old and new key the entered token is read and written anew; then the old one is not needed any more."""
    authorisation = world.simulator.authorisation(BISTRO)
    planday = world.planday()
    await planday.set_token("bistro", world.simulator.identity.renew(authorisation))
    new = Fernet.generate_key()
    both, only_new = FernetCipher([new, world.encryption_key]), FernetCipher([new])
    await look(world, world.planday(cipher=both))
    await look(world, world.planday(cipher=only_new))
    assert world.asked()[TOKEN] == 2


async def test_a_token_that_no_key_opens_gives_way_to_the_configs(world: World) -> None:
    """A lost key is no lost portal while the config has a token."""
    await look(world, world.planday())
    await look(world, world.planday(cipher=FernetCipher([Fernet.generate_key()])))
    assert world.asked()[TOKEN] == 2


async def test_a_lock_of_a_process_that_died_is_waited_for_and_then_reported(world: World) -> None:
    """Its lock gives way by itself; until then a caller is sent away, not held for ever."""
    await world.shared.take_lock(f"token:{BISTRO}", owner="dead", seconds=60)
    with pytest.raises(PlandayUnavailable, match="another process"):
        await look(world, world.planday())
    assert world.asked()[TOKEN] == 0


async def test_a_token_entered_during_a_renewal_wins(world: World) -> None:
    """The slow renewal's result is for a token that is not ours any more."""
    inner = httpx.ASGITransport(world.app)
    authorisation = world.simulator.authorisation(BISTRO)
    operator = world.planday()

    class Overtaken(httpx.AsyncBaseTransport):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            response = await inner.handle_async_request(request)
            if request.url.path == TOKEN:
                await operator.set_token("bistro", world.simulator.identity.renew(authorisation))
            return response

    with pytest.raises(PlandayUnavailable, match="replaced meanwhile"):
        await look(world, world.planday(transport=Overtaken()))
    stored = (await world.shared.token(BISTRO))["refresh"]
    assert world.cipher.decrypt(stored) == authorisation.refresh_token


async def test_a_portal_that_nobody_used_is_untried(world: World) -> None:
    """Its status can be read without the network and without a record."""
    status = await world.planday().status("bistro")
    assert (status.authorisation, status.token_expires_at, status.blocked_for) == ("untried", None, 0.0)
    assert [(budget.scope, budget.window, budget.left) for budget in status.budget] == [
        ("client", 1, 100),
        ("client", 60, 2000),
        ("portal", 1, 10),
        ("portal", 60, 750),
    ]
    assert world.calls == []


async def test_a_token_that_is_dead_from_the_start_is_recorded(world: World) -> None:
    """The refresh works and the API refuses, at the very first use."""
    world.simulator.authorisation(BISTRO).fate = "api-401"
    planday = world.planday()
    with pytest.raises(AuthorizationLost, match="401"):
        await look(world, planday)
    assert world.asked() == {TOKEN: 2, "/portal/v1.0/info": 2}
    with pytest.raises(AuthorizationLost, match="401"):
        await planday.set_token("bistro", REFRESH_TOKENS[BISTRO])


async def test_a_token_may_not_be_allowed_to_say_whose_it_is(world: World) -> None:
    """The scope of portal info is documented nowhere: without it events are enriched all the same."""
    world.simulator.faults.add(Fault("/portal/*", "status", status=403, count=-1))
    planday = world.planday()
    await look(world, planday)
    assert (await planday.status("bistro")).authorisation == "ok"
    assert (await planday.check("bistro")).portal_name is None


async def test_an_answer_that_does_not_say_whose_the_token_is_confirms_nothing(world: World) -> None:
    """The event waits; no record is read with a token that may be another portal's."""
    world.simulator.portals[BISTRO].info["id"] = "4100001"
    with pytest.raises(PlandayUnavailable, match="whose"):
        await look(world, world.planday())
    assert set(world.asked()) == {TOKEN, "/portal/v1.0/info"}


async def test_a_401_for_a_token_that_was_replaced_meanwhile_is_no_loss(world: World) -> None:
    """Another process has a newer one already: the event simply comes again."""
    planday = world.planday()
    await look(world, planday)
    error = await planday.client("bistro").auth.lose("an older token")
    assert type(error) is PlandayUnavailable
    await look(world, planday)
