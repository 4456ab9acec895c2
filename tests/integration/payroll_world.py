"""A portal whose shifts are worked, approved and corrected, two pay offices that book its lines, and the relay between.

The pay offices are the simulator's, on a real port: one adds up differences in CSV, the other keeps whole lines.
"""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

import httpx
import redis.asyncio

from relay.events import DeliveryState
from relay.messages import Messages
from relay.pipeline import Pipeline
from relay.routing import Router
from relay.settings import Portal, load_mapping
from relay.simulator.flavours import BISTRO
from relay.simulator.identity import CLIENT_ID, PAYROLL_SCOPES, REFRESH_TOKENS
from relay.simulator.pay_office import PAY_CLIENT, PAY_SECRET, PAY_TOKEN
from relay.store.ledger import Ledger
from relay.store.reading import DeliveryFilter, DeliveryRow, Reading
from relay.store.work import Lane
from relay.targets import Target, build_all
from tests.integration.feed_line import FeedLine
from tests.integration.planday_world import World

FIELDS = ("class:A", "class:B", "class:E")
ENVIRON = {"PAY_TOKEN": PAY_TOKEN, "PAY_SECRET": PAY_SECRET}
PEOPLE = (910233, 910234, 910236, 910237)
_MAP: Mapping[str, Any] = {
    "key": {"from": "line.key"},
    "employee": {"from": "data.object.employeeId"},
    "code": {"from": "data.object.salaryCode", "default": "none"},
    "date": {"from": "data.object.start", "convert": "date", "format": "%d-%m-%Y"},
    "amount": {"from": "data.object.salary", "convert": "decimal", "places": 2},
    "kind": {"from": "line.kind"},
    "corrects": {"from": "line.correction_of", "required": False},
}


def targets(url: str) -> dict[str, Any]:
    """The two pay offices as they would be configured."""
    common = {
        "type": "payroll-http",
        "events": ["planday.payroll_line.*"],
        "fields": list(FIELDS),
        "map": dict(_MAP),
        "amounts": ["amount"],
        "allow_http": True,
        "allow_networks": ["127.0.0.0/8"],
        "retry": {"timeout": "2s"},
    }
    return {
        "adding": {
            **common,
            "url": f"{url}/paylines/add/month",
            "corrections": "delta",
            "body": {"format": "csv", "comma": True, "encoding": "iso-8859-1"},
            "auth": {
                "type": "oauth2",
                "token_url": f"{url}/paylines/token",
                "client_id": PAY_CLIENT,
                "client_secret": "env:PAY_SECRET",
            },
        },
        "keeping": {
            **common,
            "url": f"{url}/paylines/replace/month",
            "method": "PUT",
            "body": {"list": "batch.lines"},
            "auth": {"type": "bearer", "token": "env:PAY_TOKEN"},
        },
    }


class PayWorld(World):
    """A portal whose feed tells of the last two months when it first looks."""

    def __init__(self, client: redis.asyncio.Redis, prefix: str) -> None:
        super().__init__(client, prefix, scopes=PAYROLL_SCOPES)
        self.generous()
        self.ledger = Ledger(client, self.keys, cipher=self.cipher)
        self.reading = Reading(client, self.keys)

    def portal(self, name: str = "bistro", *, token: str | None = None) -> Portal:
        return super().portal(name, token=token).model_copy(update={"backfill": 62 * 86400.0})


class PayLine(FeedLine):
    """One process: the payroll feed and both targets."""

    def __init__(self, world: PayWorld, url: str) -> None:
        super().__init__(world, feeds=("payroll",), hours={"fields": list(FIELDS)})
        self.settings = load_mapping({"targets": targets(url)}, environ=ENVIRON)
        self.real: dict[str, Target] = build_all(self.settings.targets, messages=Messages(), ledger=world.ledger)
        lanes = tuple(
            Lane(target=name, concurrency=4, per_second=None, burst=1, limiter=name, dedupes=target.dedupes)
            for name, target in self.real.items()
        )
        line = replace(self.pipeline._line, router=Router(self.settings.targets), targets=self.real, lanes=lanes)
        self.pipeline = Pipeline(self.store, line, self.outside)

    async def aclose(self) -> None:
        for target in self.real.values():
            await target.aclose()


class Month:
    """What happens to the shifts of one month, by chance."""

    def __init__(self, world: PayWorld, *, seed: int) -> None:
        self._world = world
        self._chance = random.Random(seed)
        self._shifts: list[int] = []
        self.done: Counter[str] = Counter()

    def happen(self, times: int) -> None:
        """So many things, at this moment of the portal's clock."""
        for _ in range(times):
            self._one()

    def _one(self) -> None:
        draw = self._chance
        action = draw.choices(
            ("create", "approve", "edit", "assign", "unapprove", "delete"), weights=(30, 32, 16, 6, 10, 6)
        )[0]
        if action == "create" or not self._shifts:
            self._create()
            return
        shift = draw.choice(self._shifts)
        fields: dict[str, Any] = {"id": shift}
        if action == "edit":
            fields["endDateTime"] = self._end(self._world.simulator.portals[BISTRO].shifts[shift]["startDateTime"])
        elif action == "assign":
            fields["employeeId"] = draw.choice(PEOPLE)
        elif action == "delete":
            self._shifts.remove(shift)
        self._world.simulator.act(BISTRO, "shift", action, **fields)
        self.done[action] += 1

    def _create(self) -> None:
        draw = self._chance
        day = date(2026, 10, 1) + timedelta(days=draw.randrange(31))
        start = f"{day}T{draw.choice((8, 14, 17, 22)):02}:{draw.choice((0, 15, 30)):02}"
        _, record, _ = self._world.simulator.act(
            BISTRO,
            "shift",
            "create",
            startDateTime=start,
            endDateTime=self._end(start),
            employeeId=draw.choice(PEOPLE),
            departmentId=draw.choice((4101, 4102)),
        )
        self._shifts.append(record["id"])
        self.done["create"] += 1

    def _end(self, start: str) -> str:
        """Four to nine hours later, with odd minutes: sums of thirds of an hour are never even."""
        hours = timedelta(minutes=self._chance.randrange(240, 540, 5))
        return (datetime.fromisoformat(start) + hours).isoformat(timespec="minutes")


async def planday_totals(world: PayWorld) -> dict[str, Decimal]:
    """What Planday itself would pay each person from September to the month after this one: only what is approved."""
    token = await _token(world)
    found: dict[str, Decimal] = {}
    async with httpx.AsyncClient(transport=httpx.ASGITransport(world.app), base_url="http://planday.test") as client:
        for month in range(9, world.clock.now().month + 2):
            first = date(2026, month, 1)
            last = (first.replace(day=28) + timedelta(days=4)).replace(day=1) - timedelta(days=1)
            answer = await client.get(
                "/payroll/v1.0/payroll",
                params={
                    "departmentIds": "4101,4102,4103",
                    "from": str(first),
                    "to": str(last),
                    "shiftStatus": "Approved",
                },
                headers=token,
            )
            assert answer.status_code == 200, answer.text
            # Its digits as they stand there, not as a float.
            body = json.loads(answer.text, parse_float=Decimal, parse_int=Decimal)
            for part in ("shiftsPayroll", "supplementsPayroll", "salariedPayroll"):
                for row in body[part]:
                    person = str(row["employeeId"])
                    found[person] = found.get(person, Decimal(0)) + row["salary"]
    return {person: total for person, total in found.items() if total}


async def _token(world: PayWorld) -> dict[str, str]:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(world.app), base_url="http://planday.test") as client:
        form = {"grant_type": "refresh_token", "client_id": CLIENT_ID, "refresh_token": REFRESH_TOKENS[BISTRO]}
        answer = await client.post("/connect/token", data=form)
    token = answer.json()["access_token"]
    return {"Authorization": f"Bearer {token}", "X-ClientId": CLIENT_ID}


async def in_state(world: PayWorld, target: str, state: DeliveryState) -> list[DeliveryRow]:
    """Every delivery of a target that stands there."""
    found: list[DeliveryRow] = []
    cursor: str | None = None
    while True:
        page = await world.reading.list_deliveries(DeliveryFilter(target=target, state=state), limit=200, cursor=cursor)
        found += page.rows
        if page.cursor is None:
            return found
        cursor = page.cursor
