"""What the shell completes: names from the configuration and types from the catalogue; plans from the store.

Never an error: a shell in the middle of a line is no place for one. Names are read from the file and the environment
as they stand, since loading all settings would take longer than a person waits for a Tab.
"""

from __future__ import annotations

import os
import tomllib
from pathlib import Path
from typing import Any

from relay.errors import RelayError

_PATIENCE = 2.0


def targets(incomplete: str) -> list[str]:
    """Targets of the configuration."""
    return _names("targets", incomplete)


def portals(incomplete: str) -> list[str]:
    """Portals of the configuration."""
    return _names("portals", incomplete)


def sources(incomplete: str) -> list[str]:
    """Sources of the configuration."""
    return _names("sources", incomplete)


def types(incomplete: str) -> list[tuple[str, str]]:
    """Types of events, with what each means."""
    from relay.catalog import CATALOG

    return [(row.type, row.meaning) for row in CATALOG.values() if row.type.startswith(incomplete)]


def plans(incomplete: str) -> list[tuple[str, str]]:
    """The newest replay plans and how each stands: the only names that stand in no file."""
    import asyncio

    from relay.cli import opened
    from relay.services import Services

    async def find(services: Services) -> list[dict[str, Any]]:
        async with asyncio.timeout(_PATIENCE):
            return await services.replays.newest(limit=20)

    try:
        found = opened.ask(find, strict=False)
    except (RelayError, OSError, TimeoutError):
        return []
    return [(plan["id"], plan["state"]) for plan in found if plan["id"].startswith(incomplete)]


def _names(section: str, incomplete: str) -> list[str]:
    prefix = f"RELAY_{section.upper()}__"
    named = [name.removeprefix(prefix).partition("__")[0] for name in os.environ if name.startswith(prefix)]
    found = [*_in_file(section), *(name.lower().replace("_", "-") for name in named)]
    return [name for name in dict.fromkeys(found) if name.startswith(incomplete)]


def _in_file(section: str) -> list[str]:
    path = Path(os.environ.get("RELAY_CONFIG") or "config/relay.toml")
    try:
        body = tomllib.loads(path.read_text(encoding="utf-8-sig")).get(section)
    except (OSError, ValueError, RecursionError):
        return []
    return list(body) if isinstance(body, dict) else []
