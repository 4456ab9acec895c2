"""`relay check`: the configuration of all roles, and with --connect everything that it points to."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from relay.cli import exits, opened, out, rotating
from relay.cli.doubts import doubts, finding
from relay.cli.portals import checked
from relay.cli.portals import finding as told_of
from relay.errors import ConfigError, Fault

if TYPE_CHECKING:
    from relay.services import Services
    from relay.settings import Settings


_LEVEL = len("warning")


def check(
    connect: Annotated[
        bool, typer.Option("--connect", help="Also ask Redis, the portals and the names of targets.")
    ] = False,
    as_json: out.AsJson = False,
) -> None:
    """Is the configuration complete and right, for all roles? Every fault is named, with its path.

    With --connect: is Redis fit to hold events, does every portal's authorisation work, does every target's
    address resolve (nothing is sent), and how many deliveries wait for a target that left the configuration.
    Exit code 2 for faults of the configuration or where there is none, 3 for errors among the findings; warnings
    alone are 0.

    \b
    Examples:
      relay check
      relay check --connect --json
    """
    loaded = opened.settings("all")
    if not (loaded.environment.config_path or loaded.sources or loaded.portals or loaded.targets):
        raise ConfigError([nothing_configured()])
    if faults := static_faults(loaded):
        raise ConfigError(faults)
    findings, verified = list(doubts(loaded)), list[tuple[str, str]]()
    if connect:
        found, verified = opened.ask(look, worker=True, strict=False)
        findings += found
    told: dict[str, Any] = {
        "ok": not any(one["level"] == "error" for one in findings),
        "config": str(loaded.environment.config_path) if loaded.environment.config_path else None,
        "sources": list(loaded.sources),
        "portals": list(loaded.portals),
        "targets": list(loaded.targets),
        "connected": connect,
        "findings": sorted(findings, key=lambda one: one["level"] != "error"),
        "verified": [{"where": where, "what": what} for where, what in verified],
    }
    if as_json:
        out.json_out(told)
    else:
        _print(told)
    if not told["ok"]:
        raise typer.Exit(exits.UNHEALTHY)


def nothing_configured() -> Fault:
    """Neither a file nor a variable says anything: nothing could ever come in."""
    from relay.settings import USUAL_PATH

    looked = f"no configuration found: RELAY_CONFIG is not set, and there is no {USUAL_PATH.absolute()}"
    return Fault("", f"{looked}; nothing can be received")


def static_faults(loaded: Settings) -> list[Fault]:
    """What loading the settings does not see: secrets of the wrong form, maps, templates, refused addresses."""
    import asyncio
    from pathlib import Path

    from relay.alerts.heartbeat import check as check_heartbeat
    from relay.envelope import check_map
    from relay.messages import Messages
    from relay.signing import check_secrets
    from relay.targets import build_all

    faults = [
        Fault(f"sources.{name}.{fault.where}", fault.message)
        for name, source in loaded.sources.items()
        for fault in (*check_secrets(source), *check_map(source))
    ]
    faults += check_heartbeat(loaded.alerts)

    async def targets() -> None:
        messages = Messages(folder=Path(loaded.relay.templates) if loaded.relay.templates else None)
        for target in build_all(loaded.targets, messages=messages, public_url=loaded.relay.public_url).values():
            await target.aclose()

    try:
        asyncio.run(targets())
    except ConfigError as error:
        faults += error.faults
    return faults


async def look(services: Services) -> tuple[list[dict[str, Any]], list[tuple[str, str]]]:
    """Everything that is worth saying, beyond the configuration, and what was found well.

    A finding of level "error" makes the check fail.
    """
    found = [finding(one.level, "store", f"{one.what}: {one.meaning}", remedy=one.remedy) for one in services.findings]
    well = [] if found else [("store", "fit to hold events")]
    for name in services.settings.portals:
        row = await checked(services, name)
        if row["ok"]:
            scopes = sum(state == "ok" for state in row["scopes"].values())
            well.append((f"portals.{name}", f"{row['portal_name'] or row['id']}: the token works, {scopes} scopes"))
            if note := row.get("note"):
                found.append(finding("warning", f"portals.{name}", note))
        else:
            found.append(
                finding("error", f"portals.{name}", row.get("error") or told_of(row), remedy=row.get("remedy"))
            )
    for name, target in services.targets.items():
        if reason := await target.unreachable():
            remedy = f"correct targets.{name}.url; allow_networks lets an address inside your own network through"
            found.append(finding("error", f"targets.{name}", reason, remedy=remedy))
        else:
            well.append((f"targets.{name}", "its address may be sent to (nothing was sent)"))
    live = await services.reading.stats(tuple(services.targets), now=services.clock())
    found += [
        finding("warning", f"targets.{name}", f"is paused ({one['paused']})", remedy=f"relay targets resume {name}")
        for name, one in live["targets"].items()
        if one["paused"] is not None
    ]
    found += [
        finding("warning", f"targets.{name}", words, remedy=remedy)
        for name, (words, remedy) in rotating.findings(await services.rotations()).items()
    ]
    gone = [name for name in await services.reading.known_targets() if name not in services.settings.targets]
    stats = await services.reading.stats(tuple(gone), now=services.clock())
    for name, one in stats["targets"].items():
        if left := one["waiting"] + one["parked"]:
            count = "1 delivery waits" if left == 1 else f"{left} deliveries wait"
            words = f"{count} for this target, which is not configured any more"
            remedy = "put it back, or end each with `relay deliveries cancel`"
            found.append(finding("error", f"targets.{name}", words, remedy=remedy))
    if not stats["workers"]:
        found.append(
            finding(
                "warning", "workers", "none runs: what is accepted waits", remedy="start `relay up`, or `relay worker`"
            )
        )
    else:
        well.append(("workers", "one runs" if stats["workers"] == 1 else f"{stats['workers']} run"))
    return found, well


def _print(told: dict[str, Any]) -> None:
    """What is well a line each, then the rest, with what to do about it in a line of its own."""
    names = {name: ", ".join(told[name]) or "none" for name in ("sources", "portals", "targets")}
    out.facts({"config": told["config"] or "none: all defaults", **names})
    if told["verified"] or told["findings"]:
        sys.stdout.write("\n")
    for one in told["verified"]:
        out.line("ok", f"{'':{_LEVEL - len('ok')}}{one['where']}: {one['what']}")
    for one in told["findings"]:
        level = one["level"]
        out.line(level, f"{'':{_LEVEL - len(level)}}{one['where']}: {one['message']}")
        if one["remedy"]:
            out.line(f"{'':{_LEVEL + 2}}do: {one['remedy']}")
    errors = sum(one["level"] == "error" for one in told["findings"])
    warnings = len(told["findings"]) - errors
    if told["findings"]:
        counts = ((errors, "error"), (warnings, "warning"))
        out.say(", ".join(f"{count or 'no'} {word}{'s' * (count != 1)}" for count, word in counts))
    else:
        out.say("all is well" if told["connected"] else "the configuration is well; what it points to: --connect")
