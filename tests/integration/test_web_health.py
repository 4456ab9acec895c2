"""What machines see of the portals: the state of each authorisation, and nothing else about it."""

from __future__ import annotations

import time

from tests.integration.web_world import PORTAL, settings, web_over

WHY = "the identity server refuses the token (400)"


async def test_a_lost_authorisation_is_seen(redis_server: str, prefix: str) -> None:
    """In /readyz, without being a reason for a 503, and as a gauge; before the first use there is no gauge."""
    async with web_over(settings(redis_server, prefix)) as web:
        gauge = 'planday_relay_portal_authorised{portal="bistro"}'
        ready = await web.client.get("/readyz")
        assert (ready.status_code, ready.json()["portals"]) == (200, {"bistro": "untried"})
        assert gauge not in (await web.client.get("/metrics")).text
        changes = {"refresh": "x", "confirmed": "1"}
        await web.services.shared.save_token(PORTAL, changes)
        assert (await web.client.get("/readyz")).json()["portals"] == {"bistro": "ok"}
        assert f"{gauge} 1.0" in (await web.client.get("/metrics")).text.splitlines()
        await web.services.shared.save_token(PORTAL, {"lost_since": f"{time.time():.3f}", "lost_why": WHY})
        ready = await web.client.get("/readyz")
        assert (ready.status_code, ready.json()["portals"]) == (200, {"bistro": "lost"})
        assert WHY not in ready.text
        assert f"{gauge} 0.0" in (await web.client.get("/metrics")).text.splitlines()


async def test_what_is_left_and_who_spends_is_seen(redis_server: str, prefix: str) -> None:
    """Per portal and window, and by what for; the counts are those of all processes."""
    async with web_over(settings(redis_server, prefix)) as web:
        shared, now = web.services.shared, web.services.clock()
        for purpose in ("live", "feed", "feed"):
            wait = await shared.reserve(
                portal=f"portal:{PORTAL}",
                client="client:x",
                now=now,
                spare=0.0,
                purpose=purpose,
                portal_policy="1=10,60=750",
                client_policy="1=100,60=2000",
            )
            assert wait == 0
        lines = (await web.client.get("/metrics")).text.splitlines()
        assert 'planday_relay_planday_budget_left{portal="bistro",window="60"} 747.0' in lines
        assert 'planday_relay_planday_calls_recent{portal="bistro",purpose="feed"} 2.0' in lines
        assert 'planday_relay_planday_calls_recent{portal="bistro",purpose="live"} 1.0' in lines
