"""The bare baselines: a Starlette route that does the same EVALSHA through the same client, and a loop of POSTs.

`python -m bench.bare PORT REDIS_URL PREFIX HOW` serves the route: it reads the body, checks nothing, and writes:
`single` with one EVALSHA a request, `joined` with the relay's own joining of concurrent ones.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from ipaddress import ip_network

import httpx
import pydantic_core
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from relay.events import Event, event_id
from relay.http import AddressPolicy, OutgoingTransport
from relay.jobs import Jobs
from relay.store.client import Scripts, connect
from relay.store.keys import Keys
from relay.store.store import ENTITY_LIFE, Store, ms


def app(url: str, prefix: str, how: str) -> Starlette:
    client = connect(url)
    keys = Keys(prefix)
    bell = Jobs(prefix, keys.queue).bell
    store = Store(client, keys, backlog_limit=10_000_000, bell=bell)
    scripts = Scripts(client)
    count = iter(range(10**9))

    async def take(request: Request) -> Response:
        await request.body()
        number = next(count)
        event = Event(
            id=event_id("bare", str(number)),
            source="bare",
            sender_id=str(number),
            type="planday.shift.updated",
            portal=1,
            entity="shift",
            entity_id=str(number % 500),
            received_at=time.time(),
            received={"filler": "x" * 800},
        )
        if how == "joined":
            await store.accept([event], now=time.time())
        else:
            rung = bell(time.time())
            head = (prefix, ms(time.time()), 10_000_000, ENTITY_LIFE, rung.id, rung.blob, 3_600_000, keys.queue)
            await scripts.call("accept", *head, event.id, event.lane, event.type, event.to_json())
        return Response(pydantic_core.to_json({"id": event.id}), 202, media_type="application/json")

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        yield
        await client.aclose()

    return Starlette(routes=[Route("/in/bench", take, methods=["POST"])], lifespan=lifespan)


async def post_loop(port: int, bodies: list[bytes], *, in_flight: int) -> float:
    """POSTs a second through our transport, with nothing around it."""
    policy = AddressPolicy(allow_networks=(ip_network("127.0.0.0/8"),), allow_http=True)
    url = httpx.URL(f"http://127.0.0.1:{port}/hook")
    waiting = iter(enumerate(bodies))
    async with OutgoingTransport(policy) as transport:

        async def one() -> None:
            for number, content in waiting:
                headers = {"webhook-id": f"bare-{number}", "content-type": "application/json"}
                await transport.send(httpx.Request("POST", url, headers=headers, content=content))

        began = time.perf_counter()
        await asyncio.gather(*(one() for _ in range(in_flight)))
        return len(bodies) / (time.perf_counter() - began)


if __name__ == "__main__":
    uvicorn.run(app(*sys.argv[2:5]), host="127.0.0.1", port=int(sys.argv[1]), log_level="error", access_log=False)
