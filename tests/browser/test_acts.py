"""What an operator does all day, pressed in a real browser; every act once with scripts and once without."""

from __future__ import annotations

import pytest

from relay.simulator.flavours import BISTRO, HARBOUR
from tests.acceptance.harness import eventually
from tests.browser.page import Page
from tests.browser.world import World

SCRIPTS = pytest.mark.parametrize("javascript", [True, False], ids=["scripts", "no-scripts"])
IDA, OTHER = 910233, 910234


@SCRIPTS
async def test_from_dead_letter_to_delivered(world: World, javascript: bool) -> None:
    """A refused delivery is found under the dead ones, planned, confirmed with its number, and arrives."""
    subject = f"absence_request/{1000 + javascript}"
    world.answers["/ledger"] = 400
    event = await world.accepted(type_="planday.absence_request.approved", subject=subject)
    await world.has(event, "ledger", "dead")
    world.answers["/ledger"] = 202
    async with world.page("operator", javascript=javascript) as page:
        await page.open("/deliveries?state=dead&target=ledger")
        await page.says(subject, "tbody")
        await page.follow("plan a replay")
        await page.fill("Record", subject)
        await page.submit("Plan it")
        await page.says("It opens 1 item.")
        await page.fill("How many", "2")
        await page.submit("Start")
        await page.says("Nothing was started")
        await page.fill("How many", "1")
        await page.submit("Start")
        plan = await page.path
        await _comes_to_say(page, "1 of 1 item done", plan, javascript=javascript)
        await world.has(event, "ledger", "delivered")
        await page.open(f"/deliveries/{event}/ledger")
        await page.says("delivered", ".facts .state")
        await page.says("opened by plan_", ".facts")


@SCRIPTS
async def test_pauses_and_resumes_a_target(world: World, javascript: bool) -> None:
    """While it is paused nothing arrives and the page says who, why and what it means; then what waited goes out."""
    async with world.page("operator", javascript=javascript) as page:
        await page.open("/targets/till")
        await page.unfold("Pause")
        await page.fill("Reason", "the till is being moved")
        await page.submit("Pause it")
        await page.says("till is paused: what comes for it waits.", "[role=status]")
        await page.says("by user:operator-user: the till is being moved")
        event = await world.accepted(type_="planday.department.updated", subject=f"department/{2000 + javascript}")
        await world.has(event, "till", "waiting")
        await page.open(f"/events/{event}")
        await page.says("paused")
        await page.open("/targets/till")
        await page.submit("Resume")
        await page.says("till is sent to again", "[role=status]")
        await world.has(event, "till", "delivered")


@SCRIPTS
async def test_rotates_a_signing_secret(world: World, javascript: bool) -> None:
    """The new secret is shown once; both sign until it is finished, and the page says where it stands."""
    async with world.page("admin", javascript=javascript) as page:
        await page.open("/targets/locks")
        await page.unfold("Signing secret")
        await page.submit("Make a new one")
        secret = (await page.text("pre")).strip()
        assert secret.startswith("whsec_")
        await page.follow("Back to locks")
        assert secret not in await page.evaluate("document.documentElement.outerHTML")
        event = await world.accepted(type_="planday.position.created", subject=f"position/{3000 + javascript}")
        await world.has(event, "locks", "delivered")
        signatures = world.sink.by_event[event][-1].headers["webhook-signature"].split()
        assert len(signatures) == 2
        await eventually(lambda: _finished(page), within=20, what="every process has the new secret")
        event = await world.accepted(type_="planday.position.created", subject=f"position/{3002 + javascript}")
        await world.has(event, "locks", "delivered")
        assert len(world.sink.by_event[event][-1].headers["webhook-signature"].split()) == 1


@SCRIPTS
async def test_gives_a_portal_a_new_token(world: World, javascript: bool) -> None:
    """A portal whose authorisation was lost says so; a wrong token is refused; the right one works again."""
    await world.relay.control("POST", f"/portals/{HARBOUR}/authorisation/revoke", {"variant": "refresh-fails"})
    await world.relay.control("POST", "/tokens/expire")
    async with world.page("admin", javascript=javascript) as page:
        await page.open("/portals/harbour")
        await page.submit("Check it")
        await page.says("failed", ".card .state")
        await page.open("/portals/harbour")
        await page.unfold_if_folded("New token")
        await page.fill("Token", "no-such-token")
        await page.submit("Try and take it")
        await page.says("Not taken", "[role=status]")
        renewed = await world.relay.control("POST", f"/portals/{HARBOUR}/authorisation/reauthorise")
        await page.unfold_if_folded("New token")
        await page.fill("Token", renewed["refresh_token"])
        await page.submit("Try and take it")
        await page.says("harbour has a new token", "[role=status]")
        await page.submit("Check it")
        await page.says("Planday answers")
        assert renewed["refresh_token"] not in await page.evaluate("document.documentElement.outerHTML")


@SCRIPTS
async def test_filters_to_one_employees_events(world: World, javascript: bool) -> None:
    """The list holds what is about this employee and nothing else; the filter is in the address."""
    for employee in (IDA, OTHER):
        name = f"Ny {employee} {'ja' if javascript else 'nej'}"
        await world.relay.control("POST", f"/portals/{BISTRO}/employee/edit", {"id": employee, "lastName": name})
    await world.relay.control("POST", "/emitter/flush")
    await eventually(lambda: _routed(world, OTHER), within=20, what="both are routed")
    await eventually(lambda: _routed(world, IDA), within=20, what="both are routed")
    async with world.page("operator", javascript=javascript) as page:
        await page.open("/events")
        await page.fill("Employee id", str(IDA))
        await page.choose("Portal", "bistro")
        await page.submit("Show")
        assert f"employee={IDA}" in await page.evaluate("location.search")
        await page.says(f"employee/{IDA}", "#live")
        assert f"employee/{OTHER}" not in await page.text("#live")


async def test_the_list_of_events_lives(world: World) -> None:
    """An event that comes in while the list is open appears on top without a reload, and only where it fits."""
    async with world.page("operator") as page, world.page("operator") as other:
        await page.open("/events?type=planday.shift.*")
        await other.open("/events?type=planday.position.*")
        await page.until("document.querySelector('#live')['htmx-internal-data']?.sseEventSource?.readyState === 1")
        event = await world.accepted(type_="planday.shift.created", subject="shift/4000")
        await page.says("shift/4000", "#live > tr:first-child", within=5)
        await page.follow("planday.shift.created", "#live > tr:first-child a")
        assert await page.path == f"/events/{event}"
        assert "shift/4000" not in await other.text("#live")


async def test_the_overview_refreshes_by_itself(world: World) -> None:
    """What is paused while the overview is open stands there without a reload, with where to go."""
    async with world.page("operator") as page:
        await page.open("/")
        await world.relay.api("POST", "/targets/quiet/pause", {"reason": "for the overview"})
        await page.says("paused", "#now .headline", within=15)
        await world.relay.api("POST", "/targets/quiet/resume", {})


@SCRIPTS
async def test_a_viewer_sees_masks(world: World, javascript: bool) -> None:
    """A viewer sees that something changed, but neither names nor values, and has no buttons that act."""
    name = f"Sørine{'A' if javascript else 'B'}"
    await world.relay.control("POST", f"/portals/{BISTRO}/employee/edit", {"id": IDA, "lastName": name})
    await world.relay.control("POST", "/emitter/flush")
    await eventually(lambda: _routed(world, IDA), within=20, what="it is routed")
    found = await world.relay.api("GET", f"/events?portal={BISTRO}&subject=employee/{IDA}&limit=1")
    path = f"/events/{found['events'][0]['id']}"
    async with world.page("operator", javascript=javascript) as page:
        await page.open(path)
        await page.says(name)
    async with world.page("viewer", javascript=javascript) as page:
        await page.open(path)
        assert name not in await page.evaluate("document.documentElement.outerHTML")
        await page.says("Personal data are masked for viewers.")
        for other in ("/", "/targets/hooks", f"/deliveries/{found['events'][0]['id']}/hooks"):
            await page.open(other)
            assert await page.texts("main form[method=post]") == []
        await page.open("/audit", status=403)
        page.forgive("status of 403")


async def _finished(page: Page) -> bool:
    """Press Finish; it is refused, and says why, until every process signs with the new secret."""
    await page.unfold_if_folded("Signing secret")
    await page.submit("Finish")
    return "The rotation is finished" in await page.text("[role=status]")


async def _routed(world: World, employee: int) -> bool:
    """Whether the newest event of an employee is through routing."""
    found = await world.relay.api("GET", f"/events?portal={BISTRO}&subject=employee/{employee}&limit=1")
    return bool(found["events"]) and found["events"][0]["state"] == "routed"


async def _comes_to_say(page: Page, words: str, path: str, *, javascript: bool) -> None:
    """A page that moves by itself does so where scripts run; elsewhere a person loads it again."""
    if javascript:
        await page.says(words)
        return

    async def said() -> bool:
        await page.open(path)
        return words in await page.text()

    await eventually(said, within=15, what=words)
