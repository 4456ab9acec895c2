"""The connection's life: it dies in every way that Planday may choose, is noticed, renewed, and the gap is read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
import redis.asyncio

from relay import telemetry
from relay.consent import FEED_SCOPES, Consents, link, scopes
from relay.errors import AuthorizationLost, WrongPortal
from relay.events import EventRecord, EventState
from relay.simulator.flavours import BISTRO, HARBOUR
from relay.simulator.identity import PAYROLL_SCOPES, REFRESH_TOKENS
from relay.store.reading import Reading
from tests.integration.feed_line import FeedLine
from tests.integration.planday_world import World

SHIFT = 70010045
CALLBACK = "http://127.0.0.1:8000/connect/callback"
# How an authorisation may die: what the identity server answers, what the API answers, whether live tokens go at once.
DEATHS: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "refresh refused with 400, live tokens die": ("refresh-fails", {"revoke_kills_access": True}),
    "refresh refused with 401, live tokens die": (
        "refresh-fails",
        {"revoke_kills_access": True, "token_error_status": "401"},
    ),
    "refresh refused, live tokens live on": ("refresh-fails", {"revoke_kills_access": False}),
    "refresh works, the API answers 401": ("api-401", {}),
}


@pytest.fixture
def world(redis_client: redis.asyncio.Redis, prefix: str) -> World:
    return World(redis_client, prefix, scopes=PAYROLL_SCOPES)


@pytest.mark.parametrize("death", DEATHS)
async def test_a_dead_authorisation_is_told_once_and_the_gap_is_read(world: World, death: str) -> None:
    """Nothing of the gap is lost; the other portal goes on; an event says what happened and what to do."""
    fate, switches = DEATHS[death]
    line = FeedLine(world)
    await line.look()
    await line.work()
    world.simulator.settings.change(switches)
    identity = world.simulator.identity
    given = identity.authorisations[BISTRO]
    identity.end(given, fate=fate)  # type: ignore[arg-type]
    died = world.now()
    for minute in range(76):
        world.clock.advance(60)
        world.simulator.act(BISTRO, "shift", "approve" if minute % 2 else "unapprove", id=SHIFT)
        world.simulator.act(HARBOUR, "shift", "approve" if minute % 2 else "unapprove", id=SHIFT)
        await line.look()
        await line.work()
    revoked = [one for one in line.sent() if one["type"] == "planday.portal.authorization_revoked"]
    assert len(revoked) == 1
    (one,) = revoked
    assert one["data"]["object"]["name"] == "bistro"
    assert one["data"]["object"]["reason"]
    noticed = _noticed(line, died)
    # Live tokens that live on hide it until they are renewed, within their hour; else one interval of a feed.
    assert noticed <= (3600 if "live on" in death else 60)
    there = sum(one["portalid"] == str(HARBOUR) and one["subject"] == f"shift/{SHIFT}" for one in line.sent())
    assert there >= 70, "the other portal did not notice"
    before = [one for one in line.sent() if one["portalid"] == str(BISTRO) and one["subject"] == f"shift/{SHIFT}"]

    with pytest.raises(WrongPortal, match=str(HARBOUR)):
        await line.planday.set_token("bistro", REFRESH_TOKENS[HARBOUR])
    with pytest.raises(AuthorizationLost):
        await line.planday.set_token("bistro", "no-such-token-000000000")
    token = identity.renew(given)
    other = FeedLine(world)  # a command in a process of its own
    await other.planday.set_token("bistro", token)
    world.simulator.act(BISTRO, "shift", "delete", id=70010050)
    entered = world.now()
    for _ in range(3):
        world.clock.advance(20)
        await line.look()
        await line.work()
    told = [one["type"] for one in line.sent() if one["portalid"] == str(BISTRO)]
    assert "planday.shift.deleted" in told, "the gap was read again"
    assert told.count("planday.portal.authorization_restored") == 1
    assert told.count("planday.portal.authorization_revoked") == 1
    after = [one for one in line.sent() if one["portalid"] == str(BISTRO) and one["subject"] == f"shift/{SHIFT}"]
    assert len(after) == len(before) + 1, "what changed forty times in the gap is one change"
    assert world.now() - entered <= 65


def _noticed(line: FeedLine, died: float) -> float:
    told = [one for one in line.heard if isinstance(one, telemetry.FeedTrouble) and "new token" in one.reason]
    assert told, "the log says it too"
    received = [
        one
        for one in line.heard
        if isinstance(one, telemetry.EventReceived) and one.type == "planday.portal.authorization_revoked"
    ]
    assert received
    return (
        min(sending.now for sending in line.targets["hours"].sent if "revoked" in str(sending.envelope["type"])) - died
    )


async def test_each_loss_is_told_anew(world: World) -> None:
    """An authorisation that dies again minutes after it was renewed is a new incident, not the old one."""
    line = FeedLine(world)
    await line.look("bistro")
    await line.work()
    identity = world.simulator.identity
    given = identity.authorisations[BISTRO]
    for _ in range(3):
        identity.end(given, fate="refresh-fails")
        world.clock.advance(60)
        await line.look("bistro")
        await line.work()
        since = (await line.planday.status("bistro")).lost_since
        world.clock.advance(5)
        with pytest.raises(AuthorizationLost):
            await line.planday.check("bistro")  # asked once more, and dead since the same moment
        assert (await line.planday.status("bistro")).lost_since == since
        await line.planday.set_token("bistro", identity.renew(given))
        world.clock.advance(15)
        await line.look("bistro")
        await line.work()
    told = [one["type"].rpartition("_")[2] for one in line.sent() if one["subject"] == f"portal/{BISTRO}"]
    assert told == ["revoked", "restored"] * 3


async def test_events_of_senders_wait_for_the_token(world: World) -> None:
    """What is accepted while the authorisation is dead is kept, and goes on with the new token."""
    line = FeedLine(world)
    await line.look()
    identity = world.simulator.identity
    given = identity.authorisations[BISTRO]
    identity.end(given, fate="refresh-fails")
    world.clock.advance(60)
    change, _, _ = world.simulator.act(BISTRO, "shift", "approve", id=SHIFT)
    await line.send(change)
    await line.work()
    reading = Reading(world.redis, world.keys)
    (event,) = [row for row in await _records(reading, line) if row.event.type == "planday.shift.approved"]
    assert event.state is EventState.ACCEPTED
    await line.planday.set_token("bistro", identity.renew(given))
    world.clock.advance(70)
    await line.work()
    assert [one["type"] for one in line.sent() if one["subject"] == f"shift/{SHIFT}"] == ["planday.shift.approved"]


async def _records(reading: Reading, line: FeedLine) -> list[EventRecord]:
    names = await line.world.redis.zrange(line.world.keys.events, 0, -1)
    return [await reading.event(name.decode()) for name in names]


async def test_a_token_that_was_entered_wins_over_the_configured_one(world: World) -> None:
    """Also after a restart; a configured token that nobody has seen wins again (docs/planday.md)."""
    line = FeedLine(world)
    await line.look("bistro")
    identity = world.simulator.identity
    given = identity.authorisations[BISTRO]
    token = identity.renew(given)
    await line.planday.set_token("bistro", token)
    again = FeedLine(world)  # with the configuration as it was
    world.clock.advance(4000)
    await again.look("bistro")
    assert (await again.planday.status("bistro")).authorisation == "ok"
    assert not [one for one in again.heard if isinstance(one, telemetry.FeedTrouble)]


# The consent screen ------------------------------------------------------------------------------


async def test_a_consent_gives_a_token_to_every_process(world: World) -> None:
    """The link that is printed, Planday's screen, the way back, and the code for a token."""
    world.simulator.settings.change({"auto_consent": True, "consent_portal": BISTRO})
    consents = Consents(world.redis, world.keys)
    portal = world.portal("bistro").model_copy(update={"refresh_token": None, "feeds": ("shifts",)})
    planday = world.planday(portals={"bistro": portal})
    with pytest.raises(AuthorizationLost, match="relay portals connect bistro"):
        await planday.client("bistro").auth.access()
    state = await consents.begin("bistro", redirect_uri=CALLBACK)
    shown = link(portal, state=state, redirect_uri=CALLBACK)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(world.app), base_url="http://planday.test") as browser:
        back = await browser.get(shown)
    assert back.status_code == 302
    query = {name: values[0] for name, values in parse_qs(urlsplit(back.headers["location"]).query).items()}
    awaited = await consents.redeem(query["state"])
    assert awaited is not None
    assert awaited.portal == "bistro"
    assert await consents.redeem(query["state"]) is None, "a state works once"
    await planday.connect("bistro", query["code"], redirect_uri=awaited.redirect_uri)
    other = world.planday(portals={"bistro": portal})
    assert (await other.check("bistro")).portal_name
    with pytest.raises(AuthorizationLost):
        await planday.connect("bistro", query["code"], redirect_uri=awaited.redirect_uri)  # a code works once
    assert (await other.status("bistro")).authorisation == "ok", "and a second try changes nothing"
    assert world.unexpected() == []


async def test_a_consent_for_another_portal_is_refused(world: World) -> None:
    """The administrator signed in to the wrong portal: nothing is stored."""
    world.simulator.settings.change({"auto_consent": True, "consent_portal": HARBOUR})
    portal = world.portal("bistro").model_copy(update={"refresh_token": None})
    planday = world.planday(portals={"bistro": portal})
    async with httpx.AsyncClient(transport=httpx.ASGITransport(world.app), base_url="http://planday.test") as browser:
        back = await browser.get(link(portal, state="x" * 20, redirect_uri=CALLBACK))
    code = parse_qs(urlsplit(back.headers["location"]).query)["code"][0]
    with pytest.raises(WrongPortal, match=str(HARBOUR)):
        await planday.connect("bistro", code, redirect_uri=CALLBACK)
    assert (await planday.status("bistro")).authorisation == "untried"


async def test_neither_state_nor_code_is_found_in_the_store(world: World) -> None:
    """A state is kept by its hash."""
    state = await Consents(world.redis, world.keys).begin("bistro", redirect_uri=CALLBACK)
    assert state not in await world.dump()


def test_a_link_asks_for_what_the_feeds_need() -> None:
    """Scopes cannot be added later, so that all of them are asked for at once, each once."""
    for feed, needed in FEED_SCOPES.items():
        assert set(needed) <= set(scopes((feed,)))
    assert "payroll:read" not in scopes(("shifts", "punchclock"))
    assert {"punchclockshift:read", "absence:read"} <= set(scopes(()))
    assert len(scopes(tuple(FEED_SCOPES))) == len(set(scopes(tuple(FEED_SCOPES))))


# The check ---------------------------------------------------------------------------------------


async def test_a_check_names_departments_that_are_in_no_list(world: World) -> None:
    """People or shifts of a department that the administrator does not see: a note, not a failure."""
    planday = world.planday()
    assert (await planday.check("bistro")).unseen == ()
    departments = world.simulator.portals[BISTRO].departments
    hidden = max(departments)
    departments[hidden]["isDeleted"] = True
    check = await planday.check("bistro")
    assert check.unseen == (hidden,)
    assert check.problem is None
    assert check.note is not None
    assert str(hidden) in check.note
    assert (await planday.check("harbour")).note is None


@pytest.mark.parametrize("there", [True, False])
async def test_a_check_probes_payroll_where_a_feed_reads_it(redis_client: Any, prefix: str, there: bool) -> None:
    """One day of one department; without that feed payroll is not asked for."""
    world = World(redis_client, prefix, **({"scopes": PAYROLL_SCOPES} if there else {}))
    feeding = {"bistro": world.portal("bistro").model_copy(update={"feeds": ("payroll",)})}
    check = await world.planday(portals=feeding).check("bistro")
    assert check.scopes["payroll:read"] == ("ok" if there else "missing")
    assert "payroll:read" not in (await world.planday().check("harbour")).scopes
    assert world.unexpected() == []


@pytest.mark.parametrize("feeds", [(), ("shifts",), ("employees", "payroll"), ("reference",)])
async def test_a_connected_portal_passes_its_check(world: World, feeds: tuple[str, ...]) -> None:
    """The link asks for all that the check demands, whatever the feeds."""
    world.simulator.settings.change({"auto_consent": True, "consent_portal": BISTRO})
    portal = world.portal("bistro").model_copy(update={"refresh_token": None, "feeds": feeds})
    planday = world.planday(portals={"bistro": portal})
    async with httpx.AsyncClient(transport=httpx.ASGITransport(world.app), base_url="http://planday.test") as browser:
        back = await browser.get(link(portal, state="x" * 20, redirect_uri=CALLBACK))
    code = parse_qs(urlsplit(back.headers["location"]).query)["code"][0]
    await planday.connect("bistro", code, redirect_uri=CALLBACK)
    check = await planday.check("bistro")
    assert check.missing == ()
    assert (check.note is None) == (feeds == ())
