"""`relay portals set-token` and `connect` as an operator runs them, against a simulated Planday on a port."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
import redis.asyncio
from cryptography.fernet import Fernet
from typer.testing import CliRunner, Result

from relay.cli.main import app
from relay.errors import AuthorizationLost
from relay.planday.enrich import Planday
from relay.simulator import running
from relay.simulator.flavours import BISTRO, HARBOUR
from relay.simulator.identity import CLIENT_ID, REFRESH_TOKENS
from relay.store.cipher import FernetCipher
from tests.integration.planday_world import World

SHIFT = 70010045
Relay = Callable[..., Awaitable[Result]]


@pytest.fixture
def world(redis_client: redis.asyncio.Redis, prefix: str) -> World:
    made = World(redis_client, prefix)
    made.generous()
    return made


@pytest.fixture
async def relay(world: World, redis_server: str, tmp_path: Path) -> AsyncIterator[Relay]:
    """`relay ...` in an environment that has the key and the store, but no target's secrets."""
    key = Fernet.generate_key()
    world.cipher = FernetCipher([key])
    async with running(world.app) as url:
        config = tmp_path / "relay.toml"
        config.write_text(
            f"""
            [relay]
            key_prefix = "{world.prefix}"
            [store]
            url = "env:REDIS_URL"
            [portals.bistro]
            id = {BISTRO}
            client_id = "{CLIENT_ID}"
            api_url = "{url}"
            identity_url = "{url}"
            allow_networks = ["127.0.0.0/8"]
            feeds = ["shifts", "payroll"]
            [targets.hours]
            type = "webhook"
            url = "https://payroll.example/hooks"
            signing_secret = "env:NOT_HERE"
            events = ["planday.*"]
            """,
            encoding="utf-8",
        )
        environ = {
            "RELAY_CONFIG": str(config),
            "RELAY_DATA_DIR": str(tmp_path / "data"),
            "REDIS_URL": redis_server,
            "RELAY_ENCRYPTION_KEYS": key.decode(),
        }

        async def invoke(*arguments: str, typed: str | None = None) -> Result:
            runner = CliRunner()
            return await asyncio.to_thread(
                runner.invoke, app, list(arguments), prog_name="relay", env=environ, input=typed
            )

        yield invoke


async def look(world: World, planday: Planday) -> None:
    """One read that needs Planday."""
    world.clock.advance(1)
    assert (await world.enrich(planday, "planday.shift.updated", SHIFT)).object is not None


async def test_a_typed_token_ends_the_incident_for_workers_that_run(world: World, relay: Relay) -> None:
    """Neither restarted nor told: the next call of each has it. The token is on no screen and in no key."""
    workers = (world.planday(), world.planday())
    await look(world, workers[0])
    given = world.simulator.authorisation(BISTRO)
    world.simulator.identity.end(given, fate="refresh-fails")
    for worker in workers:
        with pytest.raises(AuthorizationLost):
            await look(world, worker)
    token = world.simulator.identity.renew(given)
    result = await relay("portals", "set-token", "bistro", typed=f"{token}\n")
    assert result.exit_code == 0, result.output
    assert f"portal bistro (id {BISTRO}) has a new token" in result.stderr
    assert "events that waited go on within about a minute" in result.stderr
    assert "the app lacks payroll:read" in result.stderr
    assert token not in result.output
    assert token not in await world.dump()
    for worker in (*workers, world.planday()):
        await look(world, worker)


@pytest.mark.parametrize("token", [REFRESH_TOKENS[HARBOUR], "no-such-token-000000000"])
async def test_a_token_that_is_not_this_portals_is_refused(world: World, relay: Relay, token: str) -> None:
    """Exit code 3, both ids or what Planday said, never the token; what is stored stays."""
    worker = world.planday()
    await look(world, worker)
    result = await relay("portals", "set-token", "bistro", "--file", "-", typed=token)
    assert result.exit_code == 3, result.output
    expected = (str(HARBOUR), str(BISTRO)) if token == REFRESH_TOKENS[HARBOUR] else ("refuses the token (400)",)
    assert all(one in result.stderr for one in expected)
    assert "what was stored before is unchanged" in result.stderr
    assert token not in result.output
    world.clock.advance(4000)
    await look(world, worker)


async def test_a_token_from_a_file(world: World, relay: Relay, tmp_path: Path) -> None:
    """As JSON too; a file that is not there, or holds no single word, and an unknown portal change nothing."""
    file = tmp_path / "token"
    missing = await relay("portals", "set-token", "bistro", "--file", str(file))
    file.write_text("two words\n", encoding="utf-8")
    odd = await relay("portals", "set-token", "bistro", "--file", str(file))
    assert (missing.exit_code, odd.exit_code) == (1, 1)
    assert "two words" not in odd.output
    assert (await relay("portals", "set-token", "nobody", "--file", str(file))).exit_code == 4
    assert world.asked()["/connect/token"] == 0
    file.write_text(f"{REFRESH_TOKENS[BISTRO]}\n", encoding="utf-8")
    result = await relay("portals", "set-token", "bistro", "--file", str(file), "--json")
    assert json.loads(result.stdout) == {"ok": True, "portal": "bistro", "id": BISTRO, "missing": ["payroll:read"]}


async def test_connect_says_when_nobody_came(relay: Relay) -> None:
    """Exit code 3; the link asks for the feeds' scopes and leads back to the receiver."""
    result = await relay("portals", "connect", "bistro", "--timeout", "1")
    assert result.exit_code == 3, result.output
    assert "nobody came back within 1 s" in result.stderr
    (shown,) = [line.strip() for line in result.stderr.splitlines() if "/connect/authorize?" in line]
    query = parse_qs(urlsplit(shown).query)
    assert query["client_id"] == [CLIENT_ID]
    assert query["redirect_uri"] == ["http://127.0.0.1:8000/connect/callback"]
    assert {"offline_access", "shift:read", "payroll:read"} <= set(query["scope"][0].split())
    assert len(query["state"][0]) >= 32
    async with httpx.AsyncClient() as browser:
        assert (await browser.get(shown)).status_code == 200


async def test_a_lost_portal_is_not_looked_at(world: World, relay: Relay) -> None:
    """`look` says that there is nothing to be seen, and what to do: exit code 3."""
    looked = await relay("portals", "look", "bistro")
    assert looked.exit_code == 0, looked.output
    assert "it waits, for no worker runs: relay worker" in looked.stderr
    worker = world.planday()
    await look(world, worker)
    world.simulator.identity.end(world.simulator.authorisation(BISTRO), fate="refresh-fails")
    with pytest.raises(AuthorizationLost):
        await look(world, worker)
    looked = await relay("portals", "look", "bistro")
    assert looked.exit_code == 3
    assert "Planday no longer accepts the authorisation of bistro" in looked.stderr
    assert "relay portals set-token bistro" in looked.stderr
    told = await relay("portals", "look", "bistro", "--json")
    assert json.loads(told.stdout)["authorisation"] == "lost"


async def test_without_a_terminal_a_token_comes_by_file(relay: Relay) -> None:
    """Where nobody can be asked and nothing comes, both ways are named; nothing is changed."""
    result = await relay("portals", "set-token", "bistro", typed="")
    assert result.exit_code == 1
    assert "relay portals set-token bistro --file PATH, or --file - for standard input" in result.stderr


async def test_other_portals_secrets_are_not_needed(world: World, relay: Relay, tmp_path: Path) -> None:
    """A shell that has nothing of the second portal enters the first one's token; its own is needed."""
    config = tmp_path / "relay.toml"
    text = config.read_text(encoding="utf-8")
    other = f'\n[portals.harbour]\nid = {HARBOUR}\nclient_id = "env:NOT_HERE"\nrefresh_token = "env:NOT_HERE_EITHER"\n'
    config.write_text(text + other, encoding="utf-8")
    result = await relay("portals", "set-token", "bistro", "--file", "-", typed=REFRESH_TOKENS[BISTRO])
    assert result.exit_code == 0, result.output
    refused = await relay("portals", "set-token", "harbour", "--file", "-", typed=REFRESH_TOKENS[HARBOUR])
    assert refused.exit_code == 2
    assert "portals.harbour.client_id: the environment variable NOT_HERE is not set" in refused.stderr
