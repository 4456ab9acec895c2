"""What a run costs is counted per portal, client and minute."""

import pytest

from relay.simulator.flavours import BISTRO, HARBOUR
from relay.simulator.identity import CLIENT_ID
from tests.integration.test_simulator import SHIFTS, in_process


async def test_requests_are_counted_per_minute_and_portal() -> None:
    """The busiest minute and the mean over all of them, in absolute numbers and in percent of the limit."""
    async with in_process() as planday:
        for _ in range(3):
            await planday.get(SHIFTS, limit=1)
        await planday.get("/portal/v1.0/info", portal=HARBOUR)
        planday.simulator.clock.advance(120)
        await planday.get("/portal/v1.0/info")
        planday.simulator.clock.advance(120)
        report = planday.simulator.budget.report()
        bistro = report["portals"][str(BISTRO)]
        assert report["minutes"] == 4
        assert (bistro["requests"], bistro["maxPerMinute"], bistro["meanPerMinute"]) == (4, 3, 1)
        assert (bistro["maxPercent"], bistro["meanPercent"]) == (0.4, 0.133)
        assert bistro["byEndpoint"] == {SHIFTS: 3, "/portal/v1.0/info": 1}
        assert report["portals"][str(HARBOUR)]["requests"] == 1
        assert report["clients"][CLIENT_ID]["requests"] == 5


@pytest.mark.parametrize("path", ["budget", "state"])
async def test_refusals_and_unexpected_requests_are_counted(path: str) -> None:
    """Refused by the buckets, or answered 429 for whatever reason; and what nobody documents, by kind."""
    async with in_process() as planday:
        await planday.get("/portal/v1.0/info")
        await planday.control("/faults", path="/portal/*", kind="429-reset")
        for _ in range(20):
            await planday.get("/portal/v1.0/info")
        planday.simulator.clock.advance(1)
        await planday.get(SHIFTS)
        answer = (await planday.http.get(f"/control/{path}")).json()
        budget = answer if path == "budget" else answer["budget"]
        assert budget["portals"][str(BISTRO)]["refused"] == 1
        assert (budget["status429"], budget["unexpected"]) == (2, 1)
        assert budget["oddities"] == {"missing limit": 1}


async def test_a_new_run_begins_at_nothing() -> None:
    """Cleared through the control endpoint, and by a reset."""
    async with in_process() as planday:
        await planday.get(SHIFTS)
        cleared = (await planday.http.request("DELETE", "/control/budget")).json()
        assert (cleared["portals"], cleared["requests"], cleared["unexpected"]) == ({}, 0, 0)
        await planday.get(SHIFTS)
        planday.simulator.reset()
        assert planday.simulator.budget.report()["portals"] == {}
