"""`relay simulator` at work: serves until it is told to stop, and says how a relay is pointed at it."""

from __future__ import annotations

import asyncio
import sys
from typing import Any

from relay.cli import out
from relay.errors import ConfigError, Fault

SLACK_PATH = "/slack/services/T000DEMO/B000DEMO/stand-in-for-slack"
PAYROLL_PATH = "/payroll/hours"


async def run(port: int, emit_to: str | None, *, as_json: bool) -> None:
    """Until SIGINT, SIGTERM or SIGHUP. Raises ConfigError where this machine is production."""
    from relay.cli.supervise import on_signals
    from relay.simulator import create_simulator, running
    from relay.simulator.app import ProductionError

    try:
        app = create_simulator(emit_to=emit_to)
    except ProductionError:
        raise ConfigError([Fault("RELAY_ENV", "the simulator does not run where this is production")]) from None
    stop = asyncio.Event()
    with on_signals(lambda _signal: stop.set()):
        async with running(app, port=port) as url:
            found = facts(url)
            if as_json:
                out.json_out(found)
                sys.stdout.flush()
            else:
                _introduce(found)
            await stop.wait()


def facts(url: str) -> dict[str, Any]:
    """Where everything is, and the development values that open it; known to everybody, so no secrets."""
    from relay.simulator.identity import CLIENT_ID, REFRESH_TOKENS
    from relay.simulator.payroll_standin import PAYROLL_SECRET
    from relay.simulator.relay_event_emitter import EMIT_SECRET

    return {
        "url": url,
        "control": f"{url}/control",
        "client_id": CLIENT_ID,
        "portals": [{"id": portal, "refresh_token": token} for portal, token in REFRESH_TOKENS.items()],
        "source_secret": EMIT_SECRET,
        "slack_url": url + SLACK_PATH,
        "payroll_url": url + PAYROLL_PATH,
        "payroll_secret": PAYROLL_SECRET,
    }


def _introduce(found: dict[str, Any]) -> None:
    out.say(f"simulator on {found['url']} (api_url and identity_url), its controls under {found['control']}/")
    lines = {
        "client_id": found["client_id"],
        **{f"portal {one['id']}": f"refresh_token {one['refresh_token']}" for one in found["portals"]},
        "source": f"secret {found['source_secret']} (what --emit-to signs with)",
        "Slack": found["slack_url"],
        "payroll": f"{found['payroll_url']}, signing_secret {found['payroll_secret']}",
    }
    for name, text in lines.items():
        out.say(f"  {name:<16}{text}")
    out.say("for development only, and the same everywhere; docs/simulator.md has a configuration with them")
