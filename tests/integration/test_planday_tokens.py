"""Several configurations, one stored authorisation: a wrong one harms nobody, a new one that works wins for all."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from typing import Any

import pytest
import redis.asyncio
from cryptography.fernet import Fernet

from relay.errors import AuthorizationLost, PlandayUnavailable, WrongPortal
from relay.planday.enrich import Planday
from relay.settings.values import Text
from relay.simulator.faults import Fault
from relay.simulator.flavours import BISTRO, HARBOUR
from relay.simulator.identity import REFRESH_TOKENS
from relay.store.cipher import FernetCipher
from tests.integration.planday_world import NAMES, World
from tests.integration.web_world import settings, web_over

TOKEN = "/connect/token"
SHIFT = 70010045
WRONG = "rubbish-of-a-stale-shell"
OTHERS = REFRESH_TOKENS[HARBOUR]
MIXED_UP = f"another portal (id {HARBOUR}), not to {BISTRO}: `id` and `refresh_token` of two portals are mixed up"


@pytest.fixture
def world(redis_client: redis.asyncio.Redis, prefix: str) -> World:
    made = World(redis_client, prefix)
    made.generous()
    return made


@pytest.fixture(params=[False, True], ids=["lasting", "rotating"])
def rotating(request: pytest.FixtureRequest, world: World) -> bool:
    world.simulator.settings.change({"rotate_refresh_tokens": request.param})
    return bool(request.param)


async def look(world: World, planday: Planday, *, portal: int = BISTRO) -> None:
    """One enrichment that needs Planday, because its event comes later than what is cached."""
    world.clock.advance(1)
    found = await world.enrich(planday, "planday.shift.updated", SHIFT, portal=portal)
    assert found.object is not None


async def goes_on(world: World, *workers: Planday) -> None:
    """Now, after a renewal, and after another."""
    for _ in range(3):
        for worker in workers:
            await look(world, worker)
        world.clock.advance(3600)
    assert (await workers[0].status("bistro")).authorisation == "ok"


def another_token(world: World) -> str:
    """A second token of the same portal that works beside the first, as Planday's do until they are revoked."""
    identity = world.simulator.identity
    given = identity.authorisations[BISTRO]
    second = type(given)(given.portal_id, given.client_id, f"second-{len(identity.authorisations)}")
    identity.authorisations[-len(identity.authorisations)] = second
    return second.refresh_token


def asked_with(world: World) -> list[str]:
    return [str(call.status) for call in world.calls if call.endpoint == TOKEN]


# A check with a wrong token ------------------------------------------------------------------------


@pytest.mark.parametrize("others", [False, True], ids=["rubbish", "another-portals"])
@pytest.mark.usefixtures("rotating")
async def test_a_check_with_a_wrong_token_leaves_the_worker_working(world: World, others: bool) -> None:
    """Neither this portal's worker nor the other portal's notices it, now or at the next renewals."""
    worker = world.planday()
    await look(world, worker)
    await look(world, worker, portal=HARBOUR)
    token = world.simulator.authorisation(HARBOUR).refresh_token if others else WRONG
    check = await world.planday(token=token).check("bistro")
    assert check.configured.word == "refused"
    assert check.problem is not None
    assert "the workers go on with the one stored before" in check.problem
    assert (MIXED_UP if others else "the identity server refuses the token (400)") in check.problem
    assert (check.portal_name, check.missing, check.note) == ("Bistro Demo", (), None)
    await goes_on(world, worker)
    await look(world, worker, portal=HARBOUR)
    await goes_on(world, world.planday())


async def test_a_refused_token_is_not_tried_again_for_an_hour(world: World) -> None:
    """By no process, however often it is asked; another portal's never again."""
    await look(world, world.planday())
    for _ in range(3):
        for token in (WRONG, OTHERS):
            checker = world.planday(token=token)
            assert (await checker.check("bistro")).problem
            await look(world, checker)
    assert world.asked()[TOKEN] == 3
    world.clock.advance(3601)
    await look(world, world.planday())
    renewed = world.asked()[TOKEN]
    await look(world, world.planday(token=WRONG))
    await look(world, world.planday(token=OTHERS))
    assert world.asked()[TOKEN] == renewed + 1


async def test_a_wrong_app_id_harms_nobody(world: World) -> None:
    """The stored token goes with its own App ID, whatever stands in a stale shell."""
    await look(world, world.planday())
    portals = {
        name: world.portal(name).model_copy(update={"client_id": Text("x", value="not-the-app")}) for name in NAMES
    }
    stale = world.planday(portals=portals)
    assert (await stale.check("bistro")).configured.word == "refused"
    await goes_on(world, stale, world.planday())


async def test_a_check_with_the_same_token_is_no_finding(world: World, rotating: bool) -> None:
    """Also when Planday has made others of it since."""
    await goes_on(world, world.planday())
    asked = world.asked()[TOKEN]
    check = await world.planday().check("bistro")
    assert (check.configured.word, check.problem, check.note) == ("in force", None, None)
    assert world.asked()[TOKEN] == asked + 1  # an hour had passed


async def test_a_token_that_cannot_be_tried_now_waits(world: World) -> None:
    """The identity server is away: the stored one serves, and a minute later the new one has its chance."""
    worker = world.planday()
    await look(world, worker)
    fresh = another_token(world)
    world.simulator.faults.add(Fault(TOKEN, "503"))
    newer = world.planday(token=fresh)
    await look(world, newer)
    status = await newer.status("bistro")
    assert (status.authorisation, status.configured.word) == ("ok", "untried")
    await look(world, newer)
    assert world.asked()[TOKEN] == 2
    world.clock.advance(60)
    await look(world, newer)
    assert (await newer.status("bistro")).configured.word == "in force"


async def test_a_token_that_buys_what_the_api_refuses_is_not_taken(world: World) -> None:
    """The identity server's word is not enough: the account behind a token may be switched off."""
    worker = world.planday()
    await look(world, worker)
    stale = world.planday(token=another_token(world))
    world.simulator.faults.add(Fault("/portal/*", "status", status=401, count=2))
    check = await stale.check("bistro")
    assert check.problem is not None
    assert "(401)" in check.problem
    await goes_on(world, worker, stale)


async def test_a_dead_authorisation_and_a_refused_token_are_lost(world: World) -> None:
    """As before; both reasons are told, and the stored one is tried again when an operator asks."""
    worker = world.planday()
    await look(world, worker)
    given = world.simulator.authorisation(BISTRO)
    world.simulator.identity.end(given, fate="refresh-fails")
    with pytest.raises(AuthorizationLost):
        await look(world, worker)
    stale = world.planday(token=WRONG)
    for _ in range(2):
        with pytest.raises(AuthorizationLost, match=r"needs a new token since .*; the one in this configuration"):
            await look(world, stale)
    assert asked_with(world).count("400") == 2
    status = await stale.status("bistro")
    assert (status.authorisation, status.configured.word) == ("lost", "refused")
    with pytest.raises(AuthorizationLost):
        await stale.check("bistro")
    given.fate = "active"
    check = await stale.check("bistro")
    assert check.configured.word == "refused"
    await goes_on(world, worker)


async def test_a_dead_authorisation_and_another_portals_token_say_so(world: World) -> None:
    """What a check says first is what the person at this prompt can mend."""
    worker = world.planday()
    await look(world, worker)
    world.simulator.identity.end(world.simulator.authorisation(BISTRO), fate="refresh-fails")
    with pytest.raises(AuthorizationLost):
        await look(world, worker)
    with pytest.raises(WrongPortal) as caught:
        await world.planday(token=OTHERS).check("bistro")
    assert MIXED_UP in str(caught.value)
    assert "Harbour" not in str(caught.value)


async def test_a_token_that_may_not_say_whose_it_is_replaces_none_that_works(world: World) -> None:
    """Two portals hold the same ids: without proof it has to wait until it is needed."""
    worker = world.planday()
    await look(world, worker)
    newer = world.planday(token=another_token(world))
    world.simulator.faults.add(Fault("/portal/*", "status", status=403, count=-1))
    await look(world, newer)
    assert (await newer.status("bistro")).configured.word == "refused"
    world.simulator.identity.end(world.simulator.authorisation(BISTRO), fate="refresh-fails")
    world.clock.advance(3601)
    with pytest.raises(AuthorizationLost):
        await look(world, newer)
    await look(world, newer)
    assert (await newer.status("bistro")).configured.word == "in force"


# A new token ---------------------------------------------------------------------------------------


@pytest.mark.usefixtures("rotating")
async def test_a_new_token_wins_for_both_and_stays(world: World) -> None:
    """Old and new configuration side by side, both tokens alive: one change, no flip-flop, restarts included."""
    old = world.planday()
    await look(world, old)
    fresh = another_token(world)
    new = world.planday(token=fresh)
    await look(world, new)
    record = await new.client("bistro").auth.state()
    asked = world.asked()[TOKEN]
    for _ in range(3):
        for planday in (old, new, world.planday(), world.planday(token=fresh)):
            await look(world, planday)
    assert world.asked()[TOKEN] == asked == 2
    assert (await new.client("bistro").auth.state()).configured == record.configured
    check = await world.planday().check("bistro")
    assert (check.configured.word, check.problem) == ("earlier", None)
    assert check.note is not None
    await goes_on(world, old, new, world.planday(), world.planday(token=fresh))
    assert {"200"} == set(asked_with(world))


@pytest.mark.usefixtures("rotating")
async def test_two_processes_that_bring_one_new_token_try_it_once(world: World) -> None:
    """Under the lock; the second one finds it in force."""
    await look(world, world.planday())
    fresh = another_token(world)
    await asyncio.gather(*(look(world, world.planday(token=fresh)) for _ in range(3)))
    assert world.asked()[TOKEN] == 2


async def test_when_the_newer_one_dies_an_earlier_one_that_works_takes_over(world: World) -> None:
    """A process that still has it in its configuration brings it back; the dead one stays out."""
    old = world.planday()
    await look(world, old)
    fresh = another_token(world)
    new = world.planday(token=fresh)
    await look(world, new)
    world.clock.advance(3600)
    await look(world, new)  # it has worked once more: the one before is not kept any longer
    identity = world.simulator.identity
    identity.end(identity.authorisations[-2], fate="refresh-fails")
    with pytest.raises(AuthorizationLost):
        await look(world, new)
    await look(world, old)
    await goes_on(world, old, new, world.planday(), world.planday(token=fresh))
    assert (await new.status("bistro")).configured.word == "refused"


@pytest.mark.usefixtures("rotating")
async def test_a_restart_with_the_stale_token_goes_on_with_the_stored_one(world: World) -> None:
    """The administrator authorised again and one host was forgotten: it starts all the same."""
    await look(world, world.planday())
    given = world.simulator.authorisation(BISTRO)
    fresh = world.simulator.identity.renew(given)
    await look(world, world.planday(token=fresh))
    await goes_on(world, world.planday(), world.planday(token=WRONG), world.planday())


@pytest.mark.usefixtures("rotating")
async def test_an_entered_token_is_not_undone_by_the_configuration_it_replaced(world: World) -> None:
    """`set-token` from a shell with other words in its environment, then a restart of the worker."""
    await look(world, world.planday())
    entered = another_token(world)
    await world.planday(token="yet another").set_token("bistro", entered)
    asked = world.asked()[TOKEN]
    worker = world.planday()
    await look(world, worker)
    assert world.asked()[TOKEN] == asked
    await goes_on(world, worker)


# Planday makes a new token at each use ---------------------------------------------------------------


async def test_a_candidate_that_rotates_survives_a_portal_that_does_not_answer(world: World) -> None:
    """It is used up by being tried, so its successor is kept, and tried next time."""
    await look(world, world.planday())
    world.simulator.settings.change({"rotate_refresh_tokens": True})
    fresh = another_token(world)
    world.simulator.faults.add(Fault("/portal/*", "503", count=3))
    newer = world.planday(token=fresh)
    await look(world, newer)
    assert (await newer.status("bistro")).configured.word == "untried"
    await look(world, world.planday(token=fresh))
    assert (await newer.status("bistro")).configured.word == "in force"
    assert "400" not in asked_with(world)


async def test_a_kept_successor_that_is_refused_gives_way_to_the_configured_token(world: World) -> None:
    """What an earlier try left behind goes first, and is not the last word."""
    await look(world, world.planday())
    fresh = another_token(world)
    newer = world.planday(token=fresh)
    fingerprint = newer.client("bistro").auth._candidate.fingerprint
    await world.shared.save_token(BISTRO, {f"pending:{fingerprint}": world.cipher.encrypt("no such token")})
    await look(world, newer)
    assert asked_with(world) == ["200", "400", "200"]
    assert (await newer.client("bistro").auth.state()).pending == {}


@pytest.mark.usefixtures("rotating")
async def test_an_entered_token_of_another_portal_costs_that_portal_nothing(world: World) -> None:
    """Refused here; what Planday made of it there is what the other portal goes on with."""
    worker = world.planday()
    await look(world, worker)
    await look(world, worker, portal=HARBOUR)
    with pytest.raises(WrongPortal, match=str(HARBOUR)):
        await worker.set_token("bistro", world.simulator.authorisation(HARBOUR).refresh_token)
    world.clock.advance(3600)
    await look(world, worker, portal=HARBOUR)
    await goes_on(world, worker)


async def test_a_mixed_up_first_start_loses_no_token(world: World) -> None:
    """Each portal has the other's token and Planday rotates: what became of a token goes to where it belongs."""
    world.simulator.settings.change({"rotate_refresh_tokens": True})
    tokens = {"bistro": OTHERS, "harbour": REFRESH_TOKENS[BISTRO]}
    mixed = world.planday(portals={name: world.portal(name, token=tokens[name]) for name in NAMES})
    with pytest.raises(AuthorizationLost, match="are mixed up"):
        await look(world, mixed)
    with pytest.raises(WrongPortal):
        await mixed.check("bistro")
    await look(world, mixed, portal=HARBOUR)
    await look(world, mixed)
    for name in NAMES:
        problem = (await mixed.check(name)).problem
        assert problem is not None
        assert "are mixed up" in problem
    right = world.planday()
    for number in NAMES.values():
        await look(world, right, portal=number)


async def test_the_one_before_is_kept_until_the_new_one_has_worked(world: World) -> None:
    """Planday hands out a successor that does not work: the one before is in force again, and nobody is told."""
    worker = world.planday()
    await look(world, worker)
    given = world.simulator.authorisation(BISTRO)
    record = await worker.client("bistro").auth.state()
    stored = {
        "previous": record.refresh,
        "previous_client": record.client,
        "previous_configured": record.configured,
        "refresh": world.cipher.encrypt("a successor that does not work"),
    }
    await world.shared.save_token(BISTRO, stored)
    world.clock.advance(3600)
    await look(world, worker)
    after = await worker.client("bistro").auth.state()
    assert world.cipher.decrypt(after.refresh) == given.refresh_token
    assert (after.previous, after.lost_since) == ("", None)


async def test_a_new_token_that_the_api_refuses_gives_way_to_the_one_before(world: World) -> None:
    """401 within its first hour: the caller comes again in a second and finds the old one in force."""
    worker = world.planday()
    await look(world, worker)
    fresh = another_token(world)
    await look(world, world.planday(token=fresh))
    identity = world.simulator.identity
    identity.end(identity.authorisations[-2], fate="refresh-fails")
    identity.expire()
    await look(world, worker)
    assert (await worker.status("bistro")).configured.word == "in force"
    assert (await world.planday(token=fresh).status("bistro")).configured.word == "refused"


# What is stored --------------------------------------------------------------------------------------


@pytest.mark.usefixtures("rotating")
async def test_no_token_that_was_tried_stands_in_redis(world: World) -> None:
    """Right or wrong, whole or as a part of a name: fingerprints and ciphertext only."""
    await look(world, world.planday())
    tokens = [WRONG, OTHERS, another_token(world)]
    world.simulator.faults.add(Fault("/portal/*", "503", count=1))
    for token in tokens:
        await look(world, world.planday(token=token))
    dump = await world.dump()
    live = [one.refresh_token for one in world.simulator.identity.authorisations.values()]
    for token in (*tokens, *live, *world.simulator.identity.access_tokens):
        assert token not in dump


async def test_few_wrong_tokens_are_remembered(world: World) -> None:
    """The record does not grow with every shell that was ever wrong."""
    await look(world, world.planday())
    for number in range(40):
        world.clock.advance(1)
        await look(world, world.planday(token=f"wrong-{number}"))
    assert len((await world.planday().client("bistro").auth.state()).seen) == 32
    asked = world.asked()[TOKEN]
    await look(world, world.planday(token="wrong-39"))
    assert world.asked()[TOKEN] == asked


@pytest.mark.parametrize("fault", [None, "503"])
async def test_a_process_without_the_key_takes_nothing_from_those_who_have_it(world: World, fault: str | None) -> None:
    """It cannot read what is stored, and its own token is used up: that is its trouble alone."""
    world.simulator.settings.change({"rotate_refresh_tokens": True})
    worker = world.planday()
    await look(world, worker)
    if fault:
        world.simulator.faults.add(Fault(TOKEN, fault))
    keyless = world.planday(cipher=FernetCipher([Fernet.generate_key()]))
    for _ in range(2):
        with pytest.raises(PlandayUnavailable if fault else AuthorizationLost, match=r"no key of ours|503|a moment"):
            await look(world, keyless)
    await goes_on(world, worker)


# What others are told --------------------------------------------------------------------------------


async def test_a_check_through_the_services_is_a_finding(world: World, redis_server: str) -> None:
    """`ok` is false and `error` says what to do; the states of all portals are read without the network."""
    loaded = settings(redis_server, world.prefix)
    async with web_over(loaded) as web:
        services = web.services
        assert await services.portal_states() == {"bistro": "untried"}
        await look(world, world.planday())
        services.errands.planday = world.planday()
        answer: Mapping[str, Any] = await services.errands.check_portal("bistro")
        assert (answer["ok"], "error" in answer, answer["note"]) == (True, False, None)
        services.errands.planday = world.planday(token=WRONG)
        answer = await services.errands.check_portal("bistro")
        assert answer["ok"] is False
        assert answer["error"].startswith("portal bistro: the token in this configuration does not work")
        assert WRONG not in json.dumps(answer)
        assert await services.portal_states() == {"bistro": "ok"}
        asked = len(world.calls)
        await world.shared.save_token(BISTRO, {"lost_since": "1.000", "lost_why": "dead"})
        assert await services.portal_states() == {"bistro": "lost"}
        assert len(world.calls) == asked
