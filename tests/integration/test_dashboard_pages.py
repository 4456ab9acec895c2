"""The dashboard's pages over a real store: each shows what is there, also what is hostile, and its forms act."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from relay.events import DeliveryState, event_id
from relay.services import PlanRequest
from relay.web.masking import MASK, masked_envelope
from tests.integration.dashboard_world import ENVELOPE, HOSTILE, Dashboard, dashboard_over, elements, settings, text_of
from tests.integration.web_world import PORTAL, thin

PAGES = (
    *("/", "/?span=24h", "/?span=7d", "/events", "/deliveries", "/replay", "/report", "/report?target=hours"),
    *("/targets", "/targets/hours", "/targets/pay", "/portals", "/portals/bistro", "/quarantine", "/audit"),
    *("/catalog", "/catalog/planday.shift.updated", "/settings"),
)


@pytest.fixture
async def dashboard(redis_server: str, prefix: str) -> AsyncIterator[Dashboard]:
    async with dashboard_over(settings(redis_server, prefix)) as opened:
        yield opened


async def _filled(dashboard: Dashboard) -> dict[str, str]:
    """Every state there is, with hostile words wherever a stranger's words are kept; the pages that show it."""
    found = {}
    for number, state in enumerate(DeliveryState, 1):
        if state is not DeliveryState.SENDING:
            found[state.value] = await dashboard.delivery("hours", state, number)
    pending = await dashboard.accepted(90, type="x.unknown", data={"note": HOSTILE})
    await dashboard.send(b"{not json " + HOSTILE.encode())
    await dashboard.services.desk.pause("slack", by="cli:anna", reason=HOSTILE)
    plan = await dashboard.services.replays.plan(PlanRequest(states=("dead",), by="cli:anna", reason=HOSTILE))
    pages = {name: f"/deliveries/{event}/hours" for name, event in found.items()}
    pages |= {f"event {name}": f"/events/{event}" for name, event in found.items()}
    quarantined = (await dashboard.quarantined())[0].id
    return {
        **pages,
        "pending": f"/events/{pending}",
        "plan": f"/replay/{plan['id']}",
        "q": f"/quarantine/{quarantined}",
    }


@pytest.mark.parametrize("role", ["viewer", "admin"])
async def test_every_page_is_whole_when_empty_and_when_full(dashboard: Dashboard, role: str) -> None:
    """One heading, a label for every field, text beside every picture, nothing inline, hostile words as text."""
    browser = await dashboard.signed_in(role)
    for path in PAGES:
        if role == "viewer" and path in ("/audit", "/settings"):
            continue
        _whole(await browser.get(path), path)
    more = await _filled(dashboard)
    for path in (*PAGES, *more.values()):
        if role == "viewer" and (path in ("/audit", "/settings") or path == more["q"]):
            continue
        _whole(await browser.get(path), path)


def _whole(page: str, path: str) -> None:
    assert len(elements(page, "h1")) == 1, path
    assert elements(page, "html") == [{"lang": "en"}], path
    assert HOSTILE not in page, path
    assert "alert(1)</script>" not in page, path
    assert all("alt" in one for one in elements(page, "img")), path
    assert all(one.get("src", "").startswith("/static/") for one in elements(page, "script")), path
    assert not elements(page, "style"), path
    ids = [
        value
        for tag in ("input", "select", "h1", "tbody", "div", "main", "span", "p")
        for one in elements(page, tag)
        if (value := one.get("id"))
    ]
    assert len(ids) == len(set(ids)), (path, ids)
    labels = {one.get("for") for one in elements(page, "label")}
    for tag in ("input", "select", "textarea"):
        for one in elements(page, tag):
            inside = one.get("type") in ("hidden", "checkbox", "radio")
            assert inside or one.get("id") in labels, (path, one)
    for tag in ("a", "link", "img", "form", "script"):
        for one in elements(page, tag):
            address = one.get("href") or one.get("src") or one.get("action") or "/"
            assert address.startswith(("/", "#")), (path, address)
            assert "onclick" not in one
            assert "style" not in one
    for svg in elements(page, "svg"):
        assert svg["role"] == "img"
        assert svg["aria-label"]


async def test_the_overview_says_first_what_is_wrong(dashboard: Dashboard) -> None:
    """No worker at all; then, with one, what failed and where to go; and that all is well once it is."""
    browser = await dashboard.signed_in("viewer")
    assert "No worker is running" in text_of(await browser.get("/"))
    await dashboard.services.store.heartbeat(now=dashboard.services.clock(), life=600, worker="w")
    assert "Nothing has come in yet" in text_of(await browser.get("/"))
    await dashboard.delivery("hours", DeliveryState.DELIVERED, 1)
    assert "✓ Everything delivered" in text_of(await browser.get("/"))
    await dashboard.delivery("hours", DeliveryState.DEAD, 2)
    page = await browser.get("/")
    assert "! 1 delivery to hours given up" in text_of(page)
    assert "/deliveries?state=dead&amp;target=hours" in page


async def test_events_are_found_by_what_is_known_of_them(dashboard: Dashboard) -> None:
    """By type, record, employee and id; the filter stays in the form and in the address of the next page."""
    await dashboard.accepted(1)
    await dashboard.accepted(2, type="planday.shift.approved")
    await dashboard.routed("hours")
    browser = await dashboard.signed_in("viewer")
    assert ">planday.shift.approved<" not in await browser.get("/events?type=*.updated&portal=&state=&since=")
    page = await browser.get("/events?subject=shift/2")
    assert ">planday.shift.approved<" in page
    assert ">shift/1<" not in page
    page = await browser.get("/events?employee=505&portal=bistro&limit=1")
    assert page.count('<td><a href="/events/evt_') == 1
    older = next(one["href"] for one in elements(page, "a") if "cursor=" in one["href"])
    assert "employee=505" in older
    assert (await browser.get(older)).count('<td><a href="/events/evt_') == 1
    assert "No event fits" in await browser.get("/events?employee=404&portal=bistro")
    event = await dashboard.accepted(3)
    assert event in await browser.get(f"/events?find={event}")
    await browser.get("/events?find=x", status=409)
    await browser.get("/events?colour=red", status=400)
    await browser.get("/events/evt_nothing", status=404)


async def test_an_event_tells_its_whole_life(dashboard: Dashboard) -> None:
    """From coming in to the attempt that failed, with what changed and the reasons."""
    event = await dashboard.delivery("hours", DeliveryState.DEAD)
    browser = await dashboard.signed_in("operator")
    told = text_of(await browser.get(f"/events/{event}"))
    for words in (
        "Received from planday, signature checked",
        "Enriched from Planday: complete",
        "Routed to hours",
        "hours: attempt 1 rejected in 0.20 s (HTTP 500)",
        "hours: given up: HTTP 500",
        "comment",
        "old-canary",
        "Sørine-Canary",
    ):
        assert words in told


async def test_a_viewer_sees_where_things_are_and_nobodys_data(dashboard: Dashboard) -> None:
    """Names, contact data, free text and what the far side answered are masked; ids and states are not."""
    event = await dashboard.delivery("hours", DeliveryState.DEAD)
    await dashboard.send(thin(77, id="s77", data={"note": "sender-canary"}))
    raw = event_id("planday", "s77")
    browser = await dashboard.signed_in("viewer")
    shown = ""
    for path in (f"/events/{event}", f"/deliveries/{event}/hours", "/events", f"/events/{raw}"):
        shown += text_of(await browser.get(path))
    for canary in ("Sørine", "12345678", "old-canary", "answer-canary", "sender-canary"):
        assert canary not in shown
    assert "***" in shown
    assert "505" in shown
    operator = await dashboard.signed_in("operator")
    assert "sender-canary" in await operator.get(f"/events/{raw}")


async def test_a_dead_delivery_is_sent_again_and_a_parked_one_decided(dashboard: Dashboard) -> None:
    """By plain forms; the page says what came of it, and the audit who did it and why."""
    dead = await dashboard.delivery("hours", DeliveryState.DEAD, 1)
    parked = await dashboard.delivery("slack", DeliveryState.PARKED, 2)
    held = await dashboard.delivery("slack", DeliveryState.PARKED, 3)
    browser = await dashboard.signed_in("operator")
    await browser.get(f"/deliveries/{dead}/hours")
    assert "goes to hours again now" in await browser.post(f"/deliveries/{dead}/hours/retry", {"reason": "mended"})
    assert "waiting" in text_of(browser.page)
    await browser.get(f"/deliveries/{parked}/slack")
    assert "say why" in (await browser.post(f"/deliveries/{parked}/slack/release", {"reason": " "})).lower()
    assert "Released" in await browser.post(f"/deliveries/{parked}/slack/release", {"reason": "not there"})
    assert "Cancelled" in await browser.post(f"/deliveries/{held}/slack/cancel", {"reason": "it has it"})
    page = await dashboard.services.keeping.audit.list(limit=10, act="deliveries")
    assert [(one.act, one.by, one.reason) for one in page.rows] == [
        ("deliveries.cancel", "user:operator-user", "it has it"),
        ("deliveries.release", "user:operator-user", "not there"),
        ("deliveries.retry", "user:operator-user", "mended"),
    ]
    assert "user:operator-user" in await browser.get("/audit?act=deliveries")


async def test_a_target_is_paused_and_resumed(dashboard: Dashboard) -> None:
    """With a reason, which everybody sees."""
    browser = await dashboard.signed_in("operator")
    await browser.get("/targets/hours")
    assert "is paused" in await browser.post("/targets/hours/pause", {"reason": "month end"})
    assert "month end" in await browser.get("/")
    await browser.get("/targets/hours")
    assert "is sent to again" in await browser.post("/targets/hours/resume")


async def test_a_replay_is_planned_looked_at_and_started_by_its_number(dashboard: Dashboard) -> None:
    """Nothing runs before the number of items is typed; a plan that makes no sense is explained beside the form."""
    await dashboard.delivery("hours", DeliveryState.DEAD)
    browser = await dashboard.signed_in("operator")
    await browser.get("/replay?target=hours")
    assert "name at least one state" in text_of(await browser.post("/replay", {"target": "hours"}, status=409))
    page = await browser.post("/replay", {"target": "hours", "state": ["dead"], "reason": "mended"})
    assert "It opens 1 item" in text_of(page)
    plan = (await dashboard.services.replays.newest(limit=1))[0]
    assert (plan["by"], plan["state"]) == ("user:operator-user", "planned")
    assert "type how many" in await browser.post(f"/replay/{plan['id']}/run", {"total": "7"})
    assert "It runs" in await browser.post(f"/replay/{plan['id']}/run", {"total": "1", "rate": "5"})
    assert "Paused" in await browser.post(f"/replay/{plan['id']}/pause", {"reason": "wait"})
    assert "It goes on" in await browser.post(f"/replay/{plan['id']}/resume")
    assert "Cancelled" in await browser.post(f"/replay/{plan['id']}/cancel")


async def test_the_clerk_gets_an_answer_and_the_list_behind_it(dashboard: Dashboard) -> None:
    """A sentence, numbers that lead to their lists, and the same as CSV."""
    await dashboard.delivery("hours", DeliveryState.DELIVERED, 1)
    await dashboard.delivery("hours", DeliveryState.DEAD, 2)
    browser = await dashboard.signed_in("viewer")
    told = text_of(await browser.get("/report?target=hours&from=yesterday&to=today&zone=UTC&type="))
    assert "Not everything got there: 1 of 2; 1 given up." in told
    page = await browser.get("/report?target=hours&from=yesterday&to=today&zone=UTC&list=dead")
    assert "shift/2" in page
    answer = await browser.client.get("/report.csv?target=hours&from=yesterday&to=today&zone=UTC&list=dead")
    assert answer.headers["content-type"].startswith("text/csv")
    assert "attachment" in answer.headers["content-disposition"]
    assert answer.text.count("\r\n") == 2
    await browser.get("/report?target=hours&from=never", status=409)


async def test_what_only_a_worker_can_do_says_so_without_one(dashboard: Dashboard) -> None:
    """Test, preview, check and token: back to the page with the reason."""
    browser = await dashboard.signed_in("admin")
    for page, act in (
        ("/targets/hours", "/targets/hours/test"),
        ("/portals/bistro", "/portals/bistro/check"),
        ("/portals/bistro", "/portals/bistro/token"),
    ):
        await browser.get(page)
        assert "no worker is running" in (await browser.post(act, {"token": "abc"})).lower()
    assert "looks at shifts" in await browser.post("/portals/bistro/look")


async def test_what_could_not_be_read_is_read_again_or_dropped(dashboard: Dashboard) -> None:
    """As the quarantine's own rules say; a drop needs a reason."""
    await dashboard.send(b"{not json")
    browser = await dashboard.signed_in("operator")
    (kept,) = await dashboard.quarantined()
    await browser.get(f"/quarantine/{kept.id}")
    assert "Still not readable" in await browser.post(f"/quarantine/{kept.id}/retry")
    assert "needs a reason" in await browser.post(f"/quarantine/{kept.id}/drop", {"reason": ""})
    assert "Dropped" in await browser.post(f"/quarantine/{kept.id}/drop", {"reason": "junk"})
    assert not await dashboard.quarantined()


async def test_the_masks_know_every_part_of_an_envelope() -> None:
    """What a mask does not know it hides."""
    shown = masked_envelope({**ENVELOPE, "shoutword": "x", "data": {**ENVELOPE["data"], "novel": {"a": 1}}})
    assert shown["data"]["related"]["employee"] == {"id": 505, "firstName": MASK, "cellPhone": MASK}
    assert shown["data"]["object"]["status"] == "Open"
    assert shown["data"]["object"]["comment"] == MASK
    assert shown["data"]["changes"]["before"] == {"comment": MASK}
    assert (shown["shoutword"], shown["data"]["novel"]) == (MASK, MASK)
    assert shown["portalid"] == str(PORTAL)
