"""No secret and nothing personal where it must not be, after a whole run: Redis, logs, metrics, API, targets.

The simulator puts markers into every personal field, MARKER-D to MARKER-H by class (planday-api.md 10); the settings
hold a secret of every kind; a target repeats whatever it is sent in its answers.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
import secrets
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx

from relay.store.client import command
from tests.acceptance.harness import Relay, eventually, whsec
from tests.acceptance.sender import thin
from tests.acceptance.sink import Arrival, Sink

BISTRO, HARBOUR = 4100001, 4100002
SHIFT, IDA, PUNCH, REQUEST = 70010045, 910233, 8800123, 66012
MARKER = re.compile(r"MARKER-([A-Z])")

CHANGES = (
    ("shift", "edit", {"id": SHIFT, "departmentId": 4102}),
    ("shift", "assign", {"id": SHIFT, "employeeId": IDA}),
    ("shift", "approve", {"id": SHIFT}),
    ("employee", "create", {"firstName": "Nova", "lastName": "Newcomer"}),
    ("employee", "edit", {"id": IDA, "jobTitle": "Chef"}),
    ("employee", "deactivate", {"id": 910236}),
    ("punchclock_entry", "end", {"id": PUNCH}),
    ("punchclock_entry", "approve", {"id": PUNCH}),
    ("absence_request", "create", {"employeeId": IDA, "start": "2026-12-01", "note": "MARKER-H-note"}),
    ("absence_request", "approve", {"id": REQUEST}),
    ("shift", "delete", {"id": 70010042}),
)


def token() -> str:
    return secrets.token_urlsafe(24)


def make(folder: Path, sink: Sink) -> Relay:
    """A relay with a secret of every kind that the settings know."""
    own = {"allow_http": True, "allow_networks": ["127.0.0.0/8"], "events": ["planday.*"]}
    # Both fail at every first attempt, on purpose: no breaker shall leave them alone for that.
    failing = {
        "retry": {"schedule": ["100ms"] * 3, "timeout": "5s"},
        "breaker": {"failures": 1000, "sample": 10_000},
    }
    hooks = {"url": "env:HOOKS_URL", "signing_secret": ["env:HOOKS_SECRET", "env:HOOKS_OLD_SECRET"], **failing}
    wages = {"type": "webhook", "url": f"{sink.url}/wages", "signing_secret": "env:WAGES_SECRET", **failing}
    hub = {"verify": "hmac-sha256", "secrets": ["env:HUB_SECRET"], "header": "x-hub-signature-256", "prefix": "sha256="}
    relay = Relay(
        folder,
        sink,
        portals={"bistro": BISTRO, "harbour": HARBOUR},
        target=hooks,
        tables={
            "sources.planday": {"secrets": ["env:SOURCE_SECRET", "env:SOURCE_OLD_SECRET"]},
            "sources.hub": hub,
            "sources.bridge": {"verify": "token", "secrets": ["env:BRIDGE_TOKEN"], "header": "x-bridge-token"},
            "sources.script": {"verify": "basic", "secrets": ["env:SCRIPT_PASSWORD"]},
            "targets.chat": {
                **own,
                "type": "slack",
                "url": "env:CHAT_URL",
                "rate": {"concurrency": 5},
                "digest": {"most": 1},
            },
            "targets.wages": {**own, **wages, "fields": ["class:A", "class:B", "class:E"]},
        },
    )
    relay.secrets |= {name: whsec() for name in ("SOURCE_OLD_SECRET", "HOOKS_OLD_SECRET", "WAGES_SECRET")}
    relay.secrets |= {name: token() for name in ("HUB_SECRET", "BRIDGE_TOKEN", "SCRIPT_PASSWORD")}
    relay.secrets["HOOKS_URL"] = f"{sink.url}/hooks/{token()}?sig={token()}"
    relay.secrets["CHAT_URL"] = f"{relay.simulator}/slack/services/T0CANARY01/B0CANARY01/{token()}"
    return relay


def needles(relay: Relay) -> set[str]:
    """Every secret, whole and in the parts and forms in which it may stand somewhere."""
    found = {*relay.secrets.values(), relay.admin_token}
    for name in ("HOOKS_URL", "CHAT_URL"):
        found |= {part for part in re.split(r"[/?=]", relay.secrets[name]) if len(part) > 20}
    found |= {value.removeprefix("whsec_") for value in found}
    found.add(base64.b64encode(f"relay:{relay.secrets['SCRIPT_PASSWORD']}".encode()).decode())
    if password := httpx.URL(relay.store.url).password:
        found.add(password)
    return found


def repeat(arrival: Arrival) -> bytes:
    """A far side that says everything it was told, the way some frameworks show an error."""
    return json.dumps({"path": arrival.path, "headers": arrival.headers, "body": arrival.body.decode()}).encode()


async def use_every_door(relay: Relay) -> None:
    """Each way to sign, rightly and wrongly; what is pushed holds markers that no target may have."""
    data = {"note": "MARKER-H-pushed", "ssn": "MARKER-F-pushed", "name": "MARKER-C-pushed"}
    event = thin("pushed-1", "shift/70010050", portal=BISTRO, data=data)
    assert (await relay.sender.post(event)).status == 202
    proofs: dict[str, Any] = {
        "hub": lambda body: {"x-hub-signature-256": _hub(relay.secrets["HUB_SECRET"], body)},
        "bridge": lambda _: {"x-bridge-token": relay.secrets["BRIDGE_TOKEN"]},
        "script": lambda _: {"authorization": _basic(relay.secrets["SCRIPT_PASSWORD"])},
    }
    async with httpx.AsyncClient(trust_env=False, timeout=10) as client:
        for number, (source, proof) in enumerate(proofs.items()):
            body = json.dumps(thin(f"door-{number}", f"shift/{70010043 + number}", portal=BISTRO, data=data)).encode()
            for tampered, status in ((body, 202), (b"{ not json", 400), (body, 401)):
                headers = {"content-type": "application/json", **proof(tampered)}
                if status == 401:
                    headers = {name: value[:-1] for name, value in headers.items() if name != "content-type"}
                    headers["content-type"] = "application/json"
                answer = await client.post(f"{relay.url}/in/{source}", content=tampered, headers=headers)
                assert answer.status_code == status, answer.text
        wrong = await client.get(f"{relay.url}/api/v1/stats", headers={"authorization": f"Bearer {relay.admin_token}x"})
        assert wrong.status_code == 401


def _hub(secret: str, body: bytes) -> str:
    return "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


def _basic(password: str) -> str:
    return "Basic " + base64.b64encode(f"relay:{password}".encode()).decode()


async def dump(relay: Relay) -> dict[str, str]:
    """Every key of the store with all that it holds."""
    reads = {
        b"string": ("GET",),
        b"hash": ("HGETALL",),
        b"list": ("LRANGE", 0, -1),
        b"set": ("SMEMBERS",),
        b"zset": ("ZRANGE", 0, -1),
    }
    found = {}
    for key in await command(relay.redis, "KEYS", "*"):
        verb, *rest = reads[await command(relay.redis, "TYPE", key)]
        found[key.decode()] = repr(await command(relay.redis, verb, key, *rest))
    return found


async def shown(relay: Relay) -> dict[str, str]:
    """What an operator is shown: metrics, and the API over every event and delivery."""
    async with httpx.AsyncClient(trust_env=False, timeout=10) as client:
        metrics = (await client.get(f"{relay.url}/metrics")).text
    pages = {"/metrics": metrics}
    for path in (
        "/events?limit=100",
        "/deliveries?limit=100",
        "/targets",
        "/portals",
        "/quarantine",
        "/config",
        "/stats",
    ):
        pages[path] = json.dumps(await relay.api("GET", path))
    for event in json.loads(pages["/events?limit=100"])["events"]:
        path = f"/events/{event['id']}"
        detail = await relay.api("GET", path)
        pages[path] = json.dumps(detail)
        for one in detail["deliveries"]:
            path = f"/deliveries/{event['id']}/{one['target']}"
            pages[path] = json.dumps(await relay.api("GET", path))
    return pages


def classes(text: str) -> set[str]:
    return set(MARKER.findall(text))


def assert_clean(places: Mapping[str, str], secret: set[str], *, allowed: str = "") -> None:
    """No secret, and no marker but of the allowed classes; says where, never what."""
    for place, text in places.items():
        leaked = [value for value in secret if value in place or value in text]
        assert not leaked, f"{place} holds {len(leaked)} secrets"
        assert classes(text) <= set(allowed), f"{place} holds markers of classes {classes(text)}"


async def test_nothing_leaks(tmp_path: Path) -> None:
    """A whole run with every kind of event, source, target, failure and retry; then everything is searched."""
    began = time.monotonic()
    # Each delivery fails once, so that an attempt with a long excerpt is kept.
    async with Sink(decide=lambda one: 500 if one.attempt == "1" else 202, say=repeat) as sink:
        relay = make(tmp_path, sink)
        async with relay:
            await relay.start_simulator()
            web, worker = await relay.start("web"), await relay.start("worker")
            for portal in (BISTRO, HARBOUR):
                for entity, action, fields in CHANGES:
                    await relay.control("POST", f"/portals/{portal}/{entity}/{action}", fields)
            await relay.control("POST", "/emitter/flush")
            await use_every_door(relay)

            async def counted(name: str) -> int:
                return int(await command(relay.redis, "HGET", relay.keys.counters, name) or 0)

            async def all_in() -> bool:
                return await counted("accepted") == events

            events = 2 * len(CHANGES) + 4
            await eventually(all_in, within=20, what=f"{events} events are accepted")
            await relay.settled(within=60)

            secret, store, pages = needles(relay), await dump(relay), await shown(relay)
            chat = await relay.control("GET", "/slack")
            logs = {one.log.name: one.text() for one in (web, worker)}
            sent = {f"{one.path.split('/')[1]} {one.event} {n}": one for n, one in enumerate(sink.arrivals)}

            # What may be there is there: the search would find it.
            # Two changes of one kind between two looks at Planday are one.
            assert chat["accepted"] == events - await counted("duplicate")
            assert any("E" in classes(text) for text in store.values())
            assert any("E" in classes(one.body.decode()) for one in sink.arrivals if one.path.startswith("/wages"))
            assert all(event in store[relay.keys.events] for event in relay.sender.acked)

            assert_clean({"chat": json.dumps([one["payload"] for one in chat["messages"]])}, secret)
            bodies = {name: one.body.decode() for name, one in sent.items()}
            assert_clean({name: text for name, text in bodies.items() if name.startswith("hooks")}, secret)
            assert_clean({name: text for name, text in bodies.items() if name.startswith("wages")}, secret, allowed="E")
            assert_clean(logs, secret)
            assert_clean(store, secret, allowed="E")
            assert_clean({key: text for key, text in store.items() if key.startswith("relay:a:")}, secret)
            assert_clean(pages, secret, allowed="E")
            print(
                f"{events} events, {len(sink.arrivals)} requests, {chat['posts']} chat messages; searched for "
                f"{len(secret)} secrets: {len(store)} keys, {sum(map(len, logs.values()))} bytes of logs, "
                f"{len(pages)} pages, in {time.monotonic() - began:.1f} s"
            )
