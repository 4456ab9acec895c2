"""How long the pages take, the dashboard's and the API's, over a history of a million events."""

from __future__ import annotations

import statistics
import time
from pathlib import Path

import httpx

from bench.history import DAYS, PERSON, RARE, SUBJECT, fill_history
from bench.rows import Row, at_most
from bench.sink import Sink
from bench.stage import ADMIN_TOKEN, PORTAL, Stage, target

MANY = 1_000_000
_LIMIT_MS = 50
_GOES = 15
_WARM = 2
_FILTERS = (
    "",
    "limit=200",
    "state=routed",
    "state=unrouted",
    "type=planday.shift.updated",
    "type=planday.shift.*",
    f"type={RARE}",
    f"portal={PORTAL}",
    f"portal={PORTAL}&employee={PERSON}",
    f"portal={PORTAL}&employee={PERSON}&type={RARE}",
    f"portal={PORTAL}&subject={SUBJECT}",
    "target=ops",
    "target=ops&state=unrouted",
    f"since={DAYS}d&until={DAYS - 1}d",
)
_DELIVERIES = (
    "",
    "state=waiting",
    "state=dead",
    "state=parked",
    "target=hours&state=delivered",
    "target=ops&state=dead",
    f"target=ops&type={RARE}",
    f"since={DAYS}d&until={DAYS - 1}d",
)
# Every list, and every page that counts.
_PAGES = (
    *(f"/events?{one}" for one in _FILTERS),
    *(f"/deliveries?{one}" for one in _DELIVERIES),
    *("/", "/?span=24h", "/?span=7d", "/targets", "/targets/hours", "/portals", "/portals/bistro", "/replay"),
    *("/quarantine", "/audit", "/catalog", "/settings"),
)
_API = (
    *(f"/api/v1/events?{one}" for one in _FILTERS if "employee" not in one),
    *(f"/api/v1/deliveries?{one}" for one in _DELIVERIES),
    *("/api/v1/stats", "/api/v1/replay/plans", "/api/v1/quarantine", "/api/v1/audit"),
)


async def run(folder: Path, *, quick: bool) -> list[Row]:
    """Every page in turn over one kept connection: the middle of so many goes, and the next page fifty times."""
    count = 20_000 if quick else MANY
    targets = {"hours": target("http://127.0.0.1:9/hours"), "ops": target("http://127.0.0.1:9/ops")}
    async with Sink() as sink, Stage(folder / "pages", sink, targets=targets, simulated=True) as stage:
        began = time.perf_counter()
        await fill_history(stage.redis, stage.keys, stage.store, count)
        filled = time.perf_counter() - began
        await stage.quiet()
        await stage.start_web()
        base = f"http://127.0.0.1:{stage.web_port}"
        async with httpx.AsyncClient(base_url=base, trust_env=False, timeout=60) as client:
            await _sign_in(client, base)
            rows = [await _page(client, path) for path in _PAGES]
            rows.append(await _event(client))
            rows.append(await _in_a_row(client, "/events", "next page of the dashboard's list"))
        bearer = {"authorization": f"Bearer {ADMIN_TOKEN}"}
        async with httpx.AsyncClient(base_url=base, trust_env=False, timeout=60, headers=bearer) as client:
            rows += [await _page(client, path) for path in _API]
            rows.append(await _in_a_row(client, "/api/v1/events", "next page of the API's list"))
        held = int((await stage.redis.info("memory"))["used_memory"])
        kept = int(await stage.redis.zcard(stage.keys.events))
    worst = max(rows, key=lambda row: row.reached)
    return [
        Row(f"filled with {kept:,} events of {DAYS} days", filled, "s"),
        Row("  Redis holds", held / 2**30, "GiB"),
        at_most(f"pages at {kept:,} events, slowest ({worst.what.strip()})", worst.reached, "ms", _LIMIT_MS),
        *rows,
    ]


async def _sign_in(client: httpx.AsyncClient, base: str) -> None:
    form = {"name": "admin", "password": ADMIN_TOKEN, "next": "/"}
    answer = await client.post("/sign-in", data=form, headers={"origin": base})
    if answer.status_code != 303:
        raise RuntimeError(f"nobody could sign in: {answer.status_code}")


async def _page(client: httpx.AsyncClient, path: str) -> Row:
    times = [await _time(client, path) for _ in range(_WARM + _GOES)][_WARM:]
    return at_most(f"  {path.rstrip('?')}", statistics.median(times), "ms", _LIMIT_MS)


async def _event(client: httpx.AsyncClient) -> Row:
    """One event's page, of the newest."""
    listed = (await client.get("/events")).text
    _, _, rest = listed.partition('href="/events/evt_')
    return await _page(client, f"/events/evt_{rest[:32]}")


async def _in_a_row(client: httpx.AsyncClient, path: str, what: str) -> Row:
    """The slowest of fifty pages, each the next of the one before."""
    found, times, cursor = "cursor", [], ""
    for _ in range(50):
        params = {"cursor": cursor} if cursor else {}
        began = time.perf_counter()
        answer = await client.get(path, params=params)
        times.append((time.perf_counter() - began) * 1000)
        answer.raise_for_status()
        if answer.headers["content-type"].startswith("application/json"):
            cursor = str(answer.json()[found])
        else:
            _, _, rest = answer.text.partition(f"{path}?{found}=")
            cursor = httpx.QueryParams(f"{found}={rest.partition(chr(34))[0]}")[found]
    return at_most(f"  {what}, fifty times in a row, slowest", max(times), "ms", _LIMIT_MS)


async def _time(client: httpx.AsyncClient, path: str) -> float:
    """Milliseconds from asking to the last byte."""
    began = time.perf_counter()
    answer = await client.get(path)
    spent = (time.perf_counter() - began) * 1000
    if answer.status_code != 200:
        raise RuntimeError(f"{path}: {answer.status_code} {answer.text[:300]}")
    return spent
